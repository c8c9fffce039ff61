//! The lines of `tests/fixtures/hostile`: one text each, comments behind `# `, and names for bytes that would spoil a
//! line.
//!
//! This file needs nothing but the standard library: tests that cannot depend on this package include it.

/// How bytes are written that would spoil a line.
const NAMED: [(&str, u8); 9] = [
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
