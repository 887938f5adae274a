//! The `time` clause: five fields as in a crontab.
//!
//! Source: crontab(5); greylist.conf(5), "time".

use super::super::statement::Reader;
use super::super::tree::CronTime;
use crate::diagnostic::Fault;

impl Reader<'_> {
    pub(super) fn cron_time(&mut self) -> Result<CronTime, Fault> {
        let cure = "write five fields in quotes, for example \"* 8-17 * * 1-5\"";
        let Some(token) = self.cursor.quoted()? else {
            return Err(self.cursor.expected("a time", cure));
        };
        let text = String::from_utf8_lossy(token.text);
        let mut fields = text.split_ascii_whitespace();
        let mut next = |low, high| field(fields.next()?, low, high);
        let mut read = || {
            Some(CronTime {
                minutes: next(0, 59)?,
                hours: next(0, 23)?,
                days: next(1, 31)?,
                months: next(1, 12)?,
                weekdays: sunday_is_0(next(0, 7)?),
            })
        };
        let time = read().filter(|_| text.split_ascii_whitespace().count() == 5);
        time.ok_or_else(|| Fault::new(token.span, "this is no time", cure))
    }
}

/// The numbers that a field stands for, as bits; `None` if it is none.
fn field(text: &str, low: u32, high: u32) -> Option<u64> {
    let mut bits = 0;
    for item in text.split(',') {
        let (range, step) = match item.split_once('/') {
            Some((range, step)) => (range, Some(step.parse().ok().filter(|step| *step > 0)?)),
            None => (item, None),
        };
        let (from, to) = match range.split_once('-') {
            _ if range == "*" => (low, high),
            Some((from, to)) => (from.parse().ok()?, to.parse().ok()?),
            None => {
                let number = range.parse().ok()?;
                (number, number)
            }
        };
        if from < low || to > high || from > to {
            return None;
        }
        let step: u32 = step.unwrap_or(1);
        let numbers = (from..=to).filter(|number| (number - from) % step == 0);
        numbers.for_each(|number| bits |= 1_u64 << number);
    }
    Some(bits)
}

fn sunday_is_0(bits: u64) -> u64 {
    (bits | bits >> 7) & 0x7f
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(text: &str, low: u32, high: u32) -> Option<Vec<u32>> {
        let bits = field(text, low, high)?;
        Some((0..64).filter(|number| bits >> number & 1 == 1).collect())
    }

    #[test]
    fn a_field_is_read_as_in_a_crontab() {
        assert_eq!(numbers("*/20", 0, 59), Some(vec![0, 20, 40]));
        assert_eq!(numbers("*/10", 1, 31), Some(vec![1, 11, 21, 31]));
        assert_eq!(numbers("8-10,17", 0, 23), Some(vec![8, 9, 10, 17]));
        assert_eq!(numbers("1-7/3", 1, 31), Some(vec![1, 4, 7]));
        assert_eq!(numbers("*", 1, 3), Some(vec![1, 2, 3]));
        for wrong in ["", "60", "5-1", "*/0", "a", "1-", "-1", "1,,2"] {
            assert_eq!(numbers(wrong, 0, 59), None, "{wrong}");
        }
        assert_eq!(sunday_is_0(field("5-7", 0, 7).unwrap()), 0b110_0001);
    }
}
