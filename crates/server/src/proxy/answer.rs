//! Writing an answer of our own.
//!
//! A request that is answered here may have a body that nobody wants. A small one that is already on its way
//! is read, so the connection can go on; otherwise the connection is closed after the answer, and what
//! stands in the body is never taken for another request (RFC 9112 §9.3).

use std::time::Duration;

use bytes::Bytes;
use http::{Response, header};
use lychgate_gateway::outcome::{Answer, Verdict};
use lychgate_gateway::world::World;
use pingora_core::protocols::http::HttpTask;
use pingora_error::{Error, ErrorType, Result};
use pingora_http::ResponseHeader;
use pingora_proxy::Session;

use super::{App, Visit, waits_to_send};
use crate::respond::About;
use crate::socket::Connection;

/// How much of an unwanted body is read, and for how long.
const UNWANTED_BYTES_MAX: usize = 64 * 1024;
const UNWANTED_PATIENCE: Duration = Duration::from_millis(250);

/// What becomes of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AfterAnswer {
    /// It is closed.
    Close,
    /// It goes on if the whole request was read.
    Stay,
}

impl<W: World + Send + Sync + 'static> App<W> {
    /// Answers the visit with what its outcome says. Always `Ok(true)`, as `request_filter` has it.
    pub(super) async fn answer(
        &self,
        session: &mut Session,
        visit: &Visit<W>,
        after: AfterAnswer,
    ) -> Result<bool> {
        let Some(outcome) = &visit.outcome else {
            return Error::e_explain(ErrorType::InternalError, "there is nothing to answer");
        };
        let Verdict::Answer(answer) = &outcome.verdict else {
            return Error::e_explain(ErrorType::InternalError, "an admission is not an answer");
        };
        let about = About {
            request_id: visit.id.as_str(),
            method: &session.req_header().method,
            now: visit.now,
            route: outcome.record.route.as_deref(),
            language: visit.language(session),
        };
        let mut response = visit.site.responder.answer(answer, &about);
        if let Some(route) = &outcome.record.route {
            let asked = &session.req_header().headers;
            // A preflight's answer has all of it already.
            if !matches!(**answer, Answer::Preflight(_) | Answer::Resource(_)) {
                route.clients.cors.apply(asked, response.headers_mut());
            }
        }
        for cookie in &outcome.cookies {
            response.headers_mut().append(header::SET_COOKIE, cookie.clone());
        }
        write(session, response, after).await?;
        Ok(true)
    }
}

/// Writes a whole response.
pub(super) async fn write(
    session: &mut Session,
    response: Response<Bytes>,
    after: AfterAnswer,
) -> Result<()> {
    let (parts, body) = response.into_parts();
    let mut head = ResponseHeader::build(parts.status, Some(parts.headers.len()))?;
    for (name, value) in &parts.headers {
        head.append_header(name.clone(), value.clone())?;
    }
    if !session.is_http2() {
        let read_whole = after == AfterAnswer::Stay && unwanted_body_is_read(session).await;
        if !read_whole {
            session.set_keepalive(None);
            if let Some(connection) = session.digest().and_then(Connection::of) {
                connection.read_on_after_close();
            }
        } else if session.is_process_shutting_down() {
            session.set_keepalive(None);
        }
    }
    if session.is_http2() && body.is_empty() {
        // The header frame ends the stream: to a gRPC client these are trailers alone, and a frame of data after them
        // would make them something else (P-22).
        let whole = vec![HttpTask::Header(Box::new(head), true)];
        return session.write_response_tasks(whole).await.map(drop);
    }
    session.write_response_header(Box::new(head), false).await?;
    // Empty or not, this ends the stream of HTTP/2.
    session.write_response_body(Some(body), true).await
}

async fn unwanted_body_is_read(session: &mut Session) -> bool {
    if session.is_body_done() {
        return true;
    }
    if waits_to_send(session.req_header()) {
        return false;
    }
    let reading = async {
        let mut bytes = 0;
        while let Ok(Some(piece)) = session.read_request_body().await {
            bytes += piece.len();
            if bytes > UNWANTED_BYTES_MAX {
                break;
            }
        }
        session.is_body_done()
    };
    tokio::time::timeout(UNWANTED_PATIENCE, reading).await.unwrap_or(false)
}
