//! `plan` and `apply` against a real broker with its management API.

use insta::assert_snapshot;
use reqwest::{Method, StatusCode};
use serde_json::{Map, Value, json};

use crate::support::broker::{management_url, since};
use crate::support::stack::Stack;

/// How often the management API is asked again that has stumbled over what was deleted meanwhile.
const AGAIN: usize = 5;

/// Sends a request to the management API as the administrator.
pub(crate) fn api(method: Method, path: &str, body: Option<&Value>) -> Value {
    let request = async {
        let http = reqwest::Client::builder().no_proxy().build().expect("a client");
        let may_stumble = method == Method::GET;
        let request = http
            .request(method, format!("{}/api/{path}", management_url()))
            .basic_auth("guest", Some("guest"));
        let request = match body {
            Some(body) => request.json(body),
            None => request.header("content-type", "application/json"),
        };
        let send = async || {
            let request = request.try_clone().expect("a body that is no stream");
            request.send().await.expect("an answer")
        };
        let mut response = send().await;
        for _ in 0..AGAIN {
            if may_stumble && response.status() == StatusCode::INTERNAL_SERVER_ERROR {
                response = send().await;
            }
        }
        assert!(response.status().is_success(), "{path}: {}", response.status());
        serde_json::from_slice(&response.bytes().await.expect("a body")).unwrap_or_default()
    };
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
        .block_on(request)
}

pub(crate) fn get(path: &str) -> Value {
    api(Method::GET, path, None)
}

pub(crate) fn queue_names(stack: &Stack) -> Vec<String> {
    let queues = get(&format!("queues/{}?disable_stats=true", stack.vhost()));
    // A lock is the connection's own.
    let names = queues.as_array().expect("a list").iter().filter(|q| q["exclusive"] != true);
    names.map(|queue| queue["name"].as_str().expect("a name").to_owned()).collect()
}

pub(crate) fn orders() -> Stack {
    Stack::new(json!({
        "exchanges": {"orders": {"type": "topic"}},
        "queues": {
            "billing": {
                "type": "quorum",
                "delivery_limit": 5,
                "bind": [{"exchange": "orders", "key": "order.created"}],
                "dead_letter": {"queue": "billing.dead"},
            },
            "billing.dead": {},
        },
        "policies": {
            "dead-ttl": {
                "pattern": "\\.dead$",
                "apply_to": "queues",
                "definition": {"message-ttl": 1000},
            },
        },
    }))
}

/// Applies, and demands that a second plan is empty.
fn settles(stack: &Stack) {
    let applied = stack.apply();
    assert_eq!(applied.code, Some(0), "{applied:?}");
    let again = stack.plan();
    assert_eq!(again.code, Some(0), "{again:?}");
    assert_eq!(again.out, "nothing to do: the broker is as the files say\n");
}

