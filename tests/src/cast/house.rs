//! A gate between the development provider and the echo application: where most stories begin.

use std::net::{Ipv4Addr, SocketAddr};

use lychgate_demo::echo::Echo;
use lychgate_demo::provider::{Client, Provider, ProviderOptions};
use toml::{Table, Value};

use super::gate::{Gate, free_port};
use super::invariants::{self, Head};
use super::scratch::Scratch;
use super::visitor::Visitor;

/// The gate's client secret, which nothing may ever print.
pub const CLIENT_SECRET: &str = "the-secret-between-gate-and-provider";

/// The key that seals cookies, which nothing may ever print.
pub const SESSION_KEY: &str = "c3Rvcmllcy1zdG9yaWVzLXN0b3JpZXMtc3Rvcmllcy0";

/// A gate, a provider and an application, which know each other. They end with it.
#[derive(Debug)]
pub struct House {
    /// The gate: `/public/**` is open, `/admin/**` is for the group `sre`, the rest for everybody who is
    /// signed in. The application is told by the preset `headers`.
    pub gate: Gate,
    /// The provider; its personas are Alice (sre, engineering), Bob (engineering) and Eve (contractor).
    pub provider: Provider,
    /// The application.
    pub application: Echo,
}

/// What a house will be like.
#[derive(Debug)]
pub struct Plan {
    /// The gate's port.
    pub port: u16,
    /// The gate's configuration.
    pub configuration: Table,
    /// The directory of the configuration, for files beside it.
    pub scratch: Scratch,
    /// The provider.
    pub provider: ProviderOptions,
}

impl Plan {
    /// Adds to the configuration: tables are merged, everything else is replaced.
    ///
    /// # Panics
    /// When this is no TOML.
    pub fn set(&mut self, toml: &str) {
        let more: Table = toml.parse().unwrap_or_else(|error| panic!("{error}\n{toml}"));
        merge(&mut self.configuration, more);
    }

    /// Where browsers find the application.
    #[must_use]
    pub fn origin(&self) -> String {
        format!("http://app.localhost:{}", self.port)
    }

    /// Puts another application in the place of the echo application.
    pub fn upstream(&mut self, address: SocketAddr) {
        self.set(&format!("[routes.app]\nupstream = \"http://{address}\""));
    }
}

impl House {
    /// The standard house.
    ///
    /// # Panics
    /// When one of the three does not start.
    pub async fn open() -> Self {
        Self::planned(|_| ()).await
    }

    /// The standard house with this added to its configuration, as by [`Plan::set`].
    ///
    /// # Panics
    /// As [`open`](Self::open).
    pub async fn with(toml: &str) -> Self {
        Self::planned(|plan| plan.set(toml)).await
    }

    /// The standard house, changed.
    ///
    /// # Panics
    /// As [`open`](Self::open).
    pub async fn planned(change: impl FnOnce(&mut Plan)) -> Self {
        let port = free_port();
        let origin = format!("http://app.localhost:{port}");
        let client = Client {
            client_id: "gate".to_owned(),
            client_secret: CLIENT_SECRET.to_owned(),
            redirect_uris: vec![format!("{origin}/.lychgate/callback")],
            post_logout_redirect_uris: vec![format!("{origin}/.lychgate/signed-out")],
        };
        let mut plan = Plan {
            port,
            configuration: Table::new(),
            scratch: Scratch::new(),
            provider: ProviderOptions { clients: vec![client], ..ProviderOptions::default() },
        };
        // The provider's address has to be in the configuration before the change can see it.
        plan.provider.address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
        let application = Echo::start(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
        let application = application.await.expect("the application starts");
        plan.set(&standard(&origin, port, plan.provider.address, application.address()));
        change(&mut plan);

        let provider = Provider::start(plan.provider.clone()).await.expect("the provider starts");
        let toml = plan.configuration.to_string();
        let recorded = application.recording();
        invariants::witness(application.address(), move || {
            let requests = recorded().into_iter().enumerate();
            // Its connections are not told apart: what is repeated is repeated on another one.
            requests
                .map(|(connection, request)| Head {
                    method: request.method,
                    path: request.path,
                    headers: request.headers,
                    connection,
                })
                .collect()
        });
        let gate = Gate::start_in(plan.scratch, &toml).await;
        Self { gate, provider, application }
    }

    /// Somebody new.
    #[must_use]
    pub fn visitor(&self) -> Visitor {
        Visitor::of(self.gate.url(), &[self.provider.issuer()])
    }

    /// Somebody who signed in as this persona.
    ///
    /// # Panics
    /// When that fails.
    pub async fn signed_in(&self, user: &str) -> Visitor {
        let visitor = self.visitor();
        let answer = visitor.signs_in_as(user, "/").await;
        assert!(
            answer.status == 200 && visitor.has_session(),
            "{}: {}",
            answer.status,
            answer.text()
        );
        visitor
    }

    /// The `Cookie` header of somebody who signed in as this persona, for sockets.
    ///
    /// # Panics
    /// When the sign-in fails.
    pub async fn session_of(&self, user: &str) -> String {
        let visitor = self.signed_in(user).await;
        let url = visitor.url("/");
        visitor.cookie_header(&url).expect("there is a session")
    }

    /// The gate's host and port, as in a `Host` header.
    #[must_use]
    pub fn host(&self) -> &str {
        self.gate.url().trim_start_matches("http://")
    }
}

/// The configuration that stories change.
#[must_use]
pub fn standard(origin: &str, port: u16, provider: SocketAddr, application: SocketAddr) -> String {
    let admin = free_port();
    format!(
        r#"
[listeners.main]
address = "127.0.0.1:{port}"
http2   = true

[sessions]
keys = ["{SESSION_KEY}"]

[providers.demo]
issuer        = "http://{provider}"
client_id     = "gate"
client_secret = "{CLIENT_SECRET}"

[policies.operators]
allow   = ["group:sre"]
explain = "The admin pages are for members of the group sre."

[routes.app]
url      = "{origin}"
upstream = "http://{application}"
allow    = ["authenticated"]
identity = "headers"

[[routes.app.rules]]
path   = "/public/**"
public = true

[[routes.app.rules]]
path   = "/admin/**"
policy = "operators"

[admin]
address = "127.0.0.1:{admin}"

[telemetry]
log = {{ level = "debug", format = "json" }}
"#
    )
}

/// Adds to a configuration: tables are merged, everything else is replaced.
pub fn merge(table: &mut Table, more: Table) {
    for (key, value) in more {
        match (table.get_mut(&key), value) {
            (Some(Value::Table(inner)), Value::Table(more)) => merge(inner, more),
            (_, value) => drop(table.insert(key, value)),
        }
    }
}
