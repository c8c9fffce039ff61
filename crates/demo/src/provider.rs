//! An OpenID provider without passwords, strict where a provider should be and wrong where it is
//! told to be.
//!
//! It speaks the authorization code flow with PKCE, and no other, to confidential clients that are
//! registered beforehand. There are no refresh tokens, no consent, and nothing is kept on disk:
//! with the [`Provider`] go its keys and all that it gave out.
//!
//! ```no_run
//! # async fn example() -> std::io::Result<()> {
//! use lychgate_demo::provider::{Client, Provider, ProviderOptions, SignIn, Tamper};
//!
//! let provider = Provider::start(ProviderOptions {
//!     clients: vec![Client {
//!         client_id: "gateway".to_owned(),
//!         client_secret: "a secret of the demo".to_owned(),
//!         redirect_uris: vec!["http://localhost:9000/.lychgate/callback".to_owned()],
//!         post_logout_redirect_uris: vec![],
//!     }],
//!     sign_in: SignIn::Always("alice".to_owned()),
//!     ..ProviderOptions::default()
//! })
//! .await?;
//!
//! provider.set(|control| control.tamper = vec![Tamper::drop_claim("nonce")]);
//! // … a sign-in that must fail …
//! assert_eq!(provider.count("/userinfo"), 0);
//! provider.stop().await;
//! # Ok(())
//! # }
//! ```
//!
//! Sources: RFC 6749, RFC 7636, RFC 9207, OIDC Core, Discovery, RP-Initiated Logout; each file
//! names its sections.

mod answer;
mod authorize;
mod claims;
mod control;
mod discovery;
mod end_session;
mod grants;
mod id_token;
mod introspection;
mod pages;
mod parameters;
mod remembered;
mod token;
mod userinfo;

use std::{
    collections::BTreeMap,
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};

use aws_lc_rs::{error::Unspecified, rand};
use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    http::StatusCode,
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::Value;

pub use self::control::{
    ClaimsIn, Client, Control, Edit, ParameterEdit, RawAnswer, SignIn, Tamper,
};
use self::grants::Grants;
use crate::{
    Algorithm, Fault,
    keys::Keys,
    personas::{self, Persona},
    record::{Recorded, Recorder},
    serve::{self, Server},
};

/// No honest request to a provider is longer.
const BODY_BYTES_MAX: usize = 64 * 1024;

/// How a provider begins; [`Control`] is how it goes on.
#[derive(Clone, Debug)]
pub struct ProviderOptions {
    /// Where to listen: a loopback address. Port 0, the default, takes a free one.
    pub address: SocketAddr,
    /// How the issuer calls this host.
    pub host: Host,
    /// Who may ask for sign-ins; nobody by default.
    pub clients: Vec<Client>,
    /// Who can sign in; [`personas::default`] by default.
    pub personas: Vec<Persona>,
    /// What goes wrong.
    pub fault: Option<Fault>,
    /// How ID tokens are signed.
    pub signing: Algorithm,
    /// Who decides which persona signs in.
    pub sign_in: SignIn,
}

impl Default for ProviderOptions {
    fn default() -> Self {
        Self {
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            host: Host::default(),
            clients: Vec::new(),
            personas: personas::default(),
            fault: None,
            signing: Algorithm::default(),
            sign_in: SignIn::default(),
        }
    }
}

/// The host in the issuer and in every endpoint's address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Host {
    /// The address listened at, as `127.0.0.1`. Its cookies are then apart from those of
    /// `localhost`.
    #[default]
    Address,
    /// The name `localhost`.
    Localhost,
}

/// A running provider; it ends when dropped.
#[derive(Debug)]
pub struct Provider {
    server: Server,
    shared: Arc<Shared>,
}

impl Provider {
    /// Starts a provider in tasks of the caller's tokio runtime. It listens when this returns.
    ///
    /// # Errors
    /// [`NotLoopback`](crate::NotLoopback) as [`io::ErrorKind::InvalidInput`]; the address cannot
    /// be bound; or keys cannot be made.
    pub async fn start(options: ProviderOptions) -> io::Result<Self> {
        let listener = serve::bind(options.address).await?;
        let address = listener.local_addr()?;
        let issuer = match options.host {
            Host::Address => format!("http://{address}"),
            Host::Localhost => format!("http://localhost:{}", address.port()),
        };
        let shared = Arc::new(Shared {
            issuer,
            control: Mutex::new(Control {
                clients: options.clients,
                personas: options.personas,
                sign_in: options.sign_in,
                signing: options.signing,
                claims_in: ClaimsIn::default(),
                fault: options.fault,
                tamper: Vec::new(),
                redirect_edits: Vec::new(),
                discovery_edits: Vec::new(),
                token_edits: Vec::new(),
                userinfo_edits: Vec::new(),
                discovery_answer: None,
                jwks_answer: None,
                token_answer: None,
                userinfo_answer: None,
                introspection: BTreeMap::new(),
                introspection_answer: None,
            }),
            grants: Mutex::default(),
            keys: Mutex::new(KeyRing::generate()?),
            recorder: Recorder::default(),
        });
        let server = Server::start(listener, |_| router(Arc::clone(&shared)))?;
        Ok(Self { server, shared })
    }

