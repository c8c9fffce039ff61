//! ID tokens that must be refused, and those that must not.

use std::time::Duration;

use lychgate_oidc::{Algorithm, ClientAuth, IdTokenError, JwsError, MalformedJson, Secret};
use serde_json::{Value, json};

use crate::signer::{self, KEYS, sha256};
use crate::stage::{ACCESS_TOKEN, CLIENT, CLIENT_SECRET, Draft, ISSUER, NOW, Stage, TOLERANCE};

type Change = fn(&mut Draft);
type Spelling = fn(&str) -> String;

fn each_is_refused(cases: &[(&str, Change, IdTokenError)]) {
    let stage = Stage::new();
    for (what, change, error) in cases {
        let outcome = stage.sign_in(change);
        assert_eq!(outcome.key_fetches, 0, "{what}");
        assert_eq!(outcome.refusal(), *error, "{what}");
    }
}

fn each_is_accepted(cases: &[(&str, Change)]) {
    let stage = Stage::new();
    for (what, change) in cases {
        let outcome = stage.sign_in(change);
        assert!(outcome.result.is_ok(), "{what}: {:?}", outcome.result);
    }
}

fn seconds(count: i64) -> Duration {
    Duration::from_secs(count.unsigned_abs())
}

const fn missing(claim: &'static str) -> IdTokenError {
    IdTokenError::ClaimMissing { claim }
}

const fn malformed(claim: &'static str) -> IdTokenError {
    IdTokenError::ClaimMalformed { claim }
}

#[test]
fn every_allowed_algorithm_is_verified() {
    each_is_accepted(&[
        ("RS256", |token| token.signed_by(&KEYS.rsa, "RS256", "rsa")),
        ("PS256", |token| token.signed_by(&KEYS.rsa, "PS256", "rsa")),
        ("ES256", |token| token.signed_by(&KEYS.p256, "ES256", "p256")),
        ("ES384", |token| token.signed_by(&KEYS.p384, "ES384", "p384")),
        ("EdDSA", |token| token.signed_by(&KEYS.ed25519, "EdDSA", "ed25519")),
        ("Ed25519, the name of RFC 9864", |token| {
            token.signed_by(&KEYS.ed25519, "Ed25519", "ed25519");
        }),
    ]);
}

/// `G1`: whatever the spelling, an unsigned token is no token.
#[test]
fn an_unsigned_token_is_refused() {
    let stage = Stage::new();
    for algorithm in ["none", "None", "nOnE", "", "HS1", "RS256\u{0}"] {
        for signature in [&b""[..], b"junk"] {
            let outcome = stage.sign_in_with(|login| {
                let mut token = Draft::new(login);
                token.header["alg"] = algorithm.into();
                token.to_text_signed(signature)
            });
            assert_eq!(outcome.refusal(), IdTokenError::Algorithm, "{algorithm:?}");
        }
    }
}

/// `G2`, `G3`: a published key never becomes a shared secret, though the key set says nothing of
/// its algorithm and even when the operator does allow HS256.
#[test]
fn a_public_key_is_never_an_hmac_key() {
    let mut stage = Stage::new();
    stage.keys = json!({ "keys": [
        KEYS.rsa.nameless_jwk(),
        { "kty": "oct", "kid": "rsa", "k": signer::encode("published") },
    ]});
    let mut spellings = KEYS.rsa.public_spellings();
    spellings.push(b"published".to_vec());
    assert!(spellings.len() > 7);

    for (allowed, expected) in [
        (Algorithm::DEFAULT.to_vec(), IdTokenError::Algorithm),
        (vec![Algorithm::RS256, Algorithm::HS256], IdTokenError::Signature),
    ] {
        stage.provider.id_token.signed_response_algs = allowed;
        for key in &spellings {
            let outcome = stage.sign_in_with(|login| {
                let mut token = Draft::new(login);
                token.header["alg"] = "HS256".into();
                token.to_text_signed(&signer::hmac("HS256", key, &token.input()))
            });
            assert_eq!(outcome.refusal(), expected);
        }
    }
}

