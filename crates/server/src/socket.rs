//! A client's socket, with the deadlines and limits that pingora does not keep.
//!
//! pingora gives every *read* of a header a time limit, so a header that arrives a byte at a time holds a
//! connection for as long as its sender likes; and between two requests it waits for ever. This socket
//! counts from the first byte of a request to the end of its header block, bounds the bytes in between, and
//! bounds the silence between requests. It also speaks for us where pingora answers before any filter of
//! ours is asked, so such answers do not carry pingora's name, and it reads on for a moment after closing
//! with a request half read, because the kernel would otherwise take our answer back (RFC 9112 §9.6).
//!
//! While an application is waited for it watches the time as well: pingora looks here for a client that leaves, and
//! one timer for each connection, which rarely has to be moved, costs less than one for each answer.
//!
//! The filters tell it where a connection stands through [`Connection`], which they find in the digest that
//! pingora hands to every request. HTTP/2 has limits of its own; there only the preface is waited for.
//!
//! Sources: RFC 9112 §2.2, §9.3, §9.5, §9.6; RFC 9113 §3.4; RFC 6585 §5.

mod buffered;
mod connection;
mod preface;
mod refusal;
mod stream;
mod tied;
mod tunnel;

use std::fmt;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use pingora_core::protocols::raw_connect::ProxyDigest;
use pingora_http::ResponseHeader;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use self::buffered::Buffered;
use self::connection::Stage;
pub(crate) use self::connection::{Connection, Protocol};
pub(crate) use self::preface::sniff;
use self::tunnel::Tunnel;
use crate::turned_away::Cause;

/// How long and how far a request that was refused half read is read on, so that its sender sees our answer.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES_MAX: usize = 256 * 1024;

/// What a socket allows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SocketLimits {
    /// The most bytes from the first of a request to the end of its header block.
    pub(crate) head_bytes_max: usize,
    /// From the first byte of a request to the end of its header block; on a fresh connection, from its
    /// beginning.
    pub(crate) head_timeout: Duration,
    /// From the end of a response to the first byte of the next request.
    pub(crate) idle_timeout: Duration,
}

