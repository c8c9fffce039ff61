//! Connections to upstreams that may become WebSockets, or carry events: a beginning that may not be late, then silence
//! for as long as both sides like.
//!
//! pingora 0.9.1 looks at an upstream's answer and at the end of the request's (empty) body in no fixed
//! order. When a fast upstream's 101 is there first, the end of the body is taken for the end of the tunnel,
//! and the tunnel is torn down at its birth (cloudflare/pingora#946). A socket that, after every write, says
//! once that there is nothing to read yet makes the order fixed: the end of the body always comes first.
//!
//! A connector of our own bypasses pingora's time limits and socket options, so they are applied here. A
//! tunnel may be silent for as long as both sides like; the answer to its handshake may not be late.
//!
//! Sources: RFC 9110 §7.8; RFC 6455 §4.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use async_trait::async_trait;
use pingora_core::connectors::l4::Connect;
use pingora_core::protocols::l4::socket::SocketAddr;
use pingora_core::protocols::l4::stream::Stream;
use pingora_core::protocols::l4::virt::{VirtualSockOpt, VirtualSocket, VirtualSocketStream};
use pingora_error::{Error, ErrorType, OrErr, Result};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::{Instant, Sleep};

/// Connects for one handshake.
#[derive(Debug)]
pub(crate) struct HandshakeConnector {
    connect_timeout: Duration,
    answer_timeout: Duration,
    answered: Arc<AtomicBool>,
}

/// Says to the socket of a handshake that its answer has come.
#[derive(Clone, Debug)]
pub(crate) struct Answered(Arc<AtomicBool>);

impl Answered {
    /// The answer has come; from here on silence is no fault.
    pub(crate) fn tell(&self) {
        self.0.store(true, Ordering::Release);
    }
}

impl HandshakeConnector {
    /// A connector that waits for a connection and for the answer to a handshake as long as it is told.
    pub(crate) fn new(connect_timeout: Duration, answer_timeout: Duration) -> (Self, Answered) {
        let answered = Arc::new(AtomicBool::new(false));
        let connector = Self { connect_timeout, answer_timeout, answered: Arc::clone(&answered) };
        (connector, Answered(answered))
    }

    fn guard<S>(&self, socket: S) -> HandshakeSocket<S> {
        HandshakeSocket {
            socket,
            wrote: false,
            answered: Arc::clone(&self.answered),
            late: Box::pin(tokio::time::sleep_until(Instant::now() + self.answer_timeout)),
        }
    }
}

#[async_trait]
impl Connect for HandshakeConnector {
    async fn connect(&self, address: &SocketAddr) -> Result<Stream> {
        let connecting = async {
            match address {
                SocketAddr::Inet(address) => {
                    let socket = TcpStream::connect(address).await?;
                    socket.set_nodelay(true)?;
                    // A silent tunnel is noticed when its other end is gone.
                    rustix::net::sockopt::set_socket_keepalive(&socket, true)?;
                    Ok(VirtualSocketStream::new(Box::new(self.guard(socket))))
                }
                SocketAddr::Unix(address) => {
                    let path = address.as_pathname().ok_or(io::ErrorKind::InvalidInput)?;
                    let socket = UnixStream::connect(path).await?;
                    Ok(VirtualSocketStream::new(Box::new(self.guard(socket))))
                }
            }
        };
        let connected: io::Result<VirtualSocketStream> =
            tokio::time::timeout(self.connect_timeout, connecting)
                .await
                .map_err(|_| Error::new(ErrorType::ConnectTimedout))?;
        Ok(connected.or_err(ErrorType::ConnectError, "connecting for a WebSocket")?.into())
    }
}

/// A socket on which a read that follows a write is put off once.
#[derive(Debug)]
struct HandshakeSocket<S> {
    socket: S,
    wrote: bool,
    answered: Arc<AtomicBool>,
    late: Pin<Box<Sleep>>,
}

impl<S: AsyncRead + Unpin> AsyncRead for HandshakeSocket<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if std::mem::take(&mut self.wrote) {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        match Pin::new(&mut self.socket).poll_read(context, into) {
            Poll::Pending if !self.answered.load(Ordering::Acquire) => {
                ready!(self.late.as_mut().poll(context));
                Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
            }
            outcome @ (Poll::Ready(_) | Poll::Pending) => outcome,
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for HandshakeSocket<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.wrote = true;
        Pin::new(&mut self.socket).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(context)
    }
}

impl<S> VirtualSocket for HandshakeSocket<S>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + Sync + std::fmt::Debug,
{
    /// They were set when the socket was connected.
    fn set_socket_option(&self, _: VirtualSockOpt) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    fn connector() -> (HandshakeConnector, Answered) {
        HandshakeConnector::new(Duration::from_secs(1), Duration::from_secs(5))
    }

    /// cloudflare/pingora#946: whatever is due when a request has been written comes before its answer.
    #[tokio::test]
    async fn the_first_read_after_a_write_is_put_off_once() {
        let (ours, mut theirs) = tokio::io::duplex(64);
        let (connector, _answered) = connector();
        let mut socket = connector.guard(ours);
        theirs.write_all(b"101").await.unwrap();
        socket.write_all(b"GET").await.unwrap();

        let mut context = Context::from_waker(std::task::Waker::noop());
        let mut bytes = [0; 8];
        let mut into = ReadBuf::new(&mut bytes);
        assert!(Pin::new(&mut socket).poll_read(&mut context, &mut into).is_pending());
        assert!(Pin::new(&mut socket).poll_read(&mut context, &mut into).is_ready());
        assert_eq!(into.filled(), b"101");
    }

    #[tokio::test(start_paused = true)]
    async fn a_handshake_must_be_answered_in_time_but_a_tunnel_may_be_silent() {
        let (ours, _theirs) = tokio::io::duplex(64);
        let (connector, answered) = connector();
        let mut socket = connector.guard(ours);
        let error = socket.read_u8().await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);

        answered.tell();
        let silence = tokio::time::timeout(Duration::from_secs(3600), socket.read_u8());
        assert!(silence.await.is_err(), "nothing but the test's own patience ends it");
    }
}
