//! What is kept out, and what is taken from those who are let in.

use http::{Method, StatusCode, header};
use lychgate_demo::personas::Persona;
use lychgate_demo::provider::{Edit, Tamper};
use lychgate_tests::cast::house::House;
use lychgate_tests::cast::raw;
use lychgate_tests::cast::visitor::Visitor;
use serde_json::json;

/// B1, B3, B4: with no session, nothing outside `/public/` is reached by way of it. What could be read in two
/// ways is answered 400, everything else like the protected page that it is.
#[tokio::test]
async fn no_spelling_of_a_path_leads_round_a_rule() {
    let house = House::open().await;
    for (target, expected) in [
        ("/admin/x?/public/", 401),
        ("/admin/x?p=/public/ok", 401),
        ("/api/private/data?x=/status", 401),
        ("/%61dmin/x", 401),
        ("/ADMIN/x", 401),
        ("/PUBLIC/x", 401),
        ("/publicly", 401),
        ("/public/../admin/x", 400),
        ("/public/%2e%2e/admin/x", 400),
        ("/public/.%2e/admin", 400),
        ("/public/..%2fadmin", 400),
        ("/public/%2e%2e%2fadmin", 400),
        ("/public/..%5cadmin", 400),
        ("/public/..;/admin", 400),
        ("//admin", 400),
        ("/./admin", 400),
        ("/admin/.", 400),
        ("/admin%2fx", 400),
        ("/admin%00/x", 400),
        ("/admin%20", 401),
        ("/admin/%c0%af", 400),
        ("/%252e%252e/", 400),
        ("/admin%zz", 400),
        ("/admin%", 400),
        ("/public\\..\\admin", 400),
        ("/public;x/../admin", 400),
        ("/admin;jsessionid=1", 400),
        ("/public/;/admin", 400),
    ] {
        let message =
            format!("GET {target} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", house.host());

        let exchange = raw::send(house.gate.address(), message).await;

        assert_eq!(exchange.statuses(), [expected], "{target}");
    }
    assert_eq!(house.application.requests(), []);
}

/// B5, B7, D8: one host in every spelling, and no other; what was judged is what is sent.
#[tokio::test]
async fn a_host_is_known_in_every_spelling_and_no_other_is() {
    let house = House::open().await;
    let port = house.host().rsplit(':').next().unwrap_or_default().to_owned();
    for (host, expected) in [
        (format!("APP.localhost:{port}"), 200),
        (format!("app.localhost.:{port}"), 200),
        ("app.localhost".to_owned(), 404),
        ("evil.test".to_owned(), 404),
        (format!("127.0.0.1:{port}"), 404),
        (format!("app.localhost:{port}@evil.test"), 400),
        (format!("evil.test, app.localhost:{port}"), 400),
        (String::new(), 400),
    ] {
        let message = format!(
            "GET /public/%7Euser/%C3%A4?a=%2F HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
        );

        let exchange = raw::send(house.gate.address(), message).await;

        assert_eq!(exchange.statuses(), [expected], "{host}");
    }
    for request in house.application.requests() {
        assert_eq!(
            (request.path.as_str(), request.query.as_str()),
            ("/public/~user/%C3%A4", "a=%2F")
        );
        assert_eq!(request.header("host"), Some(house.host()));
    }
}

/// B8: the method of a rule is the method of the request line.
#[tokio::test]
async fn a_rule_about_methods_cannot_be_talked_round() {
    let house = House::planned(|plan| {
        plan.set(
            "[[routes.app.rules]]\npath = \"/form/**\"\nmethods = [\"GET\"]\npublic = true\n\
             [[routes.app.rules]]\npath = \"/form/**\"\npolicy = \"operators\"",
        );
    })
    .await;
    let nobody = house.visitor();
    for name in ["x-http-method-override", "x-http-method", "x-method-override"] {
        let answer = nobody.asks(Method::POST, "/form/", &[(name, "GET")]).await;

        assert_eq!(answer.status, 401, "{name}");
    }
    assert_eq!(nobody.fetches("/form/").await.status, 200);
}

