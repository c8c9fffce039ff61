//! How we prove who we are at a provider, and that a token is ours.

use std::path::PathBuf;
use std::time::Duration;

use lychgate_oidc::kind::Preset;
use lychgate_oidc::{
    Algorithm, AssertionAudience, AssertionRules, Certificate, ClientAuth, Dpop, KeyError, Secret,
    SecretMethod, SignedSecret, SigningKey,
};
use url::Url;

use crate::code::Code;
use crate::context::Text;
use crate::grammar::{PROVIDER_ASSERTION, PROVIDER_CERTIFICATE};
use crate::problem::Problem;
use crate::reader::Reader;
use crate::secret::{SecretUse, read};
use crate::tree::Entry;

const SECOND: Duration = Duration::from_secs(1);
const NONE: &str = "none";
const KEY: &str = "private_key_jwt";
const CERTIFICATE: [&str; 2] = ["tls_client_auth", "self_signed_tls_client_auth"];

/// What a provider is shown.
pub(super) struct Proof {
    pub(super) auth: ClientAuth,
    pub(super) assertion: AssertionRules,
    /// Where somebody else puts the assertion that is shown.
    pub(super) assertion_file: Option<PathBuf>,
    pub(super) signing_key: Option<SigningKey>,
    pub(super) dpop: Option<Dpop>,
    pub(super) omits_redirect_uri: bool,
}

/// `has_certificate`: one is shown in every TLS handshake; `dpop_bound`: access tokens are bound to a key; `preset`: what
/// is known of the kind.
pub(super) fn proof(
    reader: &Reader<'_>,
    client_secret: Option<Secret>,
    has_certificate: bool,
    dpop_bound: bool,
    preset: Option<&Preset>,
) -> Proof {
    let assertion_file = assertion_file(reader);
    let signing_key = signing_key(reader);
    let auth = match preset.and_then(|preset| preset.signed_secret.as_ref()) {
        Some(claims) => signed_secret(reader, claims, signing_key.as_ref()),
        None => auth(reader, client_secret, signing_key.as_ref(), has_certificate, preset),
    };
    let signs = match &auth {
        ClientAuth::Key { .. } => true,
        ClientAuth::Secret { method, .. } => *method == Some(SecretMethod::Jwt),
        ClientAuth::Assertion
        | ClientAuth::Certificate
        | ClientAuth::None
        | ClientAuth::SignedSecret { .. } => false,
    };
    for key in [
        "token_endpoint_auth_signing_alg",
        "client_assertion_audience",
        "client_assertion_lifetime",
    ] {
        if let Some(entry) = reader.entry(key).filter(|_| !signs) {
            no_effect(reader, entry, "we sign no client assertion");
        }
    }
    if let Some(entry) = reader.entry("signing_key_id")
        && !reader.has("signing_key")
    {
        no_effect(reader, entry, "there is no `signing_key`");
    }
    Proof {
        auth,
        assertion: AssertionRules {
            audience: audience(reader).unwrap_or_else(|| {
                preset.map(|preset| preset.assertion_audience.clone()).unwrap_or_default()
            }),
            lifetime: reader.duration(
                "client_assertion_lifetime",
                60 * SECOND,
                10 * SECOND..=300 * SECOND,
            ),
        },
        assertion_file,
        signing_key,
        dpop: dpop(reader, has_certificate, dpop_bound),
        omits_redirect_uri: omits_redirect_uri(reader),
    }
}

/// Says that something was written that changes nothing.
pub(super) fn no_effect(reader: &Reader<'_>, entry: &Entry, because: &str) {
    let message = format!("`{}` has no effect", reader.name(&entry.key));
    reader.context.add(Problem::new(Code::E0123, &entry.key_place, message).label(because));
}

