//! The door to the applications: a visit as pingora leads it through.
//!
//! Every request becomes a [`Request`], the gateway is asked once, and its [`Outcome`] is kept. An answer of
//! ours is written by one function. An admission is the only thing that can be forwarded: the upstream, the
//! target and the headers are read from it, and without one there is an error. Upstream headers are touched
//! in one place, late, where pingora no longer takes anything away because a client asked it to.
//!
//! All that a connection remembers from one request to the next is what its cookies came to
//! ([`Memory`](lychgate_gateway::memory::Memory)), and the gateway alone reads it.
//!
//! Sources: RFC 9110 §7; RFC 9112 §3, §6, §9; RFC 9113 §8.

mod answer;
mod failure;
mod finished;
mod form;
mod forward;
mod https;
mod lasting;
mod objection;
mod request_ids;
mod rescue;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use arc_swap::ArcSwap;
use async_trait::async_trait;
use bytes::Bytes;
use http::{Method, StatusCode, Version, header};
use lychgate_config::config::Limits;
use lychgate_gateway::client::Client;
use lychgate_gateway::clients::LoginRule;
use lychgate_gateway::cookie::Cookies;
use lychgate_gateway::outcome::{Admission, Answer, Outcome, Refusal, Verdict};
use lychgate_gateway::path::CanonicalPath;
use lychgate_gateway::reason::Reason;
use lychgate_gateway::request::{Malformed, Received, Request, RequestId};
use lychgate_gateway::world::World;
use lychgate_gateway::{Gateway, visit as gateway_visit};
use lychgate_oidc::Timestamp;
use pingora_core::modules::http::HttpModules;
use pingora_core::protocols::ALPN;
use pingora_core::upstreams::peer::{HttpPeer, Peer as _};
use pingora_error::{Error, ErrorType, Result};
use pingora_http::{RequestHeader, ResponseHeader};
use pingora_proxy::{FailToProxy, ProxyHttp, ProxyWarnLogContext, Session};

use self::answer::AfterAnswer;
use self::https::HttpsHosts;
use self::request_ids::RequestIds;
use crate::drain::{Drain, UnderWay};
use crate::listener::Purpose;
use crate::pages::Pages;
use crate::panics::{self, Panicked};
use crate::respond::{About, Responder};
use crate::socket::Connection;
use crate::telemetry::Telemetry;
use crate::telemetry::metrics::ActiveRequest;
use crate::tether::{Held, Tethers};
use crate::upstream::{Candidates, Upstream, Upstreams};
use crate::websocket::Answered;
use crate::world;

/// Between any two pieces of a request's body, and for any piece of a response to be taken.
const BODY_TIMEOUT: Duration = Duration::from_secs(60);

/// What follows from one configuration. A visit keeps the one that it began with.
#[derive(Debug)]
pub(crate) struct Site<W> {
    pub(crate) gateway: Gateway,
    pub(crate) upstreams: Upstreams,
    pub(crate) world: W,
    pub(crate) telemetry: Arc<Telemetry>,
    responder: Responder,
    https: HttpsHosts,
}

/// What pingora asks about every request.
pub(crate) struct App<W> {
    site: Arc<ArcSwap<Site<W>>>,
    limits: Limits,
    tethers: Arc<Tethers>,
    drain: Drain,
    request_ids: RequestIds,
}

/// One request, from its header block to its log line.
pub(crate) struct Visit<W> {
    site: Arc<Site<W>>,
    came: SystemTime,
    began: Instant,
    now: Timestamp,
    /// The id under which page, logs and upstream know it.
    id: RequestId,
    client: Option<IpAddr>,
    /// As the gateway reads it, if it can be read.
    canonical: Option<Canonical>,
    outcome: Option<Outcome>,
    /// Why it is cut short, when that is known better than by pingora's error.
    cut_short: Option<Reason>,
    manner: Manner,
    body_bytes: u64,
    passage: Option<Passage>,
    /// Where it may have to end before its time.
    held: Option<Held>,
    /// Whether it was found to take long.
    was_asked: bool,
    /// A form that was kept, on its way.
    passing: rescue::Passing,
    #[expect(dead_code, reason = "counts for as long as it is there")]
    under_way: UnderWay,
    active: Option<ActiveRequest>,
}

