//! The schema, held to what the readers say: what one accepts or refuses, the other does too.
//!
//! `UPDATE_DOCS=1 cargo test -p lychgate-config --test schema` writes the shipped schema anew.

use std::fs;
use std::path::{Path, PathBuf};

use lychgate_config::{Environment, Format, Source, check, schema};
use regex::Regex;
use serde_json::Value;

struct Variables;

impl Environment for Variables {
    fn variable(&self, name: &str) -> Option<String> {
        (name == "DOMAIN").then(|| "example.com".to_owned())
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn document() -> Value {
    serde_json::from_str(&schema()).expect("the schema is JSON")
}

/// A value of TOML for programs; `None` when the text is no TOML.
fn json(text: &str) -> Option<Value> {
    let table: toml::Table = text.parse().ok()?;
    Some(of_toml(toml::Value::Table(table)))
}

fn of_toml(value: toml::Value) -> Value {
    match value {
        toml::Value::Array(items) => items.into_iter().map(of_toml).collect(),
        toml::Value::Boolean(value) => value.into(),
        toml::Value::Datetime(_) => Value::Null,
        toml::Value::Float(value) => value.into(),
        toml::Value::Integer(value) => value.into(),
        toml::Value::String(value) => value.into(),
        toml::Value::Table(table) => {
            table.into_iter().map(|(key, value)| (key, of_toml(value))).collect()
        }
    }
}

/// Where a value breaks a schema: as much of draft-07 as ours uses. A keyword that this does not know fails.
fn broken(schema: &Value, value: &Value, at: &str) -> Vec<String> {
    let mut found = Vec::new();
    let is = |kind: &str| match kind {
        "array" => value.is_array(),
        "boolean" => value.is_boolean(),
        "integer" => value.as_f64().is_some_and(|number| number.fract() == 0.0),
        "object" => value.is_object(),
        "string" => value.is_string(),
        other => panic!("no type of ours: {other}"),
    };
    let count = |length: Option<usize>, least: &Value| {
        length.is_none_or(|length| length as u64 >= least.as_u64().unwrap_or(0))
    };
    let members = value.as_object();
    for (keyword, wanted) in schema.as_object().expect("a schema is an object") {
        let holds = match keyword.as_str() {
            "type" => is(wanted.as_str().expect("one type")),
            "enum" => wanted.as_array().expect("a list").contains(value),
            "pattern" => value.as_str().is_none_or(|text| {
                Regex::new(wanted.as_str().expect("a text")).expect("a pattern").is_match(text)
            }),
            "minimum" => value.as_f64().is_none_or(|number| Some(number) >= wanted.as_f64()),
            "maximum" => value.as_f64().is_none_or(|number| Some(number) <= wanted.as_f64()),
            "minItems" => count(value.as_array().map(Vec::len), wanted),
            "minProperties" => count(members.map(serde_json::Map::len), wanted),
            "maxProperties" => members
                .is_none_or(|members| members.len() as u64 <= wanted.as_u64().expect("a number")),
            "required" => members.is_none_or(|members| {
                let names = wanted.as_array().expect("a list").iter();
                names.filter_map(Value::as_str).all(|name| members.contains_key(name))
            }),
            "anyOf" => wanted
                .as_array()
                .expect("a list")
                .iter()
                .any(|schema| broken(schema, value, at).is_empty()),
            "items" => {
                for (index, item) in value.as_array().into_iter().flatten().enumerate() {
                    found.extend(broken(wanted, item, &format!("{at}[{index}]")));
                }
                continue;
            }
            // One key says what others may be.
            "dependencies" => {
                for (name, schema) in wanted.as_object().expect("an object") {
                    if members.is_some_and(|members| members.contains_key(name)) {
                        found.extend(broken(schema, value, at));
                    }
                }
                continue;
            }
            "properties" | "additionalProperties" => continue,
            "$schema" | "default" | "description" | "examples" | "title" | "x-taplo" => continue,
            other => panic!("this checker does not know `{other}`"),
        };
        if !holds {
            found.push(format!("{at}: {keyword} {wanted} is not met by {value}"));
        }
    }
    for (name, inner) in members.into_iter().flatten() {
        let known = schema.get("properties").and_then(|properties| properties.get(name));
        let at = format!("{at}.{name}");
        match (known, schema.get("additionalProperties")) {
            (Some(schema), _) => found.extend(broken(schema, inner, &at)),
            (None, Some(Value::Bool(false))) => found.push(format!("{at}: is not known")),
            (None, Some(schema @ Value::Object(_))) => found.extend(broken(schema, inner, &at)),
            (None, _) => {}
        }
    }
    found
}

fn everything(example: &str) -> String {
    let line = |line: &str| match line.strip_prefix('#') {
        Some(key) if !key.starts_with([' ', ':']) || key.starts_with("    ") => key.to_owned(),
        _ => line.to_owned(),
    };
    example.lines().map(line).collect::<Vec<_>>().join("\n")
}

/// C-45, C-47: the shipped file is that of this program.
#[test]
fn the_shipped_schema_is_the_one_that_is_printed() {
    let path = root().join("lychgate.schema.json");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&path, schema()).unwrap();
    }
    let shipped = fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(shipped, schema(), "lychgate.schema.json is out of date: run with UPDATE_DOCS=1");
}

