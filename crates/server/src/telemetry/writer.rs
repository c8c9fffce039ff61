//! A log file that never makes a visitor wait.
//!
//! Lines go into a bounded queue, and a thread of their own writes them. When the queue is full, or when
//! the file takes nothing (a full disk, a closed pipe), lines are lost, counted, and the loss is written down
//! as soon as there is room. Nothing that happens to a log ends the program.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, SyncSender, TrySendError};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use lychgate_config::config::LogOutput;

use crate::rfc3339;

/// How many lines may wait. At a few hundred bytes each, some megabytes.
const QUEUE_LINES_MAX: usize = 8192;

/// How many bytes are handed to the operating system at once.
const BATCH_BYTES: usize = 64 * 1024;

/// How long the thread lets lines gather once one has come. Those that follow within it neither wake the thread nor
/// cost a write each, which is dearer than the line itself.
const GATHERING: Duration = Duration::from_millis(5);

/// The near end of a log.
#[derive(Debug)]
pub(super) struct Writer {
    queue: SyncSender<Message>,
    lost: Arc<Lost>,
    reopen: Arc<AtomicBool>,
}

/// Lines that were not written.
#[derive(Debug, Default)]
pub(super) struct Lost {
    total: AtomicU64,
    unreported: AtomicU64,
}

enum Message {
    Line(String),
    /// Everything before it is written when the sender hears of it.
    Flush(mpsc::Sender<()>),
    /// Something was asked for elsewhere.
    Wake,
}

/// Opens the log, at the start and when it is asked to begin a new file.
type Open = Box<dyn FnMut() -> io::Result<Box<dyn Write + Send>> + Send>;

impl Writer {
    /// A log at `output`, or `None` for nowhere. Losses are counted in `lost`.
    ///
    /// # Errors
    /// When the file cannot be opened or the thread cannot be started.
    pub(super) fn new(output: &LogOutput, lost: &Arc<Lost>) -> io::Result<Option<Self>> {
        let open: Open = match output {
            LogOutput::None => return Ok(None),
            LogOutput::File(path) => {
                let path = path.clone();
                Box::new(move || Ok(Box::new(open_file(&path)?)))
            }
            LogOutput::Stderr => Box::new(|| Ok(Box::new(io::stderr()))),
            LogOutput::Stdout => Box::new(|| Ok(Box::new(io::stdout()))),
        };
        Self::start(open, Arc::clone(lost), QUEUE_LINES_MAX).map(Some)
    }

    fn start(mut open: Open, lost: Arc<Lost>, queue_lines_max: usize) -> io::Result<Self> {
        let sink = open()?;
        let (queue, messages) = mpsc::sync_channel(queue_lines_max);
        let reopen = Arc::new(AtomicBool::new(false));
        let far_end = FarEnd {
            open,
            sink,
            torn: false,
            failing: false,
            lost: Arc::clone(&lost),
            reopen: Arc::clone(&reopen),
        };
        thread::Builder::new().name("log".to_owned()).spawn(move || far_end.run(&messages))?;
        Ok(Self { queue, lost, reopen })
    }

    /// Hands over a line, without its end. Returns at once, whatever becomes of it.
    pub(super) fn line(&self, line: String) {
        if self.queue.try_send(Message::Line(line)).is_err() {
            self.lost.add(1);
        }
    }

    /// Begins a new file of the same name, for whoever moved the old one away.
    pub(super) fn reopen(&self) {
        self.reopen.store(true, Ordering::Release);
        // A full queue means that the thread is awake.
        let _ = self.queue.try_send(Message::Wake);
    }

    /// Waits until everything that was handed over is written, but no longer than `patience`.
    pub(super) fn flush(&self, patience: Duration) {
        let deadline = Instant::now() + patience;
        let (done, written) = mpsc::channel();
        let mut message = Message::Flush(done);
        loop {
            match self.queue.try_send(message) {
                Ok(()) => break,
                Err(TrySendError::Disconnected(_)) => return,
                Err(TrySendError::Full(_)) if Instant::now() >= deadline => return,
                Err(TrySendError::Full(returned)) => message = returned,
            }
            thread::sleep(Duration::from_millis(1));
        }
        // An error means that patience has ended.
        let _ = written.recv_timeout(deadline.saturating_duration_since(Instant::now()));
    }
}

impl Lost {
    /// How many lines were lost since the start.
    pub(super) fn total(&self) -> u64 {
        self.total.load(Ordering::Relaxed)
    }

