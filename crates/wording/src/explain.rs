//! The words of `greylatch ask`.

use greylatch_core::{Explanation, Outcome, Reason, Ruling, Timestamp};

use crate::escape::escape;

/// Appends an explanation as sentences, one a line. `date` writes a time as the reader knows it.
pub fn explain(out: &mut Vec<u8>, explanation: &Explanation, date: &dyn Fn(Timestamp) -> String) {
    let decision = &explanation.decision;
    let verdict = match decision.outcome {
        Outcome::Pass => "passes",
        Outcome::Defer => "is deferred",
        Outcome::Refuse => "is refused",
    };
    line(out, &format!("{verdict}: {}", decision.reason));
    line(out, &format!("  why       {}", because(decision.reason)));
    if let Some(rule) = &explanation.rule {
        out.extend_from_slice(b"  rule      ");
        escape(out, rule.as_bytes());
        out.push(b'\n');
    }
    if !explanation.triplet.is_empty() {
        out.extend_from_slice(b"  triplet   ");
        escape(out, &explanation.triplet);
        out.push(b'\n');
    }
    line(out, &format!("  time      {}", date(explanation.at)));
    if let Some(entry) = explanation.memory.entry {
        line(out, &format!("  first     {}", date(entry.first)));
        line(out, &format!("  last      {}", date(entry.last)));
    }
    if let Some(client) = explanation.memory.client {
        line(
            out,
            &format!("  client    {} passes counted", client.passes),
        );
    }
    if decision.outcome == Outcome::Defer {
        line(
            out,
            &format!(
                "  wait      {} s: a retry passes from {} on",
                decision.wait.0,
                date(explanation.at.plus(decision.wait))
            ),
        );
    }
    if let Ruling::Greylist(terms) = &explanation.ruling {
        let timing = &terms.timing;
        line(
            out,
            &format!(
                "  terms     delay {}, retry within {}, remembered {}",
                timing.delay, timing.retry_window, timing.lifetime
            ),
        );
    }
}

fn line(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(text.as_bytes());
    out.push(b'\n');
}

fn because(reason: Reason) -> &'static str {
    match reason {
        Reason::New => {
            "this client network, sender and recipient have not been seen together, or too long ago"
        }
        Reason::EarlyRetry => "it has been seen, but the delay is not over",
        Reason::Retry => "it has waited: the first pass",
        Reason::Known => "it has passed before",
        Reason::ClientListed => "the client is on a list",
        Reason::RecipientListed => "the recipient is on a list",
        Reason::ClientExempt => "enough mail of this client has passed",
        Reason::Authenticated => "the client has logged in",
        Reason::Certified => "the client has shown a certificate that the MTA has verified",
        Reason::AccessListed => "the MTA's access database lets the client through",
        Reason::SpfPassed => "the sender's domain lets the client send for it (SPF)",
        Reason::Local => "the client is this very host",
        Reason::Cluster => "the client is one of our own MX hosts",
        Reason::NullSender => "mail with the null sender is not greylisted here",
        Reason::Stage => "nothing is judged at this stage of the SMTP dialogue",
        Reason::Rule => "a rule says so",
        Reason::Hand => "it was set by hand",
        Reason::Throttled => "too many entries wait in this client's network",
        Reason::Unreadable => "the client's address cannot be read",
        Reason::StoreDown => "the store did not answer in time",
    }
}

#[cfg(test)]
mod tests {
    use greylatch_core::{Decision, Memory, Reply, Seconds, Verdict};

    use super::*;

    #[test]
    fn a_deferral_says_when_a_retry_passes() {
        let mut decision = Decision::of(Outcome::Defer, Reason::New);
        decision.wait = Seconds(60);
        let explanation = Explanation {
            decision,
            ruling: Ruling::Refuse,
            rule: Some("rules:1: x".into()),
            triplet: b"192.0.2.0/24/a\x1b@b/c@d".to_vec(),
            memory: Memory::default(),
            at: Timestamp(1_000),
            verdict: Verdict::Defer(Reply {
                text: vec![],
                has_status: false,
            }),
        };
        let mut out = Vec::new();
        explain(&mut out, &explanation, &|at| format!("t{}", at.0));
        assert_eq!(
            String::from_utf8_lossy(&out),
            "is deferred: new\n  why       this client network, sender and recipient have not been seen together, or too long ago\n  \
             rule      rules:1: x\n  triplet   192.0.2.0/24/a\\x1b@b/c@d\n  time      t1000\n  \
             wait      60 s: a retry passes from t1060 on\n"
        );
    }
}
