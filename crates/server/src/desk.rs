//! Rooms 4 to 7: rule, recall, decide, commit. The only file that sees rules, store and engine
//! together.

mod acl;
mod administer;
mod hand;
mod merge;
mod neighbours;

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::time::Duration;

use arc_swap::{ArcSwap, Guard};
use greylatch_core::{
    AddressDialect, Answer, Attempt, Decision, Entry, EntryChange, Field, Greylist, IdentityRules,
    Judgement, Memory, Network, Notice, Outcome, Reason, Reloaded, Request, RuleId, Ruling, School,
    Seconds, Timestamp, Timing, Triplet, Verdict, decide, settled_by_client,
};
use greylatch_store::{AnyStore, Commit, Keying, Keys, Store, StoreError};
use greylatch_wording::DecisionRecord;
use tokio::sync::{SetOnce, mpsc, oneshot};
use tokio::time::timeout;

use self::acl::Sitting;
use crate::acl::AclMessage;
use crate::clock::{self, monotonic};
use crate::config::{Config, Mode, OnFailure};
use crate::dump::Changes;
use crate::facts::Facts;
use crate::instance::Instances;
use crate::lists::{Rulebook, terms, waiting_per_network};
use crate::observe::Observer;
use crate::paths::store_url;
use crate::peers::Peers;
use crate::phrases::Phrases;
use crate::tarpit::{Hold, Tarpit};
use crate::waiting::WaitingNetworks;

/// Where every attempt is judged, whatever protocol it came by.
pub(crate) struct Desk {
    pub(crate) rulebook: ArcSwap<Rulebook>,
    pub(crate) store: AnyStore,
    pub(crate) observer: Observer,
    pub(crate) settings: DeskSettings,
    pub(crate) phrases: Phrases,
    pub(crate) instances: Instances,
    pub(crate) waiting: WaitingNetworks,
    pub(crate) tarpit: Tarpit,
    pub(crate) facts: Facts,
    /// Connections open now.
    pub(crate) connections: AtomicU32,
    pub(crate) started: Timestamp,
    /// Who asks for a reload hears how it went.
    pub(crate) reload: mpsc::Sender<oneshot::Sender<Reloaded>>,
    /// How often what is remembered has changed.
    pub(crate) changes: Changes,
    /// The other mail exchangers.
    pub(crate) peers: Peers,
    /// What another program remembered is taken over, or there is nothing to take over.
    pub(crate) remembers: SetOnce<()>,
}

/// What the configuration says of judging.
pub(crate) struct DeskSettings {
    pub(crate) dialect: AddressDialect,
    pub(crate) identity: IdentityRules,
    pub(crate) keying: Keying,
    pub(crate) on_failure: OnFailure,
    /// Everything passes; what would have waited is logged.
    pub(crate) learning: bool,
    /// A request may set the clock.
    pub(crate) test_time: bool,
    pub(crate) delay: Seconds,
    /// Of entries that no rule of ours has made.
    timing: Timing,
    pub(crate) waiting_per_network: Option<u32>,
    pub(crate) store_url: String,
}

impl DeskSettings {
    pub(crate) fn new(config: &Config, identity: IdentityRules, keying: Keying) -> Self {
        Self {
            dialect: match identity.school {
                School::MilterGreylist | School::Native => AddressDialect::Strict,
                School::Postgrey { .. } => AddressDialect::Postgrey,
            },
            identity,
            keying,
            on_failure: config.store.on_failure,
            learning: config.greylist.mode == Mode::Learn,
            test_time: config.policy.test_time,
            delay: config.greylist.delay,
            timing: terms(&config.greylist).timing,
            waiting_per_network: waiting_per_network(&config.greylist),
            store_url: store_url(config),
        }
    }
}

/// What one connection keeps between its questions.
pub(crate) struct Visitor {
    /// The way that it asks.
    frontend: &'static str,
    /// The log line under way.
    pub(crate) line: Vec<u8>,
    /// What the recipients of the message under way have left for its end.
    message: AclMessage,
    /// The rules that were in force when it came, where they are to stay in force for it.
    rules: Option<Arc<Rulebook>>,
    /// How long it has been, and is to be, held.
    sitting: Sitting,
}

