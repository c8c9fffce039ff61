//! `lookups` and `memberships`: the operator's own questions to a provider, and who may enter.

use http::{HeaderName, HeaderValue};
use lychgate_oidc::{
    Condition, Lookup, LookupToken, Paging, Read, ReadValue, UrlTemplateError, When, url_template,
};
use serde_json::Value as Json;

use crate::code::Code;
use crate::context::Text;
use crate::file::Place;
use crate::grammar::{LOOKUP, LOOKUP_PAGING, LOOKUP_READ};
use crate::problem::Problem;
use crate::reader::Reader;
use crate::tree::{Entry, Node, Value};

/// How many questions there may be: each costs every sign-in a round trip.
const LOOKUPS_MAX: usize = 8;

pub(super) fn read(reader: &Reader<'_>) -> Option<Vec<Lookup>> {
    let entry = reader.entry("lookups")?;
    let name = reader.name("lookups");
    let Value::List(items) = &entry.node.value else {
        reader.context.add(reader.context.wrong_type(&entry.node, &name, "a list of tables"));
        return None;
    };
    if items.len() > LOOKUPS_MAX {
        let problem =
            Problem::new(Code::E0124, &entry.node.place, format!("`{name}` has too many entries"));
        reader.context.add(problem.label(format!("at most {LOOKUPS_MAX}")));
        return None;
    }
    let lookups: Vec<Option<Lookup>> = items
        .iter()
        .enumerate()
        .map(|(index, item)| {
            let path = format!("{name}[{index}]");
            let reader = reader.context.read(item, &item.place, &path, &LOOKUP)?;
            lookup(&reader, index)
        })
        .collect();
    lookups.into_iter().collect()
}

/// Which claims must have one of some values.
pub(super) fn memberships(reader: &Reader<'_>) -> Option<Vec<(String, Vec<String>)>> {
    let entry = reader.entry("memberships")?;
    let name = reader.name("memberships");
    let entries = reader.free_table("memberships");
    if entries.is_empty() {
        if matches!(entry.node.value, Value::Table(_)) {
            let problem =
                Problem::new(Code::E0122, &entry.node.place, format!("`{name}` is empty"));
            reader.context.add(problem.label("write for example { groups = [\"staff\"] }"));
        }
        return None;
    }
    let mut memberships = Vec::new();
    for entry in entries {
        let texts = reader.context.texts(&entry.node, &format!("{name}.{}", entry.key))?;
        if texts.is_empty() {
            let message = format!("`{name}.{}` is empty", entry.key);
            let problem = Problem::new(Code::E0122, &entry.node.place, message);
            reader.context.add(problem.label("this would let in nobody"));
            return None;
        }
        memberships.push((entry.key.clone(), texts.into_iter().map(|text| text.value).collect()));
    }
    Some(memberships)
}

fn lookup(reader: &Reader<'_>, index: usize) -> Option<Lookup> {
    for key in ["url", "reads"] {
        if reader.lacks(key) {
            reader.context.add(reader.missing(format!("`{}` is missing", reader.name(key))));
        }
    }
    let url = url(reader);
    let reads = reads(reader);
    let headers = headers(reader);
    let body = body(reader);
    let token = token(reader);
    let paging = match reader.has("paging") {
        true => paging(reader),
        false => Some(Paging::None),
    };
    let when = when(reader);
    let nothing = statuses(reader);
    let name = reader.words("name").map_or_else(|| index.to_string(), |text| text.value);
    Some(Lookup {
        name,
        url: url?,
        body: body?,
        headers: headers?,
        token: token?,
        paging: paging?,
        reads: reads?,
        when: when?,
        nothing: nothing?,
        required: reader.boolean("required").unwrap_or(true),
    })
}

fn refuse<T>(reader: &Reader<'_>, key: &str, place: &Place, label: &str) -> Option<T> {
    let message = format!("`{}` cannot be used", reader.name(key));
    reader.context.add(Problem::new(Code::E0122, place, message).label(label));
    None
}

