//! The rules of the house, as far as a program can see them.

mod advisories;
mod callback_rules;
mod conformance;
mod reliability;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand};

/// Nobody finds their way in more.
const LINES_MAX: usize = 700;

fn root() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().expect("the workspace is around its tests").to_owned()
}

/// Every file that is ours: tracked, or about to be.
fn files(ends: &[&str]) -> Vec<PathBuf> {
    let output = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(root())
        .output()
        .expect("git is there");
    let names = String::from_utf8(output.stdout).expect("names are text");
    let wanted = |name: &&str| ends.iter().any(|end| name.ends_with(end));
    let files = names.lines().filter(wanted).map(|name| root().join(name));
    // A file may be deleted and not yet committed as such.
    files.filter(|file| file.is_file()).collect()
}

fn shown(file: &Path) -> String {
    file.strip_prefix(root()).unwrap_or(file).display().to_string()
}

fn expect_none(what: &str, found: &[String]) {
    assert!(found.is_empty(), "{what}:\n  {}", found.join("\n  "));
}

fn workspace() -> Metadata {
    let metadata = MetadataCommand::new().manifest_path(root().join("Cargo.toml")).no_deps().exec();
    metadata.expect("the workspace can be read")
}

/// The scripts of the benchmarks share modules, and nobody starts all of them each time that one changes.
#[test]
fn every_script_of_the_benchmarks_finds_what_it_imports() {
    let scripts =
        files(&[".py"]).into_iter().filter(|file| file.starts_with(root().join("benches")));
    let mut broken = Vec::new();
    for script in scripts {
        let name = script.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let read = Command::new("python3")
            .args(["-B", "-c", &format!("import {name}")])
            .current_dir(root().join("benches"))
            .output()
            .expect("python3 is there");
        if !read.status.success() {
            broken.push(format!("{name}: {}", String::from_utf8_lossy(&read.stderr)));
        }
    }
    expect_none("scripts that cannot be read", &broken);
}

/// A floor may use what is below it and these libraries. To add one is a decision, made here.
#[test]
fn each_floor_uses_what_it_may_and_no_more() {
    let floors: BTreeMap<&str, &[&str]> = BTreeMap::from([
        (
            "lychgate-oidc",
            &[
                "aws-lc-rs",
                "base64",
                "http",
                "jsonwebtoken",
                "percent-encoding",
                "serde",
                "serde_json",
                "sha2",
                "subtle",
                "thiserror",
                "url",
                "zeroize",
            ][..],
        ),
        (
            "lychgate-gateway",
            &[
                "aes",
                "aes-gcm",
                "ahash",
                "base64",
                "cookie",
                "http",
                "ipnet",
                "lychgate-oidc",
                "memchr",
                "postcard",
                "serde",
                "serde_json",
                "sha2",
                "subtle",
                "thiserror",
                "url",
                "zeroize",
            ],
        ),
        (
            "lychgate-config",
            &[
                "annotate-snippets",
                "base64",
                "http",
                "ipnet",
                "lychgate-gateway",
                "lychgate-oidc",
                "serde_json",
                "sha2",
                "strsim",
                "toml",
                "url",
            ],
        ),
        (
            "lychgate-demo",
            &[
                "aws-lc-rs",
                "axum",
                "base64",
                "futures-util",
                "serde",
                "serde_json",
                "thiserror",
                "tokio",
                "url",
            ],
        ),
        (
            "lychgate-server",
            &[
                "ahash",
                "arc-swap",
                "async-trait",
                "aws-lc-rs",
                "base64",
                "bytes",
                "clap",
                "getrandom",
                "http",
                "http-body-util",
                "hyper",
                "hyper-util",
                "lychgate-config",
                "lychgate-demo",
                "lychgate-gateway",
                "lychgate-oidc",
                "memchr",
                "minijinja",
                "moka",
                "percent-encoding",
                "pingora-core",
                "pingora-error",
                "pingora-http",
                "pingora-proxy",
                "pingora-timeout",
                "reqwest",
                "rustix",
                "rustls",
                "rustls-pki-types",
                "serde",
                "serde_json",
                "sha2",
                "thiserror",
                "tikv-jemallocator",
                "tokio",
                "tokio-rustls",
                "toml",
                "tracing",
                "tracing-subscriber",
                "url",
            ],
        ),
    ]);
    let metadata = workspace();
    let mut wrong = Vec::new();
    for package in &metadata.packages {
        let Some(permitted) = floors.get(package.name.as_str()) else { continue };
        let used: BTreeSet<_> = package
            .dependencies
            .iter()
            .filter(|dependency| dependency.kind == DependencyKind::Normal)
            .map(|dependency| dependency.name.as_str())
            .collect();
        wrong.extend(
            used.iter()
                .filter(|name| !permitted.contains(name))
                .map(|name| format!("{} uses {name}", package.name)),
        );
        wrong.extend(
            permitted
                .iter()
                .filter(|name| !used.contains(*name))
                .map(|name| format!("{} no longer uses {name}", package.name)),
        );
    }
    let names: BTreeSet<_> =
        metadata.packages.iter().map(|package| package.name.as_str()).collect();
    assert!(floors.keys().all(|floor| names.contains(floor)), "{names:?}");
    expect_none("the list of permitted libraries and the floors differ", &wrong);
}

