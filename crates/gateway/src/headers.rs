//! What the upstream is told: strip everything that we ever set, then set it.
//!
//! Applications read headers through layers that treat `-`, `_` and `.` alike and letters without regard to
//! case, so names are compared by [folding](FoldedName): letters in lower case, everything else dropped. A
//! header that folds to one of ours is removed from every request, on every route, public ones too; only then
//! is ours added. Where an attribute is missing the header is sent empty, so that nothing behind us can
//! take the place for free.
//!
//! Sources: RFC 9110 §7.6.1, RFC 9700 §4.13; the class C of published advisories; requirements A-TS-2, C-77.

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::Arc;

use ahash::RandomState;
use http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::memory::Memory;
use crate::request::{ClientAddress, RequestId};
use crate::route::Route;
use crate::template::{Person, Template};

/// What a route tells its upstream about a person: headers with templates, in order, and headers to remove.
#[derive(Clone, Debug, Default)]
pub struct IdentityHeaders {
    /// Set on every admitted request.
    pub set: Vec<(HeaderName, Template)>,
    /// Removed from every request of the route and not set, such as `Authorization`.
    pub remove: Vec<HeaderName>,
}

/// A named set of headers that a family of applications expects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Preset {
    /// Its name in the configuration.
    pub name: &'static str,
    /// Headers and their templates.
    pub headers: &'static [(&'static str, &'static str)],
}

/// The presets, by name (C-79).
pub const PRESETS: &[Preset] = &[
    Preset {
        name: "authelia",
        headers: &[
            ("remote-user", "{user}"),
            ("remote-name", "{name}"),
            ("remote-email", "{email}"),
            ("remote-groups", "{groups | join(',')}"),
        ],
    },
    Preset {
        name: "authentik",
        headers: &[
            ("x-authentik-username", "{user}"),
            ("x-authentik-name", "{name}"),
            ("x-authentik-email", "{email}"),
            ("x-authentik-groups", "{groups | join('|')}"),
            ("x-authentik-uid", "{subject}"),
        ],
    },
    Preset {
        name: "grafana",
        headers: &[
            ("x-webauth-user", "{user}"),
            ("x-webauth-name", "{name}"),
            ("x-webauth-email", "{email}"),
            ("x-webauth-groups", "{groups | join(',')}"),
        ],
    },
    Preset {
        name: "headers",
        headers: &[
            ("x-forwarded-user", "{user}"),
            ("x-forwarded-email", "{email}"),
            ("x-forwarded-groups", "{groups | join(',')}"),
            ("x-forwarded-preferred-username", "{user}"),
            ("x-forwarded-subject-type", "{subject_type}"),
        ],
    },
    Preset {
        name: "jenkins",
        headers: &[
            ("x-forwarded-user", "{user}"),
            ("x-forwarded-mail", "{email}"),
            ("x-forwarded-displayname", "{name}"),
            ("x-forwarded-groups", "{groups | join('|')}"),
        ],
    },
    Preset { name: "none", headers: &[] },
    Preset {
        name: "opensearch",
        headers: &[("x-proxy-user", "{user}"), ("x-proxy-roles", "{groups | join(',')}")],
    },
];

/// Headers about the client and the public address, which only we may write.
const FORWARDING: &[&str] = &[
    "forwarded",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-prefix",
    "x-forwarded-proto",
    "x-forwarded-scheme",
    "x-forwarded-server",
    "x-forwarded-ssl",
    "x-forwarded-uri",
    "x-forwarded-method",
    "x-original-host",
    "x-original-uri",
    "x-original-url",
    "x-rewrite-url",
    "x-real-ip",
    "x-client-ip",
    "x-request-id",
    "true-client-ip",
    // A method other than the one that the rules judged.
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
    // CGI would make `HTTP_PROXY` of it (CVE-2016-5385).
    "proxy",
];

/// The names that are removed from whatever a client sends.
#[derive(Clone, Debug, Default)]
pub struct Stripped {
    names: HashSet<FoldedName, RandomState>,
    /// The first bytes of all folded names, one bit each. Most of what clients and upstreams send begins otherwise
    /// (`accept`, `cookie`, `content-length`), and is then not looked for.
    beginnings: u128,
    /// A folded name is never longer than the longest that we know.
    longest: usize,
}

