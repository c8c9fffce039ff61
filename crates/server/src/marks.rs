//! Marks in the state directory: which logins are used up, for the process after this one and for those beside it.
//!
//! A mark is an empty file. Its name is a hash of the login's id, which is a hash of the login's `state`, so nobody learns
//! from it anything that could be redeemed. Of any number of processes that share the directory exactly one makes it,
//! which the file system sees to. The file's time is when the login is over for everybody and the mark may go.
//!
//! Only a login that this browser began is marked; and there is an end to their number, so nobody fills the disk. Where no mark can be made the sign-in goes on: this process still knows of it, and the
//! provider takes a code once (decision 9 says who would be harmed by either). That is counted, said once in the log,
//! and shown to whoever asks whether we are ready.
//!
//! Sources: open(2) on `O_EXCL`, which holds on NFS since its version 3.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use lychgate_gateway::hexadecimal;
use lychgate_gateway::login_state::LoginId;
use sha2::{Digest as _, Sha256};
use tokio::sync::Semaphore;

/// The directory below the state directory.
const DIRECTORY: &str = "spent-logins";
/// As many as a process remembers.
const MARKS_MAX: u64 = 100_000;
/// How many are made at one time. A disk that hangs keeps so many threads, and no more.
const AT_ONCE: usize = 16;
/// How long a sign-in waits for its mark.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often marks that are over are removed.
const PAUSE: Duration = Duration::from_secs(300);
/// How long a mark stays after its time: the clocks of others who share the directory may differ, and one that is being
/// made has the time of its making at first.
const GRACE: Duration = Duration::from_secs(120);
const NAME_BYTES: usize = 16;

/// How many logins could not be marked.
static UNMARKED: AtomicU64 = AtomicU64::new(0);

/// What became of marking a login.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mark {
    /// There was one: somebody else has used the login up.
    Found,
    /// There is one now, and it is ours.
    Made,
    /// There may be none.
    Missing,
}

/// Marks of one state directory. Clones share what they know.
#[derive(Clone, Debug)]
pub(crate) struct Marks(Option<Arc<Directory>>);

#[derive(Debug)]
struct Directory {
    path: PathBuf,
    most: u64,
    places: Arc<Semaphore>,
    /// As counted the last time, and made since.
    count: AtomicU64,
    failing: AtomicBool,
}

/// How many logins could not be marked, in this process.
pub(crate) fn unmarked() -> u64 {
    UNMARKED.load(Ordering::Relaxed)
}

impl Marks {
    /// Of this state directory. Nothing is done yet.
    pub(crate) fn below(state: &Path) -> Self {
        Self::up_to(MARKS_MAX, state)
    }

    /// No marks: nothing outlives this process anyway.
    #[cfg(any(feature = "demo", test))]
    pub(crate) fn nowhere() -> Self {
        Self(None)
    }

    fn up_to(most: u64, state: &Path) -> Self {
        Self(Some(Arc::new(Directory {
            path: state.join(DIRECTORY),
            most,
            places: Arc::new(Semaphore::new(AT_ONCE)),
            count: AtomicU64::new(0),
            failing: AtomicBool::new(false),
        })))
    }

    /// Whether the last login that was to be marked could not be.
    pub(crate) fn are_missing(&self) -> bool {
        self.0.as_ref().is_some_and(|directory| directory.failing.load(Ordering::Relaxed))
    }

    /// Marks a login as used up, for `time`. Of any number of callers in any number of processes at most one is told
    /// [`Mark::Made`].
    pub(crate) async fn make(&self, login: LoginId, time: Duration) -> Mark {
        let Some(directory) = &self.0 else { return Mark::Missing };
        let making = tokio::time::timeout(PATIENCE, Arc::clone(directory).make(login, time));
        let made = making.await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        directory.note(made.as_ref().err());
        made.unwrap_or_else(|_| {
            UNMARKED.fetch_add(1, Ordering::Relaxed);
            Mark::Missing
        })
    }

