//! The asking side of the milter protocol, as an MTA speaks it, also for
//! streams that are not well formed.
//!
//! It knows the packets and which of them are answered, written down again
//! here and not taken from the codec that it tests.
//! Source: Sendmail's `include/libmilter/mfdef.h`,
//! `libmilter/docs/xxfi_negotiate.html`; traces of Sendmail 8.17.1 and Postfix
//! 3.7.11.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::greylister::Endpoint;
use crate::process::wait_for;
use crate::stream::Stream;

/// As long as Sendmail waits for an answer by default.
const ANSWER_MAX: Duration = Duration::from_secs(10);
/// The bit by which values of headers come with the space before them.
const LEADING_SPACE: u32 = 0x10_0000;
const START_MAX: Duration = Duration::from_secs(20);

/// What an MTA offers at the beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offer {
    /// Of the protocol.
    pub version: u32,
    /// What the filter may do to a message.
    pub actions: u32,
    /// What the filter may do without.
    pub steps: u32,
}

impl Offer {
    /// All that there is in a version; as Postfix 3.7 offers it, and of version
    /// 6 Sendmail 8.17 too.
    pub fn of_version(version: u32) -> Self {
        let steps = match version {
            ..=2 => 0x7F,
            3 => 0x17F,
            4 | 5 => 0x37F,
            6.. => 0x1F_FFFF,
        };
        Self {
            version,
            actions: 0x1FF,
            steps,
        }
    }
}

/// What the filter has taken of an offer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Agreed {
    /// See [`Offer`].
    pub version: u32,
    /// See [`Offer`].
    pub actions: u32,
    /// See [`Offer`].
    pub steps: u32,
    /// The macros that it asks for, by the number of their stage.
    pub macros: Vec<(u32, String)>,
}

/// One packet on the wire.
pub fn packet(command: char, content: &[u8]) -> Vec<u8> {
    let length = u32::try_from(content.len() + 1).unwrap_or(u32::MAX);
    let mut bytes = length.to_be_bytes().to_vec();
    bytes.push(u8::try_from(command).unwrap_or(b'?'));
    bytes.extend_from_slice(content);
    bytes
}

/// What came of waiting for a packet.
enum Received {
    Packet(char, Vec<u8>),
    Late,
    Closed,
}

/// One connection to a filter.
pub struct MilterClient {
    stream: Stream,
    unread: Vec<u8>,
    /// Of what was agreed.
    steps: u32,
}

impl MilterClient {
    /// Connects, and says nothing yet.
    ///
    /// # Errors
    /// When nobody listens there.
    pub fn connect(endpoint: &Endpoint) -> Result<Self> {
        Ok(Self {
            stream: Stream::connect(endpoint)?,
            unread: Vec::new(),
            steps: 0,
        })
    }

    /// Waits until a filter that has just been started listens there.
    ///
    /// # Errors
    /// When it does not within 20 s.
    pub fn wait(endpoint: &Endpoint) -> Result<()> {
        wait_for(
            "a filter",
            START_MAX,
            || Ok(Self::connect(endpoint).is_ok()),
        )
    }

    /// Connects, agrees, and tells of a client without any macros.
    ///
    /// # Errors
    /// When the filter does not agree.
    pub fn open(endpoint: &Endpoint, offer: Offer, client: &str) -> Result<Self> {
        let mut filter = Self::connect(endpoint)?;
        filter.negotiate(offer)?;
        filter.greet(client)?;
        Ok(filter)
    }

    /// Offers, and gives what the filter takes.
    ///
    /// # Errors
    /// When it takes what was not offered, or does not answer.
    pub fn negotiate(&mut self, offer: Offer) -> Result<Agreed> {
        let numbers = [offer.version, offer.actions, offer.steps];
        self.send('O', &numbers.map(u32::to_be_bytes).concat())?;
        let (kind, content) = self.hear()?.context("it closed at the offer")?;
        ensure!(kind == 'O', "{kind:?} answers an offer");
        let agreed = Agreed::read(&content).context("half an agreement")?;
        ensure!(
            agreed.version <= offer.version
                && agreed.actions & !offer.actions == 0
                && agreed.steps & !offer.steps == 0,
            "{agreed:?} is more than {offer:?}"
        );
        self.steps = agreed.steps;
        Ok(agreed)
    }

    /// Tells of a client, `NAME ADDRESS` or an address alone, and of its HELO.
    ///
    /// # Errors
    /// When the filter answers anything but that it goes on.
    pub fn greet(&mut self, client: &str) -> Result<()> {
        let connect = self.ask('C', &connection(client))?;
        let helo = self.ask('H', b"client.example\0")?;
        for answer in connect.iter().chain(&helo) {
            ensure!(answer == "c", "{answer} answers a greeting");
        }
        Ok(())
    }

