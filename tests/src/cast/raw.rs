//! A client that sends exactly the bytes that it is given.
//!
//! A well-behaved HTTP client repairs the malformed input that these stories are about. Responses are read
//! only as far as it takes to tell them apart.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::gate::PATIENCE;
use super::invariants;

/// How long silence after a response lasts before a connection counts as left open.
const SILENCE: Duration = Duration::from_secs(1);

/// A response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// The status, or 0 when this is no HTTP.
    pub status: u16,
    /// The header lines, names in small letters.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

/// Everything that came back over one connection.
#[derive(Clone, Debug)]
pub struct Exchange {
    /// The responses, in order.
    pub responses: Vec<Response>,
    /// Whether the connection is still open.
    pub end: End,
}

/// How a connection stood at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The gate closed it.
    Closed,
    /// The gate waits for more.
    Open,
}

impl Exchange {
    /// The statuses, in order.
    #[must_use]
    pub fn statuses(&self) -> Vec<u16> {
        self.responses.iter().map(|response| response.status).collect()
    }

    /// Whether this is one refusal with this status and then the end of the connection.
    #[must_use]
    pub fn is_refused_with(&self, status: u16) -> bool {
        self.statuses() == [status] && self.end == End::Closed
    }
}

impl Response {
    /// The first value of a header.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// Sends the bytes over a connection of their own and reads until it is closed or silent.
///
/// # Panics
/// When nobody listens.
pub async fn send(address: SocketAddr, bytes: impl AsRef<[u8]>) -> Exchange {
    let mut line = Line::to(address).await;
    line.says(bytes).await;
    line.rest().await
}

/// A connection that is spoken over piece by piece.
#[derive(Debug)]
pub struct Line {
    stream: TcpStream,
    to: SocketAddr,
    heard: Vec<u8>,
}

impl Line {
    /// A connection to `address`.
    ///
    /// # Panics
    /// When nobody listens.
    pub async fn to(address: SocketAddr) -> Self {
        let stream =
            TcpStream::connect(address).await.unwrap_or_else(|error| panic!("{address}: {error}"));
        stream.set_nodelay(true).expect("a fresh socket");
        Self { stream, to: address, heard: Vec::new() }
    }

    /// Sends bytes. A gate that has closed already is no failure: what it said is read later.
    pub async fn says(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.stream.write_all(bytes.as_ref()).await;
    }

    /// Says that nothing more will come.
    pub async fn hangs_up(&mut self) {
        let _ = self.stream.shutdown().await;
    }

    /// The next whole response, informational ones left out.
    ///
    /// # Panics
    /// When the connection ends or is silent first.
    pub async fn hears(&mut self) -> Response {
        loop {
            if let Some((response, length)) = parse(&self.heard, End::Open) {
                self.heard.drain(..length);
                if response.status >= 200 || response.status == 101 {
                    self.judges(&response);
                    return response;
                }
                continue;
            }
            assert!(
                self.more().await == Some(End::Open),
                "no response, but {:?}",
                self.heard_as_text()
            );
        }
    }

    /// Waits until at least this much text of the next response has come, and returns it all.
    ///
    /// # Panics
    /// When the connection ends or is silent first.
    pub async fn hears_part(&mut self, part: &str) -> String {
        while !self.heard_as_text().contains(part) {
            assert!(
                self.more().await == Some(End::Open),
                "no {part:?} in {:?}",
                self.heard_as_text()
            );
        }
        self.heard_as_text()
    }

    /// Everything until the connection is closed or silent.
    pub async fn rest(mut self) -> Exchange {
        let end = loop {
            match self.more().await {
                Some(End::Open) => {}
                Some(End::Closed) => break End::Closed,
                None => break End::Open,
            }
        };
        let mut responses = Vec::new();
        while let Some((response, length)) = parse(&self.heard, end) {
            self.heard.drain(..length);
            if response.status >= 200 || response.status == 101 || response.status == 0 {
                self.judges(&response);
                responses.push(response);
            }
        }
        Exchange { responses, end }
    }

