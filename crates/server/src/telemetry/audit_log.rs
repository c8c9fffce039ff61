//! One line of JSON for each sign-in, sign-out and refusal, in Elastic Common Schema (T-30), and one for each
//! [leg](Leg) of a login before that.
//!
//! Sources: ECS 8.11, its fields and the allowed values of `event.category`, `event.type` and
//! `event.outcome`; `event.duration` is in nanoseconds.

use lychgate_gateway::identity::Identity;
use lychgate_gateway::outcome::{DecisionWord, Event, Leg, LegKind, Record};
use lychgate_gateway::reason::Reason;
use serde_json::{Map, Value, json};

use super::person::{Named, People};
use super::{Finished, line};
use crate::rfc3339;

/// Every event, by its action and outcome, with what it says: what the reference is written from.
#[cfg(test)]
pub(crate) const EVENTS: &[(&str, &str, &str)] = &[
    ("access", "failure", "A person, or a program with a token, may not do what they asked for."),
    (
        "callback",
        "unknown",
        "A browser came back to a login that it had begun. What became of it is said by the `login` or `login-replay` of the same request.",
    ),
    (
        "code-exchange",
        "success",
        "The provider gave tokens for the code, and answered everything else that it was asked.",
    ),
    ("code-exchange", "failure", "It did not."),
    ("id-token", "failure", "An ID token, beside the code or among the tokens, was not believed."),
    ("login", "success", "A session began."),
    (
        "login",
        "failure",
        "A login ended without a session: the provider refused, or the callback, the tokens or the person were refused.",
    ),
    (
        "login-replay",
        "failure",
        "A login that was finished before was brought once more. Nothing was asked of the provider.",
    ),
    ("login-started", "unknown", "A browser was sent to a provider."),
    ("logout", "success", "A person ended their session."),
    ("pushed-request", "success", "The provider took a request ahead of the browser (PAR)."),
    ("pushed-request", "failure", "It did not."),
    (
        "token",
        "failure",
        "An access token was presented that is not good here, or not known to be.",
    ),
    ("token-refresh", "success", "The provider was asked again who somebody is, and said so."),
    ("token-refresh", "failure", "It refused, or did not answer."),
];

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
    let mut document = document(&kind(event), finished, config_hash, event_id);
    add(
        &mut document,
        &json!({
            "event": { "action": event.as_str(), "reason": record.reason.map(Reason::code) },
            "error": { "code": record.provider_error, "message": record.cause },
            "user": user(people, record.identity()),
            "lychgate": {
                "flow": flow(event, record),
                "session": record.session.as_deref().map(|session| session.id().fingerprint()),
            },
        }),
    );
    written(document)
}

/// The line for a leg of a login. It names nobody: who somebody is, is known at the end.
pub(super) fn leg_line(
    leg: &Leg,
    finished: &Finished<'_>,
    config_hash: &str,
    event_id: &str,
) -> String {
    let record = finished.record;
    let outcome = match (leg.kind, leg.reason) {
        (LegKind::CallbackReceived, _) => "unknown",
        (LegKind::CodeExchanged | LegKind::IdTokenRefused | LegKind::RequestPushed, Some(_)) => {
            "failure"
        }
        (LegKind::CodeExchanged | LegKind::IdTokenRefused | LegKind::RequestPushed, None) => {
            "success"
        }
    };
    let kind = Kind { categories: &["authentication"], types: &["info"], outcome };
    let mut document = document(&kind, finished, config_hash, event_id);
    let nanoseconds = leg.took.map(|took| u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
    add(
        &mut document,
        &json!({
            "event": {
                "action": leg.kind.as_str(),
                "reason": leg.reason.map(Reason::code),
                "duration": nanoseconds,
            },
            "error": {
                "code": record.provider_error.as_ref().filter(|_| leg.reason.is_some()),
                "message": record.cause.as_ref().filter(|_| leg.reason.is_some()),
            },
            "lychgate": { "flow": leg.flow },
        }),
    );
    written(document)
}

/// What every line says.
fn document(kind: &Kind, finished: &Finished<'_>, config_hash: &str, event_id: &str) -> Value {
    let record = finished.record;
    let Kind { categories, types, outcome } = kind;
    json!({
        "@timestamp": rfc3339::milliseconds(finished.time),
        "ecs": { "version": "8.11" },
        "event": {
            "id": event_id,
            "kind": "event",
            "dataset": "lychgate.audit",
            "category": categories,
            "type": types,
            "outcome": outcome,
        },
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
            "provider": record.provider(),
            "route": record.route.as_deref().map(|route| route.name.as_str()),
        },
    })
}

/// Adds what one line says to what every line does.
fn add(document: &mut Value, more: &Value) {
    match (document, more) {
        (Value::Object(members), Value::Object(more)) => {
            for (name, value) in more {
                add(members.entry(name.as_str()).or_insert(Value::Null), value);
            }
        }
        (place, value) => value.clone_into(place),
    }
}

fn written(mut document: Value) -> String {
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
