//! The configuration as the program uses it: checked, complete, and without a text that somebody
//! would have to read again.
//!
//! An `Option` in here says that something is absent, never that a default applies.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use http::HeaderName;
use lychgate_gateway::Settings;
use lychgate_gateway::cookie::CookieNames;
use lychgate_gateway::explain::Hypothesis;
use lychgate_gateway::forwarded::TrustedProxies;
use lychgate_gateway::language::Languages;
use lychgate_gateway::origin::PublicOrigin;
use lychgate_gateway::outcome::DecisionWord;
use lychgate_gateway::path::PathPattern;
use lychgate_gateway::route::Routes;
use lychgate_gateway::seal::{Key, KeyRing};
use lychgate_gateway::settings::{SessionLimits, SignInProvider};
use lychgate_oidc::kind::Kind;
use lychgate_oidc::{Metadata, Secret, Timestamp};
use url::Url;

use crate::file::Position;

/// Everything that the operator said, or that follows from what they did not say.
#[derive(Debug)]
pub struct Config {
    /// What the gateway decides by. Its [`settings`](GatewayConfig::settings) still need the keys.
    pub gateway: GatewayConfig,
    /// How our own pages look.
    pub pages: Pages,
    /// The keys that seal cookies.
    pub session_keys: SessionKeys,
    /// Where we listen; never empty, in the order of their names.
    pub listeners: Vec<Listener>,
    /// The identity providers, in the order of their names.
    pub providers: Vec<ProviderConfig>,
    /// What stands behind us, by name. An upstream that a route wrote as a URL has the route's name
    /// with `routes.` before it.
    pub upstreams: BTreeMap<String, Upstream>,
    /// The operator's own port.
    pub admin: Admin,
    /// What is written down about the traffic, and where.
    pub telemetry: Telemetry,
    /// What no visitor may exceed.
    pub limits: Limits,
    /// What the operator expects of all this, in the order in which it was written.
    pub tests: Vec<Test>,
}

/// A request that nobody sent, and what is expected to become of it.
#[derive(Clone, Debug)]
pub struct Test {
    /// The operator's sentence.
    pub name: String,
    /// Where it stands.
    pub position: Position,
    /// The request.
    pub hypothesis: Hypothesis,
    /// What is expected. Never empty.
    pub expect: Expectation,
}

/// What is expected of a visit; what is absent may be anything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expectation {
    /// The decision.
    pub decision: Option<ExpectedDecision>,
    /// The rule that decides, as in logs.
    pub rule: Option<String>,
    /// The status of an answer of ours.
    pub status: Option<u16>,
    /// The reason's code.
    pub reason: Option<String>,
    /// The provider that a signed-out visitor is sent to.
    pub provider: Option<String>,
    /// Headers that the application receives, or (`None`) does not.
    pub upstream_headers: Vec<(HeaderName, Option<String>)>,
}

/// What is expected to be decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExpectedDecision {
    /// As in the logs.
    Word(DecisionWord),
    /// No rule is asked: the request is malformed, or nothing is served there.
    Refuse,
}

/// [`Settings`] but for the keys, which may have to be created first.
#[derive(Debug)]
pub struct GatewayConfig {
    /// Where our own pages are on every routed host: one segment, a slash before it and none after.
    pub path_prefix: String,
    /// The one origin at which people sign in, if they do not do so at each application.
    pub public_url: Option<PublicOrigin>,
    /// The cookies' names and scope.
    pub cookies: CookieNames,
    /// How long a sign-in may take.
    pub login_timeout: Duration,
    /// How many sign-ins one browser may have under way.
    pub max_pending_logins: usize,
    /// How long sessions last.
    pub sessions: SessionLimits,
    /// The providers as people meet them, in the order of their names.
    pub providers: Vec<SignInProvider>,
    /// Which application a request is for.
    pub routes: Routes,
    /// Where a browser may be sent after signing out.
    pub post_logout_redirect_uris: Vec<Url>,
    /// The languages that pages are in.
    pub languages: Languages,
    /// How many bytes of a form are kept that was sent when the session had ended; `None` keeps none.
    pub kept_form_bytes: Option<usize>,
}

