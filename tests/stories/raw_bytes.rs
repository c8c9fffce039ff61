//! What no well-behaved client sends: exchanges byte for byte, each named by its row.

use lychgate_tests::cast::house::House;
use lychgate_tests::cast::raw::{self, End, Exchange};
use lychgate_tests::cast::upstream::{Script, Upstream};

pub(crate) const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// A house whose application records raw bytes and answers `script`.
pub(crate) async fn with_upstream(script: Script) -> (House, Upstream) {
    let upstream = Upstream::start(script).await;
    let address = upstream.address();
    (House::planned(|plan| plan.upstream(address)).await, upstream)
}

/// Sends a message with `{host}` filled in.
pub(crate) async fn send(house: &House, message: &str) -> Exchange {
    raw::send(house.gate.address(), message.replace("{host}", house.host())).await
}

/// C1: with a session of Bob, every spelling of every name that the gate sets is gone, and Bob is named once.
#[tokio::test]
async fn c1_no_alias_of_an_identity_header_gets_through() {
    let (house, upstream) = with_upstream(Script::Answer(OK)).await;
    let session = house.session_of("bob").await;
    let logical = [
        "x-forwarded-user",
        "x-forwarded-email",
        "x-forwarded-groups",
        "x-forwarded-for",
        "x-real-ip",
    ];
    let mut headers = String::new();
    for name in logical {
        for alias in aliases(name) {
            headers.push_str(&format!("{alias}: root\r\n"));
        }
    }

    let message = format!(
        "GET /app HTTP/1.1\r\nHost: {{host}}\r\nCookie: {session}\r\n{headers}Connection: close\r\n\r\n"
    );
    let exchange = send(&house, &message).await;

    assert_eq!(exchange.statuses(), [200]);
    let received = upstream.received().concat();
    let app = received.rsplit("GET /app").next().unwrap_or_default();
    assert!(!app.contains("root"), "{app}");
    for (name, expected) in [
        ("xforwardeduser", "bob"),
        ("xforwardedemail", "bob@demo.example"),
        ("xforwardedgroups", "engineering"),
    ] {
        let values: Vec<_> = app
            .lines()
            .filter_map(|line| line.split_once(':'))
            .filter(|(found, _)| folded(found) == name)
            .map(|(_, value)| value.trim())
            .collect();
        assert_eq!(values, [expected], "{name} in {app}");
    }
}

/// Every way to write a name that some server behind takes for the same.
fn aliases(name: &str) -> Vec<String> {
    let titled: String = name
        .split('-')
        .map(|word| word[..1].to_ascii_uppercase() + &word[1..])
        .collect::<Vec<_>>()
        .join("-");
    let mut aliases = vec![
        name.to_owned(),
        name.to_owned(),
        titled,
        name.to_ascii_uppercase(),
        name.replacen('-', "_", 1),
    ];
    aliases.extend(["_", ".", "", "--", "+", "-_", "'"].map(|mark| name.replace('-', mark)));
    aliases
}

fn folded(name: &str) -> String {
    name.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase()
}

/// C5: what `Connection` names is the client's to lose, and nothing that the gate says.
#[tokio::test]
async fn c5_connection_cannot_take_away_what_the_gate_says() {
    let (house, upstream) = with_upstream(Script::Answer(OK)).await;
    let session = house.session_of("bob").await;

    let message = format!(
        "GET /app HTTP/1.1\r\nHost: {{host}}\r\nCookie: {session}; app=1\r\nX-Client: kept\r\nX-Named: gone\r\n\
         Connection: close, x-forwarded-USER, X-Forwarded-Groups, Cookie, Host, Content-Length\r\n\
         Connection: x-named, X-Real-IP\r\nKeep-Alive: timeout=5\r\nProxy-Connection: keep-alive\r\n\
         TE: gzip\r\nProxy-Authorization: Basic eDp4\r\n\r\n"
    );
    let exchange = send(&house, &message).await;

    assert_eq!(exchange.statuses(), [200]);
    let received = upstream.received().concat().to_ascii_lowercase();
    let app = received.rsplit("get /app").next().unwrap_or_default();
    for expected in [
        "x-forwarded-user: bob\r\n",
        "x-forwarded-groups: engineering\r\n",
        "x-client: kept\r\n",
        "host: ",
    ] {
        assert!(app.contains(expected), "{expected:?} in {app}");
    }
    for unexpected in ["x-named", "keep-alive", "proxy-", "\r\nte:", "lychgate=", "eDp4"] {
        assert!(!app.contains(unexpected), "{unexpected:?} in {app}");
    }
}

