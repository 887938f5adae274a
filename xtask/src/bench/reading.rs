//! `cargo xtask bench-report`: how long the real postgreyreport, ours under that name and
//! `greylatch report` take for one large log, and how much memory.
//!
//! They run in turns, so that the ratios hold on any machine. The log is made first, the same in every
//! run, and read once so that all find it in the page cache where that is large enough. What the two
//! postgreyreports print is compared.

mod mail_log;

use std::fmt;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::bench::cost;
use crate::bench::server::perl;
use crate::shell;
use crate::workspace::{Workspace, cargo};

const USAGE: &str = "\
usage: cargo xtask bench-report [OPTION]...

  --lines N          lines of the log (10000000)
  --rounds N         how often each reads it (3)
  --greylatch FILE   measure this program (default: build it in release mode)
  --folder DIR       where log and database are (default: bench-report in the target folder)
";

/// Measures as the words behind `bench-report` say.
///
/// # Errors
/// When a word is wrong, a program is missing or fails, or the reports differ.
pub(crate) fn run(workspace: &Workspace, words: &[&str]) -> Result<()> {
    if words == ["--help"] {
        print!("{USAGE}");
        return Ok(());
    }
    let options = Options::parse(words)?;
    if cfg!(debug_assertions) {
        // A log of ten million lines is not made by what is not optimised.
        return super::run_optimised("bench-report", words);
    }
    let trial = Trial::prepare(workspace, &options)?;
    let mut costs: [Vec<Cost>; 3] = Default::default();
    for round in 1..=options.rounds {
        for (program, costs) in Program::ALL.into_iter().zip(&mut costs) {
            let cost = trial.measure(program)?;
            println!("round {round}  {:24} {cost}", program.name());
            costs.push(cost);
        }
        trial.compare()?;
    }
    let [original, ours @ ..] = costs.map(median);
    println!("median   {:24} {original}", Program::Original.name());
    for (program, cost) in Program::ALL[1..].iter().zip(ours) {
        let ratio = original.seconds() / cost.seconds();
        println!(
            "median   {:24} {cost}  {ratio:.1} times as fast",
            program.name()
        );
    }
    Ok(())
}

#[derive(Debug, PartialEq)]
struct Options {
    lines: u64,
    rounds: usize,
    greylatch: Option<PathBuf>,
    folder: Option<PathBuf>,
}

impl Options {
    fn parse(words: &[&str]) -> Result<Self> {
        let mut options = Self {
            lines: 10_000_000,
            rounds: 3,
            greylatch: None,
            folder: None,
        };
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let value = words
                .next()
                .with_context(|| format!("{word} needs a value"));
            let number = |text: &str| {
                text.replace('_', "")
                    .parse()
                    .ok()
                    .filter(|number| *number > 0)
            };
            let wrong = || format!("{word} needs a number of at least 1");
            match *word {
                "--lines" => options.lines = number(value?).with_context(wrong)?,
                "--rounds" => {
                    let rounds = number(value?).and_then(|rounds| usize::try_from(rounds).ok());
                    options.rounds = rounds.with_context(wrong)?;
                }
                "--greylatch" => options.greylatch = Some(value?.into()),
                "--folder" => options.folder = Some(value?.into()),
                _ => bail!("unknown option {word}\n\n{USAGE}"),
            }
        }
        Ok(options)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Program {
    Original,
    Personality,
    Report,
}

impl Program {
    const ALL: [Self; 3] = [Self::Original, Self::Personality, Self::Report];

    fn name(self) -> &'static str {
        match self {
            Self::Original => "postgreyreport 1.14.3",
            Self::Personality => "greylatch postgreyreport",
            Self::Report => "greylatch report",
        }
    }
}

/// What is read, by what.
struct Trial {
    greylatch: PathBuf,
    postgrey: PathBuf,
    folder: PathBuf,
    log: PathBuf,
    user: String,
}

impl Trial {
    fn prepare(workspace: &Workspace, options: &Options) -> Result<Self> {
        let folder = options.folder.clone();
        let folder =
            std::path::absolute(folder.unwrap_or_else(|| workspace.target.join("bench-report")))?;
        fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
        let greylatch = match &options.greylatch {
            Some(greylatch) => std::path::absolute(greylatch)?,
            None => {
                shell::run(cargo().args(["build", "--release", "--package", "greylatch"]))?;
                workspace.target.join("release/greylatch")
            }
        };
        let trial = Self {
            greylatch,
            postgrey: workspace.peers().join("postgrey"),
            log: folder.join("mail.log"),
            user: shell::output(Command::new("id").arg("-un"))?
                .trim()
                .to_owned(),
            folder,
        };
        trial.make_database()?;
        trial.make_log(options.lines)?;
        Ok(trial)
    }

    /// A database as Postgrey leaves it, with one entry.
    fn make_database(&self) -> Result<()> {
        let script = self.folder.join("make-database");
        fs::write(&script, MAKE_DATABASE)?;
        shell::run(perl(&self.postgrey, &[], &script)?.arg(&self.folder))
    }

    fn make_log(&self, lines: u64) -> Result<()> {
        let mut out = BufWriter::with_capacity(1 << 20, File::create(&self.log)?);
        let lines = mail_log::write(&mut out, lines).context("cannot write the log")?;
        out.flush().context("cannot write the log")?;
        let bytes = io::copy(&mut File::open(&self.log)?, &mut io::sink())?;
        println!("{lines} lines, {} MB", bytes / 1_000_000);
        Ok(())
    }

