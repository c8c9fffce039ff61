//! Every target over its corpus, its hostile lines, and thousands of changes of both.
//!
//! The changes come from a fixed sequence: a run that fails fails again. The fuzzers in `tests/fuzz` go on where
//! this ends; what they find becomes a file of the corpus.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use lychgate_fuzzing::families::Family;
use lychgate_fuzzing::{TARGETS, Target};

/// What every target has at least.
const SEEDS_MIN: usize = 12;
/// How long a changed text may become.
const BYTES_MAX: usize = 8192;

/// Pieces that parsers trip over.
const PIECES: &[&[u8]] = &[
    b"\0",
    b"\r\n",
    b"\n",
    b"\t",
    b" ",
    b"/",
    b"//",
    b"\\",
    b"..",
    b"/./",
    b";",
    b"#",
    b"?",
    b"%",
    b"%2f",
    b"%2E",
    b"%5c",
    b"%00",
    b"%25",
    b"%2541",
    b"%23",
    b"%40",
    b"%c0%af",
    b"@",
    b":",
    b"=",
    b"==",
    b"&",
    b"+",
    b",",
    b"\"",
    b"'",
    b"{",
    b"}",
    b"[",
    b"]",
    b"*",
    b"-",
    b"_",
    b".",
    b"\xff",
    b"\xc3\xa9",
    b"\xe2\x80\xae",
    b"\xef\xbb\xbf",
    b"null",
    b"true",
    b"-1",
    b"0",
    b"1e999",
    b"18446744073709551616",
    b"://",
    b"https://evil.test",
    b"app.test",
    b"code=",
    b"state=",
    b"error=",
    b"iss=",
    b"%73tate=",
    b"__Host-lychgate=",
    b"__host-LYCHGATE-2=",
    b"2.",
    b"; ",
    b"10.0.0.7",
    b"::ffff:",
    b"none",
    b"HS256",
    b"\"sub\":",
    b"\"keys\":",
    b"${",
    b"[[",
    b"\"\"\"",
];

macro_rules! targets {
    ($($name:ident, $changes:literal;)+) => {
        /// Every target that has a test below.
        const REPLAYED: &[&str] = &[$(stringify!($name)),+];

        $(#[test]
        fn $name() {
            replays(stringify!($name), lychgate_fuzzing::$name, $changes);
        })+
    };
}

// How often each is changed is what it takes about a second for, without optimisation.
targets! {
    access_token, 1_500;
    callback, 6_000;
    canonical_path, 30_000;
    configuration, 250;
    cookie_header, 8_000;
    forwarded_headers, 8_000;
    header_names, 1_500;
    id_token, 1_500;
    key_set, 6_000;
    metadata, 8_000;
    return_target, 12_000;
    sealed_value, 1_500;
    token_answer, 3_000;
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Every file of a corpus, in order, and every line of its family.
fn seeds(name: &str) -> Vec<(String, Vec<u8>)> {
    let directory = root().join("tests/fuzz/corpus").join(name);
    let entries = fs::read_dir(&directory).unwrap_or_else(|error| panic!("{name}: {error}"));
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("a file").path()).collect();
    files.sort();
    let mut seeds: Vec<_> = files
        .into_iter()
        .map(|file| (file.display().to_string(), fs::read(&file).expect("a corpus file")))
        .collect();
    assert!(seeds.len() >= SEEDS_MIN, "{name} has {} seeds", seeds.len());
    let family = match name {
        "canonical_path" => Some(Family::Paths),
        "forwarded_headers" => Some(Family::Forwarded),
        "header_names" => Some(Family::HeaderNames),
        "return_target" => Some(Family::ReturnTo),
        _ => None,
    };
    let lines = family.into_iter().flat_map(|family| lychgate_fuzzing::lines(family.committed()));
    seeds.extend(lines.map(|line| (String::from_utf8_lossy(&line).into_owned(), line)));
    seeds
}

fn replays(name: &str, target: Target, changes: usize) {
    let seeds = seeds(name);
    for (from, bytes) in &seeds {
        let guard = Named { name, from, bytes };
        target(bytes);
        drop(guard);
    }
    let mut dice = Dice(0x9E37_79B9_7F4A_7C15);
    for turn in 0..changes {
        let (from, bytes) = &seeds[turn % seeds.len()];
        let (_, other) = &seeds[dice.below(seeds.len())];
        let changed = change(&mut dice, bytes, other);
        let guard = Named { name, from, bytes: &changed };
        target(&changed);
        drop(guard);
    }
}

/// Shows what a target fell over.
struct Named<'a> {
    name: &'a str,
    from: &'a str,
    bytes: &'a [u8],
}

impl Drop for Named<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{} fails with b\"{}\"", self.name, self.bytes.escape_ascii());
            eprintln!("which comes from {}", self.from);
        }
    }
}

struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        let limit = u64::try_from(limit.max(1)).expect("a small number");
        usize::try_from(self.0 % limit).expect("a small number")
    }

    /// A piece of a text: never longer than a few bytes more often than not.
    fn range(&mut self, length: usize) -> std::ops::Range<usize> {
        let start = self.below(length + 1);
        let most = if self.below(4) == 0 { length } else { 8 };
        start..(start + self.below(most + 1)).min(length)
    }
}

/// One to four changes of a text.
fn change(dice: &mut Dice, bytes: &[u8], other: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for _ in 0..=dice.below(4) {
        let range = dice.range(bytes.len());
        match dice.below(6) {
            0 => {
                if let Some(byte) = bytes.get_mut(range.start) {
                    *byte ^= 1 << dice.below(8);
                }
            }
            1 => drop(bytes.drain(range)),
            2 => {
                let copy = bytes[range].to_vec();
                let at = dice.below(bytes.len() + 1);
                drop(bytes.splice(at..at, copy));
            }
            3 => drop(bytes.splice(range, other[dice.range(other.len())].iter().copied())),
            _ => {
                let piece = PIECES[dice.below(PIECES.len())];
                let end = if dice.below(2) == 0 { range.start } else { range.end };
                drop(bytes.splice(range.start..end, piece.iter().copied()));
            }
        }
        bytes.truncate(BYTES_MAX);
    }
    bytes
}

/// A parser that has a target has a test, a fuzzer, and a corpus that somebody thought about.
#[test]
fn every_target_is_replayed_and_fuzzed() {
    let names: Vec<&str> = TARGETS.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, REPLAYED);
    let fuzz = root().join("tests/fuzz");
    let manifest = fs::read_to_string(fuzz.join("Cargo.toml")).expect("the fuzzers' manifest");
    for name in &names {
        let path = format!("fuzz_targets/{name}.rs");
        let fuzzer = fs::read_to_string(fuzz.join(&path)).unwrap_or_default();
        assert!(fuzzer.contains(&format!("lychgate_fuzzing::{name}(bytes)")), "{path}: {fuzzer}");
        assert!(manifest.contains(&format!("path = \"{path}\"")), "{path} is no fuzzer");
    }
    let kept: BTreeSet<String> = fs::read_dir(fuzz.join("corpus"))
        .expect("the corpora")
        .map(|entry| entry.expect("a corpus").file_name().to_string_lossy().into_owned())
        .collect();
    assert!(kept.iter().eq(&names), "{kept:?}");
}
