//! One line of JSON for each sign-in, sign-out and refusal, in Elastic Common Schema (T-30).
//!
//! Sources: ECS 8.11, its fields and the allowed values of `event.category`, `event.type` and
//! `event.outcome`.

use lychgate_gateway::identity::Identity;
use lychgate_gateway::outcome::{DecisionWord, Event, Record};
use lychgate_gateway::reason::Reason;
use serde_json::{Map, Value, json};

use super::person::{Named, People};
use super::{Finished, line};
use crate::rfc3339;

/// What an event is in the schema's words.
struct Kind {
    categories: &'static [&'static str],
    types: &'static [&'static str],
    outcome: &'static str,
}

/// What happened, if it is something that the audit log is told about: at most one event (T-32). A refusal
/// by the rules always is.
pub(super) fn event(record: &Record) -> Option<&Event> {
    let denied = || (record.decision == DecisionWord::Deny).then_some(&Event::AccessDenied);
    record.event.as_ref().or_else(denied)
}

/// The line for an event.
pub(super) fn line(
    event: &Event,
    finished: &Finished<'_>,
    people: &People,
    config_hash: &str,
    event_id: &str,
) -> String {
    let record = finished.record;
    let Kind { categories, types, outcome } = kind(event);
    let mut document = json!({
        "@timestamp": rfc3339::milliseconds(finished.time),
        "ecs": { "version": "8.11" },
        "event": {
            "id": event_id,
            "kind": "event",
            "dataset": "lychgate.audit",
            "category": categories,
            "type": types,
            "action": event.as_str(),
            "outcome": outcome,
            "reason": record.reason.map(Reason::code),
        },
        "error": { "message": record.cause },
        "user": user(people, record.identity()),
        "client": { "ip": finished.client },
        "user_agent": { "original": finished.user_agent },
        "url": { "domain": finished.authority, "path": finished.path },
        "http": {
            "request": { "id": finished.request_id, "method": finished.method.as_str() },
            "response": { "status_code": finished.status },
        },
        "rule": { "name": record.rule },
        "service": { "name": "lychgate", "version": env!("CARGO_PKG_VERSION") },
        "lychgate": {
            "config_hash": config_hash,
            "flow": flow(event, record),
            "provider": record.provider(),
            "route": record.route.as_deref().map(|route| route.name.as_str()),
            "session": record.session.as_deref().map(|session| session.id().fingerprint()),
        },
    });
    remove_absent(&mut document);
    line::one_line(&document.to_string()).into_owned()
}

fn kind(event: &Event) -> Kind {
    let authentication = |types, outcome| Kind { categories: &["authentication"], types, outcome };
    match event {
        Event::AccessDenied => {
            Kind { categories: &["web"], types: &["access", "denied"], outcome: "failure" }
        }
        Event::LoginFailed { .. } => authentication(&["start"], "failure"),
        Event::LoginReplayed { .. } => authentication(&["info"], "failure"),
        Event::LoginStarted { .. } => authentication(&["info"], "unknown"),
        Event::LoginSucceeded { .. } => authentication(&["start"], "success"),
        Event::Refreshed => authentication(&["info"], "success"),
        Event::RefreshFailed | Event::TokenRefused => authentication(&["info"], "failure"),
        Event::Logout => {
            Kind { categories: &["authentication", "session"], types: &["end"], outcome: "success" }
        }
    }
}

/// The login that an event is part of. What becomes of a session belongs to the login that it began with.
fn flow(event: &Event, record: &Record) -> Option<String> {
    match event {
        Event::LoginFailed { flow } => flow.clone(),
        Event::LoginReplayed { flow }
        | Event::LoginStarted { flow }
        | Event::LoginSucceeded { flow } => Some(flow.clone()),
        Event::Logout | Event::RefreshFailed | Event::Refreshed => {
            record.session.as_deref().map(|session| session.login().text())
        }
        Event::AccessDenied | Event::TokenRefused => None,
    }
}

/// Issuer and subject are the only stable pair. The issuer is a URL or a plain word and so contains no `|`.
fn user(people: &People, identity: Option<&Identity>) -> Value {
    match people.name(identity) {
        Named::Hash(hash) => json!({ "hash": hash }),
        Named::Nobody => Value::Null,
        Named::Plainly(identity) => json!({
            "id": format!("{}|{}", identity.issuer(), identity.subject()),
            "name": identity.user(),
            "full_name": identity.name(),
            "email": identity.email(),
            "roles": identity.groups(),
        }),
    }
}

/// The schema has no `null`: what is not known is not there.
fn remove_absent(value: &mut Value) {
    if let Value::Object(members) = value {
        members.values_mut().for_each(remove_absent);
        members.retain(|_, member| {
            !member.is_null()
                && member.as_object().is_none_or(|inner: &Map<_, _>| !inner.is_empty())
        });
    }
}
