//! login.gov. Clients prove who they are with a signed statement, and must say how sure they want to be of
//! somebody. A nonce must have 22 characters; ours has 43.
//!
//! Source: login.gov Developers, "OpenID Connect: Authorization, Token".

use super::{KindSettings, Preset, texts};

pub(super) fn preset(settings: &KindSettings) -> Preset {
    let base = settings.base("https://secure.login.gov");
    let assurance = "http://idmanagement.gov/ns/assurance/ial/1";
    Preset {
        scopes: texts(&["openid", "email"]),
        authorization_params: vec![("acr_values".to_owned(), assurance.to_owned())],
        open_to_the_world: true,
        ..Preset::oidc(format!("{base}/"))
    }
}
