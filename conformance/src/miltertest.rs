//! Debian's `miltertest`, an MTA that does what a Lua script says.
//!
//! Source: miltertest(8).

use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, Result, ensure};

use crate::greylister::Endpoint;
use crate::peers::peer_program;

/// Runs `conformance/miltertest/SCRIPT.lua` against the filter at `endpoint`.
/// The script has the filter's place as `socket`, and `globals` as variables.
///
/// # Errors
/// When it ends with an error; the text has what the script said.
pub fn miltertest(script: &str, endpoint: &Endpoint, globals: &[(&str, &str)]) -> Result<()> {
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("miltertest");
    let socket = match endpoint {
        Endpoint::Unix(path) => format!("local:{}", path.display()),
        Endpoint::Inet(address) => format!("inet:{}@{}", address.port(), address.ip()),
    };
    let mut command = peer_program("miltertest")?;
    command
        .arg("-s")
        .arg(scripts.join("run.lua"))
        .stdin(Stdio::null());
    let script_path = format!("{}/{script}.lua", scripts.display());
    let own = [("script", &*script_path), ("socket", &*socket)];
    for (name, value) in own.iter().chain(globals) {
        command.arg("-D").arg(format!("{name}={value}"));
    }
    let done = command.output().context("cannot start miltertest")?;
    let said = String::from_utf8_lossy(&done.stderr);
    ensure!(done.status.success(), "{script}: {}: {said}", done.status);
    Ok(())
}
