//! Floods: what one client sends without end costs neither memory nor anybody else's answers.
//!
//! Nothing here measures speed. What is asked is whether others are answered meanwhile, and whether memory is as it
//! was afterwards.

use std::fs;
use std::time::{Duration, Instant};

use lychgate_tests::cast::frames::{END_HEADERS, END_STREAM, Frames, Kind, Outcome, block, frame};
use lychgate_tests::cast::gate::{Gate, PATIENCE};
use lychgate_tests::cast::house::House;
use lychgate_tests::cast::raw::{self, Line};
use lychgate_tests::cast::scratch::Scratch;
use lychgate_tests::cast::upstream::{Authority, Validity};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

/// More than a flood may leave behind or take meanwhile.
const GROWTH_MAX: usize = 24 << 20;

/// The memory that the process holds, in bytes.
fn resident(gate: &Gate) -> usize {
    let status = fs::read_to_string(format!("/proc/{}/status", gate.pid())).expect("the gate runs");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("memory is counted");
    let kibibytes = line.split_whitespace().nth(1).and_then(|number| number.parse::<usize>().ok());
    kibibytes.expect("a number") * 1024
}

/// How many files and sockets the process holds.
fn descriptors(gate: &Gate) -> usize {
    fs::read_dir(format!("/proc/{}/fd", gate.pid())).expect("the gate runs").count()
}

/// O6: as many sockets as before, and memory as before or hardly more, a moment after everybody has left.
async fn is_as_before(house: &House, before: (usize, usize)) {
    let began = Instant::now();
    loop {
        let (memory, files) = (resident(&house.gate), descriptors(&house.gate));
        // The pool keeps a connection to the application, and the visitor one to the gate.
        if memory < before.0 + GROWTH_MAX && files <= before.1 + 8 {
            return;
        }
        assert!(
            began.elapsed() < PATIENCE,
            "before: {before:?}, and after: {memory} bytes, {files} files"
        );
        sleep(Duration::from_millis(20)).await;
    }
}

/// What a first few requests leave behind is not growth.
async fn warm(house: &House) -> (usize, usize) {
    let visitor = house.visitor();
    for _ in 0..20 {
        visitor.fetches("/public/warm").await;
        visitor.opens("/").await;
    }
    (resident(&house.gate), descriptors(&house.gate))
}

/// A good request as a header block.
fn good(house: &House) -> Vec<u8> {
    block(&[
        (":method", "GET"),
        (":scheme", "http"),
        (":path", "/public/a"),
        (":authority", house.host()),
    ])
}

/// K1: one byte that stands for four thousand, a million times, on a hundred streams that nobody reads.
#[tokio::test]
async fn k1_a_header_block_that_unfolds_without_end_is_not_unfolded() {
    let house = House::open().await;
    let before = warm(&house).await;
    let mut frames = Frames::to(house.gate.address()).await;
    // No window: whatever is answered stays where it is.
    frames.sends(Kind::Settings, 0, 0, &[0, 4, 0, 0, 0, 0]).await;
    let mut bomb = good(&house);
    // A literal that is indexed (RFC 7541, section 6.2.1), and references to it.
    bomb.extend_from_slice(&[0x40, 1, b'x', 127]);
    bomb.extend_from_slice(&[0x81, 0x1e]);
    bomb.extend_from_slice(&[b'y'; 127 + 0x81 - 0x80 + 0x1e * 128]);
    let references = vec![0xbe; 16_000 - bomb.len()];
    bomb.extend_from_slice(&references);

    let mut most = 0;
    for _ in 0..100 {
        let stream = frames.new_stream();
        if !frames.sends(Kind::Headers, END_STREAM | END_HEADERS, stream, &bomb).await {
            break;
        }
        most = most.max(resident(&house.gate));
    }
    assert_eq!(house.visitor().fetches("/public/meanwhile").await.status, 200);

    most = most.max(resident(&house.gate));
    assert!(most < before.0 + GROWTH_MAX, "{before:?} before, {most} bytes meanwhile");
    drop(frames);
    is_as_before(&house, before).await;
    assert_eq!(house.application.count("/public/a"), 0, "none of them was a request");
}

