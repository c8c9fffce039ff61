//! Where admitted requests go.
//!
//! Everything that can be known when the configuration is read is known then: authorities are loaded, peers
//! are built and only copied later. Names are looked up off the workers' threads ([`names`]), and an address that
//! cannot be reached is tried last for a while ([`avoided`]).
//!
//! Two facts about pingora shape this file. Its pool does not tell peers apart by the authorities that vouch
//! for them, so every upstream's own `group_key` does (one upstream's connection is never another's). And an
//! empty server name turns every check of a certificate off, so an upstream without one is refused.

mod avoided;
mod names;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use lychgate_config::config::{self, Roots, UpstreamAddress, UpstreamTimeouts};
use pingora_core::protocols::l4::socket::SocketAddr as PeerAddress;
use pingora_core::protocols::tls::CaType;
use pingora_core::protocols::{ALPN, TcpKeepalive};
use pingora_core::upstreams::peer::{HttpPeer, HttpUpstreamRequestPolicy, Peer};
use pingora_core::utils::tls::{WrappedX509, parse_x509};
use rustls_pki_types::CertificateDer;

use self::avoided::Avoided;
use self::names::{Answer, Remembered, Resolver, System};
use crate::tls::{self, TlsError};
use crate::websocket::{Answered, HandshakeConnector};

/// How often a request is sent to an upstream, the first time included.
pub(crate) const TRIES_MAX: usize = 3;

/// How many requests one connection to an upstream carries at a time.
const HTTP2_STREAMS_MAX: usize = 100;

/// The upstreams of a configuration.
#[derive(Debug)]
pub(crate) struct Upstreams(BTreeMap<String, Arc<Upstream>>);

/// An application, or several copies of one.
#[derive(Debug)]
pub(crate) struct Upstream {
    /// What it was made from.
    config: config::Upstream,
    copies: Vec<Copy>,
    /// All peers, where no name has to be looked up.
    fixed: Option<Arc<[HttpPeer]>>,
    manner: Manner,
    next: AtomicUsize,
    resolver: Arc<dyn Resolver>,
    /// Empty when no copy has a name to be looked up.
    looked_up: Remembered<NoAddress>,
    avoided: Avoided,
}

/// How all copies of an upstream are reached.
#[derive(Debug)]
struct Manner {
    name: String,
    timeouts: UpstreamTimeouts,
    authorities: Option<Arc<CaType>>,
    group_key: u64,
    http2: bool,
}

#[derive(Debug)]
enum Copy {
    /// Known from the start.
    Fixed(Box<HttpPeer>),
    /// Behind a name.
    Named {
        host: String,
        port: u16,
        server_name: Option<String>,
        /// What the name last stood for.
        last: Mutex<Vec<SocketAddr>>,
    },
}

/// The peers of one request, in the order in which they are tried.
#[derive(Debug)]
pub(crate) struct Candidates {
    peers: Arc<[HttpPeer]>,
    /// Whose turn it is to be the first.
    first: usize,
    /// Those that were tried, by their places among the peers.
    tried: [usize; TRIES_MAX],
    tries: usize,
}

/// An upstream cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UpstreamError {
    /// Its authorities cannot be used.
    #[error("the authorities of upstream `{upstream}` cannot be used")]
    Authorities {
        /// The upstream.
        upstream: String,
        /// Why.
        #[source]
        cause: Box<TlsError>,
    },
    /// No name is known that its certificate would have to be for.
    #[error("upstream `{upstream}` is reached with TLS and has no server name")]
    NoServerName {
        /// The upstream.
        upstream: String,
    },
    /// The path is not one that a socket can have.
    #[error("upstream `{upstream}` has a path that no socket can have: {}", .path.display())]
    Path {
        /// The upstream.
        upstream: String,
        /// The path.
        path: PathBuf,
    },
}

/// No copy of an upstream has an address.
#[derive(Debug, thiserror::Error)]
#[error("no address is known for upstream `{upstream}`")]
pub(crate) struct NoAddress {
    upstream: String,
    #[source]
    cause: Option<io::Error>,
}

impl Upstreams {
    /// Reads the authorities' files and builds what can be built. An upstream that was the same `before` a reload stays
    /// what it is, with whose turn it is and where its names led.
    ///
    /// # Errors
    /// [`UpstreamError`], naming the upstream.
    pub(crate) fn new(
        upstreams: &BTreeMap<String, config::Upstream>,
        before: Option<&Self>,
    ) -> Result<Self, UpstreamError> {
        let build = |(name, config): (&String, &config::Upstream)| {
            let made = Upstream::new(config)?;
            let before = before.and_then(|before| before.find(name));
            let same = before.filter(|before| before.is_like(&made));
            Ok((name.clone(), same.map_or_else(|| Arc::new(made), Arc::clone)))
        };
        upstreams.iter().map(build).collect::<Result<_, _>>().map(Self)
    }

    /// The upstream of that name.
    pub(crate) fn find(&self, name: &str) -> Option<&Arc<Upstream>> {
        self.0.get(name)
    }
}

