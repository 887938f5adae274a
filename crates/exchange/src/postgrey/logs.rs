//! Whether a database file holds all that Postgrey acknowledged, judged by the transaction logs
//! (`log.*`) beside it.
//!
//! Postgrey's answers are safe in the logs at once, in the file only after a checkpoint (hourly)
//! or when Postgrey closes it. A page carries the place in the logs of its last change. So for
//! each page that the logs say was changed after the last checkpoint, the page is looked at: if
//! it is older than that change, the change is not in the file.
//!
//! What this can tell: after a clean stop, a `kill -9` or a power cut, whether something is
//! missing, as long as the files in the directory belong together and nothing writes to them. On
//! doubt (a change of a kind that Postgrey does not make) it says that something is missing. What
//! it cannot tell: whether Postgrey is running (its lock says that; the `__db.*` files remain
//! after a clean stop too), and anything if the logs were deleted or the file came without them.
//!
//! The logs are only read, never applied: the Berkeley DB tools and Postgrey do that better.
//!
//! Source: Berkeley DB 5.3, `src/dbinc/log.h`, `src/db/db.src`, `src/btree/btree.src`, and
//! `db_printlog` of 5.3.28 on logs that Postgrey 1.37 wrote before SIGTERM, SIGKILL, `db_recover`
//! and another start. The record of the last closing is not in the log file after a clean stop
//! (it is lost in a buffer), which is why the records of opening and closing decide nothing here.

mod records;

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read, Seek};
use std::path::{Path, PathBuf};

use thiserror::Error;

use self::records::{Meaning, walk};
use crate::btree::{Identity, Lsn, PageSource};
use crate::error::ExchangeError;

/// Whether a database file holds all that Postgrey acknowledged. Its text names the cure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Completeness {
    /// It does.
    Complete,
    /// Postgrey was not stopped cleanly (or runs): changes may stand in the logs alone.
    Behind {
        /// The database directory.
        directory: PathBuf,
        /// So many pages of the file are older than the logs.
        pages: u64,
    },
    /// Nothing can be said.
    Unknown {
        /// The database directory.
        directory: PathBuf,
        /// What is in the way.
        why: WhyUnknown,
    },
}

/// Why nothing can be said about a file's completeness.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum WhyUnknown {
    /// There are no logs: deleted, or the file was copied without them.
    #[error("it has no log.* files")]
    NoLogs,
    /// The logs do not mention the file: it was not in use lately, or comes from elsewhere.
    #[error("its log.* files do not mention the database")]
    NotMentioned,
    /// A log between the first and the last is not there.
    #[error("log.{0:010} is not there")]
    Gap(u32),
    /// There are more logs than Postgrey ever leaves.
    #[error("it has {0} log.* files")]
    TooMany(usize),
    /// Logs of another Berkeley DB version.
    #[error("log.{log:010} has version {version}, only version 19 (Berkeley DB 5.3) can be read")]
    Version {
        /// The number of the log.
        log: u32,
        /// Its version.
        version: u32,
    },
    /// A log is damaged, or ends in a half-written record.
    #[error("log.{log:010} cannot be read from offset {offset} on")]
    Damaged {
        /// The number of the log.
        log: u32,
        /// The byte offset of the damage.
        offset: u32,
    },
}

impl Completeness {
    /// Judges the database file `file` by the logs in its directory.
    ///
    /// # Errors
    ///
    /// [`ExchangeError::Io`] if the file, its directory or a log cannot be read; the others if the
    /// file is no Btree that Postgrey could have made.
    pub fn of(file: &Path) -> Result<Self, ExchangeError> {
        let directory = match file.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent.to_path_buf(),
            _ => PathBuf::from("."),
        };
        let io_error = |source| ExchangeError::Io {
            path: file.to_path_buf(),
            source,
        };
        let reader = File::open(file).map_err(io_error)?;
        let mut database = PageSource::open(reader, file)?;
        let judged = judge(&directory, &mut database);
        Ok(match judged {
            Ok(0) => Self::Complete,
            Ok(pages) => Self::Behind { directory, pages },
            Err(Stop::Unknown(why)) => Self::Unknown { directory, why },
            Err(Stop::Io { path, source }) => return Err(ExchangeError::Io { path, source }),
        })
    }
}

impl fmt::Display for Completeness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Complete => f.write_str("the database file is complete"),
            Self::Behind { directory, pages } => {
                let directory = directory.display();
                write!(
                    f,
                    "postgrey was not stopped cleanly: what it changed last stands only in {directory}/log.* and not in the database (pages concerned: {pages}); to have that too, keep postgrey stopped and run \"db_recover -h {directory}\" as the owner of the files (Debian: package db-util), or start postgrey once and stop it, then take the database over again"
                )
            }
            Self::Unknown { directory, why } => write!(
                f,
                "whether the database file is complete cannot be told: {} in {}",
                why,
                directory.display()
            ),
        }
    }
}

