//! Amazon Cognito. Groups are in `cognito:groups`; signing out takes `logout_uri`.
//!
//! Source: Amazon Cognito Developer Guide, "Using the ID token", "Logout endpoint".

use super::{KindSettings, Preset};
use crate::manner::Manner;
use crate::quirk::Quirk;

pub(super) fn preset(settings: &KindSettings) -> Preset {
    Preset {
        groups_claim: "cognito:groups".to_owned(),
        manner: Manner { quirks: vec![Quirk::LogoutUri], ..Manner::default() },
        ..Preset::oidc(&settings.issuer)
    }
}
