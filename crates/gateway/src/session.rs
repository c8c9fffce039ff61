//! A signed-in browser: whose it is, and how long it lasts.
//!
//! Both lifetimes stand inside the sealed text, so a clock at the browser, or a cookie that is kept after
//! its `Max-Age`, changes nothing. A session is never longer than it was when it began: settings that are
//! made longer later concern new sessions only, settings that are made shorter concern all.

use std::fmt;
use std::time::Duration;

use lychgate_oidc::{Grant, Secret, Timestamp};
use serde::{Deserialize, Serialize};

use crate::hexadecimal;
use crate::identity::Identity;
use crate::login_state::LoginId;
use crate::reason::Reason;
use crate::settings::{RefreshLimits, SessionLimits};
use crate::template::Person;

/// One signed-in browser.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Session {
    id: SessionId,
    login: LoginId,
    begun_at: Timestamp,
    ends_at: Timestamp,
    seen_at: Timestamp,
    identity: Identity,
    id_token: Option<IdTokenHint>,
    grant: Option<Held>,
}

/// What the provider lets us do for the person, and when it is to be asked again.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Held {
    grant: Grant,
    renew_at: Timestamp,
}

/// The ID token, kept to tell the provider at sign-out whose session ends (`id_token_hint`). Never printed.
#[derive(Clone, Serialize, Deserialize)]
struct IdTokenHint(String);

impl fmt::Debug for IdTokenHint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "‹{} bytes›", self.0.len())
    }
}

/// 128 random bits. It is not a credential: a session is believed because it was sealed. Revocation and logs
/// know it by its [fingerprint](Self::fingerprint).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SessionId([u8; 16]);

/// Why there is no session that counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoSession {
    /// The browser sent none.
    NoCookie,
    /// It sent something that does not open: another key, another place, damaged, or two of one name.
    Unreadable,
    /// Its lifetime is over.
    Expired,
    /// It was not used for too long.
    Idle,
    /// Somebody signed out of it.
    SignedOut,
    /// It was begun at a provider that this route does not accept.
    OtherProvider,
    /// The provider was asked whether the person may go on, and said no.
    Ended,
    /// The provider has to be asked, and does not answer. Nobody is signed out by that.
    Unconfirmed,
}

impl Session {
    /// A new session for somebody who has just signed in.
    pub fn begin(
        id: SessionId,
        login: LoginId,
        identity: Identity,
        id_token: Option<&Secret>,
        limits: &SessionLimits,
        now: Timestamp,
    ) -> Self {
        let id_token = id_token.map(|token| IdTokenHint(token.expose().to_owned()));
        Self {
            id,
            login,
            begun_at: now,
            ends_at: now.plus(limits.lifetime),
            seen_at: now,
            identity,
            id_token,
            grant: None,
        }
    }

    /// The same session with `grant`, of which there is something to renew or to tell an upstream.
    #[must_use]
    pub fn with_grant(self, grant: Grant, limits: Option<RefreshLimits>, now: Timestamp) -> Self {
        let margin = limits.map_or(Duration::ZERO, |limits| limits.margin);
        let margin = margin.min(grant.expires_at().since(now) / 2);
        let renew_at = grant.expires_at().minus(margin);
        Self { grant: Some(Held { grant, renew_at }), ..self }
    }

    /// The same session with `grant`, to be renewed at `renew_at`.
    #[must_use]
    pub fn with_grant_until(&self, grant: Grant, renew_at: Timestamp) -> Self {
        Self { grant: Some(Held { grant, renew_at }), ..self.clone() }
    }

    /// The same session after the provider was asked again.
    #[must_use]
    pub fn refreshed(&self, identity: Identity, id_token: Option<&Secret>) -> Self {
        let newer = id_token.map(|token| IdTokenHint(token.expose().to_owned()));
        // The hint is kept up to date, and stays away where it would not have fitted.
        let id_token = self.id_token.as_ref().map(|older| newer.unwrap_or_else(|| older.clone()));
        Self { identity, id_token, grant: None, ..self.clone() }
    }

