//! Where a browser is sent to sign in and to sign out.

use lychgate_oidc::{LoginRequest, PendingLogin, Secret, Timestamp, logout};
use serde_json::Value;
use url::Url;

use crate::stage::{CLIENT, NOW, REDIRECT_URI, Stage};

fn pairs(url: &str) -> Vec<(String, String)> {
    Url::parse(url).unwrap().query_pairs().into_owned().collect()
}

/// `CB-01`, `CB-02`, `CB-03`, `F7`; RFC 7636 §4.3
#[test]
fn a_login_asks_for_a_code_and_binds_it_three_times() {
    let stage = Stage::new();
    let request = LoginRequest {
        prompt: Some("none".to_owned()),
        login_hint: Some("ada@example.com".to_owned()),
        ui_locales: Some("pt-BR en".to_owned()),
        ..LoginRequest::default()
    };

    let (url, pending) = stage.begin_with(&request, [7; 96].into());

    let state = "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc";
    let expected = [
        ("tenant", "a b"),
        ("response_type", "code"),
        ("client_id", CLIENT),
        ("redirect_uri", REDIRECT_URI),
        ("scope", "openid email"),
        ("state", state),
        ("nonce", state),
        ("code_challenge", "3Ev4DHdHPRMPoN6GukAY_pi7IUAF5qWJHRK6kURvnoE"),
        ("code_challenge_method", "S256"),
        ("prompt", "none"),
        ("login_hint", "ada@example.com"),
        ("ui_locales", "pt-BR en"),
    ];
    let expected: Vec<_> = expected.map(|(name, value)| (name.into(), value.into())).into();
    assert_eq!(pairs(url.as_str()), expected);
    assert_eq!(pending.state(), state);
    assert_eq!(pending.provider(), "idp");
    assert_eq!(pending.redirect_uri(), REDIRECT_URI);
    assert_eq!(pending.begun_at(), Timestamp::new(NOW));
}

/// `F4`: the three values come from different bytes, and the verifier stays here.
#[test]
fn the_three_values_differ_and_the_verifier_is_not_in_the_address() {
    let login = Stage::new().begin();
    let written: Value = serde_json::to_value(&login.pending).unwrap();
    let verifier = written["verifier"].as_str().unwrap();

    assert_ne!(login.query["state"], login.query["nonce"]);
    assert!(login.query.values().all(|value| value != verifier));
    assert_eq!(verifier.len(), 43);
}

#[test]
fn a_pending_login_survives_being_written_down() {
    let stage = Stage::new();
    let login = stage.begin();
    let written = serde_json::to_string(&login.pending).unwrap();

    let read: PendingLogin = serde_json::from_str(&written).unwrap();

    assert_eq!(serde_json::to_string(&read).unwrap(), written);
}

/// `oidcc-client-test-rp-init-logout`
#[test]
fn signing_out_leads_to_the_provider_with_what_it_needs() {
    let mut stage = Stage::new();
    let back = "https://wiki.example/signed-out";
    let token = Secret::new("the.id.token");
    let url = |stage: &Stage, hint| {
        logout::end_session_url(&stage.provider, &stage.metadata(), hint, back, "s1")
    };

    let with_hint = url(&stage, Some(&token)).unwrap();
    assert!(with_hint.as_str().starts_with("https://idp.example/logout?"));
    let expected: Vec<(String, String)> = [
        ("client_id", CLIENT),
        ("post_logout_redirect_uri", back),
        ("state", "s1"),
        ("id_token_hint", "the.id.token"),
    ]
    .map(|(name, value)| (name.into(), value.into()))
    .into();
    assert_eq!(pairs(with_hint.as_str()), expected);

    let without_hint = url(&stage, None).unwrap();
    assert_eq!(pairs(without_hint.as_str()), expected[..3]);

    stage.metadata["end_session_endpoint"] = Value::Null;
    assert_eq!(url(&stage, None), None);
}
