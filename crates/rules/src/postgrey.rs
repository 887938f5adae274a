//! Postgrey's client and recipient lists, read as Postgrey 1.37 reads them, oddities included;
//! what was hardly meant so is told, and still counts as Postgrey has it.
//!
//! Two things are ours: a pattern that does not compile leaves out its line (Postgrey dies of
//! it), and a line has a longest length.
//!
//! Source: postgrey 1.37, `read_clients_whitelists` and `read_recipients_whitelists`;
//! NetAddr::IP 4.079, asked about each of the known answers below.

mod address;

use std::ops::Range;

use greylatch_core::{Reason, Ruling};

use crate::diagnostic::{Diagnostic, Fault, Lines};
use crate::pattern::{Pattern, between_slashes};
use crate::set::{Draft, Flags};
use crate::tables::{Part, Reading, Test};

/// The entries of a client list in the order of the file.
pub(crate) fn clients(lines: &Lines<'_>, diagnostics: &mut Vec<Diagnostic>) -> Vec<Draft> {
    let ruling = Ruling::Exempt(Reason::ClientListed);
    read(lines, diagnostics, &ruling, client)
}

/// The entries of a recipient list in the order of the file.
pub(crate) fn recipients(lines: &Lines<'_>, diagnostics: &mut Vec<Diagnostic>) -> Vec<Draft> {
    let ruling = Ruling::Exempt(Reason::RecipientListed);
    read(lines, diagnostics, &ruling, recipient)
}

/// What became of one line: perhaps a test, and perhaps something to be said.
#[derive(Default)]
struct Outcome {
    test: Option<(Part, Test)>,
    warning: Option<Fault>,
    error: Option<Fault>,
    postgrey_warns: bool,
}

impl Outcome {
    fn test(part: Part, test: Test) -> Self {
        Self {
            test: Some((part, test)),
            ..Self::default()
        }
    }

    /// Also says something; the places are offsets in the entry.
    fn but(mut self, warning: Option<Fault>) -> Self {
        self.warning = warning;
        self
    }

    fn warning(fault: Fault) -> Self {
        Self::default().but(Some(fault))
    }

    /// Postgrey itself warns of this one.
    fn postgrey_warning(entry: &[u8], message: &str, cure: &str) -> Self {
        Self {
            postgrey_warns: true,
            ..Self::warning(Fault::new(0..entry.len(), message, cure))
        }
    }

    fn error(fault: Fault) -> Self {
        Self {
            error: Some(fault),
            ..Self::default()
        }
    }
}

fn read(
    lines: &Lines<'_>,
    diagnostics: &mut Vec<Diagnostic>,
    ruling: &Ruling,
    classify: fn(&[u8]) -> Outcome,
) -> Vec<Draft> {
    let mut drafts = Vec::new();
    for (start, line) in lines.iter() {
        if line.len() > LINE_MAX {
            let message = format!("this line has more than {LINE_MAX} bytes");
            let fault = Fault::new(start..start, message, "write one entry per line");
            diagnostics.push(lines.error(fault));
            continue;
        }
        let place = entry_in(line);
        let Some(entry) = line.get(place.clone()).filter(|entry| !entry.is_empty()) else {
            continue;
        };
        let outcome = classify(entry);
        let offset = start + place.start;
        if let Some(fault) = outcome.error {
            diagnostics.push(lines.error(fault.moved(offset)));
        }
        let warning = cut_pattern(line, entry).or(outcome.warning);
        if let Some(fault) = warning {
            let warning = lines.warning(fault.moved(offset));
            diagnostics.push(if outcome.postgrey_warns {
                warning.said_by_postgrey()
            } else {
                warning
            });
        }
        drafts.extend(outcome.test.map(|test| Draft {
            reading: Reading::Postgrey,
            line: lines.number(start),
            text: entry.to_vec(),
            tests: vec![test],
            flags: Flags::default(),
            ruling: ruling.clone(),
        }));
    }
    drafts
}

/// Where the entry stands in its line: before the first `#`, without white space around.
fn entry_in(line: &[u8]) -> Range<usize> {
    let end = line.iter().position(|byte| *byte == b'#');
    let text = line.get(..end.unwrap_or(line.len())).unwrap_or_default();
    let first = text.iter().position(|byte| !is_white(*byte));
    let last = text.iter().rposition(|byte| !is_white(*byte));
    match (first, last) {
        (Some(first), Some(last)) => first..last + 1,
        _ => 0..0,
    }
}

fn is_white(byte: u8) -> bool {
    matches!(byte, b'\t'..=b'\r' | b' ')
}

