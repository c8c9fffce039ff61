//! Which version of HTTP a plain-text connection speaks.
//!
//! Source: RFC 9113 §3.4.

use std::io;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt as _};

use super::Protocol;

/// How a client that speaks HTTP/2 begins (RFC 9113 §3.4).
pub(super) const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Waits for the first bytes of a plain-text connection and tells which protocol they are.
///
/// No more is read than it takes to tell; what was read has to be handed to [`GuardedSocket::new`](super::GuardedSocket::new). A
/// connection that closes first counts as HTTP/1, in which that is nothing unusual.
///
/// # Errors
/// When reading fails.
pub(crate) async fn sniff<S: AsyncRead + Unpin>(socket: &mut S) -> io::Result<(Protocol, Bytes)> {
    let mut seen = Vec::with_capacity(PREFACE.len());
    while let Some(wanted) = PREFACE.get(seen.len()..).filter(|rest| !rest.is_empty()) {
        let before = seen.len();
        let read = socket.take(wanted.len() as u64).read_buf(&mut seen).await?;
        if read == 0 || seen.get(before..) != wanted.get(..read) {
            return Ok((Protocol::Http1, seen.into()));
        }
    }
    Ok((Protocol::Http2, seen.into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncWriteExt as _;

    /// J14: a preface is looked for byte by byte, so a request that is shorter than one is not waited on.
    #[tokio::test]
    async fn the_first_bytes_tell_which_protocol_it_is() {
        for (sent, protocol, seen) in [
            (&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nmore"[..], Protocol::Http2, 24),
            (b"GET / HTTP/1.0\r\n\r\n", Protocol::Http1, 18),
            (b"PRI * HTTP/1.1\r\n\r\n", Protocol::Http1, 18),
            (b"PUT", Protocol::Http1, 3),
        ] {
            let (mut client, mut ours) = tokio::io::duplex(64);
            client.write_all(sent).await.unwrap();
            let (found, bytes) = sniff(&mut ours).await.unwrap();
            assert_eq!(found, protocol);
            assert!(sent.starts_with(&bytes) && bytes.len() <= seen, "{bytes:?}");
        }
    }
}