    fn command(&self, program: Program) -> Result<Command> {
        let mut command = match program {
            Program::Original => {
                let script = self.postgrey.join("usr/bin/postgreyreport");
                perl(&self.postgrey, &[], &script)?
            }
            Program::Personality | Program::Report => Command::new(&self.greylatch),
        };
        match program {
            Program::Original => {}
            Program::Personality => {
                command.arg("postgreyreport");
            }
            Program::Report => {
                command.arg("report").arg(&self.log);
                return Ok(command);
            }
        }
        command
            .arg(format!("--user={}", self.user))
            .arg(format!("--dbdir={}", self.folder.display()))
            .env("LC_ALL", "C")
            .stdin(File::open(&self.log)?);
        Ok(command)
    }

    /// Runs a program once; what it prints is kept in a file of its name.
    fn measure(&self, program: Program) -> Result<Cost> {
        let mut command = self.command(program)?;
        let said = File::create(self.printed(program))?;
        let start = Instant::now();
        let mut child = command
            .stdout(said)
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| program.name())?;
        let mut cost = Cost::default();
        loop {
            // Its figures are gone with it: the last that were seen count.
            if let Ok(memory) = cost::memory(child.id()) {
                cost.peak = memory.peak;
            }
            if let Ok(cpu) = cost::cpu(child.id()) {
                cost.cpu = cpu;
            }
            if let Some(status) = child.try_wait()? {
                ensure!(status.success(), "{} ended with {status}", program.name());
                break;
            }
            thread::sleep(SAMPLED);
        }
        cost.elapsed = start.elapsed();
        Ok(cost)
    }

    fn printed(&self, program: Program) -> PathBuf {
        self.folder.join(program.name().replace(' ', "-"))
    }

    /// Fails when the two postgreyreports have not printed the same lines; their order within one
    /// address is chance in the original.
    fn compare(&self) -> Result<()> {
        let lines = |program: Program| -> Result<Vec<Vec<u8>>> {
            let text = fs::read(self.printed(program))?;
            let mut lines: Vec<Vec<u8>> = text
                .split(|byte| *byte == b'\n')
                .map(<[u8]>::to_vec)
                .collect();
            lines.sort_unstable();
            Ok(lines)
        };
        ensure!(
            lines(Program::Original)? == lines(Program::Personality)?,
            "the reports in {} differ",
            self.folder.display()
        );
        Ok(())
    }
}

/// How often the figures of a running program are looked at.
const SAMPLED: Duration = Duration::from_millis(2);

/// What one run has taken.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Cost {
    elapsed: Duration,
    cpu: Duration,
    /// Resident memory at most, in bytes.
    peak: u64,
}

impl Cost {
    fn seconds(&self) -> f64 {
        self.elapsed.as_secs_f64()
    }
}

impl fmt::Display for Cost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:7.2} s  {:7.2} s of processor time  {:5} MB",
            self.seconds(),
            self.cpu.as_secs_f64(),
            self.peak / 1_000_000
        )
    }
}

/// The run in the middle by its length.
fn median(mut costs: Vec<Cost>) -> Cost {
    costs.sort_by_key(|cost| cost.elapsed);
    costs[costs.len() / 2]
}

/// Makes Postgrey's database in a folder: an environment with transactions, and one entry that passed.
///
/// Source: BerkeleyDB(3pm); the files that Postgrey 1.37 leaves.
const MAKE_DATABASE: &str = r#"use BerkeleyDB;
my $folder = shift;
unlink glob("$folder/postgrey*.db"), glob("$folder/__db.*"), glob("$folder/log.*");
my $environment = BerkeleyDB::Env->new(-Home => $folder,
    -Flags => DB_CREATE | DB_INIT_MPOOL | DB_INIT_LOG | DB_INIT_LOCK | DB_INIT_TXN)
    or die "no environment: $BerkeleyDB::Error";
tie(my %entries, "BerkeleyDB::Btree", -Filename => "postgrey.db", -Flags => DB_CREATE, -Env => $environment)
    or die "no database: $BerkeleyDB::Error";
$entries{"192.0.2.0/a\@b.example/c\@example.org"} = "1700000000,1700000400";
"#;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read_and_what_is_none_is_said() {
        let options =
            Options::parse(&["--lines", "1_000", "--folder", "x"]).expect("they are right");
        let expected = Options {
            lines: 1_000,
            rounds: 3,
            greylatch: None,
            folder: Some("x".into()),
        };
        assert_eq!(options, expected);
        for (words, complaint) in [
            (
                &["--rounds", "0"][..],
                "--rounds needs a number of at least 1",
            ),
            (&["--rounds"], "--rounds needs a value"),
            (&["--x", "1"], "unknown option --x"),
        ] {
            let error = Options::parse(words)
                .expect_err("they are wrong")
                .to_string();
            assert!(error.starts_with(complaint), "{error}");
        }
    }

    #[test]
    fn the_run_in_the_middle_counts() {
        let cost = |ms| Cost {
            elapsed: Duration::from_millis(ms),
            ..Cost::default()
        };
        assert_eq!(median(vec![cost(9), cost(1), cost(2)]), cost(2));
    }
}
