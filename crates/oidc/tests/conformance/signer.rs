//! A provider's signature keys. Signs with aws-lc directly, so that the signer and the verifier
//! under test share no JOSE code.

use std::sync::LazyLock;

use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED,
    ECDSA_P384_SHA384_FIXED_SIGNING, ED25519, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _,
    RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, RSA_PSS_2048_8192_SHA256, RSA_PSS_SHA256,
    RsaEncoding, RsaKeyPair, RsaPublicKeyComponents, VerificationAlgorithm,
};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use lychgate_oidc::Secret;
use serde_json::{Value, json};

/// The keys of our provider, made once: RSA keys are slow to make.
pub(crate) static KEYS: LazyLock<Keys> = LazyLock::new(Keys::generate);

pub(crate) struct Keys {
    pub(crate) rsa: Key,
    pub(crate) p256: Key,
    pub(crate) p384: Key,
    pub(crate) ed25519: Key,
    /// An RSA key that is not published.
    pub(crate) stranger: Key,
}

impl Keys {
    fn generate() -> Self {
        let rsa = || RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
        let ec = |algorithm| EcdsaKeyPair::generate(algorithm).unwrap();
        Self {
            rsa: Key::Rsa(rsa()),
            p256: Key::P256(ec(&ECDSA_P256_SHA256_FIXED_SIGNING)),
            p384: Key::P384(ec(&ECDSA_P384_SHA384_FIXED_SIGNING)),
            ed25519: Key::Ed25519(Ed25519KeyPair::generate().unwrap()),
            stranger: Key::Rsa(rsa()),
        }
    }

    /// The published set: one key of each kind, named for its kind.
    pub(crate) fn published(&self) -> Value {
        json!({ "keys": [
            self.rsa.jwk("rsa"),
            self.p256.jwk("p256"),
            self.p384.jwk("p384"),
            self.ed25519.jwk("ed25519"),
        ]})
    }
}

