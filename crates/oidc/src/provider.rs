//! One client registration: what the operator told us about a provider, and about us at it.
//!
//! Plain data with public fields; the configuration floor checks it and builds it. What the
//! provider says about itself is [`Metadata`].
//!
//! Sources: RFC 6749 §2; OIDC Core §9 (client authentication); RFC 7518 §3.1, RFC 8037 §3.1 and
//! RFC 9864 §2.2 (names of algorithms).

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::Secret;
use crate::discovery::Metadata;
use crate::manner::Manner;

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
    /// What to ask for. `openid` is added when it is not among them and there is to be an ID token.
    pub scopes: Vec<String>,
    /// What the authorization request asks for beyond that, and how it is sent.
    pub authorization: AuthorizationRequest,
    /// What an ID token must be.
    pub id_token: IdTokenRules,
    /// When to ask the userinfo endpoint for more claims.
    pub userinfo: Userinfo,
    /// How far the provider's clock may be from ours, either way.
    pub clock_tolerance: Duration,
    /// What is peculiar to it beyond the standards.
    pub manner: Manner,
}

/// The authorization request of one registration.
#[derive(Clone, Debug, Default)]
pub struct AuthorizationRequest {
    /// If given: how many seconds ago the person may have last proven who they are.
    pub max_age: Option<u64>,
    /// Further parameters, the same for every login.
    pub parameters: Vec<(String, String)>,
}

/// What an ID token must be.
#[derive(Clone, Debug)]
pub struct IdTokenRules {
    /// Whether there is to be one. If not, one that comes nevertheless is not looked at (CB-55).
    pub required: bool,
    /// The algorithms it may be signed with; no other is ever tried.
    pub signed_response_algs: Vec<Algorithm>,
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
            scopes: vec!["openid".to_owned()],
            authorization: AuthorizationRequest::default(),
            id_token: IdTokenRules {
                required: true,
                signed_response_algs: Algorithm::DEFAULT.to_vec(),
            },
            userinfo: Userinfo::Never,
            clock_tolerance: Duration::from_secs(60),
            manner: Manner::default(),
        }
    }

    /// The secret that we share with the provider, if we do.
    #[must_use]
    pub const fn client_secret(&self) -> Option<&Secret> {
        match &self.client_auth {
            ClientAuth::Secret { secret, .. } => Some(secret),
            ClientAuth::None => None,
        }
    }
}

/// How a client authenticates at the token endpoint, and wherever else it is asked to (OIDC Core §9).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientAuth {
    /// `none`: a public client, which only names itself.
    None,
    /// A secret that both sides know.
    Secret {
        /// The secret.
        secret: Secret,
        /// How it is sent; `None` leaves the choice to the provider's metadata.
        method: Option<SecretMethod>,
    },
}

/// How a shared secret is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecretMethod {
    /// `client_secret_basic`: in the `Authorization` header.
    Basic,
    /// `client_secret_post`: in the body.
    Post,
}

impl SecretMethod {
    /// The registered name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Basic => "client_secret_basic",
            Self::Post => "client_secret_post",
        }
    }

    /// The method when the operator names none: `client_secret_basic` if `metadata` lists it or lists
    /// nothing (its default by OIDC Discovery §3), else `client_secret_post`.
    #[must_use]
    pub fn by_metadata(metadata: &Metadata) -> Self {
        let listed = &metadata.token_endpoint_auth_methods_supported;
        if listed.is_empty() || listed.iter().any(|name| name == Self::Basic.as_str()) {
            Self::Basic
        } else {
            Self::Post
        }
    }
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
