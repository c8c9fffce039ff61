//! Signing out: here at once, then at the provider, and only if the person means it.

use http::Method;
use lychgate_gateway::outcome::{Answer, Event, Page, ProviderSignOut, Verdict};
use lychgate_gateway::reason::Reason;

use crate::world::browser::{Browser, admission, page};
use crate::world::plan::Plan;
use crate::world::provider::Person;
use crate::world::{Ask, World, location};

fn signed_in(world: &World) -> Browser {
    let mut browser = world.browser(Person::ada());
    assert_eq!(browser.opens("/").user(), Some("ada"));
    browser
}

/// What the page after sign-out says of the provider's session.
fn farewell(shown: Option<&Page>) -> Option<ProviderSignOut> {
    match shown? {
        Page::SignedOut { provider, .. } => Some(*provider),
        Page::ChooseProvider { .. }
        | Page::ConfirmSignOut { .. }
        | Page::ContinueSignIn { .. }
        | Page::SignedInAs { .. } => None,
    }
}

#[test]
fn signing_out_ends_the_session_here_and_at_the_provider() {
    let world = World::new(Plan::one_app());
    let mut browser = signed_in(&world);

    let seen = browser.opens("/.lychgate/logout");

    assert_eq!(farewell(page(&seen.outcome)), Some(ProviderSignOut::Ended));
    assert!(browser.jar.0.is_empty(), "nothing of ours is left: {:?}", browser.jar.0);
    let ask = browser.page("/page");
    assert_eq!(browser.asks(ask).record.reason, Some(Reason::SessionRequired));
}

/// H6: a copy of the cookie is worth nothing any more.
#[test]
fn a_cookie_from_before_the_sign_out_is_refused() {
    let world = World::new(Plan::one_app());
    let mut browser = signed_in(&world);
    let mut copy = browser.clone();

    browser.opens("/.lychgate/logout");

    let ask = copy.page("/page");
    assert_eq!(copy.asks(ask).record.reason, Some(Reason::SessionSignedOut));
    assert!(copy.jar.0.is_empty());
}

#[test]
fn a_provider_without_a_sign_out_page_is_left_out() {
    let world = World::new(Plan::one_app());
    world.at("corp", |corp| corp.signs_out = false);
    let mut browser = signed_in(&world);

    let ask = browser.page("/.lychgate/logout");
    let outcome = browser.asks(ask);

    assert_eq!(farewell(page(&outcome)), Some(ProviderSignOut::Unknown));
    assert_eq!(outcome.record.event, Some(Event::Logout));
    assert!(browser.jar.0.is_empty());
}

/// The provider is told whose session ends, and where to send the browser afterwards.
#[test]
fn the_provider_gets_a_hint_a_state_and_the_way_back() {
    let world = World::new(Plan::one_app());
    let mut browser = signed_in(&world);

    let ask = browser.page("/.lychgate/logout");
    let outcome = browser.asks(ask);

    let place = url::Url::parse(location(&outcome).unwrap()).unwrap();
    let query: std::collections::BTreeMap<_, _> = place.query_pairs().into_owned().collect();
    assert_eq!(query["post_logout_redirect_uri"], "https://app.test/.lychgate/signed-out");
    assert_eq!(query["client_id"], "lychgate");
    assert_eq!(query["id_token_hint"].split('.').count(), 3);
    assert!(query["state"].len() >= 22);
}

#[test]
fn a_state_that_is_not_ours_changes_nothing_but_what_the_page_says() {
    let world = World::new(Plan::one_app());
    let mut browser = signed_in(&world);

    // Nobody signed out.
    for query in ["", "?state=", "?state=x", "?state=x&state=y"] {
        let seen = browser.comes_back(&format!("https://app.test/.lychgate/signed-out{query}"));
        assert_eq!(farewell(page(&seen.outcome)), Some(ProviderSignOut::Unknown), "{query}");
    }
    let ask = browser.page("/page");
    assert!(admission(&browser.asks(ask)).is_some(), "still signed in");

    // Somebody did, and another answer arrives first, and the right one too late.
    let ask = browser.page("/.lychgate/logout");
    let outcome = browser.asks(ask);
    let place = url::Url::parse(location(&outcome).unwrap()).unwrap();
    let (_, state) = place.query_pairs().find(|(name, _)| name == "state").unwrap();
    let seen = browser.comes_back("https://app.test/.lychgate/signed-out?state=other");
    assert_eq!(farewell(page(&seen.outcome)), Some(ProviderSignOut::Unknown));
    world.pass("11m");
    let back = format!("https://app.test/.lychgate/signed-out?state={state}");
    assert_eq!(farewell(page(&browser.comes_back(&back).outcome)), Some(ProviderSignOut::Unknown));
}

