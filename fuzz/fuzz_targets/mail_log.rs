//! Feeds random bytes to `checks/mail_log.rs`; on stable with `cargo fuzz run -s none mail_log`.
#![no_main]

#[path = "../checks/mail_log.rs"]
mod mail_log;

libfuzzer_sys::fuzz_target!(|input: &[u8]| mail_log::check(input));
