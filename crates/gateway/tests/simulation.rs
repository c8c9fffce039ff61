//! Browsers, hostile hands, clocks, outages and reloads, by the dice: four sentences hold under any seed.
//!
//! 1. Nobody is admitted without a live session and a rule that allows them, or a public rule; and whoever has
//!    both is admitted.
//! 2. No `Location` leaves the listed places.
//! 3. A sealed value opens only for its purpose, at its place, while its key is in the ring.
//! 4. Every visit ends in exactly one outcome.
//!
//! The simulation keeps its own books of who signed in where, and judges every visit by them. The second
//! sentence and part of the fourth are watched by [`World`] itself, at every visit.

#[expect(dead_code, reason = "stories need more words than the simulation does")]
mod world;

use std::collections::{BTreeMap, BTreeSet, HashSet};

use http::{Method, header};
use lychgate_gateway::outcome::{DecisionWord, Event, Outcome, Page};
use lychgate_gateway::session::SessionId;
use lychgate_gateway::settings::SessionLimits;
use url::Url;

use world::browser::{Browser, admission, onwards, page, user};
use world::plan::{LOGIN_TIMEOUT, PREFIX, Plan, PlannedRoute};
use world::provider::{Manner, Person};
use world::{Ask, Dice, World};

/// Many short lives, and a few long ones in which more comes together.
const SHORT: (std::ops::Range<u64>, usize) = (0..2000, 12);
const LONG: (std::ops::Range<u64>, usize) = (2000..2010, 150);
const SESSION: &str = "__Host-lychgate";

/// Who may open a page.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Audience {
    Everybody,
    SignedIn,
    Sre,
    Staff,
}

/// Which configuration is in use. The operator goes from one to the other and back, while people are on their way.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Configuration {
    /// Public pages below `/public`, the admin's for `sre`.
    Open,
    /// No public pages but shared files, the admin's for `staff`, and sessions that end sooner.
    Strict,
}

impl Configuration {
    /// Who may open a page of [`PAGES`] now.
    fn audience(self, url: &str, audience: Audience) -> Audience {
        match (self, audience) {
            (Self::Strict, Audience::Everybody) if !url.contains("/files/") => Audience::SignedIn,
            (Self::Strict, Audience::Sre) => Audience::Staff,
            (Self::Open | Self::Strict, audience) => audience,
        }
    }

    fn sessions(self) -> SessionLimits {
        let limits = Plan::two_providers().sessions;
        match self {
            Self::Open => limits,
            Self::Strict => SessionLimits {
                lifetime: limits.lifetime / 2,
                idle_timeout: limits.idle_timeout / 2,
                ..limits
            },
        }
    }

    fn rules(self) -> Vec<(&'static str, Option<&'static str>)> {
        let shared = ("/files/*/shared", None);
        match self {
            Self::Open => vec![("/public/**", None), ("/admin/**", Some("sre")), shared],
            Self::Strict => vec![("/admin/**", Some("staff")), shared],
        }
    }
}

/// Pages of applications, and who may open them by the plan, written down a second time.
const PAGES: [(&str, Audience); 19] = [
    ("https://app.test/", Audience::SignedIn),
    ("https://app.test/page?q=1", Audience::SignedIn),
    ("https://app.test/page?/public/", Audience::SignedIn),
    ("https://app.test/public/x", Audience::Everybody),
    ("https://app.test/public", Audience::Everybody),
    ("https://app.test/public%23/x", Audience::SignedIn),
    ("https://app.test/publicity", Audience::SignedIn),
    ("https://app.test/files/x/shared", Audience::Everybody),
    ("https://app.test/files/secret%23/shared", Audience::SignedIn),
    ("https://app.test/guests", Audience::SignedIn),
    ("https://app.test/guests/list", Audience::SignedIn),
    ("https://app.test/admin", Audience::Sre),
    ("https://app.test/admin/%75sers", Audience::Sre),
    ("https://app.test/admin/users", Audience::Sre),
    ("https://app.test/Admin", Audience::SignedIn),
    ("https://both.test/", Audience::SignedIn),
    ("https://both.test/page", Audience::SignedIn),
    ("https://guests.test/", Audience::SignedIn),
    ("https://guests.test/page", Audience::SignedIn),
];

