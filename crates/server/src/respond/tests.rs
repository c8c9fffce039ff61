//! What visitors are shown, and what they must never be shown.

use std::collections::BTreeMap;
use std::sync::Arc;

use lychgate_gateway::identity::Identity;
use lychgate_gateway::outcome::{Choice, Page, ProviderSignOut, Words};
use serde_json::{Value, json};

use super::*;
use crate::pages::STYLE;

const NOW: Timestamp = Timestamp::new(1_795_224_919);

/// Text that would be markup, script, an attribute, a template or another header line.
const HOSTILE: &str = "\"><script>alert(1)</script>' onload='x' {{ 7 * 7 }} </blockquote><a href=javascript:x>\r\nX-Evil: 1";

fn person(text: &str) -> Identity {
    serde_json::from_value(json!({
        "provider": text, "issuer": "https://id.test", "subject": text, "subject_type": "Claim", "user": text, "name": text,
        "email": text, "email_verified": "Yes", "groups": [text, "staff"], "claims": BTreeMap::<String, Vec<String>>::new(),
    }))
    .unwrap()
}

fn session(text: &str) -> Arc<Session> {
    let session = serde_json::from_value(json!({
        "id": vec![7; 16], "login": vec![7; 12], "begun_at": NOW.seconds() - 60, "ends_at": NOW.seconds() + 43_140,
        "seen_at": NOW.seconds(), "identity": person(text), "id_token": "eyJ.hidden.token",
    }));
    Arc::new(session.unwrap())
}

fn route() -> Route {
    use lychgate_gateway::headers::IdentityHeaders;
    use lychgate_gateway::origin::PublicOrigin;
    use lychgate_gateway::route::{Access, OnExpiry};
    Route {
        name: "wiki".to_owned(),
        origin: PublicOrigin::of(&Url::parse("https://wiki.example.com").unwrap()).unwrap(),
        path: String::new(),
        upstream: "wiki".to_owned(),
        upstream_path: String::new(),
        providers: vec!["corp".to_owned()],
        rules: Vec::new(),
        access: Access::Public,
        identity: IdentityHeaders::default(),
        response_headers: Vec::new(),
        body_bytes_max: None,
        clients: lychgate_gateway::clients::ClientRules::default(),
        websocket_origins: Vec::new(),
        on_expiry: OnExpiry::Close,
    }
}

/// Everything that a refusal can say.
fn talkative(reason: Reason, client: Client) -> Refusal {
    Refusal {
        sign_in: Some(format!("/.gate/login?return_to={HOSTILE}")),
        sign_out: Some("/.gate/logout".to_owned()),
        other_account: Some("/.gate/login?prompt=select_account".to_owned()),
        identity: Some(Box::new(person(HOSTILE))),
        words: Words {
            explain: Some(HOSTILE.to_owned()),
            help: Some(Url::parse("https://help.example.com/access").unwrap()),
            provider_code: Some(HOSTILE.to_owned()),
            provider_text: Some(HOSTILE.repeat(50)),
            provider_link: Some(Box::new(Url::parse("https://help.example.com/error").unwrap())),
            retryable: Some(false),
        },
        ..Refusal::new(reason, client)
    }
}

/// Every page that is not a refusal.
fn pages(text: &str) -> Vec<Page> {
    let choice =
        |label: &str| Choice { label: label.to_owned(), link: format!("/.gate/login?{text}") };
    vec![
        Page::ChooseProvider {
            choices: vec![choice(text), choice("Guests")],
            destination: text.to_owned(),
        },
        Page::ContinueSignIn { link: format!("/.gate/login?return_to={text}") },
        Page::ConfirmSignOut { action: format!("/.gate/logout?{text}") },
        Page::SignedOut { provider: ProviderSignOut::Ended, sign_in: text.to_owned() },
        Page::SignedOut { provider: ProviderSignOut::Unknown, sign_in: text.to_owned() },
        Page::SignedInAs {
            session: session(text),
            provider: text.to_owned(),
            now: NOW,
            sign_out: format!("/.gate/logout?{text}"),
        },
    ]
}

