//! `plan` and `apply` without the management API.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use insta::assert_snapshot;
use serde_json::json;
use warrener::broker::management::{ManagementClient, ManagementError, Timeouts};
use warrener::broker::{Scope, observe};
use warrener::model::{Management, TlsFiles};

use crate::support::broker::{management_url, since};
use crate::support::stack::{Said, Stack};

fn orders() -> Stack {
    let mut stack = Stack::new(json!({
        "exchanges": {"orders": {"type": "topic"}},
        "queues": {
            "billing": {
                "type": "quorum",
                "delivery_limit": 5,
                "bind": [{"exchange": "orders", "key": "order.created"}],
            },
            "plain": {"bind": [{"exchange": "amq.topic", "key": "#"}]},
        },
    }));
    stack.document["broker"]["management"] = json!("none");
    stack
}

/// What apply said after the plan.
fn report(applied: &Said) -> &str {
    let sum = applied.out.find(" in conflict").expect("the plan's sum");
    let end = applied.out[sum..].find('\n').expect("a line");
    &applied.out[sum + end + 1..]
}

/// What a plan said, but for the place of the ledger, which is another in each run.
fn without_ledger(said: &Said) -> String {
    let told = said.out.lines().filter(|line| line.contains("noted on this machine alone")).count();
    assert_eq!(told, 1, "{said:?}");
    let lines = said.out.split_inclusive('\n');
    lines.filter(|line| !line.contains("noted on this machine alone")).collect()
}

