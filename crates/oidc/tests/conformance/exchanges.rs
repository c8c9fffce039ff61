//! The token endpoint and the userinfo endpoint: what they are asked, and what they may answer.

use http::{HeaderMap, Response};
use lychgate_oidc::{
    ClientAuth, Endpoint, ExchangeError, IdTokenError, KeySet, KnownError, MalformedJson,
    RefusalCode, Secret, SecretMethod, SignedIn, Step, Userinfo,
};
use serde_json::{Value, json};

use crate::signer::KEYS;
use crate::stage::{self, CLIENT, Draft, ISSUER, NOW, REDIRECT_URI, Stage, answer, keys, moment};

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

fn form(body: &[u8]) -> Vec<(String, String)> {
    url::form_urlencoded::parse(body).into_owned().collect()
}

fn names(form: &[(String, String)]) -> Vec<&str> {
    form.iter().map(|(name, _)| name.as_str()).collect()
}

/// The answer of the token endpoint to a fresh login, for which `make` gets a right ID token.
fn answer_with(make: impl FnOnce(&str) -> Response<Vec<u8>>) -> Result<Step, ExchangeError> {
    let stage = Stage::new();
    let (login, _, exchange) = stage.redeem();
    let token = Draft::new(&login).to_text();
    exchange.receive(make(&token), &keys(&stage.keys), moment())
}

fn refused(response: Response<Vec<u8>>) -> ExchangeError {
    match answer_with(|_| response) {
        Err(error) => error,
        Ok(step) => panic!("{step:?}"),
    }
}

/// `CB-48`, `L7`, `OC-04`: both parts form-encoded, and nothing else of them anywhere.
#[test]
fn the_code_is_redeemed_with_basic_authentication_by_default() {
    let (login, request, exchange) = Stage::new().redeem();

    assert_eq!(exchange.endpoint(), Endpoint::Token);
    assert_eq!(request.method(), "POST");
    assert_eq!(request.uri(), "https://idp.example/token");
    let headers = request.headers();
    assert_eq!(headers.len(), 3);
    assert_eq!(header(headers, "accept"), Some("application/json"));
    assert_eq!(header(headers, "content-type"), Some("application/x-www-form-urlencoded"));
    // wiki:a%20secret%3A%20with%2Fodd%2Bcharacters~%C3%A9
    let credentials = "Basic d2lraTphJTIwc2VjcmV0JTNBJTIwd2l0aCUyRm9kZCUyQmNoYXJhY3RlcnN+JUMzJUE5";
    assert_eq!(header(headers, "authorization"), Some(credentials));
    assert!(headers["authorization"].is_sensitive());
    let pending: Value = serde_json::to_value(&login.pending).unwrap();
    let expected: Vec<(String, String)> = [
        ("grant_type", "authorization_code"),
        ("code", "the-code"),
        ("redirect_uri", REDIRECT_URI),
        ("code_verifier", pending["verifier"].as_str().unwrap()),
    ]
    .map(|(name, value)| (name.into(), value.into()))
    .into();
    assert_eq!(form(request.body()), expected);
}

#[test]
fn client_authentication_is_the_operators_choice_or_what_the_provider_lists() {
    let in_header = |listed: Value, chosen: Option<SecretMethod>| {
        let mut stage = Stage::new();
        stage.metadata["token_endpoint_auth_methods_supported"] = listed;
        if let Some(method) = chosen {
            stage.send_secret(method);
        }
        let (_, request, _) = stage.redeem();
        request.headers().contains_key("authorization")
    };
    let post_only = json!(["client_secret_post", "private_key_jwt"]);
    let both = json!(["client_secret_post", "client_secret_basic"]);

    assert!(in_header(Value::Null, None));
    assert!(in_header(both.clone(), None));
    assert!(!in_header(post_only.clone(), None));
    assert!(in_header(post_only, Some(SecretMethod::Basic)));
    assert!(!in_header(both, Some(SecretMethod::Post)));
}

