//! Where clients come in: sockets that listen, and what happens to a connection before it is HTTP.
//!
//! pingora's own listeners accept without a limit, cannot say which port they were given and end the
//! process when a certificate is wrong; so the loops that accept are ours, and pingora is handed sockets. A
//! [`Door`] is bound first, with everything checked, and serves later.
//!
//! A connection counts against one limit over all listeners before anything of it is read. When the limit is
//! reached, who has waited longest for a request leaves; where nobody waits, one newcomer for each listener is
//! kept waiting, and all others in the kernel's queue. A panic while a connection is served ends that connection.

mod change;
mod places;
mod proxy_protocol;
pub(crate) mod unix;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use lychgate_config::config::{Limits, ListenAddress, Listener, ProxyProtocol};
use lychgate_gateway::forwarded::{Peer, TrustedProxies};
use lychgate_gateway::request::Transport;
use lychgate_gateway::world::World;
use pingora_core::apps::{HttpServerApp, HttpServerOptions, ServerApp};
use pingora_core::protocols::Stream;
use pingora_core::protocols::http::v2::server::default_h2_options;
use pingora_core::server::configuration::ServerConf;
use pingora_proxy::{HttpProxy, http_proxy};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket, TcpStream, UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, mpsc, watch};
use tokio::task::{JoinError, JoinSet};
use tokio_rustls::TlsAcceptor;

pub(crate) use self::change::DoorHandle;
use self::places::{Counted, Listed};
pub(crate) use self::places::{Idleness, Places};
use self::unix::{SocketFile, SocketFileError};
use crate::drain::Drain;
use crate::proxy::App;
use crate::socket::{Connection, GuardedSocket, Protocol, SocketLimits, sniff};
use crate::tls::{self, Http2, Served, TlsError};
use crate::turned_away::{Cause, TurnedAway, Witness};
use crate::upstream::TRIES_MAX;

/// From the first byte of a TLS handshake to its end.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// How many connections the kernel keeps for us while we are not accepting.
const BACKLOG: u32 = 1024;

/// How long nothing is accepted after accepting failed: the reason is a lack of something, and trying
/// again at once would only use up more.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(500);

/// How long connections without a request are waited for at the end: clients of HTTP/2 have to be told.
const FAREWELL: Duration = Duration::from_secs(1);

/// How many idle connections to upstreams are kept for each thread.
const POOL_SIZE: usize = 256;

/// All listeners, bound.
#[derive(Debug)]
pub(crate) struct Door {
    listeners: Vec<Bound>,
    limits: SocketLimits,
    places: Arc<Places>,
    /// Listeners that are added while it serves.
    added: (mpsc::UnboundedSender<Bound>, mpsc::UnboundedReceiver<Bound>),
}

/// What the connections of one listener have in common.
#[derive(Debug)]
pub(crate) struct Entrance {
    /// The operator's name for the listener.
    pub(crate) name: String,
    /// Whether it speaks TLS.
    pub(crate) transport: Transport,
    /// What it is for.
    pub(crate) purpose: Purpose,
    /// Whose word about the client's address is believed.
    pub(crate) trusted: TrustedProxies,
    /// The places that all listeners share.
    pub(crate) places: Arc<Places>,
    /// Who is told of connections that are turned away.
    witness: Arc<dyn Witness>,
    http2: Http2,
    proxy_protocol: Option<ProxyProtocol>,
}

/// What a listener is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// To send everybody to the same place on https.
    RedirectToHttps,
    /// To serve.
    Serve,
}

/// How serving ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// Every request was answered.
    Drained,
    /// So many requests were cut off.
    Cut(usize),
}

/// A listener cannot be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BindError {
    /// The address cannot be bound.
    #[error("listener `{listener}` cannot listen on {address}")]
    Address {
        /// The listener.
        listener: String,
        /// The address.
        address: SocketAddr,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// The socket file cannot be made.
    #[error("listener `{listener}` cannot listen on {}", .path.display())]
    File {
        /// The listener.
        listener: String,
        /// The socket file.
        path: PathBuf,
        /// Why.
        #[source]
        cause: SocketFileError,
    },
    /// Its certificate or key cannot be used.
    #[error("listener `{listener}` cannot speak TLS")]
    Tls {
        /// The listener.
        listener: String,
        /// Why.
        #[source]
        cause: Box<TlsError>,
    },
}

