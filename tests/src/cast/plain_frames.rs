//! A client of HTTP/2 that sends the frames that it is told to send, and no others.
//!
//! Header blocks are written without compression, except where a story is about compression. What comes back is read
//! frame by frame.
//!
//! Sources: RFC 9113 §4, §6; RFC 7541 §6.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::timeout;

use super::gate::PATIENCE;

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// A piece of a body.
    Data = 0,
    /// The beginning of a header block.
    Headers = 1,
    /// What nobody heeds any more.
    Priority = 2,
    /// The end of a stream.
    RstStream = 3,
    /// What one side asks of the other.
    Settings = 4,
    /// A question whether anybody is there.
    Ping = 6,
    /// The last words.
    GoAway = 7,
    /// Room for more.
    WindowUpdate = 8,
    /// More of a header block.
    Continuation = 9,
}

/// Ends a stream, in [`Kind::Data`] and [`Kind::Headers`].
pub const END_STREAM: u8 = 1;
/// Ends a header block.
pub const END_HEADERS: u8 = 4;

/// A frame that came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// What it is: a [`Kind`] as a number, or one that we do not know.
    pub kind: u8,
    /// Its flags.
    pub flags: u8,
    /// The stream, or 0 for the connection.
    pub stream: u32,
    /// The rest.
    pub payload: Vec<u8>,
}

/// A connection.
#[derive(Debug)]
pub struct Frames {
    reads: OwnedReadHalf,
    writes: OwnedWriteHalf,
}

/// A frame as it is sent.
///
/// # Panics
/// When the payload is longer than a frame can be.
#[must_use]
pub fn frame(kind: Kind, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a payload fits into a frame");
    let [_, length @ ..] = length.to_be_bytes();
    let mut bytes = length.to_vec();
    bytes.extend([kind as u8, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// A field that is written out and not remembered (RFC 7541 §6.2.2).
#[must_use]
pub fn field(name: &str, value: &str) -> Vec<u8> {
    [vec![0], text(name), text(value)].concat()
}

/// A field that is written out and remembered, to be named again by [`AGAIN`] (RFC 7541 §6.2.1).
#[must_use]
pub fn remembered_field(name: &str, value: &str) -> Vec<u8> {
    [vec![0x40], text(name), text(value)].concat()
}

/// The field that was remembered last, in one byte.
pub const AGAIN: u8 = 0x80 | 62;

/// The fields that every request has.
#[must_use]
pub fn request(authority: &str, path: &str) -> Vec<u8> {
    [(":method", "GET"), (":scheme", "http"), (":path", path), (":authority", authority)]
        .iter()
        .flat_map(|(name, value)| field(name, value))
        .collect()
}

fn text(text: &str) -> Vec<u8> {
    // An integer with a prefix of seven bits (RFC 7541 §5.1).
    let (mut bytes, mut length) = (Vec::new(), text.len());
    if length < 127 {
        bytes.extend(u8::try_from(length));
    } else {
        bytes.push(127);
        length -= 127;
        while length >= 128 {
            bytes.extend(u8::try_from(length % 128 + 128));
            length /= 128;
        }
        bytes.extend(u8::try_from(length));
    }
    bytes.extend(text.as_bytes());
    bytes
}

impl Frames {
    /// A connection, opened with these settings.
    ///
    /// # Panics
    /// When nobody listens.
    pub async fn to(address: SocketAddr, settings: &[(u16, u32)]) -> Self {
        let stream = TcpStream::connect(address).await.expect("the gate listens");
        stream.set_nodelay(true).expect("a fresh socket");
        let (reads, writes) = stream.into_split();
        let mut frames = Self { reads, writes };
        let settings = settings
            .iter()
            .flat_map(|(name, value)| [&name.to_be_bytes()[..], &value.to_be_bytes()].concat());
        let settings = frame(Kind::Settings, 0, 0, &settings.collect::<Vec<_>>());
        frames.says(&[b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &settings[..]].concat()).await;
        frames
    }

    /// Sends bytes. Whether the gate still takes any.
    pub async fn says(&mut self, bytes: &[u8]) -> bool {
        matches!(timeout(PATIENCE, self.writes.write_all(bytes)).await, Ok(Ok(())))
    }

    /// The next frame, or `None` when the connection has ended.
    ///
    /// # Panics
    /// When there is neither in time.
    pub async fn hears(&mut self) -> Option<Frame> {
        timeout(PATIENCE, self.read()).await.expect("a frame, or the end")
    }

    /// The next frame of this kind, whatever comes before it; `None` when the connection ends without one.
    ///
    /// # Panics
    /// When there is neither in time.
    pub async fn hears_a(&mut self, kind: Kind) -> Option<Frame> {
        let heard = async {
            loop {
                let frame = self.read().await?;
                if frame.kind == kind as u8 {
                    return Some(frame);
                }
            }
        };
        timeout(PATIENCE, heard).await.expect("such a frame, or the end")
    }

    async fn read(&mut self) -> Option<Frame> {
        let mut head = [0; 9];
        self.reads.read_exact(&mut head).await.ok()?;
        let [a, b, c, kind, flags, stream @ ..] = head;
        let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
        self.reads.read_exact(&mut payload).await.ok()?;
        Some(Frame { kind, flags, stream: u32::from_be_bytes(stream) & 0x7FFF_FFFF, payload })
    }
}
