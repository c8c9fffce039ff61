//! What is lied to: every hostile path and every hostile return target, against the real binary.
//!
//! The lines come from `tests/fixtures/hostile`. What a path means is judged by a reader that shares no code with the
//! gate, and where a `Location` leads by the parser that browsers use.

use futures_util::StreamExt as _;
use http::{Method, header};
use lychgate_fuzzing::families::Family;
use lychgate_fuzzing::lines;
use lychgate_fuzzing::readings::{climbed, decoded, readings};
use lychgate_tests::cast::house::House;
use lychgate_tests::cast::raw;
use lychgate_tests::cast::visitor::Visitor;
use url::Url;

/// How many ask at a time.
const AT_A_TIME: usize = 24;

/// B1 to B9, O1: without a session nothing reaches the application that is not public by every reading of it, and
/// what is decoded once more and sent again is answered as before or refused.
#[tokio::test]
async fn no_spelling_of_a_path_reaches_what_is_not_public() {
    let house = House::with(
        "[[routes.app.rules]]\npath = \"/public/**\"\npublic = true\n\
         [[routes.app.rules]]\npath = \"/files/*/shared\"\npublic = true",
    )
    .await;
    let asks = async |target: Vec<u8>| {
        let host = house.host();
        let rest = format!(" HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        let message = [b"GET ", &*target, rest.as_bytes()].concat();
        let mut line = raw::Line::to(house.gate.address()).await;
        line.says(message).await;
        (target, line.hears().await.status)
    };
    let paths: Vec<_> = lines(Family::Paths.committed()).collect();
    let answers: Vec<_> =
        futures_util::stream::iter(paths).map(&asks).buffer_unordered(AT_A_TIME).collect().await;

    let (mut passed, mut again) = (0, Vec::new());
    for (target, status) in &answers {
        let shown = target.escape_ascii();
        assert!([200, 400, 401, 404].contains(status), "{shown} is answered {status}");
        passed += usize::from(*status == 200);
        if let (200, Ok(target)) = (status, std::str::from_utf8(target)) {
            let path = target.split('?').next().unwrap_or_default();
            again.push(decoded(path).into_bytes());
        }
    }
    let again: Vec<_> =
        futures_util::stream::iter(again).map(&asks).buffer_unordered(AT_A_TIME).collect().await;
    for (target, status) in again {
        assert!([200, 400].contains(&status), "{} is answered {status}", target.escape_ascii());
    }
    let requests = house.application.requests();
    assert!(passed > 150 && requests.len() >= passed, "{passed} of {}", requests.len());
    for request in requests {
        for reading in readings(&request.path) {
            let reading = climbed(&reading);
            let segments: Vec<&str> = reading.split('/').skip(1).collect();
            let public = segments.first() == Some(&"public")
                || matches!(segments[..], ["files", _, "shared"]);
            assert!(
                public,
                "{} reached the application and can be read as {reading}",
                request.path
            );
        }
    }
}

/// A1 to A3, O3: whatever a browser is asked to return to, at the start of a sign-in, at its end and at sign-out, it
/// stays here. The visitor of the cast reads every `Location` as a browser does, and knows no other place.
#[tokio::test]
async fn a_hostile_return_to_leads_home() {
    let house = House::open().await;
    let bob = house.signed_in("bob").await;
    let targets: Vec<_> = lines(Family::ReturnTo.committed())
        .map(|line| String::from_utf8(line).expect("return targets are text"))
        .collect();
    let nobody = Visitor::of(house.gate.url(), &[]);
    let asks = async |target: &String| {
        let place = |path: &str| {
            let mut place = bob.url(path);
            place.query_pairs_mut().append_pair("return_to", target);
            place
        };
        let answer = bob.opens(place("/.lychgate/login").as_str()).await;
        assert_eq!(answer.location().as_ref(), Some(&bob.url("/")), "{target:?}");

        let answer =
            nobody.sends(Method::POST, place("/.lychgate/logout").as_str(), &[], Vec::new()).await;
        assert_eq!((answer.status.as_u16(), answer.location()), (200, None), "{target:?}");
    };
    futures_util::stream::iter(&targets).for_each_concurrent(AT_A_TIME, asks).await;

    // The whole way through the provider and back takes longer, so some go it for all.
    for target in targets.iter().step_by(targets.len() / 12) {
        let eve = house.visitor();
        let mut place = eve.url("/.lychgate/login");
        place.query_pairs_mut().append_pair("return_to", target);
        let callback = eve.comes_back_as("eve", place.as_str()).await;
        let answer = eve.opens(callback.as_str()).await;
        let location = answer.headers.get(header::LOCATION).and_then(|it| it.to_str().ok());
        let page = Url::parse(callback.as_str()).expect("the callback is a page");
        let there = location.map(|location| page.join(location).expect("a place"));
        assert_eq!(there, Some(eve.url("/")), "{target:?}");
    }
}
