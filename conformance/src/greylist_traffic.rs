//! Random sessions for the comparison with milter-greylist: few addresses, so
//! that they meet again.

use std::collections::HashMap;

use crate::clock::EPISODE_START;
use crate::dice::Dice;
use crate::greylist_conf::Traffic;

/// The packets of one connection, without the negotiation.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    /// What the clock shows, in Unix seconds.
    pub(crate) at: i64,
    /// Command, content, and the number of the message from 1.
    pub(crate) steps: Vec<Step>,
}

/// One packet.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    pub(crate) command: char,
    pub(crate) content: Vec<u8>,
    /// The number of the message in its connection, from 1; 0 before the first.
    pub(crate) message: usize,
}

const CLIENTS: &[(&str, &str)] = &[
    ("mail.example.org", "192.0.2.10"),
    ("xexample.org", "192.0.2.11"),
    ("relay.example.net", "192.0.2.200"),
    ("[198.51.100.7]", "198.51.100.7"),
    ("six.example.net", "2001:db8::9"),
    ("other.example", "203.0.113.4"),
];
const SENDERS: &[&str] = &[
    "a@x.example",
    "a@x.example",
    "bounce-1=bob@list.example",
    "prvs=12=a@x.example",
    "bob@list.example",
    "",
    "c+d@x.example",
];
const RECIPIENTS: &[&str] = &["b@y.example", "w@y.example", "bl@y.example", "c@z.example"];
const SUBJECTS: &[&str] = &["hello", "spam", "grey", "tag", "good"];
const STEPS_S: &[i64] = &[
    0, 0, 1, 5, 9, 10, 14, 20, 30, 31, 59, 60, 60, 61, 100, 600, 3_599, 3_700, 30_000, 100_000, -3,
    -30,
];

/// Gives sessions.
pub(crate) struct Sessions {
    dice: Dice,
    now: i64,
    count: usize,
    traffic: Traffic,
    /// Of each client, when lone ones matter.
    lone: HashMap<&'static str, Lone>,
}

/// What a client may do whose one sender and recipient wait, or have passed.
#[derive(Default)]
struct Lone {
    /// When they may pass.
    due: Option<i64>,
    /// Until when the client is known.
    known: i64,
}

/// The `greylist` and `autowhite` of configurations with such clients.
const LONE_DELAY_S: i64 = 60;
const LONE_LIFETIME_S: i64 = 7_200;
/// How much longer ours may know a client.
const LONE_SLACK_S: i64 = LONE_LIFETIME_S / 64 + 1;

impl Sessions {
    pub(crate) fn new(seed: u64, traffic: Traffic) -> Self {
        Self {
            dice: Dice::new(seed),
            now: EPISODE_START,
            count: 0,
            traffic,
            lone: HashMap::new(),
        }
    }

    pub(crate) fn session(&mut self) -> Session {
        self.count += 1;
        let step = *self.dice.pick(STEPS_S);
        self.now += match self.traffic {
            Traffic::Forward | Traffic::Lone => step.max(0),
            _ => step,
        };
        let mut steps = Vec::new();
        let (name, address) = *self.dice.pick(CLIENTS);
        let is_lone = self.traffic == Traffic::Lone && self.is_lone(address);
        push(
            &mut steps,
            0,
            'D',
            macros('C', &[("j", "mx.test"), ("{if_addr}", "127.0.0.1")]),
        );
        push(&mut steps, 0, 'C', connect(name, address));
        let mut shown = Vec::new();
        if self.traffic != Traffic::Lone && self.dice.chance(10) {
            shown.push(("{verify}", *self.dice.pick(&["OK", "NO"])));
            shown.push(("{cert_subject}", "/CN=foo"));
        }
        push(&mut steps, 0, 'D', macros('H', &shown));
        let helo = *self
            .dice
            .pick(&["client.example", "other.example", "x.example"]);
        push(&mut steps, 0, 'H', format!("{helo}\0").into_bytes());
        let messages = if is_lone || self.traffic == Traffic::Single {
            1
        } else {
            1 + self.dice.below(3)
        };
        for message in 1..=messages {
            self.message(message, is_lone, &mut steps);
        }
        Session {
            at: self.now,
            steps,
        }
    }