/// What ends the judging early.
enum Stop {
    Unknown(WhyUnknown),
    Io { path: PathBuf, source: io::Error },
}

/// The last checkpoint: pages older than `from` are in their files.
#[derive(Debug, Clone, Copy)]
struct Checkpoint {
    from: Lsn,
    /// The number by which the logs knew the database at that time.
    file: Option<u32>,
}

/// The last change of a page.
#[derive(Debug, Clone, Copy)]
struct Change {
    place: Lsn,
    /// A page that was given free may have been cut off from the end of the file.
    freed: bool,
}

/// How many pages of the database are older than the logs.
fn judge<R: Read + Seek>(directory: &Path, database: &mut PageSource<R>) -> Result<u64, Stop> {
    let logs = logs(directory)?;
    let identity = database.identity();
    let checkpoint = last_checkpoint(directory, &logs, &identity)?;
    let mut file = checkpoint.and_then(|checkpoint| checkpoint.file);
    let mut changed = BTreeMap::new();
    // Changes that cannot be looked up in the file.
    let mut doubtful = 0;
    for &log in &logs {
        walk(directory, log, |place, meaning| {
            if checkpoint.is_some_and(|checkpoint| place < checkpoint.from) {
                return;
            }
            match meaning {
                Meaning::Open(id, other) => file = number(file, id, other == identity),
                Meaning::Change { id, pages, freed } if Some(id) == file => {
                    for page in pages.into_iter().flatten() {
                        if changed.len() < PAGES_MAX || changed.contains_key(&page) {
                            changed.insert(page, Change { place, freed });
                        } else {
                            doubtful += 1;
                        }
                    }
                }
                Meaning::OtherChange => doubtful += 1,
                _ => {}
            }
        })?;
    }
    let mut is_behind = |&(&page, change): &(&u32, &Change)| match database.lsn(page) {
        Some(lsn) => lsn < change.place,
        None => !change.freed,
    };
    Ok(doubtful + changed.iter().filter(&mut is_behind).count() as u64)
}

/// The last checkpoint in the logs, if there is one.
fn last_checkpoint(
    directory: &Path,
    logs: &[u32],
    identity: &Identity,
) -> Result<Option<Checkpoint>, Stop> {
    let mut checkpoint = None;
    let mut file = None;
    let mut mentioned = false;
    for &log in logs {
        walk(directory, log, |_, meaning| match meaning {
            Meaning::Checkpoint(from) => checkpoint = Some(Checkpoint { from, file }),
            Meaning::Open(id, other) => {
                file = number(file, id, other == *identity);
                mentioned |= file.is_some();
            }
            _ => {}
        })?;
    }
    if !mentioned {
        return Err(Stop::Unknown(WhyUnknown::NotMentioned));
    }
    Ok(checkpoint)
}

/// The number of the database in the logs after a file, the database or another, has got `id`.
fn number(file: Option<u32>, id: u32, is_database: bool) -> Option<u32> {
    if is_database {
        Some(id)
    } else {
        file.filter(|&file| file != id)
    }
}

/// The numbers of the logs in `directory`, ascending and without a gap.
fn logs(directory: &Path) -> Result<Vec<u32>, Stop> {
    let io_error = |source| Stop::Io {
        path: directory.to_path_buf(),
        source,
    };
    let mut logs = Vec::new();
    for entry in fs::read_dir(directory).map_err(io_error)? {
        let name = entry.map_err(io_error)?.file_name();
        let number = name.to_str().and_then(|name| name.strip_prefix("log."));
        let number = number.filter(|digits| digits.len() == 10);
        logs.extend(number.and_then(|digits| digits.parse::<u32>().ok()));
    }
    if logs.len() > LOGS_MAX {
        return Err(Stop::Unknown(WhyUnknown::TooMany(logs.len())));
    }
    logs.sort_unstable();
    let Some(first) = logs.first() else {
        return Err(Stop::Unknown(WhyUnknown::NoLogs));
    };
    match (*first..)
        .zip(&logs)
        .find(|(expected, log)| expected != *log)
    {
        Some((gap, _)) => Err(Stop::Unknown(WhyUnknown::Gap(gap))),
        None => Ok(logs),
    }
}

/// Postgrey deletes logs that are no longer needed every hour; one has 10 MB.
const LOGS_MAX: usize = 256;

/// So many changed pages are looked at. Postgrey makes a checkpoint every hour.
const PAGES_MAX: usize = 1 << 20;
