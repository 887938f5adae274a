//! The personality `milter-greylist`: its options, exit codes and messages, and its `greylist.conf`,
//! translated for our server.

mod explain;
mod options;
mod translate;

use std::fs;
use std::io::{self, IsTerminal, Write};
use std::os::unix::fs::FileTypeExt;
use std::path::PathBuf;
use std::process::ExitCode;

use greylatch_rules::{Diagnostic, GreylistConf, Severity, Source};
use greylatch_server::{Launch, LogTo, Personality, StartError};

pub(crate) use self::explain::explain;
use self::options::Options;
use self::translate::{dumpfile, translate};
use crate::refusal::{Refusal, told};
use crate::{check, detach};

/// The version whose behaviour this is.
const VERSION: &str = "4.6.4";

/// The exit codes of milter-greylist. Source: sysexits.h, and running it.
const USAGE: u8 = 64;
const DATA: u8 = 65;
const UNAVAILABLE: u8 = 69;
const OS: u8 = 71;

/// Where distributions keep the configuration. Source: Debian's milter-greylist 4.6.4-4, and the
/// program as released, which Fedora's package follows.
const CONFIGURATIONS: [&str; 2] = [
    "/etc/milter-greylist/greylist.conf",
    "/etc/mail/greylist.conf",
];

/// Runs with milter-greylist's command line, without the program's name.
pub(crate) fn run(words: &[String]) -> ExitCode {
    told(start(words), "milter-greylist: ")
}

fn start(words: &[String]) -> Result<ExitCode, Refusal> {
    let options = Options::parse(words)
        .map_err(|complaint| Refusal::new(USAGE, format!("{complaint}\n{SYNOPSIS}")))?;
    if options.help {
        return Err(Refusal::new(USAGE, SYNOPSIS));
    }
    if options.version {
        // Nobody is left to tell when standard output is closed.
        let _ = writeln!(
            io::stdout(),
            "milter-greylist-{VERSION}\nas greylatch {} speaks it",
            env!("CARGO_PKG_VERSION")
        );
        return Ok(ExitCode::SUCCESS);
    }
    let path = configuration_path(&options);
    let source = read(&path, &options)?;
    let (conf, diagnostics) = GreylistConf::read(&source);
    tell(&diagnostics);
    if let Some(count) = errors(&diagnostics) {
        let noun = if count == 1 { "mistake" } else { "mistakes" };
        let message = format!("{} has {count} {noun}, shown above", path.display());
        return Err(Refusal::new(DATA, message));
    }
    if options.check_only {
        let _ = writeln!(io::stdout(), "config file \"{}\" is okay", path.display());
        return Ok(ExitCode::SUCCESS);
    }
    let stays = options.foreground || conf.settings.nodetach;
    let config = translate(&options, &conf.settings, path, log_to(stays))
        .map_err(|no| Refusal::new(USAGE, no))?;
    if !stays && !detach::is_detached() {
        return detach::start_again("milter-greylist", words)
            .map_err(|error| Refusal::new(OS, format!("{error:#}")));
    }
    let dumpfile = dumpfile(&conf.settings).to_owned();
    let pidfile = options.pidfile.clone().or(conf.settings.pidfile);
    let launch = Launch {
        config,
        config_path: None,
        personality: Some(Personality::MilterGreylist { dumpfile }),
        pidfile: pidfile.map(PathBuf::from),
        ready: (!stays).then(|| Box::new(detach::say_ready) as Box<dyn FnOnce() + Send>),
        last_words: (!stays).then_some(in_words as fn(&StartError) -> String),
    };
    match greylatch_server::run(launch) {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(error) => Err(Refusal::new(UNAVAILABLE, in_words(&error))),
    }
}

/// Where it logs: to the system's log, as the original does in the foreground too. A container has
/// none, and somebody who reads standard error.
fn log_to(stays: bool) -> LogTo {
    let is_socket = |found: fs::Metadata| found.file_type().is_socket();
    let has_syslog = fs::metadata("/dev/log").is_ok_and(is_socket);
    match stays && !has_syslog {
        true => LogTo::Auto,
        false => LogTo::Syslog,
    }
}

fn configuration_path(options: &Options) -> PathBuf {
    let there = || {
        CONFIGURATIONS
            .into_iter()
            .find(|path| fs::exists(path).unwrap_or(false))
    };
    let named = options.configuration.as_deref();
    named.or_else(there).unwrap_or(CONFIGURATIONS[0]).into()
}

/// The file, and behind it what the options say: they have the last word.
fn read(path: &PathBuf, options: &Options) -> Result<Source, Refusal> {
    let mut text = fs::read(path).map_err(|error| {
        let message = format!("cannot read {}: {error}", path.display());
        Refusal::new(OS, message)
    })?;
    text.extend(options.statements().into_bytes());
    Ok(Source {
        path: path.display().to_string(),
        text,
    })
}

fn tell(diagnostics: &[Diagnostic]) {
    let color = io::stderr().is_terminal();
    for diagnostic in diagnostics {
        say(&check::draw_line(diagnostic, color));
    }
}

fn errors(diagnostics: &[Diagnostic]) -> Option<usize> {
    let errors = diagnostics
        .iter()
        .filter(|diagnostic| diagnostic.severity == Severity::Error);
    Some(errors.count()).filter(|count| *count > 0)
}

fn in_words(error: &StartError) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

fn say(message: &str) {
    // Nobody is left to tell when standard error is closed.
    let _ = writeln!(io::stderr(), "milter-greylist: {message}");
}

const SYNOPSIS: &str = "\
usage: milter-greylist [-A] [-a autowhite] [-c] [-D] [-d dumpfile] [-f configfile] [-h] [-l] [-q]
                       [-r] [-S] [-T] [-u user[:group]] [-v] [-w delay] [-L cidrmask]
                       [-M prefixlen] [-P pidfile] [-p socket]

 -A          clients that logged in are greylisted as well (noauth)
 -a TIME     how long what passed is remembered (autowhite)
 -c          check the configuration and end
 -D          stay in the foreground (nodetach)
 -d FILE     the dump file (dumpfile)
 -f FILE     the configuration
 -h          this text
 -l          tell of the evaluation of rules, as -v does
 -q          do not say how long is left (quiet)
 -r          say the version and end
 -S          senders that SPF passes are greylisted as well (nospf)
 -T          what no rule matches passes (testmode)
 -u USER     become this user (user)
 -v          log more (verbose)
 -w TIME     how long a first attempt has to wait (greylist)
 -L BITS     IPv4 clients are compared by so many bits (subnetmatch)
 -M BITS     IPv6 clients are compared by so many bits (subnetmatch6)
 -P FILE     write the process number to this file (pidfile)
 -p SOCKET   listen here (socket)";