impl GatewayConfig {
    /// The settings, sealed with `keys`.
    #[must_use]
    pub fn settings(self, keys: KeyRing) -> Settings {
        Settings {
            path_prefix: self.path_prefix,
            public_url: self.public_url,
            cookies: self.cookies,
            login_timeout: self.login_timeout,
            max_pending_logins: self.max_pending_logins,
            sessions: self.sessions,
            keys,
            providers: self.providers,
            routes: self.routes,
            post_logout_redirect_uris: self.post_logout_redirect_uris,
            languages: self.languages,
            kept_form_bytes: self.kept_form_bytes,
        }
    }
}

/// How our own pages look.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pages {
    /// A directory with templates, a style sheet and texts that take the place of the program's own.
    pub templates: Option<PathBuf>,
}

/// Where the keys that seal cookies come from.
#[derive(Debug)]
pub enum SessionKeys {
    /// The operator keeps them. Never empty; the first seals, all of them open.
    Given(Vec<Key>),
    /// We keep one in the state directory, and create it when it is not there.
    StateDirectory,
}

/// One place where we listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// The operator's name for it, as in metrics and logs.
    pub name: String,
    /// The socket.
    pub address: ListenAddress,
    /// The certificate, or `None` for plain text.
    pub tls: Option<ListenerTls>,
    /// With TLS: whether HTTP/2 is offered. In plain text: whether it is understood when a client
    /// speaks it without asking (RFC 9113 §3.3).
    pub http2: bool,
    /// Answer every request with a redirect to the same place on https, and nothing else.
    pub redirect_to_https: bool,
    /// Whose word about the client's address is believed.
    pub trusted_proxies: TrustedProxies,
    /// How those say it at the beginning of every connection; nobody else may connect then.
    pub proxy_protocol: Option<ProxyProtocol>,
}

/// A version of the PROXY protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyProtocol {
    /// A line of text.
    V1,
    /// A binary header.
    V2,
}

/// A socket to listen on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ListenAddress {
    /// An address and a port of this machine.
    Tcp(SocketAddr),
    /// A socket file.
    Unix {
        /// Its absolute path.
        path: PathBuf,
        /// Its permissions, such as `0o660`.
        mode: u32,
    },
}

/// How a listener speaks TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerTls {
    /// The certificate chain, PEM, the server's own first.
    pub certificate: PathBuf,
    /// Its private key, PEM.
    pub key: PathBuf,
    /// The oldest version that is spoken.
    pub min_version: TlsVersion,
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsVersion {
    /// TLS 1.2 (RFC 5246).
    Tls12,
    /// TLS 1.3 (RFC 8446).
    Tls13,
}

/// A provider, and how to find what it offers.
#[derive(Clone, Debug)]
pub struct ProviderConfig {
    /// The vendor, or the protocol.
    pub kind: Kind,
    /// The provider as people meet it, with our registration.
    pub sign_in: SignInProvider,
    /// Where its endpoints are.
    pub endpoints: ProviderEndpoints,
    /// How it is reached.
    pub transport: ProviderTransport,
    /// Where somebody else puts the assertion that authenticates us, and replaces it from time to time.
    pub client_assertion: Option<PathBuf>,
    /// The key of proofs of possession was made by this process: whoever reads the configuration again goes on with
    /// the key of before, for tokens and codes are bound to it.
    pub dpop_key_is_made: bool,
}

/// How a provider is reached.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProviderTransport {
    /// The certificate that we show in every handshake with it.
    pub client_certificate: Option<ClientCertificate>,
    /// The authorities to believe instead of the system's, PEM.
    pub ca: Option<String>,
    /// The proxy that requests go through: a URL, perhaps with a user and a password.
    pub proxy: Option<Secret>,
}

/// A certificate of ours, with its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificate {
    /// The chain, PEM, our own certificate first.
    pub chain: String,
    /// The private key of the first one, PKCS #8 in PEM.
    pub key: Secret,
    /// The last moment at which it is good.
    pub expires_at: Timestamp,
}

/// Where a provider's endpoints are.
#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "there is one for each provider, and few of those")]
pub enum ProviderEndpoints {
    /// In the metadata document of its issuer (OIDC Discovery §4).
    Discovery,
    /// The operator wrote them down, and no document is fetched.
    Static(Metadata),
}

