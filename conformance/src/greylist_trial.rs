//! Ours and the real milter-greylist, the same packets, the same clock: what
//! differs?
//!
//! Answers and changes of messages are compared as they come, log lines by the
//! message that they tell of, and at the end what both dump. What may differ is
//! listed in [`Leave`]; all else is reported.

mod answers;
mod dumps;
mod kept;
mod logs;
mod ours;
mod waits;

use std::collections::BTreeMap;

use anyhow::{Context, Result};

use self::dumps::{Times, rows};
use self::kept::Kept;
use self::ours::Ours;
use crate::clock::{Clock, EPISODE_START};
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
    /// A message that had to wait at its end has waited for no time, as the
    /// original tells it.
    DelayAtTheEnd,
    /// The clock has been set back, and the original tells of less than no time.
    NegativeTime,
    /// The original counts entries that are over among those it removes, unless
    /// it has come upon them before.
    RemovedCount,
    /// Ours writes an entry that has passed when that matters.
    TouchedLazily,
    /// So it may remember one that is over for the original, by a 64th of its
    /// lifetime at most. From then on this triplet is not compared.
    KeptLonger,
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
    // At the end alone: what has only been renewed since the last dump the original does not write.
    let at_end = "dumpfreq -1\n";
    let text = format!("{}nospf\n{at_end}", ours.unwrap_or(conf.text));
    // What is put before the statements of each has three lines.
    let real = MilterGreylist::start(folder.path(), &format!("{}{at_end}", conf.text), &clock)?;
    let ours = Ours::start(&folder.path().join("ours"), &text, &clock)?;
    let ends = [real.endpoint(), ours.endpoint()];
    let mut traffic = Sessions::new(seed_of(conf, seed), conf.traffic);
    let mut outcome = GreylistOutcome::default();
    let mut times = Vec::with_capacity(sessions);
    let mut kept = Kept::new(conf);
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
        outcome.compare_answers(&mut kept, (number, &session), (&known, &tried));
    }
    let ((known, known_log), (tried, tried_log)) = (real.end()?, ours.end()?);
    outcome.compare_logs(&kept, &times, (known_log, tried_log));
    outcome.compare_dumps(&kept, (&known, &tried), clock.now());
    Ok(outcome)
}

/// Each configuration has sessions of its own.
fn seed_of(conf: &GreylistConf, seed: u64) -> u64 {
    let letters = conf.name.bytes();
    letters.fold(seed, |seed, letter| {
        seed.wrapping_mul(31).wrapping_add(u64::from(letter))
    })
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

    fn compare_dumps(&mut self, kept: &Kept<'_>, dumps: (&str, &str), now: i64) {
        let conf = kept.conf;
        let [known, tried] = [dumps.0, dumps.1].map(|dump| rows(dump, conf, now));
        self.rows += known.len();
        let only_ours = tried.keys().filter(|of| !known.contains_key(of));
        for of in known.keys().chain(only_ours) {
            if kept.is_apart(&of.triplet()) {
                continue;
            }
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
