//! A gate whose only provider is a vendor's.

use std::net::{Ipv4Addr, SocketAddr};

use lychgate_demo::echo::Echo;
use lychgate_tests::cast::gate::{Gate, free_port};
use lychgate_tests::cast::house::SESSION_KEY;
use lychgate_tests::cast::scratch::Scratch;
use lychgate_tests::cast::vendor::Vendor;
use lychgate_tests::cast::visitor::{Answer, Visitor};
use rcgen::{CertifiedKey, KeyPair, SignatureAlgorithm, generate_simple_self_signed};
use reqwest::Method;
use url::form_urlencoded;

/// A gate, a vendor and an application; they end with it.
pub(crate) struct Gatehouse {
    pub(crate) vendor: Vendor,
    gate: Gate,
    home: String,
    /// Of the gate, if it is spoken to over https.
    certificate: Option<String>,
    _application: Echo,
}

impl Gatehouse {
    /// Opens one for everybody who can sign in. In `keys`, the lines of `[providers.vendor]` beside kind,
    /// client and secret, `{base}` and `{issuer}` are the vendor's.
    pub(crate) async fn open(kind: &str, keys: &str) -> Self {
        Self::before(Vendor::start(kind).await, Scratch::new(), keys).await
    }

    /// As [`open`](Self::open), for those alone whom this entry of `allow` is about.
    pub(crate) async fn admitting(kind: &str, keys: &str, entry: &str) -> Self {
        let vendor = Vendor::start(kind).await;
        let proof = proof_by_secret(&vendor);
        Self::proving(vendor, Scratch::new(), keys, &proof, entry).await
    }

    pub(crate) async fn before(vendor: Vendor, scratch: Scratch, keys: &str) -> Self {
        let proof = proof_by_secret(&vendor);
        Self::proving(vendor, scratch, keys, &proof, ANYBODY).await
    }

    /// As [`open`](Self::open), at a vendor to whom a client proves itself with a key of this kind, over https;
    /// `{NAME}` in `keys` is what the vendor calls the client's `NAME`.
    pub(crate) async fn signing(
        kind: &str,
        keys: &str,
        algorithm: &'static SignatureAlgorithm,
    ) -> Self {
        Self::signing_and_admitting(kind, keys, algorithm, ANYBODY).await
    }

    pub(crate) async fn signing_and_admitting(
        kind: &str,
        keys: &str,
        algorithm: &'static SignatureAlgorithm,
        entry: &str,
    ) -> Self {
        let (vendor, scratch) = (Vendor::start(kind).await, Scratch::new());
        let key = KeyPair::generate_for(algorithm).expect("a key");
        scratch.write("signing.pem", key.serialize_pem());
        vendor.client_keys(&[key.public_key_pem()]).await;
        let mut keys = keys.to_owned();
        for member in ["team_id", "key_id"] {
            let place = format!("{{{member}}}");
            if keys.contains(&place) {
                keys = keys.replace(&place, vendor.client(member));
            }
        }
        let proof = "signing_key = { file = 'signing.pem' }";
        Self::proving(vendor, scratch, &keys, proof, entry).await
    }