fn respond(answer: &Answer, method: &Method, route: Option<&Route>) -> Response<Bytes> {
    let about = About { request_id: "0123456789abcdef", method, now: NOW, route, language: "en" };
    Responder::new(Pages::built_in("/.gate")).answer(answer, &about)
}

fn get(answer: &Answer) -> Response<Bytes> {
    respond(answer, &Method::GET, Some(&route()))
}

fn text_of(response: &Response<Bytes>) -> String {
    String::from_utf8(response.body().to_vec()).unwrap()
}

fn header<'a>(response: &'a Response<Bytes>, name: &str) -> Option<&'a str> {
    response.headers().get(name).map(|value| value.to_str().unwrap())
}

/// The tags of a page, in order: their names with the attributes as written.
fn tags(page: &str) -> Vec<&str> {
    page.split('<').skip(1).map(|rest| rest.split_once('>').unwrap().0).collect()
}

/// What every page has to be (P-01, P-02, P-04, P-05, P-10, A6).
fn assert_proper(page: &str, what: &str) {
    assert!(page.starts_with("<!doctype html>\n<html lang=\"en\" dir=\"ltr\">"), "{what}");
    assert!(page.len() + STYLE.len() + SCRIPT.len() <= 20 * 1024, "{what}: {} bytes", page.len());
    assert!(
        page.contains("0123456789abcdef") && page.contains("2026-11-21 01:35:19 UTC"),
        "{what}: {page}"
    );
    assert!(!page.to_ascii_lowercase().contains("lychgate"), "{what}: {page}");

    let between =
        |start: &str, end: &str| page.split_once(start).unwrap().1.split_once(end).unwrap().0;
    assert_eq!(page.matches("<h1>").count(), 1, "{what}");
    assert_eq!(between("<h1>", "</h1>"), between("<title>", "</title>"), "{what}");
    assert_eq!(page.matches("<main>").count(), 1, "{what}");

    let mut open = Vec::new();
    for tag in tags(page) {
        let name = tag.split_ascii_whitespace().next().unwrap();
        match name.strip_prefix('/') {
            Some(closed) => assert_eq!(open.pop(), Some(closed), "{what}: {page}"),
            None if matches!(name, "!doctype" | "meta" | "link") => {}
            None => open.push(name),
        }
        // Attributes are either bare words or in double quotes; take the quoted values away to see the names.
        let names: String = tag.split('"').step_by(2).collect();
        assert!(!names.contains(" on") && !names.contains("style="), "{what}: <{tag}>");
        assert!(!matches!(name, "style" | "iframe" | "object" | "img"), "{what}: <{tag}>");
        assert!(
            name != "script"
                || tag.replace("&#x2f;", "/") == "script src=\"/.gate/script.js\" defer",
            "{what}: <{tag}>"
        );
        assert!(tag.split('"').all(|part| !part.starts_with("javascript:")), "{what}: <{tag}>");
    }
    assert_eq!(open, Vec::<&str>::new(), "{what}");
    for script in page.split("<script").skip(1) {
        assert!(
            script.split_once('>').unwrap().1.starts_with("</script>"),
            "{what}: inline script"
        );
    }
}

/// P-03, T-14, N3, N5.
fn assert_secured(response: &Response<Bytes>, what: &str) {
    for (name, expected) in [
        (
            "content-security-policy",
            "default-src 'none'; style-src 'self'; img-src 'self'; font-src 'self'; script-src 'self'; base-uri 'none'; frame-ancestors 'none'",
        ),
        ("referrer-policy", "no-referrer"),
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
        ("cross-origin-opener-policy", "same-origin"),
        ("x-robots-tag", "noindex"),
        ("x-request-id", "0123456789abcdef"),
    ] {
        assert_eq!(header(response, name), Some(expected), "{what}: {name}");
    }
    for name in ["access-control-allow-origin", "server", "x-evil"] {
        assert_eq!(header(response, name), None, "{what}: {name}");
    }
}

fn assert_kept_by_no_cache(response: &Response<Bytes>, what: &str) {
    assert_eq!(header(response, "cache-control"), Some("no-store"), "{what}");
    let vary =
        "accept, accept-language, authorization, content-type, cookie, hx-request, sec-fetch-mode";
    assert_eq!(header(response, "vary"), Some(vary), "{what}");
}

