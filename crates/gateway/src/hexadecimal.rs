//! Bytes as hexadecimal digits, in lower case.
//!
//! By hand, because the formatting machinery is slow for what every request and every line of a log has in it.

/// Two digits for each byte.
pub fn digits(bytes: &[u8]) -> String {
    let text: Vec<[u8; 2]> =
        bytes.iter().map(|byte| [digit(byte >> 4), digit(byte & 0xF)]).collect();
    let text = text.into_flattened();
    // Digits are always text.
    String::from_utf8(text).unwrap_or_default()
}

/// Without a branch and without a look at memory, so that a compiler does many at a time.
fn digit(number: u8) -> u8 {
    const BEYOND: u8 = b'a' - b'0' - 10;
    b'0' + number + BEYOND * u8::from(number > 9)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_has_two_digits() {
        assert_eq!(digits(&[0, 9, 0xA0, 0xFF]), "0009a0ff");
        assert_eq!(digits(&[]), "");
    }
}
