//! A form that was being written when the session ended is sent by the same person, from the same browser, once (R43).

use http::{HeaderValue, Method};
use lychgate_gateway::outcome::{Event, Outcome, Refusal};
use lychgate_gateway::reason::Reason;
use lychgate_gateway::rescue::{Kept, Rescue};
use lychgate_oidc::{SubjectRule, Userinfo};
use serde_json::json;

use crate::world::browser::{Browser, admission, reason, user};
use crate::world::plan::Plan;
use crate::world::provider::Person;
use crate::world::{Ask, World, block_on};

const TEXT: &str = "title=A+long+letter&body=%F0%9F%96%8B";

fn plan() -> Plan {
    Plan { kept_form_bytes: Some(1000), ..Plan::one_app() }
}

/// What a page of the application sends.
fn written(browser: &Browser, target: &str) -> Ask {
    let url = format!("https://app.test{target}");
    browser
        .form(&url, TEXT)
        .with("sec-fetch-site", "same-origin")
        .with("origin", "https://app.test")
        .with("referer", "https://app.test/editor")
        .with("content-type", "application/x-www-form-urlencoded;charset=utf-8")
}

/// What our own page sends.
fn sent(browser: &Browser, kept: &Kept) -> Ask {
    let url = format!("https://app.test{}", kept.action);
    browser.form(&url, "").with("sec-fetch-site", "same-origin").with("origin", "null")
}

fn rescue(outcome: &mut Outcome) -> Option<Rescue> {
    use lychgate_gateway::outcome::{Answer, Verdict};
    let Verdict::Answer(answer) = &mut outcome.verdict else { return None };
    let Answer::Refusal(Refusal { rescue, .. }) = &mut **answer else { return None };
    rescue.take()
}

/// Ada writes something, is away for two hours, and sends it.
fn keeps(world: &World, browser: &mut Browser, ask: Ask, body: &[u8]) -> Option<Kept> {
    let mut outcome = browser.asks(ask);
    assert_eq!(reason(&outcome), Some(Reason::SessionIdle));
    let Some(Rescue::Offer(offer)) = rescue(&mut outcome) else { return None };
    assert!(body.len() <= offer.bytes_max());
    let (kept, line) = world.gateway().keep(&world.outside(), *offer, body)?;
    receives(browser, line);
    Some(kept)
}

fn receives(browser: &mut Browser, line: HeaderValue) {
    let ask = browser.page("https://app.test/public/x");
    let mut outcome = world_answer(browser, &ask);
    outcome.cookies = vec![line];
    browser.keeps(&ask, &outcome);
}

fn world_answer(browser: &Browser, ask: &Ask) -> Outcome {
    browser.world.visit(ask)
}

fn away(world: &World) -> Browser {
    let mut browser = world.browser(Person::ada());
    assert_eq!(browser.opens("/editor").user(), Some("ada"));
    world.pass("2h");
    browser
}

fn field(kept: &Kept) -> Vec<u8> {
    format!("form={}", kept.form).into_bytes()
}

/// R43.
#[test]
fn a_form_is_kept_and_sent_once_by_the_same_person() {
    let world = World::new(plan());
    let mut browser = away(&world);
    let ask = written(&browser, "/letters?draft=7");
    let kept = keeps(&world, &mut browser, ask, TEXT.as_bytes()).unwrap();
    assert!(!kept.form.contains("letter"), "nobody reads it on the page");
    browser.opens("/");

    let ask = sent(&browser, &kept);
    let outcome = browser.asks(ask);

    assert_eq!(user(&outcome), Some("ada"));
    let admission = admission(&outcome).unwrap();
    assert_eq!(admission.target(), "/letters?draft=7");
    let replay = admission.replay().unwrap();
    assert_eq!(
        replay.headers(),
        [
            ("content-type", Some("application/x-www-form-urlencoded;charset=utf-8")),
            ("origin", Some("https://app.test")),
            ("referer", Some("https://app.test/editor")),
        ]
    );
    assert_eq!(replay.bytes(), TEXT.len() as u64);
    let gateway = world.gateway();
    let outside = world.outside();
    let mut changed = field(&kept);
    changed[30] ^= 1;
    let release = |sent: &[u8]| block_on(gateway.release(&outside, replay, sent));
    assert_eq!(release(&changed), None, "what was changed does not open");
    assert_eq!(release(b"form="), None);
    assert_eq!(release(&field(&kept)).unwrap(), TEXT.as_bytes());
    assert_eq!(release(&field(&kept)), None, "once");
    let ask = sent(&browser, &kept);
    assert_eq!(reason(&browser.asks(ask)), Some(Reason::FormExpired));
}

