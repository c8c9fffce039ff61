//! Encrypted tokens in compact form: opened with keys of ours, made for keys of a provider.
//!
//! Encryption hides and proves nothing: anybody who has the public key can encrypt. So what comes out of
//! [`decrypt`] has to be verified like anything else. Keys that a header brings along or points to (`jwk`,
//! `jku`, `x5c`, `x5u`) are not even looked at. Why a token does not open is one error, whatever the reason,
//! so that nobody learns about a key by asking (RFC 7516 §11.5). There is no RSA1_5, no password and no
//! compression, each of which has been an attack of its own.
//!
//! Sources: RFC 7516 §4, §5, §7.1, §11; RFC 7518 §4.3, §4.6, §5.3, appendix C; RFC 8725 §2.3, §3.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use aws_lc_rs::aead::{AES_128_GCM, AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::agreement::{self, ECDH_P256, PrivateKey, UnparsedPublicKey};
use aws_lc_rs::rsa::{
    OAEP_SHA1_MGF1SHA1, OAEP_SHA256_MGF1SHA256, OaepAlgorithm, OaepPrivateDecryptingKey,
    OaepPublicEncryptingKey, PrivateDecryptingKey, PublicEncryptingKey, PublicKeyComponents,
};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use crate::json::{self, MalformedJson, Object};
use crate::moment::Moment;
use crate::provider::UnknownName;
use crate::secret::Secret;

/// How long an encrypted token may be: a signed one of the largest size, encoded once more.
const TOKEN_BYTES_MAX: usize = 96 * 1024;
/// The tag of AES-GCM.
const TAG_BYTES: usize = 16;
/// The initialization vector of AES-GCM.
const IV_BYTES: usize = 12;
/// The smallest RSA modulus that is used (RFC 7518 §4.3).
const RSA_BITS_MIN: usize = 2048;
/// A coordinate on P-256.
const COORDINATE_BYTES: usize = 32;

/// How the key of an encrypted token comes along (`alg`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyManagement {
    /// `ECDH-ES` on P-256: both sides compute the key itself.
    EcdhEs,
    /// `RSA-OAEP`: encrypted with RSA, padded with SHA-1. Weak as a hash, sound as padding.
    RsaOaep,
    /// `RSA-OAEP-256`: encrypted with RSA, padded with SHA-256.
    RsaOaep256,
}

impl KeyManagement {
    /// Every one that is known.
    pub const ALL: [Self; 3] = [Self::EcdhEs, Self::RsaOaep, Self::RsaOaep256];

    /// The registered name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::EcdhEs => "ECDH-ES",
            Self::RsaOaep => "RSA-OAEP",
            Self::RsaOaep256 => "RSA-OAEP-256",
        }
    }

    const fn padding(self) -> Option<&'static OaepAlgorithm> {
        match self {
            Self::EcdhEs => None,
            Self::RsaOaep => Some(&OAEP_SHA1_MGF1SHA1),
            Self::RsaOaep256 => Some(&OAEP_SHA256_MGF1SHA256),
        }
    }
}

impl FromStr for KeyManagement {
    type Err = UnknownName;

    fn from_str(name: &str) -> Result<Self, UnknownName> {
        Self::ALL.into_iter().find(|known| known.as_str() == name).ok_or(UnknownName)
    }
}

/// How the content of an encrypted token is encrypted (`enc`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ContentEncryption {
    /// AES-GCM with a key of 128 bits.
    A128GCM,
    /// AES-GCM with a key of 256 bits.
    A256GCM,
}

impl ContentEncryption {
    /// Every one that is known.
    pub const ALL: [Self; 2] = [Self::A128GCM, Self::A256GCM];

    /// The registered name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::A128GCM => "A128GCM",
            Self::A256GCM => "A256GCM",
        }
    }

    const fn key_bytes(self) -> usize {
        match self {
            Self::A128GCM => 16,
            Self::A256GCM => 32,
        }
    }

    fn key(self, bytes: &[u8]) -> Option<LessSafeKey> {
        let algorithm = match self {
            Self::A128GCM => &AES_128_GCM,
            Self::A256GCM => &AES_256_GCM,
        };
        // A key of another length is refused by the library.
        UnboundKey::new(algorithm, bytes).ok().map(LessSafeKey::new)
    }
}