/// An application, or several copies of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upstream {
    /// Its name in the configuration.
    pub name: String,
    /// Where it is; never empty. All are reached in the same way, with TLS or all without.
    pub addresses: Vec<UpstreamAddress>,
    /// Which authorities may vouch for it, where it is reached with TLS.
    pub roots: Roots,
    /// How long we wait for it.
    pub timeouts: UpstreamTimeouts,
    /// Speak HTTP/2: agreed on with TLS, without asking in plain text.
    pub http2: bool,
}

/// Where one copy of an application is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UpstreamAddress {
    /// At a host and port, in plain text.
    Plain {
        /// A name, or an IP address; IPv6 without brackets.
        host: String,
        /// The port.
        port: u16,
    },
    /// At a host and port, with TLS.
    Tls {
        /// A name, or an IP address; IPv6 without brackets.
        host: String,
        /// The port.
        port: u16,
        /// The name that the certificate has to be for.
        server_name: String,
    },
    /// Behind a socket file, in plain text.
    Unix(PathBuf),
}

/// Which certificate authorities are believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Roots {
    /// Those in a PEM file, and no others.
    File(PathBuf),
    /// Those that the system trusts.
    System,
}

/// How long we wait for an application.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UpstreamTimeouts {
    /// For a connection, TLS included.
    pub connect: Duration,
    /// For the head of a response, and between any two pieces of its body.
    pub response: Duration,
    /// For the next request on a connection that is kept open.
    pub idle: Duration,
}

/// The operator's own port: metrics and health.
#[derive(Clone, Debug)]
pub struct Admin {
    /// Where it listens.
    pub address: SocketAddr,
    /// The bearer token that `/metrics` asks for. Without one it asks for nothing, and then the
    /// address is a loopback one.
    pub token: Option<Secret>,
}

/// What is written down about the traffic, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Telemetry {
    /// How much the program says about itself.
    pub log_level: LogLevel,
    /// In which form.
    pub log_format: LogFormat,
    /// One line of JSON for each request.
    pub access_log: AccessLog,
    /// One line of JSON in Elastic Common Schema for each sign-in, sign-out and refusal.
    pub audit_log: LogOutput,
    /// How people are named in the logs.
    pub user_fields: UserFields,
}

/// How much the program says about itself; each level includes those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// What failed.
    Error,
    /// What will fail if nobody looks.
    Warn,
    /// What changed.
    Info,
    /// What was decided, and why.
    Debug,
    /// Everything.
    Trace,
}

/// In which form the program speaks about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// Text on a terminal, JSON elsewhere.
    Auto,
    /// One line of JSON for each event.
    Json,
    /// One line of text for each event.
    Text,
}

/// One line for each request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessLog {
    /// Where to.
    pub output: LogOutput,
    /// Requests for these paths are left out.
    pub exclude_paths: Vec<PathPattern>,
}

/// Where a log goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogOutput {
    /// To the end of this file.
    File(PathBuf),
    /// Nowhere.
    None,
    /// To standard error.
    Stderr,
    /// To standard output.
    Stdout,
}

/// How people are named in the logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UserFields {
    /// By a keyed hash: the same person has the same one, and nobody can be read from it.
    Hashed,
    /// Not at all.
    None,
    /// By user name and e-mail address.
    Plain,
}

/// What no visitor may exceed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The header block of a request, in bytes.
    pub header_bytes: u64,
    /// The target of a request, in bytes.
    pub uri_bytes: u64,
    /// The body of a request, in bytes; `None` when there is no limit. Routes carry their own
    /// figure, which is this one unless they say otherwise.
    pub body_bytes: Option<u64>,
    /// Connections at one time, over all listeners.
    pub connections: u32,
    /// Those of one client among them; `None` when there is no limit. Listed proxies have none.
    pub connections_per_client: Option<u32>,
    /// Logins that begin for one client in a minute.
    pub login_starts_per_client: u32,
    /// From the first byte of a request to the end of its header block.
    pub header_timeout: Duration,
    /// From the end of a response to the next request on the connection.
    pub idle_timeout: Duration,
    /// From the order to stop until requests under way are cut off.
    pub shutdown_timeout: Duration,
}
