//! Signing in with the development provider, in fair weather and in foul.

use std::net::SocketAddr;
use std::time::Duration;

use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use lychgate_demo::provider::{
    ClaimsIn, Edit, ParameterEdit, Provider, ProviderOptions, RawAnswer, Tamper,
};
use lychgate_demo::{Algorithm, Fault};
use lychgate_tests::cast::gate::{Gate, free_port};
use lychgate_tests::cast::house::{House, Plan, standard};
use lychgate_tests::cast::scratch::Scratch;
use lychgate_tests::cast::upstream::{Script, Upstream};
use lychgate_tests::cast::visitor::{Answer, Visitor};
use serde_json::json;

/// CB-33, CB-38, F7, the deep link: path and query come back as they were, and the application learns who came.
#[tokio::test]
async fn a_person_comes_back_to_the_very_page_that_they_wanted() {
    let house = House::open().await;
    let bob = house.visitor();

    let page = bob.signs_in_as("bob", "/deep/link?tab=2&q=a%2Fb+c&q=%C3%A4").await;

    assert_eq!(page.status, 200);
    assert!(page.text().contains("Hello, bob"), "{}", page.text());
    let requests = house.application.requests();
    assert_eq!(requests.len(), 1, "{requests:?}");
    assert_eq!(
        (requests[0].path.as_str(), requests[0].query.as_str()),
        ("/deep/link", "tab=2&q=a%2Fb+c&q=%C3%A4")
    );
    for (name, expected) in [
        ("x-forwarded-user", "bob"),
        ("x-forwarded-preferred-username", "bob"),
        ("x-forwarded-email", "bob@demo.example"),
        ("x-forwarded-groups", "engineering"),
        ("x-forwarded-host", house.host()),
        ("x-forwarded-proto", "http"),
    ] {
        assert_eq!(requests[0].header(name), Some(expected), "{name}");
    }
}

/// CB-33, CB-49, F4, F7, L7: nothing that must stay secret goes through the browser, and the provider is asked once.
#[tokio::test]
async fn the_provider_is_asked_once_and_told_no_more_than_it_needs() {
    let house = House::open().await;

    let bob = house.signed_in("bob").await;

    let requests = house.provider.requests();
    let authorizations: Vec<_> =
        requests.iter().filter(|request| request.path == "/authorize").collect();
    let asked = |name: &str| authorizations[0].query_parameter(name).unwrap_or_default();
    assert_eq!(asked("response_type"), "code");
    assert_eq!(asked("code_challenge_method"), "S256");
    assert_eq!(asked("redirect_uri"), format!("{}/.lychgate/callback", house.gate.url()));
    assert!(asked("state").len() >= 22 && asked("nonce").len() >= 22, "128 bits each");
    assert_ne!(asked("state"), asked("nonce"));
    let tokens: Vec<_> = requests.iter().filter(|request| request.path == "/token").collect();
    assert_eq!(tokens.len(), 1);
    let verifier = tokens[0].form_parameter("code_verifier").unwrap_or_default();
    assert!((43..=128).contains(&verifier.len()), "{verifier}");
    assert_eq!(tokens[0].header("cookie"), None);
    assert!(tokens[0].headers.iter().all(|(name, _)| !name.starts_with("x-")), "{:?}", tokens[0]);
    let session = bob.cookie("lychgate").unwrap_or_default();
    assert!(!session.contains(&asked("state")) && !session.contains(&verifier));
}

/// G4, CB-50: every algorithm that is accepted is really verified with.
#[tokio::test]
async fn an_id_token_is_believed_under_every_algorithm_with_a_public_key() {
    let house = House::open().await;
    for algorithm in Algorithm::ALL.into_iter().filter(|it| *it != Algorithm::Hs256) {
        house.provider.set(|control| control.signing = algorithm);

        let page = house.visitor().signs_in_as("alice", "/").await;

        assert_eq!(page.status, 200, "{}: {}", algorithm.name(), page.text());
    }
}

/// G3: a secret as the key only where the operator said so.
#[tokio::test]
async fn an_id_token_under_the_client_secret_is_believed_only_where_the_operator_said_so() {
    let expecting = House::with("providers.demo.id_token_signed_response_alg = \"HS256\"").await;
    let not_expecting = House::open().await;
    for house in [&expecting, &not_expecting] {
        house.provider.set(|control| control.signing = Algorithm::Hs256);
    }

    let good = expecting.visitor().signs_in_as("alice", "/").await;
    let bad = not_expecting.visitor().signs_in_as("alice", "/").await;

    assert_eq!(good.status, 200, "{}", good.text());
    assert_eq!(bad.reason(), "signature_invalid");
}

