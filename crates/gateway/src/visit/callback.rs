//! Coming back from the provider: matched, redeemed, verified, and only then signed in.

use std::sync::Arc;
use std::time::Duration;

use http::Method;
use lychgate_oidc::{
    AuthorizationResponse, Callback, CallbackError, KeySet, SignedIn, SignedResponse, Timestamp,
};

use super::conversation::{moment, until_believed};
use super::failure::{Failure, IdTokenOf};
use super::sign_in::Wish;
use super::stale::{forgetting, means_another_tab};
use super::{Gateway, Provider, Site};
use crate::client;
use crate::identity::Identity;
use crate::login_state::{LoginId, LoginState};
use crate::origin::ReturnTo;
use crate::outcome::{Answer, Event, Leg, LegKind, Outcome, Redirect, RedirectMethod, Refusal};
use crate::reason::Reason;
use crate::request::Request;
use crate::session::{Session, SessionId};
use crate::world::{Known, Spent, World};

/// How far a callback came, for the audit log.
#[derive(Default)]
struct Course {
    /// The login that it is about, once it is known to be one.
    flow: Option<String>,
    /// What the provider was asked.
    legs: Vec<Leg>,
}

impl Course {
    /// The code was given for tokens, which took so long.
    fn exchanged(&mut self, failure: Option<&Failure>, took: Duration) {
        let leg = |kind, reason, took| Leg { kind, flow: self.flow.clone(), reason, took };
        let reason = failure.map(|failure| failure.reason);
        let refused = failure.and_then(|failure| failure.refused_id_token);
        let exchange = match refused {
            // The code was never sent.
            Some(IdTokenOf::AuthorizationResponse) => None,
            // What is not believed did come.
            Some(IdTokenOf::TokenEndpoint) => Some(leg(LegKind::CodeExchanged, None, Some(took))),
            None => Some(leg(LegKind::CodeExchanged, reason, Some(took))),
        };
        let id_token = refused.map(|_| leg(LegKind::IdTokenRefused, reason, None));
        self.legs.extend(exchange.into_iter().chain(id_token));
    }
}

impl Gateway {
    /// The callback, and everything that the audit log is told of it.
    pub(super) async fn come_back<W: World>(
        &self,
        world: &W,
        request: &Request<'_>,
        site: &Site,
        now: Timestamp,
    ) -> Outcome {
        let mut course = Course::default();
        let mut outcome = self.arrive(world, request, site, now, &mut course).await;
        let kind = LegKind::CallbackReceived;
        // What belongs to no login of this browser is told once, as what became of it: strangers can bring much of it.
        let received = |flow| Leg { kind, flow: Some(flow), reason: None, took: None };
        let mut legs = Vec::from_iter(course.flow.map(received));
        legs.append(&mut course.legs);
        // A new login may have begun in the place of one that took too long.
        legs.append(&mut outcome.record.legs);
        outcome.record.legs = legs;
        outcome
    }

