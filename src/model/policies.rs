//! Which policy applies to a queue, as far as that can be told without the broker.
//!
//! The broker matches with PCRE, this with the `regex` crate and, where a pattern has look-around or
//! atomic groups, with `fancy-regex`. They agree on everything but back-references, recursion and
//! some oddities of syntax. A pattern with one of those is taken to match nothing here, which errs
//! towards asking for a dead-letter target that a policy already gives, never towards trusting one
//! that is not there.

use std::time::Duration;

use regex::Regex;

use super::{
    ApplyTo, ArgValue, DeadLetterTarget, Exchange, ExchangeName, Policy, Queue, QueueType,
    RoutingKey,
};

/// What is wrong in every dialect, in the words of the `regex` crate. Any other complaint may be
/// about a construct that only PCRE has.
const WRONG_EVERYWHERE: &[&str] = &[
    "unclosed group",
    "unopened group",
    "unclosed character class",
    "repetition operator missing expression",
    "incomplete escape sequence, reached end of pattern prematurely",
];

/// How look-around and atomic groups begin, the longer ones first.
const BEYOND_PLAIN: [&str; 5] = ["(?<=", "(?<!", "(?=", "(?!", "(?>"];

/// Where a word begins and ends, to PCRE; to others, classes of two characters.
const WORD_ENDS: [&str; 2] = ["[[:<:]]", "[[:>:]]"];

/// Why a pattern cannot be matched here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PatternFault {
    /// No regular expression at all; with the reason.
    Invalid(String),
    /// Perhaps valid for the broker, but not understood here.
    Opaque,
}

/// A regular expression over names, as brokers take them.
#[derive(Clone, Debug)]
pub enum Pattern {
    /// One that is matched in time that grows with the name alone.
    Plain(Regex),
    /// One with look-around or atomic groups.
    Fancy(Box<fancy_regex::Regex>),
}

impl Pattern {
    /// Compiles it.
    ///
    /// # Errors
    /// Why it cannot be matched here.
    pub fn new(pattern: &str) -> Result<Self, PatternFault> {
        if WORD_ENDS.iter().any(|end| pattern.contains(end)) {
            return Err(PatternFault::Opaque);
        }
        let error = match Regex::new(pattern) {
            Ok(plain) => return Ok(Self::Plain(plain)),
            // The crate's own rendering repeats the pattern over several lines; its last line says
            // why.
            Err(error) => error.to_string(),
        };
        let reason = error.lines().last().unwrap_or_default().trim_start_matches("error: ");
        if WRONG_EVERYWHERE.contains(&reason) {
            return Err(PatternFault::Invalid(reason.to_owned()));
        }
        // Anything else that is beyond the `regex` crate may mean another thing to each engine.
        let plain =
            BEYOND_PLAIN.iter().fold(pattern.to_owned(), |text, it| text.replace(it, "(?:"));
        if Regex::new(&plain).is_err() {
            return Err(PatternFault::Opaque);
        }
        let fancy = fancy_regex::Regex::new(pattern).map_err(|_| PatternFault::Opaque)?;
        Ok(Self::Fancy(Box::new(fancy)))
    }

    /// Whether a name matches; `None` where that takes too many steps to find out.
    pub fn matches(&self, name: &str) -> Option<bool> {
        match self {
            Self::Plain(pattern) => Some(pattern.is_match(name)),
            Self::Fancy(pattern) => pattern.is_match(name).ok(),
        }
    }

    /// Whether a name certainly matches.
    fn is_match(&self, name: &str) -> bool {
        self.matches(name) == Some(true)
    }
}

/// Policies with their patterns compiled.
#[derive(Debug)]
pub struct PolicyIndex<'a> {
    policies: Vec<(&'a Policy, Pattern)>,
}

