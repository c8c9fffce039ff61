//! From a code to a person: one question to the provider at a time.
//!
//! [`Step`] says what is needed next: an answer from the provider, newer keys, or nothing more.
//! Each wait is a value that is consumed by what it waited for, so no answer is read twice and no
//! code is sent twice. Whoever drives the steps never learns whether a provider needed one
//! question or three.
//!
//! Sources: OIDC Core §3.1.3, §5.3, §10.1.1 (rotation of keys); RFC 9449 §8, §9 (nonces).

use std::fmt;
use std::sync::Arc;

use http::{Request, Response, StatusCode};

use crate::callback::MatchedCallback;
use crate::claims::VerifiedClaims;
use crate::client_auth::ClientAuthError;
use crate::consent::{self, ConsentError};
use crate::discovery::Metadata;
use crate::dpop;
use crate::grant::{Grant, Held};
use crate::id_token::{self, Expected, IdTokenError, Occasion};
use crate::json::MalformedJson;
use crate::jwks::KeySet;
use crate::login::PendingLogin;
use crate::moment::Moment;
use crate::provider::Provider;
use crate::refusal::ProviderRefusal;
use crate::response::SubjectRule;
use crate::secret::{self, Secret};
use crate::time::Timestamp;
use crate::tokens::{self, Tokens};
use crate::userinfo;

/// What a sign-in needs next.
#[must_use = "a sign-in is not finished until a step says `Believe`"]
#[expect(
    clippy::large_enum_variant,
    reason = "a step lives for a moment and is moved a few times; a request is taken out whole"
)]
pub enum Step {
    /// Send this request, once, and give the answer to [`Exchange::receive`]. Do not follow
    /// redirects, do not retry; a request that failed ends the sign-in.
    Ask(Request<Vec<u8>>, Exchange),
    /// The provider signed with a key that is not in the set. Fetch the set anew and give it to
    /// [`AwaitingKeys::with_keys`].
    NewerKeys(AwaitingKeys),
    /// Nothing: this is who signed in.
    Believe(Box<SignedIn>),
}

/// Someone signed in, or is signed in still.
#[derive(Clone, Debug)]
pub struct SignedIn {
    /// What the provider asserts about them.
    pub claims: VerifiedClaims,
    /// Whether these are all their claims. After a refresh that brought no ID token they are only those that
    /// were asked for again.
    pub complete: bool,
    /// The ID token itself, which the provider wants back as a hint when they sign out. There is none where none
    /// was agreed on, and a refresh may bring none.
    pub id_token: Option<Secret>,
    /// What we may do for them, and for how long.
    pub grant: Grant,
}

/// A question that is out at the provider.
pub struct Exchange {
    parties: Parties,
    question: Question,
}

/// A token whose key we do not know.
pub struct AwaitingKeys {
    parties: Parties,
    unverified: Unverified,
}

enum Unverified {
    IdToken(Box<TokenAnswer>),
    Userinfo(Box<(SignedIn, Response<Vec<u8>>)>),
}

/// An endpoint of the provider that is asked from here, not through the browser.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// Where authorization requests are pushed to, ahead of the browser.
    PushedAuthorizationRequest,
    /// Where a grant is given back (RFC 7009).
    Revocation,
    /// Where a code is traded for tokens.
    Token,
    /// Where further claims are.
    Userinfo,
}

impl Step {
    pub(crate) fn redeem(
        callback: MatchedCallback,
        provider: Arc<Provider>,
        metadata: Arc<Metadata>,
        moment: Moment,
    ) -> Result<Self, ExchangeError> {
        let MatchedCallback { code, login } = callback;
        let origin = Origin::Login { code, login };
        let asked = Box::new(TokenQuestion { origin, asked_for_nonce: false });
        Parties { provider, metadata, refreshed: None }.ask_for_tokens(asked, None, moment)
    }

    pub(crate) fn refresh(
        held: Held,
        provider: Arc<Provider>,
        metadata: Arc<Metadata>,
        moment: Moment,
    ) -> Result<Self, ExchangeError> {
        let origin = Origin::Refresh(held);
        let asked = Box::new(TokenQuestion { origin, asked_for_nonce: false });
        Parties { provider, metadata, refreshed: None }.ask_for_tokens(asked, None, moment)
    }
}

impl Exchange {
    /// Which endpoint the question is for.
    #[must_use]
    pub const fn endpoint(&self) -> Endpoint {
        match self.question {
            Question::Tokens(_) => Endpoint::Token,
            Question::Claims(..) => Endpoint::Userinfo,
        }
    }