impl FromStr for ContentEncryption {
    type Err = UnknownName;

    fn from_str(name: &str) -> Result<Self, UnknownName> {
        Self::ALL.into_iter().find(|known| known.as_str() == name).ok_or(UnknownName)
    }
}

/// What was agreed on about encryption; nothing else is accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encryption {
    /// The `alg` that a token may have.
    pub key_management: Vec<KeyManagement>,
    /// The `enc` that a token may have.
    pub content: Vec<ContentEncryption>,
}

/// A private key of ours, for what is encrypted to us. Never printed.
#[derive(Clone)]
pub struct DecryptionKey(Arc<Opener>);

enum Opener {
    P256(PrivateKey),
    Rsa(OaepPrivateDecryptingKey),
}

impl DecryptionKey {
    /// Reads a key from PEM: PKCS#8, RSA of at least 2048 bits or P-256.
    ///
    /// # Errors
    /// See [`DecryptionKeyError`].
    pub fn from_pem(pem: &Secret) -> Result<Self, DecryptionKeyError> {
        let der = private_key(pem.expose()).ok_or(DecryptionKeyError::NotPkcs8)?;
        if let Ok(key) = PrivateDecryptingKey::from_pkcs8(&der) {
            if key.key_size_bits() < RSA_BITS_MIN {
                return Err(DecryptionKeyError::TooSmall);
            }
            let key = OaepPrivateDecryptingKey::new(key);
            return key
                .map(|key| Self(Arc::new(Opener::Rsa(key))))
                .map_err(|_| DecryptionKeyError::Kind);
        }
        PrivateKey::from_private_key_der(&ECDH_P256, &der)
            .map(|key| Self(Arc::new(Opener::P256(key))))
            .map_err(|_| DecryptionKeyError::Kind)
    }

    /// Whether tokens whose key comes along in this way may be for this key.
    #[must_use]
    pub fn fits(&self, key_management: KeyManagement) -> bool {
        match (&*self.0, key_management) {
            (Opener::P256(_), KeyManagement::EcdhEs)
            | (Opener::Rsa(_), KeyManagement::RsaOaep | KeyManagement::RsaOaep256) => true,
            (Opener::P256(_) | Opener::Rsa(_), _) => false,
        }
    }

    /// The key of the content, if this is the right key.
    fn content_key(&self, header: &Header, encrypted_key: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        match &*self.0 {
            Opener::Rsa(key) => {
                let mut room = Zeroizing::new(vec![0; key.min_output_size()]);
                let padding = header.key_management.padding()?;
                let opened = key.decrypt(padding, encrypted_key, &mut room, None).ok()?;
                Some(Zeroizing::new(opened.to_vec()))
            }
            Opener::P256(key) => {
                let point = header.ephemeral.as_ref()?;
                // With direct agreement nothing is encrypted, so there must be nothing (RFC 7516 §5.2).
                if !encrypted_key.is_empty() {
                    return None;
                }
                let peer = UnparsedPublicKey::new(&ECDH_P256, point);
                agreement::agree(key, peer, (), |secret| {
                    Ok(derived_key(secret, header.content, &header.party_u, &header.party_v))
                })
                .ok()
            }
        }
    }
}

impl fmt::Debug for DecryptionKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match &*self.0 {
            Opener::P256(_) => "‹private key, P-256›",
            Opener::Rsa(_) => "‹private key, RSA›",
        })
    }
}

/// Why a private key cannot be used. Carries nothing of the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecryptionKeyError {
    /// The key is neither RSA nor P-256.
    #[error("the key is neither RSA nor P-256")]
    Kind,
    /// There is no PKCS#8 key in it.
    #[error("there is no key in PEM form (`-----BEGIN PRIVATE KEY-----`)")]
    NotPkcs8,
    /// The key is RSA with less than 2048 bits.
    #[error("an RSA key needs at least 2048 bits")]
    TooSmall,
}