pub(crate) enum Key {
    Rsa(RsaKeyPair),
    P256(EcdsaKeyPair),
    P384(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

impl Key {
    /// The public key in a key set, under a name.
    pub(crate) fn jwk(&self, kid: &str) -> Value {
        let mut jwk = self.nameless_jwk();
        jwk["kid"] = kid.into();
        jwk["use"] = "sig".into();
        jwk
    }

    pub(crate) fn nameless_jwk(&self) -> Value {
        match self {
            Self::Rsa(pair) => {
                let (n, e) = components(pair);
                json!({ "kty": "RSA", "n": encode(n), "e": encode(e) })
            }
            Self::P256(pair) => ec_jwk("P-256", pair),
            Self::P384(pair) => ec_jwk("P-384", pair),
            Self::Ed25519(pair) => {
                json!({ "kty": "OKP", "crv": "Ed25519", "x": encode(pair.public_key()) })
            }
        }
    }

    /// The private half as an operator keeps it.
    pub(crate) fn pem(&self) -> Secret {
        let der = match self {
            Self::Rsa(pair) => {
                let der: Pkcs8V1Der<'_> = pair.as_der().unwrap();
                der.as_ref().to_vec()
            }
            Self::P256(pair) | Self::P384(pair) => pair.to_pkcs8v1().unwrap().as_ref().to_vec(),
            Self::Ed25519(pair) => pair.to_pkcs8().unwrap().as_ref().to_vec(),
        };
        Secret::new(pem("PRIVATE KEY", &der))
    }

    /// Reads a token that this key has to have signed: header and claims.
    pub(crate) fn open(&self, token: &str) -> (Value, Value) {
        let (input, signature) = token.rsplit_once('.').unwrap();
        let (header, claims) = parts(input);
        let (algorithm, public): (&dyn VerificationAlgorithm, &[u8]) = match self {
            Self::Rsa(pair) if header["alg"] == "PS256" => {
                (&RSA_PSS_2048_8192_SHA256, pair.public_key().as_ref())
            }
            Self::Rsa(pair) => (&RSA_PKCS1_2048_8192_SHA256, pair.public_key().as_ref()),
            Self::P256(pair) => (&ECDSA_P256_SHA256_FIXED, pair.public_key().as_ref()),
            Self::P384(pair) => (&ECDSA_P384_SHA384_FIXED, pair.public_key().as_ref()),
            Self::Ed25519(pair) => (&ED25519, pair.public_key().as_ref()),
        };
        algorithm.verify_sig(public, input.as_bytes(), &decode(signature)).unwrap();
        (header, claims)
    }

    /// Signs `input`; an RSA key by `algorithm`, the others in their only way.
    pub(crate) fn sign(&self, algorithm: &str, input: &str) -> Vec<u8> {
        let random = SystemRandom::new();
        match self {
            Self::Rsa(pair) => {
                let padding: &'static dyn RsaEncoding =
                    if algorithm == "PS256" { &RSA_PSS_SHA256 } else { &RSA_PKCS1_SHA256 };
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(padding, &random, input.as_bytes(), &mut signature).unwrap();
                signature
            }
            Self::P256(pair) | Self::P384(pair) => {
                pair.sign(&random, input.as_bytes()).unwrap().as_ref().to_vec()
            }
            Self::Ed25519(pair) => pair.sign(input.as_bytes()).as_ref().to_vec(),
        }
    }

    /// Every spelling of the public RSA key that someone might take for an HMAC key (`G2`).
    pub(crate) fn public_spellings(&self) -> Vec<Vec<u8>> {
        let Self::Rsa(pair) = self else { return Vec::new() };
        let spki = pair.public_key().as_der().unwrap().as_ref().to_vec();
        let lines = STANDARD.encode(&spki);
        let lines: Vec<&str> =
            lines.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
        let pem =
            format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----", lines.join("\n"));
        let (modulus, _) = components(pair);
        vec![
            format!("{pem}\n").into_bytes(),
            pem.into_bytes(),
            spki,
            self.jwk("rsa").to_string().into_bytes(),
            encode(&modulus).into_bytes(),
            modulus,
            Vec::new(),
        ]
    }
}

/// Reads a token that HS256 with `secret` has to have signed.
pub(crate) fn open_with_secret(secret: &str, token: &str) -> (Value, Value) {
    let (input, signature) = token.rsplit_once('.').unwrap();
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    hmac::verify(&key, input.as_bytes(), &decode(signature)).unwrap();
    parts(input)
}

fn parts(input: &str) -> (Value, Value) {
    let (header, claims) = input.split_once('.').unwrap();
    let json = |part| serde_json::from_slice(&decode(part)).unwrap();
    (json(header), json(claims))
}

fn decode(part: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(part).unwrap()
}

pub(crate) fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<&str> =
        text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

/// An HMAC over `input`, by the algorithm's name.
pub(crate) fn hmac(algorithm: &str, key: &[u8], input: &str) -> Vec<u8> {
    let algorithm = match algorithm {
        "HS384" => hmac::HMAC_SHA384,
        "HS512" => hmac::HMAC_SHA512,
        _ => hmac::HMAC_SHA256,
    };
    hmac::sign(&hmac::Key::new(algorithm, key), input.as_bytes()).as_ref().to_vec()
}

pub(crate) fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn components(pair: &RsaKeyPair) -> (Vec<u8>, Vec<u8>) {
    let components = RsaPublicKeyComponents::<Vec<u8>>::from(pair.public_key());
    (components.n, components.e)
}

fn ec_jwk(curve: &str, pair: &EcdsaKeyPair) -> Value {
    let point = &pair.public_key().as_ref()[1..];
    let (x, y) = point.split_at(point.len() / 2);
    json!({ "kty": "EC", "crv": curve, "x": encode(x), "y": encode(y) })
}

pub(crate) fn sha256(text: &str) -> Vec<u8> {
    aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes()).as_ref().to_vec()
}
