//! Sealed values: what opens was sealed here, for this, and not one bit of it is another's (H1, H2).
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| lychgate_fuzzing::sealed_value(bytes));
