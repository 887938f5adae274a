//! Two greylisters, the same requests, the same clock: what differs?
//!
//! Answers are compared byte for byte as they come, log lines one by one when
//! both programs have ended. What may differ is listed in [`Allowed`]; all else
//! is reported with what is needed to see it again.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::clock::{Clock, EPISODE_START};
use crate::greylister::{Greylister, Program, Setting};
use crate::message::Message;
use crate::option_set::OptionSet;
use crate::policy::{Heard, PolicyClient};
use crate::process::{scratch_folder, wait_for};
use crate::traffic::{Ask, CONNECTIONS, Traffic};

const ANSWER_MAX: Duration = Duration::from_secs(10);
const LOG_MAX: Duration = Duration::from_secs(5);

/// The differences that are allowed, each with its reason in the manual's page
/// on Postgrey.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Allowed {
    /// Postgrey tells of its database files and of its nightly purge; ours has
    /// neither.
    Housekeeping,
    /// Postgrey's interpreter warns about odd values on standard error.
    InterpreterWarning,
    /// Control bytes and broken UTF-8 leave ours escaped, where Postgrey puts
    /// them into the answer as they came.
    EscapedAnswer,
}

/// What is compared.
pub struct Trial<'a> {
    /// The program whose behaviour counts, and how it is started.
    pub left: (Program, &'a OptionSet),
    /// The program that is tried.
    pub right: (Program, &'a OptionSet),
    /// Where the traffic comes from; the same seed gives the same traffic.
    pub seed: u64,
    /// How many requests.
    pub requests: usize,
}

/// What came of it.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Requests sent to each program.
    pub requests: usize,
    /// Lines of log that were compared.
    pub log_lines: usize,
    /// How often each kind of log line was seen, by its text without values.
    pub kinds: BTreeMap<String, usize>,
    /// How often each allowed difference was seen.
    pub allowed: BTreeMap<Allowed, usize>,
    /// Descriptions of the others.
    pub differences: Vec<String>,
}

impl Outcome {
    fn note(&mut self, allowed: Allowed) {
        *self.allowed.entry(allowed).or_default() += 1;
    }
}

/// Runs `trial`, up to the first difference in an answer.
///
/// # Errors
/// When a program cannot be started, ends, or does not answer at all.
pub fn compare(trial: &Trial) -> Result<Outcome> {
    let folder = scratch_folder()?;
    let mut clock = Clock::new(folder.path(), EPISODE_START)?;
    let mut left = Side::start(trial.left, &folder.path().join("left"), &clock)?;
    let mut right = Side::start(trial.right, &folder.path().join("right"), &clock)?;
    let mut traffic = Traffic::new(trial.left.1, trial.seed);
    let mut outcome = Outcome::default();
    let mut history = History::default();
    for _ in 0..trial.requests {
        let ask = traffic.ask();
        if ask.at != clock.now() {
            clock.set(ask.at)?;
        }
        let answers = left.answer(&ask).and_then(|known| {
            let tried = right.answer(&ask)?;
            Ok([known, tried])
        });
        let answers = answers.with_context(|| describe(trial, &history, &ask))?;
        outcome.requests += 1;
        let same = answers[0] == answers[1];
        if !same && is_escaped(&answers[0], &answers[1]) {
            outcome.note(Allowed::EscapedAnswer);
        } else if !same {
            history.add(&ask, &answers, left.log_length()?);
            outcome.differences.push(describe(trial, &history, &ask));
            return Ok(outcome);
        }
        history.add(&ask, &answers, left.log_length()?);
    }
    let logs = [left.finish()?, right.finish()?];
    compare_logs(trial, &history, &logs, &mut outcome);
    Ok(outcome)
}

/// One of the two programs and the connections to it.
struct Side {
    greylister: Greylister,
    connections: [Option<PolicyClient>; CONNECTIONS],
    exim: bool,
    folder: String,
}

impl Side {
    fn start(program: (Program, &OptionSet), folder: &Path, clock: &Clock) -> Result<Self> {
        let options: Vec<OsString> = program.1.command_line(folder)?;
        let greylister = Greylister::start(
            program.0,
            &Setting {
                folder,
                door: program.1.door,
                options: &options,
                clock: Some(clock),
            },
        )?;
        let mut side = Self {
            greylister,
            connections: [const { None }; CONNECTIONS],
            exim: program.1.exim,
            folder: folder.display().to_string(),
        };
        side.mark(BEGIN)?;
        Ok(side)
    }

