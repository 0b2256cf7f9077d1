//! What is on the broker besides what anyone answers for.

use std::collections::BTreeSet;

use super::approved::Plan;
use super::interrupted::Interrupted;
use super::ledger::{Ownership, ResourceId};
use super::observed::{BindingKey, Observed};
use crate::model::{
    BROKERS_OWN_COMPONENTS, Destination, SettingId, Topology, is_brokers_own_global,
};

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
            Some(ownership) => {
                let interrupted = Interrupted::find(topology, observed, ownership);
                strangers(topology, &interrupted.whole(observed), ownership)
            }
            None => Vec::new(),
        };
        Self { plan, strangers }
    }

    /// Whether nothing differs.
    pub fn is_none(&self) -> bool {
        self.plan.is_empty() && self.plan.kept().is_empty() && self.strangers.is_empty()
    }
}

/// What the names begin with of the exchanges and queues that federation makes for itself.
const FEDERATION: &str = "federation: ";

/// Whether a setting is there without anybody's doing: what the broker has for itself, the vhost of
/// the broker's address, and what warrener itself comes to the broker with.
fn is_expected(id: &SettingId, observed: &Observed) -> bool {
    match id {
        SettingId::Vhost(name) => observed.home.as_ref() == Some(name),
        SettingId::User(user) | SettingId::Permission(_, user) => observed.ourselves.contains(user),
        SettingId::GlobalParameter(name) => is_brokers_own_global(name.as_str()),
        SettingId::Parameter(_, component, _) => {
            BROKERS_OWN_COMPONENTS.contains(&component.as_str())
        }
        _ => false,
    }
}

/// Everything on the broker that the files do not name and no stack owns, sorted. Left out is what
/// the broker has for itself (`amq.*`, the default exchange), what belongs to one connection alone,
/// and the bindings to either. Of vhosts, users and other settings it has the kinds of which the
/// stack declares or owns any: a stack that manages no users answers for none.
fn strangers(topology: &Topology, observed: &Observed, ownership: &Ownership) -> Vec<ResourceId> {
    let bound: BTreeSet<BindingKey> = topology.bindings().map(BindingKey::from).collect();
    let exchanges = observed
        .exchanges
        .keys()
        .filter(|(vhost, name)| {
            topology.exchange(vhost, name).is_none() && !name.as_str().starts_with(FEDERATION)
        })
        .map(|(vhost, name)| ResourceId::Exchange(vhost.clone(), name.clone()));
    let queues = observed
        .queues
        .keys()
        .filter(|(vhost, name)| {
            topology.queue(vhost, name).is_none() && !name.as_str().starts_with(FEDERATION)
        })
        .map(|(vhost, name)| ResourceId::Queue(vhost.clone(), name.clone()));
    let policies = observed
        .policies
        .iter()
        .flatten()
        .filter(|((vhost, name), _)| topology.policy(vhost, name).is_none())
        .map(|((vhost, name), _)| ResourceId::Policy(vhost.clone(), name.clone()));
    let bindings = observed
        .bindings
        .iter()
        .flatten()
        .filter(|key| !bound.contains(key))
        .filter(|key| match key.destination() {
            Destination::Exchange(name) => {
                !name.is_reserved() && !name.as_str().starts_with(FEDERATION)
            }
            // Exclusive queues are not among those that are observed.
            Destination::Queue(name) => {
                !name.is_reserved()
                    && !name.as_str().starts_with(FEDERATION)
                    && observed.queues.contains_key(&(key.vhost().clone(), name.clone()))
            }
        })
        .cloned()
        .map(ResourceId::Binding);
    let settings = observed
        .settings
        .keys()
        .filter(|id| topology.setting(id).is_none() && !is_expected(id, observed))
        .map(|id| ResourceId::Setting(id.clone()));
    let all = exchanges.chain(queues).chain(policies).chain(bindings).chain(settings);
    let mut strangers: Vec<_> = all
        .filter(|id| {
            !id.is_reserved() && !ownership.own.contains(id) && !ownership.others.contains_key(id)
        })
        .collect();
    strangers.sort();
    strangers
}
