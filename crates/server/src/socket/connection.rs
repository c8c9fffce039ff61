//! A client's connection, as the filters and its socket tell each other where it stands.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use lychgate_gateway::forwarded::Peer;
use lychgate_gateway::memory::Memory;
use pingora_core::protocols::Digest;

use crate::listener::{Entrance, Idleness};
use crate::tether::Tether;

/// The version of HTTP that a connection speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// HTTP/1.1, or 1.0.
    Http1,
    /// HTTP/2.
    Http2,
}

/// A client's connection, as the filters see it.
#[derive(Debug)]
pub(crate) struct Connection {
    /// Where it came in.
    pub(crate) entrance: Arc<Entrance>,
    /// Who is at the other end.
    pub(crate) peer: Peer,
    /// Whether it waits for its next request; who does may have to give way.
    pub(crate) idleness: Arc<Idleness>,
    /// What its last request's cookies came to.
    pub(crate) memory: Memory,
    pub(super) protocol: Protocol,
    stage: AtomicU8,
    /// In milliseconds, how long an application may be silent; zero for as long as it likes.
    patience: AtomicU64,
    /// Whether the time of an application begins, and not with anything that is said.
    begins_to_wait: AtomicBool,
    /// Whether an application was silent for longer.
    pub(super) waited_in_vain: AtomicBool,
    pub(super) lingers: AtomicBool,
    /// Whether there is a tether, so that no request but those that have one looks for it.
    pub(super) tied: AtomicBool,
    pub(super) tether: Mutex<Option<Arc<Tether>>>,
}

/// Where a connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Nothing of the next request has arrived.
    Idle,
    /// A header block is awaited or arriving, and no filter has been asked yet.
    Head,
    /// A request is being served.
    Busy,
}

impl Connection {
    /// A connection that has just been accepted.
    pub(crate) fn new(entrance: Arc<Entrance>, peer: Peer, protocol: Protocol) -> Self {
        let stage = AtomicU8::new(Stage::Head as u8);
        Self {
            entrance,
            peer,
            idleness: Arc::default(),
            memory: Memory::default(),
            protocol,
            stage,
            patience: AtomicU64::new(0),
            begins_to_wait: AtomicBool::new(false),
            waited_in_vain: AtomicBool::new(false),
            lingers: AtomicBool::new(false),
            tied: AtomicBool::new(false),
            tether: Mutex::default(),
        }
    }

    /// Whether it ever waits for a request as HTTP/1 does.
    pub(crate) fn can_be_idle(&self) -> bool {
        self.protocol == Protocol::Http1
    }

    /// The connection of a request.
    pub(crate) fn of(digest: &Digest) -> Option<&Self> {
        let shared = digest.proxy_digest.as_ref()?.user_data.as_ref()?;
        shared.downcast_ref::<Arc<Self>>().map(Arc::as_ref)
    }

    /// A header block has been read whole.
    pub(crate) fn request_begins(&self) {
        self.enter(Stage::Busy);
    }

    /// From now on an application may be silent for `patience` until its answer begins, and between any two pieces of
    /// it; whether this socket sees to that. Over HTTP/2 it carries many answers, and does not.
    pub(crate) fn watches(&self, patience: Duration) -> bool {
        let watches = self.protocol == Protocol::Http1;
        if watches {
            let milliseconds = u64::try_from(patience.as_millis()).unwrap_or(u64::MAX);
            self.patience.store(milliseconds.max(1), Ordering::Release);
            self.begins_to_wait.store(true, Ordering::Release);
        }
        watches
    }

    /// How long the application may be silent, if that is watched here.
    pub(super) fn patience(&self) -> Option<Duration> {
        let milliseconds = self.patience.load(Ordering::Acquire);
        (milliseconds > 0).then(|| Duration::from_millis(milliseconds))
    }

    /// Whether an application is asked that was not when this was asked last.
    pub(super) fn begins_to_wait(&self) -> bool {
        // Only one task asks, so that nothing is missed between looking and taking.
        self.begins_to_wait.load(Ordering::Acquire)
            && self.begins_to_wait.swap(false, Ordering::AcqRel)
    }

    /// Whether the application of the request under way was silent for too long.
    pub(crate) fn waited_in_vain(&self) -> bool {
        self.waited_in_vain.load(Ordering::Acquire)
    }

    /// A response has been written whole.
    pub(crate) fn request_ends(&self) {
        if self.protocol == Protocol::Http1 {
            self.patience.store(0, Ordering::Release);
            self.untie();
            self.enter(Stage::Idle);
        }
    }

    /// The connection will be closed although its client may still be sending.
    pub(crate) fn read_on_after_close(&self) {
        self.lingers.store(true, Ordering::Release);
    }

    pub(super) fn stage(&self) -> Stage {
        match self.stage.load(Ordering::Acquire) {
            stage if stage == Stage::Idle as u8 => Stage::Idle,
            stage if stage == Stage::Head as u8 => Stage::Head,
            _ => Stage::Busy,
        }
    }

    pub(super) fn enter(&self, stage: Stage) {
        self.stage.store(stage as u8, Ordering::Release);
    }
}
