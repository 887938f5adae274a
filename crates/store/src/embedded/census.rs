//! Counting what a store holds when it is opened, behind its first answers. Reading everything
//! also finds damage before an attempt does.

use std::time::Duration;

use greylatch_core::Timestamp;

use super::engine::Engine;
use super::fault::Fault;
use super::place::Place;
use crate::format::Stored;

/// Records counted between two rests.
const STRIDE: usize = 4_096;
const REST: Duration = Duration::from_millis(1);

/// The counting thread. `records` is what there was before the first commit; what commits change
/// meanwhile they count themselves.
pub(super) fn count(engine: &Engine, records: fjall::Iter) {
    match sum(engine, records) {
        Ok(Some(newest)) => {
            engine.horizon.anchor(newest);
            engine.seen.complete();
        }
        Ok(None) => {}
        Err(fault) => {
            engine.fail(fault);
        }
    }
}

/// The newest time in the store; the outer `None` when it was told to stop.
fn sum(engine: &Engine, records: fjall::Iter) -> Result<Option<Option<Timestamp>>, Fault> {
    let mut newest = None;
    for (at, record) in records.enumerate() {
        let (key, value) = record.into_inner()?;
        let place = Place::try_from(&*key)?;
        let stored = Stored::decode(&place.record_key()?, &value)?;
        newest = newest.max(match stored {
            Stored::Entry(entry) => Some(entry.last),
            Stored::Client(record) => Some(record.last),
            Stored::Network(_) => None,
        });
        engine.tally.changed(None, Some(stored));
        engine.seen.add(&place);
        if at % STRIDE == STRIDE - 1 && !engine.rotation.rest(REST) {
            return Ok(None);
        }
    }
    Ok(Some(newest))
}
