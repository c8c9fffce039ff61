//! An ID token beside the code: it vouches for the whole answer, or the code is never sent.
//!
//! Sources: OIDC Core §3.3.2.5, §3.3.2.11, §3.3.3.6; FAPI 1.0 Part 2 §5.2.2.1, §5.2.3.

use std::sync::Arc;

use lychgate_oidc::{
    AuthorizationResponse, Callback, CallbackError, Endpoint, ExchangeError, IdTokenError,
    ResponseMode, ResponseType, Step,
};
use serde_json::Value;
use url::form_urlencoded;

use crate::signer::{self, KEYS, sha256};
use crate::stage::{Draft, Login, NOW, Stage, keys, moment, token_answer};

const CODE: &str = "the-code";

/// A provider that is asked for both, in a form.
fn asking() -> Stage {
    let mut stage = Stage::new();
    stage.provider.answers.response_type = ResponseType::CodeIdToken;
    stage.provider.answers.mode = ResponseMode::FormPost;
    stage
}

/// The left half of the hash that RS256 uses.
fn half(text: &str) -> Value {
    signer::encode(&sha256(text)[..16]).into()
}

/// The ID token of an answer to `login` with [`CODE`], right in every way.
fn vouching(login: &Login) -> Draft {
    let mut draft = Draft::new(login);
    draft.claims["c_hash"] = half(CODE);
    draft.claims["s_hash"] = half(&login.query["state"]);
    draft
}

fn posted(login: &Login, id_token: Option<&str>) -> String {
    let mut form = form_urlencoded::Serializer::new(String::new());
    form.append_pair("code", CODE).append_pair("state", &login.query["state"]);
    id_token.map(|token| form.append_pair("id_token", token));
    form.finish()
}

/// Comes back to `login` with the token that `change` makes of the right one.
fn bring(
    stage: &Stage,
    login: &Login,
    change: impl FnOnce(&mut Draft),
) -> Result<Step, ExchangeError> {
    let mut draft = vouching(login);
    change(&mut draft);
    let callback = Callback::parse(&posted(login, Some(&draft.to_text()))).unwrap();
    let (provider, metadata) = (Arc::new(stage.provider.clone()), Arc::new(stage.metadata()));
    let matched = callback.matching(login.pending.clone(), &provider, &metadata).unwrap();
    matched.redeem(provider, metadata, &keys(&stage.keys), moment())
}

/// Why the code is not sent.
fn refusal(change: impl FnOnce(&mut Draft)) -> IdTokenError {
    let stage = asking();
    match bring(&stage, &stage.begin(), change) {
        Err(ExchangeError::AnnouncedIdToken(error)) => error,
        other => panic!("{other:?}"),
    }
}

fn missing(claim: &'static str) -> IdTokenError {
    IdTokenError::ClaimMissing { claim }
}

/// `F1-04`: a code for which the token vouches is sent, and the second token is believed like any other.
#[test]
fn a_code_that_a_token_vouches_for_is_redeemed() {
    let stage = asking();
    let login = stage.begin();
    assert_eq!(login.query["response_type"], "code id_token");
    assert_eq!(login.query["response_mode"], "form_post");

    let step = bring(&stage, &login, |_| {}).unwrap();

    let Step::Ask(_, exchange) = step else { panic!("{step:?}") };
    assert_eq!(exchange.endpoint(), Endpoint::Token);
    let answer = token_answer(&Draft::new(&login).to_text());
    let step = exchange.receive(answer, &keys(&stage.keys), moment()).unwrap();
    assert!(matches!(step, Step::Believe(_)), "{step:?}");
}

/// `fapi1-advanced-final-client-test-invalid-shash`
#[test]
fn fapi1_client_test_invalid_shash() {
    let other = half("the state of another login");
    assert_eq!(refusal(|token| token.claims["s_hash"] = other), IdTokenError::StateHash);
    assert_eq!(refusal(|token| token.claims["s_hash"] = "".into()), IdTokenError::StateHash);
}

/// `fapi1-advanced-final-client-test-missing-shash`
#[test]
fn fapi1_client_test_missing_shash() {
    assert_eq!(refusal(|token| token.without("s_hash")), missing("s_hash"));
}

#[test]
fn oidcc_client_test_invalid_chash() {
    let whole = Value::from(signer::encode(sha256(CODE)));
    for wrong in [half("another code"), whole, "".into()] {
        assert_eq!(refusal(|token| token.claims["c_hash"] = wrong), IdTokenError::CodeHash);
    }
}

