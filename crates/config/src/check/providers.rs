//! `[providers.NAME]`: registered clients at identity providers.

mod answer;
mod authorization;
mod client_auth;
mod kind;
mod profile;
mod transport;

use std::path::PathBuf;
use std::sync::Arc;

use lychgate_gateway::bearer::{Bearer, Introspection};
use lychgate_gateway::origin::PublicOrigin;
use lychgate_gateway::settings::{ClaimNames, SignInProvider, SignInRules};
use lychgate_oidc::kind::{Kind, Preset};
use lychgate_oidc::{
    AccessTokenType, Algorithm, ClientAuth, Metadata, Provider, Pushing, SubjectRule, Template,
    Userinfo,
};
use serde_json::{Map, Value as Json};
use url::Url;

use self::kind::KindReading;
use self::transport::{Transport, transport};
use super::auth::{Auth, clock_tolerance};
use super::needs::Needs;
use super::policies::People;
use crate::code::Code;
use crate::config::{ProviderConfig, ProviderEndpoints, ProviderTransport};
use crate::context::Context;
use crate::file::Place;
use crate::grammar::{ENDPOINTS, PROVIDER, PROVIDER_CLAIMS};
use crate::problem::Problem;
use crate::reader::{Reader, alternatives, named};
use crate::tree::Value;

/// The providers, while it is still being found out what they are needed for.
pub(super) struct Providers {
    /// Every name that the operator wrote, also of providers that could not be read.
    pub(super) names: Vec<String>,
    drafts: Vec<Draft>,
}

struct Draft {
    kind: Kind,
    registration: Provider,
    label: String,
    claims: ClaimNames,
    redirect_uri: Option<Url>,
    endpoints: ProviderEndpoints,
    transport: ProviderTransport,
    assertion_file: Option<PathBuf>,
    dpop_key_is_made: bool,
    groups_scope_if_offered: bool,
    userinfo: UserinfoWord,
    sign_in: SignInRules,
    answer_places: answer::Places,
    /// When userinfo is asked if the operator says nothing.
    least_userinfo: Option<Userinfo>,
    /// Where it is said that everybody can register there, if everybody can.
    open_to_the_world: Option<Place>,
    /// What else would say who may enter.
    keys_that_choose: Vec<&'static str>,
    needs: Needs,
}

#[derive(Clone, Copy)]
enum UserinfoWord {
    Always,
    Never,
    WhenMissing,
}

pub(super) fn read(top: &Reader<'_>, auth: &Auth) -> Providers {
    let mut providers = Providers { names: Vec::new(), drafts: Vec::new() };
    for entry in named(top.context, top.entry("providers")) {
        providers.names.push(entry.key.clone());
        let path = format!("providers.{}", entry.key);
        let reader = top.context.read(&entry.node, &entry.key_place, &path, &PROVIDER);
        providers.drafts.extend(reader.and_then(|reader| draft(&reader, &entry.key, auth)));
    }
    providers
}

impl Providers {
    /// Notes what a route that accepts `providers` reads of a person.
    pub(super) fn need(&mut self, providers: &[String], needs: &Needs) {
        for draft in &mut self.drafts {
            if providers.contains(&draft.registration.name) {
                draft.needs.add(needs);
            }
        }
    }

