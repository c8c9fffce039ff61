//! What we say ourselves: pages for people, problem documents for programs, redirects, and two files.
//!
//! Every answer carries the same security headers, and nothing that came from outside is put into a page
//! but through the templates, which escape it. Pages work without scripts and fetch nothing but our own
//! style sheet and script. They name neither product nor version.
//!
//! A 401 names the scheme `Cookie`. No scheme is registered for what a sign-in page does; this one was
//! proposed for it (draft-broyer-http-cookie-auth). Browsers do nothing with a scheme that they do not
//! know, while `Basic` would open their own dialog.
//!
//! Sources: RFC 9110 §10.2.3 (Retry-After), §11.6.1 (WWW-Authenticate), §15; RFC 9457 (problem documents);
//! Content Security Policy Level 3.

#[cfg(test)]
mod tests;

use std::time::Duration;

use bytes::Bytes;
use http::header::{self, HeaderName};
use http::{HeaderValue, Method, Response, StatusCode};
use lychgate_gateway::client::Client;
use lychgate_gateway::outcome::{
    Answer, Asset, Choice, Page, ProviderSignOut, RedirectMethod, Refusal,
};
use lychgate_gateway::reason::{Reason, Remedy};
use lychgate_gateway::route::Route;
use lychgate_gateway::session::Session;
use lychgate_oidc::Timestamp;
use minijinja::{AutoEscape, Environment, UndefinedBehavior, context};
use serde::Serialize;
use url::Url;

use crate::rfc3339;

