//! Staying signed in: a refresh token is traded once, and only the same person comes out.

use std::sync::Arc;

use http::{Request, Response};
use lychgate_oidc::grant::{self, Held};
use lychgate_oidc::{
    Endpoint, ExchangeError, Grant, IdTokenError, KnownError, Lookup, Membership, Read,
    RefusalCode, Secret, SignedIn, Step, SubjectRule, Timestamp, Userinfo,
};
use serde_json::{Value, json};

use crate::signer::KEYS;
use crate::stage::{self, Draft, NOW, Stage, keys, moment};

type Change = fn(&mut Draft);

const HELD: &str = "held-refresh-token";

/// Asks for a newer grant, as the person `ada`.
fn ask(stage: &Stage) -> (Request<Vec<u8>>, lychgate_oidc::Exchange) {
    ask_for(stage, "ada", None)
}

/// Asks for a newer grant of `subject`, whom the ID token called `sub`.
fn ask_for(
    stage: &Stage,
    subject: &str,
    sub: Option<&str>,
) -> (Request<Vec<u8>>, lychgate_oidc::Exchange) {
    let (subject, sub) = (subject.to_owned(), sub.map(str::to_owned));
    let held = Held { refresh_token: Secret::new(HELD), subject, sub };
    let (provider, metadata) = (Arc::new(stage.provider.clone()), Arc::new(stage.metadata()));
    let step = grant::refresh(provider, metadata, held, moment()).unwrap();
    let Step::Ask(request, exchange) = step else { panic!("{step:?}") };
    (request, exchange)
}

/// Refreshes at `stage`, whose token endpoint answers with `body`.
fn refresh(stage: &Stage, body: &Value) -> Result<Box<SignedIn>, ExchangeError> {
    refresh_answered(stage, stage::json(body))
}

fn refresh_answered(
    stage: &Stage,
    response: Response<Vec<u8>>,
) -> Result<Box<SignedIn>, ExchangeError> {
    let (_, exchange) = ask(stage);
    match go_on(stage, exchange, response)? {
        Step::Believe(signed_in) => Ok(signed_in),
        Step::Renewed(..) => panic!("a grant is renewed once"),
        Step::Ask(_, exchange) => {
            let answer = stage::json(&stage.userinfo);
            match exchange.receive(answer, &keys(&stage.keys), moment())? {
                Step::Believe(signed_in) => Ok(signed_in),
                step @ (Step::Ask(..) | Step::NewerKeys(_) | Step::Renewed(..)) => {
                    panic!("{step:?}")
                }
            }
        }
        Step::NewerKeys(waiting) => match waiting.with_keys(&keys(&stage.newer_keys), moment())? {
            Step::Believe(signed_in) => Ok(signed_in),
            step @ (Step::Ask(..) | Step::NewerKeys(_) | Step::Renewed(..)) => panic!("{step:?}"),
        },
    }
}

/// What follows the answer of the token endpoint.
fn go_on(
    stage: &Stage,
    exchange: lychgate_oidc::Exchange,
    response: Response<Vec<u8>>,
) -> Result<Step, ExchangeError> {
    match exchange.receive(response, &keys(&stage.keys), moment())? {
        Step::Renewed(_, renewed) => renewed.go_on(&keys(&stage.keys), moment()),
        step @ (Step::Ask(..) | Step::Believe(_) | Step::NewerKeys(_)) => panic!("{step:?}"),
    }
}

/// An ID token as a refresh brings it: without a nonce.
fn id_token(stage: &Stage, change: impl FnOnce(&mut Draft)) -> String {
    let (login, _) = stage.come_back();
    let mut draft = Draft::new(&login);
    draft.without("nonce");
    change(&mut draft);
    draft.to_text()
}

fn with_id_token(stage: &Stage, change: impl FnOnce(&mut Draft)) -> Value {
    let id_token = id_token(stage, change);
    json!({ "access_token": "newer", "token_type": "Bearer", "expires_in": 300, "id_token": id_token })
}

fn without_id_token() -> Value {
    json!({ "access_token": "newer", "token_type": "Bearer" })
}

/// RFC 6749 §6: the same client authentication as for a code.
#[test]
fn a_refresh_token_is_sent_with_our_client_authentication() {
    let (request, _) = ask(&Stage::new());

    assert_eq!(request.uri(), "https://idp.example/token");
    assert!(request.headers()["authorization"].to_str().unwrap().starts_with("Basic "));
    let body = String::from_utf8(request.into_body()).unwrap();
    assert_eq!(body, format!("grant_type=refresh_token&refresh_token={HELD}"));
}

