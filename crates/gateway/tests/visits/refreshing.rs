//! Asking the provider again: newer groups, sessions that it ends, and providers that do not answer.

use http::HeaderValue;
use lychgate_gateway::outcome::Event;
use lychgate_gateway::reason::Reason;
use lychgate_oidc::{Membership, SubjectRule, Userinfo};

use crate::world::World;
use crate::world::browser::{Browser, admission, refusal, user};
use crate::world::plan::Plan;
use crate::world::provider::{Manner, Person};

/// Ada, signed in at an app whose provider issues refresh tokens for access tokens of five minutes.
fn signed_in(plan: Plan) -> (World, Browser) {
    let world = World::new(plan);
    world.at("corp", |corp| corp.refreshes = true);
    let mut ada = world.browser(Person::ada());
    ada.opens("/");
    (world, ada)
}

/// H12, A-D15: asked a minute before the token ends, and what the provider says then is what counts.
#[test]
fn newer_groups_count_from_the_next_refresh() {
    let (world, mut ada) = signed_in(Plan::refreshing());
    world.at("corp", |corp| corp.groups_now = Some(vec!["staff".to_owned()]));

    world.pass("239s");
    let ask = ada.page("/admin/");
    assert!(admission(&ada.asks(ask)).is_some(), "a second before it is due");
    assert_eq!(world.token_requests(), 1);
    world.pass("1s");
    let ask = ada.page("/admin/");
    let outcome = ada.asks(ask);

    assert_eq!(outcome.record.reason, Some(Reason::AccessNotGranted));
    assert_eq!(world.token_requests(), 2);
    let ask = ada.page("/");
    let outcome = ada.asks(ask);
    assert_eq!(admission(&outcome).unwrap().edits().says("x-forwarded-groups").unwrap(), "staff");
    assert_eq!(world.token_requests(), 2, "not asked again before it is due again");
}

/// R4, R5: a provider that takes a second use of a refresh token for theft sees one use of each.
#[test]
fn many_requests_with_one_cookie_are_one_refresh() {
    let (world, mut ada) = signed_in(Plan::refreshing());
    world.pass("5m");

    let with_old_cookie = ada.clone();
    for number in 0..10 {
        ada = with_old_cookie.clone();
        let ask = ada.page(&format!("/{number}"));
        let outcome = ada.asks(ask);
        assert_eq!(user(&outcome), Some("ada"));
        assert_eq!(outcome.record.event, Some(Event::Refreshed));
        assert_eq!(outcome.cookies.len(), 1, "each answer brings the newer session");
    }
    assert_eq!(world.token_requests(), 2);

    world.pass("4m");
    let ask = ada.page("/");
    assert_eq!(user(&ada.asks(ask)), Some("ada"), "with the refresh token that came last");
    assert_eq!(world.token_requests(), 3);
}

/// A-D15: a refresh token that stays the same is used again each time that it is due, and not in between.
#[test]
fn a_refresh_token_that_stays_the_same_is_used_again() {
    let (world, mut ada) = signed_in(Plan::refreshing());
    world.at("corp", |corp| corp.keeps_refresh_tokens = true);
    for refreshes in 1..=3 {
        world.pass("4m");
        for _ in 0..2 {
            let ask = ada.page("/");
            assert_eq!(user(&ada.asks(ask)), Some("ada"));
            assert_eq!(world.token_requests(), 1 + refreshes);
        }
    }
}

/// R3, H12: an account that was closed is outside at its next refresh, wherever its cookie was copied to.
#[test]
fn a_provider_that_says_no_ends_the_session() {
    let (world, mut ada) = signed_in(Plan::refreshing());
    let mut copy = ada.clone();
    world.at("corp", |corp| corp.manner = Manner::Failing(400, "invalid_grant"));
    world.pass("4m");

    let ask = ada.data("/");
    let outcome = ada.asks(ask);
    assert_eq!(outcome.record.reason, Some(Reason::SessionEnded));
    assert_eq!(ada.jar.value("app.test", "__Host-lychgate"), None, "the browser forgets it");
    world.at("corp", |corp| corp.manner = Manner::Honest);
    let ask = copy.data("/");
    assert_eq!(copy.asks(ask).record.reason, Some(Reason::SessionSignedOut));
}

/// H13: somebody else's token, or one that cannot be believed, ends the session.
#[test]
fn a_refresh_that_speaks_of_somebody_else_ends_the_session() {
    for manner in [
        Manner::Lying(|claims| claims["sub"] = "sub-eve".into()),
        Manner::Lying(|claims| claims["iss"] = "https://evil.test".into()),
        Manner::Forging,
    ] {
        let (world, mut ada) = signed_in(Plan::refreshing());
        world.at("corp", |corp| corp.manner = manner);
        world.pass("4m");
        let ask = ada.data("/");
        assert_eq!(ada.asks(ask).record.reason, Some(Reason::SessionEnded));
    }
}

