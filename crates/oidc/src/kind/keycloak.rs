//! Keycloak. Roles are in the access token unless a mapper puts them elsewhere; they become the groups
//! `role:NAME` and `role:CLIENT:NAME`. The paths of groups stay as the claim has them.
//!
//! Source: Keycloak, "Server Administration Guide: Client scopes, Protocol mappers".

use super::{KindSettings, Preset};
use crate::manner::Manner;
use crate::quirk::Quirk;

pub(super) fn preset(settings: &KindSettings) -> Preset {
    Preset {
        manner: Manner { quirks: vec![Quirk::AccessTokenRoles], ..Manner::default() },
        ..Preset::oidc(&settings.issuer)
    }
}
