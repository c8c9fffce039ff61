//! Signing in: to the provider and back to the very place that was asked for.

use http::Method;
use lychgate_gateway::outcome::{Event, Page};
use lychgate_gateway::reason::Reason;

use crate::world::browser::{Browser, admission, page, reason, refusal, user};
use crate::world::plan::{Plan, PlannedRoute};
use crate::world::provider::Person;
use crate::world::{Ask, World, location};

/// CB-27, CB-36.
#[test]
fn signing_in_leads_to_the_page_with_its_query_and_fragment() {
    let world = World::new(Plan::one_app());
    let mut browser = world.browser(Person::ada());

    let seen = browser.opens("/deep/page?q=1&r=%2F#/tab/2");

    assert_eq!(seen.url, "https://app.test/deep/page?q=1&r=%2F#/tab/2");
    assert_eq!(seen.user(), Some("ada"));
    assert_eq!(admission(&seen.outcome).unwrap().target(), "/deep/page?q=1&r=%2F");
    assert_eq!(world.token_requests(), 1);
}

/// F4, F11: nothing of one login is found in the next, and a login leaves nothing behind but a session.
#[test]
fn every_login_is_made_of_new_values_and_cleans_up_after_itself() {
    let world = World::new(Plan::one_app());
    let mut states = std::collections::BTreeSet::new();

    for _ in 0..20 {
        let mut browser = world.browser(Person::ada());
        let login = browser.begins("/");
        assert!(states.insert(login.state.clone()), "repeated: {}", login.state);
        browser.finishes(&login);
        assert!(browser.jar.logins("app.test").is_empty());
        assert!(browser.jar.value("app.test", "__Host-lychgate").is_some());
    }
}

/// F12: whoever is signed in already is not asked again.
#[test]
fn the_sign_in_page_sends_on_whoever_is_signed_in() {
    let world = World::new(Plan::one_app());
    let mut browser = world.browser(Person::ada());
    browser.opens("/");

    let seen = browser.opens("/.lychgate/login?return_to=%2Fdeep%3Fq");

    assert_eq!(seen.url, "https://app.test/deep?q");
    assert_eq!(world.token_requests(), 1);
}

/// F11: the session before it is worth nothing afterwards, whoever kept a copy.
#[test]
fn signing_in_as_somebody_else_ends_the_session_before() {
    let world = World::new(Plan::one_app());
    let mut browser = world.browser(Person::ada());
    browser.opens("/");
    let mut copy = browser.clone();

    browser.person = Person::bob();
    let seen = browser.opens("/.lychgate/login?return_to=%2F&prompt=select_account");

    assert_eq!(seen.user(), Some("bob"));
    let with_copy = copy.page("/page");
    assert_eq!(copy.asks(with_copy).record.reason, Some(Reason::SessionSignedOut));
}

/// CB-37, A1: what is not one of our places leads home, and our own paths are no places to return to.
#[test]
fn a_hostile_return_target_leads_home() {
    let corpus = include_str!("../../../../tests/fixtures/hostile/return_to.txt");
    let hostile = corpus.lines().filter(|line| !line.starts_with("# ") && !line.contains('<'));
    let ours = ["/.lychgate/logout", "/.LYCHGATE/login", "https://app.test/.lychgate/login"];

    for target in hostile.chain(ours) {
        let world = World::new(Plan::one_app());
        let mut browser = world.browser(Person::ada());
        let escaped: String = url::form_urlencoded::byte_serialize(target.as_bytes()).collect();
        let seen = browser.opens(&format!("/.lychgate/login?return_to={escaped}"));
        assert_eq!(seen.url, "https://app.test/", "{target:?}");
        assert_eq!(seen.user(), Some("ada"), "{target:?}");
    }
}

