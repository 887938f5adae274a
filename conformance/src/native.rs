//! Running ours under its own name, with a configuration of the test.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::greylister::Endpoint;
use crate::message::Message;
use crate::peers::greylatch_binary;
use crate::policy::PolicyClient;
use crate::process::{Daemon, wait_for};

const START_MAX: Duration = Duration::from_secs(20);

/// What holds where the test says nothing of the option.
const USUAL: [(&str, &str); 5] = [
    ("listen.policy", "[\"unix:DIR/policy\"]"),
    ("listen.control", "\"unix:DIR/control\""),
    ("store.url", "\"memory:\""),
    ("policy.test_time", "true"),
    ("log.to", "\"stderr\""),
];

/// A running `greylatch serve`.
pub struct Native {
    daemon: Daemon,
    folder: PathBuf,
}

impl Native {
    /// Starts it in `folder` and waits until it answers on its control socket. In the
    /// configuration, which has its options as dotted keys, `DIR` stands for the folder.
    ///
    /// # Errors
    /// When it ends, or does not answer within 20 s; the text has what it wrote.
    pub fn start(folder: &Path, configuration: &str) -> Result<Self> {
        let mut daemon = Daemon::start(
            Self::command(folder, configuration)?,
            &folder.join("stderr"),
        )?;
        let control = Endpoint::Unix(folder.join("control"));
        wait_for("its control socket", START_MAX, || {
            ensure!(
                daemon.is_running()?,
                "it ended at start: {}",
                String::from_utf8_lossy(&daemon.stderr()?)
            );
            Ok(PolicyClient::connect(&control).is_ok())
        })?;
        Ok(Self {
            daemon,
            folder: folder.to_owned(),
        })
    }

    /// The command that [`Native::start`] starts, its configuration written.
    ///
    /// # Errors
    /// When the program is not there or the file cannot be written.
    pub fn command(folder: &Path, configuration: &str) -> Result<Command> {
        let usual = USUAL
            .iter()
            .filter(|(name, _)| !configuration.contains(name))
            .map(|(name, value)| format!("{name} = {value}\n"));
        let text = usual.collect::<String>() + configuration;
        let path = folder.join("greylatch.toml");
        fs::write(&path, text.replace("DIR", &folder.to_string_lossy()))?;
        let mut command = Command::new(greylatch_binary()?);
        command
            .args(["serve", "--config"])
            .arg(path)
            // An option that is ignored must not lead to the state of this machine.
            .env("XDG_STATE_HOME", folder.join("state"))
            .env_remove("STATE_DIRECTORY");
        Ok(command)
    }

    /// A new connection to `DIR/policy`.
    ///
    /// # Errors
    /// When it does not accept one.
    pub fn connect(&self) -> Result<PolicyClient> {
        PolicyClient::connect(&Endpoint::Unix(self.folder.join("policy")))
    }

    /// The action that it answers when `message` comes at the second `at`.
    ///
    /// # Errors
    /// When there is no answer.
    pub fn ask_at(&self, at: u64, message: &Message) -> Result<String> {
        let message = message
            .clone()
            .with("policy_test_time", at.to_string().as_bytes());
        let answer = String::from_utf8(self.connect()?.ask(&message.bytes())?)?;
        let action = answer.strip_prefix("action=").context("no action")?;
        Ok(action.trim_end().to_owned())
    }

    /// Runs a tool against it, for example `status`, with more words.
    ///
    /// # Errors
    /// When the program cannot be started.
    pub fn tool(&self, name: &str, words: &[&str]) -> Result<Output> {
        Command::new(greylatch_binary()?)
            .args([name, "--control"])
            .arg(self.folder.join("control"))
            .args(words)
            .output()
            .context("a tool of greylatch")
    }

    /// Its process.
    pub fn daemon(&mut self) -> &mut Daemon {
        &mut self.daemon
    }

    /// Ends it by TERM and gives all that it wrote to standard error.
    ///
    /// # Errors
    /// When it does not end, or not well.
    pub fn stop(self) -> Result<String> {
        let status = self.daemon.terminate()?;
        ensure!(status.success(), "it ended with {status}");
        let log = fs::read(self.folder.join("stderr"))?;
        Ok(String::from_utf8_lossy(&log).into_owned())
    }
}