fn auth(
    reader: &Reader<'_>,
    client_secret: Option<Secret>,
    signing_key: Option<&SigningKey>,
    has_certificate: bool,
    preset: Option<&Preset>,
) -> ClientAuth {
    let key = "token_endpoint_auth_method";
    let written = reader.text(key);
    let (has_secret, has_key) = (reader.has("client_secret"), reader.has("signing_key"));
    let has_assertion = reader.has("client_assertion");
    let secret_method =
        |name: &str| SecretMethod::ALL.into_iter().find(|method| method.as_str() == name);
    let refuse = |text: &Text, label: &str| {
        let message = format!("`{}` cannot be \"{}\"", reader.name(key), text.value);
        reader.context.add(Problem::new(Code::E0123, &text.place, message).label(label));
        ClientAuth::None
    };
    if let (Some(assertion), true) = (reader.entry("client_assertion"), has_secret) {
        let message = format!("`{}` beside a `client_secret`", reader.name("client_assertion"));
        let problem = Problem::new(Code::E0123, &assertion.key_place, message);
        reader.context.add(problem.label("one of them would not be used"));
    }
    let with_key = |name: Option<&Text>| match (signing_key, has_assertion) {
        (_, true) => ClientAuth::Assertion,
        (Some(key), false) => {
            let name = "token_endpoint_auth_signing_alg";
            let vendors = preset.and_then(|preset| preset.assertion_algorithm);
            let algorithm = match vendors.filter(|_| !reader.has(name)) {
                // Where the key does not fit the vendor's, what it can is the better try.
                Some(vendors) => {
                    key.algorithm(Some(vendors)).unwrap_or_else(|_| algorithm(reader, name, key))
                }
                None => algorithm(reader, name, key),
            };
            ClientAuth::Key { key: key.clone(), algorithm }
        }
        (None, false) => match name {
            Some(name) if !has_key => {
                refuse(name, "there is no `signing_key` to sign with, and no `client_assertion`")
            }
            Some(_) | None => ClientAuth::None,
        },
    };
    let Some(written) = written else {
        return match client_secret {
            _ if has_assertion => ClientAuth::Assertion,
            Some(secret) => {
                let method = preset.and_then(|preset| preset.secret_method);
                ClientAuth::Secret { secret, method }
            }
            None if has_key => with_key(None),
            None if has_certificate => ClientAuth::Certificate,
            None => ClientAuth::None,
        };
    };
    let name = written.value.as_str();
    let method = secret_method(name);
    let known = SecretMethod::ALL.map(SecretMethod::as_str);
    if method.is_none() && name != KEY && name != NONE && !CERTIFICATE.contains(&name) {
        let known = known.into_iter().chain([KEY]).chain(CERTIFICATE).chain([NONE]);
        reader.none_of(&written, &reader.name(key), known);
        return ClientAuth::None;
    }
    if method.is_none() && has_secret {
        return refuse(&written, "there is a `client_secret`, which would not be used");
    }
    if name != KEY && has_assertion {
        return refuse(&written, "there is a `client_assertion`, which would not be used");
    }
    match method {
        _ if name == KEY => with_key(Some(&written)),
        _ if CERTIFICATE.contains(&name) && !has_certificate => {
            refuse(&written, "there is no `tls.certificate` to show")
        }
        _ if CERTIFICATE.contains(&name) => ClientAuth::Certificate,
        None => ClientAuth::None,
        Some(_) if !has_secret => refuse(&written, "there is no `client_secret` to send"),
        Some(method) => {
            check_query(reader, method, &written);
            check_secret_algorithm(reader, method);
            // A secret that cannot be read was said.
            client_secret.map_or(ClientAuth::None, |secret| ClientAuth::Secret {
                secret,
                method: Some(method),
            })
        }
    }
}

/// A secret that we sign ourselves, anew for every request: nothing else proves who we are at this kind.
fn signed_secret(
    reader: &Reader<'_>,
    claims: &SignedSecret,
    signing_key: Option<&SigningKey>,
) -> ClientAuth {
    for key in ["client_secret", "client_assertion", "token_endpoint_auth_method"] {
        if let Some(entry) = reader.entry(key) {
            no_effect(reader, entry, "the secret of this kind is signed with `signing_key`");
        }
    }
    let (Some(key), Some(entry)) = (signing_key, reader.entry("signing_key")) else {
        return ClientAuth::None;
    };
    if let Err(error) = key.algorithm(Some(SignedSecret::ALGORITHM)) {
        unusable(reader, entry, error.to_string());
    }
    ClientAuth::SignedSecret { key: key.clone(), claims: claims.clone() }
}