/// A header's name with case and every byte that is neither letter nor digit taken out: `X_Auth.User` and
/// `x-auth-user` are both `xauthuser`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FoldedName(Box<[u8]>);

impl FoldedName {
    /// Folds a name.
    pub fn new(name: &str) -> Self {
        Self(fold(name).collect())
    }
}

impl std::borrow::Borrow<[u8]> for FoldedName {
    fn borrow(&self) -> &[u8] {
        &self.0
    }
}

fn fold(name: &str) -> impl Iterator<Item = u8> {
    name.bytes().filter(u8::is_ascii_alphanumeric).map(|byte| byte.to_ascii_lowercase())
}

impl Stripped {
    /// Everything that any preset, any of `routes` and we ourselves ever set.
    pub fn new<'a>(routes: impl IntoIterator<Item = &'a IdentityHeaders>) -> Self {
        let presets = PRESETS.iter().flat_map(|preset| preset.headers).map(|(name, _)| *name);
        let mut names: HashSet<FoldedName, RandomState> =
            presets.chain(FORWARDING.iter().copied()).map(FoldedName::new).collect();
        for headers in routes {
            let identity = headers.set.iter().filter(|(name, _)| !belongs_to_the_client(name));
            names.extend(identity.map(|(name, _)| FoldedName::new(name.as_str())));
        }
        let longest = names.iter().map(|name| name.0.len()).max().unwrap_or_default();
        let firsts = names.iter().filter_map(|name| name.0.first());
        let beginnings = firsts.fold(0, |beginnings, first| beginnings | bit(*first));
        Self { names, beginnings, longest }
    }

    /// Whether a client's header of this name is removed.
    pub fn contains(&self, name: &str) -> bool {
        if fold(name).next().is_some_and(|first| self.beginnings & bit(first) == 0) {
            return false;
        }
        let mut folded = [0_u8; 64];
        let mut length = 0;
        for byte in fold(name) {
            let Some(place) = folded.get_mut(length) else {
                return self.names.contains(&FoldedName::new(name));
            };
            *place = byte;
            length += 1;
            if length > self.longest {
                return false;
            }
        }
        folded.get(..length).is_some_and(|folded| self.names.contains(folded))
    }
}

/// A letter or digit as one bit of a set.
fn bit(byte: u8) -> u128 {
    1 << (byte & 0x7F)
}

/// Headers with a meaning of their own in HTTP: a route may replace them, other routes keep the client's.
fn belongs_to_the_client(name: &HeaderName) -> bool {
    [
        header::AUTHORIZATION,
        header::COOKIE,
        header::HOST,
        header::ACCEPT,
        header::USER_AGENT,
        header::REFERER,
        header::ORIGIN,
    ]
    .contains(name)
}

/// What all requests of one person, or of nobody, to one route have in common: made once and copied, because to put
/// header after header into a map costs several times as much.
#[derive(Debug)]
pub struct Introduction {
    /// About the person, and where browsers know the route.
    headers: HeaderMap,
    /// Whose address they say as well: that of the first request. Most people have one for a while.
    client: Option<IpAddr>,
    /// The client's headers that do not get through, by exact name, beside everything that [`Stripped`] contains.
    withheld: Vec<HeaderName>,
}

/// The edits of one admitted request. Applying them twice is the same as once.
#[derive(Clone, Debug)]
pub struct HeaderEdits {
    introduction: Arc<Introduction>,
    request_id: HeaderValue,
    way: Way,
}

/// How a request came here.
#[derive(Clone, Debug)]
enum Way {
    /// As the introduction says.
    AsIntroduced,
    /// From this address, in these steps.
    From { client: HeaderValue, path: HeaderValue },
    /// From somewhere without an address.
    Unknown,
}

/// What the forwarding headers say.
#[derive(Clone, Debug)]
pub struct Forwarding<'a> {
    /// The client, if it has an address.
    pub client: ClientAddress,
    /// The addresses before us that were believed, the client first; empty where that is the client alone.
    pub path: &'a [IpAddr],
    /// The request's id.
    pub request_id: &'a RequestId,
    /// What the connection remembers, where the door keeps that.
    pub memory: Option<&'a Memory>,
}

