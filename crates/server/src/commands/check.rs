//! `lychgate check`: everything that can be said about a configuration without serving it.

use std::collections::BTreeMap;
use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use clap::Args;
use lychgate_config::config::{Config, Upstream, UpstreamAddress};
use lychgate_config::{Origins, ProcessEnvironment, Source, rehearse, resolve};

use super::{Files, test};
use crate::console::{NO, OK, UNREACHABLE, complain, say};
use crate::pages::Pages;
use crate::telemetry::metrics::Metrics;
use crate::{providers, tls};

/// What to check.
#[derive(Args)]
pub(super) struct Options {
    #[command(flatten)]
    files: Files,
    /// A file, a directory or `-`, as with --config
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Look at no secret, and ask no provider and no upstream
    #[arg(long)]
    offline: bool,
    /// Let warnings count as errors
    #[arg(long, value_name = "KIND", value_parser = ["warnings"])]
    deny: Option<String>,
}

/// For each thing that is asked.
const PATIENCE: Duration = Duration::from_secs(3);

/// Checks, and ends with 1 when the configuration is wrong and with 69 when something that it names does
/// not answer.
pub(super) fn run(options: &Options) -> u8 {
    let sources = options.files.sources_and(&options.paths);
    let (warnings, summary, redirect_uris, scopes, config) = if options.offline {
        match lychgate_config::check(&sources, &ProcessEnvironment) {
            Ok(checked) => {
                (checked.warnings, checked.summary, checked.redirect_uris, checked.scopes, None)
            }
            Err(report) => return refuse(&report),
        }
    } else {
        match lychgate_config::load(&sources, &ProcessEnvironment) {
            Ok(loaded) => {
                let redirect_uris = lychgate_config::redirect_uris(&loaded.config);
                let scopes = lychgate_config::scopes(&loaded.config);
                (loaded.warnings, loaded.summary, redirect_uris, scopes, Some(loaded.config))
            }
            Err(report) => return refuse(&report),
        }
    };
    if !warnings.is_empty() {
        complain(&format!("{warnings}\n"));
        if options.deny.is_some() {
            complain("error: warnings count as errors (--deny warnings)\n");
            return NO;
        }
    }
    if config.as_ref().is_some_and(|config| !certificates_are_good(config)) {
        return NO;
    }
    if !pages_are_good(&sources) {
        return NO;
    }
    if !tests_pass(&sources) {
        return NO;
    }
    for redirect in &redirect_uris {
        say(&format!("{}: redirect URI to register → {}\n", redirect.provider, redirect.url));
    }
    for asked in &scopes {
        say(&format!(
            "{}: scopes that are asked for → {}\n",
            asked.provider,
            asked.scopes.join(" ")
        ));
    }
    let silent = match config.map_or(Ok(0), |config| ask_everybody(&config)) {
        Ok(silent) => silent,
        Err(error) => {
            complain(&format!("error: nobody can be asked: {}\n", crate::chain(&*error)));
            return UNREACHABLE;
        }
    };
    let files = summary.files.join(", ");
    let warnings = match warnings.warnings() {
        1 => "1 warning".to_owned(),
        count => format!("{count} warnings"),
    };
    // What was checked twice may have changed in between; then there is no hash to tell.
    let hash = resolve(&sources, &ProcessEnvironment, Origins::Hidden)
        .map_or_else(|_| "unknown".to_owned(), |resolved| resolved.config_hash);
    let summary = format!("{summary}, {warnings}, config_hash {hash}");
    if silent == 0 {
        say(&format!("{files}: ok ({summary})\n"));
        return OK;
    }
    let answer = if silent == 1 { "does" } else { "do" };
    say(&format!(
        "{files}: valid ({summary}), but {silent} of what it names {answer} not answer\n"
    ));
    UNREACHABLE
}

fn refuse(report: &lychgate_config::Report) -> u8 {
    complain(&format!("{report}\n"));
    NO
}

