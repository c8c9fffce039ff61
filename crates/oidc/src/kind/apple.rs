//! Sign in with Apple. Whoever asks for a name or an address is answered with a form post, so that is
//! asked for with it; the client secret is a signed statement of at most six months.
//!
//! Source: Apple Developer, "Request an authorization to the Sign in with Apple server".

use super::{KindSettings, Preset, texts};
use crate::provider::SecretMethod;

pub(super) fn preset(settings: &KindSettings) -> Preset {
    Preset {
        scopes: texts(&["openid", "name", "email"]),
        secret_method: Some(SecretMethod::Post),
        authorization_params: vec![("response_mode".to_owned(), "form_post".to_owned())],
        open_to_the_world: true,
        ..Preset::oidc(settings.base("https://appleid.apple.com"))
    }
}
