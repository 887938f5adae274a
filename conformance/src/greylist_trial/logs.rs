//! What both have logged, message by message.

use std::collections::BTreeMap;

use super::kept::Kept;
use super::waits::{Waits, clock_seconds};
use super::{GreylistOutcome, Leave};
use crate::dev_log::LogLine;
use crate::greylist_conf::GreylistConf;

/// How the lines begin that tell of files, start and end, and differ from run
/// to run. They have tests of their own.
const OF_THE_DAEMON: &[&str] = &[
    "cannot read dumpfile ",
    "starting with an empty greylist",
    "smfi_main() returned ",
    "Final database dump",
    "dumping ",
    "reloading config file ",
    "reloaded config file ",
    // What libmilter says.
    "greylist: ",
];

/// What stands in such lines of ours: start and end, and remarks on the
/// configuration.
const IN_OUR_OWN: &[&str] = &[
    " milter-greylist starting, process ",
    " stopping",
    "/ours/greylist.conf:",
];

/// The original looks at no byte of a message when the first rule of the file
/// has decided.
const LOOKS_AT_NOTHING: &str = ": ignoring message beyond maxpeek = 0";

impl GreylistOutcome {
    pub(super) fn compare_logs(
        &mut self,
        kept: &Kept<'_>,
        times: &[i64],
        (known, tried): (Vec<LogLine>, Vec<LogLine>),
    ) {
        let conf = kept.conf;
        self.check_waits(kept, times, &known, &tried);
        let is_own = |line: &LogLine| line.text.contains(" accepted after ");
        let (own, tried): (Vec<LogLine>, Vec<LogLine>) = tried.into_iter().partition(is_own);
        for _ in own {
            self.note(Leave::AcceptanceLine);
        }
        self.log_lines += known.len();
        let mut both = Vec::with_capacity(known.len());
        for line in known {
            match allowed_alone(&line.text) {
                Some(allowed) => self.note(allowed),
                None => both.push(line),
            }
        }
        let known = both;
        let [known, tried] = [known, tried].map(by_message);
        let mut ids: Vec<&String> = known.keys().chain(tried.keys()).collect();
        ids.sort();
        ids.dedup();
        for id in ids {
            let [known, tried] = [&known, &tried].map(|lines| lines.get(id));
            if known == tried || kept.is_id_of_apart(id) {
                continue;
            }
            match known.zip(tried).and_then(|both| allowed_lines(conf, both)) {
                Some(allowed) => self.note(allowed),
                None => self.differences.push(format!(
                    "{}: log of {id:?}\n  original: {known:#?}\n  ours:     {tried:#?}\n",
                    conf.name
                )),
            }
        }
    }

    /// Checks what only ours says: how long a recipient had waited that passes.
    fn check_waits(
        &mut self,
        kept: &Kept<'_>,
        times: &[i64],
        known: &[LogLine],
        tried: &[LogLine],
    ) {
        let mut waits = Waits::new(kept.conf);
        for (number, at) in times.iter().enumerate() {
            let of_session = format!("s{}m", number + 1);
            let is_of = |line: &&LogLine| line.text.starts_with(&of_session);
            let faults = waits.session(
                *at,
                known.iter().filter(is_of).map(|line| line.text.as_str()),
                tried.iter().filter(is_of).map(|line| line.text.as_str()),
            );
            for (triplet, fault) in faults {
                if !kept.is_apart(&triplet) {
                    self.differences
                        .push(format!("{}: {fault}\n", kept.conf.name));
                }
            }
        }
    }
}

/// A line that only the original has.
fn allowed_alone(line: &str) -> Option<Leave> {
    let looks_at_nothing = line.ends_with(LOOKS_AT_NOTHING);
    let overrides = line.starts_with("domainexact option overrides ");
    match (looks_at_nothing, overrides) {
        (true, _) => Some(Leave::FirstRuleLooksAtNothing),
        (_, true) => Some(Leave::LineOfDomainexact),
        _ => None,
    }
}

/// Lines by the queue id before the first colon; those without one by the text
/// `other`.
fn by_message(lines: Vec<LogLine>) -> BTreeMap<String, Vec<String>> {
    let mut messages: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for line in lines {
        if is_of_the_daemon(&line.text) {
            continue;
        }
        let id = line.text.split_once(": ").map_or("", |(id, _)| id);
        let is_id = id.starts_with('s') && id.contains('m') && id.len() < 9;
        // These come whenever somebody comes upon the entry.
        let is_over = line.text.ends_with(": greylisted entry timed out");
        let id = match (is_id, is_over) {
            (true, _) => id,
            (_, true) => "over",
            _ => "other",
        };
        let id = id.to_owned();
        // Facility and severity, name and text.
        let line = format!("<{}>{}: {}", line.priority, line.ident, line.text);
        messages.entry(id).or_default().push(line);
    }
    if let Some(over) = messages.get_mut("over") {
        over.sort();
    }
    messages
}

fn is_of_the_daemon(line: &str) -> bool {
    let mut starts = OF_THE_DAEMON.iter();
    let mut parts = IN_OUR_OWN.iter();
    starts.any(|start| line.starts_with(start)) || parts.any(|part| line.contains(part))
}

/// Lines that differ in a number only: how many entries were removed, or of a
/// message that was deferred at its end how long is left, since the original
/// tells of another recipient than the slowest.
fn allowed_lines(
    conf: &GreylistConf,
    (known, tried): (&Vec<String>, &Vec<String>),
) -> Option<Leave> {
    if known.len() != tried.len() {
        return None;
    }
    let all = known.iter().zip(tried).all(|(known, tried)| {
        let removed = without_count(known).zip(without_count(tried));
        let is_more = |((known, all), (tried, live))| known == tried && all > live;
        known == tried || removed.is_some_and(is_more)
    });
    if all {
        return Some(Leave::RemovedCount);
    }
    if !conf.defers_messages() {
        return None;
    }
    let all = known.iter().zip(tried).all(|(known, tried)| {
        let is_longer = || {
            let (known, shorter) = without_wait(known)?;
            let (tried, longer) = without_wait(tried)?;
            Some(known == tried && shorter < longer)
        };
        known == tried || is_longer() == Some(true)
    });
    all.then_some(Leave::WaitOfAnotherRecipient)
}

/// A line that says how many entries were removed, and their count.
fn without_count(line: &str) -> Option<([&str; 2], u64)> {
    let (before, rest) = line.split_once(" flushed, removed ")?;
    let (count, after) = rest.split_once(' ')?;
    Some(([before, after], count.parse().ok()?))
}

/// A line that says how long is left, and that length in seconds. The rule
/// belongs to it.
fn without_wait(line: &str) -> Option<(&str, i64)> {
    let (before, rest) = line
        .split_once(" delayed for ")
        .or_else(|| line.split_once(" delayed after DATA phase for "))?;
    let (wait, _rule) = rest.split_once(' ')?;
    Some((before, clock_seconds(wait)?))
}
