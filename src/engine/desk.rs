//! The desk of a worker: where messages come in and settlements go out.
//!
//! It holds the worker's channel and its ledger, so that a worker need only say which messages it
//! takes and what became of them. A message that failed is published again or dead-lettered here,
//! and the original is settled only when that is confirmed.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio_util::sync::CancellationToken;

use super::Context;
use super::child_log::Valve;
use crate::broker::amqp::{Incoming, SubscribeError, Subscription};
use crate::broker::field_table;
use crate::model::{ConsumerSpec, Delivery, Epoch};
use crate::protocol::{Answer, DeliveryId, Ledger, Reply, SettleOp, Settlement, Verdict};
use crate::supervise::{Backoff, DeadLetterRoute, Wish, failed_tries};
use crate::telemetry::{ConsumerMeter, Outcome, Reason, WorkerMeter};

/// Most messages taken from the channel in one turn, so that settling is never starved.
const BATCH: usize = 256;

/// Pauses before a message is given back for which there is no retry policy and no target.
pub(super) const REQUEUE_PAUSE: (Duration, Duration) =
    (Duration::from_secs(1), Duration::from_mins(1));

/// Pauses between attempts to consume a queue that the broker refuses.
const SUBSCRIBE_PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// The pause after a channel was lost in the middle of an attempt to consume.
const LOST_PAUSE: Duration = Duration::from_millis(200);

/// Failed messages a second that have a log line of their own, for each worker; the rest is counted.
const FAILED_LINES_PER_SECOND: u32 = 5;

/// What is kept of a message while a child has it.
pub(super) struct Kept {
    /// The message, whole: it may have to be published again.
    pub(super) delivery: Delivery,
    /// Which try this is, from 1.
    pub(super) attempt: u32,
    /// Until when the child has asked for more time.
    pub(super) extended: Option<Instant>,
}

pub(super) type Settled = (DeliveryId, Settlement, Outcome);
pub(super) type Pending<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// See the module's text.
pub(super) struct Desk {
    pub(super) spec: Arc<ConsumerSpec>,
    pub(super) meter: ConsumerMeter,
    /// Delivered, and not yet taken by the worker; in the order of their tags.
    pub(super) waiting: VecDeque<Delivery>,
    /// Whether messages are wanted.
    wanted: bool,
    pub(super) context: Context,
    pub(super) route: DeadLetterRoute,
    shown: WorkerMeter,
    pub(super) slot: u16,
    ledger: Ledger<Kept>,
    epoch: Epoch,
    subscription: Option<Subscription>,
    subscribing: Option<Pending<Result<Subscription, SubscribeError>>>,
    refusals: Backoff,
    pub(super) failures: Backoff,
    pub(super) outcomes: FuturesUnordered<Pending<Settled>>,
    pub(super) hurry: CancellationToken,
    pub(super) failed_lines: Valve,
    ops: Vec<SettleOp>,
    answered: Vec<(DeliveryId, Kept)>,
    front: Option<(DeliveryId, Instant)>,
}

impl Desk {
    /// A desk without a channel. `hurry` cuts pauses short when the worker is to stop.
    pub(super) fn new(
        spec: Arc<ConsumerSpec>,
        slot: u16,
        context: Context,
        hurry: CancellationToken,
    ) -> Self {
        let meter = context.registry.consumer(&spec.name);
        Self {
            route: context.route_of(&spec),
            shown: meter.worker(slot),
            spec,
            meter,
            slot,
            waiting: VecDeque::new(),
            wanted: false,
            context,
            ledger: Ledger::new(),
            epoch: Epoch(0),
            subscription: None,
            subscribing: None,
            refusals: Backoff::new(SUBSCRIBE_PAUSE.0, SUBSCRIBE_PAUSE.1),
            failures: Backoff::new(REQUEUE_PAUSE.0, REQUEUE_PAUSE.1),
            outcomes: FuturesUnordered::new(),
            hurry,
            failed_lines: Valve::of(FAILED_LINES_PER_SECOND),
            ops: Vec::new(),
            answered: Vec::new(),
            front: None,
        }
    }

    /// The worker's line in the status.
    pub(super) fn shown(&self) -> &WorkerMeter {
        &self.shown
    }

    /// Whether the broker has confirmed the consumer.
    pub(super) fn consuming(&self) -> bool {
        self.subscription.as_ref().is_some_and(Subscription::consuming)
    }

    /// Whether nothing is left that the child or a confirm still has to decide.
    pub(super) fn is_clear(&self) -> bool {
        let held = self.ledger.held();
        held.unanswered == 0 && self.outcomes.is_empty() && self.waiting.is_empty()
    }

    /// Asks for messages from now on, on this channel and on every later one.
    pub(super) fn open(&mut self) {
        self.wanted = true;
        if self.consuming() || self.subscribing.is_some() {
            return;
        }
        let tag = format!("warrener.{}.{}", self.spec.name, self.slot);
        let subscription = self.subscription.take();
        let (link, spec) = (self.context.link.clone(), self.spec.clone());
        self.subscribing = Some(Box::pin(async move {
            let mut subscription = match subscription {
                Some(open) => open,
                None => {
                    let arguments = field_table(&spec.arguments)
                        .map_err(|error| SubscribeError::Refused(error.to_string()))?;
                    let prefetch = spec.prefetch.get();
                    Subscription::open(&link, spec.queue.clone(), prefetch, arguments).await?
                }
            };
            subscription.resume(&tag).await?;
            Ok(subscription)
        }));
    }

