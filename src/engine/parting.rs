//! How a desk parts with messages: with one, with all, and at its end with its channel.

use super::desk::Desk;
use crate::model::QueueType;
use crate::protocol::{DeliveryId, Settlement};
use crate::supervise::Wish;
use crate::telemetry::{Outcome, Reason};

/// Why a message of a stream is tried again that its child gave back: a stream takes nothing back.
pub(super) const GIVEN_BACK: &str = "given back";

impl Desk {
    /// The message is done.
    pub(super) fn ack(&mut self, id: DeliveryId) {
        self.decide(id, Settlement::Ack, Outcome::Acked);
        self.failures.reset();
    }

    /// The message goes back untouched.
    pub(super) fn requeue(&mut self, id: DeliveryId) {
        if self.spec.queue_type == QueueType::Stream {
            return self.fail_by_us(id, Wish::Later, Reason::Failed, GIVEN_BACK);
        }
        self.decide(id, Settlement::Requeue, Outcome::Requeued);
    }

    /// The message goes back because its child cannot take it.
    pub(super) fn release_one(&mut self, id: DeliveryId) {
        self.decide(id, Settlement::Requeue, Outcome::Released);
    }

    fn decide(&mut self, id: DeliveryId, settlement: Settlement, outcome: Outcome) {
        if let Some(kept) = self.ledger.take(id) {
            if outcome == Outcome::Acked {
                kept.acked();
                self.reached(id);
            }
            if outcome != Outcome::Released {
                self.worked(1);
            }
            if self.ledger.resolve(id, settlement) {
                self.meter.settled(outcome);
            }
        }
    }

    /// Everything that is not settled goes back to the queue.
    pub(super) fn release(&mut self) {
        if self.spec.in_place() {
            self.wanted = false;
            return self.give_back();
        }
        self.parked.clear();
        self.aside.clear();
        self.suspects.forget();
        let mut held = std::mem::take(&mut self.answered);
        self.ledger.abandon(&mut held);
        for (id, _) in held.drain(..) {
            if self.ledger.resolve(id, Settlement::Requeue) {
                self.meter.settled(Outcome::Released);
            }
        }
        self.answered = held;
        self.give_back();
    }

    /// Waits until it is known what became of every failed message, and the broker has been told.
    pub(super) async fn confirmed(&mut self) {
        let unsaid = |desk: &Self| desk.subscribing.is_some() && desk.ledger.held().unflushed > 0;
        while !self.outcomes.is_empty() || unsaid(self) {
            self.turn().await;
        }
    }

    /// Ends the channel. Whatever is unsettled on it goes back to its queue.
    pub(super) async fn close(mut self) {
        self.release();
        if self.spec.in_place() {
            self.let_channel_go();
        }
        if let Some(closing) = self.closing.take() {
            closing.await;
        }
        self.close_reader().await;
        // A broker that has not even answered the pause is not waited for.
        if let Some(subscription) = self.subscription.take()
            && self.pausing.is_none()
        {
            subscription.close().await;
        }
        let lost = self.ledger.close();
        self.lost(lost);
    }
}
