//! The end of asking for messages where nothing hurries: when none is on its way any more.
//!
//! A quorum queue's client in the broker gives back what reaches it after `basic.cancel`
//! (rabbitmq-server issue 3729), and so do we with what no child will have. Before RabbitMQ 4.3 each
//! of that counts as a failed delivery, and a low `delivery_limit` would be used up by messages that
//! no child has failed at, or even seen: where children crash in a row, or workers are replaced again
//! and again under load.
//!
//! So the broker is asked to send no more only when it has sent all that the prefetch allows, or
//! nothing for a while. Nothing is acked meanwhile, for each ack would bring another message.

use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::Sleep;

use super::desk::Desk;
use crate::model::{AckMode, QueueType};

/// When nothing has come for so long, nothing is on its way: a broker has delivered what it was asked
/// for within some milliseconds, or its disk is busy.
const QUIET: Duration = Duration::from_millis(250);

/// The longest wait: a trickle that goes on for so long is no crowd, of which some might be on their
/// way at any moment.
const MOST: Duration = Duration::from_secs(1);

/// Waits until messages cease to come.
pub(super) struct Easing {
    latest: tokio::time::Instant,
    timer: Pin<Box<Sleep>>,
}

impl Easing {
    fn begin() -> Self {
        let latest = tokio::time::Instant::now() + MOST;
        Self { latest, timer: Box::pin(tokio::time::sleep(QUIET)) }
    }

    fn put_off(&mut self) {
        let quiet = tokio::time::Instant::now() + QUIET;
        self.timer.as_mut().reset(quiet.min(self.latest));
    }
}

impl Future for Easing {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        self.timer.as_mut().poll(context)
    }
}

impl Desk {
    /// [`Desk::pause`] when none is on its way any more, unless they are wanted again before. What
    /// has come is for the next child.
    pub(super) fn ease_off(&mut self) {
        if self.eases() {
            self.ease();
        } else {
            self.pause();
        }
    }

    /// The same, and what has come is for the child that is here, as long as it takes. Elsewhere it
    /// goes back at once.
    pub(super) fn work_off(&mut self) {
        if self.eases() {
            self.ease();
        } else {
            self.pause();
            self.give_back();
        }
    }

    /// Whether the child that is here has had all that was delivered, and no more will come.
    pub(super) fn is_worked_off(&self) -> bool {
        let here = !self.waiting.is_empty() || !self.parked.is_empty() || !self.aside.is_empty();
        self.returning || !(here || self.easing.is_some() || self.pausing.is_some())
    }

    /// Whether a pause that comes at once could cost anything. No other queue counts what is given
    /// back.
    fn eases(&self) -> bool {
        let counts = self.spec.queue_type == QueueType::Quorum && !self.spec.in_place();
        counts && (self.consuming() || self.is_asking())
    }

    /// Whether the broker has been asked for messages and has not answered yet. They come right
    /// behind the answer, and back if nobody is there to hear it.
    fn is_asking(&self) -> bool {
        self.subscribing.is_some() && self.asking.load(Ordering::Relaxed)
    }

    fn ease(&mut self) {
        self.wanted = false;
        self.easing.get_or_insert_with(Easing::begin);
        self.put_off_pause();
    }

    /// Messages may have come: a pause that is put off begins at once where these are all, and else
    /// waits for the next.
    pub(super) fn put_off_pause(&mut self) {
        if self.easing.is_none() {
            return;
        }
        if self.unsettled() >= usize::from(self.spec.prefetch.get()) + self.held_before {
            return self.eased();
        }
        if let Some(easing) = &mut self.easing {
            easing.put_off();
        }
    }

    /// It is time for the pause that was put off.
    pub(super) fn eased(&mut self) {
        let asking = self.is_asking();
        if let Some(easing) = &mut self.easing
            && asking
            && tokio::time::Instant::now() < easing.latest
        {
            return easing.put_off();
        }
        self.pause();
    }

    /// Whether the broker is told nothing now. With `ack: auto` it has to know before the child does.
    pub(super) fn withholds(&self) -> bool {
        self.easing.is_some() && self.spec.ack == AckMode::Each
    }

    /// How many messages the broker waits to hear of.
    pub(super) fn unsettled(&self) -> usize {
        let held = self.ledger.held();
        let here = held.unanswered + held.parked + held.resolving + held.unflushed;
        here + self.waiting.len()
    }
}