/// A sealed session that we have seen being given out.
#[derive(Clone)]
struct Issued {
    id: SessionId,
    host: String,
    provider: String,
    person: Person,
    begun_at: i64,
    seen_at: i64,
    /// What was said when it began. A longer lifetime is for those who begin later.
    ends_at: i64,
    key: u8,
}

/// A login that some browser began.
struct Begun {
    browser: usize,
    at: i64,
    /// Who signed in at the provider, once somebody has.
    person: Option<Person>,
    under: Configuration,
}

struct Simulation {
    world: World,
    dice: Dice,
    browsers: Vec<Browser>,
    people: [Person; 3],
    keys: Vec<u8>,
    configuration: Configuration,
    reloads: usize,
    issued: BTreeMap<String, Issued>,
    /// The same sessions' sealed values, in the order in which they were given out.
    given: Vec<String>,
    revoked: HashSet<SessionId>,
    begun: BTreeMap<String, Begun>,
    done: BTreeSet<String>,
    /// Logins at the provider's page: which browser, and where it is.
    waiting: Vec<(usize, String)>,
    /// Callbacks that some browser was sent to, finished or not.
    callbacks: Vec<String>,
    admitted: usize,
    swapped_under_way: usize,
}

#[test]
fn four_sentences_hold_under_any_seed() {
    // Dealt out to as many threads as there are processors; what one seed does never depends on another.
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let lives = |thread: usize| {
        let mut happened = Happened::default();
        for (seeds, steps) in [SHORT, LONG] {
            for seed in seeds.skip(thread).step_by(threads) {
                happened.add(&live_through(seed, steps));
            }
        }
        happened
    };
    let happened = std::thread::scope(|scope| {
        let threads = (0..threads).map(|thread| scope.spawn(move || lives(thread)));
        let threads = threads.collect::<Vec<_>>().into_iter();
        let mut all = Happened::default();
        for thread in threads {
            match thread.join() {
                Ok(happened) => all.add(&happened),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        all
    });
    // The dice are not such that nothing ever happens.
    assert!(happened.admitted > 1_000 && happened.logins > 300, "{happened:?}");
    assert!(happened.reloads > 500 && happened.swapped_under_way > 2, "{happened:?}");
}

/// How much came to pass.
#[derive(Debug, Default)]
struct Happened {
    admitted: usize,
    logins: usize,
    reloads: usize,
    /// Logins that ended under another configuration than they began.
    swapped_under_way: usize,
}

impl Happened {
    fn add(&mut self, other: &Self) {
        self.admitted += other.admitted;
        self.logins += other.logins;
        self.reloads += other.reloads;
        self.swapped_under_way += other.swapped_under_way;
    }
}

fn live_through(seed: u64, steps: usize) -> Happened {
    let guard = Named(seed);
    let mut simulation = Simulation::new(seed);
    for _ in 0..steps {
        simulation.step();
    }
    drop(guard);
    Happened {
        admitted: simulation.admitted,
        logins: simulation.done.len(),
        reloads: simulation.reloads,
        swapped_under_way: simulation.swapped_under_way,
    }
}

/// Names the seed when its simulation fails.
struct Named(u64);

impl Drop for Named {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the simulation fails with seed {}", self.0);
        }
    }
}

impl Simulation {
    fn new(seed: u64) -> Self {
        let world = World::seeded(plan(), seed);
        let people =
            [Person::ada(), Person::bob(), Person::new("eve", &["staff", "SRE", "sre ", ""])];
        let browsers = people.iter().map(|person| world.browser(person.clone())).collect();
        Self {
            world,
            dice: Dice(!seed),
            browsers,
            people,
            keys: vec![1],
            configuration: Configuration::Open,
            reloads: 0,
            issued: BTreeMap::new(),
            given: Vec::new(),
            revoked: HashSet::new(),
            begun: BTreeMap::new(),
            done: BTreeSet::new(),
            waiting: Vec::new(),
            callbacks: Vec::new(),
            admitted: 0,
            swapped_under_way: 0,
        }
    }