/// C1 and C7 over HTTP/2: the spellings that HTTP/2 allows.
#[tokio::test]
async fn no_alias_of_an_identity_header_gets_through_over_http2() {
    let house = House::open().await;
    let bob = Visitor::over_http2(house.gate.url(), &[]);
    bob.takes_cookie(
        "lychgate",
        &house.signed_in("bob").await.cookie("lychgate").expect("a session"),
    );
    let forged = [
        ("x-forwarded-user", "root"),
        ("x_forwarded_user", "root"),
        ("x.forwarded.user", "root"),
        ("x-forwarded_user", "root"),
        ("xforwardeduser", "root"),
        ("x--forwarded--user", "root"),
        ("x-forwarded-groups", "sre"),
        ("x_forwarded_groups", "sre"),
        ("remote-user", "root"),
        ("x-webauth-user", "root"),
        ("x-forwarded-for", "10.0.0.1"),
        ("x-real-ip", "10.0.0.1"),
        ("x-request-id", "forged-request-id"),
        ("forwarded", "for=10.0.0.1"),
    ];

    let answer = bob.asks(Method::GET, "/app", &forged).await;

    assert_eq!(
        (answer.status, answer.echoed("x-forwarded-user").as_deref()),
        (StatusCode::OK, Some("bob"))
    );
    assert_eq!(answer.echoed("x-forwarded-groups").as_deref(), Some("engineering"));
    for value in ["root", "sre", "10.0.0.1", "forged-request-id"] {
        assert!(!answer.text().contains(&format!("\"{value}\"")), "{value}: {}", answer.text());
    }
}

/// C3: a public page is told nothing by a stranger, and the truth about somebody who is signed in.
#[tokio::test]
async fn a_public_page_is_told_the_truth_or_nothing() {
    let house = House::open().await;
    let forged = [
        ("x-forwarded-user", "root"),
        ("X_Forwarded_Groups", "sre"),
        ("x-forwarded-email", "root@corp.test"),
    ];

    let nobody = house.visitor().asks(Method::GET, "/public/x", &forged).await;
    let bob = house.signed_in("bob").await.asks(Method::GET, "/public/x", &forged).await;

    for name in
        ["x-forwarded-user", "x-forwarded-groups", "x_forwarded_groups", "x-forwarded-email"]
    {
        assert!(nobody.echoed(name).unwrap_or_default().is_empty(), "{name}");
    }
    assert_eq!(bob.echoed("x-forwarded-user").as_deref(), Some("bob"));
    assert_eq!(bob.echoed("x-forwarded-groups").as_deref(), Some("engineering"));
    assert_eq!(bob.echoed("x_forwarded_groups"), None);
}

/// C4: our own pages believe no header either.
#[tokio::test]
async fn our_own_pages_believe_no_identity_header() {
    let house = House::open().await;
    let nobody = house.visitor();
    let forged =
        [("x-forwarded-user", "root"), ("remote-user", "root"), ("x-forwarded-groups", "sre")];
    for (method, path, expected) in [
        (Method::GET, "/.lychgate/me", 401),
        (Method::GET, "/.lychgate/", 401),
        (Method::GET, "/.lychgate/callback", 400),
        (Method::OPTIONS, "/admin/", 401),
    ] {
        let answer = nobody.asks(method, path, &forged).await;

        assert_eq!(answer.status.as_u16(), expected, "{path}");
        assert!(!answer.text().contains("root"), "{path}");
    }
    assert_eq!(house.application.requests(), []);
}

