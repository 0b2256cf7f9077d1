//! A folder of files, a vhost of the shared broker, and the program.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};

use reqwest::Method;
use serde_json::Value;
use warrener::config::Environment;
use warrener::model::{Binding, Exchange, Origin, Policy, Queue, Setting, Topology, VhostName};

use crate::reconcile::{api, get};
use crate::support::broker::{Vhost, amqp_url, fresh_vhost, management_url, since};
use crate::support::stack::Said;

/// The variable that an import puts in the place of a password, and that password.
const PASSWORD: (&str, &str) = ("PARCELS_TO_THE_FAR_SIDE_DEST_URI_PASSWORD", "s3cret");

pub(super) fn document(name: &str) -> String {
    format!("{}/tests/it/carry/definitions/{name}.json", env!("CARGO_MANIFEST_DIR"))
}

/// Gives the vhosts and users of a document other names: `/` becomes `name`.
fn rename(json: &mut Value, key: &str, name: &str) {
    match json {
        Value::Array(values) => values.iter_mut().for_each(|value| rename(value, key, name)),
        Value::Object(values) => {
            for (inner, value) in values {
                let renamed = match (key, inner.as_str(), &*value) {
                    ("vhosts", "name", Value::String(vhost))
                    | (_, "vhost" | "original_vhost_name", Value::String(vhost)) => {
                        match vhost.as_str() {
                            "/" => name.to_owned(),
                            other => format!("z-{other}-{name}"),
                        }
                    }
                    ("users", "name", Value::String(user)) | (_, "user", Value::String(user)) => {
                        format!("{user}-{name}")
                    }
                    _ => {
                        let key = if key.is_empty() { inner.clone() } else { key.to_owned() };
                        rename(value, &key, name);
                        continue;
                    }
                };
                *value = renamed.into();
            }
        }
        _ => {}
    }
}

/// Takes a key out, wherever it is.
fn forget(json: &mut Value, key: &str) {
    match json {
        Value::Array(values) => values.iter_mut().for_each(|value| forget(value, key)),
        Value::Object(values) => {
            values.remove(key);
            values.values_mut().for_each(|value| forget(value, key));
        }
        _ => {}
    }
}

/// A folder, a vhost, and the program.
pub(super) struct Yard {
    pub(super) vhost: Vhost,
    pub(super) folder: tempfile::TempDir,
}

impl Yard {
    pub(super) fn new() -> Self {
        Self { vhost: fresh_vhost(), folder: tempfile::tempdir().expect("a folder") }
    }

