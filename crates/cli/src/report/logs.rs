//! Mail logs, plain or compressed, read side by side in the order of their times. Each is cut into
//! messages and sifted on a thread of its own; one more puts them in order and reads what they tell, up to
//! the hashes of triplets. Each thread is a few pieces ahead of whoever takes them.

use std::fs::File;
use std::io::{self, BufRead, BufReader, IsTerminal, Read, Write};
use std::mem;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use anyhow::{Context, bail, ensure};
use flate2::bufread::MultiGzDecoder;
use greylatch_core::Timestamp;
use greylatch_report::{Intake, IntakeCounts, Messages, Reader, Sightings, Sources, Stamps};
use indicatif::{ProgressBar, ProgressStyle};
use jiff::tz::TimeZone;

use super::moment::on_the_wall;
use crate::ahead::{Ahead, Outlet};

/// Logs that are read at once, since all of them are open together.
const FILES_MAX: usize = 500;

/// Bytes of a log that are read at once: at most, and at least when there are many logs.
const BLOCK_MAX: usize = 256 << 10;
const BLOCK_MIN: usize = 16 << 10;

/// Bytes of all logs that are read at once, as long as each has its [`BLOCK_MIN`].
const BLOCKS_MAX: usize = 4 << 20;

/// The largest window of a .zst file, as its logarithm: 128 MiB, what the program `zstd` takes without
/// being told to.
const ZSTD_WINDOW_LOG_MAX: u32 = 27;

/// Reads logs with `reader`, standard input when there are none, and gives it back; `take` takes what they
/// tell. What cannot be read is told on standard error and counted.
pub(super) fn read(
    files: &[PathBuf],
    now: Timestamp,
    reader: Reader,
    mut take: impl FnMut(&mut Sightings),
) -> anyhow::Result<(Reader, Sources)> {
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
    let block = (BLOCKS_MAX / files.len()).clamp(BLOCK_MIN, BLOCK_MAX);
    let mut sources = Sources::default();
    let mut logs = Vec::new();
    for file in files {
        match Reading::open(file, now, &progress, block).and_then(Log::begin) {
            Ok(log) => logs.push(log),
            Err(error) => {
                say(&progress, &format!("{error:#}"));
                sources.add(Default::default(), true);
            }
        }
    }
    let merge = move |outlet: &Outlet<_>| merge(logs, reader, outlet);
    let coming = Ahead::begin("reader", merge);
    let mut coming = coming.context("cannot read logs: no thread for it")?;
    let mut sightings = Sightings::default();
    while let Some(next) = coming.next(sightings) {
        sightings = next;
        take(&mut sightings);
    }
    progress.finish_and_clear();
    let (reader, ended) = coming.end();
    for (counts, is_broken) in ended {
        sources.add(counts, is_broken);
    }
    Ok((reader, sources))
}

/// Hands over what logs tell in the order of their times, and gives back the reader and what became of each
/// log.
fn merge(
    mut logs: Vec<Log>,
    mut reader: Reader,
    outlet: &Outlet<Sightings>,
) -> (Reader, Vec<Ended>) {
    let mut full = |full: &mut Sightings| {
        // Whoever takes them takes all.
        *full = outlet.hand_over(mem::take(full)).unwrap_or_default();
    };
    while let Some((nearest, next)) = nearest(&mut logs) {
        let messages = &mut logs[nearest].messages;
        while let Some(at) = messages.next_at()
            && next.is_none_or(|next| (at, nearest) < next)
        {
            reader.read(messages, &mut full);
        }
    }
    full(&mut reader.rest());
    let ended = logs.into_iter().map(|log| log.coming.end());
    (reader, ended.collect())
}

/// What became of the lines of a log, and whether it was not read to its end.
type Ended = (IntakeCounts, bool);

/// A log that is being read.
struct Log {
    /// What has come and is not taken.
    messages: Messages,
    /// More of it.
    coming: Ahead<Messages, Ended>,
}

impl Log {
    fn begin(reading: Reading) -> anyhow::Result<Self> {
        let cannot = format!("cannot read {}: no thread for it", reading.name);
        let coming = Ahead::begin("log", move |outlet| reading.run(outlet));
        Ok(Self {
            messages: Messages::default(),
            coming: coming.context(cannot)?,
        })
    }

    /// When the message was written that is taken next; none when the log has ended.
    fn next_at(&mut self) -> Option<Timestamp> {
        while self.messages.next_at().is_none() {
            self.messages = self.coming.next(mem::take(&mut self.messages))?;
        }
        self.messages.next_at()
    }
}

/// Reading a log.
struct Reading {
    name: String,
    /// Its bytes, through a decoder or not.
    bytes: Box<dyn Read + Send>,
    intake: Intake,
    block: Vec<u8>,
    progress: ProgressBar,
}

impl Reading {
    fn open(
        path: &Path,
        now: Timestamp,
        progress: &ProgressBar,
        block: usize,
    ) -> anyhow::Result<Self> {
        let name = path.display().to_string();
        let cannot = || format!("cannot read {name}");
        let (bytes, latest): (Box<dyn Read + Send>, Timestamp) = if path == Path::new("-") {
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
        let bytes = decoded(BufReader::with_capacity(block, progress.wrap_read(bytes)));
        let zone = TimeZone::system();
        let stamps = Stamps::new(latest, Box::new(move |second| on_the_wall(second, &zone)));
        Ok(Self {
            bytes: bytes.with_context(cannot)?,
            name,
            intake: Intake::new(stamps),
            block: vec![0; block],
            progress: progress.clone(),
        })
    }

    fn run(mut self, outlet: &Outlet<Messages>) -> Ended {
        let mut is_broken = false;
        let mut messages = Messages::default();
        loop {
            match self.bytes.read(&mut self.block) {
                Ok(0) => break,
                Ok(length) => self.intake.feed(&self.block[..length], &mut messages),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    say(
                        &self.progress,
                        &format!("{} was not read to its end: {error}", self.name),
                    );
                    is_broken = true;
                    break;
                }
            }
            if messages.next_at().is_some() {
                // Whoever takes them takes all.
                messages = outlet.hand_over(messages).unwrap_or_default();
            }
        }
        self.intake.finish(&mut messages);
        let _ = outlet.hand_over(messages);
        (self.intake.counts(), is_broken)
    }
}

/// The bytes of a log that may be compressed, as its first bytes tell.
///
/// Source: RFC 1952 §2.3.1, RFC 8878 §3.1.1, the .xz file format §2.1.1.1, bzip2's `BZh`.
fn decoded(
    mut bytes: BufReader<impl Read + Send + 'static>,
) -> anyhow::Result<Box<dyn Read + Send>> {
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

/// The log whose next message is the oldest, and time and place of the oldest of the others; none when
/// all have ended. Of messages of one time those of the log named first come first.
fn nearest(logs: &mut [Log]) -> Option<(usize, Option<(Timestamp, usize)>)> {
    let mut nearest = None;
    let mut next = None;
    for (place, log) in logs.iter_mut().enumerate() {
        let Some(at) = log.next_at() else {
            continue;
        };
        let found = (at, place);
        if nearest.is_none_or(|nearest| found < nearest) {
            next = nearest.replace(found);
        } else if next.is_none_or(|next| found < next) {
            next = Some(found);
        }
    }
    nearest.map(|(_, place)| (place, next))
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
