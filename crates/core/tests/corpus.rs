//! The corpora of the fuzz targets of this crate.

#[path = "../../../fuzz/checks/identity.rs"]
mod identity;
#[path = "../../../fuzz/checks/replay.rs"]
mod replay;

use replay::replay;

#[test]
fn identities_withstand_their_corpus() {
    replay("identity", identity::check);
}