    /// Reads the answer.
    ///
    /// `moment` is when the answer came; `keys` are the provider's, as fetched last.
    ///
    /// # Errors
    /// See [`ExchangeError`]. There is no second try: the code is spent, and a new login must begin.
    pub fn receive(
        self,
        response: Response<Vec<u8>>,
        keys: &KeySet,
        moment: Moment,
    ) -> Result<Step, ExchangeError> {
        let now = moment.now;
        match self.question {
            Question::Tokens(mut asked) => {
                if let Some(nonce) = self.parties.wanted_nonce(Endpoint::Token, &response)
                    && !asked.asked_for_nonce
                {
                    asked.asked_for_nonce = true;
                    return self.parties.ask_for_tokens(asked, Some(nonce), moment);
                }
                let provider = &self.parties.provider;
                let tokens = Tokens::read(&response, provider, asked.origin.login(), now)?;
                if let Some(login) = asked.origin.login() {
                    consent::check(
                        &login.authorization_details(),
                        &tokens.authorization_details,
                        &provider.answers.consent_statuses,
                    )?;
                }
                let answer = TokenAnswer { origin: asked.origin, tokens };
                match answer.verify(&self.parties, keys, now) {
                    Ok(claims) => self.parties.believe_or_ask(claims, answer, moment),
                    Err(error) if error.may_pass_with_newer_keys() => {
                        let unverified = Unverified::IdToken(Box::new(answer));
                        Ok(Step::NewerKeys(AwaitingKeys { parties: self.parties, unverified }))
                    }
                    Err(error) => Err(error.into()),
                }
            }
            Question::Claims(mut signed_in, access_token, asked_for_nonce) => {
                if let Some(nonce) = self.parties.wanted_nonce(Endpoint::Userinfo, &response)
                    && !asked_for_nonce
                {
                    return self.parties.ask_for_claims(
                        signed_in,
                        access_token,
                        Some(nonce),
                        moment,
                    );
                }
                let provider = &self.parties.provider;
                match userinfo::add(&response, &mut signed_in.claims, provider, keys, now) {
                    Ok(()) => self.parties.believe(*signed_in, moment),
                    Err(ExchangeError::UserinfoToken(error))
                        if error.may_pass_with_newer_keys() =>
                    {
                        let unverified = Unverified::Userinfo(Box::new((*signed_in, response)));
                        Ok(Step::NewerKeys(AwaitingKeys { parties: self.parties, unverified }))
                    }
                    Err(error) => Err(error),
                }
            }
        }
    }
}

impl AwaitingKeys {
    /// Verifies the token with `keys`, which were fetched after it came or are as new as may be.
    ///
    /// # Errors
    /// As [`Exchange::receive`]; a key that is still unknown is an error now.
    pub fn with_keys(self, keys: &KeySet, moment: Moment) -> Result<Step, ExchangeError> {
        match self.unverified {
            Unverified::IdToken(answer) => {
                let claims = answer.verify(&self.parties, keys, moment.now)?;
                self.parties.believe_or_ask(claims, *answer, moment)
            }
            Unverified::Userinfo(unverified) => {
                let (mut signed_in, response) = *unverified;
                let provider = &self.parties.provider;
                userinfo::add(&response, &mut signed_in.claims, provider, keys, moment.now)?;
                self.parties.believe(signed_in, moment)
            }
        }
    }
}

/// Why a sign-in ended without a person. Carries no token, code or body.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExchangeError {
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

impl fmt::Display for Endpoint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::PushedAuthorizationRequest => "pushed authorization request",
            Self::Revocation => "revocation",
            Self::Token => "token",
            Self::Userinfo => "userinfo",
        })
    }
}

/// Who is being asked, and in whose name.
struct Parties {
    provider: Arc<Provider>,
    metadata: Arc<Metadata>,
    /// Whose grant was refreshed, if it was.
    refreshed: Option<String>,
}

enum Question {
    Tokens(Box<TokenQuestion>),
    /// Also the access token, and whether a nonce was asked for already.
    Claims(Box<SignedIn>, Secret, bool),
}

/// A code or a refresh token on its way. It is sent again in one case only: the provider did not look at it, because it
/// wants a nonce in the proof first (RFC 9449 §8).
struct TokenQuestion {
    origin: Origin,
    asked_for_nonce: bool,
}

/// What a token answer is the answer to.
enum Origin {
    Login { code: Secret, login: PendingLogin },
    Refresh(Held),
}

impl Origin {
    const fn login(&self) -> Option<&PendingLogin> {
        match self {
            Self::Login { login, .. } => Some(login),
            Self::Refresh(_) => None,
        }
    }
}

/// Tokens, and what they must agree with.
struct TokenAnswer {
    origin: Origin,
    tokens: Tokens,
}

impl TokenAnswer {
    fn verify(
        &self,
        parties: &Parties,
        keys: &KeySet,
        now: Timestamp,
    ) -> Result<VerifiedClaims, IdTokenError> {
        let provider = &parties.provider;
        let verify = |id_token: &Secret, occasion| {
            let access_token = self.tokens.grant.access_token();
            let expected = Expected { provider, occasion, access_token };
            id_token::verify(id_token, &expected, keys, now)
        };
        match (&self.origin, &self.tokens.id_token) {
            (Origin::Login { login, .. }, Some(id_token)) => {
                verify(id_token, Occasion::Login { nonce: login.nonce() })
            }
            (Origin::Refresh(_), Some(id_token)) => verify(id_token, Occasion::Refresh),
            (Origin::Refresh(held), None) if provider.id_token.required => {
                Ok(VerifiedClaims::of_refreshed(&provider.issuer, &held.subject))
            }
            (Origin::Login { .. } | Origin::Refresh(_), None) => {
                Ok(VerifiedClaims::of_nobody(&provider.issuer))
            }
        }
    }
}