/// C6: whatever a provider says of somebody stays inside the header that it is for.
#[tokio::test]
async fn hostile_claims_stay_inside_their_header() {
    let house = House::open().await;
    for (user, groups) in [
        ("a\r\nX-Admin: yes", json!(["x\r\nX-Admin: yes"])),
        ("nul\0byte", json!(["a,sre"])),
        ("quote\"\\;=", json!(["a\nsre", "b"])),
        ("\u{202e}gnp.exe", json!(["\u{85}"])),
        ("emoji \u{1f511}", json!({ "sre": true })),
        ("number", json!(7)),
        ("null", json!(null)),
        ("many", json!((0..200).map(|number| format!("g{number}")).collect::<Vec<_>>())),
    ] {
        house.provider.set(|control| {
            control.tamper = vec![
                Tamper::set_claim("preferred_username", user),
                Tamper::set_claim("groups", groups.clone()),
            ];
        });
        let bob = house.visitor();
        let page = bob.signs_in_as("bob", "/").await;
        if page.status != 200 {
            assert!(!bob.has_session(), "{user:?}: refused, and without a session");
            continue;
        }

        let answer = bob.fetches("/x").await;

        assert_eq!(answer.echoed("x-admin"), None, "{user:?}");
        let list = answer.echoed("x-forwarded-groups").unwrap_or_default();
        assert!(list.split(',').all(|group| group.trim() != "sre"), "{user:?}: {list}");
        assert_eq!(bob.fetches("/admin/").await.status, 403, "{user:?}");
    }
}

/// C7: what may stand once stands once.
#[tokio::test]
async fn a_header_that_may_stand_once_may_not_stand_twice() {
    let house = House::open().await;
    for (headers, expected) in [
        ("Authorization: Bearer a\r\nAuthorization: Bearer b\r\n", 400),
        ("X-Forwarded-For: 10.0.0.1\r\nX-Forwarded-For: 10.0.0.2\r\n", 200),
        ("Accept: a\r\nAccept: b\r\n", 200),
    ] {
        let message = format!(
            "GET /public/ HTTP/1.1\r\nHost: {}\r\n{headers}Connection: close\r\n\r\n",
            house.host()
        );

        let exchange = raw::send(house.gate.address(), message).await;

        assert_eq!(exchange.statuses(), [expected], "{headers}");
        assert!(!exchange.responses[0].text().contains("10.0.0."), "{headers}");
    }
}

/// C8, I5: applications get their own cookies byte for byte and in order, and none of ours; what a client
/// says of itself in `Authorization` is its own.
#[tokio::test]
async fn an_application_gets_its_own_cookies_and_none_of_ours() {
    let house = House::open().await;
    let session = house.session_of("bob").await;
    let cookies = format!(
        "a=1; {session}; b=\"2 3\"; lychgate-2=x; __Host-lychgate=y; lychgate-login-abc=z; c=%20;d"
    );
    let message = format!(
        "GET /app HTTP/1.1\r\nHost: {}\r\nCookie: {cookies}\r\nAuthorization: Bearer mine\r\nConnection: close\r\n\r\n",
        house.host()
    );

    let exchange = raw::send(house.gate.address(), message).await;

    assert_eq!(exchange.statuses(), [200]);
    let request = house.application.requests().pop().expect("it arrived");
    assert_eq!(request.header("cookie"), Some("a=1; b=\"2 3\"; c=%20; d"));
    assert_eq!(request.header("authorization"), Some("Bearer mine"));
    assert!(!format!("{request:?}").contains("lychgate"), "{request:?}");
}

/// C9: an application cannot sign anybody in or out, and what it says in our headers is not passed on.
#[tokio::test]
async fn an_application_cannot_set_our_cookies() {
    let house = House::open().await;
    let bob = house.signed_in("bob").await;
    for name in [
        "lychgate",
        "LychGate",
        "__Host-lychgate",
        "lychgate-2",
        "lychgate-login-abc",
        "lychgate-logout",
    ] {
        let answer = bob.fetches(&format!("/set-cookie?name={name}&value=forged")).await;

        assert_eq!(answer.set_cookies(), [] as [&str; 0], "{name}");
    }
    let theirs = bob.fetches("/set-cookie?name=theme&value=dark").await;
    assert_eq!(theirs.set_cookies(), ["theme=dark; Path=/"]);
    assert_eq!(bob.fetches("/").await.status, 200, "still signed in");
}

