//! What comes back in other forms, what people are told of a provider's errors, and how a provider is chosen.

use http::Method;
use lychgate_gateway::outcome::{Event, Page};
use lychgate_gateway::reason::Reason;
use lychgate_gateway::settings::ErrorRules;
use lychgate_oidc::{Algorithm, ResponseMode, SubjectRule};
use serde_json::json;

use crate::world::browser::{admission, page, refusal};
use crate::world::plan::Plan;
use crate::world::provider::{Manner, Person, issuer};
use crate::world::{Ask, World, location};

const CALLBACK: &str = "https://app.test/.lychgate/callback";

fn one_app(change: fn(&str, &mut lychgate_gateway::settings::SignInProvider)) -> World {
    World::new(Plan { change, ..Plan::one_app() })
}

fn posting() -> World {
    one_app(|_, provider| {
        std::sync::Arc::make_mut(&mut provider.registration).answers.mode = ResponseMode::FormPost;
    })
}

/// OC-07; `oidcc-client-formpost-basic-certification-test-plan`: a login survives the form of another site, and
/// the person arrives where they wanted to go.
#[test]
fn an_answer_may_be_posted() {
    let world = posting();
    let mut browser = world.browser(Person::ada());
    let login = browser.begins("/deep?q=1");
    assert!(login.authorization_url.contains("response_mode=form_post"));
    let back = world.granted(&login.authorization_url, &browser.person);

    let seen = browser.posts(&back);

    assert_eq!(seen.user(), Some("ada"));
    assert_eq!(seen.url, "https://app.test/deep?q=1");
    assert_eq!(world.token_requests(), 1);
}

/// `oidcc-client-test-form-post-error`
#[test]
fn a_posted_error_is_an_error() {
    let world = posting();
    let mut browser = world.browser(Person::ada());
    let login = browser.begins("/page");

    let error = format!("error=access_denied&state={}&iss={}", login.state, issuer("corp"));
    let seen = browser.posts(&format!("{CALLBACK}?{error}"));

    assert_eq!(seen.reason(), Some(Reason::ProviderDenied));
    assert_eq!(world.token_requests(), 0);
    assert!(browser.jar.logins("app.test").is_empty());
}

/// CB-24: by the one method that was asked for, as a form, and without what stands in the query beside it.
#[test]
fn an_answer_comes_by_the_method_that_was_asked_for() {
    let world = posting();
    let mut browser = world.browser(Person::ada());
    let login = browser.begins("/page");
    let back = world.granted(&login.authorization_url, &browser.person);
    let (address, form) = back.split_once('?').unwrap();

    let got = browser.clone().comes_back(&back);
    assert_eq!(got.reason(), Some(Reason::MethodNotAllowed));
    assert_eq!(refusal(&got.outcome).unwrap().allow, Some("POST"));

    let as_json = browser.form(address, form).with("content-type", "application/json");
    let outcome = browser.clone().asks(as_json);
    assert_eq!(refusal(&outcome).unwrap().reason, Reason::LoginMalformed);
    let empty = Ask { body: Some(String::new()), ..browser.form(&back, "") };
    let outcome = browser.clone().asks(empty);
    assert_eq!(refusal(&outcome).unwrap().reason, Reason::LoginMalformed, "the query is not read");
    let large = format!("{form}&x={}", "x".repeat(200_000));
    let outcome = browser.clone().asks(browser.form(address, &large));
    assert_eq!(refusal(&outcome).unwrap().reason, Reason::LoginMalformed);
    assert_eq!(world.token_requests(), 0);

    assert_eq!(browser.posts(&back).user(), Some("ada"), "nothing was used up");
    let by_query = World::new(Plan::one_app());
    let mut browser = by_query.browser(Person::ada());
    let login = browser.begins("/page");
    let back = by_query.granted(&login.authorization_url, &browser.person);
    assert_eq!(browser.posts(&back).reason(), Some(Reason::MethodNotAllowed));
}

