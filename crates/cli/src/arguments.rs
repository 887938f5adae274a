//! The command line of `greylatch`: one source for help, completions and manual pages.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use greylatch_core::Seconds;
use greylatch_server::Endpoint;

use crate::report::Moment;

/// A greylisting server for mail: a latch that lifts on the second try.
#[derive(Debug, Parser)]
#[command(name = "greylatch", version, about, max_term_width = 100)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the server.
    Serve(ServeArguments),
    /// Explain the configuration, the rules and the lists, with every mistake in them.
    Check(CheckArguments),
    /// Say what would become of one attempt, and why.
    Ask(AskArguments),
    /// List, search, remove, export and import what is remembered.
    Entries(EntriesArguments),
    /// Say how the running server is.
    Status(StatusArguments),
    /// Report from mail logs: who never came back, how long honest mail waited, what to exempt.
    Report(ReportArguments),
    /// Let the running server read its lists and rules again.
    Reload(ControlArguments),
    /// Be a filter of OpenSMTPD, which starts this in a line of smtpd.conf.
    FilterOpensmtpd(FilterOpensmtpdArguments),
    /// Write completions or manual pages.
    #[command(subcommand)]
    Generate(Generate),
    /// Run as Postgrey: its options, files, answers and log lines.
    #[command(disable_help_flag = true)]
    Postgrey(PostgreyArguments),
    /// Report as postgreyreport: its options, input and output.
    #[command(disable_help_flag = true)]
    Postgreyreport(PostgreyArguments),
    /// Run as milter-greylist: its options, files, answers and log lines.
    #[command(disable_help_flag = true)]
    MilterGreylist(PostgreyArguments),
}

#[derive(Debug, Args)]
pub(crate) struct ServeArguments {
    /// The configuration file; without it the defaults, with the store in your state directory.
    #[arg(long, short, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct CheckArguments {
    /// The configuration file; without it the defaults are explained.
    #[arg(long, short, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Explain Postgrey's options instead, given behind `--`.
    #[arg(long, conflicts_with = "config")]
    pub(crate) postgrey: bool,
    /// Explain a `greylist.conf` of milter-greylist instead, statement by statement.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["config", "postgrey"])]
    pub(crate) milter_greylist: Option<PathBuf>,
    /// Postgrey's options.
    #[arg(last = true, requires = "postgrey")]
    pub(crate) options: Vec<String>,
}