#[test]
fn it_declares_and_says_what_cannot_be_known() {
    let mut stack = orders();
    let planned = stack.plan();
    assert_eq!(planned.code, Some(2), "{planned:?}");
    assert_snapshot!(without_ledger(&planned), @r"
    + exchange orders (topic)
    + queue billing (quorum, x-delivery-limit 5)
    + queue plain (classic)
    + binding amq.topic → plain (key #)
    + binding orders → billing (key order.created)
    cannot be known: which bindings exist: the management API is switched off
      hint: give its address as `broker.management`
    5 to create, 0 to update, 0 in conflict
    ");
    let applied = stack.apply();
    assert_eq!(applied.code, Some(0), "{applied:?}");

    let planned = stack.plan();
    assert_eq!(planned.code, Some(2));
    assert_snapshot!(without_ledger(&planned), @r"
    ? exchange orders: it exists; whether it is as declared cannot be seen
    ? queue billing: it exists; whether it is as declared cannot be seen
    ? queue plain: it exists; whether it is as declared cannot be seen
    ? binding amq.topic → plain (key #): whether it exists cannot be seen
    ? binding orders → billing (key order.created): whether it exists cannot be seen
    cannot be known: the types and arguments of what exists, which bindings exist: the management API is switched off
      hint: give its address as `broker.management`
    0 to create, 0 to update, 0 in conflict, 5 cannot be known
    ");
    let applied = stack.apply();
    assert_eq!(applied.code, Some(0), "{applied:?}");
    assert_snapshot!(report(&applied), @r"
    the broker was not looked at again: only the management API could tell
    0 created, 0 updated, 5 declared again
    ");

    // And it really is as declared.
    stack.document["broker"]["management"] = json!(management_url());
    assert_eq!(stack.plan().code, Some(0));
}

#[test]
fn a_conflict_is_told_in_the_broker_s_words_and_nothing_changes() {
    let mut stack = orders();
    assert_eq!(stack.apply().code, Some(0));
    stack.document["queues"]["plain"]["max_length"] = json!(5);
    stack.document["queues"]["new"] = json!({});
    let applied = stack.apply();
    assert_eq!(applied.code, Some(1));
    assert_snapshot!(report(&applied), @r"
    ? queue plain
      not done: PRECONDITION_FAILED - inequivalent arg 'x-max-length' for queue 'plain' in vhost 'VHOST': received the value '5' of type 'long' but current is none (stack.yaml:23:5)
      hint: let the file say what the broker has, or delete it on the broker first (what it holds goes with it)
    the broker was not looked at again: only the management API could tell
    0 created, 0 updated, 2 declared again, 1 not done
    ");
    assert!(applied.err.ends_with("error: nothing was changed\n"), "{applied:?}");
    // The new queue was not created.
    let planned = stack.plan();
    assert!(planned.out.contains("+ queue new (classic)"), "{planned:?}");
}

#[test]
fn policies_are_refused() {
    let mut stack = orders();
    stack.document["policies"] = json!({
        "ttl": {"pattern": "^x$", "apply_to": "queues", "definition": {"message-ttl": 1}},
    });
    let applied = stack.apply();
    assert_eq!(applied.code, Some(1));
    let line = applied.out.lines().find(|line| line.starts_with("! policy")).unwrap_or_default();
    assert_snapshot!(line, @"! policy ttl: policies can be neither seen nor set: the management API is switched off (stack.yaml:12:5)");
}

#[test]
fn an_unknown_exchange_type_is_told_even_where_it_costs_the_connection() {
    let mut stack = orders();
    stack.document["exchanges"]["later"] = json!({"type": "x-no-such-type"});
    let start = Instant::now();
    let applied = stack.apply();
    if since(4, 0) {
        // It costs only the channel, so the rest is declared.
        assert!(applied.out.ends_with("5 created, 0 updated, 1 not done\n"), "{applied:?}");
    }
    assert!(matches!(applied.code, Some(1 | 3)), "{applied:?}");
    assert!(start.elapsed() < Duration::from_secs(20));
    assert!(applied.out.contains("unknown exchange type 'x-no-such-type'"), "{applied:?}");
    assert!(applied.out.contains("hint: enable the plugin"), "{applied:?}");
}

#[test]
fn a_wrong_password_falls_back_and_is_not_shown() {
    let mut stack = orders();
    let address = management_url().replace("://", "://guest:wrong-password@");
    stack.document["broker"]["management"] = json!(address);
    let planned = stack.plan();
    assert_eq!(planned.code, Some(2));
    let words = if since(4, 0) { "Not_Authorized" } else { "Login failed" };
    let refused = format!("the management API refuses user `guest`: {words}\n");
    assert!(planned.out.contains(&refused), "{planned:?}");
    assert!(planned.out.contains("hint: check the password of `guest`"), "{planned:?}");
    assert!(!planned.out.contains("wrong-password"));
}

#[test]
fn a_closed_port_falls_back_and_without_amqp_there_is_no_way() {
    let mut stack = orders();
    let closed = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = closed.local_addr().expect("an address");
    drop(closed);
    stack.document["broker"]["management"] = json!(format!("http://{address}"));
    let planned = stack.plan();
    assert_eq!(planned.code, Some(2));
    let refused =
        format!("no answer from the management API at `http://{address}`: Connection refused");
    assert!(planned.out.contains(&refused), "{planned:?}");

    stack.document["broker"]["url"] = json!(format!("amqp://guest:guest@{address}"));
    let planned = stack.plan();
    assert_eq!(planned.code, Some(1));
    assert!(planned.err.contains(&refused), "{planned:?}");
    assert!(planned.err.contains("cannot connect to amqp://127.0.0.1:"), "{planned:?}");
}

#[tokio::test]
async fn a_silent_port_costs_the_time_limit_and_no_more() {
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", silent.local_addr().expect("an address"));
    let limit = Duration::from_millis(200);
    let management = Management::At {
        url: url.clone(),
        user: "guest".into(),
        password: "guest".to_owned().into(),
        tls: TlsFiles::default(),
        explicit: false,
    };
    let client = ManagementClient::new(&management, Timeouts { connect: limit, whole: limit })
        .expect("a client")
        .expect("management is not off");
    let start = Instant::now();
    let error = observe(&Scope::default(), &client).await.expect_err("nobody answers");
    assert!(start.elapsed() < Duration::from_secs(10));
    assert_eq!(error, ManagementError::Unreachable { url, reason: "timed out".into() });
}
