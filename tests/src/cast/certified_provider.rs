//! The certified `oidc-provider`, as somebody else's idea of what OpenID Connect asks for.

use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::admin_listener::AdminListener;
use super::line_protocol::LineProtocol;
use super::scratch::Scratch;

/// A running provider; it ends when this is dropped. Its users are listed in
/// `tests/rigs/README.md`; their password is [`PASSWORD`].
#[derive(Debug)]
pub struct CertifiedProvider {
    issuer: String,
    admin: AdminListener,
    authority: Option<String>,
    clients: Vec<RegisteredClient>,
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
    /// PEM files of a certificate chain and its key. Without them a strict provider makes its own, and
    /// any other speaks plain HTTP.
    pub tls: Option<(PathBuf, PathBuf)>,
    /// Where the ID token's claims go.
    pub claims: ClaimsIn,
    /// What it can do, and for whom it insists on it.
    pub capabilities: Capabilities,
    /// A PEM file of an authority whose client certificates a strict provider believes, beside its own.
    pub client_authority: Option<PathBuf>,
}

/// What the provider can do.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub enum Capabilities {
    /// What every provider can do.
    #[default]
    Plain,
    /// TLS, and everything that FAPI and its neighbours ask for. There are more clients then, and what
    /// each of them registered is demanded of it.
    Strict,
}

/// Whether a DPoP proof needs a nonce of the provider's (RFC 9449, section 8).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nonces {
    /// It does, as when a strict provider starts.
    Required,
    /// It does not.
    Optional,
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

/// A client that the provider knows, and what it takes to be it. Which of them a client has depends on its
/// kind; `tests/rigs/README.md` lists them.
#[derive(Debug, Clone, Deserialize)]
pub struct RegisteredClient {
    /// What the stories call it, for example `rs256` or `fapi2-mtls`.
    pub name: String,
    /// The `client_id`.
    pub id: String,
    /// The `client_secret`; empty where there is none.
    #[serde(default)]
    pub secret: String,
    /// Its `token_endpoint_auth_method`.
    pub auth: String,
    /// How its ID tokens are signed, for example `ES384`.
    pub alg: String,
    /// The rest of its registration, in the names of RFC 7591 and its extensions.
    #[serde(default)]
    pub metadata: Map<String, Value>,
    /// The FAPI profile that the provider holds it to: `2.0` or `1.0 Final`.
    pub fapi: Option<String>,
    /// The key that signs assertions and request objects, PKCS#8 in PEM.
    pub signing_key: Option<String>,
    /// The `kid` that the provider knows that key by.
    pub signing_key_id: Option<String>,
    /// The key that decrypts ID tokens, userinfo and answers, PKCS#8 in PEM.
    pub decryption_key: Option<String>,
    /// The certificate to present, PEM.
    pub certificate: Option<String>,
    /// The certificate's key, PKCS#8 in PEM.
    pub certificate_key: Option<String>,
}

/// Where a client's keys are, for a configuration to name them.
#[derive(Debug, Clone)]
pub struct ClientFiles {
    /// See [`RegisteredClient::signing_key`].
    pub signing_key: Option<PathBuf>,
    /// See [`RegisteredClient::decryption_key`].
    pub decryption_key: Option<PathBuf>,
    /// See [`RegisteredClient::certificate`].
    pub certificate: Option<PathBuf>,
    /// See [`RegisteredClient::certificate_key`].
    pub certificate_key: Option<PathBuf>,
}

impl RegisteredClient {
    /// A text of its registration, for example `request_object_signing_alg`.
    #[must_use]
    pub fn registered(&self, member: &str) -> Option<&str> {
        self.metadata.get(member)?.as_str()
    }

