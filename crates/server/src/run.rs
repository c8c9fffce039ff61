//! From a configuration to services that run, and from a signal to their end.

use std::io;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use lychgate_config::config::{Config, ListenAddress, SessionKeys};
use lychgate_config::{Fingerprint, Inputs, Loaded, Source};
use lychgate_gateway::Gateway;
use lychgate_gateway::rescue::KEPT_FOR;
use lychgate_gateway::seal::{Key, KeyRing, NoKeys};
use pingora_timeout::fast_timeout::set_fast_timeout_to_tokio_threshold;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::admin::socket::{self, AdminSocket};
use crate::admin::{Admin, InUse, Readiness};
use crate::console::{CONFIG, NO, OK, complain};
use crate::descriptors;
use crate::keys::{self, KeyError};
use crate::ledger::Ledger;
use crate::listener::{BindError, Door, Ended};
use crate::login_starts::LoginStarts;
use crate::marks::Marks;
use crate::opened::opened_sessions;
use crate::pages::{PageError, Pages};
use crate::panics;
use crate::providers::{ProviderError, Providers};
use crate::proxy::{App, Site};
use crate::reload::{self, Fixed, History, Read, Reloader};
use crate::telemetry::metrics::Metrics;
use crate::telemetry::{self, Telemetry};
use crate::tether::Tethers;
use crate::tokens::Tokens;
use crate::turned_away::Witness;
use crate::upstream::{UpstreamError, Upstreams};
use crate::workers::Workers;
use crate::world::{self, Live, Refreshes};

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
    #[error("{}", .0.iter().map(|error| crate::chain(error)).collect::<Vec<_>>().join("; "))]
    Pages(Vec<PageError>),
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
        let wrong = matches!(self, Self::Bind(BindError::Tls { .. }) | Self::Pages(_));
        if wrong { CONFIG } else { NO }
    }
}

