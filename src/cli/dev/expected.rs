//! What must arrive where, worked out from the topology alone: nothing here asks the supervisor.

use std::collections::{BTreeMap, BTreeSet};

use super::account::consumers;
use crate::broker::feed::{BadLine, FeedLine};
use crate::model::{ConsumerSpec, Desired, ExchangeName, PolicyIndex, QueueName, Router};

/// Counts, for each queue, the messages of a feed that must arrive in it.
pub(super) struct Expected<'a> {
    desired: &'a Desired,
    router: Router<'a>,
    /// Where lines without an exchange go.
    exchange: String,
    queues: BTreeMap<QueueName, u64>,
    unroutable: u64,
}

impl<'a> Expected<'a> {
    /// Nothing is expected yet.
    pub(super) fn new(desired: &'a Desired, exchange: &str) -> Self {
        let router = Router::new(&desired.topology);
        Self {
            desired,
            router,
            exchange: exchange.to_owned(),
            queues: BTreeMap::new(),
            unroutable: 0,
        }
    }

    /// Takes a message into account that is about to be published. Refuses one whose way cannot be
    /// told, or that the broker would refuse.
    pub(super) fn see(&mut self, line: &FeedLine) -> Result<(), BadLine> {
        let exchange = line.exchange.as_deref().unwrap_or(&self.exchange);
        let fault = |fault: &dyn std::fmt::Display| BadLine(fault.to_string());
        let exchange = ExchangeName::new(exchange).map_err(|error| fault(&error))?;
        let vhost = &self.desired.broker.vhost;
        let headers = line.header_arguments();
        let queues = self
            .router
            .route(vhost, &exchange, &line.routing_key, &headers)
            .map_err(|error| fault(&error))?;
        if queues.is_empty() {
            self.unroutable += 1;
        }
        for queue in queues {
            *self.queues.entry(queue).or_default() += 1;
        }
        Ok(())
    }

    /// Messages that no queue takes.
    pub(super) fn unroutable(&self) -> u64 {
        self.unroutable
    }

    /// Messages of the feed that must arrive in that queue.
    pub(super) fn in_queue(&self, queue: &QueueName) -> u64 {
        self.queues.get(queue).copied().unwrap_or(0)
    }

    /// Queues that must get messages though no consumer of the stack takes them.
    pub(super) fn unconsumed(&self) -> BTreeMap<QueueName, u64> {
        let consumed: BTreeSet<_> =
            consumers(self.desired).map(|consumer| &consumer.queue).collect();
        let others = self.queues.iter().filter(|(queue, _)| !consumed.contains(queue));
        others.map(|(queue, count)| (queue.clone(), *count)).collect()
    }

    /// The queues that get what a consumer gives up on; empty where nothing does, and where it
    /// depends on the message's own routing key.
    pub(super) fn dead_letter_queues(&self, consumer: &ConsumerSpec) -> BTreeSet<QueueName> {
        let topology = &self.desired.topology;
        let target = topology
            .queue(&consumer.vhost, &consumer.queue)
            .and_then(|queue| PolicyIndex::new(topology.policies()).dead_letter(queue));
        let Some((target, key)) =
            target.and_then(|target| target.routing_key.clone().map(|key| (target, key)))
        else {
            return BTreeSet::new();
        };
        let none = BTreeMap::new();
        self.router
            .route(&consumer.vhost, &target.exchange, key.as_str(), &none)
            .unwrap_or_default()
    }
}
