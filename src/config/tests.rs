//! One `check(text, expected)` for the whole room: text in, problems with their places out.

mod consumers;
mod elsewhere;
mod faults;
mod guarantees;
mod interpolation;
mod properties;
mod resources;
mod settings;
mod shown;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use super::{Environment, Loader, Resolved, Unresolved};
use crate::model::{Desired, Problem};

/// Variables and files that exist only in a test.
#[derive(Default)]
struct Fake {
    variables: BTreeMap<&'static str, &'static str>,
    files: BTreeMap<&'static str, &'static str>,
}

impl Environment for Fake {
    fn variable(&self, name: &str) -> Result<Option<String>, String> {
        Ok(self.variables.get(name).map(|value| (*value).to_owned()))
    }

    fn file(&self, path: &Path) -> Result<String, String> {
        let text = path.to_str().and_then(|path| self.files.get(path));
        text.map(|text| (*text).to_owned()).ok_or_else(|| "no such file".into())
    }
}

fn resolve_with(environment: &Fake, texts: &[&str]) -> Result<Resolved, Unresolved> {
    let mut loader = Loader::new(environment);
    for (number, text) in texts.iter().enumerate() {
        let name = if number == 0 { "a.yaml".into() } else { format!("{number}.yaml") };
        loader.add(&name, text, Path::new("/stack"));
    }
    loader.finish()
}

fn resolve(texts: &[&str]) -> Result<Resolved, Unresolved> {
    resolve_with(&Fake::default(), texts)
}

/// What the text describes; a test that gets here expects no problem.
fn desired(text: &str) -> Desired {
    match resolve(&[text]) {
        Ok(resolved) => resolved.desired,
        Err(Unresolved { problems, sources }) => panic!("{}", sources.render(&problems, false)),
    }
}

/// All problems of the texts, one a line: code, place, message.
fn problems(texts: &[&str]) -> String {
    let (problems, sources) = match resolve(texts) {
        Ok(resolved) => (resolved.warnings, resolved.sources),
        Err(unresolved) => (unresolved.problems, unresolved.sources),
    };
    let mut lines = String::new();
    for Problem { code, origin, message, related, .. } in problems {
        let place = origin.and_then(|origin| sources.locate(origin));
        let place = place.expect("every problem of a file has its place");
        write!(lines, "{code} {place} {message}").expect("writing to a string");
        for (origin, words) in related {
            let place = sources.locate(origin).expect("related places are in the files");
            write!(lines, " [{place} {words}]").expect("writing to a string");
        }
        lines.push('\n');
    }
    lines
}

/// Expects exactly these problems: each line begins with a code and a place, and the rest of the
/// line is part of what is said.
#[track_caller]
fn check(text: &str, expected: &[&str]) {
    check_all(&[text], expected);
}

#[track_caller]
fn check_all(texts: &[&str], expected: &[&str]) {
    let found = problems(texts);
    let lines: Vec<_> = found.lines().collect();
    let matches = lines.len() == expected.len()
        && lines.iter().zip(expected).all(|(line, expected)| line.starts_with(expected));
    assert!(matches, "for\n{}\nexpected {expected:#?}\nfound\n{found}", texts.join("\n---\n"));
}
