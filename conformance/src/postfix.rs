//! A real Postfix of the unpacked package, with its own configuration, queue
//! and mailboxes in a temporary folder, on a high port of 127.0.0.1.
//!
//! Nothing is installed and no other Postfix of the host is touched. It needs
//! to be root, as Postfix does.
//! Source: Postfix 3.7 master(8), master(5), postconf(5), virtual(8).

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use tempfile::TempDir;

use crate::enclose::{with_etc, write_names};
use crate::greylister::libraries;
use crate::mailbox::mailbox;
use crate::peers::peer;
use crate::process::{Daemon, free_port, scratch_folder};

/// Users that every Debian has and that own nothing else here.
const MAIL_OWNER: &str = "mail";
const SETGID_GROUP: &str = "news";
const MAILBOX_OWNER: &str = "nobody";

/// What a Postfix is started with.
#[derive(Default)]
pub struct PostfixSetup<'a> {
    /// The policy service that it asks whether to take a recipient, such as
    /// `inet:127.0.0.1:10023`; empty for none.
    pub policy: &'a str,
    /// Recipients with a mailbox here, or that are relayed from here.
    pub recipients: &'a [&'a str],
    /// The port of the primary, if this is a backup MX.
    pub primary: Option<u16>,
    /// More lines of `main.cf`.
    pub lines: &'a str,
    /// The names of clients, lines of hosts(5); without any it asks for none.
    pub hosts: &'a str,
}

/// A running Postfix.
pub struct Postfix {
    daemon: Option<Daemon>,
    folder: TempDir,
    port: u16,
}

impl Postfix {
    /// Starts one and waits until it listens.
    ///
    /// # Errors
    /// When the package is missing, this user may not, or it does not listen
    /// within 30 s; the text has its log.
    pub fn start(setup: &PostfixSetup) -> Result<Self> {
        let tree = peer("postfix")?;
        let folder = scratch_folder()?;
        let port = free_port()?;
        lay_out(folder.path())?;
        let configuration = folder.path().join("conf");
        fs::write(
            configuration.join("main.cf"),
            main_cf(&tree, folder.path(), setup),
        )?;
        fs::write(configuration.join("master.cf"), master_cf(port))?;
        fs::write(
            configuration.join("recipients"),
            setup
                .recipients
                .iter()
                .map(|address| format!("{address} {address}\n"))
                .collect::<String>(),
        )?;
        let mut command = Command::new(tree.join("usr/lib/postfix/sbin/master"));
        command.arg("-d").arg("-c").arg(&configuration);
        let mut search = vec![tree.join("usr/lib/postfix")];
        search.extend(libraries(&tree)?);
        command
            .env("MAIL_CONFIG", &configuration)
            .env("LD_LIBRARY_PATH", std::env::join_paths(search)?);
        if !setup.hosts.is_empty() {
            let etc = folder.path().join("etc");
            write_names(&etc, setup.hosts)?;
            command = with_etc(&etc, &command);
        }
        let daemon = Daemon::start(command, &folder.path().join("stderr"))?;
        let mut postfix = Self {
            daemon: Some(daemon),
            folder,
            port,
        };
        let daemon = postfix.daemon.as_mut().context("started above")?;
        let listens = daemon.wait_for_port(port);
        listens
            .with_context(|| format!("log of Postfix: {}", postfix.log().unwrap_or_default()))?;
        Ok(postfix)
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
        let log = fs::read(self.folder.path().join("log/maillog")).unwrap_or_default();
        let stderr = fs::read(self.folder.path().join("stderr"))?;
        Ok(String::from_utf8_lossy(&[log, stderr].concat()).into_owned())
    }

    /// The mailbox of `recipient`, once `count` messages are in it.
    ///
    /// # Errors
    /// When they do not come within 30 s.
    pub fn mailbox(&self, recipient: &str, count: usize) -> Result<String> {
        let path = self.folder.path().join("mail").join(recipient);
        mailbox(&path, count)
            .with_context(|| format!("log of Postfix: {}", self.log().unwrap_or_default()))
    }
}

impl Drop for Postfix {
    fn drop(&mut self) {
        // By TERM, so that it takes its own children with it.
        if let Some(daemon) = self.daemon.take() {
            drop(daemon.terminate());
        }
    }
}

