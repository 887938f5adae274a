//! What both have answered, and which differences are allowed.

use std::net::Ipv6Addr;

use super::kept::Kept;
use super::waits::clock_seconds;
use super::{GreylistOutcome, Leave};
use crate::clock::EPISODE_START;
use crate::greylist_conf::GreylistConf;
use crate::greylist_traffic::Session;

impl GreylistOutcome {
    pub(super) fn compare_answers(
        &mut self,
        kept: &mut Kept<'_>,
        (number, session): (usize, &Session),
        (known, tried): (&[Vec<String>], &[Vec<String>]),
    ) {
        let (all, ours) = (known, tried);
        for (place, step) in session.steps.iter().enumerate() {
            let [known, tried] = [known, tried].map(|heard| &heard[place]);
            self.answers += usize::from(!known.is_empty());
            if let Some(allowed) = kept.follow((number, session), place, (known, tried)) {
                self.note(allowed);
                continue;
            }
            if known == tried || kept.is_of_apart(number, step.message) {
                continue;
            }
            let earlier = session.steps[..place].iter().zip(all);
            let accepted_before = earlier
                .filter(|(one, said)| one.command == 'R' && **said == ["c"])
                .any(|(one, _)| one.message < step.message);
            let before = Before {
                accepted: accepted_before,
                session,
                message: step.message,
                ours,
            };
            if let Some(allowed) = allowed_answer(kept.conf, &before, known, tried) {
                self.note(allowed);
                continue;
            }
            let shown: Vec<String> = session.steps[..=place]
                .iter()
                .map(|step| format!("{} {}", step.command, short(&step.content)))
                .collect();
            self.differences.push(format!(
                "{}, session {number} at +{} s:\n  {}\n  original: {known:?}\n  ours:     {tried:?}\n",
                kept.conf.name,
                session.at - EPISODE_START,
                shown.join("\n  ")
            ));
            return;
        }
    }
}

/// The first bytes of a packet, to be read.
fn short(content: &[u8]) -> String {
    content[..content.len().min(120)].escape_ascii().to_string()
}

/// The earlier messages of a connection.
struct Before<'s> {
    /// One of them had a recipient.
    accepted: bool,
    session: &'s Session,
    /// The number of this message.
    message: usize,
    /// What ours has said to each step.
    ours: &'s [Vec<String>],
}

impl Before<'_> {
    /// Whether one of them was delayed for this long, or may have been, since
    /// its header was not asked for.
    fn was_delayed(&self, delay: &str) -> bool {
        let heard = |message: usize, command: char| {
            let all = self.session.steps.iter().zip(self.ours);
            all.filter(move |(step, _)| (step.message, step.command) == (message, command))
                .map(|(_, said)| said)
        };
        let told = format!("hX-Greylist\\x00Delayed for {delay}");
        (1..self.message).any(|message| {
            let accepted = heard(message, 'R').any(|said| said == &["c"]);
            let headers: Vec<&String> = heard(message, 'E')
                .flatten()
                .filter(|said| said.starts_with("hX-Greylist"))
                .collect();
            let is_told = headers.iter().any(|header| header.starts_with(&told));
            // A rule may have a text of its own.
            let is_silent = !headers.iter().any(|header| header.contains("elayed "));
            accepted && (is_silent || is_told)
        })
    }
}

