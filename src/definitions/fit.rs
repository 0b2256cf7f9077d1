//! Makes the parts fit together: selects, and looks after what refers to nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use regex::Regex;

use super::entries;
use super::load::Load;
use super::note::Reason;
use crate::model::{
    ArgValue, Arguments, Destination, Exchange, ExchangeName, ExchangeType, OnRemove, Origin,
    Policy, PolicyIndex, Queue, QueueName, QueueType, RetrySpec, Setting, TopologyParts, VhostName,
};

impl Load {
    /// Selects, and mends what refers to nothing.
    pub(super) fn fit(&mut self, select: Option<&Regex>) {
        self.retries();
        let all = kinds(&self.parts);
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
        let by_binding = self.parts.bindings.iter();
        let by_binding = by_binding.map(|it| (it.vhost.clone(), it.destination.clone()));
        let by_dead_letter = self.parts.queues.iter().filter_map(|queue| {
            let key = queue.arguments.get("x-dead-letter-routing-key")?.as_str()?;
            Some((queue.vhost.clone(), Destination::Queue(QueueName::new(key).ok()?)))
        });
        // Each retry queue leads to the queue that it is for, which is none itself.
        let led_to: BTreeSet<_> = by_binding.chain(by_dead_letter).collect();
        let (retries, queues) =
            std::mem::take(&mut self.parts.queues).into_iter().partition::<Vec<_>, _>(|queue| {
                is_retry(queue, &names) && !led_to.contains(&place_of(queue))
            });
        self.parts.queues = queues;
        for queue in retries {
            let what = self.at(&queue.vhost, format!("queue `{}`", queue.name));
            self.note(Reason::Retry, what, "");
            self.passing.insert(place_of(&queue));
        }
    }

    /// Keeps the queues and exchanges with such names, what leads to them, and the policies that
    /// reach one of them.
    fn select(&mut self, select: &Regex) {
        let parts = &mut self.parts;
        parts.queues.retain(|queue| select.is_match(queue.name.as_str()));
        parts.exchanges.retain(|exchange| select.is_match(exchange.name.as_str()));
        parts.bindings.retain(|binding| select.is_match(binding.destination.name()));
        let selected = ends(parts);
        let reaches = |policy: &Policy| match Regex::new(&policy.pattern) {
            Ok(pattern) => selected
                .iter()
                .any(|(vhost, end)| *vhost == policy.vhost && pattern.is_match(end.name())),
            // What cannot be judged may reach one of them.
            Err(_) => true,
        };
        parts.policies.retain(reaches);
        parts.settings.retain(|setting| match setting {
            Setting::OperatorPolicy(policy) => reaches(policy),
            Setting::Vhost(vhost) => vhost.name != self.home,
            _ => false,
        });
    }

    /// Takes out bindings without both ends. What exists beyond the selection is named.
    fn dangling(&mut self, all: &Kinds, declared: &mut Ends) {
        for binding in std::mem::take(&mut self.parts.bindings) {
            let ends = [Destination::Exchange(binding.source.clone()), binding.destination.clone()]
                .map(|end| (binding.vhost.clone(), end));
            match ends.iter().find(|end| !has(declared, end)) {
                None => self.parts.bindings.push(binding),
                // What comes and goes takes its bindings with it.
                Some(_) if ends.iter().any(|end| self.passing.contains(end)) => {}
                Some(_) if ends.iter().all(|end| has(declared, end) || all.contains_key(end)) => {
                    for end in &ends {
                        self.beyond(end, all, declared);
                    }
                    self.parts.bindings.push(binding);
                }
                Some((_, end)) => {
                    let what = format!(
                        "the binding of {} `{}` to exchange `{}` with key `{}`",
                        binding.destination.kind(),
                        binding.destination.name(),
                        binding.source,
                        binding.routing_key
                    );
                    let about = format!("there is no {} `{}`", end.kind(), end.name());
                    self.note(Reason::Dangling, self.at(&binding.vhost, what), about);
                }
            }
        }
    }

