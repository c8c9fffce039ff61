//! What a change must pass.

use std::time::{Duration, Instant};

use anyhow::Result;

use crate::process::{cargo, command, run};
use crate::{root, setup};

/// One release, so that yesterday's result is today's.
const CARGO_DENY: &str = "0.20.2";

/// Everything that can be checked without the open network, cheapest first; ends at the first
/// failure.
pub(crate) fn test() -> Result<()> {
    let mut steps = Steps::start();
    let outcome = all(&mut steps);
    steps.report();
    outcome
}

fn all(steps: &mut Steps) -> Result<()> {
    steps.step("setup", setup::everything)?;
    steps.step("format", || run(cargo().args(["fmt", "--all", "--check"])))?;
    steps.step("lints", || {
        let targets = ["clippy", "--workspace", "--all-targets", "--locked"];
        run(cargo().args(targets).args(["--", "-D", "warnings"]))
    })?;
    let bare = ["--package", "lychgate-server", "--no-default-features", "--locked"];
    steps.step("lints without default features", || {
        run(cargo().arg("clippy").args(bare).args(["--", "-D", "warnings"]))
    })?;
    steps.step("build without default features", || run(cargo().arg("build").args(bare)))?;
    steps.step("documentation", || {
        let documented = ["doc", "--workspace", "--no-deps", "--locked"];
        run(cargo().args(documented).env("RUSTDOCFLAGS", "-Dwarnings"))
    })?;
    // After the build without default features, because both write the same file and the tests
    // start what lies there.
    steps.step("build", || {
        run(cargo().args(["build", "--package", "lychgate-server", "--locked"]))
    })?;
    steps.step("tests", || run(cargo().args(["test", "--workspace", "--locked"])))
}

/// Licences, forbidden crates and sources, as `deny.toml` has them.
///
/// Not a part of [`test()`]: to build the tool takes minutes of a fresh clone's time.
pub(crate) fn deny() -> Result<()> {
    let tools = root().join("target/tools");
    let tool = tools.join("bin/cargo-deny");
    if !tool.exists() {
        let release = ["install", "cargo-deny", "--version", CARGO_DENY, "--locked"];
        run(cargo().args(release).arg("--root").arg(&tools))?;
    }
    run(command(tool).args(["--locked", "check", "bans", "licenses", "sources"]))
}

/// The steps of one run and the time that each took.
struct Steps {
    start: Instant,
    taken: Vec<(&'static str, Duration, Verdict)>,
}

enum Verdict {
    Passed,
    Failed,
}

impl Steps {
    fn start() -> Self {
        Self { start: Instant::now(), taken: Vec::new() }
    }

    fn step(&mut self, title: &'static str, work: impl FnOnce() -> Result<()>) -> Result<()> {
        eprintln!("\n== {title} ({} s so far)", self.start.elapsed().as_secs());
        let start = Instant::now();
        let outcome = work();
        let verdict = if outcome.is_ok() { Verdict::Passed } else { Verdict::Failed };
        self.taken.push((title, start.elapsed(), verdict));
        outcome
    }

    fn report(&self) {
        eprintln!("\n== {} s in all", self.start.elapsed().as_secs());
        for (title, time, verdict) in &self.taken {
            let word = match verdict {
                Verdict::Passed => "passed",
                Verdict::Failed => "FAILED",
            };
            eprintln!("{word} {:>6.1} s  {title}", time.as_secs_f64());
        }
    }
}
