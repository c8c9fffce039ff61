//! Coming back from the provider: whose login it is, once only, and what becomes of every other way.

use http::Method;
use lychgate_gateway::outcome::Event;
use lychgate_gateway::reason::Reason;
use serde_json::{Value, json};

use crate::world::browser::{Login, admission, reason, refusal};
use crate::world::plan::Plan;
use crate::world::provider::{Manner, Person, issuer};
use crate::world::{World, location};

/// What a provider changes in the claims that it should assert.
type Lie = fn(&mut Value);

const CALLBACK: &str = "https://app.test/.lychgate/callback";

fn session_of(browser: &crate::world::browser::Browser) -> Option<&str> {
    browser.jar.value("app.test", "__Host-lychgate")
}

/// The code in the URL that a provider sends a browser back to.
fn code_in(back: &str) -> String {
    let url = url::Url::parse(back).unwrap();
    let (_, code) = url.query_pairs().find(|(name, _)| name == "code").unwrap();
    code.into_owned()
}

/// F1, CB-07: a link to the attacker's own callback signs nobody in as the attacker.
#[test]
fn somebody_elses_callback_signs_nobody_in() {
    let world = World::new(Plan::one_app());
    let mut attacker = world.browser(Person::bob());
    let login = attacker.begins("/");
    let back = world.granted(&login.authorization_url, &attacker.person);

    let mut victim = world.browser(Person::ada());
    let seen = victim.follows_a_foreign_link(&back);

    assert_eq!(seen.reason(), Some(Reason::LoginNotOurs));
    assert_eq!(world.token_requests(), 0);
    assert!(victim.jar.0.is_empty());
}

/// F2, CB-05: it does not disturb a login that is under way, either.
#[test]
fn somebody_elses_callback_leaves_ones_own_login_alone() {
    let world = World::new(Plan::one_app());
    let mut attacker = world.browser(Person::bob());
    let theirs = attacker.begins("/");
    let back = world.granted(&theirs.authorization_url, &attacker.person);
    let mut victim = world.browser(Person::ada());
    let own = victim.begins("/page");

    for unwanted in [back, format!("{CALLBACK}?code=x&state=unknown")] {
        assert_eq!(victim.comes_back(&unwanted).reason(), Some(Reason::LoginNotOurs));
    }
    assert_eq!(world.token_requests(), 0);

    assert_eq!(victim.finishes(&own).user(), Some("ada"));
}

/// F2: not even with the victim's own login cookie, put under the name that the attacker's state has.
#[test]
fn a_login_cookie_does_not_open_under_another_name() {
    let world = World::new(Plan::one_app());
    let mut attacker = world.browser(Person::bob());
    let theirs = attacker.begins("/");
    let name = attacker.jar.logins("app.test")[0].name.clone();
    let back = world.granted(&theirs.authorization_url, &attacker.person);
    let mut victim = world.browser(Person::ada());
    victim.begins("/page");

    victim.jar.0[0].name = name;

    assert_eq!(victim.comes_back(&back).reason(), Some(Reason::LoginNotOurs));
    assert_eq!(world.token_requests(), 0);
}

/// CB-06, CB-20, CB-21, CB-22, CB-25: what is not a plain answer to us is not looked at further.
#[test]
fn a_malformed_callback_uses_nothing_up() {
    let world = World::new(Plan::one_app());
    let mut browser = world.browser(Person::ada());
    let login = browser.begins("/page");
    let state = &login.state;
    let long = "x".repeat(5000);

    for (query, expected) in [
        (String::new(), Reason::LoginMalformed),
        (format!("?state={state}"), Reason::LoginMalformed),
        (format!("?code=&state={state}"), Reason::LoginMalformed),
        (format!("?code=a%00b&state={state}"), Reason::LoginMalformed),
        (format!("?code=%C3%A9&state={state}"), Reason::LoginMalformed),
        (format!("?code={long}&state={state}"), Reason::LoginMalformed),
        (format!("?code=a&state={long}"), Reason::LoginMalformed),
        (format!("?code=a&code=a&state={state}"), Reason::LoginMalformed),
        (format!("?code=a&state={state}&state={state}"), Reason::LoginMalformed),
        (format!("?error=a&error=a&state={state}"), Reason::LoginMalformed),
        (format!("?code=a&state={state}&iss=a&iss=a"), Reason::LoginMalformed),
        (format!("?response=a.b.c&state={state}"), Reason::LoginMalformed),
        (format!("?code=a&response=a.b.c&state={state}"), Reason::LoginMalformed),
        ("?code=a".to_owned(), Reason::LoginNotOurs),
        ("?code=a&state=".to_owned(), Reason::LoginNotOurs),
    ] {
        let seen = browser.comes_back(&format!("{CALLBACK}{query}"));
        assert_eq!(seen.reason(), Some(expected), "{query}");
        assert!(seen.outcome.cookies.is_empty(), "{query}");
    }
    assert_eq!(world.token_requests(), 0);

    assert_eq!(browser.finishes(&login).user(), Some("ada"));
}

