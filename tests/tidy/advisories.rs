//! Each published weakness is tried by tests that exist, or is about something that does not.

use std::collections::BTreeSet;
use std::fs;

use super::{expect_none, files, root};

/// The rows of each class.
const ROWS: &[(&str, &[usize])] = &[
    ("A", &[1, 2, 3, 4, 5, 6]),
    ("B", &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]),
    ("C", &[1, 2, 3, 4, 5, 6, 7, 8, 9]),
    ("D", &[1, 2, 3, 4, 5, 7, 8, 9]),
    ("E", &[1, 2, 3, 4, 5, 6, 7, 8]),
    ("F", &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16]),
    ("G", &[1, 2, 3, 4, 6, 7, 9, 10, 11, 12, 13, 14, 16, 17, 18, 19, 20]),
    ("H", &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14]),
    ("I", &[1, 4, 5, 6]),
    ("J", &[1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 13, 14, 15]),
    ("K", &[1, 2, 3, 4, 5, 6, 7, 8]),
    ("L", &[1, 2, 3, 5, 6, 7, 8]),
    ("M", &[2, 4, 5, 6, 7]),
    ("N", &[1, 2, 3, 4, 5, 6, 7]),
    ("O-", &[1, 2, 4]),
    ("P", &[1, 3, 4, 5]),
];

/// What a row says that is about nothing that we have.
const ABSENT: &str = "does not exist";

#[test]
fn every_published_weakness_is_tried_by_tests_that_exist() {
    let page = fs::read_to_string(root().join("docs/reference/advisories.md")).expect("the rows");
    let code: String = files(&[".rs"])
        .iter()
        .map(|file| fs::read_to_string(file).expect("a source file"))
        .collect();
    let (mut wrong, mut listed) = (Vec::new(), BTreeSet::new());
    for row in page.lines().filter(|line| line.starts_with("| ")) {
        let cells: Vec<&str> = row.trim_matches(['|', ' ']).split(" | ").collect();
        let [name, words, tests] = cells.as_slice() else { continue };
        if *name == "row" {
            continue;
        }
        if !listed.insert((*name).to_owned()) || words.is_empty() {
            wrong.push(format!("{name} is listed twice, or says nothing"));
        }
        let named: Vec<&str> = tests.split('`').skip(1).step_by(2).collect();
        let absent = tests.starts_with(ABSENT);
        if named.is_empty() && !absent {
            wrong.push(format!("{name} names no test, and does not say why"));
        }
        for test in named.iter().filter(|test| !code.contains(&format!("fn {test}("))) {
            wrong.push(format!("{name} names `{test}`, which nobody wrote"));
        }
    }
    let known: BTreeSet<String> = ROWS
        .iter()
        .flat_map(|(class, numbers)| numbers.iter().map(move |number| format!("{class}{number}")))
        .collect();
    wrong.extend(known.difference(&listed).map(|row| format!("{row} is missing")));
    wrong.extend(listed.difference(&known).map(|row| format!("there is no {row}")));
    expect_none("the published weaknesses and their tests differ", &wrong);
}

/// A story that has a row in its name is found from that row.
#[test]
fn every_story_that_is_named_by_a_row_stands_in_that_row() {
    let page = fs::read_to_string(root().join("docs/reference/advisories.md")).expect("the rows");
    let mut missing = Vec::new();
    for file in files(&[".rs"]).iter().filter(|file| file.starts_with(root().join("tests"))) {
        let code = fs::read_to_string(file).expect("a source file");
        for name in code.split("fn ").skip(1).filter_map(|rest| rest.split('(').next()) {
            let row = name.split('_').next().unwrap_or_default();
            let class = row.trim_end_matches(|digit: char| digit.is_ascii_digit());
            let numbered = class.len() == 1 && row.len() > 1 && name.contains('_');
            if !numbered || !ROWS.iter().any(|(known, _)| known.to_lowercase() == class) {
                continue;
            }
            let row = format!("| {} | ", row.to_uppercase());
            let line = page.lines().find(|line| line.starts_with(&row));
            if !line.is_some_and(|line| line.contains(&format!("`{name}`"))) {
                missing.push(format!("`{name}` is not in its row"));
            }
        }
    }
    expect_none("docs/reference/advisories.md does not name them", &missing);
}
