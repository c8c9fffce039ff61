//! The headers of a request on its way to an upstream, and of a response on its way back.
//!
//! Requests: what concerns one connection only is taken out, with everything that `Connection` names; then
//! everything that we ever say ourselves, in every spelling; then what is ours is set. The order matters, for
//! a client that names one of our headers in `Connection` must not be able to take it away. Applied twice to
//! the same request, as a retry does, the result is the same.
//!
//! Sources: RFC 9110 §7.6.1 (hop-by-hop), §7.8 (Upgrade), §7.2 (Host); RFC 6265 §5.3; RFC 9111 §5.2.2.4;
//! Clear Site Data (W3C) §3.1.

use std::mem;
use std::sync::Arc;

use http::header::{self, HeaderName};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Method, StatusCode, Version};
use lychgate_gateway::cookie::{Cookies, ForUpstream};
use lychgate_gateway::headers::Stripped;
use lychgate_gateway::outcome::Admission;
use lychgate_gateway::route::Route;
use pingora_error::{Error, ErrorType, OrErr, Result};
use pingora_http::{RequestHeader, ResponseHeader};

use super::Manner;

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// What happens to a request's headers.
pub(super) struct Rules<'a> {
    pub(super) admission: &'a Admission,
    pub(super) stripped: &'a Stripped,
    pub(super) manner: Manner,
}

impl Rules<'_> {
    /// Makes of what was `received` what is sent `upstream`.
    pub(super) fn apply(
        &self,
        received: &RequestHeader,
        upstream: &mut RequestHeader,
    ) -> Result<()> {
        let named = named(&received.headers);
        let (cookie_as_sent, cookie) = match self.admission.cookie() {
            ForUpstream::AsSent => (true, None),
            ForUpstream::Only(cookie) if !named.contains(&header::COOKIE) => {
                (false, Some(cookie.clone()))
            }
            ForUpstream::Only(_) | ForUpstream::Nothing => (false, None),
        };
        let (version, ends) = (upstream.version, upstream.send_end_stream());
        // Made anew rather than edited: the library keeps the spelling of each name that it inserts or removes,
        // which costs more than everything else here. What is passed on is moved, not copied.
        let (nothing, ()) = http::Request::new(()).into_parts();
        let taken = mem::replace(upstream, RequestHeader::from(nothing));
        let mut parts = http::request::Parts::from(taken);
        let sent = each_with_its_name(mem::take(&mut parts.headers));
        let passed_on = sent.filter(|(name, _)| {
            (*name != header::COOKIE || cookie_as_sent)
                && !ends_here(name, &named)
                && !self.stripped.contains(name.as_str())
        });
        let handshake = self.manner == Manner::Handshake;
        let trailers = version == Version::HTTP_2 && takes_trailers(&received.headers);
        let fixed = |needed: bool, value| needed.then(|| HeaderValue::from_static(value));
        let put_back = [
            (header::COOKIE, cookie),
            (header::TE, fixed(trailers, "trailers")),
            (header::CONNECTION, fixed(handshake, "Upgrade")),
            (header::UPGRADE, fixed(handshake, "websocket")),
        ];
        let put_back = put_back.into_iter().filter_map(|(name, value)| Some((name, value?)));

        parts.headers = self.admission.edits().apply(passed_on.chain(put_back));
        // Most are sent as they came, and to read one again costs.
        let target = self.admission.target();
        if parts.uri.authority().is_some()
            || parts.uri.path_and_query().is_none_or(|it| it != target)
        {
            parts.uri = PathAndQuery::try_from(target)
                .or_err(ErrorType::InvalidHTTPHeader, "the target for the upstream")?
                .into();
        }
        *upstream = RequestHeader::from(parts);
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
    pub(super) request_id: &'a HeaderValue,
    /// The headers of the request, for what the answer says about the page that asked.
    pub(super) asked: &'a HeaderMap,
}

