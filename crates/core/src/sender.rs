//! Sender identities: what stays the same when one sender's address changes with every message.

use std::borrow::Cow;

/// Adds the sender as Postgrey 1.37 keys it, before lower-casing: a BATV tag is taken off, then
/// an extension, then numbers that stand alone become `#`.
pub(crate) fn push_postgrey_sender(out: &mut Vec<u8>, sender: &[u8]) {
    let (user, domain) = parted(sender);
    let user = domain.map_or(user, |_| without_prvs(user));
    push_numbered(out, user, domain);
}

/// Adds the sender as Postgrey keyed it before it knew of BATV, and as postgreyreport 1.14.3 still
/// does, before lower-casing: without its extension, `#` for numbers that stand alone.
pub fn push_early_postgrey_sender(out: &mut Vec<u8>, sender: &[u8]) {
    let (user, domain) = parted(sender);
    push_numbered(out, user, domain);
}

/// A sender before its first `@`, and from there on.
fn parted(sender: &[u8]) -> (&[u8], Option<&[u8]>) {
    match sender.iter().position(|byte| *byte == b'@') {
        Some(at) => (&sender[..at], Some(&sender[at..])),
        None => (sender, None),
    }
}

/// Adds a user without extension and numbers, and its domain; a sender without a domain as it is.
fn push_numbered(out: &mut Vec<u8>, user: &[u8], domain: Option<&[u8]>) {
    let Some(domain) = domain else {
        out.extend_from_slice(user);
        return;
    };
    number_words(before(user, b'+'), out);
    out.extend_from_slice(domain);
}

/// Adds the sender as milter-greylist 4.6 keys it, before lower-casing: without all up to the last
/// `=`, and `_` for each blank and each byte that is no printable ASCII.
pub(crate) fn push_milter_greylist_sender(out: &mut Vec<u8>, sender: &[u8]) {
    let tags = sender.iter().rposition(|byte| *byte == b'=');
    let bare = tags.map_or(sender, |last| &sender[last + 1..]);
    push_milter_greylist_recipient(out, bare);
}

/// Adds a recipient in the same way.
pub(crate) fn push_milter_greylist_recipient(out: &mut Vec<u8>, recipient: &[u8]) {
    let printable = |byte: &u8| if byte.is_ascii_graphic() { *byte } else { b'_' };
    out.extend(recipient.iter().map(printable));
}

/// `prvs=TAG=user` and `prvs=user=TAG` without the tag, as Postgrey takes it off.
fn without_prvs(user: &[u8]) -> &[u8] {
    if !user.starts_with(b"prvs=") {
        return user;
    }
    let filled = user
        .iter()
        .rposition(|byte| *byte != b'=')
        .map_or(0, |last| last + 1);
    let fields: Vec<&[u8]> = user[..filled].split(|byte| *byte == b'=').collect();
    let [_, one, two] = fields[..] else {
        return user;
    };
    let taglike = |field: &[u8]| {
        let run = field
            .iter()
            .take_while(|byte| byte.is_ascii_digit() || byte.is_ascii_lowercase());
        run.count() >= 10
    };
    if taglike(two) && !taglike(one) {
        one
    } else {
        two
    }
}

/// Copies `text`, each run of digits that is a whole word replaced by one `#`.
fn number_words(text: &[u8], out: &mut Vec<u8>) {
    let is_word = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    for word in text.chunk_by(|a, b| is_word(a) == is_word(b)) {
        if word.iter().all(u8::is_ascii_digit) {
            out.push(b'#');
        } else {
            out.extend_from_slice(word);
        }
    }
}

/// Adds the sender as our own school keys it, in lower case: SRS addresses are unwrapped to the
/// original sender, every spelling of BATV loses its tag, the recipient written into the sender
/// (VERP) and every token that counts or identifies one message become `#`, and extensions go.
///
/// Source: the Sender Rewriting Scheme (libsrs2: separators `=`, `+`, `-`; SRS0 and SRS1 forms),
/// draft-levine-smtp-batv-01 ("prvs"), and the senders listed in issues of greylisting programs
/// whose retries never matched.
pub(crate) fn push_native_sender(out: &mut Vec<u8>, sender: &[u8], recipient: &[u8]) {
    let lower = sender.to_ascii_lowercase();
    let unwrapped = unwrap_srs(&lower).unwrap_or(lower);
    let Some(at) = unwrapped.iter().rposition(|byte| *byte == b'@') else {
        out.extend_from_slice(&unwrapped);
        return;
    };
    let (user, domain) = unwrapped.split_at(at);
    tokens(stem(&without_recipient(without_batv(user), recipient)), out);
    out.extend_from_slice(domain);
}

