//! Okta. The scope `groups` is the org server's; a server of one's own needs a groups claim of that name.
//!
//! Source: Okta Developer, "OpenID Connect & OAuth 2.0", "Customize tokens with a groups claim".

use super::{KindSettings, Preset, texts};

pub(super) fn preset(settings: &KindSettings) -> Preset {
    Preset {
        scopes: texts(&["openid", "profile", "email", "groups"]),
        ..Preset::oidc(&settings.issuer)
    }
}
