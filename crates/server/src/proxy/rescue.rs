//! Forms that are kept (R43): read when nobody is signed in, put in the place of what brings them when somebody is.
//!
//! A form is read whole, within its limit, only where the gateway offers to keep it, and goes from memory into the page.
//! One that is sent is collected on its way, opened at its end, and only then passed on: the application gets the whole
//! of it or the connection is closed.

use std::mem;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, header};
use lychgate_gateway::outcome::{Admission, Answer, Outcome, Refusal, Verdict};
use lychgate_gateway::reason::Reason;
use lychgate_gateway::rescue::{Replay, Rescue};
use lychgate_gateway::world::World;
use pingora_error::{Error, ErrorType, Result};
use pingora_http::{RequestHeader, ResponseHeader};
use pingora_proxy::Session;

use super::{App, Visit, waits_to_send};

/// For the whole of a form.
const PATIENCE: Duration = Duration::from_secs(30);

/// A form on its way to the application.
#[derive(Debug, Default)]
pub(super) struct Passing {
    sealed: Vec<u8>,
    /// Whether it is used up, and goes to the application.
    was_released: bool,
}

impl<W: World + Send + Sync + 'static> App<W> {
    /// Reads the form that a refusal may keep, and puts it onto its page.
    pub(super) async fn rescue(&self, session: &mut Session, visit: &mut Visit<W>) {
        let Some(rescue) = visit.outcome.as_mut().and_then(refusal).and_then(|it| it.rescue.take())
        else {
            return;
        };
        let mut line = None;
        let rescue = match rescue {
            Rescue::Offer(offer) => match whole(session, offer.bytes_max()).await {
                Ok(body) => match visit.site.gateway.keep(&visit.site.world, *offer, &body) {
                    Some((kept, cookie)) => {
                        line = Some(cookie);
                        Rescue::Kept(kept)
                    }
                    None => Rescue::TooLarge,
                },
                Err(failed) => failed,
            },
            Rescue::Again(again) => match whole(session, again.bytes_max()).await {
                Ok(body) => again.kept(&body),
                Err(failed) => failed,
            },
            done @ (Rescue::Failed | Rescue::Kept(_) | Rescue::PassedOn | Rescue::TooLarge) => done,
        };
        if let Some(outcome) = &mut visit.outcome {
            outcome.cookies.extend(line);
        }
        visit.rescued(rescue);
    }

    /// What becomes of a form on its way that no answer came to: as long as nothing of it was passed on, it goes back
    /// onto the page. What was passed on may have arrived, and is not sent twice.
    pub(super) async fn not_answered(
        &self,
        session: &mut Session,
        visit: &mut Visit<W>,
        reason: Reason,
    ) -> Option<Rescue> {
        if !matches!(reason, Reason::UpstreamTimeout | Reason::UpstreamUnreachable) {
            return None;
        }
        let again = visit.admission()?.replay()?.again();
        if visit.passing.was_released {
            return Some(Rescue::PassedOn);
        }
        let mut sealed = mem::take(&mut visit.passing.sealed);
        let rest = whole(session, again.bytes_max().saturating_sub(sealed.len())).await;
        Some(match rest {
            Ok(rest) => {
                sealed.extend(rest);
                again.kept(&sealed)
            }
            Err(failed) => failed,
        })
    }

    /// Collects a form on its way; at its end the application gets what was in it.
    pub(super) async fn pass_form(
        &self,
        body: &mut Option<Bytes>,
        ends: bool,
        visit: &mut Visit<W>,
    ) -> Result<()> {
        let replay = |visit: &Visit<W>| Some(visit.admission()?.replay()?.sealed_bytes_max());
        let Some(bytes_max) = replay(visit) else { return Ok(()) };
        let piece = body.take().unwrap_or_default();
        if visit.passing.sealed.len() + piece.len() > bytes_max {
            return Err(not_ours(visit));
        }
        visit.passing.sealed.extend_from_slice(&piece);
        if !ends {
            // Nothing yet, which is not the end.
            *body = Some(Bytes::new());
            return Ok(());
        }
        let sealed = mem::take(&mut visit.passing.sealed);
        let Some(replay) = visit.admission().and_then(Admission::replay) else {
            return Err(not_ours(visit));
        };
        let released = visit.site.gateway.release(&visit.site.world, replay, &sealed).await;
        let Some(form) = released else { return Err(not_ours(visit)) };
        let forget = replay.forget().cloned();
        visit.passing.was_released = true;
        *body = Some(Bytes::from(form));
        if let Some(outcome) = &mut visit.outcome {
            outcome.cookies.extend(forget);
        }
        Ok(())
    }
}

impl<W> Visit<W> {
    /// Puts onto the page of a refusal what became of a form.
    pub(super) fn rescued(&mut self, rescue: Rescue) {
        if let Some(refusal) = self.outcome.as_mut().and_then(refusal) {
            refusal.rescue = Some(rescue);
        }
    }
}

/// What came is not what was kept, or was sent before.
fn not_ours<W>(visit: &mut Visit<W>) -> Box<Error> {
    visit.cut_short = Some(Reason::FormExpired);
    Error::explain(ErrorType::HTTPStatus(400), "the form that was kept cannot be sent").into_down()
}

fn refusal(outcome: &mut Outcome) -> Option<&mut Refusal> {
    let Verdict::Answer(answer) = &mut outcome.verdict else { return None };
    match &mut **answer {
        Answer::Refusal(refusal) => Some(refusal),
        Answer::Asset(_)
        | Answer::Me(_)
        | Answer::Page(_)
        | Answer::Preflight(_)
        | Answer::Reason(_)
        | Answer::Redirect(_)
        | Answer::Resource(_) => None,
    }
}

/// The whole body of a request, or why it is not kept.
async fn whole(session: &mut Session, bytes_max: usize) -> Result<Vec<u8>, Rescue> {
    // A browser does not wait to be told to send a form.
    if waits_to_send(session.req_header()) {
        return Err(Rescue::Failed);
    }
    let reading = async {
        let mut body = Vec::new();
        while let Ok(Some(piece)) = session.read_request_body().await {
            if body.len() + piece.len() > bytes_max {
                return Err(Rescue::TooLarge);
            }
            body.extend_from_slice(&piece);
        }
        if session.is_body_done() { Ok(body) } else { Err(Rescue::Failed) }
    };
    tokio::time::timeout(PATIENCE, reading).await.unwrap_or(Err(Rescue::Failed))
}

/// Tells the application what it gets: the form as it was sent first.
pub(super) fn introduce(replay: &Replay, upstream: &mut RequestHeader) -> Result<()> {
    for (name, value) in replay.headers() {
        let name = HeaderName::from_static(name);
        match value.and_then(|value| HeaderValue::from_str(value).ok()) {
            Some(value) => upstream.insert_header(name, value)?,
            None => {
                upstream.remove_header(&name);
            }
        }
    }
    upstream.remove_header(&header::TRANSFER_ENCODING);
    upstream.insert_header(header::CONTENT_LENGTH, replay.bytes().to_string())
}

/// Leads the browser on from where the form was sent first, and not from where it was sent again.
pub(super) fn lead_on(replay: &Replay, response: &mut ResponseHeader) -> Result<()> {
    let location = response.headers.get(header::LOCATION).and_then(|place| place.to_str().ok());
    match location.and_then(|location| replay.resolved(location)) {
        Some(place) => response.insert_header(header::LOCATION, place.as_str()),
        None => Ok(()),
    }
}
