//! Problems on the screen.

use std::io::Write as _;

use serde_json::{Value, json};

use crate::config::SourceMap;
use crate::model::{Origin, Problem, Severity};

/// Writes problems to standard error, for people. Colour follows the global choice.
pub(super) fn print(sources: &SourceMap, problems: &[Problem]) {
    // Rendered with colour always; the stream takes it out again where it is not wanted.
    let text = sources.render(problems, true);
    // Nothing can be said where standard error is gone; the exit code remains.
    let _ = anstream::stderr().write_all(text.as_bytes());
}

/// A problem as a JSON object, for tools.
pub(super) fn to_json(sources: &SourceMap, problem: &Problem) -> Value {
    let mut object = json!({
        "code": problem.code,
        "severity": match problem.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        },
        "message": problem.message,
    });
    let place = |origin: Origin| sources.locate(origin);
    if let Some(place) = problem.origin.and_then(place) {
        object["file"] = place.file.into();
        object["line"] = place.line.into();
        object["column"] = place.column.into();
    }
    if !problem.label.is_empty() {
        object["label"] = problem.label.as_str().into();
    }
    if let Some(hint) = &problem.hint {
        object["hint"] = hint.as_str().into();
    }
    let related: Vec<_> = problem
        .related
        .iter()
        .filter_map(|(origin, words)| {
            let place = place(*origin)?;
            Some(json!({
                "file": place.file, "line": place.line, "column": place.column, "message": words,
            }))
        })
        .collect();
    if !related.is_empty() {
        object["related"] = related.into();
    }
    object
}

/// `1 queue`, `2 queues`.
pub(super) fn count(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}
