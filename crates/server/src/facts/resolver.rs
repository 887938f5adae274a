//! Questions to the DNS. Every answer may fail to come; that there is no such record is an answer.

mod dkim;

use std::future::Future;
use std::net::{IpAddr, Ipv4Addr};
use std::str::from_utf8;
use std::sync::Arc;
use std::time::Duration;

use greylatch_core::Network;
use greylatch_rules::DnsList;
use greylatch_wording::SpfFound;
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ResolverConfig, ResolverOpts};
use hickory_resolver::lookup::Lookup;
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use hickory_resolver::system_conf::read_system_conf;
use mail_auth::common::cache::NoCache;
use mail_auth::spf::Spf;
use mail_auth::spf::verify::SpfParameters;
use mail_auth::{Error, MessageAuthenticator, SpfResult, Txt};
use rustls::crypto::ring;
use rustls::{ClientConfig, RootCertStore};
use tokio::sync::Semaphore;
use tokio::time::timeout_at;

use super::{About, Budget};

/// The name servers of this host, and what they said lately.
pub(super) struct Resolver {
    /// Its inside is the resolver that all questions go to.
    authenticator: MessageAuthenticator,
    at_once: Semaphore,
}

/// Look-ups under way at once, since each takes up to two files of the process, and the store needs
/// some; others wait for their turn while there is time.
const AT_ONCE_MAX: usize = 256;

/// How long one name server is waited for before the next is tried, so that there is time for it.
const TRY_TIME: Duration = Duration::from_millis(900);

/// The name of this host in SPF macros, which no result rests on.
///
/// Source: RFC 7208 §7.3 (`r`).
const UNNAMED_HOST: &str = "unknown";

impl Resolver {
    /// Asks whom `/etc/resolv.conf` names.
    pub(super) fn of_system() -> Result<Self, NetError> {
        let (config, options) = read_system_conf()?;
        Self::new(config, options)
    }

    pub(super) fn new(config: ResolverConfig, mut options: ResolverOpts) -> Result<Self, NetError> {
        options.timeout = options.timeout.min(TRY_TIME);
        let resolver = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
            .with_options(options)
            .with_tls_config(without_roots()?)
            .build()?;
        Ok(Self {
            authenticator: MessageAuthenticator(resolver),
            at_once: Semaphore::new(AT_ONCE_MAX),
        })
    }

    /// Whether the list has the client.
    ///
    /// Source: RFC 5782 §2.1 (IPv4), §2.4 (IPv6).
    pub(super) async fn is_listed(
        &self,
        client: IpAddr,
        list: &DnsList,
        budget: &mut Budget,
    ) -> Option<bool> {
        let name = format!("{}.{}.", reversed(client), list.zone);
        let answers = self.records(&name, RecordType::A, budget).await?;
        let mut addresses = answers.iter().filter_map(address);
        Some(addresses.any(|address| list.answer.contains(address)))
    }

    /// Whether the client is within this prefix of a host that takes mail for the domain: a mail
    /// exchanger, or where none is named the domain itself.
    ///
    /// Source: RFC 5321 §5.1; RFC 7505 §3 (an exchanger `.` has no address).
    pub(super) async fn is_near_exchanger(
        &self,
        (client, prefix): (IpAddr, u8),
        domain: &str,
        budget: &mut Budget,
    ) -> Option<bool> {
        let near = Network::of(client, prefix);
        let of_client = match client {
            IpAddr::V4(_) => RecordType::A,
            IpAddr::V6(_) => RecordType::AAAA,
        };
        let mut exchangers = self.exchangers(domain, budget).await?;
        if exchangers.is_empty() {
            exchangers.push(format!("{domain}."));
        }
        let mut all_known = true;
        for name in &exchangers {
            match self.records(name, of_client, budget).await {
                Some(found) if found.iter().filter_map(address).any(|ip| near.contains(ip)) => {
                    return Some(true);
                }
                Some(_) => {}
                None => all_known = false,
            }
        }
        all_known.then_some(false)
    }

    /// The first name of an address of which the address is one; without the last dot.
    ///
    /// Source: RFC 1035 §3.5, RFC 3596 §2.5 (the names that point from addresses).
    pub(super) async fn name(&self, address: IpAddr, budget: &mut Budget) -> Option<String> {
        let (zone, of_client) = match address {
            IpAddr::V4(_) => ("in-addr.arpa", RecordType::A),
            IpAddr::V6(_) => ("ip6.arpa", RecordType::AAAA),
        };
        let pointer = format!("{}.{zone}.", reversed(address));
        for record in self.records(&pointer, RecordType::PTR, budget).await? {
            let RData::PTR(name) = record else {
                continue;
            };
            let name = name.0.to_ascii();
            let found = self.records(&name, of_client, budget).await?;
            if found
                .iter()
                .filter_map(self::address)
                .any(|ip| ip == address)
            {
                return Some(name.trim_end_matches('.').to_owned());
            }
        }
        None
    }

    /// The names of the hosts that take mail for a domain, the preferred first.
    pub(super) async fn exchangers(
        &self,
        domain: &str,
        budget: &mut Budget,
    ) -> Option<Vec<String>> {
        let mut exchangers: Vec<(u16, String)> = Vec::new();
        for record in self
            .records(&format!("{domain}."), RecordType::MX, budget)
            .await?
        {
            if let RData::MX(mx) = record {
                exchangers.push((mx.preference, mx.exchange.to_ascii()));
            }
        }
        exchangers.sort();
        Some(exchangers.into_iter().map(|(_, name)| name).collect())
    }

