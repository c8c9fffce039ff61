//! An application that answers whatever a story wants, byte for byte, and keeps what it received.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::gate::PATIENCE;

/// A listener that records raw bytes, connection by connection. It ends when dropped.
#[derive(Debug)]
pub struct Upstream {
    address: SocketAddr,
    connections: Arc<Mutex<Vec<Vec<u8>>>>,
    accepting: JoinHandle<()>,
}

/// What the application does with each connection.
#[derive(Clone, Copy, Debug)]
pub enum Script {
    /// Answers each header block with these bytes, and goes on reading.
    Answer(&'static [u8]),
    /// Answers the first header block with these bytes, and closes without reading any more.
    AnswerAndClose(&'static [u8]),
    /// Closes as soon as it is connected to.
    HangUp,
    /// Reads, and never answers.
    Silence,
}

impl Upstream {
    /// An application with this script.
    ///
    /// # Panics
    /// When it cannot listen.
    pub async fn start(script: Script) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
        let address = listener.local_addr().expect("a bound socket");
        let connections = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&connections);
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let number = {
                    let mut connections = lock(&kept);
                    connections.push(Vec::new());
                    connections.len() - 1
                };
                tokio::spawn(serve(stream, script, Arc::clone(&kept), number));
            }
        });
        Self { address, connections, accepting }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What came, connection by connection, as text.
    #[must_use]
    pub fn received(&self) -> Vec<String> {
        let connections = lock(&self.connections);
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

async fn serve(
    mut stream: TcpStream,
    script: Script,
    connections: Arc<Mutex<Vec<Vec<u8>>>>,
    number: usize,
) {
    if matches!(script, Script::HangUp) {
        return;
    }
    let (mut buffer, mut answered) = ([0; 16 * 1024], 0);
    while let Ok(read @ 1..) = stream.read(&mut buffer).await {
        let heads = {
            let mut connections = lock(&connections);
            let received = &mut connections[number];
            received.extend_from_slice(&buffer[..read]);
            received.windows(4).filter(|window| window == b"\r\n\r\n").count()
        };
        while answered < heads {
            answered += 1;
            match script {
                Script::Answer(bytes) => {
                    if stream.write_all(bytes).await.is_err() {
                        return;
                    }
                }
                Script::AnswerAndClose(bytes) => {
                    let _ = stream.write_all(bytes).await;
                    return;
                }
                Script::HangUp | Script::Silence => {}
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