/// K2: floods of frames that cost the sender nothing. Others are answered meanwhile, and nothing is left of it.
#[tokio::test]
async fn k2_floods_of_frames_harm_nobody_else() {
    let house = House::open().await;
    let before = warm(&house).await;
    for flood in [
        "a header block without end",
        "requests that are taken back",
        "streams that have to be reset",
        "pings",
        "settings",
        "empty data",
        "tiny windows",
        "priorities",
    ] {
        let mut frames = Frames::to(house.gate.address()).await;
        let head = good(&house);
        let mut taken = true;
        let first = frames.new_stream();
        match flood {
            "a header block without end" => {
                taken &= frames.sends(Kind::Headers, 0, first, &head).await;
            }
            "empty data" => {
                let post = block(&[
                    (":method", "POST"),
                    (":scheme", "http"),
                    (":path", "/public/a"),
                    (":authority", house.host()),
                ]);
                taken &= frames.sends(Kind::Headers, END_HEADERS, first, &post).await;
            }
            _ => {}
        }
        for number in 0..100_u32 {
            let mut bytes = Vec::new();
            for _ in 0..100 {
                match flood {
                    "a header block without end" => {
                        let more = block(&[("x", "y"); 20]);
                        bytes.extend(frame(Kind::Continuation, 0, first, &more));
                    }
                    "requests that are taken back" => {
                        let stream = frames.new_stream();
                        bytes.extend(frame(Kind::Headers, END_STREAM | END_HEADERS, stream, &head));
                        bytes.extend(frame(Kind::Reset, 0, stream, &8_u32.to_be_bytes()));
                    }
                    "streams that have to be reset" => {
                        let stream = frames.new_stream();
                        bytes.extend(frame(Kind::Headers, END_STREAM | END_HEADERS, stream, &head));
                        bytes.extend(frame(Kind::WindowUpdate, 0, stream, &[0; 4]));
                    }
                    "pings" => bytes.extend(frame(Kind::Ping, 0, 0, &[7; 8])),
                    "settings" => {
                        let mut payload = vec![0, 4];
                        payload.extend_from_slice(&(number + 1).to_be_bytes());
                        bytes.extend(frame(Kind::Settings, 0, 0, &payload));
                    }
                    "empty data" => bytes.extend(frame(Kind::Data, 0, first, &[])),
                    "tiny windows" => bytes.extend(frame(Kind::WindowUpdate, 0, 0, &[0, 0, 0, 1])),
                    // PRIORITY, which RFC 9113 has taken out of use: type 2, and five bytes.
                    _ => bytes.extend([0, 0, 5, 2, 0, 0, 0, 0, 1, 0, 0, 0, 3, 1]),
                }
            }
            // Nobody reads what comes back: a gate that waits for that must not be waited for.
            let says = timeout(Duration::from_secs(1), frames.says(&bytes)).await;
            taken &= says.unwrap_or(false);
            if !taken {
                break;
            }
        }

        let visitor = house.visitor();
        for _ in 0..5 {
            assert_eq!(visitor.fetches("/public/meanwhile").await.status, 200, "{flood}");
        }
        let memory = resident(&house.gate);
        assert!(memory < before.0 + GROWTH_MAX, "{flood}: {before:?} before, {memory} meanwhile");
        if matches!(
            flood,
            "a header block without end"
                | "requests that are taken back"
                | "streams that have to be reset"
                | "empty data"
        ) {
            // What has to be kept for the sender has an end, and the connection with it.
            frames.end().await;
        }
    }
    is_as_before(&house, before).await;
}