/// E2, H1, I1: a session cookie that is not exactly the one that was given is none, and every failure looks
/// the same.
#[tokio::test]
async fn a_session_cookie_that_is_not_exactly_right_is_none() {
    let house = House::open().await;
    let session = house.signed_in("bob").await.cookie("lychgate").expect("a session");
    house.application.clear();
    let mut lines: Vec<String> = [
        "",
        "%",
        "x",
        "%%%",
        "2.",
        "0.a",
        "99.a",
        "-1.a",
        "18446744073709551616.a",
        "2.a; lychgate-2=b",
        "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        "\u{e9}",
    ]
    .map(|value| format!("lychgate={value}"))
    .into();
    lines.push(format!("lychgate={}", "Q".repeat(8000)));
    lines.push(format!("lychgate=\"{session}\""));
    lines.push(format!("lychgate={session}; lychgate=bad"));
    lines.push(format!("lychgate=bad; lychgate={session}"));
    lines.push(format!("lychgate={session}; lychgate={session}"));
    lines.push(format!("lychgate={session}\r\nCookie: lychgate=bad"));
    lines.push(format!("lychgate={session}x"));
    lines.push(format!("Lychgate={session}"));
    for cut in [1, 2, 7, 33, session.len() / 2, session.len() - 1] {
        lines.push(format!("lychgate={}", &session[..session.len() - cut]));
    }
    // One changed character every few: each falls into another field of what is sealed.
    for at in (0..session.len()).step_by(session.len() / 40) {
        let other = if &session[at..=at] == "A" { "B" } else { "A" };
        lines.push(format!("lychgate={}{other}{}", &session[..at], &session[at + 1..]));
    }

    for line in lines {
        let message = format!(
            "GET / HTTP/1.1\r\nHost: {}\r\nCookie: {line}\r\nConnection: close\r\n\r\n",
            house.host()
        );

        let exchange = raw::send(house.gate.address(), message).await;

        assert_eq!(exchange.statuses(), [401], "{line}");
        let code = serde_json::from_slice::<serde_json::Value>(&exchange.responses[0].body)
            .expect("a problem")["code"]
            .clone();
        assert!(code == "session_unreadable" || code == "session_required", "{line}: {code}");
    }
    assert_eq!(house.application.requests(), []);
}

/// E3: what is answered instead of a page has nothing of it.
#[tokio::test]
async fn an_answer_instead_of_a_page_has_nothing_of_it() {
    let house = House::open().await;
    let nobody = house.visitor();
    for headers in [
        &[("accept", "text/html")][..],
        &[("accept", "application/json")],
        &[("sec-fetch-mode", "navigate")],
        &[("accept", "text/event-stream")],
        &[("upgrade", "websocket"), ("connection", "upgrade")],
        &[("authorization", "Bearer x")],
        &[("authorization", "Basic eDp4")],
        &[("user-agent", "kube-probe/1.30")],
        &[("user-agent", "GoogleHC/1.0")],
    ] {
        let answer = nobody.asks(Method::GET, "/secret", headers).await;

        assert!([302, 401].contains(&answer.status.as_u16()), "{headers:?}: {}", answer.status);
    }
    assert_eq!(house.application.requests(), []);
}

/// E4: callbacks that answer nothing are refused, and the provider is not asked.
#[tokio::test]
async fn a_callback_that_answers_nothing_is_refused() {
    let house = House::open().await;
    let bob = house.visitor();
    let good = bob.comes_back_as("bob", "/").await;
    let query = good.query().unwrap_or_default().to_owned();
    let long = format!("state={}", "s".repeat(6000));
    for bad in [
        "",
        "code=x",
        "state=x",
        "error=access_denied",
        "code=x&error=y&state=z",
        "code=a&code=b&state=s",
        "code=a&state=s&state=t",
        "response=a.b.c",
        &long,
        "code=%00&state=%0d%0a",
        "%ff=%fe&state=s",
        &format!("{query}&code=other"),
        &format!("{query}&iss=other"),
    ] {
        let page = house.visitor().opens(&format!("/.lychgate/callback?{bad}")).await;

        assert_eq!(page.status, 400, "{bad}: {}", page.status);
    }
    for method in [Method::POST, Method::PUT, Method::HEAD] {
        let answer = bob.asks(method.clone(), good.as_str(), &[]).await;

        assert_eq!((answer.status.as_u16(), answer.header("allow")), (405, "GET"), "{method}");
    }
    assert_eq!(house.provider.count("/token"), 0);
    let page = bob.opens(good.as_str()).await;
    assert_eq!(
        (page.status, bob.has_session()),
        (StatusCode::SEE_OTHER, true),
        "the good one still works"
    );
}

