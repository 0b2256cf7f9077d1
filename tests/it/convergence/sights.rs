//! What a broker shows of the objects that a test could have made or destroyed.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::topologies::Names;
use crate::reconcile::get;

fn list(path: &str) -> Vec<Value> {
    match get(path) {
        Value::Array(all) => all,
        other => panic!("{path}: {other}"),
    }
}

fn pick(object: &Value, keys: &[&str]) -> Value {
    keys.iter().map(|key| ((*key).to_owned(), object[*key].clone())).collect()
}

/// The names, attributes and bindings of one vhost, as `expected` of a topology has them.
fn vhost(name: &str, names: &Names) -> Value {
    let definitions = get(&format!("definitions/{name}"));
    let all = |section: &str| definitions[section].as_array().cloned().unwrap_or_default();
    let each = |section: &str, keys: &[&str]| -> Vec<Value> {
        let named = all(section)
            .into_iter()
            .filter(|object| !object["name"].as_str().unwrap_or_default().starts_with("amq."));
        named.map(|object| pick(&object, keys)).collect()
    };
    let queues = each("queues", &["name", "durable", "auto_delete", "arguments"]);
    let queues = queues.into_iter().map(|mut queue| {
        let arguments = queue["arguments"].as_object_mut();
        let kind = arguments.and_then(|arguments| arguments.remove("x-queue-type"));
        queue["type"] = kind.unwrap_or_else(|| json!("classic"));
        queue
    });
    let policy = ["name", "pattern", "apply-to", "priority", "definition"];
    let operator = list(&format!("operator-policies/{name}"));
    // Some versions have operator policies and limits among the parameters.
    let mut parameters = each("parameters", &["component", "name", "value"]);
    parameters.retain(|it| it["component"].as_str().is_some_and(|it| it.starts_with("federation")));
    let of_us = |path: &str, keys: &[&str]| -> Vec<Value> {
        let all = list(path).into_iter();
        let ours = all.filter(|object| object["vhost"] == name && names.is_ours(object));
        ours.map(|object| pick(&object, keys)).collect()
    };
    json!({
        // Since 4.3.3 without `internal`; these tests have no such exchange.
        "exchanges": each("exchanges", &["name", "type", "durable", "auto_delete", "arguments"]),
        "queues": queues.collect::<Vec<_>>(),
        "bindings": each(
            "bindings",
            &["source", "destination", "destination_type", "routing_key", "arguments"],
        ),
        "policies": each("policies", &policy),
        "operator_policies":
            operator.iter().map(|object| pick(object, &policy)).collect::<Vec<_>>(),
        "parameters": parameters,
        "permissions": of_us("permissions", &["user", "configure", "write", "read"]),
        "topic_permissions": of_us("topic-permissions", &["user", "exchange", "write", "read"]),
        "limits": list(&format!("vhost-limits/{name}")).first().map_or(json!({}), |it| it["value"].clone()),
    })
}

/// Everything of this test, but for the ledger and passwords.
pub(super) fn sights(names: &Names) -> Value {
    let ours = |path: &str| -> Vec<Value> {
        list(path).into_iter().filter(|object| names.is_ours(object)).collect()
    };
    let limits: BTreeMap<String, Value> = ours("user-limits")
        .iter()
        .map(|limit| (limit["user"].as_str().expect("a name").into(), limit["value"].clone()))
        .collect();
    let users = ours("users").into_iter().map(|user| {
        let name = user["name"].as_str().expect("a name");
        json!({"name": name, "tags": user["tags"], "limits": limits.get(name).cloned().unwrap_or(json!({}))})
    });
    let vhosts = ours("vhosts");
    let mut found = json!({names.home.as_str(): vhost(&names.home, names)});
    for name in vhosts.iter().filter_map(|vhost| vhost["name"].as_str()) {
        found[name] = vhost(name, names);
    }
    found["users"] = users.collect();
    found["globals"] =
        ours("global-parameters").iter().map(|it| pick(it, &["name", "value"])).collect();
    found["vhosts"] = vhosts.iter().map(|it| pick(it, &["name", "description", "tags"])).collect();
    found
}

/// Whether each user of a topology that says a password has it.
pub(super) fn passwords_hold(users: &Value) -> bool {
    users.as_object().into_iter().flatten().all(|(name, user)| {
        let Some(password) = user["password"].as_str() else { return true };
        let found = get(&format!("users/{}", name.replace(' ', "%20")));
        let hash = STANDARD.decode(found["password_hash"].as_str().expect("a hash"));
        let hash = hash.expect("base64");
        let (salt, digest) = hash.split_at(4);
        Sha256::digest([salt, password.as_bytes()].concat()).as_slice() == digest
    })
}

/// The same with lists in one order, and without the difference between an empty list and an empty
/// object, of which brokers make one of the other.
pub(super) fn normal(value: Value) -> Value {
    match value {
        Value::Array(values) => {
            let mut values: Vec<Value> = values.into_iter().map(normal).collect();
            values.sort_by_cached_key(Value::to_string);
            Value::Array(values)
        }
        Value::Object(values) if values.is_empty() => json!([]),
        Value::Object(values) => {
            values.into_iter().map(|(key, value)| (key, normal(value))).collect()
        }
        other => other,
    }
}
