//! Beginning and ending: commands, exit codes, files, signals, sockets.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use http::{Method, StatusCode};
use lychgate_demo::echo::Echo;
use lychgate_tests::cast::gate::{Gate, free_port, lychgate};
use lychgate_tests::cast::house::House;
use lychgate_tests::cast::raw::Line;
use lychgate_tests::cast::scratch::Scratch;
use lychgate_tests::cast::upstream::{Script, Upstream};
use lychgate_tests::cast::visitor::Visitor;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustix::process::Signal;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;

const WRONG: &str = r#"
[providers.corp]
issuer        = "https://id.example.com"
client_id     = "grafana"
client_secret = "a-secret-that-nobody-may-see"

[routes.grafana]
url      = "https://grafana.example.com"
upstream = "http://127.0.0.1:3000"
alow     = ["group:engineering"]
"#;

/// A configuration without providers to wait for: everything is public.
fn public_gate(port: u16, application: SocketAddr) -> String {
    format!(
        "[listeners.main]\naddress = \"127.0.0.1:{port}\"\n\
         [routes.app]\nurl = \"http://app.localhost:{port}\"\nupstream = \"http://{application}\"\npublic = true\n\
         [admin]\naddress = \"127.0.0.1:{}\"\n",
        free_port()
    )
}

/// A-01, C-01: what is wrong is said at its place, with what to write instead; a supervisor does not retry.
#[test]
fn a_wrong_configuration_is_refused_with_the_place_and_the_remedy() {
    let scratch = Scratch::new();
    let file = scratch.write("lychgate.toml", WRONG);
    let file = file.to_str().expect("a path of text");

    let checked = lychgate(&scratch, ["check", "--offline", "-c", file]);
    let run = lychgate(&scratch, ["run", "-c", file]);
    let nginx = lychgate(&scratch, ["-t", "--offline", "-c", file]);

    assert_eq!((checked.code, run.code, nginx.code), (Some(1), Some(78), Some(1)));
    for printed in [&checked, &run, &nginx] {
        assert!(printed.stderr.contains("did you mean `allow`?"), "{}", printed.stderr);
        assert!(printed.stderr.contains("lychgate.toml:10:1"), "{}", printed.stderr);
        assert!(!printed.stderr.contains("a-secret-that-nobody-may-see"), "{}", printed.stderr);
    }
}

/// C-61: a good configuration is told what to register.
#[test]
fn a_good_configuration_is_told_what_to_register() {
    let scratch = Scratch::new();
    let good = WRONG
        .replace("alow ", "allow")
        .replace("\"a-secret-that-nobody-may-see\"", "{ file = \"no-such-file\" }");
    let file = scratch.write("lychgate.toml", good);

    let checked =
        lychgate(&scratch, ["check", "--offline", "-c", file.to_str().expect("a path of text")]);

    assert_eq!(checked.code, Some(0), "{}", checked.stderr);
    assert!(
        checked.stdout.contains("https://grafana.example.com/.lychgate/callback"),
        "{}",
        checked.stdout
    );
}

/// C-76: nothing is open that nobody said is open.
#[test]
fn a_route_that_says_nobody_who_may_use_it_is_refused() {
    let scratch = Scratch::new();
    let file =
        scratch.write("lychgate.toml", WRONG.replace("alow     = [\"group:engineering\"]", ""));

    let printed =
        lychgate(&scratch, ["check", "--offline", "-c", file.to_str().expect("a path of text")]);

    assert_eq!(printed.code, Some(1));
    assert!(printed.stderr.contains("E0201"), "{}", printed.stderr);
}

/// A-01: wrong usage has its own code, and a missing file is a wrong configuration.
#[test]
fn exit_codes_tell_wrong_usage_from_a_wrong_configuration() {
    let scratch = Scratch::new();
    for (arguments, expected) in [
        (&["run", "-c", "no-such-file.toml"][..], 78),
        (&["check", "-c", "no-such-file.toml"], 1),
        (&["frobnicate"], 2),
        (&["run", "--no-such-option"], 2),
        (&["--help"], 0),
        (&["--version"], 0),
        (&["health", "--address", "127.0.0.1:1"], 69),
    ] {
        let printed = lychgate(&scratch, arguments);

        assert_eq!(printed.code, Some(expected), "{arguments:?}: {}", printed.stderr);
    }
}