/// A secret in an address takes somebody who said that they know what that means (D-D13).
fn check_query(reader: &Reader<'_>, method: SecretMethod, written: &Text) {
    let danger = "danger_secret_in_query";
    let allowed = reader.boolean(danger).unwrap_or(false);
    match (method == SecretMethod::Query, allowed) {
        (true, false) => reader.context.add(
            Problem::new(
                Code::E0404,
                &written.place,
                format!("the secret of `{}` would travel in an address", reader.path),
            )
            .label("addresses are written into the logs of everybody on the way")
            .help("if the provider reads nothing else, add `danger_secret_in_query = true`"),
        ),
        (true, true) => reader.context.add(
            Problem::new(
                Code::W0405,
                &written.place,
                format!("the secret of `{}` travels in an address", reader.path),
            )
            .label("not in our logs; in those of others, perhaps"),
        ),
        (false, _) => {}
    }
}

fn check_secret_algorithm(reader: &Reader<'_>, method: SecretMethod) {
    let key = "token_endpoint_auth_signing_alg";
    if method == SecretMethod::Jwt
        && let Some(text) = reader.text(key)
        && text.value != Algorithm::HS256.as_str()
    {
        reader.none_of(&text, &reader.name(key), [Algorithm::HS256.as_str()].into_iter());
    }
}

fn assertion_file(reader: &Reader<'_>) -> Option<PathBuf> {
    let path = reader.name("client_assertion");
    let table = reader.table("client_assertion", &path, &PROVIDER_ASSERTION)?;
    if table.lacks("file") {
        reader.context.add(table.missing(format!("`{path}` has no `file`")));
    }
    table.path_of_later("file")
}

fn signing_key(reader: &Reader<'_>) -> Option<SigningKey> {
    let key = private_key(reader, "signing_key")?;
    let key = match reader.words("signing_key_id") {
        Some(id) => key.named(id.value),
        None => key,
    };
    let Some(entry) = reader.entry("signing_certificate") else { return Some(key) };
    let path = reader.name("signing_certificate");
    let table = reader.context.read(&entry.node, &entry.key_place, &path, &PROVIDER_CERTIFICATE)?;
    if table.lacks("file") {
        reader.context.add(table.missing(format!("`{path}` has no `file`")));
    }
    let file = table.path("file")?;
    if reader.context.secrets == SecretUse::Leave {
        return Some(key);
    }
    let certified = read(&file).and_then(|content| {
        let certificate =
            Certificate::from_pem(&content.secret).map_err(|error| error.to_string())?;
        key.clone().certified_by(certificate).map_err(|error| error.to_string())
    });
    certified.map_err(|label| unusable(reader, entry, label)).ok()
}

/// A private key that is kept elsewhere; a stand-in where secrets are not fetched.
fn private_key(reader: &Reader<'_>, key: &str) -> Option<SigningKey> {
    let entry = reader.entry(key)?;
    let text = reader.context.secret(&entry.node, &reader.name(key))?;
    let read = if reader.context.secrets == SecretUse::Leave {
        SigningKey::generate()
    } else {
        SigningKey::from_pem(&text)
    };
    read.map_err(|error| unusable(reader, entry, error.to_string())).ok()
}

fn unusable(reader: &Reader<'_>, entry: &Entry, label: String) {
    let message = format!("`{}` cannot be used", reader.name(&entry.key));
    reader.context.add(Problem::new(Code::E0305, &entry.node.place, message).label(label));
}

