//! Another's MTA asks the milter: Debian's `miltertest`, by the scripts in
//! `miltertest/`, one for each way in which we answer.
//!
//! Source: miltertest(8).

use anyhow::Result;
use conformance::{
    Clock, EPISODE_START, Endpoint, MilterClient, Plan, Serving, free_port, miltertest,
    scratch_folder,
};
use tempfile::TempDir;

/// What a message gets after the delay.
const HEADER: &str = concat!(
    "delayed 60 seconds by greylatch-",
    env!("CARGO_PKG_VERSION"),
    " at mx.example.org; Tue, 24 Nov 2026 12:01:00 UTC"
);

/// Our daemon, under a clock that the test sets.
struct Scene {
    unix: Endpoint,
    inet: Endpoint,
    clock: Clock,
    _server: Serving,
    _folder: TempDir,
}

impl Scene {
    /// With lines of the table `[greylist]`.
    fn start(greylist: &str) -> Result<Self> {
        let folder = scratch_folder()?;
        let clock = Clock::new(folder.path(), EPISODE_START)?;
        let (socket, port) = (folder.path().join("milter"), free_port()?);
        let server = Serving::start(&Plan {
            listen: &format!(
                "milter = [\"unix:{}\", \"127.0.0.1:{port}\"]",
                socket.display()
            ),
            greylist: &format!("hostname = \"mx.example.org\"\n{greylist}"),
            tables: "[[rule]]\nsender = [\"bad@x.example\"]\nthen = \"refuse\"\n\
                     [[rule]]\nname = [\"friend.example\"]\nthen = \"exempt\"\n",
            clock: Some(&clock),
            ..Plan::new(folder.path(), &folder.path().join("store"))
        })?;
        let unix = Endpoint::Unix(socket);
        let inet = Endpoint::Inet(([127, 0, 0, 1], port).into());
        for endpoint in [&unix, &inet] {
            MilterClient::wait(endpoint)?;
        }
        Ok(Self {
            unix,
            inet,
            clock,
            _server: server,
            _folder: folder,
        })
    }
}

#[test]
fn a_newcomer_waits_and_passes_with_one_header() -> Result<()> {
    let mut scene = Scene::start("")?;
    miltertest("newcomer", &scene.unix, &[])?;
    miltertest("newcomer", &scene.inet, &[])?;
    scene.clock.set(EPISODE_START + 60)?;
    miltertest("retry", &scene.inet, &[("header", HEADER)])
}

#[test]
fn rules_refuse_and_exempt() -> Result<()> {
    miltertest("refused", &Scene::start("")?.inet, &[])
}

#[test]
fn a_bounce_may_be_judged_at_its_end() -> Result<()> {
    let scene = Scene::start("null_sender = \"data\"\n")?;
    miltertest("bounce", &scene.inet, &[])
}

#[test]
fn the_oldest_version_is_spoken() -> Result<()> {
    let mut scene = Scene::start("")?;
    miltertest("oldest", &scene.inet, &[("waits", "1")])?;
    scene.clock.set(EPISODE_START + 60)?;
    miltertest("oldest", &scene.inet, &[("header", HEADER)])
}

#[test]
fn disorder_is_taken_as_it_comes() -> Result<()> {
    let scene = Scene::start("")?;
    miltertest("disorder", &scene.inet, &[])?;
    miltertest("newcomer", &scene.inet, &[])
}
