//! The configuration with everything said that was left unsaid: defaults filled in, sets of headers spelled out,
//! variables replaced, paths made absolute (C-40).
//!
//! Whoever reads the result gets the same configuration, so its hash names a configuration and not a way to write
//! it (C-41). Only a document that was checked is resolved.

use std::path::PathBuf;

use lychgate_gateway::headers::PRESETS;
use lychgate_oidc::Algorithm;

use crate::context::Context;
use crate::expand::expand;
use crate::file::{File, Files, Place};
use crate::grammar::{ENTRY, Kind, SECRET, TOP};
use crate::problem::Problems;
use crate::shape::{self, Shape};
use crate::tree::{self, Entry, Node, Table, Value};

/// Where a default stands: in no file.
fn nowhere() -> Place {
    Place { file: usize::MAX, span: 0..0 }
}

/// A default, read.
pub(crate) fn literal(default: &str) -> Option<Node> {
    let mut files = Files::default();
    let text = format!("default = {default}");
    let file = files.add(File::new(String::new(), &text, PathBuf::new(), false));
    let mut table = tree::parse(file, &files, &Problems::default());
    table.0.pop().map(|entry| Node { place: nowhere(), value: elsewhere(entry.node.value) })
}

/// The same value, with the place of a default inside too.
fn elsewhere(value: Value) -> Value {
    let Value::List(items) = value else { return value };
    let items = items.into_iter();
    Value::List(items.map(|item| Node { place: nowhere(), value: elsewhere(item.value) }).collect())
}

/// Resolves a document that was checked.
pub(crate) fn resolved(context: &Context<'_>, mut document: Table) -> Table {
    let mut path = Vec::new();
    Resolving { context }.table(&mut document, &TOP, &mut path);
    arrange(&mut document, &TOP);
    document
}

/// Brings keys into the grammar's order and names into theirs, since neither says anything.
fn arrange(table: &mut Table, kind: &'static Kind) {
    let keys = shape::keys(kind);
    table.0.sort_by_key(|entry| keys.iter().position(|key| key.name == entry.key));
    for entry in &mut table.0 {
        let shape = shape::find(kind, &entry.key).map(|key| key.shape);
        match (shape, &mut entry.node.value) {
            (
                Some(
                    Shape::Table(kind)
                    | Shape::TextOrTable(kind)
                    | Shape::TextsOrTable(kind)
                    | Shape::WordOrTable(_, kind),
                ),
                Value::Table(inner),
            ) => arrange(inner, kind),
            // Their order is that in which claims are read.
            (Some(Shape::TextOrTablesByName(kind)), Value::Table(named)) => {
                for entry in &mut named.0 {
                    if let Value::Table(inner) = &mut entry.node.value {
                        arrange(inner, kind);
                    }
                }
            }
            (Some(Shape::TablesByName(kind)), Value::Table(named)) => {
                named.0.sort_by(|one, other| one.key.cmp(&other.key));
                for entry in &mut named.0 {
                    if let Value::Table(inner) = &mut entry.node.value {
                        arrange(inner, kind);
                    }
                }
            }
            (Some(Shape::Tables(kind)), Value::List(items)) => {
                for item in items {
                    if let Value::Table(inner) = &mut item.value {
                        arrange(inner, kind);
                    }
                }
            }
            _ => {}
        }
    }
}

struct Resolving<'a> {
    context: &'a Context<'a>,
}

