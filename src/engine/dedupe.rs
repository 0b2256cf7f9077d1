//! `dedupe`: a message that was handled already is acked without any child seeing it.
//!
//! All workers of a consumer share what they have seen, so a message that one of them has holds
//! back another of the same key at each of them, and a change of the file forgets nothing.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use amq_protocol::types::AMQPValue;
use tokio::sync::watch;

use super::desk::Desk;
use crate::model::{DedupeKey, DedupeSpec, Delivery};
use crate::protocol::{DeliveryId, Settlement};
use crate::supervise::{Claim, Seen};
use crate::telemetry::Outcome;

/// Longest key that is compared, bytes: as long as a `message_id` can be.
const LONGEST: usize = 255;

/// What the workers of one consumer have seen. A clone is the same.
#[derive(Clone)]
pub(super) struct SharedSeen {
    seen: Arc<Mutex<Seen<Arc<str>>>>,
    /// Changes whenever a key is no longer under way.
    freed: watch::Sender<()>,
}

impl Default for SharedSeen {
    fn default() -> Self {
        // Whoever claims anything has said before how much is to be remembered.
        let seen = Seen::new(Duration::ZERO, 0);
        Self { seen: Arc::new(Mutex::new(seen)), freed: watch::Sender::new(()) }
    }
}

/// A key that is under way. Dropped, it is free for another message.
pub(super) struct Claimed {
    shared: SharedSeen,
    key: Arc<str>,
}

impl SharedSeen {
    /// Each change is made under the lock as a whole, so one left by a panic elsewhere is still good.
    fn with<T>(&self, act: impl FnOnce(&mut Seen<Arc<str>>) -> T) -> T {
        act(&mut self.seen.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Remembers so much from now on.
    pub(super) fn set_limits(&self, spec: &DedupeSpec) {
        self.with(|seen| seen.set_limits(spec.window, spec.max.get() as usize));
    }

    /// Tells of each key that becomes free.
    pub(super) fn freed(&self) -> watch::Receiver<()> {
        self.freed.subscribe()
    }

    fn claim(&self, key: &Arc<str>) -> (Claim, Option<Claimed>) {
        let claim = self.with(|seen| seen.claim(key, Instant::now()));
        let ours = claim == Claim::Ours;
        (claim, ours.then(|| Claimed { shared: self.clone(), key: key.clone() }))
    }
}

impl Claimed {
    /// The message is acked. Others of its key are duplicates from now on.
    pub(super) fn acked(self) {
        self.shared.with(|seen| seen.finish(&self.key, Instant::now()));
    }
}

impl Drop for Claimed {
    fn drop(&mut self) {
        // Of one that was acked nothing is under way any more.
        self.shared.with(|seen| seen.give_up(&self.key));
        self.shared.freed.send_replace(());
    }
}

/// What the message is known by; `None` where it has nothing of that kind, or too much.
fn key_of(delivery: &Delivery, by: &DedupeKey) -> Option<Arc<str>> {
    let properties = &delivery.properties;
    let key = match by {
        DedupeKey::MessageId => properties.message_id().as_ref()?.as_str().into(),
        DedupeKey::CorrelationId => properties.correlation_id().as_ref()?.as_str().into(),
        DedupeKey::Header(name) => {
            match properties.headers().as_ref()?.inner().get(name.as_str())? {
                AMQPValue::LongString(text) => std::str::from_utf8(text.as_bytes()).ok()?.into(),
                AMQPValue::ShortString(text) => text.as_str().into(),
                AMQPValue::LongLongInt(number) => number.to_string().into(),
                AMQPValue::LongInt(number) => number.to_string().into(),
                _ => return None,
            }
        }
    };
    Some(key).filter(|key: &Arc<str>| !key.is_empty() && key.len() <= LONGEST)
}

impl Desk {
    /// Whether a message that was just booked is for the child. One that was handled already is
    /// acked; one whose key is under way waits.
    pub(super) fn admits(&mut self, id: DeliveryId) -> bool {
        let Some(dedupe) = &self.spec.dedupe else { return true };
        let by = dedupe.by.clone();
        let Some(kept) = self.kept(id).filter(|kept| kept.claimed.is_none()) else { return true };
        let Some(key) = key_of(&kept.delivery, &by) else { return true };
        let (claim, claimed) = self.context.seen.claim(&key);
        match claim {
            Claim::Ours => {
                if let Some(kept) = self.kept(id) {
                    kept.claimed = claimed;
                }
                true
            }
            Claim::Duplicate => {
                tracing::debug!(consumer = %self.spec.name, worker = self.slot, %id, "handled already");
                if self.ledger.take(id).is_some() && self.ledger.resolve(id, Settlement::Ack) {
                    self.reached(id);
                    self.meter.settled(Outcome::Duplicate);
                }
                self.suspects.cleared(id);
                false
            }
            Claim::Wait => {
                if self.ledger.park_one(id) {
                    self.aside.push(id);
                }
                false
            }
        }
    }

    /// Keys have become free: those that waited for one are looked at again, in their order.
    pub(super) fn look_aside(&mut self) {
        for id in std::mem::take(&mut self.aside) {
            if self.ledger.hand_over(id) && self.admits(id) && self.ledger.park_one(id) {
                self.parked.push_back(id);
            }
        }
        self.flush();
    }
}
