//! Feeds random bytes to `checks/rules.rs`; on stable with `cargo fuzz run -s none rules`.
#![no_main]

#[path = "../checks/remark.rs"]
mod remark;
#[path = "../checks/rules.rs"]
mod rules;
#[path = "../checks/terms.rs"]
mod terms;

libfuzzer_sys::fuzz_target!(|input: &[u8]| rules::check(input));