    /// Runs the program with the broker of this vhost in its environment.
    pub(super) fn run(&self, arguments: &[&str]) -> Said {
        let output = Command::new(env!("CARGO_BIN_EXE_warrener"))
            .args(arguments)
            .current_dir(self.folder.path())
            .env("AMQP_URL", amqp_url(&self.vhost))
            .env("WARRENER_MANAGEMENT", management_url())
            .env("WARRENER_STATE_DIR", self.folder.path().join("state"))
            .env(PASSWORD.0, PASSWORD.1)
            .stdin(Stdio::null())
            .output()
            .expect("the program runs");
        let text = |bytes| {
            let text = String::from_utf8(bytes).expect("text");
            text.replace(self.vhost.name(), "VHOST").replace(&management_url(), "MANAGEMENT")
        };
        Said { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }

    pub(super) fn read(&self, file: &str) -> String {
        std::fs::read_to_string(self.folder.path().join(file)).expect("a file")
    }

    pub(super) fn write(&self, file: &str, text: &str) {
        std::fs::write(self.folder.path().join(file), text).expect("a file");
    }

    /// Imports a document of this folder of tests into a file that knows where the broker is. Its
    /// vhosts and users get names that no other test has.
    pub(super) fn import(&self, name: &str) -> Said {
        let text = std::fs::read_to_string(document(name)).expect("a document");
        let text = text.trim_start_matches('\u{feff}');
        let mut json: Value = serde_json::from_str(text).expect("JSON");
        rename(&mut json, "", self.vhost.name());
        if !since(3, 12) {
            // These brokers cannot change it.
            forget(&mut json, "default_queue_type");
        }
        self.write("definitions.json", &json.to_string());
        let said = self.run(&["import", "definitions.json", "--stack", "test"]);
        let management = format!("\nbroker:\n  management: {}\n", management_url());
        let text = said.out.replace("VHOST", self.vhost.name());
        self.write("stack.yaml", &text.replacen("\nbroker:\n", &management, 1));
        said
    }

    /// Applies a file and demands that nothing is left to do.
    pub(super) fn settles(&self, file: &str) {
        let applied = self.run(&["apply", file]);
        assert_eq!(applied.code, Some(0), "{applied:?}\n{}", self.read(file));
        self.is_settled(file);
    }

    pub(super) fn is_settled(&self, file: &str) {
        let again = self.run(&["plan", file]);
        // An export of one vhost has no users, so they may be named as no longer declared.
        let settled = again.out.ends_with("nothing to do: the broker is as the files say\n");
        assert!(again.code == Some(0) && settled, "{again:?}\n{}", self.read(file));
    }

    /// What a file says should exist.
    pub(super) fn topology(&self, file: &str) -> Topology {
        let path = self.folder.path().join(file);
        let url = amqp_url(&self.vhost);
        let environment =
            Known(BTreeMap::from([("AMQP_URL", url), (PASSWORD.0, PASSWORD.1.into())]));
        match warrener::files::load_with(&[path], &environment) {
            Ok(loaded) => loaded.desired.topology,
            Err(error) => panic!("{}", error.render(false)),
        }
    }
}

struct Known(BTreeMap<&'static str, String>);

impl Environment for Known {
    fn variable(&self, name: &str) -> Result<Option<String>, String> {
        Ok(self.0.get(name).cloned())
    }

    fn file(&self, _: &Path) -> Result<String, String> {
        Err("there are no files".into())
    }
}

impl Yard {
    /// How much there is, whoever declared it.
    pub(super) fn vhost_has(&self) -> [usize; 5] {
        ["queues", "exchanges", "bindings", "policies", "operator-policies"].map(|kind| {
            let listed = get(&format!("{kind}/{}", self.vhost.name()));
            listed.as_array().expect("a list").len()
        })
    }

    /// What a topology has in the vhost of this yard, as text that can be compared.
    pub(super) fn of_vhost(&self, topology: &Topology) -> Vec<String> {
        let here = |vhost: &VhostName| vhost.as_str() == self.vhost.name();
        let exchanges = topology.exchanges().filter(|it| here(&it.vhost));
        let exchanges = exchanges
            .map(|it| format!("{:?}", Exchange { origin: Origin::default(), ..it.clone() }));
        let queues = topology.queues().filter(|it| here(&it.vhost));
        let queues =
            queues.map(|it| format!("{:?}", Queue { origin: Origin::default(), ..it.clone() }));
        let bindings = topology.bindings().filter(|it| here(&it.vhost));
        let bindings =
            bindings.map(|it| format!("{:?}", Binding { origin: Origin::default(), ..it.clone() }));
        let policies = topology.policies().filter(|it| here(&it.vhost));
        let policies =
            policies.map(|it| format!("{:?}", Policy { origin: Origin::default(), ..it.clone() }));
        let parameters = topology.settings().filter(|it| it.vhost().is_some_and(here));
        let parameters = parameters.filter_map(|it| match it {
            Setting::Parameter(_) | Setting::OperatorPolicy(_) => {
                Some(format!("{} {:?}", it.id(), it.attributes()))
            }
            _ => None,
        });
        exchanges.chain(queues).chain(bindings).chain(policies).chain(parameters).collect()
    }
}

/// What an import made beside the vhost goes as well.
impl Drop for Yard {
    fn drop(&mut self) {
        // A second panic would abort; what is left goes with the node.
        if std::thread::panicking() {
            return;
        }
        for kind in ["users", "vhosts"] {
            let listed = get(kind);
            let names =
                listed.as_array().into_iter().flatten().filter_map(|it| it["name"].as_str());
            for name in names.filter(|name| name.ends_with(&format!("-{}", self.vhost.name()))) {
                api(Method::DELETE, &format!("{kind}/{name}"), None);
            }
        }
    }
}
