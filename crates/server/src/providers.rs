//! Providers' metadata and keys: fetched ahead, kept fresh, and kept when the provider is down.
//!
//! The gateway starts and serves while a provider cannot be reached; the first answer puts it to work. Keys
//! are fetched anew when a token names one that is unknown: once for all logins that are waiting, and
//! not again for a while, so that a stream of invented names asks the provider next to nothing.

mod turnstile;

use std::collections::HashMap;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwapOption;
use lychgate_config::config::{Config, ProviderConfig, ProviderEndpoints};
use lychgate_gateway::world::{Known, Unreachable};
use lychgate_oidc::{
    DiscoveryError, Dpop, DpopNonces, Endpoint, JwksError, KeySet, Metadata,
    Provider as Registration, Secret, Timestamp, discovery,
};
use tokio::io::AsyncReadExt as _;
use tokio::sync::Mutex as AsyncMutex;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use self::turnstile::Turnstile;
use crate::admin::{ProviderState, Readiness};
use crate::fetch::Fetcher;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::provider_requests::{FetchOutcome, ProviderEndpoint};
use crate::world;

/// How long metadata and keys are good before they are fetched again.
const FRESH_FOR: Duration = Duration::from_secs(15 * 60);
/// How soon after a fetch an unknown key may cause another.
const KEYS_INTERVAL: Duration = Duration::from_secs(5);
/// When an operator should hear that a certificate expires.
const EXPIRES_SOON: Duration = Duration::from_secs(14 * 86_400);
/// How long a client assertion may be.
const ASSERTION_BYTES_MAX: u64 = 64 * 1024;
/// For how many servers of one provider a nonce is kept.
const SERVERS_MAX: usize = 16;
/// How often it is looked whether a provider has answered.
const SETTLE_GLANCE: Duration = Duration::from_millis(10);
/// How many sign-ins are begun at a provider at once, and how many wait for that. Whoever floods us with beginnings
/// keeps nobody from finishing (R34).
const BEGINNINGS_AT_ONCE: usize = 16;
const BEGINNINGS_WAITING: usize = 256;
/// How many tokens a provider is asked about at once, and how many wait. Anybody can invent tokens, and keeps nobody from
/// signing in by it.
const TOKENS_AT_ONCE: usize = 32;
const TOKENS_WAITING: usize = 512;
/// How many other questions a provider is asked at once, and how many wait (R8).
const QUESTIONS_AT_ONCE: usize = 64;
const QUESTIONS_WAITING: usize = 1024;
const RETRY_FIRST: Duration = Duration::from_millis(500);
const RETRY_LAST: Duration = Duration::from_secs(30);

/// All providers, by name.
#[derive(Debug)]
pub(crate) struct Providers {
    by_name: HashMap<String, Arc<Kept>>,
}

/// A provider that is kept up to date for as long as some configuration in use has it.
#[derive(Debug)]
struct Kept {
    provider: Arc<Provider>,
    /// What it was made from.
    config: ProviderConfig,
    refreshing: JoinHandle<()>,
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.refreshing.abort();
    }
}

impl Deref for Kept {
    type Target = Provider;

    fn deref(&self) -> &Provider {
        &self.provider
    }
}

impl Kept {
    fn start(provider: Provider, config: &ProviderConfig) -> Self {
        let provider = Arc::new(provider);
        provider.readiness.provider(&provider.name, ProviderState::Unknown);
        let refreshing = tokio::spawn(Arc::clone(&provider).keep_fresh());
        Self { provider, config: config.clone(), refreshing }
    }

    /// Whether what is known of the provider, and how it is asked, is the same for `config`.
    fn is_for(&self, config: &ProviderConfig) -> bool {
        let of = |config: &ProviderConfig| {
            let registration = &config.sign_in.registration;
            // A registration shows none of its secrets; none of them decides about metadata and keys.
            (format!("{registration:?}"), format!("{:?}", config.endpoints))
        };
        self.config.transport == config.transport
            && self.config.client_assertion == config.client_assertion
            && of(&self.config) == of(config)
    }
}

