//! Links shared by many workers, a bounded number on each.

use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio_util::task::TaskTracker;

use super::{Dialling, Link};
use crate::model::Endpoint;
use crate::telemetry::{ConnectionRole, Registry};

/// Workers on one connection. Each connection costs a thread and its buffers, so not one a worker;
/// each channel makes the others of its connection a little dearer, and a channel error can take
/// the whole connection with it, so not all on one.
const WORKERS_PER_LINK: usize = 32;

/// One worker's share of a link. However often the worker passes it on, it counts once.
pub struct Lease(Arc<Link>);

impl Deref for Lease {
    type Target = Link;

    fn deref(&self) -> &Link {
        &self.0
    }
}

/// Hands out links for consuming.
pub struct LinkPool {
    endpoints: Vec<Endpoint>,
    dialling: Dialling,
    name: String,
    registry: Registry,
    tasks: TaskTracker,
    links: Mutex<Vec<Weak<Link>>>,
}

impl LinkPool {
    /// A pool of links to the first endpoint that answers; `name` is shown in the broker's
    /// listings.
    pub fn new(
        endpoints: Vec<Endpoint>,
        dialling: Dialling,
        name: String,
        registry: Registry,
        tasks: TaskTracker,
    ) -> Self {
        Self { endpoints, dialling, name, registry, tasks, links: Mutex::new(Vec::new()) }
    }

    /// A link with room for one more worker. It lives as long as somebody has a share of it.
    pub fn acquire(&self) -> Arc<Lease> {
        let mut links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        links.retain(|link| link.strong_count() > 0);
        let free = links.iter().filter_map(Weak::upgrade).find(|link| {
            // The upgrade that looks is itself one of the counted.
            Arc::strong_count(link) <= WORKERS_PER_LINK
        });
        let link = free.unwrap_or_else(|| {
            let (endpoints, dialling) = (self.endpoints.clone(), self.dialling.clone());
            let (name, registry) = (self.name.clone(), self.registry.clone());
            let role = ConnectionRole::Consume;
            let link =
                Arc::new(Link::start(endpoints, dialling, role, name, registry, &self.tasks));
            links.push(Arc::downgrade(&link));
            link
        });
        Arc::new(Lease(link))
    }
}
