//! Exchanges, bindings and policies.

use super::node::{Entry, Node, Value};
use super::read::{Fields, Reading, misshapen};
use crate::model::{
    ApplyTo, Arguments, Binding, Destination, Exchange, ExchangeName, ExchangeType, OnConflict,
    OnRemove, Origin, Policy, PolicyName, Problem, QueueName, RoutingKey, TopologyParts, VhostName,
    codes,
};

/// What the bindings of one item have in common, whatever their keys.
struct BindingRest {
    arguments: Arguments,
    managed: bool,
    on_remove: OnRemove,
}

impl Reading {
    /// `exchanges:`
    pub(super) fn exchange(&mut self, entry: Entry, vhost: &VhostName, parts: &mut TopologyParts) {
        let origin = entry.key_origin;
        let Some(name) = self.key_name(&entry, ExchangeName::new) else { return };
        if name.as_str().is_empty() {
            let message = "the default exchange cannot be declared";
            self.push(Problem::error(codes::RESERVED, origin, message));
            return;
        }
        let Some(mut fields) = self.fields(&entry.key, origin, entry.value) else {
            self.incomplete = true;
            return;
        };
        let kind = fields.read("type", self, Self::text);
        let durable = fields.read("durable", self, Self::boolean);
        let auto_delete = fields.read("auto_delete", self, Self::boolean);
        let internal = fields.read("internal", self, Self::boolean);
        let alternate = fields.read("alternate_exchange", self, Self::text);
        let managed = fields.read("manage", self, Self::boolean);
        let on_remove = self.on_remove(&mut fields);
        let ways = [("refuse", OnConflict::Refuse), ("replace", OnConflict::Replace)];
        let on_conflict = fields
            .read("on_conflict", self, |r, key, node| r.choice(key, node, &ways))
            .unwrap_or_default();
        let mut arguments = fields
            .read("arguments", self, |r, key, node| Some(r.arguments(key, origin, node)))
            .unwrap_or_default();
        if let Some(alternate) = alternate {
            self.dedicated(
                origin,
                &mut arguments,
                "alternate_exchange",
                "alternate-exchange",
                crate::model::ArgValue::Str(alternate),
            );
        }
        self.bind(&mut fields, vhost, &Destination::Exchange(name.clone()), parts);
        fields.finish(self, &[]);
        parts.exchanges.push(Exchange {
            vhost: vhost.clone(),
            name,
            // The type that AMQP clients default to as well.
            kind: ExchangeType(kind.unwrap_or_else(|| "direct".into())),
            durable: durable.unwrap_or(true),
            auto_delete: auto_delete.unwrap_or(false),
            internal: internal.unwrap_or(false),
            arguments,
            managed: managed.unwrap_or(true),
            on_remove,
            on_conflict,
            origin,
        });
    }

    /// `on_remove:`
    pub(super) fn on_remove(&mut self, fields: &mut Fields) -> OnRemove {
        let words = [("delete", OnRemove::Delete), ("retain", OnRemove::Retain)];
        fields
            .read("on_remove", self, |r, key, node| r.choice(key, node, &words))
            .unwrap_or_default()
    }

    /// Sets the argument that a key of the file stands for, unless `arguments:` has it as well.
    pub(super) fn dedicated(
        &mut self,
        owner: Origin,
        arguments: &mut Arguments,
        key: &'static str,
        argument: &'static str,
        value: crate::model::ArgValue,
    ) {
        let place = self.spots.find(owner, key);
        if arguments.contains_key(argument) {
            let message = format!("`{key}` and the argument `{argument}` are the same thing");
            let other = self.spots.find(owner, argument);
            self.push(
                Problem::error(codes::EXCLUSIVE, place, message)
                    .related(other, "also given here")
                    .hint("keep one of the two"),
            );
            return;
        }
        self.spots.note(owner, argument, place);
        arguments.insert(argument.into(), value);
    }

