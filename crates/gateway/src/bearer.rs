//! Programs that present a token: what a route asks of it, and what is known of one that was presented.
//!
//! A token takes the place of a session for one request. Whoever it was issued for is a person to the rules and to
//! the headers, by the same claims as if they had signed in. A bad token is never made good by a session that comes
//! with it: the client meant the token.
//!
//! What became of a token is remembered under a hash of all that decided about it: the token itself, and everything
//! that the route and its issuers ask of one. So a token that was good at one route says nothing at another, and none
//! outlives a change of the configuration.
//!
//! Sources: RFC 6750 §2.1, §3; RFC 7662 §4; RFC 9068 §4; RFC 9728 §2, §3, §5.1.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use http::{HeaderMap, header};
use lychgate_oidc::{AccessTokenRules, Timestamp};
use sha2::{Digest as _, Sha256};

use crate::headers::Introduction;
use crate::identity::Identity;
use crate::route::Route;
use crate::settings::SignInProvider;
use crate::template::Person;

/// Where a client finds out what a route asks of tokens (RFC 9728 §3); the route's path follows.
pub const WELL_KNOWN: &str = "/.well-known/oauth-protected-resource";

/// The tokens of a route.
#[derive(Clone, Debug)]
pub struct Bearer {
    /// The providers whose tokens count, by name; never empty.
    pub issuers: Vec<String>,
    /// What a token has to be.
    pub token: AccessTokenRules,
    /// What it has to be good for: all of these.
    pub scopes: Vec<String>,
    /// Whether the provider is asked about it.
    pub introspection: Introspection,
    /// For how long the provider's word is good, at most.
    pub introspection_cache: Duration,
    /// Whether the upstream sees it.
    pub forward: bool,
    /// Whether clients may find all this out from us.
    pub metadata: bool,
}

/// Which tokens the provider is asked about. Where it is asked about any, there is one issuer: a token that does not
/// say whose it is would otherwise be shown to providers that never issued it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Introspection {
    /// None: a token is a JWT, or no good.
    #[default]
    Never,
    /// Those that are no JWT.
    Opaque,
    /// All, so that one that was revoked is worth nothing from then on.
    Always,
}

/// What a request presents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presented<'a> {
    /// No token.
    Nothing,
    /// A token.
    Token(&'a str),
    /// Something under the name of a token that cannot be one (RFC 6750 §2.1).
    Malformed,
}

impl<'a> Presented<'a> {
    /// Reads `Authorization`. Neither the query nor a form is looked at: addresses are written into logs.
    pub fn read(headers: &'a HeaderMap) -> Self {
        let Some(value) = headers.get(header::AUTHORIZATION) else { return Self::Nothing };
        let value = value.as_bytes();
        let end = value.iter().position(|byte| *byte == b' ').unwrap_or(value.len());
        let (scheme, rest) = value.split_at(end);
        if !scheme.eq_ignore_ascii_case(b"bearer") {
            return Self::Nothing;
        }
        let token = rest.strip_prefix(b" ").and_then(|token| std::str::from_utf8(token).ok());
        let plain = |byte: u8| {
            byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'+' | b'/')
        };
        match token {
            Some(token) if !token.is_empty() => {
                let body = token.trim_end_matches('=');
                match !body.is_empty() && body.bytes().all(plain) {
                    true => Self::Token(token),
                    false => Self::Malformed,
                }
            }
            Some(_) | None => Self::Malformed,
        }
    }
}

/// A token and everything that decides about it, hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TokenId([u8; 32]);

/// Everything beside the token that decides about it at one route, hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Circumstances([u8; 32]);

