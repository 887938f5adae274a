//! Lines of Postfix's smtpd in which it turns a recipient away for now, as postgreyreport reads
//! them.
//!
//! Source: the lines of Postfix 3.7.11; what postgreyreport 1.14.3 makes of them and of variations.

use std::sync::LazyLock;

use memchr::memmem::{self, Finder};
use memchr::{memchr, memchr_iter, memrchr_iter};

/// A recipient that was turned away for now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deferred<'a> {
    /// The client's confirmed name, or `unknown`.
    pub client_name: &'a [u8],
    /// The client's IPv4 address: four groups of one to three digits.
    pub client_address: &'a [u8],
    /// The envelope sender, never empty.
    pub sender: &'a [u8],
    /// The envelope recipient.
    pub recipient: &'a [u8],
}

impl<'a> Deferred<'a> {
    /// What every line has that tells of one.
    pub const WORD: &'static [u8] = b"reject: ";

    /// Reads ` NAME[ADDRESS]: 450 TEXT from=<SENDER> to=<RECIPIENT>` anywhere in a line that also has
    /// `reject: `. The first client and the last addresses count.
    #[must_use]
    pub fn parse(line: &'a [u8]) -> Option<Self> {
        WORD.find(line)?;
        memchr_iter(b'[', line).find_map(|bracket| {
            let (client_name, client_address, text) = client(line, bracket)?;
            let (sender, recipient) = addresses(text)?;
            Some(Self {
                client_name,
                client_address,
                sender,
                recipient,
            })
        })
    }

    /// Whether the client has no confirmed name, or one with the last two groups of its address, as
    /// the names of dial-up pools have. Postgrey once knew such a client by its address alone.
    #[must_use]
    pub(crate) fn hides_network(&self) -> bool {
        self.client_name == b"unknown" || self.is_of_pool()
    }

    /// Whether the client's name has the last two groups of its address.
    #[must_use]
    pub fn is_of_pool(&self) -> bool {
        let mut groups = self.client_address.rsplit(|byte| *byte == b'.');
        let mut is_in_name = || {
            let group = groups.next();
            group.is_some_and(|group| memmem::find(self.client_name, group).is_some())
        };
        is_in_name() && is_in_name()
    }
}

static WORD: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(Deferred::WORD));

/// The name of the client whose address begins behind `bracket`, the address, and the text of the
/// reply.
fn client(line: &[u8], bracket: usize) -> Option<(&[u8], &[u8], &[u8])> {
    // Most brackets are told apart by what stands behind them.
    let behind = &line[bracket + 1..];
    let length = address_length(behind)?;
    let (address, behind) = behind.split_at(length);
    let text = behind.strip_prefix(b"]: 450 ")?;
    let ends_name = |byte: &u8| matches!(byte, b'\t'..=b'\r' | b' ' | b'[');
    let start = line[..bracket].iter().rposition(ends_name)?;
    let name = &line[start + 1..bracket];
    if line[start] != b' ' || name.is_empty() {
        return None;
    }
    Some((name, address, text))
}

/// The length of four groups of one to three digits with dots between them.
fn address_length(text: &[u8]) -> Option<usize> {
    let mut at = 0;
    for group in 0..4 {
        if group > 0 {
            if text.get(at) != Some(&b'.') {
                return None;
            }
            at += 1;
        }
        let digits = text[at..]
            .iter()
            .take(4)
            .take_while(|byte| byte.is_ascii_digit());
        match digits.count() {
            length @ 1..=3 => at += length,
            _ => return None,
        }
    }
    Some(at)
}

/// The last `from=<SENDER> to=<RECIPIENT>` of a reply that is not at its beginning.
fn addresses(text: &[u8]) -> Option<(&[u8], &[u8])> {
    memrchr_iter(b'<', text).find_map(|at| {
        let before = text[..at].strip_suffix(b"from=")?;
        let (sender, behind) = bracketed(&text[at + 1..])?;
        let (recipient, _) = bracketed(behind.strip_prefix(b" to=<")?)?;
        (!before.is_empty()).then_some((sender, recipient))
    })
}

