//! Commands from their line, and lines from events.

use std::net::IpAddr;

use greylatch_core::{AddressDialect, PeerEvent, PeerTriplet, Timestamp, milter_greylist_text};

use super::is_blank;

/// What a peer wants.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Command {
    /// To tell this.
    Tell(PeerEvent),
    /// To speak this version, 2 or 3.
    Version(u8),
    /// To know what there is.
    Help,
    /// To end.
    Quit,
}

/// Why a line is no command.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refusal<'a> {
    /// The line is empty.
    Empty,
    /// There is no such command.
    Unknown(&'a [u8]),
    /// Words are missing.
    Incomplete,
    /// A word is none that belongs there.
    Unexpected(&'a [u8]),
    /// The address is none.
    Address,
}

impl Refusal<'_> {
    /// Appends the answer.
    pub(super) fn push(&self, out: &mut Vec<u8>) {
        let (text, word): (&str, _) = match self {
            Self::Empty => ("101 No command", None),
            Self::Unknown(word) => ("102 Invalid command", Some(word)),
            Self::Incomplete => ("103 Incomplete command", None),
            Self::Unexpected(word) => ("104 Unexpected keyword", Some(word)),
            Self::Address => ("107 Invalid IP address", None),
        };
        out.extend_from_slice(text.as_bytes());
        if let Some(word) = word {
            out.extend_from_slice(b" \"");
            out.extend(word.iter().map(|byte| match byte {
                b'!'..=b'~' => *byte,
                _ => b'?',
            }));
            out.push(b'"');
        }
        out.push(b'\n');
    }
}

impl Command {
    /// The command of a line without its end. Words are in lower case only.
    pub(super) fn parse(line: &[u8]) -> Result<Self, Refusal<'_>> {
        let mut words = Words(line);
        let command = words.next().ok_or(Refusal::Empty)?;
        let event = match command {
            b"quit" => return Ok(Self::Quit),
            b"help" => return Ok(Self::Help),
            b"vers2" => return Ok(Self::Version(2)),
            b"vers3" => return Ok(Self::Version(3)),
            b"add" => PeerEvent::Pending {
                triplet: words.triplet()?,
                due: words.time("date")?,
            },
            b"del" => PeerEvent::Accepted {
                triplet: words.triplet()?,
                was: words.time("date")?,
                expires: None,
            },
            b"del2" => PeerEvent::Accepted {
                triplet: words.triplet()?,
                was: words.time("date")?,
                expires: Some(words.time("aw")?),
            },
            b"flush" => PeerEvent::Flushed(words.client()?),
            other => return Err(Refusal::Unknown(other)),
        };
        match words.next() {
            None => Ok(Self::Tell(event)),
            Some(extra) => Err(Refusal::Unexpected(extra)),
        }
    }
}

/// The words that have not been read.
struct Words<'a>(&'a [u8]);

impl<'a> Words<'a> {
    fn next(&mut self) -> Option<&'a [u8]> {
        let begin = self.0.iter().position(|byte| !is_blank(byte))?;
        let text = self.0.get(begin..)?;
        let end = text.iter().position(is_blank).unwrap_or(text.len());
        let (word, rest) = text.split_at_checked(end)?;
        self.0 = rest;
        Some(word)
    }

    /// The word behind this one, which has to come next.
    fn behind(&mut self, keyword: &str) -> Result<&'a [u8], Refusal<'a>> {
        match self.next() {
            None => Err(Refusal::Incomplete),
            Some(word) if word == keyword.as_bytes() => self.next().ok_or(Refusal::Incomplete),
            Some(word) => Err(Refusal::Unexpected(word)),
        }
    }

    fn client(&mut self) -> Result<IpAddr, Refusal<'a>> {
        let address = self.behind("addr")?;
        AddressDialect::Strict
            .parse(address)
            .ok_or(Refusal::Address)
    }

    fn triplet(&mut self) -> Result<PeerTriplet, Refusal<'a>> {
        Ok(PeerTriplet {
            client: self.client()?,
            sender: self.mailbox("from")?,
            recipient: self.mailbox("rcpt")?,
        })
    }

    fn mailbox(&mut self, keyword: &str) -> Result<Vec<u8>, Refusal<'a>> {
        let word = self.behind(keyword)?;
        let inner = word.strip_prefix(b"<").unwrap_or(word);
        Ok(inner.strip_suffix(b">").unwrap_or(inner).to_vec())
    }

    /// A number of seconds. The original takes a word that is none for 0, an entry that is gone at
    /// once; here it is refused.
    fn time(&mut self, keyword: &str) -> Result<Timestamp, Refusal<'a>> {
        let word = self.behind(keyword)?;
        // The standard library would also take a sign.
        let digits = word.iter().all(u8::is_ascii_digit).then_some(word);
        let seconds = digits
            .and_then(|digits| str::from_utf8(digits).ok())
            .and_then(|digits| digits.parse().ok());
        seconds.map(Timestamp).ok_or(Refusal::Unexpected(word))
    }
}

