//! What is under way for long, and when it has to end.
//!
//! A WebSocket, a stream of events or a long download is admitted once and may outlive everything that this rested
//! on. Whoever serves one holds a [`Tether`]. Once a second, and at once when somebody signs out, when the
//! configuration changes or when the process stops, all tethers that are due are looked at; one that ends says why,
//! and wakes the connection that it is tied to (P-23, R16, R29). Ordinary requests have none.
//!
//! What a browser's later requests tell of a session is passed on by [`Tethers::seen`]: somebody who is active
//! elsewhere in the application does not idle out here.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Waker};
use std::time::Duration;

use arc_swap::ArcSwap;
use lychgate_gateway::reason::Reason;
use lychgate_gateway::session::{Session, SessionId};
use lychgate_gateway::visit::standing::{Admitted, Credential};
use lychgate_oidc::Timestamp;
use tokio::sync::Notify;

use crate::world;

/// How often tethers are looked at, and therefore how late a session's end may be noticed.
const GLANCE: Duration = Duration::from_secs(1);

/// Why something under way ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// It would not be admitted any more.
    Unadmitted(Reason),
    /// The process stops.
    Stopping,
}

impl Ending {
    /// The code of a WebSocket's close frame (RFC 6455 §7.4; 4401 is of the range for applications).
    pub(crate) fn close_code(self) -> u16 {
        match self {
            Self::Unadmitted(_) => 4401,
            Self::Stopping => 1001,
        }
    }

    /// The words beside it.
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::Unadmitted(reason) => reason.code(),
            Self::Stopping => "the gateway stops",
        }
    }

    /// The reason for the logs.
    pub(crate) fn reason(self) -> Option<Reason> {
        match self {
            Self::Unadmitted(reason) => Some(reason),
            Self::Stopping => None,
        }
    }
}

/// What is known of one thing under way.
#[derive(Debug)]
pub(crate) struct Tether {
    /// What it was admitted as. `None`: it ends only when the process does.
    admitted: Option<Admitted>,
    /// Its session, if it has one, as it was seen last.
    session: Option<ArcSwap<Session>>,
    /// When it has to be asked about again, in seconds.
    due: AtomicI64,
    websocket: bool,
    ended: AtomicBool,
    ending: OnceLock<Ending>,
    waker: Mutex<Option<Waker>>,
}

impl Tether {
    /// Why it has to end, if it has to.
    pub(crate) fn ending(&self) -> Option<Ending> {
        if self.ended.load(Ordering::Acquire) { self.ending.get().copied() } else { None }
    }

    /// The same; where it need not end yet, the task of `context` is woken when it has to.
    pub(crate) fn ending_or_wake(&self, context: &Context<'_>) -> Option<Ending> {
        if let Some(ending) = self.ending() {
            return Some(ending);
        }
        let mut waker = lock(&self.waker);
        if waker.as_ref().is_none_or(|known| !known.will_wake(context.waker())) {
            *waker = Some(context.waker().clone());
        }
        drop(waker);
        // It may have ended before there was anybody to wake.
        self.ending()
    }

    /// Whether it is a WebSocket, to which an end can be told.
    pub(crate) fn is_websocket(&self) -> bool {
        self.websocket
    }

    /// Ends it. The first reason stays.
    fn end(&self, ending: Ending) {
        if self.ending.set(ending).is_ok() {
            self.ended.store(true, Ordering::Release);
            if let Some(waker) = lock(&self.waker).take() {
                waker.wake();
            }
        }
    }
}

/// A tether that is looked after until this is dropped.
#[derive(Debug)]
pub(crate) struct Held {
    tethers: Arc<Tethers>,
    number: u64,
    tether: Arc<Tether>,
}

impl Held {
    /// The tether.
    pub(crate) fn tether(&self) -> &Arc<Tether> {
        &self.tether
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.tethers.let_go(self.number, &self.tether);
    }
}

/// All tethers.
#[derive(Debug, Default)]
pub(crate) struct Tethers {
    count: AtomicUsize,
    held: Mutex<Table>,
    look: Notify,
}

#[derive(Debug, Default)]
struct Table {
    next: u64,
    all: HashMap<u64, Arc<Tether>>,
    by_session: HashMap<SessionId, Vec<u64>>,
    stopping: bool,
}

impl Tethers {
    /// Ties up a WebSocket or something else that may take long. With `admitted` it ends when that would not be
    /// admitted any more.
    pub(crate) fn hold(self: &Arc<Self>, admitted: Option<Admitted>, websocket: bool) -> Held {
        let session = admitted.as_ref().and_then(session_of).map(Arc::clone);
        let id = session.as_ref().map(|session| session.id());
        let tether = Arc::new(Tether {
            session: session.map(ArcSwap::new),
            // Looked at soon: the session may have ended, or the configuration changed, while it began.
            due: AtomicI64::new(if admitted.is_some() { 0 } else { i64::MAX }),
            admitted,
            websocket,
            ended: AtomicBool::new(false),
            ending: OnceLock::new(),
            waker: Mutex::default(),
        });
        let mut table = lock(&self.held);
        let number = table.next;
        table.next += 1;
        table.all.insert(number, Arc::clone(&tether));
        if let Some(id) = id {
            table.by_session.entry(id).or_default().push(number);
        }
        let stopping = table.stopping && websocket;
        self.count.store(table.all.len(), Ordering::Release);
        drop(table);
        if stopping {
            tether.end(Ending::Stopping);
        }
        Held { tethers: Arc::clone(self), number, tether }
    }

