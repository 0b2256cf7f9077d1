//! Policies and the queues that they are meant for, on a real broker.

use insta::assert_snapshot;
use reqwest::Method;
use serde_json::json;

use crate::reconcile::{api, get};
use crate::support::stack::Stack;

#[test]
fn a_policy_that_cannot_hold_for_a_new_queue_is_said() {
    // A stream takes no TTL, so the whole policy does not apply to it.
    let stack = Stack::new(json!({
        "queues": {"a.classic": {}, "a.stream": {"type": "stream"}, "b": {"type": "stream"}},
        "policies": {"ttl": {"pattern": "^a\\.", "definition": {"message-ttl": 1000}}},
    }));
    let applied = stack.apply();
    assert_eq!(applied.code, Some(0), "{applied:?}");
    let after = applied.out.split("in conflict\n").nth(1).expect("a report");
    assert_snapshot!(after, @r"
    note: policy ttl does not hold for queue a.stream although it matches: it may have a key that queues of the type stream do not take
    4 created, 0 updated
    ");
    let holds = get(&format!("queues/{}?disable_stats=true&columns=name,policy", stack.vhost()));
    let classic = holds.as_array().expect("a list").iter().find(|q| q["name"] == "a.classic");
    assert_eq!(classic.expect("the queue")["policy"], "ttl");
    // Nothing was new at the second time.
    let again = stack.apply();
    assert_eq!(again.out, "nothing to do: the broker is as the files say\n");
}

#[test]
fn a_policy_that_another_one_hides_is_said() {
    let stack = Stack::new(json!({
        "queues": {"a": {}, "b": {"type": "quorum"}, "c": {}},
        "policies": {
            "limit": {"pattern": "^[ab]$", "priority": 1, "definition": {"max-length": 5}},
            "rest": {"pattern": "^c$", "definition": {"max-length": 6}},
        },
    }));
    let put = |name: &str, priority: i64, pattern: &str| {
        let body = json!({"pattern": pattern, "priority": priority, "definition": {"max-length": 7}, "apply-to": "queues"});
        api(Method::PUT, &format!("policies/{}/{name}", stack.vhost()), Some(&body));
    };
    put("theirs", 2, ".");
    put("lower", -1, ".");
    let applied = stack.apply();
    assert_eq!(applied.code, Some(0), "{applied:?}");
    let drift = stack.run(&["drift", "stack.yaml"]);
    assert_eq!(drift.code, Some(2));
    assert_snapshot!(drift.out, @r"
    note: policy theirs, which the files do not declare, holds in place of policy limit for queue a and 1 more
    note: policy theirs, which the files do not declare, holds in place of policy rest for queue c
    undeclared: policy lower
    undeclared: policy theirs
    0 not as declared, 0 no longer declared, 2 that nobody declares
    ");
    put("theirs", 1, "^a$");
    let planned = stack.plan();
    assert_eq!(planned.code, Some(0));
    assert_snapshot!(planned.out, @r"
    note: policy theirs, which the files do not declare, has the same priority as policy limit for queue a
    nothing to do: the broker is as the files say
    ");
    let json = stack.run(&["plan", "--json", "stack.yaml"]);
    assert!(json.out.contains("\"notes\""), "{json:?}");
}
