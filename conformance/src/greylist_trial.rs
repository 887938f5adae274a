//! Ours and the real milter-greylist, the same packets, the same clock: what
//! differs?
//!
//! Answers and changes of messages are compared as they come, log lines by the
//! message that they tell of, and at the end what both dump. What may differ is
//! listed in [`Leave`]; all else is reported.

mod dumps;
mod logs;
mod ours;
mod waits;

use std::collections::BTreeMap;
use std::net::Ipv6Addr;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};

use self::dumps::{Times, rows};
use self::ours::Ours;
use self::waits::clock_seconds;
use crate::clock::{Clock, EPISODE_START};
use crate::dev_log::LogLine;
use crate::greylist_conf::GreylistConf;
use crate::greylist_traffic::{Session, Sessions};
use crate::greylister::Endpoint;
use crate::milter::{MilterClient, Offer};
use crate::milter_greylist::MilterGreylist;
use crate::process::scratch_folder;

/// The differences that are allowed, each with its reason in the manual's page
/// on milter-greylist.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Leave {
    /// The original tells of the longest delay of any message of a connection.
    DelayOfAnotherMessage,
    /// Where no rule and no memory let a recipient pass, but a delay of zero, the
    /// original tells the reason of an earlier message, or none.
    ReasonOfAnotherMessage,
    /// Of a message that is deferred at its end the original tells how long some
    /// recipient has to wait, ours of the slowest.
    WaitOfAnotherRecipient,
    /// The first rule of a file keeps the original from looking at a message.
    FirstRuleLooksAtNothing,
    /// The original says each time what `domainexact` changes.
    LineOfDomainexact,
    /// The original does not turn an address of IPv6 around.
    ReversedIpv6,
    /// Ours writes an entry that has passed when that matters.
    TouchedLazily,
    /// After `nolog` the original adds a reason that says nothing.
    ReasonOfNolog,
    /// Ours writes a line when a recipient passes after its delay.
    AcceptanceLine,
    /// Postfix takes no status of another class than the code's.
    StatusOfTheCode,
    /// Sendmail and Postfix read `%%` as `%`, and a lone one as a mistake.
    PercentDoubled,
}

/// What came of one configuration.
#[derive(Debug, Default)]
pub struct GreylistOutcome {
    /// Connections to each program.
    pub sessions: usize,
    /// Answers to recipients and ends of messages that were compared.
    pub answers: usize,
    /// Lines of the original's log that were compared.
    pub log_lines: usize,
    /// Rows of the original's dump that were compared.
    pub rows: usize,
    /// How often each allowed difference was seen.
    pub allowed: BTreeMap<Leave, usize>,
    /// Descriptions of the others.
    pub differences: Vec<String>,
}

/// Runs `sessions` random sessions under `conf`; `ours` stands in for its
/// statements on our side, to see that a difference is noticed.
///
/// # Errors
/// When a program cannot be started, ends, or does not answer at all.
pub fn compare_greylists(
    conf: &GreylistConf,
    ours: Option<&str>,
    seed: u64,
    sessions: usize,
) -> Result<GreylistOutcome> {
    let folder = scratch_folder()?;
    let mut clock = Clock::new(folder.path(), EPISODE_START)?;
    let text = format!("{}nospf\n", ours.unwrap_or(conf.text));
    // What is put before the statements of each has three lines.
    let real = MilterGreylist::start(folder.path(), conf.text, &clock)?;
    let ours = Ours::start(&folder.path().join("ours"), &text, &clock)?;
    let ends = [real.endpoint(), ours.endpoint()];
    let mut traffic = Sessions::new(seed_of(conf, seed), conf.single);
    let mut outcome = GreylistOutcome::default();
    let mut times = Vec::with_capacity(sessions);
    for number in 1..=sessions {
        let session = traffic.session();
        if session.at != clock.now() {
            clock.set(session.at)?;
        }
        times.push(session.at);
        let [known, tried] = [0, 1].map(|side| play(&ends[side], &session));
        let about = || format!("{}, seed {seed}, session {number}", conf.name);
        let known = known.with_context(about)?;
        let tried = tried.with_context(about)?;
        outcome.sessions += 1;
        outcome.compare_answers((conf, &about()), &session, &known, &tried);
    }
    // Both write their logs from threads of their own.
    let logs = (when_quiet(|| real.log())?, when_quiet(|| ours.log())?);
    outcome.compare_logs(conf, &times, logs);
    let dumps = (real.stop()?, ours.stop()?);
    outcome.compare_dumps(conf, (&dumps.0, &dumps.1), clock.now());
    Ok(outcome)
}

/// Each configuration has sessions of its own.
fn seed_of(conf: &GreylistConf, seed: u64) -> u64 {
    let letters = conf.name.bytes();
    letters.fold(seed, |seed, letter| {
        seed.wrapping_mul(31).wrapping_add(u64::from(letter))
    })
}

/// What a log holds once it has grown no more for a while.
fn when_quiet(log: impl Fn() -> Result<Vec<LogLine>>) -> Result<Vec<LogLine>> {
    let mut before = log()?;
    loop {
        thread::sleep(Duration::from_millis(300));
        let now = log()?;
        if now.len() == before.len() {
            return Ok(now);
        }
        before = now;
    }
}

