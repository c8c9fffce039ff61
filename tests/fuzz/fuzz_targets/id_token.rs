//! ID tokens: what is believed is signed, and says what Core §3.1.3.7 asks of it (G1 to G18).
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| lychgate_fuzzing::id_token(bytes));
