//! Keeping a form that was sent when the session had ended, and sending it when the person is signed in again (R43).
//!
//! Kept is what the browser says that a page of the same origin sent, from a browser whose session has just ended and is
//! known; so it is clear whose it is, and no other site can put a form of its own here. Sent is what the same browser
//! brings back, from our own page, with a session of the same person at the same provider; and then the rules of the
//! route decide about it as about any request. It works once, and the browser forgets it.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use lychgate_oidc::{SubjectType, Timestamp};

use super::{Gateway, Opened, Provider, Site};
use crate::cookie::Found as FoundCookie;
use crate::endpoint::Endpoint;
use crate::outcome::{Answer, Event, Outcome, Refusal, Verdict};
use crate::path::CanonicalPath;
use crate::reason::Reason;
use crate::request::Request;
use crate::rescue::{self, Again, KEPT_FOR, Kept, Offer, Replay, Rescue, Ticket};
use crate::route::Found;
use crate::seal::{Binding, Purpose, SEAL_ENTROPY_BYTES};
use crate::session::{NoSession, Session};
use crate::world::{Spent, World};

/// How many forms one browser may have.
const FORMS_MAX: usize = 4;
/// Of a header that is kept with a form.
const HEADER_BYTES_MAX: usize = 1024;

impl Gateway {
    /// Whether the form that this request brings may be kept, and which older ones the browser should forget.
    pub(super) fn offer<W: World>(
        &self,
        world: &W,
        request: &Request<'_>,
        site: &Site,
        because: NoSession,
        now: Timestamp,
    ) -> (Option<Rescue>, Vec<HeaderValue>) {
        let nothing = (None, Vec::new());
        let Some(bytes_max) = self.settings.kept_form_bytes else { return nothing };
        let over = matches!(because, NoSession::Ended | NoSession::Expired | NoSession::Idle);
        if !over
            || *request.method != Method::POST
            || !request.kind().wants_page()
            || !is_sent_by_own_page(request.headers, site)
        {
            return nothing;
        }
        let Some(session) = self.session_that_is_over(world, request, site) else { return nothing };
        let identity = session.identity();
        if identity.subject_type() == SubjectType::Pseudonymous {
            // Whoever signs in next is somebody else, so nobody could ever send it.
            return nothing;
        }
        let content_type = text(request.headers, header::CONTENT_TYPE);
        if content_type.is_none() && request.headers.contains_key(header::CONTENT_TYPE) {
            // The application could not tell what it gets.
            return nothing;
        }
        let Some(provider) = self.provider(identity.provider()) else { return nothing };
        let announced = request.headers.get(header::CONTENT_LENGTH);
        let announced = announced.and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
        if announced.is_some_and(|bytes| bytes > bytes_max) {
            return (Some(Rescue::TooLarge), Vec::new());
        }
        let mut entropy = [0; 12];
        world.fill_random(&mut entropy);
        let id = URL_SAFE_NO_PAD.encode(entropy);
        let offer = Offer {
            action: self.form_action(&id),
            id,
            authority: request.authority.clone(),
            provider: provider.tag.clone(),
            ticket: Ticket {
                issuer: identity.issuer().to_owned(),
                subject: identity.subject().to_owned(),
                target: request.target(),
                content_type,
                origin: text(request.headers, header::ORIGIN),
                referer: text(request.headers, header::REFERER),
                bytes: 0,
                kept_at: now,
            },
            bytes_max,
        };
        (Some(Rescue::Offer(Box::new(offer))), self.surplus_forms(request, site, now))
    }

    /// Seals what was in a form, for the page that keeps it, and says so to the browser. `None` when the browser could
    /// not keep it.
    pub fn keep<W: World>(
        &self,
        world: &W,
        offer: Offer,
        body: &[u8],
    ) -> Option<(Kept, HeaderValue)> {
        let site = self.sites.get(&offer.authority)?;
        let cookie = site.cookies.form_name(&offer.id);
        let place = site.origin.as_str();
        let binding =
            |purpose| Binding { purpose, cookie: &cookie, place, provider: &offer.provider };
        let ticket = Ticket { bytes: body.len() as u64, ..offer.ticket };
        let ticket = self.seal(world, binding(Purpose::FormTicket), &ticket);
        let mut entropy = [0; SEAL_ENTROPY_BYTES];
        world.fill_random(&mut entropy);
        let form = self.settings.keys.seal(binding(Purpose::Form), body, entropy);
        let line = site.cookies.set_form(&offer.id, ticket, KEPT_FOR)?;
        Some((Kept { action: offer.action, form, time: KEPT_FOR }, line))
    }