/// CB-24: only a GET, and not one that looks ahead, is the person coming back.
#[test]
fn only_the_person_coming_back_uses_a_login_up() {
    let world = World::new(Plan::one_app());
    let mut browser = world.browser(Person::ada());
    let login = browser.begins("/page");
    let back = world.granted(&login.authorization_url, &browser.person);

    for method in [Method::HEAD, Method::POST, Method::PUT, Method::OPTIONS] {
        let mut ask = browser.page(&back);
        ask.method = method.clone();
        let outcome = browser.asks(ask);
        assert_eq!(reason(&outcome), Some(Reason::MethodNotAllowed), "{method}");
        assert_eq!(refusal(&outcome).unwrap().allow, Some("GET"), "{method}");
    }
    for (name, value) in
        [("sec-purpose", "prefetch"), ("purpose", "prefetch"), ("x-moz", "prefetch")]
    {
        let ask = browser.page(&back).with(name, value);
        assert_eq!(reason(&browser.asks(ask)), Some(Reason::LoginMalformed), "{name}");
    }
    assert_eq!(world.token_requests(), 0);

    assert_eq!(browser.comes_back(&back).user(), Some("ada"));
}

/// CB-26, F5: a login takes so long and no longer, whatever the browser kept.
#[test]
fn a_login_that_takes_too_long_is_refused() {
    for (time, expected) in [("599s", None), ("10m", Some(Reason::LoginExpired))] {
        let world = World::new(Plan::one_app());
        let mut browser = world.browser(Person::ada());
        let login = browser.begins("/page");
        let kept = browser.jar.logins("app.test")[0].clone();
        let back = world.granted(&login.authorization_url, &browser.person);

        world.pass(time);
        let cookie = format!("{}={}", kept.name, kept.value);
        let ask = browser.page(&back).with("cookie", &cookie);
        let outcome = browser.asks(ask);

        assert_eq!(outcome.record.reason, expected, "{time}");
        let asked = usize::from(expected.is_none());
        assert_eq!(world.token_requests(), asked, "{time}");
    }
}

/// CB-29, F5: by the back button or a reload, the person just goes on; anybody else is told.
#[test]
fn a_callback_that_comes_again_asks_the_provider_nothing() {
    let world = World::new(Plan::one_app());
    let mut browser = world.browser(Person::ada());
    let login = browser.begins("/page?q");
    let back = world.granted(&login.authorization_url, &browser.person);
    let mut before = browser.clone();
    browser.comes_back(&back);

    let ask = browser.page(&back);
    let again = browser.asks(ask);
    assert_eq!(location(&again), Some("https://app.test/page?q"));
    assert!(matches!(again.record.event, Some(Event::LoginReplayed { .. })));

    let mut stranger = world.browser(Person::bob());
    stranger.opens("/");
    for other in [&mut before, &mut stranger] {
        let had = session_of(other).map(str::to_owned);
        let seen = other.comes_back(&back);
        assert_eq!(seen.reason(), Some(Reason::LoginAlreadyUsed));
        assert_eq!(session_of(other).map(str::to_owned), had);
    }
    assert_eq!(world.token_requests(), 2, "one for each of the two who signed in");
}

