//! Work that takes milliseconds of a processor, done where it holds up nobody else.
//!
//! A signature with an RSA key of 4096 bits takes several milliseconds, in which a thread of the runtime would
//! answer a hundred signed-in requests. So a few threads of their own do such work, at a lower priority: when
//! the processors are busy, sign-ins take longer and everybody else does not notice. What waits is bounded;
//! beyond that a visit waits for room without taking part in the queue, and the client going away ends it
//! (how many logins one client may begin is `login_starts`'s to say).
//!
//! Sources: nice(2): on Linux the value is that of a thread.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Semaphore, oneshot};

/// How much work may wait or be under way.
const JOBS_MAX: usize = 256;
/// Halfway from ordinary to last.
#[cfg(target_os = "linux")]
const NICE: i32 = 10;

type Job = Box<dyn FnOnce() + Send>;

/// The threads, for as long as somebody holds this.
#[derive(Debug)]
pub(crate) struct Workers {
    jobs: Sender<Job>,
    room: Arc<Semaphore>,
}

impl Workers {
    /// Starts a thread for every two processors, at least one.
    pub(crate) fn start() -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let (jobs, waiting) = mpsc::channel();
        let waiting = Arc::new(Mutex::new(waiting));
        for _ in 0..processors.div_ceil(2) {
            let waiting = Arc::clone(&waiting);
            let started = std::thread::Builder::new()
                .name("lychgate-work".to_owned())
                .spawn(move || work(&waiting));
            if let Err(error) = started {
                // The runtime's own threads do it then.
                tracing::warn!(%error, "a thread for signatures cannot be started");
            }
        }
        Self { jobs, room: Arc::new(Semaphore::new(JOBS_MAX)) }
    }

    /// Runs `job` on one of the threads. A panic in it is the caller's.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> T {
        // The semaphore is never closed. The room is given back when the work is done, not when somebody stops
        // waiting for it.
        let room = Arc::clone(&self.room).acquire_owned().await.ok();
        let (done, outcome) = oneshot::channel();
        let job: Job = Box::new(move || {
            let result = catch_unwind(AssertUnwindSafe(job));
            drop(room);
            // Whoever asked may be gone.
            let _ = done.send(result);
        });
        if let Err(mpsc::SendError(job)) = self.jobs.send(job) {
            job();
        }
        let lost = |_| Err(Box::new("the work was lost") as Box<dyn Any + Send>);
        outcome.await.unwrap_or_else(lost).unwrap_or_else(|panic| resume_unwind(panic))
    }
}

fn work(waiting: &Mutex<Receiver<Job>>) {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::nice(NICE) {
        tracing::debug!(%error, "signatures are made at the ordinary priority");
    }
    loop {
        // Taken out in a statement of its own, so that the next one can be while this one is done.
        let job = waiting.lock().unwrap_or_else(PoisonError::into_inner).recv();
        match job {
            Ok(job) => job(),
            Err(mpsc::RecvError) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// R38.
    #[tokio::test]
    async fn work_is_done_on_a_thread_of_its_own() {
        let workers = Workers::start();

        let (sum, thread) =
            workers.run(|| (1 + 1, std::thread::current().name().map(str::to_owned))).await;

        assert_eq!(sum, 2);
        assert_eq!(thread.as_deref(), Some("lychgate-work"));
    }

    /// R38.
    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn its_thread_gives_way_to_others_and_only_its_thread() {
        let workers = Workers::start();

        let priority = || rustix::process::getpriority_process(None).unwrap();
        let (here, there) = (priority(), workers.run(priority).await);

        assert!(there > here, "{there} {here}");
        assert_eq!(priority(), here);
    }

    /// R38.
    #[tokio::test]
    async fn more_work_than_there_is_room_for_is_done_in_the_end() {
        let workers = Arc::new(Workers::start());

        let asked: Vec<_> = (0..3 * JOBS_MAX)
            .map(|number| {
                let workers = Arc::clone(&workers);
                tokio::spawn(async move { workers.run(move || number).await })
            })
            .collect();
        for (number, one) in asked.into_iter().enumerate() {
            assert_eq!(one.await.unwrap(), number);
        }

        assert_eq!(workers.room.available_permits(), JOBS_MAX);
    }

    /// R37.
    #[tokio::test]
    async fn a_panic_reaches_whoever_asked_and_the_thread_goes_on() {
        let workers = Arc::new(Workers::start());

        for _ in 0..100 {
            let asked = Arc::clone(&workers);
            let outcome =
                tokio::spawn(async move { asked.run(|| -> usize { panic!("on purpose") }).await });
            assert!(outcome.await.unwrap_err().is_panic());
        }

        assert_eq!(workers.run(|| 7).await, 7);
    }
}
