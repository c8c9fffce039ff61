//! Writing ID tokens, good ones and spoiled ones.
//!
//! Sources: OIDC Core §2, §3.1.3.6; RFC 7515 §7.1 (compact serialization).

use aws_lc_rs::{digest, error::Unspecified};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Map, Value, json};

use super::{
    claims,
    control::{ClaimsIn, Client, Control, Tamper},
    grants::{Grant, TOKEN_SECONDS},
};
use crate::{
    Algorithm, Fault,
    keys::{Keys, authenticate},
    personas::Persona,
};

/// How far ahead [`Fault::Clock`] runs.
const CLOCK_FAULT_SECONDS: u64 = 3_600;

/// The claims of the ID token for this grant.
pub(super) fn claims(
    issuer: &str,
    control: &Control,
    grant: &Grant,
    persona: &Persona,
    access_token: &str,
    now: u64,
) -> Map<String, Value> {
    let clock_runs_ahead = control.fault == Some(Fault::Clock);
    let issued = if clock_runs_ahead { now + CLOCK_FAULT_SECONDS } else { now };
    let mut claims = match control.claims_in {
        ClaimsIn::IdTokenAndUserinfo => claims::about(persona, &grant.scope, control.fault),
        ClaimsIn::Userinfo => Map::new(),
    };
    let mut set = |name: &str, value: Value| drop(claims.insert(name.to_owned(), value));
    set("iss", json!(issuer));
    set("sub", json!(persona.subject));
    set("aud", json!(grant.client_id));
    set("iat", json!(issued));
    set("exp", json!(issued + TOKEN_SECONDS));
    set("auth_time", json!(grant.auth_time));
    set("at_hash", json!(half_hash(control.signing, access_token)));
    if let Some(nonce) = &grant.nonce {
        set("nonce", json!(nonce));
    }
    if control.fault == Some(Fault::Issuer) {
        set("iss", json!("https://another-issuer.example"));
    }
    if control.fault == Some(Fault::Audience) {
        set("aud", json!("another-client"));
    }
    if control.fault == Some(Fault::Nonce) {
        set("nonce", json!("the-nonce-of-another-sign-in"));
    }
    claims
}

/// The left half of the hash, as `at_hash` wants it.
fn half_hash(algorithm: Algorithm, text: &str) -> String {
    let hash = digest::digest(algorithm.hash(), text.as_bytes());
    let (half, _) = hash.as_ref().split_at(hash.as_ref().len() / 2);
    URL_SAFE_NO_PAD.encode(half)
}

/// How a token is signed in the end.
enum Signature {
    BrokenTrue,
    Empty,
    OfAnotherKey,
    OfPublicKeyAsSecret,
    True,
}

/// The token with these claims, after all that [`Control::tamper`] does to it.
pub(super) fn write(
    mut claims: Map<String, Value>,
    control: &Control,
    client: &Client,
    keys: &Keys,
) -> Result<String, Unspecified> {
    let mut header = Map::new();
    header.insert("typ".to_owned(), json!("JWT"));
    header.insert("alg".to_owned(), json!(control.signing.name()));
    if let Some(key_id) = keys.key_id(control.signing) {
        header.insert("kid".to_owned(), json!(key_id));
    }

    let mut signature = Signature::True;
    for tamper in &control.tamper {
        match tamper {
            Tamper::Algorithm(name) => drop(header.insert("alg".to_owned(), json!(name))),
            Tamper::AnotherKey => signature = Signature::OfAnotherKey,
            Tamper::BrokenSignature => signature = Signature::BrokenTrue,
            Tamper::Claim(edit) => edit.apply(&mut claims),
            Tamper::Header(edit) => edit.apply(&mut header),
            Tamper::PublicKeyAsSecret => {
                header.insert("alg".to_owned(), json!("HS256"));
                signature = Signature::OfPublicKeyAsSecret;
            }
            Tamper::Raw(token) => return Ok(token.clone()),
            Tamper::Unsigned => {
                header.insert("alg".to_owned(), json!("none"));
                signature = Signature::Empty;
            }
        }
    }

    let signed = format!("{}.{}", encoded(&header), encoded(&claims));
    let true_signature =
        |keys: &Keys| keys.sign(control.signing, &client.client_secret, signed.as_bytes());
    let signature = match signature {
        Signature::BrokenTrue => {
            let mut octets = true_signature(keys)?;
            octets.iter_mut().last().into_iter().for_each(|octet| *octet ^= 1);
            octets
        }
        Signature::Empty => Vec::new(),
        Signature::OfAnotherKey if control.signing == Algorithm::Hs256 => {
            authenticate(b"the secret of nobody", signed.as_bytes())
        }
        Signature::OfAnotherKey => true_signature(&Keys::generate()?)?,
        Signature::OfPublicKeyAsSecret => {
            authenticate(keys.rsa_public_pem()?.as_bytes(), signed.as_bytes())
        }
        Signature::True => true_signature(keys)?,
    };
    Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
}

fn encoded(members: &Map<String, Value>) -> String {
    URL_SAFE_NO_PAD.encode(json!(members).to_string())
}
