//! A real Sendmail of the unpacked package, with a configuration that m4 makes
//! of a test's `.mc` lines, on a high port of 127.0.0.1.
//!
//! Queue, mailboxes, log, access database, names of hosts and the users of AUTH
//! are its own; nothing is installed and no other Sendmail of the host is
//! touched. It needs to be root, as Sendmail does.
//! Source: Sendmail 8.17 `cf/README`, `doc/op/op.me`; libsasl2
//! `docs/options.html`.

use std::env;
use std::ffi::OsString;
use std::fs::{self, File, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use crate::dev_log::DevLog;
use crate::enclose::{with_etc, write_names};
use crate::greylister::libraries;
use crate::peers::peer;
use crate::process::{Daemon, free_port, scratch_folder, wait_for};

const DELIVERY_MAX: Duration = Duration::from_secs(30);

/// What a Sendmail is started with.
#[derive(Default)]
pub struct SendmailSetup<'a> {
    /// Lines of the `.mc` that tell of its filters.
    pub filters: &'a str,
    /// Lines of the `.mc` with rules of one's own, behind all others.
    pub rules: &'a str,
    /// Lines of the access database, before makemap(8).
    pub access: &'a str,
    /// The names of hosts, lines of hosts(5); nobody else is asked.
    pub hosts: &'a str,
}

/// A running Sendmail that takes mail for everybody at `example.org`.
pub struct Sendmail {
    daemon: Option<Daemon>,
    log: DevLog,
    folder: TempDir,
    port: u16,
}

impl Sendmail {
    /// Starts one and waits until it listens.
    ///
    /// # Errors
    /// When the package is missing, this user may not, m4 finds a mistake, or
    /// it does not listen within 30 s; the text has its log.
    pub fn start(setup: &SendmailSetup) -> Result<Self> {
        let tree = Tree::find()?;
        let folder = scratch_folder()?;
        let port = free_port()?;
        lay_out(folder.path(), setup)?;
        tree.make_access(folder.path(), setup.access)?;
        tree.add_user(folder.path())?;
        tree.make_configuration(folder.path(), &mc(folder.path(), port, setup))?;
        let mut command = tree.command("libexec/sendmail/sendmail");
        command.args(["-bD", "-L", "sendmail", "-C"]);
        command.arg(folder.path().join("sendmail.cf"));
        let log = DevLog::open()?;
        let command = log.enclose(&with_etc(&folder.path().join("etc"), &command));
        let daemon = Daemon::start(command, &folder.path().join("stderr"))?;
        let mut sendmail = Self {
            daemon: Some(daemon),
            log,
            folder,
            port,
        };
        let daemon = sendmail.daemon.as_mut().context("started above")?;
        let listens = daemon.wait_for_port(port);
        listens
            .with_context(|| format!("log of Sendmail: {}", sendmail.log().unwrap_or_default()))?;
        Ok(sendmail)
    }

    /// Where it listens, on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What it has logged.
    ///
    /// # Errors
    /// When it is no syslog, or its errors cannot be read.
    pub fn log(&self) -> Result<String> {
        let stderr = fs::read(self.folder.path().join("stderr"))?;
        let mut text = String::from_utf8_lossy(&stderr).into_owned();
        for line in self.log.lines()? {
            text.push_str(&line.text);
            text.push('\n');
        }
        Ok(text)
    }

    /// The mailbox of `user` at `example.org`, once `count` messages are in it.
    ///
    /// # Errors
    /// When they do not come within 30 s.
    pub fn mailbox(&self, user: &str, count: usize) -> Result<String> {
        let path = self.folder.path().join("mail").join(user);
        let mut text = String::new();
        wait_for("the mail", DELIVERY_MAX, || {
            text = fs::read_to_string(&path).unwrap_or_default();
            Ok(text.matches(END_OF_MESSAGE).count() >= count)
        })
        .with_context(|| {
            format!(
                "mail for {user}: {text:?}, log {}",
                self.log().unwrap_or_default()
            )
        })?;
        Ok(text)
    }
}

impl Drop for Sendmail {
    fn drop(&mut self) {
        // By TERM, so that it takes its own children with it.
        if let Some(daemon) = self.daemon.take() {
            drop(daemon.terminate());
        }
    }
}

/// What stands behind each message in a mailbox.
const END_OF_MESSAGE: &str = "\n-- end of message --\n";

/// The unpacked package.
struct Tree {
    root: PathBuf,
    libraries: OsString,
}

impl Tree {
    fn find() -> Result<Self> {
        let root = peer("sendmail")?;
        let libraries = env::join_paths(libraries(&root)?)?;
        Ok(Self { root, libraries })
    }

