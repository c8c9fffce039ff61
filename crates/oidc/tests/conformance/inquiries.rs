//! Questions beyond the standards: what is asked, what is believed of the answers, and when a sign-in ends.

use std::collections::VecDeque;
use std::sync::Arc;

use http::{Request, Response};
use lychgate_oidc::{
    Condition, Endpoint, ExchangeError, Lookup, LookupError, LookupToken, Membership, Paging,
    Quirk, Read, ReadValue, SignedIn, Step, When,
};
use serde_json::{Value, json};

use crate::stage::{self, ACCESS_TOKEN, Draft, Stage, answer, keys, moment};

/// A sign-in, and every question after the one for tokens.
pub(crate) struct Told {
    pub(crate) result: Result<Box<SignedIn>, ExchangeError>,
    pub(crate) asked: Vec<Request<Vec<u8>>>,
}

impl Told {
    pub(crate) fn signed_in(self) -> SignedIn {
        *self.result.unwrap_or_else(|error| panic!("{error:?}"))
    }

    pub(crate) fn error(self) -> ExchangeError {
        self.result.map(|signed_in| panic!("{signed_in:?}")).unwrap_err()
    }

    fn urls(&self) -> Vec<String> {
        self.asked.iter().map(|request| request.uri().to_string()).collect()
    }
}

/// Signs in with a right ID token and these answers to the questions after it, in order.
pub(crate) fn answered(stage: &Stage, answers: Vec<Response<Vec<u8>>>) -> Told {
    answered_with(stage, |_| (), answers)
}

/// As [`answered`], with a changed ID token.
pub(crate) fn answered_with(
    stage: &Stage,
    change: impl FnOnce(&mut Draft),
    answers: Vec<Response<Vec<u8>>>,
) -> Told {
    let (login, _, exchange) = stage.redeem();
    let mut draft = Draft::new(&login);
    change(&mut draft);
    let first = stage::token_answer(&draft.to_text());
    let mut step = exchange.receive(first, &keys(&stage.keys), moment());
    let mut answers = VecDeque::from(answers);
    let mut asked = Vec::new();
    loop {
        step = match step {
            Ok(Step::Ask(request, exchange)) => {
                asked.push(request);
                let answer = answers.pop_front().expect("no question beyond these answers");
                exchange.receive(answer, &keys(&stage.keys), moment())
            }
            Ok(Step::NewerKeys(_)) => panic!("the keys are known"),
            Ok(Step::Renewed(..)) => panic!("a login renews nothing"),
            Ok(Step::Believe(signed_in)) => {
                assert!(answers.is_empty(), "every answer was asked for");
                return Told { result: Ok(signed_in), asked };
            }
            Err(error) => return Told { result: Err(error), asked },
        };
    }
}

/// A stage on which these lookups are made.
fn asking(lookups: Vec<Lookup>) -> Stage {
    let mut stage = Stage::new();
    stage.provider.manner.lookups = lookups;
    stage
}

/// A stage without ID tokens, where `/me` says who somebody is.
fn without_id_token() -> Stage {
    let reads = vec![Read::one("sub", "id"), Read::one("name", "name")];
    let mut stage = asking(vec![Lookup::get("me", "https://api.example/me", reads)]);
    stage.provider.id_token.required = false;
    stage
}

fn groups() -> Lookup {
    let reads = vec![Read::every("groups", "", "{slug}")];
    Lookup { paging: Paging::Link, ..Lookup::get("groups", "https://api.example/groups", reads) }
}

fn page(items: &[&str], next: Option<&str>) -> Response<Vec<u8>> {
    let items: Vec<Value> = items.iter().map(|slug| json!({ "slug": slug })).collect();
    let mut response = stage::json(&Value::Array(items));
    if let Some(next) = next {
        let link = format!("<{next}>; rel=\"next\"").parse().unwrap();
        response.headers_mut().insert("link", link);
    }
    response
}

