//! The corpora of the fuzz targets of this crate.

#[path = "../../../fuzz/checks/mail_log.rs"]
mod mail_log;
#[path = "../../../fuzz/checks/replay.rs"]
mod replay;
#[path = "../../../fuzz/checks/report.rs"]
mod report;

use replay::replay;

#[test]
fn the_report_withstands_its_corpus() {
    replay("report", report::check);
}

#[test]
fn a_report_on_any_log_withstands_its_corpus() {
    replay("mail_log", mail_log::check);
}