/// With a second one, `cargo run` at the root would ask which is meant.
#[test]
fn cargo_run_means_the_gateway() {
    let metadata = workspace();
    let meant: Vec<_> =
        metadata.packages.iter().filter_map(|package| package.default_run.as_deref()).collect();
    assert_eq!(meant, ["lychgate"]);
}

#[test]
fn every_module_says_what_it_is_for() {
    let silent = files(&[".rs"]).into_iter().filter(|file| {
        let text = fs::read_to_string(file).unwrap_or_default();
        !text
            .lines()
            .find(|line| !line.starts_with("#!"))
            .is_some_and(|line| line.starts_with("//!"))
    });
    let silent: Vec<_> = silent.map(|file| shown(&file)).collect();
    expect_none("these files do not begin with `//!`", &silent);
}

#[test]
fn no_file_is_longer_than_anybody_reads() {
    let long = files(&[".rs"]).into_iter().filter_map(|file| {
        let lines = fs::read_to_string(&file).unwrap_or_default().lines().count();
        (lines > LINES_MAX).then(|| format!("{} has {lines} lines", shown(&file)))
    });
    expect_none(&format!("more than {LINES_MAX} lines"), &long.collect::<Vec<_>>());
}

/// Put together here so that this file does not hold what it looks for.
#[test]
fn no_test_is_left_out_and_no_lint_is_silenced_without_a_reason() {
    let forbidden = [
        ["#[", "ignore"].concat(),
        ["#[", "allow("].concat(),
        ["#![", "allow("].concat(),
        ["todo", "!("].concat(),
    ];
    let mut found = Vec::new();
    for file in files(&[".rs"]) {
        let text = fs::read_to_string(&file).unwrap_or_default();
        for (number, line) in text.lines().enumerate() {
            let code = line.trim_start();
            if forbidden.iter().any(|word| code.starts_with(word.as_str())) {
                found.push(format!("{}:{}: {code}", shown(&file), number + 1));
            }
        }
    }
    expect_none("these have no place here", &found);
}

/// The tree builds anywhere, so it names no place of the machine on which it was written.
#[test]
fn no_file_names_a_place_of_one_machine() {
    let places = [
        ["/ro", "ot/"].concat(),
        ["/ho", "me/"].concat(),
        ["/wo", "rk/"].concat(),
        ["/Use", "rs/"].concat(),
    ];
    let mut found = Vec::new();
    for file in
        files(&[".rs", ".toml", ".md", ".yml", ".yaml", ".sh", ".mjs", ".py", ".html", ".service"])
    {
        let text = fs::read_to_string(&file).unwrap_or_default();
        for (number, line) in text.lines().enumerate() {
            if places.iter().any(|place| names_place(line, place)) {
                found.push(format!("{}:{}: {}", shown(&file), number + 1, line.trim()));
            }
        }
    }
    expect_none("these lines name a place of one machine", &found);
}