fn allowed_answer(
    conf: &GreylistConf,
    before: &Before<'_>,
    known: &[String],
    tried: &[String],
) -> Option<Leave> {
    if let ([known], [tried]) = (known, tried)
        && known.starts_with('y')
    {
        return allowed_reply(conf, known, tried);
    }
    let header = |said: &[String]| {
        let mut own = said.iter();
        own.find(|one| one.starts_with("hX-Greylist\\x00")).cloned()
    };
    let without = |said: &[String]| -> Vec<String> {
        let own = said
            .iter()
            .filter(|one| !one.starts_with("hX-Greylist\\x00"));
        // A header of this rule's own says the same.
        let elapsed = elapsed_header(&header(said).unwrap_or_default());
        own.filter(|one| **one != elapsed).cloned().collect()
    };
    if without(known) != without(tried) {
        return None;
    }
    let [known, tried] = [known, tried].map(|said| header(said).unwrap_or_default());
    if conf.defers_messages() && says_no_time(&known, &tried) == Some(true) {
        return Some(Leave::DelayAtTheEnd);
    }
    if conf.text.starts_with("report nodelays\n") && known.is_empty() {
        // It takes the message for a delayed one.
        let is_not = tried.contains(", not delayed by ");
        return (before.was_delayed("") && is_not).then_some(Leave::DelayOfAnotherMessage);
    }
    if let Some(delay) = delay_in(&known) {
        // Both have two digits or more in each part, so that the longer text or the greater one is
        // the longer time.
        let own = delay_in(&tried).unwrap_or_default();
        let is_longer = (own.len(), own) < (delay.len(), delay);
        let is_another = is_longer && before.was_delayed(delay);
        return is_another.then_some(Leave::DelayOfAnotherMessage);
    }
    if conf.text.starts_with("greylist 0\n") && before.accepted {
        let (_, known) = known.split_once(", not delayed by ")?;
        let (reason, tried) = tried.split_once(" matched, not delayed by ")?;
        let is_rule = reason.starts_with("hX-Greylist\\x00ACL ");
        return (is_rule && known == tried).then_some(Leave::ReasonOfAnotherMessage);
    }
    if conf.name != "nolog" {
        return None;
    }
    let (start, rest) = known.split_once(", ACL ")?;
    let (_, rest) = rest.split_once(" matched")?;
    (format!("{start}{rest}") == tried).then_some(Leave::ReasonOfNolog)
}

/// Whether one header says no time where the other says some.
fn says_no_time(known: &str, tried: &str) -> Option<bool> {
    let (before, after) = known.split_once("00:00:00")?;
    let time = tried.strip_prefix(before)?.strip_suffix(after)?;
    Some(clock_seconds(time)? > 0)
}

/// What `addheader "X-Elapsed: %E %Et %S"` makes of the delay in a header.
fn elapsed_header(header: &str) -> String {
    let delay = delay_in(header).unwrap_or("00:00:00");
    let seconds = clock_seconds(delay).unwrap_or(0);
    format!("hX-Elapsed\\x00{delay} {seconds} \\x00")
}

/// How long a header says that its message was delayed.
fn delay_in(header: &str) -> Option<&str> {
    let (_, rest) = header.split_once("Delayed for ")?;
    rest.split_once(' ').map(|(delay, _)| delay)
}

fn allowed_reply(conf: &GreylistConf, known: &str, tried: &str) -> Option<Leave> {
    let single = tried.replace("%%", "%");
    if known == single {
        return Some(Leave::PercentDoubled);
    }
    if without_negatives(known) == without_negatives(&single) {
        return Some(Leave::NegativeTime);
    }
    if known == with_plain_ipv6(&single) {
        return Some(Leave::ReversedIpv6);
    }
    let wait = |reply: &str| {
        let (before, wait) = reply.rsplit_once(" in ")?;
        let wait = clock_seconds(wait.strip_suffix("\\x00")?)?;
        Some((before.to_owned(), wait))
    };
    if conf.defers_messages()
        && let Some(((known, shorter), (tried, longer))) = wait(known).zip(wait(tried))
    {
        let is_longer = known == tried && shorter < longer;
        return is_longer.then_some(Leave::WaitOfAnotherRecipient);
    }
    if !conf.text.contains(" code ") {
        return None;
    }
    // `y` and the code stand in front.
    let (code, status) = known.split_at_checked(5)?;
    let class = code.get(1..2)?;
    let mended = format!("{code}{class}{}", status.get(1..)?);
    (mended == single).then_some(Leave::StatusOfTheCode)
}

/// A reply with 0 in place of times before the first attempt.
fn without_negatives(reply: &str) -> String {
    let words = reply.split(' ').map(|word| match word.split_once("00:-") {
        Some(("00:", _)) => "00:00:00",
        _ if word.starts_with('-') => "0",
        _ => word,
    });
    words.collect::<Vec<&str>>().join(" ")
}

/// A reply with an address of IPv6 in place of its half octets, the last first.
fn with_plain_ipv6(reply: &str) -> String {
    let words = reply.split(' ').map(|word| {
        let halves: Vec<&str> = word.split('.').rev().collect();
        let is_half = |half: &&str| half.len() == 1 && u8::from_str_radix(half, 16).is_ok();
        if halves.len() != 32 || !halves.iter().all(is_half) {
            return word.to_owned();
        }
        let address = u128::from_str_radix(&halves.concat(), 16);
        address.map_or(word.to_owned(), |bits| Ipv6Addr::from(bits).to_string())
    });
    words.collect::<Vec<String>>().join(" ")
}
