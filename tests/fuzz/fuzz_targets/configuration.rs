//! Configurations: whatever is typed, reading it ends, and every place that is named exists (C-02).
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| lychgate_fuzzing::configuration(bytes));
