//! `greylatch.toml`: one struct per table, straight into domain types. The only place that reads
//! TOML. A personality builds the same structs from foreign options.
//!
//! The doc comment of a field is its entry in the manual.

mod endpoint;
mod facility;
mod log;
mod text;

use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

use greylatch_core::{Network, Seconds};
use greylatch_rules::{Entry, RuleSpec, Then};
use serde::Deserialize;
use toml::Spanned;

pub use endpoint::{Endpoint, Listener};
pub use facility::Facility;
pub use log::{Log, LogFormat, LogLevel, LogTo};
pub use text::{ConfigError, ConfigProblem};

/// The whole configuration.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where MTAs and the administrator's tools ask.
    pub listen: Listen,
    /// Whom the daemon runs as.
    pub process: Process,
    /// When mail has to wait, and how long that is remembered.
    pub greylist: Greylisting,
    /// How the policy protocol answers.
    pub policy: Policy,
    /// Who may ask over HTTP.
    pub http: Http,
    /// The other MX hosts of the site.
    pub cluster: Cluster,
    /// Files in the formats of Postgrey, read at start and at each reload.
    pub lists: Lists,
    /// Where entries are kept.
    pub store: Store,
    /// Rules of the site, in order; the first that matches decides. See docs/rules.md.
    pub rule: Vec<Spanned<Rule>>,
    /// What is logged, and where to.
    pub log: Log,
}

impl Config {
    /// Reads a configuration; `path` is only named in problems.
    ///
    /// # Errors
    /// [`ConfigError`] holds every problem of the file, each with its place and what to write
    /// instead.
    pub fn parse(path: &Path, text: &str) -> Result<Self, ConfigError> {
        text::parse(path, text)
    }

    /// The rules in the form that `crates/rules` checks, with their places in the file.
    pub(crate) fn rule_specs(&self) -> Vec<RuleSpec> {
        self.rule.iter().map(Rule::spec).collect()
    }
}

/// `[listen]`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Listen {
    /// Sockets for the Postfix policy protocol. A table instead of a text sets the mode and owner
    /// of a unix socket: `{ path = "/run/greylatch/policy", mode = "0660", owner = "greylatch:postfix" }`.
    /// Without, its mode is 0666. TCP has neither encryption nor passwords: keep it on this host or
    /// in a network you trust.
    pub policy: Vec<Listener>,
    /// Sockets for the milter protocol of Sendmail and Postfix, written like those of `policy`.
    /// Example: `["unix:/run/greylatch/milter"]`.
    pub milter: Vec<Listener>,
    /// Unix sockets for greylistd's protocol, written like those of `policy`. Without a mode it is 0660:
    /// whoever can connect may change and empty what is remembered. Example:
    /// `[{ path = "/run/greylistd/socket", owner = "greylatch:greylist" }]`.
    #[serde(deserialize_with = "endpoint::guarded")]
    pub greylistd: Vec<Listener>,
    /// Sockets for HTTP, written like those of `policy`; see docs/http.md. Without a mode a unix socket
    /// is 0660. TCP needs `http.token_file`, on this very host too, and beyond it a certificate.
    /// Example: `["127.0.0.1:10025"]`.
    #[serde(deserialize_with = "endpoint::grouped")]
    pub http: Vec<Listener>,
    /// The socket of `greylatch ask`, `entries`, `status` and `reload`: a unix socket that only
    /// its owner may use. Left out: `control` in the store's directory.
    /// Example: `"unix:/run/greylatch/control"`.
    pub control: Option<Endpoint>,
    /// How many connections may be open at once; one more has to wait until another closes.
    pub connections_max: u32,
    /// A connection on which nothing was asked for so long is closed; longer than the time
    /// after which an MTA closes it (Postfix: 300 s idle, 1000 s in all). A milter's connection
    /// lasts as long as the SMTP session and may be quiet for two hours whatever stands here.
    #[serde(deserialize_with = "text::seconds")]
    pub idle_timeout: Seconds,
    /// A request that has begun must be complete after so long, and an answer taken.
    #[serde(deserialize_with = "text::seconds")]
    pub request_timeout: Seconds,
    /// How many connections the kernel may hold that are not accepted yet.
    pub backlog: u32,
}

