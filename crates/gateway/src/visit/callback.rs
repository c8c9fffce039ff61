//! Coming back from the provider: matched, redeemed, verified, and only then signed in.

use std::error::Error;
use std::sync::Arc;

use lychgate_oidc::{
    Callback, CallbackError, ExchangeError, IdTokenError, JwsError, KnownError, ProviderRefusal,
    SignedIn, Step, Timestamp,
};

use super::{Gateway, Provider, Site};
use crate::client;
use crate::identity::Identity;
use crate::login_state::LoginId;
use crate::origin::ReturnTo;
use crate::outcome::{Answer, Event, Outcome, Redirect, Refusal, Words};
use crate::reason::Reason;
use crate::request::Request;
use crate::session::{Session, SessionId};
use crate::world::{Known, Spent, World};

/// A sign-in that ended without a session: what the visitor may know, and what the log must.
struct Failure {
    reason: Reason,
    words: Words,
    cause: String,
}

impl Failure {
    fn new(reason: Reason, cause: impl Into<String>) -> Self {
        Self { reason, words: Words::default(), cause: cause.into() }
    }
}

impl Gateway {
    /// The callback. Whatever goes wrong, there is no session afterwards that was not there before, and no
    /// parameter of the callback is shown, stored or passed on (CB-35, CB-54).
    pub(super) async fn come_back<W: World>(
        &self,
        world: &W,
        request: &Request<'_>,
        site: &Site,
        now: Timestamp,
    ) -> Outcome {
        if client::is_prefetch(request.headers) {
            let failure =
                Failure::new(Reason::LoginMalformed, "a browser looked ahead; nothing was used up");
            return self.failed(request, site, None, None, failure);
        }
        let callback = match Callback::parse(request.query.unwrap_or_default()) {
            Ok(callback) => callback,
            Err(error) => return self.failed(request, site, None, None, error.into()),
        };
        let Some(id) = callback.state().map(LoginId::of) else {
            return self.failed(request, site, None, None, callback.without_login().into());
        };
        let pending = self.login_cookie(request, site, id);
        let Some((state, provider)) =
            pending.and_then(|value| self.open_login(site, &id.text(), &value))
        else {
            return match world.spent(id) {
                Some(return_to) => self.replayed(world, request, site, id, &return_to, now),
                None => self.failed(request, site, Some(id), None, callback.without_login().into()),
            };
        };
        let return_to = self.return_to(&state.return_to, site);
        let about = Some((provider, &return_to));

        if now.since(state.pending.begun_at()) >= self.settings.login_timeout {
            let failure = Failure::new(Reason::LoginExpired, "the login began too long ago");
            return self.failed(request, site, Some(id), about, failure);
        }
        if state.pending.redirect_uri() != format!("{}{}", site.origin, request.path) {
            let failure = Failure::new(Reason::LoginNotOurs, "the login has another redirect URI");
            return self.failed(request, site, Some(id), about, failure);
        }
        let registration = &provider.settings.registration;
        let Some(known) = world.provider(&registration.name) else {
            let failure =
                Failure::new(Reason::ProviderUnavailable, "the provider's metadata is not known");
            // Nothing was used up: the same callback is good once the provider is known.
            return self.failed(request, site, None, about, failure);
        };
        // From here on this login is used up, whichever way it ends (CB-09, CB-30).
        if world.spend(id, return_to.as_str()) == Spent::Before {
            return self.replayed(world, request, site, id, return_to.as_str(), now);
        }
        let matched = match callback.matching(state.pending, registration, &known.metadata) {
            Ok(matched) => matched,
            Err(error) => return self.failed(request, site, Some(id), about, error.into()),
        };
        let first_step = matched.redeem(Arc::clone(registration), Arc::clone(&known.metadata));
        match redeem(world, &registration.name, &known, first_step, now).await {
            Ok(signed_in) => self
                .signed_in(world, request, site, provider, id, &signed_in, return_to, &known, now),
            Err(failure) => self.failed(request, site, Some(id), about, failure),
        }
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "a session is made of these, and nothing else shares them"
    )]
    fn signed_in<W: World>(
        &self,
        world: &W,
        request: &Request<'_>,
        site: &Site,
        provider: &Provider,
        login: LoginId,
        signed_in: &SignedIn,
        return_to: ReturnTo,
        known: &Known,
        now: Timestamp,
    ) -> Outcome {
        let about = Some((provider, &return_to));
        let identity = match Identity::from_claims(&signed_in.claims, &provider.settings) {
            Ok(identity) => identity,
            Err(missing) => {
                let failure = Failure::new(Reason::ClaimMissing, missing.to_string());
                return self.failed(request, site, Some(login), about, failure);
            }
        };
        let mut entropy = [0; 16];
        world.fill_random(&mut entropy);
        let hint = known.metadata.end_session_endpoint.is_some().then_some(&signed_in.id_token);
        let limits = &self.settings.sessions;
        let mut session =
            Session::begin(SessionId::new(entropy), login, identity, hint, limits, now);
        let mut cookies =
            self.session_cookies(world, site, provider, &session, request.headers, now);
        if cookies.is_err() {
            session = session.without_id_token();
            cookies = self.session_cookies(world, site, provider, &session, request.headers, now);
        }
        let cookies = match cookies {
            Ok(cookies) => cookies,
            Err(too_large) => {
                let (claim, bytes) = session.identity().largest();
                let cause = format!("{too_large}; the largest part is {claim} with {bytes} bytes");
                return self.failed(
                    request,
                    site,
                    Some(login),
                    about,
                    Failure::new(Reason::SessionTooLarge, cause),
                );
            }
        };
        // Whoever was signed in here before is not any more, whatever copies of the cookie there are (F11).
        if let Ok(before) = self.session(world, request, site, now) {
            world.revoke(before.session.id());
        }
        let mut outcome = Outcome::answer(Answer::Redirect(Redirect::back(return_to)));
        outcome.cookies = cookies;
        outcome.cookies.extend(site.cookies.clear_login(&login.text()));
        outcome.record.provider = Some(provider.settings.registration.name.clone());
        outcome.record.session = Some(Arc::new(session));
        outcome.record.event = Some(Event::LoginSucceeded { flow: login.text() });
        outcome
    }

    /// The same callback once more: by the back button, a reload, or somebody who found the address. Nothing
    /// is asked of the provider again (CB-29).
    fn replayed<W: World>(
        &self,
        world: &W,
        request: &Request<'_>,
        site: &Site,
        id: LoginId,
        return_to: &str,
        now: Timestamp,
    ) -> Outcome {
        let own = self
            .session(world, request, site, now)
            .ok()
            .filter(|opened| opened.session.login() == id);
        let mut outcome = match own {
            Some(opened) => {
                opened.answer(Answer::Redirect(Redirect::back(self.return_to(return_to, site))))
            }
            None => {
                let sign_in = Some(self.login_link(site, "/", &[]));
                let refusal =
                    Refusal { sign_in, ..Refusal::new(Reason::LoginAlreadyUsed, request.kind()) };
                Outcome::refuse(refusal)
            }
        };
        outcome.record.event = Some(Event::LoginReplayed { flow: id.text() });
        outcome
    }

    fn failed(
        &self,
        request: &Request<'_>,
        site: &Site,
        id: Option<LoginId>,
        about: Option<(&Provider, &ReturnTo)>,
        failure: Failure,
    ) -> Outcome {
        // The link keeps the target only for a login that this browser began.
        let target = about.map_or("/", |(_, return_to)| return_to.as_str());
        let target = target
            .strip_prefix(site.origin.as_str())
            .filter(|path| path.starts_with('/'))
            .unwrap_or(target);
        let sign_in = Some(self.login_link(site, target, &[]));
        let mut outcome = Outcome::refuse(Refusal {
            sign_in,
            words: failure.words,
            ..Refusal::new(failure.reason, request.kind())
        });
        if let (Some(id), Some((provider, _))) = (id, about) {
            outcome.cookies.extend(site.cookies.clear_login(&id.text()));
            outcome.record.provider = Some(provider.settings.registration.name.clone());
        }
        outcome.record.event = Some(Event::LoginFailed { flow: id.map(|id| id.text()) });
        outcome.record.cause = Some(failure.cause);
        outcome
    }
}

