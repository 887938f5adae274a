//! What the rules judge.

use std::borrow::Cow;
use std::net::IpAddr;

use crate::greylist_conf::tree::{CronTime, Part};

/// A recipient or a message, and all that is known without asking anybody.
pub struct AclSubject<'a> {
    /// The client; an IPv4 address within IPv6 as IPv4.
    pub client: IpAddr,
    /// Its name as the MTA gives it, `[192.0.2.1]` perhaps.
    pub host: &'a [u8],
    /// The name that it gave itself.
    pub helo: Option<&'a [u8]>,
    /// The sender as it came, in angle brackets perhaps.
    pub raw_sender: &'a [u8],
    /// The sender without what stands before its last `=`.
    pub sender: &'a [u8],
    /// The recipient; at the stage DATA all that were accepted.
    pub recipients: &'a [&'a [u8]],
    /// Who authenticated.
    pub auth: Option<&'a [u8]>,
    /// The subject of the client's certificate, when the MTA verified it.
    pub certificate: Option<&'a [u8]>,
    /// Looks a macro of the MTA up, by its name as the file has it.
    pub macros: &'a (dyn Fn(&[u8]) -> Option<&'a [u8]> + Sync),
    /// Now, on the clock on the wall.
    pub time: LocalTime,
    /// The recipients that were accepted before.
    pub recipients_accepted: u64,
    /// The message, at the stage DATA.
    pub message: Option<Message<'a>>,
}

/// A message, as far as it is kept.
#[derive(Clone, Copy, Debug, Default)]
pub struct Message<'a> {
    /// Each header as a line `Name: value`.
    pub headers: &'a [&'a [u8]],
    /// The raw body.
    pub body: &'a [u8],
    /// The bytes of both that were seen.
    pub size: u64,
}

/// A point in local time, as far as crontabs know it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LocalTime {
    /// 0 to 59.
    pub minute: u8,
    /// 0 to 23.
    pub hour: u8,
    /// 1 to 31.
    pub day: u8,
    /// 1 to 12.
    pub month: u8,
    /// 0 (Sunday) to 6.
    pub weekday: u8,
}

impl LocalTime {
    pub(super) fn is_in(self, times: &CronTime) -> bool {
        let has = |bits: u64, number: u8| bits >> number.min(63) & 1 == 1;
        has(times.minutes, self.minute)
            && has(times.hours, self.hour)
            && has(times.days, self.day)
            && has(times.months, self.month)
            && has(times.weekdays, self.weekday)
    }
}

impl<'a> AclSubject<'a> {
    /// The texts of a part that a pattern looks at, each after the other.
    pub(super) fn texts(&self, part: Part) -> Vec<Cow<'a, [u8]>> {
        let one = |text: Option<&'a [u8]>| text.map(Cow::Borrowed).into_iter().collect();
        match part {
            Part::Domain => one(Some(self.host)),
            Part::Helo => one(self.helo),
            Part::Auth => one(self.auth),
            Part::Tls => one(self.certificate),
            Part::From => both_forms(self.sender).into(),
            Part::RawFrom => both_forms(self.raw_sender).into(),
            Part::Rcpt => self
                .recipients
                .iter()
                .flat_map(|one| both_forms(one))
                .collect(),
            Part::Header => self.headers().map(Cow::Borrowed).collect(),
            Part::Body => self.body_lines().map(Cow::Borrowed).collect(),
        }
    }

    pub(super) fn headers(&self) -> impl Iterator<Item = &'a [u8]> {
        self.message
            .iter()
            .flat_map(|message| message.headers.iter().copied())
    }

    pub(super) fn body_lines(&self) -> impl Iterator<Item = &'a [u8]> {
        let body = self.message.map(|message| message.body);
        let lines = body
            .into_iter()
            .flat_map(|body| body.split(|byte| *byte == b'\n'));
        lines.map(|line| line.strip_suffix(b"\r").unwrap_or(line))
    }
}

/// An address in its brackets, as the original looks at it, and then without them.
fn both_forms(address: &[u8]) -> [Cow<'_, [u8]>; 2] {
    let bracketed = if address.starts_with(b"<") {
        Cow::Borrowed(address)
    } else {
        Cow::Owned([b"<", address, b">"].concat())
    };
    [bracketed, Cow::Borrowed(bare(address))]
}

/// An address without brackets and blanks around it.
pub(super) fn bare(address: &[u8]) -> &[u8] {
    let start = address.iter().position(|byte| !b"< \t".contains(byte));
    let rest = address.get(start.unwrap_or(address.len())..);
    let rest = rest.unwrap_or_default();
    let end = rest.iter().rposition(|byte| !b"> \t".contains(byte));
    rest.get(..end.map_or(0, |end| end + 1)).unwrap_or_default()
}
