//! All questions to the policy server: how many at once, for how long, and what becomes of them when it
//! does not answer.

use std::collections::{HashMap, VecDeque};
use std::future::pending;
use std::time::Duration;

use greylatch_core::{Answer, Request, Verdict};
use greylatch_proto::{Ticket, encode_question};
use tokio::task::{Id, JoinSet};
use tokio::time::{Instant, timeout_at};

use super::connection::{AskError, Connection, ask};
use super::health::Health;
use super::tell;
use crate::clock::monotonic;
use crate::config::Endpoint;

/// Within this time every question is answered, be it that it proceeds.
const ANSWER_MAX: Duration = Duration::from_secs(5);

/// Connections to the policy server at once; more questions wait for one of them.
const CONNECTIONS_MAX: usize = 32;

/// Questions under way and waiting. How many there can be, the protocol limits.
pub(super) struct Asking {
    policy: Endpoint,
    health: Health,
    /// Connections on which nothing is being asked.
    kept: Vec<Connection>,
    /// In the order in which they came, so that their deadlines are in order, too: when one's is over,
    /// so are those of all that were asked before it, and it has its turn.
    waiting: VecDeque<Waiting>,
    under_way: JoinSet<Result<(Verdict, Connection), AskError>>,
    tickets: HashMap<Id, Ticket>,
}

struct Waiting {
    ticket: Ticket,
    question: Vec<u8>,
    deadline: Instant,
}

impl Asking {
    pub(super) fn new(policy: Endpoint) -> Self {
        Self {
            policy,
            health: Health::Well,
            kept: Vec::new(),
            waiting: VecDeque::new(),
            under_way: JoinSet::new(),
            tickets: HashMap::new(),
        }
    }

    /// Asks; an answer that is known at once is given at once, others by [`Asking::next`].
    pub(super) fn ask(&mut self, ticket: Ticket, request: Request) -> Option<Answer> {
        let Request::Judge(attempt) = request else {
            return Some(unanswered());
        };
        let now = monotonic();
        if !self.health.admits(now) {
            return Some(unanswered());
        }
        self.waiting.push_back(Waiting {
            ticket,
            question: encode_question(&attempt),
            deadline: now + ANSWER_MAX,
        });
        self.start();
        None
    }

    /// The next answer; waits for ever while nothing is asked.
    pub(super) async fn next(&mut self) -> (Ticket, Answer) {
        loop {
            let Some(ended) = self.under_way.join_next_with_id().await else {
                return pending().await;
            };
            let (id, result) = match ended {
                Ok((id, result)) => (id, result.map_err(|error| error.to_string())),
                Err(fault) => (fault.id(), Err(fault.to_string())),
            };
            let answer = self.take(result);
            self.start();
            if let Some(ticket) = self.tickets.remove(&id) {
                return (ticket, answer);
            }
        }
    }

    fn start(&mut self) {
        while self.under_way.len() < CONNECTIONS_MAX
            && let Some(Waiting {
                ticket,
                question,
                deadline,
            }) = self.waiting.pop_front()
        {
            let (kept, policy) = (self.kept.pop(), self.policy.clone());
            let task = self.under_way.spawn(async move {
                let asked = timeout_at(deadline, ask(kept, &policy, &question)).await;
                asked.unwrap_or(Err(AskError::TooLate(ANSWER_MAX.as_secs())))
            });
            self.tickets.insert(task.id(), ticket);
        }
    }
}

impl Asking {
    fn take(&mut self, result: Result<(Verdict, Connection), String>) -> Answer {
        match result {
            Ok((verdict, connection)) => {
                self.kept.push(connection);
                if let Some(unasked) = self.health.answered() {
                    tell(&format!(
                        "{} answers again; {unasked} questions were not asked, and passed",
                        self.policy
                    ));
                }
                Answer::Verdict(verdict)
            }
            Err(why) => {
                if self.health.failed(monotonic()) {
                    tell(&format!(
                        "cannot ask {}: {why}; mail passes until it answers",
                        self.policy
                    ));
                }
                unanswered()
            }
        }
    }
}

/// What lets mail pass.
fn unanswered() -> Answer {
    Answer::Failed("the policy server did not answer".into())
}