#[test]
fn the_token_goes_into_a_header_and_nowhere_else() {
    let mut lookup = groups();
    lookup.headers = vec![("X-Version".to_owned(), "2".to_owned())];
    lookup.token = LookupToken::Scheme("token".to_owned());
    let told = answered(&asking(vec![lookup]), vec![page(&["works"], None)]);

    let request = &told.asked[0];
    assert_eq!(request.method(), "GET");
    assert_eq!(request.uri(), "https://api.example/groups");
    assert_eq!(request.headers()["authorization"], format!("token {ACCESS_TOKEN}"));
    assert!(request.headers()["authorization"].is_sensitive());
    assert_eq!(request.headers()["x-version"], "2");
    assert_eq!(request.extensions().get(), Some(&Endpoint::Lookup));
    assert_eq!(told.signed_in().claims.list("groups"), ["works"]);
}

#[test]
fn a_vendor_that_reads_the_token_in_the_query_gets_it_there() {
    let token = LookupToken::Query("access_token".to_owned());
    let next = "https://api.example/groups?page=2";
    let stage = asking(vec![Lookup { token, ..groups() }]);
    let told = answered(&stage, vec![page(&["a"], Some(next)), page(&["b"], None)]);

    assert_eq!(
        told.urls(),
        [
            format!("https://api.example/groups?access_token={ACCESS_TOKEN}"),
            format!("{next}&access_token={ACCESS_TOKEN}"),
        ]
    );
    assert!(!told.asked[0].headers().contains_key("authorization"));
}

#[test]
fn a_question_with_a_body_is_posted_as_json() {
    let body = r#"{"query":"{ me { id } }"}"#;
    let lookup = Lookup {
        body: Some(body.to_owned()),
        ..Lookup::get("me", "https://api.example/query", vec![Read::one("team", "data.me.id")])
    };
    let good = answered(
        &asking(vec![lookup.clone()]),
        vec![stage::json(&json!({ "data": { "me": { "id": 7 } } }))],
    );
    assert_eq!(good.asked[0].method(), "POST");
    assert_eq!(good.asked[0].headers()["content-type"], "application/json");
    assert_eq!(good.asked[0].body(), body.as_bytes());
    assert_eq!(good.signed_in().claims.list("team"), ["7"]);

    let refused = json!({ "data": null, "errors": [{ "message": "no" }] });
    let refused = answered(&asking(vec![lookup]), vec![stage::json(&refused)]);
    assert_eq!(refused.error(), failed("me", LookupError::Errors));
}

fn failed(name: &str, source: LookupError) -> ExchangeError {
    ExchangeError::Lookup { name: name.to_owned(), source }
}

#[test]
fn an_answer_adds_to_what_is_known_and_replaces_nothing() {
    let reads = ["iss", "sub", "aud", "nonce", "exp", "email", "email_verified", "name"]
        .map(|claim| Read::one(claim, claim))
        .into_iter()
        .chain([Read::every("groups", "groups", "{}"), Read::every("acr", "groups", "{}")]);
    let lookup = Lookup::get("me", "https://api.example/me", reads.collect());
    let answer = json!({
        "iss": "https://evil.example", "sub": "root", "aud": "x", "nonce": "x", "exp": 1,
        "email": "root@example.com", "email_verified": true, "name": "Ada", "groups": ["b", "c", "b"],
    });
    let told = answered_with(
        &asking(vec![lookup]),
        |draft| {
            draft.claims["email"] = "ada@example.com".into();
            draft.claims["groups"] = json!(["a", "b"]);
        },
        vec![stage::json(&answer)],
    );

    let claims = told.signed_in().claims;
    assert_eq!((claims.issuer(), claims.subject()), (stage::ISSUER, "ada"));
    assert_eq!(claims.text("email"), Some("ada@example.com"));
    // It was said of another address.
    assert_eq!(claims.value("email_verified"), None);
    assert_eq!(claims.text("name"), Some("Ada"));
    assert_eq!(claims.list("groups"), ["a", "b", "c"]);
    assert_eq!(claims.value("acr"), None);
    assert_eq!(claims.text("sub"), Some("ada"));
}

