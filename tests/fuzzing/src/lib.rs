//! What must hold of every parser of foreign bytes, whatever the bytes.
//!
//! Each function takes any bytes, gives them to one parser, and panics when something does not hold that always
//! must. The fuzzers in `tests/fuzz` call them with bytes that libFuzzer makes up; the tests of this package call
//! them with every file of `tests/fuzz/corpus`, with every line of `tests/fixtures/hostile`, and with a few
//! thousand changes of each, so that some fuzzing happens in every run.
//!
//! "Does not panic" alone would let a parser believe anything. So each function has a judge of its own, which
//! shares no code with the parser where there is a choice: a URL parser for return targets, a second count of the
//! keys in a key set, a second reading of the claims in a token.
//!
//! The lines of `tests/fixtures/hostile` come from [`families`].

pub mod families;
mod lines;
pub mod readings;
mod target;

pub use lines::lines;
pub use target::access_token::access_token;
pub use target::callback::callback;
pub use target::canonical_path::canonical_path;
pub use target::configuration::configuration;
pub use target::cookie_header::cookie_header;
pub use target::forwarded_headers::forwarded_headers;
pub use target::header_names::header_names;
pub use target::id_token::id_token;
pub use target::key_set::key_set;
pub use target::metadata::metadata;
pub use target::return_target::return_target;
pub use target::sealed_value::sealed_value;
pub use target::token_answer::token_answer;

/// A function that panics when something does not hold of the bytes.
pub type Target = fn(&[u8]);

/// Every target by its name, which is also the name of its fuzzer and of its corpus.
pub const TARGETS: &[(&str, Target)] = &[
    ("access_token", access_token),
    ("callback", callback),
    ("canonical_path", canonical_path),
    ("configuration", configuration),
    ("cookie_header", cookie_header),
    ("forwarded_headers", forwarded_headers),
    ("header_names", header_names),
    ("id_token", id_token),
    ("key_set", key_set),
    ("metadata", metadata),
    ("return_target", return_target),
    ("sealed_value", sealed_value),
    ("token_answer", token_answer),
];