/// A-00: a result can be read by programs.
#[test]
fn the_version_is_told_to_programs() {
    let scratch = Scratch::new();

    let printed = lychgate(&scratch, ["version", "--format", "json"]);

    let version: Value = serde_json::from_str(&printed.stdout).expect("JSON");
    assert_eq!((printed.code, version["name"].as_str()), (Some(0), Some("lychgate")));
    assert!(version["version"].is_string() && printed.stderr.is_empty());
}

/// H4: keys are made fresh, readable by their owner alone, and never over another.
#[test]
fn keys_are_made_for_their_owner_alone() {
    let scratch = Scratch::new();

    let first = lychgate(&scratch, ["keys", "generate"]);
    let second = lychgate(&scratch, ["keys", "generate"]);
    let written = lychgate(&scratch, ["keys", "generate", "--write", "session.key"]);
    let again = lychgate(&scratch, ["keys", "generate", "--write", "session.key"]);

    assert_eq!((first.code, written.code, again.code), (Some(0), Some(0), Some(1)));
    assert_ne!(first.stdout, second.stdout);
    assert_eq!(first.stdout.trim().len(), 43, "256 bits");
    assert_eq!(mode(&scratch, "session.key"), 0o600);
    assert_eq!(scratch.read("session.key").trim().len(), 43);
}

fn mode(scratch: &Scratch, name: &str) -> u32 {
    fs::metadata(scratch.file(name)).expect("a file").permissions().mode() & 0o777
}

/// Secrets are starred out when a configuration is printed.
#[test]
fn a_configuration_is_printed_without_its_secrets() {
    let scratch = Scratch::new();
    let file = scratch.write("lychgate.toml", WRONG);

    let printed =
        lychgate(&scratch, ["config", "print", "-c", file.to_str().expect("a path of text")]);

    assert!(!format!("{printed:?}").contains("a-secret-that-nobody-may-see"), "{printed:?}");
    assert!(printed.stdout.contains("client_id"), "{printed:?}");
}

/// H4, CB-31: the key that nobody gave is made once, with mode 0600; sessions, and logins under way, outlive a restart
/// by it, and a login is still good once only.
#[tokio::test]
async fn a_session_outlives_a_restart_by_the_key_that_was_kept() {
    let mut toml = String::new();
    let house = House::planned(|plan| {
        plan.configuration.remove("sessions");
        toml = plan.configuration.to_string();
    })
    .await;
    let House { mut gate, provider, application } = house;
    let bob = Visitor::of(gate.url(), &[provider.issuer()]);
    bob.signs_in_as("bob", "/").await;
    let alice = Visitor::of(gate.url(), &[provider.issuer()]);
    let callback = alice.comes_back_as("alice", "/x").await;
    assert_eq!(mode(gate.scratch(), "state/session.key"), 0o600);
    let key = gate.scratch().read("state/session.key");
    let next = Scratch::new();
    fs::create_dir(next.file("state")).expect("a directory");
    fs::copy(gate.scratch().file("state/session.key"), next.file("state/session.key"))
        .expect("a copy");

    gate.terminate().await;
    let restarted = Gate::start_in(next, &toml).await;
    let page = bob.fetches("/x").await;
    let arrived = alice.opens(callback.as_str()).await;
    let again = alice.opens(callback.as_str()).await;

    assert_eq!(
        (page.status, page.echoed("x-forwarded-user").as_deref()),
        (StatusCode::OK, Some("bob"))
    );
    assert_eq!(arrived.status, StatusCode::SEE_OTHER);
    assert!(alice.has_session() && again.set_cookies().is_empty(), "{}", again.text());
    assert_eq!(restarted.scratch().read("state/session.key"), key);
    assert!(!restarted.output().contains(key.trim()));
    drop(application);
}

/// H4: a key that others can read is no key.
#[test]
fn a_kept_key_that_others_can_read_is_refused() {
    let scratch = Scratch::new();
    fs::create_dir(scratch.file("state")).expect("a directory");
    let key = scratch.write("state/session.key", lychgate(&scratch, ["keys", "generate"]).stdout);
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).expect("a mode");
    let file = scratch
        .write("lychgate.toml", public_gate(free_port(), SocketAddr::from(([127, 0, 0, 1], 1))));

    let printed = lychgate(&scratch, ["run", "-c", file.to_str().expect("a path of text")]);

    assert_eq!(printed.code, Some(1), "{}", printed.stderr);
    assert!(printed.stderr.contains("0600"), "{}", printed.stderr);
}