impl ResponseRules<'_> {
    /// Makes of what the upstream said what its client is told.
    pub(super) fn apply(&self, response: &mut ResponseHeader) -> Result<()> {
        // Taken apart and put together again, as a request is: the library keeps the spelling of each name beside
        // the headers, and would have to be asked about every one that comes or goes.
        let status = response.status;
        let phrase = response.get_reason_phrase();
        let phrase = phrase.filter(|phrase| Some(*phrase) != status.canonical_reason());
        let phrase = phrase.map(str::to_owned);
        let taken = mem::replace(response, ResponseHeader::build_no_case(status, Some(0))?);
        let mut parts = http::response::Parts::from(taken);
        self.edit(status, &mut parts.headers)?;
        *response = ResponseHeader::from(parts);
        match phrase {
            Some(phrase) => response.set_reason_phrase(Some(&phrase)),
            None => Ok(()),
        }
    }

    fn edit(&self, status: StatusCode, headers: &mut HeaderMap) -> Result<()> {
        let switches = status == StatusCode::SWITCHING_PROTOCOLS;
        // How the message ends is pingora's to say; it has read and rewritten that already.
        let framing =
            |name: &HeaderName| *name == header::TRANSFER_ENCODING || *name == header::TRAILER;
        let upgrade = |name: &HeaderName| *name == header::UPGRADE || *name == header::CONNECTION;
        let named = named(headers);
        let (mut gone, mut connection_goes, mut lengths) = (Vec::new(), false, 0);
        let (mut sets_cookies, mut clears) = (false, false);
        for (name, value) in &*headers {
            if ends_here(name, &named) && !framing(name) && !(switches && upgrade(name))
                || self.stripped.contains(name.as_str())
            {
                // Nearly all responses have this one, and no other that goes.
                match *name == header::CONNECTION {
                    true => connection_goes = true,
                    false => gone.push(name.clone()),
                }
            } else if *name == header::CONTENT_LENGTH {
                lengths += value.as_bytes().split(|byte| *byte == b',').count();
            } else if *name == header::SET_COOKIE {
                sets_cookies = true;
            } else if *name == CLEAR_SITE_DATA {
                clears = true;
            }
        }
        if connection_goes {
            headers.remove(header::CONNECTION);
        }
        for name in &gone {
            headers.remove(name);
        }
        if lengths > 1 {
            say_the_length_once(headers)?;
        }
        if sets_cookies {
            self.keep_our_cookies_ours(headers);
        }
        if clears {
            keep_our_cookies_there(headers);
        }
        self.route.clients.cors.apply(self.asked, headers);
        for (name, value) in &self.route.response_headers {
            match value {
                Some(value) => drop(headers.insert(name, value.clone())),
                None => drop(headers.remove(name)),
            }
        }
        for cookie in self.ours {
            headers.append(header::SET_COOKIE, cookie.clone());
        }
        if !self.ours.is_empty() {
            keep_from_caches(headers);
        }
        headers.insert(X_REQUEST_ID, self.request_id.clone());
        Ok(())
    }

    /// An upstream that sets a cookie of ours could sign somebody in or out.
    fn keep_our_cookies_ours(&self, headers: &mut HeaderMap) {
        let Some(cookies) = self.cookies else { return };
        let lines = headers.get_all(header::SET_COOKIE);
        if !lines.iter().any(|line| cookies.names_ours(line)) {
            return;
        }
        let theirs: Vec<_> =
            lines.iter().filter(|line| !cookies.names_ours(line)).cloned().collect();
        headers.remove(header::SET_COOKIE);
        for line in theirs {
            headers.append(header::SET_COOKIE, line);
        }
    }
}

/// What `Clear-Site-Data` may ask browsers to throw away: everything that there is but cookies, which are cleared for
/// a whole registrable domain, ours and those of every other application among them.
static CLEARABLE: [&str; 6] = [
    r#""cache""#,
    r#""clientHints""#,
    r#""executionContexts""#,
    r#""prefetchCache""#,
    r#""prerenderCache""#,
    r#""storage""#,
];

/// Lets no upstream sign people out behind our back. What is not known to be harmless is left out; `"*"` becomes
/// everything but cookies (Clear Site Data §3.1). An operator who wants more sets the header for the route.
fn keep_our_cookies_there(headers: &mut HeaderMap) {
    let lines = headers.get_all(CLEAR_SITE_DATA).iter();
    let words = lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b','));
    let words: Vec<_> = words.map(<[u8]>::trim_ascii).collect();
    let asked = |word: &[u8]| words.contains(&word);
    let all = asked(br#""*""#);
    let kept = CLEARABLE.into_iter().filter(|word| all || asked(word.as_bytes()));
    let kept = kept.collect::<Vec<_>>().join(", ");
    headers.remove(CLEAR_SITE_DATA);
    if let Ok(kept) = HeaderValue::try_from(kept)
        && !kept.is_empty()
    {
        headers.insert(CLEAR_SITE_DATA, kept);
    }
}

const CLEAR_SITE_DATA: HeaderName = HeaderName::from_static("clear-site-data");

/// Lets no cache on the way keep a response with a session in it and give it to the next person, whatever the
/// application allows (RFC 9111 §3, §7.3).
fn keep_from_caches(headers: &mut HeaderMap) {
    let mut lines = headers.get_all(header::CACHE_CONTROL).iter();
    let private = lines.any(|line| {
        let mut words = line.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
        words.any(|word| {
            word.eq_ignore_ascii_case(b"private") || word.eq_ignore_ascii_case(b"no-store")
        })
    });
    if private {
        return;
    }
    for name in ["expires", "surrogate-control", "cdn-cache-control"] {
        headers.remove(name);
    }
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
}

