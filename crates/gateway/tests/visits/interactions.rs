//! What a provider learns of the visit that it is asked for, and how often it is asked for strangers.

use lychgate_gateway::reason::Reason;
use lychgate_oidc::Userinfo;

use crate::world::World;
use crate::world::browser::{admission, refusal};
use crate::world::plan::Plan;
use crate::world::provider::Person;

/// The id of every visit here as a random UUID: of the SHA-256 of `request-1`.
const INTERACTION: &str = "19f1064b-619d-49d3-9392-eac7261cd726";

/// CB-66, BR-07: every request of a visit says which visit it is for, at sign-in, at a refresh and at sign-out, under the
/// id that page, log and upstream know; at a provider without a profile none does.
#[test]
fn a_provider_with_a_profile_is_told_which_visit_a_request_is_for() {
    for told in [true, false] {
        let registration: fn(&mut lychgate_oidc::Provider) = if told {
            |provider| {
                provider.userinfo = Userinfo::Always;
                provider.interaction_ids = true;
            }
        } else {
            |provider| provider.userinfo = Userinfo::Always
        };
        let world = World::new(Plan { registration, ..Plan::refreshing() });
        world.at("corp", |corp| {
            corp.refreshes = true;
            corp.signs_out = false;
            corp.userinfo = Some((200, serde_json::json!({ "sub": "sub-ada" })));
        });
        let mut ada = world.browser(Person::ada());
        let asked = |expected: usize| {
            let asked = world.at("corp", |corp| std::mem::take(&mut corp.interactions));
            let all = asked.iter().all(|id| id.as_deref() == told.then_some(INTERACTION));
            assert!(all && asked.len() == expected, "{asked:?}");
        };

        ada.opens("/");
        asked(2);
        world.pass("4m");
        let ask = ada.page("/");
        assert!(admission(&ada.asks(ask)).is_some());
        asked(2);
        ada.opens("/.lychgate/logout");
        asked(1);
    }
}

/// R34: whoever begins too many logins is asked to wait, before the provider is asked anything; who is signed in goes on,
/// and so does who comes back from the provider.
#[test]
fn whoever_begins_too_many_logins_waits_and_nobody_else() {
    let world = World::new(Plan {
        registration: |provider| {
            provider.authorization.pushing = lychgate_oidc::Pushing::Required;
        },
        ..Plan::one_app()
    });
    world.at("corp", |corp| corp.pushed_only = true);
    let mut ada = world.browser(Person::ada());
    ada.opens("/");
    let pushes = world.at("corp", |corp| corp.pushes);

    world.leaves_logins(1);
    let mut bob = world.browser(Person::bob());
    let seen = bob.opens("/");
    assert_eq!(seen.reason(), None, "the last one comes in");
    let mut eve = world.browser(Person::new("eve", &[]));
    let seen = eve.opens("/");
    assert_eq!(seen.reason(), Some(Reason::LoginsTooMany));
    let refusal = refusal(&seen.outcome).unwrap();
    assert_eq!(refusal.retry_after.map(|wait| wait.as_secs()), Some(7));
    assert_eq!(refusal.reason.status(), http::StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(world.at("corp", |corp| corp.pushes), pushes + 1, "the provider was not asked");

    let ask = ada.page("/");
    assert!(admission(&ada.asks(ask)).is_some(), "who is signed in does not notice");
}