impl Default for Listen {
    fn default() -> Self {
        Self {
            policy: vec![Listener::tcp("127.0.0.1:10023")],
            milter: vec![],
            greylistd: vec![],
            http: vec![],
            control: None,
            connections_max: 4096,
            idle_timeout: Seconds(1_200),
            request_timeout: Seconds(100),
            backlog: 1024,
        }
    }
}

/// `[process]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Process {
    /// The user to become when started as root: a name or a number. Left out: stays as it is.
    /// Example: `"greylatch"`.
    pub user: Option<String>,
    /// The group to become when started as root, and further groups behind commas.
    /// Left out: the user's own. Example: `"greylatch"`.
    pub group: Option<String>,
}

/// `[greylist]`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Greylisting {
    /// How long a new sender has to wait before a retry passes.
    #[serde(deserialize_with = "text::seconds")]
    pub delay: Seconds,
    /// How long after the first attempt a retry counts as one.
    #[serde(deserialize_with = "text::seconds")]
    pub retry_window: Seconds,
    /// How long a sender that passed is remembered after its last mail.
    #[serde(deserialize_with = "text::seconds")]
    pub lifetime: Seconds,
    /// IPv4 clients count as one when so many leading bits agree.
    pub ipv4_prefix: u8,
    /// IPv6 clients count as one when so many leading bits agree.
    pub ipv6_prefix: u8,
    /// `"enforce"`, or `"learn"`: remembers and logs what would wait, but passes everything.
    pub mode: Mode,
    /// How identities are formed: `"native"`, or `"postgrey"` and `"postgrey-by-host"` to go on
    /// with the keys of Postgrey.
    pub identity: Identity,
    /// After so many passes, at most one counted per hour, a client address is exempt; 0 never.
    pub exempt_clients_after: u32,
    /// Mail with the null sender (bounces): `"rcpt"` is greylisted like any other, `"data"` is
    /// asked about at DATA only, so that sender call-outs pass, `"exempt"` passes.
    pub null_sender: NullSender,
    /// Clients that logged in are exempt, and those whose TLS certificate a milter's MTA has
    /// verified.
    pub exempt_authenticated: bool,
    /// Clients that Sendmail's access database lets through are exempt: its macro `{greylist}` is
    /// `WHITE`, `RELAY` or `OK`.
    pub exempt_access_listed: bool,
    /// Clients on this very host (127.0.0.1 and ::1) are exempt.
    pub exempt_local: bool,
    /// Mail of the pools on the short list that comes with the program is exempt, as are
    /// postmaster@ and abuse@.
    pub shipped_lists: bool,
    /// How many entries may wait in one client network that has none proven; beyond it mail is
    /// deferred without being remembered. 0: no limit.
    pub waiting_per_network: u32,
    /// How many entries may wait in all; beyond it the oldest waiting ones are forgotten first.
    pub waiting_max: NonZeroU32,
    /// The text of a deferral; `%s` stands for the seconds left, `%r` for the recipient's domain.
    pub reply: String,
    /// The header of mail that waited; `%t` stands for the seconds, `%v` for the version, `%h`
    /// for the host name, `%d` for the date. Empty: none.
    pub header: String,
    /// The name of this host in the header. Left out: the system's. Example: `"mx1.example.org"`.
    pub hostname: Option<String>,
    /// A client that becomes exempt is not named in the log; Postgrey with a threshold that is no
    /// whole number.
    #[serde(skip)]
    pub exempt_silently: bool,
    /// Names the header gives this program; what a personality must answer as.
    #[serde(skip)]
    pub version: Option<String>,
}

