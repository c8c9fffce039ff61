//! What becomes of people when something around the gate, or in it, does not work.
//!
//! Each story puts one fault where it hurts, by its number in the table of `docs/reference/reliability.md`, and shows
//! who notices and who does not.

use std::fs::{self, OpenOptions, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures_util::future;
use http::{Method, StatusCode};
use lychgate_demo::Fault;
use lychgate_tests::cast::frames::{END_HEADERS, END_STREAM, Frames, Kind, frame, request};
use lychgate_tests::cast::gate::{Gate, PATIENCE, binary, free_port};
use lychgate_tests::cast::house::{House, standard};
use lychgate_tests::cast::raw::{self, End, Line};
use lychgate_tests::cast::scratch::Scratch;
use lychgate_tests::cast::upstream::{Authority, Script, Upstream, Validity};
use lychgate_tests::cast::visitor::Visitor;
use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::process::{Signal, getuid};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::time::{sleep, timeout};

use crate::raw_bytes::OK;
use crate::reaches_applications::{
    before, configuration, echo, get, host, open, secure_listener, visitor,
};

/// R8: a provider that answers nobody keeps those who sign in, so many and no more; the others are told at once, and
/// people who are signed in do not notice.
#[tokio::test]
async fn a_crowd_at_a_slow_provider_holds_nobody_up() {
    const AT_ONCE: usize = 64;
    const OTHERS: usize = 8;
    let house = House::open().await;
    let bob = house.signed_in("bob").await;
    let crowd = (0..AT_ONCE + OTHERS).map(|_| house.visitor()).collect::<Vec<_>>();
    let callbacks = crowd.iter().map(|visitor| visitor.comes_back_as("alice", "/"));
    let callbacks = future::join_all(callbacks).await;
    house.provider.clear();
    house.provider.set(|control| control.fault = Some(Fault::Slow));

    let mut everybody = Vec::new();
    for (visitor, callback) in crowd.iter().zip(&callbacks) {
        everybody.push(visitor.opens(callback.as_str()));
    }
    let everybody = future::join_all(everybody);
    let traffic = async {
        let began = Instant::now();
        while house.provider.count("/token") < AT_ONCE {
            assert!(
                began.elapsed() < PATIENCE,
                "{} are asked about",
                house.provider.count("/token")
            );
            sleep(Duration::from_millis(20)).await;
        }
        let mut statuses = Vec::new();
        for number in 0..30 {
            statuses.push(bob.fetches(&format!("/{number}")).await.status.as_u16());
        }
        (statuses, house.provider.count("/token"))
    };
    let (answers, (statuses, asked)) = future::join(everybody, traffic).await;

    assert_eq!(statuses, [200; 30], "who is signed in is served");
    assert_eq!(asked, AT_ONCE, "and the provider is asked no more while it does not answer");
    for answer in &answers {
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{}", answer.text());
        assert_eq!(answer.reason(), "provider_unavailable");
    }
    house.provider.set(|control| control.fault = None);
    house.signed_in("alice").await;
}

/// R13: an application that hangs up while it is being sent something has not answered. Nothing is sent twice.
#[tokio::test]
async fn an_application_that_hangs_up_during_an_upload_is_unreachable() {
    for script in [Script::AnswerAndClose(b""), Script::AnswerAndReset(b"")] {
        let upstream = Upstream::start(script).await;
        let gate = before(&upstream, "").await;

        let answer = visitor(&gate).sends(Method::POST, "/upload", &[], vec![b'u'; 8 << 20]).await;

        assert_eq!(answer.status, StatusCode::BAD_GATEWAY, "{script:?}: {}", answer.text());
        assert_eq!(answer.reason(), "upstream_unreachable", "{script:?}");
        assert_eq!(upstream.count("POST /upload"), 1, "{script:?}");
    }
}

/// R15: a WebSocket of which one side is closed ends as a whole. What was sent before that arrives, and the application
/// and the client both see the end.
#[tokio::test]
async fn a_web_socket_that_is_closed_on_one_side_ends_as_a_whole() {
    let upstream = Upstream::start(Script::Tunnel(SWITCHES)).await;
    let gate = before(&upstream, "").await;
    for round in 0..20 {
        let mut line = Line::to(gate.address()).await;
        line.says(handshake(&gate)).await;
        assert_eq!(line.hears().await.status, 101);
        line.says(b"\x81\x05hello").await;
        line.hears_part("hello").await;

        line.says(format!("last words {round}.")).await;
        line.hangs_up().await;

        upstream.hears(&format!("last words {round}.")).await;
        assert_eq!(line.rest().await.end, End::Closed, "{round}");
    }
}

/// R15: however WebSockets end, nothing of them stays open.
#[tokio::test]
async fn web_sockets_that_end_in_any_way_leave_nothing_open() {
    const ROUNDS: usize = 60;
    let upstream = Upstream::start(Script::Tunnel(SWITCHES)).await;
    let gate = before(&upstream, "").await;
    let opens = async |how: usize| {
        let mut line = Line::to(gate.address()).await;
        line.says(handshake(&gate)).await;
        assert_eq!(line.hears().await.status, 101);
        match how % 3 {
            0 => line.hangs_up().await,
            1 => line.says([7; 4096]).await,
            _ => {}
        }
        // And gone, whatever is still on its way.
        drop(line);
    };
    opens(0).await;
    gate.has_descriptors_at_most(gate.descriptors()).await;
    let before = gate.descriptors();

    for round in 0..ROUNDS {
        future::join_all((0..4).map(|number| opens(round + number))).await;
    }

    gate.has_descriptors_at_most(before + 8).await;
}

/// R17: an event stream may be silent for longer than an answer may take to begin.
#[tokio::test]
async fn a_quiet_event_stream_is_not_cut_off() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("a bound socket");
    let application = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("somebody comes");
        let _ = stream.read(&mut [0; 4096]).await;
        let head =
            "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n";
        stream.write_all(format!("{head}data: first\n\n").as_bytes()).await.expect("it is sent");
        // The fault itself: four times as long as `timeouts.response`.
        sleep(Duration::from_secs(2)).await;
        stream.write_all(b"data: second\n\n").await.expect("it is sent");
    });
    let place =
        format!("addresses = [\"http://{address}\"]\ntimeouts = {{ response = \"500ms\" }}");
    let gate = open(Scratch::new(), &place, "").await;
    let mut line = Line::to(gate.address()).await;

    line.says(format!(
        "GET /events HTTP/1.1\r\nHost: {}\r\nAccept: text/event-stream\r\n\r\n",
        host(&gate)
    ))
    .await;
    line.hears_part("first").await;
    let heard = line.hears_part("second").await;

    assert!(heard.contains("data: second"), "{heard}");
    application.await.expect("it said everything");
}

