//! The dialect `milter-greylist`: its answers, its `X-Greylist` header, its log lines, and the
//! format strings of its configuration, with which `stat` records are written too.
//!
//! What the original says is said byte for byte; what it says wrongly (a `%%` that still expands,
//! values of another recipient, reasons of flags that do not belong there) is said rightly. Values
//! from outside are escaped as their way out needs it, see [`Escaping`].
//!
//! Source: milter-greylist 4.6.2 and 4.6.4 as observed by running them.

mod answer;
mod cause;
mod event;
mod expand;
mod format;
mod found;
mod header;
mod line;

use greylatch_core::Seconds;

pub use self::answer::{AnswerAction, AnswerFormats, MilterAnswer, milter_answer};
pub use self::cause::PassCause;
pub use self::event::MilterGreylistEvent;
pub use self::expand::{Escaping, FormatValues, Lookup, PropertyMatch, RuleName};
pub use self::format::Format;
pub use self::found::{DkimFound, FoundOut, SpfFound};
pub use self::header::{HeaderReport, Signature, x_greylist};
pub use self::line::{LogSubject, MilterGreylistLine, RateOverflow};

/// A length of time as `HH:MM:SS`, the hours with as many digits as they need; a negative one is
/// none.
fn clock_text(length: Seconds) -> String {
    let [hours, minutes, seconds] = clock_parts(length);
    format!("{hours:02}:{minutes:02}:{seconds:02}")
}

/// Hours, minutes and seconds.
fn clock_parts(length: Seconds) -> [i64; 3] {
    let seconds = length.0.max(0);
    [seconds / 3600, seconds / 60 % 60, seconds % 60]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_time_have_two_digits_or_more() {
        for (length, expected) in [
            (0, "00:00:00"),
            (-5, "00:00:00"),
            (3, "00:00:03"),
            (1800, "00:30:00"),
            (86_399, "23:59:59"),
            (432_000, "120:00:00"),
        ] {
            assert_eq!(clock_text(Seconds(length)), expected);
        }
    }
}
