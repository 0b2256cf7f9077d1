//! How fast it goes: counts of the last seconds against each other.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::model::ConsumerName;
use crate::telemetry::Status;

/// Over how long a rate is taken.
const WINDOW: Duration = Duration::from_secs(10);

/// Messages a second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Rates {
    /// Deliveries.
    pub received: f64,
    /// Deliveries that were settled, whatever became of them.
    pub settled: f64,
}

/// What was counted at one moment: deliveries, and those that were settled.
type Counts = BTreeMap<ConsumerName, (u64, u64)>;

/// The counts of the last seconds.
#[derive(Debug, Default)]
pub(super) struct Sampler(VecDeque<(Instant, Counts)>);

impl Sampler {
    /// Notes how the counts stand.
    pub(super) fn note(&mut self, now: Instant, status: &Status) {
        while self.0.get(1).is_some_and(|(at, _)| now.duration_since(*at) >= WINDOW) {
            self.0.pop_front();
        }
        self.0.push_back((now, counts(status)));
    }

    /// The rates between the oldest note and now.
    pub(super) fn rates(&self, now: Instant, status: &Status) -> BTreeMap<ConsumerName, Rates> {
        let (since, before) = match self.0.front() {
            Some((at, counts)) => (now.duration_since(*at).as_secs_f64(), Some(counts)),
            None => (0.0, None),
        };
        let rate = |now: u64, before: u64| {
            // Precise enough for a rate: a double is exact up to 2^53.
            #[expect(clippy::cast_precision_loss, reason = "a rate need not be exact")]
            let more = now.saturating_sub(before) as f64;
            // Shortly after the start there is nothing to go by.
            if since < 0.1 { 0.0 } else { more / since }
        };
        let one = |(name, (received, settled)): (ConsumerName, (u64, u64))| {
            let old = before.and_then(|before| before.get(&name)).copied().unwrap_or_default();
            let rates = Rates { received: rate(received, old.0), settled: rate(settled, old.1) };
            (name, rates)
        };
        counts(status).into_iter().map(one).collect()
    }
}

fn counts(status: &Status) -> Counts {
    let consumers = status.consumers.iter();
    consumers.map(|(name, one)| (name.clone(), (one.received, one.settled.total()))).collect()
}
