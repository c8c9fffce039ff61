//! From a configuration to services that run, and from a signal to their end.

use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use lychgate_config::config::{ListenAddress, SessionKeys};
use lychgate_config::{Loaded, Origins, ProcessEnvironment, Source};
use lychgate_gateway::Gateway;
use lychgate_gateway::seal::{Key, KeyRing, NoKeys};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use crate::admin::{Admin, Readiness};
use crate::console::{CONFIG, NO, OK, complain};
use crate::descriptors;
use crate::keys::{self, KeyError};
use crate::ledger::Ledger;
use crate::listener::{BindError, Door, Ended};
use crate::panics;
use crate::providers::{ProviderError, Providers};
use crate::proxy::{App, Site};
use crate::telemetry::metrics::Metrics;
use crate::telemetry::{self, Telemetry};
use crate::turned_away::Witness;
use crate::upstream::{UpstreamError, Upstreams};
use crate::workers::Workers;
use crate::world::{self, Live};

/// After a signal to stop, requests are still taken for as long as this, because whoever sends them has to learn of
/// it first (K-21). Nobody is waited for who cannot be there: without a request in that time it ends early.
const NOTICE: Duration = Duration::from_secs(5);
/// How long the logs may take at the end.
const LOG_PATIENCE: Duration = Duration::from_secs(2);