impl Parties {
    fn ask_for_tokens(
        self,
        asked: Box<TokenQuestion>,
        nonce: Option<&str>,
        mut moment: Moment,
    ) -> Result<Step, ExchangeError> {
        let (provider, metadata, moment) = (&self.provider, &self.metadata, &mut moment);
        let request = match &asked.origin {
            Origin::Login { code, login } => {
                tokens::code_request(code, login, provider, metadata, nonce, moment)
            }
            Origin::Refresh(held) => {
                tokens::refresh_request(&held.refresh_token, provider, metadata, nonce, moment)
            }
        }?;
        Ok(Step::Ask(request, Exchange { parties: self, question: Question::Tokens(asked) }))
    }

    fn ask_for_claims(
        self,
        signed_in: Box<SignedIn>,
        access_token: Secret,
        nonce: Option<&str>,
        mut moment: Moment,
    ) -> Result<Step, ExchangeError> {
        let aliases = self.provider.uses_mtls_aliases();
        let url = self.metadata.endpoint(Endpoint::Userinfo, aliases);
        let url = url.ok_or(ClientAuthError::NoEndpoint(Endpoint::Userinfo))?;
        let request = userinfo::request(&self.provider, url, &access_token, nonce, &mut moment)?;
        let question = Question::Claims(signed_in, access_token, nonce.is_some());
        Ok(Step::Ask(request, Exchange { parties: self, question }))
    }

    /// The nonce that an answer wants in the next proof, if that is what it says. Without a key there is no
    /// proof, and the answer is a refusal like any other (DP2).
    fn wanted_nonce<'a>(
        &self,
        endpoint: Endpoint,
        response: &'a Response<Vec<u8>>,
    ) -> Option<&'a str> {
        let wanted = self.provider.dpop.is_some()
            && match endpoint {
                Endpoint::Userinfo => dpop::resource_wants_nonce(response),
                Endpoint::PushedAuthorizationRequest | Endpoint::Revocation | Endpoint::Token => {
                    tokens::wants_dpop_nonce(endpoint, response)
                }
            };
        dpop::nonce(response).filter(|_| wanted)
    }

    /// The end, or one more question.
    fn believe_or_ask(
        mut self,
        claims: VerifiedClaims,
        answer: TokenAnswer,
        moment: Moment,
    ) -> Result<Step, ExchangeError> {
        let Tokens { id_token, grant, .. } = answer.tokens;
        let names = matches!(self.provider.answers.subject, SubjectRule::Claim(_));
        let wanted = userinfo::is_wanted(&self.provider.userinfo, &claims)
            || (!self.provider.id_token.required && names);
        let access_token = grant.access_token().cloned();
        let (complete, grant) = match answer.origin {
            Origin::Login { .. } => (true, grant),
            Origin::Refresh(held) => {
                self.refreshed = Some(held.subject);
                let complete = id_token.is_some() || !self.provider.id_token.required;
                (complete, grant.or_refresh_token(held.refresh_token))
            }
        };
        let signed_in = Box::new(SignedIn { claims, complete, id_token, grant });
        if !wanted || self.metadata.userinfo_endpoint.is_none() {
            return self.believe(*signed_in, moment);
        }
        let access_token =
            access_token.ok_or(ExchangeError::MemberMissing { member: "access_token" })?;
        self.ask_for_claims(signed_in, access_token, None, moment)
    }

    /// The end: all that was to be asked is known.
    fn believe(self, signed_in: SignedIn, mut moment: Moment) -> Result<Step, ExchangeError> {
        let rule = &self.provider.answers.subject;
        let claims = match &self.refreshed {
            None => signed_in.claims.with_subject(rule, moment.unique()),
            Some(before) => {
                // A pseudonym is the one that was given at sign-in.
                let claims = signed_in.claims.with_subject(rule, before.clone());
                if claims.as_ref().is_some_and(|claims| !secret::same(claims.subject(), before)) {
                    return Err(ExchangeError::OtherPerson);
                }
                claims
            }
        };
        let claims = claims.ok_or(ExchangeError::SubjectMissing)?;
        Ok(Step::Believe(Box::new(SignedIn { claims, ..signed_in })))
    }
}

/// Requests carry codes and secrets and are not shown.
impl fmt::Debug for Step {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ask(_, exchange) => formatter.debug_tuple("Ask").field(exchange).finish(),
            Self::NewerKeys(waiting) => formatter.debug_tuple("NewerKeys").field(waiting).finish(),
            Self::Believe(signed_in) => formatter.debug_tuple("Believe").field(signed_in).finish(),
        }
    }
}

impl fmt::Debug for Exchange {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Exchange")
            .field("provider", &self.parties.provider.name)
            .field("endpoint", &self.endpoint())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for AwaitingKeys {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("AwaitingKeys")
            .field("provider", &self.parties.provider.name)
            .finish_non_exhaustive()
    }
}