/// R-20: an address that is taken is said, and ends the start.
#[tokio::test]
async fn an_address_that_is_taken_is_said_at_once() {
    let house = House::open().await;
    let scratch = Scratch::new();
    let taken = house.gate.address().port();
    let file = scratch.write("lychgate.toml", public_gate(taken, house.application.address()));

    let printed = lychgate(&scratch, ["run", "-c", file.to_str().expect("a path of text")]);

    assert_eq!(printed.code, Some(1), "{}", printed.stderr);
    assert!(printed.stderr.contains(&format!("127.0.0.1:{taken}")), "{}", printed.stderr);
}

/// R29, K-20: a gate with nothing to do ends at once, and says so with 0.
#[tokio::test]
async fn an_idle_gate_ends_at_once() {
    let mut house = House::open().await;
    house.signed_in("bob").await;

    let ending = house.gate.terminate().await;

    assert_eq!(ending.code, Some(0), "{}", house.gate.output());
    assert!(ending.after < Duration::from_secs(5), "{:?}: the grace period is 25 s", ending.after);
    assert!(house.gate.output().contains("stopped"), "{}", house.gate.output());
}

/// R29, K-20, K-21: readiness fails first, what is under way is finished, and nothing new is taken.
#[tokio::test]
async fn a_request_under_way_is_finished_while_readiness_fails() {
    let mut house = House::open().await;
    let visitor = house.signed_in("bob").await;
    let url = visitor.url("/stream?n=12");
    let mut slow = visitor.request(Method::GET, &url, &[]).send().await.expect("an answer");
    slow.chunk().await.expect("it begins");

    house.gate.signal(Signal::TERM);
    house.gate.line("it was told", |line| line["message"] == "stopping").await;
    let ready = reqwest::get(house.gate.admin_url("/readyz")).await.expect("an answer");
    let alive = reqwest::get(house.gate.admin_url("/livez")).await.expect("an answer");
    let mut text = String::new();
    while let Some(piece) = slow.chunk().await.expect("it is not cut off") {
        text.push_str(&String::from_utf8_lossy(&piece));
    }
    let ending = house.gate.ended().await;

    assert_eq!((ready.status(), alive.status()), (StatusCode::SERVICE_UNAVAILABLE, StatusCode::OK));
    assert!(text.contains("data: 12"), "{text}");
    assert_eq!(ending.code, Some(0), "{}", house.gate.output());
}

/// R29, K-20: what takes longer than the grace period is cut off.
#[tokio::test]
async fn a_request_that_outlasts_the_grace_period_is_cut_off() {
    let mut house = House::with("limits.shutdown_timeout = \"1s\"").await;
    let visitor = house.signed_in("bob").await;
    let url = visitor.url("/stream?n=1000");
    let mut endless = visitor.request(Method::GET, &url, &[]).send().await.expect("an answer");
    endless.chunk().await.expect("it begins");

    let ending = house.gate.terminate().await;

    assert_eq!(ending.code, Some(0), "{}", house.gate.output());
    assert!(ending.after < Duration::from_secs(20), "{:?}", ending.after);
    assert!(house.gate.output().contains("cut off"), "{}", house.gate.output());
}

