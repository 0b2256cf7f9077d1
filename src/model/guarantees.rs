//! What a consumer promises about each message: whether it may be lost, in which order it is
//! handled, whether it may be handled twice.

use std::num::NonZeroU32;
use std::time::Duration;

/// When the broker is told that a message is done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AckMode {
    /// When the child has said so: a message is handled at least once.
    #[default]
    Each,
    /// When the child is given it, whatever it answers then, if anything: a message is handled at
    /// most once, and lost with the child that had it.
    Auto,
}

/// In which order messages are handled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// In that of the queue as far as it goes: several at once, failed ones later.
    #[default]
    Any,
    /// One after the other, on one host at a time; a failed one keeps all others waiting.
    Strict,
}

/// What tells that two messages are one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum DedupeKey {
    /// The property `message_id`.
    #[default]
    MessageId,
    /// The property `correlation_id`.
    CorrelationId,
    /// A header that is a text or a whole number.
    Header(String),
}

/// Which messages are acked without being handled, because they were handled already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DedupeSpec {
    /// What they are known by.
    pub by: DedupeKey,
    /// For how long after it was acked a message is known.
    pub window: Duration,
    /// How many are known at most, the latest.
    pub max: NonZeroU32,
}