/// `srs0=hash=time=domain=user@forwarder` and
/// `srs1=hash=first==hash=time=domain=user@forwarder` as `user@domain`.
fn unwrap_srs(sender: &[u8]) -> Option<Vec<u8>> {
    let at = sender.iter().rposition(|byte| *byte == b'@')?;
    let user = &sender[..at];
    let (scheme, rest) = user.split_at_checked(4)?;
    let (separator, rest) = rest.split_first()?;
    if !matches!(separator, b'=' | b'+' | b'-') {
        return None;
    }
    let inner = match scheme {
        b"srs0" => rest,
        b"srs1" => {
            let mut fields = rest.splitn(3, |byte| *byte == b'=');
            let opaque = fields.nth(2)?;
            let (separator, inner) = opaque.split_first()?;
            if !matches!(separator, b'=' | b'+' | b'-') {
                return None;
            }
            inner
        }
        _ => return None,
    };
    let mut fields = inner.splitn(4, |byte| *byte == b'=');
    let (_hash, _time) = (fields.next()?, fields.next()?);
    let (domain, user) = (fields.next()?, fields.next()?);
    (!domain.is_empty() && !user.is_empty()).then(|| [user, b"@", domain].concat())
}

/// A local part without its BATV tag: `prvs=tag=user`, `prvs=user=tag`, `prvs=user/tag`,
/// `btv1==tag==user`, `msprvs1=tag=user`.
fn without_batv(user: &[u8]) -> &[u8] {
    if let Some(rest) = user.strip_prefix(b"btv1==") {
        let end = rest.windows(2).position(|pair| pair == b"==");
        return end.map_or(user, |end| &rest[end + 2..]);
    }
    let tagged = [&b"prvs="[..], b"msprvs1="];
    let Some(rest) = tagged.iter().find_map(|tag| user.strip_prefix(*tag)) else {
        return user;
    };
    let Some(split) = rest.iter().position(|byte| matches!(byte, b'=' | b'/')) else {
        return user;
    };
    let (one, two) = (&rest[..split], &rest[split + 1..]);
    let (kept, tag) = if is_batv_tag(two) && !is_batv_tag(one) {
        (one, two)
    } else {
        (two, one)
    };
    if kept.is_empty() || tag.is_empty() {
        user
    } else {
        kept
    }
}

/// Ten letters and digits with at least four digits: key number, day, and a hash.
fn is_batv_tag(field: &[u8]) -> bool {
    field.len() >= 10
        && field.iter().all(u8::is_ascii_alphanumeric)
        && field.iter().filter(|byte| byte.is_ascii_digit()).count() >= 4
}

/// The local part with the recipient written as `user=domain` (VERP) replaced by `#`.
fn without_recipient<'a>(user: &'a [u8], recipient: &[u8]) -> Cow<'a, [u8]> {
    // Most senders are shorter than that.
    if recipient.len() < 3 || user.len() < recipient.len() || !recipient.contains(&b'@') {
        return Cow::Borrowed(user);
    }
    let verp: Vec<u8> = recipient
        .iter()
        .map(|byte| match byte {
            b'@' => b'=',
            byte => byte.to_ascii_lowercase(),
        })
        .collect();
    match user.windows(verp.len()).position(|window| window == verp) {
        Some(start) => [&user[..start], b"#", &user[start + verp.len()..]]
            .concat()
            .into(),
        None => Cow::Borrowed(user),
    }
}

/// The local part before its extension; one that begins with `+` is kept whole.
fn stem(user: &[u8]) -> &[u8] {
    match before(user, b'+') {
        [] => user,
        stem => stem,
    }
}

fn before(text: &[u8], end: u8) -> &[u8] {
    let length = text
        .iter()
        .position(|byte| *byte == end)
        .unwrap_or(text.len());
    &text[..length]
}

/// Copies `text`, each token that stands for one message or one mailbox replaced by `#`.
fn tokens(text: &[u8], out: &mut Vec<u8>) {
    for token in text.chunk_by(|a, b| a.is_ascii_alphanumeric() == b.is_ascii_alphanumeric()) {
        if is_counter(token) {
            out.push(b'#');
        } else {
            out.extend_from_slice(token);
        }
    }
}

