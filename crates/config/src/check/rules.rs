//! `[[routes.NAME.rules]]`: exceptions inside a route, the first that fits (C-71).

use std::collections::BTreeMap;

use http::Method;
use lychgate_gateway::path::PathPattern;
use lychgate_gateway::route::{Access, Rule};

use super::access::{self, Answer};
use super::policies::{Names, People};
use super::telemetry::path_pattern;
use crate::code::Code;
use crate::file::Place;
use crate::grammar::RULE;
use crate::problem::Problem;
use crate::reader::Reader;
use crate::tree::Value;

/// The rules of a route, and what each answered. `otherwise` is the answer of the route itself.
pub(super) fn read(
    route: &Reader<'_>,
    name: &str,
    names: &Names,
    policies: &BTreeMap<String, People>,
    otherwise: Option<&Answer>,
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
    let mut paths: Vec<Option<Place>> = Vec::new();
    for (index, item) in items.iter().enumerate() {
        let rule_name = format!("{path}[{index}]");
        let Some(reader) = route.context.read(item, &item.place, &rule_name, &RULE) else {
            continue;
        };
        let text = reader.words("path");
        let pattern =
            text.as_ref().and_then(|text| path_pattern(route.context, text, &reader.name("path")));
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
        paths.push(text.map(|text| text.place));
    }
    if let Some(otherwise) = otherwise {
        let rules: Vec<_> = rules.iter().map(|(rule, _)| rule).collect();
        for (rule, place) in rules.iter().zip(&paths) {
            if let Some(place) = place {
                warn_of_the_other_form(route, rule, place, &rules, &otherwise.access());
            }
        }
    }
    rules
}

/// Warns when a path is kept for some and the same path with a slash at its end, or without, is for others: many
/// applications answer both alike.
///
/// It is not said where the operator wrote a rule for either, nor where the exact path is for everybody: the other form is
/// then at most stricter, and nobody gets in who was kept out.
fn warn_of_the_other_form(
    route: &Reader<'_>,
    rule: &Rule,
    place: &Place,
    rules: &[&Rule],
    otherwise: &Access,
) {
    let Some(path) = rule.path.as_ref().map(PathPattern::as_str) else { return };
    let other = match path.strip_suffix('/') {
        _ if path.ends_with("/**") || path == "/" => return,
        Some(bare) => bare.to_owned(),
        None => format!("{path}/"),
    };
    let named = rules.iter().filter_map(|rule| rule.path.as_ref());
    if named.into_iter().any(|pattern| pattern.as_str() == other) {
        return;
    }
    // A method that no rule names stands for all of those.
    let unnamed = Method::from_bytes(b"-").ok();
    let methods = match rule.methods.as_slice() {
        [] => rules.iter().flat_map(|rule| &rule.methods).chain(&unnamed).collect(),
        named => named.iter().collect::<Vec<_>>(),
    };
    // A pattern matches its own text, and so does whatever matches all that it matches.
    let access = |method: &Method, path: &str| {
        let first = rules.iter().find(|rule| rule.is_about(method, path));
        first.map_or(otherwise, |rule| &rule.access)
    };
    let differs = methods.into_iter().any(|method| {
        let this = access(method, path);
        matches!(this, Access::SignedIn(_)) && !is_same(this, access(method, &other))
    });
    if differs {
        let bare = path.trim_end_matches('/');
        let message = format!("`{path}` and `{other}` are for different people");
        route.context.add(
            Problem::new(Code::W0204, place, message)
                .label(format!("this is not about `{other}`, which many applications answer alike"))
                .help(format!(
                    "write \"{bare}/**\" for both and everything below, or a rule for \"{other}\""
                )),
        );
    }
}

/// Whether the same people may pass.
fn is_same(one: &Access, other: &Access) -> bool {
    match (one, other) {
        (Access::Public, Access::Public) => true,
        (Access::SignedIn(one), Access::SignedIn(other)) => {
            one.allow == other.allow && one.deny == other.deny
        }
        (Access::Public, Access::SignedIn(_)) | (Access::SignedIn(_), Access::Public) => false,
    }
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
