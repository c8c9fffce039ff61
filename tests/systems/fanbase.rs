//! System D: Fanbase, which has an ID token and little else of OpenID Connect.
//!
//! Nothing is published, the issuer is a word, the secret signs the ID token and travels in an address, errors come
//! without `state`, and the token endpoint says what is wrong in plain words.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Instant;

use lychgate_demo::echo::Echo;
use lychgate_tests::cast::gate::{Gate, PATIENCE};
use lychgate_tests::cast::raw;
use lychgate_tests::cast::simulator::Simulator;
use lychgate_tests::cast::visitor::Visitor;
use serde_json::json;
use url::Url;

use super::example::{
    Example, comes_back, ends_well, is_refused, login, names, pairs, requests, signs_in, value,
};

const SECRET: &str = "marker-the-secret-that-travels-in-an-address";

/// The gate of `deploy/examples/fanbase.toml`, Fanbase, and the application.
struct House {
    fanbase: Simulator,
    gate: Gate,
    _application: Echo,
}

impl House {
    /// With these providers beside that of the example.
    async fn open(others: &[&str], change: impl FnOnce(&mut Example)) -> Self {
        let fanbase = Simulator::start("sim-fanbase", &json!({ "client_id": "wiki" }), None).await;
        let mut example = Example::copied("fanbase.toml");
        let redirect_uri = format!("{}/.lychgate/callback/fanbase", example.site());
        for (key, value) in [
            ("authorization_endpoint", fanbase.endpoint("authorization")),
            ("token_endpoint", fanbase.endpoint("token")),
            ("redirect_uri", &redirect_uri),
        ] {
            example.says(&format!("providers.fanbase.{key}"), value);
        }
        example.says("providers.fanbase.errors.uri_hosts", vec!["help.example"]);
        example.keeps_secret("providers.fanbase.client_secret", SECRET);
        for name in others {
            example.has_another("fanbase", name);
        }
        change(&mut example);
        let places = ["fanbase"].iter().chain(others).filter(|name| **name != "unregistered");
        let places: Vec<_> =
            places.map(|name| format!("{}/.lychgate/callback/{name}", example.site())).collect();
        let client = json!({
            "client_id": "wiki", "client_secret": SECRET, "redirect_uris": places,
        });
        fanbase.register(&client).await;
        let (gate, application) = example.opens("wiki").await;
        Self { fanbase, gate, _application: application }
    }

    fn visitor(&self) -> Visitor {
        Visitor::of(self.gate.url(), &[self.fanbase.endpoint("authorization")])
    }

    /// The provider answers every login with this error, until told otherwise.
    async fn refuses(&self, error: &str, description: &str, uri: &str) {
        let parameters = json!({ "error": error, "description": description, "error_uri": uri });
        self.fanbase.switch("authorize_error", &parameters).await;
    }
}

/// D-S1 to D-S4, D-D2 to D-D7, CB-02, CB-48: the example as it is. Everything that the token endpoint needs is in
/// the query, and nothing else; the profile is one level down; the secret is in no output.
#[tokio::test]
async fn somebody_signs_in_with_a_secret_in_an_address() {
    let house = House::open(&[], |_| ()).await;
    let alice = house.visitor();

    let page = signs_in(&alice, "fanbase").await;

    assert_eq!(page.echoed("x-forwarded-user").as_deref(), Some("alice"));
    assert_eq!(page.echoed("x-forwarded-email").as_deref(), Some("alice@example.com"));
    assert_eq!(page.echoed("x-forwarded-subject-type").as_deref(), Some("claim"));
    let me = alice.fetches("/.lychgate/me").await;
    assert!(me.text().contains("Alice Example"), "{}", me.text());
    let asked = pairs(&house.fanbase.authorize_queries().await[0]);
    let six = ["client_id", "nonce", "redirect_uri", "response_type", "scope", "state"];
    assert_eq!(names(&asked), six, "no PKCE, no hint");
    let [token] = &*requests(&house.fanbase, "token").await else { panic!("one token request") };
    let sent = pairs(token["query"].as_str().expect("a query"));
    assert_eq!(names(&sent), ["client_id", "client_secret", "code", "grant_type"]);
    assert_eq!((value(&sent, "client_secret"), &token["body"]), (SECRET, &json!("")));
    assert_eq!((&token["method"], &token["listener"]), (&json!("POST"), &json!("security")));
    assert_eq!(token["headers"].get("authorization"), None);
    assert!(requests(&house.fanbase, "userinfo").await.is_empty());
    assert_eq!(ends_well(&house.gate, &house.fanbase, &[SECRET]).await, [""; 0]);
}

