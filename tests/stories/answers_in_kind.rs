//! Every kind of client gets the answer that it understands (5.4).

use http::{Method, StatusCode};
use lychgate_demo::provider::RawAnswer;
use lychgate_tests::cast::gate::free_port;
use lychgate_tests::cast::grpc::Grpc;
use lychgate_tests::cast::house::House;
use lychgate_tests::cast::raw;
use lychgate_tests::cast::visitor::Answer;
use serde_json::json;

const SPA: &str = "https://spa.example.com";

/// A house whose application is the gRPC server.
async fn house_of(grpc: &Grpc, more: &str) -> House {
    let server = grpc.server();
    House::planned(|plan| {
        plan.set(&format!(
            "[upstreams.rig]\naddresses = [\"http://127.0.0.1:{server}\"]\nhttp2 = true\n\
             [routes.app]\nupstream = \"rig\"\n{more}"
        ));
    })
    .await
}

/// P-22: a gRPC client that nobody here wrote reads its own status, and the application answers whoever may pass.
#[tokio::test]
async fn a_grpc_client_reads_its_own_status() {
    let mut grpc = Grpc::start().await;
    let bearer = "allow = [\"group:sre\"]\nbearer.audience = \"https://api.example.com\"\n";
    let house = house_of(&grpc, bearer).await;
    let (port, host) = (house.gate.address().port(), house.host().to_owned());
    let token = |groups: &[&str]| {
        let claims = json!({
            "iss": house.provider.issuer(), "aud": "https://api.example.com", "sub": "demo-alice",
            "exp": 4_102_444_800_u64, "client_id": "batch", "groups": groups,
        });
        format!("Bearer {}", house.provider.signs("at+jwt", &claims).expect("it signs"))
    };

    let nobody = grpc.calls(port, &host, &[]).await;
    let forged = grpc.calls(port, &host, &[("authorization", "Bearer forged")]).await;
    let stranger = grpc.calls(port, &host, &[("authorization", &token(&["other"]))]).await;
    let alice = grpc.calls(port, &host, &[("authorization", &token(&["sre"]))]).await;
    let elsewhere = grpc.calls(port, "nowhere.localhost", &[]).await;

    assert_eq!((nobody.code, forged.code, stranger.code), (16, 16, 7), "{nobody:?} {forged:?}");
    assert!(nobody.details.contains("session_required"), "{nobody:?}");
    assert!(forged.details.contains("access_token_invalid"), "{forged:?}");
    let challenge = forged.metadata["www-authenticate"].as_str().unwrap_or_default();
    assert!(challenge.contains("error=\"invalid_token\""), "{forged:?}");
    assert_eq!(alice.code, 0, "{alice:?}");
    let echo = alice.echo.expect("the server answered");
    assert_eq!(echo["x-forwarded-user"], "demo-alice");
    assert!(!echo.contains_key("authorization"));
    assert_eq!(elsewhere.code, 12, "{elsewhere:?}");
}

/// A provider that cannot be asked is a difficulty that may pass: gRPC clients try again.
#[tokio::test]
async fn a_grpc_client_is_told_to_try_again_where_that_may_help() {
    let mut grpc = Grpc::start().await;
    let house =
        house_of(&grpc, "bearer.introspection = \"always\"\nbearer.any_audience = true\n").await;
    let broken = RawAnswer::json(StatusCode::INTERNAL_SERVER_ERROR, &json!({}));
    house.provider.set(|control| control.introspection_answer = Some(broken));

    let (port, host) = (house.gate.address().port(), house.host().to_owned());
    let called = grpc.calls(port, &host, &[("authorization", "Bearer opaque")]).await;

    assert_eq!(called.code, 14, "{called:?}");
}

/// P-22: over HTTP/1.1 there is no frame that could end the stream; there the body is empty.
#[tokio::test]
async fn over_http_1_the_trailers_are_headers_and_nothing_follows() {
    let house = House::open().await;
    for (content_type, expected) in [
        ("application/grpc+proto", "application/grpc"),
        ("application/grpc-web-text", "application/grpc-web"),
    ] {
        let message = format!(
            "POST /rig.Echo/Say HTTP/1.1\r\nHost: {}\r\nContent-Type: {content_type}\r\nTE: trailers\r\n\
             Content-Length: 5\r\nConnection: close\r\n\r\n\0\0\0\0\0",
            house.host()
        );

        let exchange = raw::send(house.gate.address(), message).await;

        assert_eq!(exchange.statuses(), [200], "{content_type}");
        let answer = &exchange.responses[0];
        assert_eq!(answer.header("content-type"), Some(expected));
        assert_eq!(answer.header("content-length"), Some("0"));
        assert_eq!(answer.header("grpc-status"), Some("16"));
        let message = answer.header("grpc-message").unwrap_or_default();
        assert!(message.contains("session_required"), "{message}");
        assert_eq!(answer.text(), "");
    }
}

