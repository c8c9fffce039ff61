//! Answers of the token endpoint: nobody is believed without a signature, and no error prints a secret (N1).
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| lychgate_fuzzing::token_answer(bytes));
