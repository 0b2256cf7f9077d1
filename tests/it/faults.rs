//! Faults of the network and of the broker: nothing is lost and everything goes on by itself.

use std::time::{Duration, Instant};

use lapin::options::{QueueDeclareOptions, QueueDeleteOptions};
use lapin::types::FieldTable;
use nix::sys::signal::Signal;

use crate::support::case::{Case, QUEUES, consumer};
use crate::support::frames::{Frame, Method};
use crate::support::proxy::Direction::{ToBroker, ToClient};
use crate::support::supervisor::{PATIENCE, wait_until};

/// How long it may take until a dead connection is noticed and replaced.
const NOTICED: Duration = Duration::from_secs(25);

const STOP: &str = "stop: { grace: 3s }\n";

/// How long a stop may take whose grace time is 3 s.
const STOPPED: Duration = Duration::from_secs(8);

/// A consumer that writes down what it handles, with a pause for each message.
fn ledger(delay: &str) -> String {
    format!(
        "command: [python3, \"${{CHILDREN}}/ledger.py\"]\nenv: {{ LEDGER: ledger, DELAY: \"{delay}\" }}\n{STOP}"
    )
}

/// A consumer that answers what the message says.
fn answer() -> String {
    format!("command: [python3, \"${{CHILDREN}}/answer.py\"]\n{STOP}")
}

fn bodies(count: u32) -> Vec<String> {
    (0..count).map(|number| number.to_string()).collect()
}

