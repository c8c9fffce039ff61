//! Beginning a sign-in: where, as whom, and back to what.

use std::sync::Arc;
use std::time::Duration;

use lychgate_oidc::{LoginEntropy, LoginRequest, Timestamp, login};

use super::{Gateway, Provider, Site};
use crate::client::{self, Client};
use crate::cookie::Found as FoundCookie;
use crate::endpoint::{self, Endpoint};
use crate::login_state::{LoginId, LoginState};
use crate::origin::ReturnTo;
use crate::outcome::{Answer, Choice, Event, Outcome, Page, Redirect, RedirectMethod, Refusal};
use crate::path::CanonicalPath;
use crate::policy::Challenge;
use crate::reason::Reason;
use crate::request::Request;
use crate::route::Found;
use crate::seal::{Binding, Purpose};
use crate::world::World;

/// What a person may ask of the provider through our own links.
const PROMPTS: [&str; 2] = ["login", "select_account"];

/// When to come back to a provider whose metadata is not there yet.
const METADATA_PATIENCE: Duration = Duration::from_secs(10);

impl Gateway {
    /// Sends the visitor of an application to sign in.
    ///
    /// A browser goes by way of our own page, where the fragment can be kept and a provider chosen. A tool
    /// that follows redirects goes straight to the provider, if there is one to go to.
    pub(super) fn send_to_sign_in<W: World>(
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
            return self.begin(world, request, site, provider, &return_to, None, now);
        }
        let link = self.login_link(site, &request.target(), &[]);
        Outcome::answer(Answer::Redirect(Redirect::to_ours(link, RedirectMethod::Found)))
    }

    /// Our own page to sign in at.
    pub(super) fn sign_in<W: World>(
        &self,
        world: &W,
        request: &Request<'_>,
        site: &Site,
        now: Timestamp,
    ) -> Outcome {
        if client::is_prefetch(request.headers) {
            return Outcome::refuse(Refusal::new(Reason::SessionRequired, request.kind()));
        }
        let target = request.parameter("return_to").unwrap_or_else(|| "/".to_owned());
        let fragment = request.parameter("fragment").unwrap_or_default();
        let return_to = self.return_to(&target, site).with_fragment(&fragment);
        let prompt =
            request.parameter("prompt").filter(|prompt| PROMPTS.contains(&prompt.as_str()));
        if self.sign_in_elsewhere(site).is_some() {
            let target = if return_to.origin().as_ref() == Some(&site.origin) {
                return_to.local()
            } else {
                "/"
            };
            let wish = prompt.as_deref().map(|prompt| ("prompt", prompt));
            let link = self.login_link(site, target, wish.as_slice());
            return Outcome::answer(Answer::Redirect(Redirect::to_ours(
                link,
                RedirectMethod::Found,
            )));
        }

        let providers = self.providers_for(&return_to);
        if prompt.is_none()
            && let Ok(opened) = self.session(world, request, site, now)
            && providers.iter().any(|provider| {
                provider.settings.registration.name == opened.session.identity().provider()
            })
        {
            // Somebody who is signed in already, by the back button or in another tab, just goes on.
            return opened.answer(Answer::Redirect(Redirect::back(return_to)));
        }
        let chosen = request.parameter("provider");
        let chosen = chosen.and_then(|name| {
            providers.iter().find(|provider| provider.settings.registration.name == name)
        });
        match (chosen, &*providers) {
            (Some(provider), _) => {
                self.begin(world, request, site, provider, &return_to, prompt, now)
            }
            (None, [only])
                if request.kind() != Client::Browser || request.method == http::Method::HEAD =>
            {
                self.begin(world, request, site, only, &return_to, prompt, now)
            }
            (None, [only]) => {
                let link = self.choice(only, &return_to, prompt.as_deref()).link;
                Outcome::answer(Answer::Page(Page::ContinueSignIn { link }))
            }
            (None, several) => {
                let choices = several
                    .iter()
                    .map(|provider| self.choice(provider, &return_to, prompt.as_deref()));
                let choices = choices.collect();
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
    fn begin<W: World>(
        &self,
        world: &W,
        request: &Request<'_>,
        site: &Site,
        provider: &Provider,
        return_to: &ReturnTo,
        prompt: Option<String>,
        now: Timestamp,
    ) -> Outcome {
        let mut registration = Arc::clone(&provider.settings.registration);
        let Some(known) = world.provider(&registration.name) else {
            let sign_in = Some(self.choice(provider, return_to, prompt.as_deref()).link);
            let refusal = Refusal {
                sign_in,
                retry_after: Some(METADATA_PATIENCE),
                ..Refusal::new(Reason::ProviderUnavailable, request.kind())
            };
            let mut outcome = Outcome::refuse(refusal);
            outcome.record.provider = Some(registration.name.clone());
            outcome.record.event = Some(Event::LoginFailed { flow: None });
            outcome.record.cause =
                Some("the provider's metadata has not been fetched yet".to_owned());
            return outcome;
        };
        let offered = known.metadata.scopes_supported.iter().any(|scope| scope == "groups");
        if provider.settings.groups_scope_if_offered && offered {
            Arc::make_mut(&mut registration).scopes.push("groups".to_owned());
        }
        let mut entropy = [0; 96];
        world.fill_random(&mut entropy);
        let wish = LoginRequest { prompt, ..LoginRequest::default() };
        let redirect_uri = self.redirect_uri(site, provider);
        let (url, pending) = login::begin(
            &registration,
            &known.metadata,
            &redirect_uri,
            &wish,
            LoginEntropy::from(entropy),
            now,
        );

        let id = LoginId::of(pending.state());
        let name = site.cookies.login_name(&id.text());
        let binding = Binding {
            purpose: Purpose::Login,
            cookie: &name,
            place: site.origin.as_str(),
            provider: &provider.tag,
        };
        let state = LoginState { pending, return_to: return_to.as_str().to_owned() };
        let sealed = self.seal(world, binding, &state);

        let mut outcome = Outcome::answer(Answer::Redirect(Redirect::to_provider(url)));
        outcome.cookies.extend(self.surplus_logins(request, site, now));
        outcome.cookies.extend(site.cookies.set_login(
            &id.text(),
            sealed,
            self.settings.login_timeout,
        ));
        outcome.record.provider = Some(registration.name.clone());
        outcome.record.event = Some(Event::LoginStarted);
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
            let (state, _) = self.open_login(site, id, value)?;
            let begun_at = state.pending.begun_at();
            (now.since(begun_at) < self.settings.login_timeout).then_some(begun_at)
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

    fn choice(&self, provider: &Provider, return_to: &ReturnTo, prompt: Option<&str>) -> Choice {
        let path = Endpoint::Login.path(&self.settings.path_prefix);
        let mut query =
            url::form_urlencoded::Serializer::for_suffix(format!("{path}?"), path.len() + 1);
        query.append_pair("return_to", return_to.as_str());
        query.append_pair("provider", &provider.settings.registration.name);
        if let Some(prompt) = prompt {
            query.append_pair("prompt", prompt);
        }
        Choice { label: provider.settings.label.clone(), link: query.finish() }
    }
}