    /// The IPv4 addresses of a name, which ends with a dot.
    pub(super) async fn addresses(&self, name: &str, budget: &mut Budget) -> Option<Vec<Ipv4Addr>> {
        let mut addresses = Vec::new();
        for record in self.records(name, RecordType::A, budget).await? {
            if let RData::A(a) = record {
                addresses.push(a.0);
            }
        }
        Some(addresses)
    }

    /// What the sender's domain, for the null sender the name in HELO, says of mail from `address`.
    /// This very host always passes.
    ///
    /// Source: RFC 7208 §2.4; libspf2 as milter-greylist 4.6.4 runs it (loopback passes, a sender
    /// without a domain is one).
    pub(super) async fn spf(
        &self,
        address: IpAddr,
        about: &About<'_>,
        budget: &mut Budget,
    ) -> Option<SpfFound> {
        if address.is_loopback() {
            return Some(SpfFound::Pass);
        }
        let (helo, sender) = (from_utf8(about.helo).ok()?, from_utf8(about.sender).ok()?);
        let of_domain;
        let sender = match sender.contains('@') || sender.is_empty() {
            true => sender,
            false => {
                of_domain = format!("postmaster@{sender}");
                &of_domain
            }
        };
        let domain = sender.rsplit_once('@').map_or(helo, |(_, domain)| domain);
        // An address has no records.
        if domain.starts_with('[') {
            return Some(SpfFound::None);
        }
        let asked = SpfParameters::verify_mail_from(address, helo, UNNAMED_HOST, sender);
        // What it keeps across its questions is large.
        let check = Box::pin(self.authenticator.verify_spf(asked));
        let found = self.spend(check, budget).await?;
        Some(match found.result() {
            SpfResult::Pass => SpfFound::Pass,
            SpfResult::Fail => SpfFound::Fail,
            SpfResult::SoftFail => SpfFound::SoftFail,
            SpfResult::Neutral => SpfFound::Neutral,
            SpfResult::None => SpfFound::None,
            SpfResult::TempError => SpfFound::TempError,
            SpfResult::PermError if self.is_unreadable(domain, budget).await => {
                SpfFound::Unreadable
            }
            SpfResult::PermError => SpfFound::PermError,
        })
    }

    /// Whether the SPF record of a domain is one in name only; not, where nobody can tell any more.
    async fn is_unreadable(&self, domain: &str, budget: &mut Budget) -> bool {
        let not_kept = None::<&NoCache<Box<str>, Txt>>;
        let record = Box::pin(self.authenticator.txt_lookup::<Spf>(domain, not_kept));
        let record = self.spend(record, budget).await;
        matches!(record, Some(Err(Error::ParseError)))
    }

    /// The records of a name, none where there are none; `None` when that is unknown. A name that
    /// no host can have has no records.
    async fn records(
        &self,
        name: &str,
        of_type: RecordType,
        budget: &mut Budget,
    ) -> Option<Vec<RData>> {
        let Ok(name) = Name::from_str_relaxed(name) else {
            return Some(Vec::new());
        };
        // What it keeps across its tries is large.
        let look_up = Box::pin(self.authenticator.0.lookup(name, of_type));
        found(self.spend(look_up, budget).await?)
    }

    /// The outcome of a look-up, unless there have been too many or it takes too long.
    async fn spend<T>(&self, look_up: impl Future<Output = T>, budget: &mut Budget) -> Option<T> {
        budget.lookups = budget.lookups.checked_sub(1)?;
        let in_turn = async {
            let _turn = self.at_once.acquire().await.ok()?;
            Some(look_up.await)
        };
        timeout_at(budget.until, in_turn).await.ok()?
    }
}

/// The records in an answer; that there are none is one.
fn found(answer: Result<Lookup, NetError>) -> Option<Vec<RData>> {
    match answer {
        Ok(lookup) => {
            let records = lookup.answers().iter();
            Some(records.map(|record| record.data.clone()).collect())
        }
        Err(error) if error.is_no_records_found() => Some(Vec::new()),
        Err(_) => None,
    }
}

fn address(record: &RData) -> Option<IpAddr> {
    match record {
        RData::A(a) => Some(a.0.into()),
        RData::AAAA(aaaa) => Some(aaaa.0.into()),
        _ => None,
    }
}

/// The address as a name below a list: octets, or for IPv6 half octets, the last first.
fn reversed(address: IpAddr) -> String {
    let labels: Vec<String> = match address {
        IpAddr::V4(v4) => v4.octets().iter().rev().map(u8::to_string).collect(),
        IpAddr::V6(v6) => {
            let octets = v6.octets();
            let halves = octets
                .iter()
                .rev()
                .flat_map(|octet| [octet & 15, octet >> 4]);
            halves.map(|half| format!("{half:x}")).collect()
        }
    };
    labels.join(".")
}

/// TLS that trusts nobody. `/etc/resolv.conf` names no name server that would be asked so, and
/// the resolver's own default does not start on a host without root certificates.
fn without_roots() -> Result<ClientConfig, NetError> {
    let provider = Arc::new(ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_turned_around() {
        let turned = |text: &str| reversed(text.parse().expect("an address"));
        assert_eq!(turned("192.0.2.99"), "99.2.0.192");
        // Source: RFC 5782 §2.4.
        assert_eq!(
            turned("2001:db8:1:2:3:4:567:89ab"),
            "b.a.9.8.7.6.5.0.4.0.0.0.3.0.0.0.2.0.0.0.1.0.0.0.8.b.d.0.1.0.0.2"
        );
    }
}
