//! Each rule about callbacks is proven by tests that exist, or is known to be owed.

use std::collections::BTreeSet;
use std::fs;

use super::{expect_none, files, root};

/// How many rules there are.
const RULES: usize = 66;

/// Rules that nothing proves yet. This list only ever gets shorter.
const OWED: [usize; 1] = [66];

#[test]
fn every_callback_rule_is_proven_by_tests_that_exist() {
    let page = fs::read_to_string(root().join("docs/reference/callback-rules.md"));
    let page = page.expect("the rules");
    let code: String = files(&[".rs"])
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
        for name in named.iter().filter(|name| !code.contains(&format!("fn {name}("))) {
            wrong.push(format!("CB-{number:02} names `{name}`, which nobody wrote"));
        }
    }
    for number in 1..=RULES {
        match (listed.contains(&number), OWED.contains(&number)) {
            (false, false) => wrong.push(format!("CB-{number:02} is neither proven nor owed")),
            (true, true) => wrong.push(format!("CB-{number:02} is proven: take it off the list")),
            (true, false) | (false, true) => {}
        }
    }
    wrong.extend(listed.range(RULES + 1..).map(|number| format!("there is no CB-{number}")));
    expect_none("the rules about callbacks and their tests differ", &wrong);
}
