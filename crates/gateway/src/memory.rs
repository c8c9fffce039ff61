//! What a connection remembers: of the cookies of its last request, and of who is at its other end.
//!
//! The requests of one connection mostly bring the same `Cookie` line, kilobytes of it. To compare two of them costs a
//! fraction of reading one, and what a line opened to it opens to again, at the same place, by the same keys. Whether
//! the session is still alive is no part of that, and is asked every time.
//!
//! A door keeps one [`Memory`] for each connection. Requests of HTTP/2 come at the same time: whichever finds the
//! memory in use does without it, so nobody waits for anybody.

use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, OnceLock, TryLockError};

use http::{HeaderMap, HeaderValue, header};

use crate::cookie::ForUpstream;
use crate::visit::OpenSession;

/// A longer line is read anew each time, so that a connection at rest stays small.
const LINE_BYTES_MAX: usize = 6 * 1024;

/// The memory of one connection; empty at first.
#[derive(Default)]
pub struct Memory {
    last: Mutex<Option<Remembered>>,
    /// The first client's address, as a header says it. Behind a proxy others may follow.
    address: OnceLock<(IpAddr, Option<HeaderValue>)>,
}

struct Remembered {
    /// Whose keys opened it: another gateway may have others.
    opened_by: Arc<Opener>,
    line: Box<[u8]>,
    known: Known,
}

/// What a `Cookie` line came to.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    pub(crate) open: Arc<OpenSession>,
    pub(crate) for_upstream: ForUpstream,
}

/// Tells one gateway from another that has taken its place, by where it stands in memory.
#[derive(Debug, Default)]
pub(crate) struct Opener;

impl Memory {
    /// `address` as the value of a header, which `write` makes where it is not known.
    pub(crate) fn address_header(
        &self,
        address: IpAddr,
        write: impl Fn(IpAddr) -> Option<HeaderValue>,
    ) -> Option<HeaderValue> {
        let (known, header) = self.address.get_or_init(|| (address, write(address)));
        if *known == address { header.clone() } else { write(address) }
    }

    /// What `line` came to, if it was the last one that `opener` opened.
    pub(crate) fn recall(&self, opener: &Arc<Opener>, line: &HeaderValue) -> Option<Known> {
        let remembered = match self.last.try_lock() {
            Ok(remembered) => remembered,
            // What was being written when somebody panicked is whole or absent.
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return None,
        };
        let found = remembered.as_ref().filter(|remembered| {
            Arc::ptr_eq(&remembered.opened_by, opener) && *remembered.line == *line.as_bytes()
        })?;
        Some(found.known.clone())
    }

    /// Remembers what `line` came to, instead of the one before.
    pub(crate) fn keep(&self, opener: &Arc<Opener>, line: &HeaderValue, known: Known) {
        if line.len() > LINE_BYTES_MAX {
            return;
        }
        if let Ok(mut remembered) = self.last.try_lock() {
            let (opened_by, line) = (Arc::clone(opener), line.as_bytes().into());
            *remembered = Some(Remembered { opened_by, line, known });
        }
    }
}

/// Says how much it holds: a line of cookies is not to be printed.
impl fmt::Debug for Memory {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let length = self.last.try_lock().ok().and_then(|found| Some(found.as_ref()?.line.len()));
        write!(formatter, "Memory(‹{} bytes›)", length.unwrap_or_default())
    }
}

/// The `Cookie` line of a request that has exactly one.
pub(crate) fn only_line(headers: &HeaderMap) -> Option<&HeaderValue> {
    let mut lines = headers.get_all(header::COOKIE).iter();
    lines.next().filter(|_| lines.next().is_none())
}
