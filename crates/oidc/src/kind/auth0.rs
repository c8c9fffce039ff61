//! Auth0. Its issuers end with a slash, which is easily forgotten; what a tenant adds to its tokens stands
//! under names that are URLs. People sign out at `v2/logout` where the metadata names nothing better.
//!
//! Source: Auth0 Docs, "Authentication API", "Log Users Out of Auth0".

use super::{KindSettings, Preset};
use crate::manner::Manner;
use crate::quirk::Quirk;

pub(super) fn preset(settings: &KindSettings) -> Preset {
    let issuer = format!("{}/", settings.issuer.trim_end_matches('/'));
    Preset {
        manner: Manner { quirks: vec![Quirk::LogoutReturnTo], ..Manner::default() },
        ..Preset::oidc(issuer)
    }
}
