//! What the provider sent the browser back with, and whether it answers us.
//!
//! A [`Callback`] has been read and is not believed. Matching it to the login that this browser
//! began makes a [`MatchedCallback`], and only that can be traded for tokens; so a forged callback
//! never reaches the token endpoint, and a forged error is never shown as the provider's.
//!
//! A response may bring an ID token that vouches for the code (`code id_token`). It is required where that was agreed on,
//! and verified before the code is redeemed: [`MatchedCallback::redeem`] begins with it.
//!
//! A response may come as one signed token. Then nothing of it is read before the token is verified, and plain
//! parameters beside it, or in its place, are refused: who could choose would choose those.
//!
//! Sources: RFC 6749 §4.1.2, §10.12; RFC 9207 (issuer in the response); OIDC Core §3.1.2.5, §3.3.2.5; JARM §2.3, §2.4.

use std::fmt;
use std::sync::Arc;

use serde_json::Value;
use url::form_urlencoded;

use crate::discovery::Metadata;
use crate::exchange::{ExchangeError, Step};
use crate::id_token::{self, IdTokenError};
use crate::json::Object;
use crate::jwks::KeySet;
use crate::login::PendingLogin;
use crate::moment::Moment;
use crate::provider::Provider;
use crate::refusal::{KnownError, ProviderRefusal};
use crate::response::{IssuerParameter, ResponseType};
use crate::secret::{self, Secret};

/// How long a callback's parameters may be, in a query or in a form, without a token among them.
pub const CALLBACK_BYTES_MAX: usize = 16 * 1024;
/// How long a form with a signed response or an ID token may be: an encrypted token of the largest size, and a little more.
pub const SIGNED_CALLBACK_BYTES_MAX: usize = 128 * 1024;
/// How long `state` may be; ours has 43 bytes.
const STATE_BYTES_MAX: usize = 512;
/// How long a code may be. Some providers put whole encrypted tokens into it.
const CODE_BYTES_MAX: usize = 4096;

/// What a browser brought back, taken apart.
#[derive(Debug)]
pub enum AuthorizationResponse {
    /// Parameters as they are.
    Plain(Callback),
    /// One token, whose parameters are not known before it is verified.
    Signed(SignedResponse),
}

impl AuthorizationResponse {
    /// Reads the parameters of a callback: a query without the `?`, or the body of a form.
    ///
    /// # Errors
    /// As [`Callback::parse`], and [`CallbackError::UnsignedBeside`] where a signed response does not come alone.
    pub fn read(parameters: &str) -> Result<Self, CallbackError> {
        if parameters.len() > SIGNED_CALLBACK_BYTES_MAX {
            return Err(CallbackError::TooLarge { what: "the response" });
        }
        let mut given = Parameters::read(parameters)?;
        match given.response.take() {
            Some(_) if !given.is_empty() => Err(CallbackError::UnsignedBeside),
            Some(token) => Ok(Self::Signed(SignedResponse(Secret::new(token)))),
            // A token may be as long as one that is the whole response.
            None if parameters.len() > CALLBACK_BYTES_MAX && given.id_token.is_none() => {
                Err(CallbackError::TooLarge { what: "the response" })
            }
            None => Callback::of(given, Protection::None).map(Self::Plain),
        }
    }
}

/// A response in one token. Nothing in it has been verified.
pub struct SignedResponse(Secret);

impl SignedResponse {
    /// Verifies the token: how it is encrypted, whom it is from and for, how long it counts and who signed it,
    /// in this order and before anything in it is read, an error included (`FM-02`, JARM3).
    ///
    /// # Errors
    /// [`CallbackError::Response`] with the check that failed. Where
    /// [`may_pass_with_newer_keys`](CallbackError::may_pass_with_newer_keys), the keys may be fetched and the
    /// response verified once more. Afterwards as [`Callback::parse`].
    pub fn verify(
        &self,
        provider: &Provider,
        keys: &KeySet,
        moment: Moment,
    ) -> Result<Callback, CallbackError> {
        if !provider.answers.mode.is_signed() {
            return Err(CallbackError::SignedResponse);
        }
        let claims =
            id_token::verify_response(&self.0, provider, &provider.issuer, keys, moment.now)
                .map_err(CallbackError::Response)?;
        Callback::of(Parameters::of(&claims)?, Protection::Signed)
    }
}

impl fmt::Debug for SignedResponse {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "SignedResponse({:?})", self.0)
    }
}

/// A callback as it was read: nobody's word yet.
///
/// Until it is matched it tells nothing but its [`state`](Self::state), by which the login that it
/// may belong to is looked up.
pub struct Callback {
    state: Option<String>,
    issuer: Option<String>,
    answer: Answer,
    protection: Protection,
}