/// 2.9: only the cookie of a login whose answer is posted goes along with another site's form.
#[test]
fn only_a_posted_logins_cookie_comes_with_another_sites_form() {
    for (world, expected) in
        [(posting(), "SameSite=None"), (World::new(Plan::one_app()), "SameSite=Lax")]
    {
        let browser = world.browser(Person::ada());
        let ask = browser.page("/.lychgate/login?return_to=%2F&provider=corp");
        let outcome = world.visit(&ask);
        let line = outcome.cookies.iter().map(|line| line.to_str().unwrap()).next().unwrap();
        assert!(line.contains(expected) && line.contains("Secure"), "{line}");
    }
}

fn signing() -> World {
    one_app(|_, provider| {
        let answers = &mut std::sync::Arc::make_mut(&mut provider.registration).answers;
        answers.mode = ResponseMode::Jwt;
        answers.authorization_signed_response_algs = vec![Algorithm::EdDSA];
    })
}

/// FM-02, JARM1: a signed answer signs in; the same in plain, or signed by somebody else, does not.
#[test]
fn an_answer_may_be_signed_and_then_has_to_be() {
    let world = signing();
    let mut browser = world.browser(Person::ada());
    let login = browser.begins("/page");
    let back = world.granted(&login.authorization_url, &browser.person);

    let plain = format!("{CALLBACK}?code=c&state={}&iss={}", login.state, issuer("corp"));
    assert_eq!(browser.clone().comes_back(&plain).reason(), Some(Reason::LoginMalformed));
    let beside = format!("{back}&state={}", login.state);
    assert_eq!(browser.clone().comes_back(&beside).reason(), Some(Reason::LoginMalformed));
    let forged = format!("{}x", &back[..back.len() - 4]);
    assert!(browser.clone().comes_back(&forged).reason().is_some());
    assert_eq!(world.token_requests(), 0);

    let again = browser.begins("/page");
    assert_eq!(browser.finishes(&again).user(), Some("ada"));
}

/// CB-25: a signed answer that nobody asked for is refused, whatever is in it.
#[test]
fn a_signed_answer_that_was_not_asked_for_is_refused() {
    let world = World::new(Plan::one_app());
    let mut browser = world.browser(Person::ada());
    let login = browser.begins("/page");
    let claims = json!({ "iss": issuer("corp"), "aud": "lychgate", "exp": 4_000_000_000_u32,
        "code": "c", "state": login.state });
    let token = world.at("corp", |corp| corp.sign(&claims));

    let seen = browser.comes_back(&format!("{CALLBACK}?response={token}"));

    assert_eq!(seen.reason(), Some(Reason::LoginMalformed));
    assert_eq!(world.token_requests(), 0);
}

/// G7 for answers: a key that is new is fetched once, before anything in the answer is believed.
#[test]
fn a_signed_answer_under_a_new_key_is_believed() {
    let world = signing();
    world.at("corp", |corp| corp.key = 2);
    let mut browser = world.browser(Person::ada());

    assert_eq!(browser.opens("/page").user(), Some("ada"));
    assert_eq!(world.at("corp", |corp| corp.key_requests), 1);
}

fn telling(errors: fn() -> ErrorRules) -> World {
    let world = World::new(Plan::one_app());
    world.reload(|plan| {
        plan.change = match errors() {
            rules if rules.show_without_state => |_, provider| {
                provider.sign_in.errors = shown();
            },
            _ => |_, provider| provider.sign_in.errors = linked(),
        };
    });
    world
}

fn linked() -> ErrorRules {
    ErrorRules { uri_hosts: vec!["help.id.test".to_owned()], ..ErrorRules::default() }
}

fn shown() -> ErrorRules {
    ErrorRules { show_without_state: true, ..linked() }
}

