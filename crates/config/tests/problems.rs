//! Each `problems/NAME.toml` beside the exact words that an operator reads about it.
//!
//! A missing `NAME.txt` is written on the first run, which then fails: it has to be read by somebody
//! before it is a specification.

use std::fs;
use std::path::{Path, PathBuf};

use lychgate_config::{Environment, Format, Report, Source, check};

/// The variables that the problems speak of.
struct Variables;

impl Environment for Variables {
    fn variable(&self, name: &str) -> Option<String> {
        match name {
            "DOMAIN" => Some("example.com".to_owned()),
            "LINES" => Some("one\ntwo".to_owned()),
            _ => None,
        }
    }
}

fn problems() -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/problems");
    let mut files: Vec<PathBuf> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
        .collect();
    files.sort();
    files
}

fn report(text: String) -> Report {
    let source = Source::Text { name: "lychgate.toml".to_owned(), text };
    match check(&[source], &Variables) {
        Ok(checked) => checked.warnings,
        Err(report) => report,
    }
}

/// C-01, C-02, C-03, C-05, C-20, C-24, C-43, C-60, C-71, C-73, C-74, C-76, A-DIAG-1, A-DIAG-2.
#[test]
fn every_problem_is_said_in_the_words_that_were_agreed() {
    let mut different = Vec::new();
    for problem in problems() {
        let found = report(fs::read_to_string(&problem).unwrap()).render(Format::Plain);
        let expectation = problem.with_extension("txt");
        match fs::read_to_string(&expectation) {
            Ok(expected) if expected == found => {}
            Ok(_) => different.push(format!("{}\n{found}", problem.display())),
            Err(_) => {
                fs::write(&expectation, &found).unwrap();
                different.push(format!("{} is new; read it", expectation.display()));
            }
        }
    }
    assert!(different.is_empty(), "{}", different.join("\n\n"));
}

/// C-20, C-23: a secret that stands in the file stands nowhere else.
#[test]
fn no_report_shows_a_secret() {
    for problem in problems() {
        let report = report(fs::read_to_string(&problem).unwrap());
        for format in [Format::Coloured, Format::Github, Format::Json, Format::Plain] {
            let text = report.render(format);
            assert!(!text.contains("hunter2"), "{}: {text}", problem.display());
        }
    }
}

/// A-DIAG-3.
#[test]
fn machines_read_the_same_problems() {
    let text = "[admin]\naddress = \"0.0.0.0:9180\"\ntoken = \"a,b:c\"\nx = 1\n";
    let report = report(text.to_owned());

    assert_eq!(
        report.render(Format::Github),
        "::warning file=lychgate.toml,line=3,col=9,title=W0301::`admin.token` is a secret and stands in the \
         configuration%0Akeep it elsewhere%0Awrite { file = \"/run/secrets/…\" }\n\
         ::error file=lychgate.toml,line=4,col=1,title=E0102::unknown key `x` in [admin]%0Athere is no such key\n"
    );
    let json: serde_json::Value = serde_json::from_str(&report.render(Format::Json)).unwrap();
    assert_eq!(json["errors"], 1);
    assert_eq!(json["warnings"], 1);
    assert_eq!(json["problems"][1]["code"], "E0102");
    assert_eq!(json["problems"][1]["line"], 4);
    assert_eq!(json["problems"][1]["column"], 1);
}

/// C-02: whatever is typed, reading it ends, and every place that is named exists.
#[test]
fn no_text_makes_the_reader_fall_over() {
    let example = include_str!("../../../config.example.toml");
    let uncommented: String =
        example.lines().map(|line| line.trim_start_matches('#')).collect::<Vec<_>>().join("\n");
    // A fixed sequence, so that a failure can be looked at again.
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut random = move |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % below.max(1) as u64).unwrap()
    };
    const PIECES: &[&str] = &[
        "\"",
        "[",
        "]",
        "{",
        "}",
        "=",
        "\n",
        "#",
        "${",
        "é",
        "\u{feff}",
        "''",
        "\t",
        "\r",
        "-1",
        "1e9",
        "true",
        "[[",
        "..",
        "1979-05-27",
        "\\",
        "\"\"\"",
        ",",
        "99999999999999999999",
        "inf",
        "\u{0}",
    ];
    for original in [example, uncommented.as_str()] {
        for _ in 0..60 {
            let mut characters: Vec<char> = original.chars().collect();
            for _ in 0..=random(6) {
                let at = random(characters.len());
                let end = (at + random(40)).min(characters.len());
                let piece = PIECES[random(PIECES.len())];
                match random(3) {
                    0 => drop(characters.splice(at..at, piece.chars())),
                    1 => drop(characters.splice(at..end, piece.chars())),
                    _ => {
                        let copy: Vec<char> = characters[at..end].to_vec();
                        let to = random(characters.len());
                        drop(characters.splice(to..to, copy));
                    }
                }
            }
            let report = report(characters.into_iter().collect());
            for format in [Format::Coloured, Format::Github, Format::Json, Format::Plain] {
                assert_eq!(
                    report.render(format).is_empty(),
                    report.is_empty() && format != Format::Json
                );
            }
            assert_eq!(report.errors() + report.warnings(), report.problems().len());
        }
    }
}