/// The DER of the first PKCS#8 key in a PEM text.
fn private_key(pem: &str) -> Option<Zeroizing<Vec<u8>>> {
    const BEGIN: &str = "-----BEGIN PRIVATE KEY-----";
    const END: &str = "-----END PRIVATE KEY-----";
    let (_, rest) = pem.split_once(BEGIN)?;
    let (body, _) = rest.split_once(END)?;
    let body: Zeroizing<String> =
        Zeroizing::new(body.chars().filter(|character| !character.is_whitespace()).collect());
    STANDARD.decode(body.as_bytes()).ok().map(Zeroizing::new)
}

/// Opens an encrypted token with one of `keys`, if it is encrypted as was agreed on.
///
/// The text is what was encrypted, usually a signed token, and nobody's word yet.
///
/// # Errors
/// See [`JweError`].
pub(crate) fn decrypt(
    token: &str,
    agreed: &Encryption,
    keys: &[DecryptionKey],
) -> Result<Secret, JweError> {
    if token.len() > TOKEN_BYTES_MAX {
        return Err(JweError::TooLarge);
    }
    // At most seven parts are cut, however many dots there are.
    let mut parts = token.splitn(7, '.');
    let parts =
        (parts.next(), parts.next(), parts.next(), parts.next(), parts.next(), parts.next());
    let (Some(protected), Some(key), Some(iv), Some(text), Some(tag), None) = parts else {
        return Err(JweError::NotFiveParts);
    };
    let header = Header::read(&decode(protected)?)?;
    if !agreed.key_management.contains(&header.key_management)
        || !agreed.content.contains(&header.content)
    {
        return Err(JweError::Algorithm);
    }
    let (key, iv, tag) = (decode(key)?, decode(iv)?, decode(tag)?);
    let mut sealed = decode(text)?;
    let nonce: [u8; IV_BYTES] = iv.try_into().map_err(|_| JweError::Undecryptable)?;
    if tag.len() != TAG_BYTES {
        return Err(JweError::Undecryptable);
    }
    sealed.extend_from_slice(&tag);
    keys.iter()
        .filter(|candidate| candidate.fits(header.key_management))
        .find_map(|candidate| {
            let content_key = candidate.content_key(&header, &key)?;
            let content_key = header.content.key(&content_key)?;
            let mut room = Zeroizing::new(sealed.clone());
            let aad = Aad::from(protected.as_bytes());
            let nonce = Nonce::assume_unique_for_key(nonce);
            let opened = content_key.open_in_place(nonce, aad, &mut room).ok()?;
            std::str::from_utf8(opened).ok().map(Secret::new)
        })
        .ok_or(JweError::Undecryptable)
}

/// What an encrypted token says about its own making.
struct Header {
    key_management: KeyManagement,
    content: ContentEncryption,
    /// The other side's public key, as an uncompressed point.
    ephemeral: Option<Vec<u8>>,
    party_u: Vec<u8>,
    party_v: Vec<u8>,
}

impl Header {
    fn read(bytes: &[u8]) -> Result<Self, JweError> {
        let members = json::object(bytes).map_err(JweError::Header)?;
        // Nothing that may be critical is understood here (RFC 7516 §4.1.13), and what is compressed could
        // be a thousand times as large (RFC 8725 §3.6).
        for member in ["crit", "zip"] {
            if members.contains_key(member) {
                return Err(JweError::NotSupported { member });
            }
        }
        // What is inside is itself a token, where the header says anything about it.
        let inner = text(&members, "cty")?;
        if inner.is_some_and(|inner| !inner.eq_ignore_ascii_case("JWT")) {
            return Err(JweError::HeaderMember { member: "cty" });
        }
        let name = |member| text(&members, member)?.ok_or(JweError::HeaderMember { member });
        let bytes = |member| -> Result<Vec<u8>, JweError> {
            text(&members, member)?.map_or(Ok(Vec::new()), decode)
        };
        let key_management = name("alg")?.parse().map_err(|UnknownName| JweError::Algorithm)?;
        let content = name("enc")?.parse().map_err(|UnknownName| JweError::Algorithm)?;
        let ephemeral = match members.get("epk") {
            None => None,
            Some(key) => {
                let point = key.as_object().and_then(point);
                Some(point.ok_or(JweError::HeaderMember { member: "epk" })?)
            }
        };
        Ok(Self {
            key_management,
            content,
            ephemeral,
            party_u: bytes("apu")?,
            party_v: bytes("apv")?,
        })
    }
}