/// D-D2, table 3.4 of D: Fanbase may refuse parameters that it does not know, so PKCE has to stay away.
#[tokio::test]
async fn nothing_unknown_is_asked_of_fanbase() {
    let house = House::open(&["careful"], |example| {
        example.lacks("providers.careful.code_challenge_method");
    })
    .await;
    house.fanbase.switch("reject_unknown", &json!({})).await;

    signs_in(&house.visitor(), "fanbase").await;

    let careful = house.visitor();
    let answer = careful.opens(comes_back(&careful, "careful").await.as_str()).await;
    is_refused(&house.gate, &careful, &answer, (502, "provider_refused"), "with PKCE").await;
    let refused = ends_well(&house.gate, &house.fanbase, &[SECRET]).await;
    assert_eq!(refused, ["the parameter code_challenge is unknown"]);
}

/// 4.4 "Faults", CB-55, CB-56: an ID token that lies in any way signs nobody in. A number is no `sub`.
#[tokio::test]
async fn an_id_token_that_lies_signs_nobody_in() {
    let house = House::open(&["profiled"], |example| {
        let claims = "user = \"profile.preferred_username\"";
        example.adds("providers.profiled.claims", claims);
    })
    .await;
    const MISSING: (u16, &str) = (403, "claim_missing");
    for (provider, fault, parameters, expected) in [
        ("fanbase", "iss_wrong", json!({ "value": "https://fanbase" }), (502, "issuer_mismatch")),
        ("fanbase", "iss_wrong", json!({ "value": "Fanbase" }), (502, "issuer_mismatch")),
        ("fanbase", "iss_missing", json!({}), (502, "token_invalid")),
        ("fanbase", "aud_array_stranger", json!({}), (502, "audience_mismatch")),
        ("fanbase", "aud_wrong", json!({}), (502, "audience_mismatch")),
        ("fanbase", "alg_other", json!({ "alg": "RS256" }), (502, "signature_invalid")),
        ("fanbase", "alg_none", json!({}), (502, "signature_invalid")),
        ("fanbase", "wrong_secret", json!({}), (502, "signature_invalid")),
        ("fanbase", "bad_signature", json!({}), (502, "signature_invalid")),
        ("fanbase", "exp_past", json!({}), (502, "clock_skew")),
        ("fanbase", "nonce_missing", json!({}), (502, "token_invalid")),
        ("fanbase", "nonce_wrong", json!({}), (502, "nonce_mismatch")),
        ("fanbase", "sub_number", json!({}), (502, "token_invalid")),
        ("fanbase", "sub_missing", json!({}), (502, "token_invalid")),
        ("fanbase", "garbage", json!({}), (502, "token_invalid")),
        ("profiled", "profile_missing", json!({}), MISSING),
        ("profiled", "profile_text", json!({}), MISSING),
    ] {
        let alice = house.visitor();
        house.fanbase.switch_once(&format!("id_token_{fault}"), &parameters).await;
        let answer = alice.opens(comes_back(&alice, provider).await.as_str()).await;
        let story = format!("id_token_{fault} {parameters}");
        is_refused(&house.gate, &alice, &answer, expected, &story).await;
    }
    let alice = house.visitor();
    house.fanbase.switch_once("no_id_token", &json!({})).await;
    let answer = alice.opens(comes_back(&alice, "fanbase").await.as_str()).await;
    is_refused(&house.gate, &alice, &answer, (502, "token_exchange_failed"), "no_id_token").await;

    // What nobody depends on may be missing: the person is the same without it.
    for fault in ["profile_missing", "profile_text"] {
        house.fanbase.switch_once(&format!("id_token_{fault}"), &json!({})).await;
        let page = signs_in(&house.visitor(), "fanbase").await;
        assert_eq!(page.echoed("x-forwarded-user").as_deref(), Some("alice"), "{fault}");
        assert_eq!(page.echoed("x-forwarded-email").unwrap_or_default(), "", "{fault}");
    }
    let profiled = signs_in(&house.visitor(), "profiled").await;
    assert_eq!(profiled.echoed("x-forwarded-user").as_deref(), Some("alice"));
    assert_eq!(ends_well(&house.gate, &house.fanbase, &[SECRET]).await, [""; 0]);
}

