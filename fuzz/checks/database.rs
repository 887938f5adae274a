//! Random bytes as one of Postgrey's databases: reading ends, never panics, and gives only records
//! whose times are in order.

use std::io::Cursor;
use std::path::Path;

use greylatch_exchange::PostgreyFile;

const NOW_S: i64 = 1_800_000_000;

/// Checks one input.
pub(crate) fn check(input: &[u8]) {
    let open = || PostgreyFile::from_reader(Cursor::new(input), Path::new("postgrey.db"));
    let (Ok(first), Ok(second)) = (open(), open()) else {
        return;
    };
    // An item is at least three bytes and its place two; damage costs a page or an item.
    let items_max = input.len() + 16;
    let pages = first.pages();
    let mut triplets = first.triplets(NOW_S);
    let mut given = 0;
    while let Some(read) = triplets.next() {
        given += 1;
        assert!(given <= items_max, "it does not end");
        assert!(triplets.page() <= pages);
        match read {
            Ok(triplet) => {
                assert!(triplet.first_s <= triplet.last_s && triplet.last_s <= NOW_S);
            }
            Err(skipped) => assert!(!skipped.to_string().is_empty()),
        }
    }
    let counts = triplets.counts();
    assert_eq!(given as u64, counts.read + counts.dropped + counts.damaged);
    let clients = second.clients(NOW_S).take(items_max + 1);
    let clients: Vec<_> = clients.collect();
    assert!(clients.len() <= items_max, "it does not end");
    assert!(
        clients
            .iter()
            .flatten()
            .all(|client| client.last_s <= NOW_S)
    );
}
