//! Queues and streams, and the queues in which messages wait for a retry.

use std::time::Duration;

use super::node::{Entry, Node};
use super::read::{Fields, Reading, misshapen};
use crate::model::{
    ArgKind, ArgRule, ArgValue, Arguments, Destination, ExchangeName, MAX_TTL_MS, OnConflict,
    Origin, Problem, Queue, QueueName, QueueType, RetrySpec, RoutingKey, TopologyParts, VhostName,
    codes, stream_age,
};

/// Keys of a queue whose value is that of the argument, as it is.
const PLAIN: &[(&str, &str)] = &[
    ("max_length", "x-max-length"),
    ("overflow", "x-overflow"),
    ("max_priority", "x-max-priority"),
    ("single_active_consumer", "x-single-active-consumer"),
    ("delivery_limit", "x-delivery-limit"),
    ("dead_letter_strategy", "x-dead-letter-strategy"),
    ("leader_locator", "x-queue-leader-locator"),
];

impl Reading {
    /// `queues:`; without a type of its own a queue is of the default type of its vhost.
    pub(super) fn queue(
        &mut self,
        entry: Entry,
        vhost: &VhostName,
        default_type: QueueType,
        parts: &mut TopologyParts,
    ) {
        let origin = entry.key_origin;
        let Some(name) = self.key_name(&entry, QueueName::new) else { return };
        let Some(mut fields) = self.fields(&entry.key, origin, entry.value) else {
            self.incomplete = true;
            return;
        };
        let kind = fields.read("type", self, Self::queue_type).unwrap_or(default_type);
        let durable = fields.read("durable", self, Self::boolean).unwrap_or(true);
        let auto_delete = fields.read("auto_delete", self, Self::boolean).unwrap_or(false);
        let managed = fields.read("manage", self, Self::boolean).unwrap_or(true);
        let on_remove = self.on_remove(&mut fields);
        let ways = [
            ("refuse", OnConflict::Refuse),
            ("replace", OnConflict::Replace),
            ("migrate", OnConflict::Migrate),
        ];
        let on_conflict = fields
            .read("on_conflict", self, |r, key, node| r.choice(key, node, &ways))
            .unwrap_or_default();
        let mut arguments = fields
            .read("arguments", self, |r, key, node| Some(r.arguments(key, origin, node)))
            .unwrap_or_default();
        self.queue_arguments(&mut fields, kind, &mut arguments);
        self.dead_letter(&mut fields, &mut arguments);
        self.bind(&mut fields, vhost, &Destination::Queue(name.clone()), parts);
        if let Some(exclusive) = fields.take("exclusive") {
            let message = format!("queue `{name}` cannot be exclusive");
            self.push(
                Problem::error(codes::MISFIT, exclusive.key_origin, message)
                    .label("an exclusive queue dies with the connection that declares it")
                    .hint("remove `exclusive`"),
            );
        }
        fields.finish(self, &[]);
        let vhost = vhost.clone();
        parts.queues.push(Queue {
            vhost,
            name,
            kind,
            durable,
            auto_delete,
            arguments,
            managed,
            on_remove,
            on_conflict,
            origin,
        });
    }

    /// `classic`, `quorum` or `stream`.
    pub(super) fn queue_type(&mut self, key: &str, node: &Node) -> Option<QueueType> {
        let kinds = [QueueType::Classic, QueueType::Quorum, QueueType::Stream]
            .map(|kind| (kind.as_str(), kind));
        self.choice(key, node, &kinds)
    }

    fn queue_arguments(&mut self, fields: &mut Fields, kind: QueueType, arguments: &mut Arguments) {
        let owner = fields.owner;
        let mut set = |r: &mut Self, key, argument, value: Option<ArgValue>| {
            if let Some(value) = value {
                r.dedicated(owner, arguments, key, argument, value);
            }
        };
        for (key, argument) in PLAIN {
            let Some(rule) = ArgRule::of(argument) else { continue };
            let value = fields.read(key, self, |r, key, node| match rule.kind {
                ArgKind::Int(low, high) => r.whole(key, node, low..=high).map(ArgValue::Int),
                ArgKind::Bool => r.boolean(key, node).map(ArgValue::Bool),
                ArgKind::Text => r.text(key, node).map(ArgValue::Str),
                ArgKind::Word(words) => {
                    let words: Vec<_> = words.iter().map(|word| (*word, *word)).collect();
                    r.choice(key, node, &words).map(|word| ArgValue::Str(word.into()))
                }
            });
            set(self, key, argument, value);
        }
        let ttl =
            fields.read("message_ttl", self, |r, key, node| r.millis(key, node, Duration::ZERO));
        set(self, "message_ttl", "x-message-ttl", ttl);
        let least = Duration::from_millis(1);
        let expires = fields.read("expires", self, |r, key, node| r.millis(key, node, least));
        set(self, "expires", "x-expires", expires);
        let bytes = fields.read("max_length_bytes", self, |r, key, node| {
            let bytes = r.size(key, node, 0..=u64::MAX >> 1)?;
            i64::try_from(bytes).ok().map(ArgValue::Int)
        });
        set(self, "max_length_bytes", "x-max-length-bytes", bytes);
        let age = fields.read("max_age", self, |r, key, node| {
            r.duration_from(key, node, Duration::from_secs(1)).and_then(|age| r.age(key, node, age))
        });
        set(self, "max_age", "x-max-age", age);
        let size = fields.read("initial_group_size", self, |r, key, node| {
            r.whole(key, node, 1..=i64::from(u16::MAX)).map(ArgValue::Int)
        });
        // The same idea has two names on the broker.
        let argument = match kind {
            QueueType::Stream => "x-initial-cluster-size",
            _ => "x-quorum-initial-group-size",
        };
        set(self, "initial_group_size", argument, size);
    }

