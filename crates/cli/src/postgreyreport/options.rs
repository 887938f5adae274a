//! postgreyreport's command line.
//!
//! Source: the options of postgreyreport 1.14.3, as observed by running it.

use crate::getopt_long::{self, Definition, Kind};

/// The options as given; `None` or empty where an option was not given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Options {
    pub(super) help: bool,
    pub(super) man: bool,
    pub(super) version: bool,
    pub(super) user: Option<String>,
    pub(super) dbdir: Option<String>,
    pub(super) delay: Option<String>,
    pub(super) greylist_text: Option<String>,
    pub(super) show_tries: bool,
    pub(super) show_time: bool,
    pub(super) tab: bool,
    pub(super) grouped: bool,
    pub(super) separate_by_subnet: Option<String>,
    pub(super) separate_by_ip: Option<String>,
    pub(super) check_sender: Option<String>,
    pub(super) skip_pool: bool,
    pub(super) skip_clients: Vec<String>,
    pub(super) match_clients: Vec<String>,
    pub(super) skip_dnsbl: Vec<String>,
    pub(super) debug_db: bool,
}

static DEFINITIONS: &[Definition<Options>] = &[
    Definition::flag(&["help", "h"], |options| options.help = true),
    Definition::flag(&["man"], |options| options.man = true),
    Definition::flag(&["version"], |options| options.version = true),
    // Has no effect that anybody has seen.
    Definition::flag(&["v"], |_| ()),
    Definition::flag(&["show_tries"], |options| options.show_tries = true),
    Definition::flag(&["show_time"], |options| options.show_time = true),
    Definition::flag(&["tab"], |options| options.tab = true),
    Definition::flag(&["skip_pool"], |options| options.skip_pool = true),
    Definition::flag(&["debug_db"], |options| options.debug_db = true),
    Definition::new(
        &["single_line"],
        Kind::Switch(|options, holds| options.grouped = !holds),
    ),
    Definition::text(&["user", "u"], |options, value| options.user = Some(value)),
    Definition::text(&["dbdir"], |options, value| options.dbdir = Some(value)),
    Definition::text(&["delay"], |options, value| options.delay = Some(value)),
    Definition::text(&["greylist-text", "return_string"], |options, value| {
        options.greylist_text = Some(value);
    }),
    Definition::text(&["separate_by_subnet"], |options, value| {
        options.separate_by_subnet = Some(value);
    }),
    Definition::text(&["separate_by_ip"], |options, value| {
        options.separate_by_ip = Some(value);
    }),
    Definition::text(&["check_sender"], |options, value| {
        options.check_sender = Some(value);
    }),
    Definition::text(&["skip_clients"], |options, value| {
        options.skip_clients.push(value);
    }),
    Definition::text(&["match_clients"], |options, value| {
        options.match_clients.push(value);
    }),
    Definition::text(&["skip_dnsbl"], |options, value| {
        options.skip_dnsbl.push(value);
    }),
    // Only with the one before.
    Definition::text(&["debug_re"], |_, _| ()),
];

impl Options {
    /// Reads a command line without the program's name; gives the files behind the options too.
    ///
    /// # Errors
    /// Every complaint that the option parser has, one line each.
    pub(super) fn parse(words: &[String]) -> Result<(Self, &[String]), Vec<String>> {
        getopt_long::parse(DEFINITIONS, words)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &[&str]) -> Result<(Options, Vec<String>), Vec<String>> {
        let words: Vec<String> = line.iter().map(|word| (*word).to_owned()).collect();
        Options::parse(&words).map(|(options, files)| (options, files.to_vec()))
    }

    #[test]
    fn files_stand_behind_the_options() {
        let (options, files) =
            parse(&["--tab", "-u", "root", "log", "--show_time"]).expect("options");
        assert!(options.tab && !options.show_time);
        assert_eq!(options.user.as_deref(), Some("root"));
        assert_eq!(files, ["log", "--show_time"]);
        assert_eq!(parse(&["--", "--tab"]).expect("options").1, ["--tab"]);
    }

    #[test]
    fn lines_are_single_unless_it_is_said_otherwise_last() {
        for (line, grouped) in [
            (&[][..], false),
            (&["--nosingle_line"], true),
            (&["--no-single_line"], true),
            (&["--nosingle_line", "--single_line"], false),
        ] {
            assert_eq!(parse(line).expect("options").0.grouped, grouped, "{line:?}");
        }
        for line in [
            "--notab",
            "--no-tab",
            "--show_tr",
            "--greylist_text=x",
            "-vv",
        ] {
            let name = line.trim_start_matches('-').split('=').next();
            let complaint = format!("Unknown option: {}", name.unwrap_or_default());
            assert_eq!(parse(&[line]), Err(vec![complaint]));
        }
    }

    #[test]
    fn any_text_is_a_delay_and_lists_add_up() {
        let (options, _) =
            parse(&["--delay=abc", "--skip_clients=a", "--skip_clients=b"]).expect("options");
        assert_eq!(options.delay.as_deref(), Some("abc"));
        assert_eq!(options.skip_clients, ["a", "b"]);
        assert_eq!(
            parse(&["--delay="]),
            Err(vec!["Option delay requires an argument".to_owned()])
        );
    }
}
