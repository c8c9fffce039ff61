//! Every line of `tests/fixtures/hostile`, decided by a whole gateway.
//!
//! What is forwarded under a public rule has to be public by every one of its [`readings`].

#[expect(unreachable_pub, reason = "it is also a module of a library")]
#[path = "../../../tests/fuzzing/src/lines.rs"]
mod lines;
#[expect(unreachable_pub, reason = "it is also a module of a library")]
#[path = "../../../tests/fuzzing/src/readings.rs"]
mod readings;
#[expect(dead_code, reason = "stories need more words than these lines do")]
mod world;

use std::net::IpAddr;

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use lychgate_gateway::forwarded::{Peer, TrustedProxies, client};
use lychgate_gateway::headers::Stripped;
use lychgate_gateway::outcome::{DecisionWord, Outcome};

use lines::lines;
use readings::{climbed, decoded, readings};
use world::browser::{admission, refusal};
use world::plan::{Plan, PlannedRoute};
use world::provider::Person;
use world::{Ask, World};

const PATHS: &str = include_str!("../../../tests/fixtures/hostile/paths.txt");

/// On `app.test` only `/public` and what is shared of `/files` are open; on `open.test` everything but three areas.
fn plan() -> Plan {
    let mut plan = Plan::one_app();
    plan.routes[0].rules.push(("/files/*/shared", None));
    let mut open = PlannedRoute::new("open", "https://open.test", &["corp"]);
    open.rules = vec![
        ("/admin/**", Some("sre")),
        ("/a@b/**", Some("sre")),
        ("/[x]/**", Some("sre")),
        ("/**", None),
    ];
    plan.routes.push(open);
    plan
}

fn is_open(host: &str, path: &str) -> bool {
    let mut segments = path.split('/').skip(1);
    let first = segments.next().unwrap_or_default();
    match host {
        "app.test" => {
            let rest: Vec<&str> = segments.collect();
            first == "public" || (first == "files" && matches!(rest[..], [_, "shared"]))
        }
        _ => !["admin", "a@b", "[x]"].contains(&first),
    }
}

fn is_malformed(outcome: &Outcome) -> bool {
    outcome.record.route.is_none() && refusal(outcome).is_some()
}

/// B1 to B9: nobody who is not signed in reaches what any reader of the forwarded path holds for protected, and
/// one more decoding changes no decision.
#[test]
fn no_spelling_of_a_path_means_more_to_an_application_than_to_us() {
    let world = World::new(plan());
    let (mut admitted, mut refused) = (0, 0);
    for line in lines(PATHS) {
        let Ok(target) = String::from_utf8(line) else { continue };
        for host in ["app.test", "open.test"] {
            let visit = |target: &str| {
                let mut ask = Ask::new(Method::GET, &format!("https://{host}/"));
                target.clone_into(&mut ask.target);
                world.visit(&ask)
            };
            let outcome = visit(&target);
            let Some(admission) = admission(&outcome) else {
                refused += usize::from(is_malformed(&outcome));
                continue;
            };
            admitted += 1;
            assert_eq!(outcome.record.decision, DecisionWord::Public, "{target:?} at {host}");
            let path = admission.target().split('?').next().unwrap_or_default();
            for reading in readings(path) {
                let climbed = climbed(&reading);
                assert!(is_open(host, &climbed), "{target:?} at {host} can be read as {reading:?}");
            }
            let again = visit(&decoded(path));
            let same = again.record.rule == outcome.record.rule || is_malformed(&again);
            assert!(same, "{target:?} at {host} is something else when it is decoded again");
        }
    }
    assert!(admitted > 400 && refused > 1000, "{admitted} admitted, {refused} refused");
}

/// B3: nor does anybody who is signed in reach what is only for others.
#[test]
fn no_spelling_of_a_path_leads_to_what_is_for_others() {
    let world = World::new(plan());
    let mut bob = world.browser(Person::bob());
    bob.opens("https://app.test/");
    let mut admitted = 0;
    for line in lines(PATHS) {
        let Ok(target) = String::from_utf8(line) else { continue };
        let mut ask = bob.page("https://app.test/");
        target.clone_into(&mut ask.target);
        let outcome = world.visit(&bob.prepared(ask));
        let Some(admission) = admission(&outcome) else { continue };
        admitted += 1;
        let path = admission.target().split('?').next().unwrap_or_default();
        for reading in readings(path) {
            let climbed = climbed(&reading);
            let is_admin = climbed == "/admin" || climbed.starts_with("/admin/");
            assert!(!is_admin, "{target:?} can be read as {reading:?}");
        }
    }
    assert!(admitted > 200, "{admitted}");
}

/// C1: each of these would be one of our headers to some application.
#[test]
fn every_name_that_an_application_takes_for_ours_is_stripped() {
    let stripped = Stripped::new([]);
    let names = include_str!("../../../tests/fixtures/hostile/header_names.txt");
    for line in lines(names) {
        let name = String::from_utf8(line).expect("names are text");
        assert!(stripped.contains(&name), "{name}");
    }
}

/// D1 to D5: a stranger says nothing about where a request comes from, and nobody invents an address.
#[test]
fn no_forwarding_header_makes_an_address_up() {
    let trusted = TrustedProxies {
        networks: vec!["10.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()],
        unix: false,
    };
    let (stranger, near) = (IpAddr::from([203, 0, 113, 9]), IpAddr::from([10, 0, 0, 5]));
    let (mut believed, mut unreadable) = (0, 0);
    for line in lines(include_str!("../../../tests/fixtures/hostile/forwarded.txt")) {
        let values = line.split(|byte| *byte == b'\n');
        let headers: HeaderMap = values
            .filter_map(|value| HeaderValue::from_bytes(value).ok())
            .map(|value| (HeaderName::from_static("x-forwarded-for"), value))
            .collect();
        assert_eq!(client(Peer::Address(stranger), &trusted, &headers).client, Some(stranger));
        match client(Peer::Address(near), &trusted, &headers).client {
            None => unreadable += 1,
            Some(address) => {
                let text = String::from_utf8_lossy(&line).to_lowercase();
                let mapped = address.to_string();
                let said = text.contains(&mapped)
                    || [
                        "2001:db8",
                        "c000:201",
                        "::10.0.0.7",
                        "::ffff:0:",
                        "64:ff9b",
                        "2002:",
                        "::",
                    ]
                    .iter()
                    .any(|part| text.contains(part))
                    || address == near;
                assert!(said, "{address} comes from {text:?}");
                believed += 1;
            }
        }
    }
    assert!(believed > 50 && unreadable > 100, "{believed} believed, {unreadable} unreadable");
}