#[test]
fn pages_are_read_to_their_end_at_one_origin() {
    let next = "https://api.example/groups?page=2";
    let told =
        answered(&asking(vec![groups()]), vec![page(&["a"], Some(next)), page(&["b"], None)]);
    assert_eq!(told.urls(), ["https://api.example/groups", next]);
    assert_eq!(told.signed_in().claims.list("groups"), ["a", "b"]);

    let elsewhere = page(&["a"], Some("https://evil.example/groups?page=2"));
    let told = answered(&asking(vec![groups()]), vec![elsewhere]);
    assert_eq!(told.asked.len(), 1);
    assert_eq!(told.error(), failed("groups", LookupError::PageElsewhere));
}

/// CB-34: what never ends is ended, and is not taken for all there is.
#[test]
fn no_more_is_read_than_twenty_pages_two_thousand_values_and_a_mebibyte() {
    let next = Some("https://api.example/groups?page=n");
    let pages = (0..20).map(|_| page(&["a"], next)).collect();
    let told = answered(&asking(vec![groups()]), pages);
    assert_eq!(told.asked.len(), 20);
    assert_eq!(told.error(), failed("groups", LookupError::TooMuch));

    let many: Vec<String> = (0..2001).map(|number| number.to_string()).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let told = answered(&asking(vec![groups()]), vec![page(&many, next)]);
    assert_eq!(told.error(), failed("groups", LookupError::TooMuch));
    let told = answered(&asking(vec![groups()]), vec![page(&many, None)]);
    assert_eq!(told.error(), failed("groups", LookupError::TooMuch));

    let long = answer(200, "application/json", format!("[{}]", " ".repeat(1024 * 1024)));
    let told = answered(&asking(vec![groups()]), vec![long]);
    assert_eq!(told.error(), failed("groups", LookupError::TooMuch));
}

#[test]
fn anything_but_an_answer_ends_the_sign_in() {
    let html = answer(200, "text/html", "<html>");
    let not_found = LookupError::Status(http::StatusCode::NOT_FOUND);
    let redirect = LookupError::Status(http::StatusCode::FOUND);
    for (response, error) in [
        (html, LookupError::NotDeclaredJson),
        (answer(404, "application/json", "[]"), not_found),
        (answer(302, "application/json", "[]"), redirect),
    ] {
        let told = answered(&asking(vec![groups()]), vec![response]);
        assert_eq!(told.error(), failed("groups", error));
    }
    for body in ["", "[", r#"[{"slug": "a", "slug": "b"}]"#] {
        let told = answered(&asking(vec![groups()]), vec![answer(200, "application/json", body)]);
        let error = told.error();
        let unreadable =
            matches!(&error, ExchangeError::Lookup { source: LookupError::Json(_), .. });
        assert!(unreadable, "{body}: {error:?}");
    }
}

#[test]
fn a_busy_provider_is_a_failure_of_its_own() {
    let with = |status, header: Option<(&'static str, &'static str)>, body: &str| {
        let mut response = answer(status, "application/json", body);
        if let Some((name, value)) = header {
            response.headers_mut().insert(name, value.parse().unwrap());
        }
        response
    };
    let google = r#"{"error":{"errors":[{"reason":"quotaExceeded"}]}}"#;
    let facebook = r#"{"error":{"code":4}}"#;
    // Even a question whose answer may be missing, or may be 403, is not passed over.
    let optional = Lookup { required: false, nothing: vec![403], ..groups() };
    for (response, retry_after) in [
        (with(429, None, ""), None),
        (with(429, Some(("retry-after", "30")), ""), Some(30)),
        (with(429, Some(("retry-after", "999999")), ""), Some(3600)),
        (with(403, Some(("x-ratelimit-remaining", "0")), "{}"), None),
        (with(403, Some(("retry-after", "60")), "{}"), Some(60)),
        (with(403, None, google), None),
        (with(400, None, facebook), None),
    ] {
        let told = answered(&asking(vec![optional.clone()]), vec![response]);
        let limited = ExchangeError::RateLimited { name: "groups".to_owned(), retry_after };
        assert_eq!(told.error(), limited);
    }
    let told = answered(
        &asking(vec![optional]),
        vec![with(403, Some(("x-ratelimit-remaining", "9")), "{}")],
    );
    assert!(told.signed_in().claims.list("groups").is_empty());
}