/// R43: never by somebody else, however they got the page.
#[test]
fn nobody_else_can_send_it() {
    let world = World::new(plan());
    let mut browser = away(&world);
    let ask = written(&browser, "/letters");
    let kept = keeps(&world, &mut browser, ask, TEXT.as_bytes()).unwrap();

    // In the same browser, as somebody else.
    let mut shared = browser.clone();
    shared.person = Person::bob();
    shared.opens("/");
    let ask = sent(&shared, &kept);
    let mut outcome = shared.asks(ask);
    assert_eq!(reason(&outcome), Some(Reason::FormOtherAccount));
    assert!(matches!(rescue(&mut outcome), Some(Rescue::Again(_))), "and it is not lost");

    // With a copy of the page in another browser, whoever is signed in there.
    for person in [Person::ada(), Person::bob()] {
        let mut other = world.browser(person);
        other.opens("/");
        let ask = sent(&other, &kept);
        assert_eq!(reason(&other.asks(ask)), Some(Reason::FormExpired));
    }
}

/// R43, class F: a page of another site can neither have a form of its own kept nor have one sent.
#[test]
fn another_site_can_neither_put_a_form_there_nor_send_one() {
    let world = World::new(plan());
    let mut browser = away(&world);
    for (name, value) in [
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
        ("sec-fetch-site", "none"),
        ("sec-fetch-mode", "cors"),
    ] {
        let ask = written(&browser, "/letters").with(name, value);
        let mut outcome = browser.asks(ask);
        assert!(rescue(&mut outcome).is_none(), "{name}: {value}");
    }
    // A browser that does not say where a form comes from says its origin.
    for (origin, is_kept) in
        [("https://evil.test", false), ("null", false), ("https://app.test", true)]
    {
        let mut ask = written(&browser, "/letters").with("origin", origin);
        ask.headers.remove("sec-fetch-site");
        ask.headers.remove("sec-fetch-mode");
        let ask = Ask { headers: ask.headers, ..ask };
        let mut outcome = browser.asks(ask);
        assert_eq!(rescue(&mut outcome).is_some(), is_kept, "{origin}");
    }

    let ask = written(&browser, "/letters");
    let kept = keeps(&world, &mut browser, ask, TEXT.as_bytes()).unwrap();
    browser.opens("/");
    for site in ["cross-site", "same-site", "none"] {
        let ask = sent(&browser, &kept).with("sec-fetch-site", site);
        assert_eq!(reason(&browser.asks(ask)), Some(Reason::FormNotSent), "{site}");
    }
    let cookie = browser.jar.0.iter().find(|kept| kept.name.contains("-form-")).unwrap();
    assert!(cookie.name.starts_with("__Host-lychgate-form-"), "{cookie:?}");
    let mut get = sent(&browser, &kept);
    get.method = Method::GET;
    assert_eq!(reason(&browser.asks(get)), Some(Reason::MethodNotAllowed));
}

