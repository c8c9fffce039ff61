//! An identity provider of one kind, in its vendor's own manner.
//!
//! GitHub is not Google: each has its own endpoints, field names, pages, limits and words of refusal, and
//! a preset is right when it copes with those. `tests/rigs/kinds.mjs` serves them on loopback; this starts
//! it, chooses who signs in, spoils what is to be spoiled, and reads what was asked for.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;
use serde_json::{Value, json};

use super::line_protocol::LineProtocol;

/// A running fixture; it ends when this is dropped. Its endpoints and personas are described in
/// `tests/rigs/README.md`.
#[derive(Debug)]
pub struct KindFixture {
    ready: Ready,
    http: reqwest::Client,
    // Never spoken to after the first line; its end is the fixture's.
    _program: LineProtocol,
}

/// What a fixture is started with.
#[derive(Debug, Default)]
pub struct KindSetup {
    /// A host name for every address; `127.0.0.1` without one.
    pub host: Option<String>,
    /// PEM files of a certificate chain and its key; plain HTTP without them.
    pub tls: Option<(PathBuf, PathBuf)>,
    /// Whether addresses keep the vendor's own host names, which [`KindFixture::proxy`] leads here.
    pub vendor_names: bool,
}

/// How an endpoint fails.
#[derive(Debug, Clone, PartialEq)]
pub enum Failure {
    /// With this status and the vendor's body for it.
    Status(u16),
    /// As the vendor answers who asks too often; GitHub also knows the variants `secondary` and `too_many`.
    RateLimit(Option<&'static str>),
    /// This late.
    Slow(std::time::Duration),
    /// With status 200 and something that is not JSON.
    Garbage,
    /// Half of the body, and then nothing more.
    Truncated,
    /// The connection is closed without an answer.
    Cut,
    /// With this status and this JSON.
    Body(u16, Value),
    /// As ever, but for members that are taken away and members that are put in, by dotted path.
    Edit {
        /// The paths of what is missing.
        remove: Vec<&'static str>,
        /// The paths of what is there instead.
        set: Vec<(&'static str, Value)>,
    },
}

/// How often an endpoint fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Often {
    /// At the next request only.
    Once,
    /// Until [`KindFixture::mend`].
    Always,
}

/// What somebody loses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// Every group, team and organization; tokens stay good.
    Membership,
    /// Every token.
    Grant,
}

/// A request that the fixture received.
#[derive(Debug, Clone, Deserialize)]
pub struct KindRequest {
    /// What the fixture calls the endpoint; none for an address that the vendor does not have.
    pub endpoint: Option<String>,
    /// The method.
    pub method: String,
    /// The host that was asked for.
    pub host: Option<String>,
    /// The path as it was sent.
    pub path: String,
    /// The query, decoded; the last of several values.
    pub query: BTreeMap<String, String>,
    /// The headers; names are in lower case.
    pub headers: BTreeMap<String, Value>,
    /// The body as it was sent.
    pub body: String,
}

/// The client that the vendor knows.
#[derive(Debug, Clone, Deserialize)]
pub struct KindClient {
    /// The `client_id`.
    pub id: String,
    /// The `client_secret`, where the kind has one.
    pub secret: String,
    /// What else belongs to it at this vendor, for example `tenant`, `team` or `team_id`.
    #[serde(flatten)]
    pub more: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
struct Ready {
    base_url: String,
    issuer: Option<String>,
    admin: String,
    proxy: String,
    client: KindClient,
    endpoints: BTreeMap<String, String>,
    personas: Vec<String>,
}

impl KindFixture {
    /// Starts one on a free port and waits until it answers.
    ///
    /// # Panics
    /// When it does not start; there may be no such kind.
    pub async fn start(kind: &str) -> Self {
        Self::start_as(kind, &KindSetup::default()).await
    }

    /// As [`start`](Self::start), with TLS or other names.
    ///
    /// # Panics
    /// As [`start`](Self::start).
    pub async fn start_as(kind: &str, setup: &KindSetup) -> Self {
        let mut arguments: Vec<PathBuf> = vec![kind.into()];
        if let Some(host) = &setup.host {
            arguments.extend(["--host".into(), host.into()]);
        }
        if let Some((certificate, key)) = &setup.tls {
            arguments.extend(["--cert".into(), certificate.clone(), "--key".into(), key.clone()]);
        }
        if setup.vendor_names {
            arguments.push("--vendor-names".into());
        }
        let mut program = LineProtocol::start("kinds.mjs", arguments);
        let ready = program.hear().await;
        let ready =
            serde_json::from_value(ready).expect("the first line says where the fixture is");
        Self { ready, http: reqwest::Client::new(), _program: program }
    }

