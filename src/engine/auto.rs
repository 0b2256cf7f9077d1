//! `ack: auto`: a message is done when its child is given it.
//!
//! The broker could do that by itself, but then it would send as fast as the network takes it,
//! whatever the child does, and all of it would lie here. So messages come under the prefetch as
//! ever, and are acked in the child's name: right before they are written to a child, or right
//! after the process of their own was started. What has not got so far when a child ends is given
//! to the next one.

use super::desk::Desk;
use crate::protocol::{Answer, DeliveryId, Reply, Target, Verdict};
use crate::telemetry::{Outcome, Reason};

impl Desk {
    /// The message is given to a child now: it is done. [`Desk::flush`] tells the broker.
    pub(super) fn let_go(&mut self, id: DeliveryId) {
        let done = Reply { target: Target::Id(id), multiple: false, verdict: Verdict::Ack };
        let mut given = Vec::new();
        // One whose channel is gone is only forgotten: the broker delivers it again.
        if self.ledger.answer(&done, &mut given) == Answer::Settled {
            self.failures.reset();
            self.reached(id);
            self.meter.settled(Outcome::Acked);
        }
    }

    /// An answer that settles nothing. What it says of a failure is counted and logged.
    pub(super) fn note(&mut self, reply: &Reply) {
        match &reply.verdict {
            Verdict::Ack | Verdict::Requeue | Verdict::Extend(_) => {}
            Verdict::Reject { reason } => self.note_failure(Reason::Rejected, reason.as_deref()),
            Verdict::Nack { reason } | Verdict::Retry { reason, .. } => {
                self.note_failure(Reason::Failed, reason.as_deref());
            }
            Verdict::AckAfter(_) => {
                self.meter.protocol_error();
                if !std::mem::replace(&mut self.unasked_said, true) {
                    let hint =
                        "remove `ack: auto`: output is published before its message is acked";
                    tracing::warn!(consumer = %self.spec.name, worker = self.slot, hint, "what it wants published goes nowhere: its messages are done already");
                }
            }
        }
    }

    /// A message that is done has failed.
    pub(super) fn note_failure(&mut self, reason: Reason, words: Option<&str>) {
        self.shown.failed();
        self.meter.failed(words.unwrap_or(reason.as_str()));
        if self.failed_lines.admits() {
            tracing::info!(
                consumer = %self.spec.name,
                worker = self.slot,
                reason = reason.as_str(),
                words,
                unsaid = Some(self.failed_lines.take_held_back()).filter(|lines| *lines > 0),
                "a message has failed that is acked already"
            );
        }
    }
}
