//! `login`, `bearer` and `cors` of a route: how clients are met that are no page in a browser.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderName;
use lychgate_gateway::bearer::{Bearer, Introspection};
use lychgate_gateway::clients::{ClientRules, LoginRule};
use lychgate_gateway::cors::{Cors, CorsRules};
use lychgate_oidc::{AccessTokenRules, AccessTokenType, Algorithm};

use super::policies::unknown_name;
use super::routes::origins;
use crate::code::Code;
use crate::context::Text;
use crate::grammar::{ROUTE_BEARER, ROUTE_CORS};
use crate::problem::Problem;
use crate::reader::Reader;
use crate::tree::Value;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(60 * 60);

/// `providers` are those whose people sign in at the route; `known` are all that there are.
pub(super) fn read(reader: &Reader<'_>, providers: &[String], known: &[String]) -> ClientRules {
    let login = reader.word(
        "login",
        LoginRule::Auto,
        &[("auto", LoginRule::Auto), ("never", LoginRule::Never)],
    );
    let path = reader.name("bearer");
    let table = reader.table("bearer", &path, &ROUTE_BEARER);
    let bearer = table.map(|table| Arc::new(bearer(&table, providers, known)));
    ClientRules { login, bearer, cors: cors(reader) }
}

fn bearer(reader: &Reader<'_>, providers: &[String], known: &[String]) -> Bearer {
    let introspection = reader.word(
        "introspection",
        Introspection::Never,
        &[
            ("never", Introspection::Never),
            ("opaque", Introspection::Opaque),
            ("always", Introspection::Always),
        ],
    );
    let issuers = issuers(reader, providers, known);
    if let ([first, _, ..], true) = (&*issuers, introspection != Introspection::Never) {
        let entry = reader.entry("introspection");
        let place = entry.map_or(reader.place, |entry| &entry.node.place);
        let message =
            format!("`{}` needs one issuer, and there are several", reader.name("introspection"));
        let problem = Problem::new(Code::E0123, place, message);
        reader.context.add(
            problem
                .label("a token that does not say whose it is would be shown to all of them")
                .help(format!("write one into `issuers`, such as [\"{}\"]", first)),
        );
    }
    let audiences = audiences(reader);
    check_audience(reader, introspection);
    Bearer {
        issuers,
        token: AccessTokenRules {
            audiences,
            algorithms: algorithms(reader),
            typ: reader.word(
                "typ",
                AccessTokenType::Inferred,
                &[("auto", AccessTokenType::Inferred), ("at+jwt", AccessTokenType::Declared)],
            ),
        },
        scopes: scopes(reader),
        introspection,
        introspection_cache: reader.duration("introspection_cache", MINUTE, Duration::ZERO..=HOUR),
        forward: reader.boolean("forward").unwrap_or(false),
        metadata: reader.boolean("metadata").unwrap_or(true),
    }
}

/// Without an audience every token of the issuer is good here, whatever it was issued for. Whoever leaves that to the
/// issuer says so.
fn check_audience(reader: &Reader<'_>, introspection: Introspection) {
    let is_any = reader.boolean("any_audience").unwrap_or(false);
    let asks = introspection == Introspection::Always;
    match (reader.entry("any_audience").filter(|_| is_any), reader.entry("audience")) {
        (Some(any), Some(audience)) => {
            let message = format!("`{}` has an `audience` and takes any", reader.path);
            let problem = Problem::new(Code::E0123, &any.key_place, message);
            reader.context.add(
                problem
                    .label("delete one of the two")
                    .also(&audience.key_place, "nothing else would count"),
            );
        }
        (Some(any), None) if !asks => {
            let message =
                format!("`{}` takes any audience, and does not ask the issuer", reader.path);
            let problem = Problem::new(Code::E0123, &any.key_place, message);
            reader.context.add(
                problem
                    .label("every token of the issuer would be good here")
                    .help("write `audience` instead, or `introspection = \"always\"` beside it"),
            );
        }
        (None, None) if reader.lacks("audience") => {
            let problem = reader.missing(format!("`{}` has no `audience`", reader.path));
            let help = "write what your tokens have in `aud`, such as audience = \"https://api.example.com\": without it \
                        every token of the issuer would be good here";
            reader.context.add(match asks {
                true => problem.help(format!(
                    "{help}; if the issuer calls a token active only to those whom it is for, any_audience = true"
                )),
                false => problem.help(help),
            });
        }
        (Some(_) | None, _) => {}
    }
}

