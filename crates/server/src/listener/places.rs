//! Room for connections: how many there may be, and who gives way to a newcomer.
//!
//! All listeners share one number of places. When none is free, the HTTP/1 connection that has waited longest
//! for its next request is told to leave; its client opens another when it needs one (RFC 9112 §9.5). A
//! connection with a request keeps its place, and so does one whose first request is still to come: that one
//! has a deadline of its own. Where nobody can give way, the newcomer waits.
//!
//! A request does not touch anything here that others wait for: a connection says where it stands in its own
//! [`Idleness`], and only who comes or leaves takes the lock around the list of all.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Waker};

use lychgate_gateway::forwarded::Peer;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

/// Not waiting for a request.
const BUSY: u64 = 0;
/// Told to leave.
const LEAVING: u64 = u64::MAX;
/// How many leave when the process has no descriptors left.
const GIVE_WAY_TOGETHER: usize = 8;

/// The places.
#[derive(Debug)]
pub(crate) struct Places {
    free: Arc<Semaphore>,
    each_client: Option<u32>,
    opened: Instant,
    /// How many newcomers wait for a place.
    wanted: AtomicUsize,
    /// Told whenever a connection begins to wait while somebody wants a place.
    somebody_waits: Notify,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    next: u64,
    connections: HashMap<u64, Arc<Idleness>>,
    clients: HashMap<IpAddr, u32>,
}

/// Whether a connection waits for its next request, and since when.
#[derive(Debug)]
pub(crate) struct Idleness {
    /// [`BUSY`], [`LEAVING`], or the moment in nanoseconds since the places were opened.
    since: AtomicU64,
    /// Whom to wake. Locked for as long as it takes to put one there or take it away, by this connection and by
    /// whoever tells it to leave, once.
    waker: Mutex<Option<Waker>>,
}

/// A connection in the list, until this is dropped.
#[derive(Debug)]
pub(super) struct Listed {
    places: Arc<Places>,
    number: u64,
}

/// A client's connection, counted until this is dropped.
#[derive(Debug)]
pub(super) struct Counted {
    places: Arc<Places>,
    client: Option<IpAddr>,
}

/// A newcomer that waits, counted until this is dropped.
struct Wanted<'a>(&'a AtomicUsize);

impl Places {
    /// So many places, and so many of them for each client.
    pub(crate) fn new(most: u32, each_client: Option<u32>) -> Self {
        let most = usize::try_from(most).unwrap_or(Semaphore::MAX_PERMITS);
        Self {
            free: Arc::new(Semaphore::new(most.min(Semaphore::MAX_PERMITS))),
            each_client,
            opened: Instant::now(),
            wanted: AtomicUsize::new(0),
            somebody_waits: Notify::new(),
            taken: Mutex::default(),
        }
    }

    /// Whether nobody else has room.
    pub(super) fn are_full(&self) -> bool {
        self.free.available_permits() == 0
    }

    /// A place for a newcomer: at once where one is free, else the place of whoever gives way or leaves first.
    /// `None` when there will never be one.
    pub(super) async fn take(&self) -> Option<OwnedSemaphorePermit> {
        if let Ok(place) = Arc::clone(&self.free).try_acquire_owned() {
            return Some(place);
        }
        let _wanted = Wanted::new(&self.wanted);
        let one_gives_way = async {
            loop {
                let somebody_waits = self.somebody_waits.notified();
                tokio::pin!(somebody_waits);
                // Registered before the list is read, so nobody who begins to wait between the two is missed.
                somebody_waits.as_mut().enable();
                if self.send_one_away() {
                    break;
                }
                somebody_waits.await;
            }
            std::future::pending::<()>().await;
        };
        tokio::select! {
            place = Arc::clone(&self.free).acquire_owned() => place.ok(),
            () = one_gives_way => None,
        }
    }

    /// Tells those that have waited longest to leave, because it is not places that are lacking but descriptors. A
    /// few at once: who comes instead needs another to its application.
    pub(super) fn make_room(&self) {
        for _ in 0..GIVE_WAY_TOGETHER {
            if !self.send_one_away() {
                break;
            }
        }
    }