/// C-45: draft-07, nothing unknown anywhere, and a sentence at every key but those that only hold others.
#[test]
fn the_schema_knows_every_key_and_no_other() {
    fn walk(schema: &Value, at: &str) {
        if let Some(properties) = schema.get("properties").and_then(Value::as_object) {
            assert_eq!(schema["additionalProperties"], false, "{at}");
            for (name, property) in properties {
                let holds_others = property.get("properties").is_some()
                    || property["additionalProperties"].is_object()
                    || property["items"].get("properties").is_some();
                let sentence = property["description"].as_str();
                assert!(sentence.is_some() || holds_others, "{at}.{name} has no description");
                let shows = ["default", "examples"].iter().any(|key| property.get(key).is_some());
                assert!(shows || holds_others, "{at}.{name} has neither default nor example");
            }
        }
        let inside = schema.as_object().into_iter().flatten();
        for (name, inner) in inside.filter(|(name, _)| *name != "dependencies") {
            walk(inner, &format!("{at}.{name}"));
        }
        for inner in schema.as_array().into_iter().flatten() {
            walk(inner, at);
        }
    }
    let document = document();
    assert_eq!(document["$schema"], "http://json-schema.org/draft-07/schema#");
    walk(&document, "");
}

/// C-46, C-47: every shipped file names the schema in its first line and conforms to it, as do the defaults and
/// examples that the schema itself gives.
#[test]
fn every_shipped_file_names_the_schema_and_conforms_to_it() {
    let document = document();
    let mut files = vec![root().join("config.example.toml")];
    let examples = fs::read_dir(root().join("deploy/examples")).unwrap();
    files.extend(examples.map(|entry| entry.unwrap().path()));
    assert!(files.len() > 3, "{files:?}");
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        let first = text.lines().next().and_then(|line| line.strip_prefix("#:schema "));
        let named = first.map(|path| file.parent().unwrap().join(path));
        assert!(named.is_some_and(|path| path.is_file()), "{}", file.display());
        for text in [everything(&text), text] {
            let Some(value) = json(&text) else { continue };
            assert_eq!(broken(&document, &value, ""), Vec::<String>::new(), "{}", file.display());
        }
    }
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    for snippet in readme.split("```toml\n").skip(1) {
        let value = json(snippet.split("```").next().unwrap()).expect("TOML");
        assert_eq!(broken(&document, &value, ""), Vec::<String>::new(), "{snippet}");
    }
}

#[test]
fn the_examples_inside_the_schema_conform_to_it() {
    fn walk(schema: &Value, at: &str) {
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            let at = format!("{at}.{name}");
            let examples = property["examples"].as_array().into_iter().flatten();
            for example in examples.chain(property.get("default")) {
                assert_eq!(broken(property, example, &at), Vec::<String>::new());
            }
            walk(property, &at);
            walk(&property["additionalProperties"], &at);
            walk(&property["items"], &at);
        }
    }
    walk(&document(), "");
}

fn text_of(path: &Path) -> String {
    fs::read_to_string(path).unwrap()
}

/// C-47: what the readers call unknown or of the wrong type the schema refuses, and what they take it takes.
#[test]
fn the_schema_refuses_what_the_readers_refuse() {
    let document = document();
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/problems");
    let (mut refused, mut taken) = (0, 0);
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        let Some(value) = json(&text) else { continue };
        let source = Source::Text { name: "lychgate.toml".to_owned(), text };
        let report = match check(&[source], &Variables) {
            Ok(checked) => checked.warnings,
            Err(report) => report,
        };
        let report = report.render(Format::Plain);
        let broken = broken(&document, &value, "");
        // Without `kind` in a file it may stand in another one; the readers have them all.
        let may_be_elsewhere = |line: &str| {
            line.contains("kind \"oidc\" has no key") && !text_of(&path).contains("kind = \"oidc\"")
        };
        let is_unknown = |line: &str| line.contains("error[E0102]") && !may_be_elsewhere(line);
        if report.lines().any(is_unknown) || report.contains("error[E0120]") {
            assert!(!broken.is_empty(), "{}", path.display());
            refused += 1;
        } else if !report.contains("error[") {
            assert_eq!(broken, Vec::<String>::new(), "{}", path.display());
            taken += 1;
        }
    }
    assert!(refused >= 8 && taken >= 3, "{refused} refused, {taken} taken");
}

/// The checker itself can tell right from wrong.
#[test]
fn what_is_wrong_breaks_the_schema() {
    let document = document();
    for (text, part) in [
        ("[sessions]\nlifetim = \"12h\"", "is not known"),
        ("[sessions]\nlifetime = 12", "type"),
        ("[sessions]\nlifetime = \"12 hours\"", "pattern"),
        ("[auth]\nmax_pending_logins = 99", "maximum"),
        ("[telemetry]\nlog.level = \"loud\"", "anyOf"),
        ("[providers.corp]\nclient_secret = { file = \"a\", env = \"b\" }", "anyOf"),
        ("[routes.app]\nallow = []", "minItems"),
        ("[[routes.app.rules]]\npaths = \"/x\"", "is not known"),
        ("[[tests]]\nname = \"x\"", "required"),
        ("[providers.corp]\nkind = \"github\"\ntenant = \"common\"", "anyOf"),
        ("[providers.corp]\nkind = \"entra\"\norganizations = [\"acme\"]", "anyOf"),
        ("[providers.corp]\nkind = \"oauth2\"\njwks_uri = \"https://a.example/\"", "anyOf"),
    ] {
        let found = broken(&document, &json(text).expect("TOML"), "");
        assert!(found.iter().any(|found| found.contains(part)), "{text}: {found:?}");
    }
    for text in [
        "[providers.corp]\nkind = \"entra\"\ntenant = \"common\"",
        "[providers.corp]\nkind = \"${KIND}\"\ntenant = \"common\"",
        "[providers.corp]\ntenant = \"common\"",
    ] {
        assert_eq!(broken(&document, &json(text).expect("TOML"), ""), Vec::<String>::new());
    }
    let fine = json("[telemetry]\nlog.level = \"${LEVEL:-info}\"").expect("TOML");
    assert_eq!(broken(&document, &fine, ""), Vec::<String>::new());
}
