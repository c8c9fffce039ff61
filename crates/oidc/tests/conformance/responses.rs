//! Signed authorization responses (JARM), by the names that the certification suite gives them.

use std::time::Duration;

use lychgate_oidc::{
    Algorithm, AuthorizationResponse, CallbackError, IdTokenError, IssuerParameter, JweError,
    JwsError, KeyManagement, KnownError, MatchedCallback, RefusalCode, ResponseMode,
};
use serde_json::{Value, json};

use crate::answers::{decryption_keys, encrypted, encryption};
use crate::signer::{self, KEYS};
use crate::stage::{CLIENT, Draft, ISSUER, NOW, Stage, keys, moment};

/// What is different about a response.
type Change = fn(&mut Draft);

fn asking_for(mode: ResponseMode) -> Stage {
    let mut stage = Stage::new();
    stage.provider.answers.mode = mode;
    stage
}

/// Signs a response to a login at `stage` and brings it back; also how many times keys were fetched.
fn bring_with(
    stage: &Stage,
    change: impl FnOnce(&mut Draft),
    seal: impl FnOnce(&Draft) -> String,
) -> (Result<MatchedCallback, CallbackError>, usize) {
    let login = stage.begin();
    let mut draft = Draft::new(&login);
    draft.claims = json!({
        "iss": ISSUER,
        "aud": CLIENT,
        "exp": NOW + 300,
        "code": "the-code",
        "state": login.query["state"],
    });
    change(&mut draft);
    let response = AuthorizationResponse::read(&format!("response={}", seal(&draft)));
    let Ok(AuthorizationResponse::Signed(response)) = response else { panic!("{response:?}") };
    let mut fetches = 0;
    let callback = match response.verify(&stage.provider, &keys(&stage.keys), moment()) {
        Err(error) if error.may_pass_with_newer_keys() => {
            fetches += 1;
            response.verify(&stage.provider, &keys(&stage.newer_keys), moment())
        }
        callback => callback,
    };
    let matched = callback
        .and_then(|callback| callback.matching(login.pending, &stage.provider, &stage.metadata()));
    (matched, fetches)
}

fn bring(change: impl FnOnce(&mut Draft)) -> Result<MatchedCallback, CallbackError> {
    bring_with(&asking_for(ResponseMode::Jwt), change, Draft::to_text).0
}

fn refused(change: impl FnOnce(&mut Draft)) -> IdTokenError {
    match bring(change) {
        Err(CallbackError::Response(error)) => error,
        other => panic!("{other:?}"),
    }
}

/// `F1-05`, `FM-02`
#[test]
fn a_signed_response_that_answers_this_login_is_matched() {
    for mode in [ResponseMode::Jwt, ResponseMode::QueryJwt, ResponseMode::FormPostJwt] {
        let stage = asking_for(mode);
        assert_eq!(stage.begin().query["response_mode"], mode.as_str());
        assert!(bring_with(&stage, |_| {}, Draft::to_text).0.is_ok());
    }
    assert!(!Stage::new().begin().query.contains_key("response_mode"));
}

#[test]
fn ensure_jarm_without_iss_fails() {
    let missing = IdTokenError::ClaimMissing { claim: "iss" };
    assert_eq!(refused(|response| response.without("iss")), missing);
}

#[test]
fn ensure_jarm_without_aud_fails() {
    let missing = IdTokenError::ClaimMissing { claim: "aud" };
    assert_eq!(refused(|response| response.without("aud")), missing);
}

#[test]
fn ensure_jarm_without_exp_fails() {
    let missing = IdTokenError::ClaimMissing { claim: "exp" };
    assert_eq!(refused(|response| response.without("exp")), missing);
}

#[test]
fn ensure_jarm_with_invalid_iss_fails() {
    for issuer in ["https://evil.example", &format!("{ISSUER}/"), ""] {
        assert_eq!(
            refused(|response| response.claims["iss"] = issuer.into()),
            IdTokenError::Issuer
        );
    }
}

#[test]
fn ensure_jarm_with_invalid_aud_fails() {
    assert_eq!(refused(|response| response.claims["aud"] = "shop".into()), IdTokenError::Audience);
    let both = refused(|response| response.claims["aud"] = json!([CLIENT, "shop"]));
    assert_eq!(both, IdTokenError::AudienceNotOursAlone);
}

#[test]
fn ensure_jarm_with_expired_exp_fails() {
    let expired = refused(|response| response.claims["exp"] = (NOW - 31).into());
    assert_eq!(expired, IdTokenError::Expired { by: Duration::from_secs(1) });
}

#[test]
fn ensure_jarm_with_invalid_sig_fails() {
    let forged = refused(|response| response.signed_by(&KEYS.stranger, "RS256", "rsa"));
    assert_eq!(forged, IdTokenError::Signature);
}