/// D-D8, CB-28, CB-53, CB-54: what the token endpoint says is no OAuth, in no shape and with no status. All of it is
/// one clean failure, and the page does not repeat it.
#[tokio::test]
async fn plain_words_of_the_token_endpoint_are_one_clean_failure() {
    let house = House::open(&["stranger"], |example| {
        example.says("providers.stranger.client_id", "nobody");
    })
    .await;
    house.fanbase.switch("code_ttl", &json!({ "seconds": 0 })).await;
    for status in [400, 401, 500] {
        for shape in ["text", "string", "message", "error"] {
            let alice = house.visitor();
            let message = json!({ "status": status, "shape": shape });
            house.fanbase.switch("token_message", &message).await;
            house.fanbase.switch("code_ttl", &json!({ "seconds": 0 })).await;
            let answer = alice.opens(comes_back(&alice, "fanbase").await.as_str()).await;
            let story = message.to_string();
            let expected = (502, "token_exchange_failed");
            is_refused(&house.gate, &alice, &answer, expected, &story).await;
            assert!(!answer.text().contains("code invalid"), "{story}: {}", answer.text());
        }
    }
    house.fanbase.clear_switches().await;
    let answered = requests(&house.fanbase, "token").await;
    let statuses: Vec<_> =
        answered.iter().filter_map(|request| request["status"].as_u64()).collect();
    assert_eq!(statuses, [[400; 4], [401; 4], [500; 4]].concat(), "the switches took effect");

    // Somebody changed the secret there, and not here.
    let client =
        json!({ "client_id": "wiki", "client_secret": "another-secret-of-enough-length!!" });
    house.fanbase.register(&client).await;
    let alice = house.visitor();
    let answer = alice.opens(comes_back(&alice, "fanbase").await.as_str()).await;
    is_refused(&house.gate, &alice, &answer, (502, "token_exchange_failed"), "secret").await;
    for switch in
        ["token_html_502", "token_500", "token_redirect", "token_empty", "token_200_error"]
    {
        house.fanbase.switch_once(switch, &json!({})).await;
        let alice = house.visitor();
        let answer = alice.opens(comes_back(&alice, "fanbase").await.as_str()).await;
        assert!(!alice.has_session() && answer.status != 303, "{switch}");
    }
    let mut refused = ends_well(&house.gate, &house.fanbase, &[SECRET]).await;
    refused.dedup();
    assert_eq!(refused, ["code invalid: the code has expired", "client secret does not match"]);
}

