//! Our own private keys: they sign what proves who we are, what we ask for, and that a token is ours.
//!
//! A key knows what it can sign with, and says its public half. The private half leaves this module as
//! signatures only and is never printed. The signature library draws what PSS and ECDSA need of randomness by
//! itself; nothing else in this crate draws any.
//!
//! Sources: RFC 5958 (PKCS #8); RFC 7468 (PEM); RFC 7517 and 7518 §6 (JWK); RFC 7638 (thumbprint); RFC 8037.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeyPair as RsaKeyPair;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair,
    KeyPair as _, RSA_PKCS1_SHA256, RSA_PSS_SHA256, RsaEncoding, RsaPublicKeyComponents,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::certificate::Certificate;
use crate::pem::{self, PemError};
use crate::provider::Algorithm;
use crate::secret::Secret;

/// RSA keys below this are not accepted by anybody who looks (FAPI 2.0).
const RSA_BITS_MIN: usize = 2048;

/// A private key to sign with. Cheap to clone; never printed.
#[derive(Clone)]
pub struct SigningKey {
    pair: Arc<Pair>,
    id: Option<String>,
    certificate: Option<Arc<Certificate>>,
}

enum Pair {
    Ed25519(Ed25519KeyPair),
    P256(EcdsaKeyPair),
    P384(EcdsaKeyPair),
    Rsa(RsaKeyPair),
}

/// Why a text is not a key to sign with. Carries nothing of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The key cannot sign with that algorithm.
    #[error("{kind} cannot sign with {algorithm}; it can with {possible}")]
    Algorithm {
        /// What the key is, with an article.
        kind: &'static str,
        /// What was wished for.
        algorithm: Algorithm,
        /// What is possible.
        possible: &'static str,
    },
    /// The certificate is for another key.
    #[error("the certificate is for another key")]
    CertificateOfAnotherKey,
    /// The key is encrypted, and there is no password for it.
    #[error("the key is encrypted; write it out with `openssl pkcs8 -topk8 -nocrypt`")]
    Encrypted,
    /// It is PKCS #8, and neither RSA, P-256, P-384 nor Ed25519.
    #[error("the key is neither RSA, P-256, P-384 nor Ed25519, or it is damaged")]
    Kind,
    /// It is a key in an older form.
    #[error("the key is not in PKCS #8; convert it with `openssl pkcs8 -topk8 -nocrypt`")]
    NotPkcs8,
    /// The text is not PEM.
    #[error(transparent)]
    Pem(#[from] PemError),
    /// It is only the public half, or a certificate.
    #[error("this is `{0}`, not a private key")]
    Public(String),
    /// The signature library failed.
    #[error("the key cannot be used")]
    Unusable,
    /// RSA with too few bits.
    #[error("the RSA key has {bits} bits; it needs 2048 or more")]
    Weak {
        /// How many it has.
        bits: usize,
    },
}

