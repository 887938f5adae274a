//! Random bytes as a format string, filled with values that are as bad: it never panics, a text
//! without `%` is itself, and what goes to a log or into a reply has nothing in it that does not
//! stand in the format.

use greylatch_wording::{DkimFound, Escaping, Format, FormatValues, FoundOut, Signature, SpfFound};

/// Checks one input.
pub(crate) fn check(input: &[u8]) {
    let found = FoundOut {
        spf: Some(SpfFound::Fail),
        dkim: Some(DkimFound::Fail),
        signer: input.to_vec(),
        dns_lists: input.to_vec(),
        country: input.to_vec(),
    };
    let find = |name: &[u8]| Some([name, input].concat());
    let values = FormatValues {
        client: Some([192, 0, 2, 10].into()),
        host: input,
        helo: input,
        sender: input,
        recipient: input,
        header: input,
        groups: &[input],
        macros: Some(&find),
        properties: Some(&find),
        found: Some(&found),
        ..FormatValues::new(Signature {
            product: "greylatch",
            version: "0",
            host: input,
            address: input,
            local_time: &|_| "now".into(),
        })
    };
    if !input.contains(&b'%') {
        assert_eq!(Format::new(input).expand(&values, Escaping::Raw), input);
    }
    let _ = Format::with_escapes(input).expand(&values, Escaping::Raw);
    let printable: Vec<u8> = input
        .iter()
        .copied()
        .filter(|byte| matches!(byte, b' '..=b'~'))
        .collect();
    let format = Format::new(&printable);
    assert!(format.macros().all(<[u8]>::is_ascii));
    let line = format.expand(&values, Escaping::Line);
    let line = String::from_utf8(line).expect("what is no UTF-8 is escaped");
    assert!(!line.contains(char::is_control), "{line:?}");
    let reply = format.expand(&values, Escaping::Reply);
    assert!(reply.iter().all(|byte| matches!(byte, b' '..=b'~')));
    let header = format.expand(&values, Escaping::Header);
    let header = String::from_utf8(header).expect("what is no UTF-8 is escaped");
    let unfolded = header.replace("\r\n\t", "");
    assert!(!unfolded.contains(char::is_control), "{header:?}");
}
