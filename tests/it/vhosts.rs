//! One stack over several vhosts.

use insta::assert_snapshot;
use reqwest::Method;
use serde_json::{Value, json};

use crate::reconcile::{api, get};
use crate::support::broker::{rabbitmqctl, shared, since};
use crate::support::stack::Stack;

/// A stack whose second vhost is called like the first with `-b` behind it.
fn two_vhosts() -> (Stack, String) {
    let mut stack = Stack::new(json!({"queues": {"here": {}}}));
    let other = format!("{}-b", stack.vhost());
    stack.document["vhosts"] = json!({other.as_str(): {
        "description": "of the tests",
        "tags": ["a", "b"],
        "limits": {"max_queues": 50, "max_connections": 20},
        "exchanges": {"orders": {"type": "topic"}},
        "queues": {
            "there": {"type": "quorum", "bind": [{"exchange": "orders", "key": "#"}]},
            "there.dead": {},
        },
        "policies": {"ttl": {"pattern": "\\.dead$", "definition": {"message-ttl": 1000}}},
    }});
    (stack, other)
}

fn settles(stack: &Stack) {
    let applied = stack.apply();
    assert_eq!(applied.code, Some(0), "{applied:?}");
    let again = stack.plan();
    assert_eq!(again.out, "nothing to do: the broker is as the files say\n");
}

fn has_vhost(name: &str) -> bool {
    let vhosts = get("vhosts");
    vhosts.as_array().expect("a list").iter().any(|vhost| vhost["name"] == name)
}

fn limits(vhost: &str) -> Value {
    get(&format!("vhost-limits/{vhost}"))[0]["value"].clone()
}