    /// A duration as the broker's timers take it.
    fn millis(&mut self, key: &str, node: &Node, least: Duration) -> Option<ArgValue> {
        let duration = self.duration_from(key, node, least)?;
        match i64::try_from(duration.as_millis()) {
            Ok(millis) if millis <= MAX_TTL_MS => Some(ArgValue::Int(millis)),
            _ => {
                let problem =
                    misshapen(key, "at most 49d (the broker counts 32 bits of milliseconds)", node);
                self.push(Problem { code: codes::VALUE, ..problem });
                None
            }
        }
    }

    /// An age as streams take it.
    fn age(&mut self, key: &str, node: &Node, age: Duration) -> Option<ArgValue> {
        if age.subsec_millis() != 0 {
            let problem = misshapen(key, "whole seconds", node);
            self.push(Problem { code: codes::VALUE, ..problem });
            return None;
        }
        Some(ArgValue::Str(stream_age(age)))
    }

    /// `dead_letter: { queue: NAME }` or `{ exchange: NAME, key: KEY }`.
    fn dead_letter(&mut self, fields: &mut Fields, arguments: &mut Arguments) {
        let owner = fields.owner;
        let Some(entry) = fields.take("dead_letter") else { return };
        let place = entry.value.origin;
        self.spots.note(owner, "dead_letter", place);
        let target = self.dead_letter_target(place, entry.value);
        // One that cannot be read is reported already. The default exchange stands in for it, so
        // that the consumers of this queue are not told that it has no target.
        let (exchange, key, part) = target.unwrap_or_default();
        for (argument, value) in
            [("x-dead-letter-exchange", Some(exchange)), ("x-dead-letter-routing-key", key)]
        {
            if let Some(value) = value {
                self.dedicated(owner, arguments, "dead_letter", argument, ArgValue::Str(value));
            }
        }
        let exact = self.spots.find(place, part);
        self.spots.note(owner, "x-dead-letter-exchange", exact);
    }

    /// The exchange, the routing key, and which part of the declaration names the target.
    fn dead_letter_target(
        &mut self,
        place: Origin,
        node: Node,
    ) -> Option<(String, Option<String>, &'static str)> {
        let mut fields = self.fields("dead_letter", place, node)?;
        let queue = fields.read("queue", self, |r, key, node| r.name(key, node, QueueName::new));
        let exchange =
            fields.read("exchange", self, |r, key, node| r.name(key, node, ExchangeName::new));
        let key = fields.read("key", self, |r, key, node| r.name(key, node, RoutingKey::new));
        let complete = fields.finish(self, &["by"]);
        match (queue, exchange, key) {
            (Some(_), Some(_), _) | (Some(_), _, Some(_)) => {
                let message = "`dead_letter` takes either `queue`, or `exchange` and `key`";
                self.push(Problem::error(codes::EXCLUSIVE, place, message));
                None
            }
            (Some(queue), None, None) => Some((String::new(), Some(queue.to_string()), "queue")),
            (None, Some(exchange), key) => {
                Some((exchange.to_string(), key.map(|key| key.to_string()), "exchange"))
            }
            (None, None, _) => {
                if complete && !self.noted(place, "queue") && !self.noted(place, "exchange") {
                    let message = "`dead_letter` names neither a `queue` nor an `exchange`";
                    self.push(
                        Problem::error(codes::MISSING, place, message)
                            .hint("write `dead_letter: { queue: NAME }`"),
                    );
                }
                None
            }
        }
    }
}

/// Adds the queues in which messages of `queue` wait for their retries. Consumers of the same
/// queue share them.
pub(super) fn retry_queues(
    queue: &Queue,
    retry: &RetrySpec,
    origin: Origin,
    derived: &mut std::collections::BTreeMap<(VhostName, QueueName), Queue>,
) {
    for delay in &retry.distinct_delays() {
        // A name that is too long is reported when the consumer is proven.
        let Ok(name) = QueueName::new(RetrySpec::queue_name(&queue.name, *delay)) else {
            continue;
        };
        let millis = i64::try_from(delay.as_millis()).unwrap_or(MAX_TTL_MS);
        let mut arguments = Arguments::from([
            ("x-message-ttl".into(), ArgValue::Int(millis)),
            ("x-dead-letter-exchange".into(), ArgValue::Str(String::new())),
            ("x-dead-letter-routing-key".into(), ArgValue::Str(queue.name.to_string())),
        ]);
        if queue.kind == QueueType::Quorum {
            // Without these two the broker moves a message back at most once: it could be lost
            // between the two queues.
            arguments
                .insert("x-dead-letter-strategy".into(), ArgValue::Str("at-least-once".into()));
            arguments.insert("x-overflow".into(), ArgValue::Str("reject-publish".into()));
        }
        derived.entry((queue.vhost.clone(), name.clone())).or_insert_with(|| Queue {
            vhost: queue.vhost.clone(),
            name,
            kind: queue.kind,
            durable: queue.durable,
            auto_delete: false,
            arguments,
            managed: true,
            on_remove: queue.on_remove,
            on_conflict: queue.on_conflict,
            origin,
        });
    }
}
