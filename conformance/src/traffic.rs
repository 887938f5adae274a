//! Seeded random requests and moves of the clock.
//!
//! Three rules keep the two programs comparable; what lies outside of them is
//! tried by a test of its own. Nothing that ends Postgrey is sent. The clock
//! never moves further from the start than the lifetime of an entry, because
//! Postgrey forgets at night what ours forgets at once. It never stands
//! between 02:00 and 06:59, the hours of Postgrey's purge.

use crate::clock::EPISODE_START;
use crate::dice::Dice;
use crate::message::Message;
use crate::option_set::OptionSet;
use crate::universe::{
    ADDRESSES, GARBAGE, NAMES, ODD_ADDRESSES, OTHERS, RAW_RECIPIENTS, RECIPIENTS, SENDERS,
};

/// Connections that requests are spread over.
pub(crate) const CONNECTIONS: usize = 3;

/// One request and when and how to send it.
#[derive(Debug, Clone)]
pub(crate) struct Ask {
    pub(crate) at: i64,
    pub(crate) message: Message,
    pub(crate) bytes: Vec<u8>,
    /// Greylisters say nothing to this one.
    pub(crate) silent: bool,
    pub(crate) connection: usize,
    /// Leave the connection that is open and take a new one.
    pub(crate) fresh: bool,
}

/// A source of requests for one option set.
pub(crate) struct Traffic {
    dice: Dice,
    now: i64,
    end: i64,
    delay: i64,
    window: i64,
    past: Vec<Past>,
    messages: usize,
}

struct Past {
    message: Message,
    first: i64,
}

impl Traffic {
    pub(crate) fn new(set: &OptionSet, seed: u64) -> Self {
        Self {
            dice: Dice::new(seed),
            now: EPISODE_START,
            end: EPISODE_START + set.lifetime,
            delay: set.delay,
            window: set.window,
            past: Vec::new(),
            messages: 0,
        }
    }

    /// The next request.
    pub(crate) fn ask(&mut self) -> Ask {
        let silent = self.dice.chance(4);
        let message = if silent {
            self.unknown_request()
        } else if !self.past.is_empty() && self.dice.chance(60) {
            self.retry()
        } else {
            self.wander();
            self.new_request()
        };
        let end = if self.dice.chance(10) { "\r\n" } else { "\n" };
        Ask {
            at: self.now,
            bytes: message.bytes_with(end),
            message,
            silent,
            connection: self.dice.below(CONNECTIONS),
            fresh: self.dice.chance(5),
        }
    }

    /// Something seen before, often at an edge of its delay or window.
    fn retry(&mut self) -> Message {
        let recent = self.past.len().min(12);
        let index = self.past.len() - 1 - self.dice.below(recent);
        let past = &self.past[index];
        let edges = [
            self.delay / 2,
            self.delay - 1,
            self.delay,
            self.delay,
            self.delay + 1,
            self.window - 1,
            self.window,
            self.window + 1,
        ];
        let message = past.message.clone();
        let target = past.first + self.dice.pick(&edges);
        if self.dice.chance(45) && target >= self.now {
            self.move_to(target);
        } else {
            self.wander();
        }
        // The next message of the same sender, or the next recipient of this
        // one, or a repetition down to the byte.
        match self.dice.below(4) {
            0 => message,
            1 => self.with_instance(message),
            2 => self.with_recipient(message),
            _ => {
                let queue = *self.dice.pick(&["", "399109B806E", "0"]);
                let instance = self.new_instance();
                message.with("queue_id", queue).with("instance", instance)
            }
        }
    }

    fn new_request(&mut self) -> Message {
        let address = match self.dice.below(10) {
            0 => *self.dice.pick(ODD_ADDRESSES),
            1..6 => ADDRESSES[self.dice.below(5)],
            _ => *self.dice.pick(ADDRESSES),
        };
        // The first few of each list more often, so that triplets meet again.
        let name = if self.dice.chance(50) {
            NAMES[0]
        } else {
            *self.dice.pick(NAMES)
        };
        let sender = self.some_sender();
        let recipient = self.some_recipient();
        let mut message = if self.dice.chance(5) {
            Message::bare()
        } else {
            Message::new()
        };
        let request_last = message == Message::bare();
        let missing = self.dice.below(120);
        for (place, (attribute, value)) in [
            ("client_address", address.as_bytes()),
            ("client_name", name.as_bytes()),
            ("sender", sender.as_slice()),
            ("recipient", recipient.as_slice()),
        ]
        .into_iter()
        .enumerate()
        {
            // An address can be left out; an empty one would end Postgrey.
            if missing != place {
                message = message.with(attribute, value);
            }
        }
        message = self.decorate(message);
        if self.dice.chance(70) {
            message = self.with_instance(message);
        }
        if request_last {
            message = message.with("request", "smtpd_access_policy");
        }
        self.past.push(Past {
            message: message.clone(),
            first: self.now,
        });
        message
    }

