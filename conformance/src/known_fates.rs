//! Traffic of which it is known who came back: what a report must find out from the log alone.
//!
//! Clients change their address within a network, and their network; senders change what changes from
//! mail to mail (BATV, SRS, VERP, extensions). The greylister decides, and its answers are the truth.

use std::collections::BTreeMap;
use std::fmt::Write;

use anyhow::Result;

use crate::clock::utc_text;
use crate::dice::Dice;
use crate::message::Message;
use crate::native::Native;

/// One attempt and what was answered.
struct Asked {
    at: i64,
    client: (String, String),
    sender: String,
    recipient: String,
    passed: bool,
}

/// Traffic that was sent, in the order of its times.
pub struct KnownFates {
    asked: Vec<Asked>,
    /// By network and recipient, when it was first and last deferred, and last passed.
    fates: BTreeMap<(String, String), Fate>,
}

#[derive(Default)]
struct Fate {
    first: Option<i64>,
    deferred: Option<i64>,
    passed: Option<i64>,
}

/// A delivery that did not come back.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Lost {
    /// The client's network.
    pub network: String,
    /// The recipient.
    pub recipient: String,
    /// The same sender has reached the same recipient from another network since.
    pub elsewhere: bool,
}

/// How many deliveries there are; each has a recipient of its own.
const DELIVERIES: usize = 150;

/// When attempts follow the first one, in seconds; some change their network on the way.
const COURSES: &[&[i64]] = &[
    &[],
    &[],
    &[10],
    &[10, 20, 30],
    &[61],
    &[30, 90],
    &[300],
    &[59, 1_800],
    &[3_600, 7_200],
];

impl KnownFates {
    /// Sends the traffic of `seed` to a server that defers for 60 s; it begins at `start`.
    ///
    /// # Errors
    /// When the server does not answer.
    pub fn make(seed: u64, start: i64, native: &Native) -> Result<Self> {
        let mut known = Self {
            asked: traffic(seed, start),
            fates: BTreeMap::new(),
        };
        for asked in &mut known.asked {
            let message = Message::of(
                (&asked.client.0, &asked.client.1),
                &asked.sender,
                &asked.recipient,
            );
            let action = native.ask_at(asked.at.unsigned_abs(), &message)?;
            asked.passed = !action.starts_with("DEFER");
            let key = (network(&asked.client.0), asked.recipient.clone());
            let fate = known.fates.entry(key).or_default();
            if asked.passed {
                fate.passed = Some(asked.at);
            } else {
                fate.first = fate.first.or(Some(asked.at));
                fate.deferred = Some(asked.at);
            }
        }
        Ok(known)
    }

    /// Those that did not come back, in the order of their networks and recipients.
    pub fn lost(&self) -> Vec<Lost> {
        let lost = |(network, recipient): &(String, String), fate: &Fate| {
            let elsewhere = self.fates.iter().any(|((_, other), other_fate)| {
                other == recipient && other_fate.passed.is_some_and(|at| Some(at) >= fate.first)
            });
            (fate.deferred > fate.passed).then(|| Lost {
                network: network.clone(),
                recipient: recipient.clone(),
                elsewhere,
            })
        };
        let mut found: Vec<Lost> = self
            .fates
            .iter()
            .filter_map(|(key, fate)| lost(key, fate))
            .collect();
        found.sort();
        found
    }

    /// How many deliveries were deferred at all.
    pub fn deferred(&self) -> usize {
        self.fates
            .values()
            .filter(|fate| fate.deferred.is_some())
            .count()
    }

    /// The server's own lines, one for each attempt, with the times and the host before them.
    pub fn stamped(&self, lines: &[&str]) -> String {
        let mut log = String::new();
        for (asked, line) in self.asked.iter().zip(lines) {
            let stamp = utc_text(asked.at).replace(' ', "T");
            // Writing to a String cannot fail.
            let _ = writeln!(log, "{stamp}Z mail greylatch[7]: {line}");
        }
        log
    }

    /// How many attempts there were.
    pub fn attempts(&self) -> usize {
        self.asked.len()
    }