#[test]
fn every_page_is_proper_whatever_is_put_into_it() {
    for text in ["/", HOSTILE] {
        for page in pages(text) {
            let what = format!("{page:?}");
            let response = get(&Answer::Page(page));

            assert_eq!(response.status(), StatusCode::OK, "{what}");
            assert_eq!(header(&response, "content-type"), Some("text/html; charset=utf-8"));
            assert_secured(&response, &what);
            assert_kept_by_no_cache(&response, &what);
            assert_proper(&text_of(&response), &what);
            assert!(!text_of(&response).contains("eyJ"), "{what}");
        }
    }
}

/// The table over every reason and every kind of client (P-20, P-21, A6). gRPC reads no status but its own.
#[test]
fn every_refusal_is_a_page_for_people_and_a_problem_for_programs() {
    for &reason in Reason::ALL {
        for client in [
            Client::Bearer,
            Client::Browser,
            Client::EventSource,
            Client::Grpc,
            Client::GrpcWeb,
            Client::Htmx,
            Client::Navigation,
            Client::Preflight,
            Client::Program,
            Client::WebSocket,
        ] {
            for make in [Refusal::new, talkative] {
                for method in [Method::GET, Method::POST] {
                    let what = format!("{} for {client:?}, {method}", reason.code());
                    let refusal = Answer::Refusal(make(reason, client));
                    let response = respond(&refusal, &method, Some(&route()));

                    assert_secured(&response, &what);
                    assert_kept_by_no_cache(&response, &what);
                    let expected =
                        (reason.status() == 401).then_some("Cookie realm=\"wiki.example.com\"");
                    assert_eq!(header(&response, "www-authenticate"), expected, "{what}");
                    if matches!(client, Client::Grpc | Client::GrpcWeb) {
                        assert_grpc(&response, reason, &what);
                        continue;
                    }
                    assert_eq!(response.status(), reason.status(), "{what}");
                    let text = text_of(&response);
                    assert!(text.contains(reason.code()), "{what}");
                    if client.wants_page() {
                        assert_proper(&text, &what);
                        assert!(
                            text.contains(&reason.sentence().replace('\'', "&#x27;")),
                            "{what}: {text}"
                        );
                    } else {
                        assert_problem(&response, reason, &what);
                    }
                }
            }
        }
    }
}

fn assert_grpc(response: &Response<Bytes>, reason: Reason, what: &str) {
    assert_eq!((response.status().as_u16(), text_of(response).as_str()), (200, ""), "{what}");
    let content_type = header(response, "content-type").unwrap();
    assert!(content_type.starts_with("application/grpc"), "{what}");
    let status: u16 = header(response, "grpc-status").unwrap().parse().unwrap();
    assert!((1..=16).contains(&status), "{what}");
    assert_eq!(status == 16, reason.status() == 401, "{what}");
    let message = header(response, "grpc-message").unwrap();
    assert!(message.contains(reason.code()) && message.contains("0123456789abcdef"), "{what}");
}

fn assert_problem(response: &Response<Bytes>, reason: Reason, what: &str) {
    assert_eq!(header(response, "content-type"), Some("application/problem+json"), "{what}");
    let problem: Value = serde_json::from_slice(response.body()).unwrap();
    assert_eq!(problem["title"], reason.title(), "{what}");
    assert_eq!(problem["status"], reason.status().as_u16(), "{what}");
    assert_eq!(problem["code"], reason.code(), "{what}");
    assert_eq!(problem["request_id"], "0123456789abcdef", "{what}");
    // Neither the provider's words nor a person's are for programs.
    assert!(
        problem.get("login_url").is_none()
            || problem["login_url"].as_str().unwrap().starts_with("/.gate/login")
    );
    let known = [
        "type",
        "title",
        "status",
        "detail",
        "code",
        "request_id",
        "login_url",
        "error",
        "error_description",
        "error_uri",
        "retryable",
    ];
    assert!(problem.as_object().unwrap().keys().all(|key| known.contains(&key.as_str())), "{what}");
}