/// Turns an [`Answer`] into a response.
#[derive(Debug)]
pub(crate) struct Responder {
    templates: Environment<'static>,
    path_prefix: String,
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

/// The files that the templates are made of.
const TEMPLATES: [(&str, &str); 8] = [
    ("bare.html", include_str!("../pages/bare.html")),
    ("base.html", include_str!("../pages/base.html")),
    ("choose_provider.html", include_str!("../pages/choose_provider.html")),
    ("confirm_sign_out.html", include_str!("../pages/confirm_sign_out.html")),
    ("continue_sign_in.html", include_str!("../pages/continue_sign_in.html")),
    ("refusal.html", include_str!("../pages/refusal.html")),
    ("signed_in_as.html", include_str!("../pages/signed_in_as.html")),
    ("signed_out.html", include_str!("../pages/signed_out.html")),
];

const SCRIPT: &str = include_str!("../pages/script.js");
const STYLE: &str = include_str!("../pages/style.css");

const HTML: &str = "text/html; charset=utf-8";
const JSON: &str = "application/json";
const PROBLEM: &str = "application/problem+json";

/// How many groups a page lists. A person may be in thousands.
const GROUPS_SHOWN_MAX: usize = 50;

/// How many characters of a provider's text a page shows.
const PROVIDER_TEXT_CHARACTERS_MAX: usize = 500;

/// When to come back, where nothing better is known.
const RETRY_AFTER: Duration = Duration::from_secs(5);

impl Responder {
    /// Pages with links to our own files below `path_prefix`.
    ///
    /// # Panics
    /// If a template does not parse. They are part of the program, so none of its tests would pass.
    pub(crate) fn new(path_prefix: &str) -> Self {
        let mut templates = Environment::new();
        templates.set_auto_escape_callback(|_| AutoEscape::Html);
        templates.set_undefined_behavior(UndefinedBehavior::Strict);
        for (name, source) in TEMPLATES {
            #[expect(clippy::expect_used, reason = "the sources are constants of this program")]
            templates.add_template(name, source).expect("a template of ours parses");
        }
        Self { templates, path_prefix: path_prefix.to_owned() }
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
            Answer::Page(page) => html(self.page(page, about), StatusCode::OK, about),
            Answer::Refusal(refusal) => self.refusal(refusal, about),
            Answer::Me(Some(session)) => json(&Me::of(session), StatusCode::OK, JSON, about),
            Answer::Me(None) => {
                let refusal = Refusal::new(Reason::SessionRequired, Client::Program);
                self.refusal(&refusal, about)
            }
            Answer::Asset(asset) => file(*asset, about),
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
        let mut response = if refusal.client.wants_page() {
            html(self.refusal_page(refusal, about), status, about)
        } else {
            json(&Problem::of(refusal, about), status, PROBLEM, about)
        };
        let headers = response.headers_mut();
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, challenge(about.route));
        }
        if let Some(allow) = refusal.allow {
            headers.insert(header::ALLOW, HeaderValue::from_static(allow));
        }
        if let Some(wait) = retry_after(reason, refusal.retry_after) {
            headers.insert(header::RETRY_AFTER, wait.into());
        }
        response
    }

    fn page(&self, page: &Page, about: &About<'_>) -> String {
        match page {
            Page::ChooseProvider { choices, destination } => {
                let choices: Vec<_> =
                    choices.iter().map(|Choice { label, link }| context! { label, link }).collect();
                let content = context! { choices, destination };
                self.render("choose_provider.html", "Choose how to sign in", content, about)
            }
            Page::ContinueSignIn { link } => {
                self.render("continue_sign_in.html", "One moment", context! { link }, about)
            }
            Page::ConfirmSignOut { action } => self.render(
                "confirm_sign_out.html",
                "Do you want to sign out?",
                context! { action },
                about,
            ),
            Page::SignedOut { provider, sign_in } => {
                let provider_ended = *provider == ProviderSignOut::Ended;
                let content = context! { provider_ended, sign_in };
                self.render("signed_out.html", "You have signed out", content, about)
            }
            Page::SignedInAs { session, provider, now, sign_out } => {
                let identity = session.identity();
                let groups = identity.groups();
                let shown: Vec<String> = groups.iter().take(GROUPS_SHOWN_MAX).cloned().collect();
                let content = context! {
                    user => identity.user(),
                    name => identity.name(),
                    email => identity.email(),
                    provider,
                    groups => shown,
                    more_groups => groups.len().saturating_sub(GROUPS_SHOWN_MAX),
                    begun_at => rfc3339::seconds(session.begun_at()),
                    begun_at_in_words => rfc3339::in_words(session.begun_at()),
                    ends_at => rfc3339::seconds(session.ends_at()),
                    ends_at_in_words => rfc3339::in_words(session.ends_at()),
                    remaining => duration_in_words(session.remaining(*now)),
                    sign_out,
                };
                self.render("signed_in_as.html", "You are signed in", content, about)
            }
        }
    }

    fn refusal_page(&self, refusal: &Refusal, about: &About<'_>) -> String {
        let Refusal { reason, words, .. } = refusal;
        let code = reason.code();
        if matches!(reason, Reason::NoSuchSite | Reason::Misdirected) {
            // None of our paths exist on a host that is not ours, the style sheet included.
            let content =
                context! { code, sentence => reason.sentence(), advice => advice(*reason) };
            return self.render("bare.html", reason.title(), content, about);
        }
        let shown_at_target = matches!(*about.method, Method::GET | Method::HEAD);
        let signed_out = reason.status() == StatusCode::UNAUTHORIZED;
        // On our own page about the account nobody was on the way to anything.
        let knows_target = !signed_out || about.route.is_some();
        let nothing_sent = signed_out && !shown_at_target;
        let links = refusal.sign_in.is_some() || refusal.other_account.is_some();
        let content = context! {
            code,
            sentence => reason.sentence(),
            advice => if knows_target { advice(*reason) } else { "" },
            identity => refusal.identity.as_deref().map(|identity| context! {
                name => identity.name().unwrap_or_else(|| identity.user()),
                email => identity.email(),
            }),
            site => about.route.map(|route| route.origin.host()),
            explain => &words.explain,
            help => words.help.as_ref().filter(|url| is_for_people(url)).map(Url::as_str),
            provider_code => &words.provider_code,
            provider_text => words.provider_text.as_ref().map(|text| {
                text.chars().take(PROVIDER_TEXT_CHARACTERS_MAX).collect::<String>()
            }),
            provider_link => words.provider_link.as_deref().map(Url::as_str),
            again => words.retryable.map(|again| match again {
                true => "Trying again may help.",
                false => "Trying again will not help.",
            }),
            nothing_sent,
            retry_after => refusal.retry_after.and_then(|wait| retry_after(*reason, Some(wait))),
            sign_in => &refusal.sign_in,
            sign_in_label => if signed_out { "Sign in" } else { "Try again" },
            reload => shown_at_target && reason.remedy() == Remedy::TryAgain,
            other_account => &refusal.other_account,
            sign_out => &refusal.sign_out,
            // Elsewhere than at the target, the address's fragment is not the target's.
            keep_fragment => links && shown_at_target && about.route.is_some(),
        };
        self.render("refusal.html", reason.title(), content, about)
    }

    /// A page. `content` is what its own template needs; the frame is the same for all.
    fn render(
        &self,
        template: &str,
        title: &str,
        content: minijinja::Value,
        about: &About<'_>,
    ) -> String {
        let frame = context! {
            lang => "en",
            dir => "ltr",
            prefix => &self.path_prefix,
            title,
            code => (),
            request_id => about.request_id,
            time => rfc3339::seconds(about.now),
            time_in_words => rfc3339::in_words(about.now),
        };
        let page = self.templates.get_template(template);
        let page = page.and_then(|page| page.render(context! { ..content, ..frame }));
        page.unwrap_or_else(|error| {
            // Tests render every page. Should one fail all the same, status and headers still tell.
            tracing::error!(%error, template, "a page could not be rendered");
            String::new()
        })
    }
}

