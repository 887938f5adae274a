//! Scenarios: cases of greylisting in text, run on the engine with any store.
//!
//! ```text
//! # comment
//! option delay 300s
//! at 0s from 192.0.2.10 alice@example.com bob@example.org -> defer new 300s
//! at 5m from 192.0.2.10 alice@example.com bob@example.org -> pass retry
//! ```
//!
//! Options: `delay`, `retry_window`, `lifetime`, `pause` (durations), `passes` (of a client until
//! it is exempt; 0 is never), `waiting_per_network` (0 is no limit), `school` (`native`,
//! `postgrey`, `postgrey-by-host`), `due` (`first`, `stored`). `<>` is the null sender. The wait
//! of a deferral may be left out. Times may step back.

use std::collections::HashMap;
use std::net::IpAddr;

use greylatch_core::{
    Attempt, ClientExemption, Decision, Due, EntryChange, Field, Greylist, IdentityRules, Memory,
    Network, Outcome, Reason, Ruling, School, Seconds, Timestamp, Timing, WindowFrom, decide,
    settled_by_client,
};
use greylatch_store::{Commit, Keying, Store, StoreError};

/// Runs a scenario and gives a line for each answer that is not as written; none is success.
///
/// # Panics
/// When the text is no scenario, or the store fails.
pub async fn run<S: Store>(text: &str, store: &S) -> Vec<String> {
    let mut latch = Latch::new(store);
    let mut differences = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.split('#').next().unwrap_or_default().trim();
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            [] => {}
            ["option", name, value] => latch.set(name, value),
            [
                "at",
                at,
                "from",
                client,
                sender,
                recipient,
                "->",
                expected @ ..,
            ] => {
                let now = Timestamp(START + seconds(at).0);
                let sender = if *sender == "<>" { "" } else { sender };
                let client = client.parse().expect("a client address");
                let decision = latch.ask(now, client, [sender, recipient]).await;
                let answer = answer(&decision, expected.len() > 2);
                let expected = expected.join(" ");
                if answer != expected {
                    differences.push(format!("line {}: {answer}, not {expected}", number + 1));
                }
            }
            _ => panic!("line {}: not understood: {line}", number + 1),
        }
    }
    differences
}

/// When scenarios begin; `at` counts from here. Room before it lets clocks step back.
const START: i64 = 1_800_000_000;

fn answer(decision: &Decision, with_wait: bool) -> String {
    let word = match decision.outcome {
        Outcome::Pass => "pass",
        Outcome::Defer => "defer",
        Outcome::Refuse => "refuse",
    };
    if with_wait {
        format!("{word} {} {}s", decision.reason, decision.wait.0)
    } else {
        format!("{word} {}", decision.reason)
    }
}

fn seconds(text: &str) -> Seconds {
    match text.strip_prefix('-') {
        Some(earlier) => Seconds(-earlier.parse::<Seconds>().expect("a duration").0),
        None => text.parse().expect("a duration"),
    }
}

/// The engine on a store: rooms 5 to 7 of an attempt, without a daemon around them.
pub(crate) struct Latch<'a, S> {
    store: &'a S,
    pub(crate) terms: Greylist,
    identity: IdentityRules,
    waiting: HashMap<Network, u32>,
}

impl<'a, S: Store> Latch<'a, S> {
    pub(crate) fn new(store: &'a S) -> Self {
        Self {
            store,
            terms: Greylist {
                timing: Timing {
                    delay: Seconds(60),
                    retry_window: Seconds(2 * 86_400),
                    lifetime: Seconds(35 * 86_400),
                    due: Due::FromFirst,
                    window_from: WindowFrom::First,
                },
                exemption: Some(ClientExemption {
                    passes: 5,
                    pause: Seconds::HOUR,
                }),
                waiting_max: None,
                network_suffices: false,
            },
            identity: IdentityRules {
                school: School::Native,
                ipv4_prefix: 24,
                ipv6_prefix: 64,
            },
            waiting: HashMap::new(),
        }
    }

    fn set(&mut self, name: &str, value: &str) {
        let number = || value.parse::<u32>().expect("a number");
        match name {
            "delay" => self.terms.timing.delay = seconds(value),
            "retry_window" => self.terms.timing.retry_window = seconds(value),
            "lifetime" => self.terms.timing.lifetime = seconds(value),
            "pause" => {
                if let Some(exemption) = &mut self.terms.exemption {
                    exemption.pause = seconds(value);
                }
            }
            "passes" if number() == 0 => self.terms.exemption = None,
            "passes" => {
                if let Some(exemption) = &mut self.terms.exemption {
                    exemption.passes = number();
                }
            }
            "waiting_per_network" => {
                self.terms.waiting_max = Some(number()).filter(|limit| *limit > 0);
            }
            "school" => {
                self.identity.school = match value {
                    "native" => School::Native,
                    "postgrey" => School::Postgrey { by_host: false },
                    "postgrey-by-host" => School::Postgrey { by_host: true },
                    other => panic!("no school: {other}"),
                }
            }
            "due" => {
                (self.terms.timing.due, self.terms.timing.window_from) = match value {
                    "first" => (Due::FromFirst, WindowFrom::First),
                    "stored" => (Due::AsStored, WindowFrom::Due),
                    other => panic!("no way to reckon due times: {other}"),
                }
            }
            other => panic!("no option: {other}"),
        }
    }

    /// Decides one attempt and remembers it.
    pub(crate) async fn ask(
        &mut self,
        now: Timestamp,
        client: IpAddr,
        [sender, recipient]: [&str; 2],
    ) -> Decision {
        let mut attempt = Attempt::new();
        attempt.set(Field::Sender, sender.as_bytes());
        attempt.set(Field::Recipient, recipient.as_bytes());
        let network = self.identity.network(client);
        let keys = Keying::Plain.keys(
            self.identity.triplet(client, &attempt),
            self.identity.client_text(client),
            network,
            self.terms.waiting_max.is_some(),
        );
        let ruling = Ruling::Greylist(self.terms);
        let enough = |memory: &Memory| settled_by_client(&ruling, memory, now);
        let loaded = self.store.load(&keys, enough).await;
        let mut memory = loaded.expect("the store answers");
        loop {
            memory.network_waiting = self.waiting.get(&network).copied().unwrap_or(0);
            let decision = decide(&ruling, &memory, now);
            let done = self.store.commit(&keys, &memory, &decision.change).await;
            match done {
                // Its way to say: not so fast.
                Err(StoreError::Busy) => tokio::task::yield_now().await,
                done => match done.expect("the store answers") {
                    Commit::Conflict(there) => memory = there,
                    Commit::Done => {
                        self.count(network, &decision);
                        return decision;
                    }
                },
            }
        }
    }

    fn count(&mut self, network: Network, decision: &Decision) {
        let waiting = self.waiting.entry(network).or_default();
        match (decision.reason, decision.change.entry) {
            (Reason::New, EntryChange::Put(_)) => *waiting += 1,
            (Reason::Retry, _) => *waiting = waiting.saturating_sub(1),
            _ => {}
        }
    }
}