/// A client's socket.
pub(crate) struct GuardedSocket<S> {
    stream: Buffered<S>,
    connection: Arc<Connection>,
    /// The same, as pingora carries it to the filters.
    digest: Arc<ProxyDigest>,
    /// Read before this socket was made.
    replay: Bytes,
    limits: SocketLimits,
    /// Bytes of the header block that is being read.
    head_bytes: usize,
    /// When the current wait ends, and what it is about.
    wait: Wait,
    timer: Pin<Box<Sleep>>,
    /// Whom the timer wakes, unless it was set since.
    woken: Option<Waker>,
    /// What is still to be sent of our own last word on this connection.
    refusal: Option<&'static [u8]>,
    linger: Linger,
    /// What passes, where that may have to end before its time.
    tunnel: Option<Box<Tunnel>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wait {
    /// For the next request.
    Idle { until: Instant },
    /// For the rest of a header block. Most come whole, so the clock is read when one does not.
    Head { until: Option<Instant> },
    /// For an application to say something. The clock is read when there is nothing to do but wait.
    Answer { until: Option<Instant> },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Linger {
    NotYet,
    Reading { until: Instant, bytes: usize },
    Done,
}

impl<S> GuardedSocket<S> {
    /// A socket for `connection` over `stream`, of which `replay` was read already.
    pub(crate) fn new(
        stream: S,
        connection: Arc<Connection>,
        replay: Bytes,
        limits: SocketLimits,
    ) -> pingora_error::Result<Self>
    where
        S: AsyncWrite,
    {
        // pingora's place for what a proxy in front of us said; we carry our own view of the connection in it.
        let head = Box::new(ResponseHeader::build(200, Some(0))?);
        let digest = ProxyDigest::new(head, Some(Box::new(Arc::clone(&connection))));
        let until = Instant::now() + limits.head_timeout;
        Ok(Self {
            stream: Buffered::new(stream),
            connection,
            digest: Arc::new(digest),
            replay,
            limits,
            head_bytes: 0,
            wait: Wait::Head { until: Some(until) },
            timer: Box::pin(tokio::time::sleep_until(until)),
            woken: None,
            refusal: None,
            linger: Linger::NotYet,
            tunnel: None,
        })
    }

    /// Follows what the filters said about the connection.
    fn follow(&mut self, stage: Stage) {
        match (stage, self.wait) {
            (Stage::Busy, Wait::Answer { .. })
            | (Stage::Idle, Wait::Idle { .. })
            | (Stage::Head, Wait::Head { .. }) => {}
            (Stage::Busy, Wait::Idle { .. } | Wait::Head { .. }) => self.answer_goes_on(),
            (Stage::Idle, Wait::Head { .. } | Wait::Answer { .. }) => {
                let now = Instant::now();
                self.wait = Wait::Idle { until: now + self.limits.idle_timeout };
                self.head_bytes = 0;
                self.tunnel = None;
                self.connection.idleness.begins(now, &self.connection.entrance.places);
            }
            (Stage::Head, Wait::Idle { .. } | Wait::Answer { .. }) => {
                self.wait = Wait::Head { until: None };
            }
        }
    }

    /// Something was said, by either side: the application's time begins anew.
    fn answer_goes_on(&mut self) {
        self.wait = Wait::Answer { until: None };
    }

    /// Whether the current wait is over. Wakes the task when it will be.
    fn poll_overdue(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let until = match &mut self.wait {
            Wait::Idle { until } => *until,
            Wait::Head { until } => {
                *until.get_or_insert_with(|| Instant::now() + self.limits.head_timeout)
            }
            Wait::Answer { until } => {
                let Some(patience) = self.connection.patience() else { return Poll::Pending };
                *until.get_or_insert_with(|| Instant::now() + patience)
            }
        };
        // A timer that rings too early is left alone and set anew when it rings. Moving it at every request would cost
        // more than the rest of this socket.
        if self.timer.deadline() <= until
            && !self.timer.is_elapsed()
            && self.woken.as_ref().is_some_and(|woken| woken.will_wake(context.waker()))
        {
            return Poll::Pending;
        }
        loop {
            if self.timer.deadline() > until {
                self.set_timer(until);
            }
            // A task that has had its share would be told to wait without the timer knowing of it.
            let mut timer = pin!(tokio::task::unconstrained(self.timer.as_mut()));
            if timer.as_mut().poll(context).is_pending() {
                self.woken = Some(context.waker().clone());
                return Poll::Pending;
            }
            if Instant::now() >= until {
                return Poll::Ready(());
            }
            self.set_timer(until);
        }
    }

    fn set_timer(&mut self, until: Instant) {
        self.timer.as_mut().reset(until);
        self.woken = None;
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> GuardedSocket<S> {
    /// Reads what is there, but not beyond the longest header block while one is being read.
    fn poll_some(
        &mut self,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<usize>> {
        let before = into.filled().len();
        if !self.replay.is_empty() {
            let length = self.replay.len().min(into.remaining());
            into.put_slice(self.replay.get(..length).unwrap_or_default());
            self.replay.advance(length);
            return Poll::Ready(Ok(length));
        }
        let most = match self.wait {
            Wait::Answer { .. } => into.remaining(),
            Wait::Idle { .. } | Wait::Head { .. } => self.limits.head_bytes_max - self.head_bytes,
        };
        if most >= into.remaining() {
            ready!(Pin::new(&mut self.stream).poll_read(context, into))?;
        } else {
            let mut part = ReadBuf::new(into.initialize_unfilled_to(most));
            ready!(Pin::new(&mut self.stream).poll_read(context, &mut part))?;
            let length = part.filled().len();
            into.advance(length);
        }
        Poll::Ready(Ok(into.filled().len() - before))
    }

    /// Reads while a request is served: mostly to see that its client is still there.
    fn poll_read_busy(
        &mut self,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.connection.begins_to_wait() {
            // Another copy, perhaps, after one that used its time up and broke off.
            self.answer_goes_on();
        }
        let read = match self.connection.tied.load(Ordering::Acquire) {
            true => self.poll_read_tied(context, into),
            false => self.poll_some(context, into).map_ok(drop),
        };
        if read.is_ready() {
            self.answer_goes_on();
            return read;
        }
        ready!(self.poll_overdue(context));
        self.connection.waited_in_vain.store(true, Ordering::Release);
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }

    /// Makes our last word on this connection the one for `cause`, unless it was said.
    fn refuse(&mut self, cause: Cause) {
        if self.refusal.is_none() {
            self.connection.entrance.turned_away(self.connection.peer, cause);
            self.refusal = Some(refusal::of(cause));
        }
    }

    /// Sends our last word. Afterwards the connection reads as closed.
    fn poll_refuse(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(rest) = self.refusal.filter(|rest| !rest.is_empty()) {
            let written = ready!(Pin::new(&mut self.stream).poll_write(context, rest))?;
            self.refusal = rest.get(written..);
        }
        ready!(Pin::new(&mut self.stream).poll_flush(context))?;
        self.connection.read_on_after_close();
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for GuardedSocket<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.refusal.is_some() {
            return this.poll_refuse(context);
        }
        let stage = this.connection.stage();
        this.follow(stage);
        if stage == Stage::Busy {
            return this.poll_read_busy(context, into);
        }
        if stage == Stage::Idle && this.connection.idleness.is_to_leave(context) {
            // Somebody else needs the place.
            return Poll::Ready(Ok(()));
        }
        if stage == Stage::Head && this.head_bytes >= this.limits.head_bytes_max {
            this.refuse(Cause::HeadersTooLarge);
            return this.poll_refuse(context);
        }
        let before = into.filled().len();
        if let Poll::Ready(read) = this.poll_some(context, into) {
            let read = read?;
            if stage == Stage::Idle && read > 0 && !this.connection.idleness.ends() {
                // It came in the moment in which the connection was told to leave; clients ask again (RFC 9112 §9.3.1).
                into.set_filled(before);
                return Poll::Ready(Ok(()));
            }
            match this.connection.protocol {
                _ if read == 0 => {}
                Protocol::Http1 => {
                    this.connection.enter(Stage::Head);
                    this.follow(Stage::Head);
                    this.head_bytes += read;
                }
                // The preface begins; from here on HTTP/2 has its own limits.
                Protocol::Http2 => this.connection.enter(Stage::Busy),
            }
            return Poll::Ready(Ok(()));
        }
        if stage == Stage::Idle {
            this.stream.rest();
        }
        ready!(this.poll_overdue(context));
        if this.head_bytes > 0 {
            this.refuse(Cause::RequestTimeout);
            return this.poll_refuse(context);
        }
        // Nobody was speaking; there is nobody to answer.
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for GuardedSocket<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.connection.protocol == Protocol::Http1 && this.connection.stage() == Stage::Head {
            // No filter of ours was asked, so this is pingora refusing what it cannot read. We say it instead.
            this.refuse(Cause::RequestMalformed);
            ready!(this.poll_refuse(context))?;
            return Poll::Ready(Ok(bytes.len()));
        }
        this.answer_goes_on();
        if this.connection.tied.load(Ordering::Acquire) {
            return this.poll_write_tied(context, bytes);
        }
        Pin::new(&mut this.stream).poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.linger == Linger::NotYet {
            ready!(Pin::new(&mut this.stream).poll_shutdown(context))?;
            this.linger = if this.connection.lingers.load(Ordering::Acquire) {
                let until = Instant::now() + LINGER;
                this.set_timer(until);
                Linger::Reading { until, bytes: 0 }
            } else {
                Linger::Done
            };
        }
        while let Linger::Reading { until, bytes } = this.linger {
            let mut scratch = [0_u8; 4096];
            let mut scratch = ReadBuf::new(&mut scratch);
            match Pin::new(&mut this.stream).poll_read(context, &mut scratch) {
                Poll::Ready(Ok(())) if !scratch.filled().is_empty() && bytes < LINGER_BYTES_MAX => {
                    this.linger = Linger::Reading { until, bytes: bytes + scratch.filled().len() };
                }
                Poll::Ready(_) => this.linger = Linger::Done,
                Poll::Pending => {
                    ready!(this.timer.as_mut().poll(context));
                    this.linger = Linger::Done;
                }
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<S> fmt::Debug for GuardedSocket<S> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("GuardedSocket")
            .field("connection", &self.connection)
            .field("wait", &self.wait)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;

    use crate::listener::Entrance;
    use crate::turned_away::tests::Notebook;
    use lychgate_gateway::forwarded::Peer;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};

    const LIMITS: SocketLimits = SocketLimits {
        head_bytes_max: 32,
        head_timeout: Duration::from_secs(10),
        idle_timeout: Duration::from_secs(75),
    };

    /// A client, the socket that serves it, and what the filters would say about it.
    fn accepted(
        protocol: Protocol,
    ) -> (DuplexStream, GuardedSocket<DuplexStream>, Arc<Connection>) {
        let (client, socket, connection, _) = witnessed(protocol);
        (client, socket, connection)
    }

    /// The same, and whoever is told of connections that come to nothing.
    fn witnessed(
        protocol: Protocol,
    ) -> (DuplexStream, GuardedSocket<DuplexStream>, Arc<Connection>, Arc<Notebook>) {
        let (client, ours) = tokio::io::duplex(1024);
        let witness = Arc::new(Notebook::default());
        let entrance = Arc::new(Entrance::plain("test", Arc::clone(&witness) as _));
        let connection = Arc::new(Connection::new(entrance, Peer::Unix, protocol));
        let socket =
            GuardedSocket::new(ours, Arc::clone(&connection), Bytes::new(), LIMITS).unwrap();
        (client, socket, connection, witness)
    }

    async fn read(socket: &mut GuardedSocket<DuplexStream>) -> usize {
        let mut bytes = [0; 64];
        socket.read(&mut bytes).await.unwrap()
    }

    /// Reads until the socket says that the connection is closed, and how long that took.
    async fn read_to_end(socket: &mut GuardedSocket<DuplexStream>) -> Duration {
        let begin = Instant::now();
        while read(socket).await > 0 {}
        begin.elapsed()
    }

    async fn answer(mut client: DuplexStream, socket: GuardedSocket<DuplexStream>) -> String {
        drop(socket);
        let mut text = String::new();
        client.read_to_string(&mut text).await.unwrap();
        text
    }

    /// R19, K3: a header that drips does not hold a connection for longer than one that does not.
    #[tokio::test(start_paused = true)]
    async fn a_header_that_drips_is_cut_at_its_deadline() {
        let (mut client, mut socket, _) = accepted(Protocol::Http1);
        let dripping = tokio::spawn(async move {
            for _ in 0..4 {
                client.write_all(b"G").await.unwrap();
                tokio::time::sleep(Duration::from_secs(4)).await;
            }
            client
        });

        assert_eq!(read_to_end(&mut socket).await, LIMITS.head_timeout);

        let client = dripping.await.unwrap();
        assert!(answer(client, socket).await.starts_with("HTTP/1.1 408 "));
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_never_speaks_is_left_without_a_word() {
        let (client, mut socket, _) = accepted(Protocol::Http1);
        assert_eq!(read_to_end(&mut socket).await, LIMITS.head_timeout);
        assert_eq!(answer(client, socket).await, "");
    }

    /// K6: exactly as much as is allowed is read.
    #[tokio::test(start_paused = true)]
    async fn a_header_may_be_as_long_as_allowed_and_no_longer() {
        let (mut client, mut socket, connection) = accepted(Protocol::Http1);
        client.write_all(&[b'x'; 32]).await.unwrap();
        assert_eq!(read(&mut socket).await, 32);
        connection.request_begins();
        client.write_all(&[b'b'; 64]).await.unwrap();
        assert_eq!(read(&mut socket).await, 64, "a body has limits elsewhere");

        let (mut client, mut socket, _) = accepted(Protocol::Http1);
        client.write_all(&[b'x'; 33]).await.unwrap();
        assert_eq!(read(&mut socket).await, 32);
        assert_eq!(read(&mut socket).await, 0);
        assert!(answer(client, socket).await.starts_with("HTTP/1.1 431 "));
    }

    #[tokio::test(start_paused = true)]
    async fn silence_between_requests_has_its_own_limit() {
        let (mut client, mut socket, connection) = accepted(Protocol::Http1);
        client.write_all(b"first").await.unwrap();
        assert_eq!(read(&mut socket).await, 5);
        connection.request_begins();
        tokio::time::sleep(Duration::from_secs(3600)).await;
        connection.request_ends();

        assert_eq!(read_to_end(&mut socket).await, LIMITS.idle_timeout);
        assert_eq!(answer(client, socket).await, "", "nobody asked for anything");
    }

    #[tokio::test(start_paused = true)]
    async fn the_next_header_begins_with_its_first_byte() {
        let (mut client, mut socket, connection) = accepted(Protocol::Http1);
        client.write_all(&[b'1'; 32]).await.unwrap();
        assert_eq!(read(&mut socket).await, 32);
        connection.request_begins();
        connection.request_ends();

        let next = tokio::spawn(async move {
            tokio::time::sleep(Duration::from_secs(70)).await;
            client.write_all(&[b'2'; 30]).await.unwrap();
            client
        });
        assert_eq!(read(&mut socket).await, 30, "it may be as long as the first");
        assert_eq!(read_to_end(&mut socket).await, LIMITS.head_timeout);
        assert!(answer(next.await.unwrap(), socket).await.starts_with("HTTP/1.1 408 "));
    }

    /// What pingora says before it asks a filter would carry its name.
    #[tokio::test(start_paused = true)]
    async fn a_refusal_of_what_is_not_http_is_in_our_words() {
        let (mut client, mut socket, _) = accepted(Protocol::Http1);
        client.write_all(b"nonsense").await.unwrap();
        assert_eq!(read(&mut socket).await, 8);
        socket.write_all(b"HTTP/1.1 400 Bad Request\r\nServer: Pingora\r\n\r\n").await.unwrap();
        socket.flush().await.unwrap();

        let text = answer(client, socket).await;
        assert!(text.starts_with("HTTP/1.1 400 ") && !text.contains("Pingora"), "{text}");
    }

    /// Whatever is refused is told of once; a client that never speaks, or leaves, is not refused.
    #[tokio::test(start_paused = true)]
    async fn each_refusal_is_told_of_once() {
        for (sent, pingora_answers, expected) in [
            (&[b'x'; 33][..], false, &[Cause::HeadersTooLarge][..]),
            (b"GET", false, &[Cause::RequestTimeout]),
            (b"nonsense", true, &[Cause::RequestMalformed]),
            (b"", false, &[]),
        ] {
            let (mut client, mut socket, _, witness) = witnessed(Protocol::Http1);
            client.write_all(sent).await.unwrap();
            if pingora_answers {
                read(&mut socket).await;
                socket.write_all(b"HTTP/1.1 400 Bad Request\r\n").await.unwrap();
                socket.write_all(b"\r\n").await.unwrap();
            }
            read_to_end(&mut socket).await;
            read_to_end(&mut socket).await;
            assert_eq!(witness.causes(), expected, "{sent:?}");
        }
    }

    /// RFC 9112 §9.6: what is still on its way must not take our answer back.
    #[tokio::test(start_paused = true)]
    async fn a_connection_that_is_closed_half_read_is_read_on_for_a_moment() {
        let (mut client, mut socket, connection) = accepted(Protocol::Http1);
        connection.request_begins();
        connection.read_on_after_close();
        client.write_all(b"the rest of a body").await.unwrap();

        let begin = Instant::now();
        tokio::io::AsyncWriteExt::shutdown(&mut socket).await.unwrap();
        assert_eq!(begin.elapsed(), LINGER);
        client.write_all(&[0; 1024]).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_preface_that_does_not_come_is_not_waited_for() {
        let (_client, mut socket, _) = accepted(Protocol::Http2);
        assert_eq!(read_to_end(&mut socket).await, LIMITS.head_timeout);

        let (mut client, mut socket, _) = accepted(Protocol::Http2);
        client.write_all(preface::PREFACE).await.unwrap();
        assert_eq!(read(&mut socket).await, preface::PREFACE.len());
        let silence = tokio::time::timeout(Duration::from_secs(3600), read(&mut socket)).await;
        assert!(silence.is_err(), "HTTP/2 has a limit of its own");
    }

    /// A connection with a request under way, whose application may be silent for three seconds.
    async fn waiting() -> (DuplexStream, GuardedSocket<DuplexStream>, Arc<Connection>) {
        let (mut client, mut socket, connection) = accepted(Protocol::Http1);
        client.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
        assert_eq!(read(&mut socket).await, 18);
        connection.request_begins();
        assert!(connection.watches(Duration::from_secs(3)));
        (client, socket, connection)
    }

    /// R11: from the request to the answer, and between its pieces.
    #[tokio::test(start_paused = true)]
    async fn an_application_may_be_silent_for_so_long() {
        let (_client, mut socket, connection) = waiting().await;
        let begin = Instant::now();
        for piece in 1..=3 {
            let wait = tokio::time::timeout(Duration::from_secs(2), socket.read_u8()).await;
            assert!(wait.is_err(), "before piece {piece}");
            socket.write_all(b"piece").await.unwrap();
        }
        assert_eq!(begin.elapsed().as_secs(), 6);
        assert!(!connection.waited_in_vain());

        let begin = Instant::now();
        let error = socket.read_u8().await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(begin.elapsed().as_secs(), 3);
        assert!(connection.waited_in_vain());
    }

    /// R11: each request has its own time, and one that nobody asked to be watched has all the time that there is.
    #[tokio::test(start_paused = true)]
    async fn an_answer_takes_no_time_from_the_next() {
        let (mut client, mut socket, connection) = waiting().await;
        assert!(tokio::time::timeout(Duration::from_secs(2), socket.read_u8()).await.is_err());
        socket.write_all(b"answer").await.unwrap();
        connection.request_ends();
        client.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
        assert_eq!(read(&mut socket).await, 18);
        connection.request_begins();
        assert!(tokio::time::timeout(Duration::from_secs(3600), socket.read_u8()).await.is_err());

        assert!(connection.watches(Duration::from_secs(3)));
        assert!(tokio::time::timeout(Duration::from_secs(2), socket.read_u8()).await.is_err());
        assert_eq!(socket.read_u8().await.unwrap_err().kind(), io::ErrorKind::TimedOut);
    }

    /// R11: a task that had much to do before it waits, waits no longer for that.
    #[tokio::test(start_paused = true)]
    async fn an_application_is_not_waited_for_longer_by_a_busy_task() {
        let (_client, mut socket, _connection) = waiting().await;
        let mut is_spent = false;
        let reading = poll_fn(|context| {
            while !is_spent {
                match tokio::task::coop::poll_proceed(context) {
                    Poll::Ready(progress) => progress.made_progress(),
                    Poll::Pending => is_spent = true,
                }
            }
            Pin::new(&mut socket).poll_read(context, &mut ReadBuf::new(&mut [0]))
        });
        let began = Instant::now();
        let read = tokio::time::timeout(Duration::from_secs(60), reading).await;
        assert_eq!(read.expect("an end").unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert_eq!(began.elapsed().as_secs(), 3);
    }

    /// Over HTTP/2 answers come side by side, and each has a limit of its own elsewhere.
    #[tokio::test]
    async fn a_connection_with_many_answers_watches_none() {
        let (_client, _socket, connection) = accepted(Protocol::Http2);
        assert!(!connection.watches(Duration::from_secs(3)));
    }
}
