//! What is counted.
//!
//! Labels come from the configuration and from closed vocabularies, never from a visitor (T-03): what has no
//! route is `_unmatched`, a method or status outside the standards `_OTHER`. Every cell has its place before
//! the first request or is made once, so counting takes a look-up by name and an addition, and nobody waits
//! for anybody.

use std::collections::BTreeMap;
use std::fs;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use http::{Method, StatusCode};
use lychgate_gateway::outcome::{DecisionWord, Event, Record};
use lychgate_gateway::reason::Reason;
use lychgate_gateway::route::{Route, Routes};
use lychgate_oidc::Timestamp;

use super::exposition::{Exposition, Family, Format, Kind, Latency, Samples};
use super::provider_requests::{ENDPOINTS, FETCH_OUTCOMES, FetchOutcome, ProviderEndpoint};
use super::reloads::{ReloadOutcome, Reloads};
use super::writer::Lost;
use crate::turned_away::Cause;

macro_rules! families {
    ($($constant:ident: $kind:ident $name:literal ($unit:literal) [$($label:literal),*], $help:literal;)+) => {
        $(static $constant: Family = Family {
            name: $name, kind: Kind::$kind, unit: $unit, labels: &[$($label),*], help: $help,
        };)+

        /// Every metric, in the order in which they are exposed: what the reference is written from.
        #[cfg(test)]
        pub(crate) static FAMILIES: &[&Family] = &[$(&$constant),+];
    };
}

families! {
    REQUEST_DURATION: Histogram "http_server_request_duration_seconds" ("seconds")
        ["http_request_method", "http_response_status_code", "http_route", "lychgate_route"],
        "From the end of a request's headers to the end of the response.";
    ACTIVE_REQUESTS: Gauge "http_server_active_requests" ("") ["lychgate_route"],
        "Requests under way.";
    UPSTREAM_DURATION: Histogram "http_client_request_duration_seconds" ("seconds")
        ["http_response_status_code", "lychgate_route"],
        "What upstreams took. The status is empty when there was no response.";
    DECISIONS: Counter "lychgate_decisions_total" ("") ["route", "rule", "decision", "reason"],
        "Visits by the rule that decided, the decision (allow, deny, login, own, public), and the reason if there is one.";
    LOGINS: Counter "lychgate_logins_total" ("") ["provider", "outcome", "reason"],
        "Logins that were started, succeeded or failed, and why they failed.";
    LOGOUTS: Counter "lychgate_logouts_total" ("") ["provider"],
        "Sessions that their person ended.";
    REFRESHES: Counter "lychgate_token_refreshes_total" ("") ["provider", "outcome"],
        "Answers that brought a session whose provider was asked again (success), or had no answer to bring (failure), or told that the provider ended it (refused).";
    SESSIONS_CREATED: Counter "lychgate_sessions_created_total" ("") ["provider"],
        "Sessions that began.";
    PROVIDER_REQUESTS: Counter "lychgate_provider_requests_total" ("") ["provider", "endpoint", "outcome"],
        "Requests to providers: success, refused (4xx), failed (other statuses) or unreachable.";
    PROVIDER_DURATION: Histogram "lychgate_provider_request_duration_seconds" ("seconds") ["provider", "endpoint"],
        "What providers took to answer, or to fail.";
    PROVIDER_KEYS: Gauge "lychgate_provider_jwks_last_success_timestamp_seconds" ("seconds") ["provider"],
        "When the provider's keys were last read; 0 before the first time.";
    TURNED_AWAY: Counter "lychgate_connections_refused_total" ("") ["listener", "reason"],
        "Connections that were turned away before a request of theirs was read, and why; these are no visits and are counted nowhere else.";
    LINES_DROPPED: Counter "lychgate_log_lines_dropped_total" ("") ["log"],
        "Lines that a log could not take.";
    AUDIT_DROPPED: Counter "lychgate_audit_dropped_total" ("") [],
        "Events that the audit log could not take. Anything but 0 deserves an alarm.";
    RELOADS: Counter "lychgate_config_reloads_total" ("") ["outcome"],
        "Reloads: success, unchanged (there was nothing to do) or failure (nothing was changed, and the log says why).";
    RELOAD_SUCCESSFUL: Gauge "lychgate_config_last_reload_successful" ("") [],
        "Whether the last reload found a configuration that can be used; 1 before the first.";
    RELOAD_SUCCESS_AT: Gauge "lychgate_config_last_reload_success_timestamp_seconds" ("seconds") [],
        "When the configuration in use was last found to be right.";
    NEEDS_RESTART: Gauge "lychgate_config_restart_needed" ("") [],
        "Whether something in the files waits for a restart; `/status` says what.";
    CERTIFICATE_EXPIRY: Gauge "lychgate_tls_certificate_expiry_timestamp_seconds" ("seconds") ["listener"],
        "The last moment at which the certificate that a listener shows is good.";
    PANICS: Counter "lychgate_panics_total" ("") [],
        "Mistakes of the program itself, each kept to one request or connection. Anything but 0 deserves a report to us.";
    UNMARKED: Counter "lychgate_spent_logins_unmarked_total" ("") [],
        "Logins that were used up and could not be marked in the state directory: only this process knows of them.";
    CONFIG_INFO: Gauge "lychgate_config_info" ("") ["version", "hash"],
        "1, for the configuration in use and the version that reads it.";
    BUILD_INFO: Gauge "lychgate_build_info" ("") ["version", "tls_backend"],
        "1, for the program that runs.";
    PROCESS_CPU: Counter "process_cpu_seconds_total" ("seconds") [],
        "Processor time, user and system.";
    PROCESS_FILES: Gauge "process_open_fds" ("") [],
        "Open file descriptors.";
    PROCESS_FILES_MAX: Gauge "process_max_fds" ("") [],
        "File descriptors that may be open.";
    PROCESS_MEMORY: Gauge "process_resident_memory_bytes" ("bytes") [],
        "Memory in use.";
    PROCESS_START: Gauge "process_start_time_seconds" ("seconds") [],
        "When the program was started, since the epoch.";
}