    /// Declares the dead-letter targets that are not there.
    fn targets(&mut self, all: &Kinds, declared: &mut Ends) {
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
            Some((queue.name.clone(), (queue.vhost.clone(), end)))
        });
        for (queue, end) in targets.collect::<Vec<_>>() {
            if has(declared, &end) || !entries::is_key(end.1.name()) {
                continue;
            }
            if all.contains_key(&end) {
                self.beyond(&end, all, declared);
                continue;
            }
            let about = format!("queue `{queue}` dead-letters to it, and it was not there");
            self.note(Reason::Target, self.shown(&end), about);
            let words = format!("was not there, though queue {queue} dead-letters to it");
            self.declare(&end, true, None, words);
            declared.insert(end);
        }
    }

    /// Names something that exists beyond the selection.
    fn beyond(&mut self, end: &End, all: &Kinds, declared: &mut Ends) {
        if !has(declared, end) {
            self.note(Reason::Beyond, self.shown(end), "");
            let words = "not selected, but something here refers to it".into();
            self.declare(end, false, all.get(end), words);
            declared.insert(end.clone());
        }
    }

    fn shown(&self, (vhost, end): &End) -> String {
        self.at(vhost, format!("{} `{}`", end.kind(), end.name()))
    }

    /// Declares what is not, or not selected; of a kind that is known, or else of the plainest.
    fn declare(&mut self, (vhost, end): &End, managed: bool, kind: Option<&Kind>, words: String) {
        let section = match end {
            Destination::Queue(name) => {
                let mut queue = plain_queue(vhost, name, managed);
                if let Some(Kind::Queue(kind)) = kind {
                    queue.kind = *kind;
                }
                self.parts.queues.push(queue);
                "queues"
            }
            Destination::Exchange(name) => {
                let mut exchange = fanout(vhost, name, managed);
                if let Some(Kind::Exchange(kind)) = kind {
                    exchange.kind = kind.clone();
                }
                self.parts.exchanges.push(exchange);
                "exchanges"
            }
        };
        self.comments.insert((section, vhost.clone(), end.name().to_owned()), words);
    }
}

/// A queue or exchange of a vhost.
pub(super) type End = (VhostName, Destination);

/// Queues and exchanges.
pub(super) type Ends = BTreeSet<End>;

/// The type of a queue or of an exchange.
enum Kind {
    Queue(QueueType),
    Exchange(ExchangeType),
}

/// Queues and exchanges, and of what type they are.
type Kinds = BTreeMap<End, Kind>;

fn kinds(parts: &TopologyParts) -> Kinds {
    let exchanges = parts.exchanges.iter().map(|exchange| {
        let end = Destination::Exchange(exchange.name.clone());
        ((exchange.vhost.clone(), end), Kind::Exchange(exchange.kind.clone()))
    });
    let queues = parts.queues.iter().map(|queue| (place_of(queue), Kind::Queue(queue.kind)));
    queues.chain(exchanges).collect()
}

fn place_of(queue: &Queue) -> End {
    (queue.vhost.clone(), Destination::Queue(queue.name.clone()))
}

fn ends(parts: &TopologyParts) -> Ends {
    let exchanges = parts.exchanges.iter();
    let exchanges = exchanges.map(|it| (it.vhost.clone(), Destination::Exchange(it.name.clone())));
    parts.queues.iter().map(place_of).chain(exchanges).collect()
}

fn has(ends: &Ends, end: &End) -> bool {
    ends.contains(end) || matches!(&end.1, Destination::Exchange(name) if name.is_reserved())
}

/// Whether Warrener made this queue for the retries of a consumer.
fn is_retry(queue: &Queue, names: &Ends) -> bool {
    let text = |key: &str| queue.arguments.get(key).and_then(ArgValue::as_str);
    let ttl = queue.arguments.get("x-message-ttl").and_then(ArgValue::as_int);
    let Some(millis) = ttl.and_then(|millis| u64::try_from(millis).ok()) else { return false };
    let Some(back) = text("x-dead-letter-routing-key") else { return false };
    let Ok(back) = QueueName::new(back) else { return false };
    text("x-dead-letter-exchange") == Some("")
        && names.contains(&(queue.vhost.clone(), Destination::Queue(back.clone())))
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
