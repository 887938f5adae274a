//! An attempt as the rules of a `greylist.conf` see it.

use std::net::IpAddr;

use greylatch_core::{AddressDialect, Attempt, Content, Field, Stage, Timestamp};
use greylatch_rules::{
    AclJudgement, AclStage, AclSubject, Fact, LocalTime, Message, Next, Properties, RateCounted,
    Scope,
};
use greylatch_wording::{
    Escaping, Format, FormatValues, FoundOut, LogSubject, PropertyMatch, RuleName, Signature,
};

use super::{Acl, AclMessage, Event, without_braces};
use crate::clock;
use crate::facts::{About, Inquiry};

/// Who the header says that it is by: what tools that read it look for.
const PRODUCT: &str = "milter-greylist";
const VERSION: &str = "4.6.4";

/// An attempt, and what was made of it once for all questions.
pub(crate) struct AclCase<'a> {
    attempt: &'a Attempt,
    client: IpAddr,
    now: Timestamp,
    /// The client's name, or its address in brackets when the MTA could not confirm one.
    host: Vec<u8>,
    raw_sender: Vec<u8>,
    sender: Vec<u8>,
    recipients: Vec<Vec<u8>>,
    /// Stands in for `j`.
    own_name: &'a str,
    /// Stands in for `{if_addr}`.
    own_address: Vec<u8>,
    accepted: u64,
    /// It is only asked what would be: nothing is counted.
    asked_only: bool,
    /// Its client has not yet failed to wait for an answer; `None` where it cannot be made to.
    patient: Option<bool>,
}

/// Who this host is, where the MTA does not say.
pub(crate) struct Place<'a> {
    pub(crate) name: &'a str,
    pub(crate) address: Option<IpAddr>,
}

/// A count that passed its limit.
pub(crate) struct Overflow {
    /// The number of the class.
    pub(crate) class: usize,
    pub(crate) count: u64,
    pub(crate) key: Vec<u8>,
}

impl<'a> AclCase<'a> {
    /// The attempt of this client, after what its message has told so far.
    pub(crate) fn new(
        (attempt, client): (&'a Attempt, IpAddr),
        now: Timestamp,
        message: &AclMessage,
        place: &Place<'a>,
    ) -> Self {
        let sender = attempt.text(Field::Sender);
        let tags = sender.iter().rposition(|byte| *byte == b'=');
        let bare = tags.and_then(|last| sender.get(last + 1..));
        let address = place.address.map(|address| address.to_string());
        let recipients = match is_whole(attempt) {
            true => {
                let accepted = message.recipients.iter();
                accepted.map(|one| one.address.clone()).collect()
            }
            false => vec![bracketed(attempt.text(Field::Recipient))],
        };
        Self {
            attempt,
            client,
            now,
            host: match attempt.text(Field::ClientName) {
                b"" | b"unknown" => format!("[{client}]").into_bytes(),
                name => name.to_vec(),
            },
            raw_sender: bracketed(sender),
            sender: bracketed(bare.unwrap_or(sender)),
            recipients,
            own_name: place.name,
            own_address: address.unwrap_or_default().into_bytes(),
            accepted: u64::try_from(message.recipients.len()).unwrap_or(u64::MAX),
            asked_only: false,
            patient: None,
        }
    }

    /// The same, its client by this name if there is one.
    pub(crate) fn named(self, name: Option<Vec<u8>>) -> Self {
        Self {
            host: name.unwrap_or(self.host),
            ..self
        }
    }

    /// The same, of which this is known to clauses of a tarpit.
    pub(crate) fn patient(self, patient: Option<bool>) -> Self {
        Self { patient, ..self }
    }

    /// The same, of which it is only asked what would become of it.
    pub(crate) fn asked_only(self) -> Self {
        Self {
            asked_only: true,
            ..self
        }
    }

    /// The only recipient, in brackets; `None` of a whole message.
    pub(crate) fn recipient(&self) -> Option<&[u8]> {
        match is_whole(self.attempt) {
            true => None,
            false => self.recipients.first().map(Vec::as_slice),
        }
    }

    pub(crate) fn log_subject(&self) -> LogSubject<'_> {
        LogSubject {
            queue_id: Some(self.attempt.text(Field::QueueId)).filter(|id| !id.is_empty()),
            host: &self.host,
            client: self.client,
            sender: &self.sender,
            recipient: self.recipient(),
        }
    }

