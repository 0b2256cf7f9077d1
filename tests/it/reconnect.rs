//! How often and where a host tries to connect, seen by a proxy.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::support::broker::shared;
use crate::support::case::Case;
use crate::support::frames::Method;
use crate::support::proxy::Direction::{ToBroker, ToClient};
use crate::support::proxy::Proxy;
use crate::support::supervisor::{PATIENCE, wait_until};

/// So many that they take four connections for consuming.
const WORKERS: u32 = 100;

#[tokio::test(flavor = "multi_thread")]
async fn while_the_broker_is_away_a_host_tries_twice_a_second_at_most() {
    let (mut case, proxy) = Case::behind_proxy("").await;
    case.start(&format!(
        "shell: while read -r line; do echo ack; done\nprotocol: lines\nprefetch: 1\nworkers: {WORKERS}\n"
    ));
    case.outside.wait_for_consumers("work", WORKERS, PATIENCE * 2).await;
    // Beside those: for publishing, and for the lock of the stack.
    assert_eq!(proxy.connections(), 6);
    proxy.refuse(true);
    let before = proxy.accepted();
    proxy.cut();
    let (start, mut attempts) = (Instant::now(), Vec::new());
    while start.elapsed() < Duration::from_secs(12) {
        let seen = usize::try_from(proxy.accepted() - before).unwrap();
        attempts.resize_with(seen.max(attempts.len()), || start.elapsed());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(attempts.len() >= 3, "it gave up: {attempts:?}");
    for three in attempts.windows(3) {
        assert!(three[2] > three[0] + Duration::from_secs(1), "{attempts:?}");
    }
    proxy.refuse(false);
    let back = Instant::now();
    case.outside.wait_for_consumers("work", WORKERS, PATIENCE).await;
    let took = back.elapsed();
    // The pause between attempts ends at 3.6 s.
    assert!(took < Duration::from_secs(8), "{took:?}");
    case.send(&["0"]).await;
    case.outside.wait_for_depth("work", 0, PATIENCE).await;
    case.stop(PATIENCE);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_confirms_nothing_is_left_for_another() {
    let mut case = Case::prepare().await;
    let (first, second) = (proxy().await, proxy().await);
    let at = |proxy: &Proxy| {
        format!("\"amqp://guest:guest@127.0.0.1:{}/{}\"", proxy.port(), case.vhost.name())
    };
    case.url = format!("[{}, {}]", at(&first), at(&second));
    case.start(
        "command: [python3, \"${CHILDREN}/answer.py\"]\nretry: { delays: [100ms] }\nstop: { grace: 3s }\n",
    );
    case.supervisor.wait_for("started: topology");
    case.supervisor.wait_for("connected role=publish");
    assert_eq!(second.accepted(), 0);
    // As from a node that is cut off from the rest of its cluster. One by itself is no reason.
    first.swallow(ToClient, Method::BASIC_ACK, 1000);
    case.send(&["nack it", "nack it"]).await;
    first.wait_seen(ToBroker, Method::BASIC_PUBLISH, 2).await;
    wait_until("the other endpoint", PATIENCE * 2, || second.accepted() > 0);
    case.supervisor.wait_for("it confirmed none of the last 2 messages in time");
    assert_eq!(case.logged("connection lost role=consume"), 0);
    // Both come to their end, through the second.
    case.outside.wait_for_depth("work", 0, PATIENCE).await;
    wait_until("dead letters", PATIENCE, || case.vhost.messages("dead") >= Some(2));
    case.wait_settled();
    assert!(second.seen(ToBroker, Method::BASIC_PUBLISH) >= 2);
    case.supervisor.signal(Signal::SIGTERM);
    assert!(case.supervisor.exited(PATIENCE).success());
}

async fn proxy() -> Proxy {
    Proxy::start(([127, 0, 0, 1], shared().amqp_port()).into()).await
}