impl Forwarding<'_> {
    fn way_from(&self, client: IpAddr) -> Way {
        let written = match self.memory {
            Some(memory) => memory.address_header(client, address_header),
            None => address_header(client),
        };
        let Some(client) = written else { return Way::Unknown };
        let path = match self.path {
            [] | [_] => client.clone(),
            path => {
                let path: Vec<String> = path.iter().map(ToString::to_string).collect();
                // Addresses are always the value of a header.
                HeaderValue::from_str(&path.join(", ")).unwrap_or_else(|_| client.clone())
            }
        };
        Way::From { client, path }
    }
}

impl IdentityHeaders {
    /// The headers for `person`, or for nobody on a public rule.
    ///
    /// A template about a person sets nothing for nobody, nor one about an access token where there is none; the
    /// client's own header of that name is gone all the same.
    fn fill(&self, person: Option<Person<'_>>) -> impl Iterator<Item = (HeaderName, HeaderValue)> {
        let is_said = move |template: &Template| match person {
            Some(person) => person.access_token.is_some() || !template.has_access_token(),
            None => !template.is_about_a_person(),
        };
        self.set
            .iter()
            .filter(move |(_, template)| is_said(template))
            .map(move |(name, template)| (name.clone(), template.fill(person)))
    }
}

impl Introduction {
    /// What the upstream of `route` is told about `person`, or about nobody on a public rule; first in a request from
    /// `client`.
    pub fn new(route: &Route, person: Option<Person<'_>>, client: Option<IpAddr>) -> Self {
        let mut headers = HeaderMap::with_capacity(HEADERS_USUAL);
        headers.extend(route.identity.fill(person));
        let scheme = HeaderValue::from_static(route.origin.scheme().as_str());
        headers.insert(X_FORWARDED_PROTO, scheme);
        headers.insert(X_FORWARDED_HOST, route.origin.authority_header().clone());
        // Applications make links of it, so it is the address that browsers know.
        headers.insert(header::HOST, route.origin.authority_header().clone());
        // Each request fills this one. The two below are right for requests from `client`; others set them anew.
        headers.insert(X_REQUEST_ID, HeaderValue::from_static(""));
        let address = client.and_then(address_header).unwrap_or(HeaderValue::from_static(""));
        headers.insert(X_FORWARDED_FOR, address.clone());
        headers.insert(X_REAL_IP, address);

        let mut withheld = route.identity.remove.clone();
        // A header that a person fills, or would have filled, must not be the client's either.
        withheld.extend(route.identity.set.iter().map(|(name, _)| name.clone()));
        withheld.push(header::HOST);
        // Where we read tokens, nothing that was not verified looks as if it had been.
        if route.clients.bearer.is_some() {
            withheld.push(header::AUTHORIZATION);
        }
        Self { headers, client, withheld }
    }

    /// What the upstream of `route` is told about the owner of a token that was verified; and the token itself, where
    /// the route says so.
    pub fn of_token(route: &Route, owner: Person<'_>, client: Option<IpAddr>) -> Self {
        let mut introduction = Self::new(route, Some(owner), client);
        let is_forwarded = route.clients.bearer.as_ref().is_some_and(|bearer| bearer.forward);
        let is_ours = introduction.headers.contains_key(header::AUTHORIZATION)
            || route.identity.remove.contains(&header::AUTHORIZATION);
        if is_forwarded && !is_ours {
            introduction.withheld.retain(|name| *name != header::AUTHORIZATION);
        }
        introduction
    }
}

impl HeaderEdits {
    /// The edits for a request, on top of what its upstream is told in any case.
    pub fn new(introduction: Arc<Introduction>, request: &Forwarding<'_>) -> Self {
        let request_id = request.request_id.as_header().clone();
        let way = match request.client.address() {
            None => Way::Unknown,
            Some(client) if introduction.client == Some(client) && request.path.len() <= 1 => {
                Way::AsIntroduced
            }
            Some(client) => request.way_from(client),
        };
        Self { introduction, request_id, way }
    }

