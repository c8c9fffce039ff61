//! The configuration changes while traffic flows: who notices, who does not, and what is said when it is wrong.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures_util::{SinkExt as _, StreamExt as _};
use http::{Method, StatusCode};
use lychgate_tests::cast::gate::{Gate, PATIENCE, Printed, free_port, lychgate};
use lychgate_tests::cast::house::{CLIENT_SECRET, House, Plan};
use lychgate_tests::cast::upstream::{Authority, Validity};
use lychgate_tests::cast::visitor::Visitor;
use rustix::process::Signal;
use rustls::pki_types::ServerName;
use rustls::version::TLS13;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_tungstenite::client_async;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;

/// A house, and the configuration with which it began.
async fn house(change: impl FnOnce(&mut Plan)) -> (House, String) {
    let mut toml = String::new();
    let house = House::planned(|plan| {
        change(plan);
        toml = plan.configuration.to_string();
    })
    .await;
    (house, toml)
}

/// A route that everybody may see, at `/NAME`.
fn open_route(house: &House, name: &str) -> String {
    house.gate.also_opens(name);
    format!(
        "\n[routes.{name}]\nurl = \"{}/{name}\"\nupstream = \"http://{}\"\npublic = true\n",
        house.gate.url(),
        house.application.address()
    )
}

fn write(gate: &Gate, toml: &str) {
    // In one step, as careful editors do it.
    let next = gate.scratch().write("lychgate.toml.next", toml);
    fs::rename(next, gate.scratch().file("lychgate.toml")).expect("the file is replaced");
}

/// Runs a command beside the gate, at home in its directory.
fn command(gate: &Gate, arguments: &[&str]) -> Printed {
    lychgate(gate.scratch(), arguments)
}

fn reload(gate: &Gate) -> Printed {
    command(gate, &["reload"])
}