/// Where a request goes, in the one spelling that counts.
struct Canonical {
    authority: String,
    path: CanonicalPath,
}

/// What a request wants of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manner {
    /// A response.
    Exchange,
    /// A WebSocket.
    Handshake,
    /// Events, as they come.
    Listening,
}

/// A request on its way to an upstream.
struct Passage {
    upstream: Arc<Upstream>,
    candidates: Candidates,
    began: Instant,
    answer: Option<UpstreamAnswer>,
    handshake: Option<Answered>,
}

#[derive(Clone, Copy, Debug)]
struct UpstreamAnswer {
    status: StatusCode,
    after: Duration,
}

impl<W> Site<W> {
    /// A site of `gateway`, whose routes lead to `upstreams`, in `world`, and whose own pages are `pages`.
    pub(crate) fn new(
        gateway: Gateway,
        upstreams: Upstreams,
        world: W,
        telemetry: Arc<Telemetry>,
        pages: Pages,
    ) -> Self {
        let settings = gateway.settings();
        let responder = Responder::new(pages);
        let https = HttpsHosts::new(settings.routes.origins());
        Self { gateway, upstreams, world, telemetry, responder, https }
    }
}

impl<W> App<W> {
    /// Serves whatever `site` holds when a request begins.
    pub(crate) fn new(site: Arc<ArcSwap<Site<W>>>, limits: Limits, tethers: Arc<Tethers>) -> Self {
        Self { site, limits, tethers, drain: Drain::default(), request_ids: RequestIds::new() }
    }

    /// The requests under way.
    pub(crate) fn drain(&self) -> &Drain {
        &self.drain
    }
}

impl<W: World + Send + Sync + 'static> App<W> {
    /// Asks the gateway, or answers for it where there is nothing to ask.
    async fn outcome(
        &self,
        head: &RequestHeader,
        form: Option<&[u8]>,
        connection: &Connection,
        visit: &mut Visit<W>,
    ) -> Outcome {
        let site = Arc::clone(&visit.site);
        let request = match request(head, connection, visit.id.clone()) {
            Ok(request) => Request { body: form, memory: Some(&connection.memory), ..request },
            Err(malformed) => {
                return gateway_visit::malformed(&malformed, &head.method, &head.headers);
            }
        };
        let outcome = site.gateway.visit(&site.world, &request, visit.now).await;
        let Request { authority, path, client, id, .. } = request;
        visit.client = client.address();
        visit.canonical = Some(Canonical { authority, path });
        visit.id = id;
        self.renewed(&outcome);
        outcome
    }
}

impl<W> Visit<W> {
    /// The cookies of the origin that it is for.
    fn cookies(&self) -> Option<&Cookies> {
        self.site.gateway.cookies(&self.canonical.as_ref()?.authority)
    }

    /// The language of a page of ours.
    fn language(&self, session: &Session) -> &str {
        self.site.gateway.settings().languages.of(&session.req_header().headers)
    }

    fn admission(&self) -> Option<&Admission> {
        match &self.outcome.as_ref()?.verdict {
            Verdict::Admit(admission) => Some(admission),
            Verdict::Answer(_) => None,
        }
    }

    /// Makes `reason` what the visit comes to, and keeps what is known of it.
    fn refuse(&mut self, reason: Reason, client: Client) {
        let route = self.outcome.as_ref().and_then(|outcome| outcome.record.route.as_deref());
        let client = match route.map(|route| route.clients.login) {
            Some(LoginRule::Never) => client.without_pages(),
            Some(LoginRule::Auto) | None => client,
        };
        let refusal = Answer::Refusal(Refusal::new(reason, client));
        match &mut self.outcome {
            Some(outcome) => {
                outcome.verdict = Verdict::Answer(Box::new(refusal));
                outcome.record.reason = Some(reason);
            }
            None => self.outcome = Some(Outcome::refuse(Refusal::new(reason, client))),
        }
    }
}