/// Whether what the operator wrote under `[[tests]]` is so (W-23). Says what is not.
fn tests_pass(sources: &[Source]) -> bool {
    // What is wrong with the configuration was said already.
    let Ok(rehearsal) = rehearse(sources, &ProcessEnvironment) else { return false };
    match test::failures(&rehearsal) {
        Some(failures) if !failures.is_empty() => {
            complain(&format!("error: tests fail; `lychgate test` explains them\n{failures}"));
            false
        }
        Some(_) | None => true,
    }
}

/// Whether the operator's own pages can be shown to people (P-09). Says what is wrong with them.
fn pages_are_good(sources: &[Source]) -> bool {
    // What is wrong with the configuration was said already.
    let Ok(pages) = lychgate_config::pages(sources, &ProcessEnvironment) else { return false };
    match Pages::load(&pages.path_prefix, pages.templates.as_deref(), &pages.languages) {
        Ok(_) => true,
        Err(errors) => {
            for error in errors {
                complain(&format!("error: pages.templates: {}\n", crate::chain(&error)));
            }
            complain("hint: `lychgate pages preview` shows all pages\n");
            false
        }
    }
}

/// Whether every listener has a certificate and a key that `run` could serve with. Says which have not.
fn certificates_are_good(config: &Config) -> bool {
    let mut good = true;
    for listener in &config.listeners {
        let Some(tls) = &listener.tls else { continue };
        if let Err(error) = tls::server_config(tls, tls::Http2::Offered) {
            good = false;
            complain(&format!("error: listeners.{}: {}\n", listener.name, crate::chain(&error)));
        }
    }
    good
}

/// Asks each provider for its metadata and each upstream for a connection; a line each. Returns how many do
/// not answer.
fn ask_everybody(config: &Config) -> Result<usize, Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let names = config.providers.iter().map(|provider| provider.sign_in.registration.name.as_str());
    let metrics = Arc::new(Metrics::new(&config.gateway.routes, names, "", SystemTime::now()));
    let readiness = Arc::default();
    let mut silent = 0;
    let mut line = |what: &str, outcome: Result<(), String>| match outcome {
        Ok(()) => say(&format!("{what}: answers\n")),
        Err(error) => {
            silent += 1;
            complain(&format!("unreachable: {what}: {error}\n"));
        }
    };
    runtime.block_on(async {
        for provider in &config.providers {
            let asked = providers::ask_once(provider, &metrics, &readiness);
            let outcome = match tokio::time::timeout(PATIENCE, asked).await {
                Ok(outcome) => outcome.map_err(|error| crate::chain(&error)),
                Err(_) => Err("no answer within 3 s".to_owned()),
            };
            line(&format!("providers.{}", provider.sign_in.registration.name), outcome);
        }
        for (name, outcome) in upstreams(&config.upstreams).await {
            line(&name, outcome);
        }
    });
    Ok(silent)
}

async fn upstreams(upstreams: &BTreeMap<String, Upstream>) -> Vec<(String, Result<(), String>)> {
    let mut outcomes = Vec::new();
    for upstream in upstreams.values() {
        for address in &upstream.addresses {
            let (text, connected) = match address {
                UpstreamAddress::Plain { host, port } | UpstreamAddress::Tls { host, port, .. } => {
                    let connect = tokio::net::TcpStream::connect((host.as_str(), *port));
                    let connected = tokio::time::timeout(PATIENCE, connect).await;
                    (format!("{host}:{port}"), connected.map(|connected| connected.map(drop)))
                }
                UpstreamAddress::Unix(path) => {
                    let connect = tokio::net::UnixStream::connect(path);
                    let connected = tokio::time::timeout(PATIENCE, connect).await;
                    (path.display().to_string(), connected.map(|connected| connected.map(drop)))
                }
            };
            let outcome = match connected {
                Ok(connected) => connected.map_err(|error| error.to_string()),
                Err(_) => Err("no connection within 3 s".to_owned()),
            };
            outcomes.push((format!("{} ({text})", upstream.name), outcome));
        }
    }
    outcomes
}
