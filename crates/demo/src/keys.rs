//! The provider's keys: making signatures, and publishing what verifies them.
//!
//! Sources: RFC 7515 (JWS), RFC 7517 and RFC 7518 (JWK and algorithms), RFC 7638 (thumbprints),
//! RFC 8037 (Ed25519).

use std::{collections::BTreeMap, fmt, str::FromStr};

use aws_lc_rs::{
    digest,
    encoding::AsDer,
    error::Unspecified,
    hmac, rand,
    rsa::KeySize,
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair,
        Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RSA_PSS_SHA256, RsaEncoding, RsaKeyPair,
    },
};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use serde_json::{Value, json};

/// How ID tokens are signed (RFC 7518 §3.1, RFC 8037 §3.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// ECDSA on P-384 with SHA-384.
    Es384,
    /// Ed25519.
    EdDsa,
    /// HMAC with SHA-256, under the client's secret (OIDC Core §10.1).
    Hs256,
    /// RSA-PSS with SHA-256, 2048 bits.
    Ps256,
    /// RSA PKCS#1 v1.5 with SHA-256, 2048 bits; what OIDC providers do unless told otherwise.
    #[default]
    Rs256,
}

impl Algorithm {
    /// Every algorithm, the default first.
    pub const ALL: [Self; 6] =
        [Self::Rs256, Self::Ps256, Self::Es256, Self::Es384, Self::EdDsa, Self::Hs256];

    /// Its registered name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
            Self::EdDsa => "EdDSA",
            Self::Hs256 => "HS256",
            Self::Ps256 => "PS256",
            Self::Rs256 => "RS256",
        }
    }

    /// The hash that `at_hash` is made with (OIDC Core §3.1.3.6). Ed25519 signs with SHA-512.
    pub(crate) fn hash(self) -> &'static digest::Algorithm {
        match self {
            Self::Es256 | Self::Hs256 | Self::Ps256 | Self::Rs256 => &digest::SHA256,
            Self::Es384 => &digest::SHA384,
            Self::EdDsa => &digest::SHA512,
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.name())
    }
}

impl FromStr for Algorithm {
    type Err = UnknownAlgorithm;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|algorithm| algorithm.name() == name)
            .ok_or_else(|| UnknownAlgorithm { name: name.to_owned() })
    }
}

/// The name is not that of an [`Algorithm`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{name}` is no signature algorithm; there are {}", Algorithm::ALL.map(Algorithm::name).join(", "))]
pub struct UnknownAlgorithm {
    /// The name that was given.
    pub name: String,
}

/// One private key of each kind.
#[derive(Debug)]
pub(crate) struct Keys {
    ed25519: Ed25519KeyPair,
    p256: EcdsaKeyPair,
    p384: EcdsaKeyPair,
    rsa: RsaKeyPair,
}

