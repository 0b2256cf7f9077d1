//! The ledger of one worker.

use crate::model::Epoch;
use crate::protocol::{DeliveryId, Reply};

/// What to tell the broker about one delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settlement {
    /// `basic.ack`.
    Ack,
    /// `basic.nack` with `requeue`: back to the queue, no failure counted where the broker knows
    /// the difference.
    Requeue,
    /// `basic.reject` without `requeue`: the broker dead-letters it, or drops it where the queue
    /// has no target.
    Reject,
}

/// One call on the channel of the current epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SettleOp {
    /// `basic.ack`.
    Ack {
        /// The delivery tag.
        tag: u64,
        /// Whether it stands for every lower outstanding tag as well.
        multiple: bool,
    },
    /// `basic.nack` with `requeue`.
    Requeue {
        /// The delivery tag.
        tag: u64,
        /// Whether it stands for every lower outstanding tag as well.
        multiple: bool,
    },
    /// `basic.reject` without `requeue`.
    Reject {
        /// The delivery tag.
        tag: u64,
    },
}

/// What an answer of the child came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Answer {
    /// An ack or requeue: the next flush tells the broker. What was kept for the messages is in
    /// the caller's list.
    Settled,
    /// A nack, retry or reject: the messages are in the caller's list, and each waits for
    /// [`Ledger::resolve`].
    Taken,
    /// A request for more time for that message: see [`Ledger::extend`].
    Extend(DeliveryId),
    /// It means a message of a channel that is gone, which the broker delivers again. No fault of
    /// the child.
    Stale,
    /// A protocol error: no such message, or none that waits for an answer.
    Unknown,
    /// A protocol error: answered before. The first answer stands.
    Repeated,
}

/// A delivery whose tag does not continue those before it, or that came on no open channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadTag {
    /// [`Ledger::open`] was not called, or [`Ledger::close`] was.
    #[error("delivery tag {tag} came while no channel was open")]
    Closed {
        /// The tag that came.
        tag: u64,
    },
    /// The broker numbers the deliveries of a channel from 1 without a gap.
    #[error("delivery tag {tag} came where {expected} was due")]
    NotNext {
        /// The tag that came.
        tag: u64,
        /// The tag that was due.
        expected: u64,
    },
}

/// Counts of what a ledger holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// Delivered on the open channel, not answered.
    pub unanswered: usize,
    /// Taken out by the caller, not resolved.
    pub resolving: usize,
    /// Decided, to be told to the broker by the next flush.
    pub unflushed: usize,
    /// Delivered on channels that are gone, not answered by the child.
    pub ghosts: usize,
}

/// Counts of what a lost channel took with it; the broker delivers all of it again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lost {
    /// Not answered by the child; these are ghosts now.
    pub unanswered: usize,
    /// Taken out by the caller, not resolved.
    pub resolving: usize,
    /// Decided, but not told to the broker.
    pub unflushed: usize,
}

/// What one worker holds. `T` is what the caller keeps for each message, `I` is its instant.
#[derive(Debug)]
pub struct Ledger<T, I> {
    gone: std::marker::PhantomData<(T, I)>,
}

impl<T, I: Copy + Ord> Ledger<T, I> {
    /// An empty ledger with no channel.
    pub fn new() -> Self {
        unimplemented!()
    }

    /// A new channel, numbered from 1. What was held on the one before is lost as by
    /// [`Ledger::close`]. `epoch` must be later than every epoch before it.
    pub fn open(&mut self, epoch: Epoch) -> Lost {
        let _ = epoch;
        unimplemented!()
    }

    /// The channel is gone. What the child still owes an answer to becomes a ghost: its answer
    /// will be swallowed, and until then it keeps its place in the order of answers without an id.
    /// Everything else of the channel is forgotten.
    pub fn close(&mut self) -> Lost {
        unimplemented!()
    }

    /// The epoch of the open channel.
    pub fn epoch(&self) -> Option<Epoch> {
        unimplemented!()
    }

    /// A message goes to the child, with the time by which it must be answered.
    ///
    /// # Errors
    /// [`BadTag`]; the ledger is unchanged.
    pub fn deliver(
        &mut self,
        tag: u64,
        deadline: Option<I>,
        item: T,
    ) -> Result<DeliveryId, BadTag> {
        let _ = (tag, deadline, item);
        unimplemented!()
    }

    /// The child answered. The messages it settles or hands back are appended to `out`, in the
    /// order of delivery.
    pub fn answer(&mut self, reply: &Reply, out: &mut Vec<(DeliveryId, T)>) -> Answer {
        let _ = (reply, out);
        unimplemented!()
    }

    /// Takes one unanswered message of the open channel away from the child, for
    /// [`Ledger::resolve`]: its time is over, or it could not be handed over at all.
    pub fn take(&mut self, id: DeliveryId) -> Option<T> {
        let _ = id;
        unimplemented!()
    }

    /// The child is gone: takes every unanswered message of the open channel, in the order of
    /// delivery, each for [`Ledger::resolve`]. Ghosts vanish, there is nobody left to answer.
    pub fn abandon(&mut self, out: &mut Vec<(DeliveryId, T)>) {
        let _ = out;
        unimplemented!()
    }

    /// What becomes of a message that was taken out. False where that has no effect: its channel
    /// is gone, or it was not waiting for this.
    pub fn resolve(&mut self, id: DeliveryId, settlement: Settlement) -> bool {
        let _ = (id, settlement);
        unimplemented!()
    }

    /// Appends the calls that tell the broker what was decided since the last flush, as few as can
    /// be, and names the channel they belong on. `None` where there is nothing to say.
    pub fn flush(&mut self, out: &mut Vec<SettleOp>) -> Option<Epoch> {
        let _ = out;
        unimplemented!()
    }

    /// Messages whose time is over at `now`, oldest first. Each is named once; it stays unanswered
    /// until the child answers it after all or the caller takes it.
    pub fn expired(&mut self, now: I) -> Vec<DeliveryId> {
        let _ = now;
        unimplemented!()
    }

    /// When to ask [`Ledger::expired`] again: never later than the earliest deadline, at times
    /// earlier.
    pub fn next_deadline(&self) -> Option<I> {
        unimplemented!()
    }

    /// Sets the deadline of an unanswered message. False where there is no such message.
    pub fn extend(&mut self, id: DeliveryId, deadline: Option<I>) -> bool {
        let _ = (id, deadline);
        unimplemented!()
    }

    /// How much is held.
    pub fn held(&self) -> Held {
        unimplemented!()
    }
}
