//! Where a message ends: what could be read in two ways is refused, and nothing hides behind it.

use lychgate_tests::cast::house::House;
use lychgate_tests::cast::raw::End;
use lychgate_tests::cast::upstream::Script;

use crate::raw_bytes::{OK, send, with_upstream};

/// J2: a message whose end could be found in two ways is refused, and its connection closed.
#[tokio::test]
async fn j2_two_ways_to_say_where_a_body_ends_are_one_too_many() {
    let (house, upstream) = with_upstream(Script::Answer(OK)).await;
    for framing in [
        "Content-Length: 4\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 4",
        "Content-Length: 4\r\nTRANSFER-encoding: chunked",
        "Transfer-Encoding:\r\n chunked",
        "Transfer-Encoding: ,chunked",
        "Transfer-Encoding: chunked, chunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
        "Transfer-Encoding: identity, chunked",
        "Transfer-Encoding: chunked, identity",
        "Transfer-Encoding: gzip, chunked",
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding: identity",
        "Transfer-Encoding: \x0bchunked",
        "Transfer-Encoding: chunked\u{a0}",
        "Transfer-Encoding : chunked",
        "Transfer-Encoding: \"chunked\"",
        "Transfer-Encoding: chunked;q=1",
        "Transfer_Encoding: x\r\nTransfer-Encoding: cow",
    ] {
        let message = format!(
            "POST /public/a HTTP/1.1\r\nHost: {{host}}\r\n{framing}\r\n\r\n0\r\n\r\n\
             GET /public/smuggled HTTP/1.1\r\nHost: {{host}}\r\n\r\n"
        );

        let exchange = send(&house, &message).await;

        assert!(
            exchange.is_refused_with(400),
            "{framing:?}: {:?} {:?}",
            exchange.statuses(),
            exchange.end
        );
    }
    assert_eq!(upstream.received(), [] as [&str; 0]);
}

/// J3: a length is digits, once.
#[tokio::test]
async fn j3_a_length_that_is_not_plain_digits_is_refused() {
    let (house, upstream) = with_upstream(Script::Answer(OK)).await;
    for length in [
        "Content-Length: +3",
        "Content-Length: -0",
        "Content-Length: -1",
        "Content-Length: 0x10",
        "Content-Length: 1_0",
        "Content-Length:",
        "Content-Length: 3,4",
        "Content-Length: 3, 3 4",
        "Content-Length: 18446744073709551616",
        "Content-Length: 3\r\nContent-Length: 4",
        "Content-Length: 3\r\ncontent-length: 30",
        "Content-Length: three",
        "Content-Length: 3 3",
        "Content-Length: 3.0",
        "Content-Length: \u{663}",
    ] {
        for method in ["POST", "GET", "DELETE"] {
            let message = format!(
                "{method} /public/a HTTP/1.1\r\nHost: {{host}}\r\n{length}\r\n\r\nabc\
                 GET /public/smuggled HTTP/1.1\r\nHost: {{host}}\r\n\r\n"
            );

            let exchange = send(&house, &message).await;

            assert!(
                exchange.is_refused_with(400),
                "{method} {length:?}: {:?} {:?}",
                exchange.statuses(),
                exchange.end
            );
        }
    }
    assert_eq!(upstream.count("smuggled"), 0);
    assert_eq!(upstream.received(), [] as [&str; 0]);
}

