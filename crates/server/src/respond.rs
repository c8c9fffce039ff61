//! What we say ourselves: pages for people, problem documents for programs, redirects, and two files.
//!
//! Every answer carries the same security headers, and nothing that came from outside is put into a page
//! but through the templates, which escape it. Pages work without scripts and fetch nothing but our own
//! style sheet and script. They name neither product nor version.
//!
//! Pages are in the visitor's language. Problem documents are in English whoever asks: RFC 9457 §3.1.4 lets `title` be
//! translated, but who reads it is a developer with a log, and a text that is always the same can be searched for.
//! What programs are told is in a module of its own.
//!
//! Sources: RFC 9110 §10.2.3 (Retry-After), §11.6.1 (WWW-Authenticate), §15; Content Security Policy Level 3.

mod program;
#[cfg(test)]
mod tests;

use std::sync::OnceLock;
use std::time::Duration;

use bytes::Bytes;
use http::header::{self, HeaderName};
use http::{HeaderValue, Method, Response, StatusCode};
use lychgate_gateway::client::Client;
use lychgate_gateway::outcome::{Answer, Asset, RedirectMethod, Refusal};
use lychgate_gateway::reason::{Reason, Remedy};
use lychgate_gateway::route::Route;
use lychgate_gateway::session::Session;
use lychgate_oidc::Timestamp;
use serde::Serialize;
use url::Url;

use crate::pages::{Pages, SCRIPT};
use crate::rfc3339;

/// Turns an [`Answer`] into a response.
#[derive(Debug)]
pub(crate) struct Responder {
    pages: Pages,
    /// With our own templates, for when one of the operator's cannot be made.
    spare: OnceLock<Pages>,
}

/// The visit that is answered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct About<'a> {
    /// The id under which the logs know it.
    pub(crate) request_id: &'a str,
    /// Its method.
    pub(crate) method: &'a Method,
    /// When it came.
    pub(crate) now: Timestamp,
    /// The application that it was for.
    pub(crate) route: Option<&'a Route>,
    /// The language of a page.
    pub(crate) language: &'a str,
}

/// On everything that we generate (P-03). `Cache-Control` is set apart: two files may be kept.
static SECURITY_HEADERS: [(HeaderName, HeaderValue); 6] = [
    (
        header::CONTENT_SECURITY_POLICY,
        // There is no `form-action`: Chrome applies it to redirects too, and a sign-out form ends at the
        // provider.
        HeaderValue::from_static(
            "default-src 'none'; style-src 'self'; img-src 'self'; font-src 'self'; \
             script-src 'self'; base-uri 'none'; frame-ancestors 'none'",
        ),
    ),
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    (
        HeaderName::from_static("cross-origin-opener-policy"),
        HeaderValue::from_static("same-origin"),
    ),
    (HeaderName::from_static("x-robots-tag"), HeaderValue::from_static("noindex")),
];

/// What decides about an answer beside its address: the kind of client, who it is, and the language of pages, which
/// providers are told too.
const VARY: &str =
    "accept, accept-language, authorization, content-type, cookie, hx-request, sec-fetch-mode";

const HTML: &str = "text/html; charset=utf-8";
const JSON: &str = "application/json";

/// When to come back, where nothing better is known.
const RETRY_AFTER: Duration = Duration::from_secs(5);

impl Responder {
    /// Answers with these pages.
    pub(crate) fn new(pages: Pages) -> Self {
        Self { pages, spare: OnceLock::new() }
    }

    /// The response to a visit. Cookies are the caller's to add.
    pub(crate) fn answer(&self, answer: &Answer, about: &About<'_>) -> Response<Bytes> {
        match answer {
            Answer::Redirect(redirect) => {
                let status = match redirect.method() {
                    RedirectMethod::Found => StatusCode::FOUND,
                    RedirectMethod::SeeOther => StatusCode::SEE_OTHER,
                };
                self.redirect(redirect.location(), status, about)
            }
            Answer::Page(page) => {
                html(self.made(|pages| pages.page(page, about)), StatusCode::OK, about)
            }
            Answer::Refusal(refusal) => self.refusal(refusal, about),
            Answer::Me(Some(session)) => json(&Me::of(session), StatusCode::OK, JSON, about),
            Answer::Me(None) => {
                let refusal = Refusal::new(Reason::SessionRequired, Client::Program);
                self.refusal(&refusal, about)
            }
            Answer::Asset(asset) => self.file(*asset, about),
            Answer::Preflight(headers) => {
                let mut response = secured(StatusCode::NO_CONTENT, about);
                response.headers_mut().extend(headers.clone());
                response
            }
            Answer::Reason(reason) => {
                html(self.made(|pages| pages.reason(*reason, about)), StatusCode::OK, about)
            }
            Answer::Resource(resource) => program::resource(resource, about),
        }
    }

    /// The response to a request that belongs at `place`, method and body included (RFC 9110 §15.4.9).
    pub(crate) fn moved(&self, place: &str, about: &About<'_>) -> Response<Bytes> {
        self.redirect(place, StatusCode::PERMANENT_REDIRECT, about)
    }

    fn redirect(&self, location: &str, status: StatusCode, about: &About<'_>) -> Response<Bytes> {
        let Ok(location) = HeaderValue::from_str(location) else {
            // Every kind of target is a URL or a path of visible ASCII; a header never carries less.
            return self.refusal(&Refusal::new(Reason::RequestMalformed, Client::Program), about);
        };
        let mut response = negotiated(status, about);
        response.headers_mut().insert(header::LOCATION, location);
        with_body(response, Bytes::new(), about)
    }

