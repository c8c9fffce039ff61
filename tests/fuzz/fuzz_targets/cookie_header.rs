//! Cookies: found once or not at all, split and joined, kept from applications (I1 to I5, H8).
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| lychgate_fuzzing::cookie_header(bytes));
