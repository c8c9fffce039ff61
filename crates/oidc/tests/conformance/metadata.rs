//! What a provider may say about itself, and which of its keys are used.

use lychgate_oidc::{DiscoveryError, JwksError, KeySet, MalformedJson, Metadata, discovery};
use serde_json::{Value, json};

use crate::signer::{self, KEYS};
use crate::stage::{ISSUER, Stage, keys};

/// Reads a right document in which `member` is `value`.
fn with(member: &str, value: Value) -> Result<Metadata, DiscoveryError> {
    let mut document = Stage::new().metadata;
    document[member] = value;
    Metadata::parse(document.to_string().as_bytes(), ISSUER)
}

/// OIDC Discovery §4.1
#[test]
fn the_document_lies_below_the_whole_issuer() {
    for (issuer, expected) in [
        ("https://idp.example", "https://idp.example/.well-known/openid-configuration"),
        ("https://idp.example/", "https://idp.example/.well-known/openid-configuration"),
        ("https://idp.example/a/b", "https://idp.example/a/b/.well-known/openid-configuration"),
        ("http://127.0.0.1:9000", "http://127.0.0.1:9000/.well-known/openid-configuration"),
        ("http://[::1]:9000", "http://[::1]:9000/.well-known/openid-configuration"),
        ("http://localhost/x", "http://localhost/x/.well-known/openid-configuration"),
    ] {
        assert_eq!(discovery::url(issuer).unwrap().as_str(), expected);
    }
}

#[test]
fn an_issuer_that_is_not_one_has_no_document() {
    let (insecure, decorated) = (
        DiscoveryError::Insecure { member: "issuer" },
        DiscoveryError::Decorated { member: "issuer" },
    );
    for (issuer, error) in [
        ("http://idp.example", insecure.clone()),
        ("http://localhost.example", insecure.clone()),
        ("http://10.0.0.1", insecure.clone()),
        ("file:///etc/passwd", insecure),
        ("https://user@idp.example", decorated.clone()),
        ("https://:secret@idp.example", decorated.clone()),
        ("https://idp.example?realm=a", decorated.clone()),
        ("https://idp.example/#", decorated),
    ] {
        assert_eq!(discovery::url(issuer), Err(error), "{issuer}");
    }
    assert!(matches!(discovery::url("idp.example"), Err(DiscoveryError::NotAUrl { .. })));
}

#[test]
fn every_endpoint_is_https_unless_it_is_on_this_machine() {
    for member in [
        "authorization_endpoint",
        "token_endpoint",
        "userinfo_endpoint",
        "jwks_uri",
        "end_session_endpoint",
    ] {
        let insecure = DiscoveryError::Insecure { member };
        let decorated = DiscoveryError::Decorated { member };
        for (value, error) in [
            ("http://idp.example/x", insecure.clone()),
            ("http://127.0.0.1.example/x", insecure.clone()),
            ("javascript:alert(1)", insecure),
            ("https://a@idp.example/x", decorated.clone()),
            ("https://idp.example/x#y", decorated),
        ] {
            assert_eq!(with(member, value.into()).err(), Some(error), "{member} {value}");
        }
        let long = format!("https://idp.example/{}", "x".repeat(70_000));
        assert_eq!(with(member, long.into()).err(), Some(DiscoveryError::NotAUri { member }));
        assert!(matches!(with(member, "/x".into()), Err(DiscoveryError::NotAUrl { .. })));
        assert_eq!(with(member, json!(7)).err(), Some(DiscoveryError::WrongType { member }));
        for host in ["127.0.0.1:1", "127.8.9.1", "[::1]:1", "localhost:1"] {
            assert!(with(member, format!("http://{host}/x").into()).is_ok(), "{member} {host}");
        }
    }
}

#[test]
fn what_every_provider_must_say_is_required_and_the_rest_is_not() {
    for member in ["issuer", "authorization_endpoint", "token_endpoint"] {
        let error = with(member, Value::Null).err();
        assert_eq!(error, Some(DiscoveryError::Missing { member }));
    }
    for member in ["userinfo_endpoint", "jwks_uri", "end_session_endpoint", "scopes_supported"] {
        assert!(with(member, Value::Null).is_ok(), "{member}");
    }
    let metadata = with("scopes_supported", json!(["openid", "groups"])).unwrap();
    assert_eq!(metadata.scopes_supported, ["openid", "groups"]);
    assert!(!metadata.authorization_response_iss_parameter_supported);
}

/// RFC 9700 §2.1.1: a provider that says nothing is given the benefit; one that says no is not.
#[test]
fn a_provider_that_lists_pkce_methods_must_list_s256() {
    let member = "code_challenge_methods_supported";
    assert!(with(member, json!([])).is_ok());
    assert!(with(member, json!(["plain", "S256"])).is_ok());
    assert_eq!(with(member, json!(["plain"])).err(), Some(DiscoveryError::NoS256));
    assert_eq!(with(member, json!("S256")).err(), Some(DiscoveryError::WrongType { member }));
}

