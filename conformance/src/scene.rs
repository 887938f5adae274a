//! One server under a fault: askers that know what they were told, and a
//! neighbour who must notice nothing.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, bail, ensure};

use crate::greylister::Endpoint;
use crate::message::Message;
use crate::policy::PolicyClient;
use crate::process::wait_for;
use crate::serving::{Serving, attempt};

/// A server that was broken must be well again after so long, in whatever
/// state it is.
const RECOVERY_MAX: Duration = Duration::from_secs(60);

/// Asks a server and keeps in mind what it has acknowledged.
pub struct Asker<'a> {
    serving: &'a Serving,
    client: PolicyClient,
    asked: u32,
    acknowledged: Vec<String>,
}

/// What became of one attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judged {
    /// The answer without its first word and line ends.
    pub action: String,
    /// Why, as the log says it.
    pub reason: String,
}

impl<'a> Asker<'a> {
    /// An asker with a connection of its own.
    ///
    /// # Errors
    /// When the server does not accept.
    pub fn new(serving: &'a Serving) -> Result<Self> {
        Ok(Self {
            serving,
            client: serving.connect()?,
            asked: 0,
            acknowledged: Vec::new(),
        })
    }

    /// Asks, and looks into the log why it was answered so.
    ///
    /// # Errors
    /// When there is no answer, or no line of log.
    pub fn ask(&mut self, message: Message) -> Result<Judged> {
        // The log goes on over restarts, with lines of askers before.
        static ASKED: AtomicU32 = AtomicU32::new(0);
        self.asked += 1;
        let queue_id = format!("Q{}Q", ASKED.fetch_add(1, Ordering::Relaxed));
        let answer = self
            .client
            .ask(&message.with("queue_id", &queue_id).bytes())?;
        let answer = String::from_utf8(answer)?;
        let action = answer.trim_end().strip_prefix("action=");
        let mut reason = None;
        let mark = format!("queue_id={queue_id}");
        wait_for("its line of log", Duration::from_secs(20), || {
            let log = self.serving.log()?;
            let line = log.lines().rev().find(|line| line.contains(&mark));
            reason = line.and_then(reason_in);
            Ok(reason.is_some())
        })?;
        Ok(Judged {
            action: action.context("no action")?.to_owned(),
            reason: reason.context("no reason")?,
        })
    }

    /// A sender that nobody has seen before tries for the first time.
    ///
    /// # Errors
    /// When there is no answer.
    pub fn newcomer(&mut self) -> Result<Judged> {
        let sender = format!("newcomer{}@sender.example", self.asked);
        // Half a minute ago: a retry within the same second is a first attempt.
        let before = (unix_now()? - 30).to_string();
        let judged = self.ask(attempt(&sender).with("policy_test_time", before))?;
        if judged.reason == "new" {
            self.acknowledged.push(sender);
        }
        Ok(judged)
    }

    /// Makes this sender known: it tries, and again after the delay.
    ///
    /// # Errors
    /// When it does not pass then.
    pub fn prove(&mut self, sender: &str) -> Result<()> {
        let now = unix_now()?;
        let first = self.ask(attempt(sender).with("policy_test_time", (now - 100).to_string()))?;
        ensure!(first.reason == "new", "{first:?}");
        let again = self.ask(attempt(sender).with("policy_test_time", now.to_string()))?;
        ensure!(again.reason == "retry", "{again:?}");
        ensure!(again.action.starts_with("PREPEND "), "{again:?}");
        Ok(())
    }

    /// Lets newcomers try until the failure policy answers one of them, and
    /// sees that none is told anything else than to wait or what `policy` says.
    ///
    /// # Errors
    /// When the policy does not come, or something else does.
    pub fn until_policy_answers(&mut self, policy: &str) -> Result<()> {
        wait_for("the failure policy's answer", RECOVERY_MAX, || {
            let judged = self.newcomer()?;
            match judged.reason.as_str() {
                "new" => Ok(false),
                "store-down" => {
                    ensure!(judged.action.starts_with(policy), "{judged:?}");
                    Ok(true)
                }
                _ => bail!("{judged:?}"),
            }
        })?;
        self.serving
            .wait_for_log("the failure policy answers, because ")?;
        let counted = self.serving.verdicts("store-down")?;
        ensure!(counted > 0, "status does not count it");
        Ok(())
    }

    /// Waits until newcomers are remembered again.
    ///
    /// # Errors
    /// When they are not.
    pub fn until_well(&mut self) -> Result<()> {
        wait_for("an answer of the store", RECOVERY_MAX, || {
            Ok(self.newcomer()?.reason == "new")
        })
        .with_context(|| format!("the log is {}", self.serving.log().unwrap_or_default()))
    }

    /// Sees that every newcomer who was told to wait is remembered.
    ///
    /// # Errors
    /// When one is not.
    pub fn nobody_is_forgotten(&mut self) -> Result<()> {
        for sender in self.acknowledged.clone() {
            let judged = self.ask(attempt(&sender))?;
            ensure!(judged.reason == "early-retry", "{sender}: {judged:?}");
        }
        Ok(())
    }

    /// Sees that this proven sender passes because it is known.
    ///
    /// # Errors
    /// When it is not.
    pub fn is_known(&mut self, sender: &str) -> Result<()> {
        let judged = self.ask(attempt(sender))?;
        ensure!(judged.reason == "known", "{sender}: {judged:?}");
        ensure!(judged.action == "DUNNO", "{sender}: {judged:?}");
        Ok(())
    }
}

/// Runs `work` while somebody else, whom the store does not concern, asks all
/// the time; gives how often he was answered.
///
/// # Errors
/// When `work` fails, or he is not answered as always.
pub fn with_neighbour<T>(endpoint: &Endpoint, work: impl FnOnce() -> Result<T>) -> Result<T> {
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let neighbour = scope.spawn(|| talk_until(&stop, endpoint));
        let done = work();
        stop.store(true, Ordering::Relaxed);
        let answered = neighbour.join().expect("it does not panic");
        let done = done?;
        ensure!(answered? > 0, "the neighbour was never answered");
        Ok(done)
    })
}

fn talk_until(stop: &AtomicBool, endpoint: &Endpoint) -> Result<u64> {
    let request = attempt("neighbour@sender.example").with("recipient", "postmaster@here.example");
    let mut answered = 0;
    let mut client = PolicyClient::connect(endpoint)?;
    while !stop.load(Ordering::Relaxed) || answered == 0 {
        let heard = client
            .ask(&request.bytes())
            .context("the neighbour was disturbed")?;
        ensure!(
            heard == b"action=DUNNO\n\n",
            "the neighbour got {}",
            heard.escape_ascii()
        );
        answered += 1;
        thread::sleep(Duration::from_millis(10));
    }
    Ok(answered)
}

fn reason_in(line: &str) -> Option<String> {
    let (_, rest) = line.split_once("reason=")?;
    rest.split(' ').next().map(str::to_owned)
}

/// Now, in Unix seconds.
///
/// # Errors
/// When the clock is before 1970.
pub fn unix_now() -> Result<i64> {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
    Ok(i64::try_from(since.as_secs())?)
}
