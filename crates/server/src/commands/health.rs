//! `lychgate health`: for containers that have no other way to ask.

use std::net::SocketAddr;

use clap::Args;
use lychgate_config::ProcessEnvironment;

use super::Files;
use crate::console::{NO, OK, UNREACHABLE, complain, say};

/// Whom to ask.
#[derive(Args)]
pub(super) struct Options {
    #[command(flatten)]
    files: Files,
    /// The admin address, when it is not to be read from the configuration
    #[arg(long, value_name = "ADDRESS")]
    address: Option<SocketAddr>,
}

/// Asks `/readyz`. Ends with 0 when it is ready, with 1 when it says that it is not, and with 69 when nobody
/// answers.
pub(super) fn run(options: &Options) -> u8 {
    let address = match options.address {
        Some(address) => address,
        None => match lychgate_config::load(&options.files.sources(), &ProcessEnvironment) {
            Ok(loaded) => loaded.config.admin.address,
            Err(report) => {
                complain(&format!("{report}\n"));
                return NO;
            }
        },
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            complain(&format!("error: there is no runtime: {error}\n"));
            return UNREACHABLE;
        }
    };
    match runtime.block_on(ask(reachable(address))) {
        Ok(true) => {
            say("ready\n");
            OK
        }
        Ok(false) => {
            say("not ready\n");
            NO
        }
        Err(error) => {
            complain(&format!("error: nobody answers at {address}: {}\n", crate::chain(&error)));
            UNREACHABLE
        }
    }
}

/// An address that means "all of mine" is asked at loopback.
pub(super) fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address {
        SocketAddr::V4(v4) if v4.ip().is_unspecified() => std::net::Ipv4Addr::LOCALHOST.into(),
        SocketAddr::V6(v6) if v6.ip().is_unspecified() => std::net::Ipv6Addr::LOCALHOST.into(),
        SocketAddr::V4(_) | SocketAddr::V6(_) => address.ip(),
    };
    SocketAddr::new(ip, address.port())
}

async fn ask(address: SocketAddr) -> Result<bool, reqwest::Error> {
    let client = reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(std::time::Duration::from_secs(3))
        .build()?;
    Ok(client.get(format!("http://{address}/readyz")).send().await?.status().is_success())
}
