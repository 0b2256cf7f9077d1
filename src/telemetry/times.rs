//! How long messages took, in ranges: small, and good enough to compare by.

use std::time::Duration;

/// Ranges of time in which messages are counted: four to the doubling, from a microsecond.
pub const RANGES: usize = 128;

/// How many messages took how long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Times(pub [u64; RANGES]);

impl Default for Times {
    fn default() -> Self {
        Self([0; RANGES])
    }
}

impl Times {
    /// The range that a time belongs to.
    pub fn range(time: Duration) -> usize {
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX).max(4);
        // The highest bit is the doubling, the two below it the quarter.
        let doubling = micros.ilog2();
        let quarter = (micros >> (doubling - 2)) & 3;
        ((doubling - 2) as usize * 4 + usize::try_from(quarter).unwrap_or(0)).min(RANGES - 1)
    }

    /// The time at which a range begins.
    fn begin(range: usize) -> Duration {
        let (doubling, quarter) = (range / 4 + 2, range % 4);
        Duration::from_micros((4 + quarter as u64) << (doubling - 2))
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.0.iter().sum()
    }

    /// The time that half of them do not exceed, to the next range.
    pub fn median(&self) -> Duration {
        let half = self.count().div_ceil(2);
        let mut below = 0;
        let range = self.0.iter().position(|count| {
            below += count;
            below >= half
        });
        Self::begin(range.unwrap_or(0) + 1)
    }

    /// How many took surely longer.
    pub fn longer_than(&self, time: Duration) -> u64 {
        let slow = self.0.iter().enumerate().filter(|(range, _)| Self::begin(*range) >= time);
        slow.map(|(_, count)| count).sum()
    }
}
