//! Prints the Unix second: what a Rust program sees under the fake clock.

use std::time::{SystemTime, UNIX_EPOCH};

fn main() {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("the clock of this run is after 1970");
    println!("{}", now.as_secs());
}
