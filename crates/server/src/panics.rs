//! Mistakes of our own: counted, written down, and kept to the request that met them.
//!
//! A panic in the work on a request is that request's trouble, which is answered with 500
//! ([`caught`]). One in the library around it ends the connection. In either case the process goes on, other
//! visitors notice nothing, and the operator is told: by a line in the log, and by a counter that should stay 0.

use std::any::Any;
use std::panic::{self, AssertUnwindSafe, PanicHookInfo};
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;

/// The panics of this process.
static PANICS: AtomicU64 = AtomicU64::new(0);

/// The work ended in a panic, which has been counted and written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Panicked;

/// From now on panics are counted, and written to the log instead of past it.
pub(crate) fn count() {
    panic::set_hook(Box::new(|panic: &PanicHookInfo<'_>| {
        PANICS.fetch_add(1, Ordering::Relaxed);
        let place = panic.location().map(ToString::to_string);
        tracing::error!(place, cause = words(panic.payload()), "a mistake of this program");
    }));
}

/// How many there were.
pub(crate) fn counted() -> u64 {
    PANICS.load(Ordering::Relaxed)
}

/// Does `work`, and comes back from a panic in it.
///
/// What `work` was changing may be half changed then. Whoever asks ends the request, and nothing of it is used but to
/// say so.
pub(crate) async fn caught<T>(work: impl Future<Output = T>) -> Result<T, Panicked> {
    let mut work = pin!(work);
    std::future::poll_fn(move |context| {
        match panic::catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(context))) {
            Ok(poll) => poll.map(Ok),
            Err(_) => Poll::Ready(Err(Panicked)),
        }
    })
    .await
}

fn words(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("no words")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// R37.
    #[tokio::test]
    async fn a_panic_is_an_outcome_and_anything_else_is_passed_on() {
        let calm = caught(async {
            tokio::task::yield_now().await;
            7
        });
        let wild = caught(async {
            tokio::task::yield_now().await;
            panic!("on purpose")
        });

        assert_eq!(calm.await, Ok(7));
        assert_eq!(wild.await, Err::<(), _>(Panicked));
    }

    #[test]
    fn the_words_of_a_panic_are_kept() {
        assert_eq!(words(&"plain"), "plain");
        assert_eq!(words(&"made".to_owned()), "made");
        assert_eq!(words(&7), "no words");
    }
}
