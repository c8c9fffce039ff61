//! HTTP to identity providers: bounded in time and size, without redirects, cookies or proxies.
//!
//! A redirect would carry a code or a secret to wherever it points (class L), so it is an answer like any
//! other and the protocol refuses it. Nothing is decompressed: the code for it is not linked.

use std::time::Duration;

use lychgate_gateway::world::Unreachable;

/// The largest answer that is read, in bytes.
const ANSWER_BYTES_MAX: usize = 1 << 20;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// For one whole answer. How long all the questions of one sign-in may take is the gateway's to say (CB-34).
const TOTAL_TIMEOUT: Duration = Duration::from_secs(10);
/// A code is sent once, so a connection that the provider may be closing at this moment is not used for it.
const IDLE_TIMEOUT: Duration = Duration::from_secs(2);

/// The client for everything that providers are asked. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Fetcher {
    client: reqwest::Client,
}

impl Fetcher {
    /// A client that trusts the system's certificate authorities.
    ///
    /// # Errors
    /// When these cannot be read.
    pub(crate) fn new() -> Result<Self, reqwest::Error> {
        let client = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .no_proxy()
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(TOTAL_TIMEOUT)
            .pool_idle_timeout(IDLE_TIMEOUT)
            .user_agent("lychgate")
            .build()?;
        Ok(Self { client })
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
