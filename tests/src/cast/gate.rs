//! The gateway itself: the real binary, started from a file as an operator starts it.
//!
//! Everything that it prints is kept, so that a story can ask what was said and what must never be. It ends
//! with the [`Gate`], whatever becomes of the story; and before it ends, what must hold after every story is
//! [asked](super::invariants).

use std::ffi::OsStr;
use std::io::Read;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use std::{env, fs, process, thread};

use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process, prlimit};
use serde_json::Value;
use tokio::time::sleep;

use super::invariants::Judge;
use super::scratch::Scratch;

/// Longer than anything takes on a busy machine, so that reaching it is a failure.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// The file (PEM) of the certificate authority that a gate in this directory trusts instead of the machine's.
pub const AUTHORITY: &str = "authority.pem";

/// How long the last lines of a story are waited for. What is still under way then has none.
const LAST_LINES: Duration = Duration::from_secs(2);

/// How often something is looked at that does not announce itself.
const GLANCE: Duration = Duration::from_millis(10);

/// A running `lychgate run`.
#[derive(Debug)]
pub struct Gate {
    child: Child,
    output: Output,
    url: String,
    address: Option<SocketAddr>,
    admin: SocketAddr,
    scratch: Scratch,
    judge: Judge,
    /// The story has ended it, or told it to end.
    told_to_end: AtomicBool,
}

/// How a gate ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ending {
    /// The exit code, or `None` when a signal ended it.
    pub code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// From the order to the end.
    pub after: Duration,
}

/// What has to be so before a story goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Readiness {
    /// It takes traffic, and every provider has answered it.
    Complete,
    /// It takes traffic.
    WithoutProviders,
}

impl Gate {
    /// Starts it from this configuration, and waits until it takes traffic and knows every provider.
    ///
    /// # Panics
    /// When there is no binary, or it does not become ready; with all that it printed.
    pub async fn start(toml: &str) -> Self {
        Self::start_in(Scratch::new(), toml).await
    }

    /// Starts it from this configuration in a directory that already holds files.
    ///
    /// # Panics
    /// As [`start`](Self::start).
    pub async fn start_in(scratch: Scratch, toml: &str) -> Self {
        Self::spawn(scratch, toml, Readiness::Complete).await
    }

    /// Starts it while a provider may be down, and waits only until it takes traffic.
    ///
    /// # Panics
    /// As [`start`](Self::start).
    pub async fn start_without_providers(scratch: Scratch, toml: &str) -> Self {
        Self::spawn(scratch, toml, Readiness::WithoutProviders).await
    }

    /// Starts it from this configuration, as `change` has the process.
    ///
    /// # Panics
    /// As [`start`](Self::start).
    pub async fn start_as(scratch: Scratch, toml: &str, change: impl FnOnce(&mut Command)) -> Self {
        Self::spawn_as(scratch, toml, Readiness::Complete, change).await
    }

    async fn spawn(scratch: Scratch, toml: &str, readiness: Readiness) -> Self {
        Self::spawn_as(scratch, toml, readiness, |_| ()).await
    }

    async fn spawn_as(
        scratch: Scratch,
        toml: &str,
        readiness: Readiness,
        change: impl FnOnce(&mut Command),
    ) -> Self {
        let configuration: toml::Table =
            toml.parse().unwrap_or_else(|error| panic!("the story's TOML: {error}\n{toml}"));
        let file = scratch.write("lychgate.toml", toml);
        let mut command = command(&scratch);
        command.arg("run").arg("-c").arg(file).stdout(Stdio::piped()).stderr(Stdio::piped());
        change(&mut command);
        let mut child = command.spawn().expect("the binary can be started");
        let output = Output::default();
        // A story may have taken one of them for itself.
        child.stdout.take().into_iter().for_each(|stream| output.keep(stream));
        child.stderr.take().into_iter().for_each(|stream| output.keep(stream));
        let (url, address) = (first_origin(&configuration), first_address(&configuration));
        let admin = text(&configuration, &["admin", "address"])
            .and_then(|address| address.parse().ok())
            .expect("the story gives the admin port an address");
        let judge = Judge::of(configuration, &url, address, admin);
        let told_to_end = AtomicBool::new(false);
        let mut gate = Self { child, output, url, address, admin, scratch, judge, told_to_end };
        gate.become_ready(readiness).await;
        gate
    }

