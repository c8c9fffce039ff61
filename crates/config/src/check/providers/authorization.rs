//! What the authorization request asks for, and how it reaches the provider.

use std::time::Duration;

use lychgate_oidc::kind::Preset;
use lychgate_oidc::{
    Algorithm, AuthorizationRequest, ContentEncryption, KeyManagement, Pushing, RequestObject,
    RequestObjectEncryption, RequestObjectSigner, SigningKey, Template, TemplateValue,
};
use serde_json::{Map, Number, Value as Json};

use super::client_auth::{algorithm, no_effect};
use crate::code::Code;
use crate::context::{Context, Text};
use crate::file::Place;
use crate::problem::Problem;
use crate::reader::Reader;
use crate::tree::{Node, Value};

const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(86_400);

/// How long `authorization_details` may be, as written. The login's cookie holds what was asked for, so that
/// the answer can be compared, and browsers drop a cookie above 4096 bytes.
const DETAILS_BYTES_MAX: usize = 1500;

/// What only we say in an authorization request. Whoever could say it otherwise could undo what binds the
/// answer to this login.
const OURS: [&str; 25] = [
    "acr_values",
    "authorization_details",
    "claims",
    "client_assertion",
    "client_assertion_type",
    "client_id",
    "client_secret",
    "code_challenge",
    "code_challenge_method",
    "dpop_jkt",
    "id_token_hint",
    "max_age",
    "nonce",
    "prompt",
    "redirect_uri",
    "registration",
    "request",
    "request_uri",
    "resource",
    "response_mode",
    "response_type",
    "scope",
    "state",
    "ui_locales",
    "web_message_uri",
];

/// What a login link may bring of those: whom to expect, and in which language.
const PASSED_ON: [&str; 1] = ["ui_locales"];

/// What there is to sign a request with.
pub(super) struct Signers<'a> {
    pub(super) signing_key: Option<&'a SigningKey>,
    pub(super) has_secret: bool,
    /// Whether requests are signed even where nobody names an algorithm.
    pub(super) always: bool,
}

/// `id_token_is_due`: whether a nonce would come back.
pub(super) fn request(
    reader: &Reader<'_>,
    signers: &Signers<'_>,
    id_token_is_due: bool,
    scope_templates: Vec<(Template, Place)>,
    preset: Option<&Preset>,
) -> AuthorizationRequest {
    let pushing = reader.word(
        "pushed_authorization_requests",
        Pushing::Auto,
        &[("auto", Pushing::Auto), ("required", Pushing::Required), ("never", Pushing::Never)],
    );
    let request_object = request_object(reader, signers);
    if let Some(entry) = reader.entry("authorization_request_repeats")
        && request_object.is_none()
        && pushing == Pushing::Never
    {
        no_effect(reader, entry, "every parameter is in the address once already");
    }
    let code_challenge =
        reader.word("code_challenge_method", true, &[("S256", true), ("none", false)]);
    let nonce = nonce(reader, id_token_is_due);
    // Where there is no ID token, and no PKCE either, the cookie of the login is all that binds a code to it.
    if !code_challenge && !nonce && id_token_is_due {
        let entry = reader.entry("nonce").or_else(|| reader.entry("code_challenge_method"));
        let place = entry.map_or(reader.place, |entry| &entry.node.place);
        let message = format!("nothing would bind a code from `{}` to its login", reader.path);
        let mut problem = Problem::new(Code::E0403, place, message)
            .label("no nonce")
            .help("turn off the one that the provider does not know, and keep the other");
        if let Some(other) = reader.entry("code_challenge_method") {
            problem = problem.also(&other.node.place, "and no PKCE");
        }
        reader.context.add(problem);
    }
    let from_login = from_login(reader);
    let authorization_details = authorization_details(reader);
    let used = authorization_details.iter().map(|(detail, place)| (detail.texts(), place));
    let in_scopes = scope_templates.iter().map(|(template, place)| (vec![template], place));
    for (templates, place) in used.chain(in_scopes) {
        for name in templates.into_iter().flat_map(Template::login_parameters) {
            if !from_login.iter().any(|allowed| allowed == name) {
                let message = format!("`{{login.{name}}}` is not taken from login links");
                reader.context.add(
                    Problem::new(Code::E0130, place, message)
                        .help(format!("add \"{name}\" to `authorization_params_from_login`")),
                );
            }
        }
    }
    AuthorizationRequest {
        pushing,
        request_object,
        repeats: plain_texts(reader, "authorization_request_repeats"),
        code_challenge,
        nonce,
        max_age: reader
            .has("max_age")
            .then(|| reader.duration("max_age", DAY, Duration::ZERO..=365 * DAY).as_secs()),
        prompt: prompt(reader),
        ui_locales: reader.words("ui_locales").map(|text| text.value),
        acr_values: match preset {
            Some(preset) if !reader.has("acr_values") => preset.acr_values.clone(),
            Some(_) | None => plain_texts(reader, "acr_values"),
        },
        claims: claims(reader),
        resource: resources(reader),
        scope_templates: scope_templates.into_iter().map(|(template, _)| template).collect(),
        authorization_details: authorization_details.into_iter().map(|(it, _)| it).collect(),
        parameters: parameters(reader, preset),
        parameters_from_login: from_login,
    }
}

