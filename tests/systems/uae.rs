//! UAE Open Finance (Al Tareq): FAPI 2.0 with everything on, at four hosts. A-S1 to A-S13, A-D1 to A-D22.

use std::time::Instant;

use lychgate_tests::cast::gate::PATIENCE;
use lychgate_tests::cast::simulator::Simulator;
use rcgen::PKCS_RSA_SHA256;
use serde_json::{Value, json};

use crate::stage::{
    Misbehaviour, Plan, Stage, client, field, form, leads_to, names, parameters_of, read_jwt, row,
    told,
};

/// The reasons and statuses of pages.
const DENIED: (&str, u16) = ("provider_denied", 403);
const EXPIRED: (&str, u16) = ("login_expired", 400);
const INVALID: (&str, u16) = ("token_invalid", 502);
const MALFORMED: (&str, u16) = ("login_malformed", 400);
const NOT_OURS: (&str, u16) = ("login_not_ours", 400);
const NO_TOKENS: (&str, u16) = ("token_exchange_failed", 502);
const OTHER_AUDIENCE: (&str, u16) = ("audience_mismatch", 502);
const OTHER_CONSENT: (&str, u16) = ("consent_mismatch", 502);
const OTHER_ISSUER: (&str, u16) = ("issuer_mismatch", 502);
const OTHER_NONCE: (&str, u16) = ("nonce_mismatch", 502);
const UNKNOWN: (&str, u16) = ("client_refused", 502);
const REFUSED: (&str, u16) = ("provider_refused", 502);
const STALE: (&str, u16) = ("clock_skew", 502);
const UNAVAILABLE: (&str, u16) = ("provider_unavailable", 503);
const UNVERIFIED: (&str, u16) = ("signature_invalid", 502);

/// The example before the simulator, with keys that it knows us by; and what must stay secret.
async fn prepared(behaviour: &Value) -> (Plan, Simulator, Vec<String>) {
    let mut plan = Plan::of_example("uae-open-finance").await;
    let public = plan.signing_key(&PKCS_RSA_SHA256);
    let certificate = plan.client_certificate();
    let key = plan.said("bank", "signing_key_id");
    let mut registered = client(&plan.said("bank", "client_id"), &plan.callback());
    registered["certificate_sha256"] = certificate.into();
    registered["jwks"] = json!({ "keys": [{ "kid": key, "use": "sig", "pem": public }] });
    let tls = plan.simulator_tls();
    let simulator = Simulator::start_with("sim-uae", &registered, Some(&tls), behaviour).await;
    plan.set(&format!(
        "[providers.bank]\nissuer = \"{}\"\nsigning_key = {{ file = \"signing.pem\" }}\n\
         tls = {{ certificate = \"client.pem\", key = \"client.key\" }}",
        simulator.issuer()
    ));
    let line = |file| plan.scratch.read(file).lines().nth(1).expect("a key in lines").to_owned();
    let secrets = ["signing.pem", "client.key"].map(line).into();
    (plan, simulator, secrets)
}

pub(crate) async fn stage() -> (Stage, Vec<String>) {
    let (plan, simulator, secrets) = prepared(&json!({})).await;
    (plan.open(simulator).await, secrets)
}

