//! Resources in the short forms of the file, without what is the default anyway.

use std::collections::BTreeMap;

use super::layout::{Entry, Tree};
use super::scalar;
use crate::model::{
    ApplyTo, ArgRule, ArgValue, Arguments, Binding, Exchange, ExchangeName, OnRemove, Policy,
    Queue, QueueName, QueueType, RoutingKey, stream_age,
};

/// The keys of a queue that stand for arguments, in the order of the file.
const KEYS: &[&str] = &[
    "dead_letter_strategy",
    "message_ttl",
    "expires",
    "max_length",
    "max_length_bytes",
    "overflow",
    "max_priority",
    "single_active_consumer",
    "delivery_limit",
    "leader_locator",
    "initial_group_size",
    "max_age",
];

/// Collects the keys of one resource.
#[derive(Default)]
pub(super) struct Keys(pub(super) Vec<Entry>);

impl Keys {
    pub(super) fn one(&mut self, key: &str, value: impl Into<String>) {
        self.0.push(Entry::new(key, Tree::One(value.into())));
    }

    /// A truth value that is not the default.
    pub(super) fn flag(&mut self, key: &str, value: bool, default: bool) {
        if value != default {
            self.one(key, value.to_string());
        }
    }

    pub(super) fn tree(&mut self, key: &str, value: Tree) {
        self.0.push(Entry::new(key, value));
    }

    /// What any resource may have.
    pub(super) fn keeping(&mut self, managed: bool, on_remove: OnRemove) {
        self.flag("manage", managed, true);
        if on_remove == OnRemove::Retain {
            self.one("on_remove", "retain");
        }
    }

    fn arguments(&mut self, key: &str, arguments: &Arguments) {
        if !arguments.is_empty() {
            self.tree(key, table(arguments));
        }
    }
}

/// `exchanges:`, one of them.
pub(super) fn exchange(exchange: &Exchange, bind: Option<Tree>) -> Tree {
    let mut keys = Keys::default();
    if exchange.kind.0 != "direct" {
        keys.one("type", scalar::text(&exchange.kind.0));
    }
    keys.flag("durable", exchange.durable, true);
    keys.flag("auto_delete", exchange.auto_delete, false);
    keys.flag("internal", exchange.internal, false);
    keys.keeping(exchange.managed, exchange.on_remove);
    let mut arguments = exchange.arguments.clone();
    if let Some(alternate) = arguments.get("alternate-exchange").and_then(ArgValue::as_str) {
        keys.one("alternate_exchange", scalar::text(alternate));
        arguments.remove("alternate-exchange");
    }
    keys.arguments("arguments", &arguments);
    keys.0.extend(bind.map(|bind| Entry::new("bind", bind)));
    Tree::Map(keys.0)
}

/// `queues:`, one of them, in a vhost where queues without a type are of that one.
pub(super) fn queue(queue: &Queue, default_type: QueueType, bind: Option<Tree>) -> Tree {
    let mut keys = Keys::default();
    if queue.kind != default_type {
        keys.one("type", queue.kind.as_str());
    }
    keys.flag("durable", queue.durable, true);
    keys.flag("auto_delete", queue.auto_delete, false);
    keys.keeping(queue.managed, queue.on_remove);
    keys.0.extend(bind.map(|bind| Entry::new("bind", bind)));
    let mut arguments = queue.arguments.clone();
    if let Some(target) = dead_letter(&mut arguments) {
        keys.tree("dead_letter", target);
    }
    for key in KEYS {
        let found = queue.arguments.iter().find_map(|(argument, value)| {
            let rule = ArgRule::of(argument).filter(|rule| rule.key == *key)?;
            let fits = rule.types.contains(&queue.kind) && rule.kind.takes(value);
            Some((argument, short(key, value).filter(|_| fits)?))
        });
        if let Some((argument, text)) = found {
            keys.one(key, text);
            arguments.remove(argument);
        }
    }
    keys.arguments("arguments", &arguments);
    Tree::Map(keys.0)
}

/// The value of a queue's key; `None` where only the argument itself can say it.
fn short(key: &str, value: &ArgValue) -> Option<String> {
    Some(match (key, value) {
        ("message_ttl" | "expires", ArgValue::Int(number)) => {
            scalar::millis(u64::try_from(*number).ok()?)
        }
        ("max_length_bytes", ArgValue::Int(number)) => scalar::size(u64::try_from(*number).ok()?),
        ("initial_group_size", ArgValue::Int(number)) => u16::try_from(*number).ok()?.to_string(),
        ("max_age", ArgValue::Str(text)) => age(text)?,
        (_, ArgValue::Int(number)) => number.to_string(),
        (_, ArgValue::Bool(flag)) => flag.to_string(),
        (_, ArgValue::Str(text)) => scalar::text(text),
        _ => return None,
    })
}

/// An age of a stream as a duration, where reading that gives back the very same text.
fn age(text: &str) -> Option<String> {
    let unit = text.chars().last()?;
    let count: u64 = text.strip_suffix(unit)?.parse().ok()?;
    let length = match unit {
        'D' => 86_400,
        'h' => 3_600,
        'm' => 60,
        's' => 1,
        _ => return None,
    };
    let seconds = count.checked_mul(length).filter(|seconds| *seconds > 0)?;
    let duration = std::time::Duration::from_secs(seconds);
    (stream_age(duration) == text).then(|| crate::model::duration_label(duration))
}