fn text<'a>(members: &'a Object, member: &'static str) -> Result<Option<&'a str>, JweError> {
    match members.get(member) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(JweError::HeaderMember { member }),
    }
}

fn decode(part: &str) -> Result<Vec<u8>, JweError> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| JweError::NotBase64Url)
}

/// A public key on P-256 as an uncompressed point. Whether it lies on the curve is checked where it is used.
fn point(key: &Object) -> Option<Vec<u8>> {
    let member = |name: &str| key.get(name).and_then(Value::as_str);
    if member("kty")? != "EC" || member("crv")? != "P-256" {
        return None;
    }
    let coordinate = |name: &str| {
        let bytes = URL_SAFE_NO_PAD.decode(member(name)?).ok()?;
        (bytes.len() == COORDINATE_BYTES).then_some(bytes)
    };
    Some([&[4], &*coordinate("x")?, &*coordinate("y")?].concat())
}

/// The Concat KDF for direct agreement (RFC 7518 §4.6.2): one round of SHA-256 is as much as is needed.
fn derived_key(
    secret: &[u8],
    content: ContentEncryption,
    party_u: &[u8],
    party_v: &[u8],
) -> Zeroizing<Vec<u8>> {
    let mut hash = Sha256::new();
    hash.update(1_u32.to_be_bytes());
    hash.update(secret);
    for field in [content.as_str().as_bytes(), party_u, party_v] {
        // Both parties' fields are bounded by the token, which is far below 4 GiB.
        hash.update(u32::try_from(field.len()).unwrap_or(u32::MAX).to_be_bytes());
        hash.update(field);
    }
    let bits: u32 = match content {
        ContentEncryption::A128GCM => 128,
        ContentEncryption::A256GCM => 256,
    };
    hash.update(bits.to_be_bytes());
    let digest = Zeroizing::new(<[u8; 32]>::from(hash.finalize()));
    Zeroizing::new(digest.iter().take(content.key_bytes()).copied().collect())
}

/// Why an encrypted token cannot be opened. Carries nothing of the token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JweError {
    /// `alg` or `enc` is none that was agreed on.
    #[error("the token is encrypted in a way that is not allowed")]
    Algorithm,
    /// The header is not a JSON object, or names a member twice.
    #[error("the header cannot be read")]
    Header(#[source] MalformedJson),
    /// A member of the header is missing or of the wrong type or form.
    #[error("`{member}` in the header is missing or malformed")]
    HeaderMember {
        /// Which member.
        member: &'static str,
    },
    /// A part is not in the one canonical base64url form.
    #[error("a part is not canonical base64url")]
    NotBase64Url,
    /// There are not five parts: the token is not encrypted, and encryption was agreed on.
    #[error("the token is not encrypted, and encryption was agreed on")]
    NotFiveParts,
    /// The header has something that is refused for good.
    #[error("the header has `{member}`, which is not supported")]
    NotSupported {
        /// Which member.
        member: &'static str,
    },
    /// The token is longer than 96 KiB.
    #[error("the token is longer than {TOKEN_BYTES_MAX} bytes")]
    TooLarge,
    /// None of our keys opens it, or it was changed on the way.
    #[error("no key of ours opens the token")]
    Undecryptable,
}

/// A public key of a provider, for what only it may read.
#[derive(Clone)]
pub struct EncryptionKey {
    id: Option<String>,
    /// The one way that the key is published for, if it says so.
    only_for: Option<KeyManagement>,
    kind: Arc<Sealer>,
}

enum Sealer {
    P256(Vec<u8>),
    Rsa(OaepPublicEncryptingKey),
}