    /// Whose it is, as headers may speak of them.
    pub fn person(&self) -> Person<'_> {
        Person {
            identity: &self.identity,
            access_token: self.grant().and_then(Grant::access_token),
        }
    }

    /// The grant, if one is kept.
    pub fn grant(&self) -> Option<&Grant> {
        self.grant.as_ref().map(|held| &held.grant)
    }

    /// The refresh token, when it is time to use it, and when what it would renew ends.
    pub fn due_for_refresh(&self, now: Timestamp) -> Option<(&Secret, Timestamp)> {
        let held = self.grant.as_ref().filter(|held| now >= held.renew_at)?;
        Some((held.grant.refresh_token()?, held.grant.expires_at()))
    }

    /// Whether the session is good at `now` although the provider could not be asked.
    pub fn may_wait_for_provider(&self, limits: RefreshLimits, now: Timestamp) -> bool {
        self.grant().is_none_or(|grant| now < grant.expires_at().plus(limits.grace))
    }

    /// How this session stands at `now`.
    ///
    /// # Errors
    /// [`NoSession::Expired`] or [`NoSession::Idle`].
    pub fn check(&self, limits: &SessionLimits, now: Timestamp) -> Result<(), NoSession> {
        if now >= self.ends_at || now >= self.begun_at.plus(limits.lifetime) {
            Err(NoSession::Expired)
        } else if now.since(self.seen_at) >= limits.idle_timeout {
            Err(NoSession::Idle)
        } else {
            Ok(())
        }
    }

    /// The first moment at which [`check`](Self::check) finds it over, unless it is seen again before.
    pub fn good_until(&self, limits: &SessionLimits) -> Timestamp {
        let idle = self.seen_at.plus(limits.idle_timeout);
        self.ends_at.min(self.begun_at.plus(limits.lifetime)).min(idle)
    }

    /// The session as seen again at `now`, if enough time has passed for the browser to be told.
    ///
    /// A twelfth of the idle time: somebody who stays active never loses the session, and few answers carry
    /// a cookie. Idleness is therefore measured to within that twelfth.
    pub fn renewed(&self, limits: &SessionLimits, now: Timestamp) -> Option<Self> {
        let due = now.since(self.seen_at) >= limits.idle_timeout / 12;
        due.then(|| Self { seen_at: now.max(self.seen_at), ..self.clone() })
    }

    /// Its id.
    pub fn id(&self) -> SessionId {
        self.id
    }

    /// The login that it came from.
    pub fn login(&self) -> LoginId {
        self.login
    }

    /// Whose it is.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// When it began.
    pub fn begun_at(&self) -> Timestamp {
        self.begun_at
    }

    /// When it ends even if used.
    pub fn ends_at(&self) -> Timestamp {
        self.ends_at
    }

    /// How long it would still last at `now`, if it is used.
    pub fn remaining(&self, now: Timestamp) -> Duration {
        self.ends_at.since(now)
    }

    /// The ID token, for sign-out at the provider.
    pub fn id_token_hint(&self) -> Option<Secret> {
        self.id_token.as_ref().map(|token| Secret::new(token.0.clone()))
    }

    /// The same session without the ID token, for one that would not fit otherwise: sign-out at the
    /// provider then asks the person once more.
    #[must_use]
    pub fn without_id_token(&self) -> Self {
        Self { id_token: None, ..self.clone() }
    }
}

impl SessionId {
    /// An id of fresh entropy.
    pub fn new(entropy: [u8; 16]) -> Self {
        Self(entropy)
    }

    /// All of it.
    pub(crate) fn bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// Eight hexadecimal digits for logs: enough to follow a session, too few to be mistaken for one.
    pub fn fingerprint(&self) -> String {
        let [a, b, c, d, ..] = self.0;
        hexadecimal::digits(&[a, b, c, d])
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.fingerprint())
    }
}