#[test]
fn ensure_jarm_signature_is_not_none() {
    let stage = asking_for(ResponseMode::Jwt);
    let unsigned = |draft: &Draft| format!("{}.", draft.input());
    let (result, _) =
        bring_with(&stage, |response| response.header = json!({ "alg": "none" }), unsigned);
    assert_eq!(result.err(), Some(CallbackError::Response(IdTokenError::Algorithm)));
}

/// JARM2: only the algorithms that were agreed on.
#[test]
fn a_response_signed_in_another_way_is_refused() {
    let mut stage = asking_for(ResponseMode::Jwt);
    stage.provider.answers.authorization_signed_response_algs = vec![Algorithm::PS256];
    let (result, _) = bring_with(&stage, |_| {}, Draft::to_text);
    assert_eq!(result.err(), Some(CallbackError::Response(IdTokenError::Algorithm)));
    let ps256 = |response: &mut Draft| response.signed_by(&KEYS.rsa, "PS256", "rsa");
    assert!(bring_with(&stage, ps256, Draft::to_text).0.is_ok());
}

/// `FM-02`: whom it is from is compared before any key is looked for or fetched.
#[test]
fn keys_are_not_fetched_for_somebody_elses_response() {
    let stage = asking_for(ResponseMode::Jwt);
    let unknown = |response: &mut Draft| {
        response.header["kid"] = "unknown".into();
        response.claims["iss"] = "https://evil.example".into();
    };
    let (result, fetches) = bring_with(&stage, unknown, Draft::to_text);
    assert_eq!(result.err(), Some(CallbackError::Response(IdTokenError::Issuer)));
    assert_eq!(fetches, 0);
}

#[test]
fn an_unknown_key_is_fetched_once() {
    let mut stage = asking_for(ResponseMode::Jwt);
    stage.keys = json!({ "keys": [KEYS.stranger.jwk("older")] });
    let (result, fetches) = bring_with(&stage, |_| {}, Draft::to_text);
    assert!(result.is_ok());
    assert_eq!(fetches, 1);

    let unknown = |response: &mut Draft| response.header["kid"] = "unknown".into();
    let (result, fetches) = bring_with(&stage, unknown, Draft::to_text);
    let kid = "unknown".to_owned();
    assert_eq!(result.err(), Some(CallbackError::Response(IdTokenError::UnknownKey { kid })));
    assert_eq!(fetches, 1);
}

/// JARM1, `CB-25`: whoever could choose between a signed response and a plain one would choose the plain one.
#[test]
fn a_response_is_signed_exactly_if_that_was_asked_for() {
    let signed = asking_for(ResponseMode::Jwt);
    let login = signed.begin();
    let plain = format!("code=c&state={}&iss={ISSUER}", login.query["state"]);
    let Ok(AuthorizationResponse::Plain(callback)) = AuthorizationResponse::read(&plain) else {
        panic!("{plain}")
    };
    let result = callback.matching(login.pending, &signed.provider, &signed.metadata());
    assert_eq!(result.err(), Some(CallbackError::Unsigned));

    let (result, _) = bring_with(&Stage::new(), |_| {}, Draft::to_text);
    assert_eq!(result.err(), Some(CallbackError::SignedResponse));

    for beside in ["code=c", "state=s", "error=access_denied", "iss=i"] {
        let result = AuthorizationResponse::read(&format!("response=a.b.c&{beside}"));
        assert_eq!(result.err(), Some(CallbackError::UnsignedBeside), "{beside}");
    }
    let twice = AuthorizationResponse::read("response=a&response=b");
    assert_eq!(twice.err(), Some(CallbackError::Repeated { parameter: "response" }));
    let large = AuthorizationResponse::read(&format!("response={}", "a".repeat(128 * 1024)));
    assert_eq!(large.err(), Some(CallbackError::TooLarge { what: "the response" }));
}

/// JARM3: an error is as little to be believed as a code before it is verified.
#[test]
fn an_error_is_verified_as_well() {
    let deny = |response: &mut Draft| {
        response.without("code");
        response.claims["error"] = "access_denied".into();
    };
    let Err(CallbackError::Provider(refusal)) = bring(deny) else { panic!("no error") };
    assert_eq!(refusal.error, RefusalCode::Known(KnownError::AccessDenied));

    let forged = refused(|response| {
        deny(response);
        response.signed_by(&KEYS.stranger, "RS256", "rsa");
    });
    assert_eq!(forged, IdTokenError::Signature);
}

