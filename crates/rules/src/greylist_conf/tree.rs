//! Rules, lists and named definitions of `greylist.conf` as they were read, before they are
//! compiled into indexes.

use greylatch_core::{Network, Seconds};

use super::posix::PosixPattern;
use super::settings::TarpitScope;

/// When a rule is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AclStage {
    /// For each recipient: `acl`, `racl`.
    Rcpt,
    /// Once, at the end of the message: `dacl`.
    Data,
}

/// What a rule does when all its clauses hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AclAction {
    /// Ask the memory.
    Greylist,
    /// Accept.
    Whitelist,
    /// Refuse.
    Blacklist,
    /// Keep the values and go on.
    Continue,
}

/// A rule.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct AclRule {
    pub(crate) stage: AclStage,
    pub(crate) id: Option<Vec<u8>>,
    pub(crate) action: AclAction,
    /// All must hold; none are there in a `default` rule.
    pub(crate) clauses: Vec<Clause>,
    pub(crate) values: AclValues,
    /// The last line of the statement, by which the rule is known.
    pub(crate) line: usize,
}

impl AclRule {
    /// How long it makes the client wait.
    pub(crate) fn tarpit(&self) -> Option<Seconds> {
        let clauses = self.clauses.iter().filter(|clause| !clause.negated);
        clauses.rev().find_map(|clause| match clause.test {
            Test::Tarpit(time) => Some(time),
            _ => None,
        })
    }
}

impl AclRule {
    /// Its texts in which something may be filled in.
    pub(crate) fn templates(&self) -> impl Iterator<Item = &[u8]> {
        let values = &self.values;
        let texts = [
            &values.code,
            &values.ecode,
            &values.msg,
            &values.report,
            &values.addfooter,
            &values.subjtag,
        ];
        let header = values.addheader.iter().map(|header| &header.text[..]);
        let clauses = self
            .clauses
            .iter()
            .filter_map(|clause| clause.test.template());
        let texts = texts.into_iter().flatten().map(Vec::as_slice);
        texts.chain(header).chain(clauses)
    }
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Clause {
    pub(crate) negated: bool,
    pub(crate) test: Test,
}

/// What a clause asks.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Test {
    /// The client lies in it.
    Addr(Network),
    /// Something that was said in the dialogue or the message.
    Text(Part, Wanted),
    /// Any item of the list with this number holds.
    List(usize),
    Spf(MailStatus),
    Dkim(MailStatus),
    /// The client is in the list with this number.
    Dnsrbl(usize),
    /// The client is in this country, as two capital letters; `ZZ` for none.
    Country(Vec<u8>),
    /// The client is so near to a mail exchanger of the sender's domain.
    Mx(u8),
    /// The macro test with this number holds.
    Macro(usize),
    /// The rate limit with this number is exceeded; asking counts.
    Ratelimit(usize),
    Time(CronTime),
    /// The recipients accepted so far.
    RcptCount(Comparison),
    /// The bytes of the message.
    MsgSize(Comparison),
    /// The client waits so long.
    Tarpit(Seconds),
    /// Holds always; the template is logged.
    Log(Vec<u8>),
    /// Holds always; a property is set.
    Set(Assignment),
    Property(Vec<u8>, PropertyTest),
}

impl Test {
    /// The text in it in which something may be filled in.
    fn template(&self) -> Option<&[u8]> {
        match self {
            Self::Log(template)
            | Self::Set(Assignment {
                value: AssignedValue::Template(template),
                ..
            })
            | Self::Property(_, PropertyTest::Equal(template) | PropertyTest::Glob(template))
            | Self::Text(Part::Helo, Wanted::Literal(template)) => Some(template),
            _ => None,
        }
    }
}

/// What a text clause looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Part {
    Domain,
    From,
    RawFrom,
    Rcpt,
    Helo,
    Auth,
    Tls,
    Header,
    Body,
}

/// What a text clause looks for.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Wanted {
    Literal(Vec<u8>),
    Pattern(PosixPattern),
    /// The value of a property, for `header` and `body`.
    Property(Vec<u8>),
}

/// A result of SPF or DKIM, in the words of `greylist.conf`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MailStatus {
    /// It passes.
    Pass,
    /// It fails.
    Fail,
    /// It fails softly.
    SoftFail,
    /// Nothing is said.
    Neutral,
    /// The record cannot be understood: `permerror`.
    Unknown,
    /// It could not be found out: `temperror`.
    Error,
    /// There is no record or signature.
    None,
    /// This host itself would pass.
    SelfPass,
}

