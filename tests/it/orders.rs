//! What a person tells a running consumer: pause, resume, scale, restart. The supervisor runs inside
//! the test.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use warrener::engine::{Command, CrewOrder, CrewRequest, Engine, EngineRequest, Options, Outcome};
use warrener::model::ConsumerName;
use warrener::telemetry::{ConsumerState, ConsumerStatus, Registry};

use crate::support::broker::{amqp_url, fresh_vhost, management_url};
use crate::support::queue::Outside;
use crate::support::supervisor::{PATIENCE, alive};

struct Inside {
    folder: tempfile::TempDir,
    url: String,
    outside: Outside,
    registry: Registry,
    command: Command,
    requests: mpsc::Sender<EngineRequest>,
    task: JoinHandle<Outcome>,
    _vhost: crate::support::broker::Vhost,
}

impl Inside {
    async fn run(keys: &str) -> Self {
        let vhost = fresh_vhost();
        let url = amqp_url(&vhost);
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), &url, keys);
        let (registry, command) = (Registry::new(), Command::default());
        let (requests, inbox) = mpsc::channel(1);
        let files: Vec<PathBuf> = vec![folder.path().join("stack.yaml")];
        let options = Options {
            load: Box::new(move || warrener::files::load(&files)),
            registry: registry.clone(),
            watch: false,
            alone: false,
            service: false,
            requests: Some(inbox),
        };
        let outside = Outside::connect(&url).await;
        let (told, runtime) = (command.clone(), tokio::runtime::Handle::current());
        let task =
            tokio::task::spawn_blocking(move || runtime.block_on(Engine::run(options, told)));
        Self { folder, url, outside, registry, command, requests, task, _vhost: vhost }
    }

    async fn tell(&self, consumer: &str, order: CrewOrder) -> bool {
        let (known, answer) = oneshot::channel();
        let consumer = ConsumerName::new(consumer).unwrap();
        let request = CrewRequest { consumer, order, known };
        self.requests.send(EngineRequest::Crew(request)).await.unwrap();
        answer.await.unwrap()
    }

    fn status(&self) -> ConsumerStatus {
        self.registry.status().consumers.into_values().next().unwrap_or_default()
    }

    fn pids(&self) -> Vec<u32> {
        self.status().workers.iter().filter_map(|worker| worker.pid).collect()
    }

    async fn wait(&self, what: &str, condition: impl Fn(&ConsumerStatus) -> bool) {
        let start = Instant::now();
        while !condition(&self.status()) {
            assert!(start.elapsed() < PATIENCE, "waited in vain: {what}: {:#?}", self.status());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    async fn stop(self) {
        self.command.drain.cancel();
        assert!(matches!(self.task.await, Ok(Outcome::Stopped)));
        assert_eq!(self.registry.status().imbalance(), 0);
    }
}

fn write(folder: &Path, url: &str, keys: &str) {
    let children = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/children");
    let command = if keys.contains("exec") {
        "[sleep, \"0.02\"]".to_owned()
    } else {
        format!("[python3, \"{}/slow.py\", \"0.02\"]", children.display())
    };
    let text = format!(
        "stack: test\nbroker: {{ url: \"{url}\", management: \"{}\" }}\nqueues: {{ work: }}\nconsumers:\n  \
         worker:\n    queue: work\n    discard: true\n    command: {command}\n{keys}",
        management_url(),
    );
    std::fs::write(folder.join("stack.yaml"), text).unwrap();
}

fn bodies(count: u32) -> impl Iterator<Item = String> {
    (0..count).map(|number| number.to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_consumer_keeps_its_processes_and_answers_what_it_holds() {
    for protocol in ["json", "exec"] {
        let mut keys = format!("    workers: 2\n    prefetch: 3\n    protocol: {protocol}\n");
        if protocol == "exec" {
            keys = keys.replace("prefetch: 3", "prefetch: 1");
        }
        let inside = Inside::run(&keys).await;
        inside.wait("to run", |status| status.state == ConsumerState::Running).await;
        inside.outside.wait_for_consumers("work", 2, PATIENCE).await;
        let pids = inside.pids();

        assert!(inside.tell("worker", CrewOrder::Pause).await);
        inside.wait("to pause", |status| status.state == ConsumerState::Paused).await;
        inside.outside.wait_for_consumers("work", 0, PATIENCE).await;
        inside.outside.publish("work", bodies(20)).await;
        inside.wait("nothing in flight", |status| status.in_flight == 0).await;
        assert_eq!(inside.outside.depth("work").await, Some(20));
        assert_eq!(inside.pids(), pids);

        assert!(inside.tell("worker", CrewOrder::Resume).await);
        inside.wait("the rest", |status| status.settled.acked == 20).await;
        assert_eq!(inside.status().state, ConsumerState::Running);
        // Pausing in the middle gives back what no child has had.
        inside.outside.publish("work", bodies(60)).await;
        inside.wait("some", |status| status.settled.acked > 25).await;
        assert!(inside.tell("worker", CrewOrder::Pause).await);
        inside.outside.wait_for_consumers("work", 0, PATIENCE).await;
        inside.wait("nothing in flight", |status| status.in_flight == 0).await;
        let acked = inside.status().settled.acked;
        // What is given back is on its way for a moment.
        let left = u32::try_from(80 - acked).unwrap();
        assert!(left > 0, "it went on");
        inside.outside.wait_for_depth("work", left, PATIENCE).await;
        if protocol == "json" {
            assert_eq!(inside.pids(), pids);
        }
        inside.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scaled_consumer_has_as_many_workers_as_it_is_told_until_the_file_says_otherwise() {
    let inside = Inside::run("    workers: 2\n").await;
    inside.outside.wait_for_consumers("work", 2, PATIENCE).await;
    let first = inside.pids();
    assert!(inside.tell("worker", CrewOrder::Scale(std::num::NonZeroU16::new(4))).await);
    inside.outside.wait_for_consumers("work", 4, PATIENCE).await;
    assert!(first.iter().all(|pid| inside.pids().contains(pid)), "an old one was touched");
    // Those that go finish what they have.
    inside.outside.publish("work", bodies(40)).await;
    inside.wait("work", |status| status.in_flight > 0).await;
    assert!(inside.tell("worker", CrewOrder::Scale(std::num::NonZeroU16::new(1))).await);
    inside.wait("all", |status| status.settled.acked == 40).await;
    inside.outside.wait_for_consumers("work", 1, PATIENCE).await;
    inside.wait("one process", |status| status.workers.len() == 1).await;
    assert_eq!(inside.status().settled.released, inside.status().received - 40);
    assert!(inside.tell("worker", CrewOrder::Scale(None)).await);
    inside.outside.wait_for_consumers("work", 2, PATIENCE).await;

    assert!(inside.tell("worker", CrewOrder::Scale(std::num::NonZeroU16::new(5))).await);
    inside.outside.wait_for_consumers("work", 5, PATIENCE).await;
    write(inside.folder.path(), &inside.url, "    workers: 3\n");
    inside.command.reload.notify_one();
    inside.outside.wait_for_consumers("work", 3, PATIENCE).await;
    assert!(!inside.tell("nobody", CrewOrder::Pause).await);
    inside.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_replaces_every_process_and_loses_nothing() {
    let inside = Inside::run("    workers: 3\n    prefetch: 4\n").await;
    inside.outside.wait_for_consumers("work", 3, PATIENCE).await;
    let before = inside.pids();
    inside.outside.publish("work", bodies(200)).await;
    inside.wait("some", |status| status.settled.acked > 10).await;
    assert!(inside.tell("worker", CrewOrder::Restart).await);
    // Never one too few: the new one consumes before the old one leaves.
    let start = Instant::now();
    while before.iter().any(|pid| alive(*pid)) {
        let consumers = inside.outside.consumers("work").await.unwrap();
        assert!((3..=4).contains(&consumers), "{consumers} consumers");
        assert!(start.elapsed() < PATIENCE);
    }
    inside.wait("all", |status| status.settled.acked == 200).await;
    inside.wait("three", |status| status.workers.len() == 3).await;
    assert_eq!(inside.outside.consumers("work").await, Some(3));
    inside.stop().await;
}
