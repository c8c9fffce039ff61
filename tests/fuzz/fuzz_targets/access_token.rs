//! Access tokens, and what an introspection endpoint says of one: what is believed is signed or vouched for, is for
//! us, and is no ID token (G1 to G19).
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| lychgate_fuzzing::access_token(bytes));
