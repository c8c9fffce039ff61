//! FAPI 1.0 Advanced with `code id_token` by `form_post`: an ID token beside the code vouches for the whole answer, or
//! the code is never sent.

use http::Method;
use lychgate_tests::cast::simulator::Simulator;
use lychgate_tests::cast::visitor::{Answer, Visitor};
use rcgen::PKCS_RSA_SHA256;
use serde_json::json;

use crate::checks::check_named_after;
use crate::stage::{Plan, Stage, client, field, form, leads_to};

const BANK: &str = r#"
[providers.bank]
client_id      = "bank"
profile        = "fapi1-advanced"
response_type  = "code id_token"
signing_key_id = "ours"

[routes.app]
allow = ["authenticated"]
"#;

async fn stage() -> (Stage, Vec<String>) {
    let mut plan = Plan::of(BANK).await;
    let public = plan.signing_key(&PKCS_RSA_SHA256);
    let mut registered = client("bank", &plan.callback());
    registered["certificate_sha256"] = plan.client_certificate().into();
    registered["token_endpoint_auth_method"] = "private_key_jwt".into();
    registered["jwks"] = json!({ "keys": [{ "kid": "ours", "use": "sig", "pem": public }] });
    let tls = plan.simulator_tls();
    let simulator = Simulator::start("sim-fapi1", &registered, Some(&tls)).await;
    plan.set(&format!(
        "[providers.bank]\nissuer = \"{}\"\nsigning_key = {{ file = \"signing.pem\" }}\n\
         tls = {{ certificate = \"client.pem\", key = \"client.key\" }}",
        simulator.issuer()
    ));
    let line = |file| plan.scratch.read(file).lines().nth(1).expect("a key in lines").to_owned();
    let secrets = ["signing.pem", "client.key"].map(line).into();
    (plan.open(simulator).await, secrets)
}

/// Somebody whom the provider's page sends back with a form: who it is, and what is in it.
async fn returns(stage: &Stage) -> (Visitor, Vec<(String, String)>) {
    let visitor = stage.visitor();
    let away = visitor.opens("/page?q=1").await;
    stage.keep_cookies_of(&visitor);
    let provider = away.location().expect("it leads to the provider");
    let page = visitor.opens(provider.as_str()).await;
    let text = page.text();
    let value = |tag: &str, name: &str| {
        let (_, rest) = tag.split_once(&format!("{name}=\"")).expect("an attribute");
        rest.split('"').next().unwrap_or_default().to_owned()
    };
    let (_, form) = text.split_once("<form method=\"post\"").unwrap_or_else(|| panic!("{text}"));
    let fields = form.split("<input ").skip(1);
    (visitor, fields.map(|field| (value(field, "name"), value(field, "value"))).collect())
}

async fn posts(visitor: &Visitor, fields: &[(String, String)]) -> Answer {
    let headers = [
        ("accept", "text/html"),
        ("content-type", "application/x-www-form-urlencoded"),
        ("origin", "null"),
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-mode", "navigate"),
    ];
    let form = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
    visitor.sends(Method::POST, "/.lychgate/callback", &headers, form.into_bytes()).await
}

/// F1-04, OC-07: both are asked for in the signed request, and the person arrives.
#[tokio::test]
async fn a_person_comes_back_with_a_code_and_a_token_that_vouches_for_it() {
    let (stage, secrets) = stage().await;
    let (visitor, fields) = returns(&stage).await;
    let names: Vec<_> = fields.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["code", "id_token", "state"]);

    let answer = posts(&visitor, &fields).await;

    assert_eq!(
        (answer.status.as_u16(), &*leads_to(&answer)),
        (303, "/page?q=1"),
        "{}",
        answer.text()
    );
    assert!(visitor.has_session());
    assert_eq!(stage.simulator.token_requests(field(&fields, "code")).await, 1);
    let asked = stage.simulator.authorize_queries().await;
    let asked = form(asked.last().expect("somebody went there").trim_start_matches('?'));
    assert_eq!(
        field(&asked, "response_type"),
        "code id_token",
        "it is repeated beside the request"
    );
    stage.ends(&secrets).await;
}

