//! Traffic through a greylister, and the log that Postfix would write of it.
//!
//! The greylister decides; the lines are in the words of Postfix 3.7 around its answers, with lines
//! between that are nobody's business. The same seed gives the same traffic.

use std::fmt::Write;

use anyhow::{Result, ensure};

use crate::clock::{Clock, EPISODE_START, utc_text};
use crate::dice::Dice;
use crate::greylister::Greylister;
use crate::message::Message;

/// A kind of host whose log is made.
#[derive(Debug, Clone, Copy)]
pub struct LogKind {
    /// A short name for reports.
    pub name: &'static str,
    /// How its greylister is started.
    pub options: &'static [&'static str],
    rfc3339: bool,
    service: &'static str,
    /// Lines of the greylister itself are in the same log.
    greylister_lines: bool,
}

/// All kinds that are compared.
pub fn log_kinds() -> [LogKind; 5] {
    let debian = LogKind {
        name: "Debian",
        options: &[],
        rfc3339: false,
        service: "postfix/smtpd",
        greylister_lines: true,
    };
    [
        LogKind {
            name: "old CentOS",
            greylister_lines: false,
            service: "postfix/smtpd",
            ..debian
        },
        debian,
        LogKind {
            name: "by host",
            options: &["--lookup-by-host"],
            ..debian
        },
        LogKind {
            name: "privacy",
            options: &["--privacy"],
            service: "postfix/submission/smtpd",
            ..debian
        },
        LogKind {
            name: "RFC 3339 stamps",
            rfc3339: true,
            ..debian
        },
    ]
}

/// A log and the traffic that it tells of.
pub struct MailLog {
    /// Its lines.
    pub text: String,
    /// What was answered, in order.
    pub answers: Vec<Vec<u8>>,
}

/// How many triplets the traffic of one log has.
const TRIPLETS: usize = 120;

struct Attempt {
    at: i64,
    client: (String, String),
    sender: String,
    recipient: String,
}

impl MailLog {
    /// Sends the traffic of `seed` to `greylister` and writes its log.
    ///
    /// # Errors
    /// When the greylister does not answer.
    pub fn make(
        kind: &LogKind,
        seed: u64,
        greylister: &Greylister,
        clock: &mut Clock,
    ) -> Result<Self> {
        let mut log = Self {
            text: String::new(),
            answers: Vec::new(),
        };
        let mut connection = greylister.connect()?;
        for (number, attempt) in traffic(seed).iter().enumerate() {
            if attempt.at != clock.now() {
                clock.set(attempt.at)?;
            }
            let (address, name) = (&attempt.client.0, &attempt.client.1);
            let message = Message::of((address, name), &attempt.sender, &attempt.recipient)
                .with("instance", format!("i{number}"));
            let answer = connection.ask(&message.bytes())?;
            ensure!(answer.starts_with(b"action="), "{}", answer.escape_ascii());
            log.write(kind, attempt, &answer, number);
            log.answers.push(answer);
        }
        Ok(log)
    }

    fn write(&mut self, kind: &LogKind, attempt: &Attempt, answer: &[u8], number: usize) {
        let stamp = kind.stamp(attempt.at);
        let (address, name) = (&attempt.client.0, &attempt.client.1);
        let (sender, recipient) = (&attempt.sender, &attempt.recipient);
        let smtpd = format!("{stamp} mail {}[{}]:", kind.service, 1000 + number % 7);
        let mut lines = vec![format!("{smtpd} connect from {name}[{address}]")];
        let deferred = answer.starts_with(b"action=DEFER");
        if kind.greylister_lines {
            let action = if deferred { "greylist" } else { "pass" };
            lines.push(format!(
                "{stamp} mail postgrey[77]: action={action}, reason=x, client_name={name}, \
                 client_address={address}, sender={sender}, recipient={recipient}"
            ));
        }
        let queue_id = ["NOQUEUE", "4B3C1A2F0D", "3XyZ1k2m3n"][number % 3];
        let end = format!("from=<{sender}> to=<{recipient}> proto=ESMTP helo=<{name}>");
        if deferred {
            let text = String::from_utf8_lossy(answer);
            let text = text
                .trim_start_matches("action=DEFER_IF_PERMIT ")
                .trim_end();
            lines.push(format!(
                "{smtpd} {queue_id}: reject: RCPT from {name}[{address}]: 450 4.2.0 <{recipient}>: \
                 Recipient address rejected: {text}; {end}"
            ));
        } else {
            lines.push(format!("{smtpd} {queue_id}: client={name}[{address}]"));
        }
        // What a report must not take for a deferral.
        let other = ["451 4.3.5", "550 5.1.1", "450-4.2.0", "4500"][number % 4];
        if number.is_multiple_of(5) {
            lines.push(format!(
                "{smtpd} NOQUEUE: reject: RCPT from {name}[{address}]: {other} <x@y>: Greylisted; {end}"
            ));
        }
        lines.push(format!("{smtpd} disconnect from {name}[{address}]"));
        for line in lines {
            // Writing to a String cannot fail.
            let _ = writeln!(self.text, "{line}");
        }
    }
}