/// Something that serving takes cannot be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    #[error("the admin port cannot be bound at {address}")]
    Admin { address: std::net::SocketAddr, source: io::Error },
    #[error(transparent)]
    Bind(#[from] BindError),
    #[error("the session key cannot be used")]
    Key(#[from] KeyError),
    #[error(transparent)]
    NoKeys(#[from] NoKeys),
    #[error("a provider cannot be asked")]
    Provider(#[from] ProviderError),
    #[error("a log cannot be opened")]
    Telemetry(#[source] io::Error),
    #[error(transparent)]
    Upstream(#[from] UpstreamError),
}

impl StartError {
    /// A certificate or a key that cannot be used is as wrong as a line of the configuration; what else is
    /// missing may be there the next time.
    pub(crate) fn exit_code(&self) -> u8 {
        if matches!(self, Self::Bind(BindError::Tls { .. })) { CONFIG } else { NO }
    }
}

/// `lychgate run`: serves until a signal says otherwise.
pub(crate) fn run(sources: &[Source]) -> u8 {
    let loaded = match lychgate_config::load(sources, &ProcessEnvironment) {
        Ok(loaded) => loaded,
        Err(report) => {
            complain(&format!("{report}\n"));
            return CONFIG;
        }
    };
    if !loaded.warnings.is_empty() {
        complain(&format!("{}\n", loaded.warnings));
    }
    let hash = config_hash(sources);
    in_runtime(async {
        match start(loaded, &hash).await {
            Ok(running) => {
                running.until_stopped().await;
                OK
            }
            Err(error) => {
                complain(&format!("error: {}\n", crate::chain(&error)));
                error.exit_code()
            }
        }
    })
}

/// Which configuration this is: the same for every way to write it.
fn config_hash(sources: &[Source]) -> String {
    lychgate_config::resolve(sources, &ProcessEnvironment, Origins::Hidden)
        .map(|resolved| resolved.config_hash)
        .unwrap_or_default()
}

/// Runs `work` on as many threads as the machine, or its share of it, has processors (K-22).
pub(crate) fn in_runtime(work: impl Future<Output = u8>) -> u8 {
    // Before anything can make a TLS object of its own choice.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    match tokio::runtime::Builder::new_multi_thread().enable_all().thread_name("lychgate").build() {
        Ok(runtime) => {
            let code = runtime.block_on(work);
            telemetry::log::flush(LOG_PATIENCE);
            // What is left are connections that outlived their time.
            runtime.shutdown_background();
            code
        }
        Err(error) => {
            complain(&format!("error: there is no runtime: {error}\n"));
            NO
        }
    }
}

/// A gateway that is bound and about to serve.
pub(crate) struct Running {
    door: Door,
    app: App<Live>,
    admin: Admin,
    readiness: Arc<Readiness>,
    telemetry: Arc<Telemetry>,
    shutdown_timeout: Duration,
}

/// Makes everything that serving takes, and binds every address.
///
/// # Errors
/// [`StartError`]; nothing stays bound then.
pub(crate) async fn start(loaded: Loaded, config_hash: &str) -> Result<Running, StartError> {
    let config = loaded.config;
    // A second subscriber in one process is a test's; the first one stays.
    let _ = telemetry::log::init(config.telemetry.log_level, config.telemetry.log_format);
    panics::count();
    descriptors::make_room(config.limits.connections);
    for file in &loaded.summary.files {
        tracing::info!(file, config_hash, "configuration");
    }
    let keys = KeyRing::new(session_keys(config.session_keys)?)?;

    let readiness = Arc::new(Readiness::default());
    let names = config.providers.iter().map(|provider| provider.sign_in.registration.name.as_str());
    let listeners = config.listeners.iter().map(|listener| listener.name.as_str());
    let metrics = Metrics::new(&config.gateway.routes, names, config_hash, SystemTime::now());
    let metrics = Arc::new(metrics.with_listeners(listeners));
    let telemetry = Telemetry::new(
        &config.telemetry,
        &keys.derive("user fields in logs"),
        config_hash,
        Arc::clone(&metrics),
    )
    .map_err(StartError::Telemetry)?;
    let telemetry = Arc::new(telemetry);

    let rules = config.providers.iter().map(|provider| &provider.sign_in.sign_in);
    let login_timeouts = rules.filter_map(|rules| rules.login_timeout);
    let login_timeout = login_timeouts.fold(config.gateway.login_timeout, Duration::max);
    let ledger = Ledger::new(login_timeout, config.gateway.sessions.lifetime);
    let upstreams = Upstreams::new(&config.upstreams)?;
    let witness = Arc::clone(&telemetry) as Arc<dyn Witness>;
    let door = Door::bind(&config.listeners, &config.limits, &witness)?;
    let admin = Admin::bind(
        config.admin.address,
        config.admin.token,
        Arc::clone(&readiness),
        Arc::clone(&metrics),
    )
    .map_err(|source| StartError::Admin { address: config.admin.address, source })?
    .with_files(loaded.summary.files);

    let providers = Providers::start(&config.providers, &metrics, &readiness)?;
    let live = Arc::new(Live {
        ledger: Arc::new(ledger),
        providers: Arc::new(providers),
        metrics,
        opened: world::opened_sessions(),
        refreshes: world::refreshes(),
        workers: Arc::new(Workers::start()),
    });
    let gateway = Gateway::new(config.gateway.settings(keys));
    let site = Arc::new(ArcSwap::from_pointee(Site::new(gateway, upstreams)));
    let shutdown_timeout = config.limits.shutdown_timeout;
    let app = App::new(site, live, Arc::clone(&telemetry), config.limits);

    for (listener, address) in door.addresses() {
        let address = match address {
            ListenAddress::Tcp(address) => address.to_string(),
            ListenAddress::Unix { path, .. } => path.display().to_string(),
        };
        tracing::info!(listener, address, "listening");
    }
    if let Ok(address) = admin.address() {
        tracing::info!(%address, "health and metrics");
    }
    readiness.config_is_live();
    readiness.listeners_are_bound();
    Ok(Running { door, app, admin, readiness, telemetry, shutdown_timeout })
}

/// The operator's keys, or the one that is kept for them. A state directory that cannot be used costs
/// sessions at a restart and nothing else; a key that others can read is refused.
fn session_keys(keys: SessionKeys) -> Result<Vec<Key>, KeyError> {
    let directory = match keys {
        SessionKeys::Given(keys) => return Ok(keys),
        SessionKeys::StateDirectory => keys::state_directory(),
    };
    match keys::in_directory(&directory) {
        Ok(key) => Ok(vec![key]),
        Err(error @ KeyError::Io { .. }) => {
            let error = crate::chain(&error);
            tracing::warn!(
                code = "W0510",
                error,
                "sessions end at restart: no key can be kept; set `sessions.keys`"
            );
            let mut bytes = [0; 32];
            world::fill_random(&mut bytes);
            Ok(vec![Key::new(bytes)])
        }
        Err(error) => Err(error),
    }
}

impl Running {
    /// Serves until SIGTERM or SIGINT, then fails readiness, goes on for as long as anybody comes, stops to
    /// accept, and lets requests under way end. A second signal ends it at once.
    pub(crate) async fn until_stopped(self) {
        let (stop, stopping) = watch::channel(false);
        let (end_admin, admin_ended) = watch::channel(false);
        let admin = tokio::spawn(self.admin.serve(async move {
            let mut ended = admin_ended;
            let _ = ended.wait_for(|ended| *ended).await;
        }));
        let logs = tokio::spawn(reopen_logs(Arc::clone(&self.telemetry)));
        let drain = self.app.drain().clone();
        let serving = self.door.serve(self.app, stopping, self.shutdown_timeout);
        tokio::pin!(serving);

        let mut orders = Orders::new();
        let told = async {
            let first = orders.next().await;
            tracing::info!(signal = first, requests = drain.requests(), "stopping");
            self.readiness.drain();
        };
        tokio::select! {
            _ = &mut serving => {}
            () = told => {
                tokio::select! {
                    _ = &mut serving => {}
                    () = tokio::time::sleep(NOTICE) => {}
                    () = drain.finished() => {}
                }
                let _ = stop.send(true);
                tokio::select! {
                    ended = &mut serving => match ended {
                        Ended::Drained => tracing::info!("stopped"),
                        Ended::Cut(requests) => tracing::warn!(requests, "stopped; some requests were cut off"),
                    },
                    signal = orders.next() => tracing::warn!(signal, "stopped at once"),
                }
            }
        }
        logs.abort();
        let _ = end_admin.send(true);
        let _ = admin.await;
        self.telemetry.flush(LOG_PATIENCE);
    }
}

/// Begins new log files at every SIGUSR1, which is what log rotation sends after it moved the old ones.
async fn reopen_logs(telemetry: Arc<Telemetry>) {
    let Ok(mut asked) = signal(SignalKind::user_defined1()) else { return };
    while asked.recv().await.is_some() {
        telemetry.reopen();
        tracing::info!("the logs were opened anew");
    }
}

/// SIGTERM and SIGINT, caught from the first to the last: one that comes right after another is not lost.
struct Orders {
    terminate: Option<Signal>,
    interrupt: Option<Signal>,
}

impl Orders {
    fn new() -> Self {
        let caught = |kind| signal(kind).ok();
        Self {
            terminate: caught(SignalKind::terminate()),
            interrupt: caught(SignalKind::interrupt()),
        }
    }

    /// The next one. Where they cannot be caught, a signal ends the process in the system's own way.
    async fn next(&mut self) -> &'static str {
        tokio::select! {
            () = come(&mut self.terminate) => "SIGTERM",
            () = come(&mut self.interrupt) => "SIGINT",
        }
    }
}

async fn come(signal: &mut Option<Signal>) {
    if let Some(signal) = signal
        && signal.recv().await.is_some()
    {
        return;
    }
    std::future::pending().await
}
