//! Oten: the request is one signed statement in the address, ID tokens are signed with EdDSA. B-S1 to B-S13, B-D1 to
//! B-D15.

use lychgate_tests::cast::simulator::Simulator;
use rcgen::PKCS_ED25519;
use serde_json::{Value, json};

use crate::stage::{
    Plan, Stage, client, field, form, leads_to, names, parameters_of, read_jwt, row, told,
};

/// The reasons and statuses of pages.
const DENIED: (&str, u16) = ("provider_denied", 403);
const EXPIRED: (&str, u16) = ("login_expired", 400);
const INVALID: (&str, u16) = ("token_invalid", 502);
const MALFORMED: (&str, u16) = ("login_malformed", 400);
const NOT_OURS: (&str, u16) = ("login_not_ours", 400);
const NO_TOKENS: (&str, u16) = ("token_exchange_failed", 502);
const OTHER_ISSUER: (&str, u16) = ("issuer_mismatch", 502);
const UNKNOWN: (&str, u16) = ("client_refused", 502);
const REFUSED: (&str, u16) = ("provider_refused", 502);
const STALE: (&str, u16) = ("clock_skew", 502);
const UNAVAILABLE: (&str, u16) = ("provider_unavailable", 503);
const UNVERIFIED: (&str, u16) = ("signature_invalid", 502);

/// Long enough for HS256.
const SECRET: &str = "the-secret-that-oten-and-the-gate-share";
/// Shorter than the hash of HS256, as a provider may have given it out long ago.
const SHORT_SECRET: &str = "oten-short-secret";

/// The example before the simulator, with this secret.
async fn prepared(secret: &str) -> (Plan, Simulator, Value) {
    let mut plan = Plan::of_example("oten").await;
    plan.scratch.write("secret", secret);
    let mut registered = client(&plan.said("oten", "client_id"), &plan.callback());
    registered["client_secret"] = secret.into();
    let tls = plan.simulator_tls();
    let simulator = Simulator::start("sim-oten", &registered, Some(&tls)).await;
    plan.set(&format!(
        "[providers.oten]\nissuer = \"{}\"\nclient_secret = {{ file = \"secret\" }}",
        simulator.issuer()
    ));
    (plan, simulator, registered)
}

async fn stage() -> Stage {
    let (plan, simulator, _) = prepared(SECRET).await;
    plan.open(simulator).await
}

/// What the browser carried to the provider last, and what is in the signed request of it.
async fn asked(stage: &Stage) -> (Vec<(String, String)>, Value, Value) {
    let queries = stage.simulator.authorize_queries().await;
    let query = form(queries.last().expect("somebody went to the provider"));
    let (header, claims) = read_jwt(field(&query, "request"));
    (query, header, claims)
}

/// What must be in a signed request, whoever signed it.
fn is_what_oten_asks_for(stage: &Stage, query: &[(String, String)], claims: &Value) {
    assert_eq!(names(query), ["client_id", "request"]);
    let members: Vec<_> = claims.as_object().expect("claims").keys().map(String::as_str).collect();
    for name in
        ["aud", "client_id", "code_challenge", "exp", "iat", "iss", "jti", "redirect_uri", "state"]
    {
        assert!(members.contains(&name), "{name}: {members:?}");
    }
    assert_eq!(claims["aud"], json!(stage.simulator.issuer()));
    assert_eq!(claims["iss"], claims["client_id"]);
    assert_eq!(claims["code_challenge_method"], "S256");
    assert_eq!(claims["response_type"], "code");
    let lifetime = claims["exp"].as_i64().zip(claims["iat"].as_i64()).map(|(exp, iat)| exp - iat);
    assert!(lifetime.is_some_and(|lifetime| lifetime <= 300), "{claims}");
}

