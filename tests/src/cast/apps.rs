//! Applications that other people wrote and that believe a header, as they are run in the wild.
//!
//! `cargo xtask setup` installs them. What they do with the header is in `tests/rigs/README.md`.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Instant;

use tokio::net::TcpStream;
use tokio::process::{Child, ChildStdin, Command};
use tokio::time::{Duration, sleep};

use super::gate::{PATIENCE, free_port};
use super::scratch::Scratch;

/// The file that an application's own words go to.
const LOG: &str = "application.log";

/// How often a port is tried that is not open yet.
const GLANCE: Duration = Duration::from_millis(50);

/// A running application. It ends when this is dropped, because its standard input ends, and its
/// files go with it.
#[derive(Debug)]
pub struct Application {
    address: SocketAddr,
    // Never written to; its end is the application's.
    _stdin: ChildStdin,
    scratch: Scratch,
}

impl Application {
    /// Radicale, calendars and contacts over WebDAV: whoever `X-Remote-User` names is signed in and
    /// owns what is under `/NAME/`, and nobody else may look there.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn radicale() -> Self {
        Self::start("python", |scratch, port| {
            let folder = scratch.file("collections");
            [
                "-m".to_owned(),
                "radicale".to_owned(),
                "--config=".to_owned(),
                format!("--server-hosts=127.0.0.1:{port}"),
                "--auth-type=http_x_remote_user".to_owned(),
                "--rights-type=owner_only".to_owned(),
                format!("--storage-filesystem-folder={}", folder.display()),
                "--logging-level=error".to_owned(),
            ]
        })
        .await
    }

    /// A Jupyter server: whoever `X-Forwarded-User` names is signed in, and may open a terminal.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn jupyter() -> Self {
        Self::start("jupyter-server", |scratch, port| {
            [
                format!("--config={}", rigs().join("jupyter_identity.py").display()),
                "--ServerApp.ip=127.0.0.1".to_owned(),
                format!("--ServerApp.port={port}"),
                format!("--ServerApp.root_dir={}", scratch.path().display()),
                "--Application.log_level=CRITICAL".to_owned(),
            ]
        })
        .await
    }

    async fn start<const N: usize>(
        program: &str,
        arguments: impl FnOnce(&Scratch, u16) -> [String; N],
    ) -> Self {
        let (scratch, port) = (Scratch::new(), free_port());
        let installed = rigs().join("../../target/rigs/venv/bin").join(program);
        assert!(installed.exists(), "{program} is missing; type `cargo xtask setup`");
        let log = scratch.write(LOG, "");
        let log = File::options().append(true).open(log).expect("a file of ours can be opened");
        let mut child = Command::new("sh")
            .arg(rigs().join("until_eof.sh"))
            .arg(installed)
            .args(arguments(&scratch, port))
            .current_dir(scratch.path())
            .envs(
                ["CONFIG", "DATA", "RUNTIME"]
                    .map(|kind| (format!("JUPYTER_{kind}_DIR"), scratch.file(&format!(".{kind}")))),
            )
            .env("HOME", scratch.path())
            .stdin(Stdio::piped())
            .stdout(log.try_clone().expect("a file can be written by two"))
            .stderr(log)
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {program}: {error}"));
        let stdin = child.stdin.take().expect("standard input is piped");
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let application = Self { address, _stdin: stdin, scratch };
        application.listens(&mut child).await;
        application
    }

    async fn listens(&self, child: &mut Child) {
        let began = Instant::now();
        while TcpStream::connect(self.address).await.is_err() {
            let ended = child.try_wait().is_ok_and(|status| status.is_some());
            assert!(
                !ended && began.elapsed() < PATIENCE,
                "nobody listens at {}:\n{}",
                self.address,
                self.scratch.read(LOG)
            );
            sleep(GLANCE).await;
        }
    }

    /// Where it listens, as an upstream's URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The directory that it keeps its files in.
    #[must_use]
    pub fn scratch(&self) -> &Scratch {
        &self.scratch
    }
}

fn rigs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("rigs")
}