impl Entrance {
    /// Tells that `peer` was turned away.
    pub(crate) fn turned_away(&self, peer: Peer, cause: Cause) {
        self.witness.turned_away(&TurnedAway {
            listener: &self.name,
            transport: self.transport,
            peer,
            cause,
        });
    }

    /// Counts a connection of `client` among theirs, until the result is dropped; `None` when they have too many.
    fn share(&self, client: Peer) -> Option<Counted> {
        let counted = if self.trusted.trusts(client) { Peer::Unnamed } else { client };
        let counted = self.places.count(counted);
        if counted.is_none() {
            self.turned_away(client, Cause::TooManyConnections);
        }
        counted
    }

    /// Who is at the other end: whoever connected, or whom they announce where that is asked of them. `None` when
    /// that is not said as it has to be; then there is nothing to serve.
    async fn client<S: AsyncRead + Unpin>(
        &self,
        socket: &mut S,
        peer: Peer,
        patience: Duration,
    ) -> Option<Peer> {
        let Some(version) = self.proxy_protocol else { return Some(peer) };
        if !self.trusted.trusts(peer) {
            self.turned_away(peer, Cause::ProxyNotTrusted);
            return None;
        }
        match proxy_protocol::read(socket, version, peer, patience).await {
            Ok(client) => Some(client),
            Err(error) => {
                tracing::debug!(listener = self.name, %error, "a connection was closed");
                if let Some(cause) = error.cause() {
                    self.turned_away(peer, cause);
                }
                None
            }
        }
    }

    /// A listener in plain text that nobody is believed on.
    #[cfg(test)]
    pub(crate) fn plain(name: &str, witness: Arc<dyn Witness>) -> Self {
        Self {
            name: name.to_owned(),
            transport: Transport::Plain,
            purpose: Purpose::Serve,
            trusted: TrustedProxies::default(),
            places: Arc::new(Places::new(1, None)),
            witness,
            http2: Http2::Off,
            proxy_protocol: None,
        }
    }
}

/// A socket, and how those who come in by it are met.
#[derive(Debug)]
struct Bound {
    /// The address as it was configured.
    address: ListenAddress,
    socket: Listening,
    face: Arc<ArcSwap<Face>>,
    /// Turns true when this listener, or everything, ends.
    closing: watch::Sender<bool>,
}

/// How those who come in by a listener are met; a connection keeps what it began with.
#[derive(Debug)]
struct Face {
    entrance: Arc<Entrance>,
    tls: Option<Arc<Served>>,
}

#[derive(Debug)]
enum Listening {
    Tcp(TcpListener),
    Unix(UnixListener, SocketFile),
}

/// What every task that serves a connection needs.
struct Service<W> {
    proxy: Arc<HttpProxy<App<W>>>,
    limits: SocketLimits,
    /// Of the listener that the connection came in by.
    shutdown: watch::Receiver<bool>,
}

impl<W> Clone for Service<W> {
    fn clone(&self) -> Self {
        Self {
            proxy: Arc::clone(&self.proxy),
            limits: self.limits,
            shutdown: self.shutdown.clone(),
        }
    }
}

impl Door {
    /// Checks every certificate and binds every address; `witness` is told of connections that are turned away. Has to be called inside the runtime that will serve.
    ///
    /// # Errors
    /// [`BindError`], naming the listener. Nothing stays bound.
    pub(crate) fn bind(
        listeners: &[Listener],
        limits: &Limits,
        witness: &Arc<dyn Witness>,
    ) -> Result<Self, BindError> {
        let places = Arc::new(Places::new(limits.connections, limits.connections_per_client));
        let bound = listeners.iter().map(|listener| Bound::new(listener, witness, &places));
        let bound = bound.collect::<Result<_, _>>()?;
        let added = mpsc::unbounded_channel();
        let head_bytes_max =
            limits.header_bytes.saturating_add(limits.uri_bytes).saturating_add(64);
        let limits_of_sockets = SocketLimits {
            head_bytes_max: usize::try_from(head_bytes_max).unwrap_or(usize::MAX),
            head_timeout: limits.header_timeout,
            idle_timeout: limits.idle_timeout,
        };
        Ok(Self { listeners: bound, limits: limits_of_sockets, places, added })
    }

