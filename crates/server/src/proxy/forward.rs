//! The headers of a request on its way to an upstream, and of a response on its way back.
//!
//! Requests: what concerns one connection only is taken out, with everything that `Connection` names; then
//! everything that we ever say ourselves, in every spelling; then what is ours is set. The order matters, for
//! a client that names one of our headers in `Connection` must not be able to take it away. Applied twice to
//! the same request, as a retry does, the result is the same.
//!
//! Sources: RFC 9110 §7.6.1 (hop-by-hop), §7.8 (Upgrade), §7.2 (Host); RFC 6265 §5.3; RFC 9111 §5.2.2.4.

use std::sync::Arc;

use http::header::{self, HeaderName};
use http::{HeaderMap, HeaderValue, Method, Version};
use lychgate_gateway::cookie::{Cookies, ForUpstream};
use lychgate_gateway::headers::Stripped;
use lychgate_gateway::outcome::Admission;
use lychgate_gateway::route::Route;
use pingora_error::{Error, ErrorType, Result};
use pingora_http::{RequestHeader, ResponseHeader};

use super::Manner;

/// What concerns one connection only. `TE` and `Upgrade` come back where they are ours to say.
static HOP_BY_HOP: [HeaderName; 10] = [
    header::CONNECTION,
    HeaderName::from_static("http2-settings"),
    HeaderName::from_static("keep-alive"),
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    HeaderName::from_static("proxy-connection"),
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// What happens to a request's headers.
pub(super) struct Rules<'a> {
    pub(super) admission: &'a Admission,
    pub(super) stripped: &'a Stripped,
    pub(super) cookies: Option<&'a Cookies>,
    pub(super) manner: Manner,
}

impl Rules<'_> {
    /// Makes of what was `received` what is sent `upstream`.
    pub(super) fn apply(
        &self,
        received: &RequestHeader,
        upstream: &mut RequestHeader,
    ) -> Result<()> {
        let named: Vec<HeaderName> = named(&received.headers).collect();
        let edits = self.admission.edits();
        let mut headers = HeaderMap::with_capacity(upstream.headers.len() + edits.set.len() + 4);
        let cookie = self.cookies.map(|cookies| cookies.for_upstream(&received.headers));
        for (name, value) in &upstream.headers {
            let cookie_as_sent =
                *name != header::COOKIE || matches!(cookie, None | Some(ForUpstream::AsSent));
            let passed_on = !ends_here(name, &named) && edits.passes_on(name, self.stripped);
            if cookie_as_sent && passed_on {
                headers.append(name.clone(), value.clone());
            }
        }
        if let Some(ForUpstream::Only(cookie)) = cookie
            && !named.contains(&header::COOKIE)
        {
            headers.insert(header::COOKIE, cookie);
        }
        if upstream.version == Version::HTTP_2 && takes_trailers(&received.headers) {
            headers.insert(header::TE, HeaderValue::from_static("trailers"));
        }
        if self.manner == Manner::Handshake {
            headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
            headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        }
        for (name, value) in &edits.set {
            headers.insert(name.clone(), value.clone());
        }
        // Applications make links of it, so it is the address that browsers know.
        if let Ok(host) = HeaderValue::from_str(self.admission.route().origin.authority()) {
            headers.insert(header::HOST, host);
        }

        // Made anew rather than edited: the library keeps the spelling of each name that it inserts or removes,
        // which costs more than everything above.
        let (mut parts, ()) = http::Request::new(()).into_parts();
        parts.method = upstream.method.clone();
        parts.version = upstream.version;
        parts.headers = headers;
        let ends = upstream.send_end_stream();
        *upstream = RequestHeader::from(parts);
        upstream.set_raw_path(self.admission.target().as_bytes())?;
        upstream.set_send_end_stream(ends.unwrap_or(true));
        Ok(())
    }
}

/// What happens to a response's headers.
pub(super) struct ResponseRules<'a> {
    pub(super) route: &'a Arc<Route>,
    pub(super) stripped: &'a Stripped,
    pub(super) cookies: Option<&'a Cookies>,
    /// `Set-Cookie` lines of ours.
    pub(super) ours: &'a [HeaderValue],
    pub(super) request_id: &'a str,
}

