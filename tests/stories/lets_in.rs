//! Whom the gate lets in: connections before there is a request on them.

use std::sync::Arc;
use std::time::Instant;

use lychgate_tests::cast::gate::{Gate, PATIENCE, free_port};
use lychgate_tests::cast::raw::{self, End, Line};
use lychgate_tests::cast::scratch::Scratch;
use lychgate_tests::cast::upstream::{Authority, Script, Upstream, Validity};
use rustls::pki_types::ServerName;
use rustls::version::TLS13;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::raw_bytes::OK;
use crate::reaches_applications::{before, echo, get, host, open, secure_listener};

/// K4: whoever comes when the house is full gets the place of who has waited longest for something to do; who has
/// something to do keeps theirs, and then the newcomer waits.
#[tokio::test]
async fn a_connection_that_waits_gives_way_and_one_that_works_does_not() {
    let echo = echo().await;
    let upstream = Upstream::start(Script::PassOn(echo.address())).await;
    let gate = before(&upstream, "limits.connections = 3").await;
    let mut guests = Vec::new();
    for number in 0..3 {
        let mut line = Line::to(gate.address()).await;
        line.says(get(&gate, &format!("/guest/{number}"))).await;
        assert_eq!(line.hears().await.status, 200);
        guests.push(line);
    }
    let (mut third, mut second, first) = (guests.remove(2), guests.remove(1), guests.remove(0));
    // A request that is under way until its last bytes are sent.
    let work = |name: &str| {
        let host = host(&gate);
        format!("POST /upload?{name} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 4\r\n\r\n")
    };
    second.says(work("second")).await;
    upstream.hears("POST /upload?second").await;

    let mut fourth = Line::to(gate.address()).await;
    fourth.says(get(&gate, "/fourth")).await;
    assert_eq!(fourth.hears().await.status, 200);
    let ended = first.rest().await;
    assert_eq!((ended.statuses(), ended.end), (Vec::new(), End::Closed), "it waited longest");

    third.says(work("third")).await;
    fourth.says(work("fourth")).await;
    upstream.hears("POST /upload?third").await;
    upstream.hears("POST /upload?fourth").await;
    let mut fifth = Line::to(gate.address()).await;
    fifth.says(get(&gate, "/fifth")).await;
    second.says("do").await;
    assert_eq!(upstream.count("/fifth"), 0, "everybody is at work");
    second.says("ne").await;

    assert_eq!(second.hears().await.status, 200);
    assert_eq!(fifth.hears().await.status, 200, "its work done, it gave way");
    third.says("done").await;
    assert_eq!(third.hears().await.status, 200, "nobody else had to");
}

/// K4: who has as many connections as one client may have gets no other, and is counted; others do, and so does the same
/// client when it closes one.
#[tokio::test]
async fn one_client_cannot_take_all_places() {
    let upstream = Upstream::start(Script::Answer(OK)).await;
    let gate = before(&upstream, "limits.connections_per_client = 2").await;
    let mut lines = Vec::new();
    for _ in 0..2 {
        let mut line = Line::to(gate.address()).await;
        line.says(get(&gate, "/x")).await;
        assert_eq!(line.hears().await.status, 200);
        lines.push(line);
    }
    assert!(is_closed_without_a_word(gate.address().port(), get(&gate, "/never")).await);
    gate.line("it is counted", |line| line["reason"] == "too_many_connections").await;
    assert_eq!(upstream.count("/never"), 0);

    let elsewhere = TcpSocket::new_v4().expect("a socket");
    elsewhere.bind(([127, 0, 0, 2], 0).into()).expect("another address of this machine");
    let mut other = elsewhere.connect(gate.address()).await.expect("it listens");
    other.write_all(get(&gate, "/other").as_bytes()).await.expect("it is sent");
    let mut status = [0; 15];
    other.read_exact(&mut status).await.expect("it is answered");
    assert_eq!(&status, b"HTTP/1.1 200 OK");

    lines.pop();
    let began = Instant::now();
    while is_closed_without_a_word_at_once(&gate).await {
        assert!(began.elapsed() < PATIENCE, "the place is given back");
    }
}

/// Whether one more connection of ours is turned away, and not answered.
async fn is_closed_without_a_word_at_once(gate: &Gate) -> bool {
    let mut stream = TcpStream::connect(gate.address()).await.expect("it listens");
    let _ = stream.write_all(get(gate, "/again").as_bytes()).await;
    stream.read_exact(&mut [0; 15]).await.is_err()
}

