//! A provider's "no": the error code it gave, and its words about it, made safe to keep.
//!
//! The same shape comes back in a callback's query and in the token endpoint's JSON. The code is
//! for machines; the description is foreign text, and for nobody's eyes unescaped. So is `error_uri`: whether
//! it may be a link is for whoever shows it to decide.
//!
//! Sources: RFC 6749 §4.1.2.1, §5.2; OIDC Core §3.1.2.6; RFC 8707 §2; RFC 9396 §5; RFC 9449 §5, §8.

use std::fmt;

/// How many characters of a description are kept.
const DESCRIPTION_CHARACTERS_MAX: usize = 500;

/// How many characters of an error code that we do not know are kept.
const CODE_CHARACTERS_MAX: usize = 64;

/// The provider refused, and said why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProviderRefusal {
    /// What kind of refusal.
    pub error: RefusalCode,
    /// The provider's own explanation: at most 500 characters, without control and
    /// text-direction characters, not escaped. Foreign text.
    pub description: Option<String>,
    /// Where the provider says more: at most 500 characters, none of those that a description loses. Anything
    /// else is dropped as a whole, since half an address leads elsewhere. Foreign text.
    pub uri: Option<String>,
}

impl ProviderRefusal {
    pub(crate) fn new(code: &str, description: Option<&str>, uri: Option<&str>) -> Self {
        Self {
            error: RefusalCode::read(code),
            description: description
                .map(|text| legible(text, DESCRIPTION_CHARACTERS_MAX))
                .filter(|text| !text.is_empty()),
            uri: uri
                .filter(|uri| !uri.is_empty() && legible(uri, DESCRIPTION_CHARACTERS_MAX) == *uri)
                .map(str::to_owned),
        }
    }
}

impl fmt::Display for ProviderRefusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(formatter)
    }
}

/// An error code, known or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RefusalCode {
    /// A code that some specification defines.
    Known(KnownError),
    /// Any other: at most 64 characters of visible ASCII. Foreign text.
    Other(String),
}

impl RefusalCode {
    fn read(code: &str) -> Self {
        KnownError::ALL.into_iter().find(|known| known.as_str() == code).map_or_else(
            || {
                let visible = code.chars().filter(char::is_ascii_graphic);
                Self::Other(visible.take(CODE_CHARACTERS_MAX).collect())
            },
            Self::Known,
        )
    }

    /// The code as the provider wrote it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Known(known) => known.as_str(),
            Self::Other(code) => code,
        }
    }

    /// Which known code it is, if it is one.
    #[must_use]
    pub const fn known(&self) -> Option<KnownError> {
        match self {
            Self::Known(known) => Some(*known),
            Self::Other(_) => None,
        }
    }
}

impl fmt::Display for RefusalCode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// Declares [`KnownError`] with its names in one table.
macro_rules! known_errors {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)*) => {
        /// An error code that a specification defines.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum KnownError {
            $($(#[$doc])* $variant,)*
        }

        impl KnownError {
            /// Every known code.
            pub const ALL: [Self; [$($name),*].len()] = [$(Self::$variant),*];

            /// The code as it is written on the wire.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }
        }
    };
}

