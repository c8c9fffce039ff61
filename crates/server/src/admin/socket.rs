//! The operator's own socket: a file that nobody but this process's user, and root, can connect to.
//!
//! What changes something is asked for here and nowhere else. The admin port may be reached by a scraper, by other
//! containers of a pod, or by a page in a browser on this machine; a file has an owner (decision 7).

use std::convert::Infallible;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::Value;
use tokio::net::UnixListener;
use tokio::sync::{mpsc, oneshot};

use crate::keys;
use crate::listener::unix::{self, SocketFile, SocketFileError};
use crate::reload::Order;

/// From the first byte of a request to the end of its headers.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// How many may wait to be accepted.
const BACKLOG: u32 = 16;
/// How long to wait when a connection cannot be accepted.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

const FILE_NAME: &str = "admin.sock";
/// Where `lychgate reload` looks when it is not started by systemd, and the gateway was.
const OF_THE_SYSTEM: &str = "/run/lychgate/admin.sock";

/// The socket, and its file.
#[derive(Debug)]
pub(crate) struct AdminSocket {
    listener: UnixListener,
    _file: SocketFile,
}

/// Where the socket is: where it was `said`, else where systemd says, else where state is kept, else where the user's
/// programs keep such things.
pub(crate) fn path(said: Option<&Path>) -> PathBuf {
    if let Some(said) = said {
        return said.to_owned();
    }
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    // Systemd gives one directory, or several with colons between.
    let first = |directories: std::ffi::OsString| {
        std::env::split_paths(&directories).next().unwrap_or_default()
    };
    let directory = variable("RUNTIME_DIRECTORY")
        .or_else(|| variable("STATE_DIRECTORY"))
        .map(first)
        .or_else(|| variable("XDG_RUNTIME_DIR").map(|run| PathBuf::from(run).join("lychgate")))
        .unwrap_or_else(keys::state_directory);
    directory.join(FILE_NAME)
}

/// Where it may be, for whoever looks for it.
pub(crate) fn candidates(said: Option<&Path>) -> Vec<PathBuf> {
    let mut paths = vec![path(said)];
    if said.is_none() {
        paths.push(PathBuf::from(OF_THE_SYSTEM));
    }
    paths
}

impl AdminSocket {
    /// Binds it.
    ///
    /// # Errors
    /// When the directory or the file cannot be made, or another process is there.
    pub(crate) fn bind(path: &Path) -> Result<Self, SocketFileError> {
        if let Some(directory) = path.parent().filter(|directory| !directory.exists()) {
            std::fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
        }
        let (listener, file) = unix::listen(path, 0o600, BACKLOG)?;
        Ok(Self { listener, _file: file })
    }

    /// Answers for as long as somebody takes `orders`, one connection after the other.
    pub(crate) async fn serve(self, orders: mpsc::Sender<Order>) {
        loop {
            let stream = match self.listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "accepting on the admin socket failed");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let orders = orders.clone();
            tokio::spawn(async move {
                let service = service_fn(|request: Request<hyper::body::Incoming>| {
                    let orders = orders.clone();
                    async move { Ok::<_, Infallible>(answer(&request, &orders).await.map(Full::new)) }
                });
                let mut server = http1::Builder::new();
                server.timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT);
                // Whoever asked may not wait.
                let _ = server.serve_connection(TokioIo::new(stream), service).await;
            });
        }
    }
}

async fn answer<B>(request: &Request<B>, orders: &mpsc::Sender<Order>) -> Response<Bytes> {
    let (status, document) = match (request.method(), request.uri().path()) {
        (&Method::POST, "/reload") => {
            let (reply, answer) = oneshot::channel();
            let force = request.uri().query() == Some("force");
            let asked = orders.send(Order { force, reply }).await.is_ok();
            match answer.await {
                Ok(answer) if asked => (StatusCode::OK, answer),
                _ => (StatusCode::SERVICE_UNAVAILABLE, Value::from("the gateway stops")),
            }
        }
        (_, "/reload") => (StatusCode::METHOD_NOT_ALLOWED, Value::from("method not allowed")),
        _ => (StatusCode::NOT_FOUND, Value::from("not found")),
    };
    let mut response = Response::new(format!("{document}\n").into());
    *response.status_mut() = status;
    let json = http::HeaderValue::from_static("application/json");
    response.headers_mut().insert(http::header::CONTENT_TYPE, json);
    response
}

/// Asks the gateway at `path` to reload, and waits for its answer.
///
/// # Errors
/// When nobody answers there, or not in that way.
pub(crate) async fn ask_to_reload(path: &Path, force: bool) -> io::Result<Value> {
    use http_body_util::BodyExt as _;
    let stream = tokio::net::UnixStream::connect(path).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(io::Error::other)?;
    let connection = tokio::spawn(connection);
    let request = Request::post(if force { "/reload?force" } else { "/reload" })
        .header(http::header::HOST, "lychgate")
        .body(Full::new(Bytes::new()))
        .map_err(io::Error::other)?;
    let answer = sender.send_request(request).await.map_err(io::Error::other)?;
    let body = answer.into_body().collect().await.map_err(io::Error::other)?.to_bytes();
    connection.abort();
    serde_json::from_slice(&body).map_err(io::Error::other)
}
