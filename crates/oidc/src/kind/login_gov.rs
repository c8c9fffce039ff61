//! login.gov. Clients prove who they are with a signed statement, and must say how sure they want to be of
//! somebody. A nonce must have 22 characters; ours has 43.
//!
//! Source: login.gov Developers, "OpenID Connect: Authorization, Token".

use super::{KindSettings, Preset, texts};
use crate::client_auth::AssertionAudience;
use crate::provider::Algorithm;

pub(super) fn preset(settings: &KindSettings) -> Preset {
    let base = settings.base("https://secure.login.gov");
    let assurance = "http://idmanagement.gov/ns/assurance/ial/1";
    Preset {
        scopes: texts(&["openid", "email"]),
        assertion_audience: AssertionAudience::TokenEndpoint,
        assertion_algorithm: Some(Algorithm::RS256),
        acr_values: texts(&[assurance]),
        open_to_the_world: true,
        ..Preset::oidc(format!("{base}/"))
    }
}
