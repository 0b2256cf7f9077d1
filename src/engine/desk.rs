//! The desk of a worker: where messages come in and settlements go out.
//!
//! It holds the worker's channel and its ledger, so that a worker need only say which messages it
//! takes and what became of them. A message that failed is published again or dead-lettered here,
//! and the original is settled only when that is confirmed.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::Context;
use super::ack_limits::AckLimit;
use super::child_log::{SharedValve, Valve};
use super::easing::Easing;
use super::kept::Kept;
use super::output::Published;
use super::parting::GIVEN_BACK;
use super::stream::{Awaited, Reader, Storing};
use crate::broker::amqp::{Pausing, SubscribeError, Subscription};
use crate::model::{AckMode, ConsumerSpec, Delivery, Epoch, QueueType, WireProtocol};
use crate::protocol::{
    Answer, DeliveryId, Ledger, Lost, Reply, SettleOp, Settlement, Target, Verdict,
};
use crate::supervise::{Backoff, DeadLetterRoute, Pace, Suspects, Telling, Wish};
use crate::telemetry::{ConsumerMeter, Outcome, Reason, WorkerMeter};

/// Pauses before a message is given back for which there is no retry policy and no target.
pub(super) const REQUEUE_PAUSE: (Duration, Duration) =
    (Duration::from_secs(1), Duration::from_mins(1));

/// Pauses between attempts to consume a queue that the broker refuses.
const SUBSCRIBE_PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// Failed messages a second that have a log line of their own, for each worker; the rest is counted.
const FAILED_LINES_PER_SECOND: u32 = 5;

pub(super) type Settled = (DeliveryId, Settlement, Outcome);
pub(super) type Pending<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// See the module's text.
pub(super) struct Desk {
    pub(super) spec: Arc<ConsumerSpec>,
    pub(super) meter: ConsumerMeter,
    /// Delivered, and not yet taken by the worker; in the order of their tags.
    pub(super) waiting: VecDeque<Delivery>,
    /// What a child has had that is gone, for the next one: before all that waits.
    pub(super) parked: VecDeque<DeliveryId>,
    /// Which messages are tried alone.
    pub(super) suspects: Suspects<DeliveryId>,
    /// Whether messages are wanted.
    pub(super) wanted: bool,
    /// Whether what is here goes back: no child of this worker will have it.
    pub(super) returning: bool,
    pub(super) context: Context,
    pub(super) route: DeadLetterRoute,
    pub(super) shown: WorkerMeter,
    pub(super) slot: u16,
    pub(super) ledger: Ledger<Kept>,
    pub(super) epoch: Epoch,
    pub(super) subscription: Option<Subscription>,
    pub(super) subscribing: Option<Pending<Result<Subscription, SubscribeError>>>,
    /// Whether that attempt has come so far as to ask the broker.
    pub(super) asking: Arc<AtomicBool>,
    /// While a pause waits for messages to cease.
    pub(super) easing: Option<Easing>,
    /// The broker's answer to a pause, while it is awaited.
    pub(super) pausing: Option<Pausing>,
    /// How often it was asked for messages.
    pub(super) times_opened: u64,
    /// How many messages were here when it was asked last: they are not of that prefetch.
    pub(super) held_before: usize,
    pub(super) refusals: Backoff,
    pub(super) failures: Backoff,
    pub(super) outcomes: FuturesUnordered<Pending<Settled>>,
    pub(super) outputs: FuturesUnordered<Pending<Published>>,
    /// Failed messages that keep their places until they are tried again.
    pub(super) resting: FuturesUnordered<Pending<(DeliveryId, Kept)>>,
    /// With a stream, how far it has come, or its turn to read it; and the writing of that.
    pub(super) reader: Option<Reader>,
    pub(super) awaited: Option<Awaited>,
    pub(super) storing: Storing,
    /// Messages of a key that is under way, in the ledger as parked.
    pub(super) aside: Vec<DeliveryId>,
    /// Tells when a key is no longer under way.
    freed: watch::Receiver<()>,
    /// The end of a channel that was let go.
    pub(super) closing: Option<Pending<()>>,
    pub(super) unasked_said: bool,
    pub(super) hurry: CancellationToken,
    pub(super) failed_lines: Valve,
    /// For failed messages that cannot be moved on, which may be every one of them.
    pub(super) unmoved_lines: SharedValve,
    pace: Pace,
    /// Until when decisions gather, while any do.
    gathering: Option<Pin<Box<tokio::time::Sleep>>>,
    ops: Vec<SettleOp>,
    pub(super) answered: Vec<(DeliveryId, Kept)>,
    /// The oldest message of the child, and since when it is that.
    pub(super) front: Option<(DeliveryId, Instant)>,
    /// Since when the child has been working on what it answers next.
    pub(super) busy_since: Instant,
    /// Why the queue cannot be consumed, as logged last.
    pub(super) said: String,
    /// How long the broker lets a message be unsettled.
    pub(super) ack_limit: AckLimit,
    /// Whether the broker has taken back a message that the child works on, for its time was over.
    pub(super) taken_back: bool,
    /// Since when the child had been working when the broker last ended the consumer.
    pub(super) cancelled_at_work: Option<Instant>,
}

