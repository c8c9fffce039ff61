//! How many questions one provider is asked at a time.
//!
//! A provider that has become slow would otherwise collect every sign-in of the morning: each holds a connection of
//! its visitor, one of ours and the memory of both. So only so many questions are out at once, some wait for
//! their turn for a few seconds, and whoever comes then is told at once to try again later. Nobody who is signed in
//! waits here, unless their provider has to be asked about them.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};

/// For one provider, or for one purpose at it.
#[derive(Debug)]
pub(super) struct Turnstile {
    turns: Semaphore,
    waiting: AtomicUsize,
    waiting_max: usize,
}

/// How long anybody waits for a turn.
const PATIENCE: Duration = Duration::from_secs(5);

/// There is no turn to be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it has not answered enough of what it was asked already")]
pub(super) struct Crowded;

/// Somebody who waits, counted until this is dropped.
struct Waiting<'a>(&'a AtomicUsize);

impl Turnstile {
    /// So many at once, and so many who wait.
    pub(super) fn new(at_once: usize, waiting_max: usize) -> Self {
        Self { turns: Semaphore::new(at_once), waiting: AtomicUsize::new(0), waiting_max }
    }

    /// A turn, which lasts until the result is dropped.
    ///
    /// # Errors
    /// [`Crowded`], at once when enough others wait, or after 5 s.
    pub(super) async fn turn(&self) -> Result<SemaphorePermit<'_>, Crowded> {
        if let Ok(turn) = self.turns.try_acquire() {
            return Ok(turn);
        }
        let waiting = Waiting(&self.waiting);
        if self.waiting.fetch_add(1, Ordering::Relaxed) >= self.waiting_max {
            return Err(Crowded);
        }
        let turn = tokio::time::timeout(PATIENCE, self.turns.acquire()).await;
        drop(waiting);
        turn.ok().and_then(Result::ok).ok_or(Crowded)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    /// R8: of a crowd some are asked for, some wait, and the others are told.
    #[tokio::test(start_paused = true)]
    async fn a_crowd_is_let_through_in_turns_and_its_end_is_sent_away_at_once() {
        let turnstile = Turnstile::new(2, 1);
        let first = turnstile.turn().await.unwrap();
        let _second = turnstile.turn().await.unwrap();
        let begin = Instant::now();

        let third = async {
            let turn = turnstile.turn().await;
            (turn.is_ok(), begin.elapsed())
        };
        let others = async {
            tokio::task::yield_now().await;
            let refused = turnstile.turn().await.is_err();
            let at_once = begin.elapsed();
            tokio::time::sleep(Duration::from_secs(2)).await;
            drop(first);
            (refused, at_once)
        };
        let (third, others) = tokio::join!(third, others);

        assert_eq!(others, (true, Duration::ZERO));
        assert_eq!(third, (true, Duration::from_secs(2)));
    }

    /// R8: nobody waits for ever, and who gave up takes no place.
    #[tokio::test(start_paused = true)]
    async fn who_waits_in_vain_leaves_and_makes_room() {
        let turnstile = Turnstile::new(1, 1);
        let first = turnstile.turn().await.unwrap();
        let begin = Instant::now();

        assert!(turnstile.turn().await.is_err());
        assert_eq!(begin.elapsed(), PATIENCE);
        let gave_up = tokio::time::timeout(Duration::from_secs(1), turnstile.turn()).await;
        assert!(gave_up.is_err());
        assert_eq!(turnstile.waiting.load(Ordering::Relaxed), 0);

        drop(first);
        assert!(turnstile.turn().await.is_ok());
    }
}