/// What a visitor can do about it.
fn advice(reason: Reason) -> &'static str {
    match reason.remedy() {
        Remedy::AnotherAccount => {
            "If you have another account, use that one. Otherwise ask the people who run this site for access, \
             and tell them what stands at the end of this page."
        }
        Remedy::Operator => {
            "The people who run this site can mend this. Tell them what stands at the end of this page."
        }
        Remedy::OtherAddress => "Check the address, or go back to where you came from.",
        // Of these three, no target is known.
        Remedy::SignIn
            if matches!(
                reason,
                Reason::LoginAlreadyUsed | Reason::LoginMalformed | Reason::LoginNotOurs
            ) =>
        {
            ""
        }
        Remedy::SignIn => "Once you have signed in, you come back to where you wanted to go.",
        Remedy::TryAgain => "Please try again in a moment.",
    }
}

/// Seconds to wait, for answers that waiting can change.
fn retry_after(reason: Reason, known: Option<Duration>) -> Option<u64> {
    let status = reason.status();
    let temporary = matches!(
        status,
        StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT
    );
    let wait = known.or_else(|| (reason.remedy() == Remedy::TryAgain).then_some(RETRY_AFTER))?;
    temporary.then_some(wait.as_secs().max(1))
}

/// How to get in: by signing in, which leaves a cookie.
fn challenge(route: Option<&Route>) -> HeaderValue {
    let realm = route.map(|route| format!("Cookie realm=\"{}\"", route.origin.authority()));
    let realm = realm.and_then(|realm| HeaderValue::from_str(&realm).ok());
    realm.unwrap_or(HeaderValue::from_static("Cookie"))
}

/// Whether a link of the operator's leads to something that a person can open.
fn is_for_people(url: &Url) -> bool {
    matches!(url.scheme(), "https" | "http" | "mailto")
}

/// The larger two units: `11 hours 58 minutes`.
fn duration_in_words(duration: Duration) -> String {
    let minutes = duration.as_secs() / 60;
    let of = |count: u64, unit: &str| match count {
        0 => None,
        1 => Some(format!("1 {unit}")),
        _ => Some(format!("{count} {unit}s")),
    };
    let units =
        [of(minutes / (60 * 24), "day"), of(minutes / 60 % 24, "hour"), of(minutes % 60, "minute")];
    let words: Vec<_> = units.into_iter().flatten().take(2).collect();
    if words.is_empty() { "less than a minute".to_owned() } else { words.join(" ") }
}

/// A problem document (RFC 9457).
#[derive(Serialize)]
struct Problem<'a> {
    #[serde(rename = "type")]
    kind: String,
    title: &'static str,
    status: u16,
    detail: &'static str,
    code: &'static str,
    request_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    login_url: Option<&'a str>,
    /// What the provider said, under the names that it has there (CB-47).
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_description: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_uri: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retryable: Option<bool>,
}

impl<'a> Problem<'a> {
    fn of(refusal: &'a Refusal, about: &About<'a>) -> Self {
        let reason = refusal.reason;
        // A host that is not ours is told nothing that would say what stands there.
        let kind = if matches!(reason, Reason::NoSuchSite | Reason::Misdirected) {
            "about:blank".to_owned()
        } else {
            format!("urn:lychgate:problem:{}", reason.code())
        };
        Self {
            kind,
            title: reason.title(),
            status: reason.status().as_u16(),
            detail: reason.sentence(),
            code: reason.code(),
            request_id: about.request_id,
            login_url: refusal.sign_in.as_deref(),
            error: refusal.words.provider_code.as_deref(),
            error_description: refusal.words.provider_text.as_deref(),
            error_uri: refusal.words.provider_link.as_deref().map(Url::as_str),
            retryable: refusal.words.retryable,
        }
    }
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
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(HTML));
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

/// A file of ours: the same for everybody, so a browser may keep it for a while.
fn file(asset: Asset, about: &About<'_>) -> Response<Bytes> {
    let (content_type, text) = match asset {
        Asset::Script => ("text/javascript; charset=utf-8", SCRIPT),
        Asset::Style => ("text/css; charset=utf-8", STYLE),
    };
    let mut response = secured(StatusCode::OK, about);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("max-age=3600"));
    with_body(response, Bytes::from_static(text.as_bytes()), about)
}

/// An answer for one visitor alone, which no cache may give to another.
fn negotiated(status: StatusCode, about: &About<'_>) -> Response<Bytes> {
    let mut response = secured(status, about);
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::VARY, HeaderValue::from_static("accept, cookie, sec-fetch-mode"));
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