/// R43: the rules of the route decide, as about any request; and too early is not too late.
#[test]
fn it_is_decided_like_any_other_request() {
    let world = World::new(plan());
    let mut browser = away(&world);
    let ask = written(&browser, "/admin/users");
    let kept = keeps(&world, &mut browser, ask, TEXT.as_bytes()).unwrap();

    // Nobody is signed in yet.
    let ask = sent(&browser, &kept);
    let mut outcome = browser.asks(ask);
    assert_eq!(reason(&outcome), Some(Reason::SessionIdle));
    let Some(Rescue::Again(again)) = rescue(&mut outcome) else { panic!("it is lost") };
    let Rescue::Kept(kept) = again.kept(&field(&kept)) else { panic!("it is lost") };
    // Ada is no member of the group any more that may write there.
    browser.person = Person::new("ada", &[]);
    browser.opens("/");
    let ask = sent(&browser, &kept);
    assert_eq!(reason(&browser.asks(ask)), Some(Reason::AccessNotGranted));
}

/// What is not known to be somebody's, or is too large, is not kept; and what is kept does not stay for ever.
#[test]
fn what_is_not_known_to_be_somebodys_is_not_kept() {
    let world = World::new(plan());
    let mut stranger = world.browser(Person::ada());
    let ask = written(&stranger, "/letters");
    assert!(rescue(&mut stranger.asks(ask)).is_none(), "nobody was signed in");

    let mut browser = world.browser(Person::ada());
    browser.opens("/editor");
    let copy = browser.clone();
    browser.opens("/.lychgate/logout");
    let mut signed_out = copy;
    let ask = written(&signed_out, "/letters");
    assert!(rescue(&mut signed_out.asks(ask)).is_none(), "somebody signed out");

    let mut browser = away(&world);
    let ask = written(&browser, "/letters").with("content-length", "1001");
    assert!(matches!(rescue(&mut browser.asks(ask)), Some(Rescue::TooLarge)));

    let ask = written(&browser, "/letters");
    let kept = keeps(&world, &mut browser, ask, TEXT.as_bytes()).unwrap();
    for cookie in &mut browser.jar.0 {
        cookie.keep_forever();
    }
    world.pass("31m");
    browser.opens("/");
    let ask = sent(&browser, &kept);
    assert_eq!(reason(&browser.asks(ask)), Some(Reason::FormExpired));
}

/// The number is bounded, and the newest are kept.
#[test]
fn a_browser_keeps_a_few_forms_and_no_more() {
    let world = World::new(plan());
    let mut browser = away(&world);
    let mut last = None;
    for number in 0..7 {
        world.pass("1s");
        let ask = written(&browser, &format!("/letters/{number}"));
        last = keeps(&world, &mut browser, ask, TEXT.as_bytes());
    }
    let forms = browser.jar.0.iter().filter(|kept| kept.name.contains("-form-")).count();
    assert_eq!(forms, 4);
    browser.opens("/");
    let ask = sent(&browser, &last.unwrap());
    assert_eq!(admission(&browser.asks(ask)).unwrap().target(), "/letters/6");
}

/// It can be switched off.
#[test]
fn without_the_setting_nothing_is_kept() {
    let world = World::new(Plan::one_app());
    let mut browser = world.browser(Person::ada());
    browser.opens("/editor");
    let copy = browser.jar.clone();
    world.pass("2h");
    browser.jar = copy;
    for cookie in &mut browser.jar.0 {
        cookie.keep_forever();
    }
    let ask = written(&browser, "/letters");
    let mut outcome = browser.asks(ask);
    assert_eq!(reason(&outcome), Some(Reason::SessionIdle));
    assert!(rescue(&mut outcome).is_none());
}

