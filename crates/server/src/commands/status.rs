//! `lychgate status`: how the running gateway is, as its admin port says it.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use lychgate_config::ProcessEnvironment;
use lychgate_oidc::Secret;
use serde_json::Value;

use super::health::reachable;
use super::{Files, Format};
use crate::console::{NO, OK, UNREACHABLE, complain, say};

/// Whom to ask, and how to say it.
#[derive(Args)]
pub(super) struct Options {
    #[command(flatten)]
    files: Files,
    /// The admin address, when it is not to be read from the configuration
    #[arg(long, value_name = "ADDRESS")]
    address: Option<SocketAddr>,
    /// A file with the admin token, beside --address
    #[arg(long, value_name = "PATH", requires = "address")]
    token_file: Option<PathBuf>,
    /// The form of the answer
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

/// Asks `/status`. Ends with 0 when it is ready, with 1 when it is not or does not say, and with 69 when nobody
/// answers.
pub(super) fn run(options: &Options) -> u8 {
    let (address, token) = match whom(options) {
        Ok(whom) => whom,
        Err(message) => {
            complain(&format!("{message}\n"));
            return NO;
        }
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            complain(&format!("error: there is no runtime: {error}\n"));
            return UNREACHABLE;
        }
    };
    let (status, body) = match runtime.block_on(ask(reachable(address), token.as_ref())) {
        Ok(answer) => answer,
        Err(error) => {
            complain(&format!("error: nobody answers at {address}: {}\n", crate::chain(&error)));
            return UNREACHABLE;
        }
    };
    if status == http::StatusCode::UNAUTHORIZED {
        complain(&format!(
            "error: {address} asks for a token; name the configuration with -c, or a file with --token-file\n"
        ));
        return NO;
    }
    let document = serde_json::from_slice::<Value>(&body).ok().filter(Value::is_object);
    let Some(document) = document.filter(|_| status.is_success()) else {
        complain(&format!(
            "error: what answers at {address} is not a Lychgate that knows `status`\n"
        ));
        return NO;
    };
    match options.format {
        Format::Json => say(&format!("{document:#}\n")),
        Format::Text => say(&in_words(&document)),
    }
    if document["ready"] == true { OK } else { NO }
}

fn whom(options: &Options) -> Result<(SocketAddr, Option<Secret>), String> {
    if let Some(address) = options.address {
        let token = options.token_file.as_ref().map(|path| {
            let token = std::fs::read_to_string(path);
            token
                .map(|token| Secret::new(token.trim_end()))
                .map_err(|error| format!("error: `{}` cannot be read: {error}", path.display()))
        });
        return Ok((address, token.transpose()?));
    }
    match lychgate_config::load(&options.files.sources(), &ProcessEnvironment) {
        Ok(loaded) => Ok((loaded.config.admin.address, loaded.config.admin.token)),
        Err(report) => Err(report.to_string()),
    }
}

async fn ask(
    address: SocketAddr,
    token: Option<&Secret>,
) -> Result<(http::StatusCode, Vec<u8>), reqwest::Error> {
    let client = reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(std::time::Duration::from_secs(3))
        .build()?;
    let request = client.get(format!("http://{address}/status"));
    let request = match token {
        Some(token) => request.bearer_auth(token.expose()),
        None => request,
    };
    let answer = request.send().await?;
    Ok((answer.status(), answer.bytes().await?.into()))
}

/// A line for each thing that is said. The texts are the gateway's own and the operator's.
fn in_words(document: &Value) -> String {
    let mut text = String::new();
    let shown = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    for key in ["version", "config_hash", "started_at", "ready"] {
        text.push_str(&format!("{key:<12} {}\n", shown(&document[key])));
    }
    for file in document["files"].as_array().into_iter().flatten() {
        text.push_str(&format!("{:<12} {}\n", "file", shown(file)));
    }
    let reload = &document["last_reload"];
    if reload.is_object() {
        let [outcome, trigger, at] = ["outcome", "trigger", "at"].map(|key| shown(&reload[key]));
        text.push_str(&format!("{:<12} {outcome} ({trigger}) {at}\n", "last_reload"));
        for line in reload["error"].as_str().into_iter().flat_map(str::lines) {
            text.push_str(&format!("{:<12} {line}\n", ""));
        }
    }
    for key in document["needs_restart"].as_array().into_iter().flatten() {
        text.push_str(&format!("{:<12} {}\n", "needs restart", shown(key)));
    }
    for group in ["checks", "providers"] {
        for (name, state) in document[group].as_object().into_iter().flatten() {
            text.push_str(&format!("{group:<12} {name}: {}\n", shown(state)));
        }
    }
    text
}
