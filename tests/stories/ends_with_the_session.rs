//! What is under way for long ends with the session that it began with, and says so.

use std::time::{Duration, Instant};

use futures_util::{SinkExt as _, StreamExt as _};
use http::Method;
use lychgate_tests::cast::gate::{PATIENCE, lychgate};
use lychgate_tests::cast::house::House;
use lychgate_tests::cast::upstream::{Script, Upstream};
use lychgate_tests::cast::visitor::Visitor;
use rustix::process::Signal;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

pub(crate) type Socket = WebSocketStream<TcpStream>;

/// A WebSocket of this person at the application.
async fn web_socket(house: &House, visitor: &Visitor, path: &str) -> Socket {
    let cookie = visitor.cookie_header(&visitor.url(path));
    let cookie = cookie.as_deref().map(|cookie| ("cookie", cookie));
    web_socket_at(house, &format!("{}{path}", house.host()), cookie).await
}

/// A WebSocket at this host and path, with a header.
pub(crate) async fn web_socket_at(
    house: &House,
    place: &str,
    header: Option<(&'static str, &str)>,
) -> Socket {
    let mut request = format!("ws://{place}").into_client_request().expect("an address");
    if let Some((name, value)) = header {
        request.headers_mut().insert(name, value.parse().expect("a header"));
    }
    let stream = TcpStream::connect(house.gate.address()).await.expect("it listens");
    client_async(request, stream).await.expect("a handshake").0
}

pub(crate) async fn echoes(socket: &mut Socket, text: &str) -> bool {
    let message = Message::text(text.to_owned());
    socket.send(message.clone()).await.is_ok()
        && matches!(socket.next().await, Some(Ok(returned)) if returned == message)
}

/// The code and the reason with which a WebSocket is closed.
pub(crate) async fn closed(house: &House, socket: &mut Socket) -> (u16, String) {
    let closing = async {
        loop {
            match socket.next().await {
                Some(Ok(Message::Close(Some(frame)))) => {
                    return (u16::from(frame.code), frame.reason.to_string());
                }
                Some(Ok(_)) => {}
                other => panic!("closed without a word: {other:?}\n{}", house.gate.output()),
            }
        }
    };
    tokio::time::timeout(PATIENCE, closing).await.expect("it is closed")
}

async fn signs_out(house: &House, visitor: &Visitor) {
    let origin = house.gate.url();
    visitor.sends(Method::POST, "/.lychgate/logout", &[("origin", origin)], Vec::new()).await;
    assert!(!visitor.has_session());
}

/// P-23, R16: signing out closes the WebSockets of that session with 4401 and the reason, and nobody else's.
#[tokio::test]
async fn signing_out_closes_the_web_sockets_of_that_session_and_says_why() {
    let house = House::open().await;
    let (bob, alice) = (house.signed_in("bob").await, house.signed_in("alice").await);
    let mut of_bob = web_socket(&house, &bob, "/ws").await;
    let mut of_alice = web_socket(&house, &alice, "/ws").await;
    assert!(echoes(&mut of_bob, "hello").await);

    signs_out(&house, &bob).await;

    assert_eq!(closed(&house, &mut of_bob).await, (4401, "session_signed_out".to_owned()));
    assert!(matches!(of_bob.next().await, None | Some(Err(Error::ConnectionClosed))));
    assert!(echoes(&mut of_alice, "still here").await);
    let is_its = |line: &serde_json::Value| line["path"] == "/ws" && line["status"].is_u64();
    let line = house.gate.line("its access line", is_its).await;
    assert_eq!(
        (&line["decision"], &line["reason"]),
        (&"allow".into(), &"session_signed_out".into())
    );
}

/// P-23, R16: who is active elsewhere in the application does not idle out; who is not, does.
#[tokio::test]
async fn a_web_socket_idles_out_with_its_session_and_not_before() {
    let house = House::with("sessions.idle_timeout = \"3s\"").await;
    let bob = house.signed_in("bob").await;
    let mut socket = web_socket(&house, &bob, "/ws").await;

    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(6) {
        assert_eq!(bob.fetches("/work").await.status, 200);
        assert!(echoes(&mut socket, "at work").await, "{}", house.gate.output());
        tokio::time::sleep(Duration::from_millis(300)).await;
    }

    assert_eq!(closed(&house, &mut socket).await, (4401, "session_idle".to_owned()));
}

/// P-23: a route may let what has begun go on.
#[tokio::test]
async fn a_route_may_let_what_has_begun_go_on() {
    let house = House::with("[routes.app]\non_expiry = \"finish\"").await;
    let bob = house.signed_in("bob").await;
    let mut socket = web_socket(&house, &bob, "/ws").await;
    let url = bob.url("/stream?n=9");
    let mut events = bob.request(Method::GET, &url, &[]).send().await.expect("an answer");
    events.chunk().await.expect("it begins");

    signs_out(&house, &bob).await;
    let mut text = String::new();
    while let Some(piece) = events.chunk().await.expect("it is not cut off") {
        text.push_str(&String::from_utf8_lossy(&piece));
    }

    assert!(text.contains("data: 9"), "{text}");
    assert!(echoes(&mut socket, "still here").await);
}

/// R16: streams over either version of HTTP are cut off, so that nobody takes what has come for the whole.
#[tokio::test]
async fn signing_out_cuts_streams_off_in_both_versions_of_http() {
    let house = House::open().await;
    for http2 in [false, true] {
        let bob = house.signed_in("bob").await;
        let visitor = if http2 { Visitor::over_http2(house.gate.url(), &[]) } else { bob.clone() };
        visitor.takes_cookie("lychgate", &bob.cookie("lychgate").expect("a session"));
        let url = visitor.url("/stream?n=1000");
        let mut events = visitor.request(Method::GET, &url, &[]).send().await.expect("an answer");
        events.chunk().await.expect("it begins");

        signs_out(&house, &bob).await;
        let cut = async {
            loop {
                match events.chunk().await {
                    Ok(Some(_)) => {}
                    end => return end,
                }
            }
        };
        let end = tokio::time::timeout(PATIENCE, cut).await.expect("it is cut off");

        assert!(end.is_err(), "HTTP/2: {http2}: a clean end");
    }
}

/// R16: a download that takes long is cut off too; `on_expiry` knows no difference.
#[tokio::test]
async fn a_long_download_is_cut_off_when_its_session_has_ended() {
    let house = House::open().await;
    let bob = house.signed_in("bob").await;
    let url = bob.url("/download?bytes=1073741824");
    let mut download = bob.request(Method::GET, &url, &[]).send().await.expect("an answer");
    download.chunk().await.expect("it begins");

    signs_out(&house, &bob).await;
    let began = Instant::now();
    let end = loop {
        match download.chunk().await {
            Ok(Some(_)) => tokio::time::sleep(Duration::from_millis(20)).await,
            end => break end,
        }
        assert!(began.elapsed() < PATIENCE, "it goes on and on");
    };

    assert!(end.is_err(), "a clean end");
}

const SWITCHES: &[u8] =
    b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
      sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
/// The same, with the beginning of a frame of ten bytes.
const SWITCHES_AND_BEGINS_A_FRAME: &[u8] =
    b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
      sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n\x81\x0ahello";

/// R16: nothing is put into the middle of a frame: where one is under way that does not end, the connection is closed
/// without a word. Where none is, both sides are told.
#[tokio::test]
async fn nothing_is_put_into_the_middle_of_a_frame() {
    for (script, between) in [(SWITCHES, true), (SWITCHES_AND_BEGINS_A_FRAME, false)] {
        let upstream = Upstream::start(Script::AnswerOnce(script)).await;
        let address = upstream.address();
        let house = House::planned(|plan| plan.upstream(address)).await;
        let bob = house.visitor();
        let callback = bob.comes_back_as("bob", "/x").await;
        bob.opens(callback.as_str()).await;
        let cookie = bob.cookie_header(&bob.url("/")).expect("a session");
        let mut line = TcpStream::connect(house.gate.address()).await.expect("it listens");
        let handshake = format!(
            "GET /ws HTTP/1.1\r\nHost: {}\r\nCookie: {cookie}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
            house.host()
        );
        line.write_all(handshake.as_bytes()).await.expect("it is sent");
        let mut heard = Vec::new();
        let beginning: &[u8] = if between { b"\r\n\r\n" } else { b"hello" };
        while !heard.ends_with(beginning) {
            assert_ne!(line.read_buf(&mut heard).await.expect("it comes"), 0, "{heard:?}");
        }

        signs_out(&house, &bob).await;
        let rest = tokio::time::timeout(PATIENCE, line.read_to_end(&mut heard)).await;
        let _ = rest.expect("it is closed");

        let heard = String::from_utf8_lossy(&heard);
        assert_eq!(heard.contains("session_signed_out"), between, "{heard:?}");
        if between {
            // Masked with zeros, as a client's frame.
            upstream.hears("session_signed_out").await;
        }
    }
}

/// R29: who stops says so to every WebSocket, of whomever, and does not wait for it.
#[tokio::test]
async fn a_gate_that_stops_tells_every_web_socket() {
    let mut house = House::open().await;
    let bob = house.signed_in("bob").await;
    let mut of_bob = web_socket(&house, &bob, "/ws").await;
    assert!(echoes(&mut of_bob, "hello").await);

    house.gate.signal(Signal::TERM);
    let (code, _) = closed(&house, &mut of_bob).await;
    let ending = house.gate.ended().await;

    assert_eq!(code, 1001);
    assert_eq!(ending.code, Some(0), "{}", house.gate.output());
    assert!(!house.gate.output().contains("cut off"), "{}", house.gate.output());
}

/// R16, R27: a reload asks again about what is under way: whoever may still, goes on; whoever may not, or whose key is
/// gone, is told.
#[tokio::test]
async fn a_reload_asks_again_about_what_is_under_way() {
    let mut toml = String::new();
    let house = House::planned(|plan| toml = plan.configuration.to_string()).await;
    let (alice, bob) = (house.signed_in("alice").await, house.signed_in("bob").await);
    let mut of_alice = web_socket(&house, &alice, "/ws").await;
    let mut of_bob = web_socket(&house, &bob, "/ws").await;
    let reload = async |toml: String| {
        house.gate.scratch().write("lychgate.toml", toml);
        let printed = lychgate(house.gate.scratch(), ["reload"]);
        assert_eq!(printed.code, Some(0), "{printed:?}");
    };

    let for_operators = toml.replace("allow = [\"authenticated\"]", "allow = [\"group:sre\"]");
    assert_ne!(for_operators, toml);
    reload(for_operators.clone()).await;
    assert_eq!(closed(&house, &mut of_bob).await, (4401, "access_not_granted".to_owned()));
    assert!(echoes(&mut of_alice, "still here").await);

    let key = "YW5vdGhlci1hbm90aGVyLWFub3RoZXItYW5vdGhlci0";
    reload(for_operators.replace(lychgate_tests::cast::house::SESSION_KEY, key)).await;
    assert_eq!(closed(&house, &mut of_alice).await, (4401, "session_unreadable".to_owned()));
}