#[derive(Debug)]
struct Provider {
    name: String,
    registration: Arc<Registration>,
    endpoints: ProviderEndpoints,
    known: ArcSwapOption<Known>,
    /// When the keys were last asked for. Held while they are, so that everybody else waits for that answer.
    keys_asked: AsyncMutex<Option<Instant>>,
    fetcher: Fetcher,
    /// For what anybody can have asked who only begins to sign in.
    beginnings: Turnstile,
    /// For what anybody can have asked who comes with a token.
    tokens: Turnstile,
    /// For everything else.
    questions: Turnstile,
    /// Where somebody else puts the assertion that authenticates us.
    client_assertion: Option<PathBuf>,
    /// What its servers want in proofs of possession, by their origin.
    dpop_nonces: Mutex<DpopNonces>,
    metrics: Arc<Metrics>,
    readiness: Arc<Readiness>,
}

/// Why a provider is not known.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProviderError {
    #[error("the issuer cannot be turned into the address of its metadata")]
    Address(#[source] DiscoveryError),
    #[error("its certificate, its authorities or its proxy cannot be used")]
    Fetcher(#[source] reqwest::Error),
    #[error("`{0}` cannot be read")]
    Keys(&'static str, #[source] JwksError),
    #[error("the metadata cannot be used")]
    Metadata(#[source] DiscoveryError),
    #[error("{0} answered {1}")]
    Status(&'static str, http::StatusCode),
    #[error("{0} cannot be fetched")]
    Unreachable(&'static str, #[source] Unreachable),
}

impl Providers {
    /// Begins to fetch what is known of every provider, and goes on doing so for as long as this is kept. Those that
    /// were the same `before` a reload are not asked again: what is known of them stays known.
    pub(crate) fn start(
        configured: &[ProviderConfig],
        before: Option<&Self>,
        metrics: &Arc<Metrics>,
        readiness: &Arc<Readiness>,
    ) -> Result<Self, ProviderError> {
        let same = |config: &ProviderConfig| {
            let kept = before?.by_name.get(&config.sign_in.registration.name)?;
            kept.is_for(config).then(|| Arc::clone(kept))
        };
        let made = configured.iter().map(|config| match same(config) {
            Some(kept) => Ok((config, Ok(kept))),
            None => Ok((config, Err(Provider::new(config, metrics, readiness)?))),
        });
        // Nothing is asked before it is certain that everything is there.
        let made = made.collect::<Result<Vec<_>, ProviderError>>()?;
        let by_name = made.into_iter().map(|(config, made)| {
            let kept = made.unwrap_or_else(|provider| Arc::new(Kept::start(provider, config)));
            kept.warn_of_expiry(config, world::now());
            (kept.name.clone(), kept)
        });
        Ok(Self { by_name: by_name.collect() })
    }

    /// Waits until every provider has said what it can do, but no longer than `patience`.
    pub(crate) async fn settle(&self, patience: Duration) {
        let all_known = async {
            while self.by_name.values().any(|kept| kept.known.load().is_none()) {
                tokio::time::sleep(SETTLE_GLANCE).await;
            }
        };
        let _ = tokio::time::timeout(patience, all_known).await;
    }

    /// Lets `config` go on with the keys that this process has made for its providers: tokens are bound to them.
    pub(crate) fn keep_made_keys(&self, config: &mut Config) {
        for provider in config.providers.iter_mut().filter(|provider| provider.dpop_key_is_made) {
            let fresh = &provider.sign_in.registration;
            let kept = self.by_name.get(&fresh.name).filter(|kept| kept.config.dpop_key_is_made);
            let made = kept.and_then(|kept| kept.config.sign_in.registration.dpop.as_ref());
            let (Some(made), Some(wanted)) = (made, &fresh.dpop) else { continue };
            let dpop = Dpop { key: made.key.clone(), ..wanted.clone() };
            let registration =
                Arc::new(Registration { dpop: Some(dpop), ..Registration::clone(fresh) });
            let in_gateway = config.gateway.providers.iter_mut();
            for sign_in in in_gateway.filter(|it| it.registration.name == registration.name) {
                sign_in.registration = Arc::clone(&registration);
            }
            provider.sign_in.registration = registration;
        }
    }

    /// What is known of a provider now.
    pub(crate) fn known(&self, name: &str) -> Option<Known> {
        let known = self.by_name.get(name)?.known.load();
        known.as_deref().cloned()
    }

    /// Sends one request to a provider, in the way that is configured for it.
    pub(crate) async fn send(
        &self,
        name: &str,
        request: http::Request<Vec<u8>>,
    ) -> Result<http::Response<Vec<u8>>, Unreachable> {
        let provider = self.by_name.get(name);
        let provider = provider.ok_or_else(|| Unreachable("it is not configured".to_owned()))?;
        let turnstile = match request.extensions().get() {
            Some(Endpoint::PushedAuthorizationRequest) => &provider.beginnings,
            Some(Endpoint::Introspection) => &provider.tokens,
            Some(_) | None => &provider.questions,
        };
        let _turn = turnstile.turn().await.map_err(|crowded| Unreachable(crowded.to_string()))?;
        provider.fetcher.send(request).await
    }

    /// The client assertion that somebody else signed, as it is in its file now.
    pub(crate) async fn client_assertion(&self, name: &str) -> Result<Option<Secret>, Unreachable> {
        let file = self.by_name.get(name).and_then(|provider| provider.client_assertion.as_deref());
        match file {
            Some(file) => read_assertion(file).await.map(Some),
            None => Ok(None),
        }
    }

    /// What a provider's servers want in proofs of possession.
    pub(crate) fn dpop_nonces(&self, name: &str) -> DpopNonces {
        let provider = self.by_name.get(name);
        provider.map_or_else(DpopNonces::new, |provider| {
            provider.dpop_nonces.lock().unwrap_or_else(PoisonError::into_inner).clone()
        })
    }

    /// Remembers the latest one.
    pub(crate) fn remember_dpop_nonce(&self, name: &str, server: &str, nonce: &str) {
        let Some(provider) = self.by_name.get(name) else { return };
        let mut nonces = provider.dpop_nonces.lock().unwrap_or_else(PoisonError::into_inner);
        // A provider has a handful of servers; one whose metadata name ever new ones is forgotten about.
        if nonces.len() >= SERVERS_MAX && !nonces.contains_key(server) {
            nonces.clear();
        }
        nonces.insert(server.to_owned(), nonce.to_owned());
    }

    /// The keys after one unknown was met. Never fails: the last good ones are better than none.
    pub(crate) async fn newer_keys(&self, name: &str) -> Arc<KeySet> {
        match self.by_name.get(name) {
            Some(provider) => provider.newer_keys().await,
            None => Arc::new(KeySet::empty()),
        }
    }
}

/// Asks a provider for its metadata and keys once, for a report.
pub(crate) async fn ask_once(
    config: &ProviderConfig,
    metrics: &Arc<Metrics>,
    readiness: &Arc<Readiness>,
) -> Result<(), ProviderError> {
    Provider::new(config, metrics, readiness)?.fetch().await.map(drop)
}

/// Reads an assertion anew: whoever puts it there replaces it before it expires.
async fn read_assertion(file: &Path) -> Result<Secret, Unreachable> {
    let unreadable = |why: &str| {
        Unreachable(format!("the client assertion in {} cannot be used: {why}", file.display()))
    };
    let opened =
        tokio::fs::File::open(file).await.map_err(|error| unreadable(&error.to_string()))?;
    let mut text = String::new();
    let read = opened.take(ASSERTION_BYTES_MAX + 1).read_to_string(&mut text).await;
    read.map_err(|error| unreadable(&error.to_string()))?;
    if text.len() as u64 > ASSERTION_BYTES_MAX {
        return Err(unreadable("it is too large"));
    }
    match text.trim() {
        "" => Err(unreadable("it is empty")),
        assertion if assertion.contains(char::is_whitespace) => {
            Err(unreadable("it is not one token"))
        }
        assertion => Ok(Secret::new(assertion)),
    }
}

impl Provider {
    fn new(
        config: &ProviderConfig,
        metrics: &Arc<Metrics>,
        readiness: &Arc<Readiness>,
    ) -> Result<Self, ProviderError> {
        let registration = &config.sign_in.registration;
        Ok(Self {
            name: registration.name.clone(),
            registration: Arc::clone(registration),
            endpoints: config.endpoints.clone(),
            known: ArcSwapOption::empty(),
            keys_asked: AsyncMutex::new(None),
            fetcher: Fetcher::new(&config.transport).map_err(ProviderError::Fetcher)?,
            beginnings: Turnstile::new(BEGINNINGS_AT_ONCE, BEGINNINGS_WAITING),
            tokens: Turnstile::new(TOKENS_AT_ONCE, TOKENS_WAITING),
            questions: Turnstile::new(QUESTIONS_AT_ONCE, QUESTIONS_WAITING),
            client_assertion: config.client_assertion.clone(),
            dpop_nonces: Mutex::default(),
            metrics: Arc::clone(metrics),
            readiness: Arc::clone(readiness),
        })
    }

    /// A certificate that has expired is said, and one that will soon (MT2). It is shown all the same: whether
    /// it is good is the provider's to say.
    fn warn_of_expiry(&self, config: &ProviderConfig, now: Timestamp) {
        let Some(certificate) = &config.transport.client_certificate else { return };
        let expires_at = crate::rfc3339::seconds(certificate.expires_at);
        if certificate.expires_at < now {
            tracing::error!(provider = self.name, expires_at, "the client certificate has expired");
        } else if certificate.expires_at < now.plus(EXPIRES_SOON) {
            tracing::warn!(provider = self.name, expires_at, "the client certificate expires soon");
        }
    }

    async fn keep_fresh(self: Arc<Self>) {
        let mut retry = RETRY_FIRST;
        loop {
            // Held, so that older keys never take the place of newer ones.
            let asked = self.keys_asked.lock().await;
            let fetched = self.fetch().await;
            let pause = match fetched {
                Ok(known) => {
                    let before = self.known.swap(Some(Arc::new(known)));
                    if before.is_none() {
                        tracing::info!(provider = self.name, "the provider is ready");
                    }
                    self.readiness.provider(&self.name, ProviderState::Reachable);
                    retry = RETRY_FIRST;
                    FRESH_FOR
                }
                Err(error) => {
                    let error = crate::chain(&error);
                    let state = if self.known.load().is_some() {
                        "what is known is kept"
                    } else {
                        "nobody can sign in with it yet"
                    };
                    tracing::warn!(
                        provider = self.name,
                        error,
                        "the provider did not answer; {state}"
                    );
                    self.readiness.provider(&self.name, ProviderState::Unreachable);
                    retry = (retry * 2).min(RETRY_LAST);
                    retry
                }
            };
            drop(asked);
            tokio::time::sleep(jittered(pause)).await;
        }
    }

    async fn fetch(&self) -> Result<Known, ProviderError> {
        let metadata = match &self.endpoints {
            ProviderEndpoints::Discovery => {
                let address =
                    discovery::url_of(&self.registration).map_err(ProviderError::Address)?;
                let document =
                    self.get(ProviderEndpoint::Discovery, "the metadata", address.as_str()).await?;
                Metadata::parse_of(&document, &self.registration)
                    .map_err(ProviderError::Metadata)?
            }
            ProviderEndpoints::Static(metadata) => metadata.clone(),
        };
        let keys = self.keys(&metadata).await?;
        Ok(Known { metadata: Arc::new(metadata), keys: Arc::new(keys) })
    }

    async fn keys(&self, metadata: &Metadata) -> Result<KeySet, ProviderError> {
        let Some(address) = &metadata.jwks_uri else { return Ok(KeySet::empty()) };
        let document = self.get(ProviderEndpoint::Jwks, "`jwks_uri`", address.as_str()).await?;
        let keys =
            KeySet::parse(&document).map_err(|error| ProviderError::Keys("jwks_uri", error))?;
        self.metrics.keys_read(&self.name, world::now());
        Ok(keys)
    }

    async fn get(
        &self,
        endpoint: ProviderEndpoint,
        what: &'static str,
        address: &str,
    ) -> Result<Vec<u8>, ProviderError> {
        let request = http::Request::get(address)
            .header(http::header::ACCEPT, "application/json")
            .body(Vec::new());
        let request = request
            .map_err(|error| ProviderError::Unreachable(what, Unreachable(error.to_string())))?;
        let started = Instant::now();
        let answer = self.fetcher.send(request).await;
        let outcome = answer
            .as_ref()
            .map_or(FetchOutcome::Unreachable, |answer| FetchOutcome::of(answer.status()));
        self.metrics.provider_request(&self.name, endpoint, outcome, started.elapsed());
        let answer = answer.map_err(|error| ProviderError::Unreachable(what, error))?;
        if answer.status() != http::StatusCode::OK {
            return Err(ProviderError::Status(what, answer.status()));
        }
        Ok(answer.into_body())
    }

    async fn newer_keys(&self) -> Arc<KeySet> {
        let came = Instant::now();
        let mut asked = self.keys_asked.lock().await;
        let Some(known) = self.known.load_full() else { return Arc::new(KeySet::empty()) };
        let too_soon =
            asked.is_some_and(|asked| asked >= came || came.duration_since(asked) < KEYS_INTERVAL);
        if !too_soon {
            *asked = Some(Instant::now());
            match self.keys(&known.metadata).await {
                Ok(keys) => {
                    let metadata = Arc::clone(&known.metadata);
                    self.known.store(Some(Arc::new(Known { metadata, keys: Arc::new(keys) })));
                }
                Err(error) => {
                    let error = crate::chain(&error);
                    tracing::warn!(
                        provider = self.name,
                        error,
                        "newer keys cannot be fetched; the last good ones are kept"
                    );
                }
            }
        }
        self.known
            .load_full()
            .map_or_else(|| Arc::clone(&known.keys), |known| Arc::clone(&known.keys))
    }
}

/// Up to a tenth more, so that many gateways do not ask at one moment.
fn jittered(pause: Duration) -> Duration {
    let clock = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    pause + pause.mul_f64(f64::from(clock.subsec_nanos() % 1000) / 10_000.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fetch::scripted;
    use lychgate_gateway::route::Routes;

    /// A key set that can be told from others by its number of keys.
    fn keys(count: u8) -> Vec<u8> {
        let key = |number| {
            serde_json::json!({
                "kty": "OKP", "crv": "Ed25519", "use": "sig", "kid": format!("key-{number}"),
                "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
            })
        };
        serde_json::json!({ "keys": (0..count).map(key).collect::<Vec<_>>() }).to_string().into()
    }

    fn set(count: u8) -> String {
        format!("{:?}", KeySet::parse(&keys(count)).unwrap())
    }

    fn provider(answers: &Arc<scripted::Provider>) -> Arc<Provider> {
        let document = serde_json::json!({
            "issuer": "https://id.test",
            "authorization_endpoint": "https://id.test/authorize",
            "token_endpoint": "https://id.test/token",
            "jwks_uri": "https://id.test/keys",
        });
        let metadata = Metadata::parse(document.to_string().as_bytes(), "https://id.test").unwrap();
        let started = SystemTime::UNIX_EPOCH;
        Arc::new(Provider {
            name: "corp".to_owned(),
            registration: Arc::new(Registration::new("corp", "https://id.test", "gate")),
            endpoints: ProviderEndpoints::Static(metadata),
            known: ArcSwapOption::empty(),
            keys_asked: AsyncMutex::new(None),
            fetcher: Fetcher::scripted(Arc::clone(answers)),
            beginnings: Turnstile::new(1, 1),
            tokens: Turnstile::new(1, 1),
            questions: Turnstile::new(1, 1),
            client_assertion: None,
            dpop_nonces: Mutex::default(),
            metrics: Arc::new(Metrics::new(&Routes::default(), ["corp"], "", started)),
            readiness: Arc::default(),
        })
    }

    /// Lets everybody go on until all of them wait.
    async fn settle() {
        for _ in 0..50 {
            tokio::task::yield_now().await;
        }
    }

    /// R6, class G: while the keys are being refreshed, somebody meets one that is unknown. The answer of the refresh is the
    /// older one, however late it comes; with both under way at once it would take the place of the newer.
    #[tokio::test(start_paused = true)]
    async fn older_keys_never_replace_newer_ones() {
        let answers = Arc::new(scripted::Provider::default());
        let provider = provider(&answers);
        answers.prepare().send(keys(1)).unwrap();
        let (old, new) = (answers.prepare(), answers.prepare());
        tokio::spawn(Arc::clone(&provider).keep_fresh());
        settle().await;
        tokio::time::advance(FRESH_FOR * 2).await;
        settle().await;
        assert_eq!(answers.asked(), 2, "the refresh is under way");

        let visit = tokio::spawn({
            let provider = Arc::clone(&provider);
            async move { provider.newer_keys().await }
        });
        new.send(keys(3)).unwrap();
        settle().await;
        old.send(keys(2)).unwrap();
        settle().await;

        assert_eq!(format!("{:?}", visit.await.unwrap()), set(3));
        let known = provider.known.load_full().unwrap();
        assert_eq!(format!("{:?}", known.keys), set(3), "the newer keys stay");
        assert_eq!(answers.asked(), 3);
    }

    /// R7, class G: a stream of invented key ids asks the provider once for all who wait, and not again for a while; what it
    /// answered last stays when it does not answer.
    #[tokio::test(start_paused = true)]
    async fn unknown_keys_ask_the_provider_once_for_everybody() {
        let answers = Arc::new(scripted::Provider::default());
        let provider = provider(&answers);
        answers.prepare().send(keys(1)).unwrap();
        tokio::spawn(Arc::clone(&provider).keep_fresh());
        settle().await;
        let new = answers.prepare();

        let visits: Vec<_> = (0..8)
            .map(|_| {
                let provider = Arc::clone(&provider);
                tokio::spawn(async move { provider.newer_keys().await })
            })
            .collect();
        settle().await;
        new.send(keys(2)).unwrap();
        for visit in visits {
            assert_eq!(format!("{:?}", visit.await.unwrap()), set(2));
        }
        assert_eq!(answers.asked(), 2);

        provider.newer_keys().await;
        assert_eq!(answers.asked(), 2, "too soon");
        tokio::time::advance(KEYS_INTERVAL).await;
        assert_eq!(format!("{:?}", provider.newer_keys().await), set(2), "kept");
        assert_eq!(answers.asked(), 3);
    }

    /// RFC 7523 §2.2: read anew at every use; what cannot be used is said with the file's name, and not shown.
    #[tokio::test]
    async fn an_assertion_is_the_one_that_lies_there_now() {
        let path = std::env::temp_dir().join(format!("lychgate-assertion-{}", std::process::id()));
        for (text, expected) in [
            ("first.a.b", "first.a.b"),
            ("second.a.b\n", "second.a.b"),
            (" third.a.b ", "third.a.b"),
        ] {
            std::fs::write(&path, text).unwrap();
            assert_eq!(read_assertion(&path).await.unwrap().expose(), expected);
        }
        for (text, expected) in [
            (String::new(), "it is empty"),
            ("\n \n".to_owned(), "it is empty"),
            ("canary.a.b canary".to_owned(), "it is not one token"),
            ("canary".repeat(20_000), "it is too large"),
        ] {
            std::fs::write(&path, text).unwrap();
            let error = read_assertion(&path).await.unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
            assert!(error.contains("lychgate-assertion-") && !error.contains("canary"), "{error}");
        }
        std::fs::write(&path, b"\xff\xfe").unwrap();
        assert!(read_assertion(&path).await.is_err());
        std::fs::remove_file(&path).unwrap();
        let error = read_assertion(&path).await.unwrap_err().to_string();
        assert!(error.contains("lychgate-assertion-") && error.contains("No such file"), "{error}");
        assert!(read_assertion(&std::env::temp_dir()).await.is_err());
    }
}
