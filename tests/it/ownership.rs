//! Ledgers and pruning against a real broker.

use std::time::Duration;

use insta::assert_snapshot;
use lapin::options::{BasicCancelOptions, BasicConsumeOptions};
use lapin::types::FieldTable;
use reqwest::Method;
use serde_json::{Value, json};
use warrener::plan::{Approved, Consent};

use crate::reconcile::{api, get, queue_names};
use crate::support::queue::Outside;
use crate::support::stack::{Said, Stack};
use crate::support::supervisor::{PATIENCE, Supervisor, wait_until};

fn shop() -> Stack {
    Stack::new(json!({
        "exchanges": {"orders": {"type": "topic"}, "old": {"type": "fanout", "bind": [{"exchange": "orders", "key": "#"}]}},
        "queues": {
            "billing": {"type": "quorum", "bind": [{"exchange": "orders", "key": "order.created"}]},
            "legacy": {"bind": [
                {"exchange": "old"},
                {"exchange": "amq.headers", "key": "ü %/", "arguments": {"x-match": "all", "n": 1, "t": {}}},
            ]},
        },
        "policies": {"ttl": {"pattern": "^none$", "definition": {"message-ttl": 1000}}},
    }))
}

/// Takes everything out of the file but `orders`, `billing` and what joins them.
fn shrink(stack: &mut Stack) {
    let document = &mut stack.document;
    for (section, name) in [("exchanges", "old"), ("queues", "legacy"), ("policies", "ttl")] {
        document[section].as_object_mut().expect("a section").remove(name);
    }
}

fn prune(stack: &Stack) -> Said {
    stack.run(&["apply", "--prune", "stack.yaml"])
}

/// The stack's ledger as the broker has it.
fn ledger(stack: &Stack, name: &str) -> Value {
    let parameters = get("global-parameters");
    let name = format!("warrener.{name}@{}", stack.vhost());
    let of = parameters.as_array().expect("a list").iter().find(|p| p["name"] == name.as_str());
    of.map_or(Value::Null, |parameter| parameter["value"].clone())
}

fn names(stack: &Stack, kind: &str) -> Vec<String> {
    let found = get(&format!("{kind}/{}", stack.vhost()));
    let names = found.as_array().expect("a list").iter();
    let name = |object: &Value| object["name"].as_str().expect("a name").to_owned();
    names.map(name).filter(|name| !name.is_empty() && !name.starts_with("amq.")).collect()
}

fn publish(stack: &Stack, queue: &str) {
    let path = format!("exchanges/{}/amq.default/publish", stack.vhost());
    let message = json!({"properties": {"delivery_mode": 2}, "routing_key": queue, "payload": "x", "payload_encoding": "string"});
    assert_eq!(api(Method::POST, &path, Some(&message))["routed"], true);
}

