//! Small children written in the test itself: how they end, and what they say around their answers.

use std::fs;
use std::time::{Duration, Instant};

use super::{QUICK, STOPPED};
use crate::support::case::{Case, QUEUES, consumer};
use crate::support::supervisor::{PATIENCE, alive, wait_until};

/// A consumer of `lines` that runs this, and gives a message up after its second crash.
fn script(text: &str) -> String {
    format!(
        "shell: \"{text}\"\nprotocol: lines\nmax_crashes: 2\nstop: {{ grace: 3s }}\n\
         restart: {{ backoff: 50ms, backoff_max: 200ms, intensity: {{ max: 100, period: 1m }} }}\n"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_the_exit_code_a_message_in_flight_has_failed() {
    for code in [3, 126, 127, 255] {
        let mut case = Case::run(&script(&format!("read -r line; exit {code}"))).await;
        case.send(&["a"]).await;
        case.outside.wait_for_depth("dead", 1, PATIENCE).await;
        let dead = case.outside.take_all("dead").await;
        assert_eq!(dead[0].header("warrener-error"), format!("crash 2 of 2: exit code {code}"));
        case.supervisor.wait_for(&format!("its process ended with exit code {code}; restart in"));
        let books = case.stop(STOPPED);
        assert_eq!((books.count("acked"), books.count("dead_lettered")), (0, 1), "{code}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_the_signal_a_message_in_flight_has_failed() {
    for (number, name) in [(1, "HUP"), (6, "ABRT"), (9, "KILL"), (11, "SEGV"), (15, "TERM")] {
        let mut case = Case::run(&script(&format!("read -r line; kill -{name} $$$$"))).await;
        case.send(&["a"]).await;
        case.outside.wait_for_depth("dead", 1, PATIENCE).await;
        let dead = case.outside.take_all("dead").await;
        let how = format!("signal {number} (SIG{name})");
        assert_eq!(dead[0].header("warrener-error"), format!("crash 2 of 2: {how}"));
        case.supervisor.wait_for(&format!("its process ended with {how}; restart in"));
        let books = case.stop(STOPPED);
        assert_eq!((books.count("acked"), books.count("dead_lettered")), (0, 1), "{name}");
        // What the kernel kills when memory runs out looks the same.
        let hinted = case.logged("hint: it was killed from outside; where memory ran out");
        assert_eq!(hinted > 0, name == "KILL", "{name}");
    }
}

/// One that leaves its work to others, who hold its pipes, and ends.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_process_leaves_behind_holds_up_nothing_and_is_told_of() {
    for way in ["sleep 600 &", "setsid sleep 600 &"] {
        let text = format!("{way} read -r line; echo $! >> left; exit 3");
        let mut case = Case::run(&script(&text)).await;
        case.send(&["a"]).await;
        let start = Instant::now();
        case.outside.wait_for_depth("dead", 1, PATIENCE).await;
        // Two lives and a short pause.
        assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
        let dead = case.outside.take_all("dead").await;
        assert_eq!(dead[0].header("warrener-error"), "crash 2 of 2: exit code 3", "{way}");
        let left = fs::read_to_string(case.supervisor.path("left")).unwrap();
        for pid in left.lines().map(|pid| pid.parse().unwrap()) {
            wait_until("its end", PATIENCE, || !alive(pid));
        }
        case.supervisor.wait_for("its process left others behind when it ended: they are killed");
        case.supervisor.wait_for("hint: a program that is to live on must stay in the foreground");
        let books = case.stop(STOPPED);
        assert_eq!((books.count("acked"), books.count("dead_lettered")), (0, 1), "{way}");
        // Every one of them does, and it is said now and then.
        assert_eq!(case.logged("left others behind"), 1, "{way}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_closes_its_output_and_lives_on_is_replaced() {
    let mut case = Case::run(&script("read -r line; exec 1>&-; exec sleep 1000")).await;
    case.send(&["a"]).await;
    case.outside.wait_for_depth("dead", 1, PATIENCE).await;
    let dead = case.outside.take_all("dead").await;
    assert_eq!(dead[0].header("warrener-reason"), "crashed");
    let why = "crash 2 of 2: it closed its output and went on";
    assert_eq!(dead[0].header("warrener-error"), why);
    case.supervisor.wait_for("it has closed its output and goes on: the worker is replaced");
    wait_until("another", PATIENCE, || case.logged("worker[0]: started") >= 3);
    let books = case.stop(STOPPED);
    assert_eq!((books.count("acked"), books.count("dead_lettered")), (0, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_after_the_deadline_settles_nothing() {
    let text = "trap '' TERM; while read -r line; do sleep 1; echo ack; echo $line >> late; done";
    let mut case = Case::run(&(script(text) + "timeout: 300ms\nprefetch: 1\n")).await;
    case.send(&["a"]).await;
    case.outside.wait_for_depth("dead", 1, PATIENCE).await;
    let dead = case.outside.take_all("dead").await;
    assert_eq!(dead[0].header("warrener-reason"), "timeout");
    let late = case.supervisor.path("late");
    wait_until("the late answer", PATIENCE, || late.exists());
    case.supervisor.wait_for("no answer within 300ms: the worker is replaced");
    wait_until("another", PATIENCE, || case.logged("worker[0]: started") >= 2);
    let books = case.stop(STOPPED);
    assert_eq!((books.count("acked"), books.count("dead_lettered")), (0, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn ends_of_lines_of_other_systems_and_json_that_is_no_reply_are_no_fault() {
    // A byte order mark, JSON of its own, pieces of an answer. One without its
    // newline may be the beginning of another: it settles nothing, and the next child has the message.
    let text = "set -e; read -r a; echo '{ \\\"hello\\\": [1] }'; echo '[\\\"ack\\\"]'; \
                printf '\\\\357\\\\273\\\\277ack\\\\r\\\\n\\\\r\\\\n'; read -r b; printf 'a'; sleep 0.2; printf 'c'; sleep 0.2; printf 'k\\\\n'; \
                read -r c; read -r d; printf 'ack\\\\nack\\\\n'; read -r e; printf 'ack'";
    let mut case = Case::run(&script(text)).await;
    case.send(&["a", "b", "c", "d", "e"]).await;
    case.wait_settled();
    for line in ["{ \"hello\": [1] }", "[\"ack\"]"] {
        assert!(case.supervisor.log().contains(line), "{line}");
    }
    // The last answer came without its end, so it was none.
    assert!(case.logged("worker[0] stdout: ack\n") >= 1, "{}", case.supervisor.log());
    case.supervisor.wait_for("its process ended with exit code 0; restart in");
    let books = case.stop(STOPPED);
    assert_eq!((books.count("acked"), books.count("protocol_errors")), (5, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_mebibytes_on_stderr_without_a_line_end_hold_up_nothing() {
    let script = "import sys
for line in sys.stdin:
    print('x' * (10 << 20), end='', flush=True, file=sys.stderr)
    print('ack', flush=True)";
    let mut case = Case::prepare().await;
    case.supervisor.write("endless.py", script);
    case.start(&format!("command: [python3, endless.py]\nprotocol: lines\n{QUICK}"));
    case.supervisor.wait_for("started: topology");
    case.send(&["a", "b"]).await;
    case.wait_settled();
    case.supervisor.wait_for("xxxxxxxx");
    let books = case.stop(STOPPED);
    assert_eq!((books.count("acked"), books.count("restarts")), (2, 0));
    assert!(case.supervisor.log().len() < 2_000_000, "the flood is in the log");
}

/// The most memory that a process has ever had, MiB.
fn peak(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a size");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") / 1024
}

/// What floods standard error and what is never read take no memory of the supervisor, and its
/// neighbour goes on meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn a_flood_and_an_unread_pipe_cost_no_memory() {
    const FLOOD: &str = "import sys
for piece in range(512):
    sys.stderr.buffer.write((b'x' * 99 + b'\\n') * 5000)
open('flooded', 'w')
import time; time.sleep(600)";
    let mut case = Case::prepare().await;
    case.supervisor.write("flood.py", FLOOD);
    let flood = format!("command: [python3, flood.py]\nprefetch: 500\n{QUICK}");
    let good = "command: [python3, \"${CHILDREN}/ledger.py\"]\nenv: { LEDGER: ledger }\n";
    case.write(&format!(
        "{QUEUES}  other: {{ dead_letter: {{ queue: dead }} }}\nconsumers:\n{}{}",
        consumer("flood", "other", &flood),
        consumer("worker", "work", good)
    ));
    case.supervisor.start();
    case.supervisor.wait_for("started: topology");
    let before = peak(case.supervisor.pid());
    // What it never reads: 500 messages are held, 8 MiB of them in all.
    case.outside.publish("other", (0..500).map(|_| "y".repeat(16 << 10))).await;
    case.outside.publish("work", (0..2000).map(|number| number.to_string())).await;
    case.wait_handled(2000);
    let flooded = case.supervisor.path("flooded");
    wait_until("all of it to be drained", PATIENCE * 2, || flooded.exists());
    let grown = peak(case.supervisor.pid()) - before;
    assert!(grown <= 64, "{grown} MiB more");
    let books = case.stop(STOPPED);
    assert_eq!((books.count("acked"), books.count("released")), (2000, 500));
    assert!(books.count("log_lines_dropped") > 1_000_000, "{books:?}");
    assert!(case.supervisor.log().len() < 20_000_000, "the flood is in the log");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_answer_stands_though_its_process_ends_right_after_it() {
    let script = "import json, os, sys
id = json.loads(sys.stdin.readline())['id']
publish = [{'routing_key': 'dead', 'body': 'x' * 900000}]
print(json.dumps({'id': id, 'result': 'ack', 'publish': publish}), flush=True)
os._exit(0)";
    let mut case = Case::prepare().await;
    case.supervisor.write("large.py", script);
    case.start(&format!("command: [python3, large.py]\nprefetch: 1\n{QUICK}"));
    case.supervisor.wait_for("started: topology");
    case.send(&["a"]).await;
    case.outside.wait_for_depth("dead", 1, PATIENCE).await;
    assert_eq!(case.outside.take_all("dead").await[0].body, "x".repeat(900_000));
    case.supervisor.wait_for("its process ended with exit code 0; restart in");
    case.wait_settled();
    let books = case.stop(STOPPED);
    assert_eq!((books.count("acked"), books.count("dead_lettered")), (1, 0));
}

/// The file chooses the signal; it comes when four fifths of the grace time are over.
#[tokio::test(flavor = "multi_thread")]
async fn the_stop_signal_is_the_one_that_the_file_names() {
    let text = "trap 'echo int >> signals' INT; trap 'echo term >> signals' TERM; read -r line; \
                touch begun; while :; do sleep 0.1; done";
    let keys = script(text).replace("grace: 3s", "signal: INT, grace: 2s");
    let mut case = Case::run(&keys).await;
    case.send(&["a"]).await;
    wait_until("it to have read", PATIENCE, || case.supervisor.path("begun").exists());
    let start = Instant::now();
    let books = case.stop(Duration::from_secs(3));
    assert!(start.elapsed() > Duration::from_millis(1900), "{:?}", start.elapsed());
    assert_eq!(fs::read_to_string(case.supervisor.path("signals")).unwrap(), "int\n");
    assert_eq!(case.logged("its process ended with signal 9 (SIGKILL)"), 1);
    assert_eq!((books.count("received"), books.count("released")), (1, 1));
    case.outside.wait_for_depth("work", 1, PATIENCE).await;
}
