//! A signed token in compact form, taken apart strictly and not yet believed.
//!
//! Exactly one spelling of a token is read: three parts, base64url without padding, whitespace or
//! stray bits, a header without repeated members. Keys that a header brings along (`jwk`, `jku`,
//! `x5c`, `x5u`) are not even looked at.
//!
//! Sources: RFC 7515 §3.1, §4.1, §5.2, §7.1; RFC 8725 §3.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use crate::json::{self, MalformedJson, Object};

/// How long a token may be.
const TOKEN_BYTES_MAX: usize = 64 * 1024;
/// How long the name of a key may be.
const KEY_ID_BYTES_MAX: usize = 256;

/// A token's parts. Nothing in it has been verified.
pub(crate) struct CompactJws<'a> {
    pub(crate) header: Header,
    pub(crate) payload: Vec<u8>,
    /// What was signed: the first two parts and the dot between them.
    pub(crate) signing_input: &'a str,
    /// The third part, in canonical base64url.
    pub(crate) signature: &'a str,
}

/// What a token says about its own making.
pub(crate) struct Header {
    pub(crate) algorithm: String,
    pub(crate) key_id: Option<String>,
    pub(crate) kind: Option<String>,
}

impl<'a> CompactJws<'a> {
    pub(crate) fn read(token: &'a str) -> Result<Self, JwsError> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(JwsError::TooLarge);
        }
        // At most six parts are cut, however many dots there are.
        let mut parts = token.splitn(6, '.');
        let (header, payload, signature) =
            match (parts.next(), parts.next(), parts.next(), parts.next(), parts.count()) {
                (Some(header), Some(payload), Some(signature), None, 0) => {
                    (header, payload, signature)
                }
                (_, _, _, Some(_), 1) => return Err(JwsError::Encrypted),
                _ => return Err(JwsError::NotThreeParts),
            };
        decode(signature)?;
        let header = Header::read(&decode(header)?)?;
        let payload = decode(payload)?;
        let signing_input = token
            .rsplit_once('.')
            .map(|(signing_input, _)| signing_input)
            .ok_or(JwsError::NotThreeParts)?;
        Ok(Self { header, payload, signing_input, signature })
    }
}

impl Header {
    fn read(bytes: &[u8]) -> Result<Self, JwsError> {
        let members = json::object(bytes).map_err(JwsError::Header)?;
        // Nothing that may be critical is understood here, and what is not understood must not
        // be accepted (RFC 7515 §4.1.11).
        if members.contains_key("crit") {
            return Err(JwsError::Critical);
        }
        let key_id = text(&members, "kid")?;
        if let Some(key_id) = &key_id
            && (key_id.len() > KEY_ID_BYTES_MAX || key_id.chars().any(char::is_control))
        {
            return Err(JwsError::HeaderMember { member: "kid" });
        }
        Ok(Self {
            algorithm: text(&members, "alg")?.ok_or(JwsError::HeaderMember { member: "alg" })?,
            key_id,
            kind: text(&members, "typ")?,
        })
    }
}

fn text(members: &Object, member: &'static str) -> Result<Option<String>, JwsError> {
    match members.get(member) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(JwsError::HeaderMember { member }),
    }
}

fn decode(part: &str) -> Result<Vec<u8>, JwsError> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| JwsError::NotBase64Url)
}