/// P-10, N7: a stranger's host gets nothing by which we could be known.
#[test]
fn a_host_that_is_not_ours_sees_nothing_of_ours() {
    for (reason, status) in [(Reason::NoSuchSite, 404), (Reason::Misdirected, 421)] {
        for client in [Client::Browser, Client::Program] {
            let response =
                respond(&Answer::Refusal(Refusal::new(reason, client)), &Method::GET, None);

            let text = text_of(&response);
            assert_eq!(response.status(), status);
            assert!(!text.contains(".gate") && !text.contains("lychgate"), "{text}");
        }
    }
}

#[test]
fn somebody_who_was_writing_is_told_that_nothing_was_sent() {
    let refusal = Refusal {
        sign_in: Some("/.gate/login".to_owned()),
        ..Refusal::new(Reason::SessionExpired, Client::Browser)
    };
    let answer = Answer::Refusal(refusal);

    let written = text_of(&respond(&answer, &Method::POST, Some(&route())));
    let read = text_of(&respond(&answer, &Method::GET, Some(&route())));

    assert!(written.contains("Nothing was passed on"), "{written}");
    assert!(
        written.contains("target=\"_blank\" rel=\"noopener\">Sign in in a new tab"),
        "{written}"
    );
    assert!(!read.contains("Nothing was passed on"), "{read}");
}

/// P-07: foreign text stands in a quotation with a label, and none of it is a link.
#[test]
fn a_providers_words_are_quoted_and_cut() {
    let page = text_of(&get(&Answer::Refusal(talkative(Reason::ProviderRefused, Client::Browser))));

    let (_, quotation) =
        page.split_once("<figcaption>The identity provider says:</figcaption>").unwrap();
    let (quotation, _) = quotation.split_once("</figure>").unwrap();
    assert!(quotation.contains("&lt;script&gt;"), "{quotation}");
    assert!(tags(quotation).iter().all(|tag| !tag.starts_with("a ")), "{quotation}");
    assert!(quotation.len() < 6000, "{}", quotation.len());
}

/// CB-41: whatever a provider says is text on a page, as on any other.
#[test]
fn a_providers_markup_is_inert() {
    for payload in [
        "<script>alert(1)</script>",
        "\"><img src=x onerror=alert(1)>",
        "{{ 7 * 7 }}",
        "</blockquote><a href=javascript:alert(1)>x</a>",
        "&lt;script&gt;",
    ] {
        let words = Words { provider_text: Some(payload.to_owned()), ..Words::default() };
        let refusal = Refusal { words, ..Refusal::new(Reason::ProviderDenied, Client::Browser) };
        let page = text_of(&get(&Answer::Refusal(refusal)));
        assert!(!page.contains("<script>"), "{payload}");
        assert!(!page.contains("<img"), "{payload}");
        assert!(!page.contains("<a href=javascript"), "{payload}");
        assert!(!page.contains(">49<"), "{payload}");
    }
}

/// CB-42, CB-43: the one link of a provider says nothing about where it was followed, and beside it stands whether
/// trying again can help.
#[test]
fn a_providers_link_stands_apart_and_says_nothing_of_us() {
    let page = text_of(&get(&Answer::Refusal(talkative(Reason::ProviderRefused, Client::Browser))));

    let link = "<a href=\"https:&#x2f;&#x2f;help.example.com&#x2f;error\" rel=\"noopener noreferrer nofollow\">";
    let (_, after) = page.split_once("</figure>").unwrap();
    assert!(after.contains(link), "{after}");
    assert!(after.contains("Trying again will not help."), "{after}");
}

/// CB-47: a program gets the same in members of their own.
#[test]
fn a_program_is_told_what_the_provider_said() {
    let words = Words {
        provider_code: Some("access_denied".to_owned()),
        provider_text: Some("No way".to_owned()),
        provider_link: Some(Box::new(Url::parse("https://help.example.com/1").unwrap())),
        retryable: Some(true),
        ..Words::default()
    };
    let refusal = Refusal { words, ..Refusal::new(Reason::ProviderDenied, Client::Program) };
    let problem: Value = serde_json::from_str(&text_of(&get(&Answer::Refusal(refusal)))).unwrap();

    assert_eq!(problem["error"], "access_denied");
    assert_eq!(problem["error_description"], "No way");
    assert_eq!(problem["error_uri"], "https://help.example.com/1");
    assert_eq!(problem["retryable"], true);
    assert_eq!(problem["request_id"], "0123456789abcdef");
}

