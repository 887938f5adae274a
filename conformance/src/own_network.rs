//! A network of a test's own: nothing but loopback, with addresses that loopback has nowhere else.
//!
//! Source: network_namespaces(7), unshare(2), ip-address(8).

use std::net::Ipv6Addr;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use nix::sched::{CloneFlags, unshare};

/// Moves this thread, and all that it starts from now on, into a network of its own, whose loopback has
/// these addresses besides its own. Root is needed.
///
/// # Errors
/// When this user may not.
pub fn own_network(addresses: &[Ipv6Addr]) -> Result<()> {
    unshare(CloneFlags::CLONE_NEWNET).context("only root can have a network of its own")?;
    ip(&["link", "set", "lo", "up"])?;
    for address in addresses {
        // Nobody else can have it, so it need not be asked for first.
        let address = format!("{address}/128");
        ip(&["address", "add", &address, "dev", "lo", "nodad"])?;
    }
    Ok(())
}

fn ip(words: &[&str]) -> Result<()> {
    let done = Command::new("ip").args(words).output().context("ip")?;
    ensure!(
        done.status.success(),
        "ip {}: {}",
        words.join(" "),
        String::from_utf8_lossy(&done.stderr)
    );
    Ok(())
}
