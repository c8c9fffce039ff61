//! Key sets: no key that is too small, for something else, or a secret (G9, G10).
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| lychgate_fuzzing::key_set(bytes));
