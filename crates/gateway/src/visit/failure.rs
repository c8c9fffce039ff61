//! Sign-ins that end without a session: what the visitor may know of the cause, and what the log must.

use std::error::Error;
use std::time::Duration;

use http::StatusCode;
use lychgate_oidc::{
    CallbackError, ConsentError, ExchangeError, IdTokenError, JwsError, KnownError, LoginError,
    LookupError, ProviderRefusal,
};
use url::Url;

use super::refresh::ends_the_session;
use crate::outcome::Words;
use crate::reason::Reason;
use crate::settings::ErrorRules;

/// A sign-in that ended without a session: what the visitor may know, and what the log must.
pub(super) struct Failure {
    pub(super) reason: Reason,
    pub(super) words: Words,
    pub(super) cause: String,
    /// Whether it says that a person who is signed in may not go on.
    pub(super) ends_the_session: bool,
    /// Which ID token it is that was not believed, if it is one.
    pub(super) refused_id_token: Option<IdTokenOf>,
    /// Whether what it says of the provider may be anybody's words.
    pub(super) unsolicited: bool,
    /// When it may work, where somebody knows.
    pub(super) retry_after: Option<Duration>,
}

/// Where an ID token came from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum IdTokenOf {
    AuthorizationResponse,
    TokenEndpoint,
}

impl Failure {
    pub(super) fn new(reason: Reason, cause: impl Into<String>) -> Self {
        let cause = cause.into();
        let words = Words::default();
        Self {
            reason,
            words,
            cause,
            ends_the_session: false,
            refused_id_token: None,
            unsolicited: false,
            retry_after: None,
        }
    }
}

impl Failure {
    /// This failure, when the provider that has no time for us said for how long.
    pub(super) fn with_patience(self, patience: Option<Duration>) -> Self {
        let is_busy = matches!(self.reason, Reason::ProviderBusy | Reason::ProviderUnavailable);
        Self { retry_after: self.retry_after.or_else(|| patience.filter(|_| is_busy)), ..self }
    }
}

impl From<CallbackError> for Failure {
    fn from(error: CallbackError) -> Self {
        let reason = match &error {
            CallbackError::IssuerDiffers | CallbackError::IssuerMissing => Reason::IssuerMismatch,
            CallbackError::IdTokenMissing
            | CallbackError::IdTokenUnasked
            | CallbackError::MalformedCode
            | CallbackError::NothingGiven
            | CallbackError::Repeated { .. }
            | CallbackError::SignedResponse
            | CallbackError::TooLarge { .. }
            | CallbackError::Unsigned
            | CallbackError::UnsignedBeside => Reason::LoginMalformed,
            CallbackError::Provider(refusal) => refused(refusal),
            CallbackError::Response(error) => distrusted(error),
            CallbackError::OtherProvider
            | CallbackError::StateDiffers
            | CallbackError::StateMissing
            | CallbackError::StateUnknown
            | CallbackError::UnsolicitedRefusal { .. } => Reason::LoginNotOurs,
        };
        let words = match &error {
            CallbackError::Provider(refusal) => Words {
                provider_code: Some(refusal.error.as_str().to_owned()),
                provider_text: refusal.description.clone(),
                ..Words::default()
            },
            CallbackError::UnsolicitedRefusal { error } => Words {
                provider_code: error.map(|error| error.as_str().to_owned()),
                ..Words::default()
            },
            CallbackError::IdTokenMissing
            | CallbackError::IdTokenUnasked
            | CallbackError::IssuerDiffers
            | CallbackError::IssuerMissing
            | CallbackError::MalformedCode
            | CallbackError::NothingGiven
            | CallbackError::OtherProvider
            | CallbackError::Repeated { .. }
            | CallbackError::Response(_)
            | CallbackError::SignedResponse
            | CallbackError::StateDiffers
            | CallbackError::StateMissing
            | CallbackError::StateUnknown
            | CallbackError::TooLarge { .. }
            | CallbackError::Unsigned
            | CallbackError::UnsignedBeside => Words::default(),
        };
        let unsolicited = matches!(error, CallbackError::UnsolicitedRefusal { .. });
        let mut cause =
            format!("{}{}", if unsolicited { "unsolicited_error: " } else { "" }, chain(&error));
        if let CallbackError::Provider(refusal) = &error {
            cause.push_str(&for_the_log(refusal));
        }
        Self { words, unsolicited, ..Self::new(reason, cause) }
    }
}

