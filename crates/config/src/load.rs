//! From files to a configuration.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use lychgate_gateway::endpoint::callback_path;
use lychgate_gateway::language::Languages;
use lychgate_gateway::origin::PublicOrigin;
use lychgate_oidc::kind::Kind;
use sha2::{Digest as _, Sha256};
use url::Url;

use crate::check::configuration;
use crate::config::Config;
use crate::context::Context;
use crate::file::{Files, Position};
use crate::include::{self, Document};
use crate::inputs::Input;
use crate::origin::origins;
use crate::print::{Manner, masked};
use crate::problem::{Problems, Report};
use crate::rehearsal::Rehearsal;
use crate::resolve::resolved;
use crate::secret::SecretUse;
use crate::tree::{Table, Value};

/// Where a configuration is read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A file, or a directory whose `*.toml` are read in the order of their names.
    Path(PathBuf),
    /// Text that was read already, such as standard input. Relative paths in it are relative to the
    /// working directory.
    Text {
        /// What to call it in messages.
        name: String,
        /// The text.
        text: String,
    },
}

/// The variables of the process, or a test's idea of them.
pub trait Environment {
    /// The variable's value, or `None` when it is not set or not UTF-8.
    fn variable(&self, name: &str) -> Option<String>;

    /// Is told of everything that is read, or should be and cannot, before it is. A file that is read anew at every
    /// use is not among it.
    fn reads(&self, input: Input) {
        let _ = input;
    }
}

/// The variables that this process was started with.
#[derive(Clone, Copy, Debug, Default)]
pub struct ProcessEnvironment;

impl Environment for ProcessEnvironment {
    fn variable(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }
}

/// A configuration, and what the operator should know about it.
#[derive(Debug)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// Warnings, perhaps none.
    pub warnings: Report,
    /// What was found, in a line.
    pub summary: Summary,
}

/// A configuration is right, as far as can be told without its secrets.
#[derive(Debug)]
pub struct Checked {
    /// Warnings, perhaps none.
    pub warnings: Report,
    /// What was found, in a line.
    pub summary: Summary,
    /// What has to be registered with the providers (C-61).
    pub redirect_uris: Vec<RedirectUri>,
    /// What is asked for, where the kind of a provider decides it.
    pub scopes: Vec<Scopes>,
}

/// How our own pages look and where they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PagesSummary {
    /// Where they are on every routed host.
    pub path_prefix: String,
    /// A directory with templates in the place of the program's own.
    pub templates: Option<PathBuf>,
    /// The languages that they are in.
    pub languages: Languages,
}

/// How much was configured. Printed: `2 routes, 1 provider, 1 listener`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// The files that were read, in order.
    pub files: Vec<String>,
    /// How many routes there are.
    pub routes: usize,
    /// How many providers there are.
    pub providers: usize,
    /// How many listeners there are.
    pub listeners: usize,
}

impl Summary {
    fn new(files: &Files, config: &Config) -> Self {
        let routes = &config.gateway.routes;
        Self {
            files: files.names().map(str::to_owned).collect(),
            routes: routes.origins().iter().map(|origin| routes.at(origin).count()).sum(),
            providers: config.providers.len(),
            listeners: config.listeners.len(),
        }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts =
            [(self.routes, "route"), (self.providers, "provider"), (self.listeners, "listener")];
        for (index, (count, noun)) in counts.into_iter().enumerate() {
            let (comma, plural) =
                (if index > 0 { ", " } else { "" }, if count == 1 { "" } else { "s" });
            write!(formatter, "{comma}{count} {noun}{plural}")?;
        }
        Ok(())
    }
}

/// A redirect URI that has to be registered with a provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedirectUri {
    /// The provider's name.
    pub provider: String,
    /// The URI.
    pub url: Url,
}

/// What is asked for at a provider whose kind decides it: what its registration has to be granted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scopes {
    /// The provider's name.
    pub provider: String,
    /// The scopes, in order.
    pub scopes: Vec<String>,
}

/// Reads and checks a configuration and fetches its secrets.
///
/// # Errors
/// Everything that is wrong with it, warnings included, in the order of files and lines.
pub fn load(sources: &[Source], environment: &dyn Environment) -> Result<Loaded, Report> {
    let Read { config, warnings, summary, .. } = read(sources, environment, SecretUse::Fetch)?;
    Ok(Loaded { config, warnings, summary })
}

/// Reads and checks a configuration without looking at any secret that is kept elsewhere. There is
/// no [`Config`] to be had from it.
///
/// # Errors
/// As [`load`].
pub fn check(sources: &[Source], environment: &dyn Environment) -> Result<Checked, Report> {
    let Read { config, warnings, summary, .. } = read(sources, environment, SecretUse::Leave)?;
    let (redirect_uris, scopes) = (redirect_uris(&config), scopes(&config));
    Ok(Checked { warnings, summary, redirect_uris, scopes })
}

/// Reads and checks a configuration without looking at any secret that is kept elsewhere, to ask it what it would do.
///
/// # Errors
/// As [`load`].
pub fn rehearse(sources: &[Source], environment: &dyn Environment) -> Result<Rehearsal, Report> {
    let Read { config, warnings, summary, origins } = read(sources, environment, SecretUse::Leave)?;
    Rehearsal::new(config, warnings, summary, origins).ok_or_else(Report::default)
}

/// How our own pages look and where they are, without looking at any secret that is kept elsewhere.
///
/// # Errors
/// As [`load`].
pub fn pages(sources: &[Source], environment: &dyn Environment) -> Result<PagesSummary, Report> {
    let Read { config, .. } = read(sources, environment, SecretUse::Leave)?;
    Ok(PagesSummary {
        path_prefix: config.gateway.path_prefix,
        templates: config.pages.templates,
        languages: config.gateway.languages,
    })
}

