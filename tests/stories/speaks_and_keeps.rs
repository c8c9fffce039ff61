//! What people get from the gate itself: pages in their language, forms that are not lost, and pages of the operator's.

use std::time::{Duration, Instant};

use http::{Method, StatusCode};
use lychgate_demo::echo::Echo;
use lychgate_tests::cast::gate::{PATIENCE, lychgate};
use lychgate_tests::cast::house::House;
use lychgate_tests::cast::scratch::Scratch;
use lychgate_tests::cast::upstream::{Script, Upstream};
use lychgate_tests::cast::visitor::{Answer, Visitor};
use sha2::{Digest as _, Sha256};

/// P-06: the page, its header and the provider's page are in the language that the browser asks for, and caches know
/// that they may be in another one.
#[tokio::test]
async fn pages_and_the_provider_are_in_the_language_that_the_browser_asks_for() {
    let house = House::open().await;
    let visitor = house.visitor();
    for (asked, language, title) in [
        ("de-AT,de;q=0.9,en;q=0.1", "de", "<h1>Sie haben sich abgemeldet</h1>"),
        ("ar", "ar", "<html lang=\"ar\" dir=\"rtl\">"),
        ("fr", "en", "<h1>You have signed out</h1>"),
    ] {
        let headers = [("accept", "text/html"), ("accept-language", asked)];
        let page = visitor.asks(Method::GET, "/.lychgate/signed-out", &headers).await;
        assert!(page.text().contains(title), "{asked}: {}", page.text());
        assert_eq!(page.header("content-language"), language);
        assert!(page.header("vary").contains("accept-language"));

        let begun = visitor.asks(Method::GET, "/deep", &headers).await;
        let location = begun.location().expect("the way to the provider");
        let told = location.query_pairs().find(|(name, _)| name == "ui_locales");
        let told = told.map(|(_, value)| value.into_owned());
        assert_eq!(told.as_deref(), (asked != "fr").then_some(language), "{location}");
    }
}

/// RFC 9457 §3.1.4: what programs get is the same for everybody.
#[tokio::test]
async fn problem_documents_are_in_english_whatever_is_asked_for() {
    let house = House::open().await;
    let headers = [("accept", "application/json"), ("accept-language", "de")];
    let problem = house.visitor().asks(Method::GET, "/api", &headers).await;
    assert_eq!(problem.json()["title"], "Sign-in required");
}

/// P-09.
#[tokio::test]
async fn check_refuses_templates_that_would_leave_people_without_help() {
    let scratch = Scratch::new();
    std::fs::create_dir(scratch.file("pages")).expect("a directory");
    scratch.write(
        "pages/signed_out.html",
        "<html lang=\"{{ lang }}\" dir=\"{{ dir }}\"><script>x()</script>",
    );
    scratch.write("lychgate.toml", "[pages]\ntemplates = \"pages\"\nlanguages = [\"en\"]\n");

    let printed = lychgate(&scratch, ["check", "--offline"]);

    assert_eq!(printed.code, Some(1), "{printed:?}");
    for part in
        ["does not show the request id", "`{{ sign_in }}`", "has script in it", "\"signed-out\""]
    {
        assert!(printed.stderr.contains(part), "{part}: {}", printed.stderr);
    }
    let printed = lychgate(&scratch, ["run"]);
    assert_eq!(printed.code, Some(78), "{printed:?}");
}