    /// The listeners' names and where they really listen: port 0 in the configuration is another one here.
    pub(crate) fn addresses(&self) -> impl Iterator<Item = (String, ListenAddress)> {
        self.listeners.iter().filter_map(|bound| {
            let address = match &bound.socket {
                Listening::Tcp(listener) => ListenAddress::Tcp(listener.local_addr().ok()?),
                Listening::Unix(_, file) => file.address(),
            };
            Some((bound.face.load().entrance.name.clone(), address))
        })
    }

    /// By which the listeners can be changed while they serve.
    pub(crate) fn handle(&self) -> DoorHandle {
        DoorHandle::new(&self.listeners, Arc::clone(&self.places), self.added.0.clone())
    }

    /// Serves until `shutdown` turns true, then lets requests under way end, for `patience` at most.
    ///
    /// Idle connections are closed at once, others after their response; clients of HTTP/2 are told. Whatever is
    /// left after `patience` is cut off, WebSockets among it. The sender of `shutdown` has to outlive this.
    pub(crate) async fn serve<W>(
        mut self,
        app: App<W>,
        mut shutdown: watch::Receiver<bool>,
        patience: Duration,
    ) -> Ended
    where
        W: World + Send + Sync + 'static,
    {
        let drain = app.drain().clone();
        let service = Service {
            proxy: Arc::new(proxy(app, &self.limits)),
            limits: self.limits,
            shutdown: shutdown.clone(),
        };
        let mut loops = JoinSet::new();
        for bound in self.listeners {
            loops.spawn(bound.accept_until_closing(service.clone()));
        }
        let mut connections = Vec::with_capacity(loops.len());
        let mut stopping = false;
        // Those that a reload added may come as long as the end has not.
        while !stopping || !loops.is_empty() {
            tokio::select! {
                Some(ended) = loops.join_next() => match ended {
                    Ok(of_listener) => connections.push(of_listener),
                    Err(error) => tracing::error!(%error, "a listener ended"),
                },
                Some(bound) = self.added.1.recv(), if !stopping => {
                    loops.spawn(bound.accept_until_closing(service.clone()));
                }
                _ = shutdown.wait_for(|stop| *stop), if !stopping => stopping = true,
            }
        }
        service.proxy.http_cleanup().await;
        let farewell = async {
            drain.finished().await;
            tokio::time::sleep(FAREWELL).await;
        };
        let closed = async {
            for (of_listener, _closing) in &mut connections {
                while let Some(ended) = of_listener.join_next().await {
                    report(ended);
                }
            }
        };
        tokio::select! {
            () = closed => {}
            () = farewell => {}
            () = tokio::time::sleep(patience) => {}
        }
        end_of(&drain)
    }
}

fn end_of(drain: &Drain) -> Ended {
    match drain.requests() {
        0 => Ended::Drained,
        cut => Ended::Cut(cut),
    }
}

fn proxy<W>(app: App<W>, limits: &SocketLimits) -> HttpProxy<App<W>>
where
    W: World + Send + Sync + 'static,
{
    let conf = ServerConf {
        threads: std::thread::available_parallelism().map_or(1, usize::from),
        max_retries: TRIES_MAX,
        upstream_keepalive_pool_size: POOL_SIZE,
        ..ServerConf::default()
    };
    let mut proxy = http_proxy(&Arc::new(conf), app);
    let mut options = HttpServerOptions::default();
    // Refused in a filter of ours, which is logged and does not carry pingora's name.
    options.allow_connect_method_proxying = true;
    options.h2_idle_timeout = Some(limits.idle_timeout);
    proxy.server_options = Some(options);
    let mut http2 = default_h2_options();
    http2.max_header_list_size(u32::try_from(limits.head_bytes_max).unwrap_or(u32::MAX));
    proxy.h2_options = Some(http2);
    proxy
}

impl Face {
    /// What `listener` says, with what its clients had `before` where that is the same.
    fn new(
        listener: &Listener,
        witness: &Arc<dyn Witness>,
        places: &Arc<Places>,
        before: Option<&Self>,
    ) -> Result<Self, BindError> {
        let http2 = if listener.http2 { Http2::Offered } else { Http2::Off };
        let named = || listener.name.clone();
        let before = before.and_then(|before| before.tls.as_ref());
        let tls = listener.tls.as_ref().map(|tls| tls::served(tls, http2, before)).transpose();
        let tls =
            tls.map_err(|cause| BindError::Tls { listener: named(), cause: Box::new(cause) })?;
        let entrance = Arc::new(Entrance {
            name: named(),
            transport: if tls.is_some() { Transport::Tls } else { Transport::Plain },
            purpose: if listener.redirect_to_https {
                Purpose::RedirectToHttps
            } else {
                Purpose::Serve
            },
            trusted: listener.trusted_proxies.clone(),
            places: Arc::clone(places),
            witness: Arc::clone(witness),
            http2,
            proxy_protocol: listener.proxy_protocol,
        });
        Ok(Self { entrance, tls })
    }
}

