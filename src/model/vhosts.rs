//! Vhosts, and limits of vhosts and users.

use std::collections::{BTreeMap, BTreeSet};

use super::{OnRemove, Origin, QueueType, VhostName};

/// Upper bounds by the broker's own names for them: `max-connections`, `max-queues`,
/// `max-channels`. What has no bound is absent.
pub type BrokerLimits = BTreeMap<String, u64>;

/// What the limits of a vhost are called.
pub const VHOST_LIMITS: &[&str] = &["max-connections", "max-queues"];

/// What the limits of a user are called.
pub const USER_LIMITS: &[&str] = &["max-connections", "max-channels"];

/// A virtual host, without what is in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vhost {
    /// Its name.
    pub name: VhostName,
    /// What it is for; empty for nothing.
    pub description: String,
    /// Tags, which mean something to people only.
    pub tags: BTreeSet<String>,
    /// The type of queues that are declared without one; `None` leaves the broker's.
    pub default_queue_type: Option<QueueType>,
    /// See [`VHOST_LIMITS`].
    pub limits: BrokerLimits,
    /// False where it must exist but is never created, changed or deleted by us.
    pub managed: bool,
    /// What becomes of it when no file declares it any more.
    pub on_remove: OnRemove,
    /// Where it was declared.
    pub origin: Origin,
}
