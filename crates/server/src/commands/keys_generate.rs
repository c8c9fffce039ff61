//! `lychgate keys generate`.

use std::path::PathBuf;

use clap::Args;

use crate::console::{NO, OK, complain, say};
use crate::keys;

/// Where the key goes.
#[derive(Args)]
pub(super) struct Options {
    /// Write the key to this new file, with mode 0600, instead of printing it
    #[arg(long, value_name = "PATH")]
    write: Option<PathBuf>,
}

/// Makes a key and prints it, or keeps it.
pub(super) fn run(options: &Options) -> u8 {
    let Some(path) = &options.write else {
        say(&format!("{}\n", keys::generate()));
        return OK;
    };
    match keys::write_new(path) {
        Ok(()) => OK,
        Err(error) => {
            complain(&format!("error: `{}` cannot be written: {error}\n", path.display()));
            NO
        }
    }
}