impl<'a> PolicyIndex<'a> {
    /// Compiles the patterns. Policies whose pattern is not understood are left out.
    pub fn new(policies: impl IntoIterator<Item = &'a Policy>) -> Self {
        let mut policies: Vec<_> = policies
            .into_iter()
            .filter_map(|policy| Some((policy, Pattern::new(&policy.pattern).ok()?)))
            .collect();
        policies.sort_by(|(a, _), (b, _)| {
            b.priority.cmp(&a.priority).then_with(|| a.name.cmp(&b.name))
        });
        Self { policies }
    }

    /// The policies that match a queue, the one that applies first. Only that one has any effect.
    pub fn matching(&self, queue: &Queue) -> impl Iterator<Item = &'a Policy> {
        self.policies
            .iter()
            .filter(move |(policy, pattern)| {
                policy.vhost == queue.vhost
                    && policy.apply_to.covers(queue.kind)
                    && pattern.is_match(queue.name.as_str())
            })
            .map(|(policy, _)| *policy)
    }

    /// Where a queue sends what it gives up on, by its arguments or by the policy that applies.
    pub fn dead_letter(&self, queue: &Queue) -> Option<DeadLetterTarget> {
        let policy = self.matching(queue).next();
        let text = |argument: &str, key: &str| {
            queue
                .arguments
                .get(argument)
                .or_else(|| policy?.definition.get(key))
                .and_then(ArgValue::as_str)
        };
        let exchange = text("x-dead-letter-exchange", "dead-letter-exchange")?;
        let key = text("x-dead-letter-routing-key", "dead-letter-routing-key");
        Some(DeadLetterTarget {
            exchange: ExchangeName::new(exchange).ok()?,
            routing_key: key.and_then(|key| RoutingKey::new(key).ok()),
        })
    }

    /// Where an exchange sends what none of its bindings takes, by its argument or by the policy
    /// that applies.
    pub fn alternate_exchange(&self, exchange: &Exchange) -> Option<ExchangeName> {
        let by_policy = || {
            self.policies
                .iter()
                .find(|(policy, pattern)| {
                    policy.vhost == exchange.vhost
                        && matches!(policy.apply_to, ApplyTo::All | ApplyTo::Exchanges)
                        && pattern.is_match(exchange.name.as_str())
                })
                .and_then(|(policy, _)| policy.definition.get("alternate-exchange"))
        };
        let name = exchange.arguments.get("alternate-exchange").or_else(by_policy)?;
        ExchangeName::new(name.as_str()?).ok()
    }

    /// After how long without an ack the broker takes the messages of a queue back, where its
    /// argument or the policy that applies says so: the shorter of the two.
    pub fn consumer_timeout(&self, queue: &Queue) -> Option<Duration> {
        let policy = self.matching(queue).next();
        let values = [
            queue.arguments.get("x-consumer-timeout"),
            policy.and_then(|policy| policy.definition.get("consumer-timeout")),
        ];
        let millis = values.into_iter().flatten().filter_map(ArgValue::as_int).min()?;
        u64::try_from(millis).ok().map(Duration::from_millis)
    }

    /// Whether an argument or the policy that applies sets any of these, given without their `x-`.
    pub fn sets_any(&self, queue: &Queue, keys: &[&str]) -> bool {
        let policy = self.matching(queue).next();
        keys.iter().any(|key| {
            queue.arguments.contains_key(&format!("x-{key}"))
                || policy.is_some_and(|policy| policy.definition.contains_key(*key))
        })
    }
}

impl Policy {
    /// Whether the pattern can be matched here.
    pub fn check_pattern(&self) -> Result<(), PatternFault> {
        check_pattern(&self.pattern)
    }
}

impl ApplyTo {
    /// Whether a policy of this kind reaches queues of that type.
    pub fn covers(self, kind: QueueType) -> bool {
        match self {
            Self::All | Self::Queues => true,
            Self::ClassicQueues => kind == QueueType::Classic,
            Self::QuorumQueues => kind == QueueType::Quorum,
            Self::Streams => kind == QueueType::Stream,
            Self::Exchanges => false,
        }
    }
}

/// Whether a regular expression can be matched here.
pub(super) fn check_pattern(pattern: &str) -> Result<(), PatternFault> {
    Pattern::new(pattern).map(drop)
}
