//! Feeds random bytes to `checks/greylistd.rs`; on stable with `cargo fuzz run -s none greylistd`.
#![no_main]

#[path = "../checks/greylistd.rs"]
mod greylistd;

libfuzzer_sys::fuzz_target!(|input: &[u8]| greylistd::check(input));
