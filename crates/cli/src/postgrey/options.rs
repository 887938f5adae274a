//! Postgrey's command line.
//!
//! Source: the options of Postgrey 1.37, as observed by running it.

use crate::getopt_long::{self, Definition, Kind};

/// The options as given; `None` where an option was not given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Options {
    pub(crate) help: bool,
    pub(crate) man: bool,
    pub(crate) version: bool,
    pub(crate) no_action: bool,
    pub(crate) verbose: bool,
    pub(crate) quiet: bool,
    pub(crate) daemonize: bool,
    pub(crate) lookup_by_host: bool,
    pub(crate) privacy: bool,
    pub(crate) exim: bool,
    pub(crate) test_time: bool,
    pub(crate) pidfile: Option<String>,
    pub(crate) unix: Option<String>,
    pub(crate) inet: Option<String>,
    pub(crate) socketmode: Option<String>,
    pub(crate) user: Option<String>,
    pub(crate) group: Option<String>,
    pub(crate) dbdir: Option<String>,
    pub(crate) retry_window: Option<String>,
    pub(crate) greylist_action: Option<String>,
    pub(crate) greylist_text: Option<String>,
    pub(crate) hostname: Option<String>,
    pub(crate) syslog_facility: Option<String>,
    pub(crate) x_greylist_header: Option<String>,
    pub(crate) whitelist_clients: Vec<String>,
    pub(crate) whitelist_recipients: Vec<String>,
    /// Given without a value: the empty text.
    pub(crate) auto_whitelist_clients: Option<String>,
    pub(crate) delay: Option<i64>,
    pub(crate) max_age: Option<i64>,
    pub(crate) ipv4cidr: Option<i64>,
    pub(crate) ipv6cidr: Option<i64>,
    pub(crate) listen_queue_size: Option<i64>,
}

static DEFINITIONS: &[Definition<Options>] = &[
    Definition::flag(&["help", "h"], |options| options.help = true),
    Definition::flag(&["man"], |options| options.man = true),
    Definition::flag(&["version"], |options| options.version = true),
    Definition::flag(&["noaction", "no-action", "n"], |options| {
        options.no_action = true
    }),
    Definition::flag(&["verbose", "v"], |options| options.verbose = true),
    Definition::flag(&["quiet", "q"], |options| options.quiet = true),
    Definition::flag(&["daemonize", "d"], |options| options.daemonize = true),
    Definition::flag(&["lookup-by-subnet"], |_| ()),
    Definition::flag(&["lookup-by-host"], |options| options.lookup_by_host = true),
    Definition::flag(&["privacy"], |options| options.privacy = true),
    Definition::flag(&["exim"], |options| options.exim = true),
    Definition::flag(&["test-time"], |options| options.test_time = true),
    Definition::text(&["pidfile"], |options, value| options.pidfile = Some(value)),
    Definition::text(&["unix", "u"], |options, value| options.unix = Some(value)),
    Definition::text(&["inet", "i"], |options, value| options.inet = Some(value)),
    Definition::text(&["socketmode"], |options, value| {
        options.socketmode = Some(value)
    }),
    Definition::text(&["user"], |options, value| options.user = Some(value)),
    Definition::text(&["group"], |options, value| options.group = Some(value)),
    Definition::text(&["dbdir"], |options, value| options.dbdir = Some(value)),
    Definition::text(&["retry-window"], |options, value| {
        options.retry_window = Some(value)
    }),
    Definition::text(&["greylist-action"], |options, value| {
        options.greylist_action = Some(value)
    }),
    Definition::text(&["greylist-text"], |options, value| {
        options.greylist_text = Some(value)
    }),
    Definition::text(&["hostname"], |options, value| {
        options.hostname = Some(value)
    }),
    Definition::text(
        &["syslogfacility", "syslog-facility", "facility"],
        |options, value| {
            options.syslog_facility = Some(value);
        },
    ),
    Definition::text(&["x-greylist-header"], |options, value| {
        options.x_greylist_header = Some(value)
    }),
    Definition::text(&["whitelist-clients"], |options, value| {
        options.whitelist_clients.push(value)
    }),
    Definition::text(&["whitelist-recipients"], |options, value| {
        options.whitelist_recipients.push(value)
    }),
    Definition::new(
        &["auto-whitelist-clients"],
        Kind::OptionalText(|options, value| options.auto_whitelist_clients = Some(value)),
    ),
    Definition::number(&["delay"], |options, value| options.delay = Some(value)),
    Definition::number(&["max-age"], |options, value| options.max_age = Some(value)),
    Definition::number(&["ipv4cidr"], |options, value| {
        options.ipv4cidr = Some(value)
    }),
    Definition::number(&["ipv6cidr"], |options, value| {
        options.ipv6cidr = Some(value)
    }),
    Definition::number(&["listen-queue-size"], |options, value| {
        options.listen_queue_size = Some(value)
    }),
];

