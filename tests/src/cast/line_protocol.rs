//! A program of somebody else's that speaks JSON, one value per line.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

/// Longer than anything that a rig does on a busy machine, so that reaching it is a failure.
const PATIENCE: Duration = Duration::from_secs(60);

/// One running program. It ends when this is dropped, because its standard input ends.
#[derive(Debug)]
pub(crate) struct LineProtocol {
    name: &'static str,
    child: Child,
    // Empty only while the program is ending.
    stdin: Option<ChildStdin>,
    stdout: Lines<BufReader<ChildStdout>>,
}

impl LineProtocol {
    /// Starts a script of `tests/rigs` with Node.
    ///
    /// # Panics
    /// When Node cannot be started: `cargo xtask setup` was not run.
    pub(crate) fn start<I>(script: &'static str, arguments: I) -> Self
    where
        I: IntoIterator,
        I::Item: AsRef<OsStr>,
    {
        let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("rigs").join(script);
        let mut node = Command::new("node");
        node.arg(file).args(arguments);
        Self::spawn(script, node)
    }

    /// Starts a program that `cargo xtask setup` has built.
    ///
    /// # Panics
    /// When it is not there.
    pub(crate) fn start_built(name: &'static str, program: &Path) -> Self {
        assert!(program.exists(), "{name} is missing; type `cargo xtask setup`");
        Self::spawn(name, Command::new(program))
    }

    fn spawn(name: &'static str, mut command: Command) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {name}: {error}"));
        let stdin = child.stdin.take();
        let stdout = child.stdout.take().expect("standard output is piped");
        Self { name, child, stdin, stdout: BufReader::new(stdout).lines() }
    }

    /// The next line.
    ///
    /// # Panics
    /// When none comes in time, the program has ended, or the line is not JSON.
    pub(crate) async fn hear(&mut self) -> Value {
        let name = self.name;
        let line = timeout(PATIENCE, self.stdout.next_line())
            .await
            .unwrap_or_else(|_| panic!("{name} said nothing for {PATIENCE:?}"))
            .unwrap_or_else(|error| panic!("{name} cannot be read: {error}"))
            .unwrap_or_else(|| panic!("{name} ended; its standard error says why"));
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{name}: {error} in {line}"))
    }

    /// Says one line and hears one.
    ///
    /// # Panics
    /// As [`hear`](Self::hear).
    pub(crate) async fn ask(&mut self, question: &Value) -> Value {
        let name = self.name;
        let stdin = self.stdin.as_mut().expect("standard input is open until the end");
        stdin
            .write_all(format!("{question}\n").as_bytes())
            .await
            .unwrap_or_else(|error| panic!("{name} does not listen: {error}"));
        self.hear().await
    }

    /// Ends the program and waits until it has tidied up behind itself. Merely dropping this ends
    /// it too, but nobody waits then.
    pub(crate) async fn end(mut self) {
        drop(self.stdin.take());
        if timeout(PATIENCE, self.child.wait()).await.is_err() {
            panic!("{} did not end with its standard input", self.name);
        }
    }
}
