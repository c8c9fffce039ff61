//! Whether what was admitted would be admitted still.
//!
//! A WebSocket or a long download is asked about once, when it begins, and may outlive everything that the answer
//! rested on: the session, the provider, the rule. Whoever serves it asks here from time to time (P-23, R16). No
//! cookie comes with that question, so what only a cookie could tell is not known: a provider that wants to be asked
//! again is asked when the next request comes.

use std::net::IpAddr;
use std::sync::Arc;

use http::Method;
use lychgate_oidc::Timestamp;

use super::Gateway;
use crate::path::CanonicalPath;
use crate::policy::{self, Decision, DenialReason};
use crate::reason::Reason;
use crate::route::Found;
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
    /// The session that it was admitted with.
    pub session: Arc<Session>,
}

impl Gateway {
    /// Whether `admitted` would be admitted at `now`, and until when that is certain if nothing else happens.
    ///
    /// `session` is what is known of its session by now: the browser may have been here with it since.
    ///
    /// # Errors
    /// The reason, when it would not be.
    pub fn still_admits<W: World>(
        &self,
        world: &W,
        admitted: &Admitted,
        session: &Session,
        now: Timestamp,
    ) -> Result<Timestamp, Reason> {
        let Found::Route(route) = self.settings.routes.find(&admitted.authority, &admitted.path)
        else {
            return Err(Reason::NotFound);
        };
        let limits = &self.settings.sessions;
        let provider = session.identity().provider();
        let alive = if world.is_revoked(session.id()) {
            Err(NoSession::SignedOut)
        } else if self.provider(provider).is_none() {
            Err(NoSession::Unreadable)
        } else if !route.providers.iter().any(|name| name == provider) {
            Err(NoSession::OtherProvider)
        } else {
            session.check(limits, now)
        };
        let session_or_none = alive.map(|()| session);
        let decision = policy::decide(
            &route,
            &admitted.method,
            &admitted.path,
            session_or_none,
            admitted.client,
        );
        match decision {
            Decision::Allow(_) => Ok(session.good_until(limits)),
            Decision::Challenge(challenge) => Err(challenge.because.reason()),
            Decision::Refuse(denial) => Err(match denial.because {
                DenialReason::Denied => Reason::AccessDenied,
                DenialReason::NotAllowed => Reason::AccessNotGranted,
            }),
        }
    }
}