    fn below(&mut self, limit: usize) -> usize {
        let limit = u64::try_from(limit).expect("a small number");
        usize::try_from(self.dice.draw() % limit).expect("a small number")
    }

    fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }

    /// Something happens.
    fn step(&mut self) {
        let browser = self.below(self.browsers.len());
        match self.below(20) {
            0..=6 => {
                let (url, _) = self.pick(&PAGES);
                self.opens(browser, url.to_owned());
            }
            7..=8 => self.comes_back_late(),
            9 => self.opens_a_foreign_callback(browser),
            10 => self.is_delivered_twice(browser),
            11..=12 => self.carries_something_else(browser),
            13 => self.asks_for_something_odd(browser),
            14 => self.signs_out(browser),
            15 => {
                let person = self.below(self.people.len());
                self.browsers[browser].person = self.people[person].clone();
                let hint = self.pick(&["select_account", "login", "none"]);
                let url = format!("https://app.test{PREFIX}/login?return_to=%2F&prompt={hint}");
                self.opens(browser, url);
            }
            16..=17 => {
                let time = self.pick(&["1s", "1m", "4m", "6m", "29m", "59m", "61m", "13h", "-3m"]);
                self.world.pass(time);
            }
            18 if self.below(2) == 0 => self.turns_keys(),
            18 => self.swaps_configurations(),
            _ => self.troubles_a_provider(),
        }
    }

    /// A browser goes to an address, and on from there; now and then it stays at the provider's page.
    fn opens(&mut self, browser: usize, mut url: String) {
        for _ in 0..8 {
            if self.world.is_provider(&url) {
                if url.contains("/sign-out") {
                    return;
                }
                if self.below(4) == 0 {
                    self.waiting.push((browser, url));
                    return;
                }
                url = self.agrees(browser, &url);
                continue;
            }
            let ask = self.browsers[browser].page(&url);
            let outcome = self.visits(browser, ask);
            let fragment = Url::parse(&url).ok().and_then(|url| url.fragment().map(str::to_owned));
            let mut next = onwards(&outcome, fragment.as_deref());
            if let Some(Page::ChooseProvider { choices, .. }) = page(&outcome) {
                next = Some(choices[self.below(choices.len())].link.clone());
            }
            let Some(next) = next else { return };
            let here = Url::parse(&url).expect("an absolute URL");
            url = here.join(&next).expect("a place").into();
        }
    }

    /// The person signs in at the provider's page.
    fn agrees(&mut self, browser: usize, authorization_url: &str) -> String {
        let person = self.browsers[browser].person.clone();
        let back = self.world.granted(authorization_url, &person);
        let state = parameter(authorization_url, "state").expect("a state");
        self.begun.get_mut(&state).expect("a login that we saw begin").person = Some(person);
        self.callbacks.push(back.clone());
        back
    }

    fn comes_back_late(&mut self) {
        if self.waiting.is_empty() {
            return;
        }
        let at = self.below(self.waiting.len());
        let (browser, url) = self.waiting.swap_remove(at);
        let back = self.agrees(browser, &url);
        self.opens(browser, back);
    }

    fn opens_a_foreign_callback(&mut self, browser: usize) {
        if self.callbacks.is_empty() {
            return;
        }
        let at = self.below(self.callbacks.len());
        let mut url = self.callbacks[at].clone();
        match self.below(5) {
            0 => url = url.replace("code=", "error=access_denied&code="),
            1 => url = url.replace("state=", "state=x"),
            2 => url = url.replace("code=", "code=x"),
            3 => url = url.replace("//app.test", "//both.test"),
            _ => {}
        }
        self.opens(browser, url);
    }

    /// A callback arrives twice at one time.
    fn is_delivered_twice(&mut self, browser: usize) {
        let Some((owner, url)) = self.waiting.pop() else { return };
        let back = self.agrees(owner, &url);
        let browser = if self.below(3) == 0 { browser } else { owner };
        let ask = self.browsers[browser].prepared(self.browsers[browser].page(&back));
        let asked_before = self.world.token_requests();
        let (first, second) = self.world.visit_both(&ask, &ask);
        assert!(self.world.token_requests() <= asked_before + 1, "a code was sent twice");
        // Whichever came first has been judged by what was true before either.
        let live = self.live(&ask).cloned();
        for outcome in [first, second] {
            self.judges(browser, &ask, &outcome, live.as_ref());
        }
    }

    /// Hostile hands put some value that was once given out, changed or not, under some name.
    fn carries_something_else(&mut self, browser: usize) {
        let kept: Vec<_> =
            self.browsers.iter().flat_map(|browser| &browser.jar.0).cloned().collect();
        // What was given out lately is the likeliest to open.
        let lately = self.given.len().saturating_sub(6);
        let from = self.pick(&[lately, lately, 0]);
        let old = self.given[from..].to_vec();
        if kept.is_empty() || old.is_empty() {
            return;
        }
        let mut value = match self.below(2) {
            0 => kept[self.below(kept.len())].value.clone(),
            _ => old[self.below(old.len())].clone(),
        };
        if self.below(4) == 0 {
            let at = self.below(value.len());
            let changed = if value.as_bytes()[at] == b'A' { "B" } else { "A" };
            value.replace_range(at..=at, changed);
        }
        let other = old[self.below(old.len())].clone();
        let login = kept[self.below(kept.len())].name.clone();
        let cookie = match self.below(5) {
            0 => format!("{SESSION}={value}; {SESSION}={other}"),
            1 => format!("{login}={value}"),
            2 => format!("{SESSION}=2.{value}; {SESSION}-2={other}"),
            _ => format!("{SESSION}={value}"),
        };
        let callback = self.callbacks.last().cloned().filter(|_| login.contains("-login-"));
        let (url, _) = self.pick(&PAGES);
        let url = callback.filter(|_| cookie.starts_with(&login)).unwrap_or_else(|| url.to_owned());
        let ask = self.browsers[browser].page(&url).with("cookie", &cookie);
        self.visits(browser, ask);
    }

    fn asks_for_something_odd(&mut self, browser: usize) {
        let target = self.pick(&[
            "/public/../admin",
            "/public/%2e%2e/admin",
            "/public/..%23/",
            "//admin",
            "/admin;/public/",
            "/.lychgate/login?return_to=%2F%2Fevil.test&provider=corp",
            "/.lychgate/login?return_to=https%3A%2F%2Fguests.test%2Fpage&provider=corp",
            "/.lychgate/logout?return_to=https%3A%2F%2Fevil.test",
            "/.lychgate/signed-out?state=x",
            "/.lychgate/callback",
            "/.lychgate/callback?error=server_error",
            "/.lychgate/me",
            "/.LYCHGATE/callback?code=a&state=b",
        ]);
        let mut ask = self.browsers[browser].page("https://app.test/");
        ask.target = target.to_owned();
        ask.method = self.pick(&[&Method::GET, &Method::HEAD, &Method::POST, &Method::PUT]).clone();
        let (name, value) = self.pick(&[
            ("x-forwarded-user", "root"),
            ("x-forwarded-host", "evil.test"),
            ("sec-purpose", "prefetch"),
            ("sec-fetch-site", "cross-site"),
            ("upgrade", "websocket"),
        ]);
        self.visits(browser, ask.with(name, value));
    }

    fn signs_out(&mut self, browser: usize) {
        let foreign = self.below(2) == 0;
        let site = if foreign { "cross-site" } else { "same-origin" };
        let host = self.pick(&["app.test", "both.test"]);
        let url = format!("https://{host}{PREFIX}/logout");
        let ask = self.browsers[browser].page(&url).with("sec-fetch-site", site);
        let outcome = self.visits(browser, ask);
        let ended = outcome.record.event == Some(Event::Logout);
        assert!(!(foreign && ended), "another site signed somebody out");
    }

    fn turns_keys(&mut self) {
        let next = self.keys[0].wrapping_add(1);
        self.keys.insert(0, next);
        self.keys.truncate(2);
        let keys = self.keys.clone();
        self.world.reload(|plan| plan.keys = keys);
        self.reloads += 1;
    }

    /// The operator changes who may do what, while people are at their providers and tabs are open.
    fn swaps_configurations(&mut self) {
        self.configuration = match self.configuration {
            Configuration::Open => Configuration::Strict,
            Configuration::Strict => Configuration::Open,
        };
        let configuration = self.configuration;
        self.world.reload(|plan| {
            plan.sessions = configuration.sessions();
            plan.routes[0].rules = configuration.rules();
        });
        self.reloads += 1;
    }

    fn troubles_a_provider(&mut self) {
        let name = self.pick(&["corp", "guest"]);
        let manner = self.pick(&[
            Manner::Honest,
            Manner::Honest,
            Manner::Honest,
            Manner::Silent,
            Manner::Careless,
            Manner::Forging,
            Manner::Failing(500, "server_error"),
            Manner::Lying(|claims| claims["nonce"] = "another".into()),
        ]);
        let known = self.below(4) > 0;
        let turn = self.below(3) == 0;
        self.world.at(name, |provider| {
            provider.manner = manner;
            provider.known = known;
            provider.key = provider.key.wrapping_add(u8::from(turn)) % 100;
        });
    }

    fn visits(&mut self, browser: usize, ask: Ask) -> Outcome {
        let ask = self.browsers[browser].prepared(ask);
        let live = self.live(&ask).cloned();
        let outcome = self.world.visit(&ask);
        self.judges(browser, &ask, &outcome, live.as_ref());
        outcome
    }

    /// The session that counts for a request, by our own books: given out for this host, alone of its name,
    /// sealed with a key that is still there, neither over nor idle nor ended.
    fn live(&self, ask: &Ask) -> Option<&Issued> {
        let cookies = ask.headers.get(header::COOKIE)?.to_str().ok()?;
        let mut sessions = cookies
            .split("; ")
            .filter_map(|pair| pair.split_once('='))
            .filter(|(name, _)| *name == SESSION);
        let ((_, value), None) = (sessions.next()?, sessions.next()) else { return None };
        let issued = self.issued.get(value)?;
        let (now, limits) = (self.world.now(), self.configuration.sessions());
        let over = |since: i64, limit: std::time::Duration| {
            u64::try_from(now - since).unwrap_or_default() >= limit.as_secs()
        };
        let counts = format!("https://{}", issued.host) == ask.origin
            && self.keys.contains(&issued.key)
            && !self.revoked.contains(&issued.id)
            && now < issued.ends_at
            && !over(issued.begun_at, limits.lifetime)
            && !over(issued.seen_at, limits.idle_timeout);
        counts.then_some(issued)
    }

    fn judges(&mut self, browser: usize, ask: &Ask, outcome: &Outcome, live: Option<&Issued>) {
        let succeeded = matches!(outcome.record.event, Some(Event::LoginSucceeded { .. }));
        self.judges_admission(ask, outcome, live);
        if succeeded {
            self.judges_login(browser, ask, outcome);
        }
        if let Some(state) = world::location(outcome)
            .filter(|_| matches!(outcome.record.event, Some(Event::LoginStarted { .. })))
        {
            let state = parameter(state, "state").expect("a state");
            let under = self.configuration;
            let begun = Begun { browser, at: self.world.now(), person: None, under };
            assert!(self.begun.insert(state, begun).is_none(), "a state is repeated");
        }

        // A browser is given a session when somebody signs in, or when it has one.
        let now = self.world.now();
        let told_anew_after =
            self.configuration.sessions().idle_timeout.as_secs().cast_signed() / 12;
        for line in &outcome.cookies {
            let line = line.to_str().expect("visible ASCII");
            let pair = line.split(';').next().and_then(|pair| pair.split_once('='));
            let Some((SESSION, value)) = pair.filter(|(_, value)| !value.is_empty()) else {
                continue;
            };
            let session = outcome.record.session.as_ref().expect("a session to give");
            let (begun_at, seen_at) = match live {
                _ if succeeded => (now, now),
                Some(live) if now - live.seen_at >= told_anew_after => (live.begun_at, now),
                Some(live) => (live.begun_at, live.seen_at),
                None => panic!("a session out of nothing, for {ask:?}"),
            };
            let name = session.identity().user();
            let person = self.people.iter().find(|person| person.name == name);
            let lifetime = self.configuration.sessions().lifetime.as_secs().cast_signed();
            let ends_at = live.filter(|_| !succeeded).map_or(now + lifetime, |live| live.ends_at);
            let issued = Issued {
                id: session.id(),
                host: ask.origin.trim_start_matches("https://").to_owned(),
                provider: session.identity().provider().to_owned(),
                person: person.expect("somebody we know").clone(),
                begun_at,
                seen_at,
                ends_at,
                key: self.keys[0],
            };
            self.issued.insert(value.to_owned(), issued);
            self.given.push(value.to_owned());
        }
        if let (true, Some(live)) = (succeeded || outcome.record.event == Some(Event::Logout), live)
        {
            self.revoked.insert(live.id);
        }
        self.browsers[browser].keeps(ask, outcome);
    }

    /// The first sentence.
    fn judges_admission(&mut self, ask: &Ask, outcome: &Outcome, live: Option<&Issued>) {
        let url = format!("{}{}", ask.origin, ask.target);
        let Some((_, audience)) = PAGES.iter().find(|(page, _)| *page == url) else {
            assert!(admission(outcome).is_none(), "{url} is no application's");
            return;
        };
        let area = ask.target.split('/').nth(1) == Some("guests");
        let accepted = live.filter(|live| match ask.origin.as_str() {
            "https://app.test" => live.provider == if area { "guest" } else { "corp" },
            "https://guests.test" => live.provider == "guest",
            _ => true,
        });
        let audience = self.configuration.audience(&url, *audience);
        let in_group = |wanted: &str| {
            accepted.is_some_and(|live| live.person.groups.iter().any(|group| group == wanted))
        };
        let may = match audience {
            Audience::Everybody => true,
            Audience::SignedIn => accepted.is_some(),
            Audience::Sre => in_group("sre"),
            Audience::Staff => in_group("staff"),
        };
        assert_eq!(admission(outcome).is_some(), may, "{ask:?} {:?}", outcome.record);
        if may {
            self.admitted += 1;
            let name = accepted.map(|live| live.person.name.as_str());
            assert_eq!(user(outcome), name, "{ask:?}");
            let public = outcome.record.decision == DecisionWord::Public;
            assert!(public || audience != Audience::Everybody, "{ask:?}");
        }
    }

    /// Who signs in is who was at the provider, in the browser where it began, in time, and once.
    fn judges_login(&mut self, browser: usize, ask: &Ask, outcome: &Outcome) {
        let state = parameter(&format!("{}{}", ask.origin, ask.target), "state").expect("a state");
        let begun = &self.begun[&state];
        let session = outcome.record.session.as_ref().expect("a session");
        let person = begun.person.as_ref().expect("somebody at the provider");
        assert_eq!(session.identity().user(), person.name);
        assert_eq!(begun.browser, browser, "a login of another browser");
        assert!(self.world.now() - begun.at < LOGIN_TIMEOUT.as_secs().cast_signed());
        self.swapped_under_way += usize::from(begun.under != self.configuration);
        assert!(self.done.insert(state), "a login was used twice");
    }
}

/// Two providers, three hosts, and on one of them an area for the guests of the other provider.
fn plan() -> Plan {
    let mut plan = Plan::two_providers();
    plan.routes[0].rules = Configuration::Open.rules();
    plan.routes.push(PlannedRoute::new("area", "https://app.test/guests", &["guest"]));
    plan
}

fn parameter(url: &str, name: &str) -> Option<String> {
    let url = Url::parse(url).ok()?;
    url.query_pairs().find(|(found, _)| found == name).map(|(_, value)| value.into_owned())
}
