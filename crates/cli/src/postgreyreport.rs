//! The personality `postgreyreport`: its options, messages and exit codes, in front of our report.
//!
//! What it calls fatal is what the original calls so, true or not.

mod clients;
mod database;
mod options;
mod questions;

use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::path::Path;
use std::process::ExitCode;

use greylatch_report::{
    Deferred, FatalTriplets, FormedTriplets, Layout, Lines, Printer, SuccessAfter, TripletFormer,
};
use greylatch_rules::{LetterCase, PerlPattern};
use nix::unistd::{Uid, User, getuid, setuid};

use self::clients::ClientList;
use self::database::Database;
use self::options::Options;
use self::questions::Questions;
use crate::ahead::{Ahead, Outlet};
use crate::refusal::{Refusal, told};

/// The exit code when what was given cannot be used.
const WRONG: u8 = 2;

/// Runs with postgreyreport's command line, without the program's name.
pub(crate) fn run(words: &[String]) -> ExitCode {
    told(report(words), "")
}

fn report(words: &[String]) -> Result<ExitCode, Refusal> {
    let (options, files) =
        Options::parse(words).map_err(|complaints| Refusal::new(1, complaints.join("\n")))?;
    if options.help || options.man {
        // Nobody is left to tell when standard output is closed.
        let _ = write!(io::stdout(), "{USAGE}");
        return Ok(ExitCode::from(u8::from(options.help)));
    }
    if options.version {
        let _ = writeln!(io::stdout(), "postgreyreport 1.14.3 (20100321)");
        return Ok(ExitCode::SUCCESS);
    }
    if options.debug_db {
        return Err(Refusal::new(
            WRONG,
            "ERROR: --debug_db is not there; print Postgrey's database with \"db_dump -p\", and what our \
             server remembers with \"greylatch entries list\"",
        ));
    }
    become_user(options.user.as_deref().unwrap_or("postgrey"))?;
    let dbdir = options.dbdir.as_deref();
    let dbdir = dbdir.unwrap_or_else(|| crate::postgrey::usual_dbdir());
    let database = Database::open(Path::new(dbdir), |remark| say(&remark))
        .map_err(|why| Refusal::new(WRONG, why))?;
    let filter = Filter::new(&options)?;
    let questions = questions(&options)?;
    let mut triplets = FatalTriplets::new();
    let log = Log {
        filter,
        former: triplets.former(),
        lines: Lines::with(Deferred::WORD),
    };
    log.read(files.to_vec(), &mut triplets)?;
    let after = SuccessAfter::new(options.delay.as_deref().unwrap_or("300"));
    let remark = database
        .each_passed(after, |key| triplets.has_passed(key))
        .map_err(|error| Refusal::new(WRONG, format!("ERROR: {error:#}")))?;
    if let Some(remark) = remark {
        say(&remark);
    }
    // Whoever reads may have read enough.
    let doubtful = print(&triplets, &layout(&options), questions).unwrap_or(0);
    if doubtful > 0 {
        say(&format!(
            "NOTE: {doubtful} of these are of clients without a confirmed name or with one of a pool, or of \
             senders with a BATV tag, and may have come through; \"greylatch report\" tells who did"
        ));
    }
    Ok(ExitCode::SUCCESS)
}

/// Takes on the rights of a user, as far as that is allowed.
fn become_user(user: &str) -> Result<(), Refusal> {
    let found = match user.parse() {
        Ok(number) => Some(Uid::from_raw(number)),
        Err(_) => User::from_name(user).ok().flatten().map(|user| user.uid),
    };
    let Some(uid) = found else {
        return Err(Refusal::new(255, format!("No such user \"{user}\"")));
    };
    if uid != getuid()
        && let Err(error) = setuid(uid)
    {
        say(&format!("Couldn't become uid \"{uid}\": {}", error.desc()));
    }
    Ok(())
}

/// Which lines count.
struct Filter {
    text: PerlPattern,
    kept: Option<ClientList>,
    left_out: ClientList,
    skip_pool: bool,
}

impl Filter {
    fn new(options: &Options) -> Result<Self, Refusal> {
        let text = options.greylist_text.as_deref().unwrap_or("Greylisted");
        let wrong = |why| Refusal::new(WRONG, format!("ERROR: --greylist-text: {why}"));
        let text = PerlPattern::new(text.as_bytes(), LetterCase::Counts).map_err(wrong)?;
        let list = |files: &[String]| {
            ClientList::read(files, &mut |remark| say(&remark))
                .map_err(|why| Refusal::new(WRONG, format!("ERROR: {why}")))
        };
        let kept = &options.match_clients;
        Ok(Self {
            text,
            kept: (!kept.is_empty()).then(|| list(kept)).transpose()?,
            left_out: list(&options.skip_clients)?,
            skip_pool: options.skip_pool,
        })
    }

    /// The deferral that a line tells of, if it counts.
    fn deferred<'a>(&self, line: &'a [u8]) -> Option<Deferred<'a>> {
        let deferred = Deferred::parse(line)?;
        let counts = self.text.is_in(line)
            && self.kept.as_ref().is_none_or(|kept| kept.has(&deferred))
            && !self.left_out.has(&deferred)
            && !(self.skip_pool && deferred.is_of_pool());
        counts.then_some(deferred)
    }
}

/// A log, one file after the other.
struct Log {
    filter: Filter,
    former: TripletFormer,
    lines: Lines,
}

