//! Each fault is met by tests that exist and say which fault they are about, or does not apply and says why.

use std::collections::BTreeSet;
use std::fs;

use super::{expect_none, files, root, shown};

/// How many rows each table has.
const FAULTS: [(char, usize); 2] = [('K', 8), ('R', 45)];

#[test]
fn every_fault_is_met_by_tests_that_say_so() {
    let page = fs::read_to_string(root().join("docs/reference/reliability.md"));
    let page = page.expect("the faults");
    let tests = tests();
    let (mut wrong, mut listed) = (Vec::new(), BTreeSet::new());
    for row in page.lines().filter_map(|line| line.strip_prefix("| ")) {
        let cells: Vec<&str> = row.split(" | ").collect();
        let [id, words, shown] = cells.as_slice() else { continue };
        let named: Vec<&str> = shown.split('`').skip(1).step_by(2).collect();
        let is_fault = id.len() >= 2
            && FAULTS.iter().any(|(letter, _)| id.starts_with(*letter))
            && id[1..].bytes().all(|byte| byte.is_ascii_digit());
        if is_fault && !listed.insert((*id).to_owned()) {
            wrong.push(format!("{id} is listed twice"));
        }
        let applies = !shown.starts_with("— ");
        if (*id != "fault" && *id != "flood" && *id != "edge") && (named.is_empty() && applies) {
            wrong.push(format!("{id} names no test, and no reason: {words}"));
        }
        for name in named.iter().filter(|_| applies) {
            match tests.iter().find(|(known, _)| known == name) {
                None => wrong.push(format!("{id} names `{name}`, which nobody wrote")),
                Some((_, told)) if is_fault && !says(told, id) => {
                    wrong.push(format!("`{name}` does not say that it is about {id}"));
                }
                Some(_) => {}
            }
        }
    }
    for (letter, count) in FAULTS {
        for number in 1..=count {
            let id = format!("{letter}{number}");
            if !listed.contains(&id) {
                wrong.push(format!("{id} is not there"));
            }
        }
    }
    expect_none("the faults and their tests differ", &wrong);
}

/// Every function of every file, and what stands directly above it.
fn tests() -> Vec<(String, String)> {
    let mut found = Vec::new();
    for file in files(&[".rs"]) {
        let text = fs::read_to_string(&file).unwrap_or_else(|_| panic!("{}", shown(&file)));
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        for (at, line) in lines.iter().enumerate() {
            let Some((_, rest)) = line.split_once("fn ") else { continue };
            let Some((name, _)) = rest.split_once('(') else { continue };
            let above = lines[..at].iter().rev();
            let above = above.take_while(|line| line.starts_with("///") || line.starts_with("#["));
            found.push((name.to_owned(), above.copied().collect::<Vec<_>>().join("\n")));
        }
    }
    found
}

/// Whether a text names a fault, and not one of which it is the beginning.
fn says(text: &str, id: &str) -> bool {
    text.split(|character: char| !character.is_ascii_alphanumeric()).any(|word| word == id)
}
