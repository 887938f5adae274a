//! Feeds random bytes to `checks/peers.rs`; on stable with `cargo fuzz run -s none peers`.
#![no_main]

#[path = "../checks/peers.rs"]
mod peers;

libfuzzer_sys::fuzz_target!(|input: &[u8]| peers::check(input));
