//! The memory of sessions that were opened lately, so that most requests need not open theirs again.
//!
//! In a module that knows nothing else of the server, because a benchmark measures with it too.

use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;
use std::time::Duration;

use ahash::{AHasher, RandomState};
use lychgate_gateway::visit::OpenSession;
use moka::sync::Cache;

/// Sessions that were opened lately, by their whole sealed text.
pub(crate) type OpenedSessions = Cache<Box<[u8]>, Arc<OpenSession>, ByTheEnd>;

/// Finds sealed texts by their ends, which hold the authentication tag and the last bytes of the ciphertext: as good as
/// random, and different for any two texts. To hash the kilobytes before it would cost more than the rest of a
/// look-up. Texts are still compared whole, only those that opened are kept, and the hash is keyed at random for
/// each process.
#[derive(Clone, Debug, Default)]
pub(crate) struct ByTheEnd(RandomState);

/// See [`ByTheEnd`].
pub(crate) struct EndHasher(AHasher);

/// In base64url, 24 bytes: the tag and a little more.
const END_BYTES: usize = 32;

impl BuildHasher for ByTheEnd {
    type Hasher = EndHasher;

    fn build_hasher(&self) -> EndHasher {
        EndHasher(self.0.build_hasher())
    }
}

impl Hasher for EndHasher {
    fn write(&mut self, bytes: &[u8]) {
        self.0.write(bytes.last_chunk::<END_BYTES>().map_or(bytes, <[u8; END_BYTES]>::as_slice));
    }

    fn write_usize(&mut self, length: usize) {
        self.0.write_usize(length);
    }

    fn finish(&self) -> u64 {
        self.0.finish()
    }
}

/// How many are remembered, a few KiB each.
const OPENED_MAX: u64 = 4096;
/// How long one is, whether it is used or not.
const OPENED_FOR: Duration = Duration::from_secs(600);

/// Nothing remembered yet.
pub(crate) fn opened_sessions() -> OpenedSessions {
    Cache::builder()
        .max_capacity(OPENED_MAX)
        .time_to_live(OPENED_FOR)
        .build_with_hasher(ByTheEnd::default())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two texts with one end have one place in the memory and are still told apart; a session that is found for
    /// another's text would be another person's.
    #[test]
    fn texts_are_found_by_their_ends_and_compared_whole() {
        let end = "e".repeat(END_BYTES);
        let (ada, bob) = (format!("ada{end}"), format!("bob{end}"));
        let hasher = || ByTheEnd(RandomState::with_seeds(1, 2, 3, 4));
        let hash = |text: &str| hasher().hash_one(text.as_bytes());
        assert_eq!(hash(&ada), hash(&bob));
        assert_ne!(hash(&ada), hash(&format!("{ada}x")));
        assert_ne!(hash("short"), hash("shore"));

        let memory: Cache<Box<[u8]>, &str, ByTheEnd> =
            Cache::builder().max_capacity(2).build_with_hasher(hasher());
        memory.insert(ada.as_bytes().into(), "ada");
        assert_eq!(memory.get(ada.as_bytes()), Some("ada"));
        assert_eq!(memory.get(bob.as_bytes()), None);
    }
}
