//! An explanation for programs. Members are only ever added.

use lychgate_config::Rehearsal;
use lychgate_config::rehearsal::{entry_name, full_name};
use lychgate_gateway::explain::{AccessTrace, EntryTrace, Explanation, RuleTrace};
use serde_json::{Value, json};

use super::words::{Headers, nearest, place, value};

/// The whole explanation.
pub(in crate::commands) fn document(
    rehearsal: &Rehearsal,
    explanation: &Explanation,
    headers: Headers,
) -> Value {
    let route = explanation.route.as_ref().map(|route| {
        let name = full_name(&route.name);
        json!({ "name": route.name, "place": place(rehearsal, &name) })
    });
    let person = explanation.person.as_ref().map(|person| {
        json!({
            "user": person.user(),
            "name": person.name(),
            "email": person.email(),
            "groups": person.groups(),
            "provider": person.provider(),
        })
    });
    let request = explanation.request.as_ref().map(|request| {
        json!({
            "authority": request.authority,
            "path": request.path,
            "client": request.client.map(|client| client.to_string()),
        })
    });
    let upstream = explanation.upstream.as_ref().map(|told| {
        let headers: Vec<Value> = told
            .headers
            .iter()
            .map(|header| {
                json!({
                    "name": header.name.as_str(),
                    "value": value(&header.value, headers),
                    "from": if header.is_ours { "lychgate" } else { "client" },
                })
            })
            .collect();
        let stripped: Vec<&str> = told.stripped.iter().map(http::HeaderName::as_str).collect();
        json!({ "name": told.name, "target": told.target, "headers": headers, "stripped": stripped })
    });
    json!({
        "decision": explanation.decision.as_str(),
        "rule": explanation.rule,
        "reason": explanation.reason.map(|reason| reason.code()),
        "cause": explanation.cause,
        "status": explanation.status.map(|status| status.as_u16()),
        "location": explanation.location,
        "request": request,
        "person": person,
        "route": route,
        "rules": explanation.looked_at.iter().map(|trace| rule(rehearsal, trace)).collect::<Vec<_>>(),
        "sign_in": explanation.sign_in,
        "nearest": nearest(explanation),
        "explain": explanation.words,
        "upstream": upstream,
    })
}

fn rule(rehearsal: &Rehearsal, trace: &RuleTrace) -> Value {
    let name = full_name(&trace.name);
    let methods: Vec<&str> = trace.methods.iter().map(http::Method::as_str).collect();
    let mut document = json!({
        "name": trace.name,
        "place": place(rehearsal, &name),
        "asked_about": trace.path,
        "path": trace.pattern,
        "methods": methods,
        "matches": trace.is_about,
    });
    if let Some(members) = document.as_object_mut() {
        match &trace.access {
            AccessTrace::Public => drop(members.insert("public".to_owned(), true.into())),
            AccessTrace::SignedIn { policy, allow, deny } => {
                let policy = policy.as_deref();
                let entries = |list: &str, entries: &[EntryTrace]| {
                    let entries = entries.iter().enumerate().map(|(index, trace)| {
                        entry(rehearsal, &entry_name(&name, policy, list, index), trace)
                    });
                    Value::from(entries.collect::<Vec<_>>())
                };
                members.insert("policy".to_owned(), policy.into());
                members.insert("allow".to_owned(), entries("allow", allow));
                members.insert("deny".to_owned(), entries("deny", deny));
            }
        }
    }
    document
}

fn entry(rehearsal: &Rehearsal, name: &str, trace: &EntryTrace) -> Value {
    let conditions: Vec<Value> = trace
        .conditions
        .iter()
        .map(|condition| {
            json!({ "condition": condition.text, "holds": condition.holds, "has": condition.has })
        })
        .collect();
    json!({
        "name": name,
        "place": place(rehearsal, name),
        "holds": trace.holds,
        "conditions": conditions,
    })
}
