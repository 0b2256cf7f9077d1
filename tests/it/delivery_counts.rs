//! What a quorum queue counts against a message: nothing that no child has failed at.
//!
//! With a `delivery_limit` of 0 the broker drops whatever comes back but once, and here that shows as
//! a dead letter. (4.3 counts only what was rejected, and what a lost consumer had.)

use std::collections::BTreeSet;

use crate::support::case::{Case, consumer};
use crate::support::supervisor::{PATIENCE, wait_until};

fn stack(limit: u8, keys: &str) -> String {
    format!(
        "queues:\n  work: {{ type: quorum, delivery_limit: {limit}, dead_letter: {{ queue: dead }} }}\n  \
         dead: {{ type: quorum }}\nconsumers:\n{}",
        consumer("worker", "work", keys)
    )
}

async fn run(limit: u8, keys: &str) -> Case {
    let mut case = Case::prepare().await;
    case.write(&stack(limit, keys));
    case.supervisor.start();
    case.supervisor.wait_for("started: topology");
    case
}

/// Tells the supervisor to do something.
fn tell(case: &Case, words: &[&str]) {
    let said = case.supervisor.run(words);
    assert_eq!(said.code, Some(0), "{words:?}: {said:?}");
}

fn wait_for_children(case: &Case, count: usize) {
    wait_until("as many as there should be", PATIENCE, || {
        case.supervisor.children().len() == count
    });
}

/// Waits until all processes are others than these.
fn wait_for_others(case: &Case, before: &BTreeSet<u32>, count: usize) {
    wait_until("others", PATIENCE, || {
        let now = case.supervisor.children();
        now.len() == count && !now.iter().any(|pid| before.contains(pid))
    });
}

/// Nothing has been given back so far, by the supervisor or by its client in the broker. There must
/// still be something to do: where little is left, chance decides how much is on its way at any
/// moment, and a stop gives back.
async fn nothing_was_given_back(mut case: Case) {
    assert!(case.outside.depth("work").await > Some(0), "there was not enough to do");
    let said = case.supervisor.run(&["status", "--json"]);
    let status: serde_json::Value = serde_json::from_str(&said.out).expect("JSON");
    let settled = &status["status"]["consumers"]["worker"]["settled"];
    assert_eq!(settled["released"], 0, "{settled}");
    assert!(settled["acked"].as_u64() > Some(0), "{settled}");
    assert_eq!(case.outside.depth("dead").await, Some(0));
    case.stop(PATIENCE);
}

/// Everything that replaces workers or gives them a rest: nothing is ever given back.
#[tokio::test(flavor = "multi_thread")]
async fn replacing_and_pausing_workers_under_load_costs_no_message_a_try() {
    let keys = "command: [python3, \"${CHILDREN}/ledger.py\"]\nworkers: 3\nprefetch: 20\n\
                env: { LEDGER: ledger, DELAY: \"0.005\" }\nstop: { grace: 20s }\n";
    let case = run(0, keys).await;
    wait_for_children(&case, 3);
    case.outside.publish("work", (0..20_000).map(|number| number.to_string())).await;
    for (strategy, umask) in [("rolling", "027"), ("replace", "077")] {
        let before: BTreeSet<u32> = case.supervisor.children().into_iter().collect();
        tell(&case, &["restart", "worker"]);
        wait_for_others(&case, &before, 3);
        tell(&case, &["scale", "worker", "5"]);
        wait_for_children(&case, 5);
        case.outside.wait_for_consumers("work", 5, PATIENCE).await;
        tell(&case, &["scale", "worker", "1"]);
        wait_for_children(&case, 1);
        tell(&case, &["pause", "worker"]);
        case.outside.wait_for_consumers("work", 0, PATIENCE).await;
        tell(&case, &["resume", "worker"]);
        tell(&case, &["scale", "worker", "3"]);
        wait_for_children(&case, 3);
        let before: BTreeSet<u32> = case.supervisor.children().into_iter().collect();
        let changed = format!("{keys}rollout: {{ strategy: {strategy} }}\numask: \"{umask}\"\n");
        case.write(&stack(0, &changed));
        tell(&case, &["reload"]);
        wait_for_others(&case, &before, 3);
    }
    nothing_was_given_back(case).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn recycling_under_load_costs_no_message_a_try() {
    let keys = "command: [python3, \"${CHILDREN}/ledger.py\"]\nworkers: 2\nprefetch: 20\n\
                env: { LEDGER: ledger, DELAY: \"0.002\" }\nrecycle: { messages: 300 }\n";
    let case = run(0, keys).await;
    case.outside.publish("work", (0..10_000).map(|number| number.to_string())).await;
    wait_until("four to go", PATIENCE, || case.logged("its process ended with exit code 0") >= 4);
    nothing_was_given_back(case).await;
}

/// One that goes works off what waits behind its message.
#[tokio::test(flavor = "multi_thread")]
async fn a_worker_of_processes_works_off_what_it_has_before_it_goes() {
    let keys = "shell: exec sleep 0.02\nprotocol: exec\nworkers: 4\nprefetch: 5\n";
    let case = run(0, keys).await;
    case.outside.publish("work", (0..5_000).map(|number| number.to_string())).await;
    for _ in 0..3 {
        for workers in [1, 4] {
            tell(&case, &["scale", "worker", &workers.to_string()]);
            case.outside.wait_for_consumers("work", workers, PATIENCE).await;
        }
    }
    nothing_was_given_back(case).await;
}

/// A consumer that cannot start for a night must not cost its messages their tries: what is tried now
/// and then takes none before its process has lived for a while, as those do not that wait in vain for
/// something.
#[tokio::test(flavor = "multi_thread")]
async fn probes_of_a_broken_consumer_cost_no_message_a_try() {
    let keys = "shell: 'test -e mended || sleep 0.3; test -e mended || exit 1; while read -r line; do echo ack; done'\n\
                protocol: lines\nprefetch: 10\n\
                restart: { backoff: 50ms, backoff_max: 200ms, reset_after: 1s, intensity: { max: 2, period: 10s } }\n";
    let mut case = run(2, keys).await;
    case.send(&["a", "b", "c", "d", "e"]).await;
    wait_until("six probes", PATIENCE * 2, || case.logged("one worker is tried again") >= 6);
    case.outside.wait_for_depth("work", 5, PATIENCE).await;
    assert_eq!(case.outside.depth("dead").await, Some(0), "the broker has given up on a message");
    case.supervisor.write("mended", "");
    case.supervisor.wait_for("the one worker holds: all of them start again");
    case.wait_settled();
    let books = case.stop(PATIENCE);
    assert_eq!(books.count("acked"), 5);
}
