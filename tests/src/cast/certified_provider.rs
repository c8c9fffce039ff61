//! The certified `oidc-provider`, as somebody else's idea of what OpenID Connect asks for.

use std::path::PathBuf;

use serde::Deserialize;
use serde_json::{Value, json};

use super::line_protocol::LineProtocol;

/// A running provider; it ends when this is dropped. Its users are listed in
/// `tests/rigs/README.md`; their password is [`PASSWORD`].
#[derive(Debug)]
pub struct CertifiedProvider {
    issuer: String,
    admin: String,
    clients: Vec<RegisteredClient>,
    http: reqwest::Client,
    // Never spoken to after the first line; its end is the provider's.
    _program: LineProtocol,
}

/// Everybody's password.
pub const PASSWORD: &str = "password";

/// What a provider is started with.
#[derive(Debug, Default)]
pub struct ProviderSetup {
    /// A host name for the issuer URL; `127.0.0.1` without one.
    pub host: Option<String>,
    /// PEM files of a certificate chain and its key; plain HTTP without them.
    pub tls: Option<(PathBuf, PathBuf)>,
    /// Where the ID token's claims go.
    pub claims: ClaimsIn,
}

/// Where the provider puts a user's claims.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub enum ClaimsIn {
    /// In userinfo only, as OpenID Connect Core, section 5.4, has it for a code.
    #[default]
    Userinfo,
    /// In the ID token as well.
    IdTokenToo,
}

/// A client that the provider knows.
#[derive(Debug, Clone, Deserialize)]
pub struct RegisteredClient {
    /// What the stories call it: `rs256`, `ps256`, `es256`, `es384`, `eddsa`, `post` or `odd`.
    pub name: String,
    /// The `client_id`.
    pub id: String,
    /// The `client_secret`.
    pub secret: String,
    /// `client_secret_basic` or `client_secret_post`.
    pub auth: String,
    /// How its ID tokens are signed, for example `ES384`.
    pub alg: String,
}

/// How somebody signs in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Login {
    /// Without a page: whom `login_hint` names, or else the current user.
    Automatic,
    /// With a form for user and password.
    Form,
    /// Not at all: the provider answers `access_denied`.
    Denied,
}

/// What becomes of the signing keys that were in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OldKeys {
    /// They stay published beside the new ones.
    StayPublished,
    /// They are gone at once.
    Withdrawn,
}

/// Something that the provider saw. Which members are there depends on the kind; see
/// `tests/rigs/README.md`.
#[derive(Debug, Clone, Deserialize)]
pub struct Event {
    /// For example `request`, `login`, `grant.success` or `end_session.error`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Everything else that is known about it.
    #[serde(flatten)]
    pub detail: serde_json::Map<String, Value>,
}

#[derive(Deserialize)]
struct Ready {
    issuer: String,
    admin: String,
    clients: Vec<RegisteredClient>,
}

impl CertifiedProvider {
    /// Starts one on a free port and waits until it answers.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn start(setup: &ProviderSetup) -> Self {
        let mut arguments: Vec<PathBuf> = Vec::new();
        if let Some(host) = &setup.host {
            arguments.extend(["--host".into(), host.into()]);
        }
        if let Some((certificate, key)) = &setup.tls {
            arguments.extend(["--cert".into(), certificate.clone(), "--key".into(), key.clone()]);
        }
        if setup.claims == ClaimsIn::IdTokenToo {
            arguments.push("--id-token-claims".into());
        }
        let mut program = LineProtocol::start("provider.mjs", arguments);
        let ready = program.hear().await;
        let Ready { issuer, admin, clients } =
            serde_json::from_value(ready).expect("the provider's first line says where it is");
        Self { issuer, admin, clients, http: reqwest::Client::new(), _program: program }
    }

    /// The issuer, without a slash at its end.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// A client by what the stories call it.
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
        self.post("/clients", &uris).await;
    }

    /// Whom the provider signs in where the request names nobody.
    pub async fn current_user(&self, user: &str) {
        self.post("/user", &json!({ "user": user })).await;
    }

    /// How people sign in from now on.
    pub async fn login(&self, login: Login) {
        let mode = match login {
            Login::Automatic => "auto",
            Login::Form => "form",
            Login::Denied => "deny",
        };
        self.post("/login", &json!({ "mode": mode })).await;
    }

    /// Signs with new keys from now on.
    pub async fn rotate_keys(&self, old: OldKeys) {
        self.post("/rotate", &json!({ "drop": old == OldKeys::Withdrawn })).await;
    }

    /// Ends every session and forgets every event; clients and keys stay.
    pub async fn reset(&self) {
        self.post("/reset", &json!({})).await;
    }

    /// What happened, oldest first, of the kinds that begin with this; "" is everything.
    ///
    /// # Panics
    /// When the provider does not answer.
    pub async fn events(&self, kind: &str) -> Vec<Event> {
        let url = format!("{}/events?type={kind}", self.admin);
        let answer = self.http.get(url).send().await.expect("the admin listener answers");
        let body = answer.bytes().await.expect("the admin listener answers in full");
        serde_json::from_slice(&body).expect("events are a list")
    }

    async fn post(&self, route: &str, body: &Value) {
        let request = self.http.post(format!("{}{route}", self.admin)).body(body.to_string());
        let answer = request.send().await.expect("the admin listener answers");
        let status = answer.status();
        let text = answer.text().await.unwrap_or_default();
        assert!(status.is_success(), "the provider refuses {route}: {text}");
    }
}