#[test]
fn another_vhost_and_what_is_in_it() {
    let (mut stack, other) = two_vhosts();
    let planned = stack.plan();
    assert_eq!(planned.code, Some(2), "{planned:?}");
    assert_snapshot!(planned.out, @r#"
    + vhost VHOST-b (description "of the tests", max_connections 20, max_queues 50, tags ["a","b"])
    + exchange orders in vhost VHOST-b (topic)
    + policy ttl in vhost VHOST-b (all matching \.dead$, message-ttl 1000)
    + queue here (classic)
    + queue there in vhost VHOST-b (quorum)
    + queue there.dead in vhost VHOST-b (classic)
    + binding orders → there in vhost VHOST-b (key #)
    7 to create, 0 to update, 0 in conflict
    "#);
    settles(&stack);
    let found = get(&format!("vhosts/{other}"));
    assert_eq!(
        (&found["description"], &found["tags"]),
        (&json!("of the tests"), &json!(["a", "b"]))
    );
    assert_eq!(limits(&other), json!({"max-connections": 20, "max-queues": 50}));
    assert_eq!(get(&format!("queues/{other}/there"))["type"], "quorum");
    let bound = get(&format!("bindings/{other}/e/orders/q/there"));
    assert_eq!(bound[0]["routing_key"], "#");

    // What is changed by hand is drift, what is left out is none any more.
    api(Method::PUT, &format!("vhosts/{other}"), Some(&json!({"description": "by hand"})));
    let vhost = &mut stack.document["vhosts"][other.as_str()];
    vhost["limits"] = json!({"max_queues": 60});
    assert_snapshot!(stack.plan().out, @r#"
    ~ vhost VHOST-b: description "by hand" → "of the tests", max_connections 20 → absent, max_queues 50 → 60, tags [] → ["a","b"]
    0 to create, 1 to update, 0 in conflict
    "#);
    settles(&stack);
    assert_eq!(limits(&other), json!({"max-queues": 60}));
    let found = get(&format!("vhosts/{other}"));
    assert_eq!(
        (&found["description"], &found["tags"]),
        (&json!("of the tests"), &json!(["a", "b"]))
    );

    stack.document["vhosts"] = json!({});
    assert_snapshot!(stack.plan().out, @r"
    owned and no longer declared: exchange orders in vhost VHOST-b, policy ttl in vhost VHOST-b, queue there in vhost VHOST-b, queue there.dead in vhost VHOST-b, binding orders → there (key #) in vhost VHOST-b, vhost VHOST-b; `--prune` deletes it
    nothing to do: the broker is as the files say
    ");
    let pruned = stack.run(&["apply", "--prune", "--force", "stack.yaml"]);
    assert_eq!(pruned.code, Some(0), "{pruned:?}");
    assert!(!has_vhost(&other));
    let again = stack.run(&["plan", "--prune", "stack.yaml"]);
    assert_eq!(again.out, "nothing to do: the broker is as the files say\n");
}

#[test]
fn a_vhost_in_which_something_would_be_lost_stays() {
    let (mut stack, other) = two_vhosts();
    settles(&stack);
    let publish = format!("exchanges/{other}/amq.default/publish");
    let message = json!({"properties": {"delivery_mode": 2}, "routing_key": "there", "payload": "x", "payload_encoding": "string"});
    assert_eq!(api(Method::POST, &publish, Some(&message))["routed"], true);
    stack.document["vhosts"] = json!({});
    // More than ten objects would be asked about as well.
    let pruned = stack.run(&["apply", "--prune", "stack.yaml"]);
    assert_eq!(pruned.code, Some(0), "{pruned:?}");
    assert_snapshot!(pruned.out, @r"
    - binding orders → there in vhost VHOST-b (key #)
    - queue there.dead in vhost VHOST-b
    - policy ttl in vhost VHOST-b
    - exchange orders in vhost VHOST-b
    kept: queue there in vhost VHOST-b: it holds 1 message
      hint: `--force` deletes it nevertheless
    kept: vhost VHOST-b: the queue there would go with it
      hint: `--force` deletes it with all that is in it
    0 to create, 0 to update, 0 in conflict, 4 to delete
    0 created, 0 updated, 4 deleted
    ");
    assert!(has_vhost(&other));
    assert_eq!(get(&format!("queues/{other}/there"))["name"], "there");

    // And so does one with something that nobody declares.
    api(Method::DELETE, &format!("queues/{other}/there"), None);
    api(Method::PUT, &format!("queues/{other}/stranger"), Some(&json!({})));
    let pruned = stack.run(&["apply", "--prune", "stack.yaml"]);
    assert_snapshot!(pruned.out, @r"
    kept: vhost VHOST-b: the queue stranger would go with it
      hint: `--force` deletes it with all that is in it
    nothing to do: the broker is as the files say
    ");
    assert!(has_vhost(&other));
    let forced = stack.run(&["apply", "--prune", "--force", "stack.yaml"]);
    assert_eq!(forced.code, Some(0), "{forced:?}");
    assert!(!has_vhost(&other));
}

#[test]
fn the_vhost_of_the_address_is_created_but_never_deleted() {
    let mut stack = Stack::new(json!({"queues": {"q": {}}}));
    let home = stack.vhost().to_owned();
    api(Method::DELETE, &format!("vhosts/{home}"), None);
    assert_eq!(stack.plan().code, Some(1));
    stack.document["vhosts"] = json!({home.as_str(): {"description": "home"}});
    settles(&stack);
    assert_eq!(get(&format!("vhosts/{home}"))["description"], "home");
    stack.document["vhosts"] = json!({});
    stack.document["queues"] = json!({});
    let pruned = stack.run(&["apply", "--prune", "--force", "stack.yaml"]);
    assert_snapshot!(pruned.out, @r"
    - queue q
    kept: vhost VHOST: it is the vhost of the broker's address
    0 to create, 0 to update, 0 in conflict, 1 to delete
    0 created, 0 updated, 1 deleted
    ");
    assert!(has_vhost(&home));
}

#[test]
fn a_vhost_of_others_must_exist_and_is_left_alone() {
    let (mut stack, other) = two_vhosts();
    let vhost = &mut stack.document["vhosts"][other.as_str()];
    *vhost = json!({"manage": false, "queues": {"there": {}}});
    assert_snapshot!(stack.plan().out, @r"
    ! vhost VHOST-b: it is `manage: false` and not on the broker (stack.yaml:11:5)
      hint: whoever owns this vhost must create it first
    + queue here (classic)
    + queue there in vhost VHOST-b (classic)
    2 to create, 0 to update, 1 in conflict
    ");
    api(Method::PUT, &format!("vhosts/{other}"), Some(&json!({"description": "theirs"})));
    settles(&stack);
    assert_eq!(get(&format!("vhosts/{other}"))["description"], "theirs");

    // Without the management API as well.
    stack.document["broker"]["management"] = json!("none");
    let vhost = &mut stack.document["vhosts"][other.as_str()];
    vhost["queues"]["later"] = json!({"type": "quorum"});
    let applied = stack.apply();
    assert_eq!(applied.code, Some(0), "{applied:?}");
    assert_eq!(get(&format!("queues/{other}/later"))["type"], "quorum");
    stack.document["vhosts"][other.as_str()]["manage"] = json!(true);
    let planned = stack.plan();
    assert_eq!(planned.code, Some(1), "{planned:?}");
    assert!(
        planned
            .out
            .contains("vhosts can be neither seen nor set: the management API is switched off"),
        "{planned:?}"
    );
    api(Method::DELETE, &format!("vhosts/{other}"), None);
}

#[test]
fn queues_without_a_type_are_of_the_default_type_of_their_vhost() {
    let mut stack = Stack::new(json!({}));
    let other = format!("{}-b", stack.vhost());
    stack.document["vhosts"] = json!({other.as_str(): {
        "default_queue_type": "quorum",
        "queues": {"a": {}, "b": {"type": "classic"}},
    }});
    // Brokers before 3.12 do not tell the default type of a vhost, so it is no difference for ever.
    if !since(3, 12) {
        let applied = stack.apply();
        assert_eq!(applied.code, Some(0), "{applied:?}");
        let again = stack.plan();
        assert_eq!(again.code, Some(0), "{again:?}");
        let version = shared().version();
        assert_eq!(
            again.out,
            format!(
                "note: whether the default queue type of vhost `VHOST-b` is as declared cannot be seen: RabbitMQ {version} does not tell it, 3.12 and later do\nnothing to do: the broker is as the files say\n"
            )
        );
        assert_eq!(get(&format!("queues/{other}/a"))["type"], "quorum");
        api(Method::DELETE, &format!("vhosts/{other}"), None);
        return;
    }
    settles(&stack);
    for (queue, kind) in [("a", "quorum"), ("b", "classic")] {
        assert_eq!(get(&format!("queues/{other}/{queue}"))["type"], kind);
    }
    stack.document["vhosts"][other.as_str()]["default_queue_type"] = json!("classic");
    stack.document["vhosts"][other.as_str()]["queues"] = json!({"a": {"type": "quorum"}, "b": {}});
    settles(&stack);
    assert_eq!(get(&format!("vhosts/{other}"))["default_queue_type"], "classic");
    // Left out it stays what it is.
    let vhost = stack.document["vhosts"][other.as_str()].as_object_mut().expect("a map");
    vhost.remove("default_queue_type");
    vhost.insert("description".into(), json!("changed"));
    settles(&stack);
    assert_eq!(get(&format!("vhosts/{other}"))["default_queue_type"], "classic");
    api(Method::DELETE, &format!("vhosts/{other}"), None);
}

#[test]
fn a_vhost_whose_creation_was_cut_off_lets_warrener_in_again() {
    let (mut stack, other) = two_vhosts();
    api(Method::PUT, &format!("vhosts/{other}"), Some(&json!({})));
    api(Method::DELETE, &format!("permissions/{other}/guest"), None);
    settles(&stack);
    assert_eq!(get(&format!("queues/{other}/there"))["type"], "quorum");
    stack.document["vhosts"] = json!({});
    assert_eq!(stack.run(&["apply", "--prune", "--force", "stack.yaml"]).code, Some(0));
}

/// Whoever is killed while the broker creates a vhost may leave one that exists and was not started.
#[test]
fn a_vhost_that_is_down_is_started() {
    let (mut stack, other) = two_vhosts();
    api(Method::PUT, &format!("vhosts/{other}"), Some(&json!({})));
    api(Method::DELETE, &format!("permissions/{other}/guest"), None);
    let stop = format!("rabbit_vhost_sup_sup:stop_and_delete_vhost(<<\"{other}\">>).");
    let stopped = rabbitmqctl(shared(), &["eval", &stop]);
    assert!(stopped.status.success(), "{stopped:?}");
    settles(&stack);
    stack.document["vhosts"] = json!({});
    assert_eq!(stack.run(&["apply", "--prune", "--force", "stack.yaml"]).code, Some(0));
}

/// Deletes some of the exchanges that brokers put into a vhost when they create it.
fn cut_off(vhost: &str) {
    let code = format!(
        "[rabbit_exchange:delete(rabbit_misc:r(<<\"{vhost}\">>, exchange, Name), false, \
         <<\"test\">>) || Name <- [<<\"amq.topic\">>, <<\"amq.match\">>]]."
    );
    let said = rabbitmqctl(shared(), &["eval", &code]);
    assert!(said.status.success(), "{said:?}");
}

/// Where the stack owns something of a kind that its files have no more, all is looked at in another
/// way.
#[test]
fn a_vhost_whose_creation_was_cut_off_is_created_again_by_a_stack_that_drops_something() {
    let (mut stack, other) = two_vhosts();
    let vhosts = stack.document["vhosts"].take();
    stack.document["vhosts"] = json!({});
    let global = format!("g {}", stack.vhost());
    stack.document["global_parameters"] = json!({global: 1});
    assert_eq!(stack.apply().code, Some(0));
    stack.document["global_parameters"] = json!({});
    stack.document["vhosts"] = vhosts;
    api(Method::PUT, &format!("vhosts/{other}"), Some(&json!({})));
    cut_off(&other);
    assert!(stack.plan().out.starts_with("+ vhost VHOST-b "), "{:?}", stack.plan());
    assert_eq!(stack.run(&["apply", "--prune", "stack.yaml"]).code, Some(0));
    settles(&stack);
    assert_eq!(get(&format!("exchanges/{other}/amq.match"))["type"], "headers");
    stack.document["vhosts"] = json!({});
    assert_eq!(stack.run(&["apply", "--prune", "--force", "stack.yaml"]).code, Some(0));
}

/// As a broker leaves it that was cut off while creating it. A vhost that holds something is not
/// touched.
#[test]
fn a_vhost_whose_creation_was_cut_off_is_created_again() {
    let (mut stack, other) = two_vhosts();
    stack.document["vhosts"][other.as_str()]["queues"]["there"]["bind"] =
        json!([{"exchange": "amq.topic", "key": "#"}]);
    api(Method::PUT, &format!("vhosts/{other}"), Some(&json!({})));
    cut_off(&other);
    assert!(stack.plan().out.starts_with("+ vhost VHOST-b "), "{:?}", stack.plan());
    settles(&stack);
    assert_eq!(get(&format!("exchanges/{other}/amq.match"))["type"], "headers");
    assert_eq!(limits(&other), json!({"max-connections": 20, "max-queues": 50}));

    cut_off(&other);
    let applied = stack.apply();
    assert_eq!(applied.code, Some(1), "{applied:?}");
    assert!(applied.out.contains("unless its creation was cut off"), "{applied:?}");
    assert!(get(&format!("queues/{other}/there"))["name"] == "there");
}
