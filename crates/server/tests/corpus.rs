//! The corpora of the fuzz targets of this crate.

#[path = "../../../fuzz/checks/configuration.rs"]
mod configuration;
#[path = "../../../fuzz/checks/replay.rs"]
mod replay;

use replay::replay;

#[test]
fn the_configuration_withstands_its_corpus() {
    replay("configuration", configuration::check);
}
