//! Workers that come and go with the work, and workers that have done their share.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use crate::support::case::Case;
use crate::support::supervisor::{PATIENCE, alive, wait_until};

/// How many workers the supervisor has started, by what their lines begin with.
fn started(case: &Case) -> usize {
    (0..9).map(|slot| case.logged(&format!("worker[{slot}]: started"))).sum()
}

fn ledger(keys: &str) -> String {
    format!("command: [python3, \"${{CHILDREN}}/ledger.py\"]\n{keys}\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_burst_brings_all_workers_and_its_end_takes_them_without_flapping() {
    let keys = ledger(
        "workers: { min: 1, max: 4, backlog: 50, cool_down: 2s }\nprefetch: 5\n\
         env: { LEDGER: ledger, DELAY: \"0.01\" }",
    );
    let mut case = Case::run(&keys).await;
    case.outside.wait_for_consumers("work", 1, PATIENCE).await;
    case.outside.publish("work", (0..1500).map(|number| number.to_string())).await;
    case.outside.wait_for_consumers("work", 4, PATIENCE).await;
    // As long as there is that much to do, nobody goes.
    while case.ledger().len() < 1200 {
        assert_eq!(case.outside.consumers("work").await, Some(4));
    }
    case.wait_handled(1500);
    let emptied = Instant::now();
    case.outside.wait_for_consumers("work", 1, PATIENCE).await;
    assert!(emptied.elapsed() > Duration::from_millis(1500), "gone in {:?}", emptied.elapsed());
    wait_until("one process", PATIENCE, || case.supervisor.children().len() == 1);
    assert_eq!(started(&case), 4, "somebody came twice");

    // What trickles in is no reason for anybody.
    for number in 0..20 {
        case.outside.publish("work", [number.to_string()]).await;
    }
    case.wait_settled();
    assert_eq!(started(&case), 4);
    let books = case.stop(PATIENCE);
    assert_eq!(books.count("acked"), 1520);
    assert_eq!(case.ledger().len(), 1500);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_busy_ends_what_it_has_when_the_pool_shrinks() {
    // Each takes longer over a message than the pool waits, and than the grace time is.
    let keys = ledger(
        "workers: { min: 1, max: 3, backlog: 1, cool_down: 1s }\nprefetch: 1\nstop: { grace: 1s }\n\
         env: { LEDGER: ledger, DELAY: \"4\" }",
    );
    let mut case = Case::run(&keys).await;
    case.send(&["a", "b", "c", "d"]).await;
    case.outside.wait_for_consumers("work", 3, PATIENCE).await;
    case.wait_settled();
    case.outside.wait_for_consumers("work", 1, PATIENCE).await;
    let books = case.stop(PATIENCE);
    assert_eq!((books.count("acked"), books.count("released")), (4, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_has_handled_enough_is_replaced_between_messages() {
    let keys = ledger(
        "workers: 2\nprefetch: 10\nrecycle: { messages: 100 }\n\
         env: { LEDGER: ledger, DELAY: \"0.004\" }",
    );
    let mut case = Case::run(&keys).await;
    case.outside.wait_for_consumers("work", 2, PATIENCE).await;
    case.outside.publish("work", (0..2000).map(|number| number.to_string())).await;
    let mut pids = BTreeSet::new();
    let mut fewest = u32::MAX;
    while case.ledger().len() < 2000 {
        pids.extend(case.supervisor.children());
        fewest = fewest.min(case.outside.consumers("work").await.expect("it is there"));
    }
    case.supervisor.wait_for("messages: another takes its place");
    assert!(pids.len() >= 4, "{} processes", pids.len());
    assert!(fewest >= 2, "{fewest} consumers");
    case.wait_settled();
    let books = case.stop(PATIENCE);
    assert!(case.ledger().values().all(|times| *times == 1), "a message was handled twice");
    assert_eq!(books.count("acked"), 2000);
    assert!(books.count("restarts") >= 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn age_and_idleness_replace_a_process() {
    for (limit, word) in [("age: 2s", "it has lived for"), ("idle: 1s", "it has had nothing to do")]
    {
        let keys = ledger(&format!("recycle: {{ {limit} }}\nenv: {{ LEDGER: ledger }}"));
        let mut case = Case::run(&keys).await;
        wait_until("a child", PATIENCE, || !case.supervisor.children().is_empty());
        let [first] = case.supervisor.children()[..] else { panic!("one child") };
        case.send(&["a"]).await;
        case.supervisor.wait_for(word);
        wait_until("the first to go", PATIENCE, || !alive(first));
        case.outside.wait_for_consumers("work", 1, PATIENCE).await;
        case.send(&["b"]).await;
        case.wait_settled();
        assert_eq!(case.stop(PATIENCE).count("acked"), 2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_grows_is_replaced_with_all_that_it_has_answered() {
    // It keeps a megabyte of each message; what grows is a child of the shell that is started.
    let script = "import sys; kept = []
for line in sys.stdin: kept.append(bytearray(1 << 20)); print('ack', flush=True)";
    let mut case = Case::prepare().await;
    case.supervisor.write("grow.py", script);
    case.start("shell: python3 grow.py; exit 0\nprotocol: lines\nprefetch: 1\nrecycle: { memory: 96MiB }\n");
    case.supervisor.wait_for("started: topology");
    wait_until("a child", PATIENCE, || !case.supervisor.children().is_empty());
    let [first] = case.supervisor.children()[..] else { panic!("one child") };
    case.outside.publish("work", (0..200).map(|number| number.to_string())).await;
    case.supervisor.wait_for("KiB of memory: another takes its place");
    wait_until("the first to go", PATIENCE, || !alive(first));
    case.outside.wait_for_consumers("work", 1, PATIENCE).await;
    case.wait_settled();
    assert_eq!(case.logged("another takes its place"), 1);
    assert_eq!(case.stop(PATIENCE).count("acked"), 200);
}
