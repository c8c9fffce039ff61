//! Whether what was admitted would be admitted still.
//!
//! A WebSocket or a long download is asked about once, when it begins, and may outlive everything that the answer
//! rested on: the session or the token, the provider, the rule. Whoever serves it asks here from time to time (P-23, R16). No
//! cookie comes with that question, so what only a cookie could tell is not known: a provider that wants to be asked
//! again is asked when the next request comes.

use std::net::IpAddr;
use std::sync::Arc;

use http::Method;
use lychgate_oidc::Timestamp;

use super::Gateway;
use crate::bearer::KnownToken;
use crate::identity::Identity;
use crate::path::CanonicalPath;
use crate::policy::{self, Decision};
use crate::reason::Reason;
use crate::route::{Found, Route};
use crate::session::{NoSession, Session};
use crate::world::World;

/// What was admitted.
#[derive(Clone, Debug)]
pub struct Admitted {
    /// The method.
    pub method: Method,
    /// The host, as it was asked for.
    pub authority: String,
    /// The path.
    pub path: CanonicalPath,
    /// Where it came from.
    pub client: Option<IpAddr>,
    /// What it was admitted with.
    pub credential: Credential,
}

/// What somebody is known by.
#[derive(Clone, Debug)]
pub enum Credential {
    /// A session.
    Session(Arc<Session>),
    /// An access token.
    Token(Arc<KnownToken>),
}

impl Gateway {
    /// Whether `admitted` would be admitted at `now`, and until when that is certain if nothing else happens.
    ///
    /// `credential` is what is known of its own by now: the browser may have been here since, with a newer session. A
    /// token is good until it ends; the provider is not asked about it again.
    ///
    /// # Errors
    /// The reason, when it would not be.
    pub fn still_admits<W: World>(
        &self,
        world: &W,
        admitted: &Admitted,
        credential: &Credential,
        now: Timestamp,
    ) -> Result<Timestamp, Reason> {
        let Found::Route(route) = self.settings.routes.find(&admitted.authority, &admitted.path)
        else {
            return Err(Reason::NotFound);
        };
        let (who, until) = match credential {
            Credential::Session(session) => {
                let who = self.still_counts(world, &route, session, now);
                (who, session.good_until(&self.settings.sessions))
            }
            Credential::Token(token) => {
                if !self.still_takes(&route, token, now) {
                    return Err(Reason::AccessTokenInvalid);
                }
                (Ok(token.identity()), token.good_until(now))
            }
        };
        let Admitted { method, path, client, .. } = admitted;
        match policy::decide(&route, method, path, who, *client) {
            Decision::Allow(permit) => match credential {
                Credential::Token(token)
                    if !permit.is_for_everybody() && lacks_scopes(&route, token) =>
                {
                    Err(Reason::AccessTokenScopeMissing)
                }
                Credential::Session(_) | Credential::Token(_) => Ok(until),
            },
            Decision::Challenge(challenge) => Err(challenge.because.reason()),
            Decision::Refuse(denial) => Err(denial.because.reason()),
        }
    }

    /// Whose `session` is, if it counts at `route`.
    fn still_counts<'s, W: World>(
        &self,
        world: &W,
        route: &Route,
        session: &'s Session,
        now: Timestamp,
    ) -> Result<&'s Identity, NoSession> {
        let provider = session.identity().provider();
        if world.is_revoked(session.id()) {
            return Err(NoSession::SignedOut);
        }
        if self.provider(provider).is_none() {
            return Err(NoSession::Unreadable);
        }
        if !route.providers.iter().any(|name| name == provider) {
            return Err(NoSession::OtherProvider);
        }
        session.check(&self.settings.sessions, now)?;
        Ok(session.identity())
    }
    /// Whether `token`, which was good, would be found good at `route` for the same reasons. A reload may have changed
    /// whose tokens count there, and what they have to be.
    fn still_takes(&self, route: &Route, token: &KnownToken, now: Timestamp) -> bool {
        let circumstances = self.circumstances.get(&route.name);
        circumstances.is_some_and(|now| token.was_good_in(now)) && token.is_good(now)
    }
}

fn lacks_scopes(route: &Route, token: &KnownToken) -> bool {
    let bearer = route.clients.bearer.as_ref();
    bearer.is_none_or(|bearer| token.lacks(&bearer.scopes).next().is_some())
}
