//! Sign in with Apple. Whoever asks for a name or an address is answered with a form post, so that is
//! asked for with it; the client secret is a signed statement of at most six months.
//!
//! Source: Apple Developer, "Request an authorization to the Sign in with Apple server".

use super::{KindSettings, Preset, texts};
use crate::client_auth::SignedSecret;
use crate::response::ResponseMode;

/// Whom the secret is for, wherever it is sent.
const AUDIENCE: &str = "https://appleid.apple.com";

pub(super) fn preset(settings: &KindSettings) -> Preset {
    Preset {
        scopes: texts(&["openid", "name", "email"]),
        signed_secret: Some(SignedSecret {
            issuer: settings.team_id.clone(),
            audience: AUDIENCE.to_owned(),
        }),
        response_mode: ResponseMode::FormPost,
        open_to_the_world: true,
        ..Preset::oidc(settings.base(AUDIENCE))
    }
}