/// R29, K-20: whoever is in a hurry says it twice.
#[tokio::test]
async fn a_second_signal_ends_it_at_once() {
    let mut house = House::open().await;
    let visitor = house.signed_in("bob").await;
    let url = visitor.url("/stream?n=1000");
    let mut endless = visitor.request(Method::GET, &url, &[]).send().await.expect("an answer");
    endless.chunk().await.expect("it begins");

    house.gate.signal(Signal::TERM);
    house.gate.line("it was told", |line| line["message"] == "stopping").await;
    // Sent until it is heard: a signal that comes while the first is being handled is not a second one.
    let hurry = async {
        loop {
            house.gate.signal(Signal::INT);
            tokio::time::sleep(Duration::from_millis(50)).await;
            if house.gate.output().contains("stopped at once") {
                return;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(15), hurry)
        .await
        .expect("it ends before the grace period does");
    let ending = house.gate.ended().await;

    assert!(ending.after < Duration::from_secs(5), "{:?}", ending.after);
}

/// `health` asks as a container would.
#[tokio::test]
async fn health_tells_whether_a_gate_is_ready() {
    let house = House::open().await;
    let scratch = Scratch::new();
    let address = house.gate.admin().to_string();

    let printed =
        tokio::task::spawn_blocking(move || lychgate(&scratch, ["health", "--address", &address]));
    let printed = printed.await.expect("it ran");

    assert_eq!((printed.code, printed.stdout.as_str()), (Some(0), "ready\n"));
}

/// `check` asks everybody that the configuration names.
#[tokio::test]
async fn a_check_says_who_does_not_answer() {
    let house = House::open().await;
    let toml = house.gate.scratch().read("lychgate.toml");
    let scratch = Scratch::new();
    let good = scratch.write("good.toml", &toml);
    let gone = format!("127.0.0.1:{}", free_port());
    let bad = scratch.write("bad.toml", toml.replace(&house.provider.address().to_string(), &gone));

    let both = tokio::task::spawn_blocking(move || {
        let check = |file: &std::path::Path| {
            lychgate(&scratch, ["check".as_ref(), "-c".as_ref(), file.as_os_str()])
        };
        (check(&good), check(&bad))
    });
    let (good, bad) = both.await.expect("they ran");

    assert_eq!(good.code, Some(0), "{good:?}");
    assert_eq!(bad.code, Some(69), "{bad:?}");
    assert!(good.stdout.contains(": ok ("), "{good:?}");
    assert!(bad.stdout.contains("but 1 of what it names does not answer"), "{bad:?}");
    assert!(!bad.stdout.contains(": ok ("), "{bad:?}");
    assert!(bad.stderr.contains("unreachable: providers."), "{bad:?}");
}

/// A-01: a gate that could not prove who it is does not open, and says which files are to blame.
#[test]
fn a_certificate_without_its_key_is_said_at_once() {
    let scratch = Scratch::new();
    let [first, second] = ["app.test", "other.test"]
        .map(|name| generate_simple_self_signed([name.to_owned()]).expect("a certificate"));
    scratch.write("tls.crt", first.cert.pem());
    scratch.write("tls.key", second.signing_key.serialize_pem());
    let (port, nobody) = (free_port(), SocketAddr::from((Ipv4Addr::LOCALHOST, free_port())));
    let toml = public_gate(port, nobody).replace(
        "[routes.app]",
        "tls = { certificate = \"tls.crt\", key = \"tls.key\" }\n[routes.app]",
    );
    let file = scratch.write("lychgate.toml", toml);
    let file = file.to_str().expect("a path of text");

    let run = lychgate(&scratch, ["run", "-c", file]);
    let checked = lychgate(&scratch, ["check", "-c", file]);

    assert_eq!((run.code, checked.code), (Some(78), Some(1)), "{run:?} {checked:?}");
    assert_eq!(checked.stdout, "", "nobody was asked, and nothing is ok");
    for printed in [run, checked] {
        for word in ["error: ", "tls.crt", "tls.key"] {
            assert!(printed.stderr.contains(word), "{word}: {}", printed.stderr);
        }
    }
}

/// K-30: a socket file, for a proxy on the same machine.
#[tokio::test]
async fn a_gate_listens_on_a_socket_file() {
    let upstream =
        Echo::start(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await.expect("it starts");
    let scratch = Scratch::new();
    let path = scratch.file("gate.sock");
    let toml = public_gate(free_port(), upstream.address())
        + &format!(
            "[listeners.socket]\naddress = \"unix:{}\"\nmode = \"0600\"\ntrusted_proxies = [\"unix\"]\n",
            path.display()
        );
    let mut gate = Gate::start_in(scratch, &toml).await;
    let host = gate.url().trim_start_matches("http://").to_owned();

    let mut stream = UnixStream::connect(&path).await.expect("it listens");
    let request = format!(
        "GET /x HTTP/1.1\r\nHost: {host}\r\nX-Forwarded-For: 192.0.2.7\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.expect("it is sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("it is read");

    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert_eq!(upstream.requests()[0].header("x-forwarded-for"), Some("192.0.2.7"));
    assert_eq!(mode(gate.scratch(), "gate.sock"), 0o600);
    gate.terminate().await;
    assert!(!path.exists(), "nothing is left behind");
}

/// P5, P-03, J-TLS: TLS, HTTP/2 by agreement, and a door beside it that leads there.
#[tokio::test]
async fn a_gate_speaks_tls_and_leads_others_to_it() {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(["app.test".to_owned()]).expect("a certificate");
    let (tls_port, plain_port) = (free_port(), free_port());
    let house = House::planned(|plan| {
        plan.scratch.write("tls.crt", cert.pem());
        plan.scratch.write("tls.key", signing_key.serialize_pem());
        plan.configuration.remove("listeners");
        plan.set(&format!(
            "[listeners.https]\naddress = \"127.0.0.1:{tls_port}\"\ntls = {{ certificate = \"tls.crt\", key = \"tls.key\" }}\n\
             [listeners.plain]\naddress = \"127.0.0.1:{plain_port}\"\nredirect_to_https = true\n\
             [routes.app]\nurl = \"https://app.test:{tls_port}\""
        ));
        plan.provider.clients[0].redirect_uris = vec![format!("https://app.test:{tls_port}/.lychgate/callback")];
    })
    .await;
    let origin = format!("https://app.test:{tls_port}");
    let bob = Visitor::trusting(&origin, &[house.provider.issuer()], &cert.pem());

    let page = bob.signs_in_as("bob", "/deep?x=1").await;
    let plain = lychgate_tests::cast::raw::send(
        SocketAddr::from((Ipv4Addr::LOCALHOST, plain_port)),
        "GET /deep?x=1 HTTP/1.1\r\nHost: app.test\r\nX-Forwarded-Proto: https\r\nConnection: close\r\n\r\n",
    )
    .await;
    let stranger = lychgate_tests::cast::raw::send(
        SocketAddr::from((Ipv4Addr::LOCALHOST, plain_port)),
        "GET / HTTP/1.1\r\nHost: evil.test\r\nConnection: close\r\n\r\n",
    )
    .await;

    assert_eq!(page.status, 200, "{}", page.text());
    assert!(bob.cookie("__Host-lychgate").is_some(), "{:?}", bob.cookies());
    assert!([301, 302, 307, 308].contains(&plain.statuses()[0]), "{:?}", plain.statuses());
    assert_eq!(plain.responses[0].header("location"), Some(format!("{origin}/deep?x=1").as_str()));
    for (name, protection) in [
        ("cache-control", "no-store"),
        ("referrer-policy", "no-referrer"),
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
    ] {
        assert_eq!(plain.responses[0].header(name), Some(protection), "{name}");
    }
    assert!(plain.responses[0].header("content-security-policy").is_some(), "{plain:?}");
    assert_eq!(stranger.responses[0].header("location"), None);
    assert!(
        house
            .application
            .requests()
            .iter()
            .all(|request| request.header("x-forwarded-proto") == Some("https"))
    );
}

/// P1, C-70: over TLS, a host that nobody serves here is another's.
#[tokio::test]
async fn over_tls_an_unknown_host_is_misdirected() {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(["app.test".to_owned(), "other.test".to_owned()])
            .expect("a certificate");
    let port = free_port();
    let house = House::planned(|plan| {
        plan.scratch.write("tls.crt", cert.pem());
        plan.scratch.write("tls.key", signing_key.serialize_pem());
        plan.set(&format!(
            "[listeners.secure]\naddress = \"127.0.0.1:{port}\"\ntls = {{ certificate = \"tls.crt\", key = \"tls.key\" }}\n\
             [routes.app]\nurl = \"https://app.test\""
        ));
    })
    .await;
    let visitor = Visitor::trusting(&format!("https://other.test:{port}"), &[], &cert.pem());

    let answer = visitor.opens("/").await;

    assert_eq!(answer.status, StatusCode::MISDIRECTED_REQUEST);
    assert_eq!(house.application.requests(), []);
}

/// K3: whoever sends a header a byte at a time is not waited for.
#[tokio::test]
async fn a_header_that_comes_too_slowly_ends_the_connection() {
    let house = House::with("limits.header_timeout = \"1s\"").await;
    let mut line = Line::to(house.gate.address()).await;

    line.says("GET /public/ HTTP/1.1\r\nHost: ").await;
    let exchange = line.rest().await;

    assert_eq!(exchange.end, lychgate_tests::cast::raw::End::Closed);
    assert!(
        exchange.statuses().is_empty() || exchange.statuses() == [408],
        "{:?}",
        exchange.statuses()
    );
}

/// K4: more connections than are allowed wait, and are served when there is room.
#[tokio::test]
async fn connections_over_the_limit_wait_their_turn() {
    let upstream =
        Upstream::start(Script::Answer(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")).await;
    let address = upstream.address();
    let house = House::planned(|plan| {
        plan.upstream(address);
        plan.set("limits.connections = 2");
    })
    .await;
    let first = Line::to(house.gate.address()).await;
    let second = Line::to(house.gate.address()).await;
    let mut third = Line::to(house.gate.address()).await;
    third.says(format!("GET /public/ HTTP/1.1\r\nHost: {}\r\n\r\n", house.host())).await;

    drop((first, second));
    let answer = third.hears().await;

    assert_eq!((answer.status, answer.text()), (200, "ok".to_owned()));
}