    /// Names a sender and recipients, and gives the answers to the latter.
    ///
    /// # Errors
    /// When the sender is not taken, or an answer is missing.
    pub fn envelope(&mut self, sender: &str, recipients: &[&str]) -> Result<Vec<String>> {
        for answer in self.ask('M', format!("<{sender}>\0").as_bytes())? {
            ensure!(answer == "c", "{answer} answers MAIL");
        }
        let mut answers = Vec::new();
        for recipient in recipients {
            answers.extend(self.ask('R', format!("<{recipient}>\0SIZE=1\0").as_bytes())?);
        }
        Ok(answers)
    }

    /// Sends the content of a message, and gives what the filter does at its
    /// end; its last word last.
    ///
    /// # Errors
    /// When an answer is missing, or a step before the end has another than
    /// that it goes on.
    pub fn content(&mut self) -> Result<Vec<String>> {
        let steps: [(char, &[u8]); 5] = [
            ('T', b""),
            ('L', b"Subject\0greylisting\0"),
            ('L', b"X-Folded\0one\n\ttwo\0"),
            ('N', b""),
            ('B', b"A line.\r\n"),
        ];
        for (command, content) in steps {
            for answer in self.ask(command, content)? {
                ensure!(answer == "c", "{answer} answers {command}");
            }
        }
        self.ask('E', b"")
    }

    /// Sends macros of the stage that a command stands for.
    ///
    /// # Errors
    /// When the filter has closed.
    pub fn macros(&mut self, stage: char, pairs: &[(&str, &str)]) -> Result<()> {
        let mut content = stage.to_string();
        for (name, value) in pairs {
            content.push_str(&format!("{name}\0{value}\0"));
        }
        self.send('D', content.as_bytes())
    }

    /// Sends a command unless it is to be left out, and gives the answers that
    /// are due: none, one, or at the end of a message several. Each is its
    /// letter and content, in which `\x00` stands for NUL.
    ///
    /// # Errors
    /// When an answer that is due does not come within 10 s.
    pub fn ask(&mut self, command: char, content: &[u8]) -> Result<Vec<String>> {
        let mut answers = Vec::new();
        if self.steps & left_out(command) != 0 {
            return Ok(answers);
        }
        match command {
            'L' => self.send(command, &self.as_agreed(content))?,
            _ => self.send(command, content)?,
        }
        if self.steps & unanswered(command) != 0 || matches!(command, 'A' | 'D' | 'K' | 'Q') {
            return Ok(answers);
        }
        loop {
            let heard = self.hear()?;
            let (kind, content) = heard.with_context(|| format!("it closed at {command}"))?;
            let content = self.as_mta_sees(kind, &content);
            answers.push(format!("{kind}{}", content.escape_ascii()));
            // What changes the message comes before the last word.
            if !matches!(kind, 'h' | 'i' | 'm' | 'b' | '+' | '-' | 'e' | 'q' | 'p') {
                return Ok(answers);
            }
        }
    }

    /// A header as it is sent, where the filter wants what stands behind the colon: one space.
    fn as_agreed(&self, header: &[u8]) -> Vec<u8> {
        let name = header.iter().position(|byte| *byte == 0);
        match name {
            Some(end) if self.steps & LEADING_SPACE != 0 => {
                [&header[..=end], b" ", &header[end + 1..]].concat()
            }
            _ => header.to_vec(),
        }
    }

    /// A change of a header as it comes to be, without the space that such a filter says itself.
    fn as_mta_sees(&self, kind: char, content: &[u8]) -> Vec<u8> {
        let number = match kind {
            'h' => 0,
            'i' | 'm' => 4,
            _ => return content.to_vec(),
        };
        let name = content[number..].iter().position(|byte| *byte == 0);
        match name.map(|end| number + end + 1) {
            Some(value) if self.steps & LEADING_SPACE != 0 => {
                assert_eq!(content[value], b' ', "it says no space");
                [&content[..value], &content[value + 1..]].concat()
            }
            _ => content.to_vec(),
        }
    }