/// htmx leaves its page for the sign-in page, and comes back to the page, not to the part that it asked for.
#[tokio::test]
async fn htmx_goes_to_sign_in_and_comes_back_to_its_page() {
    let house = House::open().await;
    let nobody = house.visitor();
    let page = nobody.url("/board?x=1#top").to_string();
    for (current, expected) in [
        (page.as_str(), "/.lychgate/login?return_to=%2Fboard%3Fx%3D1"),
        ("https://evil.test/board", "/.lychgate/login?return_to=%2F"),
        ("", "/.lychgate/login?return_to=%2F"),
    ] {
        let headers = [("hx-request", "true"), ("hx-current-url", current), ("accept", "*/*")];
        let answer = nobody.asks(Method::GET, "/part", &headers).await;

        assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
        assert_eq!(answer.header("hx-redirect"), expected, "{current}");
        assert_eq!(answer.header("content-type"), "application/problem+json");
    }
    let bob = house.signed_in("bob").await;
    let refused = bob.asks(Method::GET, "/admin/part", &[("hx-request", "true")]).await;
    assert_eq!((refused.status, refused.header("hx-redirect")), (StatusCode::FORBIDDEN, ""));
}

/// 5.4: a preflight brings no session. By default it is refused like everything without one; a route may have the
/// application answer it, for nobody, and nothing else passes as one.
#[tokio::test]
async fn a_preflight_is_refused_or_passed_as_the_route_says() {
    let (refusing, passing) =
        (House::open().await, House::with("routes.app.cors = \"pass\"").await);
    let asks =
        [("origin", SPA), ("access-control-request-method", "PUT"), ("x-forwarded-user", "root")];

    let refused = refusing.visitor().asks(Method::OPTIONS, "/x", &asks).await;
    let passed = passing.visitor().asks(Method::OPTIONS, "/x", &asks).await;
    let bob = passing.signed_in("bob").await;
    let with_session = bob.asks(Method::OPTIONS, "/x", &asks).await;
    let no_preflight = passing.visitor().asks(Method::OPTIONS, "/x", &asks[..1]).await;
    let other_method = passing.visitor().asks(Method::PUT, "/x", &asks).await;

    assert_eq!(
        (refused.status, refused.reason()),
        (StatusCode::UNAUTHORIZED, "session_required".to_owned())
    );
    for (what, answer) in [("without a session", &passed), ("with one", &with_session)] {
        assert_eq!(answer.status, 200, "{what}");
        let seen = answer.json()["headers"].to_string();
        assert!(!seen.contains("x-forwarded-user") && !seen.contains("cookie"), "{what}: {seen}");
    }
    assert_eq!((no_preflight.status.as_u16(), other_method.status.as_u16()), (401, 401));
    let line = passing.gate.access_line(passed.request_id()).await;
    assert_eq!(line["decision"], "public");
}

