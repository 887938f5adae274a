//! Log lines in, tables out.
//!
//! Pure: the caller reads files, compiles patterns, asks stores and name servers, and knows the
//! time. A log comes as blocks of bytes and is cut into [`Lines`]; what stands in a line is read by
//! one file for each dialect; what is kept of it is bounded and has a name.
#![warn(missing_docs)]

mod delivery;
mod dialect;
mod entry;
mod fatal;
mod findings;
mod formed;
mod former;
mod found;
mod groups;
mod intake;
mod journal;
mod keyed;
mod layout;
mod ledger;
mod lines;
mod postfix;
mod queue;
mod reader;
mod remembered;
mod render;
mod shelf;
mod sighting;
mod sightings;
mod stamp;
mod success;
mod table;
mod texts;
mod whatif;

pub use fatal::{FatalTriplet, FatalTriplets, TooManyTriplets};
pub use findings::Sources;
pub use formed::{FormedTriplets, TripletFormer};
pub use found::Found;
pub use intake::{Intake, IntakeCounts, Messages};
pub use layout::{Layout, Printer};
pub use ledger::{Ledger, Period};
pub use lines::{LINE_MAX, Lines};
pub use postfix::Deferred;
pub use reader::Reader;
pub use remembered::Remembered;
pub use render::{to_csv, to_html, to_json, to_text};
pub use sightings::Sightings;
pub use stamp::Stamps;
pub use success::SuccessAfter;
pub use table::{Report, Table};
pub use whatif::{Replayed, WhatIf};
