//! A plain OpenID Provider with every fault that concerns its metadata, its keys, userinfo and what was asked of the
//! authentication: each ends in its page, without a session, with a line that names the check and holds no token.

use std::net::Ipv4Addr;
use std::time::{SystemTime, UNIX_EPOCH};

use lychgate_tests::cast::scratch::Scratch;
use lychgate_tests::cast::simulator::{Simulator, client_keys};
use rcgen::{KeyPair, PKCS_ED25519, SigningKey as _};
use serde_json::{Value, json};

use crate::stage::{Plan, Stage, client, field, form, row};

const INVALID: (&str, u16) = ("token_invalid", 502);
const NO_TOKENS: (&str, u16) = ("token_exchange_failed", 502);
const UNAVAILABLE: (&str, u16) = ("provider_unavailable", 503);
const USED: (&str, u16) = ("login_already_used", 400);
const UNVERIFIED: (&str, u16) = ("signature_invalid", 502);
const USERINFO: (&str, u16) = ("userinfo_invalid", 502);

const SECRET: &str = "the-secret-of-a-plain-provider-and-the-gate";

/// What is written for a plain provider; `more` is what a story adds.
async fn prepared(more: &str) -> (Plan, Simulator) {
    let mut plan = Plan::of(
        "[providers.plain]\nclient_id = \"plain\"\n[routes.app]\nallow = [\"authenticated\"]",
    )
    .await;
    plan.scratch.write("secret", SECRET);
    let mut registered = client("plain", &plan.callback());
    registered["client_secret"] = SECRET.into();
    if more.contains("userinfo_signed_response_alg") {
        registered["userinfo_signed_response_alg"] = "RS256".into();
    }
    let tls = plan.simulator_tls();
    let simulator = Simulator::start("sim-oidc-basic", &registered, Some(&tls)).await;
    plan.set(&format!(
        "[providers.plain]\nissuer = \"{}\"\nclient_secret = {{ file = \"secret\" }}\n{more}",
        simulator.issuer()
    ));
    (plan, simulator)
}

async fn stage(more: &str) -> Stage {
    let (plan, simulator) = prepared(more).await;
    plan.open(simulator).await
}

/// Userinfo is asked with the token that was just given: whatever is wrong with the answer, nobody is signed in by
/// what the ID token said alone.
#[tokio::test]
async fn userinfo_with_anything_wrong_signs_nobody_in() {
    let stage = stage("userinfo = \"always\"").await;
    let one = |name: &'static str, reason| row(name, json!({}), reason, 1);
    stage
        .refuses(&[
            one("userinfo_401", NO_TOKENS),
            one("userinfo_403", NO_TOKENS),
            one("userinfo_500", NO_TOKENS),
            one("userinfo_not_json", NO_TOKENS),
            one("userinfo_no_sub", USERINFO),
            one("userinfo_sub_other", USERINFO),
            one("userinfo_signed", USERINFO),
            row("userinfo_oversize", json!({ "bytes": 2_000_000 }), UNAVAILABLE, 1),
        ])
        .await;
    stage.signs_in().await;
    stage.ends(&[SECRET.to_owned()]).await;
}

/// The same where it is slow: the person is told after the gate's patience, and the next one signs in.
#[tokio::test]
async fn userinfo_that_does_not_come_signs_nobody_in() {
    let stage = stage("userinfo = \"always\"").await;
    stage.refuses(&[row("userinfo_slow", json!({}), UNAVAILABLE, 1)]).await;
    stage.simulator.release().await;
    stage.signs_in().await;
    stage.ends(&[SECRET.to_owned()]).await;
}

