//! Names for requests.

use std::sync::atomic::{AtomicU64, Ordering};

use lychgate_gateway::request::RequestId;

use crate::world;

/// Ids that no other request of this process has, and none of another process in practice. They are names and no
/// secrets: a counter is enough, behind a beginning that is drawn once.
#[derive(Debug)]
pub(super) struct RequestIds {
    process: u64,
    next: AtomicU64,
}

impl RequestIds {
    pub(super) fn new() -> Self {
        let mut bytes = [0; 16];
        world::fill_random(&mut bytes);
        let drawn = u128::from_be_bytes(bytes);
        // Both halves of what was drawn; neither cast loses what the other keeps.
        let (process, first) = ((drawn >> 64) as u64, drawn as u64);
        Self { process, next: AtomicU64::new(first) }
    }

    /// The next one.
    pub(super) fn next(&self) -> RequestId {
        // An odd factor turns each step into a jump and meets every number once: ids say nothing of how many came.
        let turn = self.next.fetch_add(1, Ordering::Relaxed).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        RequestId::new(u128::from(self.process) << 64 | u128::from(turn))
    }
}
