//! Header names: no spelling of ours is a client's (C1).
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| lychgate_fuzzing::header_names(bytes));
