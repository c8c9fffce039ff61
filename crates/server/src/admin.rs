//! The operator's own port: health and metrics.
//!
//! It is not for visitors. `/livez` says that the program answers; `/readyz`, and `/healthz` with it, that it
//! can take traffic; `/metrics` is for Prometheus and `/status` for whoever wants to know more, and both ask for a
//! token when one is configured. Whether a provider answers, and whether logins that are used up can be marked, is shown
//! and never makes the gateway unready: who is signed in needs neither (K-23).

pub(crate) mod socket;

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fmt::Write as _;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use lychgate_oidc::Secret;
use serde_json::Value;
use tokio::sync::Semaphore;

use crate::marks::Marks;
use crate::reload::History;
use crate::rfc3339;
use crate::telemetry::Format;
use crate::telemetry::metrics::Metrics;

/// From the first byte of a request to the end of its headers, and between two requests.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);

/// The request line and headers together, in bytes. Nothing that is asked for here needs more.
const HEADER_BYTES_MAX: usize = 16 * 1024;

/// Connections at one time. More wait to be accepted.
const CONNECTIONS_MAX: usize = 64;

/// How long to wait when a connection cannot be accepted, for want of descriptors perhaps.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The port, bound and not yet served.
#[derive(Debug)]
pub(crate) struct Admin {
    listener: TcpListener,
    pages: Pages,
}

/// What is answered from.
#[derive(Debug)]
struct Pages {
    in_use: Arc<ArcSwap<InUse>>,
    readiness: Arc<Readiness>,
    history: Arc<History>,
}

/// The configuration in use, as the operator is told of it.
#[derive(Debug)]
pub(crate) struct InUse {
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) token: Option<Secret>,
    /// The files of the configuration, as they were named.
    pub(crate) files: Vec<String>,
}

impl Admin {
    /// Binds `address`; port 0 is any free one. Nobody is answered before [`serve`](Self::serve). What is `in_use` and
    /// the `history` of reloads are shown.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub(crate) fn bind(
        address: SocketAddr,
        readiness: Arc<Readiness>,
        in_use: Arc<ArcSwap<InUse>>,
        history: Arc<History>,
    ) -> io::Result<Self> {
        let listener = TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        Ok(Self { listener, pages: Pages { in_use, readiness, history } })
    }

    /// Where it listens.
    ///
    /// # Errors
    /// When the socket is gone.
    pub(crate) fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Answers until `stop` is ready. Answers that have begun are then cut off: none of them takes long.
    ///
    /// # Errors
    /// When the socket is gone.
    pub(crate) async fn serve(self, stop: impl Future<Output = ()>) -> io::Result<()> {
        let listener = tokio::net::TcpListener::from_std(self.listener)?;
        let pages = Arc::new(self.pages);
        let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let mut stop = pin!(stop);
        let mut connections = tokio::task::JoinSet::new();
        loop {
            let accepted = async {
                let place = Arc::clone(&places).acquire_owned().await;
                (place, listener.accept().await)
            };
            let (place, accepted) = tokio::select! {
                () = &mut stop => return Ok(()),
                accepted = accepted => accepted,
            };
            while connections.try_join_next().is_some() {}
            let Ok((stream, _)) = accepted else {
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            };
            let pages = Arc::clone(&pages);
            connections.spawn(async move {
                let _place = place;
                let service = service_fn(|request: Request<hyper::body::Incoming>| {
                    let response = pages.answer(&request.into_parts().0);
                    std::future::ready(Ok::<_, Infallible>(response.map(Full::new)))
                });
                let mut server = http1::Builder::new();
                server.timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT);
                server.max_buf_size(HEADER_BYTES_MAX);
                // A client that hangs up is nobody's trouble.
                let _ = server.serve_connection(TokioIo::new(stream), service).await;
            });
        }
    }
}

