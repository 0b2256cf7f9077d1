//! What a consumer asks the broker for: its priority and arguments.

use crate::support::case::{Case, QUEUES, consumer};
use crate::support::supervisor::{PATIENCE, wait_until};

fn lines_of(case: &Case, file: &str) -> usize {
    std::fs::read_to_string(case.supervisor.path(file)).unwrap_or_default().lines().count()
}

/// Writes each line that comes to that file, and acks it.
fn to_file(file: &str) -> String {
    format!(
        "shell: 'while read -r line; do echo \"$line\" >> {file}; echo ack; done'\nprotocol: lines\n"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn the_consumer_of_the_higher_priority_gets_the_messages() {
    let mut case = Case::prepare().await;
    case.write(&format!(
        "{QUEUES}consumers:\n{}{}",
        consumer("low", "work", &to_file("low")),
        consumer("high", "work", &(to_file("high") + "priority: 5\n")),
    ));
    case.supervisor.start();
    case.outside.wait_for_consumers("work", 2, PATIENCE).await;
    // Fewer than the prefetch, so none is left for the other.
    case.outside.publish("work", (0..40).map(|number| number.to_string())).await;
    case.wait_settled();
    assert_eq!((lines_of(&case, "high"), lines_of(&case, "low")), (40, 0));
    case.stop(PATIENCE);
}

#[tokio::test(flavor = "multi_thread")]
async fn arguments_reach_the_broker() {
    let mut case = Case::prepare().await;
    let queue = "queues:\n  work: { type: stream }\n";
    let keys = to_file("seen") + "enabled: false\narguments: { x-stream-offset: first }\n";
    let sections = format!("{queue}consumers:\n{}", consumer("worker", "work", &keys));
    case.write(&sections);
    let said = case.supervisor.run(&["apply", "--yes", "stack.yaml"]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    // By default, a stream begins with what comes after.
    case.outside.publish("work", (0..5).map(|number| number.to_string())).await;
    case.write(&sections.replace("enabled: false", "enabled: true"));
    case.supervisor.start();
    wait_until("the messages of before", PATIENCE, || lines_of(&case, "seen") == 5);
    case.stop(PATIENCE);
}