/// The route of what has none.
const UNMATCHED: &str = "_unmatched";

/// A method or status that no standard knows, or a provider that the configuration does not.
const OTHER: &str = "_OTHER";

/// The methods of RFC 9110 and RFC 5789; all others are counted together.
const METHODS: [&str; 9] =
    ["CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"];

const DECISION_WORDS: [DecisionWord; 5] = [
    DecisionWord::Allow,
    DecisionWord::Deny,
    DecisionWord::Login,
    DecisionWord::Own,
    DecisionWord::Public,
];

/// Everything that is counted, with a place for each route, rule and provider.
#[derive(Debug)]
pub(crate) struct Metrics {
    routes: BTreeMap<String, Arc<RouteCells>>,
    unmatched: Arc<RouteCells>,
    providers: BTreeMap<String, Arc<ProviderCells>>,
    unknown_provider: Arc<ProviderCells>,
    listeners: BTreeMap<String, Arc<TurnedAwayCounts>>,
    /// By the listeners' names.
    certificates: OnceLock<BTreeMap<String, Timestamp>>,
    reloads: Arc<Reloads>,
    config_hash: String,
    started: SystemTime,
    pub(super) access_lost: Arc<Lost>,
    pub(super) audit_lost: Arc<Lost>,
}

#[derive(Debug, Default)]
struct RouteCells {
    http_route: String,
    active: AtomicI64,
    requests: [OnceLock<Box<StatusCells>>; METHODS.len() + 1],
    upstream: StatusCells,
    upstream_silent: Latency,
    /// By the names of rules; the route's own name among them.
    rules: BTreeMap<String, DecisionCells>,
    other_rule: DecisionCells,
}

