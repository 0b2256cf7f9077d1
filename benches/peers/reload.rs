//! How long a running supervisor takes from a saved file to its effect, where the file is large and
//! one thing in it has changed.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::contestants::warrener;
use crate::room::Room;
use crate::stage::Stage;
use crate::topology::{Topology, save};

/// The longest that an effect is waited for.
const PATIENCE: Duration = Duration::from_mins(1);

/// How long nothing changes before each change. The look that follows the one before is over then.
const CALM: Duration = Duration::from_secs(8);

/// Of each kind of change.
const TIMES: usize = 3;

/// Seconds from the save to the effect.
#[derive(Default)]
pub(crate) struct Effects {
    /// A queue and its binding are there.
    pub(crate) queue: Vec<f64>,
    /// A consumer runs its new command.
    pub(crate) consumer: Vec<f64>,
    /// A policy says what it is to say.
    pub(crate) policy: Vec<f64>,
    /// A queue and its binding are gone.
    pub(crate) removal: Vec<f64>,
    /// A queue has another argument, for which it is made anew.
    pub(crate) argument: Vec<f64>,
}

impl Effects {
    /// Adds those of another round.
    pub(crate) fn extend(&mut self, other: Self) {
        self.queue.extend(other.queue);
        self.consumer.extend(other.consumer);
        self.policy.extend(other.policy);
        self.removal.extend(other.removal);
        self.argument.extend(other.argument);
    }
}

/// What the file says.
#[derive(Clone, Copy)]
struct Version {
    /// Queues beyond those that are there.
    more: usize,
    /// What the process of the consumer writes down.
    consumer: usize,
    /// What the policy says.
    policy: usize,
    /// What the argument of a queue says.
    argument: usize,
}

impl Version {
    fn stack(self, room: &Room, topology: &Topology) -> Value {
        let mut stack = topology.stack(room, self.more);
        let shell = format!("echo {} > ../version; exec sed -u s/.*/ack/", self.consumer);
        let queue = Topology::queue(0);
        stack["reconcile"] = json!({"prune": true});
        let changing = &mut stack["queues"][Topology::queue(1)];
        changing["on_conflict"] = json!("replace");
        changing["arguments"] = json!({"x-max-length": 1_000_000 + self.argument});
        stack["consumers"] = json!({
            "watched": {"queue": queue, "protocol": "lines", "shell": shell, "discard": true},
        });
        stack["policies"] = json!({
            "watched": {"pattern": "^queue\\.0000", "definition": {"max-length": 1_000_000 + self.policy}},
        });
        stack
    }
}

/// Changes one thing after the other under a running supervisor.
pub(crate) async fn measure(room: &Room, topology: &Topology) -> Effects {
    let file = room.folder.join("watched/large.yaml");
    let folder = file.parent().expect("it has one");
    std::fs::create_dir_all(folder).expect("a folder");
    let mut version = Version { more: 3, consumer: 0, policy: 0, argument: 0 };
    save(&file, &version.stack(room, topology));
    let mut command = warrener();
    command.arg("run").arg(&file);
    let log = room.folder.join("reload.log");
    let stage = Stage::enter(command, &log);
    let says = |path: &Path, words: &str| {
        std::fs::read_to_string(path).unwrap_or_default().contains(words)
    };
    while !says(&log, "started: ") {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let written = room.folder.join("version");
    let vhost = &topology.vhost;
    let mut effects = Effects::default();
    for _ in 0..TIMES {
        version.more += 1;
        let queue = Topology::queue(topology.queues + version.more - 1);
        let stack = version.stack(room, topology);
        let path = format!("queues/{vhost}/{queue}/bindings");
        let bound = async || {
            let bindings = room.management(&path).await;
            bindings.as_array().is_some_and(|bindings| bindings.len() == 2)
        };
        effects.queue.push(effect(&file, &stack, &log, bound).await);

        version.consumer += 1;
        let stack = version.stack(room, topology);
        let text = format!("{}\n", version.consumer);
        let runs = async || std::fs::read_to_string(&written).is_ok_and(|said| said == text);
        effects.consumer.push(effect(&file, &stack, &log, runs).await);

        version.policy += 1;
        let stack = version.stack(room, topology);
        let wanted = stack["policies"]["watched"]["definition"].clone();
        let path = format!("policies/{vhost}/watched");
        let holds = async || room.management(&path).await["definition"] == wanted;
        effects.policy.push(effect(&file, &stack, &log, holds).await);

        version.more -= 1;
        let stack = version.stack(room, topology);
        let gone = async || !room.exists_in(vhost, &queue).await;
        effects.removal.push(effect(&file, &stack, &log, gone).await);

        version.argument += 1;
        let stack = version.stack(room, topology);
        let wanted = stack["queues"][Topology::queue(1)]["arguments"]["x-max-length"].clone();
        let path = format!("queues/{vhost}/{}", Topology::queue(1));
        let holds = async || room.management(&path).await["arguments"]["x-max-length"] == wanted;
        effects.argument.push(effect(&file, &stack, &log, holds).await);
    }
    stage.leave().await;
    effects
}

/// Saves the file in a calm moment, and waits until that has come to what it should.
async fn effect(file: &Path, stack: &Value, log: &Path, there: impl AsyncFn() -> bool) -> f64 {
    tokio::time::sleep(CALM).await;
    let from = Instant::now();
    save(file, stack);
    while !there().await {
        assert!(from.elapsed() < PATIENCE, "no effect: see {}", log.display());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let took = from.elapsed().as_secs_f64();
    eprintln!("  effect after {took:.2} s");
    took
}
