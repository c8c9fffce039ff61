//! The decisions: who may pass, and what a browser must remember.
//!
//! [`Gateway`] is built once from [`Settings`] and then asked about every visit. It answers with an
//! [`Outcome`](outcome::Outcome): an [`Admission`](outcome::Admission), which is the only thing that
//! a door may forward, or an answer of our own. The story of a visit is in [`visit`]; everything else
//! here is plain functions over values.
//!
//! This crate opens no socket, reads no clock, no environment and no file, and draws no randomness.
//! What it needs of the world comes in through the [`World`](world::World) trait and through the
//! time that the door read for the whole visit.

#![cfg_attr(
    not(test),
    warn(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)
)]

pub mod bearer;
pub mod client;
pub mod clients;
pub mod cookie;
pub mod cors;
pub mod endpoint;
pub mod forwarded;
pub mod headers;
pub mod hexadecimal;
pub mod identity;
pub mod language;
pub mod login_state;
pub mod memory;
pub mod origin;
pub mod outcome;
pub mod path;
pub mod policy;
pub mod reason;
pub mod request;
pub mod rescue;
pub mod route;
pub mod seal;
pub mod session;
pub mod settings;
pub mod template;
pub mod visit;
mod websocket;
mod weight;
pub mod world;

pub use settings::Settings;
pub use visit::{Gateway, explain};
