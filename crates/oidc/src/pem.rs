//! PEM, and as much of DER as it takes to find one's way in a key or a certificate.
//!
//! This reads files of the operator, not of strangers; it is strict all the same, and what it does not
//! understand is refused with words.
//!
//! Sources: RFC 7468; X.690 §8; RFC 8017 appendix A.1.2.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

/// One block of a PEM file.
pub(crate) struct Block {
    pub(crate) label: String,
    pub(crate) bytes: Zeroizing<Vec<u8>>,
}

/// Why a text is not PEM. Carries nothing of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PemError {
    /// What stands between the lines is not base64.
    #[error("what stands between `-----BEGIN` and `-----END` is damaged")]
    Damaged,
    /// There is no block in it.
    #[error("this is not PEM: there is no `-----BEGIN …-----` in it")]
    NoBlock,
}

/// The first block of the text that holds more than parameters of a curve, which OpenSSL writes before a key.
pub(crate) fn first(text: &str) -> Result<Block, PemError> {
    let blocks = all(text)?;
    blocks.into_iter().find(|block| block.label != "EC PARAMETERS").ok_or(PemError::NoBlock)
}

/// Every block of the text, at least one. What stands between blocks is a comment.
pub(crate) fn all(text: &str) -> Result<Vec<Block>, PemError> {
    let mut blocks = Vec::new();
    let mut open: Option<(String, Zeroizing<String>)> = None;
    for line in text.lines().map(str::trim) {
        let begins = line.strip_prefix("-----BEGIN ").and_then(|rest| rest.strip_suffix("-----"));
        let ends = line.strip_prefix("-----END ").and_then(|rest| rest.strip_suffix("-----"));
        match (&mut open, begins, ends) {
            (None, Some(label), _) => open = Some((label.to_owned(), Zeroizing::default())),
            (None, None, _) => {}
            (Some((label, content)), None, Some(end)) if label == end => {
                let bytes = STANDARD.decode(content.as_bytes()).map_err(|_| PemError::Damaged)?;
                blocks.push(Block { label: label.clone(), bytes: Zeroizing::new(bytes) });
                open = None;
            }
            (Some((_, content)), None, None) => content.push_str(line),
            (Some(_), Some(_), _) | (Some(_), None, Some(_)) => return Err(PemError::Damaged),
        }
    }
    match (open, blocks.is_empty()) {
        (Some(_), _) => Err(PemError::Damaged),
        (None, true) => Err(PemError::NoBlock),
        (None, false) => Ok(blocks),
    }
}

pub(crate) const INTEGER: u8 = 0x02;
pub(crate) const BIT_STRING: u8 = 0x03;
pub(crate) const OCTET_STRING: u8 = 0x04;
pub(crate) const SEQUENCE: u8 = 0x30;

/// The first element of `der`: its tag, its content, and what comes after it.
pub(crate) fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let [tag, length, rest @ ..] = der else { return None };
    let (length, rest) = if *length < 0x80 {
        (usize::from(*length), rest)
    } else {
        let count = usize::from(*length & 0x7f);
        if count == 0 || count > 4 {
            return None;
        }
        let (digits, rest) = rest.split_at_checked(count)?;
        (digits.iter().fold(0, |length, digit| length << 8 | usize::from(*digit)), rest)
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((*tag, content, rest))
}

/// The content of the first element of `der`, which has to have this tag, and what comes after it.
pub(crate) fn expect(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    element(der).filter(|(found, _, _)| *found == tag).map(|(_, content, rest)| (content, rest))
}

/// How long the modulus of an RSA key in PKCS #8 is, if it is one: for the message that refuses it.
pub(crate) fn rsa_bits(pkcs8: &[u8]) -> Option<usize> {
    const RSA: [u8; 9] = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
    let (key, _) = expect(pkcs8, SEQUENCE)?;
    let (_, rest) = expect(key, INTEGER)?;
    let (algorithm, rest) = expect(rest, SEQUENCE)?;
    let (_, identifier, _) = element(algorithm)?;
    if identifier != RSA {
        return None;
    }
    let (private, _) = expect(rest, OCTET_STRING)?;
    let (private, _) = expect(private, SEQUENCE)?;
    let (_, rest) = expect(private, INTEGER)?;
    let (modulus, _) = expect(rest, INTEGER)?;
    let first = modulus.iter().position(|byte| *byte != 0)?;
    let modulus = modulus.get(first..)?;
    Some(modulus.len() * 8 - modulus.first()?.leading_zeros() as usize)
}
