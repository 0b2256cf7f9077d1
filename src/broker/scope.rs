//! What of a broker is worth looking at.

use std::collections::BTreeSet;

use crate::model::{Setting, SettingKind, Topology, VhostName};
use crate::plan::{Ledger, ResourceId};

/// The vhosts and the kinds of settings that a stack has to do with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scope {
    /// Vhosts to look into.
    pub vhosts: BTreeSet<VhostName>,
    /// Kinds of settings to list.
    pub kinds: BTreeSet<SettingKind>,
}

impl Scope {
    /// What a topology speaks of.
    pub fn of(topology: &Topology) -> Self {
        Self {
            vhosts: topology.vhosts().into_iter().cloned().collect(),
            kinds: topology.settings().map(Setting::kind).collect(),
        }
    }

    /// The same with one vhost more.
    #[must_use]
    pub fn and(mut self, vhost: &VhostName) -> Self {
        self.vhosts.insert(vhost.clone());
        self
    }

    /// The same with what a ledger speaks of.
    #[must_use]
    pub fn and_owned(mut self, ledger: &Ledger) -> Self {
        for (id, _) in ledger.iter() {
            self.vhosts.extend(id.vhost().cloned());
            if let ResourceId::Setting(id) = id {
                self.kinds.insert(id.kind());
            }
        }
        self
    }
}