    /// Whether a client may have only one sender and recipient now; so far as it
    /// has to, time goes on until ours knows it no longer either.
    fn is_lone(&mut self, address: &'static str) -> bool {
        let of = self.lone.entry(address).or_default();
        if self.now > of.known && self.now <= of.known + LONE_SLACK_S {
            self.now = of.known + LONE_SLACK_S + 1;
        }
        let (is_known, is_due) = (
            self.now <= of.known,
            of.due.is_some_and(|due| due <= self.now),
        );
        if is_known || is_due {
            (of.known, of.due) = (self.now + LONE_LIFETIME_S, None);
        } else if of.due.is_none() {
            of.due = Some(self.now + LONE_DELAY_S);
        }
        !is_known
    }

    fn message(&mut self, number: usize, is_lone: bool, steps: &mut Vec<Step>) {
        let id = format!("s{}m{number}", self.count);
        let mut shown = vec![("i", &id[..])];
        if self.traffic != Traffic::Lone && self.dice.chance(10) {
            shown.push(("{auth_authen}", *self.dice.pick(&["joe", "eve"])));
        }
        if self.dice.chance(30) {
            shown.push(("{trusted}", *self.dice.pick(&["yes", "yet", "no"])));
        }
        push(steps, number, 'D', macros('M', &shown));
        let sender = if is_lone {
            SENDERS[0]
        } else {
            *self.dice.pick(SENDERS)
        };
        push(steps, number, 'M', format!("<{sender}>\0").into_bytes());
        let recipients = if is_lone { 1 } else { 1 + self.dice.below(3) };
        for _ in 0..recipients {
            let mut shown = vec![("i", &id[..])];
            if self.traffic != Traffic::Lone && self.dice.chance(8) {
                shown.push((
                    "{greylist}",
                    *self.dice.pick(&["WHITE", "white", "OK", "RELAY"]),
                ));
            }
            push(steps, number, 'D', macros('R', &shown));
            let recipient = if is_lone {
                RECIPIENTS[0]
            } else {
                *self.dice.pick(RECIPIENTS)
            };
            push(steps, number, 'R', format!("<{recipient}>\0").into_bytes());
        }
        if self.dice.chance(85) {
            let subject = *self.dice.pick(SUBJECTS);
            push(steps, number, 'T', Vec::new());
            push(
                steps,
                number,
                'L',
                format!("Subject\0{subject}\0").into_bytes(),
            );
            push(steps, number, 'N', Vec::new());
            let lines = *self.dice.pick(&[1, 1, 60]);
            push(
                steps,
                number,
                'B',
                "A line that is good or not.\r\n".repeat(lines).into_bytes(),
            );
            push(steps, number, 'E', Vec::new());
        }
        push(steps, number, 'A', Vec::new());
    }
}

fn push(steps: &mut Vec<Step>, message: usize, command: char, content: Vec<u8>) {
    steps.push(Step {
        command,
        content,
        message,
    });
}

fn macros(stage: char, pairs: &[(&str, &str)]) -> Vec<u8> {
    let mut content = stage.to_string();
    for (name, value) in pairs {
        content.push_str(&format!("{name}\0{value}\0"));
    }
    content.into_bytes()
}

fn connect(name: &str, address: &str) -> Vec<u8> {
    let family = if address.contains(':') { '6' } else { '4' };
    let mut content = format!("{name}\0{family}").into_bytes();
    content.extend_from_slice(&25_000_u16.to_be_bytes());
    content.extend_from_slice(address.as_bytes());
    content.push(0);
    content
}
