//! From a code to a person: one question to the provider at a time.
//!
//! [`Step`] says what is needed next: an answer from the provider, newer keys, or nothing more.
//! Each wait is a value that is consumed by what it waited for, so no answer is read twice and no
//! code is sent twice. Whoever drives the steps never learns whether a provider needed one
//! question or three.
//!
//! Sources: OIDC Core §3.1.3, §5.3, §10.1.1 (rotation of keys).

use std::fmt;
use std::sync::Arc;

use http::{Request, Response, StatusCode};

use crate::callback::MatchedCallback;
use crate::claims::VerifiedClaims;
use crate::discovery::Metadata;
use crate::id_token::{self, Expected, IdTokenError};
use crate::inquiry::{self, Inquiry};
use crate::json::MalformedJson;
use crate::jwks::KeySet;
use crate::login::PendingLogin;
use crate::lookup::LookupError;
use crate::moment::Moment;
use crate::provider::Provider;
use crate::quirk;
use crate::refusal::ProviderRefusal;
use crate::secret::Secret;
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

/// Someone signed in.
#[derive(Clone, Debug)]
pub struct SignedIn {
    /// What the provider asserts about them.
    pub claims: VerifiedClaims,
    /// The ID token itself, which the provider wants back as a hint when they sign out, if there is one.
    pub id_token: Option<Secret>,
}

/// A question that is out at the provider.
pub struct Exchange {
    parties: Parties,
    question: Question,
}

/// An ID token whose key we do not know.
pub struct AwaitingKeys {
    parties: Parties,
    answer: Box<TokenAnswer>,
}

/// An endpoint of the provider that is asked from here, not through the browser.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// The provider's own API.
    Lookup,
    /// Where a service account gets its token.
    ServiceAccount,
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
        _moment: Moment,
    ) -> Result<Self, ExchangeError> {
        let request = tokens::code_request(&callback, &provider, &metadata);
        let parties = Parties { provider, metadata };
        let question = Question::Tokens(Box::new(callback.login));
        Ok(Self::Ask(request, Exchange { parties, question }))
    }
}

impl Exchange {
    /// Which endpoint the question is for.
    #[must_use]
    pub const fn endpoint(&self) -> Endpoint {
        match self.question {
            Question::Tokens(_) => Endpoint::Token,
            Question::Claims(_) => Endpoint::Userinfo,
            Question::Lookup(_) => Endpoint::Lookup,
            Question::ServiceToken(_) => Endpoint::ServiceAccount,
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
            Question::Tokens(login) => {
                let tokens = Tokens::read(&response, &self.parties.provider)?;
                let answer = TokenAnswer { login: *login, tokens };
                match answer.verify(&self.parties, keys, now) {
                    Ok(claims) => self.parties.ask_more(claims, answer.tokens, keys, moment),
                    Err(error) if error.may_pass_with_newer_keys() => {
                        let (parties, answer) = (self.parties, Box::new(answer));
                        Ok(Step::NewerKeys(AwaitingKeys { parties, answer }))
                    }
                    Err(error) => Err(error.into()),
                }
            }
            Question::Claims(mut inquiry) => {
                userinfo::add(&response, &mut inquiry.claims)?;
                inquiry.next(self.parties, moment)
            }
            Question::Lookup(inquiry) => inquiry.receive(&response, self.parties, moment),
            Question::ServiceToken(inquiry) => {
                inquiry.receive_service_token(&response, self.parties, moment)
            }
        }
    }
}

impl AwaitingKeys {
    /// Verifies the ID token with `keys`, which were fetched after it came or are as new as may be.
    ///
    /// # Errors
    /// As [`Exchange::receive`]; a key that is still unknown is an error now.
    pub fn with_keys(self, keys: &KeySet, moment: Moment) -> Result<Step, ExchangeError> {
        let claims = self.answer.verify(&self.parties, keys, moment.now)?;
        self.parties.ask_more(claims, self.answer.tokens, keys, moment)
    }
}

