//! What this process remembers: logins that were used up and sessions that were ended.
//!
//! Both are bounded in number and in time, so no flood of visitors fills them. Nothing is remembered for a
//! login that nobody finishes. Another replica, or this one after a restart, does not know them: there a code
//! is still good only once at the provider, and a copied cookie of a session that somebody signed out of is
//! good until it ends. `docs/threats.md` says so too.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use lychgate_gateway::login_state::LoginId;
use lychgate_gateway::session::SessionId;
use lychgate_gateway::world::Spent;
use moka::policy::EvictionPolicy;
use moka::sync::Cache;

const LOGINS_MAX: u64 = 100_000;
const SESSIONS_MAX: u64 = 1_000_000;

/// Logins that were used up, and sessions that were ended.
#[derive(Debug)]
pub(crate) struct Ledger {
    spent: Cache<LoginId, String>,
    revoked: Cache<SessionId, ()>,
    /// Spares the signed-in request its look-up for as long as nobody has signed out.
    any_revoked: AtomicBool,
}

impl Ledger {
    /// An empty ledger for logins that take up to `login_timeout` and sessions that last up to `lifetime`.
    pub(crate) fn new(login_timeout: Duration, lifetime: Duration) -> Self {
        // When one is full the oldest goes, never the one that has just come.
        Self {
            spent: Cache::builder()
                .eviction_policy(EvictionPolicy::lru())
                .max_capacity(LOGINS_MAX)
                .time_to_live(login_timeout * 2)
                .build(),
            revoked: Cache::builder()
                .eviction_policy(EvictionPolicy::lru())
                .max_capacity(SESSIONS_MAX)
                .time_to_live(lifetime)
                .build(),
            any_revoked: AtomicBool::new(false),
        }
    }

    /// Uses a login up. Of any number of callers exactly one is told that it was not used before.
    pub(crate) fn spend(&self, login: LoginId, return_to: &str) -> Spent {
        let entry = self.spent.entry(login).or_insert_with(|| return_to.to_owned());
        if entry.is_fresh() { Spent::Now } else { Spent::Before }
    }

    /// Where a login that was used up led.
    pub(crate) fn spent(&self, login: LoginId) -> Option<String> {
        self.spent.get(&login)
    }

    /// Ends a session.
    pub(crate) fn revoke(&self, session: SessionId) {
        self.revoked.insert(session, ());
        self.any_revoked.store(true, Ordering::Release);
    }

    /// Whether a session was ended.
    pub(crate) fn is_revoked(&self, session: SessionId) -> bool {
        self.any_revoked.load(Ordering::Acquire) && self.revoked.contains_key(&session)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ledger() -> Ledger {
        Ledger::new(Duration::from_secs(600), Duration::from_secs(3600))
    }

    /// CB-30: two deliveries at one moment, exactly one exchange.
    #[test]
    fn a_login_is_used_up_by_exactly_one_of_many() {
        let ledger = ledger();
        let login = LoginId::of("state");
        let first = std::thread::scope(|scope| {
            let visits: Vec<_> =
                (0..16).map(|_| scope.spawn(|| ledger.spend(login, "/page"))).collect();
            visits
                .into_iter()
                .filter_map(|visit| visit.join().ok())
                .filter(|spent| *spent == Spent::Now)
                .count()
        });
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
}