/// F10: each tab lands on its own page, in whatever order they finish.
#[tokio::test]
async fn tabs_that_finish_in_reverse_order_each_land_on_their_own_page() {
    let house = House::open().await;
    let bob = house.visitor();
    let mut callbacks = Vec::new();
    for tab in 1..=5 {
        callbacks.push((tab, bob.comes_back_as("bob", &format!("/tab/{tab}")).await));
    }

    for (tab, callback) in callbacks.into_iter().rev() {
        let answer = bob.opens(callback.as_str()).await;

        let page = bob.follows(answer).await;
        assert_eq!(
            (page.status, page.url.path()),
            (StatusCode::OK, format!("/tab/{tab}").as_str())
        );
    }
    let left: Vec<_> =
        bob.cookies().into_iter().filter(|(name, _)| name.contains("login")).collect();
    assert_eq!(left, [], "every login was forgotten");
}

/// R20, F10: an impatient person does not fill the browser; the oldest login goes first.
#[tokio::test]
async fn logins_that_nobody_finishes_do_not_pile_up() {
    let house = House::with("auth.max_pending_logins = 3").await;
    let bob = house.visitor();

    for _ in 0..8 {
        bob.opens("/").await;
    }

    let logins = bob.cookies().into_iter().filter(|(name, _)| name.contains("login")).count();
    assert_eq!(logins, 3);
}

/// G20: what the token does not say is asked for at userinfo.
#[tokio::test]
async fn claims_that_are_only_in_userinfo_are_fetched_from_there() {
    let house = House::open().await;
    house.provider.set(|control| control.claims_in = ClaimsIn::Userinfo);

    let alice = house.signed_in("alice").await;

    let admin = alice.fetches("/admin/").await;
    assert_eq!(admin.status, 200, "the groups are known");
    assert_eq!(admin.echoed("x-forwarded-email").as_deref(), Some("alice@demo.example"));
    assert_eq!(house.provider.count("/userinfo"), 1);
}

/// G20: userinfo about somebody else is nobody's.
#[tokio::test]
async fn userinfo_about_somebody_else_ends_the_sign_in() {
    let house = House::open().await;
    for edit in [Edit::set("sub", "demo-eve"), Edit::drop("sub")] {
        house.provider.set(|control| {
            control.claims_in = ClaimsIn::Userinfo;
            control.userinfo_edits = vec![edit.clone()];
        });

        expect_failure(
            &house,
            &["userinfo_invalid", "token_exchange_failed"],
            &format!("{edit:?}"),
        )
        .await;
    }
}

/// R6, R3: keys change between two sign-ins, and nobody notices.
#[tokio::test]
async fn a_person_signs_in_after_the_provider_changed_its_keys() {
    let house = House::open().await;
    house.signed_in("alice").await;

    house.provider.rotate_keys().expect("new keys");
    let page = house.visitor().signs_in_as("bob", "/").await;

    assert_eq!(page.status, 200, "{}", page.text());
}

