//! A socket while something on it may have to end before its time.
//!
//! Only what has a [`Tether`] comes here; all other requests cost one look at a flag.

use std::io;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use super::tunnel::{self, Next, Passage, Tunnel};
use super::{Connection, GuardedSocket, Protocol};
use crate::tether::Tether;

impl Connection {
    /// The request under way ends with `tether`. Over HTTP/2 a connection has many, none of which ends the others.
    pub(crate) fn tie(&self, tether: &Arc<Tether>) {
        if self.protocol == Protocol::Http1 {
            *self.tether.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(tether));
            self.tied.store(true, Ordering::Release);
        }
    }

    fn tether(&self) -> Option<Arc<Tether>> {
        if !self.tied.load(Ordering::Acquire) {
            return None;
        }
        self.tether.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The request under way has come to its end.
    pub(super) fn untie(&self) {
        if self.tied.swap(false, Ordering::AcqRel) {
            *self.tether.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> GuardedSocket<S> {
    /// What passes through here, if it has a tether.
    fn tunnel(&mut self) -> Option<&mut Tunnel> {
        let tether = self.connection.tether()?;
        if self.tunnel.as_ref().is_none_or(|tunnel| !tunnel.is_of(&tether)) {
            self.tunnel = Some(Box::new(Tunnel::new(Arc::clone(&tether))));
        }
        self.tunnel.as_deref_mut()
    }

    /// Reads while there is a tether: from the client until it has to end, then what there is to say of that.
    pub(super) fn poll_read_tied(
        &mut self,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Some(tether) = self.connection.tether() else { return Poll::Ready(Err(tunnel::cut())) };
        loop {
            let ending = tether.ending_or_wake(context);
            let Some(tunnel) = self.tunnel() else { return Poll::Ready(Err(tunnel::cut())) };
            match tunnel.next(ending, Instant::now()) {
                Next::Client => {
                    let before = into.filled().len();
                    ready!(self.poll_some(context, into))?;
                    if let Some(tunnel) = self.tunnel() {
                        tunnel.went_up(into.filled().get(before..).unwrap_or_default());
                    }
                    return Poll::Ready(Ok(()));
                }
                Next::Wait(until) => {
                    self.set_timer(until);
                    ready!(self.timer.as_mut().poll(context));
                }
                Next::Tell => ready!(self.poll_tell(context))?,
                Next::Frame(frame) if frame.len() <= into.remaining() => {
                    into.put_slice(&frame);
                    return Poll::Ready(Ok(()));
                }
                Next::Frame(_) | Next::End => return Poll::Ready(Ok(())),
                Next::Cut => return Poll::Ready(Err(tunnel::cut())),
            }
        }
    }

    /// Tells the client of a tunnel that it ends.
    fn poll_tell(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(tunnel) = &mut self.tunnel else { return Poll::Ready(Ok(())) };
        while let Some(rest) = tunnel.untold().filter(|rest| !rest.is_empty()) {
            let written = ready!(Pin::new(&mut self.stream).poll_write(context, rest))?;
            tunnel.told(written);
        }
        ready!(Pin::new(&mut self.stream).poll_flush(context))?;
        tunnel.was_told();
        self.connection.read_on_after_close();
        Poll::Ready(Ok(()))
    }

    /// Writes while there is a tether, and nothing of the application's once it has to end.
    pub(super) fn poll_write_tied(
        &mut self,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let most = match self.tunnel().map(|tunnel| tunnel.passage(bytes)) {
            Some(Passage::Write(most)) => most,
            Some(Passage::Drop) => return Poll::Ready(Ok(bytes.len())),
            Some(Passage::Closed) => return Poll::Ready(Err(tunnel::cut())),
            None => bytes.len(),
        };
        let part = bytes.get(..most).unwrap_or(bytes);
        let written = ready!(Pin::new(&mut self.stream).poll_write(context, part))?;
        if let Some(tunnel) = &mut self.tunnel {
            tunnel.went_down(part.get(..written).unwrap_or(part));
        }
        Poll::Ready(Ok(written))
    }
}
