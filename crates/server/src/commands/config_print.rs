//! `lychgate config print` and `lychgate config schema`.

use clap::Args;
use lychgate_config::{Origins, ProcessEnvironment};

use super::Files;
use crate::console::{NO, OK, complain, say};

/// What to print.
#[derive(Args)]
pub(super) struct Options {
    #[command(flatten)]
    files: Files,
    /// Say what was left unsaid: defaults, variables, absolute paths, the headers of `identity`
    #[arg(long)]
    resolved: bool,
    /// Say behind each value where it comes from
    #[arg(long)]
    show_origin: bool,
    /// Every key there is, commented out, with what it is for; reads no file
    #[arg(long, conflicts_with_all = ["resolved", "show_origin"])]
    defaults: bool,
}

/// Prints the configuration. Secrets are masked; there is no way to have them printed.
pub(super) fn run(options: &Options) -> u8 {
    if options.defaults {
        say(&lychgate_config::defaults());
        return OK;
    }
    let origins = if options.show_origin { Origins::Shown } else { Origins::Hidden };
    let sources = options.files.sources();
    let printed = if options.resolved {
        lychgate_config::resolve(&sources, &ProcessEnvironment, origins)
            .map(|resolved| format!("# config_hash {}\n{}", resolved.config_hash, resolved.text))
    } else {
        lychgate_config::print(&sources, &ProcessEnvironment, origins)
    };
    match printed {
        Ok(text) => {
            say(&text);
            OK
        }
        Err(report) => {
            complain(&format!("{report}\n"));
            NO
        }
    }
}

/// Prints the JSON Schema of this program's configuration language.
pub(super) fn schema() -> u8 {
    say(&lychgate_config::schema());
    OK
}
