//! A real Haraka of the npm registry, with its own configuration, on a high port of 127.0.0.1.
//!
//! It runs from a folder that has `config` and `plugins`, with the plugin and the configuration that are
//! shipped. Mail for `example.org` is taken and written into files by Haraka's plugin `queue/test`.
//! Source: Haraka 3.3.4, `docs/Tutorial.md`, `docs/CoreConfig.md`, `plugins/queue/test.js`.

use std::fs;
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use crate::interpreters::node;
use crate::manual::shipped;
use crate::peers::peer;
use crate::process::{Daemon, free_port, scratch_folder, wait_for};

const START_MAX: Duration = Duration::from_secs(60);
const DELIVERY_MAX: Duration = Duration::from_secs(30);

/// Who takes recipients, asks, and takes messages.
const PLUGINS: &str = "rcpt_to.in_host_list\ngreylatch\nqueue/test\n";

/// A running Haraka.
pub struct Haraka {
    daemon: Daemon,
    folder: TempDir,
    port: u16,
}

impl Haraka {
    /// Starts one that asks as `greylatch.ini` says, and waits until it listens.
    ///
    /// # Errors
    /// When it is missing, or does not listen within 60 s; the text has its log.
    pub fn start(ini: &str) -> Result<Self> {
        Self::start_trusting(ini, None)
    }

    /// The same of one that trusts a certificate of one's own.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn start_trusting(ini: &str, certificate: Option<&Path>) -> Result<Self> {
        let folder = scratch_folder()?;
        let port = free_port()?;
        lay_out(folder.path(), port, ini)?;
        // It logs to standard output.
        let mut command = Command::new("sh");
        command
            .args(["-c", "exec \"$@\" >&2", "sh"])
            .arg(node()?)
            .arg(peer("haraka")?.join("node_modules/Haraka/bin/haraka"))
            .arg("-c")
            .arg(folder.path())
            .current_dir(folder.path())
            // Where `queue/test` writes.
            .env("TMPDIR", folder.path().join("mail"));
        if let Some(certificate) = certificate {
            command.env("NODE_EXTRA_CA_CERTS", certificate);
        }
        let daemon = Daemon::start(command, &folder.path().join("log"))?;
        let mut haraka = Self {
            daemon,
            folder,
            port,
        };
        haraka.wait_until_it_listens()?;
        Ok(haraka)
    }

    /// Where it listens, on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its log.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn log(&self) -> Result<String> {
        Ok(String::from_utf8_lossy(&self.daemon.stderr()?).into_owned())
    }

    /// The messages that were taken, once there are `count`.
    ///
    /// # Errors
    /// When they do not come within 30 s.
    pub fn mail(&self, count: usize) -> Result<Vec<String>> {
        let folder = self.folder.path().join("mail");
        let mut messages = Vec::new();
        wait_for("the mail", DELIVERY_MAX, || {
            messages.clear();
            for file in fs::read_dir(&folder)? {
                messages.push(fs::read_to_string(file?.path())?);
            }
            Ok(messages.len() >= count)
        })
        .with_context(|| format!("mail: {}", self.log().unwrap_or_default()))?;
        Ok(messages)
    }

    fn wait_until_it_listens(&mut self) -> Result<()> {
        let port = self.port;
        let listens = wait_for("Haraka", START_MAX, || {
            ensure!(self.daemon.is_running()?, "it ended");
            Ok(TcpStream::connect(("127.0.0.1", port)).is_ok())
        });
        listens.with_context(|| format!("log of Haraka: {}", self.log().unwrap_or_default()))
    }
}

fn lay_out(folder: &Path, port: u16, ini: &str) -> Result<()> {
    let config = folder.join("config");
    for name in ["config", "plugins", "mail"] {
        fs::create_dir(folder.join(name))?;
    }
    fs::copy(
        peer("haraka")?.join("node_modules/Haraka/config/connection.ini"),
        config.join("connection.ini"),
    )?;
    for (name, text) in [
        ("smtp.ini", format!("listen=127.0.0.1:{port}\nnodes=0\n")),
        ("plugins", PLUGINS.to_owned()),
        ("host_list", "example.org\n".to_owned()),
        ("me", "mx.example.org\n".to_owned()),
        ("log.ini", "[main]\nlevel=info\n".to_owned()),
        ("greylatch.ini", ini.to_owned()),
    ] {
        fs::write(config.join(name), text).with_context(|| name.to_owned())?;
    }
    let plugin = shipped("haraka/plugins/greylatch.js")?;
    fs::write(folder.join("plugins/greylatch.js"), plugin)?;
    Ok(())
}
