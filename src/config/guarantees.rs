//! What a consumer promises about each message, and which keys it makes meaningless.

use std::num::NonZeroU32;
use std::time::Duration;

use super::node::{Node, Value};
use super::read::{Fields, Reading};
use crate::model::{AckMode, DedupeKey, DedupeSpec, Order, Origin, Problem, RolloutSpec, codes};

/// Keys that say what becomes of a message after an answer that `ack: auto` does not wait for.
const NEEDS_ANSWERS: &[&str] = &["retry", "dead_letter", "max_crashes", "dedupe"];

/// For how long and how many messages are known where the file does not say, and how many can be: a
/// million of the longest keys take some 400 MB.
const DEFAULT_WINDOW: Duration = Duration::from_mins(10);
const DEFAULT_SEEN: NonZeroU32 = NonZeroU32::new(100_000).expect("it is not 0");
const MOST_SEEN: i64 = 1_000_000;

/// The keys of this file.
#[derive(Default)]
pub(super) struct Guarantees {
    pub(super) ack: AckMode,
    pub(super) order: Order,
    pub(super) dedupe: Option<DedupeSpec>,
}

impl Reading {
    /// Reads them. Every other key of the consumer has been read before.
    pub(super) fn guarantees(&mut self, fields: &mut Fields, owner: Origin) -> Guarantees {
        let words = [("each", AckMode::Each), ("auto", AckMode::Auto)];
        let ack = fields
            .read("ack", self, |r, key, node| r.choice(key, node, &words))
            .unwrap_or_default();
        let dedupe = fields.read("dedupe", self, Self::dedupe);
        if ack == AckMode::Auto {
            for key in NEEDS_ANSWERS {
                let hint = "remove one of the two: what was given to a process is done, whatever it answers";
                self.excludes(owner, "ack: auto", "ack", key, hint);
            }
            let hint = "remove one of the two: the one who asked would wait for an answer that may be lost";
            self.excludes(owner, "ack: auto", "ack", "reply", hint);
        }
        let words = [("any", Order::Any), ("strict", Order::Strict)];
        let order = fields
            .read("order", self, |r, key, node| r.choice(key, node, &words))
            .unwrap_or_default();
        if order == Order::Strict && ack == AckMode::Auto {
            let hint = "remove one of the two: what comes next has to wait for an answer";
            self.excludes(owner, "order: strict", "order", "ack", hint);
        }
        Guarantees { ack, order, dedupe }
    }

    fn dedupe(&mut self, key: &str, node: &Node) -> Option<DedupeSpec> {
        let mut fields = self.fields(key, node.origin, node.clone())?;
        let by = fields.read("by", self, Self::dedupe_key);
        let window = fields.read("window", self, Self::duration);
        let max = fields.read("max", self, |r, key, node| {
            let max = r.whole(key, node, 1..=MOST_SEEN)?;
            NonZeroU32::new(u32::try_from(max).ok()?)
        });
        fields.finish(self, &[]);
        Some(DedupeSpec {
            by: by.unwrap_or_default(),
            window: window.unwrap_or(DEFAULT_WINDOW),
            max: max.unwrap_or(DEFAULT_SEEN),
        })
    }

    fn dedupe_key(&mut self, key: &str, node: &Node) -> Option<DedupeKey> {
        if let Value::Map(_) = node.value {
            let mut fields = self.fields(key, node.origin, node.clone())?;
            let header = fields.read("header", self, Self::text);
            if header.is_none() && !self.noted(node.origin, "header") {
                self.push(
                    Problem::error(codes::MISSING, node.origin, "`by` has no `header`")
                        .hint("write `by: { header: NAME }`, or `by: message_id`"),
                );
            }
            fields.finish(self, &[]);
            return header.map(DedupeKey::Header);
        }
        let words = [("message_id", false), ("correlation_id", true)];
        let correlation = self.choice(key, node, &words)?;
        Some(if correlation { DedupeKey::CorrelationId } else { DedupeKey::MessageId })
    }

    /// Refuses what would have two messages of a strictly ordered consumer under way at once.
    pub(super) fn one_after_the_other(
        &mut self,
        owner: Origin,
        several: bool,
        many: bool,
        rollout: Option<&RolloutSpec>,
    ) {
        let canary = matches!(rollout, Some(RolloutSpec::Canary(_)));
        let cases = [
            (several, "workers", "remove it: there is one"),
            (many, "prefetch", "remove it: it is 1"),
            (
                canary,
                "rollout",
                "a canary gets no messages beside the old worker: take another `strategy`",
            ),
        ];
        for (_, key, hint) in cases.into_iter().filter(|(wrong, ..)| *wrong) {
            self.excludes(owner, "order: strict", "order", key, hint);
        }
    }

    /// Where the consumer has that other key as well, says that the two exclude each other.
    fn excludes(&mut self, owner: Origin, shown: &str, key: &str, other: &'static str, hint: &str) {
        if self.noted(owner, other) {
            let (place, first) = (self.spots.find(owner, other), self.spots.find(owner, key));
            let message = format!("`{other}` means nothing with `{shown}`");
            self.push(
                Problem::error(codes::EXCLUSIVE, place, message)
                    .related(first, "given here")
                    .hint(hint),
            );
        }
    }
}
