//! Feeds random bytes to `checks/lists.rs`; on stable with `cargo fuzz run -s none lists`.
#![no_main]

#[path = "../checks/lists.rs"]
mod lists;
#[path = "../checks/remark.rs"]
mod remark;
#[path = "../checks/terms.rs"]
mod terms;

libfuzzer_sys::fuzz_target!(|input: &[u8]| lists::check(input));