/// Where the running server is found.
#[derive(Debug, Args)]
pub(crate) struct ControlArguments {
    /// The configuration file of the running server.
    #[arg(long, short, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// The control socket of the running server; under Postgrey's name it is
    /// DBDIR/greylatch/control.
    #[arg(long, value_name = "PATH", conflicts_with = "config")]
    pub(crate) control: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct StatusArguments {
    #[command(flatten)]
    pub(crate) control: ControlArguments,
    /// Print one JSON object.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct AskArguments {
    #[command(flatten)]
    pub(crate) control: ControlArguments,
    /// The client's address.
    pub(crate) client: String,
    /// The envelope sender; "<>" for the null sender.
    pub(crate) sender: String,
    /// The envelope recipient.
    pub(crate) recipient: String,
    /// The client's forward-confirmed name.
    #[arg(long, default_value = "unknown")]
    pub(crate) name: String,
    /// What the client calls itself.
    #[arg(long, default_value = "")]
    pub(crate) helo: String,
    /// The login name of an authenticated client.
    #[arg(long, default_value = "")]
    pub(crate) login: String,
    /// Ask no server: judge by the configuration alone, with an empty memory.
    #[arg(long)]
    pub(crate) dry: bool,
    /// Pretend that it is so much later, for example +6m; with --dry: that the first attempt was
    /// so long ago.
    #[arg(long, value_name = "+TIME", value_parser = later)]
    pub(crate) at: Option<Seconds>,
    /// Print one JSON object.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct EntriesArguments {
    #[command(flatten)]
    pub(crate) control: ControlArguments,
    #[command(subcommand)]
    pub(crate) action: EntriesAction,
}

#[derive(Debug, Subcommand)]
pub(crate) enum EntriesAction {
    /// List entries as a table.
    List(Selection),
    /// Remove entries; says how many.
    Remove(Selection),
    /// Write entries as JSON lines to standard output.
    Export(Selection),
    /// Read entries as JSON lines, or from another greylister's file.
    Import {
        /// Whose file it is; what is remembered already and counts for more stays.
        #[arg(long, value_name = "PROGRAM")]
        from: Option<ForeignArgument>,
        /// The file; standard input when left out.
        file: Option<PathBuf>,
    },
}

/// Which entries are meant.
#[derive(Debug, Args)]
pub(crate) struct Selection {
    /// Only those with this text in the client, sender or recipient.
    pub(crate) matching: Option<String>,
    /// Only those of this standing.
    #[arg(long)]
    pub(crate) standing: Option<StandingArgument>,
    /// Client addresses (and what they have passed) instead of triplets.
    #[arg(long)]
    pub(crate) clients: bool,
    /// Every entry is meant.
    #[arg(long, conflicts_with = "matching")]
    pub(crate) all: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum StandingArgument {
    /// Has not passed yet.
    Waiting,
    /// Has passed after waiting.
    Proven,
    /// Passes always; set by hand.
    Allowed,
    /// Is refused always; set by hand.
    Refused,
}

/// A greylister whose file can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ForeignArgument {
    /// The dump file of milter-greylist, commonly greylist.db.
    MilterGreylist,
}

#[derive(Debug, Args)]
pub(crate) struct ReportArguments {
    #[command(flatten)]
    pub(crate) control: ControlArguments,
    /// What is reported on.
    #[arg(long, value_name = "SOURCE", default_value = "logs")]
    pub(crate) from: SourceArgument,
    /// Judge the attempts of the logs once more, by this configuration file, and show both side by side.
    #[arg(long, value_name = "FILE", conflicts_with = "from")]
    pub(crate) what_if: Option<PathBuf>,
    /// Report deliveries whose first attempt is not older: 2026-11-24, "2026-11-24 12:00", today,
    /// yesterday, or how long ago, such as 7d.
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<Moment>,
    /// Report deliveries whose first attempt is older, said in the same ways.
    #[arg(long, value_name = "TIME")]
    pub(crate) until: Option<Moment>,
    /// How clients, senders and recipients are known; by default as in the configuration file.
    #[arg(long, value_name = "SCHOOL")]
    pub(crate) identity: Option<IdentityArgument>,
    /// What an MTA's line has in it, in whatever case, when a greylister has turned mail away.
    #[arg(long, value_name = "TEXT", default_value = "greylist")]
    pub(crate) greylist_text: String,
    /// Print one JSON object.
    #[arg(long, group = "form")]
    pub(crate) json: bool,
    /// Print one table as comma-separated values: that of --table, else never-came-back.
    #[arg(long, group = "form")]
    pub(crate) csv: bool,
    /// Print one page that needs nothing beside itself.
    #[arg(long, group = "form")]
    pub(crate) html: bool,
    /// Only this table, may be repeated.
    #[arg(long = "table", value_name = "NAME")]
    pub(crate) tables: Vec<String>,
    /// At most so many rows of each table, 0 for all; by default 20, on a page 200, else all.
    #[arg(long, value_name = "N")]
    pub(crate) rows: Option<usize>,
    /// Mail logs, also compressed (.gz, .zst) or exported by the journal; standard input when left
    /// out, or for "-". Several are read side by side in the order of their times.
    pub(crate) files: Vec<PathBuf>,
}

/// What is reported on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum SourceArgument {
    /// Mail logs.
    Logs,
    /// What the running server remembers.
    Memory,
    /// Both, and where they differ.
    Both,
}

/// How clients, senders and recipients are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum IdentityArgument {
    /// By networks, and senders without what changes from mail to mail.
    Native,
    /// As Postgrey knows them.
    Postgrey,
    /// As Postgrey knows them with --lookup-by-host.
    PostgreyByHost,
    /// As milter-greylist knows them.
    MilterGreylist,
}

#[derive(Debug, Args)]
pub(crate) struct FilterOpensmtpdArguments {
    /// Where the server is asked, one of its policy sockets: HOST:PORT or unix:PATH.
    #[arg(long, value_name = "SOCKET", default_value = "127.0.0.1:10023")]
    pub(crate) policy: Endpoint,
    /// When it is decided.
    #[arg(long, value_name = "PHASE", default_value = "rcpt-to")]
    pub(crate) at: PhaseArgument,
}

/// A phase of the SMTP dialogue at which a filter decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum PhaseArgument {
    /// At each recipient, before it is known whether there is such a one.
    RcptTo,
    /// Once for all recipients that were accepted.
    Data,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Generate {
    /// Completions for a shell, to standard output.
    Completions {
        /// The shell.
        shell: Shell,
    },
    /// Manual pages into a directory.
    Man {
        /// The directory; it must exist.
        directory: PathBuf,
    },
}

#[derive(Debug, Args)]
pub(crate) struct PostgreyArguments {
    /// Postgrey's options.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) words: Vec<String>,
}

fn later(text: &str) -> Result<Seconds, String> {
    let length = text.strip_prefix('+').unwrap_or(text);
    length.parse().map_err(|error| format!("{error}"))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definitions_agree_with_each_other() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn a_time_to_come_is_read_with_or_without_its_plus() {
        assert_eq!(later("+6m"), Ok(Seconds(360)));
        assert_eq!(later("6m"), Ok(Seconds(360)));
        assert!(later("+6").is_err());
    }
}
