//! What is to become of a message whose try has failed.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::{QueueName, duration_label};

/// How a try has failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FailureClass {
    /// The child said so, or what it wanted to publish could not be.
    Nack,
    /// Its time was over.
    Timeout,
    /// The child died over it.
    Crash,
}

impl FailureClass {
    /// Every class with its word in the file.
    pub const ALL: [(&str, Self); 3] =
        [("nack", Self::Nack), ("timeout", Self::Timeout), ("crash", Self::Crash)];
}

/// Retries of failed messages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RetrySpec {
    /// How many tries follow a failed one without a pause, before the delays.
    pub immediate: u32,
    /// The pauses before the tries after that; then dead-letter. Each distinct delay is one
    /// permanent queue, see [`RetrySpec::queue_name`].
    pub delays: Vec<Duration>,
    /// Classes with delays of their own, in place of both of the above. An empty list is
    /// dead-lettering at once.
    pub on: BTreeMap<FailureClass, Vec<Duration>>,
}

impl RetrySpec {
    /// The queue in which a message of `queue` waits for `delay`: `orders.retry.30s`.
    pub fn queue_name(queue: &QueueName, delay: Duration) -> String {
        format!("{queue}.retry.{}", duration_label(delay))
    }

    /// The tries without a pause, and the delays after them, for one class.
    pub fn steps(&self, class: FailureClass) -> (u32, &[Duration]) {
        match self.on.get(&class) {
            Some(delays) => (0, delays),
            None => (self.immediate, &self.delays),
        }
    }

    /// Every delay once, from the shortest to the longest.
    pub fn distinct_delays(&self) -> BTreeSet<Duration> {
        self.delays.iter().chain(self.on.values().flatten()).copied().collect()
    }

    /// How often a message can fail and still be tried once more.
    pub fn most_failures(&self) -> u32 {
        let steps = |class| {
            let (immediate, delays) = self.steps(class);
            immediate.saturating_add(u32::try_from(delays.len()).unwrap_or(u32::MAX))
        };
        FailureClass::ALL.into_iter().map(|(_, class)| steps(class)).max().unwrap_or(0)
    }
}
