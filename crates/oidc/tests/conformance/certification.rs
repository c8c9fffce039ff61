//! The modules of the OpenID Foundation's relying-party plans (basic, configuration, and those of
//! the full and FAPI plans that concern the code flow), each under its own name.

use lychgate_oidc::{
    DiscoveryError, ExchangeError, IdTokenError, Metadata, SecretMethod, Step, Userinfo, discovery,
};
use serde_json::json;

use crate::signer::{self, KEYS};
use crate::stage::{self, ACCESS_TOKEN, CLIENT, CLIENT_SECRET, Draft, ISSUER, NOW, Stage, keys};

fn refusal(change: impl FnOnce(&mut Draft)) -> IdTokenError {
    Stage::new().sign_in(change).refusal()
}

#[test]
fn oidcc_client_test() {
    let signed_in = Stage::new().sign_in(|_| {}).signed_in();

    assert_eq!(signed_in.claims.issuer(), ISSUER);
    assert_eq!(signed_in.claims.subject(), "ada");
}

#[test]
fn oidcc_client_test_invalid_iss() {
    let error = refusal(|token| token.claims["iss"] = "https://idp.example/realm1".into());
    assert_eq!(error, IdTokenError::Issuer);
}

#[test]
fn oidcc_client_test_missing_sub() {
    let error = refusal(|token| token.without("sub"));
    assert_eq!(error, IdTokenError::ClaimMissing { claim: "sub" });
}

#[test]
fn oidcc_client_test_invalid_aud() {
    let error = refusal(|token| token.claims["aud"] = "wiki1".into());
    assert_eq!(error, IdTokenError::Audience);
}

#[test]
fn oidcc_client_test_missing_aud() {
    let error = refusal(|token| token.without("aud"));
    assert_eq!(error, IdTokenError::ClaimMissing { claim: "aud" });
}

#[test]
fn oidcc_client_test_missing_iat() {
    let error = refusal(|token| token.without("iat"));
    assert_eq!(error, IdTokenError::ClaimMissing { claim: "iat" });
}

#[test]
fn oidcc_client_test_kid_absent_single_jwks() {
    let mut stage = Stage::new();
    stage.keys = json!({ "keys": [KEYS.rsa.nameless_jwk()] });

    let outcome = stage.sign_in(nameless);

    assert_eq!(outcome.key_fetches, 0);
    assert!(outcome.result.is_ok());
}

#[test]
fn oidcc_client_test_kid_absent_multiple_jwks() {
    let mut stage = Stage::new();
    stage.keys = json!({ "keys": [
        KEYS.p256.jwk("a"), KEYS.stranger.jwk("b"), KEYS.rsa.jwk("c"),
    ]});
    assert!(stage.sign_in(nameless).result.is_ok());

    // None of them fits: newer ones are asked for once, and then it is over.
    stage.keys = json!({ "keys": [KEYS.p256.jwk("a"), KEYS.stranger.jwk("b")] });
    stage.newer_keys = stage.keys.clone();
    let outcome = stage.sign_in(nameless);
    assert_eq!(outcome.key_fetches, 1);
    assert_eq!(outcome.refusal(), IdTokenError::NoKeyVerifies);
}

/// The number of keys tried on one signature is bounded.
#[test]
fn kid_absent_among_very_many_keys() {
    let mut set = vec![KEYS.stranger.nameless_jwk(); 8];
    set.push(KEYS.rsa.nameless_jwk());
    let mut stage = Stage::new();
    stage.keys = json!({ "keys": set });
    stage.newer_keys = stage.keys.clone();

    assert_eq!(stage.sign_in(nameless).refusal(), IdTokenError::NoKeyVerifies);
}

#[test]
fn oidcc_client_test_idtoken_sig_rs256() {
    let outcome = Stage::new().sign_in(|token| token.signed_by(&KEYS.rsa, "RS256", "rsa"));
    assert!(outcome.result.is_ok());
}

#[test]
fn oidcc_client_test_idtoken_sig_none() {
    let outcome = Stage::new().sign_in_with(|login| {
        let mut token = Draft::new(login);
        token.header = json!({ "alg": "none" });
        token.to_text_signed(&[])
    });
    assert_eq!(outcome.refusal(), IdTokenError::Algorithm);
}

/// `oidcc-client-test-invalid-sig-rs256`, `oidcc-client-test-invalid-sig-es256`
#[test]
fn oidcc_client_test_invalid_sig() {
    for (key, algorithm, kid) in
        [(&KEYS.rsa, "RS256", "rsa"), (&KEYS.p256, "ES256", "p256"), (&KEYS.p384, "ES384", "p384")]
    {
        let outcome = Stage::new().sign_in_with(|login| {
            let mut token = Draft::new(login);
            token.signed_by(key, algorithm, kid);
            let mut signature = key.sign(algorithm, &token.input());
            signature[20] ^= 1;
            token.to_text_signed(&signature)
        });
        assert_eq!(outcome.key_fetches, 0);
        assert_eq!(outcome.refusal(), IdTokenError::Signature, "{algorithm}");
    }
}

