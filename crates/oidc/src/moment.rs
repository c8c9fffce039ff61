//! One moment of a conversation with a provider, and what is fresh in it.
//!
//! Nothing here reads a clock or draws randomness, so whoever asks for a request to be made, or for an
//! answer to be read, hands in the time and some entropy. A moment is used for one step and consumed by
//! it; what it makes is unique because its entropy is.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use crate::dpop::DpopNonces;
use crate::secret::Secret;
use crate::time::Timestamp;

/// The time of one step, and the randomness that it may use up.
pub struct Moment {
    /// Now.
    pub now: Timestamp,
    /// The client assertion that somebody else signed, as it is at this moment; where that is how we
    /// authenticate.
    pub client_assertion: Option<Secret>,
    /// What the provider's servers want in our proofs of possession; where we give any.
    pub dpop_nonces: DpopNonces,
    entropy: Zeroizing<[u8; 32]>,
    drawn: u64,
}

impl Moment {
    /// The moment `now`. `entropy` is 32 bytes from the operating system, used for this moment alone.
    #[must_use]
    pub fn new(now: Timestamp, entropy: [u8; 32]) -> Self {
        Self {
            now,
            client_assertion: None,
            dpop_nonces: DpopNonces::new(),
            entropy: Zeroizing::new(entropy),
            drawn: 0,
        }
    }

    /// The nonce that this server gave last.
    pub(crate) fn dpop_nonce(&self, server: &str) -> Option<&str> {
        self.dpop_nonces.get(server).map(String::as_str)
    }

    /// A value that nobody has seen before: 128 bits in 22 characters of base64url. For `jti` and the like.
    #[must_use]
    pub fn unique(&mut self) -> String {
        let bytes = self.draw();
        URL_SAFE_NO_PAD.encode(bytes.get(..16).unwrap_or_default())
    }

    /// A version 4 UUID (RFC 9562 §5.4).
    #[must_use]
    pub fn uuid(&mut self) -> String {
        let bytes = self.draw();
        let number =
            bytes.iter().take(16).fold(0_u128, |number, byte| number << 8 | u128::from(*byte));
        let number = number & !(0xf000 << 64) | 0x4000 << 64;
        let number = number & !(0xc000 << 48) | 0x8000 << 48;
        let digits = format!("{number:032x}");
        let part = |from: usize, to: usize| digits.get(from..to).unwrap_or_default();
        [part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32)].join("-")
    }

    /// The next 32 bytes.
    pub(crate) fn draw(&mut self) -> [u8; 32] {
        self.drawn += 1;
        let mut hash = Sha256::new();
        hash.update(*self.entropy);
        hash.update(self.drawn.to_be_bytes());
        hash.finalize().into()
    }
}

impl fmt::Debug for Moment {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Moment").field("now", &self.now).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn what_is_drawn_never_repeats() {
        let mut seen = HashSet::new();
        for first in 0..4 {
            let mut moment = Moment::new(Timestamp::default(), [first; 32]);
            for _ in 0..100 {
                assert!(seen.insert(moment.unique()));
                assert!(seen.insert(moment.uuid()));
            }
        }
    }

    #[test]
    fn a_uuid_says_that_it_is_random() {
        let mut moment = Moment::new(Timestamp::default(), [7; 32]);
        for _ in 0..100 {
            let uuid = moment.uuid();
            let parts: Vec<_> = uuid.split('-').map(str::len).collect();
            assert_eq!(parts, [8, 4, 4, 4, 12], "{uuid}");
            assert!(uuid[14..].starts_with('4'), "{uuid}");
            assert!(uuid[19..].starts_with(['8', '9', 'a', 'b']), "{uuid}");
        }
    }
}