    /// Says why tokens of a route's issuers could not be judged.
    pub(super) fn check_issuers(&self, route: &Reader<'_>, bearer: &Bearer) {
        let Some(entry) = route.entry("bearer") else { return };
        let (place, name) = (&entry.key_place, route.name("bearer"));
        for draft in &self.drafts {
            let registration = &draft.registration;
            let provider = &registration.name;
            if !bearer.issuers.contains(provider) {
                continue;
            }
            let known = match &draft.endpoints {
                ProviderEndpoints::Static(metadata) => Some(metadata),
                ProviderEndpoints::Discovery => None,
            };
            let asks = bearer.introspection != Introspection::Never;
            let lacks = |lacks: fn(&Metadata) -> bool| known.is_some_and(lacks);
            let problem = |code, message| Problem::new(code, place, message);
            let declared = bearer.token.typ == AccessTokenType::Declared;
            let is_ours = |audience: &String| *audience == registration.client_id;
            if bearer.introspection != Introspection::Always
                && lacks(|metadata| metadata.jwks_uri.is_none())
            {
                let message = format!(
                    "the keys of `{provider}` are not known, so no token of it can be verified"
                );
                route.context.add(problem(Code::E0110, message).label(format!(
                    "write `jwks_uri` into [providers.{provider}], or `introspection = \"always\"` here"
                )));
            }
            if asks && lacks(|metadata| metadata.introspection_endpoint.is_none()) {
                let message = format!("`{provider}` cannot be asked about tokens");
                route.context.add(
                    problem(Code::E0110, message).label(format!(
                        "write `introspection_endpoint` into [providers.{provider}]"
                    )),
                );
            }
            if asks && registration.client_auth == ClientAuth::None {
                let message = format!(
                    "`{provider}` answers nobody who does not prove who they are (RFC 7662 §2.1)"
                );
                route.context.add(problem(Code::E0110, message).label(format!(
                    "write `client_secret` or another proof into [providers.{provider}]"
                )));
            }
            if matches!(registration.answers.subject, SubjectRule::Pseudonymous) {
                let message = format!(
                    "people of `{provider}` are somebody else in every session, and tokens have none"
                );
                let help = format!("delete `subject` from [providers.{provider}], or this issuer");
                route.context.add(
                    problem(Code::E0123, message).label("these contradict each other").help(help),
                );
            }
            // That is what ID tokens have in `aud`.
            if !declared
                && bearer.introspection != Introspection::Always
                && bearer.token.audiences.iter().flatten().any(is_ours)
            {
                let message =
                    format!("the audience of `{name}` is that of ID tokens of `{provider}`");
                route.context.add(
                    problem(Code::E0123, message)
                        .label(format!("it is the `client_id` of [providers.{provider}]"))
                        .help("write what access tokens for the application have in `aud`; or `typ = \"at+jwt\"`, if they say so"),
                );
            }
        }
    }

    /// Refuses a door that stands open to everybody who has an account at a provider that gives
    /// accounts to everybody (C-60).
    pub(super) fn refuse_open_doors(
        &self,
        context: &Context<'_>,
        route: &str,
        accepted: &[String],
        people: &People,
        answer: &Place,
    ) {
        for draft in &self.drafts {
            let name = &draft.registration.name;
            let Some(world) = draft.open_to_the_world.as_ref().filter(|_| accepted.contains(name))
            else {
                continue;
            };
            let open = people.everybody.iter().find(|everybody| {
                everybody.providers.as_ref().is_none_or(|providers| providers.contains(name))
            });
            let Some(open) = open else { continue };
            // Where a policy is named the name is the place; otherwise the entry itself.
            let place = if people.policy.name.is_some() { answer } else { &open.place };
            let mut problem = Problem::new(Code::E0210, place, format!(
                "route `{route}` lets in everybody who has an account at `{name}`, and anybody can have one"
            ))
            .label("this means the whole world")
            .help(match draft.keys_that_choose.as_slice() {
                [] => "write for example \"domain:example.com\"; if the world is meant, \"anyone-with-an-account\"".to_owned(),
                keys => {
                    let keys: Vec<String> = keys.iter().map(|key| format!("`{key}`")).collect();
                    let keys = alternatives(&keys);
                    format!("say whom with {keys} in [providers.{name}]; if the world is meant, \"anyone-with-an-account\"")
                }
            });
            if place != &open.place {
                problem = problem.also(&open.place, "by this entry");
            }
            context.add(problem.also(world, "everybody can register here"));
        }
    }

    /// The providers, asking for exactly what somebody reads.
    pub(super) fn finish(self) -> Vec<ProviderConfig> {
        self.drafts
            .into_iter()
            .map(|mut draft| {
                draft.registration.userinfo = match draft.userinfo {
                    UserinfoWord::Always => Userinfo::Always,
                    UserinfoWord::Never => Userinfo::Never,
                    UserinfoWord::WhenMissing => {
                        draft.least_userinfo.unwrap_or_else(|| draft.needs.userinfo(&draft.claims))
                    }
                };
                ProviderConfig {
                    kind: draft.kind,
                    sign_in: SignInProvider {
                        registration: Arc::new(draft.registration),
                        label: draft.label,
                        claims: draft.claims,
                        kept_claims: draft.needs.kept_claims(),
                        keeps_access_token: draft.needs.access_token(),
                        redirect_uri: draft.redirect_uri,
                        groups_scope_if_offered: draft.groups_scope_if_offered,
                        sign_in: draft.sign_in,
                    },
                    endpoints: draft.endpoints,
                    transport: draft.transport,
                    client_assertion: draft.assertion_file,
                    dpop_key_is_made: draft.dpop_key_is_made,
                }
            })
            .collect()
    }
}