#[async_trait]
impl<W: World + Send + Sync + 'static> ProxyHttp for App<W> {
    /// Boxed, for pingora moves it from future to future.
    type CTX = Box<Visit<W>>;

    fn new_ctx(&self) -> Box<Visit<W>> {
        let came = SystemTime::now();
        Box::new(Visit {
            site: self.site.load_full(),
            came,
            began: Instant::now(),
            now: world::timestamp(came),
            id: self.request_ids.next(),
            client: None,
            canonical: None,
            outcome: None,
            cut_short: None,
            manner: Manner::Exchange,
            body_bytes: 0,
            passage: None,
            held: None,
            was_asked: false,
            passing: rescue::Passing::default(),
            under_way: self.drain.begin(),
            active: None,
        })
    }

    /// None: pingora's own would compress, and what is compressed beside a secret tells its length.
    fn init_downstream_modules(&self, _: &mut HttpModules) {}

    async fn request_filter(
        &self,
        session: &mut Session,
        visit: &mut Box<Visit<W>>,
    ) -> Result<bool> {
        let decided = panics::caught(self.decide(session, visit)).await;
        decided.unwrap_or_else(|Panicked| {
            visit.cut_short = Some(Reason::GatewayFault);
            Error::e_explain(ErrorType::InternalError, "the work on this request panicked")
        })
    }

    async fn upstream_peer(
        &self,
        session: &mut Session,
        visit: &mut Box<Visit<W>>,
    ) -> Result<Box<HttpPeer>> {
        let Some(admission) = visit.admission() else {
            return Error::e_explain(ErrorType::InternalError, "nothing admits this request");
        };
        if visit.passage.is_none() {
            let name = &admission.route().upstream;
            let Some(upstream) = visit.site.upstreams.find(name) else {
                return Error::e_explain(ErrorType::InternalError, format!("no upstream `{name}`"));
            };
            let upstream = Arc::clone(upstream);
            let candidates = upstream.candidates().await.map_err(|cause| {
                Error::because(ErrorType::ConnectNoRoute, "finding the upstream", cause).into_up()
            })?;
            let began = Instant::now();
            visit.passage =
                Some(Passage { upstream, candidates, began, answer: None, handshake: None });
        }
        let manner = visit.manner;
        let Some(Passage { upstream, candidates, handshake, .. }) = &mut visit.passage else {
            return Error::e_explain(ErrorType::InternalError, "there is no passage");
        };
        let Some(peer) = candidates.next(upstream.avoided()) else {
            return Error::e_explain(ErrorType::InternalError, "no peer is left");
        };
        Ok(match manner {
            Manner::Exchange => {
                let mut peer = Box::new(peer.clone());
                // A client that has said everything is looked after while it waits, and by the same timer the
                // application is.
                if let Some(patience) = peer.options.read_timeout
                    && peer.options.alpn == ALPN::H1
                    && session.is_body_empty()
                    && session
                        .digest()
                        .and_then(Connection::of)
                        .is_some_and(|it| it.watches(patience))
                {
                    peer.options.read_timeout = None;
                }
                peer
            }
            Manner::Handshake => {
                let (peer, answered) = upstream.for_handshake(peer);
                *handshake = Some(answered);
                peer
            }
            Manner::Listening => {
                let (peer, answered) = upstream.for_events(peer);
                *handshake = Some(answered);
                peer
            }
        })
    }

    fn fail_to_connect(
        &self,
        _: &mut Session,
        peer: &HttpPeer,
        visit: &mut Box<Visit<W>>,
        mut error: Box<Error>,
    ) -> Box<Error> {
        // Nothing has been sent, so whatever the method is, another copy may be asked.
        let passage = visit.passage.as_ref();
        let others = passage.is_some_and(|passage| {
            passage.upstream.avoid(peer);
            passage.candidates.any_left()
        });
        error.set_retry(others);
        if others {
            tracing::warn!(request_id = visit.id.as_str(), address = %peer.address(), %error, "trying another copy");
        }
        error
    }

    async fn upstream_request_filter(
        &self,
        session: &mut Session,
        upstream: &mut RequestHeader,
        visit: &mut Box<Visit<W>>,
    ) -> Result<()> {
        let Some(admission) = visit.admission() else {
            return Error::e_explain(ErrorType::InternalError, "nothing admits this request");
        };
        let gateway = &visit.site.gateway;
        let rules =
            forward::Rules { admission, stripped: gateway.stripped(), manner: visit.manner };
        rules.apply(session.req_header(), upstream)?;
        admission.replay().map_or(Ok(()), |replay| rescue::introduce(replay, upstream))
    }

    async fn request_body_filter(
        &self,
        session: &mut Session,
        body: &mut Option<Bytes>,
        ends: bool,
        visit: &mut Box<Visit<W>>,
    ) -> Result<()> {
        if visit.admission().is_some_and(|admission| admission.replay().is_some()) {
            return self.pass_form(body, ends, visit).await;
        }
        let Some(piece) = body.as_ref().filter(|_| !session.was_upgraded()) else { return Ok(()) };
        visit.body_bytes = visit.body_bytes.saturating_add(piece.len() as u64);
        let most = visit.admission().and_then(|admission| admission.route().body_bytes_max);
        if most.is_some_and(|most| visit.body_bytes > most) {
            visit.cut_short = Some(Reason::BodyTooLarge);
            return Err(Error::new_down(ErrorType::HTTPStatus(413)));
        }
        Ok(())
    }

    async fn upstream_response_filter(
        &self,
        _: &mut Session,
        response: &mut ResponseHeader,
        visit: &mut Box<Visit<W>>,
    ) -> Result<()> {
        let switches = response.status == StatusCode::SWITCHING_PROTOCOLS;
        if response.status.is_informational() && !switches {
            return Ok(());
        }
        if switches
            && !(visit.manner == Manner::Handshake && forward::agrees_to_websocket(response))
        {
            return Err(Error::explain(
                ErrorType::InvalidHTTPHeader,
                "the upstream switches to a protocol that nobody asked for",
            )
            .into_up());
        }
        if let Some(passage) = &mut visit.passage {
            passage.answer =
                Some(UpstreamAnswer { status: response.status, after: passage.began.elapsed() });
            if let Some(answered) = &passage.handshake {
                answered.tell();
            }
        }
        Ok(())
    }

    async fn response_filter(
        &self,
        session: &mut Session,
        response: &mut ResponseHeader,
        visit: &mut Box<Visit<W>>,
    ) -> Result<()> {
        let switches = response.status == StatusCode::SWITCHING_PROTOCOLS;
        if response.status.is_informational() && !switches {
            return Ok(());
        }
        if switches {
            // A tunnel may be silent for as long as it likes.
            session.set_read_timeout(None);
        }
        if session.is_process_shutting_down() {
            session.set_keepalive(None);
        }
        let (Some(admission), Some(outcome)) = (visit.admission(), visit.outcome.as_ref()) else {
            return Error::e_explain(ErrorType::InternalError, "nothing admits this request");
        };
        if let Some(replay) = admission.replay() {
            rescue::lead_on(replay, response)?;
        }
        let gateway = &visit.site.gateway;
        let answer = forward::ResponseRules {
            route: admission.route(),
            stripped: gateway.stripped(),
            cookies: visit.cookies(),
            ours: &outcome.cookies,
            request_id: visit.id.as_header(),
            asked: &session.req_header().headers,
        };
        answer.apply(response)?;
        if lasting::is_expected_to_last(response) {
            self.tie(session, visit, switches);
        }
        Ok(())
    }

    fn response_body_filter(
        &self,
        session: &mut Session,
        body: &mut Option<Bytes>,
        end_of_stream: bool,
        visit: &mut Box<Visit<W>>,
    ) -> Result<Option<Duration>> {
        if !end_of_stream && body.is_some() {
            self.goes_on(session, visit)?;
        }
        Ok(None)
    }

    async fn fail_to_proxy(
        &self,
        session: &mut Session,
        error: &Error,
        visit: &mut Box<Visit<W>>,
    ) -> FailToProxy {
        let connection = session.digest().and_then(Connection::of);
        let silent = connection.is_some_and(Connection::waited_in_vain);
        let late = silent.then_some(Reason::UpstreamTimeout);
        let reason = visit.cut_short.or(late).or_else(|| failure::reason(error));
        let nothing = FailToProxy { error_code: 0, can_reuse_downstream: false };
        let sent = session.response_written().is_some_and(|response| {
            !response.status.is_informational()
                || response.status == StatusCode::SWITCHING_PROTOCOLS
        });
        let Some(reason) = reason.filter(|_| !sent) else { return nothing };
        let head = session.req_header();
        let client = Client::of(&head.method, &head.headers);
        let rescue = self.not_answered(session, visit, reason).await;
        visit.refuse(reason, client);
        if let Some(rescue) = rescue {
            visit.rescued(rescue);
        }
        match self.answer(session, visit, AfterAnswer::Close).await {
            Ok(_) => {
                // pingora drops the connection now. Closing it first lets the client see the answer.
                if !session.is_http2() {
                    session.as_downstream_mut().shutdown().await;
                }
                FailToProxy { error_code: reason.status().as_u16(), can_reuse_downstream: false }
            }
            Err(error) => {
                tracing::debug!(request_id = visit.id.as_str(), %error, "the client did not wait for an answer");
                nothing
            }
        }
    }

    async fn logging(
        &self,
        session: &mut Session,
        error: Option<&Error>,
        visit: &mut Box<Visit<W>>,
    ) {
        if let Some(connection) = session.digest().and_then(Connection::of) {
            connection.request_ends();
        }
        visit.note_ending();
        self.finished(session, visit, error);
    }

    /// Errors are logged where they are dealt with, at a level that fits whose they are.
    fn suppress_error_log(&self, _: &Session, _: &Box<Visit<W>>, _: &Error) -> bool {
        true
    }

    fn suppress_proxy_warn_log(
        &self,
        _: &Session,
        _: &Box<Visit<W>>,
        _: &Error,
        _: ProxyWarnLogContext,
    ) -> bool {
        true
    }
}

