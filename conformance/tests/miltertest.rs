//! Another's MTA asks the milter: Debian's `miltertest`, by the scripts in
//! `miltertest/`, one for each way in which we answer.
//!
//! Source: miltertest(8).

use anyhow::Result;
use conformance::{EPISODE_START, MilterServer, miltertest};

/// What a message gets after the delay.
const HEADER: &str = concat!(
    "delayed 60 seconds by greylatch-",
    env!("CARGO_PKG_VERSION"),
    " at mx.example.org; Tue, 24 Nov 2026 12:01:00 UTC"
);

/// With lines of the table `[greylist]`.
fn start(greylist: &str) -> Result<MilterServer> {
    MilterServer::start("", greylist)
}

#[test]
fn a_newcomer_waits_and_passes_with_one_header() -> Result<()> {
    let mut scene = start("")?;
    miltertest("newcomer", &scene.unix, &[])?;
    miltertest("newcomer", &scene.inet, &[])?;
    scene.clock.set(EPISODE_START + 60)?;
    miltertest("retry", &scene.inet, &[("header", HEADER)])
}

#[test]
fn rules_refuse_and_exempt() -> Result<()> {
    miltertest("refused", &start("")?.inet, &[])
}

#[test]
fn a_bounce_may_be_judged_at_its_end() -> Result<()> {
    let scene = start("null_sender = \"data\"\n")?;
    miltertest("bounce", &scene.inet, &[])
}

#[test]
fn the_oldest_version_is_spoken() -> Result<()> {
    let mut scene = start("")?;
    miltertest("oldest", &scene.inet, &[("waits", "1")])?;
    scene.clock.set(EPISODE_START + 60)?;
    miltertest("oldest", &scene.inet, &[("header", HEADER)])
}

#[test]
fn disorder_is_taken_as_it_comes() -> Result<()> {
    let scene = start("")?;
    miltertest("disorder", &scene.inet, &[])?;
    miltertest("newcomer", &scene.inet, &[])
}