/// Where we answer preflights, pages of the listed origins may read what they are told: by the application, by us,
/// and by gRPC-Web. Others may not, whatever the application says.
#[tokio::test]
async fn pages_of_listed_origins_may_read_what_they_are_told() {
    let toml = format!(
        "[routes.app.cors]\norigins = [\"{SPA}\"]\ncredentials = true\nexpose_headers = [\"ETag\"]"
    );
    let house = House::with(&toml).await;
    let (nobody, bob) = (house.visitor(), house.signed_in("bob").await);
    let preflight = |origin| [("origin", origin), ("access-control-request-method", "PUT")];
    let grpc_web = [("origin", SPA), ("content-type", "application/grpc-web+proto")];

    let ours = nobody.asks(Method::OPTIONS, "/x", &preflight(SPA)).await;
    let theirs = nobody.asks(Method::OPTIONS, "/x", &preflight("https://evil.test")).await;
    let refused =
        nobody.asks(Method::GET, "/x", &[("origin", SPA), ("sec-fetch-mode", "cors")]).await;
    let answered =
        bob.asks(Method::GET, "/x", &[("origin", SPA), ("sec-fetch-mode", "cors")]).await;
    let strangers = bob.asks(Method::GET, "/x", &[("origin", "https://evil.test")]).await;
    let grpc = nobody.asks(Method::POST, "/rig.Echo/Say", &grpc_web).await;

    let allowed = |answer: &Answer| answer.header("access-control-allow-origin").to_owned();
    assert_eq!((ours.status, allowed(&ours)), (StatusCode::NO_CONTENT, SPA.to_owned()));
    assert_eq!(ours.header("access-control-allow-methods"), "PUT");
    assert_eq!((theirs.status, allowed(&theirs)), (StatusCode::UNAUTHORIZED, String::new()));
    assert_eq!((refused.status, allowed(&refused)), (StatusCode::UNAUTHORIZED, SPA.to_owned()));
    assert_eq!((answered.status, allowed(&answered)), (StatusCode::OK, SPA.to_owned()));
    assert_eq!(answered.header("access-control-allow-credentials"), "true");
    assert_eq!((strangers.status, allowed(&strangers)), (StatusCode::OK, String::new()));
    assert_eq!((grpc.status, grpc.header("grpc-status")), (StatusCode::OK, "16"));
    assert_eq!(allowed(&grpc), SPA);
    assert!(grpc.header("access-control-expose-headers").contains("grpc-status"));
    assert_eq!(house.application.count("/rig.Echo/Say"), 0);
}

/// P-20: the type of a problem document leads to a page that says what it means.
#[tokio::test]
async fn the_type_of_a_problem_leads_to_a_page_about_it() {
    let house = House::open().await;
    let nobody = house.visitor();

    let problem = nobody.fetches("/x").await.json();
    let kind = problem["type"].as_str().expect("it has a type").to_owned();
    let page = nobody.opens(&kind).await;

    assert_eq!(kind, format!("{}/.lychgate/reasons/session_required", house.gate.url()));
    assert_eq!(
        (page.status, page.header("content-type")),
        (StatusCode::OK, "text/html; charset=utf-8")
    );
    assert!(
        page.text().contains("session_required") && page.text().contains("There is no session.")
    );
    assert_eq!(nobody.opens("/.lychgate/reasons/no_such_reason").await.status, 404);
    let not_found = nobody.fetches("/.lychgate/nothing").await.json();
    assert_eq!(
        not_found["type"], "/.lychgate/reasons/not_found",
        "relative to where it was asked for"
    );
}

/// A token that a route does not take is the application's affair: no page, no redirect, and no scheme that would not
/// help.
#[tokio::test]
async fn a_token_where_none_counts_is_told_that_there_is_no_session() {
    let house = House::open().await;
    let headers = [("authorization", "Bearer x"), ("accept", "text/html")];

    let answer = house.visitor().asks(Method::GET, "/x", &headers).await;
    let bob = house.signed_in("bob").await.asks(Method::GET, "/x", &headers).await;

    assert_eq!(
        (answer.status, answer.reason()),
        (StatusCode::UNAUTHORIZED, "session_required".to_owned())
    );
    assert!(answer.header("www-authenticate").starts_with("Cookie"));
    assert!(bob.text().contains("Bearer x"), "it is passed on with a session, as ever");
}

/// 5.4: a route where nobody signs in has no pages, whatever is wrong with its application.
#[tokio::test]
async fn a_route_without_sign_in_answers_browsers_of_its_application_with_problem_documents() {
    let house = House::planned(|plan| {
        plan.upstream(([127, 0, 0, 1], free_port()).into());
        plan.set("[routes.app]\nlogin = \"never\"\nlimits.body = \"1KiB\"");
    })
    .await;
    let visitor = house.visitor();
    let headers = [("accept", "text/html"), ("sec-fetch-mode", "navigate")];

    let down = visitor.asks(Method::GET, "/public/x", &headers).await;
    let large = visitor.sends(Method::POST, "/public/x", &headers, vec![7; 2000]).await;

    for (answer, reason) in [(down, "upstream_unreachable"), (large, "body_too_large")] {
        assert_eq!(answer.header("content-type"), "application/problem+json", "{}", answer.text());
        assert_eq!(answer.reason(), reason);
    }
}