/// `oidcc-client-test-refresh-token`; RFC 6749 §6: the newest refresh token counts, and the old one where there is
/// no newer (`A-D15`).
#[test]
fn the_newest_refresh_token_is_kept() {
    let stage = Stage::new();
    let rotated = json!({
        "access_token": "newer", "token_type": "bEARER", "refresh_token": "rotated",
    });
    for (body, expected) in [(rotated, "rotated"), (without_id_token(), HELD)] {
        let signed_in = refresh(&stage, &body).unwrap();
        assert_eq!(signed_in.grant.refresh_token(), Some(&Secret::new(expected)));
        assert_eq!(signed_in.grant.access_token(), Some(&Secret::new("newer")));
    }
}

/// `CB-50`: the lifetime is advice, and may be absent or odd.
#[test]
fn an_access_token_lasts_as_long_as_the_provider_says() {
    for (expires_in, expected) in [
        (json!(300), 300),
        (json!("300"), 300),
        (json!(0), 0),
        (Value::Null, 3600),
        (json!("soon"), 3600),
        (json!(-5), 3600),
        (json!(1e300), 3600),
    ] {
        let mut body = without_id_token();
        body["expires_in"] = expires_in.clone();
        let signed_in = refresh(&Stage::new(), &body).unwrap();
        assert_eq!(signed_in.grant.expires_at(), Timestamp::new(NOW + expected), "{expires_in}");
    }
}

/// `H13`, `OC-05`, `oidcc-client-test-refresh-token-invalid-issuer`, `-invalid-sub`; OIDC Core §12.2.
#[test]
fn a_refreshed_id_token_is_measured_like_the_first() {
    let stage = Stage::new();
    let right = refresh(&stage, &with_id_token(&stage, |_| {})).unwrap();
    assert!(right.complete);
    assert_eq!(right.claims.subject(), "ada");

    let other = |draft: &mut Draft| draft.claims["sub"] = "eve".into();
    assert_eq!(
        refresh(&stage, &with_id_token(&stage, other)).unwrap_err(),
        ExchangeError::OtherPerson
    );
    let cases: [(Change, IdTokenError); 4] = [
        (|draft| draft.claims["iss"] = "https://evil.example".into(), IdTokenError::Issuer),
        (|draft| draft.claims["aud"] = "other".into(), IdTokenError::Audience),
        (|draft| draft.key = &KEYS.stranger, IdTokenError::Signature),
        (
            |draft| draft.claims["iat"] = (NOW - 86_400).into(),
            IdTokenError::IssuedTooLongAgo { by: std::time::Duration::from_secs(86_400 - 630) },
        ),
    ];
    for (change, expected) in cases {
        let error = refresh(&stage, &with_id_token(&stage, change)).unwrap_err();
        assert_eq!(error, ExchangeError::IdToken(expected));
    }
}

/// Whoever signed in an hour ago may have their session refreshed: `max_age` is about signing in.
#[test]
fn a_refresh_does_not_ask_when_the_person_last_proved_who_they_are() {
    let mut stage = Stage::new();
    stage.provider.authorization.max_age = Some(60);
    let body = with_id_token(&stage, |draft| draft.claims["auth_time"] = (NOW - 3600).into());
    assert!(refresh(&stage, &body).is_ok());
}

/// `H13`: without an ID token the claims of before are still the person's.
#[test]
fn a_refresh_without_an_id_token_says_who_and_nothing_else() {
    let signed_in = refresh(&Stage::new(), &without_id_token()).unwrap();
    assert!(!signed_in.complete);
    assert_eq!(signed_in.claims.subject(), "ada");
    assert_eq!(signed_in.claims.value("email"), None);
    assert_eq!(signed_in.id_token, None);
}

/// `H12`: what was asked of userinfo at sign-in is asked again, and it speaks of the same person.
#[test]
fn userinfo_is_read_again() {
    let mut stage = Stage::new();
    stage.provider.userinfo = Userinfo::WhenMissing(vec!["groups".to_owned()]);
    stage.userinfo = json!({ "sub": "ada", "groups": ["newer"] });
    let signed_in = refresh(&stage, &without_id_token()).unwrap();
    assert_eq!(signed_in.claims.list("groups"), ["newer"]);

    stage.userinfo = json!({ "sub": "eve", "groups": ["newer"] });
    let error = refresh(&stage, &without_id_token()).unwrap_err();
    assert_eq!(error, ExchangeError::UserinfoSubject);
}