/// A nonce comes back in the ID token. Providers without one may refuse a parameter that they do not know.
fn nonce(reader: &Reader<'_>, id_token_is_due: bool) -> bool {
    let nonce = reader.boolean("nonce");
    if nonce == Some(true)
        && !id_token_is_due
        && let Some(entry) = reader.entry("nonce")
    {
        no_effect(reader, entry, "`id_token = \"never\"`: it would come back in an ID token");
    }
    nonce.unwrap_or(true) && id_token_is_due
}

fn request_object(reader: &Reader<'_>, signers: &Signers<'_>) -> Option<RequestObject> {
    let Signers { signing_key, has_secret, always } = *signers;
    let key = "request_object_signing_alg";
    let lifetime =
        reader.duration("request_object_lifetime", 300 * SECOND, 30 * SECOND..=3600 * SECOND);
    let kind = reader.word(
        "request_object_typ",
        Some(RequestObject::KIND),
        &[(RequestObject::KIND, Some(RequestObject::KIND)), ("JWT", Some("JWT")), ("none", None)],
    );
    let audience = reader.words("request_object_audience").map(|text| text.value);
    let encryption = request_object_encryption(reader);
    let object = |signer| {
        let kind = kind.map(str::to_owned);
        RequestObject { signer, audience: audience.clone(), lifetime, kind, encryption }
    };
    let Some(text) = reader.text(key) else {
        if let (true, Some(signing_key)) = (always && !reader.has(key), signing_key) {
            let algorithm = algorithm(reader, key, signing_key);
            return Some(object(RequestObjectSigner::Key { key: signing_key.clone(), algorithm }));
        }
        for key in [
            "request_object_lifetime",
            "request_object_typ",
            "request_object_audience",
            "request_object_encryption_alg",
        ] {
            if let Some(entry) = reader.entry(key).filter(|_| !always) {
                no_effect(reader, entry, "there is no `request_object_signing_alg`");
            }
        }
        return None;
    };
    let problem = |label: &str| {
        let message = format!("`{}` cannot be \"{}\"", reader.name(key), text.value);
        reader.context.add(Problem::new(Code::E0123, &text.place, message).label(label));
    };
    let signer = match text.value.parse::<Algorithm>() {
        Ok(Algorithm::HS256) if has_secret => RequestObjectSigner::ClientSecret,
        Ok(Algorithm::HS256) => {
            problem("there is no `client_secret` to sign with");
            return None;
        }
        Ok(_) => match signing_key {
            Some(signing_key) => RequestObjectSigner::Key {
                key: signing_key.clone(),
                algorithm: algorithm(reader, key, signing_key),
            },
            None => {
                // One that cannot be read was said.
                if !reader.has("signing_key") {
                    problem("there is no `signing_key` to sign with");
                }
                return None;
            }
        },
        Err(_) => {
            let known = Algorithm::ALL.iter().map(|algorithm| algorithm.as_str());
            reader.none_of(&text, &reader.name(key), known);
            return None;
        }
    };
    Some(object(signer))
}

/// How a request object is encrypted, if it is; the key is one that the provider publishes.
fn request_object_encryption(reader: &Reader<'_>) -> Option<RequestObjectEncryption> {
    let (alg, enc) = ("request_object_encryption_alg", "request_object_encryption_enc");
    if let (false, Some(entry)) = (reader.has(alg), reader.entry(enc)) {
        no_effect(reader, entry, "there is no `request_object_encryption_alg`");
    }
    let key_managements = KeyManagement::ALL.map(|known| (known.as_str(), Some(known)));
    let contents = ContentEncryption::ALL.map(|known| (known.as_str(), known));
    // Read in any case: what is written wrongly is said.
    let content = reader.word(enc, ContentEncryption::A256GCM, &contents);
    let key_management = reader.word(alg, None, &key_managements)?;
    Some(RequestObjectEncryption { key_management, content })
}

