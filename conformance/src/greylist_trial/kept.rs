//! Triplets that ours still knows when they are over for the original: since
//! an entry that has passed is not written at each attempt, ours remembers it
//! for up to a 64th of its lifetime longer. From then on both go different
//! ways with that triplet.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;

use super::Leave;
use super::dumps::{first_of, lifetimes};
use crate::greylist_conf::GreylistConf;
use crate::greylist_traffic::Session;

/// What has passed when, and what is no longer compared.
pub(crate) struct Kept<'c> {
    pub(crate) conf: &'c GreylistConf,
    /// When the original let a triplet pass.
    passes: HashMap<String, Vec<i64>>,
    apart: HashSet<String>,
    /// Messages to a recipient whose triplet is apart: session and number.
    messages: HashSet<(usize, usize)>,
}

impl<'c> Kept<'c> {
    pub(crate) fn new(conf: &'c GreylistConf) -> Self {
        Self {
            conf,
            passes: HashMap::new(),
            apart: HashSet::new(),
            messages: HashSet::new(),
        }
    }

    /// Follows the answers to a step; says so when they differ because ours has
    /// kept what is over.
    pub(crate) fn follow(
        &mut self,
        (number, session): (usize, &Session),
        place: usize,
        (known, tried): (&[String], &[String]),
    ) -> Option<Leave> {
        let triplet = triplet_at(self.conf, session, place)?;
        let message = (number, session.steps.get(place)?.message);
        if self.apart.contains(&triplet) {
            self.messages.insert(message);
            return None;
        }
        let passes = self.passes.entry(triplet.clone()).or_default();
        if known == ["c"] {
            passes.push(session.at);
        }
        let is_deferred = known.iter().any(|said| said.starts_with("y4"));
        let at = session.at;
        let over = passes.iter().flat_map(|pass| {
            let lifetimes = lifetimes(self.conf).into_iter();
            lifetimes.map(move |lifetime| (lifetime, at - pass - lifetime))
        });
        let is_kept =
            |(lifetime, over): (i64, i64)| (1..=(lifetime / 64).min(3_600)).contains(&over);
        if is_deferred && tried == ["c"] && over.into_iter().any(is_kept) {
            self.apart.insert(triplet);
            self.messages.insert(message);
            return Some(Leave::KeptLonger);
        }
        None
    }

    /// Whether a triplet is no longer compared.
    pub(crate) fn is_apart(&self, triplet: &str) -> bool {
        self.apart.contains(triplet)
    }

    /// Whether a message is not compared.
    pub(crate) fn is_of_apart(&self, session: usize, message: usize) -> bool {
        self.messages.contains(&(session, message))
    }

    /// The same by its queue id.
    pub(crate) fn is_id_of_apart(&self, id: &str) -> bool {
        let numbers = id.strip_prefix('s').and_then(|id| id.split_once('m'));
        let numbers = numbers
            .and_then(|(session, message)| Some((session.parse().ok()?, message.parse().ok()?)));
        numbers.is_some_and(|(session, message)| self.is_of_apart(session, message))
    }
}

/// A triplet in words, as lines of the log name it: `IP] from F to R`, its
/// client by the first address of its network.
pub(crate) fn triplet(
    conf: &GreylistConf,
    client: IpAddr,
    sender: &str,
    recipient: &str,
) -> String {
    format!("{}] from {sender} to {recipient}", first_of(client, conf))
}

/// The triplet that a step names last; `None` of another step than RCPT.
fn triplet_at(conf: &GreylistConf, session: &Session, place: usize) -> Option<String> {
    let (last, before) = session.steps.get(..=place)?.split_last()?;
    if last.command != 'R' {
        return None;
    }
    let content_of = |command: char| {
        let step = before.iter().rev().find(|step| step.command == command)?;
        Some(String::from_utf8_lossy(&step.content).into_owned())
    };
    let connect = before.iter().find(|step| step.command == 'C')?;
    // The name, then a letter and a port of two bytes, then the address.
    let name = connect.content.iter().position(|byte| *byte == 0)?;
    let address = connect.content.get(name + 4..)?;
    let address = str::from_utf8(address).ok()?.trim_end_matches('\0');
    let sender = content_of('M')?;
    let sender = sender.trim_end_matches('\0');
    let sender = match sender.rsplit_once('=') {
        Some((_, untagged)) => format!("<{untagged}"),
        None => sender.to_owned(),
    };
    let recipient = String::from_utf8_lossy(&last.content);
    let recipient = recipient.trim_end_matches('\0');
    Some(triplet(conf, address.parse().ok()?, &sender, recipient))
}