/// Whether it was verified that these are the provider's words.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Protection {
    None,
    Signed,
}

enum Answer {
    /// With the ID token beside it, if there is one.
    Code(Secret, Option<Secret>),
    Refused(ProviderRefusal),
}

impl Callback {
    /// Reads the query of a callback, without the `?`.
    ///
    /// If there is an `error`, a `code` beside it is ignored (`CB-23`). Parameters that are not
    /// known are ignored. An empty `state` is no `state` (RFC 6749 §3.1).
    ///
    /// # Errors
    /// Something is too large, given twice, malformed, or missing altogether. All of these are
    /// the browser's doing, or of whoever made it come here.
    pub fn parse(query: &str) -> Result<Self, CallbackError> {
        if query.len() > CALLBACK_BYTES_MAX {
            return Err(CallbackError::TooLarge { what: "the query" });
        }
        let given = Parameters::read(query)?;
        // Whoever reads only plain responses did not ask for a signed one (`CB-25`).
        if given.response.is_some() {
            return Err(CallbackError::SignedResponse);
        }
        Self::of(given, Protection::None)
    }

    fn of(given: Parameters, protection: Protection) -> Result<Self, CallbackError> {
        let state = given.state.filter(|state| !state.is_empty());
        if state.as_ref().is_some_and(|state| state.len() > STATE_BYTES_MAX) {
            return Err(CallbackError::TooLarge { what: "`state`" });
        }
        let answer = match (given.error, given.code) {
            (Some(error), _) => Answer::Refused(ProviderRefusal::new(
                &error,
                given.error_description.as_deref(),
                given.error_uri.as_deref(),
            )),
            (None, Some(code)) if code.len() > CODE_BYTES_MAX => {
                return Err(CallbackError::TooLarge { what: "`code`" });
            }
            (None, Some(code)) => {
                if code.is_empty() || !code.bytes().all(|byte| byte.is_ascii_graphic()) {
                    return Err(CallbackError::MalformedCode);
                }
                Answer::Code(Secret::new(code), given.id_token.map(Secret::new))
            }
            (None, None) => return Err(CallbackError::NothingGiven),
        };
        Ok(Self { state, issuer: given.iss, answer, protection })
    }

    /// The value by which the pending login is found; `None` when there is none to be found.
    #[must_use]
    pub fn state(&self) -> Option<&str> {
        self.state.as_deref()
    }

    /// Whether it brings an error, and not a code. Nobody's word yet.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        matches!(self.answer, Answer::Refused(_))
    }

    /// Gives up on a callback for which there is no pending login, and says why.
    ///
    /// Nothing of it may be believed: a refusal keeps its code if that is a known one, and loses
    /// its words (`CB-13`).
    #[must_use]
    pub fn without_login(self) -> CallbackError {
        match (self.answer, self.state) {
            (Answer::Refused(refusal), _) => {
                CallbackError::UnsolicitedRefusal { error: refusal.error.known() }
            }
            (Answer::Code(..), None) => CallbackError::StateMissing,
            (Answer::Code(..), Some(_)) => CallbackError::StateUnknown,
        }
    }

    /// The refusal, if this is one and has no `state`: what some providers send (`CB-13`).
    ///
    /// Anybody can make a browser bring one, so it says nothing about any login. Its words may be shown where
    /// the operator knows that this provider never repeats `state`, and to a browser that has a login there.
    #[must_use]
    pub fn refusal_without_state(&self) -> Option<&ProviderRefusal> {
        match (&self.answer, &self.state) {
            (Answer::Refused(refusal), None) => Some(refusal),
            (Answer::Code(..) | Answer::Refused(_), _) => None,
        }
    }

    /// Matches this callback with the login that the browser began, consuming both.
    ///
    /// # Errors
    /// - [`CallbackError::StateMissing`] or [`CallbackError::StateDiffers`]: it does not answer this login
    ///   (without `state`, a refusal is a [`CallbackError::UnsolicitedRefusal`]).
    /// - [`CallbackError::OtherProvider`]: the login began elsewhere, or `provider` has been
    ///   configured anew since.
    /// - [`CallbackError::IssuerMissing`], [`CallbackError::IssuerDiffers`]: RFC 9207 §2.4. An
    ///   issuer is compared whenever it is given, whether or not the provider promised one.
    /// - [`CallbackError::SignedResponse`], [`CallbackError::Unsigned`]: it is not signed, or not unsigned, as
    ///   was asked for (`CB-25`).
    /// - [`CallbackError::Provider`]: it answers this login, and the answer is no.
    /// - [`CallbackError::IdTokenMissing`], [`CallbackError::IdTokenUnasked`]: it brings no ID token, or one, and
    ///   something else was asked for.
    pub fn matching(
        self,
        pending: PendingLogin,
        provider: &Provider,
        metadata: &Metadata,
    ) -> Result<MatchedCallback, CallbackError> {
        let Some(state) = self.state.as_deref() else { return Err(self.without_login()) };
        if !secret::same(state, pending.state()) {
            return Err(CallbackError::StateDiffers);
        }
        if !pending.began_at_provider(provider) || !metadata.is_of(provider) {
            return Err(CallbackError::OtherProvider);
        }
        match (self.protection, provider.answers.mode.is_signed()) {
            (Protection::None, true) => return Err(CallbackError::Unsigned),
            (Protection::Signed, false) => return Err(CallbackError::SignedResponse),
            (Protection::None, false) | (Protection::Signed, true) => {}
        }
        let issuer_is_due = match provider.answers.issuer {
            IssuerParameter::ByMetadata => metadata.authorization_response_iss_parameter_supported,
            IssuerParameter::IfPresent => false,
            IssuerParameter::Required => true,
        };
        match self.issuer.as_deref() {
            None if issuer_is_due => return Err(CallbackError::IssuerMissing),
            Some(issuer) if issuer != metadata.issuer => return Err(CallbackError::IssuerDiffers),
            None | Some(_) => {}
        }
        match self.answer {
            Answer::Code(code, id_token) => match (provider.answers.response_type, &id_token) {
                (ResponseType::Code, Some(_)) => Err(CallbackError::IdTokenUnasked),
                (ResponseType::CodeIdToken, None) => Err(CallbackError::IdTokenMissing),
                (ResponseType::Code, None) | (ResponseType::CodeIdToken, Some(_)) => {
                    Ok(MatchedCallback { code, id_token, login: pending })
                }
            },
            Answer::Refused(refusal) => Err(CallbackError::Provider(refusal)),
        }
    }
}

