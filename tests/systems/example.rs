//! What the stories of the systems share: an example of `deploy/examples` with their addresses in it, and what has
//! to be so after every one of them.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Instant;

use lychgate_demo::echo::Echo;
use lychgate_tests::cast::gate::{Gate, PATIENCE, free_port};
use lychgate_tests::cast::house::SESSION_KEY;
use lychgate_tests::cast::scratch::Scratch;
use lychgate_tests::cast::simulator::{Simulator, SimulatorTls};
use lychgate_tests::cast::visitor::{Answer, Visitor};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
};
use serde_json::Value as Json;
use sha2::{Digest as _, Sha256};
use toml::{Table, Value};

use crate::checks::check_named_after;

/// An example configuration. A story replaces what an operator has to replace, and nothing that is not there: so
/// neither can change without the other.
pub(crate) struct Example {
    table: Table,
    /// The directory that the gate will run in.
    pub(crate) scratch: Scratch,
    port: u16,
}

impl Example {
    /// The example as it is in the tree.
    pub(crate) fn copied(file: &str) -> Self {
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../deploy/examples").join(file);
        let text = std::fs::read_to_string(&path);
        let text = text.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let table = text.parse().unwrap_or_else(|error| panic!("{file}: {error}"));
        Self { table, scratch: Scratch::new(), port: free_port() }
    }

    /// Where browsers will find the application.
    pub(crate) fn site(&self) -> String {
        format!("http://app.localhost:{}", self.port)
    }

    /// Replaces what stands at this dotted path.
    pub(crate) fn says(&mut self, path: &str, value: impl Into<Value>) {
        *self.at(path) = value.into();
    }

    /// Replaces a reference to a secret by one to a file with this secret.
    pub(crate) fn keeps_secret(&mut self, path: &str, secret: &str) {
        let reference = self.at(path).get("file").and_then(Value::as_str).map(str::to_owned);
        let reference = reference.unwrap_or_else(|| panic!("{path} is no reference to a file"));
        let name = reference.strip_prefix("/run/secrets/").expect("the example's own directory");
        let file = self.scratch.write(name, secret);
        self.says(&format!("{path}.file"), file.display().to_string());
    }

    /// Takes away what the example tells operators to delete.
    pub(crate) fn lacks(&mut self, path: &str) {
        let (table, key) = path.rsplit_once('.').expect("a key in a table");
        let table = self.at(table).as_table_mut().expect("a table");
        assert!(table.remove(key).is_some(), "the example has no {path}");
    }

    /// Adds what the example does not have.
    pub(crate) fn adds(&mut self, path: &str, toml: &str) {
        let more: Table = toml.parse().unwrap_or_else(|error| panic!("{error}\n{toml}"));
        let table = self.at(path).as_table_mut().expect("a table");
        for (key, value) in more {
            assert!(table.insert(key.clone(), value).is_none(), "the example has {path}.{key}");
        }
    }

    /// A second provider that begins as the first, and comes back to an address of its own.
    pub(crate) fn has_another(&mut self, provider: &str, name: &str) {
        let mut another = self.at(&format!("providers.{provider}")).clone();
        let place = format!("{}/.lychgate/callback/{name}", self.site());
        another.as_table_mut().expect("a table").insert("redirect_uri".to_owned(), place.into());
        let providers = self.at("providers").as_table_mut().expect("a table");
        assert!(providers.insert(name.to_owned(), another).is_none());
    }

    /// The configuration for a gate on this machine before this application.
    pub(crate) fn toml(&mut self, route: &str, application: &Echo) -> String {
        let (site, port) = (self.site(), self.port);
        let here: Table = format!(
            "[listeners.main]\naddress = \"127.0.0.1:{port}\"\n\
             [admin]\naddress = \"127.0.0.1:{admin}\"\n\
             [telemetry]\nlog = {{ level = \"debug\", format = \"json\" }}\n",
            admin = free_port()
        )
        .parse()
        .expect("a table");
        self.table.extend(here);
        self.says("sessions.keys", vec![SESSION_KEY]);
        self.says(&format!("routes.{route}.url"), site.clone());
        self.says(&format!("routes.{route}.upstream"), format!("http://{}", application.address()));
        self.table.to_string()
    }