    /// Attributes nobody looks at, attributes twice, garbage between.
    fn decorate(&mut self, mut message: Message) -> Message {
        if self.dice.chance(50) {
            message = message.with("etrn_domain", *self.dice.pick(&["", "", "example.org"]));
        }
        while self.dice.chance(25) {
            let (name, value) = *self.dice.pick(OTHERS);
            message = message.with(name, value);
        }
        if self.dice.chance(6) {
            message = message.with_line(*self.dice.pick(GARBAGE));
        }
        if self.dice.chance(2) {
            message = message.with_line("g".repeat(90 + self.dice.below(30)));
        }
        match self.dice.below(40) {
            0 => message.with("sender", *self.dice.pick(SENDERS)),
            1 => message.with_line([b"=sender=", *self.dice.pick(SENDERS)].concat()),
            2 => message.with("client_name", *self.dice.pick(NAMES)),
            _ => message,
        }
    }

    fn some_sender(&mut self) -> Vec<u8> {
        match self.dice.below(40) {
            0 => long_address(507 + self.dice.below(12)),
            1..12 => SENDERS[self.dice.below(5)].to_vec(),
            _ => self.dice.pick(SENDERS).to_vec(),
        }
    }

    fn some_recipient(&mut self) -> Vec<u8> {
        match self.dice.below(60) {
            0 => long_address(507 + self.dice.below(12)),
            1 => self.dice.pick(RAW_RECIPIENTS).to_vec(),
            2..24 => RECIPIENTS[self.dice.below(4)].to_vec(),
            _ => self.dice.pick(RECIPIENTS).to_vec(),
        }
    }

    fn with_recipient(&mut self, message: Message) -> Message {
        let recipient = self.some_recipient();
        message.with("recipient", recipient)
    }

    fn with_instance(&mut self, message: Message) -> Message {
        match self.dice.below(12) {
            0 => message.with("instance", ""),
            1 => message.with("instance", "0"),
            2..8 => message.with("instance", format!("shared.{}", self.dice.below(14))),
            _ => {
                let instance = self.new_instance();
                message.with("instance", instance)
            }
        }
    }

    fn new_instance(&mut self) -> String {
        self.messages += 1;
        format!("3e5a.{:x}.0", self.messages)
    }

    fn unknown_request(&mut self) -> Message {
        let kind = self.dice.below(5);
        match kind {
            0 => Message::bare(),
            1 => Message::bare().with("sender", "left@over.example"),
            2 => Message::bare().with("request", "SMTPD_ACCESS_POLICY"),
            3 => Message::new().with("request", "100%junk"),
            _ => Message::of(
                ("192.0.2.9", "mail.example.test"),
                "a@b.example",
                "c@d.example",
            )
            .with("request", ""),
        }
    }

    fn wander(&mut self) {
        let step = match self.dice.below(40) {
            0..22 => 0,
            22..27 => 1,
            27..30 => 1 + self.dice.below(400) as i64,
            30 => self.delay.max(0),
            31..34 => 3_600,
            34 => 3_599,
            35 => 86_400,
            36 => self.window,
            37 => -1,
            38 => -(1 + self.dice.below(10) as i64),
            _ => -self.delay.abs() - 1,
        };
        self.move_to(self.now + step);
    }

    fn move_to(&mut self, target: i64) {
        let hour = target.rem_euclid(86_400) / 3_600;
        if (EPISODE_START..=self.end).contains(&target) && !(2..7).contains(&hour) {
            self.now = target;
        }
    }
}

/// An address of `length` bytes, whose end Postgrey cuts when it is above 512.
fn long_address(length: usize) -> Vec<u8> {
    let domain = b"@long.example";
    [vec![b's'; length - domain.len()].as_slice(), domain].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_requests() {
        let set = OptionSet::new("defaults", &[]);
        let bytes = |seed| -> Vec<Vec<u8>> {
            let mut traffic = Traffic::new(&set, seed);
            (0..50).map(|_| traffic.ask().bytes).collect()
        };
        assert_eq!(bytes(7), bytes(7));
        assert_ne!(bytes(7), bytes(8));
    }

    #[test]
    fn the_clock_stays_in_its_bounds() {
        let set = OptionSet::new("defaults", &[]);
        let mut traffic = Traffic::new(&set, 1);
        for _ in 0..5_000 {
            let at = traffic.ask().at;
            assert!((EPISODE_START..=EPISODE_START + set.lifetime).contains(&at));
            assert!(!(2..7).contains(&(at % 86_400 / 3_600)));
        }
    }
}