    /// Leaves a line in the log that is written at every verbosity.
    fn mark(&mut self, word: &str) -> Result<()> {
        let before = self.log_length()?;
        let mut connection = self.greylister.connect()?;
        connection.send(&Message::bare().with("request", word).bytes())?;
        self.wait_for_unrecognized(before)
    }

    fn answer(&mut self, ask: &Ask) -> Result<Heard> {
        let slot = &mut self.connections[ask.connection];
        if ask.fresh || slot.is_none() {
            *slot = Some(self.greylister.connect()?);
        }
        let connection = slot.as_mut().context("it was just filled")?;
        let before = if ask.silent {
            self.greylister.log_length()?
        } else {
            0
        };
        connection.send(&ask.bytes)?;
        if ask.silent {
            // Postgrey mixes up requests that it reads together, so nothing
            // more is sent before it has said something about this one.
            self.wait_for_unrecognized(before)?;
            return Ok(Heard::Silence);
        }
        let heard = connection.hear(ANSWER_MAX)?;
        ensure!(heard != Heard::Silence, "no answer within {ANSWER_MAX:?}");
        if self.exim {
            let after = connection.hear(ANSWER_MAX)?;
            ensure!(
                after == Heard::Closed(Vec::new()),
                "after the answer it did not close: {after:?}"
            );
            *slot = None;
        }
        Ok(heard)
    }

    fn log_length(&self) -> Result<usize> {
        self.greylister.log_length()
    }

    /// Waits for the line that tells of an unknown request.
    fn wait_for_unrecognized(&self, offset: usize) -> Result<()> {
        let start = b"unrecognized request type: '";
        wait_for("its line of log", LOG_MAX, || {
            let log = self.greylister.log_after(offset)?;
            Ok(log.windows(start.len()).any(|window| window == start))
        })
    }

    /// Ends the program and gives its log between the two marks.
    fn finish(mut self) -> Result<Vec<Line>> {
        for slot in &mut self.connections {
            if let Some(connection) = slot {
                let extra = connection.hear(Duration::from_millis(1))?;
                ensure!(extra == Heard::Silence, "one answer too many: {extra:?}");
            }
            *slot = None;
        }
        self.mark(END)?;
        let text = self.greylister.log()?;
        let folder = self.folder.clone();
        let status = self.greylister.stop()?;
        ensure!(status.success(), "it ended with {status}");
        Ok(marked_lines(&text, &folder))
    }
}

const BEGIN: &str = "conformance-begins";
const END: &str = "conformance-ends";

/// One line of log and where it ends in the file.
struct Line {
    text: Vec<u8>,
    end: usize,
}

/// The lines between the marks, freed from what differs between any two runs.
fn marked_lines(log: &[u8], folder: &str) -> Vec<Line> {
    let mut end = 0;
    let mut lines = Vec::new();
    for raw in log.split_inclusive(|byte| *byte == b'\n') {
        end += raw.len();
        let text = raw.strip_suffix(b"\n").unwrap_or(raw);
        if text == format!("unrecognized request type: '{BEGIN}'").as_bytes() {
            lines.clear();
        } else if text == format!("unrecognized request type: '{END}'").as_bytes() {
            break;
        } else {
            let text = without_place(text, folder);
            lines.push(Line { text, end });
        }
    }
    // The connection that carried the last mark.
    if lines.last().is_some_and(|line| is_connect(&line.text)) {
        lines.pop();
    }
    lines
}

fn is_connect(line: &[u8]) -> bool {
    line.windows(9).any(|word| word == b" CONNECT ")
}

/// The line without port numbers and the folder of this run.
fn without_place(line: &[u8], folder: &str) -> Vec<u8> {
    if !is_connect(line) {
        return line.to_vec();
    }
    let text = String::from_utf8_lossy(line).replace(folder, "FOLDER");
    let mut parts = text.split("]:");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        out.push_str("]:PORT");
        out.push_str(part.trim_start_matches(|digit: char| digit.is_ascii_digit()));
    }
    out.into_bytes()
}

/// Lines that one program may write and the other not.
fn allowed_line(line: &[u8]) -> Option<Allowed> {
    let text = String::from_utf8_lossy(line);
    let housekeeping = [
        "cleaning up old logs...",
        "cleaning up old entries...",
        "cleaning main database finished.",
        "cleaning clients database finished.",
        "rm /",
    ];
    if housekeeping.iter().any(|start| text.starts_with(start)) {
        return Some(Allowed::Housekeeping);
    }
    let is_perl = text.contains("/usr/sbin/postgrey line ") || text.contains(".pm line ");
    is_perl.then_some(Allowed::InterpreterWarning)
}

