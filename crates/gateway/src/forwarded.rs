//! Which address a request comes from, and whose word on it is believed.
//!
//! Only peers that the operator listed may say who stands before them. `X-Forwarded-For` is walked from the
//! right, over listed addresses, to the first that is not listed: that one is the client. What lies further
//! left was written by strangers. No other forwarding header is read.

use std::net::IpAddr;

use http::HeaderMap;
use ipnet::IpNet;

/// The other end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// A TCP peer.
    Address(IpAddr),
    /// A Unix socket: it has no address (D-06).
    Unix,
    /// Somebody behind a proxy that could not name them: without an address, and believed by nobody.
    Unnamed,
}

/// Peers whose forwarding headers are believed. The default trusts nobody (D1).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustedProxies {
    /// By address.
    pub networks: Vec<IpNet>,
    /// Whoever connects through the Unix socket.
    pub unix: bool,
}

impl TrustedProxies {
    /// Whether there is anybody to trust.
    pub fn trusts_anybody(&self) -> bool {
        self.unix || !self.networks.is_empty()
    }

    /// Whether what `peer` says is believed.
    pub fn trusts(&self, peer: Peer) -> bool {
        match peer {
            Peer::Address(address) => {
                self.networks.iter().any(|network| network.contains(&address.to_canonical()))
            }
            Peer::Unix => self.unix,
            Peer::Unnamed => false,
        }
    }
}

/// The client, and the addresses between it and us that were believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The client's address; none behind a Unix socket, or when a trusted peer's word cannot be read.
    pub client: Option<IpAddr>,
    /// The client first, then each believed hop; empty where there is nobody between the client and us.
    pub path: Vec<IpAddr>,
}

/// Finds the client of a request that came from `peer`.
pub fn client(peer: Peer, trusted: &TrustedProxies, headers: &HeaderMap) -> Origin {
    let mut current = match peer {
        Peer::Address(address) => Some(address.to_canonical()),
        Peer::Unix | Peer::Unnamed => None,
    };
    if !trusted.trusts(peer) {
        return Origin { client: current, path: Vec::new() };
    }
    let mut path = Vec::from_iter(current);
    let lines: Vec<_> = headers.get_all("x-forwarded-for").iter().collect();
    let hops = lines.iter().rev().flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b','));
    for hop in hops {
        let Some(address) = std::str::from_utf8(hop).ok().and_then(address) else {
            current = None;
            path.clear();
            break;
        };
        path.insert(0, address);
        current = Some(address);
        if !trusted.trusts(Peer::Address(address)) {
            break;
        }
    }
    Origin { client: current, path }
}

/// An address, with or without port, as proxies write it.
fn address(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    text.parse::<IpAddr>()
        .ok()
        .or_else(|| text.parse::<std::net::SocketAddr>().ok().map(|socket| socket.ip()))
        .or_else(|| text.strip_prefix('[')?.strip_suffix(']')?.parse().ok())
        .map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn found(peer: &str, lines: &[&str]) -> Option<String> {
        let trusted = TrustedProxies {
            networks: vec!["10.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()],
            unix: true,
        };
        let headers = lines
            .iter()
            .map(|line| {
                (
                    http::HeaderName::from_static("x-forwarded-for"),
                    HeaderValue::from_bytes(line.as_bytes()).unwrap(),
                )
            })
            .collect();
        let peer = match peer {
            "unix" => Peer::Unix,
            "unnamed" => Peer::Unnamed,
            address => Peer::Address(address.parse().unwrap()),
        };
        client(peer, &trusted, &headers).client.map(|address| address.to_string())
    }

    /// D2, D3: strangers are not believed, and listed peers only as far as the first stranger.
    #[test]
    fn only_listed_peers_say_who_stands_before_them() {
        for (peer, lines, expected) in [
            ("203.0.113.9", &["192.0.2.1"][..], Some("203.0.113.9")),
            ("10.0.0.5", &[][..], Some("10.0.0.5")),
            ("10.0.0.5", &["192.0.2.1"], Some("192.0.2.1")),
            ("10.0.0.5", &["6.6.6.6, 192.0.2.1"], Some("192.0.2.1")),
            ("10.0.0.5", &["6.6.6.6", "192.0.2.1, 10.0.0.9"], Some("192.0.2.1")),
            ("10.0.0.5", &["10.1.1.1, 10.2.2.2"], Some("10.1.1.1")),
            ("10.0.0.5", &["[2001:db8::7]:4711"], Some("2001:db8::7")),
            ("10.0.0.5", &["192.0.2.1:80"], Some("192.0.2.1")),
            ("::ffff:10.0.0.5", &["::ffff:192.0.2.1"], Some("192.0.2.1")),
            ("unix", &["192.0.2.1"], Some("192.0.2.1")),
            ("unix", &[], None),
            // Whom a proxy cannot name is not the proxy, and says nothing about themselves.
            ("unnamed", &["192.0.2.1"], None),
            // D5: a trusted peer that says nothing readable leaves the client unknown, which no network rule matches.
            ("10.0.0.5", &["192.0.2.1, unknown"], None),
            ("10.0.0.5", &[""], None),
            ("10.0.0.5", &["192.0.2.1, \u{e9}"], None),
        ] {
            assert_eq!(found(peer, lines).as_deref(), expected, "{peer} {lines:?}");
        }
    }
}
