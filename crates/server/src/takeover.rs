//! Postgrey's memory becomes ours, once, at the first start in its place. Its files are only read,
//! so that going back works.

use std::fs;
use std::path::Path;
use std::time::Duration;

use greylatch_core::{
    ClientRecord, Entry, Record, School, Seconds, Timing, Triplet, postgrey_text,
};
use greylatch_exchange::{
    ClientKey, Clients, Completeness, ExchangeError, PostgreyClient, PostgreyFile, PostgreyTriplet,
    TripletKey, Triplets,
};
use greylatch_store::{Kind, Store, StoreError};
use tracing::{error, info, warn};

use crate::clock::{self, monotonic};
use crate::config::Config;
use crate::desk::Desk;
use crate::lists::terms;

/// Records stored at once.
const BATCH: usize = 1_000;

/// How often progress is told.
const PROGRESS: Duration = Duration::from_secs(1);

/// Beside our store: Postgrey's memory has been taken over.
const MARK: &str = "taken-over";

#[derive(Debug, thiserror::Error)]
enum TakeoverError {
    #[error("{0}")]
    File(#[from] ExchangeError),
    #[error("{0}")]
    Store(#[from] StoreError),
}

/// Takes over the database in `dbdir`, unless that has been done or there is none. What cannot be
/// read is told; the daemon starts all the same.
pub(crate) async fn run(desk: &Desk, dbdir: &Path, config: &Config) {
    let mark = dbdir.join("greylatch").join(MARK);
    let database = dbdir.join("postgrey.db");
    if mark.exists() || !database.exists() {
        return;
    }
    info!("taking over Postgrey's memory from {}", dbdir.display());
    let timing = terms(&config.greylist).timing;
    let school = desk.settings.identity.school;
    let triplets = take(
        desk,
        &database,
        |file| file.triplets(clock::now().0),
        Triplets::page,
        |triplet| triplet_record(triplet, school, &timing, desk),
    );
    let mut taken = match triplets.await {
        Ok(taken) => taken,
        Err(error) => {
            error!("Postgrey's memory cannot be taken over, so every sender is new: {error}");
            return;
        }
    };
    let clients = dbdir.join("postgrey_clients.db");
    if clients.exists() {
        let clients = take(
            desk,
            &clients,
            |file| file.clients(clock::now().0),
            Clients::page,
            |client| client_record(client, timing.lifetime, desk),
        );
        match clients.await {
            Ok(clients) => taken += clients,
            Err(error) => error!("Postgrey's exempt clients cannot be taken over: {error}"),
        }
    }
    info!("took over {taken} records of Postgrey; its files stay as they are");
    if let Err(error) = fs::write(&mark, format!("{taken}\n")) {
        warn!(
            "{} cannot be written, so the next start takes over again: {error}",
            mark.display()
        );
    }
}

/// Stores what `convert` makes of the `records` of a file; gives how many there were. `page` says
/// how far the reading is.
async fn take<T, I, S>(
    desk: &Desk,
    path: &Path,
    records: impl FnOnce(PostgreyFile) -> I,
    page: impl Fn(&I) -> u32,
    convert: impl Fn(T) -> Option<Record>,
) -> Result<u64, TakeoverError>
where
    I: Iterator<Item = Result<T, S>>,
    S: std::fmt::Display,
{
    match Completeness::of(path)? {
        Completeness::Complete => {}
        incomplete => warn!("{}: {incomplete}", path.display()),
    }
    let mut batch = Vec::with_capacity(BATCH);
    let (mut taken, mut skipped, mut told) = (0_u64, 0_u64, monotonic());
    let file = PostgreyFile::open(path)?;
    let pages = file.pages();
    info!("reading {pages} pages of {}", path.display());
    let mut records = records(file);
    while let Some(read) = records.next() {
        match read.map(&convert) {
            Ok(Some(record)) => batch.push(record),
            Ok(None) => skipped += 1,
            Err(why) => {
                skipped += 1;
                if skipped <= SKIPPED_TOLD {
                    warn!("{}: {why}", path.display());
                }
            }
        }
        if batch.len() >= BATCH {
            taken += batch.len() as u64;
            desk.store.put(&batch).await?;
            batch.clear();
            if told.elapsed() >= PROGRESS {
                told = monotonic();
                let page = page(&records);
                info!("{taken} records taken over, page {page} of {pages}");
            }
        }
    }
    desk.store.put(&batch).await?;
    if skipped > 0 {
        warn!(
            "{}: {skipped} records could not be taken over",
            path.display()
        );
    }
    Ok(taken + batch.len() as u64)
}

/// Skipped records that are mentioned one by one.
const SKIPPED_TOLD: u64 = 10;

fn triplet_record(
    read: PostgreyTriplet,
    school: School,
    timing: &Timing,
    desk: &Desk,
) -> Option<Record> {
    let first = greylatch_core::Timestamp(read.first_s);
    let last = greylatch_core::Timestamp(read.last_s);
    let entry = Entry::remembered(first, last, timing);
    if let TripletKey::Hashed(digits) = &read.key {
        let key = desk
            .settings
            .keying
            .of_postgrey_hash(Kind::Triplet, digits)
            .bytes();
        return Some(Record::Triplet {
            key,
            client: vec![],
            sender: vec![],
            recipient: vec![],
            entry,
        });
    }
    let parts = read.key.parts()?;
    let triplet = Triplet::new(school, parts.client, parts.sender, parts.recipient);
    let mut record = Record::Triplet {
        key: [0; 16],
        client: triplet.client().to_vec(),
        sender: triplet.sender().to_vec(),
        recipient: triplet.recipient().to_vec(),
        entry,
    };
    desk.make_key(&mut record);
    Some(record)
}

fn client_record(read: PostgreyClient, lifetime: Seconds, desk: &Desk) -> Option<Record> {
    let last = greylatch_core::Timestamp(read.last_s);
    let record = ClientRecord {
        passes: read.count,
        last,
        expires: last.plus(lifetime),
    };
    match read.key {
        ClientKey::Hashed(digits) => {
            let key = desk
                .settings
                .keying
                .of_postgrey_hash(Kind::Client, &digits)
                .bytes();
            Some(Record::Client {
                key,
                address: vec![],
                record,
            })
        }
        ClientKey::Address(address) => {
            let address = postgrey_text(address).to_ascii_uppercase().into_bytes();
            let mut record = Record::Client {
                key: [0; 16],
                address,
                record,
            };
            desk.make_key(&mut record);
            Some(record)
        }
    }
}