    /// Lists a connection, so that it can be told to leave.
    pub(super) fn list(self: &Arc<Self>, connection: &Arc<Idleness>) -> Listed {
        let mut taken = self.taken();
        let number = taken.next;
        taken.next += 1;
        taken.connections.insert(number, Arc::clone(connection));
        Listed { places: Arc::clone(self), number }
    }

    /// Counts a connection of `client`, or `None` when that client has as many as it may. Who has no address is not
    /// counted.
    pub(super) fn count(self: &Arc<Self>, client: Peer) -> Option<Counted> {
        let client = match client {
            Peer::Address(address) => Some(one_client(address)),
            Peer::Unix | Peer::Unnamed => None,
        };
        let (Some(client), Some(most)) = (client, self.each_client) else {
            return Some(Counted { places: Arc::clone(self), client: None });
        };
        let mut taken = self.taken();
        let count = taken.clients.entry(client).or_insert(0);
        if *count >= most {
            return None;
        }
        *count += 1;
        Some(Counted { places: Arc::clone(self), client: Some(client) })
    }

    /// Tells the connection that has waited longest to leave. Whether there was one.
    fn send_one_away(&self) -> bool {
        let taken = self.taken();
        loop {
            let waiting = taken.connections.values().filter_map(|connection| {
                let since = connection.since.load(Ordering::SeqCst);
                (since != BUSY && since != LEAVING).then_some((since, connection))
            });
            let Some((since, longest)) = waiting.min_by_key(|(since, _)| *since) else {
                return false;
            };
            if longest.leave(since) {
                return true;
            }
        }
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A network of IPv6 is one client: whoever has one address there has all of them (RFC 6177).
fn one_client(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
    }
}

impl Default for Idleness {
    fn default() -> Self {
        Self { since: AtomicU64::new(BUSY), waker: Mutex::new(None) }
    }
}

impl Idleness {
    /// The connection waits for its next request from `now` on.
    pub(crate) fn begins(&self, now: Instant, places: &Places) {
        let since = now.saturating_duration_since(places.opened).as_nanos();
        let since = u64::try_from(since).unwrap_or(LEAVING - 1).clamp(BUSY + 1, LEAVING - 1);
        // Who was told to leave stays told.
        let _ = self.since.compare_exchange(BUSY, since, Ordering::SeqCst, Ordering::SeqCst);
        if places.wanted.load(Ordering::SeqCst) > 0 {
            places.somebody_waits.notify_waiters();
        }
    }

    /// The next request begins. Whether the connection may stay for it.
    pub(crate) fn ends(&self) -> bool {
        let mut since = self.since.load(Ordering::SeqCst);
        while since != LEAVING {
            match self.since.compare_exchange(since, BUSY, Ordering::SeqCst, Ordering::SeqCst) {
                Ok(_) => return true,
                Err(changed) => since = changed,
            }
        }
        false
    }

    /// Whether the connection was told to leave. If not, the task is woken when it is.
    pub(crate) fn is_to_leave(&self, context: &Context<'_>) -> bool {
        {
            let mut waker = self.waker();
            if !waker.as_ref().is_some_and(|known| known.will_wake(context.waker())) {
                *waker = Some(context.waker().clone());
            }
        }
        // Read after the waker was put there: whoever tells it to leave does the two the other way round.
        self.since.load(Ordering::SeqCst) == LEAVING
    }

    /// Tells the connection to leave, unless it no longer waits `since` then.
    fn leave(&self, since: u64) -> bool {
        let told =
            self.since.compare_exchange(since, LEAVING, Ordering::SeqCst, Ordering::SeqCst).is_ok();
        if told && let Some(waker) = self.waker().take() {
            waker.wake();
        }
        told
    }