/// Why a token cannot be read as a signed one. Carries nothing of the token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JwsError {
    /// The header names extensions that must be understood, and none is.
    #[error("the header has `crit`, which names extensions that are not supported")]
    Critical,
    /// Five parts: an encrypted token, which was not asked for.
    #[error("the token is encrypted, and no encryption was agreed on")]
    Encrypted,
    /// The header is not a JSON object, or names a member twice.
    #[error("the header cannot be read")]
    Header(#[source] MalformedJson),
    /// A member of the header is missing, of the wrong type or too long.
    #[error("`{member}` in the header is missing or malformed")]
    HeaderMember {
        /// Which member.
        member: &'static str,
    },
    /// A part is not in the one canonical base64url form.
    #[error("a part is not canonical base64url")]
    NotBase64Url,
    /// There are not three parts.
    #[error("the token does not have three parts")]
    NotThreeParts,
    /// The token is longer than 64 KiB.
    #[error("the token is longer than {TOKEN_BYTES_MAX} bytes")]
    TooLarge,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `{"alg":"RS256"}`
    const HEADER: &str = "eyJhbGciOiJSUzI1NiJ9";

    fn error(token: &str) -> Option<JwsError> {
        CompactJws::read(token).err()
    }

    #[test]
    fn three_canonical_parts_are_read() {
        let token = format!("{HEADER}.e30.AQ");

        let jws = CompactJws::read(&token).unwrap_or_else(|error| panic!("{error}"));

        assert_eq!(jws.header.algorithm, "RS256");
        assert_eq!(jws.payload, b"{}");
        assert_eq!(jws.signing_input, format!("{HEADER}.e30"));
        assert_eq!(jws.signature, "AQ");
    }

    /// `G10`, `G16`
    #[test]
    fn any_other_form_is_refused() {
        for (token, expected) in [
            (String::new(), JwsError::NotThreeParts),
            (format!("{HEADER}.e30"), JwsError::NotThreeParts),
            (format!("{HEADER}.e30.AQ.AQ"), JwsError::NotThreeParts),
            (format!("{HEADER}.e30.AQ.AQ.AQ"), JwsError::Encrypted),
            (format!("{HEADER}.e30.AQ.AQ.AQ.AQ"), JwsError::NotThreeParts),
            (format!("{HEADER}.e30.AQ{}", ".".repeat(10_000)), JwsError::NotThreeParts),
            (format!("{HEADER}.e30.{}", "A".repeat(TOKEN_BYTES_MAX)), JwsError::TooLarge),
            (format!("Bearer {HEADER}.e30.AQ"), JwsError::NotBase64Url),
            (format!("{HEADER}.e30.AQ=="), JwsError::NotBase64Url),
            (format!("{HEADER}.e30.AR"), JwsError::NotBase64Url),
            (format!("{HEADER}.e31.AQ"), JwsError::NotBase64Url),
            (format!("{HEADER}.e30.-_+/"), JwsError::NotBase64Url),
            (format!("{HEADER}.e30.AQ\n"), JwsError::NotBase64Url),
            (format!(" {HEADER}.e30.AQ"), JwsError::NotBase64Url),
        ] {
            assert_eq!(error(&token), Some(expected), "{:.80}", token);
        }
    }

    #[test]
    fn a_header_that_is_not_plain_is_refused() {
        let alg_missing = JwsError::HeaderMember { member: "alg" };
        let bad_kid = JwsError::HeaderMember { member: "kid" };
        let long_kid = format!(r#"{{"alg":"RS256","kid":"{}"}}"#, "k".repeat(50_000 / 2));
        for (header, expected) in [
            (r#"{}"#, alg_missing),
            (r#"{"alg":null}"#, alg_missing),
            (r#"{"alg":["RS256"]}"#, alg_missing),
            (r#"{"alg":"RS256","kid":7}"#, bad_kid),
            (r#"{"alg":"RS256","kid":"a\u0000b"}"#, bad_kid),
            (&long_kid, bad_kid),
            (r#"{"alg":"RS256","typ":1}"#, JwsError::HeaderMember { member: "typ" }),
            (r#"{"alg":"RS256","crit":["exp"]}"#, JwsError::Critical),
            (r#"{"alg":"RS256","crit":[]}"#, JwsError::Critical),
            (r#"{"alg":"RS256","alg":"none"}"#, JwsError::Header(MalformedJson::RepeatedMember)),
            (r#"["RS256"]"#, JwsError::Header(MalformedJson::NotAnObject)),
        ] {
            let token = format!("{}.e30.AQ", URL_SAFE_NO_PAD.encode(header));
            assert_eq!(error(&token), Some(expected), "{header:.80}");
        }
    }
}
