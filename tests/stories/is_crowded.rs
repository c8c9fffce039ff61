//! Who comes in crowds, or sends what costs little to send and much to receive.
//!
//! What each story measures is memory and descriptors of the process, with room for a debug build on a busy machine:
//! what grows with a flood grows by far more. `benches/soak.py` measures the same with a release build for as long as
//! one likes.

use std::time::Duration;

use futures_util::future;
use http::StatusCode;
use lychgate_tests::cast::frames::{
    AGAIN, END_HEADERS, END_STREAM, Frames, INITIAL_WINDOW_SIZE, Kind, block, frame, remembered,
    request,
};
use lychgate_tests::cast::house::House;
use lychgate_tests::cast::raw::Line;
use lychgate_tests::cast::upstream::{Script, Upstream};
use tokio::time::timeout;

use crate::raw_bytes::OK;
use crate::reaches_applications::{before, get, host, visitor};

const MIB: usize = 1 << 20;

/// The error of who was asked for too much (RFC 9113 §7).
const ENHANCE_YOUR_CALM: u32 = 11;

/// K1: a header block of few bytes that stands for megabytes is refused, on each of a hundred streams whose answers nobody
/// reads, and costs next to nothing.
#[tokio::test]
async fn a_header_bomb_costs_next_to_nothing() {
    const CONNECTIONS: usize = 4;
    const STREAMS: u32 = 100;
    let upstream = Upstream::start(Script::Answer(OK)).await;
    let gate = before(&upstream, "").await;
    let large = "b".repeat(3900);
    // 16 KB that stand for 60 MB.
    let bomb = [
        request(host(&gate), "/bomb"),
        remembered("x-bomb", &large),
        vec![AGAIN; 15_000 - large.len()],
    ]
    .concat();
    assert_eq!(visitor(&gate).fetches("/before").await.status, 200);
    let memory = gate.resident();

    let mut attackers = Vec::new();
    for _ in 0..CONNECTIONS {
        let mut attacker = Frames::asking(gate.address(), &[(INITIAL_WINDOW_SIZE, 0)]).await;
        for stream in 0..STREAMS {
            let head = frame(Kind::Headers, END_STREAM | END_HEADERS, 2 * stream + 1, &bomb);
            if !attacker.says(&head).await {
                break;
            }
        }
        attackers.push(attacker);
    }
    // Each has been read when a question behind it is answered, or the connection is over.
    for attacker in &mut attackers {
        attacker.says(&frame(Kind::Ping, 0, 0, &[7; 8])).await;
        attacker.hears_a(Kind::Ping).await;
    }
    let after = gate.resident();

    assert_eq!(upstream.count("/bomb"), 0);
    assert!(
        after < memory + CONNECTIONS * 2 * MIB + 8 * MIB,
        "{memory} bytes before, {after} after"
    );
    assert_eq!(visitor(&gate).fetches("/after").await.status, 200);
}