impl Failure {
    /// The provider's own error code, where it is known to be one.
    pub(super) fn provider_error(&self) -> Option<String> {
        self.words.provider_code.clone().filter(|_| !self.unsolicited)
    }

    /// An error of `provider` that answers a login of this browser, in words that it may say (CB-39 to CB-43).
    pub(super) fn provider(error: CallbackError, rules: &ErrorRules) -> Self {
        let mut words = Words::default();
        if let CallbackError::Provider(refusal) = &error {
            words.provider_link = link(refusal, rules).map(Box::new);
            words.retryable = Some(retryable(refusal, rules));
        }
        let failure = Self::from(error);
        let words = Words {
            provider_code: failure.words.provider_code,
            provider_text: failure.words.provider_text,
            ..words
        };
        Self { words, ..failure }
    }

    /// An error that came without `state`, from a provider that never repeats it, to a browser that has a login
    /// there (CB-13). It is shown as that provider's, and says nothing about the login.
    pub(super) fn without_state(refusal: &ProviderRefusal, rules: &ErrorRules) -> Self {
        let failure = Self::provider(CallbackError::Provider(refusal.clone()), rules);
        let cause = format!("unsolicited_error: {}", failure.cause);
        Self { cause, unsolicited: true, ..failure }
    }
}

/// Where the provider says more, if a browser may be led there: https, a host that the operator listed, its
/// usual port, and nothing that makes an address look like another's (CB-42).
fn link(refusal: &ProviderRefusal, rules: &ErrorRules) -> Option<Url> {
    let text = refusal.uri.as_deref()?;
    // What the URL parser mends, other programs may read differently.
    if !text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\') {
        return None;
    }
    let url = Url::parse(text).ok()?;
    let plain = text.get(..8).is_some_and(|scheme| scheme.eq_ignore_ascii_case("https://"))
        && url.username().is_empty()
        && url.password().is_none()
        && url.port().is_none();
    let host = url.host_str()?;
    (plain && !text.contains('@') && rules.uri_hosts.iter().any(|listed| listed == host))
        .then_some(url)
}

/// Whether trying again can help, by the operator's list or the meaning of the code (CB-43).
fn retryable(refusal: &ProviderRefusal, rules: &ErrorRules) -> bool {
    match &rules.retryable {
        Some(codes) => codes.iter().any(|code| code == refusal.error.as_str()),
        None => matches!(
            refusal.error.known(),
            Some(
                KnownError::AccessDenied
                    | KnownError::AccountSelectionRequired
                    | KnownError::ConsentRequired
                    | KnownError::InteractionRequired
                    | KnownError::InvalidGrant
                    | KnownError::LoginRequired
                    | KnownError::ServerError
                    | KnownError::SlowDown
                    | KnownError::TemporarilyUnavailable
            )
        ),
    }
}

/// The provider's own words, quoted so that they end where they end (CB-52, CB-63). Of an address only the place
/// is kept: what is asked there may be somebody's.
fn for_the_log(refusal: &ProviderRefusal) -> String {
    let description = refusal.description.as_deref().map(without_tokens);
    let description = description.map(|text| format!(" ({text:?})"));
    let place = refusal.uri.as_deref().and_then(|uri| Url::parse(uri).ok()).and_then(|url| {
        let host = url.host_str()?;
        Some(format!(" (see {}://{host}{})", url.scheme(), url.path()))
    });
    [description, place].into_iter().flatten().collect()
}

