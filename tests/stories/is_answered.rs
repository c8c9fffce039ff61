//! What people and programs are told.

use http::{Method, StatusCode};
use lychgate_tests::cast::house::House;
use lychgate_tests::cast::raw;
use lychgate_tests::cast::upstream::{Script, Upstream};
use lychgate_tests::cast::visitor::{Answer, Visitor};
use serde_json::json;

/// 5.4: whoever opens a page is sent to sign in; whoever asks for data is told that there is no session.
#[tokio::test]
async fn people_are_sent_to_sign_in_and_programs_are_told_why_not() {
    let house = House::open().await;
    let nobody = house.visitor();
    for (what, method, headers, expected) in [
        ("a browser", Method::GET, &[("sec-fetch-mode", "navigate")][..], 302),
        ("an older one", Method::GET, &[("accept", "text/html,*/*;q=0.8")], 302),
        ("a look at the headers", Method::HEAD, &[("accept", "text/html")], 302),
        ("a script", Method::GET, &[("sec-fetch-mode", "cors"), ("accept", "text/html")], 401),
        (
            "an older script",
            Method::GET,
            &[("x-requested-with", "XMLHttpRequest"), ("accept", "text/html")],
            401,
        ),
        ("a tool", Method::GET, &[("accept", "*/*")], 401),
        ("nothing said", Method::GET, &[], 401),
        ("a form", Method::POST, &[("sec-fetch-mode", "navigate")], 401),
        ("an upload", Method::PUT, &[("accept", "text/html")], 401),
        ("an event stream", Method::GET, &[("accept", "text/event-stream")], 401),
        (
            "a page that is read as data",
            Method::GET,
            &[("accept", "application/json, text/html;q=0.9")],
            401,
        ),
        ("htmx", Method::GET, &[("hx-request", "true"), ("accept", "text/html")], 401),
        ("a token", Method::GET, &[("authorization", "Bearer x"), ("accept", "text/html")], 401),
        (
            "a handshake",
            Method::GET,
            &[("upgrade", "websocket"), ("connection", "upgrade"), ("accept", "text/html")],
            401,
        ),
        (
            "a look ahead",
            Method::GET,
            &[("sec-fetch-mode", "navigate"), ("sec-purpose", "prefetch")],
            401,
        ),
        (
            "a preflight",
            Method::OPTIONS,
            &[("access-control-request-method", "GET"), ("origin", "https://evil.test")],
            401,
        ),
    ] {
        let answer = nobody.asks(method, "/x", headers).await;

        assert_eq!(answer.status.as_u16(), expected, "{what}");
        if expected == 401 {
            assert!(answer.header("www-authenticate").starts_with("Cookie"), "{what}");
            assert_eq!(answer.reason(), "session_required", "{what}");
            assert_eq!(answer.header("access-control-allow-origin"), "", "{what}");
        }
    }
}

/// P-20, P-21: the problem document has the code and the id that the logs have.
#[tokio::test]
async fn a_program_is_told_in_a_problem_document() {
    let house = House::open().await;

    let answer = house.visitor().fetches("/api/ds?x=1").await;

    assert_eq!(answer.header("content-type"), "application/problem+json");
    let problem = answer.json();
    assert_eq!(problem["status"], 401);
    assert_eq!(problem["code"], "session_required");
    let kind = format!("{}/.lychgate/reasons/session_required", house.gate.url());
    assert_eq!(problem["type"], kind);
    assert_eq!(problem["request_id"], answer.request_id());
    let login = problem["login_url"].as_str().unwrap_or_default();
    assert!(login.starts_with("/.lychgate/login?return_to="), "{login}");
    assert!(
        !answer.text().contains("demo") && !answer.text().contains("127.0.0.1"),
        "{}",
        answer.text()
    );
}

/// P-04: a browser that runs scripts goes by way of our own page, which works without them too.
#[tokio::test]
async fn a_browser_goes_by_way_of_our_page_and_ends_where_it_wanted() {
    let house = House::open().await;
    let bob = house.visitor();
    let navigates = [("sec-fetch-mode", "navigate"), ("accept", "text/html")];

    let first = bob.asks(Method::GET, "/deep?x=1", &navigates).await;
    let place = first.location().expect("our own page");
    let page = bob.asks(Method::GET, place.as_str(), &navigates).await;
    let landed = bob.signs_in_as("bob", &page.link("provider=")).await;

    assert_eq!((first.status, place.path()), (StatusCode::FOUND, "/.lychgate/login"));
    assert_eq!(page.status, 200);
    assert_eq!(
        (landed.status, landed.url.path(), landed.url.query()),
        (StatusCode::OK, "/deep", Some("x=1"))
    );
}

