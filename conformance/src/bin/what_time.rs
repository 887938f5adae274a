//! Prints the Unix second that a Rust program sees, and how many milliseconds
//! went by on its monotonic clock while it slept for 50.

use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

fn main() {
    let started = Instant::now();
    thread::sleep(Duration::from_millis(50));
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("the clock of this run is after 1970");
    println!("{} {}", now.as_secs(), started.elapsed().as_millis());
}
