//! The corpora of the fuzz targets of this crate.

#[path = "../../../fuzz/checks/control.rs"]
mod control;
#[path = "../../../fuzz/checks/greylistd.rs"]
mod greylistd;
#[path = "../../../fuzz/checks/http.rs"]
mod http;
#[path = "../../../fuzz/checks/milter.rs"]
mod milter;
#[path = "../../../fuzz/checks/opensmtpd.rs"]
mod opensmtpd;
#[path = "../../../fuzz/checks/peers.rs"]
mod peers;
#[path = "../../../fuzz/checks/policy.rs"]
mod policy;
#[path = "../../../fuzz/checks/replay.rs"]
mod replay;

use replay::replay;

#[test]
fn the_control_protocol_withstands_its_corpus() {
    replay("control", control::check);
}

#[test]
fn what_is_said_over_http_withstands_its_corpus() {
    replay("http", http::check);
}

#[test]
fn the_protocol_of_greylistd_withstands_its_corpus() {
    replay("greylistd", greylistd::check);
}

#[test]
fn the_protocol_of_peers_withstands_its_corpus() {
    replay("peers", peers::check);
}

#[test]
fn the_policy_protocol_withstands_its_corpus() {
    replay("policy", policy::check);
}

#[test]
fn the_milter_protocol_withstands_its_corpus() {
    replay("milter", milter::check);
}

#[test]
fn the_filter_protocol_withstands_its_corpus() {
    replay("opensmtpd", opensmtpd::check);
}
