//! Okta. The scope `groups` is the org server's; a server of one's own needs a groups claim of that name.
//! `offline_access` is not asked for by itself, unlike at Entra: an integration may ask for it only where its grant type
//! "Refresh Token" is ticked, which it is not when it is new, and Okta answers a scope that it does not grant with
//! `invalid_scope` and no sign-in at all. An operator who ticked it writes the scope down.
//!
//! Source: Okta Developer, "OpenID Connect & OAuth 2.0", "Customize tokens with a groups claim".

use super::{KindSettings, Preset, texts};

pub(super) fn preset(settings: &KindSettings) -> Preset {
    Preset {
        scopes: texts(&["openid", "profile", "email", "groups"]),
        ..Preset::oidc(&settings.issuer)
    }
}
