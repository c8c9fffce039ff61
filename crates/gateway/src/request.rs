//! One canonical request, computed once: what the rules judge, the logs name and the upstream receives.

use std::net::IpAddr;

use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use sha2::{Digest as _, Sha256};

use crate::client::Client;
use crate::forwarded::{self, Peer, TrustedProxies};
use crate::hexadecimal;
use crate::memory::Memory;
use crate::path::{AmbiguousPath, CanonicalPath};

/// What a door hands in: a request as it was received.
#[derive(Clone, Debug)]
pub struct Received<'a> {
    /// The method.
    pub method: &'a Method,
    /// The request target's path and query, as received.
    pub target: &'a str,
    /// The `Host` header, or the authority of an absolute target or of HTTP/2.
    pub authority: &'a str,
    /// The headers.
    pub headers: &'a HeaderMap,
    /// The other end of the connection.
    pub peer: Peer,
    /// Which peers are believed on this listener.
    pub trusted: &'a TrustedProxies,
    /// How the request reached us.
    pub transport: Transport,
    /// An id for this request, for when the peer's own is not taken.
    pub fresh_id: RequestId,
}

/// How a request reached us. It decides what an unknown host is told, and nothing else: what browsers see is
/// in the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// Without TLS of ours.
    Plain,
    /// Over TLS.
    Tls,
}

/// A request with one meaning.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    /// The method: upper-case letters and `-`, neither `CONNECT` nor `TRACE`.
    pub method: &'a Method,
    /// Host and port in lower case, without a trailing dot.
    pub authority: String,
    /// The path.
    pub path: CanonicalPath,
    /// The query, as received, visible ASCII.
    pub query: Option<&'a str>,
    /// The headers.
    pub headers: &'a HeaderMap,
    /// The body, where the door has read it: for the few pages of ours that take a form.
    pub body: Option<&'a [u8]>,
    /// What the connection remembers, where the door keeps that.
    pub memory: Option<&'a Memory>,
    /// Where it comes from.
    pub client: ClientAddress,
    /// The believed addresses on the way, the client first; empty where there is nobody between the client and us.
    pub via: Vec<IpAddr>,
    /// How it reached us.
    pub transport: Transport,
    /// The id under which page, logs and upstream know it.
    pub id: RequestId,
}

/// The client's address, if it has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientAddress(Option<IpAddr>);

impl ClientAddress {
    /// The address.
    pub fn address(self) -> Option<IpAddr> {
        self.0
    }
}

/// A request that could mean two things, or nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// The authority is missing, or is none.
    #[error("the request names no usable host")]
    Authority,
    /// The method is not served, whatever the address.
    #[error("the method is not one that a gateway forwards")]
    Method,
    /// The path is ambiguous.
    #[error(transparent)]
    Path(#[from] AmbiguousPath),
    /// The query holds bytes that no URL may.
    #[error("the query contains a byte that no query may contain")]
    Query,
    /// A header that may stand once stands twice.
    #[error("a header that may stand once is repeated")]
    Repeated,
}