impl Bound {
    fn new(
        listener: &Listener,
        witness: &Arc<dyn Witness>,
        places: &Arc<Places>,
    ) -> Result<Self, BindError> {
        let face = Face::new(listener, witness, places, None)?;
        let named = || listener.name.clone();
        let socket = match &listener.address {
            ListenAddress::Tcp(address) => {
                listen(*address).map(Listening::Tcp).map_err(|cause| BindError::Address {
                    listener: named(),
                    address: *address,
                    cause,
                })?
            }
            ListenAddress::Unix { path, mode } => {
                let (listener, file) = unix::listen(path, *mode, BACKLOG).map_err(|cause| {
                    BindError::File { listener: named(), path: path.clone(), cause }
                })?;
                Listening::Unix(listener, file)
            }
        };
        let (address, face) = (listener.address.clone(), Arc::new(ArcSwap::from_pointee(face)));
        Ok(Self { address, socket, face, closing: watch::Sender::new(false) })
    }

    /// Accepts until this listener or everything ends, and answers with the connections that are still open then, and
    /// what has to be kept for as long as they are.
    async fn accept_until_closing<W>(
        self,
        service: Service<W>,
    ) -> (JoinSet<()>, watch::Sender<bool>)
    where
        W: World + Send + Sync + 'static,
    {
        let mut connections = JoinSet::new();
        let mut shutdown = service.shutdown.clone();
        let mut closing = self.closing.subscribe();
        let service = Service { shutdown: self.closing.subscribe(), ..service };
        let accepting = async {
            loop {
                tokio::select! {
                    Some(ended) = connections.join_next(), if !connections.is_empty() => report(ended),
                    accepted = self.socket.accept() => {
                        let face = self.face.load_full();
                        let name = &face.entrance.name;
                        match accepted {
                            Ok(socket) => {
                                let Some(place) = face.place().await else { break };
                                face.admit(socket, place, &service, &mut connections);
                            }
                            Err(error) if concerns_one_connection(&error) => {
                                tracing::debug!(listener = name, %error, "a connection was lost");
                            }
                            Err(error) => {
                                tracing::warn!(listener = name, %error, "accepting failed");
                                if lacks_descriptors(&error) {
                                    face.entrance.places.make_room();
                                }
                                tokio::time::sleep(PAUSE_AFTER_FAILURE).await;
                            }
                        }
                    }
                }
            }
        };
        tokio::select! {
            _ = shutdown.wait_for(|stop| *stop) => {}
            _ = closing.wait_for(|stop| *stop) => {}
            () = accepting => {}
        }
        // In the other order: nobody is to connect to a listener that tells its connections to go.
        drop(self.socket);
        self.closing.send_replace(true);
        (connections, self.closing)
    }
}

impl Face {
    /// A place for one that was accepted. While it waits nobody else is accepted.
    async fn place(&self) -> Option<OwnedSemaphorePermit> {
        let places = &self.entrance.places;
        if places.are_full() {
            tracing::warn!(listener = self.entrance.name, "as many connections as are allowed");
        }
        places.take().await
    }

    fn admit<W>(
        &self,
        socket: Accepted,
        place: OwnedSemaphorePermit,
        service: &Service<W>,
        connections: &mut JoinSet<()>,
    ) where
        W: World + Send + Sync + 'static,
    {
        let entrance = Arc::clone(&self.entrance);
        let acceptor = self.tls.as_ref().map(|tls| TlsAcceptor::from(Arc::clone(&tls.config)));
        let service = service.clone();
        connections.spawn(async move {
            // Beginning takes room that a conversation, which may be silent for hours, should not keep.
            let begun = match socket {
                Accepted::Tcp(socket, peer) => {
                    Box::pin(service.begin(socket, peer, entrance, acceptor)).await
                }
                Accepted::Unix(socket) => {
                    Box::pin(service.begin(socket, Peer::Unix, entrance, acceptor)).await
                }
            };
            match begun {
                Ok(Some(begun)) => service.converse(begun).await,
                Ok(None) => {}
                Err(error) => {
                    tracing::debug!(%error, "a connection ended before its first request");
                }
            }
            drop(place);
        });
    }
}

