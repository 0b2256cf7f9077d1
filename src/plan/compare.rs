//! Attribute by attribute: what the files want against what the broker has.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::change::{Difference, Target};
use super::observed::{ObservedExchange, ObservedPolicy, ObservedQueue, ObservedSetting};
use crate::model::{ArgValue, Arguments, Exchange, Policy, Queue, Setting, SettingId, SettingKind};

/// What a broker writes into the vhost that it is born with.
const BORN_WITH: &str = "Default virtual host";

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

/// Whether a queue is as a file declares it.
pub fn queue_is_as_declared(want: &Queue, have: &ObservedQueue) -> bool {
    queue(want, have).is_empty()
}

/// Whether an exchange is as a file declares it.
pub fn exchange_is_as_declared(want: &Exchange, have: &ObservedExchange) -> bool {
    exchange(want, have).is_empty()
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

/// Every attribute in which a setting differs, the password of a user among them. What a file
/// leaves out has the broker's default, but for the default queue type and the password, which
/// stay what they are.
pub(super) fn setting(want: &Setting, have: &ObservedSetting) -> Vec<Difference> {
    let mut found = Differences::default();
    let wanted = want.attributes();
    let mut seen = have.attributes.clone();
    if let Setting::Vhost(vhost) = want {
        if vhost.default_queue_type.is_none() {
            seen.remove("default_queue_type");
        }
        let description = seen.get("description").and_then(ArgValue::as_str);
        if vhost.description.is_empty() && description == Some(BORN_WITH) {
            seen.insert("description".into(), ArgValue::Str(String::new()));
        }
    }
    found.arguments(&seen, &wanted);
    if let (Setting::User(user), Some(hash)) = (want, &have.hash)
        && !user.credential.agrees_with(hash)
    {
        let words = |words: &str| Some(ArgValue::Str(words.into()));
        let broker = if hash.is_empty() { None } else { words("another") };
        found.0.push(Difference { attribute: "password".into(), broker, file: words("declared") });
    }
    if has_secrets(want.kind()) {
        found.blot();
    }
    found.0
}

/// Whether values of that kind may hold secrets.
fn has_secrets(kind: SettingKind) -> bool {
    matches!(kind, SettingKind::Parameter | SettingKind::GlobalParameter)
}

/// The attributes of a setting as they may be shown.
pub(super) fn shown(kind: SettingKind, attributes: Arguments) -> Arguments {
    if !has_secrets(kind) {
        return attributes;
    }
    match ArgValue::Map(attributes).without_secrets() {
        ArgValue::Map(shown) => shown,
        _ => Arguments::new(),
    }
}

pub(super) fn setting_json(id: &SettingId, attributes: &Arguments) -> Value {
    table(&shown(id.kind(), attributes.clone()))
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

    /// Hides secrets. Two values that then look alike differ in what is hidden.
    fn blot(&mut self) {
        for Difference { attribute, broker, file } in &mut self.0 {
            for value in [&mut *broker, &mut *file].into_iter().flatten() {
                *value = value.without_secrets_under(attribute);
            }
            if broker == file {
                *file = Some(ArgValue::Str("the same with another secret".into()));
            }
        }
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
        Target::Setting(setting) if setting.managed() => {
            setting_json(&setting.id(), &setting.attributes())
        }
        Target::Exchange(_) | Target::Queue(_) | Target::Setting(_) => return None,
        Target::Policy(policy) if !policy.managed => return None,
        Target::Binding(binding) if !binding.managed => return None,
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
