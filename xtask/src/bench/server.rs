//! The servers that are measured: how each is started, where its memory and
//! its log are, and that it ends with us.

use std::fs::{self, File, OpenOptions};
use std::io::Read;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::bench::cost;
use crate::bench::dialect::Dialect;
use crate::shell;

/// What runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Program {
    /// `cargo xtask bench-reference`.
    Reference,
    /// Ours as `greylatch postgrey`.
    Greylatch,
    /// Ours with `sync = "always"`.
    GreylatchSynced,
    /// Ours with its log at `/dev/log`.
    GreylatchSyslog,
    /// The real Postgrey.
    Postgrey,
    /// `cargo xtask bench-reference --milter`.
    ReferenceMilter,
    /// Ours, asked by the milter protocol.
    GreylatchMilter,
}

impl Program {
    /// Its name in tables and folders.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Reference => "reference",
            Self::Greylatch => "greylatch",
            Self::GreylatchSynced => "greylatch-synced",
            Self::GreylatchSyslog => "greylatch-syslog",
            Self::Postgrey => "postgrey",
            Self::ReferenceMilter => "reference-milter",
            Self::GreylatchMilter => "greylatch-milter",
        }
    }

    /// What is spoken when it is measured.
    pub(crate) fn dialect(self) -> Dialect {
        match self {
            Self::ReferenceMilter | Self::GreylatchMilter => Dialect::Milter,
            _ => Dialect::Policy,
        }
    }

    /// True when it is our own program.
    pub(crate) fn is_ours(self) -> bool {
        matches!(
            self,
            Self::Greylatch | Self::GreylatchSynced | Self::GreylatchSyslog | Self::GreylatchMilter
        )
    }

    /// True when it decides, so that it can answer wrongly.
    pub(crate) fn greylists(self) -> bool {
        !matches!(self, Self::Reference | Self::ReferenceMilter)
    }
}

/// Where things are.
#[derive(Debug, Clone)]
pub(crate) struct Places {
    /// Our program.
    pub(crate) greylatch: PathBuf,
    /// The unpacked Postgrey.
    pub(crate) postgrey: PathBuf,
    /// Where the servers may write; one disk for all.
    pub(crate) folder: PathBuf,
}

/// A running server; it is killed when this is dropped.
pub(crate) struct Server {
    pub(crate) program: Program,
    /// Its name in tables.
    pub(crate) label: String,
    child: Child,
    places: Places,
    folder: PathBuf,
    log: File,
}

impl Server {
    /// Starts `program` in a new folder and waits until it answers connections.
    ///
    /// # Errors
    /// When it is missing, ends, or does not listen within 20 s.
    pub(crate) fn start(program: Program, label: &str, places: &Places) -> Result<Self> {
        let folder = places.folder.join(label);
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        fs::create_dir_all(folder.join("db"))?;
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(folder.join("log"))?;
        let mut server = Self {
            program,
            label: label.to_owned(),
            child: spawn(program, places, &folder, &log)?,
            places: places.clone(),
            folder,
            log,
        };
        server.wait_until_it_listens()?;
        Ok(server)
    }

    /// Kills it as `kill -9` does and starts it again on what it has kept.
    /// Gives the time of its start.
    ///
    /// # Errors
    /// When it does not come back.
    pub(crate) fn restart(&mut self) -> Result<Instant> {
        self.child.kill()?;
        self.child.wait()?;
        let started = Instant::now();
        self.child = spawn(self.program, &self.places, &self.folder, &self.log)?;
        self.wait_until_it_listens()?;
        Ok(started)
    }