/// A pattern that lost its end to a comment is no pattern any more.
fn cut_pattern(line: &[u8], entry: &[u8]) -> Option<Fault> {
    let whole = line.trim_ascii();
    let cut = entry.len() < whole.len()
        && entry.starts_with(b"/")
        && whole.ends_with(b"/")
        && between_slashes(entry).is_none()
        && !entry.iter().any(|byte| is_white(*byte));
    cut.then(|| {
        Fault::new(
            0..entry.len(),
            "the # begins a comment, so this is a literal name and no pattern",
            "write \\x23 for # in a pattern",
        )
    })
}

fn client(entry: &[u8]) -> Outcome {
    if let Some(pattern) = between_slashes(entry) {
        return pattern_test(Part::Name, pattern);
    }
    if let Some(read) = address::read(entry) {
        return match read {
            Ok((network, oddity)) => {
                Outcome::test(Part::Client, Test::Network(network)).but(oddity)
            }
            Err(fault) => Outcome::warning(fault),
        };
    }
    if entry.iter().any(|byte| is_white(*byte)) {
        return Outcome::postgrey_warning(
            entry,
            "doesn't look like a hostname",
            "write one name or address per line",
        );
    }
    let test = Test::Domain(entry.to_ascii_lowercase());
    Outcome::test(Part::Name, test).but(literal_name(entry))
}

fn recipient(entry: &[u8]) -> Outcome {
    if let Some(pattern) = between_slashes(entry) {
        return pattern_test(Part::Recipient, pattern);
    }
    if entry.iter().any(|byte| is_white(*byte)) {
        return Outcome::postgrey_warning(
            entry,
            "doesn't look like an address",
            "write one address or domain per line",
        );
    }
    let lower = entry.to_ascii_lowercase();
    let at = lower.iter().position(|byte| *byte == b'@');
    let Some((user, domain)) = at.and_then(|at| lower.split_at_checked(at)) else {
        let test = Test::Domain(lower);
        return Outcome::test(Part::Recipient, test).but(literal_domain(entry));
    };
    let domain = domain.get(1..).unwrap_or_default();
    let oddity = user.is_empty().then(|| {
        let bare = String::from_utf8_lossy(domain);
        let cure = if domain.is_empty() {
            "write user@ or a domain".to_owned()
        } else {
            format!("write {bare} for the domain and all below it")
        };
        Fault::new(0..entry.len(), "this matches an empty user only", cure)
    });
    let domain = (!domain.is_empty()).then(|| domain.to_vec());
    let test = Test::Mailbox(user.to_vec(), domain);
    let oddity = oddity.or_else(|| user.contains(&b'*').then(|| star(entry)).flatten());
    Outcome::test(Part::Recipient, test).but(oddity)
}

fn pattern_test(part: Part, pattern: &[u8]) -> Outcome {
    match Pattern::read(pattern) {
        Ok(pattern) => Outcome::test(part, Test::Pattern(pattern)),
        Err(fault) => Outcome::error(fault.moved(1)),
    }
}

/// Names that can hardly mean what they match: all characters are literal.
fn literal_name(entry: &[u8]) -> Option<Fault> {
    let whole = 0..entry.len();
    let text = String::from_utf8_lossy(entry);
    if entry.contains(&b'@') {
        return Some(Fault::new(
            whole,
            "this is a literal host name, no client has one with @",
            "put addresses into the recipient list",
        ));
    }
    let numeric = |byte: &u8| byte.is_ascii_digit() || b"./-".contains(byte);
    if entry.iter().all(numeric) {
        return Some(Fault::new(
            whole,
            "this is a literal host name and matches no address",
            "write a whole address or a network such as 192.0.2.0/24",
        ));
    }
    if let Some(bare) = text.strip_prefix('!') {
        let cure = format!("leave {bare} out: a list cannot take anything back");
        return Some(Fault::new(
            whole,
            "this is a literal host name, ! has no meaning",
            cure,
        ));
    }
    literal_domain(entry)
}

fn literal_domain(entry: &[u8]) -> Option<Fault> {
    let text = String::from_utf8_lossy(entry);
    if let Some(bare) = text.strip_prefix('.') {
        return Some(Fault::new(
            0..entry.len(),
            "a dot in front is literal, so two dots are needed to match",
            format!("write {bare}, which is the domain and all below it"),
        ));
    }
    star(entry).or_else(|| {
        entry.contains(&b'/').then(|| {
            Fault::new(
                0..entry.len(),
                "this is a literal name and no pattern",
                "write /pattern/, or a name without slashes",
            )
        })
    })
}

fn star(entry: &[u8]) -> Option<Fault> {
    let at = entry.iter().position(|byte| *byte == b'*')?;
    let text = String::from_utf8_lossy(entry);
    let cure = match text.strip_prefix("*.").or_else(|| text.strip_prefix("*@")) {
        Some(domain) => format!("write {domain}, which is the domain and all below it"),
        None => "write a pattern between slashes".to_owned(),
    };
    Some(Fault::new(at..at + 1, "the star is literal", cure))
}

/// The longest line, in bytes.
const LINE_MAX: usize = 4_096;
