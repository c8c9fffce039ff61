//! A gate whose only provider is a vendor's.

use std::net::{Ipv4Addr, SocketAddr};

use lychgate_demo::echo::Echo;
use lychgate_tests::cast::gate::{Gate, free_port};
use lychgate_tests::cast::house::SESSION_KEY;
use lychgate_tests::cast::scratch::Scratch;
use lychgate_tests::cast::vendor::Vendor;
use lychgate_tests::cast::visitor::{Answer, Visitor};

/// A gate, a vendor and an application; they end with it.
pub(crate) struct Gatehouse {
    pub(crate) vendor: Vendor,
    gate: Gate,
    port: u16,
    _application: Echo,
}

impl Gatehouse {
    /// Opens one for everybody who can sign in. In `keys`, the lines of `[providers.vendor]` beside kind,
    /// client and secret, `{base}` and `{issuer}` are the vendor's.
    pub(crate) async fn open(kind: &str, keys: &str) -> Self {
        Self::before(Vendor::start(kind).await, Scratch::new(), keys).await
    }

    pub(crate) async fn before(vendor: Vendor, scratch: Scratch, keys: &str) -> Self {
        let application = Echo::start(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await;
        let application = application.expect("the application starts");
        let (port, admin) = (free_port(), free_port());
        let keys = keys.replace("{base}", vendor.base_url()).replace("{issuer}", vendor.issuer());
        let toml = format!(
            r#"
[listeners.main]
address = "127.0.0.1:{port}"

[admin]
address = "127.0.0.1:{admin}"

[sessions]
keys = ["{SESSION_KEY}"]

[routes.app]
url      = "http://app.localhost:{port}"
upstream = "http://{application}"
allow    = ["anyone-with-an-account"]
headers.request = {{ "X-Name" = "{{name}}" }}

[providers.vendor]
kind          = "{kind}"
client_id     = "{id}"
client_secret = "{secret}"
{keys}
"#,
            application = application.address(),
            kind = vendor.kind(),
            id = vendor.client("id"),
            secret = vendor.client("secret"),
        );
        let gate = Gate::start_in(scratch, &toml).await;
        Self { vendor, gate, port, _application: application }
    }

    /// Somebody signs in, and this is where it ends.
    pub(crate) async fn signs_in(&self, persona: &str) -> Answer {
        self.vendor.persona(persona).await;
        let home = format!("http://app.localhost:{}", self.port);
        let visitor = Visitor::of(&home, &[self.vendor.base_url()]);
        let answer = visitor.opens("/deep?q=1").await;
        let answer = visitor.follows(answer).await;
        assert_eq!(visitor.has_session(), answer.status == 200, "{}", answer.text());
        // The same page once more, as a program reads it.
        if visitor.has_session() { visitor.fetches("/deep?q=1").await } else { answer }
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