    /// The headers for the upstream: ours, and what of those that were `sent` is not withheld. Names that
    /// [`Stripped`] contains must be gone from them already.
    pub fn apply(&self, sent: impl Iterator<Item = (HeaderName, HeaderValue)>) -> HeaderMap {
        let Introduction { headers, withheld, client: _ } = &*self.introduction;
        let mut headers = headers.clone();
        for (name, value) in sent.filter(|(name, _)| !withheld.contains(name)) {
            headers.append(name, value);
        }
        headers.insert(X_REQUEST_ID, self.request_id.clone());
        match &self.way {
            Way::AsIntroduced => {}
            Way::From { client, path } => {
                headers.insert(X_FORWARDED_FOR, path.clone());
                headers.insert(X_REAL_IP, client.clone());
            }
            Way::Unknown => {
                headers.remove(X_FORWARDED_FOR);
                headers.remove(X_REAL_IP);
            }
        }
        headers
    }

    /// The client's headers that do not get through, by exact name, beside everything that [`Stripped`] contains.
    pub fn withheld(&self) -> &[HeaderName] {
        &self.introduction.withheld
    }

    /// What a header of ours about the person or the route says.
    pub fn says(&self, name: &str) -> Option<&HeaderValue> {
        self.introduction.headers.get(name)
    }

    /// Whether a client's own header reaches the upstream.
    pub fn passes_on(&self, name: &HeaderName, stripped: &Stripped) -> bool {
        !self.introduction.withheld.contains(name) && !stripped.contains(name.as_str())
    }
}

/// An address as the value of a header.
fn address_header(address: IpAddr) -> Option<HeaderValue> {
    let IpAddr::V4(address) = address else { return address.to_string().try_into().ok() };
    // By hand: formatting costs more than all other headers of a request together.
    let mut text = Vec::with_capacity("255.255.255.255".len());
    for octet in address.octets() {
        if !text.is_empty() {
            text.push(b'.');
        }
        if octet >= 100 {
            text.push(b'0' + octet / 100);
        }
        if octet >= 10 {
            text.push(b'0' + octet / 10 % 10);
        }
        text.push(b'0' + octet % 10);
    }
    text.try_into().ok()
}

/// Room for ours and what clients send, so that copies rarely have to grow.
const HEADERS_USUAL: usize = 24;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");
const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

#[cfg(test)]
mod tests {
    use super::*;
    use crate::forwarded::{Peer, TrustedProxies};
    use crate::identity::Identity;
    use crate::request::{Received, Request, Transport};

    /// C1: every spelling that some application layer would read as ours.
    #[test]
    fn every_spelling_of_an_identity_header_is_stripped() {
        let stripped = Stripped::new([]);
        for name in [
            "X-Forwarded-User",
            "Proxy",
            "X-HTTP-Method",
            "X_Method_Override",
            "x_forwarded_user",
            "X.Forwarded.User",
            "XForwardedUser",
            "x--forwarded-user",
            "X-FORWARDED_user",
            "x+forwarded+user",
            "X-WebAuth-User",
            "Remote_User",
            "forwarded",
            "X-Real_IP",
        ] {
            assert!(stripped.contains(name), "{name}");
        }
        for name in [
            "accept",
            "x-forwarded-users",
            "user",
            "x-requested-with",
            "authorization",
            "",
            "x-".repeat(90).as_str(),
        ] {
            assert!(!stripped.contains(name), "{name}");
        }
    }

    #[test]
    fn a_header_of_one_route_is_stripped_on_all() {
        let template = Template::parse("{user}", |_| None).unwrap();
        let headers = IdentityHeaders {
            set: vec![
                (HeaderName::from_static("x-my-user"), template.clone()),
                (header::AUTHORIZATION, template),
            ],
            remove: Vec::new(),
        };
        let stripped = Stripped::new([&headers]);
        assert!(stripped.contains("X_My_User"));
        assert!(!stripped.contains("authorization"), "other routes' clients keep their own");
    }

