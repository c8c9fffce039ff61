//! What is printed shows no secret.

use std::sync::Arc;

use lychgate_oidc::{Callback, LoginEntropy, LoginRequest, Secret, logout};

use crate::stage::{ACCESS_TOKEN, CLIENT_SECRET, Draft, Stage, keys, moment};

#[test]
fn nothing_that_is_printed_along_a_sign_in_shows_a_secret() {
    let stage = Stage::new();
    let mut printed = Vec::new();

    let entropy = LoginEntropy::from([0x41; 96]);
    printed.push(format!("{entropy:?}"));
    let (url, pending) = stage.begin_with(&LoginRequest::default(), entropy);
    printed.push(format!("{url:?} {pending:?} {:?}", stage.provider));
    let query = format!("code=the-code&state={}", pending.state());
    let callback = Callback::parse(&query).unwrap();
    printed.push(format!("{callback:?}"));
    let matched = callback.matching(pending, &stage.provider, &stage.metadata()).unwrap();
    printed.push(format!("{matched:?}"));
    let (provider, metadata) = (Arc::new(stage.provider.clone()), Arc::new(stage.metadata()));
    let step = matched.redeem(provider, metadata, &keys(&stage.keys), moment()).unwrap();
    printed.push(format!("{step:?}"));
    let signed_in = stage.sign_in(|_| {}).signed_in();
    printed.push(format!("{signed_in:?}"));
    let hint = Secret::new("the.id.token");
    let out = logout::end_session_url(
        &stage.provider,
        &stage.metadata(),
        Some(&hint),
        "https://wiki.example/",
        "s",
    );
    printed.push(format!("{out:?}"));

    // All three values of the login come from the same byte here, so one text stands for all.
    let bound = "QUFBQUFB";
    for shown in &printed {
        for secret in
            [bound, "the-code", CLIENT_SECRET, ACCESS_TOKEN, "the.id.token", "eyJ", "[65, 65"]
        {
            assert!(!shown.contains(secret), "{secret} in {shown}");
        }
    }
}

/// A refusal may be logged whole, with its causes.
#[test]
fn a_refused_token_leaves_no_text_of_itself_in_the_error() {
    let stage = Stage::new();
    let mut text = String::new();
    let outcome = stage.sign_in_with(|login| {
        let mut token = Draft::new(login);
        token.claims["iss"] = "https://canary.example".into();
        token.claims["email"] = "canary@example.com".into();
        text = token.to_text();
        text.clone()
    });

    let error = outcome.result.unwrap_err();
    let cause = std::error::Error::source(&error).unwrap();
    let shown = format!("{error}: {cause} {error:?}");

    assert!(shown.starts_with("the ID token is refused: `iss` differs from the configured issuer"));
    assert!(!shown.contains("canary"));
    for part in text.split('.') {
        assert!(!shown.contains(part));
    }
}
