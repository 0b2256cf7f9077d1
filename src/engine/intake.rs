//! Where a desk's messages come from: asking for them, pausing, and losing the channel.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::desk::Desk;
use super::stream::consume_arguments;
use crate::broker::amqp::{Incoming, SubscribeError, Subscription};
use crate::model::duration_label;

/// Most messages taken from the channel in one turn, so that settling is never starved.
const BATCH: usize = 256;

/// The pause after a channel was lost in the middle of an attempt to consume.
const LOST_PAUSE: Duration = Duration::from_millis(200);

impl Desk {
    /// Asks for messages from now on, on this channel and on every later one; but first those are
    /// worked off that are here. The broker counts a prefetch for each time that it is asked, so
    /// asking before that could pile up any number.
    pub(super) fn open(&mut self) {
        self.wanted = true;
        self.returning = false;
        self.easing = None;
        // At the end of a pause it is looked whether messages are wanted again.
        if self.consuming() || self.subscribing.is_some() || self.pausing.is_some() {
            return;
        }
        let tried = self.suspects.trial().is_some();
        let here = !self.parked.is_empty() || !self.aside.is_empty() || !self.waiting.is_empty();
        if tried || here || self.awaits_turn(Duration::ZERO) {
            return;
        }
        // Never the same twice: a quorum queue takes a consumer of the tag of one that still has
        // messages for that one, and counts deliveries on from there.
        self.times_opened += 1;
        self.held_before = self.unsettled();
        let tag = self.context.tag.of(&self.spec.name, self.slot, self.times_opened);
        let (subscription, closing) = (self.subscription.take(), self.closing.take());
        let (link, spec) = (self.context.link.clone(), self.spec.clone());
        let arguments = consume_arguments(&spec.arguments, self.reader.as_mut());
        let asking = self.asking.clone();
        asking.store(false, Ordering::Relaxed);
        self.subscribing = Some(Box::pin(async move {
            if let Some(closing) = closing {
                closing.await;
            }
            let mut subscription = match subscription {
                Some(open) => open,
                None => {
                    let prefetch = spec.prefetch.get();
                    Subscription::open(&link, spec.queue.clone(), prefetch).await?
                }
            };
            let arguments = arguments.map_err(SubscribeError::Refused)?;
            asking.store(true, Ordering::Relaxed);
            subscription.resume(&tag, arguments).await?;
            Ok(subscription)
        }));
    }

    /// Asks for no more messages. What was delivered stays, and so does what is still under way,
    /// when it comes.
    pub(super) fn pause(&mut self) {
        self.wanted = false;
        self.easing = None;
        if self.ledger.epoch().is_none() {
            self.subscribing = None;
            self.awaited = None;
        }
        if self.spec.in_place() {
            return self.settle_down();
        }
        // An attempt on a channel that has messages goes on: the channel would be lost with it.
        if let Some(pausing) = self.subscription.as_mut().and_then(Subscription::pause) {
            self.pausing = Some(pausing);
            // What was held back while the pause was awaited.
            self.flush();
        }
    }

    /// What no child has goes back, and so does what is still under way, when it comes.
    pub(super) fn give_back(&mut self) {
        self.returning = true;
        if self.easing.is_some() {
            self.pause();
        }
        if self.spec.in_place() {
            return self.settle_down();
        }
        let aside = std::mem::take(&mut self.aside);
        for id in std::mem::take(&mut self.parked).into_iter().chain(aside) {
            self.suspects.cleared(id);
            self.release_one(id);
        }
        self.give_back_waiting();
    }

    pub(super) fn paused(&mut self, outcome: Result<(), SubscribeError>) {
        match (outcome, &mut self.subscription) {
            (Ok(()), Some(subscription)) => {
                self.waiting.extend(subscription.paused());
                if self.wanted {
                    self.open();
                } else if self.returning {
                    self.give_back_waiting();
                }
            }
            (Ok(()), None) => {}
            (Err(error), _) => {
                self.channel_lost(&error.to_string());
                self.again_after(Duration::ZERO);
            }
        }
    }

    fn give_back_waiting(&mut self) {
        while let Some(delivery) = self.waiting.pop_front() {
            if let Some(id) = self.book(delivery) {
                self.release_one(id);
            }
        }
        self.flush();
    }

    pub(super) fn subscribed(&mut self, result: Result<Subscription, SubscribeError>) {
        match result {
            Ok(subscription) => {
                self.refusals.reset();
                self.said.clear();
                if self.ledger.epoch().is_none() {
                    self.epoch = self.epoch.next();
                    self.ledger.open(self.epoch);
                }
                self.subscription = Some(subscription);
                if !self.wanted {
                    if self.returning {
                        self.pause();
                    } else {
                        self.ease_off();
                    }
                }
                tracing::debug!(consumer = %self.spec.name, worker = self.slot, "consuming");
            }
            Err(error) => {
                let why = format!("cannot consume `{}`: {error}", self.spec.queue);
                self.channel_lost(&why);
                let refused = matches!(error, SubscribeError::Refused(_));
                if refused {
                    if self.said != why {
                        let hint = "is it declared (`reconcile.mode: apply` does that), and may the user read it? It is tried again and again";
                        tracing::warn!(consumer = %self.spec.name, worker = self.slot, hint, "{why}");
                        self.said = why;
                    }
                    self.context.ask_to_reconcile();
                }
                let pause = self.refusals_pause(refused);
                self.again_after(pause);
            }
        }
    }