impl Circumstances {
    /// Of `bearer`, whose issuers are among `providers`.
    pub fn of<'p>(bearer: &Bearer, providers: impl Iterator<Item = &'p SignInProvider>) -> Self {
        let Bearer { issuers, token, introspection, introspection_cache, .. } = bearer;
        // Scopes are looked at every time; what else there is says nothing about a token.
        let mut text = format!("{:?}", (issuers, token, introspection, introspection_cache));
        for SignInProvider { registration, claims, kept_claims, .. } in providers {
            let client = &**registration;
            let (manner, subject) = (&client.manner, &client.answers.subject);
            // What is printed of secrets is no secret. Writing to a text never fails.
            let _ = write!(
                text,
                "\0{:?}",
                (
                    (&client.name, &client.issuer, &client.client_id, client.clock_tolerance),
                    (claims, kept_claims, subject),
                    (&manner.memberships, &manner.quirks, &manner.groups_claim),
                )
            );
        }
        Self(Sha256::digest(text).into())
    }
}

impl TokenId {
    /// Of `token` in these circumstances.
    pub fn of(circumstances: &Circumstances, token: &str) -> Self {
        let hash = Sha256::new().chain_update(circumstances.0).chain_update(token);
        Self(hash.finalize().into())
    }
}

/// A token that is good, and whose it is.
#[derive(Debug)]
pub struct KnownToken {
    circumstances: Circumstances,
    identity: Identity,
    scopes: Vec<String>,
    good_until: Option<Timestamp>,
    keep_for: Duration,
    /// For the route that it was presented to, as it was configured then.
    introduction: OnceLock<(Weak<Route>, Arc<Introduction>)>,
}

impl KnownToken {
    /// A token that was verified at `now` in these circumstances, to be looked at again after `keep_for`, if it is good
    /// for that long.
    pub fn new(
        circumstances: Circumstances,
        identity: Identity,
        scopes: Vec<String>,
        good_until: Option<Timestamp>,
        keep_for: Duration,
        now: Timestamp,
    ) -> Self {
        let left = good_until.map(|until| until.since(now));
        let keep_for = left.map_or(keep_for, |left| left.min(keep_for));
        let introduction = OnceLock::new();
        Self { circumstances, identity, scopes, good_until, keep_for, introduction }
    }

    /// Whether it was found to be good where these held, and no others.
    pub(crate) fn was_good_in(&self, circumstances: &Circumstances) -> bool {
        self.circumstances == *circumstances
    }

    /// Whose it is.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// How long it may be remembered: never past its own end.
    pub fn keep_for(&self) -> Duration {
        self.keep_for
    }

    /// About how many bytes it takes to remember it.
    pub fn size(&self) -> usize {
        let scopes: usize = self.scopes.iter().map(String::len).sum();
        self.identity.size() * 2 + scopes + 512
    }

    /// Whether it is still good.
    pub(crate) fn is_good(&self, now: Timestamp) -> bool {
        self.good_until.is_none_or(|until| now < until)
    }

    /// Until when that is certain: for a token without end, until it has to be looked at again.
    pub(crate) fn good_until(&self, now: Timestamp) -> Timestamp {
        self.good_until.unwrap_or_else(|| now.plus(self.keep_for))
    }

    /// The scopes of `asked` that it lacks.
    pub(crate) fn lacks<'a>(&self, asked: &'a [String]) -> impl Iterator<Item = &'a String> {
        asked.iter().filter(|scope| !self.scopes.contains(scope))
    }

    /// What the upstream of `route` is told about its owner, who comes from `client`.
    pub(crate) fn introduction(
        &self,
        route: &Arc<Route>,
        client: Option<IpAddr>,
    ) -> Arc<Introduction> {
        let owner = Person::from(&self.identity);
        let introduce = || Arc::new(Introduction::of_token(route, owner, client));
        let (to, introduction) =
            self.introduction.get_or_init(|| (Arc::downgrade(route), introduce()));
        let is_it = std::ptr::eq(to.as_ptr(), Arc::as_ptr(route));
        if is_it { Arc::clone(introduction) } else { introduce() }
    }
}

