//! Answers as JSON.

use greylatch_core::{
    Answer, Census, Change, ClientExemption, ClientRecord, Decision, Due, Explanation, Greylist,
    Memory, Outcome, Page, Reason, Reloaded, Reply, Ruling, Seconds, Status, Timing, Verdict,
    WindowFrom,
};
use serde_json::{Value, json};

use super::record;
use super::wire::{self, DecodeError};

pub(super) fn to_json(answer: &Answer) -> Value {
    match answer {
        Answer::Explained(explanation) => json!({ "explained": explanation_to_json(explanation) }),
        Answer::Page(page) => {
            let records: Vec<Value> = page.records.iter().map(record::to_json).collect();
            json!({ "page": { "records": records, "next": page.next.map(|key| wire::hex(&key)) } })
        }
        Answer::Status(status) => json!({ "status": status_to_json(status) }),
        Answer::Reloaded(reloaded) => json!({ "reloaded": {
            "rules": reloaded.rules,
            "kept": reloaded.kept,
            "remarks": reloaded.remarks,
        } }),
        Answer::Done(count) => json!({ "done": count }),
        Answer::Failed(why) => json!({ "failed": why }),
        Answer::Verdict(verdict) => json!({ "verdict": verdict_to_json(verdict) }),
    }
}

pub(super) fn from_json(value: &Value) -> Result<Answer, DecodeError> {
    if let Some(explained) = wire::optional(value, "explained") {
        return explanation(explained).map(|explanation| Answer::Explained(Box::new(explanation)));
    }
    if let Some(page) = wire::optional(value, "page") {
        let records = wire::member(page, "records")?
            .as_array()
            .ok_or(DecodeError::Kind("records"))?;
        return Ok(Answer::Page(Page {
            records: records
                .iter()
                .map(record::from_json)
                .collect::<Result<_, _>>()?,
            next: match wire::optional(page, "next") {
                Some(_) => Some(wire::key(page, "next")?),
                None => None,
            },
        }));
    }
    if let Some(status) = wire::optional(value, "status") {
        return self::status(status).map(|status| Answer::Status(Box::new(status)));
    }
    if let Some(verdict) = wire::optional(value, "verdict") {
        return self::verdict(verdict).map(Answer::Verdict);
    }
    if let Some(value) = wire::optional(value, "reloaded") {
        return self::reloaded(value).map(Answer::Reloaded);
    }
    match wire::optional(value, "failed") {
        Some(_) => wire::string(value, "failed").map(Answer::Failed),
        None => wire::natural(value, "done").map(Answer::Done),
    }
}

fn reloaded(value: &Value) -> Result<Reloaded, DecodeError> {
    let remark = |remark: &Value| {
        let text = remark.as_str().ok_or(DecodeError::Kind("remarks"))?;
        Ok(text.to_owned())
    };
    Ok(Reloaded {
        rules: wire::natural(value, "rules")?,
        kept: match wire::optional(value, "kept") {
            Some(_) => Some(wire::string(value, "kept")?),
            None => None,
        },
        remarks: wire::member(value, "remarks")?
            .as_array()
            .ok_or(DecodeError::Kind("remarks"))?
            .iter()
            .map(remark)
            .collect::<Result<_, _>>()?,
    })
}

fn explanation_to_json(explanation: &Explanation) -> Value {
    let decision = &explanation.decision;
    let memory = &explanation.memory;
    json!({
        "outcome": outcome_word(decision.outcome),
        "reason": decision.reason.word(),
        "wait": decision.wait.0,
        "age": decision.age.0,
        "ruling": ruling_to_json(&explanation.ruling),
        "rule": explanation.rule,
        "triplet": wire::from_bytes(&explanation.triplet),
        "at": explanation.at.0,
        "entry": memory.entry.map(|entry| json!({
            "first": entry.first.0,
            "last": entry.last.0,
            "due": entry.due.0,
            "expires": entry.expires.0,
            "standing": entry.standing.word(),
        })),
        "client": memory.client.map(|client| json!({
            "passes": client.passes,
            "last": client.last.0,
            "expires": client.expires.0,
        })),
        "network_proven_until": memory.network_proven_until.map(|until| until.0),
        "network_waiting": memory.network_waiting,
        "verdict": verdict_to_json(&explanation.verdict),
    })
}

fn explanation(value: &Value) -> Result<Explanation, DecodeError> {
    let mut decision = Decision::of(outcome(value)?, reason(value)?);
    decision.wait = Seconds(wire::integer(value, "wait")?);
    decision.age = Seconds(wire::integer(value, "age")?);
    decision.change = Change::default();
    Ok(Explanation {
        decision,
        ruling: ruling(wire::member(value, "ruling")?)?,
        rule: match wire::optional(value, "rule") {
            Some(_) => Some(wire::string(value, "rule")?),
            None => None,
        },
        triplet: wire::bytes(value, "triplet")?,
        memory: memory(value)?,
        at: wire::time(value, "at")?,
        verdict: verdict(wire::member(value, "verdict")?)?,
    })
}

