//! One client registration: what the operator told us about a provider, and about us at it.
//!
//! Plain data with public fields; the configuration floor checks it and builds it. What the
//! provider says about itself is [`Metadata`].
//!
//! Sources: RFC 6749 §2; RFC 8705 §5; RFC 7518 §3.1, RFC 8037 §3.1 and
//! RFC 9864 §2.2 (names of algorithms).

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::Secret;
use crate::authorization::AuthorizationRequest;
use crate::client_auth::{AssertionRules, ClientAuth};
use crate::dpop::Dpop;
use crate::jwe::{DecryptionKey, Encryption};
use crate::manner::Manner;
use crate::response::AnswerRules;

/// A provider as the operator wrote it down, and our registration with it.
///
/// [`new`](Self::new) fills in what is right for an ordinary OpenID Connect provider; whoever builds
/// one changes what is different.
#[derive(Clone, Debug)]
pub struct Provider {
    /// The operator's own name for it; unique among the configured ones.
    pub name: String,
    /// The issuer identifier, exactly as written: it is compared character by character.
    pub issuer: String,
    /// Who we are at this provider.
    pub client_id: String,
    /// How we prove it.
    pub client_auth: ClientAuth,
    /// What our statements are like, where we sign one to prove it.
    pub assertion: AssertionRules,
    /// When the endpoints are asked that expect a client certificate.
    pub mtls_endpoint_aliases: MtlsEndpointAliases,
    /// Whether access tokens are bound to our client certificate (RFC 8705 §3).
    pub certificate_bound_access_tokens: bool,
    /// The key that access tokens are bound to, if they are (RFC 9449).
    pub dpop: Option<Dpop>,
    /// Whether the token request goes without `redirect_uri`.
    pub token_request_omits_redirect_uri: bool,
    /// What to ask for. `openid` is added when it is not among them and there is to be an ID token.
    pub scopes: Vec<String>,
    /// What the authorization request asks for beyond that, and how it is sent.
    pub authorization: AuthorizationRequest,
    /// What an ID token must be.
    pub id_token: IdTokenRules,
    /// What all its other answers must be.
    pub answers: AnswerRules,
    /// Our private keys, for what is encrypted to us.
    pub decryption_keys: Vec<DecryptionKey>,
    /// When to ask the userinfo endpoint for more claims.
    pub userinfo: Userinfo,
    /// How far the provider's clock may be from ours, either way.
    pub clock_tolerance: Duration,
    /// Whether each request tells the visit that it is for (`x-fapi-interaction-id`), as FAPI recommends.
    pub interaction_ids: bool,
    /// What is peculiar to it beyond the standards.
    pub manner: Manner,
}

/// What an ID token must be.
#[derive(Clone, Debug)]
pub struct IdTokenRules {
    /// Whether there has to be one. Where there need not be, one that comes is not looked at (CB-55).
    pub required: bool,
    /// The algorithms it may be signed with; no other is ever tried.
    pub signed_response_algs: Vec<Algorithm>,
    /// How it has to be encrypted; `None`: it must not be.
    pub encryption: Option<Encryption>,
    /// If given: `acr` has to be there, and one of these, unless there are none.
    pub acr_values: Option<Vec<String>>,
}

impl Default for IdTokenRules {
    fn default() -> Self {
        Self {
            required: true,
            signed_response_algs: Algorithm::DEFAULT.to_vec(),
            encryption: None,
            acr_values: None,
        }
    }
}

impl Provider {
    /// The registration `client_id` at `issuer`: a public client, with every other setting as it is
    /// when the operator says nothing.
    #[must_use]
    pub fn new(
        name: impl Into<String>,
        issuer: impl Into<String>,
        client_id: impl Into<String>,
    ) -> Self {
        Self {
            name: name.into(),
            issuer: issuer.into(),
            client_id: client_id.into(),
            client_auth: ClientAuth::None,
            assertion: AssertionRules::default(),
            mtls_endpoint_aliases: MtlsEndpointAliases::Auto,
            certificate_bound_access_tokens: false,
            dpop: None,
            token_request_omits_redirect_uri: false,
            scopes: vec!["openid".to_owned()],
            authorization: AuthorizationRequest::default(),
            id_token: IdTokenRules::default(),
            answers: AnswerRules::default(),
            decryption_keys: Vec::new(),
            userinfo: Userinfo::Never,
            clock_tolerance: Duration::from_secs(60),
            interaction_ids: false,
            manner: Manner::default(),
        }
    }

