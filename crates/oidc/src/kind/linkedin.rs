//! LinkedIn, which speaks OpenID Connect since 2023; the secret goes into the body.
//!
//! Source: Microsoft Learn, "Sign In with LinkedIn using OpenID Connect".

use super::{KindSettings, Preset};
use crate::client_auth::SecretMethod;

pub(super) fn preset(settings: &KindSettings) -> Preset {
    let base = settings.base("https://www.linkedin.com");
    Preset {
        secret_method: Some(SecretMethod::Post),
        open_to_the_world: true,
        ..Preset::oidc(format!("{base}/oauth"))
    }
}
