//! The stories with what other people wrote: certified providers, a browser, and applications.
//!
//! `cargo xtask setup` installs all of it. What they show and our own provider, client and
//! application cannot: that somebody else reads the standards in the same way.

mod applications;
mod browser;
mod certified_provider;
mod client_tests;
mod differential;
mod every_page;
mod page_rules;
mod refreshing;
mod strict_provider;
mod torture;
mod town;
mod zitadel_provider;