    fn edits(
        set: &[(&'static str, &str)],
        remove: &[&'static str],
        identity: Option<&Identity>,
    ) -> HeaderEdits {
        edits_after(None, set, remove, identity)
    }

    /// The edits for a request from 192.0.2.1, of somebody who was first seen at the address `first`.
    fn edits_after(
        first: Option<IpAddr>,
        set: &[(&'static str, &str)],
        remove: &[&'static str],
        identity: Option<&Identity>,
    ) -> HeaderEdits {
        let mut route = crate::route::tests::route("app", "https://app.test:8443/x");
        let template = |text| Template::parse(text, |_| None).unwrap();
        let set = set.iter().map(|(name, text)| (HeaderName::from_static(name), template(text)));
        route.identity.set = set.collect();
        route.identity.remove = remove.iter().map(|name| HeaderName::from_static(name)).collect();
        let headers = HeaderMap::new();
        let received = Received {
            method: &http::Method::GET,
            target: "/",
            authority: "app.test:8443",
            headers: &headers,
            peer: Peer::Address([192, 0, 2, 1].into()),
            trusted: &TrustedProxies::default(),
            transport: Transport::Plain,
            fresh_id: "request-1".into(),
        };
        let request = Request::read(received).unwrap();
        let forwarding = Forwarding {
            client: request.client,
            path: &request.via,
            request_id: &request.id,
            memory: request.memory,
        };
        let introduction = Introduction::new(&route, identity.map(Into::into), first);
        HeaderEdits::new(Arc::new(introduction), &forwarding)
    }

    /// What a door makes of a client's headers.
    fn applied(edits: &HeaderEdits, sent: &HeaderMap) -> HeaderMap {
        let stripped = Stripped::new([]);
        let kept = sent.iter().filter(|(name, _)| !stripped.contains(name.as_str()));
        edits.apply(kept.map(|(name, value)| (name.clone(), value.clone())))
    }

    fn forged() -> HeaderMap {
        let mut headers = HeaderMap::new();
        for name in ["x-forwarded-user", "x-forwarded-email", "x-my-role", "authorization"] {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static("root"));
        }
        headers.append("x-forwarded-user", HeaderValue::from_static("root again"));
        headers.append("accept", HeaderValue::from_static("text/html"));
        headers
    }

    const PERSONAL: [(&str, &str); 4] = [
        ("x-forwarded-user", "{user}"),
        ("x-forwarded-email", "{email}"),
        ("x-my-role", "{claims.role}"),
        ("x-tenant", "blue"),
    ];

    /// C2: what a person lacks is said, so that nobody else can say it.
    #[test]
    fn an_attribute_that_is_missing_is_sent_empty() {
        let ada = crate::identity::tests::person_with_email("ada@example.com", Some(false));
        let headers = applied(&edits(&PERSONAL, &[], Some(&ada)), &forged());

        for (name, expected) in [
            ("x-forwarded-user", "ada"),
            ("x-forwarded-email", ""),
            ("x-my-role", ""),
            ("x-tenant", "blue"),
        ] {
            let values: Vec<_> = headers.get_all(name).iter().collect();
            assert_eq!(values, [expected], "{name}");
        }
        assert_eq!(headers["authorization"], "root", "the client's own, unless the route says so");
    }

    /// C3, C-77: on a public path nobody is told who nobody is, and forged headers are gone.
    #[test]
    fn nobody_is_nobody() {
        let headers = applied(&edits(&PERSONAL, &[], None), &forged());

        for name in ["x-forwarded-user", "x-forwarded-email", "x-my-role"] {
            assert!(!headers.contains_key(name), "{name}");
        }
        assert_eq!(headers["x-tenant"], "blue", "what is about nobody is always said");
        assert_eq!(headers["accept"], "text/html");
    }

    /// C8: a route may keep the client's credentials from its upstream, or put its own in their place.
    #[test]
    fn a_route_decides_about_authorization() {
        let ada = crate::identity::tests::person("ada", &[]);
        for (set, remove, identity, expected) in [
            (&[][..], &["authorization"][..], Some(&ada), None),
            (&[], &["authorization"], None, None),
            (&[("authorization", "Person {user}")], &[], Some(&ada), Some("Person ada")),
            (&[("authorization", "Person {user}")], &[], None, None),
            (&[("authorization", "Fixed x")], &[], None, Some("Fixed x")),
            (&[], &[], Some(&ada), Some("root")),
        ] {
            let headers = applied(&edits(set, remove, identity), &forged());
            let sent = headers.get("authorization").map(|value| value.to_str().unwrap());
            assert_eq!(sent, expected, "{set:?} {remove:?} {}", identity.is_some());
        }
    }

    /// D: what is said of the way here is ours, and comes from the configuration and the connection.
    #[test]
    fn the_way_here_is_said_by_us() {
        let mut sent = HeaderMap::new();
        for name in ["x-forwarded-host", "x-forwarded-proto", "x-forwarded-for", "forwarded"] {
            sent.append(HeaderName::from_static(name), HeaderValue::from_static("evil.test"));
        }
        for first in [None, Some([192, 0, 2, 1].into()), Some([192, 0, 2, 9].into())] {
            let headers = applied(&edits_after(first, &[], &[], None), &sent);

            for (name, expected) in [
                ("x-forwarded-host", Some("app.test:8443")),
                ("x-forwarded-proto", Some("https")),
                ("x-forwarded-for", Some("192.0.2.1")),
                ("x-real-ip", Some("192.0.2.1")),
                ("x-request-id", Some("request-1")),
                ("forwarded", None),
            ] {
                let sent = headers.get(name).map(|value| value.to_str().unwrap());
                assert_eq!(sent, expected, "{name}, {first:?}");
            }
        }
    }

    #[test]
    fn an_address_is_written_as_everybody_writes_it() {
        for address in ["0.0.0.0", "9.10.99.100", "192.0.2.1", "255.255.255.255", "2001:db8::1"] {
            assert_eq!(address_header(address.parse().unwrap()).unwrap(), address);
        }
    }

    #[test]
    fn edits_are_idempotent() {
        let ada = crate::identity::tests::person("ada", &[]);
        for identity in [Some(&ada), None] {
            let edits = edits(&PERSONAL, &["authorization"], identity);
            let once = applied(&edits, &forged());
            assert_eq!(applied(&edits, &once), once);
        }
    }

    #[test]
    fn every_preset_can_be_read() {
        for preset in PRESETS {
            for (name, template) in preset.headers {
                assert_eq!(HeaderName::from_static(name).as_str(), *name);
                assert!(Template::parse(template, |_| None).is_ok(), "{template}");
            }
        }
        assert!(PRESETS.is_sorted_by_key(|preset| preset.name));
    }

    proptest::proptest! {
        /// C1, O2: whatever a client sends in whatever spelling, the upstream reads each name of ours once, and
        /// it is ours.
        #[test]
        fn what_is_stripped_and_set_is_there_once(
            sent in proptest::collection::vec(
                (0..PERSONAL.len() + 6, "[-_.+~!]{0,2}", proptest::bool::ANY, "[ -~]{0,12}"),
                0..12,
            ),
            somebody: bool,
        ) {
            let ada = crate::identity::tests::person("ada", &["sre"]);
            let edits = edits(&PERSONAL, &[], somebody.then_some(&ada));
            let names = PERSONAL.iter().map(|(name, _)| *name);
            let names: Vec<&str> = names
                .chain(["x-forwarded-for", "x-forwarded-host", "x-real-ip", "x-request-id", "forwarded", "accept"])
                .collect();
            let own = [IdentityHeaders {
                set: PERSONAL
                    .iter()
                    .map(|(name, text)| {
                        (HeaderName::from_static(name), Template::parse(text, |_| None).unwrap())
                    })
                    .collect(),
                remove: Vec::new(),
            }];
            let stripped = Stripped::new(&own);
            let mut headers = HeaderMap::new();
            for (name, joint, capitals, value) in &sent {
                let spelled = names[*name].replace('-', joint);
                let spelled = if *capitals { spelled.to_ascii_uppercase() } else { spelled };
                // The door does this before the edits, with every header that came.
                if stripped.contains(&spelled) {
                    continue;
                }
                headers.append(HeaderName::try_from(spelled).unwrap(), HeaderValue::try_from(value).unwrap());
            }
            let received = applied(&edits, &headers);
            for (name, expected) in &edits.apply(std::iter::empty()) {
                let folded = FoldedName::new(name.as_str());
                let values: Vec<_> = received
                    .iter()
                    .filter(|(found, _)| FoldedName::new(found.as_str()) == folded)
                    .map(|(_, value)| value)
                    .collect();
                proptest::prop_assert_eq!(values, [expected], "{}", name);
            }
            let accepts = sent.iter().filter(|(name, ..)| names[*name] == "accept").count();
            proptest::prop_assert_eq!(received.get_all("accept").iter().count(), accepts);
        }
    }
}
