//! The story of a visit: whose door is it, who is there, may they pass?
//!
//! Branches are few here and decisions none: routes, cookies, sessions and rules answer in their own modules.
//! Signing in and out have chapters of their own.

mod callback;
mod circle;
mod conversation;
pub mod explain;
mod failure;
mod own_page;
mod refresh;
mod rescue;
mod sign_in;
mod sign_out;
mod stale;
pub mod standing;
mod target;
mod token;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use ahash::RandomState;
use http::{HeaderMap, HeaderValue, Method};
use lychgate_oidc::Timestamp;

use self::target::upstream_target;
use crate::bearer::Circumstances;
use crate::client::Client;
use crate::clients::LoginRule;
use crate::cookie::{Brought, Cookies, ForUpstream, Found as FoundCookie};
use crate::endpoint::Endpoint;
use crate::headers::{Forwarding, HeaderEdits, Introduction, Stripped};
use crate::login_state::LoginId;
use crate::memory::{Known, Opener, only_line};
use crate::origin::PublicOrigin;
use crate::outcome::{
    Admission, Answer, DecisionWord, Event, Outcome, Record, Refusal, Verdict, Words,
};
use crate::policy::{self, Challenge, Decision, Denial, Permit};
use crate::reason::Reason;
use crate::request::{Malformed, Request, Transport};
use crate::route::{Found, Route};
use crate::seal::{Binding, ProviderTag, Purpose, SEAL_ENTROPY_BYTES};
use crate::session::{NoSession, Session};
use crate::settings::{Settings, SignInProvider};
use crate::websocket;
use crate::world::World;

/// How long a browser keeps a session that is over, to ask the provider about it without asking the person.
const REMEMBERED_WHEN_OVER: Duration = Duration::from_secs(7 * 24 * 3600);

/// How long a browser keeps a session that is over, so that a form that is sent then is known to be whose it was.
const KNOWN_WHEN_OVER: Duration = Duration::from_secs(24 * 3600);

/// Everything that decides about visits. Built once; asked by every door.
#[derive(Debug)]
pub struct Gateway {
    settings: Settings,
    sites: HashMap<String, Arc<Site>, RandomState>,
    providers: Vec<Provider>,
    stripped: Stripped,
    opener: Arc<Opener>,
    /// What upstreams are told about nobody, by the routes' names.
    nobody: HashMap<String, Arc<Introduction>, RandomState>,
    /// What decides about tokens, by the names of the routes that take some.
    circumstances: HashMap<String, Circumstances, RandomState>,
}

/// A public origin and its cookies.
#[derive(Debug)]
struct Site {
    origin: PublicOrigin,
    cookies: Cookies,
}

#[derive(Debug)]
struct Provider {
    settings: SignInProvider,
    tag: ProviderTag,
}

impl Provider {
    /// What a browser remembers it by: nobody else learns from it where somebody has an account.
    fn mark(&self) -> String {
        LoginId::of(&self.settings.registration.name).text()
    }
}

/// A session that counts, and what the browser has to be told about it.
struct Opened {
    session: Arc<Session>,
    open: Arc<OpenSession>,
    cookies: Vec<HeaderValue>,
    /// What the logs are told of it.
    event: Option<Event>,
    cause: Option<String>,
}

/// A session as it was opened, and for which cookie at which place it had been sealed. Whether it is still alive is
/// asked every time.
#[derive(Debug)]
pub struct OpenSession {
    session: Arc<Session>,
    with_old_key: bool,
    cookie: String,
    place: String,
    /// For the routes that were asked for first, by their names: most people use few.
    introductions: [OnceLock<(String, Arc<Introduction>)>; ROUTES_USUAL],
}

/// To how many applications a session's owner is introduced once. To each further one they are at every visit.
const ROUTES_USUAL: usize = 4;

impl OpenSession {
    fn new(session: Arc<Session>, site: &Site) -> Self {
        Self {
            session,
            with_old_key: false,
            cookie: site.cookies.session_name().to_owned(),
            place: site.cookies.place().to_owned(),
            introductions: Default::default(),
        }
    }

