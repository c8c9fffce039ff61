//! Providers that want to see a certificate, that nobody else vouches for, or that are behind a proxy.

use std::net::SocketAddr;
use std::sync::Arc;

use lychgate_oidc::{Secret, Timestamp};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio_rustls::TlsAcceptor;

use super::*;

/// An authority of this test's own.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn pem(&self) -> String {
        self.0.pem()
    }

    /// A certificate for this machine and its key, PEM.
    fn issues(&self) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        (params.signed_by(&key, &self.0).unwrap().pem(), key.serialize_pem())
    }

    fn certificate_of_ours(&self) -> ClientCertificate {
        let (chain, key) = self.issues();
        ClientCertificate { chain, key: Secret::new(key), expires_at: Timestamp::new(0) }
    }
}

/// A provider on this machine that asks for a certificate of `clients`, and says whether it saw one.
async fn provider(authority: &Authority, clients: &Authority) -> SocketAddr {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(clients.pem().as_bytes()).unwrap()).unwrap();
    let verifier = WebPkiClientVerifier::builder(Arc::new(roots)).build().unwrap();
    let (chain, key) = authority.issues();
    let config = ServerConfig::builder().with_client_cert_verifier(verifier).with_single_cert(
        vec![CertificateDer::from_pem_slice(chain.as_bytes()).unwrap()],
        PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap(),
    );
    let acceptor = TlsAcceptor::from(Arc::new(config.unwrap()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let shown = stream.get_ref().1.peer_certificates().map_or(0, <[_]>::len);
            let mut bytes = [0; 4096];
            let _ = stream.read(&mut bytes).await;
            let body = format!("{shown} shown");
            let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
            let _ = stream.write_all(answer.as_bytes()).await;
            let _ = stream.shutdown().await;
        }
    });
    address
}

fn request(address: SocketAddr) -> http::Request<Vec<u8>> {
    let address = format!("https://localhost:{}/token?client_secret=canary", address.port());
    http::Request::post(address).body(Vec::new()).unwrap()
}

/// A-D4, F2-07, PS-01: the certificate is shown in the handshake; without it nothing is to be had.
#[tokio::test]
async fn a_certificate_is_shown_to_a_provider_that_asks_for_one() {
    let (authority, clients) = (Authority::new(), Authority::new());
    let address = provider(&authority, &clients).await;
    let mut transport = ProviderTransport {
        ca: Some(authority.pem()),
        client_certificate: Some(clients.certificate_of_ours()),
        proxy: None,
    };

    let answer = Fetcher::new(&transport).unwrap().send(request(address)).await.unwrap();
    assert_eq!(answer.body(), b"1 shown");

    transport.client_certificate = None;
    let without = Fetcher::new(&transport).unwrap().send(request(address)).await.unwrap_err();
    assert!(!without.to_string().contains("canary"), "{without}");

    transport.client_certificate = Some(Authority::new().certificate_of_ours());
    assert!(Fetcher::new(&transport).unwrap().send(request(address)).await.is_err());
}

/// `tls.ca` is believed, and nobody else is.
#[tokio::test]
async fn a_private_authority_alone_is_believed() {
    let (authority, clients) = (Authority::new(), Authority::new());
    let address = provider(&authority, &clients).await;
    for believed in [None, Some(Authority::new().pem())] {
        let transport = ProviderTransport {
            ca: believed,
            client_certificate: Some(clients.certificate_of_ours()),
            proxy: None,
        };
        let error = Fetcher::new(&transport).unwrap().send(request(address)).await.unwrap_err();
        let text = error.to_string();
        assert!(text.contains("certificate") && !text.contains("canary"), "{text}");
    }
}

/// The operator's proxy is asked, by name and password, and sees a host and no address.
#[tokio::test]
async fn a_proxy_is_asked_for_a_tunnel_and_sees_no_more() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (seen, asked) = oneshot::channel();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut bytes = vec![0; 4096];
        let read = stream.read(&mut bytes).await.unwrap();
        let _ = stream.write_all(b"HTTP/1.1 407 No\r\ncontent-length: 0\r\n\r\n").await;
        let _ = seen.send(String::from_utf8_lossy(&bytes[..read]).into_owned());
    });
    let transport = ProviderTransport {
        proxy: Some(Secret::new(format!("http://user:hunter2@127.0.0.1:{port}"))),
        ..ProviderTransport::default()
    };
    let fetcher = Fetcher::new(&transport).unwrap();

    let request = http::Request::get("https://idp.example/token?client_secret=canary");
    let error = fetcher.send(request.body(Vec::new()).unwrap()).await.unwrap_err();

    let asked = asked.await.unwrap().to_lowercase();
    assert!(asked.starts_with("connect idp.example:443 http/1.1\r\n"), "{asked}");
    assert!(asked.contains("proxy-authorization: basic dxnlcjpodw50zxiy"), "{asked}");
    assert!(!asked.contains("canary"), "{asked}");
    let shown = format!("{error} {error:?} {fetcher:?} {transport:?}");
    assert!(!shown.contains("hunter2") && !shown.contains("canary"), "{shown}");
}