/// D-S5 to D-S9, CB-13, CB-39, CB-42, CB-46: errors come without `state`. A browser that has a sign-in there reads
/// the provider's words and may follow its link; nothing is used up, and nothing is exchanged.
#[tokio::test]
async fn an_error_without_state_is_shown_to_whom_it_may_be_about() {
    let house = House::open(&["stranger", "unregistered", "generic"], |example| {
        example.says("providers.stranger.client_id", "nobody");
        example.says("providers.generic.errors.without_state", "generic");
    })
    .await;
    // D-S7, D-S8: even who asks, and where to, is refused at our own address.
    for (provider, code, words) in [
        ("stranger", "unauthorized_client", "there is no client nobody"),
        ("unregistered", "invalid_request", "is not registered"),
    ] {
        let alice = house.visitor();
        let callback = comes_back(&alice, provider).await;
        assert!(!callback.query().unwrap_or_default().contains("state="), "{callback}");
        let answer = alice.opens(callback.as_str()).await;
        is_refused(&house.gate, &alice, &answer, (502, "provider_refused"), provider).await;
        let page = answer.text();
        assert!(page.contains(code) && page.contains(words), "{page}");
        assert!(page.contains("rel=\"noopener noreferrer nofollow\""), "{page}");
        assert!(page.contains(answer.request_id()), "CB-46: {page}");
    }

    // Nothing is used up: the login that is under way can still be answered.
    house.refuses("access_denied", "Not today.", "https://help.example/faq#login").await;
    let alice = house.visitor();
    let begun = alice.opens(&login("fanbase")).await.location().expect("the way there");
    let callback = alice.opens(begun.as_str()).await.location().expect("the way back");
    let answer = alice.opens(callback.as_str()).await;
    is_refused(&house.gate, &alice, &answer, (403, "provider_denied"), "shown").await;
    assert!(answer.text().contains("Not today.") && answer.text().contains("help.example"));
    let id = answer.request_id().to_owned();
    let unsolicited = |line: &serde_json::Value| {
        let line = line.to_string();
        line.contains("unsolicited_error") && line.contains(&id)
    };
    house.gate.line("an unsolicited error", unsolicited).await;
    house.fanbase.clear_switches().await;
    let right = alice.opens(begun.as_str()).await.location().expect("the way back");
    assert_eq!(alice.opens(right.as_str()).await.status, 303, "CB-09: the login is still good");

    // Somebody without a sign-in there, or with one at a provider of which the operator said nothing.
    let mallory = house.visitor();
    let elsewhere = callback.as_str().replace("/fanbase?", "/generic?");
    house.refuses("access_denied", "Not today.", "https://help.example/faq#login").await;
    comes_back(&mallory, "generic").await;
    for place in [callback.as_str(), &elsewhere] {
        let answer = mallory.opens(place).await;
        is_refused(&house.gate, &mallory, &answer, (400, "login_not_ours"), place).await;
        let page = answer.text();
        assert!(!page.contains("Not today.") && !page.contains("help.example"), "{page}");
        assert!(page.contains("access_denied"), "a known code is our own text: {page}");
    }

    // With `state` it is an answer like any other.
    house.fanbase.switch("error_state", &json!({})).await;
    let alice = house.visitor();
    let callback = comes_back(&alice, "generic").await;
    let answer = alice.opens(callback.as_str()).await;
    is_refused(&house.gate, &alice, &answer, (403, "provider_denied"), "with state").await;
    assert!(answer.text().contains("Not today.") && answer.text().contains("help.example"));
    let answer = alice.opens(callback.as_str()).await;
    is_refused(&house.gate, &alice, &answer, (400, "login_already_used"), "used up").await;

    assert_eq!(requests(&house.fanbase, "token").await.len(), 1, "of the one success");
    ends_well(&house.gate, &house.fanbase, &[SECRET]).await;
}

