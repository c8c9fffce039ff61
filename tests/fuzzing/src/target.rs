//! One module for each parser.

pub(crate) mod access_token;
pub(crate) mod callback;
pub(crate) mod canonical_path;
pub(crate) mod configuration;
pub(crate) mod cookie_header;
pub(crate) mod forwarded_headers;
pub(crate) mod header_names;
pub(crate) mod id_token;
pub(crate) mod key_set;
pub(crate) mod metadata;
pub(crate) mod return_target;
pub(crate) mod sealed_value;
pub(crate) mod sign_in;
pub(crate) mod token_answer;