    /// `/form`: sends a form that was kept, if it is the same person's and from the same browser.
    pub(super) async fn send_form<W: World>(
        &self,
        world: &W,
        request: &Request<'_>,
        site: &Site,
        now: Timestamp,
    ) -> Outcome {
        let refuse = |reason| Outcome::refuse(Refusal::new(reason, request.kind()));
        if !is_sent_by_ours(request.headers, site) {
            return refuse(Reason::FormNotSent);
        }
        let kept = request.parameter("id").and_then(|id| {
            let (ticket, provider) = self.open_ticket(request, site, &id)?;
            Some((id, ticket, provider))
        });
        let Some((id, ticket, provider)) = kept else { return refuse(Reason::FormExpired) };
        let age = now.since(ticket.kept_at);
        if age >= KEPT_FOR || world.spent(rescue::name(&id)).is_some() {
            let mut outcome = refuse(Reason::FormExpired);
            outcome.cookies.extend(site.cookies.clear_form(&id));
            return outcome;
        }
        let action = self.form_action(&id);
        let bytes = usize::try_from(ticket.bytes).unwrap_or(usize::MAX);
        let bytes_max = rescue::sealed_bytes_max(bytes);
        let again = Again { action, time: KEPT_FOR.saturating_sub(age), bytes_max };
        let brought = self.brought(world, request, site).0;
        let opened = match self.confirmed(world, request, site, brought, now).await {
            Ok(opened) => opened,
            Err(unconfirmed) => {
                let refusal = Refusal::new(unconfirmed.because.reason(), request.kind());
                let sign_in = Some(self.login_link(site, "/", &[]));
                let rescue = Some(Rescue::Again(again));
                let mut outcome = Outcome::refuse(Refusal { sign_in, rescue, ..refusal });
                if unconfirmed.cause.is_some() {
                    outcome.record.event = Some(Event::RefreshFailed);
                    outcome.record.cause = unconfirmed.cause;
                }
                outcome.cookies.extend(unconfirmed.cookies);
                return outcome;
            }
        };
        if !is_of(&opened, &ticket, provider) {
            let other_account = Some(self.login_link(site, "/", &[("prompt", "select_account")]));
            let identity = Some(Box::new(opened.session.identity().clone()));
            let refusal = Refusal::new(Reason::FormOtherAccount, request.kind());
            let rescue = Some(Rescue::Again(again));
            let refusal = Refusal { other_account, identity, rescue, ..refusal };
            return opened.answer_refused(refusal);
        }
        let (path, query) = match ticket.target.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (ticket.target.as_str(), None),
        };
        let refuse =
            |opened: Opened, reason| opened.answer_refused(Refusal::new(reason, request.kind()));
        let Ok(path) = CanonicalPath::parse(path) else {
            return refuse(opened, Reason::FormExpired);
        };
        // It was an application's then; the configuration may have changed since.
        let Found::Route(route) = self.settings.routes.find(&request.authority, &path) else {
            return refuse(opened, Reason::NotFound);
        };
        let written = Request { path, query, ..request.clone() };
        let mut outcome = self.application(world, &written, site, route, now).await;
        match outcome.verdict {
            Verdict::Admit(admission) => {
                let forget = site.cookies.clear_form(&id);
                let authority = request.authority.clone();
                let (path, place) = (written.path, format!("{}{}", site.origin, ticket.target));
                let replay = Replay { id, authority, path, place, ticket, forget, again };
                outcome.verdict = Verdict::Admit(Box::new(admission.with_replay(replay)));
            }
            Verdict::Answer(ref mut answer) => {
                if let Answer::Refusal(refusal) = &mut **answer {
                    refusal.rescue = Some(Rescue::Again(again));
                }
            }
        }
        outcome
    }

    /// What the application gets for a form that the browser `sent`, once.
    pub async fn release<W: World>(
        &self,
        world: &W,
        replay: &Replay,
        sent: &[u8],
    ) -> Option<Vec<u8>> {
        let site = self.sites.get(&replay.authority)?;
        let cookie = site.cookies.form_name(&replay.id);
        let tags = self.providers.iter().map(|provider| (&provider.tag, ()));
        let form = rescue::field(sent)?;
        let place = site.origin.as_str();
        let (opened, ()) =
            self.settings.keys.open(Purpose::Form, &cookie, place, tags, form).ok()?;
        let whole = opened.text.len() as u64 == replay.bytes();
        (whole && world.spend(replay.name(), "").await == Spent::Now).then_some(opened.text)
    }

    fn form_action(&self, id: &str) -> String {
        format!("{}?id={id}", Endpoint::Form.path(&self.settings.path_prefix))
    }

    fn open_ticket(
        &self,
        request: &Request<'_>,
        site: &Site,
        id: &str,
    ) -> Option<(Ticket, &Provider)> {
        let mut those = site.cookies.forms(request.headers).filter(|(found, _)| *found == id);
        let ((_, value), None) = (those.next()?, those.next()) else { return None };
        self.read_ticket(site, id, value)
    }

    fn read_ticket(&self, site: &Site, id: &str, value: &str) -> Option<(Ticket, &Provider)> {
        let cookie = site.cookies.form_name(id);
        let tags = self.providers.iter().map(|provider| (&provider.tag, provider));
        let place = site.origin.as_str();
        let (opened, provider) =
            self.settings.keys.open(Purpose::FormTicket, &cookie, place, tags, value).ok()?;
        Some((postcard::from_bytes(&opened.text).ok()?, provider))
    }

    /// Clearing lines for forms that are too old, unreadable, or one too many; the oldest go first.
    fn surplus_forms(
        &self,
        request: &Request<'_>,
        site: &Site,
        now: Timestamp,
    ) -> Vec<HeaderValue> {
        let kept_at = |id: &str, value: &str| {
            let (ticket, _) = self.read_ticket(site, id, value)?;
            (now.since(ticket.kept_at) < KEPT_FOR).then_some(ticket.kept_at)
        };
        let forms = site.cookies.forms(request.headers);
        let mut forms: Vec<_> = forms.map(|(id, value)| (kept_at(id, value), id)).collect();
        forms.sort();
        let over = forms.iter().filter(|(kept_at, _)| kept_at.is_none()).count();
        let surplus = over.max(forms.len().saturating_sub(FORMS_MAX - 1));
        forms.iter().take(surplus).filter_map(|(_, id)| site.cookies.clear_form(id)).collect()
    }

    /// The session that the browser has and that does not count any more. One that somebody signed out of is nobody's.
    fn session_that_is_over<W: World>(
        &self,
        world: &W,
        request: &Request<'_>,
        site: &Site,
    ) -> Option<Arc<Session>> {
        let FoundCookie::Value(value) = site.cookies.session(request.headers) else { return None };
        let session = Arc::clone(&self.open_session(site, &value)?.session);
        (!world.is_revoked(session.id())).then_some(session)
    }
}

