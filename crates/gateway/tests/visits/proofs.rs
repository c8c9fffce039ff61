//! What is fresh in every conversation with a provider: assertions from elsewhere, and proofs of possession.

use lychgate_gateway::reason::Reason;
use lychgate_oidc::{Algorithm, ClientAuth, Dpop, SigningKey};

use crate::world::World;
use crate::world::browser::reason;
use crate::world::plan::Plan;
use crate::world::provider::Person;

/// RFC 7523 §2.2: whoever signs it replaces it; each login brings the one of its moment.
#[test]
fn an_assertion_from_elsewhere_is_the_one_of_the_moment() {
    let mut plan = Plan::one_app();
    plan.registration = |registration| registration.client_auth = ClientAuth::Assertion;
    let world = World::new(plan);

    for assertion in ["assertion-of-monday", "assertion-of-tuesday"] {
        world.puts_assertion(Some(assertion));
        assert_eq!(world.browser(Person::ada()).opens("/").user(), Some("ada"));
    }

    let seen = world.at("corp", |provider| provider.assertions.clone());
    assert_eq!(seen, ["assertion-of-monday", "assertion-of-tuesday"]);
}

/// A login cannot begin without one, and a code is not shown to anybody; the log says which file it is.
#[test]
fn without_an_assertion_the_provider_is_not_asked() {
    let mut plan = Plan::one_app();
    plan.registration = |registration| registration.client_auth = ClientAuth::Assertion;
    let world = World::new(plan);
    world.puts_assertion(Some("assertion-of-monday"));
    let mut browser = world.browser(Person::ada());
    let login = browser.begins("/");

    world.puts_assertion(None);
    let seen = browser.finishes(&login);

    assert_eq!(seen.reason(), Some(Reason::ProviderUnavailable));
    let cause = seen.outcome.record.cause.unwrap();
    assert!(cause.contains("/run/token"), "{cause}");
    assert_eq!(world.token_requests(), 0);

    let seen = browser.opens("/");
    assert_eq!(reason(&seen.outcome), Some(Reason::ProviderUnavailable));
}

/// DP2, F2-08: the code is brought once more for the first nonce; after that it is known, until it changes.
#[test]
fn a_nonce_costs_one_more_request_and_only_the_first_time() {
    let mut plan = Plan::one_app();
    plan.registration = |registration| {
        let key = SigningKey::generate().unwrap();
        registration.dpop = Some(Dpop { key, algorithm: Algorithm::ES256, binds_code: true });
    };
    let world = World::new(plan);
    for (nonce, requests) in [("n-1", 2), ("n-1", 3), ("n-2", 5)] {
        world.at("corp", |provider| provider.wants_nonce = Some(nonce));

        let seen = world.browser(Person::ada()).opens("/");

        assert_eq!(seen.user(), Some("ada"), "{nonce}");
        assert_eq!(world.token_requests(), requests);
    }
}

/// DP3: a token that anybody could use is not what was asked for.
#[test]
fn a_token_that_is_not_bound_is_refused_where_one_that_is_was_asked_for() {
    let mut plan = Plan::one_app();
    plan.registration = |registration| {
        let key = SigningKey::generate().unwrap();
        registration.dpop = Some(Dpop { key, algorithm: Algorithm::ES256, binds_code: false });
    };
    let world = World::new(plan);

    let seen = world.browser(Person::ada()).opens("/");

    assert_eq!(seen.reason(), Some(Reason::TokenExchangeFailed));
}
