//! The command line as getopt(3) reads it for milter-greylist.
//!
//! Source: milter-greylist(8), 4.6.4.

use std::fmt::Write;

/// What was given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Options {
    pub(crate) noauth: bool,
    pub(crate) autowhite: Option<String>,
    pub(crate) check_only: bool,
    pub(crate) foreground: bool,
    pub(crate) dumpfile: Option<String>,
    pub(crate) configuration: Option<String>,
    pub(crate) help: bool,
    pub(crate) quiet: bool,
    pub(crate) version: bool,
    pub(crate) nospf: bool,
    pub(crate) testmode: bool,
    pub(crate) user: Option<String>,
    pub(crate) verbose: bool,
    pub(crate) delay: Option<String>,
    pub(crate) subnetmatch: Option<String>,
    pub(crate) subnetmatch6: Option<String>,
    pub(crate) pidfile: Option<String>,
    pub(crate) socket: Option<String>,
}

/// A letter, and where it leads.
enum Place<'a> {
    Flag(&'a mut bool),
    Value(&'a mut Option<String>),
}

impl Options {
    /// Reads the words behind the program's name.
    ///
    /// # Errors
    /// What getopt(3) would say of an option that is not known or lacks its value.
    pub(crate) fn parse(words: &[String]) -> Result<Self, String> {
        let mut options = Self::default();
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let Some(letters) = word.strip_prefix('-').filter(|letters| !letters.is_empty()) else {
                return Err(format!("{word:?} is no option"));
            };
            if letters == "-" {
                break;
            }
            let mut letters = letters.chars();
            while let Some(letter) = letters.next() {
                match options.place(letter) {
                    None => return Err(format!("invalid option -- '{letter}'")),
                    Some(Place::Flag(flag)) => *flag = true,
                    Some(Place::Value(value)) => {
                        let rest = letters.as_str();
                        let given = if rest.is_empty() {
                            words.next().cloned()
                        } else {
                            Some(rest.to_owned())
                        };
                        let lacking = || format!("option requires an argument -- '{letter}'");
                        *value = Some(given.ok_or_else(lacking)?);
                        break;
                    }
                }
            }
        }
        match words.next() {
            Some(word) => Err(format!("{word:?} is no option")),
            None => Ok(options),
        }
    }

    fn place(&mut self, letter: char) -> Option<Place<'_>> {
        Some(match letter {
            'A' => Place::Flag(&mut self.noauth),
            'a' => Place::Value(&mut self.autowhite),
            'c' => Place::Flag(&mut self.check_only),
            'D' => Place::Flag(&mut self.foreground),
            'd' => Place::Value(&mut self.dumpfile),
            'f' => Place::Value(&mut self.configuration),
            'h' => Place::Flag(&mut self.help),
            'l' | 'v' => Place::Flag(&mut self.verbose),
            'q' => Place::Flag(&mut self.quiet),
            'r' => Place::Flag(&mut self.version),
            'S' => Place::Flag(&mut self.nospf),
            'T' => Place::Flag(&mut self.testmode),
            'u' => Place::Value(&mut self.user),
            'w' => Place::Value(&mut self.delay),
            'L' => Place::Value(&mut self.subnetmatch),
            'M' => Place::Value(&mut self.subnetmatch6),
            'P' => Place::Value(&mut self.pidfile),
            'p' => Place::Value(&mut self.socket),
            _ => return None,
        })
    }

    /// What the options say, as statements to stand behind those of the file.
    pub(crate) fn statements(&self) -> String {
        let mut text = String::new();
        let flags = [
            (self.noauth, "noauth"),
            (self.quiet, "quiet"),
            (self.nospf, "nospf"),
            (self.testmode, "testmode"),
            (self.verbose, "verbose"),
            (self.foreground, "nodetach"),
        ];
        for (_, word) in flags.iter().filter(|(given, _)| *given) {
            let _ = write!(text, "\n{word}");
        }
        let bare = [
            ("autowhite ", &self.autowhite),
            ("greylist ", &self.delay),
            ("subnetmatch /", &self.subnetmatch),
            ("subnetmatch6 /", &self.subnetmatch6),
        ];
        for (word, value) in bare {
            if let Some(value) = value {
                let _ = write!(text, "\n{word}{value}");
            }
        }
        let quoted = [
            ("dumpfile", &self.dumpfile),
            ("socket", &self.socket),
            ("user", &self.user),
            ("pidfile", &self.pidfile),
        ];
        for (word, value) in quoted {
            if let Some(value) = value {
                let _ = write!(text, "\n{word} \"{value}\"");
            }
        }
        text.push('\n');
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(words: &[&str]) -> Result<Options, String> {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        Options::parse(&words)
    }

    #[test]
    fn letters_stand_together_and_take_their_values() {
        let options = parsed(&["-Dvq", "-f/etc/g.conf", "-w", "30m", "-L24"]).expect("options");
        assert!(options.foreground && options.verbose && options.quiet);
        assert_eq!(options.configuration.as_deref(), Some("/etc/g.conf"));
        assert_eq!(
            options.statements(),
            "\nquiet\nverbose\nnodetach\ngreylist 30m\nsubnetmatch /24\n"
        );
    }

    #[test]
    fn what_is_no_option_is_told() {
        assert_eq!(parsed(&["-x"]), Err("invalid option -- 'x'".into()));
        assert_eq!(
            parsed(&["-Df"]),
            Err("option requires an argument -- 'f'".into())
        );
        assert_eq!(parsed(&["more"]), Err("\"more\" is no option".into()));
        assert_eq!(parsed(&["-D", "--", "x"]), Err("\"x\" is no option".into()));
    }
}
