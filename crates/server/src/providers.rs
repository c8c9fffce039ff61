//! Providers' metadata and keys: fetched ahead, kept fresh, and kept when the provider is down.
//!
//! The gateway starts and serves while a provider cannot be reached; the first answer puts it to work. Keys
//! are fetched anew when a token names one that is unknown: once for all logins that are waiting, and
//! not again for a while, so that a stream of invented names asks the provider next to nothing.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwapOption;
use lychgate_config::config::{ProviderConfig, ProviderEndpoints};
use lychgate_gateway::world::Known;
use lychgate_oidc::{
    DiscoveryError, JwksError, KeySet, Metadata, Provider as Registration, discovery,
};
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::admin::{ProviderState, Readiness};
use crate::fetch::Fetcher;
use crate::telemetry::metrics::{FetchOutcome, Metrics, ProviderEndpoint};
use crate::world;

/// How long metadata and keys are good before they are fetched again.
const FRESH_FOR: Duration = Duration::from_secs(15 * 60);
/// How soon after a fetch an unknown key may cause another.
const KEYS_INTERVAL: Duration = Duration::from_secs(5);
const RETRY_FIRST: Duration = Duration::from_millis(500);
const RETRY_LAST: Duration = Duration::from_secs(30);

/// All providers, by name.
#[derive(Debug)]
pub(crate) struct Providers {
    by_name: HashMap<String, Arc<Provider>>,
}

#[derive(Debug)]
struct Provider {
    name: String,
    registration: Arc<Registration>,
    endpoints: ProviderEndpoints,
    known: ArcSwapOption<Known>,
    /// When the keys were last asked for. Held while they are, so that everybody else waits for that answer.
    keys_asked: Mutex<Option<Instant>>,
    fetcher: Fetcher,
    metrics: Arc<Metrics>,
    readiness: Arc<Readiness>,
}

/// Why a provider is not known.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProviderError {
    #[error("the issuer cannot be turned into the address of its metadata")]
    Address(#[source] DiscoveryError),
    #[error("`{0}` cannot be read")]
    Keys(&'static str, #[source] JwksError),
    #[error("the metadata cannot be used")]
    Metadata(#[source] DiscoveryError),
    #[error("{0} answered {1}")]
    Status(&'static str, http::StatusCode),
    #[error("{0} cannot be fetched")]
    Unreachable(&'static str, #[source] lychgate_gateway::world::Unreachable),
}

impl Providers {
    /// Begins to fetch what is known of every provider, and goes on doing so for as long as the runtime runs.
    pub(crate) fn start(
        configured: &[ProviderConfig],
        fetcher: &Fetcher,
        metrics: &Arc<Metrics>,
        readiness: &Arc<Readiness>,
    ) -> Self {
        let by_name = configured.iter().map(|config| {
            let provider = Arc::new(Provider::new(config, fetcher, metrics, readiness));
            readiness.provider(&provider.name, ProviderState::Unknown);
            tokio::spawn(Arc::clone(&provider).keep_fresh());
            (provider.name.clone(), provider)
        });
        Self { by_name: by_name.collect() }
    }

    /// What is known of a provider now.
    pub(crate) fn known(&self, name: &str) -> Option<Known> {
        let known = self.by_name.get(name)?.known.load();
        known.as_deref().cloned()
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
    fetcher: &Fetcher,
    metrics: &Arc<Metrics>,
    readiness: &Arc<Readiness>,
) -> Result<(), ProviderError> {
    Provider::new(config, fetcher, metrics, readiness).fetch().await.map(drop)
}

impl Provider {
    fn new(
        config: &ProviderConfig,
        fetcher: &Fetcher,
        metrics: &Arc<Metrics>,
        readiness: &Arc<Readiness>,
    ) -> Self {
        let registration = &config.sign_in.registration;
        Self {
            name: registration.name.clone(),
            registration: Arc::clone(registration),
            endpoints: config.endpoints.clone(),
            known: ArcSwapOption::empty(),
            keys_asked: Mutex::new(None),
            fetcher: fetcher.clone(),
            metrics: Arc::clone(metrics),
            readiness: Arc::clone(readiness),
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
        let request = request.map_err(|error| {
            ProviderError::Unreachable(
                what,
                lychgate_gateway::world::Unreachable(error.to_string()),
            )
        })?;
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