#[test]
fn oidcc_client_test_missing_chash() {
    assert_eq!(refusal(|token| token.without("c_hash")), missing("c_hash"));
}

#[test]
fn oidcc_client_test_nonce_unless_code_flow() {
    let stage = asking();
    assert!(stage.begin().query["nonce"].len() >= 22, "it is sent");
    assert_eq!(refusal(|token| token.without("nonce")), missing("nonce"));
    assert_eq!(refusal(|token| token.claims["nonce"] = "another".into()), IdTokenError::Nonce);
}

/// OIDC Core §3.3.2.12: every check of an ID token is made of this one.
#[test]
fn a_token_that_lies_vouches_for_nothing() {
    assert_eq!(
        refusal(|token| token.claims["iss"] = "https://other.example".into()),
        IdTokenError::Issuer
    );
    assert_eq!(refusal(|token| token.claims["aud"] = "shop".into()), IdTokenError::Audience);
    assert_eq!(refusal(|token| token.without("sub")), missing("sub"));
    assert_eq!(
        refusal(|token| token.signed_by(&KEYS.stranger, "RS256", "rsa")),
        IdTokenError::Signature
    );
    let old = refusal(|token| token.claims["exp"] = (NOW - 3600).into());
    assert!(matches!(old, IdTokenError::Expired { .. }), "{old:?}");
    // No access token comes with it, so nothing can have its hash.
    let hash = refusal(|token| token.claims["at_hash"] = half("access-token"));
    assert_eq!(hash, IdTokenError::AccessTokenHash);
}

/// OIDC Core §10.1.1: a key that is not known yet is looked for before the code is sent, and the code is not sent without.
#[test]
fn a_token_with_a_new_key_is_verified_before_the_code_is_sent() {
    for (newer, is_sent) in [(KEYS.published(), true), (serde_json::json!({ "keys": [] }), false)] {
        let mut stage = asking();
        stage.keys = serde_json::json!({ "keys": [] });
        let step = bring(&stage, &stage.begin(), |_| {}).unwrap();
        let Step::NewerKeys(waiting) = step else { panic!("{step:?}") };

        let step = waiting.with_keys(&keys(&newer), moment());

        assert_eq!(matches!(step, Ok(Step::Ask(..))), is_sent, "{step:?}");
        assert_eq!(matches!(step, Err(ExchangeError::AnnouncedIdToken(_))), !is_sent);
    }
}

/// OIDC Core §3.3.3.6: both tokens are about one person, at one issuer.
#[test]
fn a_second_token_about_somebody_else_is_refused() {
    let stage = asking();
    let login = stage.begin();
    let Step::Ask(_, exchange) = bring(&stage, &login, |_| {}).unwrap() else { panic!() };
    let mut second = Draft::new(&login);
    second.claims["sub"] = "bob".into();

    let step = exchange.receive(token_answer(&second.to_text()), &keys(&stage.keys), moment());

    assert_eq!(step.unwrap_err(), ExchangeError::OtherPersonAnnounced);
}

/// CB-25: an ID token is there exactly if it was asked for; an error needs none, and two are one too many.
#[test]
fn a_token_comes_beside_the_code_exactly_if_it_was_asked_for() {
    let matching = |stage: &Stage, form: &str, login: &Login| {
        let callback = Callback::parse(form)?;
        callback.matching(login.pending.clone(), &stage.provider, &stage.metadata()).map(|_| ())
    };
    let (hybrid, plain) = (asking(), Stage::new());
    let login = hybrid.begin();
    let none = matching(&hybrid, &posted(&login, None), &login);
    assert_eq!(none, Err(CallbackError::IdTokenMissing));

    let login = plain.begin();
    let one = matching(&plain, &posted(&login, Some("token")), &login);
    assert_eq!(one, Err(CallbackError::IdTokenUnasked));

    let login = hybrid.begin();
    let refused = format!("error=access_denied&state={}", login.query["state"]);
    assert!(matches!(matching(&hybrid, &refused, &login), Err(CallbackError::Provider(_))));
    let twice = format!("{}&id_token=other", posted(&login, Some("token")));
    assert_eq!(
        matching(&hybrid, &twice, &login),
        Err(CallbackError::Repeated { parameter: "id_token" })
    );
    let beside = "response=a.b.c&id_token=d.e.f";
    assert!(matches!(AuthorizationResponse::read(beside), Err(CallbackError::UnsignedBeside)));
}
