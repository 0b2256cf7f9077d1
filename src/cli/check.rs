//! `warrener check`: everything that can be said about the files without a broker.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde_json::json;

use super::args::Global;
use super::diagnostics::{self, count};
use super::exit::Exit;
use crate::config::SourceMap;
use crate::files::{self, LoadError, Loaded};
use crate::lint::lint;
use crate::model::{Desired, Problem, RetrySpec, Severity};

/// Arguments of `warrener check`.
#[derive(Args, Debug)]
pub struct Check {
    /// Files and directories, read together as one stack
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Refuse warnings as well
    #[arg(long)]
    strict: bool,
    /// How problems are written
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people, on standard error.
    Text,
    /// One JSON object, on standard output.
    Json,
}

/// What `check` found.
struct Findings {
    problems: Vec<Problem>,
    sources: SourceMap,
    desired: Option<Desired>,
}

/// Runs the command.
pub(super) fn run(global: &Global, check: &Check) -> Exit {
    let mut findings = match files::load(&check.files) {
        Ok(Loaded { desired, mut warnings, sources, .. }) => {
            warnings.extend(lint(&desired));
            Findings { problems: warnings, sources, desired: Some(desired) }
        }
        Err(LoadError { problems, sources, .. }) => Findings { problems, sources, desired: None },
    };
    if check.strict {
        for problem in &mut findings.problems {
            problem.severity = Severity::Error;
        }
    }
    let failed = findings.problems.iter().any(|problem| problem.severity == Severity::Error);
    match check.format {
        Format::Text => text(&findings, failed, global.quiet),
        Format::Json => json(&findings, failed),
    }
    if failed { Exit::Failed } else { Exit::Done }
}

// Where nothing can be written any more, for example because a pager was closed, the exit code
// still answers; so failures to write are passed over.
fn text(findings: &Findings, failed: bool, quiet: bool) {
    let Findings { problems, sources, desired } = findings;
    if quiet {
        let errors: Vec<_> = problems
            .iter()
            .filter(|problem| problem.severity == Severity::Error)
            .cloned()
            .collect();
        diagnostics::print(sources, &errors);
    } else {
        diagnostics::print(sources, problems);
    }
    if failed {
        let of = |severity| problems.iter().filter(|problem| problem.severity == severity).count();
        let errors = count(of(Severity::Error), "error", "errors");
        let files = count(sources.iter().len(), "file", "files");
        let warnings = match of(Severity::Warning) {
            0 => String::new(),
            number => format!(" and {}", count(number, "warning", "warnings")),
        };
        let _ = writeln!(anstream::stderr(), "check failed: {errors}{warnings} in {files}");
    } else if let (Some(desired), false) = (desired, quiet) {
        let _ = writeln!(anstream::stdout(), "{}", summary(desired));
    }
}

fn json(findings: &Findings, failed: bool) {
    let Findings { problems, sources, desired } = findings;
    let problems: Vec<_> =
        problems.iter().map(|problem| diagnostics::to_json(sources, problem)).collect();
    let mut object = json!({ "ok": !failed, "problems": problems });
    if let Some(desired) = desired {
        object["summary"] = json!({
            "stack": desired.stack,
            "exchanges": desired.topology.exchanges().len(),
            "queues": desired.topology.queues().len(),
            "retry_queues": retry_queues(desired),
            "bindings": desired.topology.bindings().len(),
            "policies": desired.topology.policies().len(),
            "consumers": desired.fleet.consumers().len(),
        });
    }
    let _ = writeln!(anstream::stdout(), "{object:#}");
}

/// One line about what was read.
fn summary(desired: &Desired) -> String {
    let topology = &desired.topology;
    let queues = count(topology.queues().len(), "queue", "queues");
    let retries = match retry_queues(desired) {
        0 => String::new(),
        number => format!(" ({number} for retries)"),
    };
    format!(
        "stack `{}`: {}, {queues}{retries}, {}, {}, {}",
        desired.stack,
        count(topology.exchanges().len(), "exchange", "exchanges"),
        count(topology.bindings().len(), "binding", "bindings"),
        count(topology.policies().len(), "policy", "policies"),
        count(desired.fleet.consumers().len(), "consumer", "consumers"),
    )
}

/// How many queues were derived from the delays of consumers.
fn retry_queues(desired: &Desired) -> usize {
    let names: BTreeSet<_> = desired
        .fleet
        .consumers()
        .filter_map(|consumer| Some((consumer, consumer.retry.as_ref()?)))
        .flat_map(|(consumer, retry)| {
            let delays = retry.distinct_delays().into_iter();
            delays.map(|delay| RetrySpec::queue_name(&consumer.queue, delay))
        })
        .collect();
    names.len()
}