    /// What the upstream of `route` is told about the person, who comes from `client`.
    fn introduction(&self, route: &Route, client: Option<IpAddr>) -> Arc<Introduction> {
        let introduce = || Arc::new(Introduction::new(route, Some(self.session.person()), client));
        for place in &self.introductions {
            let (to, introduction) = place.get_or_init(|| (route.name.clone(), introduce()));
            if *to == route.name {
                return Arc::clone(introduction);
            }
        }
        introduce()
    }

    /// What opened at one place is not to be used at another, where it would not open (H2).
    fn was_sealed_for(&self, site: &Site) -> bool {
        self.cookie == site.cookies.session_name() && self.place == site.cookies.place()
    }
}

impl Gateway {
    /// A gateway for `settings`, which the configuration has checked.
    pub fn new(settings: Settings) -> Self {
        let mut sites = HashMap::default();
        for origin in settings.routes.origins() {
            let cookies = Cookies::new(&settings.cookies, origin);
            let site = Arc::new(Site { origin: origin.clone(), cookies });
            sites.extend(origin.authorities().map(|authority| (authority, Arc::clone(&site))));
        }
        let origins = settings.routes.origins();
        let stripped = Stripped::new(
            origins
                .iter()
                .flat_map(|origin| settings.routes.at(origin))
                .map(|route| &route.identity),
        );
        let tag = |provider: &SignInProvider| {
            let client = &provider.registration;
            ProviderTag::new(&client.name, &client.issuer, &client.client_id)
        };
        let providers = settings.providers.iter();
        let providers = providers
            .map(|provider| Provider { tag: tag(provider), settings: provider.clone() })
            .collect();
        let routes = origins.iter().flat_map(|origin| settings.routes.at(origin));
        let nobody = routes
            .map(|route| (route.name.clone(), Arc::new(Introduction::new(route, None, None))))
            .collect();
        let routes = origins.iter().flat_map(|origin| settings.routes.at(origin));
        let bearers = routes.filter_map(|route| Some((route, route.clients.bearer.as_deref()?)));
        let circumstances = bearers.map(|(route, bearer)| {
            let issuers = bearer.issuers.iter().filter_map(|name| {
                settings.providers.iter().find(|it| it.registration.name == *name)
            });
            (route.name.clone(), Circumstances::of(bearer, issuers))
        });
        let circumstances = circumstances.collect();
        let opener = Arc::default();
        Self { sites, providers, stripped, opener, nobody, circumstances, settings }
    }

    /// Decides one visit.
    pub async fn visit<W: World>(
        &self,
        world: &W,
        request: &Request<'_>,
        now: Timestamp,
    ) -> Outcome {
        let Some(site) = self.sites.get(&request.authority) else {
            let reason = match request.transport {
                Transport::Plain => Reason::NoSuchSite,
                Transport::Tls => Reason::Misdirected,
            };
            return Outcome::refuse(Refusal::new(reason, request.kind()));
        };
        if let Some(outcome) = self.resource(request, site) {
            return outcome;
        }
        match self.endpoint(request, site) {
            Some(endpoint) => self.own_page(world, request, site, endpoint, now).await,
            None => match self.settings.routes.find(&request.authority, &request.path) {
                Found::Route(route) => self.application(world, request, site, route, now).await,
                Found::Ambiguous => {
                    Outcome::refuse(Refusal::new(Reason::RequestMalformed, request.kind()))
                }
                Found::Ours(_) | Found::Nothing => {
                    Outcome::refuse(Refusal::new(Reason::NotFound, request.kind()))
                }
            },
        }
    }

    /// The cookies of the origin that `authority` belongs to, for a door that keeps them from an upstream.
    pub fn cookies(&self, authority: &str) -> Option<&Cookies> {
        self.sites.get(authority).map(|site| &site.cookies)
    }

    /// The names of headers that no client may send upstream.
    pub fn stripped(&self) -> &Stripped {
        &self.stripped
    }

