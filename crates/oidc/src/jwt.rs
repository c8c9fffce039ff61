//! Signed tokens that we make: client assertions, request objects, proofs of possession.
//!
//! Sources: RFC 7515 §3.1, §4.1; RFC 7518 §3.2 (HMAC); RFC 7519; RFC 8725 §3.11 (explicit types).

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use crate::keys::{KeyError, SigningKey};
use crate::provider::Algorithm;
use crate::secret::Secret;

/// What a token is signed with.
#[derive(Clone, Copy)]
pub(crate) enum Signer<'a> {
    /// A private key of ours.
    Key(&'a SigningKey, Algorithm),
    /// The same, with its public half in the header, since the reader knows no key of ours.
    Possession(&'a SigningKey, Algorithm),
    /// HS256, keyed with the bytes of a shared secret, as few or as many as there are.
    Secret(&'a Secret),
}

/// Signs `claims` as a compact JWS of type `kind` (`typ`), or of none that is named.
pub(crate) fn sign(
    kind: Option<&str>,
    claims: &Value,
    signer: Signer<'_>,
) -> Result<Secret, KeyError> {
    let mut header = Map::new();
    let mut say = |name: &str, value: Value| header.insert(name.to_owned(), value);
    if let Some(kind) = kind {
        say("typ", kind.into());
    }
    let algorithm = match signer {
        Signer::Key(key, algorithm) => {
            if let Some(id) = key.id() {
                say("kid", id.into());
            }
            if let Some(certificate) = key.certificate() {
                say("x5t", certificate.sha1_thumbprint().into());
                say("x5t#S256", certificate.sha256_thumbprint().into());
            }
            algorithm
        }
        Signer::Possession(key, algorithm) => {
            say("jwk", key.public_jwk());
            algorithm
        }
        Signer::Secret(_) => Algorithm::HS256,
    };
    say("alg", algorithm.as_str().into());
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let mut token = format!("{}.{}", part(&Value::Object(header)), part(claims));
    let signature = match signer {
        Signer::Key(key, algorithm) | Signer::Possession(key, algorithm) => {
            key.sign(algorithm, token.as_bytes())?
        }
        Signer::Secret(secret) => {
            let key = hmac::Key::new(hmac::HMAC_SHA256, secret.expose().as_bytes());
            hmac::sign(&key, token.as_bytes()).as_ref().to_vec()
        }
    };
    token.push('.');
    URL_SAFE_NO_PAD.encode_string(signature, &mut token);
    Ok(Secret::new(token))
}
