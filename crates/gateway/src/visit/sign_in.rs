//! Beginning a sign-in: where, as whom, and back to what.

use std::sync::Arc;
use std::time::Duration;

use lychgate_oidc::{
    AuthorizationUrl, Beginning, Endpoint as ProviderEndpoint, LoginEntropy, LoginRequest,
    PendingLogin, Secret, Timestamp, login,
};

use super::conversation::{ask, moment};
use super::failure::Failure;
use super::{Gateway, Provider, Site};
use crate::client::{self, Client};
use crate::cookie::Found as FoundCookie;
use crate::endpoint::{self, Endpoint};
use crate::login_state::{LoginId, LoginState};
use crate::origin::ReturnTo;
use crate::outcome::{
    Answer, Choice, Event, Leg, LegKind, Outcome, Page, Redirect, RedirectMethod, Refusal,
};
use crate::path::CanonicalPath;
use crate::policy::Challenge;
use crate::reason::Reason;
use crate::request::{Request, RequestId};
use crate::route::Found;
use crate::seal::{Binding, Purpose};
use crate::session::NoSession;
use crate::world::{Known, World};

/// What a person may ask of the provider through our own links.
const PROMPTS: [&str; 2] = ["login", "select_account"];

/// The parameters of a login link that mean something to ourselves.
const OURS: [&str; 7] =
    ["fragment", "iss", "login_hint", "prompt", "provider", "return_to", "target_link_uri"];

/// How many bytes of a `login_hint` are passed on: some providers take a signed token with another inside.
const LOGIN_HINT_BYTES_MAX: usize = 2048;

/// What a sign-in asks of the provider beyond the ordinary.
#[derive(Clone, Debug, Default)]
pub(super) struct Wish {
    prompt: Option<String>,
    login_hint: Option<String>,
    /// What some provider takes from the login link.
    parameters: Vec<(String, String)>,
    /// It is begun by itself in the place of one that took too long.
    restarted: bool,
}

impl Wish {
    /// The ordinary, in the place of a login that took too long.
    pub(super) fn restarted() -> Self {
        Self { restarted: true, ..Self::default() }
    }

    /// As parameters of our own login page.
    fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        let prompt = self.prompt.as_deref().map(|prompt| ("prompt", prompt));
        let hint = self.login_hint.as_deref().map(|hint| ("login_hint", hint));
        let more = self.parameters.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        prompt.into_iter().chain(hint).chain(more)
    }
}

/// How long a browser keeps a login that took too long.
const KNOWN_WHEN_LATE: Duration = Duration::from_secs(3600);

/// When to come back to a provider whose metadata is not there yet.
const METADATA_PATIENCE: Duration = Duration::from_secs(10);

impl Gateway {
    /// Sends the visitor of an application to sign in.
    ///
    /// A browser goes by way of our own page, where the fragment can be kept and a provider chosen. A tool
    /// that follows redirects goes straight to the provider, if there is one to go to.
    pub(super) async fn send_to_sign_in<W: World>(
        &self,
        world: &W,
        request: &Request<'_>,
        site: &Site,
        challenge: &Challenge,
        now: Timestamp,
    ) -> Outcome {
        let here = self.sign_in_elsewhere(site).is_none();
        if let ([only], true, Client::Navigation) =
            (&*challenge.rule.route().providers, here, request.kind())
            && let Some(provider) = self.provider(only)
        {
            let return_to = self.return_to(&request.target(), site);
            let wish = Wish::default();
            return self.begin(world, request, site, provider, &return_to, &wish, now).await;
        }
        let link = self.login_link(site, &request.target(), &[]);
        Outcome::answer(Answer::Redirect(Redirect::to_ours(link, RedirectMethod::Found)))
    }

