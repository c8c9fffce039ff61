//! Signing out: here at once, then at the provider.

use http::{Method, StatusCode};
use lychgate_tests::cast::house::House;

/// H6, H7: the session ends here and at the provider, and the browser comes back to a page that says so.
#[tokio::test]
async fn a_person_signs_out_here_and_at_the_provider() {
    let house = House::open().await;
    let alice = house.signed_in("alice").await;

    let answer = alice
        .sends(Method::POST, "/.lychgate/logout", &[("accept", "text/html")], Vec::new())
        .await;
    let to_provider = answer.location().expect("the provider is next");
    let page = alice.follows(answer.clone()).await;

    assert_eq!(answer.status, 303);
    assert!(to_provider.as_str().starts_with(house.provider.issuer()), "{to_provider}");
    let has = |name: &str| to_provider.query_pairs().any(|(found, _)| found == name);
    assert!(
        has("state") && has("id_token_hint") && has("post_logout_redirect_uri"),
        "{to_provider}"
    );
    assert_eq!((page.status, page.url.path()), (StatusCode::OK, "/.lychgate/signed-out"));
    assert!(!alice.has_session());
    assert_eq!(alice.cookies(), [], "nothing of ours is left");
    assert_eq!(alice.fetches("/").await.status, 401);
}

/// H6: a copy of the cookie is worth nothing once its session was signed out.
#[tokio::test]
async fn a_cookie_that_somebody_kept_is_worth_nothing_after_sign_out() {
    let house = House::open().await;
    let alice = house.signed_in("alice").await;
    let kept = alice.cookie("lychgate").expect("a session");
    let thief = house.visitor();
    thief.takes_cookie("lychgate", &kept);
    assert_eq!(thief.fetches("/").await.status, 200);

    alice.sends(Method::POST, "/.lychgate/logout", &[], Vec::new()).await;
    house.application.clear();
    let replayed = thief.fetches("/").await;

    assert_eq!(
        (replayed.status, replayed.reason()),
        (StatusCode::UNAUTHORIZED, "session_signed_out".to_owned())
    );
    assert_eq!(house.application.requests(), []);
}

/// Another site cannot sign anybody out; it is asked first, and what is asked names our own page.
#[tokio::test]
async fn another_site_cannot_sign_anybody_out() {
    let house = House::open().await;
    let alice = house.signed_in("alice").await;
    for (method, headers) in [
        (Method::GET, &[("sec-fetch-site", "cross-site"), ("accept", "text/html")][..]),
        (Method::GET, &[("accept", "text/html")]),
        (Method::POST, &[("sec-fetch-site", "cross-site"), ("accept", "text/html")]),
        (Method::POST, &[("origin", "https://evil.test"), ("accept", "text/html")]),
        (Method::POST, &[("origin", "null"), ("accept", "text/html")]),
        (Method::GET, &[("sec-fetch-site", "same-site"), ("accept", "text/html")]),
        // A picture that a stranger put on a page of the application.
        (Method::GET, &[("sec-fetch-site", "same-origin"), ("sec-fetch-mode", "no-cors")]),
    ] {
        let page = alice.asks(method.clone(), "/.lychgate/logout", headers).await;

        assert_eq!(page.status, 200, "{method} {headers:?}");
        assert!(
            page.text().contains("action=\"/.lychgate/logout\"")
                || page.text().contains("&#x2f;logout"),
            "{}",
            page.text()
        );
        assert!(page.set_cookies().is_empty(), "{method} {headers:?}");
        assert_eq!(alice.fetches("/").await.status, 200, "{method} {headers:?}: still signed in");
    }

    let link = [("sec-fetch-site", "same-origin"), ("sec-fetch-mode", "navigate")];
    let own = alice.asks(Method::GET, "/.lychgate/logout", &link).await;
    assert_eq!(own.status, 303, "our own link signs out");
}

/// A3: the way out of a sign-out is listed, character for character.
#[tokio::test]
async fn a_sign_out_leads_only_to_places_that_are_listed() {
    let house =
        House::with("auth.post_logout_redirect_uris = [\"https://www.example.com/bye\"]").await;
    for (target, expected) in [
        ("https://www.example.com/bye", Some("https://www.example.com/bye")),
        ("https://www.example.com/bye?x", None),
        ("https://www.example.com/bye/", None),
        ("https://www.example.com", None),
        ("//www.example.com/bye", None),
        ("https://evil.test/", None),
        ("javascript:alert(1)", None),
    ] {
        let nobody = lychgate_tests::cast::visitor::Visitor::of(
            house.gate.url(),
            &["https://www.example.com"],
        );
        let mut place = nobody.url("/.lychgate/logout");
        place.query_pairs_mut().append_pair("return_to", target);

        let answer = nobody
            .sends(Method::POST, place.as_str(), &[("accept", "text/html")], Vec::new())
            .await;

        assert_eq!(answer.location().map(String::from).as_deref(), expected, "{target}");
    }
}

/// A `state` that is not ours changes nothing but what the page says.
#[tokio::test]
async fn coming_back_from_a_sign_out_that_was_never_begun_signs_nobody_out() {
    let house = House::open().await;
    let alice = house.signed_in("alice").await;

    let page = alice.opens("/.lychgate/signed-out?state=AAAAAAAAAAAAAAAAAAAAAA").await;

    assert_eq!(page.status, 200);
    assert_eq!(alice.fetches("/").await.status, 200, "still signed in");
}

/// T-30: a sign-out is an event.
#[tokio::test]
async fn a_sign_out_is_written_down() {
    let house = House::open().await;
    let alice = house.signed_in("alice").await;

    let answer = alice.sends(Method::POST, "/.lychgate/logout", &[], Vec::new()).await;

    let event = house.gate.audit_event(answer.request_id()).await;
    assert_eq!(event["event"]["action"], "logout");
    assert_eq!(event["event"]["outcome"], "success");
    let metrics = house.gate.metrics().await;
    assert!(metrics.contains("lychgate_logouts_total{provider=\"demo\"} 1"), "{metrics}");
}