/// What stands before `>`, not empty, and what stands behind it.
fn bracketed(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = memchr(b'>', text).filter(|end| *end > 0)?;
    Some((&text[..end], &text[end + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = "Nov 24 12:00:00 mail postfix/smtpd[15962]: NOQUEUE: reject: RCPT from \
        mx.example.com[192.0.2.10]: 450 4.2.0 <bob@example.org>: Recipient address rejected: \
        Greylisted, see x; from=<Alice@example.com> to=<bob@example.org> proto=ESMTP helo=<h>";

    fn read(line: &str) -> Option<[String; 4]> {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("UTF-8");
        Deferred::parse(line.as_bytes()).map(|found| {
            [
                text(found.client_name),
                text(found.client_address),
                text(found.sender),
                text(found.recipient),
            ]
        })
    }

    fn read_with(what: &str, instead: &str) -> Option<[String; 4]> {
        assert!(LINE.contains(what), "{what}");
        read(&LINE.replacen(what, instead, 1))
    }

    #[test]
    fn a_line_of_postfix_is_read() {
        let expected = [
            "mx.example.com",
            "192.0.2.10",
            "Alice@example.com",
            "bob@example.org",
        ];
        assert_eq!(read(LINE), Some(expected.map(str::to_owned)));
        // With a queue file there is its name; only `reject: ` and what follows count.
        assert_eq!(read_with("NOQUEUE: ", "399109B806E: x"), read(LINE));
        assert_eq!(read_with("; from", "from"), read(LINE));
    }

    #[test]
    fn what_differs_in_the_least_is_not_read() {
        for (what, instead) in [
            ("reject: ", "reject:"),
            ("reject: ", "reject_warning: "),
            ("192.0.2.10", "1.92.0.2.10"),
            ("192.0.2.10", "1192.0.2.10"),
            ("192.0.2.10", "192.0.2"),
            ("192.0.2.10", "2001:db8::1"),
            ("]: 450 ", "]:450 "),
            ("]: 450 ", "]: 451 "),
            ("]: 450 ", "]: 4501 "),
            ("]: 450 ", "]: 450\t"),
            ("from mx", "from\tmx"),
            ("mx.example.com[", "["),
            ("Alice@example.com", ""),
            ("> to=", ">  to="),
            ("> to=", "> orig_to="),
            (
                "4.2.0 <bob@example.org>: Recipient address rejected: Greylisted, see x; ",
                "",
            ),
        ] {
            assert_eq!(read_with(what, instead), None, "{what} -> {instead}");
        }
    }

    #[test]
    fn the_first_client_and_the_last_addresses_count() {
        let found = read_with("mx.example.com[", "a[1.1.1.1]: 450 b[").expect("it is read");
        assert_eq!((found[0].as_str(), found[1].as_str()), ("a", "1.1.1.1"));
        let found = read_with("mx.example.com[", "a[1.1.1.1]: 451 b[").expect("it is read");
        assert_eq!((found[0].as_str(), found[1].as_str()), ("b", "192.0.2.10"));
        let found = read_with("helo=", "from=<p@q> to=<r@s> ").expect("it is read");
        assert_eq!((found[2].as_str(), found[3].as_str()), ("p@q", "r@s"));
        let found = read_with("helo=", "from=<p@q> to=<> ").expect("it is read");
        assert_eq!(found[2], "Alice@example.com");
        let found = read_with("Alice", "a from=<b").expect("it is read");
        assert_eq!(found[2], "b@example.com");
    }

    #[test]
    fn pools_and_unknown_clients_hide_their_network() {
        for (name, address, hides) in [
            ("unknown", "192.0.2.10", true),
            ("UNKNOWN", "192.0.2.10", false),
            ("unknown.example", "192.0.2.10", false),
            ("h2-10.example", "192.0.2.10", true),
            ("a10b2.example", "192.0.2.10", true),
            ("h10.example", "192.0.2.10", false),
            ("h02.example", "192.0.2.002", false),
            ("h22.example", "192.0.2.2", true),
        ] {
            let deferred = Deferred {
                client_name: name.as_bytes(),
                client_address: address.as_bytes(),
                sender: b"a@b",
                recipient: b"c@d",
            };
            assert_eq!(deferred.hides_network(), hides, "{name} {address}");
        }
    }
}
