//! One loopback listener, the task that serves it, and its end.

use std::{io, net::SocketAddr, time::Duration};

use axum::{
    Router,
    extract::{Request, State},
    http::StatusCode,
    middleware::{self, Next},
    response::{IntoResponse, Response},
};
use tokio::{net::TcpListener, sync::watch, task::JoinHandle};

/// How long [`Server::stop`] waits for connections to end before it leaves them to the runtime.
const STOP_PATIENCE: Duration = Duration::from_secs(2);

/// The address asked for can be reached from other machines.
///
/// Anyone who reaches the provider is signed in as whom they like, so there is no switch to permit
/// it. It arrives inside an [`io::Error`] of kind [`InvalidInput`](io::ErrorKind::InvalidInput).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{address} is not a loopback address, and the demo serves this machine only")]
pub struct NotLoopback {
    /// The address that was asked for.
    pub address: SocketAddr,
}

/// Listens on `address`, which must be a loopback address; port 0 takes a free one.
///
/// # Errors
/// [`NotLoopback`], or what the operating system said to the bind.
pub(crate) async fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    // An IPv4 address in IPv6 dress (`::ffff:127.0.0.1`) is refused too: nobody needs it.
    if !address.ip().is_loopback() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, NotLoopback { address }));
    }
    TcpListener::bind(address).await
}

/// A served router. Dropping it begins its end; [`stop`](Self::stop) also waits for it.
#[derive(Debug)]
pub(crate) struct Server {
    address: SocketAddr,
    serving: JoinHandle<()>,
    running: watch::Sender<()>,
}

impl Server {
    /// Serves what `router` builds, in tasks of the caller's runtime.
    pub(crate) fn start(
        listener: TcpListener,
        router: impl FnOnce(Stopping) -> Router,
    ) -> io::Result<Self> {
        let address = listener.local_addr()?;
        let (running, watched) = watch::channel(());
        let stopping = Stopping(watched);
        let router = router(stopping.clone())
            .layer(middleware::from_fn_with_state(stopping.clone(), answer_unless_stopping));
        let serving = tokio::spawn(async move {
            // `axum::serve` survives failed accepts and returns only after the signal.
            let _ = axum::serve(listener, router).with_graceful_shutdown(stopping.wait()).await;
        });
        Ok(Self { address, serving, running })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Closes the listener and the connections, and returns when that is done or after two seconds.
    pub(crate) async fn stop(self) {
        drop(self.running);
        let _ = tokio::time::timeout(STOP_PATIENCE, self.serving).await;
    }
}

/// Tells a long answer that its server is about to end.
#[derive(Clone, Debug)]
pub(crate) struct Stopping(watch::Receiver<()>);

impl Stopping {
    /// Returns once the server was stopped or dropped.
    pub(crate) async fn wait(mut self) {
        // Nothing is ever sent; the channel closes with the `Server`.
        while self.0.changed().await.is_ok() {}
    }
}

/// Gives up on slow answers at the end, so that stopping does not wait for them.
async fn answer_unless_stopping(
    State(stopping): State<Stopping>,
    request: Request,
    next: Next,
) -> Response {
    tokio::select! {
        response = next.run(request) => response,
        () = stopping.wait() => StatusCode::SERVICE_UNAVAILABLE.into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// D-41.
    #[tokio::test]
    async fn an_address_that_others_can_reach_is_refused() {
        for reachable in ["0.0.0.0:0", "192.0.2.1:0", "[::]:0", "[::ffff:127.0.0.1]:0"] {
            let address: SocketAddr = reachable.parse().expect("an address");

            let refusal = bind(address).await.expect_err(reachable);

            let reason = refusal.get_ref().and_then(|cause| cause.downcast_ref::<NotLoopback>());
            assert_eq!(reason, Some(&NotLoopback { address }), "{reachable}");
        }
    }
}