/// The signature is over the text as it came: another payload does not fit it.
#[test]
fn a_signature_does_not_fit_another_payload() {
    let outcome = Stage::new().sign_in_with(|login| {
        let mut token = Draft::new(login);
        let signature = token.key.sign("RS256", &token.input());
        token.claims["sub"] = "root".into();
        token.to_text_signed(&signature)
    });
    assert_eq!(outcome.refusal(), IdTokenError::Signature);
}

#[test]
fn oidcc_client_test_invalid_sig_hs256() {
    let mut stage = Stage::new();
    stage.provider.id_token.signed_response_algs = vec!["HS256".parse().unwrap()];
    let outcome = stage.sign_in_with(|login| {
        let mut token = Draft::new(login);
        token.header["alg"] = "HS256".into();
        let mut signature = signer::hmac("HS256", CLIENT_SECRET.as_bytes(), &token.input());
        signature[0] ^= 1;
        token.to_text_signed(&signature)
    });
    assert_eq!(outcome.refusal(), IdTokenError::Signature);
}

#[test]
fn oidcc_client_test_userinfo_invalid_sub() {
    let mut stage = Stage::new();
    stage.provider.userinfo = Userinfo::Always;
    stage.userinfo = json!({ "sub": "ada1" });

    let outcome = stage.sign_in(|_| {});

    assert_eq!(outcome.result.err(), Some(ExchangeError::UserinfoSubject));
}

/// `oidcc-client-test-userinfo-bearer-header`: in a header, and nowhere else (F2-04).
#[test]
fn userinfo_is_asked_with_the_token_in_a_header() {
    let mut stage = Stage::new();
    stage.provider.userinfo = Userinfo::Always;
    let (login, _, exchange) = stage.redeem();
    let answer = stage::token_answer(&Draft::new(&login).to_text());

    let step = exchange.receive(answer, &keys(&stage.keys), stage::moment());

    let Ok(Step::Ask(request, _)) = step else { panic!("{step:?}") };
    assert_eq!(request.method(), "GET");
    assert_eq!(request.headers()["authorization"], format!("Bearer {ACCESS_TOKEN}"));
    assert_eq!(request.uri(), "https://idp.example/userinfo");
    assert!(request.body().is_empty());
}

#[test]
fn oidcc_client_test_nonce_invalid() {
    let error = refusal(|token| token.claims["nonce"] = "other".into());
    assert_eq!(error, IdTokenError::Nonce);
}

#[test]
fn oidcc_client_test_scope_userinfo_claims() {
    let mut stage = Stage::new();
    stage.provider.userinfo = Userinfo::WhenMissing(vec!["email".to_owned()]);
    stage.userinfo = json!({ "sub": "ada", "email": "ada@example.com" });

    let signed_in = stage.sign_in(|_| {}).signed_in();

    assert_eq!(stage.begin().query["scope"], "openid email");
    assert_eq!(signed_in.claims.text("email"), Some("ada@example.com"));
}

#[test]
fn oidcc_client_test_client_secret_basic() {
    let mut stage = Stage::new();
    stage.send_secret(SecretMethod::Basic);

    let (_, request, _) = stage.redeem();

    let value = request.headers()["authorization"].to_str().unwrap();
    assert!(value.starts_with("Basic "));
}

#[test]
fn oidcc_client_test_missing_athash() {
    assert!(Stage::new().sign_in(|_| {}).result.is_ok());
}

#[test]
fn oidcc_client_test_invalid_athash() {
    let error = refusal(|token| token.claims["at_hash"] = signer::encode([0; 16]).into());
    assert_eq!(error, IdTokenError::AccessTokenHash);
}

/// `oidcc-client-test-aggregated-claims`, `oidcc-client-test-distributed-claims`: claims that point elsewhere are kept
/// as they are, and nothing is fetched for them.
#[test]
fn oidcc_client_test_aggregated_and_distributed_claims() {
    let outcome = Stage::new().sign_in(|token| {
        token.claims["_claim_names"] = json!({ "age": "src" });
        token.claims["_claim_sources"] = json!({ "src": { "endpoint": "https://evil.example" } });
    });

    assert_eq!(outcome.asked.len(), 1);
    assert_eq!(outcome.signed_in().claims.value("age"), None);
}