    fn add(&self, lines: u64) {
        self.total.fetch_add(lines, Ordering::Relaxed);
        self.unreported.fetch_add(lines, Ordering::Relaxed);
    }
}

/// The end that writes.
struct FarEnd {
    open: Open,
    sink: Box<dyn Write + Send>,
    /// The last line may have been written in part.
    torn: bool,
    /// The last write failed, and the operator knows.
    failing: bool,
    lost: Arc<Lost>,
    reopen: Arc<AtomicBool>,
}

impl FarEnd {
    fn run(mut self, messages: &Receiver<Message>) {
        let mut caught_up = true;
        while let Ok(first) = messages.recv() {
            if caught_up && matches!(first, Message::Line(_)) {
                thread::sleep(GATHERING);
            }
            let mut batch = String::new();
            let mut lines = 0;
            let mut waiting = Vec::new();
            let mut next = Some(first);
            while let Some(message) = next {
                match message {
                    Message::Line(line) => {
                        batch.push_str(&line);
                        batch.push('\n');
                        lines += 1;
                    }
                    Message::Flush(done) => waiting.push(done),
                    Message::Wake => {}
                }
                next = if batch.len() < BATCH_BYTES { messages.try_recv().ok() } else { None };
            }
            caught_up = batch.len() < BATCH_BYTES;
            if self.reopen.swap(false, Ordering::AcqRel) {
                self.reopen();
            }
            self.write(batch, lines);
            for done in waiting {
                // Nobody listens any more when patience has ended.
                let _ = done.send(());
            }
        }
    }

    fn write(&mut self, mut batch: String, lines: u64) {
        let lost = self.lost.unreported.swap(0, Ordering::Relaxed);
        if lost > 0 {
            let time = rfc3339::milliseconds(SystemTime::now());
            batch.push_str(&format!("{{\"time\":\"{time}\",\"lines_lost\":{lost}}}\n"));
        }
        if batch.is_empty() {
            return;
        }
        if self.torn {
            batch.insert(0, '\n');
        }
        let written = self.sink.write_all(batch.as_bytes()).and_then(|()| self.sink.flush());
        self.torn = written.is_err();
        if let Err(error) = written {
            self.lost.add(lines);
            self.lost.unreported.fetch_add(lost, Ordering::Relaxed);
            if !self.failing {
                tracing::error!(%error, "a log cannot be written; lines are being lost");
            }
            self.failing = true;
        } else if self.failing {
            tracing::info!("a log can be written again");
            self.failing = false;
        }
    }

    fn reopen(&mut self) {
        match (self.open)() {
            Ok(sink) => {
                self.sink = sink;
                self.torn = false;
            }
            // The old file is better than none.
            Err(error) => tracing::error!(%error, "a log cannot be opened anew"),
        }
    }
}

/// Opens a file for lines at its end. The operator's group may read it, and nobody else.
fn open_file(path: &Path) -> io::Result<std::fs::File> {
    let opened = OpenOptions::new().append(true).create(true).mode(0o640).open(path);
    opened
        .map_err(|error| io::Error::new(error.kind(), CannotOpen { path: path.to_owned(), error }))
}

#[derive(Debug, thiserror::Error)]
#[error("the log `{}` cannot be opened", path.display())]
struct CannotOpen {
    path: PathBuf,
    #[source]
    error: io::Error,
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;
    use std::sync::{Mutex, PoisonError};

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(30);

    /// A directory of this test alone, removed when the test ends.
    struct Directory(PathBuf);

