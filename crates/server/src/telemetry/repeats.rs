//! The same trouble many times is told a few times, and then counted (T-23).

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use lychgate_gateway::reason::Reason;

/// How long a window is.
const WINDOW: Duration = Duration::from_secs(60);

/// How often one thing is told within a window.
const TOLD_MAX: u64 = 10;

/// How often each reason came up lately.
#[derive(Debug)]
pub(super) struct Repeats(Vec<Cell>);

#[derive(Debug, Default)]
struct Cell {
    /// The window's number since the epoch.
    window: AtomicU64,
    seen: AtomicU64,
}

/// What to do about one occurrence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Telling {
    /// Say it. Before, `left_out` of its kind were not said.
    Tell {
        /// How many, perhaps none.
        left_out: u64,
    },
    /// It was said often enough.
    LeaveOut,
}

impl Default for Repeats {
    fn default() -> Self {
        // One for each reason, and one for what has none.
        Self((0..=Reason::ALL.len()).map(|_| Cell::default()).collect())
    }
}

impl Repeats {
    /// Whether to tell of `reason` at `now`. Two visits at the same moment may both be the first of a window;
    /// then one line more is written.
    pub(super) fn again(&self, reason: Option<Reason>, now: SystemTime) -> Telling {
        let at = Reason::ALL.iter().position(|known| Some(*known) == reason);
        let Some(cell) = at.map_or_else(|| self.0.last(), |at| self.0.get(at)) else {
            return Telling::Tell { left_out: 0 };
        };
        let since_epoch = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let window = since_epoch.as_secs() / WINDOW.as_secs();
        if cell.window.swap(window, Ordering::Relaxed) != window {
            let before = cell.seen.swap(1, Ordering::Relaxed);
            return Telling::Tell { left_out: before.saturating_sub(TOLD_MAX) };
        }
        if cell.seen.fetch_add(1, Ordering::Relaxed) < TOLD_MAX {
            Telling::Tell { left_out: 0 }
        } else {
            Telling::LeaveOut
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_repeats_is_told_ten_times_a_minute_and_then_counted() {
        let repeats = Repeats::default();
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let reason = Some(Reason::LoginExpired);

        let told: Vec<_> = (0..25).map(|second| repeats.again(reason, at(second))).collect();

        assert!(told[..10].iter().all(|telling| *telling == Telling::Tell { left_out: 0 }));
        assert!(told[10..].iter().all(|telling| *telling == Telling::LeaveOut));
        assert_eq!(repeats.again(Some(Reason::NotFound), at(30)), Telling::Tell { left_out: 0 });
        assert_eq!(repeats.again(None, at(30)), Telling::Tell { left_out: 0 });
        assert_eq!(repeats.again(reason, at(60)), Telling::Tell { left_out: 15 });
        assert_eq!(repeats.again(reason, at(120)), Telling::Tell { left_out: 0 });
    }
}
