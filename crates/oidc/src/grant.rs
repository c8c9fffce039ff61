//! What a provider lets us do for a person: access tokens, and how to get newer ones.
//!
//! A refresh asks the same questions as a sign-in, from the token endpoint on, and its answers are measured the
//! same way. Only two things differ: there is no nonce, because no browser took part, and the person must be
//! the one whose grant it is (OIDC Core §12.2).
//!
//! Sources: RFC 6749 §5.1, §6; RFC 7009; OIDC Core §12; RFC 9700 §4.14.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::Request;
use serde::{Deserialize, Serialize};

use crate::discovery::Metadata;
use crate::exchange::{ExchangeError, Step};
use crate::moment::Moment;
use crate::provider::Provider;
use crate::secret::{self, Secret};
use crate::time::Timestamp;
use crate::tokens;

/// How long an access token is taken to last when the provider does not say.
const LIFETIME_UNSAID: Duration = Duration::from_secs(3600);

/// What the token endpoint gave us to act for a person with.
///
/// It can be written down so that it can be sealed into a session, and must never be written anywhere in the
/// clear.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    #[serde(with = "secret::sealed_if_any")]
    access_token: Option<Secret>,
    #[serde(with = "secret::sealed_if_any")]
    refresh_token: Option<Secret>,
    expires_at: Timestamp,
}

impl Grant {
    pub(crate) fn new(
        access_token: Option<Secret>,
        refresh_token: Option<Secret>,
        lifetime: Option<Duration>,
        now: Timestamp,
    ) -> Self {
        let expires_at = now.plus(lifetime.unwrap_or(LIFETIME_UNSAID));
        Self { access_token, refresh_token, expires_at }
    }

    /// The access token, if there is one.
    #[must_use]
    pub const fn access_token(&self) -> Option<&Secret> {
        self.access_token.as_ref()
    }

    /// The refresh token, if the provider issued one.
    #[must_use]
    pub const fn refresh_token(&self) -> Option<&Secret> {
        self.refresh_token.as_ref()
    }

    /// When the access token is over; an hour after it came where the provider does not say.
    #[must_use]
    pub const fn expires_at(&self) -> Timestamp {
        self.expires_at
    }

    /// The grant without its access token, for those who only mean to renew it.
    #[must_use]
    pub fn without_access_token(self) -> Self {
        Self { access_token: None, ..self }
    }

    /// The grant without its refresh token, for those who never renew it.
    #[must_use]
    pub fn without_refresh_token(self) -> Self {
        Self { refresh_token: None, ..self }
    }

    /// This grant with the tokens of `newer`, of which it is not known yet whose they are: it ends when it would have
    /// ended.
    #[must_use]
    pub fn with_tokens_of(&self, newer: &Self) -> Self {
        Self { expires_at: self.expires_at, ..newer.clone() }
    }

    /// This grant after a refresh brought `newer`. A provider that issues no new refresh token means the
    /// old one to be used again (RFC 6749 §6).
    pub(crate) fn or_refresh_token(self, older: Secret) -> Self {
        Self { refresh_token: self.refresh_token.or(Some(older)), ..self }
    }
}

/// Shows what there is, and nothing of it.
impl fmt::Debug for Grant {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Grant")
            .field("access_token", &self.access_token)
            .field("refresh_token", &self.refresh_token)
            .field("expires_at", &self.expires_at)
            .finish()
    }
}

/// Whose grant is refreshed, and with what.
#[derive(Clone, Debug)]
pub struct Held {
    /// The refresh token.
    pub refresh_token: Secret,
    /// Who the person was when they signed in; nobody else may come out of a refresh (`H13`).
    pub subject: String,
    /// What their ID token called them, where `subject` is another claim.
    pub sub: Option<String>,
}

/// Asks for a newer grant.
///
/// The request is sent once: a provider that replaces refresh tokens takes a second use of the old one for
/// theft, and ends everything (RFC 9700 §4.14.2).
///
/// # Errors
/// See [`ExchangeError`].
pub fn refresh(
    provider: Arc<Provider>,
    metadata: Arc<Metadata>,
    held: Held,
    moment: Moment,
) -> Result<Step, ExchangeError> {
    Step::refresh(held, provider, metadata, moment)
}

/// Asks the provider to forget a grant (RFC 7009), if it offers that. Whatever it answers changes nothing here.
#[must_use]
pub fn revocation(
    provider: &Provider,
    metadata: &Metadata,
    grant: &Grant,
    mut moment: Moment,
) -> Option<Request<Vec<u8>>> {
    metadata.revocation_endpoint.as_ref()?;
    let (token, hint) = match (&grant.refresh_token, &grant.access_token) {
        (Some(token), _) => (token, "refresh_token"),
        (None, Some(token)) => (token, "access_token"),
        (None, None) => return None,
    };
    tokens::revocation_request(token, hint, provider, metadata, &mut moment).ok()
}
