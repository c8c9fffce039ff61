//! What a command says to whoever called it: two streams and an exit code.
//!
//! Standard output carries the result and nothing else; diagnostics go to standard error. Exit codes
//! are few and fixed.

use std::io::Write as _;

/// Yes.
pub(crate) const OK: u8 = 0;
/// No: an invalid configuration, or not ready.
pub(crate) const NO: u8 = 1;
/// The command was called wrongly.
pub(crate) const USAGE: u8 = 2;
/// It depends on who signs in.
pub(crate) const DEPENDS: u8 = 3;
/// Something that is needed cannot be reached.
pub(crate) const UNREACHABLE: u8 = 69;
/// `run` refuses the configuration. A supervisor should not try again.
pub(crate) const CONFIG: u8 = 78;

/// Prints a result to standard output. A reader that went away is no reason to fail.
pub(crate) fn say(text: &str) {
    let _ = std::io::stdout().write_all(text.as_bytes());
}

/// Prints a diagnostic to standard error.
pub(crate) fn complain(text: &str) {
    let _ = std::io::stderr().write_all(text.as_bytes());
}
