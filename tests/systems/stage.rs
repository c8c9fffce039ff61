//! What the stories of one system have in common: our example, put before a simulator, and people who sign in.

use std::collections::BTreeSet;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use http::Method;
use lychgate_demo::echo::Echo;
use lychgate_tests::cast::certified_provider::Event;
use lychgate_tests::cast::gate::{AUTHORITY, Gate, PATIENCE, free_port};
use lychgate_tests::cast::house::{SESSION_KEY, merge};
use lychgate_tests::cast::scratch::Scratch;
use lychgate_tests::cast::simulator::{Simulator, SimulatorTls};
use lychgate_tests::cast::visitor::{Answer, Visitor};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use toml::Table;
use url::Url;

use crate::checks::check_named_after;

/// A gate with one of our examples, a simulator and an application. They end with it.
#[derive(Debug)]
pub(crate) struct Stage {
    /// The gate.
    pub gate: Gate,
    /// The provider.
    pub simulator: Simulator,
    application: Echo,
    authority: String,
    /// The cookies that people were given.
    cookies: Mutex<Vec<String>>,
}

/// What a stage will be like.
pub(crate) struct Plan {
    /// The gate's configuration: the example, with the addresses and files of this story.
    pub configuration: Table,
    /// Where its files are.
    pub scratch: Scratch,
    /// Where browsers find the application.
    pub origin: String,
    /// Who vouches for every certificate.
    pub authority: CertifiedIssuer<'static, KeyPair>,
    application: Echo,
}

/// Somebody who comes back from the provider.
pub(crate) struct Return {
    /// Who it is.
    pub visitor: Visitor,
    /// Where the provider sends them, as it wrote it.
    pub callback: String,
}