#[test]
fn a_link_of_the_operators_that_no_person_can_open_is_left_out() {
    let words =
        Words { help: Some(Url::parse("javascript:alert(1)").unwrap()), ..Words::default() };
    let refusal = Refusal { words, ..Refusal::new(Reason::AccessDenied, Client::Browser) };

    assert!(!text_of(&get(&Answer::Refusal(refusal))).contains("javascript:"));
}

/// The fragment of an address is the target's only where the page stands at the target.
#[test]
fn the_script_is_there_where_there_is_a_fragment_to_keep() {
    let refusal = |reason| {
        let sign_in = Some("/.gate/login?return_to=%2F".to_owned());
        Answer::Refusal(Refusal { sign_in, ..Refusal::new(reason, Client::Browser) })
    };
    let route = route();
    for (reason, method, route, expected) in [
        (Reason::AccessDenied, Method::GET, Some(&route), true),
        (Reason::SessionExpired, Method::POST, Some(&route), false),
        (Reason::LoginExpired, Method::GET, None, false),
    ] {
        let page = text_of(&respond(&refusal(reason), &method, route));
        assert_eq!(page.contains("script.js"), expected, "{reason:?}");
        assert_eq!(page.contains("data-continue"), expected, "{reason:?}");
    }
}

/// P-04: without scripts the page goes on by itself, and by hand.
#[test]
fn the_way_to_sign_in_needs_no_script() {
    let page = text_of(&get(&Answer::Page(Page::ContinueSignIn {
        link: "/.gate/login?provider=corp".to_owned(),
    })));

    assert!(page.contains("<noscript><meta http-equiv=\"refresh\" content=\"0;url=&#x2f;.gate&#x2f;login?provider=corp\"></noscript>"), "{page}");
    assert!(
        page.contains("href=\"&#x2f;.gate&#x2f;login?provider=corp\" data-continue=\"now\""),
        "{page}"
    );
}

#[test]
fn temporary_trouble_says_when_to_come_back() {
    for (reason, known, expected) in [
        (Reason::ProviderUnavailable, Some(30), Some("30")),
        (Reason::ProviderUnavailable, None, Some("5")),
        (Reason::UpstreamUnreachable, None, Some("5")),
        (Reason::UpstreamTimeout, Some(0), Some("1")),
        // Waiting does not help here.
        (Reason::SignatureInvalid, None, None),
        (Reason::HeadersTooLarge, None, None),
        (Reason::NotFound, Some(5), None),
    ] {
        let retry_after = known.map(Duration::from_secs);
        let answer =
            Answer::Refusal(Refusal { retry_after, ..Refusal::new(reason, Client::Program) });
        assert_eq!(header(&get(&answer), "retry-after"), expected, "{reason:?} {known:?}");
    }
}

#[test]
fn a_method_that_is_not_allowed_is_answered_with_those_that_are() {
    let allow = Some("GET, HEAD");
    let answer = Answer::Refusal(Refusal {
        allow,
        ..Refusal::new(Reason::MethodNotAllowed, Client::Program)
    });

    assert_eq!(header(&get(&answer), "allow"), allow);
}

/// N6: minimal claims, no tokens, and nothing for other origins.
#[test]
fn me_says_who_is_signed_in_and_no_more() {
    let response = get(&Answer::Me(Some(session("ada"))));

    assert_secured(&response, "me");
    assert_kept_by_no_cache(&response, "me");
    assert_eq!(header(&response, "content-type"), Some("application/json"));
    let me: Value = serde_json::from_slice(response.body()).unwrap();
    assert_eq!(
        me,
        json!({
            "provider": "ada", "user": "ada", "name": "ada", "email": "ada", "groups": ["ada", "staff"],
            "begun_at": "2026-11-21T01:34:19Z", "ends_at": "2026-11-21T13:34:19Z",
        })
    );
}

