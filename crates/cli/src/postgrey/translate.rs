//! From Postgrey's options to our configuration. A translation, no behaviour.

use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

use greylatch_core::Seconds;
use greylatch_server::{
    Config, Endpoint, Facility, Identity, Listener, LogFormat, LogLevel, LogTo,
};

use super::options::Options;

/// What Postgrey's options come to.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Translated {
    pub(crate) config: Config,
    pub(crate) dbdir: PathBuf,
}

/// Paths and names that differ between distributions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Distribution {
    dbdir: &'static str,
    group: &'static str,
    clients: &'static [&'static str],
    recipients: &'static [&'static str],
}

/// Source: Debian's package postgrey 1.37-2.
const DEBIAN: Distribution = Distribution {
    dbdir: "/var/lib/postgrey",
    group: "postgrey",
    clients: &[
        "/etc/postgrey/whitelist_clients",
        "/etc/postgrey/whitelist_clients.local",
    ],
    recipients: &[
        "/etc/postgrey/whitelist_recipients",
        "/etc/postgrey/whitelist_recipients.local",
    ],
};

/// Source: Postgrey 1.37 as released; also what Red Hat's packages keep.
const UPSTREAM: Distribution = Distribution {
    dbdir: "/var/spool/postfix/postgrey",
    group: "nogroup",
    clients: &[
        "/etc/postfix/postgrey_whitelist_clients",
        "/etc/postfix/postgrey_whitelist_clients.local",
    ],
    recipients: &["/etc/postfix/postgrey_whitelist_recipients"],
};

impl Distribution {
    /// The one we run on: Debian keeps Postgrey's files in a folder of its own.
    pub(crate) fn found() -> &'static Self {
        let debian =
            Path::new("/etc/postgrey").is_dir() || Path::new("/etc/debian_version").exists();
        if debian { &DEBIAN } else { &UPSTREAM }
    }

    /// Where the database is.
    pub(super) fn dbdir(&self) -> &'static str {
        self.dbdir
    }
}

/// Translates options, or says what Postgrey would say of them.
pub(crate) fn translate(
    options: &Options,
    distribution: &Distribution,
) -> Result<Translated, String> {
    let mut config = Config::default();
    listen(options, &mut config)?;
    config.process.user = Some(given(&options.user).unwrap_or("postgrey").to_owned());
    config.process.group = Some(
        given(&options.group)
            .unwrap_or(distribution.group)
            .to_owned(),
    );
    greylist(options, &mut config)?;
    config.policy.every_stage = true;
    config.policy.silent_on_unknown = true;
    config.policy.close_after_answer = options.exim;
    config.policy.test_time = options.test_time;
    if let Some(action) = given(&options.greylist_action) {
        config.policy.defer_action = action.to_owned();
    }
    config.lists.clients = lists(&options.whitelist_clients, distribution.clients);
    config.lists.recipients = lists(&options.whitelist_recipients, distribution.recipients);
    let chosen = !options.whitelist_clients.is_empty() || !options.whitelist_recipients.is_empty();
    let mut files = config.lists.clients.iter().chain(&config.lists.recipients);
    config.greylist.shipped_lists = !chosen && !files.any(|file| file.exists());
    log(options, &mut config);
    let dbdir = PathBuf::from(given(&options.dbdir).unwrap_or(distribution.dbdir));
    let store = dbdir.join("greylatch");
    config.listen.control = Some(Endpoint::Unix(store.join("control")));
    config.store.url = Some(format!("embedded:{}", store.display()));
    config.store.privacy = options.privacy;
    config.store.keys_of_postgrey = true;
    Ok(Translated { config, dbdir })
}

/// An option's text, unless it is one that Perl takes for false.
fn given(option: &Option<String>) -> Option<&str> {
    option
        .as_deref()
        .filter(|text| !text.is_empty() && *text != "0")
}

/// An option's number, unless it is zero, which Perl takes for false.
fn number(option: Option<i64>, default: i64) -> i64 {
    option.filter(|number| *number != 0).unwrap_or(default)
}

