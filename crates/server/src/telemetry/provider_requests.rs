//! What providers are asked for and what becomes of it, in the words of the metrics.

use http::StatusCode;

/// What a provider is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ProviderEndpoint {
    /// The metadata document.
    Discovery,
    /// Where it is asked what a token is worth.
    Introspection,
    /// The keys.
    Jwks,
    /// The provider's own API.
    Lookup,
    /// Where authorization requests are pushed to.
    PushedAuthorizationRequest,
    /// Where a grant is given back.
    Revocation,
    /// Where a service account gets its token.
    ServiceAccount,
    /// The token endpoint.
    Token,
    /// Userinfo.
    Userinfo,
}

pub(super) const ENDPOINTS: [(ProviderEndpoint, &str); 9] = [
    (ProviderEndpoint::Discovery, "discovery"),
    (ProviderEndpoint::Introspection, "introspection"),
    (ProviderEndpoint::Jwks, "jwks"),
    (ProviderEndpoint::Lookup, "lookup"),
    (ProviderEndpoint::PushedAuthorizationRequest, "pushed_authorization_request"),
    (ProviderEndpoint::Revocation, "revocation"),
    (ProviderEndpoint::ServiceAccount, "service_account"),
    (ProviderEndpoint::Token, "token"),
    (ProviderEndpoint::Userinfo, "userinfo"),
];

/// What became of a request to a provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FetchOutcome {
    /// Another status.
    Failed,
    /// A status from 400 to 499.
    Refused,
    /// A status from 200 to 299.
    Success,
    /// No whole answer in time.
    Unreachable,
}

pub(super) const FETCH_OUTCOMES: [(FetchOutcome, &str); 4] = [
    (FetchOutcome::Failed, "failed"),
    (FetchOutcome::Refused, "refused"),
    (FetchOutcome::Success, "success"),
    (FetchOutcome::Unreachable, "unreachable"),
];

impl FetchOutcome {
    /// By the answer's status.
    pub(crate) fn of(status: StatusCode) -> Self {
        if status.is_success() {
            Self::Success
        } else if status.is_client_error() {
            Self::Refused
        } else {
            Self::Failed
        }
    }
}
