//! `lychgate explain`: what would happen to a request, and why.
//!
//! The answer is the gateway's own, for an invented person and without a network (W-10 to W-13). Text is for people
//! and may change; the JSON is stable.

mod json;
mod persona;
mod words;

use std::net::IpAddr;

use clap::Args;
use http::{HeaderName, HeaderValue};
use lychgate_config::config::ExpectedDecision;
use lychgate_config::{ProcessEnvironment, rehearsal, rehearse};
use lychgate_gateway::explain::{Explanation, Hypothesis};
use lychgate_gateway::outcome::DecisionWord;

use super::{Files, Format};
use crate::console::{DEPENDS, NO, OK, USAGE, complain, say};
use crate::world::now;

pub(super) use json::document;
pub(super) use words::{Headers, lines};

/// Which request, and whose.
#[derive(Args)]
pub(super) struct Options {
    #[command(flatten)]
    files: Files,
    /// The address, as somebody would type it; odd spellings are kept as they are
    #[arg(value_name = "URL")]
    url: String,
    /// Who is signed in: user=ada,groups=sre|staff,email=ada@example.com,name=…,provider=…,claims.amr=hwk, or
    /// @FILE with a JSON object of these; may be repeated. Without it nobody is signed in
    #[arg(long = "as", value_name = "WHO")]
    person: Vec<String>,
    /// The client's address; without it no condition about networks holds
    #[arg(long, value_name = "ADDRESS")]
    from: Option<IpAddr>,
    /// The method
    #[arg(short = 'X', long, value_name = "METHOD", default_value = "GET")]
    method: String,
    /// A request header, as "Name: value"; may be repeated. Otherwise the request is a browser's for a page
    #[arg(short = 'H', long = "header", value_name = "HEADER")]
    headers: Vec<String>,
    /// Do not show the values of headers
    #[arg(long)]
    mask: bool,
    /// The form of the answer
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
    /// The same as --format json
    #[arg(long)]
    json: bool,
}

/// Explains. Ends with 0 when the request passes, with 1 when it is refused, and with 3 when somebody has to sign
/// in first.
pub(super) fn run(options: &Options) -> u8 {
    let hypothesis = match hypothesis(options) {
        Ok(hypothesis) => hypothesis,
        Err(message) => {
            complain(&format!("error: {message}\n"));
            return USAGE;
        }
    };
    let rehearsal = match rehearse(&options.files.sources(), &ProcessEnvironment) {
        Ok(rehearsal) => rehearsal,
        Err(report) => {
            complain(&format!("{report}\n"));
            return NO;
        }
    };
    let explanation = match rehearsal.explain(&hypothesis, now()) {
        Ok(explanation) => explanation,
        Err(error) => {
            complain(&format!("error: {error}\n"));
            return USAGE;
        }
    };
    let headers = if options.mask { Headers::Masked } else { Headers::Shown };
    if options.json || matches!(options.format, Format::Json) {
        let mut document = document(&rehearsal, &explanation, headers);
        if let Some(members) = document.as_object_mut() {
            members.insert("method".to_owned(), hypothesis.method.as_str().into());
            members.insert("url".to_owned(), options.url.as_str().into());
        }
        say(&format!("{document:#}\n"));
    } else {
        say(&format!("{} {}\n\n", hypothesis.method, shown(&options.url)));
        say(&lines(&rehearsal, &explanation, headers));
    }
    code(&explanation)
}

/// The exit code that says how it ended (W-10).
fn code(explanation: &Explanation) -> u8 {
    match rehearsal::decision(explanation) {
        ExpectedDecision::Word(DecisionWord::Allow | DecisionWord::Own | DecisionWord::Public) => {
            OK
        }
        ExpectedDecision::Word(DecisionWord::Login) => DEPENDS,
        ExpectedDecision::Refuse | ExpectedDecision::Word(DecisionWord::Deny) => NO,
    }
}

fn hypothesis(options: &Options) -> Result<Hypothesis, String> {
    let mut hypothesis = Hypothesis::of_url(&options.method, &options.url)
        .map_err(|error| format!("{}: {error}", shown(&options.url)))?;
    for line in &options.headers {
        let header = line.split_once(':').and_then(|(name, value)| {
            let name = HeaderName::try_from(name.trim()).ok()?;
            Some((name, HeaderValue::try_from(value.trim()).ok()?))
        });
        let Some((name, value)) = header else {
            return Err(format!("`{}` is no header; write \"Name: value\"", shown(line)));
        };
        hypothesis.headers.insert(name, value);
    }
    hypothesis.client = options.from;
    hypothesis.person = persona::of(&options.person)?;
    Ok(hypothesis)
}

/// A text of somebody else's that cannot move the cursor.
fn shown(text: &str) -> String {
    text.chars()
        .map(|character| if character.is_control() { '\u{fffd}' } else { character })
        .collect()
}