/// B-S1, B-S2, B-S6, B-D2 to B-D7, B-D10, B-D11, B-D15; CB-01, CB-36, CB-48, CB-49, CB-56: with a long secret and a
/// short one.
#[tokio::test]
async fn a_request_signed_with_the_secret_signs_in() {
    for secret in [SECRET, SHORT_SECRET] {
        let (plan, simulator, _) = prepared(secret).await;
        let stage = plan.open(simulator).await;

        let visitor = stage.signs_in().await;

        let me = visitor.fetches("/.lychgate/me").await.json();
        assert_eq!((&me["user"], &me["email"]), (&json!("alice"), &json!("alice@example.com")));
        let (query, header, first) = asked(&stage).await;
        assert_eq!(header["alg"], "HS256");
        is_what_oten_asks_for(&stage, &query, &first);
        stage.signs_in().await;
        let (_, _, second) = asked(&stage).await;
        for name in ["jti", "state", "code_challenge"] {
            assert_ne!(first[name], second[name], "{name}");
        }
        let requests = stage.simulator.events("request").await;
        let redeemed = requests.iter().rfind(|event| told(event, "endpoint") == "token");
        let redeemed = redeemed.expect("a code was redeemed");
        // The secret goes by the header alone.
        let body = form(told(redeemed, "body"));
        assert_eq!(names(&body), ["code", "code_verifier", "grant_type", "redirect_uri"]);
        let authorization = redeemed.detail["headers"]["authorization"].as_str();
        assert!(authorization.is_some_and(|value| value.starts_with("Basic ")));
        let answer = &stage.simulator.events("tokens").await[0].detail["answer"];
        let (header, _) = read_jwt(answer["id_token"].as_str().expect("an ID token"));
        assert_eq!(header["alg"], "EdDSA");
        stage.ends(&[secret.to_owned()]).await;
    }
}

/// B-D5: the same with a key of ours.
#[tokio::test]
async fn a_request_signed_with_a_key_signs_in() {
    let (mut plan, simulator, mut registered) = prepared(SECRET).await;
    let public = plan.signing_key(&PKCS_ED25519);
    registered["jwks"] = json!({ "keys": [{ "kid": "ed-1", "use": "sig", "pem": public }] });
    simulator.register(&registered).await;
    plan.set(
        "[providers.oten]\nrequest_object_signing_alg = \"EdDSA\"\nsigning_key_id = \"ed-1\"\n\
         signing_key = { file = \"signing.pem\" }\ntoken_endpoint_auth_method = \"client_secret_post\"",
    );
    let key = plan.scratch.read("signing.pem").lines().nth(1).expect("a key").to_owned();
    let stage = plan.open(simulator).await;

    stage.signs_in().await;

    let (query, header, claims) = asked(&stage).await;
    assert_eq!((&header["alg"], &header["kid"]), (&json!("EdDSA"), &json!("ed-1")));
    is_what_oten_asks_for(&stage, &query, &claims);
    let requests = stage.simulator.events("request").await;
    let redeemed = requests.iter().rfind(|event| told(event, "endpoint") == "token");
    let body = form(told(redeemed.expect("a code was redeemed"), "body"));
    assert_eq!(
        (field(&body, "client_secret"), field(&body, "client_id").is_empty()),
        (SECRET, false)
    );
    stage.ends(&[SECRET.to_owned(), key]).await;
}

/// B-D3: an application that is exempt sends its parameters plainly, with PKCE.
#[tokio::test]
async fn an_exempt_application_signs_in_with_plain_parameters() {
    let (mut plan, simulator, _) = prepared(SECRET).await;
    let providers = plan.configuration["providers"].as_table_mut().expect("providers");
    let oten = providers["oten"].as_table_mut().expect("a provider");
    oten.remove("request_object_signing_alg");
    oten.remove("request_object_lifetime");
    let stage = plan.open(simulator).await;
    // Oten refuses the others: the error comes back, and trying again does not help.
    let back = stage.returns().await;
    let answer = back.arrives().await;
    stage.refused(&back, &answer, &row("plain_requests", json!({}), REFUSED, 0)).await;

    stage.simulator.switch("plain_requests", &json!({})).await;
    stage.signs_in().await;

    let queries = stage.simulator.authorize_queries().await;
    let query = form(queries.last().expect("somebody went to the provider"));
    assert_eq!(
        names(&query),
        [
            "client_id",
            "code_challenge",
            "code_challenge_method",
            "nonce",
            "redirect_uri",
            "response_type",
            "scope",
            "state"
        ]
    );
    stage.ends(&[SECRET.to_owned()]).await;
}