impl Visitor {
    pub(crate) fn new(frontend: &'static str) -> Self {
        Self {
            frontend,
            line: Vec::new(),
            message: AclMessage::default(),
            rules: None,
            sitting: Sitting::default(),
        }
    }

    /// For how long its answer is to be held back, when it is.
    pub(crate) fn hold(&mut self) -> Option<Hold> {
        self.sitting.hold.take()
    }

    /// A visitor that goes on with these rules whatever is read again meanwhile.
    pub(crate) fn with_rules(self, rules: Arc<Rulebook>) -> Self {
        Self {
            rules: Some(rules),
            ..self
        }
    }
}

/// An attempt with what was found out about it.
#[derive(Clone, Copy)]
struct Case<'a> {
    attempt: &'a Attempt,
    client: Option<IpAddr>,
    now: Timestamp,
}

impl Case<'_> {
    /// Whether it is known by words alone that mean nothing to us.
    fn is_opaque(&self) -> bool {
        self.attempt.field(Field::Words).is_some()
    }

    /// Whether anything can be remembered of it.
    fn is_known(&self) -> bool {
        self.client.is_some() || self.is_opaque()
    }
}

/// How long an attempt waits while memory is taken over.
const MEMORY_WAIT: Duration = Duration::from_secs(5);

/// A record that others keep changing is given up after so many tries.
const TRIES_MAX: u32 = 64;

impl Desk {
    /// Answers any request.
    pub(crate) async fn answer(&self, visitor: &mut Visitor, request: Request) -> Answer {
        match request {
            Request::Judge(attempt) => Answer::Verdict(self.judge(visitor, &attempt).await),
            Request::PassUnread(_, notice) => {
                self.notice(visitor, &notice);
                self.observer.count(Reason::Unreadable);
                Answer::Verdict(Verdict::Pass { header: None })
            }
            // Boxed, as is judging by an ACL, so that those who ask most carry no room for it.
            other => Box::pin(self.administer(other)).await,
        }
    }

    /// Writes down what a conversation noticed.
    pub(crate) fn notice(&self, visitor: &mut Visitor, notice: &Notice) {
        self.observer.notice(&mut visitor.line, notice);
    }

    async fn judge(&self, visitor: &mut Visitor, attempt: &Attempt) -> Verdict {
        let rulebook = match &visitor.rules {
            Some(rules) => Guard::from_inner(rules.clone()),
            None => self.rulebook.load(),
        };
        if let Some(acl) = rulebook.acl()
            && attempt.field(Field::Words).is_none()
        {
            return Box::pin(self.judge_by_acl(visitor, attempt, acl)).await;
        }
        let tells_rule = self.observer.writes_fields();
        let judged = self.judge_by_rules(visitor, attempt, (&rulebook, tells_rule));
        judged.await.verdict
    }

