//! Metrics as text: OpenMetrics 1.0, and the older format of Prometheus (0.0.4).
//!
//! A sample can only be written below the family that it belongs to, with the labels that the family
//! declares, so what is exposed and what the reference says cannot drift apart.

use std::fmt::{Display, Write as _};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A metric: what the reference says about it.
#[derive(Debug)]
pub(crate) struct Family {
    /// The full name, as dashboards write it; that of a counter ends in `_total`.
    pub(crate) name: &'static str,
    /// What its samples mean.
    pub(crate) kind: Kind,
    /// The base unit, which the name repeats; empty for a mere number.
    pub(crate) unit: &'static str,
    /// The labels, in order.
    pub(crate) labels: &'static [&'static str],
    /// One sentence.
    pub(crate) help: &'static str,
}

/// What a metric's samples mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts by size.
    Histogram,
}

impl Kind {
    /// As in a `TYPE` line.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// Which text format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// OpenMetrics 1.0.
    OpenMetrics,
    /// Prometheus text format 0.0.4.
    Prometheus,
}

impl Format {
    /// The one to answer with, by the request's `Accept`.
    pub(crate) fn accepted(accept: &str) -> Self {
        if accept.contains("application/openmetrics-text") {
            Self::OpenMetrics
        } else {
            Self::Prometheus
        }
    }

    /// The `Content-Type`.
    pub(crate) fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

/// A text that is being written. Writing to a string cannot fail, so results are not looked at.
#[derive(Debug)]
pub(super) struct Exposition {
    text: String,
    format: Format,
}

impl Exposition {
    pub(super) fn new(format: Format) -> Self {
        Self { text: String::with_capacity(16 * 1024), format }
    }

    /// Begins a family; its samples follow at once.
    pub(super) fn family(&mut self, family: &'static Family) -> Samples<'_> {
        let Family { name, kind, unit, help, .. } = family;
        let openmetrics = self.format == Format::OpenMetrics;
        // OpenMetrics names a counter without the ending that its samples have.
        let title = if openmetrics { name.strip_suffix("_total").unwrap_or(name) } else { name };
        let _ = writeln!(self.text, "# TYPE {title} {}", kind.as_str());
        if openmetrics && !unit.is_empty() {
            let _ = writeln!(self.text, "# UNIT {title} {unit}");
        }
        let _ = writeln!(self.text, "# HELP {title} {help}");
        Samples { text: &mut self.text, family }
    }

    pub(super) fn finish(mut self) -> String {
        if self.format == Format::OpenMetrics {
            self.text.push_str("# EOF\n");
        }
        self.text
    }
}

/// Where the samples of one family are written.
pub(super) struct Samples<'a> {
    text: &'a mut String,
    family: &'static Family,
}

impl Samples<'_> {
    /// One number, with the values of the family's labels in their order.
    pub(super) fn number(&mut self, labels: &[&str], value: impl Display) {
        debug_assert_ne!(self.family.kind, Kind::Histogram);
        self.line("", labels, None, &value);
    }

    /// The one number of a family without labels, if it is known.
    pub(super) fn optional(&mut self, value: Option<impl Display>) {
        if let Some(value) = value {
            self.number(&[], value);
        }
    }

    /// One histogram, with the values of the family's labels in their order.
    pub(super) fn latency(&mut self, labels: &[&str], latency: &Latency) {
        debug_assert_eq!(self.family.kind, Kind::Histogram);
        let mut below = 0;
        for (bound, bucket) in BUCKETS.iter().zip(&latency.buckets) {
            below += bucket.load(Ordering::Relaxed);
            self.line("_bucket", labels, Some(&format!("{bound:?}")), &below);
        }
        below += latency.longer.load(Ordering::Relaxed);
        self.line("_bucket", labels, Some("+Inf"), &below);
        let seconds =
            Duration::from_nanos(latency.nanoseconds.load(Ordering::Relaxed)).as_secs_f64();
        self.line("_sum", labels, None, &seconds);
        self.line("_count", labels, None, &below);
    }

