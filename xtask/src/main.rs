//! The project's own commands: `cargo xtask help` lists them.
//!
//! Everything they install stays inside the checkout (`target/rigs`, `target/tools` and
//! `tests/rigs/node_modules`), except Debian's own packages.

use std::env;
use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;

use crate::process::{ExitedWith, command, run};

mod check;
mod process;
mod setup;

const HELP: &str = "\
The project's own commands: cargo xtask COMMAND

  setup   install what the tests need: programs, the provider, the browser's driver, applications
  test    set up, then format, lints, documentation, build and every test; what CI runs
  deny    licences, forbidden crates and sources; builds cargo-deny once, which takes minutes
  bench   measure: benches/run.sh, which gets the arguments that follow (`bench logins`: signing in)
  help    this text
";

fn main() -> ExitCode {
    let mut arguments = env::args().skip(1);
    let name = arguments.next().unwrap_or_default();

    let outcome = match name.as_str() {
        "setup" => setup::everything(),
        "test" => check::test(),
        "deny" => check::deny(),
        "bench" => run(command(root().join("benches/run.sh")).args(arguments)),
        "help" | "--help" | "-h" => io::stdout().write_all(HELP.as_bytes()).map_err(Into::into),
        _ => {
            eprint!("{HELP}");
            return ExitCode::from(2);
        }
    };

    let Err(error) = outcome else { return ExitCode::SUCCESS };
    eprintln!("xtask: {error:#}");
    let code = error.downcast_ref::<ExitedWith>().map_or(1, ExitedWith::code);
    ExitCode::from(code)
}

/// The root of the checkout, wherever the command was called.
fn root() -> &'static Path {
    let member = Path::new(env!("CARGO_MANIFEST_DIR"));
    member.parent().unwrap_or(member)
}
