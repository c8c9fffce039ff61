//! One line of JSON for each request (T-21).

use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use lychgate_gateway::request::Transport;
use serde::Serialize;

use super::person::{Named, People};
use super::{Finished, line, redact};
use crate::rfc3339;
use crate::turned_away::TurnedAway;

/// The fields of a line, in their order. What does not exist is left out.
#[derive(Serialize)]
struct Line<'a> {
    time: String,
    request_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_ip: Option<IpAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    peer_ip: Option<IpAddr>,
    method: &'a str,
    scheme: &'a str,
    host: &'a str,
    path: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    query_redacted: Option<String>,
    protocol: &'a str,
    status: u16,
    bytes_in: u64,
    bytes_out: u64,
    duration_ms: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    upstream: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    upstream_status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    upstream_duration_ms: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    route: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<&'a str>,
    decision: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    provider: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    session: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_agent: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    referer: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
}

/// The line for a request.
pub(super) fn line(finished: &Finished<'_>, people: &People) -> String {
    let record = finished.record;
    let session = record.session.as_deref();
    let user = match people.name(record.identity()) {
        Named::Hash(hash) => Some(hash),
        Named::Nobody => None,
        Named::Plainly(identity) => Some(identity.user().to_owned()),
    };
    let line = Line {
        time: rfc3339::milliseconds(finished.time),
        request_id: finished.request_id,
        client_ip: finished.client,
        peer_ip: finished.peer,
        method: finished.method.as_str(),
        scheme: finished.scheme,
        host: finished.authority,
        path: finished.path,
        query_redacted: finished.query.map(redact::query),
        protocol: finished.protocol,
        status: finished.status,
        bytes_in: finished.bytes_in,
        bytes_out: finished.bytes_out,
        duration_ms: milliseconds(finished.duration),
        upstream: finished.upstream,
        upstream_status: finished.upstream_status,
        upstream_duration_ms: finished.upstream_duration.map(milliseconds),
        route: record.route.as_deref().map(|route| route.name.as_str()),
        rule: record.rule.as_deref(),
        decision: record.decision.as_str(),
        reason: record.reason.map(lychgate_gateway::reason::Reason::code),
        user,
        provider: record.provider(),
        session: session.map(|session| session.id().fingerprint()),
        user_agent: finished.user_agent,
        referer: finished.referer.map(redact::address),
        error: finished.error,
    };
    // A struct of texts and numbers always serializes.
    let json = serde_json::to_string(&line).unwrap_or_default();
    line::one_line(&json).into_owned()
}

/// The fields of a line about a connection whose request could not be read: the names are those of [`Line`].
#[derive(Serialize)]
struct TurnedAwayLine<'a> {
    time: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    peer_ip: Option<IpAddr>,
    listener: &'a str,
    scheme: &'static str,
    status: u16,
    reason: &'static str,
}

/// The line for a connection that was turned away before its request was read.
pub(super) fn turned_away(connection: &TurnedAway<'_>, time: SystemTime) -> String {
    let line = TurnedAwayLine {
        time: rfc3339::milliseconds(time),
        peer_ip: connection.address(),
        listener: connection.listener,
        scheme: match connection.transport {
            Transport::Plain => "http",
            Transport::Tls => "https",
        },
        status: connection.cause.status(),
        reason: connection.cause.code(),
    };
    // A struct of texts and numbers always serializes.
    let json = serde_json::to_string(&line).unwrap_or_default();
    line::one_line(&json).into_owned()
}

/// To the microsecond.
fn milliseconds(duration: Duration) -> f64 {
    let microseconds = u32::try_from(duration.as_micros()).unwrap_or(u32::MAX);
    f64::from(microseconds) / 1000.0
}
