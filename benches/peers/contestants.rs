//! Who takes part: clients in their own languages, and Warrener with children of all kinds.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::native;
use crate::room::Room;

/// One way to consume a queue.
#[derive(Clone, Debug)]
pub(crate) struct Contestant {
    /// What it is called in the tables.
    pub(crate) name: &'static str,
    kind: Kind,
}

#[derive(Clone, Debug)]
enum Kind {
    /// A program below `target/peers` or on the PATH, its file below `benches/peers/clients`.
    Client(Vec<String>),
    /// This program in a role.
    Native(&'static str),
    /// Warrener with these keys of a consumer.
    Warrener(Value),
}

/// What a contestant is to do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Task<'a> {
    pub(crate) url: &'a str,
    pub(crate) queue: &'a str,
    pub(crate) prefetch: u16,
}

impl Contestant {
    /// Warrener, with these keys of its consumer.
    pub(crate) fn warrener(name: &'static str, consumer: Value) -> Self {
        Self { name, kind: Kind::Warrener(consumer) }
    }

    /// Another client: a program and its arguments.
    pub(crate) fn client(name: &'static str, command: &[&str]) -> Self {
        let command = command.iter().map(|&word| word.to_owned()).collect();
        Self { name, kind: Kind::Client(command) }
    }

    /// lapin without anything around it.
    pub(crate) fn native(name: &'static str, role: &'static str) -> Self {
        Self { name, kind: Kind::Native(role) }
    }

    /// Whether it is Warrener.
    pub(crate) fn is_warrener(&self) -> bool {
        matches!(self.kind, Kind::Warrener(_))
    }

    /// What is missing for it on this machine.
    pub(crate) fn missing(&self) -> Option<String> {
        let words: Vec<&str> = match &self.kind {
            Kind::Client(words) => words.iter().map(String::as_str).collect(),
            Kind::Native(_) => return None,
            Kind::Warrener(consumer) => {
                let words = consumer["command"].as_array().into_iter().flatten();
                words.filter_map(Value::as_str).collect()
            }
        };
        let program = *words.first()?;
        let path = std::env::var_os("PATH").unwrap_or_default();
        let found = if program.contains('/') {
            Path::new(program).exists()
        } else {
            std::env::split_paths(&path).any(|folder| folder.join(program).exists())
        };
        let module = words.iter().any(|word| word.ends_with("amqplib_consumer.js"))
            && !peer("node/node_modules/amqplib").exists();
        (!found || module).then(|| format!("`{program}` could not be had"))
    }

    /// The command that consumes.
    pub(crate) fn command(&self, task: Task<'_>, room: &Room) -> Command {
        let mut command = match &self.kind {
            Kind::Client(words) => {
                let mut command = Command::new(&words[0]);
                command.args(words[1..].iter().map(|word| {
                    // For those that take arguments and no environment.
                    word.replace("{url}", task.url).replace("{queue}", task.queue)
                }));
                command.env("NODE_PATH", peer("node/node_modules"));
                command
            }
            Kind::Native(role) => {
                let mut command = Command::new(std::env::current_exe().expect("this program"));
                command.env(native::ROLE, role);
                command
            }
            Kind::Warrener(consumer) => {
                let mut consumer = consumer.clone();
                consumer["queue"] = json!(task.queue);
                consumer["prefetch"] = json!(task.prefetch);
                // Nothing is rejected here, so nothing is lost.
                consumer["discard"] = json!(true);
                let stack = json!({
                    "stack": "bench",
                    "broker": {"url": task.url, "management": room.management_url()},
                    "queues": {task.queue: {}},
                    "consumers": {"contestant": consumer},
                });
                let file = room.folder.join("contestant.yaml");
                std::fs::write(&file, stack.to_string()).expect("a file");
                let mut command = warrener();
                command.arg("run").arg("--no-watch").arg(file);
                command
            }
        };
        command
            .env("BENCH_URL", task.url)
            .env("BENCH_QUEUE", task.queue)
            .env("BENCH_PREFETCH", task.prefetch.to_string());
        command
    }
}

/// The program that was built with this one.
pub(crate) fn warrener() -> Command {
    Command::new(env!("CARGO_BIN_EXE_warrener"))
}

/// Something that `install.sh` has put there.
pub(crate) fn peer(name: &str) -> PathBuf {
    top().join("target/peers").join(name)
}

/// A file of this folder.
pub(crate) fn here(name: &str) -> String {
    top().join("benches/peers").join(name).to_string_lossy().into_owned()
}

/// The top of the repository.
pub(crate) fn top() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Who consumes without a child and acks the cheapest way.
pub(crate) const CHILDLESS: &str = "lapin, `multiple` per 50";

/// Everybody who consumes small messages and acks each of them.
pub(crate) fn small() -> Vec<Contestant> {
    let text = |path: PathBuf| path.to_string_lossy().into_owned();
    let python = text(peer("python/bin/python3"));
    let lines = |name, command: &[&str]| {
        Contestant::warrener(name, json!({"protocol": "lines", "command": command}))
    };
    vec![
        Contestant::client("pika", &[&python, &here("clients/pika_consumer.py")]),
        Contestant::client("aio-pika", &[&python, &here("clients/aio_pika_consumer.py")]),
        Contestant::client("amqplib (Node)", &["node", &here("clients/amqplib_consumer.js")]),
        Contestant::client("rabbitmq-c", &[&text(peer("rabbitmq_c"))]),
        Contestant::native("lapin, each ack awaited", native::AWAITED),
        Contestant::native("lapin, each ack polled once", native::POLLED),
        Contestant::native(CHILDLESS, native::MULTIPLE),
        lines("warrener, Python, `lines`", &["python3", &here("children/lines.py")]),
        Contestant::warrener(
            "warrener, Python, `json`",
            json!({"command": ["python3", here("children/objects.py")]}),
        ),
        lines("warrener, Node, `lines`", &["node", &here("children/lines.js")]),
        Contestant::native("`sed -u`, each reply settled alone", native::ALONE_SED),
        Contestant::native("bash, each reply settled alone", native::ALONE_BASH),
        lines("warrener, `sed -u`", &["sed", "-u", "s/.*/ack/"]),
        lines("warrener, bash `read` loop", &["bash", &here("children/lines.sh")]),
        lines("warrener, awk", &["mawk", "-W", "interactive", "{ print \"ack\" }"]),
        lines("warrener, C", &[&text(peer("lines_c"))]),
    ]
}

/// Children that flush each line, the same with each reply settled alone, and nobody at all.
pub(crate) fn flushing() -> Vec<Contestant> {
    let wanted =
        |one: &Contestant| ["sed -u", "bash", CHILDLESS].iter().any(|part| one.name.contains(part));
    small().into_iter().filter(wanted).collect()
}
