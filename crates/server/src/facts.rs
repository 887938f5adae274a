//! What rules ask of the outside: what the DNS says of a client, a sender and the signatures of a
//! message, and which country the client is in. Every answer is optional. What comes late, fails, or cannot be asked is
//! unknown, and a rule that rests on it does not match.
//!
//! The only file that knows whether the feature `dns` is built in; without it all is unknown.
//! Counts of `ratelimit` clauses are no facts of this kind: they are in `acl/rates.rs`.

#[cfg(feature = "dns")]
mod countries;
mod inquirer;
#[cfg(feature = "dns")]
mod resolver;
#[cfg(all(test, feature = "dns"))]
mod tests;
#[cfg(not(feature = "dns"))]
mod without;

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use greylatch_core::Content;
use greylatch_rules::{DnsList, Fact, MailStatus};
use greylatch_wording::{DkimFound, FoundOut, SpfFound};
use tokio::time::Instant;
use tracing::warn;

#[cfg(feature = "dns")]
pub(crate) use countries::Countries;
#[cfg(feature = "dns")]
use resolver::Resolver;
#[cfg(not(feature = "dns"))]
pub(crate) use without::Countries;
#[cfg(not(feature = "dns"))]
use without::Resolver;

pub use inquirer::Inquirer;

use crate::clock::monotonic;
use crate::config::Config;

/// Questions to the DNS for one attempt. A check of SPF or DKIM counts as one: how many it may ask in
/// turn has a limit of its own.
///
/// Source: RFC 7208 §4.6.4 (ten terms that ask the DNS).
const LOOKUPS_MAX: u32 = 10;

/// How long all questions of one attempt may take together.
const LOOKUPS_TIME: Duration = Duration::from_secs(2);

/// Who can be asked.
pub(crate) struct Facts {
    resolver: Option<Resolver>,
}

/// Whom and what a fact is about.
pub(crate) struct About<'a> {
    pub(crate) client: IpAddr,
    /// The address that the client came to.
    pub(crate) own: Option<IpAddr>,
    #[cfg_attr(
        not(feature = "dns"),
        expect(dead_code, reason = "only SPF, which is not built in, looks at it")
    )]
    pub(crate) helo: &'a [u8],
    /// The sender without brackets; empty for the null sender.
    pub(crate) sender: &'a [u8],
    /// The lists that `Fact::Dnsrbl` speaks of by number.
    pub(crate) lists: &'a [DnsList],
    pub(crate) countries: Option<&'a Countries>,
    /// The message, at its end and where it was asked for.
    pub(crate) content: Option<&'a Content>,
}

/// What has been found out about a message, the unknown included: its recipients are judged by
/// the same facts, and one that nobody tells is waited for once.
#[derive(Default)]
pub(crate) struct Findings {
    facts: HashMap<Fact, Option<bool>>,
    spf: HashMap<IpAddr, Option<SpfFound>>,
    /// Outside, whether it was looked for; inside, whether it is known.
    dkim: Option<Option<Signed>>,
    names: HashMap<IpAddr, Option<Vec<u8>>>,
    budget: Budget,
}

/// What the signatures of a message are worth.
pub(crate) struct Signed {
    pub(crate) worth: DkimFound,
    /// The domain of the signature that this is said of; empty where there is none.
    pub(crate) by: String,
}

/// The questions of one attempt.
pub(crate) struct Inquiry<'a> {
    resolver: Option<&'a Resolver>,
    findings: &'a mut Findings,
}

/// What one attempt may still ask.
struct Budget {
    lookups: u32,
    until: Instant,
}

impl Default for Budget {
    fn default() -> Self {
        Self {
            lookups: LOOKUPS_MAX,
            until: monotonic() + LOOKUPS_TIME,
        }
    }
}

impl Budget {
    fn is_spent(&self) -> bool {
        self.lookups == 0 || monotonic() >= self.until
    }
}

impl Facts {
    /// Asks the name servers of this host, when there are rules that may ask.
    pub(crate) fn new(config: &Config) -> Self {
        let resolver = match &config.lists.greylist_conf {
            Some(_) => Resolver::of_system()
                .inspect_err(|why| warn!("rules cannot ask the DNS: {why}"))
                .ok(),
            None => None,
        };
        Self { resolver }
    }

    /// Begins to ask for an attempt; `findings` is what its message has told so far.
    pub(crate) fn inquiry<'a>(&'a self, findings: &'a mut Findings) -> Inquiry<'a> {
        findings.budget = Budget::default();
        self.going_on(findings)
    }

    /// Goes on to ask for the same attempt, with what it may still ask.
    pub(crate) fn going_on<'a>(&'a self, findings: &'a mut Findings) -> Inquiry<'a> {
        Inquiry {
            resolver: self.resolver.as_ref(),
            findings,
        }
    }
}