impl fmt::Debug for Callback {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.answer {
            Answer::Code(..) => "code",
            Answer::Refused(_) => "error",
        };
        formatter.debug_struct("Callback").field("answer", &kind).finish_non_exhaustive()
    }
}

/// A callback that answers a login this browser began. Holds a code that was not used yet.
#[derive(Debug)]
pub struct MatchedCallback {
    pub(crate) code: Secret,
    /// What the answer itself says of who signed in. Nobody's word yet.
    pub(crate) id_token: Option<Secret>,
    pub(crate) login: PendingLogin,
}

impl MatchedCallback {
    /// Trades the code for tokens, once. Where the answer brings an ID token, that is verified first, and a code that it
    /// does not vouch for is never sent.
    ///
    /// `provider` and `metadata` are those that the callback was matched with; `keys` are the provider's, as fetched last.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use lychgate_oidc::*;
    /// # fn story(
    /// #     pending: PendingLogin, provider: Arc<Provider>, metadata: Arc<Metadata>,
    /// #     keys: KeySet, moment: Moment,
    /// # ) -> Result<(), CallbackError> {
    /// let callback = Callback::parse("state=s&code=c")?;
    /// let matched = callback.matching(pending, &provider, &metadata)?;
    /// let step = matched.redeem(provider, metadata, &keys, moment);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// A callback that has not been matched cannot be redeemed:
    ///
    /// ```compile_fail
    /// # use std::sync::Arc;
    /// # use lychgate_oidc::*;
    /// # fn story(
    /// #     pending: PendingLogin, provider: Arc<Provider>, metadata: Arc<Metadata>,
    /// #     keys: KeySet, moment: Moment,
    /// # ) -> Result<(), CallbackError> {
    /// let callback = Callback::parse("state=s&code=c")?;
    /// let step = callback.redeem(provider, metadata, &keys, moment);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// See [`ExchangeError`].
    pub fn redeem(
        self,
        provider: Arc<Provider>,
        metadata: Arc<Metadata>,
        keys: &KeySet,
        moment: Moment,
    ) -> Result<Step, ExchangeError> {
        Step::redeem(self, provider, metadata, keys, moment)
    }
}

