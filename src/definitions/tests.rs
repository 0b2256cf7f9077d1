//! Shapes of documents, and what becomes of them.

mod properties;
mod settings;
mod shapes;

use std::path::Path;

use secrecy::ExposeSecret;
use serde_json::Value;

use super::{Carried, Document, Purpose, Sheet, Wish, carry};
use crate::config::{Environment, Loader};
use crate::model::{StackName, Topology};

/// No variable and no file.
struct Nothing;

/// The variables for the secrets of what was carried over.
struct Known<'a>(&'a Carried);

impl Environment for Known<'_> {
    fn variable(&self, name: &str) -> Result<Option<String>, String> {
        Ok(self.0.secrets.variable(name).map(|secret| secret.expose_secret().to_owned()))
    }

    fn file(&self, _: &Path) -> Result<String, String> {
        Err("there are no files".into())
    }
}

impl Environment for Nothing {
    fn variable(&self, _: &str) -> Result<Option<String>, String> {
        Ok(None)
    }

    fn file(&self, _: &Path) -> Result<String, String> {
        Err("there are no files".into())
    }
}

/// Reads a text as the commands do.
fn read(text: &str, environment: &dyn Environment) -> Topology {
    let mut loader = Loader::new(environment);
    loader.add("stack.yaml", text, Path::new("/stack"));
    match loader.finish() {
        Ok(resolved) => resolved.desired.topology,
        Err(found) => panic!("{}\n{text}", found.sources.render(&found.problems, false)),
    }
}

fn written(carried: &Carried) -> String {
    let stack = StackName::new("test").expect("a name");
    let url = format!("amqp://localhost/{}", carried.vhost);
    let url = (carried.vhost.as_str() != "/").then_some(url.as_str());
    Sheet { url, ..carried.sheet(&stack) }.text()
}

/// Carries JSON over and demands that the file reads back the same.
fn carried(document: &Value, purpose: Purpose) -> Carried {
    let document = Document::new(document.clone()).expect("definitions");
    let wish = Wish { vhost: None, select: None, secrets: false, purpose };
    let carried = carry(&document, &wish).expect("a vhost");
    assert_eq!(read(&written(&carried), &Known(&carried)), carried.topology);
    carried
}

/// The file without its head, and the notes.
fn shown(carried: &Carried) -> String {
    let text = written(carried);
    let text = text.strip_prefix("stack: test\n").unwrap_or(&text).trim_start();
    let notes: Vec<_> = carried.notes.iter().map(ToString::to_string).collect();
    format!("{text}\n{}", notes.join("\n"))
}
