//! Log lines in, tables out.
//!
//! Pure: the caller reads files, compiles patterns, asks stores and name servers, and knows the
//! time. A log comes as blocks of bytes and is cut into [`Lines`]; what stands in a line is read by
//! one file for each dialect; what is kept of it is bounded and has a name.
#![warn(missing_docs)]

mod fatal;
mod layout;
mod lines;
mod postfix;
mod success;

pub use fatal::{FatalTriplet, FatalTriplets, TooManyTriplets};
pub use layout::{Layout, Printer};
pub use lines::{LINE_MAX, Lines};
pub use postfix::Deferred;
pub use success::SuccessAfter;
