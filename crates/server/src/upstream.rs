//! Where admitted requests go.
//!
//! Everything that can be known when the configuration is read is known then: authorities are loaded, peers
//! are built and only copied later. Names are looked up off the workers' threads, remembered for a few
//! seconds, and their last good answer is used while a look-up fails.
//!
//! Two facts about pingora shape this file. Its pool does not tell peers apart by the authorities that vouch
//! for them, so every upstream's own `group_key` does (one upstream's connection is never another's). And an
//! empty server name turns every check of a certificate off, so an upstream without one is refused.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lychgate_config::config::{self, Roots, UpstreamAddress, UpstreamTimeouts};
use moka::future::Cache;
use pingora_core::protocols::tls::CaType;
use pingora_core::protocols::{ALPN, TcpKeepalive};
use pingora_core::upstreams::peer::{HttpPeer, HttpUpstreamRequestPolicy, Peer};
use pingora_core::utils::tls::{WrappedX509, parse_x509};
use rustls_pki_types::CertificateDer;

use crate::tls::{self, TlsError};
use crate::websocket::{Answered, HandshakeConnector};

/// How long the answer to a look-up is used.
const NAMES_KEPT: Duration = Duration::from_secs(10);

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
    /// Empty when no copy has a name to be looked up.
    looked_up: Cache<(), Arc<[HttpPeer]>>,
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
    next: usize,
    tried: usize,
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
            looked_up: Cache::builder().max_capacity(1).time_to_live(NAMES_KEPT).build(),
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
    pub(crate) async fn candidates(&self) -> Result<Candidates, Arc<NoAddress>> {
        let peers = match &self.fixed {
            Some(peers) => Arc::clone(peers),
            // Apart, because most requests need none of the room that a look-up takes.
            None => Box::pin(self.looked_up.try_get_with((), self.peers())).await?,
        };
        let next = self.next.fetch_add(1, Ordering::Relaxed);
        Ok(Candidates { peers, next, tried: 0 })
    }

    async fn peers(&self) -> Result<Arc<[HttpPeer]>, NoAddress> {
        let mut peers = Vec::with_capacity(self.copies.len());
        let mut cause = None;
        for copy in &self.copies {
            match copy {
                Copy::Fixed(peer) => peers.push(peer.as_ref().clone()),
                Copy::Named { host, port, server_name, last } => {
                    let found = look_up(host, *port, self.manner.timeouts.connect).await;
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
        let mut peer = Box::new(peer.clone());
        let UpstreamTimeouts { connect, response, idle: _ } = self.manner.timeouts;
        let (connector, answered) = HandshakeConnector::new(connect, response);
        peer.options.custom_l4 = Some(Arc::new(connector));
        // A tunnel may be silent. Its handshake may not, and the connector sees to that.
        peer.options.read_timeout = None;
        // Only HTTP/1.1 can be upgraded, and such a connection is nobody else's afterwards.
        peer.options.alpn = ALPN::H1;
        peer.options.idle_timeout = Some(Duration::from_secs(1));
        peer.group_key = !peer.group_key;
        (peer, answered)
    }
}

impl Candidates {
    /// The next peer to be tried.
    pub(crate) fn next(&mut self) -> Option<&HttpPeer> {
        let place = self.next.checked_add(self.tried)?.checked_rem(self.peers.len())?;
        self.tried += 1;
        self.peers.get(place)
    }

    /// Whether a peer is left that has not been tried.
    pub(crate) fn any_left(&self) -> bool {
        self.tried < self.peers.len()
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

async fn look_up(host: &str, port: u16, patience: Duration) -> io::Result<Vec<SocketAddr>> {
    let found = tokio::time::timeout(patience, tokio::net::lookup_host((host, port)));
    let found: Vec<_> = found.await.map_err(|_| io::ErrorKind::TimedOut)??.collect();
    if found.is_empty() {
        return Err(io::ErrorKind::NotFound.into());
    }
    Ok(found)
}

/// In pingora's form. That they can be read was found out when they were loaded.
fn wrap(authorities: &[CertificateDer<'_>]) -> Arc<CaType> {
    authorities.iter().map(|authority| WrappedX509::new(authority.to_vec(), parse_x509)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn upstream(addresses: Vec<UpstreamAddress>) -> config::Upstream {
        config::Upstream {
            name: "wiki".to_owned(),
            addresses,
            roots: Roots::System,
            timeouts: UpstreamTimeouts {
                connect: Duration::from_secs(5),
                response: Duration::from_secs(60),
                idle: Duration::from_secs(30),
            },
            http2: false,
        }
    }

    fn plain(host: &str, port: u16) -> UpstreamAddress {
        UpstreamAddress::Plain { host: host.to_owned(), port }
    }

    fn addresses(mut candidates: Candidates) -> Vec<String> {
        let mut found = Vec::new();
        while candidates.any_left() {
            found.extend(candidates.next().map(|peer| peer.address().to_string()));
        }
        found
    }

    #[tokio::test]
    async fn copies_take_turns_and_each_is_tried_once() {
        let config = upstream(vec![plain("127.0.0.1", 1), plain("::1", 2), plain("127.0.0.1", 3)]);
        let upstream = Upstream::new(&config).unwrap();
        let mut turns = Vec::new();
        for _ in 0..3 {
            turns.push(addresses(upstream.candidates().await.unwrap()));
        }
        assert_eq!(turns[0], ["127.0.0.1:1", "[::1]:2", "127.0.0.1:3"]);
        assert_eq!(turns[1], ["[::1]:2", "127.0.0.1:3", "127.0.0.1:1"]);
        assert_eq!(turns[2], ["127.0.0.1:3", "127.0.0.1:1", "[::1]:2"]);
    }

    #[tokio::test]
    async fn a_name_is_looked_up() {
        let upstream = Upstream::new(&upstream(vec![plain("localhost", 9)])).unwrap();
        let found = addresses(upstream.candidates().await.unwrap());
        assert!(
            found.iter().all(|address| address.ends_with(":9")) && !found.is_empty(),
            "{found:?}"
        );
    }

    #[tokio::test]
    async fn a_name_that_was_never_found_is_an_error() {
        let upstream = Upstream::new(&upstream(vec![plain("no.such.name.invalid", 9)])).unwrap();
        let error = upstream.candidates().await.unwrap_err();
        assert_eq!(error.to_string(), "no address is known for upstream `wiki`");
    }

    /// An empty server name would turn every check of the certificate off.
    #[test]
    fn tls_without_a_server_name_is_refused() {
        let address = UpstreamAddress::Tls {
            host: "127.0.0.1".to_owned(),
            port: 443,
            server_name: String::new(),
        };
        let error = Upstream::new(&upstream(vec![address])).unwrap_err();
        assert!(matches!(error, UpstreamError::NoServerName { .. }));
    }

    #[tokio::test]
    async fn every_wait_for_an_upstream_has_an_end() {
        let upstream = Upstream::new(&upstream(vec![plain("127.0.0.1", 1)])).unwrap();
        let peer = upstream.candidates().await.unwrap().next().unwrap();
        let options = &peer.options;
        for timeout in [
            options.connection_timeout,
            options.total_connection_timeout,
            options.read_timeout,
            options.write_timeout,
            options.idle_timeout,
        ] {
            assert!(timeout.is_some_and(|timeout| !timeout.is_zero()));
        }
        assert!(options.verify_cert && options.verify_hostname);
    }

    #[tokio::test]
    async fn a_handshake_never_shares_a_connection() {
        let upstream = Upstream::new(&upstream(vec![plain("127.0.0.1", 1)])).unwrap();
        let peer = upstream.candidates().await.unwrap().next().unwrap();
        let (handshake, _) = upstream.for_handshake(peer.clone());
        assert_ne!(peer.reuse_hash(), handshake.reuse_hash());
    }
}
