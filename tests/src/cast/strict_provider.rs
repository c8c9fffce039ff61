//! The certified `oidc-provider` at its strictest: whoever does not sign, push and bind is refused.

use serde::Deserialize;

use super::line_protocol::LineProtocol;

/// A running provider; it ends when this is dropped.
#[derive(Debug)]
pub struct StrictProvider {
    issuer: String,
    clients: Vec<StrictClient>,
    // Never spoken to after the first line; its end is the provider's.
    _program: LineProtocol,
}

/// A client that it knows, and what this client proves itself with.
#[derive(Debug, Clone, Deserialize)]
pub struct StrictClient {
    /// Its name, and its `client_id`: `everything`, `in-the-address`, `pushed` or `secret`.
    pub name: String,
    /// Its private key, PKCS #8 in PEM, published under its name; or its secret.
    pub key: String,
}

#[derive(Deserialize)]
struct Ready {
    issuer: String,
    clients: Vec<StrictClient>,
}

impl StrictProvider {
    /// Starts one on a free port, for a gate at `origin`, and waits until it answers.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn start(origin: &str) -> Self {
        let mut program = LineProtocol::start("strict_provider.mjs", ["--origin", origin]);
        let ready = program.hear().await;
        let Ready { issuer, clients } =
            serde_json::from_value(ready).expect("the provider's first line says where it is");
        Self { issuer, clients, _program: program }
    }

    /// The issuer, without a slash at its end.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Every client.
    #[must_use]
    pub fn clients(&self) -> &[StrictClient] {
        &self.clients
    }
}