/// D1, K3: where proxies announce clients, the address that they announce is the one that rules, logs and the application
/// are told, in plain text and before TLS; a connection that is not announced, or not by a listed proxy, is closed
/// without a word, and counted.
#[tokio::test]
async fn only_listed_proxies_announce_clients_and_every_connection_is_announced() {
    let upstream = Upstream::start(Script::Answer(OK)).await;
    let place = format!("addresses = [\"http://{}\"]", upstream.address());
    let (authority, scratch) = (Authority::new(), Scratch::new());
    let (certificate, key) = authority.issues("secure.test", Validity::Now);
    scratch.write("tls.crt", certificate);
    scratch.write("tls.key", key);
    let (one, two, foreign, secure) = (free_port(), free_port(), free_port(), free_port());
    let announced = |version: &str, trusted: &str| {
        format!("proxy_protocol = \"{version}\"\ntrusted_proxies = [\"{trusted}\"]\nhttp2 = true\n")
    };
    let plain = |name: &str, port: u16, more: &str| {
        format!("[listeners.{name}]\naddress = \"127.0.0.1:{port}\"\n{more}\n")
    };
    let more = plain("one", one, &announced("v1", "127.0.0.1"))
        + &plain("two", two, &announced("v2", "127.0.0.0/8"))
        + &plain("foreign", foreign, &announced("v1", "192.0.2.0/24"))
        + &secure_listener(secure, &announced("v2", "127.0.0.1"))
        + "[routes.secure]\nurl = \"https://secure.test\"\nupstream = \"app\"\npublic = true\n";
    let gate = open(scratch, &place, &more).await;
    let request = |path: &str, host: &str| {
        format!(
            "GET {path} HTTP/1.1\r\nHost: {host}\r\nX-Forwarded-For: 6.6.6.6\r\nConnection: close\r\n\r\n"
        )
    };
    let app = host(&gate).to_owned();
    let version_two = |command: u8, address: [u8; 4]| {
        let mut header = b"\r\n\r\n\0\r\nQUIT\n".to_vec();
        header.extend([command, 0x11, 0, 17]);
        header.extend(address);
        // The destination, the ports, and an attachment of two bytes.
        header.extend([127, 0, 0, 1, 0x80, 0, 0x1F, 0x90, 0x04, 0, 2, 0, 0]);
        header
    };

    for (port, header, path, client, told) in [
        (
            one,
            b"PROXY TCP4 198.51.100.7 127.0.0.1 40000 80\r\n".to_vec(),
            "/one",
            json!("198.51.100.7"),
            "198.51.100.7",
        ),
        (
            one,
            b"PROXY TCP6 2001:db8::7 ::1 40000 80\r\n".to_vec(),
            "/six",
            json!("2001:db8::7"),
            "2001:db8::7",
        ),
        (two, version_two(0x21, [198, 51, 100, 8]), "/two", json!("198.51.100.8"), "198.51.100.8"),
        // The balancer itself, which is believed about who stands before it.
        (two, version_two(0x20, [9, 9, 9, 9]), "/local", json!("6.6.6.6"), "6.6.6.6, 127.0.0.1"),
        // Somebody without a name, who is believed about nothing.
        (one, b"PROXY UNKNOWN\r\n".to_vec(), "/unnamed", json!(null), ""),
    ] {
        let bytes = [header, request(path, &app).into_bytes()].concat();
        let exchange = raw::send(([127, 0, 0, 1], port).into(), bytes).await;

        assert_eq!(exchange.statuses(), [200], "{path}");
        let line = gate.line(path, |line| line["path"] == path).await;
        assert_eq!(line["client_ip"], client, "{line}");
        let received = upstream.received().concat().to_ascii_lowercase();
        let (_, received) = received.split_once(&format!("get {path} ")).expect("it arrived");
        let head = received.split_once("\r\n\r\n").map_or(received, |(head, _)| head);
        let line = head.lines().find_map(|line| line.strip_prefix("x-forwarded-for:"));
        assert_eq!(line.unwrap_or_default().trim(), told, "{path}: {head}");
    }

    let mut stream = TcpStream::connect(("127.0.0.1", secure)).await.expect("it listens");
    stream.write_all(&version_two(0x21, [198, 51, 100, 9])).await.expect("it is sent");
    let client = TlsConnector::from(Arc::new(authority.client(&TLS13, &["http/1.1"])));
    let name = ServerName::try_from("secure.test").expect("a name");
    let mut stream = client.connect(name, stream).await.expect("a handshake behind the header");
    let asked = request("/secure", "secure.test");
    stream.write_all(asked.as_bytes()).await.expect("it is sent");
    let mut status = [0; 15];
    stream.read_exact(&mut status).await.expect("it is answered");
    assert_eq!(&status, b"HTTP/1.1 200 OK");
    let line = gate.line("/secure", |line| line["path"] == "/secure").await;
    assert_eq!(line["client_ip"], "198.51.100.9", "{line}");

    let (named, bare) = ("PROXY TCP4 198.51.100.7 127.0.0.1 1 2\r\n", request("/never", &app));
    let secured = format!("secure{secure}");
    for (listener, port, sent, reason) in [
        ("one", one, bare.clone(), "proxy_header_missing"),
        ("one", one, format!("PROXY TCP4 nobody nowhere 1 2\r\n{bare}"), "proxy_header_malformed"),
        ("two", two, format!("{named}{bare}"), "proxy_header_missing"),
        ("foreign", foreign, format!("{named}{bare}"), "proxy_not_trusted"),
        (
            &secured,
            secure,
            "\x16\x03\x01\x02\0\x01\0\x01\x7c\x03\x03......".to_owned(),
            "proxy_header_missing",
        ),
    ] {
        assert!(is_closed_without_a_word(port, sent).await, "{listener}: {reason}");

        let counted = format!(
            "lychgate_connections_refused_total{{listener=\"{listener}\",reason=\"{reason}\"}} 1"
        );
        gate.line(reason, |line| line["listener"] == listener && line["reason"] == reason).await;
        let metrics = gate.metrics().await;
        assert!(metrics.contains(&counted), "{counted} in\n{metrics}");
    }
    assert_eq!(upstream.count("GET /never"), 0);
}

/// Whether the gate ends the connection and says nothing. What it did not read may be thrown back at us.
async fn is_closed_without_a_word(port: u16, sent: String) -> bool {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.expect("it listens");
    let _ = stream.write_all(sent.as_bytes()).await;
    let mut heard = Vec::new();
    let ended = timeout(PATIENCE, stream.read_to_end(&mut heard)).await;
    ended.is_ok() && heard.is_empty()
}