    fn refusals_pause(&mut self, refused: bool) -> Duration {
        if refused { self.refusals.next(fastrand::f64()) } else { LOST_PAUSE }
    }

    /// Subscribes anew, on a new channel, after a pause.
    pub(super) fn again_after(&mut self, pause: Duration) {
        if !self.wanted {
            return;
        }
        self.open();
        if pause.is_zero() {
            return;
        }
        if let Some(attempt) = self.subscribing.take() {
            self.subscribing = Some(Box::pin(async move {
                tokio::time::sleep(pause).await;
                attempt.await
            }));
        }
    }

    pub(super) fn take_in(&mut self, first: Incoming) {
        let mut next = Some(first);
        let mut taken = 0;
        while let Some(incoming) = next.take() {
            match incoming {
                Incoming::Delivery(delivery) => self.waiting.push_back(*delivery),
                // As it was asked to; its answer comes too.
                Incoming::Cancelled if self.pausing.is_some() => {}
                Incoming::Cancelled if self.outlasted() => {
                    self.ran_out_of_patience(None);
                    self.channel_lost("the broker ended the consumer");
                    return self.again_after(Duration::ZERO);
                }
                Incoming::Cancelled => {
                    tracing::warn!(consumer = %self.spec.name, queue = %self.spec.queue, "the broker ended the consumer: the queue was deleted or its leader moved");
                    self.context.ask_to_reconcile();
                    let pause = self.refusals_pause(true);
                    return self.again_after(pause);
                }
                Incoming::Overdue(limit) => {
                    self.ran_out_of_patience(limit);
                    self.channel_lost("a message was unsettled for too long");
                    return self.again_after(Duration::ZERO);
                }
                Incoming::Lost(why) => {
                    self.channel_lost(&why);
                    return self.again_after(Duration::ZERO);
                }
            }
            taken += 1;
            if taken < BATCH {
                next = self.subscription.as_mut().and_then(Subscription::try_next);
            }
        }
        self.put_off_pause();
        if self.returning && !self.spec.in_place() {
            self.give_back_waiting();
        }
    }

    /// Whether the broker has ended the consumer again while the child worked on the same. From 4.3
    /// on it does that, without a word, where a message was unsettled for too long; it does it for
    /// other reasons too, but not twice in such a time.
    fn outlasted(&mut self) -> bool {
        let since = (self.ledger.held().unanswered > 0).then_some(self.busy_since);
        let before = std::mem::replace(&mut self.cancelled_at_work, since);
        since.is_some() && before == since
    }

    /// The broker has taken everything on the channel back, because some message of it was unsettled
    /// for longer than it allows.
    fn ran_out_of_patience(&mut self, limit: Option<Duration>) {
        let oldest = self.ledger.oldest();
        if let Some(limit) = limit {
            self.ack_limit.learn(limit);
        }
        // Where it only waited with the child behind others, the child has done nothing wrong.
        let worked = self.working_for(Instant::now());
        self.taken_back =
            limit.is_none_or(|limit| worked >= limit.mul_f64(0.9)) && oldest.is_some();
        let held = self.ledger.held().unanswered;
        let id = oldest.map(|id| id.to_string());
        let message_id = oldest.and_then(|id| self.ledger.get_mut(id)).and_then(|kept| {
            kept.delivery.properties.message_id().as_ref().map(ToString::to_string)
        });
        let limit = limit.map_or_else(|| "its time".to_owned(), duration_label);
        let hint = if self.taken_back {
            "let `timeout` of the consumer end it before that, or raise the broker's `consumer_timeout` (of the node, or `x-consumer-timeout` of the queue)"
        } else {
            "with that `prefetch` messages wait too long behind others: lower it, or raise the broker's `consumer_timeout` (of the node, or `x-consumer-timeout` of the queue)"
        };
        tracing::error!(
            consumer = %self.spec.name,
            worker = self.slot,
            id,
            message_id,
            held,
            hint,
            "the broker takes its messages back, because one was not settled within {limit}"
        );
    }

    /// The channel is gone: what was on it will be delivered again.
    pub(super) fn channel_lost(&mut self, why: &str) {
        self.subscription = None;
        self.easing = None;
        self.pausing = None;
        if self.ledger.epoch().is_none() {
            return;
        }
        tracing::debug!(consumer = %self.spec.name, worker = self.slot, %why, "channel lost");
        // Never shown to anybody, so not counted as received either.
        self.waiting.clear();
        self.parked.clear();
        self.aside.clear();
        self.resting.clear();
        self.suspects.forget();
        let lost = self.ledger.close();
        self.rewind();
        self.lost(lost);
    }
}