/// R19, K3: a handshake that begins and does not go on is given up on, and nobody else waits for it.
#[tokio::test]
async fn a_handshake_that_stalls_is_not_waited_for() {
    let upstream = Upstream::start(Script::Answer(OK)).await;
    let (authority, scratch) = (Authority::new(), Scratch::new());
    let (certificate, key) = authority.issues("secure.test", Validity::Now);
    scratch.write("tls.crt", certificate);
    scratch.write("tls.key", key);
    let secure = free_port();
    let place = format!("addresses = [\"http://{}\"]", upstream.address());
    let gate = open(scratch, &place, &secure_listener(secure, "")).await;
    let mut stalls = TcpStream::connect(("127.0.0.1", secure)).await.expect("it listens");
    let began = Instant::now();

    stalls.write_all(b"\x16\x03\x01\x02\0\x01\0").await.expect("it is sent");
    assert_eq!(visitor(&gate).fetches("/meanwhile").await.status, 200);
    let ended = timeout(PATIENCE, stalls.read_to_end(&mut Vec::new())).await;

    assert!(ended.is_ok(), "it is open after {:?}", began.elapsed());
}

/// R18: an upload is decided when it begins. A session that ends meanwhile ends for the next request.
#[tokio::test]
async fn an_upload_outlives_the_session_with_which_it_began() {
    let echo = echo().await;
    let upstream = Upstream::start(Script::PassOn(echo.address())).await;
    let address = upstream.address();
    let house = House::planned(|plan| plan.upstream(address)).await;
    let bob = house.signed_in("bob").await;
    let session = bob.cookie_header(&bob.url("/")).expect("a session");
    let request = |method: &str, path: &str, more: &str| {
        format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nCookie: {session}\r\n{more}\r\n",
            house.host()
        )
    };
    let mut upload = Line::to(house.gate.address()).await;
    upload.says(request("POST", "/upload", "Content-Length: 200000\r\n")).await;
    upload.says([b'1'; 100_000]).await;
    upstream.hears("POST /upload").await;

    bob.sends(Method::POST, "/.lychgate/logout", &[], Vec::new()).await;
    let afterwards = raw::send(
        house.gate.address(),
        request("GET", "/x", "Accept: application/json\r\nConnection: close\r\n"),
    )
    .await;
    upload.says([b'2'; 100_000]).await;
    let answer = upload.hears().await;

    assert_eq!(afterwards.statuses(), [401], "the session has ended");
    assert_eq!(answer.status, 200);
    assert!(answer.text().contains("200000"), "{}", answer.text());
}

