//! `plan` and `apply` against a real broker with its management API.

use insta::assert_snapshot;
use serde_json::{Value, json};
use warrener::cli::exit::Exit;
use warrener::model::{ApplyTo, QueueType};

use crate::support::broker::management_url;
use crate::support::stack::{Said, Stack, management, to_exchange, to_queue};

/// Sends a request to the management API as the administrator.
async fn api(method: reqwest::Method, path: &str, body: Option<Value>) -> Value {
    let http = reqwest::Client::builder().no_proxy().build().expect("a client");
    let request = http
        .request(method, format!("{}/api/{path}", management_url()))
        .basic_auth("guest", Some("guest"));
    let request = match body {
        Some(body) => request.json(&body),
        None => request.header("content-type", "application/json"),
    };
    let response = request.send().await.expect("an answer");
    assert!(response.status().is_success(), "{path}: {}", response.status());
    serde_json::from_slice(&response.bytes().await.expect("a body")).unwrap_or_default()
}

async fn queue_names(stack: &Stack) -> Vec<String> {
    let queues =
        api(reqwest::Method::GET, &format!("queues/{}?disable_stats=true", stack.vhost()), None)
            .await;
    let names = queues.as_array().expect("a list").iter();
    names.map(|queue| queue["name"].as_str().expect("a name").to_owned()).collect()
}

fn orders() -> Stack {
    let mut stack = Stack::new();
    stack.exchange("orders", "topic");
    stack.queue("billing", QueueType::Quorum, &json!({"x-delivery-limit": 5}));
    stack.queue("billing.dead", QueueType::Classic, &json!({}));
    stack.bind("orders", to_queue("billing"), "order.created", &json!({}));
    stack.policy("dead-ttl", &json!({"message-ttl": 1000}));
    stack
}

/// Applies, and demands that a second plan is empty.
async fn settles(stack: &Stack) {
    let applied = stack.apply().await;
    assert_eq!(applied.exit, Exit::Done, "{applied:?}");
    let again = stack.plan().await;
    assert_eq!(again.exit, Exit::Done, "{again:?}");
    assert_eq!(again.out, "nothing to do: the broker is as the files say\n");
}

