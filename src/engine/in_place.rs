//! Messages that keep their place: with `order: strict`, and in a stream.
//!
//! One that failed is not published again, which would put it behind those that follow, but rests
//! here and goes to the child once more. And nothing is given back one by one: the broker puts a
//! message back where it was when its channel is closed, and only then may another host have it. To
//! end the consumer first would let that host begin with the next message while this one is still
//! being handled.

use std::time::Duration;

use super::desk::Desk;
use super::kept::Kept;
use crate::model::Order;
use crate::protocol::DeliveryId;
use crate::telemetry::Outcome;

impl Desk {
    /// A failed message is tried again after that time, and keeps its place until then.
    pub(super) fn rest(&mut self, id: DeliveryId, mut kept: Kept, delay: Duration) {
        kept.attempt = kept.attempt.saturating_add(1);
        kept.extended = None;
        self.resting.push(Box::pin(async move {
            tokio::time::sleep(delay).await;
            (id, kept)
        }));
    }

    /// Its time has come.
    pub(super) fn rested(&mut self, id: DeliveryId, kept: Kept) {
        if self.ledger.keep(id, kept) {
            self.parked.push_back(id);
        }
    }

    /// Whether nothing may go to a child now: another message comes first, or none is to go at all.
    pub(super) fn holds_back(&self) -> bool {
        if !self.spec.in_place() {
            return false;
        }
        let held = self.ledger.held();
        if self.spec.order == Order::Strict {
            return self.returning || held.unanswered + held.ghosts + held.resolving > 0;
        }
        // Of a stream the broker sends whole chunks, however many messages are in them.
        self.returning || held.unanswered + held.ghosts >= usize::from(self.spec.prefetch.get())
    }

    /// The next message for a process of its own, in the ledger as handed over now.
    pub(super) fn next_for_process(&mut self) -> Option<DeliveryId> {
        if self.holds_back() {
            return None;
        }
        while let Some(id) = self.parked.pop_front() {
            if self.ledger.hand_over(id) {
                return Some(id);
            }
        }
        loop {
            let Some(delivery) = self.waiting.pop_front() else {
                // The broker sends nothing in place of duplicates that it does not know to be done.
                self.flush();
                return None;
            };
            let id = self.book(delivery)?;
            if self.admits(id) {
                return Some(id);
            }
        }
    }

    /// Closes the channel as soon as no more messages are wanted and nothing is under way on it.
    /// What is kept for the next child keeps the channel open, unless there will be none.
    pub(super) fn settle_down(&mut self) {
        if !self.spec.in_place() || self.wanted || self.subscription.is_none() {
            return;
        }
        let under_way = self.ledger.held().unanswered > 0
            || !self.outcomes.is_empty()
            || !self.outputs.is_empty();
        let kept = !self.parked.is_empty() || !self.aside.is_empty() || !self.resting.is_empty();
        if !under_way && (self.returning || !kept) {
            self.let_channel_go();
        }
    }

    /// Closes the channel: whatever is not settled goes back to where it was.
    pub(super) fn let_channel_go(&mut self) {
        self.flush();
        let Some(subscription) = self.subscription.take() else { return };
        self.closing = Some(Box::pin(subscription.close()));
        // Their child is gone, so nobody owes an answer any more.
        self.ledger.park(&mut Vec::new());
        let lost = self.ledger.close();
        self.rewind();
        for _ in 0..lost.parked + lost.resolving {
            self.meter.settled(Outcome::Released);
        }
        self.waiting.clear();
        self.parked.clear();
        self.aside.clear();
        self.resting.clear();
        self.suspects.forget();
        self.front = None;
        self.show_in_flight();
    }
}
