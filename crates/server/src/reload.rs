//! From one configuration to the next, while traffic flows.
//!
//! A configuration is read, checked and made into everything that serving takes beside the one in use, and takes its
//! place in one step. Whatever is wrong with it leaves the one in use alone and is said: on the terminal of
//! `lychgate reload`, in the log, in the metrics and in `/status` (R26). A request is decided by the configuration
//! that it began with. What visitors have done stays known: ended sessions, used logins, refreshes, what providers
//! said, connections to upstreams. What a configuration has led to does not: opened sessions are opened anew.
//!
//! Asked for by `lychgate reload`, by SIGHUP, and by files that changed (decision 7).

mod watch;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use lychgate_config::config::Config;
use lychgate_config::{
    Fingerprint, Inputs, Loaded, Origins, ProcessEnvironment, Recording, Report, Source,
};
use lychgate_gateway::reason::Reason;
use serde_json::{Value, json};
use tokio::signal::unix::Signal;
use tokio::sync::{mpsc, oneshot};

use self::watch::Watch;
use crate::admin::InUse;
use crate::listener::DoorHandle;
use crate::proxy::Site;
use crate::rfc3339;
use crate::run::{Lasting, StartError, assemble};
use crate::telemetry;
use crate::telemetry::reloads::ReloadOutcome;
use crate::turned_away::Witness;
use crate::world::Live;

/// After a change, others are waited for this long: files are often replaced one after the other (K-31).
const DEBOUNCE: Duration = Duration::from_secs(1);
/// How often files are looked at although nothing was heard of them.
const POLL: Duration = Duration::from_secs(30);
/// How long a provider that is new may take to say what it can do before the configuration that names it is used.
const PROVIDER_PATIENCE: Duration = Duration::from_secs(3);
/// How often a configuration is read that changes while it is.
const READS_MAX: usize = 10;
/// How many lines of a problem are kept for `/status`.
const ERROR_LINES_MAX: usize = 40;

/// Somebody wants a reload, and to hear what became of it.
#[derive(Debug)]
pub(crate) struct Order {
    /// Also when nothing has changed.
    pub(crate) force: bool,
    /// Where the answer goes.
    pub(crate) reply: oneshot::Sender<Value>,
}

/// Why a reload is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trigger {
    Command,
    Files,
    Signal,
}

impl Trigger {
    fn word(self) -> &'static str {
        match self {
            Self::Command => "command",
            Self::Files => "files",
            Self::Signal => "signal",
        }
    }
}

/// What became of reloads, for whoever asks.
#[derive(Debug, Default)]
pub(crate) struct History {
    last: Mutex<Value>,
    needs_restart: Mutex<Vec<String>>,
}

