//! A mistake on purpose, so that a test sees what becomes of one (R37).
//!
//! This file is in no release build: it is compiled with debug assertions only. Even then nothing happens unless the
//! process was started with [`ARMED`] in its environment.

use std::sync::LazyLock;

use http::HeaderMap;

/// The variable that arms it.
const ARMED: &str = "LYCHGATE_TEST_FAULTS";

/// The header of a request that is to meet a mistake.
const HEADER: &str = "x-lychgate-test-fault";

/// Panics, if this request asks for it.
pub(crate) fn met_by(headers: &HeaderMap) {
    static IS_ARMED: LazyLock<bool> = LazyLock::new(|| std::env::var_os(ARMED).is_some());
    assert!(!(*IS_ARMED && headers.contains_key(HEADER)), "a fault that a test asked for");
}
