//! Pushing the authorization request ahead: the provider knows what is asked before the browser comes.

use lychgate_gateway::outcome::Event;
use lychgate_gateway::reason::Reason;
use lychgate_oidc::TemplateValue;

use crate::world::World;
use crate::world::browser::{reason, refusal};
use crate::world::plan::Plan;
use crate::world::provider::Person;

fn world() -> World {
    let world = World::new(Plan::one_app());
    world.at("corp", |provider| provider.pushed_only = true);
    world
}

/// F2-11, F2-13, PAR1, PAR2: once for every login, and the address holds a reference and nothing else.
#[test]
fn a_pushed_login_leads_to_the_page_like_any_other() {
    let world = world();

    for logins in 1..=2 {
        let seen = world.browser(Person::ada()).opens("/deep?q=1");

        assert_eq!(seen.user(), Some("ada"));
        assert_eq!(seen.url, "https://app.test/deep?q=1");
        assert_eq!(world.at("corp", |provider| provider.pushes), logins);
    }
}

/// PAR3, A-D6: the person stays here, is told whether waiting helps, and no login is left behind.
#[test]
fn a_refused_push_sends_nobody_anywhere() {
    for (status, code, expected, retry_after) in [
        (400, "invalid_request", Reason::ProviderRefused, None),
        (401, "invalid_client", Reason::ClientRefused, None),
        (400, "server_error", Reason::ProviderUnavailable, Some(10)),
        (429, "slow_down", Reason::ProviderUnavailable, Some(17)),
    ] {
        let world = world();
        world.at("corp", |provider| provider.push_refusal = Some((status, code)));
        let mut browser = world.browser(Person::ada());

        let seen = browser.opens("/page");

        assert_eq!(reason(&seen.outcome), Some(expected), "{code}");
        let refusal = refusal(&seen.outcome).unwrap();
        assert_eq!(refusal.retry_after.map(|pause| pause.as_secs()), retry_after, "{code}");
        assert!(refusal.sign_in.is_some());
        assert!(matches!(seen.outcome.record.event, Some(Event::LoginFailed { flow: None })));
        assert!(browser.jar.logins("app.test").is_empty());
        assert_eq!(world.token_requests(), 0);
    }
}

/// `params.from_login_query`: what the link brings reaches the provider by way of our own page, if it is listed.
#[test]
fn a_login_link_brings_what_the_provider_takes() {
    let mut plan = Plan::one_app();
    plan.registration = |registration| {
        registration.authorization.parameters_from_login =
            ["auth_id", "return_to"].map(str::to_owned).to_vec();
    };
    let world = World::new(plan);
    let mut browser = world.browser(Person::ada());

    let login = browser.begins("/.lychgate/login?return_to=%2F&auth_id=a%261&other=x");
    assert!(login.authorization_url.contains("&auth_id=a%261"), "{}", login.authorization_url);
    assert!(!login.authorization_url.contains("other="), "{}", login.authorization_url);
    assert!(!login.authorization_url.contains("return_to="), "{}", login.authorization_url);

    // An application's own address is no login link.
    let login = browser.begins("/page?auth_id=a-1");
    assert!(!login.authorization_url.contains("auth_id"), "{}", login.authorization_url);
}

/// A-D16: what was asked for is remembered in the browser; where that takes all the room, a long address is not.
#[test]
fn a_login_with_much_to_authorize_still_fits_into_a_cookie() {
    let long = format!("/page?{}", "q".repeat(1900));
    let mut plan = Plan::one_app();
    plan.registration = |registration| {
        let detail = serde_json::json!({ "type": "a", "permissions": "p".repeat(1400) });
        let detail = TemplateValue::new(detail).unwrap();
        registration.authorization.authorization_details = vec![detail];
    };
    let world = World::new(plan);

    assert_eq!(world.browser(Person::ada()).opens("/short?q").url, "https://app.test/short?q");
    assert_eq!(world.browser(Person::ada()).opens(&long).url, "https://app.test/");

    world.reload(|plan| {
        plan.registration = |registration| {
            let detail = serde_json::json!({ "type": "a", "permissions": "p".repeat(4000) });
            let detail = TemplateValue::new(detail).unwrap();
            registration.authorization.authorization_details = vec![detail];
        };
    });
    let seen = world.browser(Person::ada()).opens("/");
    assert_eq!(reason(&seen.outcome), Some(Reason::LoginMalformed));
}
