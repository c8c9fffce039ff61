//! The provider's keys: which of them may have signed a token, and which one we may encrypt to.
//!
//! A key set is foreign data that grows without notice, so entries that are not understood are
//! passed over (RFC 7517 §5). Passed over as well are keys that must not be used: of too small a size,
//! and symmetric ones, since a published secret is none. No key that is published for encryption ever
//! verifies anything, and only such a key is encrypted to. A key fits a token by its type and curve first;
//! a name alone never makes it fit.
//!
//! Sources: RFC 7517 §4, §5; RFC 7518 §3.3, §6; RFC 8037 §2; OIDC Core §10.1.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::DecodingKey;
use serde_json::Value;

use crate::json::{self, MalformedJson, Object};
use crate::jwe::{EncryptionKey, KeyManagement};
use crate::provider::Algorithm;

/// How long a key set may be.
const BODY_BYTES_MAX: usize = 1024 * 1024;
/// How many keys a set may have.
const KEYS_MAX: usize = 100;
/// How many keys are tried on one signature.
const CANDIDATES_MAX: usize = 8;
/// The smallest RSA modulus that is used (RFC 7518 §3.3).
const RSA_BITS_MIN: usize = 2048;

/// The keys that a provider publishes, as far as they can be used here.
#[derive(Clone, Default)]
pub struct KeySet {
    signature: Vec<Key>,
    encryption: Vec<EncryptionKey>,
}

impl KeySet {
    /// No keys: with it every token signed with a public key asks for newer ones.
    #[must_use]
    pub const fn empty() -> Self {
        Self { signature: Vec::new(), encryption: Vec::new() }
    }

    /// Reads a JWK set. Keys that cannot be used are passed over without an error.
    ///
    /// # Errors
    /// The document as a whole is no key set, or too large. Keep the last good one then.
    pub fn parse(body: &[u8]) -> Result<Self, JwksError> {
        if body.len() > BODY_BYTES_MAX {
            return Err(JwksError::TooLarge);
        }
        let document = json::object(body).map_err(JwksError::Json)?;
        let entries = document.get("keys").and_then(Value::as_array).ok_or(JwksError::NoKeys)?;
        if entries.len() > KEYS_MAX {
            return Err(JwksError::TooMany { count: entries.len() });
        }
        let entries = || entries.iter().filter_map(Value::as_object);
        let for_encryption =
            entries().filter(|entry| entry.get("use").is_some_and(|it| it == "enc"));
        Ok(Self {
            signature: entries().filter_map(Key::read).collect(),
            encryption: for_encryption.filter_map(EncryptionKey::from_jwk).collect(),
        })
    }

    /// How many keys can verify a signature.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.signature.len()
    }

    /// Whether no key can verify a signature.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.signature.is_empty()
    }

    /// The key to encrypt to in this way: the first that is published for encryption and fits.
    pub(crate) fn encryption_key(&self, key_management: KeyManagement) -> Option<&EncryptionKey> {
        self.encryption.iter().find(|key| key.fits(key_management))
    }

    /// The keys that may have made a signature with `algorithm`, at most eight.
    ///
    /// With a name, those of that name, since a name is sometimes given twice; without, all.
    pub(crate) fn candidates(
        &self,
        algorithm: Algorithm,
        key_id: Option<&str>,
    ) -> impl Iterator<Item = &DecodingKey> {
        self.signature
            .iter()
            .filter(move |key| key_id.is_none() || key.id.as_deref() == key_id)
            .filter(move |key| key.signs_with(algorithm))
            .map(|key| &key.decoding)
            .take(CANDIDATES_MAX)
    }
}

impl fmt::Debug for KeySet {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let signature = self.signature.iter().map(|key| (key.kind, &key.id));
        formatter.debug_list().entries(signature).entries(&self.encryption).finish()
    }
}

/// Why a document is not a key set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JwksError {
    /// The document is not a JSON object.
    #[error("the key set cannot be read")]
    Json(#[source] MalformedJson),
    /// There is no list `keys`.
    #[error("the key set has no list `keys`")]
    NoKeys,
    /// The document is longer than 1 MiB.
    #[error("the key set is longer than {BODY_BYTES_MAX} bytes")]
    TooLarge,
    /// There are more than 100 keys.
    #[error("the key set has {count} keys, more than {KEYS_MAX}")]
    TooMany {
        /// How many there are.
        count: usize,
    },
}

#[derive(Clone)]
struct Key {
    id: Option<String>,
    kind: Kind,
    /// The one algorithm that the key is published for, if it says so.
    only_for: Option<Algorithm>,
    decoding: DecodingKey,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Ed25519,
    P256,
    P384,
    Rsa,
}