/// F5, CB-29: a callback works once; whoever it signed in is sent on, anybody else is refused.
#[tokio::test]
async fn a_callback_works_once() {
    let house = House::open().await;
    let bob = house.visitor();
    let callback = bob.comes_back_as("bob", "/page").await;
    let kept: Vec<_> = bob.cookies();
    bob.opens(callback.as_str()).await;

    let again = bob.opens(callback.as_str()).await;
    let thief = house.visitor();
    for (name, value) in kept {
        thief.takes_cookie(&name, &value);
    }
    let stolen = thief.opens(callback.as_str()).await;

    assert_eq!(again.location().map(|url| url.path().to_owned()).as_deref(), Some("/page"));
    assert_eq!(
        (stolen.status, stolen.reason()),
        (StatusCode::BAD_REQUEST, "login_already_used".to_owned())
    );
    assert!(!thief.has_session());
    assert_eq!(house.provider.count("/token"), 1);
}

/// F2: somebody else's state is not mine, and mine still works.
#[tokio::test]
async fn somebody_elses_answer_does_not_complete_my_login() {
    let house = House::open().await;
    let (victim, attacker) = (house.visitor(), house.visitor());
    let mine = victim.comes_back_as("bob", "/").await;
    let theirs = attacker.comes_back_as("eve", "/").await;

    let page = victim.opens(theirs.as_str()).await;
    let after = victim.opens(mine.as_str()).await;

    assert_eq!(
        (page.status, page.reason()),
        (StatusCode::BAD_REQUEST, "login_not_ours".to_owned())
    );
    assert_eq!(after.status, 303);
    assert_eq!(victim.fetches("/x").await.echoed("x-forwarded-user").as_deref(), Some("bob"));
}

/// F11: whoever signs in again has a new session, and the old one is over.
#[tokio::test]
async fn signing_in_again_ends_the_session_before() {
    let house = House::open().await;
    let browser = house.signed_in("bob").await;
    let old = browser.cookie("lychgate").expect("a session");

    browser.signs_in_as("eve", "/.lychgate/login?prompt=select_account").await;
    let thief = house.visitor();
    thief.takes_cookie("lychgate", &old);

    assert_eq!(browser.fetches("/x").await.echoed("x-forwarded-user").as_deref(), Some("eve"));
    assert_eq!(thief.fetches("/x").await.status, 401);
}

/// E7: below our prefix there is nothing but our pages, in one spelling, and no application can stand there.
#[tokio::test]
async fn below_our_prefix_are_our_pages_and_nothing_else() {
    let house = House::open().await;
    let alice = house.signed_in("alice").await;
    house.application.clear();
    for (path, expected) in [
        ("/.lychgate/metrics", 404),
        ("/.lychgate/readyz", 404),
        ("/.lychgate/debug", 404),
        ("/.LYCHGATE/me", 404),
        ("/.lychgate/me/", 404),
        ("/.lychgate/me;x", 400),
        ("/%2Elychgate/me", 200),
        ("/.lychgate/me%2f", 400),
    ] {
        let message = format!(
            "GET {path} HTTP/1.1\r\nHost: {}\r\nCookie: {}\r\nConnection: close\r\n\r\n",
            house.host(),
            alice.cookie_header(&alice.url("/")).unwrap_or_default()
        );

        let exchange = raw::send(house.gate.address(), message).await;

        assert_eq!(exchange.statuses(), [expected], "{path}");
    }
    assert_eq!(house.application.requests(), []);
    for path in ["/metrics", "/readyz"] {
        assert_eq!(alice.fetches(path).await.json()["path"], path, "the application's own");
    }
}

