//! What format strings say of sender, signatures and properties, by the real milter-greylist and by
//! `greylatch milter-greylist`.

use std::path::Path;

use anyhow::{Result, ensure};
use conformance::{
    Endpoint, GreylistHost, MilterClient, NameRecord, Offer, Whose, scratch_folder,
    start_name_server,
};

const CLIENT: &str = "mx.sender.example 192.0.2.9";
const BOTH: [Whose; 2] = [Whose::Real, Whose::Ours];

/// The key is that of RFC 8463 A.2.
const NAMES: &[(&str, NameRecord)] = &[
    ("pass.example", NameRecord::Txt("v=spf1 ip4:192.0.2.9 -all")),
    ("fail.example", NameRecord::Txt("v=spf1 -all")),
    ("soft.example", NameRecord::Txt("v=spf1 ~all")),
    ("neutral.example", NameRecord::Txt("v=spf1 ?all")),
    ("bad.example", NameRecord::Txt("v=spf1 ip4:999 -all")),
    (
        "lost.example",
        NameRecord::Txt("v=spf1 include:nowhere.example"),
    ),
    (
        "client.example",
        NameRecord::Txt("v=spf1 ip4:192.0.2.9 -all"),
    ),
    (
        "brisbane._domainkey.football.example.com",
        NameRecord::Txt("v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="),
    ),
];

/// Rules of which the first decides nothing: the original would look at no message.
const RULES: &str = "nospf\nracl whitelist addr 203.0.113.1\n";

fn open(folder: &Path) -> Result<MilterClient> {
    let socket = Endpoint::Unix(folder.join("socket"));
    let mut filter = MilterClient::connect(&socket)?;
    filter.negotiate(Offer::of_version(6))?;
    filter.macros('C', &[("j", "mx.test"), ("{if_addr}", "127.0.0.1")])?;
    filter.greet(CLIENT)?;
    filter.macros('M', &[("i", "Q1")])?;
    Ok(filter)
}

/// What both say of each case under the rules, with a name server at 127.0.53.N.
fn ensure_both_say<C>(
    (rules, server): (&str, u8),
    cases: &[(C, &str)],
    ask: impl Fn(&mut MilterClient, &C) -> Result<String>,
) -> Result<()> {
    let names = scratch_folder()?;
    start_name_server([127, 0, 53, server].into(), NAMES, names.path())?;
    for whose in BOTH {
        let folder = scratch_folder()?;
        let conf = format!("{RULES}{rules}");
        let host = GreylistHost::start_within(whose, folder.path(), &conf, names.path())?;
        for (case, expected) in cases {
            let said = ask(&mut open(folder.path())?, case)?;
            ensure!(said == *expected, "{whose:?}: {said}, not {expected}");
        }
        host.stop()?;
    }
    Ok(())
}

#[test]
fn what_spf_says_of_a_sender() -> Result<()> {
    let tail = |word: &str, why: &str, sender: &str| {
        format!(
            "y551 5.7.1 {word} {word} ({why}) client-ip=192.0.2.9; envelope-from={sender}; \
             helo=client.example;\\x00"
        )
    };
    let domain = |word: &str, what: &str, name: &str, does: &str| {
        let why = format!("mx.test: {what}domain of {name} {does}");
        tail(word, &why, &format!("a@{name}"))
    };
    let names = "designates 192.0.2.9 as permitted sender";
    let names_not = "does not designate 192.0.2.9 as permitted sender";
    let neither = "mx.test: 192.0.2.9 is neither permitted nor denied by domain of neutral.example";
    let of_helo = "mx.test: domain of client.example designates 192.0.2.9 as permitted sender";
    let replies = [
        domain("pass", "", "pass.example", names),
        domain("fail", "", "fail.example", names_not),
        domain("softfail", "transitioning ", "soft.example", names_not),
        tail("neutral", neither, "a@neutral.example"),
        domain("none", "", "none.example", "does not provide an SPF record"),
        tail("pass", of_helo, "postmaster@client.example"),
        "y551 5.7.1 unknown \\x00".to_owned(),
    ];
    let senders = [
        "a@pass.example",
        "a@fail.example",
        "a@soft.example",
        "a@neutral.example",
        "a@none.example",
        "",
        "a@bad.example",
    ];
    let cases: Vec<(&str, &str)> = senders
        .into_iter()
        .zip(replies.iter().map(String::as_str))
        .collect();
    let rules = "racl continue spf fail\nracl blacklist default msg \"%Qs %QS\"\n";
    ensure_both_say((rules, 3), &cases, |filter, sender| {
        Ok(filter.envelope(sender, &["b@y.example"])?.concat())
    })
}