/// A-S1 to A-S4, A-S11 to A-S13, A-D2 to A-D13, A-D16 to A-D18; CB-01, CB-02, CB-16, CB-27, CB-33, CB-36, CB-48;
/// F2-03, F2-07, F2-11, F2-13, FM-01: what we send is this and no more, twice, and the second time the push is
/// answered 201.
#[tokio::test]
async fn a_customer_signs_in_with_everything_on() {
    let (stage, secrets) = stage().await;
    let simulator = &stage.simulator;
    let client_id = "3f1c0e6a-5d0b-4c39-9a6e-0d3f7f1f5b11";
    let callback_uri = format!("{}/.lychgate/callback", stage.gate.url());
    let mut consents = Vec::new();
    for answered in ["par_200", "par_201"] {
        simulator.switch_once(answered, &json!({})).await;
        let back = stage.returns().await;
        assert_eq!(simulator.set_switches().await, [""; 0], "{answered}");
        let before = simulator.events("request").await.len();
        let reached = stage.application_requests();

        let answer = back.arrives().await;

        // A-S10, CB-33: one request for tokens, and nothing else anywhere.
        let made = simulator.events("request").await.split_off(before);
        let endpoints: Vec<_> = made.iter().map(|event| told(event, "endpoint")).collect();
        assert_eq!((endpoints, stage.application_requests()), (vec!["token"], reached));
        assert_eq!((answer.status.as_u16(), &*leads_to(&answer)), (303, "/page?q=1"));
        assert_eq!(answer.header("cache-control"), "no-store");
        assert_eq!(answer.header("referrer-policy"), "no-referrer");
        // A-S13: the issuer is in the query as it is.
        assert!(
            back.callback.ends_with(&format!("&iss={}", simulator.issuer())),
            "{}",
            back.callback
        );
        let me = back.visitor.fetches("/.lychgate/me").await.json();
        assert_eq!((&me["user"], &me["provider"]), (&json!("alice"), &json!("bank")));

        let pushed = simulator.events("request").await;
        let pushed = pushed.iter().rfind(|event| told(event, "endpoint") == "par").expect("a push");
        let pushed = form(told(pushed, "body"));
        assert_eq!(
            names(&pushed),
            ["client_assertion", "client_assertion_type", "client_id", "request"]
        );
        let redeemed = form(told(&made[0], "body"));
        assert_eq!(
            names(&redeemed),
            [
                "client_assertion",
                "client_assertion_type",
                "client_id",
                "code",
                "code_verifier",
                "grant_type",
                "redirect_uri"
            ]
        );
        assert_eq!(field(&redeemed, "redirect_uri"), callback_uri);
        for asked in [&pushed, &redeemed] {
            assert_eq!(field(asked, "client_id"), client_id);
            let (header, claims) = read_jwt(field(asked, "client_assertion"));
            assert_eq!(header["alg"], "PS256");
            assert_eq!(names_of(&claims), ["aud", "exp", "iat", "iss", "jti", "sub"]);
            assert_eq!(claims["aud"], json!(simulator.issuer()), "one text, and no endpoint");
            assert_eq!((&claims["iss"], &claims["sub"]), (&json!(client_id), &json!(client_id)));
            assert!(seconds(&claims["exp"]) - seconds(&claims["iat"]) <= 300);
        }
        let (header, claims) = read_jwt(field(&pushed, "request"));
        assert_eq!((&header["alg"], header["kid"].is_string()), (&json!("PS256"), true));
        assert_eq!(
            names_of(&claims),
            [
                "aud",
                "authorization_details",
                "client_id",
                "code_challenge",
                "code_challenge_method",
                "exp",
                "iat",
                "iss",
                "jti",
                "nbf",
                "nonce",
                "redirect_uri",
                "response_type",
                "scope",
                "state"
            ]
        );
        assert_eq!(claims["aud"], json!(simulator.issuer()));
        assert_eq!(claims["redirect_uri"], json!(callback_uri));
        assert_eq!(claims["scope"], "openid accounts");
        assert!(seconds(&claims["exp"]) - seconds(&claims["nbf"]) <= 600);
        let [details] = claims["authorization_details"].as_array().expect("a list").as_slice()
        else {
            panic!("there is one entry: {claims}");
        };
        let consent = &details["consent"];
        consents.push(consent["ConsentId"].as_str().expect("an identifier").to_owned());
        assert!(consent["ExpirationDateTime"].as_str().is_some_and(|until| until.ends_with('Z')));
    }
    assert!(consents[0] != consents[1] && consents[0].len() == 36, "{consents:?}");

    for query in simulator.authorize_queries().await {
        let asked = form(&query);
        assert_eq!(names(&asked), ["client_id", "request_uri"], "{query}");
        assert!(field(&asked, "request_uri").starts_with("urn:ietf:params:oauth:request_uri:"));
    }
    let mut assertions = simulator.assertions().await;
    assert_eq!(assertions.len(), 4, "two pushes and two codes");
    assertions.sort();
    assertions.dedup();
    assert_eq!(assertions.len(), 4, "each is another one");
    // A-D4, F2-07: the certificate is at every address that we ask ourselves, and no browser has it.
    let certificates = simulator.certificates().await;
    let ours = certificates["token"].clone();
    assert!(ours.len() == 1 && ours[0].is_some(), "{certificates:?}");
    for endpoint in ["discovery", "jwks", "par", "token"] {
        assert_eq!(certificates[endpoint], ours, "{endpoint}");
    }
    assert_eq!(certificates["authorization"], [None]);
    stage.ends(&secrets).await;
}

