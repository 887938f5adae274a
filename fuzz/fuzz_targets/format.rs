//! Feeds random bytes to `checks/format.rs`; on stable with `cargo fuzz run -s none format`.
#![no_main]

#[path = "../checks/format.rs"]
mod format;

libfuzzer_sys::fuzz_target!(|input: &[u8]| format::check(input));