/// CB-30, CB-28: of two deliveries at one time, exactly one is redeemed.
#[test]
fn of_two_simultaneous_callbacks_one_is_redeemed() {
    let world = World::new(Plan::one_app());
    let mut browser = world.browser(Person::ada());
    let login = browser.begins("/page");
    let back = world.granted(&login.authorization_url, &browser.person);
    let ask = browser.prepared(browser.page(&back));

    let (first, second) = world.visit_both(&ask, &ask);

    assert_eq!(world.token_requests(), 1);
    assert_eq!(location(&first), Some("https://app.test/page"));
    assert_eq!(reason(&second), Some(Reason::LoginAlreadyUsed));
    assert!(second.cookies.is_empty());
}

/// CB-09: an error uses the login up as a success does.
#[test]
fn an_error_uses_the_login_up() {
    let world = World::new(Plan::one_app());
    let mut browser = world.browser(Person::ada());
    let login = browser.begins("/page");
    let mut before = browser.clone();
    let (state, iss) = (&login.state, issuer("corp"));

    let seen =
        browser.comes_back(&format!("{CALLBACK}?error=access_denied&state={state}&iss={iss}"));
    assert_eq!(seen.reason(), Some(Reason::ProviderDenied));
    assert!(browser.jar.logins("app.test").is_empty());

    let back = world.granted(&login.authorization_url, &before.person);
    assert_eq!(before.comes_back(&back).reason(), Some(Reason::LoginAlreadyUsed));
    assert_eq!(world.token_requests(), 0);
}

/// CB-23: where there is an error there is no exchange, whatever else there is.
#[test]
fn an_error_beside_a_code_is_an_error() {
    let world = World::new(Plan::one_app());
    let mut browser = world.browser(Person::ada());
    let login = browser.begins("/page");
    let back = world.granted(&login.authorization_url, &browser.person);

    let seen = browser.comes_back(&format!("{back}&error=access_denied"));

    assert_eq!(seen.reason(), Some(Reason::ProviderDenied));
    assert_eq!(world.token_requests(), 0);
    assert_eq!(session_of(&browser), None);
}

/// CB-13: an error that answers no login of this browser consumes nothing and is not shown as the provider's.
#[test]
fn an_unsolicited_error_is_not_believed() {
    let world = World::new(Plan::one_app());
    let mut browser = world.browser(Person::ada());
    let login = browser.begins("/page");

    for state in ["", "&state=", "&state=unknown"] {
        let description = "error_description=Call%20%2B1-555-FRAUD";
        let url = format!("{CALLBACK}?error=access_denied&{description}{state}");
        let seen = browser.comes_back(&url);
        assert_eq!(seen.reason(), Some(Reason::LoginNotOurs), "{state}");
        let words = &refusal(&seen.outcome).unwrap().words;
        assert_eq!(words.provider_code.as_deref(), Some("access_denied"), "{state}");
        assert_eq!(words.provider_text, None, "{state}");
        assert_eq!(seen.outcome.record.provider_error, None, "{state}: anybody's word");
        assert!(seen.outcome.record.legs.is_empty(), "{state}: strangers are told of once");
        assert!(seen.outcome.record.cause.unwrap().starts_with("unsolicited_error: "), "{state}");
    }

    assert_eq!(browser.finishes(&login).user(), Some("ada"));
}

/// CB-39, CB-40, CB-46: each error has its page, and none of them is a session.
#[test]
fn each_error_of_the_provider_has_its_reason() {
    let (denied, refused, unavailable) =
        (Reason::ProviderDenied, Reason::ProviderRefused, Reason::ProviderUnavailable);
    for (code, expected) in [
        ("access_denied", denied),
        ("login_required", denied),
        ("interaction_required", denied),
        ("consent_required", denied),
        ("account_selection_required", denied),
        ("server_error", unavailable),
        ("temporarily_unavailable", unavailable),
        ("invalid_request", refused),
        ("unauthorized_client", refused),
        ("unsupported_response_type", refused),
        ("invalid_scope", refused),
        ("invalid_client", Reason::ClientRefused),
        ("never_heard_of", refused),
    ] {
        let world = World::new(Plan::one_app());
        let mut browser = world.browser(Person::ada());
        let Login { state, .. } = browser.begins("/page");
        let iss = issuer("corp");
        let url = format!("{CALLBACK}?error={code}&state={state}&iss={iss}");
        let seen = browser.comes_back(&url);
        assert_eq!(seen.reason(), Some(expected), "{code}");
        // CB-47: whoever looks it up needs the code, most of all one that we have never heard of.
        let words = &refusal(&seen.outcome).unwrap().words;
        assert_eq!(words.provider_code.as_deref(), Some(code));
        assert_eq!(world.token_requests(), 0, "{code}");
        assert!(browser.jar.0.is_empty(), "{code}");
    }
}

