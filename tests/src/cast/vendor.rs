//! A provider in its vendor's own manner: `tests/rigs/kinds.mjs`.

use serde_json::{Value, json};

use super::line_protocol::LineProtocol;

/// A running provider of one kind; it ends when this is dropped.
#[derive(Debug)]
pub struct Vendor {
    kind: String,
    ready: Value,
    http: reqwest::Client,
    // Never spoken to after the first line; its end is the provider's.
    _program: LineProtocol,
}

impl Vendor {
    /// Starts one on a free port and waits until it answers.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn start(kind: &str) -> Self {
        let mut program = LineProtocol::start("kinds.mjs", [kind]);
        let ready = program.hear().await;
        Self { kind: kind.to_owned(), ready, http: reqwest::Client::new(), _program: program }
    }

    /// The kind, as in the configuration.
    #[must_use]
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// Where all its hosts are.
    ///
    /// # Panics
    /// When the first line did not say so.
    #[must_use]
    pub fn base_url(&self) -> &str {
        self.ready["base_url"].as_str().expect("the first line says where it is")
    }

    /// Its issuer, or nothing where it has none.
    #[must_use]
    pub fn issuer(&self) -> &str {
        self.ready["issuer"].as_str().unwrap_or_default()
    }

    /// What is known of our registration: `id`, `secret`, and what the vendor has beside them.
    ///
    /// # Panics
    /// When there is no such member.
    #[must_use]
    pub fn client(&self, member: &str) -> &str {
        let value = self.ready["client"][member].as_str();
        value.unwrap_or_else(|| panic!("the client of {} has no {member}", self.kind))
    }

    /// Whoever signs in next.
    pub async fn persona(&self, persona: &str) {
        self.tell("persona", json!({ "persona": persona })).await;
    }

    /// Spoils what an endpoint answers, as `tests/rigs/kinds/engine/admin.mjs` lists.
    pub async fn fails(&self, fault: Value) {
        self.tell("fail", fault).await;
    }

    /// Takes somebody out of every group, team and organization; their tokens stay good.
    pub async fn takes_memberships(&self, persona: &str) {
        self.tell("revoke", json!({ "persona": persona })).await;
    }

    /// Changes how it behaves.
    pub async fn settings(&self, settings: Value) {
        self.tell("settings", settings).await;
    }

    /// The public keys that it knows us by, PEM.
    pub async fn client_keys(&self, keys: &[String]) {
        self.tell("clients", json!({ "keys": keys })).await;
    }

    /// What it was asked at an endpoint, in order.
    ///
    /// # Panics
    /// When it does not answer.
    pub async fn requests(&self, endpoint: &str) -> Vec<Value> {
        let url = format!("{}/requests?endpoint={endpoint}", self.admin());
        let answer = self.http.get(url).send().await.expect("the vendor's admin answers");
        let text = answer.text().await.expect("the vendor's admin answers in full");
        serde_json::from_str(&text).expect("requests are a list")
    }

    async fn tell(&self, route: &str, body: Value) {
        let url = format!("{}/{route}", self.admin());
        let request = self.http.post(url).body(body.to_string());
        let answer = request.send().await.expect("the vendor's admin answers");
        let ok = answer.status().is_success();
        let text = answer.text().await.unwrap_or_default();
        assert!(ok, "{route}: {text}");
    }

    fn admin(&self) -> &str {
        self.ready["admin"].as_str().expect("the first line says where the admin listens")
    }
}
