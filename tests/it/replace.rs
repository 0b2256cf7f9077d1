//! What cannot be changed and holds nothing is made anew, where somebody agreed to that.

use reqwest::Method;
use serde_json::json;

use crate::migration::{bind_by_hand, bindings, exchanges, stack};
use crate::reconcile::{api, queue_names};

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
