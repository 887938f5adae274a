//! What the MTA is told to answer.

use greylatch_core::{Outcome, Reply};

use super::clock_text;
use super::expand::{Escaping, FormatValues};
use super::format::Format;

/// What a rule does that is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnswerAction {
    /// Asks to come back; `quiet` without saying when.
    Greylist {
        /// As `quiet` in the configuration.
        quiet: bool,
    },
    /// Sends away.
    Blacklist,
}

/// What a rule wants to be answered instead of the usual.
#[derive(Clone, Copy, Debug, Default)]
pub struct AnswerFormats<'a> {
    /// `code`: the reply code.
    pub code: Option<&'a Format>,
    /// `ecode`: the enhanced status code.
    pub status: Option<&'a Format>,
    /// `msg`: the text.
    pub text: Option<&'a Format>,
}

/// An answer in its parts, each fit for an MTA.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MilterAnswer {
    /// Defer or refuse.
    pub outcome: Outcome,
    /// The reply code.
    pub code: Vec<u8>,
    /// The enhanced status code.
    pub status: Vec<u8>,
    /// The text; may be empty, or longer than a line.
    pub text: Vec<u8>,
}

impl MilterAnswer {
    /// The same in one line.
    #[must_use]
    pub fn reply(&self) -> Reply {
        Reply {
            text: [&self.code[..], &self.status, &self.text].join(&b' '),
            has_status: true,
        }
    }
}

/// The answer of a rule.
///
/// A blacklisting rule refuses when its code begins with 5, and defers otherwise; a greylisting one
/// always defers. Where the parts that the rule wants are none that an MTA takes, or the code is of
/// the other class, the usual answer is given in place of all of them; the original leaves it to the
/// MTA to find a text.
///
/// Source: RFC 5321 §4.2 (reply codes, textstring), RFC 3463 §2 (enhanced status codes).
#[must_use]
pub fn milter_answer(
    action: AnswerAction,
    formats: &AnswerFormats<'_>,
    values: &FormatValues<'_>,
) -> MilterAnswer {
    let expand = |format: Option<&Format>, usual: &[u8]| {
        format.map_or_else(
            || usual.to_vec(),
            |format| format.expand(values, Escaping::Reply),
        )
    };
    let usual = usual_answer(action, values);
    let code = expand(formats.code, &usual.code);
    let outcome = match action {
        AnswerAction::Blacklist if code.first() == Some(&b'5') => Outcome::Refuse,
        AnswerAction::Blacklist | AnswerAction::Greylist { .. } => Outcome::Defer,
    };
    let answer = MilterAnswer {
        outcome,
        code,
        status: expand(formats.status, &usual.status),
        text: expand(formats.text, &usual.text),
    };
    if is_taken(&answer) {
        answer
    } else if outcome == usual.outcome {
        usual
    } else {
        later()
    }
}

fn usual_answer(action: AnswerAction, values: &FormatValues<'_>) -> MilterAnswer {
    let deferral = |when: &str| MilterAnswer {
        text: format!("Greylisting in action, please come back {when}").into_bytes(),
        ..later()
    };
    match action {
        AnswerAction::Greylist { quiet: true } => deferral("later"),
        AnswerAction::Greylist { quiet: false } => {
            deferral(&format!("in {}", clock_text(values.remaining)))
        }
        AnswerAction::Blacklist => MilterAnswer {
            outcome: Outcome::Refuse,
            code: b"551".to_vec(),
            status: b"5.7.1".to_vec(),
            text: b"Go away!".to_vec(),
        },
    }
}

/// What a blacklisting rule answers that asks for a code which is none.
fn later() -> MilterAnswer {
    MilterAnswer {
        outcome: Outcome::Defer,
        code: b"451".to_vec(),
        status: b"4.7.1".to_vec(),
        text: b"Please try again later".to_vec(),
    }
}

/// Whether an MTA takes it. That code and status are of one class is not asked, nor is it by MTAs.
fn is_taken(answer: &MilterAnswer) -> bool {
    let class = match answer.outcome {
        Outcome::Refuse => b'5',
        Outcome::Pass | Outcome::Defer => b'4',
    };
    let code = answer.code.len() == 3 && answer.code.iter().all(u8::is_ascii_digit);
    let mut status = answer.status.split(|byte| *byte == b'.');
    let is_number =
        |part: &[u8]| (1..=3).contains(&part.len()) && part.iter().all(u8::is_ascii_digit);
    let status = matches!(status.next(), Some(b"4" | b"5"))
        && status.next().is_some_and(is_number)
        && status.next().is_some_and(is_number)
        && status.next().is_none();
    let text = answer.text.iter().all(|byte| matches!(byte, b' '..=b'~'));
    code && answer.code.first() == Some(&class) && status && text
}

