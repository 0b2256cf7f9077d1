//! The connections of the consumers to one broker, by vhost: an AMQP connection has one for life.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::watch;

use crate::broker::amqp::{Dialler, Link, LinkPool, Outage, Publisher};
use crate::model::{BrokerSpec, VhostName};
use crate::telemetry::ConnectionRole;

/// Everything that consumers of one broker connect over.
pub(super) struct Links {
    broker: BrokerSpec,
    number: u64,
    home: Arc<VhostLinks>,
    dialler: Dialler,
    /// Those of other vhosts live as long as a consumer has them.
    others: Mutex<BTreeMap<VhostName, Weak<VhostLinks>>>,
}

/// What consumers of one vhost connect over.
pub(super) struct VhostLinks {
    /// For consuming.
    pub(super) pool: LinkPool,
    /// For retries, dead letters and output.
    pub(super) publisher: Publisher,
    /// Changes when a connection comes up or goes down.
    pub(super) turns: watch::Receiver<Option<Outage>>,
}

impl Links {
    /// Connects to the vhost of the broker's address; to others when they are asked for. The number
    /// tells these links from those to another broker before.
    pub(super) fn start(broker: BrokerSpec, number: u64, dialler: Dialler) -> Self {
        let home = Arc::new(VhostLinks::start(dialler.clone()));
        Self { broker, number, home, dialler, others: Mutex::default() }
    }

    /// Whether they lead to that broker.
    pub(super) fn lead_to(&self, broker: &BrokerSpec) -> bool {
        self.broker == *broker
    }

    /// A number that is another for every broker.
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// Those to a vhost, for as long as they are held.
    pub(super) fn to(&self, vhost: &VhostName) -> Arc<VhostLinks> {
        if *vhost == self.broker.vhost {
            return self.home.clone();
        }
        let mut others = self.others.lock().unwrap_or_else(PoisonError::into_inner);
        others.retain(|_, links| links.strong_count() > 0);
        others.get(vhost).and_then(Weak::upgrade).unwrap_or_else(|| {
            let links = Arc::new(VhostLinks::start(self.dialler.to(vhost)));
            others.insert(vhost.clone(), Arc::downgrade(&links));
            links
        })
    }
}

impl VhostLinks {
    fn start(dialler: Dialler) -> Self {
        let publish = Arc::new(Link::start(&dialler, ConnectionRole::Publish));
        Self {
            publisher: Publisher::start(&publish),
            turns: dialler.turns(),
            pool: LinkPool::new(dialler),
        }
    }
}