fn listen(options: &Options, config: &mut Config) -> Result<(), String> {
    let listener = match (&options.inet, &options.unix) {
        (Some(inet), _) => Listener::new(inet_endpoint(inet)?),
        (None, Some(path)) => unix_listener(options, path)?,
        (None, None) => return Err("ERROR: --unix or --inet must be specified".into()),
    };
    config.listen.policy = vec![listener];
    if let Some(size) = options.listen_queue_size.filter(|size| *size > 0) {
        config.listen.backlog = u32::try_from(size.min(999)).unwrap_or(999);
    }
    // Postgrey never closes a connection on its own; an hour is longer than any MTA keeps one.
    config.listen.idle_timeout = Seconds::HOUR;
    Ok(())
}

fn unix_listener(options: &Options, path: &str) -> Result<Listener, String> {
    let mut listener = Listener::new(Endpoint::Unix(PathBuf::from(path)));
    listener.replaces = true;
    if let Some(mode) = given(&options.socketmode) {
        let octal = u32::from_str_radix(mode, 8)
            .ok()
            .filter(|mode| *mode <= 0o7777);
        let octal = octal.filter(|mode| *mode != 0).ok_or_else(|| {
            format!(
                "ERROR: --socketmode={mode} is no octal mode; write for example --socketmode=0660"
            )
        })?;
        listener.mode = Some(octal);
    }
    let user = given(&options.user).unwrap_or("postgrey");
    listener.owner = is_root().then(|| match given(&options.group) {
        Some(group) => format!("{user}:{}", group.split([',', ' ']).next().unwrap_or(group)),
        None => user.to_owned(),
    });
    Ok(listener)
}

fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// The forms that Postgrey's server library reads: `PORT`, `HOST:PORT`, `[ADDRESS]:PORT`, `*:PORT`,
/// `:PORT`, each also with `/tcp` behind it.
fn inet_endpoint(text: &str) -> Result<Endpoint, String> {
    let bare = text.strip_suffix("/tcp").unwrap_or(text);
    let (host, port) = match bare.rsplit_once(':') {
        Some((host, port)) => (host, port),
        None => ("localhost", bare),
    };
    let host = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .unwrap_or(host);
    let host = if host == "*" || host.bytes().all(|byte| byte == b':') {
        ""
    } else {
        host
    };
    let is_number = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    match port.parse() {
        Ok(port) if is_number => Ok(Endpoint::Tcp {
            host: host.to_owned(),
            port,
        }),
        _ => {
            let host = if bare.contains(':') { host } else { "*" };
            Err(format!(
                "ERROR: Could not determine port number from host [{host}]:{port}"
            ))
        }
    }
}

fn greylist(options: &Options, config: &mut Config) -> Result<(), String> {
    let greylist = &mut config.greylist;
    greylist.delay = Seconds(number(options.delay, 300));
    greylist.retry_window = retry_window(options.retry_window.as_deref())?;
    greylist.lifetime = Seconds(number(options.max_age, 35).saturating_mul(Seconds::DAY.0));
    greylist.ipv4_prefix = prefix("ipv4cidr", options.ipv4cidr, 24, 32)?;
    greylist.ipv6_prefix = prefix("ipv6cidr", options.ipv6cidr, 64, 128)?;
    greylist.identity = if options.lookup_by_host {
        Identity::PostgreyByHost
    } else {
        Identity::Postgrey
    };
    greylist.exempt_clients_after = exempt_after(options.auto_whitelist_clients.as_deref());
    greylist.exempt_silently = !is_whole(options.auto_whitelist_clients.as_deref());
    greylist.exempt_authenticated = false;
    greylist.exempt_local = false;
    greylist.waiting_max = NonZeroU32::new(4_000_000).expect("the number is not zero");
    greylist.reply = given(&options.greylist_text).unwrap_or(REPLY).to_owned();
    greylist.header = given(&options.x_greylist_header)
        .unwrap_or(HEADER)
        .to_owned();
    greylist.hostname = given(&options.hostname).map(str::to_owned);
    greylist.version = Some("1.37".into());
    Ok(())
}

