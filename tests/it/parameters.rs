//! Operator policies, parameters and global parameters, on a real broker.

use insta::assert_snapshot;
use reqwest::Method;
use serde_json::{Value, json};

use crate::reconcile::{api, get};
use crate::support::stack::Stack;

fn settles(stack: &Stack) {
    let applied = stack.apply();
    assert_eq!(applied.code, Some(0), "{applied:?}");
    let again = stack.plan();
    assert_eq!(again.out, "nothing to do: the broker is as the files say\n");
}

fn stack() -> Stack {
    let mut stack = Stack::new(json!({
        "exchanges": {"upstream": {"type": "topic"}},
        "queues": {"from": {}, "to": {"type": "quorum"}},
        "policies": {"federated": {"pattern": "^upstream$", "apply_to": "exchanges", "definition": {"federation-upstream-set": "all"}}},
        "operator_policies": {"most": {"pattern": "^from$", "apply_to": "queues", "priority": 3, "definition": {"max-length": 100}}},
        "parameters": {
            "shovel": {"move": {
                "src-protocol": "amqp091", "src-uri": "amqp://", "src-queue": "from",
                "dest-protocol": "amqp091", "dest-uri": "amqp://", "dest-queue": "to",
                "dest-publish-properties": {},
            }},
            "federation-upstream": {"up": {"uri": ["amqp://localhost"], "expires": 3_600_000}},
            "federation-upstream-set": {"some": [{"upstream": "up"}]},
        },
    }));
    let global = format!("note-{}", stack.vhost());
    stack.document["global_parameters"] =
        json!({global.as_str(): {"text": "ü", "empty": {}, "list": [], "n": 1.5}});
    stack
}

#[test]
fn all_kinds_of_parameters() {
    let mut stack = stack();
    assert_snapshot!(stack.plan().out, @r#"
    + operator policy most (apply_to queues, max-length 100, pattern "^from$", priority 3)
    + global parameter note-VHOST (empty {}, n 1.5, text ü)
    + exchange upstream (topic)
    + policy federated (exchanges matching ^upstream$, federation-upstream-set all)
    + queue from (classic)
    + queue to (quorum)
    + parameter federation-upstream/up (expires 3600000, uri ["amqp://localhost"])
    + parameter federation-upstream-set/some (value [{"upstream":"up"}])
    + parameter shovel/move (dest-protocol amqp091, dest-publish-properties {}, dest-queue to, dest-uri amqp://, src-protocol amqp091, src-queue from, src-uri amqp://)
    9 to create, 0 to update, 0 in conflict
    "#);
    settles(&stack);
    let vhost = stack.vhost().to_owned();
    let operator = get(&format!("operator-policies/{vhost}/most"));
    assert_eq!(
        (&operator["definition"], &operator["priority"]),
        (&json!({"max-length": 100}), &json!(3))
    );
    assert_eq!(get(&format!("parameters/shovel/{vhost}/move"))["value"]["dest-queue"], "to");

    // The operator policy is owned once, though exports show it among the parameters as well.
    let drift = stack.run(&["drift", "stack.yaml"]);
    assert_eq!(drift.code, Some(0), "{drift:?}");

    let global = format!("note-{vhost}");
    stack.document["global_parameters"][global.as_str()] = json!([1, {"a": "b"}]);
    stack.document["operator_policies"]["most"]["definition"] = json!({"max-length": 50});
    stack.document["parameters"]["federation-upstream"]["up"]["expires"] = json!(1000);
    stack.document["parameters"]["shovel"] = json!({});
    stack.document["queues"] = json!({"from": {}});
    assert_snapshot!(stack.run(&["plan", "--prune", "stack.yaml"]).out, @r#"
    ~ operator policy most: max-length 100 → 50
    ~ global parameter note-VHOST: empty {} → absent, list [] → absent, n 1.5 → absent, text ü → absent, value absent → [1,{"a":"b"}]
    ~ parameter federation-upstream/up: expires 3600000 → 1000
    - parameter shovel/move
    - queue to
    0 to create, 3 to update, 0 in conflict, 2 to delete
    "#);
    let pruned = stack.run(&["apply", "--prune", "stack.yaml"]);
    assert_eq!(pruned.code, Some(0), "{pruned:?}");
    settles(&stack);
    assert_eq!(
        get("global-parameters")
            .as_array()
            .map(|all| all.iter().filter(|p| p["name"] == global.as_str()).count()),
        Some(1)
    );

    // By hand: shown as drift of one kind, and as undeclared in another.
    api(Method::DELETE, &format!("operator-policies/{vhost}/most"), None);
    let upstream = json!({"value": {"uri": "amqp://"}});
    api(Method::PUT, &format!("parameters/federation-upstream/{vhost}/strange"), Some(&upstream));
    assert_snapshot!(stack.run(&["drift", "stack.yaml"]).out, @r#"
    + operator policy most (apply_to queues, max-length 50, pattern "^from$", priority 3)
    undeclared: parameter federation-upstream/strange
    1 not as declared, 0 no longer declared, 1 that nobody declares
    "#);
    for section in ["global_parameters", "operator_policies", "parameters", "policies"] {
        stack.document[section] = json!({});
    }
    let pruned = stack.run(&["apply", "--prune", "--force", "stack.yaml"]);
    assert_eq!(pruned.code, Some(0), "{pruned:?}");
    assert_eq!(get(&format!("operator-policies/{vhost}")), json!([]));
    let left = get(&format!("parameters/federation-upstream/{vhost}"));
    let left: Vec<&Value> = left.as_array().expect("a list").iter().map(|p| &p["name"]).collect();
    assert_eq!(left, ["strange"]);
    assert_eq!(get(&format!("parameters/shovel/{vhost}")), json!([]));
}

#[test]
fn what_is_retained_or_not_managed_stays() {
    let mut stack = Stack::new(json!({}));
    let vhost = stack.vhost().to_owned();
    stack.document["parameters"] = json!({"federation-upstream": {
        "kept": {"value": {"uri": "amqp://"}, "on_remove": "retain"},
        "theirs": {"manage": false},
    }});
    let planned = stack.plan();
    assert_eq!(planned.code, Some(1), "{planned:?}");
    assert!(
        planned.out.contains(
            "parameter federation-upstream/theirs: it is `manage: false` and not on the broker"
        ),
        "{planned:?}"
    );
    let upstream = json!({"value": {"uri": "amqp://theirs"}});
    api(Method::PUT, &format!("parameters/federation-upstream/{vhost}/theirs"), Some(&upstream));
    settles(&stack);
    stack.document["parameters"] = json!({});
    let pruned = stack.run(&["apply", "--prune", "--force", "stack.yaml"]);
    assert_eq!(pruned.out, "nothing to do: the broker is as the files say\n");
    let left = get(&format!("parameters/federation-upstream/{vhost}"));
    assert_eq!(left.as_array().map(Vec::len), Some(2));
}

#[test]
fn an_unknown_component_is_refused_in_the_broker_s_words() {
    let mut stack = Stack::new(json!({}));
    stack.document["parameters"] = json!({"nothing": {"x": {"a": 1}}});
    let applied = stack.apply();
    assert_eq!(applied.code, Some(1), "{applied:?}");
    assert_snapshot!(applied.out, @r"
    + parameter nothing/x (a 1)
    1 to create, 0 to update, 0 in conflict
    + parameter nothing/x (a 1)
      not done: the broker refuses `parameters/nothing/VHOST/x`: Validation failed component nothing not found (stack.yaml:8:7)
      hint: enable the plugin that brings this component on every node
    0 created, 0 updated, 1 not done
    ");
}