impl Log {
    /// Reads it from files, or from standard input when there are none. A thread of its own does so, up
    /// to the triplets of the deferrals that count; counting them is as much work again.
    fn read(self, mut files: Vec<String>, triplets: &mut FatalTriplets) -> Result<(), Refusal> {
        if files.is_empty() {
            files.push("-".to_owned());
        }
        let cannot = |error: io::Error| Refusal::new(WRONG, format!("ERROR: no thread: {error}"));
        let form = move |outlet: &Outlet<_>| self.form(&files, outlet);
        let mut coming = Ahead::begin("log", form).map_err(cannot)?;
        let mut formed = FormedTriplets::default();
        while let Some(next) = coming.next(formed) {
            formed = next;
            let full = |full| Refusal::new(WRONG, format!("ERROR: {full}"));
            triplets.count(&mut formed).map_err(full)?;
        }
        let too_long = coming.end();
        if too_long > 0 {
            say(&format!(
                "WARNING: {too_long} lines of more than 64 KiB were left out"
            ));
        }
        Ok(())
    }

    /// Hands over the triplets of each block, and gives how many lines were too long.
    fn form(mut self, files: &[String], outlet: &Outlet<FormedTriplets>) -> u64 {
        let mut block = vec![0; BLOCK];
        for file in files {
            if file == "-" {
                self.form_in(&mut io::stdin(), "-", &mut block, outlet);
                continue;
            }
            match File::open(file) {
                Ok(mut log) => self.form_in(&mut log, file, &mut block, outlet),
                Err(error) => say(&format!("Can't open {file}: {}", plain(&error))),
            }
        }
        self.lines.too_long()
    }

    fn form_in(
        &mut self,
        log: &mut impl Read,
        name: &str,
        block: &mut [u8],
        outlet: &Outlet<FormedTriplets>,
    ) {
        let (filter, former) = (&self.filter, &self.former);
        let form = |line: &[u8], formed: &mut FormedTriplets| {
            if let Some(deferred) = filter.deferred(line) {
                former.form(&deferred, line, formed);
            }
        };
        let mut formed = FormedTriplets::default();
        loop {
            match log.read(block) {
                Ok(0) => break,
                Ok(length) => self
                    .lines
                    .feed(&block[..length], |line| form(line, &mut formed)),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    say(&format!("Can't read {name}: {}", plain(&error)));
                    break;
                }
            }
            if !formed.is_empty() {
                match outlet.hand_over(formed) {
                    Some(emptied) => formed = emptied,
                    None => return,
                }
            }
        }
        self.lines.finish(|line| form(line, &mut formed));
        if !formed.is_empty() {
            // Whoever takes no more has said why.
            let _ = outlet.hand_over(formed);
        }
    }
}

/// Bytes of a log that are read at once.
const BLOCK: usize = 256 << 10;

/// What the system says, without its number.
fn plain(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(number) => nix::errno::Errno::from_raw(number).desc().to_owned(),
        None => error.to_string(),
    }
}

fn layout(options: &Options) -> Layout {
    let separator = |text: &Option<String>| text.as_ref().map(|text| text.replace("\\n", "\n"));
    Layout {
        grouped: options.grouped,
        show_time: options.show_time,
        show_tries: options.show_tries,
        tab: options.tab,
        check_sender: options.check_sender.is_some(),
        separate_by_network: separator(&options.separate_by_subnet),
        separate_by_address: separator(&options.separate_by_ip),
    }
}

/// What there is to ask the DNS.
fn questions(options: &Options) -> Result<Option<Questions>, Refusal> {
    let check_sender = options.check_sender.as_deref();
    if check_sender.is_none() && options.skip_dnsbl.is_empty() {
        return Ok(None);
    }
    match Questions::new(check_sender, &options.skip_dnsbl) {
        Ok(questions) => Ok(Some(questions)),
        Err(why) => Err(Refusal::new(
            WRONG,
            format!("ERROR: cannot ask the DNS: {why}"),
        )),
    }
}

/// Prints them, and gives how many of them are doubtful.
fn print(
    triplets: &FatalTriplets,
    layout: &Layout,
    mut questions: Option<Questions>,
) -> io::Result<u64> {
    let mut doubtful = 0;
    let mut out = BufWriter::new(io::stdout().lock());
    let mut printer = Printer::new(layout);
    let mut text = Vec::new();
    for triplet in triplets.fatal() {
        let checked = match &mut questions {
            Some(questions) => {
                if questions.is_listed(&triplet) {
                    continue;
                }
                questions.relation(&triplet)
            }
            None => "",
        };
        doubtful += u64::from(triplet.is_doubtful());
        text.clear();
        printer.print(&mut text, &triplet, checked);
        out.write_all(&text)?;
    }
    out.flush()?;
    Ok(doubtful)
}

fn say(message: &str) {
    // Nobody is left to tell when standard error is closed.
    let _ = writeln!(io::stderr(), "{message}");
}

const USAGE: &str = "\
usage: postgreyreport [options] [maillog ...]

Prints the deliveries in a log of Postfix that were greylisted and never made it.

 -h, --help                    show this text
     --version                 show the version whose behaviour this is
 -u, --user=USER               become this user first (default postgrey)
     --dbdir=PATH              where the database is
     --delay=N                 passed is what was last seen N seconds after the first time (default 300)
     --greylist-text=PATTERN   which lines tell of greylisting (default Greylisted)
     --show_tries              with the number of tries
     --show_time               with the time of the last try
     --tab                     a tab between columns
     --nosingle_line           grouped by client
     --separate_by_subnet=TXT  print TXT before each network, \\n in it is a new line
     --separate_by_ip=TXT      print TXT before each client
     --check_sender=LIST       of mx, mx/24, a, a/24: say what the sender's domain has to do with the client
     --skip_pool               leave out clients whose name has the end of their address
     --skip_clients=FILE       leave out these clients, may be repeated
     --match_clients=FILE      only these clients, may be repeated
     --skip_dnsbl=ZONE         leave out clients on this DNS list, may be repeated

This is greylatch, answering to the name of postgreyreport; see docs/postgreyreport.md.
";