/// Whether a token is a number, a hexadecimal number of six digits or more, or a mixture of
/// letters and digits too long for a name.
fn is_counter(token: &[u8]) -> bool {
    let digits = token.iter().filter(|byte| byte.is_ascii_digit()).count();
    let hexadecimal = token.iter().all(u8::is_ascii_hexdigit);
    digits > 0
        && token.iter().all(u8::is_ascii_alphanumeric)
        && (digits == token.len()
            || (hexadecimal && token.len() >= 6)
            || (token.len() >= 10 && digits >= 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keyed(sender: &str) -> String {
        let mut keyed = Vec::new();
        push_postgrey_sender(&mut keyed, sender.as_bytes());
        String::from_utf8(keyed.to_ascii_lowercase()).expect("the vectors are UTF-8")
    }

    fn native(sender: &str, recipient: &str) -> String {
        let mut normal = Vec::new();
        push_native_sender(&mut normal, sender.as_bytes(), recipient.as_bytes());
        String::from_utf8(normal).expect("the vectors are UTF-8")
    }

    #[test]
    fn postgreys_vectors_hold() {
        let vectors = [
            (
                "Bounce-123-45_67+foo@List7.example.NET",
                "bounce-#-45_67@list7.example.net",
            ),
            ("12.34@x", "#.#@x"),
            ("a12-34b@x", "a12-34b@x"),
            ("user=123=abc@x", "user=#=abc@x"),
            ("1-2-3.4_5@c", "#-#-#.4_5@c"),
            ("x_1_2@c", "x_1_2@c"),
            ("x-1_2@c", "x-1_2@c"),
            ("2024-01-02T03@c", "#-#-02t03@c"),
            ("é12@x", "é#@x"),
            ("prvs=1234567890=u@x", "u@x"),
            ("prvs=ABCDEF1234=u@x", "u@x"),
            ("prvs=123=u@x", "u@x"),
            ("prvs=u=1234567890@x", "u@x"),
            ("prvs=1234567890=u+ext-99@x", "u@x"),
            ("prvs=abcdefghijkl=1234567890@x", "#@x"),
            ("prvs=1234567890=u=v@x", "prvs=#=u=v@x"),
            ("prvs=1234567890=@x", "prvs=#=@x"),
            ("PRVS=1234567890=u@x", "prvs=#=u@x"),
            ("btv1==123456789ab==user@c", "btv1==123456789ab==user@c"),
            ("msprvs1=123abc=bounces-12@c", "msprvs1=123abc=bounces-#@c"),
            ("SRS0=abcd=12=ex.org=joe@f", "srs0=abcd=#=ex.org=joe@f"),
            ("a@b@c", "a@b@c"),
            ("+x@y", "@y"),
            ("@y", "@y"),
            ("y@", "y@"),
            ("nodomain+ext", "nodomain+ext"),
            ("", ""),
        ];
        for (sender, expected) in vectors {
            assert_eq!(keyed(sender), expected, "{sender}");
        }
    }

    #[test]
    fn early_postgrey_knows_no_batv() {
        for (sender, expected) in [
            ("prvs=1234567890=u@x", "prvs=#=u@x"),
            ("Bounce-123-45_67+foo@List7.x", "Bounce-#-45_67@List7.x"),
            ("nodomain+ext12", "nodomain+ext12"),
            ("a12-3@b-4@c-5", "a12-#@b-4@c-5"),
        ] {
            let mut known = Vec::new();
            push_early_postgrey_sender(&mut known, sender.as_bytes());
            assert_eq!(String::from_utf8(known).expect("UTF-8"), expected);
        }
    }

    #[test]
    fn our_school_sees_through_srs_batv_and_verp() {
        let vectors = [
            (
                "SRS0=HHH=TT=example.org=Alice@fwd.example",
                "alice@example.org",
            ),
            (
                "SRS0+4oX3=5B=example.org=alice@fwd.example",
                "alice@example.org",
            ),
            (
                "SRS1=HHH=fwd.example==GGG=TT=example.org=alice@two.example",
                "alice@example.org",
            ),
            ("SRS0=short@fwd.example", "srs0=short@fwd.example"),
            ("prvs=1234567890=user@c.example", "user@c.example"),
            ("PRVS=user=1234567890@c.example", "user@c.example"),
            ("prvs=user/1234567890@c.example", "user@c.example"),
            ("btv1==123456789ab==user@c.example", "user@c.example"),
            ("msprvs1=17654abcdEF12=user@c.example", "user@c.example"),
            ("prvs=@c.example", "prvs=@c.example"),
            (
                "list-owner+bob=example.net@l.example",
                "list-owner@l.example",
            ),
            ("bounces-bob=example.net@l.example", "bounces-#@l.example"),
            (
                "bounce-md_10612303.5adf1f70.v1-a1b2@m.example",
                "bounce-md_#.#.v1-a1b2@m.example",
            ),
            (
                "010101856d1d2f3a-1f2e-000000@ses.example",
                "#-1f2e-#@ses.example",
            ),
            ("x7k2m9q4w8z1@t.example", "#@t.example"),
            ("john1985@c.example", "john1985@c.example"),
            ("facade@c.example", "facade@c.example"),
            ("+x@y.example", "+x@y.example"),
            ("a@b@c.example", "a@b@c.example"),
            ("", ""),
        ];
        for (sender, expected) in vectors {
            assert_eq!(native(sender, "Bob@Example.net"), expected, "{sender}");
        }
    }
}
