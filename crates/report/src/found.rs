//! What is found of deliveries: their groups, counts, and who never came back; in two halves, so that the
//! caller can have each found on a thread of its own.

use std::net::IpAddr;

use greylatch_core::Timestamp;

use crate::delivery::{Delivery, timestamp};
use crate::groups::{Group, Groups, MetHashes, organisation, put_domain};
use crate::keyed::{HashTable, Wide};
use crate::ledger::Ledger;

/// A delivery that was seen less long before the end of the log than this may still come back.
///
/// Source: RFC 5321 §4.5.4.1 (senders try for days); most of those that come at all come within hours.
const YOUNG_S: i64 = 86_400;

/// A delivery of the period, and what became of it.
pub(crate) struct Case<'a> {
    ledger: &'a Ledger,
    pub(crate) delivery: &'a Delivery,
    /// It did not come back, or always too early.
    pub(crate) never: bool,
    /// But the same sender has reached the same recipient from elsewhere.
    pub(crate) elsewhere: bool,
    /// It may still come.
    pub(crate) young: bool,
}

/// What is found of all deliveries, in halves that can be found at the same time.
pub struct Found {
    /// By who sent.
    pub by_client: ByClient,
    /// By what was sent.
    pub by_envelope: ByEnvelope,
}

/// Deliveries by their clients.
#[derive(Default)]
pub struct ByClient {
    pub(crate) networks: Groups,
    pub(crate) organisations: Groups,
    /// By organisation, or by network where a client has no confirmed name.
    pub(crate) providers: Groups,
    /// Those that never came back.
    never: Vec<Never>,
}

/// Deliveries by their senders and recipients, and all of them.
#[derive(Default)]
pub struct ByEnvelope {
    pub(crate) sender_domains: Groups,
    pub(crate) recipients: Groups,
    pub(crate) all: Group,
    pub(crate) tally: Tally,
}

/// Counts of deliveries of the period.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) all: u64,
    pub(crate) never: u64,
    pub(crate) young: u64,
    pub(crate) elsewhere: u64,
    pub(crate) told_by_mta: u64,
}

/// A delivery that never came back, in the order of clients: addresses by their numbers, what is none
/// behind them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Never {
    client: (bool, Option<IpAddr>),
    /// Its place among the deliveries.
    place: u32,
}

/// What is known of the clients that were met, by the hashes of address and name.
#[derive(Default)]
struct Clients(HashTable<Wide, Client>);

struct Client {
    address: Option<IpAddr>,
    /// The hash of its network.
    network: u64,
    /// Its groups.
    of_network: u32,
    of_organisation: Option<u32>,
    of_provider: u32,
}

impl<'a> Case<'a> {
    pub(crate) fn address(&self) -> &'a [u8] {
        self.ledger.field(self.delivery, 0)
    }

    pub(crate) fn name(&self) -> &'a [u8] {
        self.ledger.field(self.delivery, 1)
    }

    pub(crate) fn sender(&self) -> &'a [u8] {
        self.ledger.field(self.delivery, 2)
    }

    pub(crate) fn recipient(&self) -> &'a [u8] {
        self.ledger.field(self.delivery, 3)
    }

    pub(crate) fn triplet(&self) -> greylatch_core::Triplet {
        self.ledger.triplet(self.delivery)
    }
}

impl Ledger {
    /// What is found by clients.
    #[must_use]
    pub fn by_client(&self) -> ByClient {
        let mut found = ByClient::default();
        let mut clients = Clients::default();
        let mut sender_domain = Vec::new();
        for (place, case) in self.places_and_cases() {
            let client = clients.of(&case, &mut found);
            if case.never {
                found.never.push(Never {
                    client: (client.address.is_none(), client.address),
                    // It is below four million.
                    place: place as u32,
                });
            }
            found.networks.at(client.of_network).add(&case);
            if let Some(place) = client.of_organisation {
                found.organisations.at(place).add(&case);
            }
            let provider = found.providers.at(client.of_provider);
            provider.add(&case);
            provider.waits.extend(case.delivery.waited_s());
            if !case.never {
                put_domain(&mut sender_domain, case.sender());
                let hashes = MetHashes {
                    network: client.network,
                    sender_domain: self.former.half(&sender_domain),
                    recipient: self.former.half(case.recipient()),
                };
                provider.met.add(&sender_domain, hashes);
            }
        }
        found.providers.sort();
        found
    }

