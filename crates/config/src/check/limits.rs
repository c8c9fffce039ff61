//! `[limits]`.

use std::time::Duration;

use crate::config::Limits;
use crate::reader::Reader;

const KIB: u64 = 1024;
const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

pub(super) fn read(reader: &Reader<'_>) -> Limits {
    Limits {
        header_bytes: reader.size_within("header_bytes", 32 * KIB, 4 * KIB..=1024 * KIB),
        uri_bytes: reader.size_within("uri_bytes", 8 * KIB, KIB..=64 * KIB),
        body_bytes: reader.size("body").and_then(|limit| limit.bytes),
        connections: reader.integer("connections", 10_000, 1..=1_000_000),
        connections_per_client: reader
            .has("connections_per_client")
            .then(|| reader.integer("connections_per_client", 1_000_000, 1..=1_000_000)),
        login_starts_per_client: reader.integer("login_starts_per_client", 600, 1..=1_000_000),
        header_timeout: reader.duration("header_timeout", 10 * SECOND, SECOND..=HOUR),
        idle_timeout: reader.duration("idle_timeout", 75 * SECOND, SECOND..=HOUR),
        shutdown_timeout: reader.duration("shutdown_timeout", 25 * SECOND, Duration::ZERO..=HOUR),
    }
}