/// J4: chunks that are not as the grammar has them never let anything through that hides behind them.
#[tokio::test]
async fn j4_chunks_that_can_be_read_in_two_ways_hide_nothing() {
    let (house, upstream) = with_upstream(Script::Answer(OK)).await;
    let smuggled = "GET /public/smuggled HTTP/1.1\r\nHost: {host}\r\n\r\n";
    for chunks in [
        "0x3\r\nabc\r\n0\r\n\r\n",
        "+3\r\nabc\r\n0\r\n\r\n",
        "-3\r\nabc\r\n0\r\n\r\n",
        "3\nabc\n0\n\n",
        "3\r\nabcd\r\n0\r\n\r\n",
        "3\r\nabc0\r\n\r\n",
        "3\rX\nabc\r\n0\r\n\r\n",
        "ffffffffffffffff1\r\nabc\r\n0\r\n\r\n",
        "3 ;a\nGET /public/smuggled HTTP/1.1\r\n\r\nabc\r\n0\r\n\r\n",
        "\r\n3\r\nabc\r\n0\r\n\r\n",
        "3\r\nabc\r\r\n0\r\n\r\n",
        "g\r\nabc\r\n0\r\n\r\n",
        "3;\r\r\nabc\r\n0\r\n\r\n",
    ] {
        let message = format!(
            "POST /public/a HTTP/1.1\r\nHost: {{host}}\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}{smuggled}"
        );

        let exchange = send(&house, &message).await;

        let statuses = exchange.statuses();
        assert!(
            statuses.len() <= 1 && exchange.end == End::Closed,
            "{chunks:?}: {statuses:?} {:?}",
            exchange.end
        );
    }
    assert_eq!(upstream.count("smuggled HTTP"), 0, "{:?}", upstream.received());
}

/// J4: good chunks arrive whole, whatever else a client may say with them.
#[tokio::test]
async fn j4_good_chunks_arrive_and_are_framed_anew() {
    let house = House::open().await;

    let message = "POST /public/up HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\n\r\n\
                   3;ext=1\r\nabc\r\n0A\r\n0123456789\r\n0\r\nContent-Length: 3\r\nX-Forwarded-User: root\r\n\r\n\
                   GET /public/next HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n";
    let exchange = send(&house, message).await;

    let echoed: serde_json::Value =
        serde_json::from_slice(&exchange.responses[0].body).expect("JSON");
    assert_eq!(echoed["body_bytes"], 13);
    assert!(!exchange.responses[0].text().contains("root"));
    // A client that does not wait for its answer may lose its connection, and then asks again; what follows
    // the body is a request or nothing.
    assert!(
        exchange.statuses() == [200, 200]
            || (exchange.statuses() == [200] && exchange.end == End::Closed),
        "{:?} {:?}",
        exchange.responses,
        exchange.end
    );
}

/// J5: versions of HTTP that are not, or not quite, spoken here.
#[tokio::test]
async fn j5_old_and_invented_versions_hide_nothing() {
    let (house, upstream) = with_upstream(Script::Answer(OK)).await;
    let smuggled = "GET /public/smuggled HTTP/1.1\r\nHost: {host}\r\n\r\n";
    for (what, message, expected) in [
        (
            "body without a length",
            format!("POST /public/a HTTP/1.0\r\nHost: {{host}}\r\n\r\n{smuggled}"),
            &[200][..],
        ),
        (
            "coding on 1.0",
            format!(
                "POST /public/b HTTP/1.0\r\nHost: {{host}}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{smuggled}"
            ),
            &[400],
        ),
        ("0.9", "GET /public/c\r\n\r\n".to_owned(), &[400]),
        ("1.2", format!("GET /public/d HTTP/1.2\r\nHost: {{host}}\r\n\r\n{smuggled}"), &[400, 505]),
        ("2.0", format!("GET /public/e HTTP/2.0\r\nHost: {{host}}\r\n\r\n{smuggled}"), &[400, 505]),
        ("no version", "GET /public/f \r\nHost: {host}\r\n\r\n".to_owned(), &[400]),
        ("small letters", "GET /public/g http/1.1\r\nHost: {host}\r\n\r\n".to_owned(), &[400]),
    ] {
        let exchange = send(&house, &message).await;

        let statuses = exchange.statuses();
        assert!(
            statuses.len() == 1 && expected.contains(&statuses[0]),
            "{what}: {:?}",
            exchange.responses
        );
        assert_eq!(exchange.end, End::Closed, "{what}");
    }
    assert_eq!(upstream.count("smuggled"), 0);
    assert!(
        upstream.count("GET /public") == 0 && upstream.count("POST /public") <= 1,
        "{:?}",
        upstream.received()
    );
}
