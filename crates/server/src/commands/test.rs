//! `lychgate test`: the `[[tests]]` of a configuration, and which rules they reach.
//!
//! A test asks the gateway that serves, without secrets and without a network (W-20, W-21).

use clap::Args;
use lychgate_config::config::Test;
use lychgate_config::rehearsal::{Coverage, TestResult};
use lychgate_config::{ProcessEnvironment, Rehearsal, rehearse};
use lychgate_gateway::explain::Unimaginable;
use serde_json::{Value, json};

use super::Files;
use super::explain::{Headers, document, lines};
use crate::console::{NO, OK, complain, say};
use crate::world::now;

/// Which tests, and what is asked of them.
#[derive(Args)]
pub(super) struct Options {
    #[command(flatten)]
    files: Files,
    /// Run only tests with this in their names; coverage is then of these
    #[arg(value_name = "NAME")]
    filter: Option<String>,
    /// Fail when there is a rule that no test reaches
    #[arg(long)]
    require_coverage: bool,
    /// Fail when tests reach less than this many hundredths of the rules
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(0..=100))]
    fail_under_coverage: Option<u8>,
    /// The form of the answer
    #[arg(long, value_enum, default_value = "text")]
    format: TestFormat,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum TestFormat {
    /// Annotations of GitHub for what failed
    Github,
    Json,
    Junit,
    Text,
}

/// A test and how it ended.
struct Ran<'a> {
    test: &'a Test,
    result: Result<TestResult, Unimaginable>,
}

impl Ran<'_> {
    fn passed(&self) -> bool {
        self.result.as_ref().is_ok_and(|result| result.mismatches.is_empty())
    }

    /// What was expected and what is, a line each.
    fn complaints(&self) -> Vec<String> {
        match &self.result {
            Ok(result) => result
                .mismatches
                .iter()
                .map(|mismatch| {
                    let (expected, actual) = (&mismatch.expected, &mismatch.actual);
                    format!("{}: expected {expected:?}, actual {actual:?}", mismatch.what)
                })
                .collect(),
            Err(error) => vec![error.to_string()],
        }
    }
}

/// Runs the tests. Ends with 1 when one fails, or when they do not reach what they should.
pub(super) fn run(options: &Options) -> u8 {
    let rehearsal = match rehearse(&options.files.sources(), &ProcessEnvironment) {
        Ok(rehearsal) => rehearsal,
        Err(report) => {
            complain(&format!("{report}\n"));
            return NO;
        }
    };
    let filter = options.filter.as_deref().unwrap_or_default();
    let ran = run_all(&rehearsal, filter);
    if ran.is_empty() && !filter.is_empty() {
        complain(&format!("error: no test has {filter:?} in its name\n"));
        return NO;
    }
    let coverage = coverage(&rehearsal, &ran);
    match options.format {
        TestFormat::Github => say(&github(&ran)),
        TestFormat::Json => say(&format!("{:#}\n", json(&rehearsal, &ran, &coverage))),
        TestFormat::Junit => say(&junit(&ran)),
        TestFormat::Text => say(&text(&rehearsal, &ran, &coverage)),
    }
    let least =
        if options.require_coverage { 100 } else { options.fail_under_coverage.unwrap_or(0) };
    let enough = coverage.percent() >= usize::from(least);
    if !enough {
        let unreached: Vec<&str> = coverage.unreached().collect();
        complain(&format!(
            "error: tests reach {} % of the rules, and {least} % are asked for; never: {}\n",
            coverage.percent(),
            unreached.join(", ")
        ));
    }
    if enough && ran.iter().all(Ran::passed) { OK } else { NO }
}

/// The failures among all tests of a configuration, for `check`; `None` when it has no tests.
pub(super) fn failures(rehearsal: &Rehearsal) -> Option<String> {
    let ran = run_all(rehearsal, "");
    (!ran.is_empty()).then(|| ran.iter().filter(|ran| !ran.passed()).map(failure).collect())
}

fn run_all<'a>(rehearsal: &'a Rehearsal, filter: &str) -> Vec<Ran<'a>> {
    let now = now();
    let tests = rehearsal.tests().iter().filter(|test| test.name.contains(filter));
    tests.map(|test| Ran { test, result: rehearsal.run(test, now) }).collect()
}

