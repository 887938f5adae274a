//! Every text a person reads: replies, headers, log lines, explanations; one file per dialect.
//!
//! Pure: no clock and no time zone; where a date is printed, the caller gives it as text. All
//! bytes from outside are escaped here, where they leave us.
#![warn(missing_docs)]

mod escape;
mod explain;
mod json;
mod logfmt;
mod milter_greylist;
mod postgrey;
mod record;
mod template;

pub use escape::{escape, escaped};
pub use explain::explain;
pub use json::json_line;
pub use logfmt::logfmt_line;
pub use milter_greylist::{
    AnswerAction, AnswerFormats, DkimFound, Escaping, Format, FormatValues, FoundOut, HeaderReport,
    LogSubject, Lookup, MilterAnswer, MilterGreylistEvent, MilterGreylistLine, PassCause,
    PropertyMatch, RateOverflow, RuleName, Signature, SpfFound, milter_answer, x_greylist,
};
pub use postgrey::{
    Level, POSTGREY_COMPLAINT, POSTGREY_END, postgrey_exempted, postgrey_line, postgrey_notice,
};
pub use record::DecisionRecord;
pub use template::{HeaderTemplate, ReplyTemplate};
