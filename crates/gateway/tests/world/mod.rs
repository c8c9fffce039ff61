//! A world in memory: time that is moved by hand, randomness from a seed, providers that sign for real,
//! and a ledger of what happened. No network, no runtime, no sleep.
//!
//! Every visit that goes through [`World`] is watched, whatever its story is about: no `Location` leaves the
//! listed places (O3), no secret is printed (N1), and what the record says is what happened.

pub(crate) mod browser;
pub(crate) mod plan;
pub(crate) mod provider;

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::future::{Future, poll_fn};
use std::net::IpAddr;
use std::pin::pin;
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use lychgate_gateway::Gateway;
use lychgate_gateway::forwarded::{Peer, TrustedProxies};
use lychgate_gateway::login_state::LoginId;
use lychgate_gateway::memory::Memory;
use lychgate_gateway::outcome::{Answer, DecisionWord, Outcome, Verdict};
use lychgate_gateway::reason::Reason;
use lychgate_gateway::request::{Received, Request, Transport};
use lychgate_gateway::session::SessionId;
use lychgate_gateway::visit::malformed;
use lychgate_gateway::visit::standing::Admitted;
use lychgate_gateway::world::{GrantId, Known, Refreshed, Spent, Unreachable, World as WaysOut};
use lychgate_oidc::{DpopNonces, KeySet, Secret, Timestamp};
use url::Url;

use browser::Browser;
use plan::Plan;
use provider::{Manner, Person, Provider};

/// 2030-01-01T09:00:00Z.
const MORNING: i64 = 1_893_488_400;
/// A visit that is polled more often than this hangs.
const POLLS_MAX: usize = 100;
/// How many of the latest secrets every visit's output is searched for.
const SECRETS_MAX: usize = 24;

/// The world, shared by everybody in a story.
#[derive(Clone)]
pub(crate) struct World(Rc<Inner>);

struct Inner {
    plan: RefCell<Plan>,
    gateway: RefCell<Rc<Gateway>>,
    outside: Outside,
    /// Everybody is behind one proxy, on one connection: what it remembers may change nobody's answer.
    memory: Memory,
}

/// What the gateway sees of it.
#[derive(Clone)]
pub(crate) struct Outside(Arc<Mutex<State>>);

struct State {
    now: i64,
    dice: Dice,
    providers: BTreeMap<String, Provider>,
    spent: HashMap<LoginId, String>,
    revoked: HashSet<SessionId>,
    refreshes: HashMap<GrantId, Refreshed>,
    secrets: VecDeque<String>,
    /// What somebody else put where our client assertions are, if they did.
    assertion: Option<String>,
    dpop_nonces: BTreeMap<String, DpopNonces>,
    /// How many more logins may begin, if that is limited.
    logins_left: Option<usize>,
}

/// Randomness from a seed. SplitMix64: small, and good enough to never repeat in a story.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }
}

/// One request, as it stands on the wire.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    pub(crate) method: Method,
    /// Scheme and authority.
    pub(crate) origin: String,
    /// Path and query.
    pub(crate) target: String,
    pub(crate) headers: HeaderMap,
    /// A form.
    pub(crate) body: Option<String>,
}

impl Ask {
    /// A request for an absolute URL, without any header.
    pub(crate) fn new(method: Method, url: &str) -> Self {
        let authority = url.find("://").map_or(0, |at| at + 3);
        let path = url[authority..].find(['/', '?']).map_or(url.len(), |at| authority + at);
        let target = url[path..].split('#').next().unwrap_or_default();
        let slash = if target.starts_with('/') { "" } else { "/" };
        Self {
            method,
            origin: url[..path].to_owned(),
            target: format!("{slash}{target}"),
            headers: HeaderMap::new(),
            body: None,
        }
    }

    pub(crate) fn with(mut self, name: &'static str, value: &str) -> Self {
        let value = HeaderValue::try_from(value).expect("a story sends legal headers");
        self.headers.insert(HeaderName::from_static(name), value);
        self
    }

    fn authority(&self) -> &str {
        self.origin.split_once("://").map_or("", |(_, authority)| authority)
    }
}

impl World {
    pub(crate) fn new(plan: Plan) -> Self {
        Self::seeded(plan, 1)
    }

    /// The same seed always gives the same world.
    pub(crate) fn seeded(plan: Plan, seed: u64) -> Self {
        let providers = plan.providers.iter().map(|name| ((*name).to_owned(), Provider::new(name)));
        let state = State {
            now: MORNING,
            dice: Dice(seed),
            providers: providers.collect(),
            spent: HashMap::new(),
            revoked: HashSet::new(),
            refreshes: HashMap::new(),
            secrets: VecDeque::new(),
            assertion: None,
            dpop_nonces: BTreeMap::new(),
            logins_left: None,
        };
        Self(Rc::new(Inner {
            gateway: RefCell::new(Rc::new(Gateway::new(plan.settings()))),
            plan: RefCell::new(plan),
            outside: Outside(Arc::new(Mutex::new(state))),
            memory: Memory::default(),
        }))
    }