/// Whether the person who is signed in is the one who wrote the form.
fn is_of(opened: &Opened, ticket: &Ticket, provider: &Provider) -> bool {
    let identity = opened.session.identity();
    identity.provider() == provider.settings.registration.name
        && identity.issuer() == ticket.issuer
        && identity.subject() == ticket.subject
}

/// Whether the browser says that a page of the same origin sent this.
fn is_sent_by_own_page(headers: &HeaderMap, site: &Site) -> bool {
    match (headers.get(SEC_FETCH_SITE), headers.get(header::ORIGIN)) {
        (Some(from), _) => from == "same-origin",
        (None, Some(origin)) => origin == site.origin.as_str(),
        (None, None) => false,
    }
}

/// Whether nothing says that another page than ours sent this. Our pages tell nobody where they are, so `Origin` is
/// `null`; where the browser does not say more, it is the cookie, which comes from the same site only, that tells.
fn is_sent_by_ours(headers: &HeaderMap, site: &Site) -> bool {
    match (headers.get(SEC_FETCH_SITE), headers.get(header::ORIGIN)) {
        (Some(from), _) => from == "same-origin",
        (None, Some(origin)) => origin == site.origin.as_str() || origin == "null",
        (None, None) => true,
    }
}

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

fn text(headers: &HeaderMap, name: HeaderName) -> Option<String> {
    let text = headers.get(name)?.to_str().ok()?;
    (text.len() <= HEADER_BYTES_MAX).then(|| text.to_owned())
}