/// Takes the two arguments of a dead-letter target out, where the key can say them.
fn dead_letter(arguments: &mut Arguments) -> Option<Tree> {
    const EXCHANGE: &str = "x-dead-letter-exchange";
    const KEY: &str = "x-dead-letter-routing-key";
    let exchange = ExchangeName::new(arguments.get(EXCHANGE)?.as_str()?).ok()?;
    let key = match arguments.get(KEY) {
        None => None,
        Some(key) => Some(RoutingKey::new(key.as_str()?).ok()?),
    };
    arguments.remove(EXCHANGE);
    arguments.remove(KEY);
    let queue = key.as_ref().filter(|_| exchange.as_str().is_empty());
    if let Some(Ok(queue)) = queue.map(|key| QueueName::new(key.as_str())) {
        return Some(Tree::map(vec![("queue", scalar::text(queue.as_str()))]));
    }
    let mut pairs = vec![("exchange", scalar::text(exchange.as_str()))];
    pairs.extend(key.map(|key| ("key", scalar::text(key.as_str()))));
    Some(Tree::map(pairs))
}

/// `policies:`, one of them.
pub(super) fn policy(policy: &Policy) -> Tree {
    let mut keys = Keys::default();
    keys.one("pattern", scalar::text(&policy.pattern));
    if policy.apply_to != ApplyTo::All {
        keys.one("apply_to", policy.apply_to.as_str());
    }
    if policy.priority != 0 {
        keys.one("priority", policy.priority.to_string());
    }
    keys.keeping(policy.managed, policy.on_remove);
    keys.tree("definition", table(&policy.definition));
    Tree::Map(keys.0)
}

/// The sources of one destination, those that differ in their keys alone together.
pub(super) fn sources(bindings: &[&Binding]) -> Tree {
    let items = grouped(bindings).into_iter().map(|(binding, keys)| {
        let mut item = Keys::default();
        item.one("exchange", scalar::text(binding.source.as_str()));
        item.0.extend(routing_keys(&keys));
        item.arguments("arguments", &binding.arguments);
        item.keeping(binding.managed, binding.on_remove);
        Tree::Map(item.0)
    });
    Tree::List(items.collect())
}

/// An item of `bindings:`, for what leads to an exchange of the broker's own.
pub(super) fn flat(bindings: &[&Binding]) -> Vec<Tree> {
    let items = grouped(bindings).into_iter().map(|(binding, keys)| {
        let mut item = Keys::default();
        item.one("source", scalar::text(binding.source.as_str()));
        item.one("destination", scalar::text(binding.destination.name()));
        item.0.extend(routing_keys(&keys));
        item.arguments("arguments", &binding.arguments);
        item.keeping(binding.managed, binding.on_remove);
        Tree::Map(item.0)
    });
    items.collect()
}

/// Bindings that differ in their keys alone, with those keys.
fn grouped<'a>(bindings: &[&'a Binding]) -> Vec<(&'a Binding, Vec<&'a RoutingKey>)> {
    let mut groups: BTreeMap<_, (&Binding, Vec<&RoutingKey>)> = BTreeMap::new();
    for binding in bindings {
        let arguments = ArgValue::Map(binding.arguments.clone()).to_string();
        let retained = binding.on_remove == OnRemove::Retain;
        let group = groups.entry((&binding.source, arguments, binding.managed, retained));
        group.or_insert_with(|| (binding, Vec::new())).1.push(&binding.routing_key);
    }
    groups.into_values().collect()
}

/// `key:` or `keys:`; nothing for the empty key alone.
fn routing_keys(keys: &[&RoutingKey]) -> Option<Entry> {
    match keys {
        [key] if key.as_str().is_empty() => None,
        [key] => Some(Entry::new("key", Tree::One(scalar::text(key.as_str())))),
        keys => {
            let keys = keys.iter().map(|key| Tree::One(scalar::text(key.as_str())));
            Some(Entry::new("keys", Tree::List(keys.collect())))
        }
    }
}

fn table(values: &BTreeMap<String, ArgValue>) -> Tree {
    map(values, &|text| scalar::text(text))
}

fn map(values: &BTreeMap<String, ArgValue>, text: &dyn Fn(&str) -> String) -> Tree {
    let entries = values.iter().map(|(key, value)| Entry::new(scalar::key(key), tree(value, text)));
    Tree::Map(entries.collect())
}

/// A value, with its texts written by `text`.
pub(super) fn tree(value: &ArgValue, text: &dyn Fn(&str) -> String) -> Tree {
    match value {
        ArgValue::Bool(flag) => Tree::One(flag.to_string()),
        ArgValue::Int(number) => Tree::One(number.to_string()),
        // Always with a fraction or an exponent, so that it stays no whole number.
        ArgValue::Float(number) => Tree::One(format!("{number:?}")),
        ArgValue::Str(words) => Tree::One(text(words)),
        ArgValue::List(items) => Tree::List(items.iter().map(|item| tree(item, text)).collect()),
        ArgValue::Map(values) => map(values, text),
    }
}
