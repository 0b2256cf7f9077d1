//! Users and what they may do, on a real broker.

use insta::assert_snapshot;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::reconcile::{api, get};
use crate::support::broker::{management_url, shared};
use crate::support::stack::{Said, Stack};

/// Where the password of the stack's user is read from.
const PASSWORD: &str = "geheim %ü/1";

/// A stack with a user of its own, whose password is in a file beside it.
fn stack() -> (Stack, String) {
    let mut stack = Stack::new(json!({"exchanges": {"orders": {"type": "topic"}}}));
    let user = format!("user-{}", stack.vhost());
    stack.secret("password", PASSWORD);
    stack.document["users"] = json!({user.as_str(): {
        "password": stack.reading("password"),
        "tags": ["management"],
        "limits": {"max_connections": 5},
    }});
    stack.document["permissions"] =
        json!({user.as_str(): {"configure": "^own\\.", "write": ".*", "read": ".*"}});
    stack.document["topic_permissions"] = json!({user.as_str(): {
        "orders": {"write": "^order\\.", "read": "^order\\."},
        "amq.topic": {"write": "^x", "read": ""},
    }});
    (stack, user)
}

fn settles(stack: &Stack) {
    let applied = stack.apply();
    assert_eq!(applied.code, Some(0), "{applied:?}");
    let again = stack.plan();
    assert_eq!(again.out, "nothing to do: the broker is as the files say\n");
}