impl<W: World + Send + Sync + 'static> App<W> {
    /// What becomes of a request; whether it was answered already.
    async fn decide(&self, session: &mut Session, visit: &mut Visit<W>) -> Result<bool> {
        begin(session);
        #[cfg(debug_assertions)]
        crate::fault::met_by(&session.req_header().headers);
        let head = session.req_header();
        let raw = session.as_http1().map(|http1| http1.get_headers_raw_bytes());
        if let Some(reason) = objection::to(head, raw.as_deref(), &self.limits) {
            visit.refuse(reason, Client::of(&head.method, &head.headers));
            return Box::pin(self.answer(session, visit, AfterAnswer::Close)).await;
        }
        let Some(connection) = session.digest().and_then(Connection::of) else {
            return Error::e_explain(
                ErrorType::InternalError,
                "a request without a connection of ours",
            );
        };
        if connection.entrance.purpose == Purpose::RedirectToHttps {
            return Box::pin(self.redirect_to_https(session, visit)).await;
        }
        let form = if head.method == Method::POST {
            match Box::pin(self.form(session, visit)).await {
                Ok(form) => form,
                Err(reason) => {
                    let head = session.req_header();
                    visit.refuse(reason, Client::of(&head.method, &head.headers));
                    return Box::pin(self.answer(session, visit, AfterAnswer::Close)).await;
                }
            }
        } else {
            None
        };
        let head = session.req_header();
        let Some(connection) = session.digest().and_then(Connection::of) else {
            return Error::e_explain(
                ErrorType::InternalError,
                "a request without a connection of ours",
            );
        };
        let outcome = self.outcome(head, form.as_deref(), connection, visit).await;
        visit.active = Some(visit.site.telemetry.metrics().active(outcome.record.route.as_deref()));
        visit.outcome = Some(outcome);
        let head = session.req_header();
        let Some(admission) = visit.admission() else {
            Box::pin(self.rescue(session, visit)).await;
            return Box::pin(self.answer(session, visit, AfterAnswer::Stay)).await;
        };
        let announced = || {
            if let Some(replay) = admission.replay() {
                return Some(replay.bytes());
            }
            let length = head.headers.get(header::CONTENT_LENGTH)?;
            length.to_str().ok()?.parse::<u64>().ok()
        };
        let most = admission.route().body_bytes_max;
        if most.is_some_and(|most| announced().is_some_and(|sent| sent > most)) {
            visit.refuse(Reason::BodyTooLarge, Client::of(&head.method, &head.headers));
            return Box::pin(self.answer(session, visit, AfterAnswer::Close)).await;
        }
        if forward::asks_for_websocket(head) {
            visit.manner = Manner::Handshake;
        } else if forward::asks_for_events(head) {
            visit.manner = Manner::Listening;
        }
        Ok(false)
    }

    /// The same place on https, where there is one (RFC 9110 §15.4.9: the method stays what it was).
    async fn redirect_to_https(&self, session: &mut Session, visit: &mut Visit<W>) -> Result<bool> {
        let head = session.req_header();
        let target = String::from_utf8_lossy(head.raw_path());
        let place =
            visit.site.https.place(objection::authority(head), objection::origin_form(&target));
        let client = Client::of(&head.method, &head.headers);
        let Some(place) = place else {
            visit.refuse(Reason::NoSuchSite, client);
            return Box::pin(self.answer(session, visit, AfterAnswer::Stay)).await;
        };
        let about = About {
            request_id: visit.id.as_str(),
            method: &head.method,
            now: visit.now,
            route: None,
            language: visit.language(session),
        };
        let response = visit.site.responder.moved(&place, &about);
        answer::write(session, response, AfterAnswer::Stay).await?;
        Ok(true)
    }
}