const REPLY: &str = "Greylisted, see http://postgrey.schweikert.ch/help/%r.html";
const HEADER: &str = "X-Greylist: delayed %t seconds by postgrey-%v at %h; %d";

fn retry_window(text: Option<&str>) -> Result<Seconds, String> {
    let Some(text) = text else {
        return Ok(Seconds(2 * Seconds::DAY.0));
    };
    let (digits, unit) = match text.strip_suffix(['h', 'H']) {
        Some(hours) => (hours, Seconds::HOUR.0),
        None => (text, Seconds::DAY.0),
    };
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(
            "ERROR: --retry-window must be either a number of days or a number\n       \
                    followed by 'h' for hours ('6h' for example)."
                .into(),
        );
    }
    Ok(Seconds(
        digits
            .parse()
            .unwrap_or(i64::MAX / unit)
            .saturating_mul(unit),
    ))
}

fn prefix(name: &str, given: Option<i64>, default: u8, max: u8) -> Result<u8, String> {
    u8::try_from(number(given, i64::from(default)))
        .ok()
        .filter(|prefix| *prefix <= max)
        .ok_or_else(|| format!("ERROR: --{name} must be a number from 1 to {max}"))
}

/// The number of passes that exempts a client; a text that is no number exempts after the first.
fn exempt_after(text: Option<&str>) -> u32 {
    match text {
        None | Some("") => 5,
        Some("0") => 0,
        Some(text) => {
            let number = text
                .parse::<f64>()
                .unwrap_or(0.0)
                .ceil()
                .clamp(1.0, f64::from(u32::MAX));
            number as u32
        }
    }
}

/// Postgrey announces a client whose count equals the threshold, which a fraction never does.
fn is_whole(text: Option<&str>) -> bool {
    text.is_none_or(|text| text.bytes().all(|byte| byte.is_ascii_digit()))
}

fn lists(given: &[String], defaults: &[&str]) -> Vec<PathBuf> {
    if given.is_empty() {
        defaults.iter().map(PathBuf::from).collect()
    } else {
        given.iter().map(PathBuf::from).collect()
    }
}