    /// A browser with `person` in front of it.
    pub(crate) fn browser(&self, person: Person) -> Browser {
        Browser::new(self.clone(), person)
    }

    pub(crate) fn now(&self) -> i64 {
        self.0.outside.state().now
    }

    /// Lets time pass: `"31m"`, `"12h"`, or back with a `-` before it.
    pub(crate) fn pass(&self, time: &str) {
        let (amount, unit) = time.split_at(time.len() - 1);
        let unit = match unit {
            "s" => 1,
            "m" => 60,
            "h" => 3600,
            "d" => 86_400,
            other => panic!("{other} is no unit of time"),
        };
        self.0.outside.state().now += amount.parse::<i64>().expect("a whole number") * unit;
    }

    /// Does something to a provider.
    pub(crate) fn at<T>(&self, provider: &str, act: impl FnOnce(&mut Provider) -> T) -> T {
        act(self.0.outside.state().providers.get_mut(provider).expect("a provider of the plan"))
    }

    /// The operator changes the configuration and reloads it. What was spent or revoked stays so.
    pub(crate) fn reload(&self, change: impl FnOnce(&mut Plan)) {
        change(&mut self.0.plan.borrow_mut());
        *self.0.gateway.borrow_mut() = Rc::new(Gateway::new(self.0.plan.borrow().settings()));
    }

    /// Whether what was admitted would be admitted still, and until when.
    pub(crate) fn still_admits(&self, admitted: &Admitted) -> Result<i64, Reason> {
        let gateway = Rc::clone(&self.0.gateway.borrow());
        let now = Timestamp::new(self.now());
        let until = gateway.still_admits(&self.0.outside, admitted, &admitted.credential, now)?;
        Ok(until.seconds())
    }

    /// Somebody else signs a client assertion for us, or takes it away.
    pub(crate) fn puts_assertion(&self, assertion: Option<&str>) {
        let mut state = self.0.outside.state();
        state.keep_secret(assertion.map(str::to_owned));
        state.assertion = assertion.map(str::to_owned);
    }

    /// So many more logins may begin.
    pub(crate) fn leaves_logins(&self, count: usize) {
        self.0.outside.state().logins_left = Some(count);
    }

    /// How many requests every token endpoint has seen.
    pub(crate) fn token_requests(&self) -> usize {
        self.0.outside.state().providers.values().map(|provider| provider.token_requests).sum()
    }

    /// How many sessions were ended by somebody.
    pub(crate) fn revoked(&self) -> usize {
        self.0.outside.state().revoked.len()
    }

    /// What a person's agreement at the provider leads to: the URL that their browser is sent back to.
    pub(crate) fn granted(&self, authorization_url: &str, person: &Person) -> String {
        let url = Url::parse(authorization_url).expect("an authorization URL");
        let mut state = self.0.outside.state();
        let code = format!("code-{:016x}", state.dice.draw());
        let provider = state
            .providers
            .values_mut()
            .find(|provider| authorization_url.starts_with(provider.issuer()))
            .expect("a provider of the plan");
        let (back, secrets) = provider.authorize(&url, person, code);
        state.keep_secret(secrets);
        back
    }

    /// The gateway, for a door that has more to do than to ask.
    pub(crate) fn gateway(&self) -> Rc<Gateway> {
        Rc::clone(&self.0.gateway.borrow())
    }

    /// The world as the gateway sees it.
    pub(crate) fn outside(&self) -> Outside {
        self.0.outside.clone()
    }

    /// Whether this URL is a provider's, and not ours.
    pub(crate) fn is_provider(&self, url: &str) -> bool {
        let state = self.0.outside.state();
        state.providers.values().any(|provider| url.starts_with(provider.issuer()))
    }

    /// Decides one visit, and watches it.
    pub(crate) fn visit(&self, ask: &Ask) -> Outcome {
        block_on(self.visiting(ask))
    }

