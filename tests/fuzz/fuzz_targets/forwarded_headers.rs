//! `X-Forwarded-For`: strangers are believed by nobody (D1 to D5).
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| lychgate_fuzzing::forwarded_headers(bytes));
