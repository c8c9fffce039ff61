//! What the program says to its operator, on standard error.
//!
//! Nobody who speaks waits for whoever reads: lines take the way of the other logs, and are lost and counted when
//! standard error takes none (R35).

use std::borrow::Cow;
use std::io::{self, IsTerminal as _, Write};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use lychgate_config::config::{LogFormat, LogLevel, LogOutput};
use tracing_subscriber::filter::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::util::TryInitError;
use tracing_subscriber::{
    Layer as _, Registry, fmt, layer::SubscriberExt as _, reload, util::SubscriberInitExt as _,
};

use super::line::one_line;
use super::writer::{Lost, Writer};

/// The way to standard error, from the first [`init`] on.
static LOG: OnceLock<Log> = OnceLock::new();

struct Log {
    /// None when there is no thread to be had for it.
    writer: Option<Writer>,
    lost: Arc<Lost>,
}

/// Libraries that speak of every connection. They are heard from a warning on, unless `RUST_LOG` says
/// otherwise.
const TALKATIVE: [&str; 7] =
    ["h2", "hyper", "hyper_util", "pingora_core", "pingora_pool", "reqwest", "rustls"];

/// Begins to listen to `tracing` and `log` events. `RUST_LOG` takes the place of `level` when it is set.
///
/// # Errors
/// When somebody listens already.
pub(crate) fn init(level: LogLevel, format: LogFormat) -> Result<(), TryInitError> {
    LOG.get_or_init(|| {
        let lost = Arc::default();
        Log { writer: Writer::new(&LogOutput::Stderr, &lost).ok().flatten(), lost }
    });
    let as_text = match format {
        LogFormat::Auto => io::stderr().is_terminal(),
        LogFormat::Json => false,
        LogFormat::Text => true,
    };
    let (filter, handle) = reload::Layer::new(filter(level));
    // Colours are escape sequences, and none of those gets through to a line.
    let layer = fmt::layer().with_writer(Stderr).with_ansi(false).log_internal_errors(false);
    let layer = if as_text { layer.boxed() } else { layer.json().flatten_event(true).boxed() };
    Registry::default().with(layer.with_filter(filter)).try_init()?;
    let _ = CHANGE_LEVEL.set(Box::new(move |level| {
        // It fails when nobody listens any more.
        let _ = handle.reload(self::filter(level));
    }));
    Ok(())
}

type ChangeLevel = Box<dyn Fn(LogLevel) + Send + Sync>;

/// There is one log in a process, and one way to change it.
static CHANGE_LEVEL: OnceLock<ChangeLevel> = OnceLock::new();

/// From now on says as much as `level`, unless `RUST_LOG` says otherwise.
pub(crate) fn change_level(level: LogLevel) {
    if let Some(change) = CHANGE_LEVEL.get() {
        change(level);
    }
}

fn filter(level: LogLevel) -> EnvFilter {
    let asked = std::env::var("RUST_LOG").ok().filter(|asked| !asked.is_empty());
    EnvFilter::new(asked.unwrap_or_else(|| directives(level)))
}

/// Waits until everything that was said is written, but no longer than `patience`.
pub(crate) fn flush(patience: Duration) {
    if let Some(writer) = LOG.get().and_then(|log| log.writer.as_ref()) {
        writer.flush(patience);
    }
}

/// How many lines standard error did not take.
pub(super) fn lost() -> u64 {
    LOG.get().map_or(0, |log| log.lost.total())
}

fn directives(level: LogLevel) -> String {
    let (word, talkative) = match level {
        LogLevel::Error => ("error", "error"),
        LogLevel::Warn => ("warn", "warn"),
        LogLevel::Info => ("info", "warn"),
        LogLevel::Debug => ("debug", "warn"),
        LogLevel::Trace => ("trace", "warn"),
    };
    let libraries = TALKATIVE.iter().map(|library| format!(",{library}={talkative}"));
    // What the proxy library reports of a request stands in the request's own lines already, without the
    // clients that merely went away.
    let silent = ",pingora_proxy=off".to_owned();
    std::iter::once(word.to_owned()).chain(libraries).chain([silent]).collect()
}

/// Standard error, one event a line.
struct Stderr;

impl<'a> MakeWriter<'a> for Stderr {
    type Writer = Events<Queue>;

    fn make_writer(&'a self) -> Self::Writer {
        Events(Queue)
    }
}

/// Takes whole lines, at once.
struct Queue;

impl Write for Queue {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        match LOG.get().and_then(|log| log.writer.as_ref()) {
            Some(writer) => {
                let text = String::from_utf8_lossy(line);
                writer.line(text.trim_end_matches('\n').to_owned());
            }
            None => io::stderr().write_all(line)?,
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Takes whole events, as the formatter hands them over, and lets nothing inside of one end its line.
struct Events<W>(W);

impl<W: Write> Write for Events<W> {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(event);
        let body = text.strip_suffix('\n').unwrap_or(&text);
        let line: Cow<'_, str> = one_line(body);
        self.0.write_all(format!("{line}\n").as_bytes())?;
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl<'a> MakeWriter<'a> for Kept {
        type Writer = Events<Self>;

        fn make_writer(&'a self) -> Self::Writer {
            Events(self.clone())
        }
    }

    /// N2, CB-63: neither a message nor a field can make a second line.
    #[test]
    fn one_event_is_one_line_in_both_formats() {
        let hostile = "a\r\nERROR forged \u{1b}[31m\u{9b}2J\u{2028}b";
        for json in [false, true] {
            let kept = Kept::default();
            let layer = fmt::layer().with_writer(kept.clone()).with_ansi(false);
            let layer = if json { layer.json().flatten_event(true).boxed() } else { layer.boxed() };

            tracing::subscriber::with_default(Registry::default().with(layer), || {
                tracing::warn!(agent = hostile, shown = %hostile, "{hostile}");
            });

            let text = String::from_utf8(kept.0.lock().unwrap().clone()).unwrap();
            let (line, rest) = text.split_once('\n').unwrap();
            assert_eq!(rest, "", "{text:?}");
            assert!(
                !line.chars().any(|character| character.is_control() || character == '\u{2028}'),
                "{line:?}"
            );
            assert!(!json || serde_json::from_str::<serde_json::Value>(line).is_ok(), "{line}");
        }
    }

    #[test]
    fn libraries_are_never_louder_than_we_are() {
        assert!(directives(LogLevel::Info).starts_with("info,h2=warn"));
        assert!(directives(LogLevel::Error).contains(",rustls=error,"));
        for level in
            [LogLevel::Error, LogLevel::Warn, LogLevel::Info, LogLevel::Debug, LogLevel::Trace]
        {
            assert!(directives(level).parse::<EnvFilter>().is_ok());
        }
    }
}