    /// The callback. Whatever goes wrong, there is no session afterwards that was not there before, and no
    /// parameter of the callback is shown, stored or passed on (CB-35, CB-54).
    async fn arrive<W: World>(
        &self,
        world: &W,
        request: &Request<'_>,
        site: &Site,
        now: Timestamp,
        course: &mut Course,
    ) -> Outcome {
        if client::is_prefetch(request.headers) {
            let failure =
                Failure::new(Reason::LoginMalformed, "a browser looked ahead; nothing was used up");
            return self.failed(request, site, None, None, failure);
        }
        let parameters = match *request.method {
            Method::POST => request.form(),
            _ => Some(request.query.unwrap_or_default()),
        };
        let Some(parameters) = parameters else {
            let failure = Failure::new(Reason::LoginMalformed, "what was posted is no form");
            return self.failed(request, site, None, None, failure);
        };
        let callback = match AuthorizationResponse::read(parameters) {
            Ok(AuthorizationResponse::Plain(callback)) => callback,
            Ok(AuthorizationResponse::Signed(response)) => {
                match self.verified(world, request, site, response, now).await {
                    Ok(callback) => callback,
                    Err(failure) => return self.failed(request, site, None, None, failure),
                }
            }
            Err(error) => return self.failed(request, site, None, None, error.into()),
        };
        if let Some(refusal) = callback.refusal_without_state()
            && let Some((state, provider)) = self.awaited_here(request, site, now)
        {
            let return_to = self.return_to(&state.return_to, site);
            let rules = &provider.settings.sign_in.errors;
            let failure = Failure::without_state(refusal, rules);
            if state.silent {
                return self.asks_after_all(site, provider, &return_to, state.id(), failure);
            }
            // Nothing is used up: whoever brought this, the login may still be answered.
            return self.failed(request, site, None, Some((provider, &return_to)), failure);
        }
        let Some(id) = callback.state().map(LoginId::of) else {
            return self.failed(request, site, None, None, callback.without_login().into());
        };
        let pending = self.login_cookie(request, site, id);
        let Some((state, provider)) =
            pending.and_then(|value| self.open_login(site, &id.text(), &value))
        else {
            return match world.spent(id) {
                Some(return_to) => self.replayed(world, request, site, id, &return_to, now),
                None => self.strange(request, site, id, callback.without_login().into()),
            };
        };
        course.flow = Some(id.text());
        let return_to = self.return_to(&state.return_to, site);
        let about = Some((provider, &return_to));

        if now.since(state.pending.begun_at()) >= self.login_timeout(provider) {
            let answered = !callback.is_refusal();
            return self
                .too_late(world, request, site, (state, provider), &return_to, answered, now)
                .await;
        }
        if state.pending.redirect_uri() != format!("{}{}", site.origin, request.path) {
            let failure = Failure::new(Reason::LoginNotOurs, "the login has another redirect URI");
            return self.failed(request, site, Some(id), about, failure);
        }
        let registration = &provider.settings.registration;
        if (*request.method == Method::POST) != registration.answers.mode.is_posted() {
            let failure = Failure::new(
                Reason::LoginMalformed,
                "the answer did not come by the method that was asked for",
            );
            return self.failed(request, site, None, about, failure);
        }
        let Some(known) = world.provider(&registration.name) else {
            let failure =
                Failure::new(Reason::ProviderUnavailable, "the provider's metadata is not known");
            // Nothing was used up: the same callback is good once the provider is known.
            return self.failed(request, site, None, about, failure);
        };
        // From here on this login is used up, whichever way it ends (CB-09, CB-30).
        if world.spend(id, return_to.as_str()).await == Spent::Before {
            return self.replayed(world, request, site, id, return_to.as_str(), now);
        }
        let begun_at = state.pending.begun_at();
        let matched = match callback.matching(state.pending, registration, &known.metadata) {
            Ok(matched) => matched,
            Err(error) => {
                let refused = matches!(error, CallbackError::Provider(_));
                let another_tab = means_another_tab(&error);
                let failure = Failure::provider(error, &provider.settings.sign_in.errors);
                if state.silent && refused {
                    return self.asks_after_all(site, provider, &return_to, id, failure);
                }
                if another_tab
                    && let Some(outcome) =
                        self.goes_on(world, request, site, provider, begun_at, &return_to, now)
                {
                    return forgetting(outcome, site, id, failure);
                }
                return self.failed(request, site, Some(id), about, failure);
            }
        };
        let redeem = {
            let (registration, metadata) = (Arc::clone(registration), Arc::clone(&known.metadata));
            let keys = Arc::clone(&known.keys);
            move |moment| matched.redeem(registration, metadata, &keys, moment)
        };
        let asked_at = world.elapsed();
        let believed = until_believed(world, registration, &known, redeem, &request.id, now).await;
        course.exchanged(believed.as_ref().err(), world.elapsed().saturating_sub(asked_at));
        match believed {
            Ok(signed_in) => self
                .signed_in(world, request, site, provider, id, &signed_in, return_to, &known, now),
            Err(failure) => self.failed(request, site, Some(id), about, failure),
        }
    }