/// B2: a raw fragment is no request target; an encoded one opens no public rule.
#[tokio::test]
async fn b2_a_fragment_never_opens_a_rule() {
    let (house, upstream) = with_upstream(Script::Answer(OK)).await;
    for (target, expected) in [
        ("/admin/x#/public/", 400),
        ("/public/..%23/", 400),
        ("/public#/../admin", 400),
        ("/secret%23/../public/", 400),
        ("/secret%23/public/", 401),
        ("/%23/public/", 401),
        ("/admin%3F/public/", 401),
    ] {
        let message =
            format!("GET {target} HTTP/1.1\r\nHost: {{host}}\r\nConnection: close\r\n\r\n");

        let exchange = send(&house, &message).await;

        assert_eq!(exchange.statuses(), [expected], "{target}");
    }
    assert_eq!(upstream.received(), [] as [&str; 0]);
}

/// D2: a stranger's word about path, host or method changes nothing.
#[tokio::test]
async fn d2_forwarding_headers_of_strangers_change_nothing() {
    let (house, upstream) = with_upstream(Script::Answer(OK)).await;
    for header in [
        "X-Forwarded-Uri: /public/x",
        "X-Original-URI: /public/x",
        "X-Original-URL: /public/x",
        "X-Rewrite-URL: /public/x",
        "X-Envoy-Original-Path: /public/x",
        "X-Forwarded-Method: OPTIONS",
        "X-Forwarded-Host: evil.test",
        "X-Forwarded-Proto: https",
        "X-Forwarded-Port: 443",
        "X-Forwarded-Prefix: /public",
        "Forwarded: for=10.0.0.1;host=evil.test;proto=https",
        "X-HTTP-Method-Override: OPTIONS",
        "X-Auth-Request-Redirect: https://evil.test/",
    ] {
        let message = format!(
            "GET /admin HTTP/1.1\r\nHost: {{host}}\r\nAccept: text/html\r\n{header}\r\nConnection: close\r\n\r\n"
        );

        let exchange = send(&house, &message).await;

        assert_eq!(exchange.statuses(), [302], "{header}");
        let response = &exchange.responses[0];
        let location = response.header("location").unwrap_or_default();
        assert!(location.starts_with(house.provider.issuer()), "{header}: {location}");
        assert!(!location.contains("evil.test"), "{header}: {location}");
        let cookie = response.header("set-cookie").unwrap_or_default();
        assert!(!cookie.contains("Secure"), "{header}: {cookie}");
    }
    assert_eq!(upstream.received(), [] as [&str; 0]);
}

