//! Cookies that somebody changed, copied, doubled or put under another name.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderValue, header};
use lychgate_gateway::outcome::{DecisionWord, Outcome};
use lychgate_gateway::reason::Reason;

use crate::world::browser::{Browser, admission, reason};
use crate::world::plan::{Plan, PlannedRoute};
use crate::world::provider::Person;
use crate::world::{World, location};

const SESSION: &str = "__Host-lychgate";

fn signed_in(world: &World) -> (Browser, String) {
    let mut browser = world.browser(Person::ada());
    assert_eq!(browser.opens("/").user(), Some("ada"));
    let value = browser.jar.value("app.test", SESSION).unwrap().to_owned();
    (browser, value)
}

/// What becomes of a visit to an application with exactly this `Cookie` header.
fn with_cookie(browser: &mut Browser, host: &str, cookie: &str) -> Outcome {
    let ask = browser.page(&format!("https://{host}/page")).with("cookie", cookie);
    browser.asks(ask)
}

/// The cookies that an outcome clears, by name.
fn cleared(outcome: &Outcome) -> Vec<String> {
    let lines = outcome.cookies.iter().map(|line| line.to_str().unwrap());
    let over = lines.filter(|line| line.contains("Max-Age=0"));
    over.map(|line| line.split('=').next().unwrap().to_owned()).collect()
}

/// H1, E2: every way of being wrong is one way, and the browser forgets the cookie.
#[test]
fn a_changed_session_is_no_session_and_is_cleared() {
    let world = World::new(Plan::one_app());
    let (mut browser, value) = signed_in(&world);
    let bytes = URL_SAFE_NO_PAD.decode(&value).unwrap();
    let flipped = (0..bytes.len()).map(|at| {
        let mut bytes = bytes.clone();
        bytes[at] ^= 1 << (at % 8);
        URL_SAFE_NO_PAD.encode(bytes)
    });
    let cut = (0..value.len()).step_by(7).map(|length| value[..length].to_owned());
    let junk = ["%", "x", "====", "\"\"", "2.x", "99.x"].map(str::to_owned);
    let longer =
        [format!("{value}A"), format!("{value}="), format!("\"{value}\""), "A".repeat(8192)];

    for changed in flipped.chain(cut).chain(junk).chain(longer) {
        let outcome = with_cookie(&mut browser, "app.test", &format!("{SESSION}={changed}"));
        assert_eq!(outcome.record.reason, Some(Reason::SessionUnreadable), "{changed}");
        assert_eq!(outcome.record.decision, DecisionWord::Login, "{changed}");
        assert_eq!(location(&outcome), Some("/.lychgate/login?return_to=%2Fpage"), "{changed}");
        assert_eq!(cleared(&outcome), [SESSION], "{changed}");
    }
}

/// I1: of two cookies with one name, neither is believed, in no order and no header.
#[test]
fn two_cookies_of_one_name_are_none() {
    let world = World::new(Plan::one_app());
    let (mut browser, good) = signed_in(&world);
    let (one, two) = (format!("{SESSION}={good}"), format!("{SESSION}=bad"));

    for (first, second) in [(&one, &two), (&two, &one), (&one, &one)] {
        let outcome = with_cookie(&mut browser, "app.test", &format!("{first}; {second}"));
        assert_eq!(outcome.record.reason, Some(Reason::SessionUnreadable));
        assert_eq!(cleared(&outcome), [SESSION]);

        let mut ask = browser.page("/page").with("cookie", first);
        ask.headers.append(header::COOKIE, HeaderValue::try_from(second).unwrap());
        assert_eq!(browser.asks(ask).record.reason, Some(Reason::SessionUnreadable));
    }
    assert!(admission(&with_cookie(&mut browser, "app.test", &one)).is_some());
}

/// H2: the value of one cookie is nothing under the name of another.
#[test]
fn a_value_under_another_name_does_not_open() {
    let world = World::new(Plan::one_app());
    let (mut browser, session) = signed_in(&world);
    let login = browser.begins("/.lychgate/login?return_to=%2F&prompt=login");
    let kept = browser.jar.logins("app.test")[0].clone();
    let back = world.granted(&login.authorization_url, &browser.person);
    let asked_before = world.token_requests();

    // A login as a session.
    let outcome = with_cookie(&mut browser, "app.test", &format!("{SESSION}={}", kept.value));
    assert_eq!(outcome.record.reason, Some(Reason::SessionUnreadable));

    // A session as a login.
    let ask = browser.page(&back).with("cookie", &format!("{}={session}", kept.name));
    assert_eq!(reason(&browser.asks(ask)), Some(Reason::LoginNotOurs));
    assert_eq!(world.token_requests(), asked_before);

    // A sign-out as a session.
    let (mut browser, _) = signed_in(&world);
    let ask = browser.page("/.lychgate/logout");
    browser.asks(ask);
    let out = browser.jar.value("app.test", "__Host-lychgate-logout").unwrap().to_owned();
    let outcome = with_cookie(&mut browser, "app.test", &format!("{SESSION}={out}"));
    assert_eq!(outcome.record.reason, Some(Reason::SessionUnreadable));
}

/// H2: the session of one host is nothing at another, though the keys and the provider are the same.
#[test]
fn a_session_of_another_host_does_not_open() {
    let world = World::new(Plan::two_providers());
    let (mut browser, session) = signed_in(&world);

    let outcome = with_cookie(&mut browser, "both.test", &format!("{SESSION}={session}"));

    assert_eq!(outcome.record.reason, Some(Reason::SessionUnreadable));
}

