//! What the names of an upstream stand for.
//!
//! The first request waits for the answer of the resolver, with everybody who comes meanwhile. Later ones never
//! do: an answer that has become old is used while a new one is fetched, and for as long as none can be had. A
//! resolver that is slow or gone is so nobody's trouble but the first visitor's.
//!
//! The system's resolver does not say how long an answer is good, so each is asked for anew after ten seconds.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use async_trait::async_trait;
use pingora_core::upstreams::peer::HttpPeer;
use tokio::sync::Mutex;
use tokio::time::Instant;

/// How long an answer is used before the next one is fetched.
pub(super) const KEPT_FOR: Duration = Duration::from_secs(10);
/// How long nobody is asked after there was no answer and nothing to go on with.
const FAILED_FOR: Duration = Duration::from_secs(1);

/// Whoever knows names.
#[async_trait]
pub(super) trait Resolver: fmt::Debug + Send + Sync {
    /// Every address of a name, best first.
    async fn look_up(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>>;
}

/// The system's, on a thread of its own.
#[derive(Debug)]
pub(super) struct System;

#[async_trait]
impl Resolver for System {
    async fn look_up(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        Ok(tokio::net::lookup_host((host, port)).await?.collect())
    }
}

/// Looks a name up, for so long at most.
pub(super) async fn look_up(
    resolver: &dyn Resolver,
    host: &str,
    port: u16,
    patience: Duration,
) -> io::Result<Vec<SocketAddr>> {
    let found = tokio::time::timeout(patience, resolver.look_up(host, port));
    let found = found.await.map_err(|_| io::ErrorKind::TimedOut)??;
    if found.is_empty() {
        return Err(io::ErrorKind::NotFound.into());
    }
    Ok(found)
}

/// The last answers.
#[derive(Debug)]
pub(super) struct Remembered<E> {
    peers: ArcSwapOption<(Arc<[HttpPeer]>, Instant)>,
    renewing: AtomicBool,
    /// Held while there is nothing and somebody asks. What they were told when there was no answer.
    first: Mutex<Option<(Arc<E>, Instant)>>,
}

/// What is remembered.
pub(super) enum Answer<E> {
    /// Use these.
    Good(Arc<[HttpPeer]>),
    /// Use these, and fetch others by [`Remembered::renew`].
    Old(Arc<[HttpPeer]>),
    /// There are none.
    None(Arc<E>),
}

impl<E> Default for Remembered<E> {
    fn default() -> Self {
        Self {
            peers: ArcSwapOption::empty(),
            renewing: AtomicBool::new(false),
            first: Mutex::default(),
        }
    }
}

impl<E> Remembered<E> {
    /// What there is, asking for it only if there is nothing.
    pub(super) async fn peers(
        &self,
        ask: impl Future<Output = Result<Arc<[HttpPeer]>, E>>,
    ) -> Answer<E> {
        if let Some(answer) = self.known() {
            return answer;
        }
        let mut first = self.first.lock().await;
        if let Some(answer) = self.known() {
            return answer;
        }
        if let Some((error, since)) = &*first
            && since.elapsed() < FAILED_FOR
        {
            return Answer::None(Arc::clone(error));
        }
        match ask.await {
            Ok(peers) => {
                self.store(&peers);
                Answer::Good(peers)
            }
            Err(error) => {
                let error = Arc::new(error);
                *first = Some((Arc::clone(&error), Instant::now()));
                Answer::None(error)
            }
        }
    }

    /// Fetches others. What there is stays, where there are none.
    pub(super) async fn renew(&self, ask: impl Future<Output = Result<Arc<[HttpPeer]>, E>>) {
        let peers = match ask.await {
            Ok(peers) => Some(peers),
            Err(_) => self.peers.load().as_ref().map(|known| Arc::clone(&known.0)),
        };
        if let Some(peers) = peers {
            self.store(&peers);
        }
        self.renewing.store(false, Ordering::Release);
    }

    fn known(&self) -> Option<Answer<E>> {
        let known = self.peers.load();
        let (peers, since) = &**known.as_ref()?;
        let is_old = since.elapsed() >= KEPT_FOR;
        // One of all who see that it is old is told so.
        Some(if is_old && !self.renewing.swap(true, Ordering::AcqRel) {
            Answer::Old(Arc::clone(peers))
        } else {
            Answer::Good(Arc::clone(peers))
        })
    }

    fn store(&self, peers: &Arc<[HttpPeer]>) {
        self.peers.store(Some(Arc::new((Arc::clone(peers), Instant::now()))));
    }
}