known_errors! {
    /// The person said no, or could not sign in.
    AccessDenied = "access_denied",
    /// The person must choose an account, and `prompt=none` forbids asking.
    AccountSelectionRequired = "account_selection_required",
    /// The person must consent, and `prompt=none` forbids asking.
    ConsentRequired = "consent_required",
    /// The person must do something, and `prompt=none` forbids asking.
    InteractionRequired = "interaction_required",
    /// What was asked to be authorized is not understood.
    InvalidAuthorizationDetails = "invalid_authorization_details",
    /// The provider does not accept who we say we are.
    InvalidClient = "invalid_client",
    /// The code is expired, used, or not ours.
    InvalidGrant = "invalid_grant",
    /// The proof of possession is not accepted.
    InvalidDpopProof = "invalid_dpop_proof",
    /// The provider does not understand the request.
    InvalidRequest = "invalid_request",
    /// The provider does not accept the request object.
    InvalidRequestObject = "invalid_request_object",
    /// The provider does not accept the reference to a request.
    InvalidRequestUri = "invalid_request_uri",
    /// A scope is unknown or not ours to ask for.
    InvalidScope = "invalid_scope",
    /// The resource is unknown or not ours to ask for.
    InvalidTarget = "invalid_target",
    /// The person must sign in, and `prompt=none` forbids asking.
    LoginRequired = "login_required",
    /// The provider takes no registration in a request.
    RegistrationNotSupported = "registration_not_supported",
    /// The provider takes no request objects.
    RequestNotSupported = "request_not_supported",
    /// The provider takes no references to a request.
    RequestUriNotSupported = "request_uri_not_supported",
    /// The provider failed.
    ServerError = "server_error",
    /// The provider asks to be asked less often.
    SlowDown = "slow_down",
    /// The provider is busy or under maintenance.
    TemporarilyUnavailable = "temporarily_unavailable",
    /// Our registration does not allow this.
    UnauthorizedClient = "unauthorized_client",
    /// The provider does not do the authorization code grant.
    UnsupportedGrantType = "unsupported_grant_type",
    /// The provider does not do the code flow.
    UnsupportedResponseType = "unsupported_response_type",
    /// The provider wants a value of its own in the proof of possession.
    UseDpopNonce = "use_dpop_nonce",
}

impl KnownError {
    /// Whether the registration or our configuration is at fault, so that only the operator can
    /// help (`CB-46`).
    #[must_use]
    pub const fn concerns_the_operator(self) -> bool {
        match self {
            Self::InvalidAuthorizationDetails
            | Self::InvalidClient
            | Self::InvalidDpopProof
            | Self::InvalidRequest
            | Self::InvalidRequestObject
            | Self::InvalidRequestUri
            | Self::InvalidScope
            | Self::InvalidTarget
            | Self::RegistrationNotSupported
            | Self::RequestNotSupported
            | Self::RequestUriNotSupported
            | Self::UnauthorizedClient
            | Self::UnsupportedGrantType
            | Self::UnsupportedResponseType
            | Self::UseDpopNonce => true,
            Self::AccessDenied
            | Self::AccountSelectionRequired
            | Self::ConsentRequired
            | Self::InteractionRequired
            | Self::InvalidGrant
            | Self::LoginRequired
            | Self::ServerError
            | Self::SlowDown
            | Self::TemporarilyUnavailable => false,
        }
    }
}

/// At most `characters_max` of `text`, without characters that steer a terminal or turn the
/// direction of the text around them.
pub(crate) fn legible(text: &str, characters_max: usize) -> String {
    text.chars().filter(|character| !steers(*character)).take(characters_max).collect()
}

fn steers(character: char) -> bool {
    character.is_control()
        || matches!(character,
            // Zero-width and direction marks, line and paragraph separators, embeddings,
            // overrides and isolates, the byte order mark, and the invisible tag block.
            '\u{061C}' | '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}'
            | '\u{2060}'..='\u{206F}' | '\u{FEFF}' | '\u{E0000}'..='\u{E007F}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_codes_are_known_and_others_are_cut_to_visible_ascii() {
        for known in KnownError::ALL {
            assert_eq!(RefusalCode::read(known.as_str()), RefusalCode::Known(known));
        }
        let strange = format!("no\u{202E} \n<way>{}", "x".repeat(1000));

        let RefusalCode::Other(kept) = RefusalCode::read(&strange) else { unreachable!() };

        assert!(kept.starts_with("no<way>xxx"));
        assert_eq!(kept.len(), CODE_CHARACTERS_MAX);
    }

    /// `CB-41`
    #[test]
    fn a_description_cannot_steer_what_shows_it() {
        let hostile = "plain\u{1b}[31m\u{202e}txet\r\n\u{2066}é\u{0}";

        let refusal = ProviderRefusal::new("access_denied", Some(hostile), None);

        assert_eq!(refusal.description.as_deref(), Some("plain[31mtxeté"));
    }

    #[test]
    fn a_description_is_cut_by_characters_and_not_inside_one() {
        let refusal = ProviderRefusal::new("access_denied", Some(&"é".repeat(10_000)), None);

        assert_eq!(refusal.description, Some("é".repeat(DESCRIPTION_CHARACTERS_MAX)));
    }
}