    /// Removes marks whose time is over, now and every few minutes.
    pub(crate) async fn look_after(self) {
        let Some(directory) = self.0 else { return };
        loop {
            let swept = Arc::clone(&directory);
            let swept = tokio::task::spawn_blocking(move || swept.sweep(SystemTime::now()));
            let swept = swept.await.unwrap_or_else(|panic| Err(io::Error::other(panic)));
            // That there are marks again is only known when one was made.
            if let Err(error) = swept {
                directory.note(Some(&error));
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}

impl Directory {
    async fn make(self: Arc<Self>, login: LoginId, time: Duration) -> io::Result<Mark> {
        let place = Arc::clone(&self.places).acquire_owned().await.map_err(io::Error::other)?;
        let making = move || {
            // Given back when the disk answers, not when somebody stops waiting for it.
            let _place = place;
            self.make_now(login, SystemTime::now() + time)
        };
        tokio::task::spawn_blocking(making).await.map_err(io::Error::other)?
    }

    fn make_now(&self, login: LoginId, until: SystemTime) -> io::Result<Mark> {
        let path = self.path.join(name(login));
        if self.count.load(Ordering::Relaxed) >= self.most {
            // One that somebody made before still counts.
            if path.exists() {
                return Ok(Mark::Found);
            }
            return Err(io::Error::other("there are as many marks as there may be"));
        }
        let made = match new_file(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.prepare()?;
                new_file(&path)
            }
            made => made,
        };
        match made {
            Ok(file) => {
                self.count.fetch_add(1, Ordering::Relaxed);
                file.set_modified(until)?;
                Ok(Mark::Made)
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(Mark::Found),
            Err(error) => Err(error),
        }
    }

    fn prepare(&self) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.path)
    }

    /// Removes what is over, and counts the rest. Whatever else is in the directory is left alone.
    fn sweep(&self, now: SystemTime) -> io::Result<()> {
        self.prepare()?;
        let is_mark = |name: &str| {
            name.len() == 2 * NAME_BYTES && name.bytes().all(|byte| byte.is_ascii_hexdigit())
        };
        let mut left = 0;
        for entry in fs::read_dir(&self.path)? {
            let entry = entry?;
            if !entry.file_name().to_str().is_some_and(is_mark) {
                continue;
            }
            // Somebody else may have removed it meanwhile.
            let Ok(until) = entry.metadata().and_then(|about| about.modified()) else { continue };
            let over = now.duration_since(until).is_ok_and(|since| since > GRACE);
            if !(over && fs::remove_file(entry.path()).is_ok()) {
                left += 1;
            }
        }
        self.count.store(left, Ordering::Relaxed);
        // What cannot be written to can often still be read.
        rustix::fs::access(&self.path, rustix::fs::Access::WRITE_OK)?;
        Ok(())
    }

    /// Says once that there are no marks, and once that there are again.
    fn note(&self, error: Option<&io::Error>) {
        let failed_before = self.failing.swap(error.is_some(), Ordering::Relaxed);
        match (error, failed_before) {
            (Some(error), false) => tracing::warn!(
                code = "W0512",
                path = %self.path.display(),
                %error,
                "which logins are used up is known to this process alone: it cannot be marked on the disk"
            ),
            (None, true) => tracing::info!(
                path = %self.path.display(),
                "logins that are used up are marked on the disk again"
            ),
            (Some(_), true) | (None, false) => {}
        }
    }
}

fn new_file(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

/// In lower case and digits alone, because not every file system tells `a` from `A`.
fn name(login: LoginId) -> String {
    let mut hash = Sha256::new();
    hash.update("lychgate spent login ");
    hash.update(login.text());
    let hash: [u8; 32] = hash.finalize().into();
    let (half, _) = hash.split_at(NAME_BYTES);
    hexadecimal::digits(half)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    const TIME: Duration = Duration::from_secs(600);

    /// A state directory of one's own for as long as a test lasts.
    struct State(PathBuf);

    impl State {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("marks-{name}-{}", std::process::id()));
            let _ = fs::remove_dir_all(&path);
            fs::create_dir(&path).unwrap();
            Self(path)
        }

        fn names(&self) -> Vec<String> {
            let entries = fs::read_dir(self.0.join(DIRECTORY)).unwrap();
            let mut names: Vec<_> =
                entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
            names.sort();
            names
        }
    }

    impl Drop for State {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn login(number: usize) -> LoginId {
        LoginId::of(&format!("state-{number}"))
    }

    fn sweep(marks: &Marks, later: Duration) {
        marks.0.as_ref().unwrap().sweep(SystemTime::now() + later).unwrap();
    }