    /// Judges, asking for each fact that it comes to.
    pub(crate) async fn judge(
        &self,
        acl: &Acl,
        stage: AclStage,
        properties: Properties,
        inquiry: &mut Inquiry<'_>,
    ) -> (AclJudgement, Vec<Overflow>) {
        let attempt = self.attempt;
        let macros = move |name: &[u8]| attempt.macro_value(without_braces(name));
        let recipients: Vec<&[u8]> = self.recipients.iter().map(Vec::as_slice).collect();
        let headers: Vec<&[u8]> = attempt
            .content()
            .into_iter()
            .flat_map(Content::headers)
            .collect();
        let given = |field| Some(attempt.text(field)).filter(|text| !text.is_empty());
        let [minute, hour, day, month, weekday] = clock::cron_fields(self.now);
        let subject = AclSubject {
            client: self.client,
            host: &self.host,
            helo: given(Field::Helo),
            raw_sender: &self.raw_sender,
            sender: &self.sender,
            recipients: &recipients,
            auth: given(Field::Login),
            certificate: given(Field::CertSubject),
            macros: &macros,
            time: LocalTime {
                minute,
                hour,
                day,
                month,
                weekday,
            },
            recipients_accepted: self.accepted,
            message: (stage == AclStage::Data).then(|| Message {
                headers: &headers,
                body: attempt.content().map_or(b"", Content::body),
                size: self.size(),
            }),
        };
        let about = self.about(acl);
        let mut overflows = Vec::new();
        let mut evaluation = acl.set().evaluate(stage, &subject, properties);
        let mut told = None;
        loop {
            // Made anew each time: it may not be held while a fact is waited for.
            let expand = |template: &[u8], scope: &Scope<'_>| {
                self.expand_in(template, scope, &inquiry.told(&about))
            };
            match evaluation.next(told, &expand) {
                Next::Done(judgement) => return (*judgement, overflows),
                Next::Need(Fact::Ratelimit { class, key }) => {
                    told = self.count(acl, class, key, &mut overflows);
                }
                Next::Need(Fact::Tarpit(_)) => told = self.patient,
                Next::Need(fact) => told = inquiry.look_up(&fact, &about).await,
            }
        }
    }

    /// The bytes of the message that have come, as far as they were asked for.
    fn size(&self) -> u64 {
        self.attempt.content().map_or(0, Content::size)
    }

    /// What facts are about.
    pub(crate) fn about<'b>(&'b self, acl: &'b Acl) -> About<'b> {
        let own = self.attempt.macro_value(b"if_addr");
        let sender = self.sender.strip_prefix(b"<").unwrap_or(&self.sender);
        About {
            client: self.client,
            own: AddressDialect::Strict.parse(own.unwrap_or(&self.own_address)),
            helo: self.attempt.text(Field::Helo),
            sender: sender.strip_suffix(b">").unwrap_or(sender),
            lists: &acl.set().conf().dnsrbls,
            countries: acl.countries.as_deref(),
            content: self.attempt.content(),
        }
    }

    /// Whether a limit is passed, this event counted.
    fn count(
        &self,
        acl: &Acl,
        class: usize,
        key: Vec<u8>,
        overflows: &mut Vec<Overflow>,
    ) -> Option<bool> {
        let limit = acl.set().conf().ratelimits.get(class)?;
        let is_whole = self.recipient().is_none();
        let amount = match limit.counted {
            RateCounted::Recipients if is_whole => self.accepted,
            RateCounted::Sessions if self.accepted > 0 => 0,
            RateCounted::Recipients | RateCounted::Sessions => 1,
            RateCounted::Bytes => self.size(),
        };
        let event = Event {
            class: &limit.name,
            key: key.clone(),
            amount,
            window: limit.window,
        };
        let count = if self.asked_only {
            acl.rates.would_be(event, self.now)
        } else {
            acl.rates.count(event, self.now)
        };
        let passed = count > limit.limit;
        if passed {
            overflows.push(Overflow { class, count, key });
        }
        Some(passed)
    }

    /// Gives the values that formats speak of, and what a rule has found, to `of`.
    pub(crate) fn with_values<T>(&self, of: impl FnOnce(&mut FormatValues<'_>) -> T) -> T {
        let now = self.now;
        let local_time = move |pattern: &str| clock::local(now, pattern);
        let macros = |name: &[u8]| self.attempt.macro_value(name).map(<[u8]>::to_vec);
        let mut values = FormatValues {
            client: Some(self.client),
            host: &self.host,
            helo: self.attempt.text(Field::Helo),
            sender: &self.sender,
            recipient: self.recipient().unwrap_or_default(),
            macros: Some(&macros),
            ..FormatValues::new(self.signature(&local_time))
        };
        of(&mut values)
    }

    fn signature<'b>(&'b self, local_time: &'b dyn Fn(&str) -> String) -> Signature<'b> {
        let told = |name, other| self.attempt.macro_value(name).unwrap_or(other);
        Signature {
            product: PRODUCT,
            version: VERSION,
            host: told(b"j", self.own_name.as_bytes()),
            address: told(b"if_addr", &self.own_address),
            local_time,
        }
    }

    fn expand_in(&self, template: &[u8], scope: &Scope<'_>, found: &FoundOut) -> Vec<u8> {
        let groups: Vec<&[u8]> = scope.groups.iter().map(Vec::as_slice).collect();
        let properties = |name: &[u8]| scope.properties.value(name).map(<[u8]>::to_vec);
        let line = u32::try_from(scope.line).unwrap_or(u32::MAX);
        let line_text = line.to_string();
        self.with_values(|values| {
            let values = FormatValues {
                groups: &groups,
                properties: Some(&properties),
                property: property_match(scope.properties),
                found: Some(found),
                rule_in_hand: RuleName {
                    line: Some(line),
                    id: scope.id.unwrap_or(line_text.as_bytes()),
                },
                ..*values
            };
            Format::new(template).expand(&values, Escaping::Raw)
        })
    }
}

/// Whether an attempt is the end of a message, of which a milter's MTA alone tells; all other questions
/// are about one recipient.
pub(crate) fn is_whole(attempt: &Attempt) -> bool {
    attempt.stage() == Stage::EndOfMessage && attempt.message() != 0
}

/// The property that matched last.
pub(crate) fn property_match(properties: &Properties) -> PropertyMatch<'_> {
    match properties.matched() {
        Some(found) => PropertyMatch {
            name: &found.name,
            value: &found.value,
            recipient: found.recipient.as_deref().unwrap_or_default(),
        },
        None => PropertyMatch::default(),
    }
}

fn bracketed(address: &[u8]) -> Vec<u8> {
    [b"<", address, b">"].concat()
}
