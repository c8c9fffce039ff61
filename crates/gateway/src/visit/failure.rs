//! Sign-ins that end without a session: what the visitor may know of the cause, and what the log must.

use std::error::Error;
use std::time::Duration;

use lychgate_oidc::{
    CallbackError, ExchangeError, IdTokenError, JwsError, KnownError, LoginError, LookupError,
    ProviderRefusal,
};

use crate::outcome::Words;
use crate::reason::Reason;

/// A sign-in that ended without a session: what the visitor may know, and what the log must.
pub(super) struct Failure {
    pub(super) reason: Reason,
    pub(super) words: Words,
    pub(super) cause: String,
    pub(super) retry_after: Option<Duration>,
}

impl Failure {
    pub(super) fn new(reason: Reason, cause: impl Into<String>) -> Self {
        Self { reason, words: Words::default(), cause: cause.into(), retry_after: None }
    }
}

impl From<CallbackError> for Failure {
    fn from(error: CallbackError) -> Self {
        let reason = match &error {
            CallbackError::IssuerDiffers | CallbackError::IssuerMissing => Reason::IssuerMismatch,
            CallbackError::MalformedCode
            | CallbackError::NothingGiven
            | CallbackError::Repeated { .. }
            | CallbackError::SignedResponse
            | CallbackError::TooLarge { .. } => Reason::LoginMalformed,
            CallbackError::Provider(refusal) => refused(refusal),
            CallbackError::OtherProvider
            | CallbackError::StateDiffers
            | CallbackError::StateMissing
            | CallbackError::StateUnknown
            | CallbackError::UnsolicitedRefusal { .. } => Reason::LoginNotOurs,
        };
        let words = match &error {
            CallbackError::Provider(refusal) => Words {
                provider_code: refusal.error.known().map(|error| error.as_str().to_owned()),
                provider_text: refusal.description.clone(),
                ..Words::default()
            },
            CallbackError::UnsolicitedRefusal { error } => Words {
                provider_code: error.map(|error| error.as_str().to_owned()),
                ..Words::default()
            },
            CallbackError::IssuerDiffers
            | CallbackError::IssuerMissing
            | CallbackError::MalformedCode
            | CallbackError::NothingGiven
            | CallbackError::OtherProvider
            | CallbackError::Repeated { .. }
            | CallbackError::SignedResponse
            | CallbackError::StateDiffers
            | CallbackError::StateMissing
            | CallbackError::StateUnknown
            | CallbackError::TooLarge { .. } => Words::default(),
        };
        let unsolicited = matches!(error, CallbackError::UnsolicitedRefusal { .. });
        let cause =
            format!("{}{}", if unsolicited { "unsolicited_error: " } else { "" }, chain(&error));
        Self { reason, words, cause, retry_after: None }
    }
}

/// What an error of the authorization endpoint means for the visitor (CB-39, CB-40, CB-46).
fn refused(refusal: &ProviderRefusal) -> Reason {
    match refusal.error.known() {
        Some(
            KnownError::AccessDenied
            | KnownError::AccountSelectionRequired
            | KnownError::ConsentRequired
            | KnownError::InteractionRequired
            | KnownError::LoginRequired,
        ) => Reason::ProviderDenied,
        Some(
            KnownError::ServerError | KnownError::SlowDown | KnownError::TemporarilyUnavailable,
        ) => Reason::ProviderUnavailable,
        Some(_) | None => Reason::ProviderRefused,
    }
}

impl From<LoginError> for Failure {
    fn from(error: LoginError) -> Self {
        match error {}
    }
}

impl From<ExchangeError> for Failure {
    fn from(error: ExchangeError) -> Self {
        let reason = match &error {
            ExchangeError::IdToken(error) => distrusted(error),
            ExchangeError::UserinfoSigned | ExchangeError::UserinfoSubject => {
                Reason::UserinfoInvalid
            }
            ExchangeError::MembershipRequired { .. } => Reason::MembershipRequired,
            ExchangeError::RateLimited { .. } => Reason::ProviderBusy,
            ExchangeError::SubjectMissing { .. } => Reason::ClaimMissing,
            ExchangeError::Lookup { source: LookupError::TooMuch, .. } => Reason::SessionTooLarge,
            ExchangeError::Lookup { .. } => Reason::LookupFailed,
            ExchangeError::TokenClientRefused(_) | ExchangeError::ServiceAccountRefused => {
                Reason::ProviderRefused
            }
            ExchangeError::TokenGrantRefused(_) => Reason::LoginExpired,
            ExchangeError::Json { .. }
            | ExchangeError::MemberMalformed { .. }
            | ExchangeError::MemberMissing { .. }
            | ExchangeError::NotDeclaredJson { .. }
            | ExchangeError::Redirected { .. }
            | ExchangeError::Status { .. }
            | ExchangeError::TokenRefused(_)
            | ExchangeError::TokenType
            | ExchangeError::TooLarge { .. } => Reason::TokenExchangeFailed,
        };
        let mut failure = Self::new(reason, chain(&error));
        if let ExchangeError::MembershipRequired { hint, .. } = error {
            failure.words.explain = hint;
        } else if let ExchangeError::RateLimited { retry_after, .. } = error {
            failure.retry_after = retry_after.map(Duration::from_secs);
        }
        failure
    }
}

fn distrusted(error: &IdTokenError) -> Reason {
    match error {
        IdTokenError::Audience
        | IdTokenError::AudienceNotOursAlone
        | IdTokenError::AuthorizedParty => Reason::AudienceMismatch,
        IdTokenError::Expired { .. }
        | IdTokenError::IssuedInTheFuture { .. }
        | IdTokenError::IssuedTooLongAgo { .. }
        | IdTokenError::NotYetValid { .. } => Reason::ClockSkew,
        // Nobody puts this much into a token but about somebody in thousands of groups.
        IdTokenError::Form(JwsError::TooLarge) => Reason::SessionTooLarge,
        IdTokenError::Issuer => Reason::IssuerMismatch,
        IdTokenError::Nonce => Reason::NonceMismatch,
        IdTokenError::Algorithm
        | IdTokenError::NoKeyVerifies
        | IdTokenError::Signature
        | IdTokenError::UnknownKey { .. } => Reason::SignatureInvalid,
        IdTokenError::AccessTokenHash
        | IdTokenError::AuthenticatedTooLongAgo { .. }
        | IdTokenError::ClaimMalformed { .. }
        | IdTokenError::ClaimMissing { .. }
        | IdTokenError::Claims(_)
        | IdTokenError::Form(
            JwsError::Critical
            | JwsError::Encrypted
            | JwsError::Header(_)
            | JwsError::HeaderMember { .. }
            | JwsError::NotBase64Url
            | JwsError::NotThreeParts,
        )
        | IdTokenError::Kind => Reason::TokenInvalid,
    }
}

/// The error and its causes, for one line of a log.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
