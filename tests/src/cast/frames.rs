//! A client that speaks HTTP/2 frame by frame, and as wrongly as a story wants (RFC 9113, RFC 7541).
//!
//! Libraries for HTTP/2 refuse to send what these stories are about. Headers are written as literals that nobody
//! indexes; of what comes back, only statuses are decoded.

use std::net::SocketAddr;
use std::time::Instant;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::gate::PATIENCE;

/// What a frame is (RFC 9113, section 6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A part of a body.
    Data = 0,
    /// The beginning of a request or a response.
    Headers = 1,
    /// What nobody heeds any more.
    Priority = 2,
    /// The end of a stream before its time.
    Reset = 3,
    /// How one wants to be spoken to.
    Settings = 4,
    /// A question whether anybody is there.
    Ping = 6,
    /// The end of the connection.
    GoAway = 7,
    /// Leave to send more.
    WindowUpdate = 8,
    /// More of a header block.
    Continuation = 9,
}

/// A setting: how much of earlier headers a sender may refer to.
const HEADER_TABLE_SIZE: u16 = 1;
/// A setting: how many bytes of a body may come before more are asked for.
pub const INITIAL_WINDOW_SIZE: u16 = 4;

/// A stream ends with this frame.
pub const END_STREAM: u8 = 1;
/// A header block ends with this frame.
pub const END_HEADERS: u8 = 4;

/// A frame that came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Its type, which may be one that nobody knows.
    pub kind: u8,
    /// Its flags.
    pub flags: u8,
    /// Its stream.
    pub stream: u32,
    /// What is in it.
    pub payload: Vec<u8>,
}

/// How a stream came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was answered with this status.
    Status(u16),
    /// It was reset with this code.
    Reset(u32),
    /// The connection ended, with this code if it said one.
    Closed(Option<u32>),
}

impl Outcome {
    /// Whether this is a no: a stream or a connection that ended in an error, or a status that says whose it is.
    #[must_use]
    pub fn is_refusal(self) -> bool {
        !matches!(self, Self::Status(status) if status < 400)
    }
}

/// A connection.
#[derive(Debug)]
pub struct Frames {
    stream: TcpStream,
    heard: Vec<u8>,
    next: u32,
}

impl Frames {
    /// A connection by prior knowledge; settings are exchanged, and headers are not to be indexed for it.
    ///
    /// # Panics
    /// When nobody listens.
    pub async fn to(address: SocketAddr) -> Self {
        Self::asking(address, &[]).await
    }