/// CB-42: a link of the provider's leads to a listed place over https, or is none.
#[test]
fn an_error_uri_is_a_link_only_to_a_listed_host() {
    for (uri, is_link) in [
        ("https://help.id.test/faq?e=1", true),
        ("HTTPS://HELP.id.test/faq", true),
        ("http://help.id.test/faq", false),
        ("https://evil.test/faq", false),
        ("https://help.id.test.evil.test/", false),
        ("https://evil.test#help.id.test", false),
        ("https://help.id.test@evil.test/", false),
        ("https://user@help.id.test/", false),
        ("https://help.id.test:8443/", false),
        ("https://help.id.test\\@evil.test/", false),
        ("https:/\\evil.test", false),
        ("//help.id.test/", false),
        ("javascript:alert(1)//help.id.test", false),
        ("data:text/html,<script>", false),
        ("https:help.id.test", false),
        (" https://help.id.test/", false),
    ] {
        let world = telling(linked);
        let mut browser = world.browser(Person::ada());
        let login = browser.begins("/page");
        let encoded: String = url::form_urlencoded::byte_serialize(uri.as_bytes()).collect();
        let url = format!(
            "{CALLBACK}?error=access_denied&state={}&iss={}&error_uri={encoded}",
            login.state,
            issuer("corp")
        );
        let seen = browser.comes_back(&url);
        let link = &refusal(&seen.outcome).unwrap().words.provider_link;
        assert_eq!(link.is_some(), is_link, "{uri}");
        assert!(link.as_ref().is_none_or(|link| link.host_str() == Some("help.id.test")), "{uri}");
    }
}

/// CB-41, CB-52, CB-63: words arrive decoded and disarmed on the page, and quoted in the log.
#[test]
fn a_providers_words_are_decoded_and_disarmed() {
    for (written, expected) in [
        ("No+way%2C%20sir.", "No way, sir."),
        ("N%C3%A3o%20autorizado", "Não autorizado"),
        ("%E2%80%AEevil%1B%5B31m%0D%0A", "evil[31m"),
        ("%3Cscript%3Ealert(1)%3C/script%3E", "<script>alert(1)</script>"),
    ] {
        let world = telling(linked);
        let mut browser = world.browser(Person::ada());
        let login = browser.begins("/page");
        let url = format!(
            "{CALLBACK}?error=access_denied&error_description={written}&state={}&iss={}",
            login.state,
            issuer("corp")
        );
        let seen = browser.comes_back(&url);
        let words = &refusal(&seen.outcome).unwrap().words;
        assert_eq!(words.provider_text.as_deref(), Some(expected));
        let cause = seen.outcome.record.cause.unwrap();
        assert!(cause.contains(&format!("({expected:?})")), "{cause}");
        assert!(!cause.chars().any(char::is_control), "{cause:?}");
    }
}

/// CB-43: by the meaning of the code, or by the operator's list.
#[test]
fn a_page_says_whether_trying_again_can_help() {
    let ask = |world: &World, code: &str| {
        let mut browser = world.browser(Person::ada());
        let login = browser.begins("/page");
        let iss = issuer("corp");
        let url = format!("{CALLBACK}?error={code}&state={}&iss={iss}", login.state);
        let seen = browser.comes_back(&url);
        refusal(&seen.outcome).unwrap().words.retryable
    };
    let world = World::new(Plan::one_app());
    for (code, expected) in [
        ("access_denied", true),
        ("server_error", true),
        ("temporarily_unavailable", true),
        ("login_required", true),
        ("invalid_request", false),
        ("unauthorized_client", false),
        ("never_heard_of", false),
    ] {
        assert_eq!(ask(&world, code), Some(expected), "{code}");
    }
    let listed = one_app(|_, provider| {
        provider.sign_in.errors.retryable = Some(vec!["never_heard_of".to_owned()]);
    });
    assert_eq!(ask(&listed, "never_heard_of"), Some(true));
    assert_eq!(ask(&listed, "server_error"), Some(false));
}

/// CB-39: every code that some specification defines has its page, status and event; none is a session.
#[test]
fn every_listed_error_has_its_reason_and_status() {
    use Reason::{
        ProviderDenied as Denied, ProviderRefused as Refused, ProviderUnavailable as Busy,
    };
    for (code, expected, status) in [
        ("access_denied", Denied, 403),
        ("invalid_request", Refused, 502),
        ("unauthorized_client", Refused, 502),
        ("unsupported_response_type", Refused, 502),
        ("invalid_scope", Refused, 502),
        ("server_error", Busy, 503),
        ("temporarily_unavailable", Busy, 503),
        ("invalid_client", Reason::ClientRefused, 502),
        ("invalid_request_object", Refused, 502),
        ("invalid_request_uri", Refused, 502),
        ("request_not_supported", Refused, 502),
        ("request_uri_not_supported", Refused, 502),
        ("login_required", Denied, 403),
        ("interaction_required", Denied, 403),
        ("consent_required", Denied, 403),
        ("account_selection_required", Denied, 403),
        ("invalid_target", Refused, 502),
        ("invalid_authorization_details", Refused, 502),
        ("no_such_code", Refused, 502),
    ] {
        let world = World::new(Plan::one_app());
        let mut browser = world.browser(Person::ada());
        let login = browser.begins("/page");
        let iss = issuer("corp");
        let url = format!("{CALLBACK}?error={code}&state={}&iss={iss}", login.state);

        let seen = browser.comes_back(&url);

        assert_eq!(seen.reason(), Some(expected), "{code}");
        assert_eq!(expected.status().as_u16(), status, "{code}");
        let event = seen.outcome.record.event;
        assert!(matches!(event, Some(Event::LoginFailed { flow: Some(_) })), "{code}: {event:?}");
        assert_eq!(seen.outcome.record.provider.as_deref(), Some("corp"), "{code}");
        assert!(browser.jar.0.is_empty(), "{code}");
        assert_eq!(world.token_requests(), 0, "{code}");
    }
}

