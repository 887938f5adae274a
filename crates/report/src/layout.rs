//! How postgreyreport prints what never made it, byte for byte; but control characters and broken
//! UTF-8 leave here escaped.
//!
//! Source: postgreyreport 1.14.3 as observed by running it.

use greylatch_wording::{escape, escaped};

use crate::fatal::FatalTriplet;

/// What is shown, and how.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Layout {
    /// Under a line for each client; otherwise each triplet is one line for itself.
    pub grouped: bool,
    /// With the time of the last deferral; only in lines for themselves.
    pub show_time: bool,
    /// With the number of deferrals.
    pub show_tries: bool,
    /// A tab between fields instead of spaces and columns; only in lines for themselves.
    pub tab: bool,
    /// With a column for what the sender's domain says of the client.
    pub check_sender: bool,
    /// Printed before the first of each network.
    pub separate_by_network: Option<String>,
    /// Printed before the first of each address, unless the network's is.
    pub separate_by_address: Option<String>,
}

/// A report under way.
#[derive(Debug)]
pub struct Printer<'a> {
    layout: &'a Layout,
    before: Option<Before>,
}

/// Whom the triplet before was from.
#[derive(Debug)]
struct Before {
    address: Vec<u8>,
    network: Vec<u8>,
    of_network: bool,
}

impl<'a> Printer<'a> {
    /// Nothing has been printed.
    #[must_use]
    pub fn new(layout: &'a Layout) -> Self {
        Self {
            layout,
            before: None,
        }
    }

    /// Appends the next triplet; `checked` is for the column of [`Layout::check_sender`].
    pub fn print(&mut self, out: &mut Vec<u8>, triplet: &FatalTriplet<'_>, checked: &str) {
        let address = triplet.client_address();
        let (network, of_network) = triplet.network();
        let (new_address, new_network) = match &self.before {
            None => (true, true),
            Some(before) => (
                before.address != address,
                (before.network.as_slice(), before.of_network) != (network, of_network),
            ),
        };
        let layout = self.layout;
        match (&layout.separate_by_network, &layout.separate_by_address) {
            (Some(text), _) if new_network => out.extend_from_slice(text.as_bytes()),
            (_, Some(text)) if new_address => out.extend_from_slice(text.as_bytes()),
            _ => {}
        }
        if layout.grouped {
            if new_address {
                self.head(out, triplet);
            }
            self.member(out, triplet, checked);
        } else {
            self.line(out, triplet, checked);
        }
        if new_address || new_network {
            self.before = Some(Before {
                address: address.to_vec(),
                network: network.to_vec(),
                of_network,
            });
        }
    }

    fn head(&self, out: &mut Vec<u8>, triplet: &FatalTriplet<'_>) {
        let name = escaped(triplet.client_name());
        let address = escaped(triplet.client_address());
        let line = format!(
            "{} {}\n",
            padded(&name, Side::Right, 77),
            right(&address, 15)
        );
        out.extend_from_slice(line.as_bytes());
    }

    fn member(&self, out: &mut Vec<u8>, triplet: &FatalTriplet<'_>, checked: &str) {
        let checked = if self.layout.check_sender {
            right(checked, 5)
        } else {
            " ".repeat(5)
        };
        let tries = if self.layout.show_tries {
            right(&triplet.tries().to_string(), 2)
        } else {
            " ".repeat(2)
        };
        let sender = right(&escaped(triplet.sender()), 40);
        let recipient = right(&escaped(triplet.recipient()), 40);
        let line = format!("{checked}  {tries}  {sender}  {recipient} \n");
        out.extend_from_slice(line.as_bytes());
    }

    fn line(&self, out: &mut Vec<u8>, triplet: &FatalTriplet<'_>, checked: &str) {
        let layout = self.layout;
        let mut column = |text: &[u8], width: usize, end: u8| {
            let filling = if layout.tab { 0 } else { width };
            out.resize(out.len() + filling.saturating_sub(text.len()), b' ');
            escape(out, text);
            out.push(end);
        };
        let between = if layout.tab { b'\t' } else { b' ' };
        if layout.show_time {
            column(triplet.stamp(), 0, between);
        }
        if layout.show_tries {
            column(triplet.tries().to_string().as_bytes(), 0, between);
        }
        if layout.check_sender {
            column(checked.as_bytes(), 5, between);
        }
        column(triplet.client_address(), 15, between);
        column(triplet.client_name(), 0, between);
        column(triplet.sender(), 0, between);
        column(triplet.recipient(), 0, b'\n');
    }
}

