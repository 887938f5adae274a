//! Statements that set something for the program as a whole.

use greylatch_core::Seconds;

use super::lexer::Word;
use super::settings::{
    DumpAt, Dumpfile, ListenAddress, LogFacility, Peer, ReportWhen, RunAs, Socket, Stat,
    StatOutput, SyncAddress, TarpitScope,
};
use super::statement::Reader;
use super::value::unescaped;
use crate::diagnostic::Fault;

impl Reader<'_> {
    /// Reads the statement that begins with `word`; false if there is none.
    pub(super) fn setting(&mut self, word: &Word) -> Result<bool, Fault> {
        match word.text.as_str() {
            "greylist" => self.tree.settings.greylist = self.cursor.time("a delay")?,
            "autowhite" => self.tree.settings.autowhite = self.cursor.time("a length of time")?,
            "timeout" => self.tree.settings.timeout = self.cursor.time("a length of time")?,
            "dumpfreq" => {
                self.tree.settings.dumpfreq = dump_at(self.cursor.time("a length of time")?)
            }
            "tarpit" => self.tree.settings.tarpit = positive(self.cursor.time("a length of time")?),
            "tarpit_scope" => self.tree.settings.tarpit_scope = self.tarpit_scope()?,
            "subnetmatch" => self.tree.settings.subnetmatch = self.mask(32)?,
            "subnetmatch6" => self.tree.settings.subnetmatch6 = self.mask(128)?,
            "maxpeek" => {
                self.tree.settings.maxpeek = Some(self.cursor.number("a number of bytes")?)
            }
            "syncmaxqlen" => self.tree.settings.syncmaxqlen = self.cursor.number("a number")?,
            "localaddr" => self.tree.settings.localaddr = Some(self.cursor.address()?),
            "syncaddr" => self.tree.settings.syncaddr = self.sync_address()?,
            "syncsrcaddr" => self.tree.settings.syncsrcaddr = self.sync_address()?,
            "report" => self.tree.settings.report = self.choice("a kind of report", &REPORTS)?,
            "logfac" => {
                self.tree.settings.logfac = self.choice("a facility of syslog", &FACILITIES)?
            }
            "pidfile" => self.tree.settings.pidfile = Some(self.quoted_text("a path")?),
            "geoip2db" => self.tree.settings.geoip_database = Some(self.quoted_text("a path")?),
            "geoipdb" | "geoipv6db" => self.old_geoip()?,
            "socket" => self.socket()?,
            "user" => self.user()?,
            "dumpfile" => self.dumpfile()?,
            "peer" => self.peer()?,
            "stat" => self.stat()?,
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// One of a few words.
    pub(super) fn choice<T: Copy>(&mut self, what: &str, of: &[(&str, T)]) -> Result<T, Fault> {
        let word = self.cursor.peek_word();
        let known = word.and_then(|word| of.iter().find(|(name, _)| *name == word.text));
        let Some((_, meaning)) = known else {
            let names: Vec<&str> = of.iter().map(|(name, _)| *name).collect();
            let cure = format!("write one of: {}", names.join(" "));
            return Err(self.cursor.expected(what, cure));
        };
        self.cursor.word();
        Ok(*meaning)
    }

    pub(super) fn tarpit_scope(&mut self) -> Result<TarpitScope, Fault> {
        let word = self.cursor.peek_word();
        let scope = self.choice("a scope", &SCOPES)?;
        if word.is_some_and(|word| word.text == "command") {
            self.refused_there("this word, but the misspelling comand");
        }
        Ok(scope)
    }

    /// The bits that are compared. To the original a prefix that is too long compares none.
    fn mask(&mut self, width: u8) -> Result<u8, Fault> {
        let cure = format!(
            "write / and the number of bits, for example /{}",
            width / 4 * 3
        );
        match self.cursor.prefix(width)? {
            Some(prefix) => Ok(prefix),
            None => Err(self.cursor.expected("a prefix length", cure)),
        }
    }

    fn sync_address(&mut self) -> Result<SyncAddress, Fault> {
        let address = if self.cursor.take_if(b'*') {
            None
        } else {
            Some(self.cursor.address()?)
        };
        Ok(SyncAddress {
            address,
            port: self.keyed("port")?.then(|| self.port()).transpose()?,
        })
    }

    fn port(&mut self) -> Result<u16, Fault> {
        let fault = self
            .cursor
            .expected("a port", "write a number from 1 to 65535");
        let number = self.cursor.number("a port")?;
        u16::try_from(number)
            .ok()
            .filter(|port| *port > 0)
            .ok_or(fault)
    }

    /// Takes the word if it comes next.
    pub(super) fn keyed(&mut self, word: &str) -> Result<bool, Fault> {
        let there = self
            .cursor
            .peek_word()
            .is_some_and(|next| next.text == word);
        if there {
            self.cursor.word();
        }
        Ok(there)
    }

    fn old_geoip(&mut self) -> Result<(), Fault> {
        let path = self.quoted_text("a path")?;
        if path.ends_with(".mmdb") {
            self.tree.settings.geoip_database.get_or_insert(path);
        } else {
            self.no_effect("databases of this old form are not read; write geoip2db");
        }
        Ok(())
    }

    fn socket(&mut self) -> Result<(), Fault> {
        let start = self.cursor.position();
        let text = self.quoted_text("an address")?;
        let address = listen_address(&text).ok_or_else(|| {
            Fault::new(
                start..self.cursor.here(),
                "this is no address of a socket",
                "write /path, local:/path, unix:/path, inet:port@host or inet6:port@host",
            )
        })?;
        let mode = match self.cursor.peek() {
            None => None,
            Some(_) => {
                let mode = self.cursor.expected(
                    "a mode that a socket can have",
                    "write 666, 660 or 600, or nothing",
                );
                let number = self.cursor.number("a mode that a socket can have")?;
                let known = [(666, 0o666), (660, 0o660), (600, 0o600)];
                let known = known.into_iter().find(|(written, _)| *written == number);
                Some(known.ok_or(mode)?.1)
            }
        };
        self.tree.settings.socket = Some(Socket { address, mode });
        Ok(())
    }

    fn user(&mut self) -> Result<(), Fault> {
        let text = self.quoted_text("a user")?;
        let (user, group) = match text.split_once(':') {
            Some((user, group)) => (user.to_owned(), Some(group.to_owned())),
            None => (text, None),
        };
        self.tree.settings.user = Some(RunAs { user, group });
        Ok(())
    }

    fn dumpfile(&mut self) -> Result<(), Fault> {
        let path = self.quoted_text("a path")?;
        let mode = match self.cursor.peek() {
            None => None,
            Some(_) => {
                let fault = self
                    .cursor
                    .expected("a mode", "write it in octal, such as 640");
                let digits = self.cursor.word().map(|word| word.text);
                let mode = digits.and_then(|digits| u32::from_str_radix(&digits, 8).ok());
                Some(mode.filter(|mode| *mode <= 0o7777).ok_or(fault)?)
            }
        };
        self.tree.settings.dumpfile = Some(Dumpfile { path, mode });
        Ok(())
    }

    fn peer(&mut self) -> Result<(), Fault> {
        let host = match self.cursor.address() {
            Ok(address) => address.to_string(),
            Err(_) => String::from_utf8_lossy(self.cursor.domain()?.text).into_owned(),
        };
        let timeout = if self.keyed("timeout")? {
            positive(self.cursor.time("a length of time")?)
        } else {
            Some(PEER_TIMEOUT)
        };
        self.tree.settings.peers.push(Peer { host, timeout });
        Ok(())
    }

    fn stat(&mut self) -> Result<(), Fault> {
        let start = self.cursor.position();
        let output = self.quoted_text("an output")?;
        let span = start..self.cursor.here();
        let format = unescaped(&self.quoted("a format")?);
        let output = if let Some(path) = output.strip_prefix(">>") {
            StatOutput::Append(path.trim_start().to_owned())
        } else if let Some(path) = output.strip_prefix('>') {
            StatOutput::Truncate(path.trim_start().to_owned())
        } else if let Some(command) = output.strip_prefix('|') {
            StatOutput::Pipe(command.to_owned())
        } else {
            self.warnings.push(Fault::new(
                span,
                "this output is ignored, here as in milter-greylist",
                "begin it with >> for a file, > for an empty file, or | for a command",
            ));
            self.no_effect("the output is neither a file nor a command");
            return Ok(());
        };
        self.tree.settings.stat = Some(Stat { output, format });
        Ok(())
    }
}

/// Zero and less are no length.
fn positive(time: Seconds) -> Option<Seconds> {
    Some(time).filter(|time| time.0 > 0)
}

fn dump_at(time: Seconds) -> DumpAt {
    match time.0 {
        0 => DumpAt::EachChange,
        1.. => DumpAt::Every(time),
        _ => DumpAt::Exit,
    }
}

/// Source: smfi_setconn(3).
fn listen_address(text: &str) -> Option<ListenAddress> {
    let unix = |path: &str| {
        Some(path.to_owned())
            .filter(|path| !path.is_empty())
            .map(|path| ListenAddress::Unix { path })
    };
    match text.split_once(':') {
        _ if text.starts_with('/') => unix(text),
        Some(("local" | "unix", path)) => unix(path),
        Some(("inet", rest)) => {
            port_and_host(rest).map(|(port, host)| ListenAddress::Inet { port, host })
        }
        Some(("inet6", rest)) => {
            port_and_host(rest).map(|(port, host)| ListenAddress::Inet6 { port, host })
        }
        // libmilter takes what has no colon as a path.
        None => unix(text),
        Some(_) => None,
    }
}

fn port_and_host(text: &str) -> Option<(u16, Option<String>)> {
    let (port, host) = match text.split_once('@') {
        Some((port, host)) => (port, Some(host)),
        None => (text, None),
    };
    let host = match host {
        None | Some("") => None,
        Some(host) => {
            let bare = host
                .strip_prefix('[')
                .and_then(|host| host.strip_suffix(']'));
            Some(bare.unwrap_or(host).to_owned())
        }
    };
    Some((port.trim().parse().ok()?, host))
}

/// How long a peer may take when nothing is said.
const PEER_TIMEOUT: Seconds = Seconds(3);

const REPORTS: [(&str, ReportWhen); 4] = [
    ("none", ReportWhen::None),
    ("delays", ReportWhen::Delays),
    ("nodelays", ReportWhen::NoDelays),
    ("all", ReportWhen::All),
];

/// The original knows only the misspelling, its manual only the word.
const SCOPES: [(&str, TarpitScope); 3] = [
    ("session", TarpitScope::Session),
    ("command", TarpitScope::Command),
    ("comand", TarpitScope::Command),
];

const FACILITIES: [(&str, LogFacility); 21] = [
    ("none", LogFacility::None),
    ("kern", LogFacility::Kern),
    ("user", LogFacility::User),
    ("mail", LogFacility::Mail),
    ("daemon", LogFacility::Daemon),
    ("auth", LogFacility::Auth),
    ("syslog", LogFacility::Syslog),
    ("lpr", LogFacility::Lpr),
    ("news", LogFacility::News),
    ("uucp", LogFacility::Uucp),
    ("cron", LogFacility::Cron),
    ("authpriv", LogFacility::Authpriv),
    ("ftp", LogFacility::Ftp),
    ("local0", LogFacility::Local(0)),
    ("local1", LogFacility::Local(1)),
    ("local2", LogFacility::Local(2)),
    ("local3", LogFacility::Local(3)),
    ("local4", LogFacility::Local(4)),
    ("local5", LogFacility::Local(5)),
    ("local6", LogFacility::Local(6)),
    ("local7", LogFacility::Local(7)),
];