/// An older browser, or a tool that follows redirects, goes straight to the only provider.
#[test]
fn a_client_without_scripts_goes_straight_to_the_only_provider() {
    let world = World::new(Plan::one_app());
    let mut browser = world.browser(Person::ada());

    let outcome =
        browser.asks(Ask::new(Method::GET, "https://app.test/x").with("accept", "text/html"));

    assert!(location(&outcome).unwrap().starts_with("https://corp.id.test/authorize?"));
    let Some(Event::LoginStarted { flow }) = &outcome.record.event else {
        panic!("{:?}", outcome.record.event)
    };
    assert!(!flow.is_empty());
}

#[test]
fn a_program_is_refused_and_never_sent_to_a_login_page() {
    let world = World::new(Plan::one_app());
    let mut browser = world.browser(Person::ada());
    let data = browser.data("/api");
    let script = browser.data("/api").with("sec-fetch-mode", "cors");
    let socket = browser.page("/socket").with("upgrade", "websocket");
    let written = Ask::new(Method::PUT, "https://app.test/x").with("accept", "text/html");

    for ask in [data, script, socket, written] {
        let outcome = browser.asks(ask.clone());
        assert_eq!(reason(&outcome), Some(Reason::SessionRequired), "{ask:?}");
        assert!(outcome.cookies.is_empty(), "{ask:?}");
    }
}

/// E8, ASVS 4.4.2: a page of another site may not open a WebSocket in somebody's name, wherever a session is used;
/// programs send no `Origin`, and where there is no session there is nobody to speak for.
#[test]
fn a_websocket_is_opened_with_a_session_by_the_applications_own_pages_only() {
    let mut plan = Plan::one_app();
    plan.routes[0].websocket_origins = vec!["https://portal.test"];
    let world = World::new(plan);
    let mut browser = world.browser(Person::ada());
    let from = |browser: &Browser, path: &str, origin: Option<&str>| {
        let ask = browser.page(path).with("upgrade", "websocket").with("connection", "upgrade");
        match origin {
            Some(origin) => ask.with("origin", origin),
            None => ask,
        }
    };
    let foreign = [Some("https://evil.test"), Some("null"), Some("http://app.test")];

    for origin in foreign {
        let public = browser.asks(from(&browser, "/public/ws", origin));
        assert!(admission(&public).is_some(), "{origin:?}: there is no session to use");
        let without = browser.asks(from(&browser, "/ws", origin));
        assert_eq!(reason(&without), Some(Reason::SessionRequired), "{origin:?}");
    }
    browser.opens("/");
    for path in ["/ws", "/public/ws"] {
        for origin in [None, Some("https://app.test"), Some("https://portal.test")] {
            let outcome = browser.asks(from(&browser, path, origin));
            assert_eq!(user(&outcome), Some("ada"), "{path} {origin:?}");
        }
        for origin in foreign {
            let outcome = browser.asks(from(&browser, path, origin));
            assert_eq!(reason(&outcome), Some(Reason::WebsocketOriginRefused), "{path} {origin:?}");
            assert!(admission(&outcome).is_none(), "{path} {origin:?}");
            assert_eq!(outcome.record.event, Some(Event::AccessDenied));
            assert!(outcome.record.rule.is_some());
        }
    }
}

/// Nothing that was written is thrown away silently.
#[test]
fn a_form_that_is_sent_without_a_session_is_not_redirected() {
    let world = World::new(Plan::one_app());
    let mut browser = world.browser(Person::ada());

    let mut ask = browser.page("/save");
    ask.method = Method::POST;
    let outcome = browser.asks(ask);

    assert_eq!(reason(&outcome), Some(Reason::SessionRequired));
    let sign_in = refusal(&outcome).unwrap().sign_in.as_deref();
    assert_eq!(sign_in, Some("/.lychgate/login?return_to=%2F"), "a GET of /save is something else");
}

#[test]
fn a_browser_that_looks_ahead_begins_no_login() {
    let world = World::new(Plan::one_app());
    let mut browser = world.browser(Person::ada());

    for address in ["/page", "/.lychgate/login?return_to=%2Fpage&provider=corp"] {
        let ask = browser.page(address).with("sec-purpose", "prefetch;prerender");
        let outcome = browser.asks(ask);
        assert_eq!(reason(&outcome), Some(Reason::SessionRequired), "{address}");
        assert!(outcome.cookies.is_empty(), "{address}");
    }
}