    /// `bind:` of a queue or an exchange: the sources that lead to it.
    pub(super) fn bind(
        &mut self,
        fields: &mut Fields,
        vhost: &VhostName,
        destination: &Destination,
        parts: &mut TopologyParts,
    ) {
        let Some(entry) = fields.take("bind") else { return };
        let items = match entry.value.value {
            Value::Seq(items) => items,
            // One source may stand without brackets.
            Value::Map(_) => vec![entry.value],
            Value::Null | Value::Refused => Vec::new(),
            Value::Scalar(_) => {
                let problem = misshapen("bind", "a list", &entry.value)
                    .hint("write `bind: [{ exchange: NAME, key: KEY }]`");
                self.push(problem);
                Vec::new()
            }
        };
        for item in items {
            let origin = item.origin;
            let Some(mut fields) = self.fields("bind", origin, item) else { continue };
            let source = self.source(&mut fields, &["exchange"]);
            let keys = self.keys(&mut fields);
            let rest = self.binding_rest(&mut fields, origin);
            fields.finish(self, &[]);
            let Some(source) = source else { continue };
            self.add(parts, vhost, (&source, destination), keys, &rest, origin);
        }
    }

    /// `bindings:`, the flat list.
    pub(super) fn bindings(&mut self, entry: Entry, vhost: &VhostName, parts: &mut TopologyParts) {
        let items = match entry.value.value {
            Value::Seq(items) => items,
            Value::Null | Value::Refused => return,
            _ => {
                let problem = misshapen("bindings", "a list", &entry.value)
                    .hint("one item for each: `- { exchange: NAME, queue: NAME, key: KEY }`");
                self.push(problem);
                return;
            }
        };
        for item in items {
            let origin = item.origin;
            let Some(mut fields) = self.fields("bindings", origin, item) else { continue };
            let source = self.source(&mut fields, &["exchange", "source"]);
            let destination = self.destination(&mut fields);
            let keys = self.keys(&mut fields);
            let rest = self.binding_rest(&mut fields, origin);
            fields.finish(self, &[]);
            if let (Some(source), Some(destination)) = (source, destination) {
                self.add(parts, vhost, (&source, &destination), keys, &rest, origin);
            }
        }
    }

