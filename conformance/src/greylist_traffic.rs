//! Random sessions for the comparison with milter-greylist: few addresses, so
//! that they meet again.

use crate::clock::EPISODE_START;
use crate::dice::Dice;

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
    single: bool,
}

impl Sessions {
    pub(crate) fn new(seed: u64, single: bool) -> Self {
        Self {
            dice: Dice::new(seed),
            now: EPISODE_START,
            count: 0,
            single,
        }
    }

    pub(crate) fn session(&mut self) -> Session {
        self.count += 1;
        self.now += self.dice.pick(STEPS_S);
        let mut steps = Vec::new();
        let (name, address) = *self.dice.pick(CLIENTS);
        push(
            &mut steps,
            0,
            'D',
            macros('C', &[("j", "mx.test"), ("{if_addr}", "127.0.0.1")]),
        );
        push(&mut steps, 0, 'C', connect(name, address));
        let mut shown = Vec::new();
        if self.dice.chance(10) {
            shown.push(("{verify}", *self.dice.pick(&["OK", "NO"])));
            shown.push(("{cert_subject}", "/CN=foo"));
        }
        push(&mut steps, 0, 'D', macros('H', &shown));
        let helo = *self
            .dice
            .pick(&["client.example", "other.example", "x.example"]);
        push(&mut steps, 0, 'H', format!("{helo}\0").into_bytes());
        let messages = if self.single {
            1
        } else {
            1 + self.dice.below(3)
        };
        for message in 1..=messages {
            self.message(message, &mut steps);
        }
        Session {
            at: self.now,
            steps,
        }
    }

    fn message(&mut self, number: usize, steps: &mut Vec<Step>) {
        let id = format!("s{}m{number}", self.count);
        let mut shown = vec![("i", &id[..])];
        if self.dice.chance(10) {
            shown.push(("{auth_authen}", *self.dice.pick(&["joe", "eve"])));
        }
        if self.dice.chance(30) {
            shown.push(("{trusted}", *self.dice.pick(&["yes", "yet", "no"])));
        }
        push(steps, number, 'D', macros('M', &shown));
        let sender = *self.dice.pick(SENDERS);
        push(steps, number, 'M', format!("<{sender}>\0").into_bytes());
        for _ in 0..1 + self.dice.below(3) {
            let mut shown = vec![("i", &id[..])];
            if self.dice.chance(8) {
                shown.push((
                    "{greylist}",
                    *self.dice.pick(&["WHITE", "white", "OK", "RELAY"]),
                ));
            }
            push(steps, number, 'D', macros('R', &shown));
            let recipient = *self.dice.pick(RECIPIENTS);
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