/// A-D15, CB-59: a session goes on by a refresh token that stays the same, with a new assertion and the
/// certificate; who signs out gives it back in the same way.
#[tokio::test]
async fn a_customer_stays_signed_in_and_signs_out() {
    let lives = json!({ "access_token": { "shape": "uuid", "lifetime": 2 } });
    let (plan, simulator, secrets) = prepared(&lives).await;
    let stage = plan.open(simulator).await;
    let simulator = &stage.simulator;
    let visitor = stage.signs_in().await;
    let refreshed = async || {
        let granted = simulator.events("tokens").await;
        granted.iter().filter(|event| told(event, "grant_type") == "refresh_token").count()
    };

    let began = Instant::now();
    while refreshed().await < 2 {
        assert_eq!(visitor.fetches("/").await.status, 200);
        assert!(began.elapsed() < PATIENCE, "nothing was refreshed");
    }
    let requests = simulator.events("request").await;
    let asked: Vec<_> = requests
        .iter()
        .map(|event| form(told(event, "body")))
        .filter(|asked| field(asked, "grant_type") == "refresh_token")
        .collect();
    assert_eq!(field(&asked[0], "refresh_token"), field(&asked[1], "refresh_token"));
    for asked in &asked {
        let expected = [
            "client_assertion",
            "client_assertion_type",
            "client_id",
            "grant_type",
            "refresh_token",
        ];
        assert_eq!(names(asked), expected);
    }

    visitor.asks(http::Method::POST, "/.lychgate/logout", &[("accept", "text/html")]).await;
    assert!(!visitor.has_session());
    let began = Instant::now();
    while !simulator.certificates().await.contains_key("revocation") {
        assert!(began.elapsed() < PATIENCE, "the grant was not given back");
    }
    let certificates = simulator.certificates().await;
    assert_eq!(certificates["revocation"], certificates["token"]);
    let mut assertions = simulator.assertions().await;
    let made = assertions.len();
    assertions.sort();
    assertions.dedup();
    assert_eq!(assertions.len(), made, "each is another one");
    stage.ends(&secrets).await;
}

/// A-S1, A-S5 to A-S8, A-D20; CB-05, CB-06, CB-12, CB-14 to CB-17, CB-22, CB-23, CB-35, CB-39, CB-54: whatever else
/// comes back is refused before a code is sent anywhere, and counted (CB-64, CB-65).
#[tokio::test]
async fn what_a_bank_sends_back_is_believed_only_if_it_is_all_right() {
    let (stage, secrets) = stage().await;
    let both = |one: &'static str| Misbehaviour {
        switches: vec![("deny", json!({})), (one, json!({}))],
        reason: OTHER_ISSUER.0,
        status: OTHER_ISSUER.1,
        exchanges: 0,
    };
    stage
        .refuses(&[
            row("deny", json!({}), DENIED, 0),
            row("bank_custom_error", json!({}), REFUSED, 0),
            row("server_error", json!({}), UNAVAILABLE, 0),
            row("no_iss", json!({}), OTHER_ISSUER, 0),
            row("wrong_iss", json!({}), OTHER_ISSUER, 0),
            row("iss_trailing_slash", json!({}), OTHER_ISSUER, 0),
            both("no_iss"),
            both("wrong_iss"),
            row("wrong_state", json!({}), NOT_OURS, 0),
            row("no_state", json!({}), NOT_OURS, 0),
            row("dup_params", json!({ "names": ["code"] }), MALFORMED, 0),
            row("dup_params", json!({ "names": ["state"] }), MALFORMED, 0),
            row("dup_params", json!({ "names": ["iss"] }), MALFORMED, 0),
            row("code_and_error", json!({}), DENIED, 0),
        ])
        .await;
    stage.signs_in().await;
    // CB-64, CB-65: each is counted by its reason, and what the bank made up is no label.
    let metrics = stage.gate.metrics().await;
    for (reason, times) in [("issuer_mismatch", 5), ("login_not_ours", 2), ("provider_refused", 1)]
    {
        let counted = metrics.lines().find(|line| {
            line.starts_with("lychgate_logins_total") && line.contains(&format!("\"{reason}\""))
        });
        let counted = counted.unwrap_or_else(|| panic!("{reason} is not counted: {metrics}"));
        assert!(counted.ends_with(&format!(" {times}")), "{counted}");
    }
    assert!(!metrics.contains("bank_error_4711"));
    stage.ends(&secrets).await;
}

