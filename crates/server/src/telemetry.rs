//! What is written down and counted about the traffic.
//!
//! The door calls [`Telemetry::finished`] once for each request. It writes a line to the access log and, where
//! there is one to write, an event to the audit log; it counts; and it tells the operator's log what went
//! wrong. None of it waits for a disk or a pipe, and none of it fails.
//!
//! Nothing here is a credential: queries are redacted, people are named as the operator wants them named,
//! and sessions are known by eight digits of their id.

mod access_log;
pub(crate) mod audit_log;
mod exposition;
mod line;
pub(crate) mod log;
pub(crate) mod metrics;
mod person;
pub(crate) mod provider_requests;
mod redact;
pub(crate) mod reloads;
mod repeats;
#[cfg(test)]
mod tests;
mod writer;

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::Method;
use lychgate_config::config;
use lychgate_gateway::outcome::Record;
use lychgate_gateway::path::PathPattern;
use lychgate_gateway::reason::Reason;

pub(crate) use exposition::Format;
use metrics::{Ended, Metrics};
use person::People;
use repeats::{Repeats, Telling};
use writer::Writer;

use crate::turned_away::{TurnedAway, Witness};

/// A request that has ended, as the door knows it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Finished<'a> {
    /// The id under which page, logs and upstream know it.
    pub(crate) request_id: &'a str,
    /// When it came.
    pub(crate) time: SystemTime,
    /// Where it came from, as far as that is believed.
    pub(crate) client: Option<IpAddr>,
    /// The other end of the connection.
    pub(crate) peer: Option<IpAddr>,
    /// The method.
    pub(crate) method: &'a Method,
    /// `http` or `https`.
    pub(crate) scheme: &'a str,
    /// Host and port, as asked for.
    pub(crate) authority: &'a str,
    /// The path: the canonical one, or what was received where there is none.
    pub(crate) path: &'a str,
    /// The query, as received.
    pub(crate) query: Option<&'a str>,
    /// `HTTP/1.1` or `HTTP/2`.
    pub(crate) protocol: &'a str,
    /// The status of the response, 0 if there was none.
    pub(crate) status: u16,
    /// Bytes of the request's body.
    pub(crate) bytes_in: u64,
    /// Bytes of the response's body.
    pub(crate) bytes_out: u64,
    /// From the end of the request's headers to the end of the response.
    pub(crate) duration: Duration,
    /// The upstream's name, if one was asked.
    pub(crate) upstream: Option<&'a str>,
    /// Its status, if it answered.
    pub(crate) upstream_status: Option<u16>,
    /// How long it took to answer, or to fail.
    pub(crate) upstream_duration: Option<Duration>,
    /// The `User-Agent` header.
    pub(crate) user_agent: Option<&'a str>,
    /// The `Referer` header.
    pub(crate) referer: Option<&'a str>,
    /// What went wrong on the way, for logs only.
    pub(crate) error: Option<&'a str>,
    /// What was decided.
    pub(crate) record: &'a Record,
}

/// The logs and the metrics.
#[derive(Debug)]
pub(crate) struct Telemetry {
    access: Option<Arc<Writer>>,
    audit: Option<Arc<Writer>>,
    /// Where the two lead.
    outputs: [config::LogOutput; 2],
    exclude_paths: Vec<PathPattern>,
    people: People,
    config_hash: String,
    metrics: Arc<Metrics>,
    repeats: Repeats,
    /// What the audit log was told of visits that were too many.
    floods: Repeats,
}

impl Telemetry {
    /// The same, for the first time.
    #[cfg(test)]
    pub(crate) fn new(
        config: &config::Telemetry,
        hash_key: &[u8; 32],
        config_hash: &str,
        metrics: Arc<Metrics>,
    ) -> io::Result<Self> {
        Self::after(None, config, hash_key, config_hash, metrics)
    }

