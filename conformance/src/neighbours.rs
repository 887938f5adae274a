//! Two hosts on one wire: network namespaces that hold each other's address
//! for another host's, which within one namespace is not to be had. Root is
//! needed.
//!
//! Source: unshare(1), nsenter(1), ip-link(8) "VETH", network_namespaces(7).

use std::fs;
use std::net::Ipv4Addr;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use crate::process::{Daemon, scratch_folder, wait_for};

const START_MAX: Duration = Duration::from_secs(10);

/// For documentation. Source: RFC 5737 §3.
const ADDRESSES: [Ipv4Addr; 2] = [
    Ipv4Addr::new(198, 51, 100, 1),
    Ipv4Addr::new(198, 51, 100, 2),
];

/// The namespaces; gone when dropped.
pub struct Neighbours {
    /// A process in each.
    holders: [Daemon; 2],
    _folder: TempDir,
}

impl Neighbours {
    /// Makes both and the wire between them.
    ///
    /// # Errors
    /// When this user may not.
    pub fn start() -> Result<Self> {
        let folder = scratch_folder()?;
        let hold = || {
            let mut command = Command::new("unshare");
            command.args(["--net", "sleep", "infinity"]);
            Daemon::start(command, &folder.path().join("stderr"))
        };
        let hosts = Self {
            holders: [hold()?, hold()?],
            _folder: folder,
        };
        let own = fs::read_link("/proc/self/ns/net")?;
        for holder in &hosts.holders {
            let theirs = format!("/proc/{}/ns/net", holder.pid());
            wait_for("a network namespace", START_MAX, || {
                Ok(fs::read_link(&theirs)? != own)
            })?;
        }
        let other = hosts.holders[1].pid().to_string();
        hosts.ip(
            0,
            &[
                "link", "add", "wire", "type", "veth", "peer", "name", "wire", "netns", &other,
            ],
        )?;
        for (place, address) in ADDRESSES.iter().enumerate() {
            let address = format!("{address}/24");
            hosts.ip(place, &["link", "set", "lo", "up"])?;
            hosts.ip(place, &["address", "add", &address, "dev", "wire"])?;
            hosts.ip(place, &["link", "set", "wire", "up"])?;
        }
        Ok(hosts)
    }

    /// The addresses of both.
    pub fn addresses(&self) -> [Ipv4Addr; 2] {
        ADDRESSES
    }

    /// The same command, run by one of them.
    pub(crate) fn run_at(&self, place: usize, command: &Command) -> Command {
        let mut there = Command::new("nsenter");
        there
            .arg("--target")
            .arg(self.holders[place].pid().to_string())
            .arg("--net")
            .arg(command.get_program())
            .args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => there.env(name, value),
                None => there.env_remove(name),
            };
        }
        there
    }

    fn ip(&self, place: usize, words: &[&str]) -> Result<()> {
        let mut command = Command::new("ip");
        command.args(words);
        let done = self.run_at(place, &command).output().context("nsenter")?;
        ensure!(
            done.status.success(),
            "ip {}: {}",
            words.join(" "),
            String::from_utf8_lossy(&done.stderr)
        );
        Ok(())
    }
}
