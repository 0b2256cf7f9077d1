//! What was being made anew when that was interrupted: its parts, and the broker as if it were whole.
//!
//! A queue in the middle of its migration is spread over temporary queues and exchanges, and its
//! bindings lead to one of these. Whoever asks whether it exists, what it holds or what is bound to
//! it has to be told of all its parts, and whoever deletes it deletes them all.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use super::ledger::{Ownership, ResourceId};
use super::migration::{Scaffold, ShadowNames, from_another, is_temporary, redirect};
use super::observed::{BindingKey, Observed, ObservedExchange, ObservedQueue, Seen, Usage};
use crate::model::{Arguments, Destination, ExchangeName, Topology, VhostName};

#[cfg(test)]
mod tests;

/// Everything that was being made anew of what a topology declares or any stack owns.
#[derive(Debug, Default)]
pub(super) struct Interrupted {
    /// What stands for each such queue and exchange besides itself, and for each binding that is on
    /// a detour.
    parts: BTreeMap<ResourceId, Vec<ResourceId>>,
    /// Exchanges that bindings lead to instead of the queue or exchange itself.
    ends: BTreeMap<(VhostName, ExchangeName), Destination>,
    /// Exchanges that bindings lead from instead of the exchange itself.
    sources: BTreeMap<(VhostName, ExchangeName), ExchangeName>,
    /// Exchanges whose bindings only hold a scaffold together.
    inner: BTreeSet<(VhostName, ExchangeName)>,
}

impl Interrupted {
    pub(super) fn find(topology: &Topology, observed: &Observed, ownership: &Ownership) -> Self {
        let mut found = Self::default();
        let exchanges = observed.exchanges.keys().map(|(_, name)| name.as_str());
        let queues = observed.queues.keys().map(|(_, name)| name.as_str());
        // Nearly always there is nothing, and then twenty thousand names need not be made.
        if !exchanges.chain(queues).any(is_temporary) {
            return found;
        }
        let queues = topology.queues().filter(|queue| queue.managed);
        let exchanges = topology.exchanges().filter(|exchange| exchange.managed);
        let declared = queues
            .map(|queue| ResourceId::Queue(queue.vhost.clone(), queue.name.clone()))
            .chain(exchanges.map(|exchange| {
                ResourceId::Exchange(exchange.vhost.clone(), exchange.name.clone())
            }));
        let owned = ownership.own.iter().map(|(id, _)| id).chain(ownership.others.keys());
        for id in declared.chain(owned.cloned()) {
            found.add(id, observed);
        }
        for key in observed.bindings.iter().flatten() {
            if let Some(straight) = found.straight(key).filter(|straight| straight != key) {
                let detour = ResourceId::Binding(key.clone());
                found.parts.entry(ResourceId::Binding(straight)).or_default().push(detour);
            }
        }
        found
    }

    /// Looks for the parts of one queue or exchange.
    fn add(&mut self, id: ResourceId, observed: &Observed) {
        let parts = match &id {
            ResourceId::Queue(vhost, name) => {
                let scaffold = Scaffold::of(name);
                let exchanges = scaffold.exchanges().map(|name| (vhost.clone(), name.clone()));
                let queues = scaffold.queues().map(|name| (vhost.clone(), name.clone()));
                let queues = queues.into_iter().filter(|key| observed.queues.contains_key(key));
                let parts: Vec<_> = exchanges
                    .iter()
                    .filter(|key| observed.exchanges.contains_key(*key))
                    .map(|(vhost, name)| ResourceId::Exchange(vhost.clone(), name.clone()))
                    .chain(queues.map(|(vhost, name)| ResourceId::Queue(vhost, name)))
                    .collect();
                if !parts.is_empty() {
                    let fork = (vhost.clone(), scaffold.fork.clone());
                    self.ends.insert(fork, Destination::Queue(name.clone()));
                    self.inner.extend(exchanges);
                }
                parts
            }
            ResourceId::Exchange(vhost, name) => {
                let ShadowNames { to, from } = ShadowNames::of(name);
                let [to, from] = [to, from].map(|name| (vhost.clone(), name));
                let there =
                    [&to, &from].into_iter().filter(|key| observed.exchanges.contains_key(*key));
                let parts: Vec<_> = there
                    .map(|(vhost, name)| ResourceId::Exchange(vhost.clone(), name.clone()))
                    .collect();
                if !parts.is_empty() {
                    self.ends.insert(to, Destination::Exchange(name.clone()));
                    self.sources.insert(from, name.clone());
                }
                parts
            }
            ResourceId::Policy(..) | ResourceId::Binding(_) | ResourceId::Setting(_) => return,
        };
        if !parts.is_empty() {
            self.parts.insert(id, parts);
        }
    }

    /// Whether that queue or exchange was being made anew.
    pub(super) fn contains(&self, id: &ResourceId) -> bool {
        !matches!(id, ResourceId::Binding(_)) && self.parts.contains_key(id)
    }

