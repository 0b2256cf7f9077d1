//! What one topology has more than another, or says otherwise of a policy, where that is all that is
//! between them.
//!
//! A broker that was found as the first one says becomes what the second one says by bringing about
//! just that: nothing else has to be looked at first.

use std::collections::BTreeMap;

use super::approved::Summary;
use super::compare;
use super::ledger::{Ledger, Ownership, ResourceId};
use super::observed::{BindingKey, ObservedPolicy};
use crate::model::{Binding, Exchange, OnRemove, Policy, Queue, Topology};

/// More than these are better looked at together.
const MOST: usize = 64;

/// Exchange types that every broker has. Declaring one of another type, where its plugin is
/// missing, costs the connection.
const BUILT_IN: [&str; 4] = ["direct", "fanout", "headers", "topic"];

/// A policy that is to be set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revision {
    /// As it was found; `None` where it is new.
    pub before: Option<Policy>,
    /// As it is to be.
    pub after: Policy,
}

impl Revision {
    /// Whether the broker has it still as it was found.
    pub fn fits(&self, seen: Option<&ObservedPolicy>) -> bool {
        match (&self.before, seen) {
            (None, None) => true,
            (Some(before), Some(seen)) => compare::policy(before, seen).is_empty(),
            _ => false,
        }
    }
}

/// What is to be brought about, all of it managed and none of it the broker's own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Additions {
    /// Exchanges.
    pub exchanges: Vec<Exchange>,
    /// Queues and streams.
    pub queues: Vec<Queue>,
    /// Bindings; both ends are there or are added.
    pub bindings: Vec<Binding>,
    /// Policies that are new or have changed. None where there are queues: whether a policy holds
    /// for a queue that comes with it takes a look.
    pub policies: Vec<Revision>,
}

impl Additions {
    /// What `after` has and `before` has not; `None` where that is not all of the difference, is
    /// much, or is of a kind that only a look at the broker can tell whether it can be created.
    pub fn between(before: &Topology, after: &Topology) -> Option<Self> {
        if !before.settings().eq(after.settings()) {
            return None;
        }
        let policies = revised(before, after)?;
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
        }) && bindings.iter().all(|binding| vhosts.contains(&binding.vhost))
            && (policies.is_empty() || queues.is_empty());
        let additions = Self { exchanges, queues, bindings, policies };
        (simple && additions.len() <= MOST).then_some(additions)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.exchanges.len() + self.queues.len() + self.bindings.len() + self.policies.len()
    }

    /// Whether there is nothing to bring about.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The count, as if a plan had been performed.
    pub fn done(&self) -> Summary {
        let update = self.policies.iter().filter(|policy| policy.before.is_some()).count();
        Summary { create: self.len() - update, update, ..Summary::default() }
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
        let policies = self.policies.iter().map(|Revision { after, .. }| {
            (ResourceId::Policy(after.vhost.clone(), after.name.clone()), after.on_remove)
        });
        let mut ledger = ownership.own.clone();
        for (id, on_remove) in exchanges.chain(queues).chain(bindings).chain(policies) {
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

/// The policies of `after` that `before` lacks or has otherwise; `None` where `before` has one that
/// `after` lacks, or where more than what a policy says has changed or it is not managed.
fn revised(before: &Topology, after: &Topology) -> Option<Vec<Revision>> {
    if before.policies().any(|policy| after.policy(&policy.vhost, &policy.name).is_none()) {
        return None;
    }
    let vhosts = before.vhosts();
    let revisions = after.policies().filter_map(|after| {
        let before = before.policy(&after.vhost, &after.name).cloned();
        let after = (before.as_ref() != Some(after)).then(|| after.clone())?;
        Some(Revision { before, after })
    });
    let revisions: Vec<Revision> = revisions.collect();
    let simple = revisions.iter().all(|Revision { before, after }| {
        after.managed
            && before
                .as_ref()
                .is_none_or(|before| before.managed && before.on_remove == after.on_remove)
            && vhosts.contains(&after.vhost)
    });
    simple.then_some(revisions)
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