    /// The same, with these further settings.
    ///
    /// # Panics
    /// When nobody listens.
    pub async fn asking(address: SocketAddr, settings: &[(u16, u32)]) -> Self {
        let stream = TcpStream::connect(address).await;
        let stream = stream.unwrap_or_else(|error| panic!("{address}: {error}"));
        stream.set_nodelay(true).expect("a fresh socket");
        let mut frames = Self { stream, heard: Vec::new(), next: 1 };
        frames.says(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
        // What is decoded here has no memory.
        let settings = [&[(HEADER_TABLE_SIZE, 0)], settings].concat();
        let settings = settings
            .iter()
            .flat_map(|(name, value)| [&name.to_be_bytes()[..], &value.to_be_bytes()].concat());
        frames.sends(Kind::Settings, 0, 0, &settings.collect::<Vec<_>>()).await;
        frames
    }

    /// Sends bytes, and says whether anybody took them. A gate that has closed already is no failure.
    pub async fn says(&mut self, bytes: &[u8]) -> bool {
        matches!(timeout(PATIENCE, self.stream.write_all(bytes)).await, Ok(Ok(())))
    }

    /// Sends a frame, and says whether anybody took it.
    pub async fn sends(&mut self, kind: Kind, flags: u8, stream: u32, payload: &[u8]) -> bool {
        self.says(&frame(kind, flags, stream, payload)).await
    }

    /// A stream that nobody has used.
    pub fn new_stream(&mut self) -> u32 {
        let stream = self.next;
        self.next += 2;
        stream
    }

    /// Sends a request of these headers, without a body, and returns its stream.
    pub async fn asks(&mut self, headers: &[(&str, &str)]) -> u32 {
        let stream = self.new_stream();
        self.sends(Kind::Headers, END_STREAM | END_HEADERS, stream, &block(headers)).await;
        stream
    }

    /// The next frame, or `None` at the end of the connection.
    ///
    /// # Panics
    /// When nothing comes.
    pub async fn hears(&mut self) -> Option<Frame> {
        loop {
            if let [a, b, c, kind, flags, d, e, f, g, rest @ ..] = &self.heard[..] {
                let length = u32::from_be_bytes([0, *a, *b, *c]) as usize;
                if let Some(payload) = rest.get(..length) {
                    let stream = u32::from_be_bytes([*d, *e, *f, *g]) & 0x7fff_ffff;
                    let (kind, flags) = (*kind, *flags);
                    let frame = Frame { kind, flags, stream, payload: payload.to_vec() };
                    self.heard.drain(..9 + length);
                    return Some(frame);
                }
            }
            let mut buffer = [0; 16 * 1024];
            match timeout(PATIENCE, self.stream.read(&mut buffer)).await {
                Err(_) => panic!("no frame, and no end of the connection"),
                Ok(Ok(0) | Err(_)) => return None,
                Ok(Ok(read)) => self.heard.extend_from_slice(&buffer[..read]),
            }
        }
    }

    /// The next frame of this kind, whatever comes before it; `None` when the connection ends without one.
    ///
    /// # Panics
    /// When there is neither.
    pub async fn hears_a(&mut self, kind: Kind) -> Option<Frame> {
        let heard = async {
            loop {
                match self.hears().await {
                    Some(frame) if frame.kind != kind as u8 => {}
                    frame_or_end => return frame_or_end,
                }
            }
        };
        timeout(PATIENCE, heard).await.expect("such a frame, or the end")
    }

    /// How a stream comes out. Settings and pings are answered meanwhile.
    ///
    /// # Panics
    /// When it does not.
    pub async fn outcome(&mut self, stream: u32) -> Outcome {
        let (began, mut code) = (Instant::now(), None);
        loop {
            assert!(began.elapsed() < PATIENCE, "stream {stream} comes to nothing");
            let Some(frame) = self.hears().await else { return Outcome::Closed(code) };
            let number = |at: usize| {
                let bytes = frame.payload.get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
                u32::from_be_bytes(bytes.unwrap_or_default())
            };
            match frame.kind {
                kind if kind == Kind::Headers as u8 && frame.stream == stream => {
                    return Outcome::Status(status(&frame.payload));
                }
                kind if kind == Kind::Reset as u8 && frame.stream == stream => {
                    return Outcome::Reset(number(0));
                }
                kind if kind == Kind::GoAway as u8 && (number(4) != 0 || number(0) < stream) => {
                    code = Some(number(4));
                }
                kind if kind == Kind::Settings as u8 && frame.flags == 0 => {
                    self.sends(Kind::Settings, 1, 0, &[]).await;
                }
                _ => {}
            }
        }
    }

    /// Waits until the connection has ended, and returns the code that it ended with.
    ///
    /// # Panics
    /// When it does not end.
    pub async fn end(&mut self) -> Option<u32> {
        match self.outcome(u32::MAX >> 1).await {
            Outcome::Closed(code) => code,
            other @ (Outcome::Status(_) | Outcome::Reset(_)) => {
                panic!("{other:?} on a stream that nobody opened")
            }
        }
    }
}

/// A frame as bytes.
#[must_use]
pub fn frame(kind: Kind, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a frame is short").to_be_bytes();
    let head = [length[1], length[2], length[3], kind as u8, flags];
    [&head, &stream.to_be_bytes()[..], payload].concat()
}

/// A header block of literals that are never indexed (RFC 7541, section 6.2.3).
#[must_use]
pub fn block(headers: &[(&str, &str)]) -> Vec<u8> {
    headers.iter().flat_map(|(name, value)| literal(0x10, name, value)).collect()
}

/// The header block that every request begins with.
#[must_use]
pub fn request(authority: &str, path: &str) -> Vec<u8> {
    block(&[(":method", "GET"), (":scheme", "http"), (":path", path), (":authority", authority)])
}

/// A header that the other side remembers, to be named again by [`AGAIN`] (RFC 7541, section 6.2.1).
#[must_use]
pub fn remembered(name: &str, value: &str) -> Vec<u8> {
    literal(0x40, name, value)
}

/// The header that was remembered last, in one byte.
pub const AGAIN: u8 = 0x80 | 62;

fn literal(kind: u8, name: &str, value: &str) -> Vec<u8> {
    let mut bytes = vec![kind];
    for text in [name, value] {
        integer(&mut bytes, text.len());
        bytes.extend_from_slice(text.as_bytes());
    }
    bytes
}

/// An integer with a prefix of seven bits, all others of which are zero (RFC 7541, section 5.1).
fn integer(bytes: &mut Vec<u8>, number: usize) {
    let Some(mut rest) = number.checked_sub(127) else {
        return bytes.push(u8::try_from(number).expect("seven bits"));
    };
    bytes.push(127);
    while rest >= 128 {
        bytes.push(u8::try_from(rest % 128).expect("seven bits") | 128);
        rest /= 128;
    }
    bytes.push(u8::try_from(rest).expect("seven bits"));
}

/// The status at the beginning of a header block, which stands first (RFC 9113, section 8.3).
fn status(block: &[u8]) -> u16 {
    // A change of the table's size may come before everything else.
    let block = match block {
        [0x20..=0x3e, rest @ ..] => rest,
        [0x3f, rest @ ..] => {
            let more = rest.iter().take_while(|byte| **byte >= 128).count();
            rest.get(more + 1..).unwrap_or_default()
        }
        block => block,
    };
    const LISTED: [u16; 7] = [200, 204, 206, 304, 400, 404, 500];
    match block {
        [indexed @ 0x88..=0x8e, ..] => LISTED[usize::from(indexed - 0x88)],
        [0x08 | 0x18 | 0x48, length, text @ ..] => {
            let text = text.get(..usize::from(length & 0x7f)).unwrap_or_default();
            let digits = if length & 0x80 == 0 { text.to_vec() } else { digits(text) };
            String::from_utf8_lossy(&digits).parse().unwrap_or(0)
        }
        _ => 0,
    }
}

/// Three digits in Huffman's code (RFC 7541, appendix B): 0, 1 and 2 have five bits, the others six.
fn digits(text: &[u8]) -> Vec<u8> {
    let bits: Vec<u8> =
        text.iter().flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1)).collect();
    let (mut digits, mut at) = (Vec::new(), 0);
    while digits.len() < 3 {
        let number = |length: usize| {
            let bits = bits.get(at..at + length)?;
            Some(bits.iter().fold(0, |number, bit| number * 2 + bit))
        };
        match (number(5), number(6)) {
            (Some(digit @ 0..=2), _) => {
                digits.push(b'0' + digit);
                at += 5;
            }
            (_, Some(digit @ 0x19..=0x1f)) => {
                digits.push(b'3' + digit - 0x19);
                at += 6;
            }
            _ => break,
        }
    }
    digits
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The examples of RFC 7541, appendix C.6, and one of each kind of literal.
    #[test]
    fn a_status_is_read_in_each_form() {
        for (block, expected) in [
            (&[0x88][..], 200),
            (&[0x20, 0x8c], 400),
            (&[0x3f, 0xe1, 0x1f, 0x8d], 404),
            (&[0x48, 0x82, 0x64, 0x02], 302),
            (&[0x48, 0x83, 0x64, 0x0e, 0xff], 307),
            (&[0x08, 0x03, b'4', b'3', b'1'], 431),
            (&[0x90], 0),
        ] {
            assert_eq!(status(block), expected, "{block:x?}");
        }
    }

    #[test]
    fn a_long_literal_says_how_long_it_is() {
        let mut bytes = Vec::new();
        integer(&mut bytes, 126);
        integer(&mut bytes, 127);
        integer(&mut bytes, 127 + 300);
        assert_eq!(bytes, [126, 127, 0, 127, 0xac, 2]);
        assert_eq!(block(&[("a", "b")]), [0x10, 1, b'a', 1, b'b']);
        assert_eq!(remembered("a", "b"), [0x40, 1, b'a', 1, b'b']);
        assert_eq!(frame(Kind::Ping, 1, 3, b"x"), [0, 0, 1, 6, 1, 0, 0, 0, 3, b'x']);
    }
}