    /// Asks for no more messages. What was delivered and not taken goes back.
    pub(super) async fn pause(&mut self) {
        self.wanted = false;
        if self.subscribing.take().is_some() {
            // The channel, if there was one already, went with the attempt.
            self.channel_lost("given up while subscribing");
        }
        if let Some(subscription) = &mut self.subscription {
            match subscription.pause().await {
                Ok(unseen) => self.waiting.extend(unseen),
                Err(error) => self.channel_lost(&error.to_string()),
            }
        }
        while let Some(delivery) = self.waiting.pop_front() {
            if let Some(id) = self.book(delivery) {
                self.decide(id, Settlement::Requeue, Outcome::Released);
            }
        }
        self.flush();
    }

    /// Waits until something has come: messages in `waiting`, a channel won or lost, a confirm.
    /// Cancel-safe.
    pub(super) async fn turn(&mut self) {
        let Self { subscription, subscribing, outcomes, .. } = self;
        tokio::select! {
            biased;
            Some((id, settlement, outcome)) = outcomes.next(), if !outcomes.is_empty() => {
                if self.ledger.resolve(id, settlement) {
                    self.meter.settled(outcome);
                }
                self.flush();
            }
            result = async { subscribing.as_mut().expect("guarded").await }, if subscribing.is_some() => {
                self.subscribing = None;
                self.subscribed(result);
            }
            incoming = async { subscription.as_mut().expect("guarded").next().await },
                if subscription.as_ref().is_some_and(Subscription::consuming) =>
            {
                self.take_in(incoming);
            }
            // Nothing can come: the worker's other events go on.
            else => std::future::pending().await,
        }
    }

