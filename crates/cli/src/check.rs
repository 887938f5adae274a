//! `greylatch check`: the configuration, the rules and the lists, explained, with every mistake.

use std::fmt;
use std::fs;
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};
use greylatch_rules::{Diagnostic, Severity};
use greylatch_server::{Config, ConfigError, Endpoint, Remark, control_path, review, store_url};

use crate::arguments::CheckArguments;
use crate::{milter_greylist, postgrey, serve};

pub(crate) fn run(arguments: &CheckArguments) -> anyhow::Result<ExitCode> {
    if let Some(path) = &arguments.milter_greylist {
        return milter_greylist::explain(path);
    }
    let color = io::stdout().is_terminal();
    let mut out = io::stdout().lock();
    let config = if arguments.postgrey {
        match postgrey::translated(&arguments.options) {
            Ok(translated) => {
                for oddity in postgrey::oddities(&arguments.options) {
                    writeln!(out, "note: {oddity}")?;
                }
                translated.config
            }
            Err(complaint) => {
                writeln!(io::stderr(), "{complaint}")?;
                return Ok(crate::exit::USAGE.into());
            }
        }
    } else {
        serve::configuration(arguments.config.as_deref())?
    };
    let text = match &arguments.config {
        Some(path) => fs::read(path)?,
        None => Vec::new(),
    };
    let review = review(&config, arguments.config.as_deref(), text);
    for remark in &review.remarks {
        writeln!(out, "{}", draw_remark(remark, color))?;
    }
    write!(out, "{}", summary(&config, review.rules))?;
    Ok(if review.remarks.iter().any(Remark::is_error) {
        crate::exit::CONFIGURATION.into()
    } else {
        ExitCode::SUCCESS
    })
}

fn summary(config: &Config, rules: usize) -> String {
    let greylist = &config.greylist;
    format!(
        "{}\
         delay            {}\n\
         retry window     {}\n\
         lifetime         {}\n\
         networks         IPv4 /{}, IPv6 /{}\n\
         mode             {}\n\
         clients exempt   {}\n\
         store            {} (sync {}, on failure {})\n\
         rules in force   {rules}\n",
        places(config),
        greylist.delay,
        greylist.retry_window,
        greylist.lifetime,
        greylist.ipv4_prefix,
        greylist.ipv6_prefix,
        word(greylist.mode),
        match greylist.exempt_clients_after {
            0 => "never".to_owned(),
            passes => format!("after {passes} passes"),
        },
        store_url(config),
        word(config.store.sync),
        word(config.store.on_failure),
    )
}

/// One of an option's words, as it is written in the configuration.
fn word(choice: impl fmt::Debug) -> String {
    format!("{choice:?}").to_lowercase()
}

/// A line for each socket, with what is spoken there.
fn places(config: &Config) -> String {
    let listen = &config.listen;
    let spoken = [
        ("policy", &listen.policy),
        ("milter", &listen.milter),
        ("greylistd", &listen.greylistd),
        ("http", &listen.http),
    ];
    let mut places: Vec<(&str, String)> = Vec::new();
    for (protocol, listeners) in spoken {
        let at = listeners.iter().map(|listener| listener.at.to_string());
        places.extend(at.map(|at| (protocol, at)));
    }
    let control = Endpoint::Unix(control_path(config));
    places.push(("control", control.to_string()));
    let mut title = "listens on";
    let lines = places.iter().map(|(protocol, at)| {
        let line = format!("{title:<17}{protocol:<11}{at}\n");
        title = "";
        line
    });
    lines.collect()
}

fn renderer(color: bool) -> Renderer {
    let renderer = if color {
        Renderer::styled()
    } else {
        Renderer::plain()
    };
    renderer.decor_style(DecorStyle::Ascii)
}

fn draw_remark(remark: &Remark, color: bool) -> String {
    match remark {
        Remark::Line(diagnostic) => draw_line(diagnostic, color),
        Remark::Unreadable { path, why, kept } => {
            let rest = if *kept {
                "; its last text goes on to hold"
            } else {
                "; it counts as empty"
            };
            format!("warning: can't open {}: {why}{rest}", path.display())
        }
        Remark::Kept(path) => {
            format!(
                "warning: {}: its last reading goes on to hold",
                path.display()
            )
        }
        Remark::Http { text, is_error } => {
            let level = if *is_error { "error" } else { "warning" };
            format!("{level}: {text}")
        }
        Remark::Shipped => "note: no list is there, so the short lists of the program hold".into(),
    }
}

pub(crate) fn draw_line(diagnostic: &Diagnostic, color: bool) -> String {
    let level = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let snippet = Snippet::source(diagnostic.source.as_str())
        .path(diagnostic.path.as_str())
        .line_start(diagnostic.line)
        .annotation(
            AnnotationKind::Primary
                .span(diagnostic.span.clone())
                .label(diagnostic.cure.as_str()),
        );
    renderer(color).render(&[level
        .primary_title(diagnostic.message.as_str())
        .element(snippet)])
}

/// A configuration's problems with carets, for a person.
pub(crate) fn draw_config(error: &ConfigError, color: bool) -> String {
    let path = error.path.display().to_string();
    let drawn = error.problems.iter().map(|problem| {
        let end = problem
            .span
            .end
            .min(error.text.len())
            .max(problem.span.start);
        let snippet = Snippet::source(error.text.as_str())
            .path(path.as_str())
            .annotation(AnnotationKind::Primary.span(problem.span.start..end));
        let report = Level::ERROR
            .primary_title(problem.message.as_str())
            .element(snippet);
        renderer(color).render(&[report])
    });
    drawn.collect::<Vec<_>>().join("\n")
}