/// The request as the gateway reads it.
fn request<'a>(
    head: &'a RequestHeader,
    connection: &'a Connection,
    fresh_id: RequestId,
) -> Result<Request<'a>, Malformed> {
    Request::read(Received {
        method: &head.method,
        // What is no text cannot be read either.
        target: objection::origin_form(std::str::from_utf8(head.raw_path()).unwrap_or("\u{FFFD}")),
        authority: objection::authority(head),
        headers: &head.headers,
        peer: connection.peer,
        trusted: &connection.entrance.trusted,
        transport: connection.entrance.transport,
        fresh_id,
    })
}

/// Sets a connection's limits for the request whose header block has been read.
fn begin(session: &mut Session) {
    if let Some(connection) = session.digest().and_then(Connection::of) {
        connection.request_begins();
    }
    session.set_read_timeout(Some(BODY_TIMEOUT));
    session.set_write_timeout(Some(BODY_TIMEOUT));
    let stays =
        session.req_header().version == Version::HTTP_11 && !session.is_process_shutting_down();
    // Zero is for ever; the socket knows the limit.
    session.set_keepalive(stays.then_some(0));
}

/// Whether a request's client waits to be told to send its body (RFC 9110 §10.1.1).
fn waits_to_send(head: &RequestHeader) -> bool {
    head.method != Method::GET && head.headers.contains_key(header::EXPECT)
}
