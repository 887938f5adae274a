//! Feeds random bytes to `checks/http.rs`; on stable with `cargo fuzz run -s none http`.
#![no_main]

#[path = "../checks/http.rs"]
mod http;

libfuzzer_sys::fuzz_target!(|input: &[u8]| http::check(input));
