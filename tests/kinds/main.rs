//! Signing in with every kind of provider, each played in its vendor's own manner.
//!
//! `cargo build -p lychgate-server` comes first, and Node has to be there.

mod again;
mod gatehouse;
mod members;
mod table;
mod trouble;
