//! The certified provider of the Go library `zitadel/oidc`: a second reading of the same standards.
//!
//! It knows Alice (staff, admin) and Bob (guest) and signs them in without a page. `tests/rigs/README.md`
//! says more.

use std::path::Path;
use std::time::Duration;

use serde::Deserialize;
use serde_json::json;

use super::admin_listener::AdminListener;
use super::certified_provider::{Event, OldKeys, RegisteredClient};
use super::line_protocol::LineProtocol;

/// A running provider; it ends when this is dropped.
#[derive(Debug)]
pub struct ZitadelProvider {
    issuer: String,
    admin: AdminListener,
    clients: Vec<RegisteredClient>,
    // Never spoken to after the first line; its end is the provider's.
    _program: LineProtocol,
}

#[derive(Deserialize)]
struct Ready {
    issuer: String,
    admin: String,
    clients: Vec<RegisteredClient>,
}

impl ZitadelProvider {
    /// Starts one on a free port and waits until it answers.
    ///
    /// # Panics
    /// When it does not start: `cargo xtask setup` was not run.
    pub async fn start() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let mut program = LineProtocol::start_built("zitadel", &root.join("target/rigs/zitadel"));
        let ready = program.hear().await;
        let Ready { issuer, admin, clients } =
            serde_json::from_value(ready).expect("the provider's first line says where it is");
        Self { issuer, admin: AdminListener::at(admin), clients, _program: program }
    }

    /// The issuer, without a slash at its end.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// A client by what the stories call it: `basic`, `post` or `private-key`.
    ///
    /// # Panics
    /// When there is none of that name.
    #[must_use]
    pub fn client(&self, name: &str) -> &RegisteredClient {
        let found = self.clients.iter().find(|client| client.name == name);
        found.unwrap_or_else(|| panic!("the provider has no client {name}"))
    }

    /// Where every client may send people back to, after signing in and after signing out.
    pub async fn accept_returns_to(&self, redirects: &[&str], after_logout: &[&str]) {
        let uris = json!({ "redirect_uris": redirects, "post_logout_redirect_uris": after_logout });
        self.admin.post("/clients", &uris).await;
    }

    /// Whom the provider signs in where the request names nobody.
    pub async fn current_user(&self, user: &str) {
        self.admin.post("/user", &json!({ "user": user })).await;
    }

    /// How long access tokens live from now on; five minutes at first.
    pub async fn access_tokens_live(&self, lifetime: Duration) {
        self.admin.post("/access-tokens", &json!({ "seconds": lifetime.as_secs() })).await;
    }

    /// Signs with a new key from now on.
    pub async fn rotate_keys(&self, old: OldKeys) {
        self.admin.post("/rotate", &json!({ "drop": old == OldKeys::Withdrawn })).await;
    }

    /// What happened, oldest first, of the kinds that begin with this: `request` (`method`, `path`) and
    /// `end_session.success` (`user`, `client`).
    ///
    /// # Panics
    /// When the provider does not answer.
    pub async fn events(&self, kind: &str) -> Vec<Event> {
        self.admin.events(kind).await
    }
}
