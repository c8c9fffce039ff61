//! A gRPC client and a gRPC server as other people wrote them.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::line_protocol::LineProtocol;

/// Both; they end when this is dropped.
#[derive(Debug)]
pub struct Grpc {
    program: LineProtocol,
    server: u16,
}

/// What a call came to.
#[derive(Clone, Debug, Deserialize)]
pub struct Called {
    /// The status: 0, 7, 16 and so on.
    pub code: u16,
    /// Its message.
    pub details: String,
    /// What came with it.
    pub metadata: Map<String, Value>,
    /// The metadata that reached the server, if it answered.
    pub echo: Option<Map<String, Value>>,
}

impl Grpc {
    /// Starts both.
    ///
    /// # Panics
    /// When they do not start.
    pub async fn start() -> Self {
        let mut program = LineProtocol::start("grpc.mjs", [] as [&str; 0]);
        let ready = program.hear().await;
        let server = ready["server"].as_u64().and_then(|port| u16::try_from(port).ok());
        Self { program, server: server.expect("the server says its port") }
    }

    /// The server's port.
    #[must_use]
    pub fn server(&self) -> u16 {
        self.server
    }

    /// Calls what `authority` names at `port` with this metadata.
    ///
    /// # Panics
    /// When the client says nothing.
    pub async fn calls(&mut self, port: u16, authority: &str, metadata: &[(&str, &str)]) -> Called {
        let metadata: Map<String, Value> =
            metadata.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
        let call = json!({ "port": port, "authority": authority, "metadata": metadata });
        let called = self.program.ask(&call).await;
        serde_json::from_value(called).expect("the client says what came of it")
    }
}