/// Why a sign-in ended without a person. Carries no token, code or body.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExchangeError {
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
    /// Nothing that was asked said who this is.
    #[error("nothing says who this is: there is no usable `{claim}`")]
    SubjectMissing {
        /// The claim that should have.
        claim: String,
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
    /// The endpoint failed, without a refusal that could be read.
    #[error("the {endpoint} endpoint answered {status}")]
    Status {
        /// Who answered.
        endpoint: Endpoint,
        /// What it answered.
        status: StatusCode,
    },
    /// The provider does not accept our registration or request: the operator must act.
    #[error("the token endpoint refused this client: {0}")]
    TokenClientRefused(ProviderRefusal),
    /// The code is expired, used or not ours: the person may begin again.
    #[error("the token endpoint refused the code: {0}")]
    TokenGrantRefused(ProviderRefusal),
    /// Any other refusal.
    #[error("the token endpoint refused: {0}")]
    TokenRefused(ProviderRefusal),
    /// The access token is of a type that we cannot use.
    #[error("the access token is not of type `Bearer`")]
    TokenType,
    /// The answer is longer than 1 MiB.
    #[error("the answer of the {endpoint} endpoint is too large")]
    TooLarge {
        /// Who answered.
        endpoint: Endpoint,
    },
    /// The userinfo endpoint answers with a signed token, which is not supported.
    #[error("the userinfo endpoint answered with a signed token, which is not supported")]
    UserinfoSigned,
    /// The userinfo endpoint speaks of someone else, or does not say of whom.
    #[error("the userinfo endpoint speaks of another person than the ID token")]
    UserinfoSubject,
}

impl fmt::Display for Endpoint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Lookup => "lookup",
            Self::ServiceAccount => "service account",
            Self::Token => "token",
            Self::Userinfo => "userinfo",
        })
    }
}

/// Who is being asked, and in whose name.
pub(crate) struct Parties {
    pub(crate) provider: Arc<Provider>,
    metadata: Arc<Metadata>,
}

enum Question {
    Tokens(Box<PendingLogin>),
    Claims(Box<Inquiry>),
    Lookup(Box<Inquiry>),
    ServiceToken(Box<Inquiry>),
}

/// Tokens, and the login they must belong to.
struct TokenAnswer {
    login: PendingLogin,
    tokens: Tokens,
}

impl TokenAnswer {
    fn verify(
        &self,
        parties: &Parties,
        keys: &KeySet,
        now: Timestamp,
    ) -> Result<VerifiedClaims, IdTokenError> {
        let Some(id_token) = &self.tokens.id_token else {
            return Ok(VerifiedClaims::of_nobody_yet(&parties.provider.issuer));
        };
        let expected = Expected {
            provider: &parties.provider,
            published_issuer: &parties.metadata.issuer,
            nonce: self.login.nonce(),
            access_token: self.tokens.access_token.as_ref(),
        };
        id_token::verify(id_token, &expected, keys, now)
    }
}

impl Parties {
    /// The end, or one more question.
    fn ask_more(
        self,
        mut claims: VerifiedClaims,
        tokens: Tokens,
        keys: &KeySet,
        moment: Moment,
    ) -> Result<Step, ExchangeError> {
        let provider = &self.provider;
        inquiry::check_id_token(provider, &claims)?;
        let access_token = tokens.access_token.as_ref();
        quirk::read_access_token(provider, access_token, keys, moment.now, &mut claims.members);
        let wanted = userinfo::is_wanted(&provider.userinfo, &claims);
        let inquiry = Box::new(Inquiry::new(claims, tokens));
        let Some(url) = self.metadata.userinfo_endpoint.as_ref().filter(|_| wanted) else {
            return inquiry.next(self, moment);
        };
        let request = userinfo::request(url, inquiry.access_token()?)?;
        Ok(self.ask(request, Question::Claims(inquiry)))
    }

    /// One question for the provider's API, or for its service account.
    pub(crate) fn look_up(self, request: Request<Vec<u8>>, inquiry: Box<Inquiry>) -> Step {
        self.ask(request, Question::Lookup(inquiry))
    }

    pub(crate) fn ask_service_token(
        self,
        request: Request<Vec<u8>>,
        inquiry: Box<Inquiry>,
    ) -> Step {
        self.ask(request, Question::ServiceToken(inquiry))
    }

    fn ask(self, request: Request<Vec<u8>>, question: Question) -> Step {
        Step::Ask(request, Exchange { parties: self, question })
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
