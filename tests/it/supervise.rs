//! Consumers behind `warrener run`, on a real broker: what each answer does, and what happens when
//! things go wrong.

use std::time::Duration;

use nix::sys::signal::Signal;

use crate::support::broker::{amqp_url, fresh_vhost, management_url};
use crate::support::queue::Outside;
use crate::support::supervisor::{PATIENCE, Supervisor};

/// The head of a stack file: where the broker is.
fn head(url: &str) -> String {
    format!("stack: test\nbroker: {{ url: \"{url}\", management: \"{}\" }}\n", management_url())
}

#[tokio::test(flavor = "multi_thread")]
async fn each_answer_does_on_the_broker_what_it_says() {
    let vhost = fresh_vhost();
    let url = amqp_url(&vhost);
    let mut supervisor = Supervisor::prepare();
    supervisor.write(
        "stack.yaml",
        &(head(&url)
            + r#"
queues:
  work: { type: quorum, dead_letter: { queue: dead } }
  dead: {}
consumers:
  worker:
    queue: work
    command: [python3, "${CHILDREN}/answer.py"]
    retry: { delays: [100ms, 200ms] }
"#),
    );
    supervisor.start();
    supervisor.wait_for("started: topology");
    let outside = Outside::connect(&url).await;
    let bodies = ["ack", "nack no such customer", "reject never", "once", "requeue_is_not_here"];
    outside.publish("work", bodies[..4].iter().map(|body| (*body).to_owned())).await;
    outside.wait_for_depth("dead", 2, PATIENCE).await;
    let mut dead = outside.take_all("dead").await;
    dead.sort_by(|a, b| a.body.cmp(&b.body));
    let told: Vec<_> = dead
        .iter()
        .map(|found| {
            let header = |name: &str| found.header(&format!("warrener-{name}"));
            format!(
                "{}: {} after {}, {}",
                found.body,
                header("reason"),
                header("attempt"),
                header("error")
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            "nack no such customer: exhausted after 3, no such customer",
            "reject never: rejected after 1, never",
        ]
    );
    for found in &dead {
        assert_eq!(found.header("warrener-consumer"), "worker");
        assert_eq!(found.header("warrener-first-queue"), "work", "however often it was retried");
        let at: jiff::Timestamp = found.header("warrener-failed-at").parse().expect("a time");
        let age = jiff::Timestamp::now().duration_since(at);
        assert!((0..60).contains(&age.as_secs()), "{age}");
    }
    for queue in ["work", "work.retry.100ms", "work.retry.200ms"] {
        outside.wait_for_depth(queue, 0, PATIENCE).await;
    }
    supervisor.signal(Signal::SIGTERM);
    assert!(supervisor.exited(Duration::from_secs(35)).success());
}
