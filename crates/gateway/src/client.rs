//! What kind of client asks, for each understands another answer.
//!
//! A page may be answered with a redirect to sign-in. A program's request must not be: the redirect would
//! leave its origin and die as a CORS error, or hand it the provider's login page as data. Some programs
//! understand no status but their own.
//!
//! Sources: Fetch Metadata Request Headers §2; RFC 9110 §12.5.1 (Accept); Fetch §3.2.2 (CORS preflight); RFC 6455
//! §4.1; gRPC over HTTP/2 (Requests); gRPC-Web; RFC 6750 §2.1; the table of requirement 5.4.

use http::{HeaderMap, HeaderName, Method, header};

use crate::bearer::Presented;
use crate::weight::thousandths;

const HX_REQUEST: HeaderName = HeaderName::from_static("hx-request");
const PURPOSE: HeaderName = HeaderName::from_static("purpose");
const SEC_FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");
const SEC_PURPOSE: HeaderName = HeaderName::from_static("sec-purpose");
const X_MOZ: HeaderName = HeaderName::from_static("x-moz");
const X_REQUESTED_WITH: HeaderName = HeaderName::from_static("x-requested-with");

/// Who will read the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Client {
    /// A program that presents a token (`Authorization: Bearer`).
    Bearer,
    /// A browser that opens a page and says so (`Sec-Fetch-Mode: navigate`): it runs scripts and keeps
    /// fragments.
    Browser,
    /// A stream of events (`Accept: text/event-stream`): any status but 200 ends the attempts to get it.
    EventSource,
    /// A gRPC client, which reads `grpc-status` and takes any other status for a failure of the network.
    Grpc,
    /// A gRPC client in a browser, which reads `grpc-status` where CORS lets it.
    GrpcWeb,
    /// A page that is put together by htmx, which follows `HX-Redirect`.
    Htmx,
    /// Something else that asks for a page: an older browser, or a tool that follows redirects.
    Navigation,
    /// A browser that asks whether a page of another origin may ask. It never brings credentials.
    Preflight,
    /// A script, a tool, a prefetch: anything that wants data or a plain refusal.
    Program,
    /// A handshake: the answer's status is all that the other side sees.
    WebSocket,
}

impl Client {
    /// Tells them apart by method and headers. The order counts: a gRPC client that presents a token is a gRPC
    /// client, and a browser's handshake is no page.
    pub fn of(method: &Method, headers: &HeaderMap) -> Self {
        let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
        if is_preflight(method, headers) {
            return Self::Preflight;
        }
        match text(header::CONTENT_TYPE).and_then(grpc) {
            Some(Grpc::Plain) => return Self::Grpc,
            Some(Grpc::Web) => return Self::GrpcWeb,
            None => {}
        }
        if headers.contains_key(header::UPGRADE) {
            return Self::WebSocket;
        }
        let accept = text(header::ACCEPT).unwrap_or_default();
        if quality(accept, "text/event-stream").is_some() {
            return Self::EventSource;
        }
        if Presented::read(headers) != Presented::Nothing {
            return Self::Bearer;
        }
        if is_prefetch(headers) {
            return Self::Program;
        }
        if text(HX_REQUEST).is_some_and(|value| value.eq_ignore_ascii_case("true")) {
            return Self::Htmx;
        }
        match text(SEC_FETCH_MODE) {
            Some("navigate") => return Self::Browser,
            Some(_) => return Self::Program,
            None => {}
        }
        let page = matches!(*method, Method::GET | Method::HEAD | Method::POST)
            && !headers.contains_key(X_REQUESTED_WITH)
            && prefers_html(accept);
        if page { Self::Navigation } else { Self::Program }
    }

    /// Whether the answer is a page for people.
    pub fn wants_page(self) -> bool {
        matches!(self, Self::Browser | Self::Navigation)
    }

    /// The same client, where nobody is sent to a page.
    #[must_use]
    pub fn without_pages(self) -> Self {
        if self.wants_page() { Self::Program } else { self }
    }
}

enum Grpc {
    Plain,
    Web,
}