/// B-S3, B-S7, B-S8, B-S10, B-D8, CB-39, CB-43, CB-46, CB-47: every error of Oten's list and one that is on none,
/// for people and for programs, with the word on whether trying again helps.
#[tokio::test]
async fn every_error_of_otens_list_has_its_page_and_its_document() {
    let stage = stage().await;
    let named = |error: &'static str| {
        ("authorize_error", json!({ "error": error, "description": "In words" }))
    };
    let rows = [
        (named("invalid_request"), "invalid_request", REFUSED, false),
        (named("invalid_client"), "invalid_client", UNKNOWN, false),
        (("ip_blocked", json!({})), "invalid_client", UNKNOWN, false),
        (named("unauthorized_client"), "unauthorized_client", REFUSED, false),
        (named("unsupported_response_type"), "unsupported_response_type", REFUSED, false),
        (named("invalid_scope"), "invalid_scope", REFUSED, false),
        (named("invalid_request_object"), "invalid_request_object", REFUSED, false),
        (named("request_not_supported"), "request_not_supported", REFUSED, false),
        (("unknown_error_code", json!({})), "oten_error_9000", REFUSED, false),
        (("deny", json!({})), "access_denied", DENIED, true),
        (("server_error", json!({})), "server_error", UNAVAILABLE, true),
        (("temporarily_unavailable", json!({})), "temporarily_unavailable", UNAVAILABLE, true),
    ];
    for ((switch, parameters), error, (reason, status), retryable) in rows {
        for program in [false, true] {
            stage.simulator.switch_once(switch, &parameters).await;
            let back = stage.returns().await;
            assert_eq!(stage.simulator.set_switches().await, [""; 0], "{error} was not taken");
            assert_eq!(back.parameter("error").as_deref(), Some(error));
            if program {
                let answer = back.arrives_as_a_program().await;
                let problem = answer.json();
                assert_eq!(
                    (problem["code"].as_str(), answer.status.as_u16()),
                    (Some(reason), status)
                );
                assert_eq!(problem["error"], error);
                assert_eq!(
                    problem["error_description"],
                    json!(back.parameter("error_description"))
                );
                assert_eq!(problem["retryable"], retryable, "{error}");
                assert_eq!(problem["request_id"], json!(answer.request_id()));
            } else {
                let answer = back.arrives().await;
                stage.refused(&back, &answer, &row(switch, json!({}), (reason, status), 0)).await;
                let says = ["Trying again will not help.", "Trying again may help."];
                assert!(answer.text().contains(says[usize::from(retryable)]), "{}", answer.text());
                assert!(!answer.text().contains(says[usize::from(!retryable)]), "{error}");
            }
        }
    }
    let requests = stage.simulator.events("request").await;
    assert!(
        requests.iter().all(|event| told(event, "endpoint") != "token"),
        "no code was redeemed"
    );
    stage.signs_in().await;
    stage.ends(&[SECRET.to_owned()]).await;
}

