//! The desk's care for messages that failed: publish again, dead-letter, give back; and settle the
//! original only when that is certain.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::desk::{Desk, Pending, REQUEUE_PAUSE, Settled};
use super::kept::Kept;
use crate::broker::amqp::{Outgoing, PublishError, encoded_size};
use crate::model::{DeadLetterTarget, FailureClass, QueueType, RetrySpec, duration_label};
use crate::protocol::{DeliveryId, Settlement};
use crate::supervise::{
    DeadLetterRoute, Disposition, Epitaph, Failure, Wish, dispose, first_address, republished,
    republished_bare,
};
use crate::telemetry::{Outcome, Reason};

impl Desk {
    /// Finds out what becomes of a message that failed, and sets it going.
    pub(super) fn fail(
        &mut self,
        id: DeliveryId,
        kept: Kept,
        wish: Wish,
        reason: Reason,
        words: Option<&str>,
    ) {
        self.shown.failed();
        let class = match reason {
            Reason::Timeout => FailureClass::Timeout,
            Reason::Crashed => FailureClass::Crash,
            _ => FailureClass::Nack,
        };
        let failure = Failure { attempt: kept.attempt, class, crashes: kept.crashes, wish };
        let disposition = dispose(&self.spec, &self.route, failure);
        let why = |exhausted: bool| match reason {
            Reason::Failed if exhausted && self.spec.retry.is_some() => Reason::Exhausted,
            reason => reason,
        };
        self.meter.failed(words.unwrap_or(reason.as_str()));
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
        if let Disposition::Rest { delay } = disposition {
            let delay = delay.unwrap_or_else(|| self.failures.next(fastrand::f64()));
            return self.rest(id, kept, delay);
        }
        let kept = &kept;
        let publish = |exchange: String, routing_key: String, reason: Reason| {
            let at = jiff::Timestamp::now().to_string();
            let epitaph = Epitaph {
                failed: kept.attempt,
                crashes: kept.crashes,
                reason: reason.as_str(),
                error: words,
                consumer: &self.spec.name,
                queue: &self.spec.queue,
                at: &at,
            };
            let properties = republished(&kept.delivery, &epitaph);
            let body = kept.delivery.body.clone();
            Outgoing { exchange, routing_key, properties, body, grows: false }
        };
        let work: Pending<Settled> = match disposition {
            Disposition::Retry { delay } => {
                let queue = RetrySpec::queue_name(&self.spec.queue, delay);
                // The broker writes down that it has expired there.
                let message = Outgoing { grows: true, ..publish(String::new(), queue, reason) };
                self.mark(id, kept, message, Outcome::Retried)
            }
            Disposition::Again => {
                let message = publish(String::new(), self.spec.queue.to_string(), reason);
                self.mark(id, kept, message, Outcome::Retried)
            }
            Disposition::DeadLetter { target, exhausted } => {
                let reason = why(exhausted);
                let (exchange, key) = address(&target, kept);
                let message = publish(exchange, key, reason);
                self.mark(id, kept, message, Outcome::DeadLettered(reason))
            }
            Disposition::RejectByBroker { exhausted } => {
                let outcome = Outcome::DeadLettered(why(exhausted));
                Box::pin(std::future::ready((id, Settlement::Reject, outcome)))
            }
            Disposition::Discard { exhausted } => {
                let outcome = Outcome::Discarded(why(exhausted));
                Box::pin(std::future::ready((id, Settlement::Ack, outcome)))
            }
            // Rested above.
            Disposition::Rest { .. } => return,
            Disposition::Requeue => {
                let pause = self.failures.next(fastrand::f64());
                let back = after_pause(id, pause, self.hurry.clone());
                if self.spec.queue_type == QueueType::Quorum {
                    // A quorum queue counts what is given back, and drops what has come too often.
                    let message = publish(String::new(), self.spec.queue.to_string(), reason);
                    let moved = self.move_on(id, message, Outcome::Requeued);
                    Box::pin(async move {
                        back.await;
                        moved.await
                    })
                } else {
                    Box::pin(back)
                }
            }
        };
        self.outcomes.push(work);
    }