#[test]
fn a_provider_that_never_answered_is_said_to_be_unavailable() {
    let world = World::new(Plan::one_app());
    let mut browser = world.browser(Person::ada());
    world.at("corp", |corp| corp.known = false);

    let seen = browser.opens("/page");

    assert_eq!(seen.reason(), Some(Reason::ProviderUnavailable));
    assert_eq!(Reason::ProviderUnavailable.status(), 503);
    assert!(refusal(&seen.outcome).unwrap().retry_after.is_some());
    assert!(browser.jar.0.is_empty());
}

/// CB-10, F10: each tab lands on its own page, in whatever order they finish.
#[test]
fn tabs_finish_in_any_order() {
    let world = World::new(Plan::one_app());
    let mut browser = world.browser(Person::ada());
    let logins: Vec<_> = (0..4).map(|tab| browser.begins(&format!("/tab/{tab}"))).collect();

    for (tab, login) in logins.iter().enumerate().rev() {
        let seen = browser.finishes(login);
        assert_eq!(seen.url, format!("https://app.test/tab/{tab}"));
        assert_eq!(seen.user(), Some("ada"));
    }
    assert_eq!(world.token_requests(), 4);
}

/// F10: a browser carries so many logins and no more; it is the oldest that is given up.
#[test]
fn the_oldest_login_is_dropped_when_there_are_too_many() {
    let world = World::new(Plan::one_app());
    let mut browser = world.browser(Person::ada());

    let mut logins = Vec::new();
    for tab in 0..6 {
        world.pass("1s");
        logins.push(browser.begins(&format!("/tab/{tab}")));
        assert!(browser.jar.logins("app.test").len() <= 4);
    }

    for (tab, login) in logins.iter().enumerate() {
        let seen = browser.finishes(login);
        if tab < 2 {
            assert_eq!(seen.reason(), Some(Reason::LoginNotOurs), "{tab}");
        } else {
            assert_eq!(seen.url, format!("https://app.test/tab/{tab}"));
        }
    }
}

/// A login that is over makes room before one that is under way.
#[test]
fn logins_that_are_over_are_cleared_first() {
    let world = World::new(Plan::one_app());
    let mut browser = world.browser(Person::ada());
    browser.begins("/old");
    world.pass("11m");
    // A browser that does not keep to `Max-Age`.
    let mut kept = browser.jar.clone();
    browser.jar.0.clear();
    let young = browser.begins("/young");
    browser.jar.0.append(&mut kept.0);

    let link = format!("{}/login?return_to=%2Fnew&provider=corp", crate::world::plan::PREFIX);
    let cookies: Vec<_> =
        browser.jar.0.iter().map(|kept| format!("{}={}", kept.name, kept.value)).collect();
    let ask = browser.page(&link).with("cookie", &cookies.join("; "));
    let outcome = browser.asks(ask);

    let cleared =
        outcome.cookies.iter().filter(|line| line.to_str().unwrap().contains("Max-Age=0"));
    assert_eq!(cleared.count(), 1);
    assert_eq!(browser.finishes(&young).url, "https://app.test/young");
}

