//! What is on the broker besides what anyone answers for.

use super::approved::Plan;
use super::ledger::{Ledger, Ownership, ResourceId};
use super::observed::Observed;
use crate::model::{Destination, Topology};

/// How a broker differs from the files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drift {
    /// What apply would do about it, and what is owned and no longer declared.
    pub plan: Plan,
    /// What is there, and nobody declares or owns.
    pub strangers: Vec<ResourceId>,
}

impl Drift {
    /// A plan without pruning, and what else there is on the broker that it was made for.
    pub fn new(plan: Plan, topology: &Topology, observed: &Observed) -> Self {
        let strangers = match &plan.ownership {
            Some(ownership) => strangers(topology, observed, ownership),
            None => Vec::new(),
        };
        Self { plan, strangers }
    }

    /// Whether nothing differs.
    pub fn is_none(&self) -> bool {
        self.plan.is_empty() && self.plan.kept().is_empty() && self.strangers.is_empty()
    }
}

/// Everything on the broker that the files do not name and no stack owns, sorted. Left out is what
/// the broker has for itself (`amq.*`, the default exchange), what belongs to one connection alone,
/// and the bindings to either.
fn strangers(topology: &Topology, observed: &Observed, ownership: &Ownership) -> Vec<ResourceId> {
    let declared = Ledger::of(topology);
    let exchanges = observed
        .exchanges
        .keys()
        .filter(|(vhost, name)| topology.exchange(vhost, name).is_none())
        .map(|(vhost, name)| ResourceId::Exchange(vhost.clone(), name.clone()));
    let queues = observed
        .queues
        .keys()
        .filter(|(vhost, name)| topology.queue(vhost, name).is_none())
        .map(|(vhost, name)| ResourceId::Queue(vhost.clone(), name.clone()));
    let policies = observed
        .policies
        .iter()
        .flatten()
        .map(|((vhost, name), _)| ResourceId::Policy(vhost.clone(), name.clone()));
    let bindings = observed
        .bindings
        .iter()
        .flatten()
        .filter(|key| match key.destination() {
            Destination::Exchange(name) => !name.is_reserved(),
            // Exclusive queues are not among those that are observed.
            Destination::Queue(name) => {
                !name.is_reserved()
                    && observed.queues.contains_key(&(key.vhost().clone(), name.clone()))
            }
        })
        .cloned()
        .map(ResourceId::Binding);
    let all = exchanges.chain(queues).chain(policies).chain(bindings);
    let mut strangers: Vec<_> = all
        .filter(|id| {
            !id.is_reserved()
                && !declared.contains(id)
                && !ownership.own.contains(id)
                && !ownership.others.contains_key(id)
        })
        .collect();
    strangers.sort();
    strangers
}