    /// The gate, and the application behind it.
    pub(crate) async fn opens(mut self, route: &str) -> (Gate, Echo) {
        let application = Echo::start(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await;
        let application = application.expect("the application starts");
        let toml = self.toml(route, &application);
        (Gate::start_in(self.scratch, &toml).await, application)
    }

    /// Writes it down with nothing replaced but what the story did, and says where.
    pub(crate) fn writes_as_it_is(&self, name: &str) -> String {
        self.scratch.write(name, self.table.to_string()).display().to_string()
    }

    fn at(&mut self, path: &str) -> &mut Value {
        let mut keys = path.split('.');
        let first = keys.next().and_then(|key| self.table.get_mut(key));
        let found = keys.fold(first, |value, key| value?.get_mut(key));
        found.unwrap_or_else(|| panic!("the example has no {path}"))
    }
}

/// The link that begins a sign-in at a provider and leads to `/page`.
pub(crate) fn login(provider: &str) -> String {
    format!("/.lychgate/login?return_to=%2Fpage&provider={provider}")
}

/// Begins a sign-in and goes on until the provider sends the browser back. The callback is not opened.
pub(crate) async fn comes_back(visitor: &Visitor, provider: &str) -> url::Url {
    let answer = visitor.opens(&login(provider)).await;
    visitor.is_sent_back_as("nobody is asked", answer).await
}

/// Signs in, and asks the application what it was told.
pub(crate) async fn signs_in(visitor: &Visitor, provider: &str) -> Answer {
    let callback = comes_back(visitor, provider).await;
    let answer = visitor.opens(callback.as_str()).await;
    assert_eq!(answer.status, 303, "{provider}: {}", answer.text());
    let location = answer.location().expect("a success leads on");
    // CB-36.
    assert_eq!((location.path(), location.query()), ("/page", None));
    visitor.fetches("/page").await
}

/// Asserts that this is a refusal for this reason, and that nobody is signed in after it (CB-54).
pub(crate) async fn is_refused(
    gate: &Gate,
    visitor: &Visitor,
    answer: &Answer,
    (status, reason): (u16, &str),
    story: &str,
) {
    let refused = (answer.status.as_u16(), &*answer.reason());
    assert_eq!(refused, (status, reason), "{story}\n{}", gate.output());
    assert!(!visitor.has_session(), "{story}: there is a session");
    assert_eq!(visitor.fetches("/.lychgate/me").await.status, 401, "{story}");
    let event = gate.audit_event(answer.request_id()).await;
    assert_eq!(event["event"]["outcome"], "failure", "{story}: {event}");
    assert_eq!(event["event"]["reason"], reason, "{story}: {event}");
    let cause = event["error"]["message"].as_str().unwrap_or_default();
    // A story is named after its switch, and whatever else there is to say.
    let switch = story.split(' ').next().unwrap_or_default();
    let words = check_named_after(switch).unwrap_or_default();
    assert!(
        !cause.is_empty() && cause.contains(words),
        "{story}: the line does not name the check ({words:?}): {event}"
    );
}

/// Asserts of a whole story that the simulator did not fail, that no code was sent twice (CB-28), and that nothing
/// secret is in anything that the gate wrote (CB-62). Returns what the simulator refused.
pub(crate) async fn ends_well(gate: &Gate, simulator: &Simulator, secrets: &[&str]) -> Vec<String> {
    let broken = simulator.events("broken").await;
    assert!(broken.is_empty(), "{broken:?}");
    let mut markers: Vec<String> = secrets.iter().map(|secret| (*secret).to_owned()).collect();
    for event in simulator.events("authorized").await {
        let code = event.detail["code"].as_str().expect("a code").to_owned();
        assert!(simulator.token_requests(&code).await <= 1, "a code was sent twice");
        markers.push(code);
    }
    for event in simulator.events("tokens").await {
        let issued = event.detail["answer"].as_object().expect("tokens");
        let tokens = issued.iter().filter(|(name, _)| name.ends_with("_token"));
        markers.extend(tokens.filter_map(|(_, token)| token.as_str().map(str::to_owned)));
    }
    for event in simulator.events("request").await {
        for part in ["query", "body"] {
            let part = event.detail[part].as_str().unwrap_or_default();
            let pairs = url::form_urlencoded::parse(part.as_bytes());
            let secret = ["code_verifier", "nonce", "state", "id_token_hint", "client_secret"];
            let pairs = pairs.filter(|(name, _)| secret.contains(&&**name));
            markers.extend(pairs.map(|(_, value)| value.into_owned()));
        }
    }
    let (output, metrics) = (gate.output(), gate.metrics().await);
    assert!(!markers.is_empty());
    for marker in markers.iter().filter(|marker| !marker.is_empty()) {
        assert!(!output.contains(marker.as_str()), "CB-62: {marker} is in the log");
        assert!(!metrics.contains(marker.as_str()), "CB-62: {marker} is in the metrics");
    }
    simulator.refusals().await
}

/// The parameters of a query or a form, in the order of their names.
pub(crate) fn pairs(text: &str) -> Vec<(String, String)> {
    let mut pairs: Vec<_> = url::form_urlencoded::parse(text.as_bytes()).into_owned().collect();
    pairs.sort();
    pairs
}

/// The value of one of them.
pub(crate) fn value<'a>(pairs: &'a [(String, String)], name: &str) -> &'a str {
    let found = pairs.iter().find(|(found, _)| found == name);
    found.map_or_else(|| panic!("no {name} in {pairs:?}"), |(_, value)| value)
}

