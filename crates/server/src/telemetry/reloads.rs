//! What is counted of reloads.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

/// What became of a reload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReloadOutcome {
    /// The configuration is wrong, or something that it needs cannot be had. The one before goes on.
    Failure,
    /// Another configuration is in use.
    Success,
    /// Nothing that was read before has changed.
    Unchanged,
}

impl ReloadOutcome {
    pub(super) const ALL: [Self; 3] = [Self::Failure, Self::Success, Self::Unchanged];

    /// As in metrics and `/status`.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Failure => "failure",
            Self::Success => "success",
            Self::Unchanged => "unchanged",
        }
    }
}

/// The counts, which outlive every configuration.
#[derive(Debug)]
pub(crate) struct Reloads {
    pub(super) outcomes: [AtomicU64; ReloadOutcome::ALL.len()],
    pub(super) successful: AtomicU64,
    pub(super) success_at: AtomicU64,
    pub(super) restart_needed: AtomicU64,
}

impl Reloads {
    /// The configuration that the program was `started` with counts as a success.
    pub(super) fn new(started: SystemTime) -> Self {
        Self {
            outcomes: Default::default(),
            successful: AtomicU64::new(1),
            success_at: AtomicU64::new(seconds(started)),
            restart_needed: AtomicU64::new(0),
        }
    }

    /// Counts one.
    pub(crate) fn ended(&self, outcome: ReloadOutcome, at: SystemTime) {
        let counted = ReloadOutcome::ALL.iter().zip(&self.outcomes);
        for (_, count) in counted.filter(|(counted, _)| **counted == outcome) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        let successful = outcome != ReloadOutcome::Failure;
        self.successful.store(u64::from(successful), Ordering::Relaxed);
        if successful {
            self.success_at.store(seconds(at), Ordering::Relaxed);
        }
    }

    /// Says whether something waits for a restart.
    pub(crate) fn restart_is_needed(&self, needed: bool) {
        self.restart_needed.store(u64::from(needed), Ordering::Relaxed);
    }
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
}
