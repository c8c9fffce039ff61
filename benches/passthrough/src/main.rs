//! A bare pingora proxy, the baseline that `benches/run.sh` holds the gateway against.
//!
//! What pingora itself costs is in every request of the gateway too, so the difference between the
//! two is what the gate costs; the allocator, which is worth a sixth of the throughput, is therefore
//! the gateway's. There is no access log, no error page and no header of our own, and signals do
//! what pingora makes of them.

use std::convert::Infallible;
use std::env;
use std::net::SocketAddr;
use std::process::ExitCode;

use async_trait::async_trait;
use pingora_core::Result;
use pingora_core::listeners::tls::TlsSettings;
use pingora_core::listeners::{L4BufferSettings, ListenerConfig};
use pingora_core::server::Server;
use pingora_core::server::configuration::ServerConf;
use pingora_core::upstreams::peer::HttpPeer;
use pingora_proxy::{ProxyHttp, Session, http_proxy_service};
use rustls::crypto::aws_lc_rs;
use tikv_jemallocator::Jemalloc;

#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

/// Enough for a request with its cookie; pingora's own 64 KiB would only make a connection dearer.
const READ_BUFFER_BYTES: usize = 8 * 1024;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (addresses, certificate) = match arguments[..] {
        [listen, upstream] => ((listen.parse(), upstream.parse()), None),
        [listen, upstream, chain, key] => ((listen.parse(), upstream.parse()), Some((chain, key))),
        _ => return usage(),
    };
    let (Ok(listen), Ok(upstream)) = addresses else { return usage() };
    let Err(error) = serve(listen, upstream, certificate);
    eprintln!("{error}");
    ExitCode::FAILURE
}

fn usage() -> ExitCode {
    eprintln!("usage: lychgate-passthrough LISTEN UPSTREAM [CERTIFICATE KEY]");
    eprintln!("  addresses such as 127.0.0.1:80; with the PEM files it speaks TLS");
    ExitCode::from(2)
}

/// Serves on one thread until a signal ends the process.
fn serve(
    listen: SocketAddr,
    upstream: SocketAddr,
    certificate: Option<(&str, &str)>,
) -> Result<Infallible> {
    // One thread for each service is pingora's default; said here because the comparison rests on it.
    let configuration = ServerConf { threads: 1, ..ServerConf::default() };
    let mut server = Server::new_with_opt_and_conf(None, configuration);

    let passthrough = Passthrough { peer: HttpPeer::new(upstream, false, String::new()) };
    let mut service = http_proxy_service(&server.configuration, passthrough);
    let buffers = L4BufferSettings::default().read(READ_BUFFER_BYTES);
    let mut listener = ListenerConfig::tcp(listen.to_string()).l4_buffer(buffers);
    if let Some((chain, key)) = certificate {
        // The gateway's cryptography, before pingora takes another.
        let _ = aws_lc_rs::default_provider().install_default();
        listener = listener.tls(TlsSettings::intermediate(chain, key)?);
    }
    service.add_listener(listener);
    server.add_service(service);

    server.bootstrap();
    server.run_forever()
}

/// Everything goes to one upstream as it came.
struct Passthrough {
    peer: HttpPeer,
}

#[async_trait]
impl ProxyHttp for Passthrough {
    type CTX = ();

    fn new_ctx(&self) -> Self::CTX {}

    async fn upstream_peer(
        &self,
        _session: &mut Session,
        _context: &mut Self::CTX,
    ) -> Result<Box<HttpPeer>> {
        Ok(Box::new(self.peer.clone()))
    }
}