/// A-S5, A-S6; CB-40, CB-41, CB-43, CB-44, CB-46, CB-47: who cancels is not told of a fault, and the bank's words
/// are quoted.
#[tokio::test]
async fn who_cancels_at_the_bank_is_told_so_and_can_start_again() {
    let (stage, secrets) = stage().await;
    stage.simulator.switch_once("deny", &json!({})).await;
    let back = stage.returns().await;
    let page = back.arrives().await;
    assert_eq!(page.status, 403);
    for words in [
        "You cancelled, or the identity provider did not let you in.",
        "The user cancelled, or could not log in",
        "Trying again may help.",
    ] {
        assert!(page.text().contains(words), "{words}: {}", page.text());
    }
    let again = back.visitor.opens(&page.link("/.lychgate/login")).await;
    let states = [
        &back.callback,
        &back.visitor.opens(again.header("location")).await.header("location").to_owned(),
    ]
    .map(|callback| field(&parameters_of(callback), "state").to_owned());
    assert_ne!(states[0], states[1], "a new login");

    stage.simulator.switch_once("bank_custom_error", &json!({})).await;
    let back = stage.returns().await;
    let problem = back.arrives_as_a_program().await;
    let problem = (problem.request_id().to_owned(), problem.json());
    assert_eq!(problem.1["code"], "provider_refused");
    assert_eq!(problem.1["error"], "bank_error_4711");
    assert_eq!(problem.1["error_description"], "The bank says no");
    assert_eq!(problem.1["retryable"], false);
    assert_eq!(problem.1["request_id"], json!(problem.0));
    stage.nobody_is_signed_in(&back.visitor).await;
    stage.ends(&secrets).await;
}

/// A-S9, A-S12, A-D13, A-D14; CB-28, CB-32, CB-50 to CB-55, CB-57, CB-58: a code goes to the bank once, whatever it
/// says.
#[tokio::test]
async fn what_a_bank_answers_for_a_code_is_believed_only_if_it_is_all_right() {
    let (stage, secrets) = stage().await;
    stage
        .refuses(&[
            row("token_invalid_grant", json!({}), EXPIRED, 1),
            row("token_html_502", json!({}), NO_TOKENS, 1),
            row("token_500", json!({}), NO_TOKENS, 1),
            row("token_429", json!({ "retry_after": 7 }), UNAVAILABLE, 1),
            row("token_error", json!({ "error": "invalid_client", "status": 401 }), UNKNOWN, 1),
            row("token_redirect", json!({}), NO_TOKENS, 1),
            row("token_empty", json!({}), NO_TOKENS, 1),
            row("token_truncated", json!({}), NO_TOKENS, 1),
            row("token_oversize", json!({ "bytes": 2_000_000 }), UNAVAILABLE, 1),
            row("token_wrong_content_type", json!({}), NO_TOKENS, 1),
            row("token_200_error", json!({}), EXPIRED, 1),
            row("token_reset", json!({}), UNAVAILABLE, 1),
            row("no_access_token", json!({}), INVALID, 1),
            row("no_token_type", json!({}), NO_TOKENS, 1),
            row("token_type_wrong", json!({}), NO_TOKENS, 1),
            row("no_id_token", json!({}), NO_TOKENS, 1),
            row("token_state_mismatch", json!({}), NO_TOKENS, 1),
            row("consent_awaiting", json!({}), ("consent_pending", 403), 1),
            row("details_changed", json!({}), OTHER_CONSENT, 1),
            row("details_missing", json!({}), OTHER_CONSENT, 1),
            row("details_other_consent", json!({}), OTHER_CONSENT, 1),
        ])
        .await;
    stage.signs_in().await;
    stage.ends(&secrets).await;
}