/// Signed userinfo is held to the rules of every other signed answer.
#[tokio::test]
async fn signed_userinfo_with_anything_wrong_signs_nobody_in() {
    let more = "userinfo = \"always\"\nuserinfo_signed_response_alg = \"RS256\"";
    let (plan, simulator) = prepared(more).await;
    // A key to which the simulator can encrypt what nobody asked it to.
    let keys = client_keys(&[("RSA-OAEP-256", "opens", "enc")]).await;
    let jwks = json!({ "keys": [keys[0].jwk] });
    simulator.register(&json!({ "client_id": "plain", "jwks": jwks })).await;
    let stage = plan.open(simulator).await;
    let faults = [
        "userinfo_jwt_alg_none",
        "userinfo_jwt_alg_other",
        "userinfo_jwt_alg_hs256_public_key",
        "userinfo_jwt_bad_signature",
        "userinfo_jwt_wrong_secret",
        "userinfo_jwt_unknown_kid",
        "userinfo_jwt_no_kid_unpublished",
        "userinfo_jwt_iss_missing",
        "userinfo_jwt_iss_wrong",
        "userinfo_jwt_aud_missing",
        "userinfo_jwt_aud_wrong",
        "userinfo_jwt_aud_array_stranger",
        "userinfo_jwt_aud_array_stranger_wrong_azp",
        "userinfo_jwt_azp_wrong",
        "userinfo_jwt_exp_past",
        "userinfo_jwt_iat_future",
        "userinfo_jwt_nbf_future",
        "userinfo_jwt_sub_missing",
        "userinfo_jwt_sub_empty",
        "userinfo_jwt_sub_number",
        "userinfo_jwt_sub_other",
        "userinfo_jwt_crit_unknown",
        "userinfo_jwt_encrypted_rsa1_5",
        "userinfo_jwt_encrypted_unasked",
        "userinfo_jwt_garbage",
        "userinfo_jwt_typ_wrong",
    ];
    let mut rows: Vec<_> = faults.map(|fault| row(fault, json!({}), USERINFO, 1)).into();
    let bytes = json!({ "bytes": 2_000_000 });
    rows.push(row("userinfo_jwt_oversize", bytes, UNAVAILABLE, 1));
    rows.push(row("userinfo_jwt_deep_json", json!({ "depth": 200 }), USERINFO, 1));
    stage.refuses(&rows).await;
    // What is only unusual is understood; userinfo need not say when it was made.
    for unusual in ["no_kid", "aud_array", "exp_missing", "iat_missing", "iat_week_old", "plain"] {
        stage.simulator.switch_once(&format!("userinfo_jwt_{unusual}"), &json!({})).await;
        stage.signs_in().await;
        assert_eq!(stage.simulator.set_switches().await, [""; 0], "{unusual} was not taken");
    }
    stage.ends(&[SECRET.to_owned()]).await;
}

/// What was asked of the authentication is looked for in the answer.
#[tokio::test]
async fn an_authentication_that_is_not_what_was_asked_for_signs_nobody_in() {
    let stage = stage(
        "max_age = \"8h\"\nacr_values = [\"urn:gold\"]\nrequired_acr_values = [\"urn:gold\"]",
    )
    .await;
    stage
        .refuses(&[
            row("id_token_auth_time_missing", json!({}), INVALID, 1),
            row("id_token_auth_time_old", json!({}), INVALID, 1),
            row("id_token_acr_missing", json!({}), INVALID, 1),
            row("id_token_acr_wrong", json!({}), ("authentication_weak", 403), 1),
        ])
        .await;
    stage.signs_in().await;
    let asked = stage.simulator.authorize_queries().await;
    let asked = form(asked.last().expect("somebody went there"));
    assert_eq!((field(&asked, "max_age"), field(&asked, "acr_values")), ("28800", "urn:gold"));
    stage.ends(&[SECRET.to_owned()]).await;
}