    /// What a signed response says, once it is verified. Whose it has to be follows from where it came.
    async fn verified<W: World>(
        &self,
        world: &W,
        request: &Request<'_>,
        site: &Site,
        response: SignedResponse,
        now: Timestamp,
    ) -> Result<Callback, Failure> {
        let mut here = self.providers_at(request, site);
        let (Some(provider), None) = (here.next(), here.next()) else {
            return Err(CallbackError::SignedResponse.into());
        };
        let registration = &provider.settings.registration;
        let known = world.provider(&registration.name).ok_or_else(|| {
            Failure::new(Reason::ProviderUnavailable, "the provider's metadata is not known")
        })?;
        let verify = async |response: SignedResponse, keys: Arc<KeySet>| {
            let moment = moment(world, registration, now).await?;
            let registration = Arc::clone(registration);
            let verified = world.compute(move || {
                let callback = response.verify(&registration, &keys, moment);
                (response, callback)
            });
            Ok::<_, Failure>(verified.await)
        };
        let (response, mut callback) = verify(response, known.keys).await?;
        if callback.as_ref().is_err_and(CallbackError::may_pass_with_newer_keys) {
            let keys = world.newer_keys(&registration.name).await;
            (_, callback) = verify(response, keys).await?;
        }
        callback.map_err(Failure::from)
    }

    /// The login of this browser that an error without `state` may be about: at the one provider that answers
    /// here, where the operator said that it never repeats `state` (CB-13).
    fn awaited_here(
        &self,
        request: &Request<'_>,
        site: &Site,
        now: Timestamp,
    ) -> Option<(LoginState, &Provider)> {
        let mut here = self.providers_at(request, site);
        let (provider, None) = (here.next()?, here.next()) else { return None };
        if !provider.settings.sign_in.errors.show_without_state {
            return None;
        }
        let opened = site.cookies.logins(request.headers);
        opened
            .filter_map(|(id, value)| self.open_login(site, id, value))
            .filter(|(_, at)| at.tag == provider.tag)
            .find(|(state, _)| now.since(state.pending.begun_at()) < self.login_timeout(provider))
    }

    /// The provider could not sign anybody in without asking, so now it may ask: once, since the hint that it was
    /// given is gone from the browser (CB-44, CB-45).
    fn asks_after_all(
        &self,
        site: &Site,
        provider: &Provider,
        return_to: &ReturnTo,
        id: LoginId,
        failure: Failure,
    ) -> Outcome {
        let link = self.choice(provider, return_to, &Wish::default()).link;
        let mut outcome =
            Outcome::answer(Answer::Redirect(Redirect::to_ours(link, RedirectMethod::SeeOther)));
        outcome.cookies.extend(site.cookies.clear_login(&id.text()));
        outcome.record.provider = Some(provider.settings.registration.name.clone());
        outcome.record.event = Some(Event::LoginFailed { flow: Some(id.text()) });
        outcome.record.reason = Some(failure.reason);
        outcome.record.provider_error = failure.provider_error();
        outcome.record.cause = Some(format!("silent: {}", failure.cause));
        outcome
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
        let kept =
            known.metadata.end_session_endpoint.is_some() || provider.settings.sign_in.silent_login;
        let hint = signed_in.id_token.as_ref().filter(|_| kept);
        let limits = &self.settings.sessions;
        let session = Session::begin(SessionId::new(entropy), login, identity, hint, limits, now);
        let mut session = self.with_grant(session, provider, &signed_in.grant, now);
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
        let counted = self.returned(request, site, &return_to, now);
        let mut outcome = Outcome::answer(Answer::Redirect(Redirect::back(return_to)));
        outcome.cookies = cookies;
        outcome.cookies.extend(counted);
        outcome.cookies.extend(site.cookies.clear_login(&login.text()));
        if self.providers.len() > 1 {
            outcome.cookies.extend(site.cookies.set_choice(provider.mark()));
        }
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
                let mut outcome = Outcome::refuse(refusal);
                outcome.record.cause = Some("this login was completed before".to_owned());
                outcome
            }
        };
        outcome.record.event = Some(Event::LoginReplayed { flow: id.text() });
        outcome
    }

    pub(super) fn failed(
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
        let provider_error = failure.provider_error();
        let mut outcome = Outcome::refuse(Refusal {
            sign_in,
            words: failure.words,
            retry_after: failure.retry_after,
            ..Refusal::new(failure.reason, request.kind())
        });
        if let (Some(id), Some(_)) = (id, about) {
            outcome.cookies.extend(site.cookies.clear_login(&id.text()));
        }
        if let Some((provider, _)) = about {
            outcome.record.provider = Some(provider.settings.registration.name.clone());
        }
        outcome.record.event = Some(Event::LoginFailed { flow: id.map(|id| id.text()) });
        outcome.record.provider_error = provider_error;
        outcome.record.cause = Some(failure.cause);
        outcome
    }
}
