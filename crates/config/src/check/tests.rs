//! `[[tests]]`: what the operator expects of rules, routes and headers.

use std::collections::BTreeMap;
use std::net::IpAddr;

use http::{HeaderMap, HeaderName, HeaderValue};
use lychgate_gateway::explain::{Hypothesis, Persona};
use lychgate_gateway::outcome::DecisionWord;
use lychgate_gateway::reason::Reason;
use lychgate_gateway::route::Routes;

use super::policies::{Names, unknown_name};
use crate::code::Code;
use crate::config::{Expectation, ExpectedDecision, Test};
use crate::context::Text;
use crate::file::Place;
use crate::grammar::{TEST, TEST_EXPECT, TEST_PERSON, TEST_REQUEST};
use crate::problem::Problem;
use crate::reader::Reader;
use crate::tree::{Node, Value};

/// The words for a decision.
pub(crate) const DECISIONS: &[(&str, ExpectedDecision)] = &[
    ("allow", ExpectedDecision::Word(DecisionWord::Allow)),
    ("deny", ExpectedDecision::Word(DecisionWord::Deny)),
    ("login", ExpectedDecision::Word(DecisionWord::Login)),
    ("own", ExpectedDecision::Word(DecisionWord::Own)),
    ("public", ExpectedDecision::Word(DecisionWord::Public)),
    ("refuse", ExpectedDecision::Refuse),
];

pub(super) fn read(top: &Reader<'_>, names: &Names, routes: &Routes) -> Vec<Test> {
    let Some(entry) = top.entry("tests") else { return Vec::new() };
    let Value::List(items) = &entry.node.value else {
        let problem = top.context.wrong_type(&entry.node, "tests", "a list of tables");
        top.context.add(problem.help("write [[tests]]"));
        return Vec::new();
    };
    let rules = rules(routes);
    let mut tests: Vec<Test> = Vec::new();
    let mut places: Vec<&Place> = Vec::new();
    for (index, item) in items.iter().enumerate() {
        let path = format!("tests[{index}]");
        let Some(reader) = top.context.read(item, &item.place, &path, &TEST) else { continue };
        let Some(test) = test(&reader, names, &rules) else { continue };
        let twin = tests.iter().position(|other| other.name == test.name);
        if let Some(first) = twin.and_then(|at| places.get(at)) {
            let message = format!("two tests have the name {:?}", test.name);
            top.context.add(
                Problem::new(Code::E0150, reader.place, message)
                    .label("second")
                    .also(first, "first"),
            );
        }
        tests.push(test);
        places.push(&item.place);
    }
    tests
}

/// Every rule, as operators and logs write it, with what logs call it.
fn rules(routes: &Routes) -> BTreeMap<String, String> {
    let mut rules = BTreeMap::new();
    for route in routes.origins().iter().flat_map(|origin| routes.at(origin)) {
        rules.insert(route.name.clone(), route.name.clone());
        rules.insert(format!("routes.{}", route.name), route.name.clone());
        rules.extend(route.rules.iter().map(|rule| (rule.name.clone(), rule.name.clone())));
    }
    rules
}

fn test(reader: &Reader<'_>, names: &Names, rules: &BTreeMap<String, String>) -> Option<Test> {
    for key in ["name", "request", "expect"] {
        if reader.lacks(key) {
            let what = if key == "name" { "a test" } else { "this test" };
            reader.context.add(reader.missing(format!("{what} has no `{key}`")));
        }
    }
    let name = reader.words("name");
    let person = reader.entry("as").and_then(|entry| persona(reader, &entry.node, names));
    let hypothesis = reader.entry("request").and_then(|entry| request(reader, &entry.node));
    let expect = expectation(reader, names, rules);
    let hypothesis = Hypothesis { person, ..hypothesis? };
    let position = reader.context.files.position(reader.place);
    Some(Test { name: name?.value, position, hypothesis, expect: expect? })
}

fn persona(reader: &Reader<'_>, node: &Node, names: &Names) -> Option<Persona> {
    let path = reader.name("as");
    let table = reader.context.read(node, &node.place, &path, &TEST_PERSON)?;
    let one = |key: &str| table.words(key).map(|text| text.value);
    let mut claims = BTreeMap::new();
    for entry in table.free_table("claims") {
        let name = format!("{path}.claims.{}", entry.key);
        claims.insert(entry.key.clone(), plain(reader.context.texts(&entry.node, &name)));
    }
    let provider = table.words("provider");
    if let Some(provider) = &provider
        && !names.providers.contains(&provider.value)
    {
        let known = names.providers.iter().map(String::as_str);
        unknown_name(reader.context, provider, "provider", known);
    }
    let email = one("email");
    Some(Persona {
        user: one("user").or_else(|| email.clone()).unwrap_or_else(|| "somebody".to_owned()),
        name: one("name"),
        email,
        email_verified: table.boolean("email_verified").unwrap_or(true),
        groups: plain(table.texts("groups")),
        claims,
        provider: provider.map(|text| text.value),
    })
}

fn plain(texts: Option<Vec<Text>>) -> Vec<String> {
    texts.unwrap_or_default().into_iter().map(|text| text.value).collect()
}