    /// What has to be deleted for something to go that no file declares any more. What leads to or
    /// from something that is declared will be back from its detour by then.
    pub(super) fn remains(
        &self,
        id: &ResourceId,
        observed: &Observed,
        topology: &Topology,
    ) -> Vec<ResourceId> {
        let parts = self.parts.get(id).map(Vec::as_slice).unwrap_or_default();
        let comes_back = |part: &&ResourceId| match part {
            ResourceId::Binding(key) => self.is_led_back(key, topology),
            _ => false,
        };
        let is_there = match id {
            ResourceId::Queue(vhost, name) => {
                observed.queues.contains_key(&(vhost.clone(), name.clone()))
            }
            ResourceId::Exchange(vhost, name) => {
                observed.exchanges.contains_key(&(vhost.clone(), name.clone()))
            }
            ResourceId::Binding(key) => {
                observed.bindings.iter().any(|bindings| bindings.contains(key))
                    || parts.iter().any(|part| comes_back(&part))
            }
            ResourceId::Policy(..) | ResourceId::Setting(_) => true,
        };
        let others = parts.iter().filter(|part| !comes_back(part));
        is_there.then_some(id).into_iter().chain(others).cloned().collect()
    }

    /// Whether what a binding is on a detour around is declared, and so made whole.
    fn is_led_back(&self, key: &BindingKey, topology: &Topology) -> bool {
        let vhost = key.vhost();
        let exchange = |name: &ExchangeName| {
            topology.exchange(vhost, name).is_some_and(|exchange| exchange.managed)
        };
        let end = match key.destination() {
            Destination::Exchange(name) => self.ends.get(&(vhost.clone(), name.clone())),
            Destination::Queue(_) => None,
        };
        let end = end.is_some_and(|end| match end {
            Destination::Queue(name) => {
                topology.queue(vhost, name).is_some_and(|queue| queue.managed)
            }
            Destination::Exchange(name) => exchange(name),
        });
        let source = self.sources.get(&(vhost.clone(), key.source().clone()));
        end || source.is_some_and(exchange)
    }

    /// A binding without its detours; `None` for one that only holds a scaffold together.
    fn straight(&self, key: &BindingKey) -> Option<BindingKey> {
        let source = (key.vhost().clone(), key.source().clone());
        if self.inner.contains(&source) {
            return None;
        }
        let mut straight = key.clone();
        if let Destination::Exchange(name) = key.destination()
            && let Some(end) = self.ends.get(&(key.vhost().clone(), name.clone()))
        {
            straight = redirect(&straight, end.clone());
        }
        if let Some(source) = self.sources.get(&source) {
            straight = from_another(&straight, source);
        }
        Some(straight)
    }

    /// The broker as if nothing had been begun: what was being made anew is there, holds what all of
    /// its parts hold, and has its bindings; the parts are not there.
    pub(super) fn whole<'o>(&self, observed: &'o Observed) -> Cow<'o, Observed> {
        if self.parts.is_empty() {
            return Cow::Borrowed(observed);
        }
        let mut whole = observed.clone();
        for (id, parts) in &self.parts {
            for part in parts {
                match part {
                    ResourceId::Queue(vhost, name) => {
                        whole.queues.remove(&(vhost.clone(), name.clone()));
                    }
                    ResourceId::Exchange(vhost, name) => {
                        whole.exchanges.remove(&(vhost.clone(), name.clone()));
                    }
                    _ => {}
                }
            }
            match id {
                ResourceId::Queue(vhost, name) => {
                    let key = (vhost.clone(), name.clone());
                    if let Some(usage) = usage_of([id].into_iter().chain(parts), observed) {
                        whole.usage.insert(key.clone(), usage);
                    }
                    whole.queues.entry(key).or_insert_with(queue_for_a_moment_away);
                }
                ResourceId::Exchange(vhost, name) => {
                    let key = (vhost.clone(), name.clone());
                    whole.exchanges.entry(key).or_insert_with(exchange_for_a_moment_away);
                }
                _ => {}
            }
        }
        if let Some(bindings) = &mut whole.bindings {
            *bindings = bindings.iter().filter_map(|key| self.straight(key)).collect();
        }
        whole.illegible = observed.illegible.iter().map(|id| self.whole_of(id)).collect();
        Cow::Owned(whole)
    }

    /// What an exchange stands for, or else itself.
    fn whole_of(&self, id: &ResourceId) -> ResourceId {
        let ResourceId::Exchange(vhost, name) = id else { return id.clone() };
        let key = (vhost.clone(), name.clone());
        match (self.ends.get(&key), self.sources.get(&key)) {
            (Some(end), _) => ResourceId::end(vhost, end),
            (None, Some(source)) => ResourceId::Exchange(vhost.clone(), source.clone()),
            (None, None) => id.clone(),
        }
    }
}

/// How much several queues are used together; `None` where nobody looked at any.
fn usage_of<'i>(ids: impl Iterator<Item = &'i ResourceId>, observed: &Observed) -> Option<Usage> {
    let seen = ids.filter_map(|id| match id {
        ResourceId::Queue(vhost, name) => observed.usage.get(&(vhost.clone(), name.clone())),
        _ => None,
    });
    seen.copied().reduce(|one, other| Usage {
        messages: one.messages.saturating_add(other.messages),
        consumers: one.consumers.saturating_add(other.consumers),
    })
}

/// In place of a queue that was deleted to be declared anew. What it was nobody knows any more.
fn queue_for_a_moment_away() -> Seen<ObservedQueue> {
    Seen::Whole(ObservedQueue::new(true, false, Arguments::new()))
}

/// The same of an exchange.
fn exchange_for_a_moment_away() -> Seen<ObservedExchange> {
    Seen::Whole(ObservedExchange {
        kind: "direct".into(),
        durable: true,
        auto_delete: false,
        internal: false,
        arguments: Arguments::new(),
    })
}