    /// What it was built from.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    fn endpoint(&self, request: &Request<'_>, site: &Site) -> Option<Endpoint> {
        let here = |provider: &Provider| {
            provider.settings.redirect_uri.as_ref().is_some_and(|uri| {
                uri.path() == request.path.as_str()
                    && PublicOrigin::of(uri).as_ref() == Some(&site.origin)
            })
        };
        if self.providers.iter().any(here) {
            return Some(Endpoint::Callback);
        }
        Endpoint::at(&request.path, &self.settings.path_prefix)
    }

    async fn application<W: World>(
        &self,
        world: &W,
        request: &Request<'_>,
        site: &Site,
        route: Arc<Route>,
        now: Timestamp,
    ) -> Outcome {
        if !route.clients.is_plain() {
            // Apart, because few visits need the room that it takes.
            let program = Box::pin(self.program(world, request, site, &route, now)).await;
            if let Some(outcome) = program {
                return outcome;
            }
        }
        let (brought, for_upstream) = self.brought(world, request, site);
        let accepted = |opened: &Opened| {
            route.providers.iter().any(|name| name == opened.session.identity().provider())
        };
        let (mut cause, mut renewed) = (None, Vec::new());
        let opened = match self.confirmed(world, request, site, brought, now).await {
            Ok(opened) if accepted(&opened) => Ok(opened),
            Ok(_) => Err(NoSession::OtherProvider),
            Err(unconfirmed) => {
                (cause, renewed) = (unconfirmed.cause, unconfirmed.cookies);
                Err(unconfirmed.because)
            }
        };
        let who = opened.as_ref().map(|opened| opened.session.identity());
        let decision = policy::decide(
            &route,
            request.method,
            &request.path,
            who.map_err(|because| *because),
            request.client.address(),
        );
        match decision {
            Decision::Allow(permit) => match opened {
                // What carries no session can be asked for by any page, and by any program.
                Ok(opened) if !websocket::may_open(request.headers, &route) => {
                    refuse_foreign_websocket(request, &permit, opened)
                }
                opened => self.admit(request, permit, opened.ok(), for_upstream),
            },
            Decision::Challenge(challenge) => {
                let mut outcome =
                    Box::pin(self.challenge(world, request, site, challenge, now)).await;
                if cause.is_some() {
                    outcome.record.event = Some(Event::RefreshFailed);
                    outcome.record.cause = cause;
                }
                outcome.cookies.extend(renewed);
                outcome
            }
            Decision::Refuse(denial) => self.refuse(request, site, denial, opened.ok()),
        }
    }

    fn admit(
        &self,
        request: &Request<'_>,
        permit: Permit,
        opened: Option<Opened>,
        cookie: ForUpstream,
    ) -> Outcome {
        let route = permit.rule().route();
        let introduction = match &opened {
            Some(opened) => opened.open.introduction(route, request.client.address()),
            None => self.nobody(route),
        };
        let mut outcome = self.admission(request, permit, introduction, cookie);
        if let Some(opened) = opened {
            let record = &mut outcome.record;
            record.session = Some(opened.session);
            (record.event, record.cause) = (opened.event, opened.cause);
            // What is public may be kept by caches, and must not have anybody's session in it.
            if record.decision != DecisionWord::Public {
                outcome.cookies = opened.cookies;
            }
        }
        outcome
    }

    /// What the upstream of `route` is told about nobody.
    fn nobody(&self, route: &Route) -> Arc<Introduction> {
        match self.nobody.get(&route.name) {
            Some(introduction) => Arc::clone(introduction),
            None => Arc::new(Introduction::new(route, None, None)),
        }
    }

    /// The way to the upstream, with `introduction`.
    fn admission(
        &self,
        request: &Request<'_>,
        permit: Permit,
        introduction: Arc<Introduction>,
        cookie: ForUpstream,
    ) -> Outcome {
        let route = permit.rule().route();
        let forwarding = Forwarding {
            client: request.client,
            path: &request.via,
            request_id: &request.id,
            memory: request.memory,
        };
        let edits = HeaderEdits::new(introduction, &forwarding);
        let target = upstream_target(route, request);
        let record = Record {
            route: Some(Arc::clone(route)),
            rule: Some(permit.rule().as_str().to_owned()),
            decision: match permit.is_for_everybody() {
                true => DecisionWord::Public,
                false => DecisionWord::Allow,
            },
            ..Record::default()
        };
        let verdict = Verdict::Admit(Box::new(Admission::new(permit, target, edits, cookie)));
        Outcome { verdict, cookies: Vec::new(), record }
    }

    async fn challenge<W: World>(
        &self,
        world: &W,
        request: &Request<'_>,
        site: &Site,
        challenge: Challenge,
        now: Timestamp,
    ) -> Outcome {
        let route = challenge.rule.route();
        let clients = &route.clients;
        // Who signs in nowhere is not told to.
        let takes_tokens_alone = clients.login == LoginRule::Never
            && clients.bearer.is_some()
            && route.providers.is_empty();
        let reason = if takes_tokens_alone && challenge.because == NoSession::NoCookie {
            Reason::AccessTokenRequired
        } else {
            challenge.because.reason()
        };
        let page = matches!(*request.method, Method::GET | Method::HEAD);
        let mut outcome = if clients.login == LoginRule::Never {
            let waits = challenge.because == NoSession::Unconfirmed;
            let refusal = Refusal::new(reason, request.kind().without_pages());
            Outcome::refuse(Refusal { retry_after: waits.then_some(refresh::PATIENCE), ..refusal })
        } else if challenge.because == NoSession::Unconfirmed {
            // To sign in would not help: the same provider would have to be asked.
            let refusal = Refusal::new(reason, request.kind());
            Outcome::refuse(Refusal { retry_after: Some(refresh::PATIENCE), ..refusal })
        } else if request.kind().wants_page() && page {
            let target = self.return_to(&request.target(), site);
            match self.circle(request, site, &target, challenge.because, now) {
                Some(stopped) => stopped,
                None => self.send_to_sign_in(world, request, site, &challenge, now).await,
            }
        } else {
            // Nothing that was written is thrown away silently, and no program is sent to a login page.
            let back = if request.kind() == Client::Htmx {
                // What was asked for is a part of the page that the person is on.
                self.page_of_htmx(request, site)
            } else if page {
                request.target()
            } else {
                "/".to_owned()
            };
            let refusal = Refusal::new(reason, request.kind());
            let sign_in = Some(self.login_link(site, &back, &[]));
            let (rescue, surplus) = self.offer(world, request, site, challenge.because, now);
            let mut outcome = Outcome::refuse(Refusal { sign_in, rescue, ..refusal });
            outcome.cookies = surplus;
            outcome
        };
        let kept = match challenge.because {
            NoSession::NoCookie | NoSession::OtherProvider | NoSession::Unconfirmed => true,
            // What is over is what a silent sign-in begins with (CB-45), and says whose a form was.
            NoSession::Expired | NoSession::Idle => {
                self.settings.kept_form_bytes.is_some()
                    || self.providers.iter().any(|provider| provider.settings.sign_in.silent_login)
            }
            NoSession::Ended | NoSession::SignedOut | NoSession::Unreadable => false,
        };
        if !kept {
            outcome.cookies.extend(site.cookies.clear_session(request.headers));
        }
        if challenge.because == NoSession::SignedOut {
            outcome.cookies.extend(site.cookies.clear_returns(request.headers));
        }
        outcome.record.route = Some(Arc::clone(challenge.rule.route()));
        outcome.record.rule = Some(challenge.rule.as_str().to_owned());
        outcome.record.decision = DecisionWord::Login;
        outcome.record.reason.get_or_insert(reason);
        outcome
    }

    fn refuse(
        &self,
        request: &Request<'_>,
        site: &Site,
        denial: Denial,
        opened: Option<Opened>,
    ) -> Outcome {
        let reason = denial.because.reason();
        let session = opened.map(|opened| opened.session);
        let signs_in = denial.rule.route().clients.login == LoginRule::Auto;
        let client = if signs_in { request.kind() } else { request.kind().without_pages() };
        let refusal = Refusal {
            other_account: signs_in
                .then(|| self.login_link(site, &request.target(), &[("prompt", "select_account")])),
            sign_out: Some(Endpoint::Logout.path(&self.settings.path_prefix)),
            identity: session.as_ref().map(|session| Box::new(session.identity().clone())),
            words: Words {
                explain: denial.policy.explain.clone(),
                help: denial.policy.help.clone(),
                ..Words::default()
            },
            ..Refusal::new(reason, client)
        };
        let mut outcome = Outcome::refuse(refusal);
        outcome.record.route = Some(Arc::clone(denial.rule.route()));
        outcome.record.rule = Some(denial.rule.as_str().to_owned());
        outcome.record.decision = DecisionWord::Deny;
        outcome.record.session = session;
        outcome.record.event = Some(Event::AccessDenied);
        outcome
    }

    /// The session that the browser brought, if it counts at `now`.
    fn session<W: World>(
        &self,
        world: &W,
        request: &Request<'_>,
        site: &Site,
        now: Timestamp,
    ) -> Result<Opened, NoSession> {
        self.judge(world, request, site, self.brought(world, request, site).0?, now)
    }

    /// The session that the browser brought, alive or not, and the cookies that are not ours.
    fn brought<W: World>(
        &self,
        world: &W,
        request: &Request<'_>,
        site: &Site,
    ) -> (Result<Arc<OpenSession>, NoSession>, ForUpstream) {
        let memory = request.memory.zip(only_line(request.headers));
        let known = memory.and_then(|(memory, line)| memory.recall(&self.opener, line));
        if let Some(Known { open, for_upstream }) =
            known.filter(|known| known.open.was_sealed_for(site))
        {
            return (Ok(open), for_upstream);
        }
        let Brought { session, for_upstream } = site.cookies.read(request.headers);
        let open = self.open(world, site, session);
        if let (Some((memory, line)), Ok(open)) = (memory, &open) {
            let known = Known { open: Arc::clone(open), for_upstream: for_upstream.clone() };
            memory.keep(&self.opener, line, known);
        }
        (open, for_upstream)
    }

    /// The session that a cookie holds, alive or not.
    fn open<W: World>(
        &self,
        world: &W,
        site: &Site,
        brought: FoundCookie<'_>,
    ) -> Result<Arc<OpenSession>, NoSession> {
        let value = match brought {
            FoundCookie::Nothing => return Err(NoSession::NoCookie),
            FoundCookie::Confused => return Err(NoSession::Unreadable),
            FoundCookie::Value(value) => value,
        };
        if let Some(open) = world.remembered(&value).filter(|open| open.was_sealed_for(site)) {
            return Ok(open);
        }
        let open = Arc::new(self.open_session(site, &value).ok_or(NoSession::Unreadable)?);
        world.remember(&value, &open);
        Ok(open)
    }

    /// `open`, if it counts at `now`.
    fn judge<W: World>(
        &self,
        world: &W,
        request: &Request<'_>,
        site: &Site,
        open: Arc<OpenSession>,
        now: Timestamp,
    ) -> Result<Opened, NoSession> {
        let session = &open.session;
        session.check(&self.settings.sessions, now)?;
        if world.is_revoked(session.id()) {
            return Err(NoSession::SignedOut);
        }
        let renewed = session.renewed(&self.settings.sessions, now).map(Arc::new);
        if renewed.is_none() && !open.with_old_key {
            let session = Arc::clone(session);
            return Ok(Opened { session, open, cookies: Vec::new(), event: None, cause: None });
        }
        let session = renewed.unwrap_or_else(|| Arc::clone(session));
        // A session that fitted before fits now; if not, the browser keeps the one it has.
        let cookies = self
            .provider(session.identity().provider())
            .and_then(|provider| {
                self.session_cookies(world, site, provider, &session, request.headers, now).ok()
            })
            .unwrap_or_default();
        Ok(Opened { session, open, cookies, event: None, cause: None })
    }

    fn open_session(&self, site: &Site, sealed: &[u8]) -> Option<OpenSession> {
        let sealed = std::str::from_utf8(sealed).ok()?;
        let (name, place) = (site.cookies.session_name(), site.cookies.place());
        let tags = self.providers.iter().map(|provider| (&provider.tag, ()));
        let (opened, ()) =
            self.settings.keys.open(Purpose::Session, name, place, tags, sealed).ok()?;
        let session = Arc::new(postcard::from_bytes(&opened.text).ok()?);
        let with_old_key = opened.with_old_key;
        Some(OpenSession { with_old_key, ..OpenSession::new(session, site) })
    }

    /// `Set-Cookie` lines for a session.
    fn session_cookies<W: World>(
        &self,
        world: &W,
        site: &Site,
        provider: &Provider,
        session: &Session,
        sent: &HeaderMap,
        now: Timestamp,
    ) -> Result<Vec<HeaderValue>, crate::cookie::TooLarge> {
        let sealed = self.seal(
            world,
            Binding {
                purpose: Purpose::Session,
                cookie: site.cookies.session_name(),
                place: site.cookies.place(),
                provider: &provider.tag,
            },
            session,
        );
        let over = match provider.settings.sign_in.silent_login {
            true => REMEMBERED_WHEN_OVER,
            false if self.settings.kept_form_bytes.is_some() => KNOWN_WHEN_OVER,
            false => Duration::ZERO,
        };
        site.cookies.set_session(&sealed, session.remaining(now) + over, sent)
    }

    fn seal<W: World>(
        &self,
        world: &W,
        binding: Binding<'_>,
        value: &impl serde::Serialize,
    ) -> String {
        let mut entropy = [0; SEAL_ENTROPY_BYTES];
        world.fill_random(&mut entropy);
        // Plain structs of texts and numbers always encode.
        let text = postcard::to_allocvec(value).unwrap_or_default();
        self.settings.keys.seal(binding, &text, entropy)
    }

    /// Our own link to sign in and come back to `target`, with further parameters.
    fn login_link(&self, site: &Site, target: &str, more: &[(&str, &str)]) -> String {
        let path = Endpoint::Login.path(&self.settings.path_prefix);
        let (base, target) = match self.sign_in_elsewhere(site) {
            Some(origin) => (format!("{origin}{path}"), format!("{}{target}", site.origin)),
            None => (path, target.to_owned()),
        };
        let mut query =
            url::form_urlencoded::Serializer::for_suffix(format!("{base}?"), base.len() + 1);
        query.append_pair("return_to", &target);
        query.extend_pairs(more);
        query.finish()
    }

    /// Path and query of the page that a request of htmx comes from, if it is one of this origin's.
    fn page_of_htmx(&self, request: &Request<'_>, site: &Site) -> String {
        let page = request.headers.get("hx-current-url").and_then(|url| url.to_str().ok());
        let page = page.and_then(|url| url.strip_prefix(site.origin.as_str()));
        let page = page.filter(|rest| rest.starts_with('/'));
        page.map_or_else(
            || "/".to_owned(),
            |rest| rest.split('#').next().unwrap_or(rest).to_owned(),
        )
    }

    /// The origin at which people sign in, when it is not this one.
    fn sign_in_elsewhere(&self, site: &Site) -> Option<&PublicOrigin> {
        self.settings.public_url.as_ref().filter(|origin| **origin != site.origin)
    }

    fn provider(&self, name: &str) -> Option<&Provider> {
        self.providers.iter().find(|provider| provider.settings.registration.name == name)
    }
}