/// The line, without its end, by which an event is told in this version; `None` where the version
/// has no word for it.
pub(super) fn line(event: &PeerEvent, version: u8) -> Option<Vec<u8>> {
    let line = match event {
        PeerEvent::Pending { triplet, due } => triplet_line("add", triplet, *due),
        PeerEvent::Accepted { triplet, was, .. } if version < 2 => {
            triplet_line("del", triplet, *was)
        }
        PeerEvent::Accepted {
            triplet,
            was,
            expires,
        } => {
            let mut line = triplet_line("del2", triplet, *was);
            // Without an expiry it is remembered as long as a peer of version 1 would.
            let Some(expires) = expires else {
                return Some(triplet_line("del", triplet, *was));
            };
            line.extend_from_slice(format!(" aw {}", expires.0.max(0)).as_bytes());
            line
        }
        PeerEvent::Flushed(_) if version < 3 => return None,
        PeerEvent::Flushed(client) => format!("flush addr {client}").into_bytes(),
    };
    Some(line)
}

fn triplet_line(command: &str, triplet: &PeerTriplet, date: Timestamp) -> Vec<u8> {
    let mut line = format!("{command} addr {} from ", triplet.client).into_bytes();
    line.extend(milter_greylist_text(&triplet.sender));
    line.extend_from_slice(b" rcpt ");
    line.extend(milter_greylist_text(&triplet.recipient));
    line.extend_from_slice(format!(" date {}", date.0.max(0)).as_bytes());
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn triplet(client: &str, sender: &str, recipient: &str) -> PeerTriplet {
        PeerTriplet {
            client: client.parse().unwrap(),
            sender: sender.into(),
            recipient: recipient.into(),
        }
    }

    fn refused(line: &str) -> String {
        let mut out = Vec::new();
        Command::parse(line.as_bytes()).unwrap_err().push(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn commands_are_told_by_their_words() {
        let pending = |sender| PeerEvent::Pending {
            triplet: triplet("192.0.2.50", sender, "q@y"),
            due: Timestamp(1_999_999_999),
        };
        let accepted = |expires| PeerEvent::Accepted {
            triplet: triplet("2001:db8::1", "P@x", ""),
            was: Timestamp(5),
            expires,
        };
        for (line, expected) in [
            ("quit", Command::Quit),
            (" help me", Command::Help),
            ("vers2", Command::Version(2)),
            ("vers3", Command::Version(3)),
            (
                "add addr 192.0.2.50 from <p@x> rcpt <q@y> date 1999999999",
                Command::Tell(pending("p@x")),
            ),
            (
                "\tadd  addr 192.0.2.50\tfrom p@x rcpt q@y date 1999999999 ",
                Command::Tell(pending("p@x")),
            ),
            (
                "add addr ::ffff:192.0.2.50 from <> rcpt <q@y> date 1999999999",
                Command::Tell(pending("")),
            ),
            (
                "del addr 2001:db8::1 from <P@x> rcpt <> date 5",
                Command::Tell(accepted(None)),
            ),
            (
                "del2 addr 2001:db8::1 from <P@x> rcpt <> date 5 aw 9999999999",
                Command::Tell(accepted(Some(Timestamp(9_999_999_999)))),
            ),
            (
                "flush addr 192.0.2.53",
                Command::Tell(PeerEvent::Flushed([192, 0, 2, 53].into())),
            ),
        ] {
            assert_eq!(Command::parse(line.as_bytes()), Ok(expected), "{line}");
        }
    }

    #[test]
    fn a_line_that_is_no_command_has_its_answer() {
        for (line, answer) in [
            ("", "101 No command\n"),
            (" \t ", "101 No command\n"),
            ("foo bar", "102 Invalid command \"foo\"\n"),
            ("VERS3", "102 Invalid command \"VERS3\"\n"),
            ("vers4", "102 Invalid command \"vers4\"\n"),
            ("vers1", "102 Invalid command \"vers1\"\n"),
            ("f\x1bé", "102 Invalid command \"f???\"\n"),
            ("add", "103 Incomplete command\n"),
            ("add addr", "103 Incomplete command\n"),
            (
                "del addr 192.0.2.52 from <d@x> rcpt <q@y>",
                "103 Incomplete command\n",
            ),
            (
                "del2 addr 192.0.2.52 from <d@x> rcpt <q@y> date 5",
                "103 Incomplete command\n",
            ),
            (
                "add addr 192.0.2.51 from <p@x> rcpt <q@y> date 1999999999 extra",
                "104 Unexpected keyword \"extra\"\n",
            ),
            ("flush ADDR 192.0.2.1", "104 Unexpected keyword \"ADDR\"\n"),
            (
                "flush addr 192.0.2.1 now",
                "104 Unexpected keyword \"now\"\n",
            ),
            (
                "add addr 192.0.2.1 rcpt <q@y> from <p@x> date 5",
                "104 Unexpected keyword \"rcpt\"\n",
            ),
            (
                "add addr 192.0.2.1 from <p@x> rcpt <q@y> date -5",
                "104 Unexpected keyword \"-5\"\n",
            ),
            (
                "add addr 192.0.2.1 from <p@x> rcpt <q@y> date 99999999999999999999",
                "104 Unexpected keyword \"99999999999999999999\"\n",
            ),
            ("flush addr mx.example", "107 Invalid IP address\n"),
        ] {
            assert_eq!(refused(line), answer, "{line}");
        }
    }

    #[test]
    fn an_event_is_told_in_the_words_of_each_version() {
        let add = PeerEvent::Pending {
            triplet: triplet("192.0.2.10", "a@x.org", "b@y.net"),
            due: Timestamp(1_795_490_628),
        };
        let accepted = |expires: Option<i64>| PeerEvent::Accepted {
            triplet: triplet("192.0.2.10", "a@x.org", ""),
            was: Timestamp(7),
            expires: expires.map(Timestamp),
        };
        let flush = PeerEvent::Flushed("2001:db8::1".parse().unwrap());
        let add_line = "add addr 192.0.2.10 from <a@x.org> rcpt <b@y.net> date 1795490628";
        let del_line = "del addr 192.0.2.10 from <a@x.org> rcpt <> date 7";
        let del2_line = "del2 addr 192.0.2.10 from <a@x.org> rcpt <> date 7 aw 9";
        for (event, lines) in [
            (add, [Some(add_line); 3]),
            (
                accepted(Some(9)),
                [Some(del_line), Some(del2_line), Some(del2_line)],
            ),
            (accepted(None), [Some(del_line); 3]),
            (flush, [None, None, Some("flush addr 2001:db8::1")]),
        ] {
            for (version, expected) in (1..).zip(lines) {
                let line = line(&event, version).map(|line| String::from_utf8(line).unwrap());
                assert_eq!(line.as_deref(), expected, "version {version}");
            }
        }
    }

    #[test]
    fn no_event_is_told_as_another() {
        let event = PeerEvent::Pending {
            triplet: triplet("192.0.2.10", "a@x> rcpt <\r\nquit", "b\0@y"),
            due: Timestamp(-1),
        };
        assert_eq!(
            line(&event, 3).unwrap(),
            b"add addr 192.0.2.10 from <a@x__rcpt____quit> rcpt <b_@y> date 0"
        );
    }
}
