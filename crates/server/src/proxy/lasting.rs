//! What is under way for longer than a request usually is: WebSockets, streams, long downloads.
//!
//! WebSockets and streams are tied up when they begin, everything else when it has taken long; what is answered at
//! once, as nearly everything is, costs a look at the content type. A WebSocket is told its end; any other response is
//! cut off, so that nobody takes what has come for the whole (RFC 9112 §8, RFC 9113 §8.1). An upload is not asked about
//! while it is on its way (R18).

use std::sync::Arc;
use std::time::Duration;

use http::{StatusCode, header};
use lychgate_gateway::outcome::{DecisionWord, Outcome};
use lychgate_gateway::rescue::Replay;
use lychgate_gateway::route::OnExpiry;
use lychgate_gateway::visit::standing::{Admitted, Credential};
use lychgate_gateway::world::World;
use pingora_error::{Error, ErrorType, Result};
use pingora_http::ResponseHeader;
use pingora_proxy::Session;

use super::{App, Visit};
use crate::socket::Connection;

/// What has taken less than this is finished, whatever becomes of its session.
const LONG: Duration = Duration::from_secs(5);

/// Content that comes piece by piece for as long as somebody listens.
const STREAMS: [&str; 5] = [
    "text/event-stream",
    "application/grpc",
    "application/x-ndjson",
    "application/stream+json",
    "multipart/x-mixed-replace",
];

/// Whether a response is likely to go on for long.
pub(super) fn is_expected_to_last(response: &ResponseHeader) -> bool {
    if response.status == StatusCode::SWITCHING_PROTOCOLS {
        return true;
    }
    let content_type = response.headers.get(header::CONTENT_TYPE);
    content_type.is_some_and(|value| {
        STREAMS.iter().any(|stream| {
            let begins = value.as_bytes().get(..stream.len());
            begins.is_some_and(|begins| begins.eq_ignore_ascii_case(stream.as_bytes()))
        })
    })
}

impl<W: World + Send + Sync + 'static> App<W> {
    /// Ties up what is under way, so that it ends with its session or, a WebSocket, with the process.
    pub(super) fn tie(&self, session: &Session, visit: &mut Visit<W>, websocket: bool) {
        let admitted = visit.admitted(&session.req_header().method);
        if admitted.is_none() && !websocket {
            return;
        }
        let held = self.tethers.hold(admitted, websocket);
        if let Some(connection) = session.digest().and_then(Connection::of) {
            connection.tie(held.tether());
        }
        visit.held = Some(held);
    }

    /// Another piece of a response is about to be passed on.
    ///
    /// # Errors
    /// When its time is over.
    pub(super) fn goes_on(&self, session: &Session, visit: &mut Visit<W>) -> Result<()> {
        match &visit.held {
            Some(held) if held.tether().is_websocket() => Ok(()),
            Some(held) if held.tether().ending().is_some() => {
                let over = "the session of a response under way has ended";
                Err(Error::explain(ErrorType::ConnectionClosed, over).into_down())
            }
            Some(_) => Ok(()),
            None => {
                if !visit.was_asked && visit.began.elapsed() > LONG {
                    visit.was_asked = true;
                    self.tie(session, visit, false);
                }
                Ok(())
            }
        }
    }

    /// Passes on that a browser was here with a session and was given a newer one.
    pub(super) fn renewed(&self, outcome: &Outcome) {
        if !outcome.cookies.is_empty()
            && self.tethers.any()
            && let Some(session) = &outcome.record.session
        {
            self.tethers.seen(session);
        }
    }
}

impl<W> Visit<W> {
    /// What it was admitted as, where it has to end with its session.
    fn admitted(&self, method: &http::Method) -> Option<Admitted> {
        let record = &self.outcome.as_ref()?.record;
        let ends = self.admission()?.route().on_expiry == OnExpiry::Close
            && record.decision == DecisionWord::Allow;
        let canonical = self.canonical.as_ref().filter(|_| ends)?;
        let replay = self.admission()?.replay();
        let of_session =
            record.session.as_ref().map(|session| Credential::Session(Arc::clone(session)));
        let of_token = || record.token.as_ref().map(|token| Credential::Token(Arc::clone(token)));
        Some(Admitted {
            method: method.clone(),
            authority: canonical.authority.clone(),
            path: replay.map_or(&canonical.path, Replay::path).clone(),
            client: self.client,
            credential: of_session.or_else(of_token)?,
        })
    }

    /// Notes for the logs why it ended before its time, if it did.
    pub(super) fn note_ending(&mut self) {
        let ending = self.held.take().and_then(|held| held.tether().ending());
        if let (Some(reason), Some(outcome)) =
            (ending.and_then(crate::tether::Ending::reason), self.outcome.as_mut())
        {
            outcome.record.reason = Some(reason);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// R16, R17: what is a stream by its nature is tied up from its beginning.
    #[test]
    fn streams_are_known_by_their_content() {
        let response = |status, content_type: Option<&str>| {
            let mut response = ResponseHeader::build(status, None).unwrap();
            if let Some(content_type) = content_type {
                response.insert_header(header::CONTENT_TYPE, content_type).unwrap();
            }
            response
        };
        for (status, content_type, expected) in [
            (101, None, true),
            (200, None, false),
            (200, Some("text/html"), false),
            (200, Some("application/json"), false),
            (200, Some("text/event-stream"), true),
            (200, Some("Text/Event-Stream; charset=utf-8"), true),
            (200, Some("application/grpc"), true),
            (200, Some("application/grpc+proto"), true),
            (200, Some("application/grpc-web+proto"), true),
            (200, Some("multipart/x-mixed-replace; boundary=frame"), true),
        ] {
            let response = response(status, content_type);
            assert_eq!(is_expected_to_last(&response), expected, "{status} {content_type:?}");
        }
    }
}