impl<'a> Request<'a> {
    /// Reads a request.
    ///
    /// # Errors
    /// [`Malformed`], which is answered 400, or 405 for the method.
    pub fn read(received: Received<'a>) -> Result<Self, Malformed> {
        let method = received.method;
        let plain = method.as_str().bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'-');
        if !plain
            || method.as_str().len() > 32
            || matches!(*method, Method::CONNECT | Method::TRACE)
        {
            return Err(Malformed::Method);
        }
        if is_repeated_where_it_may_not_be(received.headers) {
            return Err(Malformed::Repeated);
        }
        let (path, query) = match received.target.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (received.target, None),
        };
        if query.is_some_and(|query| {
            query.bytes().any(|byte| !(0x21..=0x7E).contains(&byte) || byte == b'#')
        }) {
            return Err(Malformed::Query);
        }
        let origin = forwarded::client(received.peer, received.trusted, received.headers);
        let trusted = received.trusted.trusts(received.peer);
        let id = trusted.then(|| RequestId::read(received.headers.get(X_REQUEST_ID)?)).flatten();
        Ok(Self {
            method,
            authority: canonical_authority(received.authority).ok_or(Malformed::Authority)?,
            path: CanonicalPath::parse(path)?,
            query,
            headers: received.headers,
            body: None,
            memory: None,
            client: ClientAddress(origin.client),
            via: origin.path,
            transport: received.transport,
            id: id.unwrap_or(received.fresh_id),
        })
    }

    /// Who will read the answer. Not read with the rest, for most answers are not ours.
    pub fn kind(&self) -> Client {
        Client::of(self.method, self.headers)
    }

    /// Path and query: where the visitor wanted to go.
    pub fn target(&self) -> String {
        match self.query {
            Some(query) => format!("{}?{query}", self.path),
            None => self.path.as_str().to_owned(),
        }
    }

    /// The decoded value of a query parameter of ours. `None` when it is absent or given twice.
    pub fn parameter(&self, name: &str) -> Option<String> {
        only_value(self.query.unwrap_or_default(), name)
    }

    /// What came as a form, undecoded: text, and declared as such. Nothing in the query counts beside it.
    pub fn form(&self) -> Option<&'a str> {
        let declared = self.headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
        let media_type = declared.split(';').next().unwrap_or(declared).trim();
        if !media_type.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
            return None;
        }
        std::str::from_utf8(self.body?).ok()
    }

    /// The decoded value of a parameter of ours, from the form of a POST, from the query otherwise.
    pub fn field(&self, name: &str) -> Option<String> {
        if *self.method == Method::POST {
            return only_value(self.form()?, name);
        }
        self.parameter(name)
    }
}

/// The decoded value of the one parameter of this name (A2).
fn only_value(parameters: &str, name: &str) -> Option<String> {
    let mut values = url::form_urlencoded::parse(parameters.as_bytes())
        .filter(|(found, _)| found == name)
        .map(|(_, value)| value.into_owned());
    values.next().filter(|_| values.next().is_none())
}

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The name of a request: fit for a header and for a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestId(HeaderValue);

impl RequestId {
    /// An id of our own: `number` in 32 hexadecimal digits, but for the six bits that make it a random UUID.
    pub fn new(number: u128) -> Self {
        let digits = hexadecimal::digits(&random_uuid(number).to_be_bytes());
        // Digits are always the value of a header.
        Self(HeaderValue::try_from(digits).unwrap_or(HeaderValue::from_static("0")))
    }

    /// T-14: an id that somebody else made is taken when it cannot do harm in a log.
    fn read(value: &HeaderValue) -> Option<Self> {
        let fits = (8..=128).contains(&value.len());
        let harmless =
            |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        (fits && value.as_bytes().iter().all(harmless)).then(|| Self(value.clone()))
    }

    /// The same id as a random UUID, which is the form that financial APIs want (`x-fapi-interaction-id`).
    ///
    /// Ids of our own and of proxies that use UUIDs keep their digits. Other ids of 32 digits keep all but two, and
    /// what is no such number is hashed into one.
    pub fn interaction_id(&self) -> HeaderValue {
        let digits: String = self.as_str().chars().filter(|digit| *digit != '-').collect();
        let is_number = digits.len() == 32 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        let number = match u128::from_str_radix(&digits, 16) {
            Ok(number) if is_number => number,
            Ok(_) | Err(_) => {
                let hash: [u8; 32] = Sha256::digest(self.0.as_bytes()).into();
                hash.iter().take(16).fold(0, |number, byte| number << 8 | u128::from(*byte))
            }
        };
        let digits = hexadecimal::digits(&random_uuid(number).to_be_bytes());
        let mut text = String::with_capacity(36);
        for (index, digit) in digits.chars().enumerate() {
            if matches!(index, 8 | 12 | 16 | 20) {
                text.push('-');
            }
            text.push(digit);
        }
        // Digits and dashes are always the value of a header.
        HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("0"))
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(self.0.as_bytes()).unwrap_or_default()
    }

    /// As the value of a header.
    pub fn as_header(&self) -> &HeaderValue {
        &self.0
    }
}

