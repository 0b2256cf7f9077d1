//! What cannot be changed and holds nothing is made anew, where somebody agreed to that.

use insta::assert_snapshot;
use lapin::BasicProperties;
use lapin::options::{BasicAckOptions, BasicGetOptions};
use reqwest::Method;
use serde_json::json;

use crate::migration::{bind_by_hand, bindings, exchanges, stack};
use crate::reconcile::{api, get, queue_names};
use crate::support::listener::Listener;
use crate::support::queue::Outside;
use crate::support::stack::Stack;
use crate::support::supervisor::{PATIENCE, wait_until};

/// What is empty and unused is made anew with its bindings, those too that nobody declares.
#[test]
fn what_is_empty_is_replaced_with_its_bindings() {
    let mut stack = stack();
    stack.document["exchanges"]["audit"] =
        json!({"type": "fanout", "bind": [{"exchange": "orders", "key": "order.#"}]});
    assert_eq!(stack.apply().code, Some(0));
    bind_by_hand(&stack);
    let vhost = stack.vhost().to_owned();
    let by_hand = |path: &str| {
        api(Method::POST, &format!("bindings/{vhost}/{path}"), Some(&json!({"routing_key": "k"})));
    };
    by_hand("e/audit/q/work");
    by_hand("e/amq.direct/e/audit");
    let before = bindings(&stack);
    stack.document["queues"]["work"]["max_length"] = json!(10);
    stack.document["exchanges"]["audit"]["type"] = json!("direct");
    let planned = stack.plan();
    assert_eq!(planned.code, Some(1), "{planned:?}");
    assert_eq!(planned.out.matches("`--allow-replace`").count(), 2, "{planned:?}");
    let planned = stack.run(&["plan", "--allow-replace", "stack.yaml"]);
    assert_eq!(planned.code, Some(2), "{planned:?}");
    assert!(planned.out.contains("± exchange audit: type fanout → direct, made anew with its bindings\n± queue work: x-max-length absent → 10, made anew with its bindings\n"), "{planned:?}");
    let applied = stack.run(&["apply", "--allow-replace", "stack.yaml"]);
    assert_eq!(applied.code, Some(0), "{applied:?}");
    assert!(applied.out.ends_with("0 created, 0 updated, 2 replaced\n"), "{applied:?}");
    assert_eq!(bindings(&stack), before);
    assert_eq!(stack.plan().code, Some(0));
    assert_eq!(queue_names(&stack), ["work"]);
    assert!(!exchanges(&stack).iter().any(|name| name.starts_with("warrener")));
    // The file can say so as well.
    stack.document["queues"]["work"]["max_length"] = json!(11);
    stack.document["queues"]["work"]["on_conflict"] = json!("replace");
    let applied = stack.apply();
    assert_eq!(applied.code, Some(0), "{applied:?}");
    assert_eq!(bindings(&stack), before);
}

/// What holds messages and cannot be moved is refused, each for its own reason.
#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_moved_is_refused_and_says_why() {
    let mut stack = Stack::new(json!({"queues": {
        "events": {"type": "stream"}, "log": {}, "tail": {"auto_delete": true}, "work": {},
    }}));
    tokio::task::block_in_place(|| assert_eq!(stack.apply().code, Some(0)));
    let url = stack.document["broker"]["url"].as_str().expect("text").to_owned();
    let outside = Outside::connect(&url).await;
    for queue in ["events", "log", "tail", "work"] {
        outside.send(("", queue), BasicProperties::default(), b"x").await;
    }
    outside.confirmed().await;
    for queue in ["events", "log", "tail", "work"] {
        outside.wait_for_depth(queue, 1, PATIENCE).await;
    }
    stack.document["queues"] = json!({
        "events": {"type": "quorum", "on_conflict": "migrate"},
        "log": {"type": "stream", "on_conflict": "migrate"},
        "tail": {"on_conflict": "migrate"},
        "work": {"type": "quorum", "on_conflict": "replace"},
    });
    let refused = tokio::task::block_in_place(|| stack.apply());
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert_snapshot!(refused.out, @r"
    ! queue events: type is stream on the broker, quorum in stack.yaml:7:5
      hint: it holds 1 message, and nothing can be taken out of a stream, and the offsets of its readers would mean nothing in another: declare the new one under another name, have publishers change over, then readers, and delete the old one
    ! queue log: type is classic on the broker, stream in stack.yaml:11:5
      hint: it holds 1 message, and what is consumed from a stream stays in it, so nothing is moved into one: let consumers empty the queue, or declare the stream under another name
    ! queue tail: auto_delete is true on the broker, false in stack.yaml:15:5
      hint: it holds 1 message, and an `auto_delete` queue goes, with what it holds, when its consumers end, as they have to for a migration: let them empty it, or let the file say what the broker has
    ! queue work: type is classic on the broker, quorum in stack.yaml:18:5
      hint: it holds 1 message, and only what is empty and unused is replaced: `on_conflict: migrate` takes its messages along
    0 to create, 0 to update, 4 in conflict
    ");
}

