//! `retry` and `dead_letter` of a consumer.

use std::collections::BTreeMap;
use std::time::Duration;

use super::node::{Node, Value};
use super::read::{Reading, misshapen};
use crate::model::{FailureClass, MAX_TTL_MS, Problem, RetrySpec, codes};

/// Most tries without a pause. More of them are a hot loop.
const MOST_IMMEDIATE: i64 = 100;

impl Reading {
    /// Reads it whole.
    pub(super) fn retry(&mut self, key: &str, node: &Node) -> Option<RetrySpec> {
        let place = node.origin;
        let mut fields = self.fields(key, place, node.clone())?;
        let delays = fields.read("delays", self, Self::delays);
        let immediate = fields
            .read("immediate", self, |r, key, node| r.whole(key, node, 0..=MOST_IMMEDIATE))
            .and_then(|count| u32::try_from(count).ok());
        let on = fields.read("on", self, Self::classes).unwrap_or_default();
        fields.finish(self, &["max", "jitter"]);
        let says = |r: &Self, key| r.noted(place, key);
        if !says(self, "delays") && !says(self, "immediate") && !says(self, "on") {
            self.push(
                Problem::error(codes::MISSING, place, "`retry` has no `delays`")
                    .hint("write `retry: { delays: [1s, 30s, 5m] }`"),
            );
            return None;
        }
        let delays = match delays {
            None if says(self, "delays") => return None,
            delays => delays.unwrap_or_default(),
        };
        Some(RetrySpec { immediate: immediate.unwrap_or_default(), delays, on })
    }

    fn delays(&mut self, key: &str, node: &Node) -> Option<Vec<Duration>> {
        let items = self.items(key, node)?;
        if items.is_empty() {
            let message = format!("`{key}` is empty");
            self.push(
                Problem::error(codes::VALUE, node.origin, message)
                    .hint("give at least one, such as `[1s, 30s, 5m]`, or remove it"),
            );
            return None;
        }
        let delays: Vec<_> = items.iter().filter_map(|item| self.delay(key, item)).collect();
        (delays.len() == items.len()).then_some(delays)
    }

    /// What the classes of failures have of their own.
    fn classes(&mut self, key: &str, node: &Node) -> Option<BTreeMap<FailureClass, Vec<Duration>>> {
        let mut fields = self.fields(key, node.origin, node.clone())?;
        let mut on = BTreeMap::new();
        for (word, class) in FailureClass::ALL {
            let delays = fields.read(word, self, |r, key, node| match &node.value {
                Value::Scalar(scalar) if scalar.text == "dead_letter" => Some(Vec::new()),
                Value::Scalar(_) => {
                    let problem = misshapen(key, "`dead_letter` or a list of delays", node);
                    r.push(problem.hint("write `dead_letter`, or delays such as `[30s, 5m]`"));
                    None
                }
                _ => r.delays(key, node),
            });
            on.extend(delays.map(|delays| (class, delays)));
        }
        fields.finish(self, &[]).then_some(on)
    }

    /// `dead_letter` of a consumer: whether the broker does it.
    pub(super) fn dead_letter_by(&mut self, key: &str, node: &Node) -> Option<bool> {
        let mut fields = self.fields(key, node.origin, node.clone())?;
        let words = [("warrener", false), ("broker", true)];
        let by = fields.read("by", self, |r, key, node| r.choice(key, node, &words));
        if by.is_none() && !self.noted(node.origin, "by") {
            let message = "`dead_letter` of a consumer says who does it";
            self.push(
                Problem::error(codes::MISSING, node.origin, message)
                    .hint("write `dead_letter: { by: broker }`; where to is a matter of the queue"),
            );
        }
        fields.finish(self, &[]).then_some(by?)
    }

    fn delay(&mut self, key: &str, node: &Node) -> Option<Duration> {
        let delay = self.duration(key, node)?;
        if i64::try_from(delay.as_millis()).is_ok_and(|millis| millis <= MAX_TTL_MS) {
            return Some(delay);
        }
        let problem =
            misshapen(key, "at most 49d (the broker counts 32 bits of milliseconds)", node);
        self.push(Problem { code: codes::VALUE, ..problem });
        None
    }
}
