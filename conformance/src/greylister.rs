//! Running the real Postgrey, or ours under its name, in the foreground.
//!
//! Both get the same options; what differs is the folder each works in.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::clock::Clock;
use crate::peers::{greylatch_binary, peer};
use crate::policy::PolicyClient;
use crate::process::{Daemon, free_port, wait_for};

const START_MAX: Duration = Duration::from_secs(20);

/// Which program is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Program {
    /// The real Postgrey.
    Postgrey,
    /// Ours, called as `greylatch postgrey`.
    Greylatch,
}

impl Program {
    /// The program without any option.
    ///
    /// # Errors
    /// When it is not there.
    pub fn command(self) -> Result<Command> {
        let mut command = match self {
            Self::Postgrey => postgrey_command()?,
            Self::Greylatch => {
                let mut command = Command::new(greylatch_binary()?);
                command.arg("postgrey");
                command
            }
        };
        command.env("TZ", "UTC").env("LC_ALL", "C");
        Ok(command)
    }
}

/// How the greylister listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    /// A socket in its folder.
    Unix,
    /// A port of 127.0.0.1.
    Inet,
}

/// Where a running greylister can be reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoint {
    /// A socket file.
    Unix(PathBuf),
    /// An address and port.
    Inet(SocketAddr),
}

/// What a greylister is started with.
pub struct Setting<'a> {
    /// Where its socket, log and database are; made if missing.
    pub folder: &'a Path,
    /// How it listens.
    pub door: Door,
    /// Options beside those for listening, user, group and database.
    pub options: &'a [OsString],
    /// The clock it reads, or none for the real time.
    pub clock: Option<&'a Clock>,
}

/// A running greylister.
pub struct Greylister {
    daemon: Daemon,
    endpoint: Endpoint,
}

impl Greylister {
    /// Starts `program` and waits until it listens.
    ///
    /// # Errors
    /// When it is missing, ends, or does not listen within 20 s; the text has
    /// what it wrote.
    pub fn start(program: Program, setting: &Setting) -> Result<Self> {
        let dbdir = setting.folder.join("db");
        fs::create_dir_all(&dbdir)?;
        let (endpoint, listen) = match setting.door {
            Door::Unix => {
                let path = setting.folder.join("socket");
                let listen = format!("--unix={}", path.display());
                (Endpoint::Unix(path), listen)
            }
            Door::Inet => {
                let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?));
                (Endpoint::Inet(address), format!("--inet={address}"))
            }
        };
        let mut command = program.command()?;
        command.args([listen, format!("--dbdir={}", dbdir.display())]);
        command.args(own_user_options()?);
        command.args(setting.options);
        if let Some(clock) = setting.clock {
            clock.rule(&mut command)?;
        }
        let mut daemon = Daemon::start(command, &setting.folder.join("stderr"))?;
        wait_for("its socket", START_MAX, || {
            ensure!(
                daemon.is_running()?,
                "{program:?} ended at start: {}",
                String::from_utf8_lossy(&daemon.stderr()?)
            );
            Ok(PolicyClient::connect(&endpoint).is_ok())
        })?;
        Ok(Self { daemon, endpoint })
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
    pub fn log(&self) -> Result<Vec<u8>> {
        self.daemon.stderr()
    }

    /// What it has written to standard error after the first `offset` bytes.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub(crate) fn log_after(&self, offset: usize) -> Result<Vec<u8>> {
        self.daemon.stderr_after(offset)
    }

    /// How many bytes it has written to standard error so far.
    ///
    /// # Errors
    /// When the file is gone.
    pub fn log_length(&self) -> Result<usize> {
        self.daemon.stderr_length()
    }

    /// Ends it by TERM.
    ///
    /// # Errors
    /// When it does not end.
    pub fn stop(self) -> Result<ExitStatus> {
        self.daemon.terminate()
    }
}

fn postgrey_command() -> Result<Command> {
    // Postgrey runs in taint mode, which ignores PERL5LIB.
    perl_command("usr/sbin/postgrey", &["-T"])
}

/// A Perl program of Postgrey's package with the modules that it needs.
pub(crate) fn perl_command(script: &str, switches: &[&str]) -> Result<Command> {
    let root = peer("postgrey")?;
    let script = root.join(script);
    ensure!(
        script.is_file(),
        "{} is missing: run cargo xtask peers",
        script.display()
    );
    let libraries = libraries(&root)?;
    let mut command = Command::new("perl");
    command.env("LD_LIBRARY_PATH", env::join_paths(&libraries)?);
    command.args(switches);
    for folder in perl_folders(&root, &libraries)? {
        let mut include = OsString::from("-I");
        include.push(folder);
        command.arg(include);
    }
    command.arg(script);
    Ok(command)
}

/// The folders of shared libraries in the unpacked tree `root`: `usr/lib/ARCH`.
pub(crate) fn libraries(root: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(root.join("usr/lib")).context("run cargo xtask peers")? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().contains("-linux-") {
            found.push(entry.path());
        }
    }
    Ok(found)
}

/// Where the modules are that Postgrey needs.
/// Source: Debian Perl Policy, section 2.3 "Module Path".
fn perl_folders(root: &Path, libraries: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut found = vec![root.join("usr/share/perl5")];
    let mut versioned = vec![root.join("usr/share/perl")];
    for library in libraries {
        versioned.extend([library.join("perl5"), library.join("perl")]);
    }
    for folder in versioned.iter().filter(|folder| folder.is_dir()) {
        for version in fs::read_dir(folder)? {
            found.push(version?.path());
        }
    }
    Ok(found)
}

/// The options that make a greylister stay the user who runs the tests. By
/// name: Postgrey takes the number 0 for "not given".
///
/// # Errors
/// When this user has no name.
pub fn own_user_options() -> Result<[String; 2]> {
    let process = fs::metadata("/proc/self")?;
    let user = name_of("/etc/passwd", process.uid())?;
    let group = name_of("/etc/group", process.gid())?;
    Ok([format!("--user={user}"), format!("--group={group}")])
}

/// The first field of the line of `file` whose third field is `id`.
/// Source: passwd(5), group(5).
fn name_of(file: &str, id: u32) -> Result<String> {
    let text = fs::read_to_string(file)?;
    let id = id.to_string();
    text.lines()
        .find(|line| line.split(':').nth(2) == Some(&id))
        .and_then(|line| line.split(':').next())
        .map(str::to_owned)
        .with_context(|| format!("{id} has no name in {file}"))
}
