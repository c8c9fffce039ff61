//! What is kept out, and what is taken from those who are let in.

use http::{Method, StatusCode};
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

/// R20, K6: what is too long or too large has its own status, in both versions of HTTP.
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