/// Makes the folders with the owners that Postfix wants.
fn lay_out(root: &Path) -> Result<()> {
    fs::set_permissions(root, Permissions::from_mode(0o755))?;
    let owner = |name| -> Result<Option<u32>> { Ok(Some(number_of_user(name)?)) };
    let mail_owner = owner(MAIL_OWNER)?;
    let make = |path: PathBuf, uid: Option<u32>| -> Result<()> {
        fs::create_dir_all(&path)?;
        chown(&path, uid, None)
            .with_context(|| format!("Postfix needs root: cannot give {}", path.display()))
    };
    for name in ["conf", "log", "queue", "queue/pid"] {
        make(root.join(name), None)?;
    }
    make(root.join("mail"), owner(MAILBOX_OWNER)?)?;
    make(root.join("data"), mail_owner)?;
    for name in [
        "active", "bounce", "corrupt", "defer", "deferred", "flush", "hold", "incoming",
        "maildrop", "private", "public", "saved", "trace",
    ] {
        make(root.join("queue").join(name), mail_owner)?;
    }
    Ok(())
}

fn main_cf(tree: &Path, folder: &Path, setup: &PostfixSetup) -> String {
    let (tree, folder) = (tree.display(), folder.display());
    let recipients = format!("texthash:{folder}/conf/recipients");
    let names = if setup.hosts.is_empty() { "no" } else { "yes" };
    let policy = match setup.policy {
        "" => String::new(),
        at => format!("check_policy_service {{ {at}, timeout=5s, default_action=DUNNO }}"),
    };
    let destination = match setup.primary {
        None => format!(
            "virtual_mailbox_domains = example.org\n\
             virtual_mailbox_base = {folder}/mail\n\
             virtual_mailbox_maps = {recipients}\n\
             virtual_uid_maps = static:{nobody}\n\
             virtual_gid_maps = static:{nobody}\n",
            nobody = 65_534
        ),
        Some(port) => format!(
            "relay_domains = example.org\n\
             relay_recipient_maps = {recipients}\n\
             relay_transport = relay:[127.0.0.1]:{port}\n"
        ),
    };
    format!(
        "compatibility_level = 3.6\n\
         command_directory = {tree}/usr/sbin\n\
         daemon_directory = {tree}/usr/lib/postfix/sbin\n\
         shlib_directory = {tree}/usr/lib/postfix\n\
         meta_directory = {folder}/conf\n\
         data_directory = {folder}/data\n\
         queue_directory = {folder}/queue\n\
         mail_owner = {MAIL_OWNER}\n\
         setgid_group = {SETGID_GROUP}\n\
         default_privs = {MAILBOX_OWNER}\n\
         import_environment = MAIL_CONFIG LD_LIBRARY_PATH TZ LANG=C\n\
         maillog_file = {folder}/log/maillog\n\
         maillog_file_prefixes = {folder}\n\
         myhostname = mx.example.org\n\
         mydestination =\n\
         alias_maps =\n\
         mynetworks = 127.0.0.1/32\n\
         inet_interfaces = 127.0.0.1\n\
         inet_protocols = ipv4\n\
         smtpd_peername_lookup = {names}\n\
         disable_dns_lookups = yes\n\
         {destination}\
         smtpd_relay_restrictions = permit_mynetworks, reject_unauth_destination\n\
         smtpd_recipient_restrictions = permit_mynetworks, reject_unauth_destination,\n\
         \x20   reject_unlisted_recipient,\n\
         \x20   {policy}\n\
         {lines}\n",
        lines = setup.lines
    )
}

fn master_cf(port: u16) -> String {
    let mut text = format!("127.0.0.1:{port} inet n - n - - smtpd\n");
    for service in [
        "postlog unix-dgram n - n - 1 postlogd",
        "cleanup unix n - n - 0 cleanup",
        "qmgr unix n - n 300 1 qmgr",
        "rewrite unix - - n - - trivial-rewrite",
        "bounce unix - - n - 0 bounce",
        "defer unix - - n - 0 bounce",
        "trace unix - - n - 0 bounce",
        "proxymap unix - - n - - proxymap",
        "relay unix - - n - - smtp",
        "error unix - - n - - error",
        "retry unix - - n - - error",
        "virtual unix - n n - - virtual",
        "anvil unix - - n - 1 anvil",
    ] {
        text.push_str(service);
        text.push('\n');
    }
    text
}

fn number_of_user(name: &str) -> Result<u32> {
    let text = fs::read_to_string("/etc/passwd")?;
    let line = text
        .lines()
        .find(|line| line.split(':').next() == Some(name))
        .with_context(|| format!("there is no user {name}"))?;
    Ok(line.split(':').nth(2).context("passwd(5)")?.parse()?)
}
