//! Opening a session, deciding and editing headers together, as a signed-in request has it: for a session that
//! the gateway has seen before, for one that it has not, and with few and many routes.
//!
//! The session is one that the gateway itself made, at the provider of its own stories. The memory of opened
//! sessions is the server's, and so is the allocator. What pingora, the network and the clock cost is not in
//! here. `benches/decisions.py` holds the medians against the bounds.

// Both are other people's modules: the stories' world, and the server's memory.
#[expect(unused_imports, reason = "its tests are the server's")]
#[path = "../../crates/server/src/opened.rs"]
mod opened;
#[expect(dead_code, reason = "stories need more words than a benchmark does")]
#[path = "../../crates/gateway/tests/world/mod.rs"]
mod world;

use std::future::Future;
use std::hint::black_box;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use criterion::{BatchSize, Criterion};
use http::{HeaderMap, header};
use lychgate_gateway::Gateway;
use lychgate_gateway::cookie::ForUpstream;
use lychgate_gateway::forwarded::{Peer, TrustedProxies};
use lychgate_gateway::login_state::LoginId;
use lychgate_gateway::outcome::Verdict;
use lychgate_gateway::request::{Received, Request, RequestId, Transport};
use lychgate_gateway::session::SessionId;
use lychgate_gateway::visit::OpenSession;
use lychgate_gateway::world::{GrantId, Known, Refreshed, Spent, Unreachable, World as WaysOut};
use lychgate_oidc::{KeySet, Timestamp};

use opened::{OpenedSessions, opened_sessions};
use world::plan::{Plan, PlannedRoute};
use world::provider::Person;
use world::{Ask, World};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// A sealed session of this length holds some 1.5 KB.
const COOKIE_BYTES: std::ops::Range<usize> = 1900..2200;
/// Of one host each, and of one path each at another host.
const ROUTES: [usize; 2] = [10, 10_000];

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    sessions(&mut criterion);
    routes(&mut criterion);
    criterion.final_summary();
}

fn sessions(criterion: &mut Criterion) {
    let door = Door::new(Plan::one_app(), "https://app.test/reports/2029?page=7");
    let mut group = criterion.benchmark_group("session");
    door.visits();
    assert!(door.memory.0.get(door.sealed().as_bytes()).is_some(), "it was not remembered");
    group.bench_function("seen_before", |bencher| bencher.iter(|| door.visits()));
    group.bench_function("never_seen", |bencher| {
        let forget = || door.memory.0.invalidate(door.sealed().as_bytes());
        bencher.iter_batched(forget, |()| door.visits(), BatchSize::PerIteration);
    });
    group.finish();
}

/// The request is for the last route of all.
fn routes(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("routes");
    for count in ROUTES {
        let mut plan = Plan::one_app();
        for number in 0..count / 2 {
            let host = leaked(format!("https://app-{number}.test"));
            let path = leaked(format!("https://app.test/team/application-{number}"));
            plan.routes.push(PlannedRoute::new(host, host, &["corp"]));
            plan.routes.push(PlannedRoute::new(path, path, &["corp"]));
        }
        let last = plan.routes.last().expect("routes").url;
        let door = Door::new(plan, &format!("{last}/reports/2029?page=7"));
        group.bench_function(count.to_string(), |bencher| bencher.iter(|| door.visits()));
    }
    group.finish();
}

/// Plans are made for stories, where names are written down.
fn leaked(text: String) -> &'static str {
    Box::leak(text.into_boxed_str())
}

/// A gateway and a request that somebody who is signed in sends it.
struct Door {
    gateway: Gateway,
    memory: Memory,
    ask: Ask,
    now: Timestamp,
}