#[test]
fn what_is_removed_from_the_file_is_shown_and_pruned_on_request() {
    let mut stack = shop();
    assert_eq!(stack.apply().code, Some(0));
    let owned = ledger(&stack, "test");
    assert_eq!((&owned["stack"], &owned["version"]), (&json!("test"), &json!(1)));
    assert_eq!(owned["owned"][stack.vhost()]["queues"], json!(["billing", "legacy"]));
    // Somebody else's.
    api(Method::PUT, &format!("queues/{}/stranger", stack.vhost()), Some(&json!({})));
    let bind = format!("bindings/{}/e/orders/q/stranger", stack.vhost());
    api(Method::POST, &bind, Some(&json!({"routing_key": "s"})));

    shrink(&mut stack);
    let planned = stack.plan();
    assert_eq!(planned.code, Some(0));
    assert_snapshot!(planned.out, @r#"
    owned and no longer declared: exchange old, policy ttl, queue legacy, binding amq.headers → legacy (key ü %/, {"n":1,"t":{},"x-match":"all"}), binding old → legacy, binding orders → old (key #); `--prune` deletes it
    nothing to do: the broker is as the files say
    "#);
    assert_eq!(stack.apply().code, Some(0));
    assert_eq!(queue_names(&stack).len(), 3);
    let planned = stack.run(&["plan", "--prune", "stack.yaml"]);
    assert_eq!(planned.code, Some(2), "{planned:?}");
    assert_snapshot!(planned.out, @r#"
    - binding amq.headers → legacy (key ü %/, {"n":1,"t":{},"x-match":"all"})
    - binding old → legacy
    - binding orders → old (key #)
    - queue legacy
    - policy ttl
    - exchange old
    0 to create, 0 to update, 0 in conflict, 6 to delete
    "#);
    let dry = stack.run(&["apply", "--prune", "--dry-run", "stack.yaml"]);
    assert_eq!((dry.code, dry.out), (Some(2), planned.out));

    let applied = prune(&stack);
    assert_eq!(applied.code, Some(0), "{applied:?}");
    assert!(applied.out.ends_with("\n0 created, 0 updated, 6 deleted\n"), "{}", applied.out);
    assert_eq!(names(&stack, "exchanges"), ["orders"]);
    assert_eq!(queue_names(&stack), ["billing", "stranger"]);
    assert!(names(&stack, "policies").is_empty());
    let bindings = get(&format!("bindings/{}/e/orders/q/stranger", stack.vhost()));
    assert_eq!(bindings.as_array().map(Vec::len), Some(1));
    for arguments in [&["plan", "stack.yaml"][..], &["plan", "--prune", "stack.yaml"]] {
        let again = stack.run(arguments);
        assert_eq!(again.out, "nothing to do: the broker is as the files say\n");
    }
    assert_eq!(ledger(&stack, "test")["owned"][stack.vhost()]["queues"], json!(["billing"]));
}

#[test]
fn the_file_can_ask_for_pruning_and_retain() {
    let mut stack = shop();
    stack.document["reconcile"] = json!({"prune": true});
    stack.document["queues"]["legacy"]["on_remove"] = json!("retain");
    assert_eq!(stack.apply().code, Some(0));
    shrink(&mut stack);
    let applied = stack.apply();
    assert_eq!(applied.code, Some(0), "{applied:?}");
    assert_eq!(queue_names(&stack), ["billing", "legacy"]);
    // Its binding stays with it, and so the exchange that this comes from.
    assert!(applied.out.contains("kept: exchange old: the binding old → legacy, which nobody"));
    assert_eq!(names(&stack, "exchanges"), ["old", "orders"]);
    assert!(names(&stack, "policies").is_empty());
    assert_eq!(ledger(&stack, "test")["owned"][stack.vhost()]["queues"], json!(["billing"]));
}

#[test]
fn adoption_is_silent_and_an_empty_ledger_is_no_trouble() {
    let mut stack = shop();
    assert_eq!(stack.apply().code, Some(0));
    let name = format!("global-parameters/warrener.test@{}", stack.vhost());
    api(Method::DELETE, &name, None);
    let planned = stack.plan();
    assert_eq!(
        (planned.code, planned.out.as_str()),
        (Some(0), "nothing to do: the broker is as the files say\n")
    );
    assert_eq!(ledger(&stack, "test"), Value::Null);
    assert_eq!(stack.apply().code, Some(0));
    assert_eq!(
        ledger(&stack, "test")["owned"][stack.vhost()]["queues"],
        json!(["billing", "legacy"])
    );
    for section in ["exchanges", "queues", "policies"] {
        stack.document[section] = json!({});
    }
    let applied = prune(&stack);
    assert_eq!(applied.code, Some(0), "{applied:?}");
    assert!(queue_names(&stack).is_empty());
    assert_eq!(ledger(&stack, "test")["owned"], json!({}));
    assert_eq!(prune(&stack).code, Some(0));
}

#[test]
fn queues_of_every_type_with_messages_stay_unless_forced() {
    let mut stack = Stack::new(json!({"queues": {
        "classic": {}, "quorum": {"type": "quorum"}, "stream": {"type": "stream"}, "empty": {"type": "stream"},
    }}));
    assert_eq!(stack.apply().code, Some(0));
    for queue in ["classic", "quorum", "stream"] {
        publish(&stack, queue);
    }
    stack.document["queues"] = json!({});
    // The message is there when the broker says that it was routed, but not at once counted.
    wait_until("the messages are counted", PATIENCE, || {
        let planned = stack.run(&["plan", "--prune", "stack.yaml"]);
        planned.out.matches("it holds 1 message").count() == 3
    });
    let applied = prune(&stack);
    assert_eq!(applied.code, Some(0), "{applied:?}");
    assert!(
        applied.out.contains("kept: queue stream: it holds 1 message\n  hint: `--force`"),
        "{applied:?}"
    );
    assert_eq!(queue_names(&stack), ["classic", "quorum", "stream"]);
    let forced = stack.run(&["apply", "--prune", "--force", "stack.yaml"]);
    assert_eq!(forced.code, Some(0), "{forced:?}");
    assert!(queue_names(&stack).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumed_queue_stays_until_its_consumer_goes() {
    let mut stack = Stack::new(json!({"queues": {"a": {"type": "quorum"}, "b": {}}}));
    let apply = |stack: &Stack| tokio::task::block_in_place(|| prune(stack));
    assert_eq!(apply(&stack).code, Some(0));
    let outside = Outside::connect(stack.document["broker"]["url"].as_str().expect("text")).await;
    let mut consumers = Vec::new();
    for queue in ["a", "b"] {
        let (options, none) = (BasicConsumeOptions::default(), FieldTable::default());
        let consume = outside.channel.basic_consume(queue.into(), queue.into(), options, none);
        consumers.push(consume.await.expect("consumes"));
    }
    stack.document["queues"] = json!({});
    let applied = apply(&stack);
    assert_eq!(applied.code, Some(0), "{applied:?}");
    assert_eq!(applied.out.matches("it has 1 consumer\n").count(), 2, "{applied:?}");
    for queue in ["a", "b"] {
        outside
            .channel
            .basic_cancel(queue.into(), BasicCancelOptions::default())
            .await
            .expect("cancels");
    }
    let applied = apply(&stack);
    assert!(applied.out.contains("2 deleted"), "{applied:?}");
}

/// What comes between the plan and its execution is seen as well, also by queue types that cannot be
/// deleted on a condition.
#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_comes_after_the_plan_is_not_lost() {
    let mut stack = Stack::new(json!({"queues": {
        "classic": {}, "quorum": {"type": "quorum"}, "stream": {"type": "stream"},
    }}));
    assert_eq!(tokio::task::block_in_place(|| prune(&stack)).code, Some(0));
    stack.document["queues"] = json!({});
    let planned = tokio::task::block_in_place(|| stack.run(&["plan", "--prune", "stack.yaml"]));
    assert_eq!(planned.code, Some(2), "{planned:?}");
    let loaded = warrener::files::load(&[stack.path("stack.yaml")]).expect("a stack");
    let desired = &loaded.desired;
    let consent = Consent { prune: true, ..Consent::default() };
    let survey = warrener::broker::survey(desired, consent).await.expect("a plan");
    let outside = Outside::connect(stack.document["broker"]["url"].as_str().expect("text")).await;
    for queue in ["classic", "quorum", "stream"] {
        outside.publish(queue, ["x".to_owned()]).await;
        outside.wait_for_depth(queue, 1, PATIENCE).await;
    }
    let approved = Approved::new(survey.plan).expect("no conflict");
    let report = warrener::broker::apply(
        &approved,
        &desired.topology,
        survey.sighted,
        &survey.wires,
        survey.management.as_ref(),
        &survey.store,
        &|_| {},
    )
    .await;
    survey.wires.close().await;
    let reasons: Vec<_> = report.failed.iter().map(|failure| failure.reason.as_str()).collect();
    assert_eq!(reasons, ["it holds 1 message"; 3]);
    tokio::task::block_in_place(|| {
        assert_eq!(queue_names(&stack), ["classic", "quorum", "stream"]);
        let owned = &ledger(&stack, "test")["owned"];
        assert_eq!(owned[stack.vhost()]["queues"], json!(["classic", "quorum", "stream"]));
    });
}

#[test]
fn two_stacks_leave_each_other_alone() {
    let mut stack = shop();
    assert_eq!(stack.apply().code, Some(0));
    let shops = stack.document.clone();
    stack.document["stack"] = json!("blog");
    let refused = stack.apply();
    assert_eq!(refused.code, Some(1));
    assert!(
        refused
            .out
            .contains("! queue billing: stack `test` owns it, so stack `blog` cannot (stack.yaml:"),
        "{refused:?}"
    );
    assert!(
        refused.err.ends_with("in conflict with the files; nothing was changed\n"),
        "{refused:?}"
    );
    assert_eq!(ledger(&stack, "blog"), Value::Null);

    // One queue of its own, bound to the other's exchange.
    stack.document["exchanges"] = json!({"old": {"manage": false}});
    stack.document["queues"] = json!({"posts": {"bind": [{"exchange": "old", "key": "p"}]}});
    stack.document["policies"] = json!({});
    let applied = prune(&stack);
    assert_eq!(applied.code, Some(0), "{applied:?}");
    assert_eq!(queue_names(&stack), ["billing", "legacy", "posts"]);
    let blogs = std::mem::replace(&mut stack.document, shops);

    // The shop may remove its exchange, but not from under the blog.
    shrink(&mut stack);
    let forced = stack.run(&["apply", "--prune", "--force", "stack.yaml"]);
    assert_eq!(forced.code, Some(0), "{forced:?}");
    assert!(forced.out.contains("kept: exchange old: stack `blog` owns the binding old → posts (key p), which would go\n"), "{forced:?}");
    assert_eq!(queue_names(&stack), ["billing", "posts"]);
    let planned = stack.plan();
    assert_eq!(planned.code, Some(0), "{planned:?}");
    stack.document = blogs;
    assert_eq!(stack.plan().code, Some(0));
}

#[test]
fn drift_lists_what_differs_and_what_nobody_declares() {
    let mut stack = shop();
    let drift = |stack: &Stack| stack.run(&["drift", "stack.yaml"]);
    assert_eq!(stack.apply().code, Some(0));
    let none = drift(&stack);
    assert_eq!((none.code, none.err.as_str()), (Some(0), ""));
    assert_snapshot!(none.out, @"no drift: the broker is as the files say, and has nothing else");

    let vhost = stack.vhost().to_owned();
    api(Method::PUT, &format!("queues/{vhost}/stranger"), Some(&json!({"durable": true})));
    let bind = format!("bindings/{vhost}/e/orders/q/stranger");
    api(Method::POST, &bind, Some(&json!({"routing_key": "s"})));
    api(
        Method::PUT,
        &format!("exchanges/{vhost}/strange"),
        Some(&json!({"type": "fanout", "durable": true})),
    );
    let policy = json!({"pattern": "^none$", "definition": {"max-length": 1}});
    api(Method::PUT, &format!("policies/{vhost}/theirs"), Some(&policy));
    api(Method::DELETE, &format!("queues/{vhost}/billing"), None);
    stack.document["policies"] = json!({});
    let found = drift(&stack);
    assert_eq!(found.code, Some(2));
    assert_snapshot!(found.out, @r"
    + queue billing (quorum)
    + binding orders → billing (key order.created)
    owned and no longer declared: policy ttl; `--prune` deletes it
    undeclared: exchange strange
    undeclared: policy theirs
    undeclared: queue stranger
    undeclared: binding orders → stranger (key s)
    2 not as declared, 1 no longer declared, 4 that nobody declares
    ");
    let json = stack.run(&["drift", "--json", "stack.yaml"]);
    assert_eq!(json.code, Some(2));
    let json: Value = serde_json::from_str(&json.out).expect("JSON");
    let all = |list: &str| {
        let list = json[list].as_array().expect("a list").iter();
        list.map(|of| of["name"].as_str().expect("a name").to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(all("changes"), ["billing", "orders → billing"]);
    assert_eq!(all("kept"), ["ttl"]);
    assert_eq!(all("undeclared"), ["strange", "theirs", "stranger", "orders → stranger"]);

    // Another stack answers for what it owns; what one connection has for itself is no drift.
    stack.document = json!({
        "stack": "blog", "broker": stack.document["broker"],
        "queues": {"stranger": {}}, "exchanges": {"strange": {"type": "fanout"}, "orders": {"manage": false}},
        "bindings": [{"source": "orders", "queue": "stranger", "key": "s"}],
        "policies": {"theirs": {"pattern": "^none$", "definition": {"max-length": 1}}},
    });
    let applied = stack.apply();
    assert_eq!(applied.code, Some(0), "{applied:?}");
    let none = drift(&stack);
    assert_eq!(none.code, Some(0), "{none:?}");
    stack.document["broker"]["url"] = json!("amqp://127.0.0.1:1");
    stack.document["broker"]["management"] = json!("none");
    assert_eq!(drift(&stack).code, Some(1));
}

#[test]
fn losing_much_at_once_needs_force() {
    let queues: serde_json::Map<_, _> = (0..12).map(|n| (format!("q{n}"), json!({}))).collect();
    let mut stack = Stack::new(json!({"queues": queues}));
    assert_eq!(stack.apply().code, Some(0));
    stack.document["queues"] = json!({"q1": {}, "new": {}});
    let refused = prune(&stack);
    assert_eq!(refused.code, Some(1));
    assert!(refused.err.contains("error: 11 of 12 owned objects would be deleted, more than 30 %; nothing was changed\n  hint: "), "{refused:?}");
    assert_eq!(stack.run(&["plan", "--prune", "stack.yaml"]).code, Some(1));
    assert_eq!(queue_names(&stack).len(), 12);
    assert_eq!(stack.run(&["apply", "--prune", "--force", "stack.yaml"]).code, Some(0));
    assert_eq!(queue_names(&stack), ["new", "q1"]);
}

#[test]
fn a_user_without_the_tag_keeps_the_ledger_at_home() {
    let mut stack = shop();
    stack.document["policies"] = json!({});
    let user = format!("user-{}", stack.vhost());
    api(
        Method::PUT,
        &format!("users/{user}"),
        Some(&json!({"password": "p", "tags": "management"})),
    );
    let all = json!({"configure": ".*", "write": ".*", "read": ".*"});
    api(Method::PUT, &format!("permissions/{}/{user}", stack.vhost()), Some(&all));
    let url = stack.document["broker"]["url"]
        .as_str()
        .expect("text")
        .replace("guest:guest", &format!("{user}:p"));
    stack.document["broker"]["url"] = json!(url);
    let applied = stack.apply();
    assert_eq!(applied.code, Some(0), "{applied:?}");
    let file = std::fs::read_dir(stack.path("state/ledgers"))
        .expect("a folder")
        .next()
        .expect("a file")
        .expect("a file");
    let place = format!(
        "what the stack owns is noted on this machine alone, in `{}`",
        file.path().display()
    );
    assert!(applied.out.contains(&place), "{applied:?}");
    assert_eq!(ledger(&stack, "test"), Value::Null);
    let text = std::fs::read_to_string(file.path()).expect("text");
    assert!(text.contains("legacy") && !text.contains(":p@"), "{text}");
    stack.document["exchanges"].as_object_mut().expect("a section").remove("old");
    stack.document["queues"].as_object_mut().expect("a section").remove("legacy");
    let pruned = prune(&stack);
    assert_eq!(pruned.code, Some(0), "{pruned:?}");
    assert_eq!(queue_names(&stack), ["billing"]);
    // A ledger that cannot be read is no empty one.
    std::fs::write(file.path(), "{}").expect("writable");
    let refused = prune(&stack);
    assert_eq!(refused.code, Some(1));
    assert!(refused.err.contains("cannot be used: it is no ledger"), "{refused:?}");
    api(Method::DELETE, &format!("users/{user}"), None);
}

#[test]
fn a_supervisor_prunes_what_the_file_drops() {
    let mut stack = shop();
    stack.document["reconcile"] = json!({"prune": true, "interval": "1s"});
    let mut supervisor = Supervisor::prepare();
    supervisor.write("stack.yaml", &stack.document.to_string());
    supervisor.start();
    wait_until("the queues", PATIENCE, || queue_names(&stack).len() == 2);
    supervisor.wait_for("started: topology: ");
    shrink(&mut stack);
    supervisor.write("stack.yaml", &stack.document.to_string());
    wait_until("the queue to go", PATIENCE, || queue_names(&stack) == ["billing"]);
    wait_until("the exchange to go", PATIENCE, || names(&stack, "exchanges") == ["orders"]);
    supervisor.wait_for("6 deleted");
    supervisor.signal(nix::sys::signal::Signal::SIGTERM);
    assert!(supervisor.exited(Duration::from_secs(20)).success());
}
