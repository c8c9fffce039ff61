//! Bytes as hexadecimal digits, in lower case.
//!
//! By hand, because the formatting machinery is slow for what every request and every line of a log has in it.

const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// Two digits for each byte.
pub fn digits(bytes: &[u8]) -> String {
    let mut text = Vec::with_capacity(2 * bytes.len());
    for byte in bytes {
        let digit = |number: u8| DIGITS.get(usize::from(number)).copied().unwrap_or_default();
        text.extend_from_slice(&[digit(byte >> 4), digit(byte & 0xF)]);
    }
    // Digits are always text.
    String::from_utf8(text).unwrap_or_default()
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