#[test]
fn with_post_the_secret_is_in_the_body_and_a_public_client_sends_none() {
    let code = ["grant_type", "code", "redirect_uri", "code_verifier"];
    let mut stage = Stage::new();
    stage.send_secret(SecretMethod::Post);
    let (_, request, _) = stage.redeem();
    let sent = form(request.body());
    assert_eq!(header(request.headers(), "authorization"), None);
    assert_eq!(names(&sent), [&code[..], &["client_id", "client_secret"]].concat());
    assert_eq!(sent[5].1, stage::CLIENT_SECRET);

    stage.provider.client_auth = ClientAuth::None;
    let (_, request, _) = stage.redeem();
    let sent = form(request.body());
    assert_eq!(header(request.headers(), "authorization"), None);
    assert_eq!(names(&sent), [&code[..], &["client_id"]].concat());
    assert_eq!(sent[4].1, CLIENT);
}

/// `CB-50`
#[test]
fn an_answer_may_leave_out_what_is_optional_and_add_what_is_unknown() {
    let bodies: [fn(&str) -> Value; 4] = [
        |token| json!({ "access_token": "a", "token_type": "bEaReR", "id_token": token }),
        |token| json!({ "access_token": "a", "token_type": "Bearer", "id_token": token, "x": {} }),
        |token| json!({ "id_token": token }),
        |token| json!({ "id_token": token, "access_token": null }),
    ];
    for body in bodies {
        let step = answer_with(|token| stage::json(&body(token)));
        assert!(matches!(step, Ok(Step::Believe(_))), "{step:?}");
    }
    for media_type in ["application/json;charset=UTF-8", "Application/JSON", "application/x+json"] {
        let step =
            answer_with(|token| answer(200, media_type, stage::token_answer(token).into_body()));
        assert!(matches!(step, Ok(Step::Believe(_))), "{media_type}: {step:?}");
    }
}

/// `CB-51`, `CB-52`
#[test]
fn a_refusal_of_the_token_endpoint_says_whose_turn_it_is() {
    let refusal = |status, code: &str| {
        let body = json!({ "error": code, "error_description": "because\u{1b}" });
        refused(answer(status, "application/json", body.to_string()))
    };
    for status in [200, 400, 401, 500] {
        let ExchangeError::TokenGrantRefused(grant) = refusal(status, "invalid_grant") else {
            panic!("{status}");
        };
        assert_eq!(grant.error, RefusalCode::Known(KnownError::InvalidGrant));
        assert_eq!(grant.description.as_deref(), Some("because"));
    }
    for code in ["invalid_client", "unauthorized_client", "invalid_scope", "invalid_request"] {
        let error = refusal(400, code);
        assert!(matches!(&error, ExchangeError::TokenClientRefused(_)), "{error:?}");
    }
    for code in ["server_error", "temporarily_unavailable", "slow_down", "odd"] {
        let error = refusal(400, code);
        assert!(matches!(&error, ExchangeError::TokenRefused(_)), "{error:?}");
    }
}

