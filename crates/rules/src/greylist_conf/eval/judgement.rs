//! What an evaluation finds.

use greylatch_core::Seconds;

use super::property::Properties;
use crate::greylist_conf::settings::TarpitScope;
use crate::greylist_conf::tree::{AclAction, AclRule, AddHeader, Part, Test};

/// What the rules say, with the values that are in force. Texts are templates still.
#[derive(Clone, Debug, PartialEq)]
pub struct AclJudgement {
    /// Greylist, whitelist or blacklist.
    pub action: AclAction,
    /// The line of the rule that decided, or else of the last `continue` rule that matched; none when
    /// no rule matched.
    pub line: Option<usize>,
    /// The id of that rule or of a `continue` rule before it.
    pub id: Option<Vec<u8>>,
    /// How long a new tuple has to wait.
    pub delay: Seconds,
    /// How long an accepted tuple is accepted again.
    pub autowhite: Seconds,
    /// The code of the answer.
    pub code: Option<Vec<u8>>,
    /// The enhanced code of the answer.
    pub ecode: Option<Vec<u8>>,
    /// The text of the answer.
    pub msg: Option<Vec<u8>>,
    /// The text of the `X-Greylist` header.
    pub report: Option<Vec<u8>>,
    /// A header to add.
    pub addheader: Option<AddHeader>,
    /// A text to add behind the message.
    pub addfooter: Option<Vec<u8>>,
    /// A text to put before the subject.
    pub subjtag: Option<Vec<u8>>,
    /// The line of the rule that wants all entries of the client removed.
    pub flushaddr: Option<usize>,
    /// Say nothing of this in the log.
    pub nolog: bool,
    /// How many bytes of the message rules of the stage DATA may look at.
    pub maxpeek: Option<u64>,
    /// How long the client has to wait for its answer.
    pub tarpit: Option<Seconds>,
    /// What that is counted over.
    pub tarpit_scope: TarpitScope,
    /// Why it matched; nothing means that it is the default.
    pub whys: Vec<Why>,
    /// What the groups of the patterns of the deciding rule hold; those of a later clause come
    /// first. Only filled when some template asks for them.
    pub groups: Vec<Vec<u8>>,
    /// What `log` clauses said, expanded, of all rules that were looked at.
    pub logs: Vec<Vec<u8>>,
    /// The lines of all rules that matched, in order; only with `verbose`.
    pub matched: Vec<usize>,
    /// The properties, for the next evaluation of this message.
    pub properties: Properties,
}

/// A kind of clause that held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Why {
    /// What it looked at; lists count as their items.
    pub kind: ClauseKind,
    /// It held because the opposite did not.
    pub negated: bool,
}

/// What a clause looked at, as far as reasons are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the words of the language")]
pub enum ClauseKind {
    Addr,
    Domain,
    From,
    Rcpt,
    Helo,
    Auth,
    Tls,
    Header,
    Body,
    Spf,
    Dkim,
    Dnsrbl,
    Geoip,
    Mx,
    Macro,
    Time,
    RcptCount,
    MsgSize,
    Tarpit,
    Property,
    Log,
    Set,
}

impl ClauseKind {
    /// The kind of a test; none of one that does not keep a rule from being a default one.
    pub(super) fn of(test: &Test) -> Option<Self> {
        Some(match test {
            Test::Addr(_) => Self::Addr,
            Test::Text(part, _) => match part {
                Part::Domain => Self::Domain,
                Part::From | Part::RawFrom => Self::From,
                Part::Rcpt => Self::Rcpt,
                Part::Helo => Self::Helo,
                Part::Auth => Self::Auth,
                Part::Tls => Self::Tls,
                Part::Header => Self::Header,
                Part::Body => Self::Body,
            },
            Test::Spf(_) => Self::Spf,
            Test::Dkim(_) => Self::Dkim,
            Test::Dnsrbl(_) => Self::Dnsrbl,
            Test::Country(_) => Self::Geoip,
            Test::Mx(_) => Self::Mx,
            Test::Macro(_) => Self::Macro,
            Test::Time(_) => Self::Time,
            Test::RcptCount(_) => Self::RcptCount,
            Test::MsgSize(_) => Self::MsgSize,
            Test::Tarpit(_) => Self::Tarpit,
            Test::Property(..) => Self::Property,
            Test::Log(_) => Self::Log,
            Test::Set(_) => Self::Set,
            Test::List(_) | Test::Ratelimit(_) => return None,
        })
    }
}

/// Values that outlive the rule that set them, until another sets its own.
#[derive(Default)]
pub(super) struct Kept {
    /// Of the rule that matched last.
    pub(super) line: Option<usize>,
    pub(super) id: Option<Vec<u8>>,
    pub(super) code: Option<Vec<u8>>,
    pub(super) ecode: Option<Vec<u8>>,
    pub(super) msg: Option<Vec<u8>>,
    pub(super) report: Option<Vec<u8>>,
    pub(super) addheader: Option<AddHeader>,
    pub(super) addfooter: Option<Vec<u8>>,
    pub(super) subjtag: Option<Vec<u8>>,
    pub(super) flushaddr: Option<usize>,
}

impl Kept {
    pub(super) fn keep(&mut self, rule: &AclRule) {
        fn set<T: Clone>(kept: &mut Option<T>, new: &Option<T>) {
            if new.is_some() {
                kept.clone_from(new);
            }
        }
        let values = &rule.values;
        self.line = Some(rule.line);
        set(&mut self.id, &rule.id);
        set(&mut self.code, &values.code);
        set(&mut self.ecode, &values.ecode);
        set(&mut self.msg, &values.msg);
        set(&mut self.report, &values.report);
        set(&mut self.addheader, &values.addheader);
        set(&mut self.addfooter, &values.addfooter);
        set(&mut self.subjtag, &values.subjtag);
        set(&mut self.flushaddr, &values.flushaddr.then_some(rule.line));
    }
}
