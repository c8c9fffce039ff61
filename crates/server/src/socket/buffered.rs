//! A stream whose small writes go out together, and whose buffer is there only while something is written.
//!
//! Most connections wait for their next request most of the time. A buffer that each of them kept would be an eighth of
//! what a connection costs at rest.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What a whole answer of usual size fits into, so that it costs one write.
pub(super) const BUFFER_BYTES: usize = 4096;

/// A stream with a buffer for what is written.
#[derive(Debug)]
pub(super) struct Buffered<S> {
    stream: S,
    waiting: Vec<u8>,
    /// How many of the bytes that wait were sent already.
    sent: usize,
}

impl<S> Buffered<S> {
    pub(super) fn new(stream: S) -> Self {
        Self { stream, waiting: Vec::new(), sent: 0 }
    }

    /// Gives the buffer back, if nothing waits in it.
    pub(super) fn rest(&mut self) {
        if self.waiting.is_empty() {
            self.waiting = Vec::new();
        }
    }
}

impl<S: AsyncWrite + Unpin> Buffered<S> {
    /// Sends everything that waits.
    fn poll_send(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(rest) = self.waiting.get(self.sent..).filter(|rest| !rest.is_empty()) {
            match ready!(Pin::new(&mut self.stream).poll_write(context, rest))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                sent => self.sent += sent,
            }
        }
        self.waiting.clear();
        self.sent = 0;
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Buffered<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_read(context, into)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Buffered<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.waiting.len() + bytes.len() > BUFFER_BYTES {
            ready!(this.poll_send(context))?;
        }
        if bytes.len() >= BUFFER_BYTES {
            return Pin::new(&mut this.stream).poll_write(context, bytes);
        }
        if this.waiting.capacity() == 0 {
            this.waiting.reserve_exact(BUFFER_BYTES);
        }
        this.waiting.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_send(context))?;
        Pin::new(&mut this.stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_send(context))?;
        Pin::new(&mut this.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    /// Whatever the sizes of the pieces, and however little the other side takes at a time, everything arrives once and
    /// in order.
    #[tokio::test]
    async fn everything_arrives_once_and_in_order() {
        let (ours, mut theirs) = tokio::io::duplex(100);
        let pieces = [1, 4095, 4096, 0, 7, 9000, 4000, 4000, 96, 1].map(|length| {
            (0..length).map(|at| u8::try_from((at + length) % 251).unwrap()).collect::<Vec<_>>()
        });
        let expected = pieces.concat();
        let writing = tokio::spawn(async move {
            let mut ours = Buffered::new(ours);
            for piece in &pieces {
                ours.write_all(piece).await.unwrap();
                ours.rest();
            }
            ours.shutdown().await.unwrap();
        });

        let mut arrived = Vec::new();
        theirs.read_to_end(&mut arrived).await.unwrap();
        writing.await.unwrap();
        assert!(arrived == expected, "{} of {} bytes", arrived.len(), expected.len());
    }

    /// K7: small writes are one, and a connection at rest has no buffer.
    #[tokio::test]
    async fn small_writes_are_one_and_rest_costs_nothing() {
        let (ours, mut theirs) = tokio::io::duplex(1024);
        let mut ours = Buffered::new(ours);
        ours.write_all(b"head, ").await.unwrap();
        ours.rest();
        ours.write_all(b"body").await.unwrap();
        ours.flush().await.unwrap();

        let mut bytes = [0; 64];
        let length = theirs.read(&mut bytes).await.unwrap();
        assert_eq!(&bytes[..length], b"head, body");
        ours.rest();
        assert_eq!(ours.waiting.capacity(), 0);
    }

    #[tokio::test]
    async fn a_stream_that_takes_nothing_more_is_an_error() {
        let (ours, theirs) = tokio::io::duplex(8);
        drop(theirs);
        let mut ours = Buffered::new(ours);
        ours.write_all(b"nobody hears this").await.unwrap();
        assert!(ours.flush().await.is_err());
    }
}