    fn source(&mut self, fields: &mut Fields, keys: &[&'static str]) -> Option<ExchangeName> {
        let owner = fields.owner;
        let found: Vec<_> = keys.iter().filter_map(|key| fields.take(key)).collect();
        let entry = self.only(owner, &found, keys)?;
        self.spots.note(owner, "source", entry.value.origin);
        self.name(&entry.key, &entry.value, ExchangeName::new)
    }

    fn destination(&mut self, fields: &mut Fields) -> Option<Destination> {
        const KEYS: &[&str] = &["queue", "destination"];
        let owner = fields.owner;
        let found: Vec<_> = KEYS.iter().filter_map(|key| fields.take(key)).collect();
        let entry = self.only(owner, &found, KEYS)?;
        self.spots.note(owner, "destination", entry.value.origin);
        if entry.key == "queue" {
            return self.name("queue", &entry.value, QueueName::new).map(Destination::Queue);
        }
        self.name(&entry.key, &entry.value, ExchangeName::new).map(Destination::Exchange)
    }

    /// The one of several keys that is there.
    fn only<'e>(&mut self, owner: Origin, found: &'e [Entry], keys: &[&str]) -> Option<&'e Entry> {
        if let [first, second, ..] = found {
            let message = format!("`{}` and `{}` exclude each other", first.key, second.key);
            self.push(
                Problem::error(codes::EXCLUSIVE, second.key_origin, message)
                    .related(first.key_origin, "also given here"),
            );
        }
        if found.is_empty() {
            let message = match keys {
                ["queue", _] => {
                    "this binding has neither a `queue` nor a `destination` exchange".to_owned()
                }
                _ => "this binding has no `exchange` to come from".to_owned(),
            };
            self.push(Problem::error(codes::MISSING, owner, message));
        }
        found.first()
    }

    /// `key:` or `keys:`; without either the empty key.
    fn keys(&mut self, fields: &mut Fields) -> Vec<(RoutingKey, Origin)> {
        let single = fields.take("key");
        let several = fields.take("keys");
        if let (Some(single), Some(several)) = (&single, &several) {
            self.push(
                Problem::error(
                    codes::EXCLUSIVE,
                    several.key_origin,
                    "`key` and `keys` exclude each other",
                )
                .related(single.key_origin, "also given here"),
            );
        }
        let nodes: Vec<Node> = match (single, several) {
            (None, None) => {
                let empty = RoutingKey::new("").expect("a routing key may be empty");
                return vec![(empty, fields.owner)];
            }
            (Some(single), _) => vec![single.value],
            (None, Some(several)) => {
                self.items("keys", &several.value).unwrap_or_default().to_vec()
            }
        };
        nodes
            .iter()
            .filter_map(|node| Some((self.name("key", node, RoutingKey::new)?, node.origin)))
            .collect()
    }

    /// What a binding says besides its ends and its key.
    fn binding_rest(&mut self, fields: &mut Fields, origin: Origin) -> BindingRest {
        let arguments = fields
            .read("arguments", self, |r, key, node| Some(r.arguments(key, origin, node)))
            .unwrap_or_default();
        let managed = fields.read("manage", self, Self::boolean).unwrap_or(true);
        BindingRest { arguments, managed, on_remove: self.on_remove(fields) }
    }

    fn add(
        &mut self,
        parts: &mut TopologyParts,
        vhost: &VhostName,
        (source, destination): (&ExchangeName, &Destination),
        keys: Vec<(RoutingKey, Origin)>,
        rest: &BindingRest,
        owner: Origin,
    ) {
        let several = keys.len() > 1;
        for (routing_key, place) in keys {
            // Of several keys each is a binding of its own, and duplicates point at the key.
            let origin = if several { place } else { owner };
            for part in ["source", "destination"] {
                let found = self.spots.find(owner, part);
                self.spots.note(origin, part, found);
            }
            parts.bindings.push(Binding {
                vhost: vhost.clone(),
                source: source.clone(),
                destination: destination.clone(),
                routing_key,
                arguments: rest.arguments.clone(),
                managed: rest.managed,
                on_remove: rest.on_remove,
                origin,
            });
        }
    }

    /// `policies:` and `operator_policies:`
    pub(super) fn policy(&mut self, entry: Entry, vhost: &VhostName) -> Option<Policy> {
        let origin = entry.key_origin;
        let name = self.key_name(&entry, PolicyName::new)?;
        let mut fields = self.fields(&entry.key, origin, entry.value)?;
        let words = ApplyTo::ALL.map(|apply_to| (apply_to.as_str(), apply_to));
        let pattern = fields.read("pattern", self, Self::text);
        let apply_to = fields.read("apply_to", self, |r, key, node| r.choice(key, node, &words));
        let priority =
            fields.read("priority", self, |r, key, node| r.whole(key, node, -(1 << 53)..=1 << 53));
        let definition = fields.take("definition");
        let managed = fields.read("manage", self, Self::boolean).unwrap_or(true);
        let on_remove = self.on_remove(&mut fields);
        fields.finish(self, &[]);
        let missing = match (&pattern, &definition) {
            (None, _) if !self.noted(origin, "pattern") => Some("pattern: \"^name$\""),
            (_, None) => Some("definition: { … }"),
            _ => None,
        };
        if let Some(missing) = missing {
            let key = missing.split(':').next().unwrap_or(missing);
            let message = format!("policy `{name}` has no `{key}`");
            self.push(
                Problem::error(codes::MISSING, origin, message).hint(format!("add `{missing}`")),
            );
        }
        let (pattern, definition) = (pattern?, definition?);
        let definition = self.arguments("definition", origin, &definition.value);
        Some(Policy {
            vhost: vhost.clone(),
            name,
            pattern,
            apply_to: apply_to.unwrap_or(ApplyTo::All),
            priority: priority.unwrap_or(0),
            definition,
            managed,
            on_remove,
            origin,
        })
    }

    /// Whether a part of a declaration was there, readable or not.
    pub(super) fn noted(&self, owner: Origin, part: &str) -> bool {
        self.spots.has(owner, part)
    }
}