/// A line, or a table with more than a line.
fn request(reader: &Reader<'_>, node: &Node) -> Option<Hypothesis> {
    let (context, path) = (reader.context, reader.name("request"));
    if let Value::Text(_) = node.value {
        return line(reader, &context.text(node, &path)?);
    }
    let table = context.read(node, &node.place, &path, &TEST_REQUEST)?;
    if table.lacks("line") {
        context.add(table.missing(format!("`{path}` has no `line`")));
    }
    let text = table.words("line");
    let more = headers(&table);
    let client = table.words("client").and_then(|text| {
        let address = text.value.parse::<IpAddr>();
        if address.is_err() {
            let message = format!("`{}` is no IP address", table.name("client"));
            let problem = Problem::new(Code::E0122, &text.place, message);
            context.add(problem.label("write for example \"192.0.2.7\""));
        }
        address.ok()
    });
    let mut hypothesis = line(reader, &text?)?;
    for (name, value) in &more {
        hypothesis.headers.insert(name, value.clone());
    }
    Some(Hypothesis { client, ..hypothesis })
}

fn line(reader: &Reader<'_>, text: &Text) -> Option<Hypothesis> {
    let written = text.value.trim();
    let (method, url) = written.split_once(' ').unwrap_or(("GET", written));
    match Hypothesis::of_url(method, url.trim()) {
        Ok(hypothesis) => Some(hypothesis),
        Err(error) => {
            let message = format!("`{}` is no request: {error}", reader.name("request"));
            let problem = Problem::new(Code::E0122, &text.place, message);
            reader.context.add(problem.label("write for example \"GET https://app.example.com/\""));
            None
        }
    }
}

fn headers(table: &Reader<'_>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for entry in table.free_table("headers") {
        let name = format!("{}.{}", table.name("headers"), entry.key);
        let Some(text) = table.context.text(&entry.node, &name) else { continue };
        match (HeaderName::try_from(entry.key.as_str()), HeaderValue::try_from(text.value)) {
            (Ok(name), Ok(value)) => drop(headers.insert(name, value)),
            (Err(_), _) => no_header(table, &entry.key_place, "this is no header's name"),
            (_, Err(_)) => {
                no_header(table, &text.place, "a header value has no control characters");
            }
        }
    }
    headers
}

fn no_header(table: &Reader<'_>, place: &Place, label: &str) {
    let problem = Problem::new(Code::E0231, place, "no client can send this header");
    table.context.add(problem.label(label));
}

fn expectation(
    reader: &Reader<'_>,
    names: &Names,
    rules: &BTreeMap<String, String>,
) -> Option<Expectation> {
    let context = reader.context;
    let path = reader.name("expect");
    let table = reader.table("expect", &path, &TEST_EXPECT)?;
    if TEST_EXPECT.keys.iter().all(|key| table.lacks(key)) {
        let problem = Problem::new(Code::E0110, table.place, format!("`{path}` expects nothing"));
        context.add(problem.label("write for example { decision = \"allow\" }"));
    }
    let known = |key: &str, what: &str, known: &mut dyn Iterator<Item = &str>| {
        let text = table.words(key)?;
        let known: Vec<&str> = known.collect();
        if known.contains(&text.value.as_str()) {
            return Some(text.value);
        }
        unknown_name(context, &text, what, known.iter().copied());
        None
    };
    let decisions = DECISIONS.iter().map(|(word, decision)| (*word, Some(*decision)));
    let decisions: Vec<_> = decisions.collect();
    let rule = known("rule", "rule", &mut rules.keys().map(String::as_str));
    Some(Expectation {
        decision: table.word("decision", None, &decisions),
        rule: rule.and_then(|rule| rules.get(&rule).cloned()),
        status: table
            .has("status")
            .then(|| table.integer("status", 200, 100..=599))
            .and_then(|status| u16::try_from(status).ok()),
        reason: known("reason", "reason", &mut Reason::ALL.iter().map(|reason| reason.code())),
        provider: known("provider", "provider", &mut names.providers.iter().map(String::as_str)),
        upstream_headers: upstream_headers(&table),
    })
}

/// Headers with the values that are expected, or `false` where none is.
fn upstream_headers(table: &Reader<'_>) -> Vec<(HeaderName, Option<String>)> {
    let mut headers = Vec::new();
    for entry in table.free_table("upstream_headers") {
        let path = format!("{}.{}", table.name("upstream_headers"), entry.key);
        let Ok(name) = HeaderName::try_from(entry.key.as_str()) else {
            no_header(table, &entry.key_place, "this is no header's name");
            continue;
        };
        match &entry.node.value {
            Value::Boolean(false) => headers.push((name, None)),
            Value::Text(_) => {
                let text = table.context.text(&entry.node, &path);
                headers.extend(text.map(|text| (name, Some(text.value))));
            }
            Value::Boolean(true)
            | Value::Datetime
            | Value::Float(_)
            | Value::Integer(_)
            | Value::List(_)
            | Value::Table(_) => {
                let expected = "a text, or `false` where the header must not arrive";
                table.context.add(table.context.wrong_type(&entry.node, &path, expected));
            }
        }
    }
    headers
}
