//! The world as it is: the operating system's randomness, the providers, and what this process remembers.

use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ahash::{AHasher, RandomState};
use lychgate_gateway::login_state::LoginId;
use lychgate_gateway::session::SessionId;
use lychgate_gateway::visit::OpenSession;
use lychgate_gateway::world::{Known, Spent, Unreachable, World};
use lychgate_oidc::{KeySet, Timestamp};
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

/// Sessions that were opened lately, by their whole sealed text.
pub(crate) type OpenedSessions = Cache<Box<[u8]>, Arc<OpenSession>, ByTheEnd>;

/// Finds sealed texts by their ends, which hold the authentication tag and the last bytes of the ciphertext: as good as
/// random, and different for any two texts. To hash the kilobytes before it would cost more than the rest of a
/// look-up. Texts are still compared whole, only those that opened are kept, and the hash is keyed at random for
/// each process.
#[derive(Clone, Debug, Default)]
pub(crate) struct ByTheEnd(RandomState);

/// See [`ByTheEnd`].
pub(crate) struct EndHasher(AHasher);

/// In base64url, 24 bytes: the tag and a little more.
const END_BYTES: usize = 32;

impl BuildHasher for ByTheEnd {
    type Hasher = EndHasher;

    fn build_hasher(&self) -> EndHasher {
        EndHasher(self.0.build_hasher())
    }
}

impl Hasher for EndHasher {
    fn write(&mut self, bytes: &[u8]) {
        self.0.write(bytes.last_chunk::<END_BYTES>().map_or(bytes, <[u8; END_BYTES]>::as_slice));
    }

    fn write_usize(&mut self, length: usize) {
        self.0.write_usize(length);
    }

    fn finish(&self) -> u64 {
        self.0.finish()
    }
}

/// How many are remembered, a few KiB each.
const OPENED_MAX: u64 = 4096;
/// How long one is, whether it is used or not.
const OPENED_FOR: Duration = Duration::from_secs(600);

/// Nothing remembered yet.
pub(crate) fn opened_sessions() -> OpenedSessions {
    Cache::builder()
        .max_capacity(OPENED_MAX)
        .time_to_live(OPENED_FOR)
        .build_with_hasher(ByTheEnd::default())
}

/// The time.
pub(crate) fn now() -> Timestamp {
    timestamp(SystemTime::now())
}

/// A time in seconds, as visits reckon it.
pub(crate) fn timestamp(time: SystemTime) -> Timestamp {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
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
        // The token endpoint is posted to, userinfo is read.
        let posted = request.method() == http::Method::POST;
        let endpoint = if posted { ProviderEndpoint::Token } else { ProviderEndpoint::Userinfo };
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

    fn remembered(&self, sealed: &[u8]) -> Option<Arc<OpenSession>> {
        self.opened.get(sealed)
    }

    fn remember(&self, sealed: &[u8], open: &Arc<OpenSession>) {
        self.opened.insert(sealed.into(), Arc::clone(open));
    }

    fn revoke(&self, session: SessionId) {
        self.ledger.revoke(session);
    }

    fn is_revoked(&self, session: SessionId) -> bool {
        self.ledger.is_revoked(session)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two texts with one end have one place in the memory and are still told apart; a session that is found for
    /// another's text would be another person's.
    #[test]
    fn texts_are_found_by_their_ends_and_compared_whole() {
        let end = "e".repeat(END_BYTES);
        let (ada, bob) = (format!("ada{end}"), format!("bob{end}"));
        let hasher = || ByTheEnd(RandomState::with_seeds(1, 2, 3, 4));
        let hash = |text: &str| hasher().hash_one(text.as_bytes());
        assert_eq!(hash(&ada), hash(&bob));
        assert_ne!(hash(&ada), hash(&format!("{ada}x")));
        assert_ne!(hash("short"), hash("shore"));

        let memory: Cache<Box<[u8]>, &str, ByTheEnd> =
            Cache::builder().max_capacity(2).build_with_hasher(hasher());
        memory.insert(ada.as_bytes().into(), "ada");
        assert_eq!(memory.get(ada.as_bytes()), Some("ada"));
        assert_eq!(memory.get(bob.as_bytes()), None);
    }
}