/// What a filter says to each step that both are asked.
fn play(end: &Endpoint, session: &Session) -> Result<Vec<Vec<String>>> {
    let mut client = MilterClient::connect(end)?;
    client.negotiate(Offer::of_version(6))?;
    let mut heard = Vec::new();
    let mut accepted = 0;
    for step in &session.steps {
        // An MTA goes on with a message only when somebody is to get it.
        if accepted == 0 && matches!(step.command, 'T' | 'L' | 'N' | 'B' | 'E') {
            heard.push(Vec::new());
            continue;
        }
        if step.command == 'M' {
            accepted = 0;
        }
        if step.command == 'D' {
            client.send('D', &step.content)?;
            heard.push(Vec::new());
            continue;
        }
        let said = client.ask(step.command, &step.content)?;
        accepted += usize::from(step.command == 'R' && said == ["c"]);
        // Only these are answered by both.
        let counts = matches!(step.command, 'R' | 'E') || said.iter().any(|said| said != "c");
        heard.push(if counts { said } else { Vec::new() });
    }
    client.send('Q', b"")?;
    Ok(heard)
}

impl GreylistOutcome {
    fn note(&mut self, allowed: Leave) {
        *self.allowed.entry(allowed).or_default() += 1;
    }

    fn compare_answers(
        &mut self,
        (conf, about): (&GreylistConf, &str),
        session: &Session,
        known: &[Vec<String>],
        tried: &[Vec<String>],
    ) {
        let all = known;
        for (place, step) in session.steps.iter().enumerate() {
            let [known, tried] = [known, tried].map(|heard| &heard[place]);
            self.answers += usize::from(!known.is_empty());
            if known == tried {
                continue;
            }
            let earlier = session.steps[..place].iter().zip(all);
            let accepted_before = earlier
                .filter(|(one, said)| one.command == 'R' && **said == ["c"])
                .any(|(one, _)| one.message < step.message);
            if let Some(allowed) = allowed_answer(conf, accepted_before, known, tried) {
                self.note(allowed);
                continue;
            }
            let shown: Vec<String> = session.steps[..=place]
                .iter()
                .map(|step| format!("{} {}", step.command, short(&step.content)))
                .collect();
            self.differences.push(format!(
                "{about} at +{} s:\n  {}\n  original: {known:?}\n  ours:     {tried:?}\n",
                session.at - EPISODE_START,
                shown.join("\n  ")
            ));
            return;
        }
    }

    fn compare_dumps(&mut self, conf: &GreylistConf, dumps: (&str, &str), now: i64) {
        let [known, tried] = [dumps.0, dumps.1].map(|dump| rows(dump, conf, now));
        self.rows += known.len();
        let only_ours = tried.keys().filter(|of| !known.contains_key(of));
        for of in known.keys().chain(only_ours) {
            match of.times((&known, &tried), conf, now) {
                Times::Same => {}
                Times::Touched => self.note(Leave::TouchedLazily),
                Times::Different => self.differences.push(format!(
                    "{}: dump at +{} of {of:?}\n  original: {:?}\n  ours:     {:?}\n",
                    conf.name,
                    now - EPISODE_START,
                    known.get(of),
                    tried.get(of)
                )),
            }
        }
    }
}

/// The first bytes of a packet, to be read.
fn short(content: &[u8]) -> String {
    content[..content.len().min(120)].escape_ascii().to_string()
}

fn allowed_answer(
    conf: &GreylistConf,
    accepted_before: bool,
    known: &[String],
    tried: &[String],
) -> Option<Leave> {
    if let ([known], [tried]) = (known, tried)
        && known.starts_with('y')
    {
        return allowed_reply(conf, known, tried);
    }
    let without = |said: &[String]| -> Vec<String> {
        let own = said
            .iter()
            .filter(|one| !one.starts_with("hX-Greylist\\x00"));
        own.cloned().collect()
    };
    let header = |said: &[String]| {
        let mut own = said.iter();
        own.find(|one| one.starts_with("hX-Greylist\\x00")).cloned()
    };
    if without(known) != without(tried) {
        return None;
    }
    let [known, tried] = [known, tried].map(|said| header(said).unwrap_or_default());
    if let Some(delay) = delay_in(&known) {
        // Both have two digits or more in each part, so that the longer text or the greater one is
        // the longer time.
        let own = delay_in(&tried).unwrap_or_default();
        let is_longer = (own.len(), own) < (delay.len(), delay);
        return (accepted_before && is_longer).then_some(Leave::DelayOfAnotherMessage);
    }
    if conf.text.starts_with("greylist 0\n") && accepted_before {
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
    if known == with_plain_ipv6(&single) {
        return Some(Leave::ReversedIpv6);
    }
    if conf.defers_messages() {
        let wait = |reply: &str| {
            let (before, wait) = reply.split_once(" come back in ")?;
            Some((
                before.to_owned(),
                clock_seconds(wait.strip_suffix("\\x00")?)?,
            ))
        };
        let ((known, shorter), (tried, longer)) = wait(known).zip(wait(tried))?;
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
