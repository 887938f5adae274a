//! Feeds random bytes to `checks/opensmtpd.rs`; on stable with `cargo fuzz run -s none opensmtpd`.
#![no_main]

#[path = "../checks/opensmtpd.rs"]
mod opensmtpd;

libfuzzer_sys::fuzz_target!(|input: &[u8]| opensmtpd::check(input));