fn memory(value: &Value) -> Result<Memory, DecodeError> {
    let client = |client: &Value| {
        Ok(ClientRecord {
            passes: wire::small(client, "passes")?,
            last: wire::time(client, "last")?,
            expires: wire::time(client, "expires")?,
        })
    };
    Ok(Memory {
        entry: wire::optional(value, "entry")
            .map(record::entry)
            .transpose()?,
        client: wire::optional(value, "client").map(client).transpose()?,
        network_proven_until: match wire::optional(value, "network_proven_until") {
            Some(_) => Some(wire::time(value, "network_proven_until")?),
            None => None,
        },
        network_waiting: wire::small(value, "network_waiting")?,
    })
}

fn ruling_to_json(ruling: &Ruling) -> Value {
    match ruling {
        Ruling::Exempt(reason) => json!({ "exempt": true, "reason": reason.word() }),
        Ruling::Refuse => json!({ "refuse": true }),
        Ruling::Greylist(terms) => json!({
            "delay": terms.timing.delay.0,
            "retry_window": terms.timing.retry_window.0,
            "lifetime": terms.timing.lifetime.0,
            "due_stored": terms.timing.due == Due::AsStored,
            "window_from_due": terms.timing.window_from == WindowFrom::Due,
            "exempt_after": terms.exemption.map(|exemption| exemption.passes),
            "exempt_pause": terms.exemption.map(|exemption| exemption.pause.0),
            "waiting_max": terms.waiting_max,
            "network_suffices": terms.network_suffices,
        }),
    }
}

fn ruling(value: &Value) -> Result<Ruling, DecodeError> {
    if wire::optional(value, "exempt").is_some() {
        return reason(value).map(Ruling::Exempt);
    }
    if wire::optional(value, "refuse").is_some() {
        return Ok(Ruling::Refuse);
    }
    let exemption = match wire::optional(value, "exempt_after") {
        Some(_) => Some(ClientExemption {
            passes: wire::small(value, "exempt_after")?,
            pause: Seconds(wire::integer(value, "exempt_pause")?),
        }),
        None => None,
    };
    Ok(Ruling::Greylist(Greylist {
        timing: Timing {
            delay: Seconds(wire::integer(value, "delay")?),
            retry_window: Seconds(wire::integer(value, "retry_window")?),
            lifetime: Seconds(wire::integer(value, "lifetime")?),
            due: if wire::flag(value, "due_stored")? {
                Due::AsStored
            } else {
                Due::FromFirst
            },
            window_from: if wire::flag(value, "window_from_due")? {
                WindowFrom::Due
            } else {
                WindowFrom::First
            },
        },
        exemption,
        waiting_max: match wire::optional(value, "waiting_max") {
            Some(_) => Some(wire::small(value, "waiting_max")?),
            None => None,
        },
        network_suffices: wire::flag(value, "network_suffices")?,
    }))
}

fn outcome_word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Pass => "pass",
        Outcome::Defer => "defer",
        Outcome::Refuse => "refuse",
    }
}

fn outcome(value: &Value) -> Result<Outcome, DecodeError> {
    match wire::string(value, "outcome")?.as_str() {
        "pass" => Ok(Outcome::Pass),
        "defer" => Ok(Outcome::Defer),
        "refuse" => Ok(Outcome::Refuse),
        _ => Err(DecodeError::Kind("outcome")),
    }
}

fn reason(value: &Value) -> Result<Reason, DecodeError> {
    let word = wire::string(value, "reason")?;
    let known = Reason::ALL.into_iter().find(|reason| reason.word() == word);
    known.ok_or(DecodeError::Kind("reason"))
}

fn verdict_to_json(verdict: &Verdict) -> Value {
    let reply = |outcome, reply: &Reply| json!({ "outcome": outcome, "text": wire::from_bytes(&reply.text), "has_status": reply.has_status });
    match verdict {
        // Of one recipient, which is all that can be looked at, nothing is amended.
        Verdict::Amend(_) => verdict_to_json(&Verdict::Pass { header: None }),
        Verdict::Pass { header } => {
            json!({ "outcome": "pass", "header": header.as_deref().map(wire::from_bytes) })
        }
        Verdict::Defer(text) => reply("defer", text),
        Verdict::Refuse(text) => reply("refuse", text),
    }
}

fn verdict(value: &Value) -> Result<Verdict, DecodeError> {
    let reply = || {
        Ok(Reply {
            text: wire::bytes(value, "text")?,
            has_status: wire::flag(value, "has_status")?,
        })
    };
    match outcome(value)? {
        Outcome::Pass => Ok(Verdict::Pass {
            header: match wire::optional(value, "header") {
                Some(_) => Some(wire::bytes(value, "header")?),
                None => None,
            },
        }),
        Outcome::Defer => reply().map(Verdict::Defer),
        Outcome::Refuse => reply().map(Verdict::Refuse),
    }
}