/// Waits until this cookie is no session any more, without making it younger.
async fn until_idle(visitor: &Visitor) {
    let session = visitor.cookie("lychgate").expect("a session");
    let began = Instant::now();
    loop {
        let copy = visitor.somebody_else();
        copy.takes_cookie("lychgate", &session);
        if copy.fetches("/.lychgate/me").await.status == StatusCode::UNAUTHORIZED {
            return;
        }
        assert!(began.elapsed() < PATIENCE, "the session does not end");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// The form that is on a page: where to, and what.
fn kept(page: &Answer) -> Option<(String, Vec<u8>)> {
    let text = page.text();
    let attribute = |start: &str| {
        let (_, rest) = text.split_once(start)?;
        Some(rest.split('"').next()?.replace("&#x2f;", "/").replace("&#x3d;", "="))
    };
    let action = attribute("<form method=\"post\" action=\"")?;
    let form = attribute("name=\"form\" value=\"")?;
    Some((action, format!("form={form}").into_bytes()))
}

/// As a browser sends a form of our page, which tells nobody where it is.
const SENDS: [(&str, &str); 5] = [
    ("accept", "application/json"),
    ("content-type", "application/x-www-form-urlencoded"),
    ("origin", "null"),
    ("sec-fetch-mode", "navigate"),
    ("sec-fetch-site", "same-origin"),
];

/// Signs in, and goes to no application.
async fn signs_in(visitor: &Visitor, user: &str) {
    let callback = visitor.comes_back_as(user, "/.lychgate/login?prompt=login").await;
    let back = visitor.opens(callback.as_str()).await;
    assert_eq!(back.status, StatusCode::SEE_OTHER, "{}", back.text());
}

/// A house whose application this is, and Alice, whose session there has ended while she wrote `/letters/7/edit`.
async fn writes_too_long(application: &Upstream, more: &str) -> (House, Visitor, Answer) {
    let address = application.address();
    let house = House::planned(|plan| {
        plan.upstream(address);
        plan.set("[sessions]\nidle_timeout = \"4s\"");
        plan.set(more);
    })
    .await;
    let visitor = house.visitor();
    signs_in(&visitor, "alice").await;
    until_idle(&visitor).await;
    let page = visitor.sends(Method::POST, "/letters/7/edit", &WRITES, b"Dear Bob".to_vec()).await;
    assert!(kept(&page).is_some(), "{}", page.text());
    (house, visitor, page)
}

/// As a browser sends a form of the application's.
const WRITES: [(&str, &str); 4] = [
    ("accept", "text/html"),
    ("content-type", "text/plain"),
    ("sec-fetch-mode", "navigate"),
    ("sec-fetch-site", "same-origin"),
];

/// Signs in and sends what is kept; a session that is over again before that only costs another turn.
async fn sends(visitor: &Visitor, user: &str, mut page: Answer) -> Answer {
    let began = Instant::now();
    loop {
        signs_in(visitor, user).await;
        let (action, form) = kept(&page).unwrap_or_else(|| panic!("it is lost: {}", page.text()));
        let answer = visitor.sends(Method::POST, &action, &SENDS, form).await;
        if answer.status != StatusCode::UNAUTHORIZED {
            return answer;
        }
        assert!(began.elapsed() < PATIENCE, "{}", answer.text());
        page = answer;
    }
}

/// R43: bytes of any kind arrive as they were sent, once, from the same person.
#[tokio::test]
async fn a_form_that_was_sent_after_the_session_ended_arrives_unchanged_once() {
    let house = House::with("[sessions]\nidle_timeout = \"2s\"").await;
    let visitor = house.visitor();
    let body: Vec<u8> =
        (0..200_000_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let origin = house.gate.url().trim_end_matches('/').to_owned();
    let headers = [
        ("accept", "text/html"),
        ("content-type", "multipart/form-data; boundary=x"),
        ("origin", origin.as_str()),
        ("sec-fetch-mode", "navigate"),
        ("sec-fetch-site", "same-origin"),
    ];
    visitor.signs_in_as("alice", "/editor").await;
    until_idle(&visitor).await;

    let page = visitor.sends(Method::POST, "/letters?draft=7", &headers, body.clone()).await;
    assert_eq!((page.status.as_u16(), page.reason().as_str()), (401, "session_idle"));
    assert!(page.text().contains("nothing is lost"), "{}", page.text());
    let (action, form) = kept(&page).expect("it is kept");

    // Changed on the way, it is none, and is not used up by that.
    visitor.signs_in_as("alice", "/.lychgate/login?prompt=login").await;
    let mut changed = form.clone();
    changed[100_000] ^= 1;
    let refused = visitor.sends(Method::POST, &action, &SENDS, changed).await;
    assert!(refused.status.is_client_error(), "{}", refused.text());

    let arrived = sends(&visitor, "alice", page).await;
    let told = arrived.json();
    assert_eq!(
        (&told["method"], &told["path"], &told["query"]),
        (&"POST".into(), &"/letters".into(), &"draft=7".into())
    );
    assert_eq!(told["body_bytes"], body.len());
    let digest: String = Sha256::digest(&body).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(told["body_sha256"], digest);
    assert_eq!(arrived.echoed("content-type").as_deref(), Some("multipart/form-data; boundary=x"));
    assert_eq!(arrived.echoed("origin").as_deref(), Some(origin.as_str()));
    assert_eq!(arrived.echoed("x-forwarded-user").as_deref(), Some("alice"));
    assert!(visitor.cookies().iter().all(|(name, _)| !name.contains("-form-")), "it is forgotten");

    let again = visitor.sends(Method::POST, &action, &SENDS, form).await;
    assert_eq!(again.reason(), "form_expired");
}

/// R43: not by somebody else, and not more than is allowed.
#[tokio::test]
async fn a_form_is_not_sent_by_somebody_else_and_is_not_kept_when_it_is_large() {
    let house = House::with("[sessions]\nidle_timeout = \"2s\"\nkeep_forms = \"1KiB\"").await;
    let visitor = house.visitor();
    visitor.signs_in_as("alice", "/editor").await;
    until_idle(&visitor).await;

    let large = visitor.sends(Method::POST, "/letters", &WRITES, vec![b'a'; 1025]).await;
    assert!(large.text().contains("larger than can be kept"), "{}", large.text());
    assert_eq!(kept(&large), None);
    let page = visitor.sends(Method::POST, "/letters", &WRITES, b"Dear Bob".to_vec()).await;

    let answer = sends(&visitor, "bob", page).await;
    assert_eq!((answer.status.as_u16(), answer.reason().as_str()), (403, "form_other_account"));
    assert!(kept(&answer).is_some(), "and it is not lost");
    let answer = sends(&visitor, "alice", answer).await;
    assert_eq!(answer.json()["body_bytes"], 8);
}

/// R11, R43: an application that is down costs nobody what they wrote.
#[tokio::test]
async fn a_form_that_meets_no_application_stays_on_the_page() {
    let house = House::with("[sessions]\nidle_timeout = \"4s\"").await;
    let visitor = house.visitor();
    signs_in(&visitor, "alice").await;
    until_idle(&visitor).await;
    let page = visitor.sends(Method::POST, "/letters", &WRITES, b"Dear Bob".to_vec()).await;
    let House { gate: _gate, provider: _provider, application } = house;
    let address = application.address();
    application.stop().await;

    let down = sends(&visitor, "alice", page).await;

    assert_eq!((down.status.as_u16(), down.reason().as_str()), (502, "upstream_unreachable"));
    assert!(down.text().contains("nothing is lost"), "{}", down.text());
    let _application = Echo::start(address).await.expect("it starts again");
    let arrived = sends(&visitor, "alice", down).await;
    let told = arrived.json();
    assert_eq!((&told["path"], &told["body_bytes"]), (&"/letters".into(), &8.into()));
}

/// R11, R43: what may have arrived is not sent twice, and the page says so.
#[tokio::test]
async fn a_form_that_may_have_arrived_is_not_offered_again() {
    let application = Upstream::start(Script::Silence).await;
    let address = application.address();
    let late = format!(
        "[upstreams.late]\naddresses = [\"http://{address}\"]\ntimeouts.response = \"1s\"\n\
         [routes.app]\nupstream = \"late\""
    );
    let (_house, visitor, page) = writes_too_long(&application, &late).await;
    let (action, form) = kept(&page).expect("it is kept");

    let silent = sends(&visitor, "alice", page).await;

    assert_eq!((silent.status.as_u16(), silent.reason().as_str()), (504, "upstream_timeout"));
    assert!(silent.text().contains("it may have arrived all the same"), "{}", silent.text());
    assert_eq!(kept(&silent), None);
    let again = visitor.sends(Method::POST, &action, &SENDS, form).await;
    assert_eq!(again.reason(), "form_expired");
    assert_eq!(application.count("Dear Bob"), 1);
}

/// RFC 9110 §10.2.2: the application leads on from where it believes the browser to be.
#[tokio::test]
async fn an_answer_to_a_kept_form_leads_on_from_where_the_form_was_sent_first() {
    let application = Upstream::start(Script::Answer(
        b"HTTP/1.1 303 See Other\r\nlocation: ../8?sent=1\r\ncontent-length: 0\r\n\r\n",
    ))
    .await;
    let (_house, visitor, page) = writes_too_long(&application, "").await;

    let answer = sends(&visitor, "alice", page).await;

    assert_eq!(answer.location(), Some(visitor.url("/letters/8?sent=1")));
}

/// P-23, R16: a long answer to a kept form is judged by the path where the form belongs.
#[tokio::test]
async fn a_long_answer_to_a_kept_form_is_not_cut_off() {
    let application = Upstream::start(Script::Answer(
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\ndata: 1\n\n",
    ))
    .await;
    // Elsewhere Alice may not be.
    let letters = "[routes.app]\nallow = [\"group:nobody\"]\n\
                   [[routes.app.rules]]\npath = \"/letters/**\"\nallow = [\"authenticated\"]\n\
                   [[routes.app.rules]]\npath = \"/admin/**\"\npolicy = \"operators\"\n";
    let (house, visitor, page) = writes_too_long(&application, letters).await;
    signs_in(&visitor, "alice").await;
    let (action, form) = kept(&page).expect("it is kept");

    let request = visitor.request(Method::POST, &visitor.url(&action), &SENDS).body(form);
    let mut answer = request.send().await.expect("an answer");
    assert_eq!(answer.status(), StatusCode::OK);
    answer.chunk().await.expect("it begins");

    // It is looked at once a second.
    let goes_on = tokio::time::timeout(Duration::from_millis(2500), answer.chunk()).await;
    assert!(goes_on.is_err(), "{goes_on:?}\n{}", house.gate.output());
}

/// R42: a browser whose session is never recognized is stopped, and told the cause.
#[tokio::test]
async fn a_browser_that_goes_round_in_circles_is_stopped() {
    let house = House::open().await;
    let visitor = house.visitor();
    for _ in 0..3 {
        let callback = visitor.comes_back_as("alice", "/page").await;
        let back = visitor.opens(callback.as_str()).await;
        assert_eq!(
            (back.status, back.location()),
            (StatusCode::SEE_OTHER, Some(visitor.url("/page")))
        );
        // As another machine would read it, which has other keys.
        visitor.takes_cookie("lychgate", "v1.sealed-with-another-key");
    }

    let stopped = visitor.opens("/page").await;

    assert_eq!((stopped.status.as_u16(), stopped.reason().as_str()), (400, "too_many_redirects"));
    assert!(stopped.text().contains("machines that do not share their keys"), "{}", stopped.text());
    let said = "signed in 3 times in vain: DifferentKeys";
    house.gate.line("the cause", |line| line.to_string().contains(said)).await;
    // Whoever wants to try again may.
    let login = stopped.link("/.lychgate/login");
    assert!(visitor.signs_in_as("alice", &login).await.text().contains("/page"));
}

/// CB-26, CB-44: a login whose callback comes too late begins again by itself, and leads where it should have led.
#[tokio::test]
async fn a_login_whose_callback_comes_too_late_begins_again() {
    let house = House::with("[auth]\nlogin_timeout = \"1m\"").await;
    let visitor = house.visitor();
    let callback = visitor.comes_back_as("alice", "/page?tab=2").await;
    // No shorter timeout may be configured, and no clock of the gate's can be moved.
    tokio::time::sleep(Duration::from_secs(61)).await;

    let late = visitor.opens(callback.as_str()).await;

    assert!(!visitor.has_session(), "the code is not redeemed");
    let location = late.location().expect("another login");
    assert!(location.as_str().starts_with(house.provider.issuer()), "{location}");
    let line = house.gate.access_line(late.request_id()).await;
    assert_eq!(line["reason"], "login_expired", "{line}");
    let callback = visitor.is_sent_back_as("alice", late).await;
    let back = visitor.opens(callback.as_str()).await;
    assert_eq!(back.location(), Some(visitor.url("/page?tab=2")));
    assert!(visitor.has_session());
}
