//! The settings of `greylist.conf`: what its statements say that are neither rules nor
//! definitions. A later statement overrides an earlier one.
//!
//! Source: greylist.conf(5); the defaults are those of milter-greylist 4.6.4.

use std::net::IpAddr;

use greylatch_core::Seconds;

/// What the file says of the program as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// `verbose`: log more.
    pub verbose: bool,
    /// `quiet`: answer "later" in place of the remaining time.
    pub quiet: bool,
    /// `nodetach`: stay in the foreground.
    pub nodetach: bool,
    /// `pidfile`: where to write the process number.
    pub pidfile: Option<String>,
    /// `socket`: where to listen.
    pub socket: Option<Socket>,
    /// `user`: whom to run as.
    pub user: Option<RunAs>,
    /// `dumpfile`: where to write the database.
    pub dumpfile: Option<Dumpfile>,
    /// `dumpfreq`: when to write it.
    pub dumpfreq: DumpAt,
    /// `dump_no_time_translation`: no dates as remarks in it.
    pub dump_no_time_translation: bool,
    /// `greylist`: the delay of a rule that sets none.
    pub greylist: Seconds,
    /// `autowhite`: how long a tuple stays accepted when the rule sets nothing.
    pub autowhite: Seconds,
    /// `timeout`: how long a tuple may wait to be tried again.
    pub timeout: Seconds,
    /// `subnetmatch`: how many bits of IPv4 addresses are compared; 0 means that all are equal.
    pub subnetmatch: u8,
    /// `subnetmatch6`: the same for IPv6.
    pub subnetmatch6: u8,
    /// `lazyaw`: an accepted tuple exempts its client.
    pub lazyaw: bool,
    /// `report`: when to add `X-Greylist`.
    pub report: ReportWhen,
    /// `noauth`: clients that have authenticated are greylisted too.
    pub noauth: bool,
    /// `noaccessdb`: Sendmail's `{greylist}` macro does not count.
    pub noaccessdb: bool,
    /// `nospf`: a sender that SPF passes is greylisted too.
    pub nospf: bool,
    /// `testmode`: accept what no rule matches.
    pub testmode: bool,
    /// `delayedreject`: defer the null sender at the end of the message only.
    pub delayedreject: bool,
    /// `unbracket`: resolve a client name that is an address in brackets.
    pub unbracket: bool,
    /// `domainexact`: a domain matches at the boundary of a label only.
    pub domainexact: bool,
    /// `logexpired`: log what waited in vain.
    pub logexpired: bool,
    /// `logfac`: the facility of syslog.
    pub logfac: LogFacility,
    /// `maxpeek`: how many bytes of a message rules may look at.
    pub maxpeek: Option<u64>,
    /// `localaddr`: stands in for `{if_addr}`.
    pub localaddr: Option<IpAddr>,
    /// `peer`: other hosts to exchange entries with.
    pub peers: Vec<Peer>,
    /// `syncaddr`: where to listen for them.
    pub syncaddr: SyncAddress,
    /// `syncsrcaddr`: where to call them from.
    pub syncsrcaddr: SyncAddress,
    /// `syncmaxqlen`: how many entries may wait for a peer.
    pub syncmaxqlen: u64,
    /// `stat`: the report of each recipient.
    pub stat: Option<Stat>,
    /// `tarpit`: how long to wait before an answer when the rule says nothing.
    pub tarpit: Option<Seconds>,
    /// `tarpit_scope`: what that is counted over.
    pub tarpit_scope: TarpitScope,
    /// `geoip2db`, or else `geoipdb`: the database of countries.
    pub geoip_database: Option<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            verbose: false,
            quiet: false,
            nodetach: false,
            pidfile: None,
            socket: None,
            user: None,
            dumpfile: None,
            dumpfreq: DumpAt::Every(Seconds(600)),
            dump_no_time_translation: false,
            greylist: Seconds(1_800),
            autowhite: Seconds::DAY,
            timeout: Seconds(5 * Seconds::DAY.0),
            subnetmatch: 32,
            subnetmatch6: 128,
            lazyaw: false,
            report: ReportWhen::All,
            noauth: false,
            noaccessdb: false,
            nospf: false,
            testmode: false,
            delayedreject: false,
            unbracket: false,
            domainexact: false,
            logexpired: false,
            logfac: LogFacility::Mail,
            maxpeek: None,
            localaddr: None,
            peers: Vec::new(),
            syncaddr: SyncAddress::default(),
            syncsrcaddr: SyncAddress::default(),
            syncmaxqlen: 1_024,
            stat: None,
            tarpit: None,
            tarpit_scope: TarpitScope::Session,
            geoip_database: None,
        }
    }
}