/// Another site can bring the browser here, and only the person can go on.
#[test]
fn another_site_can_only_make_us_ask() {
    let world = World::new(Plan::one_app());
    let mut browser = signed_in(&world);
    let link = |site: &'static str| browser.page("/.lychgate/logout").with("sec-fetch-site", site);
    let posted = |name: &'static str, value: &str| {
        Ask::new(Method::POST, "https://app.test/.lychgate/logout").with(name, value)
    };
    let foreign = [
        link("cross-site"),
        link("same-site"),
        posted("sec-fetch-site", "cross-site"),
        posted("origin", "https://evil.test"),
        posted("origin", "null"),
        Ask::new(Method::GET, "https://app.test/.lychgate/logout"),
    ];

    for ask in foreign {
        let outcome = browser.asks(ask.clone());
        assert!(matches!(page(&outcome), Some(Page::ConfirmSignOut { .. })), "{ask:?}");
        assert!(outcome.cookies.is_empty(), "{ask:?}");
    }
    let seen = browser.follows_a_foreign_link("https://app.test/.lychgate/logout");
    let Some(Page::ConfirmSignOut { action }) = page(&seen.outcome) else { panic!() };
    assert_eq!(world.revoked(), 0);

    // The person presses the button on our page.
    let ask = Ask::new(Method::POST, &format!("https://app.test{action}"))
        .with("sec-fetch-site", "same-origin");
    assert_eq!(browser.asks(ask).record.event, Some(Event::Logout));
    assert_eq!(world.revoked(), 1);
}

/// A3: after sign-out, a listed place character for character, or our own page.
#[test]
fn only_a_listed_place_is_gone_to_afterwards() {
    for (wanted, listed) in [
        ("https%3A%2F%2Fwww.example.test%2Fbye", true),
        ("https%3A%2F%2Fwww.example.test%2Fbye%2F", false),
        ("https%3A%2F%2Fwww.example.test%2Fbye%3Fx", false),
        ("https%3A%2F%2Fwww.example.test", false),
        ("https%3A%2F%2FWWW.example.test%2Fbye", false),
        ("https%3A%2F%2Fwww.example.test.evil.test%2Fbye", false),
        ("%2F%2Fevil.test", false),
        ("javascript%3Aalert(1)", false),
        ("https%3A%2F%2Fwww.example.test%2Fbye&return_to=https%3A%2F%2Fevil.test", false),
    ] {
        let world = World::new(Plan::one_app());
        let mut browser = signed_in(&world);
        let seen = browser.opens(&format!("/.lychgate/logout?return_to={wanted}"));
        if listed {
            assert_eq!(seen.url, "https://www.example.test/bye");
        } else {
            let ended = farewell(page(&seen.outcome));
            assert_eq!(ended, Some(ProviderSignOut::Ended), "{wanted}");
        }
        assert_eq!(world.revoked(), 1, "{wanted}");
    }
}

/// The page that asks keeps the listed place, and nothing else.
#[test]
fn the_page_that_asks_keeps_the_listed_place() {
    let world = World::new(Plan::one_app());
    let mut browser = signed_in(&world);
    let base = "https://app.test/.lychgate/logout";
    let listed = "return_to=https%3A%2F%2Fwww.example.test%2Fbye";

    for (query, expected) in [
        (listed, format!("/.lychgate/logout?{listed}")),
        ("return_to=%2F%2Fevil.test", "/.lychgate/logout".to_owned()),
    ] {
        let seen = browser.follows_a_foreign_link(&format!("{base}?{query}"));
        let Some(Page::ConfirmSignOut { action }) = page(&seen.outcome) else { panic!() };
        assert_eq!(*action, expected);
    }
}

#[test]
fn the_account_page_and_the_data_say_who_is_signed_in() {
    let world = World::new(Plan::one_app());
    let mut browser = world.browser(Person::ada());
    let me = |browser: &mut Browser| {
        let ask = browser.data("/.lychgate/me");
        match browser.asks(ask).verdict {
            Verdict::Answer(answer) => match *answer {
                Answer::Me(session) => session.map(|session| session.identity().user().to_owned()),
                other @ (Answer::Asset(_)
                | Answer::Page(_)
                | Answer::Preflight(_)
                | Answer::Reason(_)
                | Answer::Redirect(_)
                | Answer::Resource(_)
                | Answer::Refusal(_)) => panic!("{other:?}"),
            },
            Verdict::Admit(_) => panic!("an upstream was asked for our own page"),
        }
    };

    assert_eq!(me(&mut browser), None);
    let ask = browser.page("/.lychgate/");
    assert_eq!(browser.asks(ask).record.reason, Some(Reason::SessionRequired));
    browser.opens("/");
    assert_eq!(me(&mut browser).as_deref(), Some("ada"));
    let seen = browser.opens("/.lychgate/");
    assert!(matches!(page(&seen.outcome), Some(Page::SignedInAs { .. })));
}
