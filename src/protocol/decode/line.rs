//! What a line of a child can be.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use crate::protocol::DeliveryId;

/// The longest pause a reply can ask for; longer ones are cut to it. A queue's TTL in milliseconds
/// then fits a signed 32-bit number, the narrowest that any broker keeps it in.
pub const MAX_DELAY: Duration = Duration::from_secs(24 * 24 * 60 * 60);

/// The longest reason kept of a reply, bytes, after escaping.
pub const MAX_REASON: usize = 1024;

/// How deep objects and arrays may nest in a reply.
pub const MAX_NESTING: usize = 64;

/// One line of a child, understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line<'a> {
    /// An answer to a message.
    Reply(Reply),
    /// The child's own words, without the line end. Not necessarily UTF-8, not escaped.
    Log(&'a [u8]),
    /// The child's own words by the verb `log`.
    Structured {
        /// How much it matters.
        level: Level,
        /// The words, not escaped.
        text: Cow<'a, str>,
        /// The whole JSON object, where it says more than `log` and `level`.
        json: Option<&'a str>,
    },
    /// An answer that cannot be understood. It settles nothing.
    Fault(Fault<'a>),
    /// A line over the limit; its text is gone. Said once, as soon as it is known.
    TooLong,
}

/// An answer to one message, or to all up to one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// Which message.
    pub target: Target,
    /// Whether every older unanswered message is answered too. Only with an id, never with
    /// [`Verdict::Extend`].
    pub multiple: bool,
    /// What became of it.
    pub verdict: Verdict,
}

/// Which message a reply means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// The oldest that the child has not answered.
    Oldest,
    /// The one of that id.
    Id(DeliveryId),
}

/// What the child says about a message. A `reason` is at most [`MAX_REASON`] bytes and holds no
/// control character.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Done.
    Ack,
    /// Failed, try later: the retry policy decides.
    Nack {
        /// The child's words.
        reason: Option<Box<str>>,
    },
    /// As nack, with the pause asked for.
    Retry {
        /// The pause, at most [`MAX_DELAY`].
        delay: Duration,
        /// The child's words.
        reason: Option<Box<str>>,
    },
    /// Can never succeed: dead-letter.
    Reject {
        /// The child's words.
        reason: Option<Box<str>>,
    },
    /// Give it back untouched.
    Requeue,
    /// More time: at least this long from now, at most [`MAX_DELAY`].
    Extend(Duration),
}

/// How much a log line matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Something failed.
    Error,
    /// Something looks wrong.
    Warn,
    /// What a person wants to know.
    Info,
    /// What a person who looks for a fault wants to know.
    Debug,
    /// Everything.
    Trace,
}

/// A protocol error: what is wrong, and the line it is in. Its `Display` is one printable line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault<'a> {
    /// What is wrong.
    pub kind: FaultKind,
    /// The line as it came, whole; see [`excerpt`] for showing it.
    pub line: &'a [u8],
}

/// What is wrong with an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FaultKind {
    /// It begins with `{` and is no JSON.
    #[error("a line that begins with `{{` must be one whole JSON object")]
    NotJson,
}

/// Bytes of a child made fit for a log line or a header: UTF-8, control characters escaped, at
/// most [`MAX_REASON`] bytes.
pub fn excerpt(bytes: &[u8]) -> String {
    let _ = bytes;
    unimplemented!()
}

impl fmt::Display for Fault<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: `{}`", self.kind, excerpt(self.line))
    }
}