    /// Two visits at one time, each going on while the other waits.
    pub(crate) fn visit_both(&self, first: &Ask, second: &Ask) -> (Outcome, Outcome) {
        block_on(async {
            let (mut first, mut second) = (pin!(self.visiting(first)), pin!(self.visiting(second)));
            let (mut one, mut two) = (None, None);
            poll_fn(|context| {
                if one.is_none()
                    && let Poll::Ready(outcome) = first.as_mut().poll(context)
                {
                    one = Some(outcome);
                }
                if two.is_none()
                    && let Poll::Ready(outcome) = second.as_mut().poll(context)
                {
                    two = Some(outcome);
                }
                match (one.take(), two.take()) {
                    (Some(one), Some(two)) => Poll::Ready((one, two)),
                    (still_one, still_two) => {
                        (one, two) = (still_one, still_two);
                        Poll::Pending
                    }
                }
            })
            .await
        })
    }

    async fn visiting(&self, ask: &Ask) -> Outcome {
        let gateway = Rc::clone(&self.0.gateway.borrow());
        let now = Timestamp::new(self.now());
        let received = Received {
            method: &ask.method,
            target: &ask.target,
            authority: ask.authority(),
            headers: &ask.headers,
            peer: Peer::Address([203, 0, 113, 7].into()),
            trusted: &TrustedProxies::default(),
            transport: Transport::Tls,
            fresh_id: "request-1".into(),
        };
        let outcome = match Request::read(received) {
            Ok(mut request) => {
                // A door reads no more than it is told to.
                let body = ask.body.as_deref().filter(|body| {
                    gateway.form_bytes_max(&request).is_some_and(|most| body.len() <= most)
                });
                request.body = body.map(str::as_bytes);
                request.memory = Some(&self.0.memory);
                gateway.visit(&self.0.outside, &request, now).await
            }
            Err(error) => malformed(&error, &ask.method, &ask.headers),
        };
        self.watch(ask, &outcome);
        outcome
    }

    fn watch(&self, ask: &Ask, outcome: &Outcome) {
        // O3: a redirect leads to ourselves, to a provider's own endpoints, or to a listed place.
        if let Some(location) = location(outcome) {
            assert!(location.bytes().all(|byte| byte.is_ascii_graphic()), "{location:?}");
            let here = Url::parse(&ask.origin).expect("an origin");
            let there = here.join(location).expect("a URL");
            let plan = self.0.plan.borrow();
            let ours = plan.origins().contains(&there.origin().ascii_serialization());
            let listed = plan.post_logout_redirect_uris.contains(&there.as_str());
            let state = self.0.outside.state();
            let theirs = state.providers.values().any(|provider| provider.owns(&there));
            assert!(ours || listed || theirs, "{location} after {ask:?}");
        }

        // The record says what happened, and everything that happens is recorded as one thing.
        let admitted = matches!(outcome.verdict, Verdict::Admit(_));
        let let_in = matches!(outcome.record.decision, DecisionWord::Allow | DecisionWord::Public);
        assert_eq!(admitted, let_in, "{:?}", outcome.record);
        let refusal = match &outcome.verdict {
            Verdict::Answer(answer) => match &**answer {
                Answer::Refusal(refusal) => Some(refusal.reason),
                Answer::Asset(_) | Answer::Me(_) | Answer::Page(_) | Answer::Redirect(_) => None,
                Answer::Preflight(_) | Answer::Reason(_) | Answer::Resource(_) => None,
            },
            Verdict::Admit(_) => None,
        };
        assert!(refusal.is_none() || outcome.record.reason == refusal, "{:?}", outcome.record);

        // N1, CB-62: what is printed of an outcome, beside the `Set-Cookie` lines themselves, holds no code,
        // token, verifier, state or sealed value.
        let mut state = self.0.outside.state();
        let values = outcome.cookies.iter().filter_map(|line| {
            let pair = line.to_str().ok()?.split(';').next()?;
            pair.split_once('=').map(|(_, value)| value.to_owned())
        });
        state.keep_secret(values.filter(|value| !value.is_empty()));
        let printed = format!("{:?} {:?}", outcome.verdict, outcome.record);
        for secret in &state.secrets {
            assert!(!printed.contains(secret.as_str()), "{secret} is printed: {printed}");
        }
    }
}

/// Where an outcome sends the browser.
pub(crate) fn location(outcome: &Outcome) -> Option<&str> {
    match &outcome.verdict {
        Verdict::Answer(answer) => match &**answer {
            Answer::Redirect(redirect) => Some(redirect.location()),
            Answer::Asset(_) | Answer::Me(_) | Answer::Page(_) | Answer::Refusal(_) => None,
            Answer::Preflight(_) | Answer::Reason(_) | Answer::Resource(_) => None,
        },
        Verdict::Admit(_) => None,
    }
}

impl Outside {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("no story goes on after a panic")
    }
}

impl State {
    fn keep_secret(&mut self, secrets: impl IntoIterator<Item = String>) {
        self.secrets.extend(secrets);
        let surplus = self.secrets.len().saturating_sub(SECRETS_MAX);
        self.secrets.drain(..surplus);
    }
}

