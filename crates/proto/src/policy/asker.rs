//! The asking side of the policy protocol: an attempt out, a verdict in, as Postfix understands them.
//!
//! Source: Postfix SMTPD_POLICY_README, "Protocol description"; access(5), "ACCEPT ACTIONS", "REJECT
//! ACTIONS", "OTHER ACTIONS".

use greylatch_core::{Attempt, Reply, Verdict};
use memchr::memmem;

use super::attribute::{FIELDS, stage_name};
use super::push_text;
use crate::conversation::ProtocolError;
use crate::reply::{is_code, is_enhanced};

/// An attempt as a question to a policy server.
#[must_use]
pub fn encode_question(attempt: &Attempt) -> Vec<u8> {
    let mut out = b"request=smtpd_access_policy\nprotocol_state=".to_vec();
    out.extend_from_slice(stage_name(attempt.stage()).as_bytes());
    out.extend_from_slice(b"\nprotocol_name=ESMTP\n");
    for (name, field) in FIELDS {
        if let Some(value) = attempt.field(field) {
            out.extend_from_slice(name.as_bytes());
            out.push(b'=');
            push_text(&mut out, value);
            out.push(b'\n');
        }
    }
    out.push(b'\n');
    out
}

/// What a policy server answers to one question.
#[derive(Debug, Default)]
pub struct PolicyAnswer(Vec<u8>);

/// The longest answer, in bytes: its texts go into one line of SMTP.
const ANSWER_MAX: usize = 4 << 10;

impl PolicyAnswer {
    /// Takes bytes that the server sent; gives the verdict once the answer is complete.
    ///
    /// # Errors
    /// When it is too long, has no action, or more comes than was asked for: nothing that the
    /// connection says can be trusted any more.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<Option<Verdict>, ProtocolError> {
        self.0.extend_from_slice(bytes);
        let Some(end) = memmem::find(&self.0, b"\n\n") else {
            return match self.0.len() > ANSWER_MAX {
                true => Err(ProtocolError::AnswerTooLong { max: ANSWER_MAX }),
                false => Ok(None),
            };
        };
        if end + 2 != self.0.len() {
            return Err(ProtocolError::Unasked);
        }
        let mut lines = self.0.split(|byte| *byte == b'\n');
        let action = lines.find_map(|line| line.strip_prefix(b"action="));
        action.map(verdict).map(Some).ok_or(ProtocolError::NoAction)
    }
}

/// What an action means for one recipient. Actions that are for Postfix alone let it pass.
fn verdict(action: &[u8]) -> Verdict {
    let end = memchr::memchr(b' ', action).unwrap_or(action.len());
    let (word, rest) = action.split_at_checked(end).unwrap_or_default();
    let text = rest.trim_ascii_start();
    let reply = |text: &[u8], has_status| Reply {
        text: text.to_vec(),
        has_status,
    };
    let first = text.split(|byte| *byte == b' ').next().unwrap_or_default();
    let has_status = is_enhanced(first) || is_code(first);
    match (word, &word.to_ascii_uppercase()[..]) {
        ([b'4', ..], _) if is_code(word) => Verdict::Defer(reply(action, true)),
        ([b'5', ..], _) if is_code(word) => Verdict::Refuse(reply(action, true)),
        (_, b"DEFER" | b"DEFER_IF_PERMIT") => Verdict::Defer(reply(text, has_status)),
        (_, b"REJECT") => Verdict::Refuse(reply(text, has_status)),
        (_, b"PREPEND") => Verdict::Pass {
            header: Some(text.to_vec()),
        },
        _ => Verdict::Pass { header: None },
    }
}

#[cfg(test)]
mod tests {
    use greylatch_core::{Field, Stage};

    use super::*;

    fn answered(text: &[u8]) -> Verdict {
        let complete = [b"action=", text, b"\n\n"].concat();
        let verdict = PolicyAnswer::default().feed(&complete);
        verdict.expect("an answer").expect("complete")
    }

    #[test]
    fn actions_mean_what_they_mean_to_postfix() {
        let reply = |text: &str, has_status| Reply {
            text: text.as_bytes().to_vec(),
            has_status,
        };
        let pass = Verdict::Pass { header: None };
        for (action, verdict) in [
            ("DUNNO", pass.clone()),
            ("", pass.clone()),
            ("OK", pass.clone()),
            ("WARN a note", pass.clone()),
            ("DEFER_IF_REJECT later", pass.clone()),
            ("HOLD", pass.clone()),
            (
                "PREPEND X-Greylist: delayed 300 seconds",
                Verdict::Pass {
                    header: Some(b"X-Greylist: delayed 300 seconds".to_vec()),
                },
            ),
            (
                "DEFER_IF_PERMIT 4.2.0 wait",
                Verdict::Defer(reply("4.2.0 wait", true)),
            ),
            ("defer wait", Verdict::Defer(reply("wait", false))),
            (
                "DEFER 450 4.2.0 wait",
                Verdict::Defer(reply("450 4.2.0 wait", true)),
            ),
            ("DEFER", Verdict::Defer(reply("", false))),
            (
                "450 4.2.0 wait",
                Verdict::Defer(reply("450 4.2.0 wait", true)),
            ),
            ("4500 wait", pass.clone()),
            ("REJECT not here", Verdict::Refuse(reply("not here", false))),
            ("554 5.7.1 no", Verdict::Refuse(reply("554 5.7.1 no", true))),
        ] {
            assert_eq!(answered(action.as_bytes()), verdict, "{action}");
        }
    }

    #[test]
    fn an_answer_may_come_in_pieces_and_ends_with_an_empty_line() {
        let mut answer = PolicyAnswer::default();
        for byte in b"other=x\naction=DUNNO\n" {
            assert_eq!(answer.feed(&[*byte]), Ok(None));
        }
        let pass = Verdict::Pass { header: None };
        assert_eq!(answer.feed(b"\n"), Ok(Some(pass)));
    }

    #[test]
    fn what_is_no_answer_is_an_error() {
        let feed = |bytes: &[u8]| PolicyAnswer::default().feed(bytes);
        assert_eq!(feed(b"hello\n\n"), Err(ProtocolError::NoAction));
        assert_eq!(
            feed(b"action=DUNNO\n\naction=DUNNO"),
            Err(ProtocolError::Unasked)
        );
        assert_eq!(feed(&[b'x'; ANSWER_MAX]), Ok(None));
        let long = feed(&[b'x'; ANSWER_MAX + 1]);
        assert_eq!(long, Err(ProtocolError::AnswerTooLong { max: ANSWER_MAX }));
    }

    #[test]
    fn a_question_has_what_was_set_and_no_line_too_many() {
        let mut attempt = Attempt::new();
        attempt.set_stage(Stage::Data);
        attempt.set(Field::Sender, b"");
        attempt.set(Field::Recipient, b"a=b\nrequest=x@example.org");
        assert_eq!(
            encode_question(&attempt).escape_ascii().to_string(),
            "request=smtpd_access_policy\\nprotocol_state=DATA\\nprotocol_name=ESMTP\\n\
             sender=\\nrecipient=a=b request=x@example.org\\n\\n"
        );
    }
}