/// A number beside another.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Comparison {
    pub(crate) operator: Operator,
    pub(crate) right: Operand,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operator {
    Equal,
    Unequal,
    AtLeast,
    AtMost,
    Above,
    Below,
}

impl Operator {
    pub(crate) fn holds(self, left: i64, right: i64) -> bool {
        match self {
            Self::Equal => left == right,
            Self::Unequal => left != right,
            Self::AtLeast => left >= right,
            Self::AtMost => left <= right,
            Self::Above => left > right,
            Self::Below => left < right,
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Operand {
    Number(i64),
    Property(Vec<u8>),
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum PropertyTest {
    /// It equals the expanded template.
    Equal(Vec<u8>),
    /// Its value is a glob that matches the expanded template.
    Glob(Vec<u8>),
    Pattern(PosixPattern),
    Compare(Comparison),
}

/// `set` and `rset`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Assignment {
    pub(crate) name: Vec<u8>,
    pub(crate) how: Assign,
    pub(crate) value: AssignedValue,
    /// `rset`: gone before the next recipient.
    pub(crate) one_recipient: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Assign {
    Set,
    Add,
    Subtract,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum AssignedValue {
    Template(Vec<u8>),
    Property(Vec<u8>),
}

/// A crontab's five fields; each is the set of its numbers as bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CronTime {
    pub(crate) minutes: u64,
    pub(crate) hours: u64,
    pub(crate) days: u64,
    pub(crate) months: u64,
    /// 0 is Sunday.
    pub(crate) weekdays: u64,
}

/// What a rule sets. Texts are templates that nobody has expanded yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct AclValues {
    pub(crate) delay: Option<Seconds>,
    pub(crate) autowhite: Option<Seconds>,
    pub(crate) code: Option<Vec<u8>>,
    pub(crate) ecode: Option<Vec<u8>>,
    pub(crate) msg: Option<Vec<u8>>,
    pub(crate) report: Option<Vec<u8>>,
    pub(crate) flushaddr: bool,
    pub(crate) nolog: bool,
    pub(crate) addheader: Option<AddHeader>,
    pub(crate) addfooter: Option<Vec<u8>>,
    pub(crate) subjtag: Option<Vec<u8>>,
    pub(crate) maxpeek: Option<u64>,
    pub(crate) tarpit_scope: Option<TarpitScope>,
}

/// An `addheader` value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddHeader {
    /// The template of `Name: value`.
    pub text: Vec<u8>,
    /// Where to insert it; none means at the end.
    pub index: Option<u32>,
}

/// A `list` definition.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct AclList {
    pub(crate) name: Vec<u8>,
    /// All of one kind.
    pub(crate) items: Vec<Test>,
}

/// A `dnsrbl` definition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DnsList {
    /// Its name in the file.
    pub name: Vec<u8>,
    /// The domain below which clients are looked up.
    pub zone: String,
    /// A client is listed when an answer lies in it.
    pub answer: Network,
}

/// An `sm_macro` definition.
#[derive(Clone, Debug, PartialEq)]
pub struct MacroTest {
    /// Its name in the file.
    pub name: Vec<u8>,
    /// The macro of the MTA, in braces as it is written.
    pub macro_name: Vec<u8>,
    pub(crate) wanted: MacroWanted,
}

impl MacroTest {
    pub(crate) fn pattern(&self) -> Option<&PosixPattern> {
        match &self.wanted {
            MacroWanted::Pattern(pattern) => Some(pattern),
            _ => None,
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum MacroWanted {
    Equal(Vec<u8>),
    Pattern(PosixPattern),
    Unset,
}

/// A `ratelimit` definition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// Its name in the file.
    pub name: Vec<u8>,
    /// What is counted.
    pub counted: RateCounted,
    /// The most that do not exceed it.
    pub limit: u64,
    /// The time over which is counted.
    pub window: Seconds,
    /// The template of what is counted apart.
    pub key: Vec<u8>,
}

/// What a rate limit counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RateCounted {
    /// Recipients.
    Recipients,
    /// Connections.
    Sessions,
    /// Bytes of messages.
    Bytes,
}

impl RateCounted {
    /// The word for it.
    #[must_use]
    pub fn unit(self) -> &'static str {
        match self {
            Self::Recipients => "recipients",
            Self::Sessions => "sessions",
            Self::Bytes => "bytes",
        }
    }
}
