//! Makes the parts fit together: selects, and looks after what refers to nothing.

use std::collections::BTreeSet;
use std::time::Duration;

use regex::Regex;

use super::entries;
use super::load::Load;
use super::note::Reason;
use crate::model::{
    ArgValue, Arguments, Destination, Exchange, ExchangeName, ExchangeType, OnRemove, Origin,
    PolicyIndex, Queue, QueueName, QueueType, RetrySpec, TopologyParts, VhostName,
};

impl Load {
    /// Selects, and mends what refers to nothing.
    pub(super) fn fit(&mut self, select: Option<&Regex>) {
        self.retries();
        let all = ends(&self.parts);
        if let Some(select) = select {
            self.select(select);
        }
        let mut declared = ends(&self.parts);
        self.dangling(&all, &mut declared);
        self.targets(&all, &mut declared);
    }

    /// Takes out the queues in which messages wait for a retry: the consumer in the file brings
    /// them, and would clash with them. Only Warrener itself publishes to them; a queue to which
    /// something leads is somebody else's.
    fn retries(&mut self) {
        let names = ends(&self.parts);
        let by_binding = self.parts.bindings.iter().map(|binding| binding.destination.clone());
        let by_dead_letter = self.parts.queues.iter().filter_map(|queue| {
            let key = queue.arguments.get("x-dead-letter-routing-key")?.as_str()?;
            Some(Destination::Queue(QueueName::new(key).ok()?))
        });
        // Each retry queue leads to the queue that it is for, which is none itself.
        let led_to: BTreeSet<_> = by_binding.chain(by_dead_letter).collect();
        let (retries, queues) =
            std::mem::take(&mut self.parts.queues).into_iter().partition::<Vec<_>, _>(|queue| {
                is_retry(queue, &names) && !led_to.contains(&Destination::Queue(queue.name.clone()))
            });
        self.parts.queues = queues;
        for queue in retries {
            self.note(Reason::Retry, format!("queue `{}`", queue.name), "");
            self.passing.insert(Destination::Queue(queue.name));
        }
    }

    /// Keeps the queues and exchanges with such names, what leads to them, and the policies that
    /// reach one of them.
    fn select(&mut self, select: &Regex) {
        let parts = &mut self.parts;
        parts.queues.retain(|queue| select.is_match(queue.name.as_str()));
        parts.exchanges.retain(|exchange| select.is_match(exchange.name.as_str()));
        parts.bindings.retain(|binding| select.is_match(binding.destination.name()));
        let names: Vec<_> = parts
            .queues
            .iter()
            .map(|queue| queue.name.as_str())
            .chain(parts.exchanges.iter().map(|exchange| exchange.name.as_str()))
            .collect();
        parts.policies.retain(|policy| match Regex::new(&policy.pattern) {
            Ok(pattern) => names.iter().any(|name| pattern.is_match(name)),
            // What cannot be judged may reach one of them.
            Err(_) => true,
        });
    }

    /// Takes out bindings without both ends. What exists beyond the selection is named.
    fn dangling(&mut self, all: &Ends, declared: &mut Ends) {
        for binding in std::mem::take(&mut self.parts.bindings) {
            let ends = [Destination::Exchange(binding.source.clone()), binding.destination.clone()];
            match ends.iter().find(|end| !has(declared, end)) {
                None => self.parts.bindings.push(binding),
                // What comes and goes takes its bindings with it.
                Some(_) if ends.iter().any(|end| self.passing.contains(end)) => {}
                Some(_) if ends.iter().all(|end| has(declared, end) || has(all, end)) => {
                    for end in ends {
                        self.beyond(&end, declared);
                    }
                    self.parts.bindings.push(binding);
                }
                Some(end) => {
                    let what = format!(
                        "the binding of {} `{}` to exchange `{}` with key `{}`",
                        binding.destination.kind(),
                        binding.destination.name(),
                        binding.source,
                        binding.routing_key
                    );
                    let about = format!("there is no {} `{}`", end.kind(), end.name());
                    self.note(Reason::Dangling, what, about);
                }
            }
        }
    }