/// A histogram for each status from 100 to 599, and one for all others. Made when one is first seen.
#[derive(Debug)]
struct StatusCells(Box<[OnceLock<Box<Latency>>]>);

#[derive(Debug, Default)]
struct DecisionCells([ReasonCells; DECISION_WORDS.len()]);

/// A number for each reason, and one for none.
#[derive(Debug, Default)]
struct ReasonCells {
    none: AtomicU64,
    reasons: ReasonCounts,
}

/// A number for each cause.
#[derive(Debug, Default)]
struct TurnedAwayCounts([AtomicU64; Cause::ALL.len()]);

#[derive(Debug)]
struct ReasonCounts(Box<[AtomicU64]>);

#[derive(Debug, Default)]
struct ProviderCells {
    logins_started: AtomicU64,
    logins_succeeded: AtomicU64,
    logins_failed: ReasonCells,
    logouts: AtomicU64,
    refreshed: AtomicU64,
    refresh_failed: AtomicU64,
    refresh_refused: AtomicU64,
    endpoints: [EndpointCells; ENDPOINTS.len()],
    keys_read_at: AtomicI64,
}

#[derive(Debug, Default)]
struct EndpointCells {
    outcomes: [AtomicU64; FETCH_OUTCOMES.len()],
    duration: Latency,
}

/// A request under way, counted until this is dropped.
#[derive(Debug)]
pub(crate) struct ActiveRequest(Arc<RouteCells>);

impl Drop for ActiveRequest {
    fn drop(&mut self) {
        self.0.active.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A request that has ended, for the metrics of the door.
pub(crate) struct Ended<'a> {
    /// The method.
    pub(crate) method: &'a Method,
    /// The status of the response, 0 if there was none.
    pub(crate) status: u16,
    /// From the end of the request's headers to the end of the response.
    pub(crate) duration: Duration,
    /// What the upstream took, and its status if it answered.
    pub(crate) upstream: Option<(Duration, Option<u16>)>,
    /// What was decided.
    pub(crate) record: &'a Record,
    /// The same request, while it was under way, which knows the place of its route.
    pub(crate) active: Option<&'a ActiveRequest>,
}

impl Metrics {
    /// Which configuration is in use.
    pub(crate) fn config_hash(&self) -> &str {
        &self.config_hash
    }

    /// When the program was started.
    pub(crate) fn started(&self) -> SystemTime {
        self.started
    }

    /// A place for each route with its rules, and for each provider.
    pub(crate) fn new<'a>(
        routes: &Routes,
        providers: impl IntoIterator<Item = &'a str>,
        config_hash: &str,
        started: SystemTime,
    ) -> Self {
        let all = routes.origins().iter().flat_map(|origin| routes.at(origin));
        Self {
            routes: all.map(|route| (route.name.clone(), RouteCells::of(route).into())).collect(),
            unmatched: Arc::default(),
            providers: providers
                .into_iter()
                .map(|name| (name.to_owned(), Arc::default()))
                .collect(),
            unknown_provider: Arc::default(),
            listeners: BTreeMap::new(),
            certificates: OnceLock::new(),
            reloads: Arc::new(Reloads::new(started)),
            config_hash: config_hash.to_owned(),
            started,
            access_lost: Arc::default(),
            audit_lost: Arc::default(),
        }
    }