    fn waker(&self) -> MutexGuard<'_, Option<Waker>> {
        self.waker.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<'a> Wanted<'a> {
    fn new(wanted: &'a AtomicUsize) -> Self {
        wanted.fetch_add(1, Ordering::SeqCst);
        Self(wanted)
    }
}

impl Drop for Wanted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Drop for Listed {
    fn drop(&mut self) {
        self.places.taken().connections.remove(&self.number);
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let Some(client) = self.client else { return };
        let mut taken = self.places.taken();
        if let Some(count) = taken.clients.get_mut(&client) {
            *count -= 1;
            if *count == 0 {
                taken.clients.remove(&client);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn waiting(places: &Places, after: u64) -> Arc<Idleness> {
        let idleness = Arc::new(Idleness::default());
        idleness.begins(places.opened + Duration::from_secs(after), places);
        idleness
    }

    fn is_told(idleness: &Idleness) -> bool {
        idleness.is_to_leave(&Context::from_waker(Waker::noop()))
    }

    /// K4: who has waited longest gives way, one for each newcomer, and nobody while there is room.
    #[tokio::test(start_paused = true)]
    async fn who_has_waited_longest_gives_way_to_a_newcomer() {
        let places = Arc::new(Places::new(1, None));
        let (younger, older, busy) =
            (waiting(&places, 7), waiting(&places, 3), Arc::new(Idleness::default()));
        let _listed = [&younger, &older, &busy].map(|connection| places.list(connection));
        let place = places.take().await.unwrap();
        assert!(!is_told(&older), "there was room");

        let newcomer = tokio::spawn({
            let places = Arc::clone(&places);
            async move { places.take().await.unwrap() }
        });
        tokio::task::yield_now().await;
        assert!(is_told(&older) && !is_told(&younger) && !is_told(&busy));
        assert!(!older.ends(), "its next request came too late");
        assert!(younger.ends() && busy.ends());
        drop(place);
        drop(newcomer.await.unwrap());
    }

    #[tokio::test(start_paused = true)]
    async fn who_begins_to_wait_later_gives_way_as_well() {
        let places = Arc::new(Places::new(1, None));
        let busy = Arc::new(Idleness::default());
        let _listed = places.list(&busy);
        let _place = places.take().await.unwrap();
        let newcomer = tokio::spawn({
            let places = Arc::clone(&places);
            async move { places.take().await }
        });
        tokio::task::yield_now().await;
        assert!(!is_told(&busy));

        busy.begins(Instant::now(), &places);
        tokio::task::yield_now().await;
        assert!(is_told(&busy));

        newcomer.abort();
        let _ = newcomer.await;
        let calm = Arc::new(Idleness::default());
        let _listed = places.list(&calm);
        calm.begins(Instant::now(), &places);
        tokio::task::yield_now().await;
        assert!(!is_told(&calm), "nobody wants a place any more");
    }

    #[tokio::test]
    async fn who_left_is_not_asked() {
        let places = Arc::new(Places::new(1, None));
        drop(places.list(&waiting(&places, 1)));
        assert!(!places.send_one_away());
    }

    /// K4: the addresses of one IPv6 network are one client; who has none is not counted.
    #[tokio::test]
    async fn each_client_has_its_share() {
        let places = Arc::new(Places::new(9, Some(2)));
        let from = |text: &str| places.count(Peer::Address(text.parse().unwrap()));
        let first = [from("192.0.2.1"), from("192.0.2.1")];
        assert!(first.iter().all(Option::is_some));
        assert!(from("192.0.2.1").is_none());
        assert!(from("192.0.2.2").is_some());
        let network = [from("2001:db8::1"), from("2001:db8::ffff:1")];
        assert!(network.iter().all(Option::is_some));
        assert!(from("2001:db8::2").is_none());
        assert!(from("2001:db8:0:1::2").is_some());
        let nameless = [Peer::Unix, Peer::Unix, Peer::Unix, Peer::Unnamed, Peer::Unnamed];
        let nameless = nameless.map(|peer| places.count(peer));
        assert!(nameless.iter().all(Option::is_some));

        drop(first);
        assert!(from("192.0.2.1").is_some(), "a place that is given back is there again");
        drop((network, nameless));
        assert!(places.taken().clients.is_empty(), "nobody is remembered who left");
    }
}
