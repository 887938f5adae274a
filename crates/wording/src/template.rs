//! Texts of the administrator with places to fill in: the reply of a deferral, and the header of
//! mail that waited. Each place is filled once, as in Postgrey.

use greylatch_core::{Reply, Seconds};

use crate::escape::escape;

/// The text of a deferral: the first `%s` stands for the seconds left, the first `%r` for the
/// recipient's domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplyTemplate {
    parts: Vec<Part>,
    has_status: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Wait,
    Domain,
}

/// The seconds left have no more digits.
const WAIT_BYTES: usize = 20;

impl ReplyTemplate {
    /// A template as the administrator wrote it.
    #[must_use]
    pub fn new(text: &str) -> Self {
        let mut parts = vec![Part::Text(text.into())];
        mark(&mut parts, "%s", Part::Wait);
        mark(&mut parts, "%r", Part::Domain);
        Self {
            parts,
            has_status: text.starts_with(|first: char| first.is_ascii_digit()),
        }
    }

    /// The reply for one recipient. A text that begins with a digit brings its own status.
    #[must_use]
    pub fn fill(&self, wait: Seconds, recipient: &[u8]) -> Reply {
        let domain = recipient
            .rsplit(|byte| *byte == b'@')
            .next()
            .unwrap_or(recipient);
        let bytes = self.parts.iter().map(|part| match part {
            Part::Text(text) => text.len(),
            Part::Wait => WAIT_BYTES,
            Part::Domain => domain.len(),
        });
        let mut text = Vec::with_capacity(bytes.sum());
        for part in &self.parts {
            match part {
                Part::Text(part) => text.extend_from_slice(part.as_bytes()),
                Part::Wait => text.extend_from_slice(wait.0.to_string().as_bytes()),
                Part::Domain => escape(&mut text, domain),
            }
        }
        Reply {
            text,
            has_status: self.has_status,
        }
    }
}

/// Sets `place` in the first text that holds these `letters`.
fn mark(parts: &mut Vec<Part>, letters: &str, place: Part) {
    let split = |part: &Part| match part {
        Part::Text(text) => text.split_once(letters).map(|(before, after)| {
            let [before, after] = [before, after].map(|text| Part::Text(text.into()));
            [before, place.clone(), after]
        }),
        Part::Wait | Part::Domain => None,
    };
    let mut found = parts.iter().enumerate();
    if let Some((nth, three)) = found.find_map(|(nth, part)| Some((nth, split(part)?))) {
        parts.splice(nth..=nth, three);
    }
}

/// The header of mail that waited: the first `%t` stands for the seconds, `%v` for the version,
/// `%d` for the date, `%h` for the host, filled in that order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeaderTemplate {
    text: Vec<u8>,
    version: Vec<u8>,
    host: Vec<u8>,
}

impl HeaderTemplate {
    /// A template as the administrator wrote it, and what stays the same in every header.
    #[must_use]
    pub fn new(text: &str, version: &str, host: &str) -> Self {
        Self {
            text: text.as_bytes().to_vec(),
            version: version.as_bytes().to_vec(),
            host: host.as_bytes().to_vec(),
        }
    }

    /// Whether there is to be a header at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// The header line for mail that waited so long, without a line end.
    #[must_use]
    pub fn fill(&self, waited: Seconds, date: &str) -> Vec<u8> {
        let text = replace_first(&self.text, b"%t", waited.0.to_string().as_bytes());
        let text = replace_first(&text, b"%v", &self.version);
        let text = replace_first(&text, b"%d", date.as_bytes());
        replace_first(&text, b"%h", &self.host)
    }
}

fn replace_first(text: &[u8], place: &[u8], value: &[u8]) -> Vec<u8> {
    match text.windows(place.len()).position(|window| window == place) {
        Some(at) => [&text[..at], value, &text[at + place.len()..]].concat(),
        None => text.to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_place_of_a_reply_is_filled_once() {
        let template = ReplyTemplate::new("%s left %s for %r and %r 100%");
        let reply = template.fill(Seconds(300), b"bob@a@Example.org");
        assert_eq!(reply.text, b"300 left %s for Example.org and %r 100%");
        assert!(!reply.has_status);
        assert_eq!(
            ReplyTemplate::new("%r").fill(Seconds(1), b"nodomain").text,
            b"nodomain"
        );
        assert!(
            ReplyTemplate::new("4.7.1 mytext")
                .fill(Seconds(1), b"")
                .has_status
        );
    }

    #[test]
    fn a_header_names_what_waited_and_where() {
        let text = "X-Greylist: delayed %t seconds by postgrey-%v at %h; %d %t";
        let template = HeaderTemplate::new(text, "1.37", "mx");
        assert_eq!(
            template.fill(Seconds(4), "DATE"),
            b"X-Greylist: delayed 4 seconds by postgrey-1.37 at mx; DATE %t"
        );
    }
}
