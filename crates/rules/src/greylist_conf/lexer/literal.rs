//! Literals of `greylist.conf`: numbers, times, addresses, networks, mailboxes, names.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use greylatch_core::{Network, Seconds};

use super::{Cursor, Token};
use crate::diagnostic::Fault;

impl<'a> Cursor<'a> {
    /// Digits, perhaps with `k` (1024) or `M` (1024 times 1024).
    pub(in super::super) fn number(&mut self, what: &str) -> Result<u64, Fault> {
        let start = self.position();
        let number = self.amount().and_then(|(amount, unit)| {
            let scale = match unit {
                b"" => 1,
                b"k" => 1 << 10,
                b"M" => 1 << 20,
                _ => return None,
            };
            u64::try_from(amount.checked_mul(scale)?).ok()
        });
        number.ok_or_else(|| {
            self.at = start;
            self.expected(what, "write digits, perhaps with k or M behind them")
        })
    }

    /// Digits that a unit may follow, `s` if there is none; perhaps negative.
    pub(in super::super) fn time(&mut self, what: &str) -> Result<Seconds, Fault> {
        let start = self.position();
        let time = self.amount().and_then(|(amount, unit)| {
            let scale = match unit {
                b"" | b"s" => 1,
                b"m" => 60,
                b"h" => 3_600,
                b"d" => 86_400,
                b"w" => 604_800,
                _ => return None,
            };
            amount.checked_mul(scale).map(Seconds)
        });
        time.ok_or_else(|| {
            self.at = start;
            let cure = "write a number and one of s, m, h, d, w, for example 30m";
            self.expected(what, cure)
        })
    }

    /// A number with the letters behind it.
    fn amount(&mut self) -> Option<(i64, &'a [u8])> {
        self.peek()?;
        let run = self.run(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        let (sign, digits) = match run.text {
            [b'-', digits @ ..] => (-1, digits),
            digits => (1, digits),
        };
        let length = digits
            .iter()
            .take_while(|byte| byte.is_ascii_digit())
            .count();
        let (digits, unit) = digits.split_at_checked(length)?;
        let amount: i64 = str::from_utf8(digits).ok()?.parse().ok()?;
        self.at = run.span.end;
        Some((sign * amount, unit))
    }

    /// An address, IPv4 or IPv6, perhaps with a scope that does not count.
    pub(in super::super) fn address(&mut self) -> Result<IpAddr, Fault> {
        self.peek();
        let run = self.run(|byte| byte.is_ascii_alphanumeric() || b".:%_-".contains(&byte));
        let cure = "write for example 192.0.2.1 or 2001:db8::1";
        let address = ip_address(run.text).ok_or_else(|| {
            let dots = run.text.iter().filter(|byte| **byte == b'.').count();
            let digits = run.text.iter().filter(|byte| byte.is_ascii_digit());
            let short =
                dots < 3 && dots + digits.count() == run.text.len() && dots != run.text.len();
            let four = "write all four numbers of the address, for example 10.0.0.0/8";
            self.expected("an IP address", if short { four } else { cure })
        })?;
        self.at = run.span.end;
        Ok(address)
    }

    /// An address with the network that it stands for.
    pub(in super::super) fn network(&mut self) -> Result<Network, Fault> {
        let address = self.address()?;
        let width = if address.is_ipv4() { 32 } else { 128 };
        let prefix = self.prefix(width)?.unwrap_or(width);
        if let IpAddr::V6(v6) = address
            && let Some(v4) = v6.to_ipv4_mapped()
            && let Some(prefix) = prefix.checked_sub(96)
        {
            return Ok(Network::of(IpAddr::V4(v4), prefix));
        }
        Ok(Network::of(address, prefix))
    }

    /// `/24`, if it comes next; at most `width`.
    pub(in super::super) fn prefix(&mut self, width: u8) -> Result<Option<u8>, Fault> {
        if self.peek() != Some(b'/') {
            return Ok(None);
        }
        let start = self.at;
        self.at += 1;
        let run = self.run(|byte| byte.is_ascii_alphanumeric() || b".:".contains(&byte));
        self.at = run.span.end;
        let digits = str::from_utf8(run.text).ok().filter(|text| text.len() <= 3);
        let prefix = digits.and_then(|digits| digits.parse().ok());
        match prefix.filter(|prefix| *prefix <= width) {
            Some(prefix) => Ok(Some(prefix)),
            None => Err(Fault::new(
                start..self.at,
                "bad mask",
                format!("write / and the number of bits, 0 to {width}"),
            )),
        }
    }

    /// `user@domain`, with a quoted user perhaps.
    pub(in super::super) fn mailbox(&mut self) -> Result<Token<'a>, Fault> {
        self.peek();
        let start = self.at;
        let user = if self.byte() == Some(b'"') {
            self.quoted()?.map(|token| token.span.end)
        } else {
            let run = self.run(mailbox_character);
            (!run.text.is_empty()).then_some(run.span.end)
        };
        self.at = user.unwrap_or(start);
        let at_sign = self.byte() == Some(b'@');
        self.at += usize::from(at_sign);
        let domain = self.run(domain_character);
        self.at = domain.span.end;
        let text = self.text.get(start..self.at).unwrap_or_default();
        let goes_on = self.byte().is_some_and(|byte| b"@<>[]:,;".contains(&byte));
        if user.is_some() && at_sign && !domain.text.is_empty() && !goes_on {
            let span = start..self.at;
            return Ok(Token { text, span });
        }
        self.at = start;
        Err(self.no_mailbox())
    }