#[test]
fn a_record_of_spf_that_leads_nowhere_is_an_error() -> Result<()> {
    let rules = "racl blacklist spf unknown msg \"U %Qs\"\nracl blacklist spf error msg \"E %Qs\"\n\
                 racl blacklist default msg \"D %Qs\"\n";
    let cases = [
        ("a@bad.example", "y551 5.7.1 U unknown\\x00"),
        ("a@lost.example", "y551 5.7.1 E permerror\\x00"),
        ("root", "y551 5.7.1 D none\\x00"),
        ("a@[192.0.2.9]", "y551 5.7.1 D none\\x00"),
    ];
    ensure_both_say((rules, 4), &cases, |filter, sender| {
        Ok(filter.envelope(sender, &["b@y.example"])?.concat())
    })
}

/// Source: the key of RFC 8463.
const SIGNED: &str = "v=1; a=ed25519-sha256; s=brisbane; d=football.example.com; c=simple/simple;\n\
     \th=Subject:From; t=1795706384; bh=VC+uUbnwloZ6dPxFmJtsBXku0lq7kbIU6LfntU3W66\n\
     \tw=; b=0Q32U+veTKwvCqsZDuX7Pt6tN/f0AKNssj3eB/m7iMfzli6sNex1cdEloCfNhDjxYC6aR\n\
     \tQ7YX52X3nvX1xiTBA==;";

/// The value of the header `A` that a message gets.
fn header_of(filter: &mut MilterClient, (signature, body): &(String, &str)) -> Result<String> {
    filter.envelope("a@pass.example", &["b@y.example"])?;
    filter.ask('T', b"")?;
    let signed = [("DKIM-Signature", &signature[..])];
    let signed = signed.into_iter().filter(|(_, value)| !value.is_empty());
    for (name, value) in signed.chain([
        ("From", "a@football.example.com"),
        ("Subject", "folded\n\tonce"),
    ]) {
        filter.ask('L', format!("{name}\0{value}\0").as_bytes())?;
    }
    filter.ask('N', b"")?;
    filter.ask('B', body.as_bytes())?;
    let answers = filter.ask('E', b"")?;
    let own = answers
        .iter()
        .find_map(|answer| answer.strip_prefix("hA\\x00"));
    // An MTA takes a line end from a filter as a line feed.
    Ok(own.unwrap_or("none").replace("\\r\\n\\t", "\\n\\t"))
}

#[test]
fn what_was_checked_of_a_message_stands_in_a_header() -> Result<()> {
    let rules = "racl continue spf fail\nracl whitelist default\ndacl continue dkim pass\n\
                 dacl whitelist default addheader \"A: %QA; %Qd\"\n";
    let body = "Hi.\r\n\r\n..\r\n";
    let changed = |old: &str, new: &str| SIGNED.replace(old, new);
    let spf = "mx.test;\\n\\tspf=pass smtp.mailfrom=a@pass.example;\\n\\tdkim=";
    let told = |word: &str, signer: &str| format!("{spf}{word}{signer}; {word}\\x00");
    let signer = " header.d=football.example.com";
    let expected = [
        told("pass", signer),
        told("fail", signer),
        told("temperror", signer),
        told("neutral", signer),
        told("none", ""),
    ];
    let messages = [
        (SIGNED.to_owned(), body),
        (SIGNED.to_owned(), "Ho.\r\n"),
        (changed("brisbane", "sydney"), body),
        (changed("t=1795706384", "t=1600000000; x=1600000001"), body),
        (String::new(), body),
    ];
    let cases: Vec<((String, &str), &str)> = messages
        .into_iter()
        .zip(expected.iter().map(String::as_str))
        .collect();
    ensure_both_say((rules, 5), &cases, header_of)
}

#[test]
fn the_property_that_matched_last_is_named_until_the_message_ends() -> Result<()> {
    let rules = "extendedregex\nracl whitelist rcpt b@y.example set $n = \"5\" set $p = \"Xy\"\n\
                 racl continue $p \"xY\"\nracl continue $n >= 3\n\
                 racl blacklist rcpt bl@y.example msg \"%pn %pv %pr|%P{n}\"\nracl whitelist default\n\
                 dacl continue set $z = \"a\"\ndacl continue $z \"a\"\n\
                 dacl blacklist default msg \"%pn %pv %pr|%P{n}\"\n";
    let cases = [(
        ["b@y.example", "bl@y.example", "c@y.example"],
        "c y551 5.7.1 p Xy <b@y.example>|5\\x00 c y551 5.7.1 z a |5\\x00",
    )];
    ensure_both_say((rules, 6), &cases, |filter, recipients| {
        let mut said = filter.envelope("a@x.example", recipients)?;
        said.extend(filter.content()?);
        Ok(said.join(" "))
    })
}

/// The original ends here.
#[test]
fn where_no_property_has_matched_none_is_named() -> Result<()> {
    let folder = scratch_folder()?;
    let rules = "nospf\nracl blacklist default msg \"[%pn %pv %pr]\"\n";
    let host = GreylistHost::start(Whose::Ours, folder.path(), rules, None)?;
    let said = host.ask(CLIENT, "a@x.example", "b@y.example")?;
    ensure!(said == "y551 5.7.1 [  ]\\x00", "{said}");
    host.stop()?;
    Ok(())
}
