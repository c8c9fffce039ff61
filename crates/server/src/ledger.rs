//! What this process remembers: logins that were used up and sessions that were ended.
//!
//! Both are bounded in number and in time, so no flood of visitors fills them. Nothing is remembered for a
//! login that nobody finishes. A login that is used up is also [marked](Marks) in the state directory, for whoever
//! shares it and for this process after a restart; an instance with another one does not know of it, and there a
//! code is still good only once at the provider. Sessions that were ended are known to this process alone: at another
//! replica, or after a restart, a copied cookie is good until it ends. `docs/threats.md` says so too.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use lychgate_gateway::login_state::LoginId;
use lychgate_gateway::session::SessionId;
use lychgate_gateway::world::Spent;
use moka::policy::EvictionPolicy;
use moka::sync::Cache;

use crate::marks::{Mark, Marks};

const LOGINS_MAX: u64 = 100_000;
const SESSIONS_MAX: u64 = 1_000_000;

/// Logins that were used up, and sessions that were ended.
#[derive(Debug)]
pub(crate) struct Ledger {
    spent: Cache<LoginId, Kept<String>>,
    marks: Marks,
    revoked: Cache<SessionId, Kept<()>>,
    /// For how many seconds what comes now is kept: never less than under a configuration before, because what was
    /// issued under it lasts as long as it said.
    logins_for: AtomicU64,
    sessions_for: AtomicU64,
    /// Spares the signed-in request its look-up for as long as nobody has signed out.
    any_revoked: AtomicBool,
}

/// Something that is remembered for a time of its own.
#[derive(Clone, Debug)]
struct Kept<T> {
    value: T,
    seconds: u64,
}

/// Forgets each when its time is over.
struct ByItsTime;

impl<K, T> moka::Expiry<K, Kept<T>> for ByItsTime {
    fn expire_after_create(&self, _: &K, kept: &Kept<T>, _: Instant) -> Option<Duration> {
        Some(Duration::from_secs(kept.seconds))
    }
}

impl Ledger {
    /// An empty ledger for logins that take up to `login_timeout` and sessions that last up to `lifetime`, with the
    /// `marks` that there are already.
    pub(crate) fn new(login_timeout: Duration, lifetime: Duration, marks: Marks) -> Self {
        Self::with_room_for(LOGINS_MAX, SESSIONS_MAX, login_timeout, lifetime, marks)
    }

    fn with_room_for(
        logins_max: u64,
        sessions_max: u64,
        login_timeout: Duration,
        lifetime: Duration,
        marks: Marks,
    ) -> Self {
        // When one is full the oldest goes, never the one that has just come.
        let ledger = Self {
            spent: Cache::builder()
                .eviction_policy(EvictionPolicy::lru())
                .max_capacity(logins_max)
                .expire_after(ByItsTime)
                .build(),
            marks,
            revoked: Cache::builder()
                .eviction_policy(EvictionPolicy::lru())
                .max_capacity(sessions_max)
                .expire_after(ByItsTime)
                .build(),
            logins_for: AtomicU64::new(0),
            sessions_for: AtomicU64::new(0),
            any_revoked: AtomicBool::new(false),
        };
        ledger.outlast(login_timeout, lifetime);
        ledger
    }

    /// From now on remembers at least as long as logins that take up to `login_timeout` and sessions that last up to
    /// `lifetime` need it.
    pub(crate) fn outlast(&self, login_timeout: Duration, lifetime: Duration) {
        self.logins_for.fetch_max(whole_seconds(login_timeout * 2), Ordering::AcqRel);
        self.sessions_for.fetch_max(whole_seconds(lifetime), Ordering::AcqRel);
    }

    /// Uses a login up. Of any number of callers exactly one is told that it was not used before, in every process
    /// that shares the state directory, or in this one where nothing can be marked there.
    pub(crate) async fn spend(&self, login: LoginId, return_to: &str) -> Spent {
        let seconds = self.logins_for.load(Ordering::Acquire);
        let kept = || Kept { value: return_to.to_owned(), seconds };
        if !self.spent.entry(login).or_insert_with(kept).is_fresh() {
            return Spent::Before;
        }
        match self.marks.make(login, Duration::from_secs(seconds)).await {
            Mark::Found => Spent::Before,
            Mark::Made | Mark::Missing => Spent::Now,
        }
    }

    /// Where a login that was used up led.
    pub(crate) fn spent(&self, login: LoginId) -> Option<String> {
        self.spent.get(&login).map(|kept| kept.value)
    }

    /// Ends a session.
    pub(crate) fn revoke(&self, session: SessionId) {
        let seconds = self.sessions_for.load(Ordering::Acquire);
        self.revoked.insert(session, Kept { value: (), seconds });
        self.any_revoked.store(true, Ordering::Release);
    }

    /// Whether a session was ended.
    pub(crate) fn is_revoked(&self, session: SessionId) -> bool {
        self.any_revoked.load(Ordering::Acquire) && self.revoked.contains_key(&session)
    }
}

