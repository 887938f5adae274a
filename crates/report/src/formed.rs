//! Deferrals of a log with their triplets formed, on their way from the thread that reads them to where
//! they are counted.

use greylatch_core::push_early_postgrey_sender;

use crate::keyed::Hashes;
use crate::postfix::Deferred;

/// Deferrals that are not counted yet.
#[derive(Debug, Default)]
pub struct FormedTriplets {
    /// Of each the key and the name.
    text: Vec<u8>,
    ends: Vec<Ends>,
}

#[derive(Clone, Copy, Debug)]
struct Ends {
    key: usize,
    name: usize,
    by_network: bool,
    stamp: Stamp,
    chain: u64,
}

/// One of them.
pub(crate) struct FormedTriplet<'a> {
    /// `ADDRESS/SENDER/RECIPIENT`, in lower case.
    pub(crate) key: &'a [u8],
    /// The client's name.
    pub(crate) name: &'a [u8],
    /// Whether the name leaves the network to be seen.
    pub(crate) by_network: bool,
    pub(crate) stamp: Stamp,
    /// The hash of [`chain_of`] its key.
    pub(crate) chain: u64,
}

/// The first bytes of a line, where its time stands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stamp {
    bytes: [u8; STAMP_LENGTH],
    length: u8,
}

/// As long as a traditional time stamp. Source: RFC 3164 §4.1.2.
const STAMP_LENGTH: usize = 15;

/// Forms triplets.
#[derive(Clone, Debug)]
pub struct TripletFormer {
    hashes: Hashes,
}

impl TripletFormer {
    pub(crate) fn new(hashes: Hashes) -> Self {
        Self { hashes }
    }

    /// Adds a deferral to `formed`; `line` is the whole line that tells of it.
    pub fn form(&self, deferred: &Deferred<'_>, line: &[u8], formed: &mut FormedTriplets) {
        let text = &mut formed.text;
        let start = text.len();
        text.extend_from_slice(deferred.client_address);
        text.push(b'/');
        push_early_postgrey_sender(text, deferred.sender);
        text.push(b'/');
        text.extend_from_slice(deferred.recipient);
        text[start..].make_ascii_lowercase();
        let key = text.len();
        text.extend_from_slice(deferred.client_name);
        formed.ends.push(Ends {
            key,
            name: text.len(),
            by_network: !deferred.hides_network(),
            stamp: Stamp::of(line),
            chain: self.hashes.narrow(chain_of(&text[start..key])),
        });
    }
}

impl FormedTriplets {
    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    pub(crate) fn each(&self) -> impl Iterator<Item = FormedTriplet<'_>> {
        let mut start = 0;
        self.ends.iter().map(move |ends| {
            let key = &self.text[start..ends.key];
            start = ends.name;
            FormedTriplet {
                key,
                name: &self.text[ends.key..ends.name],
                by_network: ends.by_network,
                stamp: ends.stamp,
                chain: ends.chain,
            }
        })
    }

    pub(crate) fn clear(&mut self) {
        self.text.clear();
        self.ends.clear();
    }
}

impl Stamp {
    fn of(line: &[u8]) -> Self {
        let length = line.len().min(STAMP_LENGTH);
        let mut bytes = [0; STAMP_LENGTH];
        bytes[..length].copy_from_slice(&line[..length]);
        // It is 15 at most.
        let length = length as u8;
        Self { bytes, length }
    }

    pub(crate) fn text(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }
}

/// What all addresses of one network have in common with one sender and recipient; at most a thousand
/// keys have the same.
pub(crate) fn chain_of(key: &[u8]) -> (&[u8], &[u8]) {
    let address = address(key);
    (network(address), &key[address.len()..])
}

/// What stands before the first `/`.
pub(crate) fn address(key: &[u8]) -> &[u8] {
    let end = key.iter().position(|byte| *byte == b'/');
    &key[..end.unwrap_or(key.len())]
}

/// An address without its last group and the dot before that.
pub(crate) fn network(address: &[u8]) -> &[u8] {
    let end = address.iter().rposition(|byte| *byte == b'.');
    &address[..end.unwrap_or(0)]
}
