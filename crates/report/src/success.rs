//! When postgreyreport takes an entry of the database for one that has passed.
//!
//! Source: postgreyreport 1.14.3 as observed by running it.

/// How long after its first attempt an entry must have been seen last.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SuccessAfter {
    delay_s: f64,
}

impl SuccessAfter {
    /// So many seconds, in any spelling of a number that Perl understands; what is no number counts
    /// as 0. With 0 or less every entry has passed.
    #[must_use]
    pub fn new(delay_s: &str) -> Self {
        Self {
            delay_s: perl_number(delay_s.as_bytes()),
        }
    }

    /// Whether an entry of these times (Unix seconds) has passed.
    #[must_use]
    pub fn is_between(self, first_s: f64, last_s: f64) -> bool {
        self.delay_s <= 0.0 || last_s - first_s >= self.delay_s
    }

    /// Whether a value of Postgrey's database, `FIRST,LAST`, tells that its entry has passed.
    #[must_use]
    pub fn is_told_by(self, value: &[u8]) -> bool {
        let mut fields = value.splitn(3, |byte| *byte == b',');
        let (Some(first), Some(last)) = (fields.next(), fields.next()) else {
            return false;
        };
        self.is_between(perl_number(first), perl_number(last))
    }
}

/// The number that a text begins with, as Perl reads it; 0 if it begins with none.
///
/// Source: perldata(1), "Scalar value constructors"; perlop(1) on strings as numbers.
fn perl_number(text: &[u8]) -> f64 {
    let text = String::from_utf8_lossy(text);
    let text = text.trim_ascii_start();
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let lower = unsigned.to_ascii_lowercase();
    let length = match ["inf", "nan"].iter().find(|word| lower.starts_with(**word)) {
        Some(word) => word.len(),
        None => decimal_length(unsigned.as_bytes()),
    };
    let sign = text.len() - unsigned.len();
    text[..sign + length].parse().unwrap_or(0.0)
}

/// The length of the digits, decimals and exponent that a text begins with.
fn decimal_length(text: &[u8]) -> usize {
    let digits = |from: usize| {
        let rest = text.get(from..).unwrap_or_default();
        rest.iter().take_while(|byte| byte.is_ascii_digit()).count()
    };
    let mut length = digits(0);
    if text.get(length) == Some(&b'.') {
        length += 1 + digits(length + 1);
    }
    if matches!(text.get(length), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(text.get(length + 1), Some(b'-' | b'+')));
        let exponent = digits(length + 1 + sign);
        if exponent > 0 {
            length += 1 + sign + exponent;
        }
    }
    length
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_has_passed_when_its_last_is_the_delay_behind_its_first() {
        let table: [(&str, &[&str], &[&str]); 7] = [
            (
                "300",
                &[
                    "1000,1300",
                    "1000,1300,10",
                    "1000, 1400",
                    "1000,1e9",
                    "1000,1300x",
                    "-500,0",
                    "a,1300",
                    ",500",
                    "1000,Inf",
                ],
                &[
                    "1000,1299",
                    "1000",
                    "",
                    ",",
                    "abc,def",
                    "1300,1000",
                    "1000,",
                    "1000.5,1300.4",
                    "nan,4000",
                ],
            ),
            ("299.9", &["1000.5,1300.4"], &["1000,1299.8"]),
            ("300.1", &["1000,1301"], &["1000,1300"]),
            ("5x", &["1000,1005"], &["1000,1004"]),
            ("abc", &["1300,1000", "nan,1", ","], &["1000", ""]),
            ("-5", &["1300,1000"], &["1000"]),
            ("inf", &["1000,inf"], &["1000,99999999999"]),
        ];
        for (delay, passed, waiting) in table {
            let after = SuccessAfter::new(delay);
            for value in passed {
                assert!(after.is_told_by(value.as_bytes()), "{delay}: {value}");
            }
            for value in waiting {
                assert!(!after.is_told_by(value.as_bytes()), "{delay}: {value}");
            }
        }
    }

    #[test]
    fn numbers_are_read_as_perl_reads_them() {
        for (text, number) in [
            ("", 0.0),
            (" 7", 7.0),
            ("1e2", 100.0),
            ("1e", 1.0),
            ("1e+x", 1.0),
            (".5", 0.5),
            ("5.", 5.0),
            ("0x10", 0.0),
            ("+3", 3.0),
            ("--3", 0.0),
            (".", 0.0),
            ("-inf", f64::NEG_INFINITY),
            ("Infinity", f64::INFINITY),
        ] {
            assert_eq!(perl_number(text.as_bytes()), number, "{text}");
        }
        assert!(perl_number(b"nan").is_nan());
    }
}