    fn refusal(&self, refusal: &Refusal, about: &About<'_>) -> Response<Bytes> {
        let (reason, status) = (refusal.reason, refusal.reason.status());
        let mut response = match refusal.client {
            Client::Browser | Client::Navigation => {
                html(self.made(|pages| pages.refusal(refusal, about)), status, about)
            }
            Client::Grpc | Client::GrpcWeb => program::grpc(refusal, about),
            Client::Bearer
            | Client::EventSource
            | Client::Htmx
            | Client::Preflight
            | Client::Program
            | Client::WebSocket => program::problem(refusal, self.pages.path_prefix(), about),
        };
        let headers = response.headers_mut();
        for challenge in program::challenges(refusal, about.route) {
            headers.append(header::WWW_AUTHENTICATE, challenge);
        }
        if let Some(allow) = refusal.allow {
            headers.insert(header::ALLOW, HeaderValue::from_static(allow));
        }
        if let Some(wait) = retry_after(reason, refusal.retry_after) {
            headers.insert(header::RETRY_AFTER, wait.into());
        }
        response
    }

    /// A file of ours: the same for everybody, so a browser may keep it for a while.
    fn file(&self, asset: Asset, about: &About<'_>) -> Response<Bytes> {
        let (content_type, text) = match asset {
            Asset::Script => {
                ("text/javascript; charset=utf-8", Bytes::from_static(SCRIPT.as_bytes()))
            }
            Asset::Style => ("text/css; charset=utf-8", Bytes::from(self.pages.style().to_owned())),
        };
        let mut response = secured(StatusCode::OK, about);
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("max-age=3600"));
        with_body(response, text, about)
    }

    /// The text of a page. An operator's template was looked at with every kind of page, but not with all that may come
    /// together on one; should it fail, people get the page from ours.
    fn made(&self, page: impl Fn(&Pages) -> Result<String, minijinja::Error>) -> String {
        let failed = match page(&self.pages) {
            Ok(text) => return text,
            Err(error) => error,
        };
        tracing::error!(
            error = crate::chain(&failed),
            "a template failed, and ours takes its place"
        );
        let spare = self.spare.get_or_init(|| self.pages.with_our_templates());
        page(spare).unwrap_or_else(|error| {
            // Status and headers still tell.
            tracing::error!(%error, "a page could not be rendered");
            String::new()
        })
    }
}

/// Seconds to wait, for answers that waiting can change.
pub(crate) fn retry_after(reason: Reason, known: Option<Duration>) -> Option<u64> {
    let status = reason.status();
    let temporary = matches!(
        status,
        StatusCode::TOO_MANY_REQUESTS
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT
    );
    let wait = known.or_else(|| (reason.remedy() == Remedy::TryAgain).then_some(RETRY_AFTER))?;
    temporary.then_some(wait.as_secs().max(1))
}

/// Whether a page that answers this method stands at the address that was asked for, and can be asked for again.
pub(crate) fn shown_at_target(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD)
}

/// Whether a link of the operator's leads to something that a person can open.
pub(crate) fn is_for_people(url: &Url) -> bool {
    matches!(url.scheme(), "https" | "http" | "mailto")
}

/// Who is signed in. There are no tokens in it, and no other origin may read it.
#[derive(Serialize)]
struct Me<'a> {
    provider: &'a str,
    user: &'a str,
    name: Option<&'a str>,
    email: Option<&'a str>,
    groups: &'a [String],
    begun_at: String,
    ends_at: String,
}

impl<'a> Me<'a> {
    fn of(session: &'a Session) -> Self {
        let identity = session.identity();
        Self {
            provider: identity.provider(),
            user: identity.user(),
            name: identity.name(),
            email: identity.email(),
            groups: identity.groups(),
            begun_at: rfc3339::seconds(session.begun_at()),
            ends_at: rfc3339::seconds(session.ends_at()),
        }
    }
}

fn html(page: String, status: StatusCode, about: &About<'_>) -> Response<Bytes> {
    let mut response = negotiated(status, about);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(HTML));
    if let Ok(language) = HeaderValue::from_str(about.language) {
        headers.insert(header::CONTENT_LANGUAGE, language);
    }
    with_body(response, Bytes::from(page), about)
}

fn json(
    value: &impl Serialize,
    status: StatusCode,
    content_type: &'static str,
    about: &About<'_>,
) -> Response<Bytes> {
    let mut response = negotiated(status, about);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    // Structs of texts and numbers always serialize.
    let body = serde_json::to_vec(value).unwrap_or_default();
    with_body(response, Bytes::from(body), about)
}

/// An answer for one visitor alone, which no cache may give to another.
fn negotiated(status: StatusCode, about: &About<'_>) -> Response<Bytes> {
    let mut response = secured(status, about);
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::VARY, HeaderValue::from_static(VARY));
    response
}

fn secured(status: StatusCode, about: &About<'_>) -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.extend(SECURITY_HEADERS.iter().cloned());
    if let Ok(id) = HeaderValue::from_str(about.request_id) {
        headers.insert(HeaderName::from_static("x-request-id"), id);
    }
    response
}

/// HEAD is told how long the body is, and no more.
fn with_body(mut response: Response<Bytes>, body: Bytes, about: &About<'_>) -> Response<Bytes> {
    response.headers_mut().insert(header::CONTENT_LENGTH, body.len().into());
    if *about.method != Method::HEAD {
        *response.body_mut() = body;
    }
    response
}