impl ResponseRules<'_> {
    /// Makes of what the upstream said what its client is told.
    pub(super) fn apply(&self, response: &mut ResponseHeader) -> Result<()> {
        let switches = response.status == http::StatusCode::SWITCHING_PROTOCOLS;
        // How the message ends is pingora's to say; it has read and rewritten that already.
        let framing =
            |name: &HeaderName| *name == header::TRANSFER_ENCODING || *name == header::TRAILER;
        let upgrade = |name: &HeaderName| *name == header::UPGRADE || *name == header::CONNECTION;
        let named: Vec<HeaderName> = named(&response.headers).collect();
        let gone = |name: &HeaderName| {
            let stays = framing(name) || (switches && upgrade(name));
            (ends_here(name, &named) && !stays) || self.stripped.contains(name.as_str())
        };
        let gone: Vec<_> = response.headers.keys().filter(|name| gone(name)).cloned().collect();
        for name in &gone {
            response.remove_header(name);
        }
        say_the_length_once(response)?;
        self.keep_our_cookies_ours(response)?;
        for (name, value) in &self.route.response_headers {
            match value {
                Some(value) => response.insert_header(name.clone(), value.clone())?,
                None => drop(response.remove_header(name)),
            }
        }
        for cookie in self.ours {
            response.append_header(header::SET_COOKIE, cookie.clone())?;
        }
        if !self.ours.is_empty() {
            keep_from_caches(response)?;
        }
        response.insert_header("x-request-id", self.request_id)
    }

    /// An upstream that sets a cookie of ours could sign somebody in or out.
    fn keep_our_cookies_ours(&self, response: &mut ResponseHeader) -> Result<()> {
        let Some(cookies) = self.cookies else { return Ok(()) };
        let lines = response.headers.get_all(header::SET_COOKIE);
        if !lines.iter().any(|line| cookies.names_ours(line)) {
            return Ok(());
        }
        let theirs: Vec<_> =
            lines.iter().filter(|line| !cookies.names_ours(line)).cloned().collect();
        response.remove_header(&header::SET_COOKIE);
        theirs
            .into_iter()
            .try_for_each(|line| response.append_header(header::SET_COOKIE, line).map(drop))
    }
}

/// Lets no cache on the way keep a response with a session in it and give it to the next person, whatever the
/// application allows (RFC 9111 §3, §7.3).
fn keep_from_caches(response: &mut ResponseHeader) -> Result<()> {
    let mut lines = response.headers.get_all(header::CACHE_CONTROL).iter();
    let private = lines.any(|line| {
        let mut words = line.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
        words.any(|word| {
            word.eq_ignore_ascii_case(b"private") || word.eq_ignore_ascii_case(b"no-store")
        })
    });
    if private {
        return Ok(());
    }
    for name in ["expires", "surrogate-control", "cdn-cache-control"] {
        response.remove_header(name);
    }
    response.insert_header(header::CACHE_CONTROL, "private, no-cache")
}

/// A length that is repeated, in lines or in a list, is passed on once; one that contradicts itself is an
/// error (RFC 9110 §8.6).
fn say_the_length_once(response: &mut ResponseHeader) -> Result<()> {
    let lines = response.headers.get_all(header::CONTENT_LENGTH).iter();
    let lengths = lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b','));
    let mut lengths = lengths.map(<[u8]>::trim_ascii);
    let Some(length) = lengths.next() else { return Ok(()) };
    let (mut alone, length) = (true, length.to_vec());
    for other in lengths {
        if other != length {
            let differ = Error::explain(ErrorType::InvalidHTTPHeader, "a response has two lengths");
            return Err(differ.into_up());
        }
        alone = false;
    }
    if alone { Ok(()) } else { response.insert_header(header::CONTENT_LENGTH, length) }
}

/// Whether a request asks for a WebSocket, in the one way that HTTP/1.1 has for it (RFC 6455 §4.1).
pub(super) fn asks_for_websocket(head: &RequestHeader) -> bool {
    head.version == Version::HTTP_11
        && head.method == Method::GET
        && is_only(&head.headers, &header::UPGRADE, "websocket")
        && nominated(&head.headers).any(|token| token.eq_ignore_ascii_case(b"upgrade"))
}

/// Whether a 101 agrees to what was asked for, and to nothing else.
pub(super) fn agrees_to_websocket(response: &ResponseHeader) -> bool {
    is_only(&response.headers, &header::UPGRADE, "websocket")
}