    /// Writes the keys that it has into this directory.
    ///
    /// # Panics
    /// When they cannot be written.
    #[must_use]
    pub fn files_in(&self, scratch: &Scratch) -> ClientFiles {
        let write = |what: &str, pem: &Option<String>| {
            pem.as_ref().map(|pem| scratch.write(&format!("{}.{what}.pem", self.name), pem))
        };
        ClientFiles {
            signing_key: write("signing", &self.signing_key),
            decryption_key: write("decryption", &self.decryption_key),
            certificate: write("certificate", &self.certificate),
            certificate_key: write("certificate-key", &self.certificate_key),
        }
    }
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
    pub detail: Map<String, Value>,
}

#[derive(Deserialize)]
struct Ready {
    issuer: String,
    admin: String,
    authority: Option<String>,
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
        if setup.capabilities == Capabilities::Strict {
            arguments.push("--strict".into());
        }
        if let Some(authority) = &setup.client_authority {
            arguments.extend(["--client-ca".into(), authority.clone()]);
        }
        let mut program = LineProtocol::start("provider.mjs", arguments);
        let ready = program.hear().await;
        let Ready { issuer, admin, authority, clients } =
            serde_json::from_value(ready).expect("the provider's first line says where it is");
        let admin = AdminListener::at(admin);
        Self { issuer, admin, authority, clients, _program: program }
    }

    /// The issuer, without a slash at its end.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// The authority of a strict provider, PEM: by it are its clients' certificates and, unless
    /// [`ProviderSetup::tls`] says otherwise, its own.
    ///
    /// # Panics
    /// When the provider is a plain one.
    #[must_use]
    pub fn authority(&self) -> &str {
        self.authority.as_deref().expect("a strict provider has an authority")
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
        self.admin.post("/clients", &uris).await;
    }

    /// As [`accept_returns_to`](Self::accept_returns_to), with clients of the caller's own in the names of
    /// RFC 7591. One whose `client_id` is known already is changed by what it says.
    pub async fn register(&self, redirects: &[&str], after_logout: &[&str], clients: &[Value]) {
        let body = json!({
            "redirect_uris": redirects,
            "post_logout_redirect_uris": after_logout,
            "clients": clients,
        });
        self.admin.post("/clients", &body).await;
    }

    /// Whom the provider signs in where the request names nobody.
    pub async fn current_user(&self, user: &str) {
        self.admin.post("/user", &json!({ "user": user })).await;
    }

    /// How people sign in from now on.
    pub async fn login(&self, login: Login) {
        let mode = match login {
            Login::Automatic => "auto",
            Login::Form => "form",
            Login::Denied => "deny",
        };
        self.admin.post("/login", &json!({ "mode": mode })).await;
    }

    /// The authentication context (`acr`) that every sign-in at a strict provider reaches from now on,
    /// whatever is asked for. `None` is how it starts: what is asked for is reached.
    pub async fn reach_context(&self, acr: Option<&str>) {
        self.admin.post("/acr", &json!({ "acr": acr })).await;
    }

    /// Whether proofs need nonces from now on.
    pub async fn nonces(&self, nonces: Nonces) {
        self.admin.post("/dpop-nonces", &json!({ "required": nonces == Nonces::Required })).await;
    }

    /// How long access tokens live from now on; five minutes at first.
    pub async fn access_tokens_live(&self, lifetime: Duration) {
        self.admin.post("/access-tokens", &json!({ "seconds": lifetime.as_secs() })).await;
    }

    /// Signs with new keys from now on.
    pub async fn rotate_keys(&self, old: OldKeys) {
        self.admin.post("/rotate", &json!({ "drop": old == OldKeys::Withdrawn })).await;
    }

    /// Ends every session and forgets every event; clients and keys stay.
    pub async fn reset(&self) {
        self.admin.post("/reset", &json!({})).await;
    }

    /// What happened, oldest first, of the kinds that begin with this; "" is everything.
    ///
    /// # Panics
    /// When the provider does not answer.
    pub async fn events(&self, kind: &str) -> Vec<Event> {
        self.admin.events(kind).await
    }
}
