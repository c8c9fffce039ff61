//! A sample application that shows what reached it.
//!
//! | Path | Answer |
//! |---|---|
//! | `/stream?n=10` | `n` server-sent events, the first at once, then one each 300 ms |
//! | `/upload` | how many bytes came, and their digest |
//! | `/download?bytes=` | so many bytes, all of them `x` |
//! | `/ws` | a WebSocket that returns every message |
//! | `/status/{code}` | that status, from 200 to 599 |
//! | `/set-cookie?name=&value=` | that cookie, for every path |
//! | all others | the request: as a page for browsers, as JSON for the rest |
//!
//! The JSON is `{"method", "path", "query", "headers", "body_bytes", "body_sha256"}`: `query` is
//! null without one, `headers` is a list of `[name, value]` as in [`Recorded::headers`], and the
//! digest is in hexadecimal.

use std::{convert::Infallible, fmt::Write, io, net::SocketAddr, time::Duration};

use aws_lc_rs::digest;
use axum::{
    Json, Router,
    body::{Body, Bytes},
    extract::{
        Path, Query, Request, State,
        ws::{Message, WebSocket, WebSocketUpgrade},
    },
    http::{HeaderMap, HeaderValue, StatusCode, header, request::Parts},
    middleware::{self, Next},
    response::{
        IntoResponse, Response,
        sse::{Event, Sse},
    },
    routing::{any, get},
};
use futures_util::{StreamExt, stream};
use serde::Deserialize;
use serde_json::json;

use crate::{
    html::{escape, page},
    record::{Recorded, Recorder, header_lines},
    serve::{self, Server, Stopping},
};

const EVENT_INTERVAL: Duration = Duration::from_millis(300);
const DOWNLOAD_CHUNK: &[u8] = &[b'x'; 16 * 1024];

/// The headers in which a gateway may say who is there, the friendliest first.
const NAME_HEADERS: [&str; 8] = [
    "x-forwarded-name",
    "x-webauth-name",
    "remote-name",
    "x-forwarded-preferred-username",
    "x-forwarded-user",
    "x-webauth-user",
    "remote-user",
    "x-forwarded-email",
];

/// A running echo application; it ends when dropped.
#[derive(Debug)]
pub struct Echo {
    recorder: Recorder,
    server: Server,
}

impl Echo {
    /// Starts it in tasks of the caller's tokio runtime. It listens when this returns.
    ///
    /// # Errors
    /// [`NotLoopback`](crate::NotLoopback) as [`io::ErrorKind::InvalidInput`], or the address
    /// cannot be bound.
    pub async fn start(address: SocketAddr) -> io::Result<Self> {
        let listener = serve::bind(address).await?;
        let recorder = Recorder::default();
        let server = Server::start(listener, |stopping| router(recorder.clone(), stopping))?;
        Ok(Self { recorder, server })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// The last ten thousand requests, the earliest first, each written down when its header had
    /// arrived. Their bodies are not kept.
    #[must_use]
    pub fn requests(&self) -> Vec<Recorded> {
        self.recorder.requests()
    }

    /// [`requests`](Self::requests), for somebody who asks when this may be gone.
    pub fn recording(&self) -> impl Fn() -> Vec<Recorded> + Send + Sync + 'static {
        let recorder = self.recorder.clone();
        move || recorder.requests()
    }

    /// How many of [`requests`](Self::requests) were for exactly this path.
    #[must_use]
    pub fn count(&self, path: &str) -> usize {
        self.recorder.count(path)
    }

    /// Forgets the requests so far.
    pub fn clear(&self) {
        self.recorder.clear();
    }

    /// Ends it, and returns once its port is free and its connections are closed, or after two
    /// seconds.
    pub async fn stop(self) {
        self.server.stop().await;
    }
}

fn router(recorder: Recorder, stopping: Stopping) -> Router {
    Router::new()
        .route("/stream", get(events))
        .route("/upload", any(upload))
        .route("/download", get(download))
        .route("/ws", any(web_socket))
        .route("/status/{code}", any(status))
        .route("/set-cookie", any(set_cookie))
        .fallback(echo)
        .layer(middleware::from_fn_with_state(recorder, record))
        .with_state(stopping)
}

async fn record(State(recorder): State<Recorder>, request: Request, next: Next) -> Response {
    let (head, body) = request.into_parts();
    recorder.record(Recorded::new(&head, &[]));
    next.run(Request::from_parts(head, body)).await
}

async fn echo(request: Request) -> Response {
    let (head, body) = request.into_parts();
    let Ok(body) = Digested::read(body).await else {
        return (StatusCode::BAD_REQUEST, "the body broke off\n").into_response();
    };
    if wants_a_page(&head.headers) {
        return echo_page(&head);
    }
    let answer = json!({
        "method": head.method.as_str(),
        "path": head.uri.path(),
        "query": head.uri.query(),
        "headers": header_lines(&head.headers),
        "body_bytes": body.bytes,
        "body_sha256": body.sha256,
    });
    Json(answer).into_response()
}