impl Settings {
    /// The switch that a statement of one word turns on.
    pub(super) fn switch(&mut self, word: &str) -> Option<&mut bool> {
        Some(match word {
            "verbose" => &mut self.verbose,
            "quiet" => &mut self.quiet,
            "nodetach" => &mut self.nodetach,
            "dump_no_time_translation" => &mut self.dump_no_time_translation,
            "lazyaw" => &mut self.lazyaw,
            "noauth" => &mut self.noauth,
            "noaccessdb" => &mut self.noaccessdb,
            "nospf" => &mut self.nospf,
            "testmode" => &mut self.testmode,
            "delayedreject" => &mut self.delayedreject,
            "unbracket" => &mut self.unbracket,
            "domainexact" => &mut self.domainexact,
            "logexpired" => &mut self.logexpired,
            _ => return None,
        })
    }
}

/// A `socket` statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Socket {
    /// Where to listen.
    pub address: ListenAddress,
    /// The mode of a socket in the file system.
    pub mode: Option<u32>,
}

/// Where a milter listens, in libmilter's form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListenAddress {
    /// `/path`, `local:/path`, `unix:/path`.
    Unix {
        /// The path.
        path: String,
    },
    /// `inet:port@host`.
    Inet {
        /// The port.
        port: u16,
        /// A name or address without brackets; none means all addresses.
        host: Option<String>,
    },
    /// `inet6:port@host`.
    Inet6 {
        /// The port.
        port: u16,
        /// A name or address without brackets; none means all addresses.
        host: Option<String>,
    },
}

/// A `user` statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunAs {
    /// The user.
    pub user: String,
    /// The group, if it is not the user's own.
    pub group: Option<String>,
}

/// A `dumpfile` statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dumpfile {
    /// Where it is.
    pub path: String,
    /// The mode it is made with.
    pub mode: Option<u32>,
}

/// When the database is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DumpAt {
    /// After each change.
    EachChange,
    /// When so much time has passed.
    Every(Seconds),
    /// When the program ends.
    Exit,
}

/// Which messages get an `X-Greylist` header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReportWhen {
    /// None.
    None,
    /// Those that were delayed.
    Delays,
    /// Those that were not.
    NoDelays,
    /// All.
    All,
}

/// A facility of syslog; `None` means that nothing goes there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "syslog(3) explains them")]
pub enum LogFacility {
    None,
    Kern,
    User,
    Mail,
    Daemon,
    Auth,
    Syslog,
    Lpr,
    News,
    Uucp,
    Cron,
    Authpriv,
    Ftp,
    /// `local0` to `local7`.
    Local(u8),
}

/// A `peer` statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// An address or a name.
    pub host: String,
    /// How long it may take to answer; none means for ever.
    pub timeout: Option<Seconds>,
}

/// `syncaddr` and `syncsrcaddr`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SyncAddress {
    /// None means all addresses.
    pub address: Option<IpAddr>,
    /// None means that of the service `mxglsync`, or 5252.
    pub port: Option<u16>,
}

/// A `stat` statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stat {
    /// Where the records go.
    pub output: StatOutput,
    /// The template of a record, its `\n` and the like already bytes.
    pub format: Vec<u8>,
}

/// Where `stat` records go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StatOutput {
    /// `>>file`.
    Append(String),
    /// `>file`: emptied when the configuration is read.
    Truncate(String),
    /// `|command`: a shell command that is kept running.
    Pipe(String),
}

/// What the wait of a tarpit is counted over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TarpitScope {
    /// All that was waited in one connection.
    Session,
    /// Each command alone.
    Command,
}
