//! The project's own commands: `cargo xtask help` lists them.
//!
//! Everything they install stays inside the checkout (`target/rigs`, `target/tools` and
//! `tests/rigs/node_modules`), except Debian's own packages.

use std::env;
use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;

use crate::process::{ExitedWith, command, run};

mod check;
mod process;
mod setup;

const HELP: &str = "\
The project's own commands: cargo xtask COMMAND

  setup   install what the tests need: programs, the provider, the browser's driver, applications
          `setup bench` what the benchmarks need: the provider, and whom they measure
  test    set up, then format, lints, documentation, build and every test; what CI runs
  deny    licences, forbidden crates and sources; builds cargo-deny once, which takes minutes
  bench   set up, then measure: benches/run.sh, which gets the arguments that follow (see benches/README.md)
  help    this text
";

fn main() -> ExitCode {
    let mut arguments = env::args().skip(1);
    let name = arguments.next().unwrap_or_default();

    let outcome = match name.as_str() {
        "setup" => match arguments.next().as_deref() {
            None => setup::everything(),
            Some("bench") => setup::benchmarks(),
            Some(_) => return usage(),
        },
        "test" => check::test(),
        "deny" => check::deny(),
        "bench" => bench(arguments),
        "help" | "--help" | "-h" => io::stdout().write_all(HELP.as_bytes()).map_err(Into::into),
        _ => return usage(),
    };

    let Err(error) = outcome else { return ExitCode::SUCCESS };
    eprintln!("xtask: {error:#}");
    let code = error.downcast_ref::<ExitedWith>().map_or(1, ExitedWith::code);
    ExitCode::from(code)
}

fn usage() -> ExitCode {
    eprint!("{HELP}");
    ExitCode::from(2)
}

fn bench(arguments: impl Iterator<Item = String>) -> Result<()> {
    setup::benchmarks()?;
    run(command(root().join("benches/run.sh")).args(arguments))
}

/// The root of the checkout, wherever the command was called.
fn root() -> &'static Path {
    let member = Path::new(env!("CARGO_MANIFEST_DIR"));
    member.parent().unwrap_or(member)
}
