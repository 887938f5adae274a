//! Questions to the DNS by a program that waits for each answer: one at a time, each with the time and
//! the look-ups of one attempt.

use std::net::Ipv4Addr;

use tokio::runtime::{Builder, Runtime};

use super::{Budget, Resolver};

/// Asks the name servers of this host.
pub struct Inquirer {
    runtime: Runtime,
    resolver: Resolver,
}

impl Inquirer {
    /// Asks whom `/etc/resolv.conf` names.
    ///
    /// # Errors
    /// Why nobody can be asked.
    pub fn of_system() -> Result<Self, String> {
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| error.to_string())?;
        let resolver = Resolver::of_system().map_err(|error| error.to_string())?;
        Ok(Self { runtime, resolver })
    }

    /// The IPv4 addresses of a name; none when nobody can tell.
    #[must_use]
    pub fn addresses(&self, name: &str) -> Vec<Ipv4Addr> {
        let name = format!("{name}.");
        let found = self
            .runtime
            .block_on(async { self.resolver.addresses(&name, &mut Budget::default()).await });
        found.unwrap_or_default()
    }

    /// The IPv4 addresses of all hosts that are named to take mail for a domain; those that nobody can
    /// tell are left out.
    #[must_use]
    pub fn exchanger_addresses(&self, domain: &str) -> Vec<Ipv4Addr> {
        self.runtime.block_on(async {
            let mut budget = Budget::default();
            let names = self.resolver.exchangers(domain, &mut budget).await;
            let mut addresses = Vec::new();
            for name in names.unwrap_or_default() {
                let found = self.resolver.addresses(&name, &mut budget).await;
                addresses.extend(found.unwrap_or_default());
            }
            addresses
        })
    }
}