/// `R3`: a refusal and a failure are different things.
#[test]
fn a_refused_refresh_is_told_from_one_that_failed() {
    let stage = Stage::new();
    let mut refused = stage::json(&json!({ "error": "invalid_grant" }));
    *refused.status_mut() = http::StatusCode::BAD_REQUEST;
    let error = refresh_answered(&stage, refused).unwrap_err();
    let ExchangeError::TokenGrantRefused(refusal) = error else { panic!("{error:?}") };
    assert_eq!(refusal.error, RefusalCode::Known(KnownError::InvalidGrant));

    let mut failed = stage::json(&json!({}));
    *failed.status_mut() = http::StatusCode::BAD_GATEWAY;
    let error = refresh_answered(&stage, failed).unwrap_err();
    assert!(matches!(error, ExchangeError::Status { .. }), "{error:?}");

    let nothing = refresh(&stage, &json!({ "token_type": "Bearer" })).unwrap_err();
    assert_eq!(nothing, ExchangeError::MemberMissing { member: "access_token" });
}

/// RFC 7009 §2.1; RFC 9700 §4.14.
#[test]
fn a_grant_is_given_back_where_the_provider_takes_it() {
    let mut stage = Stage::new();
    let grant = refresh(&stage, &without_id_token()).unwrap().grant;
    let revoke = |stage: &Stage, grant: &Grant| {
        grant::revocation(&stage.provider, &stage.metadata(), grant, moment())
    };
    assert!(revoke(&stage, &grant).is_none());

    stage.metadata["revocation_endpoint"] = "https://idp.example/revoke".into();
    let request = revoke(&stage, &grant).unwrap();
    assert_eq!(request.uri(), "https://idp.example/revoke");
    assert!(request.headers().contains_key("authorization"));
    let body = String::from_utf8(request.into_body()).unwrap();
    assert_eq!(body, format!("token={HELD}&token_type_hint=refresh_token"));
}

#[test]
fn a_grant_is_written_down_whole_and_printed_not_at_all() {
    let grant = refresh(&Stage::new(), &without_id_token()).unwrap().grant;
    let written = serde_json::to_string(&grant).unwrap();
    assert_eq!(serde_json::from_str::<Grant>(&written).unwrap(), grant);
    let shown = format!("{grant:?}");
    assert!(!shown.contains("newer") && !shown.contains(HELD), "{shown}");
}

/// A provider whose API tells groups, and of which only the group `staff` may enter.
fn members_only() -> Stage {
    let mut stage = Stage::new();
    let reads = vec![Read::every("groups", "", "{slug}")];
    stage.provider.manner.lookups =
        vec![Lookup::get("groups", "https://api.example/groups", reads)];
    stage.provider.manner.memberships =
        vec![Membership::of("groups", "groups", &["staff".to_owned()])];
    stage
}

/// Refreshes at `stage`, and answers the lookup that follows with `groups`.
fn refresh_looked_up(
    stage: &Stage,
    body: &Value,
    groups: &Value,
) -> Result<Box<SignedIn>, ExchangeError> {
    let (_, exchange) = ask(stage);
    let step = go_on(stage, exchange, stage::json(body))?;
    let Step::Ask(request, exchange) = step else { panic!("{step:?}") };
    assert_eq!(exchange.endpoint(), Endpoint::Lookup);
    assert_eq!(request.headers()["authorization"], "Bearer newer");
    match exchange.receive(stage::json(groups), &keys(&stage.keys), moment())? {
        Step::Believe(signed_in) => Ok(signed_in),
        step @ (Step::Ask(..) | Step::NewerKeys(_) | Step::Renewed(..)) => panic!("{step:?}"),
    }
}

/// H12: what an API told at sign-in is asked of it again, with the newer access token.
#[test]
fn memberships_are_read_again_at_every_refresh() {
    let stage = members_only();
    let lost = ExchangeError::MembershipRequired { lacking: vec!["groups".to_owned()], hint: None };
    for body in [with_id_token(&stage, |_| ()), without_id_token()] {
        let still = refresh_looked_up(&stage, &body, &json!([{ "slug": "staff" }])).unwrap();
        assert_eq!(still.claims.list("groups"), ["staff"]);
        for gone in [json!([]), json!([{ "slug": "guests" }])] {
            let refused = refresh_looked_up(&stage, &body, &gone).err();
            assert_eq!(refused, Some(lost.clone()), "{gone}");
        }
    }
}

/// H12: an empty list of an API that was asked is an empty list, and not one that nobody spoke of.
#[test]
fn a_list_that_an_api_no_longer_has_is_empty_after_a_refresh() {
    let mut stage = members_only();
    stage.provider.manner.memberships.clear();

    let signed_in = refresh_looked_up(&stage, &without_id_token(), &json!([])).unwrap();

    assert!(!signed_in.complete);
    assert_eq!(signed_in.claims.value("groups"), Some(&json!([])));
}