impl Opened {
    /// An answer of our own to somebody who is signed in.
    fn answer(self, answer: Answer) -> Outcome {
        let mut outcome = Outcome::answer(answer);
        outcome.record.session = Some(self.session);
        (outcome.record.event, outcome.record.cause) = (self.event, self.cause);
        outcome.cookies = self.cookies;
        outcome
    }
}

impl Opened {
    /// A refusal to somebody who is signed in.
    fn answer_refused(self, refusal: Refusal) -> Outcome {
        let reason = refusal.reason;
        let mut outcome = self.answer(Answer::Refusal(refusal));
        outcome.record.reason = Some(reason);
        outcome
    }
}

/// Tells a page of another site that it may not speak in the name of whoever has it open (E8).
fn refuse_foreign_websocket(request: &Request<'_>, permit: &Permit, opened: Opened) -> Outcome {
    let mut outcome = Outcome::refuse(Refusal::new(Reason::WebsocketOriginRefused, request.kind()));
    outcome.record.route = Some(Arc::clone(permit.rule().route()));
    outcome.record.rule = Some(permit.rule().as_str().to_owned());
    outcome.record.decision = DecisionWord::Deny;
    outcome.record.provider = Some(opened.session.identity().provider().to_owned());
    outcome.record.session = Some(opened.session);
    outcome.record.event = Some(Event::AccessDenied);
    outcome
}

/// What a door answers to a request that has no single meaning.
pub fn malformed(malformed: &Malformed, method: &Method, headers: &HeaderMap) -> Outcome {
    let client = Client::of(method, headers);
    let mut outcome = Outcome::refuse(match malformed {
        Malformed::Method => Refusal {
            allow: Some("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"),
            ..Refusal::new(Reason::MethodNotAllowed, client)
        },
        Malformed::Authority | Malformed::Path(_) | Malformed::Query | Malformed::Repeated => {
            Refusal::new(Reason::RequestMalformed, client)
        }
    });
    outcome.record.cause = Some(malformed.to_string());
    outcome
}