    fn no_mailbox(&mut self) -> Fault {
        let piece = self.run(|byte| !matches!(byte, b' ' | b'\t' | b'\n' | b'\r'));
        let inner = |start: usize| piece.text.get(start..).unwrap_or_default();
        let shown = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let cure = match piece.text {
            b"<>" => "write /^<>$/ for the null sender".to_owned(),
            [b'<', ..] => {
                let bare = inner(1).strip_suffix(b">").unwrap_or(inner(1));
                format!("leave the angle brackets out: {}", shown(bare))
            }
            [b'"', ..] => "quote the part before the @ at most".to_owned(),
            [b'@', ..] => format!(
                "write a pattern for all of a domain: /@{}>$/",
                shown(inner(1)).replace('.', r"\.")
            ),
            word if !word.is_empty() && word.iter().all(|byte| domain_character(*byte)) => {
                format!(
                    "write user@domain, or a pattern: /^<{}@/",
                    shown(word).replace('.', r"\.")
                )
            }
            _ => "write user@domain, or /pattern/".to_owned(),
        };
        self.expected("a mail address", cure)
    }

    /// A host or domain name; it may begin with a dot.
    pub(in super::super) fn domain(&mut self) -> Result<Token<'a>, Fault> {
        self.peek();
        let run = self.run(domain_character);
        let is_number = |text: &[u8]| text.iter().all(u8::is_ascii_digit);
        let behind = self.text.get(run.span.end).copied();
        let ends = behind.is_none_or(|byte| b" \t\r\n#{}\\".contains(&byte));
        if run.text.is_empty() || !ends {
            let cure = match run.text {
                [] if self.byte() == Some(b'*') => {
                    "write the name alone: it stands for all names that end in it"
                }
                [] if self.byte() == Some(b'"') => "write the name without quotes",
                _ => "write a name such as example.org, or /pattern/",
            };
            return Err(self.expected("a host name", cure));
        }
        if is_number(run.text) || ip_address(run.text).is_some() {
            let cure = "write addr for an address, or a pattern such as /^host1\\./";
            return Err(self.expected("a host name", cure));
        }
        self.at = run.span.end;
        Ok(run)
    }

    /// `$name`, without the dollar sign; a minus may stand in it, not at its end.
    pub(in super::super) fn property(&mut self) -> Result<Vec<u8>, Fault> {
        let start = self.position();
        let mut name: &[u8] = b"";
        if self.take_if(b'$') {
            let run = self.run(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
            let minuses = run.text.iter().rev().take_while(|byte| **byte == b'-');
            let length = run.text.len() - minuses.count();
            name = run.text.get(..length).unwrap_or_default();
            self.at += length;
        }
        if name.is_empty() {
            self.at = start;
            let cure = "write a $ and a name, for example $score";
            return Err(self.expected("a property", cure));
        }
        Ok(name.to_vec())
    }

    /// One of the signs, the first that fits.
    pub(in super::super) fn sign<T: Copy>(&mut self, signs: &[(&str, T)]) -> Option<T> {
        self.peek()?;
        let rest = self.text.get(self.at..).unwrap_or_default();
        let (sign, meaning) = signs
            .iter()
            .find(|(sign, _)| rest.starts_with(sign.as_bytes()))?;
        self.at += sign.len();
        Some(*meaning)
    }
}

fn ip_address(text: &[u8]) -> Option<IpAddr> {
    let text = str::from_utf8(text).ok()?;
    if text.contains(':') {
        let address = text.split('%').next().unwrap_or_default();
        return address.parse::<Ipv6Addr>().ok().map(IpAddr::V6);
    }
    let mut numbers = text.split('.').map(|digits| {
        let digits = Some(digits).filter(|digits| (1..=3).contains(&digits.len()))?;
        digits
            .bytes()
            .all(|byte| byte.is_ascii_digit())
            .then_some(())?;
        digits.parse::<u8>().ok()
    });
    let mut next = || numbers.next().flatten();
    let address = Ipv4Addr::new(next()?, next()?, next()?, next()?);
    numbers.next().is_none().then_some(IpAddr::V4(address))
}

/// What names are made of.
pub(in super::super) fn domain_character(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"._-".contains(&byte)
}

/// What the part of an address before the `@` is made of.
fn mailbox_character(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+/=?^_`}{|~.-".contains(&byte)
}