/// What a key signs with: what is written at `name`, or what is best for it.
pub(super) fn algorithm(reader: &Reader<'_>, name: &str, key: &SigningKey) -> Algorithm {
    let text = reader.text(name);
    let wished = text.as_ref().and_then(|text| named_algorithm(reader, name, text));
    if reader.context.secrets == SecretUse::Leave {
        // The key is a stand-in.
        return wished.unwrap_or(Algorithm::ES256);
    }
    match (key.algorithm(wished), text) {
        (Ok(algorithm), _) => algorithm,
        (Err(error), Some(text)) => {
            let message = format!("`{}` does not fit the key", reader.name(name));
            let problem = Problem::new(Code::E0123, &text.place, message);
            reader.context.add(problem.label(error.to_string()));
            Algorithm::ES256
        }
        (Err(_), None) => Algorithm::ES256,
    }
}

/// An algorithm with a private key.
pub(super) fn named_algorithm(reader: &Reader<'_>, name: &str, text: &Text) -> Option<Algorithm> {
    let algorithm = text.value.parse().ok().filter(|algorithm| *algorithm != Algorithm::HS256);
    if algorithm.is_none() {
        let known = Algorithm::DEFAULT.iter().map(|algorithm| algorithm.as_str());
        reader.none_of(text, &reader.name(name), known);
    }
    algorithm
}

fn audience(reader: &Reader<'_>) -> Option<AssertionAudience> {
    let key = "client_assertion_audience";
    let text = reader.words(key)?;
    Some(match text.value.as_str() {
        "issuer" => AssertionAudience::Issuer,
        "token_endpoint" => AssertionAudience::TokenEndpoint,
        other if Url::parse(other).is_ok() => AssertionAudience::Other(text.value),
        _ => {
            reader.none_of(&text, &reader.name(key), ["issuer", "token_endpoint"].into_iter());
            AssertionAudience::Issuer
        }
    })
}

fn dpop(reader: &Reader<'_>, has_certificate: bool, bound: bool) -> Option<Dpop> {
    let certificate_bound = "tls_client_certificate_bound_access_tokens";
    if let Some(entry) = reader.entry(certificate_bound)
        && reader.boolean(certificate_bound) == Some(true)
    {
        if !has_certificate {
            no_effect(reader, entry, "there is no `tls.certificate` to bind tokens to");
        } else if bound {
            no_effect(reader, entry, "tokens are bound to a key by `dpop_bound_access_tokens`");
        }
    }
    if !bound {
        for key in ["dpop_signing_alg", "dpop_signing_key", "dpop_jkt"] {
            if let Some(entry) = reader.entry(key) {
                no_effect(reader, entry, "it needs `dpop_bound_access_tokens = true`");
            }
        }
        return None;
    }
    let binds_code = reader.boolean("dpop_jkt").unwrap_or(false);
    let name = "dpop_signing_alg";
    if reader.has("dpop_signing_key") {
        let key = private_key(reader, "dpop_signing_key")?;
        return Some(Dpop { algorithm: algorithm(reader, name, &key), key, binds_code });
    }
    // A key of this process alone: no other has it, and it is on no disk.
    if let Some(text) = reader.text(name)
        && named_algorithm(reader, name, &text).is_some_and(|named| named != Algorithm::ES256)
    {
        let message = format!("`{}` needs a `dpop_signing_key`", reader.name(name));
        let problem = Problem::new(Code::E0123, &text.place, message);
        reader.context.add(problem.label("the key that is made at every start signs with ES256"));
    }
    let made: Result<SigningKey, KeyError> = SigningKey::generate();
    Some(Dpop { key: made.ok()?, algorithm: Algorithm::ES256, binds_code })
}

fn omits_redirect_uri(reader: &Reader<'_>) -> bool {
    let key = "token_request_omits";
    let mut omits = false;
    for text in reader.texts(key).unwrap_or_default() {
        if text.value == "redirect_uri" {
            omits = true;
        } else {
            reader.none_of(&text, &reader.name(key), ["redirect_uri"].into_iter());
        }
    }
    omits
}