/// `G3`
#[test]
fn longer_hmacs_are_no_way_around_the_list() {
    let mut stage = Stage::new();
    stage.provider.id_token.signed_response_algs = Algorithm::ALL.to_vec();
    for algorithm in ["HS384", "HS512"] {
        let outcome = stage.sign_in_with(|login| {
            let mut token = Draft::new(login);
            token.header["alg"] = algorithm.into();
            let key = CLIENT_SECRET.as_bytes();
            token.to_text_signed(&signer::hmac(algorithm, key, &token.input()))
        });
        assert_eq!(outcome.refusal(), IdTokenError::Algorithm, "{algorithm}");
    }
}

/// OIDC Core §10.1: the key is the client secret as UTF-8.
#[test]
fn hs256_is_verified_with_the_client_secret_where_the_operator_allows_it() {
    let mut stage = Stage::new();
    stage.provider.id_token.signed_response_algs = vec![Algorithm::HS256];
    let with_hmac = |stage: &Stage, key: &[u8]| {
        stage.sign_in_with(|login| {
            let mut token = Draft::new(login);
            token.header["alg"] = "HS256".into();
            token.to_text_signed(&signer::hmac("HS256", key, &token.input()))
        })
    };

    assert!(with_hmac(&stage, CLIENT_SECRET.as_bytes()).result.is_ok());
    assert_eq!(with_hmac(&stage, b"guess").refusal(), IdTokenError::Signature);

    stage.provider.client_auth = ClientAuth::Secret { secret: Secret::new(""), method: None };
    assert_eq!(with_hmac(&stage, b"").refusal(), IdTokenError::Signature);
    stage.provider.client_auth = ClientAuth::None;
    assert_eq!(with_hmac(&stage, b"").refusal(), IdTokenError::Signature);
}

/// `G4`: the list decides, and after it the type of the key.
#[test]
fn an_algorithm_fits_its_own_keys_only() {
    let mut only_es256 = Stage::new();
    only_es256.provider.id_token.signed_response_algs = vec![Algorithm::ES256];
    assert_eq!(only_es256.sign_in(|_| {}).refusal(), IdTokenError::Algorithm);

    let mut only_rs256 = Stage::new();
    only_rs256.provider.id_token.signed_response_algs = vec![Algorithm::RS256];
    let pss = only_rs256.sign_in(|token| token.signed_by(&KEYS.rsa, "PS256", "rsa"));
    assert_eq!(pss.refusal(), IdTokenError::Algorithm);

    // A name that exists, and a key that cannot have made such a signature: as good as unknown.
    let stage = Stage::new();
    for (algorithm, kid) in
        [("ES384", "p256"), ("ES256", "p384"), ("RS256", "ed25519"), ("EdDSA", "rsa")]
    {
        let outcome = stage.sign_in(|token| token.signed_by(&KEYS.p256, algorithm, kid));
        assert_eq!(outcome.key_fetches, 1);
        assert_eq!(outcome.refusal(), IdTokenError::UnknownKey { kid: kid.to_owned() });
    }
    let es256k = stage.sign_in(|token| token.signed_by(&KEYS.p256, "ES256K", "p256"));
    assert_eq!(es256k.refusal(), IdTokenError::Algorithm);

    // A key that is published for one algorithm verifies no other.
    let mut bound = Stage::new();
    let mut jwk = KEYS.rsa.jwk("rsa");
    jwk["alg"] = "PS256".into();
    bound.keys = json!({ "keys": [jwk] });
    bound.newer_keys = bound.keys.clone();
    assert_eq!(bound.sign_in(|_| {}).refusal(), IdTokenError::UnknownKey { kid: "rsa".to_owned() });
}

/// `G4` (CVE-2022-21449): the signature that fits everything in a careless implementation.
#[test]
fn an_ecdsa_signature_of_zeros_is_refused() {
    let outcome = Stage::new().sign_in_with(|login| {
        let mut token = Draft::new(login);
        token.signed_by(&KEYS.p256, "ES256", "p256");
        token.to_text_signed(&[0; 64])
    });
    assert_eq!(outcome.refusal(), IdTokenError::Signature);
}

