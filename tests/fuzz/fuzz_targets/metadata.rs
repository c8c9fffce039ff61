//! Provider metadata: about the issuer that was asked for, over TLS, with S256 (F7, G11, L1).
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| lychgate_fuzzing::metadata(bytes));
