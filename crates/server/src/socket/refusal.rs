//! The answers to requests that never became one. They are few, fixed and without a page: whoever gets them
//! is not a browser that somebody looks at.

use crate::turned_away::Cause;

/// The answer to what is refused for `cause`; nothing where nothing is said.
pub(super) fn of(cause: Cause) -> &'static [u8] {
    match cause {
        Cause::HeadersTooLarge => HEADERS_TOO_LARGE,
        Cause::RequestMalformed => MALFORMED,
        Cause::RequestTimeout => TIMEOUT,
        Cause::ProxyHeaderMalformed
        | Cause::ProxyHeaderMissing
        | Cause::ProxyHeaderTimeout
        | Cause::ProxyNotTrusted
        | Cause::TooManyConnections => &[],
    }
}

const HEADERS_TOO_LARGE: &[u8] =
    b"HTTP/1.1 431 Request Header Fields Too Large\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
const MALFORMED: &[u8] =
    b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
const TIMEOUT: &[u8] =
    b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