impl History {
    /// The last reload, or null.
    pub(crate) fn last(&self) -> Value {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The keys whose values in the files wait for a restart.
    pub(crate) fn needs_restart(&self) -> Vec<String> {
        self.needs_restart.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// A configuration, and of what it was read.
#[derive(Debug)]
pub(crate) struct Read {
    pub(crate) loaded: Result<Loaded, Report>,
    pub(crate) config_hash: String,
    pub(crate) inputs: Inputs,
    pub(crate) fingerprint: Fingerprint,
}

/// Reads a configuration whose files may be changing: what was read is what they held at one moment.
pub(crate) fn read(sources: &[Source]) -> Read {
    let mut before = read_once(sources);
    for _ in 1..READS_MAX {
        let again = read_once(sources);
        if (&again.inputs, again.fingerprint) == (&before.inputs, before.fingerprint) {
            return again;
        }
        before = again;
        std::thread::sleep(Duration::from_millis(50));
    }
    before
}

fn read_once(sources: &[Source]) -> Read {
    let recording = Recording::of(&ProcessEnvironment);
    let loaded = lychgate_config::load(sources, &recording);
    let resolved = lychgate_config::resolve(sources, &ProcessEnvironment, Origins::Hidden);
    let inputs = recording.inputs();
    let fingerprint = inputs.fingerprint();
    let config_hash = resolved.map(|resolved| resolved.config_hash).unwrap_or_default();
    Read { loaded, config_hash, inputs, fingerprint }
}

/// What cannot change before a restart, as it was at the start.
#[derive(Clone, Debug)]
pub(crate) struct Fixed {
    values: Vec<(&'static str, String)>,
}

impl Fixed {
    /// Of this configuration.
    pub(crate) fn of(config: &Config) -> Self {
        let limits = &config.limits;
        let values = [
            ("admin.address", config.admin.address.to_string()),
            ("limits.connections", limits.connections.to_string()),
            ("limits.connections_per_client", format!("{:?}", limits.connections_per_client)),
            ("limits.header", limits.header_bytes.to_string()),
            ("limits.uri", limits.uri_bytes.to_string()),
            ("limits.header_timeout", format!("{:?}", limits.header_timeout)),
            ("limits.idle_timeout", format!("{:?}", limits.idle_timeout)),
            ("limits.shutdown_timeout", format!("{:?}", limits.shutdown_timeout)),
            ("telemetry.log.format", format!("{:?}", config.telemetry.log_format)),
        ];
        Self { values: values.into() }
    }

    /// The keys that say something else in `other`.
    fn differs_in(&self, other: &Self) -> Vec<String> {
        let pairs = self.values.iter().zip(&other.values);
        pairs.filter(|(one, other)| one != other).map(|((key, _), _)| (*key).to_owned()).collect()
    }
}

/// Whoever reloads.
#[derive(Debug)]
pub(crate) struct Reloader {
    pub(crate) sources: Vec<Source>,
    /// What was read last, in vain or not.
    pub(crate) seen: (Inputs, Fingerprint),
    /// Whether what was read last is in use.
    pub(crate) seen_is_in_use: bool,
    pub(crate) fixed: Fixed,
    pub(crate) lasting: Lasting,
    pub(crate) site: Arc<ArcSwap<Site<Live>>>,
    pub(crate) in_use: Arc<ArcSwap<InUse>>,
    pub(crate) door: DoorHandle,
    pub(crate) history: Arc<History>,
    /// SIGHUP, caught from the start: it would end the process otherwise.
    pub(crate) hangup: Option<Signal>,
}

/// What became of one reload.
struct Done {
    outcome: ReloadOutcome,
    error: Option<String>,
    warnings: Option<String>,
}

impl Done {
    fn failed(error: String) -> Self {
        Self { outcome: ReloadOutcome::Failure, error: Some(error), warnings: None }
    }
}

impl Reloader {
    /// Reloads whenever there is a reason, until it is dropped.
    pub(crate) async fn run(mut self, mut orders: mpsc::Receiver<Order>) {
        let mut watch = Watch::new();
        let mut poll = tokio::time::interval(POLL);
        poll.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        self.warn_of_files_that_are_never_updated();
        loop {
            watch.directories(&self.seen.0.directories());
            tokio::select! {
                Some(Order { force, reply }) = orders.recv() => {
                    let answer = self.reload(Trigger::Command, force).await;
                    // Whoever asked may not wait; the log says it too.
                    let _ = reply.send(answer);
                }
                () = heard(&mut self.hangup) => drop(self.reload(Trigger::Signal, false).await),
                () = watch.changed() => {
                    tokio::time::sleep(DEBOUNCE).await;
                    self.reload_if_changed().await;
                }
                _ = poll.tick() => self.reload_if_changed().await,
            }
        }
    }

    /// What was read last and is still there is not read again, whether it was right or not.
    async fn reload_if_changed(&mut self) {
        let inputs = self.seen.0.clone();
        let now = tokio::task::spawn_blocking(move || inputs.fingerprint()).await;
        if now.is_ok_and(|now| now != self.seen.1) {
            drop(self.reload(Trigger::Files, false).await);
        }
    }

    async fn reload(&mut self, trigger: Trigger, force: bool) -> Value {
        let done = self.try_to_reload(force).await;
        let at = SystemTime::now();
        let metrics = Arc::clone(&self.in_use.load().metrics);
        metrics.reloads().ended(done.outcome, at);
        let needs_restart = self.history.needs_restart();
        metrics.reloads().restart_is_needed(!needs_restart.is_empty());
        let config_hash = metrics.config_hash();
        let trigger = trigger.word();
        match (&done.outcome, &done.error) {
            (ReloadOutcome::Failure, error) => {
                let error = error.as_deref().unwrap_or_default();
                tracing::error!(
                    trigger,
                    error,
                    config_hash,
                    "the configuration was not reloaded; the one before goes on"
                );
            }
            (ReloadOutcome::Success, _) => {
                tracing::info!(trigger, config_hash, "the configuration was reloaded");
            }
            (ReloadOutcome::Unchanged, _) => {
                tracing::info!(trigger, config_hash, "the configuration has not changed");
            }
        }
        for key in &needs_restart {
            tracing::warn!(key, "needs a restart to change");
        }
        let outcome = done.outcome.word();
        let kept = done
            .error
            .as_ref()
            .map(|error| error.lines().take(ERROR_LINES_MAX).collect::<Vec<_>>().join("\n"));
        *self.history.last.lock().unwrap_or_else(PoisonError::into_inner) = json!({
            "outcome": outcome,
            "trigger": trigger,
            "at": rfc3339::milliseconds(at),
            "error": kept,
        });
        json!({
            "outcome": outcome,
            "config_hash": config_hash,
            "files": self.in_use.load().files,
            "error": done.error,
            "warnings": done.warnings,
            "needs_restart": needs_restart,
        })
    }

    async fn try_to_reload(&mut self, force: bool) -> Done {
        let sources = self.sources.clone();
        let read = match tokio::task::spawn_blocking(move || read(&sources)).await {
            Ok(read) => read,
            Err(error) => return Done::failed(format!("the configuration was not read: {error}")),
        };
        let Read { loaded, config_hash, inputs, fingerprint } = read;
        let is_same = (&inputs, fingerprint) == (&self.seen.0, self.seen.1);
        if is_same && self.seen_is_in_use && !force {
            return Done { outcome: ReloadOutcome::Unchanged, error: None, warnings: None };
        }
        self.seen = (inputs, fingerprint);
        self.seen_is_in_use = false;
        let loaded = match loaded {
            Ok(loaded) => loaded,
            Err(report) => return Done::failed(report.to_string()),
        };
        let warnings = &loaded.warnings;
        let warnings = (!warnings.is_empty()).then(|| warnings.to_string());
        if let Err(error) = self.change_to(loaded, &config_hash).await {
            return Done::failed(format!("error: {}", crate::chain(&error)));
        }
        self.seen_is_in_use = true;
        Done { outcome: ReloadOutcome::Success, error: None, warnings }
    }

    /// Makes everything, and then lets it take its place.
    async fn change_to(&mut self, loaded: Loaded, config_hash: &str) -> Result<(), StartError> {
        let before = self.site.load_full();
        let (mut config, files) = (loaded.config, loaded.summary.files);
        let mut needs_restart = self.fixed.differs_in(&Fixed::of(&config));
        before.world.providers.keep_made_keys(&mut config);
        let (listeners, token) = (config.listeners.clone(), config.admin.token.clone());
        let level = config.telemetry.log_level;
        let site = assemble(config, config_hash, &self.lasting, Some(&before))?;
        let witness = Arc::clone(&site.telemetry) as Arc<dyn Witness>;
        let change = self.door.prepare(&listeners, &witness)?;
        site.telemetry.metrics().show_certificates(change.certificates());
        site.world.providers.settle(PROVIDER_PATIENCE).await;

        // Nothing can fail from here on.
        needs_restart.extend(change.modes.iter().cloned());
        let keeps_keys = site.gateway.settings().keys.includes(&before.gateway.settings().keys);
        let metrics = Arc::clone(site.telemetry.metrics());
        let names: Vec<_> = site.gateway.settings().providers.iter().collect();
        let names: Vec<_> = names.iter().map(|it| it.registration.name.as_str()).collect();
        self.lasting.readiness.only_providers(&names);
        let site = Arc::new(site);
        self.site.store(Arc::clone(&site));
        self.door.commit(change);
        self.in_use.store(Arc::new(InUse { metrics, token, files }));
        telemetry::log::change_level(level);
        *self.history.needs_restart.lock().unwrap_or_else(PoisonError::into_inner) = needs_restart;
        // Sessions that were opened with a key that is gone are none any more.
        if keeps_keys {
            self.lasting.tethers.look_again();
        } else {
            self.lasting.tethers.end_sessions(Reason::SessionUnreadable);
        }
        Ok(())
    }

    /// A file that is mounted by itself, as Kubernetes does with `subPath`, is never updated (K-30).
    fn warn_of_files_that_are_never_updated(&self) {
        let Ok(mounts) = std::fs::read_to_string("/proc/self/mountinfo") else { return };
        let points: Vec<_> = mounts.lines().filter_map(|line| line.split(' ').nth(4)).collect();
        for file in self.seen.0.files() {
            let real = file.canonicalize().unwrap_or_else(|_| file.to_owned());
            let is_projected = file.parent().is_some_and(|it| it.join("..data").is_symlink());
            if !is_projected && points.iter().any(|point| std::path::Path::new(point) == real) {
                tracing::warn!(
                    code = "W0601",
                    file = %file.display(),
                    "this file is mounted by itself; in Kubernetes it is never updated: mount its directory"
                );
            }
        }
    }
}

async fn heard(hangup: &mut Option<Signal>) {
    if let Some(hangup) = hangup
        && hangup.recv().await.is_some()
    {
        return;
    }
    std::future::pending().await
}
