//! From a topology to a document that `rabbitmqctl import_definitions` takes.

use serde_json::{Value, json};

use crate::model::{ArgValue, Arguments, Topology, VhostName};

/// What a topology says should exist in a vhost and is managed, as definitions. What is `manage:
/// false` is somebody else's to create, and the broker's own exists by itself.
pub fn definitions(topology: &Topology, vhost: &VhostName) -> Value {
    let exchanges =
        topology.exchanges().filter(|exchange| exchange.managed && !exchange.name.is_reserved());
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
    let queues: Vec<_> = topology
        .queues()
        .filter(|queue| queue.managed)
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
    let bindings: Vec<_> = topology
        .bindings()
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
    let policies: Vec<_> = topology
        .policies()
        .filter(|policy| policy.managed)
        .map(|policy| {
            json!({
                "name": policy.name,
                "vhost": policy.vhost,
                "pattern": policy.pattern,
                "apply-to": policy.apply_to.as_str(),
                "priority": policy.priority,
                "definition": table(&policy.definition),
            })
        })
        .collect();
    json!({
        "vhosts": [{ "name": vhost }],
        "exchanges": exchanges,
        "queues": queues,
        "bindings": bindings,
        "policies": policies,
    })
}

fn table(arguments: &Arguments) -> Value {
    ArgValue::Map(arguments.clone()).to_json()
}