/// CB-14, CB-15, CB-16, CB-17, CB-19: the answer says where it comes from, and that is where the login began.
#[test]
fn an_answer_of_another_issuer_is_refused() {
    let (corp, guest) = (issuer("corp"), issuer("guest"));
    for promised in [true, false] {
        for (iss, expected) in [
            (Some(corp.clone()), true),
            (None, !promised),
            (Some(guest.clone()), false),
            (Some(format!("{corp}/")), false),
            (Some(format!("{corp}:443")), false),
            (Some(corp.to_uppercase()), false),
            (Some(String::new()), false),
        ] {
            for answer in ["code", "error"] {
                let world = World::new(Plan::two_providers());
                world.at("corp", |corp| corp.sends_issuer = promised);
                let mut browser = world.browser(Person::ada());
                let login = browser.begins("/page");
                let code = code_in(&world.granted(&login.authorization_url, &browser.person));
                let value = if answer == "code" { code.as_str() } else { "access_denied" };
                let iss = iss.as_ref().map(|iss| format!("&iss={iss}")).unwrap_or_default();
                let Login { redirect_uri, state, .. } = login;
                let url = format!("{redirect_uri}?{answer}={value}&state={state}{iss}");
                let seen = browser.comes_back(&url);
                match (expected, answer) {
                    (true, "code") => assert_eq!(seen.user(), Some("ada"), "{url}"),
                    (true, _) => assert_eq!(seen.reason(), Some(Reason::ProviderDenied), "{url}"),
                    (false, _) => {
                        assert_eq!(seen.reason(), Some(Reason::IssuerMismatch), "{url}");
                        assert_eq!(world.token_requests(), 0, "{url}");
                    }
                }
            }
        }
    }
}

/// F9: a code goes to the provider where the login began, or nowhere.
#[test]
fn a_code_of_one_provider_never_reaches_another() {
    for claimed in ["corp", "guest"] {
        let world = World::new(Plan::two_providers());
        let mut browser = world.browser(Person::ada());
        let at_corp = browser.begins("https://app.test/page");
        let at_guest = browser.begins("https://guests.test/page");
        let code = code_in(&world.granted(&at_corp.authorization_url, &browser.person));

        let url = format!(
            "{}?code={code}&state={}&iss={}",
            at_guest.redirect_uri,
            at_guest.state,
            issuer(claimed)
        );
        let seen = browser.comes_back(&url);

        assert!(seen.reason().is_some());
        assert!(browser.jar.value("guests.test", "__Host-lychgate").is_none());
        assert_eq!(world.at("corp", |corp| corp.token_requests), 0);
    }
}

/// An address that the operator chose, as the one registered years ago, is a callback; ours is then none.
#[test]
fn a_callback_may_be_at_an_address_of_the_operators_choice() {
    let mut plan = Plan::one_app();
    plan.redirect_uri = Some("https://app.test/oauth/done");
    let world = World::new(plan);
    let mut browser = world.browser(Person::ada());
    let login = browser.begins("/page");
    assert_eq!(login.redirect_uri, "https://app.test/oauth/done");
    let back = world.granted(&login.authorization_url, &browser.person);

    let mut lost = browser.clone();
    let elsewhere = back.replace("/oauth/done", "/.lychgate/callback");
    assert_eq!(lost.comes_back(&elsewhere).reason(), Some(Reason::LoginNotOurs));

    assert_eq!(browser.comes_back(&back).user(), Some("ada"));
}

