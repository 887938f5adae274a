//! A name server on loopback that knows a few names, for programs that are shown a `resolv.conf` of
//! its own. Root is needed, for port 53.
//!
//! Source: RFC 1035 §4.1 (messages), §3.3.9 (MX), §3.3.12 (PTR), §3.3.14 (TXT), §3.4.1 (A), §2.3.4 (sizes); resolv.conf(5).

use std::fs;
use std::net::{Ipv4Addr, UdpSocket};
use std::path::Path;
use std::thread;

use anyhow::{Context, Result};

/// One record of a name.
#[derive(Debug, Clone, Copy)]
pub enum NameRecord {
    /// An address.
    A([u8; 4]),
    /// A host that takes mail.
    Mx(&'static str),
    /// The name of an address.
    Ptr(&'static str),
    /// A text of at most 255 bytes.
    Txt(&'static str),
}

const TYPE_A: u16 = 1;
const TYPE_PTR: u16 = 12;
const TYPE_MX: u16 = 15;
const TYPE_TXT: u16 = 16;
const NO_SUCH_NAME: u8 = 3;

/// Starts one that runs as long as this process, on an address that no other test takes, and writes
/// into the folder `etc` what makes a program ask it alone.
///
/// # Errors
/// When the port is taken, or this user may not have it.
pub fn start_name_server(
    address: Ipv4Addr,
    zone: &'static [(&'static str, NameRecord)],
    etc: &Path,
) -> Result<()> {
    let socket = UdpSocket::bind((address, 53)).with_context(|| format!("port 53 of {address}"))?;
    fs::create_dir_all(etc)?;
    fs::write(etc.join("resolv.conf"), format!("nameserver {address}\n"))?;
    thread::spawn(move || {
        let mut bytes = [0; 512];
        while let Ok((length, from)) = socket.recv_from(&mut bytes) {
            if let Some(answer) = answer(&bytes[..length], zone) {
                // Who has gone needs no answer.
                drop(socket.send_to(&answer, from));
            }
        }
    });
    Ok(())
}

fn answer(question: &[u8], zone: &[(&str, NameRecord)]) -> Option<Vec<u8>> {
    let (name, length) = name(question.get(12..)?)?;
    let asked = question.get(12..12 + length + 4)?;
    let of_type = u16::from_be_bytes([asked[length], asked[length + 1]]);
    let of_name = zone.iter().filter(|(known, _)| name == *known);
    let mut records = Vec::new();
    let mut count = 0_u16;
    for (_, record) in of_name.clone() {
        let (its_type, text) = match record {
            NameRecord::A(address) => (TYPE_A, address.to_vec()),
            NameRecord::Mx(host) => (TYPE_MX, [&[0, 10], &*encoded(host)].concat()),
            NameRecord::Ptr(host) => (TYPE_PTR, encoded(host)),
            NameRecord::Txt(text) => {
                let length = u8::try_from(text.len()).ok()?;
                (TYPE_TXT, [&[length], text.as_bytes()].concat())
            }
        };
        if its_type == of_type {
            // The name asked for, at offset 12; its class; a minute to live.
            records.extend([0xc0, 12]);
            records.extend(its_type.to_be_bytes());
            records.extend([0, 1, 0, 0, 0, 60]);
            records.extend(u16::try_from(text.len()).ok()?.to_be_bytes());
            records.extend(text);
            count += 1;
        }
    }
    let code = if of_name.count() == 0 {
        NO_SUCH_NAME
    } else {
        0
    };
    // An answer with authority, and recursion as asked for.
    let mut answer = vec![question[0], question[1], 0x85, 0x80 | code, 0, 1];
    answer.extend(count.to_be_bytes());
    answer.extend([0, 0, 0, 0]);
    answer.extend_from_slice(asked);
    answer.extend(records);
    Some(answer)
}

/// The name that `bytes` begins with, in lower case, and how many bytes it takes.
fn name(bytes: &[u8]) -> Option<(String, usize)> {
    let mut labels = Vec::new();
    let mut at = 0;
    loop {
        let length = usize::from(*bytes.get(at)?);
        at += 1;
        if length == 0 {
            return Some((labels.join("."), at));
        }
        let label = String::from_utf8_lossy(bytes.get(at..at + length)?);
        labels.push(label.to_ascii_lowercase());
        at += length;
    }
}

fn encoded(name: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for label in name.split('.') {
        bytes.push(u8::try_from(label.len()).expect("a label is short"));
        bytes.extend_from_slice(label.as_bytes());
    }
    bytes.push(0);
    bytes
}
