//! A stack file for a vhost of its own on the shared broker, and `plan` and `apply` on it.

use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::broker::{Vhost, amqp_url, fresh_vhost, management_url};

/// What a command said, and how it ended.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// Begins a text that is the path of the file to read in its place.
const READ: &str = "read the file ";

/// One stack. JSON is YAML, so its file is a JSON document that tests change between commands.
pub(crate) struct Stack {
    pub(crate) document: Value,
    vhost: Vhost,
    folder: tempfile::TempDir,
}

impl Stack {
    /// A stack of these sections; `stack` and `broker` are added.
    pub(crate) fn new(mut sections: Value) -> Self {
        let vhost = fresh_vhost();
        sections["stack"] = json!("test");
        sections["broker"] = json!({"url": amqp_url(&vhost), "management": management_url()});
        let folder = tempfile::tempdir().expect("a folder");
        Self { document: sections, vhost, folder }
    }

    pub(crate) fn vhost(&self) -> &str {
        self.vhost.name()
    }

    /// A file beside the stack's.
    pub(crate) fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file beside the stack's that holds a secret.
    pub(crate) fn secret(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).expect("a file");
    }

    /// What stands in the stack's file for the text of a file beside it.
    pub(crate) fn reading(&self, name: &str) -> String {
        format!("{READ}{}", self.path(name).display())
    }

    pub(crate) fn plan(&self) -> Said {
        self.run(&["plan", "stack.yaml"])
    }

    pub(crate) fn apply(&self) -> Said {
        self.run(&["apply", "stack.yaml"])
    }

    /// Runs the built program on the file as it stands now.
    pub(crate) fn run(&self, arguments: &[&str]) -> Said {
        let output = self.command(arguments).output().expect("the program runs");
        // Vhosts have a new name in each run.
        let text = |bytes| {
            let text = String::from_utf8(bytes).expect("text");
            text.replace(self.vhost.name(), "VHOST")
        };
        Said { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }

    /// The same, killed after so long; whether it was killed before its end.
    pub(crate) fn run_killed(&self, arguments: &[&str], after: Duration) -> bool {
        let mut command = self.command(arguments);
        let mut child =
            command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the program runs");
        std::thread::sleep(after);
        child.kill().expect("it is ours");
        child.wait().expect("it ends").code().is_none()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let text = serde_json::to_string_pretty(&literal(&self.document)).expect("JSON");
        std::fs::write(self.folder.path().join("stack.yaml"), text).expect("a file");
        let mut command = Command::new(env!("CARGO_BIN_EXE_warrener"));
        command
            .args(arguments)
            .current_dir(self.folder.path())
            .env("WARRENER_STATE_DIR", self.folder.path().join("state"))
            .stdin(Stdio::null());
        command
    }
}

/// The same document with its texts protected from interpolation.
fn literal(value: &Value) -> Value {
    match value {
        Value::String(text) => match text.strip_prefix(READ) {
            Some(path) => Value::String(format!("${{file:{path}}}")),
            None => Value::String(text.replace('$', "$$")),
        },
        Value::Array(values) => values.iter().map(literal).collect(),
        Value::Object(values) => {
            let values = values.iter().map(|(key, value)| (key.clone(), literal(value)));
            Value::Object(values.collect::<Map<_, _>>())
        }
        other => other.clone(),
    }
}