/// K2: what can be sent for ever and means nothing ends the connection, or costs no more than its reading; others are
/// served meanwhile.
#[tokio::test]
async fn endless_frames_end_their_connection_or_cost_nothing() {
    let upstream = Upstream::start(Script::Answer(OK)).await;
    let gate = before(&upstream, "").await;
    let head = request(host(&gate), "/flood");
    let opens = |stream, flags| frame(Kind::Headers, flags, stream, &head);
    let reset = |stream: u32| frame(Kind::Reset, 0, stream, &8_u32.to_be_bytes());
    let padding = block(&[("x-more", &"m".repeat(1000))]);
    // What is sent first, what is sent again and again, and whether that has to end.
    type Flood<'a> = (&'a str, Vec<u8>, Box<dyn Fn(u32) -> Vec<u8> + 'a>, bool);
    let floods: [Flood<'_>; 8] = [
        (
            "a header block without end",
            opens(1, END_STREAM),
            Box::new(|_| frame(Kind::Continuation, 0, 1, &padding)),
            true,
        ),
        (
            "a header block of empty pieces",
            opens(1, END_STREAM),
            Box::new(|_| frame(Kind::Continuation, 0, 1, &[])),
            true,
        ),
        (
            "empty pieces of a body",
            opens(1, END_HEADERS),
            Box::new(|_| frame(Kind::Data, 0, 1, &[])),
            false,
        ),
        (
            "requests that are taken back",
            Vec::new(),
            Box::new(|round| {
                let stream = 2 * round + 1;
                [opens(stream, END_STREAM | END_HEADERS), reset(stream)].concat()
            }),
            false,
        ),
        (
            "requests that we have to refuse",
            Vec::new(),
            Box::new(|round| {
                let stream = 2 * round + 1;
                let window = frame(Kind::WindowUpdate, 0, stream, &0_u32.to_be_bytes());
                [opens(stream, END_HEADERS), window].concat()
            }),
            false,
        ),
        ("questions", Vec::new(), Box::new(|_| frame(Kind::Ping, 0, 0, &[7; 8])), false),
        (
            "settings",
            Vec::new(),
            Box::new(|_| frame(Kind::Settings, 0, 0, &[0, 4, 0, 1, 0, 0])),
            false,
        ),
        (
            "priorities",
            Vec::new(),
            Box::new(|round| frame(Kind::Priority, 0, 2 * round + 1, &[0, 0, 0, 0, 7])),
            false,
        ),
    ];
    let bystander = visitor(&gate);
    assert_eq!(bystander.fetches("/before").await.status, 200);
    let memory = gate.resident();

    for (what, first, again, has_to_end) in floods {
        let mut attacker = Frames::to(gate.address()).await;
        attacker.says(&first).await;
        let mut goes_on = true;
        for batch in 0..40_u32 {
            let bytes = (0..250).flat_map(|number| again(batch * 250 + number)).collect::<Vec<_>>();
            // An attacker that is not read from is as good as ended.
            let sent = timeout(Duration::from_secs(2), attacker.says(&bytes)).await;
            goes_on = sent == Ok(true);
            if !goes_on {
                break;
            }
            if batch % 8 == 0 {
                assert_eq!(bystander.fetches("/meanwhile").await.status, 200, "{what}");
            }
        }
        let after = gate.resident();

        assert!(!(has_to_end && goes_on), "{what} went on");
        assert!(after < memory + 32 * MIB, "{what}: {memory} bytes before, {after} after");
        assert_eq!(bystander.fetches("/after").await.status, 200, "{what}");
    }
    assert!(!gate.output().contains("a mistake of this program"), "{}", gate.output());
}

/// K2: an endless header block is answered with the reason, where the client reads it.
#[tokio::test]
async fn an_endless_header_block_is_told_to_calm_down() {
    let upstream = Upstream::start(Script::Answer(OK)).await;
    let gate = before(&upstream, "").await;
    let mut attacker = Frames::to(gate.address()).await;
    let head = request(host(&gate), "/flood");
    attacker.says(&frame(Kind::Headers, END_STREAM, 1, &head)).await;
    let more = frame(Kind::Continuation, 0, 1, &block(&[("x-more", &"m".repeat(8000))]));

    let mut told = None;
    for _ in 0..1000 {
        if !attacker.says(&more).await {
            break;
        }
    }
    while let Some(frame) = attacker.hears().await {
        if frame.kind == Kind::GoAway as u8 {
            told = frame.payload.get(4..8).map(<[u8]>::to_vec);
        }
    }

    // What was on its way may have met a closed door, and taken the answer with it.
    assert!(told.is_none_or(|error| error == ENHANCE_YOUR_CALM.to_be_bytes()));
    assert_eq!(upstream.count("/flood"), 0);
}

/// R20, K6: the limit of headers holds for cookies in crumbs as for one long line, and what is below it arrives whole.
#[tokio::test]
async fn crumbs_are_counted_together() {
    let upstream = Upstream::start(Script::Answer(OK)).await;
    let gate = before(&upstream, "limits.header_bytes = \"16KiB\"").await;
    let crumb = |number: usize| block(&[("cookie", &format!("c{number}={}", "x".repeat(1000)))]);
    let crumbs = |count: usize| (0..count).flat_map(crumb).collect::<Vec<u8>>();
    for (path, count, expected) in [("/few", 8, true), ("/many", 50, false)] {
        let head = [request(host(&gate), path), crumbs(count)].concat();
        let mut client = Frames::to(gate.address()).await;
        let (first, rest) = head.split_at(head.len().min(16_000));
        let flags = if rest.is_empty() { END_STREAM | END_HEADERS } else { END_STREAM };
        client.says(&frame(Kind::Headers, flags, 1, first)).await;
        let mut pieces = rest.chunks(16_000).peekable();
        while let Some(piece) = pieces.next() {
            let flags = if pieces.peek().is_none() { END_HEADERS } else { 0 };
            client.says(&frame(Kind::Continuation, flags, 1, piece)).await;
        }
        client.says(&frame(Kind::Ping, 0, 0, &[7; 8])).await;
        client.hears_a(Kind::Ping).await;

        if expected {
            upstream.hears(path).await;
            let received = upstream.received().concat();
            assert_eq!(received.matches("cookie: ").count(), 1, "{received}");
        }
        assert_eq!(upstream.count(path), usize::from(expected), "{path}");
    }
    assert_eq!(visitor(&gate).fetches("/after").await.status, 200);
}

