//! Small changes of a stack that has much: what is asked of the broker for them, and that nothing is
//! missed.

use reqwest::Method;
use serde_json::{Value, json};

use crate::reconcile::{api, get};
use crate::support::listener::Listener;
use crate::support::stack::Stack;

/// Bindings of the large stack: with them it owns over a thousand things.
const MANY: usize = 1100;

/// A stack with many bindings that was applied, and what it asks for over the listener.
fn large() -> (Stack, Listener) {
    let listener = Listener::start();
    let bind: Vec<_> =
        (0..MANY).map(|nth| json!({"exchange": "letters", "key": format!("key.{nth}")})).collect();
    let mut stack = Stack::new(json!({
        "exchanges": {"letters": {"type": "topic"}},
        "queues": {"work": {"bind": bind}},
    }));
    stack.document["broker"]["management"] = json!(listener.url());
    let applied = stack.apply();
    assert_eq!(applied.code, Some(0), "{applied:?}");
    listener.asked();
    (stack, listener)
}

/// How often everything was looked at.
fn looks(asked: &[String]) -> usize {
    asked.iter().filter(|request| request.starts_with("GET definitions/")).count()
}

/// The names of what the ledgers of the stack have: of the large one, and of what was added to it.
fn owned(stack: &Stack) -> (Value, Option<Value>) {
    let vhost = stack.vhost();
    let parameters = get("global-parameters");
    let parameters = parameters.as_array().expect("a list");
    let named = |name: &str| {
        let found = parameters.iter().find(|parameter| parameter["name"] == name)?;
        Some(found["value"]["owned"][vhost]["queues"].clone())
    };
    let whole = named(&format!("warrener.test@{vhost}")).expect("a ledger");
    (whole, named(&format!("warrener.+test@{vhost}")))
}

#[test]
fn what_is_new_alone_is_looked_at_and_noted_after_it_was_applied() {
    let (mut stack, listener) = large();
    let bind = json!([{"exchange": "letters", "key": "new"}]);
    stack.document["queues"]["new"] = json!({"bind": bind});
    let applied = stack.apply();
    assert_eq!(applied.code, Some(0), "{applied:?}");
    let asked = listener.asked();
    assert_eq!(looks(&asked), 1, "{asked:#?}");
    let vhost = stack.vhost().to_owned();
    for place in ["", "/bindings"] {
        let request = format!("GET queues/{vhost}/new{place}");
        assert!(asked.contains(&request), "{asked:#?}");
    }
    assert_eq!(owned(&stack), (json!(["work"]), Some(json!(["new"]))));

    // What was added counts, and what is added to it comes to it.
    stack.document["queues"]["newer"] = json!({});
    stack.document["policies"] =
        json!({"short": {"pattern": "^new", "definition": {"max-length": 3}}});
    assert_eq!(stack.apply().code, Some(0));
    assert_eq!(looks(&listener.asked()), 1);
    assert_eq!(owned(&stack), (json!(["work"]), Some(json!(["new", "newer"]))));

    // With nothing to do, the two become one.
    assert_eq!(stack.apply().code, Some(0));
    assert_eq!(owned(&stack), (json!(["new", "newer", "work"]), None));
    stack.document["queues"].as_object_mut().expect("a map").remove("new");
    listener.asked();
    let pruned = stack.run(&["apply", "--prune", "stack.yaml"]);
    assert_eq!(pruned.code, Some(0), "{pruned:?}");
    assert!(pruned.out.ends_with("0 created, 0 updated, 2 deleted\n"), "{pruned:?}");
    assert_eq!(looks(&listener.asked()), 1);
    assert_eq!(owned(&stack), (json!(["newer", "work"]), None));
    assert_eq!(stack.plan().code, Some(0));
}

/// What is not found where it should be takes a look at everything, and what that does not find is
/// said.
#[test]
fn what_is_not_found_afterwards_is_looked_for_and_said() {
    let (mut stack, listener) = large();
    let vhost = stack.vhost().to_owned();
    stack.document["queues"]["late"] = json!({});
    listener.lie(format!("GET queues/{vhost}/late"), "404 Not Found", 1);
    let applied = stack.apply();
    assert_eq!(applied.code, Some(0), "{applied:?}");
    assert_eq!(looks(&listener.asked()), 2, "one for the plan, and one after the short one");

    // A step that has come to nothing although the broker said that it was taken.
    stack.document["policies"] =
        json!({"short": {"pattern": "^new", "definition": {"max-length": 3}}});
    listener.lie(format!("PUT policies/{vhost}/short"), "204 No Content", 1);
    let applied = stack.apply();
    assert_eq!(applied.code, Some(3), "{applied:?}");
    assert!(applied.out.contains("+ policy short"), "{applied:?}");
    assert!(looks(&listener.asked()) > 2);
    assert_eq!(stack.apply().code, Some(0));
    assert_eq!(looks(&listener.asked()), 1);
}

/// What is made anew takes a look at everything: other things hang on it.
#[test]
fn what_was_made_anew_is_looked_at_with_everything() {
    let (mut stack, listener) = large();
    stack.document["queues"]["small"] = json!({});
    assert_eq!(stack.apply().code, Some(0));
    listener.asked();
    stack.document["queues"]["small"] = json!({"type": "quorum", "on_conflict": "replace"});
    let applied = stack.apply();
    assert_eq!(applied.code, Some(0), "{applied:?}");
    assert!(applied.out.ends_with("0 created, 0 updated, 1 replaced\n"), "{applied:?}");
    assert_eq!(looks(&listener.asked()), 2);
    api(Method::DELETE, &format!("queues/{}/small", stack.vhost()), None);
    assert_eq!(stack.plan().code, Some(2));
}