/// Whether anybody on the internet can have an account at this issuer.
fn is_open_to_the_world(issuer: &str) -> bool {
    let Ok(url) = Url::parse(issuer) else { return false };
    match url.host_str() {
        Some("accounts.google.com") => true,
        Some("login.microsoftonline.com") => {
            let tenant = url.path_segments().and_then(|mut segments| segments.next());
            tenant.is_some_and(|tenant| ["common", "organizations", "consumers"].contains(&tenant))
        }
        _ => false,
    }
}

fn draft(reader: &Reader<'_>, name: &str, auth: &Auth) -> Option<Draft> {
    let context = reader.context;
    let client_id = reader.words("client_id");
    let kind = kind::read(reader, name);
    let secret = reader.entry("client_secret");
    let client_secret =
        secret.and_then(|entry| context.secret(&entry.node, &reader.name("client_secret")));
    let preset = kind.as_ref().map(|kind| &kind.preset);
    let claims_path = reader.name("claims");
    let claims_reader = reader.table_or_default("claims", &claims_path, &PROVIDER_CLAIMS);
    let profile = profile::read(reader);
    let answer = answer::read(reader, &claims_reader, preset, profile);
    let Transport { transport, has_certificate, aliases } = transport(reader);
    let binding = profile::binding(reader, profile, has_certificate);
    let proof = client_auth::proof(reader, client_secret, has_certificate, binding.dpop, preset);
    let Scopes { scopes, templates, are_ours: scopes_are_ours } =
        scopes(reader, preset, answer.id_token.required);
    let has_secret = matches!(proof.auth, ClientAuth::Secret { .. });
    let signers = authorization::Signers {
        signing_key: proof.signing_key.as_ref(),
        has_secret,
        always: profile.is_some_and(profile::Profile::signs_requests),
    };
    let authorization =
        authorization::request(reader, &signers, answer.id_token.required, templates, preset);
    let userinfo = reader.word(
        "userinfo",
        UserinfoWord::WhenMissing,
        &[
            ("when-missing", UserinfoWord::WhenMissing),
            ("always", UserinfoWord::Always),
            ("never", UserinfoWord::Never),
        ],
    );
    let claims = claims(reader, &claims_reader, name, preset);
    let redirect_uri = redirect_uri(reader);
    let label = reader.words("label").map_or_else(|| name.to_owned(), |text| text.value);
    let tolerance = clock_tolerance(reader, auth.clock_tolerance);
    let encrypts =
        authorization.request_object.as_ref().is_some_and(|object| object.encryption.is_some());
    let endpoints = endpoints(reader, preset, answer.needs_keys || encrypts);
    check_pushing(reader, authorization.pushing, endpoints.as_ref());
    let (KindReading { kind, preset, place }, client_id) = (kind?, client_id?);
    let open = if kind == Kind::Oidc {
        preset.manner.memberships.is_empty() && is_open_to_the_world(&preset.issuer)
    } else {
        preset.open_to_the_world
    };
    let mut manner = preset.manner;
    manner.groups_claim.clone_from(&claims.groups);
    let mut registration = Provider {
        client_auth: proof.auth,
        assertion: proof.assertion,
        mtls_endpoint_aliases: aliases,
        certificate_bound_access_tokens: binding.certificate,
        dpop: proof.dpop,
        token_request_omits_redirect_uri: proof.omits_redirect_uri,
        scopes,
        authorization,
        id_token: answer.id_token,
        answers: answer.rules,
        decryption_keys: answer.decryption_keys,
        clock_tolerance: tolerance,
        interaction_ids: reader.boolean("fapi_interaction_id").unwrap_or_else(|| profile.is_some()),
        manner,
        ..Provider::new(name, preset.issuer, client_id.value)
    };
    profile::apply(reader, profile, &mut registration, has_certificate);
    let dpop_key_is_made = registration.dpop.is_some() && !reader.has("dpop_signing_key");
    Some(Draft {
        kind,
        dpop_key_is_made,
        registration,
        label,
        claims,
        redirect_uri,
        endpoints: endpoints?,
        transport,
        assertion_file: proof.assertion_file,
        // Other kinds know what they ask for.
        groups_scope_if_offered: scopes_are_ours && matches!(kind, Kind::Keycloak | Kind::Oidc),
        userinfo,
        sign_in: answer.sign_in,
        answer_places: answer.places,
        least_userinfo: preset.userinfo,
        open_to_the_world: open.then_some(place),
        keys_that_choose: kind::keys_that_choose(kind),
        needs: Needs::default(),
    })
}

fn in_plain_text(context: &Context<'_>, place: &Place, name: &str) {
    context.add(
        Problem::new(
            Code::E0401,
            place,
            format!("provider `{name}` would be spoken to in plain text"),
        )
        .label("write https://")
        .help("http:// is for providers on this machine only"),
    );
}