fn wants_a_page(headers: &HeaderMap) -> bool {
    headers
        .get_all(header::ACCEPT)
        .iter()
        .any(|value| value.to_str().is_ok_and(|value| value.contains("text/html")))
}

fn echo_page(head: &Parts) -> Response {
    let lines = header_lines(&head.headers);
    let name = NAME_HEADERS
        .iter()
        .find_map(|&wanted| lines.iter().find(|(name, value)| name == wanted && !value.is_empty()));
    let title = match name {
        Some((_, name)) => format!("Hello, {name}"),
        None => "Hello, whoever you are".to_owned(),
    };
    let target =
        head.uri.path_and_query().map_or_else(|| head.uri.path(), |target| target.as_str());
    let mut main = format!(
        "<nav aria-label=\"Sample application\"><a href=\"/\">Home</a> <a href=\"/admin\">Admin</a> \
         <a href=\"/.lychgate/\">Your session</a> <a href=\"/.lychgate/logout\">Sign out</a></nav>\n\
         <p>This is the sample application. It was asked for \
         <code>{} {}</code> and received these headers:</p>\n\
         <table>\n<caption>Request headers</caption>\n\
         <thead><tr><th scope=\"col\">Name</th><th scope=\"col\">Value</th></tr></thead>\n<tbody>\n",
        escape(head.method.as_str()),
        escape(target),
    );
    for (name, value) in &lines {
        let _ = writeln!(
            main,
            "<tr><th scope=\"row\">{}</th><td>{}</td></tr>",
            escape(name),
            escape(value)
        );
    }
    main.push_str("</tbody>\n</table>\n");
    page(StatusCode::OK, &title, &main)
}

/// A body that was read to its end and not kept.
struct Digested {
    bytes: usize,
    sha256: String,
}

impl Digested {
    async fn read(body: Body) -> Result<Self, axum::Error> {
        let mut chunks = body.into_data_stream();
        let mut context = digest::Context::new(&digest::SHA256);
        let mut bytes = 0;
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk?;
            bytes += chunk.len();
            context.update(&chunk);
        }
        let mut sha256 = String::with_capacity(64);
        for octet in context.finish().as_ref() {
            let _ = write!(sha256, "{octet:02x}");
        }
        Ok(Self { bytes, sha256 })
    }
}

async fn upload(body: Body) -> Response {
    match Digested::read(body).await {
        Ok(body) => Json(json!({ "bytes": body.bytes, "sha256": body.sha256 })).into_response(),
        Err(_) => (StatusCode::BAD_REQUEST, "the body broke off\n").into_response(),
    }
}

#[derive(Deserialize)]
struct Events {
    n: Option<u64>,
}

async fn events(State(stopping): State<Stopping>, Query(events): Query<Events>) -> Response {
    let events = stream::iter(1..=events.n.unwrap_or(10)).then(async |number| {
        if number > 1 {
            tokio::time::sleep(EVENT_INTERVAL).await;
        }
        Ok::<_, Infallible>(Event::default().data(number.to_string()))
    });
    Sse::new(events.take_until(stopping.wait())).into_response()
}

#[derive(Deserialize)]
struct Download {
    bytes: usize,
}

async fn download(Query(download): Query<Download>) -> Response {
    let chunks = stream::unfold(download.bytes, async |left| {
        let length = left.min(DOWNLOAD_CHUNK.len());
        let chunk = Bytes::from_static(DOWNLOAD_CHUNK).slice(..length);
        (length > 0).then(|| (Ok::<_, Infallible>(chunk), left - length))
    });
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream")),
        (header::CONTENT_LENGTH, HeaderValue::from(download.bytes)),
    ];
    (headers, Body::from_stream(chunks)).into_response()
}

async fn web_socket(State(stopping): State<Stopping>, upgrade: WebSocketUpgrade) -> Response {
    upgrade.on_upgrade(async |socket| {
        tokio::select! {
            () = return_messages(socket) => {}
            () = stopping.wait() => {}
        }
    })
}

async fn return_messages(mut socket: WebSocket) {
    while let Some(Ok(message)) = socket.recv().await {
        match message {
            Message::Binary(_) | Message::Text(_) => {
                if socket.send(message).await.is_err() {
                    return;
                }
            }
            // The library answers these itself.
            Message::Close(_) | Message::Ping(_) | Message::Pong(_) => {}
        }
    }
}

async fn status(Path(code): Path<u16>) -> Response {
    match StatusCode::from_u16(code) {
        // The informational ones cannot end an answer.
        Ok(status) if (200..600).contains(&code) => status.into_response(),
        _ => (StatusCode::BAD_REQUEST, "a status is a number from 200 to 599\n").into_response(),
    }
}

#[derive(Deserialize)]
struct Cookie {
    name: String,
    value: String,
}

async fn set_cookie(Query(cookie): Query<Cookie>) -> Response {
    match HeaderValue::try_from(format!("{}={}; Path=/", cookie.name, cookie.value)) {
        Ok(value) => ([(header::SET_COOKIE, value)], "set\n").into_response(),
        Err(_) => (StatusCode::BAD_REQUEST, "that cannot stand in a cookie\n").into_response(),
    }
}
