//! Attribute by attribute: what the files want against what the broker has.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::change::{Difference, Target};
use super::observed::{ObservedExchange, ObservedPolicy, ObservedQueue};
use crate::model::{ArgValue, Arguments, Exchange, Policy, Queue};

/// Every attribute in which an exchange differs. The broker itself would compare fewer: of the
/// arguments only `alternate-exchange`, so a changed `hash-header` is declared without complaint
/// and without effect.
pub(super) fn exchange(want: &Exchange, have: &ObservedExchange) -> Vec<Difference> {
    let mut found = Differences::default();
    found.text("type", &have.kind, &want.kind.0);
    found.flag("durable", have.durable, want.durable);
    found.flag("auto_delete", have.auto_delete, want.auto_delete);
    found.flag("internal", have.internal, want.internal);
    found.arguments(&have.arguments, &want.arguments);
    found.0
}

/// Every attribute in which a queue differs. All arguments count, those too that the broker stores
/// and never compares because the queue's type does not know them.
pub(super) fn queue(want: &Queue, have: &ObservedQueue) -> Vec<Difference> {
    let mut found = Differences::default();
    found.text("type", &have.kind, want.kind.as_str());
    found.flag("durable", have.durable, want.durable);
    found.flag("auto_delete", have.auto_delete, want.auto_delete);
    found.arguments(&have.arguments, &want.arguments);
    found.0
}

/// Every attribute in which a policy differs.
pub(super) fn policy(want: &Policy, have: &ObservedPolicy) -> Vec<Difference> {
    let mut found = Differences::default();
    found.text("pattern", &have.pattern, &want.pattern);
    found.text("apply_to", &have.apply_to, want.apply_to.as_str());
    found.any("priority", Some(ArgValue::Int(have.priority)), Some(ArgValue::Int(want.priority)));
    found.arguments(&have.definition, &want.definition);
    found.0
}

#[derive(Default)]
struct Differences(Vec<Difference>);

impl Differences {
    fn any(&mut self, attribute: &str, broker: Option<ArgValue>, file: Option<ArgValue>) {
        let same = match (&broker, &file) {
            (Some(broker), Some(file)) => same_value(broker, file),
            (None, None) => true,
            _ => false,
        };
        if !same {
            self.0.push(Difference { attribute: attribute.into(), broker, file });
        }
    }

    fn text(&mut self, attribute: &str, broker: &str, file: &str) {
        if broker != file {
            let [broker, file] = [broker, file].map(|text| Some(ArgValue::Str(text.into())));
            self.any(attribute, broker, file);
        }
    }

    fn flag(&mut self, attribute: &str, broker: bool, file: bool) {
        self.any(attribute, Some(ArgValue::Bool(broker)), Some(ArgValue::Bool(file)));
    }

    fn arguments(&mut self, broker: &Arguments, file: &Arguments) {
        let keys: BTreeSet<&String> = broker.keys().chain(file.keys()).collect();
        for key in keys {
            self.any(key, broker.get(key).cloned(), file.get(key).cloned());
        }
    }
}

/// Equal as the broker means it. An empty table and an empty list are one and the same Erlang term
/// to it, so it gives back either for the other.
fn same_value(broker: &ArgValue, file: &ArgValue) -> bool {
    match (broker, file) {
        (ArgValue::List(list), ArgValue::Map(map)) | (ArgValue::Map(map), ArgValue::List(list)) => {
            list.is_empty() && map.is_empty()
        }
        (ArgValue::List(a), ArgValue::List(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same_value(a, b))
        }
        (ArgValue::Map(a), ArgValue::Map(b)) => {
            a.len() == b.len()
                && a.iter().zip(b).all(|((ka, a), (kb, b))| ka == kb && same_value(a, b))
        }
        (a, b) => a == b,
    }
}

/// The resource as the files want it, for `after`; `None` where they only want it to exist.
pub(super) fn wanted(target: &Target) -> Option<Value> {
    Some(match target {
        Target::Exchange(exchange) if exchange.managed => exchange_json(&ObservedExchange {
            kind: exchange.kind.0.clone(),
            durable: exchange.durable,
            auto_delete: exchange.auto_delete,
            internal: exchange.internal,
            arguments: exchange.arguments.clone(),
        }),
        Target::Queue(queue) if queue.managed => queue_json(&ObservedQueue {
            kind: queue.kind.as_str().into(),
            durable: queue.durable,
            auto_delete: queue.auto_delete,
            arguments: queue.arguments.clone(),
        }),
        Target::Exchange(_) | Target::Queue(_) => return None,
        Target::Policy(policy) => policy_json(&ObservedPolicy {
            pattern: policy.pattern.clone(),
            apply_to: policy.apply_to.as_str().into(),
            priority: policy.priority,
            definition: policy.definition.clone(),
        }),
        Target::Binding(binding) => json!({
            "source": binding.source,
            "destination": binding.destination.name(),
            "destination_type": binding.destination.kind(),
            "routing_key": binding.routing_key,
            "arguments": table(&binding.arguments),
        }),
    })
}

pub(super) fn exchange_json(exchange: &ObservedExchange) -> Value {
    json!({
        "type": exchange.kind,
        "durable": exchange.durable,
        "auto_delete": exchange.auto_delete,
        "internal": exchange.internal,
        "arguments": table(&exchange.arguments),
    })
}

pub(super) fn queue_json(queue: &ObservedQueue) -> Value {
    json!({
        "type": queue.kind,
        "durable": queue.durable,
        "auto_delete": queue.auto_delete,
        "arguments": table(&queue.arguments),
    })
}

pub(super) fn policy_json(policy: &ObservedPolicy) -> Value {
    json!({
        "pattern": policy.pattern,
        "apply_to": policy.apply_to,
        "priority": policy.priority,
        "definition": table(&policy.definition),
    })
}

fn table(arguments: &Arguments) -> Value {
    Value::Object(arguments.iter().map(|(key, value)| (key.clone(), value.to_json())).collect())
}
