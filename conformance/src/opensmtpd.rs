//! A real OpenSMTPD of the unpacked package, with its own configuration, queue, users and mailboxes, on a
//! high port of 127.0.0.1.
//!
//! It finds its programs, users and queue at fixed places. So it runs in mounts of its own, in which the
//! package lies over the system and our program is `/usr/bin/greylatch`; nothing is installed and no other
//! OpenSMTPD of the host is touched. It needs to be root, as OpenSMTPD does.
//! Source: smtpd(8), smtpd.conf(5); OpenSMTPD 6.8 as Debian builds it.

use std::fs::{self, Permissions};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use crate::enclose::{enclose, write_names};
use crate::peers::{greylatch_binary, peer};
use crate::process::{Daemon, free_port, scratch_folder, wait_for};

const START_MAX: Duration = Duration::from_secs(30);
const DELIVERY_MAX: Duration = Duration::from_secs(30);

/// The users whose mailboxes are here, beside those that OpenSMTPD runs as.
const USERS: [&str; 3] = ["ann", "bob", "cid"];

/// Lays the package and what a test has written over the system.
const OVER_SYSTEM: &str = r#"
set -e
mount -t overlay overlay -o "lowerdir=$0/etc:/etc" /etc
mount -t overlay overlay -o "lowerdir=$0/usr:$PEER/usr:/usr" /usr
mount --bind "$GREYLATCH" /usr/bin/greylatch
mount --bind "$0/run" /run
mount --bind "$0/spool" /var/spool
mount --bind "$0/lib" /var/lib
exec "$@"
"#;

/// What an OpenSMTPD is started with, beside the configuration in `packaging`.
pub struct OpenSmtpdSetup<'a> {
    /// Where its filter asks.
    pub policy: &'a str,
    /// More words on the filter's command line.
    pub options: &'a str,
    /// The names of clients, lines of hosts(5); nobody else is asked.
    pub hosts: &'a str,
}

/// A running OpenSMTPD that takes mail for [`USERS`] at `example.org`.
pub struct OpenSmtpd {
    daemon: Daemon,
    folder: TempDir,
    port: u16,
}

impl OpenSmtpd {
    /// Starts one with the configuration that is shipped, and waits until it listens.
    ///
    /// # Errors
    /// When the package is missing, this user may not, or it does not listen within 30 s; the text has its
    /// log.
    pub fn start(setup: &OpenSmtpdSetup) -> Result<Self> {
        let folder = scratch_folder()?;
        let port = free_port()?;
        lay_out(folder.path(), setup.hosts)?;
        let configuration = folder.path().join("smtpd.conf");
        fs::write(&configuration, smtpd_conf(folder.path(), port, setup)?)?;
        let mut command = Command::new("/usr/sbin/smtpd");
        command.arg("-d").arg("-f").arg(&configuration);
        command.env("PEER", peer("opensmtpd")?);
        command.env("GREYLATCH", greylatch_binary()?);
        let command = enclose(OVER_SYSTEM, folder.path(), &command);
        let daemon = Daemon::start(command, &folder.path().join("stderr"))?;
        let mut smtpd = Self {
            daemon,
            folder,
            port,
        };
        smtpd.wait_until_it_listens()?;
        Ok(smtpd)
    }

    /// Where it listens, on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Whether it has not ended.
    ///
    /// # Errors
    /// When the system cannot tell.
    pub fn is_running(&mut self) -> Result<bool> {
        self.daemon.is_running()
    }

    /// Its log, with what the filter has said.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn log(&self) -> Result<String> {
        Ok(String::from_utf8_lossy(&self.daemon.stderr()?).into_owned())
    }

    /// The messages in the mailbox of `user`, one after the other, once there are `count`.
    ///
    /// # Errors
    /// When they do not come within 30 s.
    pub fn mailbox(&self, user: &str, count: usize) -> Result<Vec<String>> {
        let folder = self.folder.path().join("mail").join(user).join("new");
        let mut messages = Vec::new();
        wait_for("the mail", DELIVERY_MAX, || {
            messages = read_all(&folder)?;
            Ok(messages.len() >= count)
        })
        .with_context(|| format!("mail for {user}: {}", self.log().unwrap_or_default()))?;
        Ok(messages)
    }

    fn wait_until_it_listens(&mut self) -> Result<()> {
        let port = self.port;
        let listens = wait_for("OpenSMTPD", START_MAX, || {
            ensure!(self.daemon.is_running()?, "it ended");
            Ok(TcpStream::connect(("127.0.0.1", port)).is_ok())
        });
        listens.with_context(|| format!("log of OpenSMTPD: {}", self.log().unwrap_or_default()))
    }
}

fn read_all(folder: &Path) -> Result<Vec<String>> {
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let mut paths = Vec::new();
    for file in fs::read_dir(folder)? {
        paths.push(file?.path());
    }
    paths.sort();
    paths
        .iter()
        .map(|path| Ok(fs::read_to_string(path)?))
        .collect()
}

fn lay_out(folder: &Path, hosts: &str) -> Result<()> {
    for name in [
        "",
        "etc",
        "run",
        "spool",
        "lib",
        "lib/opensmtpd",
        "lib/opensmtpd/empty",
    ] {
        make(&folder.join(name), 0o755)?;
    }
    // Each user makes a mailbox of its own.
    make(&folder.join("mail"), 0o1777)?;
    make(&folder.join("usr/bin"), 0o755)?;
    fs::write(folder.join("usr/bin/greylatch"), "")?;
    let etc = folder.join("etc");
    write_names(&etc, hosts)?;
    fs::write(etc.join("resolv.conf"), "lookup file\n")?;
    fs::write(etc.join("mailname"), "mx.example.org\n")?;
    let system = |file| fs::read_to_string(Path::new("/etc").join(file));
    let (mut passwd, mut group) = (system("passwd")?, system("group")?);
    let own = ["opensmtpd", "opensmtpq"].iter().chain(&USERS);
    for (name, id) in own.zip(61_000..) {
        let home = folder.display();
        passwd.push_str(&format!(
            "{name}:x:{id}:{id}::{home}/lib/opensmtpd/empty:/bin/false\n"
        ));
        group.push_str(&format!("{name}:x:{id}:\n"));
    }
    fs::write(etc.join("passwd"), passwd)?;
    Ok(fs::write(etc.join("group"), group)?)
}

fn make(folder: &Path, mode: u32) -> Result<()> {
    fs::create_dir_all(folder)?;
    Ok(fs::set_permissions(folder, Permissions::from_mode(mode))?)
}

/// The configuration that is shipped, but for what a test cannot have: the port, certificates, the place
/// of mailboxes.
fn smtpd_conf(folder: &Path, port: u16, setup: &OpenSmtpdSetup) -> Result<String> {
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging/opensmtpd/smtpd.conf");
    let mut text = fs::read_to_string(&shipped).with_context(|| shipped.display().to_string())?;
    let folder = folder.display();
    for (from, to) in [
        ("pki mx.example.org cert", "#"),
        ("pki mx.example.org key", "#"),
        ("listen on eth0 port 587", "#"),
        (
            "listen on eth0 port 25 tls pki mx.example.org",
            &format!("listen on 127.0.0.1 port {port}"),
        ),
        (
            "127.0.0.1:10023",
            &format!("{}{}", setup.policy, setup.options),
        ),
        (
            "maildir\n",
            &format!("maildir \"{folder}/mail/%{{user.username}}\"\n"),
        ),
    ] {
        ensure!(text.contains(from), "{} has no {from}", shipped.display());
        text = text.replace(from, to);
    }
    Ok(text)
}
