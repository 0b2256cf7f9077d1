//! `warrener dev`: one command from files to a balanced ledger, and nothing stays behind.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::processes::{listens, processes_with};
use crate::support::supervisor::{PATIENCE, wait_until};

const STACK: &str = r#"
stack: shop
# Another broker, which is never asked, and a vhost, which is created.
broker: { url: "amqp://nobody:wrong@192.0.2.1:5672/my%20shop" }
exchanges:
  orders: { type: topic }
queues:
  work: { bind: [{ exchange: orders, key: "order.*" }], dead_letter: { queue: dead } }
  dead: {}
  archive: { bind: [{ exchange: orders, key: "order.#" }] }
consumers:
  worker:
    queue: work
    command: [python3, answer.py]
    retry: { delays: [50ms] }
"#;

const FEED: &str = r#"
{"routing_key":"order.new","message_id":"1","body":"ack"}
{"routing_key":"order.new","message_id":"2","body":"once upon a time"}

{"routing_key":"order.new","body":"reject spoiled"}
{"routing_key":"order.new","body":"nack always"}
{"routing_key":"order.new.and.deep","body":"only archived"}
{"routing_key":"nobody.listens","body":"returned"}
{"exchange":"","routing_key":"work","body":"ack"}
"#;

/// A folder with a stack, and one for temporary files, both with blanks in their names.
struct Desk {
    folder: tempfile::TempDir,
}

impl Desk {
    fn new(feed: &str) -> Self {
        let folder = tempfile::Builder::new().prefix("warrener dev ").tempdir().unwrap();
        let answer = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/children/answer.py");
        fs::copy(answer, folder.path().join("answer.py")).unwrap();
        fs::write(folder.path().join("stack.yaml"), STACK).unwrap();
        fs::write(folder.path().join("feed.jsonl"), feed).unwrap();
        fs::create_dir(folder.path().join("tmp dir")).unwrap();
        Self { folder }
    }

    fn dev(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_warrener"));
        command
            .args(["dev", "stack.yaml"])
            .args(arguments)
            .current_dir(self.folder.path())
            .env("TMPDIR", self.folder.path().join("tmp dir"))
            .env_remove("PYTHONUNBUFFERED")
            .stdin(Stdio::null());
        command
    }

    /// Nothing of the broker or of the consumers is left.
    #[track_caller]
    fn assert_clean(&self) {
        let temporary = self.folder.path().join("tmp dir");
        wait_until("the folder of the broker is removed", PATIENCE, || {
            fs::read_dir(&temporary).unwrap().next().is_none()
        });
        let name = self.folder.path().display().to_string();
        wait_until("no process is left", PATIENCE, || processes_with(&name).is_empty());
    }
}

#[test]
fn a_feed_ends_in_a_balanced_ledger() {
    let desk = Desk::new(FEED);
    let feed = ["--feed", "feed.jsonl", "--exchange", "orders", "--until-settled"];
    let output = desk.dev(&feed).output().unwrap();
    let log = String::from_utf8_lossy(&output.stderr);
    insta::assert_snapshot!(String::from_utf8_lossy(&output.stdout), @r"

    ledger of stack `shop`

    published 7: 6 confirmed, 1 unroutable as the bindings say

    queue  expected  acked  dead-lettered  discarded  lost  duplicates  retried
    work          5      3              2          0     0           0        2

    dead letters in  from    reason     counted  on the broker
    dead             worker  exhausted        1              1
    dead             worker  rejected         1              1

    kept in  expected  on the broker
    archive         5              5

    balanced: 5 deliveries settled, lost 0
    ");
    assert_eq!(output.status.code(), Some(0), "{log}");
    assert!(log.contains("AMQP        amqp://guest:guest@127.0.0.1:"), "{log}");
    desk.assert_clean();
}

#[test]
fn a_bad_line_of_the_feed_is_named() {
    let desk =
        Desk::new("{\"body\":\"ack\",\"exchange\":\"\",\"routing_key\":\"work\"}\n{\"bodi\":1}\n");
    let output = desk.dev(&["--feed", "feed.jsonl", "--until-settled"]).output().unwrap();
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(log.contains("error: line 2 of the feed is no message: unknown field `bodi`"), "{log}");
    assert_eq!(output.status.code(), Some(1));
    desk.assert_clean();
}

/// Starts `warrener dev` and gives the port of its broker once a consumer runs.
fn start(desk: &Desk) -> (Child, u16) {
    let mut child = desk.dev(&[]).stderr(Stdio::piped()).spawn().unwrap();
    let mut port = None;
    let stderr = child.stderr.take().unwrap();
    let mut lines = BufReader::new(stderr).lines();
    for line in lines.by_ref().map_while(Result::ok) {
        if let Some((_, rest)) = line.split_once("guest:guest@127.0.0.1:") {
            port = rest.split('/').next().and_then(|port| port.parse().ok());
        }
        if line.contains("worker[0]: started") {
            break;
        }
    }
    // Read on, so that it can go on to write.
    std::thread::spawn(move || lines.for_each(drop));
    (child, port.expect("it says where it listens"))
}

#[test]
fn ctrl_c_ends_it_and_removes_everything() {
    let desk = Desk::new("");
    let (mut child, port) = start(&desk);
    assert!(listens(port));
    kill(Pid::from_raw(child.id().try_into().unwrap()), Signal::SIGINT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert!(!listens(port), "the broker ends before the command does");
    desk.assert_clean();
}

#[test]
fn even_a_killed_one_leaves_nothing_behind() {
    let desk = Desk::new("");
    let (mut child, port) = start(&desk);
    child.kill().unwrap();
    child.wait().unwrap();
    wait_until("nothing listens", PATIENCE, || !listens(port));
    desk.assert_clean();
}