    /// The secret that we share with the provider, if we do.
    #[must_use]
    pub const fn client_secret(&self) -> Option<&Secret> {
        match &self.client_auth {
            ClientAuth::Secret { secret, .. } => Some(secret),
            ClientAuth::Assertion
            | ClientAuth::Certificate
            | ClientAuth::Key { .. }
            | ClientAuth::None
            | ClientAuth::SignedSecret { .. } => None,
        }
    }

    /// The type of access token that we asked for, which is also the scheme it is sent with.
    pub(crate) const fn token_type(&self) -> &'static str {
        if self.dpop.is_some() { "DPoP" } else { "Bearer" }
    }

    /// Whether the endpoints are asked that expect a client certificate: when it authenticates us or tokens
    /// are bound to it. A certificate that is shown for transport alone is shown at the ordinary ones (F2-07).
    #[must_use]
    pub fn uses_mtls_aliases(&self) -> bool {
        match self.mtls_endpoint_aliases {
            MtlsEndpointAliases::Always => true,
            MtlsEndpointAliases::Auto => {
                self.client_auth == ClientAuth::Certificate || self.certificate_bound_access_tokens
            }
            MtlsEndpointAliases::Never => false,
        }
    }
}

/// When `mtls_endpoint_aliases` of the metadata are used (RFC 8705 §5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MtlsEndpointAliases {
    /// Where there are any.
    Always,
    /// When a certificate authenticates us, or binds tokens.
    Auto,
    /// Not at all.
    Never,
}

/// When the userinfo endpoint is asked, provided that the provider has one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Userinfo {
    /// At every sign-in.
    Always,
    /// Not at all.
    Never,
    /// When the ID token lacks one of these claims (names, or dotted paths as in
    /// [`VerifiedClaims::value`](crate::VerifiedClaims::value)).
    WhenMissing(Vec<String>),
}

/// A signature algorithm that an ID token may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    RS256,
    /// RSASSA-PSS with SHA-256.
    PS256,
    /// ECDSA on P-256 with SHA-256.
    ES256,
    /// ECDSA on P-384 with SHA-384.
    ES384,
    /// Ed25519. Its newer name `Ed25519` (RFC 9864) is read as the same; Ed448 is not supported.
    EdDSA,
    /// HMAC with SHA-256, keyed with the client secret. For providers that offer nothing better:
    /// whoever knows the secret can then make ID tokens.
    HS256,
}

impl Algorithm {
    /// Every algorithm that is known.
    pub const ALL: [Self; 6] =
        [Self::RS256, Self::PS256, Self::ES256, Self::ES384, Self::EdDSA, Self::HS256];

    /// What is allowed when the operator says nothing: every algorithm with a public key.
    pub const DEFAULT: [Self; 5] =
        [Self::RS256, Self::PS256, Self::ES256, Self::ES384, Self::EdDSA];

    /// The registered name (RFC 7518 §3.1, RFC 8037 §3.1).
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RS256 => "RS256",
            Self::PS256 => "PS256",
            Self::ES256 => "ES256",
            Self::ES384 => "ES384",
            Self::EdDSA => "EdDSA",
            Self::HS256 => "HS256",
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl FromStr for Algorithm {
    type Err = UnknownName;

    /// Names are case-sensitive, as the registry has them; `none` is not among them.
    fn from_str(name: &str) -> Result<Self, UnknownName> {
        if name == "Ed25519" {
            return Ok(Self::EdDSA);
        }
        Self::ALL.into_iter().find(|algorithm| algorithm.as_str() == name).ok_or(UnknownName)
    }
}

/// The name is none that is known here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the name is not known")]
pub struct UnknownName;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back_as_they_are_written() {
        for algorithm in Algorithm::ALL {
            assert_eq!(algorithm.to_string().parse(), Ok(algorithm));
        }
        assert_eq!("Ed25519".parse(), Ok(Algorithm::EdDSA));
    }

    #[test]
    fn an_unknown_algorithm_is_not_read_as_a_known_one() {
        for name in ["none", "None", "nOnE", "", "rs256", "RS256 ", "ES256K", "HS384", "EDDSA"] {
            assert_eq!(name.parse::<Algorithm>(), Err(UnknownName), "{name:?}");
        }
    }

    #[test]
    fn nothing_symmetric_is_allowed_unless_the_operator_says_so() {
        assert!(!Algorithm::DEFAULT.contains(&Algorithm::HS256));
    }
}
