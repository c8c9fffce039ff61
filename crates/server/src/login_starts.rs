//! How many logins begin for one client in a minute.
//!
//! Beginning a login costs signatures, and with pushed requests a question to the provider, for anybody who asks
//! (R34). A client may begin as many at once as it may in a minute, for people arrive together, and then as many as
//! flow in. Clients are kept in bounded number: whoever is forgotten begins anew, so a flood of addresses fills no
//! memory.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use moka::sync::Cache;
use tokio::time::Instant;

/// How many clients are counted at a time.
const CLIENTS_MAX: u64 = 20_000;
const MINUTE: Duration = Duration::from_secs(60);

/// The logins that began lately, by client.
#[derive(Debug)]
pub(crate) struct LoginStarts {
    per_minute: u32,
    /// When each client will have used up nothing, if no more logins begin: the generic cell rate algorithm.
    settled: Cache<IpAddr, Arc<Mutex<Instant>>>,
}

impl LoginStarts {
    /// None yet; `per_minute` for each client.
    pub(crate) fn new(per_minute: u32) -> Self {
        let settled = Cache::builder().max_capacity(CLIENTS_MAX).time_to_idle(MINUTE).build();
        Self { per_minute: per_minute.max(1), settled }
    }

    /// Whether it counts to the same number.
    pub(crate) fn counts_to(&self, per_minute: u32) -> bool {
        self.per_minute == per_minute.max(1)
    }

    /// Counts one more login of this client, unless there were too many.
    ///
    /// # Errors
    /// How long until one may begin.
    pub(crate) fn begin(&self, client: Option<IpAddr>) -> Result<(), Duration> {
        // Whoever comes by a socket of this machine is the operator's own.
        let Some(client) = client.map(household) else { return Ok(()) };
        let now = Instant::now();
        let settled = self.settled.get_with(client, || Arc::new(Mutex::new(now)));
        let mut settled = settled.lock().unwrap_or_else(PoisonError::into_inner);
        let after = (*settled).max(now) + MINUTE / self.per_minute;
        match (after - now).checked_sub(MINUTE) {
            None | Some(Duration::ZERO) => {
                *settled = after;
                Ok(())
            }
            Some(wait) => Err(wait),
        }
    }
}

/// The address, or the network of one customer: whoever has one IPv6 address has 64 bits of them.
fn household(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    /// R34: as many at once as in a minute, then as many as flow in; others are not concerned.
    #[tokio::test(start_paused = true)]
    async fn a_client_begins_so_many_logins_and_no_more() {
        let starts = LoginStarts::new(60);
        let (one, other) = (address("192.0.2.1"), address("192.0.2.2"));
        let begun = (0..100).filter(|_| starts.begin(one).is_ok()).count();
        assert_eq!(begun, 60);
        assert_eq!(starts.begin(one), Err(Duration::from_secs(1)));
        assert_eq!(starts.begin(other), Ok(()));

        tokio::time::advance(Duration::from_secs(3)).await;
        let begun = (0..100).filter(|_| starts.begin(one).is_ok()).count();
        assert_eq!(begun, 3);

        tokio::time::advance(Duration::from_secs(600)).await;
        let begun = (0..100).filter(|_| starts.begin(one).is_ok()).count();
        assert_eq!(begun, 60, "what was not used is not saved up");
    }

    /// R34: a customer's IPv6 network is one client, an IPv4 address in IPv6 form is that address, and who has no
    /// address is on this machine.
    #[tokio::test(start_paused = true)]
    async fn a_client_is_whoever_shares_an_address() {
        let starts = LoginStarts::new(1);
        assert!(starts.begin(address("2001:db8:1:2::1")).is_ok());
        assert!(starts.begin(address("2001:db8:1:2:ffff::2")).is_err());
        assert!(starts.begin(address("2001:db8:1:3::1")).is_ok());
        assert!(starts.begin(address("192.0.2.1")).is_ok());
        assert!(starts.begin(address("::ffff:192.0.2.1")).is_err());
        assert!(starts.begin(None).is_ok());
        assert!(starts.begin(None).is_ok());
    }

    /// K7: a flood of addresses is forgotten.
    #[tokio::test(start_paused = true)]
    async fn clients_are_counted_in_bounded_number() {
        let starts = LoginStarts::new(1);
        for number in 0..u32::try_from(CLIENTS_MAX).unwrap() + 5_000 {
            let _ = starts.begin(Some(std::net::Ipv4Addr::from_bits(number).into()));
        }
        starts.settled.run_pending_tasks();
        assert!(starts.settled.entry_count() <= CLIENTS_MAX);
    }
}