#[test]
fn a_status_can_say_that_there_is_nothing_but_not_on_a_later_page() {
    let member = Lookup {
        nothing: vec![404],
        ..Lookup::get(
            "member",
            "https://api.example/m",
            vec![Read::fact("groups", "gate", &[Condition::is("active", true)])],
        )
    };
    let not_found = || answer(404, "text/html", "");
    assert!(
        answered(&asking(vec![member.clone()]), vec![not_found()])
            .signed_in()
            .claims
            .list("groups")
            .is_empty()
    );
    for (body, expected) in [
        (json!({ "active": true }), &["gate"][..]),
        (json!({ "active": "true" }), &[]),
        (json!({ "active": false }), &[]),
        (json!({}), &[]),
        (json!([]), &[]),
    ] {
        let told = answered(&asking(vec![member.clone()]), vec![stage::json(&body)]);
        assert_eq!(told.signed_in().claims.list("groups"), expected, "{body}");
    }
    let listed = Lookup { nothing: vec![404], ..groups() };
    let next = page(&["a"], Some("https://api.example/groups?page=2"));
    let told = answered(&asking(vec![listed]), vec![next, not_found()]);
    assert_eq!(told.error(), failed("groups", LookupError::Status(http::StatusCode::NOT_FOUND)));
}

#[test]
fn an_optional_question_may_fail_and_a_required_one_may_not() {
    let broken = || answer(500, "text/html", "");
    let optional = Lookup { required: false, ..groups() };
    assert!(answered(&asking(vec![optional]), vec![broken()]).result.is_ok());
    assert!(answered(&asking(vec![groups()]), vec![broken()]).result.is_err());

    let filled = |required| Lookup {
        required,
        ..Lookup::get("x", "https://api.example/{claims.email}", vec![Read::one("x", "x")])
    };
    let told = answered(&asking(vec![filled(false)]), vec![]);
    assert!(told.asked.is_empty());
    let unknown = LookupError::ClaimUnknown { claim: "email".to_owned() };
    assert_eq!(answered(&asking(vec![filled(true)]), vec![]).error(), failed("x", unknown));
}

#[test]
fn a_question_is_asked_when_it_should_be() {
    let present = When::Present("_claim_names.groups".to_owned());
    for (when, claims, asked) in [
        (When::Always, json!({}), true),
        (When::Missing("groups".to_owned()), json!({}), true),
        (When::Missing("groups".to_owned()), json!({ "groups": [] }), false),
        (present.clone(), json!({ "_claim_names": { "groups": "src1" } }), true),
        (present, json!({ "_claim_names": { "other": "src1" } }), false),
        (When::AfterStatus(400), json!({}), false),
    ] {
        let stage = asking(vec![Lookup { when: when.clone(), ..groups() }]);
        let answers = if asked { vec![page(&["a"], None)] } else { vec![] };
        let told = answered_with(
            &stage,
            |draft| {
                draft.claims.as_object_mut().unwrap().extend(claims.as_object().unwrap().clone())
            },
            answers,
        );
        assert_eq!(told.asked.len(), usize::from(asked), "{when:?}");
        assert!(told.result.is_ok());
    }
}

