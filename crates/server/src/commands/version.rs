//! `lychgate version`.

use clap::Args;

use super::Format;
use crate::console::{OK, say};

/// How to say it.
#[derive(Args)]
pub(super) struct Options {
    /// The form of the answer
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

/// Says which build this is.
pub(super) fn run(options: &Options) -> u8 {
    let features: &[&str] = if cfg!(feature = "demo") { &["demo"] } else { &[] };
    let (name, version) = ("lychgate", env!("CARGO_PKG_VERSION"));
    match options.format {
        Format::Text => say(&format!("{name} {version}\n")),
        Format::Json => {
            let mut answer = serde_json::json!({
                "name": name,
                "version": version,
                "tls": "rustls with aws-lc-rs",
                "features": features,
                "config_version": 1,
            });
            if let Some(commit) = option_env!("LYCHGATE_COMMIT") {
                answer["commit"] = commit.into();
            }
            say(&format!("{answer}\n"));
        }
    }
    OK
}
