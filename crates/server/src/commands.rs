//! The command line: which commands there are, and what each takes.

mod check;
mod config_print;
#[cfg(feature = "demo")]
mod demo;
mod explain;
mod health;
mod keys_generate;
mod pages_preview;
mod reload;
mod status;
mod test;
mod version;

use std::ffi::OsString;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};
use lychgate_config::Source;

use crate::console::{OK, USAGE};

/// A gate before web applications that know nothing of single sign-on.
#[derive(Parser)]
#[command(name = "lychgate", version, propagate_version = true, arg_required_else_help = true, after_help = EXIT_CODES)]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

const EXIT_CODES: &str = "\
Exit codes: 0 yes · 1 no (invalid, refused, or not ready) · 2 wrong usage · 3 it depends on who signs in · 69 something cannot be reached · 78 `run` refuses the configuration

Examples:
  lychgate demo
  lychgate check -c /etc/lychgate/lychgate.toml";

#[derive(Subcommand)]
enum Command {
    /// Checks a configuration, and says everything that is wrong with it (also `lychgate -t`)
    #[command(
        after_help = "Examples:\n  lychgate check\n  lychgate check --offline -c lychgate.toml"
    )]
    Check(check::Options),
    /// Shows what the configuration says
    #[command(
        subcommand,
        after_help = "Examples:\n  lychgate config print\n  lychgate config print -c conf.d/"
    )]
    Config(ConfigCommand),
    /// Shows a whole sign-in on this machine: a provider, an application and the gateway, in one process
    #[cfg(feature = "demo")]
    #[command(after_help = "Examples:\n  lychgate demo\n  lychgate demo --break nonce")]
    Demo(demo::Options),
    /// Says what would happen to a request, and why; asks nobody
    #[command(
        after_help = "Exit codes: 0 it passes · 1 it is refused · 3 it depends on who signs in\n\nExamples:\n  lychgate explain https://app.example.com/admin\n  lychgate explain --as 'user=ada,groups=sre|staff' --from 192.0.2.7 https://app.example.com/admin"
    )]
    Explain(explain::Options),
    /// Asks a running gateway whether it is ready
    #[command(
        after_help = "Examples:\n  lychgate health\n  lychgate health --address 127.0.0.1:9180"
    )]
    Health(health::Options),
    /// Makes keys that seal cookies
    #[command(
        subcommand,
        after_help = "Examples:\n  lychgate keys generate > session.key\n  lychgate keys generate --write /etc/lychgate/session.key"
    )]
    Keys(KeysCommand),
    /// Shows the pages that people see
    #[command(
        subcommand,
        after_help = "Examples:\n  lychgate pages preview\n  lychgate pages preview -c lychgate.toml"
    )]
    Pages(PagesCommand),
    /// Tells a running gateway to read its configuration again; returns when that is in use, or refused
    #[command(
        after_help = "Exit codes: 0 it is in use · 1 it was refused, and the one before goes on · 69 nobody answers\n\nExamples:\n  lychgate reload\n  lychgate reload --socket /run/lychgate/admin.sock --format json"
    )]
    Reload(reload::Options),
    /// Serves: takes requests, signs people in and forwards what the rules allow
    #[command(
        after_help = "Examples:\n  lychgate run\n  lychgate run -c /etc/lychgate/lychgate.toml"
    )]
    Run(RunOptions),
    /// Says how a running gateway is: version, configuration, readiness, providers
    #[command(
        after_help = "Examples:\n  lychgate status\n  lychgate status --address 127.0.0.1:9180 --format json"
    )]
    Status(status::Options),
    /// Runs the `[[tests]]` of a configuration; asks nobody
    #[command(
        after_help = "Examples:\n  lychgate test\n  lychgate test --require-coverage -c conf.d/"
    )]
    Test(test::Options),
    /// Says which build this is
    #[command(after_help = "Examples:\n  lychgate version\n  lychgate version --format json")]
    Version(version::Options),
}

#[derive(Subcommand)]
enum ConfigCommand {
    /// Prints the configuration, all files in one, secrets masked
    #[command(
        after_help = "Examples:\n  lychgate config print --show-origin\n  lychgate config print --resolved | lychgate check -"
    )]
    Print(config_print::Options),
    /// Prints the JSON Schema of the configuration, for editors
    #[command(
        after_help = "Examples:\n  lychgate config schema > lychgate.schema.json\n  lychgate config schema | jq .properties.routes"
    )]
    Schema,
}

