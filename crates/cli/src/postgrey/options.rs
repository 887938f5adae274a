//! Postgrey's command line, parsed as its option parser does.
//!
//! Not clap: a word that is no option ends the options, nothing may be abbreviated or bundled,
//! and some options take a value or leave it. Source: the options of Postgrey 1.37 and the
//! behaviour of Getopt::Long in "posix_default" mode, both as observed by running them.

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

/// What an option takes, and where it goes.
enum Kind {
    Flag(fn(&mut Options)),
    Text(fn(&mut Options, String)),
    Number(fn(&mut Options, i64)),
    OptionalText(fn(&mut Options, String)),
}

struct Definition {
    names: &'static [&'static str],
    kind: Kind,
}

const fn flag(names: &'static [&'static str], set: fn(&mut Options)) -> Definition {
    Definition {
        names,
        kind: Kind::Flag(set),
    }
}

const fn text(names: &'static [&'static str], set: fn(&mut Options, String)) -> Definition {
    Definition {
        names,
        kind: Kind::Text(set),
    }
}

const fn number(names: &'static [&'static str], set: fn(&mut Options, i64)) -> Definition {
    Definition {
        names,
        kind: Kind::Number(set),
    }
}

static DEFINITIONS: &[Definition] = &[
    flag(&["help", "h"], |options| options.help = true),
    flag(&["man"], |options| options.man = true),
    flag(&["version"], |options| options.version = true),
    flag(&["noaction", "no-action", "n"], |options| {
        options.no_action = true
    }),
    flag(&["verbose", "v"], |options| options.verbose = true),
    flag(&["quiet", "q"], |options| options.quiet = true),
    flag(&["daemonize", "d"], |options| options.daemonize = true),
    flag(&["lookup-by-subnet"], |_| ()),
    flag(&["lookup-by-host"], |options| options.lookup_by_host = true),
    flag(&["privacy"], |options| options.privacy = true),
    flag(&["exim"], |options| options.exim = true),
    flag(&["test-time"], |options| options.test_time = true),
    text(&["pidfile"], |options, value| options.pidfile = Some(value)),
    text(&["unix", "u"], |options, value| options.unix = Some(value)),
    text(&["inet", "i"], |options, value| options.inet = Some(value)),
    text(&["socketmode"], |options, value| {
        options.socketmode = Some(value)
    }),
    text(&["user"], |options, value| options.user = Some(value)),
    text(&["group"], |options, value| options.group = Some(value)),
    text(&["dbdir"], |options, value| options.dbdir = Some(value)),
    text(&["retry-window"], |options, value| {
        options.retry_window = Some(value)
    }),
    text(&["greylist-action"], |options, value| {
        options.greylist_action = Some(value)
    }),
    text(&["greylist-text"], |options, value| {
        options.greylist_text = Some(value)
    }),
    text(&["hostname"], |options, value| {
        options.hostname = Some(value)
    }),
    text(
        &["syslogfacility", "syslog-facility", "facility"],
        |options, value| {
            options.syslog_facility = Some(value);
        },
    ),
    text(&["x-greylist-header"], |options, value| {
        options.x_greylist_header = Some(value)
    }),
    text(&["whitelist-clients"], |options, value| {
        options.whitelist_clients.push(value)
    }),
    text(&["whitelist-recipients"], |options, value| {
        options.whitelist_recipients.push(value)
    }),
    Definition {
        names: &["auto-whitelist-clients"],
        kind: Kind::OptionalText(|options, value| options.auto_whitelist_clients = Some(value)),
    },
    number(&["delay"], |options, value| options.delay = Some(value)),
    number(&["max-age"], |options, value| options.max_age = Some(value)),
    number(&["ipv4cidr"], |options, value| {
        options.ipv4cidr = Some(value)
    }),
    number(&["ipv6cidr"], |options, value| {
        options.ipv6cidr = Some(value)
    }),
    number(&["listen-queue-size"], |options, value| {
        options.listen_queue_size = Some(value)
    }),
];

impl Options {
    /// Reads a command line without the program's name.
    ///
    /// # Errors
    /// Every complaint that the option parser has, one line each.
    pub(crate) fn parse(arguments: &[String]) -> Result<Self, Vec<String>> {
        let mut options = Self::default();
        let mut complaints = Vec::new();
        let mut rest = arguments;
        while let Some((word, tail)) = rest.split_first() {
            let Some(option) = word.strip_prefix('-').filter(|option| !option.is_empty()) else {
                break;
            };
            if option == "-" {
                break;
            }
            rest = tail;
            if let Err(complaint) = options.take(option, &mut rest) {
                complaints.push(complaint);
            }
        }
        if complaints.is_empty() {
            Ok(options)
        } else {
            Err(complaints)
        }
    }

    /// Takes one option, without its first dash, and its value from `rest` if it needs one.
    fn take(&mut self, option: &str, rest: &mut &[String]) -> Result<(), String> {
        let (name, attached) = match option.strip_prefix('-') {
            Some(long) => match long.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (long, None),
            },
            None if option.chars().count() == 1 => (option, None),
            None => return Err(format!("Unknown option: {option}")),
        };
        let known = DEFINITIONS
            .iter()
            .find(|definition| definition.names.contains(&name));
        let Some(definition) = known else {
            return Err(format!("Unknown option: {name}"));
        };
        let mut value = || match attached.clone() {
            Some(value) if value.is_empty() => None,
            Some(value) => Some(value),
            None => take_word(rest),
        };
        match definition.kind {
            Kind::Flag(set) => match attached {
                None => set(self),
                Some(_) => return Err(format!("Option {name} does not take an argument")),
            },
            Kind::Text(set) => {
                let missing = || format!("Option {name} requires an argument");
                set(self, value().ok_or_else(missing)?);
            }
            Kind::Number(set) => {
                let missing = || format!("Option {name} requires an argument");
                let value = value().ok_or_else(missing)?;
                let wrong =
                    || format!("Value \"{value}\" invalid for option {name} (number expected)");
                set(self, integer(&value).ok_or_else(wrong)?);
            }
            Kind::OptionalText(set) => {
                let is_value = rest.first().is_some_and(|word| !word.starts_with('-'));
                let given = match attached {
                    Some(value) => value,
                    None if is_value => take_word(rest).unwrap_or_default(),
                    None => String::new(),
                };
                set(self, given);
            }
        }
        Ok(())
    }
}

fn take_word(rest: &mut &[String]) -> Option<String> {
    let (word, tail) = rest.split_first()?;
    *rest = tail;
    Some(word.clone())
}

/// A decimal number with an optional sign; one too large for us is as large as can be.
fn integer(text: &str) -> Option<i64> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let size = digits.parse().unwrap_or(i64::MAX);
    Some(if text.starts_with('-') { -size } else { size })
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
