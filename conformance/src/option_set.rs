//! The ways in which the two greylisters are started for comparison.
//!
//! Each set is a command line and the numbers that follow from it, so that
//! traffic can aim at the edges of the delay and of the window.

use std::ffi::OsString;
use std::fs;
use std::path::Path;

use anyhow::Result;

use crate::greylister::Door;

const DAY: i64 = 86_400;

/// One way to start a greylister.
#[derive(Debug, Clone)]
pub struct OptionSet {
    /// A short name for reports.
    pub name: &'static str,
    /// Options in the words of the command line, without the lists.
    pub options: Vec<&'static str>,
    /// Seconds that a new triplet waits.
    pub delay: i64,
    /// Seconds within which a retry counts.
    pub window: i64,
    /// Seconds after which a silent entry is forgotten.
    pub lifetime: i64,
    /// How the greylister listens.
    pub door: Door,
    /// The connection ends with each answer.
    pub exim: bool,
    lists: Lists,
}

#[derive(Debug, Clone, Copy)]
enum Lists {
    Short,
    AllForms,
}

impl OptionSet {
    /// A set with the defaults of Postgrey and `options`.
    pub fn new(name: &'static str, options: &[&'static str]) -> Self {
        Self {
            name,
            options: options.to_vec(),
            delay: 300,
            window: 2 * DAY,
            lifetime: 35 * DAY,
            door: Door::Unix,
            exim: false,
            lists: Lists::Short,
        }
    }

    /// Writes the list files into `folder` and gives the whole command line.
    ///
    /// # Errors
    /// When the files cannot be written.
    pub fn command_line(&self, folder: &Path) -> Result<Vec<OsString>> {
        let (clients, recipients) = match self.lists {
            Lists::Short => (SHORT_CLIENTS, SHORT_RECIPIENTS),
            Lists::AllForms => (CLIENT_FORMS, RECIPIENT_FORMS),
        };
        fs::create_dir_all(folder)?;
        let mut line: Vec<OsString> = self.options.iter().map(OsString::from).collect();
        for (option, file, text) in [
            ("--whitelist-clients=", "clients", clients),
            ("--whitelist-recipients=", "recipients", recipients),
        ] {
            let path = folder.join(file);
            fs::write(&path, text)?;
            let mut word = OsString::from(option);
            word.push(path);
            line.push(word);
        }
        Ok(line)
    }

    fn timing(mut self, delay: i64, window: i64) -> Self {
        self.delay = delay;
        self.window = window;
        self
    }

    fn lifetime(mut self, lifetime: i64) -> Self {
        self.lifetime = lifetime;
        self
    }

    fn inet(mut self) -> Self {
        self.door = Door::Inet;
        self
    }

    fn exim(mut self) -> Self {
        self.exim = true;
        self
    }

    fn all_list_forms(mut self) -> Self {
        self.lists = Lists::AllForms;
        self
    }
}

/// All sets that are compared.
pub fn option_sets() -> Vec<OptionSet> {
    let mut sets = timing_sets();
    sets.extend(wording_sets());
    sets.extend(identity_sets());
    sets.extend(daemon_sets());
    sets
}

fn timing_sets() -> Vec<OptionSet> {
    vec![
        OptionSet::new("defaults", &[]),
        OptionSet::new("short window", &["--delay=60", "--retry-window=6h"]).timing(60, 6 * 3_600),
        OptionSet::new(
            "separate words",
            &["--delay", "3600", "--retry-window", "4", "--max-age", "30"],
        )
        .timing(3_600, 4 * DAY)
        .lifetime(30 * DAY),
        OptionSet::new("one second", &["--delay=1", "--retry-window=1H"]).timing(1, 3_600),
        OptionSet::new("delay 0 means 300", &["--delay=0"]),
        OptionSet::new("negative delay", &["--delay=-5"]).timing(-5, 2 * DAY),
        OptionSet::new("no window", &["--retry-window=0"]).timing(300, 0),
        OptionSet::new("window below delay", &["--delay=7200", "--retry-window=1h"])
            .timing(7_200, 3_600),
        OptionSet::new("one day of age", &["--max-age=1", "--retry-window=12h"])
            .timing(300, 12 * 3_600)
            .lifetime(DAY),
    ]
}

