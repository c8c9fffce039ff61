//! HTTP servers that other people wrote, each of which says what it has understood of what it was sent.
//!
//! `tests/rigs/backends` holds their configurations. They end with the test, because their standard input does.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, ChildStdin, Command};
use tokio::time::{Duration, sleep};

use super::gate::{PATIENCE, free_port};
use super::scratch::Scratch;

/// A running server.
#[derive(Debug)]
pub struct Backend {
    /// Who made it, in small letters.
    pub name: &'static str,
    address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    // Never written to; its end is the server's.
    _stdin: ChildStdin,
    _scratch: Scratch,
}

/// A request as a server understood it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The id that the gate gave it.
    pub id: String,
    /// The method.
    pub method: String,
    /// The target, with its query.
    pub target: String,
    /// The host.
    pub host: String,
    /// The length of its body, where the server says so.
    pub body: Option<u64>,
    /// The server refused it by itself, without asking its application.
    pub refused: bool,
}

impl Backend {
    /// Node's own server.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn node() -> Self {
        let (scratch, port) = (Scratch::new(), free_port());
        let script = rigs().join("backends/node.mjs");
        Self::start("node", scratch, port, "node", &[text(&script), port.to_string()]).await
    }

    /// gunicorn, with threads, so that connections are kept alive.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn gunicorn() -> Self {
        let (scratch, port) = (Scratch::new(), free_port());
        let arguments = [
            format!("--chdir={}", text(&rigs().join("backends"))),
            format!("--bind=127.0.0.1:{port}"),
            "--worker-class=gthread".to_owned(),
            "--threads=8".to_owned(),
            "--keep-alive=60".to_owned(),
            "--log-level=critical".to_owned(),
            "--no-control-socket".to_owned(),
            "wsgi:application".to_owned(),
        ];
        let program = installed("venv/bin/gunicorn");
        Self::start("gunicorn", scratch, port, &program, &arguments).await
    }

    /// Go's own server.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn go() -> Self {
        let (scratch, port) = (Scratch::new(), free_port());
        Self::start("go", scratch, port, &installed("backend"), &[port.to_string()]).await
    }

    /// nginx, which passes on to another server. What it refuses it says too.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn nginx(behind: &Self) -> Self {
        let (scratch, port) = (Scratch::new(), free_port());
        let template = rigs().join("backends/nginx.conf");
        let configuration = std::fs::read_to_string(template).expect("a configuration");
        let configuration = configuration
            .replace("DIR", &text(scratch.path()))
            .replace("PORT", &port.to_string())
            .replace("BEHIND", &behind.address.port().to_string());
        let file = scratch.write("nginx.conf", configuration);
        let arguments = ["-p".to_owned(), text(scratch.path()), "-c".to_owned(), text(&file)];
        let debian = Path::new("/usr/sbin/nginx");
        let program = if debian.exists() { text(debian) } else { "nginx".to_owned() };
        Self::start("nginx", scratch, port, &program, &arguments).await
    }

    async fn start(
        name: &'static str,
        scratch: Scratch,
        port: u16,
        program: &str,
        arguments: &[String],
    ) -> Self {
        let mut child = Command::new("sh")
            .arg(rigs().join("until_eof.sh"))
            .arg(program)
            .args(arguments)
            .current_dir(scratch.path())
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {name}: {error}"));
        let stdin = child.stdin.take().expect("standard input is piped");
        let stdout = child.stdout.take().expect("standard output is piped");
        let seen = Arc::new(Mutex::new(Vec::new()));
        let kept = seen.clone();
        tokio::spawn(async move {
            let mut lines = BufReader::new(stdout).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                if let Ok(value) = serde_json::from_str(&line) {
                    kept.lock().unwrap_or_else(PoisonError::into_inner).push(Seen::of(&value));
                }
            }
        });
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        listens(name, address, &mut child).await;
        Self { name, address, seen, _stdin: stdin, _scratch: scratch }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it has understood so far.
    #[must_use]
    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Seen {
    fn of(value: &Value) -> Self {
        let text = |name: &str| value[name].as_str().unwrap_or_default().to_owned();
        Self {
            id: text("id"),
            method: text("method"),
            target: text("target"),
            host: text("host"),
            body: value["body"].as_u64(),
            refused: value["status"].as_u64().is_some_and(|status| status >= 400),
        }
    }
}

async fn listens(name: &str, address: SocketAddr, child: &mut Child) {
    let began = Instant::now();
    while TcpStream::connect(address).await.is_err() {
        let ended = child.try_wait().is_ok_and(|status| status.is_some());
        assert!(!ended && began.elapsed() < PATIENCE, "{name} does not listen at {address}");
        sleep(Duration::from_millis(20)).await;
    }
}

/// A program that `cargo xtask setup` has installed.
///
/// # Panics
/// When it is not there.
#[must_use]
pub fn installed(program: &str) -> String {
    let file = rigs().join("../../target/rigs").join(program);
    assert!(file.exists(), "{program} is missing; type `cargo xtask setup`");
    text(&file)
}

fn rigs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("rigs")
}

fn text(path: &Path) -> String {
    path.display().to_string()
}
