//! Who connects where: everything that all links to one vhost have in common.

use tokio::sync::watch;
use tokio_util::task::TaskTracker;

use super::{Dialling, Outage};
use crate::model::{BrokerSpec, Endpoint, VhostName};
use crate::telemetry::Registry;

/// Makes links to one vhost of a broker. A clone makes links to the same.
#[derive(Clone)]
pub struct Dialler {
    /// Of that vhost. Never empty.
    pub(super) endpoints: Vec<Endpoint>,
    pub(super) vhost: VhostName,
    pub(super) dialling: Dialling,
    /// Shown in the broker's listings.
    pub(super) name: String,
    pub(super) registry: Registry,
    pub(super) tasks: TaskTracker,
    /// What has last come of a link: why it went down, or nothing when it came up.
    pub(super) turns: watch::Sender<Option<Outage>>,
}

impl Dialler {
    /// To the vhost of the broker's address, through that gate. `name` is shown in the broker's
    /// listings; the last act of each link, a goodbye to the broker, is done by a task of the
    /// tracker.
    pub fn new(
        broker: &BrokerSpec,
        dialling: Dialling,
        name: String,
        registry: Registry,
        tasks: TaskTracker,
    ) -> Self {
        Self {
            endpoints: broker.endpoints.clone(),
            vhost: broker.vhost.clone(),
            dialling,
            name,
            registry,
            tasks,
            turns: watch::Sender::default(),
        }
    }

    /// To another vhost of the same broker.
    #[must_use]
    pub fn to(&self, vhost: &VhostName) -> Self {
        let mut endpoints = self.endpoints.clone();
        for endpoint in &mut endpoints {
            endpoint.uri.vhost = vhost.to_string();
        }
        Self {
            endpoints,
            vhost: vhost.clone(),
            dialling: self.dialling.to_another_vhost(),
            turns: watch::Sender::default(),
            ..self.clone()
        }
    }

    /// Changes whenever a link of this dialler comes up, or goes down for the reason given.
    pub fn turns(&self) -> watch::Receiver<Option<Outage>> {
        self.turns.subscribe()
    }
}
