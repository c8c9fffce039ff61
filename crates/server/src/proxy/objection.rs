//! What no request may be, whatever it asks for: checked before anybody is asked about it.
//!
//! pingora mends some messages that can be read in two ways; we answer them and close the connection.
//!
//! Sources: RFC 9112 §2.2 (line ends), §3.2 (Host), §6.1 and §6.3 (framing); RFC 6585 §5.

use http::uri::Authority;
use http::{Method, Version, header};
use lychgate_config::config::Limits;
use lychgate_gateway::reason::Reason;
use pingora_http::RequestHeader;

/// Why a request is refused at the door. `raw` is the header block as it was sent, where there is one.
pub(super) fn to(head: &RequestHeader, raw: Option<&[u8]>, limits: &Limits) -> Option<Reason> {
    if head.method == Method::CONNECT {
        return Some(Reason::MethodNotAllowed);
    }
    if exceeds(head.raw_path().len(), limits.uri_bytes) {
        return Some(Reason::UriTooLong);
    }
    let (mut bytes, mut names_host, mut is_coded) = (0, false, false);
    for (name, value) in &head.headers {
        bytes += name.as_str().len() + value.len() + 4;
        names_host |= *name == header::HOST;
        is_coded |= *name == header::TRANSFER_ENCODING;
    }
    if exceeds(bytes, limits.header_bytes) {
        return Some(Reason::HeadersTooLarge);
    }
    let raw = raw.unwrap_or_default();
    let is_framed_once = || lines_end_as_lines_do(raw) && (!is_coded || is_coded_once(head, raw));
    let readable = match head.version {
        Version::HTTP_2 => true,
        Version::HTTP_11 => names_host && is_framed_once(),
        Version::HTTP_10 => is_framed_once(),
        _ => false,
    };
    let readable = readable && !names_fragment(raw);
    (!readable).then_some(Reason::RequestMalformed)
}

/// Where a request is to go: the authority of its target, else its `Host`.
pub(super) fn authority(head: &RequestHeader) -> &str {
    let of_target = head.uri.authority().map(Authority::as_str);
    let of_target = of_target.or_else(|| {
        absolute_form(std::str::from_utf8(head.raw_path()).ok()?).map(|(authority, _)| authority)
    });
    let of_header = || head.headers.get(header::HOST).and_then(|host| host.to_str().ok());
    of_target.or_else(of_header).unwrap_or_default()
}

/// Path and query of a target, whether it came with an authority or without (RFC 9112 §3.2.2).
pub(super) fn origin_form(target: &str) -> &str {
    match absolute_form(target) {
        Some((_, "")) => "/",
        Some((_, path)) => path,
        None => target,
    }
}

fn absolute_form(target: &str) -> Option<(&str, &str)> {
    // A path, as nearly all targets are, whatever stands further on in it.
    if target.starts_with('/') {
        return None;
    }
    let (scheme, rest) = target.split_once("://")?;
    if scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https") {
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        return rest.split_at_checked(end);
    }
    None
}

fn exceeds(bytes: usize, most: u64) -> bool {
    u64::try_from(bytes).is_ok_and(|bytes| bytes > most)
}

/// Whether the request line has a fragment in it, which no target has (RFC 9112 §3.2). pingora cuts it off
/// without a word, and other programs do not.
fn names_fragment(raw: &[u8]) -> bool {
    let line = memchr::memchr(b'\n', raw).and_then(|end| raw.get(..end)).unwrap_or(raw);
    memchr::memchr(b'#', line).is_some()
}

/// Whether every line ends with both of its bytes (RFC 9112 §2.2).
fn lines_end_as_lines_do(raw: &[u8]) -> bool {
    memchr::memchr_iter(b'\n', raw)
        .all(|end| raw.get(..end).is_some_and(|line| line.ends_with(b"\r")))
}