/// Whose metadata cannot be had or believed is a provider that is not there; when it is whole again, people sign in.
#[tokio::test]
async fn metadata_with_anything_wrong_sends_nobody_anywhere() {
    for (switch, parameters, words) in [
        ("metadata_404", json!({}), "answered 404"),
        ("metadata_500", json!({}), "answered 500"),
        ("metadata_not_json", json!({}), "the document cannot be read"),
        ("metadata_huge", json!({ "bytes": 2_000_000 }), "longer than"),
        ("metadata_missing", json!({}), "`token_endpoint` is missing"),
        ("metadata_http_endpoint", json!({}), "`token_endpoint` is not https"),
        (
            "metadata_set",
            json!({ "set": { "token_endpoint": 7 } }),
            "`token_endpoint` has the wrong type",
        ),
        ("metadata_slow", json!({}), "timed out"),
    ] {
        nobody_goes_to_the_provider(switch, &parameters, words).await;
    }
}

/// Without its keys a provider is not there either: nothing that it signs could be believed.
#[tokio::test]
async fn keys_with_anything_wrong_send_nobody_anywhere() {
    for (switch, parameters, words) in [
        ("jwks_404", json!({}), "answered 404"),
        ("jwks_not_json", json!({}), "the key set cannot be read"),
        ("jwks_huge", json!({ "bytes": 2_000_000 }), "longer than"),
        ("jwks_slow", json!({}), "timed out"),
    ] {
        nobody_goes_to_the_provider(switch, &parameters, words).await;
    }
}

/// A list without a key is no fault of the list: whoever comes back with a token finds nothing that verifies it.
#[tokio::test]
async fn a_list_without_keys_signs_nobody_in() {
    let (plan, simulator) = prepared("").await;
    simulator.switch("jwks_empty", &json!({})).await;
    let stage = plan.open(simulator).await;

    let back = stage.returns().await;
    let answer = back.arrives().await;

    stage.refused(&back, &answer, &row("jwks_empty", json!({}), UNVERIFIED, 1)).await;
    stage.ends(&[SECRET.to_owned()]).await;
}

/// While the provider misbehaves like this, people get a page, and the log says why in these words.
async fn nobody_goes_to_the_provider(switch: &str, parameters: &Value, words: &str) {
    let (plan, simulator) = prepared("").await;
    simulator.switch(switch, parameters).await;
    let stage = plan.open_before_the_provider_is_known(simulator).await;
    let visitor = stage.visitor();

    let answer = visitor.opens("/page").await;

    let found = (&*answer.reason(), answer.status.as_u16());
    assert_eq!(found, UNAVAILABLE, "{switch}\n{}", stage.gate.output());
    let event = stage.gate.audit_event(answer.request_id()).await;
    assert_eq!(event["event"]["reason"], UNAVAILABLE.0, "{switch}: {event}");
    let waits = "the provider's metadata has not been fetched yet";
    assert_eq!(event["error"]["message"], waits, "{switch}: {event}");
    let says = |line: &Value| line.to_string().contains(words);
    stage.gate.line(&format!("after {switch}: {words}"), says).await;
    stage.nobody_is_signed_in(&visitor).await;
    assert_eq!(stage.simulator.authorize_queries().await, [""; 0], "{switch}");
    stage.simulator.clear_switches().await;
    stage.simulator.release().await;
    stage.becomes_ready().await;
    stage.signs_in().await;
    stage.ends(&[SECRET.to_owned()]).await;
}

/// CB-31: which logins are used up is known after a restart, however sudden. A copy of the login's cookie and of its
/// callback is not redeemed again.
#[tokio::test]
async fn a_copied_login_is_worth_nothing_after_a_restart() {
    let mut stage = stage("").await;
    let back = stage.returns().await;
    let thief = stage.copy_at(Ipv4Addr::LOCALHOST, &back.visitor);
    assert_eq!(back.arrives().await.status, 303);
    stage.gate.dies_and_starts_again().await;
    stage.becomes_ready().await;

    let answer = thief.opens(&back.callback).await;

    assert_eq!((&*answer.reason(), answer.status.as_u16()), USED);
    let code = back.parameter("code").expect("a code");
    assert_eq!(stage.simulator.token_requests(&code).await, 1);
    stage.nobody_is_signed_in(&thief).await;
    stage.ends(&[SECRET.to_owned()]).await;
}