    /// Our own page to sign in at.
    ///
    /// Other sites may send people here to sign in at an issuer (OIDC Core §4): with `iss`, which has to be that
    /// of one provider, `login_hint`, and `target_link_uri`, which is held to what any return target is.
    pub(super) async fn sign_in<W: World>(
        &self,
        world: &W,
        request: &Request<'_>,
        site: &Site,
        now: Timestamp,
    ) -> Outcome {
        if client::is_prefetch(request.headers) {
            return Outcome::refuse(Refusal::new(Reason::SessionRequired, request.kind()));
        }
        let target = request.field("return_to").or_else(|| request.field("target_link_uri"));
        let fragment = request.parameter("fragment").unwrap_or_default();
        let return_to =
            self.return_to(target.as_deref().unwrap_or("/"), site).with_fragment(&fragment);
        let wish = self.wish(request);
        let providers = self.providers_for(&return_to);
        let chosen = match request.field("iss") {
            Some(issuer) => {
                let mut those = providers
                    .iter()
                    .copied()
                    .filter(|provider| provider.settings.registration.issuer == issuer);
                match (those.next(), those.next()) {
                    (Some(only), None) => Some(only),
                    (None, _) | (Some(_), Some(_)) => {
                        let refusal = Refusal::new(Reason::LoginIssuerUnknown, request.kind());
                        let sign_in = Some(self.login_link(site, "/", &[]));
                        return Outcome::refuse(Refusal { sign_in, ..refusal });
                    }
                }
            }
            None => {
                let named = request.field("provider");
                let named = named.and_then(|name| {
                    let mut all = providers.iter().copied();
                    all.find(|provider| provider.settings.registration.name == name)
                });
                named.or_else(|| expects(&providers, wish.login_hint.as_deref()?))
            }
        };
        // What was posted here becomes a page that was asked for, with the cookies that belong to it.
        let posted = *request.method == http::Method::POST;
        if posted || self.sign_in_elsewhere(site).is_some() {
            let target = match return_to.origin() {
                Some(origin) if origin == site.origin => return_to.local(),
                _ => "/",
            };
            let chosen = chosen.map(|provider| provider.settings.registration.name.as_str());
            let parameters: Vec<_> =
                wish.pairs().chain(chosen.map(|name| ("provider", name))).collect();
            let link = self.login_link(site, target, &parameters);
            let method = if posted { RedirectMethod::SeeOther } else { RedirectMethod::Found };
            return Outcome::answer(Answer::Redirect(Redirect::to_ours(link, method)));
        }

        if wish.prompt.is_none()
            && let Ok(opened) = self.session(world, request, site, now)
            && providers.iter().any(|provider| {
                provider.settings.registration.name == opened.session.identity().provider()
            })
        {
            // Who comes here again and again for another origin is not signed in there.
            let elsewhere = return_to.origin().is_some_and(|origin| origin != site.origin);
            if elsewhere
                && let Some(stopped) =
                    self.circle(request, site, &return_to, NoSession::NoCookie, now)
            {
                return stopped;
            }
            // Somebody who is signed in already, by the back button or in another tab, just goes on.
            let counted = elsewhere.then(|| self.returned(request, site, &return_to, now));
            let mut outcome = opened.answer(Answer::Redirect(Redirect::back(return_to)));
            outcome.cookies.extend(counted.flatten());
            return outcome;
        }
        match (chosen, &*providers) {
            (Some(provider), _) => {
                self.begin(world, request, site, provider, &return_to, &wish, now).await
            }
            (None, [only])
                if request.kind() != Client::Browser || request.method == http::Method::HEAD =>
            {
                self.begin(world, request, site, only, &return_to, &wish, now).await
            }
            (None, [only]) => {
                let link = self.choice(only, &return_to, &wish).link;
                Outcome::answer(Answer::Page(Page::ContinueSignIn { link }))
            }
            (None, several) => {
                // Whoever was here before mostly wants the same again.
                let before = site.cookies.choice(request.headers);
                let mut several: Vec<_> = several.to_vec();
                several.sort_by_key(|provider| {
                    !matches!(&before, FoundCookie::Value(mark) if **mark == *provider.mark().as_bytes())
                });
                let choices = several
                    .into_iter()
                    .map(|provider| self.choice(provider, &return_to, &wish))
                    .collect();
                let destination = return_to.authority().to_owned();
                Outcome::answer(Answer::Page(Page::ChooseProvider { choices, destination }))
            }
        }
    }