/// CB-66, A-D21: whoever is told of a failure reads an id under which the access line and the audit event stand, and the
/// bank was asked; and each visit has an id of its own.
#[tokio::test]
async fn one_id_leads_from_the_page_to_the_log_and_to_the_bank() {
    let (stage, secrets) = stage().await;
    let simulator = &stage.simulator;
    let back = stage.returns().await;
    simulator.switch_once("token_500", &json!({})).await;

    let answer = back.arrives().await;

    let id = answer.request_id();
    assert!(answer.text().contains(id), "the page shows it: {}", answer.text());
    assert_eq!(stage.gate.access_line(id).await["request_id"], id);
    assert_eq!(stage.gate.audit_event(id).await["http"]["request"]["id"], id);
    let requests = simulator.events("request").await;
    let visit_told_to = |endpoint: &str| {
        let asked = requests.iter().rfind(|event| told(event, "endpoint") == endpoint);
        let id = &asked.expect("it was asked").detail["headers"]["x-fapi-interaction-id"];
        id.as_str().expect("an id").to_owned()
    };
    let (pushed, redeemed) = (visit_told_to("par"), visit_told_to("token"));
    assert_eq!(redeemed.replace('-', ""), id);
    assert_ne!(pushed, redeemed, "another visit");
    for id in [pushed, redeemed] {
        let parts: Vec<_> = id.split('-').map(str::len).collect();
        assert_eq!((parts, &id[14..15]), (vec![8, 4, 4, 4, 12], "4"), "a random UUID: {id}");
    }
    stage.ends(&secrets).await;
}

/// CB-55, CB-56, F2-15: every fault of an ID token that the certification plans know.
#[tokio::test]
async fn an_id_token_with_anything_wrong_signs_nobody_in() {
    let (stage, secrets) = stage().await;
    let faults = [
        ("id_token_alg_none", UNVERIFIED),
        ("id_token_alg_other", UNVERIFIED),
        ("id_token_alg_hs256_public_key", UNVERIFIED),
        ("id_token_bad_signature", UNVERIFIED),
        ("id_token_unknown_kid", UNVERIFIED),
        ("id_token_no_kid_unpublished", UNVERIFIED),
        ("id_token_iss_missing", INVALID),
        ("id_token_iss_wrong", OTHER_ISSUER),
        ("id_token_aud_missing", INVALID),
        ("id_token_aud_wrong", OTHER_AUDIENCE),
        ("id_token_aud_array_stranger", OTHER_AUDIENCE),
        ("id_token_aud_array_stranger_wrong_azp", OTHER_AUDIENCE),
        ("id_token_azp_wrong", OTHER_AUDIENCE),
        ("id_token_exp_missing", INVALID),
        ("id_token_exp_past", STALE),
        ("id_token_iat_missing", INVALID),
        ("id_token_iat_future", STALE),
        ("id_token_iat_week_old", STALE),
        ("id_token_nbf_future", STALE),
        ("id_token_nonce_missing", INVALID),
        ("id_token_nonce_wrong", OTHER_NONCE),
        ("id_token_sub_missing", INVALID),
        ("id_token_sub_empty", INVALID),
        ("id_token_sub_number", INVALID),
        ("id_token_at_hash_wrong", INVALID),
        ("id_token_crit_unknown", INVALID),
        ("id_token_typ_wrong", INVALID),
        ("id_token_garbage", INVALID),
    ];
    let mut rows: Vec<_> = faults.map(|(name, reason)| row(name, json!({}), reason, 1)).into();
    // More than an answer may be, more than an ID token may be, and more than anybody nests.
    rows.push(row("id_token_oversize", json!({ "bytes": 2_000_000 }), UNAVAILABLE, 1));
    rows.push(row("id_token_oversize", json!({ "bytes": 200_000 }), ("session_too_large", 403), 1));
    rows.push(row("id_token_deep_json", json!({ "depth": 200 }), INVALID, 1));
    stage.refuses(&rows).await;
    stage.signs_in().await;
    stage.ends(&secrets).await;
}

