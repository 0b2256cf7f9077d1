//! From any topology to any other on a real broker, past what strangers have there.

use reqwest::Method;
use serde_json::{Value, json};

use crate::reconcile::{api, get};
use crate::support::stack::Stack;

/// A topology out of few names, so that two have many in common.
fn random(rng: &mut fastrand::Rng) -> Value {
    let mut sections = json!({"exchanges": {}, "queues": {}, "policies": {}});
    for n in 0..3 {
        if rng.bool() {
            let kind = ["topic", "headers"][n % 2];
            sections["exchanges"][format!("e {n}")] = json!({"type": kind});
        }
        if rng.bool() {
            sections["policies"][format!("p%{n}")] = json!({"pattern": "^none$", "priority": rng.i64(0..3), "definition": {"max-length": rng.i64(1..5)}});
        }
    }
    let exchanges: Vec<String> =
        sections["exchanges"].as_object().expect("a map").keys().cloned().collect();
    let bind = |rng: &mut fastrand::Rng| -> Value {
        let all = exchanges.iter().map(String::as_str).chain(["amq.topic"]);
        let some: Vec<_> = all.map(|name| (name, rng.u8(0..6))).filter(|(_, n)| *n < 3).collect();
        let bind = |(name, n)| json!({"exchange": name, "key": format!("k/{n}.#"), "arguments": {"x-n": n, "x-t": {"ü": [n, "a"]}}});
        some.into_iter().map(bind).collect()
    };
    for n in 0..4 {
        if rng.bool() {
            let kind = ["classic", "quorum", "stream", "classic"][n];
            sections["queues"][format!("q ü/{n}")] = json!({"type": kind, "bind": bind(rng)});
        }
    }
    if let Some(last) = exchanges.last() {
        let first = exchanges.first().filter(|first| *first != last);
        let bind: Vec<_> = first.iter().map(|name| json!({"exchange": name, "key": "x"})).collect();
        sections["exchanges"][last]["bind"] = json!(bind);
    }
    sections
}

#[test]
fn from_one_random_topology_to_another() {
    let mut stack = Stack::new(json!({}));
    let vhost = stack.vhost().to_owned();
    api(Method::PUT, &format!("queues/{vhost}/stranger"), Some(&json!({})));
    api(Method::PUT, &format!("exchanges/{vhost}/strange"), Some(&json!({"type": "fanout"})));
    api(
        Method::POST,
        &format!("bindings/{vhost}/e/strange/q/stranger"),
        Some(&json!({"routing_key": "s"})),
    );
    let definitions = || {
        let mut all = get(&format!("definitions/{vhost}"));
        for kind in ["exchanges", "queues", "bindings", "policies"] {
            let list = all[kind].as_array_mut().expect("a list");
            list.sort_by_key(Value::to_string);
        }
        json!([all["exchanges"], all["queues"], all["bindings"], all["policies"]])
    };
    let mut rng = fastrand::Rng::with_seed(7);
    let before = definitions();
    let set = |stack: &mut Stack, sections: &Value| {
        for section in ["exchanges", "queues", "policies"] {
            stack.document[section] = sections[section].clone();
        }
    };
    let forced = ["apply", "--prune", "--force", "stack.yaml"];
    for _ in 0..8 {
        let (a, b) = (random(&mut rng), random(&mut rng));
        // What B alone looks like.
        set(&mut stack, &b);
        assert_eq!(stack.run(&forced).code, Some(0));
        let alone = definitions();
        set(&mut stack, &json!({"exchanges": {}, "queues": {}, "policies": {}}));
        assert_eq!(stack.run(&forced).code, Some(0));
        assert_eq!(definitions(), before);
        for sections in [&a, &b] {
            set(&mut stack, sections);
            let applied = stack.run(&forced);
            assert_eq!(applied.code, Some(0), "{a}\n{b}\n{applied:?}");
        }
        let again = stack.run(&["plan", "--prune", "stack.yaml"]);
        assert_eq!(again.out, "nothing to do: the broker is as the files say\n", "{a}\n{b}");
        assert_eq!(definitions(), alone, "{a}\n{b}");
        set(&mut stack, &json!({"exchanges": {}, "queues": {}, "policies": {}}));
        assert_eq!(stack.run(&forced).code, Some(0));
    }
}
