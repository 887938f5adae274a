//! The corpora of the fuzz targets of this crate.

#[path = "../../../fuzz/checks/database.rs"]
mod database;
#[path = "../../../fuzz/checks/dump.rs"]
mod dump;
#[path = "../../../fuzz/checks/logs.rs"]
mod logs;
#[path = "../../../fuzz/checks/replay.rs"]
mod replay;

use replay::replay;

#[test]
fn the_databases_withstand_their_corpus() {
    replay("database", database::check);
}

#[test]
fn the_logs_withstand_their_corpus() {
    replay("logs", logs::check);
}

#[test]
fn the_dump_files_withstand_their_corpus() {
    replay("dump", dump::check);
}