/// JARM2: what is inside counts as much as it would outside.
#[test]
fn the_parameters_inside_are_checked_as_plain_ones() {
    let changes: [(Change, CallbackError); 6] = [
        (|response| response.claims["state"] = "other".into(), CallbackError::StateDiffers),
        (|response| response.without("state"), CallbackError::StateMissing),
        (|response| response.without("code"), CallbackError::NothingGiven),
        (|response| response.claims["code"] = "".into(), CallbackError::MalformedCode),
        (
            |response| response.claims["code"] = json!(["c"]),
            CallbackError::Response(IdTokenError::ClaimMalformed { claim: "code" }),
        ),
        (
            |response| response.claims["code"] = "c".repeat(5000).into(),
            CallbackError::TooLarge { what: "`code`" },
        ),
    ];
    for (change, error) in changes {
        assert_eq!(bring(change).err(), Some(error));
    }
}

/// `FM-03`: the issuer inside is the issuer, also where the provider promises one.
#[test]
fn the_issuer_may_live_inside_alone() {
    let mut stage = asking_for(ResponseMode::Jwt);
    stage.metadata["authorization_response_iss_parameter_supported"] = true.into();
    assert!(bring_with(&stage, |_| {}, Draft::to_text).0.is_ok());
}

/// A token of another kind from the same provider is no response.
#[test]
fn an_id_token_or_another_token_is_no_response() {
    let kind = refused(|response| response.header["typ"] = "at+jwt".into());
    assert_eq!(kind, IdTokenError::Kind);
    let id_token = |response: &mut Draft| {
        response.without("code");
        response.without("state");
        response.claims["sub"] = "ada".into();
    };
    assert_eq!(bring(id_token).err(), Some(CallbackError::NothingGiven));
}

/// JARM §2.2: signed, then encrypted; and required where it was agreed on.
#[test]
fn a_response_may_be_encrypted() {
    let mut stage = asking_for(ResponseMode::Jwt);
    stage.provider.answers.authorization_encryption = Some(encryption());
    stage.provider.decryption_keys = decryption_keys();
    let seal = |draft: &Draft| encrypted(&draft.to_text(), KeyManagement::RsaOaep256);

    assert!(bring_with(&stage, |_| {}, seal).0.is_ok());
    let (plain, _) = bring_with(&stage, |_| {}, Draft::to_text);
    let refused = |error| Some(CallbackError::Response(error));
    assert_eq!(plain.err(), refused(IdTokenError::Encryption(JweError::NotFiveParts)));
    let (not_agreed, _) = bring_with(&asking_for(ResponseMode::Jwt), |_| {}, seal);
    assert_eq!(not_agreed.err(), refused(IdTokenError::Form(JwsError::Encrypted)));
}

/// With HS256 the client secret is the key, and nothing else is.
#[test]
fn a_response_signed_with_another_secret_is_refused() {
    let mut stage = asking_for(ResponseMode::Jwt);
    stage.provider.answers.authorization_signed_response_algs = vec![Algorithm::HS256];
    let header = |response: &mut Draft| response.header = json!({ "alg": "HS256" });
    for (secret, right) in [(crate::stage::CLIENT_SECRET, true), ("", false), ("other", false)] {
        let sign = |draft: &Draft| {
            draft.to_text_signed(&signer::hmac("HS256", secret.as_bytes(), &draft.input()))
        };
        assert_eq!(bring_with(&stage, header, sign).0.is_ok(), right, "{secret}");
    }
}

/// `CB-14`, `CB-19`: the operator may know better than the metadata; what is given is compared in any case.
#[test]
fn the_operator_may_require_the_issuer_or_not() {
    for (rule, promised, given, expected) in [
        (IssuerParameter::Required, false, None, Err(CallbackError::IssuerMissing)),
        (IssuerParameter::Required, false, Some(ISSUER), Ok(())),
        (IssuerParameter::IfPresent, true, None, Ok(())),
        (IssuerParameter::IfPresent, true, Some("other"), Err(CallbackError::IssuerDiffers)),
        (IssuerParameter::ByMetadata, true, None, Err(CallbackError::IssuerMissing)),
        (IssuerParameter::ByMetadata, false, None, Ok(())),
    ] {
        let mut stage = Stage::new();
        stage.provider.answers.issuer = rule;
        stage.metadata["authorization_response_iss_parameter_supported"] = Value::Bool(promised);
        let login = stage.begin();
        let iss = given.map(|iss| format!("&iss={iss}")).unwrap_or_default();
        let query = format!("code=c&state={}{iss}", login.query["state"]);
        let callback = lychgate_oidc::Callback::parse(&query).unwrap();
        let result = callback.matching(login.pending, &stage.provider, &stage.metadata());
        assert_eq!(result.map(drop), expected, "{rule:?} {promised} {given:?}");
    }
}
