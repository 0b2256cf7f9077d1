//! How settlements gather: together while a child is busy, and never for long.

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
    // It begins when it has all, and works 0.1 ms on each.
    case.supervisor.write(
        "child.py",
        "import os, sys, time
while not os.path.exists('go'):
    time.sleep(0.02)
for line in sys.stdin:
    until = time.perf_counter() + 0.0001
    while time.perf_counter() < until:
        pass
    print('ack', flush=True)
",
    );
    case.start("protocol: lines\nprefetch: 1000\ncommand: [python3, child.py]");
    case.outside.wait_for_consumers("work", 1, PATIENCE).await;
    case.outside.publish("work", bodies(MESSAGES)).await;
    proxy.wait_seen(Direction::ToClient, Method::BASIC_DELIVER, MESSAGES).await;
    case.supervisor.write("go", "");
    case.wait_settled();
    let calls = proxy.seen(Direction::ToBroker, Method::BASIC_ACK);
    assert!((1..=MESSAGES / 7).contains(&calls), "{calls} calls for {MESSAGES} answers");
    let books = case.stop(PATIENCE);
    assert_eq!(books.count("acked"), MESSAGES as u64);
}

/// Two answers of which the second may gather, again and again, each time with others outstanding.
#[tokio::test(flavor = "multi_thread")]
async fn what_has_gathered_is_settled_though_the_child_says_no_more() {
    const PAIRS: usize = 20;
    let mut case = Case::prepare().await;
    case.supervisor.write(
        "child.py",
        "import os, sys, time
for turn in range(1000):
    while not os.path.exists(f'go.{turn}'):
        time.sleep(0.01)
    sys.stdin.readline()
    print('ack', flush=True)
    until = time.perf_counter() + 0.0002
    while time.perf_counter() < until:
        pass
    sys.stdin.readline()
    print('ack', flush=True)
",
    );
    case.start("protocol: lines\nprefetch: 1000\ncommand: [python3, child.py]");
    case.outside.wait_for_consumers("work", 1, PATIENCE).await;
    case.outside.publish("work", bodies(2 * PAIRS + 2)).await;
    case.outside.wait_for_depth("work", 0, PATIENCE).await;
    for turn in 0..PAIRS {
        case.supervisor.write(&format!("go.{turn}"), "");
        let left = (2 * (PAIRS - turn)) as u64;
        wait_until("both to be settled", PATIENCE, || case.unsettled() == Some(left));
    }
}
