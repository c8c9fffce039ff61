//! `lychgate demo`: a whole sign-in on this machine, in one process, to look at and to break.
//!
//! A development provider without passwords, an application that echoes what it receives, and the gateway
//! between them, all on loopback. The gateway is the real one, started from the real configuration
//! language; `--print-config` shows the file.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use clap::Args;
use lychgate_config::{ProcessEnvironment, Source};
use lychgate_demo::echo::Echo;
use lychgate_demo::provider::{Client, Host, Provider, ProviderOptions};
use lychgate_demo::{Fault, personas};

use crate::console::{CONFIG, OK, UNREACHABLE, complain, say};
use crate::marks::Marks;
use crate::{keys, run};

/// How the demonstration runs.
#[derive(Args)]
pub(super) struct Options {
    /// The gateway's port; the provider takes the next one, the application the one after, and the
    /// operator's port the one after that
    #[arg(long, default_value_t = 9000, value_parser = clap::value_parser!(u16).range(1024..=65000))]
    port: u16,
    /// Let the provider do something wrong, to see what the gateway says
    #[arg(long = "break", value_name = "FAULT", long_help = faults())]
    fault: Option<Fault>,
    /// Print the configuration and end
    #[arg(long)]
    print_config: bool,
}

const CLIENT_ID: &str = "lychgate-demo";

fn faults() -> String {
    let lines =
        Fault::ALL.iter().map(|fault| format!("\n  {:<14} {}", fault.word(), fault.effect()));
    format!(
        "Let the provider do something wrong, to see what the gateway says:{}",
        lines.collect::<String>()
    )
}

/// Where everything is.
struct Ports {
    gateway: u16,
    provider: u16,
    application: u16,
    admin: u16,
}

impl Ports {
    fn from(first: u16) -> Self {
        Self { gateway: first, provider: first + 1, application: first + 2, admin: first + 3 }
    }
}

/// Shows a sign-in until it is interrupted.
pub(super) fn run(options: &Options) -> u8 {
    let ports = Ports::from(options.port);
    let (client_secret, session_key) = (keys::generate(), keys::generate());
    let text = configuration(&ports, &client_secret, &session_key);
    if options.print_config {
        say(&text);
        return OK;
    }
    let source = Source::Text { name: "lychgate demo".to_owned(), text };
    let loaded = match lychgate_config::load(&[source], &ProcessEnvironment) {
        Ok(loaded) => loaded,
        Err(report) => {
            complain(&format!("{report}\n"));
            return CONFIG;
        }
    };
    run::in_runtime(async {
        let others = match start_others(&ports, client_secret, options.fault).await {
            Ok(others) => others,
            Err(error) => {
                complain(&format!(
                    "error: the demonstration needs four free ports from {}: {error}\n",
                    options.port
                ));
                complain("hint: choose others with `--port`\n");
                return UNREACHABLE;
            }
        };
        match run::start(loaded, "demo", Marks::nowhere()).await {
            Ok(running) => {
                say(&introduction(&ports, options.fault));
                running.until_stopped().await;
                others.stop().await;
                OK
            }
            Err(error) => {
                complain(&format!("error: {}\n", crate::chain(&error)));
                error.exit_code()
            }
        }
    })
}

/// The provider and the application.
struct Others {
    provider: Provider,
    application: Echo,
}

impl Others {
    async fn stop(self) {
        self.provider.stop().await;
        self.application.stop().await;
    }
}

async fn start_others(
    ports: &Ports,
    client_secret: String,
    fault: Option<Fault>,
) -> io::Result<Others> {
    let loopback = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let gateway = format!("http://localhost:{}", ports.gateway);
    let client = Client {
        client_id: CLIENT_ID.to_owned(),
        client_secret,
        redirect_uris: vec![format!("{gateway}/.lychgate/callback")],
        post_logout_redirect_uris: vec![format!("{gateway}/.lychgate/signed-out")],
    };
    let provider = Provider::start(ProviderOptions {
        address: loopback(ports.provider),
        host: Host::Address,
        clients: vec![client],
        personas: personas::default(),
        fault,
        ..ProviderOptions::default()
    });
    Ok(Others {
        provider: provider.await?,
        application: Echo::start(loopback(ports.application)).await?,
    })
}

fn configuration(ports: &Ports, client_secret: &str, session_key: &str) -> String {
    let Ports { gateway, provider, application, admin } = ports;
    format!(
        r#"# What `lychgate demo` runs. Everything is on this machine.
[listeners.demo]
address = "127.0.0.1:{gateway}"

[sessions]
keys = ["{session_key}"]

[providers.demo]
label         = "the demonstration's provider"
issuer        = "http://127.0.0.1:{provider}"
client_id     = "{CLIENT_ID}"
client_secret = "{client_secret}"

[policies.operators]
allow   = ["group:sre"]
explain = "The admin pages are for members of the group sre, such as Alice."

[routes.app]
url      = "http://localhost:{gateway}"
upstream = "http://127.0.0.1:{application}"
allow    = ["authenticated"]

[[routes.app.rules]]
path   = "/admin/**"
policy = "operators"

[routes.welcome]
url      = "http://localhost:{gateway}/welcome"
upstream = "http://127.0.0.1:{application}/welcome"
public   = true

[admin]
address = "127.0.0.1:{admin}"

[telemetry]
log.level  = "warn"
access_log = {{ output = "none" }}
audit_log  = {{ output = "none" }}
"#
    )
}

fn introduction(ports: &Ports, fault: Option<Fault>) -> String {
    let Ports { gateway, provider, application, admin } = ports;
    let broken = fault
        .map(|fault| format!("\n  broken             {} ({})\n", fault.word(), fault.effect()));
    let broken = broken.unwrap_or_default();
    format!(
        "
  identity provider  http://127.0.0.1:{provider}   personas without passwords: Alice (sre), Bob (engineering), Eve (contractor)
  application        http://127.0.0.1:{application}   echoes what it receives, and knows nothing of sign-in
  gateway            http://localhost:{gateway}   configuration: lychgate demo --print-config
  operator           http://127.0.0.1:{admin}   /readyz /metrics
{broken}
  Try   1. sign in as Bob          http://localhost:{gateway}/deep/link?tab=2#part   look at the headers that the application got
        2. open the admin pages    http://localhost:{gateway}/admin                 Bob may not, and is told why
        3. see who you are         http://localhost:{gateway}/.lychgate/            and sign out
        4. a public page           http://localhost:{gateway}/welcome               nobody has to sign in
        5. break it                lychgate demo --break nonce                  and sign in again

  open  http://localhost:{gateway}
"
    )
}
