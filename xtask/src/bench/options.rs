//! The options of `cargo xtask bench`.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::bench::measure::Effort;
use crate::bench::scenario::Scenario;
use crate::bench::server::Program;

pub(crate) const USAGE: &str = "\
usage: cargo xtask bench [OPTION]...

  --quick            about one minute: fewer and shorter rounds
  --connections N    connections of the generator (100)
  --seconds S        length of a round (2)
  --rounds N         rounds per server and load (3)
  --rate N           requests per second of the open loop (2000); 0 leaves it out
  --loads A,B        of known, exempt, whitelisted, early-retry, mixed, new (all)
  --servers A,B      of reference, greylatch, greylatch-synced, postgrey, and by the
                     milter protocol reference-milter, greylatch-milter (all)
  --triplets N       instead of all this: ours at 100,000 and at N triplets, size and start
  --skew             draw known senders as real mail does, few of them often
  --syslog           also ours with its log at /dev/log, which is made if absent
  --greylatch FILE   measure this program (default: build it in release mode)
  --folder DIR       where the servers write (default: bench in the target folder)
  --json FILE        also write every round and bar as JSON
";

/// What was asked for.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Options {
    pub(crate) quick: bool,
    pub(crate) connections: u64,
    pub(crate) seconds: Option<f64>,
    pub(crate) rounds: Option<usize>,
    pub(crate) rate: u64,
    pub(crate) loads: Vec<Scenario>,
    pub(crate) servers: Vec<Program>,
    pub(crate) triplets: Option<u64>,
    pub(crate) skew: bool,
    pub(crate) syslog: bool,
    pub(crate) greylatch: Option<PathBuf>,
    pub(crate) folder: Option<PathBuf>,
    pub(crate) json: Option<PathBuf>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            quick: false,
            connections: 100,
            seconds: None,
            rounds: None,
            rate: 2_000,
            loads: Scenario::ALL.to_vec(),
            servers: SERVERS.to_vec(),
            triplets: None,
            skew: false,
            syslog: false,
            greylatch: None,
            folder: None,
            json: None,
        }
    }
}

const SERVERS: [Program; 6] = [
    Program::Reference,
    Program::Greylatch,
    Program::GreylatchSynced,
    Program::Postgrey,
    Program::ReferenceMilter,
    Program::GreylatchMilter,
];

impl Options {
    /// Reads the words behind `bench`.
    ///
    /// # Errors
    /// When a word is unknown, or its value is missing or makes no sense.
    pub(crate) fn parse(words: &[&str]) -> Result<Self> {
        let mut options = Self::default();
        let mut words = words.iter().copied();
        while let Some(word) = words.next() {
            let mut value = || {
                words
                    .next()
                    .with_context(|| format!("{word} needs a value"))
            };
            match word {
                "--quick" => options.quick = true,
                "--skew" => options.skew = true,
                "--syslog" => options.syslog = true,
                "--connections" => options.connections = number(word, value()?)?,
                "--seconds" => options.seconds = Some(number(word, value()?)?),
                "--rounds" => options.rounds = Some(number(word, value()?)?),
                "--rate" => options.rate = number(word, value()?)?,
                "--triplets" => options.triplets = Some(number(word, value()?)?),
                "--loads" => options.loads = list(word, value()?, Scenario::named)?,
                "--servers" => options.servers = list(word, value()?, server)?,
                "--greylatch" => options.greylatch = Some(value()?.into()),
                "--folder" => options.folder = Some(value()?.into()),
                "--json" => options.json = Some(value()?.into()),
                _ => bail!("unknown option {word}\n\n{USAGE}"),
            }
        }
        options.check()?;
        Ok(options)
    }

    fn check(&self) -> Result<()> {
        ensure!(self.connections > 0, "--connections must be at least 1");
        ensure!(self.rounds != Some(0), "--rounds must be at least 1");
        ensure!(
            self.seconds
                .is_none_or(|seconds| (0.1..=3_600.0).contains(&seconds)),
            "--seconds must be from 0.1 to 3600"
        );
        ensure!(
            self.triplets
                .is_none_or(|triplets| (1..=60_000_000).contains(&triplets)),
            "--triplets must be from 1 to 60000000"
        );
        Ok(())
    }

    /// How long each load lasts.
    pub(crate) fn effort(&self) -> Effort {
        let (seconds, rounds) = if self.quick { (0.5, 2) } else { (2.0, 3) };
        Effort {
            connections: self.connections,
            duration: Duration::from_secs_f64(self.seconds.unwrap_or(seconds)),
            rounds: self.rounds.unwrap_or(rounds),
        }
    }
}

fn number<T: FromStr>(option: &str, text: &str) -> Result<T> {
    let digits = text.replace('_', "");
    let number = digits.parse().ok();
    number.with_context(|| format!("{option}: {text:?} is not such a number"))
}

fn list<T>(option: &str, text: &str, named: fn(&str) -> Option<T>) -> Result<Vec<T>> {
    text.split(',')
        .map(|name| named(name).with_context(|| format!("{option}: there is no {name:?}")))
        .collect()
}

fn server(name: &str) -> Option<Program> {
    SERVERS.into_iter().find(|program| program.name() == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_option_arrives() {
        let words = "--quick --connections 7 --seconds 0.5 --rounds 4 --rate 0 --loads new,known \
                     --servers postgrey --triplets 1_000_000 --skew --syslog --greylatch g \
                     --folder f --json j";
        let words: Vec<&str> = words.split_whitespace().collect();
        let expected = Options {
            quick: true,
            connections: 7,
            seconds: Some(0.5),
            rounds: Some(4),
            rate: 0,
            loads: vec![Scenario::New, Scenario::Known],
            servers: vec![Program::Postgrey],
            triplets: Some(1_000_000),
            skew: true,
            syslog: true,
            greylatch: Some("g".into()),
            folder: Some("f".into()),
            json: Some("j".into()),
        };
        assert_eq!(Options::parse(&words).ok(), Some(expected));
    }

    #[test]
    fn mistakes_are_named() {
        let error = |words: &[&str]| Options::parse(words).expect_err("a mistake").to_string();
        assert_eq!(
            error(&["--loads", "knwon"]),
            "--loads: there is no \"knwon\""
        );
        assert_eq!(
            error(&["--rate", "x"]),
            "--rate: \"x\" is not such a number"
        );
        assert_eq!(error(&["--json"]), "--json needs a value");
        assert_eq!(error(&["--rounds", "0"]), "--rounds must be at least 1");
        assert!(error(&["--fast"]).starts_with("unknown option --fast"));
    }

    #[test]
    fn quick_is_shorter_unless_told() {
        let effort = |words: &[&str]| Options::parse(words).map(|options| options.effort());
        let quick = effort(&["--quick", "--rounds", "5"]).expect("options");
        assert_eq!(
            (quick.duration, quick.rounds),
            (Duration::from_millis(500), 5)
        );
        let usual = effort(&[]).expect("options");
        assert_eq!((usual.duration, usual.rounds), (Duration::from_secs(2), 3));
    }
}
