//! Other greylisters' files, in and out.
//!
//! For now: Postgrey's two databases, read natively (no Berkeley DB library) and never written, so
//! that going back to Postgrey works. [`PostgreyFile`] gives their records, [`Completeness`] tells
//! whether the transaction logs beside them hold more. What happens to the records is the
//! caller's business: this crate knows neither our store nor our configuration.
#![warn(missing_docs)]
#![deny(clippy::indexing_slicing)]

mod btree;
mod error;
mod postgrey;

pub use error::{Damage, DamageKind, ExchangeError, Skipped};
pub use postgrey::{
    ClientKey, Clients, Completeness, Counts, Parts, PostgreyClient, PostgreyFile, PostgreyTriplet,
    TripletKey, Triplets, WhyUnknown,
};