    /// The same, with a place for each listener.
    pub(crate) fn with_listeners<'a>(mut self, names: impl IntoIterator<Item = &'a str>) -> Self {
        let counts = |name: &str| (name.to_owned(), Arc::default());
        self.listeners = names.into_iter().map(counts).collect();
        self
    }

    /// Shows until when the listeners' certificates are good, from now on.
    pub(crate) fn show_certificates(&self, certificates: BTreeMap<String, Timestamp>) {
        let _ = self.certificates.set(certificates);
    }

    /// The same, going on from what was counted `before` a reload. A route whose rules have other names than before
    /// begins anew, as all do after a restart.
    pub(crate) fn after(mut self, before: &Self) -> Self {
        for (name, cells) in &mut self.routes {
            if let Some(counted) = before.routes.get(name).filter(|counted| cells.is_like(counted))
            {
                *cells = Arc::clone(counted);
            }
        }
        let providers = before.providers.iter();
        for (name, counted) in providers {
            self.providers.entry(name.clone()).and_modify(|cells| *cells = Arc::clone(counted));
        }
        for (name, counted) in &before.listeners {
            self.listeners.entry(name.clone()).and_modify(|cells| *cells = Arc::clone(counted));
        }
        Self {
            unmatched: Arc::clone(&before.unmatched),
            unknown_provider: Arc::clone(&before.unknown_provider),
            reloads: Arc::clone(&before.reloads),
            started: before.started,
            access_lost: Arc::clone(&before.access_lost),
            audit_lost: Arc::clone(&before.audit_lost),
            ..self
        }
    }

    /// What is counted of reloads.
    pub(crate) fn reloads(&self) -> &Reloads {
        &self.reloads
    }

    /// Counts a connection that was turned away.
    pub(super) fn turned_away(&self, listener: &str, cause: Cause) {
        let at = Cause::ALL.iter().position(|known| *known == cause);
        let counts = self.listeners.get(listener);
        if let Some(count) = counts.zip(at).and_then(|(counts, at)| counts.0.get(at)) {
            add(count);
        }
    }

    /// Counts a request among those under way, for as long as the result lives.
    pub(crate) fn active(&self, route: Option<&Route>) -> ActiveRequest {
        let cells = self.route(route);
        cells.active.fetch_add(1, Ordering::Relaxed);
        ActiveRequest(Arc::clone(cells))
    }

    /// Counts a request to a provider.
    pub(crate) fn provider_request(
        &self,
        provider: &str,
        endpoint: ProviderEndpoint,
        outcome: FetchOutcome,
        duration: Duration,
    ) {
        let mut endpoints = ENDPOINTS.iter().zip(&self.provider(Some(provider)).endpoints);
        let Some((_, cells)) = endpoints.find(|((found, _), _)| *found == endpoint) else { return };
        cells.duration.observe(duration);
        let mut outcomes = FETCH_OUTCOMES.iter().zip(&cells.outcomes);
        let counted = outcomes.find(|((found, _), _)| *found == outcome);
        if let Some((_, count)) = counted {
            add(count);
        }
    }

    /// Notes that a provider's keys were read.
    pub(crate) fn keys_read(&self, provider: &str, now: Timestamp) {
        self.provider(Some(provider)).keys_read_at.store(now.seconds(), Ordering::Relaxed);
    }

    /// Counts a request that has ended.
    pub(crate) fn ended(&self, ended: &Ended<'_>) {
        let record = ended.record;
        let route = match ended.active {
            Some(ActiveRequest(cells)) => cells,
            None => self.route(record.route.as_deref()),
        };
        let method = METHODS.iter().position(|name| *name == ended.method.as_str());
        if let Some(statuses) = route.requests.get(method.unwrap_or(METHODS.len())) {
            statuses.get_or_init(Box::default).observe(ended.status, ended.duration);
        }
        match ended.upstream {
            Some((duration, Some(status))) => route.upstream.observe(status, duration),
            Some((duration, None)) => route.upstream_silent.observe(duration),
            None => {}
        }
        let rule = record.rule.as_deref().and_then(|rule| route.rules.get(rule));
        rule.unwrap_or(&route.other_rule).count(record.decision, record.reason);
        self.event(record);
    }

    fn event(&self, record: &Record) {
        let Some(event) = &record.event else { return };
        let provider = self.provider(record.provider());
        match event {
            Event::LoginStarted { .. } => add(&provider.logins_started),
            Event::LoginSucceeded { .. } => add(&provider.logins_succeeded),
            Event::LoginFailed { .. } | Event::LoginReplayed { .. } => {
                provider.logins_failed.count(record.reason);
            }
            Event::Logout => add(&provider.logouts),
            Event::Refreshed => add(&provider.refreshed),
            Event::RefreshFailed => match record.reason {
                Some(Reason::SessionEnded) => add(&provider.refresh_refused),
                Some(_) | None => add(&provider.refresh_failed),
            },
            Event::AccessDenied | Event::TokenRefused => {}
        }
    }

    fn route(&self, route: Option<&Route>) -> &Arc<RouteCells> {
        let named = route.and_then(|route| self.routes.get(&route.name));
        named.unwrap_or(&self.unmatched)
    }

    fn provider(&self, name: Option<&str>) -> &ProviderCells {
        let named = name.and_then(|name| self.providers.get(name));
        named.map_or(&*self.unknown_provider, |cells| &**cells)
    }

    /// Everything, as text.
    pub(crate) fn expose(&self, format: Format) -> String {
        let mut exposition = Exposition::new(format);
        self.expose_routes(&mut exposition);
        self.expose_providers(&mut exposition);
        let mut samples = exposition.family(&TURNED_AWAY);
        for (name, counts) in &self.listeners {
            for (cause, count) in Cause::ALL.iter().zip(&counts.0) {
                samples.number(&[name, cause.code()], read(count));
            }
        }
        let (access, audit) = (self.access_lost.total(), self.audit_lost.total());
        let mut samples = exposition.family(&LINES_DROPPED);
        samples.number(&["access"], access);
        samples.number(&["audit"], audit);
        samples.number(&["diagnostics"], super::log::lost());
        exposition.family(&AUDIT_DROPPED).number(&[], audit);
        self.expose_reloads(&mut exposition);
        exposition.family(&PANICS).number(&[], crate::panics::counted());
        exposition.family(&UNMARKED).number(&[], crate::marks::unmarked());
        let version = env!("CARGO_PKG_VERSION");
        exposition.family(&CONFIG_INFO).number(&[version, &self.config_hash], 1);
        exposition.family(&BUILD_INFO).number(&[version, "rustls"], 1);
        self.expose_process(&mut exposition);
        exposition.finish()
    }

    fn expose_reloads(&self, exposition: &mut Exposition) {
        let mut samples = exposition.family(&RELOADS);
        for (outcome, count) in ReloadOutcome::ALL.iter().zip(&self.reloads.outcomes) {
            samples.number(&[outcome.word()], read(count));
        }
        exposition.family(&RELOAD_SUCCESSFUL).number(&[], read(&self.reloads.successful));
        exposition.family(&RELOAD_SUCCESS_AT).number(&[], read(&self.reloads.success_at));
        exposition.family(&NEEDS_RESTART).number(&[], read(&self.reloads.restart_needed));
        let mut samples = exposition.family(&CERTIFICATE_EXPIRY);
        for (listener, expires_at) in self.certificates.get().into_iter().flatten() {
            samples.number(&[listener], expires_at.seconds());
        }
    }

    fn expose_routes(&self, exposition: &mut Exposition) {
        let routes = || {
            let named = self.routes.iter().map(|(name, cells)| (name.as_str(), &**cells));
            named.chain([(UNMATCHED, &*self.unmatched)])
        };
        let mut samples = exposition.family(&REQUEST_DURATION);
        for (name, cells) in routes() {
            for (method, statuses) in METHODS.iter().chain([&OTHER]).zip(&cells.requests) {
                for (status, latency) in
                    statuses.get().into_iter().flat_map(|statuses| statuses.seen())
                {
                    samples.latency(&[method, &status, &cells.http_route, name], latency);
                }
            }
        }
        let mut samples = exposition.family(&ACTIVE_REQUESTS);
        for (name, cells) in routes() {
            samples.number(&[name], cells.active.load(Ordering::Relaxed));
        }
        let mut samples = exposition.family(&UPSTREAM_DURATION);
        for (name, cells) in routes() {
            for (status, latency) in cells.upstream.seen() {
                samples.latency(&[&status, name], latency);
            }
            samples.latency(&["", name], &cells.upstream_silent);
        }
        let mut samples = exposition.family(&DECISIONS);
        for (name, cells) in routes() {
            for (rule, decisions) in &cells.rules {
                // A rule that was never asked shows itself with a zero.
                decisions.expose(&mut samples, name, rule, &[DecisionWord::Allow]);
            }
            cells.other_rule.expose(&mut samples, name, "", &[]);
        }
    }

    fn expose_providers(&self, exposition: &mut Exposition) {
        let providers = || {
            let named = self.providers.iter().map(|(name, cells)| (name.as_str(), &**cells));
            named.chain([(OTHER, &*self.unknown_provider)])
        };
        let mut samples = exposition.family(&LOGINS);
        for (name, cells) in providers() {
            samples.number(&[name, "started", ""], read(&cells.logins_started));
            samples.number(&[name, "success", ""], read(&cells.logins_succeeded));
            for (reason, count) in cells.logins_failed.seen() {
                samples.number(&[name, "failure", reason], count);
            }
        }
        let mut samples = exposition.family(&LOGOUTS);
        for (name, cells) in providers() {
            samples.number(&[name], read(&cells.logouts));
        }
        let mut samples = exposition.family(&REFRESHES);
        for (name, cells) in providers() {
            samples.number(&[name, "success"], read(&cells.refreshed));
            samples.number(&[name, "failure"], read(&cells.refresh_failed));
            samples.number(&[name, "refused"], read(&cells.refresh_refused));
        }
        let mut samples = exposition.family(&SESSIONS_CREATED);
        for (name, cells) in providers() {
            samples.number(&[name], read(&cells.logins_succeeded));
        }
        let mut samples = exposition.family(&PROVIDER_REQUESTS);
        for (name, cells) in providers() {
            for ((_, endpoint), cells) in ENDPOINTS.iter().zip(&cells.endpoints) {
                for ((_, outcome), count) in FETCH_OUTCOMES.iter().zip(&cells.outcomes) {
                    samples.number(&[name, endpoint, outcome], read(count));
                }
            }
        }
        let mut samples = exposition.family(&PROVIDER_DURATION);
        for (name, cells) in providers() {
            for ((_, endpoint), cells) in ENDPOINTS.iter().zip(&cells.endpoints) {
                samples.latency(&[name, endpoint], &cells.duration);
            }
        }
        let mut samples = exposition.family(&PROVIDER_KEYS);
        for (name, cells) in &self.providers {
            samples.number(&[name], cells.keys_read_at.load(Ordering::Relaxed));
        }
    }

    /// What the kernel says of us. A number that it does not give is left out.
    fn expose_process(&self, exposition: &mut Exposition) {
        let file =
            |name: &str| fs::read_to_string(format!("/proc/self/{name}")).unwrap_or_default();
        let mut samples = exposition.family(&PROCESS_CPU);
        samples.optional(processor_seconds(&file("stat")));
        let mut samples = exposition.family(&PROCESS_FILES);
        samples.optional(fs::read_dir("/proc/self/fd").ok().map(Iterator::count));
        let mut samples = exposition.family(&PROCESS_FILES_MAX);
        samples.optional(field(&file("limits"), "Max open files"));
        let mut samples = exposition.family(&PROCESS_MEMORY);
        samples.optional(field(&file("status"), "VmRSS:").map(|kibibytes| kibibytes * 1024));
        let started = self.started.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        exposition.family(&PROCESS_START).number(&[], started.as_secs());
    }
}

