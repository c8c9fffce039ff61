//! Visits as stories: a browser, a provider and a gateway in one process, without a network.

mod answers;
mod callbacks;
mod central_sign_in;
mod circles;
mod cookies;
mod forms;
mod identities;
mod interactions;
mod late;
mod programs;
mod proofs;
mod pushed_requests;
mod refreshing;
mod refused;
mod signing_in;
mod signing_out;
mod staying_signed_in;
mod under_way;
#[path = "../world/mod.rs"]
mod world;
