//! A name server for tests, on loopback: it answers by a list, and for some names fails or says
//! nothing.

use std::collections::HashMap;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex};
use std::thread;

use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig, ResolverOpts};
use hickory_resolver::proto::op::{Message, ResponseCode};
use hickory_resolver::proto::rr::rdata::{A, AAAA, MX, PTR, TXT};
use hickory_resolver::proto::rr::{Name, RData, Record};

use crate::facts::{Facts, resolver::Resolver};

/// What it says to a question.
#[derive(Clone, Copy)]
pub(crate) enum Told {
    A([u8; 4]),
    Aaaa(&'static str),
    Mx(u16, &'static str),
    Txt(&'static str),
    Ptr(&'static str),
    /// The failure of another server.
    Failure,
    Silence,
}

/// Runs as long as the process of its test.
pub(crate) struct NameServer {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
}

/// What it says, by name, without the last dot.
type Zone = HashMap<String, Vec<Told>>;

impl NameServer {
    pub(crate) fn start(told: &[(&str, Told)]) -> Self {
        let mut zone = Zone::new();
        for (name, answer) in told {
            zone.entry((*name).to_owned()).or_default().push(*answer);
        }
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a socket");
        let address = socket.local_addr().expect("its address");
        let asked = Arc::new(Mutex::new(Vec::new()));
        let heard = asked.clone();
        thread::spawn(move || {
            let mut bytes = [0; 4_096];
            while let Ok((length, from)) = socket.recv_from(&mut bytes) {
                let question = Message::from_vec(&bytes[..length]).expect("a question");
                if let Some(answer) = answered(&zone, &question, &heard) {
                    let answer = answer.to_vec().expect("an answer");
                    socket.send_to(&answer, from).expect("a listener");
                }
            }
        });
        Self { address, asked }
    }

    /// Facts for which this one is asked alone.
    pub(crate) fn facts(&self) -> Facts {
        let mut connection = ConnectionConfig::udp();
        connection.port = self.address.port();
        let server = NameServerConfig::new(self.address.ip(), true, vec![connection]);
        let config = ResolverConfig::from_parts(None, vec![], vec![server]);
        let resolver = Resolver::new(config, ResolverOpts::default());
        Facts {
            resolver: Some(resolver.expect("a resolver")),
        }
    }

    /// The names it was asked for since the last time, each once.
    pub(crate) fn asked(&self) -> Vec<String> {
        let mut names = std::mem::take(&mut *self.asked.lock().expect("no panic"));
        names.sort();
        names.dedup();
        names
    }
}

fn answered(zone: &Zone, question: &Message, asked: &Mutex<Vec<String>>) -> Option<Message> {
    let query = question.queries.first().expect("one question").clone();
    let name = query.name().to_ascii().to_ascii_lowercase();
    let name = name.trim_end_matches('.');
    asked.lock().expect("no panic").push(name.to_owned());
    let mut answer = Message::response(question.id, question.op_code);
    answer.metadata.recursion_available = true;
    answer.add_query(query.clone());
    let Some(told) = zone.get(name) else {
        answer.metadata.response_code = ResponseCode::NXDomain;
        return Some(answer);
    };
    for told in told {
        let data = match told {
            Told::Silence => return None,
            Told::Failure => {
                answer.metadata.response_code = ResponseCode::ServFail;
                continue;
            }
            Told::A(octets) => RData::A(A(Ipv4Addr::from(*octets))),
            Told::Aaaa(text) => RData::AAAA(AAAA(text.parse::<Ipv6Addr>().expect("an address"))),
            Told::Mx(preference, host) => {
                let host = Name::from_ascii(host).expect("a name");
                RData::MX(MX::new(*preference, host))
            }
            Told::Ptr(name) => RData::PTR(PTR(Name::from_ascii(name).expect("a name"))),
            Told::Txt(text) => RData::TXT(TXT::new(vec![(*text).to_owned()])),
        };
        if data.record_type() == query.query_type() {
            answer.add_answer(Record::from_rdata(query.name().clone(), 60, data));
        }
    }
    Some(answer)
}