/// CB-30, CB-31: of two instances with one state directory, to which the same callback comes at the same moment, one
/// redeems it.
#[tokio::test]
async fn of_two_instances_one_redeems_a_login() {
    let stage = stage("").await;
    let elsewhere = Ipv4Addr::new(127, 0, 0, 2);
    let other = stage.another_instance(elsewhere).await;
    let back = stage.returns().await;
    let copy = stage.copy_at(elsewhere, &back.visitor);

    let (here, there) = tokio::join!(back.arrives(), copy.opens(&back.callback));

    let code = back.parameter("code").expect("a code");
    assert_eq!(stage.simulator.token_requests(&code).await, 1);
    let answers = [(&here, &back.visitor), (&there, &copy)];
    let [(_, in_), (refused, out)] = match here.status.as_u16() {
        303 => answers,
        _ => [answers[1], answers[0]],
    };
    assert!(in_.has_session(), "{}\n{}", stage.gate.output(), other.output());
    assert_eq!((&*refused.reason(), refused.status.as_u16()), USED);
    assert!(!out.has_session());
    stage.ends(&[SECRET.to_owned()]).await;
}

/// RFC 7523 §2.2: an assertion that somebody else writes into a file is the one of the moment. It is replaced between
/// two logins, and each of them proves who we are with its own.
#[tokio::test]
async fn an_assertion_in_a_file_may_be_replaced_between_two_logins() {
    let (mut plan, simulator) = prepared("").await;
    let key = KeyPair::generate_for(&PKCS_ED25519).expect("a key");
    let mut registered = client("plain", &plan.callback());
    registered["jwks"] =
        json!({ "keys": [{ "kid": "ed-1", "use": "sig", "pem": key.public_key_pem() }] });
    simulator.register(&registered).await;
    let issuer = simulator.issuer().to_owned();
    let writes = |scratch: &Scratch, id: &str| {
        let assertion = assertion(&key, &issuer, id);
        // Others replace such a file in one step.
        scratch.write("assertion.next", &assertion);
        std::fs::rename(scratch.file("assertion.next"), scratch.file("assertion")).expect("a file");
        assertion
    };
    let first = writes(&plan.scratch, "first");
    let providers = plan.configuration["providers"].as_table_mut().expect("providers");
    let plain = providers["plain"].as_table_mut().expect("a provider");
    plain.remove("client_secret");
    plan.set("[providers.plain]\nclient_assertion = { file = \"assertion\" }");
    let stage = plan.open(simulator).await;

    stage.signs_in().await;
    let second = writes(stage.gate.scratch(), "second");
    stage.signs_in().await;

    assert_eq!(stage.simulator.assertions().await, ["first", "second"]);
    stage.ends(&[first, second]).await;
}

/// What says to this issuer that we are `plain`, for five minutes.
fn assertion(key: &KeyPair, issuer: &str, id: &str) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a time").as_secs();
    let claims = json!({
        "iss": "plain", "sub": "plain", "aud": issuer, "jti": id, "iat": now, "exp": now + 200,
    });
    let header = json!({ "alg": "EdDSA", "kid": "ed-1" });
    let part = |value: &Value| base64url(value.to_string().as_bytes());
    let signed = format!("{}.{}", part(&header), part(&claims));
    let signature = key.sign(signed.as_bytes()).expect("a signature");
    format!("{signed}.{}", base64url(&signature))
}

fn base64url(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let bits = three.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte));
        let bits = bits << (8 * (3 - three.len()));
        for at in 0..=three.len() {
            let six = bits >> (18 - 6 * at) & 0x3f;
            text.push(char::from(ALPHABET[six as usize]));
        }
    }
    text
}