#[test]
fn several_providers_are_offered_and_the_route_decides_which() {
    let mut plan = Plan::two_providers();
    plan.routes.push(PlannedRoute::new("area", "https://app.test/guests", &["guest"]));
    let world = World::new(plan);
    let mut browser = world.browser(Person::bob());

    let seen = browser.opens("https://both.test/page");
    let Some(Page::ChooseProvider { choices, destination }) = page(&seen.outcome) else {
        panic!("{:?}", seen.outcome);
    };
    let labels: Vec<_> = choices.iter().map(|choice| choice.label.as_str()).collect();
    assert_eq!(labels, ["The corp provider", "The guest provider"]);
    assert_eq!(destination, "both.test");
    let link = choices[1].link.clone();
    let seen = browser.opens(&link);
    assert_eq!((seen.url.as_str(), seen.user()), ("https://both.test/page", Some("bob")));
    assert_eq!(world.at("guest", |guest| guest.token_requests), 1);

    // On one host, the longest path says whose session counts.
    browser.opens("https://app.test/");
    assert_eq!(world.at("corp", |corp| corp.token_requests), 1);
    let ask = browser.page("https://app.test/guests/x");
    assert_eq!(browser.asks(ask).record.reason, Some(Reason::SessionOtherProvider));
}

/// F9: the person cannot be signed in where the route does not want them to be.
#[test]
fn a_provider_that_the_route_does_not_list_is_not_begun_with() {
    let world = World::new(Plan::two_providers());
    let mut browser = world.browser(Person::ada());

    for provider in ["guest", "nobody", "", "corp&provider=guest"] {
        let ask = browser.page(&format!("/.lychgate/login?return_to=%2F&provider={provider}"));
        let outcome = browser.asks(ask);
        let Some(Page::ContinueSignIn { link }) = page(&outcome) else {
            panic!("{provider}: {outcome:?}");
        };
        assert!(link.ends_with("&provider=corp"), "{link}");
        assert!(outcome.cookies.is_empty());
    }
}

/// A session of another provider counts where that provider does, and only there.
#[test]
fn a_session_of_another_provider_is_kept_but_does_not_count() {
    let mut plan = Plan::two_providers();
    plan.routes.push(PlannedRoute::new("area", "https://app.test/guests", &["guest"]));
    let world = World::new(plan);
    let mut browser = world.browser(Person::ada());
    browser.opens("https://app.test/");

    let ask = browser.page("https://app.test/guests/x");
    let outcome = browser.asks(ask);

    assert_eq!(outcome.record.reason, Some(Reason::SessionOtherProvider));
    let back = browser.page("https://app.test/");
    assert!(admission(&browser.asks(back)).is_some());
}

#[test]
fn an_address_that_is_not_ours_is_refused() {
    let world = World::new(Plan::one_app());
    let mut browser = world.browser(Person::ada());

    for (url, expected) in [
        ("https://elsewhere.test/", Reason::Misdirected),
        ("https://app.test.evil.test/", Reason::Misdirected),
        ("https://app.test:444/", Reason::Misdirected),
        ("https://app.test/.lychgate/metrics", Reason::NotFound),
        ("https://app.test/.LychGate/login", Reason::NotFound),
        ("https://app.test/public/..%2fadmin", Reason::RequestMalformed),
        ("https://app.test//admin", Reason::RequestMalformed),
    ] {
        assert_eq!(reason(&browser.asks(Ask::new(Method::GET, url))), Some(expected), "{url}");
    }
}

/// E1: no oddity of a request is a way in.
#[test]
fn nobody_is_admitted_for_being_odd() {
    let world = World::new(Plan::one_app());
    let mut browser = world.browser(Person::ada());
    let methods = ["GET", "HEAD", "POST", "OPTIONS", "PUT", "DELETE", "PROPFIND", "TRACE"];
    let headers = [
        ("user-agent", "kube-probe/1.32"),
        ("authorization", "Bearer x"),
        ("authorization", "Basic eDp4"),
        ("authorization", ""),
        ("x-forwarded-user", "admin"),
        ("x-forwarded-uri", "/public/x"),
        ("x-original-url", "/public/x"),
        ("x-http-method-override", "OPTIONS"),
        ("access-control-request-method", "GET"),
        ("expect", "100-continue"),
        ("upgrade", "websocket"),
    ];

    for method in methods {
        for (name, value) in headers {
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            let ask = Ask::new(method, "https://app.test/admin?/public/x").with(name, value);
            assert!(admission(&browser.asks(ask.clone())).is_none(), "{ask:?}");
        }
    }
}