/// H12: whoever is in none of the groups that the provider is configured for any more is signed out, as whoever never
/// was one does not sign in.
#[test]
fn somebody_who_is_no_member_any_more_is_signed_out() {
    let (world, mut ada) = signed_in(Plan {
        registration: |provider| {
            let staff = Membership::of("groups", "groups", &["staff".to_owned()]);
            provider.manner.memberships = vec![staff];
        },
        ..Plan::refreshing()
    });
    world.pass("4m");
    let ask = ada.page("/");
    assert_eq!(user(&ada.asks(ask)), Some("ada"), "a member still");

    world.at("corp", |corp| corp.groups_now = Some(vec!["guests".to_owned()]));
    world.pass("4m");
    let ask = ada.data("/");
    assert_eq!(ada.asks(ask).record.reason, Some(Reason::SessionEnded));
    assert_eq!(ada.jar.value("app.test", "__Host-lychgate"), None);
}

/// H13: without an ID token the person is the one they were.
#[test]
fn a_refresh_without_an_id_token_keeps_the_claims() {
    let (world, mut ada) = signed_in(Plan::refreshing());
    world.at("corp", |corp| corp.refreshes_id_token = false);
    world.pass("4m");
    let ask = ada.page("/admin/");
    let outcome = ada.asks(ask);
    assert_eq!(user(&outcome), Some("ada"));
    assert_eq!(
        admission(&outcome).unwrap().edits().says("x-forwarded-groups").unwrap(),
        "staff,sre"
    );
}

/// R2: an outage signs nobody out. After the grace it is said as what it is, and no login is begun that could not end.
#[test]
fn a_provider_that_does_not_answer_signs_nobody_out() {
    let (world, mut ada) = signed_in(Plan::refreshing());
    for manner in [Manner::Silent, Manner::Failing(503, "temporarily_unavailable")] {
        world.at("corp", |corp| corp.manner = manner);
        world.pass("4m");
        let ask = ada.page("/");
        let outcome = ada.asks(ask);
        assert_eq!(user(&outcome), Some("ada"));
        assert_eq!(outcome.record.event, Some(Event::RefreshFailed));
        assert!(outcome.record.cause.is_some(), "the operator is told");
    }

    // 5 minutes of the token and 10 of grace.
    world.pass("7m");
    for ask in [ada.page("/"), ada.data("/")] {
        let outcome = ada.asks(ask);
        assert_eq!(outcome.record.reason, Some(Reason::SessionUnconfirmed));
        assert!(refusal(&outcome).unwrap().retry_after.is_some());
        assert!(outcome.cookies.is_empty(), "nobody is signed out");
    }
    let ask = ada.page("/public/");
    assert!(admission(&ada.asks(ask)).is_some(), "what is public needs nobody's word");

    world.at("corp", |corp| corp.manner = Manner::Honest);
    let ask = ada.page("/");
    assert_eq!(user(&ada.asks(ask)), Some("ada"), "the session was only waiting");
}

/// CB-59: no refresh token, nothing to renew; the session lasts as sessions do.
#[test]
fn without_a_refresh_token_nobody_is_asked() {
    let world = World::new(Plan::refreshing());
    let mut ada = world.browser(Person::ada());
    ada.opens("/");
    world.pass("50m");
    let ask = ada.page("/");
    assert_eq!(user(&ada.asks(ask)), Some("ada"));
    assert_eq!(world.token_requests(), 1);
}

#[test]
fn an_operator_may_do_without_refreshes() {
    let mut plan = Plan::refreshing();
    plan.sessions.refresh = None;
    let (world, mut ada) = signed_in(plan);
    world.pass("50m");
    let ask = ada.page("/");
    assert_eq!(user(&ada.asks(ask)), Some("ada"));
    assert_eq!(world.token_requests(), 1);
}

/// CB-60: in `Authorization` and nowhere else, always the newest, and never the client's own in its place.
#[test]
fn an_upstream_may_be_told_the_access_token() {
    let plan = Plan { tells_access_token: true, ..Plan::refreshing() };
    let (world, mut ada) = signed_in(plan);
    let bearer = |outcome: &lychgate_gateway::outcome::Outcome| {
        let value = admission(outcome).unwrap().edits().says("authorization").unwrap();
        assert!(value.is_sensitive());
        value.clone()
    };
    let ask = ada.page("/");
    assert_eq!(bearer(&ada.asks(ask)), HeaderValue::from_static("Bearer access-token-1-of-ada"));
    world.pass("4m");
    let ask = ada.page("/");
    assert_eq!(bearer(&ada.asks(ask)), HeaderValue::from_static("Bearer access-token-2-of-ada"));

    let mut stranger = world.browser(Person::bob());
    let ask = stranger.page("/public/").with("authorization", "Bearer forged");
    let outcome = stranger.asks(ask);
    let edits = admission(&outcome).unwrap().edits();
    assert!(edits.withheld().contains(&http::header::AUTHORIZATION));
}