impl NoSession {
    /// The reason for pages, problem documents, logs and metrics.
    pub fn reason(self) -> Reason {
        match self {
            Self::NoCookie => Reason::SessionRequired,
            Self::Unreadable => Reason::SessionUnreadable,
            Self::Expired => Reason::SessionExpired,
            Self::Idle => Reason::SessionIdle,
            Self::SignedOut => Reason::SessionSignedOut,
            Self::OtherProvider => Reason::SessionOtherProvider,
            Self::Ended => Reason::SessionEnded,
            Self::Unconfirmed => Reason::SessionUnconfirmed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::tests::person;

    const LIMITS: SessionLimits = SessionLimits {
        lifetime: Duration::from_secs(12 * 3600),
        idle_timeout: Duration::from_secs(3600),
        refresh: None,
    };

    fn session(now: i64) -> Session {
        let login = LoginId::of("state");
        Session::begin(
            SessionId::new([7; 16]),
            login,
            person("ada", &[]),
            None,
            &LIMITS,
            Timestamp::new(now),
        )
    }

    /// H5: both limits hold to the second.
    #[test]
    fn a_session_ends_idle_or_at_its_lifetime() {
        let session = session(1000);
        for (at, expected) in [
            (1000, Ok(())),
            (1000 + 3599, Ok(())),
            (1000 + 3600, Err(NoSession::Idle)),
            (1000 + 12 * 3600, Err(NoSession::Expired)),
            // A clock that steps back makes nobody's age negative (R24).
            (10, Ok(())),
        ] {
            assert_eq!(session.check(&LIMITS, Timestamp::new(at)), expected, "{at}");
        }
    }

    #[test]
    fn use_keeps_a_session_from_idling_but_never_lengthens_its_life() {
        let mut current = session(0);
        for hour in 1..24 {
            let now = Timestamp::new(hour * 1800);
            if current.check(&LIMITS, now).is_ok() {
                current = current.renewed(&LIMITS, now).unwrap();
            }
        }
        assert_eq!(current.check(&LIMITS, Timestamp::new(12 * 3600 - 1)), Ok(()));
        assert_eq!(current.check(&LIMITS, Timestamp::new(12 * 3600)), Err(NoSession::Expired));
    }

    /// R25: 2038 is a year like any other, and at the ends of time a session is over rather than for ever.
    #[test]
    fn at_any_time_a_session_is_as_old_as_it_is() {
        let year_2038 = 1_i64 << 31;
        let ends = [i64::MIN, i64::MIN + 1, -1, 0, 1, i64::MAX - 1, i64::MAX];
        let times = ends.into_iter().chain((-2..=2).map(|step| year_2038 + step * 3600));
        let times = times.chain([year_2038 * 2, year_2038 * 1000]).collect::<Vec<_>>();
        for begun in &times {
            for now in &times {
                let session = session(*begun);
                let age = i128::from(*now) - i128::from(*begun);
                let alive = session.check(&LIMITS, Timestamp::new(*now)).is_ok();
                assert_eq!(alive, age < 3600 && *now < i64::MAX, "begun at {begun}, now {now}");
                if let Some(renewed) = session.renewed(&LIMITS, Timestamp::new(*now)) {
                    let _ = renewed.check(&LIMITS, Timestamp::new(*now));
                }
            }
        }
    }

    #[test]
    fn a_shorter_setting_concerns_sessions_that_exist() {
        let shorter = SessionLimits { lifetime: Duration::from_secs(60), ..LIMITS };
        assert_eq!(session(0).check(&shorter, Timestamp::new(60)), Err(NoSession::Expired));
    }

    #[test]
    fn few_answers_carry_a_renewed_session() {
        let session = session(0);
        assert!(session.renewed(&LIMITS, Timestamp::new(299)).is_none());
        assert!(session.renewed(&LIMITS, Timestamp::new(300)).is_some());
    }

    #[test]
    fn a_session_prints_neither_its_token_nor_its_whole_id() {
        let token = Secret::new("eyJ.token.value");
        let login = LoginId::of("state");
        let session = Session::begin(
            SessionId::new([7; 16]),
            login,
            person("ada", &[]),
            Some(&token),
            &LIMITS,
            Timestamp::new(0),
        );
        let text = format!("{session:?}");
        assert!(!text.contains("eyJ"), "{text}");
        assert!(!text.contains(&"07".repeat(16)), "{text}");
    }
}
