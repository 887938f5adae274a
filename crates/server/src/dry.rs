//! What can be said without a running daemon: a configuration reviewed, an attempt judged against
//! an empty memory.

use std::path::Path;

use greylatch_core::{Answer, Attempt, Explanation, Field, Request, Seconds};
use greylatch_rules::Source;
use greylatch_store::Keying;
use tokio::runtime;
use tokio::sync::mpsc;

use crate::backend;
use crate::clock;
use crate::config::{Config, LogLevel};
use crate::daemon;
use crate::desk::Visitor;
use crate::launch::{StartError, source};
use crate::lists::{ListFiles, Remark};
use crate::log::LogQueue;
use crate::observe::Observer;
use crate::web;

/// What a configuration comes to.
pub struct Review {
    /// Every remark about its rules and lists.
    pub remarks: Vec<Remark>,
    /// How many rules and list entries are in force.
    pub rules: usize,
}

/// Reads the lists and rules of a configuration; `path` and `text` are its file.
#[must_use]
pub fn review(config: &Config, path: Option<&Path>, text: Vec<u8>) -> Review {
    let path = path
        .map(|path| path.display().to_string())
        .unwrap_or_default();
    let (rulebook, mut remarks) = ListFiles::default().rulebook(config, &Source { path, text });
    remarks.extend(web::review(config));
    Review {
        remarks,
        rules: rulebook.len(),
    }
}

/// What would become of an attempt with an empty memory; with `later`, of its retry so much later.
///
/// # Errors
/// [`StartError`] when the configuration cannot be run.
pub fn look_dry(
    config: &Config,
    path: Option<&Path>,
    attempt: &Attempt,
    later: Option<Seconds>,
) -> Result<Explanation, StartError> {
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
    let answer = runtime.block_on(async {
        let now = clock::now();
        let mut retry = attempt.clone();
        retry.set(Field::TestTime, now.0.to_string().as_bytes());
        let mut visitor = Visitor::new("dry");
        if later.is_some() {
            desk.answer(&mut visitor, Request::Judge(retry.clone()))
                .await;
        }
        let later = later.unwrap_or(Seconds(0));
        desk.answer(
            &mut visitor,
            Request::Look {
                attempt: retry.into(),
                later,
            },
        )
        .await
    });
    writer.finish();
    match answer {
        Answer::Explained(explanation) => Ok(*explanation),
        other => {
            unreachable!("a look is explained, and a store in memory does not fail: {other:?}")
        }
    }
}