    /// The lines that Postfix 3.7 would write, none of the server's own.
    pub fn by_postfix(&self) -> String {
        let mut log = String::new();
        for (number, asked) in self.asked.iter().enumerate() {
            let stamp = format!("{}.000000+00:00", utc_text(asked.at).replace(' ', "T"));
            let mut line = |service: &str, text: &str| {
                // Writing to a String cannot fail.
                let _ = writeln!(log, "{stamp} mail postfix/{service}[9]: {text}");
            };
            let (address, name) = &asked.client;
            let (sender, recipient) = (&asked.sender, &asked.recipient);
            line("smtpd", &format!("connect from {name}[{address}]"));
            if asked.passed {
                line(
                    "smtpd",
                    &format!("4B3C1A{number}: client={name}[{address}]"),
                );
                line(
                    "qmgr",
                    &format!("4B3C1A{number}: from=<{sender}>, size=3, nrcpt=1 (queue active)"),
                );
                line(
                    "local",
                    &format!(
                        "4B3C1A{number}: to=<{recipient}>, relay=local, delay=0.1, status=sent (x)"
                    ),
                );
                line("qmgr", &format!("4B3C1A{number}: removed"));
            } else {
                line(
                    "smtpd",
                    &format!(
                        "NOQUEUE: reject: RCPT from {name}[{address}]: 450 4.2.0 <{recipient}>: Recipient \
                         address rejected: Greylisted, please try again in 60 seconds; from=<{sender}> \
                         to=<{recipient}> proto=ESMTP helo=<{name}>"
                    ),
                );
            }
        }
        log
    }
}

fn traffic(seed: u64, start: i64) -> Vec<Asked> {
    let mut dice = Dice::new(seed);
    let mut asked = Vec::new();
    for number in 0..DELIVERIES {
        let begin = start + i64::try_from(dice.below(30_000)).expect("it is small");
        let (kind, mut net) = (dice.below(6), dice.below(20));
        let recipient = format!("r{number}@example.org");
        let course = *dice.pick(COURSES);
        for after in [0].iter().chain(course) {
            if *after > 0 && dice.chance(15) {
                net = (net + 1 + dice.below(18)) % 20;
            }
            asked.push(Asked {
                at: begin + after,
                client: client(&mut dice, kind, net),
                sender: sender(&mut dice, kind, number),
                recipient: recipient.clone(),
                passed: false,
            });
        }
    }
    asked.sort_by_key(|asked| asked.at);
    asked
}

/// Another address of a network each time, with a name of a pool, a server's name, or none.
fn client(dice: &mut Dice, kind: usize, net: usize) -> (String, String) {
    let host = dice.below(200) + 1;
    match kind {
        0 => (
            format!("2001:db8:{:x}::{host:x}", net + 1),
            format!("six{host}.six.example"),
        ),
        1 => (format!("198.51.{net}.{host}"), "unknown".to_owned()),
        2 => (
            format!("203.0.{net}.{host}"),
            format!("dyn-{net}-{host}.pool.example"),
        ),
        _ => (
            format!("192.0.{net}.{host}"),
            format!("mx{host}.out{net}.example"),
        ),
    }
}

fn network(address: &str) -> String {
    match address.rsplit_once("::") {
        Some((network, _)) => format!("{network}::/64"),
        None => {
            let end = address.rfind('.').unwrap_or(address.len());
            format!("{}.0/24", &address[..end])
        }
    }
}

/// The same sender each time, with another tag.
fn sender(dice: &mut Dice, kind: usize, number: usize) -> String {
    let tag = dice.below(9_000) + 1_000;
    match (kind + number) % 6 {
        0 => String::new(),
        1 => format!("prvs={tag:04}{:06x}=user-x{number}y@batv.example", tag * 7),
        2 => format!(
            "SRS0=Ab{tag}=T{}=Far.example=User-x{number}y@fwd.example",
            tag % 10
        ),
        3 => format!("bounce-{tag}-x{number}y@list.example"),
        4 => format!("user-x{number}y+{tag}@ext.example"),
        _ => format!("Plain-x{number}y@plain.example"),
    }
}