/// J1: the body of a request that is answered here is never taken for a request; each kind of local reply.
#[tokio::test]
async fn j1_a_body_that_looks_like_a_request_is_not_one() {
    let (house, upstream) = with_upstream(Script::Answer(OK)).await;
    let bob = house.session_of("bob").await;
    let inner = format!("GET /public/x HTTP/1.1\r\nHost: {}\r\nX: y\r\n\r\n", house.host());
    let html = "Accept: text/html\r\n".to_owned();
    let session = format!("Cookie: {bob}\r\n");
    let unread = format!("Expect: 100-continue\r\n{html}");
    for (what, method, target, headers, expected) in [
        ("401", "POST", "/admin", &String::new(), 401),
        ("redirect to sign-in", "GET", "/", &html, 302),
        ("403", "POST", "/admin/", &session, 403),
        ("404", "GET", "/.lychgate/nothing", &html, 404),
        ("405", "POST", "/.lychgate/me", &String::new(), 405),
        ("400 path", "POST", "/a//b", &String::new(), 400),
        ("400 callback", "GET", "/.lychgate/callback", &html, 400),
        ("sign-out", "POST", "/.lychgate/logout", &html, 200),
        ("style", "GET", "/.lychgate/style.css", &html, 200),
        ("who is it", "GET", "/.lychgate/me", &String::new(), 401),
        ("expecting", "POST", "/admin", &unread, 401),
    ] {
        let message = format!(
            "{method} {target} HTTP/1.1\r\nHost: {{host}}\r\n{headers}Content-Length: {}\r\n\r\n{inner}",
            inner.len()
        );

        let exchange = send(&house, &message).await;

        assert_eq!(exchange.statuses(), [expected], "{what}: {:?}", exchange.responses);
    }
    assert_eq!(upstream.count("/public/x"), 0, "{:?}", upstream.received());
}

/// J1: a body that never ends costs the connection, and what follows it is no request.
#[tokio::test]
async fn j1_a_large_body_that_is_not_wanted_ends_the_connection() {
    let (house, upstream) = with_upstream(Script::Answer(OK)).await;
    let inner = format!("GET /public/x HTTP/1.1\r\nHost: {}\r\n\r\n", house.host());

    let message = format!(
        "POST /admin HTTP/1.1\r\nHost: {{host}}\r\nContent-Length: 10000000\r\n\r\n{}",
        inner.repeat(3000)
    );
    let exchange = send(&house, &message).await;

    assert!(exchange.is_refused_with(401), "{:?} {:?}", exchange.statuses(), exchange.end);
    assert_eq!(upstream.received(), [] as [&str; 0]);
}

/// J1: a connection goes on after a small body was read.
#[tokio::test]
async fn j1_the_next_request_after_a_small_unwanted_body_is_answered() {
    let (house, _upstream) = with_upstream(Script::Answer(OK)).await;

    let message = "POST /admin HTTP/1.1\r\nHost: {host}\r\nContent-Length: 3\r\n\r\nabc\
                   GET /public/ HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n";
    let exchange = send(&house, message).await;

    let statuses = exchange.statuses();
    assert!(
        statuses == [401, 200] || (statuses == [401] && exchange.end == End::Closed),
        "{statuses:?}"
    );
}

/// J6: what follows a request to switch is not the upstream's before it has switched.
#[tokio::test]
async fn j6_nothing_is_passed_on_behind_an_upgrade_that_was_not_agreed_to() {
    for (answer, protocol) in [
        (&b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"[..], "foo"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", "websocket"),
        (b"HTTP/1.1 400 Bad Request\r\ncontent-length: 2\r\n\r\nno", "websocket"),
        (b"HTTP/1.1 101 Switching Protocols\r\n\r\n", "websocket"),
        (
            b"HTTP/1.1 101 Switching Protocols\r\nupgrade: foo\r\nconnection: upgrade\r\n\r\n",
            "websocket",
        ),
        (b"HTTP/1.1 101 Switching Protocols\r\nupgrade: foo\r\nconnection: upgrade\r\n\r\n", "foo"),
    ] {
        let (house, upstream) = with_upstream(Script::Answer(answer)).await;
        let message = format!(
            "GET /public/ws HTTP/1.1\r\nHost: {{host}}\r\nConnection: Upgrade\r\nUpgrade: {protocol}\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n\
             GET /admin HTTP/1.1\r\nHost: {{host}}\r\n\r\n"
        );

        let exchange = send(&house, &message).await;

        let what = String::from_utf8_lossy(answer);
        assert_eq!(upstream.count("/admin"), 0, "{what}: {:?}", upstream.received());
        assert!(!exchange.statuses().contains(&101), "{what}: {:?}", exchange.statuses());
        assert!(exchange.statuses().len() <= 2, "{what}: {:?}", exchange.statuses());
        assert!(
            exchange.statuses().iter().skip(1).all(|status| *status == 401),
            "{what}: {:?}",
            exchange.statuses()
        );
    }
}