fn status_to_json(status: &Status) -> Value {
    let verdicts: Vec<Value> = status
        .verdicts
        .iter()
        .map(|(reason, count)| json!({ "reason": reason.word(), "count": count }))
        .collect();
    json!({
        "version": status.version,
        "started": status.started.0,
        "now": status.now.0,
        "store": status.store,
        "census": status.census.map(|census| json!({
            "waiting": census.waiting,
            "proven": census.proven,
            "by_hand": census.by_hand,
            "clients": census.clients,
            "disk_bytes": census.disk_bytes,
        })),
        "verdicts": verdicts,
        "log_dropped": status.log_dropped,
        "http_turned_away": status.http_turned_away,
        "connections": status.connections,
        "learning": status.learning,
    })
}

fn status(value: &Value) -> Result<Status, DecodeError> {
    let census = |census: &Value| {
        Ok(Census {
            waiting: wire::natural(census, "waiting")?,
            proven: wire::natural(census, "proven")?,
            by_hand: wire::natural(census, "by_hand")?,
            clients: wire::natural(census, "clients")?,
            disk_bytes: wire::natural(census, "disk_bytes")?,
        })
    };
    let verdicts = wire::member(value, "verdicts")?
        .as_array()
        .ok_or(DecodeError::Kind("verdicts"))?;
    let verdict = |verdict: &Value| Ok((reason(verdict)?, wire::natural(verdict, "count")?));
    Ok(Status {
        version: wire::string(value, "version")?,
        started: wire::time(value, "started")?,
        now: wire::time(value, "now")?,
        store: wire::string(value, "store")?,
        census: wire::optional(value, "census").map(census).transpose()?,
        verdicts: verdicts
            .iter()
            .map(verdict)
            .collect::<Result<_, DecodeError>>()?,
        log_dropped: wire::natural(value, "log_dropped")?,
        http_turned_away: wire::natural(value, "http_turned_away")?,
        connections: wire::small(value, "connections")?,
        learning: wire::flag(value, "learning")?,
    })
}

#[cfg(test)]
mod tests {
    use greylatch_core::{Entry, Standing, Timestamp};

    use super::*;

    fn comes_back(answer: Answer) {
        assert_eq!(from_json(&to_json(&answer)), Ok(answer));
    }

    #[test]
    fn explanations_come_back_as_they_were() {
        let timing = Timing {
            delay: Seconds(60),
            retry_window: Seconds(1),
            lifetime: Seconds(2),
            due: Due::AsStored,
            window_from: WindowFrom::Due,
        };
        let exemption = Some(ClientExemption {
            passes: 5,
            pause: Seconds(3_600),
        });
        for ruling in [
            Ruling::Exempt(Reason::Rule),
            Ruling::Refuse,
            Ruling::Greylist(Greylist {
                timing,
                exemption,
                waiting_max: Some(3),
                network_suffices: true,
            }),
            Ruling::Greylist(Greylist {
                timing,
                exemption: None,
                waiting_max: None,
                network_suffices: false,
            }),
        ] {
            let mut decision = Decision::of(Outcome::Defer, Reason::EarlyRetry);
            decision.wait = Seconds(5);
            comes_back(Answer::Explained(Box::new(Explanation {
                decision,
                ruling,
                rule: Some("a:1: b".into()),
                triplet: b"\xff/a/b".to_vec(),
                memory: Memory {
                    entry: Some(Entry {
                        first: Timestamp(1),
                        last: Timestamp(2),
                        due: Timestamp(3),
                        expires: Timestamp(4),
                        standing: Standing::Allowed,
                    }),
                    client: Some(ClientRecord {
                        passes: 1,
                        last: Timestamp(5),
                        expires: Timestamp(6),
                    }),
                    network_proven_until: Some(Timestamp(7)),
                    network_waiting: 8,
                },
                at: Timestamp(9),
                verdict: Verdict::Defer(Reply {
                    text: b"later".to_vec(),
                    has_status: true,
                }),
            })));
        }
    }

    #[test]
    fn verdicts_and_status_come_back_as_they_were() {
        comes_back(Answer::Verdict(Verdict::Pass {
            header: Some(b"X: y".to_vec()),
        }));
        comes_back(Answer::Verdict(Verdict::Pass { header: None }));
        comes_back(Answer::Verdict(Verdict::Refuse(Reply {
            text: vec![],
            has_status: false,
        })));
        comes_back(Answer::Failed("why".into()));
        comes_back(Answer::Status(Box::new(Status {
            version: "1".into(),
            census: Some(Census {
                waiting: 1,
                proven: 2,
                by_hand: 3,
                clients: 4,
                disk_bytes: 5,
            }),
            verdicts: vec![(Reason::New, 6)],
            connections: 7,
            learning: true,
            ..Status::default()
        })));
    }
}
