//! Browsers that go round in circles are stopped, and told why (R42).

use lychgate_gateway::outcome::{Likely, Outcome};
use lychgate_gateway::reason::Reason;

use crate::world::World;
use crate::world::browser::{Browser, reason, refusal};
use crate::world::plan::Plan;
use crate::world::provider::Person;

/// Signs in again and again; before each request of the application's, `harm` is done to what the browser has.
/// Returns how often it signed in until it was stopped, and the page that stopped it.
fn goes_round(browser: &mut Browser, mut harm: impl FnMut(&mut Browser)) -> (usize, Outcome) {
    for times in 0..10 {
        harm(browser);
        let ask = browser.page("/page");
        let outcome = browser.asks(ask);
        if reason(&outcome).is_some() {
            return (times, outcome);
        }
        let login = browser.begins("/page");
        let back = browser.world.granted(&login.authorization_url, &browser.person);
        let ask = browser.page(&back);
        let outcome = browser.asks(ask);
        assert_eq!(reason(&outcome), None, "the sign-in itself succeeds");
    }
    panic!("nobody stops it");
}

fn likely(outcome: &Outcome) -> Option<Likely> {
    assert_eq!(reason(outcome), Some(Reason::TooManyRedirects));
    let refusal = refusal(outcome).unwrap();
    assert!(refusal.sign_in.as_ref().unwrap().starts_with("/.lychgate/login?return_to=%2Fpage"));
    assert!(outcome.record.cause.is_some());
    refusal.likely
}

fn without_session(browser: &mut Browser) {
    browser.jar.0.retain(|kept| kept.name != "__Host-lychgate");
}

/// R41, R42: three sign-ins within half a minute that do not count are enough, and the page names the cause by what the
/// browser sent.
#[test]
fn a_browser_that_signs_in_in_vain_is_stopped_and_told_the_cause() {
    let damaged = |browser: &mut Browser| {
        for kept in browser.jar.0.iter_mut().filter(|kept| kept.name == "__Host-lychgate") {
            kept.value = kept.value.replace(&kept.value[20..24], "AAAA");
        }
    };
    let world = World::new(Plan::one_app());
    let (times, stopped) = goes_round(&mut world.browser(Person::ada()), without_session);
    assert_eq!((times, likely(&stopped)), (3, Some(Likely::CookieNotReturned)));

    let (times, stopped) = goes_round(&mut world.browser(Person::ada()), damaged);
    assert_eq!((times, likely(&stopped)), (3, Some(Likely::DifferentKeys)));
}

/// R41, R42: a clock that is hours ahead at one of two gateways makes every session of the other one old.
#[test]
fn a_clock_that_ends_every_session_at_once_is_named() {
    let world = World::new(Plan::one_app());
    let mut browser = world.browser(Person::ada());
    let cookie = |browser: &Browser, name| browser.jar.value("app.test", name).unwrap().to_owned();
    for _ in 0..3 {
        let login = browser.begins("/.lychgate/login?return_to=/page&prompt=login");
        let back = world.granted(&login.authorization_url, &browser.person);
        let ask = browser.page(&back);
        browser.asks(ask);
    }
    let (session, returns) =
        (cookie(&browser, "__Host-lychgate"), cookie(&browser, "__Host-lychgate-returns"));
    let (_, since) = returns.rsplit_once(':').unwrap();

    world.pass("13h");
    let returns = returns.replace(since, &world.now().to_string());
    let cookies = format!("__Host-lychgate={session}; __Host-lychgate-returns={returns}");
    let ask = browser.page("/page").with("cookie", &cookies);

    assert_eq!(likely(&browser.asks(ask)), Some(Likely::Clock));
}

