//! How long the broker lets a message of a queue be unsettled, as far as it has shown that.
//!
//! A broker has a limit of its own (`consumer_timeout`, `x-consumer-timeout`) and tells it nobody
//! before it is passed: then it takes all messages of the channel back. Whoever ran into it once
//! ends the next message before that, as a failure that is counted; otherwise the same message would
//! come and go for ever.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::model::{QueueName, VhostName};

/// The limits of all queues. A clone is the same.
#[derive(Clone, Debug, Default)]
pub(super) struct AckLimits(Arc<Mutex<BTreeMap<(VhostName, QueueName), AckLimit>>>);

/// The limit of one queue. A clone is the same.
#[derive(Clone, Debug, Default)]
pub(super) struct AckLimit(Arc<AtomicU64>);

impl AckLimits {
    /// That of a queue.
    pub(super) fn of(&self, vhost: &VhostName, queue: &QueueName) -> AckLimit {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.entry((vhost.clone(), queue.clone())).or_default().clone()
    }
}

impl AckLimit {
    /// The broker has shown that it is this.
    pub(super) fn learn(&self, limit: Duration) {
        let millis = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
        self.0.store(millis, Ordering::Relaxed);
    }

    /// How long a message may take so that it is over before the broker ends it; `None` where
    /// nothing is known.
    pub(super) fn usable(&self) -> Option<Duration> {
        match self.0.load(Ordering::Relaxed) {
            0 => None,
            millis => Some(Duration::from_millis(millis).mul_f64(0.9)),
        }
    }
}