/// RFC 9700 §4.14: who signs out leaves nothing behind at the provider.
#[test]
fn signing_out_gives_the_grant_back() {
    let (world, mut ada) = signed_in(Plan::refreshing());
    world.at("corp", |corp| corp.signs_out = false);
    ada.opens("/.lychgate/logout");
    assert_eq!(world.at("corp", |corp| corp.given_back.clone()), ["refresh-token-1-of-ada"]);
}

/// R2, R4: a provider that renews the tokens and is in trouble after that has taken the refresh token of before. The
/// new one is kept, nobody is signed out, and nothing is believed for longer than before.
#[test]
fn a_renewed_token_is_kept_when_the_provider_then_fails() {
    let sub = || serde_json::json!({ "sub": "sub-ada" });
    let plan = Plan {
        registration: |provider| provider.userinfo = Userinfo::Always,
        ..Plan::refreshing()
    };
    let world = World::new(plan);
    world.at("corp", |corp| {
        corp.refreshes = true;
        corp.userinfo = Some((200, sub()));
    });
    let mut ada = world.browser(Person::ada());
    ada.opens("/");
    let other_tab = ada.clone();

    world.at("corp", |corp| corp.userinfo = Some((503, sub())));
    world.pass("4m");
    let ask = ada.page("/");
    let outcome = ada.asks(ask);
    assert_eq!(user(&outcome), Some("ada"));
    assert_eq!(outcome.record.event, Some(Event::RefreshFailed));
    assert_eq!(outcome.cookies.len(), 1, "the browser is given the new token");
    let requests = world.token_requests();
    let mut other_tab = other_tab;
    let ask = other_tab.page("/");
    assert_eq!(other_tab.asks(ask).cookies.len(), 1, "and so is whoever came with the old one");
    assert_eq!(world.token_requests(), requests, "which is not sent again");

    // Still failing: 5 minutes of the first token and 10 of grace, and not a minute more.
    for _ in 0..4 {
        world.pass("2m");
        let ask = ada.page("/");
        assert_eq!(user(&ada.asks(ask)), Some("ada"));
    }
    world.pass("4m");
    let ask = ada.page("/");
    let outcome = ada.asks(ask);
    assert_eq!(outcome.record.reason, Some(Reason::SessionUnconfirmed));
    assert_eq!(outcome.cookies.len(), 1, "the newest token is kept for later");

    world.at("corp", |corp| corp.userinfo = Some((200, sub())));
    world.pass("1m");
    let ask = ada.page("/");
    let outcome = ada.asks(ask);
    assert_eq!(user(&outcome), Some("ada"), "{:?}", outcome.record);
    assert_eq!(outcome.record.event, Some(Event::Refreshed));
}

/// H13: whoever is known by another claim than `sub` stays signed in where a refresh brings no ID token, and is
/// still recognised by the `sub` of the first.
#[test]
fn a_person_who_is_known_by_another_claim_is_recognised_at_a_refresh() {
    let plan = Plan {
        registration: |provider| {
            provider.answers.subject = SubjectRule::Claim("email".to_owned());
            provider.userinfo = Userinfo::Always;
        },
        ..Plan::refreshing()
    };
    let world = World::new(plan);
    world.at("corp", |corp| {
        corp.refreshes = true;
        corp.refreshes_id_token = false;
        corp.userinfo = Some((200, serde_json::json!({ "sub": "sub-ada" })));
    });
    let mut ada = world.browser(Person::ada());
    ada.opens("/");
    world.pass("4m");
    let ask = ada.page("/");
    let outcome = ada.asks(ask);
    assert_eq!(user(&outcome), Some("ada"), "{:?}", outcome.record);
    assert_eq!(outcome.record.event, Some(Event::Refreshed));
    let session = outcome.record.session.as_ref().expect("a session");
    assert_eq!(session.identity().subject(), "ada@corp.test");

    let eve = serde_json::json!({ "sub": "sub-eve" });
    world.at("corp", |corp| corp.userinfo = Some((200, eve)));
    world.pass("4m");
    let ask = ada.data("/");
    assert_eq!(ada.asks(ask).record.reason, Some(Reason::SessionEnded));
}
