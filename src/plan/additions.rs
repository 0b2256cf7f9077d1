//! What one topology has more than another, where that is all that is between them.
//!
//! A broker that was found as the first one says becomes what the second one says by creating just
//! that: nothing else has to be looked at first.

use std::collections::BTreeMap;

use super::approved::Summary;
use super::ledger::{Ledger, Ownership, ResourceId};
use super::observed::BindingKey;
use crate::model::{Binding, Exchange, OnRemove, Queue, Topology};

/// More than these are better looked at together.
const MOST: usize = 64;

/// Exchange types that every broker has. Declaring one of another type, where its plugin is
/// missing, costs the connection.
const BUILT_IN: [&str; 4] = ["direct", "fanout", "headers", "topic"];

/// What is to be created, all of it managed and none of it the broker's own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Additions {
    /// Exchanges.
    pub exchanges: Vec<Exchange>,
    /// Queues and streams.
    pub queues: Vec<Queue>,
    /// Bindings; both ends are there or are added.
    pub bindings: Vec<Binding>,
}

impl Additions {
    /// What `after` has and `before` has not; `None` where that is not all of the difference, is
    /// much, or is of a kind that only a look at the broker can tell whether it can be created.
    pub fn between(before: &Topology, after: &Topology) -> Option<Self> {
        if !before.policies().eq(after.policies()) || !before.settings().eq(after.settings()) {
            return None;
        }
        let exchanges = added(
            before.exchanges().map(|exchange| ((&exchange.vhost, &exchange.name), exchange)),
            after.exchanges().map(|exchange| ((&exchange.vhost, &exchange.name), exchange)),
        )?;
        let queues = added(
            before.queues().map(|queue| ((&queue.vhost, &queue.name), queue)),
            after.queues().map(|queue| ((&queue.vhost, &queue.name), queue)),
        )?;
        let keyed = |binding| (BindingKey::from(binding), binding);
        let bindings = added(before.bindings().map(keyed), after.bindings().map(keyed))?;
        let vhosts = before.vhosts();
        let simple = exchanges.iter().all(|exchange| {
            exchange.managed
                && !exchange.name.is_reserved()
                && BUILT_IN.contains(&exchange.kind.0.as_str())
                && vhosts.contains(&exchange.vhost)
        }) && queues.iter().all(|queue| {
            queue.managed && !queue.name.is_reserved() && vhosts.contains(&queue.vhost)
        }) && bindings.iter().all(|binding| vhosts.contains(&binding.vhost));
        let additions = Self { exchanges, queues, bindings };
        (simple && additions.len() <= MOST).then_some(additions)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.exchanges.len() + self.queues.len() + self.bindings.len()
    }

    /// Whether there is nothing to create.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The count, as if a plan had been performed.
    pub fn done(&self) -> Summary {
        Summary { create: self.len(), ..Summary::default() }
    }

    /// The ledger that has all of it as well; `None` where another stack owns some of it.
    pub fn claimed(&self, ownership: &Ownership) -> Option<Ledger> {
        let exchanges = self.exchanges.iter().map(|exchange| {
            let id = ResourceId::Exchange(exchange.vhost.clone(), exchange.name.clone());
            (id, exchange.on_remove)
        });
        let queues = self.queues.iter().map(|queue| {
            (ResourceId::Queue(queue.vhost.clone(), queue.name.clone()), queue.on_remove)
        });
        let bindings = self
            .bindings
            .iter()
            .map(|binding| (ResourceId::Binding(binding.into()), OnRemove::Delete));
        let mut ledger = ownership.own.clone();
        for (id, on_remove) in exchanges.chain(queues).chain(bindings) {
            if ownership.others.contains_key(&id) {
                return None;
            }
            if !id.is_reserved() {
                ledger.claim(id, on_remove);
            }
        }
        Some(ledger)
    }
}

/// The values of `after` that `before` lacks; `None` where `before` has one that `after` lacks or
/// has otherwise.
fn added<'a, K: Ord, V: PartialEq + Clone + 'a>(
    before: impl Iterator<Item = (K, &'a V)>,
    after: impl Iterator<Item = (K, &'a V)>,
) -> Option<Vec<V>> {
    let mut after: BTreeMap<K, &V> = after.collect();
    for (key, value) in before {
        if after.remove(&key)? != value {
            return None;
        }
    }
    Some(after.into_values().cloned().collect())
}