/// `lychgate run`: serves until a signal says otherwise. `socket` is where `lychgate reload` is listened for, if not
/// where it usually is.
pub(crate) fn run(sources: Vec<Source>, socket: Option<&Path>) -> u8 {
    let Read { loaded, config_hash, inputs, fingerprint } = reload::read(&sources);
    let loaded = match loaded {
        Ok(loaded) => loaded,
        Err(report) => {
            complain(&format!("{report}\n"));
            return CONFIG;
        }
    };
    if !loaded.warnings.is_empty() {
        complain(&format!("{}\n", loaded.warnings));
    }
    in_runtime(async {
        let marks = Marks::below(&keys::state_directory());
        match start(loaded, &config_hash, marks).await {
            Ok(mut running) => {
                running.reload_from(sources, (inputs, fingerprint), &socket::path(socket));
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

/// Runs `work` on as many threads as the machine, or its share of it, has processors (K-22).
pub(crate) fn in_runtime(work: impl Future<Output = u8>) -> u8 {
    // Before anything can make a TLS object of its own choice.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let mut runtime = match std::thread::available_parallelism().map_or(1, usize::from) {
        1 => {
            // Where one thread does all the work, nothing has to be shared out, and nobody else waits for the lock of
            // the runtime's timers: pingora's own would be kept until they ring, for whatever they were set.
            set_fast_timeout_to_tokio_threshold(Some(Duration::ZERO));
            tokio::runtime::Builder::new_current_thread()
        }
        _ => tokio::runtime::Builder::new_multi_thread(),
    };
    match runtime.enable_all().thread_name("lychgate").build() {
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
    fixed: Fixed,
    lasting: Lasting,
    site: Arc<ArcSwap<Site<Live>>>,
    in_use: Arc<ArcSwap<InUse>>,
    history: Arc<History>,
    shutdown_timeout: Duration,
    /// What reloads, answers those who ask for it, and looks after files.
    reloading: JoinSet<()>,
}

/// What outlasts every configuration.
#[derive(Clone, Debug)]
pub(crate) struct Lasting {
    pub(crate) readiness: Arc<Readiness>,
    pub(crate) tethers: Arc<Tethers>,
    ledger: Arc<Ledger>,
    refreshes: Refreshes,
    workers: Arc<Workers>,
    /// The key of the state directory, or the one that was made because none can be kept.
    kept_key: Arc<OnceLock<Key>>,
    started: SystemTime,
}

/// Makes everything that serving takes, and binds every address. Logins that are used up leave `marks`.
///
/// # Errors
/// [`StartError`]; nothing stays bound then.
pub(crate) async fn start(
    loaded: Loaded,
    config_hash: &str,
    marks: Marks,
) -> Result<Running, StartError> {
    let config = loaded.config;
    // A second subscriber in one process is a test's; the first one stays.
    let _ = telemetry::log::init(config.telemetry.log_level, config.telemetry.log_format);
    panics::count();
    descriptors::make_room(config.limits.connections);
    for file in &loaded.summary.files {
        tracing::info!(file, config_hash, "configuration");
    }
    let fixed = Fixed::of(&config);
    let (listeners, limits, admin) =
        (config.listeners.clone(), config.limits.clone(), config.admin.clone());
    let (login_timeout, lifetime) = (login_timeout(&config), config.gateway.sessions.lifetime);
    let lasting = Lasting {
        readiness: Arc::new(Readiness::with(marks.clone())),
        tethers: Arc::default(),
        ledger: Arc::new(Ledger::new(login_timeout, lifetime, marks.clone())),
        refreshes: world::refreshes(),
        workers: Arc::new(Workers::start()),
        kept_key: Arc::default(),
        started: SystemTime::now(),
    };
    let site = assemble(config, config_hash, &lasting, None)?;
    let witness = Arc::clone(&site.telemetry) as Arc<dyn Witness>;
    let door = Door::bind(&listeners, &limits, &witness)?;
    let metrics = Arc::clone(site.telemetry.metrics());
    metrics.show_certificates(door.handle().certificates());
    let (address, token) = (admin.address, admin.token);
    let in_use = InUse { metrics, token, files: loaded.summary.files };
    let in_use = Arc::new(ArcSwap::from_pointee(in_use));
    let (readiness, history) = (Arc::clone(&lasting.readiness), Arc::default());
    let admin = Admin::bind(address, readiness, Arc::clone(&in_use), Arc::clone(&history))
        .map_err(|source| StartError::Admin { address, source })?;

    let site = Arc::new(ArcSwap::from_pointee(site));
    let shutdown_timeout = limits.shutdown_timeout;
    let app = App::new(Arc::clone(&site), limits, Arc::clone(&lasting.tethers));

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
    lasting.readiness.config_is_live();
    lasting.readiness.listeners_are_bound();
    let mut reloading = JoinSet::new();
    reloading.spawn(marks.look_after());
    Ok(Running {
        door,
        app,
        admin,
        fixed,
        lasting,
        site,
        in_use,
        history,
        shutdown_timeout,
        reloading,
    })
}

/// Everything that follows from one configuration, with what goes on from the one `before`.
///
/// # Errors
/// [`StartError`]; the one before is untouched then.
pub(crate) fn assemble(
    config: Config,
    config_hash: &str,
    lasting: &Lasting,
    before: Option<&Site<Live>>,
) -> Result<Site<Live>, StartError> {
    let login_timeout = login_timeout(&config);
    let keys = KeyRing::new(session_keys(config.session_keys, &lasting.kept_key)?)?;
    let names = config.providers.iter().map(|provider| provider.sign_in.registration.name.as_str());
    let listeners = config.listeners.iter().map(|listener| listener.name.as_str());
    let metrics = Metrics::new(&config.gateway.routes, names, config_hash, lasting.started)
        .with_listeners(listeners);
    let metrics = Arc::new(match before {
        Some(before) => metrics.after(before.telemetry.metrics()),
        None => metrics,
    });
    let telemetry = Telemetry::after(
        before.map(|before| &*before.telemetry),
        &config.telemetry,
        &keys.derive("user fields in logs"),
        config_hash,
        Arc::clone(&metrics),
    )
    .map_err(StartError::Telemetry)?;
    let pages = Pages::load(
        &config.gateway.path_prefix,
        config.pages.templates.as_deref(),
        &config.gateway.languages,
    )
    .map_err(StartError::Pages)?;
    let upstreams = Upstreams::new(&config.upstreams, before.map(|before| &before.upstreams))?;
    let known = before.map(|before| &*before.world.providers);
    let providers = Providers::start(&config.providers, known, &metrics, &lasting.readiness)?;
    lasting.ledger.outlast(login_timeout, config.gateway.sessions.lifetime);
    // Whoever has used up a share has used it up, while its size stays the same.
    let share = config.limits.login_starts_per_client;
    let login_starts = before.map(|before| &before.world.login_starts);
    let login_starts = login_starts.filter(|starts| starts.counts_to(share));
    let login_starts = login_starts.map_or_else(|| Arc::new(LoginStarts::new(share)), Arc::clone);
    let world = Live {
        ledger: Arc::clone(&lasting.ledger),
        login_starts,
        tethers: Arc::clone(&lasting.tethers),
        providers: Arc::new(providers),
        metrics,
        // What was opened is bound to keys, providers and routes, any of which may be other ones now.
        opened: opened_sessions(),
        refreshes: lasting.refreshes.clone(),
        tokens: Tokens::default(),
        workers: Arc::clone(&lasting.workers),
    };
    let gateway = Gateway::new(config.gateway.settings(keys));
    Ok(Site::new(gateway, upstreams, world, Arc::new(telemetry), pages))
}

/// How long it is remembered that a login, or a form that was kept, is used up.
fn login_timeout(config: &Config) -> Duration {
    let rules = config.providers.iter().map(|provider| &provider.sign_in.sign_in);
    let login_timeouts = rules.filter_map(|rules| rules.login_timeout);
    // Forms that are kept are used up like logins.
    login_timeouts.fold(config.gateway.login_timeout, Duration::max).max(KEPT_FOR)
}

/// The operator's keys, or the one that is kept for them. A state directory that cannot be used costs
/// sessions at a restart and nothing else; a key that others can read is refused.
fn session_keys(keys: SessionKeys, kept: &OnceLock<Key>) -> Result<Vec<Key>, KeyError> {
    let directory = match keys {
        SessionKeys::Given(keys) => return Ok(keys),
        SessionKeys::StateDirectory => keys::state_directory(),
    };
    // Read once: a directory that is gone later, or was not there, ends nobody's session.
    if let Some(kept) = kept.get() {
        return Ok(vec![kept.clone()]);
    }
    let key = match keys::in_directory(&directory) {
        Ok(key) => key,
        Err(error @ KeyError::Io { .. }) => {
            let error = crate::chain(&error);
            tracing::warn!(
                code = "W0510",
                error,
                "sessions end at restart: no key can be kept; set `sessions.keys`"
            );
            let mut bytes = [0; 32];
            world::fill_random(&mut bytes);
            Key::new(bytes)
        }
        Err(error) => return Err(error),
    };
    Ok(vec![kept.get_or_init(|| key).clone()])
}

impl Running {
    /// From now on reads `sources` again when somebody asks for it at the socket or by SIGHUP, and when what was `seen`
    /// in them has changed.
    fn reload_from(&mut self, sources: Vec<Source>, seen: (Inputs, Fingerprint), socket: &Path) {
        let (orders, wanted) = mpsc::channel(1);
        match AdminSocket::bind(socket) {
            Ok(bound) => {
                tracing::info!(path = %socket.display(), "listening for `lychgate reload`");
                self.reloading.spawn(bound.serve(orders));
            }
            Err(error) => {
                let error = crate::chain(&error);
                tracing::warn!(
                    code = "W0511",
                    path = %socket.display(),
                    error,
                    "`lychgate reload` cannot be listened for; name another socket with `--socket`, or send SIGHUP"
                );
            }
        }
        let reloader = Reloader {
            sources,
            seen,
            seen_is_in_use: true,
            fixed: self.fixed.clone(),
            lasting: self.lasting.clone(),
            site: Arc::clone(&self.site),
            in_use: Arc::clone(&self.in_use),
            door: self.door.handle(),
            history: Arc::clone(&self.history),
            hangup: signal(SignalKind::hangup()).ok(),
        };
        self.reloading.spawn(reloader.run(wanted));
    }

    /// Serves until SIGTERM or SIGINT, then fails readiness, goes on for as long as anybody comes, stops to
    /// accept, and lets requests under way end. A second signal ends it at once.
    pub(crate) async fn until_stopped(mut self) {
        let (stop, stopping) = watch::channel(false);
        let (end_admin, admin_ended) = watch::channel(false);
        let admin = tokio::spawn(self.admin.serve(async move {
            let mut ended = admin_ended;
            let _ = ended.wait_for(|ended| *ended).await;
        }));
        let logs = tokio::spawn(reopen_logs(Arc::clone(&self.site)));
        let tethers = Arc::clone(&self.lasting.tethers);
        let looking = tokio::spawn({
            let site = Arc::clone(&self.site);
            Arc::clone(&tethers).look_after(move |admitted, credential, now| {
                let site = site.load();
                site.gateway.still_admits(&site.world, admitted, credential, now)
            })
        });
        let drain = self.app.drain().clone();
        let serving = self.door.serve(self.app, stopping, self.shutdown_timeout);
        tokio::pin!(serving);

        let mut orders = Orders::new();
        let told = async {
            let first = orders.next().await;
            tracing::info!(signal = first, requests = drain.requests(), "stopping");
            self.lasting.readiness.drain();
        };
        tokio::select! {
            _ = &mut serving => {}
            () = told => {
                tokio::select! {
                    _ = &mut serving => {}
                    () = tokio::time::sleep(NOTICE) => {}
                    () = drain.finished() => {}
                }
                // What is changed from here on is for the next process.
                self.reloading.abort_all();
                let _ = stop.send(true);
                tethers.stop();
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
        looking.abort();
        // Waited for, because the socket's file goes away with it.
        self.reloading.shutdown().await;
        let _ = end_admin.send(true);
        let _ = admin.await;
        self.site.load().telemetry.flush(LOG_PATIENCE);
    }
}

/// Begins new log files at every SIGUSR1, which is what log rotation sends after it moved the old ones.
async fn reopen_logs(site: Arc<ArcSwap<Site<Live>>>) {
    let Ok(mut asked) = signal(SignalKind::user_defined1()) else { return };
    while asked.recv().await.is_some() {
        site.load().telemetry.reopen();
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