/// A refresh without an ID token says nothing about what only an ID token says.
#[test]
fn a_membership_of_which_a_refresh_says_nothing_is_not_judged() {
    let mut stage = Stage::new();
    let domain = Membership::of("hosted_domain", "hd", &["example.com".to_owned()]);
    stage.provider.manner.memberships = vec![Membership { in_id_token: true, ..domain }];

    assert!(refresh(&stage, &without_id_token()).is_ok());
    assert!(refresh(&stage, &with_id_token(&stage, |_| ())).is_err());
    let elsewhere = with_id_token(&stage, |draft| draft.claims["hd"] = json!("example.org"));
    assert!(refresh(&stage, &elsewhere).is_err());
    let at_home = with_id_token(&stage, |draft| draft.claims["hd"] = json!("example.com"));
    assert!(refresh(&stage, &at_home).is_ok());
}

/// What was renewed is told before anything is asked with it: whatever fails then, the token of before is used up.
#[test]
fn a_renewed_grant_is_told_before_anything_else_can_fail() {
    let mut stage = Stage::new();
    // A lookup that cannot be asked after a refresh: nothing says the claim that its address needs.
    let reads = vec![Read::one("team", "team")];
    stage.provider.manner.lookups =
        vec![Lookup::get("team", "https://api.example/{claims.nickname}", reads)];
    let rotated = json!({
        "access_token": "newer", "token_type": "Bearer", "refresh_token": "rotated",
    });
    let (_, exchange) = ask(&stage);

    let step = exchange.receive(stage::json(&rotated), &keys(&stage.keys), moment()).unwrap();
    let Step::Renewed(grant, renewed) = step else { panic!("{step:?}") };

    assert_eq!(grant.refresh_token(), Some(&Secret::new("rotated")));
    let error = renewed.go_on(&keys(&stage.keys), moment()).unwrap_err();
    assert!(matches!(error, ExchangeError::Lookup { .. }), "{error:?}");
}

/// Whoever is known by another claim than `sub` stays who they are where a refresh does not say that claim again, and
/// is nobody else where it does.
#[test]
fn a_refresh_keeps_a_subject_that_is_another_claim() {
    let mut stage = Stage::new();
    stage.provider.answers.subject = SubjectRule::Claim("employee".to_owned());
    stage.provider.userinfo = Userinfo::Always;
    let mut refresh = |sub: Option<&str>, userinfo: Value| {
        stage.userinfo = userinfo;
        let (_, exchange) = ask_for(&stage, "E-17", sub);
        let step = go_on(&stage, exchange, stage::json(&without_id_token()))?;
        let Step::Ask(_, exchange) = step else { panic!("{step:?}") };
        let answer = stage::json(&stage.userinfo);
        match exchange.receive(answer, &keys(&stage.keys), moment())? {
            Step::Believe(signed_in) => Ok(signed_in.claims.subject().to_owned()),
            step @ (Step::Ask(..) | Step::NewerKeys(_) | Step::Renewed(..)) => panic!("{step:?}"),
        }
    };

    for sub in [Some("ada"), None] {
        for said in [json!({ "sub": "ada" }), json!({ "sub": "ada", "employee": "E-17" })] {
            assert_eq!(refresh(sub, said.clone()), Ok("E-17".to_owned()), "{sub:?} {said}");
        }
        let other = refresh(sub, json!({ "sub": "ada", "employee": "E-18" }));
        assert_eq!(other, Err(ExchangeError::OtherPerson), "{sub:?}");
    }
    let other = refresh(Some("ada"), json!({ "sub": "eve", "employee": "E-17" }));
    assert_eq!(other, Err(ExchangeError::UserinfoSubject));
}

/// A pseudonym is the one that was given at sign-in, whatever the provider calls the person.
#[test]
fn a_refresh_keeps_a_pseudonym() {
    let mut stage = Stage::new();
    stage.provider.answers.subject = SubjectRule::Pseudonymous;
    stage.provider.userinfo = Userinfo::Always;
    stage.userinfo = json!({ "sub": "ada", "groups": ["newer"] });
    let (_, exchange) = ask_for(&stage, "pseudonym", None);
    let step = go_on(&stage, exchange, stage::json(&without_id_token())).unwrap();
    let Step::Ask(_, exchange) = step else { panic!("{step:?}") };

    let step = exchange.receive(stage::json(&stage.userinfo), &keys(&stage.keys), moment());
    let Ok(Step::Believe(signed_in)) = step else { panic!("{step:?}") };

    assert_eq!(signed_in.claims.subject(), "pseudonym");
    assert_eq!(signed_in.claims.text("sub"), Some("pseudonym"));
    assert_eq!(signed_in.claims.list("groups"), ["newer"]);
}
