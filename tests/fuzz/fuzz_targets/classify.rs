#![no_main]
#[path = "../../parsers.rs"]
mod parsers;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| parsers::classify(bytes));