#[test]
fn plan_apply_plan() {
    let stack = orders();
    let planned = stack.plan();
    assert_eq!(planned.code, Some(2));
    assert_snapshot!(planned.out, @r#"
    + exchange orders (topic)
    + policy dead-ttl (queues matching \.dead$, message-ttl 1000)
    + queue billing (quorum, x-dead-letter-exchange "", x-dead-letter-routing-key billing.dead, x-delivery-limit 5)
    + queue billing.dead (classic)
    + binding orders → billing (key order.created)
    5 to create, 0 to update, 0 in conflict
    "#);
    assert_eq!(planned.err, "");
    let dry = stack.run(&["apply", "--dry-run", "stack.yaml"]);
    assert_eq!((dry.code, dry.out), (Some(2), planned.out));
    assert!(queue_names(&stack).is_empty());

    let applied = stack.apply();
    assert_eq!(applied.code, Some(0), "{applied:?}");
    assert!(applied.out.ends_with("\n5 created, 0 updated\n"), "{}", applied.out);
    assert_eq!(applied.err, "");
    let again = stack.plan();
    assert_eq!(again.code, Some(0));
    assert_snapshot!(again.out, @"nothing to do: the broker is as the files say");
    assert_eq!(stack.apply().code, Some(0));
}

#[test]
fn json_names_the_broker() {
    let said = orders().run(&["plan", "--json", "stack.yaml"]);
    assert_eq!(said.code, Some(2));
    let plan: Value = serde_json::from_str(&said.out).expect("JSON");
    assert_eq!(plan["stack"], "test");
    assert!(plan["broker"]["cluster"].as_str().is_some_and(|name| !name.is_empty()), "{plan}");
    assert!(plan["broker"]["version"].as_str().is_some_and(|text| text.contains('.')), "{plan}");
    let summary = json!({"create": 5, "update": 0, "replace": 0, "migrate": 0, "delete": 0, "verify": 0, "conflict": 0});
    assert_eq!(plan["summary"], summary);
    assert_eq!(plan["changes"].as_array().map(Vec::len), Some(5));
}

#[test]
fn every_queue_type_and_key_settles() {
    let stack = Stack::new(json!({
        "exchanges": {"dead": {"type": "fanout"}},
        "queues": {
            "classic": {
                "message_ttl": "60s", "expires": "1h", "max_length": 5_000_000_000_i64,
                "max_length_bytes": "1MiB", "overflow": "reject-publish-dlx", "max_priority": 10,
                "single_active_consumer": true, "dead_letter": {"exchange": "dead", "key": "gone"},
            },
            // What the broker stores without knowing what it is.
            "foreign": {"arguments": {
                "x-note": "ü \" \\ \u{1f407}", "x-ratio": 2.0, "x-yes": false, "x-less": -7,
                "x-list": [1, "two", [3.5], {}], "x-table": {"a": {"b": []}, "c": true},
                "x-empty-list": [], "x-empty-table": {},
            }},
            "transient": {"durable": false, "auto_delete": true},
            "quorum": {
                "type": "quorum", "message_ttl": "60s", "expires": "1h", "max_length": 10,
                "max_length_bytes": "1MiB", "overflow": "reject-publish",
                "single_active_consumer": true, "delivery_limit": 3,
                "dead_letter": {"exchange": "dead", "key": "gone"},
                "dead_letter_strategy": "at-least-once", "leader_locator": "client-local",
                "initial_group_size": 1,
            },
            "stream": {
                "type": "stream", "max_length_bytes": "1GiB", "max_age": "7d",
                "initial_group_size": 1, "leader_locator": "client-local",
                "arguments": {"x-stream-max-segment-size-bytes": 100_000_000},
            },
        },
    }));
    settles(&stack);
    assert_eq!(queue_names(&stack).len(), 5);
}

#[test]
fn every_exchange_type_odd_names_and_all_bindings_settle() {
    let odd = ["a b", "ü/ß", "%", "%2F", "#", "q?x=1&y", "..", "日本", "a+b", "\"'`", "[]{}"];
    let (mut exchanges, mut queues, mut policies) = (Map::new(), Map::new(), Map::new());
    let mut bindings = Vec::new();
    for kind in ["direct", "fanout", "headers", "topic"] {
        exchanges.insert(kind.into(), json!({"type": kind}));
    }
    for name in odd {
        let exchange = json!({
            "type": "topic", "alternate_exchange": "fanout", "internal": name == "%",
            "durable": name != "#", "auto_delete": name == "a b",
        });
        exchanges.insert(name.into(), exchange);
        queues.insert(name.into(), json!({}));
        // No HTTP client can address a policy called `..`.
        if name != ".." {
            let definition = json!({"max-length": 1});
            let policy = json!({"pattern": "^x$", "apply_to": "queues", "definition": definition});
            policies.insert(name.into(), policy);
        }
        bindings.push(json!({"source": name, "queue": name, "key": name}));
        bindings.push(json!({"source": "direct", "destination": name, "key": name}));
        bindings.push(json!({"source": "amq.topic", "queue": name, "key": "#"}));
    }
    for (to, arguments) in [
        ("a b", json!({"x-match": "all", "n": 1})),
        ("a b", json!({"x-match": "all", "n": 1.0})),
        ("a b", json!({"x-match": "any", "n": "1"})),
        ("%", json!({"x-match": "any", "list": [1, {"deep": true}], "none": {}})),
    ] {
        bindings.push(json!({"source": "headers", "queue": to, "arguments": arguments}));
        bindings.push(json!({"source": "headers", "destination": to, "arguments": arguments}));
    }
    let declared = bindings.len();
    let stack = Stack::new(json!({
        "exchanges": exchanges, "queues": queues, "policies": policies, "bindings": bindings,
    }));
    settles(&stack);
    // Each one is its own binding, and none was taken for another.
    let bindings = get(&format!("bindings/{}", stack.vhost()));
    let explicit = bindings.as_array().expect("a list").iter().filter(|b| b["source"] != "");
    assert_eq!(explicit.count(), declared);
}

#[test]
fn a_policy_that_cannot_be_addressed_is_refused_by_name() {
    let policy = json!({"pattern": "^x$", "apply_to": "queues", "definition": {"max-length": 1}});
    let applied = Stack::new(json!({"policies": {"..": policy}})).apply();
    assert_eq!(applied.code, Some(1));
    assert!(applied.out.contains("`..`: it cannot stand in an address"), "{applied:?}");
}

#[test]
fn a_conflict_shows_both_values_and_nothing_changes() {
    let mut stack = orders();
    settles(&stack);
    let changed = &mut stack.document;
    changed["exchanges"]["orders"]["type"] = json!("fanout");
    changed["queues"]["billing"]["type"] = json!("classic");
    changed["queues"]["billing"]["arguments"] = json!({"x-note": "mine"});
    changed["queues"]["billing"].as_object_mut().expect("a map").remove("delivery_limit");
    changed["queues"]["new"] = json!({});
    changed["policies"]["dead-ttl"]["priority"] = json!(9);

    let planned = stack.plan();
    assert_eq!(planned.code, Some(1));
    assert_snapshot!(planned.out, @r"
    ! exchange orders: type is topic on the broker, fanout in stack.yaml:7:5
      hint: let the file say what the broker has, or make it anew with its bindings: `--allow-replace`
    ~ policy dead-ttl: priority 0 → 9
    ! queue billing: type is quorum on the broker, classic in stack.yaml:22:5
      x-delivery-limit is 5 on the broker, absent in stack.yaml:22:5
      x-note is absent on the broker, mine in stack.yaml:22:5
      hint: let the file say what the broker has, or make it anew with its bindings: `on_conflict: migrate` takes its messages along, `--allow-replace` needs it empty
    + queue new (classic)
    1 to create, 1 to update, 2 in conflict
    ");
    let before = get(&format!("definitions/{}", stack.vhost()));
    let applied = stack.apply();
    assert_eq!(applied.code, Some(1));
    assert!(
        applied
            .err
            .ends_with("error: 2 resources are in conflict with the files; nothing was changed\n"),
        "{applied:?}"
    );
    assert_eq!(before, get(&format!("definitions/{}", stack.vhost())));
}

#[test]
fn policies_are_updated_in_place() {
    let mut stack = orders();
    settles(&stack);
    stack.document["policies"]["dead-ttl"] = json!({
        "pattern": "dead$", "apply_to": "all", "priority": 3, "definition": {"message-ttl": 2000},
    });
    let planned = stack.plan();
    assert_eq!(planned.code, Some(2));
    assert_snapshot!(planned.out, @r#"
    ~ policy dead-ttl: pattern "\\.dead$" → "dead$", apply_to queues → all, priority 0 → 3, message-ttl 1000 → 2000
    0 to create, 1 to update, 0 in conflict
    "#);
    settles(&stack);
    let policy = get(&format!("policies/{}/dead-ttl", stack.vhost()));
    assert_eq!(policy["definition"], json!({"message-ttl": 2000}));
}

#[test]
fn an_argument_that_the_broker_never_compares_is_still_a_difference() {
    let mut stack = Stack::new(json!({"queues": {"q": {"arguments": {"x-note": "one"}}}}));
    settles(&stack);
    stack.document["queues"]["q"]["arguments"]["x-note"] = json!("two");
    let planned = stack.plan();
    assert_eq!(planned.code, Some(1));
    assert!(planned.out.contains("x-note is one on the broker, two in stack.yaml:"), "{planned:?}");
}

#[test]
fn the_default_type_of_the_vhost_does_not_decide() {
    let stack = Stack::new(json!({"queues": {"classic": {}}}));
    // The key was renamed in RabbitMQ 3.12; before that, only a new vhost takes it.
    let body = json!({"defaultqueuetype": "quorum", "default_queue_type": "quorum"});
    let vhost = format!("vhosts/{}", stack.vhost());
    api(Method::DELETE, &vhost, None);
    api(Method::PUT, &vhost, Some(&body));
    assert_eq!(get(&vhost)["default_queue_type"], "quorum");
    settles(&stack);
    assert_eq!(get(&format!("queues/{}/classic", stack.vhost()))["type"], "classic");
}

#[test]
fn what_is_not_managed_is_left_alone() {
    let stack = Stack::new(json!({"queues": {"theirs": {"type": "quorum", "manage": false}}}));
    let missing = stack.apply();
    assert_eq!(missing.code, Some(1));
    assert_snapshot!(missing.out, @r"
    ! queue theirs: it is `manage: false` and not on the broker (stack.yaml:7:5)
      hint: whoever owns this queue must create it first
    0 to create, 0 to update, 1 in conflict
    ");
    assert!(queue_names(&stack).is_empty());

    let path = format!("queues/{}/theirs", stack.vhost());
    api(Method::PUT, &path, Some(&json!({"durable": false})));
    assert_eq!(stack.plan().code, Some(0));
}

/// A user of that vhost who may declare what the pattern matches, and the address of the management
/// API with their credentials.
pub(crate) fn user(stack: &Stack, tag: &str, configure: &str) -> (String, String) {
    let user = format!("{tag}-of-{}", stack.vhost());
    let body = json!({"password": "secret", "tags": tag});
    api(Method::PUT, &format!("users/{user}"), Some(&body));
    let all = json!({"configure": configure, "write": ".*", "read": ".*"});
    api(Method::PUT, &format!("permissions/{}/{user}", stack.vhost()), Some(&all));
    let address = management_url().replace("://", &format!("://{user}:secret@"));
    (user, address)
}

#[test]
fn a_user_who_is_no_administrator_sees_the_same() {
    let mut stack = orders();
    let (user, as_user) = user(&stack, "policymaker", ".*");
    let as_administrator = stack.document["broker"]["management"].take();
    let plans = |stack: &mut Stack| {
        [&as_administrator, &json!(as_user)].map(|address| {
            stack.document["broker"]["management"] = address.clone();
            stack.plan().out
        })
    };
    let [administrator, policymaker] = plans(&mut stack);
    assert_eq!(administrator, policymaker);
    let applied = stack.apply();
    assert_eq!(applied.code, Some(0), "{applied:?}");
    stack.document["queues"]["billing"]["delivery_limit"] = json!(9);
    stack.document["policies"]["dead-ttl"]["priority"] = json!(2);
    let [administrator, policymaker] = plans(&mut stack);
    assert!(policymaker.contains("1 to update, 1 in conflict"), "{policymaker}");
    assert_eq!(administrator, policymaker);
    api(Method::DELETE, &format!("users/{user}"), None);
}

#[test]
fn a_user_who_may_not_set_policies_does_the_rest() {
    let mut stack = orders();
    let (user, as_user) = user(&stack, "management", ".*");
    stack.document["broker"]["management"] = json!(as_user);
    let applied = stack.apply();
    assert_eq!(applied.code, Some(3), "{applied:?}");
    let mend = "rabbitmqctl set_user_tags management-of-VHOST policymaker";
    assert!(applied.out.contains(mend), "{applied:?}");
    assert!(applied.out.ends_with("4 created, 0 updated, 1 not done\n"), "{applied:?}");
    api(Method::DELETE, &format!("users/{user}"), None);
}

#[test]
fn a_missing_vhost_is_an_error_with_its_mend() {
    let mut stack = orders();
    let url = stack.document["broker"]["url"].as_str().expect("a text").to_owned();
    stack.document["broker"]["url"] = json!(url.replace(stack.vhost(), "there%20is%20none"));
    let planned = stack.plan();
    assert_eq!(planned.code, Some(1));
    assert_snapshot!(planned.err, @r"
    error: cannot observe the broker: vhost `there is none` does not exist
      hint: create it with `rabbitmqctl add_vhost NAME`; if it exists, let this user in: `rabbitmqctl set_permissions -p NAME USER '.*' '.*' '.*'`
    ");
}

#[test]
fn a_vhost_that_the_user_may_not_enter_is_an_error_with_its_mend() {
    let mut stack = orders();
    let (user, _) = user(&stack, "policymaker", ".*");
    api(Method::DELETE, &format!("permissions/{}/{user}", stack.vhost()), None);
    for key in ["url", "management"] {
        let address = stack.document["broker"][key].as_str().expect("a text");
        let rest = address.rsplit_once("//").expect("a scheme").1.replace("guest:guest@", "");
        let scheme = address.split(':').next().expect("a scheme");
        stack.document["broker"][key] = json!(format!("{scheme}://{user}:secret@{rest}"));
    }
    let planned = stack.plan();
    assert_eq!(planned.code, Some(1), "{planned:?}");
    let error = &planned.err[planned.err.find("error: ").expect("an error")..];
    if since(4, 3) {
        assert!(
            error.starts_with("error: cannot observe the broker: vhost `VHOST` does not exist\n")
        );
    } else {
        assert!(error.contains("User not authorised to access virtual host; and "), "{error}");
    }
    assert!(error.contains("rabbitmqctl set_permissions -p"), "{error}");
    api(Method::DELETE, &format!("users/{user}"), None);
}
