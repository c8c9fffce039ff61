//! The same bytes through the gate to servers that other people wrote: whoever stands behind us sees the requests that
//! we saw, in number and in kind, and no other.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Instant;

use futures_util::{StreamExt as _, future};
use lychgate_fuzzing::families::Family;
use lychgate_fuzzing::lines;
use lychgate_tests::cast::backends::Backend;
use lychgate_tests::cast::gate::PATIENCE;
use lychgate_tests::cast::house::House;
use lychgate_tests::cast::raw;
use serde_json::Value;
use tokio::time::{Duration, sleep};

/// How many messages are under way at a time, to each server.
const AT_A_TIME: usize = 32;

/// What a server refuses by itself though the gate passes it on, with the reason why that is no trouble. Whoever adds a
/// line has looked at what the server saw: fewer requests than the gate, never others.
const REFUSED_BEHIND: &[(&str, &str, &str)] = &[
    (
        "Expect: 100-continue",
        "*",
        "pingora passes `Expect` on; a server may refuse or leave it (RFC 9110, 10.1.1)",
    ),
    ("X: <FF>", "*", "obs-text in a value is allowed (RFC 9110, 5.5), and some servers want UTF-8"),
];

/// Every server's answer to one message.
type Answers = BTreeMap<&'static str, Vec<u16>>;

/// J15: each message of the corpus, through the gate to nginx, Node, gunicorn and Go.
#[tokio::test]
async fn j15_every_server_behind_us_sees_what_we_saw() {
    let (node, gunicorn, go, behind_nginx) =
        tokio::join!(Backend::node(), Backend::gunicorn(), Backend::go(), Backend::go());
    let nginx = Backend::nginx(&behind_nginx).await;
    let backends = [&node, &gunicorn, &go, &nginx];
    let house = House::planned(|plan| {
        for backend in backends {
            let (name, address, port) = (backend.name, backend.address(), plan.port);
            plan.set(&format!(
                "[routes.{name}]\nurl = \"http://{name}.localhost:{port}\"\nupstream = \"http://{address}\"\n\
                 allow = [\"authenticated\"]\nrules = [{{ path = \"/public/**\", public = true }}]"
            ));
        }
    })
    .await;
    let messages: Vec<Vec<u8>> = lines(Family::Messages.committed()).collect();
    let shown: Vec<&str> =
        Family::Messages.committed().lines().filter(|line| !line.starts_with("# ")).collect();
    assert_eq!(messages.len(), shown.len());

    let asked = backends.map(async |backend| {
        let host = format!("{}.localhost:{}", backend.name, house.gate.address().port());
        let asks =
            messages.iter().map(async |message| asks(house.gate.address(), &host, message).await);
        let answers: Vec<Vec<u16>> =
            futures_util::stream::iter(asks).buffered(AT_A_TIME).collect().await;
        (backend.name, answers)
    });
    let asked: Vec<(&str, Vec<Vec<u16>>)> = future::join_all(asked).await;

    let mut wrong = Vec::new();
    for backend in backends {
        wrong.extend(sees_what_we_saw(&house, backend).await);
    }
    let passed_on = behind_nginx.seen();
    // Everything that it answered well came through, and nothing that it did not see. In between is what was given up
    // on the way, which it counts as refused and may have passed on.
    let by_nginx = nginx.seen();
    let answered = by_nginx.iter().filter(|seen| !seen.refused).count();
    if !(answered..=by_nginx.len()).contains(&passed_on.len()) {
        wrong.push(format!(
            "nginx saw {} and answered {answered}, and {} came through it",
            by_nginx.len(),
            passed_on.len()
        ));
    }
    wrong.extend(bodies_are_as_we_saw_them(&house, &passed_on).await);
    for (number, message) in shown.iter().enumerate() {
        let answers: Answers =
            asked.iter().map(|(name, answers)| (*name, answers[number].clone())).collect();
        wrong.extend(answers_agree(message, &answers));
    }
    assert!(wrong.is_empty(), "{} differences:\n{}", wrong.len(), wrong.join("\n"));
    for backend in backends {
        let count = backend.seen().len();
        assert!(count > 30, "{} saw only {count} requests", backend.name);
    }
}