/// What was wrong with a token, in the words of RFC 6750 §3.1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenFault {
    /// It is expired, revoked, malformed, or for somebody else.
    Invalid,
    /// It is good, and not for this. With the scopes that would be enough, where scopes would be.
    Insufficient(Vec<String>),
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn bearer(audience: &str) -> Bearer {
        Bearer {
            issuers: vec!["corp".to_owned()],
            token: AccessTokenRules {
                audiences: Some(vec![audience.to_owned()]),
                algorithms: Vec::new(),
                typ: lychgate_oidc::AccessTokenType::Inferred,
            },
            scopes: Vec::new(),
            introspection: Introspection::Never,
            introspection_cache: Duration::ZERO,
            forward: false,
            metadata: true,
        }
    }

    /// G16; RFC 6750 §2.1: one token after one space, and nothing that some reader would take for two.
    #[test]
    fn a_token_is_read_in_one_form() {
        for (value, expected) in [
            ("Bearer abc.DEF-_~+/123==", Presented::Token("abc.DEF-_~+/123==")),
            ("bEARER x", Presented::Token("x")),
            ("Bearer", Presented::Malformed),
            ("Bearer ", Presented::Malformed),
            ("Bearer  x", Presented::Malformed),
            ("Bearer x ", Presented::Malformed),
            ("Bearer x y", Presented::Malformed),
            ("Bearer Bearer x", Presented::Malformed),
            ("Bearer x,Bearer y", Presented::Malformed),
            ("Bearer \"x\"", Presented::Malformed),
            ("Bearer =", Presented::Malformed),
            ("Bearer x=y", Presented::Malformed),
            ("Bearer\tx", Presented::Nothing),
            ("Basic eA==", Presented::Nothing),
            ("DPoP x", Presented::Nothing),
            ("", Presented::Nothing),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::AUTHORIZATION, HeaderValue::from_static(value));
            assert_eq!(Presented::read(&headers), expected, "{value:?}");
        }
        let mut headers = HeaderMap::new();
        assert_eq!(Presented::read(&headers), Presented::Nothing);
        headers.insert(header::AUTHORIZATION, HeaderValue::from_bytes(b"Bearer \xff").unwrap());
        assert_eq!(Presented::read(&headers), Presented::Malformed);
    }

    /// M5: what was found out in one place is not known in another.
    #[test]
    fn a_token_is_another_one_wherever_other_rules_hold() {
        let of = |audience: &str, token: &str| {
            TokenId::of(&Circumstances::of(&bearer(audience), std::iter::empty()), token)
        };
        assert_eq!(of("a", "token"), of("a", "token"));
        assert_ne!(of("a", "token"), of("b", "token"));
        assert_ne!(of("a", "token"), of("a", "token2"));
        let loud = Bearer { forward: true, scopes: vec!["x".to_owned()], ..bearer("a") };
        let loud = Circumstances::of(&loud, std::iter::empty());
        assert_eq!(TokenId::of(&loud, "token"), of("a", "token"), "it is no better and no worse");
    }

    /// A token is not remembered past its end, nor for longer than it may be believed.
    #[test]
    fn a_token_is_remembered_for_as_long_as_it_is_good() {
        let now = Timestamp::new(1000);
        let circumstances = Circumstances::of(&bearer("a"), std::iter::empty());
        for (good_until, keep_for, expected) in
            [(Some(1010), 300, 10), (Some(2000), 300, 300), (None, 60, 60), (Some(1000), 60, 0)]
        {
            let identity = crate::identity::tests::person("ada", &[]);
            let until = good_until.map(Timestamp::new);
            let keep_for = Duration::from_secs(keep_for);
            let token = KnownToken::new(circumstances, identity, Vec::new(), until, keep_for, now);
            assert_eq!(token.keep_for(), Duration::from_secs(expected), "{good_until:?}");
            assert_eq!(token.is_good(now), good_until != Some(1000));
        }
    }
}
