//! From a code to a person: one question to the provider at a time.
//!
//! [`Step`] says what is needed next: an answer from the provider, newer keys, or nothing more.
//! Each wait is a value that is consumed by what it waited for, so no answer is read twice and no
//! code is sent twice. Whoever drives the steps never learns whether a provider needed one
//! question or three.
//!
//! Sources: OIDC Core §3.1.3, §3.3.3.6, §5.3, §10.1.1 (rotation of keys); RFC 9449 §8, §9 (nonces).

mod error;

use std::fmt;
use std::sync::Arc;

use http::{Request, Response};

use crate::callback::MatchedCallback;
use crate::claims::VerifiedClaims;
use crate::client_auth::ClientAuthError;
use crate::consent;
use crate::discovery::Metadata;
use crate::dpop;
use crate::grant::{Grant, Held};
use crate::id_token::{self, Expected, IdTokenError, Occasion};
use crate::inquiry::{self, Inquiry};
use crate::jwks::KeySet;
use crate::login::PendingLogin;
use crate::moment::Moment;
use crate::provider::Provider;
use crate::quirk;
use crate::response::SubjectRule;
use crate::secret::{self, Secret};
use crate::time::Timestamp;
use crate::tokens::{self, Tokens};
use crate::userinfo;

pub use error::ExchangeError;

/// What a sign-in needs next.
#[must_use = "a sign-in is not finished until a step says `Believe`"]
pub enum Step {
    /// Send this request, once, and give the answer to [`Exchange::receive`]. Do not follow
    /// redirects, do not retry; a request that failed ends the sign-in.
    Ask(Request<Vec<u8>>, Exchange),
    /// A refresh brought a newer grant. Keep it, whatever else goes wrong: the refresh token of before may be worth
    /// nothing now. Then go on with [`Renewed::go_on`].
    Renewed(Grant, Renewed),
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

/// What a refresh brought, not yet read.
pub struct Renewed {
    parties: Parties,
    answer: Box<TokenAnswer>,
}

/// A token whose key we do not know.
pub struct AwaitingKeys {
    parties: Parties,
    unverified: Unverified,
}

enum Unverified {
    Answer(Box<Vouched>),
    IdToken(Box<TokenAnswer>),
    Userinfo(Box<Inquiry>, Box<Response<Vec<u8>>>),
}

/// An endpoint of the provider that is asked from here, not through the browser.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// Where it is asked what a token is worth (RFC 7662).
    Introspection,
    /// The provider's own API.
    Lookup,
    /// Where authorization requests are pushed to, ahead of the browser.
    PushedAuthorizationRequest,
    /// Where a grant is given back (RFC 7009).
    Revocation,
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
        keys: &KeySet,
        moment: Moment,
    ) -> Result<Self, ExchangeError> {
        let MatchedCallback { code, id_token, login } = callback;
        let parties = Parties { provider, metadata, refreshed: None };
        match id_token {
            None => parties.redeem(code, login, None, moment),
            Some(id_token) => {
                parties.believe(Box::new(Vouched { code, id_token, login }), keys, moment)
            }
        }
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
                let answer = Box::new(TokenAnswer { origin: asked.origin, tokens });
                match answer.renewed() {
                    Some(grant) => {
                        Ok(Step::Renewed(grant, Renewed { parties: self.parties, answer }))
                    }
                    None => self.parties.read(answer, keys, moment),
                }
            }
            Question::Claims(mut inquiry, asked_for_nonce) => {
                if let Some(nonce) = self.parties.wanted_nonce(Endpoint::Userinfo, &response)
                    && !asked_for_nonce
                {
                    return self.parties.ask_for_claims(inquiry, Some(nonce), moment);
                }
                match self.parties.add_claims(&response, &mut inquiry, keys, now) {
                    Ok(()) => inquiry.next(self.parties, moment),
                    Err(ExchangeError::UserinfoToken(error))
                        if error.may_pass_with_newer_keys() =>
                    {
                        let unverified = Unverified::Userinfo(inquiry, Box::new(response));
                        Ok(Step::NewerKeys(AwaitingKeys { parties: self.parties, unverified }))
                    }
                    Err(error) => Err(error),
                }
            }
            Question::Lookup(mut inquiry) => {
                if let Some(nonce) = self.parties.wanted_nonce(Endpoint::Lookup, &response)
                    && inquiry.take_nonce(nonce)
                {
                    return inquiry.next(self.parties, moment);
                }
                inquiry.receive(&response, self.parties, moment)
            }
            Question::ServiceToken(inquiry) => {
                inquiry.receive_service_token(&response, self.parties, moment)
            }
        }
    }
}