/// H2: the login of one host is not finished at another.
#[test]
fn a_login_of_another_host_does_not_open() {
    let world = World::new(Plan::two_providers());
    let mut browser = world.browser(Person::ada());
    let login = browser.begins("https://app.test/page");
    let kept = browser.jar.logins("app.test")[0].clone();
    let back = world.granted(&login.authorization_url, &browser.person);

    let elsewhere = back.replace("https://app.test/", "https://both.test/");
    let ask = browser.page(&elsewhere).with("cookie", &format!("{}={}", kept.name, kept.value));

    assert_eq!(reason(&browser.asks(ask)), Some(Reason::LoginNotOurs));
    assert_eq!(world.token_requests(), 0);
}

/// H2: a session ends with the registration of its provider.
#[test]
fn a_session_of_a_provider_that_is_gone_does_not_open() {
    let mut plan = Plan::two_providers();
    plan.routes.push(PlannedRoute::new("area", "https://app.test/area", &["guest"]));
    let world = World::new(plan);
    let mut browser = world.browser(Person::bob());
    browser.opens("https://app.test/area/");

    world.reload(|plan| {
        plan.providers.retain(|name| *name != "guest");
        plan.routes.retain(|route| !route.providers.contains(&"guest"));
    });

    let ask = browser.page("https://app.test/area/");
    assert_eq!(browser.asks(ask).record.reason, Some(Reason::SessionUnreadable));
}

/// H8: a large session is several cookies; not all of them, or in another order, is none.
#[test]
fn parts_of_a_session_that_do_not_fit_together_are_none() {
    let world = World::new(Plan::one_app());
    let groups: Vec<_> = (0..400).map(|number| format!("group-{number:06}")).collect();
    let groups: Vec<_> = groups.iter().map(String::as_str).collect();
    let mut browser = world.browser(Person::new("eve", &groups));
    assert_eq!(browser.opens("/").user(), Some("eve"));
    let value = |number: &str| {
        let name = format!("{SESSION}{number}");
        browser.jar.value("app.test", &name).unwrap_or_default().to_owned()
    };
    let (first, second) = (value(""), value("-2"));
    assert!(!second.is_empty(), "the session is split");
    let whole = format!("{SESSION}={first}; {SESSION}-2={second}");

    for broken in [
        format!("{SESSION}={first}"),
        format!("{SESSION}={second}; {SESSION}-2={first}"),
        format!("{whole}; {SESSION}-2={second}"),
        format!("{SESSION}={first}; {SESSION}-2={}", &second[1..]),
        format!("{SESSION}={}; {SESSION}-2={second}", first.replacen("2.", "3.", 1)),
    ] {
        let mut other = browser.clone();
        let outcome = with_cookie(&mut other, "app.test", &broken);
        assert_eq!(outcome.record.reason, Some(Reason::SessionUnreadable), "{broken}");
    }
    let outcome = with_cookie(&mut browser, "app.test", &whole);
    assert!(admission(&outcome).is_some());

    // H7: every part is cleared.
    let outcome = with_cookie(&mut browser, "app.test", &format!("{whole}; {SESSION}-3=x"));
    assert!(admission(&outcome).is_some(), "a part too many is not read");
    let ask = browser.page("/.lychgate/logout").with("cookie", &whole);
    let mut names = cleared(&browser.asks(ask));
    names.sort();
    assert_eq!(names, [SESSION.to_owned(), format!("{SESSION}-2")]);
}

/// E2: on a public path a broken session is nobody, not an error.
#[test]
fn a_broken_session_on_a_public_path_is_nobody() {
    let world = World::new(Plan::one_app());
    let (mut browser, _) = signed_in(&world);

    let ask = browser.page("/public/x").with("cookie", &format!("{SESSION}=broken"));
    let outcome = browser.asks(ask);

    assert_eq!(outcome.record.decision, DecisionWord::Public);
    assert!(outcome.record.session.is_none());
}

/// O-1, H2: a connection that carries many people's requests, as one from a proxy does, remembers the cookies of the
/// last. It tells nobody by them who is somebody else, at no other host, and by no other keys.
#[test]
fn what_a_connection_remembers_is_about_the_same_cookies_only() {
    let mut plan = Plan::one_app();
    plan.routes.push(PlannedRoute::new("other", "https://other.test", &["corp"]));
    let world = World::new(plan);
    let (mut ada, hers) = signed_in(&world);
    let mut bob = world.browser(Person::bob());
    let told = |browser: &mut Browser, host: &str, cookie: &str| {
        let outcome = with_cookie(browser, host, cookie);
        crate::world::browser::user(&outcome).map(str::to_owned)
    };
    let line = format!("{SESSION}={hers}");

    assert_eq!(told(&mut ada, "app.test", &line).as_deref(), Some("ada"));
    assert_eq!(told(&mut ada, "app.test", &line).as_deref(), Some("ada"), "as remembered");
    assert_eq!(told(&mut ada, "other.test", &line), None, "the same line at another host");
    assert_eq!(told(&mut ada, "app.test", &line).as_deref(), Some("ada"));
    assert_eq!(told(&mut bob, "app.test", &format!("{SESSION}=")), None);
    assert_eq!(bob.opens("/").user(), Some("bob"));
    assert_eq!(told(&mut ada, "app.test", &line).as_deref(), Some("ada"));

    world.reload(|plan| plan.keys = vec![7]);
    assert_eq!(told(&mut ada, "app.test", &line), None, "by keys that are gone");
}