/// CB-11: each of several providers has a callback of its own, and a login comes back at its own.
#[test]
fn a_login_comes_back_at_its_own_address() {
    let world = World::new(Plan::two_providers());
    let mut browser = world.browser(Person::ada());
    let login = browser.begins("https://both.test/.lychgate/login?return_to=%2F&provider=corp");
    assert_eq!(login.redirect_uri, "https://both.test/.lychgate/callback/corp");
    let back = world.granted(&login.authorization_url, &browser.person);

    let mut lost = browser.clone();
    let elsewhere = back.replace("/callback/corp", "/callback/guest");
    assert_eq!(lost.comes_back(&elsewhere).reason(), Some(Reason::LoginNotOurs));
    assert_eq!(world.token_requests(), 0);

    assert_eq!(browser.comes_back(&back).user(), Some("ada"));
}

/// F8: a code that was stolen and put into another login is worth nothing, even at a provider without PKCE.
#[test]
fn an_injected_code_is_refused() {
    for (manner, expected) in
        [(Manner::Honest, Reason::LoginExpired), (Manner::Careless, Reason::NonceMismatch)]
    {
        let world = World::new(Plan::one_app());
        world.at("corp", |corp| corp.manner = manner);
        let mut victim = world.browser(Person::ada());
        let theirs = victim.begins("/page");
        let stolen = code_in(&world.granted(&theirs.authorization_url, &victim.person));

        let mut attacker = world.browser(Person::bob());
        let own = attacker.begins("/page");
        let iss = issuer("corp");
        let url = format!("{CALLBACK}?code={stolen}&state={}&iss={iss}", own.state);

        assert_eq!(attacker.comes_back(&url).reason(), Some(expected));
        assert_eq!(session_of(&attacker), None);
    }
}

/// CB-56, F6, G: a token that says anything else than it should is no sign-in.
#[test]
fn a_token_that_lies_signs_nobody_in() {
    let cases: [(&str, Lie, Reason); 10] = [
        (
            "no nonce",
            |claims| drop(claims.as_object_mut().unwrap().remove("nonce")),
            Reason::TokenInvalid,
        ),
        ("empty nonce", |claims| claims["nonce"] = "".into(), Reason::NonceMismatch),
        ("other nonce", |claims| claims["nonce"] = "x".into(), Reason::NonceMismatch),
        (
            "other issuer",
            |claims| claims["iss"] = "https://evil.test".into(),
            Reason::IssuerMismatch,
        ),
        ("other audience", |claims| claims["aud"] = "other".into(), Reason::AudienceMismatch),
        (
            "several audiences",
            |claims| claims["aud"] = json!(["lychgate", "other"]),
            Reason::AudienceMismatch,
        ),
        (
            "expired",
            |claims| claims["exp"] = (claims["iat"].as_i64().unwrap() - 60).into(),
            Reason::ClockSkew,
        ),
        (
            "from the future",
            |claims| claims["iat"] = (claims["iat"].as_i64().unwrap() + 120).into(),
            Reason::ClockSkew,
        ),
        (
            "nobody",
            |claims| drop(claims.as_object_mut().unwrap().remove("sub")),
            Reason::TokenInvalid,
        ),
        ("a list of nonces", |claims| claims["nonce"] = json!(["x"]), Reason::TokenInvalid),
    ];
    for (what, change, expected) in cases {
        let world = World::new(Plan::one_app());
        world.at("corp", |corp| corp.manner = Manner::Lying(change));
        let mut browser = world.browser(Person::ada());
        let seen = browser.opens("/page");
        assert_eq!(seen.reason(), Some(expected), "{what}");
        assert!(browser.jar.0.is_empty(), "{what}");
    }
}

