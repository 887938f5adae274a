//! Feeds random bytes to `checks/report.rs`; on stable with `cargo fuzz run -s none report`.
#![no_main]

#[path = "../checks/report.rs"]
mod report;

libfuzzer_sys::fuzz_target!(|input: &[u8]| report::check(input));
