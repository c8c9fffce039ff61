//! What a load balancer says of a connection before it passes it on: the PROXY protocol.
//!
//! The header is the first thing on the connection, before TLS, and nothing behind it is read here. It says
//! which address the client had, or that the balancer speaks for itself. What it says is believed, so it is
//! asked of listed proxies only, and nobody else gets a word in.
//!
//! A balancer may also say that it speaks for somebody whom it cannot name. Such a client is nobody's
//! neighbour: it has no address, and its own forwarding headers are not believed.
//!
//! Sources: the PROXY protocol, versions 1 and 2 (HAProxy, revision of 2020/03/05), sections 2.1 and 2.2.
//! What is attached to a header of version 2 behind the addresses is not read.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use lychgate_config::config::ProxyProtocol;
use lychgate_gateway::forwarded::Peer;
use tokio::io::{AsyncRead, AsyncReadExt};

use crate::turned_away::Cause;

/// The longest line of version 1, with its end (§2.1).
const LINE_BYTES_MAX: usize = 107;
/// The shortest: `PROXY UNKNOWN`, with its end.
const LINE_BYTES_MIN: usize = 15;

/// How version 2 begins (§2.2): nothing in HTTP or TLS does.
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// Signature, version and command, family, length.
const FIXED_BYTES: usize = 16;
/// The longest header of version 2, which is what always fits into one packet.
const HEADER_BYTES_MAX: usize = 536;

