//! The words of the ledger: what the broker can be told, and what an answer came to.

use crate::protocol::DeliveryId;

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
    /// A nack, retry or reject, or an ack with output: the messages are in the caller's list, and
    /// each waits for [`Ledger::resolve`](super::Ledger::resolve).
    Taken,
    /// A request for more time for that message.
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
    /// [`Ledger::open`](super::Ledger::open) was not called, or [`Ledger::close`](super::Ledger::close) was.
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
    /// With the child, not answered.
    pub unanswered: usize,
    /// Kept for the next child.
    pub parked: usize,
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
    /// Kept for the next child.
    pub parked: usize,
    /// Taken out by the caller, not resolved.
    pub resolving: usize,
    /// Decided, but not told to the broker.
    pub unflushed: usize,
}