/// R33, R34, K7: thousands of people who begin to sign in, and thousands of addresses that are nothing, leave nothing
/// behind.
#[tokio::test]
async fn a_crowd_that_never_signs_in_leaves_nothing_behind() {
    let house = House::open().await;
    house.signed_in("bob").await;
    // What a crowd of this size needs at once is no growth.
    floods(&house, 400).await;
    let (memory, descriptors) = (house.gate.resident(), house.gate.descriptors());

    floods(&house, 1600).await;

    let after = house.gate.resident();
    assert!(after < memory + 12 * MIB, "{memory} bytes before, {after} after");
    house.gate.has_descriptors_at_most(descriptors + 8).await;
    assert_eq!(house.provider.count("/token"), 1, "nobody but Bob was asked about");
}

/// So many requests of clients of whom each is another one, over a few connections.
async fn floods(house: &House, count: usize) {
    let lines = (0..8).map(async |number| {
        let mut line = Line::to(house.gate.address()).await;
        for round in 0..count / 8 {
            let (path, accept, status) = match round % 3 {
                0 => (format!("/page/{number}/{round}"), "text/html", 302),
                1 => (format!("/.lychgate/nothing/{number}/{round}"), "text/html", 404),
                _ => (format!("/data/{number}/{round}"), "application/json", 401),
            };
            line.says(format!(
                "GET {path} HTTP/1.1\r\nHost: {}\r\nAccept: {accept}\r\nSec-Fetch-Mode: {}\r\n\
                 User-Agent: client {number} {round}\r\n\r\n",
                house.host(),
                if accept == "text/html" { "navigate" } else { "cors" },
            ))
            .await;
            let answer = line.hears().await;
            let is_sign_in = status == 302 && [200, 302, 303].contains(&answer.status);
            assert!(is_sign_in || answer.status == status, "{path}: {}", answer.status);
        }
    });
    future::join_all(lines).await;
}

/// R34: whoever floods us with beginnings of sign-ins does not flood the provider through us: it is asked a few things at a
/// time, and those who finish a sign-in do not wait behind those who begin one.
#[tokio::test]
async fn a_flood_of_beginnings_is_no_flood_at_the_provider() {
    const AT_ONCE: usize = 16;
    const BEGINNINGS: usize = 60;
    let silence = Upstream::start(Script::Silence).await;
    let house = House::planned(|plan| {
        let provider = plan.provider.address;
        plan.set(&format!(
            "[providers.demo]\npushed_authorization_requests = \"required\"\n\
             authorization_endpoint = \"http://{provider}/authorize\"\n\
             token_endpoint = \"http://{provider}/token\"\n\
             jwks_uri = \"http://{provider}/jwks\"\n\
             pushed_authorization_request_endpoint = \"http://{}/par\"",
            silence.address()
        ));
    })
    .await;
    let visitors = (0..BEGINNINGS).map(|_| house.visitor()).collect::<Vec<_>>();

    let everybody = visitors.iter().map(|visitor| visitor.opens("/"));
    let answers = future::join_all(everybody).await;

    assert_eq!(silence.count("POST /par"), AT_ONCE);
    for answer in answers {
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{}", answer.text());
    }
}

/// R33, K3, K7: thousands of connections that do nothing are kept, cost little, and everything is given back.
#[tokio::test]
async fn connections_that_do_nothing_cost_little_and_are_given_back() {
    const GUESTS: usize = 400;
    let upstream = Upstream::start(Script::Answer(OK)).await;
    let gate = before(&upstream, "").await;
    assert_eq!(visitor(&gate).fetches("/warm").await.status, 200);
    let (memory, descriptors) = (gate.resident(), gate.descriptors());

    let mut guests = Vec::new();
    for _ in 0..GUESTS {
        let mut line = Line::to(gate.address()).await;
        line.says(get(&gate, "/guest")).await;
        assert_eq!(line.hears().await.status, 200);
        guests.push(line);
    }
    let each = gate.resident().saturating_sub(memory) / GUESTS;
    drop(guests);

    // A debug build keeps larger futures than a release build, for which the target is 28 KiB.
    assert!(each < 128 * 1024, "{each} bytes for each");
    gate.has_descriptors_at_most(descriptors + 4).await;
}
