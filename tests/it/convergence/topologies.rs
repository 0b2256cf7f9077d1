//! Random topologies, and what a broker should show of one.

use serde_json::{Value, json};

/// The sections of a vhost that a random topology may have something in.
pub(super) const SECTIONS: [&str; 7] = [
    "exchanges",
    "queues",
    "policies",
    "operator_policies",
    "permissions",
    "topic_permissions",
    "parameters",
];

/// The other ones.
const OF_THE_CLUSTER: [&str; 3] = ["users", "vhosts", "global_parameters"];

/// Names of what belongs to the whole cluster, which other tests share.
pub(super) struct Names {
    pub(super) home: String,
    pub(super) other: String,
}

impl Names {
    pub(super) fn of(home: &str) -> Self {
        Self { other: format!("{home}-b"), home: home.to_owned() }
    }

    fn user(&self, n: usize) -> String {
        format!("u {n} {}", self.home)
    }

    fn global(&self, n: usize) -> String {
        format!("g {n} {}", self.home)
    }

    /// Whether an object of the broker is of this test, in any of the fields that could say so.
    pub(super) fn is_ours(&self, object: &Value) -> bool {
        let ours = |text: &str| text == self.other || text.ends_with(&format!(" {}", self.home));
        let name = if object["user"].is_null() { &object["name"] } else { &object["user"] };
        name.as_str().is_some_and(ours)
    }
}

/// A topology without anything.
pub(super) fn nothing() -> Value {
    SECTIONS
        .iter()
        .chain(&OF_THE_CLUSTER)
        .map(|section| ((*section).to_owned(), json!({})))
        .collect()
}

/// What is in one vhost, out of few names, so that two have many in common.
fn resources(rng: &mut fastrand::Rng, users: &[String]) -> Value {
    let mut sections = nothing();
    for n in 0..3 {
        if rng.bool() {
            let kind = ["topic", "headers"][n % 2];
            sections["exchanges"][format!("e {n}")] = json!({"type": kind});
        }
        if rng.bool() {
            sections["policies"][format!("p%{n}")] = json!({"pattern": "^none$", "priority": rng.i64(0..3), "definition": {"max-length": rng.i64(1..5)}});
        }
    }
    if rng.bool() {
        sections["operator_policies"]["o/%"] = json!({"pattern": "^none$", "apply_to": "queues", "priority": rng.i64(0..3), "definition": {"max-length": rng.i64(1..3)}});
    }
    if rng.bool() {
        sections["parameters"]["federation-upstream"]["up ü"] = json!({"uri": format!("amqp://u:geheim@localhost:{}", rng.u8(1..3)), "expires": rng.u16(1..3)});
        if rng.bool() {
            sections["parameters"]["federation-upstream-set"]["set"] =
                json!([{"upstream": "up ü"}]);
        }
    }
    let exchanges: Vec<String> =
        sections["exchanges"].as_object().expect("a map").keys().cloned().collect();
    for user in users {
        if rng.bool() {
            let pattern = ["", ".*", "^x"][rng.usize(0..3)];
            sections["permissions"][user.as_str()] = json!({"write": pattern, "read": ".*"});
        }
        if rng.bool() {
            for exchange in exchanges.iter().map(String::as_str).chain(["amq.topic"]) {
                if rng.bool() {
                    sections["topic_permissions"][user.as_str()][exchange] =
                        json!({"write": format!("^{}", rng.u8(0..2))});
                }
            }
        }
    }
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
    // Of a type of its own each time, so that it is to be made anew.
    if rng.bool() {
        let kind = ["classic", "quorum"][rng.usize(0..2)];
        sections["queues"]["anew"] =
            json!({"type": kind, "on_conflict": "replace", "bind": bind(rng)});
    }
    if let Some(last) = exchanges.last() {
        let first = exchanges.first().filter(|first| *first != last);
        let bind: Vec<_> = first.iter().map(|name| json!({"exchange": name, "key": "x"})).collect();
        sections["exchanges"][last]["bind"] = json!(bind);
    }
    sections
}