/// What kind of gRPC a media type is of: `application/grpc`, `application/grpc+proto` and their like.
fn grpc(content_type: &str) -> Option<Grpc> {
    let media_type = content_type.split(';').next().unwrap_or_default().trim();
    let media_type = media_type.to_ascii_lowercase();
    let rest = media_type.strip_prefix("application/grpc")?;
    let is_end = |rest: &str| rest.is_empty() || rest.starts_with('+');
    match rest.strip_prefix("-web") {
        Some(rest) if is_end(rest.strip_prefix("-text").unwrap_or(rest)) => Some(Grpc::Web),
        None if is_end(rest) => Some(Grpc::Plain),
        Some(_) | None => None,
    }
}

/// Whether a browser asks for leave to ask (Fetch §3.2.2).
pub fn is_preflight(method: &Method, headers: &HeaderMap) -> bool {
    *method == Method::OPTIONS
        && headers.contains_key(header::ORIGIN)
        && headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
}

/// How much a media type is wanted, in thousandths, where `Accept` names it; `None`: not by name, or not at all.
fn quality(accept: &str, media_type: &str) -> Option<u16> {
    named(accept)
        .filter(|(name, quality)| name.eq_ignore_ascii_case(media_type) && *quality > 0)
        .map(|(_, quality)| quality)
        .max()
}

/// Whether a page is wanted, and nothing else that is named is wanted more. Wildcards say nothing.
fn prefers_html(accept: &str) -> bool {
    let html = |name: &str| {
        name.eq_ignore_ascii_case("text/html") || name.eq_ignore_ascii_case("application/xhtml+xml")
    };
    let wanted = named(accept).filter(|(name, _)| html(name)).map(|(_, quality)| quality).max();
    let others = named(accept).filter(|(name, _)| !html(name) && !name.contains('*'));
    let others = others.map(|(_, quality)| quality).max().unwrap_or_default();
    wanted.is_some_and(|wanted| wanted > 0 && wanted >= others)
}

/// The media ranges of `Accept` and how much each is wanted.
fn named(accept: &str) -> impl Iterator<Item = (&str, u16)> {
    accept.split(',').map(|range| {
        let mut parts = range.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default();
        let quality = parts.find_map(|part| {
            let (name, value) = part.split_once('=')?;
            // What is no weight weighs nothing.
            name.eq_ignore_ascii_case("q").then(|| thousandths(value).unwrap_or_default())
        });
        (name, quality.unwrap_or(1000))
    })
}

/// Whether a browser only looks ahead: such a request must use nothing up.
pub fn is_prefetch(headers: &HeaderMap) -> bool {
    [SEC_PURPOSE, PURPOSE, X_MOZ]
        .into_iter()
        .filter_map(|name| headers.get(name)?.to_str().ok())
        .any(|purpose| purpose.to_ascii_lowercase().contains("prefetch"))
}

/// Where a request came from, as the browser says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Initiator {
    /// Another site.
    Foreign,
    /// Our own page, or the person themselves.
    Own,
    /// The browser does not say.
    Unsaid,
}

impl Initiator {
    /// Reads `Sec-Fetch-Site`, or else `Origin`.
    pub fn of(headers: &HeaderMap, own_origin: &str) -> Self {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        match (text("sec-fetch-site"), text("origin")) {
            (Some("same-origin" | "none"), _) => Self::Own,
            (Some(_), _) => Self::Foreign,
            (None, Some(origin)) if origin == own_origin => Self::Own,
            (None, Some(_)) => Self::Foreign,
            (None, None) => Self::Unsaid,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderName, HeaderValue};

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect()
    }

