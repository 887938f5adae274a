//! The corpora of the fuzz targets of this crate.

#[path = "../../../fuzz/checks/format.rs"]
mod format;
#[path = "../../../fuzz/checks/replay.rs"]
mod replay;

use replay::replay;

#[test]
fn the_format_strings_withstand_their_corpus() {
    replay("format", format::check);
}