/// H8: a session of several cookies is kept, split; one that is too large ends in a page that says so.
#[tokio::test]
async fn a_person_in_many_groups_is_kept_in_several_cookies_or_told_that_it_is_too_much() {
    let house = House::with("limits.header_bytes = \"64KiB\"").await;
    let groups =
        |count: usize| (0..count).map(|number| format!("department-{number:04}-readers")).collect();
    let set_groups = |count: usize| {
        house.provider.set(|control| {
            control.personas = vec![Persona {
                groups: groups(count),
                ..lychgate_demo::personas::default().remove(1)
            }];
        });
    };

    set_groups(200);
    let bob = house.signed_in("bob").await;
    let parts = bob.cookies();
    let answer = bob.fetches("/x").await;
    set_groups(4000);
    let other = house.visitor();
    let page = other.signs_in_as("bob", "/").await;

    assert!((2..=3).contains(&parts.len()), "{}", parts.len());
    assert!(parts.iter().all(|(name, value)| name.len() + value.len() <= 4096));
    assert_eq!(answer.echoed("x-forwarded-groups").unwrap_or_default().split(',').count(), 200);
    assert_eq!(
        (page.status, page.reason()),
        (StatusCode::FORBIDDEN, "session_too_large".to_owned())
    );
    assert!(!other.has_session());
}

/// H8, I1: a session with a part missing, or with parts in each other's place, is none and is cleared whole.
#[tokio::test]
async fn a_session_with_a_part_missing_is_none_and_is_cleared_whole() {
    let house = House::planned(|plan| {
        plan.provider.personas[1].groups =
            (0..200).map(|number| format!("department-{number:04}-readers")).collect();
    })
    .await;
    let bob = house.signed_in("bob").await;
    let parts = bob.cookies();
    assert!(parts.len() > 1);
    house.application.clear();

    for missing in 0..parts.len() {
        let incomplete = house.visitor();
        for (name, value) in
            parts.iter().enumerate().filter(|(at, _)| *at != missing).map(|(_, part)| part)
        {
            incomplete.takes_cookie(name, value);
        }
        assert_eq!(incomplete.fetches("/").await.status, 401, "without part {missing}");
    }
    let swapped = house.visitor();
    swapped.takes_cookie(&parts[0].0, &parts[1].1);
    swapped.takes_cookie(&parts[1].0, &parts[0].1);
    let answer = swapped.fetches("/").await;
    assert_eq!(answer.status, 401);
    assert_eq!(swapped.cookies(), [], "all parts are cleared");
    assert_eq!(house.application.requests(), []);
}

/// H7: what was set with some attributes is cleared with the same.
#[tokio::test]
async fn a_cookie_is_cleared_with_the_attributes_with_which_it_was_set() {
    let house = House::open().await;
    let bob = house.visitor();
    let callback = bob.comes_back_as("bob", "/").await;
    let set = bob.opens(callback.as_str()).await;

    let cleared = bob.sends(Method::POST, "/.lychgate/logout", &[], Vec::new()).await;

    let attributes = |lines: Vec<&str>| {
        let line = lines
            .into_iter()
            .find(|line| line.starts_with("lychgate="))
            .expect("a session line")
            .to_owned();
        let mut attributes: Vec<_> = line
            .split("; ")
            .skip(1)
            .filter(|it| !it.starts_with("Max-Age"))
            .map(str::to_owned)
            .collect();
        attributes.sort();
        attributes
    };
    assert_eq!(attributes(set.set_cookies()), attributes(cleared.set_cookies()));
    assert!(attributes(set.set_cookies()).contains(&"HttpOnly".to_owned()));
}