    /// Sends one packet.
    ///
    /// # Errors
    /// When the filter has closed.
    pub fn send(&mut self, command: char, content: &[u8]) -> Result<()> {
        self.send_bytes(&packet(command, content))
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    /// When the filter has closed.
    pub fn send_bytes(&mut self, bytes: &[u8]) -> Result<()> {
        Ok(self.stream.send(bytes)?)
    }

    /// All that comes until the filter closes, as [`Self::ask`] gives it.
    ///
    /// # Errors
    /// When it does not close within 10 s, or amid a packet.
    pub fn hear_all(&mut self) -> Result<Vec<String>> {
        let mut heard = Vec::new();
        while let Some((kind, content)) = self.hear()? {
            heard.push(format!("{kind}{}", content.escape_ascii()));
        }
        Ok(heard)
    }

    /// The next answer as [`Self::ask`] gives it; none when there is none in this time.
    ///
    /// # Errors
    /// When the filter closes.
    pub fn hear_within(&mut self, time: Duration) -> Result<Option<String>> {
        match self.receive(Instant::now() + time)? {
            Received::Packet(kind, content) => {
                Ok(Some(format!("{kind}{}", content.escape_ascii())))
            }
            Received::Late => Ok(None),
            Received::Closed => bail!("it closed"),
        }
    }

    /// The next packet of the filter; none when it has closed.
    fn hear(&mut self) -> Result<Option<(char, Vec<u8>)>> {
        match self.receive(Instant::now() + ANSWER_MAX)? {
            Received::Packet(kind, content) => Ok(Some((kind, content))),
            Received::Late => bail!("no answer within {ANSWER_MAX:?}"),
            Received::Closed => Ok(None),
        }
    }

    fn receive(&mut self, deadline: Instant) -> Result<Received> {
        loop {
            if let Some((kind, content)) = self.take_packet() {
                return Ok(Received::Packet(kind, content));
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(Received::Late);
            }
            let mut chunk = [0; 8192];
            match self.stream.read(&mut chunk, left) {
                Ok(0) if self.unread.is_empty() => return Ok(Received::Closed),
                Ok(0) => bail!(
                    "it closed amid {:?}",
                    self.unread.escape_ascii().to_string()
                ),
                Ok(count) => self.unread.extend_from_slice(&chunk[..count]),
                Err(error) => match error.kind() {
                    ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted => {}
                    // So it is told when something of ours was not read.
                    ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => {
                        return Ok(Received::Closed);
                    }
                    _ => return Err(error).context("cannot read the answer"),
                },
            }
        }
    }

    fn take_packet(&mut self) -> Option<(char, Vec<u8>)> {
        let (length, rest) = self.unread.split_first_chunk()?;
        let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
        let (kind, content) = rest.get(..length)?.split_first()?;
        let packet = (char::from(*kind), content.to_vec());
        self.unread.drain(..4 + length);
        Some(packet)
    }
}

impl Agreed {
    fn read(content: &[u8]) -> Option<Self> {
        let number = |at: usize| -> Option<u32> {
            let bytes = content.get(at..at + 4)?.try_into().ok()?;
            Some(u32::from_be_bytes(bytes))
        };
        let mut macros = Vec::new();
        let mut at = 12;
        while at < content.len() {
            let stage = number(at)?;
            let names = content.get(at + 4..)?;
            let end = names.iter().position(|byte| *byte == 0)?;
            macros.push((stage, String::from_utf8(names[..end].to_vec()).ok()?));
            at += 4 + end + 1;
        }
        Some(Self {
            version: number(0)?,
            actions: number(4)?,
            steps: number(8)?,
            macros,
        })
    }
}

/// What CONNECT says of a client.
fn connection(client: &str) -> Vec<u8> {
    let (name, address) = match client.split_once(' ') {
        Some((name, address)) => (name.to_owned(), address),
        None => (format!("[{client}]"), client),
    };
    let family = if address.contains(':') { '6' } else { '4' };
    let mut content = format!("{name}\0{family}").into_bytes();
    content.extend_from_slice(&25_000_u16.to_be_bytes());
    content.extend_from_slice(address.as_bytes());
    content.push(0);
    content
}

/// The bit by which a command is left out.
fn left_out(command: char) -> u32 {
    match command {
        'C' => 0x1,
        'H' => 0x2,
        'M' => 0x4,
        'R' => 0x8,
        'B' => 0x10,
        'L' => 0x20,
        'N' => 0x40,
        'U' => 0x100,
        'T' => 0x200,
        _ => 0,
    }
}

/// The bit by which a command gets no answer.
fn unanswered(command: char) -> u32 {
    match command {
        'L' => 0x80,
        'C' => 0x1000,
        'H' => 0x2000,
        'M' => 0x4000,
        'R' => 0x8000,
        'T' => 0x1_0000,
        'U' => 0x2_0000,
        'N' => 0x4_0000,
        'B' => 0x8_0000,
        _ => 0,
    }
}