/// `G4`: with a key of small order, one signature fits any message.
#[test]
fn an_ed25519_key_of_small_order_is_not_used() {
    let mut identity = [0; 32];
    identity[0] = 1;
    let mut stage = Stage::new();
    stage.keys = json!({ "keys": [
        { "kty": "OKP", "crv": "Ed25519", "kid": "weak", "x": signer::encode(identity) },
    ]});
    stage.newer_keys = stage.keys.clone();

    let outcome = stage.sign_in_with(|login| {
        let mut token = Draft::new(login);
        token.signed_by(&KEYS.ed25519, "EdDSA", "weak");
        let mut signature = [0; 64];
        signature[0] = 1;
        token.to_text_signed(&signature)
    });

    assert_eq!(outcome.refusal(), IdTokenError::UnknownKey { kid: "weak".to_owned() });
}

/// `G6`: keys that a token brings along, or points at, are not looked at.
#[test]
fn a_token_cannot_bring_its_own_key() {
    let stranger = KEYS.stranger.jwk("rsa");
    for (member, value) in [
        ("jwk", stranger),
        ("jku", json!("https://evil.example/keys")),
        ("x5u", json!("https://evil.example/certificate")),
        ("x5c", json!(["MIIB"])),
    ] {
        let outcome = Stage::new().sign_in(|token| {
            token.key = &KEYS.stranger;
            token.header[member] = value;
        });
        assert_eq!(outcome.key_fetches, 0);
        assert_eq!(outcome.refusal(), IdTokenError::Signature, "{member}");
    }
}

/// `G7`: names of keys are names, and nothing else.
#[test]
fn a_strange_key_name_is_unknown_or_malformed() {
    for name in ["../../dev/null", "' or 1=1", "RSA", "rsa "] {
        let outcome = Stage::new().sign_in(|token| token.header["kid"] = name.into());
        assert_eq!(outcome.key_fetches, 1, "{name}");
        assert_eq!(outcome.refusal(), IdTokenError::UnknownKey { kid: name.to_owned() });
    }
    let in_the_header = |member| IdTokenError::Form(JwsError::HeaderMember { member });
    each_is_refused(&[
        ("number", |token| token.header["kid"] = 1.into(), in_the_header("kid")),
        ("NUL", |token| token.header["kid"] = "rsa\u{0}".into(), in_the_header("kid")),
        ("long", |token| token.header["kid"] = "r".repeat(300).into(), in_the_header("kid")),
        (
            "64 KiB",
            |token| token.header["kid"] = "r".repeat(64 * 1024).into(),
            IdTokenError::Form(JwsError::TooLarge),
        ),
    ]);
}

/// `G7`: a name that two keys share leads to both, the one of another type passed over.
#[test]
fn a_key_name_given_twice_leads_to_every_key_that_fits() {
    let mut stage = Stage::new();
    stage.keys = json!({ "keys": [
        KEYS.p256.jwk("same"), KEYS.stranger.jwk("same"), KEYS.rsa.jwk("same"),
    ]});

    let outcome = stage.sign_in(|token| token.header["kid"] = "same".into());

    assert!(outcome.result.is_ok());
}

/// `G9`
#[test]
fn a_jwt_of_another_kind_is_not_an_id_token() {
    each_is_refused(&[
        ("logout", |token| token.header["typ"] = "logout+jwt".into(), IdTokenError::Kind),
        ("access", |token| token.header["typ"] = "at+jwt".into(), IdTokenError::Kind),
        ("proof", |token| token.header["typ"] = "dpop+jwt".into(), IdTokenError::Kind),
        ("request", |token| token.header["typ"] = "oauth-authz-req+jwt".into(), IdTokenError::Kind),
        ("empty", |token| token.header["typ"] = "".into(), IdTokenError::Kind),
    ]);
    each_is_accepted(&[
        ("lower case", |token| token.header["typ"] = "jwt".into()),
        ("absent", |token| {
            token.header.as_object_mut().unwrap().remove("typ");
        }),
    ]);
}

