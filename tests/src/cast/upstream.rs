//! An application that answers whatever a story wants, byte for byte, and keeps what it received.
//!
//! It can also stand in front of another application and only listen, which shows how that one is spoken to.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd,
};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore, ServerConfig, SupportedProtocolVersion};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, copy, split};
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio::task::JoinHandle;
use tokio::time::sleep;
use tokio_rustls::TlsAcceptor;

use super::gate::PATIENCE;
use super::invariants;

/// A listener that records raw bytes, connection by connection. It ends when dropped.
#[derive(Debug)]
pub struct Upstream {
    address: Option<SocketAddr>,
    connections: Connections,
    accepting: JoinHandle<()>,
}

/// What the application does with each connection.
#[derive(Clone, Copy, Debug)]
pub enum Script {
    /// Answers each header block with these bytes, and goes on reading.
    Answer(&'static [u8]),
    /// Answers the first header block with these bytes, and closes without reading any more.
    AnswerAndClose(&'static [u8]),
    /// The same, but the end is a reset.
    AnswerAndReset(&'static [u8]),
    /// Answers the first header block with these bytes, and closes when another one comes.
    AnswerOnce(&'static [u8]),
    /// Passes everything on to the application there, and its answers back.
    PassOn(SocketAddr),
    /// Closes as soon as it is connected to.
    HangUp,
    /// Reads, and never answers.
    Silence,
    /// Answers the first header block with these bytes, then sends back whatever comes behind it.
    Tunnel(&'static [u8]),
}

impl Upstream {
    /// An application with this script.
    ///
    /// # Panics
    /// When it cannot listen.
    pub async fn start(script: Script) -> Self {
        Self::listen(None, script).await
    }

    /// An application that is reached with TLS. What it keeps is what came through that.
    ///
    /// # Panics
    /// When it cannot listen.
    pub async fn over_tls(tls: ServerConfig, script: Script) -> Self {
        Self::listen(Some(Arc::new(tls).into()), script).await
    }

    /// An application behind a socket file.
    ///
    /// # Panics
    /// When it cannot listen.
    #[must_use]
    pub fn behind_file(path: &Path, script: Script) -> Self {
        let listener = UnixListener::bind(path).expect("a path for a socket");
        let connections = Connections::default();
        let kept = connections.clone();
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let record = kept.begin();
                tokio::spawn(serve(stream, script, record));
            }
        });
        Self { address: None, connections, accepting }
    }

    async fn listen(tls: Option<TlsAcceptor>, script: Script) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
        let address = listener.local_addr().expect("a bound socket");
        let connections = Connections::default();
        let witnessed = connections.clone();
        invariants::witness(address, move || {
            let connections = witnessed.lock();
            let numbered = connections.iter().enumerate();
            numbered.flat_map(|(number, bytes)| invariants::heads(number, bytes)).collect()
        });
        let kept = connections.clone();
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (record, tls) = (kept.begin(), tls.clone());
                tokio::spawn(async move {
                    if matches!(script, Script::AnswerAndReset(_)) {
                        stream.set_zero_linger().expect("a fresh socket");
                    }
                    match tls {
                        None => serve(stream, script, record).await,
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                serve(stream, script, record).await;
                            }
                        }
                    }
                });
            }
        });
        Self { address: Some(address), connections, accepting }
    }

    /// Where it listens.
    ///
    /// # Panics
    /// When that is a socket file.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address.expect("the application has an address")
    }

    /// What came, connection by connection, as text.
    #[must_use]
    pub fn received(&self) -> Vec<String> {
        let connections = self.connections.lock();
        connections.iter().map(|bytes| String::from_utf8_lossy(bytes).into_owned()).collect()
    }

    /// How often this text came, over all connections.
    #[must_use]
    pub fn count(&self, text: &str) -> usize {
        self.received().iter().map(|received| received.matches(text).count()).sum()
    }

    /// Waits until this text has come.
    ///
    /// # Panics
    /// When it does not.
    pub async fn hears(&self, text: &str) {
        let began = Instant::now();
        while self.count(text) == 0 {
            assert!(began.elapsed() < PATIENCE, "no {text:?} in {:?}", self.received());
            sleep(Duration::from_millis(5)).await;
        }
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Vouches for applications, before those who were given its certificate.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

/// When a certificate is valid.
#[derive(Clone, Copy, Debug)]
pub enum Validity {
    /// It was, until years ago.
    Past,
    /// It is.
    Now,
    /// It will be, in a time that none of us sees.
    Future,
}

impl Authority {
    /// An authority that nobody knows yet.
    ///
    /// # Panics
    /// When it cannot be made.
    #[must_use]
    pub fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // With one name for itself and for what it vouches for, OpenSSL takes the latter for its own authority.
        params.distinguished_name.push(DnType::CommonName, "authority of a test");
        let key = KeyPair::generate().expect("a key");
        Self(CertifiedIssuer::self_signed(params, key).expect("an authority"))
    }

    /// Its certificate, PEM.
    #[must_use]
    pub fn pem(&self) -> String {
        self.0.pem()
    }

    /// A client that believes this authority alone, and speaks one version of TLS.
    ///
    /// # Panics
    /// When it cannot be made.
    #[must_use]
    pub fn client(
        &self,
        version: &'static SupportedProtocolVersion,
        alpn: &[&str],
    ) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(self.0.der().clone()).expect("an authority");
        let mut client = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[version])
            .expect("the provider speaks this version")
            .with_root_certificates(roots)
            .with_no_client_auth();
        client.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        client
    }

    /// A certificate for a host name or an IP address, and its key, both PEM.
    ///
    /// # Panics
    /// When that is no name.
    #[must_use]
    pub fn issues(&self, name: &str, validity: Validity) -> (String, String) {
        let mut params = CertificateParams::new([name.to_owned()]).expect("a name");
        let (from, to) = match validity {
            Validity::Past => (2001, 2002),
            Validity::Now => (2001, 4001),
            Validity::Future => (4001, 4002),
        };
        params.not_before = date_time_ymd(from, 1, 1);
        params.not_after = date_time_ymd(to, 1, 1);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.0).expect("a certificate");
        (certificate.pem(), key.serialize_pem())
    }

    /// The application's side of TLS, with such a certificate.
    ///
    /// # Panics
    /// As [`issues`](Self::issues).
    #[must_use]
    pub fn certifies(&self, name: &str, validity: Validity) -> ServerConfig {
        let (certificate, key) = self.issues(name, validity);
        let certificate = CertificateDer::from_pem_slice(certificate.as_bytes()).expect("PEM");
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("PEM");
        ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .expect("the provider speaks TLS")
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .expect("a certificate and its key")
    }
}

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}

