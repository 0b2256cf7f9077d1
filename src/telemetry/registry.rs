//! Who is counted, and the one place where a reader asks.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::meter::ConsumerMeter;
use super::status::{ConfigStatus, ConnectionState, InForce, Status};
use super::topology::{Role, TopologyStatus};
use super::words::ConnectionRole;
use crate::model::{ConsumerName, VhostName};

/// Every meter of one supervisor. A clone is the same registry.
///
/// Its lock guards only the lists: a meter is taken once and then counts without it.
#[derive(Clone, Debug, Default)]
pub struct Registry(Arc<Mutex<Known>>);

#[derive(Debug, Default)]
struct Known {
    consumers: BTreeMap<ConsumerName, ConsumerMeter>,
    connections: BTreeMap<ConnectionKey, ConnectionState>,
    /// The number of the newest connection.
    connected: u64,
    config: ConfigStatus,
    topology: TopologyStatus,
    control_groups: Option<String>,
    memory_by_group: bool,
}

/// Which connection: there may be several of a role to a vhost.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct ConnectionKey {
    vhost: VhostName,
    role: ConnectionRole,
    number: u64,
}

/// What one connection is told to.
#[derive(Debug)]
pub struct ConnectionMeter {
    registry: Registry,
    key: ConnectionKey,
}

impl ConnectionMeter {
    /// The connection is now in this state.
    pub fn set(&self, state: ConnectionState) {
        self.registry.known().connections.insert(self.key.clone(), state);
    }
}

impl Drop for ConnectionMeter {
    fn drop(&mut self) {
        self.registry.known().connections.remove(&self.key);
    }
}

impl Known {
    /// One state for each role in each vhost: that of the connection that is worst off.
    fn worst_connections(&self) -> BTreeMap<VhostName, BTreeMap<ConnectionRole, ConnectionState>> {
        let mut worst = BTreeMap::<_, BTreeMap<_, ConnectionState>>::new();
        for (ConnectionKey { vhost, role, .. }, state) in &self.connections {
            let shown = worst.entry(vhost.clone()).or_default().entry(*role);
            let shown = shown.or_insert_with(|| state.clone());
            if state.severity() > shown.severity() {
                shown.clone_from(state);
            }
        }
        worst
    }
}

impl Registry {
    /// An empty registry.
    pub fn new() -> Self {
        Self::default()
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The meter of a consumer: a new one where the name is new, else the one it already has, so
    /// that a reload goes on counting.
    pub fn consumer(&self, name: &ConsumerName) -> ConsumerMeter {
        self.known()
            .consumers
            .entry(name.clone())
            .or_insert_with(|| ConsumerMeter::new(name.clone()))
            .clone()
    }

    /// Leaves a consumer out of the status from now on. Meters of it that still live count for
    /// nobody.
    pub fn forget(&self, name: &ConsumerName) {
        self.known().consumers.remove(name);
    }

    /// The meter of one more connection to that vhost. The status shows it until the meter is
    /// dropped.
    pub fn connection(&self, vhost: VhostName, role: ConnectionRole) -> ConnectionMeter {
        let key = {
            let mut known = self.known();
            known.connected += 1;
            let key = ConnectionKey { vhost, role, number: known.connected };
            known.connections.insert(key.clone(), ConnectionState::default());
            key
        };
        ConnectionMeter { registry: self.clone(), key }
    }

    /// The files were loaded, and this is what came of it.
    pub fn reload_succeeded(&self, message: impl Into<String>) {
        let now = jiff::Timestamp::now().to_string();
        let config = &mut self.known().config;
        config.last_reload_ok = Some(true);
        config.message = message.into();
        config.last_reload_at = Some(now.clone());
        config.last_success_at = Some(now);
    }

    /// The files could not be used; what ran before runs on.
    pub fn reload_failed(&self, message: impl Into<String>) {
        let now = jiff::Timestamp::now().to_string();
        let config = &mut self.known().config;
        config.last_reload_ok = Some(false);
        config.message = message.into();
        config.last_reload_at = Some(now);
    }

    /// This version of the files is in force from now on.
    pub fn in_force(&self, stack: impl Into<String>, digest: impl Into<String>) {
        let since = jiff::Timestamp::now().to_string();
        let in_force = InForce { stack: stack.into(), digest: digest.into(), since };
        self.known().config.in_force = Some(in_force);
    }

    /// Each worker's processes are in a control group below that folder; `memory` is whether these
    /// account for memory.
    pub fn set_control_groups(&self, folder: String, memory: bool) {
        let mut known = self.known();
        (known.control_groups, known.memory_by_group) = (Some(folder), memory);
    }

    /// Who makes the broker as the files say.
    pub fn set_role(&self, role: Role) {
        self.known().topology.role = role;
    }

    /// The broker was looked at: `left` differences are there still.
    pub fn looked(&self, left: usize) {
        let now = jiff::Timestamp::now().to_string();
        let topology = &mut self.known().topology;
        topology.drift = Some(left as u64);
        topology.drifted += u64::from(left > 0);
        topology.last_look_at = Some(now);
    }

    /// The broker had drifted and was mended.
    pub fn healed(&self) {
        let topology = &mut self.known().topology;
        topology.drifted += 1;
        topology.healed += 1;
    }

    /// The broker could not be looked at.
    pub fn could_not_look(&self) {
        self.known().topology.drift = None;
    }

    /// Everything as it is now.
    pub fn status(&self) -> Status {
        // Copied out first, so that no meter waits for the list while it is read.
        let (consumers, connections, config, topology, (control_groups, memory_by_group)) = {
            let known = self.known();
            let (consumers, connections) = (known.consumers.clone(), known.worst_connections());
            let (config, topology) = (known.config.clone(), known.topology.clone());
            let groups = (known.control_groups.clone(), known.memory_by_group);
            (consumers, connections, config, topology, groups)
        };
        Status {
            consumers: consumers.into_iter().map(|(name, meter)| (name, meter.status())).collect(),
            connections,
            config,
            topology,
            control_groups,
            memory_by_group,
        }
    }
}