impl Upstream {
    fn new(config: &config::Upstream) -> Result<Self, UpstreamError> {
        Self::knowing(config, Arc::new(System))
    }

    fn knowing(
        config: &config::Upstream,
        resolver: Arc<dyn Resolver>,
    ) -> Result<Self, UpstreamError> {
        let authorities = match &config.roots {
            Roots::System => None,
            Roots::File(path) => Some(tls::authorities(path).map_err(|cause| {
                UpstreamError::Authorities { upstream: config.name.clone(), cause: Box::new(cause) }
            })?),
        };
        let mut hasher = DefaultHasher::new();
        (&config.name, &authorities).hash(&mut hasher);
        let manner = Manner {
            name: config.name.clone(),
            timeouts: config.timeouts,
            group_key: hasher.finish(),
            authorities: authorities.map(|authorities| wrap(&authorities)),
            http2: config.http2,
        };
        let copies = config.addresses.iter().map(|address| manner.copy(address));
        let copies = copies.collect::<Result<Vec<_>, _>>()?;
        let fixed = copies.iter().map(|copy| match copy {
            Copy::Fixed(peer) => Some(peer.as_ref().clone()),
            Copy::Named { .. } => None,
        });
        Ok(Self {
            config: config.clone(),
            fixed: fixed.collect(),
            copies,
            manner,
            next: AtomicUsize::new(0),
            resolver,
            looked_up: Remembered::default(),
            avoided: Avoided::default(),
        })
    }

    fn is_like(&self, other: &Self) -> bool {
        self.config == other.config && self.manner.group_key == other.manner.group_key
    }

    /// Its name in the configuration.
    pub(crate) fn name(&self) -> &str {
        &self.manner.name
    }

    /// The peers for one request. Copies take turns in being the first.
    ///
    /// # Errors
    /// [`NoAddress`] when no name of any copy has ever been found.
    pub(crate) async fn candidates(self: &Arc<Self>) -> Result<Candidates, Arc<NoAddress>> {
        let peers = match &self.fixed {
            Some(peers) => Arc::clone(peers),
            // Apart, because most requests need none of the room that a look-up takes.
            None => Box::pin(self.by_name()).await?,
        };
        let first = self.next.fetch_add(1, Ordering::Relaxed);
        Ok(Candidates { peers, first, tried: [0; TRIES_MAX], tries: 0 })
    }

    async fn by_name(self: &Arc<Self>) -> Result<Arc<[HttpPeer]>, Arc<NoAddress>> {
        match self.looked_up.peers(self.peers()).await {
            Answer::Good(peers) => Ok(peers),
            Answer::None(error) => Err(error),
            Answer::Old(peers) => {
                let upstream = Arc::clone(self);
                tokio::spawn(async move { upstream.looked_up.renew(upstream.peers()).await });
                Ok(peers)
            }
        }
    }

    /// `peer` could not be reached, and is tried after the others for a while.
    pub(crate) fn avoid(&self, peer: &HttpPeer) {
        if let PeerAddress::Inet(address) = peer.address() {
            self.avoided.add(*address, Instant::now());
        }
    }

    /// Which of its peers are tried after the others.
    pub(crate) fn avoided(&self) -> &Avoided {
        &self.avoided
    }

    async fn peers(&self) -> Result<Arc<[HttpPeer]>, NoAddress> {
        let mut peers = Vec::with_capacity(self.copies.len());
        let mut cause = None;
        for copy in &self.copies {
            match copy {
                Copy::Fixed(peer) => peers.push(peer.as_ref().clone()),
                Copy::Named { host, port, server_name, last } => {
                    let patience = self.manner.timeouts.connect;
                    let found = names::look_up(self.resolver.as_ref(), host, *port, patience).await;
                    let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
                    match found {
                        Ok(found) => *last = found,
                        Err(error) => {
                            tracing::warn!(upstream = self.manner.name, host, %error, "name look-up failed");
                            cause = Some(error);
                        }
                    }
                    let server_name = server_name.as_deref();
                    peers
                        .extend(last.iter().map(|address| self.manner.peer(*address, server_name)));
                }
            }
        }
        if peers.is_empty() {
            return Err(NoAddress { upstream: self.manner.name.clone(), cause });
        }
        Ok(peers.into())
    }

    /// The same peer, for a request that asks for a WebSocket.
    pub(crate) fn for_handshake(&self, peer: &HttpPeer) -> (Box<HttpPeer>, Answered) {
        let group_key = !peer.group_key;
        self.once_answered_silent(peer, group_key)
    }

    /// The same peer, for a request that asks for events (R17).
    pub(crate) fn for_events(&self, peer: &HttpPeer) -> (Box<HttpPeer>, Answered) {
        // Nobody else may have this connection: it has no limit for the answer to the next request.
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let mut hasher = DefaultHasher::new();
        (peer.group_key, NEXT.fetch_add(1, Ordering::Relaxed)).hash(&mut hasher);
        self.once_answered_silent(peer, hasher.finish())
    }