/// The names of them.
pub(crate) fn names(pairs: &[(String, String)]) -> Vec<&str> {
    pairs.iter().map(|(name, _)| name.as_str()).collect()
}

/// The requests that an endpoint of the simulator got.
pub(crate) async fn requests(simulator: &Simulator, endpoint: &str) -> Vec<Json> {
    let events = simulator.events("request").await;
    let events = events.into_iter().map(|event| Json::Object(event.detail.into_iter().collect()));
    events.filter(|request| request["endpoint"] == endpoint).collect()
}

/// Asks for the page until an answer brings a newer session, or is not the page.
pub(crate) async fn until_refreshed(visitor: &Visitor) -> Answer {
    let began = Instant::now();
    loop {
        let page = visitor.fetches("/page").await;
        if page.status != 200 || !page.set_cookies().is_empty() {
            return page;
        }
        assert!(began.elapsed() < PATIENCE, "nothing is refreshed");
    }
}

/// An authority (`authority.pem`), a provider's certificate and ours (`qwac.pem`, `qwac.key`), as files; and the
/// thumbprint of ours.
pub(crate) fn issue_papers(scratch: &Scratch) -> (SimulatorTls, String) {
    let made = "the story can issue certificates";
    let key = KeyPair::generate().expect(made);
    let mut authority = CertificateParams::default();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    // Some take a certificate for self-signed that is named like its issuer.
    authority.distinguished_name.push(DnType::CommonName, "authority");
    let certificate = authority.self_signed(&key).expect(made);
    let issuer = Issuer::new(authority, key);
    let client_authority = scratch.write("authority.pem", certificate.pem());
    let issue = |name: &str, names: &[&str], usage: ExtendedKeyUsagePurpose| {
        let key = KeyPair::generate().expect(made);
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).expect(made);
        params.extended_key_usages = vec![usage];
        params.distinguished_name.push(DnType::CommonName, name);
        let certificate = params.signed_by(&key, &issuer).expect(made);
        let file = scratch.write(&format!("{name}.pem"), certificate.pem());
        let key = scratch.write(&format!("{name}.key"), key.serialize_pem());
        let digest = Sha256::digest(certificate.der());
        let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        (file, key, digest)
    };
    let (certificate, key, _) =
        issue("bank", &["localhost", "127.0.0.1"], ExtendedKeyUsagePurpose::ServerAuth);
    let (.., digest) = issue("qwac", &["tpp.example"], ExtendedKeyUsagePurpose::ClientAuth);
    (SimulatorTls { certificate, key, client_authority: Some(client_authority) }, digest)
}
