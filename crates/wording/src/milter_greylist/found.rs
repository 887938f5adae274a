//! What has been found out about the sender of a message and its signatures, as format strings say it
//! (`%D`, `%C`, `%Qs`, `%Qd`, `%QA`, `%QS`).
//!
//! Source: milter-greylist 4.6.4 with libspf2 1.2.10 and libopendkim 2.11 as observed by running it.

use super::FormatValues;

/// What has been found out about a message; what nobody asked, or nobody could tell, is not there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FoundOut {
    /// What the sender's domain says of the client.
    pub spf: Option<SpfFound>,
    /// What the signatures are worth.
    pub dkim: Option<DkimFound>,
    /// The domain of the signature that this is said of; empty where there is none.
    pub signer: Vec<u8>,
    /// The names of the DNS lists that have the client, with commas between.
    pub dns_lists: Vec<u8>,
    /// The code of the client's country.
    pub country: Vec<u8>,
}

/// The result of an SPF check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpfFound {
    /// The domain names the client.
    Pass,
    /// The domain names others only.
    Fail,
    /// The domain names others, and is not sure yet.
    SoftFail,
    /// The domain says nothing of the client.
    Neutral,
    /// The domain has no SPF record.
    None,
    /// Its record cannot be read.
    Unreadable,
    /// Its record leads nowhere, or too far.
    PermError,
    /// A name server failed.
    TempError,
}

/// The result of a DKIM check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DkimFound {
    /// A signature is right.
    Pass,
    /// Text and signature do not belong together, or its key was revoked.
    Fail,
    /// There is no signature.
    None,
    /// A signature cannot be checked: it has expired, or says what is not understood, as its key may.
    Neutral,
    /// There is no key.
    NoKey,
}

impl FoundOut {
    pub(super) fn spf_word(&self) -> &'static [u8] {
        match self.spf {
            Some(SpfFound::Pass) => b"pass",
            Some(SpfFound::Fail) => b"fail",
            Some(SpfFound::SoftFail) => b"softfail",
            Some(SpfFound::Neutral) => b"neutral",
            Some(SpfFound::None) => b"none",
            Some(SpfFound::Unreadable) => b"unknown",
            Some(SpfFound::PermError) => b"permerror",
            Some(SpfFound::TempError) => b"temperror",
            None => b"",
        }
    }

    pub(super) fn dkim_word(&self) -> &'static [u8] {
        match self.dkim {
            Some(DkimFound::Pass) => b"pass",
            Some(DkimFound::Fail) => b"fail",
            Some(DkimFound::None) => b"none",
            Some(DkimFound::Neutral) => b"neutral",
            Some(DkimFound::NoKey) => b"temperror",
            None => b"",
        }
    }
}

/// The value of an `Authentication-Results` header, folded before each result.
///
/// Source: RFC 8601 §2.2.
pub(super) fn authentication_results(values: &FormatValues<'_>) -> Vec<u8> {
    let mut value = values.signature.host.to_vec();
    let found = values
        .found
        .filter(|found| found.spf.is_some() || found.dkim.is_some());
    let Some(found) = found else {
        value.extend_from_slice(b"; none");
        return value;
    };
    if found.spf.is_some() {
        let sender = unbracketed(values.sender);
        let parts = [b";\r\n\tspf=", found.spf_word(), b" smtp.mailfrom=", sender];
        value.extend_from_slice(&parts.concat());
    }
    if found.dkim.is_some() {
        value.extend_from_slice(&[b";\r\n\tdkim=", found.dkim_word()].concat());
        if !found.signer.is_empty() {
            value.extend_from_slice(&[b" header.d=", &found.signer[..]].concat());
        }
    }
    value
}

/// The value of a `Received-SPF` header; empty where there is no result, or none of a record that could
/// be read.
///
/// Source: RFC 7208 §9.1.
pub(super) fn received_spf(values: &FormatValues<'_>) -> Vec<u8> {
    let (Some(found), Some(client)) = (values.found, values.client) else {
        return Vec::new();
    };
    let sender = unbracketed(values.sender);
    let domain = match sender.iter().rposition(|byte| *byte == b'@') {
        Some(at) => &sender[at + 1..],
        None if sender.is_empty() => values.helo,
        None => sender,
    };
    let ip = client.to_string();
    let ip = ip.as_bytes();
    let why = match found.spf {
        Some(SpfFound::Pass) if client.is_loopback() => b"localhost is always allowed.".to_vec(),
        Some(SpfFound::Pass) => told(domain, b" designates ", ip, b" as permitted sender"),
        Some(SpfFound::Fail) => told(domain, b" does not designate ", ip, b" as permitted sender"),
        Some(SpfFound::SoftFail) => {
            let not = told(domain, b" does not designate ", ip, b" as permitted sender");
            [&b"transitioning "[..], &not].concat()
        }
        Some(SpfFound::Neutral) => [
            ip,
            b" is neither permitted nor denied by domain of ",
            domain,
        ]
        .concat(),
        Some(SpfFound::None) => told(domain, b" does not provide an SPF record", b"", b""),
        Some(SpfFound::PermError | SpfFound::TempError) => {
            let of_domain = told(domain, b"", b"", b"");
            [b"error in processing during lookup of ", &of_domain[..]].concat()
        }
        Some(SpfFound::Unreadable) | None => return Vec::new(),
    };
    let mailbox = match sender.contains(&b'@') {
        true => sender.to_vec(),
        false => [b"postmaster@", domain].concat(),
    };
    [
        found.spf_word(),
        b" (",
        values.signature.host,
        b": ",
        &why,
        b") client-ip=",
        ip,
        b"; envelope-from=",
        &mailbox,
        b"; helo=",
        values.helo,
        b";",
    ]
    .concat()
}

