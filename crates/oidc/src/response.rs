//! What the answers of a provider have to be, as the operator agreed on it with them.
//!
//! Each of these is a promise that is held to: what was agreed on is required, and what was not is refused. A
//! provider that "also" answers in another way could be anybody on the way who prefers it.
//!
//! Sources: OAuth 2.0 Multiple Response Types §2.1, §3; OAuth 2.0 Form Post Response Mode; JARM §2; RFC 9207 §2.4;
//! OIDC Core §5.3.2.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::claims::VerifiedClaims;
use crate::jwe::Encryption;
use crate::provider::{Algorithm, UnknownName};

/// What the answers of one registration have to be.
#[derive(Clone, Debug)]
pub struct AnswerRules {
    /// How the authorization response comes back.
    pub mode: ResponseMode,
    /// What it brings.
    pub response_type: ResponseType,
    /// The algorithms that a signed authorization response may be signed with.
    pub authorization_signed_response_algs: Vec<Algorithm>,
    /// How a signed authorization response has to be encrypted, if it has to be.
    pub authorization_encryption: Option<Encryption>,
    /// Whether the authorization response has to say where it comes from.
    pub issuer: IssuerParameter,
    /// The algorithms that userinfo may be signed with; empty: it is plain JSON.
    pub userinfo_signed_response_algs: Vec<Algorithm>,
    /// How userinfo has to be encrypted, if it has to be.
    pub userinfo_encryption: Option<Encryption>,
    /// Who a person is.
    pub subject: SubjectRule,
    /// The states of a consent with which somebody may come in (RFC 9396 with a member `status`); empty: any.
    pub consent_statuses: Vec<String>,
}

impl Default for AnswerRules {
    fn default() -> Self {
        Self {
            mode: ResponseMode::Query,
            response_type: ResponseType::Code,
            authorization_signed_response_algs: Algorithm::DEFAULT.to_vec(),
            authorization_encryption: None,
            issuer: IssuerParameter::ByMetadata,
            userinfo_signed_response_algs: Vec::new(),
            userinfo_encryption: None,
            subject: SubjectRule::default(),
            consent_statuses: Vec::new(),
        }
    }
}

/// How the authorization response comes back: `response_mode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResponseMode {
    /// `form_post`: a page of the provider posts it.
    FormPost,
    /// `form_post.jwt`: the same, signed.
    FormPostJwt,
    /// `jwt`: signed, in the query, since the response type is `code`.
    Jwt,
    /// `query`: in the query. What a provider does unless it is told otherwise.
    Query,
    /// `query.jwt`: in the query, signed.
    QueryJwt,
}

impl ResponseMode {
    /// Every one that is known.
    pub const ALL: [Self; 5] =
        [Self::FormPost, Self::FormPostJwt, Self::Jwt, Self::Query, Self::QueryJwt];

    /// The registered name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::FormPost => "form_post",
            Self::FormPostJwt => "form_post.jwt",
            Self::Jwt => "jwt",
            Self::Query => "query",
            Self::QueryJwt => "query.jwt",
        }
    }

    /// Whether the response is a signed token (JARM).
    #[must_use]
    pub const fn is_signed(self) -> bool {
        matches!(self, Self::FormPostJwt | Self::Jwt | Self::QueryJwt)
    }

    /// Whether the response is posted, from a page of another site.
    #[must_use]
    pub const fn is_posted(self) -> bool {
        matches!(self, Self::FormPost | Self::FormPostJwt)
    }
}

impl FromStr for ResponseMode {
    type Err = UnknownName;

    fn from_str(name: &str) -> Result<Self, UnknownName> {
        Self::ALL.into_iter().find(|known| known.as_str() == name).ok_or(UnknownName)
    }
}

/// What the authorization response brings: `response_type`. No other kinds are spoken: with them an access token would
/// pass through the browser.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResponseType {
    /// `code`.
    Code,
    /// `code id_token`: beside the code an ID token that vouches for the whole answer (OIDC Core §3.3; FAPI 1.0 Part 2
    /// §5.2.2.1).
    CodeIdToken,
}

impl ResponseType {
    /// Every one that is known.
    pub const ALL: [Self; 2] = [Self::Code, Self::CodeIdToken];

    /// The registered name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Code => "code",
            Self::CodeIdToken => "code id_token",
        }
    }
}

/// Whether an authorization response has to say where it comes from (RFC 9207). One that says so is always
/// checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IssuerParameter {
    /// If the provider's metadata promises it.
    ByMetadata,
    /// No, whatever the metadata promises.
    IfPresent,
    /// Yes, whatever the metadata promises.
    Required,
}

/// Who a person is at this provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SubjectRule {
    /// The claim at this path. Without an ID token it is userinfo's.
    Claim(String),
    /// Nobody in particular: the provider says that somebody signed in, and every session is somebody else.
    Pseudonymous,
}

impl SubjectRule {
    /// Whether people are whom the standard's claim names.
    pub(crate) fn is_sub(&self) -> bool {
        matches!(self, Self::Claim(path) if path == "sub")
    }

    /// Whether `claims` have nothing that another claim than the standard's could be read from.
    pub(crate) fn is_unsaid(&self, claims: &VerifiedClaims) -> bool {
        matches!(self, Self::Claim(path) if path != "sub" && claims.value(path).is_none())
    }
}

impl Default for SubjectRule {
    fn default() -> Self {
        Self::Claim("sub".to_owned())
    }
}

/// What a subject rests on. Whoever is told the subject has to be told this as well: a pseudonym is no account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SubjectType {
    /// A claim of a verified ID token.
    Claim,
    /// What the provider said when it was asked with the access token.
    Lookup,
    /// Drawn for this one session.
    Pseudonymous,
}

impl SubjectType {
    /// In one word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Claim => "claim",
            Self::Lookup => "lookup",
            Self::Pseudonymous => "pseudonymous",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back_as_they_are_written() {
        for mode in ResponseMode::ALL {
            assert_eq!(mode.as_str().parse(), Ok(mode));
        }
        for name in ["", "fragment", "fragment.jwt", "JWT", "form-post"] {
            assert_eq!(name.parse::<ResponseMode>(), Err(UnknownName), "{name}");
        }
    }
}