fn url(reader: &Reader<'_>) -> Option<String> {
    let text = reader.words("url")?;
    match url_template(&text.value) {
        Ok(_) => Some(text.value),
        Err(error @ UrlTemplateError::NotHttps) => {
            let message = format!("`{}` cannot be used", reader.name("url"));
            let problem = Problem::new(Code::E0401, &text.place, message).label(error.to_string());
            reader.context.add(problem.help("the access token goes along"));
            None
        }
        Err(error) => refuse(reader, "url", &text.place, &error.to_string()),
    }
}

fn headers(reader: &Reader<'_>) -> Option<Vec<(String, String)>> {
    let mut headers = Vec::new();
    for entry in reader.free_table("headers") {
        let name = format!("{}.{}", reader.name("headers"), entry.key);
        let text = reader.context.text(&entry.node, &name)?;
        let is_ours = ["authorization", "content-length", "host", "transfer-encoding"]
            .contains(&&*entry.key.to_ascii_lowercase());
        let good = HeaderName::try_from(entry.key.as_str()).is_ok()
            && HeaderValue::try_from(text.value.as_str()).is_ok();
        if is_ours || !good {
            let message = format!("`{name}` cannot be set");
            let problem = Problem::new(Code::E0230, &entry.key_place, message);
            reader.context.add(problem.label(if is_ours {
                "this one is set by Lychgate"
            } else {
                "this is no header"
            }));
            return None;
        }
        headers.push((entry.key.clone(), text.value));
    }
    Some(headers)
}

/// A body, and with it POST. It has to be JSON.
fn body(reader: &Reader<'_>) -> Option<Option<String>> {
    let posted = reader.word("method", false, &[("GET", false), ("POST", true)]);
    let Some(text) = (if reader.has("body") { Some(reader.words("body")?) } else { None }) else {
        return Some(posted.then(|| "{}".to_owned()));
    };
    if reader.has("method") && !posted {
        return refuse(reader, "body", &text.place, "a GET has no body; write method = \"POST\"");
    }
    match serde_json::from_str::<Json>(&text.value) {
        Ok(_) => Some(Some(text.value)),
        Err(error) => refuse(reader, "body", &text.place, &format!("this is no JSON: {error}")),
    }
}

fn token(reader: &Reader<'_>) -> Option<LookupToken> {
    let parameter = reader.words("danger_token_in_query");
    if let Some(text) = parameter {
        return Some(LookupToken::Query(text.value));
    }
    let Some(text) = reader.words("token_scheme") else {
        return Some(LookupToken::Scheme("Bearer".to_owned()));
    };
    if text.value.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
        Some(LookupToken::Scheme(text.value))
    } else {
        refuse(reader, "token_scheme", &text.place, "this is one word: \"Bearer\" or \"token\"")
    }
}

fn paging(reader: &Reader<'_>) -> Option<Paging> {
    let entry = reader.entry("paging")?;
    if let Value::Text(_) = entry.node.value {
        let words = [("none", Some(false)), ("link", Some(true))];
        return reader.word("paging", None, &words).map(|link| match link {
            true => Paging::Link,
            false => Paging::None,
        });
    }
    let path = reader.name("paging");
    let table = reader.table("paging", &path, &LOOKUP_PAGING)?;
    let text = |key: &str| table.words(key).map(|text| text.value);
    match (text("next_url"), text("token"), text("page"), text("parameter")) {
        (Some(member), None, None, None) => Some(Paging::NextUrl(member)),
        (None, Some(member), None, Some(parameter)) => Some(Paging::Token { member, parameter }),
        (None, None, Some(parameter), None) => Some(Paging::Number(parameter)),
        _ => {
            let label = "write { next_url = \"…\" }, { token = \"…\", parameter = \"…\" } or { page = \"…\" }";
            refuse(reader, "paging", &entry.node.place, label)
        }
    }
}

fn when(reader: &Reader<'_>) -> Option<When> {
    let Some(text) = reader.words("when") else {
        return (!reader.has("when")).then_some(When::Always);
    };
    match text.value.split_once(':') {
        None if text.value == "always" => Some(When::Always),
        Some(("missing", claim)) if !claim.is_empty() => Some(When::Missing(claim.to_owned())),
        Some(("present", claim)) if !claim.is_empty() => Some(When::Present(claim.to_owned())),
        _ => refuse(
            reader,
            "when",
            &text.place,
            "write \"always\", \"missing:CLAIM\" or \"present:CLAIM\"",
        ),
    }
}

