//! Staying signed in: idle and absolute lifetimes, renewal, keys that change.

use lychgate_gateway::reason::Reason;

use crate::world::browser::{admission, user};
use crate::world::plan::Plan;
use crate::world::provider::Person;
use crate::world::{World, hours};

#[test]
fn a_session_idle_past_its_limit_is_asked_to_sign_in_again() {
    let world = World::new(Plan::one_app());
    let mut browser = world.browser(Person::ada());
    browser.opens("/");

    world.pass("61m");
    let ask = browser.page("/page");
    let outcome = browser.asks(ask);

    assert_eq!(outcome.record.reason, Some(Reason::SessionIdle));
    assert_eq!(browser.jar.value("app.test", "__Host-lychgate"), None, "the browser forgets it");
}

#[test]
fn a_session_in_use_lasts_for_its_lifetime_and_no_longer() {
    let world = World::new(Plan::one_app());
    let mut browser = world.browser(Person::ada());
    browser.opens("/");

    for half_hour in 1..24 {
        world.pass("30m");
        let ask = browser.page("/page");
        assert_eq!(user(&browser.asks(ask)), Some("ada"), "after {half_hour} half hours");
    }
    world.pass("29m");
    let ask = browser.page("/page");
    assert_eq!(user(&browser.asks(ask)), Some("ada"), "a minute before the end");
    world.pass("1m");
    // The browser has dropped the cookie by then; a copy of it is worth no more.
    let mut copy = browser.clone();
    assert!(browser.page("/page").headers.get("cookie").is_none());
    let value = copy.jar.value("app.test", "__Host-lychgate").unwrap().to_owned();
    let ask = copy.page("/page").with("cookie", &format!("__Host-lychgate={value}"));
    assert_eq!(copy.asks(ask).record.reason, Some(Reason::SessionExpired));
}

/// H5: `Max-Age` is only a hint; the limits stand inside the sealed text.
#[test]
fn a_copy_of_an_old_cookie_ends_when_it_would_have() {
    let world = World::new(Plan::one_app());
    let mut browser = world.browser(Person::ada());
    browser.opens("/");
    let mut copy = browser.clone();

    for _ in 0..3 {
        world.pass("30m");
        let ask = browser.page("/page");
        browser.asks(ask);
    }

    let ask = copy.page("/page");
    assert_eq!(copy.asks(ask).record.reason, Some(Reason::SessionIdle));
    let ask = browser.page("/page");
    assert_eq!(user(&browser.asks(ask)), Some("ada"));
}

#[test]
fn an_answer_carries_a_cookie_only_when_it_has_something_to_say() {
    let world = World::new(Plan::one_app());
    let mut browser = world.browser(Person::ada());
    browser.opens("/");

    for (time, lines) in [("0s", 0), ("4m", 0), ("1m", 1), ("4m", 0), ("1m", 1)] {
        world.pass(time);
        let ask = browser.page("/page");
        assert_eq!(browser.asks(ask).cookies.len(), lines, "{time} later");
    }
}

/// N4: what everybody may see may be kept by caches, and must not have anybody's session in it; the session is
/// renewed at the next page that is not public.
#[test]
fn a_public_page_renews_no_session() {
    let world = World::new(Plan::one_app());
    let mut browser = world.browser(Person::ada());
    browser.opens("/");

    world.pass("5m");
    let ask = browser.page("/public/style.css");
    let outcome = browser.asks(ask);
    assert_eq!(user(&outcome), Some("ada"), "the application knows who looks at it");
    assert!(outcome.cookies.is_empty(), "{:?}", outcome.cookies);
    let ask = browser.page("/page");
    assert_eq!(browser.asks(ask).cookies.len(), 1, "it was due");

    world.reload(|plan| plan.keys = vec![2, 1]);
    let ask = browser.page("/public/style.css");
    assert!(browser.asks(ask).cookies.is_empty(), "nor is one sealed anew");
}

/// R24: a clock that is set back harms nobody.
#[test]
fn a_clock_that_steps_back_signs_nobody_out() {
    let world = World::new(Plan::one_app());
    let mut browser = world.browser(Person::ada());
    browser.opens("/");

    world.pass("-5m");
    let ask = browser.page("/page");

    assert_eq!(user(&browser.asks(ask)), Some("ada"));
}

#[test]
fn a_shorter_lifetime_concerns_sessions_that_exist() {
    let world = World::new(Plan::one_app());
    let mut browser = world.browser(Person::ada());
    browser.opens("/");

    world.pass("59m");
    let ask = browser.page("/page");
    assert!(admission(&browser.asks(ask)).is_some());
    world.reload(|plan| plan.sessions.lifetime = hours(1));
    world.pass("1m");
    let ask = browser.page("/page");
    assert_eq!(browser.asks(ask).record.reason, Some(Reason::SessionExpired));
}

/// H4: with a new key before the old one, everybody stays signed in and is sealed anew; once the old key is
/// gone, what it sealed is no session.
#[test]
fn a_new_key_seals_every_session_again() {
    let world = World::new(Plan::one_app());
    let mut browser = world.browser(Person::ada());
    browser.opens("/");
    let mut absent = browser.clone();

    world.reload(|plan| plan.keys = vec![2, 1]);
    let ask = browser.page("/page");
    let outcome = browser.asks(ask);
    assert_eq!(user(&outcome), Some("ada"));
    assert_eq!(outcome.cookies.len(), 1, "sealed with the new key");
    let ask = browser.page("/page");
    assert!(browser.asks(ask).cookies.is_empty(), "once is enough");

    world.reload(|plan| plan.keys = vec![2]);
    let ask = browser.page("/page");
    assert_eq!(user(&browser.asks(ask)), Some("ada"));
    let ask = absent.page("/page");
    let outcome = absent.asks(ask);
    assert_eq!(outcome.record.reason, Some(Reason::SessionUnreadable));
    assert_eq!(absent.jar.value("app.test", "__Host-lychgate"), None);
}

/// A login that was begun under the old key finishes while that key is still in the ring.
#[test]
fn a_login_survives_a_new_key() {
    let world = World::new(Plan::one_app());
    let mut browser = world.browser(Person::ada());
    let login = browser.begins("/page");

    world.reload(|plan| plan.keys = vec![2, 1]);

    assert_eq!(browser.finishes(&login).user(), Some("ada"));
}

/// A provider that begins to sign with another key is asked for its keys, once.
#[test]
fn a_provider_that_changes_its_key_is_believed() {
    let world = World::new(Plan::one_app());
    world.at("corp", |corp| corp.key = 2);
    let mut browser = world.browser(Person::ada());

    assert_eq!(browser.opens("/page").user(), Some("ada"));
    assert_eq!(world.at("corp", |corp| corp.key_requests), 1);
    let mut other = world.browser(Person::bob());
    assert_eq!(other.opens("/page").user(), Some("bob"));
    assert_eq!(world.at("corp", |corp| corp.key_requests), 1);
}