#[test]
fn extensions_that_must_be_understood_are_not() {
    let critical = IdTokenError::Form(JwsError::Critical);
    each_is_refused(&[
        ("unknown", |token| token.header["crit"] = json!(["b64"]), critical.clone()),
        ("empty", |token| token.header["crit"] = json!([]), critical),
    ]);
}

/// `G10`, `G16`: one spelling of a token is read, and no other.
#[test]
fn a_token_in_another_form_is_refused() {
    let forms: [(&str, Spelling, JwsError); 8] = [
        ("encrypted", |token| format!("{token}.AA.AA"), JwsError::Encrypted),
        ("two parts", |token| token.rsplit_once('.').unwrap().0.into(), JwsError::NotThreeParts),
        ("four parts", |token| format!("{token}.AA"), JwsError::NotThreeParts),
        ("dots", |token| token.to_owned() + &".".repeat(10_000), JwsError::NotThreeParts),
        ("padding", |token| format!("{token}="), JwsError::NotBase64Url),
        ("whitespace", |token| format!("{token} "), JwsError::NotBase64Url),
        ("scheme", |token| format!("Bearer {token}"), JwsError::NotBase64Url),
        ("too long", |token| format!("{token}{}", "A".repeat(65_536)), JwsError::TooLarge),
    ];
    for (what, spell, error) in forms {
        let outcome = Stage::new().sign_in_with(|login| spell(&Draft::new(login).to_text()));
        assert_eq!(outcome.refusal(), IdTokenError::Form(error), "{what}");
    }
}