/// Rounded up, so that nothing is forgotten too early.
fn whole_seconds(duration: Duration) -> u64 {
    duration.as_secs().saturating_add(1)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn ledger() -> Ledger {
        Ledger::new(Duration::from_secs(600), Duration::from_secs(3600), Marks::nowhere())
    }

    fn small(places: u64) -> Ledger {
        let time = Duration::from_secs(600);
        Ledger::with_room_for(places, places, time, time, Marks::nowhere())
    }

    /// CB-30: two deliveries at one moment, exactly one exchange.
    #[tokio::test(flavor = "multi_thread")]
    async fn a_login_is_used_up_by_exactly_one_of_many() {
        let ledger = Arc::new(ledger());
        let login = LoginId::of("state");
        let visit = |ledger: Arc<Ledger>| async move { ledger.spend(login, "/page").await };
        let visits: Vec<_> = (0..16).map(|_| tokio::spawn(visit(Arc::clone(&ledger)))).collect();
        let mut first = 0;
        for visit in visits {
            first += usize::from(visit.await.unwrap() == Spent::Now);
        }
        assert_eq!(first, 1);
        assert_eq!(ledger.spent(login).as_deref(), Some("/page"));
        assert_eq!(ledger.spent(LoginId::of("other")), None);
    }

    /// H6: a session that was ended stays ended.
    #[test]
    fn an_ended_session_is_known() {
        let ledger = ledger();
        let (ended, other) = (SessionId::new([1; 16]), SessionId::new([2; 16]));
        assert!(!ledger.is_revoked(ended));
        ledger.revoke(ended);
        assert!(ledger.is_revoked(ended));
        assert!(!ledger.is_revoked(other));
    }

    /// H6: when the ledger is full, what was asked for least recently goes. The newest entry is never turned
    /// away, however often the others are asked for: a flood would keep it from being remembered at all.
    #[tokio::test]
    async fn a_full_ledger_forgets_what_was_not_asked_for_the_longest() {
        let ledger = small(3);
        let login = |number: u32| LoginId::of(&format!("state-{number}"));
        for number in 0..3 {
            assert_eq!(ledger.spend(login(number), "/").await, Spent::Now);
            ledger.spent.run_pending_tasks();
        }
        for _ in 0..50 {
            assert_eq!(ledger.spend(login(0), "/").await, Spent::Before);
            assert_eq!(ledger.spend(login(2), "/").await, Spent::Before);
        }
        ledger.spent.run_pending_tasks();

        assert_eq!(ledger.spend(login(3), "/").await, Spent::Now);
        ledger.spent.run_pending_tasks();

        let known: Vec<_> =
            (0..4).filter(|number| ledger.spent(login(*number)).is_some()).collect();
        assert_eq!(known, [0, 2, 3]);
    }

    /// H6: neither number nor time of what is remembered is without end, and looking at a session that was ended
    /// does not make room in the wrong place.
    #[test]
    fn a_ledger_holds_no_more_than_it_has_room_for() {
        let ledger = small(8);
        let sessions: Vec<_> = (0..64).map(|number| SessionId::new([number; 16])).collect();
        for session in &sessions {
            ledger.revoke(*session);
            ledger.revoked.run_pending_tasks();
            assert!(ledger.is_revoked(*session), "the newest is known");
            assert!(ledger.revoked.entry_count() <= 8);
        }
        let known = sessions.iter().map(|session| ledger.is_revoked(*session));
        let known: Vec<_> = known.collect();
        assert_eq!(known.iter().position(|known| *known), Some(56), "the oldest went first");
    }

    /// H6: a session that was ended is remembered for as long as a copy of its cookie could be good, and a login
    /// for longer than its cookie.
    #[tokio::test]
    async fn what_is_remembered_is_remembered_for_long_enough() {
        let ledger = ledger();

        let (session, login) = (SessionId::new([1; 16]), LoginId::of("state"));
        ledger.revoke(session);
        ledger.spend(login, "/").await;
        let kept = || {
            let revoked = ledger.revoked.get(&session).map(|kept| kept.seconds);
            let spent = ledger.spent.get(&login).map(|kept| kept.seconds);
            (revoked, spent)
        };
        assert_eq!(kept(), (Some(3601), Some(1201)));
        let (revoked, spent) = (ledger.revoked.policy(), ledger.spent.policy());
        assert_eq!((revoked.time_to_idle(), spent.time_to_idle()), (None, None));
        assert_eq!(revoked.max_capacity(), Some(SESSIONS_MAX));
        assert_eq!(spent.max_capacity(), Some(LOGINS_MAX));
    }

    /// H6: a reload that makes sessions longer makes the memory longer, and one that makes them shorter does not make
    /// it forget those that are longer.
    #[test]
    fn the_memory_lasts_as_long_as_the_longest_configuration_said() {
        let ledger = ledger();
        let seconds = |session: SessionId| {
            ledger.revoke(session);
            ledger.revoked.get(&session).map(|kept| kept.seconds)
        };
        ledger.outlast(Duration::from_secs(60), Duration::from_secs(7200));
        assert_eq!(seconds(SessionId::new([1; 16])), Some(7201));
        ledger.outlast(Duration::from_secs(60), Duration::from_secs(60));
        assert_eq!(seconds(SessionId::new([2; 16])), Some(7201));
    }
}