async fn serve(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    script: Script,
    record: ConnectionRecord,
) {
    match script {
        Script::HangUp => return,
        Script::PassOn(address) => return pass_on(stream, address, record).await,
        Script::Tunnel(answer) => return tunnel(stream, answer, record).await,
        Script::Answer(_)
        | Script::AnswerAndClose(_)
        | Script::AnswerAndReset(_)
        | Script::AnswerOnce(_)
        | Script::Silence => {}
    }
    let (mut buffer, mut answered) = ([0; 16 * 1024], 0);
    while let Ok(read @ 1..) = stream.read(&mut buffer).await {
        let heads = record.keep(&buffer[..read]);
        while answered < heads {
            answered += 1;
            match script {
                Script::AnswerOnce(_) if answered > 1 => return,
                Script::Answer(bytes) | Script::AnswerOnce(bytes) => {
                    if stream.write_all(bytes).await.is_err() {
                        return;
                    }
                }
                Script::AnswerAndClose(bytes) | Script::AnswerAndReset(bytes) => {
                    let _ = stream.write_all(bytes).await;
                    return;
                }
                Script::HangUp | Script::PassOn(_) | Script::Silence | Script::Tunnel(_) => {}
            }
        }
    }
}

async fn tunnel(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    answer: &[u8],
    record: ConnectionRecord,
) {
    let (mut buffer, mut head) = ([0; 16 * 1024], Vec::new());
    let behind = loop {
        let Ok(read @ 1..) = stream.read(&mut buffer).await else { return };
        record.keep(&buffer[..read]);
        head.extend_from_slice(&buffer[..read]);
        if let Some(end) = head.windows(4).position(|window| window == b"\r\n\r\n") {
            break head.split_off(end + 4);
        }
    };
    if stream.write_all(&[answer, &behind].concat()).await.is_err() {
        return;
    }
    while let Ok(read @ 1..) = stream.read(&mut buffer).await {
        record.keep(&buffer[..read]);
        if stream.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}

async fn pass_on(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    address: SocketAddr,
    record: ConnectionRecord,
) {
    let application = TcpStream::connect(address).await.expect("the application listens");
    let ((mut from_gate, mut to_gate), (mut from_it, mut to_it)) =
        (split(stream), application.into_split());
    let there = async {
        let mut buffer = [0; 16 * 1024];
        while let Ok(read @ 1..) = from_gate.read(&mut buffer).await {
            record.keep(&buffer[..read]);
            if to_it.write_all(&buffer[..read]).await.is_err() {
                break;
            }
        }
        let _ = to_it.shutdown().await;
    };
    let back = async {
        let _ = copy(&mut from_it, &mut to_gate).await;
        let _ = to_gate.shutdown().await;
    };
    tokio::join!(there, back);
}

/// What came over each connection, in the order of their beginnings.
#[derive(Clone, Debug, Default)]
struct Connections(Arc<Mutex<Vec<Vec<u8>>>>);

/// What came over one connection.
struct ConnectionRecord {
    connections: Connections,
    number: usize,
}

impl Connections {
    fn begin(&self) -> ConnectionRecord {
        let mut connections = self.lock();
        connections.push(Vec::new());
        ConnectionRecord { connections: self.clone(), number: connections.len() - 1 }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Vec<u8>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ConnectionRecord {
    /// Keeps these bytes, and says how many header blocks have come by now.
    fn keep(&self, bytes: &[u8]) -> usize {
        let mut connections = self.connections.lock();
        let received = &mut connections[self.number];
        received.extend_from_slice(bytes);
        received.windows(4).filter(|window| window == b"\r\n\r\n").count()
    }
}

/// Named, because in a build of the whole workspace there are two to choose from.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}
