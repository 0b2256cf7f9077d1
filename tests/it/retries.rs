//! Retry policies on a real broker: kinds of failures, delays, and headers that lie.

use std::fs;
use std::time::Duration;

use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable};

use crate::support::case::Case;
use crate::support::supervisor::{PATIENCE, wait_until};

const QUICK: &str = "restart: { backoff: 50ms, backoff_max: 200ms }\nstop: { grace: 3s }\n";

fn python(file: &str, keys: &str) -> String {
    format!(
        "command: [python3, \"${{CHILDREN}}/{file}\"]\nenv: {{ LEDGER: ledger }}\n{QUICK}{keys}"
    )
}

/// The lines of the ledger, in words.
fn tries(case: &Case) -> Vec<Vec<String>> {
    let text = fs::read_to_string(case.supervisor.path("ledger")).unwrap_or_default();
    text.lines().map(|line| line.split(' ').map(str::to_owned).collect()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_kind_of_failure_has_its_own_way() {
    let keys = "timeout: 5s\nretry: { immediate: 2, delays: [100ms], on: { timeout: dead_letter, crash: [150ms] } }\n";
    let mut case = Case::run(&python("answer.py", keys)).await;
    case.send(&["nack no", "silent", "exit 3"]).await;
    case.outside.wait_for_depth("dead", 3, PATIENCE).await;
    let mut dead: Vec<_> = case
        .outside
        .take_all("dead")
        .await
        .iter()
        .map(|dead| {
            let header = |name: &str| dead.header(&format!("warrener-{name}"));
            format!(
                "{}: {} after {}, {}",
                dead.body,
                header("reason"),
                header("attempt"),
                header("error")
            )
        })
        .collect();
    dead.sort();
    assert_eq!(
        dead,
        [
            "exit 3: crashed after 2, crash 2 of 3: exit code 3",
            "nack no: exhausted after 4, no",
            "silent: timeout after 1, no answer within 5s",
        ]
    );
    let books = case.stop(PATIENCE);
    assert_eq!((books.count("dead_lettered"), books.count("released")), (3, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_delay_never_holds_up_a_short_one() {
    let mut case = Case::run(&python("delays.py", "retry: { delays: [1s, 1h] }\n")).await;
    // The long ones are in front.
    case.send(&["1h", "1h", "1s", "1h", "1s"]).await;
    wait_until("the short ones again", PATIENCE, || {
        tries(&case).iter().filter(|tried| tried[1] == "2").count() == 2
    });
    let tries = tries(&case);
    let at = |number: usize| tries[number][2].parse::<f64>().expect("a time");
    assert!(tries[5..].iter().all(|tried| tried[0] == "1s"), "{tries:?}");
    for (first, again) in [(2, 5), (4, 6)] {
        let delay = at(again) - at(first);
        assert!((1.0..2.0).contains(&delay), "{delay} s");
    }
    case.outside.wait_for_depth("work.retry.1h", 3, PATIENCE).await;
    let books = case.stop(PATIENCE);
    assert_eq!((books.count("retried"), books.count("acked")), (5, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn attempts_are_exact_over_restarts_and_a_forged_one_is_the_last() {
    let mut case = Case::run(&python("answer.py", "retry: { delays: [1s, 2s] }\n")).await;
    case.send(&["nack honest"]).await;
    case.outside.wait_for_depth("work.retry.1s", 1, PATIENCE).await;
    case.stop(PATIENCE);
    // Elsewhere, later: another supervisor goes on with the count.
    case.supervisor.start();
    let mut table = FieldTable::default();
    table.insert("warrener-attempt".into(), AMQPValue::LongLongInt(i64::MAX));
    table.insert("warrener-crashes".into(), AMQPValue::LongInt(-7));
    let forged = BasicProperties::default().with_headers(table);
    case.outside.publish_with("work", ["nack forged".to_owned()], forged).await;
    case.outside.wait_for_depth("dead", 2, PATIENCE).await;
    for dead in case.outside.take_all("dead").await {
        assert_eq!(dead.header("warrener-attempt"), "3", "{}", dead.body);
        assert_eq!(dead.header("warrener-reason"), "exhausted", "{}", dead.body);
    }
    let retried = case.logged("message failed: to be retried");
    assert_eq!(retried, 2, "the forged one has no retry, the honest one two");
    case.supervisor.signal(nix::sys::signal::Signal::SIGTERM);
    assert!(case.supervisor.exited(Duration::from_secs(10)).success());
}

/// On a quorum queue each return would count, and the broker would drop the message in silence.
#[tokio::test(flavor = "multi_thread")]
async fn without_a_policy_or_a_target_a_message_is_neither_lost_nor_spun() {
    for kind in ["classic", "quorum, delivery_limit: 1"] {
        let mut case = Case::prepare().await;
        let keys = python("answer.py", "discard: true\n");
        let consumer = crate::support::case::consumer("worker", "work", &keys);
        case.write(&format!("queues: {{ work: {{ type: {kind} }} }}\nconsumers:\n{consumer}"));
        case.supervisor.start();
        case.supervisor.wait_for("started: topology");
        case.send(&["nack ever"]).await;
        wait_until("three tries", PATIENCE, || case.logged("message failed") >= 3);
        let books = case.stop(PATIENCE);
        assert!(books.count("received") <= 4, "{kind}: it spins");
        assert_eq!(books.count("discarded"), 0);
        case.outside.wait_for_depth("work", 1, PATIENCE).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_broker_dead_letters_stays_as_it_was() {
    for kind in ["classic", "quorum"] {
        let mut case = Case::prepare().await;
        let keys = python("answer.py", "dead_letter: { by: broker }\n");
        let consumer = crate::support::case::consumer("worker", "work", &keys);
        case.write(&format!(
            "queues: {{ work: {{ type: {kind}, dead_letter: {{ queue: dead }} }}, dead: {{}} }}\n\
             consumers:\n{consumer}"
        ));
        case.supervisor.start();
        case.supervisor.wait_for("started: topology");
        let mut table = FieldTable::default();
        table.insert("tenant".into(), AMQPValue::LongString("acme".into()));
        let properties = BasicProperties::default()
            .with_headers(table)
            .with_expiration("60000".into())
            .with_content_type("text/plain".into());
        let bodies = ["reject never", "nack no"].map(str::to_owned);
        case.outside.publish_with("work", bodies, properties).await;
        case.outside.wait_for_depth("dead", 2, PATIENCE).await;
        for dead in case.outside.take_all("dead").await {
            let table = dead.properties.headers().clone().expect("headers");
            let ours = |name: &str| name.starts_with("warrener-");
            assert!(!table.inner().keys().any(|name| ours(name.as_str())), "{kind}: {table:?}");
            assert_eq!(dead.header("tenant"), "acme");
            assert_eq!(dead.header("x-first-death-reason"), "rejected");
            assert_eq!(
                dead.properties.content_type().as_ref().map(lapin::types::ShortString::as_str),
                Some("text/plain")
            );
        }
        assert_eq!(case.stop(PATIENCE).count("dead_lettered"), 2);
    }
}