/// J7: header blocks that one program reads in one way and the next in another.
#[tokio::test]
async fn j7_header_blocks_outside_the_grammar_are_refused() {
    let (house, upstream) = with_upstream(Script::Answer(OK)).await;
    let many: String = (0..300).map(|number| format!("X-{number}: y\r\n")).collect();
    let long = format!("X: {}\r\n", "y".repeat(100 * 1024));
    for (headers, expected) in [
        ("X: a\rb\r\n", &[400][..]),
        ("X: a\0b\r\n", &[400]),
        ("X : a\r\n", &[400]),
        ("\tX: a\r\n", &[400]),
        (": a\r\n", &[400]),
        ("X\u{80}: a\r\n", &[400]),
        ("X\r\n", &[400]),
        ("X: a\nY: b\r\n", &[400]),
        ("X: a\r\n continued\r\n", &[400]),
        ("X\r\nY: b\r\n", &[400]),
        ("X: a\r\n\rX: b\r\n", &[400]),
        ("X(: a\r\n", &[400]),
        (&many, &[400, 431]),
        (&long, &[431]),
    ] {
        let message = format!("GET /public/a HTTP/1.1\r\nHost: {{host}}\r\n{headers}\r\n");

        let exchange = send(&house, &message).await;

        let statuses = exchange.statuses();
        assert!(
            statuses.len() == 1 && expected.contains(&statuses[0]) && exchange.end == End::Closed,
            "{:?}: {statuses:?} {:?}",
            &headers[..headers.len().min(40)],
            exchange.end
        );
    }
    // The framing is plain, so the connection may go on.
    let spaced =
        send(&house, "GET  /public/a HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").await;
    assert_eq!(spaced.statuses(), [400]);
    for message in [
        " GET /public/a HTTP/1.1\r\nHost: {host}\r\n\r\n",
        "GET /public/a HTTP/1.1 /public/b HTTP/1.1\r\nHost: {host}\r\n\r\n",
        "GET /public/a\x0bHTTP/1.1\r\nHost: {host}\r\n\r\n",
        "GET\t/public/a HTTP/1.1\r\nHost: {host}\r\n\r\n",
        "G@T /public/a HTTP/1.1\r\nHost: {host}\r\n\r\n",
        "GET /public/a HTTP/1.1\r\nHost: {host}\r\nHost: {host}\r\n\r\n",
        "GET /public/a HTTP/1.1\r\nHost: {host}\r\nHost: evil.test\r\n\r\n",
        "GET /public/a HTTP/1.1\r\n\r\n",
        "GET /public/a HTTP/1.1\nHost: {host}\n\n",
        "\x16\x03\x01\x02\x00\x01\x00\x01\x7c\x03\x03\r\n\r\n",
    ] {
        let exchange = send(&house, message).await;

        assert!(
            exchange.is_refused_with(400),
            "{message:?}: {:?} {:?}",
            exchange.responses,
            exchange.end
        );
    }
    assert_eq!(upstream.received(), [] as [&str; 0]);
}

/// B7, J7: pingora encodes a space in a target before anybody looks at it. So it is judged as it is sent, and
/// what could be read in two ways is refused like anything else.
#[tokio::test]
async fn j7_a_space_in_a_target_is_judged_as_it_is_sent() {
    let (house, upstream) = with_upstream(Script::Answer(OK)).await;
    for (target, expected) in [
        ("/public/a b?c d", &[200, 400][..]),
        ("/admin /public/", &[400, 401]),
        ("/public /../admin", &[400]),
        ("/public/x /../../admin", &[400]),
    ] {
        let message =
            format!("GET {target} HTTP/1.1\r\nHost: {{host}}\r\nConnection: close\r\n\r\n");

        let exchange = send(&house, &message).await;

        let statuses = exchange.statuses();
        assert!(statuses.len() == 1 && expected.contains(&statuses[0]), "{target}: {statuses:?}");
    }
    let requests = upstream.count(" HTTP/1.1\r\n");
    assert_eq!(
        requests,
        upstream.count("GET /public/a%20b?c%20d HTTP/1.1\r\n"),
        "{:?}",
        upstream.received()
    );
}

