//! Feeds random bytes to `checks/configuration.rs`; on stable with `cargo fuzz run -s none configuration`.
#![no_main]

#[path = "../checks/configuration.rs"]
mod configuration;

libfuzzer_sys::fuzz_target!(|input: &[u8]| configuration::check(input));
