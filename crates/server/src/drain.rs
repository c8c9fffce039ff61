//! Ending without cutting anybody off.
//!
//! Requests under way are counted, so that a process with nothing to do ends at once and one with much to do
//! ends as soon as it has done it. Connections without a request are closed by their own tasks when they
//! are told to stop; those of clients that do not listen are not waited for.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

/// The requests under way. Clones count together.
#[derive(Clone, Debug, Default)]
pub(crate) struct Drain(Arc<Counter>);

#[derive(Debug, Default)]
struct Counter {
    requests: AtomicUsize,
    finished: Notify,
}

/// A request under way, until it is dropped.
#[derive(Debug)]
pub(crate) struct UnderWay(Arc<Counter>);

impl Drain {
    /// Counts a request.
    pub(crate) fn begin(&self) -> UnderWay {
        self.0.requests.fetch_add(1, Ordering::Relaxed);
        UnderWay(Arc::clone(&self.0))
    }

    /// How many requests are under way.
    pub(crate) fn requests(&self) -> usize {
        self.0.requests.load(Ordering::Relaxed)
    }

    /// Waits until no request is under way; at once if there is none.
    pub(crate) async fn finished(&self) {
        loop {
            let finished = self.0.finished.notified();
            tokio::pin!(finished);
            // Registered before the count is read, so an end between the two is not missed.
            finished.as_mut().enable();
            if self.requests() == 0 {
                return;
            }
            finished.await;
        }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        if self.0.requests.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.finished.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_idle_process_has_nothing_to_wait_for() {
        Drain::default().finished().await;
    }

    #[tokio::test]
    async fn the_wait_ends_with_the_last_request() {
        let drain = Drain::default();
        let (first, second) = (drain.begin(), drain.clone().begin());
        let waiting = tokio::spawn({
            let drain = drain.clone();
            async move { drain.finished().await }
        });

        drop(first);
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        assert_eq!(drain.requests(), 1);

        drop(second);
        waiting.await.unwrap();
    }
}