    /// A peer whose answer has to begin in time, and may then be silent for as long as it likes.
    fn once_answered_silent(&self, peer: &HttpPeer, group_key: u64) -> (Box<HttpPeer>, Answered) {
        let mut peer = Box::new(peer.clone());
        let UpstreamTimeouts { connect, response, idle: _ } = self.manner.timeouts;
        let (connector, answered) = HandshakeConnector::new(connect, response);
        peer.options.custom_l4 = Some(Arc::new(connector));
        // The beginning may not be late, and the connector sees to that.
        peer.options.read_timeout = None;
        // Only HTTP/1.1 can be upgraded, and only there a connection is one request's own.
        peer.options.alpn = ALPN::H1;
        peer.options.idle_timeout = Some(Duration::from_secs(1));
        peer.group_key = group_key;
        (peer, answered)
    }
}

impl Candidates {
    /// The next peer to be tried: one that is not avoided, or else any that is left. When all were, they begin again:
    /// what could not be sent over a connection that was just being closed is sent over another to the same peer.
    pub(crate) fn next(&mut self, avoided: &Avoided) -> Option<&HttpPeer> {
        let tried = self.tried.get(..self.tries).unwrap_or(&self.tried);
        let count = self.peers.len();
        let place = |step: usize| self.first.wrapping_add(step).checked_rem(count);
        let left = (0..count).filter_map(place).filter(|place| !tried.contains(place));
        let is_good = |place: &usize| {
            self.peers.get(*place).is_some_and(|peer| match peer.address() {
                PeerAddress::Inet(address) => !avoided.contains(*address, Instant::now),
                PeerAddress::Unix(_) => true,
            })
        };
        let any = || left.clone().next().or_else(|| place(self.tries));
        let place = left.clone().find(is_good).or_else(any)?;
        if let Some(tried) = self.tried.get_mut(self.tries) {
            *tried = place;
        }
        self.tries += 1;
        self.peers.get(place)
    }

    /// Whether a peer is left that has not been tried.
    pub(crate) fn any_left(&self) -> bool {
        self.tries < self.peers.len().min(TRIES_MAX)
    }
}

impl Manner {
    fn copy(&self, address: &UpstreamAddress) -> Result<Copy, UpstreamError> {
        let (host, port, server_name) = match address {
            UpstreamAddress::Plain { host, port } => (host, *port, None),
            UpstreamAddress::Tls { server_name, .. } if server_name.is_empty() => {
                return Err(UpstreamError::NoServerName { upstream: self.name.clone() });
            }
            UpstreamAddress::Tls { host, port, server_name } => {
                (host, *port, Some(server_name.clone()))
            }
            UpstreamAddress::Unix(path) => {
                let peer = path
                    .to_str()
                    .and_then(|path| HttpPeer::new_uds(path, false, String::new()).ok());
                let Some(peer) = peer else {
                    return Err(UpstreamError::Path {
                        upstream: self.name.clone(),
                        path: path.clone(),
                    });
                };
                return Ok(Copy::Fixed(Box::new(self.applied_to(peer))));
            }
        };
        Ok(match host.parse::<IpAddr>() {
            Ok(address) => Copy::Fixed(Box::new(
                self.peer(SocketAddr::new(address, port), server_name.as_deref()),
            )),
            Err(_) => Copy::Named { host: host.clone(), port, server_name, last: Mutex::default() },
        })
    }

    fn peer(&self, address: SocketAddr, server_name: Option<&str>) -> HttpPeer {
        // A `SocketAddr` is not looked up; anything else would be, on this thread.
        let peer = HttpPeer::new(
            address,
            server_name.is_some(),
            server_name.unwrap_or_default().to_owned(),
        );
        self.applied_to(peer)
    }

    fn applied_to(&self, mut peer: HttpPeer) -> HttpPeer {
        let tls = peer.tls();
        peer.group_key = self.group_key;
        let options = &mut peer.options;
        options.connection_timeout = Some(self.timeouts.connect);
        options.total_connection_timeout = Some(self.timeouts.connect);
        options.read_timeout = Some(self.timeouts.response);
        options.write_timeout = Some(self.timeouts.response);
        options.idle_timeout = Some(self.timeouts.idle);
        options.tcp_keepalive = Some(TcpKeepalive {
            idle: Duration::from_secs(60),
            interval: Duration::from_secs(10),
            count: 6,
            user_timeout: Duration::ZERO,
        });
        options.ca = self.authorities.clone();
        options.alpn = match (self.http2, tls) {
            (false, _) => ALPN::H1,
            (true, true) => ALPN::H2H1,
            (true, false) => ALPN::H2,
        };
        options.max_h2_streams = HTTP2_STREAMS_MAX;
        // What is forwarded is decided in one place of ours, after which pingora must not take anything away.
        options.http_upstream_request_policy = HttpUpstreamRequestPolicy::preserve();
        peer
    }
}

/// In pingora's form. That they can be read was found out when they were loaded.
fn wrap(authorities: &[CertificateDer<'_>]) -> Arc<CaType> {
    authorities.iter().map(|authority| WrappedX509::new(authority.to_vec(), parse_x509)).collect()
}