/// Why a header was not had.
#[derive(Debug, thiserror::Error)]
pub(super) enum HeaderError {
    /// The connection begins with something else.
    #[error("the connection does not begin with a PROXY header")]
    Missing,
    /// It begins like one, and is none.
    #[error("the PROXY header cannot be read")]
    Malformed,
    /// It did not arrive in time.
    #[error("the PROXY header did not arrive in time")]
    Late,
    /// The connection broke, or ended before the header did.
    #[error("the connection ended before its PROXY header did")]
    Io(#[from] io::Error),
}

impl HeaderError {
    /// What is counted; nothing where the other end only went away.
    pub(super) fn cause(&self) -> Option<Cause> {
        match self {
            Self::Io(_) => None,
            Self::Late => Some(Cause::ProxyHeaderTimeout),
            Self::Malformed => Some(Cause::ProxyHeaderMalformed),
            Self::Missing => Some(Cause::ProxyHeaderMissing),
        }
    }
}

/// Reads the header that `balancer` sends first, and answers with whom the connection is from.
///
/// # Errors
/// [`HeaderError`]; the connection is to be closed then, without a word.
pub(super) async fn read<S: AsyncRead + Unpin>(
    socket: &mut S,
    version: ProxyProtocol,
    balancer: Peer,
    patience: Duration,
) -> Result<Peer, HeaderError> {
    let reading = async {
        match version {
            ProxyProtocol::V1 => read_line(socket).await,
            ProxyProtocol::V2 => read_header(socket, balancer).await,
        }
    };
    tokio::time::timeout(patience, reading).await.unwrap_or(Err(HeaderError::Late))
}

async fn read_line<S: AsyncRead + Unpin>(socket: &mut S) -> Result<Peer, HeaderError> {
    let mut line = [0; LINE_BYTES_MAX];
    let mut length = 0;
    let mut wanted = LINE_BYTES_MIN;
    while let Some(part) = line.get_mut(length..length + wanted) {
        // Never more than has to be there: what follows the line is not ours.
        socket.read_exact(part).await?;
        length += wanted;
        let seen = line.get(..length).unwrap_or_default();
        if !seen.starts_with(b"PROXY ") {
            return Err(HeaderError::Missing);
        }
        if let Some(text) = seen.strip_suffix(b"\r\n") {
            return parse_line(text).ok_or(HeaderError::Malformed);
        }
        wanted = if seen.ends_with(b"\r") { 1 } else { 2 };
        wanted = wanted.min(LINE_BYTES_MAX.saturating_sub(length)).max(1);
    }
    Err(HeaderError::Malformed)
}

/// A line without its end.
fn parse_line(line: &[u8]) -> Option<Peer> {
    let text = std::str::from_utf8(line).ok()?.strip_prefix("PROXY ")?;
    // Whatever else such a line says is to be ignored.
    if text == "UNKNOWN" || text.starts_with("UNKNOWN ") {
        return Some(Peer::Unnamed);
    }
    let mut words = text.split(' ');
    let (family, source, destination) = (words.next()?, words.next()?, words.next()?);
    let ports = [words.next()?, words.next()?];
    if words.next().is_some() || !ports.iter().all(|port| is_port(port)) {
        return None;
    }
    let address = |text: &str| match family {
        "TCP4" => text.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
        "TCP6" => text.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
        _ => None,
    };
    address(destination)?;
    Some(Peer::Address(address(source)?.to_canonical()))
}

/// A decimal number of 16 bits, without leading zeros.
fn is_port(text: &str) -> bool {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    digits && (text == "0" || !text.starts_with('0')) && text.parse::<u16>().is_ok()
}

async fn read_header<S: AsyncRead + Unpin>(
    socket: &mut S,
    balancer: Peer,
) -> Result<Peer, HeaderError> {
    let mut fixed = [0; FIXED_BYTES];
    socket.read_exact(&mut fixed).await?;
    let Some([version_and_command, family, high, low]) = fixed.strip_prefix(SIGNATURE) else {
        return Err(HeaderError::Missing);
    };
    let length = usize::from(u16::from_be_bytes([*high, *low]));
    let mut rest = [0; HEADER_BYTES_MAX - FIXED_BYTES];
    let Some(rest) = rest.get_mut(..length) else { return Err(HeaderError::Malformed) };
    socket.read_exact(rest).await?;
    parse_header(*version_and_command, *family, rest, balancer).ok_or(HeaderError::Malformed)
}

/// A header of version 2, whose `rest` begins with the addresses.
fn parse_header(version_and_command: u8, family: u8, rest: &[u8], balancer: Peer) -> Option<Peer> {
    match version_and_command {
        // LOCAL: the balancer itself, whatever the addresses are.
        0x20 => return Some(balancer),
        0x21 => {}
        _ => return None,
    }
    match family {
        // Unspecified, or from a socket file: there is somebody, without an address.
        0x00 => Some(Peer::Unnamed),
        0x31 => (rest.len() >= 216).then_some(Peer::Unnamed),
        // Source and destination address, source and destination port.
        0x11 if rest.len() >= 12 => {
            let source: [u8; 4] = *rest.first_chunk()?;
            Some(Peer::Address(IpAddr::from(source)))
        }
        0x21 if rest.len() >= 36 => {
            let source: [u8; 16] = *rest.first_chunk()?;
            Some(Peer::Address(IpAddr::from(source).to_canonical()))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt as _;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(10);

    fn balancer() -> Peer {
        Peer::Address([10, 0, 0, 1].into())
    }

    fn at(address: &str) -> Peer {
        Peer::Address(address.parse().unwrap())
    }

    /// What becomes of `sent`, and what is left on the connection. The other end then waits.
    async fn found(version: ProxyProtocol, sent: &[u8]) -> (Result<Peer, Cause>, Vec<u8>) {
        let (mut client, mut ours) = tokio::io::duplex(4096);
        client.write_all(sent).await.unwrap();
        let peer = read(&mut ours, version, balancer(), PATIENCE).await;
        drop(client);
        let mut left = Vec::new();
        ours.read_to_end(&mut left).await.unwrap();
        (peer.map_err(|error| error.cause().unwrap()), left)
    }

    fn header(command: u8, family: u8, length: u16, rest: &[u8]) -> Vec<u8> {
        let mut header = SIGNATURE.to_vec();
        header.extend([command, family]);
        header.extend(length.to_be_bytes());
        header.extend(rest);
        header
    }

    /// The addresses of a client and of a destination, then ports, then what a balancer attaches.
    fn tcp4(attached: usize) -> Vec<u8> {
        let mut rest = vec![192, 0, 2, 7, 10, 0, 0, 1, 0x80, 0x00, 0x01, 0xBB];
        rest.resize(12 + attached, 0x04);
        rest
    }

    fn tcp6(source: &str) -> Vec<u8> {
        let mut rest = source.parse::<Ipv6Addr>().unwrap().octets().to_vec();
        rest.resize(36, 0);
        rest
    }

    /// D-02, §2.1: exactly the line is read, to its end and no further.
    #[tokio::test(start_paused = true)]
    async fn a_line_names_the_client_and_nothing_behind_it_is_read() {
        let longest = format!("PROXY UNKNOWN {}\r\n", "x".repeat(91));
        assert_eq!(longest.len(), LINE_BYTES_MAX);
        for (line, expected) in [
            ("PROXY TCP4 192.0.2.7 10.0.0.1 32768 443\r\n", at("192.0.2.7")),
            ("PROXY TCP4 1.1.1.1 2.2.2.2 0 1\r\n", at("1.1.1.1")),
            ("PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n", at("255.255.255.255")),
            ("PROXY TCP6 2001:db8::7 ::1 1 2\r\n", at("2001:db8::7")),
            ("PROXY TCP6 ::ffff:192.0.2.7 ::1 1 2\r\n", at("192.0.2.7")),
            (
                "PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff \
                 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n",
                at("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
            ),
            ("PROXY UNKNOWN\r\n", Peer::Unnamed),
            ("PROXY UNKNOWN 192.0.2.7 whatever \r 1\r\n", Peer::Unnamed),
            (&longest, Peer::Unnamed),
        ] {
            for behind in ["", "\r\n", "GET / HTTP/1.1\r\n", "PROXY TCP4 6.6.6.6 6.6.6.6 6 6\r\n"] {
                let (peer, left) =
                    found(ProxyProtocol::V1, format!("{line}{behind}").as_bytes()).await;
                assert_eq!(peer, Ok(expected), "{line:?}");
                assert_eq!(left, behind.as_bytes(), "{line:?}");
            }
        }
    }

    /// What is no line of version 1, although much of it looks like one.
    #[tokio::test(start_paused = true)]
    async fn a_hostile_line_names_nobody() {
        let endless = format!("PROXY UNKNOWN {}", "x".repeat(200));
        let one_too_long = format!("PROXY UNKNOWN {}\r\n", "x".repeat(92));
        for (sent, expected) in [
            ("GET / HTTP/1.1\r\nHost: x\r\n\r\n", Cause::ProxyHeaderMissing),
            ("proxy TCP4 192.0.2.7 10.0.0.1 1 2\r\n", Cause::ProxyHeaderMissing),
            ("PROXY\tTCP4 192.0.2.7 10.0.0.1 1 2\r\n", Cause::ProxyHeaderMissing),
            (" PROXY TCP4 192.0.2.7 10.0.0.1 1 2\r\n", Cause::ProxyHeaderMissing),
            ("\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c............", Cause::ProxyHeaderMissing),
            ("\x16\x03\x01\x02\0\x01\0\x01\x7c\x03\x03............", Cause::ProxyHeaderMissing),
            ("PROXY  TCP4 192.0.2.7 10.0.0.1 1 2\r\n", Cause::ProxyHeaderMalformed),
            ("PROXY TCP4  192.0.2.7 10.0.0.1 1 2\r\n", Cause::ProxyHeaderMalformed),
            ("PROXY TCP4 192.0.2.7 10.0.0.1 1 2 \r\n", Cause::ProxyHeaderMalformed),
            ("PROXY TCP4 192.0.2.7 10.0.0.1 1 2 3\r\n", Cause::ProxyHeaderMalformed),
            ("PROXY TCP4 192.0.2.7 10.0.0.1 1\r\n", Cause::ProxyHeaderMalformed),
            ("PROXY TCP4 192.0.2.7 10.0.0.1 1 65536\r\n", Cause::ProxyHeaderMalformed),
            ("PROXY TCP4 192.0.2.7 10.0.0.1 01 2\r\n", Cause::ProxyHeaderMalformed),
            ("PROXY TCP4 192.0.2.7 10.0.0.1 +1 2\r\n", Cause::ProxyHeaderMalformed),
            ("PROXY TCP4 192.0.2.7 10.0.0.1 -1 2\r\n", Cause::ProxyHeaderMalformed),
            ("PROXY TCP4 192.0.2.07 10.0.0.1 1 2\r\n", Cause::ProxyHeaderMalformed),
            ("PROXY TCP4 192.0.2.256 10.0.0.1 1 2\r\n", Cause::ProxyHeaderMalformed),
            ("PROXY TCP4 0xC0.0.2.7 10.0.0.1 1 2\r\n", Cause::ProxyHeaderMalformed),
            ("PROXY TCP4 192.0.2.7 nowhere 1 2\r\n", Cause::ProxyHeaderMalformed),
            ("PROXY TCP4 2001:db8::7 ::1 1 2\r\n", Cause::ProxyHeaderMalformed),
            ("PROXY TCP6 192.0.2.7 10.0.0.1 1 2\r\n", Cause::ProxyHeaderMalformed),
            ("PROXY TCP6 fe80::1%eth0 ::1 1 2\r\n", Cause::ProxyHeaderMalformed),
            ("PROXY TCP6 [2001:db8::7] ::1 1 2\r\n", Cause::ProxyHeaderMalformed),
            ("PROXY UDP4 192.0.2.7 10.0.0.1 1 2\r\n", Cause::ProxyHeaderMalformed),
            ("PROXY tcp4 192.0.2.7 10.0.0.1 1 2\r\n", Cause::ProxyHeaderMalformed),
            ("PROXY UNKNOWNS\r\n", Cause::ProxyHeaderMalformed),
            ("PROXY unknown\r\n", Cause::ProxyHeaderMalformed),
            ("PROXY TCP4 192.0.2.7 10.0.0.1 1 2\n\r\n", Cause::ProxyHeaderMalformed),
            ("PROXY TCP4 192.0.2.7 10.0.0.1 1 2\r\r\n", Cause::ProxyHeaderMalformed),
            ("PROXY TCP4 192.0.2.7\0 10.0.0.1 1 2\r\n", Cause::ProxyHeaderMalformed),
            ("PROXY TCP4 \u{661}92.0.2.7 10.0.0.1 1 2\r\n", Cause::ProxyHeaderMalformed),
            (&endless, Cause::ProxyHeaderMalformed),
            (&one_too_long, Cause::ProxyHeaderMalformed),
            ("PROXY TCP4 192.0.2.7 10.0.0.1 1 2", Cause::ProxyHeaderTimeout),
            ("PROXY TCP4 192.0.2.7 10.0.0.1 1 2\r", Cause::ProxyHeaderTimeout),
            ("PROXY ", Cause::ProxyHeaderTimeout),
            ("", Cause::ProxyHeaderTimeout),
        ] {
            let (peer, _) = found(ProxyProtocol::V1, sent.as_bytes()).await;
            assert_eq!(peer, Err(expected), "{sent:?}");
        }
    }

    /// §2.2: both families, what is attached, and the balancer speaking for itself.
    #[tokio::test(start_paused = true)]
    async fn a_header_names_the_client_and_nothing_behind_it_is_read() {
        for (header, expected) in [
            (header(0x21, 0x11, 12, &tcp4(0)), at("192.0.2.7")),
            (header(0x21, 0x11, 112, &tcp4(100)), at("192.0.2.7")),
            (header(0x21, 0x11, 520, &tcp4(508)), at("192.0.2.7")),
            (header(0x21, 0x21, 36, &tcp6("2001:db8::7")), at("2001:db8::7")),
            (header(0x21, 0x21, 36, &tcp6("::ffff:192.0.2.7")), at("192.0.2.7")),
            (header(0x20, 0x00, 0, &[]), balancer()),
            (header(0x20, 0x11, 12, &tcp4(0)), balancer()),
            (header(0x21, 0x00, 0, &[]), Peer::Unnamed),
            (header(0x21, 0x00, 12, &tcp4(0)), Peer::Unnamed),
            (header(0x21, 0x31, 216, &[b'/'; 216]), Peer::Unnamed),
        ] {
            for behind in [&b""[..], b"GET / HTTP/1.1\r\n", SIGNATURE] {
                let sent = [&header[..], behind].concat();
                let (peer, left) = found(ProxyProtocol::V2, &sent).await;
                assert_eq!(peer, Ok(expected), "{header:?}");
                assert_eq!(left, behind, "{header:?}");
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_hostile_header_names_nobody() {
        for (sent, expected) in [
            (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(), Cause::ProxyHeaderMissing),
            (b"PROXY TCP4 192.0.2.7 10.0.0.1 1 2\r\n".to_vec(), Cause::ProxyHeaderMissing),
            (b"\r\n\r\n\0\r\nQUIT\r\x21\x11\0\x0c............".to_vec(), Cause::ProxyHeaderMissing),
            (header(0x11, 0x11, 12, &tcp4(0)), Cause::ProxyHeaderMalformed),
            (header(0x31, 0x11, 12, &tcp4(0)), Cause::ProxyHeaderMalformed),
            (header(0x22, 0x11, 12, &tcp4(0)), Cause::ProxyHeaderMalformed),
            (header(0x2F, 0x11, 12, &tcp4(0)), Cause::ProxyHeaderMalformed),
            (header(0x21, 0x12, 12, &tcp4(0)), Cause::ProxyHeaderMalformed),
            (header(0x21, 0x10, 12, &tcp4(0)), Cause::ProxyHeaderMalformed),
            (header(0x21, 0x41, 12, &tcp4(0)), Cause::ProxyHeaderMalformed),
            (header(0x21, 0x11, 11, &tcp4(0)), Cause::ProxyHeaderMalformed),
            (header(0x21, 0x11, 0, &[]), Cause::ProxyHeaderMalformed),
            (header(0x21, 0x21, 35, &tcp6("::1")), Cause::ProxyHeaderMalformed),
            (header(0x21, 0x31, 215, &[b'/'; 215]), Cause::ProxyHeaderMalformed),
            (header(0x21, 0x11, 521, &tcp4(600)), Cause::ProxyHeaderMalformed),
            (header(0x20, 0x00, u16::MAX, &tcp4(600)), Cause::ProxyHeaderMalformed),
            (header(0x21, 0x11, 13, &tcp4(0)), Cause::ProxyHeaderTimeout),
            (SIGNATURE.to_vec(), Cause::ProxyHeaderTimeout),
        ] {
            let (peer, _) = found(ProxyProtocol::V2, &sent).await;
            assert_eq!(peer, Err(expected), "{sent:?}");
        }
    }

    /// R19, K3: a header that drips takes no longer than one that does not come; one that is cut off is nobody's fault.
    #[tokio::test(start_paused = true)]
    async fn a_header_has_one_deadline_from_its_first_byte_to_its_last() {
        let (mut client, mut ours) = tokio::io::duplex(64);
        let dripping = tokio::spawn(async move {
            for byte in b"PROXY TCP4" {
                client.write_all(&[*byte]).await.unwrap();
                tokio::time::sleep(Duration::from_secs(3)).await;
            }
        });
        let begin = tokio::time::Instant::now();
        let peer = read(&mut ours, ProxyProtocol::V1, balancer(), PATIENCE).await;
        assert!(matches!(peer, Err(HeaderError::Late)));
        assert_eq!(begin.elapsed(), PATIENCE);
        dripping.abort();

        let (client, mut ours) = tokio::io::duplex(64);
        drop(client);
        let peer = read(&mut ours, ProxyProtocol::V2, balancer(), PATIENCE).await;
        assert_eq!(peer.unwrap_err().cause(), None);
    }

    /// D-02: whatever the bytes are, no more of them are read than a header can have, an address is one that stands in
    /// them, and nothing waits or panics. The changes are the same in each run.
    #[tokio::test(start_paused = true)]
    async fn any_bytes_are_a_header_or_are_refused() {
        let seeds = [
            b"PROXY TCP4 192.0.2.7 10.0.0.1 32768 443\r\nGET / HTTP/1.1\r\n\r\n".to_vec(),
            b"PROXY TCP6 2001:db8::7 ::1 1 2\r\n\x16\x03\x01".to_vec(),
            b"PROXY UNKNOWN ffff:f 65535 65535\r\n\r\n".to_vec(),
            [&header(0x21, 0x11, 17, &tcp4(5))[..], b"GET /"].concat(),
            header(0x21, 0x21, 36, &tcp6("2001:db8::7")),
            header(0x20, 0x00, 0, b"GET / HTTP/1.1\r\n"),
            header(0x21, 0x31, 216, &[b'/'; 216]),
        ];
        let mut dice = 0x9E37_79B9_7F4A_7C15_u64;
        let mut below = |limit: usize| {
            dice ^= dice << 13;
            dice ^= dice >> 7;
            dice ^= dice << 17;
            usize::try_from(dice % limit.max(1) as u64).unwrap()
        };
        let mut read_as_header = 0;
        for turn in 0..20_000 {
            let mut bytes = seeds[turn % seeds.len()].clone();
            for _ in 0..below(4) {
                let at = below(bytes.len());
                match below(4) {
                    0 => bytes[at] ^= 1 << below(8),
                    1 => drop(bytes.drain(at..(at + below(6)).min(bytes.len()))),
                    2 => bytes.truncate(at + 1),
                    _ => {
                        let piece: &[u8] =
                            [&b" "[..], b"\r\n", b"0", b"::", b"\xff", b"\0"][below(6)];
                        drop(bytes.splice(at..at, piece.iter().copied()));
                    }
                }
            }
            for version in [ProxyProtocol::V1, ProxyProtocol::V2] {
                let mut rest = &bytes[..];
                let peer = read(&mut rest, version, balancer(), PATIENCE).await;
                let read = bytes.len() - rest.len();
                let most = match version {
                    ProxyProtocol::V1 => LINE_BYTES_MAX,
                    ProxyProtocol::V2 => HEADER_BYTES_MAX,
                };
                assert!(read <= most, "{}", bytes.escape_ascii());
                read_as_header += usize::from(peer.is_ok());
                if let (ProxyProtocol::V1, Ok(Peer::Address(address))) = (version, &peer) {
                    let line = String::from_utf8_lossy(&bytes[..read]);
                    let written = line.split(' ').filter_map(|word| word.parse::<IpAddr>().ok());
                    assert!(written.map(|it| it.to_canonical()).any(|it| it == *address), "{line}");
                }
            }
        }
        assert!(read_as_header > 5_000, "{read_as_header} were headers");
    }
}
