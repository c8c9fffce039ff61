//! The stories, told against the real binary.
//!
//! Each begins in a house of its own, so they run side by side. `cargo build -p lychgate-server` comes first.

mod answers_in_kind;
mod bears_faults;
mod ends_with_the_session;
mod explains_itself;
mod holds_sessions;
mod is_answered;
mod is_attacked;
mod is_crowded;
mod is_flooded;
mod is_lied_to;
mod is_refused;
mod is_reloaded;
mod is_seen;
mod lets_in;
mod posts_answers;
mod raw_bytes;
mod raw_framing;
mod reaches_applications;
mod signs_in;
mod signs_out;
mod speaks_and_keeps;
mod speaks_http2;
mod starts_and_stops;
mod streams;
mod takes_tokens;
