//! The families of hostile text that `tests/fixtures/hostile` is made of.
//!
//! Every published bypass is one of a family: another slash, another spelling of a dot, another scheme. A family is
//! written down here as what it is made of, and its members are in the files, one on each line, so that they can
//! be read, searched and used by tests that know nothing of this package. A test keeps the files and the
//! families equal; `LYCHGATE_WRITE_FIXTURES=1 cargo test -p lychgate-fuzzing --test families` writes the files.
//!
//! How a line is read is in [`lines`](crate::lines).

mod forwarded;
mod header_names;
mod messages;
mod paths;
mod return_to;

use std::collections::HashSet;

/// One file of hostile lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// Values of `X-Forwarded-For`.
    Forwarded,
    /// Names of headers that only we may send.
    HeaderNames,
    /// Whole messages in HTTP/1.
    Messages,
    /// Paths that two programs could read in two ways, or that some rule forgot.
    Paths,
    /// Return targets that must lead home.
    ReturnTo,
}

/// A comment, and the lines that it is about.
pub(crate) type Group = (&'static str, Vec<String>);

impl Family {
    /// Every file.
    pub const ALL: [Self; 5] =
        [Self::Forwarded, Self::HeaderNames, Self::Messages, Self::Paths, Self::ReturnTo];

    /// Its name in `tests/fixtures/hostile`.
    #[must_use]
    pub fn file_name(self) -> &'static str {
        match self {
            Self::Forwarded => "forwarded.txt",
            Self::HeaderNames => "header_names.txt",
            Self::Messages => "messages.txt",
            Self::Paths => "paths.txt",
            Self::ReturnTo => "return_to.txt",
        }
    }

    /// The file as it is in the tree.
    #[must_use]
    pub fn committed(self) -> &'static str {
        match self {
            Self::Forwarded => include_str!("../../fixtures/hostile/forwarded.txt"),
            Self::HeaderNames => include_str!("../../fixtures/hostile/header_names.txt"),
            Self::Messages => include_str!("../../fixtures/hostile/messages.txt"),
            Self::Paths => include_str!("../../fixtures/hostile/paths.txt"),
            Self::ReturnTo => include_str!("../../fixtures/hostile/return_to.txt"),
        }
    }

    /// The file as the families make it. What several families make is there once.
    #[must_use]
    pub fn generated(self) -> String {
        let (about, groups) = match self {
            Self::Forwarded => (forwarded::ABOUT, forwarded::groups()),
            Self::HeaderNames => (header_names::ABOUT, header_names::groups()),
            Self::Messages => (messages::ABOUT, messages::groups()),
            Self::Paths => (paths::ABOUT, paths::groups()),
            Self::ReturnTo => (return_to::ABOUT, return_to::groups()),
        };
        let mut seen = HashSet::new();
        let mut text = format!(
            "# {about}\n# Made by tests/fuzzing/src/families; <TAB>, <LF>, <SP> and the like are those bytes.\n"
        );
        for (comment, lines) in groups {
            let new: Vec<String> =
                lines.into_iter().filter(|line| seen.insert(line.clone())).collect();
            if new.is_empty() {
                continue;
            }
            text.push_str(&format!("# {comment}\n"));
            for line in new {
                text.push_str(&line);
                text.push('\n');
            }
        }
        text
    }
}

/// Every pattern with every filling in the place of its `*`.
pub(crate) fn fill(patterns: &[&str], fillings: &[&str]) -> Vec<String> {
    let of = |pattern: &&str| {
        let pattern = (*pattern).to_owned();
        fillings.iter().map(move |filling| pattern.replace('*', filling))
    };
    patterns.iter().flat_map(of).collect()
}

pub(crate) fn these(lines: &[&str]) -> Vec<String> {
    lines.iter().map(|line| (*line).to_owned()).collect()
}
