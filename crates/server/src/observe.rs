//! Room 8, second half: what was decided becomes a log line and a count, in one place.

mod turned_away;

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::process;
use std::sync::atomic::{AtomicU64, Ordering};

use greylatch_core::{Field, Notice, Reason};
use greylatch_store::StoreError;
use greylatch_wording::{
    DecisionRecord, Level, MilterGreylistEvent, POSTGREY_COMPLAINT, json_line, logfmt_line,
    postgrey_exempted, postgrey_line, postgrey_notice,
};

use crate::clock;
use crate::config::{Config, Log, LogFormat, LogLevel, LogTo};
use crate::lists::Remark;
use crate::log::{LogQueue, Severity};
use turned_away::TurnedAway;

/// Writes lines and counts verdicts.
pub(crate) struct Observer {
    queue: LogQueue,
    format: LogFormat,
    level: LogLevel,
    ident: String,
    exempt_silently: bool,
    /// What stands before a complaint in this log.
    complaint: &'static [u8],
    verdicts: [AtomicU64; Reason::ALL.len()],
    /// Since when, in whole seconds, a failing store has been mentioned last.
    store_mentioned: AtomicU64,
    turned_away: TurnedAway,
}

/// A store that stays away is mentioned again after so many seconds.
const STORE_AGAIN_S: u64 = 10;

impl Observer {
    pub(crate) fn new(config: &Config, queue: LogQueue) -> Self {
        Self {
            queue,
            format: config.log.format,
            level: config.log.level,
            ident: config.log.ident.clone(),
            exempt_silently: config.greylist.exempt_silently,
            complaint: complaint(&config.log),
            verdicts: std::array::from_fn(|_| AtomicU64::new(0)),
            store_mentioned: AtomicU64::new(0),
            turned_away: TurnedAway::default(),
        }
    }

    /// Counts a decision and writes its line; `line` is room to write in.
    pub(crate) fn decided(
        &self,
        line: &mut Vec<u8>,
        record: &DecisionRecord<'_>,
        client: Option<IpAddr>,
    ) {
        self.count(record.decision.reason);
        if record.decision.clock_corrected {
            self.put(
                Level::Warning,
                b"correcting date for first seen in the future!",
            );
        }
        if record.decision.client_now_exempt
            && !self.exempt_silently
            && let Some(client) = client
        {
            line.clear();
            postgrey_exempted(line, record.attempt.text(Field::ClientName), client);
            self.put(Level::Warning, line);
        }
        if self.level < LogLevel::Normal {
            return;
        }
        line.clear();
        match self.format {
            LogFormat::Postgrey => postgrey_line(line, record),
            LogFormat::Logfmt => logfmt_line(line, record),
            LogFormat::Json => json_line(line, record),
        }
        self.put(Level::Notice, line);
    }

    /// Writes a line of this severity of syslog: 7 only when all is told, 6 and 5 unless little is.
    pub(crate) fn say(&self, severity: u8, text: &str) {
        let wanted = match severity {
            0..=4 => LogLevel::Quiet,
            5 | 6 => LogLevel::Normal,
            _ => LogLevel::Verbose,
        };
        if self.level >= wanted {
            self.queue.put(Severity(severity), text.as_bytes());
        }
    }

    /// Writes a line of any severity unless little is to be told: syslog sorts it.
    pub(crate) fn say_unsorted(&self, severity: u8, text: &str) {
        if self.level >= LogLevel::Normal {
            self.queue.put(Severity(severity), text.as_bytes());
        }
    }

    /// Writes the lines of something that happened to the daemon.
    pub(crate) fn happened(&self, event: &MilterGreylistEvent<'_>) {
        for text in event.texts() {
            self.say(event.severity(), &text);
        }
    }