/// CB-13, D-S6: a provider that never repeats `state` is quoted, to a browser that has a login there and to no
/// other; and the login can still be answered.
#[test]
fn an_error_without_state_is_shown_where_that_is_the_providers_way() {
    let error = "error=unauthorized_client&error_description=Unknown+client.\
                 &error_uri=https%3A%2F%2Fhelp.id.test%2Ffaq";
    let world = telling(shown);
    let mut browser = world.browser(Person::ada());
    let login = browser.begins("/page");

    let seen = browser.comes_back(&format!("{CALLBACK}?{error}"));

    assert_eq!(seen.reason(), Some(Reason::ProviderRefused));
    let words = &refusal(&seen.outcome).unwrap().words;
    assert_eq!(words.provider_text.as_deref(), Some("Unknown client."));
    assert!(words.provider_link.is_some());
    assert_eq!(seen.outcome.record.provider_error, None, "anybody's word");
    assert!(seen.outcome.record.cause.unwrap().starts_with("unsolicited_error: "));
    assert_eq!(browser.jar.logins("app.test").len(), 1);

    // With a `state` that is not ours it is somebody else's answer, as ever.
    let stranger = format!("{CALLBACK}?{error}&state=x");
    assert_eq!(browser.comes_back(&stranger).reason(), Some(Reason::LoginNotOurs));
    let mut nobody = world.browser(Person::bob());
    let seen = nobody.comes_back(&format!("{CALLBACK}?{error}"));
    assert_eq!(seen.reason(), Some(Reason::LoginNotOurs));
    assert_eq!(refusal(&seen.outcome).unwrap().words.provider_text, None);

    assert_eq!(browser.finishes(&login).user(), Some("ada"));
    world.pass("11m");
    let mut late = world.browser(Person::ada());
    late.begins("/page");
    world.pass("11m");
    let seen = late.comes_back(&format!("{CALLBACK}?{error}"));
    assert_eq!(seen.reason(), Some(Reason::LoginNotOurs), "the login is over");
}

/// CB-13: a login at one provider is no reason to show the words of another's.
#[test]
fn an_error_without_state_is_not_shown_for_a_login_at_another_provider() {
    let world = World::new(Plan {
        change: |_, provider| provider.sign_in.errors.show_without_state = true,
        ..Plan::two_providers()
    });
    let mut browser = world.browser(Person::ada());
    browser.begins("https://both.test/.lychgate/login?return_to=%2F&provider=guest");
    for (provider, shown) in [("corp", false), ("guest", true)] {
        let url = format!("https://both.test/.lychgate/callback/{provider}");
        let seen = browser.comes_back(&format!("{url}?error=x&error_description=Call+us"));
        let text = &refusal(&seen.outcome).unwrap().words.provider_text;
        assert_eq!(text.is_some(), shown, "{provider}");
    }
}

fn silent() -> World {
    let world = one_app(|_, provider| {
        provider.sign_in.silent_login = true;
        provider.sign_in.errors.show_without_state = true;
    });
    world.at("corp", |corp| corp.signs_out = false);
    world
}

/// Signs in, and lets the session lie until it is over.
fn came_back_later(world: &World) -> crate::world::browser::Browser {
    let mut browser = world.browser(Person::ada());
    browser.opens("/");
    world.pass("2h");
    browser
}

