//! Against tokens of another implementation (npm `jose` 6), and the example of RFC 7518 appendix C.

use super::*;
use crate::time::Timestamp;

fn fixture() -> Value {
    serde_json::from_str(include_str!("tokens_by_jose.json")).unwrap()
}

fn key(fixture: &Value, name: &str) -> DecryptionKey {
    let pem = fixture["keys"][name].as_str().unwrap();
    DecryptionKey::from_pem(&Secret::new(pem)).unwrap()
}

fn keys() -> Vec<DecryptionKey> {
    ["rsa", "p256"].map(|name| key(&fixture(), name)).into()
}

fn everything() -> Encryption {
    Encryption { key_management: KeyManagement::ALL.into(), content: ContentEncryption::ALL.into() }
}

fn open(token: &str) -> Result<String, JweError> {
    decrypt(token, &everything(), &keys()).map(|text| text.expose().to_owned())
}

fn any_token() -> String {
    fixture()["tokens"][1]["token"].as_str().unwrap().to_owned()
}

/// `BR-08`, `G10`: the key is found among ours, whatever the header calls it.
#[test]
fn tokens_that_another_implementation_made_are_opened() {
    let fixture = fixture();
    let tokens = fixture["tokens"].as_array().unwrap();
    assert_eq!(tokens.len(), KeyManagement::ALL.len() * ContentEncryption::ALL.len());
    for made in tokens {
        let text = open(made["token"].as_str().unwrap());
        assert_eq!(text.as_deref(), Ok(fixture["plaintext"].as_str().unwrap()), "{made}");
    }
}

#[test]
fn a_key_of_another_type_or_another_key_opens_nothing() {
    let fixture = fixture();
    for made in fixture["tokens"].as_array().unwrap() {
        let other = if made["key"] == "rsa" { "p256" } else { "rsa" };
        let keys = [key(&fixture, other)];
        let token = made["token"].as_str().unwrap();
        assert_eq!(decrypt(token, &everything(), &keys).err(), Some(JweError::Undecryptable));
        assert_eq!(decrypt(token, &everything(), &[]).err(), Some(JweError::Undecryptable));
    }
}

#[test]
fn what_was_not_agreed_on_is_not_opened() {
    for made in fixture()["tokens"].as_array().unwrap() {
        let token = made["token"].as_str().unwrap();
        let mut agreed = everything();
        agreed.key_management.retain(|known| made["alg"] != known.as_str());
        assert_eq!(decrypt(token, &agreed, &keys()).err(), Some(JweError::Algorithm));
        let mut agreed = everything();
        agreed.content.retain(|known| made["enc"] != known.as_str());
        assert_eq!(decrypt(token, &agreed, &keys()).err(), Some(JweError::Algorithm));
    }
}

/// Every part is authenticated, and no change says which one it was.
#[test]
fn a_token_that_was_changed_is_not_opened() {
    for made in fixture()["tokens"].as_array().unwrap() {
        let token = made["token"].as_str().unwrap();
        for part in 1..5 {
            let mut parts: Vec<Vec<u8>> =
                token.split('.').map(|part| decode(part).unwrap()).collect();
            match parts[part].first_mut() {
                Some(byte) => *byte ^= 1,
                None => parts[part].push(1),
            }
            let changed: Vec<String> = parts.iter().map(|p| URL_SAFE_NO_PAD.encode(p)).collect();
            assert_eq!(open(&changed.join(".")).err(), Some(JweError::Undecryptable), "{part}");
        }
    }
}

/// `fapi1-advanced … -encrypted-idtoken-usingrsa15`, and what else has been an attack.
#[test]
fn a_header_with_anything_dangerous_is_refused() {
    let with = |header: Value| {
        let (_, rest) =
            any_token().split_once('.').map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
        open(&format!("{}.{rest}", URL_SAFE_NO_PAD.encode(header.to_string()))).err()
    };
    let member = |member| Some(JweError::HeaderMember { member });
    for (header, expected) in [
        (json!({ "alg": "RSA1_5", "enc": "A256GCM" }), Some(JweError::Algorithm)),
        (json!({ "alg": "dir", "enc": "A256GCM" }), Some(JweError::Algorithm)),
        (json!({ "alg": "A256KW", "enc": "A256GCM" }), Some(JweError::Algorithm)),
        (
            json!({ "alg": "PBES2-HS256+A128KW", "enc": "A256GCM", "p2c": 99_999_999, "p2s": "AA" }),
            Some(JweError::Algorithm),
        ),
        (json!({ "alg": "RSA-OAEP-256", "enc": "A256CBC-HS512" }), Some(JweError::Algorithm)),
        (
            json!({ "alg": "RSA-OAEP", "enc": "A256GCM", "zip": "DEF" }),
            Some(JweError::NotSupported { member: "zip" }),
        ),
        (
            json!({ "alg": "RSA-OAEP", "enc": "A256GCM", "crit": ["exp"] }),
            Some(JweError::NotSupported { member: "crit" }),
        ),
        (json!({ "alg": "RSA-OAEP", "enc": "A256GCM", "cty": "text/plain" }), member("cty")),
        (json!({ "alg": ["RSA-OAEP"], "enc": "A256GCM" }), member("alg")),
        (json!({ "enc": "A256GCM" }), member("alg")),
        (json!({ "alg": "RSA-OAEP" }), member("enc")),
        (json!({ "alg": "ECDH-ES", "enc": "A256GCM", "epk": "x" }), member("epk")),
        (
            json!({ "alg": "ECDH-ES", "enc": "A256GCM", "epk": { "kty": "EC", "crv": "P-384" } }),
            member("epk"),
        ),
        (json!({ "alg": "ECDH-ES", "enc": "A256GCM" }), Some(JweError::Undecryptable)),
        // Keys that come along are not looked at: the token is simply not for us.
        (
            json!({ "alg": "RSA-OAEP", "enc": "A256GCM", "jku": "https://evil.example/", "x5u": "https://evil.example/", "jwk": {} }),
            Some(JweError::Undecryptable),
        ),
    ] {
        assert_eq!(with(header.clone()), expected, "{header}");
    }
}