/// `domain of D` and what it does.
fn told(domain: &[u8], does: &[u8], whom: &[u8], as_what: &[u8]) -> Vec<u8> {
    [b"domain of ", domain, does, whom, as_what].concat()
}

fn unbracketed(address: &[u8]) -> &[u8] {
    let address = address.strip_prefix(b"<").unwrap_or(address);
    address.strip_suffix(b">").unwrap_or(address)
}

#[cfg(test)]
mod tests {
    use super::super::{Escaping, Format, Signature};
    use super::*;

    fn local_time(_: &str) -> String {
        String::new()
    }

    fn values(found: &FoundOut) -> FormatValues<'_> {
        FormatValues {
            client: Some([192, 0, 2, 9].into()),
            helo: b"client.example",
            sender: b"<a@x.example>",
            found: Some(found),
            ..FormatValues::new(Signature {
                product: "milter-greylist",
                version: "4.6.4",
                host: b"mx.test",
                address: b"",
                local_time: &local_time,
            })
        }
    }

    fn expanded(format: &str, values: &FormatValues<'_>) -> String {
        let text = Format::new(format.as_bytes()).expand(values, Escaping::Header);
        String::from_utf8(text).expect("UTF-8")
    }

    fn spf(spf: SpfFound) -> FoundOut {
        FoundOut {
            spf: Some(spf),
            ..FoundOut::default()
        }
    }

    #[test]
    fn received_spf_has_the_words_of_the_original() {
        let tail = "client-ip=192.0.2.9; envelope-from=a@x.example; helo=client.example;";
        for (result, word, why) in [
            (
                SpfFound::Pass,
                "pass",
                "domain of x.example designates 192.0.2.9 as permitted sender",
            ),
            (
                SpfFound::Fail,
                "fail",
                "domain of x.example does not designate 192.0.2.9 as permitted sender",
            ),
            (
                SpfFound::SoftFail,
                "softfail",
                "transitioning domain of x.example does not designate 192.0.2.9 as permitted sender",
            ),
            (
                SpfFound::Neutral,
                "neutral",
                "192.0.2.9 is neither permitted nor denied by domain of x.example",
            ),
            (
                SpfFound::None,
                "none",
                "domain of x.example does not provide an SPF record",
            ),
            (
                SpfFound::PermError,
                "permerror",
                "error in processing during lookup of domain of x.example",
            ),
            (
                SpfFound::TempError,
                "temperror",
                "error in processing during lookup of domain of x.example",
            ),
        ] {
            let found = spf(result);
            let values = values(&found);
            assert_eq!(expanded("%Qs", &values), word);
            assert_eq!(
                expanded("%QS", &values),
                format!("{word} (mx.test: {why}) {tail}")
            );
        }
        let found = spf(SpfFound::Unreadable);
        assert_eq!(expanded("%Qs|%QS", &values(&found)), "unknown|");
    }

    #[test]
    fn received_spf_names_whom_the_check_was_about() {
        let found = spf(SpfFound::Pass);
        for (sender, mailbox, domain) in [
            (&b"<>"[..], "postmaster@client.example", "client.example"),
            (b"<root>", "postmaster@root", "root"),
            (b"<\"a@b\"@x>", "\"a@b\"@x", "x"),
        ] {
            let values = FormatValues {
                sender,
                ..values(&found)
            };
            assert_eq!(
                expanded("%QS", &values),
                format!(
                    "pass (mx.test: domain of {domain} designates 192.0.2.9 as permitted sender) \
                     client-ip=192.0.2.9; envelope-from={mailbox}; helo=client.example;"
                )
            );
        }
        let local = FormatValues {
            client: Some([127, 0, 0, 1].into()),
            ..values(&found)
        };
        let told = expanded("%QS", &local);
        assert!(
            told.starts_with("pass (mx.test: localhost is always allowed.) client-ip=127.0.0.1;")
        );
    }

    #[test]
    fn authentication_results_tell_what_was_checked() {
        let dkim = |dkim, signer: &[u8]| FoundOut {
            dkim: Some(dkim),
            signer: signer.to_vec(),
            ..FoundOut::default()
        };
        let both = FoundOut {
            spf: Some(SpfFound::Pass),
            ..dkim(DkimFound::None, b"")
        };
        for (found, expected) in [
            (FoundOut::default(), "mx.test; none"),
            (
                both,
                "mx.test;\r\n\tspf=pass smtp.mailfrom=a@x.example;\r\n\tdkim=none",
            ),
            (
                dkim(DkimFound::Pass, b"s.example"),
                "mx.test;\r\n\tdkim=pass header.d=s.example",
            ),
            (
                dkim(DkimFound::Fail, b"s.example"),
                "mx.test;\r\n\tdkim=fail header.d=s.example",
            ),
            (dkim(DkimFound::Neutral, b""), "mx.test;\r\n\tdkim=neutral"),
            (
                dkim(DkimFound::NoKey, b"s.example"),
                "mx.test;\r\n\tdkim=temperror header.d=s.example",
            ),
        ] {
            assert_eq!(expanded("%QA", &values(&found)), expected);
        }
    }

    /// Symptom to be kept away: a sender writes a header of its own.
    #[test]
    fn nothing_from_outside_ends_the_header() {
        let found = FoundOut {
            signer: b"s\r\nX: y".to_vec(),
            dkim: Some(DkimFound::Fail),
            ..spf(SpfFound::Fail)
        };
        let values = FormatValues {
            sender: b"<a\r\nX: y@x>",
            helo: b"h\nX: y",
            ..values(&found)
        };
        let text = expanded("%QA%QS", &values);
        let folds = text.replace("\r\n\t", "");
        assert!(!folds.contains(['\r', '\n']), "{text:?}");
    }
}