impl RouteCells {
    /// Whether this is the same route, with rules of the same names.
    fn is_like(&self, other: &Self) -> bool {
        self.http_route == other.http_route && self.rules.keys().eq(other.rules.keys())
    }

    fn of(route: &Route) -> Self {
        let rules = route.rules.iter().map(|rule| &rule.name).chain([&route.name]);
        Self {
            http_route: format!("{}/*", route.path),
            rules: rules.map(|name| (name.clone(), DecisionCells::default())).collect(),
            ..Self::default()
        }
    }
}

impl StatusCells {
    fn observe(&self, status: u16, duration: Duration) {
        let known =
            StatusCode::from_u16(status).ok().filter(|status| status.canonical_reason().is_some());
        let at = known.and_then(|status| usize::from(status.as_u16()).checked_sub(100));
        let cell = at.and_then(|at| self.0.get(at)).or_else(|| self.0.last());
        if let Some(cell) = cell {
            cell.get_or_init(Box::default).observe(duration);
        }
    }

    fn seen(&self) -> impl Iterator<Item = (String, &Latency)> {
        let last = self.0.len().saturating_sub(1);
        self.0.iter().enumerate().filter_map(move |(at, cell)| {
            let status = if at == last { OTHER.to_owned() } else { (at + 100).to_string() };
            Some((status, &**cell.get()?))
        })
    }
}

