//! Addresses that could not be reached a moment ago, and are tried last for a while.
//!
//! A name may stand for addresses of which some lead nowhere: a network whose IPv6 is broken, a copy that was
//! taken away. Connecting to one takes its whole time limit, so only the first request may have to find out.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// For how long.
pub(super) const AVOIDED_FOR: Duration = Duration::from_secs(10);

/// The addresses of one upstream that are avoided.
#[derive(Debug, Default)]
pub(crate) struct Avoided {
    /// Whether there are any: mostly there are none, and then nobody takes the lock.
    any: AtomicBool,
    since: Mutex<Vec<(SocketAddr, Instant)>>,
}

impl Avoided {
    /// `address` could not be reached `now`.
    pub(super) fn add(&self, address: SocketAddr, now: Instant) {
        let mut since = self.since.lock().unwrap_or_else(PoisonError::into_inner);
        since.retain(|(known, _)| *known != address);
        since.push((address, now));
        self.any.store(true, Ordering::Release);
    }

    /// Whether `address` is better left alone `now`.
    pub(super) fn contains(&self, address: SocketAddr, now: impl FnOnce() -> Instant) -> bool {
        if !self.any.load(Ordering::Acquire) {
            return false;
        }
        let now = now();
        let mut since = self.since.lock().unwrap_or_else(PoisonError::into_inner);
        since.retain(|(_, added)| now.saturating_duration_since(*added) < AVOIDED_FOR);
        if since.is_empty() {
            self.any.store(false, Ordering::Release);
        }
        since.iter().any(|(known, _)| *known == address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// R10.
    #[test]
    fn an_address_is_avoided_for_a_while() {
        let (avoided, now) = (Avoided::default(), Instant::now());
        let [one, other] = [1, 2].map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
        assert!(!avoided.contains(one, || now));

        avoided.add(one, now);
        avoided.add(one, now + Duration::from_secs(1));

        assert!(avoided.contains(one, || now + AVOIDED_FOR));
        assert!(!avoided.contains(other, || now + AVOIDED_FOR));
        assert!(!avoided.contains(one, || now + AVOIDED_FOR + Duration::from_secs(1)));
        assert!(!avoided.any.load(Ordering::Relaxed));
    }
}