#[test]
fn me_is_refused_to_whoever_is_not_signed_in() {
    let response = get(&Answer::Me(None));

    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    assert_problem(&response, Reason::SessionRequired, "me");
}

#[test]
fn a_way_back_is_promised_only_where_somebody_was_on_the_way() {
    let about = about();
    for (reason, promised) in [(Reason::SessionRequired, false), (Reason::LoginExpired, true)] {
        let sign_in = Some("/.gate/login".to_owned());
        let refusal = Refusal { sign_in, ..Refusal::new(reason, Client::Navigation) };

        let response =
            Responder::new(Pages::built_in("/.gate")).answer(&Answer::Refusal(refusal), &about);

        let page = String::from_utf8_lossy(response.body());
        assert_eq!(page.contains("where you wanted to go"), promised, "{reason:?}: {page}");
    }
}

/// CB-36.
/// A page that is asked for in English, on no route.
fn about() -> About<'static> {
    About {
        request_id: "0123456789abcdef",
        method: &Method::GET,
        now: NOW,
        route: None,
        language: "en",
    }
}

#[test]
fn a_redirect_has_the_headers_of_a_page_and_no_body() {
    for status in [StatusCode::FOUND, StatusCode::SEE_OTHER, StatusCode::PERMANENT_REDIRECT] {
        let about = about();
        let response = Responder::new(Pages::built_in("/.gate")).redirect(
            "https://id.test/authorize?state=x",
            status,
            &about,
        );

        assert_eq!(response.status(), status);
        assert_eq!(header(&response, "location"), Some("https://id.test/authorize?state=x"));
        assert_eq!(header(&response, "content-length"), Some("0"));
        assert_secured(&response, "redirect");
        assert_kept_by_no_cache(&response, "redirect");
    }
}

#[test]
fn a_target_that_would_break_its_header_is_not_followed() {
    let about = about();
    let response = Responder::new(Pages::built_in("/.gate")).redirect(
        "/a\r\nX-Evil: 1",
        StatusCode::FOUND,
        &about,
    );

    assert_eq!(response.status(), StatusCode::BAD_REQUEST);
    assert_secured(&response, "redirect");
}

#[test]
fn our_files_may_be_kept_and_need_nothing_else() {
    for (asset, content_type) in [
        (Asset::Style, "text/css; charset=utf-8"),
        (Asset::Script, "text/javascript; charset=utf-8"),
    ] {
        let response = get(&Answer::Asset(asset));

        assert_secured(&response, content_type);
        assert_eq!(header(&response, "content-type"), Some(content_type));
        assert_eq!(header(&response, "cache-control"), Some("max-age=3600"));
        let text = text_of(&response);
        assert!(
            ["http:", "https:", "@import", "url(", "eval"]
                .iter()
                .all(|foreign| !text.contains(foreign))
        );
    }
}

#[test]
fn head_is_told_the_length_and_no_more() {
    let answer = Answer::Page(Page::ConfirmSignOut { action: "/.gate/logout".to_owned() });

    let (got, head) = (get(&answer), respond(&answer, &Method::HEAD, Some(&route())));

    assert_eq!(header(&head, "content-length"), Some(got.body().len().to_string().as_str()));
    assert!(head.body().is_empty());
}

/// A name is a name, also when it looks like a place where the page fills something in.
#[test]
fn braces_in_what_is_filled_in_are_not_filled_in_themselves() {
    let identity = Some(Box::new(person("{site}{person}{{ 7 * 7 }}")));
    let refusal = Refusal { identity, ..Refusal::new(Reason::AccessNotGranted, Client::Browser) };

    let text = text_of(&get(&Answer::Refusal(refusal)));

    assert_eq!(text.matches("wiki.example.com").count(), 1, "{text}");
    let name = "<bdi>&#x7b;site&#x7d;&#x7b;person&#x7d;&#x7b;&#x7b; 7 * 7 &#x7d;&#x7d;</bdi>";
    assert!(text.contains(name), "{text}");
}
