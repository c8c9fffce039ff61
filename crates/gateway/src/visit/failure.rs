//! Sign-ins that end without a session: what the visitor may know of the cause, and what the log must.

use std::error::Error;
use std::time::Duration;

use lychgate_oidc::{
    CallbackError, ExchangeError, IdTokenError, JwsError, KnownError, LoginError, ProviderRefusal,
};

use super::refresh::ends_the_session;
use crate::outcome::Words;
use crate::reason::Reason;

/// A sign-in that ended without a session: what the visitor may know, and what the log must.
pub(super) struct Failure {
    pub(super) reason: Reason,
    pub(super) words: Words,
    pub(super) cause: String,
    /// Whether it says that a person who is signed in may not go on.
    pub(super) ends_the_session: bool,
    /// When it may work, where somebody knows.
    pub(super) retry_after: Option<Duration>,
}

impl Failure {
    pub(super) fn new(reason: Reason, cause: impl Into<String>) -> Self {
        let cause = cause.into();
        let words = Words::default();
        Self { reason, words, cause, ends_the_session: false, retry_after: None }
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
        Self { reason, words, cause, ends_the_session: false, retry_after: None }
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
        let reason = match &error {
            LoginError::ParameterMalformed { .. } | LoginError::ParameterMissing { .. } => {
                Reason::LoginMalformed
            }
            LoginError::PushClientRefused(_) => Reason::ProviderRefused,
            LoginError::PushRefused(refusal) => refused(refusal),
            LoginError::ClientAuth(_)
            | LoginError::PushAnswer(_)
            | LoginError::PushBusy { .. }
            | LoginError::PushMalformed { .. }
            | LoginError::Signing(_) => Reason::ProviderUnavailable,
        };
        // The texts that these endpoints give are for developers, and for the log.
        let words = match &error {
            LoginError::PushClientRefused(refusal) | LoginError::PushRefused(refusal) => Words {
                provider_code: refusal.error.known().map(|error| error.as_str().to_owned()),
                ..Words::default()
            },
            LoginError::ClientAuth(_)
            | LoginError::ParameterMalformed { .. }
            | LoginError::ParameterMissing { .. }
            | LoginError::PushAnswer(_)
            | LoginError::PushBusy { .. }
            | LoginError::PushMalformed { .. }
            | LoginError::Signing(_) => Words::default(),
        };
        let retry_after = match &error {
            LoginError::PushBusy { retry_after } => *retry_after,
            LoginError::ClientAuth(_)
            | LoginError::ParameterMalformed { .. }
            | LoginError::ParameterMissing { .. }
            | LoginError::PushAnswer(_)
            | LoginError::PushClientRefused(_)
            | LoginError::PushMalformed { .. }
            | LoginError::PushRefused(_)
            | LoginError::Signing(_) => None,
        };
        Self { retry_after, words, ..Self::new(reason, chain(&error)) }
    }
}

impl From<ExchangeError> for Failure {
    fn from(error: ExchangeError) -> Self {
        let reason = match &error {
            ExchangeError::IdToken(error) => distrusted(error),
            ExchangeError::OtherPerson => Reason::TokenInvalid,
            ExchangeError::UserinfoSigned | ExchangeError::UserinfoSubject => {
                Reason::UserinfoInvalid
            }
            ExchangeError::TokenClientRefused(_) => Reason::ProviderRefused,
            ExchangeError::TokenGrantRefused(_) => Reason::LoginExpired,
            ExchangeError::ClientAuth(_)
            | ExchangeError::Json { .. }
            | ExchangeError::MemberMalformed { .. }
            | ExchangeError::MemberMissing { .. }
            | ExchangeError::NotDeclaredJson { .. }
            | ExchangeError::Redirected { .. }
            | ExchangeError::Status { .. }
            | ExchangeError::TokenRefused(_)
            | ExchangeError::TokenType
            | ExchangeError::TooLarge { .. } => Reason::TokenExchangeFailed,
        };
        let ends_the_session = ends_the_session(&error);
        Self { ends_the_session, ..Self::new(reason, chain(&error)) }
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
pub(super) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
