//! What was admitted and is still under way: until when it would be admitted again.

use std::sync::Arc;

use http::Method;
use lychgate_gateway::bearer::{Bearer, Introspection};
use lychgate_gateway::path::CanonicalPath;
use lychgate_gateway::reason::Reason;
use lychgate_gateway::visit::standing::{Admitted, Credential};

use crate::programs::{bearer, for_programs, token, with_token};
use crate::world::browser::Browser;
use crate::world::plan::Plan;
use crate::world::provider::Person;
use crate::world::{World, hours};

/// Somebody who is signed in and has begun something at this path.
fn begun(world: &World, path: &str) -> (Browser, Admitted) {
    let mut browser = world.browser(Person::ada());
    browser.opens("/");
    let ask = browser.page(path);
    let outcome = browser.asks(ask);
    let admitted = Admitted {
        method: Method::GET,
        authority: "app.test".to_owned(),
        path: CanonicalPath::parse(path).expect("a path"),
        client: None,
        credential: Credential::Session(outcome.record.session.expect("a session")),
    };
    (browser, admitted)
}

/// P-23, R16: it ends when its session idles out, and at the latest with its lifetime; until when it is good is known.
#[test]
fn what_is_under_way_is_good_for_as_long_as_its_session() {
    let world = World::new(Plan::one_app());
    let (_, admitted) = begun(&world, "/page");
    let (began, idle) = (world.now(), hours(1).as_secs());

    let until = world.still_admits(&admitted);
    assert_eq!(until, Ok(began + i64::try_from(idle).expect("few seconds")));
    world.pass("3599s");
    assert_eq!(world.still_admits(&admitted), until);
    world.pass("1s");
    assert_eq!(world.still_admits(&admitted), Err(Reason::SessionIdle));

    world.reload(|plan| plan.sessions.idle_timeout = plan.sessions.lifetime);
    world.pass("10h");
    assert!(world.still_admits(&admitted).is_ok());
    world.pass("1h");
    assert_eq!(world.still_admits(&admitted), Err(Reason::SessionExpired));
}

/// R16, R27: signing out ends it, and so does a configuration that would not admit it.
#[test]
fn what_is_under_way_ends_with_whatever_it_rested_on() {
    let world = World::new(Plan::one_app());
    let (mut browser, admitted) = begun(&world, "/page");
    world.reload(|plan| plan.sessions.lifetime = hours(1));
    assert!(world.still_admits(&admitted).is_ok());
    world.reload(|plan| plan.routes[0].rules.push(("/page", Some("nobody"))));
    assert_eq!(world.still_admits(&admitted), Err(Reason::AccessNotGranted));
    world.reload(|plan| plan.routes[0].rules.retain(|(path, _)| *path != "/page"));
    assert!(world.still_admits(&admitted).is_ok());

    browser.opens("/.lychgate/logout");
    assert_eq!(world.still_admits(&admitted), Err(Reason::SessionSignedOut));
}

/// R16: what began with a token goes on for as long as the route takes it for the same reasons, and until it ends.
#[test]
fn what_began_with_a_token_ends_when_the_token_or_what_is_asked_of_it_does() {
    let world = World::new(for_programs(Introspection::Never));
    let began = world.now();
    let outcome = world.visit(&with_token("/orders", &token(&world, "orders.read")));
    let admitted = Admitted {
        method: Method::GET,
        authority: "app.test".to_owned(),
        path: CanonicalPath::parse("/orders").expect("a path"),
        client: None,
        credential: Credential::Token(outcome.record.token.expect("a token")),
    };
    let reload = |change: fn(&mut Bearer)| {
        let mut bearer = bearer(Introspection::Never);
        change(&mut bearer);
        world.reload(|plan| plan.routes[0].clients.bearer = Some(Arc::new(bearer)));
        world.still_admits(&admitted)
    };
    // With the tolerance of clocks.
    let until = Ok(began + 330);

    assert_eq!(world.still_admits(&admitted), until);
    assert_eq!(reload(|bearer| bearer.forward = true), until);
    let other = |bearer: &mut Bearer| bearer.token.audiences = Some(vec!["other".to_owned()]);
    assert_eq!(reload(other), Err(Reason::AccessTokenInvalid));
    assert_eq!(reload(|bearer| bearer.issuers.clear()), Err(Reason::AccessTokenInvalid));
    let asked = |bearer: &mut Bearer| bearer.introspection = Introspection::Always;
    assert_eq!(reload(asked), Err(Reason::AccessTokenInvalid));
    let more = |bearer: &mut Bearer| bearer.scopes.push("orders.write".to_owned());
    assert_eq!(reload(more), Err(Reason::AccessTokenScopeMissing));
    assert_eq!(reload(|_| ()), until);
    world.reload(|plan| plan.claims.user = Some("sub".to_owned()));
    assert_eq!(world.still_admits(&admitted), Err(Reason::AccessTokenInvalid), "whose is it now?");
    world.reload(|plan| plan.claims.user = None);
    world.reload(|plan| plan.routes[0].rules.push(("/orders", Some("nobody"))));
    assert_eq!(world.still_admits(&admitted), Err(Reason::AccessNotGranted));
    world.reload(|plan| plan.routes[0].rules.retain(|(path, _)| *path != "/orders"));
    world.pass("330s");
    assert_eq!(world.still_admits(&admitted), Err(Reason::AccessTokenInvalid));
}