/// A topology in two vhosts, with users and parameters of the cluster.
pub(super) fn random(rng: &mut fastrand::Rng, names: &Names) -> Value {
    let mut users = json!({});
    for n in 0..2 {
        if rng.bool() {
            let mut user =
                json!({"tags": if rng.bool() { json!(["management"]) } else { json!([]) }});
            if rng.bool() {
                user["password"] = json!(["geheim", "secret"][rng.usize(0..2)]);
            }
            if rng.bool() {
                user["limits"] = json!({"max_channels": rng.u8(1..3)});
            }
            users[names.user(n)] = user;
        }
    }
    let known: Vec<String> = users.as_object().expect("a map").keys().cloned().collect();
    let mut sections = resources(rng, &known);
    sections["users"] = users;
    if rng.u8(0..4) > 0 {
        let mut vhost = resources(rng, &known);
        // Those are the cluster's.
        let keys = vhost.as_object_mut().expect("a map");
        for section in ["users", "vhosts", "global_parameters"] {
            keys.remove(section);
        }
        vhost["description"] = json!(["", "ü", "another"][rng.usize(0..3)]);
        vhost["tags"] = if rng.bool() { json!(["b", "a"]) } else { json!([]) };
        if rng.bool() {
            vhost["limits"] = json!({"max_queues": rng.u8(50..52)});
        }
        sections["vhosts"][names.other.as_str()] = vhost;
    }
    for n in 0..2 {
        if rng.bool() {
            let value = [json!({}), json!([1, {"a": "b"}]), json!("ü")][rng.usize(0..3)].clone();
            sections["global_parameters"][names.global(n)] = value;
        }
    }
    sections
}

fn entries(section: &Value) -> impl Iterator<Item = (&String, &Value)> {
    section.as_object().into_iter().flatten()
}

/// A value, or what it is where nobody says.
fn or(value: &Value, default: Value) -> Value {
    if value.is_null() { default } else { value.clone() }
}

/// What a broker should show of one vhost, in the words of [`super::sights`].
fn expected_in(sections: &Value) -> Value {
    let mut bindings = Vec::new();
    let mut bind = |kind: &str, name: &str, declared: &Value| {
        for binding in declared["bind"].as_array().into_iter().flatten() {
            bindings.push(json!({
                "source": binding["exchange"], "destination": name, "destination_type": kind,
                "routing_key": binding["key"], "arguments": or(&binding["arguments"], json!({})),
            }));
        }
    };
    let (mut exchanges, mut queues) = (Vec::new(), Vec::new());
    for (name, exchange) in entries(&sections["exchanges"]) {
        bind("exchange", name, exchange);
        exchanges.push(json!({"name": name, "type": exchange["type"], "durable": true, "auto_delete": false, "arguments": {}}));
    }
    for (name, queue) in entries(&sections["queues"]) {
        bind("queue", name, queue);
        queues.push(json!({"name": name, "type": queue["type"], "durable": true, "auto_delete": false, "arguments": {}}));
    }
    let policies = |section: &Value| -> Vec<Value> {
        entries(section).map(|(name, policy)| json!({
            "name": name, "pattern": policy["pattern"], "apply-to": or(&policy["apply_to"], json!("all")),
            "priority": policy["priority"], "definition": policy["definition"],
        })).collect()
    };
    let parameters = entries(&sections["parameters"]).flat_map(|(component, named)| {
        let whole =
            move |(name, value)| json!({"component": component, "name": name, "value": value});
        entries(named).map(whole)
    });
    let permissions = entries(&sections["permissions"]).map(|(user, permission)| {
        json!({
            "user": user, "configure": "", "write": permission["write"], "read": permission["read"],
        })
    });
    let topics = entries(&sections["topic_permissions"]).flat_map(|(user, exchanges)| {
        let whole = move |(exchange, topic): (&String, &Value)| json!({"user": user, "exchange": exchange, "write": topic["write"], "read": ""});
        entries(exchanges).map(whole)
    });
    json!({
        "exchanges": exchanges,
        "queues": queues,
        "bindings": bindings,
        "policies": policies(&sections["policies"]),
        "operator_policies": policies(&sections["operator_policies"]),
        "parameters": parameters.collect::<Vec<_>>(),
        "permissions": permissions.collect::<Vec<_>>(),
        "topic_permissions": topics.collect::<Vec<_>>(),
        "limits": limits(&sections["limits"]),
    })
}

/// `max_queues` of a file is `max-queues` on the broker.
fn limits(limits: &Value) -> Value {
    entries(limits).map(|(name, most)| (name.replace('_', "-"), most.clone())).collect()
}

/// What a broker should show of a topology, besides strangers.
pub(super) fn expected(sections: &Value, names: &Names) -> Value {
    let users = entries(&sections["users"]).map(|(name, user)| {
        json!({
            "name": name, "tags": user["tags"], "limits": limits(&user["limits"]),
        })
    });
    let globals = entries(&sections["global_parameters"])
        .map(|(name, value)| json!({"name": name, "value": value}));
    let mut vhosts = vec![];
    let mut found = json!({names.home.as_str(): expected_in(sections)});
    for (name, vhost) in entries(&sections["vhosts"]) {
        found[name] = expected_in(vhost);
        vhosts.push(
            json!({"name": name, "description": vhost["description"], "tags": vhost["tags"]}),
        );
    }
    found["users"] = users.collect();
    found["globals"] = globals.collect();
    found["vhosts"] = json!(vhosts);
    found
}