/// The fragment that the script adds comes back with the page.
#[tokio::test]
async fn a_fragment_is_brought_back() {
    let house = House::open().await;
    let bob = house.visitor();

    let place = "/.lychgate/login?provider=demo&return_to=%2Fapp&fragment=%23%2Fboard%2F7";
    let callback = bob.comes_back_as("bob", place).await;
    let answer = bob.opens(callback.as_str()).await;

    assert_eq!(
        answer.location().and_then(|url| url.fragment().map(str::to_owned)).as_deref(),
        Some("/board/7")
    );
}

/// P-02, P-03, N3, N5: on everything that we say ourselves.
#[tokio::test]
async fn everything_that_we_say_carries_the_same_protection() {
    let house = House::open().await;
    let nobody = house.visitor();
    let bob = house.signed_in("bob").await;
    let html = &[("accept", "text/html")][..];
    let answers = [
        nobody.opens("/").await,
        nobody.fetches("/").await,
        nobody.opens("/.lychgate/").await,
        nobody.opens("/.lychgate/nothing").await,
        nobody.opens("/.lychgate/callback").await,
        nobody.opens("/a//b").await,
        nobody.opens("/.lychgate/signed-out").await,
        nobody.opens("/.lychgate/logout").await,
        nobody.fetches("/.lychgate/me").await,
        nobody.asks(Method::POST, "/.lychgate/login", html).await,
        bob.opens("/admin/").await,
        bob.opens("/.lychgate/").await,
        bob.fetches("/.lychgate/me").await,
    ];
    for answer in &answers {
        expect_protection(answer);
        assert_eq!(answer.header("cache-control"), "no-store", "{}", answer.url);
        assert!(answer.header("vary").to_ascii_lowercase().contains("cookie"), "{}", answer.url);
    }
    for file in ["/.lychgate/style.css", "/.lychgate/script.js"] {
        let answer = nobody.fetches(file).await;
        expect_protection(&answer);
        assert_eq!((answer.status, answer.set_cookies().len()), (StatusCode::OK, 0));
    }
}

fn expect_protection(answer: &Answer) {
    let url = &answer.url;
    for (name, expected) in [
        ("referrer-policy", "no-referrer"),
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
        ("cross-origin-opener-policy", "same-origin"),
        ("x-robots-tag", "noindex"),
        ("server", ""),
    ] {
        assert_eq!(answer.header(name), expected, "{url} {name}");
    }
    let policy = answer.header("content-security-policy");
    assert!(
        policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"),
        "{url}: {policy}"
    );
    assert!(!policy.contains("unsafe"), "{url}: {policy}");
    let text = answer.text();
    assert!(
        !text.contains("<script>") && !text.contains(" style=") && !text.contains("onclick"),
        "{url}"
    );
    assert!(!text.to_ascii_lowercase().contains("pingora"), "{url}");
    assert!(!answer.request_id().is_empty(), "{url}");
}

/// C-70: a host that nobody serves is told so, and nothing else.
#[tokio::test]
async fn an_unknown_host_is_told_nothing() {
    let house = House::open().await;
    let message =
        "GET / HTTP/1.1\r\nHost: evil.test\r\nAccept: text/html\r\nConnection: close\r\n\r\n";

    let exchange = raw::send(house.gate.address(), message).await;

    assert_eq!(exchange.statuses(), [404]);
    let page = exchange.responses[0].text().to_ascii_lowercase();
    assert!(
        !page.contains("lychgate") && !page.contains("sign in") && !page.contains("localhost"),
        "{page}"
    );
    assert_eq!(exchange.responses[0].header("set-cookie"), None);
}

/// RFC 9110 §15.5.6: whoever uses the wrong method is told the right ones.
#[tokio::test]
async fn a_wrong_method_is_told_the_right_ones() {
    let house = House::open().await;
    let nobody = house.visitor();
    for (method, path, allow) in [
        (Method::PUT, "/.lychgate/login", "GET, HEAD, POST"),
        (Method::DELETE, "/.lychgate/", "GET, HEAD"),
        (Method::PUT, "/.lychgate/logout", "GET, POST"),
        (Method::POST, "/.lychgate/callback", "GET"),
        (Method::POST, "/.lychgate/style.css", "GET, HEAD"),
    ] {
        let answer = nobody.asks(method, path, &[]).await;

        assert_eq!(
            (answer.status, answer.header("allow")),
            (StatusCode::METHOD_NOT_ALLOWED, allow),
            "{path}"
        );
    }
}

