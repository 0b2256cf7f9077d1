//! `${NAME}`, `${NAME:-default}`, `${file:/path}` and `$$` inside values.
//!
//! Done on the parsed tree, so that whatever a value holds (quotes, colons, newlines) it stays one
//! value: nothing that comes from outside can add a key or end a list.

use std::path::Path;

use super::node::{Node, Scalar, Value};
use super::source::Source;
use crate::model::{Origin, Problem, codes};

/// Where values come from that are not in the file.
pub trait Environment {
    /// The variable of that name; `None` where it is unset.
    ///
    /// # Errors
    /// In words, where it is set to something that is not UTF-8.
    fn variable(&self, name: &str) -> Result<Option<String>, String>;

    /// The whole text of the file at that absolute path.
    ///
    /// # Errors
    /// In words, where it cannot be read.
    fn file(&self, path: &Path) -> Result<String, String>;
}

/// Replaces what is to be replaced in every value of the tree. A value that lacks something is
/// refused, with one problem for each thing it lacks.
pub(super) fn interpolate(
    node: &mut Node,
    source: &Source,
    environment: &dyn Environment,
    problems: &mut Vec<Problem>,
) {
    match &mut node.value {
        Value::Scalar(scalar) if scalar.text.contains('$') => {
            let mut place = |placeholder: &str| within(node.origin, placeholder, source);
            match replace(&scalar.text, environment, &mut place) {
                Ok(text) if text == scalar.text => {}
                Ok(text) => {
                    let written = std::mem::replace(&mut scalar.text, text);
                    *scalar = Scalar { written: Some(written), ..scalar.clone() };
                }
                Err(found) => {
                    problems.extend(found);
                    node.value = Value::Refused;
                }
            }
        }
        Value::Seq(items) => {
            for item in items {
                interpolate(item, source, environment, problems);
            }
        }
        Value::Map(entries) => {
            for entry in entries {
                if entry.key.contains("${") {
                    let message = format!("nothing is interpolated in keys, as in `{}`", entry.key);
                    problems.push(
                        Problem::error(codes::INTERPOLATION, entry.key_origin, message)
                            .hint("only values can hold `${…}`"),
                    );
                }
                interpolate(&mut entry.value, source, environment, problems);
            }
        }
        Value::Scalar(_) | Value::Null | Value::Refused => {}
    }
}

/// The place of a placeholder inside a value, where the value is written as it reads.
fn within(value: Origin, placeholder: &str, source: &Source) -> Origin {
    let (start, end) = (source.clamp(value.start), source.clamp(value.end));
    let found = source.text.get(start..end).and_then(|text| text.find(placeholder));
    let offset = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
    match found {
        Some(at) => Origin {
            start: offset(start + at),
            end: offset(start + at + placeholder.len()),
            ..value
        },
        None => value,
    }
}

fn replace(
    text: &str,
    environment: &dyn Environment,
    place: &mut dyn FnMut(&str) -> Origin,
) -> Result<String, Vec<Problem>> {
    let mut out = String::with_capacity(text.len());
    let mut problems = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        if let Some(after) = rest.strip_prefix("$$") {
            out.push('$');
            rest = after;
        } else if rest.starts_with("${") {
            let Some(end) = rest.find('}') else {
                let message = "`${` without its `}`";
                problems.push(
                    Problem::error(codes::INTERPOLATION, place("${"), message)
                        .hint("write `$${` for the characters themselves"),
                );
                rest = "";
                break;
            };
            let (placeholder, after) = rest.split_at(end + 1);
            match look_up(&placeholder[2..end], environment) {
                Ok(value) => out.push_str(&value),
                Err((message, hint)) => problems.push(
                    Problem::error(codes::INTERPOLATION, place(placeholder), message).hint(hint),
                ),
            }
            rest = after;
        } else {
            // A lone dollar is itself: patterns end in one, and so do prices.
            out.push('$');
            rest = &rest[1..];
        }
    }
    out.push_str(rest);
    if problems.is_empty() { Ok(out) } else { Err(problems) }
}

/// What stands between `${` and `}`; else what is wrong and the mend.
fn look_up(inside: &str, environment: &dyn Environment) -> Result<String, (String, String)> {
    if let Some(path) = inside.strip_prefix("file:") {
        if !path.starts_with('/') {
            let message = format!("`{path}` is not an absolute path");
            return Err((message, "write `${file:/the/whole/path}`".into()));
        }
        return match environment.file(Path::new(path)) {
            // Editors and `echo` end a file with a newline that is no part of the secret in it.
            Ok(text) => Ok(text
                .strip_suffix('\n')
                .map_or(text.as_str(), |text| text.strip_suffix('\r').unwrap_or(text))
                .to_owned()),
            Err(reason) => Err((
                format!("`{path}` cannot be read: {reason}"),
                "the file must exist and be readable by the user who runs this".into(),
            )),
        };
    }
    let (name, default) = match inside.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (inside, None),
    };
    let letters = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if name.is_empty()
        || name.starts_with(|c: char| c.is_ascii_digit())
        || !name.chars().all(letters)
    {
        let message = format!("`{name}` is not the name of a variable");
        let hint = "`${NAME}`, `${NAME:-default}` or `${file:/path}`; `$${` for the characters \
                    themselves";
        return Err((message, hint.into()));
    }
    match (environment.variable(name), default) {
        (Err(reason), _) => Err((
            format!("the variable `{name}` cannot be used: {reason}"),
            "set it to UTF-8 text".into(),
        )),
        (Ok(Some(value)), None) => Ok(value),
        (Ok(Some(value)), Some(_)) if !value.is_empty() => Ok(value),
        (Ok(_), Some(default)) => Ok(default.to_owned()),
        (Ok(None), None) => Err((
            format!("the variable `{name}` is not set"),
            format!("set it, or give a default: `${{{name}:-…}}`"),
        )),
    }
}