fn algorithms(reader: &Reader<'_>, key: &str) -> Vec<Algorithm> {
    let Some(entry) = reader.entry(key) else { return Algorithm::DEFAULT.to_vec() };
    let texts = match entry.node.value {
        Value::Text(_) => reader.text(key).map(|text| vec![text]),
        Value::Boolean(_)
        | Value::Datetime
        | Value::Float(_)
        | Value::Integer(_)
        | Value::List(_)
        | Value::Table(_) => reader.texts(key),
    };
    let mut algorithms: Vec<Algorithm> = Vec::new();
    for text in texts.unwrap_or_default() {
        match text.value.parse() {
            Ok(algorithm) if algorithms.contains(&algorithm) => {}
            Ok(algorithm) => algorithms.push(algorithm),
            Err(_) => {
                let known = Algorithm::ALL.iter().map(|algorithm| algorithm.as_str());
                reader.none_of(&text, &reader.name(key), known);
            }
        }
    }
    let problem = |message: &str| Problem::new(Code::E0123, &entry.node.place, message);
    if algorithms.contains(&Algorithm::HS256) {
        if algorithms.len() > 1 {
            reader.context.add(
                problem("HS256 beside algorithms with a public key").label("write one kind").help(
                    "with both, a public key could be passed off as the secret (RFC 8725 §2.1)",
                ),
            );
        }
        if !reader.has("client_secret") {
            reader.context.add(problem("HS256 needs a `client_secret`").label("it is the key"));
        }
    }
    if algorithms.is_empty() {
        if matches!(&entry.node.value, Value::List(items) if items.is_empty()) {
            let message = format!("`{}` is empty", reader.name(key));
            let problem = Problem::new(Code::E0122, &entry.node.place, message);
            reader.context.add(problem.label("delete it for every algorithm with a public key"));
        }
        return Algorithm::DEFAULT.to_vec();
    }
    algorithms
}

/// Requests cannot be pushed to a provider that has no place for them.
fn check_pushing(reader: &Reader<'_>, pushing: Pushing, endpoints: Option<&ProviderEndpoints>) {
    if let (Pushing::Required, Some(ProviderEndpoints::Static(metadata))) = (pushing, endpoints)
        && metadata.pushed_authorization_request_endpoint.is_none()
        && let Some(entry) = reader.entry("pushed_authorization_requests")
    {
        let key = "pushed_authorization_request_endpoint";
        let message = format!("`{}` is missing beside this", reader.name(key));
        let problem = Problem::new(Code::E0110, &entry.node.place, message);
        reader.context.add(problem.label("the endpoints are written down"));
    }
}

/// What to ask for.
struct Scopes {
    scopes: Vec<String>,
    /// Those that are different for every login.
    templates: Vec<(Template, Place)>,
    /// Whether they are our choice.
    are_ours: bool,
}

fn scopes(reader: &Reader<'_>, preset: Option<&Preset>, id_token_is_due: bool) -> Scopes {
    let ours = || Scopes {
        scopes: preset.map(|preset| preset.scopes.clone()).unwrap_or_default(),
        templates: Vec::new(),
        are_ours: true,
    };
    let Some(entry) = reader.entry("scopes") else { return ours() };
    let Some(texts) = reader.texts("scopes") else { return ours() };
    let mut scopes: Vec<String> = Vec::new();
    let mut templates = Vec::new();
    let mut dropped = 0;
    for text in texts {
        // RFC 6749 §3.3.
        let is_token = |byte: u8| matches!(byte, 0x21 | 0x23..=0x5B | 0x5D..=0x7E);
        if text.value.contains(['{', '}']) {
            dropped += 1;
            let template = authorization::text_template(reader.context, &text);
            templates.extend(template.map(|template| (template, text.place)));
        } else if text.value.is_empty() || !text.value.bytes().all(is_token) {
            let words: Vec<String> =
                text.value.split_whitespace().map(|word| format!("{word:?}")).collect();
            let message = format!("{:?} is not one scope", text.value);
            let problem = Problem::new(Code::E0122, &text.place, message);
            reader.context.add(problem.label(match words.len() {
                0 | 1 => "a scope is visible ASCII without quotes".to_owned(),
                _ => format!("write {}", words.join(", ")),
            }));
        } else if !scopes.contains(&text.value) {
            scopes.push(text.value);
        }
    }
    let has_openid = scopes.iter().any(|scope| scope == "openid");
    let all_read =
        matches!(&entry.node.value, Value::List(items) if items.len() == scopes.len() + dropped);
    if id_token_is_due && !has_openid && all_read {
        let message = format!("`{}` does not hold \"openid\"", reader.name("scopes"));
        reader.context.add(
            Problem::new(Code::E0122, &entry.node.place, message)
                .label("without it there is no ID token (OIDC Core §3.1.2.1)"),
        );
    }
    Scopes { scopes, templates, are_ours: false }
}

