#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ironhouse::security::fuzzing::config(data));
