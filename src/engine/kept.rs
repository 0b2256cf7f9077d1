//! What is kept of a message while a child has it.

use std::time::{Duration, Instant};

use super::dedupe::Claimed;
use crate::model::{ConsumerSpec, Delivery, WireProtocol};
use crate::protocol::{DeliveryId, Envelope};
use crate::supervise::first_address;

/// What is kept of a message while a child has it.
pub(super) struct Kept {
    /// The message, whole: it may have to be published again.
    pub(super) delivery: Delivery,
    /// Which try this is, from 1.
    pub(super) attempt: u32,
    /// How many children have died over it before.
    pub(super) crashes: u32,
    /// Until when the child has asked for more time.
    pub(super) extended: Option<Instant>,
    /// With `dedupe`, its key.
    pub(super) claimed: Option<Claimed>,
}

impl Kept {
    /// It is handled: another of its kind is a duplicate.
    pub(super) fn acked(self) {
        if let Some(claimed) = self.claimed {
            claimed.acked();
        }
    }

    /// The message as a child gets it. `deadline` is what [`shown_deadline`] gives.
    pub(super) fn envelope<'a>(
        &'a self,
        id: DeliveryId,
        spec: &'a ConsumerSpec,
        deadline: Option<&'a str>,
    ) -> Envelope<'a> {
        let (exchange, routing_key) = first_address(&self.delivery);
        Envelope {
            id,
            attempt: self.attempt,
            redelivered: self.delivery.redelivered,
            queue: spec.queue.as_str(),
            exchange,
            routing_key,
            deadline,
            properties: &self.delivery.properties,
            body: &self.delivery.body,
        }
    }
}

/// When the time of a message that is handed over now will be over, RFC 3339; nothing where the
/// protocol has no place for it.
pub(super) fn shown_deadline(spec: &ConsumerSpec, limit: Option<Duration>) -> Option<String> {
    if matches!(spec.protocol, WireProtocol::Lines { .. }) {
        return None;
    }
    let deadline = jiff::Timestamp::now().checked_add(limit?).ok()?;
    Some(format!("{deadline:.3}"))
}