/// CB-50, CB-59, A-D13, A-D15: what is only unusual signs in.
#[tokio::test]
async fn a_bank_that_is_merely_unusual_is_understood() {
    let (stage, secrets) = stage().await;
    for unusual in [
        "token_type_case",
        "token_type_lowercase",
        "no_expires_in",
        "no_scope",
        "echo_extra_members",
        "id_token_aud_array",
        "id_token_no_kid",
        "id_token_at_hash_missing",
    ] {
        stage.simulator.switch_once(unusual, &json!({})).await;
        stage.signs_in().await;
        assert_eq!(stage.simulator.set_switches().await, [""; 0], "{unusual} was not taken");
    }
    stage.simulator.switch("no_refresh", &json!({})).await;
    let visitor = stage.signs_in().await;
    assert_eq!(visitor.fetches("/").await.status, 200);
    let granted = stage.simulator.events("tokens").await;
    let last = granted.last().and_then(|event| event.detail.get("answer")).expect("tokens");
    assert_eq!(last["refresh_token"], Value::Null);
    stage.ends(&secrets).await;
}

/// A-D6, A-D14, A-D18, A-D20, CB-46, CB-61: a push that fails ends the sign-in, is not repeated, and sends nobody
/// anywhere.
#[tokio::test]
async fn a_push_that_fails_ends_the_sign_in() {
    let (stage, secrets) = stage().await;
    let simulator = &stage.simulator;
    let rows = [
        ("par_429", json!({ "retry_after": 7 }), UNAVAILABLE),
        ("par_413", json!({}), UNAVAILABLE),
        ("par_500", json!({}), UNAVAILABLE),
        ("par_html_502", json!({}), UNAVAILABLE),
        ("par_redirect", json!({}), UNAVAILABLE),
        ("par_no_request_uri", json!({}), UNAVAILABLE),
        ("par_error", json!({ "error": "invalid_request" }), REFUSED),
        ("par_error", json!({ "error": "invalid_scope" }), REFUSED),
        ("par_error", json!({ "error": "unauthorized_client" }), REFUSED),
        ("par_error", json!({ "error": "invalid_client", "status": 401 }), UNKNOWN),
        ("par_error", json!({ "error": "server_error" }), UNAVAILABLE),
    ];
    let pushes = async || {
        let requests = simulator.events("request").await;
        requests.iter().filter(|event| told(event, "endpoint") == "par").count()
    };
    for (switch, parameters, (reason, status)) in rows {
        let before = pushes().await;
        simulator.switch_once(switch, &parameters).await;
        let visitor = stage.visitor();
        let answer = visitor.opens("/page").await;
        assert_eq!(simulator.set_switches().await, [""; 0], "{switch} was not taken");
        assert_eq!(
            (&*answer.reason(), answer.status.as_u16()),
            (reason, status),
            "{switch} {parameters}"
        );
        assert_eq!(pushes().await, before + 1, "{switch}");
        if switch == "par_429" {
            assert_eq!(answer.header("retry-after"), "7");
        }
        let event = stage.gate.audit_event(answer.request_id()).await;
        assert_eq!(event["event"]["reason"], reason, "{switch}: {event}");
        let cause = event["error"]["message"].as_str().unwrap_or_default();
        assert!(cause.contains("authorization request"), "{switch}: {cause:?}");
        stage.nobody_is_signed_in(&visitor).await;
    }
    assert_eq!(simulator.authorize_queries().await, [""; 0], "nobody was sent anywhere");
    stage.signs_in().await;

    // A-D4: a certificate that is not the registered one.
    let client_id = "3f1c0e6a-5d0b-4c39-9a6e-0d3f7f1f5b11";
    let other = json!({ "client_id": client_id, "certificate_sha256": "00" });
    simulator.register(&other).await;
    let answer = stage.visitor().opens("/page").await;
    assert_eq!(answer.reason(), UNKNOWN.0);
    let refusals = simulator.refusals().await;
    assert!(refusals.last().is_some_and(|why| why.contains("certificate")), "{refusals:?}");
    stage.ends(&secrets).await;
}

