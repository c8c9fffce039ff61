//! Talking to a provider: what is fresh in every step, and what its servers want to hear back.

use std::sync::Arc;
use std::time::Duration;

use http::header::{HeaderName, RETRY_AFTER};
use lychgate_oidc::{
    ClientAuth, Endpoint, ExchangeError, Grant, Moment, Provider, SignedIn, Step, Timestamp, dpop,
};

use super::failure::Failure;
use crate::reason::Reason;
use crate::request::RequestId;
use crate::world::{Known, World};

/// How long a provider may take for everything that it is asked in one sign-in or refresh (CB-34).
const PATIENCE: Duration = Duration::from_secs(45);

/// The longest pause that a provider can ask for.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(3600);

static INTERACTION_ID: HeaderName = HeaderName::from_static("x-fapi-interaction-id");

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

/// Asks a provider until it can be believed, or cannot, or comes to no end. `begin` makes the first question.
pub(super) async fn until_believed<W: World>(
    world: &W,
    provider: &Provider,
    known: &Known,
    begin: impl FnOnce(Moment) -> Result<Step, ExchangeError> + Send + 'static,
    visit: &RequestId,
    now: Timestamp,
) -> Result<Box<SignedIn>, Failure> {
    believed_or_kept(world, provider, known, begin, visit, now)
        .await
        .map_err(|(failure, _)| failure)
}

/// As [`until_believed`], for a refresh: what it renewed is kept when the rest fails.
pub(super) async fn believed_or_kept<W: World>(
    world: &W,
    provider: &Provider,
    known: &Known,
    begin: impl FnOnce(Moment) -> Result<Step, ExchangeError> + Send + 'static,
    visit: &RequestId,
    now: Timestamp,
) -> Result<Box<SignedIn>, (Failure, Option<Grant>)> {
    let mut kept = None;
    let believed = in_time(world, provider, known, begin, visit, now, &mut kept).await;
    believed.map_err(|failure| (failure, kept))
}

async fn in_time<W: World>(
    world: &W,
    provider: &Provider,
    known: &Known,
    begin: impl FnOnce(Moment) -> Result<Step, ExchangeError> + Send + 'static,
    visit: &RequestId,
    now: Timestamp,
    kept: &mut Option<Grant>,
) -> Result<Box<SignedIn>, Failure> {
    let believed = converse(world, provider, known, begin, visit, now, kept);
    if let Some(believed) = world.within(PATIENCE, believed).await {
        return believed;
    }
    let cause = format!("no end after {} s of questions", PATIENCE.as_secs());
    Err(Failure::new(Reason::ProviderUnavailable, cause))
}

async fn converse<W: World>(
    world: &W,
    provider: &Provider,
    known: &Known,
    begin: impl FnOnce(Moment) -> Result<Step, ExchangeError> + Send + 'static,
    visit: &RequestId,
    now: Timestamp,
    kept: &mut Option<Grant>,
) -> Result<Box<SignedIn>, Failure> {
    let first_moment = moment(world, provider, now).await?;
    let mut step = world.compute(move || begin(first_moment)).await?;
    let mut keys = Arc::clone(&known.keys);
    loop {
        step = match step {
            Step::Renewed(grant, renewed) => {
                *kept = Some(grant);
                let keys = Arc::clone(&keys);
                let moment = moment(world, provider, now).await?;
                world.compute(move || renewed.go_on(&keys, moment)).await?
            }
            Step::Ask(question, exchange) => {
                let answer = ask(world, provider, exchange.endpoint(), question, visit).await?;
                let patience = retry_after(&answer);
                let keys = Arc::clone(&keys);
                let moment = moment(world, provider, now).await?;
                let step = world.compute(move || exchange.receive(answer, &keys, moment)).await;
                step.map_err(|error| Failure::from(error).with_patience(patience))?
            }
            Step::NewerKeys(exchange) => {
                keys = world.newer_keys(&provider.name).await;
                let keys = Arc::clone(&keys);
                let moment = moment(world, provider, now).await?;
                world.compute(move || exchange.with_keys(&keys, moment)).await?
            }
            Step::Believe(signed_in) => return Ok(signed_in),
        };
    }
}

/// Tells a provider that follows a FAPI profile which visit a request is for, under the id that page, log and upstream
/// know it by (CB-66).
pub(super) fn tell_visit(
    provider: &Provider,
    question: &mut http::Request<Vec<u8>>,
    visit: &RequestId,
) {
    if provider.interaction_ids {
        question.headers_mut().insert(&INTERACTION_ID, visit.interaction_id());
    }
}

/// When a provider wants to be asked again, if it says so in seconds; at most an hour (CB-51).
fn retry_after<T>(answer: &http::Response<T>) -> Option<Duration> {
    let seconds = answer.headers().get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(RETRY_AFTER_MAX.min(Duration::from_secs(seconds)))
}

/// Sends a question to a provider, once, and keeps what its server wants in the next proof of possession.
pub(super) async fn ask<W: World>(
    world: &W,
    provider: &Provider,
    endpoint: Endpoint,
    mut question: http::Request<Vec<u8>>,
    visit: &RequestId,
) -> Result<http::Response<Vec<u8>>, Failure> {
    tell_visit(provider, &mut question, visit);
    let server = provider.dpop.as_ref().and_then(|_| dpop::server(question.uri()));
    let answer = world.fetch(&provider.name, question).await.map_err(|error| {
        Failure::new(Reason::ProviderUnavailable, format!("{endpoint} endpoint: {error}"))
    })?;
    if let (Some(server), Some(nonce)) = (server, dpop::nonce(&answer)) {
        world.remember_dpop_nonce(&provider.name, &server, nonce);
    }
    Ok(answer)
}
