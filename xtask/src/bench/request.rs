//! A question as Postfix sends it, whose changing fields are overwritten in
//! place: nothing is formatted or allocated per request.
//!
//! Source: Postfix SMTPD_POLICY_README, "Protocol description".

use std::ops::Range;

use crate::bench::dialect::Dialect;

/// Who asks; each kind has clients and senders of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Never seen, each from a network that hardly any other shares.
    New,
    /// Seen once, a moment ago.
    EarlyRetry,
    /// Passed before; four of them share a client.
    Known,
    /// Unknown, from a client that is exempt by its passes.
    Exempt,
    /// Unknown, from a client on the list.
    Whitelisted,
}

/// How many clients are exempt by their passes.
pub(crate) const EXEMPT_CLIENTS: u64 = 1_000;

/// What a server that greylists answers, up to its text.
pub(crate) const DEFER: &[u8] = b"action=DEFER_IF_PERMIT ";
/// The first pass of a triplet.
pub(crate) const PREPEND: &[u8] = b"action=PREPEND ";
/// All other passes; also all that the reference answers.
pub(crate) const DUNNO: &[u8] = b"action=DUNNO\n";

impl Kind {
    /// What the answer to a measured request must begin with.
    pub(crate) fn answer(self) -> &'static [u8] {
        match self {
            Self::New | Self::EarlyRetry => DEFER,
            Self::Known | Self::Exempt | Self::Whitelisted => DUNNO,
        }
    }

    /// Whether a measured request has to wait.
    pub(crate) fn waits(self) -> bool {
        self.answer() == DEFER
    }

    /// Keeps the senders of the kinds apart.
    fn letter(self) -> u8 {
        match self {
            Self::New => b'n',
            Self::EarlyRetry => b'r',
            Self::Known => b'k',
            Self::Exempt => b'x',
            Self::Whitelisted => b'w',
        }
    }

    /// The client's address as a number whose lowest 21 bits are the last
    /// three octets.
    fn client(self, index: u64) -> u64 {
        let octet = |first: u64| first << HOST_BITS;
        match self {
            Self::Known => octet(100) + scattered(index / 4, 24),
            Self::EarlyRetry => octet(108) + scattered(index, HOST_BITS),
            Self::Exempt => octet(109) + scattered(index % EXEMPT_CLIENTS, HOST_BITS),
            Self::Whitelisted => octet(110) + scattered(index, HOST_BITS),
            // 149 to 180: half a million networks, so that no limit per network is met, and none
            // on Postgrey's list, as some of 148.105.0.0/16 would be.
            Self::New => octet(149) + scattered(index, 26),
        }
    }
}

/// Octets are written with three digits, from 100 to 227: seven bits each.
const OCTET_BITS: u32 = 7;
const HOST_BITS: u32 = 3 * OCTET_BITS;

/// A number of so many bits, another one for each index of so many bits.
fn scattered(index: u64, bits: u32) -> u64 {
    index.wrapping_mul(0x9E37_79B1) & ((1 << bits) - 1)
}

/// A request that can be aimed at any triplet.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    bytes: Vec<u8>,
    address: Range<usize>,
    name: Range<usize>,
    sender: Range<usize>,
    domain: Range<usize>,
    recipient: Range<usize>,
    instance: Option<Range<usize>>,
    time: Option<Range<usize>>,
}

impl Request {
    /// A request that the server judges by its own clock.
    pub(crate) fn new(dialect: Dialect, kind: Kind) -> Self {
        Self::build(dialect, kind, false)
    }

    /// A request that brings its own time.
    pub(crate) fn timed(kind: Kind) -> Self {
        Self::build(Dialect::Policy, kind, true)
    }

    fn build(dialect: Dialect, kind: Kind, timed: bool) -> Self {
        let domain = match kind {
            Kind::Whitelisted => "google.com",
            _ => "sender.example",
        };
        let bytes = dialect.question(domain, timed);
        let place = |mark: &str| {
            let mut windows = bytes.windows(mark.len());
            let start = windows.position(|window| window == mark.as_bytes())?;
            Some(start..start + mark.len())
        };
        let spot = |mark| place(mark).expect("every question has this mark");
        let mut request = Self {
            address: spot("AAA.AAA.AAA.AAA"),
            name: spot("NNNNNNNN"),
            sender: spot("SSSSSSSSS"),
            domain: spot("DDDD"),
            recipient: spot("RRRR"),
            instance: place("IIIIIIII"),
            time: place("TTTTTTTTTT"),
            bytes: Vec::new(),
        };
        request.bytes = bytes;
        request.bytes[request.sender.start] = kind.letter();
        request
    }

