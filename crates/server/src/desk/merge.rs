//! The desk's third side: entries that another greylister remembers, from its file or as it tells
//! them.

use std::net::IpAddr;

use greylatch_core::{
    Attempt, Change, Entry, EntryChange, PeerEvent, Query, Record, Standing, Timestamp, Timing,
    Triplet,
};
use greylatch_exchange::{DumpRow, RowKind, merge_entries};
use greylatch_store::{Commit, Store, StoreError};

use super::{Case, Desk, TRIES_MAX};
use crate::clock;

impl Desk {
    /// Takes note of what another mail exchanger saw; gives how many records that touched.
    pub(super) async fn hear(&self, event: PeerEvent) -> Result<u64, StoreError> {
        let (triplet, when, kind) = match event {
            PeerEvent::Pending { triplet, due } => (triplet, due, RowKind::Pending),
            PeerEvent::Accepted {
                triplet, expires, ..
            } => {
                let own = || clock::now().plus(self.foreign_timing().lifetime);
                (triplet, expires.unwrap_or_else(own), RowKind::Auto)
            }
            PeerEvent::Flushed(client) => return self.flush(client).await,
        };
        let row = DumpRow {
            client: triplet.client,
            sender: triplet.sender,
            recipient: triplet.recipient,
            when,
            kind,
        };
        self.merge(&row).await.map(u64::from)
    }

    /// Remembers a row, unless what is remembered counts for more; says whether that changed
    /// anything.
    pub(crate) async fn merge(&self, row: &DumpRow) -> Result<bool, StoreError> {
        let now = clock::now();
        let identity = &self.settings.identity;
        let Some(Record::Triplet {
            client,
            sender,
            recipient,
            entry: theirs,
            ..
        }) = row.record(identity, &self.foreign_timing(), now)
        else {
            return Ok(false);
        };
        let keys = self.settings.keying.keys(
            Triplet::new(identity.school, &client, &sender, &recipient),
            identity.client_text(row.client),
            identity.network(row.client),
            false,
        );
        let mut memory = self.store.load(&keys, |_| false).await?;
        for _ in 0..TRIES_MAX {
            let ours = memory.entry.filter(|entry| counts(entry, now));
            let entry = ours.map_or(theirs, |ours| merge_entries(ours, theirs));
            if memory.entry == Some(entry) {
                return Ok(false);
            }
            let change = Change {
                entry: EntryChange::Put(entry),
                client: None,
                network_proven_until: (entry.standing == Standing::Proven).then_some(entry.expires),
            };
            match self.store.commit(&keys, &memory, &change).await? {
                Commit::Done => {
                    self.changes.note();
                    return Ok(true);
                }
                Commit::Conflict(current) => memory = current,
            }
        }
        Ok(false)
    }

    /// Removes all entries of a client's network; gives how many of them still counted.
    pub(super) async fn flush(&self, client: IpAddr) -> Result<u64, StoreError> {
        let known = self.client_identity(client);
        let mut query = Query {
            matching: Some(known.clone()),
            ..Query::default()
        };
        let now = clock::now();
        let (mut any, mut counted) = (false, 0);
        loop {
            let mut page = self.store.browse(&query).await?;
            // The text may also stand in an address.
            page.records.retain(
                |record| matches!(record, Record::Triplet { client, .. } if *client == known),
            );
            any |= self.store.remove(&page.records).await? > 0;
            let live = page.records.iter().filter(|record| match record {
                Record::Triplet { entry, .. } => counts(entry, now),
                Record::Client { .. } => false,
            });
            counted += live.count() as u64;
            match page.next {
                Some(next) => query.after = Some(next),
                None => break,
            }
        }
        if any {
            self.changes.note();
        }
        Ok(counted)
    }

    /// Until when a client passes by what others of its network have shown, where that suffices.
    pub(crate) async fn client_known_until(
        &self,
        client: IpAddr,
    ) -> Result<Option<Timestamp>, StoreError> {
        let case = Case {
            attempt: &Attempt::new(),
            client: Some(client),
            now: clock::now(),
        };
        Ok(self.recall(&case).await?.network_proven_until)
    }

    fn client_identity(&self, client: IpAddr) -> Vec<u8> {
        let nobody = Attempt::new();
        let triplet = self.settings.identity.triplet(client, &nobody);
        triplet.client().to_vec()
    }

    /// How long entries of others wait and are remembered.
    fn foreign_timing(&self) -> Timing {
        let rulebook = self.rulebook.load();
        let acl = rulebook.acl();
        acl.map_or(self.settings.timing, |acl| acl.usual_timing())
    }
}

/// Whether an entry is still good for anything.
fn counts(entry: &Entry, now: Timestamp) -> bool {
    match entry.standing {
        Standing::Waiting | Standing::Proven => now <= entry.expires,
        Standing::Allowed | Standing::Refused => true,
    }
}
