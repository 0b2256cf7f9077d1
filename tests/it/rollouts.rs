//! A new version comes in: under load, nothing is lost, and one that is no good goes by itself.

use std::fs;
use std::time::{Duration, Instant};

use crate::support::case::{Books, Case, QUEUES, consumer};
use crate::support::supervisor::{PATIENCE, alive, wait_until};

/// Takes $DELAY over each message. Three in ten fail where $BAD is set; they are written to the file
/// `failed`, the others to `ledger`.
const WORKER: &str = r#"
import json, os, sys, time
def book(name, id):
    fd = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.write(fd, id.encode() + b"\n")
    os.close(fd)
bad, delay = "BAD" in os.environ, float(os.environ["DELAY"])
for number, line in enumerate(sys.stdin.buffer):
    message = json.loads(line)
    time.sleep(delay)
    fails = bad and number % 10 in (2, 5, 8)
    book("failed" if fails else "ledger", message["properties"]["message_id"])
    sys.stdout.write("%s %s\n" % ("nack" if fails else "ack", message["id"]))
    sys.stdout.flush()
"#;

const CANARY: &str = "rollout: { strategy: canary, window: { messages: 200, time: 60s } }";

async fn run(keys: &str) -> Case {
    let mut case = Case::prepare().await;
    case.supervisor.write("worker.py", WORKER);
    write(&case, keys);
    case.supervisor.start();
    case.supervisor.wait_for("started: topology");
    case.outside.wait_for_consumers("work", 3, PATIENCE).await;
    case
}

fn write(case: &Case, keys: &str) {
    let keys = format!(
        "command: [python3, worker.py]\nworkers: 3\nprefetch: 10\nretry: {{ delays: [200ms, 200ms, 200ms, 200ms] }}\n{keys}"
    );
    case.write(&format!("{QUEUES}consumers:\n{}", consumer("worker", "work", &keys)));
}

async fn load(case: &Case, count: u32) {
    case.outside.publish("work", (0..count).map(|number| number.to_string())).await;
}

/// What a canary is tried under.
const MESSAGES: u32 = 4000;

/// Publishes them, and waits until work is under way.
async fn load_and_begin(case: &Case) {
    load(case, MESSAGES).await;
    wait_until("work under way", PATIENCE, || case.ledger().len() > 50);
}

fn assert_each_once(case: &Case, books: &Books) {
    assert_eq!(case.ledger().len(), MESSAGES as usize);
    assert!(case.ledger().values().all(|times| *times == 1), "a message was handled twice");
    assert_eq!(books.count("acked"), u64::from(MESSAGES));
}

