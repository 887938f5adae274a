//! `greylatch serve` with a configuration of a test's own, and what an
//! administrator sees of it.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::clock::Clock;
use crate::greylister::Endpoint;
use crate::message::Message;
use crate::peers::greylatch_binary;
use crate::policy::PolicyClient;
use crate::process::{Daemon, wait_for};
use crate::stream::Stream;

const START_MAX: Duration = Duration::from_secs(20);
const LOG_MAX: Duration = Duration::from_secs(20);

/// What the server is started with. Requests may say what time it is, and
/// decisions are logged as logfmt.
pub struct Plan<'a> {
    /// Where its configuration, sockets and log are.
    pub folder: &'a Path,
    /// The directory of its store.
    pub store: &'a Path,
    /// A port at which it listens besides its socket.
    pub inet: Option<SocketAddr>,
    /// Lines of the tables `[listen]`, `[greylist]`, `[store]` and `[policy]`,
    /// and whole tables behind them.
    pub listen: &'a str,
    /// See `listen`.
    pub greylist: &'a str,
    /// See `listen`.
    pub storing: &'a str,
    /// See `listen`.
    pub policy: &'a str,
    /// See `listen`; with no `[log]` it logs to standard error.
    pub tables: &'a str,
    /// The clock it reads, or none for the real time.
    pub clock: Option<&'a Clock>,
    /// How many files it may have open, or none for what the system gives.
    pub files_max: Option<u32>,
}

impl<'a> Plan<'a> {
    /// With all defaults, and its store in `store`.
    pub fn new(folder: &'a Path, store: &'a Path) -> Self {
        Self {
            folder,
            store,
            inet: None,
            listen: "",
            greylist: "",
            storing: "",
            policy: "",
            tables: "",
            clock: None,
            files_max: None,
        }
    }

    fn text(&self) -> String {
        let log = if self.tables.contains("[log]") {
            ""
        } else {
            "[log]\nto = \"stderr\"\nformat = \"logfmt\"\n"
        };
        let inet = self.inet.map(|at| format!(", \"{at}\""));
        format!(
            "[listen]\npolicy = [\"unix:{socket}\"{inet}]\ncontrol = \"unix:{control}\"\n{}\n\
             [greylist]\n{}\n\
             [store]\nurl = \"embedded:{store}\"\n{}\n\
             [policy]\ntest_time = true\n{}\n\
             {log}{}\n",
            self.listen,
            self.greylist,
            self.storing,
            self.policy,
            self.tables,
            inet = inet.unwrap_or_default(),
            socket = self.socket().display(),
            control = self.control().display(),
            store = self.store.display(),
        )
    }

    fn socket(&self) -> PathBuf {
        self.folder.join("policy")
    }

    fn control(&self) -> PathBuf {
        self.folder.join("control")
    }

    fn config(&self) -> PathBuf {
        self.folder.join("greylatch.toml")
    }

    /// The command that starts the server; the configuration is written.
    ///
    /// # Errors
    /// When the program is not there, or the configuration cannot be written.
    pub fn command(&self) -> Result<Command> {
        fs::write(self.config(), self.text())?;
        let binary = greylatch_binary()?;
        let mut command = match self.files_max {
            None => Command::new(binary),
            Some(files) => {
                // Nor may the program be able to raise them again, as root is.
                let mut command = Command::new("setpriv");
                command.args(["--bounding-set=-sys_resource", "prlimit"]);
                command.arg(format!("--nofile={files}:{files}")).arg(binary);
                command
            }
        };
        command.args(["serve", "--config"]).arg(self.config());
        if let Some(clock) = self.clock {
            clock.rule(&mut command)?;
        }
        Ok(command)
    }
}

/// A running `greylatch serve`.
pub struct Serving {
    daemon: Daemon,
    endpoint: Endpoint,
    config: PathBuf,
}

impl Serving {
    /// Starts the server and waits until it accepts.
    ///
    /// # Errors
    /// When it ends, or does not listen within 20 s; the text has what it
    /// wrote.
    pub fn start(plan: &Plan) -> Result<Self> {
        let daemon = Daemon::start(plan.command()?, &plan.folder.join("stderr"))?;
        Self::of(daemon, plan)
    }

    /// As [`Self::start`] with a process that a test has started by
    /// [`Plan::command`] in its own way.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn of(daemon: Daemon, plan: &Plan) -> Result<Self> {
        let control = Endpoint::Unix(plan.control());
        let mut serving = Self {
            daemon,
            endpoint: Endpoint::Unix(plan.socket()),
            config: plan.config(),
        };
        wait_for("its sockets", START_MAX, || {
            ensure!(
                serving.daemon.is_running()?,
                "it ended at start: {}",
                serving.log()?
            );
            // This one is bound last.
            Ok(Stream::connect(&control).is_ok())
        })?;
        Ok(serving)
    }

    /// Where it listens.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// A new connection to it.
    ///
    /// # Errors
    /// When it does not accept one.
    pub fn connect(&self) -> Result<PolicyClient> {
        PolicyClient::connect(&self.endpoint)
    }

    /// Its process.
    pub fn daemon(&mut self) -> &mut Daemon {
        &mut self.daemon
    }

    /// What it has written to standard error so far.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn log(&self) -> Result<String> {
        Ok(String::from_utf8_lossy(&self.daemon.stderr()?).into_owned())
    }

    /// Waits until the log has `text`.
    ///
    /// # Errors
    /// When it has not within 20 s; the text has the whole log.
    pub fn wait_for_log(&self, text: &str) -> Result<()> {
        wait_for(text, LOG_MAX, || Ok(self.log()?.contains(text)))
            .with_context(|| format!("the log is {}", self.log().unwrap_or_default()))
    }

    /// What `greylatch status --json` says.
    ///
    /// # Errors
    /// When it says nothing.
    pub fn status(&self) -> Result<Value> {
        let done = Command::new(greylatch_binary()?)
            .args(["status", "--json", "--config"])
            .arg(&self.config)
            .stdin(Stdio::null())
            .output()?;
        ensure!(
            done.status.success(),
            "status: {}",
            String::from_utf8_lossy(&done.stderr)
        );
        Ok(serde_json::from_slice(&done.stdout)?)
    }

    /// How many verdicts it has given for this reason.
    ///
    /// # Errors
    /// When status does not say.
    pub fn verdicts(&self, reason: &str) -> Result<u64> {
        let status = self.status()?;
        status["verdicts"][reason]
            .as_u64()
            .with_context(|| format!("no {reason} in {status}"))
    }

    /// Ends it by TERM.
    ///
    /// # Errors
    /// When it does not end.
    pub fn stop(self) -> Result<ExitStatus> {
        self.daemon.terminate()
    }
}

/// A delivery attempt at RCPT of a client in the network 192.0.2.0/24.
pub fn attempt(sender: &str) -> Message {
    attempt_from("192.0.2.9", sender)
}

/// A delivery attempt at RCPT.
pub fn attempt_from(client: &str, sender: &str) -> Message {
    Message::of(
        (client, "mx.sender.example"),
        sender,
        "someone@here.example",
    )
    .with("protocol_state", "RCPT")
}
