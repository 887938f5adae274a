//! Feeds random bytes to `checks/policy.rs`; on stable with `cargo fuzz run -s none policy`.
#![no_main]

#[path = "../checks/policy.rs"]
mod policy;

libfuzzer_sys::fuzz_target!(|input: &[u8]| policy::check(input));
