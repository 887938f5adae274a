//! Memory becomes the dump file, a page at a time; the old file stays until the new one is whole.

use std::fs::{self, File, Permissions};
use std::io::{self, BufWriter};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use greylatch_core::{Page, Query, Record, Timestamp};
use greylatch_exchange::{DumpRow, DumpWriter, RowKind};
use greylatch_store::{Store, StoreError};
use tokio::runtime::Handle;

use super::settings;
use crate::clock;
use crate::desk::Desk;

#[derive(Debug, thiserror::Error)]
pub(super) enum WriteError {
    #[error("cannot write {}: {source}", .path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("{0}")]
    Store(#[from] StoreError),
}

/// The mode of a file whose `dumpfile` statement has none. Source: milter-greylist 4.6.4 as
/// observed by running it.
const MODE: u32 = 0o600;

/// A local time, as the original writes it.
const TIME: &str = "%Y-%m-%d %H:%M:%S";

/// Who writes, for the head of the file.
const BY: &str = concat!("greylatch-", env!("CARGO_PKG_VERSION"));

/// Writes the file and says how many rows it has. Blocks, so it is for a thread of its own.
pub(super) fn write(desk: &Desk, path: &Path, runtime: &Handle) -> Result<u64, WriteError> {
    let mut name = path.as_os_str().to_owned();
    name.push("-new");
    let new = PathBuf::from(name);
    // One that was cut short; where it cannot be removed it cannot be made either.
    let _ = fs::remove_file(&new);
    let written = fill(desk, &new, runtime).and_then(|records| {
        let renamed = fs::rename(&new, path);
        renamed.map_err(|source| failed(path, source))?;
        Ok(records)
    });
    if written.is_err() {
        // What is left of it is removed by the next dump at the latest.
        let _ = fs::remove_file(&new);
    }
    written
}

fn failed(path: &Path, source: io::Error) -> WriteError {
    WriteError::File {
        path: path.to_owned(),
        source,
    }
}

fn fill(desk: &Desk, new: &Path, runtime: &Handle) -> Result<u64, WriteError> {
    let failed = |source| failed(new, source);
    let mode = settings(desk, |settings| settings.dumpfile.as_ref()?.mode);
    let has_dates = !settings(desk, |settings| settings.dump_no_time_translation).unwrap_or(false);
    let file = File::options()
        .write(true)
        .create_new(true)
        .mode(MODE)
        .open(new)
        .map_err(failed)?;
    let now = clock::now();
    let on = clock::local(now, TIME);
    let mut writer = DumpWriter::new(BufWriter::new(file), BY, &on).map_err(failed)?;
    let mut query = Query::default();
    let mut records = 0;
    loop {
        let page = runtime.block_on(desk.store.browse(&query))?;
        let rows = rows(desk, &page, now, runtime)?;
        tell_over(desk, &page, now);
        for row in &rows {
            let words = has_dates.then(|| clock::local(row.when, TIME));
            writer.row(row, words.as_deref()).map_err(failed)?;
        }
        records += rows.len() as u64;
        match page.next {
            Some(next) => query.after = Some(next),
            None => break,
        }
    }
    desk.changes.tell_over(now);
    let file = writer.finish().map_err(failed)?;
    let file = file.get_ref();
    let permissions = Permissions::from_mode(mode.flatten().unwrap_or(MODE));
    file.set_permissions(permissions).map_err(failed)?;
    file.sync_all().map_err(failed)?;
    Ok(records)
}

/// Writes down which entries of a page are over since this was done last, if that is wanted.
fn tell_over(desk: &Desk, page: &Page, now: Timestamp) {
    let told = desk.changes.over_told();
    for record in &page.records {
        let Record::Triplet { entry, .. } = record else {
            continue;
        };
        if (told..now).contains(&entry.expires)
            && let Some(row) = DumpRow::of_record(record, Timestamp(i64::MIN))
        {
            desk.tell_over(row.client, &row.sender, &row.recipient);
        }
    }
}

/// The rows of a page. Where one entry that passed makes its client known (`lazyaw`), it counts for as
/// long as the client does, whoever else has renewed that.
fn rows(
    desk: &Desk,
    page: &Page,
    now: Timestamp,
    runtime: &Handle,
) -> Result<Vec<DumpRow>, StoreError> {
    let is_lazy = settings(desk, |settings| settings.lazyaw).unwrap_or(false);
    let mut rows = Vec::new();
    for record in &page.records {
        if !is_lazy {
            rows.extend(DumpRow::of_record(record, now));
            continue;
        }
        let Some(mut row) = DumpRow::of_record(record, Timestamp(i64::MIN)) else {
            continue;
        };
        if row.kind == RowKind::Auto {
            let known = runtime.block_on(desk.client_known_until(row.client))?;
            row.when = row.when.max(known.unwrap_or(row.when));
        }
        if row.when >= now || DumpRow::of_record(record, now).is_some() {
            rows.push(row);
        }
    }
    Ok(rows)
}
