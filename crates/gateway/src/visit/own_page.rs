//! Our own pages: which of them an address is, what it takes, and the short answers.

use std::sync::Arc;

use http::Method;
use lychgate_oidc::{CALLBACK_BYTES_MAX, SIGNED_CALLBACK_BYTES_MAX, Timestamp};

use super::{Gateway, Provider, Site};
use crate::endpoint::Endpoint;
use crate::outcome::{Answer, Asset, Outcome, Page, Refusal};
use crate::reason::Reason;
use crate::request::Request;
use crate::world::World;

impl Gateway {
    pub(super) async fn own_page<W: World>(
        &self,
        world: &W,
        request: &Request<'_>,
        site: &Site,
        endpoint: Endpoint,
        now: Timestamp,
    ) -> Outcome {
        let allowed = match endpoint {
            Endpoint::Callback => self.callback_methods(request, site),
            Endpoint::Form => "POST",
            Endpoint::Login => "GET, HEAD, POST",
            Endpoint::Logout => "GET, POST",
            Endpoint::Account
            | Endpoint::Me
            | Endpoint::Reason(_)
            | Endpoint::Script
            | Endpoint::SignedOut
            | Endpoint::Style
            | Endpoint::Unknown => "GET, HEAD",
        };
        if !allowed.split(", ").any(|method| method == request.method.as_str()) {
            let refusal = Refusal::new(Reason::MethodNotAllowed, request.kind());
            return Outcome::refuse(Refusal { allow: Some(allowed), ..refusal });
        }
        match endpoint {
            Endpoint::Account => self.account(world, request, site, now).await,
            // Apart, because every visit would carry the room that a callback needs.
            Endpoint::Callback => Box::pin(self.come_back(world, request, site, now)).await,
            Endpoint::Form => Box::pin(self.send_form(world, request, site, now)).await,
            Endpoint::Login => Box::pin(self.sign_in(world, request, site, now)).await,
            Endpoint::Logout => Box::pin(self.sign_out(world, request, site, now)).await,
            Endpoint::Me => match self
                .confirmed(world, request, site, self.brought(world, request, site).0, now)
                .await
            {
                Ok(opened) => {
                    let session = Arc::clone(&opened.session);
                    opened.answer(Answer::Me(Some(session)))
                }
                Err(unconfirmed) => {
                    let mut outcome = Outcome::answer(Answer::Me(None));
                    outcome.cookies.extend(unconfirmed.cookies);
                    outcome
                }
            },
            Endpoint::Reason(reason) => Outcome::answer(Answer::Reason(reason)),
            Endpoint::Script => Outcome::answer(Answer::Asset(Asset::Script)),
            Endpoint::SignedOut => self.signed_out(request, site, now),
            Endpoint::Style => Outcome::answer(Answer::Asset(Asset::Style)),
            Endpoint::Unknown => Outcome::refuse(Refusal::new(Reason::NotFound, request.kind())),
        }
    }

    /// How an answer may come to this address (CB-24).
    fn callback_methods(&self, request: &Request<'_>, site: &Site) -> &'static str {
        let posted = |provider: &Provider| provider.settings.registration.answers.mode.is_posted();
        match (
            self.providers_at(request, site).any(posted),
            self.providers_at(request, site).any(|provider| !posted(provider)),
        ) {
            (true, true) => "GET, POST",
            (true, false) => "POST",
            (false, _) => "GET",
        }
    }

    /// How many bytes of this request's body are wanted here: the few pages of ours that take a form.
    pub fn form_bytes_max(&self, request: &Request<'_>) -> Option<usize> {
        if *request.method != Method::POST {
            return None;
        }
        let site = self.sites.get(&request.authority)?;
        match self.endpoint(request, site)? {
            Endpoint::Callback => {
                (self.callback_methods(request, site) != "GET").then_some(SIGNED_CALLBACK_BYTES_MAX)
            }
            Endpoint::Login => Some(CALLBACK_BYTES_MAX),
            // A form that was kept is read on its way to the application.
            Endpoint::Form
            | Endpoint::Account
            | Endpoint::Logout
            | Endpoint::Me
            | Endpoint::Reason(_)
            | Endpoint::Script
            | Endpoint::SignedOut
            | Endpoint::Style
            | Endpoint::Unknown => None,
        }
    }

    async fn account<W: World>(
        &self,
        world: &W,
        request: &Request<'_>,
        site: &Site,
        now: Timestamp,
    ) -> Outcome {
        match self.confirmed(world, request, site, self.brought(world, request, site).0, now).await
        {
            Ok(opened) => {
                let sign_out = Endpoint::Logout.path(&self.settings.path_prefix);
                let session = Arc::clone(&opened.session);
                let name = session.identity().provider();
                let provider = self.provider(name).map_or(name, |known| &known.settings.label);
                let provider = provider.to_owned();
                opened.answer(Answer::Page(Page::SignedInAs { session, provider, now, sign_out }))
            }
            Err(unconfirmed) => {
                let refusal = Refusal::new(unconfirmed.because.reason(), request.kind());
                let sign_in = Some(self.login_link(site, "/", &[]));
                let mut outcome = Outcome::refuse(Refusal { sign_in, ..refusal });
                outcome.cookies.extend(unconfirmed.cookies);
                outcome
            }
        }
    }
}