impl SigningKey {
    /// Reads a private key: PKCS #8 in PEM, unencrypted; RSA with 2048 bits or more, P-256, P-384 or Ed25519.
    ///
    /// # Errors
    /// See [`KeyError`].
    pub fn from_pem(text: &Secret) -> Result<Self, KeyError> {
        let block = pem::first(text.expose())?;
        match block.label.as_str() {
            "PRIVATE KEY" => {}
            "ENCRYPTED PRIVATE KEY" => return Err(KeyError::Encrypted),
            label if label.ends_with("PRIVATE KEY") => return Err(KeyError::NotPkcs8),
            label => return Err(KeyError::Public(label.to_owned())),
        }
        let der: &[u8] = &block.bytes;
        let pair = if let Ok(pair) = RsaKeyPair::from_pkcs8(der) {
            let bits = pair.public_modulus_len() * 8;
            if bits < RSA_BITS_MIN {
                return Err(KeyError::Weak { bits });
            }
            Pair::Rsa(pair)
        } else if let Ok(pair) = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der) {
            Pair::P256(pair)
        } else if let Ok(pair) = EcdsaKeyPair::from_pkcs8(&ECDSA_P384_SHA384_FIXED_SIGNING, der) {
            Pair::P384(pair)
        } else if let Ok(pair) = Ed25519KeyPair::from_pkcs8(der) {
            Pair::Ed25519(pair)
        } else {
            return Err(match pem::rsa_bits(der) {
                Some(bits) if bits < RSA_BITS_MIN => KeyError::Weak { bits },
                Some(_) | None => KeyError::Kind,
            });
        };
        Ok(Self { pair: Arc::new(pair), id: None, certificate: None })
    }

    /// A new P-256 key, from the operating system's randomness.
    ///
    /// # Errors
    /// [`KeyError::Unusable`] when the system gives no randomness.
    pub fn generate() -> Result<Self, KeyError> {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING);
        let pair = pair.map_err(|_| KeyError::Unusable)?;
        Ok(Self { pair: Arc::new(Pair::P256(pair)), id: None, certificate: None })
    }

    /// The same key, named `id` in what it signs (`kid`).
    #[must_use]
    pub fn named(self, id: impl Into<String>) -> Self {
        Self { id: Some(id.into()), ..self }
    }

    /// The same key, pointing out the certificate by its thumbprints in what it signs (`x5t`, `x5t#S256`).
    ///
    /// # Errors
    /// [`KeyError::CertificateOfAnotherKey`].
    pub fn certified_by(self, certificate: Certificate) -> Result<Self, KeyError> {
        if !self.fits(&certificate) {
            return Err(KeyError::CertificateOfAnotherKey);
        }
        Ok(Self { certificate: Some(Arc::new(certificate)), ..self })
    }

    /// Whether `certificate` is for this key.
    #[must_use]
    pub fn fits(&self, certificate: &Certificate) -> bool {
        certificate.public_key() == self.public_bytes()
    }

    /// The name of the key, if it has one.
    #[must_use]
    pub fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    pub(crate) fn certificate(&self) -> Option<&Certificate> {
        self.certificate.as_deref()
    }

    /// What to sign with: the algorithm wished for, or the best one for this kind of key.
    ///
    /// # Errors
    /// [`KeyError::Algorithm`] when the key cannot sign with it.
    pub fn algorithm(&self, wished: Option<Algorithm>) -> Result<Algorithm, KeyError> {
        let (kind, possible, words): (_, &[Algorithm], _) = match &*self.pair {
            Pair::Rsa(_) => {
                ("an RSA key", &[Algorithm::PS256, Algorithm::RS256], "PS256 and RS256")
            }
            Pair::P256(_) => ("a P-256 key", &[Algorithm::ES256], "ES256"),
            Pair::P384(_) => ("a P-384 key", &[Algorithm::ES384], "ES384"),
            Pair::Ed25519(_) => ("an Ed25519 key", &[Algorithm::EdDSA], "EdDSA"),
        };
        match wished {
            None => possible.first().copied().ok_or(KeyError::Unusable),
            Some(algorithm) if possible.contains(&algorithm) => Ok(algorithm),
            Some(algorithm) => Err(KeyError::Algorithm { kind, algorithm, possible: words }),
        }
    }

    /// The public half as a JWK, without a name.
    #[must_use]
    pub fn public_jwk(&self) -> Value {
        match &*self.pair {
            Pair::Rsa(pair) => {
                let parts = RsaPublicKeyComponents::<Vec<u8>>::from(pair.public_key());
                json!({ "kty": "RSA", "n": encode(&parts.n), "e": encode(&parts.e) })
            }
            Pair::P256(pair) => point("P-256", pair),
            Pair::P384(pair) => point("P-384", pair),
            Pair::Ed25519(pair) => {
                let x = encode(pair.public_key().as_ref());
                json!({ "kty": "OKP", "crv": "Ed25519", "x": x })
            }
        }
    }

    /// The thumbprint of the public half (RFC 7638): SHA-256 over its members in the order of their names,
    /// which is how a JSON object is written here.
    #[must_use]
    pub fn thumbprint(&self) -> String {
        encode(&Sha256::digest(self.public_jwk().to_string()))
    }

    /// The public half as it stands in a certificate.
    fn public_bytes(&self) -> &[u8] {
        match &*self.pair {
            Pair::Rsa(pair) => pair.public_key().as_ref(),
            Pair::P256(pair) | Pair::P384(pair) => pair.public_key().as_ref(),
            Pair::Ed25519(pair) => pair.public_key().as_ref(),
        }
    }

    /// Signs `input`. The algorithm is one that [`algorithm`](Self::algorithm) gave.
    pub(crate) fn sign(&self, algorithm: Algorithm, input: &[u8]) -> Result<Vec<u8>, KeyError> {
        self.algorithm(Some(algorithm))?;
        let random = SystemRandom::new();
        match &*self.pair {
            Pair::Rsa(pair) => {
                let padding: &'static dyn RsaEncoding =
                    if algorithm == Algorithm::RS256 { &RSA_PKCS1_SHA256 } else { &RSA_PSS_SHA256 };
                let mut signature = vec![0; pair.public_modulus_len()];
                let signed = pair.sign(padding, &random, input, &mut signature);
                signed.map_err(|_| KeyError::Unusable)?;
                Ok(signature)
            }
            Pair::P256(pair) | Pair::P384(pair) => {
                let signature = pair.sign(&random, input).map_err(|_| KeyError::Unusable)?;
                Ok(signature.as_ref().to_vec())
            }
            Pair::Ed25519(pair) => Ok(pair.sign(input).as_ref().to_vec()),
        }
    }
}

fn point(curve: &str, pair: &EcdsaKeyPair) -> Value {
    // The uncompressed form: a byte that says so, and both coordinates in full length.
    let coordinates = pair.public_key().as_ref().get(1..).unwrap_or_default();
    let (x, y) = coordinates.split_at(coordinates.len() / 2);
    json!({ "kty": "EC", "crv": curve, "x": encode(x), "y": encode(y) })
}

fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The same key under the same name.
impl PartialEq for SigningKey {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id && self.public_bytes() == other.public_bytes()
    }
}

impl Eq for SigningKey {}

impl fmt::Debug for SigningKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match &*self.pair {
            Pair::Ed25519(_) => "Ed25519",
            Pair::P256(_) => "P-256",
            Pair::P384(_) => "P-384",
            Pair::Rsa(_) => "RSA",
        };
        formatter
            .debug_struct("SigningKey")
            .field("kind", &kind)
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}
