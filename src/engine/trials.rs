//! The desk between two children: what the first has left is kept for the second, and what may
//! have killed the first is tried alone.
//!
//! Nothing is given back to the broker for that. A quorum queue before RabbitMQ 4.3 counts each
//! return as a failed delivery: a child that crashes again and again would have innocent messages
//! dropped with the guilty one.

use super::desk::Desk;
use crate::model::{Delivery, RetrySpec};
use crate::protocol::DeliveryId;
use crate::supervise::{Blame, failed_tries, recorded_crashes, suspicious};

impl Desk {
    /// Which try this is, from 1, and how many children have died over the message.
    pub(super) fn record_of(&self, delivery: &Delivery) -> (u32, u32) {
        let allowed = self.spec.max_crashes.get();
        // Without a policy there are more tries after crashes only, each of which is a failed one.
        let most = self.spec.retry.as_ref().map_or(allowed - 1, RetrySpec::most_failures);
        let failed = failed_tries(&delivery.properties, most);
        (failed.saturating_add(1), recorded_crashes(&delivery.properties, allowed))
    }

    /// The next message for the child, in the ledger as handed over now; none where there is none,
    /// or where the next one has to wait for the answer to another.
    pub(super) fn next_for_child(&mut self) -> Option<DeliveryId> {
        if let Some(trial) = self.suspects.trial()
            && !self.ledger.is_held(trial)
        {
            self.suspects.cleared(trial);
        }
        if self.holds_back() {
            return None;
        }
        let held = self.ledger.held();
        let busy = held.unanswered > 0 || held.ghosts > 0;
        while let Some(&id) = self.parked.front() {
            if !self.suspects.may_go(id, busy) {
                return None;
            }
            self.parked.pop_front();
            if self.ledger.hand_over(id) {
                if let Some(kept) = self.kept(id) {
                    kept.extended = None;
                }
                self.suspects.handed_over(id);
                return Some(id);
            }
            // Its channel was lost meanwhile.
            self.suspects.cleared(id);
        }
        loop {
            let delivery = self.waiting.front()?;
            let id = DeliveryId { epoch: self.epoch, tag: delivery.tag };
            if suspicious(&delivery.properties, self.spec.max_crashes.get()) {
                self.suspects.accuse(id);
            }
            if !self.suspects.may_go(id, busy) {
                return None;
            }
            let delivery = self.waiting.pop_front()?;
            let id = self.book(delivery)?;
            if self.admits(id) {
                self.suspects.handed_over(id);
                return Some(id);
            }
        }
    }

    /// The child has had nothing of these and never will: they are for the next one.
    pub(super) fn keep_for_next(&mut self, unread: Vec<DeliveryId>) {
        let kept: Vec<_> = unread.into_iter().filter(|id| self.ledger.park_one(*id)).collect();
        self.park_before(kept);
    }

    /// The child is gone: what it had is kept for the next one. `why` it is gone, where that may be
    /// the doing of a message; `unseen` are those, in order, of which it has read nothing.
    /// Gives how many crashes are booked on a message for it.
    pub(super) fn child_gone(&mut self, why: Option<&str>, unseen: &[DeliveryId]) -> u32 {
        let more = self.ledger.held().ghosts > 0;
        let mut held = Vec::new();
        self.ledger.park(&mut held);
        self.front = None;
        let Some(why) = why else {
            self.suspects.replaced();
            self.park_before(held);
            return 0;
        };
        let seen: Vec<_> =
            held.iter().copied().filter(|id| unseen.binary_search(id).is_err()).collect();
        let (consumer, worker) = (&self.spec.name, self.slot);
        let blame = self.suspects.died(&seen, more);
        if blame.is_none() && !seen.is_empty() {
            tracing::warn!(%consumer, worker, "its process had {} messages when it ended: each is tried alone", seen.len());
        }
        held.retain(|id| blame.is_none_or(|blame| blame.id != *id));
        self.park_before(held);
        let Some(Blame { id, crashes }) = blame else { return 0 };
        self.crashed(id, crashes, why);
        crashes
    }

    /// What was delivered before all that waits here.
    fn park_before(&mut self, older: Vec<DeliveryId>) {
        for id in older.into_iter().rev() {
            self.parked.push_front(id);
        }
    }
}
