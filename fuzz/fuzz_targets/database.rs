//! Feeds random bytes to `checks/database.rs`; on stable with `cargo fuzz run -s none database`.
#![no_main]

#[path = "../checks/database.rs"]
mod database;

libfuzzer_sys::fuzz_target!(|input: &[u8]| database::check(input));
