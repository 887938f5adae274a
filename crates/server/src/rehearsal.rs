//! Attempts judged by a configuration one after the other without a running daemon, each at the time that it
//! is told, beginning with an empty memory.

use std::path::Path;

use greylatch_core::{Answer, Attempt, Explanation, Field, Request, Seconds, Timestamp};
use greylatch_store::Keying;
use tokio::runtime::{self, Runtime};
use tokio::sync::mpsc;

use crate::backend;
use crate::config::{Config, LogLevel};
use crate::daemon;
use crate::desk::{Desk, Visitor};
use crate::launch::{StartError, source};
use crate::lists::ListFiles;
use crate::log::{LogQueue, LogWriter};
use crate::observe::Observer;

/// A desk that nobody asks but the caller.
pub struct Rehearsal {
    desk: Desk,
    visitor: Visitor,
    runtime: Runtime,
    writer: LogWriter,
}

impl Rehearsal {
    /// One by this configuration; `path` is its file. Nothing is logged.
    ///
    /// # Errors
    /// [`StartError`] when the configuration cannot be run.
    pub fn new(config: &Config, path: Option<&Path>) -> Result<Self, StartError> {
        let mut config = config.clone();
        config.store.url = Some("memory:".into());
        config.log.level = LogLevel::Quiet;
        config.policy.test_time = true;
        let (queue, writer) = LogQueue::start(&config.log)?;
        let (rulebook, _) = ListFiles::default().rulebook(&config, &source(path));
        // What keys are made with makes no difference to an empty memory.
        let backend = backend::open(&config, Keying::Plain)?;
        let observer = Observer::new(&config, queue);
        // Nobody asks this desk for a reload.
        let (reload, _) = mpsc::channel(1);
        let desk = daemon::desk(&config, rulebook, backend, observer, reload);
        desk.memory_is_whole();
        let runtime = runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        Ok(Self {
            desk,
            visitor: Visitor::new("dry"),
            runtime,
            writer,
        })
    }

    /// Judges an attempt that is made at `at`, says why, and remembers it.
    pub fn judge(&mut self, mut attempt: Attempt, at: Timestamp) -> Explanation {
        let explanation = self.look(attempt.clone(), at, Seconds(0));
        attempt.set(Field::TestTime, at.0.to_string().as_bytes());
        let judged = self.desk.answer(&mut self.visitor, Request::Judge(attempt));
        self.runtime.block_on(judged);
        explanation
    }

    /// Says what would become of an attempt so much later than `at`, and remembers nothing of it.
    pub fn look(&mut self, mut attempt: Attempt, at: Timestamp, later: Seconds) -> Explanation {
        attempt.set(Field::TestTime, at.0.to_string().as_bytes());
        let attempt = attempt.into();
        let looked = self
            .desk
            .answer(&mut self.visitor, Request::Look { attempt, later });
        match self.runtime.block_on(looked) {
            Answer::Explained(explanation) => *explanation,
            other => {
                unreachable!("a look is explained, and a store in memory does not fail: {other:?}")
            }
        }
    }

    /// Ends it.
    pub fn finish(self) {
        self.writer.finish();
    }
}
