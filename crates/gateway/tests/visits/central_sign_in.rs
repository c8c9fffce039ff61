//! One sign-in for several hosts: at an origin of its own, with a session that a domain shares.

use lychgate_gateway::outcome::{Page, ProviderSignOut};
use lychgate_gateway::reason::Reason;

use crate::world::World;
use crate::world::browser::{page, reason, refusal};
use crate::world::plan::Plan;
use crate::world::provider::Person;

#[test]
fn one_sign_in_opens_every_host_of_the_domain() {
    let world = World::new(Plan::central_sign_in());
    let mut browser = world.browser(Person::ada());

    let seen = browser.opens("https://wiki.corp.test/page?q#part");
    assert_eq!(seen.url, "https://wiki.corp.test/page?q#part");
    assert_eq!(seen.user(), Some("ada"));

    let seen = browser.opens("https://chat.corp.test/room");
    assert_eq!(seen.user(), Some("ada"));
    assert_eq!(world.token_requests(), 1);
}

#[test]
fn a_login_belongs_to_the_sign_in_host_alone() {
    let world = World::new(Plan::central_sign_in());
    let mut browser = world.browser(Person::ada());

    let login = browser.begins("https://wiki.corp.test/page");

    assert_eq!(login.redirect_uri, "https://login.corp.test/.lychgate/callback");
    assert_eq!(browser.jar.logins("login.corp.test").len(), 1);
    assert_eq!(browser.jar.0.len(), 1);
    assert!(browser.jar.0[0].name.starts_with("__Host-"));
}

/// Somebody who opens a login page of an application is sent to the one that counts.
#[test]
fn a_login_page_of_an_application_leads_to_the_sign_in_host() {
    let world = World::new(Plan::central_sign_in());
    let mut browser = world.browser(Person::ada());

    for (target, lands) in [
        ("%2Froom%3Fa%3Db", "https://chat.corp.test/room?a=b"),
        ("https%3A%2F%2Fevil.test", "https://chat.corp.test/"),
        ("%2F%2Fevil.test", "https://chat.corp.test/"),
    ] {
        let seen =
            browser.opens(&format!("https://chat.corp.test/.lychgate/login?return_to={target}"));
        assert_eq!(seen.url, lands);
    }
}

/// "Use another account" says so to the sign-in host too: somebody who is signed in is not just sent back.
#[test]
fn the_wish_for_another_account_reaches_the_sign_in_host() {
    let world = World::new(Plan::central_sign_in());
    let mut browser = world.browser(Person::ada());
    browser.opens("https://wiki.corp.test/page");

    browser.opens("https://chat.corp.test/.lychgate/login?return_to=%2F&prompt=select_account");

    assert_eq!(world.token_requests(), 2);
}

#[test]
fn the_sign_in_host_serves_no_application() {
    let world = World::new(Plan::central_sign_in());
    let mut browser = world.browser(Person::ada());

    let ask = browser.page("https://login.corp.test/anything");
    assert_eq!(reason(&browser.asks(ask)), Some(Reason::NotFound));
}

#[test]
fn a_failed_login_links_back_to_where_the_person_wanted_to_go() {
    let world = World::new(Plan::central_sign_in());
    let mut browser = world.browser(Person::ada());
    let login = browser.begins("https://wiki.corp.test/page?q");

    world.pass("11m");
    let jar = browser.jar.clone();
    let cookie = format!("{}={}", jar.0[0].name, jar.0[0].value);
    let back = format!("{}?error=access_denied&state={}", login.redirect_uri, login.state);
    let ask = browser.page(&back).with("cookie", &cookie);
    let outcome = browser.asks(ask);

    assert_eq!(reason(&outcome), Some(Reason::LoginExpired));
    let again = refusal(&outcome).unwrap().sign_in.clone().unwrap();
    assert_eq!(again, "/.lychgate/login?return_to=https%3A%2F%2Fwiki.corp.test%2Fpage%3Fq");
    let seen = browser.opens(&format!("https://login.corp.test{again}"));
    assert_eq!(seen.url, "https://wiki.corp.test/page?q");
}

#[test]
fn signing_out_of_one_host_signs_out_of_all() {
    let world = World::new(Plan::central_sign_in());
    let mut browser = world.browser(Person::ada());
    browser.opens("https://wiki.corp.test/page");

    let seen = browser.opens("https://chat.corp.test/.lychgate/logout");

    let Some(Page::SignedOut { provider, .. }) = page(&seen.outcome) else {
        panic!("{:?}", seen.outcome);
    };
    assert_eq!(*provider, ProviderSignOut::Ended);
    let ask = browser.page("https://wiki.corp.test/page");
    assert_eq!(browser.asks(ask).record.reason, Some(Reason::SessionRequired));
}

/// H2: a session that a domain shares does not open under another domain.
#[test]
fn a_shared_session_is_bound_to_its_domain() {
    let world = World::new(Plan::central_sign_in());
    let mut browser = world.browser(Person::ada());
    browser.opens("https://wiki.corp.test/page");
    let value = browser.jar.value("corp.test", "__Secure-lychgate").unwrap().to_owned();

    world.reload(|plan| plan.cookie_domain = Some("wiki.corp.test"));

    let ask = browser
        .page("https://wiki.corp.test/page")
        .with("cookie", &format!("__Secure-lychgate={value}"));
    assert_eq!(browser.asks(ask).record.reason, Some(Reason::SessionUnreadable));
}