/// Whether a message with a `Transfer-Encoding` says in one way only where it ends.
fn is_coded_once(head: &RequestHeader, raw: &[u8]) -> bool {
    let mut codings = head.headers.get_all(header::TRANSFER_ENCODING).iter();
    let Some(coding) = codings.next() else { return true };
    // pingora has taken `Content-Length` away by now, so it is looked for in what was sent.
    let has_length = raw.split(|byte| *byte == b'\n').any(|line| {
        let name = line.split(|byte| *byte == b':').next().unwrap_or_default();
        name.trim_ascii().eq_ignore_ascii_case(b"content-length")
    });
    codings.next().is_none()
        && coding.as_bytes().eq_ignore_ascii_case(b"chunked")
        && !has_length
        && !head.headers.contains_key(header::CONTENT_LENGTH)
        && head.version == Version::HTTP_11
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const LIMITS: Limits = Limits {
        header_bytes: 200,
        uri_bytes: 50,
        body_bytes: None,
        connections: 1,
        connections_per_client: None,
        login_starts_per_client: 600,
        header_timeout: Duration::from_secs(1),
        idle_timeout: Duration::from_secs(1),
        shutdown_timeout: Duration::from_secs(1),
    };

    /// As pingora hands it over: parsed, with `Content-Length` gone where there is `Transfer-Encoding`.
    fn read(text: &str) -> RequestHeader {
        let mut lines = text.lines();
        let mut first = lines.next().unwrap().split(' ');
        let (method, target) = (first.next().unwrap(), first.next().unwrap());
        let mut head = RequestHeader::build(method, target.as_bytes(), None).unwrap();
        head.set_version(if first.next() == Some("HTTP/1.0") {
            Version::HTTP_10
        } else {
            Version::HTTP_11
        });
        for line in lines.take_while(|line| !line.is_empty()) {
            let (name, value) = line.split_once(": ").unwrap();
            head.append_header(name.to_owned(), value).unwrap();
        }
        if head.headers.contains_key(header::TRANSFER_ENCODING) {
            head.remove_header(&header::CONTENT_LENGTH);
        }
        head
    }

    fn objection(text: &str) -> Option<Reason> {
        to(&read(text), Some(text.as_bytes()), &LIMITS)
    }

    /// B2, J2, J5, J8, K6; RFC 9112 §2.2, §3.2, §6.3.
    #[test]
    fn a_message_that_can_be_read_in_two_ways_is_refused() {
        let malformed = Some(Reason::RequestMalformed);
        for (text, expected) in [
            ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", None),
            ("GET / HTTP/1.0\r\nHost: a\r\n\r\n", None),
            ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", None),
            ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: CHUNKED\r\n\r\n", None),
            ("GET / HTTP/1.1\r\nAccept: a\r\n\r\n", malformed),
            ("GET /admin#/public/ HTTP/1.1\r\nHost: a\r\n\r\n", malformed),
            ("GET /?a#b HTTP/1.1\r\nHost: a\r\n\r\n", malformed),
            ("GET / HTTP/1.1\r\nHost: a\r\nX: #\r\n\r\n", None),
            ("GET / HTTP/1.1\nHost: a\n\n", malformed),
            ("GET / HTTP/1.1\r\nHost: a\nAccept: b\r\n\r\n", malformed),
            (
                "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n",
                malformed,
            ),
            (
                "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\ncontent-LENGTH: 4\r\n\r\n",
                malformed,
            ),
            ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", malformed),
            ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n", malformed),
            (
                "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
                malformed,
            ),
            ("POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", malformed),
            ("CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", Some(Reason::MethodNotAllowed)),
        ] {
            assert_eq!(objection(text), expected, "{text:?}");
        }
    }

    #[test]
    fn what_is_too_long_is_refused_and_the_longest_is_not() {
        let of_target = |length| format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(length));
        assert_eq!(objection(&of_target(49)), None);
        assert_eq!(objection(&of_target(50)), Some(Reason::UriTooLong));

        // "host" + "a" + 4 are 9, "cookie" + 4 are 10.
        let of_cookie =
            |length| format!("GET / HTTP/1.1\r\nHost: a\r\nCookie: {}\r\n\r\n", "x".repeat(length));
        assert_eq!(objection(&of_cookie(181)), None);
        assert_eq!(objection(&of_cookie(182)), Some(Reason::HeadersTooLarge));
    }

    #[test]
    fn a_target_with_an_authority_says_where_it_goes() {
        for (target, expected_authority, expected_path) in [
            ("/a?b", "host.test", "/a?b"),
            ("http://other.test/a?b", "other.test", "/a?b"),
            ("HTTPS://other.test:8443", "other.test:8443", "/"),
            ("http://other.test?b", "other.test", "?b"),
            ("/redirect?to=http://other.test/", "host.test", "/redirect?to=http://other.test/"),
        ] {
            let head = read(&format!("GET {target} HTTP/1.1\r\nHost: host.test\r\n\r\n"));
            assert_eq!(authority(&head), expected_authority, "{target}");
            assert_eq!(origin_form(target), expected_path, "{target}");
        }
    }
}
