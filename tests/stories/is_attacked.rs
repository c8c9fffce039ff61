//! Published weaknesses of other gateways that no other story is about, each named by its row of
//! `docs/reference/advisories.md`.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::future;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use lychgate_demo::provider::{ParameterEdit, RawAnswer};
use lychgate_fuzzing::families::Family;
use lychgate_fuzzing::lines;
use lychgate_tests::cast::gate::{Gate, free_port};
use lychgate_tests::cast::house::{House, standard};
use lychgate_tests::cast::raw::{self, Line};
use lychgate_tests::cast::scratch::Scratch;
use lychgate_tests::cast::upstream::{Script, Upstream};
use lychgate_tests::cast::visitor::Visitor;
use serde_json::json;

use crate::raw_bytes::{OK, send, with_upstream};

const MARKUP: &str = "\"><script>alert(1)</script>";

/// A3: nothing but the parameter says where a sign-in ends, and no header says where it begins.
#[tokio::test]
async fn a3_no_header_says_where_a_sign_in_ends() {
    let house = House::open().await;
    for header in [
        "X-Forwarded-Uri: //evil.test/",
        "X-Auth-Request-Redirect: https://evil.test/",
        "X-Original-URL: https://evil.test/",
        "X-Forwarded-Prefix: //evil.test",
        "X-Forwarded-Host: evil.test",
        "Referer: https://evil.test/",
        "Origin: https://evil.test",
    ] {
        for request in [
            "GET /.lychgate/login HTTP/1.1",
            "GET /.lychgate/login?return_to=%2F%2Fevil.test HTTP/1.1",
            "GET /.lychgate/logout HTTP/1.1",
            "POST /.lychgate/logout HTTP/1.1",
            "POST /.lychgate/login HTTP/1.1",
            "GET /wanted HTTP/1.1",
        ] {
            let message = format!(
                "{request}\r\nHost: {{host}}\r\nAccept: text/html\r\n{header}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            );

            let exchange = send(&house, &message).await;

            let response = &exchange.responses[0];
            let location = response.header("location").unwrap_or_default();
            assert!(!location.contains("evil.test"), "{request} {header}: {location}");
            assert!(!response.text().contains("evil.test"), "{request} {header}");
        }
    }
    // To the end: the place is the one that was asked for.
    let eve = house.visitor();
    let begun = eve
        .asks(Method::GET, "/wanted", &[("accept", "text/html"), ("referer", "https://evil.test/")])
        .await;
    let callback = eve.is_sent_back_as("eve", begun).await;
    let answer = eve.opens(callback.as_str()).await;
    assert_eq!(answer.location(), Some(eve.url("/wanted")));
}

/// A5: what the browser keeps of a login opens as it was written, or not at all.
#[tokio::test]
async fn a5_a_login_that_was_changed_on_the_way_leads_nowhere() {
    let house = House::open().await;
    let eve = house.visitor();
    let callback = eve.comes_back_as("eve", "/wanted").await;
    let (name, value) =
        eve.cookies().into_iter().find(|(name, _)| name.contains("login")).expect("a login");
    let target = &callback.as_str()[house.gate.url().len()..];
    let length = value.len();
    for at in [0, 1, 8, 12, 40, length / 2, length - 20, length - 2] {
        let mut changed = value.clone().into_bytes();
        changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(changed).expect("letters and digits");
        let message = format!(
            "GET {target} HTTP/1.1\r\nHost: {{host}}\r\nAccept: text/html\r\nCookie: {name}={changed}\r\nConnection: close\r\n\r\n"
        );

        let exchange = send(&house, &message).await;

        assert_eq!(exchange.statuses(), [400], "byte {at}");
        assert_eq!(exchange.responses[0].header("location"), None, "byte {at}");
    }
    let state = target.replacen("state=", "state=A", 1);
    let message = format!(
        "GET {state} HTTP/1.1\r\nHost: {{host}}\r\nAccept: text/html\r\nCookie: {name}={value}\r\nConnection: close\r\n\r\n"
    );
    assert_eq!(send(&house, &message).await.statuses(), [400]);
    assert_eq!(house.provider.count("/token"), 0, "no code was redeemed");

    // As it was written it is still good.
    let answer = eve.opens(callback.as_str()).await;
    assert_eq!(answer.location(), Some(eve.url("/wanted")));
}

/// A6: whatever is sent is text on our pages, wherever it was sent.
#[tokio::test]
async fn a6_nothing_that_is_sent_becomes_markup() {
    let house = House::open().await;
    let bob = house.session_of("bob").await;
    let escaped = "%22%3E%3Cscript%3Ealert(1)%3C/script%3E";
    for (target, headers) in [
        (format!("/.lychgate/login?return_to=/{escaped}"), String::new()),
        (format!("/.lychgate/login?provider={escaped}"), String::new()),
        (format!("/.lychgate/logout?return_to=/{escaped}"), String::new()),
        (format!("/.lychgate/{escaped}"), String::new()),
        (
            format!(
                "/.lychgate/callback?error={escaped}&error_description={escaped}&error_uri=javascript:alert(1)"
            ),
            String::new(),
        ),
        (format!("/.lychgate/callback?code={escaped}&state={escaped}"), String::new()),
        (format!("/admin/{escaped}?{escaped}"), format!("Cookie: {bob}\r\n")),
        (
            "/a//b".to_owned(),
            format!("Referer: http://evil.test/{MARKUP}\r\nUser-Agent: {MARKUP}\r\n"),
        ),
        (
            "/.lychgate/nothing".to_owned(),
            format!("X-Request-Id: {MARKUP}\r\nAccept-Language: {MARKUP}\r\n"),
        ),
        (format!("/.lychgate/{MARKUP}"), String::new()),
    ] {
        let message = format!(
            "GET {target} HTTP/1.1\r\nHost: {{host}}\r\nAccept: text/html\r\n{headers}Connection: close\r\n\r\n"
        );

        let exchange = send(&house, &message).await;

        let response = &exchange.responses[0];
        let text = response.text();
        assert!(!text.contains("<script>alert"), "{target}: {text}");
        assert!(!text.contains("href=\"javascript:"), "{target}: {text}");
        let policy = response.header("content-security-policy").unwrap_or_default();
        if response.header("content-type").is_some_and(|kind| kind.starts_with("text/html")) {
            assert!(!policy.is_empty() && !policy.contains("unsafe-inline"), "{target}: {policy}");
            assert_eq!(response.header("x-content-type-options"), Some("nosniff"), "{target}");
        }
    }
    let host = "GET / HTTP/1.1\r\nHost: \"><script>alert(1)</script>\r\nAccept: text/html\r\nConnection: close\r\n\r\n";
    let exchange = send(&house, host).await;
    assert!(
        exchange.statuses()[0] >= 400 && !exchange.responses[0].text().contains("<script>alert")
    );
}

/// B7: the path that was judged, and written down, is the path that is sent, byte for byte.
#[tokio::test]
async fn b7_the_path_that_was_judged_is_the_path_that_is_sent() {
    let house = House::open().await;
    let mut line = Line::to(house.gate.address()).await;
    let mut answered = 0;
    for target in lines(Family::Paths.committed()) {
        let Ok(target) = String::from_utf8(target) else { continue };
        // Those that end the connection are told in another story.
        if !target.starts_with("/public")
            || !target.chars().all(|character| character.is_ascii_graphic())
        {
            continue;
        }
        let message = format!("GET {target} HTTP/1.1\r\nHost: {}\r\n\r\n", house.host());
        line.says(message).await;
        let response = line.hears().await;
        answered += usize::from(response.status == 200);
        if response.header("connection") == Some("close") {
            line = Line::to(house.gate.address()).await;
        }
    }
    let requests = house.application.requests();
    assert!(answered > 100 && requests.len() == answered, "{answered} and {}", requests.len());
    let last = requests.last().and_then(|request| request.header("x-request-id"));
    house.gate.access_line(last.expect("every request has an id")).await;
    let written = house.gate.lines();
    let written: BTreeMap<&str, &serde_json::Value> = written
        .iter()
        .filter_map(|line| Some((line["request_id"].as_str()?, &line["path"])))
        .collect();
    for request in &requests {
        let id = request.header("x-request-id").expect("every request has an id");
        assert_eq!(written[id], request.path.as_str());
    }
}

/// C4: a handshake says who somebody is no more than a page does; nor does a preflight, on a public path.
#[tokio::test]
async fn c4_a_handshake_and_a_preflight_believe_no_identity_header() {
    let (house, upstream) = with_upstream(Script::Answer(OK)).await;
    let forged = "X-Forwarded-User: root\r\nX_Forwarded_Email: root@corp.test\r\nX.Forwarded.Groups: sre\r\n";
    for message in [
        format!(
            "GET /public/ws HTTP/1.1\r\nHost: {{host}}\r\n{forged}Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        ),
        format!(
            "OPTIONS /public/ HTTP/1.1\r\nHost: {{host}}\r\n{forged}Origin: https://evil.test\r\nAccess-Control-Request-Method: PUT\r\nConnection: close\r\n\r\n"
        ),
        format!("GET /public/ HTTP/1.0\r\nHost: {{host}}\r\n{forged}\r\n"),
    ] {
        let exchange = send(&house, &message).await;

        assert_eq!(exchange.statuses().len(), 1, "{:?}", exchange.responses);
    }
    let received = upstream.received().concat();
    assert_eq!(received.matches(" HTTP/1.1\r\n").count(), 3, "{received}");
    assert!(!received.contains("root") && !received.contains("sre"), "{received}");
}

/// E6: a preflight is no way in: without a session it is answered here, like anything else.
#[tokio::test]
async fn e6_a_preflight_reaches_no_application() {
    let (house, upstream) = with_upstream(Script::Answer(OK)).await;
    for target in ["/", "/admin/", "/api/x"] {
        let message = format!(
            "OPTIONS {target} HTTP/1.1\r\nHost: {{host}}\r\nOrigin: https://evil.test\r\nAccess-Control-Request-Method: GET\r\n\
             Access-Control-Request-Headers: authorization\r\nConnection: close\r\n\r\n"
        );

        let exchange = send(&house, &message).await;

        assert_eq!(exchange.statuses(), [401], "{target}");
        let opened = exchange.responses[0]
            .headers
            .iter()
            .find(|(name, _)| name.starts_with("access-control-"));
        assert_eq!(opened, None, "{target}");
    }
    assert_eq!(upstream.received(), [] as [&str; 0]);
}

/// F4: no two logins have anything in common, nor do a login's own values.
#[tokio::test]
async fn f4_no_login_is_like_another() {
    let house = House::open().await;
    let visitors: Vec<Visitor> = (0..12).map(|_| house.visitor()).collect();
    let begins = visitors.iter().map(async |visitor| {
        let mut values = Vec::new();
        for _ in 0..25 {
            visitor.forgets_everything();
            let answer = visitor.opens("/").await;
            let location = answer.location().expect("a way to the provider");
            for wanted in ["state", "nonce", "code_challenge"] {
                let pair = location.query_pairs().find(|(name, _)| name == wanted);
                values.push(pair.expect(wanted).1.into_owned());
            }
            let cookie = answer.set_cookies().concat();
            for value in values.iter().rev().take(3) {
                assert!(!cookie.contains(value), "the cookie shows {value}");
            }
        }
        values
    });
    let values: Vec<String> = future::join_all(begins).await.concat();
    assert_eq!(values.len(), 900);
    let whole: BTreeSet<&String> = values.iter().collect();
    let beginnings: BTreeSet<&str> = values.iter().map(|value| &value[..10]).collect();
    let ends: BTreeSet<&str> = values.iter().map(|value| &value[value.len() - 10..]).collect();
    assert_eq!((whole.len(), beginnings.len(), ends.len()), (900, 900, 900));
    assert!(values.iter().all(|value| value.len() >= 22), "128 bits each");
}

/// F16: a provider that sends people back unasked, again and again, is met with a page and not with a circle.
#[tokio::test]
async fn f16_a_provider_that_only_sends_people_back_ends_in_a_page() {
    let house = House::with("providers.demo.silent_login = true").await;
    house.provider.set(|control| {
        control.redirect_edits =
            vec![ParameterEdit::drop("code"), ParameterEdit::set("error", "login_required")];
    });
    let bob = house.visitor();

    // The visitor of the cast gives up after a dozen redirects.
    let callback = bob.comes_back_as("bob", "/").await;
    let answer = bob.opens(callback.as_str()).await;
    let page = match answer.location() {
        None => answer,
        Some(again) => {
            let callback = bob.comes_back_as("bob", again.as_str()).await;
            bob.opens(callback.as_str()).await
        }
    };

    assert!(page.status.is_client_error() || page.status.is_server_error(), "{}", page.status);
    assert!(page.location().is_none() && !bob.has_session());
}

/// H14: a sealed value of another version, key or provider is none, whatever it says about itself.
#[tokio::test]
async fn h14_a_session_of_another_version_is_none() {
    let (house, upstream) = with_upstream(Script::Answer(OK)).await;
    let session = house.session_of("bob").await;
    let before = upstream.received().len();
    let (name, value) = session.split_once('=').expect("a cookie");
    // The first byte is the version, the next eight say which key and which provider.
    for at in 0..12 {
        for letter in [b'A', b'B', b'g', b'_'] {
            let mut changed = value.to_owned().into_bytes();
            if changed[at] == letter {
                continue;
            }
            changed[at] = letter;
            let changed = String::from_utf8(changed).expect("letters and digits");
            let message = format!(
                "GET /app HTTP/1.1\r\nHost: {{host}}\r\nCookie: {name}={changed}\r\nConnection: close\r\n\r\n"
            );

            let exchange = raw::send(house.gate.address(), message.replace("{host}", house.host()));
            let exchange = exchange.await;

            assert_eq!(exchange.statuses(), [401], "byte {at} is {}", letter as char);
        }
    }
    assert_eq!(upstream.received().len(), before);
}

/// J12: people whose requests share connections to an application get their own answers, also while others break
/// off, are refused, or ask to switch.
#[tokio::test]
async fn j12_people_who_share_connections_get_their_own_answers() {
    let house = House::open().await;
    let (alice, bob) = (house.signed_in("alice").await, house.signed_in("bob").await);
    let trouble = async {
        for round in 0..15 {
            let host = house.host();
            for message in [
                format!(
                    "POST /public/up HTTP/1.1\r\nHost: {host}\r\nContent-Length: 100000\r\n\r\nhalf"
                ),
                format!(
                    "POST /admin HTTP/1.1\r\nHost: {host}\r\nContent-Length: 40\r\n\r\nGET /public/{round} HTTP/1.1\r\n"
                ),
                format!(
                    "GET /public/ws HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: foo\r\n\r\nGET /admin HTTP/1.1\r\nHost: {host}\r\n\r\n"
                ),
                format!(
                    "GET /download?bytes=10000000 HTTP/1.1\r\nHost: {host}\r\nCookie: x=y\r\n\r\n"
                ),
                format!(
                    "GET /public/download HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
                ),
            ] {
                let mut line = Line::to(house.gate.address()).await;
                line.says(message).await;
                if round % 2 == 0 {
                    line.hangs_up().await;
                }
            }
        }
    };
    let asks = async |visitor: &Visitor, name: &str| {
        for round in 0..60 {
            let place = format!("/of/{name}/{round}");
            let answer = visitor.fetches(&place).await;
            let echo = answer.json();
            assert_eq!((&echo["path"], answer.status), (&json!(place), StatusCode::OK), "{name}");
            assert_eq!(answer.echoed("x-forwarded-user").as_deref(), Some(name), "{place}");
        }
    };
    future::join(trouble, future::join(asks(&alice, "alice"), asks(&bob, "bob"))).await;
}

/// J1: a body that is refused for its size, announced or not, is not a request either.
#[tokio::test]
async fn j1_a_body_that_is_refused_for_its_size_is_not_a_request() {
    let upstream = Upstream::start(Script::Answer(OK)).await;
    let address = upstream.address();
    let house = House::planned(|plan| {
        plan.upstream(address);
        plan.set("routes.app.limits.body = \"1KiB\"");
    })
    .await;
    let inner = format!("GET /public/inner HTTP/1.1\r\nHost: {}\r\n\r\n", house.host());
    let many = inner.repeat(40);
    let chunk = format!("{:x}\r\n{many}\r\n0\r\n\r\n", many.len());
    for (framing, body) in [
        (format!("Content-Length: {}", many.len()), &many),
        ("Transfer-Encoding: chunked".to_owned(), &chunk),
        (format!("Expect: 100-continue\r\nContent-Length: {}", many.len()), &many),
    ] {
        let message =
            format!("POST /public/up HTTP/1.1\r\nHost: {{host}}\r\n{framing}\r\n\r\n{body}");

        let exchange = send(&house, &message).await;

        assert_eq!(exchange.statuses(), [413], "{framing}: {:?}", exchange.end);
    }
    let received = upstream.received().concat();
    assert_eq!(
        received.matches("x-request-id").count(),
        received.matches("POST /public/up").count()
    );
}

/// L2: what a provider says about itself is read where the operator said, and keys where it said.
#[tokio::test]
async fn l2_metadata_and_keys_that_lead_elsewhere_are_not_followed() {
    let trap =
        Upstream::start(Script::Answer(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")).await;
    let elsewhere = format!("http://{}/keys", trap.address());
    let house = House::open().await;
    let leads = |to: &str| RawAnswer {
        status: StatusCode::TEMPORARY_REDIRECT,
        headers: HeaderMap::from_iter([(
            header::LOCATION,
            HeaderValue::try_from(to).expect("a URL"),
        )]),
        ..RawAnswer::default()
    };
    // Keys: a new signature makes them be asked for.
    let itself = format!("{}/jwks", house.provider.issuer());
    for to in [&elsewhere, &itself] {
        house.provider.set(|control| control.jwks_answer = Some(leads(to)));
        house.provider.rotate_keys().expect("new keys");
        let page = house.visitor().signs_in_as("bob", "/").await;
        assert!(page.status.is_client_error() || page.status.is_server_error(), "{to}");
    }
    // Metadata: a gate that has not heard of them yet.
    for to in [elsewhere.as_str(), house.provider.issuer()] {
        house.provider.set(|control| control.discovery_answer = Some(leads(to)));
        let port = free_port();
        let configuration = standard(
            &format!("http://app.localhost:{port}"),
            port,
            house.provider.address(),
            house.application.address(),
        );
        let gate = Gate::start_without_providers(Scratch::new(), &configuration).await;
        let answer = Visitor::of(gate.url(), &[]).opens("/").await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{to}: {}", answer.text());
    }
    assert_eq!(trap.received(), [] as [&str; 0], "the trap saw nothing");
}

/// L6: somebody who leaves while the code is redeemed leaves nothing undone, and nothing done twice.
#[tokio::test]
async fn l6_somebody_who_leaves_while_the_code_is_redeemed_harms_nothing() {
    let house = House::open().await;
    let mut codes = BTreeSet::new();
    for round in 0..25 {
        let bob = house.visitor();
        let callback = bob.comes_back_as("bob", "/").await;
        let code = callback.query_pairs().find(|(name, _)| name == "code");
        codes.insert(code.expect("a code").1.into_owned());
        let cookies = bob.cookie_header(&callback).expect("a login");
        let target = &callback.as_str()[house.gate.url().len()..];
        let mut line = Line::to(house.gate.address()).await;
        line.says(format!(
            "GET {target} HTTP/1.1\r\nHost: {}\r\nAccept: text/html\r\nCookie: {cookies}\r\n\r\n",
            house.host()
        ))
        .await;
        if round % 2 == 0 {
            line.hangs_up().await;
        }
        drop(line);
    }

    // Somebody who stays is signed in.
    house.signed_in("alice").await;

    let redeemed: Vec<String> = house
        .provider
        .requests()
        .iter()
        .filter(|request| request.path == "/token")
        .filter_map(|request| request.form_parameter("code"))
        .collect();
    let distinct: BTreeSet<&String> = redeemed.iter().collect();
    assert_eq!(distinct.len(), redeemed.len(), "no code was redeemed twice");
    assert!(redeemed.iter().filter(|code| codes.contains(*code)).count() <= codes.len());
}

/// M4: who somebody is, is their subject at their provider: an address that two have makes them no one person.
#[tokio::test]
async fn m4_the_same_address_twice_is_two_people() {
    let house = House::with("telemetry.user_fields = \"plain\"").await;
    let (bob, eve) = (house.visitor(), house.visitor());
    bob.signs_in_as("bob", "/").await;
    house.provider.set(|control| {
        let eve = control.personas.iter_mut().find(|it| it.preferred_username == "eve");
        eve.expect("Eve").email = Some("bob@demo.example".to_owned());
    });
    eve.signs_in_as("eve", "/").await;

    let (of_bob, of_eve) = (bob.fetches("/x").await, eve.fetches("/x").await);

    assert_eq!(of_bob.echoed("x-forwarded-user").as_deref(), Some("bob"));
    assert_eq!(of_eve.echoed("x-forwarded-user").as_deref(), Some("eve"));
    assert_eq!(of_bob.echoed("x-forwarded-email"), of_eve.echoed("x-forwarded-email"));
    // Signing one of them out is nothing to the other.
    eve.sends(Method::POST, "/.lychgate/logout", &[("origin", house.gate.url())], Vec::new()).await;
    assert_eq!(bob.fetches("/x").await.status, 200);
}

/// N4: the address that held a code is left at once, and says so to nobody.
#[tokio::test]
async fn n4_the_address_with_the_code_is_left_at_once() {
    let house = House::open().await;
    let bob = house.visitor();
    let callback = bob.comes_back_as("bob", "/wanted").await;

    let answer = bob.opens(callback.as_str()).await;

    assert!(answer.status.is_redirection() && answer.body.is_empty(), "{}", answer.status);
    assert_eq!(answer.header("referrer-policy"), "no-referrer");
    let location = answer.location().expect("a way on");
    assert!(location.query().is_none() && location.fragment().is_none(), "{location}");
    // A callback that fails stays where it is, with nothing on the page that is fetched from elsewhere.
    let page = bob.opens(callback.as_str()).await.text();
    for place in page.split("src=\"").skip(1).chain(page.split("href=\"").skip(1)) {
        assert!(
            !place.starts_with("//")
                && (!place.starts_with("http") || place.starts_with(house.gate.url()))
        );
    }
    let code = callback.query_pairs().find(|(name, _)| name == "code").expect("a code").1;
    assert!(!page.contains(&*code), "{page}");
}

/// N7: no error says what we are made of, or what stands behind us.
#[tokio::test]
async fn n7_no_error_says_what_we_are_made_of() {
    let house = House::planned(|plan| {
        let nobody = std::net::SocketAddr::from(([127, 0, 0, 1], free_port()));
        plan.upstream(nobody);
        plan.set("limits.uri_bytes = \"2KiB\"\nroutes.app.limits.body = \"1KiB\"");
    })
    .await;
    let upstream = house.gate.scratch().read("lychgate.toml");
    let upstream =
        upstream.split("upstream = \"http://").nth(1).and_then(|rest| rest.split('"').next());
    let upstream = upstream.expect("an upstream").to_owned();
    let directory = house.gate.scratch().path().display().to_string();
    let long = "x".repeat(3000);
    let mut seen = BTreeSet::new();
    for (request, more) in [
        ("GET / HTTP/1.1", ""),
        ("GET /public/down HTTP/1.1", ""),
        ("GET /a//b HTTP/1.1", ""),
        ("GET /.lychgate/nothing HTTP/1.1", ""),
        ("POST /.lychgate/me HTTP/1.1", "Content-Length: 0\r\n"),
        ("GET /.lychgate/callback HTTP/1.1", ""),
        ("GET /.lychgate/callback?code=x&state=y HTTP/1.1", ""),
        ("POST /public/ HTTP/1.1", "Content-Length: 5000\r\n"),
        ("TRACE / HTTP/1.1", ""),
        ("nonsense", ""),
        ("GET / HTTP/3.0", ""),
        ("GET / HTTP/1.1", "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n"),
        (&format!("GET /public/{long} HTTP/1.1"), ""),
        ("GET /public/ HTTP/1.1", &format!("X: {}\r\n", "y".repeat(100_000))),
    ] {
        for accept in ["text/html", "application/json"] {
            let message = format!(
                "{request}\r\nHost: {{host}}\r\nAccept: {accept}\r\n{more}Connection: close\r\n\r\n"
            );
            let exchange = send(&house, &message).await;
            let response = &exchange.responses[0];
            seen.insert(response.status);
            let said = format!("{:?}\n{}", response.headers, response.text());
            for secret in [
                upstream.as_str(),
                &directory,
                "pingora",
                "Pingora",
                "hyper",
                "rustls",
                ".rs:",
                "panicked",
                "os error",
                "Connection refused",
                "lychgate.toml",
                env!("CARGO_PKG_VERSION"),
            ] {
                assert!(!said.contains(secret), "{request} says {secret}: {said}");
            }
            assert_eq!(response.header("server"), None, "{request}");
            assert_eq!(response.header("x-powered-by"), None, "{request}");
        }
    }
    let expected: BTreeSet<u16> = [302, 400, 401, 404, 405, 413, 414, 431, 502].into();
    assert!(seen.is_superset(&expected), "{seen:?}");
}