impl Desk {
    /// A desk without a channel. `hurry` cuts pauses short when the worker is to stop.
    pub(super) fn new(
        spec: Arc<ConsumerSpec>,
        slot: u16,
        context: Context,
        shown: WorkerMeter,
        hurry: CancellationToken,
    ) -> Self {
        let meter = context.registry.consumer(&spec.name);
        let ack_limit = context.ack_limits.of(&spec.vhost, &spec.queue);
        let freed = context.seen.freed();
        if let Some(dedupe) = &spec.dedupe {
            context.seen.set_limits(dedupe);
        }
        Self {
            route: context.route_of(&spec),
            shown,
            pace: match spec.protocol {
                WireProtocol::Exec => Pace::of_processes(spec.prefetch.get()),
                _ => Pace::new(spec.prefetch.get()),
            },
            gathering: None,
            spec,
            meter,
            slot,
            waiting: VecDeque::new(),
            parked: VecDeque::new(),
            suspects: Suspects::default(),
            wanted: false,
            returning: false,
            context,
            ledger: Ledger::new(),
            epoch: Epoch(0),
            subscription: None,
            subscribing: None,
            asking: Arc::default(),
            easing: None,
            pausing: None,
            times_opened: 0,
            held_before: 0,
            refusals: Backoff::new(SUBSCRIBE_PAUSE.0, SUBSCRIBE_PAUSE.1),
            failures: Backoff::new(REQUEUE_PAUSE.0, REQUEUE_PAUSE.1),
            outcomes: FuturesUnordered::new(),
            outputs: FuturesUnordered::new(),
            resting: FuturesUnordered::new(),
            reader: None,
            awaited: None,
            storing: Storing::Idle,
            aside: Vec::new(),
            freed,
            closing: None,
            unasked_said: false,
            hurry,
            failed_lines: Valve::of(FAILED_LINES_PER_SECOND),
            unmoved_lines: SharedValve::of(FAILED_LINES_PER_SECOND),
            ops: Vec::new(),
            answered: Vec::new(),
            front: None,
            busy_since: Instant::now(),
            said: String::new(),
            ack_limit,
            taken_back: false,
            cancelled_at_work: None,
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
        self.ledger.held().unanswered == 0 && self.outcomes.is_empty() && self.outputs.is_empty()
    }

    /// Waits until something has come: messages in `waiting`, a channel won or lost, a confirm.
    /// Cancel-safe.
    pub(super) async fn turn(&mut self) {
        let Self {
            subscription,
            subscribing,
            easing,
            pausing,
            outcomes,
            outputs,
            gathering,
            resting,
            closing,
            freed,
            aside,
            awaited,
            storing,
            ..
        } = self;
        tokio::select! {
            biased;
            Some((id, settlement, outcome)) = outcomes.next(), if !outcomes.is_empty() => {
                if self.ledger.resolve(id, settlement) {
                    if settlement != Settlement::Requeue {
                        self.reached(id);
                    }
                    self.meter.settled(outcome);
                }
                self.flush();
            }
            Some(done) = outputs.next(), if !outputs.is_empty() => self.published(done),
            result = due(subscribing.as_mut()) => {
                self.subscribing = None;
                self.subscribed(result);
            }
            outcome = due(pausing.as_mut()) => {
                self.pausing = None;
                self.paused(outcome);
            }
            () = due(easing.as_mut()) => self.eased(),
            incoming = async {
                match subscription {
                    Some(subscription) => subscription.next().await,
                    None => std::future::pending().await,
                }
            } => {
                self.take_in(incoming);
            }
            reader = due(awaited.as_mut().map(|awaited| &mut awaited.reader)) => {
                self.awaited = None;
                self.has_turn(reader);
            }
            stored = storing.step() => self.stored(stored),
            Ok(()) = freed.changed(), if !aside.is_empty() => self.look_aside(),
            Some((id, kept)) = resting.next(), if !resting.is_empty() => self.rested(id, kept),
            () = due(closing.as_mut()) => {
                self.closing = None;
            }
            () = due(gathering.as_mut()) => {
                self.flush();
            }
        }
        self.settle_down();
        self.store();
    }

    /// Enters a waiting message into the ledger as handed over now.
    pub(super) fn book(&mut self, delivery: Delivery) -> Option<DeliveryId> {
        let redelivered = delivery.redelivered;
        let (attempt, crashes) = self.record_of(&delivery);
        let kept = Kept { attempt, crashes, extended: None, claimed: None, delivery };
        match self.ledger.deliver(kept.delivery.tag, kept) {
            Ok(id) => {
                self.meter.received(redelivered);
                self.reading(id);
                if self.ledger.held().unanswered == 1 {
                    self.busy_since = Instant::now();
                }
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

    /// Whether a message that was just booked is longer than `max_message`; it is then
    /// dead-lettered, and no child sees it.
    pub(super) fn refuses_size(&mut self, id: DeliveryId) -> bool {
        let most = self.spec.max_message.get();
        let size = self.kept(id).map_or(0, |kept| kept.delivery.body.len());
        let too_large = size > most as usize;
        if too_large {
            let why = format!("the body has {size} bytes, `max_message` is {most}");
            self.fail_by_us(id, Wish::Never, Reason::TooLarge, &why);
        }
        too_large
    }

    /// Takes the child's answer in. `Extend` is done here too. Call [`Desk::tell`] after a run of
    /// answers. `unread` is the first message of which the child has not had all: it can have no
    /// answer to that one or to any after it.
    pub(super) fn answer(&mut self, reply: &Reply, unread: Option<DeliveryId>) -> Answer {
        if self.spec.ack == AckMode::Auto {
            self.note(reply);
            return Answer::Settled;
        }
        if self.spec.queue_type == QueueType::Stream && reply.verdict == Verdict::Requeue {
            let reason = Some(GIVEN_BACK.into());
            let reply = Reply { verdict: Verdict::Nack { reason }, ..reply.clone() };
            return self.answer(&reply, unread);
        }
        let meant = match reply.target {
            Target::Id(id) => Some(id),
            Target::Oldest => self.ledger.oldest(),
        };
        if unread.is_some_and(|unread| meant.is_some_and(|meant| meant >= unread)) {
            return Answer::Unknown;
        }
        let mut answered = std::mem::take(&mut self.answered);
        let answer = self.ledger.answer(reply, &mut answered);
        self.worked(answered.len());
        match (answer, &reply.verdict) {
            (Answer::Extend(id), Verdict::Extend(more)) => {
                if let Some(kept) = self.ledger.get_mut(id) {
                    kept.extended = Some(Instant::now() + *more);
                }
            }
            (Answer::Settled, verdict) => {
                self.failures.reset();
                for (id, kept) in answered.drain(..) {
                    if *verdict == Verdict::Requeue {
                        self.meter.settled(Outcome::Requeued);
                    } else {
                        kept.acked();
                        self.reached(id);
                        self.meter.settled(Outcome::Acked);
                    }
                }
            }
            (Answer::Taken, verdict) => {
                for (id, kept) in answered.drain(..) {
                    match verdict {
                        Verdict::Reject { reason } => {
                            self.fail(id, kept, Wish::Never, Reason::Rejected, reason.as_deref());
                        }
                        Verdict::Retry { delay, reason } => {
                            let wish = Wish::After(*delay);
                            self.fail(id, kept, wish, Reason::Failed, reason.as_deref());
                        }
                        Verdict::Nack { reason } => {
                            self.fail(id, kept, Wish::Later, Reason::Failed, reason.as_deref());
                        }
                        Verdict::AckAfter(output) => {
                            self.publish_then_ack(id, kept, (**output).clone());
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
            self.worked(1);
            self.fail(id, kept, wish, reason, Some(why));
        }
    }

    /// So many messages are over with the child. The time of a message begins when it is handed
    /// over or, if later, when the one before it is answered, as with its limit.
    pub(super) fn worked(&mut self, messages: usize) {
        let Ok(count) = u32::try_from(messages) else { return };
        if count > 0 {
            let now = Instant::now();
            self.shown.worked(u64::from(count), (now - self.busy_since) / count);
            self.pace.passed(count, now);
            self.busy_since = now;
        }
    }

    /// How many messages the child has not answered.
    pub(super) fn unanswered(&self) -> usize {
        self.ledger.held().unanswered
    }

    /// Whether the child can be left alone for a pause. So many messages are not wholly written.
    pub(super) fn may_rest(&self, unwritten: usize) -> bool {
        let before_it = self.unanswered().saturating_sub(unwritten);
        self.pace.may_rest(before_it, unwritten, Instant::now())
    }

    /// Tells the broker what has been decided, unless more of it is about to gather.
    pub(super) fn tell(&mut self) {
        let held = self.ledger.held();
        let decided = if self.withholds() { 0 } else { held.unflushed };
        match self.pace.tell(decided, held.unanswered, Instant::now()) {
            Telling::Nothing => self.show_in_flight(),
            Telling::Now => self.flush(),
            Telling::At(at) => {
                let timer = || Box::pin(tokio::time::sleep_until(at.into()));
                self.gathering.get_or_insert_with(timer);
            }
        }
        self.settle_down();
        self.store();
    }

    /// Tells the broker what has been decided.
    pub(super) fn flush(&mut self) {
        self.gathering = None;
        self.show_in_flight();
        if self.withholds() {
            return;
        }
        // Where the channel is busy subscribing anew, the ledger keeps what is decided until then.
        let Some(subscription) = &self.subscription else { return };
        self.ops.clear();
        if self.ledger.flush(&mut self.ops) != Some(self.epoch) {
            return;
        }
        if let Err(error) = subscription.settle(&self.ops) {
            self.channel_lost(&error.to_string());
            self.again_after(Duration::ZERO);
        }
    }

    /// Counts what went with the channel. What was decided is counted as settled already.
    pub(super) fn lost(&self, lost: Lost) {
        self.meter.lost_to_channel((lost.unanswered + lost.parked + lost.resolving) as u64);
        self.show_in_flight();
    }

    pub(super) fn show_in_flight(&self) {
        let held = self.ledger.held();
        self.shown.set_in_flight(held.unanswered + held.parked + held.resolving);
    }
}

/// The outcome of what is under way, where anything is.
async fn due<F: Future + Unpin>(under_way: Option<F>) -> F::Output {
    match under_way {
        Some(future) => future.await,
        None => std::future::pending().await,
    }
}
