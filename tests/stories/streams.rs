//! What flows: WebSockets, events, and bodies that are larger than memory should be.

use std::time::{Duration, Instant};

use futures_util::{SinkExt as _, StreamExt as _, future};
use http::{Method, StatusCode};
use lychgate_tests::cast::house::House;
use lychgate_tests::cast::raw;
use lychgate_tests::cast::upstream::{Script, Upstream};
use lychgate_tests::cast::visitor::Visitor;
use sha2::{Digest as _, Sha256};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

/// Opens a WebSocket at the application.
async fn web_socket(
    house: &House,
    headers: &[(&'static str, &str)],
) -> Result<WebSocketStream<TcpStream>, tungstenite::Error> {
    let mut request = format!("ws://{}/ws", house.host()).into_client_request()?;
    for (name, value) in headers {
        request.headers_mut().insert(*name, value.parse().expect("a header"));
    }
    let stream = TcpStream::connect(house.gate.address()).await?;
    client_async(request, stream).await.map(|(socket, _)| socket)
}

/// A signed-in person's messages come back, of every size and kind.
#[tokio::test]
async fn messages_go_through_a_web_socket_and_come_back() {
    let house = House::open().await;
    let session = house.session_of("bob").await;
    let mut socket = web_socket(&house, &[("cookie", &session)]).await.expect("a handshake");

    for message in [
        Message::text("hello"),
        Message::binary(vec![7; 100_000]),
        Message::text("\u{1f511}".repeat(1000)),
        Message::text(""),
    ] {
        socket.send(message.clone()).await.expect("it is sent");
        let returned = socket.next().await.expect("an answer").expect("a message");
        assert_eq!(returned, message);
    }
    socket.close(None).await.expect("it is closed");
    while let Some(Ok(_)) = socket.next().await {}

    let request =
        house.application.requests().into_iter().find(|it| it.path == "/ws").expect("it arrived");
    assert_eq!(request.header("x-forwarded-user"), Some("bob"));
    assert_eq!(request.header("cookie"), None);
}

/// E8: without a session there is no handshake, and the application hears nothing.
#[tokio::test]
async fn a_web_socket_without_a_session_is_refused_before_the_application_hears_of_it() {
    let upstream = Upstream::start(Script::Silence).await;
    let address = upstream.address();
    let house = House::planned(|plan| plan.upstream(address)).await;
    for headers in [&[][..], &[("cookie", "lychgate=nonsense")], &[("origin", "https://evil.test")]]
    {
        let refused = web_socket(&house, headers).await;

        match refused {
            Err(tungstenite::Error::Http(response)) => {
                assert_eq!(response.status(), 401, "{headers:?}")
            }
            other => panic!("{headers:?}: {:?}", other.map(|_| "a handshake")),
        }
    }
    assert_eq!(upstream.received(), [] as [&str; 0]);
}

/// E8, ASVS 4.4.2: a page of another site that is open in a signed-in browser gets no WebSocket in that person's name, and
/// the application hears nothing of it. The application's own pages, those that the route lists and programs do.
#[tokio::test]
async fn a_page_of_another_site_opens_no_web_socket_with_somebodys_session() {
    let house =
        House::with("[routes.app]\nwebsocket_origins = [\"https://portal.example.com\"]").await;
    let session = house.session_of("bob").await;
    let own = format!("http://{}", house.host());

    for origin in ["https://evil.test", "null", "http://app.localhost", &format!("{own}.evil.test")]
    {
        let refused = web_socket(&house, &[("cookie", &session), ("origin", origin)]).await;
        match refused {
            Err(tungstenite::Error::Http(response)) => {
                assert_eq!(response.status(), 403, "{origin}");
                let body = String::from_utf8_lossy(response.body().as_deref().unwrap_or_default());
                assert!(body.contains("websocket_origin_refused"), "{origin}: {body}");
            }
            other => panic!("{origin}: {:?}", other.map(|_| "a handshake")),
        }
    }
    assert!(house.application.requests().iter().all(|request| request.path != "/ws"));

    for headers in [
        &[("cookie", session.as_str())][..],
        &[("cookie", &session), ("origin", &own)],
        &[("cookie", &session), ("origin", "https://portal.example.com")],
    ] {
        let mut socket = web_socket(&house, headers).await.expect("a handshake");
        socket.send(Message::text("hello")).await.expect("it is sent");
        let returned = socket.next().await.expect("an answer").expect("a message");
        assert_eq!(returned, Message::text("hello"), "{headers:?}");
    }
}

/// A handshake that is answered at once never loses the first message behind it, however often it is done.
#[tokio::test]
async fn two_hundred_quick_handshakes_lose_no_tunnel() {
    let house = House::open().await;
    let session = house.session_of("bob").await;
    for round in 0..20 {
        let tunnels = (0..10).map(async |number| {
            let mut socket =
                web_socket(&house, &[("cookie", &session)]).await.expect("a handshake");
            let message = Message::text(format!("{round}-{number}"));
            socket.send(message.clone()).await.expect("it is sent");
            assert_eq!(socket.next().await.expect("an answer").expect("a message"), message);
        });

        future::join_all(tunnels).await;
    }
}

/// What comes from the application with its 101, in one piece, is not lost.
#[tokio::test]
async fn what_an_application_says_right_after_switching_is_heard() {
    let upstream = Upstream::start(Script::Answer(
        b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
          sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n\x81\x05hello",
    ))
    .await;
    let address = upstream.address();
    let house = House::planned(|plan| plan.upstream(address)).await;
    let mut line = raw::Line::to(house.gate.address()).await;

    line.says(format!(
        "GET /public/ws HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        house.host()
    ))
    .await;
    let heard = line.hears_part("hello").await;

    assert!(heard.starts_with("HTTP/1.1 101 "), "{heard}");
    let head = heard.to_ascii_lowercase();
    assert!(
        head.contains("\r\nupgrade: websocket\r\n") && head.contains("\r\nconnection: upgrade\r\n"),
        "{heard}"
    );
    line.says(b"\x81\x05world").await;
    upstream.hears("world").await;
}

/// R17: events are passed on as they come, in both versions of HTTP.
#[tokio::test]
async fn the_first_event_arrives_before_the_last_was_sent() {
    let house = House::open().await;
    let bob = house.signed_in("bob").await;
    let over_http2 = Visitor::over_http2(house.gate.url(), &[]);
    over_http2.takes_cookie("lychgate", &bob.cookie("lychgate").expect("a session"));
    for visitor in [&bob, &over_http2] {
        let url = visitor.url("/stream?n=4");
        let mut response = visitor
            .request(Method::GET, &url, &[("accept", "text/event-stream")])
            .send()
            .await
            .expect("an answer");
        let mut arrivals: Vec<(Instant, String)> = Vec::new();
        while let Some(piece) = response.chunk().await.expect("a stream") {
            arrivals.push((Instant::now(), String::from_utf8_lossy(&piece).into_owned()));
        }

        let when =
            |data: &str| arrivals.iter().find(|(_, text)| text.contains(data)).expect(data).0;
        // The application sends them 300 ms apart.
        let between = when("data: 4") - when("data: 1");
        assert!(between > Duration::from_millis(500), "{between:?}: {arrivals:?}");
    }
}

const LARGE: usize = 64 << 20;

/// R18: a large body goes through in both directions, and memory does not grow with it.
#[tokio::test]
async fn a_large_body_goes_through_and_leaves_memory_alone() {
    let house = House::open().await;
    let bob = house.signed_in("bob").await;
    // What a first request of this size leaves behind is not growth.
    bob.fetches("/download?bytes=1048576").await;
    let before = house.gate.resident();

    let down = bob.fetches(&format!("/download?bytes={LARGE}")).await;
    let after_download = house.gate.resident();
    let body = vec![b'u'; LARGE];
    let digest: String = Sha256::digest(&body).iter().map(|byte| format!("{byte:02x}")).collect();
    let up = bob.sends(Method::POST, "/upload", &[], body).await.json();
    let after_upload = house.gate.resident();

    assert_eq!((down.status, down.body.len()), (StatusCode::OK, LARGE));
    assert!(down.body.iter().all(|byte| *byte == b'x'));
    assert_eq!(
        (up["bytes"].as_u64(), up["sha256"].as_str()),
        (Some(LARGE as u64), Some(digest.as_str()))
    );
    for after in [after_download, after_upload] {
        assert!(after < before + (40 << 20), "{before} bytes before, {after} after");
    }
}

/// Bodies of unknown length are passed on as they are, in both versions of HTTP.
#[tokio::test]
async fn a_body_of_unknown_length_arrives_whole() {
    let house = House::open().await;
    let chunk = format!("2710\r\n{}\r\n", "z".repeat(10_000));
    let message = format!(
        "POST /public/up HTTP/1.1\r\nHost: {}\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n{}0\r\n\r\n",
        house.host(),
        chunk.repeat(30)
    );
    let first = raw::send(house.gate.address(), message).await;
    let over_http2 = Visitor::over_http2(house.gate.url(), &[]);
    let pieces =
        futures_util::stream::iter((0..30).map(|_| Ok::<_, std::io::Error>(vec![b'z'; 10_000])));
    let body = reqwest::Body::wrap_stream(pieces);
    let url = over_http2.url("/public/up");
    let second =
        over_http2.request(Method::POST, &url, &[]).body(body).send().await.expect("an answer");
    let second: serde_json::Value =
        serde_json::from_slice(&second.bytes().await.expect("a body")).expect("JSON");

    assert_eq!(first.statuses(), [200]);
    let first: serde_json::Value = serde_json::from_slice(&first.responses[0].body).expect("JSON");
    assert_eq!((&first["body_bytes"], &second["body_bytes"]), (&300_000.into(), &300_000.into()));
    assert_eq!(first["body_sha256"], second["body_sha256"]);
}

/// A client that leaves in the middle takes its request along, and nothing else.
#[tokio::test]
async fn somebody_who_leaves_in_the_middle_takes_nobody_along() {
    let house = House::open().await;
    let bob = house.signed_in("bob").await;
    for _ in 0..20 {
        let url = bob.url(&format!("/download?bytes={LARGE}"));
        let mut response = bob.request(Method::GET, &url, &[]).send().await.expect("an answer");
        response.chunk().await.expect("it begins");
    }

    assert_eq!(bob.fetches("/x").await.status, 200);
    assert!(!house.gate.output().contains("panicked"), "{}", house.gate.output());
}

/// Several requests over one connection of HTTP/2 do not wait for each other.
#[tokio::test]
async fn requests_over_one_connection_do_not_wait_for_each_other() {
    let house = House::open().await;
    let visitor = Visitor::over_http2(house.gate.url(), &[]);
    visitor.takes_cookie(
        "lychgate",
        &house.signed_in("bob").await.cookie("lychgate").expect("a session"),
    );
    let url = visitor.url("/stream?n=100");
    let mut slow = visitor.request(Method::GET, &url, &[]).send().await.expect("an answer");
    slow.chunk().await.expect("it begins");

    let quick = (0..50).map(async |number| visitor.fetches(&format!("/quick/{number}")).await);
    let quick = future::join_all(quick).await;

    assert!(quick.iter().all(|answer| answer.status == 200));
}