fn prompt(reader: &Reader<'_>) -> Option<String> {
    // "none" would be a sign-in page that nobody ever sees.
    let known = ["login", "consent", "select_account"];
    let text = reader.words("prompt")?;
    let all = text.value.split(' ').all(|word| known.contains(&word));
    if !all {
        reader.none_of(&text, &reader.name("prompt"), known.into_iter());
        return None;
    }
    Some(text.value)
}

fn plain_texts(reader: &Reader<'_>, key: &str) -> Vec<String> {
    let mut plain = Vec::new();
    for text in reader.texts(key).unwrap_or_default() {
        if text.value.is_empty() || text.value.chars().any(char::is_whitespace) {
            let message = format!("{:?} is not one entry of `{}`", text.value, reader.name(key));
            let problem = Problem::new(Code::E0122, &text.place, message);
            reader.context.add(problem.label("a word without spaces"));
        } else if !plain.contains(&text.value) {
            plain.push(text.value);
        }
    }
    plain
}

/// RFC 8707 §2: an absolute URI without a fragment.
fn resources(reader: &Reader<'_>) -> Vec<String> {
    let texts = reader.texts("resource").unwrap_or_default();
    let is_resource =
        |text: &Text| url::Url::parse(&text.value).is_ok_and(|url| url.fragment().is_none());
    let (good, bad): (Vec<Text>, Vec<Text>) = texts.into_iter().partition(is_resource);
    for text in bad {
        let message = format!("{:?} is no resource", text.value);
        let problem = Problem::new(Code::E0122, &text.place, message);
        reader.context.add(problem.label("an absolute URI without a fragment (RFC 8707 §2)"));
    }
    good.into_iter().map(|text| text.value).collect()
}

fn from_login(reader: &Reader<'_>) -> Vec<String> {
    let key = "authorization_params_from_login";
    let mut names = Vec::new();
    for text in reader.texts(key).unwrap_or_default() {
        let is_ours = OURS.contains(&&*text.value) && !PASSED_ON.contains(&&*text.value);
        let is_of_the_link = ["fragment", "provider", "return_to"].contains(&text.value.as_str());
        if is_ours || is_of_the_link || text.value.is_empty() {
            let message = format!("`{}` cannot be taken from login links", text.value);
            let problem = Problem::new(Code::E0123, &text.place, message);
            reader.context.add(problem.label("whoever writes a link must have no say in it"));
        } else {
            names.push(text.value);
        }
    }
    names
}

/// The operator's, and those that the kind needs and the operator does not say.
fn parameters(reader: &Reader<'_>, preset: Option<&Preset>) -> Vec<(String, String)> {
    let mut parameters = Vec::new();
    for entry in reader.free_table("authorization_params") {
        let name = format!("{}.{}", reader.name("authorization_params"), entry.key);
        if OURS.contains(&entry.key.as_str()) {
            let message = format!("`{name}` cannot be set");
            let has_own = ["acr_values", "max_age", "prompt", "resource", "ui_locales"];
            let label = match entry.key.as_str() {
                "claims" => "write `claims_request`".to_owned(),
                "scope" => "write `scopes`".to_owned(),
                own if has_own.contains(&own) => format!("write `{own}` beside this table"),
                _ => "this is said by us alone".to_owned(),
            };
            reader.context.add(Problem::new(Code::E0123, &entry.key_place, message).label(label));
        } else if let Some(text) = reader.context.text(&entry.node, &name) {
            parameters.push((entry.key.clone(), text.value));
        }
    }
    for (name, value) in preset.map_or(&[][..], |preset| &preset.authorization_params) {
        if !parameters.iter().any(|(given, _)| given == name) {
            parameters.push((name.clone(), value.clone()));
        }
    }
    parameters
}

