//! What stands in for the DNS and the database of countries where the feature `dns` is not built
//! in: nobody can be asked.

use std::net::{IpAddr, Ipv4Addr};

use greylatch_core::Content;
use greylatch_rules::DnsList;
use greylatch_wording::SpfFound;

use super::{About, Budget, Signed};

const NOT_BUILT_IN: &str = "this program is built without DNS checks";

/// Never there.
pub(super) enum Resolver {}

/// Never there.
pub(crate) enum Countries {}

impl Resolver {
    pub(super) fn of_system() -> Result<Self, &'static str> {
        Err(NOT_BUILT_IN)
    }

    pub(super) async fn is_listed(&self, _: IpAddr, _: &DnsList, _: &mut Budget) -> Option<bool> {
        match *self {}
    }

    pub(super) async fn is_near_exchanger(
        &self,
        _: (IpAddr, u8),
        _: &str,
        _: &mut Budget,
    ) -> Option<bool> {
        match *self {}
    }

    pub(super) async fn name(&self, _: IpAddr, _: &mut Budget) -> Option<String> {
        match *self {}
    }

    pub(super) async fn exchangers(&self, _: &str, _: &mut Budget) -> Option<Vec<String>> {
        match *self {}
    }

    pub(super) async fn addresses(&self, _: &str, _: &mut Budget) -> Option<Vec<Ipv4Addr>> {
        match *self {}
    }

    pub(super) async fn spf(&self, _: IpAddr, _: &About<'_>, _: &mut Budget) -> Option<SpfFound> {
        match *self {}
    }

    pub(super) async fn dkim(&self, _: &Content, _: &mut Budget) -> Option<Signed> {
        match *self {}
    }
}

impl Countries {
    pub(crate) fn read(_: Vec<u8>) -> Result<Self, String> {
        Err(NOT_BUILT_IN.into())
    }

    pub(super) fn code(&self, _: IpAddr) -> Option<&[u8]> {
        match *self {}
    }
}
