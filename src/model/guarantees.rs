//! What a consumer promises about each message: whether it may be lost, in which order it is
//! handled, whether it may be handled twice.

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
