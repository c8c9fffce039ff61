//! Our own certificate: whose key it is for, how long it is good, and its thumbprints.
//!
//! It is not verified here: it is ours, and whoever it is shown to verifies it. What is read is what keeps an
//! operator from showing one that cannot work.
//!
//! Sources: RFC 5280 §4.1; RFC 7515 §4.1.7, §4.1.8 (thumbprints).

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};

use crate::pem::{self, BIT_STRING, INTEGER, PemError, SEQUENCE};
use crate::time::Timestamp;

/// A certificate of ours, the first of its chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    der: Vec<u8>,
    public_key: Vec<u8>,
    expires_at: Timestamp,
}

/// Why a text is not a certificate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// The certificate cannot be read.
    #[error("the certificate is damaged")]
    Damaged,
    /// It is PEM of something else.
    #[error("this is `{0}`, not a certificate")]
    Other(String),
    /// It is not PEM.
    #[error(transparent)]
    Pem(#[from] PemError),
}

impl Certificate {
    /// Reads the first certificate of a PEM file; those after it are the chain.
    ///
    /// # Errors
    /// See [`CertificateError`].
    pub fn from_pem(text: &str) -> Result<Self, CertificateError> {
        let blocks = pem::all(text)?;
        if let Some(other) = blocks.iter().find(|block| block.label != "CERTIFICATE") {
            return Err(CertificateError::Other(other.label.clone()));
        }
        let der = blocks.first().map(|block| block.bytes.to_vec()).unwrap_or_default();
        let (public_key, expires_at) = read(&der).ok_or(CertificateError::Damaged)?;
        Ok(Self { der, public_key, expires_at })
    }

    /// The last moment at which it is good.
    #[must_use]
    pub const fn expires_at(&self) -> Timestamp {
        self.expires_at
    }

    pub(crate) fn public_key(&self) -> &[u8] {
        &self.public_key
    }

    /// `x5t`: SHA-1, which some providers still look certificates up by.
    pub(crate) fn sha1_thumbprint(&self) -> String {
        URL_SAFE_NO_PAD.encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, &self.der))
    }

    /// `x5t#S256`.
    pub(crate) fn sha256_thumbprint(&self) -> String {
        URL_SAFE_NO_PAD.encode(Sha256::digest(&self.der))
    }
}

/// The public key as it stands in it, and the end of its validity.
fn read(der: &[u8]) -> Option<(Vec<u8>, Timestamp)> {
    const VERSION: u8 = 0xa0;
    let (certificate, _) = pem::expect(der, SEQUENCE)?;
    let (mut signed, _) = pem::expect(certificate, SEQUENCE)?;
    if let Some((_, rest)) = pem::expect(signed, VERSION) {
        signed = rest;
    }
    let (_serial, rest) = pem::expect(signed, INTEGER)?;
    let (_algorithm, rest) = pem::expect(rest, SEQUENCE)?;
    let (_issuer, rest) = pem::expect(rest, SEQUENCE)?;
    let (validity, rest) = pem::expect(rest, SEQUENCE)?;
    let (_subject, rest) = pem::expect(rest, SEQUENCE)?;
    let (key, _) = pem::expect(rest, SEQUENCE)?;
    let (_algorithm, rest) = pem::expect(key, SEQUENCE)?;
    let (bits, _) = pem::expect(rest, BIT_STRING)?;
    // The first byte counts unused bits, of which there are none in a key.
    let public_key = bits.strip_prefix(&[0])?;
    let (_, _, rest) = pem::element(validity)?;
    let (tag, end, _) = pem::element(rest)?;
    Some((public_key.to_vec(), moment(tag, std::str::from_utf8(end).ok()?)?))
}

/// `UTCTime` or `GeneralizedTime`, in the one form that certificates use.
fn moment(tag: u8, text: &str) -> Option<Timestamp> {
    const UTC_TIME: u8 = 0x17;
    const GENERALIZED_TIME: u8 = 0x18;
    let digits = text.strip_suffix('Z')?;
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let digits = match (tag, digits.len()) {
        // RFC 5280 §4.1.2.5.1: 50 and above is the last century.
        (UTC_TIME, 12) => format!("{}{digits}", if digits < "50" { "20" } else { "19" }),
        (GENERALIZED_TIME, 14) => digits.to_owned(),
        _ => return None,
    };
    let number = |from: usize, to: usize| digits.get(from..to)?.parse::<i64>().ok();
    let (year, month, day) = (number(0, 4)?, number(4, 6)?, number(6, 8)?);
    let (hour, minute, second) = (number(8, 10)?, number(10, 12)?, number(12, 14)?);
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    Some(Timestamp::of_date(year, month, day, hour * 3600 + minute * 60 + second))
}
