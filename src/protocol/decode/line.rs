//! What a line of a child can be.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use super::{OutputFault, excerpt};
use crate::protocol::{DeliveryId, Output};

/// The longest pause a reply can ask for; longer ones are cut to it. A queue's TTL in milliseconds
/// then fits a signed 32-bit number, the narrowest that any broker keeps it in.
pub const MAX_DELAY: Duration = Duration::from_hours(576);

/// The longest reason kept of a reply, bytes, after escaping.
pub const MAX_REASON: usize = 1024;

/// How deep objects and arrays may nest in a reply.
pub const MAX_NESTING: usize = 64;

/// One line of a child, understood.
#[derive(Clone, Debug, PartialEq)]
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
    /// It is ready for messages.
    Ready,
    /// It wants no more messages, and to be replaced when it has answered what it has.
    Stop,
    /// An answer that cannot be understood. It settles nothing.
    Fault(Fault<'a>),
    /// A line over the limit; its text is gone. Said once, as soon as it is known.
    TooLong,
}

/// An answer to one message, or to all up to one.
#[derive(Clone, Debug, PartialEq)]
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
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// Done.
    Ack,
    /// Done, once this is published.
    AckAfter(Box<Output>),
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
    /// The line as it came, whole; see [`excerpt()`] for showing it.
    pub line: &'a [u8],
}

/// What is wrong with an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum FaultKind {
    /// It begins with `{` and is no JSON object.
    #[error("a line that begins with `{{` must be one whole JSON object")]
    NotJson,
    /// It is an answer, but not text.
    #[error("an answer must be UTF-8")]
    NotUtf8,
    /// Two values for one key: which one holds differs from parser to parser.
    #[error("a key stands twice in the object")]
    DuplicateKey,
    /// Deeper than [`MAX_NESTING`].
    #[error("the object is nested deeper than {MAX_NESTING} levels")]
    TooDeep,
    /// More than one of `result`, `extend`, `log`, `ready` and `stop` in an object.
    #[error("an object can say one of `result`, `extend`, `log`, `ready` and `stop`, not several")]
    SeveralVerbs,
    /// A `result` that is none.
    #[error("`result` must be `ack`, `nack`, `retry`, `reject` or `requeue`")]
    BadResult,
    /// An `id` of a shape that no id ever has.
    #[error("`id` must be the string that came with the message")]
    BadId,
    /// A delay or extension that is no duration.
    #[error("a duration must be a string with units, such as `30s` or `1m30s`")]
    BadDuration,
    /// A `reason` that is no text.
    #[error("`reason` must be a string")]
    BadReason,
    /// A `multiple` that is neither true nor false.
    #[error("`multiple` must be true or false")]
    BadMultiple,
    /// `multiple` without an id, or for more time.
    #[error("`multiple` needs an `id`, and a `result` for the messages up to it")]
    LoneMultiple,
    /// A `delay` on another result than `retry`.
    #[error("`delay` goes with the result `retry` only")]
    StrayDelay,
    /// Output that cannot be published; taking the answer without it would lose it.
    #[error(transparent)]
    Output(OutputFault),
    /// A verb and an id, but then not what the verb takes.
    #[error("this verb and id must be followed by {takes}", takes = .0.takes())]
    Words(Verb),
}

/// A verb of the text form that is particular about what follows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verb {
    /// `ack [ID]`
    Ack,
    /// `retry [ID] DELAY [reason]`
    Retry,
    /// `requeue [ID]`
    Requeue,
    /// `extend [ID] DURATION`
    Extend,
}

impl Verb {
    fn takes(self) -> &'static str {
        match self {
            Self::Ack | Self::Requeue => "nothing",
            Self::Retry => "a delay such as `30s`, and maybe a reason",
            Self::Extend => "a duration such as `30s` and nothing else",
        }
    }
}

impl FaultKind {
    /// A short closed word for metrics.
    pub fn code(self) -> &'static str {
        match self {
            Self::NotJson => "not_json",
            Self::NotUtf8 => "not_utf8",
            Self::DuplicateKey => "duplicate_key",
            Self::TooDeep => "too_deep",
            Self::BadId => "bad_id",
            Self::Output(_) => "bad_output",
            Self::SeveralVerbs
            | Self::BadResult
            | Self::BadDuration
            | Self::BadReason
            | Self::BadMultiple
            | Self::LoneMultiple
            | Self::StrayDelay
            | Self::Words(_) => "bad_shape",
        }
    }
}

impl fmt::Display for Fault<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: `{}`", self.kind, excerpt(self.line))
    }
}