    /// The issuer identifier, without a slash at the end.
    #[must_use]
    pub fn issuer(&self) -> &str {
        self.shared.issuer()
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// Changes the behaviour for the requests that come after.
    pub fn set(&self, change: impl FnOnce(&mut Control)) {
        change(&mut lock(&self.shared.control));
    }

    /// A token of this issuer: `typ` in its header is `kind`, and it is signed and spoiled as ID tokens are at this
    /// moment.
    ///
    /// # Errors
    /// It cannot be signed, or `claims` are no object.
    pub fn signs(&self, kind: &str, claims: &Value) -> io::Result<String> {
        let mut control = self.shared.control();
        control.tamper.insert(0, Tamper::set_header("typ", kind));
        let (Some(client), Some(claims)) = (control.clients.first(), claims.as_object()) else {
            return Err(io::Error::other("there is no client, or there are no claims"));
        };
        id_token::write(claims.clone(), &control, client, &self.shared.signing_keys())
            .map_err(|_| io::Error::other("the token cannot be signed"))
    }

    /// Signs with new keys from now on. The earlier ones stay published, as providers keep them
    /// until the last token that they signed has ended.
    ///
    /// # Errors
    /// Keys cannot be made; the earlier ones stay in use.
    pub fn rotate_keys(&self) -> io::Result<()> {
        // Made outside the lock: an RSA key takes a while.
        let keys = generate_keys()?;
        lock(&self.shared.keys).add(keys);
        Ok(())
    }

    /// The last ten thousand requests, the earliest first, whatever they were answered. Only those
    /// with a body over 64 KiB are refused before they are written down.
    #[must_use]
    pub fn requests(&self) -> Vec<Recorded> {
        self.shared.recorder.requests()
    }

    /// How many of [`requests`](Self::requests) were for exactly this path.
    #[must_use]
    pub fn count(&self, path: &str) -> usize {
        self.shared.recorder.count(path)
    }

    /// Forgets the requests so far.
    pub fn clear(&self) {
        self.shared.recorder.clear();
    }

    /// Ends it, and returns once its port is free and its connections are closed, or after two
    /// seconds.
    pub async fn stop(self) {
        self.server.stop().await;
    }
}

/// What every endpoint knows.
#[derive(Debug)]
struct Shared {
    issuer: String,
    control: Mutex<Control>,
    grants: Mutex<Grants>,
    keys: Mutex<KeyRing>,
    recorder: Recorder,
}

impl Shared {
    fn issuer(&self) -> &str {
        &self.issuer
    }

    /// The behaviour at this moment, for the rest of one request.
    fn control(&self) -> Control {
        lock(&self.control).clone()
    }

    fn grants(&self) -> MutexGuard<'_, Grants> {
        lock(&self.grants)
    }

    fn signing_keys(&self) -> Arc<Keys> {
        Arc::clone(&lock(&self.keys).signing)
    }

    /// Every key that is published, the signing ones first.
    fn published_keys(&self) -> Vec<Arc<Keys>> {
        lock(&self.keys).published()
    }
}

/// The keys in use and those before them.
#[derive(Debug)]
struct KeyRing {
    signing: Arc<Keys>,
    retired: Vec<Arc<Keys>>,
}

impl KeyRing {
    fn generate() -> io::Result<Self> {
        Ok(Self { signing: Arc::new(generate_keys()?), retired: Vec::new() })
    }

    fn add(&mut self, keys: Keys) {
        let retired = std::mem::replace(&mut self.signing, Arc::new(keys));
        self.retired.insert(0, retired);
    }

    fn published(&self) -> Vec<Arc<Keys>> {
        std::iter::once(&self.signing).chain(&self.retired).cloned().collect()
    }
}

fn generate_keys() -> io::Result<Keys> {
    Keys::generate().map_err(|_| io::Error::other("the provider's keys cannot be made"))
}

fn router(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/", get(pages::home))
        .route("/.well-known/openid-configuration", get(discovery::metadata))
        .route("/jwks", get(discovery::keys))
        .route("/authorize", get(authorize::authorize).post(authorize::authorize))
        .route("/token", post(token::redeem))
        .route("/introspect", post(introspection::introspect))
        .route("/userinfo", get(userinfo::userinfo).post(userinfo::userinfo))
        .route("/end_session", get(end_session::end_session).post(end_session::end_session))
        .fallback(pages::not_found)
        .layer(middleware::from_fn_with_state(Arc::clone(&shared), record_unless_down))
        .with_state(shared)
}

/// Writes the request down before it is answered, and answers it here while the provider is down.
async fn record_unless_down(
    State(shared): State<Arc<Shared>>,
    request: Request,
    next: Next,
) -> Response {
    let (head, body) = request.into_parts();
    let Ok(body) = axum::body::to_bytes(body, BODY_BYTES_MAX).await else {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    };
    shared.recorder.record(Recorded::new(&head, &body));
    if shared.control().fault == Some(Fault::Down) {
        return pages::down();
    }
    next.run(Request::from_parts(head, Body::from(body))).await
}

/// A panic elsewhere does not end the provider.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Seconds since 1970.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// 256 random bits, for codes and tokens.
fn random_text() -> Result<String, Unspecified> {
    let mut octets = [0; 32];
    rand::fill(&mut octets)?;
    Ok(URL_SAFE_NO_PAD.encode(octets))
}

/// The address with these parameters after those that it has. What it has stays as it is written,
/// since the client compares (RFC 6749 §3.1.2).
fn with_parameters(uri: &str, parameters: &[(String, String)]) -> String {
    if parameters.is_empty() {
        return uri.to_owned();
    }
    let separator = if uri.contains('?') { '&' } else { '?' };
    let encoded =
        url::form_urlencoded::Serializer::new(String::new()).extend_pairs(parameters).finish();
    format!("{uri}{separator}{encoded}")
}