#[test]
fn oidcc_client_test_discovery_openid_config() {
    let stage = Stage::new();
    let url = discovery::url(ISSUER).unwrap();

    assert_eq!(url.as_str(), "https://idp.example/realm/.well-known/openid-configuration");
    assert_eq!(stage.metadata().token_endpoint.as_str(), "https://idp.example/token");
}

#[test]
fn oidcc_client_test_discovery_jwks_uri_keys() {
    assert_eq!(keys(&KEYS.published()).len(), 4);
}

#[test]
fn oidcc_client_test_discovery_issuer_mismatch() {
    let document = Stage::new().metadata.to_string();
    for expected in ["https://idp.example", "HTTPS://idp.example/realm"] {
        let result = Metadata::parse(document.as_bytes(), expected);
        let error = DiscoveryError::IssuerDiffers { found: ISSUER.to_owned() };
        assert_eq!(result.err(), Some(error), "{expected}");
    }
    // B-D1: the usual mistake is said in words.
    let result = Metadata::parse(document.as_bytes(), "https://idp.example/realm/");
    let error = result.expect_err("it is another issuer");
    assert_eq!(error, DiscoveryError::IssuerSlash { found: ISSUER.to_owned() });
    assert!(error.to_string().contains("only the slash at the end differs"), "{error}");
}

#[test]
fn oidcc_client_test_signing_key_rotation() {
    let mut stage = Stage::new();
    stage.keys = json!({ "keys": [KEYS.stranger.jwk("last month")] });
    stage.newer_keys = json!({ "keys": [KEYS.rsa.jwk("this month")] });

    let outcome = stage.sign_in(|token| token.header["kid"] = "this month".into());

    assert_eq!(outcome.key_fetches, 1);
    assert!(outcome.result.is_ok());
}

/// As above, by a provider that does not name its keys.
#[test]
fn oidcc_client_test_signing_key_rotation_just_before_signing() {
    let mut stage = Stage::new();
    stage.keys = json!({ "keys": [KEYS.stranger.nameless_jwk()] });
    stage.newer_keys = json!({ "keys": [KEYS.rsa.nameless_jwk()] });

    let outcome = stage.sign_in(nameless);

    assert_eq!(outcome.key_fetches, 1);
    assert!(outcome.result.is_ok());
}

/// OIDC Core §10.1.1: one look at newer keys, and no second.
#[test]
fn a_key_that_stays_unknown_is_looked_for_once() {
    let outcome = Stage::new().sign_in(|token| token.header["kid"] = "unheard of".into());

    assert_eq!(outcome.key_fetches, 1);
    assert_eq!(outcome.refusal(), IdTokenError::UnknownKey { kid: "unheard of".to_owned() });
}

/// `fapi1-advanced-final-client-test-valid-aud-as-array`
#[test]
fn fapi2_client_test_valid_aud_as_array() {
    let outcome = Stage::new().sign_in(|token| token.claims["aud"] = json!([CLIENT]));
    assert!(outcome.result.is_ok());
}

#[test]
fn fapi2_client_test_invalid_secondary_aud() {
    let error = refusal(|token| token.claims["aud"] = json!([CLIENT, "other"]));
    assert_eq!(error, IdTokenError::AudienceNotOursAlone);
}

#[test]
fn fapi2_client_test_invalid_alternate_alg() {
    let mut stage = Stage::new();
    stage.provider.id_token.signed_response_algs = vec!["PS256".parse().unwrap()];
    assert_eq!(stage.sign_in(|_| {}).refusal(), IdTokenError::Algorithm);
}

#[test]
fn fapi2_client_test_invalid_expired_exp() {
    let error = refusal(|token| token.claims["exp"] = (NOW - 3600).into());
    assert!(matches!(error, IdTokenError::Expired { .. }));
}

/// `fapi1-advanced-final-client-test-iat-is-week-in-past`
#[test]
fn fapi1_client_test_iat_is_week_in_past() {
    let error = refusal(|token| token.claims["iat"] = (NOW - 7 * 24 * 3600).into());
    assert!(matches!(error, IdTokenError::IssuedTooLongAgo { .. }));
}

/// `fapi1-advanced-final-client-test-no-scope-in-token-endpoint-response`: nor is there a `scope`.
#[test]
fn fapi2_client_test_token_type_case_insensitivity_and_no_expires_in() {
    let stage = Stage::new();
    let (login, _, exchange) = stage.redeem();
    let body = json!({
        "id_token": Draft::new(&login).to_text(), "access_token": "a", "token_type": "bEARER",
    });

    let step = exchange.receive(stage::json(&body), &keys(&stage.keys), stage::moment());

    assert!(matches!(step, Ok(Step::Believe(_))), "{step:?}");
}

fn nameless(token: &mut Draft) {
    token.header.as_object_mut().unwrap().remove("kid").unwrap();
}
