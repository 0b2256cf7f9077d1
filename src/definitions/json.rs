//! From a topology to a document that `rabbitmqctl import_definitions` takes.

use std::collections::BTreeMap;

use secrecy::ExposeSecret;
use serde_json::{Map, Value, json};

use crate::model::{
    ArgValue, Arguments, BrokerLimits, Credential, Policy, Setting, Topology, VhostName,
};

/// What a topology says should exist and is managed, as definitions. What is `manage: false` is
/// somebody else's to create, and the broker's own exists by itself.
pub fn definitions(topology: &Topology, home: &VhostName) -> Value {
    let exchanges = topology.exchanges();
    let exchanges = exchanges.filter(|exchange| exchange.managed && !exchange.name.is_reserved());
    let exchanges: Vec<_> = exchanges
        .map(|exchange| {
            json!({
                "name": exchange.name,
                "vhost": exchange.vhost,
                "type": exchange.kind.0,
                "durable": exchange.durable,
                "auto_delete": exchange.auto_delete,
                "internal": exchange.internal,
                "arguments": table(&exchange.arguments),
            })
        })
        .collect();
    let queues = topology.queues().filter(|queue| queue.managed);
    let queues: Vec<_> = queues
        .map(|queue| {
            json!({
                "name": queue.name,
                "vhost": queue.vhost,
                "durable": queue.durable,
                "auto_delete": queue.auto_delete,
                "arguments": table(&queue.declare_arguments()),
            })
        })
        .collect();
    let bindings = topology.bindings().filter(|binding| binding.managed);
    let bindings: Vec<_> = bindings
        .map(|binding| {
            json!({
                "source": binding.source,
                "vhost": binding.vhost,
                "destination": binding.destination.name(),
                "destination_type": binding.destination.kind(),
                "routing_key": binding.routing_key,
                "arguments": table(&binding.arguments),
            })
        })
        .collect();
    let policies = topology.policies().filter(|policy| policy.managed);
    let policies: Vec<_> = policies
        .map(|policy| {
            let mut entry = policy_value(policy);
            entry["name"] = json!(policy.name);
            entry["vhost"] = json!(policy.vhost);
            entry
        })
        .collect();
    let mut document = json!({
        "exchanges": exchanges,
        "queues": queues,
        "bindings": bindings,
        "policies": policies,
    });
    let mut vhosts: BTreeMap<&VhostName, Value> =
        topology.vhosts().into_iter().map(|vhost| (vhost, json!({ "name": vhost }))).collect();
    vhosts.entry(home).or_insert_with(|| json!({ "name": home }));
    let mut sections: BTreeMap<&str, Vec<Value>> = BTreeMap::new();
    for setting in topology.settings().filter(|setting| setting.managed()) {
        let (section, entry) = match setting {
            Setting::Vhost(it) => {
                if !it.limits.is_empty() {
                    let limits = json!({
                        "vhost": it.name, "component": "vhost-limits", "name": "limits",
                        "value": limits(&it.limits),
                    });
                    sections.entry("parameters").or_default().push(limits);
                }
                let mut about = json!({ "description": it.description, "tags": it.tags });
                if let Some(kind) = it.default_queue_type {
                    about["default_queue_type"] = kind.as_str().into();
                }
                // Brokers of different versions look for it in different places.
                let mut entry = about.clone();
                entry["metadata"] = about;
                entry["name"] = json!(it.name);
                vhosts.insert(&it.name, entry);
                continue;
            }
            setting => section(setting),
        };
        sections.entry(section).or_default().push(entry);
    }
    document["vhosts"] = vhosts.into_values().collect();
    for (section, entries) in sections {
        document[section] = Value::Array(entries);
    }
    document
}

/// A setting that is no vhost: its section, and its entry there.
fn section(setting: &Setting) -> (&'static str, Value) {
    match setting {
        Setting::Vhost(it) => ("vhosts", json!({ "name": it.name })),
        Setting::User(it) => {
            let mut entry = json!({
                "name": it.name,
                "tags": it.tags,
                "limits": limits(&it.limits),
                "password_hash": "",
            });
            match &it.credential {
                Credential::Unsaid => {}
                Credential::Password(password) => {
                    entry["password"] = password.expose_secret().into();
                    entry.as_object_mut().map(|keys| keys.remove("password_hash"));
                }
                Credential::Hash(hash) => {
                    entry["password_hash"] = hash.text.expose_secret().into();
                    let algorithm = hash.algorithm.unwrap_or_default();
                    entry["hashing_algorithm"] = algorithm.module().into();
                }
            }
            ("users", entry)
        }
        Setting::Permission(it) => (
            "permissions",
            json!({
                "user": it.user, "vhost": it.vhost,
                "configure": it.configure, "write": it.write, "read": it.read,
            }),
        ),
        Setting::TopicPermission(it) => (
            "topic_permissions",
            json!({
                "user": it.user, "vhost": it.vhost, "exchange": it.exchange,
                "write": it.write, "read": it.read,
            }),
        ),
        Setting::OperatorPolicy(it) => (
            "parameters",
            json!({
                "vhost": it.vhost, "component": "operator_policy", "name": it.name,
                "value": policy_value(it),
            }),
        ),
        Setting::Parameter(it) => (
            "parameters",
            json!({
                "vhost": it.vhost, "component": it.component, "name": it.name,
                "value": it.value.to_json(),
            }),
        ),
        Setting::GlobalParameter(it) => {
            ("global_parameters", json!({ "name": it.name, "value": it.value.to_json() }))
        }
    }
}

fn policy_value(policy: &Policy) -> Value {
    json!({
        "pattern": policy.pattern,
        "apply-to": policy.apply_to.as_str(),
        "priority": policy.priority,
        "definition": table(&policy.definition),
    })
}

fn limits(limits: &BrokerLimits) -> Value {
    Value::Object(
        limits.iter().map(|(name, most)| (name.clone(), (*most).into())).collect::<Map<_, _>>(),
    )
}

fn table(arguments: &Arguments) -> Value {
    ArgValue::Map(arguments.clone()).to_json()
}