impl LogKind {
    /// Source: RFC 3164 §4.1.2 and RFC 5424 §6.2.3, as rsyslog writes them.
    fn stamp(&self, at: i64) -> String {
        let text = utc_text(at);
        if self.rfc3339 {
            return format!("{}.123456+00:00", text.replace(' ', "T"));
        }
        let month = if text[5..7] == *"11" { "Nov" } else { "Dec" };
        let day = text[8..10].trim_start_matches('0');
        format!("{month} {day:>2} {}", &text[11..])
    }
}

/// A day's attempts, in the order of their times.
fn traffic(seed: u64) -> Vec<Attempt> {
    let mut dice = Dice::new(seed);
    let mut attempts = Vec::new();
    for number in 0..TRIPLETS {
        let client = client(&mut dice);
        let sender = sender(&mut dice, number);
        let recipient = (*dice.pick(RECIPIENTS)).to_owned();
        let start = EPISODE_START + i64::try_from(dice.below(30_000)).expect("it is small");
        for later in *dice.pick(COURSES) {
            // A retry may come from the neighbour.
            let moves = *later > 0 && dice.chance(20);
            attempts.push(Attempt {
                at: start + later,
                client: if moves {
                    neighbour(&client)
                } else {
                    client.clone()
                },
                sender: sender.clone(),
                recipient: recipient.clone(),
            });
        }
    }
    attempts.sort_by_key(|attempt| attempt.at);
    attempts
}

/// Seconds after the first attempt at which there are others.
const COURSES: &[&[i64]] = &[
    &[0],
    &[0],
    &[0, 100],
    &[0, 10, 20, 30, 40, 50, 60, 70, 80, 90],
    &[0, 299],
    &[0, 300],
    &[0, 301],
    &[0, 60, 360, 900],
    &[0, 3_600],
    &[0, 301, 86_400],
];

const RECIPIENTS: &[&str] = &[
    "bob@example.org",
    "Carol@Example.ORG",
    "dave+lists@example.net",
    "a/b@example.org",
];

/// An address and its name, which is always the same.
fn client(dice: &mut Dice) -> (String, String) {
    let (net, host) = (dice.below(9), dice.below(4) * 7 + 3);
    match dice.below(10) {
        0 => (
            format!("2001:db8:{net}::{host}"),
            format!("six{net}.example"),
        ),
        1 => (format!("198.51.{net}.{host}"), "unknown".into()),
        2 => (
            format!("203.0.{net}.{host}"),
            format!("dyn-{host}-{net}.pool.example"),
        ),
        3 => (format!("10.{net}.0.{host}"), format!("MX{net}.Big.Example")),
        _ => (
            format!("192.0.{net}.{host}"),
            format!("mx{net}.host.example"),
        ),
    }
}

/// Another address of the same network, with the same kind of name.
fn neighbour((address, name): &(String, String)) -> (String, String) {
    match address.rsplit_once('.') {
        Some((network, _)) if name.starts_with("mx") => (format!("{network}.200"), name.clone()),
        _ => (address.clone(), name.clone()),
    }
}

fn sender(dice: &mut Dice, number: usize) -> String {
    match dice.below(12) {
        0 => String::new(),
        1 => format!("prvs={:010}=user@batv.example", number * 7_919),
        2 => format!("bounce-{number}-x@list.example"),
        3 => format!("user+tag{number}@ext.example"),
        4 => format!("sl/ash{number}@slash.example"),
        5 => format!("Upper{number}x@CASE.example"),
        6 => format!("nodomain{number}"),
        _ => format!("someone-x{number}y@sender{}.example", dice.below(5)),
    }
}

/// So many lines, each a deferral of Postfix that was changed in a few places. All are printable
/// ASCII, since other bytes leave ours escaped.
pub fn mutated_lines(seed: u64, count: usize) -> String {
    let mut dice = Dice::new(seed);
    let mut text = String::new();
    for _ in 0..count {
        let mut line = LINE.to_owned();
        for _ in 0..dice.below(4) {
            let start = dice.below(line.len() + 1);
            let end = line.len().min(start + *dice.pick(&[0, 0, 1, 2, 5, 20]));
            let piece: &&str = dice.pick(PIECES);
            line.replace_range(start..end, piece);
        }
        text.push_str(&line);
        text.push('\n');
    }
    text
}

const LINE: &str = "Nov 24 12:00:00 mail postfix/smtpd[15962]: NOQUEUE: reject: RCPT from \
    mx.example.com[192.0.2.10]: 450 4.2.0 <bob@example.org>: Recipient address rejected: \
    Greylisted, see http://x/y.html; from=<Alice-12@example.com> to=<bob@example.org> proto=ESMTP \
    helo=<mx.example.com>";

const PIECES: &[&str] = &[
    "",
    " ",
    "  ",
    "[",
    "]",
    "]: 450 ",
    "mx.a[1.2.3.4]: 450 ",
    "unknown[9.8.7.6]: 450 ",
    "h2-10[192.0.2.10]: 450 ",
    "from=<",
    "> to=<",
    ">",
    "<",
    "from=<a@b> to=<c@d>",
    "from=<> to=<x@y>",
    "reject: ",
    "Greylisted",
    "/",
    "+",
    "@",
    "#",
    "12",
    "0",
    "%",
    "\\",
    "1.2.3",
    "..",
    "450 ",
    "256.1.1.1",
    "01.002.3.4",
    ": ",
    "0.0.0.0",
    "prvs=1234567890=",
];