    /// CB-31: of instances that share a state directory one uses a login up, however close together they are, and
    /// one that is started later knows of it.
    #[tokio::test]
    async fn of_instances_with_one_state_directory_one_uses_a_login_up() {
        let state = State::new("shared");
        let instances: Vec<_> = (0..4).map(|_| Marks::below(&state.0)).collect();

        let mut told = HashMap::new();
        for number in 0..32 {
            let asked = instances.iter().cloned();
            let asked = asked
                .map(|marks| tokio::spawn(async move { marks.make(login(number), TIME).await }));
            for made in asked.collect::<Vec<_>>() {
                *told.entry(format!("{:?}", made.await.unwrap())).or_insert(0) += 1;
            }
        }

        assert_eq!(told, HashMap::from([("Found".to_owned(), 96), ("Made".to_owned(), 32)]));
        let after_a_restart = Marks::below(&state.0);
        assert_eq!(after_a_restart.make(login(7), TIME).await, Mark::Found);
        assert_eq!(after_a_restart.make(login(32), TIME).await, Mark::Made);
    }

    /// CB-31, CB-62: a mark is empty, its owner's alone, and says nothing.
    #[tokio::test]
    async fn a_mark_says_nothing_to_anybody() {
        let state = State::new("silent");
        Marks::below(&state.0).make(login(1), TIME).await;

        let [name] = <[String; 1]>::try_from(state.names()).unwrap();
        assert!(!name.contains("state-1") && !name.contains(&login(1).text()), "{name}");
        let directory = state.0.join(DIRECTORY);
        let about = fs::metadata(directory.join(name)).unwrap();
        assert_eq!((about.len(), about.permissions().mode() & 0o777), (0, 0o600));
        assert_eq!(fs::metadata(directory).unwrap().permissions().mode() & 0o777, 0o700);
    }

    /// CB-31: a mark lasts for the time of its login, and then goes; what is not ours stays.
    #[tokio::test]
    async fn marks_go_when_their_time_is_over() {
        let state = State::new("over");
        let marks = Marks::below(&state.0);
        marks.make(login(1), TIME).await;
        marks.make(login(2), 2 * TIME).await;
        fs::write(state.0.join(DIRECTORY).join("a-note"), "of the operator's").unwrap();

        sweep(&marks, TIME);
        assert_eq!(state.names().len(), 3);
        sweep(&marks, TIME + 2 * GRACE);
        assert_eq!(state.names().len(), 2);
        assert_eq!(marks.make(login(2), TIME).await, Mark::Found);
        sweep(&marks, 2 * TIME + 2 * GRACE);
        assert_eq!(state.names(), ["a-note"]);
    }

    /// CB-31: there is an end to their number, and those that are over make room.
    #[tokio::test]
    async fn there_are_never_more_marks_than_there_may_be() {
        let state = State::new("full");
        let marks = Marks::up_to(3, &state.0);
        for number in 0..8 {
            let expected = if number < 3 { Mark::Made } else { Mark::Missing };
            assert_eq!(marks.make(login(number), TIME).await, expected, "{number}");
        }
        assert_eq!(state.names().len(), 3);
        assert_eq!(marks.make(login(0), TIME).await, Mark::Found);

        sweep(&marks, TIME + 2 * GRACE);

        assert_eq!(marks.make(login(8), TIME).await, Mark::Made);
        assert!(!marks.are_missing());
    }

    /// CB-31, R36: where there is no place for marks nobody is kept out, and it can be seen; when there is one, they
    /// are made.
    #[tokio::test]
    async fn without_a_place_for_marks_sign_ins_go_on() {
        let state = State::new("none");
        let place = state.0.join("state");
        fs::write(&place, "no directory").unwrap();
        let marks = Marks::below(&place);
        let before = unmarked();

        assert_eq!(marks.make(login(1), TIME).await, Mark::Missing);
        assert!(marks.are_missing() && unmarked() > before);

        fs::remove_file(&place).unwrap();
        assert_eq!(marks.make(login(1), TIME).await, Mark::Made);
        assert!(!marks.are_missing());
        assert_eq!(Marks::nowhere().make(login(1), TIME).await, Mark::Missing);
    }
}