    pub(crate) fn count(&self, reason: Reason) {
        self.verdicts[reason as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Verdicts given so far, by reason.
    pub(crate) fn verdicts(&self) -> Vec<(Reason, u64)> {
        let counts = self
            .verdicts
            .iter()
            .map(|count| count.load(Ordering::Relaxed));
        Reason::ALL.into_iter().zip(counts).collect()
    }

    pub(crate) fn log_dropped(&self) -> u64 {
        self.queue.dropped()
    }

    pub(crate) fn notice(&self, line: &mut Vec<u8>, notice: &Notice) {
        line.clear();
        let level = postgrey_notice(line, notice);
        self.put(level, line);
    }

    /// Says what is to be said of a list that was read again.
    pub(crate) fn remark(&self, remark: &Remark) {
        self.put(Level::Complaint, remark.text().as_bytes());
    }

    /// The same of one that was read at the start.
    pub(crate) fn first_remark(&self, remark: &Remark) {
        if self.complaint.is_empty() {
            self.remark(remark);
        } else {
            let line = [self.complaint, remark.text().as_bytes()].concat();
            self.queue.put(Severity::WARNING.early(), &line);
        }
    }

    /// The store failed; said at once, and again while it lasts.
    pub(crate) fn store_failed(&self, error: &StoreError) {
        let now = u64::try_from(clock::now().0).unwrap_or(0);
        let said = self.store_mentioned.load(Ordering::Relaxed);
        let due = now.abs_diff(said) >= STORE_AGAIN_S;
        let ours =
            self.store_mentioned
                .compare_exchange(said, now, Ordering::Relaxed, Ordering::Relaxed);
        if due && ours.is_ok() {
            let text = format!("the failure policy answers, because {error}");
            self.put(Level::Error, text.as_bytes());
        }
    }

    /// A request over HTTP was turned away; said at once, and then in sums.
    #[cfg_attr(
        not(feature = "web"),
        expect(dead_code, reason = "only HTTP turns requests away")
    )]
    pub(crate) fn turned_away(&self, from: Option<IpAddr>, why: &str) {
        if let Some(line) = self.turned_away.note(from, why, clock::now()) {
            self.put(Level::Warning, line.as_bytes());
        }
    }

    /// Says of how many requests over HTTP that were turned away nothing was said yet.
    pub(crate) fn tell_turned_away(&self) {
        if let Some(line) = self.turned_away.rest(clock::now()) {
            self.put(Level::Warning, line.as_bytes());
        }
    }

    pub(crate) fn http_turned_away(&self) -> u64 {
        self.turned_away.count()
    }

    /// Whether decision lines have fields of their own making, so that it is worth finding them out.
    pub(crate) fn writes_fields(&self) -> bool {
        self.level >= LogLevel::Normal && self.format != LogFormat::Postgrey
    }

    pub(crate) fn is_verbose(&self) -> bool {
        self.level == LogLevel::Verbose
    }

    pub(crate) fn connected_tcp(&self, peer: SocketAddr, local: SocketAddr) {
        let place = |at: SocketAddr| format!("[{}]:{}", at.ip(), at.port());
        self.event(
            Level::Info,
            &format!(
                "CONNECT TCP Peer: \"{}\" Local: \"{}\"",
                place(peer),
                place(local)
            ),
        );
    }

    pub(crate) fn connected_unix(&self, path: Option<&Path>) {
        let path = path
            .map(|path| path.display().to_string())
            .unwrap_or_default();
        self.event(Level::Info, &format!("CONNECT UNIX Socket: \"{path}\""));
    }

    pub(crate) fn started(&self) {
        let pid = process::id();
        let who = match self.format {
            LogFormat::Postgrey => format!(
                "{} (type Net::Server::Multiplex) starting! pid({pid})",
                self.ident
            ),
            _ => format!("{} starting, process {pid}", self.ident),
        };
        self.event(Level::Notice, &who);
    }

    pub(crate) fn stopping(&self) {
        let text = match self.format {
            LogFormat::Postgrey => "Server closing!",
            _ => "stopping",
        };
        self.event(Level::Notice, text);
    }

    pub(crate) fn reloading(&self) {
        let text: &[u8] = match self.format {
            LogFormat::Postgrey => b"HUP received: reloading whitelists...",
            _ => b"reading lists and rules again",
        };
        self.put(Level::Warning, text);
    }

    /// A line with its date, as Postgrey writes what its server library says.
    fn event(&self, level: Level, text: &str) {
        let line = format!("{} {text}", clock::event_date(clock::now()));
        self.put(level, line.as_bytes());
    }

    fn put(&self, level: Level, line: &[u8]) {
        let wanted = match level {
            Level::Error | Level::Warning | Level::Complaint => LogLevel::Quiet,
            Level::Notice => LogLevel::Normal,
            Level::Info => LogLevel::Verbose,
        };
        if self.level < wanted {
            return;
        }
        let severity = Severity(level.severity());
        if level == Level::Complaint && !self.complaint.is_empty() {
            self.queue.put(severity, &[self.complaint, line].concat());
        } else {
            self.queue.put(severity, line);
        }
    }
}

/// What stands before a complaint in this log.
pub(crate) fn complaint(log: &Log) -> &'static [u8] {
    match (log.format, log.to) {
        (LogFormat::Postgrey, LogTo::Syslog) => POSTGREY_COMPLAINT,
        _ => b"",
    }
}
