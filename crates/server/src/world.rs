//! The world as it is: the operating system's randomness, the providers, and what this process remembers.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ahash::RandomState;
use lychgate_gateway::login_state::LoginId;
use lychgate_gateway::session::SessionId;
use lychgate_gateway::visit::OpenSession;
use lychgate_gateway::world::{Known, Spent, Unreachable, World};
use lychgate_oidc::{Endpoint, KeySet, Timestamp};
use moka::sync::Cache;

use crate::fetch::Fetcher;
use crate::ledger::Ledger;
use crate::providers::Providers;
use crate::telemetry::metrics::{FetchOutcome, Metrics, ProviderEndpoint};

/// What visits need that is not in a request.
#[derive(Debug)]
pub(crate) struct Live {
    pub(crate) fetcher: Fetcher,
    pub(crate) ledger: Ledger,
    pub(crate) providers: Providers,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) opened: OpenedSessions,
}

/// Sessions that were opened lately, by their whole sealed text. The hash is keyed at random for each process.
pub(crate) type OpenedSessions = Cache<Box<str>, Arc<OpenSession>, RandomState>;

/// How many are remembered, a few KiB each.
const OPENED_MAX: u64 = 4096;
/// How long one is, whether it is used or not.
const OPENED_FOR: Duration = Duration::from_secs(600);

/// Nothing remembered yet.
pub(crate) fn opened_sessions() -> OpenedSessions {
    Cache::builder()
        .max_capacity(OPENED_MAX)
        .time_to_live(OPENED_FOR)
        .build_with_hasher(RandomState::new())
}

/// The time, for one visit.
pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::new(i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
}

/// Fills `bytes` with randomness. A system that has none cannot keep anybody's session apart, so it ends the
/// process rather than go on (R40).
pub(crate) fn fill_random(bytes: &mut [u8]) {
    if let Err(error) = getrandom::fill(bytes) {
        tracing::error!(%error, "the operating system gives no randomness");
        std::process::abort();
    }
}

impl World for Live {
    fn fill_random(&self, bytes: &mut [u8]) {
        fill_random(bytes);
    }

    async fn within<T: Send>(
        &self,
        patience: Duration,
        work: impl Future<Output = T> + Send,
    ) -> Option<T> {
        tokio::time::timeout(patience, work).await.ok()
    }

    fn provider(&self, name: &str) -> Option<Known> {
        self.providers.known(name)
    }

    async fn newer_keys(&self, provider: &str) -> Arc<KeySet> {
        self.providers.newer_keys(provider).await
    }

    async fn fetch(
        &self,
        provider: &str,
        request: http::Request<Vec<u8>>,
    ) -> Result<http::Response<Vec<u8>>, Unreachable> {
        // The token endpoint is posted to, userinfo is read; other questions say what they are for.
        let posted = request.method() == http::Method::POST;
        let endpoint = match request.extensions().get::<Endpoint>() {
            Some(Endpoint::Lookup | Endpoint::ServiceAccount) => ProviderEndpoint::Lookup,
            _ if posted => ProviderEndpoint::Token,
            _ => ProviderEndpoint::Userinfo,
        };
        let started = tokio::time::Instant::now();
        let answer = self.fetcher.send(request).await;
        let outcome = answer
            .as_ref()
            .map_or(FetchOutcome::Unreachable, |answer| FetchOutcome::of(answer.status()));
        self.metrics.provider_request(provider, endpoint, outcome, started.elapsed());
        answer
    }

    fn spend(&self, login: LoginId, return_to: &str) -> Spent {
        self.ledger.spend(login, return_to)
    }

    fn spent(&self, login: LoginId) -> Option<String> {
        self.ledger.spent(login)
    }

    fn remembered(&self, sealed: &str) -> Option<Arc<OpenSession>> {
        self.opened.get(sealed)
    }

    fn remember(&self, sealed: &str, open: &Arc<OpenSession>) {
        self.opened.insert(sealed.into(), Arc::clone(open));
    }

    fn revoke(&self, session: SessionId) {
        self.ledger.revoke(session);
    }

    fn is_revoked(&self, session: SessionId) -> bool {
        self.ledger.is_revoked(session)
    }
}