impl Options {
    /// Reads a command line without the program's name.
    ///
    /// # Errors
    /// Every complaint that the option parser has, one line each.
    pub(crate) fn parse(arguments: &[String]) -> Result<Self, Vec<String>> {
        let (options, _) = getopt_long::parse(DEFINITIONS, arguments)?;
        Ok(options)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &[&str]) -> Result<Options, Vec<String>> {
        let words: Vec<String> = line.iter().map(|word| (*word).to_owned()).collect();
        Options::parse(&words)
    }

    fn complaint(line: &[&str]) -> String {
        parse(line).expect_err("a complaint").join("\n")
    }

    #[test]
    fn options_are_given_as_postgrey_takes_them() {
        for line in [
            &["--inet=10023"][..],
            &["--inet", "10023"],
            &["-i", "10023"],
        ] {
            assert_eq!(
                parse(line).expect("options").inet.as_deref(),
                Some("10023"),
                "{line:?}"
            );
        }
        let twice = parse(&["--inet=1", "--inet=2"]).expect("options");
        assert_eq!(twice.inet.as_deref(), Some("2"));
        let lists = parse(&["--whitelist-clients=a", "--whitelist-clients=b"]).expect("options");
        assert_eq!(lists.whitelist_clients, ["a", "b"]);
        for name in ["syslogfacility", "syslog-facility", "facility"] {
            let options = parse(&[&format!("--{name}=local1")]).expect("options");
            assert_eq!(options.syslog_facility.as_deref(), Some("local1"));
        }
    }

    #[test]
    fn the_first_word_that_is_no_option_ends_them() {
        let options = parse(&["--inet=1", "", "--delay=60"]).expect("options");
        assert_eq!((options.inet.as_deref(), options.delay), (Some("1"), None));
        assert_eq!(
            parse(&["--", "--delay=60"]).expect("options"),
            Options::default()
        );
        assert_eq!(parse(&["+i", "1"]).expect("options"), Options::default());
        assert_eq!(parse(&["-", "-d"]).expect("options"), Options::default());
    }

    #[test]
    fn nothing_is_abbreviated_or_bundled() {
        assert_eq!(complaint(&["--greylist-t=x"]), "Unknown option: greylist-t");
        assert_eq!(complaint(&["-dv"]), "Unknown option: dv");
        assert_eq!(complaint(&["-inet=10023"]), "Unknown option: inet=10023");
        assert_eq!(complaint(&["-i10023"]), "Unknown option: i10023");
        assert_eq!(
            complaint(&["--bad", "-x"]),
            "Unknown option: bad\nUnknown option: x"
        );
    }

    #[test]
    fn values_that_are_missing_or_no_numbers_are_refused() {
        assert_eq!(
            complaint(&["--greylist-text="]),
            "Option greylist-text requires an argument"
        );
        assert_eq!(complaint(&["--inet"]), "Option inet requires an argument");
        assert_eq!(
            complaint(&["--delay=abc"]),
            "Value \"abc\" invalid for option delay (number expected)"
        );
        assert_eq!(parse(&["--delay=-5"]).expect("options").delay, Some(-5));
        assert_eq!(parse(&["--delay", "+7"]).expect("options").delay, Some(7));
    }

    #[test]
    fn an_optional_value_is_the_next_word_unless_it_is_an_option() {
        let given = |line: &[&str]| parse(line).expect("options").auto_whitelist_clients;
        assert_eq!(
            given(&["--auto-whitelist-clients", "1"]).as_deref(),
            Some("1")
        );
        assert_eq!(given(&["--auto-whitelist-clients=3"]).as_deref(), Some("3"));
        assert_eq!(
            given(&["--auto-whitelist-clients", "-v"]).as_deref(),
            Some("")
        );
        assert_eq!(given(&["--auto-whitelist-clients"]).as_deref(), Some(""));
        assert_eq!(given(&["-v"]), None);
    }
}
