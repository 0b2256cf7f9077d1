//! The desk's care for messages that failed: publish again, dead-letter, give back; and settle the
//! original only when that is certain.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::desk::{Desk, Kept, Pending, REQUEUE_PAUSE, Settled};
use crate::broker::amqp::{Outgoing, PublishError};
use crate::model::{RetrySpec, duration_label};
use crate::protocol::{DeliveryId, Settlement};
use crate::supervise::{Disposition, Epitaph, Failure, Wish, dispose, first_address, republished};
use crate::telemetry::{Outcome, Reason};

impl Desk {
    /// Finds out what becomes of a message that failed, and sets it going.
    pub(super) fn fail(
        &mut self,
        id: DeliveryId,
        kept: &Kept,
        wish: Wish,
        reason: Reason,
        words: Option<&str>,
    ) {
        self.shown.failed();
        let failure = Failure { attempt: kept.attempt, wish };
        let disposition = dispose(&self.spec, &self.route, failure);
        let why = |exhausted: bool| match reason {
            Reason::Failed if exhausted && self.spec.retry.is_some() => Reason::Exhausted,
            reason => reason,
        };
        if self.failed_lines.admits() {
            tracing::info!(
                consumer = %self.spec.name,
                worker = self.slot,
                %id,
                attempt = kept.attempt,
                reason = reason.as_str(),
                words,
                unsaid = Some(self.failed_lines.take_held_back()).filter(|lines| *lines > 0),
                "message failed: {}", Words(&disposition)
            );
        }
        let publish = |exchange: String, routing_key: String, reason: Reason| {
            let at = jiff::Timestamp::now().to_string();
            let epitaph = Epitaph {
                failed: kept.attempt,
                reason: reason.as_str(),
                error: words,
                consumer: &self.spec.name,
                queue: &self.spec.queue,
                at: &at,
            };
            let properties = republished(&kept.delivery, &epitaph);
            Outgoing { exchange, routing_key, properties, body: kept.delivery.body.clone() }
        };
        let work: Pending<Settled> = match disposition {
            Disposition::Retry { delay } => {
                let queue = RetrySpec::queue_name(&self.spec.queue, delay);
                let message = publish(String::new(), queue, reason);
                Box::pin(self.move_on(id, message, Outcome::Retried))
            }
            Disposition::DeadLetter { target, exhausted } => {
                let reason = why(exhausted);
                let key = target.routing_key.map_or_else(
                    || first_address(&kept.delivery).1.to_owned(),
                    |key| key.to_string(),
                );
                let message = publish(target.exchange.to_string(), key, reason);
                Box::pin(self.move_on(id, message, Outcome::DeadLettered(reason)))
            }
            Disposition::RejectByBroker { exhausted } => {
                let outcome = Outcome::DeadLettered(why(exhausted));
                Box::pin(std::future::ready((id, Settlement::Reject, outcome)))
            }
            Disposition::Discard { exhausted } => {
                let outcome = Outcome::Discarded(why(exhausted));
                Box::pin(std::future::ready((id, Settlement::Ack, outcome)))
            }
            Disposition::Requeue => {
                let pause = self.failures.next(fastrand::f64());
                Box::pin(after_pause(id, pause, self.hurry.clone()))
            }
        };
        self.outcomes.push(work);
    }

    /// Publishes and, once that is confirmed, acks; where it is not, gives the original back.
    fn move_on(
        &self,
        id: DeliveryId,
        message: Outgoing,
        outcome: Outcome,
    ) -> impl Future<Output = Settled> + Send + use<> {
        let publisher = self.context.publisher.clone();
        let (consumer, key) = (self.spec.name.clone(), message.routing_key.clone());
        let back = after_pause(id, REQUEUE_PAUSE.0, self.hurry.clone());
        let lines = self.unmoved_lines.clone();
        async move {
            match publisher.publish(message).await {
                Ok(()) => (id, Settlement::Ack, outcome),
                Err(error) => {
                    let hint = match error {
                        PublishError::Returned(_) => {
                            "is the queue there? `warrener plan` shows what is missing"
                        }
                        _ => "the message goes back to its queue, and may be delivered twice",
                    };
                    if let Some(unsaid) = lines.admits() {
                        let unsaid = Some(unsaid).filter(|lines| *lines > 0);
                        tracing::warn!(%consumer, %key, unsaid, hint, "cannot move a failed message on: {error}");
                    }
                    back.await
                }
            }
        }
    }
}

/// Gives a message back when the pause, or the patience of whoever stops the worker, is over.
async fn after_pause(id: DeliveryId, pause: Duration, hurry: CancellationToken) -> Settled {
    tokio::select! {
        () = hurry.cancelled() => {}
        () = tokio::time::sleep(pause) => {}
    }
    (id, Settlement::Requeue, Outcome::Requeued)
}

/// A disposition in a few words, for the log.
struct Words<'a>(&'a Disposition);

impl std::fmt::Display for Words<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Disposition::Retry { delay } => {
                write!(f, "to be retried in {}", duration_label(*delay))
            }
            Disposition::DeadLetter { .. } | Disposition::RejectByBroker { .. } => {
                f.write_str("dead-lettered")
            }
            Disposition::Discard { .. } => f.write_str("discarded"),
            Disposition::Requeue => f.write_str("given back to its queue"),
        }
    }
}