/// A point that is not on the curve would let its sender compute our key bit by bit (RFC 8725 §3.4).
#[test]
fn an_ephemeral_key_that_is_not_on_the_curve_is_refused() {
    for coordinates in [([0_u8; 32], [0_u8; 32]), ([1; 32], [1; 32]), ([0xff; 32], [0xff; 32])] {
        let (x, y) = coordinates;
        let header = json!({ "alg": "ECDH-ES", "enc": "A128GCM", "epk": {
            "kty": "EC", "crv": "P-256", "x": URL_SAFE_NO_PAD.encode(x), "y": URL_SAFE_NO_PAD.encode(y),
        }});
        let header = URL_SAFE_NO_PAD.encode(header.to_string());
        let token = format!("{header}..{}.AA.{}", "A".repeat(16), "A".repeat(22));
        assert_eq!(open(&token).err(), Some(JweError::Undecryptable));
    }
}

#[test]
fn any_other_form_is_refused() {
    let token = any_token();
    let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"RSA-OAEP","alg":"RSA1_5","enc":"A256GCM"}"#);
    for (token, expected) in [
        (String::new(), JweError::NotFiveParts),
        ("a.b.c".to_owned(), JweError::NotFiveParts),
        (format!("{token}.AA"), JweError::NotFiveParts),
        (format!("{token}{}", ".".repeat(10_000)), JweError::NotFiveParts),
        (format!("{token}="), JweError::NotBase64Url),
        (format!(" {token}"), JweError::NotBase64Url),
        ("A".repeat(TOKEN_BYTES_MAX + 1), JweError::TooLarge),
        (format!("{header}.AA.AA.AA.AA"), JweError::Header(MalformedJson::RepeatedMember)),
    ] {
        assert_eq!(open(&token).err(), Some(expected), "{token:.60}");
    }
}

/// RFC 7518 appendix C: the Concat KDF. The example derives a key for A128GCM.
#[test]
fn the_derived_key_is_that_of_the_specifications_example() {
    let secret = [
        158, 86, 217, 29, 129, 113, 53, 211, 114, 131, 66, 131, 191, 132, 38, 156, 251, 49, 110,
        163, 218, 128, 106, 72, 246, 218, 167, 121, 140, 254, 144, 196,
    ];

    let key = derived_key(&secret, ContentEncryption::A128GCM, b"Alice", b"Bob");

    assert_eq!(URL_SAFE_NO_PAD.encode(&*key), "VqqN6vgjbSBcIijNcacQGg");
}

fn public(fixture: &Value, name: &str) -> EncryptionKey {
    let jwk = fixture["public"][name].as_object().unwrap();
    EncryptionKey::from_jwk(jwk).unwrap()
}

#[test]
fn what_is_encrypted_to_a_key_is_opened_with_it() {
    let fixture = fixture();
    for (name, key_management) in [
        ("rsa", KeyManagement::RsaOaep),
        ("rsa", KeyManagement::RsaOaep256),
        ("p256", KeyManagement::EcdhEs),
    ] {
        for content in ContentEncryption::ALL {
            let to = public(&fixture, name);
            let mut moment = Moment::new(Timestamp::new(0), [7; 32]);
            let token = encrypt("a.b.c", &to, key_management, content, &mut moment).unwrap();
            assert_eq!(open(token.expose()).as_deref(), Ok("a.b.c"), "{key_management:?}");
        }
    }
    let mut moment = Moment::new(Timestamp::new(0), [7; 32]);
    let (rsa, content) = (public(&fixture, "rsa"), ContentEncryption::A256GCM);
    assert!(encrypt("a", &rsa, KeyManagement::EcdhEs, content, &mut moment).is_none());
}

#[test]
fn a_key_that_cannot_be_used_says_why() {
    let pem = fixture()["keys"]["rsa"].as_str().unwrap().to_owned();
    for (pem, expected) in [
        (String::new(), DecryptionKeyError::NotPkcs8),
        (pem.replace("PRIVATE", "RSA PRIVATE"), DecryptionKeyError::NotPkcs8),
        (
            "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----".to_owned(),
            DecryptionKeyError::Kind,
        ),
    ] {
        assert_eq!(DecryptionKey::from_pem(&Secret::new(pem)).err(), Some(expected));
    }
}

#[test]
fn a_key_prints_its_type_and_nothing_else() {
    assert_eq!(format!("{:?}", keys()), "[‹private key, RSA›, ‹private key, P-256›]");
}