impl Default for StatusCells {
    fn default() -> Self {
        Self((0..=500).map(|_| OnceLock::new()).collect())
    }
}

impl DecisionCells {
    fn count(&self, decision: DecisionWord, reason: Option<Reason>) {
        let cells = DECISION_WORDS.iter().zip(&self.0).find(|(word, _)| **word == decision);
        if let Some((_, cells)) = cells {
            cells.count(reason);
        }
    }

    fn expose(&self, samples: &mut Samples<'_>, route: &str, rule: &str, always: &[DecisionWord]) {
        for (word, cells) in DECISION_WORDS.iter().zip(&self.0) {
            let none = read(&cells.none);
            if none > 0 || always.contains(word) {
                samples.number(&[route, rule, word.as_str(), ""], none);
            }
            for (reason, count) in cells.seen().filter(|(reason, _)| !reason.is_empty()) {
                samples.number(&[route, rule, word.as_str(), reason], count);
            }
        }
    }
}

impl ReasonCells {
    fn count(&self, reason: Option<Reason>) {
        let cell = match reason {
            None => Some(&self.none),
            Some(reason) => {
                let at = Reason::ALL.iter().position(|known| *known == reason);
                at.and_then(|at| self.reasons.0.get(at))
            }
        };
        if let Some(cell) = cell {
            add(cell);
        }
    }

