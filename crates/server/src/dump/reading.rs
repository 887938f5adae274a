//! The dump file becomes memory: each row is put together with what is remembered already.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use greylatch_core::Query;
use greylatch_exchange::{
    DumpCounts, DumpFault, DumpFaultKind, DumpRow, DumpRows, ExchangeError, RowKind,
};
use greylatch_store::{Store, StoreError};
use greylatch_wording::MilterGreylistEvent;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tracing::{info, warn};

use super::mark::Mark;
use crate::desk::Desk;
use crate::spares::counted;

/// What was found.
pub(super) enum Found {
    /// Memory and the file say the same.
    Same,
    /// Memory may have more than the file.
    Other,
}

impl Found {
    /// After all of the file was read into a memory that was empty, or was not.
    fn after(was_empty: bool) -> Self {
        if was_empty { Self::Same } else { Self::Other }
    }
}

/// Why a file that is there could not be read to its end.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReadError {
    #[error("{0}")]
    File(#[from] ExchangeError),
    #[error("{0}")]
    Rest(DumpFault),
}

/// How long it takes until a store that failed is tried again.
const AGAIN: Duration = Duration::from_millis(200);

/// Rows that are stored at once: they share what storing costs.
const TOGETHER: usize = 64;

/// Lines skipped that are mentioned one by one.
const SKIPPED_TOLD: u64 = 10;

/// Reads the file, unless it is known and what it says is remembered. A store that fails is waited
/// for: until all has been read nobody is judged by what is remembered.
pub(super) async fn run(desk: &Arc<Desk>, path: &Path, mark: &Mark) -> Result<Found, ReadError> {
    let was_empty = is_empty(desk).await;
    if !was_empty && mark.is_of(path) {
        return Ok(Found::Other);
    }
    let rows = match DumpRows::open(path) {
        Ok(rows) => rows,
        Err(error) => {
            if was_empty {
                let path = path.to_string_lossy();
                desk.observer.happened(&MilterGreylistEvent::NoDump(&path));
            }
            return match error {
                ExchangeError::Io { source, .. } if source.kind() == io::ErrorKind::NotFound => {
                    Ok(Found::after(was_empty))
                }
                other => Err(other.into()),
            };
        }
    };
    let counts = take(desk, rows).await?;
    mark.set(path);
    let DumpCounts {
        pending,
        auto,
        tarpit,
        skipped,
    } = counts;
    info!(
        "read {}: {pending} wait, {auto} have passed, {tarpit} of tarpits left out, {skipped} lines skipped",
        path.display()
    );
    Ok(Found::after(was_empty))
}

async fn is_empty(desk: &Desk) -> bool {
    let one = Query {
        limit: 1,
        ..Query::default()
    };
    loop {
        match desk.store.browse(&one).await {
            Ok(page) => return page.records.is_empty() && page.next.is_none(),
            Err(error) => wait_for_store(desk, &error).await,
        }
    }
}

async fn take(desk: &Arc<Desk>, mut rows: DumpRows) -> Result<DumpCounts, ReadError> {
    let mut storing = JoinSet::new();
    let mut told = 0;
    for row in rows.by_ref() {
        let row = match row {
            Ok(row) => row,
            Err(
                fault @ DumpFault {
                    kind: DumpFaultKind::Unreadable(_),
                    ..
                },
            ) => return Err(ReadError::Rest(fault)),
            Err(fault) => {
                told += 1;
                if told <= SKIPPED_TOLD {
                    warn!("the dump file: {fault}");
                }
                continue;
            }
        };
        if matches!(row.kind, RowKind::Tarpit { .. }) {
            continue;
        }
        if storing.len() >= TOGETHER {
            storing.join_next().await;
        }
        storing.spawn(counted(store(desk.clone(), row)));
    }
    storing.join_all().await;
    Ok(rows.counts())
}

async fn store(desk: Arc<Desk>, row: DumpRow) {
    while let Err(error) = desk.merge(&row).await {
        wait_for_store(&desk, &error).await;
    }
}

async fn wait_for_store(desk: &Desk, error: &StoreError) {
    if *error != StoreError::Opening {
        desk.observer.store_failed(error);
    }
    sleep(AGAIN).await;
}