    /// Opens the logs, going on with those that were open `before` where they are to be the same. People are hashed with
    /// `hash_key`; `config_hash` is what audit events say of the configuration.
    ///
    /// # Errors
    /// When a log cannot be opened; the text names it.
    pub(crate) fn after(
        before: Option<&Self>,
        config: &config::Telemetry,
        hash_key: &[u8; 32],
        config_hash: &str,
        metrics: Arc<Metrics>,
    ) -> io::Result<Self> {
        let outputs = [config.access_log.output.clone(), config.audit_log.clone()];
        let [access, audit] = &outputs;
        let kept = |wanted: &config::LogOutput, at: usize| {
            let before = before.filter(|before| before.outputs.get(at) == Some(wanted))?;
            Some(if at == 0 { before.access.clone() } else { before.audit.clone() })
        };
        let access = match kept(access, 0) {
            Some(kept) => kept,
            None => Writer::new(access, &metrics.access_lost)?.map(Arc::new),
        };
        let audit = match kept(audit, 1) {
            Some(kept) => kept,
            None => Writer::new(audit, &metrics.audit_lost)?.map(Arc::new),
        };
        Ok(Self {
            access,
            audit,
            outputs,
            exclude_paths: config.access_log.exclude_paths.clone(),
            people: People::new(config.user_fields, hash_key),
            config_hash: config_hash.to_owned(),
            metrics,
            repeats: Repeats::default(),
            floods: Repeats::default(),
        })
    }

    /// The metrics, for whoever counts something else.
    pub(crate) fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// Writes down and counts a request, once.
    pub(crate) fn finished(&self, finished: &Finished<'_>) {
        self.metrics.ended(&Ended {
            method: finished.method,
            status: finished.status,
            duration: finished.duration,
            upstream: finished
                .upstream_duration
                .map(|duration| (duration, finished.upstream_status)),
            record: finished.record,
            active: None,
        });
        let excluded = self.exclude_paths.iter().any(|pattern| pattern.matches(finished.path));
        if let Some(access) = self.access.as_ref().filter(|_| !excluded) {
            access.line(access_log::line(finished, &self.people));
        }
        if let Some(audit) = &self.audit {
            let (hash, id) = (&self.config_hash, || event_id(finished.request_id));
            for leg in &finished.record.legs {
                audit.line(audit_log::leg_line(leg, finished, hash, &id()));
            }
            if let Some(event) = audit_log::event(finished.record)
                && !self.is_one_more_of_a_flood(finished)
            {
                audit.line(audit_log::line(event, finished, &self.people, hash, &id()));
            }
        }
        self.tell_operator(finished);
    }

    /// Whether it is refused because of their number, as others were a moment ago: the audit log is not for strangers to
    /// fill (K7). All of them are counted.
    fn is_one_more_of_a_flood(&self, finished: &Finished<'_>) -> bool {
        finished.record.reason == Some(Reason::LoginsTooMany)
            && self.floods.again(finished.record.reason, finished.time) == Telling::LeaveOut
    }

    /// Whether anything is written down of a request without a fault. Where not, it only has to be counted.
    pub(crate) fn writes(&self, record: &Record) -> bool {
        let has_event = || !record.legs.is_empty() || audit_log::event(record).is_some();
        self.access.is_some() || record.cause.is_some() || (self.audit.is_some() && has_event())
    }

    /// Begins new files, after the old ones were moved away.
    pub(crate) fn reopen(&self) {
        self.logs().for_each(Writer::reopen);
    }

    /// Waits until the logs are written, but no longer than `patience` for each.
    pub(crate) fn flush(&self, patience: Duration) {
        self.logs().for_each(|log| log.flush(patience));
    }

    fn logs(&self) -> impl Iterator<Item = &Writer> {
        self.access.iter().chain(&self.audit).map(|log| &**log)
    }

    fn tell_operator(&self, finished: &Finished<'_>) {
        let record = finished.record;
        let Some(cause) = record.cause.as_deref().or(finished.error) else { return };
        let Telling::Tell { left_out } = self.repeats.again(record.reason, finished.time) else {
            return;
        };
        let code = record.reason.map(Reason::code);
        if left_out > 0 {
            tracing::warn!(code, left_out, "visits that failed like this were left out");
        }
        tracing::warn!(
            code,
            request = finished.request_id,
            provider = record.provider(),
            route = record.route.as_deref().map(|route| route.name.as_str()),
            upstream = finished.upstream,
            cause,
            "a visit failed"
        );
    }
}

impl Witness for Telemetry {
    fn turned_away(&self, connection: &TurnedAway<'_>) {
        self.metrics.turned_away(connection.listener, connection.cause);
        if let Some(access) = &self.access {
            access.line(access_log::turned_away(connection, SystemTime::now()));
        }
    }
}

/// 128 random bits, or the request's id if there are none to be had: it is unique too, unless a proxy in front
/// of us gives one id to many requests.
fn event_id(request_id: &str) -> String {
    let mut entropy = [0; 16];
    match getrandom::fill(&mut entropy) {
        Ok(()) => format!("{:032x}", u128::from_be_bytes(entropy)),
        Err(_) => request_id.to_owned(),
    }
}
