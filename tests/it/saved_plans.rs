//! Plans that are saved, looked at, and performed as they were shown, or refused.

use reqwest::Method;
use serde_json::{Value, json};

use crate::reconcile::{api, queue_names};
use crate::support::stack::{Said, Stack};

fn stack() -> Stack {
    Stack::new(json!({
        "exchanges": {"orders": {"type": "topic"}},
        "queues": {"billing": {"bind": [{"exchange": "orders", "key": "k"}]}},
        "policies": {"ttl": {"pattern": "^none$", "definition": {"message-ttl": 1000}}},
    }))
}

fn save(stack: &Stack, more: &[&str]) -> Said {
    stack.run(&[&["plan", "--out", "saved.json"], more, &["stack.yaml"]].concat())
}

fn perform(stack: &Stack) -> Said {
    stack.run(&["apply", "--plan", "saved.json"])
}

#[test]
fn a_saved_plan_is_performed_as_it_was_shown() {
    let mut stack = stack();
    let planned = save(&stack, &[]);
    assert_eq!(planned.code, Some(2), "{planned:?}");
    let text = std::fs::read_to_string(stack.path("saved.json")).expect("a file");
    assert!(!text.contains("guest"), "{text}");
    let saved: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!((&saved["version"], &saved["files"]), (&json!(1), &json!(["stack.yaml"])));
    assert_eq!(saved["plan"]["changes"].as_array().map(Vec::len), Some(4));
    let applied = perform(&stack);
    assert_eq!(applied.code, Some(0), "{applied:?}");
    assert!(applied.out.contains("4 created, 0 updated"), "{applied:?}");
    assert_eq!(stack.plan().code, Some(0));
    // What was agreed to comes along.
    stack.document["queues"] = json!({});
    assert_eq!(save(&stack, &["--prune"]).code, Some(2));
    let applied = perform(&stack);
    assert_eq!(applied.code, Some(0), "{applied:?}");
    assert!(queue_names(&stack).is_empty());
    // Performed already, it is stale.
    let again = perform(&stack);
    assert_eq!(again.code, Some(1), "{again:?}");
    assert!(again.err.contains("no need any more to delete binding"), "{again:?}");
}

#[test]
fn a_stale_plan_and_one_for_something_else_are_refused() {
    let mut stack = stack();
    assert_eq!(save(&stack, &[]).code, Some(2));
    let queue = format!("queues/{}/billing", stack.vhost());
    api(
        Method::PUT,
        &queue,
        Some(&json!({"durable": true, "auto_delete": false, "arguments": {}})),
    );
    let stale = perform(&stack);
    assert_eq!(stale.code, Some(1), "{stale:?}");
    assert!(stale.err.contains("error: it is stale, because the broker has changed since it was made: there is no need any more to create queue `billing`\n  hint: make it anew"), "{stale:?}");
    api(Method::DELETE, &queue, None);
    // What concerns nobody does not make it stale.
    api(Method::PUT, &format!("queues/{}/stranger", stack.vhost()), Some(&json!({})));
    let good = std::fs::read_to_string(stack.path("saved.json")).expect("a file");

    // Other files.
    let before = stack.document.clone();
    stack.document["queues"]["more"] = json!({});
    let other = perform(&stack);
    assert_eq!(other.code, Some(1));
    assert!(other.err.contains("the files want something else than when it was made"), "{other:?}");
    stack.document = before;

    // Another cluster, a later version, and no plan at all.
    let mut elsewhere: Value = serde_json::from_str(&good).expect("JSON");
    elsewhere["broker"]["cluster"] = json!("rabbit@elsewhere");
    for (text, words) in [
        (elsewhere.to_string(), "it is for the cluster `rabbit@elsewhere`, and this is `"),
        (good.replace("\"version\": 1", "\"version\": 7"), "it has the form 7"),
        ("{}".to_owned(), "it is no saved plan: it has no `version`"),
    ] {
        std::fs::write(stack.path("saved.json"), text).expect("a file");
        let refused = perform(&stack);
        assert_eq!(refused.code, Some(1), "{refused:?}");
        assert!(refused.err.contains(words), "{refused:?}");
    }
    assert_eq!(queue_names(&stack), ["stranger"]);
    std::fs::write(stack.path("saved.json"), good).expect("a file");
    let applied = perform(&stack);
    assert_eq!(applied.code, Some(0), "{applied:?}");
    // Consent is given when a plan is made.
    let usage = stack.run(&["apply", "--plan", "saved.json", "--force"]);
    assert_eq!(usage.code, Some(64), "{usage:?}");
}

/// Without the management API nobody knows which broker it is.
#[test]
fn a_plan_for_an_unknown_broker_is_not_saved() {
    let mut stack = stack();
    stack.document["policies"] = json!({});
    stack.document["broker"]["management"] = json!("none");
    let refused = save(&stack, &[]);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.err.contains("nobody can tell which broker this is"), "{refused:?}");
    assert!(!stack.path("saved.json").exists());
}