/// Two readers would disagree about who this is.
#[test]
fn claims_that_say_two_things_are_refused() {
    for (claims, error) in [
        (r#"{"sub":"ada","sub":"root"}"#, MalformedJson::RepeatedMember),
        (r#"["ada"]"#, MalformedJson::NotAnObject),
        (r#""ada""#, MalformedJson::NotAnObject),
    ] {
        let outcome = Stage::new().sign_in_with(|_| {
            let header = signer::encode(r#"{"alg":"RS256","kid":"rsa"}"#);
            let input = format!("{header}.{}", signer::encode(claims));
            let signature = signer::encode(KEYS.rsa.sign("RS256", &input));
            format!("{input}.{signature}")
        });
        assert_eq!(outcome.refusal(), IdTokenError::Claims(error), "{claims}");
    }
}

/// `G11`
#[test]
fn a_token_out_of_its_time_is_refused() {
    let expired = |by| IdTokenError::Expired { by: seconds(by) };
    each_is_refused(&[
        ("expired", |token| token.claims["exp"] = (NOW - TOLERANCE - 5).into(), expired(5)),
        ("just expired", |token| token.claims["exp"] = (NOW - TOLERANCE).into(), expired(0)),
        ("at the epoch", |token| token.claims["exp"] = 0.into(), expired(NOW - TOLERANCE)),
        ("exp missing", |token| token.without("exp"), missing("exp")),
        (
            "not yet",
            |token| token.claims["nbf"] = (NOW + TOLERANCE + 7).into(),
            IdTokenError::NotYetValid { by: seconds(7) },
        ),
        ("iat missing", |token| token.without("iat"), missing("iat")),
        (
            "from the future",
            |token| token.claims["iat"] = (NOW + TOLERANCE + 9).into(),
            IdTokenError::IssuedInTheFuture { by: seconds(9) },
        ),
        (
            "from last week",
            |token| token.claims["iat"] = (NOW - 7 * 86_400).into(),
            IdTokenError::IssuedTooLongAgo { by: seconds(7 * 86_400 - 600 - TOLERANCE) },
        ),
    ]);
    each_is_accepted(&[
        ("within the tolerance", |token| token.claims["exp"] = (NOW - TOLERANCE + 1).into()),
        ("a fraction", |token| token.claims["exp"] = json!(300.5 + 1_893_488_400.0)),
        ("begins just now", |token| token.claims["nbf"] = (NOW + TOLERANCE).into()),
        ("issued just ahead", |token| token.claims["iat"] = (NOW + TOLERANCE).into()),
        ("ten minutes old", |token| token.claims["iat"] = (NOW - 600 - TOLERANCE).into()),
    ]);
}

/// `R24`, FAPI 2.0 §5.3.2.1: a provider whose clock is a little off is believed, in either direction; one that is an hour
/// off is not, and what it says is called out of its time and not forged.
#[test]
fn a_provider_whose_clock_is_off_is_believed_within_the_tolerance() {
    for (off, is_believed) in [
        (0, true),
        (-10, true),
        (10, true),
        (-TOLERANCE, true),
        (TOLERANCE, true),
        (TOLERANCE + 1, false),
        (120, false),
        (3600, false),
        (-3600, false),
    ] {
        let outcome = Stage::new().sign_in(|token| {
            token.claims["iat"] = (NOW + off).into();
            token.claims["exp"] = (NOW + off + 300).into();
        });

        match outcome.result {
            Ok(_) => assert!(is_believed, "{off} s"),
            Err(_) => {
                let refusal = outcome.refusal();
                let names_time = matches!(
                    refusal,
                    IdTokenError::Expired { .. } | IdTokenError::IssuedInTheFuture { .. }
                );
                assert!(!is_believed && names_time, "{off} s: {refusal:?}");
            }
        }
    }
}

/// R25, `G11` (CVE-2026-25537): a time of the wrong type is malformed, never absent.
#[test]
fn a_time_that_is_not_a_number_is_refused() {
    let not_times = [
        json!("1893488700"),
        Value::Null,
        json!([1_893_488_700]),
        json!({}),
        json!(true),
        json!(-1),
        json!(1e300),
        json!(-0.5),
        json!(9_223_372_036_854_775_808_u64),
        json!(9_007_199_254_740_994_u64),
    ];
    for claim in ["exp", "iat", "nbf"] {
        for value in &not_times {
            let outcome = Stage::new().sign_in(|token| token.claims[claim] = value.clone());
            assert_eq!(outcome.refusal(), malformed(claim), "{value}");
        }
    }
}

/// `G12`
#[test]
fn a_token_of_another_issuer_is_refused() {
    each_is_refused(&[
        ("missing", |token| token.without("iss"), missing("iss")),
        ("slash", |token| token.claims["iss"] = format!("{ISSUER}/").into(), IdTokenError::Issuer),
        ("case", |token| token.claims["iss"] = ISSUER.to_uppercase().into(), IdTokenError::Issuer),
        (
            "user",
            |token| token.claims["iss"] = "https://idp.example@evil.example/realm".into(),
            IdTokenError::Issuer,
        ),
        (
            "sibling",
            |token| token.claims["iss"] = "https://idp.example/other".into(),
            IdTokenError::Issuer,
        ),
        ("list", |token| token.claims["iss"] = json!([ISSUER]), malformed("iss")),
    ]);
}

/// `G13`, `G18`
#[test]
fn a_token_for_another_client_is_refused() {
    each_is_refused(&[
        ("missing", |token| token.without("aud"), missing("aud")),
        ("other", |token| token.claims["aud"] = "shop".into(), IdTokenError::Audience),
        ("nobody", |token| token.claims["aud"] = json!([]), IdTokenError::Audience),
        (
            "others too",
            |token| token.claims["aud"] = json!([CLIENT, "shop"]),
            IdTokenError::AudienceNotOursAlone,
        ),
        (
            "others too, and ours by name",
            |token| {
                token.claims["aud"] = json!([CLIENT, "shop"]);
                token.claims["azp"] = CLIENT.into();
            },
            IdTokenError::AudienceNotOursAlone,
        ),
        ("number", |token| token.claims["aud"] = 7.into(), malformed("aud")),
        ("list of numbers", |token| token.claims["aud"] = json!([CLIENT, 7]), malformed("aud")),
        (
            "two in one word",
            |token| token.claims["aud"] = format!("{CLIENT} shop").into(),
            IdTokenError::Audience,
        ),
        ("azp", |token| token.claims["azp"] = "shop".into(), IdTokenError::AuthorizedParty),
        ("azp list", |token| token.claims["azp"] = json!([CLIENT]), malformed("azp")),
    ]);
    each_is_accepted(&[
        ("a list of us", |token| token.claims["aud"] = json!([CLIENT])),
        ("azp is us", |token| token.claims["azp"] = CLIENT.into()),
    ]);
}

/// `G14`
#[test]
fn a_token_about_nobody_is_refused() {
    each_is_refused(&[
        ("missing", |token| token.without("sub"), missing("sub")),
        ("empty", |token| token.claims["sub"] = "".into(), malformed("sub")),
        ("number", |token| token.claims["sub"] = 7.into(), malformed("sub")),
        ("null", |token| token.claims["sub"] = Value::Null, malformed("sub")),
        ("long", |token| token.claims["sub"] = "a".repeat(256).into(), malformed("sub")),
        ("NUL", |token| token.claims["sub"] = "ada\u{0}".into(), malformed("sub")),
        ("line", |token| token.claims["sub"] = "ada\nroot".into(), malformed("sub")),
        ("not ASCII", |token| token.claims["sub"] = "adа".into(), malformed("sub")),
    ]);
    each_is_accepted(&[("as long as may be", |token| {
        token.claims["sub"] = "a".repeat(255).into();
    })]);
}

/// `F6`
#[test]
fn a_token_of_another_login_is_refused() {
    each_is_refused(&[
        ("missing", |token| token.without("nonce"), missing("nonce")),
        ("other", |token| token.claims["nonce"] = "other".into(), IdTokenError::Nonce),
        ("empty", |token| token.claims["nonce"] = "".into(), IdTokenError::Nonce),
        (
            "list",
            |token| token.claims["nonce"] = json!([token.claims["nonce"].clone()]),
            malformed("nonce"),
        ),
    ]);
}

/// `G17`: by the example of OIDC Core §3.1.3.6, the left half of the hash.
#[test]
fn a_token_that_came_with_another_access_token_is_refused() {
    let hash = IdTokenError::AccessTokenHash;
    each_is_refused(&[
        ("wrong", |token| token.claims["at_hash"] = signer::encode([7; 16]).into(), hash.clone()),
        ("empty", |token| token.claims["at_hash"] = "".into(), hash.clone()),
        (
            "the whole hash",
            |token| token.claims["at_hash"] = signer::encode(sha256(ACCESS_TOKEN)).into(),
            hash,
        ),
        ("number", |token| token.claims["at_hash"] = 7.into(), malformed("at_hash")),
    ]);
    each_is_accepted(&[
        ("right, SHA-256", |token| {
            token.claims["at_hash"] = signer::encode(&sha256(ACCESS_TOKEN)[..16]).into();
        }),
        ("right, SHA-384", |token| {
            token.signed_by(&KEYS.p384, "ES384", "p384");
            let hash =
                aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA384, ACCESS_TOKEN.as_bytes());
            token.claims["at_hash"] = signer::encode(&hash.as_ref()[..24]).into();
        }),
        ("right, SHA-512", |token| {
            token.signed_by(&KEYS.ed25519, "EdDSA", "ed25519");
            let hash =
                aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA512, ACCESS_TOKEN.as_bytes());
            token.claims["at_hash"] = signer::encode(&hash.as_ref()[..32]).into();
        }),
    ]);
}

#[test]
fn with_max_age_the_time_of_signing_in_is_required_and_measured() {
    let mut stage = Stage::new();
    stage.provider.authorization.max_age = Some(3600);
    let at = |auth_time: Value| {
        stage.sign_in(|token| {
            token.claims["auth_time"] = auth_time;
        })
    };

    assert_eq!(stage.begin().query["max_age"], "3600");
    assert_eq!(stage.sign_in(|_| {}).refusal(), missing("auth_time"));
    assert_eq!(at(json!("1893488400")).refusal(), malformed("auth_time"));
    assert_eq!(at(json!(NOW + 3600)).refusal(), malformed("auth_time"));
    assert_eq!(
        at(json!(NOW - 3600 - TOLERANCE - 4)).refusal(),
        IdTokenError::AuthenticatedTooLongAgo { by: seconds(4) }
    );
    let claims = at(json!(NOW - 3600)).signed_in().claims;
    assert_eq!(claims.auth_time().map(|time| time.seconds()), Some(NOW - 3600));
}