/// A way in which a provider misbehaves, and what becomes of the sign-in.
#[derive(Debug)]
pub(crate) struct Misbehaviour {
    /// The switches and their parameters.
    pub switches: Vec<(&'static str, Value)>,
    /// The reason on the page and in the audit log.
    pub reason: &'static str,
    /// The status of the page.
    pub status: u16,
    /// How often the code is sent to the token endpoint.
    pub exchanges: u64,
}

/// A row of a table of misbehaviours.
pub(crate) fn row(
    switch: &'static str,
    parameters: Value,
    (reason, status): (&'static str, u16),
    exchanges: u64,
) -> Misbehaviour {
    Misbehaviour { switches: vec![(switch, parameters)], reason, status, exchanges }
}

impl Misbehaviour {
    /// Whether this is about the check that finds it: of several misbehaviours the last is the one that counts.
    fn names_its_check(&self, cause: &str) -> bool {
        let last = self.switches.last().and_then(|(switch, _)| check_named_after(switch));
        last.is_some_and(|words| cause.contains(words))
    }
}

impl Plan {
    /// The example `deploy/examples/NAME.toml` with the site, the application and the files of a story.
    pub(crate) async fn of_example(name: &str) -> Self {
        let file =
            Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../deploy/examples/{name}.toml"));
        Self::of(&fs::read_to_string(file).expect("there is an example")).await
    }

    /// The same of a configuration that a story wrote down itself.
    pub(crate) async fn of(example: &str) -> Self {
        let mut configuration: Table = example.parse().expect("an example is TOML");
        let application = Echo::start(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await;
        let application = application.expect("the application starts");
        let scratch = Scratch::new();
        let authority = issues_certificates();
        let (certificate, key) = server_certificate(&authority);
        scratch.write(AUTHORITY, authority.pem());
        scratch.write("server.pem", certificate);
        scratch.write("server.key", key);
        let (port, admin) = (free_port(), free_port());
        let origin = format!("https://app.localhost:{port}");

        let routes = configuration["routes"].as_table().expect("an example has routes");
        let route = routes.keys().next().expect("an example has a route").clone();
        let ours = format!(
            r#"
[listeners.https]
address = "127.0.0.1:{port}"
tls     = {{ certificate = "server.pem", key = "server.key" }}

[sessions]
keys = ["{SESSION_KEY}"]

[admin]
address = "127.0.0.1:{admin}"

[telemetry]
log = {{ level = "trace", format = "json" }}

[routes.{route}]
url      = "{origin}"
upstream = "http://{application}"
"#,
            application = application.address(),
        );
        merge(&mut configuration, ours.parse().expect("this is TOML"));
        Self { configuration, scratch, origin, authority, application }
    }

    /// Adds to the configuration: tables are merged, everything else is replaced.
    pub(crate) fn set(&mut self, toml: &str) {
        merge(&mut self.configuration, toml.parse().unwrap_or_else(|error| panic!("{error}")));
    }

    /// What the example says of its provider under a key.
    pub(crate) fn said(&self, provider: &str, key: &str) -> String {
        let said = &self.configuration["providers"][provider][key];
        said.as_str().expect("it is a text").to_owned()
    }

    /// The redirect URI of the only provider.
    pub(crate) fn callback(&self) -> String {
        format!("{}/.lychgate/callback", self.origin)
    }

    /// Where the simulator finds its own files.
    pub(crate) fn simulator_tls(&self) -> SimulatorTls {
        SimulatorTls {
            certificate: self.scratch.file("server.pem"),
            key: self.scratch.file("server.key"),
            client_authority: Some(self.scratch.file(AUTHORITY)),
        }
    }

    /// A certificate for us as a client and its key, in files, and its SHA-256 in hexadecimal.
    pub(crate) fn client_certificate(&self) -> String {
        let made = "a client certificate";
        let key = KeyPair::generate().expect(made);
        let params = CertificateParams::new(vec!["client".to_owned()]).expect(made);
        let certificate = params.signed_by(&key, &self.authority).expect(made);
        self.scratch.write("client.pem", certificate.pem());
        self.scratch.write("client.key", key.serialize_pem());
        let digest = Sha256::digest(certificate.der());
        digest.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// A signing key of ours in a file, and its public half, PEM.
    pub(crate) fn signing_key(&self, algorithm: &'static rcgen::SignatureAlgorithm) -> String {
        let key = KeyPair::generate_for(algorithm).expect("a signing key");
        self.scratch.write("signing.pem", key.serialize_pem());
        key.public_key_pem()
    }

    /// Starts the gate while the simulator is not what the gate expects.
    pub(crate) async fn open_before_the_provider_is_known(self, simulator: Simulator) -> Stage {
        let authority = self.authority.pem();
        let toml = self.configuration.to_string();
        let gate = Gate::start_without_providers(self.scratch, &toml).await;
        Stage {
            gate,
            simulator,
            application: self.application,
            authority,
            cookies: Mutex::default(),
        }
    }

    /// Starts the gate before this simulator.
    pub(crate) async fn open(self, simulator: Simulator) -> Stage {
        let authority = self.authority.pem();
        let gate = Gate::start_in(self.scratch, &self.configuration.to_string()).await;
        Stage {
            gate,
            simulator,
            application: self.application,
            authority,
            cookies: Mutex::default(),
        }
    }
}

impl Stage {
    /// The gate learns of a provider that did not answer as it should have, when it does.
    pub(crate) async fn becomes_ready(&self) {
        let began = Instant::now();
        loop {
            let answer = reqwest::get(self.gate.admin_url("/readyz?verbose")).await;
            let text = answer.expect("the gate answers").text().await.unwrap_or_default();
            let mut providers = text.lines().filter(|line| line.starts_with("provider "));
            if providers.all(|line| line.contains(": reachable")) {
                return;
            }
            assert!(began.elapsed() < PATIENCE, "{text}");
        }
    }

    /// Somebody new.
    pub(crate) fn visitor(&self) -> Visitor {
        let provider = self.simulator.endpoint("authorization");
        Visitor::trusting(self.gate.url(), &[provider], &self.authority)
    }

    /// Another instance of the gate: the same configuration and the same state directory, at another address.
    pub(crate) async fn another_instance(&self, address: Ipv4Addr) -> Gate {
        let (ours, scratch) = (self.gate.scratch(), Scratch::new());
        for entry in fs::read_dir(ours.path()).expect("a directory") {
            let file = entry.expect("an entry").path();
            let name = file.file_name().and_then(|name| name.to_str()).expect("a name");
            if file.is_file() {
                fs::copy(&file, scratch.file(name)).expect("a copy");
            }
        }
        let mut configuration: Table = ours.read("lychgate.toml").parse().expect("this is TOML");
        let (port, admin) = (self.gate.address().port(), free_port());
        let other = format!(
            "[listeners.https]\naddress = \"{address}:{port}\"\n[admin]\naddress = \"127.0.0.1:{admin}\""
        );
        merge(&mut configuration, other.parse().expect("this is TOML"));
        Gate::start_as(scratch, &configuration.to_string(), |command| {
            command.env("STATE_DIRECTORY", ours.file("state"));
        })
        .await
    }

    /// Somebody who has every cookie of `visitor`, and whom the balancer leads to this address.
    pub(crate) fn copy_at(&self, address: Ipv4Addr, visitor: &Visitor) -> Visitor {
        let provider = self.simulator.endpoint("authorization");
        let copy = Visitor::trusting_at(address, self.gate.url(), &[provider], &self.authority);
        for (name, value) in visitor.cookies() {
            copy.takes_cookie(&name, &value);
        }
        copy
    }

    /// Somebody goes to the provider by way of a page, and the provider sends them back.
    pub(crate) async fn returns(&self) -> Return {
        self.returns_to("/page?q=1").await
    }

    /// The same by way of another page.
    pub(crate) async fn returns_to(&self, page: &str) -> Return {
        let visitor = self.visitor();
        let away = visitor.opens(page).await;
        if !away.status.is_redirection() {
            panic!(
                "{}: {:?}\n{}",
                away.status,
                self.simulator.refusals().await,
                self.gate.output()
            );
        }
        self.keep_cookies_of(&visitor);
        let provider = away.location().expect("it leads to the provider");
        let back = visitor.opens(provider.as_str()).await;
        let callback = back.header("location");
        assert!(callback.starts_with(self.gate.url()), "{}: {}", back.status, back.text());
        Return { callback: callback.to_owned(), visitor }
    }

    /// Somebody signs in, all the way, and arrives.
    pub(crate) async fn signs_in(&self) -> Visitor {
        let back = self.returns().await;
        let answer = back.arrives().await;
        assert_eq!(answer.status, 303, "{}\n{}", answer.text(), self.gate.output());
        let page = back.visitor.follows(answer).await;
        assert_eq!((page.status.as_u16(), page.url.path()), (200, "/page"), "{}", page.text());
        self.keep_cookies_of(&back.visitor);
        back.visitor
    }

    /// What somebody was given must not be in the log.
    pub(crate) fn keep_cookies_of(&self, visitor: &Visitor) {
        let values = visitor.cookies().into_iter().map(|(_, value)| value);
        self.cookies.lock().unwrap_or_else(PoisonError::into_inner).extend(values);
    }

    /// How often the application was asked for anything.
    pub(crate) fn application_requests(&self) -> usize {
        self.application.requests().len()
    }

    /// Sends somebody through each misbehaviour, and expects a page with its reason, the same in the audit log, so
    /// many token requests and no session.
    pub(crate) async fn refuses(&self, rows: &[Misbehaviour]) {
        let mut others = Vec::new();
        for row in rows {
            for (name, parameters) in &row.switches {
                self.simulator.switch_once(name, parameters).await;
            }
            let back = self.returns().await;
            let answer = back.arrives().await;
            let set = self.simulator.set_switches().await;
            self.simulator.clear_switches().await;
            let found = match answer.status.as_u16() {
                303 => ("", 303),
                status => (&*answer.reason(), status),
            };
            let cause = match found.1 {
                303 => String::new(),
                _ => self.cause(&answer).await,
            };
            let fits = found == (row.reason, row.status) && row.names_its_check(&cause);
            if fits && set.is_empty() {
                self.refused(&back, &answer, row).await;
            } else {
                let switches = &row.switches;
                others.push(format!("{switches:?}: {found:?}, {cause:?}, not taken: {set:?}"));
            }
        }
        assert!(others.is_empty(), "{}\n{}", others.join("\n"), self.gate.output());
    }

    /// The sign-in ended as `row` says, and left nothing.
    pub(crate) async fn refused(&self, back: &Return, answer: &Answer, row: &Misbehaviour) {
        assert_eq!(
            (&*answer.reason(), answer.status.as_u16()),
            (row.reason, row.status),
            "{row:?}"
        );
        let event = self.gate.audit_event(answer.request_id()).await;
        assert_eq!(event["event"]["reason"], row.reason, "{row:?}: {event}");
        let cause = self.cause(answer).await;
        assert!(row.names_its_check(&cause), "{row:?}: {cause:?}");
        let code = back.parameter("code").unwrap_or_default();
        assert_eq!(self.simulator.token_requests(&code).await, row.exchanges, "{row:?}");
        self.nobody_is_signed_in(&back.visitor).await;
        // CB-35: nothing of the callback is on the page.
        for name in ["code", "state"] {
            let value = back.parameter(name).unwrap_or_default();
            assert!(value.is_empty() || !answer.text().contains(&value), "{row:?}: {name}");
        }
    }

    /// What the audit log says about why the sign-in did not end in a session.
    async fn cause(&self, answer: &Answer) -> String {
        let event = self.gate.audit_event(answer.request_id()).await;
        event["error"]["message"].as_str().unwrap_or_default().to_owned()
    }

    /// CB-54.
    pub(crate) async fn nobody_is_signed_in(&self, visitor: &Visitor) {
        assert!(!visitor.has_session(), "{:?}", visitor.cookies());
        assert_eq!(visitor.fetches("/.lychgate/me").await.status, 401);
    }

    /// CB-62: the simulator itself is whole, and nothing secret that went between the two, nor what is in this
    /// story's own files, is in anything that the gate wrote.
    pub(crate) async fn ends(&self, own: &[String]) {
        assert!(self.simulator.events("broken").await.is_empty(), "the simulator broke");
        let mut secrets: BTreeSet<String> = own.iter().cloned().collect();
        secrets.insert(SESSION_KEY.to_owned());
        let cookies = self.cookies.lock().unwrap_or_else(PoisonError::into_inner).clone();
        assert!(!cookies.is_empty(), "somebody was given a cookie");
        secrets.extend(cookies);
        for event in self.simulator.events("").await {
            secrets.extend(secrets_of(&event));
        }
        assert!(secrets.len() > 5, "a story has secrets: {secrets:?}");
        let output = self.gate.output();
        for secret in &secrets {
            assert!(!output.contains(secret.as_str()), "{secret} is in what the gate wrote");
        }
        assert!(!output.contains("/.lychgate/callback?"), "a callback's query was written");
    }
}

impl Return {
    /// Opens the callback.
    pub(crate) async fn arrives(&self) -> Answer {
        self.visitor.opens(&self.callback).await
    }

    /// Opens it as a program does, that wants JSON.
    pub(crate) async fn arrives_as_a_program(&self) -> Answer {
        let headers = [("accept", "application/json")];
        self.visitor.asks(Method::GET, &self.callback, &headers).await
    }

    /// The first parameter of this name in the callback.
    pub(crate) fn parameter(&self, name: &str) -> Option<String> {
        parameters_of(&self.callback)
            .into_iter()
            .find(|(found, _)| found == name)
            .map(|pair| pair.1)
    }
}

/// The path and the query that an answer leads to, or nothing.
pub(crate) fn leads_to(answer: &Answer) -> String {
    answer.location().map_or_else(String::new, |url| url[url::Position::BeforePath..].to_owned())
}

/// The parameters in a URL's query, in order.
pub(crate) fn parameters_of(url: &str) -> Vec<(String, String)> {
    Url::parse(url).expect("it is a URL").query_pairs().into_owned().collect()
}

/// The parameters of a form or a query, in order.
pub(crate) fn form(text: &str) -> Vec<(String, String)> {
    url::form_urlencoded::parse(text.as_bytes()).into_owned().collect()
}

/// The value of one of them.
pub(crate) fn field<'a>(form: &'a [(String, String)], name: &str) -> &'a str {
    form.iter().find(|(found, _)| found == name).map_or("", |(_, value)| value.as_str())
}

/// The names of parameters, in the order of the alphabet.
pub(crate) fn names(form: &[(String, String)]) -> Vec<&str> {
    let mut names: Vec<_> = form.iter().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    names
}

/// What an event says under a name, as text.
pub(crate) fn told<'a>(event: &'a Event, name: &str) -> &'a str {
    event.detail.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// The header and the claims of a JWT.
pub(crate) fn read_jwt(jwt: &str) -> (Value, Value) {
    let mut parts = jwt.split('.').map(|part| {
        serde_json::from_slice(&from_base64url(part)).unwrap_or_else(|error| panic!("{error}"))
    });
    (parts.next().expect("a header"), parts.next().expect("claims"))
}

fn from_base64url(text: &str) -> Vec<u8> {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let (mut bytes, mut bits, mut count) = (Vec::new(), 0_u32, 0);
    for byte in text.bytes() {
        let six = ALPHABET.iter().position(|known| *known == byte).expect("base64url");
        bits = bits << 6 | u32::try_from(six).expect("six bits");
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count & 0xff) as u8);
        }
    }
    bytes
}