    async fn become_ready(&mut self, readiness: Readiness) {
        let began = Instant::now();
        loop {
            if let Ok(Some(status)) = self.child.try_wait() {
                panic!("the gate ended at once: {status}\n{}", self.output());
            }
            let answer = reqwest::get(self.admin_url("/readyz?verbose")).await;
            if let Ok(answer) = answer
                && answer.status() == 200
            {
                let text = answer.text().await.unwrap_or_default();
                let mut providers = text.lines().filter(|line| line.starts_with("provider "));
                if readiness == Readiness::WithoutProviders
                    || providers.all(|line| line.contains(": reachable"))
                {
                    return;
                }
            }
            assert!(began.elapsed() < PATIENCE, "the gate is not ready\n{}", self.output());
            sleep(GLANCE).await;
        }
    }

    /// The origin of its first route: `http://app.localhost:20001`.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Where its first listener is, for sockets.
    ///
    /// # Panics
    /// When that is a socket file.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address.expect("the first listener has an address")
    }

    /// Where the operator's own port is.
    #[must_use]
    pub fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// The URL of a page on the operator's own port.
    #[must_use]
    pub fn admin_url(&self, path: &str) -> String {
        format!("http://{}{path}", self.admin)
    }

    /// The metrics, as Prometheus gets them.
    ///
    /// # Panics
    /// When they cannot be had.
    pub async fn metrics(&self) -> String {
        let answer = reqwest::get(self.admin_url("/metrics")).await.expect("metrics are answered");
        assert_eq!(answer.status(), 200);
        answer.text().await.expect("metrics are text")
    }

    /// The directory of its configuration and state.
    #[must_use]
    pub fn scratch(&self) -> &Scratch {
        &self.scratch
    }

    /// The process's number.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Everything that it printed so far, on either stream.
    #[must_use]
    pub fn output(&self) -> String {
        String::from_utf8_lossy(&self.output.lock()).into_owned()
    }

    /// Every line that is a JSON object: log, access log and audit log.
    #[must_use]
    pub fn lines(&self) -> Vec<Value> {
        let output = self.output();
        // The last line may still be on its way.
        let whole = output.rsplit_once('\n').map_or("", |(whole, _)| whole);
        whole
            .lines()
            .filter(|line| line.starts_with('{'))
            .map(|line| {
                serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
            })
            .collect()
    }

    /// Waits for a line of JSON like this, and returns the first.
    ///
    /// # Panics
    /// When none comes; with all that was printed.
    pub async fn line(&self, what: &str, like: impl Fn(&Value) -> bool) -> Value {
        let began = Instant::now();
        loop {
            if let Some(line) = self.lines().into_iter().find(&like) {
                return line;
            }
            assert!(began.elapsed() < PATIENCE, "no line: {what}\n{}", self.output());
            sleep(GLANCE).await;
        }
    }

    /// Waits for the access line of the request with this id.
    ///
    /// # Panics
    /// As [`line`](Self::line).
    pub async fn access_line(&self, request_id: &str) -> Value {
        let is = |line: &Value| line["request_id"] == request_id && line["status"].is_u64();
        self.line(&format!("access line of {request_id}"), is).await
    }

    /// Waits for the audit event of the request with this id: what became of it, after the parts of a login.
    ///
    /// # Panics
    /// As [`line`](Self::line).
    pub async fn audit_event(&self, request_id: &str) -> Value {
        const PARTS: [&str; 4] = ["callback", "code-exchange", "id-token", "pushed-request"];
        let is = |line: &Value| {
            line["event"]["dataset"] == "lychgate.audit"
                && line["http"]["request"]["id"] == request_id
                && !PARTS.iter().any(|part| line["event"]["action"] == *part)
        };
        self.line(&format!("audit event of {request_id}"), is).await
    }

    /// Sends a signal.
    ///
    /// # Panics
    /// When the process is gone.
    pub fn signal(&self, signal: Signal) {
        if matches!(signal, Signal::TERM | Signal::INT | Signal::QUIT | Signal::KILL) {
            self.told_to_end.store(true, Ordering::Relaxed);
        }
        let pid = Pid::from_child(&self.child);
        kill_process(pid, signal).expect("the gate takes signals");
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// When it does not end.
    pub async fn ended(&mut self) -> Ending {
        let began = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("the gate can be waited for") {
                return Ending::of(status, began.elapsed());
            }
            assert!(began.elapsed() < PATIENCE, "the gate does not end\n{}", self.output());
            sleep(GLANCE).await;
        }
    }

    /// Tells it to stop, and waits for its end.
    ///
    /// # Panics
    /// As [`ended`](Self::ended).
    pub async fn terminate(&mut self) -> Ending {
        self.signal(Signal::TERM);
        self.ended().await
    }

    /// Ends it at once, leaving it no time for anything, and starts it again in the same place.
    ///
    /// # Panics
    /// As [`start`](Self::start).
    pub async fn dies_and_starts_again(&mut self) {
        self.kill();
        self.told_to_end.store(false, Ordering::Relaxed);
        let file = self.scratch.file("lychgate.toml");
        let mut command = command(&self.scratch);
        command.arg("run").arg("-c").arg(file).stdout(Stdio::piped()).stderr(Stdio::piped());
        self.child = command.spawn().expect("the binary can be started");
        self.output.keep(self.child.stdout.take().expect("standard output is piped"));
        self.output.keep(self.child.stderr.take().expect("standard error is piped"));
        self.become_ready(Readiness::WithoutProviders).await;
    }

    /// The memory that the process holds, in bytes.
    ///
    /// # Panics
    /// When it does not run.
    #[must_use]
    pub fn resident(&self) -> usize {
        let status = format!("/proc/{}/status", self.pid());
        let status = fs::read_to_string(status).expect("the gate runs");
        let line = status.lines().find(|line| line.starts_with("VmRSS:"));
        let kibibytes = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<usize>().ok());
        kibibytes.expect("memory is counted") * 1024
    }

    /// How many files and sockets it has open.
    ///
    /// # Panics
    /// When it does not run.
    #[must_use]
    pub fn descriptors(&self) -> usize {
        let open = fs::read_dir(format!("/proc/{}/fd", self.pid()));
        open.expect("the gate runs").count()
    }

    /// Waits until it has no more than `most` files and sockets open.
    ///
    /// # Panics
    /// When it keeps more.
    pub async fn has_descriptors_at_most(&self, most: usize) {
        let began = Instant::now();
        while self.descriptors() > most {
            let open = self.descriptors();
            assert!(began.elapsed() < PATIENCE, "{open} are open, and {most} were expected");
            sleep(GLANCE).await;
        }
    }

    /// Lets it open no more than `most` files and sockets from now on.
    ///
    /// # Panics
    /// When the system does not allow that.
    pub fn may_open(&self, most: u64) {
        let limit = Rlimit { current: Some(most), maximum: Some(most) };
        prlimit(Some(Pid::from_child(&self.child)), Resource::Nofile, limit).expect("a limit");
    }

    /// Ends it at once.
    pub fn kill(&mut self) {
        self.told_to_end.store(true, Ordering::Relaxed);
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Gate {
    /// Says that a later configuration has this route, open to everybody; what must hold after the story is judged by
    /// that too.
    pub fn also_opens(&self, route: &str) {
        self.judge.also_opens(route);
    }

    /// What must hold after every story, asked where no story can forget to ask.
    fn is_judged(&mut self) {
        let ended = self.child.try_wait().ok().flatten();
        if !self.told_to_end.load(Ordering::Relaxed) {
            assert!(ended.is_none(), "O6: the gate has ended: {ended:?}\n{}", self.output());
            self.judge.is_alive();
            // A line is written when its request is over, a moment after the answer was read.
            let (began, mut unheard) = (Instant::now(), usize::MAX);
            while unheard > 0 && began.elapsed() < LAST_LINES {
                unheard = self.judge.unheard(&self.lines()).len();
                if unheard > 0 {
                    thread::sleep(GLANCE);
                }
            }
        }
        let lines = self.lines();
        self.judge.judge(&self.output(), &lines);
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        // A story that failed has its own words.
        if !thread::panicking() {
            self.is_judged();
        }
        self.kill();
    }
}

impl Ending {
    fn of(status: ExitStatus, after: Duration) -> Self {
        Self { code: status.code(), signal: status.signal(), after }
    }
}

/// What a command printed, and how it ended.
#[derive(Clone, Debug)]
pub struct Printed {
    /// The exit code.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

/// Runs a command of the binary to its end.
///
/// # Panics
/// When there is no binary.
pub fn lychgate<I>(scratch: &Scratch, arguments: I) -> Printed
where
    I: IntoIterator,
    I::Item: AsRef<OsStr>,
{
    let output = command(scratch).args(arguments).output().expect("the binary can be started");
    Printed {
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// The binary, with nothing of ours in its environment, at home in `scratch`.
fn command(scratch: &Scratch) -> Command {
    let mut command = Command::new(binary());
    command
        .stdin(Stdio::null())
        .current_dir(scratch.path())
        .env_remove("RUST_LOG")
        .env_remove("LYCHGATE_CONFIG")
        .env("STATE_DIRECTORY", scratch.file("state"));
    let authority = scratch.file(AUTHORITY);
    if authority.exists() {
        command.env("SSL_CERT_FILE", authority);
    }
    command
}

/// The binary beside this test.
///
/// # Panics
/// When it was not built; with the command that builds it.
#[must_use]
pub fn binary() -> PathBuf {
    let test = env::current_exe().expect("a test knows where it is");
    // target/PROFILE/deps/stories-0123: the binary lies beside `deps`.
    let path = test.parent().and_then(Path::parent).expect("tests lie in target").join("lychgate");
    assert!(
        path.exists(),
        "{} does not exist; type `cargo build -p lychgate-server`",
        path.display()
    );
    path
}

/// A port on loopback that nobody listens at.
///
/// It is not one that the kernel gives to outgoing connections, so nobody takes it before the gate does.
///
/// # Panics
/// When there is none.
#[must_use]
pub fn free_port() -> u16 {
    const FIRST: u16 = 16_000;
    const COUNT: u16 = 16_000;
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Test programs that run side by side begin in different places.
    let start =
        u16::try_from(process::id().wrapping_mul(97) % u32::from(COUNT)).unwrap_or_default();
    for _ in 0..COUNT {
        let step = NEXT.fetch_add(1, Ordering::Relaxed) % COUNT;
        let port = FIRST + (start + step) % COUNT;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
    panic!("there is no free port");
}

/// What a process printed.
#[derive(Clone, Debug, Default)]
struct Output(Arc<Mutex<Vec<u8>>>);

impl Output {
    /// Keeps what comes, whole lines at a time so that the two streams do not mix within one.
    fn keep(&self, mut stream: impl Read + Send + 'static) {
        let output = self.clone();
        thread::spawn(move || {
            let (mut buffer, mut line) = ([0; 8192], Vec::new());
            while let Ok(read @ 1..) = stream.read(&mut buffer) {
                line.extend_from_slice(buffer.get(..read).unwrap_or_default());
                let end = line.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
                output.lock().extend(line.drain(..end));
            }
            output.lock().extend(line);
        });
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<u8>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn text<'a>(table: &'a toml::Table, path: &[&str]) -> Option<&'a str> {
    let (last, tables) = path.split_last()?;
    let table = tables.iter().try_fold(table, |table, name| table.get(*name)?.as_table())?;
    table.get(*last)?.as_str()
}

fn first<'a>(configuration: &'a toml::Table, tables: &str, key: &str) -> Option<&'a str> {
    let (_, first) = configuration.get(tables)?.as_table()?.iter().next()?;
    first.get(key)?.as_str()
}

fn first_origin(configuration: &toml::Table) -> String {
    let url = first(configuration, "routes", "url").expect("the story has a route");
    let url = url::Url::parse(url).expect("the route has a URL");
    url.origin().ascii_serialization()
}

fn first_address(configuration: &toml::Table) -> Option<SocketAddr> {
    first(configuration, "listeners", "address")?.parse().ok()
}