/// A length that is repeated, in lines or in a list, is passed on once; one that contradicts itself is an
/// error (RFC 9110 §8.6).
fn say_the_length_once(headers: &mut HeaderMap) -> Result<()> {
    let lines = headers.get_all(header::CONTENT_LENGTH).iter();
    let lengths = lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b','));
    let mut lengths = lengths.map(<[u8]>::trim_ascii);
    let Some(length) = lengths.next() else { return Ok(()) };
    if lengths.any(|other| other != length) {
        let differ = Error::explain(ErrorType::InvalidHTTPHeader, "a response has two lengths");
        return Err(differ.into_up());
    }
    let length = HeaderValue::from_bytes(length)
        .or_err(ErrorType::InvalidHTTPHeader, "the length of a response")?;
    headers.insert(header::CONTENT_LENGTH, length);
    Ok(())
}

/// Whether a request is that of a page which listens to events (HTML §9.2.3); nothing else asks for this type.
pub(super) fn asks_for_events(head: &RequestHeader) -> bool {
    head.method == Method::GET && is_only(&head.headers, &header::ACCEPT, "text/event-stream")
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

/// The lines of a header block.
fn each_with_its_name(headers: HeaderMap) -> impl Iterator<Item = (HeaderName, HeaderValue)> {
    headers.into_iter().scan(None, |last, (name, value)| {
        // The second and later lines of one name come without it.
        if name.is_some() {
            *last = name;
        }
        Some((last.clone()?, value))
    })
}

/// Whether a header concerns one connection only; `named` is what `Connection` names. `TE` and `Upgrade` come back
/// where they are ours to say.
fn ends_here(name: &HeaderName, named: &[HeaderName]) -> bool {
    is_hop_by_hop(name.as_str()) || named.contains(name)
}

fn is_hop_by_hop(name: &str) -> bool {
    matches!(
        name,
        "connection"
            | "http2-settings"
            | "keep-alive"
            | "proxy-authenticate"
            | "proxy-authorization"
            | "proxy-connection"
            | "te"
            | "trailer"
            | "transfer-encoding"
            | "upgrade"
    )
}

/// What a message's `Connection` names, but for where it ends and whom it is for: that concerns everybody, whatever a
/// client says.
fn named(headers: &HeaderMap) -> Vec<HeaderName> {
    let mut names = Vec::new();
    // A glance at all names costs less than one look-up.
    for (_, line) in headers.iter().filter(|(name, _)| **name == header::CONNECTION) {
        // The usual ones name nothing that would not end here anyway.
        let is_usual = |usual: &[u8]| line.as_bytes().eq_ignore_ascii_case(usual);
        if is_usual(b"keep-alive") || is_usual(b"close") || is_usual(b"upgrade") {
            continue;
        }
        names.extend(tokens(line).filter_map(|token| HeaderName::from_bytes(token).ok()));
    }
    names.retain(|name| ![header::CONTENT_LENGTH, header::HOST].contains(name));
    names
}

/// What `Connection` names.
fn nominated(headers: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    headers.get_all(header::CONNECTION).iter().flat_map(tokens)
}

fn tokens(line: &HeaderValue) -> impl Iterator<Item = &[u8]> {
    let tokens = line.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
    tokens.filter(|token| !token.is_empty())
}

fn takes_trailers(headers: &HeaderMap) -> bool {
    let lines = headers.get_all(header::TE).iter();
    let mut codings = lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b','));
    codings.any(|coding| coding.trim_ascii().eq_ignore_ascii_case(b"trailers"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use lychgate_gateway::headers::IdentityHeaders;
    use lychgate_gateway::origin::PublicOrigin;
    use lychgate_gateway::route::{Access, OnExpiry};

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect()
    }

    /// What a client is told when an upstream said `said`, we have the cookies `ours` to set, and the operator
    /// configured `response_headers`.
    fn answered(
        said: &[(&'static str, &'static str)],
        ours: &[HeaderValue],
        response_headers: &[(&'static str, Option<&'static str>)],
    ) -> ResponseHeader {
        let url = url::Url::parse("https://app.test").unwrap();
        let set = |(name, value): &(&'static str, Option<&'static str>)| {
            (HeaderName::from_static(name), value.map(HeaderValue::from_static))
        };
        let route = Arc::new(Route {
            name: "app".to_owned(),
            origin: PublicOrigin::of(&url).unwrap(),
            path: String::new(),
            upstream: "app".to_owned(),
            upstream_path: String::new(),
            providers: Vec::new(),
            rules: Vec::new(),
            access: Access::Public,
            identity: IdentityHeaders::default(),
            response_headers: response_headers.iter().map(set).collect(),
            body_bytes_max: None,
            clients: lychgate_gateway::clients::ClientRules::default(),
            websocket_origins: Vec::new(),
            on_expiry: OnExpiry::Close,
        });
        let mut response = ResponseHeader::build(200, None).unwrap();
        for (name, value) in said {
            response.append_header(*name, *value).unwrap();
        }
        let stripped = Stripped::new([]);
        let rules = ResponseRules {
            route: &route,
            stripped: &stripped,
            cookies: None,
            ours,
            request_id: &HeaderValue::from_static("request-1"),
            asked: &HeaderMap::new(),
        };
        rules.apply(&mut response).unwrap();
        response
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
        let named = named(&headers);
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

    /// N4; RFC 9111 §3, §7.3: whatever an application lets caches keep, an answer with a renewed session in it is
    /// for one person, also for the caches that read headers of their own.
    #[test]
    fn no_cache_keeps_an_answer_with_a_session_in_it() {
        let ours = [HeaderValue::from_static("__Host-lychgate=sealed; Path=/")];
        for (said, expected) in [
            (&[][..], "private, no-cache"),
            (&[("cache-control", "public, max-age=3600")], "private, no-cache"),
            (&[("cache-control", "s-maxage=60")], "private, no-cache"),
            (&[("cache-control", "max-age=1"), ("cache-control", "public")], "private, no-cache"),
            (&[("cache-control", "no-store")], "no-store"),
            (&[("cache-control", "max-age=60 , PRIVATE")], "max-age=60 , PRIVATE"),
            (&[("cache-control", "x-private, no-storefront")], "private, no-cache"),
            (
                &[("cache-control", "public"), ("expires", "Fri, 01 Jan 2100 00:00:00 GMT")],
                "private, no-cache",
            ),
            (
                &[("cache-control", "public"), ("surrogate-control", "max-age=60")],
                "private, no-cache",
            ),
            (
                &[("cache-control", "public"), ("cdn-cache-control", "max-age=60")],
                "private, no-cache",
            ),
        ] {
            let response = answered(said, &ours, &[]);

            let lines = response.headers.get_all(header::CACHE_CONTROL).iter();
            let lines: Vec<_> = lines.filter_map(|line| line.to_str().ok()).collect();
            assert_eq!(lines, [expected], "{said:?}");
            for name in ["expires", "surrogate-control", "cdn-cache-control"] {
                assert_eq!(response.headers.get(name), None, "{said:?}");
            }
            assert_eq!(response.headers.get(header::SET_COOKIE), ours.first(), "{said:?}");
        }
    }

    /// I: an upstream that clears cookies would sign people out here, and of every application beside it. What else it
    /// wants to be thrown away is, and the operator has the last word.
    #[test]
    fn an_application_cannot_clear_our_cookies() {
        let rest = r#""cache", "clientHints", "executionContexts", "prefetchCache", "prerenderCache", "storage""#;
        for (said, expected) in [
            (&[r#""cookies""#][..], None),
            (&[r#""cache", "cookies", "storage""#], Some(r#""cache", "storage""#)),
            (&[r#""cookies"  ,"cache""#], Some(r#""cache""#)),
            (&[r#""cache""#, r#""cookies""#], Some(r#""cache""#)),
            (&[r#""*""#], Some(rest)),
            (&[r#""cookies", "*""#], Some(rest)),
            (&["cookies"], None),
            (&[r#""Cookies""#], None),
            (&[r#""unheard-of", "storage""#], Some(r#""storage""#)),
            (&[r#""storage,"cookies""#], None),
            (&[""], None),
        ] {
            let lines: Vec<_> = said.iter().map(|line| ("clear-site-data", *line)).collect();
            let response = answered(&lines, &[], &[]);
            let told = response.headers.get_all("clear-site-data").iter();
            let told: Vec<_> = told.filter_map(|line| line.to_str().ok()).collect();
            assert_eq!(told, expected.into_iter().collect::<Vec<_>>(), "{said:?}");
        }

        let wanted = ("clear-site-data", Some(r#""cookies""#));
        let response = answered(&[("clear-site-data", r#""cache""#)], &[], &[wanted]);
        assert_eq!(response.headers.get("clear-site-data").unwrap(), r#""cookies""#);
    }

    /// An answer without anything of ours is the application's to cache.
    #[test]
    fn an_answer_without_a_session_in_it_is_cached_as_the_application_says() {
        let said = [("cache-control", "public, max-age=3600"), ("cdn-cache-control", "max-age=60")];

        let response = answered(&said, &[], &[]);

        for (name, value) in said {
            assert_eq!(
                response.headers.get(name).and_then(|value| value.to_str().ok()),
                Some(value)
            );
        }
    }

    /// R17.
    #[test]
    fn trailers_are_taken_by_those_who_say_so() {
        for (value, expected) in
            [("trailers", true), ("gzip, Trailers", true), ("gzip", false), ("", false)]
        {
            assert_eq!(takes_trailers(&headers(&[("te", value)])), expected, "{value}");
        }
    }
}