fn wording_sets() -> Vec<OptionSet> {
    vec![
        OptionSet::new(
            "text",
            &["--greylist-text=Greylisted for %s seconds, see http://example.org/%r"],
        ),
        OptionSet::new(
            "text with repetitions",
            &["--greylist-text=%s left %s for %r and %r 100% %%s"],
        ),
        OptionSet::new("text with a status", &["--greylist-text=4.7.1 mytext %r"]),
        OptionSet::new("action", &["--greylist-action=451", "--delay=120"]).timing(120, 2 * DAY),
        OptionSet::new(
            "header",
            &["--x-greylist-header=X-Delay: %t %v %d %h; again %t %v %d %h %%"],
        ),
        OptionSet::new(
            "host name",
            &["--hostname=mx.greylist.example", "--delay=30"],
        )
        .timing(30, 2 * DAY),
    ]
}

fn identity_sets() -> Vec<OptionSet> {
    vec![
        OptionSet::new("by host", &["--lookup-by-host"]),
        OptionSet::new(
            "by host and subnet",
            &["--lookup-by-host", "--lookup-by-subnet"],
        ),
        OptionSet::new("wide networks", &["--ipv4cidr=20", "--ipv6cidr=32"]),
        OptionSet::new("single addresses", &["--ipv4cidr=32", "--ipv6cidr=128"]),
        OptionSet::new("widths 0", &["--ipv4cidr=0", "--ipv6cidr=0"]),
        OptionSet::new("privacy", &["--privacy", "--auto-whitelist-clients=2"]),
        OptionSet::new("no auto-whitelist", &["--auto-whitelist-clients=0"]),
        OptionSet::new("auto-whitelist 1", &["--auto-whitelist-clients", "1"]),
        OptionSet::new(
            "auto-whitelist 2 by host",
            &[
                "--auto-whitelist-clients=2",
                "--lookup-by-host",
                "--privacy",
            ],
        ),
        OptionSet::new(
            "auto-whitelist 5",
            &["--auto-whitelist-clients", "--delay=60"],
        )
        .timing(60, 2 * DAY),
        OptionSet::new("auto-whitelist abc", &["--auto-whitelist-clients=abc"]),
        OptionSet::new("auto-whitelist 1.5", &["--auto-whitelist-clients=1.5"]),
        OptionSet::new("lists", &["--auto-whitelist-clients=0"]).all_list_forms(),
        OptionSet::new("lists and all else", &["--delay=60", "--ipv4cidr=28"])
            .timing(60, 2 * DAY)
            .all_list_forms(),
    ]
}

fn daemon_sets() -> Vec<OptionSet> {
    vec![
        OptionSet::new("exim", &["--exim"]).exim(),
        OptionSet::new("exim over TCP", &["--exim", "-v"])
            .exim()
            .inet(),
        OptionSet::new("TCP", &["--listen-queue-size=50"]).inet(),
        OptionSet::new("quiet", &["--quiet"]),
        OptionSet::new("verbose", &["--verbose"]),
        OptionSet::new("quiet and verbose", &["-v", "-q"]),
        OptionSet::new(
            "log and socket",
            &[
                "--delay=60",
                "--syslog-facility=local3",
                "--socketmode=0600",
            ],
        )
        .timing(60, 2 * DAY),
    ]
}

const SHORT_CLIENTS: &str = "# two kinds\nwhite.example\n198.51.100.0/24\n";
const SHORT_RECIPIENTS: &str = "postmaster@\nabuse@ # comment\n";

const CLIENT_FORMS: &str = r"# every form that a line can have
white.example   # trailing comment
  /^mx\d+\.pool\./
/dyn[0-9]{1,3}\./
/^(?!good\.).*\.bad\.example$/
//
.leading.example
*.glob.example
10
two words are no name
192.0.2.77
192.0.2.300
1.2.3.4/33
203.0.113.77/25
100.64
198.51.100
010.0.0.1
2001:db8:77::/48
[2001:db8:1:3::1]
::ffff:192.0.2.0/120
2001:db8::xyz
user@dom.example
no-newline-at-the-end.example";

const RECIPIENT_FORMS: &str = r"# every form that a line can have
postmaster@
dom2.example
user@exact.example
plus+ext@exact.example
/^list-\d+@/
@at.example
*@star.example
two words here
//
no-newline-at-the-end@";
