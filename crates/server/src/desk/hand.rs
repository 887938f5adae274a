//! What an administrator sets and takes away by hand, one identity at a time.

use greylatch_core::{Answer, Attempt, Entry, Field, Page, Record, Standing, Triplet};
use greylatch_store::{Store, StoreError};
use greylatch_wording::escaped;

use super::{Case, Desk};
use crate::clock;

impl Desk {
    /// Remembers an attempt's identity as this, whatever was remembered of it.
    pub(super) async fn set(
        &self,
        attempt: &Attempt,
        standing: Standing,
    ) -> Result<Answer, StoreError> {
        let case = self.open(attempt, clock::now());
        let Some(triplet) = self.triplet(&case) else {
            return Ok(nobody(&case));
        };
        let timing = self.rulebook.load().terms.timing;
        let entry = Entry::set(standing, case.now, &timing);
        self.put(vec![record(&triplet, entry)]).await
    }

    /// Forgets an attempt's identity; tells the record that was there.
    pub(super) async fn forget(&self, attempt: &Attempt) -> Result<Answer, StoreError> {
        let case = self.open(attempt, clock::now());
        let (Some((keys, _)), Some(triplet)) = (self.keys(&case, false), self.triplet(&case))
        else {
            return Ok(nobody(&case));
        };
        let memory = self.store.load(&keys, |_| false).await?;
        let mut records: Vec<Record> = memory
            .entry
            .map(|entry| record(&triplet, entry))
            .into_iter()
            .collect();
        records.iter_mut().for_each(|record| self.make_key(record));
        if self.store.remove(&records).await? == 0 {
            records.clear();
        }
        self.changes.note();
        Ok(Answer::Page(Page {
            records,
            next: None,
        }))
    }
}

/// A record whose key is still to be made.
fn record(triplet: &Triplet, entry: Entry) -> Record {
    Record::Triplet {
        key: [0; 16],
        client: triplet.client().to_vec(),
        sender: triplet.sender().to_vec(),
        recipient: triplet.recipient().to_vec(),
        entry,
    }
}

fn nobody(case: &Case<'_>) -> Answer {
    let text = escaped(case.attempt.text(Field::ClientAddress));
    Answer::Failed(format!("`{text}` is no address"))
}