    /// Sends the browser to `provider`, with everything that has to come back sealed in a cookie.
    #[expect(
        clippy::too_many_arguments,
        reason = "a login is made of these, and nothing else shares them"
    )]
    pub(super) async fn begin<W: World>(
        &self,
        world: &W,
        request: &Request<'_>,
        site: &Site,
        provider: &Provider,
        return_to: &ReturnTo,
        wish: &Wish,
        now: Timestamp,
    ) -> Outcome {
        let mut registration = Arc::clone(&provider.settings.registration);
        let again = self.choice(provider, return_to, wish).link;
        let failed = |failure: Failure| {
            let unavailable = failure.reason == Reason::ProviderUnavailable;
            let provider_error = failure.provider_error();
            let mut outcome = Outcome::refuse(Refusal {
                sign_in: Some(again.clone()),
                retry_after: failure
                    .retry_after
                    .or_else(|| unavailable.then_some(METADATA_PATIENCE)),
                words: failure.words,
                ..Refusal::new(failure.reason, request.kind())
            });
            outcome.record.provider = Some(provider.settings.registration.name.clone());
            outcome.record.provider_error = provider_error;
            outcome.record.event = Some(Event::LoginFailed { flow: None });
            outcome.record.cause = Some(failure.cause);
            outcome
        };
        let Some(known) = world.provider(&registration.name) else {
            return failed(Failure::new(
                Reason::ProviderUnavailable,
                "the provider's metadata has not been fetched yet",
            ));
        };
        let offered = known.metadata.scopes_supported.iter().any(|scope| scope == "groups");
        if provider.settings.groups_scope_if_offered && offered {
            Arc::make_mut(&mut registration).scopes.push("groups".to_owned());
        }
        // The provider is asked, or signatures are made, for whoever comes.
        if let Err(patience) = world.may_begin_login(request.client.address()) {
            let cause =
                "more logins were begun from this address than `limits.login_starts_per_client`";
            let failure = Failure::new(Reason::LoginsTooMany, cause);
            return failed(Failure { retry_after: Some(patience), ..failure });
        }
        let hint = match wish.prompt {
            None => self.expected_again(world, request, site, provider, now),
            Some(_) => None,
        };
        let silent = hint.is_some();
        let restarted = wish.restarted;
        let speaks = registration.scopes.iter().any(|scope| scope == "openid")
            && !wish.parameters.iter().any(|(name, _)| name == "ui_locales");
        let language = self.settings.languages.wanted(request.headers).filter(|_| speaks);
        let wish = LoginRequest {
            prompt: if silent { Some("none".to_owned()) } else { wish.prompt.clone() },
            login_hint: wish.login_hint.clone(),
            id_token_hint: hint,
            ui_locales: language.map(str::to_owned),
            parameters: wish.parameters.clone(),
        };
        let redirect_uri = self.redirect_uri(site, provider);
        let mut pushing = None;
        let begun = begin(
            world,
            &registration,
            &known,
            redirect_uri,
            wish,
            (&request.id, now),
            &mut pushing,
        )
        .await;
        let pushed = |flow, reason| {
            pushing.map(|took| Leg { kind: LegKind::RequestPushed, flow, reason, took: Some(took) })
        };
        let (url, pending) = match begun {
            Ok(begun) => begun,
            Err(failure) => {
                let leg = pushed(None, Some(failure.reason));
                let mut outcome = failed(failure);
                outcome.record.legs.extend(leg);
                return outcome;
            }
        };

        let id = LoginId::of(pending.state());
        let name = site.cookies.login_name(&id.text());
        let sealed = |state: &LoginState| {
            let binding = Binding {
                purpose: Purpose::Login,
                cookie: &name,
                place: site.origin.as_str(),
                provider: &provider.tag,
            };
            self.seal(world, binding, state)
        };
        let return_to = return_to.as_str().to_owned();
        let mut state = LoginState { pending, return_to, silent, restarted };
        let mut value = sealed(&state);
        if !site.cookies.fits_login(&id.text(), &value) {
            // Where to return to is all that can be done without: much is to be authorized.
            self.return_to("/", site).as_str().clone_into(&mut state.return_to);
            value = sealed(&state);
        }
        if !site.cookies.fits_login(&id.text(), &value) {
            return failed(Failure::new(
                Reason::LoginMalformed,
                "what is to be authorized does not fit into a cookie",
            ));
        }

        let redirect = Redirect::to_provider(url, request.method);
        let mut outcome = Outcome::answer(Answer::Redirect(redirect));
        outcome.cookies.extend(self.surplus_logins(request, site, now));
        outcome.cookies.extend(site.cookies.set_login(
            &id.text(),
            value,
            // One that took too long is known to be this browser's own for a while (CB-08).
            self.login_timeout(provider) + KNOWN_WHEN_LATE,
            registration.answers.mode.is_posted(),
        ));
        if silent {
            // Without the hint the next attempt is not silent, whatever becomes of this one (CB-45).
            outcome.cookies.extend(site.cookies.clear_session(request.headers));
        }
        outcome.record.provider = Some(registration.name.clone());
        outcome.record.legs.extend(pushed(Some(id.text()), None));
        outcome.record.event = Some(Event::LoginStarted { flow: id.text() });
        outcome
    }

    /// Clearing lines for logins that are over, unreadable, or one too many; the oldest go first (F10).
    fn surplus_logins<'a>(
        &'a self,
        request: &'a Request<'_>,
        site: &'a Site,
        now: Timestamp,
    ) -> impl Iterator<Item = http::HeaderValue> + 'a {
        let begun = |id: &str, value: &str| {
            let (state, provider) = self.open_login(site, id, value)?;
            let begun_at = state.pending.begun_at();
            (now.since(begun_at) < self.login_timeout(provider)).then_some(begun_at)
        };
        let mut logins: Vec<_> = site
            .cookies
            .logins(request.headers)
            .map(|(id, value)| (begun(id, value), id.to_owned()))
            .collect();
        // Those that are over come first: `None` is less than any time.
        logins.sort();
        let over = logins.iter().filter(|(begun, _)| begun.is_none()).count();
        let room = self.settings.max_pending_logins.saturating_sub(1);
        let surplus = over.max(logins.len().saturating_sub(room));
        logins.into_iter().take(surplus).filter_map(|(_, id)| site.cookies.clear_login(&id))
    }

    /// The ID token of somebody whose session here is over, at a provider that may be asked whether theirs is.
    /// Who signed out is not expected back.
    fn expected_again<W: World>(
        &self,
        world: &W,
        request: &Request<'_>,
        site: &Site,
        provider: &Provider,
        now: Timestamp,
    ) -> Option<Secret> {
        if !provider.settings.sign_in.silent_login {
            return None;
        }
        let FoundCookie::Value(value) = site.cookies.session(request.headers) else { return None };
        let session = self.open_session(site, &value)?.session;
        let here = session.identity().provider() == provider.settings.registration.name;
        let over = matches!(
            session.check(&self.settings.sessions, now),
            Err(NoSession::Expired | NoSession::Idle)
        );
        (here && over && !world.is_revoked(session.id())).then(|| session.id_token_hint())?
    }

    /// How long a sign-in at `provider` may take.
    pub(super) fn login_timeout(&self, provider: &Provider) -> Duration {
        provider.settings.sign_in.login_timeout.unwrap_or(self.settings.login_timeout)
    }

    /// The providers that send browsers back to this address.
    pub(super) fn providers_at<'a>(
        &'a self,
        request: &Request<'_>,
        site: &'a Site,
    ) -> impl Iterator<Item = &'a Provider> {
        let here = format!("{}{}", site.origin, request.path);
        self.providers.iter().filter(move |provider| self.redirect_uri(site, provider) == here)
    }

    /// One login of this browser, and the provider that it began at.
    pub(super) fn open_login(
        &self,
        site: &Site,
        id: &str,
        value: &str,
    ) -> Option<(LoginState, &Provider)> {
        let name = site.cookies.login_name(id);
        let tags = self.providers.iter().map(|provider| (&provider.tag, provider));
        let (opened, provider) = self
            .settings
            .keys
            .open(Purpose::Login, &name, site.origin.as_str(), tags, value)
            .ok()?;
        Some((postcard::from_bytes(&opened.text).ok()?, provider))
    }

    /// The sealed value of the login with this id, if the browser has exactly one.
    pub(super) fn login_cookie(
        &self,
        request: &Request<'_>,
        site: &Site,
        id: LoginId,
    ) -> Option<String> {
        match site.cookies.login(request.headers, &id.text()) {
            FoundCookie::Value(value) => String::from_utf8(value.into_owned()).ok(),
            FoundCookie::Confused | FoundCookie::Nothing => None,
        }
    }

    /// Where the provider sends the browser back: a constant of the configuration, never of the request.
    pub(super) fn redirect_uri(&self, site: &Site, provider: &Provider) -> String {
        match &provider.settings.redirect_uri {
            Some(uri) => uri.as_str().to_owned(),
            None => {
                let name = &provider.settings.registration.name;
                let path =
                    endpoint::callback_path(&self.settings.path_prefix, name, self.providers.len());
                format!("{}{path}", site.origin)
            }
        }
    }

    pub(super) fn return_to(&self, text: &str, site: &Site) -> ReturnTo {
        ReturnTo::parse(
            text,
            &site.origin,
            self.settings.routes.origins(),
            &self.settings.path_prefix,
        )
    }

    /// The providers that count where `return_to` leads.
    fn providers_for(&self, return_to: &ReturnTo) -> Vec<&Provider> {
        let path = CanonicalPath::parse(return_to.path()).ok();
        let found = path.map(|path| self.settings.routes.find(return_to.authority(), &path));
        match found {
            Some(Found::Route(route)) => {
                route.providers.iter().filter_map(|name| self.provider(name)).collect()
            }
            Some(Found::Ambiguous | Found::Nothing | Found::Ours(_)) | None => {
                self.providers.iter().collect()
            }
        }
    }

    /// What somebody asks of a login by its link: a prompt, a person, and what some provider takes from there.
    fn wish(&self, request: &Request<'_>) -> Wish {
        let prompt = request.field("prompt").filter(|prompt| PROMPTS.contains(&prompt.as_str()));
        let login_hint = request.field("login_hint").filter(|hint| {
            (1..=LOGIN_HINT_BYTES_MAX).contains(&hint.len()) && !hint.chars().any(char::is_control)
        });
        let mut parameters: Vec<(String, String)> = Vec::new();
        for provider in &self.providers {
            for name in &provider.settings.registration.authorization.parameters_from_login {
                // Our own names stay ours.
                let is_new = !OURS.contains(&name.as_str())
                    && !parameters.iter().any(|(given, _)| given == name);
                if let Some(value) = request.field(name).filter(|_| is_new) {
                    parameters.push((name.clone(), value));
                }
            }
        }
        Wish { prompt, login_hint, parameters, restarted: false }
    }

    pub(super) fn choice(&self, provider: &Provider, return_to: &ReturnTo, wish: &Wish) -> Choice {
        let path = Endpoint::Login.path(&self.settings.path_prefix);
        let mut query =
            url::form_urlencoded::Serializer::for_suffix(format!("{path}?"), path.len() + 1);
        query.append_pair("return_to", return_to.as_str());
        query.append_pair("provider", &provider.settings.registration.name);
        query.extend_pairs(wish.pairs());
        Choice { label: provider.settings.label.clone(), link: query.finish() }
    }
}