/// CB-45: first without showing anything, with the earlier ID token as a hint.
#[test]
fn a_session_that_is_over_is_renewed_without_asking_the_person() {
    for pause in ["2h", "13h"] {
        let world = silent();
        let mut browser = world.browser(Person::ada());
        browser.opens("/");
        world.pass(pause);

        let login = browser.begins("/page");

        assert!(login.authorization_url.contains("prompt=none"), "{pause}");
        assert!(login.authorization_url.contains("id_token_hint=eyJ"), "{pause}");
        assert_eq!(browser.finishes(&login).user(), Some("ada"), "{pause}");
    }
}

/// CB-44, CB-45: any error leads to one attempt with a page, and there it ends.
#[test]
fn a_silent_sign_in_that_fails_is_tried_once_with_a_page() {
    for code in ["login_required", "invalid_request", "unknown_code"] {
        for with_state in [true, false] {
            let world = silent();
            let mut browser = came_back_later(&world);
            let first = browser.begins("/page");
            let state = if with_state { format!("&state={}", first.state) } else { String::new() };
            let iss = issuer("corp");

            let second = browser.begins(&format!("{CALLBACK}?error={code}{state}&iss={iss}"));

            assert!(!second.authorization_url.contains("prompt="), "{code}");
            assert!(!second.authorization_url.contains("id_token_hint"), "{code}");
            assert_ne!(first.state, second.state);
            let url = format!("{CALLBACK}?error={code}&state={}&iss={iss}", second.state);
            assert!(browser.comes_back(&url).reason().is_some(), "{code}: no third attempt");
        }
    }
}

/// Whoever signed out is not signed in again behind their back, and without the key nothing is silent.
#[test]
fn nobody_is_expected_back_who_signed_out() {
    let world = silent();
    let mut browser = world.browser(Person::ada());
    browser.opens("/");
    let before = browser.clone();
    browser.opens("/.lychgate/logout");
    for mut after in [browser, before] {
        world.pass("2h");
        let login = after.begins("/page");
        assert!(!login.authorization_url.contains("prompt=none"));
    }
    let world = World::new(Plan::one_app());
    let mut browser = came_back_later(&world);
    assert!(!browser.begins("/page").authorization_url.contains("prompt=none"));
}

/// `login_timeout` of one provider.
#[test]
fn a_provider_may_give_people_more_time() {
    let world = one_app(|_, provider| {
        provider.sign_in.login_timeout = Some(std::time::Duration::from_secs(1200));
    });
    let mut browser = world.browser(Person::ada());
    let login = browser.begins("/page");
    world.pass("19m");
    assert_eq!(browser.finishes(&login).user(), Some("ada"));

    let mut browser = world.browser(Person::ada());
    let login = browser.begins("/page");
    let back = world.granted(&login.authorization_url, &browser.person);
    let mut kept = browser.clone();
    world.pass("20m");
    // That one is not completed any more; another one is.
    for cookie in &mut kept.jar.0 {
        cookie.keep_forever();
    }
    let outcome = kept.asks(kept.page(&back));
    assert_eq!(outcome.record.reason, Some(Reason::LoginExpired));
}

/// F14, OC-07; `oidcc-client-test-3rd-party-init-login`: to the issuer that is named, and to a place of ours.
#[test]
fn another_site_may_begin_a_sign_in() {
    for posted in [false, true] {
        let world = World::new(Plan::two_providers());
        let mut browser = world.browser(Person::ada());
        let asked = format!(
            "https://both.test/.lychgate/login?iss={}&login_hint=ada%40corp.test\
             &target_link_uri=https%3A%2F%2Fboth.test%2Fdeep",
            issuer("guest")
        );
        let begun = if posted {
            let (address, form) = asked.split_once('?').unwrap();
            let ask = browser.form(address, form);
            let outcome = browser.asks(ask);
            format!("https://both.test{}", location(&outcome).unwrap())
        } else {
            asked
        };
        let login = browser.begins(&begun);
        assert!(login.authorization_url.starts_with(&issuer("guest")), "{begun}");
        assert!(login.authorization_url.contains("login_hint=ada%40corp.test"), "{begun}");
        let seen = browser.finishes(&login);
        assert_eq!((seen.user(), seen.url.as_str()), (Some("ada"), "https://both.test/deep"));
    }
}

