//! The corpora of the fuzz targets of this crate.

#[path = "../../../fuzz/checks/greylist_conf.rs"]
mod greylist_conf;
#[path = "../../../fuzz/checks/lists.rs"]
mod lists;
#[path = "../../../fuzz/checks/remark.rs"]
mod remark;
#[path = "../../../fuzz/checks/replay.rs"]
mod replay;
#[path = "../../../fuzz/checks/rules.rs"]
mod rules;
#[path = "../../../fuzz/checks/terms.rs"]
mod terms;

use replay::replay;

#[test]
fn the_lists_withstand_their_corpus() {
    replay("lists", lists::check);
}

#[test]
fn the_rules_withstand_their_corpus() {
    replay("rules", rules::check);
}

#[test]
fn greylist_conf_withstands_its_corpus() {
    replay("greylist_conf", greylist_conf::check);
}