/// 5.2: a person in the wrong group is told who they are, what is missing, and what they can do.
#[tokio::test]
async fn a_person_in_the_wrong_group_is_told_what_is_missing() {
    let house = House::with("policies.operators.help = \"https://help.example.com/oncall\"").await;
    let bob = house.signed_in("bob").await;

    let page = bob.opens("/admin/tools").await;
    let problem = bob.fetches("/admin/tools").await;

    assert_eq!(
        (page.status, page.reason()),
        (StatusCode::FORBIDDEN, "access_not_granted".to_owned())
    );
    let text = page.text();
    for part in
        ["Bob Brewer", "bob@demo.example", "The admin pages are for members of the group sre."]
    {
        assert!(text.contains(part), "{part} in {text}");
    }
    assert!(page.link("help.example.com").starts_with("https://help.example.com/"));
    assert!(page.link("prompt=select_account").contains("return_to="));
    assert!(page.link("/.lychgate/logout").ends_with("/.lychgate/logout"));
    assert_eq!(
        (problem.status, problem.reason()),
        (StatusCode::FORBIDDEN, "access_not_granted".to_owned())
    );
    assert_eq!(house.application.count("/admin/tools"), 0);
    let audit = house.gate.audit_event(page.request_id()).await;
    assert_eq!(audit["event"]["reason"], "access_not_granted");
}

/// N6: who is signed in, for scripts of this origin, without anything that opens something.
#[tokio::test]
async fn a_script_may_ask_who_is_signed_in() {
    let house = House::open().await;
    let alice = house.signed_in("alice").await;

    let me = alice.asks(Method::GET, "/.lychgate/me", &[("origin", "https://evil.test")]).await;

    assert_eq!(me.header("access-control-allow-origin"), "");
    let me = me.json();
    assert_eq!(me["user"], "alice");
    assert_eq!(me["groups"], json!(["sre", "engineering"]));
    let names: Vec<_> =
        me.as_object().into_iter().flatten().map(|(name, _)| name.as_str()).collect();
    assert!(names.iter().all(|name| !name.contains("token")), "{names:?}");
}

