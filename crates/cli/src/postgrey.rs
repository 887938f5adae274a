//! The personality `postgrey`: its options, exit codes and messages, translated for our server.

mod options;
mod translate;

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use greylatch_server::{Launch, Personality, StartError};

use crate::detach;
use crate::refusal::{Refusal, told};

use self::options::Options;
use self::translate::{Distribution, translate};

pub(crate) use self::translate::Translated;

/// Where Postgrey's database is on this system.
pub(crate) fn usual_dbdir() -> &'static str {
    Distribution::found().dbdir()
}

/// Runs with Postgrey's command line, without the program's name.
pub(crate) fn run(words: &[String]) -> ExitCode {
    told(start(words), "")
}

/// What the options come to, for `greylatch check --postgrey`.
pub(crate) fn translated(words: &[String]) -> Result<Translated, String> {
    let options = Options::parse(words).map_err(|complaints| complaints.join("\n"))?;
    translate(&options, Distribution::found())
}

/// What these options do that few expect, for `greylatch check --postgrey`.
pub(crate) fn oddities(words: &[String]) -> Vec<&'static str> {
    let Ok(options) = Options::parse(words) else {
        return Vec::new();
    };
    let conditional = [
        (
            options.delay == Some(0),
            "--delay=0 means 300; for no delay write --delay=-1",
        ),
        (options.max_age == Some(0), "--max-age=0 means 35 days"),
        (options.ipv4cidr == Some(0), "--ipv4cidr=0 means 24"),
        (options.ipv6cidr == Some(0), "--ipv6cidr=0 means 64"),
        (
            options.retry_window.as_deref() == Some("0"),
            "--retry-window=0 lets no new sender pass",
        ),
        (
            options.inet.is_some() && options.unix.is_some(),
            "with --inet, --unix is left out",
        ),
        (
            options.quiet && options.verbose,
            "with --quiet, --verbose is left out",
        ),
        (
            options.pidfile.is_some() && !options.daemonize,
            "--pidfile is left out without --daemonize",
        ),
    ];
    let always = [
        "every % in a logged value is doubled",
        "octal groups in addresses count as octal, and 100.64 in a client list is 100.64.0.0/24",
        "an IPv4-mapped IPv6 client counts as IPv6, so all of them share one network",
        "a request that is no smtpd_access_policy gets no answer",
    ];
    let given = conditional
        .into_iter()
        .filter(|(holds, _)| *holds)
        .map(|(_, text)| text);
    given.chain(always).collect()
}

fn start(words: &[String]) -> Result<ExitCode, Refusal> {
    let options =
        Options::parse(words).map_err(|complaints| Refusal::new(1, complaints.join("\n")))?;
    if options.help || options.man {
        // Nobody is left to tell when standard output is closed.
        let _ = write!(io::stdout(), "{USAGE}");
        return Ok(if options.man {
            ExitCode::SUCCESS
        } else {
            ExitCode::from(1)
        });
    }
    if options.version {
        let _ = writeln!(io::stdout(), "postgrey 1.37");
        return Ok(ExitCode::SUCCESS);
    }
    if options.no_action {
        return Err(Refusal::new(2, "ERROR: don't know how to \"no-action\"."));
    }
    let translated =
        translate(&options, Distribution::found()).map_err(|why| Refusal::new(2, why))?;
    if options.daemonize && !detach::is_detached() {
        return detach::start_again("postgrey", words)
            .map_err(|error| Refusal::new(2, format!("ERROR: {error:#}")));
    }
    let launch = Launch {
        config: translated.config,
        config_path: None,
        personality: Some(Personality::Postgrey {
            dbdir: translated.dbdir,
        }),
        pidfile: options
            .pidfile
            .filter(|_| options.daemonize)
            .map(Into::into),
        ready: options
            .daemonize
            .then(|| Box::new(detach::say_ready) as Box<dyn FnOnce() + Send>),
        last_words: options
            .daemonize
            .then_some(in_postgreys_words as fn(&StartError) -> String),
    };
    match greylatch_server::run(launch) {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(error) => Err(Refusal::new(2, in_postgreys_words(&error))),
    }
}

fn in_postgreys_words(error: &StartError) -> String {
    match error {
        StartError::LockMissing { path, .. } => {
            format!("ERROR: can't open lock file: {}", path.display())
        }
        StartError::Locked { path } => format!("ERROR: locked: {}", locked_by(path)),
        StartError::PidfileInUse { pid } => {
            format!("Pid_file already exists for running process ({pid})... aborting")
        }
        StartError::Owner(error) => format!("ERROR: {error}"),
        other => {
            let error = anyhow::Error::msg(other.to_string());
            let source = std::error::Error::source(other).map(|source| format!(": {source}"));
            format!("ERROR: {error}{}", source.unwrap_or_default())
        }
    }
}

fn locked_by(path: &Path) -> String {
    path.display().to_string()
}

const USAGE: &str = "\
usage: postgrey [options]

 -h, --help                       show this text
     --version                    show the version whose behaviour this is
 -v, --verbose                    log connections too
 -q, --quiet                      log no decisions
 -u, --unix=PATH                  listen on a unix socket
     --socketmode=MODE            permissions of the unix socket (default 0666)
 -i, --inet=[HOST:]PORT           listen on TCP; without a host on localhost
 -d, --daemonize                  run in the background, log to syslog
     --pidfile=PATH               with -d, write the process number to this file
     --user=USER                  become this user (default postgrey)
     --group=GROUP                become this group
     --dbdir=PATH                 directory of the database
     --delay=N                    defer new triplets for N seconds (default 300)
     --max-age=N                  forget triplets not seen for N days (default 35)
     --retry-window=N             a retry counts within N days, or hours with an h (default 2)
     --greylist-action=A          what to answer Postfix (default DEFER_IF_PERMIT)
     --greylist-text=TXT          the reply; %s: seconds left, %r: recipient's domain
     --lookup-by-subnet           clients are known by their network (default)
     --lookup-by-host             clients are known by their address
     --ipv4cidr=N                 prefix of an IPv4 network (default 24)
     --ipv6cidr=N                 prefix of an IPv6 network (default 64)
     --privacy                    keep hashes instead of addresses
     --hostname=NAME              name of this host in the header
     --exim                       close the connection after each answer
     --whitelist-clients=FILE     list of clients, may be repeated
     --whitelist-recipients=FILE  list of recipients, may be repeated
     --auto-whitelist-clients=N   a client is exempt after N passes (default 5, 0: never)
     --listen-queue-size=N        connections that may wait to be accepted
     --syslog-facility=NAME       facility for -d (default mail)
     --x-greylist-header=TXT      header; %t: seconds, %v: version, %d: date, %h: host
     --test-time                  let requests set the clock by policy_test_time; for tests

This is greylatch, answering to the name of postgrey; see docs/postgrey.md.
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn oddities_of_the_options_given_are_named() {
        let words = ["--inet=1", "--unix=/x", "--delay=0"].map(str::to_owned);
        let named = oddities(&words);
        assert_eq!(
            named[0],
            "--delay=0 means 300; for no delay write --delay=-1"
        );
        assert_eq!(named[1], "with --inet, --unix is left out");
        assert_eq!(named.len(), 6);
        assert_eq!(oddities(&["--inet=1".to_owned()]).len(), 4);
    }
}