    /// Those that are not zero, with the codes of the reasons.
    fn seen(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let reasons = Reason::ALL.iter().zip(&self.reasons.0);
        let reasons = reasons.map(|(reason, count)| (reason.code(), read(count)));
        std::iter::once(("", read(&self.none))).chain(reasons).filter(|(_, count)| *count > 0)
    }
}

impl Default for ReasonCounts {
    fn default() -> Self {
        Self(Reason::ALL.iter().map(|_| AtomicU64::new(0)).collect())
    }
}

fn add(count: &AtomicU64) {
    count.fetch_add(1, Ordering::Relaxed);
}

fn read(count: &AtomicU64) -> u64 {
    count.load(Ordering::Relaxed)
}

/// The first number on the line that begins with `name`.
fn field(text: &str, name: &str) -> Option<u64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
    rest.split_whitespace().next()?.parse().ok()
}

/// User and system time out of `/proc/self/stat` (proc_pid_stat(5), fields 14 and 15).
fn processor_seconds(stat: &str) -> Option<f64> {
    // The unit of the kernel's interface, on every architecture that we are built for.
    const TICKS_PER_SECOND: f64 = 100.0;
    // The second field is the program's name, which may contain anything, and ends with the last bracket.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut times = fields.split_whitespace().skip(11).map_while(|field| field.parse::<u32>().ok());
    Some((f64::from(times.next()?) + f64::from(times.next()?)) / TICKS_PER_SECOND)
}
