//! Sessions that a provider has to confirm, by the dice: outages, refusals, lies, reloads and old cookies.
//!
//! The four sentences of `simulation.rs`, where access tokens last five minutes and are renewed with refresh tokens:
//! nobody is admitted whom the provider has not confirmed in time, and whoever it has confirmed is. Three more hold:
//! a provider that does not answer signs nobody out before the grace is over (R2); one that says no ends the session
//! in every copy of its cookie (R3); and a refresh token that was answered is not sent again (R4).
//!
//! The books here are kept from what the provider does, not from what the gateway says.

#[expect(dead_code, reason = "stories need more words than the simulation does")]
mod world;

use std::collections::{BTreeMap, HashSet};

use http::header;
use lychgate_gateway::outcome::{Event, Outcome};
use lychgate_gateway::session::{Session, SessionId};

use world::browser::{Browser, Jar, admission, user};
use world::plan::Plan;
use world::provider::{Manner, Person};
use world::{Ask, Dice, World};

const SEEDS: u64 = 1_000;
const STEPS: usize = 9;
const SESSION: &str = "__Host-lychgate";
const TOKEN_SECONDS: i64 = 300;
const MARGIN_SECONDS: i64 = 60;
const GRACE_SECONDS: i64 = 600;
const IDLE_SECONDS: i64 = 3600;
const LIFETIME_SECONDS: i64 = 12 * 3600;

/// What a sealed session is worth.
#[derive(Clone)]
struct Held {
    id: SessionId,
    person: Person,
    groups: Vec<String>,
    begun_at: i64,
    seen_at: i64,
    refresh_token: String,
    renew_at: i64,
    expires_at: i64,
    key: u8,
}

/// What a provider made of a refresh token, for good.
#[derive(Clone)]
enum Answer {
    Newer { groups: Vec<String>, expires_at: i64 },
    Refused,
}

struct Simulation {
    world: World,
    dice: Dice,
    browsers: Vec<Browser>,
    keys: Vec<u8>,
    books: BTreeMap<String, Held>,
    given: Vec<String>,
    answered: BTreeMap<String, Answer>,
    ended: HashSet<SessionId>,
    manner: Manner,
    is_known: bool,
    sends_id_token: bool,
    groups_now: Option<Vec<String>>,
    seen: Seen,
}

/// What happened, so that a simulation in which nothing happens is found out.
#[derive(Default)]
struct Seen {
    confirmed: usize,
    waited: usize,
    ended: usize,
    turned_away: usize,
}

