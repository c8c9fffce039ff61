//! Paths: one form, and no second meaning in it (B1 to B9).
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| lychgate_fuzzing::canonical_path(bytes));