/// Waits until something is so.
async fn until(gate: &Gate, what: &str, is_so: impl AsyncFn() -> bool) {
    let began = Instant::now();
    while !is_so().await {
        assert!(began.elapsed() < PATIENCE, "not {what}\n{}", gate.output());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn reloads(gate: &Gate, message: &str) -> usize {
    gate.lines().iter().filter(|line| line["message"] == message).count()
}

const DONE: &str = "the configuration was reloaded";
const REFUSED: &str = "the configuration was not reloaded; the one before goes on";

/// The value of a metric without labels, or with these.
async fn metric(gate: &Gate, name: &str) -> Option<f64> {
    let metrics = gate.metrics().await;
    metrics.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
}

/// A-NGINX-3, R27: SIGHUP brings the new configuration in, and nobody is signed out; what somebody signed out of stays
/// ended, and a callback that was used stays used.
#[tokio::test]
async fn a_signal_brings_the_new_configuration_in_and_what_people_did_stays_known() {
    let (house, toml) = house(|_| ()).await;
    let gate = &house.gate;
    let (bob, eve) = (house.signed_in("bob").await, house.signed_in("eve").await);
    let kept = eve.somebody_else();
    kept.takes_cookie("lychgate", &eve.cookie("lychgate").expect("a session"));
    eve.sends(Method::POST, "/.lychgate/logout", &[("origin", gate.url())], Vec::new()).await;
    let alice = house.visitor();
    let callback = alice.comes_back_as("alice", "/x").await;
    let again = alice.somebody_else();
    for (name, value) in alice.cookies() {
        again.takes_cookie(&name, &value);
    }
    alice.opens(callback.as_str()).await;
    let before = house.visitor().fetches("/news").await.status;

    write(gate, &(toml + &open_route(&house, "news")));
    gate.signal(Signal::HUP);
    gate.line("it was reloaded", |line| line["message"] == DONE).await;

    assert_eq!(
        (before, house.visitor().fetches("/news").await.status),
        (StatusCode::UNAUTHORIZED, StatusCode::OK)
    );
    assert_eq!(bob.fetches("/x").await.echoed("x-forwarded-user").as_deref(), Some("bob"));
    assert_eq!(kept.fetches("/x").await.status, 401, "H6");
    let replayed = again.opens(callback.as_str()).await;
    assert!(replayed.set_cookies().iter().all(|it| !it.starts_with("lychgate=")), "CB-30");
}

/// K-31, R26: a file that is replaced, written in place or written by halves; what is wrong changes nothing and is said.
#[tokio::test]
async fn a_file_that_changes_is_noticed_and_one_that_is_half_written_changes_nothing() {
    let (house, toml) = house(|_| ()).await;
    let gate = &house.gate;
    let with_news = toml.clone() + &open_route(&house, "news");

    let half = with_news.len() - 20;
    gate.scratch().write("lychgate.toml", &with_news[..half]);
    let line = gate.line("it was refused", |line| line["message"] == REFUSED).await;
    assert!(line["error"].as_str().is_some_and(|error| error.contains("error[")), "{line}");
    assert_eq!(house.visitor().fetches("/news").await.status, 401);
    assert_eq!(metric(gate, "lychgate_config_last_reload_successful ").await, Some(0.0));
    let ready = reqwest::get(gate.admin_url("/readyz")).await.expect("an answer");
    assert_eq!(ready.status(), 200, "K-33");

    gate.scratch().write("lychgate.toml", &with_news);
    gate.line("it was reloaded", |line| line["message"] == DONE).await;
    assert_eq!(house.visitor().fetches("/news").await.status, 200);
    assert_eq!(metric(gate, "lychgate_config_last_reload_successful ").await, Some(1.0));

    fs::remove_file(gate.scratch().file("lychgate.toml")).expect("there is a file");
    until(gate, "refused again", async || reloads(gate, REFUSED) == 2).await;
    assert_eq!(house.visitor().fetches("/news").await.status, 200);
}

/// Puts the next version of a volume in place as the kubelet does.
fn mount(volume: &Path, number: u32, text: &str) {
    let directory = volume.join(format!("..2026_{number}"));
    fs::create_dir(&directory).expect("a directory");
    fs::write(directory.join("routes.toml"), text).expect("a file");
    let next = volume.join("..data_tmp");
    symlink(format!("..2026_{number}"), &next).expect("a link");
    fs::rename(next, volume.join("..data")).expect("the swap");
    if number > 1 {
        let old = volume.join(format!("..2026_{}", number - 1));
        fs::remove_dir_all(old).expect("the old version goes away");
    }
}

/// K-30, K-31: the kubelet's way, twice: files are links through `..data`, which is swapped for another directory.
#[tokio::test]
async fn a_volume_that_is_swapped_is_noticed_every_time() {
    let mut volume = PathBuf::new();
    let house = House::planned(|plan| {
        plan.set("include = [\"volume/*.toml\"]");
        volume = plan.scratch.file("volume");
        fs::create_dir(&volume).expect("a directory");
        mount(&volume, 1, "");
        symlink("..data/routes.toml", volume.join("routes.toml")).expect("a link");
    })
    .await;
    let gate = &house.gate;

    for (number, name) in [(2, "news"), (3, "blog")] {
        mount(&volume, number, &open_route(&house, name));
        let path = format!("/{name}");
        until(gate, name, async || house.visitor().fetches(&path).await.status == 200).await;
    }

    assert_eq!(house.visitor().fetches("/news").await.status, 401, "only the latest counts");
}

/// K-32, R28: a secret that is replaced is used from then on.
#[tokio::test]
async fn a_secret_that_is_replaced_is_used_from_then_on() {
    let (house, _) = house(|plan| {
        plan.scratch.write("client-secret", "yesterday's");
        plan.set("[providers.demo]\nclient_secret = { file = \"client-secret\" }");
    })
    .await;
    let refused = house.visitor().signs_in_as("bob", "/").await;

    house.gate.scratch().write("client-secret", format!("{CLIENT_SECRET}\n"));
    house.gate.line("it was reloaded", |line| line["message"] == DONE).await;

    assert_ne!(refused.status, 200);
    assert!(house.signed_in("bob").await.has_session());
    let output = house.gate.output();
    assert!(!output.contains(CLIENT_SECRET) && !output.contains("yesterday's"));
}

/// The certificate that a listener shows, as DER.
async fn shown(gate: &Gate, port: u16, authority: &Authority) -> Vec<u8> {
    let client = TlsConnector::from(Arc::new(authority.client(&TLS13, &["http/1.1"])));
    let stream = TcpStream::connect(("127.0.0.1", port)).await.expect("it listens");
    let name = ServerName::try_from("secure.test").expect("a name");
    let stream = client.connect(name, stream).await;
    let stream = stream.unwrap_or_else(|error| panic!("{error}\n{}", gate.output()));
    let shown = stream.get_ref().1.peer_certificates().and_then(<[_]>::first).cloned();
    shown.expect("a certificate").to_vec()
}

/// K-32, R28: a certificate and its key that are replaced one after the other: while they do not fit, the pair before
/// is shown; the metric says until when.
#[tokio::test]
async fn a_certificate_is_replaced_when_its_key_is_there_too() {
    let authority = Authority::new();
    let (certificate, key) = authority.issues("secure.test", Validity::Now);
    let port = free_port();
    let (house, _) = house(|plan| {
        plan.scratch.write("tls.crt", &certificate);
        plan.scratch.write("tls.key", &key);
        let application = plan.provider.address;
        plan.set(&format!(
            "[listeners.secure]\naddress = \"127.0.0.1:{port}\"\n\
             tls = {{ certificate = \"tls.crt\", key = \"tls.key\" }}\n\
             [routes.secure]\nurl = \"https://secure.test\"\nupstream = \"http://{application}\"\npublic = true\n"
        ));
    })
    .await;
    let gate = &house.gate;
    let before = shown(gate, port, &authority).await;
    let (certificate, key) = authority.issues("secure.test", Validity::Now);

    gate.scratch().write("tls.crt", certificate);
    let line = gate.line("it was refused", |line| line["message"] == REFUSED).await;
    let error = line["error"].as_str().unwrap_or_default();
    assert!(error.contains("cannot be used together") && error.contains("tls.crt"), "{error}");
    assert_eq!(shown(gate, port, &authority).await, before);

    gate.scratch().write("tls.key", key);
    gate.line("it was reloaded", |line| line["message"] == DONE).await;
    assert_ne!(shown(gate, port, &authority).await, before);
    // The first of January of the year 4001.
    let expiry = "lychgate_tls_certificate_expiry_timestamp_seconds{listener=\"secure\"}";
    assert_eq!(metric(gate, expiry).await, Some(64_092_211_200.0));
}

/// A-CADDY-4, A-CADDY-5, R26, C-09: the command says what became of it and ends accordingly; `status` and metrics know too.
#[tokio::test]
async fn the_command_says_what_became_of_a_reload() {
    let (mut house, toml) = house(|_| ()).await;
    let gate = &house.gate;

    let nothing = reload(gate);
    let forced = command(gate, &["reload", "--force"]);
    write(gate, &toml.replace("allow = [\"authenticated\"]", "alow = [\"authenticated\"]"));
    let refused = reload(gate);
    let again = reload(gate);
    let status = command(gate, &["status", "--address", &gate.admin().to_string()]);
    let checked = command(gate, &["check", "--offline", "-c", "lychgate.toml"]);
    write(gate, &format!("{toml}{}", open_route(&house, "news")));
    let reloaded = reload(gate);
    let json = command(gate, &["reload", "--format", "json"]);

    for (printed, code, says) in [
        (&nothing, 0, "unchanged: config_hash "),
        (&forced, 0, "reloaded: config_hash "),
        (&refused, 1, ""),
        (&again, 1, ""),
        // Whoever watches the files may have been faster.
        (&reloaded, 0, ""),
    ] {
        assert_eq!(printed.code, Some(code), "{printed:?}");
        assert!(printed.stdout.starts_with(says), "{printed:?}");
    }
    for refused in [&refused, &again, &checked] {
        assert!(refused.stderr.contains("did you mean `allow`?"), "{}", refused.stderr);
        assert!(!refused.stderr.contains(CLIENT_SECRET), "{}", refused.stderr);
    }
    assert!(status.stdout.contains("last_reload  failure (command)"), "{}", status.stdout);
    assert!(status.stdout.contains("did you mean `allow`?"), "{}", status.stdout);
    assert_eq!(house.visitor().fetches("/news").await.status, 200);
    let json: Value = serde_json::from_str(&json.stdout).expect("JSON");
    assert_eq!(json["outcome"], "unchanged");
    let failures = "lychgate_config_reloads_total{outcome=\"failure\"}";
    assert!(metric(gate, failures).await >= Some(2.0));
    let socket = gate.scratch().file("state/admin.sock");
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &fs::metadata(&socket).expect("a socket").permissions(),
    );
    assert_eq!(mode & 0o777, 0o600, "nobody else can ask");

    house.gate.terminate().await;
    assert_eq!(reload(&house.gate).code, Some(69));
    assert!(!socket.exists());
}

/// C-09: what has to wait for a restart is said until there is one, and everything else counts at once.
#[tokio::test]
async fn what_waits_for_a_restart_is_said() {
    let (house, toml) = house(|_| ()).await;
    let gate = &house.gate;
    let other = format!("[admin]\naddress = \"127.0.0.1:{}\"", free_port());
    let toml = toml.replace(&format!("[admin]\naddress = \"{}\"", gate.admin()), &other);
    write(gate, &(toml + &open_route(&house, "news") + "\n[limits]\nconnections = 77\n"));

    let reloaded = reload(gate);
    let status = command(gate, &["status", "--address", &gate.admin().to_string()]);

    assert_eq!(reloaded.code, Some(0), "{reloaded:?}");
    for key in ["admin.address", "limits.connections"] {
        assert!(reloaded.stdout.contains(&format!("needs restart: {key}\n")), "{reloaded:?}");
        assert!(status.stdout.contains(key), "{}", status.stdout);
    }
    assert_eq!(metric(gate, "lychgate_config_restart_needed ").await, Some(1.0));
    assert_eq!(house.visitor().fetches("/news").await.status, 200);
}

/// Listeners come, change and go; one that cannot be had leaves everything as it was.
#[tokio::test]
async fn listeners_come_and_go_with_the_configuration() {
    let (house, toml) = house(|_| ()).await;
    let gate = &house.gate;
    let (second, taken) = (free_port(), house.provider.address().port());
    let listener = |port: u16| format!("\n[listeners.second]\naddress = \"127.0.0.1:{port}\"\n");
    let answers = async |port: u16| {
        let host = gate.url().trim_start_matches("http://");
        let request =
            format!("GET /public/x HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        let connected = TcpStream::connect(("127.0.0.1", port)).await.is_ok();
        connected
            && lychgate_tests::cast::raw::send(([127, 0, 0, 1], port).into(), request)
                .await
                .statuses()
                == [200]
    };

    write(gate, &(toml.clone() + &listener(taken)));
    let refused = reload(gate);
    write(gate, &(toml.clone() + &listener(second)));
    let added = reload(gate);
    assert!(answers(second).await, "{}", gate.output());
    write(gate, &toml);
    let removed = reload(gate);

    assert_eq!((refused.code, added.code, removed.code), (Some(1), Some(0), Some(0)));
    assert!(refused.stderr.contains(&format!("127.0.0.1:{taken}")), "{refused:?}");
    until(gate, "closed", async || !answers(second).await).await;
    assert!(answers(gate.address().port()).await, "the one that stayed");
}

/// R27, A-NGINX-2: reloaded over and over while people work, no request is dropped or decided by two configurations, a
/// WebSocket goes on, and so does a stream. Each configuration says its number to applications and to browsers.
#[tokio::test]
async fn reloading_again_and_again_drops_nothing_and_mixes_nothing() {
    const ROUNDS: usize = 12;
    let numbered = |number: usize| {
        format!(
            "[routes.app.headers]\nrequest = {{ \"X-Number\" = \"{number}\" }}\nresponse = {{ \"X-Number\" = \"{number}\" }}\n"
        )
    };
    let mut versions = Vec::new();
    let house = House::planned(|plan| {
        for number in 0..=ROUNDS {
            plan.set(&numbered(number));
            versions.push(plan.configuration.to_string());
        }
        plan.set(&numbered(0));
    })
    .await;
    let gate = &house.gate;
    let bob = house.signed_in("bob").await;
    let mut request = format!("ws://{}/ws", house.host()).into_client_request().expect("a URL");
    let cookie = bob.cookie_header(&bob.url("/")).expect("a session");
    request.headers_mut().insert("cookie", cookie.parse().expect("a header"));
    let stream = TcpStream::connect(gate.address()).await.expect("it listens");
    let (mut socket, _) = client_async(request, stream).await.expect("a handshake");
    let url = bob.url("/stream?n=8");
    let mut events = bob.request(Method::GET, &url, &[]).send().await.expect("an answer");
    events.chunk().await.expect("it begins");

    let (stop, asked) = (AtomicBool::new(false), AtomicUsize::new(0));
    let over_http2 = Visitor::over_http2(gate.url(), &[]);
    over_http2.takes_cookie("lychgate", &bob.cookie("lychgate").expect("a session"));
    let working = async |visitor: &Visitor| {
        let mut seen = Vec::new();
        while !stop.load(Ordering::Relaxed) {
            let answer = visitor.fetches("/work").await;
            assert_eq!(answer.status, 200, "{}\n{}", answer.text(), gate.output());
            let told = answer.echoed("x-number");
            assert_eq!(told.as_deref(), Some(answer.header("x-number")), "decided by two");
            seen.extend(told);
            asked.fetch_add(1, Ordering::Relaxed);
        }
        seen.dedup();
        seen
    };
    let reloading = async {
        for (number, toml) in versions.iter().enumerate().skip(1) {
            write(gate, toml);
            gate.signal(Signal::HUP);
            until(gate, "reloaded", async || reloads(gate, DONE) >= number).await;
            let before = asked.load(Ordering::Relaxed);
            until(gate, "at work", async || asked.load(Ordering::Relaxed) > before + 4).await;
        }
        stop.store(true, Ordering::Relaxed);
    };
    let (one, two, three, ()) =
        tokio::join!(working(&bob), working(&over_http2), working(&bob), reloading);

    for seen in [one, two, three] {
        let numbers: Vec<usize> = seen.iter().map(|it| it.parse().expect("a number")).collect();
        assert!(numbers.is_sorted() && numbers.len() > ROUNDS / 2, "{numbers:?}");
    }
    socket.send(Message::text("still here")).await.expect("it is sent");
    let returned = socket.next().await.expect("an answer").expect("a message");
    assert_eq!(returned, Message::text("still here"));
    let mut text = String::new();
    while let Some(piece) = events.chunk().await.expect("it is not cut off") {
        text.push_str(&String::from_utf8_lossy(&piece));
    }
    assert!(text.contains("data: 8"), "{text}");
    assert_eq!(reloads(gate, REFUSED), 0, "{}", gate.output());
    assert!(house.application.requests().len() > ROUNDS * 4);
}
