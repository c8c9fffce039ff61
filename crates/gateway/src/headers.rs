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

use crate::identity::Identity;
use crate::request::ClientAddress;
use crate::route::Route;
use crate::template::Template;

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
    "x-http-method-override",
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

impl HeaderEdits {
    /// The edits for a request to `route` by `identity`, or by nobody on a public rule.
    ///
    /// A template about a person sets nothing for nobody; the client's own header of that name is gone all
    /// the same.
    pub fn new(route: &Route, identity: Option<&Identity>, forwarding: &Forwarding<'_>) -> Self {
        let mut set = Vec::with_capacity(route.identity.set.len() + 5);
        for (name, template) in &route.identity.set {
            if identity.is_some() || !template.is_about_a_person() {
                set.push((name.clone(), template.fill(identity)));
            }
        }
        let mut forward = |name: &'static str, value: &str| {
            if let Ok(value) = HeaderValue::try_from(value) {
                set.push((HeaderName::from_static(name), value));
            }
        };
        forward("x-forwarded-proto", route.origin.scheme().as_str());
        forward("x-forwarded-host", route.origin.authority());
        forward("x-request-id", forwarding.request_id);
        if let Some(address) = forwarding.client.address() {
            let path: Vec<String> = forwarding.path.iter().map(ToString::to_string).collect();
            forward("x-forwarded-for", &path.join(", "));
            forward("x-real-ip", &address.to_string());
        }
        let mut remove = route.identity.remove.clone();
        // Nobody: a header that a person would have filled must not be the client's either.
        let unset = route
            .identity
            .set
            .iter()
            .map(|(name, _)| name)
            .filter(|name| !set.iter().any(|(is_set, _)| is_set == *name));
        remove.extend(unset.cloned());
        Self { remove, set }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// C1: every spelling that some application layer would read as ours.
    #[test]
    fn every_spelling_of_an_identity_header_is_stripped() {
        let stripped = Stripped::new([]);
        for name in [
            "X-Forwarded-User",
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
