//! Where browsers know us, and where we may send them.
//!
//! Scheme and host come from the configuration, never from a header. A [`ReturnTo`] is a place on one
//! of the configured origins; every hostile form falls back to the home page, so an open redirector
//! cannot be built from it. The judge of what a browser would do is a WHATWG URL parser, because
//! browsers are.
//!
//! Sources: RFC 6454 §4; RFC 9700 §4.11; WHATWG URL; the classes A1 to A4 of published advisories.

use std::fmt;

use http::HeaderValue;
use url::Url;

use crate::endpoint::Endpoint;
use crate::path::CanonicalPath;

/// Scheme, host and port as the browser shows them; no path, no user.
///
/// The host is in lower case and, where it is an internationalised name, in its ASCII form. A default
/// port is left out.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PublicOrigin {
    text: String,
    home: Url,
    scheme: Scheme,
    /// The authority, as every request to an upstream has it.
    authority: HeaderValue,
}

/// The scheme that the browser uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// Plain text: for loopback, or where the operator said so.
    Http,
    /// TLS, here or at something in front of us.
    Https,
}

impl Scheme {
    /// `http` or `https`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

impl PublicOrigin {
    /// The origin of an absolute URL, or `None` when the URL is not http(s) or names a user.
    pub fn of(url: &Url) -> Option<Self> {
        let scheme = match url.scheme() {
            "http" => Scheme::Http,
            "https" => Scheme::Https,
            _ => return None,
        };
        if !url.username().is_empty() || url.password().is_some() {
            return None;
        }
        url.host_str()?;
        let text = url.origin().ascii_serialization();
        let home = Url::parse(&text).ok()?;
        let (_, authority) = text.split_once("://")?;
        let authority = HeaderValue::from_str(authority).ok()?;
        Some(Self { text, home, scheme, authority })
    }

    /// As in an `Origin` header: `https://app.example.com:8443`.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The scheme.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// Whether browsers keep this origin's `Secure` cookies to TLS.
    pub fn is_secure(&self) -> bool {
        self.scheme == Scheme::Https
    }

    /// The host, without port. IPv6 addresses are in brackets.
    pub fn host(&self) -> &str {
        self.home.host_str().unwrap_or_default()
    }

    /// Host, and port where it is not the default: what a `Host` header names.
    pub fn authority(&self) -> &str {
        self.text.split_once("://").map_or("", |(_, authority)| authority)
    }

    /// The [authority](Self::authority), as the value of a header.
    pub fn authority_header(&self) -> &HeaderValue {
        &self.authority
    }

    /// Every spelling of the authority by which this origin is asked for: with and without its default port.
    pub fn authorities(&self) -> impl Iterator<Item = String> {
        let default = match self.scheme {
            Scheme::Http => 80,
            Scheme::Https => 443,
        };
        let explicit = self.home.port().is_none().then(|| format!("{}:{default}", self.host()));
        std::iter::once(self.authority().to_owned()).chain(explicit)
    }

    /// Whether the host is this machine itself, where browsers treat plain http as secure.
    pub fn is_loopback(&self) -> bool {
        let host = self.host().trim_start_matches('[').trim_end_matches(']');
        host == "localhost"
            || host.ends_with(".localhost")
            || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
    }
}

impl fmt::Display for PublicOrigin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

/// A place to which a browser may be sent back: on one of the configured origins, outside our own paths.
///
/// Printed, it is an absolute URL of visible ASCII.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReturnTo(Url);

/// The longest return target that is kept, in bytes. Longer ones lead home: they would not fit the
/// login cookie beside the rest.
pub const RETURN_TO_BYTES_MAX: usize = 2048;

impl ReturnTo {
    /// Reads `text` as a browser on `page` would, and accepts it when it leads to one of `allowed`.
    ///
    /// Anything else leads to the home page of `page`: other origins, other schemes, users in the
    /// authority, control characters, backslashes, and our own paths below `path_prefix`, which would
    /// start the next sign-in or sign-out.
    pub fn parse(
        text: &str,
        page: &PublicOrigin,
        allowed: &[PublicOrigin],
        path_prefix: &str,
    ) -> Self {
        Self::accept(text, page, allowed, path_prefix).unwrap_or_else(|| Self::home(page))
    }

    fn accept(
        text: &str,
        page: &PublicOrigin,
        allowed: &[PublicOrigin],
        path_prefix: &str,
    ) -> Option<Self> {
        if text.is_empty() || text.len() > RETURN_TO_BYTES_MAX {
            return None;
        }
        // A URL parser drops tabs and line ends and turns backslashes round; a target that needs either
        // was not made by us.
        if text.bytes().any(|byte| byte <= b' ' || byte == b'\\' || byte >= 0x7F) {
            return None;
        }
        let absolute = text.starts_with("https://") || text.starts_with("http://");
        let local = text.starts_with('/') && !text.starts_with("//");
        if !absolute && !local {
            return None;
        }
        let url = page.home.join(text).ok()?;
        let origin = PublicOrigin::of(&url)?;
        if origin != *page && !allowed.contains(&origin) {
            return None;
        }
        // An authority is compared as written as well: `https://app.test@evil.test` and friends never pass
        // the parser's own comparison, and a spelling that the parser had to repair is not one of ours.
        if absolute
            && !text
                .get(..origin.as_str().len())
                .is_some_and(|start| start.eq_ignore_ascii_case(origin.as_str()))
        {
            return None;
        }
        // Judged as the request will be that the browser makes of it: what would be refused, or would be
        // one of our own pages in any spelling, is no place to return to.
        let path = CanonicalPath::parse(url.path()).ok()?;
        if Endpoint::at(&path, path_prefix).is_some() {
            return None;
        }
        (url.as_str().len() <= RETURN_TO_BYTES_MAX).then_some(Self(url))
    }