/// The configuration as written, all files in one, with every secret masked (C-23, C-40).
///
/// It need not be a right one; it has to be TOML.
///
/// # Errors
/// When a file cannot be read, is not TOML or contradicts another.
pub fn print(
    sources: &[Source],
    environment: &dyn Environment,
    origins: Origins,
) -> Result<String, Report> {
    let problems = Problems::default();
    let document = include::read(sources, environment, &problems);
    if problems.has_errors() {
        return Err(problems.into_report(document.files));
    }
    let origins = (origins == Origins::Shown).then_some(&document.files);
    Ok(masked(&document.table, Manner { readable: false, origins }))
}

/// Whether the place of each value is said after it (C-32).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origins {
    /// It is not.
    Hidden,
    /// As a comment: `# conf.d/20-kibana.toml:7`, or `# default`.
    Shown,
}

/// A configuration in which everything is said, and which of all configurations it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// The document. Whoever reads it gets the same configuration.
    pub text: String,
    /// Eight digits of a hash of it, the same for every way to write it.
    pub config_hash: String,
}

/// The configuration with defaults, variables, absolute paths and sets of headers spelled out, secrets masked or, if
/// they are kept elsewhere, named by their place (C-40, C-41).
///
/// # Errors
/// As [`check`].
pub fn resolve(
    sources: &[Source],
    environment: &dyn Environment,
    origins: Origins,
) -> Result<Resolved, Report> {
    let problems = Problems::default();
    let Document { files, table } = include::read(sources, environment, &problems);
    let context = Context {
        files: &files,
        environment,
        problems: &problems,
        secrets: SecretUse::Leave,
        loopback_only: serves_loopback_only(&table),
    };
    configuration(&context, &table);
    if problems.has_errors() {
        return Err(problems.into_report(files));
    }
    let table = resolved(&context, table);
    let plain = masked(&table, Manner { readable: true, origins: None });
    let hash = Sha256::digest(&plain);
    let text = match origins {
        Origins::Hidden => plain,
        Origins::Shown => masked(&table, Manner { readable: true, origins: Some(&files) }),
    };
    let config_hash = hash.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    Ok(Resolved { text, config_hash })
}

/// A right configuration, and what is known about it.
struct Read {
    config: Config,
    warnings: Report,
    summary: Summary,
    origins: BTreeMap<String, Position>,
}

fn read(
    sources: &[Source],
    environment: &dyn Environment,
    secrets: SecretUse,
) -> Result<Read, Report> {
    let problems = Problems::default();
    let Document { files, table } = include::read(sources, environment, &problems);
    let context = Context {
        files: &files,
        environment,
        problems: &problems,
        secrets,
        loopback_only: serves_loopback_only(&table),
    };
    let config = configuration(&context, &table);
    if problems.has_errors() {
        return Err(problems.into_report(files));
    }
    let summary = Summary::new(&files, &config);
    let origins = origins(&table, &files);
    Ok(Read { config, warnings: problems.into_report(files), summary, origins })
}

/// Whether every route is on this machine: a demonstration, or a test.
fn serves_loopback_only(table: &Table) -> bool {
    let Some(entry) = table.find("routes") else { return false };
    let Value::Table(routes) = &entry.node.value else { return false };
    let is_loopback = |text: &str| {
        Url::parse(text)
            .ok()
            .and_then(|url| PublicOrigin::of(&url))
            .is_some_and(|origin| origin.is_loopback())
    };
    !routes.0.is_empty()
        && routes.0.iter().all(|route| match &route.node.value {
            Value::Table(route) => route.find("url").is_some_and(
                |url| matches!(&url.node.value, Value::Text(text) if is_loopback(text)),
            ),
            Value::Boolean(_)
            | Value::Datetime
            | Value::Float(_)
            | Value::Integer(_)
            | Value::List(_)
            | Value::Text(_) => false,
        })
}

/// What is asked for at providers that are not merely `oidc`, by provider.
#[must_use]
pub fn scopes(config: &Config) -> Vec<Scopes> {
    let vendors = config.providers.iter().filter(|provider| provider.kind != Kind::Oidc);
    vendors
        .map(|provider| {
            let registration = &provider.sign_in.registration;
            Scopes { provider: registration.name.clone(), scopes: registration.scopes.clone() }
        })
        .filter(|scopes| !scopes.scopes.is_empty())
        .collect()
}

/// The redirect URIs that have to be registered, by provider (C-61).
#[must_use]
pub fn redirect_uris(config: &Config) -> Vec<RedirectUri> {
    let gateway = &config.gateway;
    let mut uris = Vec::new();
    for provider in &config.providers {
        let name = &provider.sign_in.registration.name;
        let callback = callback_path(&gateway.path_prefix, name, config.providers.len());
        let mut add = |url: Option<Url>| {
            uris.extend(url.map(|url| RedirectUri { provider: name.clone(), url }));
        };
        let at = |origin: &PublicOrigin| Url::parse(&format!("{origin}{callback}")).ok();
        if let Some(url) = &provider.sign_in.redirect_uri {
            add(Some(url.clone()));
        } else if let Some(origin) = &gateway.public_url {
            add(at(origin));
        } else {
            for origin in gateway.routes.origins() {
                if gateway.routes.at(origin).any(|route| route.providers.contains(name)) {
                    add(at(origin));
                }
            }
        }
    }
    uris
}
