//! The operator's words: TOML in, a configuration that cannot be wrong out.
//!
//! [`load`] reads files, checks everything, fetches the secrets and gives a [`Config`]. [`check`]
//! does the same without looking at any secret, and gives none. Whatever is wrong is said in one
//! [`Report`], all of it at once, with the place in the file and what to write instead.
//!
//! Nothing is sent and nothing is written. The files that are read are those that the sources name,
//! those that they include, and secrets; variables come through [`Environment`]. So the same files
//! and variables always give the same answer.
//!
//! ```
//! use lychgate_config::{ProcessEnvironment, Source, check};
//!
//! let text = r#"
//! [providers.corp]
//! issuer        = "https://id.example.com"
//! client_id     = "grafana"
//! client_secret = { file = "/run/secrets/oidc" }
//!
//! [routes.grafana]
//! url      = "https://grafana.example.com"
//! upstream = "http://127.0.0.1:3000"
//! alow     = ["group:engineering"]
//! "#;
//! let source = Source::Text { name: "lychgate.toml".to_owned(), text: text.to_owned() };
//!
//! let report = check(&[source], &ProcessEnvironment).unwrap_err();
//!
//! assert!(report.to_string().contains("did you mean `allow`?"));
//! ```

#![cfg_attr(
    not(test),
    warn(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)
)]

mod check;
mod code;
pub mod config;
mod context;
mod expand;
mod file;
mod grammar;
mod guide;
mod include;
mod inputs;
mod load;
mod origin;
mod print;
mod problem;
mod reader;
pub mod rehearsal;
mod resolve;
mod schema;
mod secret;
mod shape;
mod tree;
mod unit;

pub use code::{Code, Severity, codes};
pub use config::Config;
pub use file::Position;
pub use guide::defaults;
pub use inputs::{Fingerprint, Input, Inputs, Recording};
pub use load::{
    Checked, Environment, Loaded, Origins, PagesSummary, ProcessEnvironment, RedirectUri, Resolved,
    Scopes, Source, Summary, check, load, pages, print, redirect_uris, rehearse, resolve, scopes,
};
pub use problem::{Format, Problem, Report};
pub use rehearsal::Rehearsal;
pub use schema::schema;
