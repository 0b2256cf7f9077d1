//! Consumers of streams on a real broker: they go on where they were.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::support::case::{Case, consumer};
use crate::support::supervisor::{PATIENCE, wait_until};

const MESSAGES: u32 = 2_000;
const PREFETCH: usize = 50;

/// What a worker of the tests handles in a second at most: each message takes it 5 ms.
const PER_SECOND: usize = 200;

fn ledger(delay: &str, more: &str) -> String {
    format!(
        "command: [python3, \"${{CHILDREN}}/ledger.py\"]\nstop: {{ grace: 5s }}\n\
         env: {{ LEDGER: ledger, DELAY: \"{delay}\" }}\nprefetch: {PREFETCH}\n{more}"
    )
}

const FIRST: &str = "arguments: { x-stream-offset: first }\n";

fn sections(queue: &str, keys: &str) -> String {
    format!(
        "queues:\n  work: {{ type: stream{queue} }}\nconsumers:\n{}",
        consumer("worker", "work", keys)
    )
}

async fn prepare(keys: &str) -> Case {
    let case = Case::prepare().await;
    case.write(&sections("", keys));
    let said = case.supervisor.run(&["apply", "stack.yaml"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    case
}

async fn publish(case: &Case, count: u32) {
    case.outside.publish("work", (0..count).map(|number| number.to_string())).await;
}

/// The offset that is stored for the only worker.
fn stored(case: &Case) -> Option<u64> {
    let folder = std::fs::read_dir(case.supervisor.path("state").join("positions")).ok()?;
    let file = folder
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|extension| extension == "json"))?;
    let json: Value = serde_json::from_slice(&std::fs::read(file).ok()?).ok()?;
    json["next"].as_u64()
}

fn repeated(ledger: &BTreeMap<u32, usize>) -> usize {
    ledger.values().map(|times| times - 1).sum()
}

fn handled(case: &Case) -> usize {
    case.ledger().values().sum()
}