/// How many messages the bad version has failed.
fn failed(case: &Case) -> usize {
    let text = fs::read_to_string(case.supervisor.path("failed")).unwrap_or_default();
    text.lines().count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_canary_that_fails_a_third_of_its_messages_is_rolled_back_and_nothing_is_lost() {
    let old = format!("env: {{ DELAY: \"0.003\" }}\n{CANARY}");
    let mut case = run(&old).await;
    let before = case.supervisor.children();
    load_and_begin(&case).await;

    write(&case, &old.replace("{ DELAY", "{ BAD: yes, DELAY"));
    case.supervisor.wait_for("one worker of the new version is tried beside the old ones");
    case.supervisor.wait_for("the new version is rolled back: it failed");
    case.supervisor.wait_for("reloaded: topology: nothing to do; consumers: 1 rolled back");
    case.wait_handled(MESSAGES as usize);
    wait_until("the canary to go", PATIENCE, || case.supervisor.children() == before);
    // A quarter of all was its share; it was found out long before.
    let failed = failed(&case);
    assert!((1..MESSAGES as usize / 4).contains(&failed), "{failed} failed");
    assert_eq!(case.outside.consumers("work").await, Some(3));
    case.wait_settled();
    let books = case.stop(PATIENCE);
    case.outside.wait_for_depth("dead", 0, PATIENCE).await;
    assert_each_once(&case, &books);
    assert_eq!(books.count("retried"), failed as u64);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_canary_that_is_as_good_takes_over_and_nothing_is_lost() {
    let old = format!("env: {{ DELAY: \"0.003\" }}\n{CANARY}");
    let mut case = run(&old).await;
    let before = case.supervisor.children();
    load_and_begin(&case).await;

    write(&case, &old.replace("0.003", "0.0031"));
    case.supervisor.wait_for("the new version is as good as the old one: the other workers follow");
    case.supervisor.wait_for("reloaded: topology: nothing to do; consumers: 1 replaced");
    wait_until("the old ones to go", PATIENCE, || !before.iter().any(|pid| alive(*pid)));
    case.wait_handled(MESSAGES as usize);
    assert_eq!(case.outside.consumers("work").await, Some(3));
    assert_eq!(case.supervisor.children().len(), 3);
    case.wait_settled();
    let books = case.stop(PATIENCE);
    assert_each_once(&case, &books);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_canary_that_is_slow_or_never_ready_goes_as_well() {
    let window = "rollout: { strategy: canary, window: { messages: 30 }, max_latency_ratio: 2 }";
    let old = format!("env: {{ DELAY: \"0.005\" }}\n{window}");
    let mut case = run(&old).await;
    let before = case.supervisor.children();
    load(&case, 6000).await;
    write(&case, &old.replace("0.005", "0.05"));
    case.supervisor.wait_for("the new version is rolled back: half of its messages take over");

    // One that ends at once; the time of the window is not waited for.
    let text = fs::read_to_string(case.supervisor.path("stack.yaml")).unwrap();
    let text = text.replace("command: [python3, worker.py]", "shell: exit 3");
    case.supervisor.write("stack.yaml", &text);
    case.supervisor.wait_for("consumers: 1 refused");
    case.supervisor.wait_for("the new version did not come up, the old one stays");
    wait_until("only the old ones", PATIENCE, || case.supervisor.children() == before);
    case.wait_handled(6000);
    case.wait_settled();
    assert_eq!(case.stop(PATIENCE).count("acked"), 6000);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_changes_in_the_middle_is_decided_for_the_newest() {
    let old = "env: { DELAY: \"0.003\" }\nrollout: { strategy: canary, window: { messages: 100000, time: 1h } }";
    let mut case = run(old).await;
    let before = case.supervisor.children();
    load(&case, 3000).await;
    write(&case, &old.replace("0.003", "0.0035"));
    case.supervisor.wait_for("one worker of the new version is tried beside the old ones");
    // Back to what was: the old ones have never gone.
    write(&case, old);
    case.supervisor.wait_for("consumers: 1 changed again meanwhile");
    case.supervisor.wait_for("reloaded: topology: nothing to do; consumers: 1 kept");
    wait_until("only the old ones", PATIENCE, || case.supervisor.children() == before);

    // Something else, and then something else again, which takes over at once.
    write(&case, &old.replace("0.003", "0.004"));
    wait_until("a second canary", PATIENCE, || {
        case.logged("one worker of the new version is tried beside the old ones") == 2
    });
    let last = old
        .replace("0.003", "0.002")
        .replace("canary, window: { messages: 100000, time: 1h }", "replace");
    write(&case, &last);
    case.supervisor.wait_for("consumers: 1 replaced");
    assert_eq!(case.logged("consumers: 1 changed again meanwhile"), 2);
    wait_until("all old ones to go", PATIENCE, || !before.iter().any(|pid| alive(*pid)));
    assert_eq!(case.outside.consumers("work").await, Some(3));
    case.wait_handled(3000);
    case.wait_settled();
    case.stop(PATIENCE);
    assert_eq!(case.ledger().len(), 3000);
}

#[tokio::test(flavor = "multi_thread")]
async fn by_default_one_follows_the_other_and_with_replace_all_come_side_by_side() {
    for (strategy, most) in [("", 4), ("rollout: { strategy: replace }", 6)] {
        let old = format!("env: {{ DELAY: \"0.01\" }}\n{strategy}");
        let mut case = run(&old).await;
        let before = case.supervisor.children();
        load(&case, 600).await;
        write(&case, &old.replace("0.01", "0.011"));
        let start = Instant::now();
        let mut seen = (3, 3);
        while before.iter().any(|pid| alive(*pid)) {
            let consumers = case.outside.consumers("work").await.expect("it is there");
            seen = (seen.0.min(consumers), seen.1.max(consumers));
            assert!(start.elapsed() < PATIENCE, "{seen:?}");
        }
        assert_eq!(seen, (3, most), "{strategy}");
        case.supervisor.wait_for("consumers: 1 replaced");
        case.wait_handled(600);
        case.wait_settled();
        assert_eq!(case.stop(PATIENCE).count("acked"), 600);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_does_not_come_up_brings_all_places_back() {
    // The first two of the new version come up, the third does not.
    let old = "env: { DELAY: \"0.001\", LUCKY: yes }";
    let mut case = run(old).await;
    write(&case, &old.replace("LUCKY: yes", "LUCKY: no"));
    case.supervisor.wait_for("consumers: 1 replaced");
    let script = "if mkdir one || mkdir two; then echo ready; exec python3 worker.py; fi; exit 7";
    let text = fs::read_to_string(case.supervisor.path("stack.yaml")).unwrap();
    let text =
        text.replace("command: [python3, worker.py]", &format!("shell: {script}\n    ready: true"));
    case.supervisor.write("stack.yaml", &text);
    case.supervisor.wait_for("consumers: 1 refused");
    case.supervisor.wait_for("exit code 7");
    case.outside.wait_for_consumers("work", 3, PATIENCE).await;
    load(&case, 300).await;
    case.wait_handled(300);
    let children = case.supervisor.children();
    wait_until("three of the old version", Duration::from_secs(30), || {
        case.supervisor.children().len() == 3
    });
    for pid in &children {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        assert!(!String::from_utf8_lossy(&line).contains("mkdir"));
    }
    case.wait_settled();
    case.stop(PATIENCE);
}
