//! Where the stories with a browser happen: the gate and the provider on two sites, both over https.
//!
//! Browser and provider take a while to start, so all stories share them; each story has people of
//! its own and a gate of its own. The certificates are the town's, and only its browser and its
//! gates trust them.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::LazyLock;

use lychgate_demo::echo::Echo;
use lychgate_tests::cast::browser::{Browser, Habits, Outcome, Page, Person};
use lychgate_tests::cast::certified_provider::{CertifiedProvider, Login, PASSWORD, ProviderSetup};
use lychgate_tests::cast::gate::{AUTHORITY, Gate, free_port};
use lychgate_tests::cast::house::SESSION_KEY;
use lychgate_tests::cast::scratch::Scratch;
use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use tokio::runtime::Runtime;
use tokio::sync::{Mutex, OnceCell};

/// What lives as long as the test program. Both end when it does, with their standard input.
pub(crate) struct Town {
    browser: Browser,
    provider: CertifiedProvider,
    papers: Papers,
    registered: Mutex<Vec<String>>,
}

/// A gate, and what stands behind it.
pub(crate) struct Square {
    _gate: Gate,
    application: Option<Echo>,
    port: u16,
}

/// A certificate authority's certificate, and a certificate and key that it vouches for (PEM).
struct Papers {
    authority: String,
    certificate: String,
    key: String,
}

/// The hosts below `gw.test` that lead to a gate, each with its callback.
const SITES: [&str; 4] = ["app", "down", "two", "closed"];

