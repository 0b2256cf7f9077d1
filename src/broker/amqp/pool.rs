//! Links shared by many workers, a bounded number on each.

use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::{Dialler, Link};
use crate::telemetry::ConnectionRole;

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

/// Hands out links for consuming from one vhost.
pub struct LinkPool {
    dialler: Dialler,
    links: Mutex<Vec<Weak<Link>>>,
}

impl LinkPool {
    /// A pool without a link.
    pub fn new(dialler: Dialler) -> Self {
        Self { dialler, links: Mutex::new(Vec::new()) }
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
            let link = Arc::new(Link::start(&self.dialler, ConnectionRole::Consume));
            links.push(Arc::downgrade(&link));
            link
        });
        Arc::new(Lease(link))
    }
}
