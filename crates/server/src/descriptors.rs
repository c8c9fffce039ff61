//! Room for sockets: as many file descriptors as the system lets us have.
//!
//! Systems begin a process with a small limit that it may raise itself, for the sake of programs that cannot
//! count further. We can. Where even the larger one is too small for the connections that are configured, the
//! operator hears of it at the start and not from the visitors.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Each connection of a client may need another one to an application.
const FOR_EACH_CONNECTION: u64 = 2;
/// Logs, listeners, providers, and what the runtime needs itself.
const FOR_EVERYTHING_ELSE: u64 = 64;

/// Raises the limit as far as it goes.
pub(crate) fn make_room(connections: u32) {
    let before = getrlimit(Resource::Nofile);
    let wanted = Rlimit { current: before.maximum, maximum: before.maximum };
    if let Err(error) = setrlimit(Resource::Nofile, wanted) {
        tracing::debug!(%error, "the limit of file descriptors stays what it is");
    }
    let Some(room) = getrlimit(Resource::Nofile).current else { return };
    if let Some(connections) = too_many(connections, room) {
        tracing::warn!(
            descriptors = room,
            enough_for = connections,
            "there are fewer file descriptors than `limits.connections` may need; raise the limit (LimitNOFILE=, ulimit -n)"
        );
    }
}

/// For how many connections there is room, if not for all of them.
fn too_many(connections: u32, room: u64) -> Option<u64> {
    let needed = u64::from(connections) * FOR_EACH_CONNECTION + FOR_EVERYTHING_ELSE;
    let enough_for = room.saturating_sub(FOR_EVERYTHING_ELSE) / FOR_EACH_CONNECTION;
    (needed > room).then_some(enough_for)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// R32.
    #[test]
    fn a_limit_that_is_too_small_is_told_in_connections() {
        assert_eq!(too_many(10_000, 1 << 20), None);
        assert_eq!(too_many(480, 1024), None);
        assert_eq!(too_many(10_000, 1024), Some(480));
        assert_eq!(too_many(10, 20), Some(0));
    }
}
