//! Each rule about callbacks is proven by tests that exist and bear its number.

use std::collections::BTreeSet;
use std::fs;

use super::{expect_none, files, root};

/// How many rules there are.
const RULES: usize = 66;

#[test]
fn every_callback_rule_is_proven_by_tests_that_exist() {
    let page = fs::read_to_string(root().join("docs/reference/callback-rules.md"));
    let page = page.expect("the rules");
    let code: Vec<String> = files(&[".rs"])
        .iter()
        .map(|file| fs::read_to_string(file).expect("a source file"))
        .collect();
    let mut wrong = Vec::new();
    let mut listed = BTreeSet::new();
    for row in page.lines().filter_map(|line| line.strip_prefix("| CB-")) {
        let cells: Vec<&str> = row.split(" | ").collect();
        let [number, words, tests] = cells.as_slice() else {
            wrong.push(format!("not a row: {row}"));
            continue;
        };
        let number: usize = number.parse().expect("a rule has a number");
        if !listed.insert(number) || words.is_empty() {
            wrong.push(format!("CB-{number:02} is listed twice, or says nothing"));
        }
        let named: Vec<&str> = tests.split('`').skip(1).step_by(2).collect();
        if named.is_empty() {
            wrong.push(format!("CB-{number:02} names no test"));
        }
        let mut borne = false;
        for name in &named {
            let start = format!("fn {name}(");
            match code.iter().find_map(|file| Some((file, file.find(&start)?))) {
                Some((file, at)) => borne |= bears(file, at, number),
                None => wrong.push(format!("CB-{number:02} names `{name}`, which nobody wrote")),
            }
        }
        if !borne {
            wrong.push(format!("no test of CB-{number:02} says in its comments that it is one"));
        }
    }
    let unproven = (1..=RULES).filter(|number| !listed.contains(number));
    wrong.extend(unproven.map(|number| format!("nothing proves CB-{number:02}")));
    wrong.extend(listed.range(RULES + 1..).map(|number| format!("there is no CB-{number}")));
    expect_none("the rules about callbacks and their tests differ", &wrong);
}

/// Whether the test that begins at `at` says, in its comment or inside, that it is about this rule.
fn bears(file: &str, at: usize, number: usize) -> bool {
    // The comment begins after the empty line before it, and the test ends where its first column is closed.
    let start = file[..at].rfind("\n\n").unwrap_or(0);
    let end = file[at..].find("\n}\n").map_or(file.len(), |end| at + end);
    let text = &file[start..end];
    let mut before = None;
    text.split("CB-").skip(1).any(|rest| {
        let id = rest.get(..2).and_then(|digits| digits.parse::<usize>().ok());
        // `CB-12 to CB-17` speaks of all of them.
        let first = before.take().or(id);
        before = id.filter(|_| rest.get(2..).is_some_and(|after| after.trim() == "to"));
        first.zip(id).is_some_and(|(first, last)| (first..=last).contains(&number))
    })
}