fn issuers(reader: &Reader<'_>, providers: &[String], known: &[String]) -> Vec<String> {
    let Some(entry) = reader.entry("issuers") else {
        let default = if providers.is_empty() { known } else { providers };
        if default.is_empty() {
            let message = format!("nobody issues tokens for `{}`", reader.path);
            let problem = Problem::new(Code::E0110, reader.place, message);
            reader.context.add(problem.label("there is no provider").help(
                "write [providers.NAME] with `issuer` and `client_id`: its tokens count here",
            ));
        }
        return default.to_vec();
    };
    let texts = reader.texts("issuers").unwrap_or_default();
    if texts.is_empty() {
        let message = format!("`{}` is empty", reader.name("issuers"));
        let problem = Problem::new(Code::E0122, &entry.node.place, message);
        reader.context.add(problem.label("delete it for the providers of the route"));
    }
    let mut issuers: Vec<String> = Vec::new();
    for text in texts {
        if !known.contains(&text.value) {
            unknown_name(reader.context, &text, "provider", known.iter().map(String::as_str));
        } else if !issuers.contains(&text.value) {
            issuers.push(text.value);
        }
    }
    issuers
}

/// A list, or one text alone.
fn list(reader: &Reader<'_>, key: &str) -> Option<Vec<Text>> {
    let entry = reader.entry(key)?;
    if let Value::Text(_) = entry.node.value {
        return Some(Vec::from_iter(reader.words(key)));
    }
    let texts = reader.texts(key)?;
    if texts.is_empty() {
        let message = format!("`{}` is empty", reader.name(key));
        let problem = Problem::new(Code::E0122, &entry.node.place, message);
        reader.context.add(problem.label("write something, or delete the key"));
    }
    Some(texts)
}

fn audiences(reader: &Reader<'_>) -> Option<Vec<String>> {
    let texts = list(reader, "audience")?;
    Some(texts.into_iter().map(|text| text.value).filter(|text| !text.is_empty()).collect())
}

fn scopes(reader: &Reader<'_>) -> Vec<String> {
    let mut scopes = Vec::new();
    for text in reader.texts("scopes").unwrap_or_default() {
        // RFC 6749 §3.3.
        let is_token = |byte: u8| matches!(byte, 0x21 | 0x23..=0x5B | 0x5D..=0x7E);
        if text.value.is_empty() || !text.value.bytes().all(is_token) {
            let message = format!("{:?} is not one scope", text.value);
            let problem = Problem::new(Code::E0122, &text.place, message);
            reader.context.add(problem.label("write one text for each"));
        } else if !scopes.contains(&text.value) {
            scopes.push(text.value);
        }
    }
    scopes
}

fn algorithms(reader: &Reader<'_>) -> Vec<Algorithm> {
    let Some(texts) = list(reader, "algorithms") else { return Algorithm::DEFAULT.to_vec() };
    let mut algorithms = Vec::new();
    for text in texts {
        match text.value.parse() {
            Ok(algorithm) if Algorithm::DEFAULT.contains(&algorithm) => {
                if !algorithms.contains(&algorithm) {
                    algorithms.push(algorithm);
                }
            }
            Ok(_) => {
                let message = format!(
                    "`{}` has an algorithm with a shared secret",
                    reader.name("algorithms")
                );
                let problem = Problem::new(Code::E0123, &text.place, message);
                reader.context.add(
                    problem
                        .label("delete it")
                        .help("whoever could check such a token could make one"),
                );
            }
            Err(_) => {
                let known = Algorithm::DEFAULT.iter().map(|algorithm| algorithm.as_str());
                reader.none_of(&text, &reader.name("algorithms"), known);
            }
        }
    }
    algorithms
}

fn cors(reader: &Reader<'_>) -> Cors {
    #[derive(Clone, Copy)]
    enum Word {
        Pass,
        Refuse,
    }
    let Some(entry) = reader.entry("cors") else { return Cors::Refuse };
    if let Value::Text(_) = entry.node.value {
        let words = [("refuse", Word::Refuse), ("pass", Word::Pass)];
        return match reader.word("cors", Word::Refuse, &words) {
            Word::Pass => Cors::Pass,
            Word::Refuse => Cors::Refuse,
        };
    }
    let path = reader.name("cors");
    let Some(reader) = reader.table("cors", &path, &ROUTE_CORS) else { return Cors::Refuse };
    if reader.lacks("origins") {
        let problem = reader.missing(format!("`{path}` has no `origins`"));
        reader.context.add(
            problem.help("write whose pages may ask: origins = [\"https://spa.example.com\"]"),
        );
    }
    let mut expose_headers = Vec::new();
    for text in reader.texts("expose_headers").unwrap_or_default() {
        match HeaderName::try_from(text.value.as_str()) {
            Ok(name) => expose_headers.push(name),
            Err(_) => {
                let message = format!("{:?} is no header's name", text.value);
                let problem = Problem::new(Code::E0122, &text.place, message);
                reader.context.add(problem.label("write one name for each"));
            }
        }
    }
    Cors::Answer(CorsRules {
        origins: origins(&reader, "origins"),
        credentials: reader.boolean("credentials").unwrap_or(false),
        expose_headers,
        max_age: reader.duration("max_age", 10 * MINUTE, Duration::ZERO..=24 * HOUR),
    })
}