/// A-D4: without the certificate there is not even a connection, and people are told that the bank cannot be
/// reached.
#[tokio::test]
async fn without_our_certificate_there_is_no_connection() {
    let (mut plan, simulator, secrets) = prepared(&json!({})).await;
    let providers = plan.configuration["providers"].as_table_mut().expect("providers");
    providers["bank"].as_table_mut().expect("a provider").remove("tls");
    let stage = plan.open(simulator).await;

    let answer = stage.visitor().opens("/page").await;

    assert_eq!((&*answer.reason(), answer.status.as_u16()), UNAVAILABLE);
    assert!(!stage.simulator.events("tls_refused").await.is_empty());
    assert!(!stage.simulator.certificates().await.contains_key("par"));
    assert!(!stage.gate.output().contains(&secrets[0]));
}

/// A-S9, A-D19; CB-07, CB-10, CB-29, CB-30, CB-32: a callback works once, in its own browser, in time.
#[tokio::test]
async fn a_callback_works_once_for_whom_it_is_meant_and_in_time() {
    let (stage, secrets) = stage().await;
    let simulator = &stage.simulator;
    let requests = async |code: &str| simulator.token_requests(code).await;

    // Somebody else has the address first, and then the right person arrives, twice.
    let back = stage.returns().await;
    let code = back.parameter("code").expect("a code");
    let stranger = stage.visitor();
    let refused = stranger.opens(&back.callback).await;
    assert_eq!((&*refused.reason(), refused.status.as_u16()), NOT_OURS);
    stage.nobody_is_signed_in(&stranger).await;
    assert_eq!(requests(&code).await, 0);
    assert_eq!(back.arrives().await.status, 303);
    let again = back.arrives().await;
    assert_eq!((again.status.as_u16(), &*leads_to(&again)), (303, "/page?q=1"));
    assert_eq!(requests(&code).await, 1);

    // Two deliveries at once.
    let back = stage.returns().await;
    let answers = tokio::join!(back.arrives(), back.arrives());
    assert!([answers.0.status, answers.1.status].contains(&http::StatusCode::SEE_OTHER));
    assert_eq!(requests(&back.parameter("code").expect("a code")).await, 1);

    // Two tabs of one browser, the later one first.
    let visitor = stage.visitor();
    let mut callbacks = Vec::new();
    for page in ["/one", "/two"] {
        let away = visitor.opens(page).await;
        let at_the_bank = visitor.opens(away.header("location")).await;
        callbacks.push((at_the_bank.header("location").to_owned(), page));
    }
    for (callback, page) in callbacks.iter().rev() {
        assert_eq!(leads_to(&visitor.opens(callback).await), *page);
    }

    // The code has expired by the bank's clock.
    simulator.switch_once("code_ttl", &json!({ "seconds": 0 })).await;
    let back = stage.returns().await;
    let late = back.arrives().await;
    stage.refused(&back, &late, &row("code_ttl", json!({}), EXPIRED, 1)).await;
    stage.ends(&secrets).await;
}

