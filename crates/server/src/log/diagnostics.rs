//! Diagnostics (`tracing`) go the way of all log lines: one line each, with their fields behind.

use std::fmt::{self, Write};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

use super::{LogQueue, Severity};

/// Sends diagnostics to the queue from now on. A second call, as in tests, changes nothing.
pub(crate) fn install(queue: &LogQueue) {
    let subscriber = Diagnostics {
        queue: queue.clone(),
    };
    let _ = tracing::subscriber::set_global_default(subscriber);
}

/// Events of our own crates as log lines; spans are not used.
struct Diagnostics {
    queue: LogQueue,
}

impl Subscriber for Diagnostics {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event()
            && *metadata.level() <= Level::INFO
            && metadata.target().starts_with("greylatch")
    }

    fn event(&self, event: &Event<'_>) {
        let severity = match *event.metadata().level() {
            Level::ERROR => Severity(3),
            Level::WARN => Severity::WARNING,
            _ => Severity(6),
        };
        let mut line = Line(String::new());
        event.record(&mut line);
        let mut escaped = Vec::with_capacity(line.0.len());
        greylatch_wording::escape(&mut escaped, line.0.as_bytes());
        self.queue.put(severity, &escaped);
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Writing into a String cannot fail.
        let _ = match field.name() {
            "message" => write!(self.0, "{value:?}"),
            name => write!(self.0, " {name}={value:?}"),
        };
    }
}