/// Everything was handled, in the end up to the last offset.
fn wait_stored(case: &Case, next: u64) {
    wait_until("the last offset to be stored", PATIENCE, || stored(case) == Some(next));
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_kill_it_goes_on_with_the_first_that_was_not_done() {
    let mut case = prepare(&ledger("0.005", FIRST)).await;
    publish(&case, MESSAGES).await;
    case.supervisor.start();
    case.wait_handled(MESSAGES as usize / 2);
    case.supervisor.signal(Signal::SIGKILL);
    case.supervisor.exited(PATIENCE);
    let next = stored(&case).expect("it was stored");
    let before = case.ledger();
    assert!(before.len() < MESSAGES as usize, "it was killed too late");
    assert!((0..next).all(|offset| before.contains_key(&u32::try_from(offset).unwrap())));

    case.supervisor.start();
    case.wait_handled(MESSAGES as usize);
    wait_stored(&case, u64::from(MESSAGES));
    let ledger = case.ledger();
    assert!((0..MESSAGES).all(|number| ledger.contains_key(&number)), "one was passed over");
    let (twice, most) = (repeated(&ledger), PREFETCH + 2 * PER_SECOND);
    assert!(twice > 0 && twice <= most, "{twice} were handled twice, of at most {most}");
    let first = *ledger.iter().find(|(_, times)| **times > 1).unwrap().0;
    assert_eq!(u64::from(first), next);
    case.stop(PATIENCE);
}

/// The position in the status.
fn shown(case: &Case) -> Option<u64> {
    let said = case.supervisor.run(&["status", "--json"]);
    let json: Value = serde_json::from_str(&said.out).ok()?;
    json["status"]["consumers"]["worker"]["workers"][0]["position"].as_u64()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_open_for_long_holds_the_position_and_comes_again_after_a_kill() {
    let keys = format!(
        "command: [python3, \"${{CHILDREN}}/holds_one.py\"]\ntimeout: 10m\nprefetch: {PREFETCH}\n\
         env: {{ LEDGER: ledger, HELD: \"3\", GATE: gate }}\n{FIRST}"
    );
    let mut case = prepare(&keys).await;
    publish(&case, 10).await;
    case.supervisor.start();
    case.wait_handled(10);
    wait_stored(&case, 3);
    let later = (10..20).map(|number: u32| number.to_string());
    case.outside.publish("work", later).await;
    case.wait_handled(20);
    // Time enough for another write, which must not come.
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert_eq!((stored(&case), shown(&case)), (Some(3), Some(3)));
    case.supervisor.signal(Signal::SIGKILL);
    case.supervisor.exited(PATIENCE);

    case.supervisor.write("gate", "");
    case.supervisor.start();
    wait_stored(&case, 20);
    wait_until("the status to say so", PATIENCE, || shown(&case) == Some(20));
    assert!(
        case.supervisor.run(&["status"]).out.contains("worker: next offset (of worker) 20 (0)")
    );
    let ledger = case.ledger();
    let twice: Vec<_> = ledger.iter().filter(|(_, times)| **times > 1).map(|(id, _)| *id).collect();
    assert_eq!(twice, (3..20).collect::<Vec<_>>());
    case.stop(PATIENCE);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_repeats_nothing_whatever_the_arguments_say() {
    let mut case = prepare(&ledger("0.001", FIRST)).await;
    publish(&case, MESSAGES).await;
    case.supervisor.start();
    case.wait_handled(MESSAGES as usize / 4);
    case.stop(PATIENCE);
    let so_far = handled(&case);
    assert!(so_far < MESSAGES as usize);
    assert_eq!(stored(&case), Some(so_far as u64));
    case.write(&sections("", &ledger("0.0001", "arguments: { x-stream-offset: 0 }\n")));
    case.supervisor.start();
    case.wait_handled(MESSAGES as usize);
    case.stop(PATIENCE);
    assert_eq!(stored(&case), Some(u64::from(MESSAGES)));
    assert_eq!(repeated(&case.ledger()), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_a_pause_and_a_restart_of_its_process_repeat_nothing() {
    let mut case = prepare(&ledger("0.001", FIRST)).await;
    publish(&case, MESSAGES).await;
    case.supervisor.start();
    case.wait_handled(300);
    case.write(&sections("", &ledger("0.0011", FIRST)));
    case.supervisor.signal(Signal::SIGHUP);
    case.supervisor.wait_for("1 replaced");
    case.wait_handled(600);
    assert_eq!(case.supervisor.run(&["pause", "worker"]).code, Some(0));
    wait_until("it to answer what it has", PATIENCE, || {
        let said = case.supervisor.run(&["status", "--json"]);
        let json: Value = serde_json::from_str(&said.out).unwrap();
        json["status"]["consumers"]["worker"]["in_flight"] == 0
    });
    let paused = handled(&case);
    assert!(paused < MESSAGES as usize);
    wait_stored(&case, paused as u64);
    assert_eq!(handled(&case), paused);
    assert_eq!(case.supervisor.run(&["resume", "worker"]).code, Some(0));
    case.wait_handled(paused + 100);
    assert_eq!(case.supervisor.run(&["restart", "worker"]).code, Some(0));
    case.wait_handled(MESSAGES as usize);
    wait_stored(&case, u64::from(MESSAGES));
    assert_eq!(repeated(&case.ledger()), 0);
    case.stop(PATIENCE);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_connection_repeats_only_what_was_under_way() {
    let (mut case, proxy) = Case::behind_proxy("").await;
    case.write(&sections("", &ledger("0.001", FIRST)));
    assert_eq!(case.supervisor.run(&["apply", "stack.yaml"]).code, Some(0));
    publish(&case, MESSAGES).await;
    case.supervisor.start();
    case.wait_handled(500);
    proxy.cut();
    case.wait_handled(MESSAGES as usize);
    wait_stored(&case, u64::from(MESSAGES));
    let twice = repeated(&case.ledger());
    assert!(twice <= PREFETCH, "{twice} were handled twice");
    case.stop(PATIENCE);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_or_is_given_back_is_tried_in_place_and_rejects_are_discarded() {
    // 3 is given back once, 5 fails once, 7 is rejected.
    let script = "cat > /dev/null; echo \"$$WARRENER_MESSAGE_ID\" >> ledger; \
                  case \"$$WARRENER_MESSAGE_ID.$$WARRENER_ATTEMPT\" in 3.1) exit 4;; 5.1) exit 5;; 7.1) exit 6;; esac";
    let keys = format!(
        "shell: '{script}'\nprotocol: exec\nexit_codes: {{ 4: requeue, 5: nack, 6: reject }}\n{FIRST}"
    );
    let mut case = prepare(&keys).await;
    publish(&case, 10).await;
    case.supervisor.start();
    wait_stored(&case, 10);
    let ledger = case.ledger();
    let twice: Vec<_> =
        ledger.iter().filter(|(_, times)| **times == 2).map(|(id, _)| *id).collect();
    assert_eq!((ledger.len(), twice), (10, vec![3, 5]));
    let books = case.stop(PATIENCE);
    assert_eq!((books.count("acked"), books.count("discarded")), (9, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn each_worker_has_a_position_and_where_nothing_is_stored_the_arguments_decide() {
    let mut case = prepare(&ledger("0.0001", "")).await;
    publish(&case, 100).await;
    let later = jiff::Timestamp::now() + Duration::from_hours(1);
    for (argument, workers, expected) in [
        ("60".to_owned(), 1, 40),
        ("first".to_owned(), 2, 200),
        ("2020-01-31T12:00:00Z".to_owned(), 1, 100),
        // A time or a place that has not come yet.
        (later.to_string(), 1, 1),
        ("next".to_owned(), 1, 1),
    ] {
        let more = format!("workers: {workers}\narguments: {{ x-stream-offset: {argument} }}\n");
        case.write(&sections("", &ledger("0.0001", &more)));
        let _ = std::fs::remove_dir_all(case.supervisor.path("state"));
        let _ = std::fs::remove_file(case.supervisor.path("ledger"));
        let consuming = case.logged("consuming");
        case.supervisor.start();
        if expected == 1 {
            wait_until("it to consume", PATIENCE, || case.logged("consuming") > consuming);
            publish(&case, 1).await;
        }
        wait_until(&argument, PATIENCE, || handled(&case) == expected);
        case.stop(PATIENCE);
        assert_eq!(handled(&case), expected, "{argument}");
    }
}

/// Publishes until retention, which the broker does in its own time as segments fill, has taken the
/// beginning of the stream away, and says how many it took.
async fn fill_until_the_first_is_gone(case: &Case) -> u64 {
    let deadline = Instant::now() + PATIENCE;
    let body = "x".repeat(5_000);
    for round in 1_u64.. {
        case.outside.publish("work", (0..50).map(|_| body.clone())).await;
        // A full segment is closed at once, and retention may take all that there is, but never
        // what is in the last segment: with this message there is always a first.
        case.outside.publish("work", ["last".to_owned()]).await;
        if case.outside.first_offset("work").await > 10 {
            return 51 * round;
        }
        assert!(Instant::now() < deadline, "after {round} rounds everything is still there");
    }
    unreachable!()
}

#[tokio::test(flavor = "multi_thread")]
async fn where_retention_has_removed_its_place_it_begins_at_the_first_there_is_and_says_so() {
    let queue = ", max_length_bytes: 100000, arguments: { x-stream-max-segment-size-bytes: 50000 }";
    let keys = ledger("0.0001", FIRST);
    let mut case = Case::prepare().await;
    case.write(&sections(queue, &keys));
    case.supervisor.start();
    case.supervisor.wait_for("started: topology");
    publish(&case, 10).await;
    wait_stored(&case, 10);
    case.stop(PATIENCE);
    let published = fill_until_the_first_is_gone(&case).await;
    case.supervisor.start();
    case.supervisor.wait_for("in place of 10");
    // The broker leaves out some offsets.
    wait_until("the rest", PATIENCE, || stored(&case).is_some_and(|next| next >= 10 + published));
    case.stop(PATIENCE);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_position_that_cannot_be_read_is_no_reason_to_begin_anew() {
    let mut case = prepare(&ledger("0.0001", FIRST)).await;
    publish(&case, 10).await;
    case.supervisor.start();
    wait_stored(&case, 10);
    case.stop(PATIENCE);
    let folder = case.supervisor.path("state").join("positions");
    let file = std::fs::read_dir(folder).unwrap().next().unwrap().unwrap().path();
    std::fs::write(&file, "{").unwrap();
    case.supervisor.start();
    case.supervisor.wait_for("cannot be understood");
    assert_eq!(handled(&case), 10);
    std::fs::remove_file(&file).unwrap();
    wait_until("it to begin anew", PATIENCE, || handled(&case) == 20);
    case.stop(PATIENCE);
}
