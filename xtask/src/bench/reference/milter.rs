//! The reference for the milter protocol: as little of it as an MTA needs.
//!
//! Source: Sendmail's `include/libmilter/mfdef.h`.

use std::io;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use super::{Fields, Log, READ_SIZE};

/// Version 6, header lines may be added, nothing but recipients is answered.
const AGREEMENT: &[u8] = b"\0\0\0\x0dO\0\0\0\x06\0\0\0\x01\0\0\x73\x70";
const CONTINUE: &[u8] = b"\0\0\0\x01c";

/// What a session has told.
#[derive(Default)]
struct Session {
    name: Vec<u8>,
    address: Vec<u8>,
    sender: Vec<u8>,
}

pub(super) async fn serve(mut stream: UnixStream, log: &Log) -> io::Result<()> {
    let mut input = Vec::with_capacity(READ_SIZE);
    let mut session = Session::default();
    let mut line = Vec::new();
    let mut output = Vec::new();
    loop {
        if stream.read_buf(&mut input).await? == 0 {
            return Ok(());
        }
        let mut used = 0;
        while let Some((command, content)) = packet(&input[used..]) {
            used += 5 + content.len();
            match command {
                b'O' => output.extend_from_slice(AGREEMENT),
                b'C' => session.connect(content),
                b'M' => replace(&mut session.sender, string(content).0),
                b'R' => {
                    session.fields(string(content).0).describe(&mut line);
                    log.put(&line);
                    output.extend_from_slice(CONTINUE);
                }
                b'E' => output.extend_from_slice(CONTINUE),
                b'Q' => return Ok(()),
                _ => {}
            }
        }
        input.drain(..used);
        if !output.is_empty() {
            stream.write_all(&output).await?;
            output.clear();
        }
    }
}

impl Session {
    fn connect(&mut self, content: &[u8]) {
        let (name, rest) = string(content);
        replace(&mut self.name, name);
        // A family and two bytes of a port stand before the address.
        let address = rest.get(3..).map_or(&[][..], |rest| string(rest).0);
        replace(&mut self.address, address);
    }

    fn fields<'a>(&'a self, recipient: &'a [u8]) -> Fields<'a> {
        Fields {
            client_name: &self.name,
            client_address: &self.address,
            sender: bare(&self.sender),
            recipient: bare(recipient),
        }
    }
}

fn packet(input: &[u8]) -> Option<(u8, &[u8])> {
    let (length, rest) = input.split_first_chunk()?;
    let content = rest.get(..u32::from_be_bytes(*length) as usize)?;
    content
        .split_first()
        .map(|(command, content)| (*command, content))
}

fn string(content: &[u8]) -> (&[u8], &[u8]) {
    let end = content.iter().position(|byte| *byte == 0);
    end.map_or((content, &[]), |end| (&content[..end], &content[end + 1..]))
}

fn bare(address: &[u8]) -> &[u8] {
    let address = address.strip_prefix(b"<").unwrap_or(address);
    address.strip_suffix(b">").unwrap_or(address)
}

fn replace(place: &mut Vec<u8>, value: &[u8]) {
    place.clear();
    place.extend_from_slice(value);
}
