//! What pingora asks of a stream, asked of a client's socket.

use std::sync::Arc;

use async_trait::async_trait;
use pingora_core::protocols::raw_connect::ProxyDigest;
use pingora_core::protocols::{
    ALPN, GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl,
    TimingDigest, UniqueID, UniqueIDType,
};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};

use super::{GuardedSocket, Protocol};

#[async_trait]
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Shutdown for GuardedSocket<S> {
    async fn shutdown(&mut self) {
        if let Err(error) = AsyncWriteExt::shutdown(self).await {
            tracing::trace!(%error, "closing a connection failed");
        }
    }
}

impl<S> UniqueID for GuardedSocket<S> {
    /// Only connections to upstreams are told apart by it.
    fn id(&self) -> UniqueIDType {
        0
    }
}

impl<S> Ssl for GuardedSocket<S> {
    fn selected_alpn_proto(&self) -> Option<ALPN> {
        match self.connection.protocol {
            Protocol::Http1 => Some(ALPN::H1),
            Protocol::Http2 => Some(ALPN::H2),
        }
    }
}

impl<S> GetTimingDigest for GuardedSocket<S> {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        Vec::new()
    }
}

impl<S> GetProxyDigest for GuardedSocket<S> {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        Some(Arc::clone(&self.digest))
    }
}

impl<S> GetSocketDigest for GuardedSocket<S> {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        None
    }
}

impl<S> Peek for GuardedSocket<S> {}