impl Key {
    /// The key in a set's `entry`, if it can be used to verify signatures.
    fn read(entry: &Object) -> Option<Self> {
        if entry.get("use").is_some_and(|purpose| purpose != "sig") {
            return None;
        }
        if let Some(operations) = entry.get("key_ops")
            && !operations.as_array()?.iter().any(|operation| operation == "verify")
        {
            return None;
        }
        let id = match entry.get("kid") {
            None => None,
            Some(id) => Some(id.as_str()?.to_owned()),
        };
        let only_for = match entry.get("alg") {
            None => None,
            Some(name) => Some(name.as_str()?.parse().ok()?),
        };
        let (kind, decoding) = public_key(entry)?;
        Some(Self { id, kind, only_for, decoding })
    }

    fn signs_with(&self, algorithm: Algorithm) -> bool {
        let by_kind = match algorithm {
            Algorithm::RS256 | Algorithm::PS256 => self.kind == Kind::Rsa,
            Algorithm::ES256 => self.kind == Kind::P256,
            Algorithm::ES384 => self.kind == Kind::P384,
            Algorithm::EdDSA => self.kind == Kind::Ed25519,
            // Its key is the client secret and never comes from a key set.
            Algorithm::HS256 => false,
        };
        by_kind && self.only_for.is_none_or(|only| only == algorithm)
    }
}

fn public_key(entry: &Object) -> Option<(Kind, DecodingKey)> {
    let member = |name: &str| entry.get(name).and_then(Value::as_str);
    match member("kty")? {
        "RSA" => {
            let (modulus, exponent) = (number(member("n")?)?, number(member("e")?)?);
            (bits(&modulus) >= RSA_BITS_MIN)
                .then(|| (Kind::Rsa, DecodingKey::from_rsa_raw_components(&modulus, &exponent)))
        }
        "EC" => {
            let (kind, coordinate_bytes) = match member("crv")? {
                "P-256" => (Kind::P256, 32),
                "P-384" => (Kind::P384, 48),
                _ => return None,
            };
            let (x, y) = (member("x")?, member("y")?);
            // Coordinates have the full length of the field (RFC 7518 §6.2.1.2).
            let full = |text| bytes(text).is_some_and(|bytes| bytes.len() == coordinate_bytes);
            (full(x) && full(y)).then_some(())?;
            Some((kind, DecodingKey::from_ec_components(x, y).ok()?))
        }
        "OKP" if member("crv")? == "Ed25519" => {
            let point: [u8; 32] = bytes(member("x")?)?.try_into().ok()?;
            (!has_small_order(point)).then(|| (Kind::Ed25519, DecodingKey::from_ed_der(&point)))
        }
        _ => None,
    }
}

fn bytes(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

/// An unsigned number, without the zero bytes that some publishers put in front of it.
fn number(text: &str) -> Option<Vec<u8>> {
    let bytes = bytes(text)?;
    let first = bytes.iter().position(|byte| *byte != 0)?;
    bytes.get(first..).map(<[u8]>::to_vec)
}

/// The length of a number that does not begin with a zero byte.
fn bits(number: &[u8]) -> usize {
    number.first().map_or(0, |first| number.len() * 8 - first.leading_zeros() as usize)
}

/// Whether a compressed Edwards point is one of the few under which a signature can be made to
/// fit any message. No honest key is such a point; verification alone does not exclude them.
fn has_small_order(mut point: [u8; 32]) -> bool {
    const ORDER_EIGHT: [u8; 32] = [
        0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98,
        0xf0, 0xd5, 0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53,
        0xfc, 0x05,
    ];
    const ORDER_EIGHT_NEGATED: [u8; 32] = [
        0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67,
        0x0f, 0x2a, 0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac,
        0x03, 0x7a,
    ];

    // The top bit is the sign of x. What is left is y, little-endian, possibly not reduced.
    let [first, middle @ .., last] = &mut point;
    *last &= 0x7f;
    let is_zero_or_one = *first <= 1 && middle.iter().all(|byte| *byte == 0) && *last == 0;
    // p is 2^255 - 19, so p - 1, p and p + 1 differ in the lowest byte alone.
    let is_near_p =
        matches!(*first, 0xec..=0xee) && middle.iter().all(|byte| *byte == 0xff) && *last == 0x7f;
    is_zero_or_one || is_near_p || point == ORDER_EIGHT || point == ORDER_EIGHT_NEGATED
}