impl Default for Greylisting {
    fn default() -> Self {
        Self {
            delay: Seconds(60),
            retry_window: Seconds(2 * Seconds::DAY.0),
            lifetime: Seconds(35 * Seconds::DAY.0),
            ipv4_prefix: 24,
            ipv6_prefix: 64,
            mode: Mode::Enforce,
            identity: Identity::Native,
            exempt_clients_after: 5,
            null_sender: NullSender::Rcpt,
            exempt_authenticated: true,
            exempt_access_listed: true,
            exempt_local: true,
            shipped_lists: true,
            waiting_per_network: 1_000,
            waiting_max: NonZeroU32::new(4_000_000).expect("the number is not zero"),
            reply: "Greylisted, please try again in %s seconds".into(),
            header: "X-Greylist: delayed %t seconds by greylatch-%v at %h; %d".into(),
            hostname: None,
            exempt_silently: false,
            version: None,
        }
    }
}

/// `greylist.mode`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// New senders wait.
    #[default]
    Enforce,
    /// Everything passes; what would have waited is logged.
    Learn,
}

/// `greylist.identity`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Identity {
    /// Our own way.
    #[default]
    Native,
    /// Postgrey's, by network.
    Postgrey,
    /// Postgrey's with `--lookup-by-host`.
    PostgreyByHost,
}

/// `greylist.null_sender`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NullSender {
    /// Like any other sender.
    #[default]
    Rcpt,
    /// Only at DATA.
    Data,
    /// Never greylisted.
    Exempt,
}

/// `[policy]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Policy {
    /// The action in front of the text of a deferral; see access(5) of Postfix.
    pub defer_action: String,
    /// Close the connection after each answer; Exim with `shutdown=no` needs it.
    pub close_after_answer: bool,
    /// Judge at every stage of the SMTP dialogue alike, as Postgrey does, instead of at RCPT and
    /// at DATA with one recipient.
    pub every_stage: bool,
    /// Say nothing to a request that is no `smtpd_access_policy`, as Postgrey does, instead of
    /// `DUNNO`.
    pub silent_on_unknown: bool,
    /// Let a request set the clock with `policy_test_time`. For tests: whoever can connect can
    /// then pass at once.
    pub test_time: bool,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            defer_action: "DEFER_IF_PERMIT".into(),
            close_after_answer: false,
            every_stage: false,
            silent_on_unknown: false,
            test_time: false,
        }
    }
}

/// `[http]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Http {
    /// The file with the tokens, one on a line behind its scope: `check TOKEN` may have attempts
    /// judged, `admin TOKEN` may list and change entries as well. Read at start and at each reload.
    /// Example: `"/etc/greylatch/tokens"`.
    pub token_file: Option<PathBuf>,
    /// The certificate with its chain, as PEM: HTTP over TCP then speaks TLS alone. Read at start and
    /// at each reload. Example: `"/etc/greylatch/cert.pem"`.
    pub certificate: Option<PathBuf>,
    /// The key of the certificate, as PEM. Example: `"/etc/greylatch/key.pem"`.
    pub key: Option<PathBuf>,
}

/// `[cluster]`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Cluster {
    /// Addresses and networks of our own MX hosts: exempt before anything else.
    #[serde(deserialize_with = "text::networks")]
    pub hosts: Vec<Network>,
}

/// `[lists]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Lists {
    /// Client lists: names, `/patterns/`, addresses, networks.
    pub clients: Vec<PathBuf>,
    /// Recipient lists: addresses, `user@`, domains, `/patterns/`.
    pub recipients: Vec<PathBuf>,
    /// A `greylist.conf`, whose rules then decide alone; what a personality needs.
    #[serde(skip)]
    pub greylist_conf: Option<ForeignRules>,
}

/// A `greylist.conf`, and what the command line adds to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForeignRules {
    /// The file, read at start and whenever it changes.
    pub path: PathBuf,
    /// Statements to stand behind its own.
    pub appended: String,
}