/// F14: an issuer that nobody configured, or that leaves open who is meant, begins nothing; a foreign target is none.
#[test]
fn another_site_cannot_choose_where_people_sign_in_or_go() {
    let world = World::new(Plan::two_providers());
    let mut browser = world.browser(Person::ada());
    for issuer in ["https://evil.test", "", "https://corp.id.test/"] {
        let seen = browser.opens(&format!("https://both.test/.lychgate/login?iss={issuer}"));
        assert_eq!(seen.reason(), Some(Reason::LoginIssuerUnknown), "{issuer}");
    }
    let world = World::new(Plan {
        change: |_, provider| {
            std::sync::Arc::make_mut(&mut provider.registration).issuer = issuer("corp");
        },
        ..Plan::two_providers()
    });
    let mut browser = world.browser(Person::ada());
    let twice = format!("https://both.test/.lychgate/login?iss={}", issuer("corp"));
    assert_eq!(browser.opens(&twice).reason(), Some(Reason::LoginIssuerUnknown));

    let world = World::new(Plan::two_providers());
    let mut browser = world.browser(Person::ada());
    let login = browser.begins(&format!(
        "https://both.test/.lychgate/login?iss={}&target_link_uri=https%3A%2F%2Fevil.test%2F",
        issuer("corp")
    ));
    assert_eq!(browser.finishes(&login).url, "https://both.test/");
}

fn labels(outcome: &lychgate_gateway::outcome::Outcome) -> Vec<String> {
    match page(outcome) {
        Some(Page::ChooseProvider { choices, .. }) => {
            choices.iter().map(|choice| choice.label.clone()).collect()
        }
        other => panic!("{other:?}"),
    }
}

/// The chooser begins with where this browser signed in last; anybody may write that cookie, and it decides nothing.
#[test]
fn the_chooser_remembers_where_somebody_signed_in() {
    let world = World::new(Plan::two_providers());
    let mut browser = world.browser(Person::ada());
    let choose = "https://both.test/.lychgate/login?return_to=%2F&prompt=login";
    let first = browser.opens(choose);
    assert_eq!(labels(&first.outcome), ["The corp provider", "The guest provider"]);

    let login = browser.begins(&format!("{choose}&provider=guest"));
    browser.finishes(&login);

    let again = browser.opens(choose);
    assert_eq!(labels(&again.outcome), ["The guest provider", "The corp provider"]);
    let ask = browser.page(choose).with("cookie", "__Host-lychgate-provider=corp");
    assert_eq!(labels(&browser.asks(ask)), ["The corp provider", "The guest provider"]);
}

/// An address at a domain that one provider is known for leads there; `provider` in the link wins.
#[test]
fn a_login_hint_chooses_the_provider_of_its_domain() {
    let world = World::new(Plan {
        change: |name, provider| {
            let shared = "shared.test".to_owned();
            provider.sign_in.email_domains = vec![format!("{name}.test"), shared];
        },
        ..Plan::two_providers()
    });
    let login = "https://both.test/.lychgate/login?return_to=%2F&login_hint=";
    for (query, expected) in [
        ("ada%40corp.test", Some("corp")),
        ("ada%40GUEST.test", Some("guest")),
        ("ada%40corp.test&provider=guest", Some("guest")),
        ("ada%40shared.test", None),
        ("ada%40evil.corp.test", None),
        ("ada", None),
    ] {
        let mut browser = world.browser(Person::ada());
        match expected {
            Some(name) => {
                let begun = browser.begins(&format!("{login}{query}"));
                assert!(begun.authorization_url.starts_with(&issuer(name)), "{query}");
            }
            None => {
                let seen = browser.opens(&format!("{login}{query}"));
                assert_eq!(labels(&seen.outcome).len(), 2, "{query}");
            }
        }
    }
}