fn is_only(headers: &HeaderMap, name: &HeaderName, value: &str) -> bool {
    let mut lines = headers.get_all(name).iter();
    let is_value = |line: &HeaderValue| line.as_bytes().eq_ignore_ascii_case(value.as_bytes());
    lines.next().is_some_and(is_value) && lines.next().is_none()
}

/// Whether a header concerns one connection only; `named` is what `Connection` names.
fn ends_here(name: &HeaderName, named: &[HeaderName]) -> bool {
    HOP_BY_HOP.contains(name) || named.contains(name)
}

/// What a message's `Connection` names, but for where it ends and whom it is for: that concerns everybody, whatever a
/// client says.
fn named(headers: &HeaderMap) -> impl Iterator<Item = HeaderName> {
    let names = nominated(headers).filter_map(|token| HeaderName::from_bytes(token).ok());
    names.filter(|name| ![header::CONTENT_LENGTH, header::HOST].contains(name))
}

/// What `Connection` names.
fn nominated(headers: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    let lines = headers.get_all(header::CONNECTION).iter();
    let tokens = lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b','));
    tokens.map(<[u8]>::trim_ascii).filter(|token| !token.is_empty())
}

fn takes_trailers(headers: &HeaderMap) -> bool {
    let lines = headers.get_all(header::TE).iter();
    let mut codings = lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b','));
    codings.any(|coding| coding.trim_ascii().eq_ignore_ascii_case(b"trailers"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect()
    }

    /// C5; RFC 9110 §7.6.1.
    #[test]
    fn what_concerns_one_connection_ends_here() {
        let headers = headers(&[
            ("connection", "close, X-Auth-User"),
            ("connection", "x-auth-groups,, Content-Length, Host, not a name"),
            ("x-auth-user", "root"),
            ("x-auth-groups", "admin"),
            ("content-length", "3"),
            ("host", "app.test"),
            ("keep-alive", "timeout=5"),
            ("proxy-connection", "keep-alive"),
            ("proxy-authorization", "Basic eA=="),
            ("te", "gzip"),
            ("upgrade", "h2c"),
            ("http2-settings", "AAMAAABk"),
            ("accept", "text/html"),
        ]);
        let named: Vec<_> = named(&headers).collect();
        let ended = headers.keys().filter(|name| ends_here(name, &named));
        let mut ended: Vec<_> = ended.map(ToString::to_string).collect();
        ended.sort_unstable();
        assert_eq!(
            ended,
            [
                "connection",
                "http2-settings",
                "keep-alive",
                "proxy-authorization",
                "proxy-connection",
                "te",
                "upgrade",
                "x-auth-groups",
                "x-auth-user",
            ]
        );
    }

    /// J6: any other protocol is not asked for.
    #[test]
    fn only_a_websocket_can_be_asked_for() {
        for (method, version, pairs, expected) in [
            (
                "GET",
                Version::HTTP_11,
                &[("upgrade", "websocket"), ("connection", "Upgrade")][..],
                true,
            ),
            (
                "GET",
                Version::HTTP_11,
                &[("upgrade", "WebSocket"), ("connection", "keep-alive, upgrade")],
                true,
            ),
            ("GET", Version::HTTP_11, &[("upgrade", "websocket")], false),
            (
                "GET",
                Version::HTTP_11,
                &[("upgrade", "websocket, foo"), ("connection", "upgrade")],
                false,
            ),
            ("GET", Version::HTTP_11, &[("upgrade", "h2c"), ("connection", "upgrade")], false),
            (
                "POST",
                Version::HTTP_11,
                &[("upgrade", "websocket"), ("connection", "upgrade")],
                false,
            ),
            (
                "GET",
                Version::HTTP_10,
                &[("upgrade", "websocket"), ("connection", "upgrade")],
                false,
            ),
            ("GET", Version::HTTP_2, &[("upgrade", "websocket"), ("connection", "upgrade")], false),
        ] {
            let mut head = RequestHeader::build(method, b"/", None).unwrap();
            head.set_version(version);
            for (name, value) in pairs {
                head.append_header(*name, *value).unwrap();
            }
            assert_eq!(asks_for_websocket(&head), expected, "{method} {version:?} {pairs:?}");
        }
    }

    #[test]
    fn trailers_are_taken_by_those_who_say_so() {
        for (value, expected) in
            [("trailers", true), ("gzip, Trailers", true), ("gzip", false), ("", false)]
        {
            assert_eq!(takes_trailers(&headers(&[("te", value)])), expected, "{value}");
        }
    }
}
