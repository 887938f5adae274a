//! The desk's other side: what the administrator asks over the control socket.

use std::net::IpAddr;
use std::sync::atomic::Ordering;

use greylatch_core::{
    Answer, Attempt, Change, Decision, Explanation, Memory, Network, Outcome, Page, Query, Reason,
    Record, Request, Ruling, Seconds, Status, Triplet, decide,
};
use greylatch_store::{Kind, Store, StoreError};
use tokio::sync::oneshot;

use super::{Case, Desk};
use crate::clock;

impl Desk {
    /// Answers everything but an MTA's question.
    pub(super) async fn administer(&self, request: Request) -> Answer {
        let done = match request {
            Request::Look { attempt, later } => self.look(&attempt, later).await,
            Request::List(query) => self.store.browse(&query).await.map(Answer::Page),
            Request::Put(records) => self.put(records).await,
            Request::Remove(query) => self.remove(query).await,
            Request::Set { attempt, standing } => self.set(&attempt, standing).await,
            Request::Forget(attempt) => self.forget(&attempt).await,
            Request::Peer(event) => self.hear(event).await.map(Answer::Done),
            Request::Status => Ok(Answer::Status(Box::new(self.status().await))),
            Request::Reload => Ok(self.reload().await),
            Request::Judge(_) | Request::PassUnread(..) => Ok(Answer::Failed(
                "an attempt is not judged here; use a policy socket".into(),
            )),
        };
        done.unwrap_or_else(|error| Answer::Failed(error.to_string()))
    }

    /// Asks for a reload and waits until it has run.
    async fn reload(&self) -> Answer {
        let (tell, told) = oneshot::channel();
        // Both fail only when nobody reloads any more.
        match self.reload.send(tell).await {
            Ok(()) => told.await.map_or_else(|_| stopping(), Answer::Reloaded),
            Err(_) => stopping(),
        }
    }

    /// What would become of an attempt; nothing is remembered.
    async fn look(&self, attempt: &Attempt, later: Seconds) -> Result<Answer, StoreError> {
        let mut case = self.open(attempt, clock::now());
        case.now = case.now.plus(later);
        let rulebook = self.rulebook.load_full();
        if let Some(acl) = rulebook.acl()
            && !case.is_opaque()
        {
            let explained = self.look_by_acl(&case, acl).await?;
            return Ok(Answer::Explained(Box::new(explained)));
        }
        let (ruling, rule) = self.rule(&case, &rulebook);
        let memory = self.recall(&case).await?;
        let triplet = self.triplet(&case);
        let decision = match &ruling {
            Ruling::Greylist(_) if triplet.is_none() => {
                Decision::of(Outcome::Pass, Reason::Unreadable)
            }
            _ => decide(&ruling, &memory, case.now),
        };
        let decision = Decision {
            change: Change::default(),
            ..decision
        };
        let verdict = self.verdict(&case, &decision, None);
        Ok(Answer::Explained(Box::new(Explanation {
            decision,
            rule: rule.and_then(|rule| rulebook.rule_text(rule)),
            ruling,
            triplet: triplet.map_or_else(Vec::new, |triplet| triplet.joined().to_vec()),
            memory,
            at: case.now,
            verdict,
        })))
    }

    pub(super) async fn recall(&self, case: &Case<'_>) -> Result<Memory, StoreError> {
        let Some((keys, network)) = self.keys(case, true) else {
            return Ok(Memory::default());
        };
        let mut memory = self.store.load(&keys, |_| false).await?;
        if let Some(network) = network {
            memory.network_waiting = self.waiting.count(network, case.now);
        }
        Ok(memory)
    }

    /// Stores records; where their text is there, their keys are made again by our own rules.
    pub(super) async fn put(&self, mut records: Vec<Record>) -> Result<Answer, StoreError> {
        for record in &mut records {
            self.make_key(record);
        }
        self.store.put(&records).await?;
        self.changes.note();
        Ok(Answer::Done(records.len() as u64))
    }

    pub(crate) fn make_key(&self, record: &mut Record) {
        let keying = &self.settings.keying;
        match record {
            Record::Triplet {
                key,
                client,
                sender,
                recipient,
                ..
            } if !client.is_empty() => {
                let triplet =
                    Triplet::new(self.settings.identity.school, client, sender, recipient);
                let network = Network::of(IpAddr::from([0, 0, 0, 0]), 0);
                *key = keying
                    .keys(triplet, String::new(), network, false)
                    .triplet()
                    .bytes();
                if !keying.keeps_text() {
                    [client, sender, recipient].into_iter().for_each(Vec::clear);
                }
            }
            Record::Client { key, address, .. } if !address.is_empty() => {
                *key = keying.of_text(Kind::Client, address).bytes();
                if !keying.keeps_text() {
                    address.clear();
                }
            }
            Record::Triplet { .. } | Record::Client { .. } => {}
        }
    }

    async fn remove(&self, query: Query) -> Result<Answer, StoreError> {
        let mut query = Query {
            after: None,
            ..query
        };
        let mut removed = 0;
        loop {
            let Page { records, next } = self.store.browse(&query).await?;
            removed += self.store.remove(&records).await?;
            self.changes.note();
            match next {
                Some(next) => query.after = Some(next),
                None => return Ok(Answer::Done(removed)),
            }
        }
    }

    async fn status(&self) -> Status {
        let now = clock::now();
        let census = self.store.sweep(now).await;
        Status {
            version: env!("CARGO_PKG_VERSION").into(),
            started: self.started,
            now,
            store: match &census {
                Ok(_) => self.settings.store_url.clone(),
                Err(error) => format!("{}: {error}", self.settings.store_url),
            },
            census: census.ok(),
            verdicts: self.observer.verdicts(),
            log_dropped: self.observer.log_dropped(),
            http_turned_away: self.observer.http_turned_away(),
            connections: self.connections.load(Ordering::Relaxed),
            learning: self.settings.learning,
        }
    }
}

fn stopping() -> Answer {
    Answer::Failed("it is stopping, so nothing was reloaded".into())
}