    /// The message has killed its child: so many crashes are booked on it.
    pub(super) fn crashed(&mut self, id: DeliveryId, booked: u32, why: &str) {
        let Some(mut kept) = self.ledger.take(id) else { return };
        kept.crashes = kept.crashes.saturating_add(booked);
        kept.attempt = kept.attempt.saturating_add(booked.saturating_sub(1));
        let why = format!("crash {} of {}: {why}", kept.crashes, self.spec.max_crashes);
        self.fail(id, kept, Wish::Later, Reason::Crashed, Some(&why));
    }

    /// Moves the message on with our marks in its headers. Headers that leave no room for them
    /// could not be counted down in retries, so such a message goes where dead letters go.
    fn mark(
        &mut self,
        id: DeliveryId,
        kept: &Kept,
        message: Outgoing,
        outcome: Outcome,
    ) -> Pending<Settled> {
        if self.context.publisher.has_room(&message) {
            return Box::pin(self.move_on(id, message, outcome));
        }
        if let Some(unsaid) = self.unmoved_lines.admits() {
            let size = encoded_size(&kept.delivery.properties);
            let unsaid = Some(unsaid).filter(|lines| *lines > 0);
            let hint = "it goes where dead letters go, without the reason";
            tracing::warn!(consumer = %self.spec.name, %id, size, unsaid, hint, "the headers of a failed message leave no room for ours");
        }
        let dead = match outcome {
            Outcome::DeadLettered(reason) => reason,
            _ => Reason::TooLarge,
        };
        match &self.route {
            DeadLetterRoute::Publish(target) => {
                let (exchange, routing_key) = address(target, kept);
                let (properties, body) =
                    (republished_bare(&kept.delivery), kept.delivery.body.clone());
                let message = Outgoing { exchange, routing_key, properties, body, grows: false };
                Box::pin(self.move_on(id, message, Outcome::DeadLettered(dead)))
            }
            DeadLetterRoute::ByBroker => {
                let outcome = Outcome::DeadLettered(dead);
                Box::pin(std::future::ready((id, Settlement::Reject, outcome)))
            }
            DeadLetterRoute::Nowhere if self.spec.discard => {
                Box::pin(std::future::ready((id, Settlement::Ack, Outcome::Discarded(dead))))
            }
            DeadLetterRoute::Nowhere => {
                let pause = self.failures.next(fastrand::f64());
                Box::pin(after_pause(id, pause, self.hurry.clone()))
            }
        }
    }

    /// Publishes and, once that is confirmed, acks; where it is not, gives the original back.
    fn move_on(
        &self,
        id: DeliveryId,
        message: Outgoing,
        outcome: Outcome,
    ) -> impl Future<Output = Settled> + Send + use<> {
        let context = self.context.clone();
        let (consumer, key) = (self.spec.name.clone(), message.routing_key.clone());
        let back = after_pause(id, REQUEUE_PAUSE.0, self.hurry.clone());
        let lines = self.unmoved_lines.clone();
        async move {
            match context.publisher.publish(message).await {
                Ok(()) => (id, Settlement::Ack, outcome),
                Err(error) => {
                    let hint = match error {
                        PublishError::Returned(_) => {
                            context.ask_to_reconcile();
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

/// Where a dead letter goes: by default with the key that it was first published with.
fn address(target: &DeadLetterTarget, kept: &Kept) -> (String, String) {
    let key = target
        .routing_key
        .as_ref()
        .map_or_else(|| first_address(&kept.delivery).1.to_owned(), ToString::to_string);
    (target.exchange.to_string(), key)
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
            Disposition::Again => f.write_str("to be tried again"),
            Disposition::Rest { delay: Some(delay) } if !delay.is_zero() => {
                write!(f, "to be tried again in its place in {}", duration_label(*delay))
            }
            Disposition::Rest { .. } => f.write_str("to be tried again in its place"),
            Disposition::DeadLetter { .. } | Disposition::RejectByBroker { .. } => {
                f.write_str("dead-lettered")
            }
            Disposition::Discard { .. } => f.write_str("discarded"),
            Disposition::Requeue => f.write_str("given back to its queue"),
        }
    }
}
