//! How settlements gather: together while a child is busy, and never for long.

use std::time::Duration;

use crate::support::case::Case;
use crate::support::frames::Method;
use crate::support::proxy::Direction;
use crate::support::supervisor::{PATIENCE, wait_until};

fn bodies(count: usize) -> Vec<String> {
    (0..count).map(|nth| nth.to_string()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_a_busy_child_flushes_one_by_one_are_settled_together() {
    const MESSAGES: usize = 900;
    let (mut case, proxy) = Case::behind_proxy("").await;
    // It begins when all messages are there.
    let child = "while [ ! -e go ]; do sleep 0.05; done; exec sed -u 's/.*/ack/'";
    case.start(&format!("protocol: lines\nprefetch: 1000\nshell: \"{child}\""));
    let limit = Duration::from_secs(30);
    case.outside.wait_for_consumers("work", 1, limit).await;
    case.outside.publish("work", bodies(MESSAGES)).await;
    proxy.wait_seen(Direction::ToClient, Method::BASIC_DELIVER, MESSAGES).await;
    case.supervisor.write("go", "");
    case.wait_settled();
    let calls = proxy.seen(Direction::ToBroker, Method::BASIC_ACK);
    assert!((1..=MESSAGES / 5).contains(&calls), "{calls} calls for {MESSAGES} answers");
    let books = case.stop(PATIENCE);
    assert_eq!(books.count("acked"), MESSAGES as u64);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_gathered_is_settled_though_the_child_says_no_more() {
    let child = "for n in 1 2 3; do read -r line; echo ack; done; cat >/dev/null";
    let case = Case::run(&format!("protocol: lines\nprefetch: 1000\nshell: \"{child}\"")).await;
    case.outside.publish("work", bodies(9)).await;
    wait_until("three to be settled", PATIENCE, || case.unsettled() == Some(6));
}
