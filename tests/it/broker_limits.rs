//! Limits of the broker itself, on a node of its own: how long a message may be unsettled, and how
//! much memory there is.

use nix::sys::signal::Signal;
use warrener::sandbox::Sandbox;

use crate::support::broker::own_node;
use crate::support::case::consumer;
use crate::support::queue::Outside;
use crate::support::supervisor::{PATIENCE, Supervisor};

/// A supervisor on that node, with one consumer on the queue `work`.
async fn start(node: &Sandbox, work: &str, keys: &str) -> (Supervisor, Outside) {
    let (url, management) = (node.amqp_url(), node.management_url());
    let mut supervisor = Supervisor::prepare();
    let consumer = consumer("worker", "work", keys);
    supervisor.write(
        "stack.yaml",
        &format!(
            "stack: test\nbroker: {{ url: \"{url}\", management: \"{management}\" }}\n\
             queues:\n  work: {{ {work}, dead_letter: {{ queue: dead }} }}\n  dead: {{}}\n\
             consumers:\n{consumer}"
        ),
    );
    supervisor.start();
    supervisor.wait_for("started: topology");
    (supervisor, Outside::connect(&url).await)
}

/// Sleeps over the message `slow` and acks all others.
const SLOW: &str = "while read -r line; do test $$line = slow && sleep 1000; echo ack; done";

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_outlasts_the_brokers_patience_is_named_and_does_not_come_for_ever() {
    let mut node = own_node().await;
    let settings = "application:set_env(rabbit, consumer_timeout, 4000), \
                    application:set_env(rabbit, channel_tick_interval, 1000).";
    node.ctl(&["eval", settings]).await.expect("its own tool");
    let keys = format!(
        "shell: {SLOW}\nprotocol: lines\nprefetch: 1\ntimeout: none\n\
         retry: {{ delays: [100ms] }}\nstop: {{ grace: 2s }}\n"
    );
    let (mut supervisor, outside) = start(&node, "type: quorum", &keys).await;
    let bodies = ["slow", "b", "c"].map(str::to_owned);
    outside.publish("work", bodies).await;
    // The broker of 4.3 says neither why it ends a consumer nor what its limit is.
    let speaks = !node.version().starts_with("4.3");
    let limit = if speaks { "4s" } else { "its time" };
    supervisor.wait_for(&format!(
        "the broker takes its messages back, because one was not settled within {limit}"
    ));
    supervisor.wait_for("hint: let `timeout` of the consumer end it before that");
    supervisor.wait_for("the worker is replaced: its message was taken back");
    if !speaks {
        // It counts the deliveries itself, and has a limit for them.
        supervisor.signal(Signal::SIGTERM);
        assert!(supervisor.exited(PATIENCE).success());
        return;
    }
    // From now on it is known how long one may take: the next try is a failure that counts.
    supervisor.wait_for("no answer within 3s600ms");
    outside.wait_for_depth("dead", 1, PATIENCE).await;
    outside.wait_for_depth("work", 0, PATIENCE).await;
    let dead = outside.take_all("dead").await;
    assert_eq!(dead[0].body, "slow");
    assert_eq!(dead[0].header("warrener-reason"), "timeout");
    let log = supervisor.log();
    assert_eq!(log.matches("the broker takes its messages back").count(), 1, "it was in a loop");
    assert!(log.contains("message_id=0"), "nobody knows which message it was");
    supervisor.signal(Signal::SIGTERM);
    assert!(supervisor.exited(PATIENCE).success());
    drop(outside);
    node.stop().await;
}

/// An alarm stops who publishes, and only those.
#[tokio::test(flavor = "multi_thread")]
async fn a_broker_short_of_memory_stops_dead_letters_and_not_acks() {
    const REJECTED: u32 = 5;
    let mut node = own_node().await;
    let keys = "command: [python3, \"${CHILDREN}/answer.py\"]\nstop: { grace: 2s }\n";
    let (mut supervisor, outside) = start(&node, "type: classic", keys).await;
    // The test itself can publish nothing later on.
    assert_eq!(supervisor.run(&["pause", "worker"]).code, Some(0));
    let rejected = (0..REJECTED).map(|_| "reject now".to_owned());
    outside.publish("work", rejected.chain((0..300).map(|_| "ack".to_owned()))).await;
    let memory = |limit| ["set_vm_memory_high_watermark", "absolute", limit];
    node.ctl(&memory("1")).await.expect("its own tool");
    assert_eq!(supervisor.run(&["resume", "worker"]).code, Some(0));
    supervisor.wait_for("the broker blocks publishing role=publish");
    // Far more than the prefetch: without acks it would stop at 64.
    outside.wait_for_depth("work", 0, PATIENCE).await;
    // The one that it was reading when it began to block may get through.
    assert!(outside.depth("dead").await <= Some(1));
    assert_eq!(supervisor.log().matches("blocks publishing role=consume").count(), 0);
    node.ctl(&memory("768MiB")).await.expect("its own tool");
    supervisor.wait_for("the broker takes publishes again");
    outside.wait_for_depth("dead", REJECTED, PATIENCE).await;
    supervisor.signal(Signal::SIGTERM);
    assert!(supervisor.exited(PATIENCE).success());
    outside.wait_for_depth("work", 0, PATIENCE).await;
    drop(outside);
    node.stop().await;
}