/// CB-42: a link of the provider's leads to a host that the operator listed, by https, and looks like nothing else.
#[tokio::test]
async fn a_link_of_the_provider_leads_only_where_the_operator_said() {
    let house = House::open(&[], |_| ()).await;
    for (uri, is_shown) in [
        ("https://help.example/faq?topic=1#login", true),
        ("http://help.example/faq", false),
        ("https://evil.example/faq", false),
        ("https://help.example.evil.example/faq", false),
        ("https://help.example@evil.example/faq", false),
        ("https://evil.example\\@help.example/faq", false),
        ("https://help.example:8443/faq", false),
        ("//help.example/faq", false),
        ("javascript:alert(1)//help.example", false),
        ("data:text/html,help.example", false),
    ] {
        house.refuses("access_denied", "No.", uri).await;
        let alice = house.visitor();
        let answer = alice.opens(comes_back(&alice, "fanbase").await.as_str()).await;
        is_refused(&house.gate, &alice, &answer, (403, "provider_denied"), uri).await;
        let page = answer.text();
        assert_eq!(page.contains("More about this"), is_shown, "{uri}: {page}");
        assert!(!page.contains("evil.example") && !page.contains("javascript:"), "{uri}: {page}");
    }
    ends_well(&house.gate, &house.fanbase, &[SECRET]).await;
}

/// D-S6, CB-41, CB-63: the words arrive whole however they were written into the address, read as a browser reads a
/// `Location` with raw spaces and raw UTF-8 in it; what could act on a page or forge a line is inert.
#[tokio::test]
async fn a_description_is_read_in_every_way_that_it_is_written() {
    const WORDS: &str = "Não foi possível entrar. Tente mais tarde.";
    let house = House::open(&[], |_| ()).await;
    let fanbase = Url::parse(house.fanbase.endpoint("authorization")).expect("a URL");
    let port = fanbase.port().expect("a port");
    let listener = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    house.refuses("access_denied", WORDS, "https://help.example/faq").await;
    for (form, written) in [
        ("raw", "Não foi possível"),
        ("plus", "N%C3%A3o+foi+poss%C3%ADvel"),
        ("percent", "N%C3%A3o%20foi%20poss%C3%ADvel"),
    ] {
        house.fanbase.switch("description_form", &json!({ "form": form })).await;
        let alice = house.visitor();
        let begun = alice.opens(&login("fanbase")).await.location().expect("the way there");
        let query = begun.query().expect("a query");
        let question = format!(
            "GET /authorize?{query} HTTP/1.1\r\nHost: localhost:{port}\r\nConnection: close\r\n\r\n"
        );
        let exchange = raw::send(listener, question).await;
        let location = exchange.responses[0].header("location").expect("a location").to_owned();
        assert!(location.contains(&format!("error_description={written}")), "{location}");

        let place = begun.join(&location).expect("a browser reads it");
        let answer = alice.opens(place.as_str()).await;

        is_refused(&house.gate, &alice, &answer, (403, "provider_denied"), form).await;
        assert!(answer.text().contains(WORDS), "{form}: {}", answer.text());
        if form == "raw" {
            // Whoever does not write it anew, as browsers do, sends the bytes as they are.
            let target = location.trim_start_matches(house.gate.url());
            let host = house.gate.url().trim_start_matches("http://");
            let cookies = alice.cookie_header(&alice.url("/")).expect("the login's cookie");
            let bytes = format!(
                "GET {target} HTTP/1.1\r\nHost: {host}\r\nAccept: text/html\r\nCookie: {cookies}\r\n\r\n"
            );
            let exchange = raw::send(house.gate.address(), bytes).await;
            assert_eq!(exchange.statuses(), [403], "{exchange:?}");
            assert!(exchange.responses[0].text().contains(WORDS), "{exchange:?}");
        }
    }

    let hostile =
        "<script>alert(1)</script> \u{202e}gnirts\u{202c} \u{1b}[31m\r\n{\"level\":\"forged\"}";
    house.refuses("access_denied", hostile, "https://help.example/faq").await;
    house.fanbase.switch("description_form", &json!({ "form": "percent" })).await;
    let alice = house.visitor();
    let answer = alice.opens(comes_back(&alice, "fanbase").await.as_str()).await;
    is_refused(&house.gate, &alice, &answer, (403, "provider_denied"), "hostile").await;
    let page = answer.text();
    assert!(page.contains("alert(1)") && !page.contains("<script>alert"), "{page}");
    for character in ['\u{202e}', '\u{1b}'] {
        assert!(!page.contains(character), "{character:?} is on the page");
        assert!(!house.gate.output().contains(character), "{character:?} is in the log");
    }
    assert!(house.gate.lines().iter().all(|line| line["level"] != "forged"));
    ends_well(&house.gate, &house.fanbase, &[SECRET]).await;
}