impl Keys {
    pub(crate) fn generate() -> Result<Self, Unspecified> {
        Ok(Self {
            ed25519: Ed25519KeyPair::generate()?,
            p256: EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)?,
            p384: EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING)?,
            rsa: RsaKeyPair::generate(KeySize::Rsa2048)?,
        })
    }

    /// Signs `message`. `client_secret` is the key of [`Algorithm::Hs256`] and otherwise unused.
    pub(crate) fn sign(
        &self,
        algorithm: Algorithm,
        client_secret: &str,
        message: &[u8],
    ) -> Result<Vec<u8>, Unspecified> {
        let random = rand::SystemRandom::new();
        Ok(match algorithm {
            Algorithm::Es256 => self.p256.sign(&random, message)?.as_ref().to_vec(),
            Algorithm::Es384 => self.p384.sign(&random, message)?.as_ref().to_vec(),
            Algorithm::EdDsa => self.ed25519.try_sign(message)?.as_ref().to_vec(),
            Algorithm::Hs256 => authenticate(client_secret.as_bytes(), message),
            Algorithm::Ps256 => self.sign_rsa(&RSA_PSS_SHA256, message)?,
            Algorithm::Rs256 => self.sign_rsa(&RSA_PKCS1_SHA256, message)?,
        })
    }

    fn sign_rsa(
        &self,
        padding: &'static dyn RsaEncoding,
        message: &[u8],
    ) -> Result<Vec<u8>, Unspecified> {
        let mut signature = vec![0; self.rsa.public_modulus_len()];
        self.rsa.sign(padding, &rand::SystemRandom::new(), message, &mut signature)?;
        Ok(signature)
    }

    /// The `kid` of the key that `algorithm` uses: its thumbprint. A shared secret has none.
    pub(crate) fn key_id(&self, algorithm: Algorithm) -> Option<String> {
        match algorithm {
            Algorithm::Es256 => Some(self.p256_members()),
            Algorithm::Es384 => Some(self.p384_members()),
            Algorithm::EdDsa => Some(self.ed25519_members()),
            Algorithm::Hs256 => None,
            Algorithm::Ps256 | Algorithm::Rs256 => Some(self.rsa_members()),
        }
        .map(|members| thumbprint(&members))
    }

    /// The public keys as JWKs. The RSA key names no `alg`, since it serves two.
    pub(crate) fn published(&self) -> Vec<Value> {
        vec![
            jwk(self.rsa_members(), None),
            jwk(self.p256_members(), Some(Algorithm::Es256)),
            jwk(self.p384_members(), Some(Algorithm::Es384)),
            jwk(self.ed25519_members(), Some(Algorithm::EdDsa)),
        ]
    }

    /// The RSA public key in the PEM that a careless verifier would take for an HMAC secret.
    pub(crate) fn rsa_public_pem(&self) -> Result<String, Unspecified> {
        let base64 = STANDARD.encode(self.rsa.public_key().as_der()?.as_ref());
        let mut pem = String::from("-----BEGIN PUBLIC KEY-----\n");
        for (index, character) in base64.chars().enumerate() {
            if index > 0 && index % 64 == 0 {
                pem.push('\n');
            }
            pem.push(character);
        }
        pem.push_str("\n-----END PUBLIC KEY-----\n");
        Ok(pem)
    }

    fn ed25519_members(&self) -> Members {
        let public = URL_SAFE_NO_PAD.encode(self.ed25519.public_key());
        Members::from([("crv", "Ed25519".into()), ("kty", "OKP".into()), ("x", public)])
    }

    fn p256_members(&self) -> Members {
        curve_members("P-256", self.p256.public_key().as_ref())
    }

    fn p384_members(&self) -> Members {
        curve_members("P-384", self.p384.public_key().as_ref())
    }

    fn rsa_members(&self) -> Members {
        let public = self.rsa.public_key();
        let number = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        Members::from([
            ("e", number(public.exponent().big_endian_without_leading_zero())),
            ("kty", "RSA".into()),
            ("n", number(public.modulus().big_endian_without_leading_zero())),
        ])
    }
}

/// HMAC with SHA-256.
pub(crate) fn authenticate(secret: &[u8], message: &[u8]) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), message).as_ref().to_vec()
}

/// The members of a JWK that its thumbprint covers, in the order in which it covers them.
type Members = BTreeMap<&'static str, String>;

/// The coordinates of an uncompressed point: a 4, then two numbers of the same length.
fn curve_members(curve: &str, point: &[u8]) -> Members {
    let coordinates = &point[1..];
    let (x, y) = coordinates.split_at(coordinates.len() / 2);
    Members::from([
        ("crv", curve.into()),
        ("kty", "EC".into()),
        ("x", URL_SAFE_NO_PAD.encode(x)),
        ("y", URL_SAFE_NO_PAD.encode(y)),
    ])
}

/// RFC 7638 §3: the members sorted by name, without white space, hashed.
fn thumbprint(members: &Members) -> String {
    let canonical = json!(members).to_string();
    URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, canonical.as_bytes()))
}

fn jwk(members: Members, algorithm: Option<Algorithm>) -> Value {
    let mut jwk = json!(members);
    jwk["kid"] = json!(thumbprint(&members));
    jwk["use"] = json!("sig");
    if let Some(algorithm) = algorithm {
        jwk["alg"] = json!(algorithm.name());
    }
    jwk
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_algorithm_is_named_as_it_is_registered() {
        for (name, algorithm) in
            ["RS256", "PS256", "ES256", "ES384", "EdDSA", "HS256"].into_iter().zip(Algorithm::ALL)
        {
            assert_eq!(name.parse(), Ok(algorithm));
            assert_eq!(algorithm.to_string(), name);
        }
        assert!("none".parse::<Algorithm>().is_err());
    }

    /// The example of RFC 7638 §3.1.
    #[test]
    fn a_thumbprint_is_that_of_the_rfc() {
        let modulus = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFF\
                       xuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt\
                       7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6q\
                       MQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHa\
                       Q-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw";

        let members = Members::from([
            ("e", "AQAB".to_owned()),
            ("kty", "RSA".to_owned()),
            ("n", modulus.to_owned()),
        ]);

        assert_eq!(thumbprint(&members), "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
    }

    #[test]
    fn a_private_key_is_never_published() {
        let keys = Keys::generate().expect("keys");

        for jwk in keys.published() {
            let members = jwk.as_object().expect("an object");
            for private in ["d", "p", "q", "dp", "dq", "qi", "k"] {
                assert!(!members.contains_key(private), "{private} in {jwk}");
            }
        }
    }
}
