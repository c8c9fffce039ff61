//! `[[routes.NAME.rules]]`: exceptions inside a route, the first that fits (C-71).

use std::collections::BTreeMap;

use http::Method;
use lychgate_gateway::route::Rule;

use super::access::{self, Answer};
use super::policies::{Names, People};
use super::telemetry::path_pattern;
use crate::code::Code;
use crate::file::Place;
use crate::grammar::RULE;
use crate::problem::Problem;
use crate::reader::Reader;
use crate::tree::Value;

/// The rules of a route, and what each answered.
pub(super) fn read(
    route: &Reader<'_>,
    name: &str,
    names: &Names,
    policies: &BTreeMap<String, People>,
) -> Vec<(Rule, Answer)> {
    let Some(entry) = route.entry("rules") else { return Vec::new() };
    let path = route.name("rules");
    let Value::List(items) = &entry.node.value else {
        let problem = route.context.wrong_type(&entry.node, &path, "a list of tables");
        route.context.add(problem.help(format!("write [[{path}]]")));
        return Vec::new();
    };
    let mut rules: Vec<(Rule, Answer)> = Vec::new();
    let mut places: Vec<Place> = Vec::new();
    for (index, item) in items.iter().enumerate() {
        let rule_name = format!("{path}[{index}]");
        let Some(reader) = route.context.read(item, &item.place, &rule_name, &RULE) else {
            continue;
        };
        let pattern = reader.words("path");
        let pattern =
            pattern.and_then(|text| path_pattern(route.context, &text, &reader.name("path")));
        let methods = methods(&reader);
        let who = format!("rule {} of route `{name}`", index + 1);
        let answer = access::read(&reader, &who, names, policies);
        let (Some(answer), true) = (answer, pattern.is_some() || !reader.has("path")) else {
            continue;
        };
        let rule =
            Rule { name: rule_name.clone(), path: pattern, methods, access: answer.access() };
        let earlier =
            rules.iter().zip(&places).position(|((earlier, _), _)| covers(earlier, &rule));
        if let Some(first) = earlier.and_then(|at| places.get(at)) {
            route.context.add(
                Problem::new(Code::W0202, &item.place, format!("{who} can never match"))
                    .label("this one")
                    .also(first, "covers it, and the first rule that fits decides"),
            );
        }
        rules.push((rule, answer));
        places.push(item.place.clone());
    }
    rules
}

/// Whether whatever `later` is about, `earlier` is about too.
fn covers(earlier: &Rule, later: &Rule) -> bool {
    let methods = earlier.methods.is_empty()
        || (!later.methods.is_empty()
            && later.methods.iter().all(|method| earlier.methods.contains(method)));
    let paths = match (&earlier.path, &later.path) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(earlier), Some(later)) => earlier.covers(later),
    };
    methods && paths
}

fn methods(reader: &Reader<'_>) -> Vec<Method> {
    let Some(entry) = reader.entry("methods") else { return Vec::new() };
    let texts = reader.texts("methods").unwrap_or_default();
    if matches!(&entry.node.value, Value::List(items) if items.is_empty()) {
        let message = format!("`{}` is empty", reader.name("methods"));
        let problem = Problem::new(Code::E0122, &entry.node.place, message);
        reader.context.add(problem.label("delete it for a rule about all methods"));
    }
    let mut methods = Vec::new();
    for text in texts {
        let upper = text.value.to_ascii_uppercase();
        let method = Method::from_bytes(text.value.as_bytes()).ok().filter(|_| upper == text.value);
        let Some(method) = method else {
            let message = format!("{:?} is no method", text.value);
            let label = format!("write {upper:?}: methods are compared with their case");
            reader.context.add(Problem::new(Code::E0122, &text.place, message).label(label));
            continue;
        };
        methods.push(method);
    }
    methods
}