/// Everything in an event that no log may have.
fn secrets_of(event: &Event) -> Vec<String> {
    const NAMES: [&str; 9] = [
        "client_assertion",
        "client_secret",
        "code",
        "code_verifier",
        "refresh_token",
        "request",
        "request_uri",
        "state",
        "access_token",
    ];
    let mut found = Vec::new();
    for text in ["body", "query"].map(|name| told(event, name)) {
        let secret = |(name, _): &(String, String)| NAMES.contains(&name.as_str());
        for (name, value) in form(text).into_iter().filter(secret) {
            if name == "request" {
                let (_, claims) = read_jwt(&value);
                let inside =
                    ["state", "nonce"].map(|name| claims[name].as_str().map(str::to_owned));
                found.extend(inside.into_iter().flatten());
            }
            found.push(value);
        }
    }
    if let Some(authorization) =
        event.detail.get("headers").and_then(|all| all.get("authorization"))
    {
        let value = authorization.as_str().unwrap_or_default();
        found.extend(value.split(' ').skip(1).map(str::to_owned));
    }
    found.push(told(event, "code").to_owned());
    let answer = event.detail.get("answer").unwrap_or(&Value::Null);
    for name in ["access_token", "refresh_token", "id_token"] {
        found.extend(answer[name].as_str().map(str::to_owned));
    }
    // What is this short was not made up at random, and may stand anywhere.
    found.retain(|secret| secret.len() >= 16);
    found
}

fn issues_certificates() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    // A certificate with the name of its issuer is taken for one that it signed itself.
    params.distinguished_name.push(DnType::CommonName, "the story's authority");
    let key = KeyPair::generate().expect("a key");
    CertifiedIssuer::self_signed(params, key).expect("an authority")
}

/// For the gate as well as for the provider.
fn server_certificate(authority: &CertifiedIssuer<'static, KeyPair>) -> (String, String) {
    let made = "a server's certificate";
    let key = KeyPair::generate().expect(made);
    let names = ["app.localhost", "localhost", "127.0.0.1"].map(str::to_owned);
    let params = CertificateParams::new(names).expect(made);
    let certificate = params.signed_by(&key, authority).expect(made);
    (certificate.pem(), key.serialize_pem())
}

/// The registration of a confidential client without anything special.
pub(crate) fn client(id: &str, callback: &str) -> Value {
    json!({ "client_id": id, "redirect_uris": [callback] })
}
