//! HTTP/2, frame by frame: what no library would send is refused, and nothing of it is made into HTTP/1.1.

use lychgate_tests::cast::frames::{END_HEADERS, END_STREAM, Frames, Kind, Outcome, block};
use lychgate_tests::cast::house::House;
use lychgate_tests::cast::upstream::Script;

use crate::raw_bytes::{OK, with_upstream};

/// The headers of a good request, with some of them replaced or left out and others added.
fn request<'a>(
    house: &'a House,
    replaced: &[(&'a str, Option<&'a str>)],
    added: &[(&'a str, &'a str)],
) -> Vec<(&'a str, &'a str)> {
    let mut headers = vec![
        (":method", "GET"),
        (":scheme", "http"),
        (":path", "/public/a"),
        (":authority", house.host()),
    ];
    for (name, value) in replaced {
        headers.retain_mut(|header| {
            if header.0 == *name
                && let Some(value) = value
            {
                header.1 = value;
            }
            header.0 != *name || value.is_some()
        });
    }
    headers.extend(added);
    headers
}

/// J13: what could not be said in HTTP/1.1 is a refusal, and no application ever sees it.
#[tokio::test]
async fn j13_nothing_malformed_is_passed_on_from_http2() {
    let (house, upstream) = with_upstream(Script::Answer(OK)).await;
    let long = format!("{}.localhost", "a".repeat(300));
    let user = format!("root@{}", house.host());
    let two = format!("{}, evil.test", house.host());
    let mut wrong = Vec::new();
    for (what, replaced, added) in [
        ("a method with a space", &[(":method", Some("GET /admin"))][..], &[][..]),
        ("a method with a line", &[(":method", Some("GET / HTTP/1.1\r\nx:"))], &[]),
        ("a method in small letters", &[(":method", Some("get"))], &[]),
        ("no method", &[(":method", None)], &[]),
        ("a path with a line", &[(":path", Some("/public/a HTTP/1.1\r\nx-evil: 1"))], &[]),
        ("a path with a space", &[(":path", Some("/public/a HTTP/1.1"))], &[]),
        ("a path that climbs", &[(":path", Some("/public/%2e%2e%2fadmin"))], &[]),
        ("a path without a slash", &[(":path", Some("public/a"))], &[]),
        ("a path of another site", &[(":path", Some("http://evil.test/public/a"))], &[]),
        ("an empty path", &[(":path", Some(""))], &[]),
        ("a star", &[(":path", Some("*"))], &[]),
        ("no path", &[(":path", None)], &[]),
        ("no scheme", &[(":scheme", None)], &[]),
        ("an authority with a line", &[(":authority", Some("app.localhost\r\nx-evil: 1"))], &[]),
        ("an authority with a user", &[(":authority", Some(&user))], &[]),
        ("a long authority", &[(":authority", Some(&long))], &[]),
        ("two authorities", &[(":authority", Some(&two))], &[]),
        ("an authority that nobody serves", &[(":authority", Some("evil.test"))], &[]),
        ("neither authority nor host", &[(":authority", None)], &[]),
        ("another host", &[], &[("host", "evil.test")]),
        ("two hosts", &[(":authority", None)], &[("host", "evil.test"), ("host", "a.test")]),
        ("a connection header", &[], &[("connection", "close")]),
        ("a coding", &[], &[("transfer-encoding", "chunked")]),
        ("an upgrade", &[], &[("upgrade", "websocket")]),
        ("keep-alive", &[], &[("keep-alive", "timeout=5")]),
        ("proxy-connection", &[], &[("proxy-connection", "close")]),
        ("another te", &[], &[("te", "gzip")]),
        ("a name of nothing", &[], &[("", "x")]),
        ("a name with capitals", &[], &[("X-Evil", "1")]),
        ("a name with a colon", &[], &[("x:evil", "1")]),
        ("a name with a line", &[], &[("x\r\nx-evil", "1")]),
        ("a name with a space", &[], &[("x evil", "1")]),
        ("a value with a line", &[], &[("x", "1\r\nx-evil: 1")]),
        ("a value with half a line", &[], &[("x", "1\nx-evil: 1")]),
        ("a value with zero", &[], &[("x", "1\0")]),
        ("a second method", &[], &[(":method", "POST")]),
        ("a second path", &[], &[(":path", "/admin")]),
        ("a path behind the headers", &[(":path", None)], &[("x", "1"), (":path", "/public/a")]),
        ("a status", &[], &[(":status", "200")]),
        ("a pseudo-header that nobody knows", &[], &[(":evil", "1")]),
        ("two lengths", &[], &[("content-length", "0"), ("content-length", "5")]),
        ("a length that is none", &[], &[("content-length", "+0")]),
        ("a length without a body", &[], &[("content-length", "5")]),
    ] {
        let mut frames = Frames::to(house.gate.address()).await;

        let stream = frames.asks(&request(&house, replaced, added)).await;

        let outcome = frames.outcome(stream).await;
        if !outcome.is_refusal() {
            wrong.push(format!("{what}: {outcome:?}"));
        }
    }
    assert_eq!(wrong, [] as [&str; 0], "{:?}", upstream.received());
    assert_eq!(upstream.received(), [] as [&str; 0]);
}