#[tokio::test]
async fn plan_apply_plan() {
    let stack = orders();
    let planned = stack.plan().await;
    assert_eq!(planned.exit, Exit::Changes);
    assert_snapshot!(planned.out, @r"
    + exchange orders (topic)
    + policy dead-ttl (queues matching ^nothing is called so$, message-ttl 1000)
    + queue billing (quorum, x-delivery-limit 5)
    + queue billing.dead (classic)
    + binding orders → billing (key order.created)
    5 to create, 0 to update, 0 in conflict
    ");
    let applied = stack.apply().await;
    assert_eq!(applied.exit, Exit::Done, "{applied:?}");
    assert!(applied.out.ends_with("\n5 created, 0 updated\n"), "{}", applied.out);
    let again = stack.plan().await;
    assert_eq!(again.exit, Exit::Done);
    assert_snapshot!(again.out, @"nothing to do: the broker is as the files say");
    let again = stack.apply().await;
    assert_eq!(again.exit, Exit::Done);
}

#[tokio::test]
async fn json_names_the_broker() {
    let said = orders().plan_as(true).await;
    let plan: Value = serde_json::from_str(&said.out).expect("JSON");
    assert_eq!(plan["stack"], "test");
    assert!(plan["broker"]["cluster"].as_str().is_some_and(|name| !name.is_empty()), "{plan}");
    assert!(plan["broker"]["version"].as_str().is_some_and(|text| text.contains('.')), "{plan}");
    let summary = json!({"create": 5, "update": 0, "verify": 0, "conflict": 0});
    assert_eq!(plan["summary"], summary);
}

#[tokio::test]
async fn every_queue_type_and_key_settles() {
    let mut stack = Stack::new();
    stack.exchange("dead", "fanout");
    let classic = json!({
        "x-message-ttl": 60_000, "x-expires": 3_600_000, "x-max-length": 5_000_000_000_i64,
        "x-max-length-bytes": 1_048_576, "x-overflow": "reject-publish-dlx", "x-max-priority": 10,
        "x-single-active-consumer": true, "x-dead-letter-exchange": "dead",
        "x-dead-letter-routing-key": "gone",
    });
    stack.queue("classic", QueueType::Classic, &classic);
    // What the broker stores without knowing what it is.
    let foreign = json!({
        "x-note": "ü \" \\ \u{1f407}", "x-ratio": 2.0, "x-yes": false, "x-less": -7,
        "x-list": [1, "two", [3.5], {}], "x-table": {"a": {"b": []}, "c": true},
        "x-empty-list": [], "x-empty-table": {},
    });
    stack.queue("foreign", QueueType::Classic, &foreign);
    let transient = stack.queue("transient", QueueType::Classic, &json!({}));
    (transient.durable, transient.auto_delete) = (false, true);
    let quorum = json!({
        "x-message-ttl": 60_000, "x-expires": 3_600_000, "x-max-length": 10,
        "x-max-length-bytes": 1_048_576, "x-overflow": "reject-publish",
        "x-single-active-consumer": true, "x-delivery-limit": 3,
        "x-dead-letter-exchange": "dead", "x-dead-letter-routing-key": "gone",
        "x-dead-letter-strategy": "at-least-once", "x-queue-leader-locator": "client-local",
        "x-quorum-initial-group-size": 1,
    });
    stack.queue("quorum", QueueType::Quorum, &quorum);
    let stream = json!({
        "x-max-length-bytes": 1_000_000_000, "x-max-age": "7D", "x-initial-cluster-size": 1,
        "x-stream-max-segment-size-bytes": 100_000_000, "x-queue-leader-locator": "client-local",
    });
    stack.queue("stream", QueueType::Stream, &stream);
    settles(&stack).await;
    assert_eq!(queue_names(&stack).await.len(), 5);
}

#[tokio::test]
async fn every_exchange_type_odd_names_and_all_bindings_settle() {
    let mut stack = Stack::new();
    for kind in ["direct", "fanout", "headers", "topic"] {
        stack.exchange(kind, kind);
    }
    let odd = ["a b", "ü/ß", "%", "%2F", "#", "q?x=1&y", "..", "日本", "a+b", "\"'`", "[]{}"];
    for name in odd {
        let exchange = stack.exchange(name, "topic");
        exchange.arguments = crate::support::stack::table(&json!({"alternate-exchange": "fanout"}));
        exchange.internal = name == "%";
        exchange.durable = name != "#";
        exchange.auto_delete = name == "a b";
        stack.queue(name, QueueType::Classic, &json!({}));
        // No HTTP client can address a policy called `..`; it is refused by name.
        if name != ".." {
            stack.policy(name, &json!({"max-length": 1}));
        }
        stack.bind(name, to_queue(name), name, &json!({}));
        stack.bind("direct", to_exchange(name), name, &json!({}));
        stack.bind("amq.topic", to_queue(name), "#", &json!({}));
    }
    for (to, arguments) in [
        ("a b", json!({"x-match": "all", "n": 1})),
        ("a b", json!({"x-match": "all", "n": 1.0})),
        ("a b", json!({"x-match": "any", "n": "1"})),
        ("%", json!({"x-match": "any", "list": [1, {"deep": true}], "none": {}})),
    ] {
        stack.bind("headers", to_queue(to), "", &arguments);
        stack.bind("headers", to_exchange(to), "k", &arguments);
    }
    settles(&stack).await;
    // Each one is its own binding, and none was taken for another.
    let path = format!("bindings/{}", stack.vhost());
    let bindings = api(reqwest::Method::GET, &path, None).await;
    let explicit = bindings.as_array().expect("a list").iter().filter(|b| b["source"] != "");
    assert_eq!(explicit.count(), stack.parts.bindings.len());
}

#[tokio::test]
async fn a_conflict_shows_both_values_and_nothing_changes() {
    let mut stack = orders();
    settles(&stack).await;
    stack.parts.exchanges[0].kind.0 = "fanout".into();
    stack.parts.queues[0].kind = QueueType::Classic;
    stack.parts.queues[0].arguments.clear();
    stack.queue("new", QueueType::Classic, &json!({}));
    stack.parts.policies[0].priority = 9;

    let planned = stack.plan().await;
    assert_eq!(planned.exit, Exit::Error);
    assert_snapshot!(planned.out, @r"
    ! exchange orders: type is topic on the broker, fanout in orders.yaml:12:3
      hint: let the file say what the broker has, or delete the exchange on the broker first (its bindings go with it)
    ~ policy dead-ttl: priority 0 → 9
    ! queue billing: type is quorum on the broker, classic in orders.yaml:12:3
      x-delivery-limit is 5 on the broker, absent in orders.yaml:12:3
      hint: let the file say what the broker has, or delete the queue on the broker first (its messages and bindings go with it)
    + queue new (classic)
    1 to create, 1 to update, 2 in conflict
    ");
    let before = api(reqwest::Method::GET, &format!("definitions/{}", stack.vhost()), None).await;
    let applied = stack.apply().await;
    assert_eq!(applied.exit, Exit::Error);
    assert_snapshot!(applied.err, @"error: 2 resources are in conflict with the files; nothing was changed");
    let after = api(reqwest::Method::GET, &format!("definitions/{}", stack.vhost()), None).await;
    assert_eq!(before, after);
}

#[tokio::test]
async fn policies_are_updated_in_place() {
    let mut stack = orders();
    settles(&stack).await;
    let policy = &mut stack.parts.policies[0];
    policy.apply_to = ApplyTo::All;
    policy.priority = 3;
    policy.pattern = "\\.dead$".into();
    policy.definition = crate::support::stack::table(&json!({"message-ttl": 2000}));
    let planned = stack.plan().await;
    assert_eq!(planned.exit, Exit::Changes);
    assert_snapshot!(planned.out, @r#"
    ~ policy dead-ttl: pattern "^nothing is called so$" → "\\.dead$", apply_to queues → all, priority 0 → 3, message-ttl 1000 → 2000
    0 to create, 1 to update, 0 in conflict
    "#);
    settles(&stack).await;
    let path = format!("policies/{}/dead-ttl", stack.vhost());
    let policy = api(reqwest::Method::GET, &path, None).await;
    assert_eq!(policy["definition"], json!({"message-ttl": 2000}));
}

#[tokio::test]
async fn an_argument_that_the_broker_never_compares_is_still_a_difference() {
    let mut stack = Stack::new();
    stack.queue("q", QueueType::Classic, &json!({"x-note": "one"}));
    settles(&stack).await;
    stack.parts.queues[0].arguments = crate::support::stack::table(&json!({"x-note": "two"}));
    let planned = stack.plan().await;
    assert_eq!(planned.exit, Exit::Error);
    assert!(planned.out.contains("x-note is one on the broker, two in orders.yaml"), "{planned:?}");
}

#[tokio::test]
async fn the_default_type_of_the_vhost_does_not_decide() {
    let mut stack = Stack::new();
    // The key was renamed in RabbitMQ 3.12.
    let body = json!({"defaultqueuetype": "quorum", "default_queue_type": "quorum"});
    api(reqwest::Method::PUT, &format!("vhosts/{}", stack.vhost()), Some(body)).await;
    stack.queue("classic", QueueType::Classic, &json!({}));
    settles(&stack).await;
    let path = format!("queues/{}/classic", stack.vhost());
    let queue = api(reqwest::Method::GET, &path, None).await;
    assert_eq!(queue["type"], "classic");
}

#[tokio::test]
async fn one_failure_does_not_stop_what_does_not_need_it() {
    let mut stack = orders();
    stack.policy("wrong", &json!({"no-such-key": 1}));
    stack.exchange("sink", "fanout");
    stack.queue("refused", QueueType::Classic, &json!({"x-max-priority": -1}));
    stack.bind("orders", to_queue("refused"), "#", &json!({}));
    let Said { exit, out, .. } = stack.apply().await;
    assert_eq!(exit, Exit::Partly);
    let report = &out[out.find("in conflict\n").expect("the plan's sum") + 12..];
    assert_snapshot!(report.replace(stack.vhost().as_str(), "VHOST"), @r#"
    + policy wrong (queues matching ^nothing is called so$, no-such-key 1)
      not done: the broker refuses policy `wrong`: Validation failed [{<<"no-such-key">>,1}] are not recognised policy settings
    + queue refused (classic, x-max-priority -1)
      not done: PRECONDITION_FAILED - invalid arg 'x-max-priority' for queue 'refused' in vhost 'VHOST': {value_negative,-1}
    + binding orders → refused (key #)
      not done: not tried without queue `refused`
    6 created, 0 updated, 3 not done
    "#);
    assert_eq!(stack.plan().await.exit, Exit::Changes);
}

#[tokio::test]
async fn what_is_not_managed_is_left_alone() {
    let mut stack = Stack::new();
    stack.queue("theirs", QueueType::Quorum, &json!({})).managed = false;
    let missing = stack.apply().await;
    assert_eq!(missing.exit, Exit::Error);
    assert_snapshot!(missing.out, @r"
    ! queue theirs: it is `manage: false` and not on the broker (orders.yaml:12:3)
      hint: whoever owns this queue must create it first
    0 to create, 0 to update, 1 in conflict
    ");
    assert!(queue_names(&stack).await.is_empty());

    let path = format!("queues/{}/theirs", stack.vhost());
    api(reqwest::Method::PUT, &path, Some(json!({"durable": false}))).await;
    assert_eq!(stack.plan().await.exit, Exit::Done);
}

#[tokio::test]
async fn a_user_who_is_no_administrator_sees_the_same() {
    let mut stack = orders();
    let user = format!("user-of-{}", stack.vhost());
    let body = json!({"password": "secret", "tags": "policymaker"});
    api(reqwest::Method::PUT, &format!("users/{user}"), Some(body)).await;
    let all = json!({"configure": ".*", "write": ".*", "read": ".*"});
    let path = format!("permissions/{}/{user}", stack.vhost());
    api(reqwest::Method::PUT, &path, Some(all)).await;

    let of_administrator = stack.plan().await;
    stack.management = management(&user, "secret");
    let of_user = stack.plan().await;
    assert_eq!(of_administrator.out, of_user.out);
    settles(&stack).await;
    stack.parts.queues[0].arguments.clear();
    stack.parts.policies[0].priority = 2;
    let of_user = stack.plan().await;
    stack.management = management("guest", "guest");
    assert_eq!(stack.plan().await.out, of_user.out);

    // Without that tag, policies can be seen and not set.
    let body = json!({"password": "secret", "tags": "management"});
    api(reqwest::Method::PUT, &format!("users/{user}"), Some(body)).await;
    stack = orders();
    let path = format!("permissions/{}/{user}", stack.vhost());
    let all = json!({"configure": ".*", "write": ".*", "read": ".*"});
    api(reqwest::Method::PUT, &path, Some(all)).await;
    stack.management = management(&user, "secret");
    let applied = stack.apply().await;
    assert_eq!(applied.exit, Exit::Partly);
    assert!(
        applied.out.contains(&format!("rabbitmqctl set_user_tags {user} policymaker")),
        "{applied:?}"
    );
    api(reqwest::Method::DELETE, &format!("users/{user}"), None).await;
}

#[tokio::test]
async fn a_missing_vhost_is_an_error_with_its_mend() {
    let mut stack = orders();
    let gone = warrener::model::VhostName::new("there is no such vhost").expect("a name");
    for queue in &mut stack.parts.queues {
        queue.vhost = gone.clone();
    }
    stack.parts.bindings.clear();
    let planned = stack.plan().await;
    assert_eq!(planned.exit, Exit::Error);
    assert_snapshot!(planned.err, @r"
    error: cannot observe the broker: vhost `there is no such vhost` does not exist
      hint: create it first: `rabbitmqctl add_vhost NAME`, then `rabbitmqctl set_permissions`
    ");
}

#[tokio::test]
async fn a_dry_run_and_a_no_change_nothing() {
    let stack = orders();
    let dry = stack.apply_as(true, None).await;
    assert_eq!((dry.exit, dry.out), (Exit::Changes, stack.plan().await.out));
    let no = stack.apply_as(false, Some("\n")).await;
    assert_eq!(no.exit, Exit::Error);
    assert_eq!(no.err, "apply this? [y/N] nothing was changed\n");
    assert!(queue_names(&stack).await.is_empty());
    let yes = stack.apply_as(false, Some("y\n")).await;
    assert_eq!(yes.exit, Exit::Done);
}