fn coverage(rehearsal: &Rehearsal, ran: &[Ran<'_>]) -> Coverage {
    let results = ran.iter().filter_map(|ran| ran.result.as_ref().ok());
    rehearsal.coverage(results.map(|result| &result.explanation))
}

fn failure(ran: &Ran<'_>) -> String {
    let position = &ran.test.position;
    let mut text = format!("  ✗ {}   {}:{}\n", ran.test.name, position.file, position.line);
    for complaint in ran.complaints() {
        text.push_str(&format!("      {complaint}\n"));
    }
    text
}

fn text(rehearsal: &Rehearsal, ran: &[Ran<'_>], coverage: &Coverage) -> String {
    let mut text = String::new();
    for ran in ran {
        if ran.passed() {
            text.push_str(&format!("  ✓ {}\n", ran.test.name));
            continue;
        }
        text.push_str(&failure(ran));
        if let Ok(result) = &ran.result {
            for line in lines(rehearsal, &result.explanation, Headers::Shown).lines() {
                text.push_str(&format!("      |{line}\n"));
            }
        }
    }
    let passed = ran.iter().filter(|ran| ran.passed()).count();
    text.push_str(&format!(
        "{passed} passed, {} failed · {} of {} rules exercised",
        ran.len() - passed,
        coverage.reached(),
        coverage.rules.len()
    ));
    let unreached: Vec<&str> = coverage.unreached().collect();
    if !unreached.is_empty() {
        text.push_str(&format!(" · never exercised: {}", unreached.join(", ")));
    }
    text + "\n"
}

fn json(rehearsal: &Rehearsal, ran: &[Ran<'_>], coverage: &Coverage) -> Value {
    let tests: Vec<Value> = ran
        .iter()
        .map(|ran| {
            let position = &ran.test.position;
            let explanation = ran.result.as_ref().ok();
            let explanation =
                explanation.map(|result| document(rehearsal, &result.explanation, Headers::Shown));
            json!({
                "name": ran.test.name,
                "place": format!("{}:{}", position.file, position.line),
                "passed": ran.passed(),
                "mismatches": ran.complaints(),
                "explanation": explanation,
            })
        })
        .collect();
    let unreached: Vec<&str> = coverage.unreached().collect();
    json!({
        "tests": tests,
        "passed": ran.iter().filter(|ran| ran.passed()).count(),
        "failed": ran.iter().filter(|ran| !ran.passed()).count(),
        "coverage": {
            "rules": coverage.rules.len(),
            "exercised": coverage.reached(),
            "never_exercised": unreached,
        },
    })
}

/// Workflow commands, in which percent signs and line ends are encoded.
fn github(ran: &[Ran<'_>]) -> String {
    let encoded = |text: &str| text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A");
    let property = |text: &str| encoded(text).replace(':', "%3A").replace(',', "%2C");
    ran.iter()
        .filter(|ran| !ran.passed())
        .map(|ran| {
            let position = &ran.test.position;
            format!(
                "::error file={},line={},title={}::{}\n",
                property(&position.file),
                position.line,
                property(&ran.test.name),
                encoded(&ran.complaints().join("\n"))
            )
        })
        .collect()
}

fn junit(ran: &[Ran<'_>]) -> String {
    let failed = ran.iter().filter(|ran| !ran.passed()).count();
    let mut text = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuite name=\"lychgate\" tests=\"{}\" failures=\"{failed}\">\n",
        ran.len()
    );
    for ran in ran {
        let (name, file) = (xml(&ran.test.name), xml(&ran.test.position.file));
        text.push_str(&format!("  <testcase name=\"{name}\" classname=\"{file}\""));
        if ran.passed() {
            text.push_str("/>\n");
            continue;
        }
        let message = xml(&ran.complaints().join("; "));
        text.push_str(&format!("><failure message=\"{message}\"/></testcase>\n"));
    }
    text + "</testsuite>\n"
}

/// A text inside an attribute. What XML cannot say at all is replaced.
fn xml(text: &str) -> String {
    let mut escaped = String::new();
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            control if control.is_control() => escaped.push('\u{fffd}'),
            plain => escaped.push(plain),
        }
    }
    escaped
}
