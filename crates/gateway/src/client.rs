//! What kind of client asks: a person's browser that opens a page, or a program.
//!
//! A page may be answered with a redirect to sign-in. A program's request must not be: the redirect would
//! leave its origin and die as a CORS error, or hand it the provider's login page as data.

use http::{HeaderMap, HeaderName, Method, header};

const PURPOSE: HeaderName = HeaderName::from_static("purpose");
const SEC_FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");
const SEC_PURPOSE: HeaderName = HeaderName::from_static("sec-purpose");
const X_MOZ: HeaderName = HeaderName::from_static("x-moz");
const X_REQUESTED_WITH: HeaderName = HeaderName::from_static("x-requested-with");

/// Who will read the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Client {
    /// A browser that opens a page and says so (`Sec-Fetch-Mode: navigate`): it runs scripts and keeps
    /// fragments.
    Browser,
    /// Something else that asks for a page: an older browser, or a tool that follows redirects.
    Navigation,
    /// A script, a tool, a prefetch, a handshake: anything that wants data or a plain refusal.
    Program,
}

impl Client {
    /// Tells them apart by method and headers.
    pub fn of(method: &Method, headers: &HeaderMap) -> Self {
        let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
        if is_prefetch(headers) || headers.contains_key(header::UPGRADE) {
            return Self::Program;
        }
        match text(SEC_FETCH_MODE) {
            Some("navigate") => return Self::Browser,
            Some(_) => return Self::Program,
            None => {}
        }
        let page = matches!(*method, Method::GET | Method::HEAD | Method::POST)
            && !headers.contains_key(X_REQUESTED_WITH)
            && text(header::ACCEPT).is_some_and(|accept| accept.contains("text/html"));
        if page { Self::Navigation } else { Self::Program }
    }

    /// Whether the answer is a page for people.
    pub fn wants_page(self) -> bool {
        self != Self::Program
    }
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

    #[test]
    fn clients_are_told_apart() {
        for (method, pairs, expected) in [
            (Method::GET, &[("sec-fetch-mode", "navigate")][..], Client::Browser),
            (Method::POST, &[("sec-fetch-mode", "navigate")], Client::Browser),
            (Method::GET, &[("sec-fetch-mode", "cors"), ("accept", "text/html")], Client::Program),
            (
                Method::GET,
                &[("sec-fetch-mode", "navigate"), ("sec-purpose", "prefetch;prerender")],
                Client::Program,
            ),
            (Method::GET, &[("accept", "text/html,*/*")], Client::Navigation),
            (
                Method::GET,
                &[("accept", "text/html"), ("x-requested-with", "XMLHttpRequest")],
                Client::Program,
            ),
            (Method::GET, &[("accept", "application/json")], Client::Program),
            (Method::GET, &[("accept", "*/*")], Client::Program),
            (Method::PUT, &[("accept", "text/html")], Client::Program),
            (Method::GET, &[("upgrade", "websocket"), ("accept", "text/html")], Client::Program),
            (Method::GET, &[], Client::Program),
        ] {
            assert_eq!(Client::of(&method, &headers(pairs)), expected, "{method} {pairs:?}");
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
