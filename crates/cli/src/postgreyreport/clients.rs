//! Lists of clients that a report leaves out or keeps to.
//!
//! Not Postgrey's own lists, which have another grammar: here an address is the beginning of one, and
//! a name the end of one, without regard for the dots between.
//!
//! Source: postgreyreport 1.14.3 as observed by running it.

use std::fs;
use std::path::Path;

use greylatch_report::Deferred;
use greylatch_rules::{LetterCase, PerlPattern};

/// The clients of some files.
#[derive(Debug, Default)]
pub(super) struct ClientList {
    /// Beginnings of addresses.
    addresses: Vec<Vec<u8>>,
    /// Ends of names, in lower case.
    names: Vec<Vec<u8>>,
    patterns: Vec<PerlPattern>,
}

/// One entry of a file.
enum Entry<'a> {
    Nothing,
    Address(&'a [u8]),
    Name(&'a [u8]),
    Pattern(&'a [u8]),
    Strange,
}

impl ClientList {
    /// Reads files; one that cannot be read has no clients, as in the original, but here that is told.
    ///
    /// # Errors
    /// The first pattern that is none.
    pub(super) fn read(files: &[String], remark: &mut impl FnMut(String)) -> Result<Self, String> {
        let mut list = Self::default();
        for file in files {
            match fs::read(Path::new(file)) {
                Ok(text) => list.add(file, &text, remark)?,
                Err(error) => remark(format!("WARNING: {file}: {error}; it counts as empty")),
            }
        }
        Ok(list)
    }

    fn add(
        &mut self,
        file: &str,
        text: &[u8],
        remark: &mut impl FnMut(String),
    ) -> Result<(), String> {
        for (number, line) in (1..).zip(text.split(|byte| *byte == b'\n')) {
            match entry(line) {
                Entry::Nothing => {}
                Entry::Address(beginning) => self.addresses.push(beginning.to_vec()),
                Entry::Name(end) => self.names.push(end.to_ascii_lowercase()),
                Entry::Pattern(pattern) => {
                    let wrong = |why| format!("{file} line {number}: {why}");
                    let pattern = PerlPattern::new(pattern, LetterCase::Ignored).map_err(wrong)?;
                    self.patterns.push(pattern);
                }
                Entry::Strange => remark(format!(
                    "WARNING: {file} line {number}: doesn't look like a hostname"
                )),
            }
        }
        Ok(())
    }

    /// Whether the client is one of these.
    pub(super) fn has(&self, client: &Deferred<'_>) -> bool {
        let (name, address) = (client.client_name, client.client_address);
        self.addresses
            .iter()
            .any(|beginning| address.starts_with(beginning))
            || self.names.iter().any(|end| ends_with(name, end))
            || self.patterns.iter().any(|pattern| pattern.is_in(name))
    }
}

fn entry(line: &[u8]) -> Entry<'_> {
    let text = line.trim_ascii();
    let pattern = text
        .strip_prefix(b"/")
        .and_then(|text| text.strip_suffix(b"/"))
        .filter(|pattern| !pattern.is_empty());
    match pattern {
        _ if text.is_empty() || text.starts_with(b"#") => Entry::Nothing,
        _ if text.iter().any(u8::is_ascii_whitespace) => Entry::Strange,
        Some(pattern) => Entry::Pattern(pattern),
        None if is_address_beginning(text) => Entry::Address(text),
        None => Entry::Name(text),
    }
}

/// One to four groups of one to three digits with dots between them.
fn is_address_beginning(text: &[u8]) -> bool {
    let groups: Vec<&[u8]> = text.split(|byte| *byte == b'.').collect();
    let is_group =
        |group: &&[u8]| (1..=3).contains(&group.len()) && group.iter().all(u8::is_ascii_digit);
    groups.len() <= 4 && groups.iter().all(is_group)
}

fn ends_with(name: &[u8], end: &[u8]) -> bool {
    let start = name.len().checked_sub(end.len());
    start.is_some_and(|start| name[start..].eq_ignore_ascii_case(end))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The names and addresses of clients that a list of this text has, and what is remarked.
    fn listed(text: &str) -> (Vec<&'static str>, Vec<String>) {
        let mut remarks = Vec::new();
        let mut list = ClientList::default();
        list.add("FILE", text.as_bytes(), &mut |remark| remarks.push(remark))
            .expect("patterns that are some");
        let clients = [
            ("mx.fatal.example", "192.0.2.10"),
            ("MX.NotFatal.Example", "192.0.20.11"),
            ("unknown", "198.51.100.13"),
            ("a#b.example", "10.1.2.30"),
            ("10.x", "10.11.2.30"),
            ("dot.example.", "203.0.113.10"),
        ];
        let is_listed = |(name, address): &(&str, &str)| {
            list.has(&Deferred {
                client_name: name.as_bytes(),
                client_address: address.as_bytes(),
                sender: b"a@b",
                recipient: b"c@d",
            })
        };
        let names = clients.into_iter().filter(is_listed).map(|(name, _)| name);
        (names.collect(), remarks)
    }

    #[test]
    fn entries_match_as_in_the_original() {
        let fatal = ["mx.fatal.example", "MX.NotFatal.Example"];
        for (text, expected) in [
            ("192.0.2", &fatal[..]),
            ("192.0.2.1\n", &fatal[..1]),
            ("10", &["a#b.example", "10.x"]),
            ("10.1.2.3", &["a#b.example"]),
            ("192.0.2.", &[]),
            ("192.0.2.0/24", &[]),
            ("1.2.3.4.5", &[]),
            ("1234", &[]),
            (" fatal.EXAMPLE \r\n", &fatal),
            (".fatal.example", &fatal[..1]),
            (".", &["dot.example."]),
            ("/FATAL/", &fatal),
            ("/a#b/", &["a#b.example"]),
            (r"/10\.1/", &[]),
            ("//", &[]),
            ("/fatal", &[]),
            ("fatal.example#c", &[]),
            (" # fatal.example\n\n#x", &[]),
            ("unknown\nfatal.example", &[fatal[0], fatal[1], "unknown"]),
        ] {
            assert_eq!(listed(text), (expected.to_vec(), vec![]), "{text:?}");
        }
    }

    #[test]
    fn an_entry_with_a_blank_in_it_is_remarked() {
        assert_eq!(
            listed("fatal.example # c\n/a b/\nunknown"),
            (
                vec!["unknown"],
                vec![
                    "WARNING: FILE line 1: doesn't look like a hostname".to_owned(),
                    "WARNING: FILE line 2: doesn't look like a hostname".to_owned(),
                ]
            )
        );
    }
}