/// The one provider whose people have addresses like the one that is hinted at.
fn expects<'a>(providers: &[&'a Provider], login_hint: &str) -> Option<&'a Provider> {
    let (_, domain) = login_hint.rsplit_once('@')?;
    let mut those = providers.iter().copied().filter(|provider| {
        let domains = &provider.settings.sign_in.email_domains;
        domains.iter().any(|known| known.eq_ignore_ascii_case(domain))
    });
    those.next().filter(|_| those.next().is_none())
}

/// Has a login begin, and what the provider wants to know of it before the browser comes; then says how long the latter
/// took.
async fn begin<W: World>(
    world: &W,
    registration: &Arc<lychgate_oidc::Provider>,
    known: &Known,
    redirect_uri: String,
    wish: LoginRequest,
    (visit, now): (&RequestId, Timestamp),
    pushing: &mut Option<Duration>,
) -> Result<(AuthorizationUrl, PendingLogin), Failure> {
    let mut entropy = [0; 96];
    world.fill_random(&mut entropy);
    let moment_of_it = moment(world, registration, now).await?;
    let (provider, metadata) = (Arc::clone(registration), Arc::clone(&known.metadata));
    let keys = match registration.authorization.lacks_key(&known.keys) {
        true => world.newer_keys(&registration.name).await,
        false => Arc::clone(&known.keys),
    };
    let work = move || {
        let entropy = LoginEntropy::from(entropy);
        login::begin(&provider, &metadata, &keys, &redirect_uri, &wish, entropy, moment_of_it)
    };
    let mut beginning = world.compute(work).await?;
    loop {
        beginning = match beginning {
            Beginning::Go(url, pending) => return Ok((url, pending)),
            Beginning::Push(question, pushed) => {
                let endpoint = ProviderEndpoint::PushedAuthorizationRequest;
                let asked_at = world.elapsed();
                let answer = ask(world, registration, endpoint, question, visit).await;
                let took = world.elapsed().saturating_sub(asked_at);
                *pushing = Some(pushing.unwrap_or_default() + took);
                let answer = answer?;
                let moment = moment(world, registration, now).await?;
                world.compute(move || pushed.receive(answer, moment)).await?
            }
        };
    }
}
