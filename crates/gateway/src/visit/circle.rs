//! Stops browsers that go round in circles (R42): somebody signs in, comes back, and is sent to sign in again.
//!
//! How often a browser came back to a target lately stands in a cookie of its own, in the clear: a gateway that cannot
//! read the other's seals has to be able to read this, for that is one of the causes. Who writes it themselves gets to
//! see the page that stops them, and nothing else depends on it.
//!
//! Three times within half a minute are enough. The page names the cause by what the browser sent. A browser that sends
//! no cookie at all never comes so far: its first callback matches no login (`stale`).

use std::time::Duration;

use http::HeaderValue;
use lychgate_oidc::Timestamp;

use super::{Gateway, Site};
use crate::cookie::Found as FoundCookie;
use crate::login_state::LoginId;
use crate::origin::ReturnTo;
use crate::outcome::{Event, Likely, Outcome, Refusal};
use crate::reason::Reason;
use crate::request::Request;
use crate::session::NoSession;

/// How often somebody may come back to one target within [`WINDOW`].
const RETURNS_MAX: u32 = 3;
const WINDOW: Duration = Duration::from_secs(30);
/// How many targets are counted: tabs that a browser opens at once go round each for itself.
const TARGETS_MAX: usize = 4;

/// How often a browser came back to one target.
struct Returns {
    target: String,
    count: u32,
    since: Timestamp,
}

impl Gateway {
    /// The cookie that says that the browser is sent back to `target` once more.
    pub(super) fn returned(
        &self,
        request: &Request<'_>,
        site: &Site,
        target: &ReturnTo,
        now: Timestamp,
    ) -> Option<HeaderValue> {
        let mut all = read(request, site, now);
        let target = mark(target);
        let mut this = Returns { target, count: 0, since: now };
        if let Some(at) = all.iter().position(|one| one.target == this.target) {
            this = all.remove(at);
        }
        this.count += 1;
        all.insert(0, this);
        all.truncate(TARGETS_MAX);
        let texts =
            all.iter().map(|one| format!("{}:{}:{}", one.target, one.count, one.since.seconds()));
        site.cookies.set_returns(Some((texts.collect::<Vec<_>>().join("."), WINDOW)))
    }

    /// The page that stops a browser which was sent back to `target` too often, and is about to sign in again.
    pub(super) fn circle(
        &self,
        request: &Request<'_>,
        site: &Site,
        target: &ReturnTo,
        because: NoSession,
        now: Timestamp,
    ) -> Option<Outcome> {
        let mark = mark(target);
        let returns = read(request, site, now);
        returns.iter().find(|one| one.target == mark && one.count >= RETURNS_MAX)?;
        let likely = likely(request, site, because);
        let path = target.as_str().strip_prefix(site.origin.as_str());
        let path = path.filter(|path| path.starts_with('/')).unwrap_or_else(|| target.as_str());
        let sign_in = Some(self.login_link(site, path, &[]));
        let refusal = Refusal::new(Reason::TooManyRedirects, request.kind());
        let mut outcome = Outcome::refuse(Refusal { sign_in, likely: Some(likely), ..refusal });
        // Whoever tries again gets the same number of attempts.
        outcome.cookies.extend(site.cookies.clear_returns(request.headers));
        outcome.record.event = Some(Event::LoginFailed { flow: None });
        outcome.record.cause = Some(format!("signed in {RETURNS_MAX} times in vain: {likely:?}"));
        Some(outcome)
    }
}

/// What a browser sent that has just signed in, and is not signed in.
fn likely(request: &Request<'_>, site: &Site, because: NoSession) -> Likely {
    if is_at_plain_http(request, site) {
        return Likely::PlainHttp;
    }
    match because {
        NoSession::NoCookie => Likely::CookieNotReturned,
        NoSession::Unreadable => Likely::DifferentKeys,
        NoSession::Expired | NoSession::Idle => Likely::Clock,
        NoSession::Ended
        | NoSession::OtherProvider
        | NoSession::SignedOut
        | NoSession::Unconfirmed => Likely::Unknown,
    }
}

/// Why a browser that comes back from a provider may have no cookie.
pub(super) fn without_cookies(request: &Request<'_>, site: &Site) -> Likely {
    if is_at_plain_http(request, site) { Likely::NoCookiesByPlainHttp } else { Likely::NoCookies }
}

/// Whether what stands before us says that the browser is at http, where the configuration says https. It is believed
/// for a sentence on a page, whoever says it.
fn is_at_plain_http(request: &Request<'_>, site: &Site) -> bool {
    let scheme = request.headers.get("x-forwarded-proto");
    site.origin.is_secure()
        && scheme.is_some_and(|scheme| scheme.as_bytes().eq_ignore_ascii_case(b"http"))
}

/// A target's name: a hash, for an address says more than a cookie in the clear should.
fn mark(target: &ReturnTo) -> String {
    let address = target.as_str();
    let page = address.split('#').next().unwrap_or(address);
    LoginId::of(page).text()
}

/// What the cookie says of the last half minute. Whatever it cannot say is left out.
fn read(request: &Request<'_>, site: &Site, now: Timestamp) -> Vec<Returns> {
    let FoundCookie::Value(value) = site.cookies.returns(request.headers) else {
        return Vec::new();
    };
    let Ok(text) = std::str::from_utf8(&value) else { return Vec::new() };
    let of = |text: &str| {
        let mut parts = text.split(':');
        let (target, count, since) = (parts.next()?, parts.next()?, parts.next()?);
        let since = Timestamp::new(since.parse().ok()?);
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        let fits = target.len() == 16 && target.bytes().all(plain) && parts.next().is_none();
        let count = count.parse::<u32>().ok().filter(|count| *count <= 1000)?;
        // A moment that has not come yet is another clock's, and may be one of the causes.
        let lately = now.since(since) <= WINDOW && since.since(now) <= WINDOW;
        (fits && lately).then(|| Returns { target: target.to_owned(), count, since })
    };
    text.split('.').take(TARGETS_MAX).filter_map(of).collect()
}
