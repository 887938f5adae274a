//! A real Exim of the unpacked package, with a configuration of ours or with
//! the one that Debian's scripts make, on a high port of 127.0.0.1.
//!
//! To Exim its packages seem installed; spool, log and mailboxes are its own,
//! and no other Exim of the host is touched. It needs to be root, as Exim does.
//! Source: the Exim specification 4.96, "The Exim command line", "Access control
//! lists"; Debian's update-exim4.conf(8), greylistd-setup-exim4(8).

use std::fs::{self, Permissions};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Output};

use anyhow::{Context, Result};

use crate::installed::{Installed, User};
use crate::mailbox::mailbox;
use crate::process::{Daemon, free_port};

/// What an Exim is started with.
pub struct EximSetup<'a> {
    /// Whose configuration it has.
    pub configuration: EximConfiguration,
    /// Lines before all others of the configuration.
    pub macros: &'a str,
    /// The text of `/etc/exim4/greylatch.acl`.
    pub acl: &'a str,
    /// The folder that is `/run/greylatch` and `/run/greylistd` to it.
    pub sockets: &'a Path,
    /// The name server that it asks; without one it knows no names.
    pub names: Option<Ipv4Addr>,
    /// Whether it listens on ::1 as well.
    pub ipv6: bool,
}

/// Whose configuration an Exim has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EximConfiguration {
    /// One file in the manner of the Exim distribution's own.
    Plain,
    /// Debian's, of many files.
    Debian,
    /// The same with the ACLs that greylistd-setup-exim4(8) writes, and no others.
    Greylistd,
}

/// A running Exim that takes mail for `bob`, `cid` and `dan` at `example.org`.
pub struct Exim {
    daemon: Option<Daemon>,
    installed: Installed,
    port: u16,
}

impl Exim {
    /// The number of the group as which it runs.
    pub const GROUP: u32 = OWN_USER.number;

    /// Starts one and waits until it listens.
    ///
    /// # Errors
    /// When the package is missing, this user may not, the configuration has a
    /// mistake, or it does not listen within 30 s; the text has its log.
    pub fn start(setup: &EximSetup) -> Result<Self> {
        let installed = Installed::new(&["exim4-daemon-light", "greylistd"], &USERS)?;
        lay_out(&installed, setup)?;
        let port = free_port()?;
        let mut command = Command::new("/usr/sbin/exim4");
        let loopback = match setup.ipv6 {
            false => format!("127.0.0.1.{port}"),
            true => format!("<; 127.0.0.1.{port} ; ::1.{port}"),
        };
        command.args(["-bdf", "-oX", &loopback]);
        let command = installed.enclose(&command);
        let daemon = Daemon::start(command, &installed.path("stderr"))?;
        let mut exim = Self {
            daemon: Some(daemon),
            installed,
            port,
        };
        let daemon = exim.daemon.as_mut().context("started above")?;
        let mut listens = daemon.wait_for_port(port);
        if setup.ipv6 {
            let sixth = (Ipv6Addr::LOCALHOST, port).into();
            listens = listens.and_then(|()| daemon.wait_for_address(sixth));
        }
        listens.with_context(|| format!("log of Exim: {}", exim.log()))?;
        Ok(exim)
    }

    /// Where it listens, on 127.0.0.1 and, where told, on ::1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What it has logged so far.
    pub fn log(&self) -> String {
        let text = |place| fs::read(self.installed.path(place)).unwrap_or_default();
        let log = [text("var/log/exim4/mainlog"), text("stderr")].concat();
        String::from_utf8_lossy(&log).into_owned()
    }

    /// Runs greylist(1), greylistd's tool, on the same host.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn greylist(&self, words: &[&str]) -> Result<Output> {
        let mut command = Command::new("/usr/bin/greylist");
        command.args(words);
        let mut enclosed = self.installed.enclose(&command);
        enclosed.output().context("greylist")
    }

    /// The mailbox of `user` at `example.org`, once `count` messages are in it.
    ///
    /// # Errors
    /// When they do not come within 30 s.
    pub fn mailbox(&self, user: &str, count: usize) -> Result<String> {
        let path = self.installed.path("var/mail").join(user);
        mailbox(&path, count).with_context(|| format!("log of Exim: {}", self.log()))
    }
}