/// Asks the provider until it can be believed, or cannot.
async fn redeem<W: World>(
    world: &W,
    provider: &str,
    known: &Known,
    mut step: Step,
    now: Timestamp,
) -> Result<Box<SignedIn>, Failure> {
    let mut keys = Arc::clone(&known.keys);
    loop {
        step = match step {
            Step::Ask(question, exchange) => {
                let answer = world.fetch(provider, question).await;
                let answer = answer.map_err(|error| {
                    let cause = format!("{} endpoint: {error}", exchange.endpoint());
                    Failure::new(Reason::ProviderUnavailable, cause)
                })?;
                exchange.receive(answer, &keys, now)?
            }
            Step::NewerKeys(exchange) => {
                keys = world.newer_keys(provider).await;
                exchange.with_keys(&keys, now)?
            }
            Step::Believe(signed_in) => return Ok(signed_in),
        };
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
        Self { reason, words, cause }
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

impl From<ExchangeError> for Failure {
    fn from(error: ExchangeError) -> Self {
        let reason = match &error {
            ExchangeError::IdToken(error) => distrusted(error),
            ExchangeError::UserinfoSigned | ExchangeError::UserinfoSubject => {
                Reason::UserinfoInvalid
            }
            ExchangeError::TokenClientRefused(_) => Reason::ProviderRefused,
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
        Self::new(reason, chain(&error))
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