impl Renewed {
    /// Reads who the grant is about, and asks for the rest.
    ///
    /// # Errors
    /// As [`Exchange::receive`]; the grant is good all the same.
    pub fn go_on(self, keys: &KeySet, moment: Moment) -> Result<Step, ExchangeError> {
        self.parties.read(self.answer, keys, moment)
    }
}

impl AwaitingKeys {
    /// Verifies the token with `keys`, which were fetched after it came or are as new as may be.
    ///
    /// # Errors
    /// As [`Exchange::receive`]; a key that is still unknown is an error now.
    pub fn with_keys(self, keys: &KeySet, moment: Moment) -> Result<Step, ExchangeError> {
        match self.unverified {
            Unverified::Answer(vouched) => {
                let announced = vouched.verify(&self.parties, keys, moment.now);
                let announced = announced.map_err(ExchangeError::AnnouncedIdToken)?;
                let Vouched { code, login, .. } = *vouched;
                self.parties.redeem(code, login, Some(Box::new(announced)), moment)
            }
            Unverified::IdToken(answer) => {
                let claims = answer.verify(&self.parties, keys, moment.now)?;
                self.parties.ask_more(claims, *answer, keys, moment)
            }
            Unverified::Userinfo(mut inquiry, response) => {
                self.parties.add_claims(&response, &mut inquiry, keys, moment.now)?;
                inquiry.next(self.parties, moment)
            }
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Introspection => "introspection",
            Self::Lookup => "lookup",
            Self::PushedAuthorizationRequest => "pushed authorization request",
            Self::Revocation => "revocation",
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
    /// Whose grant was refreshed, if it was.
    refreshed: Option<String>,
}

enum Question {
    Tokens(Box<TokenQuestion>),
    /// Also whether a nonce was asked for already.
    Claims(Box<Inquiry>, bool),
    Lookup(Box<Inquiry>),
    ServiceToken(Box<Inquiry>),
}

/// A code or a refresh token on its way. It is sent again in one case only: the provider did not look at it, because it
/// wants a nonce in the proof first (RFC 9449 §8).
struct TokenQuestion {
    origin: Origin,
    asked_for_nonce: bool,
}

/// What a token answer is the answer to.
enum Origin {
    Login { code: Secret, login: PendingLogin, announced: Option<Box<Announced>> },
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

/// A code, and the ID token that vouches for it, not yet verified.
struct Vouched {
    code: Secret,
    id_token: Secret,
    login: PendingLogin,
}

impl Vouched {
    fn verify(
        &self,
        parties: &Parties,
        keys: &KeySet,
        now: Timestamp,
    ) -> Result<Announced, IdTokenError> {
        let (nonce, code, state) = (self.login.nonce(), &self.code, self.login.state());
        let expected = Expected {
            provider: &parties.provider,
            published_issuer: &parties.metadata.issuer,
            occasion: Occasion::Answer { nonce, code, state },
            access_token: None,
        };
        let claims = id_token::verify(&self.id_token, &expected, keys, now)?;
        Ok(Announced { issuer: claims.issuer().to_owned(), subject: claims.subject().to_owned() })
    }
}

/// Who signed in, as the authorization response said it. The token endpoint has to say the same (OIDC Core §3.3.3.6).
struct Announced {
    issuer: String,
    subject: String,
}

impl Announced {
    fn is(&self, claims: &VerifiedClaims) -> bool {
        self.issuer == claims.issuer() && self.subject == claims.subject()
    }
}

/// Tokens, and what they must agree with.
struct TokenAnswer {
    origin: Origin,
    tokens: Tokens,
}

impl TokenAnswer {
    /// The newer grant, if this is the answer to a refresh.
    fn renewed(&self) -> Option<Grant> {
        let Origin::Refresh(held) = &self.origin else { return None };
        Some(self.tokens.grant.clone().or_refresh_token(held.refresh_token.clone()))
    }

    fn verify(
        &self,
        parties: &Parties,
        keys: &KeySet,
        now: Timestamp,
    ) -> Result<VerifiedClaims, IdTokenError> {
        let provider = &parties.provider;
        let verify = |id_token: &Secret, occasion| {
            let expected = Expected {
                provider,
                published_issuer: &parties.metadata.issuer,
                occasion,
                access_token: self.tokens.grant.access_token(),
            };
            id_token::verify(id_token, &expected, keys, now)
        };
        match (&self.origin, &self.tokens.id_token) {
            (Origin::Login { login, .. }, Some(id_token)) => {
                verify(id_token, Occasion::Login { nonce: login.nonce() })
            }
            (Origin::Refresh(_), Some(id_token)) => verify(id_token, Occasion::Refresh),
            (Origin::Refresh(held), None) if provider.id_token.required => {
                let rule = &provider.answers.subject;
                let sub = if rule.is_sub() { Some(&held.subject) } else { held.sub.as_ref() };
                Ok(VerifiedClaims::of_refreshed(&provider.issuer, sub.map(String::as_str)))
            }
            (Origin::Login { .. } | Origin::Refresh(_), None) => {
                Ok(VerifiedClaims::of_nobody(&provider.issuer))
            }
        }
    }
}

impl Parties {
    /// Redeems a code for which nothing has to vouch, or something did.
    fn redeem(
        self,
        code: Secret,
        login: PendingLogin,
        announced: Option<Box<Announced>>,
        moment: Moment,
    ) -> Result<Step, ExchangeError> {
        let origin = Origin::Login { code, login, announced };
        let asked = Box::new(TokenQuestion { origin, asked_for_nonce: false });
        self.ask_for_tokens(asked, None, moment)
    }

    /// Redeems a code, if the token beside it vouches for it.
    fn believe(
        self,
        vouched: Box<Vouched>,
        keys: &KeySet,
        moment: Moment,
    ) -> Result<Step, ExchangeError> {
        match vouched.verify(&self, keys, moment.now) {
            Ok(announced) => {
                let Vouched { code, login, .. } = *vouched;
                self.redeem(code, login, Some(Box::new(announced)), moment)
            }
            Err(error) if error.may_pass_with_newer_keys() => {
                let unverified = Unverified::Answer(vouched);
                Ok(Step::NewerKeys(AwaitingKeys { parties: self, unverified }))
            }
            Err(error) => Err(ExchangeError::AnnouncedIdToken(error)),
        }
    }

    /// Believes the tokens, if they are to be believed, and asks for the rest.
    fn read(
        self,
        answer: Box<TokenAnswer>,
        keys: &KeySet,
        moment: Moment,
    ) -> Result<Step, ExchangeError> {
        match answer.verify(&self, keys, moment.now) {
            Ok(claims) => self.ask_more(claims, *answer, keys, moment),
            Err(error) if error.may_pass_with_newer_keys() => {
                let unverified = Unverified::IdToken(answer);
                Ok(Step::NewerKeys(AwaitingKeys { parties: self, unverified }))
            }
            Err(error) => Err(error.into()),
        }
    }

    fn ask_for_tokens(
        self,
        asked: Box<TokenQuestion>,
        nonce: Option<&str>,
        mut moment: Moment,
    ) -> Result<Step, ExchangeError> {
        let (provider, metadata, moment) = (&self.provider, &self.metadata, &mut moment);
        let request = match &asked.origin {
            Origin::Login { code, login, .. } => {
                tokens::code_request(code, login, provider, metadata, nonce, moment)
            }
            Origin::Refresh(held) => {
                tokens::refresh_request(&held.refresh_token, provider, metadata, nonce, moment)
            }
        }?;
        Ok(self.ask(request, Question::Tokens(asked)))
    }

    fn ask_for_claims(
        self,
        inquiry: Box<Inquiry>,
        nonce: Option<&str>,
        mut moment: Moment,
    ) -> Result<Step, ExchangeError> {
        let aliases = self.provider.uses_mtls_aliases();
        let url = self.metadata.endpoint(Endpoint::Userinfo, aliases);
        let url = url.ok_or(ClientAuthError::NoEndpoint(Endpoint::Userinfo))?;
        let access_token = inquiry.access_token()?;
        let request = userinfo::request(&self.provider, url, access_token, nonce, &mut moment)?;
        Ok(self.ask(request, Question::Claims(inquiry, nonce.is_some())))
    }

    fn add_claims(
        &self,
        response: &Response<Vec<u8>>,
        inquiry: &mut Inquiry,
        keys: &KeySet,
        now: Timestamp,
    ) -> Result<(), ExchangeError> {
        let claims = &mut inquiry.signed_in.claims;
        userinfo::add(response, claims, &self.provider, &self.metadata, keys, now)
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

    /// The nonce that an answer wants in the next proof, if that is what it says. Without a key there is no
    /// proof, and the answer is a refusal like any other (DP2).
    fn wanted_nonce<'a>(
        &self,
        endpoint: Endpoint,
        response: &'a Response<Vec<u8>>,
    ) -> Option<&'a str> {
        let wanted = self.provider.dpop.is_some()
            && match endpoint {
                Endpoint::Lookup | Endpoint::Userinfo => dpop::resource_wants_nonce(response),
                Endpoint::Introspection
                | Endpoint::PushedAuthorizationRequest
                | Endpoint::Revocation
                | Endpoint::Token => tokens::wants_dpop_nonce(endpoint, response),
                // Asked without a proof.
                Endpoint::ServiceAccount => false,
            };
        dpop::nonce(response).filter(|_| wanted)
    }

    /// The end, or one more question.
    fn ask_more(
        mut self,
        mut claims: VerifiedClaims,
        answer: TokenAnswer,
        keys: &KeySet,
        moment: Moment,
    ) -> Result<Step, ExchangeError> {
        let Tokens { id_token, grant, .. } = answer.tokens;
        if let Origin::Login { announced: Some(announced), .. } = &answer.origin
            && !announced.is(&claims)
        {
            return Err(ExchangeError::OtherPersonAnnounced);
        }
        if id_token.is_some() {
            inquiry::check_id_token(&self.provider, &claims)?;
        }
        let access_token = grant.access_token();
        let members = &mut claims.members;
        quirk::read_access_token(&self.provider, access_token, keys, moment.now, members);
        let wanted = userinfo::is_wanted(&self.provider.userinfo, &claims)
            || (!self.provider.id_token.required && self.nobody_else_names_them());
        let (complete, grant) = match answer.origin {
            Origin::Login { .. } => (true, grant),
            Origin::Refresh(held) => {
                self.refreshed = Some(held.subject);
                let complete = id_token.is_some() || !self.provider.id_token.required;
                (complete, grant.or_refresh_token(held.refresh_token))
            }
        };
        let inquiry = Box::new(Inquiry::new(SignedIn { claims, complete, id_token, grant }));
        if wanted && self.metadata.userinfo_endpoint.is_some() {
            self.ask_for_claims(inquiry, None, moment)
        } else {
            inquiry.next(self, moment)
        }
    }

    /// Whether no lookup reads the claim that names a person, if one does.
    fn nobody_else_names_them(&self) -> bool {
        let SubjectRule::Claim(subject) = &self.provider.answers.subject else { return false };
        let lookups = &self.provider.manner.lookups;
        !lookups.iter().flat_map(|lookup| &lookup.reads).any(|read| read.claim == *subject)
    }

    /// Makes the subject what the operator's rule says it is. `complete`: all their claims are known.
    pub(crate) fn named(
        &self,
        claims: VerifiedClaims,
        complete: bool,
        mut moment: Moment,
    ) -> Result<VerifiedClaims, ExchangeError> {
        let rule = &self.provider.answers.subject;
        let claims = match &self.refreshed {
            None => claims.with_subject(rule, moment.unique()),
            // What was not said again is as it was; the grant is that person's.
            Some(before) if !complete && rule.is_unsaid(&claims) => {
                Some(VerifiedClaims { subject: before.clone(), ..claims })
            }
            Some(before) => {
                // A pseudonym is the one that was given at sign-in.
                let claims = claims.with_subject(rule, before.clone());
                if claims.as_ref().is_some_and(|claims| !secret::same(claims.subject(), before)) {
                    return Err(ExchangeError::OtherPerson);
                }
                claims
            }
        };
        claims.ok_or(ExchangeError::SubjectMissing)
    }
}

/// Requests carry codes and secrets and are not shown.
impl fmt::Debug for Step {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ask(_, exchange) => formatter.debug_tuple("Ask").field(exchange).finish(),
            Self::NewerKeys(waiting) => formatter.debug_tuple("NewerKeys").field(waiting).finish(),
            Self::Renewed(grant, _) => formatter.debug_tuple("Renewed").field(grant).finish(),
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