/// An exchange whose replacement was cut off while it was gone: finished where it is declared, gone
/// with the two that hold its bindings where it is not.
#[test]
fn an_interrupted_replacement_is_finished_or_pruned() {
    for declared in [true, false] {
        let mut stack = stack();
        stack.document["exchanges"]["audit"] =
            json!({"type": "fanout", "bind": [{"exchange": "orders", "key": "order.#"}]});
        stack.document["bindings"] = json!([{"exchange": "audit", "queue": "work"}]);
        assert_eq!(stack.apply().code, Some(0));
        let before = bindings(&stack);
        let vhost = stack.vhost().to_owned();
        for shadow in ["to", "from"] {
            let path = format!("exchanges/{vhost}/warrener.replace.audit.{shadow}");
            api(Method::PUT, &path, Some(&json!({"type": "direct", "internal": true})));
        }
        let bind = |path: &str, key: &str| {
            let key = json!({"routing_key": key});
            api(Method::POST, &format!("bindings/{vhost}/{path}"), Some(&key));
        };
        bind("e/orders/e/warrener.replace.audit.to", "order.#");
        bind("e/warrener.replace.audit.from/q/work", "");
        api(Method::DELETE, &format!("exchanges/{vhost}/audit"), None);
        if !declared {
            stack.document["exchanges"].as_object_mut().expect("a map").remove("audit");
            stack.document["bindings"] = json!([]);
        }
        let drift = stack.run(&["drift", "stack.yaml"]);
        assert_eq!(drift.code, Some(2), "{drift:?}");
        assert!(!drift.out.contains("undeclared: "), "{drift:?}");
        let applied = stack.run(&["apply", "--prune", "stack.yaml"]);
        assert_eq!(applied.code, Some(0), "{applied:?}");
        assert_eq!(stack.run(&["drift", "stack.yaml"]).code, Some(0));
        assert!(!exchanges(&stack).iter().any(|name| name.starts_with("warrener")));
        assert_eq!(exchanges(&stack).contains("audit"), declared);
        assert_eq!(bindings(&stack) == before, declared);
    }
}

/// A message that somebody has taken is not in sight any more and may come back: the queue stays until
/// it is settled.
#[tokio::test(flavor = "multi_thread")]
async fn what_holds_a_message_that_somebody_has_taken_waits_for_it() {
    let mut stack = Stack::new(json!({"queues": {"work": {}}}));
    tokio::task::block_in_place(|| assert_eq!(stack.apply().code, Some(0)));
    let outside = Outside::connect(stack.document["broker"]["url"].as_str().expect("text")).await;
    outside.publish("work", ["x".to_owned()]).await;
    let taken = outside.channel.basic_get("work".into(), BasicGetOptions::default());
    let taken = taken.await.expect("an answer").expect("a message");

    let listener = Listener::start();
    stack.document["broker"]["management"] = json!(listener.url());
    stack.document["queues"]["work"] = json!({"type": "quorum", "on_conflict": "replace"});
    let path = format!("queues/{}/work", stack.vhost());
    let applying = std::thread::spawn(move || stack.apply());
    let mut counts = 0;
    tokio::task::block_in_place(|| {
        wait_until("some counts of its messages", PATIENCE, || {
            let asked = listener.asked();
            counts += asked.iter().filter(|asked| asked.contains("enable_queue_totals")).count();
            counts > 5
        });
        assert_eq!(get(&path)["arguments"]["x-queue-type"], "classic");
    });
    let settled =
        outside.channel.basic_ack(taken.delivery.delivery_tag, BasicAckOptions::default());
    settled.await.expect("is sent");
    tokio::task::block_in_place(|| {
        let applied = applying.join().expect("it ends");
        assert_eq!(applied.code, Some(0), "{applied:?}");
        assert!(applied.out.ends_with("0 created, 0 updated, 1 replaced\n"), "{applied:?}");
    });
}