/// F3, H7: on https the names carry `__Host-`, which a sibling host cannot plant.
#[tokio::test]
async fn on_https_a_cookie_belongs_to_its_host() {
    let house = House::planned(|plan| plan.set("[routes.app]\nurl = \"https://app.test\"")).await;
    let message =
        "GET / HTTP/1.1\r\nHost: app.test\r\nAccept: text/html\r\nConnection: close\r\n\r\n";

    let exchange = raw::send(house.gate.address(), message).await;

    assert_eq!(exchange.statuses(), [302]);
    let line = exchange.responses[0].header("set-cookie").unwrap_or_default().to_owned();
    assert!(line.starts_with("__Host-lychgate-login-"), "{line}");
    for attribute in ["Secure", "HttpOnly", "SameSite=Lax", "Path=/"] {
        assert!(line.contains(attribute), "{attribute} in {line}");
    }
    assert!(!line.contains("Domain"), "{line}");
    let location = exchange.responses[0].header("location").unwrap_or_default();
    assert!(
        location.contains("redirect_uri=https%3A%2F%2Fapp.test%2F.lychgate%2Fcallback"),
        "{location}"
    );
}

/// I4: cookie headers that were made to hurt.
#[tokio::test]
async fn cookie_headers_that_were_made_to_hurt_are_survived() {
    let house = House::with("limits.header_bytes = \"1MiB\"").await;
    let many = (0..5000).map(|number| format!("c{number}=x")).collect::<Vec<_>>().join("; ");
    let long = format!("a={}", "x".repeat(900_000));
    for (cookies, expected) in [
        (";;;; ; =; ==;a;", &[401][..]),
        ("\u{ff}=\u{fe}", &[400, 401]),
        ("lychgate", &[401]),
        ("=lychgate=x", &[401]),
        ("lychgate-2=x", &[401]),
        (&many, &[401]),
        (&long, &[401, 431]),
    ] {
        let message = format!(
            "GET / HTTP/1.1\r\nHost: {}\r\nCookie: {cookies}\r\nConnection: close\r\n\r\n",
            house.host()
        );

        let exchange = raw::send(house.gate.address(), message).await;

        let statuses = exchange.statuses();
        assert!(
            statuses.len() == 1 && expected.contains(&statuses[0]),
            "{:.20}: {statuses:?}",
            cookies
        );
    }
    assert_eq!(house.visitor().fetches("/public/").await.status, 200, "and serves on");
}

