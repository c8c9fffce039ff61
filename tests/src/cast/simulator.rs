//! A simulated identity provider that misbehaves when it is told to, and remembers everything.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;
use serde_json::{Value, json};

use super::certified_provider::Event;
use super::line_protocol::LineProtocol;

/// A running simulator; it ends when this is dropped. Its presets, switches and events are listed in
/// `tests/rigs/README.md`.
#[derive(Debug)]
pub struct Simulator {
    ready: Ready,
    http: reqwest::Client,
    // Never spoken to after the first line; its end is the simulator's.
    _program: LineProtocol,
}

/// PEM files that make a simulator speak TLS.
#[derive(Debug, Clone)]
pub struct SimulatorTls {
    /// The certificate chain, good for both `localhost` and `127.0.0.1`.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// Who signs client certificates. Needed where the preset demands them.
    pub client_authority: Option<PathBuf>,
}

/// A key of a client's.
#[derive(Debug, Deserialize)]
pub struct ClientKey {
    /// The private key, PKCS#8 in PEM.
    pub pem: String,
    /// The public key, as it is registered.
    pub jwk: Value,
}

/// Makes a key for each of these: algorithm, name and use (`sig` or `enc`).
///
/// # Panics
/// When they are not made.
pub async fn client_keys(wanted: &[(&str, &str, &str)]) -> Vec<ClientKey> {
    let wanted =
        wanted.iter().map(|(alg, kid, r#use)| json!({ "alg": alg, "kid": kid, "use": r#use }));
    let mut program = LineProtocol::start("simulators/client_keys.mjs", [] as [&str; 0]);
    let keys = program.ask(&wanted.collect()).await;
    serde_json::from_value(keys).expect("keys are a list")
}

#[derive(Debug, Deserialize)]
struct Ready {
    issuer: Option<String>,
    admin: String,
    endpoints: BTreeMap<String, String>,
    aliases: BTreeMap<String, String>,
}

impl Simulator {
    /// Starts a preset on free ports. The client is in the names of RFC 7591, and its certificate, if
    /// any, is `certificate_sha256` in hexadecimal.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn start(preset: &str, client: &Value, tls: Option<&SimulatorTls>) -> Self {
        Self::start_with(preset, client, tls, &json!({})).await
    }

    /// The same, with other behaviour than the preset's where this names it.
    ///
    /// # Panics
    /// As [`start`](Self::start).
    pub async fn start_with(
        preset: &str,
        client: &Value,
        tls: Option<&SimulatorTls>,
        behaviour: &Value,
    ) -> Self {
        let mut setup = json!({ "preset": preset, "clients": [client], "behaviour": behaviour });
        if let Some(SimulatorTls { certificate, key, client_authority }) = tls {
            setup["tls"] =
                json!({ "cert": certificate, "key": key, "client_ca": client_authority });
        }
        let mut program = LineProtocol::start("simulators/main.mjs", [] as [&str; 0]);
        let ready = program.ask(&setup).await;
        let ready = serde_json::from_value(ready).expect("the first line says where it is");
        // Node closes a connection that was idle for some seconds just as it may be used again.
        let http = reqwest::Client::builder().pool_max_idle_per_host(0).build();
        Self { ready, http: http.expect("a client"), _program: program }
    }

    /// The issuer: a URL, or with `sim-fanbase` a word.
    ///
    /// # Panics
    /// When the preset has none.
    #[must_use]
    pub fn issuer(&self) -> &str {
        self.ready.issuer.as_deref().expect("the preset has an issuer")
    }

    /// An endpoint's URL by its name, for example `authorization`, `token` or `par`.
    ///
    /// # Panics
    /// When the preset does not have it.
    #[must_use]
    pub fn endpoint(&self, name: &str) -> &str {
        let found = self.ready.endpoints.get(name);
        found.unwrap_or_else(|| panic!("the simulator has no endpoint {name}"))
    }

    /// The same for those that are published as `mtls_endpoint_aliases`.
    ///
    /// # Panics
    /// When the preset does not have it.
    #[must_use]
    pub fn alias(&self, name: &str) -> &str {
        let found = self.ready.aliases.get(name);
        found.unwrap_or_else(|| panic!("the simulator has no alias {name}"))
    }

    /// Misbehaves in this way until told otherwise.
    pub async fn switch(&self, name: &str, parameters: &Value) {
        self.post("/switch", &json!({ "name": name, "parameters": parameters })).await;
    }

    /// Misbehaves in this way the next time only.
    pub async fn switch_once(&self, name: &str, parameters: &Value) {
        let switch = json!({ "name": name, "parameters": parameters, "once": true });
        self.post("/switch", &switch).await;
    }

    /// Behaves again, in every way.
    pub async fn clear_switches(&self) {
        self.post("/clear", &json!({})).await;
    }

    /// The names of what is switched on now. One that is used up by an answer, and was, is not among them.
    pub async fn set_switches(&self) -> Vec<String> {
        let all = self.get("/switches").await;
        all["set"].as_object().map(|set| set.keys().cloned().collect()).unwrap_or_default()
    }

    /// Lets go of what a `…_slow` switch holds.
    pub async fn release(&self) {
        self.post("/release", &json!({})).await;
    }

    /// Moves the simulator's own clock.
    pub async fn forward(&self, seconds: i64) {
        self.post("/clock", &json!({ "forward": seconds })).await;
    }

    /// Adds a client, or changes one: its redirect URIs, once they are known.
    pub async fn register(&self, client: &Value) {
        self.post("/client", client).await;
    }

    /// Who signs in, and what is known about them beyond the usual.
    pub async fn current_user(&self, user: &str, claims: &Value) {
        self.post("/user", &json!({ "user": user, "claims": claims })).await;
    }

    /// Signs with new keys from now on, and withdraws the old ones if asked.
    pub async fn rotate_keys(&self, drop: bool) {
        self.post("/rotate", &json!({ "drop": drop })).await;
    }

    /// A logout token of this provider for a client.
    ///
    /// # Panics
    /// When the simulator does not make one.
    pub async fn logout_token(&self, client: &str, subject: &str) -> String {
        let asked = json!({ "client_id": client, "sub": subject });
        let answer = self.post("/logout_token", &asked).await;
        answer["logout_token"].as_str().expect("there is a logout token").to_owned()
    }

    /// What happened, oldest first, of the kinds that begin with this; "" is everything.
    ///
    /// # Panics
    /// When the simulator does not answer.
    pub async fn events(&self, kind: &str) -> Vec<Event> {
        let events = self.get(&format!("/events?type={kind}")).await;
        serde_json::from_value(events).expect("events are a list")
    }

    /// Why requests were refused, oldest first, for a test to print.
    pub async fn refusals(&self) -> Vec<String> {
        let events = self.events("refused").await;
        let reason = |event: &Event| event.detail.get("reason")?.as_str().map(str::to_owned);
        events.iter().filter_map(reason).collect()
    }

    /// How often this code came to the token endpoint.
    pub async fn token_requests(&self, code: &str) -> u64 {
        self.get("/token_requests").await[code].as_u64().unwrap_or(0)
    }

    /// Every authorization request's query, exactly as it came.
    ///
    /// # Panics
    /// When the simulator does not answer.
    pub async fn authorize_queries(&self) -> Vec<String> {
        let queries = self.get("/authorize_queries").await;
        serde_json::from_value(queries).expect("queries are texts")
    }

    /// The SHA-256 of the client certificates seen at each endpoint; `None` stands for no certificate.
    ///
    /// # Panics
    /// When the simulator does not answer.
    pub async fn certificates(&self) -> BTreeMap<String, Vec<Option<String>>> {
        let seen = self.get("/certificates").await;
        serde_json::from_value(seen).expect("certificates are listed by endpoint")
    }

    /// The `jti` of every client assertion that was in order up to there.
    ///
    /// # Panics
    /// When the simulator does not answer.
    pub async fn assertions(&self) -> Vec<String> {
        serde_json::from_value(self.get("/assertions").await).expect("assertions are texts")
    }

    async fn get(&self, route: &str) -> Value {
        let request = self.http.get(format!("{}{route}", self.ready.admin));
        Self::answer(route, request).await
    }

    async fn post(&self, route: &str, body: &Value) -> Value {
        let request = self.http.post(format!("{}{route}", self.ready.admin));
        Self::answer(route, request.body(body.to_string())).await
    }

    async fn answer(route: &str, request: reqwest::RequestBuilder) -> Value {
        let answer = request.send().await.expect("the admin listener answers");
        let status = answer.status();
        let body = answer.bytes().await.expect("the admin listener answers in full");
        let body: Value = serde_json::from_slice(&body).expect("the admin listener speaks JSON");
        assert!(status.is_success(), "the simulator refuses {route}: {body}");
        body
    }
}