/// Tells a story in the town. Its processes outlive one test, so one runtime serves all.
pub(crate) fn tell(story: impl AsyncFnOnce(&'static Town) -> Outcome<()>) -> Outcome<()> {
    static RUNTIME: LazyLock<Runtime> =
        LazyLock::new(|| Runtime::new().expect("a runtime can be started"));
    static TOWN: OnceCell<Town> = OnceCell::const_new();
    RUNTIME.block_on(async { story(TOWN.get_or_init(Town::found).await).await })
}

impl Town {
    async fn found() -> Self {
        let papers = Papers::issue();
        let scratch = Scratch::new();
        papers.lay_out(&scratch);
        let tls = (scratch.file("certificate.pem"), scratch.file("key.pem"));
        let setup = ProviderSetup {
            host: Some("localhost".to_owned()),
            tls: Some(tls),
            ..ProviderSetup::default()
        };
        let authority = scratch.file(AUTHORITY);
        let authorities: [&Path; 1] = [&authority];
        let (browser, provider) =
            tokio::join!(Browser::start(&authorities), CertifiedProvider::start(&setup));
        provider.login(Login::Form).await;
        Self { browser, provider, papers, registered: Mutex::default() }
    }

    /// The provider's issuer, on a site of its own.
    pub(crate) fn issuer(&self) -> &str {
        self.provider.issuer()
    }

    /// The certificate (PEM) of whoever vouches for all of it.
    pub(crate) fn authority(&self) -> &str {
        &self.papers.authority
    }

    /// A gate with these sites below `gw.test`:
    ///
    /// - `app`: the echo application, for everybody who is signed in; `/staff/**` for staff only,
    ///   `/status/**` for everybody;
    /// - `two`: the same, with two providers to choose from;
    /// - `down`: an application that is not there;
    /// - `closed`: a provider that is not there.
    pub(crate) async fn build(&self) -> Square {
        let echo = Echo::start(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await;
        let echo = echo.expect("the application starts");
        let upstream = format!("http://{}", echo.address());
        Square { application: Some(echo), ..self.build_before(&upstream).await }
    }

    /// The same gate before another application.
    pub(crate) async fn build_before(&self, upstream: &str) -> Square {
        let scratch = Scratch::new();
        self.papers.lay_out(&scratch);
        let port = free_port();
        self.register(port).await;
        let toml = self.configuration(port, upstream);
        let gate = Gate::start_without_providers(scratch, &toml).await;
        for provider in ["corp", "partners"] {
            let ready = |line: &serde_json::Value| {
                line["provider"] == provider && line.to_string().contains("the provider is ready")
            };
            gate.line("the provider is ready", ready).await;
        }
        Square { _gate: gate, application: None, port }
    }

    /// Somebody new with a browser of the usual kind, and a tab.
    pub(crate) async fn person(&self) -> Outcome<(Person, Page)> {
        self.person_with(&Habits::default()).await
    }

    /// Somebody new with a browser of this kind, and a tab.
    pub(crate) async fn person_with(&self, habits: &Habits) -> Outcome<(Person, Page)> {
        let person = self.browser.person(habits).await?;
        let page = person.open_tab().await?;
        Ok((person, page))
    }

    /// The provider knows the callbacks of every gate that there ever was.
    async fn register(&self, port: u16) {
        let mut registered = self.registered.lock().await;
        registered.extend(SITES.map(|site| format!("https://{site}.gw.test:{port}/.lychgate/")));
        let at = |page: &str| -> Vec<String> {
            registered.iter().map(|place| format!("{place}{page}")).collect()
        };
        // Where there are several providers, each has a callback of its own.
        let callbacks = [at("callback/corp"), at("callback/partners")].concat();
        let farewells = at("signed-out");
        let callbacks: Vec<_> = callbacks.iter().map(String::as_str).collect();
        let farewells: Vec<_> = farewells.iter().map(String::as_str).collect();
        self.provider.accept_returns_to(&callbacks, &farewells).await;
    }

    fn configuration(&self, port: u16, upstream: &str) -> String {
        let issuer = self.issuer();
        let (corp, partners) = (self.provider.client("es256"), self.provider.client("rs256"));
        let (admin, nobody) = (free_port(), free_port());
        format!(
            r#"
[listeners.main]
address = "127.0.0.1:{port}"
tls     = {{ certificate = "certificate.pem", key = "key.pem" }}

[admin]
address = "127.0.0.1:{admin}"

[telemetry]
log = {{ format = "json" }}

[sessions]
keys = ["{SESSION_KEY}"]

[providers.corp]
label         = "Example Corp account"
issuer        = "{issuer}"
client_id     = "{corp_id}"
client_secret = "{corp_secret}"
id_token_signed_response_alg = "ES256"

[providers.partners]
label         = "Partner account"
issuer        = "{issuer}"
client_id     = "{partners_id}"
client_secret = "{partners_secret}"

[providers.away]
issuer        = "https://localhost:{nobody}"
client_id     = "lychgate"
client_secret = "{partners_secret}"

[policies.staff]
allow   = ["group:staff"]
explain = "Plans are for members of staff. The front desk can make you one."
help    = "https://help.example/access"

[routes.app]
url       = "https://app.gw.test:{port}"
upstream  = "{upstream}"
providers = ["corp"]
allow     = ["authenticated"]
headers.request = {{ "X-Forwarded-Name" = "{{name}}" }}

[[routes.app.rules]]
path   = "/staff/**"
policy = "staff"

[[routes.app.rules]]
path   = "/status/**"
public = true

[routes.two]
url       = "https://two.gw.test:{port}"
upstream  = "{upstream}"
providers = ["corp", "partners"]
allow     = ["authenticated"]

[routes.down]
url       = "https://down.gw.test:{port}"
upstream  = "http://127.0.0.1:{nobody}"
providers = ["corp"]
allow     = ["authenticated"]

[routes.closed]
url       = "https://closed.gw.test:{port}"
upstream  = "{upstream}"
providers = ["away"]
allow     = ["authenticated"]
"#,
            corp_id = corp.id,
            corp_secret = corp.secret,
            partners_id = partners.id,
            partners_secret = partners.secret,
        )
    }
}

impl Square {
    /// How many requests for this path reached the echo application.
    pub(crate) fn count(&self, path: &str) -> usize {
        self.application.as_ref().expect("the echo application is here").count(path)
    }

    /// The address of a path at one of the sites: `square.at("app", "/x")`.
    pub(crate) fn at(&self, site: &str, path: &str) -> String {
        format!("https://{site}.gw.test:{}{path}", self.port)
    }
}

/// Fills in the provider's login form, once it is there, and sends it.
pub(crate) async fn sign_in(page: &Page, user: &str) -> Outcome<()> {
    page.fill("#user", user).await?;
    page.fill("#password", PASSWORD).await?;
    page.click("#sign-in").await
}

impl Papers {
    fn issue() -> Self {
        let made = "the town can issue certificates";
        let authority_key = KeyPair::generate().expect(made);
        let mut authority = CertificateParams::default();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority_certificate = authority.self_signed(&authority_key).expect(made);
        let issuer = Issuer::new(authority, authority_key);

        let key = KeyPair::generate().expect(made);
        let names = ["*.gw.test".to_owned(), "localhost".to_owned()];
        let mut params = CertificateParams::new(names).expect(made);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let certificate = params.signed_by(&key, &issuer).expect(made);
        Self {
            authority: authority_certificate.pem(),
            certificate: certificate.pem(),
            key: key.serialize_pem(),
        }
    }

    fn lay_out(&self, scratch: &Scratch) {
        scratch.write(AUTHORITY, &self.authority);
        scratch.write("certificate.pem", &self.certificate);
        scratch.write("key.pem", &self.key);
    }
}
