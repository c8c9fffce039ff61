//! Proof that whoever uses a token is whom it was given to.
//!
//! Each request carries a short signed statement about itself. The provider may want a value of its own in
//! it: then the request is made once more, with everything in it fresh, and never a third time.
//!
//! Sources: RFC 9449 §4.2, §4.3, §5, §7.1, §8, §9, §10.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::header::{HeaderName, WWW_AUTHENTICATE};
use http::{HeaderValue, Request, Response, StatusCode};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};
use url::Url;

use crate::jwt::{self, Signer};
use crate::keys::{KeyError, SigningKey};
use crate::moment::Moment;
use crate::provider::Algorithm;
use crate::secret::Secret;

static DPOP: HeaderName = HeaderName::from_static("dpop");
static DPOP_NONCE: HeaderName = HeaderName::from_static("dpop-nonce");

/// How long a provider's nonce may be.
const NONCE_BYTES_MAX: usize = 1024;

/// Access tokens are bound to a key of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dpop {
    /// The key.
    pub key: SigningKey,
    /// What it signs with.
    pub algorithm: Algorithm,
    /// Whether the code is bound to it already, by `dpop_jkt` in the authorization request (RFC 9449 §10).
    pub binds_code: bool,
}

/// The latest nonce of each server of a provider, by its origin.
pub type DpopNonces = BTreeMap<String, String>;

/// The server that answers at an address, as [`DpopNonces`] names it.
#[must_use]
pub fn server(uri: &http::Uri) -> Option<String> {
    Url::parse(&uri.to_string()).ok().map(|url| url.origin().ascii_serialization())
}

/// The nonce that a response gives for the next request to the same server (RFC 9449 §8.2).
#[must_use]
pub fn nonce<T>(response: &Response<T>) -> Option<&str> {
    let value = response.headers().get(&DPOP_NONCE)?.to_str().ok()?;
    // RFC 9449 §8.1: the characters of an OAuth `NQCHAR`.
    let is_nonce = |byte: u8| matches!(byte, 0x21 | 0x23..=0x5B | 0x5D..=0x7E);
    (!value.is_empty() && value.len() <= NONCE_BYTES_MAX && value.bytes().all(is_nonce))
        .then_some(value)
}

/// Whether a resource answers that it wants a nonce in the proof (RFC 9449 §9).
pub(crate) fn resource_wants_nonce<T>(response: &Response<T>) -> bool {
    response.status() == StatusCode::UNAUTHORIZED
        && response.headers().get_all(WWW_AUTHENTICATE).iter().any(|challenge| {
            let challenge = challenge.to_str().unwrap_or_default();
            challenge.get(..4).is_some_and(|scheme| scheme.eq_ignore_ascii_case("DPoP"))
                && challenge.contains("use_dpop_nonce")
        })
}

impl Dpop {
    /// Adds the proof to a request for `url`. `nonce` is the one that this server just asked for; without it
    /// the one is used that it gave last.
    pub(crate) fn prove(
        &self,
        request: &mut Request<Vec<u8>>,
        url: &Url,
        access_token: Option<&Secret>,
        nonce: Option<&str>,
        moment: &mut Moment,
    ) -> Result<(), KeyError> {
        let mut target = url.clone();
        target.set_query(None);
        target.set_fragment(None);
        let mut claims = Map::new();
        let mut say = |name: &str, value: Value| claims.insert(name.to_owned(), value);
        say("jti", moment.unique().into());
        say("htm", request.method().as_str().into());
        say("htu", target.as_str().into());
        say("iat", moment.now.seconds().into());
        if let Some(token) = access_token {
            say("ath", URL_SAFE_NO_PAD.encode(Sha256::digest(token.expose())).into());
        }
        if let Some(nonce) =
            nonce.or_else(|| moment.dpop_nonce(&url.origin().ascii_serialization()))
        {
            say("nonce", nonce.into());
        }
        let signer = Signer::Possession(&self.key, self.algorithm);
        let proof = jwt::sign(Some("dpop+jwt"), &Value::Object(claims), signer)?;
        let mut value = HeaderValue::try_from(proof.expose()).map_err(|_| KeyError::Unusable)?;
        value.set_sensitive(true);
        request.headers_mut().insert(&DPOP, value);
        Ok(())
    }
}
