//! Ours and the real milter-greylist, the same packets, the same clock: what
//! differs?
//!
//! Answers and changes of messages are compared as they come, log lines by the
//! message that they tell of, and at the end what both dump. What may differ is
//! listed in [`Leave`]; all else is reported.

use std::collections::BTreeMap;
use std::path::Path;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::clock::{Clock, EPISODE_START};
use crate::greylist_conf::GreylistConf;
use crate::greylist_host::{GreylistHost, Whose};
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
    let ours = folder.path().join("ours");
    // What is put before the statements of each has three lines.
    let real = MilterGreylist::start(folder.path(), conf.text, &clock)?;
    let host = GreylistHost::start(Whose::Ours, &ours, &text, Some(&clock))?;
    let ends = [real.endpoint(), Endpoint::Unix(ours.join("socket"))];
    let mut traffic = Sessions::new(seed, conf.single);
    let mut outcome = GreylistOutcome::default();
    for number in 1..=sessions {
        let session = traffic.session();
        if session.at != clock.now() {
            clock.set(session.at)?;
        }
        let [known, tried] = [0, 1].map(|side| play(&ends[side], &session));
        let about = || format!("{}, seed {seed}, session {number}", conf.name);
        let known = known.with_context(about)?;
        let tried = tried.with_context(about)?;
        outcome.sessions += 1;
        outcome.compare_answers((conf, &about()), &session, &known, &tried);
    }
    // Both write their logs from threads of their own.
    let known = when_quiet(|| Ok(real.log()?.into_iter().map(|line| line.text).collect()))?;
    let tried = when_quiet(|| Ok(host.log()?.lines().map(str::to_owned).collect()))?;
    outcome.compare_logs(conf.name, known, tried);
    host.stop()?;
    let known = real.stop()?;
    let tried = read_dump(&ours);
    outcome.compare_dumps(conf, (&known, &tried), clock.now());
    Ok(outcome)
}

/// What a log holds once it has grown no more for a while.
fn when_quiet(log: impl Fn() -> Result<Vec<String>>) -> Result<Vec<String>> {
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

fn read_dump(folder: &Path) -> String {
    std::fs::read_to_string(folder.join("greylist.db")).unwrap_or_default()
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
                .map(|step| format!("{} {}", step.command, step.content.escape_ascii()))
                .collect();
            self.differences.push(format!(
                "{about} at +{} s:\n  {}\n  original: {known:?}\n  ours:     {tried:?}\n",
                session.at - EPISODE_START,
                shown.join("\n  ")
            ));
            return;
        }
    }

    fn compare_logs(&mut self, name: &str, known: Vec<String>, tried: Vec<String>) {
        let before = tried.len();
        let tried: Vec<String> = tried
            .into_iter()
            .filter(|line| !line.contains(" accepted after "))
            .collect();
        for _ in tried.len()..before {
            self.note(Leave::AcceptanceLine);
        }
        self.log_lines += known.len();
        let [known, tried] = [by_message(known), by_message(tried)];
        let mut ids: Vec<&String> = known.keys().chain(tried.keys()).collect();
        ids.sort();
        ids.dedup();
        for id in ids {
            if known.get(id) != tried.get(id) {
                self.differences.push(format!(
                    "{name}: log of {id:?}\n  original: {:#?}\n  ours:     {:#?}\n",
                    known.get(id),
                    tried.get(id)
                ));
            }
        }
    }

    fn compare_dumps(&mut self, conf: &GreylistConf, dumps: (&str, &str), now: i64) {
        let [known, tried] = [dumps.0, dumps.1].map(|dump| rows(dump, now));
        self.rows += known.len();
        if known != tried {
            let only = |these: &[String], others: &[String]| {
                let rows = these.iter().filter(|row| !others.contains(row));
                rows.cloned().collect::<Vec<String>>()
            };
            self.differences.push(format!(
                "{}: dump at +{}\n  only the original: {:#?}\n  only ours: {:#?}\n",
                conf.name,
                now - EPISODE_START,
                only(&known, &tried),
                only(&tried, &known)
            ));
        }
    }
}

/// Lines by the queue id before the first colon; others by the text `other`.
/// Those that tell of files, start and end are left out.
fn by_message(lines: Vec<String>) -> BTreeMap<String, Vec<String>> {
    let mut messages: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for line in lines {
        let id = line.split_once(": ").map_or("", |(id, _)| id);
        let is_id = id.starts_with('s') && id.contains('m') && id.len() < 9;
        let is_rate = line.starts_with("ratelimit overflow");
        let id = match (is_id, is_rate) {
            (true, _) => id.to_owned(),
            (_, true) => "rates".to_owned(),
            _ => continue,
        };
        messages.entry(id).or_default().push(line);
    }
    messages
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
    if !conf.text.contains(" code ") {
        return None;
    }
    // `y` and the code stand in front.
    let (code, status) = known.split_at_checked(5)?;
    let class = code.get(1..2)?;
    let mended = format!("{code}{class}{}", status.get(1..)?);
    (mended == single).then_some(Leave::StatusOfTheCode)
}

/// The rows that still count, without dates in words, sorted.
fn rows(dump: &str, now: i64) -> Vec<String> {
    let mut rows = Vec::new();
    for line in dump.lines().filter(|line| !line.starts_with('#')) {
        let row = line.split('#').next().unwrap_or_default().trim_end();
        let mut words = row.split(['\t', ' ']);
        let time = words.nth(3).and_then(|time| time.parse::<i64>().ok());
        let is_over = row.ends_with(" AUTO") && time.is_some_and(|time| time < now);
        if !row.is_empty() && !is_over {
            rows.push(row.to_owned());
        }
    }
    rows.sort();
    rows
}
