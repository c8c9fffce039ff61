//! Callbacks that come too late: nothing is redeemed, and whose login it was goes on by themselves.

use http::Method;
use lychgate_gateway::outcome::{Answer, Event, RedirectMethod, Verdict};
use lychgate_gateway::reason::Reason;
use lychgate_oidc::ResponseMode;

use crate::world::browser::{Login, reason};
use crate::world::plan::Plan;
use crate::world::provider::{Person, issuer};
use crate::world::{World, location};

/// Where a browser is sent that the provider does not let in.
fn says(login: &Login, error: &str) -> String {
    format!("{}?error={error}&state={}&iss={}", login.redirect_uri, login.state, issuer("corp"))
}

/// CB-08, CB-26, CB-44: the code of a login that took too long is never redeemed; another login begins, with everything
/// new, and leads where the person wanted to go.
#[test]
fn a_login_that_took_too_long_begins_again_by_itself() {
    let world = World::new(Plan::one_app());
    let mut browser = world.browser(Person::ada());
    let first = browser.begins("/page?tab=2");
    let back = world.granted(&first.authorization_url, &browser.person);

    world.pass("11m");
    let second = browser.begins(&back);

    assert_eq!(world.token_requests(), 0);
    assert_ne!(first.state, second.state);
    assert_eq!(browser.jar.logins("app.test").len(), 1, "the first one is forgotten");
    let seen = browser.finishes(&second);
    assert_eq!((seen.url.as_str(), seen.user()), ("https://app.test/page?tab=2", Some("ada")));
    assert_eq!(world.token_requests(), 1);
}

/// CB-44: once, and then somebody has to want it.
#[test]
fn a_login_begins_again_by_itself_only_once() {
    let world = World::new(Plan::one_app());
    let mut browser = world.browser(Person::ada());
    let first = browser.begins("/page");
    let back = world.granted(&first.authorization_url, &browser.person);
    world.pass("11m");
    let second = browser.begins(&back);
    let back = world.granted(&second.authorization_url, &browser.person);

    world.pass("11m");
    let ask = browser.page(&back);
    let outcome = browser.asks(ask);

    assert_eq!(reason(&outcome), Some(Reason::LoginExpired));
    assert!(matches!(outcome.record.event, Some(Event::LoginFailed { flow: Some(_) })));
    assert_eq!(world.token_requests(), 0);
    assert!(browser.jar.logins("app.test").is_empty());
}

/// CB-26, F1: who signed in in another tab meanwhile goes on; the late answer changes nothing.
#[test]
fn a_late_answer_leads_on_whoever_has_signed_in_meanwhile() {
    let world = World::new(Plan::one_app());
    let mut browser = world.browser(Person::ada());
    let first = browser.begins("/first");
    let second = browser.begins("/second");
    let back = world.granted(&first.authorization_url, &Person::bob());
    world.pass("9m");
    assert_eq!(browser.finishes(&second).user(), Some("ada"));

    world.pass("2m");
    let seen = browser.comes_back(&back);

    assert_eq!((seen.url.as_str(), seen.user()), ("https://app.test/first", Some("ada")));
    assert_eq!(world.token_requests(), 1);
    assert!(browser.jar.logins("app.test").is_empty());
}

/// Some providers refuse the second of two tabs: they say that they are busy, or that nobody is there.
#[test]
fn an_error_because_of_another_tab_leads_on_whoever_has_signed_in_there() {
    for (error, goes_on) in [
        ("temporarily_unavailable", true),
        ("login_required", true),
        ("access_denied", false),
        ("server_error", false),
    ] {
        let world = World::new(Plan::one_app());
        let mut browser = world.browser(Person::ada());
        let first = browser.begins("/first");
        let second = browser.begins("/second");
        assert_eq!(browser.finishes(&second).user(), Some("ada"));

        let seen = browser.comes_back(&says(&first, error));

        assert_eq!(seen.user(), goes_on.then_some("ada"), "{error}");
        assert_eq!(seen.reason().is_none(), goes_on, "{error}");
    }
}

/// CB-39: without a session since then it is the error that it is.
#[test]
fn an_error_after_an_older_sign_in_is_an_error() {
    let world = World::new(Plan::one_app());
    let mut browser = world.browser(Person::ada());
    browser.opens("/page");
    world.pass("1m");
    let again = browser.begins("/.lychgate/login?return_to=/page&prompt=login");

    let seen = browser.comes_back(&says(&again, "temporarily_unavailable"));

    assert_eq!(seen.reason(), Some(Reason::ProviderUnavailable));
}

/// F1, CB-05: what a stranger brings starts nothing and leads nowhere, with and without a session, however late.
#[test]
fn a_strangers_late_callback_is_refused_as_ever() {
    for signed_in in [false, true] {
        let world = World::new(Plan::one_app());
        let mut attacker = world.browser(Person::bob());
        let theirs = attacker.begins("/evil");
        let back = world.granted(&theirs.authorization_url, &attacker.person);
        let mut victim = world.browser(Person::ada());
        if signed_in {
            assert_eq!(victim.opens("/page").user(), Some("ada"));
        }
        let asked = world.token_requests();

        world.pass("11m");
        let ask = victim.page(&back);
        let outcome = victim.asks(ask);

        assert_eq!(reason(&outcome), Some(Reason::LoginNotOurs), "{signed_in}");
        assert_eq!(location(&outcome), None);
        assert_eq!(world.token_requests(), asked);
    }
}

/// RFC 9700 §4.12: a posted answer that comes too late leads to the provider by 303, so that no browser posts it there.
#[test]
fn an_answer_that_was_posted_too_late_is_not_posted_on() {
    let world = World::new(Plan {
        change: |_, provider| {
            let registration = std::sync::Arc::make_mut(&mut provider.registration);
            registration.answers.mode = ResponseMode::FormPost;
        },
        ..Plan::one_app()
    });
    let mut browser = world.browser(Person::ada());
    let login = browser.begins("/page");
    let back = world.granted(&login.authorization_url, &browser.person);
    let (address, form) = back.split_once('?').unwrap();

    world.pass("11m");
    let late = browser.form(address, form).with("sec-fetch-site", "cross-site");
    assert_eq!(late.method, Method::POST);
    let outcome = browser.asks(late);

    let Verdict::Answer(answer) = outcome.verdict else { panic!("it is let in") };
    let Answer::Redirect(redirect) = *answer else { panic!("{answer:?}") };
    assert!(redirect.location().starts_with(&issuer("corp")), "{redirect:?}");
    assert_eq!(redirect.method(), RedirectMethod::SeeOther);
}