    /// The home page of `page`.
    pub fn home(page: &PublicOrigin) -> Self {
        Self(page.home.clone())
    }

    /// The same place with the part after `#` that the browser kept to itself.
    ///
    /// One with control characters, or that would make the target too long, is left out.
    #[must_use]
    pub fn with_fragment(mut self, fragment: &str) -> Self {
        let fragment = fragment.strip_prefix('#').unwrap_or(fragment);
        if fragment.is_empty() || fragment.chars().any(char::is_control) {
            return self;
        }
        let before = self.clone();
        self.0.set_fragment(Some(fragment));
        if self.0.as_str().len() > RETURN_TO_BYTES_MAX { before } else { self }
    }

    /// The absolute URL.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// Path, query and fragment, for a page on the same origin.
    pub fn local(&self) -> &str {
        self.0.as_str().get(self.0.origin().ascii_serialization().len()..).unwrap_or("/")
    }

    /// The path alone.
    pub fn path(&self) -> &str {
        self.0.path()
    }

    /// The authority, in words for a page: "to open grafana.example.com".
    pub fn authority(&self) -> &str {
        self.0.authority()
    }

    /// The origin.
    pub fn origin(&self) -> Option<PublicOrigin> {
        PublicOrigin::of(&self.0)
    }
}

impl fmt::Display for ReturnTo {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(text: &str) -> PublicOrigin {
        PublicOrigin::of(&Url::parse(text).unwrap()).unwrap()
    }

    #[test]
    fn an_origin_is_written_as_browsers_write_it() {
        for (url, expected) in [
            ("https://App.Example.COM:443/x?y", "https://app.example.com"),
            ("http://app.test:8080", "http://app.test:8080"),
            ("https://[::1]:8443/", "https://[::1]:8443"),
            ("https://b\u{fc}cher.example", "https://xn--bcher-kva.example"),
        ] {
            assert_eq!(origin(url).as_str(), expected);
        }
        for refused in ["ftp://app.test", "https://user@app.test", "data:text/plain,x"] {
            assert_eq!(PublicOrigin::of(&Url::parse(refused).unwrap()), None, "{refused}");
        }
    }

    #[test]
    fn the_default_port_may_be_named_or_left_out() {
        let spellings: Vec<_> = origin("https://app.test").authorities().collect();
        assert_eq!(spellings, ["app.test", "app.test:443"]);
        let spellings: Vec<_> = origin("https://app.test:8443").authorities().collect();
        assert_eq!(spellings, ["app.test:8443"]);
    }

    #[test]
    fn a_return_target_keeps_its_query_and_fragment() {
        let page = origin("https://app.test");
        let target = ReturnTo::parse("/deep/link?q=1&r=%2F", &page, &[], "/.lychgate")
            .with_fragment("#/tab/2");
        assert_eq!(target.as_str(), "https://app.test/deep/link?q=1&r=%2F#/tab/2");
        assert_eq!(target.local(), "/deep/link?q=1&r=%2F#/tab/2");
    }

    #[test]
    fn a_listed_origin_is_a_place_to_return_to() {
        let (page, other) = (origin("https://login.test"), origin("https://app.test:8443"));
        let target = ReturnTo::parse("https://app.test:8443/x", &page, &[other], "/.lychgate");
        assert_eq!(target.as_str(), "https://app.test:8443/x");
    }

    /// A1, A2, A4, CB-37, P-08: every hostile form leads home.
    #[test]
    fn a_hostile_return_target_leads_home() {
        let page = origin("https://app.test");
        let allowed = [origin("https://app.test"), origin("https://a.corp.test")];
        let corpus = include_str!("../../../tests/fixtures/hostile/return_to.txt");
        let mut count = 0;
        for line in corpus.lines().filter(|line| !line.starts_with("# ")) {
            let mut hostile = line.to_owned();
            for (name, character) in [
                ("<CR>", "\r"),
                ("<DEL>", "\u{7f}"),
                ("<ESC>", "\u{1b}"),
                ("<LF>", "\n"),
                ("<NUL>", "\0"),
                ("<SP>", " "),
                ("<TAB>", "\t"),
                ("<VT>", "\u{b}"),
            ] {
                hostile = hostile.replace(name, character);
            }
            let target = ReturnTo::parse(&hostile, &page, &allowed, "/.lychgate");
            assert_eq!(target.as_str(), "https://app.test/", "{line:?}");
            count += 1;
        }
        assert!(count > 500, "the corpus is not empty: {count}");
        let long = format!("/{}", "a".repeat(RETURN_TO_BYTES_MAX));
        assert_eq!(
            ReturnTo::parse(&long, &page, &allowed, "/.lychgate").as_str(),
            "https://app.test/"
        );
    }
}
