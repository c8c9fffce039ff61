//! Both ends of the gate: the connections that it makes to applications, and those that it takes from clients.

use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;
use std::time::{Duration, Instant};
use std::{fs, io};

use futures_util::{SinkExt as _, StreamExt as _, future};
use http::{Method, StatusCode};
use lychgate_demo::echo::Echo;
use lychgate_tests::cast::gate::{Gate, PATIENCE, free_port, lychgate};
use lychgate_tests::cast::raw::{self, End, Line};
use lychgate_tests::cast::scratch::Scratch;
use lychgate_tests::cast::upstream::{Authority, Script, Upstream, Validity};
use lychgate_tests::cast::visitor::Visitor;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use rustls::version::{TLS12, TLS13};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::{interval, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::client_async;
use tokio_tungstenite::tungstenite::Message;

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// An application may be behind a socket file, WebSockets included.
#[tokio::test]
async fn an_application_behind_a_socket_file_is_reached() {
    let (echo, scratch) = (echo().await, Scratch::new());
    let path = scratch.file("app.sock");
    let upstream = Upstream::behind_file(&path, Script::PassOn(echo.address()));
    let gate = open(scratch, &format!("addresses = [\"unix:{}\"]", path.display()), "").await;
    let visitor = visitor(&gate);

    let page = visitor.fetches("/x?y=1").await;
    let upload = visitor.sends(Method::POST, "/upload", &[], vec![7; 100_000]).await;
    let stream = TcpStream::connect(gate.address()).await.expect("it listens");
    let url = format!("{}/ws", gate.url().replace("http:", "ws:"));
    let (mut socket, _) = client_async(url, stream).await.expect("a handshake");
    socket.send(Message::text("hello")).await.expect("it is sent");
    let returned = socket.next().await.expect("an answer").expect("a message");

    assert_eq!((page.status, page.json()["query"].as_str()), (StatusCode::OK, Some("y=1")));
    assert_eq!(upload.json()["bytes"], 100_000);
    assert_eq!(returned, Message::text("hello"));
    assert_eq!(upstream.count("GET /x?y=1 HTTP/1.1\r\n"), 1);
}

/// A name, an address, and the name that the operator wrote instead: what the certificate is for counts.
#[tokio::test]
async fn an_application_over_tls_is_reached_when_its_authority_is_known() {
    let (echo, authority) = (echo().await, Authority::new());
    for (certified, host, tls) in [
        ("localhost", "localhost", ""),
        ("127.0.0.1", "127.0.0.1", ""),
        ("app.internal", "127.0.0.1", "tls.server_name = \"app.internal\""),
        ("app.internal", "localhost", "tls.server_name = \"app.internal\""),
    ] {
        let tls_server = authority.certifies(certified, Validity::Now);
        let upstream = Upstream::over_tls(tls_server, Script::PassOn(echo.address())).await;
        let scratch = Scratch::new();
        scratch.write("ca.pem", authority.pem());
        let place = https(host, &upstream);
        let gate = open(scratch, &format!("{place}\ntls.ca = \"ca.pem\"\n{tls}"), "").await;

        let page = visitor(&gate).fetches("/x").await;
        let upload = visitor(&gate).sends(Method::PUT, "/upload", &[], vec![7; 100_000]).await;

        assert_eq!(page.status, 200, "{certified} at {host}: {}", gate.output());
        assert_eq!(upload.json()["bytes"], 100_000, "{certified} at {host}");
        assert_eq!(upstream.count("GET /x HTTP/1.1\r\n"), 1, "{certified} at {host}");
    }
}

/// L5: whoever cannot prove to be the application is told nothing, not even what was asked for.
#[tokio::test]
async fn a_certificate_that_proves_nothing_keeps_the_request_at_home() {
    let (trusted, unknown) = (Authority::new(), Authority::new());
    for (what, issuer, certified, validity, tls) in [
        ("another name", &trusted, "other.internal", Validity::Now, ""),
        ("an unknown authority", &unknown, "localhost", Validity::Now, ""),
        ("expired", &trusted, "localhost", Validity::Past, ""),
        ("of tomorrow", &trusted, "localhost", Validity::Future, ""),
        (
            "the host, where another name is asked for",
            &trusted,
            "localhost",
            Validity::Now,
            "tls.server_name = \"app.internal\"",
        ),
    ] {
        let upstream =
            Upstream::over_tls(issuer.certifies(certified, validity), Script::Answer(OK)).await;
        let scratch = Scratch::new();
        scratch.write("ca.pem", trusted.pem());
        let place = https("localhost", &upstream);
        let gate = open(scratch, &format!("{place}\ntls.ca = \"ca.pem\"\n{tls}"), "").await;

        let answer = visitor(&gate).fetches("/secret").await;
        let upload = visitor(&gate).sends(Method::POST, "/", &[], vec![7; 1000]).await;
        let page = visitor(&gate).opens("/secret").await;

        for answer in [answer, upload, page] {
            assert_eq!(answer.status, StatusCode::BAD_GATEWAY, "{what}");
            assert_eq!(answer.reason(), "upstream_unreachable", "{what}");
        }
        assert!(!upstream.received().is_empty(), "{what}: it was tried");
        assert_eq!(upstream.received().concat(), "", "{what}");
    }
}

/// L5: a connection that one authority vouched for is not used where another one has to.
#[tokio::test]
async fn two_upstreams_at_one_address_do_not_share_a_connection() {
    let (trusted, unknown) = (Authority::new(), Authority::new());
    let tls = trusted.certifies("localhost", Validity::Now);
    let upstream = Upstream::over_tls(tls, Script::Answer(OK)).await;
    let place = https("localhost", &upstream);
    let scratch = Scratch::new();
    scratch.write("trusted.pem", trusted.pem());
    scratch.write("unknown.pem", unknown.pem());
    let gate = open(
        scratch,
        &format!("{place}\ntls.ca = \"trusted.pem\""),
        &format!(
            "[upstreams.suspicious]\n{place}\ntls.ca = \"unknown.pem\"\n\
             [routes.suspicious]\nurl = \"ORIGIN/suspicious\"\nupstream = \"suspicious\"\npublic = true\n"
        ),
    )
    .await;
    let visitor = visitor(&gate);

    for _ in 0..5 {
        let good = visitor.fetches("/x").await;
        let bad = visitor.fetches("/suspicious").await;

        assert_eq!((good.status, bad.status), (StatusCode::OK, StatusCode::BAD_GATEWAY));
    }
    assert_eq!(upstream.count("GET /x "), 5);
    assert_eq!(upstream.count("suspicious"), 0);
}

/// HTTP/2, in plain text because both know, and with TLS because both agree.
#[tokio::test]
async fn an_application_is_spoken_to_over_http2() {
    let (echo, authority) = (echo().await, Authority::new());
    let pass_on = Script::PassOn(echo.address());
    let mut tls = authority.certifies("localhost", Validity::Now);
    tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let plain = Upstream::start(pass_on).await;
    let secure = Upstream::over_tls(tls, pass_on).await;
    let places = [
        (format!("addresses = [\"http://{}\"]", plain.address()), plain),
        (format!("{}\ntls.ca = \"ca.pem\"", https("localhost", &secure)), secure),
    ];
    for (place, upstream) in places {
        let scratch = Scratch::new();
        scratch.write("ca.pem", authority.pem());
        let gate = open(scratch, &format!("{place}\nhttp2 = true"), "").await;
        let visitor = visitor(&gate);

        let page = visitor.fetches("/x?y=1").await;
        let upload = visitor.sends(Method::POST, "/upload", &[], vec![7; 1_000_000]).await;
        let empty = visitor.sends(Method::POST, "/upload", &[], Vec::new()).await;
        let url = visitor.url("/stream?n=100");
        let mut slow = visitor.request(Method::GET, &url, &[]).send().await.expect("an answer");
        slow.chunk().await.expect("it begins");
        let quick = (0..20).map(async |number| visitor.fetches(&format!("/q/{number}")).await);
        let quick = future::join_all(quick).await;

        assert_eq!((page.status, page.json()["query"].as_str()), (StatusCode::OK, Some("y=1")));
        assert_eq!(upload.json()["bytes"], 1_000_000);
        assert_eq!(empty.json()["bytes"], 0);
        assert!(quick.iter().all(|answer| answer.status == 200));
        let received = upstream.received();
        assert!(received.iter().all(|bytes| bytes.starts_with("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")));
    }
}

/// An application that declines HTTP/2 is spoken to as it wants.
#[tokio::test]
async fn http2_is_an_offer_where_there_is_tls() {
    let (echo, authority) = (echo().await, Authority::new());
    let mut tls = authority.certifies("localhost", Validity::Now);
    tls.alpn_protocols = vec![b"http/1.1".to_vec()];
    let upstream = Upstream::over_tls(tls, Script::PassOn(echo.address())).await;
    let scratch = Scratch::new();
    scratch.write("ca.pem", authority.pem());
    let place = https("localhost", &upstream);
    let gate = open(scratch, &format!("{place}\ntls.ca = \"ca.pem\"\nhttp2 = true"), "").await;

    let page = visitor(&gate).fetches("/x").await;

    assert_eq!(page.status, 200);
    assert_eq!(upstream.count("GET /x HTTP/1.1\r\n"), 1);
}

/// R11: nothing was sent to a copy that refuses the connection, so another one gets the request whatever it is.
#[tokio::test]
async fn a_copy_that_is_down_is_passed_over() {
    let echo = echo().await;
    let copies = format!(
        "addresses = [\"http://127.0.0.1:{}\", \"http://{}\"]",
        free_port(),
        echo.address()
    );
    let gate = open(Scratch::new(), &copies, "").await;
    let visitor = visitor(&gate);
    for method in [Method::GET, Method::POST, Method::DELETE] {
        for round in 0..6 {
            let answer = visitor.sends(method.clone(), "/upload", &[], vec![7; 200_000]).await;

            assert_eq!(answer.status, 200, "{method} {round}: {}", answer.text());
            assert_eq!(answer.json()["bytes"], 200_000, "{method} {round}");
        }
    }
    assert_eq!(echo.count("/upload"), 18, "each arrived once");
}

/// R11: when nobody is there, that is said.
#[tokio::test]
async fn an_application_without_a_living_copy_is_unreachable() {
    let copies = format!(
        "addresses = [\"http://127.0.0.1:{}\", \"http://127.0.0.1:{}\", \"unix:/nonexistent/app.sock\"]",
        free_port(),
        free_port()
    );
    let gate = open(Scratch::new(), &copies, "").await;
    let visitor = visitor(&gate);
    for method in [Method::GET, Method::POST] {
        let answer = visitor.sends(method, "/x", &[], vec![7; 1000]).await;

        assert_eq!(answer.status, StatusCode::BAD_GATEWAY);
        assert_eq!(answer.reason(), "upstream_unreachable");
    }
}

/// R14: a connection that the application has closed in the meantime is not the visitor's problem.
#[tokio::test]
async fn an_application_may_close_a_connection_that_nobody_uses() {
    let upstream = Upstream::start(Script::AnswerAndClose(OK)).await;
    let gate = before(&upstream, "").await;
    let visitor = visitor(&gate);
    for round in 0..50 {
        let answer = visitor.fetches("/x").await;

        assert_eq!((answer.status, answer.text()), (StatusCode::OK, "ok".to_owned()), "{round}");
    }
}

/// R14: when it closes just as the next request comes, that one is sent again, unless it may do something twice.
#[tokio::test]
async fn what_meets_a_closing_connection_is_repeated_if_it_may_be() {
    let upstream = Upstream::start(Script::AnswerOnce(OK)).await;
    let gate = before(&upstream, "").await;
    let visitor = visitor(&gate);
    for (method, expected, sent) in [
        (Method::GET, StatusCode::OK, 2),
        (Method::PUT, StatusCode::OK, 2),
        (Method::POST, StatusCode::BAD_GATEWAY, 1),
    ] {
        // Whatever connection there was, it is used up now, and a new one is at hand.
        assert_eq!(visitor.fetches("/first").await.status, 200);
        let fresh = upstream.received().last().is_some_and(|it| it.matches("/first").count() == 1);
        let place = format!("/next-{method}");

        let answer = visitor.asks(method.clone(), &place, &[]).await;

        assert!(fresh, "{:?}", upstream.received());
        assert_eq!(answer.status, expected, "{method}");
        assert_eq!(upstream.count(&format!("{method} {place} ")), sent, "{method}");
    }
}

/// R11: what is no answer is not passed on.
#[tokio::test]
async fn an_answer_that_is_none_is_said_to_be_none() {
    let endless = format!("HTTP/1.1 200 OK\r\n{}", "x-more: and more\r\n".repeat(200_000));
    let endless: &'static str = endless.leak();
    for (what, answer) in [
        ("nothing", &b""[..]),
        ("no HTTP", b"220 mail.example.com ESMTP\r\n\r\n"),
        ("no status", b"HTTP/1.1\r\n\r\n"),
        ("a status of letters", b"HTTP/1.1 abc OK\r\n\r\n"),
        ("half a head", b"HTTP/1.1 200 OK\r\ncontent-le"),
        ("an endless head", endless.as_bytes()),
        ("a name with a space", b"HTTP/1.1 200 OK\r\nbad name: x\r\ncontent-length: 0\r\n\r\n"),
        ("two lengths", b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nok!"),
        ("two in a list", b"HTTP/1.1 200 OK\r\ncontent-length: 2, 3\r\n\r\nok!"),
        ("a length of letters", b"HTTP/1.1 200 OK\r\ncontent-length: two\r\n\r\nok"),
        ("a negative length", b"HTTP/1.1 200 OK\r\ncontent-length: -2\r\n\r\nok"),
        (
            "a protocol that nobody asked for",
            b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n",
        ),
    ] {
        for script in [Script::AnswerAndClose(answer), Script::AnswerAndReset(answer)] {
            let upstream = Upstream::start(script).await;
            let gate = before(&upstream, "").await;

            let answer = visitor(&gate).fetches("/x").await;

            assert_eq!(answer.status, StatusCode::BAD_GATEWAY, "{what}: {}", answer.text());
            assert_eq!(answer.reason(), "upstream_unreachable", "{what}");
        }
    }
}

/// R11: of two framings one is passed on, so that nobody before us believes the other.
#[tokio::test]
async fn an_answer_with_two_framings_is_passed_on_with_one() {
    for answer in [
        &b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\ntransfer-encoding: chunked\r\n\r\n\
          2\r\nok\r\n0\r\n\r\n"[..],
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ncontent-length: 1\r\n\r\n\
          2\r\nok\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2, 2\r\n\r\nok",
    ] {
        let upstream = Upstream::start(Script::AnswerAndClose(answer)).await;
        let gate = before(&upstream, "").await;

        let exchange = raw::send(gate.address(), get(&gate, "/x")).await;

        let [answer] = &exchange.responses[..] else { panic!("{exchange:?}") };
        let frames = |name: &str| ["content-length", "transfer-encoding"].contains(&name);
        let framings = answer.headers.iter().filter(|(name, _)| frames(name));
        assert_eq!(framings.count(), 1, "{answer:?}");
        let whole = (answer.status, answer.text()) == (200, "ok".to_owned());
        assert!(whole || answer.status == 502, "{answer:?}");
    }
}

/// R12: half an answer never looks like a whole one, whichever version of HTTP the client speaks.
#[tokio::test]
async fn an_answer_that_breaks_off_is_seen_to_break_off() {
    for (what, answer) in [
        ("a length", &b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nonly this"[..]),
        ("a chunk", b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n64\r\nonly this"),
        ("chunks", b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n9\r\nonly this\r\n"),
        (
            "no chunk",
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n9\r\nonly this\r\nzz\r\n",
        ),
        (
            "the end",
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n9\r\nonly this\r\n0\r\n",
        ),
    ] {
        for script in [Script::AnswerAndClose(answer), Script::AnswerAndReset(answer)] {
            let upstream = Upstream::start(script).await;
            let gate = before(&upstream, "").await;

            let exchange = raw::send(
                gate.address(),
                format!("GET /x HTTP/1.1\r\nHost: {}\r\n\r\n", host(&gate)),
            )
            .await;
            let over_http2 = Visitor::over_http2(gate.url(), &[]);
            let url = over_http2.url("/x");
            let response = over_http2.request(Method::GET, &url, &[]).send().await;
            let whole = match response {
                Ok(response) if response.status() == 200 => response.bytes().await.is_ok(),
                Ok(_) | Err(_) => false,
            };

            assert_eq!(exchange.end, End::Closed, "{what} {script:?}");
            assert!(!exchange.statuses().contains(&200), "{what} {script:?}: {exchange:?}");
            assert!(!whole, "{what} {script:?}");
        }
    }
}

/// R12: an answer that ends with its connection has no other end, but a reset is none.
#[tokio::test]
async fn a_reset_is_no_end_of_an_answer() {
    let answer = b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nonly this";
    for (script, expected) in
        [(Script::AnswerAndClose(answer), vec![200]), (Script::AnswerAndReset(answer), Vec::new())]
    {
        let upstream = Upstream::start(script).await;
        let gate = before(&upstream, "").await;
        let request =
            format!("GET /x HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", host(&gate));

        let mut statuses = raw::send(gate.address(), request).await.statuses();
        // A reset may come before anything was read.
        statuses.retain(|status| *status != 502);

        assert_eq!(statuses, expected, "{script:?}");
    }
}

/// R11, R12: an application that falls silent in the middle of its answer is not waited for, and the log says whose
/// silence it was.
#[tokio::test]
async fn an_application_that_falls_silent_in_its_answer_is_cut_off() {
    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nonly this";
    let upstream = Upstream::start(Script::Answer(answer)).await;
    let patience = "timeouts = { response = \"300ms\" }";
    let addresses = format!("addresses = [\"http://{}\"]\n{patience}", upstream.address());
    let gate = open(Scratch::new(), &addresses, "").await;

    let exchange = raw::send(gate.address(), get(&gate, "/x")).await;

    assert_eq!(exchange.end, End::Closed, "{exchange:?}");
    assert!(!exchange.statuses().contains(&200), "{exchange:?}");
    let line = gate.line("the access line", |line| line["path"] == "/x").await;
    assert_eq!(line["error"], "the upstream was silent for too long", "{line}");
    assert_eq!(line["upstream_status"], 200, "{line}");
}

/// R19, K3: a header that drips is cut off in time, and those who come meanwhile do not notice.
#[tokio::test]
async fn headers_that_drip_are_cut_off_and_harm_nobody() {
    let upstream = Upstream::start(Script::Answer(OK)).await;
    let limits = "limits = { connections = 8, header_timeout = \"1s\" }";
    let gate = before(&upstream, limits).await;
    let drips = async || {
        let mut stream = TcpStream::connect(gate.address()).await.expect("it listens");
        let began = Instant::now();
        let (mut pace, mut answer) = (interval(Duration::from_millis(50)), Vec::new());
        let header = get(&gate, "/drip").into_bytes();
        for byte in header.iter().cycle() {
            pace.tick().await;
            if stream.write_all(&[*byte]).await.is_err() {
                break;
            }
            match timeout(Duration::ZERO, stream.read_buf(&mut answer)).await {
                Ok(Ok(0) | Err(_)) => break,
                Ok(Ok(_)) | Err(_) => assert!(began.elapsed() < PATIENCE, "it drips on"),
            }
        }
        (began.elapsed(), String::from_utf8_lossy(&answer).into_owned())
    };
    let visits = async {
        let (visitor, mut statuses) = (visitor(&gate), Vec::new());
        for number in 0..20 {
            statuses.push(visitor.fetches(&format!("/{number}")).await.status.as_u16());
        }
        statuses
    };

    let (dripped, visits) = tokio::join!(future::join_all((0..6).map(|_| drips())), visits);

    assert_eq!(visits, [200; 20]);
    assert_eq!(upstream.count("/drip"), 0);
    for (lasted, answer) in dripped {
        assert!(lasted >= Duration::from_millis(900), "{lasted:?}");
        assert!(lasted < Duration::from_secs(10), "{lasted:?}: the limit is 1 s");
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 408 "), "{answer}");
    }
}

/// R19, K3: a connection that nobody uses is closed, without a word.
#[tokio::test]
async fn an_idle_connection_is_closed() {
    let upstream = Upstream::start(Script::Answer(OK)).await;
    let gate = before(&upstream, "limits.idle_timeout = \"1s\"").await;
    let mut line = Line::to(gate.address()).await;
    line.says(get(&gate, "/x")).await;
    assert_eq!(line.hears().await.status, 200);
    let began = Instant::now();

    let exchange = line.rest().await;

    assert_eq!((exchange.statuses(), exchange.end), (Vec::new(), End::Closed));
    let idle = began.elapsed();
    assert!(idle >= Duration::from_millis(900) && idle < Duration::from_secs(10), "{idle:?}");
}

/// R31, R-20: what a process that died left behind is in nobody's way; a gate at work is.
#[tokio::test]
async fn a_stale_socket_file_is_replaced_and_a_live_one_is_not() {
    let upstream = Upstream::start(Script::Answer(OK)).await;
    let place = format!("addresses = [\"http://{}\"]", upstream.address());
    let scratch = Scratch::new();
    let path = scratch.file("gate.sock");
    drop(std::os::unix::net::UnixListener::bind(&path).expect("a socket"));
    assert!(path.exists(), "nobody takes it away");
    let listener =
        format!("[listeners.socket]\naddress = \"unix:{}\"\nmode = \"0600\"\n", path.display());
    let mut gate = open(scratch, &place, &listener).await;

    let second = Scratch::new();
    let file = second.write("lychgate.toml", configuration(&place, &listener));
    let arguments = ["run", "-c", file.to_str().expect("a path of text")].map(str::to_owned);
    let refused = tokio::task::spawn_blocking(move || lychgate(&second, arguments)).await;
    let refused = refused.expect("it ran");

    assert_eq!(refused.code, Some(1), "{}", refused.stderr);
    assert!(refused.stderr.contains(&path.display().to_string()), "{}", refused.stderr);
    let mut stream = UnixStream::connect(&path).await.expect("it listens");
    stream.write_all(get(&gate, "/x").as_bytes()).await.expect("it is sent");
    let mut status = [0; 15];
    stream.read_exact(&mut status).await.expect("it is answered");
    assert_eq!(&status, b"HTTP/1.1 200 OK");
    let mode = fs::metadata(&path).expect("a socket").permissions().mode() & 0o777;
    assert_eq!(mode, 0o600);
    gate.terminate().await;
    assert!(!path.exists(), "nothing is left behind");
}

/// P5: old versions are refused, and HTTP/2 is spoken with those who ask for it.
#[tokio::test]
async fn the_version_of_tls_and_the_protocol_are_agreed_on() {
    let upstream = Upstream::start(Script::Answer(OK)).await;
    let place = format!("addresses = [\"http://{}\"]", upstream.address());
    let authority = Authority::new();
    let (old, new, plain) = (free_port(), free_port(), free_port());
    let scratch = Scratch::new();
    let (certificate, key) = authority.issues("secure.test", Validity::Now);
    scratch.write("tls.crt", certificate);
    scratch.write("tls.key", key);
    let listeners = secure_listener(old, "")
        + &secure_listener(new, "tls.min_version = \"1.3\"")
        + &secure_listener(plain, "http2 = false")
        + "[routes.secure]\nurl = \"https://secure.test\"\nupstream = \"app\"\npublic = true\n";
    let _gate = open(scratch, &place, &listeners).await;
    let everything = &["h2", "http/1.1"][..];
    for (port, version, offered, expected) in [
        (old, &TLS12, everything, Ok("h2")),
        (old, &TLS13, everything, Ok("h2")),
        (old, &TLS13, &["http/1.1"], Ok("http/1.1")),
        (old, &TLS13, &[], Ok("")),
        (old, &TLS13, &["spdy/1"], Err("applicationprotocol")),
        (new, &TLS12, everything, Err("protocolversion")),
        (new, &TLS13, everything, Ok("h2")),
        (plain, &TLS13, everything, Ok("http/1.1")),
    ] {
        let agreed = shakes_hands(port, authority.client(version, offered)).await;

        match (agreed, expected) {
            (Ok(mut stream), Ok(protocol)) => {
                let agreed = stream.get_ref().1.alpn_protocol().unwrap_or_default();
                assert_eq!(agreed, protocol.as_bytes(), "{port} {version:?}");
                if protocol != "h2" {
                    let request = b"GET /x HTTP/1.1\r\nHost: secure.test\r\n\r\n";
                    stream.write_all(request).await.expect("it is sent");
                    let mut status = [0; 15];
                    stream.read_exact(&mut status).await.expect("it is answered");
                    assert_eq!(&status, b"HTTP/1.1 200 OK");
                }
            }
            (Err(error), Err(why)) => {
                assert!(error.to_string().to_lowercase().contains(why), "{error}");
            }
            (agreed, expected) => panic!("{version:?} {offered:?}: {agreed:?}, not {expected:?}"),
        }
    }

    for port in [old, new] {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await.expect("it listens");
        stream.write_all(&client_hello_of_tls_1_1()).await.expect("it is sent");
        let mut answer = Vec::new();
        let _ = timeout(PATIENCE, stream.read_to_end(&mut answer)).await.expect("it ends");

        // A fatal alert, `protocol_version` or `handshake_failure` (RFC 8446 §6.2), and nothing else.
        assert!(matches!(answer[..], [21, 3, _, 0, 2, 2, 70 | 40]), "{answer:?}");
    }
}

/// A door for those who forgot the s: the same place, the same method, and nothing for strangers.
#[tokio::test]
async fn those_who_come_without_tls_are_sent_to_the_same_place_with_it() {
    let upstream = Upstream::start(Script::Answer(OK)).await;
    let place = format!("addresses = [\"http://{}\"]", upstream.address());
    let door = free_port();
    let more = format!(
        "[listeners.door]\naddress = \"127.0.0.1:{door}\"\nredirect_to_https = true\n\
         [routes.secure]\nurl = \"https://secure.test/wiki\"\nupstream = \"app\"\npublic = true\n"
    );
    let _gate = open(Scratch::new(), &place, &more).await;
    for (method, host, target, expected) in [
        ("GET", "secure.test", "/wiki/a%20b?x=1&y=%2F", Some("/wiki/a%20b?x=1&y=%2F")),
        ("GET", "secure.test", "/elsewhere", Some("/elsewhere")),
        ("GET", "SECURE.test:80", "/", Some("/")),
        ("POST", "secure.test", "/wiki?next=//evil.test", Some("/wiki?next=//evil.test")),
        ("GET", "evil.test", "/wiki", None),
        ("GET", "secure.test.evil.test", "/wiki", None),
        ("GET", "secure.test@evil.test", "/wiki", None),
    ] {
        let request = format!(
            "{method} {target} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        );

        let exchange = raw::send(([127, 0, 0, 1], door).into(), request).await;

        let [answer] = &exchange.responses[..] else { panic!("{host}: {exchange:?}") };
        let location = expected.map(|target| format!("https://secure.test{target}"));
        assert_eq!(answer.header("location"), location.as_deref(), "{host}{target}");
        match expected {
            Some(_) => assert_eq!(answer.status, 308, "{host}{target}"),
            None => assert!([400, 404].contains(&answer.status), "{host}: {}", answer.status),
        }
    }
    assert_eq!(upstream.received(), [] as [&str; 0]);
}

/// A gate that lets everybody through to `upstream`, the body of a table. In `more`, ORIGIN is its own.
pub(crate) async fn open(scratch: Scratch, upstream: &str, more: &str) -> Gate {
    Gate::start_in(scratch, &configuration(upstream, more)).await
}

/// The same, before an application that is reached in plain text.
pub(crate) async fn before(upstream: &Upstream, more: &str) -> Gate {
    open(Scratch::new(), &format!("addresses = [\"http://{}\"]", upstream.address()), more).await
}

pub(crate) fn configuration(upstream: &str, more: &str) -> String {
    let (port, admin) = (free_port(), free_port());
    let origin = format!("http://app.localhost:{port}");
    // What begins at the top of the file has to come before every table.
    let (top, more) = if more.starts_with('[') { ("", more) } else { (more, "") };
    format!(
        "{top}\n[listeners.main]\naddress = \"127.0.0.1:{port}\"\nhttp2 = true\n\
         [upstreams.app]\n{upstream}\n\
         [routes.app]\nurl = \"{origin}\"\nupstream = \"app\"\npublic = true\n\
         [admin]\naddress = \"127.0.0.1:{admin}\"\n\
         [telemetry]\nlog = {{ level = \"debug\", format = \"json\" }}\n{more}",
    )
    .replace("ORIGIN", &origin)
}

pub(crate) fn secure_listener(port: u16, more: &str) -> String {
    format!(
        "[listeners.secure{port}]\naddress = \"127.0.0.1:{port}\"\n\
         tls.certificate = \"tls.crt\"\ntls.key = \"tls.key\"\n{more}\n"
    )
}

fn https(host: &str, upstream: &Upstream) -> String {
    format!("addresses = [\"https://{host}:{}\"]", upstream.address().port())
}

pub(crate) async fn echo() -> Echo {
    Echo::start(([127, 0, 0, 1], 0).into()).await.expect("the application starts")
}

pub(crate) fn visitor(gate: &Gate) -> Visitor {
    Visitor::of(gate.url(), &[])
}

pub(crate) fn host(gate: &Gate) -> &str {
    gate.url().trim_start_matches("http://")
}

pub(crate) fn get(gate: &Gate, target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: {}\r\n\r\n", host(gate))
}

async fn shakes_hands(port: u16, client: ClientConfig) -> io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(("127.0.0.1", port)).await?;
    let name = ServerName::try_from("secure.test").expect("a name");
    TlsConnector::from(Arc::new(client)).connect(name, stream).await
}

/// The hello of a client that knows nothing newer than TLS 1.1 (RFC 4346 §7.4.1.2).
fn client_hello_of_tls_1_1() -> Vec<u8> {
    let mut hello = vec![3, 2];
    hello.extend([7; 32]);
    // No session; one cipher suite, TLS_RSA_WITH_AES_128_CBC_SHA; no compression.
    hello.extend([0, 0, 2, 0, 47, 1, 0]);
    let length = u8::try_from(hello.len()).expect("it is short");
    [&[22, 3, 1, 0, length + 4, 1, 0, 0, length][..], &hello].concat()
}