/// J8, B8: methods that would tunnel or echo.
#[tokio::test]
async fn j8_methods_that_tunnel_or_echo_are_not_forwarded() {
    let (house, upstream) = with_upstream(Script::Answer(OK)).await;
    for (line, expected) in [
        ("CONNECT app.test:443", &[400, 405][..]),
        ("CONNECT {host}", &[405]),
        ("TRACE /public/", &[405]),
        ("get /public/", &[405]),
    ] {
        let message =
            format!("{line} HTTP/1.1\r\nHost: {{host}}\r\nConnection: close\r\n\r\nGET /admin");

        let exchange = send(&house, &message).await;

        let statuses = exchange.statuses();
        assert!(statuses.len() == 1 && expected.contains(&statuses[0]), "{line}: {statuses:?}");
    }
    let long = format!(
        "{} /public/ HTTP/1.1\r\nHost: {{host}}\r\nConnection: close\r\n\r\n",
        "X".repeat(8192)
    );
    let exchange = send(&house, &long).await;
    assert!(
        exchange.statuses().len() == 1 && exchange.statuses()[0] >= 400,
        "{:?}",
        exchange.statuses()
    );
    assert_eq!(upstream.received(), [] as [&str; 0]);
}

/// B9: a target with an authority goes where that says; other forms are refused.
#[tokio::test]
async fn b9_a_target_says_one_place_or_none() {
    let (house, upstream) = with_upstream(Script::Answer(OK)).await;
    for (target, host, expected) in [
        ("http://{host}/public/", "{host}", 200),
        // Which of two hosts is meant is not for us to choose.
        ("http://other.test/public/", "{host}", 400),
        ("http://{host}/public/", "other.test", 400),
        ("http://other.test/public/", "other.test", 404),
        ("http://{host}/admin", "{host}", 401),
        ("http://{host}", "{host}", 401),
        ("http://user@{host}/public/", "{host}", 400),
        ("http://evil.test\\@{host}/public/", "{host}", 400),
        ("ftp://{host}/public/", "{host}", 400),
        ("{host}", "{host}", 400),
        ("public/", "{host}", 400),
        ("*", "{host}", 400),
        ("?x", "{host}", 400),
    ] {
        let message = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");

        let exchange = send(&house, &message).await;

        assert_eq!(exchange.statuses(), [expected], "{target}: {:?}", exchange.responses);
    }
    let options =
        send(&house, "OPTIONS * HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").await;
    assert_eq!(options.statuses(), [400]);
    assert_eq!(upstream.count("HTTP/1.1\r\n"), 1, "{:?}", upstream.received());
}

/// R13, J10: an application that answers before it has read is heard, and its connection is not used again.
#[tokio::test]
async fn j10_an_answer_before_the_end_of_a_body_is_passed_on() {
    let (house, upstream) = with_upstream(Script::AnswerAndClose(
        b"HTTP/1.1 413 Payload Too Large\r\ncontent-length: 3\r\nconnection: close\r\n\r\nbig",
    ))
    .await;
    let mut line = raw::Line::to(house.gate.address()).await;
    line.says(format!(
        "POST /public/up HTTP/1.1\r\nHost: {}\r\nContent-Length: 1073741824\r\n\r\n",
        house.host()
    ))
    .await;
    line.says(vec![b'x'; 64 * 1024]).await;

    let early = line.hears().await;

    assert_eq!((early.status, early.text()), (413, "big".to_owned()));
    let next =
        send(&house, "GET /public/next HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")
            .await;
    assert_eq!(next.statuses(), [413]);
    assert_eq!(upstream.count("GET /public/next"), 1);
}

