//! `greylatch entries import --from milter-greylist`: each row of a dump file is told to the server,
//! which forms its identities and puts it together with what it remembers.

use std::io::{self, BufRead, Write};
use std::process::ExitCode;

use anyhow::bail;
use greylatch_core::{Answer, PeerEvent, PeerTriplet, Request};
use greylatch_exchange::{DumpRow, DumpRows, RowKind};

use crate::control::Control;

pub(super) fn import(control: &mut Control, lines: impl BufRead) -> anyhow::Result<ExitCode> {
    let (mut imported, mut left_out, mut refused) = (0, 0, 0);
    for row in DumpRows::from_reader(lines) {
        let event = match row {
            Ok(row) => event(row),
            Err(fault) => {
                refused += 1;
                writeln!(io::stderr(), "{fault}")?;
                continue;
            }
        };
        match event.map(|event| tell(control, event)).transpose()? {
            Some(stored) if stored > 0 => imported += 1,
            // Of a tarpit, over already, or remembered for longer.
            Some(_) | None => left_out += 1,
        }
    }
    println!("imported: {imported}, left out: {left_out}, refused: {refused}");
    Ok(if refused > 0 {
        crate::exit::NO.into()
    } else {
        ExitCode::SUCCESS
    })
}

fn event(row: DumpRow) -> Option<PeerEvent> {
    let triplet = PeerTriplet {
        client: row.client,
        sender: row.sender,
        recipient: row.recipient,
    };
    match row.kind {
        RowKind::Pending => Some(PeerEvent::Pending {
            triplet,
            due: row.when,
        }),
        RowKind::Auto => Some(PeerEvent::Accepted {
            triplet,
            was: row.when,
            expires: Some(row.when),
        }),
        RowKind::Tarpit { .. } => None,
    }
}

fn tell(control: &mut Control, event: PeerEvent) -> anyhow::Result<u64> {
    match control.ask(&Request::Peer(event))? {
        Answer::Done(count) => Ok(count),
        other => bail!("the server gave an answer of another kind: {other:?}"),
    }
}
