//! Programs that are run for their effect, in the root of the checkout, where everybody sees what
//! they print.

use std::ffi::OsStr;
use std::process::{Command, ExitStatus, Stdio};

use anyhow::{Context as _, Result};

use crate::root;

/// A program that ran and did not succeed.
#[derive(Debug)]
pub(crate) struct ExitedWith {
    program: String,
    status: ExitStatus,
}

impl ExitedWith {
    /// The exit code to hand on: the program's own, or 1 where it has none (a signal ended it).
    pub(crate) fn code(&self) -> u8 {
        self.status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1)
    }
}

impl std::fmt::Display for ExitedWith {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "`{}` failed: {}", self.program, self.status)
    }
}

impl std::error::Error for ExitedWith {}

/// A command that runs in the root of the checkout and reads nothing.
pub(crate) fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.current_dir(root()).stdin(Stdio::null());
    command
}

/// The cargo that runs this program, so that one toolchain does everything.
pub(crate) fn cargo() -> Command {
    command(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// Runs it to its end.
///
/// # Errors
/// When it cannot be started, or with [`ExitedWith`] when it does not succeed.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("cannot run {}", line(command)))?;
    if status.success() {
        return Ok(());
    }
    Err(ExitedWith { program: line(command), status }.into())
}

/// The command as somebody would type it.
fn line(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(OsStr::to_string_lossy).collect::<Vec<_>>().join(" ")
}