impl EncryptionKey {
    /// The key in an entry of a key set, if it is one to encrypt with: published for encryption, or for no
    /// purpose in particular; RSA of at least 2048 bits, or P-256.
    #[must_use]
    pub fn from_jwk(entry: &Map<String, Value>) -> Option<Self> {
        let member = |name: &str| entry.get(name).and_then(Value::as_str);
        if entry.get("use").is_some_and(|purpose| purpose != "enc") {
            return None;
        }
        let number = |name: &str| URL_SAFE_NO_PAD.decode(member(name)?).ok();
        let kind = match member("kty")? {
            "RSA" => {
                let parts = PublicKeyComponents { n: number("n")?, e: number("e")? };
                let key: PublicEncryptingKey = parts.try_into().ok()?;
                if key.key_size_bits() < RSA_BITS_MIN {
                    return None;
                }
                Sealer::Rsa(OaepPublicEncryptingKey::new(key).ok()?)
            }
            _ => Sealer::P256(point(entry)?),
        };
        let only_for = match entry.get("alg") {
            None => None,
            Some(name) => Some(name.as_str()?.parse().ok()?),
        };
        Some(Self { id: member("kid").map(str::to_owned), only_for, kind: Arc::new(kind) })
    }

    /// Whether this key can be used in this way.
    #[must_use]
    pub fn fits(&self, key_management: KeyManagement) -> bool {
        let by_kind = match (&*self.kind, key_management) {
            (Sealer::P256(_), KeyManagement::EcdhEs)
            | (Sealer::Rsa(_), KeyManagement::RsaOaep | KeyManagement::RsaOaep256) => true,
            (Sealer::P256(_) | Sealer::Rsa(_), _) => false,
        };
        by_kind && self.only_for.is_none_or(|only| only == key_management)
    }
}

impl fmt::Debug for EncryptionKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("EncryptionKey").field("id", &self.id).finish_non_exhaustive()
    }
}

/// Encrypts a signed token to `key`, with what `moment` draws. `None`: the key is of another type, or not one.
#[must_use]
pub fn encrypt(
    token: &str,
    key: &EncryptionKey,
    key_management: KeyManagement,
    content: ContentEncryption,
    moment: &mut Moment,
) -> Option<Secret> {
    let mut header = Object::new();
    let mut say = |name: &str, value: Value| drop(header.insert(name.to_owned(), value));
    say("alg", key_management.as_str().into());
    say("enc", content.as_str().into());
    say("cty", "JWT".into());
    if let Some(id) = &key.id {
        say("kid", id.as_str().into());
    }
    let drawn = Zeroizing::new(moment.draw());
    let (content_key, encrypted_key) = match &*key.kind {
        Sealer::Rsa(key) => {
            let content_key = Zeroizing::new(drawn.get(..content.key_bytes())?.to_vec());
            let mut room = vec![0; key.ciphertext_size()];
            let sealed = key.encrypt(key_management.padding()?, &content_key, &mut room, None);
            (content_key, sealed.ok()?.to_vec())
        }
        Sealer::P256(peer) => {
            if key_management != KeyManagement::EcdhEs {
                return None;
            }
            let ephemeral = PrivateKey::from_private_key(&ECDH_P256, &*drawn).ok()?;
            let public = ephemeral.compute_public_key().ok()?;
            let (x, y) = public.as_ref().get(1..)?.split_at_checked(COORDINATE_BYTES)?;
            let (x, y) = (URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y));
            say("epk", json!({ "kty": "EC", "crv": "P-256", "x": x, "y": y }));
            let peer = UnparsedPublicKey::new(&ECDH_P256, peer);
            let content_key = agreement::agree(&ephemeral, peer, (), |secret| {
                Ok(derived_key(secret, content, &[], &[]))
            });
            (content_key.ok()?, Vec::new())
        }
    };
    let protected = URL_SAFE_NO_PAD.encode(Value::Object(header).to_string());
    let iv: [u8; IV_BYTES] = moment.draw().get(..IV_BYTES)?.try_into().ok()?;
    let mut sealed = token.as_bytes().to_vec();
    let nonce = Nonce::assume_unique_for_key(iv);
    let tag = content
        .key(&content_key)?
        .seal_in_place_separate_tag(nonce, Aad::from(protected.as_bytes()), &mut sealed)
        .ok()?;
    let [key, iv, text, tag] = [&*encrypted_key, &iv, &sealed, tag.as_ref()]
        .map(|bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes));
    Some(Secret::new(format!("{protected}.{key}.{iv}.{text}.{tag}")))
}

#[cfg(test)]
mod tests;
