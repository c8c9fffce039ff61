//! The world as it is: the operating system's randomness, the providers, and what this process remembers.

use std::net::IpAddr;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use ahash::RandomState;
use lychgate_gateway::bearer::{KnownToken, TokenId};
use lychgate_gateway::login_state::LoginId;
use lychgate_gateway::session::SessionId;
use lychgate_gateway::visit::OpenSession;
use lychgate_gateway::world::{GrantId, Introspected, Known, Refreshed, Spent, Unreachable, World};
use lychgate_oidc::{DpopNonces, Endpoint, KeySet, Secret, Timestamp};

use crate::ledger::Ledger;
use crate::login_starts::LoginStarts;
use crate::opened::OpenedSessions;
use crate::providers::Providers;
use crate::telemetry;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::provider_requests::{FetchOutcome, ProviderEndpoint};
use crate::tether::Tethers;
use crate::tokens::Tokens;
use crate::workers::Workers;

/// What visits need that is not in a request. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Live {
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) login_starts: Arc<LoginStarts>,
    pub(crate) tethers: Arc<Tethers>,
    pub(crate) providers: Arc<Providers>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) opened: OpenedSessions,
    pub(crate) refreshes: Refreshes,
    pub(crate) tokens: Tokens,
    pub(crate) workers: Arc<Workers>,
}

/// The latest refreshes, each begun once however many requests wait for it.
pub(crate) type Refreshes = moka::future::Cache<GrantId, Refreshed, RandomState>;

/// How many are remembered. Each holds the claims of one person.
const REFRESHES_MAX: u64 = 10_000;
/// For how long a browser may go on sending the cookie of before.
const REFRESHED_FOR: Duration = Duration::from_secs(600);
/// When a provider that did not answer is asked again.
const UNANSWERED_FOR: Duration = Duration::from_secs(10);

/// No refresh yet.
pub(crate) fn refreshes() -> Refreshes {
    moka::future::Cache::builder()
        .max_capacity(REFRESHES_MAX)
        .expire_after(ByAnswer)
        .build_with_hasher(RandomState::new())
}

/// Does `refresh` unless it was done or is being done.
///
/// In a task of its own, because the request that began it may be given up while the token is on its way.
async fn once(
    refreshes: Refreshes,
    grant: GrantId,
    refresh: impl Future<Output = Refreshed> + Send + 'static,
) -> Refreshed {
    let task = tokio::spawn(async move { refreshes.get_with(grant, refresh).await });
    let cut_short = |error| Refreshed::Unanswered {
        cause: format!("the refresh did not end: {error}"),
        grant: None,
    };
    task.await.unwrap_or_else(cut_short)
}

/// What is no answer is forgotten sooner.
struct ByAnswer;

impl moka::Expiry<GrantId, Refreshed> for ByAnswer {
    fn expire_after_create(
        &self,
        _: &GrantId,
        refreshed: &Refreshed,
        _: Instant,
    ) -> Option<Duration> {
        Some(match refreshed {
            // What it renewed has to reach every browser that came with the token of before.
            Refreshed::Newer(_)
            | Refreshed::Refused(_)
            | Refreshed::Unanswered { grant: Some(_), .. } => REFRESHED_FOR,
            Refreshed::Unanswered { grant: None, .. } => UNANSWERED_FOR,
        })
    }
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
        telemetry::log::flush(Duration::from_secs(1));
        std::process::abort();
    }
}

impl World for Live {
    fn fill_random(&self, bytes: &mut [u8]) {
        fill_random(bytes);
    }

