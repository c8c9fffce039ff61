//! Return targets: nowhere but where we serve (A1 to A4).
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| lychgate_fuzzing::return_target(bytes));
