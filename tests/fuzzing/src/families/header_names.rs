//! Names of headers that only we may send, in the spellings that some application reads as theirs (C1).

use lychgate_gateway::headers::PRESETS;

use super::Group;

pub(crate) const ABOUT: &str = "Header names that some application layer reads as one of ours: every one is taken from a client's request.";

const FORWARDING: [&str; 12] = [
    "forwarded",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-proto",
    "x-forwarded-uri",
    "x-original-url",
    "x-rewrite-url",
    "x-real-ip",
    "x-request-id",
    "x-http-method-override",
    "proxy",
];

pub(crate) fn groups() -> Vec<Group> {
    let presets = PRESETS.iter().flat_map(|preset| preset.headers).map(|(name, _)| *name);
    let mut names: Vec<&str> = presets.chain(FORWARDING).collect();
    names.sort_unstable();
    names.dedup();
    let of = |change: fn(&str) -> String| names.iter().map(|name| change(name)).collect();
    vec![
        ("As they are.", of(str::to_owned)),
        ("In capitals, as CGI has them, and as people write them.", of(str::to_ascii_uppercase)),
        ("Every second letter a capital.", of(mixed)),
        (
            "With `_`: WSGI, Rack and PHP make one variable of both (CVE-2025-64484).",
            of(|name| name.replace('-', "_")),
        ),
        (
            "With `.`: PHP does with it what it does with `_` (CVE-2026-88011).",
            of(|name| name.replace('-', ".")),
        ),
        ("With `_` once.", of(|name| name.replacen('-', "_", 1))),
        (
            "With `+`, `~`, `!` and `'`, which are letters of a name to HTTP.",
            of(|name| {
                name.replacen('-', "+", 1)
                    .replacen('-', "~", 1)
                    .replacen('-', "!", 1)
                    .replacen('-', "'", 1)
            }),
        ),
        ("With nothing.", of(|name| name.replace('-', ""))),
        ("With two.", of(|name| name.replace('-', "--"))),
        ("With one at each end.", of(|name| format!("-{name}_"))),
        ("In capitals with `_`.", of(|name| name.to_ascii_uppercase().replace('-', "_"))),
        ("With bytes that no name has.", of(|name| name.replacen('-', "\u{2010}", 1) + "<SP>")),
    ]
}

fn mixed(name: &str) -> String {
    let cased = name.char_indices().map(|(at, character)| {
        if at % 2 == 0 { character.to_ascii_uppercase() } else { character }
    });
    cased.collect()
}
