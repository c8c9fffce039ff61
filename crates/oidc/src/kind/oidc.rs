//! Any provider of OpenID Connect, and what the operator asks beyond it.

use super::{KindSettings, Preset, oauth2};

pub(super) fn preset(settings: &KindSettings) -> Preset {
    let mut preset = Preset::oidc(&settings.issuer);
    oauth2::questions(&mut preset, settings);
    preset
}