impl Resolving<'_> {
    fn table(&self, table: &mut Table, kind: &'static Kind, path: &mut Vec<String>) {
        for entry in &mut table.0 {
            path.push(entry.key.clone());
            let shape = shape::find(kind, &entry.key).map_or(Shape::Text, |key| key.shape);
            self.node(&mut entry.node, shape, path);
            path.pop();
        }
        // Other kinds of providers know fewer keys, and what they do without them is theirs.
        if path.first().is_some_and(|first| first == "providers") && !speaks_oidc(table, path) {
            return;
        }
        for key in shape::keys(kind) {
            let Some(default) = key.default.filter(|_| table.find(key.name).is_none()) else {
                continue;
            };
            let Some(mut node) = literal(default) else { continue };
            path.push(key.name.to_owned());
            self.node(&mut node, key.shape, path);
            path.pop();
            let at = if key.name == "version" { 0 } else { table.0.len() };
            table.0.insert(at, filled(key.name, node.value));
        }
        if kind.name == TOP.name {
            defaults_that_depend_on_others(table);
        }
    }

    fn node(&self, node: &mut Node, shape: Shape, path: &mut Vec<String>) {
        let place = node.place.clone();
        let shape = match (shape, &node.value) {
            (Shape::Secret | Shape::TextOrSecret, Value::Table(_)) => Shape::Table(&SECRET),
            (
                Shape::TextOrTable(kind) | Shape::TextsOrTable(kind) | Shape::WordOrTable(_, kind),
                Value::Table(_),
            ) => Shape::Table(kind),
            (Shape::Entries, Value::Table(_)) => Shape::Table(&ENTRY),
            (shape, _) => shape,
        };
        match &mut node.value {
            Value::Text(text) => {
                // A secret that stands in the document is taken as it stands.
                if !matches!(shape, Shape::Secret | Shape::Secrets | Shape::SecretsByName) {
                    *text = self.text(text, shape, &place);
                }
            }
            Value::List(items) => {
                for item in items {
                    self.node(item, shape.inside().unwrap_or(shape), path);
                }
            }
            Value::Table(table) => {
                if let Shape::Table(kind) = shape {
                    self.table(table, kind, path);
                    return;
                }
                for entry in &mut table.0 {
                    path.push(entry.key.clone());
                    self.node(&mut entry.node, shape.inside().unwrap_or(shape), path);
                    path.pop();
                }
            }
            Value::Boolean(_) | Value::Datetime | Value::Float(_) | Value::Integer(_) => {}
        }
    }

    /// A text as it was meant, written so that it is read as that.
    fn text(&self, written: &str, shape: Shape, place: &Place) -> String {
        let is_default = self.context.files.find(place.file).is_none();
        let text = match expand(written, self.context.environment) {
            Ok(text) if !is_default => text,
            // It was checked, so this is a default.
            Ok(_) | Err(_) => written.to_owned(),
        };
        let is_path = shape == Shape::Path
            || matches!(shape, Shape::Output(words) if !words.contains(&text.as_str()));
        let text = if is_path { self.absolute(place, &text) } else { text };
        text.replace('$', "$$")
    }

    fn absolute(&self, place: &Place, text: &str) -> String {
        let path = self.context.files.path(place, text);
        let absolute = std::path::absolute(&path).unwrap_or(path);
        absolute.to_str().map_or_else(|| text.to_owned(), str::to_owned)
    }
}

/// Whether the table at `path`, below `providers`, is that of a provider that speaks OpenID Connect and is held to no
/// profile, which has defaults of its own; or is inside one of any kind.
fn speaks_oidc(table: &Table, path: &[String]) -> bool {
    path.len() != 2
        || (table.find("profile").is_none()
            && table
                .find("kind")
                .is_none_or(|kind| matches!(&kind.node.value, Value::Text(kind) if kind == "oidc")))
}

fn filled(key: &str, value: Value) -> Entry {
    let node = Node { place: nowhere(), value };
    Entry { key: key.to_owned(), key_place: nowhere(), node }
}

/// The table at a key.
fn inside<'a>(table: &'a mut Table, key: &str) -> Option<&'a mut Table> {
    table.0.iter_mut().find(|entry| entry.key == key).and_then(|entry| {
        if let Value::Table(table) = &mut entry.node.value { Some(table) } else { None }
    })
}