    /// One of its programs, below `usr`.
    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.root.join("usr").join(program));
        command.env("LD_LIBRARY_PATH", &self.libraries);
        command
    }

    fn make_access(&self, folder: &Path, text: &str) -> Result<()> {
        let mut command = self.command("libexec/sendmail/makemap");
        command.args(["-C", "/dev/null", "hash"]);
        command.arg(folder.join("access"));
        feed(command, text)
    }

    /// Makes the user of [`SmtpClient::LOGIN`](crate::SmtpClient::LOGIN).
    fn add_user(&self, folder: &Path) -> Result<()> {
        let mut command = self.command("sbin/saslpasswd2");
        command.args(["-p", "-c", "-u", HOST, "-f"]);
        command.arg(folder.join("users")).arg("ann");
        feed(command, "secret")
    }

    fn make_configuration(&self, folder: &Path, mc: &str) -> Result<()> {
        let cf = self.root.join("usr/share/sendmail/cf");
        let mut command = self.command("bin/m4");
        command
            .arg(format!("-D_CF_DIR_={}/", cf.display()))
            .arg(cf.join("m4/cf.m4"))
            .arg("-")
            .stdout(File::create(folder.join("sendmail.cf"))?);
        feed(command, mc)
    }
}

/// Runs `command` with `text` as its input.
fn feed(mut command: Command, text: &str) -> Result<()> {
    let name = command.get_program().display().to_string();
    let mut child = command
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {name}"))?;
    let mut input = child.stdin.take().context("its input is a pipe")?;
    input.write_all(text.as_bytes())?;
    drop(input);
    let done = child.wait_with_output()?;
    ensure!(
        done.status.success(),
        "{name}: {}",
        String::from_utf8_lossy(&done.stderr)
    );
    Ok(())
}

const HOST: &str = "mx.example.org";

fn lay_out(folder: &Path, setup: &SendmailSetup) -> Result<()> {
    let permit = |name: &str, mode| {
        let permissions = Permissions::from_mode(mode);
        fs::set_permissions(folder.join(name), permissions)
    };
    let make = |name: &str, mode| {
        fs::create_dir_all(folder.join(name))?;
        permit(name, mode)
    };
    make("", 0o755)?;
    make("queue", 0o700)?;
    // Sendmail delivers as a user of its choice.
    make("mail", 0o1777)?;
    make("etc/sasl2", 0o755)?;
    write_names(&folder.join("etc"), setup.hosts)?;
    fs::write(
        folder.join("etc/sasl2/Sendmail.conf"),
        format!(
            "pwcheck_method: auxprop\nauxprop_plugin: sasldb\nmech_list: PLAIN\n\
             sasldb_path: {}\n",
            folder.join("users").display()
        ),
    )?;
    fs::write(folder.join("switch"), "hosts files\naliases files\n")?;
    fs::write(folder.join("help"), "")?;
    let mail = folder.join("mail");
    fs::write(
        folder.join("deliver"),
        format!(
            "#!/bin/sh\n{{ cat; printf '{}'; }} >> {}/\"$1\"\n",
            END_OF_MESSAGE.replace('\n', "\\n"),
            mail.display()
        ),
    )?;
    Ok(permit("deliver", 0o755)?)
}

/// The whole `.mc`.
fn mc(folder: &Path, port: u16, setup: &SendmailSetup) -> String {
    let SendmailSetup { filters, rules, .. } = setup;
    let folder = folder.display();
    format!(
        "OSTYPE(`linux')dnl\n\
         undefine(`ALIAS_FILE')dnl\n\
         define(`STATUS_FILE', `{folder}/statistics')dnl\n\
         define(`HELP_FILE', `{folder}/help')dnl\n\
         define(`QUEUE_DIR', `{folder}/queue')dnl\n\
         define(`confPID_FILE', `{folder}/pid')dnl\n\
         define(`confSERVICE_SWITCH_FILE', `{folder}/switch')dnl\n\
         define(`confDOMAIN_NAME', `{HOST}')dnl\n\
         define(`confDONT_PROBE_INTERFACES', `true')dnl\n\
         define(`confDELIVERY_MODE', `interactive')dnl\n\
         define(`confTO_IDENT', `0')dnl\n\
         dnl The folder of the tests lies in one that everybody may write to.\n\
         define(`confDONT_BLAME_SENDMAIL', `TrustStickyBit')dnl\n\
         define(`confAUTH_MECHANISMS', `PLAIN')dnl\n\
         TRUST_AUTH_MECH(`PLAIN')dnl\n\
         FEATURE(`no_default_msa')dnl\n\
         FEATURE(`nocanonify')dnl\n\
         FEATURE(`accept_unresolvable_domains')dnl\n\
         FEATURE(`access_db', `hash -T<TMPF> {folder}/access')dnl\n\
         DAEMON_OPTIONS(`Family=inet, Addr=127.0.0.1, Port={port}, Name=MTA')dnl\n\
         {filters}\n\
         define(`LOCAL_MAILER_PATH', `{folder}/deliver')dnl\n\
         define(`LOCAL_MAILER_ARGS', `deliver $u')dnl\n\
         MODIFY_MAILER_FLAGS(`LOCAL', `-wf')dnl\n\
         MAILER(`local')dnl\n\
         MAILER(`smtp')dnl\n\
         LOCAL_CONFIG\n\
         Cwexample.org\n\
         {rules}\n"
    )
}