/// R29: clients of HTTP/2 are told to go elsewhere, and their request under way is answered.
#[tokio::test]
async fn clients_of_http2_are_told_to_go_elsewhere() {
    let house = House::open().await;
    let mut gate = house.gate;
    let mut client = Frames::to(gate.address()).await;
    let host = gate.url().trim_start_matches("http://").to_owned();
    let head = request(&host, "/public/x");
    client.says(&frame(Kind::Headers, END_STREAM | END_HEADERS, 1, &head)).await;
    assert!(client.hears_a(Kind::Headers).await.is_some(), "it is answered");

    gate.signal(Signal::TERM);
    let farewell = client.hears_a(Kind::GoAway).await;

    let farewell = farewell.expect("a GOAWAY before the end");
    assert_eq!(farewell.payload[4..8], [0; 4], "no error: {farewell:?}");
    assert_eq!(gate.ended().await.code, Some(0), "{}", gate.output());
}

/// R29: while it stops under load no answer is broken off and none says that something is wrong; whoever finds a closed
/// door has not been heard, and can go elsewhere.
#[tokio::test]
async fn nobody_is_cut_off_while_it_stops_under_load() {
    let upstream = Upstream::start(Script::Answer(OK)).await;
    let mut gate = before(&upstream, "").await;
    let (address, request) = (gate.address(), get(&gate, "/x"));
    let clients = (0..4).map(|_| {
        let request = request.clone();
        tokio::spawn(async move {
            let (mut answered, mut broken) = (0, Vec::new());
            'connections: while let Ok(mut stream) = TcpStream::connect(address).await {
                loop {
                    if stream.write_all(request.as_bytes()).await.is_err() {
                        continue 'connections;
                    }
                    let mut heard = Vec::new();
                    while !heard.ends_with(b"ok") {
                        match timeout(PATIENCE, stream.read_buf(&mut heard)).await {
                            Ok(Ok(1..)) => {}
                            Ok(Ok(0) | Err(_)) if heard.is_empty() => continue 'connections,
                            other => {
                                broken.push(format!("{other:?} {heard:?}"));
                                continue 'connections;
                            }
                        }
                    }
                    if heard.starts_with(b"HTTP/1.1 200 ") {
                        answered += 1;
                    } else {
                        broken.push(String::from_utf8_lossy(&heard).into_owned());
                    }
                }
            }
            (answered, broken)
        })
    });
    let clients = clients.collect::<Vec<_>>();
    while upstream.count("GET /x ") < 50 {
        sleep(Duration::from_millis(5)).await;
    }

    gate.signal(Signal::TERM);
    let ending = gate.ended().await;
    let clients = future::join_all(clients).await;

    assert_eq!(ending.code, Some(0), "{}", gate.output());
    for client in clients {
        let (answered, broken) = client.expect("the client ends");
        assert!(answered > 0 && broken.is_empty(), "{answered} answers, and {broken:?}");
    }
}