    /// Makes it the request for the `index`-th triplet of `kind`.
    pub(crate) fn aim(&mut self, kind: Kind, index: u64) {
        let client = kind.client(index);
        for (octet, place) in (0..4).rev().zip(self.address.clone().step_by(4)) {
            let value = client >> (octet * OCTET_BITS);
            // Only the first octet has bits above; it is a whole number.
            let value = if octet == 3 {
                value
            } else {
                100 + (value & 127)
            };
            write_digits(&mut self.bytes[place..place + 3], value);
        }
        write_letters(&mut self.bytes[self.name.clone()], client);
        let after_letter = self.sender.start + 1..self.sender.end;
        write_letters(&mut self.bytes[after_letter], index);
        write_letters(&mut self.bytes[self.domain.clone()], index / 16);
        write_letters(&mut self.bytes[self.recipient.clone()], index % 1_000);
    }

    /// Makes it part of another message, where messages have a name.
    pub(crate) fn set_instance(&mut self, number: u64) {
        if let Some(instance) = self.instance.clone() {
            write_letters(&mut self.bytes[instance], number);
        }
    }

    /// Sets the time that it brings, in Unix seconds; nothing when it brings
    /// none.
    pub(crate) fn set_time(&mut self, seconds: u64) {
        if let Some(time) = self.time.clone() {
            write_digits(&mut self.bytes[time], seconds);
        }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

fn write_digits(place: &mut [u8], mut value: u64) {
    for byte in place.iter_mut().rev() {
        *byte = b'0' + (value % 10) as u8;
        value /= 10;
    }
}

/// Sixteen letters beyond f, so that no normalisation of counters (decimal or
/// hexadecimal) makes two senders one.
fn write_letters(place: &mut [u8], mut value: u64) {
    for byte in place.iter_mut().rev() {
        *byte = b'g' + (value & 15) as u8;
        value >>= 4;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn line<'a>(request: &'a Request, name: &str) -> &'a str {
        let text = std::str::from_utf8(request.bytes()).expect("ASCII");
        text.lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix('='))
            .expect("the attribute is there")
    }

    #[test]
    fn aiming_changes_the_fields_and_never_the_length() {
        let mut request = Request::timed(Kind::Known);
        let length = request.bytes().len();
        request.aim(Kind::Known, 0x1234);
        request.set_instance(0x10);
        request.set_time(1_700_000_000);
        assert_eq!(request.bytes().len(), length);
        assert_eq!(line(&request, "sender"), "kgggghijk@ghij.sender.example");
        assert_eq!(line(&request, "recipient"), "user-gipk@example.org");
        assert_eq!(line(&request, "instance"), "3e5a.6b050004.gggggghg.0");
        assert_eq!(line(&request, "policy_test_time"), "1700000000");
        assert_eq!(line(&request, "client_address"), "103.183.120.225");
        assert!(request.bytes().ends_with(b"\n\n"));
    }

    #[test]
    fn new_triplets_come_from_clients_of_their_own() {
        let mut request = Request::new(Dialect::Policy, Kind::New);
        let mut clients = HashSet::new();
        let mut networks = HashSet::new();
        for index in 0..100_000 {
            request.aim(Kind::New, index);
            let client = line(&request, "client_address").to_owned();
            let octets: Vec<u32> = client
                .split('.')
                .map(|octet| octet.parse().expect("a number"))
                .collect();
            assert!(
                (149..181).contains(&octets[0])
                    && octets[1..].iter().all(|octet| (100..228).contains(octet)),
                "{client}"
            );
            networks.insert(octets[..3].to_vec());
            clients.insert(client);
        }
        assert_eq!(clients.len(), 100_000);
        assert!(networks.len() > 90_000, "{}", networks.len());
    }

    #[test]
    fn ten_million_known_triplets_keep_to_their_addresses() {
        let octets: HashSet<u64> = (0..10_000_000)
            .step_by(997)
            .map(|index| Kind::Known.client(index) >> HOST_BITS)
            .collect();
        assert_eq!(octets, (100..108).collect());
        assert_eq!(Kind::Known.client(4), Kind::Known.client(7));
        assert_eq!(
            Kind::Exempt.client(1),
            Kind::Exempt.client(1 + EXEMPT_CLIENTS)
        );
    }
}
