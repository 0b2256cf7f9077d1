//! `dedupe` on a real broker: what was handled is not handled again.

use std::time::Duration;

use amq_protocol::protocol::BasicProperties;
use amq_protocol::types::{AMQPValue, FieldTable};
use nix::sys::signal::Signal;

use crate::support::case::{Books, Case};
use crate::support::supervisor::{PATIENCE, wait_until};

const LEDGER: &str = "command: [python3, \"${CHILDREN}/ledger.py\"]\nstop: { grace: 5s }\ndedupe: { by: message_id }\n";

fn ledger(delay: &str, more: &str) -> String {
    format!("{LEDGER}env: {{ LEDGER: ledger, DELAY: \"{delay}\" }}\n{more}")
}

/// What was received and not given back untouched, as a version does that is being replaced; what
/// was acked; and duplicates.
fn all(books: &Books) -> (u64, u64, u64) {
    let kept = books.count("received") - books.count("released");
    (kept, books.count("acked"), books.count("duplicates"))
}

#[tokio::test(flavor = "multi_thread")]
async fn each_key_is_handled_once_however_often_it_comes() {
    let mut case = Case::run(&ledger("0.001", "workers: 4\nprefetch: 20\n")).await;
    for _ in 0..3 {
        // The ids are the numbers of the messages.
        case.outside.publish("work", (0..500).map(|number| number.to_string())).await;
    }
    case.wait_settled();
    let ledger = case.ledger();
    assert_eq!(ledger.len(), 500);
    assert!(ledger.values().all(|times| *times == 1), "something was handled twice");
    assert_eq!(all(&case.stop(PATIENCE)), (1_500, 500, 1_000));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_waits_for_another_is_handled_if_that_fails() {
    // The first that comes takes its time and fails; whichever comes next succeeds.
    let script =
        "read -r a; echo x >> tries; if mkdir first 2>>log2; then sleep 1; exit 3; fi; exit 0";
    let keys = format!(
        "shell: '{script}'\nprotocol: exec\nworkers: 3\ndedupe: {{}}\nexit_codes: {{ 3: reject }}\n"
    );
    let mut case = Case::run(&keys).await;
    for _ in 0..3 {
        // Each is the first of its kind, with the id 0.
        case.send(&["same\n"]).await;
    }
    case.wait_settled();
    let tries = std::fs::read_to_string(case.supervisor.path("tries")).unwrap();
    // One fails, one is done, and by then the third is a duplicate.
    assert_eq!(tries.lines().count(), 2);
    let books = case.stop(PATIENCE);
    assert_eq!(all(&books), (3, 1, 1));
    assert_eq!(books.count("dead_lettered"), 1);
    assert_eq!(case.outside.depth("dead").await, Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_is_no_duplicate_and_a_message_without_a_key_is_itself() {
    let script = "cat > /dev/null; echo \"$$WARRENER_MESSAGE_ID $$WARRENER_ATTEMPT\" >> tries; \
                  test \"$$WARRENER_ATTEMPT\" = 2";
    let keys = format!(
        "shell: '{script}'\nprotocol: exec\nretry: {{ delays: [100ms] }}\ndedupe: {{ by: {{ header: key }} }}\n"
    );
    let mut case = Case::run(&keys).await;
    let keyed = |key: AMQPValue| {
        let mut table = FieldTable::default();
        table.insert("key".into(), key);
        BasicProperties::default().with_headers(table)
    };
    let text = || keyed(AMQPValue::LongString("k".into()));
    case.outside.publish_with("work", ["a".to_owned()], text()).await;
    case.wait_settled();
    wait_until("its retry", PATIENCE, || {
        std::fs::read_to_string(case.supervisor.path("tries"))
            .is_ok_and(|text| text.lines().count() == 2)
    });
    case.wait_settled();
    // Known now; a number is another key, and so is none.
    let number = || keyed(AMQPValue::LongInt(7));
    let none = BasicProperties::default;
    let long = || keyed(AMQPValue::LongString("x".repeat(300).as_str().into()));
    for properties in [text(), number(), none(), none(), long(), long()] {
        case.outside.publish_with("work", ["b".to_owned()], properties).await;
    }
    wait_until("their retries", PATIENCE, || {
        std::fs::read_to_string(case.supervisor.path("tries"))
            .is_ok_and(|text| text.lines().count() == 12)
    });
    case.wait_settled();
    let books = case.stop(PATIENCE);
    assert_eq!((books.count("acked"), books.count("duplicates")), (6, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_forgets_nothing_and_the_window_does() {
    let mut case = Case::prepare().await;
    case.start(&ledger("0", ""));
    case.supervisor.wait_for("started: topology");
    case.send(&["a"]).await;
    case.wait_settled();
    let sections = |keys: &str| {
        format!(
            "{}consumers:\n{}",
            crate::support::case::QUEUES,
            crate::support::case::consumer("worker", "work", keys)
        )
    };
    case.write(&sections(&ledger("0.0001", "")));
    case.supervisor.signal(Signal::SIGHUP);
    case.supervisor.wait_for("1 replaced");
    case.send(&["a"]).await;
    case.wait_settled();
    assert_eq!(case.ledger(), [(0, 1)].into());
    case.write(&sections(
        &ledger("0.0001", "").replace("message_id }", "message_id, window: 300ms }"),
    ));
    case.supervisor.signal(Signal::SIGHUP);
    wait_until("the next version", PATIENCE, || case.logged("1 replaced") == 2);
    tokio::time::sleep(Duration::from_millis(310)).await;
    case.send(&["a"]).await;
    case.wait_settled();
    assert_eq!(case.ledger(), [(0, 2)].into());
    assert_eq!(all(&case.stop(PATIENCE)), (3, 2, 1));
}
