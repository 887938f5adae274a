//! Lines to standard error, one below the other, as Postgrey writes them in the foreground.

use std::io::{self, Write};

use super::Lines;

pub(crate) struct Stderr;

impl Stderr {
    pub(crate) fn write(&self, lines: &Lines) -> u64 {
        let mut text = Vec::with_capacity(64 << 10);
        let mut count = 0;
        for (_, line) in lines.iter() {
            text.extend_from_slice(line);
            text.push(b'\n');
            count += 1;
        }
        match io::stderr().write_all(&text) {
            Ok(()) => 0,
            Err(_) => count,
        }
    }
}