fn log(options: &Options, config: &mut Config) {
    config.log.format = LogFormat::Postgrey;
    config.log.to = if options.daemonize {
        LogTo::Syslog
    } else {
        LogTo::Stderr
    };
    config.log.level = match (options.quiet, options.verbose) {
        (true, _) => LogLevel::Quiet,
        (false, true) => LogLevel::Verbose,
        (false, false) => LogLevel::Normal,
    };
    config.log.ident = "postgrey".into();
    if let Some(facility) = given(&options.syslog_facility) {
        // Postgrey takes any word, and its lines then have a broken priority.
        config.log.facility = facility.parse().unwrap_or(Facility::MAIL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn translated(line: &[&str]) -> Result<Config, String> {
        let words: Vec<String> = line.iter().map(|word| (*word).to_owned()).collect();
        let options = Options::parse(&words).expect("options that parse");
        translate(&options, &DEBIAN).map(|translated| translated.config)
    }

    fn endpoint(inet: &str) -> String {
        match inet_endpoint(inet) {
            Ok(endpoint) => endpoint.to_string(),
            Err(error) => error,
        }
    }

    #[test]
    fn the_forms_of_inet_listen_where_postgrey_listens() {
        let forms = [
            ("10023", "localhost:10023"),
            ("127.0.0.1:10023", "127.0.0.1:10023"),
            ("[::1]:10023", "[::1]:10023"),
            ("::1:10023", "[::1]:10023"),
            ("*:10023", ":10023"),
            (":10023", ":10023"),
            ("0.0.0.0:10023", "0.0.0.0:10023"),
            ("0", "localhost:0"),
            ("::1", ":1"),
            ("127.0.0.1:10023/tcp", "127.0.0.1:10023"),
            (
                "host",
                "ERROR: Could not determine port number from host [*]:host",
            ),
            (
                "localhost:name",
                "ERROR: Could not determine port number from host [localhost]:name",
            ),
        ];
        for (inet, expected) in forms {
            assert_eq!(endpoint(inet), expected, "{inet}");
        }
    }

    #[test]
    fn zero_means_the_default_where_postgrey_takes_it_so() {
        let config = translated(&["--inet=1", "--delay=0", "--max-age=0", "--ipv4cidr=0"])
            .expect("a configuration");
        assert_eq!(config.greylist.delay, Seconds(300));
        assert_eq!(config.greylist.lifetime, Seconds(35 * 86_400));
        assert_eq!(config.greylist.ipv4_prefix, 24);
        let window = translated(&["--inet=1", "--retry-window=0"]).expect("a configuration");
        assert_eq!(window.greylist.retry_window, Seconds(0));
    }

    #[test]
    fn every_option_arrives() {
        let config = translated(&[
            "--inet=127.0.0.1:1",
            "--delay=-5",
            "--retry-window=6h",
            "--max-age=7",
            "--lookup-by-host",
            "--ipv4cidr=20",
            "--ipv6cidr=56",
            "--privacy",
            "--exim",
            "--quiet",
            "--verbose",
            "--greylist-action=451",
            "--greylist-text=wait %s",
            "--x-greylist-header=X-G: %t",
            "--hostname=mx",
            "--facility=local1",
            "--user=root",
            "--group=root",
            "--dbdir=/tmp/x",
            "--auto-whitelist-clients=2",
            "--test-time",
            "--whitelist-clients=/c",
            "--whitelist-recipients=/r",
            "--listen-queue-size=5000",
        ])
        .expect("a configuration");
        let greylist = &config.greylist;
        assert_eq!(
            (greylist.delay, greylist.retry_window),
            (Seconds(-5), Seconds(21_600))
        );
        assert_eq!(greylist.lifetime, Seconds(7 * 86_400));
        assert_eq!((greylist.ipv4_prefix, greylist.ipv6_prefix), (20, 56));
        assert_eq!(greylist.identity, Identity::PostgreyByHost);
        assert_eq!(
            (greylist.reply.as_str(), greylist.header.as_str()),
            ("wait %s", "X-G: %t")
        );
        assert_eq!(
            (greylist.hostname.as_deref(), greylist.exempt_clients_after),
            (Some("mx"), 2)
        );
        assert!(
            config.store.privacy && config.policy.close_after_answer && config.policy.test_time
        );
        assert_eq!(config.policy.defer_action, "451");
        assert_eq!(
            (config.log.level, Ok(config.log.facility)),
            (LogLevel::Quiet, "local1".parse())
        );
        assert_eq!(config.lists.clients, [PathBuf::from("/c")]);
        assert_eq!(config.lists.recipients, [PathBuf::from("/r")]);
        assert_eq!(config.listen.backlog, 999);
        assert_eq!(
            config.store.url.as_deref(),
            Some("embedded:/tmp/x/greylatch")
        );
    }

    #[test]
    fn what_cannot_work_is_refused_in_postgreys_words() {
        assert_eq!(
            translated(&[]),
            Err("ERROR: --unix or --inet must be specified".into())
        );
        let window = translated(&["--inet=1", "--retry-window=x"]).expect_err("no window");
        assert!(
            window
                .starts_with("ERROR: --retry-window must be either a number of days or a number\n")
        );
        let cidr = translated(&["--inet=1", "--ipv4cidr=33"]).expect_err("no prefix");
        assert_eq!(cidr, "ERROR: --ipv4cidr must be a number from 1 to 32");
    }

    #[test]
    fn a_threshold_that_is_no_number_exempts_after_the_first_pass() {
        assert_eq!(exempt_after(None), 5);
        assert_eq!(exempt_after(Some("")), 5);
        assert_eq!(exempt_after(Some("0")), 0);
        assert_eq!(exempt_after(Some("1.5")), 2);
        assert_eq!(exempt_after(Some("abc")), 1);
        let silent = |text: &str| {
            let option = format!("--auto-whitelist-clients={text}");
            let config = translated(&["--inet=1", &option]).expect("a configuration");
            config.greylist.exempt_silently
        };
        assert_eq!(["5", "1.5", "abc"].map(silent), [false, true, true]);
    }
}