/// `CB-53`, `L1`, `L3`
#[test]
fn anything_but_a_success_is_one_clean_failure() {
    let endpoint = Endpoint::Token;
    let json_type = "application/json";
    let refusal = br#"{"error":"invalid_grant"}"#;
    for status in [301, 302, 303, 307, 308, 304] {
        let error = refused(answer(status, json_type, refusal));
        let ExchangeError::Redirected { status: met, .. } = error else { panic!("{error:?}") };
        assert_eq!(met, status);
    }
    for (status, body) in
        [(204, ""), (201, "{}"), (429, ""), (500, "<html>"), (400, r#"{"message":"no"}"#)]
    {
        let error = refused(answer(status, json_type, body));
        let ExchangeError::Status { status: met, .. } = error else { panic!("{error:?}") };
        assert_eq!(met, status);
    }
    for media_type in ["text/html", "text/json", "", "application/jwt", "application/jsonp"] {
        let error = refused(answer(200, media_type, "{}"));
        assert_eq!(error, ExchangeError::NotDeclaredJson { endpoint }, "{media_type}");
    }
    let bare = Response::new(b"{}".to_vec());
    assert_eq!(refused(bare), ExchangeError::NotDeclaredJson { endpoint });
    for (body, source) in [
        ("", MalformedJson::Syntax { line: 1, column: 0 }),
        (r#"{"id_token":"#, MalformedJson::Syntax { line: 1, column: 12 }),
        ("[]", MalformedJson::NotAnObject),
        (r#"{"id_token":"a","id_token":"b"}"#, MalformedJson::RepeatedMember),
    ] {
        let error = refused(answer(200, json_type, body));
        assert_eq!(error, ExchangeError::Json { endpoint, source }, "{body}");
    }
    let huge = format!(r#"{{"x":"{}"}}"#, "x".repeat(1024 * 1024));
    assert_eq!(refused(answer(200, json_type, huge)), ExchangeError::TooLarge { endpoint });
}

/// `CB-50`, `CB-55`
#[test]
fn a_success_without_what_it_must_have_is_none() {
    let missing = |member| ExchangeError::MemberMissing { member };
    let malformed = |member| ExchangeError::MemberMalformed { member };
    for (body, error) in [
        (json!({}), missing("id_token")),
        (json!({ "access_token": "a", "token_type": "Bearer" }), missing("id_token")),
        (json!({ "id_token": 7 }), malformed("id_token")),
        (json!({ "id_token": "t", "access_token": "a" }), missing("token_type")),
        (
            json!({ "id_token": "t", "access_token": "a", "token_type": "DPoP" }),
            ExchangeError::TokenType,
        ),
        (
            json!({ "id_token": "t", "access_token": "a\r\nb", "token_type": "Bearer" }),
            malformed("access_token"),
        ),
        (
            json!({ "id_token": "t", "access_token": "", "token_type": "Bearer" }),
            malformed("access_token"),
        ),
    ] {
        assert_eq!(refused(stage::json(&body)), error, "{body}");
    }
}

fn with_userinfo(when: Userinfo, userinfo: Value) -> Stage {
    let mut stage = Stage::new();
    stage.provider.userinfo = when;
    stage.userinfo = userinfo;
    stage
}

#[test]
fn userinfo_is_asked_when_the_operator_wants_it_and_the_provider_has_it() {
    let wants = |when| with_userinfo(when, json!({ "sub": "ada" }));
    let missing = |name: &str| Userinfo::WhenMissing(vec!["sub".into(), name.into()]);
    let asked = |stage: &Stage| stage.sign_in(|_| {}).asked;
    let (once, twice) = (vec![Endpoint::Token], vec![Endpoint::Token, Endpoint::Userinfo]);

    assert_eq!(asked(&wants(Userinfo::Always)), twice);
    assert_eq!(asked(&wants(Userinfo::Never)), once);
    assert_eq!(asked(&wants(missing("email"))), twice);
    assert_eq!(asked(&wants(missing("iss"))), once);

    let mut without_endpoint = wants(Userinfo::Always);
    without_endpoint.metadata["userinfo_endpoint"] = Value::Null;
    assert_eq!(asked(&without_endpoint), once);
}

/// Signs in up to the question to the userinfo endpoint, and answers it.
fn userinfo_answers(response: Response<Vec<u8>>) -> Result<Box<SignedIn>, ExchangeError> {
    let stage = with_userinfo(Userinfo::Always, Value::Null);
    let (login, _, exchange) = stage.redeem();
    let token = Draft::new(&login).to_text();
    let step = exchange.receive(stage::token_answer(&token), &keys(&stage.keys), moment())?;
    let Step::Ask(request, exchange) = step else { panic!("{step:?}") };

    assert_eq!(exchange.endpoint(), Endpoint::Userinfo);
    assert_eq!(request.method(), "GET");
    assert_eq!(request.uri(), "https://idp.example/userinfo");
    assert_eq!(request.headers().len(), 2);
    assert_eq!(header(request.headers(), "authorization"), Some("Bearer access-token"));
    assert!(request.headers()["authorization"].is_sensitive());
    assert!(request.body().is_empty());

    match exchange.receive(response, &KeySet::empty(), moment())? {
        Step::Believe(signed_in) => Ok(signed_in),
        step @ (Step::Ask(..) | Step::NewerKeys(_) | Step::Renewed(..)) => panic!("{step:?}"),
    }
}

/// `G20`; OIDC Core §5.3.2
#[test]
fn userinfo_about_someone_else_or_in_another_form_is_refused() {
    let endpoint = Endpoint::Userinfo;
    let not_an_object = ExchangeError::Json { endpoint, source: MalformedJson::NotAnObject };
    let status = |code: u16| ExchangeError::Status { endpoint, status: code.try_into().unwrap() };
    let redirected = ExchangeError::Redirected { endpoint, status: http::StatusCode::FOUND };
    let json_type = "application/json";
    for (response, error) in [
        (stage::json(&json!({ "sub": "eve" })), ExchangeError::UserinfoSubject),
        (stage::json(&json!({ "sub": ["ada"] })), ExchangeError::UserinfoSubject),
        (stage::json(&json!({ "email": "a@b.example" })), ExchangeError::UserinfoSubject),
        (stage::json(&json!([{ "sub": "ada" }])), not_an_object),
        (answer(200, "application/jwt", "a.b.c"), ExchangeError::UserinfoSigned),
        (answer(200, "text/html", "<html>"), ExchangeError::NotDeclaredJson { endpoint }),
        (answer(401, json_type, r#"{"error":"invalid_token"}"#), status(401)),
        (answer(500, json_type, ""), status(500)),
        (answer(302, json_type, ""), redirected),
    ] {
        assert_eq!(userinfo_answers(response).err(), Some(error));
    }
}

#[test]
fn userinfo_adds_claims_and_overrides_none() {
    let signed_in = userinfo_answers(stage::json(&json!({
        "sub": "ada",
        "iss": "https://evil.example",
        "aud": "shop",
        "exp": 1,
        "auth_time": 1,
        "acr": "gold",
        "groups": ["editors"],
        "email": "ada@example.com",
        "email_verified": true,
    })));
    let claims = signed_in.unwrap().claims;

    assert_eq!(claims.issuer(), ISSUER);
    assert_eq!(claims.text("iss"), Some(ISSUER));
    assert_eq!(claims.text("aud"), Some(CLIENT));
    assert_eq!(claims.value("exp"), Some(&json!(NOW + 300)));
    assert_eq!(claims.auth_time(), None);
    assert_eq!(claims.value("auth_time"), None);
    assert_eq!(claims.value("acr"), None);
    assert_eq!(claims.list("groups"), ["editors"]);
    assert_eq!(claims.text("email"), Some("ada@example.com"));
    assert!(claims.is_true("email_verified"));
}

/// An address from one source must not be vouched for by what another says of another address.
#[test]
fn userinfo_vouches_only_for_the_address_that_it_names() {
    let verified = |from_token: &str, from_userinfo: Value| {
        let stage = with_userinfo(Userinfo::Always, from_userinfo);
        let signed_in = stage.sign_in(|token| token.claims["email"] = from_token.into());
        signed_in.signed_in().claims.is_true("email_verified")
    };
    let userinfo = json!({ "sub": "ada", "email": "ada@example.com", "email_verified": true });
    let addressless = json!({ "sub": "ada", "email_verified": true });

    assert!(verified("ada@example.com", userinfo.clone()));
    assert!(!verified("root@example.com", userinfo));
    assert!(!verified("root@example.com", addressless));
}

#[test]
fn without_an_access_token_userinfo_cannot_be_asked() {
    let stage = with_userinfo(Userinfo::Always, Value::Null);
    let (login, _, exchange) = stage.redeem();
    let body = json!({ "id_token": Draft::new(&login).to_text() });

    let result = exchange.receive(stage::json(&body), &keys(&stage.keys), moment());

    assert_eq!(result.err(), Some(ExchangeError::MemberMissing { member: "access_token" }));
}

/// `F8`: a code that someone else obtained leads to a token with their nonce.
#[test]
fn a_token_from_an_injected_code_is_refused() {
    let outcome = Stage::new().sign_in(|token| token.claims["nonce"] = "of the attacker".into());

    assert_eq!(outcome.refusal(), IdTokenError::Nonce);
}

#[test]
fn the_id_token_is_kept_for_signing_out() {
    let mut text = String::new();
    let outcome = Stage::new().sign_in_with(|login| {
        text = Draft::new(login).to_text();
        text.clone()
    });

    assert_eq!(outcome.signed_in().id_token, Some(Secret::new(text)));
}

/// A rotation in the middle of a login: newer keys are asked for once, and userinfo still follows.
#[test]
fn newer_keys_and_userinfo_may_both_be_needed() {
    let mut stage = with_userinfo(Userinfo::Always, json!({ "sub": "ada", "name": "Ada" }));
    stage.keys = json!({ "keys": [KEYS.stranger.jwk("older")] });

    let outcome = stage.sign_in(|_| {});

    assert_eq!(outcome.key_fetches, 1);
    assert_eq!(outcome.asked, [Endpoint::Token, Endpoint::Userinfo]);
    assert_eq!(outcome.signed_in().claims.text("name"), Some("Ada"));
}