/// CB-34, PS-05: neither a customer who takes their time at the bank nor a bank that does keeps anybody else
/// waiting.
#[tokio::test]
async fn nobody_waits_for_somebody_elses_bank() {
    let (stage, secrets) = stage().await;
    let simulator = &stage.simulator;
    let held = async |times: usize| {
        let began = Instant::now();
        while simulator.events("held").await.len() < times {
            assert!(began.elapsed() < PATIENCE, "nothing is held");
        }
    };

    simulator.switch_once("delay_callback", &json!({})).await;
    let visitor = stage.visitor();
    let away = visitor.opens("/slow").await;
    let at_the_bank = async { visitor.opens(away.header("location")).await };
    let others = async {
        held(1).await;
        stage.signs_in().await;
        simulator.release().await;
    };
    let (back, ()) = tokio::join!(at_the_bank, others);
    assert_eq!(leads_to(&visitor.opens(back.header("location")).await), "/slow");

    let back = stage.returns().await;
    simulator.switch_once("token_slow", &json!({})).await;
    let others = async {
        held(2).await;
        stage.signs_in().await;
        stage.nobody_is_signed_in(&back.visitor).await;
        simulator.release().await;
    };
    let (answer, ()) = tokio::join!(back.arrives(), others);
    assert_eq!(answer.status, 303, "{}", answer.text());

    simulator.switch_once("par_slow", &json!({})).await;
    let visitor = stage.visitor();
    let others = async {
        held(3).await;
        stage.signs_in().await;
        simulator.release().await;
    };
    let (away, ()) = tokio::join!(visitor.opens("/page"), others);
    assert!(away.header("location").starts_with(simulator.endpoint("authorization")));
    stage.ends(&secrets).await;
}

/// A-D1, F2-09: a document of another issuer is not believed, nobody is sent anywhere, and it mends itself.
#[tokio::test]
async fn metadata_of_another_issuer_is_not_believed() {
    let (plan, simulator, secrets) = prepared(&json!({})).await;
    simulator.switch("discovery_issuer_mismatch", &json!({})).await;
    let stage = plan.open_before_the_provider_is_known(simulator).await;
    let answer = stage.visitor().opens("/page").await;
    assert_eq!((&*answer.reason(), answer.status.as_u16()), UNAVAILABLE);
    let line = stage.gate.line("of metadata", |line| {
        line["provider"] == "bank" && line.to_string().contains("other.example")
    });
    line.await;
    let seen = stage.simulator.certificates().await;
    assert_eq!(seen.keys().collect::<Vec<_>>(), ["discovery"]);

    stage.simulator.clear_switches().await;
    stage.becomes_ready().await;
    stage.signs_in().await;
    stage.ends(&secrets).await;
}

/// 7.2, A-D2: keys that are replaced while a sign-in is under way fail that one, and no other.
#[tokio::test]
async fn keys_that_are_replaced_are_fetched_again() {
    let (stage, secrets) = stage().await;
    let simulator = &stage.simulator;
    stage.signs_in().await;
    simulator.rotate_keys(true).await;
    simulator.switch_once("jwks_rotated", &json!({})).await;

    let began = Instant::now();
    while !simulator.set_switches().await.is_empty() {
        let back = stage.returns().await;
        let answer = back.arrives().await;
        assert_eq!((&*answer.reason(), answer.status.as_u16()), UNVERIFIED);
        stage.nobody_is_signed_in(&back.visitor).await;
        assert!(began.elapsed() < PATIENCE, "the keys were not asked for again");
    }

    stage.signs_in().await;
    for odd in ["jwks_duplicate_kid", "jwks_unknown_kty", "jwks_enc_key_first"] {
        simulator.switch(odd, &json!({})).await;
    }
    simulator.rotate_keys(true).await;
    let began = Instant::now();
    loop {
        let answer = stage.returns().await.arrives().await;
        if answer.status == 303 {
            break;
        }
        assert!(began.elapsed() < PATIENCE, "{}", answer.text());
    }
    stage.ends(&secrets).await;
}

fn names_of(claims: &Value) -> Vec<&str> {
    claims.as_object().expect("claims").keys().map(String::as_str).collect()
}

fn seconds(value: &Value) -> i64 {
    value.as_i64().expect("a whole number of seconds")
}
