//! Feeds random bytes to `checks/identity.rs`; on stable with `cargo fuzz run -s none identity`.
#![no_main]

#[path = "../checks/identity.rs"]
mod identity;

libfuzzer_sys::fuzz_target!(|input: &[u8]| identity::check(input));
