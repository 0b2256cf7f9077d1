//! Everything that should exist on the broker, with every reference proven.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Binding, Exchange, ExchangeName, Policy, PolicyName, Problem, Queue, QueueName, Setting,
    SettingId, SettingKind, Spots, VhostName, proof::Proof,
};

/// The pieces of a topology before anyone has looked at how they fit.
#[derive(Clone, Debug, Default)]
pub struct TopologyParts {
    /// Exchanges, in the order of the files.
    pub exchanges: Vec<Exchange>,
    /// Queues and streams.
    pub queues: Vec<Queue>,
    /// Bindings of every form.
    pub bindings: Vec<Binding>,
    /// Policies.
    pub policies: Vec<Policy>,
    /// Vhosts, users, permissions, operator policies and parameters.
    pub settings: Vec<Setting>,
}

/// Resources that fit together: every binding has both ends, every dead-letter target exists,
/// nothing is declared twice.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Topology {
    pub(super) exchanges: BTreeMap<(VhostName, ExchangeName), Exchange>,
    pub(super) queues: BTreeMap<(VhostName, QueueName), Queue>,
    pub(super) bindings: Vec<Binding>,
    pub(super) policies: BTreeMap<(VhostName, PolicyName), Policy>,
    pub(super) settings: BTreeMap<SettingId, Setting>,
}

impl Topology {
    /// Proves the parts, or gives every problem there is.
    pub fn new(parts: TopologyParts) -> Result<Self, Vec<Problem>> {
        match Proof::new(&Spots::default()).run(parts) {
            (topology, problems) if problems.is_empty() => Ok(topology),
            (_, problems) => Err(problems),
        }
    }

    /// Exchanges by vhost and name.
    pub fn exchanges(&self) -> impl ExactSizeIterator<Item = &Exchange> {
        self.exchanges.values()
    }

    /// Queues and streams by vhost and name.
    pub fn queues(&self) -> impl ExactSizeIterator<Item = &Queue> {
        self.queues.values()
    }

    /// Bindings, sorted.
    pub fn bindings(&self) -> impl ExactSizeIterator<Item = &Binding> {
        self.bindings.iter()
    }

    /// Policies by vhost and name.
    pub fn policies(&self) -> impl ExactSizeIterator<Item = &Policy> {
        self.policies.values()
    }

    /// Vhosts, users, permissions, operator policies and parameters, by kind and name.
    pub fn settings(&self) -> impl ExactSizeIterator<Item = &Setting> {
        self.settings.values()
    }

    /// The settings of one kind, by name.
    pub fn settings_of(&self, kind: SettingKind) -> impl Iterator<Item = &Setting> {
        self.settings.values().filter(move |setting| setting.kind() == kind)
    }

    /// The setting with that identity, if the files speak of it.
    pub fn setting(&self, id: &SettingId) -> Option<&Setting> {
        self.settings.get(id)
    }

    /// Whether the files declare this vhost, and not only name it or say `manage: false`.
    pub fn makes(&self, vhost: &VhostName) -> bool {
        self.setting(&SettingId::Vhost(vhost.clone())).is_some_and(Setting::managed)
    }

    /// Every vhost that the files speak of, or that something in them is in.
    pub fn vhosts(&self) -> BTreeSet<&VhostName> {
        let exchanges = self.exchanges.keys().map(|(vhost, _)| vhost);
        let queues = self.queues.keys().map(|(vhost, _)| vhost);
        let policies = self.policies.keys().map(|(vhost, _)| vhost);
        let bindings = self.bindings.iter().map(|binding| &binding.vhost);
        let settings = self.settings.keys().filter_map(SettingId::vhost);
        exchanges.chain(queues).chain(policies).chain(bindings).chain(settings).collect()
    }

    /// The exchange of that name, if the files speak of it.
    pub fn exchange(&self, vhost: &VhostName, name: &ExchangeName) -> Option<&Exchange> {
        self.exchanges.get(&(vhost.clone(), name.clone()))
    }

    /// The policy of that name, if the files speak of it.
    pub fn policy(&self, vhost: &VhostName, name: &PolicyName) -> Option<&Policy> {
        self.policies.get(&(vhost.clone(), name.clone()))
    }

    /// The queue of that name, if the files speak of it.
    pub fn queue(&self, vhost: &VhostName, name: &QueueName) -> Option<&Queue> {
        self.queues.get(&(vhost.clone(), name.clone()))
    }
}
