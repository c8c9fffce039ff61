//! What is written of a request that is over: its log line where one is wanted, and its numbers.

use http::{HeaderValue, Version, header};
use lychgate_gateway::forwarded::Peer;
use lychgate_gateway::outcome::Record;
use lychgate_gateway::request::Transport;
use lychgate_gateway::world::World;
use pingora_error::Error;
use pingora_proxy::Session;

use super::{App, Visit, failure, objection};
use crate::socket::Connection;
use crate::telemetry::Finished;
use crate::telemetry::metrics::Ended;

impl<W: World + Send + Sync + 'static> App<W> {
    pub(super) fn finished(&self, session: &Session, visit: &Visit<W>, error: Option<&Error>) {
        let Some(connection) = session.digest().and_then(Connection::of) else { return };
        let head = session.req_header();
        let nothing = Record::default();
        let record = visit.outcome.as_ref().map_or(&nothing, |outcome| &outcome.record);
        let passage = visit.passage.as_ref();
        let status = session.response_written().map_or(0, |response| response.status.as_u16());
        let duration = visit.began.elapsed();
        let upstream_status = passage.and_then(|passage| Some(passage.answer?.status.as_u16()));
        let upstream_duration = passage.map(|passage| match passage.answer {
            Some(answer) => answer.after,
            None => passage.began.elapsed(),
        });
        // pingora takes that for the client's silence.
        let error = match connection.waited_in_vain() {
            true => Some("the upstream was silent for too long".to_owned()),
            false => {
                error.filter(|error| failure::is_for_the_operator(error)).map(ToString::to_string)
            }
        };
        if error.is_none() && !visit.site.telemetry.writes(record) {
            let upstream = upstream_duration.map(|duration| (duration, upstream_status));
            let (method, active) = (&head.method, visit.active.as_ref());
            let ended = Ended { method, status, duration, upstream, record, active };
            return visit.site.telemetry.metrics().ended(&ended);
        }
        let target = String::from_utf8_lossy(head.raw_path());
        let (path, query) = match target.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (target.as_ref(), None),
        };
        let text =
            |name| head.headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
        visit.site.telemetry.finished(&Finished {
            request_id: visit.id.as_str(),
            time: visit.came,
            client: visit.client,
            peer: match connection.peer {
                Peer::Address(address) => Some(address),
                Peer::Unix | Peer::Unnamed => None,
            },
            method: &head.method,
            scheme: match connection.entrance.transport {
                Transport::Plain => "http",
                Transport::Tls => "https",
            },
            authority: visit
                .canonical
                .as_ref()
                .map_or_else(|| objection::authority(head), |it| &it.authority),
            path: visit.canonical.as_ref().map_or(path, |it| it.path.as_str()),
            query,
            protocol: match head.version {
                Version::HTTP_2 => "HTTP/2",
                Version::HTTP_10 => "HTTP/1.0",
                _ => "HTTP/1.1",
            },
            status,
            bytes_in: session.body_bytes_read() as u64,
            bytes_out: session.body_bytes_sent() as u64,
            duration,
            upstream: passage.map(|passage| passage.upstream.name()),
            upstream_status,
            upstream_duration,
            user_agent: text(header::USER_AGENT),
            referer: text(header::REFERER),
            error: error.as_deref(),
            record,
        });
    }
}