    impl Directory {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("writer-{name}-{}", std::process::id()));
            fs::create_dir_all(&path).unwrap();
            Self(path)
        }
    }

    impl Drop for Directory {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn lines_are_appended_in_order_to_a_file_that_others_cannot_read() {
        let directory = Directory::new("append");
        let path = directory.0.join("access.jsonl");
        fs::write(&path, "before\n").unwrap();
        let writer = Writer::new(&LogOutput::File(path.clone()), &Arc::default()).unwrap().unwrap();

        for line in ["one", "two", "three"] {
            writer.line(line.to_owned());
        }
        writer.flush(PATIENCE);

        assert_eq!(fs::read_to_string(&path).unwrap(), "before\none\ntwo\nthree\n");
        let fresh = directory.0.join("audit.jsonl");
        let _writer = Writer::new(&LogOutput::File(fresh.clone()), &Arc::default()).unwrap();
        assert_eq!(fs::metadata(fresh).unwrap().permissions().mode() & 0o137, 0);
    }

    #[test]
    fn a_file_that_was_moved_away_is_begun_anew_on_request() {
        let directory = Directory::new("reopen");
        let (path, moved) = (directory.0.join("log"), directory.0.join("log.1"));
        let writer = Writer::new(&LogOutput::File(path.clone()), &Arc::default()).unwrap().unwrap();
        writer.line("old".to_owned());
        writer.flush(PATIENCE);

        fs::rename(&path, &moved).unwrap();
        writer.reopen();
        writer.line("new".to_owned());
        writer.flush(PATIENCE);

        assert_eq!(fs::read_to_string(moved).unwrap(), "old\n");
        assert_eq!(fs::read_to_string(path).unwrap(), "new\n");
    }

    /// R35.
    #[test]
    fn a_full_disk_loses_lines_that_are_counted_and_nothing_else() {
        let lost = Arc::default();
        let output = LogOutput::File(PathBuf::from("/dev/full"));
        let writer = Writer::new(&output, &lost).unwrap().unwrap();

        for _ in 0..3 {
            writer.line("lost".to_owned());
            writer.flush(PATIENCE);
        }

        assert_eq!(lost.total(), 3);
    }

    #[test]
    fn a_file_that_cannot_be_opened_is_named() {
        let output = LogOutput::File(PathBuf::from("/nonexistent/access.jsonl"));

        let error = Writer::new(&output, &Arc::default()).unwrap_err();

        assert_eq!(error.to_string(), "the log `/nonexistent/access.jsonl` cannot be opened");
    }

    /// A sink that takes nothing until it is let go, and then fails once half-way.
    #[derive(Clone)]
    struct Stubborn {
        written: Arc<Mutex<Vec<u8>>>,
        gate: Arc<Mutex<()>>,
        failures: Arc<AtomicU64>,
    }

    impl Write for Stubborn {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _gate = self.gate.lock().unwrap_or_else(PoisonError::into_inner);
            let failures = &self.failures;
            let failing = failures
                .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
            if failing.is_ok() {
                self.written.lock().unwrap().extend_from_slice(&bytes[..2]);
                return Err(io::Error::from(io::ErrorKind::BrokenPipe));
            }
            self.written.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// R35.
    #[test]
    fn a_slow_log_never_blocks_and_says_afterwards_how_much_was_lost() {
        let gate = Arc::new(Mutex::new(()));
        let sink =
            Stubborn { written: Arc::default(), gate: Arc::clone(&gate), failures: Arc::default() };
        let lost = Arc::new(Lost::default());
        let opened = sink.clone();
        let open: Open = Box::new(move || Ok(Box::new(opened.clone())));
        let writer = Writer::start(open, Arc::clone(&lost), 4).unwrap();

        let closed = gate.lock().unwrap();
        for number in 0..100 {
            writer.line(format!("{number}"));
        }
        drop(closed);
        writer.flush(PATIENCE);
        writer.line("after".to_owned());
        writer.flush(PATIENCE);

        let text = String::from_utf8(sink.written.lock().unwrap().clone()).unwrap();
        let reported: u64 = text
            .lines()
            .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
            .filter_map(|line| line["lines_lost"].as_u64())
            .sum();
        let written = text.lines().filter(|line| line.parse::<u64>().is_ok()).count();
        assert!(lost.total() > 0);
        assert_eq!(reported, lost.total());
        assert_eq!(written as u64 + lost.total(), 100);
        assert!(text.contains("after\n"));
    }

    #[test]
    fn a_line_that_was_torn_does_not_spoil_the_next() {
        let sink = Stubborn {
            written: Arc::default(),
            gate: Arc::default(),
            failures: Arc::new(AtomicU64::new(1)),
        };
        let opened = sink.clone();
        let open: Open = Box::new(move || Ok(Box::new(opened.clone())));
        let writer = Writer::start(open, Arc::default(), 4).unwrap();

        writer.line("first".to_owned());
        writer.flush(PATIENCE);
        writer.line("second".to_owned());
        writer.flush(PATIENCE);

        let text = String::from_utf8(sink.written.lock().unwrap().clone()).unwrap();
        assert!(text.starts_with("fi\nsecond\n"), "{text:?}");
    }
}
