//! The seed systems, end to end: the real binary against a simulation of each, configured by the example that an
//! operator copies.

mod ais;
mod fanbase;

mod stage;
mod strict;