/// C-70, C-78: the longest path wins, and the upstream's path takes the place of the route's.
#[tokio::test]
async fn a_request_goes_to_the_longest_path_and_is_rewritten() {
    let other =
        Upstream::start(Script::Answer(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nother")).await;
    let address = other.address();
    let house = House::planned(|plan| {
        let origin = plan.origin();
        plan.set(&format!(
            "[routes.wiki]\nurl = \"{origin}/wiki\"\nupstream = \"http://{address}/base\"\npublic = true"
        ));
    })
    .await;
    let nobody = house.visitor();
    for (path, expected) in [
        ("/wiki", "GET /base HTTP"),
        ("/wiki/", "GET /base/ HTTP"),
        ("/wiki/a/b?c=/d", "GET /base/a/b?c=/d HTTP"),
    ] {
        let answer = nobody.fetches(path).await;

        assert_eq!(answer.text(), "other", "{path}");
        assert_eq!(other.count(expected), 1, "{path}: {:?}", other.received());
    }
    assert_eq!(nobody.fetches("/wikipedia").await.status, 401);
    assert_eq!(nobody.fetches("/public/wiki").await.json()["path"], "/public/wiki");
}

/// R11: 5.2: an application that cannot be reached, and one that says nothing, each have their page.
#[tokio::test]
async fn an_application_that_does_not_answer_has_a_page_that_says_so() {
    let silent = Upstream::start(Script::Silence).await;
    let rude = Upstream::start(Script::HangUp).await;
    let strange = Upstream::start(Script::AnswerAndClose(b"what is HTTP?\r\n\r\n")).await;
    let nobody_there = lychgate_tests::cast::gate::free_port();
    let (silent_address, rude_address, strange_address) =
        (silent.address(), rude.address(), strange.address());
    let house = House::planned(|plan| {
        let origin = plan.origin();
        for (name, address) in [
            ("gone", format!("127.0.0.1:{nobody_there}")),
            ("silent", silent_address.to_string()),
            ("rude", rude_address.to_string()),
            ("strange", strange_address.to_string()),
        ] {
            plan.set(&format!(
                "[upstreams.{name}]\naddresses = [\"http://{address}\"]\ntimeouts = {{ response = \"300ms\" }}\n\
                 [routes.{name}]\nurl = \"{origin}/{name}\"\nupstream = \"{name}\"\nallow = [\"authenticated\"]"
            ));
        }
    })
    .await;
    let bob = house.signed_in("bob").await;
    let over_http2 = Visitor::over_http2(house.gate.url(), &[]);
    over_http2.takes_cookie("lychgate", &bob.cookie("lychgate").expect("a session"));
    for visitor in [&bob, &over_http2] {
        for (path, status, reason) in [
            ("/gone", 502, "upstream_unreachable"),
            ("/rude", 502, "upstream_unreachable"),
            ("/strange", 502, "upstream_unreachable"),
            ("/silent", 504, "upstream_timeout"),
        ] {
            let page = visitor.opens(path).await;
            let problem = visitor.fetches(path).await;

            assert_eq!((page.status.as_u16(), page.reason().as_str()), (status, reason), "{path}");
            assert_eq!(
                (problem.status.as_u16(), problem.reason().as_str()),
                (status, reason),
                "{path}"
            );
            assert!(page.text().contains("Your sign-in is fine"), "{path}");
            assert!(!page.header("retry-after").is_empty(), "{path}");
            assert!(!page.text().contains("127.0.0.1"), "N7: {path}");
            expect_protection(&page);
        }
    }
    assert_eq!(bob.fetches("/").await.status, 200, "the other application is fine");
}

/// R11: a request that may not be sent twice is not sent twice.
#[tokio::test]
async fn a_request_is_not_sent_twice_to_an_application_that_may_have_read_it() {
    let upstream = Upstream::start(Script::AnswerAndClose(b"")).await;
    let address = upstream.address();
    let house = House::planned(|plan| plan.upstream(address)).await;

    let answer = house.visitor().sends(Method::POST, "/public/pay", &[], b"money".to_vec()).await;

    assert_eq!(answer.status, 502);
    assert_eq!(upstream.count("POST /public/pay"), 1, "{:?}", upstream.received());
}

/// P-22 in spirit, R: over HTTP/2 every answer of ours ends its stream, with a body and without.
#[tokio::test]
async fn every_answer_over_http2_is_whole() {
    let house = House::open().await;
    let nobody = Visitor::over_http2(house.gate.url(), &[house.provider.issuer()]);
    let cookie = house.signed_in("bob").await.cookie("lychgate").expect("a session");
    let bob = Visitor::over_http2(house.gate.url(), &[house.provider.issuer()]);
    bob.takes_cookie("lychgate", &cookie);
    for (visitor, method, path, expected) in [
        (&nobody, Method::GET, "/", 302),
        (&nobody, Method::HEAD, "/", 302),
        (&nobody, Method::POST, "/", 401),
        (&nobody, Method::GET, "/a//b", 400),
        (&nobody, Method::GET, "/.lychgate/nothing", 404),
        (&nobody, Method::PUT, "/.lychgate/login", 405),
        (&nobody, Method::GET, "/.lychgate/style.css", 200),
        (&nobody, Method::HEAD, "/.lychgate/style.css", 200),
        (&nobody, Method::GET, "/public/x", 200),
        (&bob, Method::GET, "/admin/", 403),
        (&bob, Method::GET, "/.lychgate/", 200),
        (&bob, Method::GET, "/x", 200),
        (&bob, Method::POST, "/status/204", 204),
        (&bob, Method::POST, "/.lychgate/logout", 303),
    ] {
        let answer =
            visitor.sends(method.clone(), path, &[("accept", "text/html")], Vec::new()).await;

        assert_eq!(answer.status.as_u16(), expected, "{method} {path}");
        if method != Method::HEAD && [200, 400, 403, 404, 405].contains(&expected) {
            assert!(!answer.body.is_empty(), "{method} {path}");
        }
        if method == Method::HEAD {
            assert!(answer.body.is_empty(), "{method} {path}");
        }
    }
}

/// Several providers: a page to choose from, and each choice leads to its own.
#[tokio::test]
async fn where_there_is_a_choice_the_person_makes_it() {
    let house = House::planned(|plan| {
        let issuer = format!("http://{}", plan.provider.address);
        // Where there are several, each has a callback of its own.
        plan.provider.clients[0].redirect_uris = vec![format!("{}/.lychgate/callback/demo", plan.origin())];
        plan.set(&format!(
            "[providers.demo]\nlabel = \"Staff <account>\"\n\
             [providers.guests]\nlabel = \"Guests\"\nissuer = \"{issuer}\"\nclient_id = \"guests\"\nclient_secret = \"g\"\n\
             [routes.app]\nproviders = [\"demo\", \"guests\"]"
        ));
    })
    .await;
    let bob = house.visitor();

    let answer = bob.opens("/wanted").await;
    let page = bob.follows(answer).await;
    let landed = bob.signs_in_as("bob", &page.link("provider=demo")).await;

    assert_eq!(page.status, 200);
    assert!(
        page.text().contains("Staff &lt;account&gt;") && page.text().contains("Guests"),
        "{}",
        page.text()
    );
    assert_eq!((landed.status, landed.url.path()), (StatusCode::OK, "/wanted"));
}