/// B-S3 to B-S5, B-S9, B-D9, B-D11, B-D12; CB-05, CB-06, CB-19, CB-22, CB-51, CB-53, CB-55, CB-56: what else comes
/// back is refused, most of all an ID token by HS256 whose key is the public one.
#[tokio::test]
async fn whatever_is_wrong_with_an_answer_of_oten_signs_nobody_in() {
    let stage = stage().await;
    stage
        .refuses(&[
            row("wrong_state", json!({}), NOT_OURS, 0),
            row("no_state", json!({}), NOT_OURS, 0),
            row("wrong_iss", json!({}), OTHER_ISSUER, 0),
            row("dup_params", json!({ "names": ["code"] }), MALFORMED, 0),
            row("token_invalid_grant", json!({}), EXPIRED, 1),
            row("token_error", json!({ "error": "invalid_client", "status": 401 }), UNKNOWN, 1),
            row("token_error", json!({ "error": "unauthorized_client" }), REFUSED, 1),
            row("token_html_502", json!({}), NO_TOKENS, 1),
            row("no_id_token", json!({}), NO_TOKENS, 1),
            row("id_token_alg_hs256_public_key", json!({}), UNVERIFIED, 1),
            row("id_token_alg_none", json!({}), UNVERIFIED, 1),
            row("id_token_alg_other", json!({}), UNVERIFIED, 1),
            row("id_token_bad_signature", json!({}), UNVERIFIED, 1),
            row("id_token_unknown_kid", json!({}), UNVERIFIED, 1),
            row("id_token_iss_wrong", json!({}), OTHER_ISSUER, 1),
            row("id_token_aud_wrong", json!({}), ("audience_mismatch", 502), 1),
            row("id_token_nonce_wrong", json!({}), ("nonce_mismatch", 502), 1),
            row("id_token_exp_past", json!({}), STALE, 1),
            row("id_token_at_hash_wrong", json!({}), INVALID, 1),
        ])
        .await;
    stage.signs_in().await;
    stage.ends(&[SECRET.to_owned()]).await;
}

/// B-S2, B-D9, B-D12; CB-07, CB-09, CB-28, CB-29, CB-32: once, in its own browser, and within ten minutes by Oten's
/// clock.
#[tokio::test]
async fn a_code_of_oten_is_good_once_and_for_ten_minutes() {
    let stage = stage().await;
    let back = stage.returns().await;
    let stranger = stage.visitor();
    assert_eq!(stranger.opens(&back.callback).await.reason(), NOT_OURS.0);
    assert_eq!(back.arrives().await.status, 303);
    assert_eq!(leads_to(&back.arrives().await), "/page?q=1");
    let code = back.parameter("code").expect("a code");
    assert_eq!(stage.simulator.token_requests(&code).await, 1);

    let back = stage.returns().await;
    stage.simulator.forward(601).await;
    let answer = back.arrives().await;
    stage.simulator.forward(-601).await;
    stage.refused(&back, &answer, &row("code_ttl", json!({}), EXPIRED, 1)).await;

    // An error uses the login up as well, so that the code that comes after it is worth nothing.
    let back = stage.returns().await;
    let state = back.parameter("state").expect("a state");
    let path = format!("/.lychgate/callback?error=access_denied&state={state}");
    assert_eq!(back.visitor.opens(&path).await.reason(), DENIED.0);
    let late = back.arrives().await;
    assert_ne!(late.status, 303);
    stage.nobody_is_signed_in(&back.visitor).await;
    assert_eq!(parameters_of(&back.callback)[0].0, "code");
    stage.ends(&[SECRET.to_owned()]).await;
}

/// B-D1: the slash at the end of the issuer, which Oten's samples have and its metadata has not, is said in words.
#[tokio::test]
async fn a_slash_too_many_in_the_issuer_is_said_in_words() {
    let (plan, simulator, _) = prepared(SECRET).await;
    simulator.switch("issuer_slash_mismatch", &json!({})).await;
    let stage = plan.open_before_the_provider_is_known(simulator).await;

    let answer = stage.visitor().opens("/page").await;

    assert_eq!((&*answer.reason(), answer.status.as_u16()), UNAVAILABLE);
    let says = |line: &Value| line.to_string().contains("only the slash at the end differs");
    stage.gate.line("of the slash", says).await;
    stage.simulator.clear_switches().await;
    stage.becomes_ready().await;
    stage.signs_in().await;
    stage.ends(&[SECRET.to_owned()]).await;
}
