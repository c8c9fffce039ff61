//! The only ways out: what a visit needs that is not in the request.

use std::future::Future;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use lychgate_oidc::{DpopNonces, Grant, KeySet, Metadata, Secret, SignedIn, Timestamp};
use sha2::{Digest as _, Sha256};

use crate::bearer::{KnownToken, TokenId};
use crate::login_state::LoginId;
use crate::session::SessionId;
use crate::visit::OpenSession;

/// The world as a visit sees it. The time is read once, by the door, and is the same for the whole visit.
pub trait World: Clone + Send + Sync + 'static {
    /// Fills `bytes` from the operating system's random number generator.
    fn fill_random(&self, bytes: &mut [u8]);

    /// Runs `work`, which may take milliseconds of a processor (a signature with a private key, say), where it
    /// holds up nobody else's visit.
    fn compute<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> impl Future<Output = T> + Send {
        async move { work() }
    }

    /// Does `work`, and gives it up when it takes longer than `patience`. A world without a clock waits.
    fn within<T: Send>(
        &self,
        patience: Duration,
        work: impl Future<Output = T> + Send,
    ) -> impl Future<Output = Option<T>> + Send {
        let _ = patience;
        async move { Some(work.await) }
    }

    /// How long it has been since some moment, by a clock that never steps: what passes between two questions is what
    /// something took. A world without a clock stands still.
    fn elapsed(&self) -> Duration {
        Duration::ZERO
    }

    /// What is known of a provider today, without asking it; `None` while it has never answered.
    fn provider(&self, name: &str) -> Option<Known>;

    /// Newer keys than those of [`provider`](Self::provider), because one was unknown. Asked for at most once
    /// in a visit. Many visits may ask at a time; the provider is asked once, and not again too soon. The
    /// last good keys are the answer when it fails.
    fn newer_keys(&self, provider: &str) -> impl Future<Output = Arc<KeySet>> + Send;

    /// The client assertion that somebody else signs for us at this provider, as it is now: it is replaced from
    /// time to time. `None`: this is not how we authenticate there.
    fn client_assertion(
        &self,
        provider: &str,
    ) -> impl Future<Output = Result<Option<Secret>, Unreachable>> + Send {
        let _ = provider;
        async { Ok(None) }
    }

    /// What the servers of a provider want in proofs of possession, as they said last.
    fn dpop_nonces(&self, provider: &str) -> DpopNonces {
        let _ = provider;
        DpopNonces::new()
    }

    /// Remembers what a server of a provider wants in the next proof. Forgetting it costs one more request.
    fn remember_dpop_nonce(&self, provider: &str, server: &str, nonce: &str) {
        let _ = (provider, server, nonce);
    }

    /// Sends one request to a provider and reads its whole answer, within limits of time and size.
    /// Redirects are not followed, and nothing is tried twice.
    fn fetch(
        &self,
        provider: &str,
        request: http::Request<Vec<u8>>,
    ) -> impl Future<Output = Result<http::Response<Vec<u8>>, Unreachable>> + Send;

    /// Does `refresh` once for all visits that come with the same grant, while it runs and for minutes after, and
    /// gives all of them the same answer. It goes on when the visit that began it is gone: its token may be used
    /// already, and the answer is the only thing that is worth anything then (R4, R5).
    ///
    /// An answer that is [`Refreshed::Unanswered`] and renewed nothing is forgotten after seconds, so that somebody
    /// asks again.
    fn refresh_once(
        &self,
        grant: GrantId,
        refresh: impl Future<Output = Refreshed> + Send + 'static,
    ) -> impl Future<Output = Refreshed> + Send;

    /// Sends a request to a provider whose answer changes nothing, without waiting for it.
    fn send(&self, provider: &str, request: http::Request<Vec<u8>>);

    /// Whether one more login may begin for a client at this address; otherwise, when one may. Every beginning costs
    /// signatures, and often a request to the provider, for somebody of whom nothing is known (R34).
    ///
    /// # Errors
    /// How long to wait.
    fn may_begin_login(&self, client: Option<IpAddr>) -> Result<(), Duration> {
        let _ = client;
        Ok(())
    }

    /// Uses a login up, for good. Of two visits that come with the same one, exactly one gets
    /// [`Spent::Now`], however close together they are, wherever the world knows of both.
    fn spend(&self, login: LoginId, return_to: &str) -> impl Future<Output = Spent> + Send;

    /// Where a login that was used up led.
    fn spent(&self, login: LoginId) -> Option<String>;

    /// What a sealed session opened to, if it was opened here lately.
    ///
    /// Opening costs more than everything else that is decided about a signed-in request. The whole sealed
    /// text is compared, never a part or a hash of it. A world that remembers nothing is right, and slower.
    fn remembered(&self, sealed: &[u8]) -> Option<Arc<OpenSession>> {
        let _ = sealed;
        None
    }

    /// Offers an opened session to be remembered.
    fn remember(&self, sealed: &[u8], open: &Arc<OpenSession>) {
        let _ = (sealed, open);
    }

    /// A token that was found good here lately. Whether it still is, is asked every time.
    fn known_token(&self, id: &TokenId) -> Option<Arc<KnownToken>> {
        let _ = id;
        None
    }

    /// Offers a good token to be remembered for [as long as it may be](KnownToken::keep_for).
    fn remember_token(&self, id: TokenId, token: &Arc<KnownToken>) {
        let _ = (id, token);
    }

    /// Asks about a token once for all visits that come with it while the question runs, and gives all of them the same
    /// answer. An answer that is no good token is remembered for seconds, so that nobody makes us repeat a question.
    fn introspect_once(
        &self,
        id: TokenId,
        introspection: impl Future<Output = Introspected> + Send + 'static,
    ) -> impl Future<Output = Introspected> + Send {
        let _ = id;
        introspection
    }

    /// Ends a session, so that a copy of its cookie is worth nothing here any more.
    fn revoke(&self, session: SessionId);

    /// Whether a session was ended.
    fn is_revoked(&self, session: SessionId) -> bool;
}

