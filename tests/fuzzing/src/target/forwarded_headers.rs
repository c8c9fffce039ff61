//! `X-Forwarded-For`: strangers are believed by nobody (D1 to D5).

use std::net::IpAddr;

use http::{HeaderMap, HeaderName, HeaderValue};
use lychgate_gateway::forwarded::{Origin, Peer, TrustedProxies, client};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The lines of a request's `X-Forwarded-For`, one per line of the text.
///
/// A stranger's word changes nothing; every address between the client and us is one that the operator listed;
/// the client itself is not listed, or else every line was used up; and what stands further left than a stranger
/// changes nothing either.
///
/// # Panics
/// When one of these does not hold.
pub fn forwarded_headers(bytes: &[u8]) {
    let lines: Vec<_> = bytes
        .split(|byte| *byte == b'\n')
        .filter_map(|line| HeaderValue::from_bytes(line).ok())
        .collect();
    let headers = |lines: &[HeaderValue]| -> HeaderMap {
        lines.iter().map(|line| (X_FORWARDED_FOR, line.clone())).collect()
    };
    let trusted = TrustedProxies {
        networks: ["10.0.0.0/8", "::1/128"].map(|text| text.parse().expect("a network")).to_vec(),
        unix: true,
    };
    let near = Peer::Address(IpAddr::from([10, 0, 0, 5]));
    let stranger = IpAddr::from([203, 0, 113, 9]);
    let sent = headers(&lines);

    let unbelieved = client(Peer::Address(stranger), &trusted, &sent);
    assert_eq!(unbelieved, Origin { client: Some(stranger), path: Vec::new() });
    let nobody = TrustedProxies::default();
    assert_eq!(client(Peer::Unix, &nobody, &sent), Origin { client: None, path: Vec::new() });

    for peer in [near, Peer::Unix] {
        let found = client(peer, &trusted, &sent);
        assert_eq!(found.client, found.path.first().copied());
        let mut hops = found.path.iter().skip(1);
        assert!(hops.all(|hop| trusted.trusts(Peer::Address(*hop))), "{found:?}");
        let Some(address) = found.client else { continue };
        assert_eq!(address, address.to_canonical(), "one address in two spellings");
        if !trusted.trusts(Peer::Address(address)) {
            let mut longer = vec![HeaderValue::from_static("10.0.0.6, 198.51.100.1, nonsense")];
            longer.extend_from_slice(&lines);
            assert_eq!(client(peer, &trusted, &headers(&longer)), found, "a stranger is believed");
        }
    }
}