    async fn compute<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        self.workers.run(work).await
    }

    async fn within<T: Send>(
        &self,
        patience: Duration,
        work: impl Future<Output = T> + Send,
    ) -> Option<T> {
        tokio::time::timeout(patience, work).await.ok()
    }

    fn elapsed(&self) -> Duration {
        static SINCE: LazyLock<Instant> = LazyLock::new(Instant::now);
        SINCE.elapsed()
    }

    async fn client_assertion(&self, provider: &str) -> Result<Option<Secret>, Unreachable> {
        self.providers.client_assertion(provider).await
    }

    fn dpop_nonces(&self, provider: &str) -> DpopNonces {
        self.providers.dpop_nonces(provider)
    }

    fn remember_dpop_nonce(&self, provider: &str, server: &str, nonce: &str) {
        self.providers.remember_dpop_nonce(provider, server, nonce);
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
        let endpoint = match request.extensions().get() {
            Some(Endpoint::Introspection) => ProviderEndpoint::Introspection,
            Some(Endpoint::Lookup) => ProviderEndpoint::Lookup,
            Some(Endpoint::PushedAuthorizationRequest) => {
                ProviderEndpoint::PushedAuthorizationRequest
            }
            Some(Endpoint::Revocation) => ProviderEndpoint::Revocation,
            Some(Endpoint::ServiceAccount) => ProviderEndpoint::ServiceAccount,
            Some(Endpoint::Userinfo) => ProviderEndpoint::Userinfo,
            Some(Endpoint::Token) | None => ProviderEndpoint::Token,
        };
        let started = tokio::time::Instant::now();
        let answer = self.providers.send(provider, request).await;
        let outcome = answer
            .as_ref()
            .map_or(FetchOutcome::Unreachable, |answer| FetchOutcome::of(answer.status()));
        self.metrics.provider_request(provider, endpoint, outcome, started.elapsed());
        answer
    }

    async fn refresh_once(
        &self,
        grant: GrantId,
        refresh: impl Future<Output = Refreshed> + Send + 'static,
    ) -> Refreshed {
        once(self.refreshes.clone(), grant, refresh).await
    }

    fn send(&self, provider: &str, request: http::Request<Vec<u8>>) {
        let (world, provider) = (self.clone(), provider.to_owned());
        tokio::spawn(async move {
            if let Err(error) = world.fetch(&provider, request).await {
                tracing::debug!(provider, %error, "the provider was told, and does not answer");
            }
        });
    }

    fn may_begin_login(&self, client: Option<IpAddr>) -> Result<(), Duration> {
        self.login_starts.begin(client)
    }

    async fn spend(&self, login: LoginId, return_to: &str) -> Spent {
        self.ledger.spend(login, return_to).await
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

    fn known_token(&self, id: &TokenId) -> Option<Arc<KnownToken>> {
        self.tokens.known(id)
    }

    fn remember_token(&self, id: TokenId, token: &Arc<KnownToken>) {
        self.tokens.remember(id, token);
    }

    async fn introspect_once(
        &self,
        id: TokenId,
        introspection: impl Future<Output = Introspected> + Send + 'static,
    ) -> Introspected {
        self.tokens.introspect_once(id, introspection).await
    }

    fn revoke(&self, session: SessionId) {
        self.ledger.revoke(session);
        self.tethers.session_ended(session);
    }

    fn is_revoked(&self, session: SessionId) -> bool {
        self.ledger.is_revoked(session)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use lychgate_oidc::{
        Beginning, LoginEntropy, LoginRequest, Metadata, Moment, Provider, Secret, login,
    };
    use serde_json::json;
    use tokio::sync::Notify;
    use url::Url;

    use super::*;

    /// CB-01: with what the operating system gives, ten thousand logins share none of their three values.
    #[test]
    fn ten_thousand_logins_repeat_nothing() {
        let issuer = "https://id.test";
        let document = json!({
            "issuer": issuer,
            "authorization_endpoint": "https://id.test/authorize",
            "token_endpoint": "https://id.test/token",
            "jwks_uri": "https://id.test/keys",
        });
        let metadata = Metadata::parse(document.to_string().as_bytes(), issuer).unwrap();
        let (provider, metadata) =
            (Arc::new(Provider::new("corp", issuer, "wiki")), Arc::new(metadata));
        let keys = KeySet::parse(br#"{"keys":[]}"#).unwrap();
        let (back, wish) = ("https://wiki.test/.lychgate/callback", LoginRequest::default());
        let mut seen = HashSet::new();
        for _ in 0..10_000 {
            let (mut entropy, mut moment) = ([0; 96], [0; 32]);
            fill_random(&mut entropy);
            fill_random(&mut moment);
            let (entropy, moment) =
                (LoginEntropy::from(entropy), Moment::new(Timestamp::new(0), moment));

            let begun =
                login::begin(&provider, &metadata, &keys, back, &wish, entropy, moment).unwrap();

            let Beginning::Go(url, _) = begun else { panic!("{begun:?}") };
            let url = Url::parse(url.as_str()).unwrap();
            for (name, value) in url.query_pairs() {
                if ["code_challenge", "nonce", "state"].contains(&&*name) {
                    // 32 bytes, which is 256 bits.
                    assert_eq!(value.len(), 43, "{name}");
                    assert!(seen.insert(value.into_owned()), "{name} came twice");
                }
            }
        }
        assert_eq!(seen.len(), 30_000);
    }

    fn grant() -> GrantId {
        GrantId::of(SessionId::new([7; 16]), &Secret::new("refresh-token"), Timestamp::new(0))
    }

    /// R4, O-1: fifty requests at once, and the one that began it given up on the way.
    #[tokio::test]
    async fn a_refresh_is_done_once_even_when_whoever_began_it_is_gone() {
        let refreshes = refreshes();
        let (begun, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let count = Arc::new(AtomicUsize::new(0));
        let refresh = || {
            let (begun, go_on, count) = (begun.clone(), go_on.clone(), count.clone());
            async move {
                count.fetch_add(1, Ordering::Relaxed);
                begun.notify_one();
                go_on.notified().await;
                Refreshed::Refused("as it happens".to_owned())
            }
        };

        let first = tokio::spawn(once(refreshes.clone(), grant(), refresh()));
        begun.notified().await;
        first.abort();
        assert!(first.await.unwrap_err().is_cancelled());
        let others = (0..50).map(|_| tokio::spawn(once(refreshes.clone(), grant(), refresh())));
        let others: Vec<_> = others.collect();
        go_on.notify_one();

        for other in others {
            assert!(matches!(other.await.unwrap(), Refreshed::Refused(_)));
        }
        assert_eq!(count.load(Ordering::Relaxed), 1);
    }

    /// O-2: nobody gets the answer to somebody else's refresh.
    #[test]
    fn every_grant_has_its_own_answer() {
        let of = |session, token, until| {
            GrantId::of(SessionId::new([session; 16]), &Secret::new(token), Timestamp::new(until))
        };
        assert_eq!(of(1, "token", 7), of(1, "token", 7));
        assert_ne!(of(1, "token", 7), of(2, "token", 7));
        assert_ne!(of(1, "token", 7), of(1, "token2", 7));
        assert_ne!(of(1, "token", 7), of(1, "token", 8), "the same token, the next time");
    }

    /// R37.
    #[tokio::test]
    async fn a_refresh_that_panics_is_no_answer_and_may_be_tried_again() {
        let refreshes = refreshes();
        let panics = async { panic!("on purpose") };
        let cut_short = once(refreshes.clone(), grant(), panics).await;
        assert!(matches!(cut_short, Refreshed::Unanswered { .. }));
        let answer = once(refreshes, grant(), async { Refreshed::Refused(String::new()) }).await;
        assert!(matches!(answer, Refreshed::Refused(_)));
    }

    #[test]
    fn what_is_no_answer_is_forgotten_sooner() {
        use moka::Expiry as _;
        let now = Instant::now();
        let lasts =
            |refreshed: Refreshed| ByAnswer.expire_after_create(&grant(), &refreshed, now).unwrap();
        let unanswered = Refreshed::Unanswered { cause: String::new(), grant: None };
        assert!(lasts(unanswered) < lasts(Refreshed::Refused(String::new())));
    }
}