#[test]
fn a_document_that_cannot_be_read_is_refused() {
    let huge = format!("{{\"x\": \"{}\"}}", "x".repeat(1024 * 1024));
    for (document, error) in [
        (huge, DiscoveryError::TooLarge),
        ("[]".to_owned(), DiscoveryError::Json(MalformedJson::NotAnObject)),
        (
            format!(r#"{{"issuer":"{ISSUER}","issuer":"https://evil.example"}}"#),
            DiscoveryError::Json(MalformedJson::RepeatedMember),
        ),
    ] {
        assert_eq!(Metadata::parse(document.as_bytes(), ISSUER).err(), Some(error));
    }
    let deep = format!(r#"{{"issuer":{}"#, "[".repeat(500_000));
    let error = Metadata::parse(deep.as_bytes(), ISSUER).err();
    assert!(matches!(error, Some(DiscoveryError::Json(MalformedJson::Syntax { .. }))));
}

/// RFC 7517 §5: one strange key must not lock everyone out.
#[test]
fn keys_that_cannot_or_must_not_be_used_are_passed_over() {
    let changed = |change: fn(&mut Value)| {
        let mut jwk = KEYS.rsa.jwk("k");
        change(&mut jwk);
        jwk
    };
    let small = signer::encode([0xff; 128]);
    let unusable = [
        changed(|jwk| jwk["use"] = "enc".into()),
        changed(|jwk| jwk["key_ops"] = json!(["encrypt"])),
        changed(|jwk| jwk["key_ops"] = json!("verify")),
        changed(|jwk| jwk["alg"] = "RSA-OAEP".into()),
        changed(|jwk| jwk["alg"] = "RS512".into()),
        changed(|jwk| jwk["kid"] = 7.into()),
        changed(|jwk| jwk["kty"] = "rsa".into()),
        changed(|jwk| jwk["n"] = "not base64url!".into()),
        changed(|jwk| jwk["n"] = "".into()),
        json!({ "kty": "RSA", "n": small, "e": "AQAB" }),
        // 2048 bits by the look of it, and 2040 by the number.
        json!({ "kty": "RSA", "n": signer::encode([&[0][..], &[0xff; 255]].concat()), "e": "AQAB" }),
        json!({ "kty": "oct", "k": "c2VjcmV0" }),
        json!({ "kty": "EC", "crv": "secp256k1", "x": "AA", "y": "AA" }),
        json!({ "kty": "EC", "crv": "P-256", "x": "AA", "y": "AA" }),
        json!({ "kty": "OKP", "crv": "X25519", "x": signer::encode([7; 32]) }),
        json!({ "kty": "OKP", "crv": "Ed25519", "x": signer::encode([7; 31]) }),
        json!({ "kty": "AKP", "alg": "ML-DSA-44", "pub": "AA" }),
        json!({}),
        json!("key"),
        json!(null),
    ];
    for jwk in &unusable {
        assert_eq!(keys(&json!({ "keys": [jwk] })).len(), 0, "{jwk}");
    }
    let mut set = unusable.to_vec();
    set.push(KEYS.rsa.jwk("good"));
    set.push(changed(|jwk| jwk["key_ops"] = json!(["verify"])));
    assert_eq!(keys(&json!({ "keys": set })).len(), 2);
}

/// Every point of small order, and its negative, in both spellings where there are two.
#[test]
fn no_ed25519_key_of_small_order_is_used() {
    let low = |first: u8, rest: u8, last: u8| {
        let mut point = [rest; 32];
        (point[0], point[31]) = (first, last);
        point
    };
    let points = [
        low(0x00, 0x00, 0x00),
        low(0x00, 0x00, 0x80),
        low(0x01, 0x00, 0x00),
        low(0x01, 0x00, 0x80),
        low(0xec, 0xff, 0x7f),
        low(0xec, 0xff, 0xff),
        low(0xed, 0xff, 0x7f),
        low(0xed, 0xff, 0xff),
        low(0xee, 0xff, 0x7f),
        low(0xee, 0xff, 0xff),
    ];
    for point in points {
        let jwk = json!({ "kty": "OKP", "crv": "Ed25519", "x": signer::encode(point) });
        assert!(keys(&json!({ "keys": [jwk] })).is_empty(), "{point:x?}");
    }
    // The two of order eight are each other's negative: their bytes add up to those of p.
    let hex = "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05";
    let one: Vec<u8> =
        (0..32).map(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap()).collect();
    let other: Vec<u8> =
        low(0xed, 0xff, 0x7f).iter().zip(&one).map(|(whole, part)| whole - part).collect();
    for point in [one, other] {
        let jwk = json!({ "kty": "OKP", "crv": "Ed25519", "x": signer::encode(&point) });
        assert!(keys(&json!({ "keys": [jwk] })).is_empty(), "{point:x?}");
    }
}

#[test]
fn a_document_that_is_no_key_set_is_an_error() {
    let many = json!({ "keys": vec![json!({}); 101] }).to_string();
    let huge = " ".repeat(1024 * 1024 + 1);
    for (document, error) in [
        ("{}", JwksError::NoKeys),
        (r#"{"keys":{}}"#, JwksError::NoKeys),
        ("[]", JwksError::Json(MalformedJson::NotAnObject)),
        (&many, JwksError::TooMany { count: 101 }),
        (&huge, JwksError::TooLarge),
    ] {
        assert_eq!(KeySet::parse(document.as_bytes()).err(), Some(error));
    }
    assert!(KeySet::empty().is_empty());
}