    /// Reads once. `None` is silence.
    async fn more(&mut self) -> Option<End> {
        let mut buffer = [0; 16 * 1024];
        // A busy machine may take a while to answer; whoever has answered and stays silent is waiting.
        let patience = if parse(&self.heard, End::Open).is_some() { SILENCE } else { PATIENCE };
        match timeout(patience, self.stream.read(&mut buffer)).await {
            Err(_) => None,
            Ok(Ok(0) | Err(_)) => Some(End::Closed),
            Ok(Ok(read)) => {
                self.heard.extend_from_slice(&buffer[..read]);
                Some(End::Open)
            }
        }
    }

    /// O3, for every redirect that is seen here.
    fn judges(&self, response: &Response) {
        if let Some(location) = response.header("location") {
            invariants::judge_location(self.to, location);
        }
    }

    fn heard_as_text(&self) -> String {
        String::from_utf8_lossy(&self.heard).into_owned()
    }
}

/// The first response in `bytes` and its length, if it is there as a whole.
fn parse(bytes: &[u8], end: End) -> Option<(Response, usize)> {
    if bytes.is_empty() {
        return None;
    }
    let head_end = bytes.windows(4).position(|window| window == b"\r\n\r\n");
    let Some(head_end) = head_end.filter(|_| bytes.starts_with(b"HTTP/1.")) else {
        // What is not HTTP is shown whole, once there is no more of it.
        let strange = Response { status: 0, headers: Vec::new(), body: bytes.to_vec() };
        return (end == End::Closed).then_some((strange, bytes.len()));
    };
    let head = String::from_utf8_lossy(&bytes[..head_end]);
    let mut lines = head.split("\r\n");
    let status_line = lines.next().unwrap_or_default();
    let status = status_line.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    let headers: Vec<_> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let value = |wanted: &str| {
        headers.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.as_str())
    };
    let start = head_end + 4;
    let rest = &bytes[start..];
    let (body, length) = if status < 200 || matches!(status, 204 | 304) {
        (Vec::new(), 0)
    } else if value("transfer-encoding").is_some_and(|coding| coding.contains("chunked")) {
        chunked(rest)?
    } else if let Some(length) = value("content-length").and_then(|length| length.parse().ok()) {
        (rest.get(..length)?.to_vec(), length)
    } else if end == End::Closed {
        (rest.to_vec(), rest.len())
    } else {
        return None;
    };
    Some((Response { status, headers, body }, start + length))
}

fn chunked(bytes: &[u8]) -> Option<(Vec<u8>, usize)> {
    let (mut body, mut at) = (Vec::new(), 0);
    loop {
        let line_end = at + bytes.get(at..)?.windows(2).position(|window| window == b"\r\n")?;
        let size = std::str::from_utf8(bytes.get(at..line_end)?).ok()?;
        let size = usize::from_str_radix(size.split(';').next()?.trim(), 16).ok()?;
        at = line_end + 2;
        body.extend_from_slice(bytes.get(at..at + size)?);
        at += size;
        if bytes.get(at..at + 2)? != b"\r\n" {
            return None;
        }
        at += 2;
        if size == 0 {
            return Some((body, at));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn responses_are_told_apart_by_their_framing() {
        let bytes = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n\
                      HTTP/1.1 404 Not Found\r\nContent-Length: 1\r\n\r\nx";

        let (first, length) = parse(bytes, End::Open).expect("a response");
        let (second, rest) = parse(&bytes[length..], End::Open).expect("another");

        assert_eq!((first.status, first.text()), (200, "ab".to_owned()));
        assert_eq!((second.status, second.text()), (404, "x".to_owned()));
        assert_eq!(length + rest, bytes.len());
        assert_eq!(parse(&bytes[..20], End::Open), None);
    }
}