impl Inquiry<'_> {
    /// Whether it is so; `None` when nobody can tell, or not in time.
    pub(crate) async fn look_up(&mut self, fact: &Fact, about: &About<'_>) -> Option<bool> {
        match fact {
            Fact::Spf(MailStatus::SelfPass) => {
                let found = self.spf(about.own?, about).await;
                is_status(found?, MailStatus::Pass)
            }
            Fact::Spf(status) => is_status(self.spf(about.client, about).await?, *status),
            Fact::Dkim(status) => Some(dkim_status(self.dkim(about).await?) == *status),
            Fact::Country(code) => {
                let found = about.countries?.code(about.client)?;
                Some(found.eq_ignore_ascii_case(code))
            }
            Fact::Dnsrbl(_) | Fact::Mx(_) => {
                if let Some(known) = self.findings.facts.get(fact) {
                    return *known;
                }
                if self.findings.budget.is_spent() {
                    return None;
                }
                let found = self.ask(fact, about).await;
                self.findings.facts.insert(fact.clone(), found);
                found
            }
            Fact::Tarpit(_) | Fact::Ratelimit { .. } => None,
        }
    }

    /// The name of an address that leads back to it; `None` when there is none, or nobody can tell.
    pub(crate) async fn name(&mut self, address: IpAddr) -> Option<Vec<u8>> {
        if let Some(known) = self.findings.names.get(&address) {
            return known.clone();
        }
        let found = match self.resolver {
            Some(resolver) => resolver.name(address, &mut self.findings.budget).await,
            None => None,
        };
        let found = found.map(String::into_bytes);
        self.findings.names.insert(address, found.clone());
        found
    }

    async fn ask(&mut self, fact: &Fact, about: &About<'_>) -> Option<bool> {
        let resolver = self.resolver?;
        let budget = &mut self.findings.budget;
        match fact {
            Fact::Dnsrbl(number) => {
                let list = about.lists.get(*number)?;
                resolver.is_listed(about.client, list, budget).await
            }
            Fact::Mx(prefix) => {
                let domain = about.sender_domain()?;
                let near = (about.client, *prefix);
                resolver.is_near_exchanger(near, domain, budget).await
            }
            _ => None,
        }
    }

    async fn spf(&mut self, address: IpAddr, about: &About<'_>) -> Option<SpfFound> {
        if let Some(known) = self.findings.spf.get(&address) {
            return *known;
        }
        if self.findings.budget.is_spent() {
            return None;
        }
        let found = match self.resolver {
            Some(resolver) => {
                resolver
                    .spf(address, about, &mut self.findings.budget)
                    .await
            }
            None => None,
        };
        self.findings.spf.insert(address, found);
        found
    }

    async fn dkim(&mut self, about: &About<'_>) -> Option<DkimFound> {
        if let Some(known) = &self.findings.dkim {
            return known.as_ref().map(|signed| signed.worth);
        }
        if self.findings.budget.is_spent() {
            return None;
        }
        let found = match (self.resolver, about.content) {
            (Some(resolver), Some(content)) => {
                resolver.dkim(content, &mut self.findings.budget).await
            }
            _ => None,
        };
        let worth = found.as_ref().map(|signed| signed.worth);
        self.findings.dkim = Some(found);
        worth
    }
}

impl<'a> About<'a> {
    /// The domain of the sender; none of the null sender.
    fn sender_domain(&self) -> Option<&'a str> {
        let at = self.sender.iter().rposition(|byte| *byte == b'@')?;
        std::str::from_utf8(self.sender.get(at + 1..)?).ok()
    }
}

impl Findings {
    /// What formats may say of this.
    pub(crate) fn told(&self, about: &About<'_>) -> FoundOut {
        let signed = self.dkim.as_ref().and_then(Option::as_ref);
        let is_listed = |number| self.facts.get(&Fact::Dnsrbl(number)) == Some(&Some(true));
        let lists = about.lists.iter().enumerate();
        let listing = lists.filter(|(number, _)| is_listed(*number));
        let names: Vec<&[u8]> = listing.map(|(_, list)| &list.name[..]).collect();
        let country = about.countries.and_then(|all| all.code(about.client));
        FoundOut {
            spf: self.spf.get(&about.client).copied().flatten(),
            dkim: signed.map(|signed| signed.worth),
            signer: signed.map_or_else(Vec::new, |signed| signed.by.clone().into_bytes()),
            dns_lists: names.join(&b','),
            country: country.unwrap_or_default().to_vec(),
        }
    }
}

impl Inquiry<'_> {
    /// What formats may say of what was found out so far.
    pub(crate) fn told(&self, about: &About<'_>) -> FoundOut {
        self.findings.told(about)
    }
}

/// Whether the status asked for is the one found. Of a check that failed for now only that much
/// is known.
fn is_status(found: SpfFound, asked: MailStatus) -> Option<bool> {
    let found = match found {
        SpfFound::Pass => MailStatus::Pass,
        SpfFound::Fail => MailStatus::Fail,
        SpfFound::SoftFail => MailStatus::SoftFail,
        SpfFound::Neutral => MailStatus::Neutral,
        SpfFound::None => MailStatus::None,
        SpfFound::Unreadable => MailStatus::Unknown,
        SpfFound::TempError if asked != MailStatus::Error => return None,
        SpfFound::PermError | SpfFound::TempError => MailStatus::Error,
    };
    Some(found == asked)
}

fn dkim_status(found: DkimFound) -> MailStatus {
    match found {
        DkimFound::Pass => MailStatus::Pass,
        DkimFound::Fail => MailStatus::Fail,
        DkimFound::None => MailStatus::None,
        DkimFound::Neutral => MailStatus::Unknown,
        DkimFound::NoKey => MailStatus::Error,
    }
}