/// A foreign text without what in it could be a token, a code or a key: long words of letters and digits; and without
/// e-mail addresses, since the operator may not want people named in the audit log. The ids by which providers find a
/// request in their own logs (UUIDs) stay.
fn without_tokens(text: &str) -> String {
    const LONG: usize = 24;
    let is_of_token =
        |character: char| character.is_ascii_alphanumeric() || "-_.~+=@".contains(character);
    let is_id = |word: &str| {
        let parts = word.split('-').map(str::len);
        parts.eq([8, 4, 4, 4, 12]) && !word.contains(|character: char| "_.~+=".contains(character))
    };
    let mut kept = String::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        let end = rest.find(|character| !is_of_token(character)).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        let has_digit = word.contains(|character: char| character.is_ascii_digit());
        let is_token = word.len() >= LONG && has_digit && !is_id(word.trim_end_matches('.'));
        let is_secret = is_token || word.contains('@');
        kept.push_str(if is_secret { "REDACTED" } else { word });
        let next = after.find(is_of_token).unwrap_or(after.len());
        let (between, after) = after.split_at(next);
        kept.push_str(between);
        rest = after;
    }
    kept
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
        Some(_) | None => unwelcome(refusal),
    }
}

/// What only the operator can mend; that the provider does not know us is worth an alarm of its own (CB-65). The
/// second is GitHub's word for it.
fn unwelcome(refusal: &ProviderRefusal) -> Reason {
    match refusal.error.as_str() {
        "invalid_client" | "incorrect_client_credentials" => Reason::ClientRefused,
        _ => Reason::ProviderRefused,
    }
}

