//! The desk's clock: how long a message may take, and for how long it has.

use std::time::{Duration, Instant};

use super::desk::Desk;
use crate::model::{ConsumerSpec, duration_label};
use crate::protocol::DeliveryId;

/// A timer that is noticed so late tells of a machine that stood still, not of a slow child.
pub(super) const STALL: Duration = Duration::from_secs(1);

/// Says that a worker's process outlives every signal, and that it is not waited for.
pub(super) fn give_up(spec: &ConsumerSpec, slot: u16) {
    let hint = "it waits for something in the kernel, a disk or a network file system; it is reaped when it is gone";
    tracing::error!(consumer = %spec.name, worker = slot, hint, "its process cannot be killed: going on without it");
}

/// What is the matter with a child that had to say that it is ready.
pub(super) fn not_ready(spec: &ConsumerSpec) -> String {
    let limit = duration_label(spec.ready.unwrap_or_default());
    format!("its process has not said `ready` within {limit}")
}

impl Desk {
    /// How long a message may take.
    pub(super) fn time_limit(&self) -> Option<Duration> {
        match (self.spec.timeout, self.ack_limit.usable()) {
            (Some(ours), Some(brokers)) => Some(ours.min(brokers)),
            (ours, brokers) => ours.or(brokers),
        }
    }

    /// The message that has been with the child for longest, and when its time is over. The clock
    /// of a message starts when it is handed over or, if later, when the one before it is
    /// answered: with a prefetch above one, waiting behind others is no fault of the message.
    pub(super) fn overdue_at(&mut self, now: Instant) -> Option<(DeliveryId, Instant)> {
        let timeout = self.time_limit()?;
        let id = self.ledger.oldest()?;
        let since = match self.front {
            Some((front, since)) if front == id => since,
            _ => self.front.insert((id, now)).1,
        };
        let extended = self.ledger.get_mut(id).and_then(|kept| kept.extended);
        let due = since + timeout;
        Some((id, extended.map_or(due, |until| until.max(due))))
    }

    /// The time of the oldest message begins anew.
    pub(super) fn restart_clock(&mut self, now: Instant) {
        if let Some((_, since)) = &mut self.front {
            *since = now;
        }
    }

    /// For how long the child has been working on what it answers next.
    pub(super) fn working_for(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.busy_since)
    }
}