impl Door {
    /// Signs somebody in, by the whole way through a provider, and has them ask for `url`.
    fn new(plan: Plan, url: &str) -> Self {
        let gateway = Gateway::new(plan.settings());
        let world = World::new(plan);
        let groups: Vec<String> = (0..27).map(|number| format!("department-{number}")).collect();
        let groups: Vec<&str> = groups.iter().map(String::as_str).collect();
        let mut browser = world.browser(Person::new("ada", &groups));
        let seen = browser.opens("https://app.test/");
        assert_eq!(seen.user(), Some("ada"), "{:?}", seen.reason());
        let ask = browser.prepared(browser.page(url));
        let mut ask = ask
            .with(
                "user-agent",
                "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
            )
            .with("accept-language", "en-GB,en;q=0.5")
            .with("accept-encoding", "gzip, deflate, br, zstd")
            .with("sec-fetch-dest", "document");
        ask.headers.insert(header::HOST, header::HeaderValue::from_static("app.test"));
        let door = Self {
            gateway,
            memory: Memory(opened_sessions()),
            ask,
            now: Timestamp::new(world.now()),
        };
        let bytes = door.sealed().len();
        assert!(COOKIE_BYTES.contains(&bytes), "{bytes} bytes are not a usual session");
        door
    }

    /// The session as it is sealed, in a cookie of its own.
    fn sealed(&self) -> &str {
        let cookie = self.ask.headers.get(header::COOKIE).and_then(|value| value.to_str().ok());
        let pair = cookie.and_then(|cookie| cookie.split_once('='));
        pair.map(|(_, value)| value).expect("one cookie")
    }

    /// What the server does with a request, without what it does for pingora.
    fn visits(&self) -> HeaderMap {
        let ask = black_box(&self.ask);
        let trusted = TrustedProxies::default();
        let request = Request::read(Received {
            method: &ask.method,
            target: &ask.target,
            authority: ask.origin.split_once("://").map_or("", |(_, authority)| authority),
            headers: &ask.headers,
            peer: Peer::Address([203, 0, 113, 7].into()),
            trusted: &trusted,
            transport: Transport::Tls,
            fresh_id: RequestId::new(7),
        });
        let request = request.expect("a request");
        let outcome = at_once(self.gateway.visit(&self.memory, &request, self.now));
        let Verdict::Admit(admission) = &outcome.verdict else { panic!("not admitted") };
        assert!(*admission.cookie() == ForUpstream::Nothing, "our cookie is not for the upstream");
        let stripped = self.gateway.stripped();
        let sent = ask
            .headers
            .iter()
            .filter(|(name, _)| **name != header::COOKIE && !stripped.contains(name.as_str()));
        let sent = sent.map(|(name, value)| (name.clone(), value.clone()));
        black_box(admission.edits().apply(sent))
    }
}

/// A visit of somebody with a session waits for nothing.
fn at_once<T>(visit: impl Future<Output = T>) -> T {
    match pin!(visit).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(outcome) => outcome,
        Poll::Pending => panic!("the visit waits for something"),
    }
}

/// A world of which a signed-in visit needs nothing but the memory of opened sessions.
#[derive(Clone)]
struct Memory(OpenedSessions);

impl WaysOut for Memory {
    fn fill_random(&self, _: &mut [u8]) {
        panic!("nothing is drawn");
    }

    fn provider(&self, _: &str) -> Option<Known> {
        panic!("no provider is asked for");
    }

    async fn newer_keys(&self, _: &str) -> Arc<KeySet> {
        panic!("no keys are asked for");
    }

    async fn fetch(
        &self,
        _: &str,
        _: http::Request<Vec<u8>>,
    ) -> Result<http::Response<Vec<u8>>, Unreachable> {
        panic!("nothing is fetched");
    }

    async fn refresh_once(
        &self,
        _: GrantId,
        _: impl Future<Output = Refreshed> + Send + 'static,
    ) -> Refreshed {
        panic!("nothing is refreshed");
    }

    fn send(&self, _: &str, _: http::Request<Vec<u8>>) {
        panic!("nothing is sent");
    }

    async fn spend(&self, _: LoginId, _: &str) -> Spent {
        panic!("no login is used up");
    }

    fn spent(&self, _: LoginId) -> Option<String> {
        panic!("no login was used up");
    }

    fn remembered(&self, sealed: &[u8]) -> Option<Arc<OpenSession>> {
        self.0.get(sealed)
    }

    fn remember(&self, sealed: &[u8], open: &Arc<OpenSession>) {
        self.0.insert(sealed.into(), Arc::clone(open));
    }

    fn revoke(&self, _: SessionId) {
        panic!("nobody is signed out");
    }

    fn is_revoked(&self, _: SessionId) -> bool {
        false
    }
}
