//! HTTP to identity providers: bounded in time and size, without redirects or cookies; with our certificate and
//! through a proxy only where the operator says so, for each provider by itself.
//!
//! A redirect would carry a code or a secret to wherever it points (class L), so it is an answer like any
//! other and the protocol refuses it. Nothing is decompressed: the code for it is not linked.

use std::fmt;
#[cfg(test)]
use std::sync::Arc;
use std::time::Duration;

use lychgate_config::config::{ClientCertificate, ProviderTransport};
use lychgate_gateway::world::Unreachable;

/// The largest answer that is read, in bytes.
const ANSWER_BYTES_MAX: usize = 1 << 20;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// For one whole answer. How long all the questions of one sign-in may take is the gateway's to say (CB-34).
const TOTAL_TIMEOUT: Duration = Duration::from_secs(10);
/// A code is sent once, so a connection that the provider may be closing at this moment is not used for it.
const IDLE_TIMEOUT: Duration = Duration::from_secs(2);

/// The client for everything that one provider is asked. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Fetcher {
    client: reqwest::Client,
    /// Answers in a test, in place of the network.
    #[cfg(test)]
    scripted: Option<Arc<scripted::Provider>>,
}

/// The client's own text would show the address of a proxy, with the password in it.
impl fmt::Debug for Fetcher {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Fetcher").finish_non_exhaustive()
    }
}

impl Fetcher {
    /// A client that goes to a provider as `transport` says. It believes the system's certificate authorities
    /// unless others are named; then it believes these alone.
    ///
    /// # Errors
    /// When the authorities cannot be read, or the certificate cannot be shown.
    pub(crate) fn new(transport: &ProviderTransport) -> Result<Self, reqwest::Error> {
        // `no_proxy` first: it forgets the environment's, and any that came before it.
        let mut client = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .no_proxy()
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(TOTAL_TIMEOUT)
            .pool_idle_timeout(IDLE_TIMEOUT)
            .user_agent("lychgate");
        if let Some(ClientCertificate { chain, key, .. }) = &transport.client_certificate {
            let both = format!("{}\n{chain}", key.expose());
            client = client.identity(reqwest::Identity::from_pem(both.as_bytes())?);
        }
        if let Some(authorities) = &transport.ca {
            let authorities = reqwest::Certificate::from_pem_bundle(authorities.as_bytes())?;
            client = client.tls_certs_only(authorities);
        }
        if let Some(proxy) = &transport.proxy {
            client = client.proxy(reqwest::Proxy::all(proxy.expose())?);
        }
        Ok(Self {
            client: client.build()?,
            #[cfg(test)]
            scripted: None,
        })
    }

    /// A client that asks `provider` and never the network.
    #[cfg(test)]
    pub(crate) fn scripted(provider: Arc<scripted::Provider>) -> Self {
        let client = Self::new(&ProviderTransport::default()).expect("a client");
        Self { scripted: Some(provider), ..client }
    }

    /// Sends one request and reads the whole answer, whatever its status.
    ///
    /// # Errors
    /// [`Unreachable`] when there is no connection, no whole answer within 10 s, or more than 1 MiB of it. The
    /// text has no query and no header in it.
    pub(crate) async fn send(
        &self,
        request: http::Request<Vec<u8>>,
    ) -> Result<http::Response<Vec<u8>>, Unreachable> {
        #[cfg(test)]
        if let Some(provider) = &self.scripted {
            return provider.answer().await;
        }
        let request = reqwest::Request::try_from(request).map_err(unreachable)?;
        let mut answer = self.client.execute(request).await.map_err(unreachable)?;
        let mut response = http::Response::new(Vec::new());
        *response.status_mut() = answer.status();
        *response.headers_mut() = std::mem::take(answer.headers_mut());
        while let Some(piece) = answer.chunk().await.map_err(unreachable)? {
            if response.body().len() + piece.len() > ANSWER_BYTES_MAX {
                return Err(Unreachable(format!(
                    "the answer is longer than {ANSWER_BYTES_MAX} bytes"
                )));
            }
            response.body_mut().extend_from_slice(&piece);
        }
        Ok(response)
    }
}

/// The error and its causes without the URL, which may hold a secret.
fn unreachable(error: reqwest::Error) -> Unreachable {
    Unreachable(crate::chain(&error.without_url()))
}

/// A provider whose answers a test holds back and lets go.
#[cfg(test)]
pub(crate) mod scripted {
    use std::collections::VecDeque;
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::sync::oneshot;

    use super::Unreachable;

    /// Answers in the order in which it is asked, each when it is let go.
    #[derive(Debug, Default)]
    pub(crate) struct Provider {
        answers: Mutex<VecDeque<oneshot::Receiver<Vec<u8>>>>,
        asked: AtomicUsize,
    }

    impl Provider {
        /// The next answer, which has to be let go.
        pub(crate) fn prepare(&self) -> oneshot::Sender<Vec<u8>> {
            let (sender, receiver) = oneshot::channel();
            self.answers.lock().expect("no test goes on after a panic").push_back(receiver);
            sender
        }

        /// How often it was asked.
        pub(crate) fn asked(&self) -> usize {
            self.asked.load(Ordering::Acquire)
        }

        pub(super) async fn answer(&self) -> Result<http::Response<Vec<u8>>, Unreachable> {
            self.asked.fetch_add(1, Ordering::AcqRel);
            let answer = self.answers.lock().expect("no test goes on after a panic").pop_front();
            let silent = || Unreachable("no answer is prepared".to_owned());
            let body = answer.ok_or_else(silent)?.await.map_err(|_| silent())?;
            Ok(http::Response::new(body))
        }
    }
}
#[cfg(test)]
mod tests;