/// R16, R43: what is judged, and judged again while the answer lasts, is where the form belongs; and an answer's relative
/// `Location` is understood from there.
#[test]
fn what_becomes_of_it_is_judged_and_understood_by_where_it_was_sent_first() {
    let world = World::new(plan());
    let mut browser = away(&world);
    let ask = written(&browser, "/letters/7/edit?draft=7");
    let kept = keeps(&world, &mut browser, ask, TEXT.as_bytes()).unwrap();
    browser.opens("/");

    let ask = sent(&browser, &kept);
    let outcome = browser.asks(ask);

    let replay = admission(&outcome).unwrap().replay().unwrap();
    assert_eq!(replay.path().as_str(), "/letters/7/edit");
    for (location, expected) in [
        ("../8", Some("https://app.test/letters/8")),
        ("done?x=1#y", Some("https://app.test/letters/7/done?x=1#y")),
        ("?saved", Some("https://app.test/letters/7/edit?saved")),
        ("", Some("https://app.test/letters/7/edit?draft=7")),
        // These mean the same from everywhere.
        ("/inbox", None),
        ("//other.test/", None),
        ("https://other.test/", None),
    ] {
        let resolved = replay.resolved(location);
        assert_eq!(resolved.as_ref().map(url::Url::as_str), expected, "{location:?}");
    }
    let Rescue::Kept(again) = replay.again().kept(&field(&kept)) else { panic!("it is lost") };
    assert_eq!((again.action, again.form), (kept.action, kept.form));
}

/// Nobody could ever send it: whoever signs in next is somebody else.
#[test]
fn a_form_of_nobody_in_particular_is_not_kept() {
    let world = World::new(Plan {
        registration: |registration| {
            registration.id_token.required = false;
            registration.answers.subject = SubjectRule::Pseudonymous;
        },
        ..plan()
    });
    let mut browser = world.browser(Person::ada());
    browser.opens("/editor");
    world.pass("2h");

    let ask = written(&browser, "/letters");
    let mut outcome = browser.asks(ask);

    assert_eq!(reason(&outcome), Some(Reason::SessionIdle));
    assert!(rescue(&mut outcome).is_none());
}

/// Without its type the application could not read it.
#[test]
fn a_form_whose_type_cannot_be_kept_is_not_kept() {
    let world = World::new(plan());
    let mut browser = away(&world);
    let long = format!("multipart/form-data; boundary={}", "x".repeat(1024));
    for (content_type, is_kept) in [
        (long.as_bytes(), false),
        ("text/plain; x=\u{e9}".as_bytes(), false),
        (b"text/plain", true),
    ] {
        let mut ask = written(&browser, "/letters");
        ask.headers.insert("content-type", HeaderValue::from_bytes(content_type).unwrap());
        let mut outcome = browser.asks(ask);
        assert_eq!(rescue(&mut outcome).is_some(), is_kept, "{content_type:?}");
    }
    let mut ask = written(&browser, "/letters");
    ask.headers.remove("content-type");
    assert!(rescue(&mut browser.asks(ask)).is_some(), "one that never had a type needs none");
}

/// R5: a token that was renewed on the way is not lost with a form that cannot be sent yet.
#[test]
fn what_a_provider_renewed_is_kept_when_a_form_comes_too_early() {
    let sub = || json!({ "sub": "sub-ada" });
    let world = World::new(Plan {
        registration: |registration| registration.userinfo = Userinfo::Always,
        kept_form_bytes: Some(1000),
        ..Plan::refreshing()
    });
    world.at("corp", |corp| {
        corp.refreshes = true;
        corp.userinfo = Some((200, sub()));
    });
    let mut browser = away(&world);
    let ask = written(&browser, "/letters");
    let kept = keeps(&world, &mut browser, ask, TEXT.as_bytes()).unwrap();
    browser.opens("/");

    // The token is renewed, and then nobody says whether the person may go on.
    world.at("corp", |corp| corp.userinfo = Some((503, sub())));
    world.pass("20m");
    let ask = sent(&browser, &kept);
    let outcome = browser.asks(ask);

    assert_eq!(reason(&outcome), Some(Reason::SessionUnconfirmed));
    assert_eq!(outcome.cookies.len(), 1, "the browser is given the new token");
    assert_eq!(outcome.record.event, Some(Event::RefreshFailed));
    assert!(outcome.record.cause.is_some());
    world.at("corp", |corp| corp.userinfo = Some((200, sub())));
    let ask = sent(&browser, &kept);
    assert_eq!(user(&browser.asks(ask)), Some("ada"));
}
