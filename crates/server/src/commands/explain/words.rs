//! An explanation for people.

use std::fmt::Write as _;

use http::HeaderValue;
use lychgate_config::Rehearsal;
use lychgate_config::config::ExpectedDecision;
use lychgate_config::rehearsal::{self, entry_name, full_name};
use lychgate_gateway::explain::{AccessTrace, EntryTrace, Explanation, RuleTrace, Told};
use lychgate_gateway::outcome::DecisionWord;

/// Whether the values of headers are shown (W-13). Secrets never are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::commands) enum Headers {
    Masked,
    Shown,
}

/// The place of something in the configuration: `lychgate.toml:12`.
pub(super) fn place(rehearsal: &Rehearsal, name: &str) -> Option<String> {
    rehearsal.place(name).map(|position| format!("{}:{}", position.file, position.line))
}

/// A header's value as it may be shown.
pub(super) fn value(value: &HeaderValue, headers: Headers) -> String {
    if value.is_sensitive() {
        "‹secret›".to_owned()
    } else if headers == Headers::Masked {
        format!("‹{} bytes›", value.len())
    } else {
        super::shown(&String::from_utf8_lossy(value.as_bytes()))
    }
}

/// Everything that is known, a line each.
pub(in crate::commands) fn lines(
    rehearsal: &Rehearsal,
    explanation: &Explanation,
    headers: Headers,
) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let mut line = |label: &str, rest: &str| {
        let _ = writeln!(text, " {label:<9}{rest}");
    };
    line("who", &who(explanation));
    if let Some(request) = &explanation.request {
        let client = match request.client {
            Some(client) => format!("   from {client}"),
            None => String::new(),
        };
        line("judged", &format!("{}{}{client}", request.authority, request.path));
    }
    if let Some(route) = &explanation.route {
        line("route", &with_place(rehearsal, &full_name(&route.name)));
    }
    text.push_str(&rules(rehearsal, explanation));
    let mut line = |label: &str, rest: &str| {
        let _ = writeln!(text, " {label:<9}{rest}");
    };
    line("result", &result(explanation));
    match (&explanation.cause, explanation.reason) {
        (Some(cause), _) => line("because", cause),
        (None, Some(reason)) => line("because", reason.meaning()),
        (None, None) => {}
    }
    match &*explanation.sign_in {
        [] => {}
        [only] => line("sign in", &format!("at {only}")),
        several => line("sign in", &format!("at one of {}", several.join(", "))),
    }
    let nearest = nearest(explanation);
    if !nearest.is_empty() {
        line("nearest", &format!("the way in needs {}", nearest.join(" and ")));
    }
    if let Some(words) = &explanation.words {
        line("shown", &format!("{words:?}"));
    }
    if let Some(told) = &explanation.upstream {
        text.push_str(&upstream(told, headers));
    }
    text
}

fn who(explanation: &Explanation) -> String {
    let Some(person) = &explanation.person else { return "nobody is signed in".to_owned() };
    let mut who = format!("{}   provider {}", super::shown(person.user()), person.provider());
    if let Some(email) = person.email() {
        let _ = write!(who, "   email {}", super::shown(email));
    }
    if !person.groups().is_empty() {
        let _ = write!(who, "   groups {}", super::shown(&person.groups().join(", ")));
    }
    who
}

fn with_place(rehearsal: &Rehearsal, name: &str) -> String {
    match place(rehearsal, name) {
        Some(place) => format!("{name}   {place}"),
        None => name.to_owned(),
    }
}

fn rules(rehearsal: &Rehearsal, explanation: &Explanation) -> String {
    let mut text = String::new();
    let judged = explanation.request.as_ref().map(|request| request.path.as_str());
    for trace in &explanation.looked_at {
        let mark = if trace.is_about { "→" } else { "·" };
        let _ = write!(text, " {mark} rule   {}", with_place(rehearsal, &full_name(&trace.name)));
        let _ = writeln!(text, "   {}", about(trace, judged));
        if !trace.is_about {
            continue;
        }
        let AccessTrace::SignedIn { policy, allow, deny } = &trace.access else { continue };
        let name = full_name(&trace.name);
        for (list, entries) in [("deny", deny), ("allow", allow)] {
            for (index, trace) in entries.iter().enumerate() {
                let name = entry_name(&name, policy.as_deref(), list, index);
                entry(&mut text, &with_place(rehearsal, &name), trace);
            }
        }
    }
    text
}