    /// Where all hosts of the vendor are, without a slash at its end.
    #[must_use]
    pub fn base_url(&self) -> &str {
        &self.ready.base_url
    }

    /// The issuer as the vendor writes it, for kinds that have one.
    #[must_use]
    pub fn issuer(&self) -> Option<&str> {
        self.ready.issuer.as_deref()
    }

    /// An HTTP proxy that leads every host to the fixture.
    #[must_use]
    pub fn proxy(&self) -> &str {
        &self.ready.proxy
    }

    /// The client that the vendor knows.
    #[must_use]
    pub fn client(&self) -> &KindClient {
        &self.ready.client
    }

    /// Whom the fixture knows: `member`, `outsider`, `unverified`, `many` and the kind's own.
    #[must_use]
    pub fn personas(&self) -> &[String] {
        &self.ready.personas
    }

    /// The address of an endpoint; names behind a colon are for the caller to fill in.
    ///
    /// # Panics
    /// When the kind has none of that name.
    #[must_use]
    pub fn endpoint(&self, name: &str) -> &str {
        let endpoints = &self.ready.endpoints;
        endpoints.get(name).unwrap_or_else(|| panic!("no endpoint {name} in {endpoints:?}"))
    }

    /// Who signs in from now on.
    pub async fn become_persona(&self, persona: &str) {
        self.post("/persona", &json!({ "persona": persona })).await;
    }

    /// Changes what is known about somebody, in the words of `tests/rigs/kinds/engine/people.mjs`.
    pub async fn change_persona(&self, persona: &str, change: &Value) {
        self.post("/persona", &json!({ "persona": persona, "change": change })).await;
    }

    /// Lets nobody in from now on, or everybody again.
    pub async fn deny(&self, deny: bool) {
        self.post("/deny", &json!({ "deny": deny })).await;
    }

    /// Lets an endpoint fail. `*` is every endpoint; `id_token`, `access_token` and `token_answer` can be
    /// edited before they are signed or sent.
    ///
    /// # Panics
    /// When the kind has no such endpoint.
    pub async fn fail(&self, endpoint: &str, failure: &Failure, often: Often) {
        let mut fault = match failure {
            Failure::Status(status) => json!({ "how": "status", "status": status }),
            Failure::RateLimit(variant) => json!({ "how": "rate_limit", "variant": variant }),
            Failure::Slow(late) => json!({ "how": "slow", "milliseconds": late.as_millis() }),
            Failure::Garbage => json!({ "how": "garbage" }),
            Failure::Truncated => json!({ "how": "truncated" }),
            Failure::Cut => json!({ "how": "cut" }),
            Failure::Body(status, body) => json!({ "how": "body", "status": status, "body": body }),
            Failure::Edit { remove, set } => {
                let set: serde_json::Map<_, _> =
                    set.iter().map(|(path, value)| ((*path).to_owned(), value.clone())).collect();
                json!({ "how": "edit", "remove": remove, "set": set })
            }
        };
        fault["endpoint"] = json!(endpoint);
        fault["times"] = if often == Often::Always { json!("always") } else { json!(1) };
        self.post("/fail", &fault).await;
    }

    /// Ends every failure.
    pub async fn mend(&self) {
        self.ask(reqwest::Method::DELETE, "/fail", None).await;
    }

    /// Takes something from somebody.
    pub async fn revoke(&self, persona: &str, loss: Loss) {
        let what = if loss == Loss::Grant { "grant" } else { "membership" };
        self.post("/revoke", &json!({ "persona": persona, "what": what })).await;
    }

    /// Lets every access token expire; refresh tokens stay good.
    pub async fn expire_access_tokens(&self) {
        self.post("/expire", &json!({})).await;
    }

    /// Where people may be sent back to; anywhere until this is said.
    pub async fn accept_returns_to(&self, redirects: &[&str]) {
        self.post("/clients", &json!({ "redirect_uris": redirects })).await;
    }

    /// The public keys, PEM, of a client or service account that signs what it says.
    pub async fn accept_client_keys(&self, keys: &[&str]) {
        self.post("/clients", &json!({ "keys": keys })).await;
    }

    /// Switches of this kind only; `tests/rigs/README.md` lists them.
    pub async fn settings(&self, settings: &Value) {
        self.post("/settings", settings).await;
    }