impl Pages {
    fn answer(&self, request: &http::request::Parts) -> Response<Bytes> {
        let page = match request.uri.path() {
            "/livez" => Page::Live,
            "/readyz" | "/healthz" => Page::Ready,
            "/metrics" => Page::Metrics,
            "/status" => Page::Status,
            _ => return text(StatusCode::NOT_FOUND, "not found\n"),
        };
        if !matches!(request.method, Method::GET | Method::HEAD) {
            let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "method not allowed\n");
            response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
            return response;
        }
        match page {
            Page::Live => text(StatusCode::OK, "ok\n"),
            Page::Metrics => self.metrics(&request.headers),
            Page::Ready => self.ready(request.uri.query().unwrap_or_default()),
            Page::Status => self.status(&request.headers),
        }
    }

    /// How the program is, for `lychgate status` and other programs; members are only ever added.
    fn status(&self, headers: &HeaderMap) -> Response<Bytes> {
        if let Some(refusal) = self.refuse_without_token(headers, "status") {
            return refusal;
        }
        let checks = Check::ALL.map(|check| {
            let state = if self.readiness.passes(check) { "ok" } else { "failed" };
            (check.name().to_owned(), Value::from(state))
        });
        let providers = self.readiness.providers().clone();
        let providers =
            providers.into_iter().map(|(name, state)| (name, Value::from(state.as_str())));
        let in_use = self.in_use.load();
        let document = serde_json::json!({
            "version": env!("CARGO_PKG_VERSION"),
            "config_hash": in_use.metrics.config_hash(),
            "files": in_use.files,
            "started_at": rfc3339::milliseconds(in_use.metrics.started()),
            "last_reload": self.history.last(),
            "needs_restart": self.history.needs_restart(),
            "ready": Check::ALL.into_iter().all(|check| self.readiness.passes(check)),
            "checks": serde_json::Map::from_iter(checks),
            "providers": providers.collect::<serde_json::Map<_, _>>(),
        });
        let mut response = text(StatusCode::OK, format!("{document}\n"));
        let json = HeaderValue::from_static("application/json");
        response.headers_mut().insert(header::CONTENT_TYPE, json);
        response
    }

    /// The answer to somebody who does not have the token that is asked for.
    fn refuse_without_token(&self, headers: &HeaderMap, realm: &str) -> Option<Response<Bytes>> {
        let in_use = self.in_use.load();
        if in_use.token.as_ref().is_none_or(|token| bearer(headers).as_ref() == Some(token)) {
            return None;
        }
        let mut response = text(StatusCode::UNAUTHORIZED, "a token is needed\n");
        let scheme = HeaderValue::try_from(format!("Bearer realm=\"{realm}\""));
        if let Ok(scheme) = scheme {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, scheme);
        }
        Some(response)
    }

    fn metrics(&self, headers: &HeaderMap) -> Response<Bytes> {
        if let Some(refusal) = self.refuse_without_token(headers, "metrics") {
            return refusal;
        }
        let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
        let format = Format::accepted(accept.unwrap_or_default());
        let mut response = text(StatusCode::OK, self.in_use.load().metrics.expose(format));
        let content_type = HeaderValue::from_static(format.content_type());
        response.headers_mut().insert(header::CONTENT_TYPE, content_type);
        response
    }

    fn ready(&self, query: &str) -> Response<Bytes> {
        let mut excluded = Vec::new();
        let mut verbose = false;
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
            match &*name {
                "exclude" => excluded.push(value),
                "verbose" => verbose = true,
                _ => {}
            }
        }
        let counts = |check: Check| !excluded.iter().any(|name| name == check.name());
        let ready = Check::ALL
            .into_iter()
            .filter(|check| counts(*check))
            .all(|check| self.readiness.passes(check));
        let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        let verdict = if ready { "ready\n" } else { "not ready\n" };
        if !verbose {
            return text(status, verdict);
        }
        let mut lines = String::new();
        for check in Check::ALL {
            let state = match (counts(check), self.readiness.passes(check)) {
                (false, _) => "excluded",
                (true, true) => "ok",
                (true, false) => "failed",
            };
            // Writing to a string cannot fail.
            let _ = writeln!(lines, "{}: {state}", check.name());
        }
        for (name, state) in self.readiness.providers().iter() {
            let _ = writeln!(lines, "provider {name}: {} (not counted)", state.as_str());
        }
        if self.readiness.marks.as_ref().is_some_and(Marks::are_missing) {
            lines.push_str("spent logins: known to this process alone (not counted)\n");
        }
        text(status, lines + verdict)
    }
}

/// What is answered here.
enum Page {
    Live,
    Metrics,
    Ready,
    Status,
}

/// The token of `Authorization: Bearer`, to be compared in constant time as secrets are.
fn bearer(headers: &HeaderMap) -> Option<Secret> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| Secret::new(token.trim_start_matches(' ')))
}

fn text(status: StatusCode, body: impl Into<Bytes>) -> Response<Bytes> {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// Whether traffic may come. At the start it may not.
#[derive(Debug, Default)]
pub(crate) struct Readiness {
    config: AtomicBool,
    listeners: AtomicBool,
    draining: AtomicBool,
    providers: Mutex<BTreeMap<String, ProviderState>>,
    marks: Option<Marks>,
}

/// Something that has to be so before traffic may come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Check {
    /// A configuration is in use.
    Config,
    /// We do not stop.
    Draining,
    /// All sockets are bound.
    Listeners,
}

impl Check {
    const ALL: [Self; 3] = [Self::Config, Self::Listeners, Self::Draining];

    fn name(self) -> &'static str {
        match self {
            Self::Config => "config",
            Self::Draining => "draining",
            Self::Listeners => "listeners",
        }
    }
}

/// Whether a provider is known to answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ProviderState {
    /// It answered the last time.
    Reachable,
    /// It was not asked yet.
    Unknown,
    /// It did not answer the last time.
    Unreachable,
}

impl ProviderState {
    fn as_str(self) -> &'static str {
        match self {
            Self::Reachable => "reachable",
            Self::Unknown => "unknown",
            Self::Unreachable => "unreachable",
        }
    }
}

impl Readiness {
    /// The same, which shows whether logins that are used up leave `marks`.
    pub(crate) fn with(marks: Marks) -> Self {
        Self { marks: Some(marks), ..Self::default() }
    }

    /// A configuration is in use.
    pub(crate) fn config_is_live(&self) {
        self.config.store(true, Ordering::Release);
    }

    /// All sockets are bound.
    pub(crate) fn listeners_are_bound(&self) {
        self.listeners.store(true, Ordering::Release);
    }

    /// We were told to stop: whoever sends traffic should send it elsewhere.
    pub(crate) fn drain(&self) {
        self.draining.store(true, Ordering::Release);
    }

    /// Forgets providers that are configured no more.
    pub(crate) fn only_providers(&self, configured: &[&str]) {
        self.providers().retain(|name, _| configured.contains(&name.as_str()));
    }

    /// What is known of a provider.
    pub(crate) fn provider(&self, name: &str, state: ProviderState) {
        self.providers().insert(name.to_owned(), state);
    }

    fn passes(&self, check: Check) -> bool {
        match check {
            Check::Config => self.config.load(Ordering::Acquire),
            Check::Draining => !self.draining.load(Ordering::Acquire),
            Check::Listeners => self.listeners.load(Ordering::Acquire),
        }
    }

    fn providers(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, ProviderState>> {
        self.providers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