    fn line(&mut self, suffix: &str, labels: &[&str], bound: Option<&str>, value: &dyn Display) {
        debug_assert_eq!(labels.len(), self.family.labels.len(), "{}", self.family.name);
        self.text.push_str(self.family.name);
        self.text.push_str(suffix);
        let pairs = self.family.labels.iter().zip(labels).map(|(name, value)| (*name, *value));
        let mut separator = '{';
        for (name, value) in pairs.chain(bound.map(|bound| ("le", bound))) {
            let _ = write!(self.text, "{separator}{name}=\"");
            escape(value, self.text);
            self.text.push('"');
            separator = ',';
        }
        if separator == ',' {
            self.text.push('}');
        }
        let _ = writeln!(self.text, " {value}");
    }
}

fn escape(value: &str, text: &mut String) {
    for character in value.chars() {
        match character {
            '\\' => text.push_str("\\\\"),
            '"' => text.push_str("\\\""),
            '\n' => text.push_str("\\n"),
            _ => text.push(character),
        }
    }
}

/// Upper bounds in seconds: those that OpenTelemetry gives for HTTP.
const BUCKETS: [f64; 14] =
    [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];

/// A histogram of durations. Counting is three additions that nobody waits for.
#[derive(Debug, Default)]
pub(super) struct Latency {
    buckets: [AtomicU64; BUCKETS.len()],
    longer: AtomicU64,
    nanoseconds: AtomicU64,
}

impl Latency {
    pub(super) fn observe(&self, duration: Duration) {
        let seconds = duration.as_secs_f64();
        let bucket = BUCKETS.iter().position(|bound| seconds <= *bound);
        let bucket = bucket.and_then(|at| self.buckets.get(at)).unwrap_or(&self.longer);
        bucket.fetch_add(1, Ordering::Relaxed);
        let nanoseconds = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        self.nanoseconds.fetch_add(nanoseconds, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    static REQUESTS: Family = Family {
        name: "requests_total",
        kind: Kind::Counter,
        unit: "",
        labels: &["route"],
        help: "Requests.",
    };
    static DURATION: Family = Family {
        name: "wait_seconds",
        kind: Kind::Histogram,
        unit: "seconds",
        labels: &[],
        help: "Waiting.",
    };

    fn exposed(format: Format) -> String {
        let latency = Latency::default();
        latency.observe(Duration::from_millis(5));
        latency.observe(Duration::from_millis(600));
        latency.observe(Duration::from_secs(60));
        let mut exposition = Exposition::new(format);
        exposition.family(&REQUESTS).number(&["a\"b\\c\nd"], 7);
        exposition.family(&DURATION).latency(&[], &latency);
        exposition.finish()
    }

    /// T-02: both formats, each by its own rules.
    #[test]
    fn a_counter_loses_its_ending_in_the_titles_of_openmetrics_only() {
        let openmetrics = exposed(Format::OpenMetrics);
        assert!(openmetrics.starts_with(
            "# TYPE requests counter\n# HELP requests Requests.\nrequests_total{route=\"a\\\"b\\\\c\\nd\"} 7\n"
        ));
        assert!(openmetrics.contains("# UNIT wait_seconds seconds\n"));
        assert!(openmetrics.ends_with("# EOF\n"));

        let prometheus = exposed(Format::Prometheus);
        assert!(prometheus.starts_with("# TYPE requests_total counter\n"));
        assert!(!prometheus.contains("# UNIT") && !prometheus.contains("# EOF"));
    }

    #[test]
    fn buckets_are_cumulative_and_include_their_bound() {
        let text = exposed(Format::Prometheus);
        for line in [
            "wait_seconds_bucket{le=\"0.005\"} 1",
            "wait_seconds_bucket{le=\"0.5\"} 1",
            "wait_seconds_bucket{le=\"0.75\"} 2",
            "wait_seconds_bucket{le=\"10.0\"} 2",
            "wait_seconds_bucket{le=\"+Inf\"} 3",
            "wait_seconds_sum 60.605",
            "wait_seconds_count 3",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
    }

    #[test]
    fn openmetrics_is_given_to_those_who_ask_for_it() {
        let prometheus =
            "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.3";
        assert_eq!(Format::accepted(prometheus), Format::OpenMetrics);
        assert_eq!(Format::accepted("text/plain"), Format::Prometheus);
        assert_eq!(Format::accepted("*/*"), Format::Prometheus);
    }
}
