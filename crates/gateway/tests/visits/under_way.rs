//! What was admitted and is still under way: until when it would be admitted again.

use http::Method;
use lychgate_gateway::path::CanonicalPath;
use lychgate_gateway::reason::Reason;
use lychgate_gateway::visit::standing::{Admitted, Credential};

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