/// What is known of a provider.
#[derive(Clone, Debug)]
pub struct Known {
    /// Its endpoints and abilities.
    pub metadata: Arc<Metadata>,
    /// Its keys.
    pub keys: Arc<KeySet>,
}

/// Which grant of which session is renewed, and which time: a hash of all of it, so that no two share one (O-2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct GrantId([u8; 32]);

impl GrantId {
    /// Of the refresh token of a session, with the end of the grant that it came with or was last used for: a token
    /// that stays the same is used anew once what it brought is about to end.
    pub fn of(session: SessionId, refresh_token: &Secret, expires_at: Timestamp) -> Self {
        let mut hash = Sha256::new();
        hash.update(session.bytes());
        hash.update(expires_at.seconds().to_be_bytes());
        hash.update(refresh_token.expose());
        Self(hash.finalize().into())
    }
}

/// What became of a refresh.
#[derive(Clone, Debug)]
pub enum Refreshed {
    /// The provider gave a newer grant.
    Newer(Arc<SignedIn>),
    /// It refused: the person may not go on. With the cause, for the log.
    Refused(String),
    /// It could not be asked, or answered something that is no answer.
    Unanswered {
        /// For the log.
        cause: String,
        /// What it renewed all the same, before it failed: the tokens of before may be worth nothing now.
        grant: Option<Grant>,
    },
}

/// What became of asking a provider about a token.
#[derive(Clone, Debug)]
pub enum Introspected {
    /// It is good.
    Good(Arc<KnownToken>),
    /// It is not. With the cause, for the log.
    Refused(String),
    /// The provider could not be asked, or answered something that is no answer. With the cause, for the log.
    Unanswered(String),
}

/// What became of using a login up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Spent {
    /// It is used up now, by this visit.
    Now,
    /// It had been used up before.
    Before,
}

/// The provider gave no whole answer in time. The text is for the log.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub struct Unreachable(pub String);