impl From<LoginError> for Failure {
    fn from(error: LoginError) -> Self {
        let reason = match &error {
            LoginError::ParameterMalformed { .. } | LoginError::ParameterMissing { .. } => {
                Reason::LoginMalformed
            }
            LoginError::PushClientRefused(refusal) => unwelcome(refusal),
            LoginError::PushRefused(refusal) => refused(refusal),
            LoginError::ClientAuth(_)
            | LoginError::EncryptionKeyMissing
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
            | LoginError::EncryptionKeyMissing
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
            | LoginError::EncryptionKeyMissing
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
            ExchangeError::AnnouncedIdToken(error) | ExchangeError::IdToken(error) => {
                distrusted(error)
            }
            ExchangeError::OtherPerson | ExchangeError::OtherPersonAnnounced => {
                Reason::TokenInvalid
            }
            ExchangeError::UserinfoSigned
            | ExchangeError::UserinfoSubject
            | ExchangeError::UserinfoToken(_)
            | ExchangeError::UserinfoUnsigned => Reason::UserinfoInvalid,
            ExchangeError::Consent(ConsentError::Missing | ConsentError::Wider) => {
                Reason::ConsentMismatch
            }
            ExchangeError::Consent(ConsentError::Status { status }) => match status.as_str() {
                // None of these becomes a consent again.
                "Consumed" | "Expired" | "Rejected" | "Revoked" | "Suspended" => {
                    Reason::ProviderDenied
                }
                _ => Reason::ConsentPending,
            },
            ExchangeError::SubjectMissing => Reason::ClaimMissing,
            ExchangeError::Status { status, .. }
                if matches!(
                    *status,
                    StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS
                ) =>
            {
                Reason::ProviderUnavailable
            }
            ExchangeError::TokenRefused(refusal)
                if matches!(
                    refusal.error.known(),
                    Some(KnownError::SlowDown | KnownError::TemporarilyUnavailable)
                ) =>
            {
                Reason::ProviderUnavailable
            }
            ExchangeError::MembershipRequired { .. } => Reason::MembershipRequired,
            ExchangeError::RateLimited { .. } => Reason::ProviderBusy,
            ExchangeError::Lookup { source: LookupError::TooMuch, .. } => Reason::SessionTooLarge,
            ExchangeError::Lookup { .. } => Reason::LookupFailed,
            ExchangeError::ServiceAccountRefused => Reason::ProviderRefused,
            ExchangeError::TokenClientRefused(refusal) => unwelcome(refusal),
            ExchangeError::TokenGrantRefused(_) => Reason::LoginExpired,
            ExchangeError::ClientAuth(_)
            | ExchangeError::Json { .. }
            | ExchangeError::MemberMalformed { .. }
            | ExchangeError::MemberMissing { .. }
            | ExchangeError::NotDeclaredJson { .. }
            | ExchangeError::Redirected { .. }
            | ExchangeError::StateDiffers
            | ExchangeError::Status { .. }
            | ExchangeError::TokenRefused(_)
            | ExchangeError::TokenType
            | ExchangeError::TooLarge { .. } => Reason::TokenExchangeFailed,
        };
        let ends_the_session = ends_the_session(&error);
        let announced = matches!(error, ExchangeError::AnnouncedIdToken(_));
        let given =
            matches!(error, ExchangeError::IdToken(_) | ExchangeError::OtherPersonAnnounced);
        let refused_id_token = given
            .then_some(IdTokenOf::TokenEndpoint)
            .or_else(|| announced.then_some(IdTokenOf::AuthorizationResponse));
        let mut cause = chain(&error);
        if let ExchangeError::TokenClientRefused(refusal)
        | ExchangeError::TokenGrantRefused(refusal)
        | ExchangeError::TokenRefused(refusal) = &error
        {
            cause.push_str(&for_the_log(refusal));
        }
        let mut failure = Self { ends_the_session, refused_id_token, ..Self::new(reason, cause) };
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
        IdTokenError::AuthenticationContext => Reason::AuthenticationWeak,
        IdTokenError::AccessTokenHash
        | IdTokenError::CodeHash
        | IdTokenError::StateHash
        | IdTokenError::Encryption(_)
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

#[cfg(test)]
mod tests {
    use super::*;

    /// CB-58: who has to wait for others is told so; a consent that is over is no consent; another one is an alarm.
    #[test]
    fn a_consent_that_does_not_count_has_its_own_page() {
        let reason = |error: ConsentError| Failure::from(ExchangeError::Consent(error)).reason;
        let status = |status: &str| ConsentError::Status { status: status.to_owned() };
        for (error, expected) in [
            (status("AwaitingAuthorization"), Reason::ConsentPending),
            (status(""), Reason::ConsentPending),
            (status("Rejected"), Reason::ProviderDenied),
            (status("Revoked"), Reason::ProviderDenied),
            (ConsentError::Wider, Reason::ConsentMismatch),
            (ConsentError::Missing, Reason::ConsentMismatch),
        ] {
            assert_eq!(reason(error.clone()), expected, "{error}");
        }
    }

    /// CB-62: a provider may repeat to us what we sent it.
    #[test]
    fn a_token_in_a_foreign_text_is_not_for_the_log() {
        for (text, expected) in [
            ("Code 0AfJohXl-9hCaRfw27QyMN3vW4lC is used", "Code REDACTED is used"),
            ("token=eyJhbGciOiJub25lIn0.eyJzdWIiOiIxIn0.", "REDACTED"),
            (
                "Trace ID: 9a8b7c6d-0000-4000-8000-1f2e3d4c5b6a.",
                "Trace ID: 9a8b7c6d-0000-4000-8000-1f2e3d4c5b6a.",
            ),
            ("User mira@example.com is not assigned", "User REDACTED is not assigned"),
            ("error_description_with_a_long_word", "error_description_with_a_long_word"),
            ("", ""),
        ] {
            assert_eq!(without_tokens(text), expected);
        }
    }

    /// CB-65: what an operator wants an alarm for can be told from everything else.
    #[test]
    fn a_signed_answer_that_is_refused_is_counted_by_its_cause() {
        let reason = |error| Failure::from(CallbackError::Response(error)).reason;
        for (error, expected) in [
            (IdTokenError::Issuer, Reason::IssuerMismatch),
            (IdTokenError::Audience, Reason::AudienceMismatch),
            (IdTokenError::Signature, Reason::SignatureInvalid),
            (IdTokenError::Algorithm, Reason::SignatureInvalid),
            (IdTokenError::AuthenticationContext, Reason::AuthenticationWeak),
        ] {
            assert_eq!(reason(error.clone()), expected, "{error}");
        }
    }
}