fn claims(
    reader: &Reader<'_>,
    table: &Reader<'_>,
    name: &str,
    preset: Option<&Preset>,
) -> ClaimNames {
    let default = ClaimNames::default();
    let claim = |key: &str| table.words(key).map(|text| text.value);
    let assume_email_verified = reader.boolean("danger_assume_email_verified").unwrap_or(false);
    if let Some(entry) = reader.entry("danger_assume_email_verified")
        && assume_email_verified
    {
        reader.context.add(
            Problem::new(
                Code::W0403,
                &entry.key_place,
                format!("every e-mail address from `{name}` is believed"),
            )
            .label("whoever can write an address there can be anybody here"),
        );
    }
    ClaimNames {
        user: claim("user"),
        name: claim("name").unwrap_or(default.name),
        email: claim("email").unwrap_or(default.email),
        groups: claim("groups")
            .or_else(|| preset.map(|preset| preset.groups_claim.clone()))
            .unwrap_or(default.groups),
        assume_email_verified,
    }
}

fn redirect_uri(reader: &Reader<'_>) -> Option<Url> {
    let (url, text) = reader.url("redirect_uri")?;
    let origin = PublicOrigin::of(&url)?;
    let label = if !origin.is_secure() && !origin.is_loopback() {
        "a code on the open wire can be taken; write https://"
    } else if url.fragment().is_some() {
        "a redirect URI has no fragment (RFC 6749 §3.1.2)"
    } else {
        return Some(url);
    };
    let message = format!("`{}` cannot be used", reader.name("redirect_uri"));
    reader.context.add(Problem::new(Code::E0122, &text.place, message).label(label));
    None
}

/// All endpoints that are needed, or none: a half-written list is not mixed with a fetched one.
fn endpoints(
    reader: &Reader<'_>,
    preset: Option<&Preset>,
    needs_keys: bool,
) -> Option<ProviderEndpoints> {
    let context = reader.context;
    if let Some(known) = preset.and_then(Preset::metadata) {
        return match known {
            Ok(metadata) => Some(ProviderEndpoints::Static(metadata)),
            Err(error) => {
                let message = format!("the endpoints of `{}` cannot be used", reader.path);
                let problem = Problem::new(Code::E0122, reader.place, message);
                context.add(problem.label(error.to_string()));
                None
            }
        };
    }
    if !kind::may_list_endpoints(reader) {
        return Some(ProviderEndpoints::Discovery);
    }
    let given: Vec<&str> = ENDPOINTS.iter().copied().filter(|key| reader.has(key)).collect();
    let Some(first) = given.first().and_then(|key| reader.entry(key)) else {
        return Some(ProviderEndpoints::Discovery);
    };
    let mut required = vec!["authorization_endpoint", "token_endpoint"];
    if needs_keys {
        required.push("jwks_uri");
    }
    let mut complete = true;
    for key in required.into_iter().filter(|key| !given.contains(key)) {
        complete = false;
        context.add(
            Problem::new(
                Code::E0110,
                &first.key_place,
                format!("`{}` is missing beside this", reader.name(key)),
            )
            .label("an endpoint is written down")
            .help("write down all endpoints, or none to have them discovered"),
        );
    }
    let mut document = Map::new();
    for key in given {
        match reader.url(key) {
            Some((url, text)) if url.scheme() == "https" || is_loopback(&url) => {
                document.insert(key.to_owned(), Json::String(text.value));
            }
            Some((_, text)) => {
                in_plain_text(context, &text.place, reader.path.trim_start_matches("providers."));
                complete = false;
            }
            None => complete = false,
        }
    }
    let issuer = &preset.filter(|_| complete)?.issuer;
    document.insert("issuer".to_owned(), Json::String(issuer.clone()));
    match Metadata::parse(Json::Object(document).to_string().as_bytes(), issuer) {
        Ok(metadata) => Some(ProviderEndpoints::Static(metadata)),
        Err(error) => {
            let message = format!("the endpoints of `{}` cannot be used", reader.path);
            context
                .add(Problem::new(Code::E0122, &first.key_place, message).label(error.to_string()));
            None
        }
    }
}

fn is_loopback(url: &Url) -> bool {
    PublicOrigin::of(url).is_some_and(|origin| origin.is_loopback())
}