/// Why a callback is not believed, or that it is and says no.
///
/// Only [`Provider`](Self::Provider), [`IssuerMissing`](Self::IssuerMissing),
/// [`IssuerDiffers`](Self::IssuerDiffers), [`IdTokenMissing`](Self::IdTokenMissing) and
/// [`IdTokenUnasked`](Self::IdTokenUnasked) come after the callback was found to answer this browser's login; everything else is the browser's doing, or of whoever made it come here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallbackError {
    /// There is no ID token beside the code, and one was asked for.
    #[error("an ID token was asked for beside the code, and none came")]
    IdTokenMissing,
    /// An ID token beside the code, which was not asked for.
    #[error("an ID token came beside the code, and none was asked for")]
    IdTokenUnasked,
    /// `iss` names another issuer than the one where the login began: perhaps a mix-up attack.
    #[error("`iss` differs from the issuer where the login began")]
    IssuerDiffers,
    /// `iss` is not there, and the provider promises it.
    #[error("`iss` is missing, and the provider promises to send it")]
    IssuerMissing,
    /// `code` is empty or has characters that no code has.
    #[error("`code` is malformed")]
    MalformedCode,
    /// Neither a code nor an error: not an answer at all.
    #[error("there is neither a `code` nor an `error`")]
    NothingGiven,
    /// The login began at another provider, or under another registration.
    #[error("the login began at another provider")]
    OtherProvider,
    /// The provider refused this login.
    #[error("the provider refused: {0}")]
    Provider(ProviderRefusal),
    /// A parameter is given twice, so that two readers might read two things.
    #[error("`{parameter}` is given twice")]
    Repeated {
        /// Which one.
        parameter: &'static str,
    },
    /// The signed response is not to be believed.
    #[error("the signed response is refused")]
    Response(#[source] IdTokenError),
    /// A `response` parameter (JARM), which was not asked for.
    #[error("a signed response was given and none was asked for")]
    SignedResponse,
    /// `state` is not that of this login.
    #[error("`state` differs")]
    StateDiffers,
    /// A code without `state`.
    #[error("`state` is missing")]
    StateMissing,
    /// A code for a login of which this browser knows nothing: begun elsewhere, or too long ago.
    #[error("`state` belongs to no login of this browser")]
    StateUnknown,
    /// Something is longer than it may be.
    #[error("{what} is too large")]
    TooLarge {
        /// What it is.
        what: &'static str,
    },
    /// Plain parameters, and a signed response was asked for.
    #[error("a signed response was asked for, and a plain one came")]
    Unsigned,
    /// Plain parameters beside a signed response.
    #[error("there are plain parameters beside a signed response")]
    UnsignedBeside,
    /// An error that answers no login of this browser. Anyone can make a browser bring one.
    #[error("an error came that answers no login of this browser")]
    UnsolicitedRefusal {
        /// The code, if it is a known one.
        error: Option<KnownError>,
    },
}

impl CallbackError {
    /// Whether the provider may have published a fitting key since ours were fetched.
    #[must_use]
    pub const fn may_pass_with_newer_keys(&self) -> bool {
        matches!(self, Self::Response(error) if error.may_pass_with_newer_keys())
    }
}

/// The parameters that mean something here, each given at most once.
#[derive(Default)]
struct Parameters {
    code: Option<String>,
    error: Option<String>,
    error_description: Option<String>,
    error_uri: Option<String>,
    id_token: Option<String>,
    iss: Option<String>,
    response: Option<String>,
    state: Option<String>,
}

impl Parameters {
    fn read(query: &str) -> Result<Self, CallbackError> {
        let mut given = Self::default();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            let (parameter, place) = match name.as_ref() {
                "code" => ("code", &mut given.code),
                "error" => ("error", &mut given.error),
                "error_description" => ("error_description", &mut given.error_description),
                "error_uri" => ("error_uri", &mut given.error_uri),
                "id_token" => ("id_token", &mut given.id_token),
                "iss" => ("iss", &mut given.iss),
                "response" => ("response", &mut given.response),
                "state" => ("state", &mut given.state),
                _ => continue,
            };
            if place.replace(value.into_owned()).is_some() {
                return Err(CallbackError::Repeated { parameter });
            }
        }
        Ok(given)
    }

    /// The parameters of a verified response (JARM §2.1).
    fn of(claims: &Object) -> Result<Self, CallbackError> {
        let text = |claim: &'static str| match claims.get(claim) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(_) => Err(CallbackError::Response(IdTokenError::ClaimMalformed { claim })),
        };
        Ok(Self {
            code: text("code")?,
            error: text("error")?,
            error_description: text("error_description")?,
            error_uri: text("error_uri")?,
            id_token: text("id_token")?,
            iss: text("iss")?,
            response: None,
            state: text("state")?,
        })
    }

    /// Whether nothing of an answer is given. `error_description` and `error_uri` alone are none.
    fn is_empty(&self) -> bool {
        let Self { code, error, id_token, iss, state, .. } = self;
        let those = [code, error, id_token, iss, state];
        those.into_iter().all(Option::is_none)
    }
}