/// R31: a gate that was killed, as by a power cut, starts again in the same place, with its socket file and its key.
#[tokio::test]
async fn a_gate_that_is_killed_starts_again_each_time() {
    const TIMES: usize = 10;
    let upstream = Upstream::start(Script::Answer(OK)).await;
    let scratch = Scratch::new();
    let socket = scratch.file("gate.sock");
    let more = format!(
        "[listeners.socket]\naddress = \"unix:{}\"\ntrusted_proxies = [\"unix\"]\n",
        socket.display()
    );
    let place = format!("addresses = [\"http://{}\"]", upstream.address());
    let mut gate = open(scratch, &place, &more).await;
    let key = gate.scratch().read("state/session.key");

    for round in 0..TIMES {
        // Work is under way whenever it is killed.
        let mut line = Line::to(gate.address()).await;
        line.says(get(&gate, "/x")).await;
        gate.dies_and_starts_again().await;

        let mut stream = UnixStream::connect(&socket).await.expect("its socket file is its own");
        let request = get(&gate, "/file").replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.expect("it is sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("it is read");
        assert!(answer.starts_with("HTTP/1.1 200 "), "{round}: {answer}");
        assert_eq!(visitor(&gate).fetches("/x").await.status, 200, "{round}");
    }

    assert_eq!(gate.scratch().read("state/session.key"), key);
    assert!(!gate.output().contains("panicked"), "{}", gate.output());
}

/// R32, K4: without another descriptor to be had nobody is served who comes, until those who do nothing have given
/// way; and then everything is as it was.
#[tokio::test]
async fn a_gate_without_descriptors_recovers() {
    const GUESTS: usize = 60;
    let upstream = Upstream::start(Script::Answer(OK)).await;
    let gate = before(&upstream, "").await;
    assert_eq!(visitor(&gate).fetches("/warm").await.status, 200);
    let before = gate.descriptors();
    gate.may_open(u64::try_from(before + 24).expect("a small number"));

    let mut guests = Vec::new();
    for _ in 0..GUESTS {
        let mut line = Line::to(gate.address()).await;
        line.says(get(&gate, "/guest")).await;
        let answer = line.hears().await;
        assert!([200, 502].contains(&answer.status), "{}", answer.text());
        guests.push(line);
    }
    gate.line("it is said", |line| line["message"] == "accepting failed").await;
    drop(guests);

    gate.has_descriptors_at_most(before + 4).await;
    assert_eq!(visitor(&gate).fetches("/after").await.status, 200);
}

/// R35: whatever becomes of the logs, people are served. What was lost is counted.
#[tokio::test]
async fn logs_that_take_nothing_hold_nobody_up() {
    for what in ["a full disk", "a pipe without a reader", "a pipe whose reader stopped"] {
        let scratch = Scratch::new();
        let pipe = scratch.file("pipe");
        let reader = reads(&pipe);
        let sink = if what == "a full disk" { Path::new("/dev/full") } else { &pipe };
        let upstream = Upstream::start(Script::Answer(OK)).await;
        let place = format!("addresses = [\"http://{}\"]", upstream.address());
        let toml = configuration(&place, "").replace(
            "[telemetry]\n",
            &format!("[telemetry]\naccess_log = {{ output = \"{}\" }}\n", sink.display()),
        );
        let mut gate = Gate::start_in(scratch, &toml).await;
        let reader = (what != "a pipe without a reader").then_some(reader);

        // More than pipes and batches hold.
        let agent = "a".repeat(4000);
        let visitor = visitor(&gate);
        for number in 0..100 {
            let answer = visitor.asks(Method::GET, "/x", &[("user-agent", &agent)]).await;
            assert_eq!(answer.status, 200, "{what}: {number}");
        }
        if what != "a pipe whose reader stopped" {
            let began = Instant::now();
            let none = "lychgate_log_lines_dropped_total{log=\"access\"} 0\n";
            while gate.metrics().await.contains(none) {
                assert!(began.elapsed() < PATIENCE, "{what}: nothing is counted");
                sleep(Duration::from_millis(10)).await;
            }
            gate.line("it is said", |line| {
                line["message"]
                    .as_str()
                    .is_some_and(|text| text.starts_with("a log cannot be written"))
            })
            .await;
        }

        let ending = gate.terminate().await;
        assert_eq!(ending.code, Some(0), "{what}: {}", gate.output());
        drop(reader);
    }
}

/// R35: the operator's own log may be stuck as well.
#[tokio::test]
async fn a_console_that_nobody_reads_holds_nobody_up() {
    let upstream = Upstream::start(Script::Answer(OK)).await;
    let scratch = Scratch::new();
    let pipe = scratch.file("pipe");
    let reader = reads(&pipe);
    let console = OpenOptions::new().write(true).open(&pipe).expect("a pipe");
    let place = format!("addresses = [\"http://{}\"]", upstream.address());
    let toml = configuration(&place, "");
    let mut gate = Gate::start_as(scratch, &toml, |command| {
        command.stderr(console);
    })
    .await;

    // Each leaves a line, and together they are more than the pipe and the writer hold.
    for _ in 0..1500 {
        drop(TcpStream::connect(gate.address()).await.expect("it listens"));
    }
    let visitor = visitor(&gate);
    for number in 0..50 {
        assert_eq!(visitor.fetches("/x").await.status, 200, "{number}");
    }

    let ending = gate.terminate().await;
    assert_eq!(ending.code, Some(0));
    drop(reader);
}

/// R36: it needs no home, no name, no directory of its own and no right to write anything.
#[tokio::test]
async fn it_runs_as_nobody_and_writes_nothing() {
    let (port, scratch) = (free_port(), Scratch::new());
    let origin = format!("http://app.localhost:{port}");
    let house = House::planned(|plan| {
        let ours = vec![format!("{origin}/.lychgate/callback")];
        plan.provider.clients[0].redirect_uris = ours;
    })
    .await;
    let program = scratch.file("program");
    fs::copy(binary(), &program).expect("a copy that anybody may run");
    fs::set_permissions(&program, Permissions::from_mode(0o555)).expect("a mode");
    let directory = scratch.path().to_owned();
    let may_read = |path: &Path, mode| {
        fs::set_permissions(path, Permissions::from_mode(mode)).expect("a mode");
    };
    let toml = standard(&origin, port, house.provider.address(), house.application.address());
    // Without a key in the configuration one would be kept, if there were a place for it.
    let toml = without_table(&toml, "sessions");
    let nobody = getuid().is_root();
    let gate = Gate::start_as(scratch, &toml, |command| {
        let file = directory.join("lychgate.toml");
        may_read(&file, 0o444);
        may_read(&directory, 0o555);
        // Whoever writes to a file is ended by a signal.
        *command = Command::new("/bin/sh");
        command.args(["-c", "ulimit -f 0 && exec \"$0\" \"$@\""]).arg(&program);
        command.env_clear().current_dir("/").stdin(Stdio::null());
        command.arg("run").arg("-c").arg(file).stdout(Stdio::piped()).stderr(Stdio::piped());
        if nobody {
            command.uid(54_321).gid(54_321);
        }
    })
    .await;
    let visitor = Visitor::of(gate.url(), &[house.provider.issuer()]);
    let public = visitor.fetches("/public/x").await;
    let private = visitor.fetches("/x").await;

    assert_eq!((public.status, private.status), (StatusCode::OK, StatusCode::UNAUTHORIZED));
    gate.line("sessions end at restart", |line| line["code"] == "W0510").await;
    gate.line("logins cannot be marked", |line| line["code"] == "W0512").await;
    visitor.signs_in_as("bob", "/x").await;
    assert!(visitor.has_session(), "{}", gate.output());
    let ready = reqwest::get(gate.admin_url("/readyz?verbose")).await.expect("an answer");
    let told = ready.text().await.expect("a text");
    assert!(told.contains("spent logins: known to this process alone (not counted)"), "{told}");
    let metrics = gate.metrics().await;
    assert!(metrics.contains("\nlychgate_spent_logins_unmarked_total 1\n"), "{metrics}");
    may_read(&directory, 0o755);
}

/// R37: a mistake of the gate in the work on a request is that request's trouble. Over either version of HTTP it is
/// answered, counted and written down; nothing is forwarded, and everybody else is served, over the same connection too.
#[cfg(debug_assertions)]
#[tokio::test]
async fn a_mistake_of_the_gate_is_one_requests_trouble() {
    let upstream = Upstream::start(Script::Answer(OK)).await;
    let place = format!("addresses = [\"http://{}\"]", upstream.address());
    let toml = configuration(&place, "");
    let armed = |command: &mut Command| {
        command.env("LYCHGATE_TEST_FAULTS", "1");
    };
    let gate = Gate::start_as(Scratch::new(), &toml, armed).await;
    for visitor in [visitor(&gate), Visitor::over_http2(gate.url(), &[])] {
        let fault = [("x-lychgate-test-fault", "panic")];
        let failed = visitor.asks(Method::GET, "/fault", &fault).await;
        let served = visitor.fetches("/served").await;

        assert_eq!(failed.status, StatusCode::INTERNAL_SERVER_ERROR, "{}", failed.text());
        assert_eq!(failed.reason(), "gateway_fault");
        assert_eq!(served.status, StatusCode::OK);
    }
    let metrics = gate.metrics().await;
    assert!(metrics.contains("\nlychgate_panics_total 2\n"), "{metrics}");
    let told = gate.line("a mistake", |line| line["message"] == "a mistake of this program").await;
    assert!(told["place"].as_str().is_some_and(|place| place.contains("fault.rs")), "{told}");
    assert_eq!((upstream.count("/fault"), upstream.count("/served")), (0, 2));

    // Nobody can ask for it who was not given that power at the start.
    let unarmed = before(&upstream, "").await;
    let answer = visitor(&unarmed)
        .asks(Method::GET, "/unarmed", &[("x-lychgate-test-fault", "panic")])
        .await;
    assert_eq!(answer.status, StatusCode::OK);
}

/// cloudflare/pingora#946, `pingora.md` 1.8: with two threads, busy processors and an application that answers at once,
/// tunnels used to be torn down at their birth, four in a thousand. Of thousands none is lost.
#[tokio::test]
async fn thousands_of_quick_handshakes_lose_no_tunnel() {
    const HANDSHAKES: usize = 2000;
    const AT_ONCE: usize = 8;
    let upstream = Upstream::start(Script::Tunnel(SWITCHES)).await;
    let gate = before(&upstream, "").await;
    let (address, request) = (gate.address(), handshake(&gate));
    let over = Arc::new(AtomicBool::new(false));
    let busy = [(); 2].map(|()| {
        let over = Arc::clone(&over);
        std::thread::spawn(move || {
            while !over.load(Ordering::Relaxed) {
                std::hint::spin_loop();
            }
        })
    });
    let began = Instant::now();
    let clients = (0..AT_ONCE).map(|_| {
        let request = request.clone();
        tokio::spawn(async move {
            let (mut kept, mut lost) = (0, 0);
            while kept + lost < HANDSHAKES / AT_ONCE && began.elapsed() < PATIENCE {
                match goes_through(address, &request).await {
                    true => kept += 1,
                    false => lost += 1,
                }
            }
            (kept, lost)
        })
    });
    let clients = future::join_all(clients.collect::<Vec<_>>()).await;
    over.store(true, Ordering::Relaxed);
    busy.into_iter().for_each(|thread| thread.join().expect("it spins"));

    let counts = clients.into_iter().map(|client| client.expect("the client ends"));
    let (kept, lost) = counts.fold((0, 0), |(a, b), (kept, lost)| (a + kept, b + lost));
    assert_eq!(lost, 0, "{kept} tunnels were kept");
    assert!(kept >= 500, "only {kept} handshakes were made");
}

/// Whether a tunnel is opened and carries something there and back.
async fn goes_through(address: std::net::SocketAddr, request: &str) -> bool {
    let Ok(mut stream) = TcpStream::connect(address).await else { return false };
    if stream.write_all(request.as_bytes()).await.is_err() {
        return false;
    }
    let mut heard = Vec::new();
    while !heard.windows(4).any(|window| window == b"\r\n\r\n") {
        let Ok(Ok(1..)) = timeout(PATIENCE, stream.read_buf(&mut heard)).await else {
            return false;
        };
    }
    if stream.write_all(b"\x81\x05hello").await.is_err() {
        return false;
    }
    while !heard.ends_with(b"hello") {
        let Ok(Ok(1..)) = timeout(PATIENCE, stream.read_buf(&mut heard)).await else {
            return false;
        };
    }
    true
}

const SWITCHES: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\n\
    upgrade: websocket\r\nsec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

fn handshake(gate: &Gate) -> String {
    format!(
        "GET /ws HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        host(gate)
    )
}

/// Makes a named pipe, and its reader, which reads nothing.
fn reads(pipe: &Path) -> fs::File {
    mknodat(CWD, pipe, FileType::Fifo, Mode::from_raw_mode(0o600), 0).expect("a pipe");
    // For both ways, or it would wait for a writer.
    OpenOptions::new().read(true).write(true).open(pipe).expect("a pipe")
}

/// The configuration without one of its tables.
fn without_table(toml: &str, name: &str) -> String {
    let mut table: toml::Table = toml.parse().expect("a configuration");
    table.remove(name);
    table.to_string()
}