/// `[store]`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Store {
    /// `"embedded:DIRECTORY"` or `"memory:"`. Left out: a directory in the user's state directory,
    /// under systemd the unit's StateDirectory. Example: `"embedded:/var/lib/greylatch"`.
    pub url: Option<String>,
    /// `"interval"`: a power cut loses at most the last second, `kill -9` nothing. `"always"`:
    /// every answer waits until the disk has what it rests on.
    pub sync: Sync,
    /// What is answered while the store is away: `"pass"` or `"defer"`.
    pub on_failure: OnFailure,
    /// How long an attempt may wait for the store, in milliseconds.
    pub timeout_ms: u32,
    /// Keep hashes only, no addresses, made with the secret of `privacy_key`. Listing by address,
    /// searching and moving to another store then cannot work.
    pub privacy: bool,
    /// The file with the secret of `privacy`: 64 hexadecimal digits, the same on all hosts that
    /// exchange entries. It is made, for its owner only, when it is not there. Left out:
    /// `privacy.key` in the store's directory. Example: `"/etc/greylatch/privacy.key"`.
    pub privacy_key: Option<PathBuf>,
    /// How many entries are held in memory in front of the store at most; a third of all when that
    /// is more.
    pub cache_entries: u32,
    /// With privacy, keys go over the SHA-1 that Postgrey leaves, so that its memory can be taken
    /// over; what a personality needs.
    #[serde(skip)]
    pub keys_of_postgrey: bool,
}

impl Default for Store {
    fn default() -> Self {
        Self {
            url: None,
            sync: Sync::Interval,
            on_failure: OnFailure::Pass,
            timeout_ms: 1_000,
            privacy: false,
            privacy_key: None,
            cache_entries: 524_288,
            keys_of_postgrey: false,
        }
    }
}

/// `store.sync`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sync {
    /// Once a second.
    #[default]
    Interval,
    /// Before every answer.
    Always,
}

/// `store.on_failure`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnFailure {
    /// Mail passes.
    #[default]
    Pass,
    /// Mail is deferred.
    Defer,
}

/// `[[rule]]`: what is listed within one condition are alternatives; all conditions must hold.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Client addresses and networks. Example: `["203.0.113.0/24", "2001:db8::/32"]`.
    pub client: Option<Vec<Spanned<String>>>,
    /// Forward-confirmed client names: a domain with all below it, or a `/pattern/`.
    /// Example: `["mail.example.net", "/^mx[0-9]+\\.example\\.com$/"]`.
    pub name: Option<Vec<Spanned<String>>>,
    /// Senders: `user@domain`, `user@`, `@domain`, a domain with all below it, `<>` for the null
    /// sender, or a `/pattern/`. Example: `["newsletter.example", "alice@example.com"]`.
    pub sender: Option<Vec<Spanned<String>>>,
    /// Recipients, written like senders. Example: `["sales@example.org", "@shop.example.org"]`.
    pub recipient: Option<Vec<Spanned<String>>>,
    /// What the client called itself, written like names. Example: `["localhost"]`.
    pub helo: Option<Vec<Spanned<String>>>,
    /// The client has logged in, or has not. Example: `false`.
    pub authenticated: Option<bool>,
    /// The connection is encrypted, or is not. Example: `false`.
    pub tls: Option<bool>,
    /// `"exempt"` passes at once, `"greylist"` is greylisted, `"refuse"` is refused for good.
    /// Example: `"greylist"`.
    #[serde(deserialize_with = "text::then")]
    pub then: Then,
    /// The delay for what this rule greylists. Example: `"15m"`.
    #[serde(default, deserialize_with = "text::optional_seconds")]
    pub delay: Option<Seconds>,
}

impl Rule {
    fn spec(rule: &Spanned<Self>) -> RuleSpec {
        let span = rule.span();
        let rule = rule.get_ref();
        let entries = |written: &Option<Vec<Spanned<String>>>| {
            let entry = |text: &Spanned<String>| Entry {
                text: text.get_ref().clone(),
                span: text.span(),
            };
            written
                .as_ref()
                .map(|texts| texts.iter().map(entry).collect())
        };
        RuleSpec {
            span,
            client: entries(&rule.client),
            name: entries(&rule.name),
            helo: entries(&rule.helo),
            sender: entries(&rule.sender),
            recipient: entries(&rule.recipient),
            authenticated: rule.authenticated,
            tls: rule.tls,
            then: rule.then,
            delay: rule.delay,
        }
    }
}