/// Where a text is filled up with spaces.
#[derive(Clone, Copy)]
enum Side {
    Left,
    Right,
}

fn right(text: &str, width: usize) -> String {
    padded(text, Side::Left, width)
}

/// A text filled up to so many bytes.
fn padded(text: &str, side: Side, width: usize) -> String {
    let filling = " ".repeat(width.saturating_sub(text.len()));
    match side {
        Side::Left => filling + text,
        Side::Right => text.to_owned() + &filling,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fatal::FatalTriplets;
    use crate::formed::FormedTriplets;
    use crate::postfix::Deferred;

    /// What is printed of four deferrals, of which two are of one triplet.
    fn printed(layout: &Layout, checked: &str) -> String {
        let mut triplets = FatalTriplets::new();
        let former = triplets.former();
        let mut formed = FormedTriplets::default();
        for (name, address, sender) in [
            ("mx.fatal.example", "192.0.2.11", "bounce-1@fatal.example"),
            ("mx.fatal.example", "192.0.2.10", "spam\x1b@fatal.example"),
            ("mx.iso.example", "192.0.3.17", "iso@iso.example"),
            ("mx.fatal.example", "192.0.2.11", "bounce-2@fatal.example"),
        ] {
            let deferred = Deferred {
                client_name: name.as_bytes(),
                client_address: address.as_bytes(),
                sender: sender.as_bytes(),
                recipient: b"bob@example.org",
            };
            former.form(&deferred, b"Nov 14 22:15:20 mail", &mut formed);
        }
        triplets.count(&mut formed).expect("there is room");
        let mut printer = Printer::new(layout);
        let mut out = Vec::new();
        for triplet in triplets.fatal() {
            printer.print(&mut out, &triplet, checked);
        }
        String::from_utf8(out).expect("what is no UTF-8 is escaped")
    }

    #[test]
    fn a_line_for_each_is_in_columns_or_between_tabs() {
        assert_eq!(
            printed(&Layout::default(), ""),
            "     192.0.2.10 mx.fatal.example spam\\x1b@fatal.example bob@example.org\n     \
             192.0.2.11 mx.fatal.example bounce-#@fatal.example bob@example.org\n     \
             192.0.3.17 mx.iso.example iso@iso.example bob@example.org\n"
        );
        let layout = Layout {
            show_time: true,
            show_tries: true,
            tab: true,
            check_sender: true,
            ..Layout::default()
        };
        let lines = printed(&layout, "MX");
        assert_eq!(
            lines.lines().nth(1),
            Some(
                "Nov 14 22:15:20\t2\tMX\t192.0.2.11\tmx.fatal.example\tbounce-#@fatal.example\t\
                 bob@example.org"
            )
        );
    }

    #[test]
    fn groups_have_a_head_and_separators_before_it() {
        let layout = Layout {
            grouped: true,
            show_tries: true,
            separate_by_network: Some(":=====\n".into()),
            separate_by_address: Some("\n".into()),
            ..Layout::default()
        };
        let head = |name: &str, address: &str| format!("{name:<77} {address:>15}\n");
        let member = |tries: u32, sender: &str| {
            format!(
                "{:7}{tries:>2}  {sender:>40}  {:>40} \n",
                "", "bob@example.org"
            )
        };
        let expected = [
            ":=====\n".to_owned(),
            head("mx.fatal.example", "192.0.2.10"),
            member(1, "spam\\x1b@fatal.example"),
            "\n".to_owned(),
            head("mx.fatal.example", "192.0.2.11"),
            member(2, "bounce-#@fatal.example"),
            ":=====\n".to_owned(),
            head("mx.iso.example", "192.0.3.17"),
            member(1, "iso@iso.example"),
        ];
        assert_eq!(printed(&layout, ""), expected.concat());
    }
}
