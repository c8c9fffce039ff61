//! Why a sign-in ended without a person.

use http::StatusCode;

use super::Endpoint;
use crate::client_auth::ClientAuthError;
use crate::consent::ConsentError;
use crate::id_token::IdTokenError;
use crate::json::MalformedJson;
use crate::lookup::LookupError;
use crate::refusal::ProviderRefusal;

/// Why a sign-in ended without a person. Carries no token, code or body.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExchangeError {
    /// The ID token beside the code is not to be believed. The code was not sent.
    #[error("the ID token of the authorization response is refused")]
    AnnouncedIdToken(#[source] IdTokenError),
    /// A request cannot be made.
    #[error("the provider cannot be asked")]
    ClientAuth(#[from] ClientAuthError),
    /// What was consented to is not what was asked for, or does not count yet.
    #[error("the consent is refused")]
    Consent(#[from] ConsentError),
    /// The ID token is not to be believed.
    #[error("the ID token is refused")]
    IdToken(#[from] IdTokenError),
    /// The answer is not a JSON object, or names a member twice.
    #[error("the answer of the {endpoint} endpoint cannot be read")]
    Json {
        /// Who answered.
        endpoint: Endpoint,
        /// What is wrong with it.
        source: MalformedJson,
    },
    /// The answer to a question beyond the standards cannot be used.
    #[error("the lookup `{name}` failed")]
    Lookup {
        /// Which question.
        name: String,
        /// What is wrong with the answer.
        source: LookupError,
    },
    /// They are who they say, and not one of those who may enter.
    #[error("the person is not among the configured {}", lacking.join(", "))]
    MembershipRequired {
        /// Of which of the operator's lists they have no entry.
        lacking: Vec<String>,
        /// What may be the matter if they are members.
        hint: Option<String>,
    },
    /// The ID token of the token endpoint is about somebody else than the one that came beside the code.
    #[error("the ID token is about another person than that of the authorization response")]
    OtherPersonAnnounced,
    /// A refresh brought somebody else's ID token.
    #[error("the refreshed ID token is about another person")]
    OtherPerson,
    /// A member of the token endpoint's answer is of the wrong type or form.
    #[error("`{member}` in the answer of the token endpoint is malformed")]
    MemberMalformed {
        /// Which member.
        member: &'static str,
    },
    /// A member of the token endpoint's answer is missing.
    #[error("`{member}` is missing in the answer of the token endpoint")]
    MemberMissing {
        /// Which member.
        member: &'static str,
    },
    /// The provider has no time for us: its limit of questions is used up.
    #[error("the provider's limit of questions is used up (lookup `{name}`)")]
    RateLimited {
        /// Which question met the limit.
        name: String,
        /// How many seconds it wants to be left alone, if it says so; at most an hour.
        retry_after: Option<u64>,
    },
    /// The service account gets no token: an administrator has to grant it a scope.
    #[error("the service account is not granted any of the scopes it needs")]
    ServiceAccountRefused,
    /// The answer does not say that it is JSON.
    #[error("the answer of the {endpoint} endpoint is not declared as JSON")]
    NotDeclaredJson {
        /// Who answered.
        endpoint: Endpoint,
    },
    /// The endpoint wants the request sent elsewhere, which would carry a secret there.
    #[error("the {endpoint} endpoint answered with a redirect ({status})")]
    Redirected {
        /// Who answered.
        endpoint: Endpoint,
        /// Which kind of redirect.
        status: StatusCode,
    },
    /// The answer of the token endpoint is that to another login (CB-57).
    #[error("`state` in the answer of the token endpoint is that of another login")]
    StateDiffers,
    /// The endpoint failed, without a refusal that could be read.
    #[error("the {endpoint} endpoint answered {status}")]
    Status {
        /// Who answered.
        endpoint: Endpoint,
        /// What it answered.
        status: StatusCode,
    },
    /// The claim that names the person is not there, or is nothing that could name anybody.
    #[error("the provider does not say who signed in")]
    SubjectMissing,
    /// The provider does not accept our registration or request: the operator must act.
    #[error("the token endpoint refused this client: {0}")]
    TokenClientRefused(ProviderRefusal),
    /// The code is expired, used or not ours: the person may begin again.
    #[error("the token endpoint refused the code: {0}")]
    TokenGrantRefused(ProviderRefusal),
    /// Any other refusal.
    #[error("the token endpoint refused: {0}")]
    TokenRefused(ProviderRefusal),
    /// The access token is not of the type that was asked for: a bearer token where one bound to a key is
    /// demanded, or the other way round.
    #[error("the access token is not of the type that was asked for")]
    TokenType,
    /// The answer is longer than 1 MiB.
    #[error("the answer of the {endpoint} endpoint is too large")]
    TooLarge {
        /// Who answered.
        endpoint: Endpoint,
    },
    /// The userinfo endpoint answers with a token, which was not agreed on.
    #[error("the userinfo endpoint answered with a token, and none was agreed on")]
    UserinfoSigned,
    /// The userinfo endpoint speaks of someone else, or does not say of whom.
    #[error("the userinfo endpoint speaks of another person than the ID token")]
    UserinfoSubject,
    /// The token that the userinfo endpoint answered with is not to be believed.
    #[error("the token of the userinfo endpoint is refused")]
    UserinfoToken(#[source] IdTokenError),
    /// The userinfo endpoint answers in plain JSON, and a token was agreed on.
    #[error(
        "the userinfo endpoint answered without the signature or encryption that was agreed on"
    )]
    UserinfoUnsigned,
}
