//! `lychgate config print`.

use lychgate_config::ProcessEnvironment;

use super::Files;
use crate::console::{NO, OK, complain, say};

/// Prints the configuration as written.
pub(super) fn run(files: &Files) -> u8 {
    match lychgate_config::print(&files.sources(), &ProcessEnvironment) {
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
