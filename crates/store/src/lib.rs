//! Memory that outlives the process: records are loaded, compared and set, swept and listed.
//!
//! A store knows nothing of delays and reads no clock of the world: what a record means is for
//! `greylatch_core::decide` alone. [`Store`] is the seam, [`AnyStore`] the stores there are.
#![warn(missing_docs)]

mod commit;
mod embedded;
mod error;
mod format;
mod key;
mod listing;
mod memory;
mod open;
mod store;
mod tally;
mod turn;

pub use embedded::{Embedded, EmbeddedOptions, Sync};
pub use error::StoreError;
pub use key::{Key, Keying, Keys, Kind};
pub use memory::MemoryStore;
pub use open::AnyStore;
pub use store::{Commit, Store};
pub use turn::give_way;
