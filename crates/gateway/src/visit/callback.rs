//! Coming back from the provider: matched, redeemed, verified, and only then signed in.

use std::sync::Arc;
use std::time::Duration;

use lychgate_oidc::{Callback, MatchedCallback, SignedIn, Step, Timestamp};

use super::failure::Failure;
use super::{Gateway, Provider, Site, moment};
use crate::client;
use crate::identity::Identity;
use crate::login_state::LoginId;
use crate::origin::ReturnTo;
use crate::outcome::{Answer, Event, Outcome, Redirect, Refusal};
use crate::reason::Reason;
use crate::request::Request;
use crate::session::{Session, SessionId};
use crate::world::{Known, Spent, World};

/// How long a provider may take for everything that it is asked in one sign-in (CB-34).
const CALLBACK_PATIENCE: Duration = Duration::from_secs(45);

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
        let redeemed = redeem(world, registration, &known, matched, now);
        let Some(redeemed) = world.within(CALLBACK_PATIENCE, redeemed).await else {
            let cause = format!("no end after {} s of questions", CALLBACK_PATIENCE.as_secs());
            let failure = Failure::new(Reason::ProviderUnavailable, cause);
            return self.failed(request, site, Some(id), about, failure);
        };
        match redeemed {
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
        let signs_out = known.metadata.end_session_endpoint.is_some();
        let hint = signed_in.id_token.as_ref().filter(|_| signs_out);
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
                    Refusal { sign_in, ..Refusal::new(Reason::LoginAlreadyUsed, request.kind) };
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
            retry_after: failure.retry_after,
            ..Refusal::new(failure.reason, request.kind)
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
    registration: &Arc<lychgate_oidc::Provider>,
    known: &Known,
    matched: MatchedCallback,
    now: Timestamp,
) -> Result<Box<SignedIn>, Failure> {
    let mut keys = Arc::clone(&known.keys);
    let mut step = {
        let (registration, metadata) = (Arc::clone(registration), Arc::clone(&known.metadata));
        let moment = moment(world, now);
        world.compute(move || matched.redeem(registration, metadata, moment)).await?
    };
    loop {
        let moment = moment(world, now);
        step = match step {
            Step::Ask(question, exchange) => {
                let answer = world.fetch(&registration.name, question).await;
                let answer = answer.map_err(|error| {
                    let cause = format!("{} endpoint: {error}", exchange.endpoint());
                    Failure::new(Reason::ProviderUnavailable, cause)
                })?;
                let keys = Arc::clone(&keys);
                world.compute(move || exchange.receive(answer, &keys, moment)).await?
            }
            Step::NewerKeys(exchange) => {
                keys = world.newer_keys(&registration.name).await;
                let keys = Arc::clone(&keys);
                world.compute(move || exchange.with_keys(&keys, moment)).await?
            }
            Step::Believe(signed_in) => return Ok(signed_in),
        };
    }
}