/// The tables under names of the operator's, with the names.
fn each<'a>(
    table: &'a mut Table,
    key: &str,
) -> impl Iterator<Item = (String, &'a mut Table)> + use<'a> {
    inside(table, key).into_iter().flat_map(|tables| &mut tables.0).filter_map(|entry| {
        let Value::Table(table) = &mut entry.node.value else { return None };
        Some((entry.key.clone(), table))
    })
}

fn value(table: &Table, key: &str) -> Option<Value> {
    table.find(key).map(|entry| entry.node.value.clone())
}

/// Says what is unsaid.
fn fill(table: &mut Table, key: &str, value: Option<Value>) {
    if let Some(value) = value
        && table.find(key).is_none()
    {
        table.0.push(filled(key, elsewhere(value)));
    }
}

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

fn defaults_that_depend_on_others(document: &mut Table) {
    if document.find("listeners").is_none() {
        let listener = Table(vec![
            filled("address", text("127.0.0.1:8080")),
            filled("redirect_to_https", Value::Boolean(false)),
            filled("trusted_proxies", Value::List(Vec::new())),
        ]);
        let listeners = Table(vec![filled("default", Value::Table(listener))]);
        document.0.push(filled("listeners", Value::Table(listeners)));
    }
    for (_, listener) in each(document, "listeners") {
        let speaks_tls = listener.find("tls").is_some();
        fill(listener, "http2", Some(Value::Boolean(speaks_tls)));
        if matches!(value(listener, "address"), Some(Value::Text(address)) if address.starts_with("unix:"))
        {
            fill(listener, "mode", Some(text("0660")));
        }
    }
    if let Some(sessions) = inside(document, "sessions") {
        let hour = std::time::Duration::from_secs(3600);
        let lifetime = value(sessions, "lifetime");
        let is_short = matches!(
            &lifetime,
            Some(Value::Text(text)) if crate::unit::duration(text).is_ok_and(|time| time < hour)
        );
        fill(sessions, "idle_timeout", if is_short { lifetime } else { Some(text("1h")) });
        if matches!(value(sessions, "refresh"), Some(Value::Text(refresh)) if refresh == "auto") {
            fill(sessions, "refresh_margin", Some(text("1m")));
            fill(sessions, "refresh_grace", Some(text("10m")));
        }
    }
    let tolerance = inside(document, "auth").and_then(|auth| value(auth, "clock_tolerance"));
    let mut providers = Vec::new();
    for (name, provider) in each(document, "providers") {
        if speaks_oidc(provider, &["providers".to_owned(), name.clone()]) {
            fill(provider, "label", Some(text(&name)));
            fill(provider, "clock_tolerance", tolerance.clone());
            defaults_of_answers(provider);
        }
        providers.push(name);
    }
    providers.sort();
    let body = inside(document, "limits").and_then(|limits| value(limits, "body"));
    for (_, route) in each(document, "routes") {
        if !providers.is_empty() {
            let names = providers.iter().map(|name| Node { place: nowhere(), value: text(name) });
            fill(route, "providers", Some(Value::List(names.collect())));
        }
        if let Some(limits) = inside(route, "limits") {
            fill(limits, "body", body.clone());
        }
        spell_out_identity(route);
    }
}

/// What is expected of the answers of a provider that speaks OpenID Connect, where nothing else is written.
fn defaults_of_answers(provider: &mut Table) {
    let says = |provider: &Table, key: &str, word: &str| matches!(value(provider, key), Some(Value::Text(text)) if text == word);
    if !says(provider, "id_token", "never") {
        let algorithms = Algorithm::DEFAULT.iter();
        let names =
            algorithms.map(|algorithm| Node { place: nowhere(), value: text(algorithm.as_str()) });
        fill(provider, "id_token_signed_response_alg", Some(Value::List(names.collect())));
        fill(provider, "nonce", Some(Value::Boolean(true)));
    }
    let names_people = says(provider, "subject", "claim");
    if let Some(claims) = inside(provider, "claims") {
        fill(claims, "groups", Some(text("groups")));
        if names_people {
            fill(claims, "subject", Some(text("sub")));
        }
    }
}

/// Writes the headers of a preset where the operator writes their own (C-79), which count more.
fn spell_out_identity(route: &mut Table) {
    let entry = route.find("identity");
    let name = match entry.map(|entry| &entry.node.value) {
        Some(Value::Text(name)) => name.clone(),
        _ => "headers".to_owned(),
    };
    let origin = entry.map_or_else(nowhere, |entry| entry.node.place.clone());
    let Some(preset) = PRESETS.iter().find(|preset| preset.name == name) else { return };
    route.0.retain(|entry| entry.key != "identity");
    let at = |key: &str, value: Value| {
        let node = Node { place: origin.clone(), value };
        Entry { key: key.to_owned(), key_place: origin.clone(), node }
    };
    route.0.push(at("identity", text("none")));
    if preset.headers.is_empty() {
        return;
    }
    fill(route, "headers", Some(Value::Table(Table::default())));
    let Some(headers) = inside(route, "headers") else { return };
    fill(headers, "request", Some(Value::Table(Table::default())));
    let Some(request) = inside(headers, "request") else { return };
    let is_own = |name: &str| request.0.iter().any(|entry| entry.key.eq_ignore_ascii_case(name));
    let spelled: Vec<Entry> = preset
        .headers
        .iter()
        .filter(|(name, _)| !is_own(name))
        .map(|(name, template)| at(name, text(&template.replace('$', "$$"))))
        .collect();
    request.0.splice(0..0, spelled);
}