#[cfg(test)]
mod tests {
    use greylatch_core::Seconds;

    use super::super::expand::RuleName;
    use super::super::header::Signature;
    use super::*;

    fn answer(action: AnswerAction, formats: [Option<&str>; 3]) -> (Outcome, String) {
        let local_time = |_: &str| String::new();
        let values = FormatValues {
            recipient: "<b\r\né@y>".as_bytes(),
            remaining: Seconds(1800),
            rule: RuleName {
                line: Some(9),
                id: b"c2",
            },
            ..FormatValues::new(Signature {
                product: "",
                version: "",
                host: b"",
                address: b"",
                local_time: &local_time,
            })
        };
        let [code, status, text] =
            formats.map(|text| text.map(|text| Format::new(text.as_bytes())));
        let formats = AnswerFormats {
            code: code.as_ref(),
            status: status.as_ref(),
            text: text.as_ref(),
        };
        let answer = milter_answer(action, &formats, &values);
        let reply = answer.reply();
        assert!(reply.has_status);
        let text = String::from_utf8(reply.text).expect("ASCII");
        (answer.outcome, text)
    }

    const GREYLIST: AnswerAction = AnswerAction::Greylist { quiet: false };

    #[test]
    fn the_usual_answers_are_the_originals() {
        let usual = |action| answer(action, [None; 3]);
        assert_eq!(
            usual(GREYLIST),
            (
                Outcome::Defer,
                "451 4.7.1 Greylisting in action, please come back in 00:30:00".into()
            )
        );
        assert_eq!(
            usual(AnswerAction::Greylist { quiet: true }),
            (
                Outcome::Defer,
                "451 4.7.1 Greylisting in action, please come back later".into()
            )
        );
        assert_eq!(
            usual(AnswerAction::Blacklist),
            (Outcome::Refuse, "551 5.7.1 Go away!".into())
        );
    }

    #[test]
    fn a_rule_has_its_own_code_status_and_text() {
        for (action, formats, expected) in [
            (
                AnswerAction::Blacklist,
                [Some("450"), None, Some("MSG from continue %a/%A")],
                (Outcome::Defer, "450 5.7.1 MSG from continue c2/9"),
            ),
            (
                GREYLIST,
                [Some("450"), None, Some("MSG from continue %a/%A")],
                (Outcome::Defer, "450 4.7.1 MSG from continue c2/9"),
            ),
            (
                AnswerAction::Blacklist,
                [Some("550"), Some("4.7.1"), None],
                (Outcome::Refuse, "550 4.7.1 Go away!"),
            ),
            (
                AnswerAction::Blacklist,
                [None, None, Some("")],
                (Outcome::Refuse, "551 5.7.1 "),
            ),
            (
                GREYLIST,
                [Some("421"), Some("4.100.999"), Some("%r, in %Rm minutes")],
                (
                    Outcome::Defer,
                    "421 4.100.999 b\\x0d\\x0a\\xc3\\xa9@y, in 30 minutes",
                ),
            ),
        ] {
            let expected = (expected.0, expected.1.to_owned());
            assert_eq!(answer(action, formats), expected, "{formats:?}");
        }
    }

    #[test]
    fn parts_that_no_mta_takes_give_the_usual_answer() {
        let usual = (
            Outcome::Defer,
            "451 4.7.1 Greylisting in action, please come back in 00:30:00".to_owned(),
        );
        for formats in [
            [Some("550"), None, Some("x")],
            [Some("250"), None, Some("x")],
            [Some("45"), None, Some("x")],
            [Some("4511"), None, Some("x")],
            [Some("4x1"), None, Some("x")],
            [None, Some(""), Some("x")],
            [None, Some("2.7.1"), Some("x")],
            [None, Some("4.7"), Some("x")],
            [None, Some("4.7.1.1"), Some("x")],
            [None, Some("4.7.1234"), Some("x")],
            [None, Some("4.7."), Some("x")],
            [None, None, Some("Käse")],
            [None, None, Some("a\nb")],
        ] {
            assert_eq!(answer(GREYLIST, formats), usual, "{formats:?}");
        }
        let refused = (Outcome::Refuse, "551 5.7.1 Go away!".to_owned());
        let later = (
            Outcome::Defer,
            "451 4.7.1 Please try again later".to_owned(),
        );
        let blacklist =
            |code, text| answer(AnswerAction::Blacklist, [Some(code), None, Some(text)]);
        assert_eq!(blacklist("55", "x"), refused);
        assert_eq!(blacklist("250", "x"), later);
        assert_eq!(blacklist("450", "é"), later);
        assert_eq!(blacklist("", "x"), later);
    }
}
