//! Other greylisters' files, in and out.
//!
//! Postgrey's two databases are read natively (no Berkeley DB library) and never written, so that
//! going back to Postgrey works: [`PostgreyFile`] gives their records, [`Completeness`] tells
//! whether the transaction logs beside them hold more. milter-greylist's dump file is text, and
//! goes both ways: [`DumpRows`] and [`DumpWriter`]. What happens to the records is the caller's
//! business: this crate knows neither our store nor our configuration.
#![warn(missing_docs)]
#![deny(clippy::indexing_slicing)]

mod btree;
mod error;
mod milter_greylist;
mod postgrey;

pub use error::{Damage, DamageKind, ExchangeError, Skipped};
pub use milter_greylist::{
    DumpCounts, DumpFault, DumpFaultKind, DumpRow, DumpRows, DumpWriter, RowKind, merge_entries,
};
pub use postgrey::{
    ClientKey, Clients, Completeness, Counts, Parts, PostgreyClient, PostgreyFile, PostgreyTriplet,
    Stored, TripletKey, Triplets, WhyUnknown,
};