/// The statuses that say "nothing of the kind".
fn statuses(reader: &Reader<'_>) -> Option<Vec<u16>> {
    let Some(entry) = reader.entry("expect_status") else { return Some(Vec::new()) };
    let one = |node: &Node| match node.value {
        Value::Integer(Some(number)) => {
            u16::try_from(number).ok().filter(|status| [400, 403, 404, 410].contains(status))
        }
        Value::Boolean(_)
        | Value::Datetime
        | Value::Float(_)
        | Value::Integer(None)
        | Value::List(_)
        | Value::Table(_)
        | Value::Text(_) => None,
    };
    let statuses: Option<Vec<u16>> = match &entry.node.value {
        Value::List(items) => items.iter().map(one).collect(),
        Value::Boolean(_)
        | Value::Datetime
        | Value::Float(_)
        | Value::Integer(_)
        | Value::Table(_)
        | Value::Text(_) => None,
    };
    if statuses.is_none() {
        let label = "a list of 400, 403, 404 and 410: what says that somebody is not there";
        return refuse(reader, "expect_status", &entry.node.place, label);
    }
    statuses
}

fn reads(reader: &Reader<'_>) -> Option<Vec<Read>> {
    let entry = reader.entry("reads")?;
    let entries = reader.free_table("reads");
    if entries.is_empty() {
        if matches!(entry.node.value, Value::Table(_)) {
            return refuse(reader, "reads", &entry.node.place, "write CLAIM = \"PATH\"");
        }
        return None;
    }
    let reads: Vec<Option<Read>> = entries.iter().map(|entry| one_read(reader, entry)).collect();
    reads.into_iter().collect()
}

fn one_read(reader: &Reader<'_>, entry: &Entry) -> Option<Read> {
    let name = format!("{}.{}", reader.name("reads"), entry.key);
    if let Value::Text(_) = entry.node.value {
        let text = reader.context.text(&entry.node, &name)?;
        return Some(Read { value: value(reader, &text)?, ..Read::one(&entry.key, "") });
    }
    let table = reader.context.read(&entry.node, &entry.key_place, &name, &LOOKUP_READ)?;
    if table.lacks("each") {
        reader.context.add(table.missing(format!("`{}` is missing", table.name("each"))));
    }
    let each = table.text("each")?.value;
    let text = table.words("value");
    let value = match (&text, table.has("value")) {
        (Some(text), _) => value(&table, text)?,
        (None, true) => return None,
        (None, false) => ReadValue::Path(String::new()),
    };
    let mut only = Vec::new();
    for entry in table.free_table("only") {
        let expected = match &entry.node.value {
            Value::Boolean(value) => Json::from(*value),
            Value::Integer(Some(value)) => Json::from(*value),
            Value::Text(_) => {
                let name = format!("{}.{}", table.name("only"), entry.key);
                Json::from(reader.context.text(&entry.node, &name)?.value)
            }
            Value::Datetime
            | Value::Float(_)
            | Value::Integer(None)
            | Value::List(_)
            | Value::Table(_) => {
                let label = "a text, a whole number, `true` or `false`";
                return refuse(&table, "only", &entry.node.place, label);
            }
        };
        only.push(Condition::Is(entry.key.clone(), expected));
    }
    let every = !table.boolean("first").unwrap_or(false);
    Some(Read { claim: entry.key.clone(), each: Some(each), value, only, every })
}

/// A path, or with braces a template.
fn value(reader: &Reader<'_>, text: &Text) -> Option<ReadValue> {
    let (open, close) = (text.value.matches('{').count(), text.value.matches('}').count());
    match (open, close) {
        (0, 0) => Some(ReadValue::Path(text.value.clone())),
        _ if open == close => Some(ReadValue::Template(text.value.clone())),
        _ => {
            let message = format!("a brace in `{}` has no partner", reader.path);
            reader
                .context
                .add(Problem::new(Code::E0122, &text.place, message).label("write \"{path}\""));
            None
        }
    }
}