    /// Declares the dead-letter targets that are not there.
    fn targets(&mut self, all: &Ends, declared: &mut Ends) {
        let policies = self.parts.policies.clone();
        let index = PolicyIndex::new(&policies);
        let targets = self.parts.queues.iter().filter_map(|queue| {
            let target = index.dead_letter(queue)?;
            let end = if target.exchange.as_str().is_empty() {
                // Through the default exchange a routing key is the name of a queue.
                Destination::Queue(QueueName::new(target.routing_key?.as_str()).ok()?)
            } else {
                Destination::Exchange(target.exchange)
            };
            Some((queue.name.clone(), end))
        });
        for (queue, end) in targets.collect::<Vec<_>>() {
            if has(declared, &end) || !entries::is_key(end.name()) {
                continue;
            }
            if has(all, &end) {
                self.beyond(&end, declared);
                continue;
            }
            let about = format!("queue `{queue}` dead-letters to it, and it was not there");
            self.note(Reason::Target, format!("{} `{}`", end.kind(), end.name()), about);
            let words = format!("was not there, though queue {queue} dead-letters to it");
            self.declare(&end, true, &words);
            declared.insert(end);
        }
    }

    /// Names something that exists beyond the selection.
    fn beyond(&mut self, end: &Destination, declared: &mut Ends) {
        if !has(declared, end) {
            self.note(Reason::Beyond, format!("{} `{}`", end.kind(), end.name()), "");
            self.declare(end, false, "not selected, but something here refers to it");
            declared.insert(end.clone());
        }
    }

    fn declare(&mut self, end: &Destination, managed: bool, words: &str) {
        let section = match end {
            Destination::Queue(name) => {
                self.parts.queues.push(plain_queue(&self.vhost, name, managed));
                "queues"
            }
            Destination::Exchange(name) => {
                self.parts.exchanges.push(fanout(&self.vhost, name, managed));
                "exchanges"
            }
        };
        self.comment(section, end.name(), words);
    }
}

/// Queues and exchanges by name.
type Ends = BTreeSet<Destination>;

fn ends(parts: &TopologyParts) -> Ends {
    let queues = parts.queues.iter().map(|queue| Destination::Queue(queue.name.clone()));
    let exchanges =
        parts.exchanges.iter().map(|exchange| Destination::Exchange(exchange.name.clone()));
    queues.chain(exchanges).collect()
}

fn has(ends: &Ends, end: &Destination) -> bool {
    ends.contains(end) || matches!(end, Destination::Exchange(name) if name.is_reserved())
}

/// Whether Warrener made this queue for the retries of a consumer.
fn is_retry(queue: &Queue, names: &Ends) -> bool {
    let text = |key: &str| queue.arguments.get(key).and_then(ArgValue::as_str);
    let ttl = queue.arguments.get("x-message-ttl").and_then(ArgValue::as_int);
    let Some(millis) = ttl.and_then(|millis| u64::try_from(millis).ok()) else { return false };
    let Some(back) = text("x-dead-letter-routing-key") else { return false };
    let Ok(back) = QueueName::new(back) else { return false };
    text("x-dead-letter-exchange") == Some("")
        && names.contains(&Destination::Queue(back.clone()))
        && RetrySpec::queue_name(&back, Duration::from_millis(millis)) == queue.name.as_str()
}

fn plain_queue(vhost: &VhostName, name: &QueueName, managed: bool) -> Queue {
    Queue {
        vhost: vhost.clone(),
        name: name.clone(),
        kind: QueueType::Classic,
        durable: true,
        auto_delete: false,
        arguments: Arguments::new(),
        managed,
        on_remove: OnRemove::Delete,
        on_conflict: crate::model::OnConflict::Refuse,
        origin: Origin::default(),
    }
}

fn fanout(vhost: &VhostName, name: &ExchangeName, managed: bool) -> Exchange {
    Exchange {
        vhost: vhost.clone(),
        name: name.clone(),
        kind: ExchangeType("fanout".into()),
        durable: true,
        auto_delete: false,
        internal: false,
        arguments: Arguments::new(),
        managed,
        on_remove: OnRemove::Delete,
        on_conflict: crate::model::OnConflict::Refuse,
        origin: Origin::default(),
    }
}