/// K2: a connection that behaves is not taken for a flood: a stream is taken back now and then.
#[tokio::test]
async fn k2_taking_back_a_request_now_and_then_is_no_flood() {
    let house = House::open().await;
    let mut frames = Frames::to(house.gate.address()).await;
    let head = good(&house);
    for _ in 0..20 {
        let stream = frames.new_stream();
        frames.sends(Kind::Headers, END_STREAM | END_HEADERS, stream, &head).await;
        frames.sends(Kind::Reset, 0, stream, &8_u32.to_be_bytes()).await;
        let next = frames.new_stream();
        frames.sends(Kind::Headers, END_STREAM | END_HEADERS, next, &head).await;

        assert_eq!(frames.outcome(next).await, Outcome::Status(200));
    }
}

/// K3: somebody who never begins to speak TLS, or stops in the middle of it, does not stay.
#[tokio::test]
async fn k3_a_tls_handshake_that_stalls_ends() {
    let scratch = Scratch::new();
    let authority = Authority::new();
    let (certificate, key) = authority.issues("app.localhost", Validity::Now);
    scratch.write("certificate.pem", certificate);
    scratch.write("key.pem", key);
    let house = House::planned(|plan| {
        plan.scratch = scratch;
        let origin = plan.origin().replace("http://", "https://");
        plan.provider.clients[0].redirect_uris = vec![format!("{origin}/.lychgate/callback")];
        plan.set(&format!(
            "[listeners.main]\ntls = {{ certificate = \"certificate.pem\", key = \"key.pem\" }}\n\
             [limits]\nheader_timeout = \"1s\"\n[routes.app]\nurl = \"{origin}\""
        ));
    })
    .await;
    // The beginning of a ClientHello: a record of 512 bytes of which 11 come.
    for beginning in [&b""[..], b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"] {
        let mut line = TcpStream::connect(house.gate.address()).await.expect("it listens");
        line.write_all(beginning).await.expect("it reads");

        let mut heard = Vec::new();
        let end = timeout(PATIENCE, line.read_to_end(&mut heard)).await;

        assert!(end.is_ok(), "{beginning:x?}: still open");
    }
}

/// K7: strangers who begin to sign in, and never do, leave nothing behind; nor do paths that nobody has.
#[tokio::test]
async fn k7_strangers_leave_nothing_behind() {
    let house = House::planned(|plan| {
        plan.set("[limits]\nlogin_starts_per_client = 100000");
    })
    .await;
    let before = warm(&house).await;
    let mut lines = Vec::new();
    for _ in 0..8 {
        lines.push(Line::to(house.gate.address()).await);
    }
    for number in 0..300 {
        for (client, line) in lines.iter_mut().enumerate() {
            line.says(format!(
                "GET /page/{number}/{client} HTTP/1.1\r\nHost: {}\r\nAccept: text/html\r\nUser-Agent: {number}\r\n\r\n",
                house.host()
            ))
            .await;
        }
        for line in &mut lines {
            assert_eq!(line.hears().await.status, 302);
        }
    }
    let metrics = house.gate.metrics().await;
    let series = metrics.lines().filter(|line| line.contains("/page/")).count();

    drop(lines);
    assert_eq!(series, 0, "no stranger makes a series");
    is_as_before(&house, before).await;
}

/// K3: a body that is announced and does not come keeps one connection, and nobody else waits for it.
#[tokio::test]
async fn k3_bodies_that_never_come_keep_nobody_waiting() {
    let house = House::open().await;
    let mut lines = Vec::new();
    for _ in 0..200 {
        let mut line = Line::to(house.gate.address()).await;
        line.says(format!(
            "POST /public/up HTTP/1.1\r\nHost: {}\r\nContent-Length: 100000\r\n\r\nx",
            house.host()
        ))
        .await;
        lines.push(line);
    }

    let message = format!(
        "GET /public/meanwhile HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
        house.host()
    );
    let exchange = raw::send(house.gate.address(), message).await;

    assert_eq!(exchange.statuses(), [200]);
}