/// R1, K-23: the gate starts, serves and stays while the provider is down, and recovers by itself.
#[tokio::test]
async fn a_gate_that_starts_before_its_provider_recovers_without_a_restart() {
    let (port, provider_port) = (free_port(), free_port());
    let origin = format!("http://app.localhost:{port}");
    let provider_address = SocketAddr::from(([127, 0, 0, 1], provider_port));
    let application =
        Upstream::start(Script::Answer(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello")).await;
    let toml = standard(&origin, port, provider_address, application.address());
    let gate = Gate::start_without_providers(Scratch::new(), &toml).await;
    let visitor = Visitor::of(&origin, &[&format!("http://{provider_address}")]);

    let public = visitor.opens("/public/").await;
    let page = visitor.opens("/").await;
    let program = visitor.fetches("/").await;
    let provider = Provider::start(ProviderOptions {
        address: provider_address,
        clients: vec![lychgate_demo::provider::Client {
            client_id: "gate".to_owned(),
            client_secret: lychgate_tests::cast::house::CLIENT_SECRET.to_owned(),
            redirect_uris: vec![format!("{origin}/.lychgate/callback")],
            post_logout_redirect_uris: Vec::new(),
        }],
        ..ProviderOptions::default()
    })
    .await
    .expect("the provider starts");
    gate.line("the provider is ready", |line| line["message"] == "the provider is ready").await;
    let after = visitor.signs_in_as("bob", "/").await;

    assert_eq!((public.status, public.text()), (StatusCode::OK, "hello".to_owned()));
    assert_eq!(
        (page.status, page.reason()),
        (StatusCode::SERVICE_UNAVAILABLE, "provider_unavailable".to_owned())
    );
    assert!(!page.header("retry-after").is_empty());
    assert_eq!(
        (program.status, program.reason()),
        (StatusCode::UNAUTHORIZED, "session_required".to_owned())
    );
    assert_eq!((after.status, after.text()), (StatusCode::OK, "hello".to_owned()));
    provider.stop().await;
}

/// R2: somebody who is signed in needs no provider.
#[tokio::test]
async fn a_provider_that_goes_down_takes_nobody_along() {
    let house = House::open().await;
    let alice = house.signed_in("alice").await;
    house.provider.set(|control| control.fault = Some(Fault::Down));

    let page = alice.fetches("/").await;
    let ready = reqwest::get(house.gate.admin_url("/readyz")).await.expect("an answer");

    assert_eq!((page.status, ready.status()), (StatusCode::OK, StatusCode::OK));
}

/// R24, D-42 and the table of reasons: each classic fault ends in a page that names it, in one line of the log,
/// and without a session. `redirect-uri` never comes back, `missing-email` and `huge-groups` are told below.
#[tokio::test]
async fn every_classic_fault_ends_in_a_page_with_a_reason_and_without_a_session() {
    let house = House::open().await;
    for (fault, reason, check) in [
        (Fault::Clock, "clock_skew", "in the future"),
        (Fault::Issuer, "issuer_mismatch", "`iss` differs"),
        (Fault::Audience, "audience_mismatch", "`aud` does not name this client"),
        (Fault::Nonce, "nonce_mismatch", "`nonce` is not that of this login"),
        (Fault::HugeGroups, "session_too_large", "the token is longer than"),
    ] {
        house.provider.set(|control| control.fault = Some(fault));

        let page = expect_failure(&house, &[reason], fault.word()).await;

        let audit = house.gate.audit_event(page.request_id()).await;
        let cause = audit["error"]["message"].as_str().unwrap_or_default();
        assert!(cause.contains(check), "{fault}: {cause:?}");
    }
}

/// R2, CB-28: a provider that goes down between the two halves of a sign-in.
#[tokio::test]
async fn a_provider_that_is_down_when_the_code_comes_back_is_named_as_the_trouble() {
    let house = House::open().await;
    let bob = house.visitor();
    let callback = bob.comes_back_as("bob", "/").await;
    house.provider.set(|control| control.fault = Some(Fault::Down));

    let page = bob.opens(callback.as_str()).await;

    assert!(
        ["provider_unavailable", "token_exchange_failed"].contains(&page.reason().as_str()),
        "{}",
        page.reason()
    );
    assert!(!bob.has_session());
    assert_eq!(house.provider.count("/token"), 1, "a code is sent once");
}

/// CB-34, L3: thirty seconds are more than anybody waits for.
#[tokio::test]
async fn a_token_endpoint_that_takes_too_long_is_given_up_on() {
    let house = House::open().await;
    house.provider.set(|control| control.fault = Some(Fault::Slow));

    expect_failure(&house, &["provider_unavailable"], "slow").await;

    assert_eq!(house.provider.count("/token"), 1, "a code is sent once");
}

/// The provider keeps the browser; the gate never hears of it, and the login ends by itself.
#[tokio::test]
async fn a_redirect_uri_that_is_not_registered_is_the_providers_page_to_show() {
    let house = House::open().await;
    house.provider.set(|control| control.fault = Some(Fault::RedirectUri));
    let bob = house.visitor();

    let answer = bob.opens("/").await;
    let page = bob.follows(answer).await;

    assert_eq!(
        (page.status, page.url.port()),
        (StatusCode::BAD_REQUEST, Some(house.provider.address().port()))
    );
    assert!(!bob.has_session());
}

/// C2: an attribute that is missing is sent empty, so nobody behind can take its place for free.
#[tokio::test]
async fn c2_somebody_without_an_address_is_signed_in_and_has_an_empty_header() {
    let house = House::open().await;
    house.provider.set(|control| control.fault = Some(Fault::MissingEmail));
    let bob = house.signed_in("bob").await;

    let page = bob.asks(Method::GET, "/", &[("x-forwarded-email", "root@corp.test")]).await;

    assert_eq!(page.echoed("x-forwarded-email").as_deref(), Some(""));
    assert_eq!(page.echoed("x-forwarded-user").as_deref(), Some("bob"));
}

/// M, T-32: somebody who cancels is told that they did.
#[tokio::test]
async fn somebody_who_cancels_is_told_so_in_the_providers_words_and_ours() {
    let house = House::open().await;
    let bob = house.visitor();
    let answer = bob.opens("/").await;
    let choice = bob.follows(answer).await;

    let back = bob.opens(&choice.link("declined=")).await;
    let page = bob.follows(back).await;

    assert_eq!((page.status, page.reason()), (StatusCode::FORBIDDEN, "provider_denied".to_owned()));
    assert!(page.text().contains("access_denied") && !bob.has_session());
    assert_eq!(house.provider.count("/token"), 0);
}

/// A6, P-07: what a provider says is shown as its words, and never as ours or as markup.
#[tokio::test]
async fn the_providers_words_are_shown_escaped() {
    let house = House::open().await;
    house.provider.set(|control| {
        control.redirect_edits = vec![
            ParameterEdit::drop("code"),
            ParameterEdit::set("error", "access_denied"),
            ParameterEdit::set("error_description", "\"><script>alert(1)</script> & <b>you</b>"),
        ];
    });

    let page = house.visitor().signs_in_as("bob", "/").await;

    assert_eq!(page.reason(), "provider_denied");
    assert!(
        !page.text().contains("<script>alert") && !page.text().contains("<b>you"),
        "{}",
        page.text()
    );
}

/// R9, L1: a code and a secret go nowhere that was not written down.
#[tokio::test]
async fn l1_a_token_endpoint_that_redirects_is_not_followed() {
    let trap =
        Upstream::start(Script::Answer(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")).await;
    let house = House::open().await;
    for status in [301, 302, 303, 307, 308] {
        let to = HeaderValue::try_from(format!("http://{}/t", trap.address())).expect("a URL");
        house.provider.set(|control| {
            control.token_answer = Some(RawAnswer {
                status: StatusCode::from_u16(status).expect("a status"),
                headers: HeaderMap::from_iter([(header::LOCATION, to.clone())]),
                ..RawAnswer::default()
            });
        });

        expect_failure(&house, &["token_exchange_failed"], &status.to_string()).await;
    }
    assert_eq!(trap.received(), [] as [&str; 0], "the trap saw nothing");
}

/// R9, L3, CB-28: whatever a token endpoint says instead of tokens, the code is sent once and nobody is signed in.
#[tokio::test]
async fn whatever_a_token_endpoint_says_instead_of_tokens_nobody_is_signed_in() {
    let house = House::open().await;
    let json = |status: u16, value: serde_json::Value| {
        RawAnswer::json(StatusCode::from_u16(status).expect("a status"), &value)
    };
    let typed = |content_type: &'static str, body: Vec<u8>| RawAnswer {
        headers: HeaderMap::from_iter([(
            header::CONTENT_TYPE,
            HeaderValue::from_static(content_type),
        )]),
        body: body.into(),
        ..RawAnswer::default()
    };
    let mut gzipped = typed("application/json", vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3]);
    gzipped.headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    let mut busy = json(429, json!({ "error": "slow_down" }));
    busy.headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    let deep = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000)).into_bytes();
    let failed: &[&str] =
        &["token_exchange_failed", "provider_unavailable", "client_refused", "login_expired"];
    for (what, answer) in [
        ("nothing", RawAnswer { status: StatusCode::NO_CONTENT, ..RawAnswer::default() }),
        ("empty", typed("application/json", Vec::new())),
        ("a page", typed("text/html", b"<html>Sign in to the hotel's network</html>".to_vec())),
        (
            "JSON called a page",
            typed(
                "text/html",
                br#"{"access_token":"a","token_type":"Bearer","id_token":"b"}"#.to_vec(),
            ),
        ),
        ("half of it", typed("application/json", br#"{"access_token":"a","tok"#.to_vec())),
        ("a list", typed("application/json", b"[]".to_vec())),
        ("a number beyond all", typed("application/json", br#"{"expires_in":1e99999}"#.to_vec())),
        ("too deep", typed("application/json", deep)),
        ("too much", typed("application/json", vec![b' '; 2 << 20])),
        ("compressed", gzipped),
        ("no tokens", json(200, json!({}))),
        ("no ID token", json(200, json!({ "access_token": "a", "token_type": "Bearer" }))),
        ("an error", json(500, json!({ "error": "server_error" }))),
        ("busy", busy),
        ("refused", json(400, json!({ "error": "invalid_grant" }))),
        ("unknown", json(401, json!({ "error": "invalid_client" }))),
    ] {
        house.provider.clear();
        house.provider.set(|control| control.token_answer = Some(answer));

        expect_failure(&house, failed, what).await;

        assert_eq!(house.provider.count("/token"), 1, "{what}: a code is sent once");
    }
    house.provider.set(|control| control.token_answer = None);
    let page = house.visitor().signs_in_as("bob", "/").await;
    assert_eq!(page.status, 200, "and afterwards all is well");
}

/// CB-34, L3: what comes a byte at a time does not come in time.
#[tokio::test]
async fn a_token_endpoint_that_answers_late_is_not_waited_for() {
    let house = House::open().await;
    house.provider.set(|control| {
        control.token_answer = Some(RawAnswer {
            delay: Duration::from_secs(25),
            ..RawAnswer::json(StatusCode::OK, &json!({}))
        });
    });

    expect_failure(&house, &["provider_unavailable"], "late").await;
}

/// G1, G2, G6, G9, G11 to G14, G16: one sign-in for each way in which an ID token can be no good.
#[tokio::test]
async fn g2_g11_an_id_token_that_is_no_good_signs_nobody_in() {
    let house = House::open().await;
    let far = 9_999_999_999_u64;
    let set = |name: &str, value: serde_json::Value| Tamper::set_claim(name, value);
    for tamper in [
        Tamper::Unsigned,
        Tamper::Algorithm("None".to_owned()),
        Tamper::Algorithm(String::new()),
        Tamper::Algorithm("ES256".to_owned()),
        Tamper::drop_header("alg"),
        Tamper::BrokenSignature,
        Tamper::AnotherKey,
        Tamper::PublicKeyAsSecret,
        Tamper::set_header("crit", json!(["exp"])),
        Tamper::set_header("kid", json!("../../dev/null")),
        Tamper::set_header("kid", json!(7)),
        Tamper::set_header("typ", json!("logout+jwt")),
        Tamper::set_header("typ", json!("at+jwt")),
        Tamper::Raw("a.b.c".to_owned()),
        Tamper::Raw("a.b.c.d.e".to_owned()),
        Tamper::Raw(".".repeat(10_000)),
        Tamper::drop_claim("exp"),
        set("exp", json!("9999999999")),
        set("exp", json!(null)),
        set("exp", json!([far])),
        set("exp", json!(-1)),
        set("exp", json!(1)),
        set("nbf", json!(far)),
        set("nbf", json!("9999999999")),
        Tamper::drop_claim("iat"),
        set("iat", json!(far)),
        Tamper::drop_claim("iss"),
        set("iss", json!(format!("{}/", house.provider.issuer()))),
        set("iss", json!([house.provider.issuer()])),
        Tamper::drop_claim("aud"),
        set("aud", json!([])),
        set("aud", json!("gate other")),
        set("aud", json!(["gate", "other"])),
        set("azp", json!("other")),
        Tamper::drop_claim("sub"),
        set("sub", json!("")),
        set("sub", json!(7)),
        Tamper::drop_claim("nonce"),
        set("nonce", json!("")),
        set("nonce", json!(["n"])),
        set("at_hash", json!("AAAAAAAAAAAAAAAAAAAAAA")),
    ] {
        house.provider.set(|control| control.tamper = vec![tamper.clone()]);

        let reasons = [
            "token_invalid",
            "signature_invalid",
            "clock_skew",
            "issuer_mismatch",
            "audience_mismatch",
            "nonce_mismatch",
            "token_exchange_failed",
        ];
        expect_failure(&house, &reasons, &format!("{tamper:.80?}")).await;
    }
}

/// G6: a key that a token brings along is not looked at, and not fetched.
#[tokio::test]
async fn a_token_cannot_say_where_its_key_is() {
    let trap = Upstream::start(Script::Silence).await;
    let house = House::open().await;
    house.provider.set(|control| {
        let place = format!("http://{}/keys", trap.address());
        control.tamper = vec![
            Tamper::set_header("jku", json!(place)),
            Tamper::set_header("x5u", json!(place)),
            Tamper::AnotherKey,
        ];
    });

    expect_failure(&house, &["signature_invalid"], "jku").await;

    assert_eq!(trap.received(), [] as [&str; 0]);
}

/// Signs in as Bob, which has to fail for one of these reasons: a page with the reason and the request's id,
/// the same two in one access line and one audit event, and no session.
async fn expect_failure(house: &House, reasons: &[&str], what: &str) -> Answer {
    let bob = house.visitor();

    let page = bob.signs_in_as("bob", "/wanted").await;

    let reason = page.reason();
    assert!(reasons.contains(&reason.as_str()), "{what}: {reason}");
    assert!(
        page.status.is_client_error() || page.status.is_server_error(),
        "{what}: {}",
        page.status
    );
    assert!(page.text().contains(page.request_id()), "{what}: the page has the request's id");
    assert!(!bob.has_session(), "{what}: no session");
    assert!(page.set_cookies().iter().all(|line| !line.starts_with("lychgate=")), "{what}");
    assert_eq!(house.application.requests(), [], "{what}: the application was not asked");
    let access = house.gate.access_line(page.request_id()).await;
    assert_eq!(access["reason"], reason, "{what}");
    let audit = house.gate.audit_event(page.request_id()).await;
    assert_eq!(
        (&audit["event"]["reason"], &audit["event"]["outcome"]),
        (&json!(reason), &json!("failure")),
        "{what}"
    );
    let cause = audit["error"]["message"].as_str().unwrap_or_default();
    assert!(!cause.is_empty() && !cause.contains("eyJ"), "{what}: {cause:?}");
    page
}

/// The way back keeps the target: **Try again** leads to where the person wanted to go.
#[tokio::test]
async fn try_again_leads_to_where_the_person_wanted_to_go() {
    let house = House::open().await;
    house.provider.set(|control| control.fault = Some(Fault::Nonce));
    let bob = house.visitor();
    let page = bob.signs_in_as("bob", "/wanted?x=1").await;
    house.provider.set(|control| control.fault = None);

    let again = bob.signs_in_as("bob", &page.link("/login?")).await;

    assert_eq!(
        (again.status, again.url.path(), again.url.query()),
        (StatusCode::OK, "/wanted", Some("x=1"))
    );
}

/// F9 and D8: two providers at one gate; the answer of one is no answer to a question to the other.
#[tokio::test]
async fn f9_an_answer_of_another_provider_is_no_answer() {
    let other_address = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let mut clients = Vec::new();
    let house_plan = |plan: &mut Plan| {
        // Where there are several, each has a callback of its own.
        plan.provider.clients[0].redirect_uris = ["demo", "other"]
            .map(|name| format!("{}/.lychgate/callback/{name}", plan.origin()))
            .into();
        clients.clone_from(&plan.provider.clients);
        plan.set(&format!(
            "[providers.other]\nissuer = \"http://{other_address}\"\nclient_id = \"gate\"\nclient_secret = \"other\"\n\
             [routes.app]\nproviders = [\"demo\", \"other\"]"
        ));
        // The gate waits for both, and this one has to be there by then.
        let options = ProviderOptions {
            address: other_address,
            clients: clients.clone(),
            ..ProviderOptions::default()
        };
        tokio::spawn(async move {
            let _other = Provider::start(options).await.expect("the other provider starts");
            std::future::pending::<()>().await;
        });
    };
    let house = House::planned(house_plan).await;
    let visitor = Visitor::of(
        house.gate.url(),
        &[house.provider.issuer(), &format!("http://{other_address}")],
    );
    let begin = |name: &str| format!("/.lychgate/login?provider={name}&return_to=%2F");

    let of_demo = visitor.comes_back_as("bob", &begin("demo")).await;
    let of_other = visitor.comes_back_as("bob", &begin("other")).await;
    let mixed = {
        let parameter = |url: &url::Url, wanted: &str| {
            let value = url
                .query_pairs()
                .find(|(name, _)| name == wanted)
                .map(|(_, value)| value.into_owned());
            value.unwrap_or_default()
        };
        let mut mixed = of_other.clone();
        mixed
            .query_pairs_mut()
            .clear()
            .append_pair("code", &parameter(&of_demo, "code"))
            .append_pair("state", &parameter(&of_other, "state"))
            .append_pair("iss", &parameter(&of_demo, "iss"));
        mixed
    };
    let answer = visitor.opens(mixed.as_str()).await;

    assert_eq!(answer.reason(), "issuer_mismatch");
    assert!(!visitor.has_session());
    assert_eq!(house.provider.count("/token"), 0, "the code of one is not shown to anybody");
}