#[test]
fn a_later_question_is_filled_with_what_an_earlier_one_found() {
    let user = Lookup::get("user", "https://api.example/user", vec![Read::one("login", "login")]);
    let teams = Lookup::get(
        "teams",
        "https://api.example/users/{claims.login}/teams",
        vec![Read::every("groups", "", "{org.login}/{slug}")],
    );
    let told = answered(
        &asking(vec![user, teams]),
        vec![
            stage::json(&json!({ "login": "a/../b" })),
            stage::json(
                &json!([{ "org": { "login": "works" }, "slug": "gate" }, { "slug": "lost" }]),
            ),
        ],
    );

    assert_eq!(told.urls()[1], "https://api.example/users/a%2F..%2Fb/teams");
    assert_eq!(told.signed_in().claims.list("groups"), ["works/gate"]);
}

#[test]
fn the_first_item_that_fits_is_read() {
    let ours = [Condition::is("primary", true), Condition::is("verified", true)];
    let address = ReadValue::Path("email".to_owned());
    let lookup = Lookup::get(
        "emails",
        "https://api.example/emails",
        vec![
            Read::first("email", "", address, &ours),
            Read::first("email_verified", "", ReadValue::Fixed(true.into()), &ours),
        ],
    );
    let entry = |email: &str, primary: bool, verified: bool| json!({ "email": email, "primary": primary, "verified": verified });
    let body = json!([
        entry("a@x", true, false),
        entry("b@x", false, true),
        entry("c@x", true, true),
        entry("d@x", true, true)
    ]);
    let told = answered(&asking(vec![lookup.clone()]), vec![stage::json(&body)]);
    let claims = told.signed_in().claims;
    assert_eq!((claims.text("email"), claims.is_true("email_verified")), (Some("c@x"), true));

    let body = json!([entry("a@x", true, false)]);
    let claims = answered(&asking(vec![lookup]), vec![stage::json(&body)]).signed_in().claims;
    assert_eq!((claims.value("email"), claims.value("email_verified")), (None, None));
}

/// House 3.5: without an ID token, the provider's own endpoint says who it is.
#[test]
fn without_an_id_token_a_question_says_who_somebody_is() {
    let stage = without_id_token();
    let claims =
        answered(&stage, vec![stage::json(&json!({ "id": 83104, "name": "Ada" }))]).signed_in();
    assert_eq!(claims.claims.subject(), "83104");
    assert_eq!(claims.claims.issuer(), stage::ISSUER);
    assert_eq!(claims.id_token, None);

    let missing = ExchangeError::SubjectMissing;
    for id in [
        json!(null),
        json!(""),
        json!([7]),
        json!({}),
        json!("ä"),
        json!("a\nb"),
        json!("x".repeat(256)),
    ] {
        let told = answered(&stage, vec![stage::json(&json!({ "id": id }))]);
        assert_eq!(told.error(), missing, "{id}");
    }
}

/// CB-55: an ID token that was not expected is not even looked at.
#[test]
fn an_unexpected_id_token_is_not_trusted() {
    let told = answered_with(
        &without_id_token(),
        |draft| draft.claims = json!({ "sub": "root", "groups": ["admin"] }),
        vec![stage::json(&json!({ "id": "ada" }))],
    );

    let claims = told.signed_in().claims;
    assert_eq!(claims.subject(), "ada");
    assert!(claims.list("groups").is_empty());
}

