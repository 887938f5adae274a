//! Feeds random bytes to `checks/greylist_conf.rs`; on stable with
//! `cargo fuzz run -s none greylist_conf`.
#![no_main]

#[path = "../checks/greylist_conf.rs"]
mod greylist_conf;
#[path = "../checks/remark.rs"]
mod remark;

libfuzzer_sys::fuzz_target!(|input: &[u8]| greylist_conf::check(input));