    /// 5.4: each kind by its own mark.
    #[test]
    fn clients_are_told_apart() {
        for (method, pairs, expected) in [
            (Method::GET, &[("sec-fetch-mode", "navigate")][..], Client::Browser),
            (Method::POST, &[("sec-fetch-mode", "navigate")], Client::Browser),
            (Method::GET, &[("sec-fetch-mode", "cors"), ("accept", "text/html")], Client::Program),
            (Method::GET, &[("sec-fetch-mode", "same-origin")], Client::Program),
            (
                Method::GET,
                &[("sec-fetch-mode", "navigate"), ("sec-purpose", "prefetch;prerender")],
                Client::Program,
            ),
            (Method::GET, &[("accept", "text/html,*/*")], Client::Navigation),
            (Method::GET, &[("accept", "application/xhtml+xml")], Client::Navigation),
            (
                Method::GET,
                &[("accept", "text/html"), ("x-requested-with", "XMLHttpRequest")],
                Client::Program,
            ),
            (Method::GET, &[("accept", "application/json")], Client::Program),
            (Method::GET, &[("accept", "application/json, text/html;q=0.5")], Client::Program),
            (Method::GET, &[("accept", "text/html, application/json;q=0.9")], Client::Navigation),
            (Method::GET, &[("accept", "text/html, application/json")], Client::Navigation),
            (Method::GET, &[("accept", "text/html;q=0")], Client::Program),
            (Method::GET, &[("accept", "text/html;q=high")], Client::Program),
            (Method::GET, &[("accept", "text/html;q=inf")], Client::Program),
            (Method::GET, &[("accept", "text/html;q=7")], Client::Program),
            (Method::GET, &[("accept", "text/htmlx")], Client::Program),
            (Method::GET, &[("accept", "*/*")], Client::Program),
            (Method::PUT, &[("accept", "text/html")], Client::Program),
            (Method::GET, &[("upgrade", "websocket"), ("accept", "text/html")], Client::WebSocket),
            (Method::GET, &[("accept", "text/event-stream")], Client::EventSource),
            (Method::POST, &[("content-type", "application/grpc")], Client::Grpc),
            (Method::POST, &[("content-type", "application/grpc+proto")], Client::Grpc),
            (Method::POST, &[("content-type", "Application/gRPC; charset=x")], Client::Grpc),
            (Method::POST, &[("content-type", "application/grpc-web+proto")], Client::GrpcWeb),
            (Method::POST, &[("content-type", "application/grpc-web-text")], Client::GrpcWeb),
            (Method::POST, &[("content-type", "application/grpcx")], Client::Program),
            (Method::POST, &[("content-type", "application/grpc-webx")], Client::Program),
            (Method::GET, &[("authorization", "bearer x")], Client::Bearer),
            (Method::GET, &[("authorization", "Bearer")], Client::Bearer),
            (Method::GET, &[("authorization", "Basic eA==")], Client::Program),
            (Method::GET, &[("authorization", "BearerX x")], Client::Program),
            (Method::GET, &[("hx-request", "true")], Client::Htmx),
            (Method::GET, &[("hx-request", "false"), ("accept", "text/html")], Client::Navigation),
            (
                Method::OPTIONS,
                &[("origin", "https://a.test"), ("access-control-request-method", "PUT")],
                Client::Preflight,
            ),
            (Method::OPTIONS, &[("access-control-request-method", "PUT")], Client::Program),
            (
                Method::GET,
                &[("origin", "https://a.test"), ("access-control-request-method", "PUT")],
                Client::Program,
            ),
            (Method::GET, &[], Client::Program),
        ] {
            assert_eq!(Client::of(&method, &headers(pairs)), expected, "{method} {pairs:?}");
        }
    }

    /// 5.4: gRPC, then WebSocket and event streams, then a token, then a page, then everything else. Each mark is
    /// beaten by all before it.
    #[test]
    fn the_marks_are_looked_at_in_one_order() {
        let marks: [(&'static str, &'static str, Client); 7] = [
            ("content-type", "application/grpc", Client::Grpc),
            ("upgrade", "websocket", Client::WebSocket),
            ("accept", "text/event-stream, text/html", Client::EventSource),
            ("authorization", "Bearer x", Client::Bearer),
            ("purpose", "prefetch", Client::Program),
            ("hx-request", "true", Client::Htmx),
            ("sec-fetch-mode", "navigate", Client::Browser),
        ];
        for (at, (.., expected)) in marks.iter().enumerate() {
            let pairs: Vec<_> =
                marks[at..].iter().map(|(name, value, _)| (*name, *value)).collect();
            assert_eq!(Client::of(&Method::POST, &headers(&pairs)), *expected, "{pairs:?}");
        }
    }

    #[test]
    fn a_request_from_another_site_is_recognised() {
        let own = "https://app.test";
        for (pairs, expected) in [
            (&[("sec-fetch-site", "same-origin")][..], Initiator::Own),
            (&[("sec-fetch-site", "none")], Initiator::Own),
            (&[("sec-fetch-site", "same-site")], Initiator::Foreign),
            (
                &[("sec-fetch-site", "cross-site"), ("origin", "https://app.test")],
                Initiator::Foreign,
            ),
            (&[("origin", "https://app.test")], Initiator::Own),
            (&[("origin", "null")], Initiator::Foreign),
            (&[], Initiator::Unsaid),
        ] {
            assert_eq!(Initiator::of(&headers(pairs), own), expected, "{pairs:?}");
        }
    }
}