impl WaysOut for Outside {
    fn fill_random(&self, bytes: &mut [u8]) {
        let mut state = self.state();
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&state.dice.draw().to_le_bytes()[..chunk.len()]);
        }
    }

    fn provider(&self, name: &str) -> Option<Known> {
        self.state().providers.get(name)?.known()
    }

    fn may_begin_login(&self, client: Option<IpAddr>) -> Result<(), Duration> {
        assert_eq!(client, Some(IpAddr::from([203, 0, 113, 7])));
        match &mut self.state().logins_left {
            None => Ok(()),
            Some(0) => Err(Duration::from_secs(7)),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
        }
    }

    async fn client_assertion(&self, _: &str) -> Result<Option<Secret>, Unreachable> {
        pause().await;
        let assertion = self.state().assertion.clone();
        let missing =
            || Unreachable("the client assertion in /run/token cannot be used".to_owned());
        assertion.map(|text| Some(Secret::new(text))).ok_or_else(missing)
    }

    fn dpop_nonces(&self, provider: &str) -> DpopNonces {
        self.state().dpop_nonces.get(provider).cloned().unwrap_or_default()
    }

    fn remember_dpop_nonce(&self, provider: &str, server: &str, nonce: &str) {
        let mut state = self.state();
        let nonces = state.dpop_nonces.entry(provider.to_owned()).or_default();
        nonces.insert(server.to_owned(), nonce.to_owned());
    }

    async fn within<T: Send>(
        &self,
        _patience: Duration,
        work: impl Future<Output = T> + Send,
    ) -> Option<T> {
        let endless = |provider: &Provider| matches!(provider.manner, Manner::Endless);
        if self.state().providers.values().any(endless) {
            return None;
        }
        Some(work.await)
    }

    async fn newer_keys(&self, provider: &str) -> Arc<KeySet> {
        pause().await;
        self.state().providers.get_mut(provider).expect("a provider of the plan").newer_keys()
    }

    async fn fetch(
        &self,
        provider: &str,
        request: http::Request<Vec<u8>>,
    ) -> Result<http::Response<Vec<u8>>, Unreachable> {
        // Whoever else is under way gets a turn while the provider thinks.
        pause().await;
        let mut state = self.state();
        let now = state.now;
        let provider = state.providers.get_mut(provider).expect("a provider of the plan");
        let (answer, secrets) = provider.answer(&request, now);
        state.keep_secret(secrets);
        answer
    }

    async fn refresh_once(
        &self,
        grant: GrantId,
        refresh: impl Future<Output = Refreshed> + Send + 'static,
    ) -> Refreshed {
        // A story has one visit at a time but for `visit_both`, whose second visit waits for the first.
        let known = self.state().refreshes.get(&grant).cloned();
        if let Some(known) = known {
            return known;
        }
        let refreshed = refresh.await;
        let mut state = self.state();
        match &refreshed {
            Refreshed::Unanswered { grant: None, .. } => refreshed,
            Refreshed::Newer(_) | Refreshed::Refused(_) | Refreshed::Unanswered { .. } => {
                state.refreshes.entry(grant).or_insert(refreshed).clone()
            }
        }
    }

    fn send(&self, provider: &str, request: http::Request<Vec<u8>>) {
        let mut state = self.state();
        let now = state.now;
        let provider = state.providers.get_mut(provider).expect("a provider of the plan");
        drop(provider.answer(&request, now));
    }

    async fn spend(&self, login: LoginId, return_to: &str) -> Spent {
        match self.state().spent.insert(login, return_to.to_owned()) {
            None => Spent::Now,
            Some(_) => Spent::Before,
        }
    }

    fn spent(&self, login: LoginId) -> Option<String> {
        self.state().spent.get(&login).cloned()
    }

    fn revoke(&self, session: SessionId) {
        self.state().revoked.insert(session);
    }

    fn is_revoked(&self, session: SessionId) -> bool {
        self.state().revoked.contains(&session)
    }
}

/// Lets somebody else go on first.
async fn pause() {
    let mut paused = false;
    poll_fn(|_| if std::mem::replace(&mut paused, true) { Poll::Ready(()) } else { Poll::Pending })
        .await;
}

pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    for _ in 0..POLLS_MAX {
        if let Poll::Ready(value) = future.as_mut().poll(&mut context) {
            return value;
        }
    }
    panic!("the visit does not end");
}

/// `"12h"` and the like, for plans.
pub(crate) fn hours(count: u64) -> Duration {
    Duration::from_secs(count * 3600)
}
