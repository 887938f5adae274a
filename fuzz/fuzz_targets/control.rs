//! Feeds random bytes to `checks/control.rs`; on stable with `cargo fuzz run -s none control`.
#![no_main]

#[path = "../checks/control.rs"]
mod control;

libfuzzer_sys::fuzz_target!(|input: &[u8]| control::check(input));