impl Drop for Exim {
    fn drop(&mut self) {
        // By TERM, so that it ends in order.
        if let Some(daemon) = self.daemon.take() {
            drop(daemon.terminate());
        }
    }
}

/// The user as whom Debian's Exim runs.
const OWN_USER: User = User {
    name: "Debian-exim",
    number: 59_900,
};

const USERS: [User; 4] = [
    OWN_USER,
    User {
        name: "bob",
        number: 59_901,
    },
    User {
        name: "cid",
        number: 59_902,
    },
    User {
        name: "dan",
        number: 59_903,
    },
];

fn lay_out(installed: &Installed, setup: &EximSetup) -> Result<()> {
    for place in [
        "var/lib/exim4",
        "var/log/exim4",
        "var/spool/exim4",
        "run/exim4",
    ] {
        installed.make(place, Some(&OWN_USER))?;
    }
    installed.make("var/mail", None)?;
    // Exim delivers as the owner of the mailbox.
    let everybody = Permissions::from_mode(0o1777);
    fs::set_permissions(installed.path("var/mail"), everybody)?;
    for place in ["run/greylatch", "run/greylistd"] {
        symlink(setup.sockets, installed.path(place))?;
    }
    installed.write("etc/exim4/greylatch.acl", setup.acl)?;
    if let Some(server) = setup.names {
        installed.write("etc/resolv.conf", &format!("nameserver {server}\n"))?;
    }
    match setup.configuration {
        EximConfiguration::Plain => {
            let text = setup.macros.to_owned() + PLAIN;
            installed.write("etc/exim4/exim4.conf", &text)
        }
        EximConfiguration::Debian | EximConfiguration::Greylistd => {
            installed.write("etc/mailname", "mx.example.org\n")?;
            installed.write("etc/aliases", "postmaster: dan\n")?;
            installed.write("etc/exim4/update-exim4.conf.conf", DEBIAN)?;
            if setup.configuration == EximConfiguration::Greylistd {
                let mut command = Command::new("/usr/sbin/greylistd-setup-exim4");
                command.args(["add", "-netmask=24", "-no-reload"]);
                installed.set_up(&command)?;
            } else {
                installed.write("etc/exim4/conf.d/main/000_localmacros", setup.macros)?;
            }
            installed
                .set_up(&Command::new("/usr/sbin/update-exim4.conf"))
                .map(drop)
        }
    }
}

/// A site of its own domain, as Debian's questions at installation lead to it.
const DEBIAN: &str = "\
dc_eximconfig_configtype='internet'
dc_other_hostnames='example.org'
dc_local_interfaces='127.0.0.1'
dc_readhost=''
dc_relay_domains=''
dc_minimaldns='false'
dc_relay_nets=''
dc_smarthost=''
CFILEMODE='644'
dc_use_split_config='true'
dc_hide_mailname='false'
dc_mailname_in_oh='true'
dc_localdelivery='mail_spool'
";

/// Shortened from the order of checks that the Exim specification describes in
/// "The default configuration file".
const PLAIN: &str = r#"
primary_hostname = mx.example.org
domainlist local_domains = example.org
domainlist relay_to_domains =
hostlist relay_from_hosts = 127.0.0.1
acl_smtp_rcpt = acl_check_rcpt
acl_smtp_data = acl_check_data
begin acl
acl_check_rcpt:
  accept  hosts = :
  accept  local_parts = postmaster
          domains = +local_domains
  accept  hosts = +relay_from_hosts
  accept  authenticated = *
  require message = relay not permitted
          domains = +local_domains : +relay_to_domains
  require verify = recipient
  .include /etc/exim4/greylatch.acl
  accept
acl_check_data:
  .include /etc/exim4/greylatch.acl
  accept
begin routers
local_users:
  driver = accept
  domains = +local_domains
  check_local_user
  transport = mailbox
begin transports
mailbox:
  driver = appendfile
  file = /var/mail/$local_part_data
  group = mail
begin authenticators
plain:
  driver = plaintext
  public_name = PLAIN
  server_prompts = :
  server_condition = ${if and{{eq{$auth2}{ann}}{eq{$auth3}{secret}}}}
  server_set_id = $auth2
"#;
