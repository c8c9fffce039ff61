//! One event is one line, whatever is in it (T-22, N2).

use std::borrow::Cow;
use std::fmt::Write as _;

/// `text` with every character escaped that could end its line, move a terminal's cursor or turn its text
/// around. Escapes have the form `\u000a`, so JSON stays JSON with the same meaning.
///
/// JSON itself escapes only what is below a space. Terminals also act on U+0080 to U+009F, some readers take
/// U+2028 and U+2029 for line ends, and the direction marks make a line show something else than it says.
pub(super) fn one_line(text: &str) -> Cow<'_, str> {
    // Nearly every line is plain ASCII, of which this loop looks at many bytes at a time.
    let plain = text.bytes().fold(true, |plain, byte| plain & matches!(byte, b' '..=b'~'));
    if plain || !text.chars().any(is_disruptive) {
        return Cow::Borrowed(text);
    }
    let mut line = String::with_capacity(text.len() + 32);
    for character in text.chars() {
        if is_disruptive(character) {
            // All of them are in the basic plane, so four digits are enough. Writing to a string cannot fail.
            let _ = write!(line, "\\u{:04x}", u32::from(character));
        } else {
            line.push(character);
        }
    }
    Cow::Owned(line)
}

fn is_disruptive(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ordinary_line_is_not_touched() {
        assert!(matches!(one_line(r#"{"user":"Åsa Ωmega 名"}"#), Cow::Borrowed(_)));
    }

    #[test]
    fn what_disturbs_a_line_is_escaped_and_json_means_the_same() {
        let hostile = "a\u{7f}b\u{9b}31mc\u{2028}d\u{202e}e\u{85}f\r\n\u{1b}[2J\"";
        let json = serde_json::to_string(hostile).unwrap();

        let line = one_line(&json);

        assert!(!line.chars().any(is_disruptive), "{line:?}");
        assert_eq!(serde_json::from_str::<String>(&line).unwrap(), hostile);
    }
}