/// Whether a path in `line` begins with `place`. In the middle of a path it is anybody's.
fn names_place(line: &str, place: &str) -> bool {
    line.match_indices(place).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        before.is_none_or(|before| !before.is_alphanumeric() && !"/.-_}~".contains(before))
    })
}

#[test]
fn every_link_in_the_documents_leads_somewhere() {
    let mut broken = Vec::new();
    for file in files(&[".md"]) {
        let text = fs::read_to_string(&file).unwrap_or_default();
        for link in links(&text) {
            let place = link.split(['#', '?']).next().unwrap_or_default();
            if place.is_empty() || place.contains("://") || place.starts_with("mailto:") {
                continue;
            }
            let directory = file.parent().expect("a file is in a directory");
            if !directory.join(place).exists() {
                broken.push(format!("{}: {link}", shown(&file)));
            }
        }
    }
    expect_none("these links lead nowhere", &broken);
}

/// The targets of `[text](target)`.
fn links(text: &str) -> impl Iterator<Item = &str> {
    text.split("](")
        .skip(1)
        .filter_map(|rest| rest.split(')').next())
        .map(|link| link.split(' ').next().unwrap_or(link))
}

/// The map and the land are the same.
#[test]
fn every_place_in_the_architecture_exists() {
    let text = fs::read_to_string(root().join("docs/architecture.md")).expect("there is a map");
    let mut missing = Vec::new();
    // Between backticks: `gateway/seal` is a module, `crates/oidc` a directory, `docs/threats.md` a file.
    let is_place = |name: &&str| name.contains('/') && !name.contains(' ') && !name.contains("://");
    for name in text.split('`').skip(1).step_by(2).filter(is_place) {
        let module =
            name.split_once('/').map(|(floor, module)| format!("crates/{floor}/src/{module}"));
        let module = module.unwrap_or_default();
        let candidates =
            [name.to_owned(), format!("{module}.rs"), format!("{module}/mod.rs"), module];
        if !candidates.iter().any(|candidate| root().join(candidate).exists()) {
            missing.push(name.to_owned());
        }
    }
    expect_none("the architecture names these", &missing);
}

/// A threat is met when a test says so, and the test is there under the name that the document gives it.
#[test]
fn every_test_that_the_threats_name_exists() {
    let document = fs::read_to_string(root().join("docs/threats.md")).expect("the threats");
    let code: String = files(&[".rs"])
        .iter()
        .map(|file| fs::read_to_string(file).expect("a source file"))
        .collect();
    let attacks = document.split("## Attacks").nth(1).and_then(|rest| rest.split("\n## ").next());
    let rows = attacks.expect("a table").lines().filter_map(|line| line.split(" | ").nth(3));
    let named: Vec<&str> = rows.flat_map(|shown| shown.split('`').skip(1).step_by(2)).collect();
    assert!(named.len() > 40, "the table names its tests: {}", named.len());
    let missing: Vec<_> = named
        .into_iter()
        .filter(|name| !code.contains(&format!("fn {name}(")))
        .map(str::to_owned)
        .collect();
    expect_none("tests that docs/threats.md names and nobody wrote", &missing);
}

/// What an operator copies works, and says itself what `lychgate check` warns of.
#[test]
fn every_example_configuration_is_right() {
    struct Nothing;
    impl lychgate_config::Environment for Nothing {
        fn variable(&self, _: &str) -> Option<String> {
            None
        }
    }
    let examples: Vec<_> = files(&[".toml"])
        .into_iter()
        .filter(|file| file.starts_with(root().join("deploy")))
        .collect();
    assert!(examples.len() >= 3);
    for example in examples {
        let source = lychgate_config::Source::Path(example.clone());
        let checked = lychgate_config::check(&[source], &Nothing);
        let checked = checked.unwrap_or_else(|report| panic!("{}: {report}", shown(&example)));
        let text = fs::read_to_string(&example).expect("an example");
        let warnings = checked.warnings.to_string();
        for warning in warnings.split("warning[").skip(1) {
            let code = warning.split(']').next().unwrap_or_default();
            assert!(text.contains(&format!("({code})")), "{}: {warnings}", shown(&example));
        }
    }
}