/// K6: what is too long or too large has its own status, in both versions of HTTP.
#[tokio::test]
async fn what_is_too_large_is_refused_by_its_own_status() {
    let house = House::with(
        "[limits]\nheader_bytes = \"8KiB\"\nuri_bytes = \"2KiB\"\n[routes.app.limits]\nbody = \"64KiB\"",
    )
    .await;
    let (long, large) = ("x".repeat(3000), "y".repeat(9000));
    for visitor in [house.visitor(), Visitor::over_http2(house.gate.url(), &[])] {
        let uri = visitor.fetches(&format!("/public/{long}")).await;
        let headers = visitor.asks(Method::GET, "/public/", &[("x-large", &large)]).await;
        let body = visitor.sends(Method::POST, "/public/", &[], vec![b'z'; 65 * 1024]).await;
        let fits = visitor.sends(Method::POST, "/public/", &[], vec![b'z'; 64 * 1024]).await;

        assert_eq!(
            (uri.status, uri.reason()),
            (StatusCode::URI_TOO_LONG, "uri_too_long".to_owned())
        );
        assert_eq!(headers.status, StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
        assert_eq!(
            (body.status, body.reason()),
            (StatusCode::PAYLOAD_TOO_LARGE, "body_too_large".to_owned())
        );
        assert_eq!(
            (fits.status, fits.json()["body_bytes"].clone()),
            (StatusCode::OK, json!(65536))
        );
    }
}

/// K6: a body that does not say how large it is is counted.
#[tokio::test]
async fn a_body_without_a_length_is_counted() {
    let house = House::with("routes.app.limits.body = \"1KiB\"").await;
    let chunk = format!("400\r\n{}\r\n", "x".repeat(1024));
    for (chunks, expected) in [(1, 200), (2, 413)] {
        let message = format!(
            "POST /public/ HTTP/1.1\r\nHost: {}\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n{}0\r\n\r\n",
            house.host(),
            chunk.repeat(chunks)
        );

        let exchange = raw::send(house.gate.address(), message).await;

        assert_eq!(exchange.statuses(), [expected], "{chunks} KiB");
    }
}

/// M2: an address counts for a rule only when the provider says that it was verified.
#[tokio::test]
async fn an_address_that_was_not_verified_opens_nothing() {
    let house = House::with("routes.app.allow = [\"domain:demo.example\"]").await;
    for (claim, expected) in [
        (Some(json!(true)), 200),
        (Some(json!(false)), 403),
        (Some(json!("false")), 403),
        (Some(json!("true")), 403),
        (Some(json!(1)), 403),
        (None, 403),
    ] {
        house.provider.set(|control| {
            control.tamper = vec![match &claim {
                Some(value) => Tamper::set_claim("email_verified", value.clone()),
                None => Tamper::drop_claim("email_verified"),
            }];
            // What the token does not say is asked for there.
            control.userinfo_edits = vec![Edit::drop("email_verified")];
        });

        let page = house.visitor().signs_in_as("bob", "/").await;

        assert_eq!(page.status.as_u16(), expected, "{claim:?}");
    }
    for address in [
        "bob@evil.test@demo.example",
        "bob@demo.example.evil.test",
        "bob@notdemo.example",
        "@demo.example",
        "demo.example",
    ] {
        house.provider.set(|control| control.tamper = vec![Tamper::set_claim("email", address)]);

        let page = house.visitor().signs_in_as("bob", "/").await;

        assert_ne!(page.status, 200, "{address}");
    }
}

/// M5: one session, two rules: each request is judged by its own.
#[tokio::test]
async fn one_session_is_judged_by_each_rule_on_its_own() {
    let house = House::open().await;
    let bob = house.signed_in("bob").await;
    for _ in 0..10 {
        let (app, admin) =
            futures_util::future::join(bob.fetches("/app"), bob.fetches("/admin/")).await;

        assert_eq!((app.status, admin.status), (StatusCode::OK, StatusCode::FORBIDDEN));
    }
    assert_eq!(house.application.count("/admin/"), 0);
}

/// A1 to A3: whatever a browser is asked to return to, it stays here. The visitor of the cast reads every
/// `Location` as a browser does.
#[tokio::test]
async fn a_hostile_return_to_leads_home() {
    let house = House::open().await;
    let corpus = include_str!("../fixtures/hostile/return_to.txt");
    let bytes = [("<TAB>", "\t"), ("<LF>", "\n"), ("<CR>", "\r"), ("<VT>", "\u{b}")];
    let bob = house.signed_in("bob").await;
    for line in corpus.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        let target =
            bytes.iter().fold(line.to_owned(), |text, (name, byte)| text.replace(name, byte));
        let mut place = bob.url("/.lychgate/login");
        place.query_pairs_mut().append_pair("return_to", &target);

        let answer = bob.opens(place.as_str()).await;

        let location = answer.location().unwrap_or_else(|| panic!("{line}: {}", answer.status));
        assert_eq!(location.origin().ascii_serialization(), house.gate.url(), "{line}");
        let bare = answer
            .headers
            .get(header::LOCATION)
            .and_then(|it| it.to_str().ok())
            .unwrap_or_default();
        assert!(!bare.contains("evil"), "{line}: {bare}");
    }
}

/// O-1 in small: many people at once, each answered as themselves.
#[tokio::test]
async fn people_who_come_at_once_are_never_mixed_up() {
    let house = House::planned(|plan| {
        plan.provider.personas = (0..20)
            .map(|number| Persona {
                subject: format!("s{number}"),
                preferred_username: format!("user{number}"),
                name: format!("User {number}"),
                email: None,
                email_verified: false,
                groups: Vec::new(),
            })
            .collect();
    })
    .await;
    let visits = (0..20).map(async |number| {
        let visitor = house.visitor();
        let user = format!("user{number}");
        visitor.signs_in_as(&user, "/").await;
        for _ in 0..10 {
            assert_eq!(visitor.fetches("/x").await.echoed("x-forwarded-user"), Some(user.clone()));
        }
    });

    futures_util::future::join_all(visits).await;

    assert_eq!(house.application.count("/x"), 200);
}