/// F1-04, CB-25, CB-54, 7.2: whatever is wrong with the token beside the code, nobody signs in, the log says which check
/// found it, and the code is never sent; nor is it without that token.
#[tokio::test]
async fn a_code_that_nothing_vouches_for_is_not_redeemed() {
    const UNVERIFIED: &str = "signature_invalid";
    const INVALID: &str = "token_invalid";
    let (stage, secrets) = stage().await;
    for (fault, reason) in [
        ("alg_none", UNVERIFIED),
        ("alg_other", UNVERIFIED),
        ("bad_signature", UNVERIFIED),
        ("unknown_kid", UNVERIFIED),
        ("iss_wrong", "issuer_mismatch"),
        ("iss_missing", INVALID),
        ("aud_wrong", "audience_mismatch"),
        ("aud_missing", INVALID),
        ("exp_past", "clock_skew"),
        ("iat_week_old", "clock_skew"),
        ("nonce_missing", INVALID),
        ("nonce_wrong", "nonce_mismatch"),
        ("sub_missing", INVALID),
        ("c_hash_missing", INVALID),
        ("c_hash_wrong", INVALID),
        ("s_hash_missing", INVALID),
        ("s_hash_wrong", INVALID),
        ("garbage", INVALID),
    ] {
        let switch = format!("front_id_token_{fault}");
        stage.simulator.switch_once(&switch, &json!({})).await;
        let (visitor, fields) = returns(&stage).await;
        assert_eq!(stage.simulator.set_switches().await, [""; 0], "{switch} was not taken");

        let answer = posts(&visitor, &fields).await;

        is_refused(&stage, &visitor, &answer, (502, reason), &switch).await;
        assert_eq!(stage.simulator.token_requests(field(&fields, "code")).await, 0, "{switch}");
    }

    let (visitor, mut fields) = returns(&stage).await;
    fields.retain(|(name, _)| name != "id_token");
    let answer = posts(&visitor, &fields).await;
    is_refused(&stage, &visitor, &answer, (400, "login_malformed"), "no_front_id_token").await;
    assert_eq!(stage.simulator.token_requests(field(&fields, "code")).await, 0);

    // Another login's token vouches for another code.
    let (visitor, mut fields) = returns(&stage).await;
    let (_, others) = returns(&stage).await;
    fields[0] = others[0].clone();
    let answer = posts(&visitor, &fields).await;
    is_refused(&stage, &visitor, &answer, (502, INVALID), "front_id_token_c_hash_wrong").await;
    assert_eq!(stage.simulator.token_requests(field(&fields, "code")).await, 0);
    stage.ends(&secrets).await;
}

/// OIDC Core §3.3.3.6: the token endpoint has to speak of the same person.
#[tokio::test]
async fn the_token_endpoint_may_not_speak_of_somebody_else() {
    let (stage, secrets) = stage().await;
    stage.simulator.switch_once("id_token_sub_other", &json!({})).await;
    let (visitor, fields) = returns(&stage).await;

    let answer = posts(&visitor, &fields).await;

    is_refused(&stage, &visitor, &answer, (502, "token_invalid"), "id_token_sub_other").await;
    assert_eq!(stage.simulator.token_requests(field(&fields, "code")).await, 1);
    stage.ends(&secrets).await;
}

async fn is_refused(
    stage: &Stage,
    visitor: &Visitor,
    answer: &Answer,
    (status, reason): (u16, &str),
    switch: &str,
) {
    let found = (answer.status.as_u16(), &*answer.reason());
    assert_eq!(found, (status, reason), "{switch}\n{}", stage.gate.output());
    let event = stage.gate.audit_event(answer.request_id()).await;
    let cause = event["error"]["message"].as_str().unwrap_or_default();
    let words = check_named_after(switch).expect("the check has a name");
    assert!(cause.contains(words), "{switch}: {cause:?}");
    stage.nobody_is_signed_in(visitor).await;
}
