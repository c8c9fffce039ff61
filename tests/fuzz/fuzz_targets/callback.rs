//! Callbacks: one meaning, and none without the login that it answers (F1 to F4).
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| lychgate_fuzzing::callback(bytes));
