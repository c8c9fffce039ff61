//! `headers`, `identity` and `secrets` of a route: what the upstream is told, and what browsers are.

use std::collections::BTreeMap;

use http::{HeaderName, HeaderValue};
use lychgate_gateway::headers::{IdentityHeaders, PRESETS};
use lychgate_gateway::template::Template;
use lychgate_oidc::Secret;

use super::needs::Needs;
use crate::code::Code;
use crate::context::{Context, Text};
use crate::grammar::ROUTE_HEADERS;
use crate::problem::Problem;
use crate::reader::Reader;
use crate::tree::{Entry, Value};

/// The headers of a route.
pub(super) struct Headers {
    pub(super) identity: IdentityHeaders,
    pub(super) response: Vec<(HeaderName, Option<HeaderValue>)>,
    /// What the templates read.
    pub(super) needs: Needs,
}

pub(super) fn read(reader: &Reader<'_>) -> Headers {
    let context = reader.context;
    let mut needs = Needs::default();
    let mut identity = preset(reader, &mut needs);
    let secrets = secrets(reader);
    let path = reader.name("headers");
    let headers = reader.table_or_default("headers", &path, &ROUTE_HEADERS);
    for entry in headers.free_table("request") {
        let Some(name) = header_name(context, entry, Direction::Request) else { continue };
        identity.set.retain(|(set, _)| *set != name);
        match value(context, entry, &format!("{path}.request.{}", entry.key)) {
            Some(Edit::Remove) => identity.remove.push(name),
            Some(Edit::Set(text)) => {
                if let Some(template) = template(context, &text, &secrets) {
                    needs.of_template(&text.value, &template);
                    identity.set.push((name, template));
                }
            }
            None => {}
        }
    }
    let mut response = Vec::new();
    for entry in headers.free_table("response") {
        let Some(name) = header_name(context, entry, Direction::Response) else { continue };
        match value(context, entry, &format!("{path}.response.{}", entry.key)) {
            Some(Edit::Remove) => response.push((name, None)),
            Some(Edit::Set(text)) => match HeaderValue::try_from(text.value.as_str()) {
                Ok(value) => response.push((name, Some(value))),
                Err(_) => context.add(
                    Problem::new(Code::E0231, &text.place, "this cannot be the value of a header")
                        .label("a header value has no control characters"),
                ),
            },
            None => {}
        }
    }
    Headers { identity, response, needs }
}

fn preset(reader: &Reader<'_>, needs: &mut Needs) -> IdentityHeaders {
    let default = "headers";
    let text = reader.text("identity");
    let name = text.as_ref().map_or(default, |text| text.value.as_str());
    let Some(preset) = PRESETS.iter().find(|preset| preset.name == name) else {
        if let Some(text) = &text {
            reader.none_of(
                text,
                &reader.name("identity"),
                PRESETS.iter().map(|preset| preset.name),
            );
        }
        return IdentityHeaders::default();
    };
    let mut identity = IdentityHeaders::default();
    for (name, text) in preset.headers {
        // The presets are tested where they are written: each can be read.
        let Ok(template) = Template::parse(text, |_| None) else { continue };
        needs.of_template(text, &template);
        identity.set.push((HeaderName::from_static(name), template));
    }
    identity
}

fn secrets(reader: &Reader<'_>) -> BTreeMap<String, Option<Secret>> {
    let path = reader.name("secrets");
    let entries = reader.free_table("secrets").iter();
    let secrets = entries.map(|entry| {
        let secret = reader.context.secret(&entry.node, &format!("{path}.{}", entry.key));
        (entry.key.clone(), secret)
    });
    secrets.collect()
}

fn template(
    context: &Context<'_>,
    text: &Text,
    secrets: &BTreeMap<String, Option<Secret>>,
) -> Option<Template> {
    // A secret that could not be read was said already; anything may stand for it.
    let find = |name: &str| {
        secrets.get(name).map(|secret| secret.clone().unwrap_or_else(|| Secret::new("unread")))
    };
    match Template::parse(&text.value, find) {
        Ok(template) => Some(template),
        Err(error) => {
            let hole = text.value.get(error.at..).unwrap_or_default();
            let length = hole.find('}').map_or(hole.len(), |end| end + 1);
            let place = context.inside(&text.place, &text.value, error.at..error.at + length);
            let problem = Problem::new(Code::E0231, &place, "this header's value cannot be read");
            context.add(problem.label(error.problem));
            None
        }
    }
}

enum Edit {
    Remove,
    Set(Text),
}

fn value(context: &Context<'_>, entry: &Entry, name: &str) -> Option<Edit> {
    match entry.node.value {
        Value::Boolean(false) => Some(Edit::Remove),
        Value::Text(_) => context.text(&entry.node, name).map(Edit::Set),
        Value::Boolean(true)
        | Value::Datetime
        | Value::Float(_)
        | Value::Integer(_)
        | Value::List(_)
        | Value::Table(_) => {
            context.add(context.wrong_type(
                &entry.node,
                name,
                "a text, or `false` to remove the header",
            ));
            None
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    Request,
    Response,
}

fn header_name(context: &Context<'_>, entry: &Entry, direction: Direction) -> Option<HeaderName> {
    let refuse = |label: &str| {
        let message = format!("the header `{}` cannot be set or removed", entry.key);
        context.add(Problem::new(Code::E0230, &entry.key_place, message).label(label));
    };
    let Ok(name) = HeaderName::try_from(entry.key.as_str()) else {
        refuse("this is no header's name");
        return None;
    };
    match reserved(name.as_str(), direction) {
        Some(reason) => {
            refuse(reason);
            None
        }
        None => Some(name),
    }
}

/// Why a header is not the operator's to change.
fn reserved(name: &str, direction: Direction) -> Option<&'static str> {
    let reason = match name {
        "connection" | "keep-alive" | "te" | "trailer" | "upgrade" => {
            "it is about one connection (RFC 9110 §7.6.1)"
        }
        "content-length" | "transfer-encoding" => "it says where a message ends",
        name if name.starts_with("proxy-") => "it is about one connection (RFC 9110 §11.7)",
        "host" if direction == Direction::Request => "it is the host of the route's `url`",
        "cookie" if direction == Direction::Request => {
            "cookies are the browser's; ours are taken out"
        }
        "set-cookie" | "set-cookie2" => "cookies are set by whoever reads them",
        "forwarded" | "x-forwarded-for" | "x-forwarded-host" | "x-forwarded-proto"
        | "x-real-ip" | "x-request-id"
            if direction == Direction::Request =>
        {
            "Lychgate writes it itself, on every route"
        }
        _ => return None,
    };
    Some(reason)
}