    fn let_go(&self, number: u64, tether: &Tether) {
        let mut table = lock(&self.held);
        table.all.remove(&number);
        if let Some(session) = tether.admitted.as_ref().and_then(session_of) {
            let id = session.id();
            if let Some(numbers) = table.by_session.get_mut(&id) {
                numbers.retain(|held| *held != number);
                if numbers.is_empty() {
                    table.by_session.remove(&id);
                }
            }
        }
        self.count.store(table.all.len(), Ordering::Release);
    }

    /// Whether anything is tied up.
    pub(crate) fn any(&self) -> bool {
        self.count.load(Ordering::Acquire) > 0
    }

    /// A browser was here with this session, which was renewed.
    pub(crate) fn seen(&self, session: &Arc<Session>) {
        for tether in self.of(session.id()) {
            if let Some(latest) = &tether.session {
                latest.store(Arc::clone(session));
                tether.due.store(0, Ordering::Release);
            }
        }
    }

    /// Somebody signed out, or was.
    pub(crate) fn session_ended(&self, session: SessionId) {
        if self.any() {
            for tether in self.of(session) {
                tether.due.store(0, Ordering::Release);
            }
            self.look.notify_one();
        }
    }

    /// Everything is to be asked about anew: the configuration has changed.
    pub(crate) fn look_again(&self) {
        for tether in self.all().filter(|tether| tether.admitted.is_some()) {
            tether.due.store(0, Ordering::Release);
        }
        self.look.notify_one();
    }

    /// Ends everything that was admitted with a session, for what could not be opened any more.
    pub(crate) fn end_sessions(&self, reason: Reason) {
        for tether in self.all().filter(|tether| tether.session.is_some()) {
            tether.end(Ending::Unadmitted(reason));
        }
    }

    /// The process stops: WebSockets are told, those that still come too; everything else may finish.
    pub(crate) fn stop(&self) {
        lock(&self.held).stopping = true;
        for tether in self.all().filter(|tether| tether.websocket) {
            tether.end(Ending::Stopping);
        }
    }

    /// Looks at all tethers from time to time, for ever. `ask` says until when something is certain to be admitted.
    pub(crate) async fn look_after(
        self: Arc<Self>,
        ask: impl Fn(&Admitted, &Credential, Timestamp) -> Result<Timestamp, Reason>,
    ) {
        loop {
            let _ = tokio::time::timeout(GLANCE, self.look.notified()).await;
            if self.any() {
                self.look_at_all(world::now(), &ask);
            }
        }
    }

    fn look_at_all(
        &self,
        now: Timestamp,
        ask: impl Fn(&Admitted, &Credential, Timestamp) -> Result<Timestamp, Reason>,
    ) {
        let due = |tether: &Arc<Tether>| {
            tether.due.load(Ordering::Acquire) <= now.seconds() && tether.ending().is_none()
        };
        for tether in self.all().filter(due) {
            let Some(admitted) = &tether.admitted else { continue };
            let credential = match &tether.session {
                Some(session) => Credential::Session(session.load_full()),
                None => admitted.credential.clone(),
            };
            let asked = tether.due.load(Ordering::Acquire);
            match ask(admitted, &credential, now) {
                Ok(until) => {
                    // Unless somebody wants it to be looked at again already.
                    let _ = tether.due.compare_exchange(
                        asked,
                        until.seconds(),
                        Ordering::AcqRel,
                        Ordering::Acquire,
                    );
                }
                Err(reason) => tether.end(Ending::Unadmitted(reason)),
            }
        }
    }

    fn all(&self) -> impl Iterator<Item = Arc<Tether>> {
        let all: Vec<_> = lock(&self.held).all.values().map(Arc::clone).collect();
        all.into_iter()
    }

    fn of(&self, session: SessionId) -> Vec<Arc<Tether>> {
        let table = lock(&self.held);
        let numbers = table.by_session.get(&session).into_iter().flatten();
        numbers.filter_map(|number| table.all.get(number)).map(Arc::clone).collect()
    }
}

fn session_of(admitted: &Admitted) -> Option<&Arc<Session>> {
    match &admitted.credential {
        Credential::Session(session) => Some(session),
        Credential::Token(_) => None,
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::task::Wake;

    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::AcqRel);
        }
    }

    /// R29: whoever waits is woken, also when the end came first; and WebSockets that still come when everything stops
    /// are told at once.
    #[test]
    fn whoever_is_tied_up_is_woken_when_it_ends() {
        let tethers = Arc::new(Tethers::default());
        let (socket, download) = (tethers.hold(None, true), tethers.hold(None, false));
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(Arc::clone(&woken));
        let context = Context::from_waker(&waker);
        assert_eq!(socket.tether().ending_or_wake(&context), None);
        assert_eq!(download.tether().ending_or_wake(&context), None);

        tethers.stop();

        assert_eq!(woken.0.load(Ordering::Acquire), 1);
        assert_eq!(socket.tether().ending_or_wake(&context), Some(Ending::Stopping));
        assert_eq!(download.tether().ending(), None, "it may finish");
        assert_eq!(tethers.hold(None, true).tether().ending(), Some(Ending::Stopping));
        assert!(tethers.any());
        drop((socket, download));
        assert!(!tethers.any());
    }
}
