//! Which queue arguments the broker knows, for which queue types, and what values they take.
//!
//! An argument of another type is refused by the broker with `invalid arg`; one that no type knows
//! is stored and never looked at, so unknown arguments pass here as they pass there.

use super::{ArgValue, QueueType};

/// What values an argument takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArgKind {
    /// A whole number within these bounds.
    Int(i64, i64),
    /// Text.
    Text,
    /// `true` or `false`.
    Bool,
    /// One of these words.
    Word(&'static [&'static str]),
}

/// One argument that the broker knows.
#[derive(Clone, Copy, Debug)]
pub struct ArgRule {
    /// The argument, such as `x-message-ttl`.
    pub argument: &'static str,
    /// The key of a queue in the file that stands for it; empty where there is none.
    pub key: &'static str,
    /// Queue types that know it.
    pub types: &'static [QueueType],
    /// The values it takes.
    pub kind: ArgKind,
}

const ALL: &[QueueType] = &[QueueType::Classic, QueueType::Quorum, QueueType::Stream];
const QUEUES: &[QueueType] = &[QueueType::Classic, QueueType::Quorum];
const CLASSIC: &[QueueType] = &[QueueType::Classic];
const QUORUM: &[QueueType] = &[QueueType::Quorum];
const STREAM: &[QueueType] = &[QueueType::Stream];

/// The longest time to live, in milliseconds: the broker's timers have 32 bits.
pub const MAX_TTL_MS: i64 = u32::MAX as i64;

const fn rule(
    argument: &'static str,
    key: &'static str,
    types: &'static [QueueType],
    kind: ArgKind,
) -> ArgRule {
    ArgRule { argument, key, types, kind }
}

/// Known arguments.
pub const ARG_RULES: &[ArgRule] = &[
    rule("x-message-ttl", "message_ttl", QUEUES, ArgKind::Int(0, MAX_TTL_MS)),
    rule("x-expires", "expires", QUEUES, ArgKind::Int(1, MAX_TTL_MS)),
    rule("x-max-length", "max_length", QUEUES, ArgKind::Int(0, i64::MAX)),
    rule("x-max-length-bytes", "max_length_bytes", ALL, ArgKind::Int(0, i64::MAX)),
    rule(
        "x-overflow",
        "overflow",
        QUEUES,
        ArgKind::Word(&["drop-head", "reject-publish", "reject-publish-dlx"]),
    ),
    rule("x-max-priority", "max_priority", CLASSIC, ArgKind::Int(1, 255)),
    rule("x-single-active-consumer", "single_active_consumer", QUEUES, ArgKind::Bool),
    rule("x-delivery-limit", "delivery_limit", QUORUM, ArgKind::Int(-1, i64::MAX)),
    rule("x-dead-letter-exchange", "dead_letter", QUEUES, ArgKind::Text),
    rule("x-dead-letter-routing-key", "dead_letter", QUEUES, ArgKind::Text),
    rule(
        "x-dead-letter-strategy",
        "dead_letter_strategy",
        QUORUM,
        ArgKind::Word(&["at-most-once", "at-least-once"]),
    ),
    rule(
        "x-queue-leader-locator",
        "leader_locator",
        ALL,
        ArgKind::Word(&["client-local", "balanced"]),
    ),
    rule("x-quorum-initial-group-size", "initial_group_size", QUORUM, ArgKind::Int(1, i64::MAX)),
    rule("x-initial-cluster-size", "initial_group_size", STREAM, ArgKind::Int(1, i64::MAX)),
    rule("x-max-age", "max_age", STREAM, ArgKind::Text),
    rule("x-stream-max-segment-size-bytes", "", STREAM, ArgKind::Int(1, i64::MAX)),
    rule("x-stream-filter-size-bytes", "", STREAM, ArgKind::Int(16, 255)),
    rule("x-max-in-memory-length", "", QUORUM, ArgKind::Int(0, i64::MAX)),
    rule("x-max-in-memory-bytes", "", QUORUM, ArgKind::Int(0, i64::MAX)),
    rule("x-queue-version", "", CLASSIC, ArgKind::Int(1, 2)),
    rule("x-queue-master-locator", "", CLASSIC, ArgKind::Text),
];

impl ArgRule {
    /// The rule of an argument that the broker knows.
    pub fn of(argument: &str) -> Option<&'static Self> {
        ARG_RULES.iter().find(|rule| rule.argument == argument)
    }

    /// How a person finds it in the file: by its key, or by the argument's own name.
    pub fn shown(&self) -> &'static str {
        if self.key.is_empty() { self.argument } else { self.key }
    }
}

impl ArgKind {
    /// Whether the value is one of those it takes.
    pub fn takes(self, value: &ArgValue) -> bool {
        match (self, value) {
            (Self::Int(low, high), ArgValue::Int(number)) => (low..=high).contains(number),
            (Self::Text, ArgValue::Str(_)) | (Self::Bool, ArgValue::Bool(_)) => true,
            (Self::Word(words), ArgValue::Str(text)) => words.contains(&text.as_str()),
            _ => false,
        }
    }

    /// The values in words, after "takes".
    pub fn describe(self) -> String {
        match self {
            Self::Int(low, i64::MAX) => format!("a whole number from {low}"),
            Self::Int(low, high) => format!("a whole number from {low} to {high}"),
            Self::Text => "text".into(),
            Self::Bool => "`true` or `false`".into(),
            Self::Word(words) => {
                let words: Vec<_> = words.iter().map(|word| format!("`{word}`")).collect();
                words.join(" or ")
            }
        }
    }
}