    fn wait_until_it_listens(&mut self) -> Result<()> {
        let end = Instant::now() + START_MAX;
        while UnixStream::connect(self.socket()).is_err() {
            if let Some(status) = self.child.try_wait()? {
                bail!(
                    "{} ended at start ({status}): {}",
                    self.label,
                    self.words()?
                );
            }
            ensure!(Instant::now() < end, "{} does not listen", self.label);
            thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    /// The beginning of its log.
    fn words(&self) -> Result<String> {
        let mut text = Vec::new();
        File::open(self.folder.join("log"))?
            .take(2_000)
            .read_to_end(&mut text)?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.join("socket")
    }

    /// Where it is asked when it is measured.
    pub(crate) fn measured_socket(&self) -> PathBuf {
        match self.program {
            Program::GreylatchMilter => self.folder.join(MILTER),
            _ => self.socket(),
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The bytes of its memory on disk.
    ///
    /// # Errors
    /// When they cannot be counted.
    pub(crate) fn disk(&self) -> Result<u64> {
        cost::disk(&self.folder.join("db"))
    }

    /// Counts the lines of its log file and empties it.
    ///
    /// # Errors
    /// When the file cannot be read or cut.
    pub(crate) fn take_log(&self) -> Result<u64> {
        let mut file = File::open(self.folder.join("log"))?;
        let mut piece = vec![0; 1 << 20];
        let mut lines = 0;
        loop {
            let length = file.read(&mut piece)?;
            if length == 0 {
                break;
            }
            lines += piece[..length]
                .iter()
                .filter(|byte| **byte == b'\n')
                .count();
        }
        self.log.set_len(0)?;
        Ok(lines as u64)
    }

    /// The last lines of the log that tell of no decision: why it answers as it does.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub(crate) fn complaints(&self) -> Result<String> {
        let log = fs::read(self.folder.join("log"))?;
        let log = String::from_utf8_lossy(&log);
        let other = log.lines().filter(|line| !line.contains("action="));
        let mut last: Vec<&str> = other.rev().take(COMPLAINTS).collect();
        last.reverse();
        Ok(last.join("\n"))
    }
}

/// The file of the socket at which ours speaks the milter protocol beside the policy protocol.
const MILTER: &str = "milter";

const COMPLAINTS: usize = 10;

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended on its own; then there is nothing to do.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

const START_MAX: Duration = Duration::from_secs(20);

fn spawn(program: Program, places: &Places, folder: &Path, log: &File) -> Result<Child> {
    let socket = folder.join("socket");
    // Postgrey replaces one that is left over, the reference does not.
    if socket.exists() {
        fs::remove_file(&socket)?;
    }
    let mut command = match program {
        Program::Reference | Program::ReferenceMilter => {
            let mut command = Command::new(std::env::current_exe()?);
            command.arg("bench-reference");
            if program == Program::ReferenceMilter {
                command.arg("--milter");
            }
            command.arg(&socket);
            command
        }
        Program::Greylatch => {
            let mut command = Command::new(&places.greylatch);
            command.arg("postgrey").arg("--test-time");
            command.args(postgrey_options(places, folder)?);
            command
        }
        Program::GreylatchSynced | Program::GreylatchSyslog | Program::GreylatchMilter => {
            let file = folder.join("greylatch.toml");
            fs::write(&file, configuration(program, places, folder))?;
            let mut command = Command::new(&places.greylatch);
            command.arg("serve").arg("--config").arg(file);
            command
        }
        Program::Postgrey => {
            let mut command = postgrey(&places.postgrey)?;
            command.args(postgrey_options(places, folder)?);
            command
        }
    };
    command
        .env("TZ", "UTC")
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log.try_clone()?)
        .spawn()
        .with_context(|| format!("cannot start {}", command.get_program().to_string_lossy()))
}

/// What Postgrey and ours are both given: the lists that come with Postgrey.
fn postgrey_options(places: &Places, folder: &Path) -> Result<Vec<String>> {
    let own = |which: &str| shell::output(Command::new("id").arg(which));
    Ok(vec![
        format!("--unix={}", folder.join("socket").display()),
        format!("--dbdir={}", folder.join("db").display()),
        // By name: Postgrey takes the number 0 for "not given".
        format!("--user={}", own("-un")?.trim()),
        format!("--group={}", own("-gn")?.trim()),
        format!("--whitelist-clients={}", list(places, "clients")),
        format!("--whitelist-recipients={}", list(places, "recipients")),
    ])
}

fn list(places: &Places, which: &str) -> String {
    places
        .postgrey
        .join(format!("usr/share/postgrey/whitelist_{which}"))
        .display()
        .to_string()
}

/// The same server as `postgrey_options` make, where those have no word for
/// the difference.
fn configuration(program: Program, places: &Places, folder: &Path) -> String {
    let (sync, to) = match program {
        Program::GreylatchSynced => ("always", "stderr"),
        Program::GreylatchSyslog => ("interval", "syslog"),
        _ => ("interval", "stderr"),
    };
    format!(
        "[listen]\n\
         policy = [{{ path = {socket:?}, mode = \"0600\" }}]\n\
         milter = [{{ path = {milter:?}, mode = \"0600\" }}]\n\
         [greylist]\n\
         delay = \"300s\"\n\
         identity = \"postgrey\"\n\
         [policy]\n\
         test_time = true\n\
         every_stage = true\n\
         [lists]\n\
         clients = [{clients:?}]\n\
         recipients = [{recipients:?}]\n\
         [store]\n\
         url = {url:?}\n\
         sync = {sync:?}\n\
         [log]\n\
         format = \"postgrey\"\n\
         to = {to:?}\n",
        socket = folder.join("socket").display().to_string(),
        milter = folder.join(MILTER).display().to_string(),
        clients = list(places, "clients"),
        recipients = list(places, "recipients"),
        url = format!("embedded:{}", folder.join("db").display()),
    )
}

/// The real Postgrey from its unpacked root, as `xtask/src/peers.rs` describes.
fn postgrey(root: &Path) -> Result<Command> {
    // The switch is on its first line, where it would come too late.
    perl(root, &["-T"], &root.join("usr/sbin/postgrey"))
}

/// A Perl script with the modules of Postgrey's unpacked root.
///
/// # Errors
/// When the script is missing.
pub(crate) fn perl(root: &Path, switches: &[&str], script: &Path) -> Result<Command> {
    ensure!(
        script.is_file(),
        "{} is missing: run cargo xtask peers",
        script.display()
    );
    let mut command = Command::new("perl");
    command.args(switches);
    let mut modules = vec![root.join("usr/share/perl5")];
    modules.extend(folders(&root.join("usr/share/perl"), "5.")?);
    for library in folders(&root.join("usr/lib"), "")? {
        if !library.to_string_lossy().contains("-linux-") {
            continue;
        }
        for name in ["perl5", "perl"] {
            modules.extend(folders(&library.join(name), "5.")?);
        }
        command.env("LD_LIBRARY_PATH", library);
    }
    for folder in modules {
        command.arg("-I").arg(folder);
    }
    command.arg(script);
    Ok(command)
}

/// What is in `folder` and begins with `beginning`; nothing when it is missing.
fn folders(folder: &Path, beginning: &str) -> Result<Vec<PathBuf>> {
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(beginning) {
            found.push(entry.path());
        }
    }
    Ok(found)
}
