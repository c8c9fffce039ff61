//! Anything that speaks OAuth 2.0: endpoints, questions and memberships are the operator's.

use super::{Endpoints, KindSettings, Preset};
use crate::membership::Membership;
use crate::provider::Userinfo;

pub(super) fn preset(settings: &KindSettings) -> Preset {
    let issuer = match settings.issuer.as_str() {
        "" => &settings.token_endpoint,
        issuer => issuer,
    };
    let mut preset = Preset::oauth2(
        issuer,
        settings.authorization_endpoint.clone(),
        settings.token_endpoint.clone(),
        &[],
    );
    preset.secret_method = None;
    preset.endpoints = Some(Endpoints {
        authorization: settings.authorization_endpoint.clone(),
        token: settings.token_endpoint.clone(),
        userinfo: settings.userinfo_endpoint.clone(),
        pushed_authorization_request: settings.pushed_authorization_request_endpoint.clone(),
        introspection: settings.introspection_endpoint.clone(),
        revocation: settings.revocation_endpoint.clone(),
    });
    preset.userinfo = settings.userinfo_endpoint.as_ref().map(|_| Userinfo::Always);
    questions(&mut preset, settings);
    preset
}

/// What the operator asks and needs.
pub(super) fn questions(preset: &mut Preset, settings: &KindSettings) {
    preset.manner.lookups.clone_from(&settings.lookups);
    preset.manner.memberships = settings
        .memberships
        .iter()
        .map(|(claim, any_of)| Membership::of(claim, claim, any_of))
        .collect();
}
