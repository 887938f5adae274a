//! Mail logs, plain or compressed, read side by side in the order of their times.

use std::fs::File;
use std::io::{self, BufRead, BufReader, IsTerminal, Read, Write};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use anyhow::{Context, bail, ensure};
use flate2::bufread::MultiGzDecoder;
use greylatch_core::Timestamp;
use greylatch_report::{Intake, Sources, Stamps};
use indicatif::{ProgressBar, ProgressStyle};
use jiff::tz::TimeZone;

use super::moment::on_the_wall;

/// Logs that are read at once, since all of them are open together.
const FILES_MAX: usize = 500;

/// Bytes of a log that are read at once.
const BLOCK: usize = 256 << 10;

/// The largest window of a .zst file, as its logarithm: 128 MiB, what the program `zstd` takes without
/// being told to.
const ZSTD_WINDOW_LOG_MAX: u32 = 27;

/// Reads logs, standard input when there are none; `take` takes one message of the log that has the next.
/// What cannot be read is told on standard error and counted.
pub(super) fn read(
    files: &[PathBuf],
    now: Timestamp,
    mut take: impl FnMut(&mut Intake),
) -> anyhow::Result<Sources> {
    ensure!(
        files.len() <= FILES_MAX,
        "{} logs are more than the {FILES_MAX} that can be read at once; join some of them",
        files.len()
    );
    let progress = progress(files);
    let standard_input = [PathBuf::from("-")];
    let files = if files.is_empty() {
        &standard_input
    } else {
        files
    };
    let mut sources = Sources::default();
    let mut logs = Vec::new();
    for file in files {
        match Log::open(file, now, &progress) {
            Ok(log) => logs.push(log),
            Err(error) => {
                say(&progress, &format!("{error:#}"));
                sources.add(Default::default(), true);
            }
        }
    }
    let mut block = vec![0; BLOCK];
    while let Some(nearest) = nearest(&mut logs, &mut block, &progress) {
        take(&mut logs[nearest].intake);
    }
    progress.finish_and_clear();
    for log in &logs {
        sources.add(log.intake.counts(), log.is_broken);
    }
    Ok(sources)
}

/// A log that is being read.
struct Log {
    name: String,
    /// Reading it, through a decoder or not.
    bytes: Box<dyn Read>,
    intake: Intake,
    has_ended: bool,
    is_broken: bool,
}

impl Log {
    fn open(path: &Path, now: Timestamp, progress: &ProgressBar) -> anyhow::Result<Self> {
        let name = path.display().to_string();
        let cannot = || format!("cannot read {name}");
        let (bytes, latest): (Box<dyn Read>, Timestamp) = if path == Path::new("-") {
            if io::stdin().is_terminal() {
                say(
                    progress,
                    "reading a mail log from standard input; files can be named instead",
                );
            }
            (Box::new(io::stdin()), now)
        } else {
            let file = File::open(path).with_context(cannot)?;
            let about = file.metadata().with_context(cannot)?;
            ensure!(!about.is_dir(), "cannot read {name}: it is a folder");
            // No line was written after the file was.
            let changed = about.modified().ok();
            let changed = changed.and_then(|at| at.duration_since(UNIX_EPOCH).ok());
            let changed = changed.and_then(|at| i64::try_from(at.as_secs()).ok());
            (Box::new(file), changed.map_or(now, Timestamp))
        };
        let bytes = decoded(BufReader::with_capacity(BLOCK, progress.wrap_read(bytes)));
        let zone = TimeZone::system();
        let stamps = Stamps::new(latest, Box::new(move |second| on_the_wall(second, &zone)));
        Ok(Self {
            bytes: bytes.with_context(cannot)?,
            name,
            intake: Intake::new(stamps),
            has_ended: false,
            is_broken: false,
        })
    }

    /// Reads on until it holds a message or has ended.
    fn fill(&mut self, block: &mut [u8], progress: &ProgressBar) {
        while !self.has_ended && self.intake.next_at().is_none() {
            match self.bytes.read(block) {
                Ok(0) => self.end(),
                Ok(length) => self.intake.feed(&block[..length]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    say(
                        progress,
                        &format!("{} was not read to its end: {error}", self.name),
                    );
                    self.is_broken = true;
                    self.end();
                }
            }
        }
    }

    fn end(&mut self) {
        self.intake.finish();
        self.has_ended = true;
    }
}

/// The bytes of a log that may be compressed, as its first bytes tell.
///
/// Source: RFC 1952 §2.3.1, RFC 8878 §3.1.1, the .xz file format §2.1.1.1, bzip2's `BZh`.
fn decoded(mut bytes: BufReader<impl Read + 'static>) -> anyhow::Result<Box<dyn Read>> {
    let first = bytes.fill_buf()?;
    if first.starts_with(&[0x1f, 0x8b]) {
        return Ok(Box::new(MultiGzDecoder::new(bytes)));
    }
    if first.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
        let mut decoder = zstd::Decoder::with_buffer(bytes)?;
        decoder.window_log_max(ZSTD_WINDOW_LOG_MAX)?;
        return Ok(Box::new(decoder));
    }
    if first.starts_with(b"\xfd7zXZ") || first.starts_with(b"BZh") {
        bail!("it is compressed by xz or bzip2; decompress it and give it on standard input");
    }
    Ok(Box::new(bytes))
}

/// The log whose next message is the oldest; none when all have ended.
fn nearest(logs: &mut [Log], block: &mut [u8], progress: &ProgressBar) -> Option<usize> {
    let mut nearest: Option<(Timestamp, usize)> = None;
    for (place, log) in logs.iter_mut().enumerate() {
        log.fill(block, progress);
        if let Some(at) = log.intake.next_at()
            && nearest.is_none_or(|(before, _)| at < before)
        {
            nearest = Some((at, place));
        }
    }
    nearest.map(|(_, place)| place)
}

/// How far reading has come, shown on a terminal only.
fn progress(files: &[PathBuf]) -> ProgressBar {
    let length = |file: &PathBuf| file.metadata().ok().map(|about| about.len());
    let total: Option<u64> = files.iter().map(length).sum();
    match total {
        Some(total) if total > 0 => {
            let style =
                ProgressStyle::with_template("{bar:40} {bytes} of {total_bytes}, {eta} left");
            ProgressBar::new(total)
                .with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
        }
        _ => ProgressBar::hidden(),
    }
}

/// Says something on standard error, the progress out of its way.
fn say(progress: &ProgressBar, message: &str) {
    progress.suspend(|| {
        // Nobody is left to tell when standard error is closed.
        let _ = writeln!(io::stderr(), "greylatch: {message}");
    });
}
