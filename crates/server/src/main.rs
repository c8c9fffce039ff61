//! Lychgate: a gate before web applications that know nothing of single sign-on.
//!
//! This floor is the world: sockets, clocks, files, commands. It decides nothing; decisions are made by
//! `lychgate-gateway`, from a configuration that `lychgate-config` has checked.

mod admin;
mod commands;
mod console;
mod descriptors;
mod drain;
#[cfg(debug_assertions)]
mod fault;
mod fetch;
mod keys;
mod ledger;
mod listener;
mod login_starts;
mod marks;
mod opened;
mod pages;
mod panics;
mod providers;
mod proxy;
#[cfg(test)]
mod reference;
mod reload;
mod respond;
mod rfc3339;
mod run;
mod socket;
mod telemetry;
mod tether;
mod tls;
mod tokens;
mod turned_away;
mod upstream;
mod websocket;
mod workers;
mod world;

use std::process::ExitCode;

/// A request costs many small allocations; this allocator is faster than the system's and gives memory back
/// after a crowd has left.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    commands::run(std::env::args_os())
}

/// An error and its causes in one line, for a log.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