    /// Signs with new keys from now on, and withdraws the old ones.
    pub async fn rotate_keys(&self) {
        self.post("/rotate", &json!({ "drop": true })).await;
    }

    /// Forgets requests, failures, tokens and settings; keys and redirect URIs stay.
    pub async fn reset(&self) {
        self.post("/reset", &json!({})).await;
    }

    /// What was asked for at an endpoint, oldest first; "" is everything.
    ///
    /// # Panics
    /// When the fixture does not answer.
    pub async fn requests(&self, endpoint: &str) -> Vec<KindRequest> {
        let route = format!("/requests?endpoint={endpoint}");
        let answer = self.ask(reqwest::Method::GET, &route, None).await;
        serde_json::from_value(answer).expect("requests are a list")
    }

    async fn post(&self, route: &str, body: &Value) {
        self.ask(reqwest::Method::POST, route, Some(body)).await;
    }

    async fn ask(&self, method: reqwest::Method, route: &str, body: Option<&Value>) -> Value {
        let mut request = self.http.request(method, format!("{}{route}", self.ready.admin));
        if let Some(body) = body {
            request = request.body(body.to_string());
        }
        let answer = request.send().await.expect("the admin listener answers");
        let status = answer.status();
        let text = answer.text().await.expect("the admin listener answers in full");
        assert!(status.is_success(), "the fixture refuses {route}: {text}");
        serde_json::from_str(&text).expect("the admin listener speaks JSON")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{Failure, KindFixture, Loss, Often};

    async fn sign_in(fixture: &KindFixture) -> Value {
        let client = fixture.client();
        let callback = "https://app.example.com/.lychgate/callback";
        let mut address = url::Url::parse(fixture.endpoint("authorization")).expect("an address");
        address.query_pairs_mut().extend_pairs([
            ("client_id", client.id.as_str()),
            ("redirect_uri", callback),
            ("response_type", "code"),
            ("scope", "user:email read:org"),
            ("state", "s"),
        ]);
        let browser =
            reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build();
        let answer = browser.expect("a client").get(address).send().await.expect("an answer");
        let location = answer.headers()["location"].to_str().expect("text");
        let location = url::Url::parse(location).expect("an address");
        let (_, code) = location.query_pairs().find(|(name, _)| name == "code").expect("a code");
        let mut form = url::form_urlencoded::Serializer::new(String::new());
        form.extend_pairs([
            ("client_id", client.id.as_str()),
            ("client_secret", client.secret.as_str()),
            ("code", code.as_ref()),
        ]);
        let request = reqwest::Client::new()
            .post(fixture.endpoint("token"))
            .header("accept", "application/json")
            .header("content-type", "application/x-www-form-urlencoded")
            .body(form.finish());
        read(request).await
    }

    async fn read(request: reqwest::RequestBuilder) -> Value {
        let body = request.send().await.expect("an answer").text().await.expect("a body");
        serde_json::from_str(&body).unwrap_or(Value::Null)
    }

    #[tokio::test]
    async fn a_fixture_answers_as_its_vendor_until_it_is_told_to_fail() {
        let fixture = KindFixture::start("github").await;
        fixture.become_persona("many").await;
        let token = sign_in(&fixture).await;
        let organizations = || {
            let bearer = token["access_token"].as_str().expect("an access token");
            let address = format!("{}?per_page=100", fixture.endpoint("orgs"));
            reqwest::Client::new().get(address).bearer_auth(bearer)
        };

        let page = read(organizations()).await;
        let edit = Failure::Edit { remove: vec!["0.login"], set: vec![("0.id", json!(7))] };
        fixture.fail("orgs", &edit, Often::Once).await;
        let edited = read(organizations()).await;
        fixture.fail("orgs", &Failure::RateLimit(Some("secondary")), Often::Always).await;
        let limited = organizations().send().await.expect("an answer");
        fixture.mend().await;
        fixture.revoke("many", Loss::Membership).await;
        let revoked = read(organizations()).await;

        assert_eq!(page.as_array().map(Vec::len), Some(100));
        assert_eq!((&edited[0]["login"], &edited[0]["id"]), (&Value::Null, &json!(7)));
        assert_eq!(limited.status(), 403);
        assert_eq!(limited.headers()["retry-after"], "60");
        assert_eq!(revoked, json!([]));
        let requests = fixture.requests("orgs").await;
        assert_eq!(requests.len(), 4);
        assert_eq!(requests[0].query["per_page"], "100");
    }
}