/// All are handled, at least once, and every queue is empty.
async fn nothing_is_lost(case: &mut Case, count: u32) {
    case.wait_handled(count as usize);
    case.outside.wait_for_depth("work", 0, PATIENCE).await;
    case.stop(STOPPED);
    case.outside.wait_for_depth("work", 0, PATIENCE).await;
    case.outside.wait_for_depth("dead", 0, PATIENCE).await;
    assert_eq!(case.ledger().len(), count as usize);
    assert_eq!(case.logged("worker[0]: started"), 1, "a fault of the wire cost a child");
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_are_reset_under_load_are_made_again() {
    const MESSAGES: u32 = 3000;
    let (mut case, proxy) = Case::behind_proxy("").await;
    case.start(&ledger("0.001"));
    case.supervisor.wait_for("started: topology");
    case.outside.publish("work", bodies(MESSAGES)).await;
    for cuts in 0..3 {
        wait_until("consuming", PATIENCE, || case.logged("worker[0]: consuming") == cuts + 1);
        let before = case.ledger().len();
        wait_until("progress", PATIENCE, || case.ledger().len() > before);
        proxy.cut();
        wait_until("the loss to be noticed", PATIENCE, || {
            case.logged("connection lost role=consume") == cuts + 1
        });
    }
    nothing_is_lost(&mut case, MESSAGES).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_wire_is_noticed_and_left() {
    const MESSAGES: u32 = 500;
    let (mut case, proxy) = Case::behind_proxy("?heartbeat=2").await;
    case.start(&ledger("0.005"));
    case.supervisor.wait_for("started: topology");
    case.outside.publish("work", bodies(MESSAGES)).await;
    wait_until("some progress", PATIENCE, || case.ledger().len() > 20);
    proxy.black_hole(true);
    let lost = || case.logged("connection lost role=consume") > 0;
    wait_until("the silence to be noticed", NOTICED, lost);
    proxy.black_hole(false);
    nothing_is_lost(&mut case, MESSAGES).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_does_not_wait_for_a_silent_wire() {
    let (mut case, proxy) = Case::behind_proxy("").await;
    case.start(&ledger("0.01"));
    case.supervisor.wait_for("started: topology");
    case.outside.publish("work", bodies(500)).await;
    wait_until("some progress", PATIENCE, || case.ledger().len() > 10);
    proxy.black_hole(true);
    // The grace time, and what goodbyes on three connections may take.
    case.stop(STOPPED);
    proxy.black_hole(false);
    drop(proxy);
    // Without settlements nobody knows what was handled: it all comes back, and nothing is lost.
    let left = 500 - u32::try_from(case.ledger().len()).unwrap();
    let start = Instant::now();
    while case.outside.depth("work").await < Some(left) {
        assert!(start.elapsed() < PATIENCE, "less than {left} left");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_that_the_broker_never_confirms_is_no_phantom() {
    const MESSAGES: u32 = 200;
    let (mut case, proxy) = Case::behind_proxy("").await;
    proxy.swallow(ToClient, Method::BASIC_CONSUME_OK, 1);
    case.start(&ledger("0"));
    case.supervisor.wait_for("started: topology");
    case.outside.publish("work", bodies(MESSAGES)).await;
    proxy.wait_seen(ToClient, Method::BASIC_CONSUME_OK, 1).await;
    // None of them stays with a consumer that nobody listens to.
    wait_until("all handled", PATIENCE, || case.ledger().len() == MESSAGES as usize);
    case.outside.wait_for_consumers("work", 1, PATIENCE).await;
    nothing_is_lost(&mut case, MESSAGES).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_whose_confirm_never_comes_is_not_lost() {
    let (mut case, proxy) = Case::behind_proxy("").await;
    case.start(&(answer() + "retry: { delays: [100ms] }\n"));
    case.supervisor.wait_for("started: topology");
    proxy.swallow(ToClient, Method::BASIC_ACK, 1);
    case.send(&["nack it", "ack"]).await;
    // The copy comes to its end while nobody knows of it; the original follows.
    case.outside.wait_for_depth("dead", 1, PATIENCE).await;
    case.outside.wait_for_depth("dead", 2, PATIENCE * 2).await;
    case.supervisor.wait_for("cannot move a failed message on: its fate is unknown");
    let books = case.stop(STOPPED);
    case.outside.wait_for_depth("work", 0, PATIENCE).await;
    for dead in case.outside.take_all("dead").await {
        assert_eq!(dead.header("warrener-error"), "it");
        assert_eq!(dead.header("warrener-attempt"), "2");
    }
    assert_eq!((books.count("acked"), books.count("dead_lettered")), (1, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_blocks_publishers_does_not_keep_consumers_from_acking() {
    let (mut case, proxy) = Case::behind_proxy("").await;
    case.start(&answer());
    case.supervisor.wait_for("started: topology");
    case.supervisor.wait_for("connected role=publish");
    proxy.inject_into(
        "warrener test publish",
        ToClient,
        &Frame::connection_blocked("low on memory"),
    );
    case.supervisor.wait_for("the broker blocks publishing");
    assert_eq!(case.logged("role=consume reason"), 0);
    case.send(&["reject now"]).await;
    case.send(&vec!["ack"; 300]).await;
    // Far more than the prefetch: without acks it would stop at 64.
    proxy.wait_seen(ToBroker, Method::BASIC_ACK, 1).await;
    case.outside.wait_for_depth("work", 0, PATIENCE).await;
    assert_eq!(case.outside.depth("dead").await, Some(0));
    proxy.inject_into("warrener test publish", ToClient, &Frame::connection_unblocked());
    case.outside.wait_for_depth("dead", 1, PATIENCE).await;
    let books = case.stop(STOPPED);
    case.outside.wait_for_depth("work", 0, PATIENCE).await;
    assert_eq!((books.count("acked"), books.count("dead_lettered")), (300, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_that_is_deleted_comes_back_and_is_consumed() {
    let mut case = Case::prepare().await;
    case.start(&ledger("0"));
    case.supervisor.wait_for("started: topology");
    case.send(&["0"]).await;
    case.wait_handled(1);
    let deleted = case.outside.channel.queue_delete("work".into(), QueueDeleteOptions::default());
    deleted.await.expect("deletes");
    case.supervisor.wait_for("the broker ended the consumer");
    wait_until("the queue to be restored", PATIENCE, || {
        case.logged("the broker had drifted: topology: 1 created") == 1
    });
    case.outside.wait_for_consumers("work", 1, PATIENCE).await;
    case.outside.publish("work", bodies(20)).await;
    nothing_is_lost(&mut case, 20).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_that_is_not_there_keeps_only_its_own_consumer_waiting() {
    let mut case = Case::prepare().await;
    let declare = async |queue: &str| {
        let channel = &case.outside.channel;
        let options = QueueDeclareOptions { durable: true, ..Default::default() };
        channel
            .queue_declare(queue.into(), options, FieldTable::default())
            .await
            .expect("declares");
    };
    declare("work").await;
    let waits = consumer("waits", "other", &(ledger("0") + "discard: true\n"));
    let works = consumer("worker", "work", &(ledger("0") + "discard: true\n"));
    let sections = format!(
        "queues: {{ work: {{}}, other: {{}} }}\nreconcile: {{ mode: off }}\nconsumers:\n{waits}{works}"
    );
    case.write(&sections);
    case.supervisor.start();
    case.supervisor.wait_for("cannot consume `other`: the broker refuses to let it be consumed");
    case.supervisor.wait_for("is it declared");
    case.outside.publish("work", bodies(100)).await;
    case.wait_handled(100);
    assert_eq!(case.logged("cannot consume `other`"), 1, "said once, not at every attempt");
    declare("other").await;
    case.outside.wait_for_consumers("other", 1, PATIENCE).await;
    case.outside.publish("other", ["x".to_owned()]).await;
    case.outside.wait_for_depth("other", 0, PATIENCE).await;
    let books = case.stop(STOPPED);
    assert_eq!(books.count("acked"), 101);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_explained_once_and_never_shows_the_password() {
    const CANARY: &str = "c4nary-pa55word";
    let (mut case, proxy) = Case::behind_proxy("").await;
    case.url = case.url.replace("guest:guest", &format!("guest:{CANARY}"));
    case.write(&format!("{QUEUES}consumers:\n{}", consumer("worker", "work", &ledger("0"))));
    // Without a way round over the management API, whose password is right.
    let file = case.supervisor.path("stack.yaml");
    let text = std::fs::read_to_string(&file).unwrap();
    let (head, tail) = text.split_once("management: \"").unwrap();
    let (_, tail) = tail.split_once('"').unwrap();
    std::fs::write(&file, format!("{head}management: none{tail}")).unwrap();
    case.supervisor.start();
    case.supervisor.wait_for("waiting for the broker");
    case.supervisor.wait_for("ACCESS_REFUSED");
    case.supervisor.wait_for("check user and password in `broker.url`");
    // The next attempt is due after five seconds.
    let start = Instant::now();
    wait_until("another attempt", PATIENCE, || proxy.accepted() >= 2);
    assert!(start.elapsed() > Duration::from_secs(2), "it hammers at the door");
    assert_eq!(case.logged("waiting for the broker"), 1);
    case.supervisor.signal(Signal::SIGTERM);
    assert!(case.supervisor.exited(STOPPED).success());
    assert!(!case.supervisor.log().contains(CANARY), "the password is in the log");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vhost_that_is_missing_is_named_with_the_mend() {
    let (mut case, _proxy) = Case::behind_proxy("-missing").await;
    case.start(&ledger("0"));
    case.supervisor.wait_for("-missing");
    case.supervisor.wait_for("rabbitmqctl");
    case.stop(STOPPED);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wire_that_gives_one_byte_at_a_time_is_slow_and_nothing_else() {
    let (mut case, proxy) = Case::behind_proxy("").await;
    proxy.slice(Some(1));
    case.start(&ledger("0"));
    case.supervisor.wait_for("started: topology");
    case.outside.publish("work", bodies(100)).await;
    nothing_is_lost(&mut case, 100).await;
    assert_eq!(case.logged("connection lost"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_is_not_there_yet_is_waited_for() {
    let (mut case, proxy) = Case::behind_proxy("").await;
    proxy.refuse(true);
    case.start(&ledger("0"));
    case.supervisor.wait_for("waiting for the broker");
    case.supervisor.wait_for("is the broker running");
    wait_until("more attempts", PATIENCE, || proxy.accepted() >= 4);
    assert_eq!(case.logged("waiting for the broker"), 1, "said once, not at every attempt");
    proxy.refuse(false);
    case.supervisor.wait_for("started: topology");
    case.outside.publish("work", bodies(100)).await;
    nothing_is_lost(&mut case, 100).await;
}

/// Somebody takes the connection and never says a word: a black hole, or what is no broker.
#[tokio::test(flavor = "multi_thread")]
async fn a_handshake_in_which_nobody_answers_is_given_up_after_ten_seconds() {
    let (mut case, proxy) = Case::behind_proxy("").await;
    proxy.black_hole(true);
    let start = Instant::now();
    case.start(&ledger("0"));
    case.supervisor.wait_for("no AMQP handshake within 10 s: is it an AMQP port?");
    let took = start.elapsed();
    // It may have tried for the lock first, and then for the topology.
    assert!(took > Duration::from_secs(9) && took < Duration::from_secs(25), "{took:?}");
    let before = proxy.accepted();
    wait_until("another attempt", PATIENCE, || proxy.accepted() > before);
    assert!(case.supervisor.is_running());
    proxy.black_hole(false);
    case.supervisor.wait_for("started: topology");
    case.outside.publish("work", bodies(100)).await;
    nothing_is_lost(&mut case, 100).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_end_in_the_middle_of_anything_are_made_again() {
    const MESSAGES: u32 = 300;
    let (mut case, proxy) = Case::behind_proxy("").await;
    case.start(&ledger("0.002"));
    case.supervisor.wait_for("started: topology");
    case.outside.publish("work", bodies(MESSAGES)).await;
    for (direction, bytes) in
        [(ToClient, 5), (ToBroker, 20), (ToClient, 530), (ToBroker, 420), (ToClient, 900)]
    {
        let before = proxy.accepted();
        proxy.cut_after(Some((direction, bytes)));
        proxy.cut();
        wait_until("two more attempts", PATIENCE, || proxy.accepted() >= before + 2);
    }
    proxy.cut_after(None);
    proxy.cut();
    nothing_is_lost(&mut case, MESSAGES).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_changes_during_an_outage_is_checked_at_once_and_done_afterwards() {
    let (mut case, proxy) = Case::behind_proxy("").await;
    case.start(&ledger("0"));
    case.supervisor.wait_for("started: topology");
    case.send(&["0"]).await;
    case.wait_handled(1);
    let children = case.supervisor.children();
    proxy.refuse(true);
    proxy.cut();
    case.supervisor.wait_for("connection lost role=consume");
    let more = |key: &str| {
        let worker = consumer("worker", "work", &ledger("0"));
        let second = consumer("second", "more", &(ledger("0") + key));
        format!(
            "{QUEUES}  more: {{ dead_letter: {{ queue: dead }} }}\nconsumers:\n{worker}{second}"
        )
    };
    case.write(&more("tyop: 1\n"));
    case.supervisor.wait_for("there is no key `tyop` here");
    case.write(&more(""));
    case.supervisor.wait_for("waiting for the broker");
    assert_eq!(case.logged("reloaded: "), 0);
    proxy.refuse(false);
    case.supervisor
        .wait_for("reloaded: topology: 1 created, 0 updated; consumers: 1 started, 1 kept");
    case.outside.publish("more", ["x".to_owned()]).await;
    case.outside.wait_for_consumers("more", 1, PATIENCE).await;
    case.outside.wait_for_depth("more", 0, PATIENCE).await;
    assert!(children.iter().all(|pid| case.supervisor.children().contains(pid)));
    case.stop(STOPPED);
}