#[derive(Subcommand)]
enum KeysCommand {
    /// Makes a key
    #[command(
        after_help = "Examples:\n  lychgate keys generate > session.key\n  lychgate keys generate --write /etc/lychgate/session.key"
    )]
    Generate(keys_generate::Options),
}

#[derive(Subcommand)]
enum PagesCommand {
    /// Serves every page on this machine, with people who do not exist, to look at in a browser
    #[command(
        after_help = "Examples:\n  lychgate pages preview\n  lychgate pages preview --templates pages/ --address 127.0.0.1:9010"
    )]
    Preview(pages_preview::Options),
}

/// The form of an answer.
#[derive(Clone, Copy, ValueEnum)]
enum Format {
    Json,
    Text,
}

/// Which configuration.
#[derive(Args)]
struct Files {
    /// A file, a directory of `*.toml`, or `-` for standard input; may be repeated
    #[arg(short, long = "config", value_name = "PATH", env = "LYCHGATE_CONFIG")]
    config: Vec<PathBuf>,
}

/// What to serve.
#[derive(Args)]
struct RunOptions {
    #[command(flatten)]
    files: Files,
    /// Where `lychgate reload` finds it, when that is not to be where it usually is
    #[arg(long, value_name = "PATH", env = "LYCHGATE_SOCKET")]
    socket: Option<PathBuf>,
}

/// Runs the command that `arguments` name, and says how the process ends.
pub(crate) fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    // `nginx -t` is in many fingers.
    let arguments =
        arguments.into_iter().enumerate().map(|(position, argument)| match argument.to_str() {
            Some("-t") if position == 1 => "check".into(),
            _ => argument,
        });
    let code = match CommandLine::try_parse_from(arguments) {
        Ok(line) => line.command.run(),
        Err(error) => {
            // Help and version are answers; anything else is a mistake. Clap knows which stream is whose.
            let _ = error.print();
            if error.use_stderr() { USAGE } else { OK }
        }
    };
    ExitCode::from(code)
}

impl Command {
    fn run(self) -> u8 {
        match self {
            Self::Check(options) => check::run(&options),
            Self::Config(ConfigCommand::Print(options)) => config_print::run(&options),
            Self::Config(ConfigCommand::Schema) => config_print::schema(),
            #[cfg(feature = "demo")]
            Self::Demo(options) => demo::run(&options),
            Self::Explain(options) => explain::run(&options),
            Self::Health(options) => health::run(&options),
            Self::Keys(KeysCommand::Generate(options)) => keys_generate::run(&options),
            Self::Pages(PagesCommand::Preview(options)) => pages_preview::run(&options),
            Self::Reload(options) => reload::run(&options),
            Self::Run(RunOptions { files, socket }) => {
                crate::run::run(files.sources(), socket.as_deref())
            }
            Self::Status(options) => status::run(&options),
            Self::Test(options) => test::run(&options),
            Self::Version(options) => version::run(&options),
        }
    }
}

impl Files {
    /// What was named, or what is found: `./lychgate.toml`, then `/etc/lychgate/lychgate.toml`.
    fn sources(&self) -> Vec<Source> {
        self.sources_and(&[])
    }

    /// The same with `more` beside what was named.
    fn sources_and(&self, more: &[PathBuf]) -> Vec<Source> {
        if self.config.is_empty() && more.is_empty() {
            let here = Path::new("lychgate.toml");
            let system = Path::new("/etc/lychgate/lychgate.toml");
            let found = if here.exists() || !system.exists() { here } else { system };
            return vec![Source::Path(found.to_owned())];
        }
        self.config.iter().chain(more).map(|path| source(path)).collect()
    }
}

fn source(path: &Path) -> Source {
    if path.as_os_str() != "-" {
        return Source::Path(path.to_owned());
    }
    let mut text = String::new();
    // Text that is not UTF-8 is no TOML either; the reader says so at the place where it stops.
    let _ = std::io::stdin().read_to_string(&mut text);
    Source::Text { name: "<stdin>".to_owned(), text }
}
