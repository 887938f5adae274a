//! From the text of a configuration file to [`Config`], or to all of its problems at once.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use greylatch_core::{Network, Seconds};
use greylatch_rules::Then;
use greylatch_wording::escaped;
use serde::Deserialize;
use serde::de::{self, Deserializer};

use super::Config;

/// Every problem of one configuration file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// The file.
    pub path: PathBuf,
    /// Its text, for showing the places.
    pub text: String,
    /// The problems in the order of their places; at least one.
    pub problems: Vec<ConfigProblem>,
}

/// One problem of a configuration file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigProblem {
    /// The bytes of the text that it is about.
    pub span: Range<usize>,
    /// What is wrong and what to write instead.
    pub message: String,
}

impl ConfigError {
    /// Line and column of a problem, both counted from 1; the column in characters.
    #[must_use]
    pub fn place(&self, problem: &ConfigProblem) -> (usize, usize) {
        let before = self.text.get(..problem.span.start).unwrap_or(&self.text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let line = before.bytes().filter(|byte| *byte == b'\n').count() + 1;
        (line, before[line_start..].chars().count() + 1)
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (nth, problem) in self.problems.iter().enumerate() {
            let (line, column) = self.place(problem);
            let newline = if nth == 0 { "" } else { "\n" };
            let path = self.path.display();
            write!(f, "{newline}{path}:{line}:{column}: {}", problem.message)?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}

/// Reads the text; where the parser stops at a problem, the lines of that problem are blanked
/// and it is asked again, so that all problems come out at once.
pub(super) fn parse(path: &Path, text: &str) -> Result<Config, ConfigError> {
    let mut rest = text.to_owned();
    let mut problems: Vec<ConfigProblem> = Vec::new();
    loop {
        match toml::from_str::<Config>(&rest) {
            Ok(config) if problems.is_empty() => return Ok(config),
            Ok(_) => break,
            Err(error) => {
                let whole = 0..rest.len();
                let span = error.span().unwrap_or(whole);
                let message = cure(error.message());
                problems.push(ConfigProblem {
                    span: span.clone(),
                    message,
                });
                if problems.len() >= PROBLEMS_MAX || !blank_lines(&mut rest, &span) {
                    break;
                }
            }
        }
    }
    problems.sort_by_key(|problem| problem.span.start);
    Err(ConfigError {
        path: path.to_owned(),
        text: text.to_owned(),
        problems,
    })
}

/// More than this in one file is noise.
const PROBLEMS_MAX: usize = 100;

/// Overwrites the lines that `span` touches; false when nothing was left to overwrite.
fn blank_lines(text: &mut String, span: &Range<usize>) -> bool {
    let end = span.end.max(span.start).min(text.len());
    let start = text[..span.start.min(end)]
        .rfind('\n')
        .map_or(0, |newline| newline + 1);
    let end = text[end..]
        .find('\n')
        .map_or(text.len(), |newline| end + newline);
    let blank: String = text[start..end]
        .bytes()
        .map(|byte| if byte == b'\n' { '\n' } else { ' ' })
        .collect();
    let changed = text[start..end] != blank;
    text.replace_range(start..end, &blank);
    changed
}

/// The parser's words with the missing hint where it gives none.
fn cure(message: &str) -> String {
    let message = message.trim().replace('\n', "; ");
    match message.as_str() {
        "missing field `then`" => {
            "a rule says what to do: add then = \"exempt\", \"greylist\" or \"refuse\"".into()
        }
        // It repeats words of the file, which may hold anything.
        _ => escaped(message.as_bytes()),
    }
}

/// Reads any type that has a text form; the one place where text and serde meet.
pub(super) fn from_text<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr<Err: fmt::Display>,
{
    let text = String::deserialize(deserializer)?;
    text.parse().map_err(de::Error::custom)
}

pub(super) fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Seconds, D::Error> {
    from_text(deserializer)
}

pub(super) fn optional_seconds<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Seconds>, D::Error> {
    from_text(deserializer).map(Some)
}

pub(super) fn then<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Then, D::Error> {
    let word = String::deserialize(deserializer)?;
    let known = [Then::Exempt, Then::Greylist, Then::Refuse];
    known
        .into_iter()
        .find(|then| then.word() == word)
        .ok_or_else(|| {
            de::Error::custom(format!(
                "`{word}` is nothing a rule can say; write \"exempt\", \"greylist\" or \"refuse\""
            ))
        })
}

pub(super) fn networks<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<Network>, D::Error> {
    let texts = Vec::<String>::deserialize(deserializer)?;
    let network = |text: &String| {
        text.parse()
            .map_err(|error| de::Error::custom(format!("{text}: {error}")))
    };
    texts.iter().map(network).collect()
}

#[cfg(test)]
mod tests {
    use super::super::{Endpoint, Mode};
    use super::*;

    fn problems(text: &str) -> Vec<String> {
        let error = Config::parse(Path::new("greylatch.toml"), text).expect_err("problems");
        error.to_string().lines().map(str::to_owned).collect()
    }

    #[test]
    fn an_empty_file_gives_the_defaults() {
        let config = Config::parse(Path::new("x"), "").expect("no problem");
        assert_eq!(config, Config::default());
        assert_eq!(config.greylist.delay, Seconds(60));
    }

    #[test]
    fn the_documented_file_says_the_defaults() {
        let text = include_str!("../../../../docs/greylatch.toml");
        let config = Config::parse(Path::new("greylatch.toml"), text).expect("no problem");
        assert_eq!(config, Config::default());
    }

    #[test]
    fn every_example_of_the_documented_file_is_understood() {
        let text = include_str!("../../../../docs/greylatch.toml");
        let uncommented: Vec<&str> = text
            .lines()
            .map(|line| match line.strip_prefix('#') {
                Some(example) if example.starts_with(|c: char| c != ' ') => example,
                _ => line,
            })
            .collect();
        let config = Config::parse(Path::new("x"), &uncommented.join("\n")).expect("no problem");
        assert_eq!(config.greylist.hostname.as_deref(), Some("mx1.example.org"));
        assert_eq!(config.rule[0].get_ref().delay, Some(Seconds(900)));
    }

    #[test]
    fn every_table_is_read() {
        let text = r#"
            [listen]
            policy = ["127.0.0.1:10023", { path = "/run/greylatch/policy", mode = "0660", owner = "a:b" }]
            [greylist]
            delay = "5m"
            mode = "learn"
            [cluster]
            hosts = ["192.0.2.0/28"]
            [[rule]]
            recipient = ["postmaster@"]
            then = "exempt"
        "#;
        let config = Config::parse(Path::new("x"), text).expect("no problem");
        assert_eq!(config.greylist.delay, Seconds(300));
        assert_eq!(config.greylist.mode, Mode::Learn);
        assert_eq!(
            config.listen.policy[1].at,
            Endpoint::Unix("/run/greylatch/policy".into())
        );
        assert_eq!(config.listen.policy[1].mode, Some(0o660));
        assert_eq!(
            config.cluster.hosts,
            ["192.0.2.0/28".parse().expect("a network")]
        );
        assert_eq!(config.rule[0].get_ref().then, Then::Exempt);
    }

    #[test]
    fn all_problems_are_reported_at_once_with_their_places() {
        let text = "[greylist]\ndelay = \"60\"\nipv4_prefix = 24\nretry = \"2d\"\n\n[store]\nsync = \"often\"\n";
        let found = problems(text);
        assert_eq!(found.len(), 3, "{found:?}");
        assert!(
            found[0].starts_with("greylatch.toml:2:9: unit missing"),
            "{}",
            found[0]
        );
        assert!(
            found[1].starts_with("greylatch.toml:4:1: unknown field `retry`"),
            "{}",
            found[1]
        );
        assert!(
            found[2].starts_with("greylatch.toml:7:8: unknown variant `often`"),
            "{}",
            found[2]
        );
    }

    #[test]
    fn a_file_of_garbage_ends_in_problems_and_no_loop() {
        assert!(!problems("{{{{\n]]]]\n====\n").is_empty());
        assert!(!problems(&"= \n".repeat(1_000)).is_empty());
    }
}