/// A-D9: a hint may be a signed token with another inside it, and is passed on whole or not at all.
#[test]
fn a_login_hint_may_be_as_long_as_a_signed_token() {
    let world = World::new(Plan::one_app());
    for (length, passed) in [(2048, true), (2049, false)] {
        let hint = "h".repeat(length);
        let mut browser = world.browser(Person::ada());
        let begun = browser
            .begins(&format!("https://app.test/.lychgate/login?return_to=%2F&login_hint={hint}"));
        let given = begun.authorization_url.contains(&format!("login_hint={hint}"));
        assert_eq!(given, passed, "{length}");
        assert_eq!(begun.authorization_url.contains("login_hint="), passed, "{length}");
    }
}

/// System C: the application is told that the subject is nobody's account.
#[test]
fn an_application_is_told_what_a_subject_rests_on() {
    let pseudonymous = one_app(|_, provider| {
        let registration = std::sync::Arc::make_mut(&mut provider.registration);
        registration.id_token.required = false;
        registration.answers.subject = SubjectRule::Pseudonymous;
    });
    let subject = |world: &World| {
        let mut browser = world.browser(Person::ada());
        let seen = browser.opens("/page");
        admission(&seen.outcome).expect("signed in");
        let session = seen.outcome.record.session.unwrap();
        (session.identity().subject_type().as_str(), session.identity().subject().to_owned())
    };
    let (kind, first) = subject(&pseudonymous);
    let (_, second) = subject(&pseudonymous);
    assert_eq!(kind, "pseudonymous");
    assert_ne!(first, second);
    assert_eq!(subject(&World::new(Plan::one_app())), ("claim", "sub-ada".to_owned()));
}

/// CB-51: a provider that is asked too often is busy, and the code is not sent again.
#[test]
fn a_busy_token_endpoint_is_unavailable() {
    for manner in [
        Manner::Failing(429, "slow_down"),
        Manner::Failing(503, "temporarily_unavailable"),
        Manner::Failing(400, "slow_down"),
    ] {
        let world = World::new(Plan::one_app());
        world.at("corp", |corp| corp.manner = manner);
        let mut browser = world.browser(Person::ada());
        assert_eq!(browser.opens("/page").reason(), Some(Reason::ProviderUnavailable));
        assert_eq!(world.token_requests(), 1);
    }
}

/// CB-51, CB-28: for as long as the provider asks for, up to an hour, the person is asked to wait; the code is not sent
/// again. Where it says nothing that can be understood, nothing is passed on.
#[test]
fn the_time_that_a_busy_provider_asks_for_is_passed_on() {
    for (said, expected) in [
        (Some("120"), Some(120)),
        (Some("86400"), Some(3600)),
        (Some("Wed, 21 Oct 2026 07:28:00 GMT"), None),
        (Some("-5"), None),
        (None, None),
    ] {
        for manner in
            [Manner::Failing(429, "slow_down"), Manner::Failing(503, "temporarily_unavailable")]
        {
            let world = World::new(Plan::one_app());
            world.at("corp", |corp| (corp.manner, corp.retry_after) = (manner, said));
            let mut browser = world.browser(Person::ada());
            let seen = browser.opens("/page");
            assert_eq!(seen.reason(), Some(Reason::ProviderUnavailable));
            let refusal = refusal(&seen.outcome).unwrap();
            assert_eq!(refusal.retry_after.map(|wait| wait.as_secs()), expected, "{said:?}");
            assert_eq!(world.token_requests(), 1);
        }
    }

    // A refusal for good is not made one for now by a header.
    let world = World::new(Plan::one_app());
    world.at("corp", |corp| {
        (corp.manner, corp.retry_after) = (Manner::Failing(400, "invalid_client"), Some("120"));
    });
    let seen = world.browser(Person::ada()).opens("/page");
    assert_eq!(seen.reason(), Some(Reason::ClientRefused));
    assert_eq!(refusal(&seen.outcome).unwrap().retry_after, None);
}

/// What another site posts to any other page of ours is not even read.
#[test]
fn no_other_page_takes_a_form() {
    let world = World::new(Plan::one_app());
    let mut browser = world.browser(Person::ada());
    for path in ["/.lychgate/me", "/.lychgate/", "/.lychgate/signed-out", "/.lychgate/callback"] {
        let ask = browser.form(&format!("https://app.test{path}"), "a=b");
        assert_eq!(ask.method, Method::POST);
        let outcome = browser.asks(ask);
        assert_eq!(refusal(&outcome).unwrap().reason, Reason::MethodNotAllowed, "{path}");
    }
}