    /// What is found by senders and recipients, and of all.
    #[must_use]
    pub fn by_envelope(&self) -> ByEnvelope {
        let mut found = ByEnvelope::default();
        let (mut sender_domain, mut recipient) = (Vec::new(), Vec::new());
        for (_, case) in self.places_and_cases() {
            put_domain(&mut sender_domain, case.sender());
            recipient.clear();
            recipient.extend_from_slice(case.recipient());
            recipient.make_ascii_lowercase();
            found.recipients.named(&recipient).add(&case);
            let retry = case.delivery.retried_after_s();
            let of_sender = found.sender_domains.named(&sender_domain);
            for group in [of_sender, &mut found.all] {
                group.add(&case);
                group.retries.extend(retry);
            }
            found.all.waits.extend(case.delivery.waited_s());
            found.tally.add(&case);
        }
        found.sender_domains.sort();
        found.all.sort();
        found
    }

    fn places_and_cases(&self) -> impl Iterator<Item = (usize, Case<'_>)> {
        let all = self.deliveries.range(0..self.deliveries.len());
        all.filter_map(|(place, delivery)| Some((place, self.case(delivery)?)))
    }

    /// The deliveries whose first attempt is in the period.
    pub(crate) fn cases(&self) -> impl Iterator<Item = Case<'_>> {
        self.places_and_cases().map(|(_, case)| case)
    }

    fn case<'a>(&'a self, delivery: &'a Delivery) -> Option<Case<'a>> {
        let first = delivery.first()?;
        if !self.period.has(timestamp(first)) {
            return None;
        }
        let end = self.counts.span.map_or(Timestamp(0), |(_, last)| last);
        let never = delivery.is_open();
        let last = delivery.course().map_or(first, |course| course.last);
        Some(Case {
            ledger: self,
            elsewhere: never && self.was_reached(delivery, first),
            young: never && end.since(timestamp(last)).0 < YOUNG_S,
            delivery,
            never,
        })
    }

    /// The first so many of those that never came back, all if `rows` is 0: by their clients, those of one
    /// by their triplets.
    pub(crate) fn never(&self, found: &mut ByClient, rows: usize) -> Vec<Case<'_>> {
        let mut never = std::mem::take(&mut found.never);
        if rows > 0 && rows < never.len() {
            let (_, last, _) = never.select_nth_unstable(rows - 1);
            let last = last.client;
            never.retain(|other| other.client <= last);
        }
        never.sort_unstable();
        let triplet = |never: &Never| {
            let delivery = &self.deliveries[never.place as usize];
            (self.triplet(delivery).joined().to_vec(), delivery.first())
        };
        for of_one in never.chunk_by_mut(|one, next| one.client == next.client) {
            of_one.sort_by_cached_key(triplet);
        }
        let made = if rows == 0 { never.len() } else { rows };
        let case = |never: &Never| self.case(&self.deliveries[never.place as usize]);
        never.iter().take(made).filter_map(case).collect()
    }
}

impl Tally {
    fn add(&mut self, case: &Case<'_>) {
        self.all += 1;
        self.never += u64::from(case.never);
        self.young += u64::from(case.young);
        self.elsewhere += u64::from(case.elsewhere);
        self.told_by_mta += u64::from(case.delivery.is_told_by_mta());
    }
}

impl Clients {
    fn of(&mut self, case: &Case<'_>, groups: &mut ByClient) -> &Client {
        let (address, name) = (case.address(), case.name());
        let hash = case.ledger.former.hash((address, name));
        self.0.entry(hash).or_insert_with(|| {
            let network = case.ledger.network(case.delivery);
            let organisation = (!name.is_empty()).then(|| organisation(name));
            let address = std::str::from_utf8(address).ok();
            let provider = organisation.as_ref().unwrap_or(&network);
            Client {
                address: address.and_then(|text| text.parse().ok()),
                of_network: groups.networks.place(&network),
                of_provider: groups.providers.place(provider),
                of_organisation: organisation.map(|name| groups.organisations.place(&name)),
                network: case.ledger.former.half(&network),
            }
        })
    }
}

impl Group {
    fn add(&mut self, case: &Case<'_>) {
        if case.never {
            self.never += 1;
            self.elsewhere += u64::from(case.elsewhere);
        } else {
            self.came += 1;
        }
        if let Some(course) = case.delivery.course() {
            self.tries += u64::from(course.deferrals);
            self.early += u64::from(course.early);
            self.with_early += u64::from(course.early > 0);
        }
    }
}