    fn subscribed(&mut self, result: Result<Subscription, SubscribeError>) {
        match result {
            Ok(subscription) => {
                self.refusals.reset();
                if self.ledger.epoch().is_none() {
                    self.epoch = self.epoch.next();
                    self.ledger.open(self.epoch);
                }
                self.subscription = Some(subscription);
                tracing::debug!(consumer = %self.spec.name, worker = self.slot, "consuming");
            }
            Err(error) => {
                let why = format!("cannot consume `{}`: {error}", self.spec.queue);
                self.channel_lost(&why);
                let refused = matches!(error, SubscribeError::Refused(_));
                if refused {
                    tracing::warn!(consumer = %self.spec.name, "{why}");
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
    fn again_after(&mut self, pause: Duration) {
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

    fn take_in(&mut self, first: Incoming) {
        let mut incoming = Some(first);
        for _ in 0..BATCH {
            match incoming {
                Some(Incoming::Delivery(delivery)) => self.waiting.push_back(*delivery),
                Some(Incoming::Cancelled) => {
                    tracing::warn!(consumer = %self.spec.name, queue = %self.spec.queue, "the broker ended the consumer: the queue was deleted or its leader moved");
                    self.context.ask_to_reconcile();
                    let pause = self.refusals_pause(true);
                    return self.again_after(pause);
                }
                Some(Incoming::Lost(why)) => {
                    self.channel_lost(&why);
                    return self.again_after(Duration::ZERO);
                }
                None => return,
            }
            incoming = self.subscription.as_mut().and_then(Subscription::try_next);
        }
        // The batch is full, but what was taken from the channel must not be dropped.
        match incoming {
            Some(Incoming::Delivery(delivery)) => self.waiting.push_back(*delivery),
            Some(end) => self.take_in(end),
            None => {}
        }
    }

    /// The channel is gone: what was on it will be delivered again.
    fn channel_lost(&mut self, why: &str) {
        self.subscription = None;
        if self.ledger.epoch().is_none() {
            return;
        }
        tracing::debug!(consumer = %self.spec.name, worker = self.slot, %why, "channel lost");
        // Never shown to anybody, so not counted as received either.
        self.waiting.clear();
        let lost = self.ledger.close();
        self.meter.lost_to_channel((lost.unanswered + lost.resolving + lost.unflushed) as u64);
        self.show_in_flight();
    }

    /// Enters a waiting message into the ledger as handed over now.
    pub(super) fn book(&mut self, delivery: Delivery) -> Option<DeliveryId> {
        let redelivered = delivery.redelivered;
        let most = self.spec.retry.as_ref().map_or(0, |retry| retry.delays.len());
        let most = u32::try_from(most).unwrap_or(u32::MAX);
        let attempt = failed_tries(&delivery.properties, most).saturating_add(1);
        let kept = Kept { attempt, extended: None, delivery };
        match self.ledger.deliver(kept.delivery.tag, kept) {
            Ok(id) => {
                self.meter.received(redelivered);
                Some(id)
            }
            Err(error) => {
                // A gap means that tags no longer mean what we think: settle nothing more on it.
                tracing::error!(consumer = %self.spec.name, %error, "the channel cannot be trusted any more");
                self.channel_lost(&error.to_string());
                self.again_after(Duration::ZERO);
                None
            }
        }
    }

    /// What is kept for a message that the child has.
    pub(super) fn kept(&mut self, id: DeliveryId) -> Option<&mut Kept> {
        self.ledger.get_mut(id)
    }

    /// Takes the child's answer in. `Extend` is done here too. Call [`Desk::flush`] after a run of
    /// answers.
    pub(super) fn answer(&mut self, reply: &Reply) -> Answer {
        let mut answered = std::mem::take(&mut self.answered);
        let answer = self.ledger.answer(reply, &mut answered);
        match (answer, &reply.verdict) {
            (Answer::Extend(id), Verdict::Extend(more)) => {
                if let Some(kept) = self.ledger.get_mut(id) {
                    kept.extended = Some(Instant::now() + *more);
                }
            }
            (Answer::Settled, verdict) => {
                self.failures.reset();
                for _ in answered.drain(..) {
                    self.meter.settled(match verdict {
                        Verdict::Requeue => Outcome::Requeued,
                        _ => Outcome::Acked,
                    });
                }
            }
            (Answer::Taken, verdict) => {
                for (id, kept) in answered.drain(..) {
                    match verdict {
                        Verdict::Reject { reason } => {
                            self.fail(id, &kept, Wish::Never, Reason::Rejected, reason.as_deref());
                        }
                        Verdict::Retry { delay, reason } => {
                            let wish = Wish::After(*delay);
                            self.fail(id, &kept, wish, Reason::Failed, reason.as_deref());
                        }
                        Verdict::Nack { reason } => {
                            self.fail(id, &kept, Wish::Later, Reason::Failed, reason.as_deref());
                        }
                        Verdict::Ack | Verdict::Requeue | Verdict::Extend(_) => {}
                    }
                }
            }
            (Answer::Stale, _) => self.meter.stale_reply(),
            _ => {}
        }
        answered.clear();
        self.answered = answered;
        answer
    }

    /// Takes one message back from the child and fails it.
    pub(super) fn fail_by_us(&mut self, id: DeliveryId, wish: Wish, reason: Reason, why: &str) {
        if let Some(kept) = self.ledger.take(id) {
            self.fail(id, &kept, wish, reason, Some(why));
        }
    }

    /// The message is done.
    pub(super) fn ack(&mut self, id: DeliveryId) {
        self.decide(id, Settlement::Ack, Outcome::Acked);
        self.failures.reset();
    }

    /// The message goes back untouched.
    pub(super) fn requeue(&mut self, id: DeliveryId) {
        self.decide(id, Settlement::Requeue, Outcome::Requeued);
    }

    fn decide(&mut self, id: DeliveryId, settlement: Settlement, outcome: Outcome) {
        if self.ledger.take(id).is_some() && self.ledger.resolve(id, settlement) {
            self.meter.settled(outcome);
        }
    }

    /// The child is gone: everything that it held goes back to the queue.
    pub(super) fn release(&mut self) {
        let mut held = std::mem::take(&mut self.answered);
        self.ledger.abandon(&mut held);
        for (id, _) in held.drain(..) {
            if self.ledger.resolve(id, Settlement::Requeue) {
                self.meter.settled(Outcome::Released);
            }
        }
        self.answered = held;
        self.flush();
    }

    /// The message that has been with the child for longest, and when its time is over. The clock
    /// of a message starts when it is handed over or, if later, when the one before it is
    /// answered: with a prefetch above one, waiting behind others is no fault of the message.
    pub(super) fn overdue_at(&mut self, now: Instant) -> Option<(DeliveryId, Instant)> {
        let timeout = self.spec.timeout?;
        let id = self.ledger.oldest()?;
        let since = match self.front {
            Some((front, since)) if front == id => since,
            _ => self.front.insert((id, now)).1,
        };
        let extended = self.ledger.get_mut(id).and_then(|kept| kept.extended);
        let due = since + timeout;
        Some((id, extended.map_or(due, |until| until.max(due))))
    }

    /// Tells the broker what has been decided.
    pub(super) fn flush(&mut self) {
        self.ops.clear();
        let epoch = self.ledger.flush(&mut self.ops);
        self.show_in_flight();
        if epoch != Some(self.epoch) {
            return;
        }
        let Some(subscription) = &self.subscription else { return };
        if let Err(error) = subscription.settle(&self.ops) {
            self.channel_lost(&error.to_string());
            self.again_after(Duration::ZERO);
        }
    }

    fn show_in_flight(&self) {
        let held = self.ledger.held();
        self.shown.set_in_flight(held.unanswered + held.resolving + held.unflushed);
    }

    /// Ends the channel. Whatever is unsettled on it goes back to its queue.
    pub(super) async fn close(mut self) {
        self.release();
        if let Some(subscription) = self.subscription.take() {
            subscription.close().await;
        }
        let lost = self.ledger.close();
        self.meter.lost_to_channel((lost.unanswered + lost.resolving + lost.unflushed) as u64);
    }
}
