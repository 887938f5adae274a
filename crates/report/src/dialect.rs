//! What log lines say, one file for each who writes them.
//!
//! A dialect reads a message and knows nothing of the lines before and behind it. Fields that clients
//! choose may hold anything; what is ambiguous is read so that a sender or recipient is as long as it
//! can be, and never another field.

pub(crate) mod exim;
pub(crate) mod fields;
pub(crate) mod milter_greylist;
pub(crate) mod postfix;
pub(crate) mod postgrey;
pub(crate) mod sendmail;