/// J14: nobody is led to HTTP/2 behind the gate's back.
#[tokio::test]
async fn j14_a_request_to_switch_to_http2_is_not_passed_on() {
    let (house, upstream) = with_upstream(Script::Answer(OK)).await;

    let message = "GET /public/ HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\
                   HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n\r\n";
    let exchange = send(&house, message).await;

    assert!(!exchange.statuses().contains(&101), "{:?}", exchange.responses);
    assert_eq!(
        upstream.count("h2c") + upstream.count("HTTP2-Settings") + upstream.count("http2-settings"),
        0
    );
}

/// F1: somebody else's callback signs nobody in.
#[tokio::test]
async fn f1_a_callback_in_a_browser_that_began_nothing_is_refused() {
    let house = House::open().await;
    let attacker = house.visitor();
    let callback = attacker.comes_back_as("eve", "/").await;
    let target = &callback.as_str()[house.gate.url().len()..];

    let message = format!(
        "GET {target} HTTP/1.1\r\nHost: {{host}}\r\nAccept: text/html\r\nConnection: close\r\n\r\n"
    );
    let exchange = send(&house, &message).await;

    assert_eq!(exchange.statuses(), [400]);
    assert_eq!(exchange.responses[0].header("set-cookie"), None);
    assert_eq!(house.provider.count("/token"), 0);
}

/// H2: a cookie is what it was made for.
#[tokio::test]
async fn h2_a_login_under_the_name_of_a_session_is_none() {
    let (house, upstream) = with_upstream(Script::Answer(OK)).await;
    let visitor = house.visitor();
    visitor.opens("/").await;
    let (_, login) =
        visitor.cookies().into_iter().find(|(name, _)| name.contains("login")).expect("a login");

    let message = format!(
        "GET / HTTP/1.1\r\nHost: {{host}}\r\nCookie: lychgate={login}\r\nConnection: close\r\n\r\n"
    );
    let exchange = send(&house, &message).await;

    assert_eq!(exchange.statuses(), [401]);
    assert_eq!(upstream.received(), [] as [&str; 0]);
}

/// H2: nor is a session of one host one of another, though the key is the same.
#[tokio::test]
async fn h2_a_session_of_one_host_is_none_on_another() {
    let upstream = Upstream::start(Script::Answer(OK)).await;
    let address = upstream.address();
    let house = House::planned(|plan| {
        let port = plan.port;
        plan.set(&format!(
            "[routes.wiki]\nurl = \"http://wiki.localhost:{port}\"\nupstream = \"http://{address}\"\nallow = [\"authenticated\"]"
        ));
    })
    .await;
    let session = house.session_of("bob").await;

    let message = format!(
        "GET / HTTP/1.1\r\nHost: wiki.{}\r\nCookie: {session}\r\nConnection: close\r\n\r\n",
        house.host().trim_start_matches("app.")
    );
    let exchange = send(&house, &message).await;

    assert_eq!(exchange.statuses(), [401]);
    assert_eq!(upstream.received(), [] as [&str; 0]);
}

/// I: an application that clears everything that it can leaves our session, and whatever else it wants cleared is.
#[tokio::test]
async fn what_an_application_clears_is_not_our_session() {
    let answer = b"HTTP/1.1 200 OK\r\nclear-site-data: \"cache\", \"cookies\"\r\n\
                   Clear-Site-Data: \"storage\"\r\ncontent-length: 2\r\n\r\nok";
    let (house, _upstream) = with_upstream(Script::Answer(answer)).await;

    let message = "GET /public/a HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n";
    let exchange = send(&house, message).await;

    assert_eq!(exchange.statuses(), [200]);
    assert_eq!(exchange.responses[0].header("clear-site-data"), Some("\"cache\", \"storage\""));
}
