//! `lychgate reload`: asks the running gateway to read its configuration again, and says what became of it.

use std::path::PathBuf;

use clap::Args;
use serde_json::Value;

use super::Format;
use crate::admin::socket;
use crate::console::{NO, OK, UNREACHABLE, complain, say};

/// Whom to ask, and how to say it.
#[derive(Args)]
pub(super) struct Options {
    /// The socket of the running gateway, when it is not where it usually is
    #[arg(long, value_name = "PATH", env = "LYCHGATE_SOCKET")]
    socket: Option<PathBuf>,
    /// Build everything anew although no file has changed
    #[arg(long)]
    force: bool,
    /// The form of the answer
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

/// Ends with 0 when the configuration in the files is in use, with 1 when it was refused (the one before goes on), and
/// with 69 when nobody answers. Returns only then.
pub(super) fn run(options: &Options) -> u8 {
    let candidates = socket::candidates(options.socket.as_deref());
    let found = candidates.iter().find(|path| path.exists()).or_else(|| candidates.first());
    let Some(path) = found else { return UNREACHABLE };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            complain(&format!("error: there is no runtime: {error}\n"));
            return UNREACHABLE;
        }
    };
    let answer = match runtime.block_on(socket::ask_to_reload(path, options.force)) {
        Ok(answer) => answer,
        Err(error) => {
            complain(&format!("error: nobody answers at {}: {error}\n", path.display()));
            complain(
                "hint: run it as the gateway's user or as root, or name the socket with --socket\n",
            );
            return UNREACHABLE;
        }
    };
    match options.format {
        Format::Json => say(&format!("{answer:#}\n")),
        Format::Text => in_words(&answer),
    }
    match answer["outcome"].as_str() {
        Some("success" | "unchanged") => OK,
        Some(_) => NO,
        None => UNREACHABLE,
    }
}

fn in_words(answer: &Value) {
    if let Some(warnings) = answer["warnings"].as_str() {
        complain(&format!("{warnings}\n"));
    }
    let hash = answer["config_hash"].as_str().unwrap_or_default();
    match answer["outcome"].as_str() {
        Some("success") => say(&format!("reloaded: config_hash {hash}\n")),
        Some("unchanged") => say(&format!("unchanged: config_hash {hash}\n")),
        Some(_) => {
            complain(&format!("{}\n", answer["error"].as_str().unwrap_or_default()));
            complain(&format!("error: refused; config_hash {hash} goes on\n"));
        }
        None => complain(&format!("error: {}\n", answer.as_str().unwrap_or("no answer"))),
    }
    for key in answer["needs_restart"].as_array().into_iter().flatten() {
        say(&format!("needs restart: {}\n", key.as_str().unwrap_or_default()));
    }
}