fn claims(reader: &Reader<'_>) -> Option<Json> {
    let entry = reader.entry("claims_request")?;
    let name = reader.name("claims_request");
    for part in reader.free_table("claims_request") {
        if !["id_token", "userinfo"].contains(&part.key.as_str()) {
            let message = format!("unknown key `{}` in `{name}`", part.key);
            let problem = Problem::new(Code::E0102, &part.key_place, message);
            reader.context.add(problem.label("`id_token` or `userinfo` (OIDC Core §5.5)"));
        }
    }
    json(reader.context, &entry.node, &name)
}

fn authorization_details(reader: &Reader<'_>) -> Vec<(TemplateValue, Place)> {
    let key = "authorization_details";
    let Some(entry) = reader.entry(key) else { return Vec::new() };
    let name = reader.name(key);
    let Value::List(items) = &entry.node.value else {
        let problem = reader.context.wrong_type(&entry.node, &name, "a list of tables");
        reader.context.add(problem.help("write [{ type = \"…\", … }]"));
        return Vec::new();
    };
    let written = reader.context.files.text_at(&entry.node.place).len();
    if written > DETAILS_BYTES_MAX {
        let message = format!("`{name}` has {written} bytes");
        let problem = Problem::new(Code::E0124, &entry.node.place, message);
        reader.context.add(
            problem.label(format!("at most {DETAILS_BYTES_MAX}: browsers carry it in a cookie")),
        );
    }
    let mut details = Vec::new();
    for item in items {
        let has_type = match &item.value {
            Value::Table(table) => table.find("type").is_some(),
            Value::Boolean(_)
            | Value::Datetime
            | Value::Float(_)
            | Value::Integer(_)
            | Value::List(_)
            | Value::Text(_) => {
                reader.context.add(reader.context.wrong_type(item, &name, "a list of tables"));
                continue;
            }
        };
        if !has_type {
            let message = format!("an entry of `{name}` has no `type`");
            let problem = Problem::new(Code::E0110, &item.place, message);
            reader.context.add(problem.label("required here (RFC 9396 §2)"));
        }
        if let Some(detail) = template(reader.context, item, &name) {
            details.push((detail, item.place.clone()));
        }
    }
    details
}

/// A value whose texts are templates.
fn template(context: &Context<'_>, node: &Node, name: &str) -> Option<TemplateValue> {
    Some(match &node.value {
        Value::Text(_) => TemplateValue::Text(text_template(context, &context.text(node, name)?)?),
        Value::List(items) => {
            let items = items.iter().map(|item| template(context, item, name));
            TemplateValue::List(items.collect::<Option<Vec<_>>>()?)
        }
        Value::Table(table) => {
            let members = table
                .0
                .iter()
                .map(|entry| Some((entry.key.clone(), template(context, &entry.node, name)?)));
            TemplateValue::Table(members.collect::<Option<Vec<_>>>()?)
        }
        Value::Boolean(_) | Value::Datetime | Value::Float(_) | Value::Integer(_) => {
            TemplateValue::Plain(json(context, node, name)?)
        }
    })
}

/// A text as a template; what is wrong with it is said at its place.
pub(super) fn text_template(context: &Context<'_>, text: &Text) -> Option<Template> {
    match text.value.parse() {
        Ok(template) => Some(template),
        Err(error) => {
            let message = format!("{:?} is no template", text.value);
            context.add(Problem::new(Code::E0122, &text.place, message).label(format!("{error}")));
            None
        }
    }
}

/// A value as JSON, its texts expanded.
fn json(context: &Context<'_>, node: &Node, name: &str) -> Option<Json> {
    let odd = |expected: &str| {
        context.add(context.wrong_type(node, name, expected));
        None
    };
    match &node.value {
        Value::Boolean(flag) => Some(Json::Bool(*flag)),
        Value::Datetime => odd("of texts, numbers, lists and tables"),
        Value::Float(number) => {
            Number::from_f64(*number).map(Json::Number).or_else(|| odd("a number that JSON has"))
        }
        Value::Integer(number) => number.map(Json::from).or_else(|| odd("a smaller number")),
        Value::List(items) => {
            let items = items.iter().map(|item| json(context, item, name));
            Some(Json::Array(items.collect::<Option<Vec<_>>>()?))
        }
        Value::Table(table) => {
            let members = table
                .0
                .iter()
                .map(|entry| Some((entry.key.clone(), json(context, &entry.node, name)?)));
            Some(Json::Object(members.collect::<Option<Map<_, _>>>()?))
        }
        Value::Text(_) => Some(Json::String(context.text(node, name)?.value)),
    }
}