fn compare_logs(trial: &Trial, history: &History, logs: &[Vec<Line>; 2], outcome: &mut Outcome) {
    let mut kept: [Vec<&Line>; 2] = [Vec::new(), Vec::new()];
    for (side, log) in logs.iter().enumerate() {
        for line in log {
            match allowed_line(&line.text) {
                Some(allowed) => outcome.note(allowed),
                None => kept[side].push(line),
            }
        }
    }
    outcome.log_lines = kept[0].len();
    for line in &kept[0] {
        *outcome.kinds.entry(kind_of(&line.text)).or_default() += 1;
    }
    for place in 0..kept[0].len().max(kept[1].len()) {
        let pair = [kept[0].get(place), kept[1].get(place)];
        let texts = pair.map(|line| line.map(|line| String::from_utf8_lossy(&line.text)));
        if texts[0] != texts[1] {
            let end = pair[0].map_or(usize::MAX, |line| line.end);
            let mut text = format!(
                "log line {place}\n  left:  {:?}\n  right: {:?}\n",
                texts[0], texts[1]
            );
            if let Some(exchange) = history.at_log(end) {
                text.push_str(&describe(trial, history, &exchange.ask));
            }
            outcome.differences.push(text);
            return;
        }
    }
}

/// The beginning of the line that says what happened: for a decision up to its
/// reason, for others the first two words.
fn kind_of(line: &[u8]) -> String {
    let text = String::from_utf8_lossy(line);
    if let Some((_, reason)) = text.split_once(", reason=") {
        let delay = if reason.contains(", delay=") {
            " after a delay"
        } else {
            ""
        };
        let reason = reason.split([',', '(']).next().unwrap_or_default();
        return format!("{}{delay}", reason.trim());
    }
    if is_connect(line) {
        return "connect".to_owned();
    }
    let words: Vec<&str> = text.split([' ', ':']).take(2).collect();
    words.join(" ")
}

/// True when `known` holds bytes that may not stand in an answer of ours, and
/// `tried` is the same up to there and holds none.
fn is_escaped(known: &Heard, tried: &Heard) -> bool {
    let (Heard::Answer(known), Heard::Answer(tried)) = (known, tried) else {
        return false;
    };
    let valid = match std::str::from_utf8(known) {
        Ok(text) => text.len(),
        Err(error) => error.valid_up_to(),
    };
    let body = known.len().saturating_sub(2);
    let bad = known[..valid.min(body)]
        .iter()
        .position(u8::is_ascii_control)
        .unwrap_or(valid);
    bad < body
        && tried.starts_with(&known[..bad])
        && tried.ends_with(b"\n\n")
        && std::str::from_utf8(tried).is_ok()
        && !tried[..tried.len() - 2].iter().any(u8::is_ascii_control)
}

/// What has been asked so far.
#[derive(Default)]
struct History {
    exchanges: Vec<Exchange>,
}

struct Exchange {
    ask: Ask,
    answers: [Heard; 2],
    log_length: usize,
}

impl History {
    fn add(&mut self, ask: &Ask, answers: &[Heard; 2], log_length: usize) {
        self.exchanges.push(Exchange {
            ask: ask.clone(),
            answers: answers.clone(),
            log_length,
        });
    }

    /// The exchange during which the left log reached `length`.
    fn at_log(&self, length: usize) -> Option<&Exchange> {
        self.exchanges
            .iter()
            .find(|exchange| exchange.log_length >= length)
    }

    /// The last exchanges from this client's neighbourhood to this recipient.
    fn about<'a>(&'a self, ask: &'a Ask) -> Vec<&'a Exchange> {
        let mut found: Vec<&Exchange> = self
            .exchanges
            .iter()
            .rev()
            .filter(|past| past.ask.message.last("recipient") == ask.message.last("recipient"))
            .take(8)
            .collect();
        found.reverse();
        found
    }
}

fn describe(trial: &Trial, history: &History, ask: &Ask) -> String {
    let set = trial.left.1;
    let mut text = format!(
        "seed {}, option set {:?} {:?}, request {} at {}:\n{}\nlast requests for this recipient:\n",
        trial.seed,
        set.name,
        set.options,
        history.exchanges.len(),
        ask.at,
        ask.bytes.escape_ascii()
    );
    for past in history.about(ask) {
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "  {} +{} s {}\n    left:  {}\n    right: {}",
            past.ask.at,
            past.ask.at - EPISODE_START,
            past.ask.bytes.escape_ascii(),
            shown(&past.answers[0]),
            shown(&past.answers[1])
        );
    }
    text
}

fn shown(heard: &Heard) -> String {
    match heard {
        Heard::Answer(bytes) => bytes.escape_ascii().to_string(),
        other => format!("{other:?}"),
    }
}