/// CB-32, CB-28, CB-51, CB-54: whatever the token endpoint does, it is asked once, and there is no session.
#[test]
fn a_token_endpoint_that_fails_is_asked_once() {
    for (manner, expected) in [
        (Manner::Silent, Reason::ProviderUnavailable),
        (Manner::Failing(400, "invalid_grant"), Reason::LoginExpired),
        (Manner::Failing(401, "invalid_client"), Reason::ClientRefused),
        (Manner::Failing(400, "unauthorized_client"), Reason::ProviderRefused),
        (Manner::Failing(500, "server_error"), Reason::TokenExchangeFailed),
        (Manner::Failing(200, "invalid_grant"), Reason::LoginExpired),
        (Manner::Failing(302, "found"), Reason::TokenExchangeFailed),
        (Manner::Forging, Reason::SignatureInvalid),
    ] {
        let world = World::new(Plan::one_app());
        world.at("corp", |corp| corp.manner = manner);
        let mut browser = world.browser(Person::ada());
        let login = browser.begins("/page");
        let back = world.granted(&login.authorization_url, &browser.person);

        let seen = browser.comes_back(&back);
        assert_eq!(seen.reason(), Some(expected));
        assert!(browser.jar.0.is_empty());
        assert_eq!(browser.comes_back(&back).reason(), Some(Reason::LoginAlreadyUsed));
        assert_eq!(world.token_requests(), 1);

        // CB-35, CB-44: the way on is a new login for the same page, with nothing of the old one in it.
        let link = refusal(&seen.outcome).unwrap().sign_in.clone().unwrap();
        assert_eq!(link, "/.lychgate/login?return_to=%2Fpage");
        world.at("corp", |corp| corp.manner = Manner::Honest);
        assert_eq!(browser.opens(&link).user(), Some("ada"));
    }
}

/// CB-34: however many questions there are, all of them together have to end.
#[test]
fn a_provider_that_comes_to_no_end_costs_no_more_than_a_page() {
    let world = World::new(Plan::one_app());
    world.at("corp", |corp| corp.manner = Manner::Endless);
    let mut browser = world.browser(Person::ada());
    let login = browser.begins("/page");
    let back = world.granted(&login.authorization_url, &browser.person);

    let seen = browser.comes_back(&back);

    assert_eq!(seen.reason(), Some(Reason::ProviderUnavailable));
    assert_eq!(seen.outcome.record.cause.as_deref(), Some("no end after 45 s of questions"));
    assert!(browser.jar.0.is_empty());
    assert_eq!(browser.comes_back(&back).reason(), Some(Reason::LoginAlreadyUsed));
}

/// A failed sign-in takes nothing away from whoever was signed in before.
#[test]
fn a_failed_sign_in_leaves_the_session_before_it() {
    let world = World::new(Plan::one_app());
    let mut browser = world.browser(Person::ada());
    browser.opens("/");
    world.at("corp", |corp| corp.manner = Manner::Silent);

    let seen = browser.opens("/.lychgate/login?return_to=%2F&prompt=login");
    assert_eq!(seen.reason(), Some(Reason::ProviderUnavailable));

    let ask = browser.page("/page");
    assert!(admission(&browser.asks(ask)).is_some());
}

/// H8: a session that does not fit is a plain refusal, and no browser goes round in a circle.
#[test]
fn a_session_that_does_not_fit_is_refused_plainly() {
    let world = World::new(Plan::one_app());
    let groups: Vec<_> = (0..2000).map(|number| format!("group-{number:06}")).collect();
    let groups: Vec<_> = groups.iter().map(String::as_str).collect();
    let mut browser = world.browser(Person::new("eve", &groups));

    let seen = browser.opens("/page");

    assert_eq!(seen.reason(), Some(Reason::SessionTooLarge));
    let cause = seen.outcome.record.cause.unwrap();
    assert!(cause.contains("groups (2000 entries)"), "{cause}");
    assert!(browser.jar.0.is_empty());
    assert_eq!(world.token_requests(), 1);
}

/// H8: the ID token is the first to go; the provider then has to ask whom it is signing out.
#[test]
fn a_session_that_hardly_fits_is_kept_without_its_token() {
    for (count, hint) in [(10, true), (400, false)] {
        let world = World::new(Plan::one_app());
        let groups: Vec<_> = (0..count).map(|number| format!("group-{number:06}")).collect();
        let groups: Vec<_> = groups.iter().map(String::as_str).collect();
        let mut browser = world.browser(Person::new("eve", &groups));

        assert_eq!(browser.opens("/page").user(), Some("eve"), "{count}");

        let ask = browser.page("/.lychgate/logout");
        let outcome = browser.asks(ask);
        let has_hint = location(&outcome).unwrap().contains("id_token_hint=");
        assert_eq!(has_hint, hint, "{count}");
        let left = browser.jar.0.iter().filter(|kept| !kept.name.ends_with("-logout"));
        assert_eq!(left.count(), 0, "every part is cleared");
    }
}