/// `number` with the version and the variant of a random UUID (RFC 9562 §5.4).
const fn random_uuid(number: u128) -> u128 {
    const VERSION: u128 = 0xF << 76;
    const VARIANT: u128 = 0b11 << 62;
    (number & !VERSION & !VARIANT) | 4 << 76 | 0b10 << 62
}

impl From<&'static str> for RequestId {
    fn from(text: &'static str) -> Self {
        Self(HeaderValue::from_static(text))
    }
}

/// Whether a header that has no meaning when repeated is repeated.
fn is_repeated_where_it_may_not_be(headers: &HeaderMap) -> bool {
    // Nothing is, when there are as many names as lines.
    headers.len() > headers.keys_len()
        && [header::HOST, header::AUTHORIZATION, header::CONTENT_LENGTH]
            .iter()
            .any(|name| headers.get_all(name).iter().count() > 1)
}

/// Host and port in lower case, without the dot that names the root (B5).
fn canonical_authority(authority: &str) -> Option<String> {
    let plain = |byte: u8| {
        byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b':' | b'[' | b']')
    };
    if authority.is_empty() || authority.len() > 255 + 6 || !authority.bytes().all(plain) {
        return None;
    }
    let colon = authority.bytes().rposition(|byte| byte == b':');
    let (host, port) = match colon.and_then(|colon| authority.split_at_checked(colon)) {
        Some((host, port)) if !port.contains(']') => (host, port.strip_prefix(':')),
        _ => (authority, None),
    };
    let host = host.strip_suffix('.').unwrap_or(host);
    let bracketed = host.starts_with('[') && host.ends_with(']');
    if host.is_empty() || (!bracketed && host.contains([':', '[', ']'])) {
        return None;
    }
    let mut canonical = String::with_capacity(authority.len() + 1);
    canonical.push_str(host);
    canonical.make_ascii_lowercase();
    if let Some(port) = port {
        port.parse::<u16>().ok()?;
        let digits = port.trim_start_matches('0');
        canonical.push(':');
        canonical.push_str(if digits.is_empty() { "0" } else { digits });
    }
    Some(canonical)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read<'a>(
        method: &'a Method,
        target: &'a str,
        authority: &'a str,
        headers: &'a HeaderMap,
    ) -> Result<Request<'a>, Malformed> {
        static NOBODY: TrustedProxies = TrustedProxies { networks: Vec::new(), unix: false };
        let peer = Peer::Address(IpAddr::from([127, 0, 0, 1]));
        Request::read(Received {
            method,
            target,
            authority,
            headers,
            peer,
            trusted: &NOBODY,
            transport: Transport::Plain,
            fresh_id: "fresh".into(),
        })
    }

    /// CB-66: one id, in the form that financial APIs want: ours and a proxy's UUIDs keep their digits.
    #[test]
    fn a_request_id_is_a_random_uuid_as_well() {
        let ours = RequestId::new(u128::MAX);
        assert_eq!(ours.as_str(), "ffffffffffff4fffbfffffffffffffff");
        assert_eq!(ours.interaction_id(), "ffffffff-ffff-4fff-bfff-ffffffffffff");
        for (theirs, expected) in [
            ("0d2b24b2-8d5b-4a36-9b0d-0f6c1ed0a7c1", "0d2b24b2-8d5b-4a36-9b0d-0f6c1ed0a7c1"),
            ("0D2B24B28D5B4A369B0D0F6C1ED0A7C1", "0d2b24b2-8d5b-4a36-9b0d-0f6c1ed0a7c1"),
            ("00000000000000000000000000000000", "00000000-0000-4000-8000-000000000000"),
            ("request-1", "19f1064b-619d-49d3-9392-eac7261cd726"),
        ] {
            assert_eq!(RequestId::from(theirs).interaction_id(), expected, "{theirs}");
        }
        let signed = RequestId::from("+d2b24b28d5b4a369b0d0f6c1ed0a7c1").interaction_id();
        assert_ne!(signed, "0d2b24b2-8d5b-4a36-9b0d-0f6c1ed0a7c1", "a sign is no digit");
    }

    /// B5: one host, however it is spelled.
    #[test]
    fn a_host_has_one_spelling() {
        for (authority, expected) in [
            ("APP.test", Some("app.test")),
            ("app.test.", Some("app.test")),
            ("app.test.:0443", Some("app.test:443")),
            ("[::1]:8080", Some("[::1]:8080")),
            ("[::1]", Some("[::1]")),
            ("", None),
            (".", None),
            ("a b", None),
            ("user@app.test", None),
            ("app.test:99999", None),
            ("app.test:", None),
            ("a:b:1", None),
            ("app.test/x", None),
        ] {
            assert_eq!(canonical_authority(authority).as_deref(), expected, "{authority}");
        }
        assert_eq!(canonical_authority(&"a".repeat(300)), None);
    }

    /// B8: methods that would tunnel or echo, and spellings that some servers fold.
    #[test]
    fn odd_methods_are_refused() {
        let headers = HeaderMap::new();
        for method in ["CONNECT", "TRACE", "get", "Get", "G3T", "A!"] {
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            assert_eq!(
                read(&method, "/", "app.test", &headers).unwrap_err(),
                Malformed::Method,
                "{method}"
            );
        }
        let report = Method::from_bytes(b"PROPFIND").unwrap();
        assert!(read(&report, "/", "app.test", &headers).is_ok());
    }

    /// C7: duplicate singletons have no meaning.
    #[test]
    fn a_repeated_singleton_is_refused() {
        let mut headers = HeaderMap::new();
        headers.append("authorization", HeaderValue::from_static("a"));
        headers.append("authorization", HeaderValue::from_static("b"));
        assert_eq!(read(&Method::GET, "/", "app.test", &headers).unwrap_err(), Malformed::Repeated);
    }

    #[test]
    fn the_query_is_kept_as_received_and_never_judged() {
        let headers = HeaderMap::new();
        let request = read(&Method::GET, "/admin?/public/&a=%2F", "app.test", &headers).unwrap();
        assert_eq!(request.path.as_str(), "/admin");
        assert_eq!(request.query, Some("/public/&a=%2F"));
        assert_eq!(request.target(), "/admin?/public/&a=%2F");
        assert_eq!(
            read(&Method::GET, "/?a#b", "app.test", &headers).unwrap_err(),
            Malformed::Query
        );
    }

    /// A2: a parameter given twice is none.
    #[test]
    fn a_repeated_parameter_is_no_parameter() {
        let headers = HeaderMap::new();
        let request = read(&Method::GET, "/?a=1&b=%2Fx+y&a=2", "app.test", &headers).unwrap();
        assert_eq!(request.parameter("a"), None);
        assert_eq!(request.parameter("b").as_deref(), Some("/x y"));
    }

    #[test]
    fn a_strangers_request_id_is_not_taken() {
        let mut headers = HeaderMap::new();
        headers.insert("x-request-id", HeaderValue::from_static("0123456789"));
        let request = read(&Method::GET, "/", "app.test", &headers).unwrap();
        assert_eq!(request.id.as_str(), "fresh");
        for (id, expected) in [
            ("0123456789", true),
            ("short", false),
            ("has space in it", false),
            ("a\"bcdefghi", false),
        ] {
            let id = HeaderValue::from_static(id);
            assert_eq!(RequestId::read(&id).is_some(), expected, "{id:?}");
        }
    }
}
