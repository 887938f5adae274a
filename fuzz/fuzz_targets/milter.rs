//! Feeds random bytes to `checks/milter.rs`; on stable with `cargo fuzz run -s none milter`.
#![no_main]

#[path = "../checks/milter.rs"]
mod milter;

libfuzzer_sys::fuzz_target!(|input: &[u8]| milter::check(input));
