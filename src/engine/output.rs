//! The desk's care for what an ack brings along: it is published first, and the message is settled
//! only when all of it is confirmed.

use super::desk::Desk;
use super::kept::Kept;
use crate::broker::amqp::{Outgoing, Publisher};
use crate::protocol::{Content, DeliveryId, Output, Publication, Settlement, excerpt};
use crate::supervise::Wish;
use crate::telemetry::{Outcome, Reason};

/// How the publishing for one message has gone.
pub(super) struct Published {
    id: DeliveryId,
    kept: Kept,
    outcome: Result<(), String>,
}

impl Desk {
    /// The same as [`Desk::publish_then_ack`] for a message that is still with the child.
    pub(super) fn ack_after(&mut self, id: DeliveryId, output: Output) {
        if let Some(kept) = self.ledger.take(id) {
            self.worked(1);
            self.publish_then_ack(id, kept, output);
        }
    }

    /// The message, which was taken from the child, is done once that is published.
    pub(super) fn publish_then_ack(&mut self, id: DeliveryId, kept: Kept, output: Output) {
        let (publications, unasked) = output.addressed(&kept.delivery.properties);
        if unasked && !std::mem::replace(&mut self.unasked_said, true) {
            tracing::warn!(
                consumer = %self.spec.name,
                worker = self.slot,
                %id,
                "a reply goes nowhere: its message names no `reply_to`"
            );
        }
        let publisher = self.context.publisher.clone();
        self.outputs.push(Box::pin(async move {
            let outcome = publish_all(&publisher, publications).await;
            Published { id, kept, outcome }
        }));
    }

    /// Settles the message as the publishing went.
    pub(super) fn published(&mut self, done: Published) {
        let Published { id, mut kept, outcome } = done;
        if let (Ok(()), Some(claimed)) = (&outcome, kept.claimed.take()) {
            claimed.acked();
        }
        // Where its channel is gone, the broker delivers the message again, and that delivery is
        // what fails or succeeds.
        if self.ledger.epoch() != Some(id.epoch) {
            return;
        }
        match outcome {
            Ok(()) => {
                self.failures.reset();
                if self.ledger.resolve(id, Settlement::Ack) {
                    self.reached(id);
                    self.meter.settled(Outcome::Acked);
                }
            }
            Err(why) => self.fail(id, kept, Wish::Later, Reason::Failed, Some(&why)),
        }
        self.flush();
    }
}

/// One after the other, so that they arrive in their order, up to the first that fails.
async fn publish_all(publisher: &Publisher, publications: Vec<Publication>) -> Result<(), String> {
    for Publication { exchange, routing_key, content } in publications {
        let address = if exchange.is_empty() {
            format!("queue `{}`", excerpt(routing_key.as_bytes()))
        } else {
            let (exchange, key) = (excerpt(exchange.as_bytes()), excerpt(routing_key.as_bytes()));
            format!("exchange `{exchange}` with key `{key}`")
        };
        let Content { body, properties } = content;
        let message =
            Outgoing { exchange, routing_key, properties, body: body.into(), grows: false };
        publisher
            .publish(message)
            .await
            .map_err(|error| format!("its output to {address} was not published: {error}"))?;
    }
    Ok(())
}