enum Accepted {
    Tcp(TcpStream, Peer),
    Unix(UnixStream),
}

impl Listening {
    async fn accept(&self) -> io::Result<Accepted> {
        match self {
            Self::Tcp(listener) => {
                let (socket, address) = listener.accept().await?;
                socket.set_nodelay(true)?;
                // A client that vanished from a WebSocket is noticed in the end.
                rustix::net::sockopt::set_socket_keepalive(&socket, true)?;
                Ok(Accepted::Tcp(socket, Peer::Address(address.ip().to_canonical())))
            }
            Self::Unix(listener, _) => Ok(Accepted::Unix(listener.accept().await?.0)),
        }
    }
}

impl<W: World + Send + Sync + 'static> Service<W> {
    /// Finds out what a connection speaks. One that has not asked for anything when the end comes is not waited for.
    async fn begin<S>(
        &self,
        mut socket: S,
        peer: Peer,
        entrance: Arc<Entrance>,
        acceptor: Option<TlsAcceptor>,
    ) -> Result<Option<Begun>, Box<dyn std::error::Error + Send + Sync>>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + Sync + std::fmt::Debug + 'static,
    {
        let mut shutdown = self.shutdown.clone();
        let client = entrance.client(&mut socket, peer, self.limits.head_timeout);
        let client = tokio::select! {
            client = client => client,
            _ = shutdown.wait_for(|stop| *stop) => return Ok(None),
        };
        let Some(peer) = client else { return Ok(None) };
        // A proxy's connections are those of many.
        let Some(counted) = entrance.share(peer) else { return Ok(None) };
        if let Some(acceptor) = acceptor {
            let handshake = tokio::time::timeout(HANDSHAKE_TIMEOUT, acceptor.accept(socket));
            let socket = tokio::select! {
                socket = handshake => socket??,
                _ = shutdown.wait_for(|stop| *stop) => return Ok(None),
            };
            let protocol = match socket.get_ref().1.alpn_protocol() {
                Some(b"h2") => Protocol::Http2,
                _ => Protocol::Http1,
            };
            let connection = Connection::new(entrance, peer, protocol);
            return self.begun(socket, connection, Bytes::new(), counted).map(Some);
        }
        let (protocol, seen) = match entrance.http2 {
            Http2::Offered => tokio::select! {
                told = tokio::time::timeout(self.limits.head_timeout, sniff(&mut socket)) => told??,
                _ = shutdown.wait_for(|stop| *stop) => return Ok(None),
            },
            Http2::Off => (Protocol::Http1, Bytes::new()),
        };
        self.begun(socket, Connection::new(entrance, peer, protocol), seen, counted).map(Some)
    }

    fn begun<S>(
        &self,
        socket: S,
        connection: Connection,
        seen: Bytes,
        counted: Counted,
    ) -> Result<Begun, Box<dyn std::error::Error + Send + Sync>>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + Sync + std::fmt::Debug + 'static,
    {
        let connection = Arc::new(connection);
        let places = &connection.entrance.places;
        let listed = connection.can_be_idle().then(|| places.list(&connection.idleness));
        let socket = GuardedSocket::new(socket, Arc::clone(&connection), seen, self.limits)?;
        Ok(Begun { stream: Box::new(socket), listed, counted })
    }

    /// Serves a connection to its end.
    async fn converse(self, begun: Begun) {
        let Begun { stream, listed: _listed, counted: _counted } = begun;
        self.proxy.process_new(stream, &self.shutdown).await;
    }
}

/// A connection that is ready for its first request; it has its place for as long as this is there.
struct Begun {
    stream: Stream,
    listed: Option<Listed>,
    counted: Counted,
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Whether accepting failed because of the client alone, so that the next one may succeed.
fn concerns_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
            | io::ErrorKind::InvalidInput
            | io::ErrorKind::NotConnected
    )
}

/// Whether accepting failed because the process, or the system, can have no more sockets.
fn lacks_descriptors(error: &io::Error) -> bool {
    let lack = [rustix::io::Errno::MFILE, rustix::io::Errno::NFILE];
    error.raw_os_error().is_some_and(|code| lack.iter().any(|errno| errno.raw_os_error() == code))
}

/// Says when a connection did not end by itself.
fn report(ended: Result<(), JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!(%error, "a panic ended a connection");
    }
}
