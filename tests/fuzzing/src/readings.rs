//! A path as careless applications read it: the judge of what a gateway forwards.
//!
//! This reader does everything that some application was ever seen to do with a path: decode it again, cut it, turn
//! backslashes round, drop control bytes, climb directories. It shares no code with the gateway and needs nothing but
//! the standard library: tests that cannot depend on this package include it.

use std::collections::BTreeSet;

/// A path as it comes out of everything that some application does with one, up to three times over.
#[must_use]
pub fn readings(path: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::from([path.to_owned()]);
    for _ in 0..3 {
        let more: Vec<String> = found
            .iter()
            .flat_map(|path| {
                let cut = |at: &[char]| path.split(at).next().unwrap_or_default().to_owned();
                let without_controls =
                    path.replace(|character: char| character.is_ascii_control(), "");
                let unspaced = path.split('/').map(without_spaces_around_dots);
                let unspaced = unspaced.collect::<Vec<_>>().join("/");
                [
                    decoded(path),
                    cut(&['?', '#']),
                    cut(&[';']),
                    cut(&['\0']),
                    path.replace('\\', "/"),
                    without_controls,
                    unspaced,
                    climbed(path),
                ]
            })
            .collect();
        found.extend(more);
    }
    found
}

/// Decoded once, whatever comes of it.
#[must_use]
pub fn decoded(path: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = path.as_bytes();
    while let [byte, tail @ ..] = rest {
        let digit = |at: usize| tail.get(at).and_then(|digit| char::from(*digit).to_digit(16));
        match (byte, digit(0).zip(digit(1))) {
            (b'%', Some((high, low))) => {
                bytes.push(u8::try_from(high * 16 + low).expect("two digits"));
                rest = &tail[2..];
            }
            _ => {
                bytes.push(*byte);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn without_spaces_around_dots(segment: &str) -> &str {
    let trimmed = segment.trim();
    if matches!(trimmed, "." | "..") { trimmed } else { segment }
}

/// Without empty and dot segments.
#[must_use]
pub fn climbed(path: &str) -> String {
    let mut kept = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => drop(kept.pop()),
            segment => kept.push(segment),
        }
    }
    format!("/{}", kept.join("/"))
}