    /// Judges an attempt and says why. Not by a `greylist.conf`, whose rules speak of whole messages.
    #[cfg_attr(
        not(feature = "web"),
        expect(dead_code, reason = "only HTTP tells why")
    )]
    pub(crate) async fn judge_aloud(&self, visitor: &mut Visitor, attempt: &Attempt) -> Judgement {
        let rulebook = self.rulebook.load();
        self.judge_by_rules(visitor, attempt, (&rulebook, true))
            .await
    }

    async fn judge_by_rules(
        &self,
        visitor: &mut Visitor,
        attempt: &Attempt,
        (rulebook, tells_rule): (&Rulebook, bool),
    ) -> Judgement {
        let case = self.open(attempt, clock::now());
        let (ruling, rule) = self.rule(&case, rulebook);
        let asks_store = matches!(ruling, Ruling::Greylist(_)) && case.is_known();
        let asked = (asks_store && self.observer.writes_fields()).then(monotonic);
        let decision = self.settle(&case, &ruling).await;
        let store_ms = asked.map(|asked| asked.elapsed().as_millis());
        if decision.reason == Reason::Unreadable {
            let text = attempt.text(Field::ClientAddress).to_vec();
            self.notice(visitor, &Notice::UnreadableAddress(text));
        }
        let header = self.header(&case, &decision);
        let rule = rule
            .filter(|_| tells_rule)
            .and_then(|rule| rulebook.rule_text(rule));
        let record = DecisionRecord {
            frontend: visitor.frontend,
            attempt,
            net: case
                .client
                .filter(|_| self.observer.writes_fields())
                .map(|client| self.settings.identity.network(client)),
            store_ms: store_ms.and_then(|ms| u64::try_from(ms).ok()),
            decision: &decision,
            header_sent: header.is_some(),
            rule: rule.as_deref(),
            would_defer: self.settings.learning && decision.outcome == Outcome::Defer,
        };
        self.observer
            .decided(&mut visitor.line, &record, case.client);
        Judgement {
            verdict: self.verdict(&case, &decision, header),
            reason: decision.reason,
            wait: decision.wait,
            age: decision.age,
            rule,
        }
    }

    /// What the rules say. They have nothing to say of opaque words.
    fn rule(&self, case: &Case<'_>, rulebook: &Rulebook) -> (Ruling, Option<RuleId>) {
        if case.is_opaque() {
            let terms = Greylist {
                exemption: None,
                waiting_max: None,
                network_suffices: false,
                ..rulebook.terms
            };
            return (Ruling::Greylist(terms), None);
        }
        let (ruling, rule) = rulebook.rule(case.attempt, case.client);
        (self.narrowed(ruling), rule)
    }

    /// The ruling with less room for each network while a flood takes it.
    fn narrowed(&self, mut ruling: Ruling) -> Ruling {
        if let Ruling::Greylist(terms) = &mut ruling {
            let max = &mut terms.waiting_max;
            *max = max.map(|max| self.waiting.allowance(max));
        }
        ruling
    }

    fn open<'a>(&self, attempt: &'a Attempt, now: Timestamp) -> Case<'a> {
        let told = attempt
            .field(Field::TestTime)
            .filter(|_| self.settings.test_time);
        let told =
            told.and_then(|text| std::str::from_utf8(text).ok()?.parse().ok().map(Timestamp));
        Case {
            attempt,
            client: self
                .settings
                .dialect
                .parse(attempt.text(Field::ClientAddress)),
            now: told.unwrap_or(now),
        }
    }

    /// Rooms 5 to 7, as often as others change the same records meanwhile.
    async fn settle(&self, case: &Case<'_>, ruling: &Ruling) -> Decision {
        let Ruling::Greylist(terms) = ruling else {
            return decide(ruling, &Memory::default(), case.now);
        };
        let Some((keys, network)) = self.keys(case, terms.network_suffices) else {
            return Decision::of(Outcome::Pass, Reason::Unreadable);
        };
        let settled = match self.wait_for_memory().await {
            Ok(()) => {
                self.recall_and_commit(keys, network, ruling, case.now)
                    .await
            }
            Err(error) => Err(error),
        };
        match settled {
            Ok((decision, before)) => {
                self.tell_neighbours(case, &decision, before);
                self.count_waiting(&decision, network, case.now);
                decision
            }
            Err(error) => {
                self.observer.store_failed(&error);
                match self.settings.on_failure {
                    OnFailure::Pass => Decision::of(Outcome::Pass, Reason::StoreDown),
                    OnFailure::Defer => Decision {
                        wait: self.settings.delay,
                        ..Decision::of(Outcome::Defer, Reason::StoreDown)
                    },
                }
            }
        }
    }

    /// What another program remembered is taken over: who waited for it goes on.
    pub(crate) fn memory_is_whole(&self) {
        // Said again, it changes nothing.
        let _ = self.remembers.set(());
    }

    /// Until memory is taken over a known sender looks like a new one, so nobody is judged by it.
    async fn wait_for_memory(&self) -> Result<(), StoreError> {
        if self.remembers.initialized() {
            return Ok(());
        }
        match timeout(MEMORY_WAIT, self.remembers.wait()).await {
            Ok(()) => Ok(()),
            Err(_) => Err(StoreError::Opening),
        }
    }

    /// The decision, with the entry that it was made on.
    async fn recall_and_commit(
        &self,
        mut keys: Keys,
        network: Option<Network>,
        ruling: &Ruling,
        now: Timestamp,
    ) -> Result<(Decision, Option<Entry>), StoreError> {
        let mut memory = self
            .store
            .load(&keys, |memory| settled_by_client(ruling, memory, now))
            .await?;
        for _ in 0..TRIES_MAX {
            let mut decision = decide(ruling, &memory, now);
            if network.is_none() {
                decision.change.network_proven_until = None;
            }
            if let Some(network) = network
                && decision.reason == Reason::New
                && self.is_crowded(ruling, network, now)
            {
                // Only now does it matter whether the network has proven itself.
                keys.read_network();
                memory = self.store.load(&keys, |_| false).await?;
                memory.network_waiting = self.waiting.count(network, now);
                decision = decide(ruling, &memory, now);
            }
            if decision.change.is_empty() {
                return Ok((decision, memory.entry));
            }
            match self.store.commit(&keys, &memory, &decision.change).await? {
                Commit::Done => return Ok((decision, memory.entry)),
                Commit::Conflict(current) => memory = current,
            }
        }
        Ok((decide(ruling, &memory, now), memory.entry))
    }

    /// Whether as many wait in this network as may.
    fn is_crowded(&self, ruling: &Ruling, network: Network, now: Timestamp) -> bool {
        let Ruling::Greylist(Greylist {
            waiting_max: Some(max),
            ..
        }) = ruling
        else {
            return false;
        };
        self.waiting.count(network, now) >= *max
    }

    /// The keys of an attempt with the client's network, which words do not tell; nothing where
    /// nothing can be remembered.
    fn keys(&self, case: &Case<'_>, with_network: bool) -> Option<(Keys, Option<Network>)> {
        let identity = &self.settings.identity;
        let triplet = self.triplet(case)?;
        let network = case.client.map(|client| identity.network(client));
        let client = case.client.map(|client| identity.client_text(client));
        let keys = self.settings.keying.keys(
            triplet,
            client.unwrap_or_default(),
            network.unwrap_or_else(no_network),
            with_network && network.is_some(),
        );
        Some((keys, network))
    }

    fn triplet(&self, case: &Case<'_>) -> Option<Triplet> {
        let identity = &self.settings.identity;
        match case.attempt.field(Field::Words) {
            Some(words) => Some(identity.opaque(words)),
            None => Some(identity.triplet(case.client?, case.attempt)),
        }
    }

    /// Keeps the table of waiting entries in step with what was written.
    fn count_waiting(&self, decision: &Decision, network: Option<Network>, now: Timestamp) {
        let (EntryChange::Put(_), Some(network)) = (decision.change.entry, network) else {
            return;
        };
        match decision.reason {
            Reason::New if decision.age == Seconds(0) => self.waiting.add(network, now),
            Reason::Retry => self.waiting.remove(network),
            _ => {}
        }
    }

    /// Room 8, first half: what the MTA is told.
    fn verdict(&self, case: &Case<'_>, decision: &Decision, header: Option<Vec<u8>>) -> Verdict {
        match decision.outcome {
            Outcome::Defer if self.settings.learning => Verdict::Pass { header: None },
            Outcome::Defer => Verdict::Defer(self.phrases.reply(decision.wait, case.attempt)),
            Outcome::Refuse => Verdict::Refuse(self.phrases.refusal()),
            Outcome::Pass => Verdict::Pass { header },
        }
    }

    /// The first pass of a triplet is told in a header, once per message.
    fn header(&self, case: &Case<'_>, decision: &Decision) -> Option<Vec<u8>> {
        let is_first = decision.reason == Reason::Retry
            && self.phrases.has_header()
            && self.instances.is_new(case.attempt.field(Field::Instance));
        is_first.then(|| self.phrases.header(decision.age))
    }
}

/// Stands where a key of a network is asked for and there is none; it is neither read nor written.
fn no_network() -> Network {
    Network::of(IpAddr::from([0, 0, 0, 0]), 0)
}