async fn asks(gate: SocketAddr, host: &str, message: &[u8]) -> Vec<u16> {
    let host = host.as_bytes();
    let mut filled = Vec::with_capacity(message.len() + 64);
    let mut rest = message;
    while let Some(at) = rest.windows(6).position(|window| window == b"{host}") {
        filled.extend_from_slice(&rest[..at]);
        filled.extend_from_slice(host);
        rest = &rest[at + 6..];
    }
    filled.extend_from_slice(rest);
    raw::send(gate, filled).await.statuses()
}

/// The lines of requests that the gate has admitted to this route. Where the body turned out to be none, the application
/// has no answer in it.
fn admitted(house: &House, route: &str) -> BTreeMap<String, Value> {
    let lines = house.gate.lines().into_iter();
    let admitted = lines.filter(|line| line["route"] == route && line["decision"] == "public");
    admitted.filter_map(|line| Some((line["request_id"].as_str()?.to_owned(), line))).collect()
}

/// What this server saw is what the gate sent on to it, one by one.
async fn sees_what_we_saw(house: &House, backend: &Backend) -> Vec<String> {
    let name = backend.name;
    let began = Instant::now();
    // Lines are written a moment after the answer.
    let (sent, seen) = loop {
        let (sent, seen) = (admitted(house, name), backend.seen());
        let is_written = seen.iter().all(|seen| sent.contains_key(&seen.id));
        if is_written || began.elapsed() > PATIENCE {
            break (sent, seen);
        }
        sleep(Duration::from_millis(50)).await;
    };
    let mut wrong = Vec::new();
    let mut counted: BTreeMap<&str, usize> = BTreeMap::new();
    for request in &seen {
        *counted.entry(&request.id).or_default() += 1;
        let Some(line) = sent.get(&request.id) else {
            wrong.push(format!("{name} saw what we did not send: {request:?}"));
            continue;
        };
        let path = request.target.split('?').next().unwrap_or_default();
        let alike = line["method"] == request.method.as_str()
            && line["path"] == path
            && line["host"] == request.host.as_str()
            && request.body.is_none_or(|length| line["bytes_in"] == length);
        // What was broken off, the server refuses, and its own account of that is of no importance.
        let alike = alike || request.refused;
        if !alike {
            wrong.push(format!("{name} saw {request:?}, and we {line}"));
        }
    }
    for (id, line) in &sent {
        let count = counted.get(id.as_str()).copied().unwrap_or(0);
        let answered = line["upstream_status"].as_u64().is_some_and(|status| status < 400);
        if count > 1 || (answered && count == 0) {
            wrong.push(format!("{name} saw {count} times what we sent once: {line}"));
        }
    }
    wrong
}

/// What came through nginx has the bodies that we saw.
async fn bodies_are_as_we_saw_them(
    house: &House,
    passed_on: &[lychgate_tests::cast::backends::Seen],
) -> Vec<String> {
    let sent = admitted(house, "nginx");
    let differs = passed_on.iter().filter(|request| {
        let line = sent.get(&request.id);
        line.is_none_or(|line| request.body.is_none_or(|length| line["bytes_in"] != length))
    });
    differs.map(|request| format!("through nginx came {request:?}")).collect()
}

/// The gate answers alike whoever stands behind it, unless that one refuses by itself.
fn answers_agree(message: &str, answers: &Answers) -> Option<String> {
    let mut distinct: Vec<&Vec<u16>> = answers.values().collect();
    distinct.sort();
    distinct.dedup();
    if distinct.len() == 1 {
        return None;
    }
    let excused = |server: &str| {
        let known = REFUSED_BEHIND.iter();
        known
            .clone()
            .any(|(part, who, _)| message.contains(part) && (*who == "*" || *who == server))
    };
    let unexcused: Vec<_> = answers.iter().filter(|(server, _)| !excused(server)).collect();
    // Who sends the next request without waiting may lose the connection instead of hearing the answer; of one that
    // goes through, something is heard.
    let refused = unexcused.iter().all(|(_, answers)| answers.iter().all(|status| *status >= 400));
    let agree = unexcused.windows(2).all(|pair| {
        let shorter = pair[0].1.len().min(pair[1].1.len());
        (shorter > 0 || refused) && pair[0].1[..shorter] == pair[1].1[..shorter]
    });
    (!agree).then(|| format!("{message}: {answers:?}"))
}
