//! The families of hostile text that `tests/fixtures/hostile` is made of.
//!
//! Every published bypass is one of a family: another slash, another spelling of a dot, another scheme. A family is
//! written down here as what it is made of, and its members are in the files, one on each line, so that they can
//! be read, searched and used by tests that know nothing of this package. A test keeps the files and the
//! families equal; `LYCHGATE_WRITE_FIXTURES=1 cargo test -p lychgate-fuzzing --test families` writes the files.
//!
//! A line that begins with `# ` is a comment. Bytes that a line of text cannot hold have [names](NAMED).

mod forwarded;
mod header_names;
mod paths;
mod return_to;

use std::collections::HashSet;

/// How bytes are written that would spoil a line.
pub const NAMED: [(&str, u8); 9] = [
    ("<CR>", b'\r'),
    ("<DEL>", 0x7F),
    ("<ESC>", 0x1B),
    ("<FF>", 0xFF),
    ("<LF>", b'\n'),
    ("<NUL>", 0),
    ("<SP>", b' '),
    ("<TAB>", b'\t'),
    ("<VT>", 0x0B),
];

/// One file of hostile lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// Values of `X-Forwarded-For`.
    Forwarded,
    /// Names of headers that only we may send.
    HeaderNames,
    /// Paths that two programs could read in two ways, or that some rule forgot.
    Paths,
    /// Return targets that must lead home.
    ReturnTo,
}

/// A comment, and the lines that it is about.
pub(crate) type Group = (&'static str, Vec<String>);

impl Family {
    /// Every file.
    pub const ALL: [Self; 4] = [Self::Forwarded, Self::HeaderNames, Self::Paths, Self::ReturnTo];

    /// Its name in `tests/fixtures/hostile`.
    #[must_use]
    pub fn file_name(self) -> &'static str {
        match self {
            Self::Forwarded => "forwarded.txt",
            Self::HeaderNames => "header_names.txt",
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

/// The lines of a file, without its comments, as bytes.
pub fn lines(text: &str) -> impl Iterator<Item = Vec<u8>> {
    text.lines().filter(|line| !line.starts_with("# ")).map(|line| {
        let mut bytes = Vec::with_capacity(line.len());
        let mut rest = line;
        while let Some(character) = rest.chars().next() {
            let named = NAMED.iter().find(|(name, _)| rest.starts_with(name));
            let length = match named {
                Some((name, byte)) => {
                    bytes.push(*byte);
                    name.len()
                }
                None => {
                    bytes.extend_from_slice(character.to_string().as_bytes());
                    character.len_utf8()
                }
            };
            rest = rest.get(length..).unwrap_or_default();
        }
        bytes
    })
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
