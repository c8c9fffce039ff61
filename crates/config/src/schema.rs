//! The JSON Schema of the configuration language, for editors: draft-07, which is what they read.
//!
//! Made of the same tables as the readers use. Nothing is required of a table that may be spread over several files,
//! and every text may hold a variable.
//!
//! Sources: JSON Schema draft-07 (draft-handrews-json-schema-01, validation-01); requirements C-45 to C-47.

use lychgate_gateway::headers::PRESETS;
use lychgate_oidc::kind::Kind as ProviderKind;
use serde_json::{Map, Value, json};

use crate::grammar::{ENTRY, Kind, PROVIDER, ROUTE, SECRET, TEST, TEST_REQUEST, TOP, belongs_to};
use crate::guide::{Guide, guide};
use crate::shape::{self, Key, Shape};

/// A variable inside a text, as a pattern.
const VARIABLE: &str = r"\$\{";

/// The schema of this very program, as a document.
#[must_use]
pub fn schema() -> String {
    let mut schema = table(&TOP, &guide());
    if let Some(members) = schema.as_object_mut() {
        members.insert("$schema".to_owned(), "http://json-schema.org/draft-07/schema#".into());
        members.insert("title".to_owned(), "Configuration of Lychgate".into());
    }
    format!("{schema:#}\n")
}

fn table(kind: &'static Kind, guide: &Guide) -> Value {
    let properties: Map<String, Value> = shape::keys(kind)
        .iter()
        .map(|key| (key.name.to_owned(), property(kind, key, guide)))
        .collect();
    let mut schema = json!({
        "type": "object",
        "properties": properties,
        "additionalProperties": false,
    });
    let (required, first): (&[&str], &[&str]) = match kind.name {
        name if name == TEST.name => (&["name", "request", "expect"], &[]),
        name if name == TEST_REQUEST.name => (&["line"], &[]),
        name if name == PROVIDER.name => (&[], &["issuer", "client_id", "client_secret"]),
        name if name == ROUTE.name => (&[], &["url", "upstream", "allow"]),
        _ => (&[], &[]),
    };
    if let Some(members) = schema.as_object_mut() {
        if !required.is_empty() {
            members.insert("required".to_owned(), required.into());
        }
        if !first.is_empty() {
            members.insert("x-taplo".to_owned(), json!({ "initKeys": first }));
        }
        if kind.name == SECRET.name {
            members.insert("minProperties".to_owned(), 1.into());
            members.insert("maxProperties".to_owned(), 1.into());
        }
        if kind.name == PROVIDER.name {
            members.insert("dependencies".to_owned(), keys_of_kinds());
        }
        if kind.name == ENTRY.name {
            members.insert("minProperties".to_owned(), 1.into());
        }
    }
    schema
}

/// Which kinds of provider a key belongs to, for the keys that belong to some only. The kind may stand in another file.
fn keys_of_kinds() -> Value {
    let mut dependencies = Map::new();
    for key in PROVIDER.keys {
        let kinds = ProviderKind::ALL.iter().filter(|kind| belongs_to(key, **kind));
        let kinds: Vec<&str> = kinds.map(|kind| kind.as_str()).collect();
        if kinds.len() < ProviderKind::ALL.len() {
            let kind = json!({ "anyOf": [{ "enum": kinds }, { "pattern": VARIABLE }] });
            dependencies.insert((*key).to_owned(), json!({ "properties": { "kind": kind } }));
        }
    }
    Value::Object(dependencies)
}

fn property(kind: &'static Kind, key: &'static Key, guide: &Guide) -> Value {
    let mut schema = of_shape(key.shape, guide);
    let advice = guide.get(&(kind.name, key.name));
    let default = key.default.filter(|default| *default != "{}").and_then(literal);
    if let (Some(members), Some(advice)) = (schema.as_object_mut(), advice) {
        if !advice.sentence.is_empty() {
            members.insert("description".to_owned(), advice.sentence.as_str().into());
        }
        // Tables have examples inside.
        if default.is_none() && !matches!(key.shape, Shape::Table(_) | Shape::TablesByName(_)) {
            members.insert("examples".to_owned(), json!([advice.example]));
        }
    }
    if let (Some(members), Some(default)) = (schema.as_object_mut(), default) {
        members.insert("default".to_owned(), default);
    }
    schema
}