#[test]
fn vendors_answer_the_token_request_in_their_own_manner() {
    let mut stage = without_id_token();
    let receive = |stage: &Stage, response: Response<Vec<u8>>| {
        let (_, _, exchange) = stage.redeem();
        let step = exchange.receive(response, &keys(&stage.keys), moment())?;
        let Step::Ask(request, _) = step else { panic!("{step:?}") };
        Ok::<_, ExchangeError>(request.headers()["authorization"].to_str().unwrap().to_owned())
    };
    let form = || {
        answer(
            200,
            "application/x-www-form-urlencoded",
            "access_token=gho_1&scope=a%2Cb&token_type=bearer",
        )
    };
    let typeless = || stage::json(&json!({ "access_token": "gho_1" }));
    assert!(receive(&stage, form()).is_err());
    assert!(receive(&stage, typeless()).is_err());

    stage.provider.manner.quirks = vec![Quirk::VendorTokenAnswer];
    assert_eq!(receive(&stage, form()).unwrap(), "Bearer gho_1");
    assert_eq!(receive(&stage, typeless()).unwrap(), "Bearer gho_1");
    let twice = answer(200, "text/plain", "access_token=a&access_token=b");
    assert!(receive(&stage, twice).is_err());
    let mac = stage::json(&json!({ "access_token": "a", "token_type": "mac" }));
    assert_eq!(receive(&stage, mac), Err(ExchangeError::TokenType));

    let stated = |state: &str| stage::json(&json!({ "access_token": "b", "state": state }));
    let grant = "authorization_code";
    assert_eq!(receive(&stage, stated(grant)), Err(ExchangeError::StateDiffers));
    stage.provider.manner.quirks.push(Quirk::StateNamesGrant);
    assert_eq!(receive(&stage, stated(grant)).unwrap(), "Bearer b");
    assert_eq!(receive(&stage, stated("another login's")), Err(ExchangeError::StateDiffers));
    stage.provider.manner.quirks.pop();

    for (code, is_grant) in
        [("bad_verification_code", true), ("incorrect_client_credentials", false)]
    {
        let refused = answer(200, "application/x-www-form-urlencoded", format!("error={code}"));
        let error = receive(&stage, refused).unwrap_err();
        let fits = match is_grant {
            true => matches!(error, ExchangeError::TokenGrantRefused(_)),
            false => matches!(error, ExchangeError::TokenClientRefused(_)),
        };
        assert!(fits, "{error:?}");
    }
}

#[test]
fn whoever_is_no_member_is_not_believed() {
    let mut stage = asking(vec![groups()]);
    stage.provider.manner.membership_hint = Some("Ask an owner.".to_owned());
    stage.provider.manner.memberships =
        vec![Membership::of("organizations", "groups", &["works".to_owned()])];

    assert!(answered(&stage, vec![page(&["works"], None)]).result.is_ok());
    let refused = ExchangeError::MembershipRequired {
        lacking: vec!["organizations".to_owned()],
        hint: Some("Ask an owner.".to_owned()),
    };
    assert_eq!(answered(&stage, vec![page(&["Works", "works2"], None)]).error(), refused);
    assert_eq!(answered(&stage, vec![page(&[], None)]).error(), refused);
    stage.provider.manner.lookups[0].nothing = vec![404];
    assert_eq!(answered(&stage, vec![answer(404, "text/html", "")]).error(), refused);
}

#[test]
fn what_the_id_token_has_to_say_no_other_answer_can() {
    let reads = vec![Read::one("hd", "hd")];
    let mut stage = asking(vec![Lookup::get("me", "https://api.example/me", reads)]);
    let domain = Membership::of("hosted_domain", "hd", &["example.com".to_owned()]);
    stage.provider.manner.memberships = vec![Membership { in_id_token: true, ..domain }];

    let told = answered(&stage, vec![stage::json(&json!({ "hd": "example.com" }))]);
    assert!(told.asked.is_empty(), "nobody is asked about somebody who does not get in");
    assert!(matches!(told.error(), ExchangeError::MembershipRequired { .. }));
    let member = |draft: &mut Draft| draft.claims["hd"] = "example.com".into();
    let answers = vec![stage::json(&json!({}))];
    assert!(answered_with(&stage, member, answers).result.is_ok());
}

#[test]
fn a_question_in_flight_shows_no_token() {
    let stage = asking(vec![groups()]);
    let (login, _, exchange) = stage.redeem();
    let token = stage::token_answer(&Draft::new(&login).to_text());
    let step = exchange.receive(token, &keys(&stage.keys), moment()).unwrap();

    assert!(!format!("{step:?}").contains(ACCESS_TOKEN));
    let provider = Arc::new(stage.provider);
    assert!(!format!("{provider:?}").contains(ACCESS_TOKEN));
}
