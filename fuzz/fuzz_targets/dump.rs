//! Feeds random bytes to `checks/dump.rs`; on stable with `cargo fuzz run -s none dump`.
#![no_main]

#[path = "../checks/dump.rs"]
mod dump;

libfuzzer_sys::fuzz_target!(|input: &[u8]| dump::check(input));