/// A default for programs.
fn literal(default: &str) -> Option<Value> {
    crate::resolve::literal(default).map(|node| crate::guide::json(&node))
}

fn of_shape(shape: Shape, guide: &Guide) -> Value {
    let text = || json!({ "type": "string" });
    let texts = || json!({ "type": "array", "items": text() });
    let by_name = |inner: Value| json!({ "type": "object", "additionalProperties": inner });
    let secret = || json!({ "anyOf": [table(&SECRET, guide), text()] });
    let quantity = |units: &str, or: &str| json!({ "type": "string", "pattern": format!(r"^\s*[0-9]+\s*({units})$|{or}{VARIABLE}") });
    let word = |words: &[&str], or: &str| json!({ "type": "string", "anyOf": [{ "enum": words }, { "pattern": format!("{or}{VARIABLE}") }] });
    match shape {
        Shape::Boolean => json!({ "type": "boolean" }),
        Shape::Duration(..) => quantity("ms|s|m|h|d", ""),
        Shape::Entries => {
            json!({ "type": "array", "minItems": 1, "items": { "anyOf": [table(&ENTRY, guide), text()] } })
        }
        Shape::Free => json!({}),
        Shape::FreeTable => json!({ "type": "object" }),
        Shape::FreeTables => json!({ "type": "array", "items": { "type": "object" } }),
        Shape::Headers => by_name(json!({ "anyOf": [text(), { "enum": [false] }] })),
        Shape::Integer(least, most) => {
            json!({ "type": "integer", "minimum": least, "maximum": most })
        }
        Shape::Lists => by_name(texts()),
        Shape::Numbers(numbers) => json!({ "type": "array", "items": { "enum": numbers } }),
        Shape::Output(words) => word(words, "/|"),
        Shape::Path | Shape::Text => text(),
        Shape::Preset => word(&PRESETS.iter().map(|preset| preset.name).collect::<Vec<_>>(), ""),
        Shape::Secret | Shape::TextOrSecret => secret(),
        Shape::Secrets => json!({ "type": "array", "minItems": 1, "items": secret() }),
        Shape::SecretsByName => by_name(secret()),
        Shape::Size => quantity("B|KiB|MiB|GiB|KB|kB|MB|GB", "^none$|"),
        Shape::SizeWithin(..) => quantity("B|KiB|MiB|GiB|KB|kB|MB|GB", ""),
        Shape::Table(kind) => table(kind, guide),
        Shape::Tables(kind) => json!({ "type": "array", "items": table(kind, guide) }),
        Shape::TablesByName(kind) => by_name(table(kind, guide)),
        Shape::TextOrTable(kind) => json!({ "anyOf": [text(), table(kind, guide)] }),
        Shape::TextOrTablesByName(kind) => {
            by_name(json!({ "anyOf": [text(), table(kind, guide)] }))
        }
        Shape::Texts => texts(),
        Shape::TextsOrTable(kind) => json!({ "anyOf": [texts(), table(kind, guide)] }),
        Shape::TextsOrText => json!({ "anyOf": [texts(), text()] }),
        Shape::TextsByName => by_name(text()),
        Shape::Url => {
            json!({ "type": "string", "pattern": format!(r"^[hH][tT][tT][pP][sS]?://|{VARIABLE}") })
        }
        Shape::Word(words) => word(words, ""),
        Shape::WordOrTable(words, kind) => {
            json!({ "anyOf": [word(words, ""), table(kind, guide)] })
        }
    }
}