/// J13, B2: the library below cuts a fragment off before anybody sees it. So it is neither judged nor sent, and a path
/// is no more public for what stands behind it.
#[tokio::test]
async fn j13_a_fragment_over_http2_is_neither_judged_nor_sent() {
    let (house, upstream) = with_upstream(Script::Answer(OK)).await;
    for (path, expected) in [
        ("/public/a#b", Outcome::Status(200)),
        ("/admin/x#/public/", Outcome::Status(401)),
        ("/admin#/../public/", Outcome::Status(401)),
        ("/public/..%23/", Outcome::Status(400)),
    ] {
        let mut frames = Frames::to(house.gate.address()).await;

        let stream = frames.asks(&request(&house, &[(":path", Some(path))], &[])).await;

        assert_eq!(frames.outcome(stream).await, expected, "{path}");
    }
    assert_eq!(upstream.count("GET /public/a HTTP/1.1\r\n"), 1);
    assert_eq!(upstream.count(" HTTP/1.1\r\n"), 1, "{:?}", upstream.received());
}

/// J13, D2: what a client says of the scheme is not believed: the application is told by what it came.
#[tokio::test]
async fn j13_a_scheme_over_http2_is_not_believed() {
    let (house, upstream) = with_upstream(Script::Answer(OK)).await;
    for scheme in ["http", "https", "HTTP", "ftp"] {
        let mut frames = Frames::to(house.gate.address()).await;

        let stream = frames.asks(&request(&house, &[(":scheme", Some(scheme))], &[])).await;

        let outcome = frames.outcome(stream).await;
        assert!(outcome == Outcome::Status(200) || outcome.is_refusal(), "{scheme}: {outcome:?}");
    }
    let requests = upstream.count(" HTTP/1.1\r\n");
    assert!(requests >= 1);
    assert_eq!(upstream.count("x-forwarded-proto: http\r\n"), requests);
}

/// J13: a body is as long as it was said to be, and trailers say nothing about the request.
#[tokio::test]
async fn j13_a_body_over_http2_is_as_long_as_it_says() {
    let (house, upstream) = with_upstream(Script::Answer(OK)).await;
    let smuggled = format!("GET /public/smuggled HTTP/1.1\r\nHost: {}\r\n\r\n", house.host());
    let trailer = block(&[(":path", "/admin"), ("x-forwarded-user", "root")]);
    for (what, length, body, trailers) in [
        ("too short", "100000", smuggled.as_str(), None),
        ("too long", "0", &smuggled, None),
        ("longer by a request", "3", &format!("abc{smuggled}"), None),
        ("trailers that say where", "3", "abc", Some(trailer)),
    ] {
        let mut frames = Frames::to(house.gate.address()).await;
        let headers = request(&house, &[(":method", Some("POST"))], &[("content-length", length)]);
        let stream = frames.new_stream();
        frames.sends(Kind::Headers, END_HEADERS, stream, &block(&headers)).await;
        let end = if trailers.is_some() { 0 } else { END_STREAM };
        frames.sends(Kind::Data, end, stream, body.as_bytes()).await;
        if let Some(trailers) = trailers {
            frames.sends(Kind::Headers, END_HEADERS | END_STREAM, stream, &trailers).await;
        }

        let outcome = frames.outcome(stream).await;

        // The head had gone on by then, which the application sees as a request that breaks off, or it had answered.
        assert!(
            outcome.is_refusal() || what.starts_with("trailers"),
            "{what}: {outcome:?} {:?}",
            upstream.received()
        );
    }
    // Nothing behind a body that is over is a request: what came is at most the beginning of each.
    for received in upstream.received() {
        let requests = received.matches(" HTTP/1.1\r\n").count();
        let inside = received.matches("GET /public/smuggled").count();
        assert!(requests - inside <= 1 && !received.contains("root"), "{received}");
        assert!(!received.contains("content-length: 3\r\n\r\nabcGET"), "{received}");
    }
}

/// J13, I5: a cookie header in pieces is one cookie header, with ours taken out of it.
#[tokio::test]
async fn j13_pieces_of_a_cookie_header_are_joined() {
    let (house, upstream) = with_upstream(Script::Answer(OK)).await;
    let session = house.session_of("bob").await;
    let mut frames = Frames::to(house.gate.address()).await;

    let headers = request(
        &house,
        &[(":path", Some("/app"))],
        &[("cookie", "a=1"), ("cookie", &session), ("cookie", "b=2; c=3")],
    );
    let stream = frames.asks(&headers).await;

    assert_eq!(frames.outcome(stream).await, Outcome::Status(200));
    let received = upstream.received().concat();
    let app = received.rsplit("GET /app").next().unwrap_or_default().to_ascii_lowercase();
    let cookies: Vec<&str> = app.lines().filter(|line| line.starts_with("cookie:")).collect();
    assert_eq!(cookies, ["cookie: a=1; b=2; c=3"], "{app}");
}

/// J8: a tunnel is not opened over HTTP/2 either, whatever protocol it is said to be for (RFC 8441).
#[tokio::test]
async fn j8_no_tunnel_is_opened_over_http2() {
    let (house, upstream) = with_upstream(Script::Answer(OK)).await;
    let host = house.host();
    for headers in [
        vec![(":method", "CONNECT"), (":authority", host)],
        vec![(":method", "CONNECT"), (":authority", "app.test:443")],
        vec![
            (":method", "CONNECT"),
            (":protocol", "websocket"),
            (":scheme", "http"),
            (":path", "/public/ws"),
            (":authority", host),
        ],
        request(&house, &[(":method", Some("TRACE"))], &[]),
    ] {
        let mut frames = Frames::to(house.gate.address()).await;

        let stream = frames.asks(&headers).await;

        let outcome = frames.outcome(stream).await;
        assert!(outcome.is_refusal(), "{headers:?}: {outcome:?}");
    }
    assert_eq!(upstream.received(), [] as [&str; 0]);
}
