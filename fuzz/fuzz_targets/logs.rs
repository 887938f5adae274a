//! Feeds random bytes to `checks/logs.rs`; on stable with `cargo fuzz run -s none logs`.
#![no_main]

#[path = "../checks/logs.rs"]
mod logs;

libfuzzer_sys::fuzz_target!(|input: &[u8]| logs::check(input));
