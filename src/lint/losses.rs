//! Advice about messages that would be lost without a word.

use std::collections::BTreeSet;

use crate::model::{
    Binding, Desired, Destination, Exchange, PolicyIndex, Problem, Queue, QueueType, Router,
    Topology, codes,
};

/// Dead letters that no queue takes.
pub(super) fn unrouted_dead_letters(desired: &Desired) -> Vec<Problem> {
    let topology = &desired.topology;
    let (policies, router) = (PolicyIndex::new(topology.policies()), Router::new(topology));
    let queues = topology.queues().filter(|queue| queue.kind != QueueType::Stream);
    let lost = queues.filter_map(|queue| {
        let target = policies.dead_letter(queue)?;
        // Whether the default exchange leads to a queue is proven already.
        if target.exchange.as_str().is_empty() {
            return None;
        }
        let keys = match &target.routing_key {
            Some(key) => Some(BTreeSet::from([key.as_str()])),
            None => arriving_keys(topology, queue),
        };
        if router.may_reach_a_queue(&queue.vhost, &target.exchange, keys.as_ref()) {
            return None;
        }
        let (name, exchange) = (&queue.name, &target.exchange);
        let with = match &target.routing_key {
            Some(key) => format!(" with key `{key}`"),
            None => String::new(),
        };
        let message = format!(
            "queue `{name}` dead-letters to exchange `{exchange}`{with}, from where no binding leads on"
        );
        Some(
            Problem::warning(codes::UNROUTED_DEAD_LETTERS, queue.origin, message)
                .hint(format!("bind a queue to exchange `{exchange}`, or write `dead_letter: {{ queue: … }}`")),
        )
    });
    lost.collect()
}

/// The keys that messages of a queue may have, which dead letters keep: those it is bound with, and
/// its own name. `None` where others may be among them.
fn arriving_keys<'t>(topology: &'t Topology, queue: &'t Queue) -> Option<BTreeSet<&'t str>> {
    let leads_here = |binding: &&Binding| {
        binding.vhost == queue.vhost
            && matches!(&binding.destination, Destination::Queue(name) if *name == queue.name)
    };
    let mut keys = BTreeSet::from([queue.name.as_str()]);
    for binding in topology.bindings().filter(leads_here) {
        let source = topology.exchange(&queue.vhost, &binding.source);
        if source.is_none_or(|source| !source.managed || source.kind.0 != "direct") {
            return None;
        }
        keys.insert(binding.routing_key.as_str());
    }
    Some(keys)
}

/// Queues in which messages wait for their TTL, and that go before.
pub(super) fn expiring_delay(desired: &Desired) -> Vec<Problem> {
    let topology = &desired.topology;
    let policies = PolicyIndex::new(topology.policies());
    let consumed: BTreeSet<_> =
        desired.fleet.consumers().map(|consumer| (&consumer.vhost, &consumer.queue)).collect();
    let delays = topology.queues().filter(|queue| {
        queue.kind != QueueType::Stream
            && policies.sets_any(queue, &["expires"])
            && policies.sets_any(queue, &["message-ttl"])
            && policies.dead_letter(queue).is_some()
            && !consumed.contains(&(&queue.vhost, &queue.name))
    });
    let warn = |queue: &Queue| {
        let message = format!(
            "what waits in queue `{}` for its TTL is lost when the queue expires",
            queue.name
        );
        Problem::warning(codes::EXPIRING_DELAY, queue.origin, message).hint(
            "remove `expires`: a queue that nobody consumes is unused, whatever is published to it",
        )
    };
    delays.map(warn).collect()
}

/// Alternate exchanges that may not be there.
pub(super) fn unknown_alternate(desired: &Desired) -> Vec<Problem> {
    let topology = &desired.topology;
    let policies = PolicyIndex::new(topology.policies());
    let exchanges = topology.exchanges().filter(|exchange| exchange.managed);
    let warn = |exchange: &Exchange| {
        let alternate = policies.alternate_exchange(exchange)?;
        if alternate.is_reserved() || topology.exchange(&exchange.vhost, &alternate).is_some() {
            return None;
        }
        let message = format!(
            "what exchange `{}` cannot route goes to exchange `{alternate}`, which no file declares",
            exchange.name
        );
        Some(Problem::warning(codes::UNKNOWN_ALTERNATE, exchange.origin, message).hint(format!(
            "declare exchange `{alternate}`, with `manage: false` if somebody else makes it"
        )))
    };
    exchanges.filter_map(warn).collect()
}
