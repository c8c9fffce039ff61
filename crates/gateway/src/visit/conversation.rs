//! Talking to a provider: what is fresh in every step, and what its servers want to hear back.

use lychgate_oidc::{ClientAuth, Endpoint, Moment, Provider, Timestamp, dpop};

use super::failure::Failure;
use crate::reason::Reason;
use crate::world::World;

/// The moment of one step with a provider, with entropy of its own.
///
/// A client assertion that somebody else signs is asked for at every step; without one the provider is not
/// asked at all.
pub(super) async fn moment<W: World>(
    world: &W,
    provider: &Provider,
    now: Timestamp,
) -> Result<Moment, Failure> {
    let mut entropy = [0; 32];
    world.fill_random(&mut entropy);
    let mut moment = Moment::new(now, entropy);
    if provider.client_auth == ClientAuth::Assertion {
        let assertion = world.client_assertion(&provider.name).await;
        moment.client_assertion = assertion
            .map_err(|error| Failure::new(Reason::ProviderUnavailable, error.to_string()))?;
    }
    if provider.dpop.is_some() {
        moment.dpop_nonces = world.dpop_nonces(&provider.name);
    }
    Ok(moment)
}

/// Sends a question to a provider, once, and keeps what its server wants in the next proof of possession.
pub(super) async fn ask<W: World>(
    world: &W,
    provider: &Provider,
    endpoint: Endpoint,
    question: http::Request<Vec<u8>>,
) -> Result<http::Response<Vec<u8>>, Failure> {
    let server = provider.dpop.as_ref().and_then(|_| dpop::server(question.uri()));
    let answer = world.fetch(&provider.name, question).await.map_err(|error| {
        Failure::new(Reason::ProviderUnavailable, format!("{endpoint} endpoint: {error}"))
    })?;
    if let (Some(server), Some(nonce)) = (server, dpop::nonce(&answer)) {
        world.remember_dpop_nonce(&provider.name, &server, nonce);
    }
    Ok(answer)
}
