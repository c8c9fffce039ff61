//! Signing out: here at once, and then at the provider.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::Method;
use lychgate_oidc::{Timestamp, logout};
use subtle::ConstantTimeEq;
use url::Url;

use super::{Gateway, Site};
use crate::client::{Client, Initiator};
use crate::cookie::Found as FoundCookie;
use crate::endpoint::Endpoint;
use crate::login_state::LogoutState;
use crate::outcome::{Answer, Event, Outcome, Page, ProviderSignOut, Redirect};
use crate::request::Request;
use crate::seal::{Binding, Purpose};
use crate::session::Session;
use crate::world::World;

impl Gateway {
    /// Ends the session here, then sends the browser to end it at the provider.
    ///
    /// Another site cannot sign people out: unless the browser says that the request is our own page's or the
    /// person's, or it is a POST that browsers would have marked as foreign, we ask first.
    pub(super) async fn sign_out<W: World>(
        &self,
        world: &W,
        request: &Request<'_>,
        site: &Site,
        now: Timestamp,
    ) -> Outcome {
        let posted = request.method == Method::POST;
        let meant = match Initiator::of(request.headers, site.origin.as_str()) {
            // An application's page may hold what strangers wrote; a picture in it is not the person's wish.
            Initiator::Own => posted || request.kind() == Client::Browser,
            Initiator::Foreign => false,
            Initiator::Unsaid => posted,
        };
        let return_to = request.parameter("return_to").and_then(|text| self.listed(&text)).cloned();
        if !meant {
            let mut action = Endpoint::Logout.path(&self.settings.path_prefix);
            if let Some(url) = &return_to {
                let mut query = url::form_urlencoded::Serializer::for_suffix(
                    format!("{action}?"),
                    action.len() + 1,
                );
                action = query.append_pair("return_to", url.as_str()).finish();
            }
            return Outcome::answer(Answer::Page(Page::ConfirmSignOut { action }));
        }
        let opened = self.session(world, request, site, now).ok();
        let mut outcome = match &opened {
            Some(opened) => {
                world.revoke(opened.session.id());
                self.give_back(world, request, &opened.session, now).await;
                self.provider_sign_out(world, site, &opened.session, return_to.as_ref(), now)
            }
            None => None,
        }
        .unwrap_or_else(|| self.farewell(ProviderSignOut::Unknown, return_to.as_ref()));
        outcome.cookies.extend(site.cookies.clear_session(request.headers));
        outcome.cookies.extend(site.cookies.clear_returns(request.headers));
        if let Some(opened) = opened {
            outcome.record.session = Some(opened.session);
            outcome.record.event = Some(Event::Logout);
        }
        outcome
    }

    /// To the provider's sign-out, if it has one and is known.
    fn provider_sign_out<W: World>(
        &self,
        world: &W,
        site: &Site,
        session: &Session,
        return_to: Option<&Url>,
        now: Timestamp,
    ) -> Option<Outcome> {
        let provider = self.provider(session.identity().provider())?;
        let registration = &provider.settings.registration;
        let known = world.provider(&registration.name)?;
        let mut entropy = [0; 16];
        world.fill_random(&mut entropy);
        let state = URL_SAFE_NO_PAD.encode(entropy);
        let origin = self.settings.public_url.as_ref().unwrap_or(&site.origin);
        let back = format!("{origin}{}", Endpoint::SignedOut.path(&self.settings.path_prefix));
        let hint = session.id_token_hint();
        let url =
            logout::end_session_url(registration, &known.metadata, hint.as_ref(), &back, &state)?;

        let remembered = LogoutState {
            state,
            return_to: return_to.map(|url| url.as_str().to_owned()),
            ends_at: now.plus(self.settings.login_timeout),
        };
        let binding = Binding {
            purpose: Purpose::Logout,
            cookie: site.cookies.logout_name(),
            place: site.cookies.place(),
            provider: &provider.tag,
        };
        let sealed = self.seal(world, binding, &remembered);
        let mut outcome = Outcome::answer(Answer::Redirect(Redirect::to_end_session(url)));
        outcome.cookies.extend(site.cookies.set_logout(sealed, self.settings.login_timeout));
        Some(outcome)
    }

    /// Back from the provider's sign-out. A `state` that is not ours changes nothing but what the page says.
    pub(super) fn signed_out(&self, request: &Request<'_>, site: &Site, now: Timestamp) -> Outcome {
        let remembered = self.open_logout(request, site).filter(|remembered| {
            let state = request.parameter("state").unwrap_or_default();
            now < remembered.ends_at
                && bool::from(state.as_bytes().ct_eq(remembered.state.as_bytes()))
        });
        let Some(remembered) = remembered else {
            return self.farewell(ProviderSignOut::Unknown, None);
        };
        let return_to = remembered.return_to.as_deref().and_then(|text| self.listed(text));
        let mut outcome = self.farewell(ProviderSignOut::Ended, return_to);
        outcome.cookies.extend(site.cookies.clear_logout());
        outcome
    }

    fn open_logout(&self, request: &Request<'_>, site: &Site) -> Option<LogoutState> {
        let value = match site.cookies.logout(request.headers) {
            FoundCookie::Value(value) => String::from_utf8(value.into_owned()).ok()?,
            FoundCookie::Confused | FoundCookie::Nothing => return None,
        };
        let (name, place) = (site.cookies.logout_name(), site.cookies.place());
        let tags = self.providers.iter().map(|provider| (&provider.tag, ()));
        let (opened, ()) =
            self.settings.keys.open(Purpose::Logout, name, place, tags, &value).ok()?;
        postcard::from_bytes(&opened.text).ok()
    }

    fn farewell(&self, provider: ProviderSignOut, return_to: Option<&Url>) -> Outcome {
        Outcome::answer(match return_to {
            Some(url) => Answer::Redirect(Redirect::to_listed(url.clone())),
            None => Answer::Page(Page::SignedOut { provider, sign_in: "/".to_owned() }),
        })
    }

    /// The listed place that `text` names, character for character.
    fn listed(&self, text: &str) -> Option<&Url> {
        self.settings.post_logout_redirect_uris.iter().find(|url| url.as_str() == text)
    }
}