    async fn proving(
        vendor: Vendor,
        scratch: Scratch,
        keys: &str,
        proof: &str,
        entry: &str,
    ) -> Self {
        let application = Echo::start(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await;
        let application = application.expect("the application starts");
        let (port, admin) = (free_port(), free_port());
        let keys = keys.replace("{base}", vendor.base_url()).replace("{issuer}", vendor.issuer());
        // A vendor that answers with a form needs browsers that keep cookies of ours, which takes https.
        let is_signed = proof.starts_with("signing_key");
        let scheme = if is_signed { "https" } else { "http" };
        let home = format!("{scheme}://app.localhost:{port}");
        let mut tls = String::new();
        let mut certificate = None;
        if is_signed {
            let made = generate_simple_self_signed(["app.localhost".to_owned()]);
            let CertifiedKey { cert, signing_key } = made.expect("a certificate");
            scratch.write("tls.crt", cert.pem());
            scratch.write("tls.key", signing_key.serialize_pem());
            tls = "tls = { certificate = \"tls.crt\", key = \"tls.key\" }".to_owned();
            certificate = Some(cert.pem());
        }
        let toml = format!(
            r#"
[listeners.main]
address = "127.0.0.1:{port}"
{tls}

[admin]
address = "127.0.0.1:{admin}"

[sessions]
keys = ["{SESSION_KEY}"]

[routes.app]
url      = "{home}"
upstream = "http://{application}"
allow    = ['{entry}']
headers.request = {{ "X-Name" = "{{name}}" }}

[providers.vendor]
kind          = "{kind}"
client_id     = "{id}"
{proof}
{keys}
"#,
            application = application.address(),
            kind = vendor.kind(),
            id = vendor.client("id"),
        );
        let gate = Gate::start_in(scratch, &toml).await;
        Self { vendor, gate, home, certificate, _application: application }
    }

    /// Somebody signs in, and this is where it ends.
    pub(crate) async fn signs_in(&self, persona: &str) -> Answer {
        let (visitor, answer) = self.arrives(persona).await;
        assert_eq!(visitor.has_session(), answer.status == 200, "{}", answer.text());
        // The same page once more, as a program reads it.
        if visitor.has_session() { visitor.fetches("/deep?q=1").await } else { answer }
    }

    /// The same, of somebody who may be known and still not be let in.
    pub(crate) async fn arrives(&self, persona: &str) -> (Visitor, Answer) {
        self.vendor.persona(persona).await;
        let vendor = [self.vendor.base_url()];
        let visitor = match &self.certificate {
            Some(certificate) => Visitor::trusting(&self.home, &vendor, certificate),
            None => Visitor::of(&self.home, &vendor),
        };
        let answer = visitor.opens("/deep?q=1").await;
        let mut answer = visitor.follows(answer).await;
        if let Some((action, fields)) = posted_form(&answer.text()) {
            let headers = [
                ("accept", "text/html"),
                ("content-type", "application/x-www-form-urlencoded"),
                ("origin", self.vendor.base_url()),
                ("sec-fetch-site", "cross-site"),
            ];
            let sent = visitor.sends(Method::POST, &action, &headers, fields.into_bytes()).await;
            answer = visitor.follows(sent).await;
        }
        (visitor, answer)
    }

    /// How often the gate asked for newer tokens.
    pub(crate) async fn refreshes(&self) -> usize {
        let asked = self.vendor.requests("token").await;
        let body = |request: &serde_json::Value| request["body"].as_str().map(str::to_owned);
        let bodies = asked.iter().filter_map(body);
        bodies.filter(|body| body.contains("grant_type=refresh_token")).count()
    }

    /// Why somebody does not get in, of which the log says nothing secret.
    pub(crate) async fn is_refused(&self, persona: &str) -> (Answer, String) {
        let answer = self.signs_in(persona).await;
        assert_ne!(answer.status, 200, "{}", answer.text());
        let reason = answer.reason();
        let written = self.gate.output();
        assert!(!written.contains(self.vendor.client("secret")), "the log is silent about secrets");
        assert!(!written.contains("Bearer "), "the log is silent about tokens");
        (answer, reason)
    }
}

/// The entry of `allow` that is about everybody who can sign in.
const ANYBODY: &str = "anyone-with-an-account";

fn proof_by_secret(vendor: &Vendor) -> String {
    format!("client_secret = \"{}\"", vendor.client("secret"))
}

/// Where a page that submits itself posts to, and what, if this is one.
fn posted_form(page: &str) -> Option<(String, String)> {
    let plain = |text: &str| {
        let text = text.replace("&quot;", "\"").replace("&lt;", "<").replace("&gt;", ">");
        text.replace("&#39;", "'").replace("&amp;", "&")
    };
    let action = page.split_once("<form method=\"post\" action=\"")?.1.split_once('"')?.0;
    page.contains("document.forms[0].submit()").then_some(())?;
    let mut fields = form_urlencoded::Serializer::new(String::new());
    for input in page.split("<input type=\"hidden\" name=\"").skip(1) {
        let (name, rest) = input.split_once("\" value=\"")?;
        fields.append_pair(&plain(name), &plain(rest.split_once('"')?.0));
    }
    Some((plain(action), fields.finish()))
}

/// What the application is told of somebody.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) user: String,
    pub(crate) email: String,
    pub(crate) groups: Vec<String>,
}

/// What the application was told by a page that it answered.
pub(crate) fn told(answer: &Answer) -> Told {
    assert_eq!(answer.status, 200, "{} {}", answer.url, answer.text());
    let header = |name: &str| answer.echoed(name).unwrap_or_default();
    let groups = header("x-forwarded-groups");
    Told {
        user: header("x-forwarded-user"),
        email: header("x-forwarded-email"),
        groups: groups.split(',').filter(|group| !group.is_empty()).map(str::to_owned).collect(),
    }
}
