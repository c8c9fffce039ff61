//! Signed in and not allowed; and what public paths give away, which is nothing.

use http::Method;
use lychgate_gateway::outcome::{DecisionWord, Event};
use lychgate_gateway::reason::Reason;

use crate::world::browser::{admission, refusal, user};
use crate::world::plan::{Plan, PlannedRoute};
use crate::world::provider::Person;
use crate::world::{Ask, World};

#[test]
fn somebody_in_the_wrong_group_is_told_who_they_are_and_what_helps() {
    let world = World::new(Plan::one_app());
    let mut browser = world.browser(Person::bob());

    let seen = browser.opens("/admin/users?page=2");

    assert_eq!(seen.reason(), Some(Reason::AccessNotGranted));
    assert_eq!(Reason::AccessNotGranted.status(), 403);
    let refusal = refusal(&seen.outcome).unwrap();
    assert_eq!(refusal.identity.as_ref().unwrap().user(), "bob");
    assert_eq!(refusal.words.explain.as_deref(), Some("Ask the team for access."));
    assert_eq!(refusal.sign_out.as_deref(), Some("/.lychgate/logout"));
    assert_eq!(
        refusal.other_account.as_deref(),
        Some("/.lychgate/login?return_to=%2Fadmin%2Fusers%3Fpage%3D2&prompt=select_account")
    );
    let record = &seen.outcome.record;
    assert_eq!(record.rule.as_deref(), Some("routes.app.rules[1]"));
    assert_eq!(record.decision, DecisionWord::Deny);
    assert_eq!(record.event, Some(Event::AccessDenied));
}

#[test]
fn the_other_account_link_leads_to_the_page_as_somebody_else() {
    let world = World::new(Plan::one_app());
    let mut browser = world.browser(Person::bob());
    let seen = browser.opens("/admin/users");
    let link = refusal(&seen.outcome).unwrap().other_account.clone().unwrap();

    browser.person = Person::ada();
    let login = browser.begins(&link);
    assert!(login.authorization_url.contains("prompt=select_account"));
    let seen = browser.finishes(&login);

    assert_eq!(seen.url, "https://app.test/admin/users");
    assert_eq!(seen.user(), Some("ada"));
}

/// M5: one session, two rules, each decides for itself.
#[test]
fn each_visit_is_decided_by_its_own_rule() {
    let world = World::new(Plan::one_app());
    let mut browser = world.browser(Person::bob());
    browser.opens("/");

    for (path, allowed) in
        [("/admin", false), ("/x", true), ("/admin/y", false), ("/administrator", true)]
    {
        let ask = browser.page(path);
        assert_eq!(admission(&browser.asks(ask)).is_some(), allowed, "{path}");
    }
}

/// C3, C-77: a public path is for everybody; who is signed in is still named.
#[test]
fn a_public_path_needs_nobody_and_still_knows_who_is_there() {
    let world = World::new(Plan::one_app());
    let mut browser = world.browser(Person::ada());

    let ask = browser.page("/public/logo.svg");
    let outcome = browser.asks(ask);
    assert_eq!(outcome.record.decision, DecisionWord::Public);
    assert_eq!(user(&outcome), None);
    let edits = admission(&outcome).unwrap().edits();
    assert!(edits.withheld().iter().any(|name| name == "x-forwarded-user"), "{edits:?}");

    browser.opens("/");
    let ask = browser.page("/public/logo.svg");
    assert_eq!(user(&browser.asks(ask)), Some("ada"));
}

/// B1, B2: neither a query nor an encoded delimiter makes a path public.
#[test]
fn a_public_rule_is_not_reached_by_writing_its_path_elsewhere() {
    let mut plan = Plan::one_app();
    plan.routes[0].rules = vec![("/foo/*/bar", None), ("/public/**", None)];
    let world = World::new(plan);
    let mut browser = world.browser(Person::ada());

    for (target, public) in [
        ("/foo/x/bar", true),
        ("/public/x?/private", true),
        ("/private?/public/", false),
        ("/private?p=/public/x", false),
        ("/foo/secret%23/bar", false),
        ("/foo/secret%3F/bar", false),
        ("/Public/x", false),
        ("/publicity", false),
    ] {
        let ask = Ask::new(Method::GET, &format!("https://app.test{target}"));
        assert_eq!(admission(&browser.asks(ask)).is_some(), public, "{target}");
    }
}

/// C-70, C-78: the longest path finds the route, and the upstream's path replaces it.
#[test]
fn the_upstream_is_asked_for_its_own_path() {
    let mut plan = Plan::one_app();
    plan.routes.push(PlannedRoute {
        upstream_path: "/v1",
        ..PlannedRoute::new("reports", "https://app.test/reports", &["corp"])
    });
    let world = World::new(plan);
    let mut browser = world.browser(Person::ada());
    browser.opens("/");

    for (target, route, upstream) in [
        ("/", "app", "/"),
        ("/reports", "reports", "/v1"),
        ("/reports/", "reports", "/v1/"),
        ("/reports/a?b=/c", "reports", "/v1/a?b=/c"),
        ("/reportsx", "app", "/reportsx"),
    ] {
        let ask = browser.page(target);
        let outcome = browser.asks(ask);
        let admission = admission(&outcome).unwrap();
        assert_eq!((admission.route().name.as_str(), admission.target()), (route, upstream));
    }
}