/// Whether the management API lets that user in.
fn lets_in(user: &str, password: &str) -> bool {
    let request = async {
        let http = reqwest::Client::builder().no_proxy().build().expect("a client");
        let request = http.get(format!("{}/api/whoami", management_url()));
        request.basic_auth(user, Some(password)).send().await.expect("an answer").status()
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(request) == StatusCode::OK
}

fn user_exists(name: &str) -> bool {
    get("users").as_array().expect("a list").iter().any(|user| user["name"] == name)
}

fn forget(stack: &mut Stack) -> Said {
    for section in ["users", "permissions", "topic_permissions"] {
        stack.document[section] = json!({});
    }
    stack.run(&["apply", "--prune", "--force", "stack.yaml"])
}

#[test]
fn users_come_change_and_go() {
    let (mut stack, user) = stack();
    assert_snapshot!(stack.plan().out, @r#"
    + user user-VHOST (max_connections 5, tags ["management"], with a password)
    + permission user-VHOST (configure "^own\\.", read ".*", write ".*")
    + exchange orders (topic)
    + topic permission user-VHOST on amq.topic (write "^x")
    + topic permission user-VHOST on orders (read "^order\\.", write "^order\\.")
    5 to create, 0 to update, 0 in conflict
    "#);
    settles(&stack);
    assert!(lets_in(&user, PASSWORD) && !lets_in(&user, "another"));
    assert_eq!(get(&format!("user-limits/{user}"))[0]["value"], json!({"max-connections": 5}));
    let topics = get(&format!("topic-permissions/{}/{user}", stack.vhost()));
    assert_eq!(topics.as_array().map(Vec::len), Some(2));

    // Another tag does not touch the password, nor do limits.
    let hash = get(&format!("users/{user}"))["password_hash"].clone();
    stack.document["users"][user.as_str()]["tags"] = json!(["management", "monitoring"]);
    stack.document["users"][user.as_str()]["limits"] = json!({"max_channels": 7});
    stack.document["permissions"][user.as_str()]["configure"] = json!("");
    stack.document["topic_permissions"][user.as_str()] =
        json!({"orders": {"write": "^order\\.", "read": "^another\\."}});
    assert_snapshot!(stack.run(&["plan", "--prune", "stack.yaml"]).out, @r#"
    ~ user user-VHOST: max_channels absent → 7, max_connections 5 → absent, tags ["management"] → ["management","monitoring"]
    ~ permission user-VHOST: configure "^own\\." → ""
    ~ topic permission user-VHOST on orders: read "^order\\." → "^another\\."
    - topic permission user-VHOST on amq.topic
    0 to create, 3 to update, 0 in conflict, 1 to delete
    "#);
    let pruned = stack.run(&["apply", "--prune", "stack.yaml"]);
    assert_eq!(pruned.code, Some(0), "{pruned:?}");
    settles(&stack);
    assert_eq!(get(&format!("users/{user}"))["password_hash"], hash);
    assert!(lets_in(&user, PASSWORD));
    assert_eq!(get(&format!("user-limits/{user}"))[0]["value"], json!({"max-channels": 7}));
    let topics = get(&format!("topic-permissions/{}/{user}", stack.vhost()));
    assert_eq!(topics.as_array().map(Vec::len), Some(1));
    assert_eq!(topics[0]["read"], "^another\\.");

    // Another password, in the file and then by hand.
    stack.secret("password", "another one");
    assert_snapshot!(stack.plan().out, @r"
    ~ user user-VHOST: password another → declared
    0 to create, 1 to update, 0 in conflict
    ");
    settles(&stack);
    assert!(lets_in(&user, "another one") && !lets_in(&user, PASSWORD));
    let by_hand = json!({"password": "by hand", "tags": "management,monitoring"});
    api(Method::PUT, &format!("users/{user}"), Some(&by_hand));
    assert_snapshot!(stack.plan().out, @r"
    ~ user user-VHOST: password another → declared
    0 to create, 1 to update, 0 in conflict
    ");
    settles(&stack);

    let pruned = forget(&mut stack);
    assert_eq!(pruned.code, Some(0), "{pruned:?}");
    assert_snapshot!(pruned.out, @r"
    - topic permission user-VHOST on orders
    - permission user-VHOST
    - user user-VHOST (the broker closes its connections)
    0 to create, 0 to update, 0 in conflict, 3 to delete
    0 created, 0 updated, 3 deleted
    ");
    assert!(!user_exists(&user));
}

#[test]
fn a_password_can_be_given_as_its_hash() {
    let (mut stack, user) = stack();
    settles(&stack);
    let stored = get(&format!("users/{user}"))["password_hash"].clone();
    // The salt and hash of "test12" that RabbitMQ's documentation has as its example.
    let example = "kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR";
    stack.document["users"][user.as_str()] =
        json!({"password_hash": example, "hashing_algorithm": "sha256", "tags": ["management"]});
    settles(&stack);
    assert!(lets_in(&user, "test12"));
    stack.document["users"][user.as_str()]["password_hash"] = stored;
    settles(&stack);
    assert!(lets_in(&user, PASSWORD));
    // Not said any more, it stays.
    stack.document["users"][user.as_str()] = json!({"tags": ["management", "monitoring"]});
    settles(&stack);
    assert!(lets_in(&user, PASSWORD));
    // Other algorithms are compared by hashing again as well.
    for algorithm in ["sha512", "md5"] {
        let hash = salted(algorithm, "test12");
        let body = json!({"password_hash": hash, "tags": "management", "hashing_algorithm": format!("rabbit_password_hashing_{algorithm}")});
        api(Method::PUT, &format!("users/{user}"), Some(&body));
        stack.secret("password", "test12");
        stack.document["users"][user.as_str()] =
            json!({"password": stack.reading("password"), "tags": ["management"]});
        let planned = stack.plan();
        assert_eq!(planned.code, Some(0), "{algorithm}: {planned:?}");
        stack.secret("password", "test13");
        assert_eq!(stack.plan().code, Some(2), "{algorithm}");
    }
    forget(&mut stack);
}

/// A hash of that password as a broker stores it.
fn salted(algorithm: &str, password: &str) -> String {
    use base64::Engine as _;
    use sha2::Digest as _;
    let all = [b"salt".as_slice(), password.as_bytes()].concat();
    let hash = match algorithm {
        "sha512" => sha2::Sha512::digest(&all).to_vec(),
        _ => md5::Md5::digest(&all).to_vec(),
    };
    base64::engine::general_purpose::STANDARD.encode([b"salt".as_slice(), &hash].concat())
}

#[test]
fn warrener_does_not_lock_itself_out() {
    let mut stack = Stack::new(json!({}));
    for (section, value) in [
        ("users", json!({"guest": {"tags": ["management"]}})),
        ("users", json!({"guest": {"tags": ["administrator"], "password": "another"}})),
        ("users", json!({"guest": {"tags": ["administrator"], "limits": {"max_connections": 0}}})),
        ("permissions", json!({"guest": {"configure": ".*", "read": ".*"}})),
    ] {
        stack.document["users"] = json!({});
        stack.document["permissions"] = json!({});
        stack.document[section] = value.clone();
        let planned = stack.apply();
        assert_eq!(planned.code, Some(1), "{value}: {planned:?}");
        assert!(planned.out.contains("warrener itself is user `guest`"), "{planned:?}");
    }
    // What it already has may be declared, and is not taken away when it no longer is.
    stack.document["users"] = json!({"guest": {"tags": ["administrator"], "manage": false}});
    stack.document["permissions"] =
        json!({"guest": {"configure": ".*", "write": ".*", "read": ".*"}});
    settles(&stack);
    stack.document["permissions"] = json!({});
    let pruned = stack.run(&["apply", "--prune", "--force", "stack.yaml"]);
    assert_snapshot!(pruned.out, @r"
    kept: permission guest: warrener itself is user `guest` and would lose it
    nothing to do: the broker is as the files say
    ");
    assert_eq!(get(&format!("permissions/{}/guest", stack.vhost()))["write"], ".*");
}

#[test]
fn a_user_who_may_not_is_told_what_is_missing() {
    let (mut stack, user) = stack();
    let limited = format!("limited-{}", stack.vhost());
    let body = json!({"password": "x", "tags": "policymaker"});
    api(Method::PUT, &format!("users/{limited}"), Some(&body));
    let everything = json!({"configure": ".*", "write": ".*", "read": ".*"});
    api(Method::PUT, &format!("permissions/{}/{limited}", stack.vhost()), Some(&everything));
    let port = shared().amqp_port();
    stack.document["broker"]["url"] =
        json!(format!("amqp://{limited}:x@127.0.0.1:{port}/{}", stack.vhost()));
    let planned = stack.plan();
    assert_eq!(planned.code, Some(1));
    assert_snapshot!(planned.out, @r"
    ! user user-VHOST: users can be neither seen nor set: the management API refuses user `limited-VHOST`: Not administrator user (stack.yaml:32:5)
      hint: users need the tag `administrator`: `rabbitmqctl set_user_tags limited-VHOST administrator`
    ! permission user-VHOST: permissions can be neither seen nor set: the management API refuses user `limited-VHOST`: Not administrator user (stack.yaml:12:5)
      hint: permissions need the tag `administrator`: `rabbitmqctl set_user_tags limited-VHOST administrator`
    + exchange orders (topic)
    ! topic permission user-VHOST on amq.topic: topic permissions can be neither seen nor set: the management API refuses user `limited-VHOST`: Not administrator user (stack.yaml:21:7)
      hint: topic permissions need the tag `administrator`: `rabbitmqctl set_user_tags limited-VHOST administrator`
    ! topic permission user-VHOST on orders: topic permissions can be neither seen nor set: the management API refuses user `limited-VHOST`: Not administrator user (stack.yaml:25:7)
      hint: topic permissions need the tag `administrator`: `rabbitmqctl set_user_tags limited-VHOST administrator`
    1 to create, 0 to update, 4 in conflict
    ");
    // Parameters are within its power.
    for section in ["users", "permissions", "topic_permissions"] {
        stack.document[section] = json!({});
    }
    let name = format!("note-{}", stack.vhost());
    stack.document["global_parameters"] = json!({name.as_str(): 1});
    settles(&stack);
    stack.document["global_parameters"] = json!({});
    assert_eq!(stack.run(&["apply", "--prune", "stack.yaml"]).code, Some(0));
    assert!(!user_exists(&user));
    api(Method::DELETE, &format!("users/{limited}"), None);
}

#[test]
fn drift_names_users_and_permissions_that_nobody_declares() {
    let (mut stack, user) = stack();
    settles(&stack);
    let other = format!("other-{}", stack.vhost());
    api(Method::PUT, &format!("users/{other}"), Some(&json!({"password": "x", "tags": ""})));
    let some = json!({"configure": "", "write": "", "read": ".*"});
    api(Method::PUT, &format!("permissions/{}/{other}", stack.vhost()), Some(&some));
    let drift = stack.run(&["drift", "stack.yaml"]);
    assert_eq!(drift.code, Some(2), "{drift:?}");
    for line in ["undeclared: user other-VHOST\n", "undeclared: permission other-VHOST\n"] {
        assert!(drift.out.contains(line), "{drift:?}");
    }
    assert!(!drift.out.contains("guest"), "{drift:?}");
    api(Method::DELETE, &format!("users/{other}"), None);
    forget(&mut stack);
    assert!(!user_exists(&user));
    // A stack without users answers for none.
    let drift = stack.run(&["drift", "stack.yaml"]);
    assert_eq!(drift.code, Some(0), "{drift:?}");
}

#[test]
fn no_secret_is_shown_or_kept() {
    const CANARY: &str = "kanarienvogel";
    let mut stack = Stack::new(json!({}));
    let user = format!("user-{}", stack.vhost());
    stack.secret("password", CANARY);
    let uri = |password: &str| json!(format!("amqp://u:{password}@localhost/%2f"));
    let key = |password: &str| json!(format!("amqps://localhost?certfile=/c&password={password}"));
    stack.document["users"] = json!({user.as_str(): {"password": stack.reading("password")}});
    stack.document["parameters"] = json!({"federation-upstream": {"up": {
        "uri": uri(CANARY), "expires": 1000,
    }}});
    let global = format!("g-{}", stack.vhost());
    stack.document["global_parameters"] =
        json!({global.as_str(): {"api_token": CANARY, "uris": [uri(CANARY), key(CANARY)]}});
    let mut said = String::new();
    let mut run = |stack: &Stack, arguments: &[&str]| {
        let Said { code, out, err } = stack.run(arguments);
        said.push_str(&out);
        said.push_str(&err);
        (code, out)
    };
    run(&stack, &["check", "stack.yaml"]);
    run(&stack, &["plan", "stack.yaml"]);
    run(&stack, &["plan", "--json", "stack.yaml"]);
    assert_eq!(run(&stack, &["apply", "stack.yaml"]).0, Some(0));
    assert_eq!(run(&stack, &["plan", "stack.yaml"]).0, Some(0));
    // Changed by hand, and not with what it is changed to either.
    let upstream = format!("parameters/federation-upstream/{}/up", stack.vhost());
    let value = json!({"value": {"uri": uri("kanarienvogel2"), "expires": 1000}});
    api(Method::PUT, &upstream, Some(&value));
    api(
        Method::PUT,
        &format!("users/{user}"),
        Some(&json!({"password": "kanarienvogel3", "tags": ""})),
    );
    let (code, out) = run(&stack, &["plan", "stack.yaml"]);
    assert_eq!(code, Some(2));
    assert_snapshot!(out, @r#"
    ~ user user-VHOST: password another → declared
    ~ parameter federation-upstream/up: uri "amqp://u:***@localhost/%2f" → "the same with another secret"
    0 to create, 2 to update, 0 in conflict
    "#);
    run(&stack, &["plan", "--json", "stack.yaml"]);
    run(&stack, &["drift", "stack.yaml"]);
    run(&stack, &["drift", "--json", "stack.yaml"]);
    assert_eq!(run(&stack, &["apply", "stack.yaml"]).0, Some(0));
    let ledgers: Vec<Value> = get("global-parameters").as_array().expect("a list").clone();
    let own = format!("warrener.test@{}", stack.vhost());
    let ledger = ledgers.iter().find(|parameter| parameter["name"] == own.as_str());
    let ledger = ledger.expect("a ledger").to_string();
    assert!(!ledger.contains(CANARY), "{ledger}");
    for section in ["users", "parameters", "global_parameters"] {
        stack.document[section] = json!({});
    }
    run(&stack, &["plan", "stack.yaml"]);
    assert_eq!(run(&stack, &["apply", "--prune", "--force", "stack.yaml"]).0, Some(0));
    assert!(
        said.contains("user-VHOST") && said.contains(global.trim_start_matches("g-"))
            || said.contains("g-VHOST")
    );
    assert!(!said.contains(CANARY), "{said}");
}

#[test]
fn a_permission_of_nobody_says_what_is_missing() {
    let stack = Stack::new(json!({
        "permissions": {"ghost": {"read": ".*"}},
        "topic_permissions": {"ghost": {"amq.topic": {"write": "a"}}},
    }));
    let Said { code, out, .. } = stack.apply();
    assert_eq!(code, Some(1), "{out}");
    let hint = "hint: there is no such user: declare it under `users`, or have it created first";
    assert_eq!(out.matches(hint).count(), 2, "{out}");
}

#[test]
fn the_address_of_a_broker_names_a_user_that_may_be_managed() {
    // The user of a stack may be declared by the stack itself, as it is.
    let mut stack = Stack::new(json!({}));
    let user = format!("self-{}", stack.vhost());
    let body = json!({"password": "x", "tags": "administrator"});
    api(Method::PUT, &format!("users/{user}"), Some(&body));
    let everything = json!({"configure": ".*", "write": ".*", "read": ".*"});
    api(Method::PUT, &format!("permissions/{}/{user}", stack.vhost()), Some(&everything));
    let url = amqp_url_of(&stack).replace("guest:guest", &format!("{user}:x"));
    stack.document["broker"]["url"] = json!(url);
    stack.document["users"] =
        json!({user.as_str(): {"password": "x", "tags": ["administrator", "impersonator"]}});
    settles(&stack);
    stack.document["users"] = json!({});
    let pruned = stack.run(&["apply", "--prune", "--force", "stack.yaml"]);
    assert_eq!(pruned.code, Some(0), "{pruned:?}");
    assert!(pruned.out.contains("kept: user self-VHOST: warrener itself is user"), "{pruned:?}");
    assert!(user_exists(&user));
    api(Method::DELETE, &format!("users/{user}"), None);
}

fn amqp_url_of(stack: &Stack) -> String {
    format!("amqp://guest:guest@127.0.0.1:{}/{}", shared().amqp_port(), stack.vhost())
}