/// D-S12, CB-44, CB-45: whoever's session is over comes back without a page while Fanbase remembers them. Where it
/// does not, or says anything else than a code, they are asked once; and if that fails too, that is the end.
#[tokio::test]
async fn a_session_that_is_over_is_renewed_in_silence_or_once_aloud() {
    let house = House::open(&[], |example| {
        example.adds("sessions", "idle_timeout = \"1s\"");
    })
    .await;
    let asked = async || {
        let queries = house.fanbase.authorize_queries().await;
        let asked = pairs(queries.last().expect("a request"));
        let silent = asked.iter().any(|pair| *pair == ("prompt".to_owned(), "none".to_owned()));
        // D-S7: a hint comes with `prompt=none`, or not at all.
        assert_eq!(asked.iter().any(|(name, _)| name == "id_token_hint"), silent, "{asked:?}");
        (queries.len(), silent)
    };
    let is_over = async |visitor: &Visitor| {
        let began = Instant::now();
        while visitor.asks(http::Method::HEAD, "/.lychgate/me", &[]).await.status == 200 {
            assert!(began.elapsed() < PATIENCE, "the session does not end");
            tokio::task::yield_now().await;
        }
    };
    let alice = house.visitor();
    signs_in(&alice, "fanbase").await;
    assert_eq!(asked().await, (1, false));

    let over = over(&alice, is_over).await;
    signs_in(&alice, "fanbase").await;
    assert_eq!(asked().await, (2, true), "no page, the same person");

    // Another browser of hers, in which Fanbase does not know her.
    let error = |error: &str| json!({ "error": error });
    for (round, code) in ["login_required", "invalid_request", "bank_error_1"].iter().enumerate() {
        let elsewhere = alice.somebody_else();
        elsewhere.takes_cookie("lychgate", &over);
        house.fanbase.switch_once("silent_error", &error(code)).await;
        let callback = comes_back(&elsewhere, "fanbase").await;
        assert_eq!(asked().await, (3 + 2 * round, true), "{code}");
        assert!(callback.query().unwrap_or_default().contains(&format!("error={code}")));

        let answer = elsewhere.opens(callback.as_str()).await;

        let link = answer.location().unwrap_or_else(|| panic!("{code}: {}", answer.text()));
        assert_eq!(link.path(), "/.lychgate/login", "{code}: back to us, to ask aloud");
        let answer = elsewhere.follows(answer).await;
        assert_eq!(asked().await, (4 + 2 * round, false), "{code}: once, with a page");
        assert_eq!((answer.status.as_u16(), answer.url.path()), (200, "/page"), "{code}");
    }

    // Neither in silence nor aloud: the end.
    let elsewhere = alice.somebody_else();
    elsewhere.takes_cookie("lychgate", &over);
    house.refuses("login_required", "Sign in.", "https://help.example/faq").await;
    let answer = elsewhere.opens(&login("fanbase")).await;
    let answer = elsewhere.follows(answer).await;
    is_refused(&house.gate, &elsewhere, &answer, (403, "provider_denied"), "the end").await;
    assert_eq!(asked().await, (10, false), "two attempts, and no third");
    ends_well(&house.gate, &house.fanbase, &[SECRET]).await;
}

/// The session cookie, once the session is over.
async fn over(visitor: &Visitor, is_over: impl AsyncFn(&Visitor)) -> String {
    is_over(visitor).await;
    visitor.cookie("lychgate").expect("the cookie of a session that is over")
}