/// What a rule is about, and who may pass.
fn about(trace: &RuleTrace, judged: Option<&str>) -> String {
    let mut text = String::new();
    if judged != Some(trace.path.as_str()) {
        let _ = write!(text, "(also read as {}) ", trace.path);
    }
    if !trace.methods.is_empty() {
        let methods: Vec<&str> = trace.methods.iter().map(http::Method::as_str).collect();
        let _ = write!(text, "{} ", methods.join("|"));
    }
    if let Some(pattern) = &trace.pattern {
        let _ = write!(text, "{pattern} ");
    }
    let answer = match (&trace.access, trace.is_about) {
        (_, false) => "is not about this".to_owned(),
        (AccessTrace::Public, true) => "is public".to_owned(),
        (AccessTrace::SignedIn { policy: Some(policy), .. }, true) => format!("policy {policy}"),
        (AccessTrace::SignedIn { policy: None, .. }, true) => "says".to_owned(),
    };
    text + &answer
}

fn entry(text: &mut String, name: &str, trace: &EntryTrace) {
    let _ = writeln!(text, "     {} {name}", mark(trace.holds));
    for condition in &trace.conditions {
        let has = match (&*condition.has, condition.holds) {
            (_, None | Some(true)) => String::new(),
            ([], _) => "   (has none)".to_owned(),
            (has, _) => format!("   (has {})", super::shown(&has.join(", "))),
        };
        let _ = writeln!(text, "         {} {}{has}", mark(condition.holds), condition.text);
    }
}

fn mark(holds: Option<bool>) -> char {
    match holds {
        Some(true) => '✓',
        Some(false) => '✗',
        None => '?',
    }
}

fn result(explanation: &Explanation) -> String {
    let mut text = match rehearsal::decision(explanation) {
        ExpectedDecision::Refuse => "refuse".to_owned(),
        ExpectedDecision::Word(DecisionWord::Own) => "own: a page of Lychgate's".to_owned(),
        ExpectedDecision::Word(word) => word.as_str().to_owned(),
    };
    if let Some(rule) = &explanation.rule {
        let _ = write!(text, "   by {}", full_name(rule));
    }
    if let Some(reason) = explanation.reason {
        let _ = write!(text, "   reason {}", reason.code());
    }
    if let Some(status) = explanation.status {
        let _ = write!(text, "   status {}", status.as_u16());
    }
    text
}

/// The conditions that are missing from the entry of `allow` that lacks fewest, for somebody whom none allows.
pub(super) fn nearest(explanation: &Explanation) -> Vec<String> {
    let refused = explanation.decision == DecisionWord::Deny;
    let decided = explanation
        .looked_at
        .iter()
        .find(|trace| trace.is_about && Some(&trace.name) == explanation.rule.as_ref());
    let Some(AccessTrace::SignedIn { allow, deny, .. }) = decided.map(|trace| &trace.access) else {
        return Vec::new();
    };
    // Whoever is denied is not let in by anything that they might gain.
    if !refused || deny.iter().any(|entry| entry.holds == Some(true)) {
        return Vec::new();
    }
    let missing = |entry: &EntryTrace| {
        let missing = entry.conditions.iter().filter(|condition| condition.holds == Some(false));
        missing.map(|condition| condition.text.clone()).collect::<Vec<_>>()
    };
    allow.iter().map(missing).min_by_key(Vec::len).unwrap_or_default()
}

fn upstream(told: &Told, headers: Headers) -> String {
    let mut text = String::new();
    let _ = writeln!(text, " upstream {} {}", told.name, told.target);
    for header in told.headers.iter().filter(|header| header.is_ours) {
        let _ = writeln!(text, "   {}: {}", header.name, value(&header.value, headers));
    }
    let passed: Vec<&str> = told
        .headers
        .iter()
        .filter(|header| !header.is_ours)
        .map(|header| header.name.as_str())
        .collect();
    if !passed.is_empty() {
        let _ = writeln!(text, "   and the client's {}", passed.join(", "));
    }
    if !told.stripped.is_empty() {
        let stripped: Vec<&str> = told.stripped.iter().map(http::HeaderName::as_str).collect();
        let _ = writeln!(text, "   not the client's {}", stripped.join(", "));
    }
    text
}
