//! `plan` and `apply` without the management API.

use std::time::{Duration, Instant};

use insta::assert_snapshot;
use serde_json::json;
use tokio::net::TcpListener;
use warrener::broker::management::{ManagementClient, ManagementError, Timeouts};
use warrener::broker::observe;
use warrener::cli::exit::Exit;
use warrener::model::{Management, QueueType};

use crate::support::stack::{Stack, management, table, to_queue};

fn orders() -> Stack {
    let mut stack = Stack::new();
    stack.management = Management::Off;
    stack.exchange("orders", "topic");
    stack.queue("billing", QueueType::Quorum, &json!({"x-delivery-limit": 5}));
    stack.queue("plain", QueueType::Classic, &json!({}));
    stack.bind("orders", to_queue("billing"), "order.created", &json!({}));
    stack.bind("amq.topic", to_queue("plain"), "#", &json!({}));
    stack
}

#[tokio::test]
async fn it_declares_and_says_what_cannot_be_known() {
    let mut stack = orders();
    let planned = stack.plan().await;
    assert_eq!(planned.exit, Exit::Changes, "{planned:?}");
    assert_snapshot!(planned.out, @r"
    + exchange orders (topic)
    + queue billing (quorum, x-delivery-limit 5)
    + queue plain (classic)
    + binding orders → billing (key order.created)
    + binding amq.topic → plain (key #)
    cannot be known: which bindings exist: the management API is switched off
      hint: give its address as `broker.management`
    5 to create, 0 to update, 0 in conflict
    ");
    let applied = stack.apply().await;
    assert_eq!(applied.exit, Exit::Done, "{applied:?}");

    let planned = stack.plan().await;
    assert_eq!(planned.exit, Exit::Changes);
    assert_snapshot!(planned.out, @r"
    ? exchange orders: it exists; whether it is as declared cannot be seen
    ? queue billing: it exists; whether it is as declared cannot be seen
    ? queue plain: it exists; whether it is as declared cannot be seen
    ? binding orders → billing (key order.created): whether it exists cannot be seen
    ? binding amq.topic → plain (key #): whether it exists cannot be seen
    cannot be known: the types and arguments of what exists, which bindings exist: the management API is switched off
      hint: give its address as `broker.management`
    0 to create, 0 to update, 0 in conflict, 5 cannot be known
    ");
    let applied = stack.apply().await;
    assert_eq!(applied.exit, Exit::Done, "{applied:?}");
    let report =
        &applied.out[applied.out.find("cannot be known\n").expect("the plan's sum") + 16..];
    assert_snapshot!(report, @r"
    the broker was not looked at again: only the management API could tell
    0 created, 0 updated, 5 declared again
    ");

    // And it really is as declared.
    stack.management = management("guest", "guest");
    assert_eq!(stack.plan().await.exit, Exit::Done);
}

#[tokio::test]
async fn a_conflict_is_told_in_the_broker_s_words_and_nothing_changes() {
    let mut stack = orders();
    assert_eq!(stack.apply().await.exit, Exit::Done);
    stack.parts.queues[1].arguments = table(&json!({"x-max-length": 5}));
    stack.queue("new", QueueType::Classic, &json!({}));
    let applied = stack.apply().await;
    assert_eq!(applied.exit, Exit::Error);
    let report =
        &applied.out[applied.out.find("cannot be known\n").expect("the plan's sum") + 16..];
    assert_snapshot!(report.replace(stack.vhost().as_str(), "VHOST"), @r"
    ? queue plain
      not done: PRECONDITION_FAILED - inequivalent arg 'x-max-length' for queue 'plain' in vhost 'VHOST': received the value '5' of type 'long' but current is none
      hint: let the file say what the broker has, or delete it on the broker first (what it holds goes with it)
    the broker was not looked at again: only the management API could tell
    0 created, 0 updated, 2 declared again, 1 not done
    ");
    // The new queue was not created.
    let planned = stack.plan().await;
    assert!(planned.out.contains("+ queue new (classic)"), "{planned:?}");
}

#[tokio::test]
async fn policies_are_refused() {
    let mut stack = orders();
    stack.policy("ttl", &json!({"message-ttl": 1}));
    let applied = stack.apply().await;
    assert_eq!(applied.exit, Exit::Error);
    assert!(applied.out.contains("! policy ttl: policies can be neither seen nor set: the management API is switched off (orders.yaml:12:3)\n  hint: give its address as `broker.management`\n"), "{applied:?}");
}

#[tokio::test]
async fn an_exchange_type_that_closes_the_connection_is_told() {
    let mut stack = orders();
    stack.exchange("later", "x-no-such-type");
    let applied = stack.apply().await;
    assert!(matches!(applied.exit, Exit::Error | Exit::Partly), "{applied:?}");
    assert!(applied.out.contains("unknown exchange type 'x-no-such-type'"), "{applied:?}");
    assert!(applied.out.contains("hint: enable the plugin"), "{applied:?}");
}

#[tokio::test]
async fn wrong_passwords_and_closed_ports_fall_back() {
    let mut stack = orders();
    stack.management = management("guest", "wrong-password");
    let planned = stack.plan().await;
    assert_eq!(planned.exit, Exit::Changes);
    assert!(planned.out.contains("refuses user `guest`: Login failed"), "{planned:?}");
    assert!(!format!("{planned:?}").contains("wrong-password"));

    let closed = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", closed.local_addr().expect("an address"));
    drop(closed);
    stack.management = at(&url);
    let planned = stack.plan().await;
    assert_eq!(planned.exit, Exit::Changes);
    let refused = format!("no answer from the management API at `{url}`: Connection refused");
    assert!(planned.out.contains(&refused), "{planned:?}");

    stack.amqp = false;
    let planned = stack.plan().await;
    assert_eq!(planned.exit, Exit::Error);
    assert!(planned.err.contains(&refused), "{planned:?}");
    assert!(planned.err.contains("AMQP is not to be reached"), "{planned:?}");
}

#[tokio::test]
async fn a_silent_port_costs_the_time_limit_and_no_more() {
    let silent = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", silent.local_addr().expect("an address"));
    let limit = Duration::from_millis(200);
    let client = ManagementClient::new(&at(&url), Timeouts { connect: limit, whole: limit })
        .expect("a client")
        .expect("management is not off");
    let start = Instant::now();
    let error = observe(&orders().desired().topology, &client).await.expect_err("nobody answers");
    assert!(start.elapsed() < Duration::from_secs(10));
    assert_eq!(error, ManagementError::Unreachable { url, reason: "timed out".into() });
}

fn at(url: &str) -> Management {
    Management::At {
        url: url.into(),
        user: "guest".into(),
        password: "guest".to_owned().into(),
        explicit: false,
    }
}
