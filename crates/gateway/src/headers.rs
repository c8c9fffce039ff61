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

use http::{HeaderName, HeaderValue, header};

use crate::request::ClientAddress;
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
    names: HashSet<FoldedName>,
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
        let mut names: HashSet<FoldedName> =
            presets.chain(FORWARDING.iter().copied()).map(FoldedName::new).collect();
        for headers in routes {
            let identity = headers.set.iter().filter(|(name, _)| !belongs_to_the_client(name));
            names.extend(identity.map(|(name, _)| FoldedName::new(name.as_str())));
        }
        let longest = names.iter().map(|name| name.0.len()).max().unwrap_or_default();
        Self { names, longest }
    }

    /// Whether a client's header of this name is removed.
    pub fn contains(&self, name: &str) -> bool {
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

/// The edits of one admitted request. Applying them twice is the same as once.
#[derive(Clone, Debug)]
pub struct HeaderEdits {
    /// Removed first, by exact name, beside everything that [`Stripped`] contains.
    pub remove: Vec<HeaderName>,
    /// Then set, replacing any that are there.
    pub set: Vec<(HeaderName, HeaderValue)>,
}

/// What the forwarding headers say.
#[derive(Clone, Debug)]
pub struct Forwarding<'a> {
    /// The client, if it has an address.
    pub client: ClientAddress,
    /// The addresses before us that were believed, the client first.
    pub path: &'a [IpAddr],
    /// The request's id.
    pub request_id: &'a str,
}

impl IdentityHeaders {
    /// The headers for `person`, or for nobody on a public rule.
    ///
    /// A template about a person sets nothing for nobody, nor one about an access token where there is none; the
    /// client's own header of that name is gone all the same.
    pub fn fill(&self, person: Option<Person<'_>>) -> Vec<(HeaderName, HeaderValue)> {
        let is_said = |template: &Template| match person {
            Some(person) => person.access_token.is_some() || !template.has_access_token(),
            None => !template.is_about_a_person(),
        };
        self.set
            .iter()
            .filter(|(_, template)| is_said(template))
            .map(|(name, template)| (name.clone(), template.fill(person)))
            .collect()
    }
}

impl HeaderEdits {
    /// The edits for a request to `route`, with what [`IdentityHeaders::fill`] made of its identity headers.
    pub fn new(
        route: &Route,
        identity: &[(HeaderName, HeaderValue)],
        forwarding: &Forwarding<'_>,
    ) -> Self {
        let mut set = Vec::with_capacity(identity.len() + 5);
        set.extend_from_slice(identity);
        let mut forward = |name: HeaderName, value: Result<HeaderValue, _>| {
            if let Ok(value) = value {
                set.push((name, value));
            }
        };
        let scheme = HeaderValue::from_static(route.origin.scheme().as_str());
        forward(X_FORWARDED_PROTO, Ok(scheme));
        forward(X_FORWARDED_HOST, HeaderValue::from_str(route.origin.authority()));
        forward(X_REQUEST_ID, HeaderValue::from_str(forwarding.request_id));
        if let Some(address) = forwarding.client.address() {
            let client = HeaderValue::try_from(address.to_string());
            if let ([_], Ok(client)) = (forwarding.path, &client) {
                forward(X_FORWARDED_FOR, Ok(client.clone()));
            } else {
                let path: Vec<String> = forwarding.path.iter().map(ToString::to_string).collect();
                forward(X_FORWARDED_FOR, HeaderValue::from_str(&path.join(", ")));
            }
            forward(X_REAL_IP, client);
        }
        let mut remove = route.identity.remove.clone();
        if identity.len() < route.identity.set.len() {
            // Nobody: a header that a person would have filled must not be the client's either.
            let names = route.identity.set.iter().map(|(name, _)| name);
            let unset = names.filter(|name| !set.iter().any(|(is_set, _)| is_set == *name));
            remove.extend(unset.cloned());
        }
        Self { remove, set }
    }

    /// Whether a client's own header reaches the upstream.
    pub fn passes_on(&self, name: &HeaderName, stripped: &Stripped) -> bool {
        !self.remove.contains(name) && !stripped.contains(name.as_str())
    }
}

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
        let mut route = crate::route::tests::route("app", "https://app.test:8443/x");
        let template = |text| Template::parse(text, |_| None).unwrap();
        let set = set.iter().map(|(name, text)| (HeaderName::from_static(name), template(text)));
        route.identity.set = set.collect();
        route.identity.remove = remove.iter().map(|name| HeaderName::from_static(name)).collect();
        let headers = http::HeaderMap::new();
        let received = Received {
            method: &http::Method::GET,
            target: "/",
            authority: "app.test:8443",
            headers: &headers,
            peer: Peer::Address([192, 0, 2, 1].into()),
            trusted: &TrustedProxies::default(),
            transport: Transport::Plain,
            fresh_id: "request-1",
        };
        let request = Request::read(received).unwrap();
        let forwarding =
            Forwarding { client: request.client, path: &request.via, request_id: &request.id };
        HeaderEdits::new(&route, &route.identity.fill(identity.map(Into::into)), &forwarding)
    }

    /// What a door makes of a client's headers.
    fn applied(edits: &HeaderEdits, sent: &http::HeaderMap) -> http::HeaderMap {
        let stripped = Stripped::new([]);
        let mut headers: http::HeaderMap = sent
            .iter()
            .filter(|(name, _)| !stripped.contains(name.as_str()) && !edits.remove.contains(name))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        for (name, value) in &edits.set {
            headers.insert(name.clone(), value.clone());
        }
        headers
    }

    fn forged() -> http::HeaderMap {
        let mut headers = http::HeaderMap::new();
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
        let mut sent = http::HeaderMap::new();
        for name in ["x-forwarded-host", "x-forwarded-proto", "x-forwarded-for", "forwarded"] {
            sent.append(HeaderName::from_static(name), HeaderValue::from_static("evil.test"));
        }
        let headers = applied(&edits(&[], &[], None), &sent);

        for (name, expected) in [
            ("x-forwarded-host", Some("app.test:8443")),
            ("x-forwarded-proto", Some("https")),
            ("x-forwarded-for", Some("192.0.2.1")),
            ("x-real-ip", Some("192.0.2.1")),
            ("x-request-id", Some("request-1")),
            ("forwarded", None),
        ] {
            let sent = headers.get(name).map(|value| value.to_str().unwrap());
            assert_eq!(sent, expected, "{name}");
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
}