/// R42: http in front of https, as the proxy in front says.
#[test]
fn a_site_that_is_reached_by_http_is_told_so() {
    let world = World::new(Plan::one_app());
    let mut browser = world.browser(Person::ada());
    let (_, stopped) = goes_round(&mut browser, without_session);
    let returns = stopped.cookies.iter().find_map(|line| line.to_str().ok());
    assert!(returns.unwrap().starts_with("__Host-lychgate-returns=;"), "{returns:?}");

    let mark = {
        let login = browser.begins("/page");
        let back = world.granted(&login.authorization_url, &browser.person);
        let ask = browser.page(&back);
        browser.asks(ask);
        let value = browser.jar.value("app.test", "__Host-lychgate-returns").unwrap();
        value.split(':').next().unwrap().to_owned()
    };
    let cookie = format!("__Host-lychgate-returns={mark}:3:{}", world.now());
    let ask = browser.page("/page").with("cookie", &cookie).with("x-forwarded-proto", "http");
    assert_eq!(likely(&browser.asks(ask)), Some(Likely::PlainHttp));
}

/// R42, CB-07: a browser that keeps no cookie never gets past its first callback, and is told what that may be.
#[test]
fn a_browser_that_keeps_no_cookie_is_told_so_at_its_first_callback() {
    for (proto, expected) in [("https", Likely::NoCookies), ("http", Likely::NoCookiesByPlainHttp)]
    {
        let world = World::new(Plan::one_app());
        let mut browser = world.browser(Person::ada());
        let login = browser.begins("/page");
        browser.jar.0.clear();
        let back = world.granted(&login.authorization_url, &browser.person);

        let ask = browser.page(&back).with("x-forwarded-proto", proto);
        let outcome = browser.asks(ask);

        assert_eq!(reason(&outcome), Some(Reason::LoginNotOurs));
        assert_eq!(refusal(&outcome).unwrap().likely, Some(expected));
        assert_eq!(world.token_requests(), 0);
    }
}

/// Trying again is possible at once, and gets as many attempts.
#[test]
fn whoever_was_stopped_can_try_again() {
    let world = World::new(Plan::one_app());
    let mut browser = world.browser(Person::ada());
    let (_, stopped) = goes_round(&mut browser, without_session);
    let again = refusal(&stopped).unwrap().sign_in.clone().unwrap();

    assert_eq!(browser.opens(&again).user(), Some("ada"));
}

/// No false alarm: slowly, for other targets, or with something in the cookie that anybody might write.
#[test]
fn nobody_is_stopped_who_signs_in_as_people_do() {
    let world = World::new(Plan::one_app());
    let mut browser = world.browser(Person::ada());
    for number in 0..8 {
        without_session(&mut browser);
        assert_eq!(browser.opens(&format!("/page-{number}")).user(), Some("ada"));
    }
    for _ in 0..8 {
        world.pass("16s");
        without_session(&mut browser);
        assert_eq!(browser.opens("/page").user(), Some("ada"));
    }
    for value in ["", "x", ":::", "a:b:c", "AAAAAAAAAAAAAAAA:99999999999:1", "....", "%00"] {
        let mut other = world.browser(Person::ada());
        let ask = other.page("/page").with("cookie", &format!("__Host-lychgate-returns={value}"));
        assert_eq!(reason(&other.asks(ask)), None, "{value}");
    }
}

/// R42: where people sign in at one place for all, the applications' own cookie may be the one that is missing. No
/// sign-in is completed then: the place where people sign in knows them.
#[test]
fn an_application_that_never_gets_the_shared_cookie_is_stopped_too() {
    let world = World::new(Plan::central_sign_in());
    let mut browser = world.browser(Person::ada());
    browser.opens("https://wiki.corp.test/page");
    let login =
        "https://login.corp.test/.lychgate/login?return_to=https%3A%2F%2Fwiki.corp.test%2Fother";

    let outcomes: Vec<_> = (0..4)
        .map(|_| {
            let ask = browser.page(login);
            reason(&browser.asks(ask))
        })
        .collect();

    assert_eq!(outcomes, [None, None, None, Some(Reason::TooManyRedirects)]);
}