#[test]
fn four_sentences_hold_while_providers_have_to_be_asked() {
    let mut seen = Seen::default();
    for seed in 0..SEEDS {
        let guard = Named(seed);
        let mut simulation = Simulation::new(seed);
        simulation.signs_in(0);
        for _ in 0..STEPS {
            simulation.step();
        }
        seen.confirmed += simulation.seen.confirmed;
        seen.waited += simulation.seen.waited;
        seen.ended += simulation.seen.ended;
        seen.turned_away += simulation.seen.turned_away;
        drop(guard);
    }
    for (what, count) in [
        ("confirmed", seen.confirmed),
        ("waited", seen.waited),
        ("ended", seen.ended),
        ("turned away", seen.turned_away),
    ] {
        assert!(count > 20, "{what}: {count}");
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
        let world = World::seeded(Plan::refreshing(), seed);
        world.at("corp", |corp| {
            corp.refreshes = true;
            corp.signs_out = false;
        });
        let browsers = vec![world.browser(Person::ada()), world.browser(Person::bob())];
        Self {
            world,
            dice: Dice(!seed),
            browsers,
            keys: vec![1],
            books: BTreeMap::new(),
            given: Vec::new(),
            answered: BTreeMap::new(),
            ended: HashSet::new(),
            manner: Manner::Honest,
            is_known: true,
            sends_id_token: true,
            groups_now: None,
            seen: Seen::default(),
        }
    }

    fn below(&mut self, limit: usize) -> usize {
        let limit = u64::try_from(limit).expect("a small number");
        usize::try_from(self.dice.draw() % limit).expect("a small number")
    }

    fn pick<T: Clone>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())].clone()
    }

    fn step(&mut self) {
        let browser = self.below(4) / 3;
        match self.below(16) {
            0..=5 => {
                let page = self.pick(&["/", "/page", "/admin/x"]);
                let ask = self.browsers[browser].page(page);
                self.visits(browser, ask);
            }
            6..=9 => {
                let time =
                    self.pick(&["1s", "1m", "4m", "4m", "5m", "9m", "14m", "16m", "59m", "3h"]);
                self.world.pass(time);
            }
            10..=11 => self.is_in_trouble(),
            12 => self.carries_another_value(browser),
            13 => self.reloads(),
            14 => {
                let ask = self.browsers[browser].page("/.lychgate/logout");
                self.visits(browser, ask);
            }
            _ => self.signs_in(browser),
        }
    }

    /// Begins anew, where the provider is well.
    fn signs_in(&mut self, browser: usize) {
        if !self.is_known || !matches!(self.manner, Manner::Honest) {
            return;
        }
        self.browsers[browser].jar = Jar::default();
        let seen = self.browsers[browser].opens("https://app.test/");
        let session = seen.outcome.record.session.as_ref().expect("somebody signed in");
        let kept = &self.browsers[browser].jar.0;
        let value = kept.iter().find(|cookie| cookie.name == SESSION).expect("a session");
        let value = value.value.clone();
        let (now, person) = (self.world.now(), self.browsers[browser].person.clone());
        let held = Held {
            id: session.id(),
            groups: person.groups.clone(),
            person,
            begun_at: now,
            seen_at: now,
            refresh_token: refresh_token(session),
            renew_at: now + TOKEN_SECONDS - MARGIN_SECONDS,
            expires_at: now + TOKEN_SECONDS,
            key: self.keys[0],
        };
        self.given.push(value.clone());
        self.books.insert(value, held);
    }

    fn is_in_trouble(&mut self) {
        self.manner = self.pick(&[
            Manner::Honest,
            Manner::Honest,
            Manner::Silent,
            Manner::Silent,
            Manner::Failing(503, "temporarily_unavailable"),
            Manner::Failing(500, "server_error"),
            Manner::Failing(400, "invalid_grant"),
            Manner::Forging,
            Manner::Lying(|claims| claims["sub"] = "sub-eve".into()),
        ]);
        self.is_known = self.below(5) > 0;
        self.sends_id_token = self.below(3) > 0;
        self.groups_now = self.pick(&[
            None,
            None,
            Some(vec!["staff".to_owned()]),
            Some(vec!["sre".to_owned()]),
            Some(Vec::new()),
        ]);
        let turns = self.below(4) == 0;
        let (manner, is_known) = (self.manner, self.is_known);
        let (sends_id_token, groups_now) = (self.sends_id_token, self.groups_now.clone());
        self.world.at("corp", |corp| {
            corp.manner = manner;
            corp.known = is_known;
            corp.refreshes_id_token = sends_id_token;
            corp.groups_now = groups_now;
            corp.key = corp.key.wrapping_add(u8::from(turns)) % 100;
        });
    }

    /// The operator reloads, with or without a newer key before the ones that are there.
    fn reloads(&mut self) {
        if self.below(2) == 0 {
            let next = self.keys[0].wrapping_add(1);
            self.keys.insert(0, next);
            self.keys.truncate(2);
        }
        let keys = self.keys.clone();
        self.world.reload(|plan| plan.keys = keys);
    }

    /// An older cookie, somebody else's, or one that was changed.
    fn carries_another_value(&mut self, browser: usize) {
        let mut value = self.pick(&self.given.clone());
        if self.below(4) == 0 {
            let at = self.below(value.len());
            let changed = if value.as_bytes()[at] == b'A' { "B" } else { "A" };
            value.replace_range(at..=at, changed);
        }
        let ask = self.browsers[browser].page("/").with("cookie", &format!("{SESSION}={value}"));
        self.visits(browser, ask);
    }

    fn visits(&mut self, browser: usize, ask: Ask) {
        let ask = self.browsers[browser].prepared(ask);
        let asked_before = self.world.token_requests();
        let outcome = self.world.visit(&ask);
        let asked = self.world.token_requests() - asked_before;
        if ask.target.ends_with("/logout") {
            if outcome.record.event == Some(Event::Logout) {
                let session = outcome.record.session.as_ref().expect("a session that ended");
                self.ended.insert(session.id());
            }
        } else {
            let ended_before = self.seen.ended;
            self.judges(&ask, &outcome, asked);
            if self.seen.ended > ended_before {
                self.carries_every_copy(browser, &ask);
            }
        }
        self.browsers[browser].keeps(&ask, &outcome);
    }

    /// Brings every sealed value of the session that has just ended, once.
    fn carries_every_copy(&mut self, browser: usize, ended: &Ask) {
        let session = sealed(ended).and_then(|value| self.books.get(value)).map(|held| held.id);
        let copies: Vec<String> = self
            .given
            .iter()
            .filter(|value| self.books.get(*value).map(|held| held.id) == session)
            .cloned()
            .collect();
        for value in copies {
            let ask =
                self.browsers[browser].page("/").with("cookie", &format!("{SESSION}={value}"));
            self.visits(browser, ask);
        }
    }

    /// What a request's cookie is worth before the provider is asked.
    fn held(&self, ask: &Ask) -> Option<Held> {
        let held = self.books.get(sealed(ask)?)?;
        let now = self.world.now();
        let counts = self.keys.contains(&held.key)
            && !self.ended.contains(&held.id)
            && now - held.begun_at < LIFETIME_SECONDS
            && now - held.seen_at < IDLE_SECONDS;
        counts.then(|| held.clone())
    }

    /// What the provider says about a session's refresh token: what it said before, or what it says now.
    fn asks_provider(&mut self, held: &Held) -> Option<Answer> {
        if let Some(answer) = self.answered.get(&held.refresh_token) {
            return Some(answer.clone());
        }
        let now = self.world.now();
        let newer = |groups: &[String]| Answer::Newer {
            groups: groups.to_vec(),
            expires_at: now + TOKEN_SECONDS,
        };
        let answer = match self.manner {
            _ if !self.is_known => return None,
            Manner::Endless | Manner::Silent => return None,
            Manner::Failing(400, _) => Answer::Refused,
            Manner::Failing(..) => return None,
            // Without an ID token there is nothing to lie in, and nothing new to say.
            _ if !self.sends_id_token => newer(&held.groups),
            Manner::Forging | Manner::Lying(_) => Answer::Refused,
            Manner::Careless | Manner::Honest => {
                newer(self.groups_now.as_deref().unwrap_or(&held.person.groups))
            }
        };
        self.answered.insert(held.refresh_token.clone(), answer.clone());
        Some(answer)
    }

    fn judges(&mut self, ask: &Ask, outcome: &Outcome, asked: usize) {
        let (now, admitted) = (self.world.now(), admission(outcome).is_some());
        let Some(mut held) = self.held(ask) else {
            assert!(!admitted && asked == 0, "{ask:?} {:?}", outcome.record);
            return;
        };
        let (mut live, mut may_ask) = (true, false);
        if now >= held.renew_at {
            may_ask = !self.answered.contains_key(&held.refresh_token);
            match self.asks_provider(&held) {
                Some(Answer::Newer { groups, expires_at }) => {
                    let margin = MARGIN_SECONDS.min((expires_at - now).max(0) / 2);
                    held = Held { groups, expires_at, renew_at: expires_at - margin, ..held };
                    self.seen.confirmed += 1;
                    // A refusal is the larger event of the two.
                    let refreshed = outcome.record.event == Some(Event::Refreshed);
                    assert!(refreshed || !admitted, "{ask:?} {:?}", outcome.record);
                }
                Some(Answer::Refused) => {
                    live = false;
                    self.ended.insert(held.id);
                    self.seen.ended += 1;
                }
                None => {
                    live = now < held.expires_at + GRACE_SECONDS;
                    let count =
                        if live { &mut self.seen.waited } else { &mut self.seen.turned_away };
                    *count += 1;
                }
            }
        }
        assert!(asked <= usize::from(may_ask), "a refresh token that was answered is sent again");
        let is_sre = held.groups.iter().any(|group| group == "sre");
        let may = live && (is_sre || !ask.target.starts_with("/admin/"));
        assert_eq!(admitted, may, "{ask:?} {:?}", outcome.record);
        if admitted {
            assert_eq!(user(outcome), Some(held.person.name.as_str()));
        }

        // Whatever is given out now is worth what we think, and only somebody who is confirmed is given anything.
        let values = outcome.cookies.iter().filter_map(|line| {
            let pair = line.to_str().expect("visible ASCII").split(';').next()?;
            pair.split_once('=').filter(|(name, value)| *name == SESSION && !value.is_empty())
        });
        for (_, value) in values {
            assert!(live, "somebody who is not confirmed is given a session: {ask:?}");
            let session = outcome.record.session.as_ref().expect("a session to give");
            assert_eq!(session.id(), held.id, "another session");
            let seen_at = if now - held.seen_at >= IDLE_SECONDS / 12 { now } else { held.seen_at };
            let refresh_token = refresh_token(session);
            let key = self.keys[0];
            let newer = Held { seen_at, refresh_token, key, ..held.clone() };
            self.books.insert(value.to_owned(), newer);
            self.given.push(value.to_owned());
        }
    }
}

/// The sealed session that a request carries.
fn sealed(ask: &Ask) -> Option<&str> {
    let cookies = ask.headers.get(header::COOKIE)?.to_str().ok()?;
    let mut pairs = cookies.split("; ").filter_map(|pair| pair.split_once('='));
    pairs.find(|(name, _)| *name == SESSION).map(|(_, value)| value)
}

fn refresh_token(session: &Session) -> String {
    let token = session.grant().and_then(|grant| grant.refresh_token());
    token.expect("a refresh token").expose().to_owned()
}
